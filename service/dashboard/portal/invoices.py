"""Invoices as whoever has to pay them sees them: what is asked for, how each line came about, and the document."""

from datetime import date
from decimal import Decimal
from typing import Any

from fastapi import Request
from starlette.responses import Response

from core.errors import NotFound
from core.invoicing.documents import MEDIA_TYPES
from core.invoicing.own import (
    OWED,
    OWN_INVOICES,
    STANDING,
    STANDINGS,
    Happened,
    kinds_of,
    own_invoice,
    told_of,
)
from core.invoicing.paper.workings import explain_line
from core.invoicing.queries import invoice_content, invoice_document
from core.invoicing.tables import Invoice
from core.invoicing.workings.explain import explain_invoice
from core.money import Money, exponent
from core.period import Period
from core.registry.tables import Licensor
from service.dashboard import written
from service.dashboard.browser import with_frames
from service.dashboard.charts import Chart, Series, chart
from service.dashboard.door import page_router
from service.dashboard.files import file_response
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.rendering import page
from service.dashboard.signed_in import PortalEyes, PortalViewer

router = page_router("/portal/invoices")
DOCUMENTS = {
    "pdf": "PDF",
    "lines.csv": "Lines as CSV",
    "daily_counts.csv": "Daily counts as CSV",
    "factur-x.xml": "E-invoice as XML",
}
TOLD = {
    "issued": "Issued",
    "sent": "Sent to your contacts",
    "credited": "A credit note was given",
    "voided": "Voided: nothing of it is owed",
    "disputed": "Disputed",
    "dispute_settled": "The dispute was settled",
}
ALL = Listing(
    columns=(
        Column("number", "Invoice", lambda row: row.number, sort=Invoice.number,
               href=lambda row: f"/portal/invoices/{row.number}",
               note=lambda row: "credit note" if row.kind == "credit_note" else ""),
        Column("month", "Month", lambda row: row.period_start, kind="month", sort=(Invoice.period_start, Invoice.id)),
        Column("licensor", "From", lambda row: row.licensor_name, sort=Licensor.name, wide_only=True),
        Column("total", "Total with tax", lambda row: (row.total_minor, row.currency), kind="money",
               sort=(Invoice.currency, Invoice.total_minor)),
        Column("left", "Left to pay", lambda row: (row.owed_minor, row.currency) if row.owed_minor else None,
               kind="money", sort=(Invoice.currency, OWED)),
        Column("due", "Due", lambda row: row.due_on if row.kind == "regular" else None, kind="day",
               sort=Invoice.due_on, wide_only=True),
        Column("standing", "Stands", lambda row: row.standing, kind="badge", sort=STANDING),
    ),
    search=(Invoice.number, Licensor.name),
    search_label="Search by number or licensor",
    filters=(
        Filter("standing", "Stands", (("owed", "To be paid"), *((word, word.capitalize()) for word in STANDINGS)),
               where=lambda word: OWED > 0 if word == "owed" else STANDING.in_([word])),
    ),
    sort="-month", file="invoices", label="Invoices", empty="No invoice yet",
)  # fmt: skip


@router.get("")
def portal_invoices(request: Request, _person: PortalViewer, eyes: PortalEyes) -> Response:
    return ALL.read(request, eyes, OWN_INVOICES).answer("portal/invoices/all.html", title="Invoices")


@router.get("/{invoice}")
def portal_invoice(request: Request, _person: PortalViewer, eyes: PortalEyes, invoice: str) -> Response:
    """One invoice: where it stands, its lines with their workings, its history, and the PDF beside it."""
    row = own_invoice(eyes, _plain(invoice))
    content = invoice_content(eyes, row.number)
    kinds = [kind for kind in DOCUMENTS if kind in kinds_of(eyes, row.id)]
    lines = [_line(each, row.currency) for each in content["lines"]]
    told = [_told(each) for each in told_of(eyes, row.id)]
    return page(
        request, "portal/invoices/one.html", headers=with_frames(), title=row.number, row=row, content=content,
        lines=lines, kinds=[(kind, DOCUMENTS[kind]) for kind in kinds], told=told, paid=_paid(row),
        month=Period(row.period_start, row.period_end), money=lambda text: _money(text, row.currency),
    )  # fmt: skip


@router.get("/{invoice}/lines/{line}")
def portal_invoice_line(request: Request, _person: PortalViewer, eyes: PortalEyes, invoice: str, line: int) -> Response:
    """One line explained: the images day by day, the clause that sets its price, each step, and corrections."""
    if not 0 < line < 10**6:
        raise NotFound("line_not_found", f"there is no line {line} on it")
    row = own_invoice(eyes, _plain(invoice))
    explained = explain_invoice(eyes, row.number, line)
    found = explained["lines"][0]
    counts = found["counts"] or {}
    return page(
        request, "portal/invoices/line.html", title=f"Line {line}", row=row, line=found, counts=counts,
        days=_by_day(counts), amount=_money(found["amount"], row.currency), zone=explained["zone"],
        month=Period(row.period_start, row.period_end),
    )  # fmt: skip


@router.get("/{invoice}/documents/{kind}")
def portal_document(_person: PortalViewer, eyes: PortalEyes, request: Request, invoice: str, kind: str) -> Response:
    """A document as it was made when the invoice was issued; `?show` lets the browser show a PDF."""
    number = own_invoice(eyes, _plain(invoice)).number
    content = invoice_document(eyes, number, kind)
    name = f"{number}.pdf" if kind == "pdf" else f"{number}-{kind}"
    return file_response(content, MEDIA_TYPES[kind], name, inline=kind == "pdf" and "show" in request.query_params)


def _plain(name: str) -> str:
    """A number as it was written in an address, if it can be one."""
    return name if name.isascii() and name.isprintable() else ""


def _money(text: str, currency: str) -> Money:
    return Money(currency, int(Decimal(text).scaleb(exponent(currency))))


def _line(line: dict[str, Any], currency: str) -> dict[str, Any]:
    """A line of the frozen content in words."""
    said = explain_line(line, currency)
    return {**line, "title": said["title"], "span": said["span"], "steps": said["steps"],
            "money": _money(line["amount"], currency)}  # fmt: skip


def _paid(row: Any) -> Money:
    """What was taken off the total, by money or credit notes."""
    return Money(row.currency, row.total_minor - row.left_minor if row.kind == "regular" else 0)


def _told(each: Happened) -> tuple[Any, str, str]:
    return each.at, TOLD.get(each.kind, each.kind.replace("_", " ").capitalize()), each.reason


def _by_day(counts: dict[str, Any]) -> Chart | None:
    """The images of a line, day by day or month by month."""
    found = counts.get("days") or counts.get("months") or []
    if not found:
        return None
    x: list[date | str] = [
        written.month(each["month"]) if "month" in each else date.fromisoformat(each["day"]) for each in found
    ]
    return chart(
        "counted", "Images of this line", x=x, series=[Series("images", [each["image_count"] for each in found])],
        kind="bars", unit="images", height=200,
    )  # fmt: skip
