"""The documents of an invoice, to save or to show beside its page."""

from fastapi import Request
from starlette.responses import Response

from core.invoicing.documents import MEDIA_TYPES, document_of
from service.dashboard.files import file_response
from service.dashboard.pages.invoices.router import invoice_of, router
from service.dashboard.signed_in import FinanceEyes, Viewer

_ENDS = {"pdf": "pdf", "lines.csv": "lines.csv", "daily_counts.csv": "daily-counts.csv", "factur-x.xml": "factur-x.xml"}


@router.get("/{invoice}/documents/{kind}")
def invoice_document(request: Request, person: Viewer, eyes: FinanceEyes, invoice: str, kind: str) -> Response:
    """As it was made and sent. With `?show=1` the browser shows it instead of saving it."""
    found = invoice_of(eyes, invoice)
    document = document_of(eyes, found, kind)
    name = f"{found.number}.pdf" if kind == "pdf" else f"{found.number}-{_ENDS[kind]}"
    inline = kind == "pdf" and request.query_params.get("show") == "1"
    return file_response(document.content, MEDIA_TYPES[kind], name, inline=inline)
