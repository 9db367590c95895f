"""Scenarios are kept by version, by whose they are, and out of the other side's eyes."""

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from core.access.eyes import licensor_eyes
from core.database import licensee_eyes, make_engine
from core.errors import InvalidInput, NotAllowed, NotFound
from core.registry.tables import Licensee, Licensor
from core.scenarios.queries import saved_scenario, saved_scenarios
from core.scenarios.save import MOST_SAVED, Owner, delete_scenario, save_scenario
from core.scenarios.tables import Scenario
from tests.trade import Trade

ASKED = {"of": "sd3-enterprise", "price": "14"}


@pytest.fixture
def houses(session: Session) -> tuple[Owner, Owner]:
    Trade(session)
    licensor, licensee = session.scalars(select(Licensor.id)).first(), session.scalars(select(Licensee.id)).first()
    assert licensor is not None and licensee is not None
    return Owner("ada@guild.example", licensor_id=licensor), Owner("mia@north.example", licensee_id=licensee)


def test_a_version_follows_the_other_and_the_last_one_stands(session: Session, houses: tuple[Owner, Owner]) -> None:
    ours, _ = houses
    first = save_scenario(session, ours, "  Round one ", ASKED)
    second = save_scenario(session, ours, "Round two", {**ASKED, "price": "15"}, sharing="party", key=first.key)
    assert (first.version, second.version, first.name) == (1, 2, "Round one")
    assert first.parameters == '{"of":"sd3-enterprise","price":"14"}'
    (found,) = saved_scenarios(session, ours.email)
    assert (found.version, found.name, found.parameters["price"]) == (2, "Round two", "15")
    assert saved_scenario(session, "carla@guild.example", first.key).version == 2
    session.add(Scenario(key=first.key, version=2, licensor_id=ours.licensor_id, owner="x", name="x", sharing="own",
                         parameters="{}"))  # fmt: skip
    with pytest.raises(IntegrityError):
        session.flush()


def test_only_whose_it_is_changes_or_deletes_it(session: Session, houses: tuple[Owner, Owner]) -> None:
    ours, theirs = houses
    carla = Owner("carla@guild.example", licensor_id=ours.licensor_id)
    own = save_scenario(session, ours, "Own", ASKED).key
    shown = save_scenario(session, ours, "Shown", ASKED, sharing="link").key
    for key, other, refusal in ((own, carla, NotFound), (shown, carla, NotAllowed), (shown, theirs, NotFound)):
        with pytest.raises(refusal):
            save_scenario(session, other, "Mine now", ASKED, key=key)
        with pytest.raises(refusal):
            delete_scenario(session, other, key)
    assert delete_scenario(session, ours, own) == "Own"
    with pytest.raises(NotFound):
        saved_scenario(session, ours.email, own)


def test_neither_side_sees_the_others(session: Session, houses: tuple[Owner, Owner]) -> None:
    """The same eyes that read a house's own see nothing of the other's, whatever they ask for."""
    ours, theirs = houses
    assert ours.licensor_id is not None and theirs.licensee_id is not None
    save_scenario(session, ours, "Ours", ASKED, sharing="party")
    save_scenario(session, theirs, "Theirs", ASKED, sharing="party")
    session.commit()
    everything = select(Scenario.name)
    with licensor_eyes(session, ours.licensor_id):
        assert session.scalars(everything).all() == ["Ours"]
    with licensee_eyes(session, theirs.licensee_id):
        assert session.scalars(everything).all() == ["Theirs"]
    with licensee_eyes(session, theirs.licensee_id + 1):
        assert session.scalars(everything).all() == []


@pytest.mark.parametrize("name", ["", "  ", "x" * 121, "a\nb"])
def test_a_name_is_one_that_can_be_read(session: Session, houses: tuple[Owner, Owner], name: str) -> None:
    with pytest.raises(InvalidInput):
        save_scenario(session, houses[0], name, ASKED)


@pytest.mark.parametrize(
    "asked", [{}, {"a b": "1"}, {"a": "x" * 101}, {"a": "\x00"}, {f"k{n}": "1" for n in range(61)}]
)
def test_parameters_are_few_short_and_plain(
    session: Session, houses: tuple[Owner, Owner], asked: dict[str, str]
) -> None:
    with pytest.raises(InvalidInput):
        save_scenario(session, houses[0], "Fine", asked)
    with pytest.raises(InvalidInput):
        save_scenario(session, houses[0], "Fine", ASKED, sharing="everybody")


def test_nobody_keeps_more_than_can_be_looked_through(session: Session, houses: tuple[Owner, Owner]) -> None:
    ours, _ = houses
    session.add_all(
        Scenario(key=f"k{n}", version=1, licensor_id=ours.licensor_id, owner=ours.email, name="x", sharing="own",
                 parameters="{}")
        for n in range(MOST_SAVED)
    )  # fmt: skip
    session.flush()
    with pytest.raises(InvalidInput, match="delete one first"):
        save_scenario(session, ours, "One more", ASKED)


def test_a_version_is_never_edited(session: Session, houses: tuple[Owner, Owner], owner_url: str) -> None:
    save_scenario(session, houses[0], "Kept", ASKED)
    session.commit()
    with pytest.raises(DBAPIError, match="permission denied"):
        session.execute(text("UPDATE scenarios SET name = 'Other'"))
    session.rollback()
    owner = make_engine(owner_url, role=None)
    with owner.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
        connection.execute(text("UPDATE scenarios SET name = 'Other'"))
    owner.dispose()


def test_it_belongs_to_one_house() -> None:
    for parties in ({}, {"licensor_id": 1, "licensee_id": 1}):
        with pytest.raises(InvalidInput):
            Owner("ada@guild.example", **parties)
