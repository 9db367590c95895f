"""The reads of pages: right in small, the same number of statements however many licensees, and through whose eyes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.access.eyes import licensor_eyes
from core.accruals import licensee_figures, licensee_list, model_figures, overview, series, waiting
from core.accruals.accrue import accrue_due
from core.actors import Actor
from core.invoicing.drafts.close import close
from core.invoicing.life.issue import issue
from core.invoicing.life.void import void
from core.ledger.balances import open_items, verify_open_items
from core.money import Money
from core.period import Period
from core.registry.tables import ModelName
from core.usage.counts.rollup import roll_up
from tests.trade import Trade, flat

DAY = timedelta(days=1)
ADA = Actor("ada@guild.example", "admin")


def today(session: Session) -> date:
    found: date = session.execute(select(func.timezone("UTC", func.now()))).scalar_one().date()
    return found


def trade_of(session: Session, licensees: int) -> Trade:
    """So many licensees with agreements, usage of last month and yesterday, and last month's invoices issued."""
    trade = Trade(session)
    trade.model("tune", bases=["sd-1"])
    now = today(session)
    last = Period.month_of(now.replace(day=1) - DAY)
    floor = {"name": "floor", "kind": "images", "quantity": 10**6, "period": "year", "shortfall_rate": "0.01"}
    made = []
    for n in range(1, licensees + 1):
        term = {"starts_on": last.start, "ends_on": now + 400 * DAY}
        more = {"commitments": [floor]} if n == 1 else {}
        made.append(trade.agreement(f"deal-{n}", licensee=f"house-{n}", fees=[flat("sd-1", "0.01")], **term, **more))
        trade.use("sd-1", 100 * n, f"{last.start}T12:00Z", licensee=f"house-{n}", plan="free")
        trade.use("tune", 10 * n, f"{now - (6 if n == 2 else 1) * DAY}T12:00Z", licensee=f"house-{n}")
        trade.use("nobody-knows", n, f"{now - DAY}T12:00Z", licensee=f"house-{n}")
    session.commit()
    roll_up(session)
    session.commit()
    for agreement in made:
        draft = close(session, agreement.id, last).invoice
        assert draft is not None
        issue(session, draft.id)
    session.commit()
    accrue_due(session)
    session.commit()
    return trade


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(_c: Any, _k: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def reads(now: date) -> dict[str, tuple[int, Callable[[Session], Any]]]:
    """Every read with the number of statements that its docstring promises."""
    month, days = Period.month_of(now), Period(now - 40 * DAY, now + DAY)
    months = Period(days.start, month.end)
    return {
        "overview": (7, lambda s: overview.overview(s, 1)),
        "day": (1, lambda s: series.images_by_day(s, 1, days)),
        "day model": (2, lambda s: series.images_by_day(s, 1, days, by="model")),
        "day licensee": (5, lambda s: series.images_by_day(s, 1, days, by="licensee", top=1)),
        "month": (1, lambda s: series.images_by_month(s, 1, months)),
        "month model": (2, lambda s: series.images_by_month(s, 1, months, by="model")),
        "month licensee": (4, lambda s: series.images_by_month(s, 1, months, by="licensee", top=1)),
        "fees day": (1, lambda s: series.fees_by_day(s, 1, month, "USD")),
        "fees subject": (1, lambda s: series.fees_by_subject(s, 1, month, "USD")),
        "fees month": (2, lambda s: series.fees_by_month(s, 1, months, "USD")),
        "fees licensee": (4, lambda s: series.fees_by_month(s, 1, months, "USD", by="licensee", top=1)),
        "currencies": (1, lambda s: series.currencies_of(s, 1)),
        "list": (1, lambda s: s.execute(licensee_list.LICENSEES.order_by(licensee_list.IMAGES.desc())).all()),
        "usage day": (2, lambda s: licensee_figures.usage_by_day(s, 1, 2, days, by="plan")),
        "usage month": (2, lambda s: licensee_figures.usage_by_month(s, 1, 2, months, by="model")),
        "calendar": (4, lambda s: licensee_figures.calendar_of(s, 1, 2, days)),
        "tree": (5, lambda s: model_figures.model_tree(s, 1, days, month, "USD")),
        "held": (4, waiting.held_usage),
        "unreviewed": (1, waiting.unreviewed_airs),
    }


def test_each_read_makes_as_many_statements_as_it_says_however_many_licensees(session: Session, engine: Engine) -> None:
    trade_of(session, 6)
    for name, (statements, read) in reads(today(session)).items():
        with licensor_eyes(session, 1) as eyes, counted(engine) as sent:
            read(eyes)
        assert len(sent) == statements, (name, sent)


def test_the_first_page_in_small(session: Session) -> None:
    trade = trade_of(session, 3)
    now = today(session)
    with licensor_eyes(session, trade.licensor.id) as eyes:
        found = overview.overview(eyes, 1)
    [fees] = found.fees
    issued = sum((100 * n for n in (1, 2, 3)), 0)  # minor units: a cent an image
    assert fees.last_month.minor + fees.accrued.minor == issued + 60
    assert fees.expected_shortfall.minor > 0 and found.at_risk_count == 1
    assert [(each.licensee, each.commitments) for each in found.at_risk] == [("house-1", ("floor",))]
    assert [(each.licensee, each.silent_since) for each in found.stopped] == [("house-2", now - 5 * DAY)]
    assert [(each.open.minor, each.invoice_count, each.overdue.minor) for each in found.receivables] == [
        (fees.last_month.minor, 3, 0)
    ]
    assert overview.receivables(session, 1, now + 90 * DAY)[0].overdue_count == 3


def test_charts_add_up_whatever_they_are_split_by(session: Session) -> None:
    trade_of(session, 4)
    now = today(session)
    days, month = Period(now - 70 * DAY, now + DAY), Period.month_of(now)
    months = Period(Period.month_of(days.start).start, month.end)
    with licensor_eyes(session, 1) as eyes:
        split = [series.images_by_day(eyes, 1, days, by=by, top=2) for by in ("total", "model", "licensee")]
        assert {each.total for each in split} == {100 * 10 + 10 * 10}
        assert [line.slug for line in split[2].lines] == ["house-4", "house-3", None]
        assert series.images_by_month(eyes, 1, months, by="licensee", top=2).total == 1100
        by_licensee = series.fees_by_month(eyes, 1, months, "USD", by="licensee", top=1)
        assert by_licensee.total == series.fees_by_month(eyes, 1, months, "USD").total == 1100
        assert sum(by_licensee.money(by_licensee.lines[0]), start=Money("USD", 0)).minor == 440
        own = series.fees_by_day(eyes, 1, month, "USD")
        assert own.total == series.fees_by_subject(eyes, 1, month, "USD").total
        plans = licensee_figures.usage_by_day(eyes, 1, 2, days, by="plan")
        assert {line.slug: line.total for line in plans.lines} == {"free": 100, "": 10}


def test_the_tree_says_which_derivatives_drive_usage(session: Session) -> None:
    trade_of(session, 2)
    now = today(session)
    with licensor_eyes(session, 1) as eyes:
        tree = model_figures.model_tree(eyes, 1, Period(now - 70 * DAY, now + DAY), Period.month_of(now), "USD")
    base, tune = tree.models["sd-1"], tree.models["tune"]
    assert (tree.roots, base.derivatives, tune.bases) == (("sd-1",), ("tune",), ("sd-1",))
    assert (base.image_count, base.via, tune.image_count, tune.through) == (330, (("sd-1", 300), ("tune", 30)), 0, 30)


def test_the_calendar_shows_gaps_words_of_zero_and_usage(session: Session) -> None:
    trade = trade_of(session, 2)
    now, house = today(session), trade.licensee("house-2").id
    session.execute(
        text("INSERT INTO zero_reports (licensee_id, zero_report_id, starts_on, ends_on, key_id) "
             "VALUES (:l, 'z', :d, :e, 0)"), {"l": house, "d": now - 3 * DAY, "e": now - 2 * DAY},
    )  # fmt: skip
    session.commit()
    with licensor_eyes(session, 1) as eyes:
        days = licensee_figures.calendar_of(eyes, 1, house, Period(now - 6 * DAY, now + DAY))
    states = {(now - each.day).days: each.state for each in days}
    assert states == {n: {6: "reported", 3: "zero", 0: "open"}.get(n, "missing") for n in states}


def test_a_licensor_sees_waiting_names_only_of_who_deals_with_nobody_else(session: Session) -> None:
    trade = trade_of(session, 2)
    session.execute(text("INSERT INTO licensors (slug, name, invoice_prefix) VALUES ('rival', 'Rival', 'RIV')"))
    session.execute(
        text("INSERT INTO accounts (licensor_id, licensee_id, zone, currency) "
             "SELECT id, :house, 'UTC', 'USD' FROM licensors WHERE slug = 'rival'"),
        {"house": trade.licensee("house-2").id},
    )  # fmt: skip
    session.commit()
    with licensor_eyes(session, 1) as eyes:
        assert [(each.licensee, each.name, each.reason) for each in waiting.held_usage(eyes)] == [
            ("house-1", "nobody-knows", "unknown_name")
        ]
    with licensor_eyes(session, 2) as eyes:
        assert waiting.held_usage(eyes) == []
        with pytest.raises(DBAPIError, match="permission denied"):
            eyes.execute(text("SELECT pending FROM resolutions"))


def test_a_guess_is_listed_until_it_is_registered_as_what_it_was_taken_for(session: Session) -> None:
    trade = Trade(session)
    trade.model("sd-1")
    trade.model("ink", owes="own")
    session.add(ModelName(name="urn:air:sd1:checkpoint:civitai:1@1", model_id=trade.models["sd-1"].id))
    for n in (2, 3):
        trade.use(f"urn:air:sd1:lora:civitai:{n}@1", 10 * n, "2026-10-03T12:00Z")
    session.commit()
    roll_up(session)
    session.add(ModelName(name="urn:air:sd1:lora:civitai:2@1", model_id=trade.models["sd-1"].id))
    session.add(ModelName(name="urn:air:sd1:lora:civitai:3@1", model_id=trade.models["ink"].id))
    session.commit()
    [air] = waiting.unreviewed_airs(session)
    assert (air.name[-3:], air.counted_for, air.registered_as, air.image_count) == ("3@1", "sd-1", "ink", 30)


def test_open_items_follow_every_entry_and_cannot_be_written(session: Session, owner_url: str) -> None:
    trade = trade_of(session, 2)
    items = {each.item: each.money.minor for each in open_items(session, trade.licensor.id)}
    second = sorted(items)[-1]
    void(session, second, ADA, "it was wrong")
    session.commit()
    assert second not in {each.item for each in open_items(session, trade.licensor.id)}
    assert verify_open_items(session)[1] == []
    with pytest.raises(DBAPIError, match="permission denied"):
        session.execute(text("DELETE FROM open_items"))
    session.rollback()
    with psycopg.connect(owner_url) as owner:
        owner.execute("UPDATE open_items SET amount_minor = amount_minor + 1")
    assert len(verify_open_items(session)[1]) == 1
