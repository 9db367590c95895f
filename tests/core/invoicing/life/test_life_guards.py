"""Two people above a limit, what the database itself refuses, and both number series under many hands."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.actors import Actor
from core.agreements.tables import Agreement
from core.errors import Conflict, NotAllowed
from core.invoicing.drafts.extras import adjust
from core.invoicing.life.acts import ask
from core.invoicing.life.approve import approve
from core.invoicing.life.claims import write_off
from core.invoicing.life.credit import credit
from core.invoicing.life.issue import issue
from core.invoicing.life.void import void
from core.invoicing.tables import Invoice
from core.invoicing.verify import verify_invoices
from core.registry.register import set_approval_limit
from tests.core.invoicing.people import ADA, BEN, SEPTEMBER, VERA, drafted, issued
from tests.trade import Trade, flat


@pytest.fixture
def deal(trade: Trade) -> Agreement:
    """sd-1 at a cent, sd-2 at two; 10,000 and 5,000 images in October."""
    agreement = trade.agreement(fees=[flat("sd-1", "0.01"), flat("sd-2", "0.02")])
    trade.use("sd-1", 10_000, "2026-10-03T12:00Z")
    trade.use("sd-2", 5_000, "2026-10-04T12:00Z")
    return agreement


def all_agree(session: Session) -> None:
    assert [check.problems for check in verify_invoices(session)] == [()] * 6


def test_above_the_limit_one_person_alone_can_do_nothing(session: Session, trade: Trade, deal: Agreement) -> None:
    set_approval_limit(session, "guild", None, 10_000)
    draft = drafted(session, deal)
    with pytest.raises(NotAllowed, match="has to be approved first"):
        issue(session, draft.id)
    own = drafted(session, deal, by=ADA)
    with pytest.raises(NotAllowed, match="closed this yourself"):
        approve(session, own.id, ADA)
    approve(session, own.id, BEN)
    with pytest.raises(NotAllowed, match="approved this yourself"):
        issue(session, own.id, BEN)
    issue(session, own.id, ADA)
    session.commit()
    acts: list[tuple[str, Callable[[Actor], Any]]] = [
        ("credit", lambda by: credit(session, "GLD-000001", by, "why", {1: 10_000})),
        ("write_off", lambda by: write_off(session, "GLD-000001", by, "why")),
        ("void", lambda by: void(session, "GLD-000001", by, "why")),
    ]
    set_approval_limit(session, "guild", "north", 5_000)
    for verb, act in acts:
        with pytest.raises(NotAllowed, match=f"invoice ask GLD-000001 {verb}"):
            act(ADA)
        amounts = {1: 10_000} if verb == "credit" else None
        ask(session, "GLD-000001", verb, ADA, "wanted", amounts=amounts)  # type: ignore[arg-type]
        with pytest.raises(NotAllowed, match="yourself"):
            act(ADA)
        trial = session.begin_nested()
        act(BEN)
        trial.rollback()
    credit(session, "GLD-000001", ADA, "small", {2: 5_000})


def test_a_question_is_answered_once_and_only_as_it_was_asked(session: Session, deal: Agreement) -> None:
    set_approval_limit(session, "guild", "north", 1_000)
    draft = drafted(session, deal)
    approve(session, draft.id, ADA)
    issue(session, draft.id, BEN)
    ask(session, "GLD-000001", "credit", ADA, "wanted", amounts={1: 2_000})
    with pytest.raises(NotAllowed):
        credit(session, "GLD-000001", BEN, "more than asked", {1: 3_000})
    credit(session, "GLD-000001", BEN, "as asked", {1: 2_000})
    with pytest.raises(NotAllowed):
        credit(session, "GLD-000001", BEN, "once more", {1: 2_000})
    with pytest.raises(NotAllowed, match="takes a clerk"):
        ask(session, "GLD-000001", "void", VERA, "curious")


SECOND_PERSON = {
    "an unapproved draft is issued": "UPDATE invoices SET status = 'issued', number = 'GLD-000009', issued_at = now(), "
    "due_on = '2026-12-01', snapshot = '{}', content_hash = 'x'",
    "one person does both": "UPDATE invoices SET approved_by = 'Cleo', issued_by = 'Ben', status = 'issued', number = "
    "'GLD-000009', issued_at = now(), due_on = '2026-12-01', snapshot = '{}', content_hash = 'x'",
    "an approval without a name": "UPDATE invoices SET status = 'approved'",
    "a draft is voided": "UPDATE invoices SET status = 'void'",
    "a write-off by one person": "INSERT INTO invoice_events (invoice_id, kind, actor, role, reason, detail) "
    """SELECT id, 'written_off', 'Ada', 'approver', 'why', '{"amount_minor": 99999}' FROM invoices""",
    "a reason is left out": "INSERT INTO invoice_events (invoice_id, kind, actor, role) "
    "SELECT id, 'released', 'Ada', 'approver' FROM invoices",
    "an invoice is born issued": "INSERT INTO invoices (agreement_id, licensor_id, licensee_id, period_start, "
    "period_end, status, currency, total_minor) SELECT agreement_id, licensor_id, licensee_id, '2025-01-01', "
    "'2025-02-01', 'approved', 'USD', 0 FROM invoices",
    "more tax than on the lines": "UPDATE invoices SET approved_by = 'Ada', issued_by = 'Ben', tax_minor = 5, status = "
    "'issued', number = 'GLD-000009', issued_at = now(), due_on = '2026-12-01', snapshot = '{}', content_hash = 'x'",
}


def refused_of(owner_url: str, statements: dict[str, str]) -> list[str]:
    """Which of the statements the database refuses its owner; what it takes is undone."""
    refused = []
    with psycopg.connect(owner_url) as connection:
        for how, statement in statements.items():
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute(statement)
            except psycopg.Error:
                refused.append(how)
    return refused


def test_the_database_itself_refuses_what_takes_two_people(session: Session, deal: Agreement, owner_url: str) -> None:
    set_approval_limit(session, "guild", None, 10_000)
    drafted(session, deal)
    assert refused_of(owner_url, SECOND_PERSON) == list(SECOND_PERSON)


AFTERWARDS = {
    "an event is changed": "UPDATE invoice_events SET reason = 'another'",
    "an event is deleted": "DELETE FROM invoice_events",
    "the events are truncated": "TRUNCATE invoice_events CASCADE",
    "the log is changed": "UPDATE audit_log SET actor = 'Nobody'",
    "the log is deleted": "DELETE FROM audit_log",
    "the log is truncated": "TRUNCATE audit_log",
    "the end of the log is moved back": "UPDATE audit_heads SET sequence = sequence - 1",
    "the end of the log is taken away": "DELETE FROM audit_heads",
    "the end of the log is moved past an entry that follows no other": "INSERT INTO audit_log (licensor_id, sequence, "
    "actor, role, action, subject, detail, recorded_at, previous_hash, hash) SELECT licensor_id, sequence + n, 'x', "
    "'x', 'x', 'x', '{}', now(), CASE n WHEN 1 THEN hash ELSE repeat('b', 64) END, repeat(n::text, 64) "
    "FROM audit_heads, generate_series(1, 2) n; "
    "UPDATE audit_heads SET sequence = sequence + 2, hash = repeat('2', 64)",
    "the end of the log is moved past an entry that is missing": "INSERT INTO audit_log (licensor_id, sequence, actor, "
    "role, action, subject, detail, recorded_at, previous_hash, hash) SELECT licensor_id, sequence + 2, 'x', 'x', 'x', "
    "'x', '{}', now(), hash, repeat('2', 64) FROM audit_heads; "
    "UPDATE audit_heads SET sequence = sequence + 2, hash = repeat('2', 64)",
    "the tax is changed": "UPDATE invoices SET tax_minor = 1",
    "a credit line is added": "INSERT INTO invoice_lines (invoice_id, no, kind, subject, service_start, service_end, "
    "part, adjustment, description, image_count, unit, unit_amount, amount_minor, price_id, workings, corrects_line_id)"
    " SELECT invoice_id, 99, 'credit', subject, service_start, service_end, 'x', true, '', 0, unit, 0, 0, '', '[]', id "
    "FROM invoice_lines",
    "the approver is changed": "UPDATE invoices SET approved_by = 'Nobody'",
    "an agreed amount is changed": "UPDATE agreed_adjustments SET amount_minor = 1",
}


def test_what_happened_to_an_invoice_cannot_be_rewritten_even_by_the_owner(
    session: Session, deal: Agreement, owner_url: str
) -> None:
    adjust(session, "deal", SEPTEMBER, 100, description="x", by=ADA, reason="y")
    issued(session, deal)
    assert refused_of(owner_url, AFTERWARDS) == list(AFTERWARDS)
    all_agree(session)


def test_the_database_refuses_to_credit_more_than_was_asked_for(session: Session, deal: Agreement) -> None:
    issued(session, deal)
    credit(session, "GLD-000001", ADA, "goodwill", {1: 6_000})
    session.commit()
    note = session.scalars(select(Invoice).where(Invoice.kind == "credit_note")).one()
    copy = text(
        "INSERT INTO invoices (agreement_id, licensor_id, licensee_id, kind, corrects_invoice_id, period_start, "
        "period_end, status, currency, total_minor) SELECT agreement_id, licensor_id, licensee_id, kind, "
        "corrects_invoice_id, period_start, period_end, 'draft', currency, total_minor FROM invoices WHERE id = :id "
        "RETURNING id"
    )
    made = session.execute(copy, {"id": note.id}).scalar_one()
    session.execute(
        text(
            "INSERT INTO invoice_lines (invoice_id, no, kind, subject, service_start, service_end, part, adjustment, "
            "description, image_count, unit, unit_amount, amount_minor, price_id, workings, corrects_line_id) SELECT "
            ":made, no, kind, subject, service_start, service_end, part, adjustment, description, image_count, unit, "
            "unit_amount, amount_minor, price_id, workings, corrects_line_id FROM invoice_lines WHERE invoice_id = :id"
        ),
        {"made": made, "id": note.id},
    )
    with pytest.raises(DBAPIError, match="more is taken back"):
        session.execute(
            text(
                "UPDATE invoices SET status = 'issued', number = 'GLD-CN-000002', issued_at = now(), due_on = "
                "CURRENT_DATE, snapshot = '{}', content_hash = 'x' WHERE id = :made"
            ),
            {"made": made},
        )


def test_both_series_are_gapless_while_many_issue_and_a_third_gives_up(
    session: Session, engine: Engine, trade: Trade
) -> None:
    """Invoices and credit notes by eight hands at once: no gap, no number twice, one log, and no deadlock."""
    agreements = []
    for n in range(12):
        agreements.append(trade.agreement(f"deal-{n}", fees=[flat("sd-1", "0.01")], licensee=f"platform-{n}"))
        trade.use("sd-1", 100 + n, "2026-10-03T00:00Z", licensee=f"platform-{n}")
    drafts = [drafted(session, agreement).id for agreement in agreements]

    def attempt(place: int) -> None:
        with Session(engine) as own:
            if place < 12 and place % 2:  # two acts in one transaction: the log is locked before the series, always
                with suppress(Conflict):
                    approve(own, drafts[place % 12], ADA)
            invoice = issue(own, drafts[place % 12])
            own.rollback() if place % 3 == 1 else own.commit()
            if place % 3 == 0:
                credit(own, invoice.number or "", ADA, "goodwill", {1: 1})
                own.rollback() if place % 2 else own.commit()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(36)))
    session.expire_all()
    for kind, form in (("regular", "GLD-{:06d}"), ("credit_note", "GLD-CN-{:06d}")):
        asked = select(Invoice.number).where(Invoice.kind == kind, Invoice.number.is_not(None)).order_by(Invoice.number)
        numbers = session.scalars(asked).all()
        assert numbers == [form.format(n) for n in range(1, len(numbers) + 1)]
        assert len(numbers) >= 6
    all_agree(session)
