"""What is asked: the fields of the page, read from its address, and written back as the address that asks the same."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal
from urllib.parse import urlencode

from core.money import plain
from core.period import Period
from service.dashboard.form import Form
from service.dashboard.scenario.bases import EXAMPLE, Base
from service.what_if import FloorAsk

Mode = Literal["forecast", "recorded"]
MODES: tuple[Mode, ...] = ("forecast", "recorded")
KINDS = {
    "": "None",
    "flat": "Flat price",
    "tiered": "Tiered price",
    "committed": "Committed volume",
    "prepaid": "Prepaid volume",
}
LETTERS = ("b", "c", "d")  # the first offer, a, is the terms above
FIELDS = (
    "of", "mode", "price", "volume", "growth", "free", "margin", "licensee", "from", "to", "saved",
    *(f"{letter}{field}" for letter in LETTERS for field in ("", "_price", "_images", "_beyond")),
)  # fmt: skip
MOST_IMAGES = 10**12
MOST_GROWTH, MOST_FREE, MOST_MARGIN = 1000, 99, 95


@dataclass(frozen=True, slots=True)
class Other:
    """An offer to hold against the terms: its price, the images that it is about, and a second price."""

    letter: str
    kind: str
    price: Decimal
    images: int
    beyond: Decimal

    @property
    def title(self) -> str:
        return f"{self.letter.upper()} · {KINDS[self.kind]}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question. Percentages are numbers such as 2.5; `price` is None where the terms have no single price to move."""

    of: str
    mode: Mode
    price: Decimal | None
    volume: int
    growth: Decimal
    free: Decimal
    margin: Decimal
    others: tuple[Other, ...]
    licensee: str = ""
    first: str = ""
    last: str = ""
    saved: str = ""  # the key of the saved scenario that it was opened from

    @property
    def growth_share(self) -> Fraction:
        return Fraction(self.growth) / 100

    @property
    def floor(self) -> FloorAsk:
        return FloorAsk(Fraction(self.free) / 100, Fraction(self.margin) / 100)

    def parameters(self) -> dict[str, str]:
        """Everything, as the address and a saved scenario hold it."""
        found = {"of": self.of, "mode": self.mode}
        if self.price is not None:
            found["price"] = plain(self.price)
        found |= {"volume": str(self.volume), "growth": plain(self.growth), "free": plain(self.free),
                  "margin": plain(self.margin)}  # fmt: skip
        for each in self.others:
            mark = each.letter
            found |= {mark: each.kind, f"{mark}_price": plain(each.price), f"{mark}_images": str(each.images),
                      f"{mark}_beyond": plain(each.beyond)}  # fmt: skip
        if self.mode == "recorded":
            found |= {"licensee": self.licensee, "from": self.first, "to": self.last}
        return found

    def address(self, home: str, **other: str) -> str:
        """The address that asks the same, or the same but for `other`."""
        kept = {"saved": self.saved} if self.saved else {}
        return f"{home}?{urlencode({**self.parameters(), **kept, **other})}"


def base_asked(form: Form) -> str:
    """Which terms; the opening example where nothing is said."""
    return form.said("of") or EXAMPLE


def read(form: Form, base: Base, licensee: str, months: Period) -> Asked:
    """The fields as they were typed, each mistake said at its field; whatever was not typed stands as it begins.
    `licensee` and `months` are those whose usage is looked at where nothing else is said.
    """
    mode = form.choice("mode", MODES, "forecast")
    price = None if base.price is None else _positive(form, "price", base.price.now)
    found = Asked(
        of=base.slug,
        mode="recorded" if mode == "recorded" else "forecast",
        price=price,
        volume=_whole(form, "volume", base.volume, MOST_IMAGES),
        growth=_percent(form, "growth", -99, MOST_GROWTH),
        free=_percent(form, "free", 0, MOST_FREE),
        margin=_percent(form, "margin", 0, MOST_MARGIN),
        others=tuple(_other(form, each) for each in beginnings(base)),
        licensee=form.said("licensee") or licensee,
        first=_month(form, "from", Period.month_of(months.start)),
        last=_month(form, "to", Period.month_of(months.end - timedelta(days=1))),
        saved=form.said("saved")[:40],
    )
    if found.mode == "recorded" and found.first > found.last:
        form.refuse("to", f"{found.last} comes before {found.first}: choose the later month here")
    return found


def beginnings(base: Base) -> tuple[Other, ...]:
    """The offers that the page begins with: made up from the price and the volume of the terms, to be changed."""
    low, high = _ends(base)
    monthly = max(1000, _two_digits(base.volume // max(base.months, 1) // 3))
    return (
        Other("b", "flat", high, base.volume, high),
        Other("c", "tiered", high, monthly, low),
        Other("d", "prepaid", _tenth_off(low), _two_digits(base.volume * 2 // 3), high),
    )


def _ends(base: Base) -> tuple[Decimal, Decimal]:
    """The low and the high end of the band; without one, what is written, and a quarter more."""
    if base.price is None:
        tiers = [tier.rate for fee in base.offer.terms.fees for tier in fee.schedule.tiers if fee.schedule.size == 1]
        now = max(tiers, default=Decimal(1)) or Decimal(1)
        return min(tiers, default=now) or now, now
    if base.price.band:
        return base.price.low, base.price.high
    return base.price.now, Decimal(plain(base.price.now * 5 / 4))


def _tenth_off(price: Decimal) -> Decimal:
    return Decimal(plain(price * 9 / 10))


def _two_digits(images: int) -> int:
    unit = 10 ** max(0, len(str(images)) - 2)
    return max(1, images // unit * unit)


def _other(form: Form, begin: Other) -> Other:
    mark = begin.letter
    return Other(
        mark,
        form.choice(mark, KINDS, begin.kind),
        _positive(form, f"{mark}_price", begin.price),
        _whole(form, f"{mark}_images", begin.images, MOST_IMAGES, least=1),
        _positive(form, f"{mark}_beyond", begin.beyond),
    )


def _whole(form: Form, name: str, otherwise: int, most: int, *, least: int = 0) -> int:
    if not form.has(name):
        return otherwise
    found = form.whole(name, least=least, most=most)
    return otherwise if found is None else found


def _positive(form: Form, name: str, otherwise: Decimal) -> Decimal:
    if not form.has(name):
        return otherwise
    found = form.decimal(name)
    if found is None or not 0 < found < MOST_IMAGES or -int(found.as_tuple().exponent) > 12:
        form.refuse(name, "write a price above nothing, such as 12.5, with at most twelve decimals")
        return otherwise
    return found


def _percent(form: Form, name: str, least: int, most: int) -> Decimal:
    if not form.has(name):
        return Decimal(0)
    found = form.decimal(name)
    if found is None or not least <= found <= most or -int(found.as_tuple().exponent) > 6:
        form.refuse(name, f"write a percentage from {least} to {most}, such as 2.5")
        return Decimal(0)
    return found


def _month(form: Form, name: str, otherwise: Period) -> str:
    if not form.has(name):
        return otherwise.name
    found = form.month(name)
    return (found or otherwise).name
