"""Makes and keeps the documents of an issued invoice: PDF, attachments, and the e-invoice where one is asked for.

Everything comes from the frozen snapshot, in a step that can be repeated: what is kept already is left as it was sent.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.errors import Conflict, InvalidInput, NotFound
from core.invoicing.paper.attachments import ATTACHMENTS_VERSION, daily_counts_csv, lines_csv
from core.invoicing.paper.document import TEMPLATE_VERSION, Logo, render_pdf, title_of
from core.invoicing.paper.einvoice import EINVOICE_VERSION, einvoice_xml, embed, wants_einvoice
from core.invoicing.tables import Invoice, InvoiceDocument
from core.registry.tables import StoredPicture

MEDIA_TYPES = {
    "pdf": "application/pdf",
    "lines.csv": "text/csv; charset=utf-8",
    "daily_counts.csv": "text/csv; charset=utf-8",
    "factur-x.xml": "application/xml",
}
KINDS = tuple(MEDIA_TYPES)
_log = logging.getLogger("perimage.documents")


def make_document(session: Session, invoice_id: int) -> InvoiceDocument:
    """The PDF of an issued invoice, made with its attachments once and kept; a repeat gives what was kept."""
    kept = {row.kind: row for row in session.scalars(select(InvoiceDocument).filter_by(invoice_id=invoice_id))}
    invoice = session.get_one(Invoice, invoice_id)
    if "pdf" in kept and {"lines.csv", "daily_counts.csv"} <= set(kept):
        return kept["pdf"]
    if invoice.snapshot is None:
        raise Conflict("invoice_not_issued", "a document is made from an issued invoice; issue it first")
    frozen = {**invoice.snapshot, "content_hash": invoice.content_hash}
    for kind, version, content in _made(frozen, logo_of(session, frozen), with_pdf="pdf" not in kept):
        row = {"invoice_id": invoice_id, "kind": kind, "template": version, "content": content}
        row["sha256"] = hashlib.sha256(content).hexdigest()
        session.execute(insert(InvoiceDocument).values(**row).on_conflict_do_nothing())
    return session.get_one(InvoiceDocument, (invoice_id, "pdf"))


def logo_of(session: Session, snapshot: Mapping[str, Any]) -> Logo | None:
    """The logo that a frozen invoice names, whatever its licensor has now."""
    sha256 = snapshot["licensor"].get("logo_sha256")
    if sha256 is None:
        return None
    kept = session.get_one(StoredPicture, sha256)
    return Logo(kept.media_type, kept.content)


def document_of(session: Session, invoice: Invoice, kind: str) -> InvoiceDocument:
    """A document as it was made and kept. `NotFound` says whether it comes later or why there is none."""
    if kind not in KINDS:
        raise NotFound("no_such_document", f"an invoice has the documents {', '.join(KINDS)}; not {kind[:40]!r}")
    found = session.get(InvoiceDocument, (invoice.id, kind))
    if found is not None:
        return found
    if kind == "factur-x.xml":
        why = why_no_einvoice(invoice.snapshot or {})
        if why is not None:
            raise NotFound("no_einvoice", f"invoice {invoice.number} has no e-invoice: {why}")
    what = "PDF" if kind == "pdf" else kind
    raise NotFound(
        "document_not_ready", f"the {what} of invoice {invoice.number} is still being made: ask again in a moment"
    )


def why_no_einvoice(snapshot: Mapping[str, Any]) -> str | None:
    """Why an issued invoice has no e-invoice; None where it has one."""
    if not wants_einvoice(snapshot):
        return "its account does not ask for any"
    try:
        einvoice_xml(snapshot)
    except InvalidInput as refusal:
        return refusal.sentence
    return None


def _made(frozen: Mapping[str, Any], logo: Logo | None, *, with_pdf: bool) -> Iterator[tuple[str, str, bytes]]:
    """Every document with its kind and the version of what made it."""
    yield "lines.csv", ATTACHMENTS_VERSION, lines_csv(frozen)
    yield "daily_counts.csv", ATTACHMENTS_VERSION, daily_counts_csv(frozen)
    if not with_pdf:
        return
    pdf = render_pdf(frozen, logo=logo)
    if wants_einvoice(frozen):
        try:
            xml = einvoice_xml(frozen)
            yield "pdf", f"{TEMPLATE_VERSION}+{EINVOICE_VERSION}", embed(pdf, xml, frozen, title=title_of(frozen))
            yield "factur-x.xml", EINVOICE_VERSION, xml
            return
        except InvalidInput as refusal:
            _log.warning("invoice %s goes out without an e-invoice: %s", frozen["number"], refusal.sentence)
    yield "pdf", TEMPLATE_VERSION, pdf
