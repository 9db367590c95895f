"""What somebody typed into a form: read field by field, each mistake said at its field, nothing lost.

def add(request: Request, person: Admin, form: Filled) -> Response:
    with form:  # a refusal of the core, too, is shown at the form
        email = form.text("email", most=190)
        role = form.choice("role", ROLES)
        form.demand()
        act(request, lambda session: add_user(session, person.licensor, person.actor, email=email, ...))
    if form.wrong:
        return users_page(request, person, form)
    return after(request, "/settings/users", f"Added {email}.")
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from decimal import Decimal
from types import TracebackType
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile

from core.errors import Conflict, InvalidInput, NotAllowed, PerimageError
from core.money import Money, decimal_of, exponent
from core.period import Period
from service.problems import said_of

MAX_LINE, MAX_TEXT = 400, 10_000
WHOLE_FORM = ""  # the name under which a mistake stands that is no single field's


class Form:
    """The fields of a form and what is wrong with them."""

    def __init__(self, data: FormData | Mapping[str, str] | None = None) -> None:
        self._data = data or {}
        self.errors: dict[str, str] = {}
        self.status = 200

    # What was typed, for showing it again.

    def said(self, name: str, otherwise: Any = "") -> str:
        """The text as it was typed, or what the field begins with."""
        found = self._data.get(name)
        return found if isinstance(found, str) else ("" if otherwise is None else str(otherwise))

    def has(self, name: str) -> bool:
        return name in self._data

    @property
    def wrong(self) -> bool:
        return bool(self.errors)

    def refuse(self, name: str, sentence: str) -> None:
        """Says what is wrong with a field; the first word on it stands."""
        self.errors.setdefault(name, f"{sentence[:1].upper()}{sentence[1:]}")

    def demand(self) -> None:
        """Ends the reading here when anything is wrong."""
        if self.errors:
            raise InvalidInput("bad_form", "see the fields below")

    # Reading. Each returns something of its type even when it refuses, so that all fields are looked at.

    def text(self, name: str, *, required: bool = True, most: int = MAX_LINE, lines: bool = False) -> str:
        """One line, or with `lines` several."""
        said = self.said(name).replace("\r\n", "\n").strip()
        if required and not said:
            self.refuse(name, "this is needed")
        elif len(said) > most:
            self.refuse(name, f"at most {most:,} characters, not {len(said):,}")
        elif not all(letter.isprintable() or (lines and letter in "\n\t") for letter in said):
            self.refuse(name, "this holds characters that cannot be printed: type it anew")
        else:
            return said
        return ""

    def secret(self, name: str) -> str:
        """A password: as it was typed, spaces and all."""
        said = self.said(name)
        if not said:
            self.refuse(name, "this is needed")
        return said[:1_000]

    def choice(self, name: str, options: Collection[str], otherwise: str | None = None) -> str:
        said = self.said(name, otherwise)
        if said not in options:
            self.refuse(name, "choose one of the list")
            return next(iter(options), "")
        return said

    def many(self, name: str, options: Collection[str] | None = None) -> list[str]:
        """The boxes that were ticked."""
        found: Iterable[Any] = self._data.getlist(name) if isinstance(self._data, FormData) else [self.said(name)]
        chosen = [each for each in found if isinstance(each, str) and each]
        if options is not None and not set(chosen) <= set(options):
            self.refuse(name, "choose from the list")
            return []
        return chosen

    def flag(self, name: str) -> bool:
        return self.said(name) in ("on", "true", "1", "yes")

    def whole(self, name: str, *, least: int = 0, most: int = 10**12, required: bool = True) -> int | None:
        """A whole number, with or without separators."""
        said = self.said(name).strip().replace(",", "").replace("\N{NO-BREAK SPACE}", "")
        if not said and not required:
            return None
        if not (said.isascii() and said.removeprefix("-").isdigit()) or len(said) > 20:
            self.refuse(name, "write a whole number such as 1200")
        elif not least <= int(said) <= most:
            self.refuse(name, f"from {least:,} to {most:,}")
        else:
            return int(said)
        return least

    def decimal(self, name: str, *, required: bool = True) -> Decimal | None:
        said = self.said(name).strip()
        if not said and not required:
            return None
        try:
            return decimal_of(said)
        except InvalidInput:
            self.refuse(name, "write a number such as 0.0125, with a point")
            return Decimal(0)

    def money(self, name: str, currency: str, *, required: bool = True) -> Money | None:
        """An amount with no more decimals than the currency has."""
        found = self.decimal(name, required=required)
        if found is None:
            return None
        scaled = found.scaleb(exponent(currency))
        if scaled != scaled.to_integral_value():
            self.refuse(name, f"{currency} has {exponent(currency)} decimals")
            return Money(currency, 0)
        return Money(currency, int(scaled))

    def day(self, name: str, *, required: bool = True) -> date | None:
        said = self.said(name).strip()
        if not said and not required:
            return None
        try:
            return date.fromisoformat(said)
        except ValueError:
            self.refuse(name, "write a day such as 2026-11-30")
            return date.min

    def month(self, name: str) -> Period | None:
        try:
            return Period.month(self.said(name).strip())
        except PerimageError:
            self.refuse(name, "write a month such as 2026-11")
            return None

    def file(self, name: str) -> UploadFile | None:
        """A file that was chosen. Read it with `.file.read(...)`."""
        found = self._data.get(name)
        return found if isinstance(found, UploadFile) and found.filename else None

    # `with form:` shows a refusal of the core at the form instead of on a page of its own.

    def __enter__(self) -> "Form":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, InvalidInput | Conflict | NotAllowed):
            said = said_of(error)
            if error.code != "bad_form" or not self.errors:
                self.refuse(str(error.detail.get("field", WHOLE_FORM)), said.sentence)
            self.status = said.status
        if self.errors and self.status == 200:
            self.status = 422
        return isinstance(error, InvalidInput | Conflict | NotAllowed)


async def _filled(request: Request) -> Form:
    return Form(await request.form())


Filled = Annotated[Form, Depends(_filled)]
