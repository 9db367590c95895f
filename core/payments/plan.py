"""What each step is to say to the gateway, made from the frozen invoice: pure, so that a plan can be tested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

from core.money import Money
from core.payments.gateway import (
    ACCOUNT_MARK,
    CONTENT_MARK,
    CREDIT_MARK,
    INVOICE_MARK,
    LICENSOR_MARK,
    LINES_A_CALL,
    PART_MARK,
    to_gateway,
)

LONGEST_TEXT = 500


class Step(NamedTuple):
    """A step to be: its kind, which of several of that kind, and its content."""

    kind: str
    part: int
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is asked for: amounts are final, the gateway only adds them up."""

    description: str
    amount: Money
    service_start: date | None = None
    service_end: date | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """An issued invoice, as far as the gateway has to know it."""

    licensor: str
    number: str
    content_hash: str
    due_on: date
    total: Money
    lines: Sequence[Line]


def customer_step(licensor: str, licensee: str, name: str, email: str) -> Step:
    """Who is asked. The mark finds the customer again."""
    mark = f"{licensor}/{licensee}"
    content = {"name": name[:LONGEST_TEXT], "email": email, "metadata": {ACCOUNT_MARK: mark, LICENSOR_MARK: licensor}}
    return Step("customer", 0, content)


def invoice_steps(demand: Demand, collection: str, today: date) -> list[Step]:
    """From an empty draft to an invoice that is out: create, lines, compare the total, finalise, send or collect."""
    total = {"currency": demand.total.currency, "total": to_gateway(demand.total)}
    parts = [demand.lines[at : at + LINES_A_CALL] for at in range(0, len(demand.lines), LINES_A_CALL)]
    return [
        Step("create", 0, create_content(demand, collection, today)),
        *(Step("lines", n, {"lines": [_line(line, n) for line in part]}) for n, part in enumerate(parts)),
        Step("check", 0, total),
        Step("finalise", 0, {**total, "auto_advance": collection == "charge_automatically"}),
        Step("send" if collection == "send_invoice" else "collect", 0, {}),
    ]


def create_content(demand: Demand, collection: str, today: date) -> dict[str, Any]:
    """The draft with our number and marks. It is due when our invoice is, or at once where that day has passed."""
    content: dict[str, Any] = {
        "currency": demand.total.currency.lower(),
        "collection_method": collection,
        "number": demand.number,
        "metadata": {
            INVOICE_MARK: demand.number,
            LICENSOR_MARK: demand.licensor,
            CONTENT_MARK: demand.content_hash,
        },
    }
    if collection == "send_invoice":
        if demand.due_on > today:
            content["due_date"] = _instant(demand.due_on)
        else:
            content["days_until_due"] = 0
    return content


def credit_step(note_number: str, note_id: int, credit: Money) -> Step:
    """A credit note of ours about an invoice that is at the gateway. `credit` is positive; the note's id tells several
    apart."""
    content = {
        "amount": to_gateway(credit),
        "memo": f"Credit note {note_number}",
        "metadata": {CREDIT_MARK: note_number},
    }
    return Step("credit", note_id, content)


def _line(line: Line, part: int) -> dict[str, Any]:
    said: dict[str, Any] = {
        "amount": to_gateway(line.amount),
        "description": line.description[:LONGEST_TEXT] or "-",
        "metadata": {PART_MARK: str(part)},
    }
    if line.service_start is not None and line.service_end is not None:
        # Days are shown as days; the gateway's end is inclusive, ours is not.
        start, end = _instant(line.service_start), _instant(line.service_end) - 86400
        said["period"] = {"start": start, "end": max(start, end)}
    return said


def _instant(day: date) -> int:
    """Noon of the day in UTC, so that it is that day in most of the world."""
    return int(datetime.combine(day, time(12), UTC).timestamp())
