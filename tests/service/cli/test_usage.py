"""`perimage usage`: what waits for a name, and moving what was counted by a guess."""

import json

import pytest
from sqlalchemy.orm import Session

from core.database import make_engine
from core.registry.tables import ModelName
from core.usage.rollup import roll_up
from service.cli import usage  # noqa: F401 - the verb under test enters itself
from tests.trade import Trade

AIR = "urn:air:sd1:lora:civitai:3@4"


@pytest.fixture
def waiting(database_url: str) -> str:
    """One unknown name, and one AIR that was counted by a guess and is registered by now."""
    engine = make_engine(database_url)
    with Session(engine) as session:
        trade = Trade(session)
        trade.model("ink", bases=["sd-1"], owes="own")
        session.add(ModelName(name="urn:air:sd1:checkpoint:civitai:1@2", model_id=trade.model("sd-1").id))
        trade.model("other")
        trade.use("other", 5, "2026-10-01T00:00Z", adapters=[AIR])
        trade.use("[bold]mystery", 7, "2026-10-01T00:00Z", licensee="south")
        session.commit()
        roll_up(session)
        session.add(ModelName(name=AIR, model_id=trade.model("ink").id))
        session.commit()
    engine.dispose()
    return database_url


def test_an_operator_sees_what_waits_of_all_licensees(perimage, waiting):
    shown = perimage("usage", "held")
    assert shown.exit_code == 0, shown.output
    assert "[bold]mystery" in shown.stdout and "unknown_name" in shown.stdout and "south" in shown.stdout
    found = json.loads(perimage("usage", "held", "--json").stdout)
    assert [(each["licensee"], each["name"], each["image_count"]) for each in found["held"]] == [
        ("south", "[bold]mystery", 7)
    ]
    assert [(each["name"], each["counted_for"], each["registered_as"]) for each in found["unreviewed"]] == [
        (AIR, "sd-1", "ink")
    ]
    assert json.loads(perimage("usage", "held", "north", "--json").stdout)["held"] == []
    assert perimage("usage", "held", "nobody").exit_code != 0


def test_moving_what_was_counted_takes_a_reason_and_happens_once(perimage, waiting):
    assert perimage("usage", "resolve", AIR).exit_code != 0
    moved = perimage("usage", "resolve", AIR, "--reason", "registered on 3 October")
    assert moved.exit_code == 0 and "Moved 5 images" in moved.stdout, moved.output
    assert "Nothing waits" not in perimage("usage", "held").stdout
    assert "Nothing waits" in perimage("usage", "held", "north").stdout
    again = perimage("usage", "resolve", AIR, "--reason", "again")
    assert again.exit_code != 0 and "nothing was counted by a guess" in again.stderr
    unknown = perimage("usage", "resolve", "urn:air:sd1:lora:civitai:9@9", "--reason", "x")
    assert unknown.exit_code != 0 and "is not registered" in unknown.stderr
