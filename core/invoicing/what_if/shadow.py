"""Shadow billing: the usage that was recorded, under other terms, line by line against what was or would be billed.

What a licensee owes under its own terms is what its invoices ask for already (`billed`) and what is still to come
(`due`): the two add up to what rating says today. The same counts under the offered terms are `offered`. With the
agreement's own terms every difference is zero.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from core.agreements.queries import agreement_named, today_in
from core.agreements.tables import Agreement, AgreementModel
from core.agreements.terms import terms_document
from core.errors import InvalidInput, NotFound
from core.invoicing.drafts.bill import load_bill
from core.invoicing.tables import Invoice, InvoiceLine
from core.money import Money, plain
from core.period import Period
from core.rating.line import FEES, KINDS, LineKey, days_said
from core.rating.offers import Offer
from core.rating.quote import Quote, demand_one_currency, falls_in, month_of, quote_usage
from core.rating.rate import Contract, Counts, RatedLine, owed, progress
from core.registry.tables import Account, Licensee, Model
from core.usage.counts.counting import Cell, Timetable, count_images
from core.usage.tables import DailyCount

MOST_MONTHS = 400


@dataclass(frozen=True, slots=True)
class ShadowLine:
    """One kind and subject of one service period on both sides. `invoices` are those that bill it already."""

    month: str
    service: Period
    kind: str
    subject: str
    images: int
    offered_images: int
    billed: Money
    due: Money
    offered: Money
    invoices: tuple[str, ...]

    @property
    def difference(self) -> Money:
        return self.offered - self.billed - self.due


@dataclass(frozen=True, slots=True)
class Shadow:
    """The comparison over `days`: the offered terms as a quote, and the lines of both sides by month."""

    licensee: str
    days: Period
    agreements: tuple[str, ...]
    quote: Quote
    lines: tuple[ShadowLine, ...]

    def sums(self, month: str | None = None) -> tuple[Money, Money, Money, Money]:
        """Billed, due, offered and the difference, of one month or of all."""
        lines = [line for line in self.lines if month in (None, line.month)]
        nothing = Money(self.quote.currency, 0)
        return (
            sum((line.billed for line in lines), start=nothing),
            sum((line.due for line in lines), start=nothing),
            sum((line.offered for line in lines), start=nothing),
            sum((line.difference for line in lines), start=nothing),
        )

    @property
    def months(self) -> tuple[str, ...]:
        return tuple(month.name for month in self.days.months())


@dataclass(slots=True)
class _Row:
    images: int = 0
    offered_images: int = 0
    billed: int = 0
    owed: int = 0
    offered: int = 0
    invoices: tuple[str, ...] = ()


_Key = tuple[Period, str, str]


def months_from_to(first: str, last: str) -> Period:
    """The days of the months from the one to the other, both included: "2026-01", "2026-10"."""
    start, end = Period.month(first), Period.month(last)
    if end < start:
        raise InvalidInput("invalid_period", f"{last} comes before {first}: write the earlier month first")
    days = Period(start.start, end.end)
    if sum(1 for _ in days.months()) > MOST_MONTHS:
        raise InvalidInput("invalid_period", f"at most {MOST_MONTHS} months of usage can be looked at together")
    return days


def licensee_named(session: Session, slug: str) -> Licensee:
    """The licensee with this slug."""
    found = session.scalar(select(Licensee).where(Licensee.slug == slug))
    if found is None:
        raise NotFound("unknown_licensee", f"there is no licensee called {slug}")
    return found


def shadow(
    session: Session,
    licensee: Licensee,
    days: Period,
    offers: Sequence[Offer],
    *,
    count_as: Mapping[str, str] | None = None,
    instead_of: str | None = None,
) -> Shadow:
    """The licensee's recorded usage of `days` under the offers, against what its agreements ask for.

    `count_as` says which offered model recorded images count as: {"sd-1": "meridian-3"}; several may count as one.
    `instead_of` names the agreement that the offers would replace; without it, they are held against every signed
    agreement that covers the same models. Usage since the offer's first day moves its tiers and commitments; only
    service periods that end in `days` are shown. Offers of a scenario, which has dates of its own, are moved to `days`.
    """
    demand_one_currency(offers)
    renamed = dict(count_as or {})
    notes: list[str] = []
    placed = [_placed(offer, days, notes, moves=instead_of is None) for offer in offers]
    usage = {
        offer.name: _counts(session, licensee, offer, renamed=renamed, until=days.end, notes=notes) for offer in placed
    }
    covered = {model for offer in placed for _, terms in offer.versions for model in terms.models}
    recorded = {model for model in covered if model not in renamed.values()} | set(renamed)
    instead_of = _replaced(session, licensee, instead_of)
    own = _own_agreements(session, licensee, days, recorded, instead_of)
    rows: defaultdict[_Key, _Row] = defaultdict(_Row)
    for agreement in own:
        only = recorded if instead_of is None else None
        _add_own(session, agreement, days, rows, only=only, renamed=renamed)
    for offer in placed:
        contract = offer.contract
        for line in _falling_in(days, owed(contract, usage[offer.name], days.end)):
            row = rows[line.key.service, line.key.kind, line.key.subject]
            row.offered += line.money.minor
            row.offered_images += line.image_count
        notes += [f"{offer.name}: {said}" for said in _unfinished(contract, usage[offer.name], days.end)]
    quoted = quote_usage(placed, usage, days.end, since=days.start)
    currency = placed[0].terms.currency
    accounts = {session.get_one(Account, agreement.account_id) for agreement in own}
    if {account.currency for account in accounts} - {currency}:
        raise InvalidInput(
            "several_currencies",
            f"these terms are invoiced in {currency}, and what is owed today is not: they cannot be compared",
        )
    notes += _unclosed(session, days, accounts)
    if not own:
        notes.append("No signed agreement covers these models, so nothing was or would be billed for them.")
    return Shadow(
        licensee=licensee.slug,
        days=days,
        agreements=tuple(agreement.slug for agreement in own),
        quote=replace(quoted, notes=(*quoted.notes, *notes)),
        lines=tuple(_line(key, row, currency) for key, row in sorted(rows.items(), key=lambda item: _in_order(*item))),
    )


def _line(key: _Key, row: _Row, currency: str) -> ShadowLine:
    service, kind, subject = key
    return ShadowLine(
        month=month_of(LineKey(kind, subject, service, "")),
        service=service,
        kind=kind,
        subject=subject,
        images=row.images,
        offered_images=row.offered_images,
        billed=Money(currency, row.billed),
        due=Money(currency, row.owed - row.billed),
        offered=Money(currency, row.offered),
        invoices=row.invoices,
    )


def _in_order(key: _Key, _row: _Row) -> tuple[object, ...]:
    service, kind, subject = key
    due_on = service.start if kind == "prepayment" else service.end
    return due_on, KINDS.index(kind) >= len(FEES), subject, kind, service.start


def _falling_in(days: Period, lines: Sequence[RatedLine]) -> list[RatedLine]:
    return [line for line in lines if falls_in(line.key, days)]


def _add_own(
    session: Session,
    agreement: Agreement,
    days: Period,
    rows: dict[_Key, _Row],
    *,
    only: set[str] | None,
    renamed: Mapping[str, str],
) -> None:
    """What the agreement asks for: owed today by its own terms, and billed on every invoice that stands."""
    bill = load_bill(session, agreement, until=days.end)
    wanted: dict[LineKey, bool] = {}
    for line in _falling_in(days, owed(bill.contract, bill.counts, days.end)):
        wanted[line.key] = only is None or not line.models or any(model in only for model in line.models)
        if wanted[line.key]:
            row = rows[line.key.service, line.key.kind, renamed.get(line.key.subject, line.key.subject)]
            row.owed += line.money.minor
            row.images += line.image_count
    standing = session.execute(
        select(InvoiceLine, Invoice.number)
        .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .where(
            Invoice.agreement_id == agreement.id,
            Invoice.status != "void",
            InvoiceLine.kind.in_(KINDS),  # interest, agreed amounts and credits belong to no terms
            InvoiceLine.service_end > days.start,
            InvoiceLine.service_start < days.end,
        )
        .order_by(InvoiceLine.id)
    )
    for billed, number in standing:
        service = Period(billed.service_start, billed.service_end)
        key = LineKey(kind=billed.kind, subject=billed.subject, service=service, part=billed.part)
        if falls_in(key, days) and wanted.get(key, only is None or billed.subject in only):
            row = rows[service, billed.kind, renamed.get(billed.subject, billed.subject)]
            row.billed += billed.amount_minor
            row.invoices = tuple(dict.fromkeys((*row.invoices, number or "draft")))


def _replaced(session: Session, licensee: Licensee, slug: str | None) -> str | None:
    """The agreement to be replaced; a draft replaces nothing of its own, but what is signed for the same models."""
    if slug is None:
        return None
    agreement = agreement_named(session, slug)
    if session.get_one(Account, agreement.account_id).licensee_id != licensee.id:
        raise InvalidInput("not_their_agreement", f"agreement {slug} is not one of {licensee.slug}: name one of theirs")
    return None if agreement.status == "draft" else slug


def _own_agreements(
    session: Session, licensee: Licensee, days: Period, models: set[str], instead_of: str | None
) -> list[Agreement]:
    """The signed agreements that the offers are held against."""
    asked = (
        select(Agreement)
        .join(Account, Account.id == Agreement.account_id)
        .where(Account.licensee_id == licensee.id, Agreement.status != "draft", Agreement.starts_on < days.end)
        .order_by(Agreement.id)
    )
    if instead_of is not None:
        return list(session.scalars(asked.where(Agreement.slug == instead_of)))
    covering = (
        select(AgreementModel.agreement_id)
        .join(Model, Model.id == AgreementModel.model_id)
        .where(Model.slug.in_(models), AgreementModel.days.op("&&")(func.daterange(days.start, days.end)))
    )
    return list(session.scalars(asked.where(Agreement.id.in_(covering))))


def _counts(
    session: Session, licensee: Licensee, offer: Offer, *, renamed: Mapping[str, str], until: date, notes: list[str]
) -> dict[tuple[str, date], int]:
    """The licensee's images by (offered model, day), from the offer's first day; what an image is, the offer says."""
    offered = {model for _, terms in offer.versions for model in terms.models}
    as_offered = {model: model for model in offered if model not in renamed}
    as_offered |= {recorded: model for recorded, model in renamed.items() if model in offered}
    days = Period(offer.term.start, min(until, offer.term.end)) if offer.term.start < until else None
    cells = usage_cells(session, licensee.id, as_offered, days) if days else []
    counts = count_images([replace(cell, model=as_offered[cell.model]) for cell in cells], Timetable(offer.versions))
    idle = sorted(offered - {model for model, _ in counts})
    if idle:
        named = ", ".join(idle[:5]) + (f" and {len(idle) - 5} more" if len(idle) > 5 else "")
        notes.append(
            f"{offer.name}: no image of {named} was counted for {licensee.slug} in these days; if the platform ran "
            "another model, say which one counts as it."
        )
    return counts


def usage_cells(session: Session, licensee_id: int, models: Collection[str], days: Period) -> list[Cell]:
    """What was made with some models on some days, whoever's agreement covers them."""
    via = aliased(Model)
    groups = (Model.slug, DailyCount.day, via.slug, DailyCount.plan, DailyCount.role, DailyCount.output)
    asked = (
        select(*groups, func.sum(DailyCount.image_count))
        .join_from(DailyCount, Model, Model.id == DailyCount.model_id)
        .join(via, via.id == DailyCount.via_model_id)
        .where(
            DailyCount.licensee_id == licensee_id,
            Model.slug.in_(models),
            DailyCount.day >= days.start,
            DailyCount.day < days.end,
        )
        .group_by(*groups)
        .order_by(*groups)
    )
    return [
        Cell(model, day, through, plan, role, output, int(images))
        for model, day, through, plan, role, output, images in session.execute(asked)
    ]


def _placed(offer: Offer, days: Period, notes: list[str], *, moves: bool) -> Offer:
    """The offer itself when its term holds the days; else the same terms from the first of the days on.

    An agreement has its days for good, and so have terms that name days themselves.
    """
    if offer.term.start <= days.start and days.end <= offer.term.end:
        return offer
    overlap = offer.term.overlap(days)
    dated = len(offer.versions) > 1 or offer.ended_on is not None or _has_dates(terms_document(offer.terms))
    if dated or not moves:
        if overlap is None:
            said = (
                f"{offer.name} runs from {offer.term.start} to {offer.term.end} (exclusive), outside {days_said(days)}"
            )
            raise InvalidInput("usage_outside_term", f"{said}, and its dates cannot be moved: choose other months")
        notes.append(
            f"{offer.name}: only {days_said(overlap)} lie in its term; usage of other days costs nothing here."
        )
        return offer
    moved = Period(days.start, max(days.end, _as_long(offer.term, days.start)))
    notes.append(f"{offer.name}: its terms are taken as if they had begun on {days.start}, not on {offer.term.start}.")
    return replace(offer, term=moved, versions=((moved.start, offer.terms),))


def _as_long(term: Period, start: date) -> date:
    """The end of a term as long as this one, from another day on: in whole months where it is in whole months."""
    if term.start.day == term.end.day == start.day == 1:
        months = (term.end.year - term.start.year) * 12 + term.end.month - term.start.month
        year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
        return date(year, month + 1, 1)
    return start + (term.end - term.start)


def _has_dates(document: Any) -> bool:
    if isinstance(document, dict):
        return any(key.endswith("_on") or _has_dates(value) for key, value in document.items())
    return isinstance(document, list) and any(_has_dates(value) for value in document)


def _unfinished(contract: Contract, counts: Counts, until: date) -> list[str]:
    """Commitments that are still running at the end of the days: their shortfall is not in the figures yet."""
    if not contract.in_force.start < until < contract.in_force.end:
        return []
    return [
        f"the commitment {state.name!r} runs on to {state.period.end} (exclusive), so no shortfall shows here yet: "
        f"{plain(state.counted)} of {plain(state.target)} {state.unit} so far; at this pace "
        f"{plain(state.expected_shortfall)} will be missing."
        for state in progress(contract, counts, until)
        if state.period.end > until
    ]


def _unclosed(session: Session, days: Period, accounts: set[Account]) -> list[str]:
    zones = sorted({account.zone for account in accounts})
    today = min((today_in(session, zone) for zone in zones), default=None)
    if today is not None and today < days.end:
        return [f"{days_said(days)} is not over yet: these are the counts so far."]
    return []
