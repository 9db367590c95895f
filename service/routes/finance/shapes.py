"""Small shapes of finance requests: amounts as exact text, days as text, names as they are written."""

from datetime import date
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from core.errors import InvalidInput
from core.money import Money, decimal_of, exponent
from core.period import Period

MAX_MINOR = 10**15


def _day(value: Any) -> Any:
    if not isinstance(value, str) or len(value) != len("2026-11-30"):
        raise ValueError("write a day such as 2026-11-30")
    return value


class Body(BaseModel):
    """What a request may say, and nothing else."""

    model_config = ConfigDict(extra="forbid")


Day = Annotated[date, BeforeValidator(_day), Field(examples=["2026-11-30"])]
Month = Annotated[
    str, StringConstraints(max_length=7, pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$"), Field(examples=["2026-10"])
]
Amount = Annotated[
    str, StringConstraints(max_length=40, pattern=r"^-?[0-9]{1,18}(\.[0-9]{1,3})?$"), Field(examples=["1250.00"])
]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(examples=["USD"])]
Slug = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[a-z0-9-]+$")]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=4000), Field(examples=["agreed with the platform"])]
InvoiceName = Annotated[
    str,
    Path(max_length=64, pattern=r"^([A-Z0-9-]+|draft-[0-9]+)$", examples=["OWG-000001"],
         description="an invoice's or credit note's number, or a draft such as draft-17"),
]  # fmt: skip
SlugPath = Annotated[str, Path(max_length=100, pattern=r"^[a-z0-9-]+$")]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
MonthQuery = Annotated[
    str | None, Query(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$", description="only this month", examples=["2026-10"])
]
SlugQuery = Annotated[str | None, Query(max_length=100, pattern=r"^[a-z0-9-]+$")]


class Why(Body):
    """Why: kept with what was done."""

    reason: Reason


class Nothing(Body):
    """Nothing more has to be said."""


def month_of(text: str | None) -> Period | None:
    """The month, if one was named."""
    return Period.month(text) if text else None


def money_of(text: str, currency: str) -> Money:
    """An exact amount of a currency. Refuses more decimals than the currency has."""
    minor = decimal_of(text).scaleb(exponent(currency))
    if minor != minor.to_integral_value() or abs(minor) > MAX_MINOR:
        raise InvalidInput("bad_amount", f"{text} has more decimals than {currency} takes, or is too large")
    return Money(currency, int(minor))


def written(money: Money) -> str:
    """An amount as answers say it."""
    return f"{money.amount:f}"
