"""What corrections would change: in the counts, and on the invoices that ask for them.

Issued invoices never change. A correction of what they billed comes out on the next invoice of the agreement as an
adjustment that names its month; in a month that is still open the line itself changes. So the preview closes, on paper,
every month from the next one due to the last one corrected, twice: with the counts as they are, and with those that the
corrections leave. The lines are made by the very functions that `close` uses, so the close then writes just these.

It goes by what has been rolled up. What has come in since concerns it only where it is being corrected.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.agreements.queries import agreement_versions, cover_of
from core.agreements.tables import Agreement
from core.invoicing.drafts.bill import Bill, contract_of
from core.invoicing.drafts.close import due_lines
from core.invoicing.drafts.invoice import DraftLine
from core.invoicing.tables import Invoice, InvoiceLine
from core.invoicing.what_if.amendment_preview import InvoiceDiff, LineChange, line_changes
from core.money import Money
from core.period import Period
from core.rating.rate import LineKey
from core.registry.tables import Account, Licensor
from core.usage.corrections.correct import judged
from core.usage.corrections.correction import Answer, Misread, Order, accepted
from core.usage.corrections.effect import Effect, effect_of
from core.usage.counts.counting import Cell, Timetable, count_images
from core.usage.counts.queries import cells_of

NOBODY = "preview"  # the actor of corrections that are only looked at


@dataclass(frozen=True, slots=True)
class AgreementEffect:
    """What changes for one agreement, on the invoices of the months that are closed next, in their order.

    `billed_on` names the issued invoices that billed a line's key before.
    """

    agreement: str
    licensor: str
    currency: str
    closes: tuple[InvoiceDiff, ...]
    billed_on: Mapping[LineKey, tuple[str, ...]]

    @property
    def money(self) -> Money:
        """By how much all of them change together."""
        return sum((diff.money for diff in self.closes), start=Money(self.currency, 0))


@dataclass(frozen=True, slots=True)
class CorrectionPreview:
    """What would be answered, what would become of the counts, and what would be billed differently."""

    answers: tuple[Answer, ...]
    effect: Effect
    agreements: tuple[AgreementEffect, ...]


def preview_corrections(session: Session, licensee_id: int, orders: Sequence[Order | Misread]) -> CorrectionPreview:
    """What a licensee's corrections would do if they were made now. Nothing is written."""
    answers = judged(session, licensee_id, orders, NOBODY)
    effect = effect_of(session, licensee_id, accepted(answers))
    return CorrectionPreview(tuple(answers), effect, tuple(_on_agreements(session, licensee_id, effect)))


def _on_agreements(session: Session, licensee_id: int, effect: Effect) -> Iterator[AgreementEffect]:
    """The effect on each agreement that covers a corrected model on its day."""
    agreements = session.execute(
        select(Agreement, Account, Licensor.slug)
        .join(Account, Account.id == Agreement.account_id)
        .join(Licensor, Licensor.id == Account.licensor_id)
        .where(Account.licensee_id == licensee_id, Agreement.status != "draft")
        .order_by(Agreement.slug)
    )
    for agreement, account, licensor in agreements.all():
        cover = cover_of(session, agreement.id)
        change = _covered(effect.change, cover)
        if change:
            closes = tuple(_closes(session, agreement, account, change, _covered(effect.waiting, cover)))
            billed_on = _billed_on(session, agreement.id)
            yield AgreementEffect(agreement.slug, licensor, account.currency, closes, billed_on)


def _covered(cells: Iterable[Cell], cover: Sequence[tuple[str, Period]]) -> list[Cell]:
    return [cell for cell in cells if any(cell.model == model and cell.day in days for model, days in cover)]


def _closes(
    session: Session, agreement: Agreement, account: Account, change: list[Cell], waiting: list[Cell]
) -> Iterator[InvoiceDiff]:
    """The invoices that differ, month by month from the one that is closed next to the last with a correction."""
    days = sorted(cell.day for cell in change)
    first = _next_close(session, agreement.id, days[0])
    months = list(Period(first.start, max(first, Period.month_of(days[-1])).end).months())
    terms_on = Timetable(agreement_versions(session, agreement.id))
    cells = [*cells_of(session, account.licensee_id, agreement.id, end=months[-1].end), *waiting]
    bill = Bill(agreement, account, contract_of(session, agreement), count_images(cells, terms_on))
    corrected = replace(bill, counts=count_images([*cells, *change], terms_on))
    written_until = date.min
    for month in months:
        # What the months before were due is written by their own closes, which come first.
        before, after = (_lines(session, each, month, written_until) for each in (bill, corrected))
        changes = tuple(line_changes(before, after, account.currency))
        if changes:
            yield InvoiceDiff(month, account.currency, tuple(before), tuple(after), changes)
        written_until = month.end


def _lines(session: Session, bill: Bill, month: Period, written_until: date) -> list[DraftLine]:
    """The lines of a month's close with these counts, without those that earlier closes have written."""
    counts = {(model, day): images for (model, day), images in bill.counts.items() if day < month.end}
    unissued = Invoice.agreement_id == bill.agreement.id, Invoice.period_start == month.start, Invoice.number.is_(None)
    draft = session.scalars(select(Invoice).where(*unissued).order_by(Invoice.id)).first()
    lines = due_lines(session, replace(bill, counts=counts), month, leaving_out=draft)
    return [line for line in lines if line.key.due_on > written_until]


def _next_close(session: Session, agreement_id: int, first: date) -> Period:
    """The month whose invoice shows the correction of a day first: the day's own, or the next after the issued ones."""
    issued: date | None = session.scalar(
        select(func.max(Invoice.period_end)).where(
            Invoice.agreement_id == agreement_id, Invoice.number.is_not(None), Invoice.status != "void"
        )
    )
    return Period.month_of(max(first, issued or first))


def _billed_on(session: Session, agreement_id: int) -> dict[LineKey, tuple[str, ...]]:
    """By key, the numbers of the invoices that stand and have a line for it."""
    rows = session.execute(
        select(InvoiceLine, Invoice.number)
        .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .where(Invoice.agreement_id == agreement_id, Invoice.number.is_not(None), Invoice.status != "void")
        .order_by(Invoice.number)
    )
    found: defaultdict[LineKey, list[str]] = defaultdict(list)
    for line, number in rows:
        key = LineKey(line.kind, line.subject, Period(line.service_start, line.service_end), line.part)
        found[key].append(str(number))
    return {key: tuple(dict.fromkeys(numbers)) for key, numbers in found.items()}


def preview_document(preview: CorrectionPreview) -> dict[str, Any]:
    """The preview as plain data; amounts are decimal strings in the currency's own number of places."""
    counts: defaultdict[tuple[str, date, str, str], int] = defaultdict(int)
    for cell in preview.effect.change:
        counts[cell.model, cell.day, cell.output, cell.role] += cell.image_count
    return {
        "counts": [
            {"model": model, "day": day.isoformat(), "output": output, "role": role, "image_delta": images}
            for (model, day, output, role), images in sorted(counts.items())
            if images
        ],
        "held": list(preview.effect.held),
        "invoices": [
            {
                "agreement": effect.agreement,
                "licensor": effect.licensor,
                "period": diff.period.name,
                "currency": effect.currency,
                "total_before": f"{diff.total_before.amount:f}",
                "total_after": f"{diff.total_after.amount:f}",
                "difference": f"{diff.money.amount:f}",
                "changes": [_change(change, effect.billed_on) for change in diff.changes],
            }
            for effect in preview.agreements
            for diff in effect.closes
        ],
    }


def _change(change: LineChange, billed_on: Mapping[LineKey, tuple[str, ...]]) -> dict[str, Any]:
    return {
        "kind": change.key.kind,
        "subject": change.key.subject,
        "service": change.key.service.name,
        "adjustment": change.adjustment,
        "description": change.description,
        "image_delta": change.image_count,
        "amount_before": f"{change.before.money.amount:f}" if change.before else None,
        "amount_after": f"{change.after.money.amount:f}" if change.after else None,
        "difference": f"{change.money.amount:f}",
        "billed_on": list(billed_on.get(change.key, ())),
    }
