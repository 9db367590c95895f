"""A real month of counts, spread over hours the way platforms report them: always the same way.

The file gives one figure per model and month. Three platforms share each model's images by fixed parts; a platform's
part is spread over the month's hours along a daily and weekly curve. Every step splits a whole number by cumulative
weights, so nothing is lost and nothing is rounded up: the events of a model add up to the file's figure again.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from core.period import Period

DEMO_FILES = Path(__file__).resolve().parents[3] / "config" / "demo"
FIGURES = DEMO_FILES / "ai_horde_2023.csv"
MONTH = Period.month("2026-10")
SHARES = {"brightforge": 30, "palette-works": 50, "tinybrush": 20}  # per cent of every model's images
PLANS = ("free", "paid")
BATCH = 1000
RESEND_EVERY = 20  # one batch in twenty is sent twice: 5 %

# Traffic by hour of the day (UTC) and by day of the week, as weights.
_HOURS = (6, 5, 4, 3, 3, 3, 4, 5, 6, 7, 8, 9, 9, 10, 10, 11, 11, 12, 12, 12, 11, 10, 9, 7)
_WEEKDAYS = (10, 10, 10, 10, 11, 13, 13)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the file."""

    name: str
    slug: str
    family: str
    image_count: int


def figures(path: Path = FIGURES) -> list[Figure]:
    """The month's images per fine-tuned model, in the file's order."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Figure(row["model"], slug_of(row["model"]), row["base_model"], int(row["images_last_month"]))
            for row in csv.DictReader(file)
        ]


def slug_of(name: str) -> str:
    """The slug under which a platform reports a model: "Anything Diffusion" becomes "anything-diffusion"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def split(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole parts proportional to `weights`, by cumulative division: the parts sum to the total."""
    whole, passed, parts, given = sum(weights), 0, [], 0
    for weight in weights:
        passed += weight
        upto = total * passed // whole
        parts.append(upto - given)
        given = upto
    return parts


def events_of(platform: str) -> Iterator[dict[str, Any]]:
    """One usage event per model and hour of the month, in the order in which the platform's clock met them."""
    hours = _hour_weights()
    number = list(SHARES).index(platform)
    series = []
    for at, figure in enumerate(figures()):
        count = split(figure.image_count, list(SHARES.values()))[number]
        # Each model's day peaks at its own hour, as models are popular in different places.
        turn = (at * 7) % 24
        series.append((figure.slug, PLANS[at % 2], split(count, hours[turn:] + hours[:turn])))
    start = datetime.combine(MONTH.start, datetime.min.time(), UTC)
    for hour in range(MONTH.days * 24):
        occurred_at = start + timedelta(hours=hour, minutes=30)
        for slug, plan, counts in series:
            if counts[hour]:
                yield {
                    "event_id": f"{occurred_at:%Y-%m-%dT%H}/{slug}",
                    "model": slug,
                    "image_count": counts[hour],
                    "occurred_at": occurred_at.isoformat(),
                    "plan": plan,
                }


def reports_of(platform: str) -> Iterator[tuple[dict[str, Any], bool]]:
    """The platform's reports of up to 1,000 events each, and whether it sends one twice, as a careful client may."""
    events = list(events_of(platform))
    for number, at in enumerate(range(0, len(events), BATCH)):
        report = {
            "report_id": f"{platform}-{MONTH.name}-{number:05d}",
            "source": "demo",
            "sequence": number,
            "events": events[at : at + BATCH],
        }
        yield report, number % RESEND_EVERY == RESEND_EVERY - 1


@cache
def _hour_weights() -> list[int]:
    return [_HOURS[hour] * _WEEKDAYS[day.weekday()] for day in MONTH.each_day() for hour in range(24)]
