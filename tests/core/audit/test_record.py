"""The audit log: one chain however many write it, and every way of rewriting it is found."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from core.actors import SYSTEM, Actor
from core.audit.chain import GENESIS, Entry, broken_links
from core.audit.record import entries, record, verify_chain
from core.canonical import hash_of
from core.errors import InvalidInput
from tests.trade import Trade

ADA = Actor("Ada", "approver")


@pytest.fixture
def licensor(session: Session) -> int:
    trade = Trade(session)
    session.commit()
    return trade.licensor.id


def written(session: Session, licensor: int, times: int) -> None:
    for n in range(times):
        record(session, licensor, ADA, "invoice.issued", f"invoice GLD-{n:06d}", {"total_minor": n, "who": "日本 =1"})
    session.commit()


def test_thirty_writers_at_once_make_one_chain_and_no_fork(session: Session, engine: Engine, licensor: int) -> None:
    def write(n: int) -> None:
        with Session(engine) as own:
            record(own, licensor, SYSTEM, "invoice.held", f"invoice draft-{n}")
            own.rollback() if n % 3 == 0 else own.commit()

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(write, range(30)))
    assert verify_chain(session, licensor) == (20, [])
    times = [entry.recorded_at for entry in entries(session, licensor)]
    assert times == sorted(times)
    assert [entry.sequence for entry in entries(session, licensor)] == list(range(1, 21))


def test_a_fork_is_refused_by_the_database_even_past_the_lock(session: Session, owner_url: str, licensor: int) -> None:
    written(session, licensor, 3)
    fork = (
        "INSERT INTO audit_log (licensor_id, sequence, actor, role, action, subject, detail, recorded_at, "
        "previous_hash, hash) SELECT licensor_id, 9, actor, role, action, subject, detail, recorded_at, previous_hash, "
        "repeat('a', 64) FROM audit_log WHERE sequence = 2"
    )
    with pytest.raises(psycopg.errors.UniqueViolation), psycopg.connect(owner_url) as owner:
        owner.execute(fork)


TAMPERING: dict[str, tuple[str | None, str]] = {
    "an actor is changed": ("UPDATE audit_log SET actor = 'Ben' WHERE sequence = 2", "not what was recorded"),
    "a detail is changed": ("UPDATE audit_log SET detail = '{}' WHERE sequence = 2", "not what was recorded"),
    "a time is changed": ("UPDATE audit_log SET recorded_at = now() WHERE sequence = 2", "not what was recorded"),
    "one is removed": ("DELETE FROM audit_log WHERE sequence = 2", "entry 2 is missing"),
    "the first is removed": ("DELETE FROM audit_log WHERE sequence = 1", "entry 1 is missing"),
    "the end is cut off": ("DELETE FROM audit_log WHERE sequence = 4", "said to end at 4"),
    "two change places": (
        "UPDATE audit_log SET sequence = CASE sequence WHEN 2 THEN 30 ELSE 2 END WHERE sequence IN (2, 3); "
        "UPDATE audit_log SET sequence = 3 WHERE sequence = 30",
        "does not follow",
    ),
    "one is added": (
        "INSERT INTO audit_log (licensor_id, sequence, actor, role, action, subject, detail, recorded_at, "
        "previous_hash, hash) SELECT licensor_id, 5, actor, role, action, subject, detail, recorded_at, hash, "
        "repeat('a', 64) FROM audit_log WHERE sequence = 4",
        "not what was recorded",
    ),
    "one is rewritten with a right hash of its own": (None, "does not follow"),
    "everything is removed": ("DELETE FROM audit_log", "said to end at 4"),
}


def test_every_way_of_rewriting_the_log_is_found(session: Session, owner_url: str, licensor: int) -> None:
    written(session, licensor, 4)
    assert verify_chain(session, licensor) == (4, [])
    second = entries(session, licensor)[1]
    for how, (given, said) in TAMPERING.items():
        statement = given or ""
        if given is None:
            forged = Entry(
                second.sequence, "Ben", second.role, second.action, second.subject, second.detail, second.recorded_at,
                second.previous_hash, "",
            )  # fmt: skip
            own_hash = hash_of(forged.content(licensor))
            statement = f"UPDATE audit_log SET actor = 'Ben', hash = '{own_hash}' WHERE sequence = 2"
        with psycopg.connect(owner_url) as owner:
            owner.execute("SET session_replication_role = replica")  # triggers are off for whoever may do this
            with owner.transaction(force_rollback=True):
                owner.execute("CREATE TEMP TABLE kept AS SELECT * FROM audit_log")
                for one in statement.split("; "):
                    owner.execute(one)
                owner.execute("SET CONSTRAINTS ALL IMMEDIATE")
                rows = owner.execute(
                    "SELECT sequence, actor, role, action, subject, detail, recorded_at, previous_hash, hash "
                    "FROM audit_log ORDER BY sequence"
                ).fetchall()
                head = owner.execute("SELECT sequence, hash FROM audit_heads").fetchone()
        wrong = broken_links(licensor, (Entry(*row) for row in rows), head)
        assert any(said in sentence for sentence in wrong), (how, wrong)


def test_what_would_not_come_back_as_it_went_in_is_refused(session: Session, licensor: int) -> None:
    for detail in ({"a": 1.5}, {"a": "\0"}, {"a": ["\ud800"]}, {"\0": 1}, {"a": {"b": object()}}):
        with pytest.raises(InvalidInput):
            record(session, licensor, ADA, "x", "y", detail)
    for name in ("", " ", "a\nb", "x" * 201, "\0"):
        with pytest.raises(InvalidInput):
            Actor(name, "clerk")
    with pytest.raises(InvalidInput, match="machine's own"):
        Actor("system", "admin")


def test_an_empty_log_is_whole_and_one_that_lost_its_end_is_not() -> None:
    assert broken_links(1, [], None) == []
    assert broken_links(1, [], (0, GENESIS)) == []
    assert broken_links(1, [], (1, "a" * 64)) != []
