"""The door that Stripe's webhooks come in by: raw bytes, signatures, each event once, and nothing in bad faith."""

import random
import time
from collections.abc import Iterator

import httpx
import pytest
import stripe
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.database import make_engine
from core.payments.tables import GatewayEvent, Payment
from tests.door import Door, serving, settings_for
from tests.fakes.stripe_server import StripeServer
from tests.fakes.till import Outbox, Till

PATH = "/v1/stripe/webhooks"


@pytest.fixture
def server() -> Iterator[StripeServer]:
    with StripeServer() as running:
        yield running


@pytest.fixture
def door(database_url: str, server: StripeServer) -> Iterator[Door]:
    with serving(settings_for(database_url, stripe_webhook_secret=server.webhook_secret), {}) as running:
        yield running


def events_taken(database_url: str) -> int:
    engine = make_engine(database_url)
    with Session(engine) as session:
        found = session.scalar(select(func.count()).select_from(GatewayEvent)) or 0
    engine.dispose()
    return found


def test_doubled_muddled_and_repeated_webhooks_count_each_payment_once(
    door: Door, server: StripeServer, database_url: str
) -> None:
    engine = make_engine(database_url)
    outbox = Outbox(engine, server)
    with Session(engine) as session:
        till = Till(session)
        till.by_stripe()
        invoices = [till.invoice(100_00 + n) for n in range(3)]
        outbox.work()
        for there in server.account.live_invoices():
            server.customer_pays(there["id"], 30_00)
            server.customer_pays(there["id"])
        dice = random.Random(5)
        statuses = server.deliver(door.address + PATH, dice=dice, double=60)
        assert set(statuses) == {200}
        assert server.undelivered() == []
        outbox.work()
        assert till.left(*invoices) == [0, 0, 0]
        assert session.scalar(select(func.count()).select_from(Payment)) == 6
        assert session.scalar(select(func.count()).select_from(GatewayEvent)) == len(server.account.events)
    engine.dispose()


@pytest.mark.slow
def test_lost_webhooks_are_made_good_by_the_daily_comparison(
    door: Door, server: StripeServer, database_url: str
) -> None:
    engine = make_engine(database_url)
    outbox = Outbox(engine, server)
    with Session(engine) as session:
        till = Till(session)
        till.by_stripe()
        invoice = till.invoice(100_00)
        outbox.work()
        server.customer_pays(server.account.live_invoices()[0]["id"])
        assert server.deliver(door.address + PATH, dice=random.Random(1), lose=100) == []
        outbox.work()
        assert till.left(invoice) == [100_00]
        assert outbox.reconcile().differences == 1
        outbox.work()
        assert till.left(invoice) == [0]
    engine.dispose()


def event(id_: str = "evt_1") -> dict:
    return {
        "id": id_,
        "object": "event",
        "type": "invoice.paid",
        "data": {"object": {"object": "invoice", "id": "in_1"}},
    }


def test_an_event_is_answered_the_same_way_whether_it_is_new_or_not(door: Door, server: StripeServer) -> None:
    body, headers = server.signed(event())
    answers = [door.client.post(PATH, content=body, headers=headers) for _ in range(2)]
    assert [(each.status_code, each.json()) for each in answers] == [
        (200, {"event": "evt_1", "taken": True}),
        (200, {"event": "evt_1", "taken": False}),
    ]


FORGED = {
    "no signature": lambda body, sign: {},
    "an empty one": lambda body, sign: {"Stripe-Signature": ""},
    "of another body": lambda body, sign: sign(body + b" "),
    "of another secret": lambda body, sign: sign(body, secret="whsec_other"),
    "of ten minutes ago": lambda body, sign: sign(body, at=int(time.time()) - 600),
    "without a time": lambda body, sign: {"Stripe-Signature": sign(body)["Stripe-Signature"].split(",")[1]},
    "with letters for a time": lambda body, sign: {"Stripe-Signature": "t=now,v1=00"},
    "with a time of 5,000 digits": lambda body, sign: {"Stripe-Signature": f"t={'9' * 5000},v1=00"},
    "of another scheme": lambda body, sign: {"Stripe-Signature": sign(body)["Stripe-Signature"].replace("v1=", "v0=")},
    "in letters that are none": lambda body, sign: {"Stripe-Signature": "t=1,v1=\xe4\xff".encode("latin-1")},
    "with nothing after it": lambda body, sign: {"Stripe-Signature": "t,v1"},
}


def test_what_stripe_did_not_sign_is_refused_and_leaves_no_trace(
    door: Door, server: StripeServer, database_url: str
) -> None:
    body, _ = server.signed(event())

    def sign(signed: bytes, secret: str = server.webhook_secret, at: int | None = None) -> dict[str, str]:
        return {"Stripe-Signature": stripe.WebhookSignature.generate_signature_header(signed.decode(), secret, at)}

    for how, forge in FORGED.items():
        answer = door.client.post(PATH, content=body, headers=forge(body, sign))
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_signature"), how
    assert events_taken(database_url) == 0


def test_what_is_signed_and_still_no_event_is_refused(door: Door, server: StripeServer, database_url: str) -> None:
    for body in (b"", b"{", b"null", b"[]", b"[" * 100_000, b'{"id": "evt_\\u0000", "type": "x"}'):
        signature = stripe.WebhookSignature.generate_signature_header(body.decode(), server.webhook_secret)
        answer = door.client.post(PATH, content=body, headers={"Stripe-Signature": signature})
        assert 400 <= answer.status_code < 500, body[:40]
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert events_taken(database_url) == 0


def test_bytes_that_are_no_text_and_bodies_that_are_too_large_are_refused(door: Door) -> None:
    for body, status in ((b"\xff\xfe" * 9, 400), (b"x" * (1024 * 1024 + 1), 413)):
        answer = door.client.post(PATH, content=body, headers={"Stripe-Signature": "t=1,v1=00"})
        assert answer.status_code == status
    assert door.client.get(PATH).status_code == 405


@pytest.mark.slow
def test_without_a_secret_nothing_is_believed(database_url: str, server: StripeServer) -> None:
    with serving(settings_for(database_url), {}) as unset:
        body, headers = server.signed(event())
        answer = httpx.post(unset.address + PATH, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "webhooks_not_set_up")
