"""One step, carried out at the gateway: no session, no transaction, only the call and what came of it.

A step that may have been done before looks first. Found: it is done. Not found: it is tried again under the next
generation of its key, and only then.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.kill_points import kill_point
from core.payments.gateway import (
    ACCOUNT_MARK,
    CONTENT_MARK,
    CREDIT_MARK,
    Gateway,
    GatewayBusy,
    GatewayDeclined,
    GatewayRefused,
    RemoteInvoice,
)


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed step with all that its call needs. `key` is None where it has to look before anything else."""

    step_id: int
    kind: str
    part: int
    content: Mapping[str, Any]
    key: str | None
    number: str
    generation: int
    customer_id: str | None = None
    invoice_gateway_id: str | None = None
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The step's effect stands at the gateway."""

    gateway_id: str | None = None
    seen: RemoteInvoice | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class NothingFound:
    """The look has shown that nothing was done: the next generation may do it."""


def perform(gateway: Gateway, work: Work) -> Done | NothingFound:
    """Carries the step out, or looks whether it was. Raises a `GatewayError`."""
    kill_point("after_outbox_before_call")
    kill_point(f"stripe_{work.kind}_before_call")
    if work.until_ns is not None and time.monotonic_ns() > work.until_ns:
        raise GatewayBusy("this worker slept through its lease: somebody else may be at it")
    outcome = _look(gateway, work) if work.key is None else _act(gateway, work, work.key)
    kill_point(f"stripe_{work.kind}_after_call_before_record")
    return outcome


def _look(gateway: Gateway, work: Work) -> Done | NothingFound:  # noqa: PLR0911 - one for each kind
    if work.kind == "customer":
        found = gateway.find_customer(work.content["email"], work.content["metadata"][ACCOUNT_MARK])
        return Done(found) if found else NothingFound()
    if work.kind == "create":
        return _look_for_invoice(gateway, work)
    if work.kind == "void" and work.invoice_gateway_id is None:
        return _void_unknown(gateway, work)
    invoice_id = _known(work)
    if work.kind == "lines":
        return Done(invoice_id) if str(work.part) in gateway.parts_of(invoice_id) else NothingFound()
    if work.kind == "send":
        return Done(invoice_id) if gateway.was_sent(invoice_id) else NothingFound()
    if work.kind == "credit":
        note = gateway.find_credit_note(invoice_id, work.content["metadata"][CREDIT_MARK])
        return Done(note, gateway.invoice(invoice_id)) if note else NothingFound()
    seen = gateway.invoice(invoice_id)
    return _reached(work, seen) or NothingFound()


def _look_for_invoice(gateway: Gateway, work: Work) -> Done | NothingFound:
    assert work.customer_id is not None  # noqa: S101 - claimed only once the customer is known
    live = [each for each in gateway.find_invoices(work.customer_id, work.number) if each.live]
    if not live:
        return NothingFound()
    if len(live) > 1:
        raise GatewayRefused(
            f"Stripe has {len(live)} invoices for {work.number}: {', '.join(each.id for each in live)}"
        )
    if live[0].marks.get(CONTENT_MARK) != work.content["metadata"][CONTENT_MARK]:
        raise GatewayRefused(f"Stripe has an invoice {work.number} with another content: {live[0].id}")
    return Done(live[0].id, live[0])


def _act(gateway: Gateway, work: Work, key: str) -> Done | NothingFound:  # noqa: PLR0911 - one for each kind
    if work.kind == "customer":
        return Done(gateway.create_customer(work.content, key))
    if work.kind == "create":
        assert work.customer_id is not None  # noqa: S101
        made = gateway.create_invoice(work.customer_id, work.content, key)
        return Done(made.id, made)
    if work.kind == "void" and work.invoice_gateway_id is None:
        return _void_unknown(gateway, work)
    invoice_id = _known(work)
    if work.kind == "lines":
        return Done(invoice_id, gateway.add_lines(invoice_id, work.content["lines"], key))
    if work.kind == "send":
        return Done(invoice_id, gateway.send(invoice_id, key))
    seen = gateway.invoice(invoice_id)
    if work.kind == "credit":
        return _credit(gateway, work, seen, key)
    return _reached(work, seen) or _move(gateway, work, seen, key)


def _reached(work: Work, seen: RemoteInvoice | None) -> Done | None:
    """Whether the invoice is where this step was to bring it, read from the invoice itself."""
    if seen is None:
        if work.kind == "void":
            return Done(note="the draft is gone")
        raise GatewayRefused(f"Stripe has no invoice {work.invoice_gateway_id} any more")
    ends = {
        "check": (),
        "finalise": ("open", "paid", "uncollectible"),
        "collect": ("paid",),
        "mark_paid": ("paid",),
        "write_off": ("uncollectible", "paid"),
        "void": ("void",),
    }[work.kind]
    if work.kind in ("check", "finalise"):
        demand_equal_total(work, seen)
    return Done(seen.id, seen) if seen.status in ends else None


def _move(  # noqa: PLR0911 - one for each kind
    gateway: Gateway, work: Work, seen: RemoteInvoice | None, key: str
) -> Done:
    assert seen is not None  # noqa: S101 - `_reached` has answered for that
    if work.kind == "check":
        return Done(seen.id, seen)
    if work.kind == "finalise":
        return Done(seen.id, gateway.finalise(seen.id, work.content["auto_advance"], key))
    if work.kind == "collect":
        try:
            return Done(seen.id, gateway.pay(seen.id, key, elsewhere=False))
        except GatewayDeclined as declined:
            return Done(seen.id, gateway.invoice(seen.id), f"declined: {declined.sentence}")
    if work.kind == "mark_paid":
        return Done(seen.id, gateway.pay(seen.id, key, elsewhere=True))
    if work.kind == "write_off":
        return Done(seen.id, gateway.mark_uncollectible(seen.id, key))
    if seen.status == "draft":
        gateway.delete_draft(seen.id)
        return Done(seen.id, None, "the draft was deleted")
    return Done(seen.id, gateway.void(seen.id, key))


def _void_unknown(gateway: Gateway, work: Work) -> Done:
    """The creation was given up, and nobody knows whether it had come through: what carries our number goes."""
    assert work.customer_id is not None  # noqa: S101
    for each in gateway.find_invoices(work.customer_id, work.number):
        if each.status == "draft":
            gateway.delete_draft(each.id)
        elif each.live:
            gateway.void(each.id, f"perimage-void-{each.id}")
    return Done(note="whatever carried our number is gone")


def _credit(gateway: Gateway, work: Work, seen: RemoteInvoice | None, key: str) -> Done:
    if seen is None:
        raise GatewayRefused(f"Stripe has no invoice {work.invoice_gateway_id} any more")
    amount = work.content["amount"]
    settled_part = amount - min(amount, seen.remaining if seen.status != "paid" else 0)
    note = gateway.credit(seen.id, work.content, key, settled_part=settled_part)
    return Done(note, gateway.invoice(seen.id))


def demand_equal_total(work: Work, seen: RemoteInvoice) -> None:
    """Refuses to go on where the gateway would ask for another amount than we do."""
    ours = (work.content["currency"].upper(), work.content["total"])
    if (seen.currency, seen.total) != ours:
        raise GatewayRefused(
            f"Stripe adds up to {seen.total} {seen.currency} (in its smallest unit) and we to {ours[1]} {ours[0]}: "
            "somebody changed the draft there, or a line is missing; nothing was finalised"
        )


def _known(work: Work) -> str:
    if work.invoice_gateway_id is None:
        raise GatewayRefused("this invoice is not known at Stripe yet")
    return work.invoice_gateway_id
