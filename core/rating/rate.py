"""What is owed under a contract for some counts: the one place where terms meet usage.

`owed` gives every line of every service period that is over; billing subtracts what was billed before. It is pure: the
same contract, counts and day give the same lines, byte for byte, in time linear in the counts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.agreements.terms import Fee
from core.money import exponent, plain
from core.period import Period
from core.rating.commitment import CommitmentProgress, Promise, progress_of
from core.rating.contract import Cell, Contract, Counts
from core.rating.line import KINDS, LineKey, RatedLine, days_said, finish_line, in_order
from core.rating.schedule import price_run, split_included

__all__ = [
    "KINDS",
    "CapUse",
    "CommitmentProgress",
    "Contract",
    "Counts",
    "LineKey",
    "RatedLine",
    "caps",
    "owed",
    "progress",
]
_ONE, _NOTHING = Decimal(1), Decimal(0)
Tally = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class CapUse:
    """Images counted against a monthly cap of a subject, `above` of them beyond it."""

    subject: str
    kind: str
    service: Period
    images: int
    counted: int
    above: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A subject's images in one cell. `first` numbers them in the month, zero-rated ones aside; `first_of_all` with."""

    cell: Cell
    fee: Fee
    models: tuple[str, ...]
    images: int
    first: int
    first_of_all: int

    @property
    def conversion(self) -> Decimal:
        return self.cell.terms.conversions[self.cell.conversion_index].rate if self.cell.terms.conversions else _ONE


@dataclass(frozen=True, slots=True)
class _Segment:
    """A run of pieces at one price."""

    service: Period
    subject: str
    pieces: tuple[_Piece, ...]

    @property
    def days(self) -> Period:
        return Period(self.pieces[0].cell.days.start, self.pieces[-1].cell.days.end)

    @property
    def images(self) -> int:
        return sum(piece.images for piece in self.pieces)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(model for piece in self.pieces for model in piece.models))


def owed(contract: Contract, counts: Counts, until: date) -> tuple[RatedLine, ...]:
    """Every line whose service period ends on or before `until`, in the order of an invoice.

    `counts` are net images per (model slug, day of the account's zone). Days outside the term and models without a fee
    on that day are not rated. Each key occurs once; lines of no images and no amount are left out.
    """
    tally = contract.tally(counts, until)
    fees = [line for month in contract.months if month[0].end <= until for line in _month(contract, *month, tally)]
    shortfalls = [
        line
        for promise in contract.promises
        if promise.days.end <= until and (line := _shortfall(contract, promise, tally, fees))
    ]
    return tuple(sorted(fees + shortfalls, key=in_order))


def progress(contract: Contract, counts: Counts, as_of: date) -> tuple[CommitmentProgress, ...]:
    """The commitment periods that are running on the day before `as_of`, with what was counted on days before it.

    On the day after a period's end the period is shown once more, complete. Commitments in money count the fees of
    every month that has begun, the running month's base fee in full.
    """
    tally = contract.tally(counts, as_of)
    begun = [line for month in contract.months if month[0].start < as_of for line in _month(contract, *month, tally)]
    return tuple(
        progress_of(promise, _counted(contract, promise, tally, begun), as_of, contract.currency)
        for promise in contract.promises
        if promise.days.start < as_of <= promise.days.end
    )


def caps(contract: Contract, counts: Counts, until: date) -> tuple[CapUse, ...]:
    """How far each monthly cap is used, for months that began before `until`; the cap of the month's last day."""
    tally = contract.tally(counts, until)
    found = []
    for service, cells in contract.months:
        if service.start >= until:
            break
        for subject, pieces in _pieces(contract, cells, tally).items():
            cap, counted = pieces[-1].fee.cap, sum(piece.images for piece in pieces)
            if cap:
                found.append(CapUse(subject, cap.kind, service, cap.images, counted, max(0, counted - cap.images)))
    return tuple(found)


def _month(contract: Contract, service: Period, cells: tuple[Cell, ...], tally: Tally) -> Iterator[RatedLine]:
    """The fee lines of one service period."""
    for subject, pieces in _pieces(contract, cells, tally).items():
        paid = sum(piece.images for piece in pieces if piece.fee.schedule.kind != "zero")
        for segment in _segments(service, subject, pieces, _base_price):
            if segment.pieces[0].fee.base_fee is not None:
                yield _base(contract, segment)
        for segment in _segments(service, subject, pieces, _image_price):
            if segment.images:
                yield from _images(contract, segment, paid)


def _pieces(contract: Contract, cells: tuple[Cell, ...], tally: Tally) -> dict[str, list[_Piece]]:
    """Each subject's images, cell by cell, numbered through the month."""
    found: dict[str, list[_Piece]] = {}
    reached: dict[str, tuple[int, int]] = {}
    for cell in cells:
        for subject, fee, models in contract.fees_of_subjects(cell.amendment):
            images = sum(tally[model][cell.index] for model in models if model in tally)
            first, first_of_all = reached.get(subject, (0, 0))
            found.setdefault(subject, []).append(_Piece(cell, fee, models, images, first, first_of_all))
            priced = 0 if fee.schedule.kind == "zero" else images
            reached[subject] = first + priced, first_of_all + images
    return found


def _segments(
    service: Period, subject: str, pieces: list[_Piece], price: Callable[[_Piece], object]
) -> Iterator[_Segment]:
    """Cuts a subject's month where its price changes, where it was not covered, and at the fence of a commitment."""
    run: list[_Piece] = []
    for piece in pieces:
        adjoining = run and run[-1].cell.days.end == piece.cell.days.start and not piece.cell.fenced
        if run and not (adjoining and price(run[-1]) == price(piece)):
            yield _Segment(service, subject, tuple(run))
            run = []
        run.append(piece)
    if run:
        yield _Segment(service, subject, tuple(run))


def _image_price(piece: _Piece) -> object:
    return piece.cell.terms.unit, piece.conversion, piece.fee.schedule.price, piece.fee.included_images


def _base_price(piece: _Piece) -> object:
    return piece.cell.terms.unit, piece.conversion, piece.fee.base_fee


def _line(
    contract: Contract,
    segment: _Segment,
    kind: str,
    description: str,
    workings: tuple[dict[str, Any], ...],
    *,
    image_count: int = 0,
    unit_price: Decimal | None = None,
    unit_amount: Fraction = Fraction(0),
) -> RatedLine:
    first, days = segment.pieces[0], segment.days
    return finish_line(
        LineKey(kind, segment.subject, segment.service, days.start.isoformat()),
        description if days == segment.service else f"{description}, {days_said(days)}",
        image_count=image_count,
        unit=first.cell.terms.unit,
        unit_price=unit_price,
        unit_amount=unit_amount,
        conversion_rate=first.conversion,
        currency=contract.currency,
        price_id=f"{first.cell.amendment}/{first.fee.name}",
        workings=workings,
        days=days,
        models=segment.models,
    )


def _base(contract: Contract, segment: _Segment) -> RatedLine:
    """The monthly fee, prorated by the days in force of all the days of the calendar month."""
    fee = segment.pieces[0].fee.base_fee or _NOTHING
    days, of_days = segment.days.days, Period.month_of(segment.service.start).days
    exact = Fraction(fee) * Fraction(days, of_days)
    working = {"step": "prorate", "fee": plain(fee), "days": days, "of_days": of_days, "amount": plain(exact)}
    description = f"Monthly fee for {segment.subject}"
    return _line(contract, segment, "base", description, (working,), unit_amount=exact)


def _images(contract: Contract, segment: _Segment, month_paid: int) -> Iterator[RatedLine]:
    """The lines for a segment's images: zero, usage, or included and overage."""
    piece, images = segment.pieces[0], segment.images
    counted = (_count_working(segment),)
    schedule, included = piece.fee.schedule, piece.fee.included_images
    if schedule.kind == "zero":
        description = f"Images by {segment.subject}, no fee due"
        yield _line(contract, segment, "zero", description, counted, image_count=images, unit_price=_NOTHING)
        return
    free, first, last = split_included(piece.first, piece.first + images, included)
    if included:
        counted = ({**counted[0], "included": free, "included_a_month": included},)
    if free:
        description = f"Included images by {segment.subject}"
        yield _line(contract, segment, "included", description, counted, image_count=free, unit_price=_NOTHING)
    if last > first:
        priced = price_run(schedule, first, last, max(0, month_paid - included))
        kind, said = ("overage", "Images above those included, by") if included else ("usage", "Images by")
        yield _line(
            contract,
            segment,
            kind,
            f"{said} {segment.subject}",
            (*counted, *priced.workings),
            image_count=last - first,
            unit_price=priced.unit_price,
            unit_amount=priced.unit_amount,
        )


def _count_working(segment: _Segment) -> dict[str, Any]:
    """Days and images of the segment, and how many of them went beyond a cap."""
    days, first = segment.days, segment.pieces[0]
    working: dict[str, Any] = {"step": "count", "from": days.start.isoformat(), "until": days.end.isoformat()}
    working |= {"days": days.days, "images": segment.images}
    if cap := segment.pieces[-1].fee.cap:
        last = first.first_of_all + segment.images
        above = max(0, last - cap.images) - max(0, first.first_of_all - cap.images)
        working |= {"cap": cap.images, "cap_kind": cap.kind, "above_cap": above}
    return working


def _counted(contract: Contract, promise: Promise, tally: Tally, fees: list[RatedLine]) -> int:
    """What has come in for a promise: images of its scope, or minor units of the rounded fee lines of its scope.

    A line belongs to the promise when its days and all of its models do; a fence sees to it that no line straddles.
    """
    wanted = promise.commitment.models
    if promise.commitment.kind == "money":
        return sum(
            line.money.minor
            for line in fees
            if promise.days.start <= line.days.start < promise.days.end
            and (wanted is None or all(model in wanted for model in line.models))
        )
    return sum(
        tally[model][cell.index]
        for cell in contract.cells_of(promise.days)
        for fee in cell.terms.scope(promise.commitment)
        for model in fee.models
        if model in tally and (wanted is None or model in wanted)
    )


def _shortfall(contract: Contract, promise: Promise, tally: Tally, fees: list[RatedLine]) -> RatedLine | None:
    """What is missing from a promise whose period is over, or None when it was kept."""
    counted = _counted(contract, promise, tally, fees)
    missing = promise.target - counted
    if missing <= 0:
        return None
    commitment, images = promise.commitment, promise.commitment.kind == "images"
    last = contract.cells_of(promise.days)[-1]
    scope = last.terms.scope(commitment)
    unit, conversion, price = contract.currency, _ONE, None
    if images:
        price = commitment.shortfall_rate or next(fee.schedule.flat_rate for fee in scope) or _NOTHING
        unit = last.terms.unit
        conversion = last.terms.conversions[last.conversion_index].rate if last.terms.conversions else _ONE
        exact = missing * Fraction(price)
    else:
        exact = Fraction(missing, 10 ** exponent(contract.currency))
    return finish_line(
        LineKey("shortfall", commitment.name, promise.days, ""),
        f"Shortfall of {commitment.name}, {days_said(promise.days)}",
        image_count=missing if images else 0,
        unit=unit,
        unit_price=price,
        unit_amount=exact,
        conversion_rate=conversion,
        currency=contract.currency,
        price_id=f"{promise.amendment}/{commitment.name}",
        workings=_shortfall_workings(contract, promise, counted, price, exact),
        days=promise.days,
        models=tuple(
            model for fee in scope for model in fee.models if commitment.models is None or model in commitment.models
        ),
    )


def _shortfall_workings(
    contract: Contract, promise: Promise, counted: int, price: Decimal | None, exact: Fraction
) -> tuple[dict[str, Any], ...]:
    """Target, what came in, what is missing; and its price when the promise was in images."""
    commitment, missing = promise.commitment, promise.target - counted
    step: dict[str, Any] = {"step": "commitment", "from": promise.days.start.isoformat()}
    step |= {"until": promise.days.end.isoformat(), "days": promise.days.days}
    if price is not None:
        priced = {"step": "price", "images": missing, "price": plain(price), "amount": plain(exact)}
        return step | {"target": promise.target, "counted": counted, "missing": missing}, priced
    scale = 10 ** exponent(contract.currency)
    shown = {"target": promise.target, "counted": counted, "missing": missing}
    return (step | {"agreed": plain(commitment.quantity)} | {k: plain(Fraction(v, scale)) for k, v in shown.items()},)
