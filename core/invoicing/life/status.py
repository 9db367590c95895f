"""Where an invoice stands, and what may be done with it there: one table for verbs, the command line and the guide.

What is stored is only what the document is: draft, held, approved, issued, void. What people see beyond that (partly
paid, paid, overdue, disputed, uncollectible) follows from amounts, days and events, so no task can be late in writing
it down.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

from core.actors import Actor, Role
from core.errors import Conflict, InvalidInput

Standing = Literal[
    "draft", "held", "approved", "issued", "partly_paid", "paid", "overdue", "disputed", "void", "uncollectible"
]
Verb = Literal[
    "close", "hold", "release", "approve", "issue", "credit", "void", "dispute", "settle_dispute", "write_off",
    "write_back", "pay",
]  # fmt: skip
STANDINGS: tuple[Standing, ...] = get_args(Standing)
VERBS: tuple[Verb, ...] = get_args(Verb)
MAX_REASON = 4000
_AFTER_ISSUE: tuple[Standing, ...] = ("issued", "partly_paid", "paid", "overdue")


@dataclass(frozen=True, slots=True)
class Move:
    """What may be done: from where, to where, by whom at least, and what it takes.

    `to` are the standings in which an invoice can be found after it; which of them follows from amounts and days.
    `system` lets the machine do it. `reason` asks for one. `second_person` asks for two people above the limit of the
    account. `credit_note` says whether it can be done with a credit note, too.
    """

    verb: Verb
    said: str
    froms: tuple[Standing, ...]
    to: tuple[Standing, ...]
    least: Role
    system: bool = False
    reason: bool = False
    second_person: bool = False
    credit_note: bool = False


MOVES: Mapping[Verb, Move] = {
    move.verb: move
    for move in (
        Move(
            "close", "make the draft anew", ("draft", "held", "approved"), ("draft", "held", "approved"), "clerk",
            system=True, credit_note=True,
        ),
        Move("hold", "hold it back", ("draft", "approved"), ("held",), "clerk", reason=True, credit_note=True),
        Move("release", "release it", ("held",), ("draft",), "approver", reason=True, credit_note=True),
        Move("approve", "approve it", ("draft",), ("approved",), "approver", second_person=True, credit_note=True),
        Move(
            "issue", "issue it", ("draft", "approved"), ("issued", "paid"), "approver", system=True,
            second_person=True, credit_note=True,
        ),
        Move(
            "credit", "credit it", (*_AFTER_ISSUE, "disputed"), (*_AFTER_ISSUE, "disputed"), "approver", reason=True,
            second_person=True,
        ),
        Move(
            "void", "void it", ("issued", "overdue", "disputed"), ("void",), "approver", reason=True,
            second_person=True, credit_note=True,
        ),
        Move("dispute", "dispute it", _AFTER_ISSUE, ("disputed",), "clerk", reason=True),
        Move("settle_dispute", "settle the dispute", ("disputed",), _AFTER_ISSUE, "approver", reason=True),
        Move(
            "write_off", "write it off", ("issued", "partly_paid", "overdue"), ("uncollectible",), "approver",
            reason=True, second_person=True,
        ),
        Move(
            "write_back", "expect it again", ("uncollectible",), ("issued", "partly_paid", "overdue"), "approver",
            reason=True,
        ),
        Move(
            "pay", "record a payment of it", ("issued", "partly_paid", "overdue", "disputed"),
            ("partly_paid", "paid", "overdue", "disputed"), "clerk", system=True,
        ),
    )
}  # fmt: skip

_INSTEAD: Mapping[Standing, str] = {
    "draft": "it is a draft: change what it is made from and close again",
    "held": "it is held: release it with a reason first",
    "approved": "it is approved and not issued yet",
    "issued": "it is issued: credit it, or void it if nothing was paid on it",
    "partly_paid": "something was paid or credited on it already",
    "paid": "nothing is left to pay on it",
    "overdue": "it is issued and overdue",
    "disputed": "it is disputed: settle the dispute first",
    "void": "it is void: close its period again to make it anew",
    "uncollectible": "it is written off: write it back first",
}


def standing(
    document: str,
    *,
    total: int,
    credited: int = 0,
    paid: int = 0,
    written_off: int = 0,
    due_on: date | None = None,
    today: date,
    disputed: bool = False,
) -> Standing:
    """Where an invoice stands, from what the document is and what became of its total, all in minor units.

    Of a credit note `total` is negative, and `paid` is what was used of it; it is never due. An invoice with nothing
    left to pay is paid, whether by money, by credit notes, or because it asks for nothing.
    """
    if document != "issued":
        return next(word for word in STANDINGS if word == document)
    left = abs(total) - credited - paid - written_off
    if disputed:
        return "disputed"
    if written_off:
        return "uncollectible"
    if left <= 0:
        return "paid"
    if total > 0 and due_on is not None and today > due_on:
        return "overdue"
    return "partly_paid" if credited or paid else "issued"


def demand(verb: Verb, where: Standing, by: Actor, *, what: str, reason: str = "", credit_note: bool = False) -> Move:
    """The move, if `by` may make it from there; otherwise a refusal that says what to do instead.

    `what` names the invoice. Whether a second person is needed is for the verb to see, which knows the amount.
    """
    move = MOVES[verb]
    by.demand(move.least, move.said.replace(" it", f" invoice {what}", 1), system_may=move.system)
    if credit_note and not move.credit_note:
        raise Conflict("is_credit_note", f"{what} is a credit note: {verb.replace('_', ' ')} is for invoices")
    if where not in move.froms:
        code = "invoice_not_a_draft" if verb in ("issue", "approve") else f"cannot_{verb}"
        raise Conflict(code, f"cannot {move.said} ({what}): {_INSTEAD[where]}", standing=where)
    if move.reason:
        reason_of(reason)
    return move


def reason_of(text: str) -> str:
    """A reason as it is kept: some text, nothing that a database or a page cannot hold."""
    said = text.strip()
    if not said:
        raise InvalidInput("reason_missing", "say why: this is kept with the invoice")
    if len(said) > MAX_REASON or any(
        (letter < " " and letter != "\n") or letter == "\x7f" or "\ud800" <= letter <= "\udfff" for letter in said
    ):
        raise InvalidInput(
            "bad_reason", f"a reason is at most {MAX_REASON:,} characters of text, without control characters"
        )
    return said
