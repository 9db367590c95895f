"""Roll-up: each event once, whatever is running beside it, and held usage as soon as its names are known."""

from collections import Counter
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from core.errors import Unavailable
from core.registry.tables import ModelName
from core.usage.rollup import rebuild, roll_up
from core.usage.tables import DailyCount, Resolution, UsageEvent
from core.usage.verify import verify_rollup
from tests.trade import Trade, forget_everything


def counts(session: Session) -> dict[tuple[int, int, date], int]:
    """Images by licensee, model and day."""
    rows = session.execute(
        select(DailyCount.licensee_id, DailyCount.model_id, DailyCount.day, func.sum(DailyCount.image_count)).group_by(
            DailyCount.licensee_id, DailyCount.model_id, DailyCount.day
        )
    )
    return {(licensee_id, model_id, day): int(images) for licensee_id, model_id, day, images in rows}


def rolled(session: Session) -> dict[tuple[int, int, date], int]:
    session.commit()
    while roll_up(session).more:
        session.commit()
    session.commit()
    return counts(session)


def test_events_become_counts_per_day_of_the_accounts_zone(session: Session) -> None:
    trade = Trade(session, zone="Asia/Tokyo")
    model = trade.model("sd-1")
    trade.use("sd-1", 3, "2026-10-01T14:59:59.999999Z")  # 1 October in Tokyo, by a microsecond
    trade.use("sd-1", 5, "2026-10-01T15:00:00Z")
    north = trade.licensee("north").id
    assert rolled(session) == {(north, model.id, date(2026, 10, 1)): 3, (north, model.id, date(2026, 10, 2)): 5}


def test_a_derivative_is_counted_for_its_base_and_an_image_once_per_model(session: Session) -> None:
    trade = Trade(session)
    base = trade.model("sd-1")
    trade.model("anything", bases=["sd-1"])
    own = trade.model("detail-lora", bases=["sd-1"], owes="both")
    trade.use("anything", 10, "2026-10-01T00:00Z", adapters=["detail-lora"])
    day, north = date(2026, 10, 1), trade.licensee("north").id
    assert rolled(session) == {(north, base.id, day): 10, (north, own.id, day): 10}


def test_rolling_up_twice_counts_nothing_twice(session: Session) -> None:
    trade = Trade(session)
    trade.model("sd-1")
    trade.use("sd-1", 10, "2026-10-01T00:00Z")
    first = rolled(session)
    assert roll_up(session).event_count == 0
    assert counts(session) == first


def test_an_event_whose_transaction_commits_late_is_not_missed(session: Session, engine: Engine) -> None:
    trade = Trade(session)
    model = trade.model("sd-1")
    session.commit()
    with Session(engine) as slow:
        late = Trade.__new__(Trade)
        late.session, late.licensees = slow, {"north": trade.licensee("north")}
        late.use("sd-1", 1, "2026-10-01T00:00Z")  # written first, committed last
        trade.use("sd-1", 2, "2026-10-01T00:00Z")
        assert sum(rolled(session).values()) == 0  # the younger one waits for the older
        slow.commit()
    assert rolled(session) == {(trade.licensee("north").id, model.id, date(2026, 10, 1)): 3}


def test_a_step_takes_whole_transactions_until_nothing_waits(session: Session) -> None:
    trade = Trade(session)
    trade.model("sd-1")
    session.commit()
    for _ in range(5):
        for _ in range(3):
            trade.use("sd-1", 1, "2026-10-01T00:00Z")
        session.commit()
    steps = 0
    while True:
        done = roll_up(session, step=4)
        session.commit()
        assert done.event_count <= 4
        steps += 1
        if not done.more:
            break
    assert steps >= 4
    assert sum(counts(session).values()) == 15


def test_an_unknown_model_is_held_and_counted_once_it_is_known(session: Session) -> None:
    trade = Trade(session)
    trade.use("mystery", 7, "2026-10-02T00:00Z")
    assert rolled(session) == {}
    assert session.scalars(select(Resolution.held_names)).one() == ["mystery"]
    model = trade.model("mystery")
    assert rolled(session) == {(trade.licensee("north").id, model.id, date(2026, 10, 2)): 7}
    assert session.scalars(select(Resolution.held_names).execution_options(populate_existing=True)).one() == []
    trade.use("mystery", 1, "2026-10-02T00:00Z")
    assert sum(rolled(session).values()) == 8


def test_an_adapter_learned_later_adds_only_what_was_not_counted(session: Session) -> None:
    trade = Trade(session)
    base = trade.model("sd-1")
    trade.use("sd-1", 4, "2026-10-02T00:00Z", adapters=["new-lora"])
    day, north = date(2026, 10, 2), trade.licensee("north").id
    assert rolled(session) == {(north, base.id, day): 4}
    lora = trade.model("new-lora", bases=["sd-1"], owes="both")
    assert rolled(session) == {(north, base.id, day): 4, (north, lora.id, day): 4}


def test_usage_without_an_account_is_held_until_there_is_one(session: Session) -> None:
    trade = Trade(session)
    model = trade.model("sd-1")
    trade.use("sd-1", 9, "2026-10-02T00:00Z", licensee="south")
    assert rolled(session) == {}
    trade.account("south")
    assert rolled(session) == {(trade.licensee("south").id, model.id, date(2026, 10, 2)): 9}


def test_a_rebuild_gives_the_same_counts(session: Session) -> None:
    trade = Trade(session)
    trade.model("sd-1")
    for hour in range(24):
        trade.use("sd-1", hour + 1, f"2026-10-02T{hour:02}:00Z", plan="free" if hour % 2 else "paid")
    before = rolled(session)
    rebuild(session)
    session.commit()
    assert counts(session) == before


def test_verify_finds_a_count_that_was_changed(session: Session) -> None:
    trade = Trade(session)
    trade.model("sd-1")
    trade.use("sd-1", 10, "2026-10-02T00:00Z")
    rolled(session)
    assert verify_rollup(session) == (1, [])
    session.execute(text("UPDATE daily_counts SET image_count = 11"))
    session.expire_all()
    [mismatch] = verify_rollup(session)[1]
    assert (mismatch.counted, mismatch.raw) == (11, 10)


def test_a_database_restored_from_a_dump_is_refused_not_miscounted(session: Session) -> None:
    session.execute(text("UPDATE rollup_watermarks SET xid = '999999999999'"))
    with pytest.raises(Unavailable, match="restored from a logical dump"):
        roll_up(session)


ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo")
USES = st.lists(
    st.tuples(
        st.sampled_from(["sd-1", "sd-2", "anything", "merge", "nobody-knows"]),
        st.integers(1, 10**9),
        st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(ZoneInfo("UTC"))),
        st.sets(st.sampled_from(["lora", "sd-2", "unheard-of"])),
        st.sampled_from(["", "free"]),
        st.booleans(),  # roll up after this one
    ),
    max_size=12,
)
OWING = {"sd-1": {"sd-1"}, "sd-2": {"sd-2"}, "anything": {"sd-1"}, "merge": {"sd-1", "sd-2"}, "lora": {"sd-1", "lora"}}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(zone=st.sampled_from(ZONES), uses=USES, learned=st.sampled_from(["unheard-of", None]))
def test_for_any_events_and_any_rhythm_the_counts_are_the_plain_sums(
    engine: Engine, owner_url: str, zone: str, uses: list, learned: str | None
) -> None:
    forget_everything(owner_url)
    with Session(engine) as session:
        trade = Trade(session, zone=zone)
        trade.model("anything", bases=["sd-1"])
        trade.model("merge", bases=["sd-1", "sd-2"])
        trade.model("lora", bases=["sd-1"], owes="both")
        session.commit()
        expected: Counter[tuple[str, date]] = Counter()
        known = OWING | ({learned: {"sd-1"}} if learned else {})
        for model, images, at, adapters, plan, roll in uses:
            trade.use(model, images, at.isoformat(), adapters=sorted(adapters), plan=plan)
            if model in known:
                owing = set().union(*(known.get(name, set()) for name in (model, *adapters)))
                expected.update({(slug, at.astimezone(ZoneInfo(zone)).date()): images for slug in owing})
            if roll:
                rolled(session)
        if learned:
            trade.model(learned, bases=["sd-1"])
        got = rolled(session)
        slugs = {model.id: slug for slug, model in trade.models.items()}
        assert {(slugs[model_id], day): images for (_, model_id, day), images in got.items()} == dict(expected)
        assert verify_rollup(session)[1] == []
        assert session.scalar(select(func.count()).select_from(UsageEvent)) == len(uses)
        assert session.scalar(select(func.count()).select_from(ModelName)) == len(trade.models)
