"""The one spelling of a document, so that both sides come to the same hash of it and a signature can be checked."""

import json
from hashlib import sha256
from typing import Any


def canonical(document: Any) -> bytes:
    """Canonical JSON: keys sorted, no spaces, UTF-8 with characters as they are."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def hash_of(document: Any) -> str:
    """SHA-256 of the canonical form, in hexadecimal."""
    return sha256(canonical(document)).hexdigest()
