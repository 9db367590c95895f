"""Invoices as they are after issuing, for the tests of documents: the sample, in a language and with tax."""

import json
import re
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pypdfium2

from core.invoicing.paper.document import render_pdf

SAMPLE = Path(__file__).with_name("sample_invoice.json")
REVERSE_CHARGE = "Reverse charge: the recipient is liable for the tax."
BANK = {
    "iban": "DE02120300000000202051",
    "bic": "BYLADEM1001",
    "account_holder": "Owl Labs Treasury",
    "bank_name": "DKB",
}
EXEMPT = "Interest for late payment is no supply and bears no tax."


def sample() -> dict[str, Any]:
    """As it was issued before accounts had a language, tax or contacts."""
    read: dict[str, Any] = json.loads(SAMPLE.read_text(encoding="utf-8"))
    return read


def billed_in(language: str, locale: str | None = None, **changes: Any) -> dict[str, Any]:
    """The sample with everything that an account can ask for, at 19 % tax."""
    invoice = sample()
    invoice["billing"] = {
        "contacts": [{"name": "Erika Mustermann", "email": "erika@horde.example"}],
        "purchase_order": "PO-2026-0815",
        "payment_terms": "IBAN DE02 1203 0000 0000 2020 51\nBIC BYLADEM1001",
        "language": language,
        "locale": locale or language,
        "e_invoice": True,
    }
    invoice["corrects"] = None
    return taxed(invoice | changes, "standard", "19")


def taxed(invoice: dict[str, Any], category: str, rate: str = "0", sentence: str = "") -> dict[str, Any]:
    """The same with one tax on all its lines, and totals that follow from them. Half up, written out here."""
    invoice = deepcopy(invoice)
    places = Decimal(1).scaleb(-invoice["currency_exponent"])
    net = sum((Decimal(line["amount"]) for line in invoice["lines"]), start=Decimal(0)).quantize(places)
    tax = (net * Decimal(rate) / 100).quantize(places, rounding="ROUND_HALF_UP")
    for line in invoice["lines"]:
        line |= {"tax_category": category, "tax_rate": rate}
    row = {"category": category, "rate": rate, "net": f"{net:f}", "tax": f"{tax:f}", "sentence": sentence}
    invoice |= {"subtotal": f"{net:f}", "tax": f"{tax:f}", "total": f"{net + tax:f}", "taxes": [row]}
    return invoice


def credit_note(language: str = "de") -> dict[str, Any]:
    """250.00 of the sample given back, with its tax."""
    lines = [
        plain_line(
            amount="-250.00",
            kind="credit",
            description="Credit on invoice OWL-000001, line 2: Monthly fee for hosting",
            model="hosting",
            adjustment=True,
            workings=[{"step": "credit", "text": "Given back: agreed with Ms. Park"}],
        )
    ]
    corrects = {"number": "OWL-000001", "issued_at": "2026-11-03T09:30:00+00:00", "content_hash": "0" * 64}
    note = billed_in(language, lines=lines, commitments=[], usage={}, notes=[], kind="credit_note")
    return note | {"number": "OWL-CN-000003", "corrects": corrects, "issued_at": "2026-11-09T09:30:00+00:00"}


def plain_line(amount: str, **changes: Any) -> dict[str, Any]:
    """A line of a fee in the invoice's own currency."""
    own = {"unit": "USD", "unit_price": None, "image_count": 0, "conversion_rate": None, "workings": []}
    return {**sample()["lines"][-1], **own, "unit_amount": amount, "amount": amount, **changes}


def pages_of(pdf: bytes) -> list[str]:
    """The text of each page as a reader copies it. pdfium reports a hyphen at the end of a line as U+FFFE."""
    read = [page.get_textpage().get_text_range().replace("\ufffe", "-") for page in pypdfium2.PdfDocument(pdf)]
    return [re.sub(r"[^\S\n]+", " ", text.replace("\r\n", "\n")).strip() for text in read]


def pages(pdf: bytes) -> list[str]:
    """The text of each page, without thin spaces between digits and without line breaks.

    pdfium reports a hyphen at the end of a line as U+FFFE.
    """
    read = [page.get_textpage().get_text_range().replace("\ufffe", "-") for page in pypdfium2.PdfDocument(pdf)]
    return [re.sub(r"\s+", " ", re.sub(r"(?<=\d)\u202f(?=\d)", "", text)) for text in read]


def text_of(invoice: dict[str, Any]) -> str:
    """The text of the whole invoice, in one line."""
    return " ".join(pages(render_pdf(invoice)))


def line_of(invoice: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The sample's last line with its workings left out, so that only what the test wants is printed."""
    return {**invoice["lines"][-1], "workings": [], **changes}
