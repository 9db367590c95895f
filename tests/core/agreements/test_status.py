"""Where an agreement stands, and what may be done with it there."""

from datetime import date
from itertools import product

import pytest

from core.agreements.status import ACTS, MOVES, STATUSES, move, status_on
from core.errors import Conflict

END = date(2027, 1, 1)


def test_the_table_is_the_whole_of_what_may_be_done():
    assert set(MOVES) == {
        ("draft", "redraft"),
        ("draft", "sign"),
        ("signed", "amend"),
        ("signed", "extend"),
        ("signed", "terminate"),
        ("signed", "revoke"),
        ("ended", "amend"),
        ("ended", "extend"),
        ("ended", "terminate"),
        ("ended", "revoke"),
        ("terminated", "amend"),
        ("terminated", "revoke"),
        ("revoked", "amend"),
    }
    assert not any(after == "draft" for (before, _), after in MOVES.items() if before != "draft"), "nothing is unsigned"


@pytest.mark.parametrize(("status", "act"), sorted(set(product(STATUSES, ACTS)) - set(MOVES)))
def test_every_other_act_is_refused_with_a_sentence(status, act):
    with pytest.raises(Conflict) as refused:
        move("deal", status, act)
    assert str(refused.value).startswith("agreement deal ")
    assert refused.value.code in ("not_signed", "already_signed", f"already_{status}")


def test_a_signed_agreement_has_ended_from_the_day_after_its_last():
    assert status_on("signed", END, date(2026, 12, 31)) == "signed"
    assert status_on("signed", END, END) == "ended"
    assert [status_on(status, END, END) for status in ("draft", "terminated", "revoked")] == [
        "draft",
        "terminated",
        "revoked",
    ]
