"""How a licensor's documents look: two colours and a logo.

Colours are checked against the paper they are printed on, by the contrast that WCAG 2.2 asks of text (4.5 to 1) and of
bars in a chart (3 to 1), so that no invoice goes out that cannot be read.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core.errors import InvalidInput
from core.registry.pictures import Picture

WHITE = "#ffffff"
TINT = "#f1f5f6"  # behind the facts at the top of an invoice, in whose colour its total is set
FOR_TEXT, FOR_BARS = Decimal("4.5"), Decimal(3)
_COLOUR = re.compile(r"#[0-9a-f]{6}", re.ASCII)
_SHARES = (Decimal("0.2126"), Decimal("0.7152"), Decimal("0.0722"))  # of red, green and blue in how light a colour is


@dataclass(frozen=True, slots=True)
class Brand:
    """A licensor's look. `colour` is that of headings and totals, `accent` that of bars.

    Empty is the template's own; bars without a colour of their own have that of the headings.
    """

    colour: str = ""
    accent: str = ""
    logo: Picture | None = None

    def __post_init__(self) -> None:
        for what, colour, ground, least in (
            ("colour", self.colour, TINT, FOR_TEXT),
            ("accent", self.accent, WHITE, FOR_BARS),
        ):
            if colour:
                _check(what, colour, ground, least)

    def document(self) -> dict[str, Any]:
        """The colours as a frozen invoice says them: what is the template's own is left out."""
        colours = {"ink": self.colour, "accent": self.accent or self.colour}
        said = {key: value for key, value in colours.items() if value}
        return {"colours": said} if said else {}


def contrast(one: str, other: str) -> Decimal:
    """How far two colours stand apart, from 1 to 21."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + Decimal("0.05")) / (dark + Decimal("0.05"))


def _luminance(colour: str) -> Decimal:
    """The relative luminance of a colour of sRGB."""
    return sum(
        (share * _linear(value) for share, value in zip(_SHARES, _channels(colour), strict=True)), start=Decimal(0)
    )


def _linear(value: int) -> Decimal:
    part = Decimal(value) / 255
    if part <= Decimal("0.04045"):
        return part / Decimal("12.92")
    return ((part + Decimal("0.055")) / Decimal("1.055")) ** Decimal("2.4")


def _channels(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return red, green, blue


def _check(what: str, colour: str, ground: str, least: Decimal) -> None:
    if not _COLOUR.fullmatch(colour):
        raise InvalidInput(
            "bad_colour", f"write a colour like '#1b4d89', with six digits, not {colour[:40]!r}", at=what
        )
    found = contrast(colour, ground)
    if found < least:
        raise InvalidInput(
            "faint_colour",
            f"{colour} is too light to be read on paper: its contrast is {found:.2f} to 1 and has to be {least}; "
            f"take a darker one such as {_darker(colour, ground, least)!r}",
            at=what,
        )


def _darker(colour: str, ground: str, least: Decimal) -> str:
    """The same colour, darkened until it can be read."""
    for parts in range(19, 0, -1):
        tried = "#" + "".join(f"{value * parts // 20:02x}" for value in _channels(colour))
        if contrast(tried, ground) >= least:
            return tried
    return "#000000"
