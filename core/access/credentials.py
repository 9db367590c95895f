"""Finance keys, `pfk_<public id>_<secret>`, and what they may be good for.

As with meter keys (`core/registry/keys.py`) the public id finds the row and may be shown, and the secret, 256 random
bits, is shown once and kept only as its SHA-256. The other prefix keeps the two kinds apart for people and scanners.
"""

import re
from collections.abc import Iterable
from typing import Literal, get_args

from core.errors import InvalidInput
from core.registry.keys import NewKey, new_key

PREFIX = "pfk"
Scope = Literal["read", "close", "invoices", "payments", "statements", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
MACHINE = "machine:"  # opens the name of an actor that is no person; no e-mail address has a colon in it
MAX_EMAIL = 190
_KEY = re.compile(r"pfk_([a-z0-9]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9-]+(\.[a-z0-9-]+)*", re.ASCII)
_MACHINE = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)


def new_finance_key() -> NewKey:
    """A fresh key from the system's randomness."""
    made = new_key()
    return made._replace(text=f"{PREFIX}_{made.text.split('_', 1)[1]}")


def parse_finance_key(text: str) -> tuple[str, str] | None:
    """(public id, secret) of a key's text, or None when it has not the shape of one."""
    found = _KEY.fullmatch(text)
    return (found[1], found[2]) if found else None


def scopes_of(words: Iterable[str]) -> list[str]:
    """The scopes, each once and in their order. At least one."""
    wanted = set(words)
    unknown = sorted(wanted - set(SCOPES))
    if unknown or not wanted:
        said = f"{unknown[0]!r} is none" if unknown else "give at least one"
        raise InvalidInput("unknown_scope", f"scopes are {', '.join(SCOPES)}: {said}")
    return [scope for scope in SCOPES if scope in wanted]


def email_of(text: str) -> str:
    """An address in the form in which it is kept: lower case."""
    found = text.strip().lower()
    if len(found) > MAX_EMAIL or not _EMAIL.fullmatch(found):
        raise InvalidInput("bad_email", f"write an e-mail address such as ada@example.com, not {text[:60]!r}")
    return found


def machine_of(text: str) -> str:
    """A machine's name: lower-case letters, digits and hyphens."""
    if not _MACHINE.fullmatch(text):
        raise InvalidInput("bad_machine", "a machine's name is up to 64 of a-z, 0-9 and -, such as month-end")
    return text
