"""The invoice PDF, read back as a customer's reader would read it."""

import ctypes
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from pypdfium2 import raw

from core.errors import InvalidInput
from core.invoicing.paper.document import TEMPLATE_VERSION, render_pdf
from core.invoicing.paper.words import WORDS
from tests.core.invoicing.papers import SAMPLE, line_of, pages, text_of

HOSTILE = "#import \"x\" *bold* _it_ [a] {b} $x^2$ `raw` <label> @ref \\n // c /* d */ -- 'q' #panic() = end"
MARGIN = 20 / 25.4 * 72  # the template's 20 mm in points


def assert_nothing_leaves_the_page(pdf: bytes) -> None:
    for page in pypdfium2.PdfDocument(pdf):
        text = page.get_textpage()
        for n in range(text.count_chars()):
            left, bottom, right, top = text.get_charbox(n)
            if right > left and top > bottom and text.get_text_range(n, 1).strip():
                assert left >= MARGIN - 2, text.get_text_range(n, 20)
                assert right <= page.get_width() - MARGIN + 2, text.get_text_range(max(n - 20, 0), 20)


def test_every_line_and_the_total_are_in_the_document(invoice: dict[str, Any]) -> None:
    first = pages(render_pdf(invoice))[0]
    for line in invoice["lines"]:
        assert line["description"] in first
        assert f" {line['amount'].replace('-', '−')} " in first
        if line["image_count"]:
            assert f" {str(line['image_count']).replace('-', '−')} " in first
    assert "6006709 12 BUZZ 72080508 BUZZ 72080.51" in first
    assert first.count("Total due 74536.32 USD") == 2


def test_the_parties_the_agreement_and_the_dates_stand_on_the_first_page(invoice: dict[str, Any]) -> None:
    first = pages(render_pdf(invoice))[0]
    for party in (invoice["licensor"], invoice["licensee"]):
        for text in (party["name"], *party["address"], party["email"], party["tax_id"]):
            assert text in first
    assert first.index("Licence fee invoice") < first.index("Invoice number")
    for text in ("Invoice number OWL-000001", "Issued 3 November 2026", "Due 3 December 2026"):
        assert text in first
    assert "Commercial hosting agreement 2026" in first


def test_half_open_days_are_printed_with_their_last_day(invoice: dict[str, Any]) -> None:
    first = pages(render_pdf(invoice))[0]
    assert "In force 1 September 2026 to 30 September 2027" in first
    assert "For the period October 2026" in first
    invoice["period"] |= {"start": "2026-10-15", "end": "2026-11-01"}
    assert "15 to 31 October 2026" in text_of(invoice)


def test_the_issue_date_is_the_day_in_the_zone_of_the_account(invoice: dict[str, Any]) -> None:
    invoice["issued_at"] = "2026-11-03T20:00:00Z"
    invoice["period"]["zone"] = "Asia/Tokyo"
    assert "4 November 2026" in text_of(invoice)


def test_an_adjustment_names_the_period_it_belongs_to(invoice: dict[str, Any]) -> None:
    first = pages(render_pdf(invoice))[0]
    assert "Adjustment to 2026-09: Images by stable-diffusion-2 September 2026 · Stable Diffusion 2" in first
    invoice["lines"][0]["description"] = "Images by stable-diffusion-2"
    assert "Adjustment to September 2026 · Stable Diffusion 2" in pages(render_pdf(invoice))[0]


def test_a_fee_without_a_price_per_image_shows_no_count(invoice: dict[str, Any]) -> None:
    assert "Monthly fee for hosting 250000 BUZZ 250.00 " in pages(render_pdf(invoice))[0]


def test_the_printed_recipe_gives_the_printed_hash(invoice: dict[str, Any]) -> None:
    printed = invoice.pop("content_hash")
    canonical = json.dumps(invoice, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.sha256(canonical).hexdigest() == printed


def test_commitments_usage_and_notes_are_printed(invoice: dict[str, Any]) -> None:
    first, second = pages(render_pdf(invoice))
    assert "14.7 %" in first
    assert "6191731 of 42000000 images 35808269 images to go" in first
    assert all(note in first for note in invoice["notes"])
    assert "Images a day, October 2026" in second
    assert "6191731 images · 199733 a day on average" in second
    assert "Anything Diffusion Stable Diffusion 1 1106052 17.9 %" in second
    assert "148 more derivatives 1448510" in second


def test_a_commitment_is_not_shown_as_full_before_it_is_met(invoice: dict[str, Any]) -> None:
    invoice["commitments"][0] |= {"fraction": "0.99999", "counted": "41999580", "remaining": "420"}
    assert "99.9 %" in text_of(invoice)
    invoice["commitments"][0] |= {"fraction": "1.2", "counted": "50400000", "remaining": "0"}
    printed = text_of(invoice)
    assert "100 %" in printed
    assert "Met" in printed


def test_a_commitment_in_money_is_printed_in_its_unit(invoice: dict[str, Any]) -> None:
    money = {"kind": "money", "unit": "USD", "target": "1000.00", "counted": "250.50", "remaining": "749.50"}
    invoice["commitments"][0] |= {**money, "fraction": "0.2505"}
    assert "250.50 of 1000.00 USD 749.50 USD to go" in text_of(invoice)


def test_the_footer_of_every_page_has_number_hash_and_how_to_verify_it(invoice: dict[str, Any]) -> None:
    read = pages(render_pdf(invoice))
    for n, page in enumerate(read, 1):
        assert f"Page {n} of {len(read)}" in page
        assert invoice["content_hash"] in page
        assert WORDS["verify"][0] in page
        assert "OWL-000001" in page


def test_the_bytes_repeat_in_another_process_with_another_environment(invoice: dict[str, Any], tmp_path: Path) -> None:
    here = hashlib.sha256(render_pdf(invoice)).hexdigest()
    program = (
        "import sys, json, hashlib; from core.invoicing.paper.document import render_pdf;"
        "print(hashlib.sha256(render_pdf(json.load(open(sys.argv[1], encoding='utf-8')))).hexdigest())"
    )
    root = Path(__file__).parents[4]
    strange = {
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C",
        "HOME": str(tmp_path),
        "SOURCE_DATE_EPOCH": "1",
        "PYTHONHASHSEED": "7",
    }
    there = subprocess.run(
        [sys.executable, "-c", program, str(SAMPLE)],
        env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(root), **strange},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here


def test_the_order_of_keys_in_the_snapshot_does_not_change_the_bytes(invoice: dict[str, Any]) -> None:
    assert render_pdf(dict(sorted(invoice.items()))) == render_pdf(invoice)


def test_the_snapshot_is_left_as_it_was(invoice: dict[str, Any]) -> None:
    before = deepcopy(invoice)
    render_pdf(invoice)
    assert invoice == before


def test_an_issued_invoice_is_an_archive_pdf_dated_by_its_issue(invoice: dict[str, Any]) -> None:
    pdf = render_pdf(invoice)
    assert re.search(rb"pdfaid:part>\s*3<", pdf)
    assert re.search(rb"pdfaid:conformance>\s*B<", pdf)
    metadata = pypdfium2.PdfDocument(pdf).get_metadata_dict()
    assert metadata["CreationDate"].startswith("D:20261103093000")
    assert metadata["Title"] == "Licence fee invoice OWL-000001"
    assert metadata["Author"] == "Owl Labs GmbH"
    assert metadata["Keywords"] == TEMPLATE_VERSION


def test_only_the_fonts_inside_the_typst_wheel_are_used(invoice: dict[str, Any]) -> None:
    invoice["licensee"]["name"] = "Иванов, Žižek & שלום"
    found = set()
    for page in pypdfium2.PdfDocument(render_pdf(invoice)):
        text = page.get_textpage()
        for n in range(text.count_chars()):
            name = ctypes.create_string_buffer(100)
            raw.FPDFText_GetFontInfo(text, n, name, 100, None)
            found.add(re.sub(r"^[A-Z]{6}\+|-.*$", "", name.value.decode()))
    assert found - {""} <= {"LibertinusSerif", "DejaVuSansMono", "NewCM10", "NewCMMath"}


def test_a_draft_is_marked_and_has_no_number(invoice: dict[str, Any]) -> None:
    invoice |= {"number": None, "status": "draft", "issued_at": None, "due_on": None, "content_hash": None}
    pdf = render_pdf(invoice)
    assert pdf == render_pdf(invoice)
    for page in pages(pdf):
        assert "DRAFT" in page
        assert "Content hash" not in page
    assert "Not yet issued" in pages(pdf)[0]
    assert "30 days after issue" in pages(pdf)[0]
    assert "DRAFT" not in text_of(json.loads(SAMPLE.read_text(encoding="utf-8")))


def test_a_void_invoice_is_marked(invoice: dict[str, Any]) -> None:
    assert "VOID" in text_of(invoice | {"status": "void"})


def test_text_from_the_snapshot_is_printed_and_never_run(invoice: dict[str, Any]) -> None:
    invoice["licensor"] |= {"name": HOSTILE, "address": [HOSTILE], "email": "#x", "tax_id": "*t*"}
    invoice["licensee"] |= {"name": HOSTILE, "address": [HOSTILE]}
    invoice["agreement"] |= {"name": HOSTILE, "slug": "[s]"}
    invoice["lines"][0] |= {"description": HOSTILE, "model": "#m[", "workings": [{"text": HOSTILE, "#k": HOSTILE}]}
    invoice["commitments"][0]["name"] = HOSTILE
    invoice["usage"]["by_model"][0] |= {"name": HOSTILE}
    invoice["usage"]["by_model"][0]["derivatives"][0]["name"] = HOSTILE
    invoice["notes"] = [HOSTILE]
    invoice |= {"number": "#1*2*"}
    pdf = render_pdf(invoice)
    printed = "".join(pages(pdf)).replace(" ", "")
    assert printed.count(HOSTILE.replace(" ", "")) >= 11
    for text in ("#x", "TaxID*t*", "[s]", "#m[", "#1*2*"):
        assert text in printed
    assert_nothing_leaves_the_page(pdf)


def test_words_longer_than_their_column_wrap_and_can_still_be_copied(invoice: dict[str, Any]) -> None:
    email = "accounts.payable.department@a-very-long-company-name-indeed.example"
    invoice["licensee"] |= {"name": "W" * 200, "address": ["M" * 90], "email": email}
    invoice["licensor"]["name"] = "L" * 150
    invoice["lines"][0] |= {"description": "D" * 256, "model": "urn:air:flux1:checkpoint:civitai:618692@691639"}
    invoice["agreement"]["name"] = "G" * 100
    invoice["commitments"][0]["name"] = "K" * 200
    invoice["usage"]["by_model"][0]["derivatives"][0]["name"] = "V" * 120
    pdf = render_pdf(invoice)
    assert_nothing_leaves_the_page(pdf)
    printed = "".join(pages(pdf)).replace(" ", "")
    for text in (email, "W" * 200, "D" * 256, "urn:air:flux1:checkpoint:civitai:618692@691639"):
        assert text in printed


def test_control_characters_are_shown_and_cannot_turn_an_amount_round(invoice: dict[str, Any]) -> None:
    invoice["lines"][0]["description"] = "a\u202eb\x00c\x07d\ud800e\tf"
    assert "a�b�c�d�e f" in text_of(invoice)


def test_sixty_lines_go_over_pages_with_the_header_repeated(invoice: dict[str, Any]) -> None:
    invoice["lines"] = [line_of(invoice, no=n, description=f"Model number {n}") for n in range(1, 61)]
    read = pages(render_pdf(invoice))
    table = [page for page in read if "No Description Images Price per image Fee Amount, USD" in page]
    assert len(table) >= 3
    for n in range(1, 61):
        assert any(f" {n} Model number {n} " in page for page in table)
    assert sum("Total due 74536.32 USD" in page for page in read) == 2  # the head of the first page, and the end


@pytest.mark.parametrize(
    ("currency", "amount"), [("JPY", "1235"), ("USD", "1234.50"), ("KWD", "1234.567"), ("KWD", "-0.001")]
)
def test_amounts_have_the_decimals_of_their_currency(invoice: dict[str, Any], currency: str, amount: str) -> None:
    own = {"unit": currency, "unit_price": None, "image_count": None, "conversion_rate": None}
    invoice["lines"] = [line_of(invoice, **own, unit_amount=amount, amount=amount)]
    invoice |= {"currency": currency, "total": amount, "subtotal": amount}
    first = pages(render_pdf(invoice))[0]
    assert f"Amount, {currency}" in first
    assert first.count(amount.replace("-", "−")) == 3
    assert "Fee Amount" not in first  # every fee is in the currency already


def test_a_negative_total_is_a_credit_and_asks_for_nothing(invoice: dict[str, Any]) -> None:
    invoice |= {"total": "-14.45", "subtotal": "-14.45", "lines": invoice["lines"][:1]}
    first = pages(render_pdf(invoice))[0]
    assert "Total credit −14.45 USD" in first
    assert "Nothing to pay" in first


def test_a_subtotal_is_printed_only_where_it_differs(invoice: dict[str, Any]) -> None:
    assert "Subtotal" not in text_of(invoice)
    assert "Subtotal 74000.00 USD" in text_of(invoice | {"subtotal": "74000.00"})


def test_very_large_numbers_keep_every_digit_and_stay_on_the_page(invoice: dict[str, Any]) -> None:
    large, price, fee = "99999999999999999999999.99", "123456789.000000000001", "98765432109876543210987.123456789012"
    invoice["lines"][0] |= {"image_count": 10**23 + 7, "unit_price": price, "unit_amount": fee, "amount": large}
    invoice |= {"total": large, "subtotal": large}
    invoice["usage"]["by_day"][0]["image_count"] = 10**23
    pdf = render_pdf(invoice)
    printed = " ".join(pages(pdf))
    for text in (str(10**23 + 7), price, fee, large):
        assert text in printed
    assert_nothing_leaves_the_page(pdf)


def test_accents_cyrillic_and_greek_are_printed_in_an_archive_pdf(invoice: dict[str, Any]) -> None:
    name = "Œuvre Žižek Őrség Łódź ООО «Образы» Ελλάς"
    invoice["licensee"]["name"] = name
    pdf = render_pdf(invoice)
    assert name in pages(pdf)[0]
    assert b"pdfaid:part" in pdf


def test_names_without_a_glyph_do_not_stop_an_invoice(invoice: dict[str, Any]) -> None:
    """The bundled fonts have no CJK glyphs or emoji: boxes are printed, and so it is a plain PDF."""
    invoice["licensee"]["name"] = "株式会社イメージ 🎨"
    pdf = render_pdf(invoice)
    assert pdf == render_pdf(invoice)
    assert "会社イメージ" in pages(pdf)[0]
    assert b"pdfaid:part" not in pdf


def test_an_invoice_without_usage_commitments_or_notes_is_an_invoice(invoice: dict[str, Any]) -> None:
    invoice |= {"usage": {"by_model": [], "by_day": []}, "commitments": [], "notes": []}
    read = pages(render_pdf(invoice))
    assert "Total due 74536.32 USD" in read[0]
    assert not any(word in " ".join(read) for word in ("Commitments", "Notes", "Images a day", "derivative "))
    invoice |= {"lines": [], "total": "0.00", "subtotal": "0.00"}
    assert "Total 0.00 USD" in text_of(invoice)


def test_days_without_a_count_and_a_month_of_zeros_can_be_drawn(invoice: dict[str, Any]) -> None:
    invoice["usage"] = {"by_model": [], "by_day": [{"day": "2026-10-31", "image_count": 0}]}
    assert "0 images · 0 a day on average" in text_of(invoice)


@pytest.mark.parametrize("field", ["number", "licensor", "lines", "total", "period", "currency"])
def test_a_snapshot_that_lacks_a_field_is_refused_by_name(invoice: dict[str, Any], field: str) -> None:
    del invoice[field]
    with pytest.raises(InvalidInput, match=field) as refused:
        render_pdf(invoice)
    assert refused.value.code == "incomplete_invoice"


def test_an_amount_that_is_not_a_decimal_is_refused(invoice: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="1e3"):
        render_pdf(invoice | {"total": "1e3"})


def test_rendering_takes_less_than_a_second(invoice: dict[str, Any]) -> None:
    invoice["lines"] = [line_of(invoice, no=n) for n in range(1, 61)]
    render_pdf(invoice)
    invoice["number"] = "OWL-000002"  # nothing of the pages before can be taken from a cache
    start = time.perf_counter()
    render_pdf(invoice)
    assert time.perf_counter() - start < 1
