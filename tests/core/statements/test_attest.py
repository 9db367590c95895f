"""Statements of a real database: counted from the events, chained, signed, disputed, settled, shown to outsiders."""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from psycopg.errors import InsufficientPrivilege, RestrictViolation
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from core.database import licensee_eyes
from core.errors import Conflict, InvalidInput, NotFound
from core.invoicing.drafts.close import close
from core.invoicing.life.issue import issue
from core.period import Period
from core.signatures import Signer
from core.statements.attest import attest, certify, dispute, reject
from core.statements.merkle import CHUNK
from core.statements.queries import document_of, envelope_of, proof_of, statement_numbered, statements
from core.statements.settle import agree
from core.statements.tables import Statement
from core.statements.verify import check_statement
from core.usage.corrections.correct import correct
from core.usage.corrections.correction import Order
from core.usage.counts.rollup import roll_up
from core.usage.tables import UsageCorrection
from tests.trade import Trade, flat

SIGNER = Signer(bytes(range(32)))
KEYS = {SIGNER.key_id: SIGNER.public_key}
MARCH, APRIL = Period.month("2026-03"), Period.month("2026-04")
DAY = date(2026, 3, 10)


@pytest.fixture
def trade(session: Session) -> Iterator[Trade]:
    made = Trade(session, zone="Europe/Berlin")
    made.model("sd-1-tuned", bases=["sd-1"])
    made.agreement(fees=[flat("sd-1", "0.01")])
    yield made


def used(trade: Trade, *uses: tuple[str, int, str], **more: Any) -> None:
    for number, (model, images, at) in enumerate(uses):
        trade.use(model, images, at, **more, **({"event_id": f"u-{at}-{number}"} if "event_id" not in more else {}))
    settle_counts(trade.session)


def settle_counts(session: Session) -> None:
    session.commit()
    while roll_up(session).more:
        session.commit()
    session.commit()


def attested(session: Session, period: Period = MARCH) -> Statement:
    session.commit()
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    statement, _ = attest(session, "guild", "north", period, SIGNER)
    session.commit()
    return statement


def holds(statement: Statement, **more: Any) -> bool:
    checks = check_statement(envelope_of(statement), KEYS, **more)
    return bool(checks) and all(check.holds for check in checks)


def images(statement: Statement, model: str = "sd-1") -> int:
    return sum(row["image_count"] for row in document_of(statement)["counts"] if row["model"] == model)


def test_it_states_what_was_sent_by_model_day_and_plan(trade: Trade, session: Session) -> None:
    used(trade, ("sd-1", 100, "2026-03-10T12:00Z"), ("sd-1-tuned", 40, "2026-03-10T13:00Z"))
    used(trade, ("sd-1", 7, "2026-03-10T14:00Z"), plan="free")
    used(trade, ("sd-1", 9, "2026-02-28T23:00Z"), ("sd-1", 1000, "2026-03-31T22:00Z"))  # in Berlin: 1 March, 1 April
    statement = attested(session)
    stated = Counter[tuple[str, str]]()
    for row in document_of(statement)["counts"]:
        stated[row["day"], row["plan"]] += row["image_count"]
    assert stated == {("2026-03-01", ""): 9, ("2026-03-10", ""): 140, ("2026-03-10", "free"): 7}
    assert document_of(statement)["events"]["image_count"] == 156
    assert document_of(statement)["models"] == [{"model": "sd-1", "image_count": 156, "late": 156, "corrected": 0}]
    days = {each["day"]: each["state"] for each in document_of(statement)["calendars"][0]["days"]}
    assert (days["2026-03-10"], days["2026-03-11"], len(days)) == ("reported", "missing", 31)
    assert holds(statement)


def test_whatever_is_changed_in_it_is_seen(trade: Trade, session: Session) -> None:
    used(trade, ("sd-1", 100, "2026-03-10T12:00Z"))
    whole = envelope_of(attested(session))
    changes = [
        ("counts", lambda said: said["counts"][0].update(image_count=99)),
        ("sums", lambda said: said["models"][0].update(image_count=99)),
        ("zone", lambda said: said["period"].update(zone="UTC")),
        ("root", lambda said: said["events"].update(root="00" * 32)),
        ("calendar", lambda said: said["calendars"][0]["days"][3].update(state="zero")),
        ("number", lambda said: said.update(number=2)),
    ]
    for what, change in changes:
        changed = deepcopy(whole)
        change(changed["statement"])
        assert not all(check.holds for check in check_statement(changed, KEYS)), what
    other = Signer(b"\x07" * 32)
    assert not check_statement(whole, {other.key_id: other.public_key})[0].holds
    assert not check_statement(whole, {SIGNER.key_id: other.public_key})[0].holds


def test_statements_are_a_chain_and_a_period_that_changed_gets_another(trade: Trade, session: Session) -> None:
    used(trade, ("sd-1", 100, "2026-03-10T12:00Z"))
    first = attested(session)
    assert attested(session).number == first.number
    used(trade, ("sd-1", 5, "2026-04-02T12:00Z"))
    second = attested(session, APRIL)
    used(trade, ("sd-1", 11, "2026-03-20T12:00Z"))
    third = attested(session)
    documents = [document_of(each) for each in (first, second, third)]
    assert [each["number"] for each in documents] == [1, 2, 3]
    assert [(each["revision"], each["replaces"]) for each in documents] == [(1, None), (1, None), (2, 1)]
    assert holds(second, previous=envelope_of(first)) and holds(third, previous=envelope_of(second))
    assert not holds(third, previous=envelope_of(first))
    assert [(each.number, each.standing) for each in statements(session)] == [(3, "open"), (2, "open"), (1, "replaced")]
    assert images(third) == 111


def test_a_month_that_is_not_over_or_that_nobody_knows_is_refused(trade: Trade, session: Session) -> None:
    session.commit()
    with pytest.raises(Conflict, match="not over"):
        attest(session, "guild", "north", Period.month("2026-12"), SIGNER)
    with pytest.raises(NotFound):
        attest(session, "guild", "nobody", MARCH, SIGNER)


def test_counts_that_differ_from_the_events_are_not_attested(trade: Trade, session: Session, owner_url: str) -> None:
    used(trade, ("sd-1", 100, "2026-03-10T12:00Z"))
    session.execute(text("UPDATE daily_counts SET image_count = image_count - 1"))
    session.commit()
    with pytest.raises(Conflict, match="sd-1 on 2026-03-10"):
        attested(session)


def test_late_and_corrected_images_are_named(trade: Trade, session: Session) -> None:
    used(trade, ("sd-1", 100, "2026-03-10T12:00Z"), event_id="one")
    order = Order("c-1", "one", "amend", "counted twice", image_count=60)
    correct(session, trade.licensee("north").id, [order], "somebody")
    settle_counts(session)
    statement = attested(session)
    assert document_of(statement)["models"] == [{"model": "sd-1", "image_count": 60, "late": 60, "corrected": -40}]


def test_an_event_is_shown_to_be_in_it_and_a_changed_one_is_not(trade: Trade, session: Session) -> None:
    many = CHUNK + 30
    for number in range(many):
        trade.use("sd-1", number + 1, "2026-03-10T12:00Z", event_id=f"e-{number:05}")
    trade.use("unknown-model", 5, "2026-03-10T12:00Z", event_id="e-00007x")
    settle_counts(session)
    statement = attested(session)
    for event_id in ("e-00000", "e-00512", f"e-{CHUNK:05}", f"e-{many - 1:05}"):
        proof = proof_of(session, statement, event_id)
        assert holds(statement, proof=proof)
        forged = deepcopy(proof)
        forged["event"]["image_count"] += 1
        assert not holds(statement, proof=forged)
    for not_in in ("e-00007x", "", "zzz"):
        with pytest.raises(NotFound):
            proof_of(session, statement, not_in)
    trade.model("unknown-model", bases=["sd-1"])  # so that an event beside the first ones counts after all
    settle_counts(session)
    with pytest.raises(Conflict, match="newest statement"):
        proof_of(session, statement, "e-00000")
    assert holds(statement, proof=proof_of(session, statement, f"e-{CHUNK:05}"))
    newest = attested(session)
    assert holds(newest, proof=proof_of(session, newest, "e-00007x"))


def test_the_licensee_certifies_once_and_not_what_it_disputes(trade: Trade, session: Session) -> None:
    used(trade, ("sd-1", 100, "2026-03-10T12:00Z"))
    statement = attested(session)
    claim = {"model": "sd-1", "day": DAY, "reason": "a retry storm", "actor": "north"}
    with pytest.raises(Conflict, match="is what the statement says"):
        dispute(session, statement, claimed=100, **claim)
    found = dispute(session, statement, claimed=80, **claim)
    with pytest.raises(Conflict, match="open disputes"):
        certify(session, statement, "north")
    reject(session, found, reason="the receipts say otherwise", actor="guild")
    assert statements(session)[0].standing == "settled"
    certify(session, statement, "north")
    assert certify(session, statement, "somebody else").actor == "north"
    with pytest.raises(Conflict, match="certified"):
        dispute(session, statement, claimed=70, **claim)
    assert statements(session)[0].standing == "certified"


@pytest.mark.parametrize(
    ("agreed", "events", "credit"),
    [
        (80, [("a", 60), ("b", 40)], "-0.20"),
        (0, [("a", 60), ("b", 40)], "-1.00"),
        (130, [("a", 60), ("b", 40)], "0.30"),
        (25, [], "0.25"),
    ],
)
def test_an_agreed_dispute_is_corrected_and_credited(
    trade: Trade, session: Session, agreed: int, events: list[tuple[str, int]], credit: str
) -> None:
    for event_id, count in events:
        trade.use("sd-1", count, "2026-03-10T12:00Z", event_id=event_id)
    trade.use("sd-1", 500, "2026-03-12T12:00Z", event_id="other")
    settle_counts(session)
    deal = session.execute(text("SELECT id FROM agreements")).scalar_one()
    invoice = close(session, deal, MARCH).invoice
    assert invoice is not None
    issue(session, invoice.id)
    statement = attested(session)
    found = dispute(session, statement, model="sd-1", day=DAY, claimed=agreed, reason="as agreed", actor="north")
    session.commit()
    settlement, delta = agree(session, found, agreed, reason="both looked", actor="guild")
    session.commit()
    assert (settlement.agreed, delta) == (agreed, agreed - sum(count for _, count in events))
    settle_counts(session)
    named = {row.reference for row in session.scalars(select(UsageCorrection))}
    assert named == ({f"dispute {found.dispute_id} of statement 1"} if events else set())
    after = attested(session)
    assert images(after) == 500 + agreed
    trade.use("sd-1", 1000, "2026-04-12T12:00Z")
    settle_counts(session)
    following = close(session, deal, APRIL).invoice
    assert following is not None
    adjusted = [line for line in following.lines if line.adjustment]
    assert [Decimal(line.amount_minor) / 100 for line in adjusted] == [Decimal(credit)]
    with pytest.raises(Conflict, match="settled already"):
        agree(session, found, agreed, reason="again", actor="guild")


def test_what_is_said_is_one_clean_line(trade: Trade, session: Session) -> None:
    used(trade, ("sd-1", 100, "2026-03-10T12:00Z"))
    statement = attested(session)
    for said in ("", "  ", "two\nlines", "x" * 1001, "nul\x00"):
        with pytest.raises(InvalidInput):
            dispute(session, statement, model="sd-1", day=DAY, claimed=1, reason=said, actor="north")
        with pytest.raises(InvalidInput):
            certify(session, statement, said)


def test_a_licensee_sees_its_own_statements_alone(trade: Trade, session: Session) -> None:
    trade.agreement("other", licensee="south", fees=[flat("sd-1", "0.01")])
    used(trade, ("sd-1", 100, "2026-03-10T12:00Z"))
    attested(session)
    with licensee_eyes(session, trade.licensee("south").id):
        assert statements(session) == []
        with pytest.raises(NotFound):
            statement_numbered(session, "guild", "north", 1)
    with licensee_eyes(session, trade.licensee("north").id):
        assert len(statements(session)) == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {} SET number = 9",
        "DELETE FROM {}",
        "TRUNCATE {} CASCADE",
    ],
)
@pytest.mark.parametrize("table", ["statements", "statement_chunks", "certifications", "disputes"])
def test_nothing_of_it_can_be_changed(
    trade: Trade, session: Session, owner_engine: Engine, table: str, change: str
) -> None:
    used(trade, ("sd-1", 100, "2026-03-10T12:00Z"))
    statement = attested(session)
    dispute(session, statement, model="sd-1", day=DAY, claimed=1, reason="wrong", actor="north")
    session.commit()
    for who, refusal in ((session.get_bind(), InsufficientPrivilege), (owner_engine, RestrictViolation)):
        with who.connect() as connection, pytest.raises(DBAPIError) as refused:
            connection.execute(text(change.format(table)))
        assert isinstance(refused.value.orig, refusal)


def test_a_second_statement_cannot_follow_the_same_one(trade: Trade, session: Session) -> None:
    used(trade, ("sd-1", 100, "2026-03-10T12:00Z"))
    attested(session)
    used(trade, ("sd-1", 5, "2026-04-02T12:00Z"))
    second = attested(session, APRIL)
    copied = {
        column.name: getattr(second, column.name) for column in Statement.__table__.columns if column.name != "number"
    }
    session.add(Statement(**{**copied, "number": 3, "hash": "ff", "revision": 5, "replaces": 2}))
    with pytest.raises(IntegrityError, match="previous_hash"):
        session.flush()
    session.rollback()
