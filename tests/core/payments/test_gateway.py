"""Amounts as the gateway takes them, keys, and what each step says: pure values."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.money import Money, exponent
from core.payments.gateway import from_gateway, idempotency_key, to_gateway, wait_before_next
from core.payments.plan import Demand, Line, credit_step, invoice_steps
from tests.fakes.stripe_server.amounts import CURRENCIES, check_amount
from tests.fakes.stripe_server.refusals import Refused

TODAY = date(2026, 11, 3)
OURS = st.sampled_from(["USD", "EUR", "JPY", "KWD", "ISK", "UGX", "MGA", "IQD", "LYD", "BHD", "KRW", "VND", "HUF"])


@given(OURS, st.integers(-(10**12), 10**12))
def test_an_amount_goes_there_and_back_unchanged_or_is_refused_before_the_gateway_would(
    currency: str, minor: int
) -> None:
    money = Money(currency, minor)
    try:
        there = to_gateway(money)
    except InvalidInput:
        known = currency.lower() in CURRENCIES
        if known and exponent(currency) == 3:
            with pytest.raises(Refused):
                check_amount(currency.lower(), minor)
        return
    assert currency.lower() in CURRENCIES
    assert check_amount(currency.lower(), there) == there
    assert from_gateway(there, currency.lower()) == money


def demand(lines: int = 1, due_on: date = date(2026, 12, 3)) -> Demand:
    return Demand("guild", "GLD-000001", "hash", due_on, Money("USD", lines), [Line("", Money("USD", 1))] * lines)


def test_many_lines_go_in_parts_that_add_up() -> None:
    steps = invoice_steps(demand(451), "send_invoice", TODAY)
    parts = [step for step in steps if step.kind == "lines"]
    assert [(step.part, len(step.content["lines"])) for step in parts] == [(0, 200), (1, 200), (2, 51)]
    assert [step.kind for step in steps] == ["create", "lines", "lines", "lines", "check", "finalise", "send"]


def test_an_invoice_that_is_due_already_is_due_at_once() -> None:
    later, past = (invoice_steps(demand(due_on=day), "send_invoice", TODAY)[0].content for day in
                   (date(2026, 12, 3), date(2026, 11, 3)))  # fmt: skip
    assert ("due_date" in later, "days_until_due" in later) == (True, False)
    assert past["days_until_due"] == 0
    charged = invoice_steps(demand(), "charge_automatically", TODAY)
    assert not {"due_date", "days_until_due"} & charged[0].content.keys()
    assert charged[-1].kind == "collect"


def test_the_same_step_has_the_same_key_and_any_difference_another() -> None:
    keys = {
        idempotency_key(licensor, subject, step, content, generation)
        for licensor in ("a", "b")
        for subject in ("GLD-1", "GLD-2")
        for step in (("create", 0), ("lines", 0), ("lines", 1))
        for content in ({"x": 1}, {"x": 2}, {})
        for generation in (0, 1)
    }
    assert len(keys) == 2 * 2 * 3 * 3 * 2
    one, two = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
    assert idempotency_key("a", "b", ("c", 0), one, 0) == idempotency_key("a", "b", ("c", 0), two, 0)
    assert max(map(len, keys)) <= 255


def test_a_credit_says_a_positive_amount_and_its_number() -> None:
    step = credit_step("GLD-CN-000001", 7, Money("JPY", 300))
    assert (step.part, step.content["amount"]) == (7, 300)
    assert step.content["metadata"] == {"perimage_credit_note": "GLD-CN-000001"}


def test_waiting_grows_and_ends_at_an_hour() -> None:
    waits = [wait_before_next(n) for n in range(1, 40)]
    assert waits[0] == timedelta(seconds=2)
    assert waits == sorted(waits)
    assert waits[-1] == timedelta(hours=1)
