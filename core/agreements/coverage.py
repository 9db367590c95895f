"""Which model is covered by a signed agreement on which days, and which terms are in force when."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, TypeVar

from core.agreements.clauses import Terms
from core.period import Period

Lacking = Literal["no_account", "no_agreement"]
Version = TypeVar("Version")
Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class AccountCalendar:
    """An account and the zone in which its days are meant."""

    id: int
    zone: str


def in_force(versions: Iterable[tuple[date, Version]]) -> list[tuple[date, Version]]:
    """Versions given in the order they were signed, as a timetable: each holds from its day until the next one's.

    An amendment states the whole terms from its day on, so it replaces every earlier version that would have begun on
    or after that day. A wrong price is thus repaired by an amendment effective on the day the wrong price began.
    """
    timetable: list[tuple[date, Version]] = []
    for effective_on, version in versions:
        timetable = [(day, kept) for day, kept in timetable if day < effective_on]
        timetable.append((effective_on, version))
    return timetable


def covered_days(term: Period, versions: Sequence[tuple[date, Terms]]) -> dict[str, list[Period]]:
    """For each model slug of the terms, the days of the term on which it is covered; touching runs are one.

    Versions that begin after the term, as an early end may leave them, cover nothing.
    """
    timetable = [(day, terms) for day, terms in in_force(versions) if day < term.end]
    ends = [day for day, _ in timetable[1:]] + [term.end]
    covered: dict[str, list[Period]] = defaultdict(list)
    for (start, terms), end in zip(timetable, ends, strict=True):
        for model in terms.models:
            runs = covered[model]
            if runs and runs[-1].end == start:
                runs[-1] = Period(runs[-1].start, end)
            else:
                runs.append(Period(start, end))
    return dict(covered)


class Coverage:
    """All accounts and the days their signed agreements cover, at one moment. A value: made once, asked often.

    Answers are remembered for each combination of models, so that asking again costs one look-up.
    """

    def __init__(
        self,
        accounts: Mapping[tuple[int, int], AccountCalendar],
        licensors: Mapping[int, int],
        covered: Iterable[tuple[int, int, Period]],
    ) -> None:
        """`accounts` by (licensee, licensor), `licensors` of all models, `covered` as (account, model, days)."""
        self._accounts = dict(accounts)
        self._licensors = dict(licensors)
        self._covered: dict[tuple[int, int], list[Period]] = defaultdict(list)
        for account_id, model_id, days in covered:
            self._covered[account_id, model_id].append(days)
        self._remembered: dict[tuple[int, frozenset[int]], tuple[Lacking, list[Span]]] = {}

    def account(self, licensee_id: int, licensor_id: int) -> AccountCalendar | None:
        """The account of the pair, with the zone of its days."""
        return self._accounts.get((licensee_id, licensor_id))

    def account_of_model(self, licensee_id: int, model_id: int) -> AccountCalendar | None:
        """The account under which a licensee's images of this model are counted and billed."""
        licensor_id = self._licensors.get(model_id)
        return None if licensor_id is None else self.account(licensee_id, licensor_id)

    def standing(self, licensee_id: int, model_ids: frozenset[int], occurred_at: datetime) -> Lacking | None:
        """None when a signed agreement covers every one of these models at that instant, else what is lacking.

        `no_account`: some model's licensor has no account with the licensee. `no_agreement`: some model is not covered
        on that day of its account's zone. Ask with the fee-bearing models of `Lineage.resolve`.
        """
        lacking, spans = self.spans(licensee_id, model_ids)
        for start, end in spans:
            if start <= occurred_at < end:
                return None
        return lacking

    def spans(self, licensee_id: int, model_ids: frozenset[int]) -> tuple[Lacking, list[Span]]:
        """The instants `[start, end)` in UTC at which all these models are covered, and what is lacking elsewhere."""
        key = licensee_id, model_ids
        known = self._remembered.get(key)
        if known is None:
            known = self._remembered[key] = self._work_out(licensee_id, model_ids)
        return known

    def _work_out(self, licensee_id: int, model_ids: frozenset[int]) -> tuple[Lacking, list[Span]]:
        common: list[Span] | None = None
        for model_id in model_ids:
            account = self.account_of_model(licensee_id, model_id)
            if account is None:
                return "no_account", []
            spans = [days.bounds(account.zone) for days in self._covered.get((account.id, model_id), ())]
            common = spans if common is None else _overlaps(common, spans)
        return "no_agreement", sorted(common or [])


def _overlaps(some: Iterable[Span], others: Sequence[Span]) -> list[Span]:
    pairs = [(max(a, c), min(b, d)) for a, b in some for c, d in others]
    return [(start, end) for start, end in pairs if start < end]
