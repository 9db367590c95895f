"""What must be told of invoices: issued, due soon, overdue, held. One small function for each.

Each reads only what may still have to be told: without a notice of its kind, and young enough. An invoice that was
issued, or became overdue, long before anybody watched is old news.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, defer

from core.agreements.tables import Agreement
from core.invoicing.drafts.bounds import reasons_of
from core.invoicing.life.stands import Stands, name_of, stand
from core.invoicing.tables import Invoice, InvoiceEvent
from core.money import Money
from core.notices.kinds import DUE_SOON, HELD, ISSUED, OVERDUE, Finding, Kind
from core.notices.tables import Notice
from core.period import Period, day_of
from core.registry.tables import Account, Licensee, Licensor

PAGE = 500
SOON = timedelta(days=7)
NEWS = timedelta(days=7)  # how long a thing that was issued is still news
OVERDUE_NEWS = timedelta(days=60)
OWED = ("issued", "partly_paid", "overdue")  # standings in which somebody has to pay
_DAY = timedelta(days=1)
Row = tuple[Invoice, str, str, str, str, str, str]


def issued(session: Session, now: datetime) -> Iterator[list[Finding]]:
    """Invoices and credit notes that were issued."""
    which = (Invoice.status == "issued", Invoice.issued_at > now - NEWS)
    for rows in _pages(session, ISSUED, *which):
        yield [_finding(ISSUED, row, name_of(row[0])) for row in rows]


def due_soon(session: Session, now: datetime) -> Iterator[list[Finding]]:
    """Invoices that are due within seven days of the account's calendar and still open."""
    yield from _owed(
        session, DUE_SOON, now, first=-_DAY, last=SOON, fits=lambda today, due: today <= due <= today + SOON
    )


def overdue(session: Session, now: datetime) -> Iterator[list[Finding]]:
    """Invoices whose day is over and that are still open."""
    yield from _owed(session, OVERDUE, now, first=-OVERDUE_NEWS, last=timedelta(), fits=lambda today, due: due < today)


def held(session: Session, _now: datetime) -> Iterator[list[Finding]]:
    """Drafts that wait for a person; told again only for another reason, or when held again after a release."""
    last_release = (
        select(func.coalesce(func.max(InvoiceEvent.id), 0))
        .where(InvoiceEvent.invoice_id == Invoice.id, InvoiceEvent.kind == "released")
        .scalar_subquery()
    )
    for rows in _pages(session, None, Invoice.status == "held"):
        asked = select(Invoice.id, last_release).where(Invoice.id.in_([row[0].id for row in rows]))
        releases: dict[int, int] = {id_: event_id for id_, event_id in session.execute(asked)}  # noqa: C416
        yield [_held(row, releases[row[0].id]) for row in rows]


def _held(row: Row, released: int) -> Finding:
    invoice = row[0]
    codes = sorted({reason.code for reason in reasons_of(invoice.hold_reasons)})
    reasons = [reason.sentence for reason in reasons_of(invoice.hold_reasons)]
    more = {"reasons": reasons or [invoice.hold_reason or "no reason was kept"]}
    return _finding(HELD, row, f"{invoice.id}:{released}:{','.join(codes)}", more)


def _owed(
    session: Session,
    kind: Kind,
    now: datetime,
    *,
    first: timedelta,
    last: timedelta,
    fits: Callable[[date, date], bool],
) -> Iterator[list[Finding]]:
    """Open invoices whose due day fits, as today is in the account's zone. The bounds are a day wider than any zone."""
    today = now.astimezone(UTC).date()
    which = (
        Invoice.status == "issued",
        Invoice.total_minor > 0,
        Invoice.due_on >= today + first - _DAY,
        Invoice.due_on <= today + last + _DAY,
    )
    for rows in _pages(session, kind, *which):
        stands = stand(session, [row[0] for row in rows])
        yield [
            _finding(kind, row, name_of(row[0]), _left(row[0], stands[row[0].id]))
            for row in rows
            if row[0].due_on and stands[row[0].id].word in OWED and fits(day_of(now, row[6]), row[0].due_on)
        ]


def _left(invoice: Invoice, stands: Stands) -> dict[str, Any]:
    return {"left": f"{Money(invoice.currency, stands.left).amount:f}"}


def _pages(session: Session, kind: Kind | None, *which: ColumnElement[bool]) -> Iterator[Sequence[Row]]:
    """The invoices, with their parties, agreement and zone, that have no notice of this kind; by id, page by page."""
    after = 0
    told = select(Notice.id).where(
        Notice.licensor_id == Invoice.licensor_id, Notice.kind == (kind.name if kind else ""),
        Notice.key == Invoice.number,
    )  # fmt: skip
    while True:
        asked = (
            select(Invoice, Licensor.slug, Licensor.name, Licensee.slug, Licensee.name, Agreement.slug, Account.zone)
            .join(Licensor, Licensor.id == Invoice.licensor_id)
            .join(Licensee, Licensee.id == Invoice.licensee_id)
            .join(Agreement, Agreement.id == Invoice.agreement_id)
            .join(Account, Account.id == Agreement.account_id)
            .where(*which, Invoice.id > after, *((~told.exists(),) if kind else ()))
            .options(defer(Invoice.snapshot), defer(Invoice.closed_with))
            .order_by(Invoice.id)
            .limit(PAGE)
            .execution_options(populate_existing=True)
        )
        rows = list(session.execute(asked))
        if rows:
            yield rows
        if len(rows) < PAGE:
            return
        after = rows[-1][0].id


def _finding(kind: Kind, row: Row, key: str, more: dict[str, Any] | None = None) -> Finding:
    invoice, licensor, licensor_name, licensee, licensee_name, agreement, _ = row
    data = {
        "invoice": name_of(invoice),
        "document": "credit_note" if invoice.kind == "credit_note" else "invoice",
        "licensor": licensor,
        "licensor_name": licensor_name,
        "licensee": licensee,
        "licensee_name": licensee_name,
        "agreement": agreement,
        "period": Period(invoice.period_start, invoice.period_end).name,
        "currency": invoice.currency,
        "total": f"{Money(invoice.currency, invoice.total_minor).amount:f}",
        "issued_at": _iso(invoice.issued_at),
        "due_on": _iso(invoice.due_on),
        **(more or {}),
    }
    return Finding(kind, invoice.licensor_id, invoice.licensee_id, key, data)


def _iso(when: datetime | date | None) -> str | None:
    return when.isoformat() if when else None
