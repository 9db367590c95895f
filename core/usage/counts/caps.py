"""Hard caps: which months of which licensees are full, so that intake can turn further images away.

A cap is judged from the rolled-up counts, looked at every couple of seconds, and an event is taken whole or not at all.
So what arrives within one roll-up and one look goes a little over the cap; it is counted and billed, and shown above
the cap like every image above a soft one. Only images that would be billed under the capped fee are turned away: what
the terms do not count as an image, or ask nothing for through an adapter, never fills a cap.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.agreements.coverage import in_force
from core.agreements.queries import agreement_versions
from core.agreements.tables import Agreement, Amendment
from core.agreements.terms import Fee, Terms
from core.period import Period
from core.registry.lineage import Lineage, is_owed
from core.registry.tables import Account
from core.usage.counts.counting import Timetable, count_images, weight
from core.usage.counts.queries import cells_of
from core.usage.intake.receipt import CAPPED
from core.usage.intake.report import OUTPUTS, Refusal, Report, canonical, micros, output_of

_HARD = text("""amendments.terms @? '$.fees[*].cap ? (@.kind == "hard")'""")


@dataclass(frozen=True, slots=True)
class CappedAgreement:
    """An agreement with a hard cap in some version of its terms, and the days on which it is in force."""

    id: int
    slug: str
    licensee_id: int
    zone: str
    days: Period
    versions: tuple[tuple[date, Terms], ...]


@dataclass(frozen=True, slots=True)
class FullMonth:
    """Instants `[start, end)`, in microseconds since 2000, in which models of a full month take no more images."""

    licensee_id: int
    start: int
    end: int
    models: frozenset[str]
    outputs: frozenset[str]
    adapters: str | None
    refusal: Refusal


def capped_agreements(session: Session) -> list[CappedAgreement]:
    """The agreements with a hard cap, as they stand in this transaction."""
    found = session.execute(
        select(Agreement, Account)
        .join(Account, Account.id == Agreement.account_id)
        .where(Agreement.status != "draft", Agreement.id.in_(select(Amendment.agreement_id).where(_HARD)))
        .order_by(Agreement.id)
    )
    capped = []
    for agreement, account in found:
        last = min(agreement.ends_on, agreement.ended_on or agreement.ends_on)
        if last <= agreement.starts_on:
            continue
        days, versions = Period(agreement.starts_on, last), tuple(agreement_versions(session, agreement.id))
        capped.append(CappedAgreement(agreement.id, agreement.slug, account.licensee_id, account.zone, days, versions))
    return capped


def full_months(
    session: Session, capped: Iterable[CappedAgreement], start: date | None = None, end: date | None = None
) -> list[FullMonth]:
    """The months within `[start, end)`, which are whole ones, whose cap is reached by what is counted now."""
    return [month for agreement in capped for month in _full(session, agreement, start, end)]


def _full(session: Session, agreement: CappedAgreement, start: date | None, end: date | None) -> Iterator[FullMonth]:
    cells = cells_of(session, agreement.licensee_id, agreement.id, start, end)
    used: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (model, day), images in count_images(cells, Timetable(agreement.versions)).items():
        used[day.replace(day=1)][model] += images
    runs = list(_runs(agreement))
    for first, images_of in used.items():
        month = Period.month_of(first)
        for days, terms in runs:
            inside = days.overlap(month)
            for subject, fee, models in _hard_caps(terms) if inside else ():
                images = sum(images_of[model] for model in models)
                if inside and fee.cap and images >= fee.cap.images:
                    yield _full_month(agreement, terms, inside, models, _refusal(agreement, fee, subject, month))


def _runs(agreement: CappedAgreement) -> Iterator[tuple[Period, Terms]]:
    """The terms of the agreement and the days on which they are in force."""
    timetable = in_force(agreement.versions)
    ends = [day for day, _ in timetable[1:]] + [agreement.days.end]
    for (first, terms), last in zip(timetable, ends, strict=True):
        if first < last and (days := Period(first, last).overlap(agreement.days)):
            yield days, terms


def _hard_caps(terms: Terms) -> Iterator[tuple[str, Fee, tuple[str, ...]]]:
    """Each subject of a hard cap with the models that fill it."""
    for fee in terms.fees:
        if fee.cap and fee.cap.kind == "hard":
            if fee.per == "group":
                yield fee.name, fee, fee.models
            else:
                yield from ((model, fee, (model,)) for model in fee.models)


def _full_month(
    agreement: CappedAgreement, terms: Terms, days: Period, models: Sequence[str], refusal: Refusal
) -> FullMonth:
    start, end = days.bounds(agreement.zone)
    outputs = frozenset(output for output in OUTPUTS if weight(terms, output))
    return FullMonth(
        agreement.licensee_id, micros(start), micros(end), frozenset(models), outputs, terms.adapters, refusal
    )


def _refusal(agreement: CappedAgreement, fee: Fee, subject: str, month: Period) -> Refusal:
    allowed = fee.cap.images if fee.cap else 0
    return Refusal(
        CAPPED,
        f"agreement {agreement.slug} allows {allowed:,} images of {subject} a month, and those of {month.name} are "
        "used up: agree on a higher cap before you generate more",
    )


class FullCaps:
    """The full months of all licensees at one moment. A value: for a licensee without any it costs one look-up."""

    def __init__(self, months: Iterable[FullMonth] = ()) -> None:
        self._months: dict[int, list[FullMonth]] = defaultdict(list)
        for month in months:
            self._months[month.licensee_id].append(month)

    def refusals(self, lineage: Lineage, licensee_id: int, report: Report) -> dict[int, Refusal]:
        """By place, why events of a report are turned away."""
        months = self._months.get(licensee_id)
        if not months:
            return {}
        found: dict[int, Refusal] = {}
        concerned: dict[object, list[FullMonth]] = {}
        for place, event, instant in zip(report.places, report.events, report.instants, strict=True):
            names = event.model, event.adapters
            if names not in concerned:
                roles = lineage.resolve(event.model, canonical(event.adapters)).roles
                owing = {lineage.node(model_id).slug: role for model_id, role in roles.items()}
                concerned[names] = [
                    month
                    for month in months
                    if any(slug in month.models and is_owed(role, month.adapters) for slug, role in owing.items())
                ]
            for month in concerned[names]:
                if month.start <= instant < month.end and output_of(event) in month.outputs:
                    found[place] = month.refusal
                    break
        return found
