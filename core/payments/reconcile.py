"""The daily comparison with the gateway: every difference is a row, from when it is found until it is seen no more.

Reading takes a while and no transaction; `compare` is pure; `keep` writes down what it found. Nothing is repaired on
the way but by reading an invoice again, which records payments that a lost webhook would have told of.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.actors import Actor
from core.errors import Conflict, InvalidInput
from core.invoicing.tables import Invoice
from core.ledger.balances import settled
from core.money import Money
from core.payments.gateway import INVOICE_MARK, LICENSOR_MARK, Gateway, RemoteInvoice, RemotePayment, to_gateway
from core.payments.outbox import is_paused, look_before_everything, want_refresh
from core.payments.tables import (
    GatewayDifference,
    GatewayInvoice,
    GatewayPause,
    GatewayReconciliation,
    GatewayStep,
    Payment,
)
from core.registry.tables import Licensor

LOOKS_BACK = timedelta(days=90)
HOLD_UP_NOTHING = ("send", "collect")  # an invoice whose mailing or charging was stopped can be compared all the same
KEEP_PAUSED = ("duplicate", "unknown_here")  # with one of these, resuming could ask for money twice


@dataclass(frozen=True, slots=True)
class Ours:
    """An invoice that we handed over, with what should be there."""

    invoice_id: int
    licensor: str
    number: str
    gateway_id: str | None
    status: str
    total: int
    left: int
    unfinished: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same on both sides: what it is about, and a sentence."""

    kind: str
    subject: str
    detail: str
    invoice_id: int | None = None
    gateway_id: str | None = None


@dataclass(frozen=True, slots=True)
class There:
    """Everything that was read at the gateway."""

    started_at: datetime
    invoices: Sequence[RemoteInvoice]
    payments: Sequence[RemotePayment]
    gone: Collection[str] = ()


def reconciled_since(session: Session, instant: datetime) -> bool:
    """Whether a comparison was begun since then, and came to its end."""
    asked = select(func.count()).where(GatewayReconciliation.started_at >= instant)
    return bool(session.scalar(asked))


def known_ids(session: Session, since: datetime) -> list[str]:
    """Invoices at the gateway that are to be read one by one, because they are older than the list and not settled."""
    asked = select(GatewayInvoice.gateway_id).join(Invoice, Invoice.id == GatewayInvoice.invoice_id)
    asked = asked.where(
        GatewayInvoice.gateway_id.is_not(None),
        Invoice.issued_at < since + timedelta(days=2),
        or_(GatewayInvoice.status.is_(None), GatewayInvoice.status.in_(("draft", "open"))),
    )
    return [gateway_id for gateway_id in session.scalars(asked) if gateway_id is not None]


def look(gateway: Gateway, started_at: datetime, older: Collection[str]) -> There:
    """Reads what the gateway has. Raises a `GatewayError`, and then nothing is compared."""
    invoices = {each.id: each for each in gateway.all_invoices(started_at - LOOKS_BACK)}
    payments = {each.id: each for each in gateway.all_payments(started_at - LOOKS_BACK)}
    gone = []
    for id_ in sorted(set(older) - invoices.keys()):
        found = gateway.invoice(id_)
        if found is None:
            gone.append(id_)
        else:
            invoices[id_] = found
            payments.update((each.id, each) for each in gateway.payments_of(id_))
    return There(started_at, list(invoices.values()), list(payments.values()), gone)


def ours(session: Session) -> list[Ours]:
    """Every invoice that was handed over, as it should stand at the gateway."""
    rows = session.execute(
        select(Invoice, GatewayInvoice.gateway_id, Licensor.slug)
        .join(GatewayInvoice, GatewayInvoice.invoice_id == Invoice.id)
        .join(Licensor, Licensor.id == Invoice.licensor_id)
        .order_by(Invoice.id)
    ).all()
    numbers: defaultdict[int, list[str]] = defaultdict(list)
    for invoice, _, _ in rows:
        numbers[invoice.licensor_id].append(invoice.number or "")
    left = {
        (of, number): what.left for of, all_ in numbers.items() for number, what in settled(session, of, all_).items()
    }
    states: defaultdict[int, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    open_steps = select(GatewayStep.invoice_id, GatewayStep.kind, GatewayStep.state, GatewayStep.error).where(
        GatewayStep.state.in_(("waiting", "stopped")), GatewayStep.invoice_id.is_not(None)
    )
    for invoice_id, kind, state, error in session.execute(open_steps):
        assert invoice_id is not None  # noqa: S101 - asked for so
        states[invoice_id][state].append(f"{kind}: {error}" if state == "stopped" else kind)
    return [
        Ours(
            invoice_id=invoice.id,
            licensor=licensor,
            number=invoice.number or "",
            gateway_id=gateway_id,
            status=invoice.status,
            total=_there(invoice.currency, invoice.total_minor),
            left=_there(invoice.currency, left.get((invoice.licensor_id, invoice.number or ""), 0)),
            unfinished=tuple(states[invoice.id]["waiting"]),
            stopped=tuple(states[invoice.id]["stopped"]),
        )
        for invoice, gateway_id, licensor in rows
    ]


def recorded_payments(session: Session) -> dict[str, int]:
    """The gateway's payments that are recorded here, by its id for them, as it writes amounts."""
    rows = session.execute(select(Payment.reference, Payment.currency, Payment.amount_minor).filter_by(method="stripe"))
    return {id_: _there(currency, minor) for id_, currency, minor in rows}


def compare(
    here: Sequence[Ours], there: There, recorded: Mapping[str, int], licensors: Collection[str]
) -> list[Difference]:
    """What is not the same. Invoices that still have steps to go are compared only in what a step cannot mend."""
    found: list[Difference] = []
    by_id = {each.id: each for each in there.invoices}
    paid: defaultdict[str, list[str]] = defaultdict(list)
    for payment in there.payments:
        if recorded.get(payment.id) != payment.amount:
            paid[payment.invoice_id].append(f"{payment.id} over {payment.amount}")
    marked: defaultdict[tuple[str, str], list[RemoteInvoice]] = defaultdict(list)
    for each in there.invoices:
        if each.live:
            marked[each.marks.get(LICENSOR_MARK, ""), each.marks.get(INVOICE_MARK, "")].append(each)
    for mine in here:
        found += _of_one(mine, by_id.get(mine.gateway_id or ""), paid, there)
        for said in mine.stopped:
            kind = said.partition(":")[0]
            if kind not in HOLD_UP_NOTHING or (mine.left and mine.status == "issued"):
                found.append(Difference("stopped", f"{mine.number}:{kind}", said, mine.invoice_id, mine.gateway_id))
    return found + _marked(here, marked, licensors)


def _of_one(  # noqa: PLR0911 - one for each way to differ
    mine: Ours, seen: RemoteInvoice | None, paid: Mapping[str, list[str]], there: There
) -> list[Difference]:
    def say(kind: str, detail: str) -> Difference:
        return Difference(kind, mine.number, detail, mine.invoice_id, mine.gateway_id)

    if mine.gateway_id is None:
        return []
    if seen is None:
        if mine.gateway_id in there.gone and mine.status != "void":
            return [say("missing_there", f"{mine.gateway_id} is not at Stripe any more")]
        return []
    if seen.id in paid:
        return [say("paid", f"Stripe has taken money that is not recorded here so: {', '.join(paid[seen.id])}")]
    if mine.unfinished or any(said.partition(":")[0] not in HOLD_UP_NOTHING for said in mine.stopped):
        return []
    if mine.status == "void":
        return [say("status", f"void here, {seen.status} at Stripe")] if seen.live else []
    if not seen.live:
        return [say("status", f"{mine.status} here, void at Stripe")]
    if seen.total != mine.total:
        return [say("total", f"{mine.total} here, {seen.total} at Stripe")]
    if seen.status == "paid" and mine.left:
        return [say("status", f"{mine.left} still open here, paid at Stripe")]
    if seen.status == "open" and seen.remaining != mine.left:
        return [say("remaining", f"{mine.left} still open here, Stripe asks for {seen.remaining}")]
    if seen.status == "draft":
        return [say("status", "finalised here, a draft at Stripe")]
    return []


def _marked(
    here: Sequence[Ours], marked: Mapping[tuple[str, str], Sequence[RemoteInvoice]], licensors: Collection[str]
) -> list[Difference]:
    """Invoices there that carry our mark: more than one for a number, or one that we know nothing of."""
    mine = {(each.licensor, each.number): each for each in here}
    found = []
    for (licensor, number), invoices in marked.items():
        ids = ", ".join(sorted(each.id for each in invoices))
        known = mine.get((licensor, number))
        if len(invoices) > 1:
            found.append(
                Difference("duplicate", number, f"{len(invoices)} invoices at Stripe: {ids}; void all but one there",
                           known.invoice_id if known else None)
            )  # fmt: skip
        elif known is None:
            if licensor in licensors:
                found.append(
                    Difference("unknown_here", number, f"{ids} at Stripe carries our mark, and we did not make it")
                )
        elif known.gateway_id is None:
            found.append(
                Difference(
                    "not_recorded", number, f"{ids} is at Stripe, and not recorded here yet", known.invoice_id, ids
                )
            )
        elif known.gateway_id != invoices[0].id:
            found.append(
                Difference("unknown_here", number, f"{ids} at Stripe, {known.gateway_id} here", known.invoice_id, ids)
            )
    return found


def reconcile(session: Session, before: Sequence[Ours], there: There) -> GatewayReconciliation:
    """Compares what was read with our side, as it was before the reading and as it is now: what changed in between is
    no difference. Writes differences down, ends those that are no more, and has invoices that differ read again."""
    recorded, licensors = recorded_payments(session), set(session.scalars(select(Licensor.slug)))
    was = {(each.kind, each.subject) for each in compare(before, there, recorded, licensors)}
    found = [each for each in compare(ours(session), there, recorded, licensors) if (each.kind, each.subject) in was]
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("gateway reconciliation", 0))))
    for each in found:
        row = insert(GatewayDifference).values(
            kind=each.kind,
            subject=each.subject,
            detail=each.detail[:1000],
            invoice_id=each.invoice_id,
            gateway_id=each.gateway_id,
        )
        session.execute(
            row.on_conflict_do_update(
                index_elements=["kind", "subject"],
                index_where=GatewayDifference.resolved_at.is_(None),
                set_={"seen_at": func.now(), "detail": row.excluded.detail},
            )
        )
        if each.invoice_id is not None:
            want_refresh(session, each.invoice_id)
    still = [(each.kind, each.subject) for each in found]
    over = update(GatewayDifference).where(GatewayDifference.resolved_at.is_(None))
    if still:
        over = over.where(tuple_(GatewayDifference.kind, GatewayDifference.subject).not_in(still))
    session.execute(over.values(resolved_at=func.now()))
    made = GatewayReconciliation(started_at=there.started_at, looked_at=len(there.invoices), differences=len(found))
    session.add(made)
    session.flush()
    return made


def open_differences(session: Session) -> list[GatewayDifference]:
    """What is not the same now, oldest first."""
    asked = select(GatewayDifference).where(GatewayDifference.resolved_at.is_(None)).order_by(GatewayDifference.id)
    return list(session.scalars(asked))


def pause(session: Session, actor: Actor, reason: str) -> GatewayPause:
    """Nothing is sent to the gateway any more: after a restore, or when something looks wrong. Reading goes on."""
    actor.demand("clerk", "pause the gateway outbox")
    return _say(session, actor, reason, paused=True)


def resume(session: Session, actor: Actor, reason: str, *, anyway: bool = False) -> GatewayPause:
    """Lets the outbox work again, once a comparison made after the pause shows nothing that could be asked for twice.

    Every unfinished step then looks before it does anything, for its row may be older than what it did.
    """
    actor.demand("approver", "resume the gateway outbox")
    if not is_paused(session):
        raise Conflict("not_paused", "the outbox is not paused")
    paused_at = session.scalar(select(GatewayPause.changed_at).order_by(GatewayPause.id.desc()).limit(1))
    assert paused_at is not None  # noqa: S101 - it is paused
    if not reconciled_since(session, paused_at) and not anyway:
        raise Conflict("not_reconciled", "compare with Stripe first: `perimage payments reconcile`")
    bad = [each for each in open_differences(session) if each.kind in KEEP_PAUSED]
    if bad and not anyway:
        raise Conflict("differences_open", f"{bad[0].subject}: {bad[0].detail} (one of {len(bad)}); settle these first")
    look_before_everything(session)
    return _say(session, actor, reason, paused=False)


def _say(session: Session, actor: Actor, reason: str, *, paused: bool) -> GatewayPause:
    if not reason.strip():
        raise InvalidInput("no_reason", "say why")
    row = GatewayPause(paused=paused, reason=reason.strip()[:500], actor=actor.name)
    session.add(row)
    session.flush()
    return row


def _there(currency: str, minor: int) -> int:
    """As the gateway writes it, as far as it can; what it cannot hold was never handed over."""
    try:
        return to_gateway(Money(currency, minor))
    except InvalidInput:
        return minor
