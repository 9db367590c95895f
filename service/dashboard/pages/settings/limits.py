"""Above which amounts two people are needed: for each account, and for those that have no limit of their own."""

from typing import Any

from fastapi import Request
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.own_house import change_own_limit
from core.money import Money
from core.registry.tables import Account, ApprovalLimit, Licensee
from service.dashboard.acting import act
from service.dashboard.form import Filled, Form
from service.dashboard.listing import Column, Listed, Listing
from service.dashboard.pages.licensees.router import licensee_of
from service.dashboard.pages.settings.router import router, settings_page
from service.dashboard.rendering import after
from service.dashboard.signed_in import Admin, FinanceEyes, FinancePerson, Viewer

MOST = 10**15
OWN = ApprovalLimit.second_person_above_minor


def _limit(row: Any) -> tuple[int, str] | None:
    minor = row.own if row.own is not None else row.for_all
    return None if minor is None else (minor, row.currency)


ACCOUNTS = Listing(
    columns=(
        Column(
            "licensee", "Licensee", lambda row: row.name, sort=func.lower(Licensee.name),
            href=lambda row: f"/settings/limits/{row.slug}", note=lambda row: row.slug,
        ),
        Column("currency", "Currency", lambda row: row.currency, sort=Account.currency, wide_only=True),
        Column("limit", "Two people above", _limit, kind="money", sort=OWN,
               note=lambda row: "of its own" if row.own is not None else "as for all"),
    ),
    search=(Licensee.name, Licensee.slug),
    search_label="Search licensees",
    sort="licensee",
    file="approval-limits",
    label="Approval limits by licensee",
    empty="No accounts yet",
)  # fmt: skip


@router.get("/limits")
def limits(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    return _shown(request, person, eyes, None)


@router.post("/limits")
def change_limit_for_all(request: Request, person: Admin, eyes: FinanceEyes, form: Filled) -> Response:
    """For all accounts without a limit of their own, in the smallest unit of each one's currency."""
    with form:
        above = form.whole("amount", most=MOST, required=False)
        form.demand()
        act(request, lambda session: change_own_limit(session, person.licensor_id, person.actor, None, above))
    if form.wrong:
        return _shown(request, person, eyes, form)
    return after(request, "/settings/limits", "Kept." if above is not None else "One person is enough, now.")


@router.get("/limits/{licensee}")
def limit_of(request: Request, person: Viewer, eyes: FinanceEyes, licensee: str) -> Response:
    return _of_account(request, person, eyes, licensee, None)


@router.post("/limits/{licensee}")
def change_limit(request: Request, person: Admin, eyes: FinanceEyes, licensee: str, form: Filled) -> Response:
    """For one account; empty takes its own limit away, and the one for all holds."""
    whose = licensee_of(eyes, person, licensee)
    with form:
        above = form.money("amount", whose.currency, required=False)
        if above is not None and not 0 <= above.minor <= MOST:
            form.refuse("amount", "from 0 upwards, or nothing at all")
        form.demand()
        minor = above.minor if above is not None else None
        act(request, lambda session: change_own_limit(session, person.licensor_id, person.actor, whose.slug, minor))
    if form.wrong:
        return _of_account(request, person, eyes, licensee, form)
    return after(request, "/settings/limits", f"Kept for {whose.name}.")


def _asked(person: FinancePerson) -> Any:
    for_all = (
        select(ApprovalLimit.second_person_above_minor)
        .where(ApprovalLimit.licensor_id == person.licensor_id, ApprovalLimit.account_id.is_(None))
        .scalar_subquery()
    )
    return (
        select(Licensee.slug, Licensee.name, Account.currency, OWN.label("own"), for_all.label("for_all"))
        .join(Account, Account.licensee_id == Licensee.id)
        .outerjoin(ApprovalLimit, ApprovalLimit.account_id == Account.id)
        .where(Account.licensor_id == person.licensor_id)
    )


def _shown(request: Request, person: FinancePerson, eyes: Session, form: Form | None) -> Response:
    listed: Listed = ACCOUNTS.read(request, eyes, _asked(person))
    if listed.wants_csv:
        return listed.csv()
    for_all = eyes.scalar(
        select(OWN).where(ApprovalLimit.licensor_id == person.licensor_id, ApprovalLimit.account_id.is_(None))
    )
    mine = select(Account.currency).where(Account.licensor_id == person.licensor_id).distinct()
    return settings_page(
        request, "limits.html", person, "Approval limits", status=form.status if form else 200, form=form,
        listed=listed, for_all=for_all, currencies=sorted(eyes.scalars(mine)),
    )  # fmt: skip


def _of_account(request: Request, person: FinancePerson, eyes: Session, slug: str, form: Form | None) -> Response:
    whose = licensee_of(eyes, person, slug)
    row = eyes.execute(_asked(person).where(Account.id == whose.account_id)).one()
    return settings_page(
        request, "limit.html", person, "Approval limits", status=form.status if form else 200, form=form, whose=whose,
        row=row, title=whose.name, own_text=Money(row.currency, row.own).amount if row.own is not None else "",
    )  # fmt: skip
