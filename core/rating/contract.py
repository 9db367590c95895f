"""A contract as rating sees it: a term, the terms in force on each of its days, and the days on which nothing changes.

A cell is a run of days over which everything that could matter stays the same: the calendar month, the amendment, the
conversion rate, the commitment periods. Counts are added up per cell once; price segments, service periods and
commitments are then unions of cells.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import pairwise

from core.agreements.terms import Fee, Terms
from core.errors import InvalidInput
from core.period import Period
from core.rating.commitment import Promise, chains, promises

LAST_YEAR = 2999  # further on the calendar itself ends before a yearly commitment might
Counts = Mapping[tuple[str, date], int]
Tally = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Cell:
    """Days over which nothing changes. `fenced`: a commitment that counts lines begins here, so none may cross."""

    index: int
    days: Period
    amendment: int
    terms: Terms
    conversion_index: int
    fenced: bool


@dataclass(frozen=True)
class Contract:
    """What was signed: a term `[start, end)`, and whole terms by the day from which they apply.

    `versions` are in the order in which they were signed, number 0 first: on each day the last one signed that is
    effective by then is in force, so a back-dated amendment replaces what was signed before it. All of them are in one
    invoice currency. `ended_on` is the first day after an early termination. Raises `InvalidInput`.
    """

    term: Period
    versions: tuple[tuple[date, Terms], ...]
    ended_on: date | None = None

    def __post_init__(self) -> None:
        if self.term.end.year > LAST_YEAR:
            raise InvalidInput("term_too_long", f"a term ends by the year {LAST_YEAR}, not on {self.term.end}")
        if not self.versions or self.versions[0][0] > self.term.start:
            raise InvalidInput("no_terms", f"the first terms must apply from the first day, {self.term.start}")
        if len({terms.currency for _, terms in self.versions}) > 1:
            raise InvalidInput(
                "currency_changed", "an amendment cannot change the invoice currency: open a new account"
            )
        if self.ended_on is not None and not self.term.start < self.ended_on <= self.term.end:
            raise InvalidInput("ended_outside_term", f"an early end must lie in the term {self.term.name}")
        for number, (effective_on, terms) in enumerate(self.versions):
            self._check(number, effective_on, terms)

    def _check(self, number: int, effective_on: date, terms: Terms) -> None:
        for fee in terms.fees:
            if not fee.schedule.settled:
                raise InvalidInput(
                    "price_not_settled", f"the price of {fee.name!r} is still a band: write the agreed `rate` into it"
                )
        first_rate = terms.conversions[0].effective_on if terms.conversions else None
        if first_rate is not None and first_rate > max(effective_on, self.term.start):
            raise InvalidInput(
                "no_conversion", f"amendment {number} has no conversion from {terms.unit} before {first_rate}: add one"
            )

    @property
    def currency(self) -> str:
        return self.versions[0][1].currency

    @cached_property
    def in_force(self) -> Period:
        """The days of the term that really ran."""
        return self.term if self.ended_on is None else Period(self.term.start, self.ended_on)

    @cached_property
    def amendments(self) -> tuple[tuple[Period, int], ...]:
        """Which amendment is in force over which days, without gaps, in order."""
        runs: list[tuple[Period, int]] = []
        end = self.in_force.end
        for number in range(len(self.versions) - 1, -1, -1):
            start = max(self.versions[number][0], self.in_force.start)
            if start < end:
                runs.append((Period(start, end), number))
                end = start
        return tuple(reversed(runs))

    @cached_property
    def promises(self) -> tuple[Promise, ...]:
        """Every commitment period, each judged by the amendment in force on its last day, by end and name."""
        found: list[Promise] = []
        for days, number in self.amendments:
            for promise in promises(self.versions[number][1], number, self.term, self.ended_on):
                if days.start < promise.days.end <= days.end:
                    found.append(promise)
        return tuple(sorted(found, key=lambda promise: (promise.days, promise.commitment.name)))

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The days in force, cut wherever anything changes."""
        fences = {
            bound
            for promise in self.promises
            if promise.commitment.counts_lines
            for bound in (promise.days.start, promise.days.end)
        }
        cuts = fences | {bound for promise in self.promises for bound in (promise.days.start, promise.days.end)}
        cuts |= {month.start for month in self.in_force.months()}
        cuts |= {days.start for days, _ in self.amendments}
        cuts |= {
            conversion.effective_on
            for _, terms in self.versions
            for conversion in terms.conversions
            if conversion.effective_on
        }
        inner = {day for day in cuts if self.in_force.start < day < self.in_force.end}
        bounds = sorted(inner | {self.in_force.start, self.in_force.end})
        cells: list[Cell] = []
        runs = iter(self.amendments)
        days, number = next(runs)
        for start, end in pairwise(bounds):
            if start >= days.end:
                days, number = next(runs)
            terms = self.versions[number][1]
            began = sum(1 for c in terms.conversions if c.effective_on is None or c.effective_on <= start)
            cells.append(Cell(len(cells), Period(start, end), number, terms, began - 1, start in fences))
        return tuple(cells)

    @cached_property
    def months(self) -> tuple[tuple[Period, tuple[Cell, ...]], ...]:
        """The service periods, calendar months clipped to the days in force, each with its cells."""
        by_month: dict[date, list[Cell]] = {}
        for cell in self.cells:
            by_month.setdefault(cell.days.start.replace(day=1), []).append(cell)
        return tuple((Period(cells[0].days.start, cells[-1].days.end), tuple(cells)) for cells in by_month.values())

    @cached_property
    def _cell_starts(self) -> list[date]:
        return [cell.days.start for cell in self.cells]

    def tally(self, counts: Counts, before: date) -> Tally:
        """Images per model and cell, of days in force before `before`. Other days are nobody's concern here."""
        size, last = len(self.cells), min(before, self.in_force.end)
        starts = self._cell_starts
        days = {day for _, day in counts}
        index_of = {day: bisect_right(starts, day) - 1 for day in days if starts[0] <= day < last}
        tally: Tally = {}
        index_on, last_model, row = index_of.get, None, [0]
        for (model, day), images in counts.items():  # counts come model by model, so the row is seldom another
            index = index_on(day)
            if index is None:
                continue
            if model != last_model:
                row, last_model = tally.setdefault(model, [0] * size), model
            row[index] += images
        return tally

    def cells_of(self, days: Period) -> tuple[Cell, ...]:
        """The cells of a period that begins and ends between cells, such as a promise."""
        first = bisect_right(self._cell_starts, days.start) - 1
        last = bisect_left(self._cell_starts, days.end) - 1
        return self.cells[first : last + 1]

    @cached_property
    def chains(self) -> tuple[tuple[Promise, ...], ...]:
        """The promises of each commitment in time; commitments in the order in which they are drawn down."""
        return tuple(tuple(chain) for chain in chains(self.promises))

    def fees_of_subjects(self, amendment: int) -> tuple[tuple[str, Fee, tuple[str, ...]], ...]:
        """What is billed as one under an amendment: each model of a fee, or its group, with the models counted."""
        return self._subjects[amendment]

    @cached_property
    def _subjects(self) -> tuple[tuple[tuple[str, Fee, tuple[str, ...]], ...], ...]:
        return tuple(
            tuple(
                subject
                for fee in terms.fees
                for subject in (
                    [(fee.name, fee, fee.models)]
                    if fee.per == "group"
                    else [(model, fee, (model,)) for model in fee.models]
                )
            )
            for _, terms in self.versions
        )
