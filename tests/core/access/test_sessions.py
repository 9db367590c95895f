"""Sessions, invitations, people of licensees, and tries: who comes in, for how long, and how often one may try."""

from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from core.access.invitations import accept, invite, invited
from core.access.people import (
    actor_of,
    add_licensee_user,
    change_licensee_role,
    change_own_password,
    deactivate_licensee_user,
    find_person,
    licensee_users_of,
    sign_in_person,
)  # fmt: skip
from core.access.sessions import browser_in_short, end_all, end_session, open_session, sessions_of, signed_in
from core.access.tables import LicenseeUser, WebSession
from core.access.throttle import OF_A_CLIENT, OF_AN_ADDRESS, demand_patience, forgive, note_try
from core.access.users import add_user, change_role, deactivate, set_password
from core.actors import Actor, LicenseeActor
from core.audit.record import entries, verify_chain
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound, Unavailable
from tests.trade import Trade

ROOT = Actor("root", "admin")
PASSWORD = "a long enough one"
LIMITS = {"idle": timedelta(minutes=30), "absolute": timedelta(hours=12)}


@pytest.fixture
def trade(session: Session) -> Trade:
    made = Trade(session)
    add_user(session, "guild", ROOT, email="ada@example.com", name="Ada", role="clerk", password=PASSWORD)
    session.commit()
    return made


def _is_in(session: Session, token: str) -> bool:
    session.expire_all()
    return signed_in(session, token, **LIMITS) is not None


def _later(session: Session, owner_url: str, token_id: int, *, seen: str = "0", created: str = "0") -> None:
    """Lets time pass for one session, which only the owner of the tables can do."""
    session.commit()
    with psycopg.connect(owner_url) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(
            "UPDATE web_sessions SET seen_at = seen_at - %s::interval, created_at = created_at - %s::interval"
            " WHERE id = %s",
            [seen, created, token_id],
        )


def test_a_session_is_whoever_the_token_is_now(session: Session, trade: Trade) -> None:
    ada = find_person(session, "ada@example.com")
    assert ada is not None
    made, other = open_session(session, ada), open_session(session, ada)
    assert made.token != other.token and len(made.token) >= 43
    stored = session.get_one(WebSession, made.id)
    assert made.token.encode() not in stored.token_hash and len(stored.csrf_secret) == 32
    found = signed_in(session, made.token, **LIMITS)
    assert found is not None and (found.side, found.party_slug, found.person.email) == (
        "licensor", "guild", "ada@example.com"
    )  # fmt: skip
    change_role(session, ada.email, ROOT, "approver")
    session.expire_all()
    found = signed_in(session, made.token, **LIMITS)
    assert found is not None and actor_of(found.person) == Actor("ada@example.com", "approver")
    assert not any(
        _is_in(session, bad) for bad in ("", made.token[:-1], f"{made.token}x", "\ud800", "\x00", "é" * 9999)
    )


def test_a_session_ends_unused_and_ends_at_last(session: Session, trade: Trade, owner_url: str) -> None:
    ada = find_person(session, "ada@example.com")
    assert ada is not None
    unused, old, fresh = (open_session(session, ada) for _ in range(3))
    _later(session, owner_url, unused.id, seen="30 minutes")
    _later(session, owner_url, old.id, created="12 hours")
    _later(session, owner_url, fresh.id, seen="29 minutes", created="11 hours")
    assert [_is_in(session, each.token) for each in (unused, old, fresh)] == [False, False, True]
    assert [each.id for each in sessions_of(session, ada, **LIMITS)] == [fresh.id]
    session.commit()
    _later(session, owner_url, fresh.id, seen="29 minutes")
    assert _is_in(session, fresh.token), "being seen prolongs it"


def test_being_seen_is_written_at_most_once_a_minute(session: Session, trade: Trade, owner_url: str) -> None:
    ada = find_person(session, "ada@example.com")
    assert ada is not None
    made = open_session(session, ada)

    def version() -> str:
        session.commit()
        return str(
            session.execute(text("SELECT xmin, seen_at FROM web_sessions WHERE id = :id"), {"id": made.id}).one()
        )

    before = version()
    assert _is_in(session, made.token) and version() == before
    _later(session, owner_url, made.id, seen="61 seconds")
    before = version()
    assert _is_in(session, made.token) and version() != before


def test_signing_out_a_new_password_and_deactivation_end_sessions_at_once(session: Session, trade: Trade) -> None:
    ada = find_person(session, "ada@example.com")
    assert ada is not None
    tokens = [open_session(session, ada) for _ in range(3)]
    assert end_session(session, tokens[0].id, "signed out", of=ada) and not _is_in(session, tokens[0].token)
    assert not end_session(session, tokens[0].id, "signed out")
    assert end_all(session, ada, "signed out everywhere", but=tokens[1].id) == 1
    assert [_is_in(session, each.token) for each in tokens] == [False, True, False]
    with pytest.raises(InvalidInput, match="not your password"):
        change_own_password(session, ada, "wrong", PASSWORD * 2)
    change_own_password(session, ada, PASSWORD, PASSWORD * 2)
    assert not _is_in(session, tokens[1].token)
    again = open_session(session, ada)
    set_password(session, ada.email, ROOT, PASSWORD)
    assert not _is_in(session, again.token)
    last = open_session(session, ada)
    deactivate(session, ada.email, ROOT)
    assert not _is_in(session, last.token)
    session.commit()
    for statement in (
        "UPDATE web_sessions SET ended_at = NULL, ended_why = NULL",
        "DELETE FROM web_sessions",
        "UPDATE web_sessions SET finance_user_id = 1",
        "UPDATE invitations SET expires_at = now()",
        "UPDATE licensee_users SET email = 'x@example.com'",
        "DELETE FROM person_addresses",
    ):
        with pytest.raises(DBAPIError):
            session.execute(text(statement))
        session.rollback()


def test_nobody_else_ends_ones_session(session: Session, trade: Trade) -> None:
    ada = find_person(session, "ada@example.com")
    eve = add_user(session, "guild", ROOT, email="eve@example.com", name="Eve", role="admin")
    assert ada is not None
    made = open_session(session, ada)
    assert not end_session(session, made.id, "signed out", of=eve) and _is_in(session, made.token)


def test_a_deactivated_person_is_out_even_if_a_session_was_left(session: Session, trade: Trade) -> None:
    north = trade.licensees["north"]
    user = add_licensee_user(
        session, north.id, ROOT, email="nora@north.example", name="Nora", role="manager", licensor_id=trade.licensor.id
    )
    made = open_session(session, user)
    session.execute(text("UPDATE licensee_users SET active = false"))
    assert not _is_in(session, made.token)


def test_a_licensees_people_are_managed_by_its_licensors_admins_and_its_managers(
    session: Session, trade: Trade
) -> None:
    north, guild = trade.licensees["north"], trade.licensor.id
    add = {"name": "Nora", "licensor_id": guild}
    nora = add_licensee_user(session, north.id, ROOT, email="Nora@North.example", role="manager", **add)  # type: ignore[arg-type]
    by = LicenseeActor(nora.email, "manager")
    olaf = add_licensee_user(session, north.id, by, email="olaf@north.example", name="Olaf", role="viewer")
    looks = LicenseeActor(olaf.email, "viewer")
    for actor, error in ((looks, NotAllowed), (Actor("ada@example.com", "approver"), NotAllowed)):
        with pytest.raises(error):
            add_licensee_user(session, north.id, actor, email="x@north.example", role="viewer", **add)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="have an account"):
        add_licensee_user(session, north.id, ROOT, email="x@n.example", name="X", role="viewer", licensor_id=guild + 1)
    with pytest.raises(InvalidInput, match="viewer or manager"):
        change_licensee_role(session, north.id, olaf.email, by, role="admin")
    assert change_licensee_role(session, north.id, olaf.email, by, role="manager").role == "manager"
    with pytest.raises(NotFound):
        deactivate_licensee_user(session, north.id + 1, olaf.email, by)
    made = open_session(session, olaf)
    deactivate_licensee_user(session, north.id, olaf.email, by)
    assert not _is_in(session, made.token)
    assert [(user.email, user.active) for user in licensee_users_of(session, north.id)] == [
        ("nora@north.example", True), ("olaf@north.example", False)
    ]  # fmt: skip
    session.commit()
    log = [(entry.action, entry.actor, entry.role) for entry in entries(session, guild)]
    assert ("licensee_user.added", "nora@north.example", "licensee manager") in log
    assert ("licensee_user.deactivated", "nora@north.example", "licensee manager") in log
    assert verify_chain(session, guild)[1] == []


def test_one_address_is_one_person_on_either_side(session: Session, trade: Trade) -> None:
    north, guild = trade.licensees["north"], trade.licensor.id
    with pytest.raises(Conflict, match="is taken"):
        add_licensee_user(session, north.id, ROOT, email="ADA@example.com", name="A", role="viewer", licensor_id=guild)
    add_licensee_user(session, north.id, ROOT, email="n@north.example", name="N", role="viewer", licensor_id=guild)
    with pytest.raises(Conflict, match="is taken"):
        add_user(session, "guild", ROOT, email="n@north.example", name="N", role="viewer")
    session.commit()
    past_the_verb = "INSERT INTO finance_users (licensor_id, email, name, role) VALUES (:id, :email, 'N', 'viewer')"
    with pytest.raises(IntegrityError):
        session.execute(text(past_the_verb), {"id": guild, "email": "n@north.example"})


def test_an_invitation_sets_the_first_password_once(session: Session, trade: Trade, owner_url: str) -> None:
    north, guild = trade.licensees["north"], trade.licensor.id
    nora = add_licensee_user(
        session, north.id, ROOT, email="nora@north.example", name="Nora", role="manager", licensor_id=guild
    )
    with pytest.raises(NotAllowed):
        sign_in_person(session, nora.email, "")
    earlier, token = invite(session, nora, ROOT), invite(session, nora, ROOT)
    assert invited(session, token) is nora
    for bad in (earlier, "", token[:-1], "\ud800"):
        with pytest.raises(NotFound, match="this link was used"):
            accept(session, bad, PASSWORD)
    with pytest.raises(InvalidInput, match="12 to 200"):
        accept(session, token, "short")
    accept(session, token, PASSWORD)
    assert sign_in_person(session, "NORA@north.example", PASSWORD) is nora
    with pytest.raises(NotFound):
        accept(session, token, PASSWORD * 2)
    late = invite(session, nora, LicenseeActor(nora.email, "manager"))
    ada = find_person(session, "ada@example.com")
    assert isinstance(nora, LicenseeUser) and ada is not None
    with pytest.raises(NotAllowed):
        invite(session, ada, LicenseeActor(nora.email, "manager"))
    with pytest.raises(NotAllowed):
        invite(session, ada, Actor("ada@example.com", "approver"))
    session.commit()
    with psycopg.connect(owner_url) as owner:
        owner.execute("UPDATE invitations SET expires_at = now() - interval '1 second' WHERE used_at IS NULL")
    with pytest.raises(NotFound):
        invited(session, late)
    assert token not in str([entry.detail for entry in entries(session, guild)])


def test_tries_are_counted_for_the_address_and_for_where_they_come_from(
    session: Session, trade: Trade, owner_url: str
) -> None:
    for _ in range(OF_AN_ADDRESS):
        note_try(session, "ada@example.com", "10.0.0.1")
        demand_patience(session, "ada@example.com", "10.0.0.1")
    note_try(session, " ADA@example.com", "10.0.0.2")
    with pytest.raises(Unavailable, match=r"too many tries to sign in: wait 1\d minutes") as refused:
        demand_patience(session, "ada@example.com", "10.0.0.2")
    assert 800 < refused.value.detail["retry_after"] <= 900
    demand_patience(session, "eve@example.com", "10.0.0.1")
    for number in range(OF_A_CLIENT - OF_AN_ADDRESS):
        note_try(session, f"{number}@example.com", "10.0.0.1")
    demand_patience(session, "eve@example.com", "10.0.0.1")
    note_try(session, "eve@example.com", "10.0.0.1")
    with pytest.raises(Unavailable):
        demand_patience(session, "eve@example.com", "10.0.0.1")
    forgive(session, "ada@example.com")
    demand_patience(session, "ada@example.com", "10.0.0.2")
    session.commit()
    with psycopg.connect(owner_url) as owner:
        owner.execute("UPDATE sign_in_tries SET tried_at = tried_at - interval '15 minutes'")
    demand_patience(session, "eve@example.com", "10.0.0.1")
    note_try(session, "eve@example.com", "10.0.0.1")
    assert session.execute(text("SELECT count(*) FROM sign_in_tries")).scalar_one() == 2, "old ones are forgotten"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0.0.0 Safari/537.36", "Chrome on Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 20_0 like Mac OS X) Version/20.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/150.0 Safari/537.36 Edg/150.0", "Edge on Windows"),
        ("", "unknown browser"),
        ("curl/8\x00\ud800 \u202e", "curl/8 "),
    ],
)
def test_a_browser_is_known_by_a_few_words(header: str, said: str) -> None:
    assert browser_in_short(header) == said
