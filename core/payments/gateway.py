"""The payment gateway as the rest of this slice sees it: its words, values and refusals, and amounts as it takes them.

Nothing here talks to anybody. `stripe.py` is the one gateway there is; tests talk to the real `stripe` package and a
fake Stripe behind it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from core.errors import InvalidInput
from core.money import Money, exponent

COLLECTIONS = ("send_invoice", "charge_automatically")
STEP_KINDS = (
    *("customer", "create", "lines", "check", "finalise", "send", "collect"),
    *("void", "credit", "mark_paid", "write_off"),
)
LINES_A_CALL = 200  # the gateway takes 250
KEYS_ARE_SURE_FOR = timedelta(hours=23)  # the gateway forgets an idempotency key after 24
INVOICE_MARK, CONTENT_MARK, LICENSOR_MARK = "perimage_invoice", "perimage_content", "perimage_licensor"
ACCOUNT_MARK, PART_MARK, CREDIT_MARK = "perimage_account", "perimage_part", "perimage_credit_note"

# How the gateway writes amounts where it is not the currency's own minor unit, and what it takes of them.
_ZERO_DECIMAL_THERE = frozenset(("MGA",))  # two decimals with us
_TWO_DECIMALS_THERE = frozenset(("ISK", "UGX"))  # none with us; there the cents are written and must be 00
_LAST_DIGIT_ZERO = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))
_UNKNOWN_THERE = frozenset(("IQD", "LYD", "UYI"))


class GatewayError(Exception):
    """The gateway did not do what was asked. What follows from it is for the outbox to say."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class GatewayBusy(GatewayError):
    """Nothing was done: too many requests, or one with this key is under way. `wait` says how long to stay away."""

    def __init__(self, sentence: str, wait: timedelta | None = None, *, everybody: bool = False) -> None:
        super().__init__(sentence)
        self.wait = wait
        self.everybody = everybody


class GatewayAway(GatewayError):
    """No answer came: the work may have been done. The same key makes a repeat safe."""


class GatewayUnsure(GatewayError):
    """An answer came that says nothing, and the same key would get it again: one has to look."""


class GatewayLockedOut(GatewayError):
    """The key to the gateway is wrong or may not do this: nothing can be done until a person has mended it."""


class GatewayRefused(GatewayError):
    """The gateway says no, and would again: a person has to see it."""


class GatewayDeclined(GatewayRefused):
    """The licensee's card or bank said no."""


@dataclass(frozen=True, slots=True)
class RemoteInvoice:
    """An invoice as the gateway has it. Amounts are in the gateway's own whole numbers."""

    id: str
    status: str
    currency: str
    total: int
    remaining: int
    credited: int = 0
    marks: Mapping[str, str] = field(default_factory=dict)
    page_url: str | None = None

    @property
    def live(self) -> bool:
        """Whether anybody is asked for money by it, or was."""
        return self.status != "void"


@dataclass(frozen=True, slots=True)
class RemotePayment:
    """Money that the gateway has taken for an invoice."""

    id: str
    invoice_id: str
    amount: int
    currency: str
    paid_at: datetime


class Gateway(Protocol):
    """What this slice asks of a gateway. Every call may raise a `GatewayError`; what creates or moves takes a key."""

    def find_customer(self, email: str, mark: str) -> str | None: ...
    def create_customer(self, content: Mapping[str, Any], key: str) -> str: ...
    def find_invoices(self, customer_id: str, number: str) -> list[RemoteInvoice]: ...
    def create_invoice(self, customer_id: str, content: Mapping[str, Any], key: str) -> RemoteInvoice: ...
    def parts_of(self, invoice_id: str) -> set[str]: ...
    def add_lines(self, invoice_id: str, lines: Sequence[Mapping[str, Any]], key: str) -> RemoteInvoice: ...
    def invoice(self, invoice_id: str) -> RemoteInvoice | None: ...
    def finalise(self, invoice_id: str, auto_advance: bool, key: str) -> RemoteInvoice: ...
    def was_sent(self, invoice_id: str) -> bool: ...
    def send(self, invoice_id: str, key: str) -> RemoteInvoice: ...
    def pay(self, invoice_id: str, key: str, *, elsewhere: bool) -> RemoteInvoice: ...
    def void(self, invoice_id: str, key: str) -> RemoteInvoice: ...
    def delete_draft(self, invoice_id: str) -> None: ...
    def mark_uncollectible(self, invoice_id: str, key: str) -> RemoteInvoice: ...
    def find_credit_note(self, invoice_id: str, number: str) -> str | None: ...
    def credit(self, invoice_id: str, content: Mapping[str, Any], key: str, *, settled_part: int) -> str: ...
    def payments_of(self, invoice_id: str) -> list[RemotePayment]: ...
    def all_invoices(self, since: datetime) -> Iterator[RemoteInvoice]: ...
    def all_payments(self, since: datetime) -> Iterator[RemotePayment]: ...


def to_gateway(money: Money) -> int:
    """The amount as the gateway takes it. Refuses what it cannot hold, with the reason."""
    currency, minor = money.currency, money.minor
    if currency in _UNKNOWN_THERE:
        raise InvalidInput("currency_not_at_gateway", f"Stripe does not know {currency}: collect otherwise")
    if currency in _ZERO_DECIMAL_THERE:
        whole, rest = divmod(minor, int(10 ** exponent(currency)))
        if rest:
            raise InvalidInput("amount_not_at_gateway", f"Stripe takes whole {currency} only, not {money}")
        return whole
    if currency in _TWO_DECIMALS_THERE:
        return minor * 100
    if currency in _LAST_DIGIT_ZERO and minor % 10:
        raise InvalidInput(
            "amount_not_at_gateway", f"Stripe takes {currency} amounts that end in 0 only, and {money} does not"
        )
    return minor


def from_gateway(amount: int, currency: str) -> Money:
    """An amount of the gateway's as money. `currency` in either case."""
    code = currency.upper()
    if code in _ZERO_DECIMAL_THERE:
        return Money(code, amount * 10 ** exponent(code))
    if code in _TWO_DECIMALS_THERE:
        whole, rest = divmod(amount, 100)
        if rest:
            raise InvalidInput("amount_not_ours", f"{code} has no cents, and Stripe says {amount}")
        return Money(code, whole)
    return Money(code, amount)


def idempotency_key(
    licensor: str, subject: str, step: tuple[str, int], content: Mapping[str, Any], generation: int
) -> str:
    """The key of a step: the same step, content and generation always give the same."""
    said = json.dumps([licensor, subject, *step, content, generation], sort_keys=True, separators=(",", ":"))
    return f"perimage-{step[0]}-{hashlib.sha256(said.encode()).hexdigest()}"


def wait_before_next(attempts: int) -> timedelta:
    """How long to leave a step alone after so many attempts: 2, 4, 8 ... seconds, at most an hour."""
    return timedelta(seconds=min(2 ** min(attempts, 12), 3600))
