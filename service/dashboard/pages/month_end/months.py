"""The months with what became of each, everything that is not issued yet, and one month with its drafts."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from core.agreements.tables import Agreement
from core.invoicing.month_list import (
    BEING_MADE,
    CHANGE,
    STATE,
    STATES,
    drafts_of,
    failed_items,
    months,
    ready_for,
    states_of,
    without_documents,
)
from core.invoicing.runs.control import runs
from core.invoicing.tables import Invoice
from core.money import Money
from core.period import Period
from core.registry.tables import Licensee
from service.dashboard import written
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.pages.invoices.one import changed, why_not_you
from service.dashboard.pages.month_end.issuing import seen_as
from service.dashboard.pages.month_end.router import month_of, router
from service.dashboard.rendering import page
from service.dashboard.signed_in import FinanceEyes, FinancePerson, Viewer

WORDS = {"held": "held", "approval": "needs approval", "ready": "ready", "issued": "issued"}


def _change(row: Any) -> str:
    before = Period.month_of(row.period_start).months_before()
    if row.before_minor is None:
        return f"no invoice for {written.month(before)}"
    return changed(row.total_minor, row.before_minor, before)[0]


DRAFTS = Listing(
    columns=(
        Column("licensee", "Licensee", lambda row: row.licensee_name, sort=Licensee.name,
               href=lambda row: f"/invoices/{row.number or f'draft-{row.id}'}", note=lambda row: row.agreement),
        Column("state", "State", lambda row: row.state, kind="custom", sort=STATE),
        Column("total", "Total", lambda row: (row.total_minor, row.currency), kind="money", sort=Invoice.total_minor),
        Column("before", "Month before", kind="money", wide_only=True,
               value=lambda row: None if row.before_minor is None else (row.before_minor, row.currency)),
        Column("change", "Difference", lambda row: (row.total_minor - (row.before_minor or 0), row.currency),
               kind="money", sort=CHANGE, note=_change),
        Column("acts", "", lambda row: "", kind="custom", export=False),
    ),
    search=(Licensee.name, Licensee.slug, Agreement.slug, Invoice.number),
    search_label="Search by licensee, agreement or number",
    filters=(Filter("state", "State", tuple((key, words.capitalize()) for key, words in WORDS.items()),
                    where=lambda state: STATES[state]),),
    sort="licensee",
    file="month-end",
    label="Drafts and invoices",
    empty="Everything is issued",
    counted=False,  # the figures above the list say how many there are
)  # fmt: skip


def why_not(person: FinancePerson, row: Any) -> str:
    """Why the next step of a draft is not this person's; empty where it is."""
    limit = None if row.limit_minor is None else Money(row.currency, row.limit_minor)
    return why_not_you(
        person, row.status, above=row.above, limit=limit, closed_by=row.closed_by, approved_by=row.approved_by
    )


@router.get("")
def all_months(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    """The months, the last runs, and what waits; with a state, the newest month that has such drafts."""
    found = months(eyes, person.licensor_id)
    state = request.query_params.get("state", "")
    if state in WORDS:
        stored = {"held": ("held",), "issued": ("issued",)}.get(state, ("draft", "approved"))
        for month in found:
            if any(month.counts.get(each) for each in stored):
                return RedirectResponse(f"/month-end/{month.period.name}?state={state}", 303)
    waiting = DRAFTS.read(request, eyes, drafts_of(person.licensor_id).where(BEING_MADE))
    if waiting.wants_csv:
        return waiting.csv()
    return page(
        request, "month_end/months.html", title="Month end", months=found[:24], listed=waiting,
        runs=_runs(eyes), next_month=_next(found), why_not=lambda row: why_not(person, row), back=request.url.path,
    )  # fmt: skip


@router.get("/{period}")
def one_month(request: Request, person: Viewer, eyes: FinanceEyes, period: str) -> Response:
    """A month: where its drafts stand, each with the difference to the month before and its next step."""
    month = month_of(period)
    listed = DRAFTS.read(request, eyes, drafts_of(person.licensor_id).where(Invoice.period_start == month.start))
    if listed.wants_csv:
        return listed.csv()
    states = states_of(eyes, person.licensor_id, month)
    ready = ready_for(eyes, person.licensor_id, month, person.actor.name) if person.may("approver") else []
    return page(
        request, "month_end/month.html", title=f"Month end, {written.month(month)}", month=month, listed=listed,
        states={name: [each for each in states if each.state == words] for name, words in WORDS.items()},
        failed=failed_items(eyes, month), ready=len(ready), seen=seen_as(ready),
        sums=sums(each.total for each in ready),
        unmade=len(without_documents(eyes, person.licensor_id, month)), why_not=lambda row: why_not(person, row),
        runs=[each for each in _runs(eyes, 50) if each.run.period_start == month.start][:5],
        back=f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path,
    )  # fmt: skip


def _runs(eyes: Session, most: int = 10) -> list[Any]:
    return runs(eyes, limit=most)


def _next(found: list[Any]) -> str:
    """The month that a run would be for: the one after the last that has documents, else the last one over."""
    over = Period.month_of(datetime.now(UTC).date()).months_before()
    return over.name if not found or found[0].period.start >= over.start else Period.month_of(found[0].period.end).name


def sums(amounts: Iterable[Money]) -> str:
    """Amounts added up by currency, in words."""
    found: dict[str, Money] = {}
    for each in amounts:
        found[each.currency] = found.get(each.currency, Money(each.currency, 0)) + each
    return " and ".join(written.money_text(found[currency]) for currency in sorted(found))
