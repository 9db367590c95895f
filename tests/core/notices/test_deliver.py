"""Deliveries by a simulated clock: three days of retries, leases, replays, endpoints that are switched off."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from core.actors import Actor
from core.audit.record import entries
from core.errors import Conflict, InvalidInput, NotAllowed
from core.notices.deliver import (
    IN_FLIGHT,
    MOST_GIVE_UPS,
    Outcome,
    Parcel,
    claim,
    record,
    replay,
    replay_given_up,
    send_test,
)
from core.notices.endpoints import add_endpoint, check_url, endpoints, locked_endpoint, switch_off, switch_on
from core.notices.kinds import COMMITMENT, HELD, ISSUED, Finding
from core.notices.queries import attempts, deliveries, notices
from core.notices.retry import JITTER_STEPS, MOST_ATTEMPTS, WAITS, wait_after
from core.notices.tables import Delivery, Notice
from core.notices.tell import tell
from tests.fakes.till import Till

ADMIN, VIEWER = Actor("Ida", "admin"), Actor("Vera", "viewer")
LEASE = timedelta(minutes=5)
T0 = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BAD, GOOD, GONE = Outcome("failed", "no", 500, 3), Outcome("delivered", "yes", 200, 3), Outcome("gone", "", 410, 3)


class Post:
    """One endpoint of the licensor's, things to tell it, and a clock that only this test moves."""

    def __init__(self, session: Session, till: Till) -> None:
        self.session, self.till, self.now = session, till, T0
        self.numbers = 0
        self.endpoint = self.add()

    def add(self, url: str = "https://hooks.example/", **more: object) -> int:
        made = add_endpoint(self.session, ADMIN, self.till.licensor_id, url, **more)  # type: ignore[arg-type]
        self.session.commit()
        return made.id

    def told(self, n: int = 1, kind: object = HELD, licensee: str = "north") -> None:
        for _ in range(n):
            self.numbers += 1
            finding = Finding(kind, self.till.licensor_id, self.till.licensee_id(licensee), str(self.numbers), {})  # type: ignore[arg-type]
            assert tell(self.session, [finding], mail=False) == 1
        self.session.commit()

    def taken(self, *, at: datetime | None = None) -> Parcel | None:
        parcel = claim(self.session, LEASE, at or self.now)
        self.session.commit()
        return parcel

    def done(self, parcel: Parcel, outcome: Outcome) -> str:
        state = record(self.session, parcel, outcome, self.now, mail=False)
        self.session.commit()
        return state

    def work(self, answer: Callable[[Parcel], Outcome], until: timedelta) -> list[tuple[timedelta, str]]:
        """Lets the clock run, second by second where something is due: when each attempt was made, and its id."""
        made = []
        while self.now < T0 + until:
            while (parcel := self.taken()) is not None:
                made.append((self.now - T0, parcel.message_id))
                self.done(parcel, answer(parcel))
            waiting = select(Delivery.next_attempt_at).where(Delivery.state == "waiting")
            soonest = self.session.scalars(waiting.order_by(Delivery.next_attempt_at).limit(1)).one_or_none()
            self.now = max(self.now + SECOND, soonest or T0 + until)
        return made

    def states(self) -> list[str]:
        return list(self.session.scalars(select(Delivery.state).order_by(Delivery.id)))


@pytest.fixture
def post(session: Session, till: Till) -> Post:
    return Post(session, till)


def test_waits_grow_to_three_days_and_chance_adds_a_tenth_at_most() -> None:
    total = sum(WAITS, timedelta())
    assert timedelta(days=3) <= total <= timedelta(days=3.5)
    for attempt, wait in enumerate(WAITS, 1):
        assert wait_after(attempt, 0) == wait
        assert wait_after(attempt, JITTER_STEPS) == wait * 11 / 10
    assert wait_after(MOST_ATTEMPTS, 0) is None


def test_ten_attempts_over_three_days_under_one_id_and_then_it_is_given_up(post: Post) -> None:
    post.told()
    made = post.work(lambda _: BAD, timedelta(days=10))
    assert len(made) == MOST_ATTEMPTS == 10
    assert len({message_id for _, message_id in made}) == 1
    assert timedelta(days=3) < made[-1][0] < timedelta(days=3.6)
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(made)]
    assert all(wait <= gap <= wait * 1.1 + SECOND for wait, gap in zip(WAITS, gaps, strict=True))
    assert post.states() == ["given_up"]
    [row] = deliveries(post.session)
    assert (row["attempts"], row["status"], row["said"]) == (10, 500, "no")
    log = attempts(post.session, row["id"])
    assert [(each["attempt"], each["result"]) for each in log] == [(n, "failed") for n in range(1, 11)]


def test_it_arrives_when_the_receiver_is_back_after_two_days(post: Post) -> None:
    post.told()
    made = post.work(lambda _: GOOD if post.now > T0 + timedelta(days=2) else BAD, timedelta(days=10))
    assert made[-1][0] > timedelta(days=2)
    assert post.states() == ["delivered"]
    assert post.taken(at=T0 + timedelta(days=30)) is None


def test_a_lease_keeps_others_away_and_one_that_ran_out_is_sent_again_under_the_same_id(post: Post) -> None:
    post.told()
    first = post.taken()
    assert first is not None
    assert post.taken() is None
    post.now += LEASE + SECOND  # its worker was killed after sending
    second = post.taken()
    assert second is not None
    assert (second.message_id, second.attempt) == (first.message_id, 2)
    assert post.done(second, GOOD) == "delivered"
    assert post.done(first, BAD) == "delivered"  # it was not killed after all, only slow
    assert [each["result"] for each in attempts(post.session, first.delivery_id)] == ["failed", "delivered"]


def test_a_late_failure_does_not_end_the_attempt_of_another(post: Post) -> None:
    post.told()
    first = post.taken()
    post.now += LEASE + SECOND
    second = post.taken()
    assert first and second
    assert post.done(first, BAD) == "waiting"
    assert post.taken() is None  # the second still has its lease
    assert post.done(second, GOOD) == "delivered"


def test_what_kills_every_worker_is_given_up(post: Post) -> None:
    post.told()
    for _ in range(MOST_ATTEMPTS):
        assert post.taken() is not None
        post.now += LEASE + SECOND
    assert post.taken() is None
    assert post.states() == ["given_up"]


def test_two_at_once_never_take_the_same_delivery(engine: Engine, post: Post) -> None:
    post.told(2)
    with Session(engine) as one, Session(engine) as two:
        parcels = [claim(one, LEASE, T0), claim(two, LEASE, T0)]
        assert len({parcel.delivery_id for parcel in parcels if parcel}) == 2
        assert claim(two, LEASE, T0) is None


def test_a_slow_endpoint_has_few_on_the_way_and_another_is_served_meanwhile(post: Post) -> None:
    post.told(IN_FLIGHT + 3)
    assert all(post.taken() for _ in range(IN_FLIGHT))
    assert post.taken() is None
    other = post.add("https://other.example/")
    post.told()
    parcel = post.taken()
    assert parcel is not None
    assert parcel.endpoint_id == other


def test_an_endpoint_that_is_gone_is_switched_off_and_the_operator_is_told(post: Post) -> None:
    other = post.add("https://other.example/", kinds=["webhook.switched_off"])
    post.told(3)
    parcel = post.taken()
    assert parcel is not None
    assert post.done(parcel, GONE) == "given_up"
    assert [(each.id, each.active) for each in endpoints(post.session)] == [(post.endpoint, False), (other, True)]
    assert post.states() == ["given_up"] * 3 + ["waiting"]
    [notice] = notices(post.session, kind="webhook.switched_off")
    assert (notice["data"]["endpoint"], "410" in notice["data"]["reason"]) == (post.endpoint, True)
    told = post.taken()
    assert told is not None
    assert told.endpoint_id == other
    assert [entry.action for entry in entries(post.session, post.till.licensor_id)][-1] == "webhook.switched_off"
    post.told()  # nothing more is put on its way to the one that is off
    assert len(post.states()) == 4


def test_two_endpoints_that_end_at_once_do_not_wait_for_each_other(engine: Engine, post: Post) -> None:
    post.add("https://other.example/")
    post.told()
    with Session(engine) as one, Session(engine) as two:
        parcels = [claim(one, LEASE, T0), claim(two, LEASE, T0)]
        one.commit()
        two.commit()
        first, second = parcels
        assert first and second and second.endpoint_id
        two.execute(text("SET statement_timeout = '5s'"))
        one.execute(text("SET statement_timeout = '5s'"))
        locked_endpoint(two, second.endpoint_id)  # the second has begun
        record(one, first, GONE, T0, mail=False)  # and the first tells its endpoint all the same
        one.commit()
        record(two, second, GONE, T0, mail=False)
        two.commit()
    assert [each.active for each in endpoints(post.session)] == [False, False]


@pytest.mark.slow
def test_so_many_given_up_in_a_row_end_an_endpoint_and_one_that_arrives_forgives(post: Post) -> None:
    post.told(MOST_GIVE_UPS - 1)
    post.work(lambda _: BAD, timedelta(days=5))
    post.told()
    parcel = post.taken()
    assert parcel is not None
    post.done(parcel, GOOD)
    post.told(MOST_GIVE_UPS - 1)
    post.now, end = post.now + SECOND, timedelta(days=15)
    post.work(lambda _: BAD, end)
    assert [each.active for each in endpoints(post.session)] == [True]
    post.told()
    post.work(lambda _: BAD, 2 * end)
    assert [each.active for each in endpoints(post.session)] == [False]
    assert len(notices(post.session, kind="webhook.switched_off")) == 1


def test_a_replay_is_the_same_message_with_all_its_attempts_anew(post: Post) -> None:
    post.told()
    [(_, first), *_] = post.work(lambda _: BAD, timedelta(days=5))
    [row] = deliveries(post.session)
    replay(post.session, ADMIN, row["id"], post.now)
    parcel = post.taken()
    assert parcel is not None
    assert (parcel.message_id, parcel.attempt) == (first, 11)
    assert post.done(parcel, BAD) == "waiting"
    start = post.now
    post.now += timedelta(days=1)
    parcel = post.taken()
    assert parcel is not None
    assert post.done(parcel, GOOD) == "delivered"
    replay(post.session, ADMIN, row["id"], post.now)  # also one that arrived
    again = post.taken()
    assert again is not None
    assert again.message_id == first
    assert start < post.now


def test_what_an_endpoint_missed_is_replayed_once_it_is_on_again(post: Post) -> None:
    post.told(3)
    switch_off(post.session, post.endpoint, ADMIN, "moving house")
    post.session.commit()
    assert post.taken() is None
    since = datetime.now(UTC) - timedelta(days=1)
    with pytest.raises(Conflict, match="switched off"):
        replay_given_up(post.session, ADMIN, post.endpoint, since)
    switch_on(post.session, post.endpoint, ADMIN)
    assert len(replay_given_up(post.session, ADMIN, post.endpoint, since, T0)) == 3
    post.session.commit()
    assert {each for _, each in post.work(lambda _: GOOD, timedelta(days=1))} == set(
        post.session.scalars(select(Notice.message_id))
    )


def test_a_test_is_tried_once_and_counts_against_nobody(post: Post) -> None:
    for _ in range(MOST_GIVE_UPS + 1):
        send_test(post.session, ADMIN, post.endpoint)
    post.session.commit()
    made = post.work(lambda _: BAD, timedelta(days=5))
    assert len(made) == MOST_GIVE_UPS + 1
    assert [each.active for each in endpoints(post.session)] == [True]


def test_an_endpoint_hears_its_kinds_and_a_licensees_own_only_what_is_its_own(post: Post) -> None:
    north, south = post.till.licensee_id("north"), post.till.licensee_id("south")
    only_issued = post.add("https://issued.example/", kinds=["invoice.issued"])
    of_north = post.add("https://north.example/", licensee_id=north)
    of_south = post.add("https://south.example/", licensee_id=south)

    def heard() -> set[int]:
        newest = select(Delivery.endpoint_id).join(Notice, Notice.id == Delivery.notice_id)
        return set(post.session.scalars(newest.where(Notice.key == str(post.numbers))))

    post.told(kind=ISSUED)
    assert heard() == {post.endpoint, only_issued, of_north}
    post.told(kind=COMMITMENT, licensee="south")
    assert heard() == {post.endpoint, of_south}
    post.told(kind=HELD)  # the licensor's business
    assert heard() == {post.endpoint}


@pytest.mark.parametrize(
    ("url", "code"),
    [("http://hooks.example/", "bad_url"), ("ftp://hooks.example/", "bad_url"), ("https://", "bad_url"),
     ("", "bad_url"),
     ("https://hooks.example/ä", "bad_url"), ("https://hooks.example/a b", "bad_url"),
     ("https://hooks\n.example", "bad_url"),
     ("https://hooks.example:port/", "bad_url"), ("https://hooks.example\\@10.0.0.1/", "bad_url"),
     ("https://me:secret@hooks.example/", "bad_url"), ("https://hooks.example/#x", "bad_url"),
     ("https://127.0.0.1/", "private_address"), ("https://[::1]/", "private_address"),
     ("https://localhost/", "private_address"), ("https://169.254.169.254/latest", "private_address"),
     ("https://hooks.example/" + "a" * 2000, "bad_url")],
)  # fmt: skip
def test_where_no_webhook_goes(url: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_url(url)
    assert refused.value.code == code


def test_endpoints_are_an_admins_to_add_and_kinds_are_known(post: Post) -> None:
    with pytest.raises(NotAllowed):
        add_endpoint(post.session, VIEWER, post.till.licensor_id, "https://hooks.example/")
    with pytest.raises(InvalidInput, match="notices are"):
        add_endpoint(post.session, ADMIN, post.till.licensor_id, "https://hooks.example/", kinds=["invoice.lost"])
