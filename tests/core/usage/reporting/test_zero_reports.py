"""Zero reports: read strictly, kept once for their id, and never about the future."""

import json
from datetime import date, timedelta

import psycopg
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.database import APP_ROLE, LICENSEE_ROLE, libpq_options, licensee_eyes
from core.errors import Conflict, InvalidInput
from core.usage.reporting.zero_reports import ZeroBody, read_zero_report, report_zero, zero_reports
from tests.trade import Trade, flat

GOOD = {"zero_report_id": "z", "from": "2026-01-10", "to": "2026-01-12"}
DAY = timedelta(days=1)
FIRST = date(2026, 1, 10)


def read(**fields: object) -> ZeroBody:
    return read_zero_report(json.dumps({**GOOD, **fields}).encode())


def code(body: bytes) -> str:
    with pytest.raises(InvalidInput) as refused:
        read_zero_report(body)
    assert len(refused.value.sentence) > 20
    return refused.value.code


def test_a_zero_report_is_read():
    assert read(model="sd-1", reason="closed") == ZeroBody("z", FIRST, FIRST + 2 * DAY, "sd-1", "closed")
    assert read() == ZeroBody("z", FIRST, FIRST + 2 * DAY)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"zero_report_id": ""}, "invalid_zero_report_id"),
        ({"zero_report_id": "x" * 256}, "invalid_zero_report_id"),
        ({"zero_report_id": 7}, "invalid_zero_report_id"),
        ({"zero_report_id": "a\x00b"}, "invalid_zero_report_id"),
        ({"zero_report_id": " a"}, "invalid_zero_report_id"),
        ({"from": "2026-01-32"}, "invalid_from"),
        ({"from": "2026-01-10T00:00:00Z"}, "invalid_from"),
        ({"from": 20260110}, "invalid_from"),
        ({"from": True}, "invalid_from"),
        ({"to": "10000-01-01"}, "invalid_to"),
        ({"to": "2026-01-10"}, "empty_period"),
        ({"to": "2026-01-09"}, "empty_period"),
        ({"to": "2027-01-12"}, "period_too_long"),
        ({"model": ""}, "invalid_model"),
        ({"model": ["sd-1"]}, "invalid_model"),
        ({"reason": "\u202eevil"}, "invalid_reason"),
        ({"reason": "x" * 1001}, "invalid_reason"),
        ({"licensee": "south"}, "unknown_field"),
    ],
)
def test_what_is_wrong_is_refused_by_its_field(fields: dict, expected: str):
    assert code(json.dumps({**GOOD, **fields}).encode()) == expected


def test_a_body_that_is_no_plain_object_is_refused():
    assert code(b"[]") == "invalid_zero_report"
    assert code(b'{"zero_report_id": "z", "from": "2026-01-10"}') == "missing_field"
    doubled = json.dumps(GOOD)[:-1] + ', "to": "2026-01-11"}'
    assert code(doubled.encode()) == "duplicate_field"
    for body in (b"", b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000):
        assert code(body) in ("invalid_json", "invalid_zero_report", "unknown_field"), body


@pytest.fixture
def trade(passing: Session) -> Trade:
    opened = Trade(passing, zone="Pacific/Kiritimati")
    opened.agreement(fees=[flat("sd-1", "0.01")])
    opened.model("other")
    opened.account("south", "UTC")
    return opened


def test_the_same_zero_report_again_is_the_same_fact_and_another_one_is_a_conflict(passing: Session, trade: Trade):
    north, south = trade.licensee("north").id, trade.licensee("south").id
    first, before = report_zero(passing, north, 1, read(model="sd-1", reason="closed"))
    assert not before
    again, before = report_zero(passing, north, 2, read(model="sd-1", reason="closed"))
    assert before and again.received_at == first.received_at and again.key_id == 1
    for change in ({"to": "2026-01-13"}, {"from": "2026-01-09"}, {"model": "other"}, {"reason": "other"}):
        with pytest.raises(Conflict):
            report_zero(passing, north, 1, read(**{"model": "sd-1", "reason": "closed", **change}))
    _, before = report_zero(passing, south, 1, read(reason="ours"))
    assert not before
    with licensee_eyes(passing, south):
        assert [row.reason for row in zero_reports(passing)] == ["ours"]


def test_nobody_can_say_that_there_will_be_nothing(passing: Session, trade: Trade):
    now = passing.execute(select(func.now())).scalar_one()
    north, south = trade.licensee("north").id, trade.licensee("south").id
    there = (now + timedelta(hours=14)).date()  # the north's day begins fourteen hours before the south's
    report_zero(passing, north, 1, ZeroBody("today", there, there + DAY))
    for licensee, today in ((north, there), (south, now.date())):
        with pytest.raises(InvalidInput) as refused:
            report_zero(passing, licensee, 1, ZeroBody("tomorrow", today, today + 2 * DAY))
        assert refused.value.code == "day_in_future"


def test_a_model_must_be_one_that_an_agreement_covers_on_one_of_the_days(passing: Session, trade: Trade):
    north, south = trade.licensee("north").id, trade.licensee("south").id
    asked = [
        (north, "nobody", FIRST),
        (north, "other", FIRST),
        (north, "sd-1", date(2025, 6, 1)),
        (south, "sd-1", FIRST),
    ]
    said = []
    for licensee, model, day in asked:
        with pytest.raises(InvalidInput) as refused:
            report_zero(passing, licensee, 1, ZeroBody("z", day, day + DAY, model))
        said.append(refused.value.code)
    assert said == ["unknown_model", "model_not_covered", "model_not_covered", "model_not_covered"]
    assert zero_reports(passing) == []


def test_zero_reports_and_signing_keys_are_append_only(session: Session, owner_url: str):
    trade = Trade(session)
    report_zero(session, trade.licensee("north").id, 1, read())
    session.commit()
    for role in (APP_ROLE, LICENSEE_ROLE, None):
        with psycopg.connect(owner_url, options=libpq_options(role)) as connection:
            for table in ("zero_reports", "signing_keys"):
                for way in (f"DELETE FROM {table}", f"UPDATE {table} SET key_id = NULL", f"TRUNCATE {table}"):
                    with pytest.raises(psycopg.Error, match=r"append-only|permission denied"):
                        connection.execute(way.encode())
                    connection.rollback()
    assert len(zero_reports(session)) == 1
