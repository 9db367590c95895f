"""`perimage usage`: what waits for a name, and moving what was counted by a guess."""

import json
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from core.database import make_engine
from core.registry.tables import ModelName
from core.usage.counts.rollup import roll_up
from service.cli import usage  # noqa: F401 - the verb under test enters itself
from tests.core.usage.reporting.test_gaps import NOON, add, sent
from tests.trade import Trade, flat

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


@pytest.fixture
def quiet(database_url: str) -> None:
    """Two licensees: the north is silent on two of four days and has lost a report; the south used a number twice."""
    engine = make_engine(database_url)
    with Session(engine) as session:
        trade = Trade(session, zone="Europe/Berlin")
        first = NOON.date()
        term = {"starts_on": first, "ends_on": first + timedelta(days=4)}
        for licensee in ("north", "south"):
            trade.agreement(f"deal-{licensee}", licensee=licensee, fees=[flat("sd-1", "0.01")], **term)
        for day in (0, 3):
            trade.use("sd-1", 1500, (NOON + timedelta(days=day)).isoformat())
        add(session, sent("[bold]host", [1, 2, 5]))
        add(session, sent("host", [1, 1]), "south")
        session.commit()
        roll_up(session)
        session.commit()
    engine.dispose()


def test_an_operator_sees_silent_days_of_all_agreements_and_every_day_of_one(perimage, quiet):
    shown = perimage("usage", "calendar")
    assert shown.exit_code == 0, shown.output
    assert "deal-north" in shown.stdout and "2025-11-23..2025-11-25" in shown.stdout
    found = json.loads(perimage("usage", "calendar", "--json").stdout)
    assert [(each["agreement"], each["missing_days"]) for each in found] == [("deal-north", 2), ("deal-south", 4)]
    assert [
        each["agreement"] for each in json.loads(perimage("usage", "calendar", "--licensee", "south", "--json").stdout)
    ] == ["deal-south"]
    days = json.loads(perimage("usage", "calendar", "deal-north", "--json").stdout)
    assert [each["state"] for each in days] == ["reported", "missing", "missing", "reported"]
    assert days[0] == {"day": "2025-11-22", "state": "reported", "events": 1, "images": 1500}
    part = perimage("usage", "calendar", "deal-north", "--from", "2025-11-25", "--to", "2025-11-26")
    assert "Europe/Berlin" in part.stdout and "1,500" in part.stdout and "missing" not in part.stdout
    assert perimage("usage", "calendar", "nothing").exit_code == 2
    assert perimage("usage", "calendar", "--licensee", "nobody").exit_code == 2


def test_an_operator_sees_lost_reports_of_all_licensees(perimage, quiet):
    shown = perimage("usage", "gaps")
    assert shown.exit_code == 0, shown.output
    assert "[bold]host" in shown.stdout and "missing" in shown.stdout and "reused" in shown.stdout
    found = json.loads(perimage("usage", "gaps", "--json").stdout)
    assert [(each["licensee"], each["kind"], each["first"], each["last"]) for each in found] == [
        ("north", "missing", 3, 4),
        ("south", "reused", 1, 1),
    ]
    assert found[0]["reports"] == ["[bold]host/2@1", "[bold]host/5@2"]
    assert json.loads(perimage("usage", "gaps", "north", "--source", "host", "--json").stdout) == []
    assert "No report is missing" in perimage("usage", "gaps", "north", "--source", "host").stdout
    assert perimage("usage", "gaps", "nobody").exit_code == 2
