"""The terms on usage that was really recorded: against what was or would be billed for the same months."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from core.errors import InvalidInput
from core.invoicing.what_if.shadow import Shadow, licensee_named, months_from_to, shadow
from core.money import Money
from core.rating.line import COUNTED
from core.registry.tables import Licensee
from core.scenarios.starting import recorded_models
from service.dashboard import written
from service.dashboard.charts import Chart, Series, chart
from service.dashboard.scenario.asked import Asked
from service.dashboard.scenario.bases import EXAMPLE, Base

MOST_MONTHS = 36


@dataclass(frozen=True, slots=True)
class Month:
    """A month on both sides."""

    name: str
    images: int
    today: Money  # billed and still due, under the own terms
    offered: Money

    @property
    def difference(self) -> Money:
        return self.offered - self.today


@dataclass(frozen=True, slots=True)
class Recorded:
    """What comes out of shadow billing."""

    licensee: Licensee
    shadow: Shadow
    months: tuple[Month, ...]
    total: Month
    headline: str
    renamed: tuple[str, ...]
    chart: Chart


def recorded(eyes: Session, base: Base, asked: Asked) -> Recorded:
    """Shadow bills of a licensee's months. Raises `InvalidInput`, and `NotFound` for a licensee that is not theirs."""
    if not asked.licensee:
        raise InvalidInput("no_licensee", "there is no licensee yet whose usage could be looked at")
    licensee = licensee_named(eyes, asked.licensee)
    days = months_from_to(asked.first, asked.last)
    if sum(1 for _ in days.months()) > MOST_MONTHS:
        raise InvalidInput("invalid_period", f"at most {MOST_MONTHS} months can be looked at together", field="from")
    own = base.start is not None and base.start.licensee == licensee.slug
    models = [] if own else recorded_models(eyes, licensee.id, days)
    offered = base.offer.terms.models
    renamed = {model: offered[0] for model in models if model not in offered} if offered else {}
    found = shadow(
        eyes, licensee, days, [base.at(asked.price)], count_as=renamed,
        instead_of=base.slug if own and base.slug != EXAMPLE else None,
    )  # fmt: skip
    months = tuple(_month(found, name) for name in found.months)
    total = _month(found, None)
    return Recorded(licensee, found, months, total, _headline(found, total), tuple(renamed), _chart(months, total))


def _month(found: Shadow, name: str | None) -> Month:
    billed, due, offered, _ = found.sums(name)
    images = sum(line.offered_images for line in found.lines if name in (None, line.month) and line.kind in COUNTED)
    return Month(name or "", images, billed + due, offered)


def _headline(found: Shadow, total: Month) -> str:
    offered, today = written.money_text(total.offered), written.money_text(total.today)
    if not total.difference.minor:
        return f"These terms come to {offered} for what was recorded, the same as is owed today"
    how = "more" if total.difference.minor > 0 else "less"
    apart = written.money_text(Money(total.offered.currency, abs(total.difference.minor)))
    return f"These terms come to {offered} for what was recorded: {apart} {how} than {today} today"


def _chart(months: tuple[Month, ...], total: Month) -> Chart:
    return chart(
        "recorded", "Month by month", x=[written.month(each.name) for each in months], kind="line", x_label="Month",
        series=[Series("owed today", [each.today for each in months], tone="quiet", dashed=True),
                Series("these terms", [each.offered for each in months])],
        unit=f"{total.offered.currency}, before tax", height=320,
    )  # fmt: skip
