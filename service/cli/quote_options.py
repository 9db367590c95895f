"""What the options of `perimage quote` mean: prices, volumes, forecasts, floors. Each refusal names its option."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.rating.forecast import Forecast
    from service.what_if import FloorAsk, TableAsk


def price(written: str | None) -> Decimal | None:
    """The price of --rate."""
    from core.agreements.reading import positive

    return None if written is None else positive(written, "--rate")


def forecast(
    *,
    images: int | None,
    monthly: int | None,
    growth: str | None,
    season: str | None,
    months: int | None,
    file: Path | None,
) -> "Forecast | None":
    """The forecast that the options describe, if they describe one."""
    from core.agreements.reading import amount
    from core.errors import InvalidInput
    from core.rating.forecast import Forecast, csv_months, percentage

    if file is not None:
        if images is not None or monthly is not None or growth or season or months:
            raise InvalidInput("invalid_forecast", "a forecast file says everything: leave the other numbers out")
        return csv_months(_text_of(file), str(file))
    if monthly is None and not (growth or season or months):
        return None
    if monthly is not None and images is not None:
        raise InvalidInput("invalid_forecast", "say how many images in the first month or in all, not both")
    weights = tuple(Fraction(amount(weight.strip(), "--season")) for weight in season.split(",")) if season else ()
    return Forecast(
        monthly=None if monthly is None else Fraction(monthly),
        total=images,
        growth=percentage(growth, "--growth") if growth else Fraction(0),
        weights=weights,
        months=months,
    )


def _text_of(file: Path) -> str:
    from core.errors import InvalidInput, NotFound

    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("not_text", f"{file} is not text in UTF-8") from None
    except OSError as error:
        raise NotFound("no_file", f"cannot read {file}: {error.strerror}") from None


def refuse_beside_usage(*others: object) -> None:
    """Recorded usage stands alone: it says how many images there were."""
    from core.errors import InvalidInput

    if any(other not in (None, False) for other in others):
        raise InvalidInput(
            "usage_alone",
            "recorded usage says how many images there were: leave volumes, forecasts, tables, plots and floors out",
        )


def table(wanted: bool, rates: str | None, volumes: str | None) -> "TableAsk | None":
    """The table of --table, --rates and --volumes."""
    from core.agreements.reading import positive
    from core.errors import InvalidInput
    from service.what_if import TableAsk

    if not (wanted or rates or volumes):
        return None
    found = []
    for word in volumes.split(",") if volumes else ():
        if not word.strip().isascii() or not word.strip().isdecimal() or len(word.strip()) > 15:
            raise InvalidInput("invalid_volumes", f"--volumes: {word.strip()!r} is not a whole number of images")
        found.append(int(word))
    prices = tuple(positive(price.strip(), "--rates") for price in rates.split(",")) if rates else ()
    return TableAsk(prices, tuple(sorted(set(found))))


def floor(free_share: str | None, margin: str | None, credit: str | None, decimals: int | None) -> "FloorAsk | None":
    """The pass-through floor of --free-share, --margin and --credit."""
    from core.agreements.reading import positive, unit_code
    from core.errors import InvalidInput
    from core.rating.forecast import percentage
    from service.what_if import FloorAsk

    if free_share is None and margin is None:
        if credit is not None or decimals is not None:
            raise InvalidInput("no_floor", "--credit goes with --free-share or --margin")
        return None
    code = worth = None
    if credit is not None:
        name, _, value = credit.partition("=")
        code, worth = unit_code(name, "--credit"), positive(value, "--credit")
    return FloorAsk(
        free_share=percentage(free_share, "--free-share") if free_share else Fraction(0),
        margin=percentage(margin, "--margin") if margin else Fraction(0),
        credit=code,
        worth=worth,
        decimals=decimals,
    )
