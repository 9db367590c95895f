"""Documents made, kept and handed out: each once, from the frozen snapshot, and the same when made again."""

import csv
import hashlib
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.invoicing.documents import logo_of, make_document, why_no_einvoice
from core.invoicing.paper.attachments import DAY_COLUMNS, LINE_COLUMNS, daily_counts_csv, lines_csv
from core.invoicing.paper.document import render_pdf
from core.invoicing.queries import invoice_document
from core.invoicing.tables import Invoice, InvoiceDocument
from core.registry.brand import Brand
from core.registry.pictures import picture_of
from core.registry.register import change_brand
from tests.core.invoicing.papers import BANK, billed_in, credit_note, pages_of, sample
from tests.core.invoicing.people import OCTOBER, issued
from tests.trade import Trade, flat

LOGO = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 3"><rect width="9" height="3" fill="#123"/></svg>'


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def documented(session: Session, trade: Trade, **billing: Any) -> Invoice:
    """October's invoice with its documents, for an account that is billed so."""
    for setting, value in billing.items():
        setattr(trade.accounts["north"], setting, value)
    agreement = trade.agreement(fees=[flat("sd-1", "0.015")])
    trade.use("sd-1", 333, "2026-10-03T12:00Z")
    invoice = issued(session, agreement, OCTOBER)
    make_document(session, invoice.id)
    session.commit()
    return invoice


def kept(session: Session) -> dict[str, InvoiceDocument]:
    return {row.kind: row for row in session.scalars(select(InvoiceDocument))}


def test_every_document_is_kept_and_can_be_made_again_byte_for_byte(session: Session, trade: Trade) -> None:
    invoice = documented(session, trade, language="de", locale="de-CH", payment_terms="IBAN X")
    documents = kept(session)
    assert set(documents) == {"pdf", "lines.csv", "daily_counts.csv"}
    assert all(hashlib.sha256(row.content).hexdigest() == row.sha256 for row in documents.values())
    frozen = {**json.loads(json.dumps(invoice.snapshot)), "content_hash": invoice.content_hash}
    assert render_pdf(frozen, template=documents["pdf"].template) == documents["pdf"].content
    assert "Rechnung über Lizenzgebühren" in pages_of(documents["pdf"].content)[0]
    made_at = {kind: row.made_at for kind, row in documents.items()}
    assert make_document(session, invoice.id).kind == "pdf"
    assert {kind: row.made_at for kind, row in kept(session).items()} == made_at


def test_attachments_that_were_lost_are_made_and_the_pdf_is_left_alone(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.015")])
    trade.use("sd-1", 333, "2026-10-03T12:00Z")
    invoice = issued(session, agreement, OCTOBER)
    before = {"invoice_id": invoice.id, "kind": "pdf", "template": "invoice-1", "content": b"as sent", "sha256": "0"}
    session.add(InvoiceDocument(**before))
    session.flush()
    assert make_document(session, invoice.id).content == b"as sent"
    assert set(kept(session)) == {"pdf", "lines.csv", "daily_counts.csv"}


def test_an_invoice_keeps_the_look_and_the_bank_it_was_issued_with(session: Session, trade: Trade) -> None:
    old, new = (picture_of(LOGO.replace(b"#123", colour)) for colour in (b"#123456", b"#654321"))
    change_brand(session, "guild", Brand("#1b4d89", "", old))
    session.expire_all()
    invoice = documented(session, trade, bank=BANK)
    first = kept(session)["pdf"]
    frozen = {**json.loads(json.dumps(invoice.snapshot)), "content_hash": invoice.content_hash}
    assert frozen["licensor"]["colours"] == {"ink": "#1b4d89", "accent": "#1b4d89"}
    assert frozen["licensor"]["logo_sha256"] == old.sha256
    assert frozen["billing"]["bank"] == BANK
    change_brand(session, "guild", Brand("#4a1026", "", new))
    trade.accounts["north"].bank = {}
    session.commit()
    logo = logo_of(session, frozen)
    assert logo is not None and logo.content == old.content
    assert render_pdf(frozen, template=first.template, logo=logo) == first.content
    assert "IBAN: DE02 1203 0000 0000 2020 51" in "".join(pages_of(first.content))


def test_an_account_that_asks_for_e_invoices_gets_them(session: Session, trade: Trade) -> None:
    trade.licensor.address, trade.licensor.tax_id = ["Berlin", "Germany"], "DE123456789"
    trade.licensees["north"].address = ["Wien", "Österreich"]
    invoice = documented(session, trade, e_invoice=True, language="de", tax_category="standard", tax_rate=19)
    documents = kept(session)
    assert set(documents) == {"pdf", "lines.csv", "daily_counts.csv", "factur-x.xml"}
    assert documents["pdf"].template == "invoice-2+en16931-1"
    assert b"urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#" in documents["pdf"].content
    xml = invoice_document(session, str(invoice.number), "factur-x.xml")
    assert b"<ram:GrandTotalAmount>5.95</ram:GrandTotalAmount>" in xml
    assert why_no_einvoice(invoice.snapshot or {}) is None


def test_what_cannot_be_an_e_invoice_goes_out_as_a_pdf_and_says_why(
    session: Session, trade: Trade, caplog: pytest.LogCaptureFixture
) -> None:
    invoice = documented(session, trade, e_invoice=True)
    assert set(kept(session)) == {"pdf", "lines.csv", "daily_counts.csv"}
    assert "goes out without an e-invoice: nobody can tell the licensor's country" in caplog.text
    with pytest.raises(NotFound, match="nobody can tell the licensor's country"):
        invoice_document(session, str(invoice.number), "factur-x.xml")


def test_a_document_that_is_none_or_not_there_yet_is_said_to_be_so(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.015")])
    trade.use("sd-1", 333, "2026-10-03T12:00Z")
    number = str(issued(session, agreement, OCTOBER).number)
    with pytest.raises(NotFound, match="still being made"):
        invoice_document(session, number, "lines.csv")
    with pytest.raises(NotFound, match=r"pdf, lines\.csv, daily_counts\.csv, factur-x\.xml"):
        invoice_document(session, number, "lines.xls")
    with pytest.raises(NotFound, match="does not ask for any"):
        invoice_document(session, number, "factur-x.xml")


def test_the_lines_sum_to_the_net_and_name_their_days() -> None:
    invoice = billed_in("de")
    rows = rows_of(lines_csv(invoice))
    assert tuple(rows[0]) == LINE_COLUMNS
    assert lines_csv(invoice).count(b"\r\n") == lines_csv(invoice).count(b"\n") == 1 + len(rows)
    assert [row["amount"] for row in rows] == [line["amount"] for line in invoice["lines"]]
    assert rows[0]["first_day"] == "2026-09-01" and rows[0]["last_day"] == "2026-09-30"
    assert rows[0]["image_count"] == "-1204", "a number may begin with a minus"
    assert (rows[1]["unit_price"], rows[0]["adjustment"], rows[3]["tax_rate"]) == ("", "yes", "19")


def test_the_days_sum_to_the_images_billed() -> None:
    rows = rows_of(daily_counts_csv(sample()))
    assert tuple(rows[0]) == DAY_COLUMNS
    assert sum(int(row["image_count"]) for row in rows) == 6191731
    assert rows_of(daily_counts_csv(credit_note())) == []


@given(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=30) | st.sampled_from(["=1+1", "@A1", " =x", '"a",\r\nb'])
)
def test_no_text_is_run_by_a_spreadsheet_or_leaves_its_cell(text: str) -> None:
    invoice = sample()
    invoice["lines"] = [invoice["lines"][0] | {"description": text, "model": text}]
    [row] = rows_of(lines_csv(invoice))
    for cell in (row["description"], row["model"]):
        assert not cell.lstrip(" ").startswith(("=", "+", "@")), cell
    assert row["invoice"] == "OWL-000001"
    assert row["tax_rate"] == ""
