"""Gaps in sequence numbers: every lost report is found, and nothing that was not lost is called so."""

import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from core.database import licensee_eyes
from core.usage.intake.report import MAX_SEQUENCE
from core.usage.reporting.gaps import Gap, gaps
from tests.trade import Trade

NOON = datetime(2025, 11, 22, 12, tzinfo=UTC)
ADD = text("""
INSERT INTO usage_reports (licensee_id, report_id, report_no, key_id, source, sequence, body_digest, received_at,
                           accepted, duplicate, held, conflict, rejected, image_count, outcomes)
SELECT l.id, r.report_id, 1, 1, r.source, r.sequence, '', r.received_at, 1, 0, 0, 0, 0, 1, '[]'
FROM unnest(CAST(:ids AS text[]), CAST(:sources AS text[]), CAST(:numbers AS bigint[]), CAST(:times AS timestamptz[]))
    AS r (report_id, source, sequence, received_at), licensees l WHERE l.slug = :licensee
""")
FILL = text("""
INSERT INTO usage_reports (licensee_id, report_id, report_no, key_id, source, sequence, body_digest, received_at,
                           accepted, duplicate, held, conflict, rejected, image_count, outcomes)
SELECT l.id, h.source || '/' || n, n, 1, h.source, n, '',
       CAST(:noon AS timestamptz) + n * interval '1 s' + CASE WHEN n % 97 = 0 THEN interval '5 s' ELSE '0' END,
       1, 0, 0, 0, 0, 1, '[]'
FROM licensees l, jsonb_each(CAST(:lost AS jsonb)) AS h (source, numbers), generate_series(1, :each) AS n
WHERE NOT h.numbers @> to_jsonb(n)
""")  # some overtake their followers
Sent = tuple[str, str | None, int | None, datetime]


def sent(source: str | None, numbers: Iterable[int | None], start: datetime = NOON) -> list[Sent]:
    """Reports of a source, one a second, each with an id of its own."""
    return [(f"{source}/{n}@{i}", source, n, start + timedelta(seconds=i)) for i, n in enumerate(numbers)]


def add(session: Session, rows: Iterable[Sent], licensee: str = "north") -> None:
    ids, sources, numbers, times = map(list, zip(*rows, strict=True))
    session.execute(ADD, {"ids": ids, "sources": sources, "numbers": numbers, "times": times, "licensee": licensee})


def shown(found: Iterable[Gap]) -> list[tuple]:
    return [(gap.source, gap.kind, gap.first, gap.last) for gap in found]


@pytest.fixture
def trade(passing: Session) -> Trade:
    opened = Trade(passing)
    opened.account("south")
    return opened


def test_a_run_of_missing_numbers_is_one_gap_with_the_reports_around_it(passing: Session, trade: Trade):
    add(passing, sent("host", [4711, 4712, 4716, 4717]))
    (gap,) = gaps(passing)
    assert (gap.kind, gap.first, gap.last, gap.missing_count) == ("missing", 4713, 4715, 3)
    assert gap.before and gap.after
    assert (gap.before.report_id, gap.after.report_id) == ("host/4712@1", "host/4716@2")
    assert gap.since == NOON + timedelta(seconds=2) == gap.after.received_at


def test_a_late_report_closes_its_gap_and_the_rest_has_been_open_since_the_first_higher_number(
    passing: Session, trade: Trade
):
    add(passing, sent("host", [1, 6, 4, 3]))
    assert [(gap.first, gap.last, gap.since) for gap in gaps(passing)] == [
        (2, 2, NOON + timedelta(seconds=1)),  # 6 came first, though 3 is next to it
        (5, 5, NOON + timedelta(seconds=1)),
    ]
    add(passing, sent("host", [5, 2], NOON + timedelta(hours=1)))
    assert gaps(passing) == []


def test_sources_are_counted_apart_and_reports_without_numbers_or_sources_are_no_gaps(passing: Session, trade: Trade):
    add(passing, [*sent("a", [1, 2, 3]), *sent("b", [2, 4]), *sent(None, [None, 7, 9, None]), *sent("c", [None, None])])
    assert shown(gaps(passing)) == [(None, "missing", 8, 8), ("b", "missing", 3, 3)]
    before, after = gaps(passing)[0].before, gaps(passing)[0].after
    assert before and after and (before.report_id, after.report_id) == ("None/7@1", "None/9@2")
    assert shown(gaps(passing, source="b")) == [("b", "missing", 3, 3)]


def test_a_number_of_two_reports_is_shown_as_used_again_and_is_no_gap(passing: Session, trade: Trade):
    add(passing, sent("host", [1, 2, 3, 1, 2, 4, *[9] * 15]))
    found = gaps(passing)
    assert shown(found) == [
        ("host", "reused", 1, 1),
        ("host", "reused", 2, 2),
        ("host", "missing", 5, 8),
        ("host", "reused", 9, 9),
    ]
    assert [each.report_id for each in found[0].reports] == ["host/1@0", "host/1@3"]
    assert found[0].since == NOON + timedelta(seconds=3) and found[0].missing_count == 0
    assert len(found[3].reports) == 10


def test_the_largest_numbers_there_are_do_not_break_the_sums(passing: Session, trade: Trade):
    add(passing, sent("host", [0, MAX_SEQUENCE, MAX_SEQUENCE]))
    assert [(gap.kind, gap.first, gap.last, gap.missing_count) for gap in gaps(passing)] == [
        ("missing", 1, MAX_SEQUENCE - 1, MAX_SEQUENCE - 1),
        ("reused", MAX_SEQUENCE, MAX_SEQUENCE, 0),
    ]


def test_a_gap_that_is_only_just_open_can_be_left_out(passing: Session, trade: Trade):
    now = passing.execute(text("SELECT now()")).scalar_one()
    add(passing, [*sent("old", [1, 3], now - timedelta(hours=1)), *sent("new", [1, 3], now - timedelta(seconds=2))])
    assert shown(gaps(passing, open_seconds=60)) == [("old", "missing", 2, 2)]
    assert len(gaps(passing)) == 2


def test_pages_follow_on_without_gap_or_overlap(passing: Session, trade: Trade):
    add(passing, [*sent("a", [1, 3, 3, 5, 9]), *sent(None, [1, 3]), *sent("b", [5, 5])])
    whole = gaps(passing)
    pages: list[Gap] = []
    after = None
    while page := gaps(passing, limit=1, after=after):
        pages += page
        after = (page[-1].source or "", page[-1].first, page[-1].kind)
    assert pages == whole and len(whole) == 6


def test_a_licensee_sees_its_own_gaps_though_another_has_the_same_sources_and_ids(session: Session):
    trade = Trade(session)
    trade.account("south")
    add(session, sent("host", [1, 2, 4]))
    add(session, sent("host", [1, 2, 9, 3]), "south")
    session.commit()
    for licensee, expected in (("north", [(3, 3)]), ("south", [(4, 8)])):
        assert [(gap.first, gap.last) for gap in gaps(session, licensee=licensee)] == expected
        with licensee_eyes(session, trade.licensee(licensee).id):
            assert [(gap.licensee, gap.first, gap.last) for gap in gaps(session)] == [(licensee, *expected[0])]
    assert [gap.licensee for gap in gaps(session)] == ["north", "south"]


@pytest.mark.parametrize("hosts", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_of_reports_by_the_ten_thousand_each_lost_one_is_found_and_no_other(engine: Engine, hosts: int):
    """What is lost is chosen here, and what is found is compared with that alone."""
    dice = random.Random(10_000)
    each = 50_000
    lost = {  # never the first or the last, which numbers cannot show; once two next to each other
        f"host-{host}": sorted({*dice.sample(range(2, each), each // 10_000 - 1), 777 + (host == 0)})
        for host in range(hosts)
    }
    lost["host-0"] = sorted({*lost["host-0"], 777})
    with Session(engine) as session:
        Trade(session)
        session.execute(FILL, {"noon": NOON, "lost": json.dumps(lost), "each": each})
        session.commit()
        found = gaps(session)
    counted = [(gap.source, n) for gap in found for n in range(gap.first, gap.last + 1)]
    assert sorted(counted) == sorted((source, n) for source, numbers in lost.items() for n in numbers)
    assert sum(gap.missing_count for gap in found) == len(counted) == hosts * each // 10_000 + 1
