"""Correcting events: judged one after the other, taken once, whoever asks at the same time, and counted exactly."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from core.database import make_engine
from core.errors import InvalidInput
from core.usage.corrections.correct import correct, standing
from core.usage.corrections.correction import Answer, Order
from core.usage.counts.caps import capped_agreements, full_months
from core.usage.counts.review import review
from core.usage.counts.rollup import rebuild, roll_up
from core.usage.counts.verify import verify_rollup
from core.usage.tables import DailyCount, UsageCorrection
from tests.core.usage.counts.test_rollup import rolled
from tests.trade import Trade, flat

AT = "2026-10-02T12:00Z"


def withdraw(correction_id: str, event_id: str = "e", **more: object) -> Order:
    return Order(correction_id, event_id, "withdraw", **{"reason": "a test run", **more})  # type: ignore[arg-type]


def amend(correction_id: str, event_id: str = "e", **more: object) -> Order:
    return Order(correction_id, event_id, "amend", **{"reason": "miscounted", **more})  # type: ignore[arg-type]


def make(session: Session, trade: Trade, *orders: Order, licensee: str = "north") -> list[Answer]:
    """Corrections as a door makes them: in a transaction of their own."""
    session.commit()
    answers = correct(session, trade.licensee(licensee).id, orders, "Ada")
    session.commit()
    return answers


def said(answers: list[Answer]) -> list[tuple[str, str | None, int | None]]:
    return [(a.status, a.code, a.correction.image_count_after if a.correction else None) for a in answers]


@pytest.fixture
def crowd(database_url: str) -> Iterator[Engine]:
    """Connections for twenty at once."""
    made = make_engine(database_url, pool_size=20)
    yield made
    made.dispose()


@pytest.fixture
def trade(session: Session) -> Trade:
    """One event of ten images, called e."""
    made = Trade(session)
    made.model("sd-1")
    made.use("sd-1", 10, AT, event_id="e")
    session.commit()
    return made


def test_a_chain_of_corrections_is_taken_in_order_and_counts(session: Session, trade: Trade) -> None:
    session.commit()
    assert [type(n) for n in (roll_up(session).event_count, verify_rollup(session)[0])] == [int, int]
    asked = (
        amend("1", image_count=7),
        amend("2", image_delta=-2),
        amend("3", image_delta=20),
        withdraw("4"),
        amend("5", image_count=3),
    )
    assert said(make(session, trade, *asked)) == [("accepted", None, n) for n in (7, 5, 25, 0, 3)]
    assert sum(rolled(session).values()) == 3
    rows = session.execute(select(UsageCorrection).order_by(UsageCorrection.number)).scalars().all()
    assert [(r.number, r.image_count_before, r.image_delta, r.image_count_after) for r in rows] == [
        (1, 10, -3, 7),
        (2, 7, -2, 5),
        (3, 5, 20, 25),
        (4, 25, -25, 0),
        (5, 0, 3, 3),
    ]
    assert {(r.actor, r.reason) for r in rows} == {("Ada", "miscounted"), ("Ada", "a test run")}
    assert session.execute(select(DailyCount.image_count, DailyCount.event_count)).one() == (3, 1)
    assert verify_rollup(session) == (1, [])


def test_what_cannot_be_is_refused_with_a_code_and_changes_nothing(session: Session, trade: Trade) -> None:
    for order, code in (
        (withdraw("1", "nobody"), "unknown_event"),
        (amend("1", image_count=10), "no_change"),
        (amend("1", image_delta=0), "no_change"),
        (amend("1", image_delta=-11), "below_zero"),
        (amend("1", image_delta=1_000_000_000), "too_many_images"),
    ):
        [answer] = make(session, trade, order)
        assert (answer.status, answer.code) == ("rejected", code)
        assert answer.message and len(answer.message) > 20
    assert session.scalar(select(func.count()).select_from(UsageCorrection)) == 0
    assert sum(rolled(session).values()) == 10


def test_the_same_correction_again_gets_the_same_answer_and_another_under_its_id_is_a_conflict(
    session: Session, trade: Trade
) -> None:
    [first] = make(session, trade, amend("1", image_count=4, reference="T-1"))
    trade.use("sd-1", 10, AT, event_id="f")
    again, by_delta, *others = make(
        session,
        trade,
        amend("1", image_count=4, reference="T-1"),
        amend("1", image_delta=-6, reference="T-1"),
        amend("1", image_count=5, reference="T-1"),
        amend("1", image_count=4, reference="T-2"),
        amend("1", image_count=4),
        amend("1", image_count=4, reference="T-1", reason="other"),
        amend("1", "f", image_count=4, reference="T-1"),
        withdraw("1", reason="miscounted", reference="T-1"),
        withdraw("2"),
        withdraw("2"),
        withdraw("2", reason="other"),
    )
    assert again.status == by_delta.status == "duplicate"
    assert again.correction == first.correction
    assert [each.status for each in others] == ["conflict"] * 6 + ["accepted", "duplicate", "conflict"]
    assert sum(rolled(session).values()) == 10


def test_a_licensee_corrects_its_own_events_and_cannot_tell_that_others_exist(session: Session, trade: Trade) -> None:
    trade.account("south")
    trade.use("sd-1", 5, AT, event_id="e", licensee="south")
    trade.use("sd-1", 5, AT, event_id="only-south", licensee="south")
    asked = (withdraw("1", "only-south"), withdraw("2", "nowhere"), withdraw("3"))
    theirs, nobodys, own = make(session, trade, *asked)
    assert (theirs.code, theirs.message) == (nobodys.code, nobodys.message)
    assert own.status == "accepted"
    [same_id] = make(session, trade, amend("3", image_count=4), licensee="south")
    assert same_id.status == "accepted"
    found = rolled(session)
    assert {licensee: n for (licensee, _, _), n in found.items()} == {
        trade.licensee("north").id: 0,
        trade.licensee("south").id: 9,
    }


def test_nobody_corrects_namelessly(session: Session, trade: Trade) -> None:
    for actor in ("", " ", "a\nb", "x" * 301):
        with pytest.raises(InvalidInput, match="say who"):
            correct(session, trade.licensee("north").id, [withdraw("1")], actor)


def test_twenty_at_once_take_no_more_than_there_is(session: Session, crowd: Engine, trade: Trade) -> None:
    north = trade.licensee("north").id
    rolled(session)

    def take(n: int) -> str:
        with Session(crowd) as own:
            [answer] = correct(own, north, [amend(f"c{n}", image_delta=-1 if n % 2 else -2)], "Ada")
            own.commit()
            return answer.status

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(take, range(20)))
    left = standing(session, north, ["e"])["e"]
    taken = session.scalar(select(func.sum(UsageCorrection.image_delta)))
    assert (left.image_count, left.corrections) == (10 + (taken or 0), statuses.count("accepted"))
    assert left.image_count in (0, 1)  # of twenty that ask for thirty in all, none is turned away too early
    assert sum(rolled(session).values()) == left.image_count
    assert verify_rollup(session)[1] == []


def test_one_correction_sent_twenty_times_at_once_is_made_once(session: Session, crowd: Engine, trade: Trade) -> None:
    north = trade.licensee("north").id
    session.commit()

    def send(_: int) -> tuple[str, object]:
        with Session(crowd) as own:
            [answer] = correct(own, north, [amend("c", image_delta=-3)], "Ada")
            own.commit()
            return answer.status, answer.correction

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))
    assert sorted(status for status, _ in answers) == ["accepted"] + ["duplicate"] * 19
    assert len({made for _, made in answers}) == 1
    assert sum(rolled(session).values()) == 7


def test_whoever_writes_past_the_verb_cannot_break_the_chain_either(
    session: Session, crowd: Engine, trade: Trade
) -> None:
    """Twenty raw inserts at once, each as the first correction of the event: the database lets one through."""
    north = trade.licensee("north").id
    session.commit()

    def insert(n: int) -> bool:
        with Session(crowd) as own:
            try:
                own.execute(
                    text(
                        "INSERT INTO usage_corrections (licensee_id, correction_id, event_id, number, kind,"
                        " image_delta, image_count_before, image_count_after, reason, actor)"
                        " VALUES (:north, :id, 'e', 1, 'amend', -9, 10, 1, 'raw', 'Eve')"
                    ),
                    {"north": north, "id": f"raw-{n}"},
                )
                own.commit()
            except IntegrityError:
                return False
            return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(insert, range(20))) == 1
    assert sum(rolled(session).values()) == 1


def test_a_correction_is_refused_by_the_database_if_its_transaction_is_older_than_its_event(
    session: Session, engine: Engine, trade: Trade
) -> None:
    """The roll-up would take such a correction before its event; the verb itself never gets into this."""
    with Session(engine) as early:
        early.execute(text("SELECT pg_current_xact_id()"))
        trade.use("sd-1", 5, AT, event_id="younger")
        session.commit()
        with pytest.raises(DBAPIError, match="began to write too early"):
            correct(early, trade.licensee("north").id, [withdraw("1", "younger")], "Ada")


def test_a_correction_that_commits_late_is_not_missed(session: Session, engine: Engine, trade: Trade) -> None:
    north = trade.licensee("north").id
    rolled(session)
    with Session(engine) as slow:
        correct(slow, north, [amend("late", image_count=4)], "Ada")  # written first, committed last
        trade.use("sd-1", 1, AT, event_id="f")
        assert sum(rolled(session).values()) == 10  # the younger event waits for the older correction
        slow.commit()
    assert sum(rolled(session).values()) == 5
    assert roll_up(session).correction_count == 0
    assert verify_rollup(session) == (2, [])


def test_a_step_that_ends_between_an_event_and_its_correction_takes_each_once(session: Session, trade: Trade) -> None:
    for n in range(6):
        trade.use("sd-1", 10, AT, event_id=f"e{n}")
        make(session, trade, amend(f"c{n}", f"e{n}", image_delta=-n - 1), withdraw(f"d{n}", f"e{n - 1}"))
    steps, taken = 0, 0
    while True:
        done = roll_up(session, step=1)
        session.commit()
        steps, taken = steps + 1, taken + done.correction_count
        assert verify_rollup(session)[1] == []
        if not done.more:
            break
    assert (steps >= 6, taken) == (True, 11)
    assert session.scalar(select(func.sum(DailyCount.image_count))) == 10 + 4


def test_a_step_takes_only_so_many_corrections(session: Session, trade: Trade) -> None:
    rolled(session)
    for n in range(5):
        make(session, trade, amend(f"c{n}", image_delta=-1))
    taken = []
    while (done := roll_up(session, step=2)).more or done.correction_count:
        session.commit()
        taken.append(done.correction_count)
    session.commit()
    assert (sum(taken), max(taken)) == (5, 2)
    assert sum(rolled(session).values()) == 5


def test_corrections_follow_an_event_whose_name_is_learned_later(session: Session, trade: Trade) -> None:
    trade.use("mystery", 10, AT, event_id="m")
    rolled(session)
    make(session, trade, amend("1", "m", image_count=8))
    rolled(session)
    assert [held.image_count for held in review(session).held] == [8]
    make(session, trade, amend("2", "m", image_count=6))  # not rolled up yet when the name is learned
    trade.model("mystery")
    rolled(session)
    by_model = dict(session.execute(select(DailyCount.model_id, DailyCount.image_count)).all())
    assert by_model == {trade.models["sd-1"].id: 10, trade.models["mystery"].id: 6}
    assert verify_rollup(session)[1] == []
    rebuild(session)
    session.commit()
    assert dict(session.execute(select(DailyCount.model_id, DailyCount.image_count)).all()) == by_model


def test_a_rebuild_counts_every_correction_once_and_keeps_what_waits_for_review(session: Session, trade: Trade) -> None:
    trade.use("mystery", 10, AT, event_id="m")
    make(session, trade, amend("1", image_count=4), amend("2", "m", image_count=3))
    before = rolled(session)
    make(session, trade, amend("3", image_count=2))  # waits for the roll-up in the rebuild
    for _ in range(2):
        rebuild(session)
        session.commit()
    assert sum(before.values()) == 4
    assert session.scalar(select(func.sum(DailyCount.image_count))) == 2
    assert [held.image_count for held in review(session).held] == [3]
    assert verify_rollup(session)[1] == []


def test_a_full_month_opens_when_usage_is_withdrawn_and_fills_when_it_is_amended_up(
    session: Session, trade: Trade
) -> None:
    trade.agreement(fees=[flat("sd-1", "0.01", cap={"images": 10, "kind": "hard"})])
    rolled(session)
    assert len(full_months(session, capped_agreements(session))) == 1
    make(session, trade, amend("1", image_count=9))
    rolled(session)
    assert full_months(session, capped_agreements(session)) == []
    make(session, trade, amend("2", image_count=500))
    rolled(session)
    assert len(full_months(session, capped_agreements(session))) == 1


def test_verify_finds_a_correction_that_was_not_counted(session: Session, trade: Trade) -> None:
    rolled(session)
    make(session, trade, amend("1", image_count=4))
    rolled(session)
    session.execute(text("UPDATE daily_counts SET image_count = 10"))
    session.expire_all()
    [mismatch] = verify_rollup(session)[1]
    assert (mismatch.counted, mismatch.raw) == (10, 4)


DIES = """
import sys
from sqlalchemy.orm import Session
from core import kill_points
from core.database import make_engine
from core.usage.counts.rollup import roll_up
kill_points.arm("mid_rollup")
with Session(make_engine(sys.argv[1])) as session:
    roll_up(session)
    session.commit()
"""


def test_a_roll_up_that_is_killed_loses_and_doubles_no_correction(
    session: Session, trade: Trade, database_url: str, project_folder: Path
) -> None:
    rolled(session)
    trade.use("sd-1", 100, AT, event_id="f")
    make(session, trade, amend("1", image_count=7), amend("2", "f", image_delta=-50))
    for _ in range(2):
        died = subprocess.run([sys.executable, "-c", DIES, database_url], cwd=project_folder, check=False)
        assert died.returncode == -signal.SIGKILL
        assert session.scalar(select(func.sum(DailyCount.image_count))) == 10
        session.commit()
    assert sum(rolled(session).values()) == 57
    assert verify_rollup(session) == (2, [])
