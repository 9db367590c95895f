"""The HTTP side: who is let in, which parameters pass, idempotency keys, faults, and webhooks on their way out."""

import json
import random
import re
import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx
import stripe
import stripe.params
from stripe._api_version import _ApiVersion

from tests.fakes.stripe_server import form, invoices, typed
from tests.fakes.stripe_server.account import Account, create_customer, listed, searched
from tests.fakes.stripe_server.faults import Faults
from tests.fakes.stripe_server.refusals import Invalid, Refused

KEY_LIFETIME = 24 * 3600
LONGEST_KEY = 255


class StripeServer:
    """A Stripe of the test's own: `url` and `api_key` for the client, `account` and `faults` for the test."""

    def __init__(self) -> None:
        self.account, self.faults = Account(), Faults()
        self.api_key, self.webhook_secret = "sk_test_fake", "whsec_fake"
        self.lock = threading.Lock()
        self.requests: list[tuple[str, str]] = []
        self.crashes: list[BaseException] = []  # mistakes of the fake itself, raised when it is closed
        self.requests_a_second: int | None = None  # above it: 429
        self._recent: deque[float] = deque()
        self._keys: dict[str, dict[str, Any]] = {}
        self._told: set[str] = set()
        handler = type("Handler", (_Handler,), {"stripe": self})
        self._http = _Listener(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "StripeServer":
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        assert not self.crashes, self.crashes

    def client(self) -> stripe.StripeClient:
        """The real package, talking to this server."""
        return stripe.StripeClient(self.api_key, base_addresses={"api": self.url}, max_network_retries=0)

    def customer_pays(self, invoice_id: str, amount: int | None = None) -> dict[str, Any]:
        """Somebody pays on the invoice's page: all that remains, or a part of it."""
        with self.lock:
            remaining = self.account.get("invoice", invoice_id)["amount_remaining"]
            return invoices.receive(self.account, invoice_id, remaining if amount is None else amount)

    def work(self, method: str, path: str, encoded: str, key: str | None) -> tuple[int, Any, dict[str, str]]:
        """Does a request under the lock: status, body and headers of its answer."""
        digest = (method, path, encoded)
        with self.lock:
            self._forget_old_keys()
            if known := self._keys.get(key or ""):
                return self._replay(known, digest)
            if key is not None:
                self._keys[key] = {"digest": digest, "answer": None, "at": self.account.now()}
            try:
                answer: tuple[int, Any, dict[str, str]] = (200, route(self.account, method, path, encoded), {})
                answer = json.loads(json.dumps(answer))  # as it is now, whatever becomes of the object
            except Invalid as refused:
                self._keys.pop(key or "", None)
                return refused.status, refused.body, refused.headers
            except Refused as refused:
                answer = (refused.status, refused.body, refused.headers)
            if key is not None:
                self._keys[key]["answer"] = answer
            return tuple(answer)

    def fail(self, method: str, path: str, encoded: str, key: str | None) -> tuple[int, Any, dict[str, str]]:
        """Stripe's own error, kept under the key like any other answer. A known key is replayed all the same."""
        error = {"error": {"type": "api_error", "message": "An unexpected error occurred"}}
        with self.lock:
            self._forget_old_keys()
            known = self._keys.get(key or "")
            if known and known["answer"]:
                return self._replay(known, (method, path, encoded))
            if key is not None:
                self._keys[key] = {
                    "digest": (method, path, encoded), "answer": (500, error, {}), "at": self.account.now()
                }  # fmt: skip
        return 500, error, {}

    def overwrite_with_failure(self, key: str | None) -> tuple[int, Any, dict[str, str]]:
        """The work was done, and then the answer failed: what the key replays is the failure."""
        error = {"error": {"type": "api_error", "message": "An unexpected error occurred"}}
        with self.lock:
            if key is not None and key in self._keys:
                self._keys[key]["answer"] = (500, error, {})
        return 500, error, {}

    def too_many(self) -> bool:
        """Whether this request is above the limit."""
        if self.requests_a_second is None:
            return False
        with self.lock:
            now = time.monotonic()
            while self._recent and self._recent[0] < now - 1:
                self._recent.popleft()
            if len(self._recent) >= self.requests_a_second:
                return True
            self._recent.append(now)
            return False

    def _replay(self, known: dict[str, Any], digest: tuple[str, str, str]) -> tuple[int, Any, dict[str, str]]:
        if known["digest"] != digest:
            refused = Refused(
                "Keys for idempotent requests can only be used with the same parameters they were first used with.",
                kind="idempotency_error",
            )
            return refused.status, refused.body, {}
        if known["answer"] is None:
            busy = Refused("There is currently another in-progress request using this key.",
                           code="idempotency_key_in_use", status=409, kind="idempotency_error")  # fmt: skip
            return busy.status, busy.body, {}
        status, body, headers = known["answer"]
        return status, body, {**headers, "Idempotent-Replayed": "true"}

    def _forget_old_keys(self) -> None:
        now = self.account.now()
        self._keys = {key: kept for key, kept in self._keys.items() if now - kept["at"] < KEY_LIFETIME}

    def signed(self, event: dict[str, Any], at: int | None = None) -> tuple[bytes, dict[str, str]]:
        """An event as a webhook's body and headers."""
        payload = json.dumps(event)
        signature = stripe.WebhookSignature.generate_signature_header(payload, self.webhook_secret, at)
        return payload.encode(), {"Stripe-Signature": signature, "Content-Type": "application/json; charset=utf-8"}

    def undelivered(self) -> list[dict[str, Any]]:
        """Events that no endpoint has taken yet, oldest first."""
        with self.lock:
            return [event for id_, event in self.account.events.items() if id_ not in self._told]

    def deliver(
        self, to: str, *, dice: random.Random | None = None, lose: int = 0, double: int = 0, only: str = ""
    ) -> list[int]:
        """Sends what is undelivered: in order, or with `dice` shuffled, `lose` and `double` in a hundred of them lost
        for ever and sent twice. What is not answered with 2xx stays undelivered. Gives the answers' statuses."""
        events = [event for event in self.undelivered() if event["type"].startswith(only)]
        if dice is not None:
            events += [event for event in events if dice.randrange(100) < double]
            dice.shuffle(events)
        statuses = []
        for event in events:
            if dice is not None and dice.randrange(100) < lose:
                self._told.add(event["id"])
                continue
            body, headers = self.signed(event)
            with suppress(httpx.TransportError):
                statuses.append(httpx.post(to, content=body, headers=headers, timeout=20).status_code)
                if statuses[-1] < 300:
                    self._told.add(event["id"])
        return statuses


def route(account: Account, method: str, path: str, encoded: str) -> Any:
    """One request to the method that does it, its parameters checked."""
    for verb, pattern, params, act in ROUTES:
        found = re.fullmatch(pattern, path)
        if verb == method and found:
            asked = typed.check(form.parse(encoded), getattr(stripe.params, params))
            asked.pop("expand", None)
            return act(account, asked, *found.groups())
    raise Refused(f"Unrecognized request URL ({method}: {path}).", status=404)


def _invoices_of(account: Account, asked: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in ("customer", "status", "collection_method") if name in asked]
    found = [each for each in account.invoices.values() if all(each[name] == asked[name] for name in names)]
    return listed(found, asked, "/v1/invoices")


def _of_invoice(shelf: str) -> Any:
    def find(account: Account, asked: dict[str, Any]) -> dict[str, Any]:
        names = [name for name in ("invoice", "status", "customer") if name in asked]
        found = [each for each in getattr(account, shelf).values() if all(each[name] == asked[name] for name in names)]
        return listed(found, asked, f"/v1/{shelf}")

    return find


def _events(account: Account, asked: dict[str, Any]) -> dict[str, Any]:
    kinds = asked.get("types") or ([asked["type"]] if "type" in asked else [])
    found = [each for each in account.events.values() if not kinds or each["type"] in kinds]
    return listed(found, asked, "/v1/events")


def _lines(account: Account, asked: dict[str, Any], id_: str) -> dict[str, Any]:
    lines = account.get("invoice", id_)["lines"]["data"]
    return listed(list(lines), asked, f"/v1/invoices/{id_}/lines")


ID = r"/([A-Za-z]+_\w+)"
ROUTES: list[tuple[str, str, str, Any]] = [
    ("POST", "/v1/customers", "CustomerCreateParams", create_customer),
    ("GET", "/v1/customers", "CustomerListParams", lambda a, p: listed(
        [c for c in a.customers.values() if p.get("email") in (None, c["email"])], p, "/v1/customers")),
    ("GET", "/v1/customers/search", "CustomerSearchParams", lambda a, p: searched(
        a, list(a.customers.values()), p, "/v1/customers/search")),
    ("GET", "/v1/customers" + ID, "CustomerRetrieveParams", lambda a, p, i: a.get("customer", i)),
    ("POST", "/v1/invoices", "InvoiceCreateParams", invoices.create),
    ("GET", "/v1/invoices", "InvoiceListParams", _invoices_of),
    ("GET", "/v1/invoices/search", "InvoiceSearchParams", lambda a, p: searched(
        a, list(a.invoices.values()), p, "/v1/invoices/search")),
    ("GET", "/v1/invoices" + ID, "InvoiceRetrieveParams", lambda a, p, i: a.get("invoice", i)),
    ("DELETE", "/v1/invoices" + ID, "InvoiceDeleteParams", lambda a, p, i: invoices.delete(a, i)),
    ("GET", "/v1/invoices" + ID + "/lines", "InvoiceLineItemListParams", _lines),
    ("POST", "/v1/invoices" + ID + "/add_lines", "InvoiceAddLinesParams", lambda a, p, i: invoices.add_lines(a, i, p)),
    ("POST", "/v1/invoices" + ID + "/finalize", "InvoiceFinalizeInvoiceParams",
     lambda a, p, i: invoices.finalise(a, i, p)),
    ("POST", "/v1/invoices" + ID + "/send", "InvoiceSendInvoiceParams", lambda a, p, i: invoices.send(a, i)),
    ("POST", "/v1/invoices" + ID + "/pay", "InvoicePayParams", lambda a, p, i: invoices.pay(a, i, p)),
    ("POST", "/v1/invoices" + ID + "/void", "InvoiceVoidInvoiceParams", lambda a, p, i: invoices.void(a, i)),
    ("POST", "/v1/invoices" + ID + "/mark_uncollectible", "InvoiceMarkUncollectibleParams",
     lambda a, p, i: invoices.mark_uncollectible(a, i)),
    ("POST", "/v1/invoiceitems", "InvoiceItemCreateParams", invoices.create_item),
    ("GET", "/v1/invoice_payments", "InvoicePaymentListParams", _of_invoice("invoice_payments")),
    ("POST", "/v1/credit_notes", "CreditNoteCreateParams", invoices.credit),
    ("GET", "/v1/credit_notes", "CreditNoteListParams", _of_invoice("credit_notes")),
    ("GET", "/v1/events", "EventListParams", _events),
    ("GET", "/v1/events" + ID, "EventRetrieveParams", lambda a, p, i: a.get("event", i)),
]  # fmt: skip


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed says nothing worth printing; anything else does."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # one packet an answer: two would wait for each other
    disable_nagle_algorithm = True
    stripe: StripeServer

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        encoded = body if method == "POST" else address.query
        server, key = self.stripe, self.headers.get("Idempotency-Key") if method == "POST" else None
        server.requests.append((method, address.path))
        fault = server.faults.of(method, address.path)
        if fault == "dropped":
            self._hang_up()
            return
        if refused := self._let_in(key):
            self._reply(refused.status, refused.body, refused.headers)
            return
        if fault == "429" or server.too_many():
            busy = {"error": {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests"}}
            self._reply(429, busy, {"Retry-After": str(server.faults.retry_after)})
            return
        if fault == "500":
            self._reply(*server.fail(method, address.path, encoded, key))
            return
        try:
            answer = server.work(method, address.path, encoded, key)
        except Exception as mistake:
            server.crashes.append(mistake)
            raise
        if fault == "500_after":
            answer = server.overwrite_with_failure(key)
        if fault == "slow":
            time.sleep(server.faults.slow_seconds)
        if fault == "reply_lost":
            self._hang_up()
            return
        self._reply(*answer)

    def _let_in(self, key: str | None) -> Refused | None:
        if self.headers.get("Authorization") != f"Bearer {self.stripe.api_key}":
            return Refused("Invalid API Key provided: sk_test_***", status=401)
        if self.headers.get("Stripe-Version") != _ApiVersion.CURRENT:
            return Refused(f"Invalid Stripe API version: {self.headers.get('Stripe-Version')}")
        if key is not None and not 0 < len(key) <= LONGEST_KEY:
            return Refused(f"Idempotency keys have at most {LONGEST_KEY} characters", kind="idempotency_error")
        return None

    def _reply(self, status: int, body: Any, headers: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        sent = {"Content-Type": "application/json", "Content-Length": str(len(content)), "Request-Id": "req_fake"}
        for name, value in {**sent, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Says nothing."""
