"""Chapter: what was made. Months reported by the week as they went by, and the running month by the day."""

from collections.abc import Collection, Iterator
from datetime import date, timedelta
from itertools import groupby

from core.period import Period
from core.usage.own.unkeyed import unkeyed_id
from core.usage.reporting.zero_reports import ZeroBody, report_zero
from service.cli.demo.cast import LICENSEES, month_of
from service.cli.demo.plan import moment
from service.cli.demo.scene import Scene
from service.cli.demo.traffic import Event, event

WEEK = 7
REPORTED_AT = 3  # o'clock on the day after
SILENT_DAYS = 3  # of northlight, up to yesterday
LOST_WEEK, CLOSED_ON = 3, 19  # of northlight's last month: before which week a report is lost; the day it was closed


def report_past(scene: Scene, month: Period, licensees: Collection[str] = LICENSEES) -> None:
    """A month that is over, reported week by week in its own time. Reports of the last month are numbered, and one of
    northlight's never came; a day on which its studio was closed is in none of them.
    """
    made = {licensee: month_of(licensee, month, scene.plan) for licensee in licensees}
    last = month == scene.plan.last
    numbers = dict.fromkeys(licensees, 0)
    for place, (until, week) in enumerate(_weeks(month)):
        scene.at(moment(until, REPORTED_AT))
        for licensee, events in made.items():
            theirs = last and licensee == "northlight"
            if theirs and place == LOST_WEEK:
                numbers[licensee] += 1
            days = week - {closed_day(month)} if theirs else week
            these = [each for each in events if _day(each) in days]
            first = numbers[licensee] if last else None
            numbers[licensee] = scene.report_all(licensee, f"{month.name}-{place}", these, first)


def say_zero(scene: Scene) -> None:
    """The day on which northlight's studio was closed, by its own word: not silence, but zero."""
    day = closed_day(scene.plan.last)
    after = day + timedelta(days=1)
    scene.at(moment(after, 16))
    with scene.session() as session:
        said = ZeroBody(f"closed-{day}", day, after, None, "the studio was closed")
        licensee_id = scene.licensee_id(session, "northlight")
        report_zero(session, licensee_id, scene.key_id("northlight"), said)


def closed_day(month: Period) -> date:
    """The day of a month on which northlight's studio was closed."""
    return month.start + timedelta(days=CLOSED_ON - 1)


def report_running(scene: Scene) -> None:
    """The running month up to yesterday, day by day; northlight has fallen silent."""
    month, days = scene.plan.this, scene.plan.done_days
    made = {
        licensee: {day: list(group) for day, group in groupby(month_of(licensee, month, scene.plan), key=_day)}
        for licensee in LICENSEES
    }
    silent = days[-SILENT_DAYS:]
    for day in days:
        scene.at(moment(day + timedelta(days=1), REPORTED_AT))
        for licensee, by_day in made.items():
            if not (licensee == "northlight" and day in silent):
                scene.report_all(licensee, f"{day}", by_day.get(day, ()))


def repeat_without_ids(scene: Scene) -> None:
    """What a client of pixelmill's sends without ids of its own: two of the events look like one that came twice."""
    day = max([scene.plan.this.start, *scene.plan.done_days])
    now = moment(day, 13)
    scene.at(now)
    events = [event(unkeyed_id(now), "stable-diffusion", count, moment(day, 13), "api") for count in (4, 4, 12, 4)]
    scene.report("pixelmill", f"pixelmill-unkeyed-{day}", events)


def _weeks(month: Period) -> Iterator[tuple[date, frozenset[date]]]:
    """Each week of a month with the day after it."""
    days = list(month.each_day())
    for at in range(0, len(days), WEEK):
        week = days[at : at + WEEK]
        yield week[-1] + timedelta(days=1), frozenset(week)


def _day(made: Event) -> date:
    return date.fromisoformat(made["occurred_at"][:10])
