"""Reads how a licensor's documents look, as a catalogue declares it.

    brand: {logo?: logo.svg, colour?: "#1b4d89", accent?: "#3f7d8c"}

`logo` names a PNG or SVG of at most 200 KB, relative to the catalogue. What is declared is the whole of it: a key that
is left out has the template's own, and no `brand` at all changes nothing.
"""

from collections.abc import Callable

from core.agreements.reading import Section, refuse
from core.catalogue.texts import name
from core.errors import PerimageError
from core.registry.brand import Brand
from core.registry.pictures import Picture

Pictures = Callable[[str], Picture]


def brand_in(pictures: Pictures | None) -> Callable[[object, str], Brand]:
    """A reader of brands that takes logos from `pictures`: a file's name in, the picture out, or a refusal."""

    def read(value: object, path: str) -> Brand:
        part = Section(value, path)
        _refuse_comments(part)
        colour, accent = part.optional("colour", _colour, ""), part.optional("accent", _colour, "")
        logo = part.optional("logo", picture, None)
        part.done()
        try:
            return Brand(colour, accent, logo)
        except PerimageError as error:
            refuse(part.at(str(error.detail.get("at", "colour"))), error.sentence)

    def picture(value: object, path: str) -> Picture:
        file = name(value, path)
        if pictures is None:
            refuse(path, "there is no folder to look for a logo in: apply the catalogue from a file")
        try:
            return pictures(file)
        except PerimageError as error:
            refuse(path, error.sentence)

    return read


def _refuse_comments(part: Section) -> None:
    """A bare `#` begins a comment in YAML, which leaves nothing behind."""
    for key in ("colour", "accent"):
        if key in part.left and part.left[key] is None:
            refuse(part.at(key), "this is empty: a colour is written in quotes, such as '#1b4d89'")


def _colour(value: object, path: str) -> str:
    return name(value, path).lower()
