"""The invoice for programs: EN 16931 as Cross Industry Invoice XML, and inside the PDF as Factur-X.

Made from the snapshot alone; every amount is the invoice's own, to the cent. A credit note is type 381, whose amounts
are what is given back, so every sign is turned. What EN 16931 cannot say is refused with a sentence, and such an
invoice goes out as a plain PDF: a currency with three decimals, a party whose country nobody can tell, lines outside
the scope of tax beside lines within.

Needs the extra `einvoice` (drafthorse writes the XML, factur-x puts it into the PDF).
"""

import io
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from babel import Locale

from core.errors import InvalidInput
from core.invoicing.paper.speech import Speech, speech_of
from core.invoicing.paper.wording import cleaned, exact_of
from core.invoicing.paper.words import LANGUAGES
from core.money import Money, exponent, plain
from core.period import day_of

if TYPE_CHECKING:
    from drafthorse.models.document import Document

EINVOICE_VERSION = "en16931-1"
GUIDELINE = "urn:cen.eu:en16931:2017"
PIECE = "C62"
_INVOICE, _CREDIT_NOTE = "380", "381"
_TRANSFER, _SEPA_TRANSFER = "30", "58"
_CODES = {"reverse_charge": "AE", "exempt": "E", "outside": "O"}
_REASONS = {"AE": "VATEX-EU-AE", "O": "VATEX-EU-O"}
# Tax ids that are known without a country before them.
_BARE = {r"T\d{13}": "JP", r"\d{2}-\d{7}": "US"}
_DATED = (
    re.compile(rb"(/(?:CreationDate|ModDate) \(D(?::|\\072))\d{14}"),
    re.compile(rb"(<xmp:(?:Create|Modify)Date>)[0-9T:-]{19}"),
)


class _Party(NamedTuple):
    """A party as EN 16931 wants it: a country, at most three further rows of an address, ids of known kinds."""

    name: str
    slug: str
    country: str
    address: tuple[str, ...]
    email: str
    vat_id: str
    other_id: str


def wants_einvoice(invoice: Mapping[str, Any]) -> bool:
    """Whether the account asks for e-invoices, as the snapshot keeps it."""
    return bool((invoice.get("billing") or {}).get("e_invoice"))


def einvoice_xml(invoice: Mapping[str, Any]) -> bytes:
    """The issued invoice as EN 16931 XML. `InvalidInput("no_einvoice")` says what of it the standard cannot hold."""
    if find_spec("drafthorse") is None or find_spec("facturx") is None:
        raise InvalidInput("einvoice_not_installed", "install perimage-server[einvoice] to make e-invoices")
    from drafthorse.models.document import Document  # noqa: PLC0415 - an extra

    if not invoice["number"] or not invoice["issued_at"]:
        _refuse("a draft is no e-invoice: issue it first")
    if exponent(invoice["currency"]) > 2:
        _refuse(f"EN 16931 knows amounts of at most two decimals, and {invoice['currency']} has more")
    speech = speech_of(invoice)
    sign = -1 if invoice["kind"] in ("credit", "credit_note") else 1
    document = Document()
    document.context.guideline_parameter.id = GUIDELINE
    document.header.id = cleaned(invoice["number"])
    document.header.type_code = _CREDIT_NOTE if sign < 0 else _INVOICE
    document.header.issue_date_time = _issue_day(invoice)
    _write_parties(document, invoice)
    _write_lines(document, invoice, sign, speech)
    _write_settlement(document, invoice, sign, speech)
    written: bytes = document.serialize(schema=None)
    return written


def embed(pdf: bytes, xml: bytes, invoice: Mapping[str, Any], *, title: str) -> bytes:
    """The PDF with the XML in it as Factur-X, checked against the schema; the same bytes for the same invoice."""
    from facturx import generate_from_file, xml_check_xsd  # noqa: PLC0415 - an extra

    try:
        xml_check_xsd(xml, flavor="factur-x", level="en16931")
    except Exception as wrong:  # the library raises nothing more special
        raise InvalidInput(
            "no_einvoice", f"the e-invoice is not of the form that the schema asks for: {wrong}"
        ) from wrong
    licensor, speech = cleaned(invoice["licensor"]["name"]), speech_of(invoice)
    file = io.BytesIO(pdf)
    generate_from_file(
        file,
        xml,
        flavor="factur-x",
        level="en16931",
        check_xsd=False,
        check_schematron=False,  # needs a server; the tests run the official rules themselves
        pdf_metadata={
            "author": licensor,
            "title": title,
            "subject": title,
            "keywords": EINVOICE_VERSION,
        },
        lang=speech.language,
        afrelationship="alternative",
        xmp_compression=False,
    )
    made = file.getvalue()[: file.tell()]  # it is written over what was there
    # The library writes the clock into it; the document's time is that of the issue, in as many characters.
    issued = datetime.fromisoformat(invoice["issued_at"]).astimezone(UTC)
    for pattern, form in zip(_DATED, ("%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%S"), strict=True):
        stamp = issued.strftime(form).encode()
        made = pattern.sub(lambda found, stamp=stamp: found[1] + stamp, made)  # type: ignore[misc]
    return made


def _refuse(sentence: str) -> None:
    raise InvalidInput("no_einvoice", sentence)


def _issue_day(invoice: Mapping[str, Any]) -> date:
    return day_of(datetime.fromisoformat(invoice["issued_at"]), invoice["period"]["zone"])


def _write_parties(document: "Document", invoice: Mapping[str, Any]) -> None:
    from drafthorse.models.party import TaxRegistration  # noqa: PLC0415

    categories = {code for code, _ in _rates(invoice)}
    agreement, billing = document.trade.agreement, invoice.get("billing") or {}
    seller, buyer = _party_of(invoice["licensor"], "licensor"), _party_of(invoice["licensee"], "licensee")
    if categories - {"O"} and not (seller.vat_id or seller.other_id):
        _refuse("an invoice about tax needs the licensor's tax id")
    if "AE" in categories and not (buyer.vat_id or buyer.other_id):
        _refuse("under reverse charge the licensee owes the tax: its tax id is needed")
    for side, party in ((agreement.seller, seller), (agreement.buyer, buyer)):
        side.id, side.name = party.slug, party.name
        rows = dict(zip(("line_one", "line_two", "line_three"), party.address, strict=False))
        for row, text in rows.items():
            setattr(side.address, row, text)
        side.address.country_id = party.country
        if party.email:
            side.electronic_address.uri_ID = ("EM", party.email)
        if "O" not in categories and party.vat_id:
            side.tax_registrations.add(TaxRegistration(id=("VA", party.vat_id)))
        elif "O" not in categories and party.other_id and party is seller:
            side.tax_registrations.add(TaxRegistration(id=("FC", party.other_id)))
        elif party.other_id:
            side.legal_organization.id = party.other_id
    if billing.get("purchase_order"):
        agreement.buyer_order.issuer_assigned_id = cleaned(billing["purchase_order"])
    for contact in (billing.get("contacts") or ())[:1]:
        agreement.buyer.contact.person_name = cleaned(contact["name"])
        agreement.buyer.contact.email.address = cleaned(contact["email"])
    agreement.contract.issuer_assigned_id = cleaned(invoice["agreement"]["slug"])
    # Images are delivered day by day; the last day of the period stands for them.
    document.trade.delivery.event.occurrence = date.fromisoformat(invoice["period"]["end"]) - timedelta(days=1)


def _party_of(party: Mapping[str, Any], what: str) -> _Party:
    rows = [cleaned(row).strip() for row in party.get("address") or () if cleaned(row).strip()]
    tax_id = re.sub(r"[ .\-/]", "", party.get("tax_id") or "").upper()
    prefix = {"EL": "GR", "XI": "GB"}.get(tax_id[:2], tax_id[:2])
    is_vat = prefix in _codes()
    country = _countries().get(rows[-1].casefold()) if rows else None
    if country:
        rows = rows[:-1]
    elif is_vat:
        country = prefix
    else:
        country = next((code for form, code in _BARE.items() if re.fullmatch(form, party.get("tax_id") or "")), None)
        if any(row.startswith("〒") for row in rows):  # the mark of a Japanese postal code
            country = "JP"
    if country is None:
        _refuse(f"nobody can tell the {what}'s country: write it as the last row of its address, such as Germany")
    kept = rows if len(rows) <= 3 else [*rows[:2], ", ".join(rows[2:])]
    return _Party(
        name=cleaned(party["name"]).strip() or cleaned(party["slug"]),
        slug=cleaned(party["slug"]),
        country=str(country),
        address=tuple(kept),
        email=cleaned(party.get("email") or ""),
        vat_id=tax_id if is_vat else "",
        other_id="" if is_vat else tax_id,
    )


def _write_lines(document: "Document", invoice: Mapping[str, Any], sign: int, speech: Speech) -> None:
    from drafthorse.models.tradelines import LineItem  # noqa: PLC0415

    if not invoice["lines"]:
        _refuse("an invoice without lines is no e-invoice")
    for line in invoice["lines"]:
        item = LineItem()
        item.document.line_id = str(line["no"])
        item.product.name = _plain_text(speech.phrase(line["description"])) or str(line["no"])
        quantity, price, told = _priced(line, invoice["currency"], speech)
        if told:
            item.product.description = _plain_text(told)
        item.agreement.net.amount = price
        item.delivery.billed_quantity = (str(quantity * sign), PIECE)
        tax = item.settlement.trade_tax
        tax.type_code = "VAT"
        tax.category_code, tax.rate_applicable_percent = _rate_of(line)
        if tax.category_code == "O":  # has no rate at all, not even zero
            tax = _without_rate(item.settlement.trade_tax)
        item.settlement.period.start = date.fromisoformat(line["service_start"])
        item.settlement.period.end = date.fromisoformat(line["service_end"]) - timedelta(days=1)
        item.settlement.monetary_summation.total_amount = _signed(line["amount"], sign)
        document.trade.items.add(item)


def _priced(line: Mapping[str, Any], currency: str, speech: Speech) -> tuple[int, str, str]:
    """Quantity, net price of one, and what else is told. A fee that is not images times a price is one piece."""
    count, price = line["image_count"], line["unit_price"]
    amount = exact_of(line["amount"])
    if count and price is not None and exact_of(price) >= 0:
        exact = exact_of(price) * exact_of(line["conversion_rate"] or 1)
        each = plain(exact, 24)
        if Fraction(each) == exact and Money.rounded(exact * count, currency).amount == amount:
            return int(count), each, str(line["model"] or "")
    counted = speech.say("n_images", images=speech.grouped(count)) if count else ""
    told = " · ".join(filter(None, (str(line["model"] or ""), counted)))
    return (-1 if amount < 0 else 1), line["amount"].lstrip("-"), told


def _write_settlement(document: "Document", invoice: Mapping[str, Any], sign: int, speech: Speech) -> None:
    from drafthorse.models.accounting import ApplicableTradeTax  # noqa: PLC0415
    from drafthorse.models.payment import PaymentTerms  # noqa: PLC0415

    settlement, period = document.trade.settlement, invoice["period"]
    settlement.currency_code = invoice["currency"]
    settlement.payment_reference = cleaned(invoice["number"])
    for (code, rate), row in _rates(invoice).items():
        tax = ApplicableTradeTax()
        tax.calculated_amount, tax.basis_amount = _signed(row["tax"], sign), _signed(row["net"], sign)
        tax.type_code, tax.category_code = "VAT", code
        if code in ("AE", "E", "O"):
            tax.exemption_reason = _plain_text(speech.phrase(row["sentence"])) or _told(code, speech)
        if code in _REASONS:
            tax.exemption_reason_code = _REASONS[code]
        if code == "O":
            _without_rate(tax)
        else:
            tax.rate_applicable_percent = rate
        settlement.trade_tax.add(tax)
    settlement.period.start = date.fromisoformat(period["start"])
    settlement.period.end = date.fromisoformat(period["end"]) - timedelta(days=1)
    bank = (invoice.get("billing") or {}).get("bank")
    if bank and exact_of(invoice["total"]) > 0:
        settlement.payment_means.add(_payment_means(bank, invoice))
    terms = PaymentTerms()
    if (invoice.get("billing") or {}).get("payment_terms"):
        terms.description = cleaned(invoice["billing"]["payment_terms"])
    if invoice["due_on"]:
        terms.due = date.fromisoformat(invoice["due_on"])
    settlement.terms.add(terms)
    sums, net, tax_sum = settlement.monetary_summation, _net_of(invoice), invoice.get("tax") or "0"
    sums.line_total = _signed(net, sign)
    sums.tax_basis_total = (_signed(net, sign), None)
    sums.tax_total = (_signed(tax_sum, sign), invoice["currency"])
    sums.grand_total = (_signed(invoice["total"], sign), None)
    sums.due_amount = _signed(invoice["total"], sign)
    corrects = invoice.get("corrects")
    if corrects:
        settlement.invoice_referenced_document.issuer_assigned_id = cleaned(corrects["number"])
        corrected_on = day_of(datetime.fromisoformat(corrects["issued_at"]), period["zone"])
        settlement.invoice_referenced_document.issue_date_time = corrected_on


def _payment_means(bank: Mapping[str, Any], invoice: Mapping[str, Any]) -> Any:
    """Where to pay to: BT-81 and, of the account, BT-84 to BT-86."""
    from drafthorse.models.payment import PaymentMeans  # noqa: PLC0415

    means = PaymentMeans()
    means.type_code = _SEPA_TRANSFER if invoice["currency"] == "EUR" else _TRANSFER
    means.payee_account.iban = bank["iban"]
    means.payee_account.account_name = cleaned(bank.get("account_holder") or invoice["licensor"]["name"])
    if bank.get("bic"):
        means.payee_institution.bic = bank["bic"]
    return means


def _net_of(invoice: Mapping[str, Any]) -> str:
    return str(invoice.get("subtotal") or invoice["total"])


def _rates(invoice: Mapping[str, Any]) -> dict[tuple[str, str | None], Mapping[str, Any]]:
    """The rows of the tax table by (category code, rate). What is outside the scope of tax stands alone."""
    none = {"category": "outside", "rate": "0", "net": _net_of(invoice), "tax": "0", "sentence": ""}
    rows = invoice.get("taxes") or [none]
    found = {_rate_of({"tax_category": row["category"], "tax_rate": row["rate"]}): row for row in rows}
    if len(found) > 1 and any(code == "O" for code, _ in found):
        _refuse("EN 16931 does not let lines outside the scope of tax stand beside lines within it")
    return found


def _rate_of(line: Mapping[str, Any]) -> tuple[str, str | None]:
    category, rate = line.get("tax_category") or "outside", line.get("tax_rate") or "0"
    code = _CODES.get(category) or ("S" if exact_of(rate) else "Z")
    return code, None if code == "O" else rate


def _told(code: str, speech: Speech) -> str:
    return speech.say({"AE": "tax_reverse_charge", "E": "tax_exempt", "O": "tax_outside"}[code])


def _without_rate(tax: Any) -> Any:
    """drafthorse writes an empty rate where none was set; the standard wants none."""
    tax._data["rate_applicable_percent"] = None
    return tax


def _signed(amount: Any, sign: int) -> str:
    """The amount as the invoice has it, its sign turned for a credit note."""
    exact_of(amount)
    return str(amount) if sign > 0 else f"{-Decimal(str(amount)) + 0:f}"


def _plain_text(text: str) -> str:
    """Without the marks that only a typesetter needs."""
    return text.replace("\u200b", "").replace("\n", " ").strip()


@cache
def _codes() -> frozenset[str]:
    known = (str(code) for code in Locale.parse("en").territories)
    return frozenset(code for code in known if re.fullmatch("[A-Z]{2}", code)) - {"EU", "ZZ"}


@cache
def _countries() -> dict[str, str]:
    """Country codes by name in each language of the documents, and by the code itself."""
    named = {code.casefold(): code for code in _codes()}
    for language in LANGUAGES:
        territories = Locale.parse(language).territories
        named |= {str(territories[code]).casefold(): code for code in _codes() if code in territories}
    return named | {"usa": "US", "u.s.a.": "US", "uk": "GB", "great britain": "GB"}
