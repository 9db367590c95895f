"""A real month of counts, spread over hours the way platforms report them: always the same way.

The file gives one figure per model and month. Three platforms share each model's images by fixed parts; a platform's
part is spread over the month's hours along a daily and weekly curve. Every step splits a whole number by cumulative
weights, so nothing is lost and nothing is rounded up: the events of a model add up to the file's figure again. The
months around the real one are the same figures grown or shrunk, reported by the day.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from core.period import Period

DEMO_FILES = Path(__file__).resolve().parents[3] / "config" / "demo"
FIGURES = DEMO_FILES / "ai_horde_2023.csv"
SHARES = {"brightforge": 30, "palette-works": 50, "tinybrush": 20}  # per cent of every model's images
GROWTH = {"brightforge": 45, "palette-works": 40, "tinybrush": 70}  # per mille a month
PLANS = ("free", "paid")
BATCH = 1000
RESEND_EVERY = 20  # one batch in twenty is sent twice: 5 %
DAILY_FROM = 15_000  # images a month; of what is made less often, the months around the real one say so once a week

# Traffic by hour of the day (UTC) and by day of the week, as weights.
_HOURS = (6, 5, 4, 3, 3, 3, 4, 5, 6, 7, 8, 9, 9, 10, 10, 11, 11, 12, 12, 12, 11, 10, 9, 7)
_WEEKDAYS = (10, 10, 10, 10, 11, 13, 13)
Event = dict[str, Any]


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


def scaled(image_count: int, growth: int, months_back: int) -> int:
    """A month's images so many months before (or, below zero, after), at a growth of so many per mille a month."""
    for _ in range(abs(months_back)):
        image_count = (
            image_count * 1000 // (1000 + growth) if months_back > 0 else image_count * (1000 + growth) // 1000
        )
    return image_count


def events_of(platform: str, month: Period) -> Iterator[Event]:
    """One usage event per model and hour of the month, in the order in which the platform's clock met them."""
    hours = _hour_weights(month)
    series = []
    for at, (figure, count) in enumerate(_parts(platform)):
        # Each model's day peaks at its own hour, as models are popular in different places.
        turn = (at * 7) % 24
        series.append((figure.slug, PLANS[at % 2], split(count, hours[turn:] + hours[:turn])))
    start = datetime.combine(month.start, time.min, UTC)
    for hour in range(month.days * 24):
        occurred_at = start + timedelta(hours=hour, minutes=30)
        for slug, plan, counts in series:
            if counts[hour]:
                yield event(f"{occurred_at:%Y-%m-%dT%H}/{slug}", slug, counts[hour], occurred_at, plan)


def daily_events_of(platform: str, month: Period, months_back: int) -> Iterator[Event]:
    """The platform's month by the day, grown or shrunk from the real one; models that are seldom used by the week."""
    for at, (figure, count) in enumerate(_parts(platform)):
        images = scaled(count, GROWTH[platform], months_back)
        every = 1 if images >= DAILY_FROM else 7
        yield from by_day(figure.slug, images, month, plan=PLANS[at % 2], every=every)


def by_day(
    model: str, images: int, month: Period, *, plan: str = "", adapters: Sequence[str] = (), every: int = 1
) -> Iterator[Event]:
    """Images of one model over the days of a month, or over every seventh of them."""
    days = list(month.each_day())[::every]
    name = "+".join((model, *adapters))
    for day, count in zip(days, split(images, [day_weight(day) for day in days]), strict=True):
        if count:
            at = datetime.combine(day, time(12), UTC)
            yield event(f"{day}/{name}/{plan}" if plan else f"{day}/{name}", model, count, at, plan, adapters)


def event(  # noqa: PLR0917 - what happened, in the order in which one says it
    event_id: str, model: str, image_count: int, at: datetime, plan: str = "", adapters: Sequence[str] = ()
) -> Event:
    """A usage event as a platform writes it."""
    made = {"event_id": event_id, "model": model, "image_count": image_count, "occurred_at": at.isoformat()}
    return made | ({"plan": plan} if plan else {}) | ({"adapters": list(adapters)} if adapters else {})


def reports_of(platform: str, month: Period) -> Iterator[tuple[dict[str, Any], bool]]:
    """The platform's reports of up to 1,000 events each, and whether it sends one twice, as a careful client may."""
    events = list(events_of(platform, month))
    for number, at in enumerate(range(0, len(events), BATCH)):
        report = {
            "report_id": f"{platform}-{month.name}-{number:05d}",
            "source": "demo",
            "sequence": number,
            "events": events[at : at + BATCH],
        }
        yield report, number % RESEND_EVERY == RESEND_EVERY - 1


def day_weight(day: date) -> int:
    """How much of a month's traffic a day has: more at weekends, and no two weeks quite the same."""
    return _WEEKDAYS[day.weekday()] * (90 + (day.toordinal() * 37) % 21)


def _parts(platform: str) -> list[tuple[Figure, int]]:
    """What a platform takes of every model's images."""
    number = list(SHARES).index(platform)
    return [(figure, split(figure.image_count, list(SHARES.values()))[number]) for figure in figures()]


@cache
def _hour_weights(month: Period) -> list[int]:
    return [_HOURS[hour] * _WEEKDAYS[day.weekday()] for day in month.each_day() for hour in range(24)]
