"""What must be told is found once: over many sweeps, by two at once, and once more in another period."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.database import licensee_eyes
from core.invoicing.life.approve import hold, release
from core.notices.deliver import claim
from core.notices.queries import notices
from core.notices.tables import Delivery, Notice
from core.notices.watch import watch, watch_days
from core.usage.counts.rollup import roll_up
from core.usage.reporting.zero_reports import ZeroBody, report_zero
from tests.core.invoicing.people import ADA, CLEO, drafted
from tests.fakes.till import Till
from tests.trade import Trade, flat

DAY = timedelta(days=1)
A_REPORT = text(
    "INSERT INTO usage_reports (licensee_id, report_id, report_no, key_id, body_digest, accepted, duplicate, held, "
    "conflict, rejected, image_count, outcomes, received_at) "
    "SELECT licensee_id, 'r', 1, 1, '', 0, 0, 0, 0, 0, 0, '[]', :at FROM accounts LIMIT 1"
)


def swept(session: Session, now: datetime | None = None, *, mail: bool = True, times: int = 3) -> list[str]:
    """What several sweeps find that was not told before: "kind key", in order."""
    before = set(session.scalars(select(Notice.id)))
    for _ in range(times):
        watch(session, mail=mail, now=now)
        watch_days(session, mail=mail, now=now)
        session.commit()
    rows = session.scalars(select(Notice).order_by(Notice.kind, Notice.id)).all()
    return [f"{row.kind} {row.key}" for row in rows if row.id not in before]


def data_of(session: Session, kind: str) -> list[dict[str, Any]]:
    return [row["data"] for row in reversed(notices(session, kind=kind))]


def told_to(session: Session, kind: str) -> list[str]:
    asked = select(Delivery.address).join(Notice, Notice.id == Delivery.notice_id).where(Notice.kind == kind)
    return sorted(session.scalars(asked))


def of_invoices(found: list[str]) -> list[str]:
    return [each for each in found if each.startswith("invoice.")]


def test_an_invoice_is_told_when_issued_when_due_soon_and_when_overdue_each_once(session: Session, till: Till) -> None:
    invoice = till.invoice(250_00, due_in=30)
    now = datetime.now(UTC)
    assert of_invoices(swept(session)) == [f"invoice.issued {invoice.number}"]
    assert told_to(session, "invoice.issued") == ["ann@north.example", "bob@north.example"]
    [data] = data_of(session, "invoice.issued")
    assert (data["invoice"], data["total"], data["licensee"], data["document"]) == (
        invoice.number, "250.00", "north", "invoice",
    )  # fmt: skip
    assert of_invoices(swept(session, now + 22 * DAY)) == []
    assert of_invoices(swept(session, now + 23 * DAY)) == [f"invoice.due_soon {invoice.number}"]
    assert of_invoices(swept(session, now + 30 * DAY)) == []
    assert of_invoices(swept(session, now + 31 * DAY)) == [f"invoice.overdue {invoice.number}"]
    assert of_invoices(swept(session, now + 40 * DAY)) == []


def test_each_is_written_to_in_its_own_language(session: Session, till: Till) -> None:
    account = till.trade.account("north")
    account.language, account.locale = "de", "de-CH"
    till.invoice(1_250_00, due_in=30)
    swept(session, datetime.now(UTC) + 31 * DAY)
    asked = select(Delivery).join(Notice, Notice.id == Delivery.notice_id).where(Notice.kind == "invoice.overdue")
    tongues = {row.address: (row.language, row.locale) for row in session.scalars(asked)}
    assert tongues == {
        "ann@north.example": ("de", "de-CH"),
        "bob@north.example": ("de", "de-CH"),
        "owner@guild.example": ("en", ""),
    }
    parcel = claim(session, timedelta(minutes=5), datetime.now(UTC) + 40 * DAY)
    assert parcel is not None and (parcel.address, parcel.language, parcel.locale) == (
        *("ann@north.example", "de", "de-CH"),
    )


def test_today_is_the_accounts(session: Session) -> None:
    till = Till(session)
    till.trade.account("far", "Pacific/Kiritimati")  # fourteen hours ahead
    invoice = till.invoice(100, licensee="far", due_in=1)
    assert invoice.due_on is not None
    last_moment = datetime.combine(invoice.due_on, datetime.min.time(), UTC) + timedelta(hours=9, minutes=59)
    assert f"invoice.overdue {invoice.number}" not in swept(session, last_moment)
    assert of_invoices(swept(session, last_moment + timedelta(minutes=2))) == [f"invoice.overdue {invoice.number}"]


def test_nobody_is_asked_to_pay_what_is_paid_void_or_a_credit(session: Session, till: Till) -> None:
    from core.actors import Actor
    from core.payments.apply import apply_oldest_first, hold_account, record_payment, source_of_payment

    paid = till.invoice(100_00, due_in=1)
    clerk = Actor("Clara", "clerk")
    parties = (till.licensor_id, till.licensee_id())
    hold_account(session, *parties, [paid.number])
    made = record_payment(
        session, clerk, licensor_id=parties[0], licensee_id=parties[1], amount=till.money(100_00),
        received_on=datetime.now(UTC).date(), method="manual", reference="one",
    )  # fmt: skip
    apply_oldest_first(session, clerk, *parties, source_of_payment(session, made.id))
    session.commit()
    void = till.invoice(50_00, due_in=1)
    till.void(void)
    half = till.invoice(80_00, due_in=1)
    note = till.invoice(-30_00, note_for=half)
    found = swept(session, datetime.now(UTC) + 3 * DAY)
    assert of_invoices(found) == [
        f"invoice.issued {paid.number}", f"invoice.issued {half.number}", f"invoice.issued {note.number}",
        f"invoice.overdue {half.number}",
    ]  # fmt: skip
    [data] = data_of(session, "invoice.overdue")
    assert (data["total"], data["left"]) == ("80.00", "50.00")


def test_what_was_issued_long_before_anybody_watched_is_old_news(session: Session, till: Till) -> None:
    till.invoice(100)
    assert of_invoices(swept(session, datetime.now(UTC) + 8 * DAY)) == []


def test_a_held_draft_is_told_to_the_licensor_alone_and_again_after_a_release(session: Session) -> None:
    trade = Trade(session)
    trade.licensor.email, trade.licensee("north").email = "owner@guild.example", "ap@north.example"
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    trade.use("sd-1", 1000, "2026-10-03T12:00Z")
    draft = drafted(session, agreement)
    assert of_invoices(swept(session)) == []
    hold(session, draft.id, CLEO, "the count looks odd")
    session.commit()
    assert len(of_invoices(swept(session))) == 1
    drafted(session, agreement)  # closed once more, held as before
    assert of_invoices(swept(session)) == []
    [data] = data_of(session, "invoice.held")
    assert "the count looks odd" in data["reasons"][0]
    assert told_to(session, "invoice.held") == ["owner@guild.example"]
    release(session, draft.id, ADA, "it is right")
    hold(session, draft.id, CLEO, "no, it is odd")
    session.commit()
    assert len(of_invoices(swept(session))) == 1


def a_commitment(session: Session, **more: Any) -> Trade:
    trade = Trade(session)
    promised = {"name": "volume", "kind": "images", "quantity": 1000, "period": "month", "shortfall_rate": "0.01"}
    trade.agreement(fees=[flat("sd-1", "0.01", **more)], commitments=[promised])
    session.commit()
    return trade


def used(trade: Trade, image_count: int, at: str) -> None:
    trade.use("sd-1", image_count, at)
    trade.session.commit()
    roll_up(trade.session)
    trade.session.commit()


def steps(found: list[str]) -> list[str]:
    return [each.split(" ")[0].split(".")[0] + " " + each.rsplit(":", 1)[1] for each in found if "usage" not in each]


def test_a_commitment_is_told_at_half_at_most_and_at_all_of_it_in_each_period(session: Session) -> None:
    trade = a_commitment(session)
    now = datetime(2026, 10, 10, 12, tzinfo=UTC)
    used(trade, 499, "2026-10-03T12:00Z")
    assert steps(swept(session, now)) == []
    used(trade, 1, "2026-10-03T13:00Z")
    assert steps(swept(session, now + DAY)) == ["commitment 50"]
    [data] = data_of(session, "commitment.reached")
    assert (data["percent"], data["counted"], data["target"], data["period"]) == (50, "500", "1000", "2026-10")
    used(trade, 500, "2026-10-12T13:00Z")  # past 80 as well: the highest is told
    assert steps(swept(session, now + 3 * DAY)) == ["commitment 100"]
    assert steps(swept(session, now + 4 * DAY)) == []
    used(trade, 800, "2026-11-02T13:00Z")
    assert steps(swept(session, now + 25 * DAY)) == ["commitment 80"]


def test_the_last_hour_of_a_period_is_not_missed(session: Session) -> None:
    trade = a_commitment(session)
    used(trade, 1000, "2026-10-31T23:59Z")
    assert steps(swept(session, datetime(2026, 11, 1, 0, 30, tzinfo=UTC))) == ["commitment 100"]


def test_a_cap_is_told_at_eighty_and_at_a_hundred_percent_of_each_month(session: Session) -> None:
    trade = Trade(session)
    trade.agreement(fees=[flat("sd-1", "0.01", cap={"images": 100, "kind": "hard"})])
    used(trade, 79, "2026-10-03T12:00Z")
    now = datetime(2026, 10, 10, 12, tzinfo=UTC)
    assert steps(swept(session, now)) == []
    used(trade, 1, "2026-10-03T12:00Z")
    assert steps(swept(session, now + DAY)) == ["cap 80"]
    used(trade, 20, "2026-10-03T12:00Z")
    assert steps(swept(session, now + 2 * DAY)) == ["cap 100"]
    used(trade, 80, "2026-11-03T12:00Z")
    assert steps(swept(session, now + 25 * DAY)) == ["cap 80"]


def test_an_agreement_is_looked_at_when_something_came_in_and_else_once_a_day(session: Session) -> None:
    a_commitment(session)
    now = datetime.now(UTC)
    minute = timedelta(minutes=1)

    def looked(at: datetime) -> bool:
        swept(session, at, times=1)
        return bool(session.execute(text("SELECT looked_at FROM notice_looks")).scalar_one() == at)

    assert looked(now)
    assert not looked(now + 11 * minute)
    session.execute(A_REPORT, {"at": now + 12 * minute})
    assert looked(now + 13 * minute)
    assert not looked(now + 22 * minute)
    assert looked(now + 13 * minute + DAY)


def test_what_came_in_and_is_not_counted_yet_is_looked_at_once_it_is(session: Session) -> None:
    trade = a_commitment(session)
    now = datetime.now(UTC)
    trade.use("sd-1", 900, now.isoformat())
    session.execute(A_REPORT, {"at": now})
    assert steps(swept(session, now + timedelta(minutes=1))) == []
    roll_up(session)
    session.commit()
    assert steps(swept(session, now + timedelta(minutes=12))) == ["commitment 80"]


def test_a_day_without_a_report_is_told_once_and_again_after_a_week(session: Session) -> None:
    trade = Trade(session)
    trade.licensor.email, trade.licensee("north").email = "owner@guild.example", "ap@north.example"
    trade.agreement(fees=[flat("sd-1", "0.01")], starts_on=date(2026, 10, 1))
    for day in (1, 2, 3, 4):
        used(trade, 10, f"2026-10-0{day}T12:00Z")

    def at(day: int, hour: int) -> list[str]:
        return swept(session, datetime(2026, 10, day, hour, tzinfo=UTC), times=2)

    assert at(5, 12) == []
    assert at(6, 5) == []  # the fifth is over, but its reports may still be on their way
    assert len(at(6, 7)) == 1
    [data] = data_of(session, "usage.missing")
    assert (data["since"], data["day"], data["days"]) == ("2026-10-05", "2026-10-05", 1)
    assert told_to(session, "usage.missing") == ["ap@north.example", "owner@guild.example"]
    assert [at(day, 7) for day in (7, 8, 12)] == [[], [], []]
    assert len(at(13, 7)) == 1
    assert at(14, 5) == []
    used(trade, 10, "2026-10-13T12:00Z")
    assert at(14, 7) == []
    assert len(at(15, 7)) == 1  # silent anew


def test_a_zero_report_is_no_silence(session: Session) -> None:
    trade = Trade(session)
    trade.agreement(fees=[flat("sd-1", "0.01")], starts_on=date(2026, 10, 1))
    zero = ZeroBody(zero_report_id="z", starts_on=date(2026, 10, 1), ends_on=date(2026, 10, 6))
    report_zero(session, trade.licensee("north").id, 0, zero)
    assert swept(session, datetime(2026, 10, 6, 12, tzinfo=UTC)) == []
    assert len(swept(session, datetime(2026, 10, 7, 12, tzinfo=UTC))) == 1


def test_eight_sweeps_at_once_tell_each_thing_once(engine: Engine, session: Session, till: Till) -> None:
    numbers = [till.invoice(100, due_in=3).number for _ in range(20)]

    def sweep(_: int) -> int:
        with Session(engine) as own:
            told = watch(own, mail=True).told + watch_days(own, mail=True).told
            own.commit()
        return told

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(sweep, range(8)))
    rows = session.execute(select(Notice.kind, Notice.key).where(Notice.kind.like("invoice.%"))).all()
    assert sorted((row.kind, row.key) for row in rows) == sorted(
        (kind, number) for number in numbers for kind in ("invoice.issued", "invoice.due_soon")
    )
    assert sum(told) == len(session.scalars(select(Notice.id)).all())
    mails = select(Delivery.id).join(Notice, Notice.id == Delivery.notice_id).where(Notice.kind.like("invoice.%"))
    assert len(session.scalars(mails).all()) == 2 * len(rows)  # two contacts


def test_without_a_mail_server_nobody_is_written_to_also_later(session: Session, till: Till) -> None:
    till.invoice(100)
    swept(session, mail=False)
    swept(session, mail=True)
    assert told_to(session, "invoice.issued") == []


def test_a_licensee_sees_its_own_notices_and_nothing_else(session: Session, till: Till) -> None:
    north, south = till.invoice(100), till.invoice(100, licensee="south")
    swept(session)
    for licensee, invoice in (("north", north), ("south", south)):
        with licensee_eyes(session, till.licensee_id(licensee)):
            rows = notices(session, kind="invoice.issued")
            assert [row["data"]["invoice"] for row in rows] == [invoice.number]
        for table in ("webhook_endpoints", "deliveries", "delivery_attempts", "notice_looks"):
            with licensee_eyes(session, till.licensee_id(licensee)), pytest.raises(DBAPIError, match="permission"):
                session.execute(text(f"SELECT 1 FROM {table}"))


def test_what_was_told_cannot_be_changed(owner_url: str, session: Session, till: Till) -> None:
    import psycopg

    till.invoice(100)
    swept(session)
    with psycopg.connect(owner_url) as owner:
        for change in ("UPDATE notices SET kind = 'x'", "DELETE FROM notices", "DELETE FROM delivery_attempts"):
            with pytest.raises(psycopg.errors.RestrictViolation), owner.transaction():
                owner.execute(change)
