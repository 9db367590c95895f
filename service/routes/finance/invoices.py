"""Invoices and credit notes as finance people see them: drafts, too, where each stands, and how it was worked out."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.errors import NotFound
from core.invoicing.life.stands import events_of, find_invoice, overview
from core.invoicing.life.status import Standing
from core.invoicing.tables import Invoice, InvoiceDocument, InvoiceLine
from core.money import Money, plain
from service.finance_caller import Eyes
from service.pages import NEXT, After, Limit, next_mark, read_mark
from service.routes.finance.door import READS, READS_ONE, finance_router
from service.routes.finance.shapes import InvoiceName, MonthQuery, SlugQuery, month_of

router = finance_router("invoices")
Kind = Literal["regular", "credit_note"]
_LOOKS = 20  # pages of the database that are looked through for one page of an answer
MEDIA_TYPES = {"pdf": "application/pdf", "csv": "text/csv", "xml": "application/xml", "json": "application/json"}
EXAMPLE = {
    "id": 17,
    "invoice": "OWG-000001",
    "number": "OWG-000001",
    "kind": "regular",
    "corrects": None,
    "licensee": "pixelforge",
    "agreement": "anima-flat",
    "period": "2026-10",
    "standing": "partly_paid",
    "currency": "USD",
    "net": "37150.46",
    "tax": "0.00",
    "total": "37150.46",
    "paid": "10000.00",
    "credited": "0.00",
    "written_off": "0.00",
    "left": "27150.46",
    "issued_at": "2026-11-02T08:00:00+00:00",
    "due_on": "2026-12-02",
    "hold_reasons": [],
    "closed_by": "system",
    "approved_by": "ada@example.com",
    "issued_by": "ben@example.com",
}


class HoldReason(BaseModel):
    """Why a draft is held, and what to look at."""

    code: str = Field(examples=["above_trailing_median"])
    sentence: str


class FinanceInvoice(BaseModel):
    """An invoice or credit note and where it stands. Amounts are decimal text in the currency's own places."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})
    id: int
    invoice: str = Field(description="what it is called: its number, or of a draft `draft-17`")
    number: str | None
    kind: Kind
    corrects: str | None = Field(description="the invoice that a credit note takes something back of")
    licensee: str
    agreement: str
    period: str
    standing: Standing
    currency: str
    net: str
    tax: str
    total: str
    paid: str = Field(description="of a credit note: what was used of it")
    credited: str
    written_off: str
    left: str = Field(description="still to be paid; of a credit note: still to be used")
    issued_at: datetime | None
    due_on: date | None
    hold_reasons: list[HoldReason]
    closed_by: str
    approved_by: str | None
    issued_by: str | None


class FinanceInvoicePage(BaseModel):
    """Invoices in the order in which they were made. A page may hold fewer than `limit` and still have a next one."""

    invoices: list[FinanceInvoice]
    next: str | None = Field(default=None, description=NEXT)


class FinanceLine(BaseModel):
    """One line. `adjustment`: it is about an earlier period than the invoice."""

    no: int
    kind: str = Field(examples=["usage"])
    subject: str = Field(examples=["anima"])
    description: str
    service_start: date
    service_end: date = Field(description="the first day after")
    adjustment: bool
    image_count: int
    unit: str
    unit_price: str | None
    amount: str
    tax_category: str
    tax_rate: str


class FinanceLines(BaseModel):
    """The lines of an invoice."""

    invoice: str
    currency: str
    lines: list[FinanceLine]


class WorkingStep(BaseModel):
    """A step from images to an amount; what else it says depends on `step`."""

    model_config = ConfigDict(extra="allow")
    step: str = Field(examples=["count"])


class LineWorkings(BaseModel):
    """How a line came about: the price that was in force and every step to the amount."""

    no: int
    price_id: str
    amount: str
    steps: list[WorkingStep]


class Workings(BaseModel):
    """The workings of every line."""

    invoice: str
    currency: str
    lines: list[LineWorkings]


class FinanceEvent(BaseModel):
    """Something that was done with an invoice."""

    kind: str = Field(examples=["approved"])
    actor: str
    role: str
    reason: str
    recorded_at: datetime


class FinanceEvents(BaseModel):
    """What was done with an invoice, in order."""

    invoice: str
    events: list[FinanceEvent]


class FinanceDocument(BaseModel):
    """A document that was made of an invoice, by its kind, with the hash of its bytes."""

    kind: str = Field(examples=["pdf"])
    template: str
    sha256: str
    made_at: datetime


class FinanceDocuments(BaseModel):
    """The documents of an invoice."""

    invoice: str
    documents: list[FinanceDocument]


@router.get("/invoices", summary="Invoices and credit notes", responses=READS)
def list_invoices(
    session: Eyes,
    *,
    standing: Annotated[list[Standing] | None, Query(description="only those that stand so; may be repeated")] = None,
    kind: Kind | None = None,
    licensee: SlugQuery = None,
    period: MonthQuery = None,
    limit: Limit = 100,
    after: After = None,
) -> FinanceInvoicePage:
    """Drafts, held, issued, paid: all of the licensor's, oldest first, with where each stands now."""
    return page(session, standing=standing, kind=kind, licensee=licensee, period=period, limit=limit, after=after)


@router.get("/credit-notes", summary="Credit notes", responses=READS)
def list_credit_notes(
    session: Eyes, *, licensee: SlugQuery = None, period: MonthQuery = None, limit: Limit = 100, after: After = None
) -> FinanceInvoicePage:
    """Those about an invoice, which `corrects` names, and those of a period in which more came back than was due."""
    return page(session, kind="credit_note", licensee=licensee, period=period, limit=limit, after=after)


@router.get("/invoices/{invoice}", summary="One invoice", responses=READS_ONE)
def get_invoice(session: Eyes, invoice: InvoiceName) -> FinanceInvoice:
    """By its number, or a draft by `draft-17`."""
    return shown(session, seen(session, invoice))


@router.get("/invoices/{invoice}/lines", summary="The lines of an invoice", responses=READS_ONE)
def get_invoice_lines(session: Eyes, invoice: InvoiceName) -> FinanceLines:
    found = seen(session, invoice)
    return FinanceLines(
        invoice=invoice, currency=found.currency, lines=[_line(line, found.currency) for line in found.lines]
    )


@router.get("/invoices/{invoice}/workings", summary="How each line was worked out", responses=READS_ONE)
def get_invoice_workings(session: Eyes, invoice: InvoiceName) -> Workings:
    """Step by step, so that anybody can do it again by hand."""
    found = seen(session, invoice)
    lines = [
        LineWorkings(
            no=line.no,
            price_id=line.price_id,
            amount=_amount(found.currency, line.amount_minor),
            steps=[WorkingStep.model_validate(step) for step in line.workings],
        )
        for line in found.lines
    ]
    return Workings(invoice=invoice, currency=found.currency, lines=lines)


@router.get("/invoices/{invoice}/events", summary="What was done with an invoice", responses=READS_ONE)
def get_invoice_events(session: Eyes, invoice: InvoiceName) -> FinanceEvents:
    found = seen(session, invoice)
    events = [FinanceEvent.model_validate(each, from_attributes=True) for each in events_of(session, found.id)]
    return FinanceEvents(invoice=invoice, events=events)


@router.get("/invoices/{invoice}/documents", summary="The documents of an invoice", responses=READS_ONE)
def list_invoice_documents(session: Eyes, invoice: InvoiceName) -> FinanceDocuments:
    found = seen(session, invoice)
    columns = (InvoiceDocument.kind, InvoiceDocument.template, InvoiceDocument.sha256, InvoiceDocument.made_at)
    rows = session.execute(select(*columns).filter_by(invoice_id=found.id).order_by(InvoiceDocument.kind))
    return FinanceDocuments(
        invoice=invoice, documents=[FinanceDocument.model_validate(row, from_attributes=True) for row in rows]
    )


@router.get(
    "/invoices/{invoice}/documents/{kind}",
    summary="A document of an invoice",
    response_class=Response,
    responses={
        **READS_ONE,
        200: {"description": "The bytes as they were made.", "content": {"application/pdf": {}, "text/csv": {}}},
    },
)
def get_invoice_document(
    session: Eyes, invoice: InvoiceName, kind: Annotated[str, Path(max_length=40, pattern=r"^[a-z0-9_.-]+$")]
) -> Response:
    found = seen(session, invoice)
    document = session.get(InvoiceDocument, (found.id, kind))
    if document is None:
        raise NotFound("document_not_found", f"there is no document {kind} of {invoice}: it may still be being made")
    end = next((end for end in MEDIA_TYPES if kind.endswith(end)), "")
    disposition = {"Content-Disposition": f'attachment; filename="{invoice}-{kind}.{end or "bin"}"'}
    return Response(document.content, media_type=MEDIA_TYPES.get(end, "application/octet-stream"), headers=disposition)


def page(
    session: Session,
    *,
    standing: list[Standing] | None = None,
    kind: str | None = None,
    licensee: str | None = None,
    period: str | None = None,
    limit: int,
    after: str | None,
) -> FinanceInvoicePage:
    """A page of what the session may see."""
    mark = read_mark(after, tuple[int])
    found: list[dict[str, Any]] = []
    at, more = (mark[0] if mark else 0), True
    for _ in range(_LOOKS):
        wanted = limit - len(found)
        rows = overview(session, licensee=licensee, period=month_of(period), after=min(at, 2**63 - 1), limit=wanted)
        found += [
            row for row in rows if (not standing or row["standing"] in standing) and (not kind or row["kind"] == kind)
        ]
        more, at = len(rows) == wanted, rows[-1]["id"] if rows else at
        if not more or len(found) == limit:
            break
    return FinanceInvoicePage(
        invoices=[FinanceInvoice(**row) for row in found], next=next_mark([at], 1, lambda id_: (id_,)) if more else None
    )


def seen(session: Session, name: str) -> Invoice:
    """The invoice of this name that the session may see."""
    try:
        return find_invoice(session, name)
    except NotFound:
        raise NotFound("invoice_not_found", f"there is no invoice {name}") from None


def shown(session: Session, invoice: Invoice) -> FinanceInvoice:
    """An invoice as the API shows it, as it is now."""
    [row] = overview(session, after=invoice.id - 1, limit=1)
    return FinanceInvoice(**row)


def _line(line: InvoiceLine, currency: str) -> FinanceLine:
    return FinanceLine(
        no=line.no,
        kind=line.kind,
        subject=line.subject,
        description=line.description,
        service_start=line.service_start,
        service_end=line.service_end,
        adjustment=line.adjustment,
        image_count=line.image_count,
        unit=line.unit,
        unit_price=None if line.unit_price is None else plain(line.unit_price),
        amount=_amount(currency, line.amount_minor),
        tax_category=line.tax_category,
        tax_rate=plain(line.tax_rate),
    )


def _amount(currency: str, minor: int) -> str:
    return f"{Money(currency, minor).amount:f}"
