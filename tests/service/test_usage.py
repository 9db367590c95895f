"""Reading counts: grouped, paged, and never anybody else's."""

import time
from datetime import date, timedelta

import psycopg
import pytest
from sqlalchemy.orm import Session

from core.database import make_engine
from core.usage.counts.rollup import roll_up
from tests.door import Door, event, report

DAYS = [date(2026, 11, 1) + timedelta(days=n) for n in range(5)]


@pytest.fixture
def counted(door: Door, database_url: str) -> Door:
    """Counts of two licensees for two models on five days, the north's in two plans."""
    with psycopg.connect(database_url) as connection:
        for licensee, factor in (("north", 1), ("south", 1000)):
            for model in ("sd-1", "grain"):
                for n, day in enumerate(DAYS, 1):
                    for plan in ("free", "paid"):
                        connection.execute(
                            "INSERT INTO daily_counts (licensee_id, model_id, day, via_model_id, plan, image_count,"
                            " event_count) SELECT l.id, m.id, %s, m.id, %s, %s, 1 FROM licensees l, models m"
                            " WHERE l.slug = %s AND m.slug = %s",
                            [day, plan, n * factor, licensee, model],
                        )
    return door


def rows(door: Door, licensee: str = "north", **params: str) -> list[tuple]:
    found = door.get("/v1/usage", licensee, **params)
    assert found.status_code == 200, found.text
    return [(row.get("model"), row.get("day"), row["image_count"]) for row in found.json()["usage"]]


def test_counts_are_grouped_by_model_and_day(counted: Door):
    expected = [(model, str(day), 2 * n) for model in ("grain", "sd-1") for n, day in enumerate(DAYS, 1)]
    assert rows(counted) == expected
    assert rows(counted, model="sd-1", **{"from": "2026-11-02", "to": "2026-11-04"}) == [
        ("sd-1", "2026-11-02", 4),
        ("sd-1", "2026-11-03", 6),
    ]


def test_counts_can_be_summed_over_days_or_models_or_both(counted: Door):
    assert rows(counted, group_by="model") == [("grain", None, 30), ("sd-1", None, 30)]
    assert rows(counted, group_by="day") == [(None, str(day), 4 * n) for n, day in enumerate(DAYS, 1)]
    assert rows(counted, group_by="none") == [(None, None, 60)]
    assert rows(counted, group_by="none", model="nobody") == []


def test_counts_can_be_grouped_by_plan_output_and_role_and_what_a_lineage_waives_is_shown_when_asked_for(
    counted: Door, database_url: str
):
    with psycopg.connect(database_url) as connection:
        for role, output, images in (("adapter_own", "preview", 7), ("adapter_base_waived", "image", 1000)):
            connection.execute(
                "INSERT INTO daily_counts SELECT l.id, m.id, %s, m.id, 'free', %s, 1, %s, %s FROM licensees l, models m"
                " WHERE l.slug = 'north' AND m.slug = 'grain'",
                [DAYS[0], images, role, output],
            )
    asked = {"group_by": "role,output,plan", "model": "grain"}
    named = [{"plan": plan, "output": "image", "role": "named", "image_count": 15, "event_count": 5}
             for plan in ("free", "paid")]  # fmt: skip
    preview = {"plan": "free", "output": "preview", "role": "adapter_own", "image_count": 7, "event_count": 1}
    assert counted.get("/v1/usage", **asked).json()["usage"] == [named[0], preview, named[1]]
    waived = {"plan": "free", "output": "image", "role": "adapter_base_waived", "image_count": 1000, "event_count": 1}
    assert counted.get("/v1/usage", waived="true", **asked).json()["usage"] == [waived, named[0], preview, named[1]]
    assert rows(counted, group_by="none", model="grain") == [(None, None, 37)]


@pytest.mark.parametrize("group_by", ["model,day", "model", "day", "plan,role,model,day,output", "plan", "output"])
def test_pages_follow_on_without_gap_or_overlap(counted: Door, group_by: str):
    whole = counted.get("/v1/usage", group_by=group_by).json()["usage"]
    pages, after = [], {}
    while True:
        page = counted.get("/v1/usage", group_by=group_by, limit="1", **after).json()
        pages += page["usage"]
        if "next" not in page:
            break
        after = {"after": page["next"]}
    assert pages == whole


@pytest.mark.parametrize("group_by", ["", "model day", "model,", "none,model", "image_count", "model;plan"])
def test_an_unknown_grouping_is_refused(door: Door, group_by: str):
    assert door.get("/v1/usage", group_by=group_by).status_code == 422


def test_a_licensee_sees_its_own_counts_only(counted: Door):
    assert rows(counted, "south", group_by="none") == [(None, None, 60_000)]
    assert rows(counted, "north", group_by="none") == [(None, None, 60)]


def test_a_licensee_sees_its_own_held_names_why_and_what_to_do(door: Door, database_url: str):
    family, unknown = "urn:air:sd1:checkpoint:civitai:1@2", "urn:air:sd1:lora:civitai:3@4"
    with psycopg.connect(database_url) as owner:
        owner.execute("INSERT INTO model_names SELECT %s, id FROM models WHERE slug = 'sd-1'", [family])
    time.sleep(1.2)  # until intake has looked
    sent = [event(model="mystery", image_count=5), event(model="sd-1", adapters=[unknown], image_count=3)]
    assert [each["status"] for each in door.post(report(sent)).json()["results"]] == ["held", "accepted"]
    door.post(report([event(model="south's own", image_count=9)]), "south")
    engine = make_engine(database_url)
    with Session(engine) as session:
        roll_up(session)
        session.commit()
    engine.dispose()
    found = door.get("/v1/usage/held").json()
    assert [(each["name"], each["reason"], each["image_count"], each["counted_for"]) for each in found["held"]] == [
        ("mystery", "unknown_name", 5, [])
    ]
    assert [(each["name"], each["counted_for"], each["registered_as"]) for each in found["unreviewed"]] == [
        (unknown, "sd-1", None)
    ]
    assert found["complete"] and all(each["how_to_fix"] for each in found["held"] + found["unreviewed"])
    assert [each["name"] for each in door.get("/v1/usage/held", "south").json()["held"]] == ["south's own"]
    assert door.client.get("/v1/usage/held").status_code == 401
