"""How fast documents are made from frozen invoices, on one core.

    python -m bench.documents [--seconds N] [--json]

Every invoice has a number of its own, so that nothing of the one before can be taken from a cache:

    en, de, ja      the PDF of an ordinary invoice (4 lines, a month of days, 165 derivatives) in each language
    sixty lines     the PDF of an invoice with 60 lines and their workings
    attachments     both CSV files
    e-invoice       the PDF with EN 16931 XML inside, when its libraries are installed

The baseline is at least 8 documents a second.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from importlib.util import find_spec
from typing import Any

from rich.console import Console
from rich.table import Table

from core.invoicing.paper.attachments import daily_counts_csv, lines_csv
from core.invoicing.paper.document import render_pdf, title_of
from core.invoicing.paper.einvoice import einvoice_xml, embed

LEAST_A_SECOND = 8
_FIRST = date(2026, 10, 1)


def frozen(number: int, language: str = "en", lines: int = 4) -> dict[str, Any]:
    """An issued invoice as its snapshot has it."""
    places = [_line(no) for no in range(1, lines + 1)]
    net = 1_000 * lines
    party = {"slug": "owl", "name": "Owl Labs GmbH", "address": ["Lindenstraße 14", "10969 Berlin", "Germany"]}
    derivatives = [{"model": f"d-{n}", "name": f"Derivative {n}", "image_count": 1_000 - n} for n in range(165)]
    by_day = [{"day": str(_FIRST + timedelta(days=n)), "image_count": 4_000 + 97 * n} for n in range(31)]
    return {
        "number": f"OWL-{number:06}",
        "kind": "regular",
        "status": "issued",
        "issued_at": "2026-11-03T09:30:00+00:00",
        "due_on": "2026-12-03",
        "payment_days": 30,
        "currency": "EUR",
        "currency_exponent": 2,
        "licensor": {**party, "email": "billing@owl.example", "tax_id": "DE123456789"},
        "licensee": {**party, "slug": "horde", "name": "Horde Images", "email": "ap@horde.example", "tax_id": ""},
        "agreement": {"slug": "a", "name": "Hosting 2026", "starts_on": "2026-01-01", "ends_on": "2027-01-01"},
        "period": {"name": "2026-10", "start": "2026-10-01", "end": "2026-11-01", "zone": "Europe/Berlin"},
        "lines": places,
        "commitments": [],
        "usage": {
            "by_model": [{"model": "sd-1", "name": "SD 1", "image_count": 200_000, "derivatives": derivatives}],
            "by_day": by_day,
        },
        "subtotal": f"{net}.00",
        "tax": f"{net * 19 // 100}.00",
        "total": f"{net + net * 19 // 100}.00",
        "taxes": [
            {"category": "standard", "rate": "19", "net": f"{net}.00", "tax": f"{net * 19 // 100}.00", "sentence": ""}
        ],
        "billing": {
            "contacts": [],
            "purchase_order": "PO-7",
            "payment_terms": "IBAN DE02 1203 0000 0000 2020 51",
            "language": language,
            "locale": language,
        },
        "corrects": None,
        "notes": [],
        "content_hash": f"{number:064x}",
    }


def _line(no: int) -> dict[str, Any]:
    steps = [
        {"step": "count", "from": "2026-10-01", "until": "2026-11-01", "days": 31, "images": 100_000},
        {"step": "price", "images": 100_000, "price": "0.01", "amount": "1000"},
        {"step": "round", "rule": "half up, once", "amount": "1000.00", "currency": "EUR"},
    ]
    money = {"unit": "EUR", "unit_price": "0.01", "unit_amount": "1000", "conversion_rate": None, "amount": "1000.00"}
    days = {"service_start": "2026-10-01", "service_end": "2026-11-01", "adjustment": False}
    said = {"no": no, "kind": "usage", "description": f"Images by model-{no}", "model": f"model-{no}"}
    tax = {"tax_category": "standard", "tax_rate": "19"}
    return {**said, **days, **money, **tax, "image_count": 100_000, "workings": steps}


def _with_einvoice(invoice: dict[str, Any]) -> None:
    embed(render_pdf(invoice), einvoice_xml(invoice), invoice, title=title_of(invoice))


def _attached(invoice: dict[str, Any]) -> None:
    lines_csv(invoice)
    daily_counts_csv(invoice)


def rate(make: Callable[[dict[str, Any]], object], seconds: float, **how: Any) -> float:
    """Documents a second of CPU time, after one that warms up: other programs on the machine do not count."""
    make(frozen(0, **how))
    done, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        done += 1
        make(frozen(done, **how))
    return done / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="CPU time for each kind")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = {language: rate(render_pdf, asked.seconds, language=language) for language in ("en", "de", "ja")}
    found["sixty lines"] = rate(render_pdf, asked.seconds, lines=60)
    found["attachments"] = rate(_attached, asked.seconds)
    if find_spec("drafthorse") and find_spec("facturx"):
        found["e-invoice"] = rate(_with_einvoice, asked.seconds)
    if asked.json:
        print(json.dumps({kind: round(each, 1) for kind, each in found.items()}))
    else:
        table = Table("document", "a second of one core", title=f"At least {LEAST_A_SECOND} a second")
        for kind, each in found.items():
            table.add_row(kind, f"{each:,.1f}")
        Console().print(table)
    sys.exit(any(each < LEAST_A_SECOND for kind, each in found.items() if kind != "sixty lines"))


if __name__ == "__main__":
    main()
