"""What a request may cost before anybody looks at what it says: how large, of what kind, how often."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import InvalidInput, Unavailable

Scope = dict[str, Any]
REQUESTS_A_SECOND = 2_000
BURST = 10_000
JSON = (b"application/json",)
FORGET_AFTER = 10_000  # keys


def check_json(scope: Scope, max_bytes: int) -> None:
    """Refuses a body that is announced as too large, as compressed, or as anything but JSON."""
    check_kind(announced(scope, max_bytes), JSON)


def announced(scope: Scope, max_bytes: int) -> bytes:
    """The Content-Type of a body. Refuses one that is announced as too large or as compressed."""
    content_type = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length" and int(value) > max_bytes:
            raise too_large(max_bytes)
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise InvalidInput(
                "unsupported_content_encoding", "the body must not be compressed: leave out Content-Encoding"
            )
    return content_type


def check_kind(content_type: bytes, kinds: Sequence[bytes]) -> bytes:
    """Which of these media types was announced, in UTF-8 if anything is said about that; refuses any other."""
    kind, _, parameters = content_type.partition(b";")
    kind = kind.strip().lower()
    charset = parameters.strip().lower().replace(b'"', b"")
    if kind not in kinds or charset not in (b"", b"charset=utf-8"):
        wanted = " or ".join(each.decode() for each in kinds)
        raise InvalidInput("unsupported_content_type", f"the body must be sent with Content-Type: {wanted}")
    return kind


async def read_body(receive: Callable[[], Any], max_bytes: int) -> bytes:
    """The body as it comes in, and not a byte more of it than is allowed."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body") or len(body) > max_bytes:
        chunks, size = [body], len(body)
        while message.get("more_body") and size <= max_bytes:
            message = await receive()
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
        if size > max_bytes:
            raise too_large(max_bytes)
        body = b"".join(chunks)
    if message["type"] != "http.request":
        raise InvalidInput("incomplete_body", "the connection was closed before the body had come in whole")
    return body


def too_large(max_bytes: int) -> InvalidInput:
    return InvalidInput(
        "body_too_large", f"the body may have at most {max_bytes:,} bytes; send several reports instead"
    )


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """A bucket of tokens for each key: so many requests at once, and so many a second for ever.

    It is each process's own and generous: it keeps one licensee's runaway loop from shutting out the others.
    """

    def __init__(self, a_second: float = REQUESTS_A_SECOND, burst: float = BURST) -> None:
        self.a_second = a_second
        self.burst = burst
        self._buckets: dict[int, _Bucket] = {}

    def take(self, key_id: int, now: float | None = None) -> None:
        """Takes a token of this key, or raises Unavailable that says when to come back."""
        now = time.monotonic() if now is None else now
        bucket = self._buckets.get(key_id)
        if bucket is None:
            if len(self._buckets) >= FORGET_AFTER:
                self._buckets.clear()
            bucket = self._buckets[key_id] = _Bucket(self.burst, now)
        bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.filled_at) * self.a_second)
        bucket.filled_at = now
        if bucket.tokens < 1:
            raise Unavailable(
                "rate_limited", "this meter key sends too many requests; send larger reports", retry_after=1
            )
        bucket.tokens -= 1
