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
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal

import typst

from core.errors import InvalidInput
from core.invoicing.wording import (
    cleaned,
    day_in_words,
    days_in_words,
    exact_of,
    grouped,
    padding,
    places_of,
    printable,
    short_day,
)
from core.invoicing.workings import explain_line, service_span
from core.money import plain
from core.period import day_of

TEMPLATE_VERSION = "invoice-1"
VERIFY = (
    "To verify: take this invoice's JSON without content_hash, sort its keys, write it in UTF-8 without spaces; "
    "its SHA-256 is the content hash."
)

_TEMPLATE = Path(__file__).parent / "templates" / "invoice.typ"
_TITLES = {"credit": "Credit note", "credit_note": "Credit note"}
_TOP_DERIVATIVES = 16
_LONGEST_CHART = 400  # days; a longer period draws only the days that have counts


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
    number = cleaned(invoice["number"] or "Draft")
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
            ["Issued", day_in_words(day_of(issued, zone)) if issued else "Not yet issued"],
            ["Due", _due(invoice)],
        ],
        "agreement": {
            "name": printable(invoice["agreement"]["name"]),
            "slug": printable(invoice["agreement"]["slug"]),
            "term": days_in_words(invoice["agreement"]["starts_on"], invoice["agreement"]["ends_on"]),
        },
        "period": {
            "span": days_in_words(invoice["period"]["start"], invoice["period"]["end"]),
            "zone": f"Days as counted in {printable(zone)}",
        },
        "currency": printable(invoice["currency"]),
        "lines": _lines(invoice),
        "subtotal": None if invoice.get("subtotal") in (None, invoice["total"]) else grouped(invoice["subtotal"]),
        "total": grouped(invoice["total"]),
        "total_label": _total_label(invoice, title, draft),
        "commitments": [_commitment(one) for one in invoice.get("commitments") or ()],
        "workings": [explain_line(line, invoice["currency"]) for line in invoice["lines"]],
        "chart": _chart(invoice),
        "derivatives": _derivatives((invoice.get("usage") or {}).get("by_model") or ()),
        "breakdown": _breakdown(invoice.get("usage") or {}),
        "notes": [printable(note) for note in invoice.get("notes") or ()],
        "hash": cleaned(invoice["content_hash"]) if invoice.get("content_hash") else None,
        "verify": VERIFY,
    }


def _party(party: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": printable(party["name"]),
        "address": [printable(row) for row in party.get("address") or ()],
        "email": printable(party.get("email") or ""),
        "tax_id": printable(party.get("tax_id") or ""),
    }


def _due(invoice: Mapping[str, Any]) -> str:
    if exact_of(invoice["total"]) <= 0:
        return "Nothing to pay"
    if invoice["due_on"]:
        return day_in_words(date.fromisoformat(invoice["due_on"]))
    days = invoice.get("payment_days")
    return f"{days} {'day' if days == 1 else 'days'} after issue" if days is not None else "On receipt"


def _total_label(invoice: Mapping[str, Any], title: str, draft: bool) -> str:
    if exact_of(invoice["total"]) < 0 or title == "Credit note":
        return "Total credit"
    return "Total" if draft or not exact_of(invoice["total"]) else "Total due"


def _lines(invoice: Mapping[str, Any]) -> dict[str, Any]:
    lines = invoice["lines"]
    price_places = max((places_of(line["unit_price"]) for line in lines if line["unit_price"] is not None), default=0)
    fee_places = max((places_of(line["unit_amount"]) for line in lines), default=0)
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
    details = [printable(model)] if model and model not in line["description"] else []
    if line["adjustment"] or (line["service_start"], line["service_end"]) != (period["start"], period["end"]):
        details.insert(0, service_span(line))
    price = line["unit_price"]
    return {
        "no": str(line["no"]),
        "description": printable(line["description"]),
        "detail": " · ".join(details),
        "adjustment": bool(line["adjustment"]),
        "images": grouped(line["image_count"]) if line["image_count"] or (price and line["image_count"] == 0) else "",
        "price": "" if price is None else grouped(price),
        "price_pad": "" if price is None else padding(price, price_places),
        "fee": grouped(line["unit_amount"]),
        "fee_pad": padding(line["unit_amount"], fee_places),
        "unit": printable(line["unit"]),
        "amount": grouped(line["amount"]),
    }


def _commitment(commitment: Mapping[str, Any]) -> dict[str, Any]:
    share = min(max(exact_of(commitment["fraction"]), Fraction(0)), Fraction(1))
    remaining = exact_of(commitment["remaining"])

    unit = "images" if commitment["kind"] == "images" else printable(commitment["unit"])
    return {
        "name": printable(commitment["name"]),
        "term": days_in_words(commitment["starts_on"], commitment["ends_on"]),
        # Cut, not rounded: 100 % must not stand there before the commitment is met.
        "percent": f"{plain(Fraction(int(share * 1000), 10))} %",
        "fill": int(share * 10_000),
        "counted": f"{grouped(commitment['counted'])} of {grouped(commitment['target'])} {unit}",
        "remaining": f"{grouped(commitment['remaining'])} {unit} to go" if remaining > 0 else "Met",
    }


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
        "ticks": [{"label": grouped(n * step), "at": n * 10_000 // ticks} for n in range(ticks + 1)],
        "bars": [
            {
                "height": max(0, counts.get(day, 0)) * 10_000 // (ticks * step),
                "label": "" if n % every else short_day(day, days[n - every] if n else None),
            }
            for n, day in enumerate(days)
        ],
        "total": grouped(sum(counts.values())),
        "most": f"{grouped(max(counts.values()))} on {day_in_words(max(counts, key=lambda day: counts[day]))}",
        "average": grouped(plain(Fraction(sum(counts.values()), len(days)), 0)),
        "span": days_in_words(days[0].isoformat(), (days[-1] + timedelta(days=1)).isoformat()),
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
    found = [(int(one["image_count"]), printable(one["name"]), printable(model["name"])) for one, model in named]
    found.sort(key=lambda row: (-row[0], row[1], row[2]))
    top = found[:_TOP_DERIVATIVES] if len(found) > _TOP_DERIVATIVES + 1 else found
    rest = found[len(top) :]
    return {
        "models": [_counted(int(one["image_count"]), printable(one["name"]), "", total) for one in models],
        "rows": [_counted(count, name, model, total) for count, name, model in top],
        "rest": _counted(sum(row[0] for row in rest), f"{len(rest)} more derivatives", "", total) if rest else None,
    }


def _breakdown(usage: Mapping[str, Any]) -> dict[str, Any] | None:
    """Images by plan and by what was made; None where all are plain images of no plan, which needs no table."""
    plans, outputs = usage.get("by_plan") or (), usage.get("by_output") or ()
    plain_only = all(row["output"] == "image" for row in outputs) and all(not row["plan"] for row in plans)
    if plain_only:
        return None
    total = sum(int(row["image_count"]) for row in plans)
    return {
        "plans": [_counted(int(row["image_count"]), _plan_said(row["plan"]), "", total) for row in plans],
        "outputs": [
            {
                "name": str(row["output"]).replace("_", " ").capitalize() + "s" * (row["output"] != "rejected"),
                "reported": grouped(row["reported"]),
                "images": grouped(row["image_count"]),
                "note": printable(row["note"] or ""),
            }
            for row in outputs
        ],
    }


def _plan_said(plan: str) -> str:
    return printable(plan) if plan else "No plan reported"


def _counted(count: int, name: str, model: str, total: int) -> dict[str, Any]:
    share = plain(Fraction(count * 100, total), 1) if total else "0"
    return {
        "name": name,
        "model": model,
        "images": grouped(count),
        "share": f"{share if '.' in share else share + '.0'} %",
        "fill": min(10_000, max(0, count * 10_000 // total)) if total else 0,
    }
