"""What every act on an invoice shares: it is locked, judged against where it stands, and written down twice, as an
event of the invoice and in the audit log.

Above the limit of its account an act takes two people: one asks for it, another does it. Approving and issuing are two
such acts by themselves; for the others one person writes down what is wanted with `ask`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from core.actors import Actor
from core.audit.record import Act as Audited
from core.audit.record import record_many
from core.database import among
from core.errors import InvalidInput, NotAllowed, NotFound
from core.invoicing.life.credit_plan import plan_credit
from core.invoicing.life.stands import Stands, find_invoice, name_of, stand
from core.invoicing.life.status import MOVES, Move, Verb, demand, reason_of
from core.invoicing.tables import Invoice, InvoiceEvent
from core.money import Money


@dataclass(frozen=True, slots=True)
class Act:
    """An invoice kept from others until the transaction ends, where it stands, and who is about to do what."""

    invoice: Invoice
    stands: Stands
    move: Move
    by: Actor
    reason: str

    @property
    def money(self) -> Money:
        return Money(self.invoice.currency, self.invoice.total_minor)


def locked(session: Session, invoice_id: int) -> Invoice:
    """The invoice, kept from others until the transaction ends."""
    row = select(Invoice).where(Invoice.id == invoice_id).with_for_update()
    invoice = session.scalars(row.execution_options(populate_existing=True)).one_or_none()
    if invoice is None:
        raise NotFound("invoice_not_found", f"there is no invoice with id {invoice_id}")
    return invoice


def begin(session: Session, invoice_id: int, verb: Verb, by: Actor, reason: str = "") -> Act:
    """Locks an invoice for an act, and refuses one that `by` may not do or that is not possible where it stands."""
    invoice = locked(session, invoice_id)
    stands = stand(session, [invoice])[invoice.id]
    note = invoice.kind == "credit_note"
    move = demand(verb, stands.word, by, what=name_of(invoice), reason=reason, credit_note=note)
    return Act(invoice, stands, move, by, reason_of(reason) if reason.strip() else "")


def begin_named(session: Session, number: str, verb: Verb, by: Actor, reason: str = "") -> Act:
    """The same for an invoice called by its number, or a draft by `draft-17`."""
    return begin(session, find_invoice(session, number).id, verb, by, reason)


def note(
    session: Session,
    invoice: Invoice,
    kind: str,
    by: Actor,
    *,
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
    answers: int | None = None,
) -> InvoiceEvent:
    """Writes an act down: an event of the invoice, and an entry in its licensor's audit log. Call it last."""
    return note_many(session, [Note(invoice, kind, dict(detail or {}), reason, answers)], by)[0]


@dataclass(frozen=True, slots=True)
class Note:
    """An act on an invoice, to be written down."""

    invoice: Invoice
    kind: str
    detail: dict[str, Any]
    reason: str = ""
    answers: int | None = None

    def audited(self) -> Audited:
        more = {"reason": self.reason} if self.reason else {}
        more |= {"answers": str(self.answers)} if self.answers is not None else {}
        return Audited(f"invoice.{self.kind}", f"invoice {name_of(self.invoice)}", {**self.detail, **more})


def note_many(session: Session, notes: Sequence[Note], by: Actor) -> list[InvoiceEvent]:
    """Writes down acts of one actor on invoices of any licensors, whose logs are locked where there are several."""
    events = [
        InvoiceEvent(
            invoice_id=each.invoice.id,
            kind=each.kind,
            actor=by.name,
            role=by.role,
            reason=each.reason,
            detail=each.detail,
            answers_id=each.answers,
        )
        for each in notes
    ]
    session.add_all(events)  # written with the entries of the log
    by_licensor: dict[int, list[Audited]] = {}
    for each in notes:
        by_licensor.setdefault(each.invoice.licensor_id, []).append(each.audited())
    for licensor_id, acts in sorted(by_licensor.items()):
        record_many(session, licensor_id, by, acts)
    return events


def limit_of(session: Session, invoice: Invoice) -> int | None:
    """The amount in minor units above which two people are needed; None where one is always enough."""
    return limits_of(session, [invoice])[invoice.id]


def limits_of(session: Session, invoices: Sequence[Invoice]) -> dict[int, int | None]:
    """The same for many invoices, by their ids."""
    limit = func.second_person_above(Invoice.licensor_id, Invoice.licensee_id)
    asked = select(Invoice.id, limit).where(among(Invoice.id, [invoice.id for invoice in invoices]))
    return {id_: above for id_, above in session.execute(asked)}  # noqa: C416 - a Row is not a pair to the checker


def above_limit(session: Session, invoice: Invoice, amount_minor: int) -> bool:
    """Whether an amount takes two people."""
    limit = limit_of(session, invoice)
    return limit is not None and abs(amount_minor) > limit


def ask(
    session: Session, number: str, verb: Verb, by: Actor, reason: str, *, amounts: Mapping[int, int] | None = None
) -> InvoiceEvent:
    """Asks for a void, a credit or a write-off, for another person to do. Refused where it could not be done now.

    `amounts` are those of `credit`: net minor units by line number, everything when left out.
    """
    if verb not in ("void", "credit", "write_off"):
        raise InvalidInput("nothing_to_ask", f"only void, credit and write-off are asked for, not {verb}")
    invoice = locked(session, find_invoice(session, number).id)
    stands = stand(session, [invoice])[invoice.id]
    by.demand("clerk", "ask for it")
    demand(verb, stands.word, _ANYBODY, what=number, reason=reason, credit_note=invoice.kind == "credit_note")
    detail: dict[str, Any] = {"verb": verb, "amount_minor": _amount(session, invoice, stands, verb, amounts)}
    if amounts is not None:
        detail["amounts"] = {str(no): minor for no, minor in sorted(amounts.items())}
    return note(session, invoice, "asked", by, reason=reason_of(reason), detail=detail)


def demand_asked(
    session: Session, act: Act, amount_minor: int, *, amounts: Mapping[int, int] | None = None
) -> InvoiceEvent | None:
    """What another person asked for and this act does; None where one person is enough.

    Raises `NotAllowed` where nobody else has asked for it, or for less than this.
    """
    if not above_limit(session, act.invoice, amount_minor):
        return None
    answer = aliased(InvoiceEvent)
    asked = session.scalars(
        select(InvoiceEvent)
        .outerjoin(answer, answer.answers_id == InvoiceEvent.id)
        .where(
            InvoiceEvent.invoice_id == act.invoice.id,
            InvoiceEvent.kind == "asked",
            InvoiceEvent.detail["verb"].astext == act.move.verb,
            answer.id.is_(None),
        )
        .order_by(InvoiceEvent.id)
    ).all()
    wanted = None if amounts is None else {str(no): minor for no, minor in sorted(amounts.items())}
    fitting = [
        one for one in asked if one.detail["amount_minor"] >= abs(amount_minor) and one.detail.get("amounts") == wanted
    ]
    others = [one for one in fitting if one.actor != act.by.name]
    if others:
        return others[0]
    money = Money(act.invoice.currency, abs(amount_minor))
    limit = Money(act.invoice.currency, limit_of(session, act.invoice) or 0)
    if fitting:
        raise NotAllowed(
            "second_person_needed",
            f"you asked for this yourself: {money} is above {limit}, so somebody else must do it",
        )
    raise NotAllowed(
        "second_person_needed",
        f"{money} is above {limit}, the most that one person may do: ask for it (`perimage invoice ask "
        f"{name_of(act.invoice)} {act.move.verb}`) and let somebody else do it",
    )


_ANYBODY = Actor("whoever does it", "admin")


def _amount(session: Session, invoice: Invoice, stands: Stands, verb: Verb, amounts: Mapping[int, int] | None) -> int:
    """What the act would move, in minor units."""
    if verb == "void":
        return abs(invoice.total_minor)
    if verb == "write_off":
        return stands.left
    return -plan_credit(session, invoice, amounts).total_minor


__all__ = ["MOVES", "Act", "above_limit", "ask", "begin", "begin_named", "demand_asked", "limit_of", "locked", "note"]
