"""The terms of an agreement: what one image costs, in which unit, and what was promised.

`parse_terms` is the only way in and reads strictly; `terms_document` is the canonical form that the database keeps and
hashes. The two round-trip. Terms say nothing about when they are in force: that is the agreement's term and the dates
of its amendments (`core/rating/contract.py`).

The document, with every key (those marked ? may be left out):

    currency: USD                       what the invoice is in, ISO 4217
    unit?: BUZZ                         what fees are agreed in; the currency when left out
    conversions?: [{from: BUZZ, to: USD, rate: "0.001", effective_on?: 2026-01-01}]
    fees:
      - name: Anima images
        models: [anima-1]               left out together with the schedule: a monthly fee for the whole agreement
        per?: model                     model: each model has its own tiers, included images, base fee and cap
                                        group: the models of this fee share them
        schedule: {kind: flat, rate: "5", band?: ["4", "6"]}       a band without a rate is not settled yet
                | {kind: graduated, tiers: [{up_to: 1000, rate: "5"}, {rate: "4"}]}   each image at its tier's rate
                | {kind: volume, tiers: ...}                       all images at the rate of the tier they reach
                | {kind: package, size: 1000, price: "10"}         every package begun is owed in full
                | {kind: zero}                                     counted and shown, nothing owed
        included_images?: 100000        first images of a month, at zero; tiers begin after them
        base_fee?: "999"                a month, in the unit; prorated by days at the start and the end
        cap?: {images: 10000, kind: soft | hard}                   a month
    commitments?:                       a minimum per month is one of these: kind: money, period: month
      - name: floor
        kind: images | money            images, or fees in the invoice currency
        quantity: 42000000
        period: month | quarter | year | term
        models?: [anima-1]              every fee-bearing model when left out
        starts_on?, ends_on?            limits it to a part of the term, so that a ramp is several in a row
        billing?: shortfall             what is missing is charged when the period is over
                | advance               the whole on its first day, then drawn down
                | instalments           the same, paid in equal parts through the period
        instalments?: month | quarter   how often; only with `billing: instalments`
        shortfall_rate?: "12"           per missing image; the flat rate in force on the last day when left out
        prepaid_rate?: "3.5"            per image paid in advance; the flat rate in force on the first day when left out
        rollover?: {unused?: "0.5", excess?: "0.5", expires_after?: 1}     what goes on to the next periods, see
                                        core/rating/README.md
        unused_at_termination?: forfeited | refunded                       only of what was paid in advance
        order?: 1                       in which order they are drawn down; shortfalls with an order count only what
                                        those before them leave over
    early_termination?: prorated | full                            what an early end leaves of a running period
    payment_days?: 30
    late_interest?: {yearly_percent: "9.5"}     simple interest on what is paid late, by the day, actual/365
    missing_days?: hold                 an invoice with days of no report and no word of zero waits for a person
    estimate?: {rule: trailing_average, months?: 3}     such days are billed by the average of the reported days of so
                                        many months before (1 to 24), until a report comes
    grace_days?: 5                      the clock closes each month, so many days after its end (0 to 60)
    issue?: automatic | by_hand         whether what the clock closed is issued without a person; only with grace_days
    adapters?: base | own | both | none
    definitions?: {image?: delivered | saved | requested, counted?: [previews, upscales, rejected],
                   video_frame_factor?: "0.04", text?: ...}
    eligibility?: {revenue_below?: {amount: "1000000", currency: USD}, attested?: monthly | yearly, text?: ...}

A price may be written as platforms quote it, "10 Buzz per 1,000 images", when that is an exact decimal per image.
"""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from core.agreements.clauses import (
    Cap,
    Commitment,
    Conversion,
    Definitions,
    Eligibility,
    Estimate,
    Fee,
    Rollover,
    Schedule,
    Terms,
    Tier,
)
from core.agreements.commitments import check_commitments, commitment_document, commitment_in
from core.agreements.estimates import estimate_document, estimate_in
from core.agreements.reading import (
    Section,
    amount,
    count,
    currency_code,
    day,
    many,
    one_of,
    positive,
    positive_in,
    rate_in,
    refuse,
    slug,
    text,
    unit_code,
)
from core.money import plain

__all__ = [
    "Cap",
    "Commitment",
    "Conversion",
    "Definitions",
    "Eligibility",
    "Estimate",
    "Fee",
    "Rollover",
    "Schedule",
    "Terms",
    "Tier",
    "parse_terms",
    "terms_document",
]


MOST_GRACE_DAYS = 60
MOST_PERCENT = 100  # a year; more is a slip of the pen, and usury nearly everywhere


def parse_terms(document: Mapping[str, Any]) -> Terms:
    """The terms written in a document (YAML or JSON, already loaded).

    Raises `InvalidInput`, code `invalid_terms`, for anything unknown, inexact or contradictory; its detail `path` names
    the place.
    """
    section = Section(document, "")
    currency = section.required("currency", currency_code)
    unit = section.optional("unit", unit_code, currency)
    terms = Terms(
        currency=currency,
        unit=unit,
        conversions=_conversions(section, unit, currency),
        fees=section.required("fees", many(_fee_in(unit))),
        commitments=section.optional("commitments", many(commitment_in(unit)), ()),
        early_termination=section.optional("early_termination", one_of("prorated", "full"), "prorated"),
        payment_days=section.optional("payment_days", count, 30),
        adapters=section.optional("adapters", one_of("base", "own", "both", "none"), None),
        definitions=section.optional("definitions", _definitions, Definitions()),
        eligibility=section.optional("eligibility", _eligibility, None),
        late_interest=section.optional("late_interest", _late_interest, None),
        missing_days=section.optional("missing_days", one_of("hold"), None),
        estimate=section.optional("estimate", estimate_in, None),
        grace_days=section.optional("grace_days", _grace_days, None),
        issue=section.optional("issue", one_of("automatic", "by_hand"), None),
    )
    section.done()
    if terms.issue is not None and terms.grace_days is None:
        refuse("issue", "this is about months that the clock closes: say `grace_days`, too, or leave it out")
    _check_fees(terms)
    check_commitments(terms)
    return terms


def terms_document(terms: Terms) -> dict[str, Any]:
    """The canonical document: only JSON types, amounts as plain decimal strings, every default spelled out.

    `parse_terms` gives the same terms back, and equal terms give equal documents; so it can be stored and hashed.
    """
    document: dict[str, Any] = {"currency": terms.currency, "unit": terms.unit}
    if terms.conversions:
        document["conversions"] = [
            _present(
                {"from": terms.unit, "to": terms.currency, "rate": plain(c.rate), "effective_on": _iso(c.effective_on)}
            )
            for c in terms.conversions
        ]
    document["fees"] = [_fee_document(fee) for fee in terms.fees]
    document["commitments"] = [commitment_document(commitment) for commitment in terms.commitments]
    document["early_termination"] = terms.early_termination
    document["payment_days"] = terms.payment_days
    said, who = terms.definitions, terms.eligibility
    document["definitions"] = _present(
        {
            "image": said.image,
            "counted": list(said.counted),
            "video_frame_factor": _plain(said.video_frame_factor),
            "text": said.text or None,
        }
    )
    below = who.revenue_below if who else None
    return document | _present(
        {
            "adapters": terms.adapters,
            "eligibility": who
            and _present(
                {
                    "revenue_below": below and {"amount": plain(below[0]), "currency": below[1]},
                    "attested": who.attested,
                    "text": who.text or None,
                }
            ),
            "late_interest": terms.late_interest and {"yearly_percent": plain(terms.late_interest)},
            "missing_days": terms.missing_days,
            "estimate": estimate_document(terms.estimate),
            "grace_days": terms.grace_days,
            "issue": terms.issue,
        }
    )


def _fee_document(fee: Fee) -> dict[str, Any]:
    if not fee.models:
        return {"name": fee.name, "base_fee": _plain(fee.base_fee)}
    price = fee.schedule
    schedule: dict[str, Any] = {"kind": price.kind}
    if price.kind == "flat":
        schedule |= _present(
            {"rate": _plain(price.flat_rate), "band": price.band and [plain(end) for end in price.band]}
        )
    elif price.kind == "package":
        schedule |= {"size": price.size, "price": plain(price.tiers[0].rate)}
    elif price.kind != "zero":
        schedule["tiers"] = [_present({"up_to": tier.up_to, "rate": plain(tier.rate)}) for tier in price.tiers]
    return _present(
        {
            "name": fee.name,
            "models": list(fee.models),
            "per": fee.per,
            "schedule": schedule,
            "included_images": fee.included_images or None,
            "base_fee": _plain(fee.base_fee),
            "cap": fee.cap and {"images": fee.cap.images, "kind": fee.cap.kind},
        }
    )


def _present(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None}


def _plain(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def _iso(value: date | None) -> str | None:
    return None if value is None else value.isoformat()


def _conversions(section: Section, unit: str, currency: str) -> tuple[Conversion, ...]:
    def conversion(value: object, path: str) -> Conversion:
        part = Section(value, path)
        pair = part.required("from", unit_code), part.required("to", currency_code)
        if pair != (unit, currency):
            refuse(path, f"this converts {pair[0]} to {pair[1]}, but fees go from {unit} to {currency}")
        found = Conversion(part.required("rate", positive), part.optional("effective_on", day, None))
        part.done()
        return found

    found = section.optional("conversions", many(conversion), ())
    if unit == currency and found:
        refuse("conversions", f"fees are agreed in the invoice currency {currency}: leave conversions out")
    if unit != currency and not found:
        refuse("conversions", f"fees are in {unit} and invoices in {currency}: say what one {unit} is worth")
    days = [conversion.effective_on or date.min for conversion in found]
    if len(set(days)) < len(days):
        refuse("conversions", "two conversions take effect on the same day: keep one of them")
    return tuple(sorted(found, key=lambda conversion: conversion.effective_on or date.min))


def _fee_in(unit: str) -> Callable[[object, str], Fee]:
    def read(value: object, path: str) -> Fee:
        part = Section(value, path)
        name, models = part.required("name", text), part.optional("models", many(slug), None)
        if models is None and "schedule" not in part.left and "base_fee" in part.left:
            fee = Fee(name, (), "group", Schedule("zero"), base_fee=part.required("base_fee", positive_in(unit)))
            part.done()
            return fee
        fee = Fee(
            name=name,
            models=models or (),
            per=part.optional("per", one_of("model", "group"), "model"),
            schedule=part.required("schedule", _schedule_in(unit)),
            included_images=part.optional("included_images", count, 0),
            base_fee=part.optional("base_fee", positive_in(unit), None),
            cap=part.optional("cap", _cap, None),
        )
        part.done()
        if not fee.models:
            refuse(f"{path}.models", "name at least one model; a fee for the whole agreement has a `base_fee` alone")
        if fee.included_images and fee.schedule.kind == "zero":
            refuse(f"{path}.included_images", "every image is free under a zero schedule: leave this out, or use a cap")
        return fee

    return read


def _schedule_in(unit: str) -> Callable[[object, str], Schedule]:
    price = positive_in(unit)

    def read(value: object, path: str) -> Schedule:
        part = Section(value, path)
        kind = part.required("kind", one_of("flat", "graduated", "volume", "package", "zero"))
        schedule = Schedule(kind)
        if kind == "flat":
            band = part.optional("band", _band, None)
            settled = part.optional("rate", price, None) if band else part.required("rate", price)
            if band and settled is not None and not band[0] <= settled <= band[1]:
                refuse(f"{path}.rate", f"{settled} lies outside the band of {band[0]} to {band[1]}")
            schedule = Schedule(kind, () if settled is None else (Tier(None, settled),), band)
        elif kind == "package":
            size = part.required("size", count)
            schedule = Schedule(kind, (Tier(None, part.required("price", price)),), size=size)
        elif kind != "zero":
            schedule = Schedule(kind, part.required("tiers", _tiers_in(unit)))
        part.done()
        return schedule

    return read


def _band(value: object, path: str) -> tuple[Decimal, Decimal]:
    ends = many(positive)(value, path)
    if len(ends) != 2 or ends[0] >= ends[1]:
        refuse(path, 'write the lowest and the highest price, such as ["12", "16"]')
    return ends[0], ends[1]


def _tiers_in(unit: str) -> Callable[[object, str], tuple[Tier, ...]]:
    def tier(element: object, where: str) -> Tier:
        part = Section(element, where)
        found = Tier(part.optional("up_to", count, None), part.required("rate", rate_in(unit)))
        part.done()
        return found

    def read(value: object, path: str) -> tuple[Tier, ...]:
        tiers = many(tier)(value, path)
        if not tiers or tiers[-1].up_to is not None:
            refuse(path, "end with a tier without `up_to`, so that every image has a price")
        reached = 0
        for n, step in enumerate(tiers[:-1]):
            if step.up_to is None or step.up_to <= reached:
                refuse(f"{path}[{n}].up_to", f"tiers must rise and not overlap: write a number above {reached}")
            reached = step.up_to
        return tiers

    return read


def _cap(value: object, path: str) -> Cap:
    part = Section(value, path)
    cap = Cap(part.required("images", count), part.optional("kind", one_of("soft", "hard"), "soft"))
    part.done()
    return cap


def _grace_days(value: object, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_GRACE_DAYS:
        refuse(path, f"write a whole number of days from 0 to {MOST_GRACE_DAYS}")
    return value


def _definitions(value: object, path: str) -> Definitions:
    part = Section(value, path)
    found = Definitions(
        image=part.optional("image", one_of("delivered", "saved", "requested"), "delivered"),
        counted=part.optional("counted", many(one_of("previews", "upscales", "rejected")), ()),
        video_frame_factor=part.optional("video_frame_factor", positive, None),
        text=part.optional("text", text, ""),
    )
    part.done()
    return found


def _eligibility(value: object, path: str) -> Eligibility:
    def revenue(inner: object, where: str) -> tuple[Decimal, str]:
        bound = Section(inner, where)
        found = bound.required("amount", positive), bound.required("currency", currency_code)
        bound.done()
        return found

    part = Section(value, path)
    found = Eligibility(
        revenue_below=part.optional("revenue_below", revenue, None),
        attested=part.optional("attested", one_of("monthly", "yearly"), None),
        text=part.optional("text", text, ""),
    )
    part.done()
    return found


def _late_interest(value: object, path: str) -> Decimal:
    part = Section(value, path)
    found = part.required("yearly_percent", amount)
    part.done()
    if not 0 < found <= MOST_PERCENT:
        refuse(f"{path}.yearly_percent", f'write a percentage above 0 and up to {MOST_PERCENT}, such as "9.5"')
    return found


def _check_fees(terms: Terms) -> None:
    if not terms.fees:
        refuse("fees", "write at least one fee; for models that owe nothing use `schedule: {kind: zero}`")
    fee_of: dict[str, str] = {}
    names: set[str] = set()
    for n, fee in enumerate(terms.fees):
        if fee.name in names:
            refuse(f"fees[{n}].name", f"{fee.name!r} is used twice: give each fee its own name")
        names.add(fee.name)
        for model in fee.models:
            if model in fee_of:
                refuse(f"fees[{n}].models", f"{model} already has its price in {fee_of[model]!r}: keep it in one fee")
            fee_of[model] = fee.name
    for n, fee in enumerate(terms.fees):
        if fee.per == "group" and fee.name in fee_of and fee.name not in fee.models:
            refuse(f"fees[{n}].name", f"{fee.name!r} is also a model: lines could not be told apart, choose another")
