"""Passwords: hashed by Argon2id with a salt of their own, checked in a time that does not tell whether there is one."""

from functools import cache

from pwdlib import PasswordHash

from core.errors import InvalidInput

MIN_LENGTH, MAX_LENGTH = 12, 200


@cache
def _hasher() -> PasswordHash:
    return PasswordHash.recommended()


@cache
def _nobodys() -> str:
    return _hasher().hash("the password of nobody")


def hash_of(password: str) -> str:
    """What is stored of a password. Length is all that is asked of it."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH or not _is_text(password):
        raise InvalidInput("bad_password", f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    return _hasher().hash(password)


def fits(password: str, stored: str | None) -> bool:
    """Whether it is the password that was stored. Without one the work is done all the same, and the answer is no."""
    tried = password if len(password) <= MAX_LENGTH and _is_text(password) else ""
    good = _hasher().verify(tried, stored or _nobodys())
    return good and stored is not None and tried == password


def _is_text(password: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in password)
