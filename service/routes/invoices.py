"""Invoices, as the licensee who has to pay them sees them."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from core.database import licensee_eyes
from core.invoicing.documents import MEDIA_TYPES
from core.invoicing.queries import invoice_content, invoice_document, invoices
from core.period import Period
from service.caller import RequestCaller
from service.session import RequestSession

router = APIRouter(tags=["invoices"])
Number = Annotated[str, Path(max_length=64, pattern=r"^[A-Z0-9-]+$", examples=["OWG-000001"])]


class InvoiceSummary(BaseModel):
    """One issued invoice. `total` is a decimal string in the currency's own number of places."""

    number: str
    licensor: str
    licensee: str
    period: str = Field(examples=["2026-10"])
    status: str = Field(examples=["issued"])
    currency: str = Field(examples=["USD"])
    total: str = Field(examples=["37150.46"])
    issued_at: str
    due_on: str


class InvoicePage(BaseModel):
    """Invoices by number."""

    invoices: list[InvoiceSummary]
    next: str | None = Field(default=None, description="give it as `after` to get what follows; null on the last page")


@router.get("/v1/invoices", summary="The caller's issued invoices")
def list_invoices(
    session: RequestSession,
    caller: RequestCaller,
    *,
    period: Annotated[str | None, Query(max_length=10, description="only this month, such as 2026-10")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=64, description="`next` of the page before")] = None,
) -> InvoicePage:
    month = Period.month(period) if period else None
    with licensee_eyes(session, caller.licensee_id):
        rows = invoices(session, period=month, after=after, limit=limit)
    return InvoicePage(
        invoices=[InvoiceSummary(**row) for row in rows], next=rows[-1]["number"] if len(rows) == limit else None
    )


@router.get(
    "/v1/invoices/{number}.pdf",
    summary="The invoice as a PDF",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}}},
)
def get_invoice_pdf(session: RequestSession, caller: RequestCaller, number: Number) -> Response:
    """The bytes as they were made when the invoice was issued."""
    with licensee_eyes(session, caller.licensee_id):
        content = invoice_document(session, number, "pdf")
    return Response(
        content, media_type="application/pdf", headers={"Content-Disposition": f'inline; filename="{number}.pdf"'}
    )


@router.get(
    "/v1/invoices/{number}/documents/{kind}",
    summary="A document of an invoice",
    response_class=Response,
    responses={200: {"content": {media_type.partition(";")[0]: {} for media_type in MEDIA_TYPES.values()}}},
)
def get_invoice_document(
    session: RequestSession,
    caller: RequestCaller,
    number: Number,
    kind: Annotated[str, Path(max_length=64, examples=["lines.csv"])],
) -> Response:
    """The bytes as they were made when the invoice was issued: `pdf`, `lines.csv`, `daily_counts.csv`, and
    `factur-x.xml` where the account asks for e-invoices.
    """
    with licensee_eyes(session, caller.licensee_id):
        content = invoice_document(session, number, kind)
    name = f"{number}.pdf" if kind == "pdf" else f"{number}-{kind}"
    return Response(
        content, media_type=MEDIA_TYPES[kind], headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


@router.get("/v1/invoices/{number}", summary="One invoice with its lines and workings")
def get_invoice(session: RequestSession, caller: RequestCaller, number: Number) -> dict[str, Any]:
    """The frozen content, its hash over canonical JSON (`content_hash`), and the present status."""
    with licensee_eyes(session, caller.licensee_id):
        return invoice_content(session, number)
