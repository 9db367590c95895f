"""The fake refuses what Stripe refuses: asked by the real package, over HTTP."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import stripe

from tests.fakes.stripe_server import StripeServer


@pytest.fixture(scope="module")
def server() -> Iterator[StripeServer]:
    with StripeServer() as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_left(server: StripeServer) -> None:
    server.faults.clear()
    server.requests_a_second = None


@pytest.fixture(scope="module")
def client(server: StripeServer) -> stripe.StripeClient:
    return server.client()


@pytest.fixture
def customer(client: stripe.StripeClient) -> str:
    return client.v1.customers.create({"name": "North", "email": "billing@north.example"}).id


def draft(client: stripe.StripeClient, customer: str, **more: Any) -> stripe.Invoice:
    params = {"customer": customer, "collection_method": "send_invoice", "days_until_due": 30, **more}
    return client.v1.invoices.create(params)  # type: ignore[arg-type]


def opened(client: stripe.StripeClient, customer: str, amount: int = 1000) -> stripe.Invoice:
    invoice = draft(client, customer)
    client.v1.invoices.add_lines(invoice.id, {"lines": [{"amount": amount, "description": "Images"}]})
    return client.v1.invoices.finalize_invoice(invoice.id)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown parameter": ({"collect": "yes"}, "parameter_unknown"),
    "an unknown parameter further down": ({"issuer": {"type": "self", "name": "x"}}, "parameter_unknown"),
    "a word that is none": ({"collection_method": "post"}, ""),
    "a word of another list": ({"pending_invoice_items_behavior": "send_invoice"}, ""),
    "text for a number": ({"days_until_due": "soon"}, "parameter_invalid_integer"),
    "a fraction for a number": ({"days_until_due": "1.5"}, "parameter_invalid_integer"),
    "text for a yes or no": ({"auto_advance": "ja"}, ""),
    "an object for text": ({"description": {"a": "b"}}, ""),
    "text for an object": ({"automatic_tax": "on"}, ""),
    "nothing for what cannot be unset": ({"description": ""}, "parameter_invalid_empty"),
    "a part that lacks what it needs": ({"custom_fields": [{"name": "PO"}]}, "parameter_missing"),
    "a metadata value that is too long": ({"metadata": {"a": "x" * 501}}, ""),
    "two ways to be due": ({"due_date": 4102444800}, ""),
    "a currency nobody knows": ({"currency": "xyz"}, ""),
}


@pytest.mark.parametrize("how", WRONG)
def test_parameters_are_checked_against_the_packages_own_types(
    client: stripe.StripeClient, server: StripeServer, customer: str, how: str
) -> None:
    params, code = WRONG[how]
    before = len(server.account.invoices)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        draft(client, customer, **params)
    assert (refused.value.http_status, refused.value.code or "") == (400, code)
    assert len(server.account.invoices) == before


def test_what_charges_by_itself_has_no_due_day_and_what_is_mailed_needs_one(
    client: stripe.StripeClient, customer: str
) -> None:
    for params in (
        {"collection_method": "charge_automatically", "days_until_due": 3},
        {"collection_method": "send_invoice"},
        {"collection_method": "send_invoice", "due_date": 1_000_000_000},
    ):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.invoices.create({"customer": customer, **params})  # type: ignore[typeddict-item]


def test_the_wrong_key_is_not_let_in(server: StripeServer) -> None:
    stranger = stripe.StripeClient("sk_test_other", base_addresses={"api": server.url})
    with pytest.raises(stripe.AuthenticationError):
        stranger.v1.invoices.list()


def test_one_key_one_answer(client: stripe.StripeClient, server: StripeServer, customer: str) -> None:
    params: Any = {"customer": customer, "metadata": {"n": "1"}}
    first = client.v1.invoices.create(params, {"idempotency_key": "one"})
    again = client.v1.invoices.create(params, {"idempotency_key": "one"})
    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        client.v1.invoices.create({**params, "metadata": {"n": "2"}}, {"idempotency_key": "one"})
    server.account.advance(timedelta(hours=24, seconds=1))
    assert client.v1.invoices.create(params, {"idempotency_key": "one"}).id != first.id


def test_a_key_is_not_spent_by_parameters_that_fail_but_by_a_refusal_of_the_work(
    client: stripe.StripeClient, customer: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.create({"customer": customer, "days_until_due": -1, "x": 1}, {"idempotency_key": "two"})  # type: ignore[typeddict-unknown-key]
    invoice = client.v1.invoices.create({"customer": customer}, {"idempotency_key": "two"})
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError, match="without line items"):
            client.v1.invoices.finalize_invoice(invoice.id, {}, {"idempotency_key": "three"})
        client.v1.invoices.add_lines(invoice.id, {"lines": [{"amount": 5}]})


def test_an_error_of_stripes_own_is_replayed_whether_the_work_was_done_or_not(
    client: stripe.StripeClient, server: StripeServer, customer: str
) -> None:
    for fault, made in (("500", 0), ("500_after", 1)):
        before = len(server.account.invoices)
        server.faults.next("POST /v1/invoices", fault)
        for _ in range(2):
            with pytest.raises(stripe.APIError):
                client.v1.invoices.create({"customer": customer}, {"idempotency_key": fault})
        assert len(server.account.invoices) == before + made


def test_a_connection_breaks_before_the_work_or_after_it(
    client: stripe.StripeClient, server: StripeServer, customer: str
) -> None:
    for fault, made in (("dropped", 0), ("reply_lost", 1)):
        before = len(server.account.invoices)
        server.faults.next("POST /v1/invoices", fault)
        with pytest.raises(stripe.APIConnectionError):
            client.v1.invoices.create({"customer": customer}, {"idempotency_key": fault})
        assert len(server.account.invoices) == before + made
        client.v1.invoices.create({"customer": customer}, {"idempotency_key": fault})
        assert len(server.account.invoices) == before + 1


def test_too_many_requests_are_told_to_wait(client: stripe.StripeClient, server: StripeServer, customer: str) -> None:
    server.faults.next("GET /v1/invoices", "429")
    with pytest.raises(stripe.RateLimitError) as busy:
        client.v1.invoices.list()
    assert busy.value.headers is not None
    assert busy.value.headers["Retry-After"] == "1"
    server.requests_a_second = 3
    with pytest.raises(stripe.RateLimitError):
        for _ in range(4):
            client.v1.invoices.list()


def test_a_key_whose_request_is_under_way_is_busy(
    client: stripe.StripeClient, server: StripeServer, customer: str
) -> None:
    server._keys["busy"] = {"digest": ("POST", "/v1/invoices", f"customer={customer}"), "answer": None,
                            "at": server.account.now()}  # fmt: skip
    with pytest.raises(stripe.StripeError) as busy:
        client.v1.invoices.create({"customer": customer}, {"idempotency_key": "busy"})
    assert busy.value.http_status == 409


MOVES: dict[str, Callable[[stripe.StripeClient, str], Any]] = {
    "add_lines": lambda client, id_: client.v1.invoices.add_lines(id_, {"lines": [{"amount": 1}]}),
    "delete": lambda client, id_: client.v1.invoices.delete(id_),
    "finalize": lambda client, id_: client.v1.invoices.finalize_invoice(id_),
    "send": lambda client, id_: client.v1.invoices.send_invoice(id_),
    "pay elsewhere": lambda client, id_: client.v1.invoices.pay(id_, {"paid_out_of_band": True}),
    "void": lambda client, id_: client.v1.invoices.void_invoice(id_),
    "mark_uncollectible": lambda client, id_: client.v1.invoices.mark_uncollectible(id_),
    "credit": lambda client, id_: client.v1.credit_notes.create({"invoice": id_, "amount": 1}),
}
ALLOWED = {
    "draft": {"add_lines", "delete", "finalize", "send", "pay elsewhere"},
    "open": {"send", "pay elsewhere", "void", "mark_uncollectible", "credit"},
    "paid": {"send"},
    "void": set(),
    "uncollectible": {"send", "pay elsewhere", "void", "credit"},
}


@pytest.mark.parametrize("status", ALLOWED)
@pytest.mark.parametrize("move", MOVES)
def test_an_invoice_moves_as_stripe_lets_it(client: stripe.StripeClient, customer: str, status: str, move: str) -> None:
    if status == "draft":
        id_ = draft(client, customer).id
        client.v1.invoices.add_lines(id_, {"lines": [{"amount": 1000}]})
    else:
        id_ = opened(client, customer).id
    if status == "paid":
        client.v1.invoices.pay(id_, {"paid_out_of_band": True})
    elif status == "void":
        client.v1.invoices.void_invoice(id_)
    elif status == "uncollectible":
        client.v1.invoices.mark_uncollectible(id_)
    assert client.v1.invoices.retrieve(id_).status == status
    if move in ALLOWED[status]:
        MOVES[move](client, id_)
    else:
        with pytest.raises(stripe.InvalidRequestError):
            MOVES[move](client, id_)
        assert client.v1.invoices.retrieve(id_).status == status


@pytest.mark.parametrize(
    ("currency", "amount", "good"),
    [("usd", 1234, True), ("jpy", 1234, True), ("kwd", 5120, True), ("kwd", 5124, False), ("isk", 500, True),
     ("isk", 505, False), ("ugx", 50, False)],
)  # fmt: skip
def test_amounts_are_whole_numbers_as_each_currency_has_them(
    client: stripe.StripeClient, customer: str, currency: str, amount: int, good: bool
) -> None:
    invoice = draft(client, customer, currency=currency)
    lines: Any = {"lines": [{"amount": amount}]}
    if good:
        assert client.v1.invoices.add_lines(invoice.id, lines).total == amount
    else:
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.invoices.add_lines(invoice.id, lines)


def test_pending_items_wait_for_an_invoice_that_asks_for_them(client: stripe.StripeClient, customer: str) -> None:
    client.v1.invoice_items.create({"customer": customer, "amount": 700, "currency": "usd"})
    assert draft(client, customer).total == 0
    assert draft(client, customer, pending_invoice_items_behavior="include").total == 700
    mine = draft(client, customer)
    client.v1.invoice_items.create({"customer": customer, "amount": 70, "invoice": mine.id})
    assert client.v1.invoices.retrieve(mine.id).total == 70


def test_a_draft_that_may_advance_does_so_within_an_hour_or_so(
    client: stripe.StripeClient, server: StripeServer, customer: str
) -> None:
    waits, goes = draft(client, customer), draft(client, customer, auto_advance=True)
    for each in (waits, goes):
        client.v1.invoices.add_lines(each.id, {"lines": [{"amount": 10}]})
    server.account.advance(timedelta(hours=2))
    assert [client.v1.invoices.retrieve(each.id).status for each in (waits, goes)] == ["draft", "open"]


def test_searching_does_not_find_what_is_new_but_listing_does(
    client: stripe.StripeClient, server: StripeServer, customer: str
) -> None:
    draft(client, customer, metadata={"order": "7"})
    query: Any = {"query": "metadata['order']:'7'"}
    assert client.v1.invoices.search(query).data == []
    assert len(client.v1.invoices.list({"customer": customer}).data) == 1
    server.account.advance(timedelta(minutes=2))
    assert len(client.v1.invoices.search(query).data) == 1


def test_lists_come_in_pages(client: stripe.StripeClient, customer: str) -> None:
    made = [draft(client, customer).id for _ in range(7)]
    page = client.v1.invoices.list({"customer": customer, "limit": 3})
    assert (page.has_more, [each.id for each in page.data]) == (True, made[:3:-1])
    assert [each.id for each in page.auto_paging_iter()] == made[::-1]


def test_a_credit_note_lowers_what_is_open_and_says_where_the_rest_goes(
    client: stripe.StripeClient, server: StripeServer, customer: str
) -> None:
    invoice = opened(client, customer, 1000)
    client.v1.credit_notes.create({"invoice": invoice.id, "amount": 300})
    server.customer_pays(invoice.id, 500)
    with pytest.raises(stripe.InvalidRequestError, match="must equal"):
        client.v1.credit_notes.create({"invoice": invoice.id, "amount": 300})
    client.v1.credit_notes.create({"invoice": invoice.id, "amount": 300, "out_of_band_amount": 100})
    after = client.v1.invoices.retrieve(invoice.id)
    assert (after.status, after.amount_remaining, after.amount_paid) == ("paid", 0, 500)
    with pytest.raises(stripe.InvalidRequestError, match="cannot exceed"):
        client.v1.credit_notes.create({"invoice": invoice.id, "amount": 401, "out_of_band_amount": 401})


def test_a_card_pays_is_declined_or_is_missing(
    client: stripe.StripeClient, server: StripeServer, customer: str
) -> None:
    invoice = opened(client, customer)
    with pytest.raises(stripe.InvalidRequestError, match="no active card"):
        client.v1.invoices.pay(invoice.id)
    server.account.cards[customer] = "declined"
    with pytest.raises(stripe.CardError) as declined:
        client.v1.invoices.pay(invoice.id)
    assert declined.value.code == "card_declined"
    server.account.cards[customer] = "ok"
    assert client.v1.invoices.pay(invoice.id).status == "paid"
    [payment] = client.v1.invoice_payments.list({"invoice": invoice.id, "status": "paid"}).data
    assert payment.amount_paid == 1000


def test_events_are_signed_as_the_package_verifies_them(
    client: stripe.StripeClient, server: StripeServer, customer: str
) -> None:
    event = server.undelivered()[-1]
    body, headers = server.signed(event)
    assert stripe.Webhook.construct_event(body, headers["Stripe-Signature"], server.webhook_secret).id == event["id"]
    assert client.v1.events.retrieve(event["id"]).type == "customer.created"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body + b" ", headers["Stripe-Signature"], server.webhook_secret)


def test_an_event_shows_its_object_as_it_was(client: stripe.StripeClient, server: StripeServer, customer: str) -> None:
    invoice = opened(client, customer)
    client.v1.invoices.void_invoice(invoice.id)
    told = [
        (event["type"], event["data"]["object"]["status"])
        for event in server.account.events.values()
        if event["data"]["object"]["id"] == invoice.id and event["type"] != "invoice.updated"
    ]
    assert told == [("invoice.created", "draft"), ("invoice.finalized", "open"), ("invoice.voided", "void")]


def test_thirty_threads_with_one_key_make_one_invoice(server: StripeServer, customer: str) -> None:
    before, made = len(server.account.invoices), []

    def create() -> None:
        made.append(server.client().v1.invoices.create({"customer": customer}, {"idempotency_key": "thirty"}).id)

    threads = [threading.Thread(target=create) for _ in range(30)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(set(made)), len(made), len(server.account.invoices)) == (1, 30, before + 1)


def test_its_answers_are_json_and_its_refusals_have_stripes_form(server: StripeServer) -> None:
    import httpx

    answer = httpx.get(f"{server.url}/v1/quotes", headers={"Authorization": f"Bearer {server.api_key}"})
    assert answer.status_code == 400
    assert json.loads(answer.content)["error"]["type"] == "invalid_request_error"
