"""Roll-up: each event once, whatever is running beside it, and held usage as soon as its names are known."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from core.errors import Unavailable
from core.registry.lineage import ROLES, is_owed
from core.registry.tables import Account, Licensor, ModelName
from core.usage.counts.rollup import rebuild, roll_up
from core.usage.counts.verify import verify_rollup
from core.usage.intake.report import OUTPUTS
from core.usage.tables import DailyCount, Resolution, UsageEvent
from tests.trade import Trade, forget_everything


def counts(session: Session, rule: str | None = None) -> dict[tuple[int, int, date], int]:
    """Images by licensee, model and day, under a rule for adapters."""
    groups = (DailyCount.licensee_id, DailyCount.model_id, DailyCount.day)
    owed = DailyCount.role.in_([role for role in ROLES if is_owed(role, rule)])
    rows = session.execute(select(*groups, func.sum(DailyCount.image_count)).where(owed).group_by(*groups))
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


def test_a_count_says_what_was_made_on_which_plan_and_how_the_model_is_involved(session: Session) -> None:
    trade = Trade(session)
    trade.model("sd-1")
    trade.model("sd-2")
    trade.model("ink", bases=["sd-1"], owes="own")
    trade.use("sd-2", 3, "2026-10-01T00:00Z", adapters=["ink"], plan="free", output="preview")
    trade.use("sd-2", 4, "2026-10-01T00:00Z", adapters=["ink"], plan="free", output="image")
    trade.use("sd-2", 5, "2026-10-01T00:00Z", plan="free", output="image")
    rolled(session)
    slugs = {model.id: slug for slug, model in trade.models.items()}
    rows = session.execute(
        select(DailyCount.model_id, DailyCount.plan, DailyCount.role, DailyCount.output, DailyCount.image_count)
    )
    assert {(slugs[model], plan, role, output): n for model, plan, role, output, n in rows} == {
        ("sd-2", "free", "named", "image"): 9,
        ("sd-2", "free", "named", "preview"): 3,
        ("ink", "free", "adapter_own", "image"): 4,
        ("ink", "free", "adapter_own", "preview"): 3,
        ("sd-1", "free", "adapter_base_waived", "image"): 4,
        ("sd-1", "free", "adapter_base_waived", "preview"): 3,
    }


def test_a_fee_that_is_waived_needs_no_account_but_is_counted_once_there_is_one(session: Session) -> None:
    trade = Trade(session)
    trade.model("sd-1")
    trade.licensor = Licensor(slug="studio", name="Studio", invoice_prefix="STU")
    session.add(trade.licensor)
    session.flush()
    base = trade.model("sd-9")
    trade.licensor = session.scalars(select(Licensor).where(Licensor.slug == "guild")).one()
    ink = trade.model("ink", bases=["sd-9"], owes="own")
    trade.use("sd-1", 4, "2026-10-02T00:00Z", adapters=["ink"])
    day, north = date(2026, 10, 2), trade.licensee("north").id
    expected = {(north, trade.models["sd-1"].id, day): 4, (north, ink.id, day): 4}
    assert rolled(session) == expected
    assert counts(session, "both") == expected
    assert session.scalars(select(Resolution.held_names)).one() == []
    session.add(Account(licensor_id=base.licensor_id, licensee_id=north, zone="UTC", currency="USD"))
    assert rolled(session) == expected
    assert counts(session, "both") == {**expected, (north, base.id, day): 4}
    assert verify_rollup(session)[1] == []


def test_learning_an_adapter_can_change_the_role_of_a_model_that_is_counted_already(session: Session) -> None:
    trade = Trade(session)
    trade.model("sd-2")
    base = trade.model("sd-1")
    trade.model("ink", bases=["sd-1"], owes="own")
    trade.use("sd-2", 4, "2026-10-02T00:00Z", adapters=["ink", "later"])
    rolled(session)
    key = (trade.licensee("north").id, base.id, date(2026, 10, 2))
    assert key not in counts(session) and counts(session, "base")[key] == 4
    trade.model("later", bases=["sd-1"])
    assert rolled(session)[key] == 4 and counts(session, "base")[key] == 4
    assert key not in counts(session, "own")
    assert verify_rollup(session)[1] == []


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
        st.sets(st.sampled_from(["lora", "ink", "sd-2", "unheard-of"])),
        st.sampled_from(["", "free"]),
        st.sampled_from(OUTPUTS),
        st.booleans(),  # roll up after this one
    ),
    max_size=12,
)
RULES = (None, "own", "base", "both", "none")
OWING = {"sd-1": {"sd-1"}, "sd-2": {"sd-2"}, "anything": {"sd-1"}, "merge": {"sd-1", "sd-2"}}
OWN = {"lora": ("both", {"sd-1"}), "ink": ("own", {"sd-1"}), "sd-2": ("own", set()), "unheard-of": ("base", {"sd-1"})}


def owing(model: str, adapters: Iterable[str], rule: str | None) -> set[str]:
    """The models that are owed an image under a rule for adapters: the oracle."""
    found = set(OWING[model])
    for adapter in adapters:
        default, bases = OWN[adapter]
        says = rule or default
        found |= {adapter} if says in ("own", "both") else set()
        found |= bases if says in ("base", "both") else set()
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(zone=st.sampled_from(ZONES), uses=USES, learned=st.booleans())
def test_for_any_events_and_any_rhythm_the_counts_are_the_plain_sums_under_every_rule(
    engine: Engine, owner_url: str, zone: str, uses: list, learned: bool
) -> None:
    forget_everything(owner_url)
    with Session(engine) as session:
        trade = Trade(session, zone=zone)
        trade.model("anything", bases=["sd-1"])
        trade.model("merge", bases=["sd-1", "sd-2"])
        trade.model("lora", bases=["sd-1"], owes="both")
        trade.model("ink", bases=["sd-1"], owes="own")
        session.commit()
        for model, images, at, adapters, plan, output, roll in uses:
            trade.use(model, images, at.isoformat(), adapters=sorted(adapters), plan=plan, output=output)
            if roll:
                rolled(session)
        if learned:
            trade.model("unheard-of", bases=["sd-1"])
        rolled(session)
        slugs = {model.id: slug for slug, model in trade.models.items()}
        for rule in RULES:
            expected: Counter[tuple[str, date]] = Counter()
            for model, images, at, adapters, _, _, _ in uses:
                known = [adapter for adapter in adapters if learned or adapter != "unheard-of"]
                for slug in owing(model, known, rule) if model in OWING else ():
                    expected[slug, at.astimezone(ZoneInfo(zone)).date()] += images
            got = counts(session, rule)
            assert {(slugs[model_id], day): images for (_, model_id, day), images in got.items()} == expected, rule
        made = dict(session.execute(select(DailyCount.output, func.sum(DailyCount.image_count))
                                    .where(DailyCount.role == "named").group_by(DailyCount.output)).all())  # fmt: skip
        expected_made: Counter[str] = Counter()
        for model, images, _, _, _, output, _ in uses:
            expected_made[output] += images * len(OWING.get(model, ()))
        assert made == {output: images for output, images in expected_made.items() if images}
        assert verify_rollup(session)[1] == []
        before = {rule: counts(session, rule) for rule in RULES}
        rebuild(session)
        session.commit()
        assert {rule: counts(session, rule) for rule in RULES} == before
        assert session.scalar(select(func.count()).select_from(UsageEvent)) == len(uses)
        assert session.scalar(select(func.count()).select_from(ModelName)) == len(trade.models)
