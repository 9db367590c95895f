"""What a scenario begins with: the opening example or an agreement, its price that can be moved, a usual volume."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

import yaml
from sqlalchemy.orm import Session

import config
from core.agreements.terms import Terms
from core.errors import NotFound
from core.invoicing.what_if.standing import standing_offer
from core.rating.offers import Offer, at_rate, band_of, flat_fees, offers_of
from core.scenarios.starting import Start, starts, usual_month

EXAMPLE = "sd3-enterprise"
EXAMPLE_TITLE = "Opening example: an SD3 enterprise offer"
EXAMPLE_SAID = (
    "An offer that a platform published and declined: at least 42,000,000 images over twelve months, at a price to be "
    "settled between 12 and 16 Buzz (1,000 Buzz are 1 USD)."
)
_DEFAULT_VOLUME = 12_000_000


@dataclass(frozen=True, slots=True)
class Range:
    """How far a slider goes, and where it stands at first."""

    low: Decimal
    high: Decimal
    step: Decimal
    now: Decimal
    band: bool = False


@dataclass(frozen=True, slots=True)
class Base:
    """The terms that a scenario begins with. `start` is None for the example."""

    slug: str
    title: str
    said: str
    offer: Offer
    volume: int
    price: Range | None
    start: Start | None = None

    @property
    def months(self) -> int:
        return len(self.offer.contract.months)

    @property
    def unit(self) -> str:
        return self.offer.terms.unit

    def at(self, price: Decimal | None) -> Offer:
        """The offer at a price, or as it is written."""
        return self.offer if price is None else at_rate([self.offer], price)[0][0]


def choices(found: list[Start], *, portal: bool) -> list[tuple[str, str]]:
    """What one can begin with, as (value, words)."""
    named = [
        (each.slug, f"{each.licensor_name if portal else each.licensee_name}: {each.name}"
         + (" (draft)" if each.status == "draft" else ""))
        for each in found
    ]  # fmt: skip
    return [(EXAMPLE, EXAMPLE_TITLE), *named]


def base_named(eyes: Session, slug: str, found: list[Start]) -> Base:
    """The example, or the agreement with this slug. Raises NotFound for what is not theirs to see."""
    start = next((each for each in found if each.slug == slug), None)
    if start is None:
        if slug == EXAMPLE:
            return _example()
        raise NotFound("unknown_agreement", f"there is no agreement called {slug}")
    offer = standing_offer(eyes, slug)
    months = len(_settled(offer).contract.months)
    usual = usual_month(eyes, slug) * months
    volume = _rounded(usual) if usual else _promised(offer.terms) or _DEFAULT_VOLUME
    return _base(start.name, "", offer, volume, start)


def every_start(eyes: Session) -> list[Start]:
    """The agreements to choose from; the example's name is its own."""
    return [each for each in starts(eyes) if each.slug != EXAMPLE]


@cache
def _example() -> Base:
    file = Path(config.__file__).parent / "scenarios" / f"{EXAMPLE}.yaml"
    (offer,) = offers_of(yaml.safe_load(file.read_text(encoding="utf-8")))
    return _base(EXAMPLE_TITLE, EXAMPLE_SAID, offer, _promised(offer.terms))


def _base(title: str, said: str, offer: Offer, volume: int, start: Start | None = None) -> Base:
    return Base(offer.name, title, said, _settled(offer), volume, _price_of(offer), start)


def _settled(offer: Offer) -> Offer:
    """An unsettled band at its low end: something to begin with."""
    band = band_of([offer])
    if band and any(not fee.schedule.settled for _, terms in offer.versions for fee in terms.fees):
        return at_rate([offer], band[1][0])[0][0]
    return offer


def _price_of(offer: Offer) -> Range | None:
    """The one price that can be moved: that of the only fee, if it is flat; in its band, or around what is written."""
    fees = [fee for _, terms in offer.versions for fee in terms.fees if fee.models]
    if len({fee.name for fee in fees}) != 1 or {fee.schedule.kind for fee in fees} != {"flat"}:
        return None
    settled = _settled(offer)
    now = next(fee.schedule.tiers[0].rate for _, terms in settled.versions for fee in flat_fees(terms))
    band = band_of([offer])
    low, high = band[1] if band else (now / 2, now * 2)
    step = Decimal(1).scaleb((high - low).adjusted() - 1)
    return Range(_plain(low), _plain(high), step, _plain(now), band=band is not None)


def _plain(number: Decimal) -> Decimal:
    return Decimal(f"{number.normalize():f}")


def _promised(terms: Terms) -> int:
    """The images that are promised over the whole term, if any are."""
    found = [each.quantity for each in terms.commitments if each.kind == "images" and each.period == "term"]
    return int(sum(found)) if found else 0


def _rounded(images: int) -> int:
    """Two leading digits, which is as much as a guess deserves."""
    unit = 10 ** max(0, len(str(images)) - 2)
    return max(unit, images // unit * unit)
