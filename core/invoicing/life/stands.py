"""Where invoices stand now: what the books hold of each, whether it is disputed, and the word for it."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased, defer

from core.agreements.tables import Agreement
from core.errors import InvalidInput, NotFound
from core.invoicing.life.status import STANDINGS, Standing, standing
from core.invoicing.tables import Invoice, InvoiceEvent
from core.ledger.balances import Settled, settled, unapplied
from core.money import Money
from core.period import Period, day_of
from core.registry.tables import Account, Licensee, Licensor


@dataclass(frozen=True, slots=True)
class Stands:
    """An invoice's standing with the amounts behind it, in minor units. Of a credit note `paid` is what was used of it
    and `left` what can still be used.
    """

    word: Standing
    credited: int = 0
    paid: int = 0
    written_off: int = 0
    left: int = 0
    dispute_id: int | None = None


def stand(session: Session, invoices: Sequence[Invoice]) -> dict[int, Stands]:
    """Where each invoice stands, by its id: a few reads, however many there are."""
    issued = [invoice for invoice in invoices if invoice.status == "issued" and invoice.number]
    if not issued:
        return {i.id: Stands(standing(i.status, total=i.total_minor, today=date.min)) for i in invoices}
    books = _books(session, issued)
    disputes = _open_disputes(session, [invoice.id for invoice in issued])
    now: datetime = session.execute(select(func.now())).scalar_one()
    zones = _zones(session, {(invoice.licensor_id, invoice.licensee_id) for invoice in issued})
    found: dict[int, Stands] = {}
    for invoice in invoices:
        of_books = books.get(invoice.id, Settled())
        word = standing(
            invoice.status,
            total=invoice.total_minor,
            credited=of_books.credited,
            paid=of_books.paid,
            written_off=of_books.written_off,
            due_on=invoice.due_on,
            today=day_of(now, zones.get((invoice.licensor_id, invoice.licensee_id), "UTC")),
            disputed=invoice.id in disputes,
        )
        found[invoice.id] = Stands(
            word, of_books.credited, of_books.paid, of_books.written_off, of_books.left, disputes.get(invoice.id)
        )
    return found


def find_invoice(session: Session, name: str) -> Invoice:
    """The invoice with this number, or the draft called `draft-17`."""
    kind, _, rest = name.partition("-")
    if kind == "draft" and rest.isascii() and rest.isdecimal() and len(rest) < 19:
        asked = select(Invoice).where(Invoice.id == int(rest))
    elif name.isascii() and name.isprintable():
        asked = select(Invoice).where(Invoice.number == name)
    else:
        raise InvalidInput("bad_invoice_name", "an invoice is named by its number, such as OWG-000001, or draft-17")
    found = session.scalars(asked.execution_options(populate_existing=True)).one_or_none()
    if found is None:
        raise NotFound("invoice_not_found", f"there is no invoice {name}: see `perimage invoice list`")
    return found


def name_of(invoice: Invoice) -> str:
    """What people call an invoice: its number; of a draft `draft-17`."""
    return invoice.number or f"draft-{invoice.id}"


def overview(
    session: Session,
    *,
    words: Collection[str] = (),
    licensee: str | None = None,
    period: Period | None = None,
    after: int = 0,
    limit: int = 1000,
) -> list[dict[str, Any]]:
    """Invoices of every kind with where they stand, oldest first, a page that begins after the id `after`.

    `words` keeps those with one of these standings; they are worked out, so a page may then hold fewer than `limit`.
    """
    for word in words:
        if word not in STANDINGS:
            raise InvalidInput("unknown_standing", f"invoices are {', '.join(STANDINGS)}, not {word!r}")
    corrected = aliased(Invoice)
    asked = (
        select(Invoice, Licensor.slug, Licensee.slug, Agreement.slug, corrected.number)
        .join(Licensor, Licensor.id == Invoice.licensor_id)
        .join(Licensee, Licensee.id == Invoice.licensee_id)
        .join(Agreement, Agreement.id == Invoice.agreement_id)
        .outerjoin(corrected, corrected.id == Invoice.corrects_invoice_id)
        .where(Invoice.id > after)
        .options(defer(Invoice.snapshot), defer(Invoice.closed_with))
        .order_by(Invoice.id)
        .limit(limit)
    )
    if licensee is not None:
        asked = asked.where(Licensee.slug == licensee)
    if period is not None:
        asked = asked.where(Invoice.period_start == period.start, Invoice.period_end == period.end)
    rows = session.execute(asked, execution_options={"populate_existing": True}).all()
    stands = stand(session, [row[0] for row in rows])
    return [
        _row(invoice, stands[invoice.id], licensor=licensor, licensee=who, agreement=agreement, corrects=corrects)
        for invoice, licensor, who, agreement, corrects in rows
        if not words or stands[invoice.id].word in words
    ]


def _row(
    invoice: Invoice, stands: Stands, *, licensor: str, licensee: str, agreement: str, corrects: str | None
) -> dict[str, Any]:
    def amount(minor: int) -> str:
        return f"{Money(invoice.currency, minor).amount:f}"

    return {
        "id": invoice.id,
        "invoice": name_of(invoice),
        "number": invoice.number,
        "kind": invoice.kind,
        "corrects": corrects,
        "licensor": licensor,
        "licensee": licensee,
        "agreement": agreement,
        "period": Period(invoice.period_start, invoice.period_end).name,
        "standing": stands.word,
        "currency": invoice.currency,
        "net": amount(invoice.net_minor),
        "tax": amount(invoice.tax_minor),
        "total": amount(invoice.total_minor),
        "paid": amount(stands.paid),
        "credited": amount(stands.credited),
        "written_off": amount(stands.written_off),
        "left": amount(stands.left),
        "issued_at": invoice.issued_at.isoformat() if invoice.issued_at else None,
        "due_on": invoice.due_on.isoformat() if invoice.due_on else None,
        "hold_reasons": invoice.hold_reasons if invoice.status == "held" else [],
        "closed_by": invoice.closed_by,
        "approved_by": invoice.approved_by,
        "issued_by": invoice.issued_by,
    }


def events_of(session: Session, invoice_id: int) -> list[InvoiceEvent]:
    """Everything that was done with an invoice, in order."""
    asked = select(InvoiceEvent).where(InvoiceEvent.invoice_id == invoice_id).order_by(InvoiceEvent.id)
    return list(session.scalars(asked))


def _books(session: Session, issued: Sequence[Invoice]) -> dict[int, Settled]:
    """What became of each issued document, by its id. Of a credit note: what it is worth, and what was used of it."""
    by_licensor: defaultdict[int, list[Invoice]] = defaultdict(list)
    for invoice in issued:
        by_licensor[invoice.licensor_id].append(invoice)
    found: dict[int, Settled] = {}
    for licensor_id, theirs in by_licensor.items():
        numbers = {i.number or "": i for i in theirs if i.kind != "credit_note"}
        found |= {numbers[number].id: books for number, books in settled(session, licensor_id, numbers).items()}
        notes = {i.number or "": i for i in theirs if i.kind == "credit_note"}
        for number, left in unapplied(session, licensor_id, notes).items():
            worth = -notes[number].total_minor
            found[notes[number].id] = Settled(owed=worth, paid=worth - left)
    return found


def _open_disputes(session: Session, invoice_ids: Sequence[int]) -> dict[int, int]:
    answer = aliased(InvoiceEvent)
    rows = session.execute(
        select(InvoiceEvent.invoice_id, InvoiceEvent.id)
        .outerjoin(answer, answer.answers_id == InvoiceEvent.id)
        .where(InvoiceEvent.invoice_id.in_(invoice_ids), InvoiceEvent.kind == "disputed", answer.id.is_(None))
    )
    return {invoice_id: event_id for invoice_id, event_id in rows}  # noqa: C416 - a Row is not a pair to the checker


def _zones(session: Session, pairs: set[tuple[int, int]]) -> dict[tuple[int, int], str]:
    rows = session.execute(
        select(Account.licensor_id, Account.licensee_id, Account.zone).where(
            Account.licensor_id.in_({licensor for licensor, _ in pairs})
        )
    )
    return {(licensor, licensee): zone for licensor, licensee, zone in rows}
