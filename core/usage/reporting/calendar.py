"""The reporting calendar: of each day on which an agreement expects reports, whether any came.

Silence is not zero. A day is *reported* when any event occurred on it for a model that the agreement covers, *zero*
when the licensee said that there was nothing, *open* while it may still come, and *missing* otherwise.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from core.period import Period, day_start

State = Literal["reported", "zero", "open", "missing"]
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Zero:
    """A licensee's word that there were no images on these days: of one model, or of any when `model` is None."""

    days: Period
    model: str | None


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted for an agreement's models on a day."""

    event_count: int
    image_count: int


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """A day, its state, and what was counted on it, once for each of the agreement's models."""

    day: date
    state: State
    event_count: int = 0
    image_count: int = 0


Cover = Sequence[tuple[str, Period]]  # (model slug, days) that an agreement covers


def expected_days(cover: Cover, within: Period, zone: str) -> dict[date, frozenset[str]]:
    """The days on which reports are expected and the models covered on each, in the order of the days.

    A day that the zone's calendar skips as a whole is not one of them: nothing can happen on it.
    """
    models: dict[date, set[str]] = {}
    for model, days in cover:
        shared = days.overlap(within)
        for day in shared.each_day() if shared else ():
            models.setdefault(day, set()).add(model)
    return {day: frozenset(models[day]) for day in sorted(models) if day_start(day, zone) < day_start(day + _DAY, zone)}


def calendar(
    expected: Mapping[date, Collection[str]], counted: Mapping[date, Counted], zeros: Iterable[Zero], today: date
) -> list[CalendarDay]:
    """The state of each expected day. Usage stands against a word of zero; `today` and later are open."""
    said = _zero_models(zeros, expected)
    found = []
    for day, models in expected.items():
        counts = counted.get(day)
        state: State = "missing"
        if counts:
            state = "reported"
        elif None in said[day] or said[day] >= set(models):
            state = "zero"
        elif day >= today:
            state = "open"
        found.append(CalendarDay(day, state, *((counts.event_count, counts.image_count) if counts else ())))
    return found


def silent_models(
    expected: Mapping[date, Collection[str]], counted: Mapping[date, Counted], zeros: Collection[Zero], today: date
) -> dict[date, frozenset[str]]:
    """For each missing day the models of which nothing is known: those that were not said to be zero on it."""
    said = _zero_models(zeros, expected)
    missing = [each.day for each in calendar(expected, counted, zeros, today) if each.state == "missing"]
    return {day: frozenset(expected[day]) - said[day] for day in missing}


def _zero_models(zeros: Iterable[Zero], expected: Collection[date]) -> Mapping[date, set[str | None]]:
    """For each expected day, the models that were said to be zero; None stands for all of them."""
    said: dict[date, set[str | None]] = {day: set() for day in expected}
    within = Period(min(expected), max(expected) + _DAY) if expected else None
    for zero in zeros:
        shared = zero.days.overlap(within) if within else None
        for day in shared.each_day() if shared else ():
            if day in said:
                said[day].add(zero.model)
    return said


def missing_runs(days: Iterable[CalendarDay]) -> list[Period]:
    """The missing days, those next to each other as one run."""
    runs: list[Period] = []
    for each in days:
        if each.state != "missing":
            continue
        if runs and runs[-1].end == each.day:
            runs[-1] = Period(runs[-1].start, each.day + _DAY)
        else:
            runs.append(Period(each.day, each.day + _DAY))
    return runs
