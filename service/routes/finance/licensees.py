"""Licensees, as their licensor sees them: what they made with its models, and what they owe."""

from datetime import date, datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.ledger.balances import balances
from core.money import Money
from core.payments.apply import apply_oldest_first, hold_account
from core.period import Period
from core.registry.tables import Account, Licensee
from core.usage.counts.licensor_counts import usage_by_plan
from service.finance_caller import Eyes, Reader
from service.pages import NEXT, After, Limit, next_mark, read_mark
from service.routes.finance.door import ACTS, READS, READS_ONE, Acting, acting, finance_router
from service.routes.finance.own import own_licensee
from service.routes.finance.payments import Applications, applications
from service.routes.finance.shapes import Nothing, SlugPath, written

router = finance_router("licensees")


class Balance(BaseModel):
    """What the books hold of a licensee in a currency: owed, paid or credited beyond it, and the difference."""

    currency: str = Field(examples=["USD"])
    receivable: str
    unapplied: str
    balance: str = Field(description="what is still to come; below zero when the licensee has more than it owes")


class FinanceLicensee(BaseModel):
    """A licensee with its account."""

    slug: str
    name: str
    email: str
    tax_id: str
    zone: str
    currency: str
    language: str
    since: datetime
    balances: list[Balance]


class FinanceLicenseePage(BaseModel):
    """Licensees by slug."""

    licensees: list[FinanceLicensee]
    next: str | None = Field(default=None, description=NEXT)


class PlanUsage(BaseModel):
    """The images of a model and plan, in the roles that owe a fee."""

    model: str
    plan: str
    image_count: int
    event_count: int


class LicenseeUsage(BaseModel):
    """What a licensee made with the licensor's models in a month, by model and plan."""

    licensee: str
    period: str
    starts_on: date
    ends_on: date
    image_count: int
    usage: list[PlanUsage]


@router.get("/licensees", summary="Licensees with their balances", responses=READS)
def list_licensees(session: Eyes, caller: Reader, *, limit: Limit = 100, after: After = None) -> FinanceLicenseePage:
    mark = read_mark(after, tuple[str])
    asked = (
        select(Licensee, Account)
        .join(Account, Account.licensee_id == Licensee.id)
        .where(Account.licensor_id == caller.licensor_id, Licensee.slug > (mark[0] if mark else ""))
        .order_by(Licensee.slug)
        .limit(limit)
    )
    rows = session.execute(asked).all()
    return FinanceLicenseePage(
        licensees=[_shown(session, licensee, account) for licensee, account in rows],
        next=next_mark(rows, limit, lambda row: (row[0].slug,)),
    )


@router.get("/licensees/{licensee}", summary="One licensee with its balances", responses=READS_ONE)
def get_licensee(session: Eyes, caller: Reader, licensee: SlugPath) -> FinanceLicensee:
    found = own_licensee(session, caller, licensee)
    account = session.scalars(select(Account).filter_by(licensee_id=found.id, licensor_id=caller.licensor_id)).one()
    return _shown(session, found, account)


@router.get("/licensees/{licensee}/usage", summary="A licensee's images by model and plan", responses=READS_ONE)
def get_licensee_usage(
    session: Eyes,
    caller: Reader,
    licensee: SlugPath,
    period: Annotated[str, Query(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$", examples=["2026-10"])],
) -> LicenseeUsage:
    """Of a month of the account's zone, as counted so far."""
    found, month = own_licensee(session, caller, licensee), Period.month(period)
    rows = usage_by_plan(session, caller.licensor_id, found.id, month)
    return LicenseeUsage(
        licensee=licensee,
        period=period,
        starts_on=month.start,
        ends_on=month.end,
        image_count=sum(row.image_count for row in rows),
        usage=[PlanUsage.model_validate(row, from_attributes=True) for row in rows],
    )


@router.post(
    "/licensees/{licensee}/apply-payments",
    summary="Settle open invoices with what is left",
    response_model=Applications,
    responses=ACTS,
)
def apply_payments_of_licensee(
    acts: Annotated[Acting, acting("payments")], licensee: SlugPath, said: Nothing | None = None
) -> Response:
    """With the licensee's payments and credit notes, the invoice that was due first before the next."""

    def act(session: Session) -> Applications:
        caller = acts.caller
        found = own_licensee(session, caller, licensee)
        hold_account(session, caller.licensor_id, found.id)
        return applications(session, apply_oldest_first(session, caller.actor, caller.licensor_id, found.id))

    return acts.once(act)


def _shown(session: Session, licensee: Licensee, account: Account) -> FinanceLicensee:
    books = balances(session, account.licensor_id, licensee.id)
    found = [
        (
            currency,
            books.get(("receivable", currency), Money(currency, 0)),
            books.get(("unapplied", currency), Money(currency, 0)),
        )
        for currency in sorted({account.currency, *(currency for _, currency in books)})
    ]
    return FinanceLicensee(
        slug=licensee.slug,
        name=licensee.name,
        email=licensee.email,
        tax_id=licensee.tax_id,
        zone=account.zone,
        currency=account.currency,
        language=account.language,
        since=account.created_at,
        balances=[
            Balance(
                currency=currency,
                receivable=written(receivable),
                unapplied=written(-unapplied),
                balance=written(receivable + unapplied),
            )
            for currency, receivable, unapplied in found
        ],
    )
