"""The fees of one service period: a subject's images cut where its price changes, each run rated by its schedule."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.agreements.terms import Fee
from core.money import plain
from core.period import Period
from core.rating.contract import Cell, Contract, Tally
from core.rating.line import LineKey, RatedLine, days_said, finish_line, rate_digits, times
from core.rating.schedule import price_run, split_included

_ONE, _NOTHING = Decimal(1), Decimal(0)


@dataclass(slots=True)  # not frozen: there are many, and a frozen one takes twice as long to make
class Piece:
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


@dataclass(slots=True)
class _Segment:
    """A run of pieces at one price."""

    service: Period
    subject: str
    pieces: tuple[Piece, ...]
    days: Period
    images: int
    models: tuple[str, ...]


def _segment(service: Period, subject: str, pieces: list[Piece]) -> _Segment:
    first, last = pieces[0], pieces[-1]
    if first is last:
        return _Segment(service, subject, (first,), first.cell.days, first.images, first.models)
    models = tuple(dict.fromkeys(model for piece in pieces for model in piece.models))
    days = Period(first.cell.days.start, last.cell.days.end)
    return _Segment(service, subject, tuple(pieces), days, sum(piece.images for piece in pieces), models)


def month_lines(contract: Contract, service: Period, cells: tuple[Cell, ...], tally: Tally) -> Iterator[RatedLine]:
    """The fee lines of one service period."""
    for subject, pieces in pieces_of(contract, cells, tally).items():
        paid = sum([piece.images for piece in pieces if piece.fee.schedule.kind != "zero"])
        if [piece for piece in pieces if piece.fee.base_fee is not None]:
            for segment in _segments(service, subject, pieces, _base_price):
                if segment.pieces[0].fee.base_fee is not None:
                    yield _base(contract, segment)
        for segment in _segments(service, subject, pieces, _image_price):
            if segment.images:
                yield from _images(contract, segment, paid)


def pieces_of(contract: Contract, cells: tuple[Cell, ...], tally: Tally) -> dict[str, list[Piece]]:
    """Each subject's images, cell by cell, numbered through the month."""
    found: dict[str, list[Piece]] = {}
    reached: dict[str, tuple[int, int]] = {}
    for cell in cells:
        for subject, fee, models in contract.fees_of_subjects(cell.amendment):
            images = sum([tally[model][cell.index] for model in models if model in tally])
            first, first_of_all = reached.get(subject, (0, 0))
            found.setdefault(subject, []).append(Piece(cell, fee, models, images, first, first_of_all))
            priced = 0 if fee.schedule.kind == "zero" else images
            reached[subject] = first + priced, first_of_all + images
    return found


def _segments(
    service: Period, subject: str, pieces: list[Piece], price: Callable[[Piece], object]
) -> Iterator[_Segment]:
    """Cuts a subject's month where its price changes, where it was not covered, and at the fence of a commitment."""
    run = pieces[:1]
    for piece in pieces[1:]:
        adjoining = run[-1].cell.days.end == piece.cell.days.start and not piece.cell.fenced
        if not (adjoining and price(run[-1]) == price(piece)):
            yield _segment(service, subject, run)
            run = []
        run.append(piece)
    yield _segment(service, subject, run)


def _image_price(piece: Piece) -> object:
    return piece.cell.terms.unit, piece.conversion, piece.fee.schedule.price, piece.fee.included_images


def _base_price(piece: Piece) -> object:
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
    exact = times(Fraction(days, of_days), fee)
    working = {"step": "prorate", "fee": rate_digits(fee), "days": days, "of_days": of_days, "amount": plain(exact)}
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
    working: dict[str, Any] = {
        "step": "count",
        "from": days.start.isoformat(),
        "until": days.end.isoformat(),
        "days": days.days,
        "images": segment.images,
    }
    if cap := segment.pieces[-1].fee.cap:
        last = first.first_of_all + segment.images
        above = max(0, last - cap.images) - max(0, first.first_of_all - cap.images)
        working |= {"cap": cap.images, "cap_kind": cap.kind, "above_cap": above}
    return working
