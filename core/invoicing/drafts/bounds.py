"""Safety bounds: what makes a draft wait for a person instead of being issued (PROMISES, C6).

Each rule takes values and gives a reason, a code for machines and a sentence for whoever has to decide, or none.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from core.money import Money
from core.period import Period

MOST_TRAILING = 6
LEAST_TRAILING = 3
TIMES_THE_MEDIAN = 3
BY_HAND = "held_by_hand"
_MOST_DAYS_NAMED = 5


@dataclass(frozen=True, slots=True)
class HoldReason:
    """Why a draft is held."""

    code: str
    sentence: str

    def document(self) -> dict[str, str]:
        return {"code": self.code, "sentence": self.sentence}


def reasons_of(rows: Iterable[Mapping[str, str]]) -> tuple[HoldReason, ...]:
    """Reasons as a row keeps them, as values."""
    return tuple(HoldReason(row["code"], row["sentence"]) for row in rows)


def negative_total(total: Money) -> HoldReason | None:
    """A total below zero is no invoice: it is issued as a credit note, when somebody has looked at it."""
    if total.minor >= 0:
        return None
    return HoldReason(
        "negative_total", f"the total is {total}: release it to issue it as a credit note, numbered in its own series"
    )


def above_trailing_median(total: Money, trailing: Sequence[int]) -> HoldReason | None:
    """A total far above what the agreement's last invoices asked for. `trailing` are their totals, any order."""
    if len(trailing) < LEAST_TRAILING:
        return None
    ordered = sorted(trailing)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    if 2 * total.minor <= TIMES_THE_MEDIAN * (low + high):
        return None
    median = Money(total.currency, (low + high) // 2)
    return HoldReason(
        "above_trailing_median",
        f"the total of {total} is more than {TIMES_THE_MEDIAN} times {median}, the median of the last "
        f"{len(ordered)} invoices: compare the counts with what the licensee expects, then release it",
    )


def missing_days(days: Collection[date]) -> HoldReason | None:
    """Days of the period for which the agreement asks for a report and none came."""
    if not days:
        return None
    named = ", ".join(day.isoformat() for day in sorted(days)[:_MOST_DAYS_NAMED])
    more = f" and {len(days) - _MOST_DAYS_NAMED} more" if len(days) > _MOST_DAYS_NAMED else ""
    return HoldReason(
        "missing_reporting_days",
        f"nothing was reported for {len(days)} {'day' if len(days) == 1 else 'days'}: {named}{more}. Ask for the "
        "reports and close again, or release it and bill them later",
    )


def nothing_to_estimate_from(unknown: Mapping[str, Collection[date]]) -> HoldReason | None:
    """Silent days, by model, that should be estimated and that nothing reported tells anything about."""
    if not unknown:
        return None
    days = {day for of_model in unknown.values() for day in of_model}
    return HoldReason(
        "nothing_to_estimate_from",
        f"nothing was reported of {', '.join(sorted(unknown))} for {len(days)} {'day' if len(days) == 1 else 'days'}, "
        "nor on any day before by which they could be estimated. Ask for the reports and close again, or release it "
        "and bill them later",
    )


@dataclass(frozen=True, slots=True)
class BilledDays:
    """Images of one subject that are billed for some days, and where."""

    kind: str
    subject: str
    days: Period
    where: str


def duplicate_lines(lines: Iterable[BilledDays]) -> HoldReason | None:
    """The same images billed twice: two lines of one kind and subject, elsewhere, for days that overlap."""
    by_subject: dict[tuple[str, str], list[BilledDays]] = {}
    for line in lines:
        by_subject.setdefault((line.kind, line.subject), []).append(line)
    for (_, subject), found in by_subject.items():
        furthest = min(found, key=lambda line: line.days)
        for other in sorted(found, key=lambda line: line.days)[1:]:
            both = furthest.days.overlap(other.days)
            if both:
                one = furthest
                return HoldReason(
                    "duplicate_line",
                    f"{subject} is billed twice for {both.name}: here and on {_elsewhere(one, other)}. End one of the "
                    "agreements for it, or credit one of the two",
                )
            furthest = max(furthest, other, key=lambda line: line.days.end)
    return None


def repeated_keys(keys: Iterable[tuple[object, ...]]) -> HoldReason | None:
    """The same key on two lines of one draft."""
    twice = [key for key, times in Counter(keys).items() if times > 1]
    if not twice:
        return None
    return HoldReason(
        "duplicate_line", f"two lines are for the same thing: {', '.join(str(part) for part in twice[0])}"
    )


def counts_differ(on_lines: int, counted: int) -> HoldReason | None:
    """The images on the lines are not the images that were counted."""
    if on_lines == counted:
        return None
    return HoldReason(
        "counts_differ",
        f"the lines bill {on_lines:,} images in all and {counted:,} were counted: run `perimage verify`, repair the "
        "counts, and close again",
    )


def found(*reasons: HoldReason | None) -> tuple[HoldReason, ...]:
    """Those that are there."""
    return tuple(reason for reason in reasons if reason is not None)


def _elsewhere(one: BilledDays, other: BilledDays) -> str:
    return other.where or one.where or "another line"
