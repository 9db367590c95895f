"""The licensee's totals against ours."""

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.period import Period
from core.statements.reconciliation import read_totals, reconcile

MARCH = Period.month("2026-03")
FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)


def test_it_names_the_days_that_differ_and_compares_the_whole_with_the_threshold() -> None:
    ours = {("a", FIRST): 1000, ("a", SECOND): 900, ("b", FIRST): 100}
    theirs = {("a", FIRST): 1000, ("a", SECOND): 850, ("c", FIRST): 10}
    found = reconcile(theirs, ours)
    assert [(each.model, each.day, each.images) for each in found.days] == [
        ("a", SECOND, 50), ("b", FIRST, 100), ("c", FIRST, -10),
    ]  # fmt: skip
    assert [(each.model, each.theirs, each.ours) for each in found.models] == [
        ("a", 1850, 1900),
        ("b", 0, 100),
        ("c", 10, 0),
    ]
    assert found.whole.share == Fraction(140, 2000) and found.beyond_threshold
    assert not reconcile(theirs, ours, Fraction(7, 100)).beyond_threshold


def test_nothing_on_either_side_is_no_difference() -> None:
    found = reconcile({}, {})
    assert (found.days, found.whole.share, found.beyond_threshold) == ([], None, False)


totals = st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from([FIRST, SECOND])), st.integers(0, 10**6))


@given(totals, totals)
def test_the_days_add_up_to_the_models_and_the_models_to_the_whole(
    theirs: dict[tuple[str, date], int], ours: dict[tuple[str, date], int]
) -> None:
    found, turned = reconcile(theirs, ours), reconcile(ours, theirs)
    assert sum(each.images for each in found.days) == sum(each.images for each in found.models) == found.whole.images
    assert found.whole.images == sum(ours.values()) - sum(theirs.values()) == -turned.whole.images
    assert found.beyond_threshold == turned.beyond_threshold


def test_totals_are_read_in_any_order_of_columns() -> None:
    text = "\ufeffday,model,image_count\r\n2026-03-01,a,12\r\n\r\n2026-03-02,a,0\r\n"
    assert read_totals(text, MARCH) == {("a", FIRST): 12, ("a", SECOND): 0}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "wrong_columns"),
        ("model,day\na,2026-03-01\n", "wrong_columns"),
        ("model,day,image_count,more\na,2026-03-01,1,2\n", "wrong_columns"),
        ("model,day,image_count\na,2026-03-01\n", "wrong_row"),
        ("model,day,image_count\na,01/03/2026,1\n", "wrong_day"),
        ("model,day,image_count\na,2026-04-01,1\n", "wrong_day"),
        ("model,day,image_count\n,2026-03-01,1\n", "wrong_model"),
        ("model,day,image_count\na,2026-03-01,1\na,2026-03-01,1\n", "row_given_twice"),
        *((f"model,day,image_count\na,2026-03-01,{bad}\n", "wrong_count")
          for bad in ("-1", "1.0", "1e3", "1_000", "+1", "\uff11", "", "9" * 16, "true")),
    ],
)  # fmt: skip
def test_what_is_not_a_total_is_refused_by_its_row(text: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_totals(text, MARCH)
    assert refused.value.code == code
