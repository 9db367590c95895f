"""The status machine, written down a second time: every standing with every verb, and who may."""

from datetime import date

import pytest

from core.actors import PEOPLE, SYSTEM, Actor, Role
from core.errors import Conflict, InvalidInput, NotAllowed
from core.invoicing.life.status import MOVES, STANDINGS, VERBS, demand, reason_of, standing

DUE = date(2026, 11, 30)
BEFORE, AFTER = date(2026, 11, 30), date(2026, 12, 1)

# verb: where it is possible. Written by hand from the guide, not from the code.
POSSIBLE = {
    "close": "draft held approved",
    "hold": "draft approved",
    "release": "held",
    "approve": "draft",
    "issue": "draft approved",
    "credit": "issued partly_paid paid overdue disputed",
    "void": "issued overdue disputed",
    "dispute": "issued partly_paid paid overdue",
    "settle_dispute": "disputed",
    "write_off": "issued partly_paid overdue",
    "write_back": "uncollectible",
    "pay": "issued partly_paid overdue disputed",
}
LEAST = dict.fromkeys(POSSIBLE, "approver") | dict.fromkeys(("close", "hold", "dispute", "pay"), "clerk")
BY_THE_MACHINE = {"close", "issue", "pay"}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("where", STANDINGS)
def test_every_verb_is_possible_where_the_guide_says_and_nowhere_else(where: str, verb: str) -> None:
    by = Actor("Root", "admin")
    if where in POSSIBLE[verb].split():
        assert demand(verb, where, by, what="X-1", reason="why").verb == verb  # type: ignore[arg-type]
        return
    with pytest.raises(Conflict, match="X-1") as refused:
        demand(verb, where, by, what="X-1", reason="why")  # type: ignore[arg-type]
    assert refused.value.detail["standing"] == where


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("role", [*PEOPLE, "system"])
def test_every_verb_asks_for_a_role(verb: str, role: Role) -> None:
    by = SYSTEM if role == "system" else Actor("Somebody", role)
    where = POSSIBLE[verb].split()[0]
    may = verb in BY_THE_MACHINE if role == "system" else PEOPLE.index(role) >= PEOPLE.index(LEAST[verb])  # type: ignore[arg-type]
    if may:
        demand(verb, where, by, what="X-1", reason="why")  # type: ignore[arg-type]
    else:
        with pytest.raises(NotAllowed, match=r"takes an? "):
            demand(verb, where, by, what="X-1", reason="why")  # type: ignore[arg-type]


def test_what_needs_a_reason_is_refused_without_one_and_credit_notes_move_less() -> None:
    for verb, move in MOVES.items():
        where = move.froms[0]
        by = Actor("Root", "admin")
        if move.reason:
            with pytest.raises(InvalidInput, match="say why"):
                demand(verb, where, by, what="X-1", reason=" \n")
        if not move.credit_note:
            with pytest.raises(Conflict, match="credit note"):
                demand(verb, where, by, what="X-1", reason="why", credit_note=True)
    for bad in ("a\0b", "\ud800", "\x1b[31m", "x" * 4001):
        with pytest.raises(InvalidInput):
            reason_of(bad)
    assert reason_of("  =HYPERLINK(1)\nsecond line ") == "=HYPERLINK(1)\nsecond line"


def test_a_move_leads_where_its_table_says() -> None:
    assert {move.verb for move in MOVES.values()} == set(VERBS)
    for move in MOVES.values():
        assert set(move.froms) | set(move.to) <= set(STANDINGS)


@pytest.mark.parametrize(
    ("amounts", "today", "word"),
    [
        ({"total": 100}, BEFORE, "issued"),
        ({"total": 100}, AFTER, "overdue"),
        ({"total": 100, "paid": 1}, BEFORE, "partly_paid"),
        ({"total": 100, "credited": 1}, BEFORE, "partly_paid"),
        ({"total": 100, "paid": 99}, AFTER, "overdue"),
        ({"total": 100, "paid": 60, "credited": 40}, AFTER, "paid"),
        ({"total": 0}, AFTER, "paid"),
        ({"total": 100, "paid": 60, "written_off": 40}, AFTER, "uncollectible"),
        ({"total": 100, "disputed": True}, AFTER, "disputed"),
        ({"total": 100, "paid": 100, "disputed": True}, AFTER, "disputed"),
        ({"total": -100}, AFTER, "issued"),
        ({"total": -100, "paid": 40}, AFTER, "partly_paid"),
        ({"total": -100, "paid": 100}, AFTER, "paid"),
    ],
)
def test_where_an_issued_invoice_stands_follows_from_amounts_and_days(amounts: dict, today: date, word: str) -> None:
    assert standing("issued", due_on=DUE, today=today, **amounts) == word


@pytest.mark.parametrize("document", ["draft", "held", "approved", "void"])
def test_before_issue_and_when_void_the_document_says_it_all(document: str) -> None:
    assert standing(document, total=100, paid=100, due_on=DUE, today=AFTER, disputed=True) == document
