"""Forecasts: exact growth, whole images that add up, seasons by calendar month, files read strictly."""

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.money import round_half_up
from core.period import Period
from core.rating.forecast import Forecast, csv_months, listed_months, percentage

YEAR = list(Period(date(2026, 1, 1), date(2027, 1, 1)).months())


def test_growth_compounds_exactly() -> None:
    found = Forecast(monthly=Fraction(1_000_000), growth=percentage("3%", "growth")).images_of(YEAR)
    assert found[:3] == [1_000_000, 1_030_000, 1_060_900]
    assert sum(found) == 14_192_030  # 1,000,000 x (1.03^12 - 1) / 0.03 = 14,192,029.56


@given(
    monthly=st.integers(0, 10**9),
    percent=st.decimals(-50, 50, places=3).map(Fraction),
    months=st.integers(1, 12),
)
def test_for_any_growth_the_running_totals_are_the_exact_ones_rounded(
    monthly: int, percent: Fraction, months: int
) -> None:
    growth = percent / 100
    found = Forecast(monthly=Fraction(monthly), growth=growth, months=months).images_of(YEAR)
    exact = [monthly * (1 + growth) ** n for n in range(months)]
    for n in range(months):
        assert sum(found[: n + 1]) == round_half_up(sum(exact[: n + 1], Fraction(0)))
    assert min(found) >= 0


@given(total=st.integers(0, 10**12), weights=st.lists(st.integers(0, 50), min_size=12, max_size=12))
def test_a_total_is_spread_over_a_season_without_losing_an_image(total: int, weights: list[int]) -> None:
    if not sum(weights):
        return
    found = Forecast(total=total, weights=tuple(map(Fraction, weights))).images_of(YEAR)
    assert sum(found) == total
    assert all(images <= 1 for images, weight in zip(found, weights, strict=True) if not weight)


def test_weights_are_those_of_the_calendar_months() -> None:
    weights = tuple(Fraction(2 if month == 12 else 1) for month in range(1, 13))
    autumn = list(Period(date(2026, 11, 1), date(2027, 2, 1)).months())
    assert Forecast(monthly=Fraction(1300), weights=weights).images_of(autumn) == [1200, 2400, 1200]


def test_listed_months_are_taken_as_they_are() -> None:
    found = csv_months("\ufeffmonth,images\n2026-03,5\n\n2026-01,7\n", "file").images_of(YEAR)
    assert found == [7, 0, 5]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: the first line must be"),
        ("images,month\n", "line 1"),
        ("month,images\n2026-13,5\n", "line 2: a month is written YYYY-MM"),
        ("month,images\n2026-01,5\n2026-01,6\n", "2026-01 is listed twice"),
        ("month,images\n2026-01,1e6\n", "line 2: images are a whole number"),
        ("month,images\n2026-01,-5\n", "line 2: images are a whole number"),
        ('month,images\n2026-01,"1,000"\n', "line 2: images are a whole number"),
        ("month,images\n2026-01,٣\n", "line 2: images are a whole number"),
        ("month,images\n2026-01\n", "line 2: write a month and its images"),
        ("month,images\n", "list 1 to 400 months, not 0"),
        ("month,images\n2026-01,9999999999999999\n", "write a whole number from 0 to"),
    ],
)
def test_a_file_is_refused_where_it_is_wrong(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match="file") as refusal:
        csv_months(text, "file")
    assert says in refusal.value.sentence
    assert refusal.value.code == "invalid_forecast"


@pytest.mark.parametrize("written", ["3", "0.03", "3 percent", "", "1e2%", "٣%", "3%%", None, 3])
def test_a_percentage_needs_its_sign(written: object) -> None:
    with pytest.raises(InvalidInput, match="write a percentage such as 3%"):
        percentage(written, "growth")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "say how many images"),
        ({"monthly": Fraction(1), "total": 1}, "say how many images"),
        ({"monthly": Fraction(1), "growth": Fraction(-1)}, "above -100%"),
        ({"monthly": Fraction(1), "weights": (Fraction(1),) * 11}, "twelve weights"),
        ({"monthly": Fraction(1), "weights": (Fraction(0),) * 12}, "twelve weights"),
        ({"monthly": Fraction(1), "months": 0}, "1 to 400 months"),
        ({"monthly": Fraction(1), "months": 401}, "1 to 400 months"),
        ({"monthly": Fraction(10**16)}, "write a number of images"),
    ],
)
def test_a_forecast_that_makes_no_sense_is_refused(fields: dict, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Forecast(**fields)


def test_a_forecast_may_not_go_on_after_the_term() -> None:
    with pytest.raises(InvalidInput, match="13 months are more than the 12"):
        Forecast(monthly=Fraction(1), months=13).images_of(YEAR)
    with pytest.raises(InvalidInput, match="2027-01 is outside the term, which runs from 2026-01 to 2026-12"):
        listed_months([("2027-01", 1)], "months").images_of(YEAR)


def test_growth_out_of_all_proportion_is_refused() -> None:
    with pytest.raises(InvalidInput, match="grows beyond"):
        Forecast(monthly=Fraction(10**14), growth=Fraction(100)).images_of(YEAR)
