"""What must hold after every month of a year: every cent explained, nothing twice."""

import hashlib
from collections import Counter

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.invoicing.runs.run import request_run
from core.invoicing.tables import Invoice, InvoiceEvent, InvoiceLine
from core.invoicing.verify import verify_invoices
from core.ledger.balances import balances
from core.ledger.tables import LedgerTransaction, Posting
from core.notices.tables import DeliveryAttempt
from core.payments.apply import account_of
from core.payments.queries import steps
from core.payments.tables import Payment
from core.payments.verify import verify_payments
from core.registry.tables import Licensor
from core.usage.counts.verify import verify_rollup
from tests.fakes.till import APPROVER
from tests.stories.year_closing import BY_STRIPE, differs
from tests.stories.year_of_trade import Year

# A run is itself on record, in the log, too, and it counts what came in; nothing else of a repeat may be seen.
OF_RUNS = ("billing_runs", "billing_run_items", "rollup_watermarks", "audit_heads")


def check(year: Year) -> None:
    """All of it."""
    every_cent(year)
    books(year)
    numbers(year)
    stripe(year)
    verified(year)
    notices(year)


def every_cent(year: Year) -> None:
    """For each agreement, the lines of all invoices that stand sum to what is owed, key by key, extras listed."""
    with Session(year.engine) as session:
        rows = session.execute(
            select(
                *(Agreement.slug, InvoiceLine.kind, InvoiceLine.subject, InvoiceLine.service_start),
                *(InvoiceLine.service_end, InvoiceLine.part),
                *(func.sum(InvoiceLine.image_count), func.sum(InvoiceLine.amount_minor)),
            )
            .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
            .join(Agreement, Agreement.id == Invoice.agreement_id)
            .where(Invoice.status == "issued", InvoiceLine.kind != "credit")
            .group_by(*(Agreement.slug, InvoiceLine.kind, InvoiceLine.subject, InvoiceLine.service_start))
            .group_by(InvoiceLine.service_end, InvoiceLine.part)
        ).all()
    for slug in year.tally.contracts:
        billed = {tuple(row[1:6]): (int(row[6]), int(row[7])) for row in rows if row[0] == slug}
        billed = {key: sums for key, sums in billed.items() if any(sums)}
        explained = year.tally.billed(slug)
        assert billed == explained, differs(slug, billed, explained)  # type: ignore[arg-type]


def owed_and_billed(year: Year, until: object) -> None:
    """At the end nothing is due any more: what was billed is what is owed for everything that was ever reported."""
    for slug in year.tally.contracts:
        due = year.tally.due(slug, until)  # type: ignore[arg-type]
        assert not due, f"{slug}: never asked for {due}"


def books(year: Year) -> None:
    """Every book of every account is at what the tally says, and all of them together at nothing."""
    with Session(year.engine) as session:
        for account in year.tally.zones:
            ids = account_of(session, *account)
            found = {book: money.minor for (book, _), money in balances(session, *ids).items() if money.minor}
            assert found == year.tally.books(account), (account, found, year.tally.books(account))
        assert session.scalar(select(func.coalesce(func.sum(Posting.amount_minor), 0))) == 0
        entries = session.execute(select(LedgerTransaction.licensor_id, LedgerTransaction.reference)).all()
        assert len(set(entries)) == len(entries)


def numbers(year: Year) -> None:
    """Each series has the numbers from one on, as many as the tally has documents, and no other."""
    with Session(year.engine) as session:
        prefixes = dict(session.execute(select(Licensor.slug, Licensor.invoice_prefix)).all())
        found = set(session.scalars(select(Invoice.number).where(Invoice.number.is_not(None))))
        assert session.scalar(select(func.count()).where(Invoice.number.is_(None))) == 0
    expected = set()
    for (licensor, note), many in Counter(
        (year.tally.account_of[one.agreement][0], one.total < 0) for one in year.tally.documents.values()
    ).items():
        mark = "CN-" if note else ""
        expected |= {f"{prefixes[licensor]}-{mark}{place:06d}" for place in range(1, many + 1)}
    assert found == expected == set(year.tally.documents)


def stripe(year: Year) -> None:
    """One live invoice there for each of ours that asks for money, with our total, sent once; no money taken twice."""
    account, tally = year.server.account, year.tally
    sent = Counter(account.sent)
    for one in tally.documents.values():
        of_stripe = tally.account_of[one.agreement] in BY_STRIPE and one.total > 0 and one.corrects is None
        there = year.stripe.there(one.number)
        assert len(there) == (1 if of_stripe and not one.void else 0), (one, there)
        for found in there:
            assert found["total"] == one.total == sum(line["amount"] for line in found["lines"]["data"])
            assert found["amount_paid"] + found["amount_paid_off_stripe"] <= one.total
            by_mail = BY_STRIPE[tally.account_of[one.agreement]] == "send_invoice"
            assert sent[found["id"]] == (1 if by_mail else 0)
    notes = [note["metadata"]["perimage_credit_note"] for note in account.credit_notes.values()]
    assert len(set(notes)) == len(notes)
    with Session(year.engine) as session:
        assert steps(session, states=("waiting",)) == []
        stopped = [step for step in steps(session, states=("stopped",)) if step["step"] != "collect"]
        assert stopped == [], stopped
        rows = session.execute(select(Payment.reference, Payment.amount_minor).where(Payment.method == "stripe"))
        recorded = {reference: minor for reference, minor in rows}  # noqa: C416
    assert recorded == {id_: account.invoice_payments[id_]["amount_paid"] for id_ in year.stripe.seen}


def verified(year: Year) -> None:
    """What `perimage verify` looks at."""
    with Session(year.engine) as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        looked_at, wrong = verify_rollup(session)
        assert looked_at and not wrong, wrong
        checks = [*verify_invoices(session), *verify_payments(session)]
        known = [check for check in checks if check.name != "nothing differs at the payment gateway"]
        assert [problem for each in known for problem in each.problems] == []


def notices(year: Year) -> None:
    """Each thing is told once, and what was told has arrived."""
    year.notices.check()
    assert year.notices.told("invoice.issued") == sorted(year.tally.documents)
    assert set(year.notices.told("invoice.overdue")) == year.closing.overdue


def happened(year: Year) -> dict[str, int]:
    """How often what makes a year hard has come to pass: a story in which nothing happens proves nothing."""
    documents = year.tally.documents.values()
    with Session(year.engine) as session:
        acts = dict(session.execute(select(InvoiceEvent.kind, func.count()).group_by(InvoiceEvent.kind)).all())
        of_lines = select(InvoiceLine.kind, InvoiceLine.adjustment, func.count()).group_by(
            InvoiceLine.kind, InvoiceLine.adjustment
        )
        lines = {(kind, adjustment): many for kind, adjustment, many in session.execute(of_lines)}
        failed = session.scalar(select(func.count()).where(DeliveryAttempt.result == "failed")) or 0
    return {
        **{f"invoices {kind}": many for kind, many in sorted(acts.items())},
        "documents": len(documents),
        "credit notes": sum(one.total < 0 for one in documents),
        "invoices paid in parts": sum(len([why for _, _, why in one.off if why == "paid"]) > 1 for one in documents),
        "late usage on a later invoice": lines.get(("usage", True), 0),
        "interest asked for": lines.get(("interest", False), 0) + lines.get(("interest", True), 0),
        "interest of a payment that was heard of late": lines.get(("interest", True), 0),
        "payments": len(year.tally.payments),
        "events": len(year.tally.events),
        "calls to Stripe": len(year.server.requests),
        "notices": sum(len(ids) for ids in year.notices.arrived.values()),
        "deliveries that failed": failed,
    }


def repeated(year: Year, months: range) -> None:
    """Closing months again, twice at once, changes no row of anything but the runs' own."""
    before = fingerprints(year)
    for n in months:
        year.both(lambda session, n=n: request_run(session, year.period(n), issues=True, by=APPROVER).id)
    year.closing.work()
    after = fingerprints(year)
    assert after == before, [table for table in before if before[table] != after[table]]


def fingerprints(year: Year) -> dict[str, tuple[int, str]]:
    """How many rows each table has, and a hash over all of them."""
    found = {}
    with Session(year.engine) as session:
        tables = session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")).all()
        for table in tables:
            if table not in OF_RUNS and session.scalar(text(f"SELECT has_table_privilege('{table}', 'SELECT')")):
                which = "WHERE action NOT LIKE 'run.%'" if table == "audit_log" else ""
                rows = session.scalars(text(f"SELECT md5(t::text) FROM {table} t {which} ORDER BY 1")).all()
                found[table] = len(rows), hashlib.sha256("".join(rows).encode()).hexdigest()
    return found
