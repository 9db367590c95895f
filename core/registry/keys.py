"""Meter keys: `pmk_<public id>_<secret>`.

The public id (16 characters) finds the row and may be shown and logged; the secret (256 random bits) is shown once and
kept only as its SHA-256. A slow password hash would buy nothing: nobody can guess 256 random bits, and intake checks a
key on every request. The prefix lets secret scanners recognise a key that leaked.
"""

import re
import secrets
import string
from hashlib import sha256
from hmac import compare_digest
from typing import NamedTuple

PREFIX = "pmk"
_ALPHABET = string.ascii_lowercase + string.digits  # no underscore: it parts the fields
_PUBLIC_LENGTH = 16
_SECRET_BYTES = 32
_KEY = re.compile(r"pmk_([a-z0-9]{16})_([A-Za-z0-9_-]{43})", re.ASCII)


class NewKey(NamedTuple):
    """A key just made: the text for the licensee, shown once, and the two parts that are stored."""

    text: str
    public_id: str
    secret_hash: bytes


def new_key() -> NewKey:
    """A fresh key from the system's randomness."""
    public_id = "".join(secrets.choice(_ALPHABET) for _ in range(_PUBLIC_LENGTH))
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    return NewKey(f"{PREFIX}_{public_id}_{secret}", public_id, secret_hash(secret))


def parse_key(text: str) -> tuple[str, str] | None:
    """(public id, secret) of a key's text, or None when it has not the shape of one."""
    found = _KEY.fullmatch(text)
    return (found[1], found[2]) if found else None


def secret_hash(secret: str) -> bytes:
    """What is stored of a secret."""
    return sha256(secret.encode()).digest()


def same_secret(secret: str, stored_hash: bytes) -> bool:
    """Whether `secret` is the one that was stored, in a time that does not tell how close a guess came."""
    return compare_digest(secret_hash(secret), stored_hash)
