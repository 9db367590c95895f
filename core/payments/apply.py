"""Payments that came in, and what they settle: recorded, applied, released, refunded, each with its ledger entry.

What an invoice still owes is the sum of its receivable; what is left of a payment or a credit note stands on
`unapplied`. All verbs of one account take turns (`hold_payments_of`), and the database checks every sum once more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.actors import Actor
from core.audit.record import record
from core.errors import Conflict, InvalidInput, NotFound
from core.invoicing.tables import Invoice
from core.ledger.balances import open_items, settled, unapplied
from core.ledger.post import post, posted
from core.ledger.posting import credit_applied, payment_received, refund_paid
from core.money import Money
from core.payments.tables import METHODS, GatewayInvoice, Payment, PaymentAllocation, PaymentRefund
from core.period import day_of
from core.registry.tables import Account, Licensee, Licensor

MAX_REFERENCE, MAX_TEXT = 200, 500


@dataclass(frozen=True, slots=True)
class Source:
    """Money or credit to settle invoices with: a payment, or a credit note with something left."""

    licensor_id: int
    licensee_id: int
    item: str
    left: Money
    payment_id: int | None = None
    credit_note_id: int | None = None


def hold_account(session: Session, licensor_id: int, licensee_id: int, numbers: Sequence[str] = ()) -> None:
    """Takes the turn of changing this account's payments until the transaction ends, and locks invoices that are to be
    settled: before the audit log, as every verb does, so that two never wait for each other in a circle."""
    session.execute(select(func.hold_payments_of(licensor_id, licensee_id)))
    if numbers:
        locked = select(Invoice.id).where(Invoice.licensor_id == licensor_id, Invoice.number.in_(numbers))
        session.execute(locked.order_by(Invoice.id).with_for_update())


def record_payment(
    session: Session,
    actor: Actor,
    *,
    licensor_id: int,
    licensee_id: int,
    amount: Money,
    received_on: date,
    method: str,
    reference: str,
    payer: str = "",
    note: str = "",
    charges: Money | None = None,
    withheld: Money | None = None,
) -> Payment:
    """Money that came in. `amount` is what counts for it; `charges` and `withheld` tax are parts of it that were kept
    back on the way. The same reference with the same content is the payment that is there already."""
    actor.demand("clerk", "record a payment", system_may=True)
    nothing = Money(amount.currency, 0)
    charges, withheld = charges or nothing, withheld or nothing
    received = amount - charges - withheld
    if amount.minor <= 0 or min(charges.minor, withheld.minor, received.minor) < 0:
        raise InvalidInput("bad_amount", "a payment is more than nothing, and no more of it is kept back than came")
    if method not in METHODS:
        raise InvalidInput("unknown_method", f"a payment comes by {', '.join(METHODS)}, not {method!r}")
    reference = _line(reference, "reference", MAX_REFERENCE)
    if not reference:
        raise InvalidInput("no_reference", "say which payment it is: a reference such as the bank's, unique for each")
    payer, note = _line(payer, "payer", MAX_TEXT), _line(note, "note", MAX_TEXT)
    hold_account(session, licensor_id, licensee_id)
    content = {
        "licensee_id": licensee_id,
        "currency": amount.currency,
        "amount_minor": amount.minor,
        "charges_minor": charges.minor,
        "withheld_minor": withheld.minor,
        "received_on": received_on,
    }
    known = session.scalars(
        select(Payment).filter_by(licensor_id=licensor_id, method=method, reference=reference)
    ).one_or_none()
    if known is not None:
        other = [name for name, value in content.items() if getattr(known, name) != value]
        if other:
            raise Conflict("reference_reused", f"payment {reference} was recorded already, with another {other[0]}")
        return known
    payment = Payment(
        licensor_id=licensor_id, method=method, reference=reference, payer=payer, note=note, actor=actor.name, **content
    )
    session.add(payment)
    session.flush()
    entry = payment_received(f"{method}:{reference}", received, {}, charges=charges, withheld=withheld, on=received_on)
    post(session, licensor_id, licensee_id, entry)
    said = {"amount": str(amount), "received_on": received_on.isoformat(), "method": method}
    record(session, licensor_id, actor, "payment_recorded", f"payment:{method}:{reference}", said)
    return payment


def source_of_payment(session: Session, payment_id: int) -> Source:
    """A payment with what is left of it. Raises `NotFound`."""
    payment = session.get(Payment, payment_id)
    if payment is None:
        raise NotFound("payment_not_found", f"there is no payment {payment_id}")
    left = unapplied(session, payment.licensor_id, [payment.item])[payment.item]
    return Source(
        payment.licensor_id, payment.licensee_id, payment.item, Money(payment.currency, left), payment_id=payment.id
    )


def sources(session: Session, licensor_id: int, licensee_id: int) -> list[Source]:
    """Every payment and credit note of the account with something left, oldest first, credit notes before payments."""
    left = {
        item.item: -item.money
        for item in open_items(session, licensor_id, licensee_id)
        if item.book == "unapplied" and item.money.minor < 0
    }
    if not left:
        return []
    of_account = {"licensor_id": licensor_id, "licensee_id": licensee_id}
    notes = session.scalars(
        select(Invoice).filter_by(**of_account, kind="credit_note").where(Invoice.number.in_(left)).order_by(Invoice.id)
    )
    payments = session.scalars(
        select(Payment).filter_by(**of_account).order_by(Payment.received_on, Payment.id)
    )  # few have something left, and `item` is no column
    found = [
        Source(licensor_id, licensee_id, note.number or "", left[note.number or ""], credit_note_id=note.id)
        for note in notes
    ]
    found += [
        Source(licensor_id, licensee_id, payment.item, left[payment.item], payment_id=payment.id)
        for payment in payments
        if payment.item in left
    ]
    return found


def allocate(
    session: Session, actor: Actor, source: Source, number: str, amount: Money, *, reason: str = ""
) -> PaymentAllocation:
    """Settles a part of an invoice, or all of it, with what is left of a payment or credit note."""
    actor.demand("clerk", "apply a payment", system_may=True)
    hold_account(session, source.licensor_id, source.licensee_id)
    invoice = _payable(session, source, number)
    left = settled(session, source.licensor_id, [number])[number].left
    if amount.minor < left and _asked_elsewhere(session, source, invoice):
        whole = Money(invoice.currency, left)
        raise Conflict(
            "asked_by_gateway",
            f"Stripe asks for the whole of {number} and cannot be told of a part: settle all {whole} that is left, or "
            "take the part off with a credit note, which Stripe is told of",
        )
    made = _allocate(session, actor, source, invoice, amount, reason=_line(reason, "reason", MAX_TEXT))
    said = {"from": source.item, "to": number, "amount": str(amount)}
    record(session, source.licensor_id, actor, "payment_applied", f"apply:{made.id}", said)
    return made


def apply_oldest_first(
    session: Session, actor: Actor, licensor_id: int, licensee_id: int, only: Source | None = None
) -> list[PaymentAllocation]:
    """Settles open invoices with what is left, the one that was due first before the next, whole cents of each.

    Of an invoice that the gateway asks for, what it does not know of settles all or nothing.
    """
    actor.demand("clerk", "apply payments", system_may=True)
    hold_account(session, licensor_id, licensee_id)
    usable = sources(session, licensor_id, licensee_id)
    if only is not None:
        usable = [source for source in usable if source.item == only.item]
    if not usable:
        return []
    invoices = session.scalars(
        select(Invoice)
        .filter_by(licensor_id=licensor_id, licensee_id=licensee_id, status="issued", kind="regular")
        .order_by(Invoice.due_on, Invoice.id)
        .with_for_update()
    ).all()
    owed = {number: what.left for number, what in settled(session, licensor_id, _numbers(invoices)).items()}
    made = []
    for invoice in invoices:
        at_hand = sum(source.left.minor for source in usable if source.left.currency == invoice.currency)
        in_part = at_hand < owed[invoice.number or ""]
        for n, source in enumerate(usable):
            if in_part and _asked_elsewhere(session, source, invoice):
                continue
            amount = min(owed[invoice.number or ""], source.left.minor)
            if amount > 0 and source.left.currency == invoice.currency:
                money = Money(invoice.currency, amount)
                made.append(_allocate(session, actor, source, invoice, money, reason="oldest first"))
                owed[invoice.number or ""] -= amount
                usable[n] = replace(source, left=source.left - money)
    if made:
        said = {"applications": [row.id for row in made], "total_minor": sum(row.amount_minor for row in made)}
        licensee = session.get_one(Licensee, licensee_id).slug
        record(session, licensor_id, actor, "payments_applied", f"account:{licensee}", said)
    return made


def release(session: Session, actor: Actor, allocation_id: int, reason: str) -> PaymentAllocation:
    """Undoes an allocation: the invoice is open again by as much, and the money is there to be used."""
    actor.demand("clerk", "release a payment", system_may=True)
    undone = session.get(PaymentAllocation, allocation_id)
    if undone is None or undone.amount_minor < 0:
        raise NotFound("application_not_found", f"there is no application {allocation_id}")
    reason = _line(reason, "reason", MAX_TEXT)
    if not reason:
        raise InvalidInput("no_reason", "say why it is released")
    invoice = session.get_one(Invoice, undone.invoice_id)
    hold_account(session, invoice.licensor_id, invoice.licensee_id)
    if session.scalar(select(PaymentAllocation.id).where(PaymentAllocation.reverses_id == allocation_id)):
        raise Conflict("released_already", f"application {allocation_id} was released already")
    row = PaymentAllocation(
        payment_id=undone.payment_id,
        credit_note_id=undone.credit_note_id,
        invoice_id=undone.invoice_id,
        amount_minor=-undone.amount_minor,
        reverses_id=undone.id,
        actor=actor.name,
        reason=reason,
    )
    session.add(row)
    session.flush()
    item, number = _item_of(session, undone), invoice.number or ""
    amount = Money(invoice.currency, row.amount_minor)
    on = posted(session, invoice.licensor_id, f"apply:{undone.id}").on  # as if it had never been settled so
    post(session, invoice.licensor_id, invoice.licensee_id, credit_applied(str(row.id), item, number, amount, on))
    said = {"from": item, "to": number, "amount": str(-amount), "reason": reason}
    record(session, invoice.licensor_id, actor, "payment_released", f"apply:{undone.id}", said)
    return row


def refund(
    session: Session, actor: Actor, source: Source, amount: Money, *, on: date, reference: str, reason: str
) -> PaymentRefund:
    """Money that went back: what was not applied. What was applied has to be released first."""
    actor.demand("approver", "refund a payment")
    reference, reason = _line(reference, "reference", MAX_REFERENCE), _line(reason, "reason", MAX_TEXT)
    if not reference or not reason:
        raise InvalidInput("no_reason", "a refund takes a reference of its own and a reason")
    hold_account(session, source.licensor_id, source.licensee_id)
    known = session.scalars(
        select(PaymentRefund).filter_by(licensor_id=source.licensor_id, reference=reference)
    ).one_or_none()
    if known is not None:
        same = (known.payment_id, known.credit_note_id, known.amount_minor, known.refunded_on)
        if same == (source.payment_id, source.credit_note_id, amount.minor, on):
            return known
        raise Conflict("reference_reused", f"refund {reference} was recorded already, with another content")
    left = unapplied(session, source.licensor_id, [source.item])[source.item]
    _demand_enough(source, amount, left)
    row = PaymentRefund(
        licensor_id=source.licensor_id,
        payment_id=source.payment_id,
        credit_note_id=source.credit_note_id,
        amount_minor=amount.minor,
        refunded_on=on,
        reference=reference,
        actor=actor.name,
        reason=reason,
    )
    session.add(row)
    session.flush()
    post(session, source.licensor_id, source.licensee_id, refund_paid(str(row.id), source.item, amount, on))
    said = {"from": source.item, "amount": str(amount), "on": on.isoformat(), "reason": reason}
    record(session, source.licensor_id, actor, "payment_refunded", f"refund:{reference}", said)
    return row


def _allocate(
    session: Session, actor: Actor, source: Source, invoice: Invoice, amount: Money, *, reason: str
) -> PaymentAllocation:
    number = invoice.number or ""
    _demand_enough(source, amount, unapplied(session, source.licensor_id, [source.item])[source.item])
    still_open = settled(session, source.licensor_id, [number])[number].left
    if amount.minor > still_open:
        raise Conflict("more_than_owed", f"invoice {number} is open for {Money(invoice.currency, still_open)} only")
    row = PaymentAllocation(
        payment_id=source.payment_id,
        credit_note_id=source.credit_note_id,
        invoice_id=invoice.id,
        amount_minor=amount.minor,
        actor=actor.name,
        reason=reason,
    )
    session.add(row)
    session.flush()
    entry = credit_applied(str(row.id), source.item, number, amount, _settled_on(session, source, invoice))
    post(session, source.licensor_id, source.licensee_id, entry)
    return row


def _asked_elsewhere(session: Session, source: Source, invoice: Invoice) -> bool:
    """Whether the gateway still asks for an invoice and does not know of this money: it would be paid twice."""
    at_gateway = session.get(GatewayInvoice, invoice.id)
    if at_gateway is None or at_gateway.status not in (None, "draft", "open"):
        return False
    if source.payment_id is not None:
        return session.get_one(Payment, source.payment_id).method != "stripe"
    return session.get_one(Invoice, source.credit_note_id).corrects_invoice_id != invoice.id


def _settled_on(session: Session, source: Source, invoice: Invoice) -> date | None:
    """The day for which it counts: when the money was there, whenever we hear of it, or the invoice was, if that is
    later. So what was paid in time bears no interest. Credit counts from today: it settles nothing before it is used.
    """
    if source.payment_id is None or invoice.issued_at is None:
        return None
    payment = session.get_one(Payment, source.payment_id)
    zone = session.scalar(
        select(Account.zone).filter_by(licensor_id=source.licensor_id, licensee_id=source.licensee_id)
    )
    return max(payment.received_on, day_of(invoice.issued_at, zone or "UTC"))


def _payable(session: Session, source: Source, number: str) -> Invoice:
    asked = select(Invoice).filter_by(licensor_id=source.licensor_id, number=number).with_for_update()
    invoice = session.scalars(asked.execution_options(populate_existing=True)).one_or_none()
    if invoice is None or invoice.licensee_id != source.licensee_id:
        raise NotFound("invoice_not_found", f"this account has no invoice {number}")
    if invoice.status != "issued" or invoice.kind == "credit_note":
        raise Conflict("invoice_not_payable", f"{number} is {invoice.status}: only an issued invoice can be paid")
    return invoice


def _demand_enough(source: Source, amount: Money, left: int) -> None:
    if amount.currency != source.left.currency:
        raise InvalidInput("mixed_currencies", f"{source.item} is in {source.left.currency}, not {amount.currency}")
    if amount.minor <= 0:
        raise InvalidInput("bad_amount", "the amount must be more than nothing")
    if amount.minor > left:
        raise Conflict("more_than_left", f"of {source.item} {Money(amount.currency, left)} is left, not {amount}")


def _item_of(session: Session, row: PaymentAllocation) -> str:
    if row.payment_id is not None:
        return session.get_one(Payment, row.payment_id).item
    return session.get_one(Invoice, row.credit_note_id).number or ""


def _numbers(invoices: Sequence[Invoice]) -> list[str]:
    return [invoice.number for invoice in invoices if invoice.number is not None]


def _line(text: str, what: str, longest: int) -> str:
    text = text.strip()
    if len(text) > longest or (text and not text.isprintable()):
        raise InvalidInput("bad_text", f"the {what} is one line of at most {longest} printable characters")
    return text


def account_of(session: Session, licensor: str, licensee: str) -> tuple[int, int]:
    """The ids of two parties by their slugs. Raises `NotFound`."""
    ours = session.scalar(select(Licensor.id).where(Licensor.slug == licensor))
    theirs = session.scalar(select(Licensee.id).where(Licensee.slug == licensee))
    if ours is None or theirs is None:
        missing = f"licensor {licensor}" if ours is None else f"licensee {licensee}"
        raise NotFound("party_not_found", f"there is no {missing}")
    return ours, theirs
