"""Users, passwords and keys: recorded, ended for good, and seen through one licensor's eyes only."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.access import passwords
from core.access.credentials import MACHINE, email_of, machine_of, parse_finance_key, scopes_of
from core.access.eyes import licensor_eyes
from core.access.keys import caller_of, issue_machine_key, issue_user_key, keys_of, revoke_finance_key
from core.access.passwords import fits, hash_of
from core.access.requests import Named, answered, keep
from core.access.tables import FinanceKey, FinanceUser, IdempotentRequest
from core.access.users import add_user, change_role, deactivate, set_password, sign_in
from core.actors import Actor
from core.audit.record import entries, verify_chain
from core.errors import Conflict, InvalidInput, NotAllowed
from core.registry.keys import parse_key
from tests.trade import Trade

ROOT = Actor("root", "admin")
CLERK = Actor("clerk@example.com", "clerk")
PASSWORD = "a long enough one"
AT_FULL_COST = passwords._hasher  # what the product hashes with; elsewhere tests take a shorter way


@pytest.fixture
def trade(session: Session) -> Trade:
    made = Trade(session)
    session.commit()
    return made


def test_a_person_signs_in_with_the_password_until_deactivated(session: Session, trade: Trade) -> None:
    user = add_user(session, "guild", ROOT, email="Ada@Example.com", name="Ada", role="approver", password=PASSWORD)
    assert user.password_hash and PASSWORD not in user.password_hash and user.password_hash.startswith("$argon2id$")
    assert sign_in(session, "ADA@example.com ", PASSWORD).id == user.id
    for email, password in (("ada@example.com", "wrong"), ("eve@example.com", PASSWORD), ("\x00", "\ud800" * 300)):
        with pytest.raises(NotAllowed, match="do not go together"):
            sign_in(session, email, password)
    set_password(session, user.email, Actor(user.email, "approver"), PASSWORD * 2)
    with pytest.raises(NotAllowed):
        set_password(session, user.email, CLERK, PASSWORD)
    with pytest.raises(Conflict, match="is taken"):
        add_user(session, "guild", ROOT, email="ada@EXAMPLE.com", name="Other", role="viewer")
    with pytest.raises(NotAllowed, match="takes an admin"):
        change_role(session, user.email, CLERK, "admin")
    deactivate(session, user.email, ROOT)
    deactivate(session, user.email, ROOT)
    with pytest.raises(NotAllowed):
        sign_in(session, user.email, PASSWORD * 2)
    session.commit()
    log = entries(session, trade.licensor.id)
    assert [entry.action for entry in log] == ["user.added", "user.password_set", "user.deactivated"]
    assert PASSWORD not in str([entry.detail for entry in log]) and verify_chain(session, trade.licensor.id)[1] == []


def test_a_key_is_its_users_role_and_ends_with_expiry_revocation_or_the_user(session: Session, trade: Trade) -> None:
    user = add_user(session, "guild", ROOT, email="ada@example.com", name="Ada", role="viewer")
    text_ = issue_user_key(session, user.email, ROOT, scopes=["payments", "read", "read"])
    caller = caller_of(session, text_)
    assert (caller.actor, caller.licensor, caller.scopes) == (
        Actor("ada@example.com", "viewer"), "guild", {"read", "payments"}
    )  # fmt: skip
    change_role(session, user.email, ROOT, "clerk")
    assert caller_of(session, text_).actor.role == "clerk"
    later = datetime.now(UTC) + timedelta(seconds=1)
    late = issue_machine_key(session, "guild", ROOT, machine="erp", role="clerk", scopes=["close"], expires_at=later)
    assert caller_of(session, late).actor == Actor(f"{MACHINE}erp", "clerk")
    past = issue_user_key(session, user.email, ROOT, scopes=["read"], expires_at=datetime.now(UTC) - timedelta(days=1))
    ended = issue_user_key(session, user.email, ROOT, scopes=["read"])
    revoke_finance_key(session, ended.split("_")[1], ROOT)
    deactivate(session, user.email, ROOT)
    session.commit()
    for dead in (text_, past, ended, late[:-1] + ("a" if late[-1] != "a" else "b"), "", "pfk_" + "é" * 60):
        with pytest.raises(NotAllowed, match="send a live finance key"):
            caller_of(session, dead)
    assert [owner for _, owner in keys_of(session, trade.licensor.id)].count("machine:erp") == 1
    stored = session.scalars(select(FinanceKey)).all()
    assert all(late.split("_", 2)[2].encode() not in key.secret_hash for key in stored)


def test_what_was_ended_stays_so_whoever_asks(session: Session, trade: Trade, owner_url: str) -> None:
    user = add_user(session, "guild", ROOT, email="ada@example.com", name="Ada", role="viewer")
    key = issue_user_key(session, user.email, ROOT, scopes=["read"]).split("_")[1]
    revoke_finance_key(session, key, ROOT)
    deactivate(session, user.email, ROOT)
    session.commit()
    with psycopg.connect(owner_url, autocommit=True) as owner:
        for statement in (
            "UPDATE finance_users SET active = true",
            "UPDATE finance_keys SET revoked_at = NULL",
            "UPDATE finance_keys SET revoked_at = now() + interval '1 day'",
            "DELETE FROM finance_users",
            "DELETE FROM finance_keys",
            "TRUNCATE finance_keys",
        ):
            with pytest.raises(psycopg.errors.RestrictViolation):
                owner.execute(statement)
    for statement in ("UPDATE finance_users SET email = 'x@y'", "UPDATE finance_keys SET secret_hash = ''"):
        with pytest.raises(DBAPIError, match="permission denied"):
            session.execute(text(statement))
        session.rollback()


def test_machines_are_no_admins_and_nobody_is_called_like_one(session: Session, trade: Trade) -> None:
    with pytest.raises(InvalidInput, match="admins are people"):
        issue_machine_key(session, "guild", ROOT, machine="erp", role="admin", scopes=["read"])
    with pytest.raises(NotAllowed):
        issue_machine_key(session, "guild", CLERK, machine="erp", role="viewer", scopes=["read"])
    for text_ in ("machine:erp@x", "ada", "a@b c", "a\n@b", "@", "é@example.com", "a" * 200 + "@b"):
        with pytest.raises(InvalidInput):
            email_of(text_)
    for text_ in ("", "ERP", "erp:x", "-erp", "a" * 65, "erp\n"):
        with pytest.raises(InvalidInput):
            machine_of(text_)
    for words in ([], ["everything"], ["read", ""]):
        with pytest.raises(InvalidInput):
            scopes_of(words)


def test_finance_keys_and_meter_keys_are_not_taken_for_each_other(session: Session, trade: Trade) -> None:
    add_user(session, "guild", ROOT, email="ada@example.com", name="Ada", role="viewer")
    text_ = issue_user_key(session, "ada@example.com", ROOT, scopes=["read"])
    assert parse_finance_key(text_) and parse_key(text_) is None
    assert parse_finance_key(text_.replace("pfk", "pmk")) is None


def test_passwords_are_long_and_salted_and_hashed_at_full_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", AT_FULL_COST)
    for bad in ("short", "x" * 201, "\ud800" * 20):
        with pytest.raises(InvalidInput):
            hash_of(bad)
    one = hash_of(PASSWORD)
    assert one.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert one != hash_of(PASSWORD) and fits(PASSWORD, one) and not fits(PASSWORD + " ", one) and not fits("", None)


def test_an_answer_is_kept_for_whoever_asked_and_for_that_request(session: Session, trade: Trade) -> None:
    request = Named(trade.licensor.id, "ada", "k", b"one")
    assert answered(session, request) is None
    keep(session, request, 201, "{}")
    session.commit()
    session.execute(text("SELECT 1"))
    assert answered(session, request) == (201, "{}")
    assert answered(session, Named(trade.licensor.id, "eve", "k", b"one")) is None
    with pytest.raises(Conflict, match="another request"):
        answered(session, Named(trade.licensor.id, "ada", "k", b"two"))
    session.rollback()
    session.execute(text("UPDATE idempotent_requests SET kept_at = now() - interval '8 days'"))
    keep(session, Named(trade.licensor.id, "ada", "next", b"three"), 200, "{}")
    session.commit()
    assert session.scalars(select(IdempotentRequest.key)).all() == ["next"]


def test_a_licensors_eyes_change_nothing_and_see_no_secrets(session: Session, trade: Trade) -> None:
    with licensor_eyes(session, trade.licensor.id) as seen:
        assert seen.scalar(text("SELECT count(*) FROM licensors")) == 1
    with licensor_eyes(session, trade.licensor.id + 1) as seen:
        for table in ("licensors", "licensees", "accounts", "models", "audit_log", "postings", "payments"):
            assert seen.scalar(text(f"SELECT count(*) FROM {table}")) == 0, table
    for statement in ("UPDATE licensors SET name = ''", "DELETE FROM invoices", "SELECT * FROM finance_keys",
                      "SELECT * FROM meter_keys", "INSERT INTO models DEFAULT VALUES"):  # fmt: skip
        with licensor_eyes(session, trade.licensor.id) as seen, pytest.raises(DBAPIError, match="permission denied"):
            seen.execute(text(statement))
    assert session.scalars(select(FinanceUser)).all() == []
