"""What-if: what a number of images would cost under some offers, by the same rating that makes invoices.

An offer is an agreement that need not be signed, or settled, yet. A quote on a volume spreads the images over the days
of a horizon and rates them; a quote on recorded usage rates that, so with the agreement's own terms it says exactly
what was billed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from math import lcm
from typing import Any

from core.agreements.reading import Section, day, flag, many, refuse, slug, text, unit_code
from core.agreements.terms import Fee, Terms, Tier, parse_terms
from core.errors import InvalidInput
from core.money import Money, exponent, plain
from core.period import Period
from core.rating.line import days_said
from core.rating.rate import Contract, Counts, RatedLine, caps, owed

HORIZONS = ("month", "term")


@dataclass(frozen=True, slots=True)
class Offer:
    """An agreement to be tried out: who would be paid, and the contract as it would be signed."""

    name: str
    recipient: str
    term: Period
    versions: tuple[tuple[date, Terms], ...]

    @property
    def contract(self) -> Contract:
        """The contract, if it is complete; raises `InvalidInput` for a price that is not settled."""
        return Contract(self.term, self.versions)


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """Rated lines of one kind, subject and price, added up over the horizon. `model` is the only model, or None."""

    offer: str
    recipient: str
    kind: str
    subject: str
    model: str | None
    image_count: int
    unit: str
    unit_price: Decimal | None
    unit_amount: Fraction
    amount: Money


@dataclass(frozen=True, slots=True)
class Quote:
    """The answer. `effective_rate` is currency per image; `effective_unit_rate` is in `unit` where there is just one.

    `notes` are sentences: what was assumed, and what the reader should know before relying on the figure.
    """

    currency: str
    images: int
    total: Money
    effective_rate: Fraction | None
    unit: str | None
    effective_unit_rate: Fraction | None
    lines: tuple[QuoteLine, ...]
    notes: tuple[str, ...]


def offers_of(document: Mapping[str, Any]) -> tuple[Offer, ...]:
    """The agreements of a scenario file, as offers. Other sections are left to `perimage apply`.

    Raises `InvalidInput` naming the place, such as `agreements[0].terms.fees[1].schedule.rate`.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("agreements"), list):
        refuse("agreements", "this is missing: a scenario needs a list of agreements")
    credits_ = many(_unit)(document.get("units") or (), "units")

    def offer(value: object, path: str) -> Offer:
        part = Section(value, path)
        name = part.required("slug", slug)
        part.optional("name", text, "")
        part.optional("draft", flag, False)
        account = Section(part.required("account", lambda found, _: found), part.at("account"))
        recipient = account.required("licensor", slug)
        start, end = part.required("starts_on", day), part.required("ends_on", day)
        if start >= end:
            refuse(f"{path}.ends_on", "this must come after starts_on; it is the first day no longer covered")
        versions = (
            (start, part.required("terms", _terms)),
            *part.optional("amendments", many(_amendment), ()),
        )
        part.done()
        for _, terms in versions:
            if len(terms.unit) != 3 and terms.unit not in credits_:
                refuse(f"{path}.terms.unit", f"{terms.unit} is not a currency: declare it under `units`")
        return Offer(name, recipient, Period(start, end), versions)

    found = many(offer)(document["agreements"], "agreements")
    if not found:
        refuse("agreements", "a scenario needs at least one agreement")
    return found


def quote(offers: Sequence[Offer], images: int, *, rate: Decimal | None = None, over: str | None = None) -> Quote:
    """What `images` images would cost over a month or over the whole term.

    Each offer is asked for the same images, since one image may owe several parties. Without `over` the horizon is the
    term when a commitment runs longer than a month, else a month. `rate` replaces the one flat rate of the offers.
    Raises `InvalidInput`: several currencies, an unsettled price, a rate that could mean several fees.
    """
    notes: list[str] = []
    if rate is not None:
        offers = _at_rate(offers, rate, notes)
    if len({terms.currency for offer in offers for _, terms in offer.versions}) > 1:
        raise InvalidInput(
            "several_currencies", "these agreements are invoiced in different currencies: quote one each"
        )
    long = any(c.period != "month" for offer in offers for _, terms in offer.versions for c in terms.commitments)
    horizon_name = over or ("term" if long else "month")
    if horizon_name not in HORIZONS:
        raise InvalidInput("unknown_horizon", f"a quote is over a month or over the term, not {over!r}")
    if len(offers) > 1:
        notes.append(f"Each of the {len(offers)} agreements is asked for the same {images:,} images.")
    rated: list[tuple[Offer, RatedLine]] = []
    for offer in offers:
        contract = offer.contract
        horizon = contract.in_force if horizon_name == "term" else _first_month(contract)
        counts = spread(contract, images, horizon)
        lines = owed(contract, counts, horizon.end)
        rated += [(offer, line) for line in lines if line.key.service.start >= horizon.start]
        said = _notes(contract, counts, horizon, images)
        notes += [f"{offer.name}: {note}" for note in said] if len(offers) > 1 else said
    return _quote(rated, images, offers[0].contract.currency, notes)


def quote_usage(offers: Sequence[Offer], usage: Mapping[str, Counts], until: date) -> Quote:
    """What recorded usage costs under the offers: `usage` by offer name, every service period that ends by `until`."""
    rated = [(offer, line) for offer in offers for line in owed(offer.contract, usage.get(offer.name, {}), until)]
    images = sum(line.image_count for _, line in rated if line.key.kind not in ("base", "shortfall"))
    if len({offer.contract.currency for offer in offers}) > 1:
        raise InvalidInput(
            "several_currencies", "these agreements are invoiced in different currencies: quote one each"
        )
    return _quote(rated, images, offers[0].contract.currency, [])


def spread(contract: Contract, images: int, horizon: Period) -> dict[tuple[str, date], int]:
    """The images, evenly over the fee-bearing models and the days of the horizon, the same way every time.

    Where the volume allows it days get whole blocks of images whose fee is a whole number of minor units, so that a
    figure for a year is not blurred by twelve roundings.
    """
    terms = contract.versions[0][1]
    priced = [model for fee in terms.fees if fee.schedule.kind != "zero" for model in fee.models]
    models, months = priced or list(terms.models), sum(1 for _ in horizon.months())
    counts: dict[tuple[str, date], int] = {}
    for n, model in enumerate(models):
        share = images * (n + 1) // len(models) - images * n // len(models)
        block, placed = _block(terms, share, months), 0
        for d, day_ in enumerate(horizon.each_day(), start=1):
            reached = share if d == horizon.days else share * d // horizon.days // block * block
            counts[model, day_] = reached - placed
            placed = reached
    return {at: count for at, count in counts.items() if count}


def _block(terms: Terms, images: int, months: int) -> int:
    """The fewest images whose fee is a whole number of minor units at every rate; 1 when that is too coarse a grain."""
    worth = Fraction(terms.conversions[0].rate) if terms.conversions else Fraction(1)
    minor = worth * 10 ** exponent(terms.currency)
    rates = [tier.rate for fee in terms.fees if fee.schedule.kind != "package" for tier in fee.schedule.tiers]
    block = reduce(lcm, ((Fraction(rate) * minor).denominator for rate in rates), 1)
    return block if block * months <= images else 1


def _first_month(contract: Contract) -> Period:
    """The first whole calendar month of the contract, or its first service period when it has none."""
    services = [service for service, _ in contract.months]
    return next((service for service in services if service == Period.month_of(service.start)), services[0])


def _at_rate(offers: Sequence[Offer], rate: Decimal, notes: list[str]) -> list[Offer]:
    """The offers with their one flat rate replaced, and a note on where it lies in its price band."""
    flat = {(offer.name, fee.name) for offer in offers for _, terms in offer.versions for fee in _flat_fees(terms)}
    if len(flat) != 1:
        names = ", ".join(sorted(fee for _, fee in flat)) or "none"
        raise InvalidInput("rate_ambiguous", f"a rate can replace the price of one flat fee, but here are {names}")
    unit, band = next(
        (terms.unit, fee.schedule.band) for offer in offers for _, terms in offer.versions for fee in _flat_fees(terms)
    )
    if band:
        where = "lies in" if band[0] <= rate <= band[1] else "lies outside"
        notes.append(
            f"The price of {plain(rate)} {unit} {where} the band of {plain(band[0])} to {plain(band[1])} {unit}."
        )

    def at_rate(fee: Fee) -> Fee:
        if fee.schedule.kind != "flat":
            return fee
        return replace(fee, schedule=replace(fee.schedule, tiers=(Tier(None, rate),), band=None))

    return [
        replace(
            offer,
            versions=tuple(
                (start, replace(terms, fees=tuple(at_rate(fee) for fee in terms.fees)))
                for start, terms in offer.versions
            ),
        )
        for offer in offers
    ]


def _flat_fees(terms: Terms) -> list[Fee]:
    return [fee for fee in terms.fees if fee.schedule.kind == "flat"]


def _quote(rated: list[tuple[Offer, RatedLine]], images: int, currency: str, notes: list[str]) -> Quote:
    sums: dict[tuple[object, ...], QuoteLine] = {}
    for offer, line in rated:
        key = (offer.name, line.key.kind, line.key.subject, line.unit, line.unit_price)
        before = sums.get(key)
        sums[key] = QuoteLine(
            offer=offer.name,
            recipient=offer.recipient,
            kind=line.key.kind,
            subject=line.key.subject,
            model=line.models[0] if len(line.models) == 1 else None,
            image_count=line.image_count + (before.image_count if before else 0),
            unit=line.unit,
            unit_price=line.unit_price,
            unit_amount=line.unit_amount + (before.unit_amount if before else 0),
            amount=line.money + before.amount if before else line.money,
        )
    total = sum((line.amount for line in sums.values()), start=Money(currency, 0))
    exact = sum((line.unit_amount * Fraction(line.conversion_rate) for _, line in rated), start=Fraction(0))
    drift = total - Money.rounded(exact, currency)
    if drift.minor:
        notes = [
            *notes,
            f"Lines are rounded invoice by invoice, as they would be billed: {drift} against rounding once.",
        ]
    per_image = Fraction(total.amount) / images if images else None
    rates = {(line.unit, line.conversion_rate) for _, line in rated}
    unit, worth = next(iter(rates)) if len(rates) == 1 else (None, Decimal(1))
    return Quote(
        currency=currency,
        images=images,
        total=total,
        effective_rate=per_image,
        unit=unit,
        effective_unit_rate=per_image / Fraction(worth) if unit and per_image is not None else None,
        lines=tuple(sums.values()),
        notes=tuple(notes),
    )


def _notes(contract: Contract, counts: Counts, horizon: Period, images: int) -> list[str]:
    """What was assumed for one offer, and what its terms say beyond the price."""
    terms = contract.versions[0][1]
    models = len({model for model, _ in counts})
    over = f" and {models} models" if models > 1 else ""
    notes = [f"{images:,} images spread evenly over the {horizon.days} days {days_said(horizon)}{over}."]
    if horizon != contract.in_force:
        notes += [
            f"The commitment {promise.commitment.name!r} is judged over {days_said(promise.days)}, so a shortfall does "
            "not show here: quote over the term."
            for promise in contract.promises
            if promise.days.start <= horizon.start and promise.days.end > horizon.end
        ]
    for use in caps(contract, counts, horizon.end):
        if use.above:
            fate = "flagged, still counted" if use.kind == "soft" else "to be refused at intake, though rated here"
            notes.append(f"{use.above:,} images above the cap of {use.images:,} in {use.service.name}: {fate}.")
    if terms.eligibility and terms.eligibility.revenue_below:
        amount, currency = terms.eligibility.revenue_below
        notes.append(f"Only for licensees with a yearly revenue below {amount:,f} {currency}.")
    return notes


def _terms(value: object, path: str) -> Terms:
    if not isinstance(value, Mapping):
        refuse(path, "write the terms as a mapping")
    try:
        return parse_terms(value)
    except InvalidInput as error:
        where = f"{path}.{error.detail.get('path', '')}"
        raise InvalidInput(error.code, f"{path}.{error.sentence}", path=where) from None


def _amendment(value: object, path: str) -> tuple[date, Terms]:
    part = Section(value, path)
    found = part.required("effective_on", day), part.required("terms", _terms)
    part.done()
    return found


def _unit(value: object, path: str) -> str:
    return Section(value, path).required("code", unit_code)
