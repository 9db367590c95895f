"""The counts behind an invoice as its document draws them: images a day, by model, by plan, by what was made.

Lengths are whole ten-thousandths, so that a template computes nothing.
"""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from core.invoicing.paper.speech import Speech
from core.invoicing.paper.wording import printable
from core.invoicing.paper.words import WORDS
from core.invoicing.paper.workings import spans_said
from core.money import plain
from core.rating.estimate import runs_of

_TOP_DERIVATIVES = 16
_LONGEST_CHART = 400  # days; a longer period draws only the days that have counts


def chart(invoice: Mapping[str, Any], speech: Speech) -> dict[str, Any] | None:
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
    most = max(counts, key=lambda day: counts[day])
    found = {
        "total": speech.grouped(sum(counts.values())),
        "most": speech.say("most_on", count=speech.grouped(counts[most]), day=speech.day(most)),
        "average": speech.grouped(plain(Fraction(sum(counts.values()), len(days)), 0)),
        "span": speech.days(days[0].isoformat(), (days[-1] + timedelta(days=1)).isoformat()),
    }
    return {
        **found,
        "title": speech.say("images_a_day", span=found["span"]),
        "words": speech.say("chart_words", **found),
        "ticks": [{"label": speech.grouped(n * step), "at": n * 10_000 // ticks} for n in range(ticks + 1)],
        "bars": [
            {
                "height": max(0, counts.get(day, 0)) * 10_000 // (ticks * step),
                "label": "" if n % every else speech.short_day(day, days[n - every] if n else None),
            }
            for n, day in enumerate(days)
        ],
    }


def estimate_notes(invoice: Mapping[str, Any], speech: Speech) -> list[str]:
    """The sentence that names the days of the invoice's period whose images are estimates; none where none are."""
    start, end = (date.fromisoformat(invoice["period"][bound]) for bound in ("start", "end"))
    days = {date.fromisoformat(day) for row in invoice.get("estimates") or () for day in row["days"]}
    mine = sorted(day for day in days if start <= day < end)
    if not mine:
        return []
    said = speech.say("one_day" if len(mine) == 1 else "days", days=len(mine))
    return [speech.say("estimate_note", days=said, span=spans_said(runs_of(mine), speech))]


def derivatives(by_model: Iterable[Mapping[str, Any]], speech: Speech) -> dict[str, Any] | None:
    """Images by model, and by derivative from the most used down; what follows the first sixteen is one row."""
    models = list(by_model)
    if not models:
        return None
    total = sum(int(model["image_count"]) for model in models)
    named = [(one, model) for model in models for one in model["derivatives"]]
    found = [(int(one["image_count"]), printable(one["name"]), printable(model["name"])) for one, model in named]
    found.sort(key=lambda row: (-row[0], row[1], row[2]))
    top = found[:_TOP_DERIVATIVES] if len(found) > _TOP_DERIVATIVES + 1 else found
    rest = found[len(top) :]
    rest_name = speech.say("more_derivatives", count=len(rest))
    return {
        "models": [_counted(int(one["image_count"]), printable(one["name"]), "", total, speech) for one in models],
        "rows": [_counted(count, name, model, total, speech) for count, name, model in top],
        "rest": _counted(sum(row[0] for row in rest), rest_name, "", total, speech) if rest else None,
    }


def breakdown(usage: Mapping[str, Any], speech: Speech) -> dict[str, Any] | None:
    """Images by plan and by what was made; None where all are plain images of no plan, which needs no table."""
    plans, outputs = usage.get("by_plan") or (), usage.get("by_output") or ()
    plain_only = all(row["output"] == "image" for row in outputs) and all(not row["plan"] for row in plans)
    if plain_only:
        return None
    total = sum(int(row["image_count"]) for row in plans)
    no_plan = speech.say("no_plan")
    return {
        "plans": [
            _counted(int(row["image_count"]), printable(row["plan"]) or no_plan, "", total, speech) for row in plans
        ],
        "outputs": [
            {
                "name": _output_said(str(row["output"]), speech),
                "reported": speech.grouped(row["reported"]),
                "images": speech.grouped(row["image_count"]),
                "note": speech.phrase(row["note"] or ""),
            }
            for row in outputs
        ],
    }


def _output_said(output: str, speech: Speech) -> str:
    key = f"output_{output}"
    return speech.say(key) if key in WORDS else printable(output)


def _counted(count: int, name: str, model: str, total: int, speech: Speech) -> dict[str, Any]:
    share = plain(Fraction(count * 100, total), 1) if total else "0"
    return {
        "name": name,
        "model": model,
        "images": speech.grouped(count),
        "share": speech.percent(share if "." in share else f"{share}.0"),
        "fill": min(10_000, max(0, count * 10_000 // total)) if total else 0,
    }


def _tick(highest: int) -> int:
    """The round step (1, 2 or 5 times a power of ten) that divides the chart into at most five parts."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power * 5 >= highest:
                return factor * power
        power *= 10
