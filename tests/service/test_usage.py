"""Reading counts: grouped, paged, and never anybody else's."""

from datetime import date, timedelta

import psycopg
import pytest

from tests.door import Door

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
                            "INSERT INTO daily_counts SELECT l.id, m.id, %s, m.id, %s, %s, 1 FROM licensees l, models m"
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


@pytest.mark.parametrize("group_by", ["model,day", "model", "day"])
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


def test_a_licensee_sees_its_own_counts_only(counted: Door):
    assert rows(counted, "south", group_by="none") == [(None, None, 60_000)]
    assert rows(counted, "north", group_by="none") == [(None, None, 60)]
