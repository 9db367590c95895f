"""Tax, interest and safety bounds as values: no database, and an accountant's arithmetic beside them."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.invoicing.drafts.bounds import (
    BilledDays,
    above_trailing_median,
    counts_differ,
    duplicate_lines,
    missing_days,
    negative_total,
)
from core.invoicing.drafts.interest import interest_on, open_runs
from core.invoicing.drafts.tax import TaxRate, tax_groups, tax_on
from core.money import Money
from core.period import Period
from core.registry.billing import TaxTreatment
from core.registry.tax_ids import check_tax_id

VAT = TaxRate("standard", Decimal(19))


def test_tax_is_rounded_once_on_the_sum_of_a_category_and_not_line_by_line() -> None:
    # Three lines of 0.03 at 19 %: 0.0057 each rounds to 0.01, three of them to 0.03; of their sum it is 0.0171, 0.02.
    assert [group.tax_minor for group in tax_groups([(VAT, 3)] * 3)] == [2]
    assert sum(tax_on(3, VAT.rate) for _ in range(3)) == 3
    mixed = tax_groups([(VAT, 100), (TaxRate("exempt", Decimal(0)), 50), (TaxRate("standard", Decimal(7)), 100)])
    assert [(str(g.at.rate), g.net_minor, g.tax_minor) for g in mixed] == [("19", 100, 19), ("7", 100, 7), ("0", 50, 0)]


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1), st.sampled_from(["19", "7.7", "0", "8.1", "20.0001"]))
def test_a_credit_of_everything_mirrors_its_tax_exactly(nets: list[int], rate: str) -> None:
    at = TaxRate("standard", Decimal(rate))
    [there], [back] = tax_groups((at, net) for net in nets), tax_groups((at, -net) for net in nets)
    assert there.tax_minor == -back.tax_minor
    assert abs(there.tax_minor - Fraction(there.net_minor) * Fraction(rate) / 100) <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"category": "vat"}, "one of"),
        ({"category": "standard", "rate": Decimal("NaN")}, "0 to 100"),
        ({"category": "standard", "rate": Decimal("100.1")}, "0 to 100"),
        ({"category": "standard", "rate": Decimal("19.12345")}, "at most 4"),
        ({"category": "exempt", "rate": Decimal(1), "sentence": "x"}, "no rate"),
        ({"category": "reverse_charge"}, "needs the sentence"),
    ],
)
def test_a_tax_treatment_that_makes_no_sense_is_refused(given: dict, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        TaxTreatment(**given)


@pytest.mark.parametrize(
    "good",
    ["", "DE123456789", "DE 123 456 789", "ATU12345678", "GB123456789", "CHE-123.456.789 MWST", "12-3456789",
     "US12-3456789", "NL123456789B01", "FR12345678901", "T1234567890123", "BR12345678000199"],
)  # fmt: skip
def test_tax_ids_of_a_known_form_are_taken(good: str) -> None:
    check_tax_id(good)


@pytest.mark.parametrize(
    "bad",
    ["DE12345678", "DE1234567890", "ATX12345678", "GB12", "CHE-123.456.78", "CH123456789", "123456789", "12-345678",
     "=HYPERLINK(1)", "\0", "DE１２３４５６７８９", "<script>"],
)  # fmt: skip
def test_tax_ids_of_no_form_are_refused_with_an_example(bad: str) -> None:
    with pytest.raises(InvalidInput, match="write it like"):
        check_tax_id(bad)


def test_interest_runs_from_the_night_after_the_due_day_on_what_is_open() -> None:
    due, april = date(2026, 4, 10), Period.month("2026-04")
    assert open_runs(1000, due, {due: 1000}, april) == ()
    [run] = open_runs(1000, due, {due + timedelta(days=1): 1000}, april)
    assert (run.days.days, run.open_minor) == (1, 1000)
    # 1,000.00 at 18.25 % for 20 nights of April, 400.00 paid on the 20th: 10 nights of 1,000 and 11 of 600.
    runs = open_runs(100_000, due, {date(2026, 4, 20): 40_000}, april)
    assert [(run.days.days, run.open_minor) for run in runs] == [(10, 100_000), (11, 60_000)]
    assert interest_on(runs, Decimal("18.25")) == Fraction(10 * 100_000 + 11 * 60_000) * Fraction(1825, 3_650_000)


@given(
    st.integers(1, 10**8),
    st.dictionaries(st.dates(date(2026, 1, 1), date(2026, 12, 31)), st.integers(-(10**7), 10**7), max_size=6),
    st.dates(date(2026, 1, 1), date(2026, 12, 1)),
)
def test_interest_is_the_sum_night_by_night_however_it_is_cut(amount: int, taken: dict, due: date) -> None:
    whole = Period(date(2026, 1, 1), date(2027, 1, 1))
    by_month = sum(interest_on(open_runs(amount, due, taken, month), Decimal(9)) for month in whole.months())
    night, oracle = due, Fraction(0)
    while night < whole.end:
        gone = sum(minor for day, minor in taken.items() if day <= night)
        oracle += Fraction(min(amount, max(0, amount - gone)) * 9, 36_500)
        night += timedelta(days=1)
    assert by_month == interest_on(open_runs(amount, due, taken, whole), Decimal(9)) == oracle


def usd(minor: int) -> Money:
    return Money("USD", minor)


def test_the_median_bound_asks_for_three_invoices_and_three_times_their_median() -> None:
    assert above_trailing_median(usd(10**9), [100, 100]) is None
    assert above_trailing_median(usd(300), [100, 100, 100]) is None
    assert above_trailing_median(usd(301), [100, 90, 5000]) is not None
    assert above_trailing_median(usd(450), [100, 200, 100, 200]) is None  # the median is 150
    assert above_trailing_median(usd(451), [100, 200, 100, 200]) is not None


def test_the_other_bounds_say_what_is_wrong_and_what_to_do() -> None:
    assert negative_total(usd(0)) is None
    assert "credit note" in negative_total(usd(-1)).sentence  # type: ignore[union-attr]
    assert missing_days([]) is None
    days = [date(2026, 10, day) for day in range(1, 9)]
    assert "8 days: 2026-10-01" in missing_days(days).sentence  # type: ignore[union-attr]
    assert counts_differ(5, 5) is None
    assert "5 images in all and 6 were counted" in counts_differ(5, 6).sentence  # type: ignore[union-attr]


def test_the_same_images_on_two_bills_are_found_wherever_the_days_overlap() -> None:
    def line(first: int, last: int, where: str = "", subject: str = "sd-1") -> BilledDays:
        return BilledDays("usage", subject, Period(date(2026, 10, first), date(2026, 10, last)), where)

    assert duplicate_lines([line(1, 15), line(15, 31), line(3, 9, "agreement b", "sd-2")]) is None
    found = duplicate_lines([line(1, 31), line(2, 3, "agreement b"), line(20, 25, "agreement c")])
    assert found is not None
    assert "agreement b" in found.sentence
    assert duplicate_lines([line(20, 25, "agreement c"), line(1, 31), line(1, 2)]) is not None
