"""Terms in words that a finance person understands, without the contract beside them.

Every sentence says one rule with its numbers. A clause that has no sentence here yet is quoted as it stands in the
canonical document, so that nothing that was agreed goes unsaid.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.agreements.clauses import Commitment, Fee, Schedule, Terms
from core.agreements.coverage import in_force
from core.agreements.terms import terms_document
from core.money import plain
from core.period import Period

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_SAID_OF_TERMS = {"currency", "unit", "conversions", "fees", "commitments", "early_termination", "payment_days"} | {
    *("adapters", "definitions", "eligibility", "late_interest", "missing_days", "estimate", "grace_days", "issue")
}
_SAID_OF_FEE = {"name", "models", "per", "schedule", "included_images", "base_fee", "cap"}
_SAID_OF_SCHEDULE = {"kind", "rate", "band", "size", "price", "tiers"}
_SAID_OF_COMMITMENT = {"name", "kind", "quantity", "period", "models", "shortfall_rate", "starts_on", "ends_on"} | {
    *("billing", "instalments", "prepaid_rate", "rollover", "unused_at_termination", "order")
}
_EACH = {"month": "in every calendar month", "quarter": "in every three months", "year": "in every year"}
_ADAPTERS = {
    "base": "An image made with an adapter owes the fee of the base model only.",
    "own": "An image made with an adapter owes the adapter's own fee only.",
    "both": "An image made with an adapter owes the fee of the base model and the adapter's own.",
    "none": "An image made with an adapter owes nothing for the adapter.",
}


@dataclass(frozen=True, slots=True)
class Passage:
    """A heading and the sentences under it."""

    heading: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VersionInWords:
    """What holds over some days, and the amendment that says so (0: the contract as first signed)."""

    days: Period
    amendment: int
    passages: tuple[Passage, ...]


def versions_in_words(days_in_force: Period, versions: Sequence[tuple[date, Terms]]) -> tuple[VersionInWords, ...]:
    """The terms of an agreement, run of days by run of days, as they hold after every amendment."""
    numbered = [(effective_on, (number, terms)) for number, (effective_on, terms) in enumerate(versions)]
    runs = [(day, version) for day, version in in_force(numbered) if day < days_in_force.end]
    ends = [day for day, _ in runs[1:]] + [days_in_force.end]
    return tuple(
        VersionInWords(Period(start, end), number, plain_words(terms))
        for (start, (number, terms)), end in zip(runs, ends, strict=True)
    )


def plain_words(terms: Terms) -> tuple[Passage, ...]:
    """The terms, passage by passage: fees, promises, payment, what counts, who may hold the licence."""
    document = terms_document(terms)
    passages = (
        Passage("What is owed", tuple(_fees(terms, document))),
        Passage("What is promised", tuple(_promises(terms, document))),
        Passage("How it is paid", (*_payment(terms), *_late(terms))),
        Passage("What counts as an image", tuple(_definitions(terms))),
        Passage("Who may hold this licence", tuple(_eligibility(terms))),
        Passage("Also agreed", tuple(_unsaid(document, _SAID_OF_TERMS))),
    )
    return tuple(passage for passage in passages if passage.sentences)


def day_said(day: date) -> str:
    """ "1 July 2026"."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def days_said(days: Period) -> str:
    """ "1 July 2026 to 31 December 2026", the last day included, as people say it."""
    last = days.end - timedelta(days=1)
    return day_said(days.start) if last == days.start else f"{day_said(days.start)} to {day_said(last)}"


def number_said(value: Decimal | int | Fraction) -> str:
    """A number with its thousands grouped and no more decimals than it has: "42,000,000", "0.005"."""
    whole, _, rest = plain(value).partition(".")
    return f"{int(whole):,}{'.' + rest if rest else ''}"


def _fees(terms: Terms, document: Mapping[str, Any]) -> Iterator[str]:
    for fee, written in zip(terms.fees, document["fees"], strict=True):
        if fee.models:
            yield f"{fee.name} (images by {_who(fee)}): {_price(fee, terms)}."
        if fee.base_fee is not None:
            what = "a month besides" if fee.models else "a month for the agreement as a whole"
            share = "in parts by the day where the agreement begins or ends within a month"
            yield f"{fee.name}: {_money(fee.base_fee, terms)} {what}, {share}."
        if fee.cap:
            above = "flagged, and owed all the same" if fee.cap.kind == "soft" else "refused, and kept as evidence"
            yield f"{fee.name}: at most {fee.cap.images:,} images a month; usage above that is {above}."
        also = [*_unsaid(written, _SAID_OF_FEE), *_unsaid(written.get("schedule", {}), _SAID_OF_SCHEDULE)]
        yield from (f"{fee.name}: {sentence}" for sentence in also)


def _who(fee: Fee) -> str:
    who = _listed(fee.models)
    if len(fee.models) == 1:
        return who
    return f"{who}, counted together" if fee.per == "group" else f"{who}, each by itself"


def _price(fee: Fee, terms: Terms) -> str:
    schedule = fee.schedule
    said = _schedule(schedule, terms)
    if fee.included_images and schedule.kind != "zero":
        return f"the first {fee.included_images:,} images of a month are included; after them {said}"
    return said


def _schedule(schedule: Schedule, terms: Terms) -> str:
    if schedule.kind == "zero":
        return "counted, and no fee is due for an image"
    if not schedule.settled and schedule.band:
        low, high = (number_said(end) for end in schedule.band)
        return f"between {low} and {high} {terms.unit} an image; the price is not settled yet"
    if schedule.kind == "flat":
        return f"{_money(schedule.tiers[0].rate, terms)} an image"
    if schedule.kind == "package":
        price = _money(schedule.tiers[0].rate, terms)
        return f"{price} for every package of {schedule.size:,} images; a package that was begun is owed in full"
    tiers: list[str] = []
    for tier in schedule.tiers:
        bound = f"up to {tier.up_to:,}" if tier.up_to is not None else "above that" if tiers else "every image"
        tiers.append(f"{bound}: {_money(tier.rate, terms)}")
    steps = "; ".join(tiers)
    if schedule.kind == "volume":
        return f"all images of a month at the price of the tier that their number reaches ({steps})"
    return f"each image at the price of its tier in the month ({steps})"


def _promises(terms: Terms, document: Mapping[str, Any]) -> Iterator[str]:
    for commitment, written in zip(terms.commitments, document["commitments"], strict=True):
        yield _promise(commitment, terms)
        yield from (f"{commitment.name}: {sentence}" for sentence in _unsaid(written, _SAID_OF_COMMITMENT))
    if terms.commitments:
        yield (
            "If the agreement ends early, what was promised for the running period is due in full."
            if terms.early_termination == "full"
            else "If the agreement ends early, what was promised is due for the days it ran."
        )


def _promise(commitment: Commitment, terms: Terms) -> str:
    unit = "images" if commitment.kind == "images" else f"{terms.currency} of fees"
    over = _EACH.get(commitment.period, "over the whole term")
    scope = "" if commitment.models is None else f" by {_listed(commitment.models)}"
    least = "" if commitment.prepaid else "at least "
    said = f"{commitment.name}: {least}{number_said(commitment.quantity)} {unit}{scope} {over}"
    if commitment.starts_on:
        said += f", from {day_said(commitment.starts_on)}"
    if commitment.ends_on:
        said += f", to {day_said(commitment.ends_on - timedelta(days=1))}"
    return " ".join([f"{said}.", *_charged(commitment, terms), *_carried(commitment, terms)])


def _charged(commitment: Commitment, terms: Terms) -> Iterator[str]:
    """How a promise is charged: what is missing at the end, or the whole before it is used."""
    if not commitment.prepaid:
        if commitment.kind == "money":
            yield "What is missing is owed."
        elif commitment.shortfall_rate is not None:
            yield f"Each missing image costs {_money(commitment.shortfall_rate, terms)}."
        else:
            yield "Each missing image costs the price in force on the last day."
    else:
        parts = f"in equal parts, one every {commitment.instalments}" if commitment.instalments else "as a whole"
        price = "" if commitment.prepaid_rate is None else f" at {_money(commitment.prepaid_rate, terms)} an image"
        yield f"It is paid before it is used, {parts}{price}, and usage is drawn from it."
        verb = "refunds" if commitment.unused_at_termination == "refunded" else "forfeits"
        yield f"An early end {verb} what was paid and not used."
    if commitment.order is not None:
        yield f"It is filled as number {commitment.order} of those with a number."


def _carried(commitment: Commitment, terms: Terms) -> Iterator[str]:
    """What goes on from one period to the next."""
    rollover = commitment.rollover
    if rollover is None:
        return
    for fraction, what in ((rollover.unused, "what was not used"), (rollover.excess, "what went beyond it")):
        if fraction:
            periods = "period" if rollover.expires_after == 1 else f"{rollover.expires_after} periods"
            yield f"{number_said(fraction * 100)} % of {what} counts in the next {periods}."


def _payment(terms: Terms) -> Iterator[str]:
    yield f"Invoices are in {terms.currency} and due {terms.payment_days} days after they are issued."
    for conversion in terms.conversions:
        since = f"From {day_said(conversion.effective_on)} one" if conversion.effective_on else "One"
        yield f"{since} {terms.unit} is worth {number_said(conversion.rate)} {terms.currency}."
    if terms.conversions:
        yield "Each line of an invoice is converted and rounded once, half a minor unit upwards."


def _late(terms: Terms) -> Iterator[str]:
    if terms.late_interest is not None:
        percent = number_said(terms.late_interest)
        yield f"What is paid late bears simple interest of {percent} % a year, by the day, a year having 365 days."
    if terms.grace_days is not None:
        then = "issued" if terms.issue == "automatic" else "left for a person to issue"
        yield f"A month is closed by the clock {terms.grace_days} days after its end, and {then}."
    if terms.missing_days == "hold" and terms.estimate is None:
        yield "An invoice for days of which nothing was reported, not even zero, waits until somebody releases it."
    if terms.estimate is not None:
        months = "month" if terms.estimate.months == 1 else f"{terms.estimate.months} months"
        yield (
            "A day of which nothing was reported, not even zero, is billed by an estimate: for each model the average "
            f"of the reported days of the {months} before, in whole images. When its report comes the difference is "
            "billed. Where there is no reported day to go by, the invoice waits until somebody releases it."
        )


def _definitions(terms: Terms) -> Iterator[str]:
    said = terms.definitions
    yield f"An image counts when it is {said.image}."
    if said.counted:
        yield f"Counted as images, too: {_listed(said.counted)}."
    if said.video_frame_factor is not None:
        yield f"Each frame of a video counts as {number_said(said.video_frame_factor)} of an image."
    if terms.adapters:
        yield _ADAPTERS.get(terms.adapters, f"Adapters: {terms.adapters}.")
    if said.text:
        yield said.text


def _eligibility(terms: Terms) -> Iterator[str]:
    who = terms.eligibility
    if who and who.revenue_below:
        amount, currency = who.revenue_below
        often = f", attested {who.attested}" if who.attested else ""
        yield f"A licensee with a revenue below {number_said(amount)} {currency} a year{often}."
    elif who and who.attested:
        yield f"The licensee attests {who.attested} that it may."
    if who and who.text:
        yield who.text


def _money(amount: Decimal, terms: Terms) -> str:
    """An amount of the unit, with its worth in the currency where one rate holds for all the days."""
    said = f"{number_said(amount)} {terms.unit}"
    if len(terms.conversions) == 1:
        return f"{said} ({number_said(Fraction(amount) * Fraction(terms.conversions[0].rate))} {terms.currency})"
    return said


def _unsaid(document: Mapping[str, Any], said: Collection[str]) -> Iterator[str]:
    for key, value in document.items():
        if key not in said:
            yield f"{key.replace('_', ' ')}: {_quoted(value)}."


def _quoted(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_quoted(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return "; ".join(_quoted(inner) for inner in value)
    return str(value)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
