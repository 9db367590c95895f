"""Estimates: the images that are billed for days of which nothing was heard, where the terms agree on a rule.

An estimate stands in for a report. It is rated like the images it stands for, and gone when the day is reported or said
to be zero; billing by difference then asks for, or gives back, what lies between. It is no count: it is kept with
invoices alone, and nothing is ever averaged over it.

The rule `trailing_average`: each silent day of a model counts as the average of the model's images over its reported
days (said to be zero, too) in the calendar months before, rounded half up to whole images. The same for every day of a
month, so the estimate of one day does not move when another one is reported.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from core.agreements.terms import Estimate, Terms
from core.money import round_half_up
from core.period import Period
from core.rating.contract import Contract, Counts
from core.rating.line import COUNTED, RatedLine

_DAY = timedelta(days=1)
_DESCRIBED = (*COUNTED, "shortfall")  # lines that say in their title that an estimate is in them
_COUNTING = (*_DESCRIBED, "drawdown", "refund")  # lines that come out otherwise when images are others
Days = Mapping[date, Collection[str]]  # models by day


@dataclass(frozen=True, slots=True)
class Estimated:
    """A model's silent days in one calendar month, and the reported days that their images are the average of."""

    model: str
    days: tuple[date, ...]
    rule: str
    window: Period
    reported_days: int
    reported_images: int
    images_a_day: int

    @property
    def image_count(self) -> int:
        return self.images_a_day * len(self.days)

    def of_days(self, days: Collection[date] | Period) -> "Estimated":
        """The same for some of its days."""
        return replace(self, days=tuple(day for day in self.days if day in days))

    def document(self) -> dict[str, Any]:
        """As an invoice keeps it."""
        return {
            "model": self.model,
            "days": [day.isoformat() for day in self.days],
            "images_a_day": self.images_a_day,
            "image_count": self.image_count,
            "rule": self.rule,
            "from": self.window.start.isoformat(),
            "until": self.window.end.isoformat(),
            "reported_days": self.reported_days,
            "reported_images": self.reported_images,
        }


@dataclass(frozen=True, slots=True)
class Estimates:
    """What is estimated of an agreement. `ruled` are the silent days for which its terms have a rule, `unknown` those
    among them, by model, that nothing reported tells anything about.
    """

    rows: tuple[Estimated, ...] = ()
    unknown: Mapping[str, tuple[date, ...]] | None = None
    ruled: frozenset[date] = frozenset()

    def images(self) -> dict[tuple[str, date], int]:
        """The estimated images by model and day, to be rated beside those that were counted."""
        return {(row.model, day): row.images_a_day for row in self.rows for day in row.days}


def estimated_in(rows: Iterable[Mapping[str, Any]]) -> tuple[Estimated, ...]:
    """What an invoice kept, as values."""
    return tuple(
        Estimated(
            model=row["model"],
            days=tuple(date.fromisoformat(day) for day in row["days"]),
            rule=row["rule"],
            window=Period(date.fromisoformat(row["from"]), date.fromisoformat(row["until"])),
            reported_days=row["reported_days"],
            reported_images=row["reported_images"],
            images_a_day=row["images_a_day"],
        )
        for row in rows
    )


def estimate(contract: Contract, counts: Counts, expected: Days, silent: Days) -> Estimates:
    """The estimates of every silent day for which the terms in force on it have a rule.

    `expected` are the models of which a report was due, on days that are over, `silent` those of which nothing was
    heard; `counts` are what was reported, and never hold an estimate. Models without a fee per image are left out.
    """
    nothing: frozenset[str] = frozenset()
    heard: defaultdict[str, list[date]] = defaultdict(list)
    for day, models in expected.items():
        for model in set(models) - set(silent.get(day, nothing)):
            heard[model].append(day)
    by_month: defaultdict[tuple[str, date, Estimate], list[date]] = defaultdict(list)
    ruled = set()
    for day, models, terms in _ruled(contract, silent):
        ruled.add(day)
        priced = {model for fee in terms.fees if fee.schedule.kind != "zero" for model in fee.models}
        for model in priced.intersection(models):
            assert terms.estimate is not None  # noqa: S101 - that is what makes a day a ruled one
            by_month[model, day.replace(day=1), terms.estimate].append(day)
    rows: list[Estimated] = []
    unknown: defaultdict[str, tuple[date, ...]] = defaultdict(tuple)
    for (model, month, rule), days in sorted(by_month.items(), key=lambda found: (found[0][:2], found[0][2].months)):
        window = _window(contract, month, rule.months)
        reported = [day for day in heard[model] if window and day in window]
        if window is None or not reported:
            unknown[model] += tuple(days)
            continue
        images = sum(counts.get((model, day), 0) for day in reported)
        a_day = round_half_up(Fraction(images, len(reported)))
        rows.append(Estimated(model, tuple(days), rule.rule, window, len(reported), images, a_day))
    return Estimates(tuple(rows), dict(unknown), frozenset(ruled))


def _ruled(contract: Contract, silent: Days) -> Iterator[tuple[date, Collection[str], Terms]]:
    """The silent days, in order, on which terms with a rule are in force, and the models."""
    for run, number in contract.amendments:
        terms = contract.versions[number][1]
        if terms.estimate is not None:
            yield from ((day, silent[day], terms) for day in sorted(silent) if day in run)


def _window(contract: Contract, month: date, months: int) -> Period | None:
    """So many calendar months before a month, none of them before the agreement; None where there is none."""
    start = month
    for _ in range(months):
        if start <= contract.in_force.start:
            break
        start = (start - _DAY).replace(day=1)
    start = max(start, contract.in_force.start)
    return Period(start, month) if start < month else None


def marked(lines: Iterable[RatedLine], now: Estimates, before: Sequence[Estimated], counts: Counts) -> list[RatedLine]:
    """The lines, each saying what of it is estimated, and what was estimated `before` and is known by now.

    `counts` are the images that the lines were rated from.
    """
    images = now.images()
    gone = [row.of_days([day for day in row.days if (row.model, day) not in images]) for row in before]
    return [_marked(line, now.rows, gone, counts) for line in lines]


def _marked(line: RatedLine, rows: Sequence[Estimated], gone: Sequence[Estimated], counts: Counts) -> RatedLine:
    if line.key.kind not in _COUNTING:
        return line
    still, ended = _in_line(rows, line), _in_line(gone, line)
    if not still and not ended:
        return line
    steps = [_step(row) for row in still] + [_ended_step(row, counts) for row in ended]
    said = line.description
    if line.key.kind in _DESCRIBED:
        said += _said(still, "with an estimate of") + _said(ended, "reported in place of an estimate of")
    first, *rest = line.workings
    if first.get("step") == "count" and still:
        first = {**first, "estimated": sum(row.image_count for row in still)}
    return replace(line, description=said, workings=(first, *steps, *rest))


def _in_line(rows: Iterable[Estimated], line: RatedLine) -> list[Estimated]:
    """What of the rows falls on the line's models and days."""
    mine = (row.of_days(line.days) for row in rows if row.model in line.models)
    return [row for row in mine if row.days]


def _said(rows: Sequence[Estimated], how: str) -> str:
    if not rows:
        return ""
    days = len({day for row in rows for day in row.days})
    images = sum(row.image_count for row in rows)
    return f" ({how} {images:,} images for {days} {'day' if days == 1 else 'days'} without a report)"


def _step(row: Estimated) -> dict[str, Any]:
    """A row of workings by which an estimate can be worked out again."""
    found = {"step": "estimate", **row.document(), "days": len(row.days), "runs": runs_of(row.days)}
    found["images"] = found.pop("image_count")
    return found


def _ended_step(row: Estimated, counts: Counts) -> dict[str, Any]:
    """A row of workings for days that were estimated on an earlier invoice and are known by now."""
    return {
        "step": "estimate ended",
        "model": row.model,
        "days": len(row.days),
        "runs": runs_of(row.days),
        "images": row.image_count,
        "reported": sum(counts.get((row.model, day), 0) for day in row.days),
    }


def runs_of(days: Sequence[date]) -> list[list[str]]:
    """Days in order as runs `[first, day after the last]`."""
    runs: list[list[date]] = []
    for day in days:
        if runs and runs[-1][1] == day:
            runs[-1][1] = day + _DAY
        else:
            runs.append([day, day + _DAY])
    return [[bound.isoformat() for bound in run] for run in runs]
