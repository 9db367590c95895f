"""Events without ids that look like repeats: which are shown, which are not, and to whom."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from core.database import licensee_eyes, make_engine
from core.usage.own.possible_duplicates import APART, ASKED, possible_duplicates
from core.usage.own.unkeyed import unkeyed_bounds, unkeyed_id
from core.usage.tables import UsageEvent
from tests.trade import Trade

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = NOON - timedelta(hours=12), NOON + timedelta(hours=12)


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    engine = make_engine(database_url)
    with Session(engine) as opened:
        Trade(opened).licensee("south")
        yield opened
    engine.dispose()


def received(
    session: Session, *at: float, licensee: int = 1, ago: float = 0, keyed: str = "", **fields: object
) -> None:
    """Events received so many seconds after noon, of so many seconds before that."""
    for seconds in at:
        instant = NOON + timedelta(seconds=seconds)
        event = {"model": "sd-1", "image_count": 1, "adapters": [], "plan": "", "report_no": 0, **fields}
        event_id = f"{keyed}{seconds}" if keyed else unkeyed_id(instant)
        happened = instant - timedelta(seconds=ago)
        session.execute(
            insert(UsageEvent).values(
                licensee_id=licensee, event_id=event_id, occurred_at=happened, received_at=instant, **event
            )
        )


def found(
    session: Session, licensee: int = 1, start: datetime = DAY[0], end: datetime = DAY[1]
) -> list[tuple[str, int]]:
    return [(each.model, each.event_count) for each in possible_duplicates(session, licensee, start, end)]


def test_equal_events_within_five_seconds_of_each_other_are_one_finding(session: Session):
    received(session, 0, 5, 10, 15.1, 20.05, 40)
    assert found(session) == [("sd-1", 2), ("sd-1", 3)]
    (_, first) = possible_duplicates(session, 1, *DAY)
    assert (first.first_received_at, first.last_received_at) == (NOON, NOON + timedelta(seconds=10))
    assert len(first.event_ids) == 3 and list(first.event_ids) == sorted(first.event_ids)


@pytest.mark.parametrize("other", [{"model": "sd-2"}, {"image_count": 2}, {"adapters": ["grain"]}, {"licensee": 2},
                                   {"keyed": "mine-"}, {"output": "preview"}])  # fmt: skip
def test_what_differs_or_has_an_id_is_no_repeat(session: Session, other: dict):
    received(session, 0)
    received(session, 1, **other)
    assert found(session) == []
    received(session, 2)
    assert found(session) == [("sd-1", 2)]


def test_events_that_were_said_to_be_of_earlier_times_are_equal_only_if_those_are(session: Session):
    received(session, 0, 1, 2, ago=3600)  # three images a second apart, told an hour later
    assert found(session) == []
    received(session, 1.5, ago=3600.5)  # of the same instant as the one told at 1
    assert found(session) == [("sd-1", 2)]


def test_a_withdrawn_repeat_is_settled(session: Session):
    received(session, 0, 1)
    (twice,) = possible_duplicates(session, 1, *DAY)
    session.execute(
        text(
            "INSERT INTO usage_corrections (licensee_id, correction_id, event_id, number, kind, image_delta,"
            " image_count_before, image_count_after, reason, actor)"
            " VALUES (1, 'c', :event_id, 1, 'withdraw', -1, 1, 0, 'sent twice', 'us')"
        ),
        {"event_id": twice.event_ids[1]},
    )
    assert found(session) == []


def test_days_are_half_open_and_a_run_over_their_edge_is_found_on_the_later_day(session: Session):
    received(session, 0, 3)
    assert found(session, start=NOON + timedelta(seconds=1)) == [("sd-1", 2)]
    assert found(session, start=NOON + timedelta(seconds=4)) == []
    assert found(session, end=NOON + timedelta(seconds=3)) == []


def test_a_licensee_sees_its_own_only(session: Session):
    received(session, 0, 1)
    received(session, 2, 3, licensee=2)
    session.commit()
    with licensee_eyes(session, 2) as eyes:
        assert found(eyes, 2) == [("sd-1", 2)]
        assert found(eyes, 1) == []


def test_it_reads_the_events_of_its_days_by_their_key_and_not_all_there_are(session: Session, owner_url: str):
    received(session, *range(0, 600, 7))
    received(session, *range(2000), keyed="mine-")
    session.commit()
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute("ANALYZE usage_events")
    first, last = unkeyed_bounds(*DAY)
    asked = {"licensee_id": 1, "first": first, "last": last, "start": DAY[0], "end": DAY[1], "apart": APART, "most": 9}
    with licensee_eyes(session, 1) as eyes:
        plan = [line for (line,) in eyes.execute(text(f"EXPLAIN {ASKED.text}"), asked)]
    assert any("event_id >=" in line and "Index Cond" in line for line in plan), plan


def test_ids_are_version_7_and_in_the_order_of_their_times():
    ids = [unkeyed_id(NOON + timedelta(milliseconds=n)) for n in range(300)]
    assert ids == sorted(ids) and len(set(ids)) == 300
    assert all(len(each) == 44 and each[22] == "7" and each[27] in "89ab" for each in ids)
    first, last = unkeyed_bounds(NOON, NOON + timedelta(milliseconds=300))
    assert first <= ids[0] and ids[-1] < last
    assert unkeyed_id(NOON - timedelta(milliseconds=1)) < first
