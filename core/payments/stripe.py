"""Stripe, through its own package: the one place that talks to it.

The package is imported when the first gateway is made; it takes half a second. It does not retry by itself: the outbox
does, with keys of its own. Drafts never advance by themselves, so nothing is asked for before its total was compared.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from core.payments.gateway import (
    ACCOUNT_MARK,
    CREDIT_MARK,
    INVOICE_MARK,
    PART_MARK,
    GatewayAway,
    GatewayBusy,
    GatewayDeclined,
    GatewayError,
    GatewayLockedOut,
    GatewayRefused,
    GatewayUnsure,
    RemoteInvoice,
    RemotePayment,
)

if TYPE_CHECKING:
    import stripe

T = TypeVar("T")
TIMEOUT_SECONDS = 30
PAGE = 100


def stripe_gateway(api_key: str, api_base: str = "", timeout_seconds: int = TIMEOUT_SECONDS) -> "StripeGateway":
    """The gateway of this key; `api_base` is for a stand-in of Stripe's."""
    import stripe  # noqa: PLC0415 - half a second, for those who talk to it

    client = stripe.StripeClient(
        api_key,
        base_addresses={"api": api_base} if api_base else None,
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=timeout_seconds),
    )
    return StripeGateway(client)


def verify_webhook(body: bytes, signature: str, secret: str) -> bool:
    """Whether Stripe signed these very bytes with this secret, in the last five minutes."""
    import stripe  # noqa: PLC0415

    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, stripe.Webhook.DEFAULT_TOLERANCE)
    except (stripe.SignatureVerificationError, ValueError, TypeError):  # also bytes that are no text at all
        return False
    return True


class StripeGateway:
    """A `Gateway` (see `gateway.py`). Everything a call may raise is a `GatewayError`."""

    def __init__(self, client: "stripe.StripeClient") -> None:
        self._client = client

    def find_customer(self, email: str, mark: str) -> str | None:
        """The customer with our mark. Lists, since searching does not find what is new."""
        customers = _asked(
            lambda: list(self._client.v1.customers.list({"email": email, "limit": PAGE}).auto_paging_iter())
        )
        return next((each.id for each in customers if _marks(each).get(ACCOUNT_MARK) == mark), None)

    def create_customer(self, content: Mapping[str, Any], key: str) -> str:
        return _asked(lambda: self._client.v1.customers.create(_params(content), {"idempotency_key": key})).id

    def find_invoices(self, customer_id: str, number: str) -> list[RemoteInvoice]:
        """Every invoice of the customer that carries this number of ours, also void ones."""
        found = _asked(
            lambda: list(self._client.v1.invoices.list({"customer": customer_id, "limit": PAGE}).auto_paging_iter())
        )
        return [_invoice(each) for each in found if _marks(each).get(INVOICE_MARK) == number]

    def create_invoice(self, customer_id: str, content: Mapping[str, Any], key: str) -> RemoteInvoice:
        """An empty draft that waits for us: lines are attached to its id, pending items of the customer stay out."""
        params = {
            **content,
            "customer": customer_id,
            "auto_advance": False,
            "pending_invoice_items_behavior": "exclude",
        }
        return _invoice(_asked(lambda: self._client.v1.invoices.create(_params(params), {"idempotency_key": key})))

    def parts_of(self, invoice_id: str) -> set[str]:
        """Which parts of our lines the invoice has already."""
        lines = _asked(
            lambda: list(self._client.v1.invoices.line_items.list(invoice_id, {"limit": PAGE}).auto_paging_iter())
        )
        return {part for line in lines if (part := _marks(line).get(PART_MARK)) is not None}

    def add_lines(self, invoice_id: str, lines: Sequence[Mapping[str, Any]], key: str) -> RemoteInvoice:
        params = _params({"lines": list(lines)})
        return _invoice(
            _asked(lambda: self._client.v1.invoices.add_lines(invoice_id, params, {"idempotency_key": key}))
        )

    def invoice(self, invoice_id: str) -> RemoteInvoice | None:
        """The invoice as it is now; None where there is none (any more)."""
        try:
            return _invoice(_asked(lambda: self._client.v1.invoices.retrieve(invoice_id)))
        except _NotThere:
            return None

    def finalise(self, invoice_id: str, auto_advance: bool, key: str) -> RemoteInvoice:
        params = _params({"auto_advance": auto_advance})
        return _invoice(
            _asked(lambda: self._client.v1.invoices.finalize_invoice(invoice_id, params, {"idempotency_key": key}))
        )

    def was_sent(self, invoice_id: str) -> bool:
        """Whether an event of the last 30 days says that it was mailed."""
        asked = _params({"type": "invoice.sent", "limit": PAGE})
        events = _asked(lambda: list(self._client.v1.events.list(asked).auto_paging_iter()))
        return any(event.data.to_dict()["object"]["id"] == invoice_id for event in events)

    def send(self, invoice_id: str, key: str) -> RemoteInvoice:
        return _invoice(_asked(lambda: self._client.v1.invoices.send_invoice(invoice_id, {}, {"idempotency_key": key})))

    def pay(self, invoice_id: str, key: str, *, elsewhere: bool) -> RemoteInvoice:
        """Collects now from what the customer has left for it, or notes that it was paid elsewhere."""
        params = _params({"paid_out_of_band": True} if elsewhere else {})
        return _invoice(_asked(lambda: self._client.v1.invoices.pay(invoice_id, params, {"idempotency_key": key})))

    def void(self, invoice_id: str, key: str) -> RemoteInvoice:
        return _invoice(_asked(lambda: self._client.v1.invoices.void_invoice(invoice_id, {}, {"idempotency_key": key})))

    def delete_draft(self, invoice_id: str) -> None:
        try:
            _asked(lambda: self._client.v1.invoices.delete(invoice_id))
        except _NotThere:
            return

    def mark_uncollectible(self, invoice_id: str, key: str) -> RemoteInvoice:
        return _invoice(
            _asked(lambda: self._client.v1.invoices.mark_uncollectible(invoice_id, {}, {"idempotency_key": key}))
        )

    def find_credit_note(self, invoice_id: str, number: str) -> str | None:
        notes = _asked(
            lambda: list(self._client.v1.credit_notes.list({"invoice": invoice_id, "limit": PAGE}).auto_paging_iter())
        )
        return next((note.id for note in notes if _marks(note).get(CREDIT_MARK) == number), None)

    def credit(self, invoice_id: str, content: Mapping[str, Any], key: str, *, settled_part: int) -> str:
        """Lowers what is asked for; `settled_part` is what was paid already and is ours to give back."""
        params = {"invoice": invoice_id, "email_type": "none", **content}
        if settled_part:
            params["out_of_band_amount"] = settled_part
        return _asked(lambda: self._client.v1.credit_notes.create(_params(params), {"idempotency_key": key})).id

    def payments_of(self, invoice_id: str) -> list[RemotePayment]:
        asked = _params({"invoice": invoice_id, "status": "paid", "limit": PAGE})
        return _asked(
            lambda: [_payment(each) for each in self._client.v1.invoice_payments.list(asked).auto_paging_iter()]
        )

    def all_invoices(self, since: datetime) -> Iterator[RemoteInvoice]:
        """Every invoice made since then that carries our mark."""
        asked = _params({"created": {"gte": int(since.timestamp())}, "limit": PAGE})
        for page in self._pages(lambda: self._client.v1.invoices.list(asked)):
            yield from (_invoice(each) for each in page if INVOICE_MARK in _marks(each))

    def all_payments(self, since: datetime) -> Iterator[RemotePayment]:
        asked = _params({"created": {"gte": int(since.timestamp())}, "status": "paid", "limit": PAGE})
        for page in self._pages(lambda: self._client.v1.invoice_payments.list(asked)):
            yield from (_payment(each) for each in page)

    def _pages(self, first: Callable[[], Any]) -> Iterator[list[Any]]:
        page = _asked(first)
        while page.data:
            yield page.data
            if not page.has_more:
                return
            page = _asked(page.next_page)


class _NotThere(GatewayRefused):
    """There is no such object."""


def _asked(call: Callable[[], T]) -> T:
    """Makes a call; what goes wrong becomes one of our words for it."""
    import stripe  # noqa: PLC0415

    try:
        return call()
    except stripe.StripeError as error:
        raise _meaning_of(error) from error


def _meaning_of(error: "stripe.StripeError") -> GatewayError:  # noqa: PLR0911 - one return for each meaning
    import stripe  # noqa: PLC0415

    said = error.user_message or type(error).__name__
    if isinstance(error, stripe.APIConnectionError):
        return GatewayAway(f"no answer from Stripe: {' '.join(said.split())[:200]}")
    if isinstance(error, stripe.RateLimitError):
        return GatewayBusy("Stripe asks us to slow down", _retry_after(error), everybody=True)
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return GatewayLockedOut(f"Stripe does not let us in: {said}")
    if isinstance(error, stripe.IdempotencyError):
        if error.http_status == 409:
            return GatewayBusy("a call with this key is under way")
        return GatewayUnsure(f"this key was used for something else: {said}")
    if isinstance(error, stripe.CardError):
        return GatewayDeclined(said)
    if error.http_status == 409:
        return GatewayBusy("Stripe is busy with this object")
    if error.http_status is None or error.http_status >= 500:
        return GatewayUnsure(f"Stripe failed: {said}")
    if error.http_status == 404:
        return _NotThere(said)
    return GatewayRefused(said)


def _retry_after(error: "stripe.StripeError") -> timedelta:
    said = str((error.headers or {}).get("retry-after", ""))
    return timedelta(seconds=min(int(said), 3600)) if said.isascii() and said.isdigit() else timedelta(seconds=2)


def _params(content: Mapping[str, Any]) -> Any:
    """Parameters of ours as the package's typed ones: what we send was stored as JSON and is checked by Stripe."""
    return dict(content)


def _marks(stored: Any) -> dict[str, str]:
    return dict(stored.metadata.to_dict()) if stored.metadata is not None else {}


def _invoice(stored: Any) -> RemoteInvoice:
    return RemoteInvoice(
        id=stored.id,
        status=stored.status or "draft",
        currency=stored.currency.upper(),
        total=stored.total,
        remaining=stored.amount_remaining,
        credited=stored.pre_payment_credit_notes_amount + stored.post_payment_credit_notes_amount,
        marks=_marks(stored),
        page_url=stored.hosted_invoice_url,
    )


def _payment(stored: Any) -> RemotePayment:
    invoice = stored.invoice if isinstance(stored.invoice, str) else stored.invoice.id
    paid_at = stored.status_transitions.paid_at or stored.created
    return RemotePayment(
        stored.id, invoice, stored.amount_paid or 0, stored.currency.upper(), datetime.fromtimestamp(paid_at, UTC)
    )
