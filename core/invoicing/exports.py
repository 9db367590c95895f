"""Invoices, receivables by age, and revenue, as rows for a spreadsheet or another system."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.invoicing.life.stands import overview
from core.invoicing.tables import Invoice, InvoiceLine
from core.ledger.tables import LedgerTransaction, Posting
from core.money import Money, decimal_of
from core.period import Period
from core.registry.tables import Licensee

INVOICES_HEADER = (
    *("invoice", "kind", "corrects", "licensee", "agreement", "period", "standing", "currency", "net", "tax", "total"),
    *("paid", "credited", "written_off", "left", "issued_at", "due_on"),
)
AGEING_HEADER = (
    *("licensee", "currency", "not_due", "days_1_30", "days_31_60", "days_61_90", "days_over_90"),
    *("receivable", "unapplied", "balance"),
)
REVENUE_HEADER = ("service_month", "licensee", "subject", "kind", "currency", "image_count", "net")
_AMOUNTS = frozenset(INVOICES_HEADER[8:15])
_PAGE = 500
_BUCKETS = (0, 30, 60, 90)  # days after the due day


def invoice_rows(
    session: Session, licensor: str, *, period: Period | None = None, licensee: str | None = None
) -> Iterator[tuple[object, ...]]:
    """Invoices and credit notes under `INVOICES_HEADER`, as they stand now, oldest first."""
    after = 0
    while rows := overview(session, period=period, licensee=licensee, after=after, limit=_PAGE):
        for row in rows:
            if row["licensor"] == licensor:
                yield tuple(decimal_of(row[name]) if name in _AMOUNTS else row[name] for name in INVOICES_HEADER)
        after = rows[-1]["id"]
        session.expunge_all()


def ageing_rows(session: Session, licensor_id: int, on: date) -> Iterator[tuple[object, ...]]:
    """What each licensee owed on a day, by how long it was due, under `AGEING_HEADER`; from the books alone.

    `receivable` is the sum of the ages, `unapplied` what the licensee had paid or been credited beyond them, below
    zero, and `balance` the sum of the two.
    """
    asked = (
        select(Licensee.slug, Posting.currency, Posting.book, Invoice.due_on, func.sum(Posting.amount_minor))
        .join_from(Posting, LedgerTransaction, LedgerTransaction.id == Posting.transaction_id)
        .join(Licensee, Licensee.id == LedgerTransaction.licensee_id)
        .outerjoin(
            Invoice,
            (Invoice.licensor_id == LedgerTransaction.licensor_id)
            & (Invoice.number == Posting.item)
            & (Posting.book == "receivable"),
        )
        .where(
            LedgerTransaction.licensor_id == licensor_id,
            LedgerTransaction.booked_on <= on,
            Posting.book.in_(("receivable", "unapplied")),
        )
        .group_by(Licensee.slug, Posting.currency, Posting.book, Invoice.due_on)
    )
    sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * (len(_BUCKETS) + 2))
    for licensee, currency, book, due_on, minor in session.execute(asked):
        place = len(_BUCKETS) + 1 if book == "unapplied" else _bucket(on, due_on)
        sums[licensee, currency][place] += int(minor)
    for (licensee, currency), found in sorted(sums.items()):
        if any(found):
            *ages, unapplied = found
            amounts = [*ages, sum(ages), unapplied, sum(found)]
            yield (licensee, currency, *(Money(currency, minor).amount for minor in amounts))


def revenue_rows(
    session: Session, licensor_id: int, *, period: Period | None = None, licensee: str | None = None
) -> Iterator[tuple[object, ...]]:
    """What issued invoices and credit notes ask for before tax, by the month of service, under `REVENUE_HEADER`.

    The subject is the model, or the group of models, that a fee is for. What was voided is not in it, so the sum over
    everything is what the books hold as earned.
    """
    month = func.to_char(InvoiceLine.service_start, "YYYY-MM")
    groups = (month, Licensee.slug, InvoiceLine.subject, InvoiceLine.kind, Invoice.currency)
    asked = (
        select(*groups, func.sum(InvoiceLine.image_count), func.sum(InvoiceLine.amount_minor))
        .join_from(InvoiceLine, Invoice, Invoice.id == InvoiceLine.invoice_id)
        .join(Agreement, Agreement.id == Invoice.agreement_id)
        .join(Licensee, Licensee.id == Invoice.licensee_id)
        .where(Invoice.licensor_id == licensor_id, Invoice.status == "issued")
        .group_by(*groups)
        .order_by(*groups)
    )
    if period is not None:
        asked = asked.where(InvoiceLine.service_start >= period.start, InvoiceLine.service_start < period.end)
    if licensee is not None:
        asked = asked.where(Licensee.slug == licensee)
    for service, who, subject, kind, currency, images, minor in session.execute(asked):
        yield service, who, subject, kind, currency, int(images), Money(currency, int(minor)).amount


def _bucket(on: date, due_on: date | None) -> int:
    """How old a receivable is on a day: 0 not due yet, 1 up to 30 days late, and so on."""
    late = 0 if due_on is None else (on - due_on).days
    return sum(late > edge for edge in _BUCKETS)
