"""Totals of the daily counts: the database keeps them, in the statement that changes the counts, whoever does it."""

from datetime import date
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.access.eyes import licensor_eyes
from core.database import licensee_eyes
from core.period import Period
from core.registry.tables import ModelName
from core.usage.counts.review import re_resolve
from core.usage.counts.rollup import rebuild, roll_up
from core.usage.counts.totals import by_days, by_months, verify_totals
from tests.trade import Trade, forget_everything

YEAR = Period(date(2026, 1, 1), date(2027, 1, 1))
OPS = st.lists(
    st.one_of(
        st.tuples(st.just("use"), st.sampled_from(["sd-1", "tune", "later"]), st.sampled_from(["", "free"]),
                  st.sampled_from(["2026-09-30T23:59Z", "2026-10-01T00:00Z", "2026-10-31T12:00Z"]), st.integers(1, 9),
                  st.sampled_from(["north", "south"])),
        st.sampled_from([("roll",), ("roll",), ("rebuild",), ("register",), ("delete",)]),
    ),
    min_size=3, max_size=14,
)  # fmt: skip


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ops=OPS)
def test_whatever_changes_the_counts_the_totals_are_their_sums(engine: Engine, owner_url: str, ops: list[Any]) -> None:
    forget_everything(owner_url)
    with Session(engine) as session:
        trade = Trade(session)
        trade.account("south")
        trade.model("tune", bases=["sd-1"])
        known = False
        for op, *said in [*ops, ("roll",)]:
            if op == "use":
                model, plan, at, images, who = said
                trade.use(model, images, at, plan=plan, licensee=who)
            elif op == "register" and not known:
                session.add(ModelName(name="later", model_id=trade.models["tune"].id))
                known = True
            session.commit()
            if op == "rebuild":
                rebuild(session)
            elif op == "delete":
                session.execute(text("DELETE FROM daily_counts WHERE day = '2026-10-01'"))
            elif op == "roll":
                roll_up(session)
            session.commit()
            assert verify_totals(session)[1] == [], op
        counted = session.scalar(text("SELECT coalesce(sum(image_count), 0) FROM daily_counts"))
        for found in (by_months(session, trade.licensor.id, YEAR, []), by_days(session, trade.licensor.id, YEAR, [])):
            assert sum(total.image_count for total in found) == counted


def test_corrections_and_moved_guesses_reach_the_totals(session: Session) -> None:
    trade = Trade(session)
    trade.model("sd-1")
    session.add(ModelName(name="urn:air:sd1:checkpoint:civitai:1@1", model_id=trade.models["sd-1"].id))
    trade.model("ink", bases=["sd-1"], owes="own")
    air = "urn:air:sd1:lora:civitai:2@2"
    trade.use(air, 100, "2026-10-03T12:00Z", event_id="a")
    session.commit()
    roll_up(session)
    session.add(ModelName(name=air, model_id=trade.models["ink"].id))
    session.commit()
    re_resolve(session, air, actor="Ada", reason="it is ink")
    session.commit()
    session.execute(
        text("INSERT INTO usage_corrections (licensee_id, correction_id, event_id, number, kind, image_delta, "
             "image_count_before, image_count_after, reason, actor) VALUES "
             "(:l, 'c', 'a', 1, 'amend', -40, 100, 60, 'tests', 'Ada')"), {"l": trade.licensee("north").id},
    )  # fmt: skip
    session.commit()
    roll_up(session)
    session.commit()
    assert verify_totals(session)[1] == []
    assert [(each.model_id, each.image_count) for each in by_days(session, trade.licensor.id, YEAR, ["model_id"])] == [
        (trade.models["ink"].id, 60)
    ]


def test_emptying_the_counts_empties_the_totals(session: Session, owner_url: str) -> None:
    trade = Trade(session)
    trade.model("sd-1")
    trade.use("sd-1", 7, "2026-10-03T12:00Z")
    session.commit()
    roll_up(session)
    session.commit()
    with psycopg.connect(owner_url) as owner:
        owner.execute("TRUNCATE daily_counts")
    assert verify_totals(session) == (0, [])


def test_a_total_that_is_wrong_is_found_and_nobody_but_the_database_can_make_it_so(
    session: Session, owner_url: str
) -> None:
    trade = Trade(session)
    trade.model("sd-1")
    trade.use("sd-1", 7, "2026-10-03T12:00Z")
    session.commit()
    roll_up(session)
    session.commit()
    for table in ("licensee_months", "model_days"):
        for way in (
            f"UPDATE {table} SET image_count = 0",
            f"DELETE FROM {table}",
            f"INSERT INTO {table} SELECT * FROM {table}",
        ):
            with pytest.raises(DBAPIError, match="permission denied"):
                session.execute(text(way))
            session.rollback()
    with psycopg.connect(owner_url) as owner:
        owner.execute("UPDATE licensee_months SET image_count = image_count + 1")
        owner.execute("UPDATE model_days SET event_count = event_count + 1")
    assert [(each.kept, each.counted) for each in verify_totals(session)[1]] == [(8, 7), (7, 7)]


def test_each_side_sees_its_own_totals(session: Session) -> None:
    trade = Trade(session)
    trade.model("sd-1")
    trade.account("south")
    for who, images in (("north", 7), ("south", 5)):
        trade.use("sd-1", images, "2026-10-03T12:00Z", licensee=who)
    session.commit()
    roll_up(session)
    session.commit()
    licensor_id, north = trade.licensor.id, trade.licensee("north").id
    months, days = "SELECT coalesce(sum(image_count), 0) FROM licensee_months", "SELECT count(*) FROM model_days"
    for id_, seen in ((licensor_id, (12, 1)), (licensor_id + 1, (0, 0))):
        with licensor_eyes(session, id_) as eyes:
            assert (eyes.scalar(text(months)), eyes.scalar(text(days))) == seen
    with licensee_eyes(session, north) as eyes:
        assert eyes.scalar(text(months)) == 7
        with pytest.raises(DBAPIError, match="permission denied"):
            eyes.scalar(text(days))  # what all licensees made together is nothing for one of them
