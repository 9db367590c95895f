"""The invoice as a PDF: a frozen snapshot in, bytes out, and the same bytes for the same snapshot everywhere.

Every string that will stand on the paper is made here, from the snapshot's own strings; the template only places them.
So amounts are never recomputed in a typesetter's floats, and text from outside is data, never markup: it travels as
JSON in one `sys.inputs` value. Nothing is read but the template beside this file, and only the fonts inside the typst
wheel are used.

An issued invoice is PDF/A-3b, dated by its `issued_at`. Two kinds are plain PDFs: drafts, which have no date to carry,
and invoices with a name in a script those fonts lack (Chinese, Japanese, Korean, Thai, Devanagari, emoji): there the
archive profile forbids the empty boxes that are printed in the place of such a name.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal

import typst

from core.errors import InvalidInput
from core.money import Money, plain
from core.period import Period, day_of

TEMPLATE_VERSION = "invoice-1"
VERIFY = (
    "To verify: take this invoice's JSON without content_hash, sort its keys, write it in UTF-8 without spaces; "
    "its SHA-256 is the content hash."
)

_TEMPLATE = Path(__file__).parent / "templates" / "invoice.typ"
_TITLES = {"credit": "Credit note", "credit_note": "Credit note"}
_TOP_DERIVATIVES = 16
_LONGEST_LEAD = 60  # characters; a longer text of the workings stands on a line of its own
_LONGEST_CHART = 400  # days; a longer period draws only the days that have counts
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# Control characters and lone surrogates cannot be printed; bidirectional controls could turn an amount's digits round.
_UNPRINTABLE = re.compile(
    "[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_LONG_WORD = re.compile(r"[^\s\u200b]{25,}")
_WORD_PART = re.compile(r"[^\s]{1,8}?(?:[-_/.,:@]+|$)|[^\s]{1,8}")
_BREAK = "\u200b"  # the template turns it into a place to break a line; it is not in the PDF's text
_GROUP = "\u202f"  # narrow no-break space


def render_pdf(invoice: Mapping[str, Any]) -> bytes:
    """The invoice snapshot as a PDF of A4 pages; the same snapshot gives the same bytes on every machine.

    `issued_at` (ISO instant) becomes the creation date. A snapshot without a number, or with status "draft", is marked
    DRAFT. Raises `InvalidInput("incomplete_invoice")` if the snapshot lacks a field that an invoice cannot be without.
    """
    try:
        page = _page(invoice)
    except (KeyError, TypeError, ValueError) as problem:
        raise InvalidInput("incomplete_invoice", f"this is not a whole invoice snapshot: {problem!r}") from problem
    inputs = {"page": json.dumps(page, ensure_ascii=False)}
    if page["created"] is None:
        return _compile(inputs, None)
    try:
        return _compile(inputs, "a-3b")
    except typst.TypstError as problem:
        if "could not be displayed" not in str(problem):
            raise
        return _compile(inputs, None)


def _compile(inputs: dict[str, str], standard: Literal["a-3b"] | None) -> bytes:
    return typst.compile(
        _TEMPLATE.read_bytes(),
        font_paths=_fonts(),
        ignore_system_fonts=True,
        sys_inputs=inputs,
        pdf_standards=standard,
        timestamp=0,  # never the clock; the document's own date comes from issued_at
    )


@cache
def _fonts() -> typst.Fonts:
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)


def _page(invoice: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the template prints, as strings in place, and lengths as whole ten-thousandths."""
    zone = invoice["period"]["zone"]
    issued = datetime.fromisoformat(invoice["issued_at"]) if invoice["issued_at"] else None
    status = invoice.get("status")
    draft = invoice["number"] is None or status == "draft"
    title = _TITLES.get(invoice["kind"], "Licence fee invoice")
    number = _clean(invoice["number"] or "Draft")
    return {
        "version": TEMPLATE_VERSION,
        "title": title,
        "number": number,
        "mark": "DRAFT" if draft else "VOID" if status == "void" else None,
        "created": list(issued.astimezone(UTC).timetuple()[:6]) if issued else None,
        "licensor": _party(invoice["licensor"]),
        "licensee": _party(invoice["licensee"]),
        "facts": [
            ["Invoice number" if title != "Credit note" else "Credit note number", number],
            ["Issued", _day(day_of(issued, zone)) if issued else "Not yet issued"],
            ["Due", _due(invoice)],
        ],
        "agreement": {
            "name": _text(invoice["agreement"]["name"]),
            "slug": _text(invoice["agreement"]["slug"]),
            "term": _span(invoice["agreement"]["starts_on"], invoice["agreement"]["ends_on"]),
        },
        "period": {
            "span": _span(invoice["period"]["start"], invoice["period"]["end"]),
            "zone": f"Days as counted in {_text(zone)}",
        },
        "currency": _text(invoice["currency"]),
        "lines": _lines(invoice),
        "subtotal": None if invoice.get("subtotal") in (None, invoice["total"]) else _number(invoice["subtotal"]),
        "total": _number(invoice["total"]),
        "total_label": _total_label(invoice, title, draft),
        "commitments": [_commitment(one) for one in invoice.get("commitments") or ()],
        "workings": [_working(line, invoice["currency"]) for line in invoice["lines"]],
        "chart": _chart(invoice),
        "derivatives": _derivatives((invoice.get("usage") or {}).get("by_model") or ()),
        "notes": [_text(note) for note in invoice.get("notes") or ()],
        "hash": _clean(invoice["content_hash"]) if invoice.get("content_hash") else None,
        "verify": VERIFY,
    }


def _party(party: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": _text(party["name"]),
        "address": [_text(row) for row in party.get("address") or ()],
        "email": _text(party.get("email") or ""),
        "tax_id": _text(party.get("tax_id") or ""),
    }


def _due(invoice: Mapping[str, Any]) -> str:
    if _exact(invoice["total"]) <= 0:
        return "Nothing to pay"
    if invoice["due_on"]:
        return _day(date.fromisoformat(invoice["due_on"]))
    days = invoice.get("payment_days")
    return f"{days} {'day' if days == 1 else 'days'} after issue" if days is not None else "On receipt"


def _total_label(invoice: Mapping[str, Any], title: str, draft: bool) -> str:
    if _exact(invoice["total"]) < 0 or title == "Credit note":
        return "Total credit"
    return "Total" if draft or not _exact(invoice["total"]) else "Total due"


# The line table.


def _lines(invoice: Mapping[str, Any]) -> dict[str, Any]:
    lines = invoice["lines"]
    price_places = max((_places(line["unit_price"]) for line in lines if line["unit_price"] is not None), default=0)
    fee_places = max((_places(line["unit_amount"]) for line in lines), default=0)
    names = {model["model"]: model["name"] for model in (invoice.get("usage") or {}).get("by_model") or ()}
    rows = [_line(line, invoice["period"], names, price_places, fee_places) for line in lines]
    numbers = ("images", "price", "fee", "amount")
    return {
        "rows": rows,
        # Where every fee is in the invoice's currency already, a column for it would only say everything twice.
        "fee_column": any(line["unit"] != invoice["currency"] for line in lines),
        "widest": max((sum(len(row[n]) for n in numbers) for row in rows), default=0),
    }


def _line(
    line: Mapping[str, Any], period: Mapping[str, Any], names: Mapping[str, str], price_places: int, fee_places: int
) -> dict[str, Any]:
    # A name that the description holds already is not said twice; the period of the invoice is said at the top.
    model = names.get(line["model"], line["model"]) or ""
    details = [_text(model)] if model and model not in line["description"] else []
    if line["adjustment"] or (line["service_start"], line["service_end"]) != (period["start"], period["end"]):
        details.insert(0, _tag(line))
    price = line["unit_price"]
    return {
        "no": str(line["no"]),
        "description": _text(line["description"]),
        "detail": " · ".join(details),
        "adjustment": bool(line["adjustment"]),
        "images": _number(line["image_count"]) if line["image_count"] or (price and line["image_count"] == 0) else "",
        "price": "" if price is None else _number(price),
        "price_pad": "" if price is None else _pad(price, price_places),
        "fee": _number(line["unit_amount"]),
        "fee_pad": _pad(line["unit_amount"], fee_places),
        "unit": _text(line["unit"]),
        "amount": _number(line["amount"]),
    }


def _commitment(commitment: Mapping[str, Any]) -> dict[str, Any]:
    share = min(max(_exact(commitment["fraction"]), Fraction(0)), Fraction(1))
    remaining = _exact(commitment["remaining"])

    unit = "images" if commitment["kind"] == "images" else _text(commitment["unit"])
    return {
        "name": _text(commitment["name"]),
        "term": _span(commitment["starts_on"], commitment["ends_on"]),
        # Cut, not rounded: 100 % must not stand there before the commitment is met.
        "percent": f"{plain(Fraction(int(share * 1000), 10))} %",
        "fill": int(share * 10_000),
        "counted": f"{_number(commitment['counted'])} of {_number(commitment['target'])} {unit}",
        "remaining": f"{_number(commitment['remaining'])} {unit} to go" if remaining > 0 else "Met",
    }


# The workings: sentences that a person can recompute by hand.


def _working(line: Mapping[str, Any], currency: str) -> dict[str, Any]:
    rows = line.get("workings") or ()
    steps = [sentence for row in rows for sentence in _step(row, _text(line["unit"]))]
    if any(row.get("step") in ("round", "taken back") for row in rows):
        steps += _ending(rows, _text(line["unit"]))
    else:
        steps += _result(line, currency, steps)
    # What a step says in its own words comes last: how the line follows from what is owed in all.
    steps += [_text(row["text"]) for row in rows if "step" in row and "text" in row]
    return {"no": str(line["no"]), "title": _text(line["description"]), "span": _tag(line), "steps": steps}


def _tag(line: Mapping[str, Any]) -> str:
    """The service period; an adjustment says that it is one, unless its description does."""
    span = _span(line["service_start"], line["service_end"])
    return f"Adjustment to {span}" if line["adjustment"] and "Adjustment" not in line["description"] else span


def _step(row: Mapping[str, Any], unit: str) -> list[str]:
    """One row of workings in words. Conversion and rounding are one sentence, which `_ending` makes."""
    step = row.get("step")
    if step in ("convert", "round") or (step and "text" in row):
        return []
    try:
        return [_WORDS[step](row, unit)] if step in _WORDS else _other_step(row, unit)
    except KeyError:
        return _other_step(row, unit)


def _count_words(row: Mapping[str, Any], _unit: str) -> str:
    said = f"{_span(row['from'], row['until'])} ({_days(row['days'])}): {_value(row['images'])} images counted"
    if "included" in row:
        said += f", {_value(row['included'])} of them among the {_value(row['included_a_month'])} included a month"
    if "cap" in row:
        said += f"; {_value(row['above_cap'])} above the cap of {_value(row['cap'])} a month"
    return said


def _price_words(row: Mapping[str, Any], unit: str) -> str:
    price, amount = f"{_value(row['price'])} {unit}", f"{_value(row['amount'])} {unit}"
    if "packages" in row:
        packages = f"{_value(row['packages'])} packages of {_value(row['package_size'])} images begun"
        return f"{_value(row['images'])} images: {packages} × {price} = {amount}"
    said = f"{_value(row['images'])} images × {price} = {amount}"
    if "month_total" in row:
        said += f"; {_value(row['month_total'])} images in the month set the price for all of them"
    if "tier_up_to" in row:
        up_to = row["tier_up_to"]
        said += "; the last tier" if up_to is None else f"; the tier up to {_value(up_to)} images"
    return said


def _prorate_words(row: Mapping[str, Any], unit: str) -> str:
    fee, days, of_days = _exact(row["fee"]), int(row["days"]), int(row["of_days"])
    equals = "=" if fee * days / of_days == _exact(row["amount"]) else "≈"
    return f"{_value(row['fee'])} {unit} × {days} of {of_days} days {equals} {_value(row['amount'])} {unit}"


def _commitment_words(row: Mapping[str, Any], unit: str) -> str:
    counted_in = unit if "agreed" in row else "images"
    said = f"{_span(row['from'], row['until'])}: {_value(row['target'])} {counted_in} committed"
    if "agreed" in row and _exact(row["agreed"]) != _exact(row["target"]):
        said += f" (of {_value(row['agreed'])} agreed for the whole term)"
    return f"{said} − {_value(row['counted'])} counted = {_value(row['missing'])} {counted_in} missing"


_WORDS = {"count": _count_words, "price": _price_words, "prorate": _prorate_words, "commitment": _commitment_words}


def _ending(rows: Iterable[Mapping[str, Any]], unit: str) -> list[str]:
    """From the fee to the amount owed for the whole service period, as rating noted it: converted, rounded once."""
    priced = [row for row in rows if row.get("step") in ("price", "prorate")]
    convert = next((row for row in rows if row.get("step") == "convert"), None)
    rounded = next((row for row in rows if row.get("step") == "round"), None)
    exact = sum((_exact(row["amount"]) for row in priced), start=Fraction(0))
    said = f"{_number(plain(exact))} {unit}" if priced else ""
    if convert:
        exact, currency = _exact(convert["exact"]), _text(convert["currency"])
        product = f"{_number(convert['amount'])} {unit} × {_number(convert['rate'])} {currency} per {unit}"
        said = f"{product} = {_number(convert['exact'])} {currency}"
    elif len(priced) > 1:
        said = f"Together {said}"
    if not rounded or not said or exact == 0:
        return []
    if exact != _exact(rounded["amount"]):
        return [
            f"{said}, rounded {_text(rounded['rule'])}, to {_number(rounded['amount'])} {_text(rounded['currency'])}"
        ]
    return [f"{said}, exactly"] if convert or len(priced) > 1 else []


def _other_step(row: Mapping[str, Any], unit: str) -> list[str]:
    """A row of any other shape: its own text, its arithmetic, then whatever else it holds, named."""
    left = {key: value for key, value in row.items() if value is not None and value != ""}
    lead = _text(left.pop("text", ""))
    if "days" in left:
        days = _days(left.pop("days"))
        lead = f"{lead} ({days})" if lead else days
    unit = _text(left.pop("unit", unit))
    terms = [f"{_value(left.pop('images'))} images"] if "images" in left else []
    terms += [f"{_value(left.pop('unit_price'))} {unit}"] if "unit_price" in left else []
    terms = [" × ".join(terms)] if terms else []
    terms += [f"{_value(left.pop('amount'))} {unit}"] if "amount" in left else []
    rest = [f"{_text(key).replace('_', ' ')} {_value(value)}" for key, value in left.items()]
    sentence = "; ".join(([" = ".join(terms)] if terms else []) + rest)
    if lead and sentence and len(lead) > _LONGEST_LEAD:
        return [lead, sentence]
    return [part for part in (": ".join(filter(None, (lead, sentence))),) if part]


def _result(line: Mapping[str, Any], currency: str, steps: list[str]) -> Iterable[str]:
    """From the quantity to the fee, and from the fee to the amount on the line; only sums that hold are printed."""
    unit, fee, amount = _text(line["unit"]), _exact(line["unit_amount"]), _exact(line["amount"])
    fee_text = f"{_number(line['unit_amount'])} {unit}"
    count, price = line["image_count"], line["unit_price"]
    if count is not None and price is not None and Fraction(count) * _exact(price) == fee:
        sentence = f"{_number(count)} images × {_number(price)} {unit} = {fee_text}"
        if not any(step.endswith(sentence) for step in steps):
            yield sentence
    elif not steps:
        yield f"Fee: {fee_text}"
    if fee == amount == 0:
        return
    rate = line["conversion_rate"]
    exact = fee * (_exact(rate) if rate is not None else 1)
    money = _text(currency)
    product = fee_text
    if rate is not None and (unit != money or _exact(rate) != 1):
        product = f"{fee_text} × {_number(rate)} {money} per {unit} = {_number(plain(exact, 36))} {money}"
    if exact == amount:
        if product != fee_text:
            yield f"{product}, exactly"
    elif Money.rounded(exact, currency).amount == amount:
        yield f"{product}, rounded half up to {_number(line['amount'])} {money}"
    else:
        owed = ": what is owed for the whole service period, rounded once, less what was billed for it before"
        yield f"{product}; the line bills {_number(line['amount'])} {money}{owed if line['adjustment'] else ''}"


def _days(value: Any) -> str:
    if isinstance(value, int) or str(value).isdecimal():
        return f"{value} {'day' if str(value) == '1' else 'days'}"
    return _value(value)


def _value(value: Any) -> str:
    """A value of the workings: numbers grouped, dates in words, anything else as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    if _DATE.fullmatch(text):
        return _day(date.fromisoformat(text))
    return _number(text) if _NUMBER.fullmatch(text) else _text(text)


# The usage pages.


def _chart(invoice: Mapping[str, Any]) -> dict[str, Any] | None:
    """Daily counts as bars: heights in ten-thousandths of the topmost gridline, days without a count at zero."""
    counts: dict[date, int] = {}
    for row in (invoice.get("usage") or {}).get("by_day") or ():
        day = date.fromisoformat(row["day"])
        counts[day] = counts.get(day, 0) + int(row["image_count"])
    if not counts:
        return None
    first = min(date.fromisoformat(invoice["period"]["start"]), *counts)
    last = max(date.fromisoformat(invoice["period"]["end"]) - timedelta(days=1), *counts)
    length = (last - first).days + 1
    days = [first + timedelta(days=n) for n in range(length)] if length <= _LONGEST_CHART else sorted(counts)
    step = _tick(max(counts.values()))
    ticks = max(1, -(-max(counts.values()) // step))
    every = -(-len(days) // 16)
    return {
        "ticks": [{"label": _number(n * step), "at": n * 10_000 // ticks} for n in range(ticks + 1)],
        "bars": [
            {
                "height": max(0, counts.get(day, 0)) * 10_000 // (ticks * step),
                "label": "" if n % every else _short_day(day, days[n - every] if n else None),
            }
            for n, day in enumerate(days)
        ],
        "total": _number(sum(counts.values())),
        "most": f"{_number(max(counts.values()))} on {_day(max(counts, key=lambda day: counts[day]))}",
        "average": _number(plain(Fraction(sum(counts.values()), len(days)), 0)),
        "span": _span(days[0].isoformat(), (days[-1] + timedelta(days=1)).isoformat()),
    }


def _tick(highest: int) -> int:
    """The round step (1, 2 or 5 times a power of ten) that divides the chart into at most five parts."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power * 5 >= highest:
                return factor * power
        power *= 10


def _derivatives(by_model: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    models = list(by_model)
    if not models:
        return None
    total = sum(int(model["image_count"]) for model in models)
    named = [(one, model) for model in models for one in model["derivatives"]]
    found = [(int(one["image_count"]), _text(one["name"]), _text(model["name"])) for one, model in named]
    found.sort(key=lambda row: (-row[0], row[1], row[2]))
    top = found[:_TOP_DERIVATIVES] if len(found) > _TOP_DERIVATIVES + 1 else found
    rest = found[len(top) :]
    return {
        "models": [_counted(int(one["image_count"]), _text(one["name"]), "", total) for one in models],
        "rows": [_counted(count, name, model, total) for count, name, model in top],
        "rest": _counted(sum(row[0] for row in rest), f"{len(rest)} more derivatives", "", total) if rest else None,
    }


def _counted(count: int, name: str, model: str, total: int) -> dict[str, Any]:
    share = plain(Fraction(count * 100, total), 1) if total else "0"
    return {
        "name": name,
        "model": model,
        "images": _number(count),
        "share": f"{share if '.' in share else share + '.0'} %",
        "fill": min(10_000, max(0, count * 10_000 // total)) if total else 0,
    }


# Strings.


def _text(value: Any) -> str:
    """Text from the snapshot as it is, with places to break in words too long for a column."""
    return _LONG_WORD.sub(lambda word: _BREAK.join(_WORD_PART.findall(word[0])), _clean(value))


def _clean(value: Any) -> str:
    """Text with what cannot be printed made visible."""
    return _UNPRINTABLE.sub("\ufffd", str(value).replace("\r\n", "\n").replace("\t", " "))


def _exact(text: Any) -> Fraction:
    if not _NUMBER.fullmatch(str(text)):
        raise ValueError(f"not a plain decimal: {text!r}")
    return Fraction(str(text))


def _number(value: Any) -> str:
    """The digits as given, grouped by thin spaces, with a true minus sign."""
    found = _NUMBER.fullmatch(str(value))
    if not found:
        raise ValueError(f"not a plain decimal: {value!r}")
    grouped = f"{int(found[2]):,}".replace(",", _GROUP)
    return f"{'−' if found[1] else ''}{grouped}{'.' + found[3] if found[3] else ''}"


def _places(value: Any) -> int:
    return len(str(value).partition(".")[2])


def _pad(value: Any, places: int) -> str:
    """What is printed invisibly after a number so that the points of a column stand under each other."""
    missing = places - _places(value)
    return ("" if "." in str(value) else ".") + "0" * missing if missing > 0 else ""


def _day(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _short_day(day: date, before: date | None) -> str:
    """The day of the month, with the month's name where it is not that of the day named before."""
    same = before is not None and (day.year, day.month) == (before.year, before.month)
    return str(day.day) if same else f"{day.day} {_MONTHS[day.month - 1][:3]}"


def _span(start: str, end: str | None) -> str:
    """Half-open days in words, the last day included: "October 2026", "1 to 15 October 2026"."""
    first = date.fromisoformat(start)
    if end is None:
        return f"from {_day(first)}"
    last = date.fromisoformat(end) - timedelta(days=1)
    if last <= first:
        return _day(first)
    if Period(first, last + timedelta(days=1)) == Period.month_of(first):
        return f"{_MONTHS[first.month - 1]} {first.year}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {_day(last)}"
    if first.year == last.year:
        return f"{first.day} {_MONTHS[first.month - 1]} to {_day(last)}"
    return f"{_day(first)} to {_day(last)}"
