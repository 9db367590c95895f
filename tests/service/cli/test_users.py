"""`perimage users` and finance keys, as whoever sets an installation up uses them."""

import json

import pytest
from sqlalchemy.orm import Session

from core.access.invitations import accept, invited
from core.access.keys import caller_of
from core.access.people import sign_in_person
from core.access.users import sign_in
from core.actors import Actor
from core.database import make_engine
from core.errors import NotAllowed, NotFound
from service.cli import users  # noqa: F401 - the verbs under test enter themselves
from tests.service.cli.conftest import Perimage
from tests.trade import Trade

PASSWORD = "correct horse battery"


def test_a_person_is_added_gets_a_key_another_role_and_is_gone(perimage: Perimage, database_url: str) -> None:
    engine = make_engine(database_url)
    with Session(engine) as session:
        Trade(session)
        session.commit()
        twice = f"{PASSWORD}\n{PASSWORD}\n"
        added = perimage("users", "add", "Ada@example.com", "approver", "--name", "Ada", "--password", answer=twice)
        assert added.exit_code == 0 and "ada@example.com as approver of guild" in added.output
        assert PASSWORD not in added.output and sign_in(session, "ada@example.com", PASSWORD).role == "approver"
        asked = ("keys", "issue-finance", "--user", "ada@example.com", "--scope", "read", "--scope", "close", "--json")
        issued = json.loads(perimage(*asked).stdout)
        assert caller_of(session, issued["key"]).actor == Actor("ada@example.com", "approver")
        erp = perimage("keys", "issue-finance", "--machine", "erp", "--role", "clerk").stdout.strip()
        assert caller_of(session, erp).scopes == {"read"}
        assert perimage("users", "role", "ada@example.com", "viewer").exit_code == 0
        assert perimage("keys", "revoke-finance", erp).exit_code == 0
        shown = json.loads(perimage("keys", "list-finance", "--json").stdout)
        assert [(row["owner"], row["revoked_at"] is None) for row in shown] == [
            ("ada@example.com", True), ("machine:erp", False)
        ]  # fmt: skip
        assert issued["key"].split("_", 2)[2] not in json.dumps(shown)
        assert perimage("users", "deactivate", "ada@example.com").exit_code == 0
        session.rollback()
        for dead in (issued["key"], erp):
            with pytest.raises(NotAllowed):
                caller_of(session, dead)
        assert "False" in perimage("users", "list").output
    engine.dispose()


@pytest.mark.parametrize(
    "asked",
    [
        ("users", "add", "ada", "viewer", "--name", "Ada"),
        ("users", "add", "ada@example.com", "boss", "--name", "Ada"),
        ("users", "role", "nobody@example.com", "viewer"),
        ("keys", "issue-finance"),
        ("keys", "issue-finance", "--machine", "erp"),
        ("keys", "issue-finance", "--machine", "erp", "--role", "admin"),
        ("keys", "issue-finance", "--machine", "erp", "--role", "clerk", "--scope", "all"),
        ("keys", "revoke-finance", "nothing"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(perimage: Perimage, database_url: str, asked: tuple[str]) -> None:
    engine = make_engine(database_url)
    with Session(engine) as session:
        Trade(session)
        session.commit()
    engine.dispose()
    refused = perimage(*asked)
    assert refused.exit_code == 2 and refused.stderr.startswith("perimage: ") and "Traceback" not in refused.output


def test_a_licensees_person_is_invited_and_seen_apart_from_the_licensors(perimage: Perimage, database_url: str) -> None:
    engine = make_engine(database_url)
    with Session(engine) as session:
        Trade(session)
        session.commit()
        asked = ("users", "add", "nora@north.example", "manager", "--name", "Nora", "--licensee", "north", "--invite")
        added = perimage(*asked)
        assert added.exit_code == 0 and "nora@north.example as manager of north" in added.output
        first = added.output.split("/welcome/")[1].strip()
        second = perimage("users", "invite", "nora@north.example").output.split("/welcome/")[1].strip()
        with pytest.raises(NotFound):
            invited(session, first)
        accept(session, second, PASSWORD)
        session.commit()
        assert sign_in_person(session, "nora@north.example", PASSWORD).role == "manager"
        assert perimage("users", "role", "nora@north.example", "viewer").exit_code == 0
        assert json.loads(perimage("users", "list", "--json").stdout) == []
        [row] = json.loads(perimage("users", "list", "--licensee", "north", "--json").stdout)
        assert (row["email"], row["role"], row["password"]) == ("nora@north.example", "viewer", True)
        assert perimage("users", "role", "nora@north.example", "admin").exit_code == 2
        assert perimage("users", "password", "nora@north.example", answer=f"{PASSWORD}2\n{PASSWORD}2\n").exit_code == 0
        assert perimage("users", "deactivate", "nora@north.example").exit_code == 0
        session.rollback()
        with pytest.raises(NotAllowed):
            sign_in_person(session, "nora@north.example", f"{PASSWORD}2")
    engine.dispose()
