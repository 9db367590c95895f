"""Everything that will stand on the paper, as strings in place: what a snapshot says, in its language.

Amounts are the snapshot's own digits. A template places what it finds here and asks for nothing else.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

from core.invoicing.paper.counts import breakdown, chart, derivatives, estimate_notes
from core.invoicing.paper.speech import Speech, speech_of
from core.invoicing.paper.wording import cleaned, exact_of, places_of, printable
from core.invoicing.paper.words import WORDS
from core.invoicing.paper.workings import explain_line, service_span
from core.money import plain
from core.period import Period, day_of
from core.registry.bank_details import grouped

_MOST_CONTACTS = 3
_LABELS = [key for key, said in WORDS.items() if "{" not in said[0]]  # what a template says without values


def page_of(invoice: Mapping[str, Any], version: str) -> dict[str, Any]:
    """What the templates print. Raises KeyError, TypeError or ValueError if the snapshot is not that of an invoice."""
    speech = speech_of(invoice)
    zone = invoice["period"]["zone"]
    issued = datetime.fromisoformat(invoice["issued_at"]) if invoice["issued_at"] else None
    status = invoice.get("status")
    draft = invoice["number"] is None or status == "draft"
    credit = invoice["kind"] in ("credit", "credit_note")
    title = speech.say("credit_note" if credit else "invoice")
    number = cleaned(invoice["number"] or speech.say("draft"))
    kind = "credit_note" if credit else "invoice"
    issued_said = speech.day(day_of(issued, zone)) if issued else speech.say("not_issued")
    return {
        "version": version,
        "language": speech.language,
        "words": {key: speech.say(key) for key in _LABELS},
        "title": title,
        "number": number,
        "mark": speech.say("draft_mark") if draft else speech.say("void_mark") if status == "void" else None,
        "created": list(issued.astimezone(UTC).timetuple()[:6]) if issued else None,
        "licensor": _party(invoice["licensor"], speech),
        "licensee": _party(invoice["licensee"], speech),
        "contacts": [printable(one["name"]) for one in _billing(invoice).get("contacts") or ()][:_MOST_CONTACTS],
        "facts": [
            [speech.say(f"{kind}_number"), number],
            [speech.say("credit_note_issued" if credit else "issued"), issued_said],
            [speech.say("payment" if credit else "due"), _due(invoice, speech)],
        ],
        "references": _references(invoice, speech),
        "credits": _credits(invoice, speech),
        "agreement": {
            "name": printable(invoice["agreement"]["name"]),
            "slug": printable(invoice["agreement"]["slug"]),
            "term": _term(invoice, speech),
            "in_force": speech.say("in_force", term=_term(invoice, speech)),
        },
        "period": {
            "span": speech.days(invoice["period"]["start"], invoice["period"]["end"]),
            "zone": speech.say("days_in_zone", zone=printable(zone)),
        },
        "currency": printable(invoice["currency"]),
        "amount_in": speech.say("amount_in", currency=printable(invoice["currency"])),
        "lines": _lines(invoice, speech),
        "subtotal": _subtotal(invoice, speech),
        "sums": _sums(invoice, speech),
        "taxes": _taxes(invoice, speech),
        "total": speech.grouped(invoice["total"]),
        "total_label": _total_label(invoice, credit, draft, speech),
        "payment": _payment(invoice, draft, number, speech),
        "commitments": [_commitment(one, speech) for one in invoice.get("commitments") or ()],
        "workings": [explain_line(line, invoice["currency"], speech) for line in invoice["lines"]],
        "chart": chart(invoice, speech),
        "derivatives": derivatives((invoice.get("usage") or {}).get("by_model") or (), speech),
        "breakdown": breakdown(invoice.get("usage") or {}, speech),
        "notes": [*(printable(note) for note in invoice.get("notes") or ()), *estimate_notes(invoice, speech)],
        "hash": cleaned(invoice["content_hash"]) if invoice.get("content_hash") else None,
        "verify": speech.say("verify"),
        "page_of": speech.say("page_of"),
    }


def _billing(invoice: Mapping[str, Any]) -> Mapping[str, Any]:
    return invoice.get("billing") or {}


def _subtotal(invoice: Mapping[str, Any], speech: Speech) -> str | None:
    return None if invoice.get("subtotal") in (None, invoice["total"]) else speech.grouped(invoice["subtotal"])


def _party(party: Mapping[str, Any], speech: Speech) -> dict[str, Any]:
    tax_id = printable(party.get("tax_id") or "")
    return {
        "name": printable(party["name"]),
        "address": [printable(row) for row in party.get("address") or ()],
        "email": printable(party.get("email") or ""),
        "tax_id": tax_id,
        "tax_id_said": f"{speech.say('tax_id')} {tax_id}" if tax_id else "",
    }


def _term(invoice: Mapping[str, Any], speech: Speech) -> str:
    return speech.days(invoice["agreement"]["starts_on"], invoice["agreement"]["ends_on"])


def _due(invoice: Mapping[str, Any], speech: Speech) -> str:
    if exact_of(invoice["total"]) <= 0:
        return speech.say("nothing_to_pay")
    if invoice["due_on"]:
        return speech.day(date.fromisoformat(invoice["due_on"]))
    days = invoice.get("payment_days")
    if days is None:
        return speech.say("on_receipt")
    return speech.say("day_after_issue" if days == 1 else "days_after_issue", days=days)


def _references(invoice: Mapping[str, Any], speech: Speech) -> list[list[str]]:
    """What the receiver files the document under: its own order, the invoice that is corrected."""
    order, corrects = _billing(invoice).get("purchase_order"), invoice.get("corrects")
    return [
        *([[speech.say("purchase_order"), printable(order)]] if order else []),
        *([[speech.say("credits"), cleaned(corrects["number"])]] if corrects else []),
    ]


def _credits(invoice: Mapping[str, Any], speech: Speech) -> str | None:
    """The sentence by which a credit note names the invoice that it corrects."""
    corrects = invoice.get("corrects")
    if not corrects:
        return None
    day = day_of(datetime.fromisoformat(corrects["issued_at"]), invoice["period"]["zone"])
    return speech.say("credits_words", number=cleaned(corrects["number"]), day=speech.day(day))


def _total_label(invoice: Mapping[str, Any], credit: bool, draft: bool, speech: Speech) -> str:
    if exact_of(invoice["total"]) < 0 or credit:
        return speech.say("total_credit")
    return speech.say("total" if draft or not exact_of(invoice["total"]) else "total_due")


def _sums(invoice: Mapping[str, Any], speech: Speech) -> list[list[str]]:
    """What leads to the total: the net, and the tax at each rate. Nothing where no tax is about it."""
    taxed = [row for row in invoice.get("taxes") or () if row["category"] != "outside"]
    net = invoice.get("subtotal")
    if not taxed:
        return [] if net in (None, invoice["total"]) else [[speech.say("subtotal"), speech.grouped(net)]]
    standard = [row for row in taxed if row["category"] == "standard"]
    at_rates = [
        [speech.say("tax_at", rate=speech.percent(row["rate"])), speech.grouped(row["tax"])] for row in standard
    ]
    return [
        [speech.say("net"), speech.grouped(net)],
        *(at_rates or [[speech.say("tax_total"), speech.grouped(invoice["tax"])]]),
    ]


def _taxes(invoice: Mapping[str, Any], speech: Speech) -> dict[str, Any] | None:
    """The net and the tax by category and rate, and the sentences that the law asks for, once each."""
    rows = invoice.get("taxes") or ()
    if not any(row["category"] != "outside" or row["sentence"] for row in rows):
        return None
    return {
        "rows": [
            [
                speech.say(f"tax_{row['category']}"),
                speech.percent(row["rate"]) if row["category"] == "standard" else "–",
                speech.grouped(row["net"]),
                speech.grouped(row["tax"]),
            ]
            for row in rows
        ],
        "sentences": list(dict.fromkeys(speech.phrase(row["sentence"]) for row in rows if row["sentence"])),
    }


def _payment(invoice: Mapping[str, Any], draft: bool, number: str, speech: Speech) -> list[str]:
    """Where to pay to, how to, and which number to quote. Nothing where there is nothing to pay."""
    terms, bank = _billing(invoice).get("payment_terms"), _billing(invoice).get("bank")
    if not (terms or bank) or exact_of(invoice["total"]) <= 0:
        return []
    return [
        *(["\n".join(_bank(bank, invoice["licensor"]["name"], speech))] if bank else []),
        *([printable(terms)] if terms else []),
        *([] if draft else [speech.say("reference", number=number)]),
    ]


def _bank(bank: Mapping[str, Any], licensor: str, speech: Speech) -> Iterator[str]:
    """Two rows: whose account it is and where, and its numbers."""
    holder = bank.get("account_holder") or licensor
    for row in (
        {"account_holder": holder, "bank": bank.get("bank_name")},
        {"iban": grouped(bank["iban"]), "bic": bank.get("bic")},
    ):
        yield " · ".join(f"{speech.say(said)}: {printable(value)}" for said, value in row.items() if value)


def _lines(invoice: Mapping[str, Any], speech: Speech) -> dict[str, Any]:
    lines = invoice["lines"]
    price_places = max((places_of(line["unit_price"]) for line in lines if line["unit_price"] is not None), default=0)
    fee_places = max((places_of(line["unit_amount"]) for line in lines), default=0)
    names = {model["model"]: model["name"] for model in (invoice.get("usage") or {}).get("by_model") or ()}
    places = price_places, fee_places
    rows = [_line(line, invoice["period"], names.get(line["model"]), places, speech) for line in lines]
    numbers = ("images", "price", "fee", "amount")
    return {
        "rows": rows,
        # Where every fee is in the invoice's currency already, a column for it would only say everything twice.
        "fee_column": any(line["unit"] != invoice["currency"] for line in lines),
        # On a flat invoice nothing is counted or has a price of its own.
        "image_columns": any(row["images"] or row["price"] for row in rows),
        "widest": max((sum(len(row[n]) for n in numbers) for row in rows), default=0),
    }


def _line(
    line: Mapping[str, Any], period: Mapping[str, Any], name: str | None, places: tuple[int, int], speech: Speech
) -> dict[str, Any]:
    # A name that the description holds already is not said twice; the period of the invoice is said at the top.
    model = name or line["model"] or ""
    details = [printable(model)] if model and model not in line["description"] else []
    if not _names_its_days(line, speech) and (
        line["adjustment"] or (line["service_start"], line["service_end"]) != (period["start"], period["end"])
    ):
        details.insert(0, service_span(line, speech))
    price = line["unit_price"]
    counted = line["image_count"] or (price and line["image_count"] == 0)
    return {
        "no": str(line["no"]),
        "description": speech.phrase(line["description"]),
        "detail": " · ".join(details),
        "adjustment": bool(line["adjustment"]),
        "images": speech.grouped(line["image_count"]) if counted else "",
        "price": "" if price is None else speech.grouped(price),
        "price_pad": "" if price is None else speech.padding(price, places[0]),
        "fee": speech.grouped(line["unit_amount"]),
        "fee_pad": speech.padding(line["unit_amount"], places[1]),
        "unit": printable(line["unit"]),
        "amount": speech.grouped(line["amount"]),
    }


def _names_its_days(line: Mapping[str, Any], speech: Speech) -> bool:
    """Whether the description says already for which period the line adjusts."""
    service = Period(date.fromisoformat(line["service_start"]), date.fromisoformat(line["service_end"]))
    return speech.locale is not None and str(line["description"]).startswith(f"Adjustment to {service.name}: ")


def _commitment(commitment: Mapping[str, Any], speech: Speech) -> dict[str, Any]:
    share = min(max(exact_of(commitment["fraction"]), Fraction(0)), Fraction(1))
    remaining = exact_of(commitment["remaining"])
    unit = speech.say("images") if commitment["kind"] == "images" else printable(commitment["unit"])
    counted, target = speech.grouped(commitment["counted"]), speech.grouped(commitment["target"])
    to_go = speech.say("to_go", remaining=speech.grouped(commitment["remaining"]), unit=unit)
    return {
        "name": printable(commitment["name"]),
        "term": speech.days(commitment["starts_on"], commitment["ends_on"]),
        # Cut, not rounded: 100 % must not stand there before the commitment is met.
        "percent": speech.percent(plain(Fraction(int(share * 1000), 10))),
        "fill": int(share * 10_000),
        "counted": speech.say("counted_of", counted=counted, target=target, unit=unit),
        "remaining": to_go if remaining > 0 else speech.say("met"),
    }
