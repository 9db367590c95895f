"""Webhooks: what is taken from an event, once, and what the reading that follows records, in whatever order."""

import json
import random
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.errors import InvalidInput
from core.payments.events import Event, parse_event, take
from core.payments.tables import GatewayEvent, GatewayInvoice, Payment
from tests.fakes.stripe_server import StripeServer
from tests.fakes.till import Outbox, Till


def take_all(session: Session, events: list[dict[str, Any]]) -> int:
    """How many of these were new."""
    new = 0
    for event in events:
        new += take(session, parse_event(json.dumps(event).encode()))
        session.commit()
    return new


def mirror(session: Session) -> GatewayInvoice:
    session.rollback()
    return session.scalars(select(GatewayInvoice)).one()


@pytest.mark.slow
def test_an_event_has_its_effect_once(till: Till, server: StripeServer, outbox: Outbox) -> None:
    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.work()
    server.customer_pays(mirror(till.session).gateway_id or "", 40_00)
    events = server.undelivered()
    assert take_all(till.session, events) == len(events)
    assert take_all(till.session, events) == 0
    outbox.work()
    assert till.left(invoice) == [60_00]
    effects = dict(till.session.execute(select(GatewayEvent.kind, GatewayEvent.effect)).all())
    assert effects["invoice_payment.paid"] == "read again"
    assert effects["customer.created"] == "none: not about an invoice"


def test_an_event_and_its_effect_are_kept_together_or_not_at_all(
    till: Till, server: StripeServer, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    till.by_stripe()
    till.invoice(100_00)
    outbox.work()
    about = {"object": "invoice", "id": mirror(till.session).gateway_id}
    paid = {"id": "evt_1", "type": "invoice.paid", "data": {"object": about}}

    def power_cut(_: str) -> None:
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as dark:
        dark.setattr("core.payments.events.kill_point", power_cut)
        with pytest.raises(RuntimeError):
            take_all(till.session, [paid])
    till.session.rollback()
    assert mirror(till.session).refresh_wanted_at is None
    assert take_all(till.session, [paid]) == 1
    assert mirror(till.session).refresh_wanted_at is not None


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 20))])
def test_events_may_come_in_any_order_and_any_number_of_times(
    till: Till, server: StripeServer, outbox: Outbox, seed: int
) -> None:
    dice = random.Random(seed)
    till.by_stripe()
    invoice, other = till.invoice(100_00), till.invoice(50_00, licensee="south")
    outbox.work()
    id_ = mirror(till.session).gateway_id or ""
    server.customer_pays(id_, 30_00)
    early = server.undelivered()
    take_all(till.session, dice.sample(early, len(early) // 2))
    outbox.work()
    server.customer_pays(id_)
    late = server.undelivered()
    muddled = [*late, *dice.sample(late, 5)]
    dice.shuffle(muddled)
    for event in muddled:
        take_all(till.session, [event])
        if dice.random() < 0.5:
            outbox.work()
    outbox.work()
    assert (mirror(till.session).status, mirror(till.session).remaining_minor) == ("paid", 0)
    assert till.left(invoice, other) == [0, 50_00]
    assert till.session.scalar(select(func.sum(Payment.amount_minor))) == 100_00


def test_an_old_event_does_not_bring_an_old_state_back(till: Till, server: StripeServer, outbox: Outbox) -> None:
    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.work()
    till.void(invoice)
    outbox.work()
    finalised = [event for event in server.undelivered() if event["type"] == "invoice.finalized"]
    assert finalised[0]["data"]["object"]["status"] == "open"
    take_all(till.session, finalised)
    outbox.work()
    assert mirror(till.session).status == "void"


def test_an_event_that_lies_about_money_moves_none(till: Till, server: StripeServer, outbox: Outbox) -> None:
    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.work()
    event = next(each for each in server.undelivered() if each["type"] == "invoice.finalized")
    event = json.loads(json.dumps(event)) | {"id": "evt_forged", "type": "invoice.paid"}
    event["data"]["object"] |= {"status": "paid", "amount_paid": 100_00, "amount_remaining": 0}
    take_all(till.session, [event])
    outbox.work()
    assert till.left(invoice) == [100_00]
    assert mirror(till.session).status == "open"


def test_a_wish_that_comes_while_an_invoice_is_read_stays_a_wish(
    till: Till, server: StripeServer, outbox: Outbox
) -> None:
    from core.payments.refresh import Reading, claim_refresh, read, record_reading
    from tests.fakes.till import LEASE

    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.work()
    id_ = mirror(till.session).gateway_id or ""
    event = {"id": "evt_1", "type": "invoice.updated", "data": {"object": {"object": "invoice", "id": id_}}}
    take_all(till.session, [event])
    with Session(outbox.engine) as session:
        wish = claim_refresh(session, LEASE, 1000)
        session.commit()
        assert isinstance(wish, Reading)
        what = read(outbox.gateway, wish)
        server.customer_pays(id_)
        take_all(till.session, [{**event, "id": "evt_2"}])
        record_reading(session, wish, what)
        session.commit()
    assert till.left(invoice) == [100_00]
    outbox.work()
    assert till.left(invoice) == [0]


@pytest.mark.slow
def test_two_readings_at_once_record_a_payment_once(till: Till, server: StripeServer, outbox: Outbox) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from core.payments.refresh import Reading, read, record_reading

    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.work()
    id_ = mirror(till.session).gateway_id or ""
    server.customer_pays(id_)
    wanted = till.session.scalar(select(func.now()))
    assert wanted is not None
    wish = Reading(invoice.id, id_, wanted)
    what = read(outbox.gateway, wish)
    till.session.rollback()

    def attempt(_: int) -> int:
        with Session(outbox.engine) as session:
            found = len(record_reading(session, wish, what))
            session.commit()
            return found

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(8))) == [0] * 7 + [1]
    assert till.left(invoice) == [0]


@pytest.mark.slow
def test_what_stripe_takes_beyond_what_is_owed_stays_unapplied(
    till: Till, server: StripeServer, outbox: Outbox
) -> None:
    from core.payments.queries import rest_of
    from tests.core.payments.test_apply import pays, settle

    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.work()
    settle(till, pays(till, 60_00), invoice.number, 60_00)  # by bank, and then
    server.customer_pays(mirror(till.session).gateway_id or "")  # the whole of it at Stripe
    take_all(till.session, server.undelivered())
    outbox.work()
    assert till.left(invoice) == [0]
    [(item, left)] = rest_of(till.session, till.licensor_id, till.licensee_id())
    assert item.startswith("payment:stripe:inpay_")
    assert left == till.money(60_00)


HOSTILE: list[bytes] = [
    b"", b"{", b"null", b"[]", b'"evt_1"', b"\xff\xfe", b"NaN", b"[" * 100_000, b'{"id": 1, "type": "x"}',
    b'{"id": "evt_1"}', b'{"id": "evt_1", "type": null}', b'{"id": "evt_1\\u0000", "type": "x"}',
    b'{"id": "evt_\\ud800", "type": "x"}', b'{"id": "in_1", "type": "x"}',
    b'{"id": "evt_1", "type": "' + b"x" * 101 + b'"}',
    b'{"id": "evt_' + b"1" * 300 + b'", "type": "x"}', b'{"id": ["evt_1"], "type": "x"}',
    b'{"id": "evt_1", "type": "A b"}',
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_event(body)


ODD: dict[str, Any] = {
    "no data": {},
    "data that is text": {"data": "x"},
    "an object that is a list": {"data": {"object": []}},
    "an invoice without an id": {"data": {"object": {"object": "invoice"}}},
    "an id that is a number": {"data": {"object": {"object": "invoice", "id": 1e400}}},
    "an id with NUL": {"data": {"object": {"object": "invoice", "id": "in_\0"}}},
    "an id of a megabyte": {"data": {"object": {"object": "invoice", "id": "in_" + "x" * 10**6}}},
    "an id with SQL": {"data": {"object": {"object": "invoice", "id": "in_1' OR 1=1"}}},
    "an invoice that is a number": {"data": {"object": {"object": "credit_note", "invoice": 7}}},
}


def test_an_event_about_something_odd_has_no_effect(session: Session) -> None:
    for n, (how, odd) in enumerate(ODD.items()):
        event = parse_event(json.dumps({"id": f"evt_{n}", "type": "invoice.paid", **odd}).encode())
        assert event == Event(f"evt_{n}", "invoice.paid", None), how
        assert take(session, event)


def test_an_event_names_its_invoice_in_several_ways() -> None:
    for about in (
        {"object": "invoice", "id": "in_1"},
        {"object": "invoice_payment", "id": "inpay_2", "invoice": "in_1"},
        {"object": "credit_note", "invoice": {"id": "in_1", "object": "invoice"}},
    ):
        body = json.dumps({"id": "evt_1", "type": "x", "data": {"object": about}}).encode()
        assert parse_event(body).invoice_gateway_id == "in_1"
