"""Closing a period: from daily counts and terms to the draft of one agreement's invoice.

The agreement's row is locked, so closes of one agreement take turns, and so is its account's, so that two agreements of
one account see each other's lines. A draft is made anew each time; an issued invoice stands, and what came in after it
waits for the next period's invoice as an adjustment. Many agreements are closed with as many statements as one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, selectinload

from core.actors import SYSTEM, Actor
from core.agreements.tables import Agreement
from core.audit.record import record
from core.database import among
from core.errors import Conflict, NotFound, PerimageError
from core.invoicing.drafts.bill import Bill, load_bills
from core.invoicing.drafts.draft import Rated, discard, write_drafts
from core.invoicing.drafts.estimates import assumed_before, unknown_in, with_estimates
from core.invoicing.drafts.extras import Extras, extra_lines, read_extras
from core.invoicing.drafts.invoice import Billed, DraftLine, difference, taxed
from core.invoicing.drafts.tax import TaxRate
from core.invoicing.life.stands import name_of
from core.invoicing.life.status import MOVES
from core.invoicing.tables import Invoice, InvoiceLine
from core.kill_points import kill_point
from core.period import Period
from core.rating.estimate import marked
from core.rating.rate import LineKey, owed
from core.registry.billing import treatment_of
from core.registry.tables import Account


@dataclass(frozen=True, slots=True)
class Closed:
    """The outcome of a close: the invoice that stands for the period, if any, whether this close wrote it, and then
    what it was written from.
    """

    invoice: Invoice | None
    wrote: bool
    bill: Bill | None = None


Outcome = Closed | Exception


def close(session: Session, agreement_id: int, period: Period, by: Actor = SYSTEM) -> Closed:
    """Writes, or writes anew, the draft of an agreement for a period that is over. Twice is once.

    A draft that breaks a safety bound is held; one that somebody released or approved stays so while its lines do.
    """
    outcome = close_many(session, [agreement_id], period, by)[agreement_id]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def close_many(
    session: Session, agreement_ids: Collection[int], period: Period, by: Actor = SYSTEM
) -> dict[int, Outcome]:
    """Closes many agreements, each as `close` does. What goes wrong while one is rated is its own outcome and leaves
    the others alone; an error of the database is everybody's, and raised.
    """
    move = MOVES["close"]
    by.demand(move.least, "close a period", system_may=move.system)
    found, now = _locked(session, agreement_ids)
    outcomes: dict[int, Outcome] = {
        id_: NotFound("agreement_not_found", f"there is no signed agreement with id {id_}")
        for id_ in agreement_ids
        if id_ not in found
    }
    for together in _of_different_accounts(found.values()):
        outcomes |= _close(session, together, period, now, by)
    return outcomes


def preview(session: Session, agreement_id: int, period: Period) -> list[DraftLine]:
    """The lines that closing now would write, without writing them; the period need not be over."""
    return preview_many(session, [agreement_id], period)[agreement_id]


def preview_many(session: Session, agreement_ids: Collection[int], period: Period) -> dict[int, list[DraftLine]]:
    """The same for many agreements with as many statements as for one. What is wrong with any of them is raised."""
    asked = select(Agreement, Account).join(Account, Account.id == Agreement.account_id)
    found = session.execute(asked.where(among(Agreement.id, agreement_ids)).order_by(Agreement.id))
    standing = _standing_invoices(session, agreement_ids, period)
    lines: dict[int, list[DraftLine]] = {id_: [] for id_ in agreement_ids}
    issued = {id_ for id_, invoice in standing.items() if invoice.status == "issued"}
    still = [(agreement, account) for agreement, account in found if agreement.id not in issued]
    for id_, outcome in _rated(session, still, period, standing):
        if isinstance(outcome, Exception):
            raise outcome
        lines[id_] = list(outcome.lines)
    return lines


def due_lines(session: Session, bill: Bill, period: Period, leaving_out: Invoice | None) -> list[DraftLine]:
    """What is owed up to the end of the period, minus what stands on other invoices."""
    id_ = bill.agreement.id
    bill = with_estimates(session, bill, period.end)
    billed = _billed(session, [id_], period, [leaving_out] if leaving_out else [])[id_]
    return _due(session, bill, period, billed, read_extras(session, [bill], period.end)[id_])


def agreements_to_close(session: Session, period: Period) -> list[int]:
    """The signed agreements that began before the period's end: usage may still arrive late for an old one."""
    began = select(Agreement.id).where(Agreement.status != "draft", Agreement.starts_on < period.end)
    return list(session.scalars(began.order_by(Agreement.id)))


def demand_that_it_is_over(session: Session, period: Period, zone: str) -> None:
    """Refuses a period whose last day in `zone` has not ended yet by the database's clock."""
    _demand_over(session.execute(select(func.now())).scalar_one(), period, zone)


def _demand_over(now: datetime, period: Period, zone: str) -> None:
    ends_at = period.bounds(zone)[1]
    if now < ends_at:
        raise Conflict(
            "period_not_over", f"{period.name} ends at {ends_at:%Y-%m-%d %H:%M} UTC: close it then, or preview it now"
        )


def _close(
    session: Session, agreements: Sequence[tuple[Agreement, Account]], period: Period, now: datetime, by: Actor
) -> dict[int, Outcome]:
    """Closes agreements of different accounts, which are locked: reads, rates, then writes, for all of them at once."""
    # Locked too: another run may be issuing one, and what it is decides whether we may write it anew.
    standing = _standing_invoices(session, [agreement.id for agreement, _ in agreements], period, lock=True)
    outcomes: dict[int, Outcome] = {}
    left = []
    for agreement, account in agreements:
        stands = standing.get(agreement.id)
        if stands and stands.status == "issued":
            outcomes[agreement.id] = Closed(stands, wrote=False)
            continue
        try:
            _demand_over(now, period, account.zone)
            left.append((agreement, account))
        except PerimageError as refusal:
            outcomes[agreement.id] = refusal
    rated: list[Rated] = []
    for id_, outcome in _rated(session, left, period, standing):
        if isinstance(outcome, Exception):
            outcomes[id_] = outcome
        else:
            rated.append(outcome)
    kill_point("after_rating_before_lines")
    due = []
    for one in rated:
        if one.lines or unknown_in(one.bill, period):
            due.append(one)
            continue
        if one.standing:
            discard(session, one.standing)
        outcomes[one.bill.agreement.id] = Closed(None, wrote=False)
    return outcomes | _write(session, due, period, now, by)


def _write(session: Session, due: Sequence[Rated], period: Period, now: datetime, by: Actor) -> dict[int, Outcome]:
    outcomes: dict[int, Outcome] = {}
    if not due:
        return outcomes
    for one, draft in zip(due, write_drafts(session, due, period, now, by), strict=True):
        if not one.lines and draft.status != "held":  # nothing to ask for, and somebody has said that this is right
            outcomes[one.bill.agreement.id] = Closed(None, wrote=False)
            continue
        if by.is_person:  # the clock's own closes are in the runs; a draft is nobody's invoice yet
            detail = {"period": period.name, "total_minor": draft.total_minor, "lines_hash": draft.lines_hash}
            subject = f"invoice {name_of(draft)}"
            record(session, draft.licensor_id, by, "invoice.closed", subject=subject, detail=detail)
        outcomes[one.bill.agreement.id] = Closed(draft, wrote=True, bill=one.bill)
    return outcomes


def _rated(
    session: Session,
    agreements: Sequence[tuple[Agreement, Account]],
    period: Period,
    standing: Mapping[int, Invoice],
) -> Iterator[tuple[int, Rated | Exception]]:
    """What each agreement owes beyond what was billed, or what went wrong there."""
    if not agreements:
        return
    loaded = load_bills(session, agreements, until=period.end)
    bills = [bill for bill in loaded.values() if isinstance(bill, Bill)]
    ids = [bill.agreement.id for bill in bills]
    billed = _billed(session, ids, period, standing.values())
    extras = read_extras(session, bills, period.end)
    for id_, bill in loaded.items():
        if isinstance(bill, PerimageError):
            yield id_, bill
            continue
        try:
            whole = with_estimates(session, bill, period.end)
            lines = _due(session, whole, period, billed[id_], extras[id_])
        except DBAPIError:
            raise
        except Exception as error:  # whatever is wrong with one agreement, the others are billed
            yield id_, error
        else:
            yield id_, Rated(whole, standing.get(id_), billed[id_], lines)


def _locked(session: Session, agreement_ids: Collection[int]) -> tuple[dict[int, tuple[Agreement, Account]], datetime]:
    """The signed ones of the agreements, kept from other closes, their accounts, and the time.

    Always in the same order, so that two who close some of the same wait for each other and not in a circle.
    """
    accounts = (
        select(Account, func.now())
        .where(Account.id.in_(select(Agreement.account_id).where(among(Agreement.id, agreement_ids))))
        .order_by(Account.id)
        .with_for_update(key_share=True, of=Account)
    )
    rows = session.execute(accounts).all()
    by_id = {account.id: account for account, _ in rows}
    agreements = (
        select(Agreement)
        .where(among(Agreement.id, agreement_ids), Agreement.status != "draft")
        .order_by(Agreement.id)
        .with_for_update(key_share=True)
    )
    found = {agreement.id: (agreement, by_id[agreement.account_id]) for agreement in session.scalars(agreements)}
    return found, rows[0][1] if rows else datetime.max.replace(tzinfo=UTC)


def _of_different_accounts(
    agreements: Iterable[tuple[Agreement, Account]],
) -> list[list[tuple[Agreement, Account]]]:
    """The agreements in rounds in each of which no account comes twice: the second sees what the first one bills."""
    rounds: list[list[tuple[Agreement, Account]]] = []
    seen: defaultdict[int, int] = defaultdict(int)
    for agreement, account in agreements:
        place = seen[account.id]
        seen[account.id] += 1
        if place == len(rounds):
            rounds.append([])
        rounds[place].append((agreement, account))
    return rounds


def _standing_invoices(
    session: Session, agreement_ids: Collection[int], period: Period, *, lock: bool = False
) -> dict[int, Invoice]:
    """Each period's own document, whether an invoice or, with a negative total, a credit note, by agreement."""
    asked = (
        select(Invoice)
        .where(
            among(Invoice.agreement_id, agreement_ids),
            Invoice.period_start == period.start,
            Invoice.corrects_invoice_id.is_(None),
            Invoice.status != "void",
        )
        .order_by(Invoice.id)
    )
    if lock:
        asked = asked.with_for_update().execution_options(populate_existing=True).options(selectinload(Invoice.lines))
    return {invoice.agreement_id: invoice for invoice in session.scalars(asked)}


def _due(
    session: Session, bill: Bill, period: Period, billed: Mapping[LineKey, Billed], extras: Extras
) -> list[DraftLine]:
    fees = owed(bill.contract, bill.counts, period.end)
    if bill.estimates is not None:
        fees = tuple(marked(fees, bill.estimates, assumed_before(session, bill, period), bill.counts))
    lines = [*fees, *extra_lines(bill, extras, period.end)]
    treatment = treatment_of(bill.account)
    due = difference(lines, billed, period, bill.account.currency)
    return taxed(due, billed, TaxRate(treatment.category, treatment.rate))


def _billed(
    session: Session, agreement_ids: Collection[int], period: Period, leaving_out: Iterable[Invoice]
) -> dict[int, dict[LineKey, Billed]]:
    """What stands on other invoices of each agreement for each key that is due by the period's end. A credit that was
    given on a line is not in it: what was owed stays billed, and the licensee need not pay it.
    """
    line = InvoiceLine
    rows = session.execute(
        select(
            *(Invoice.agreement_id, line.kind, line.subject, line.service_start, line.service_end, line.part),
            *(line.image_count, line.unit_amount, line.amount_minor, line.description, line.unit),
            *(line.tax_category, line.tax_rate),
        )
        .join(line, line.invoice_id == Invoice.id)
        .where(
            among(Invoice.agreement_id, agreement_ids),
            Invoice.status != "void",
            Invoice.corrects_invoice_id.is_(None),  # they bear credits alone
            ~among(Invoice.id, [invoice.id for invoice in leaving_out]),
            line.kind != "credit",
        )
        .order_by(line.id)
    )
    found: dict[int, dict[LineKey, list[Billed]]] = {id_: {} for id_ in agreement_ids}
    for agreement_id, kind, subject, start, end, part, *amounts in rows:
        key = LineKey(kind=kind, subject=subject, service=Period(start, end), part=part)
        if key.due_on <= period.end:
            found[agreement_id].setdefault(key, []).append(_one_billed(*amounts))
    return {id_: {key: _added_up(same) for key, same in by_key.items()} for id_, by_key in found.items()}


def _one_billed(  # noqa: PLR0917 - a row of the database
    image_count: int, unit_amount: Decimal, minor: int, description: str, unit: str, category: str, rate: Decimal
) -> Billed:
    tax = TaxRate(category, rate.normalize() + 0)
    return Billed(image_count, Fraction(unit_amount), minor, description, unit, tax)


def _added_up(same: Sequence[Billed]) -> Billed:
    """The lines of one key, in the order in which they were billed, as one."""
    if len(same) == 1:
        return same[0]
    return Billed(
        image_count=sum(one.image_count for one in same),
        unit_amount=sum((one.unit_amount for one in same), Fraction(0)),
        minor=sum(one.minor for one in same),
        description=same[0].description,
        unit=same[0].unit,
        tax=same[-1].tax,
    )
