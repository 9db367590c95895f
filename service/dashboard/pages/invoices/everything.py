"""All invoices and credit notes, drafts too: searched, narrowed, summed up by currency."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.agreements.tables import Agreement
from core.invoicing.invoice_list import LEFT, STANDING, STANDS, documents, months_of, sums_of
from core.invoicing.tables import Invoice
from core.period import Period
from core.registry.tables import Account, Licensee
from service.dashboard import written
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.pages.invoices.router import WORDS, router
from service.dashboard.rendering import page
from service.dashboard.signed_in import FinanceEyes, FinancePerson, Viewer

MOST_NAMED = 60  # licensees offered in the filter; of more than that the search finds one
_CHOICES = tuple((word, WORDS.get(word, word).capitalize()) for word in STANDS)


def _name(row: Any) -> str:
    return row.number or f"draft-{row.id}"


def _address(row: Any) -> str:
    return f"/invoices/{_name(row)}"


INVOICES = Listing(
    columns=(
        Column("invoice", "Invoice", _name, sort=(Invoice.number, Invoice.id), href=_address,
               note=lambda row: "credit note" if row.kind == "credit_note" else ""),
        Column("licensee", "Licensee", lambda row: row.licensee_name, sort=Licensee.name,
               href=lambda row: f"/licensees/{row.licensee}", note=lambda row: row.agreement),
        Column("period", "Month", lambda row: row.period_start, kind="month",
               sort=(Invoice.period_start, Invoice.id)),
        Column("standing", "Standing", lambda row: WORDS.get(row.standing, row.standing), kind="badge", sort=STANDING),
        Column("due", "Due", lambda row: row.due_on if row.left_minor and row.kind == "regular" else None, kind="day",
               sort=Invoice.due_on, wide_only=True),
        Column("total", "Total", lambda row: (row.total_minor, row.currency), kind="money", sort=Invoice.total_minor),
        Column("left", "Open", lambda row: (row.left_minor, row.currency) if row.left_minor else None, kind="money",
               sort=LEFT),
    ),
    search=(Invoice.number, Licensee.name, Licensee.slug, Agreement.slug, Account.purchase_order),
    search_label="Search by number, licensee, agreement or order",
    sort="-period",
    file="invoices",
    label="Invoices and credit notes",
    empty="No invoices yet",
    counted=False,  # the sums below the list count them
)  # fmt: skip


@router.get("")
def all_invoices(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    months = months_of(eyes, person.licensor_id)
    listing = replace(INVOICES, filters=_filters(eyes, person, months, request.query_params.get("licensee", "")))
    listed = listing.read(request, eyes, documents(person.licensor_id))
    if listed.wants_csv:
        return listed.csv()
    sums = sums_of(eyes, listed.asked) if listed.asked is not None else []
    listed.total = sum(each.count for each in sums)
    return page(request, "invoices/list.html", title="Invoices", listed=listed, sums=sums)


def _filters(eyes: Session, person: FinancePerson, months: Sequence[Period], slug: str) -> tuple[Filter, ...]:
    return (
        Filter("standing", "Standing", _CHOICES, where=lambda word: STANDS[word]),
        Filter("period", "Month", tuple((each.name, written.month(each)) for each in months),
               where=lambda name: Invoice.period_start == Period.month(name).start),
        Filter("licensee", "Licensee", licensee_choices(eyes, person.licensor_id, slug), column=Licensee.slug),
        Filter("kind", "Kind", (("regular", "Invoices"), ("credit_note", "Credit notes")), column=Invoice.kind),
    )  # fmt: skip


def licensee_choices(eyes: Session, licensor_id: int, slug: str) -> tuple[tuple[str, str], ...]:
    """The licensees to choose from: all of a few, otherwise the one that is asked for. One statement."""
    asked = select(Licensee.slug, Licensee.name).join(Account, Account.licensee_id == Licensee.id)
    asked = asked.where(Account.licensor_id == licensor_id)
    first = asked.order_by(Licensee.name).limit(MOST_NAMED + 1).subquery()
    chosen = asked.where(Licensee.slug == slug.replace("\x00", "")).subquery()
    found = {each.slug: each.name for each in eyes.execute(select(first).union(select(chosen)))}
    if len(found) > MOST_NAMED:
        found = {key: name for key, name in found.items() if key == slug}
    return tuple(sorted(found.items(), key=lambda each: each[1].lower()))
