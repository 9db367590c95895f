"""Documents in each language: read back whole, and compared with texts that a person has read."""

import hashlib
import json
import re
import string
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.invoicing.paper import document
from core.invoicing.paper.document import TEMPLATES, Logo, render_pdf
from core.invoicing.paper.speech import PLAIN, Speech, speech_of
from core.invoicing.paper.words import LANGUAGES, PHRASES, WORDS
from core.invoicing.paper.workings import explain_line
from tests.core.invoicing.papers import (
    BANK,
    EXEMPT,
    REVERSE_CHARGE,
    billed_in,
    credit_note,
    pages_of,
    plain_line,
    sample,
    taxed,
)

GOLDEN = Path(__file__).parents[3] / "golden" / "documents"
LOCALES = {"en": "en-GB", "de": "de", "ja": "ja"}
LOGO = b"""<svg xmlns="http://www.w3.org/2000/svg" width="90" height="30">
<rect width="90" height="30" fill="#7a1f3d"/></svg>"""
DIGESTS = json.loads((GOLDEN / "digests.json").read_text())


def text_of(invoice: dict[str, Any], **how: Any) -> str:
    return re.sub(r"\s+", " ", " ".join(pages_of(render_pdf(invoice, **how))))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_whole_text_is_what_a_person_has_read(language: str) -> None:
    read = "\f\n".join(pages_of(render_pdf(billed_in(language, LOCALES[language])))) + "\n"
    assert read == (GOLDEN / f"{language}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DIGESTS["documents"])
def test_a_template_that_was_used_never_changes(name: str) -> None:
    """If this fails, something that shapes issued documents was changed: make it a new template version instead."""
    if {package: version(package) for package in DIGESTS["made_with"]} != DIGESTS["made_with"]:
        pytest.skip("another version of what sets the type: look at the documents, then write the digests anew")
    template, language = name.split("/")
    invoice = sample() if language == "none" else billed_in(language, LOCALES[language])
    assert hashlib.sha256(render_pdf(invoice, template=template)).hexdigest() == DIGESTS["documents"][name]


def test_an_unknown_template_is_refused() -> None:
    assert {name.split("/")[0] for name in DIGESTS["documents"]} == set(TEMPLATES)
    with pytest.raises(InvalidInput, match="invoice-1 or invoice-2"):
        render_pdf(sample(), template="invoice-9")


def test_every_text_has_the_same_places_in_every_language() -> None:
    def places(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    for key, said in WORDS.items():
        assert len(said) == len(LANGUAGES)
        assert all(said), key
        assert len({frozenset(places(text)) for text in said}) == 1, key
    for english, *others in PHRASES:
        assert all(places(text) == places(english) for text in others), english


def test_what_other_rooms_say_is_said_in_the_language() -> None:
    german, japanese = Speech("de", "de"), Speech("ja", "ja")
    for english, in_german, in_japanese in (
        ("Images by sd-1", "Bilder mit sd-1", "sd-1 による画像"),
        ("Images by sd-1, no fee due", "Bilder mit sd-1, gebührenfrei", "sd-1 による画像(無料)"),
        (
            "Adjustment to 2026-09: Images by sd-1, 2026-09-01 to 2026-09-15, no longer owed",
            "Anpassung für September 2026: Bilder mit sd-1, 1.–15. Sept. 2026, nicht mehr geschuldet",
            "2026年9月分の調整: sd-1 による画像、2026年9月1日～15日(請求取消)",
        ),
        (
            "Interest on invoice OWL-000001, due 2026-12-03",
            "Verzugszinsen zu Rechnung OWL-000001, fällig am 3. Dezember 2026",
            "請求書 OWL-000001(2026年12月3日期限)の遅延利息",
        ),
        (EXEMPT, "Verzugszinsen sind kein Entgelt für eine Leistung und nicht steuerbar.",
         "遅延利息は資産の譲渡等の対価ではなく、課税されません。"),
        ("1,800.5 USD owed in all, 1,814.45 USD billed before for 151,204 images; this line is the difference",
         "insgesamt 1.800,5 USD geschuldet, 1.814,45 USD früher für 151.204 Bilder berechnet; diese Position ist der "
         "Unterschied",
         "債務総額 1,800.5 USD、既請求 1,814.45 USD(151,204枚分)。この行はその差額です"),
        ("A fee of our own naming", "A fee of our own naming", "A fee of our own naming"),
        ("Interest on invoice X, due 2026-99-99", "Verzugszinsen zu Rechnung X, fällig am 2026-99-99",
         "請求書 X(2026-99-99期限)の遅延利息"),
    ):  # fmt: skip
        said = german.phrase(english), japanese.phrase(english)
        assert tuple(re.sub(r"[\u2009\u202f]", "", text) for text in said) == (in_german, in_japanese)
        assert PLAIN.phrase(english) == english.replace("\u200b", "")


@given(
    number=st.decimals(allow_nan=False, allow_infinity=False, places=6) | st.integers(-(10**30), 10**30),
    locale=st.sampled_from(["en-GB", "de", "de-CH", "ja", "en-IN", "fr-FR", "sv-SE", "ar-EG", "xx-YY", "nonsense"]),
)
def test_no_digit_is_lost_or_rounded_in_any_locale(number: Any, locale: str) -> None:
    plain = f"{Decimal(number):f}"
    written = speech_of({"billing": {"language": "de", "locale": locale}}).grouped(plain)
    assert re.sub(r"\D", "", written) == re.sub(r"\D", "", plain)
    assert ("−" in written) == plain.startswith("-")


def test_numbers_follow_the_locale_and_days_the_language() -> None:
    swiss = speech_of({"billing": {"language": "de", "locale": "de-CH"}})
    american_german = speech_of({"billing": {"language": "de", "locale": "en-US"}})
    assert swiss.grouped("1234567.50") == "1’234’567.50"
    assert (american_german.grouped("1234.50"), american_german.days("2026-10-01", "2026-11-01")) == (
        "1,234.50",
        "Oktober 2026",
    )
    assert speech_of({}) is PLAIN
    assert Speech("de", "de").padding("12.5", 3) == "00"
    assert Speech("de", "de").padding("12", 2) == ",00"


def test_a_credit_note_names_what_it_credits() -> None:
    printed = text_of(credit_note("de"))
    assert "Rechnungskorrektur OWL-CN-000003" in printed
    assert "Diese Rechnungskorrektur berichtigt die Rechnung OWL-000001 vom 3. November 2026." in printed
    assert "Gutschrift zu Rechnung OWL-000001, Position 2: Monatsgebühr für hosting" in printed
    assert "Nettobetrag −250,00 USD Steuer 19 % −47,50 USD Gutgeschriebener Betrag −297,50 USD" in printed
    assert "Zurückgegeben: agreed with Ms. Park" in printed
    assert "IBAN" not in printed  # nothing is to be paid
    assert "This credit note corrects invoice OWL-000001 of November 3, 2026." in text_of(credit_note("en"))


def test_reverse_charge_is_told_with_its_sentence_and_no_tax() -> None:
    printed = text_of(taxed(billed_in("en"), "reverse_charge", sentence=REVERSE_CHARGE))
    assert "Net 74,536.32 USD Tax 0.00 USD Total due 74,536.32 USD" in printed
    assert "Reverse charge – 74,536.32 0.00 " + REVERSE_CHARGE in printed


def test_tax_is_told_by_category_and_rate_and_each_sentence_once() -> None:
    invoice = billed_in("en")
    rows = [("standard", "19", "100.00", "19.00", ""), ("standard", "7", "50.00", "3.50", "")]
    rows += [("exempt", "0", "1.00", "0.00", EXEMPT)] * 2
    names = ("category", "rate", "net", "tax", "sentence")
    invoice |= {"taxes": [dict(zip(names, row, strict=True)) for row in rows], "tax": "22.50", "total": "174.50"}
    printed = text_of(invoice)
    assert "Tax 19% 19.00 USD Tax 7% 3.50 USD Total due 174.50 USD" in printed
    assert "Taxable 19% 100.00 19.00 Taxable 7% 50.00 3.50 Exempt – 1.00 0.00" in printed
    assert printed.count(EXEMPT) == 1


def test_what_no_tax_is_about_has_no_tax_table() -> None:
    printed = text_of(taxed(billed_in("en"), "outside"))
    assert "Tax amount" not in printed
    assert "Total due 74,536.32 USD" in printed


@pytest.mark.parametrize(
    ("currency", "places", "locale", "amount", "written"),
    [("JPY", 0, "ja", "1234567", "1,234,567"), ("KWD", 3, "de-CH", "1234567.891", "1’234’567.891")],
)
def test_currencies_keep_their_own_decimals(currency: str, places: int, locale: str, amount: str, written: str) -> None:
    line = plain_line(amount, unit=currency)
    invoice = billed_in(locale[:2], locale, lines=[line], currency=currency, currency_exponent=places)
    assert f"{written} {currency}" in text_of(taxed(invoice, "outside"))


def test_japanese_has_its_glyphs_in_an_archive_pdf() -> None:
    invoice = billed_in("ja")
    invoice["licensee"]["name"] = "株式会社イメージ"
    pdf = render_pdf(invoice)
    assert b"pdfaid:part" in pdf
    assert "株式会社イメージ" in pages_of(pdf)[0]


def test_without_the_font_boxes_are_printed_and_it_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(document, "CJK", "no_such_font")
    document._fonts.cache_clear()
    try:
        pdf = render_pdf(billed_in("ja"))
        latin = render_pdf(billed_in("de"))
    finally:
        document._fonts.cache_clear()
    assert b"pdfaid:part" not in pdf
    assert "install perimage-server[cjk]" in caplog.text
    monkeypatch.undo()
    assert latin == render_pdf(billed_in("de")), "the font changes nothing where no character needs it"


def test_a_logo_and_colours_are_set_and_repeat() -> None:
    invoice = billed_in("en")
    invoice["licensor"]["colours"] = {"ink": "#4a1026", "accent": "#b23a5e"}
    plain, logo = render_pdf(invoice), Logo("image/svg+xml", LOGO)
    invoice["licensor"]["logo_sha256"] = hashlib.sha256(LOGO).hexdigest()
    with_logo = render_pdf(invoice, logo=logo)
    assert with_logo == render_pdf(invoice, logo=logo) != plain != render_pdf(billed_in("en"))
    assert b"pdfaid:part" in with_logo
    for other in (None, Logo("image/svg+xml", LOGO + b" ")):
        with pytest.raises(InvalidInput, match="issued with the logo"):
            render_pdf(invoice, logo=other)


def test_where_to_pay_to_stands_on_the_invoice_in_its_language() -> None:
    said = {
        "en": "Account holder: Owl Labs Treasury · Bank: DKB\nIBAN: DE02 1203 0000 0000 2020 51 · BIC: BYLADEM1001",
        "de": "Kontoinhaber: Owl Labs Treasury · Bank: DKB\nIBAN: DE02 1203 0000 0000 2020 51 · BIC: BYLADEM1001",
        "ja": "口座名義: Owl Labs Treasury · 銀行名: DKB\nIBAN: DE02 1203 0000 0000 2020 51 · BIC: BYLADEM1001",
    }
    for language, rows in said.items():
        invoice = billed_in(language)
        invoice["billing"] |= {"bank": BANK, "payment_terms": "Net 30"}
        printed = "\n".join(pages_of(render_pdf(invoice)))
        assert f"{rows}\nNet 30" in printed
        assert "DE02" not in "".join(pages_of(render_pdf(invoice | {"total": "0.00"})))
    invoice["billing"] |= {"bank": {"iban": BANK["iban"]}}
    assert f"口座名義: {invoice['licensor']['name']}\nIBAN: DE02" in "\n".join(pages_of(render_pdf(invoice)))


def test_text_that_runs_the_other_way_and_pictures_in_names_are_harmless() -> None:
    invoice = billed_in("de")
    invoice["licensee"]["name"] = "שלום בע״מ \u202e#panic() [x] 🎨"
    invoice["billing"] |= {"purchase_order": "#1 *b* $x$" * 20, "payment_terms": "`a` <b> @c \\n // d\n" * 3}
    invoice["billing"]["contacts"] = [{"name": "@x [y]", "email": "z"}] * 9
    pdf = render_pdf(invoice)
    assert pdf == render_pdf(invoice)
    printed = "".join(pages_of(pdf)).replace(" ", "").replace("\n", "")
    assert "#panic()[x]" in printed
    assert "`a`<b>@c\\n//d" in printed
    assert printed.count("@x[y]") == 3


def test_a_line_is_explained_in_its_language() -> None:
    steps = explain_line(sample()["lines"][2], "USD", Speech("de", "de"))["steps"]
    assert steps == [
        "Oktober 2026 (31 Tage): 6.006.709 Bilder gezählt",
        "6.006.709 Bilder × 12 BUZZ = 72.080.508 BUZZ",
        "72.080.508 BUZZ × 0,001 USD je BUZZ = 72.080,508 USD, einmal kaufmännisch gerundet auf 72.080,51 USD",
    ]


def test_the_document_says_its_language_and_has_headings_for_reading_aids() -> None:
    pdf = render_pdf(billed_in("ja"))
    assert re.search(rb"/Lang\s*\(ja", pdf)
    assert b"/StructTreeRoot" in pdf
    outline = [bookmark.get_title() for bookmark in pypdfium2.PdfDocument(pdf).get_toc()]
    assert outline[0] == "ライセンス料請求書"
    assert "金額の計算過程" in outline


@pytest.mark.slow
def test_ten_thousand_lines_are_all_there() -> None:
    lines = [plain_line("1.00", no=n, description=f"Images by model-{n}") for n in range(1, 10_001)]
    invoice = billed_in("de", lines=lines, usage={}, commitments=[])
    read = pypdfium2.PdfDocument(render_pdf(invoice))
    printed = " ".join(page.get_textpage().get_text_range() for page in read)
    for n in (1, 5_000, 10_000):
        assert f"Bilder mit model-{n}\r" in printed or f"Bilder mit model-{n} " in printed
    assert "11.900,00" in printed
