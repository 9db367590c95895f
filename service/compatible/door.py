"""What every door for other systems' clients does around its own protocol.

A door is a bare ASGI application, like the route of our own reports. Whatever goes wrong inside leaves by one exit, in
the form that the door's clients expect, with the status and the Retry-After that it would have anywhere else.
"""

import re
from abc import ABC, abstractmethod
from typing import Any

from starlette.responses import Response

from core.errors import InvalidInput
from core.usage.intake.receipt import Receipt, Run
from core.usage.intake.report import MAX_NAME
from service.problems import Said, said_of

Scope = dict[str, Any]
_KEY = re.compile(r"[!-~]+(?: [!-~]+)*")


class Door(ABC):
    """One address that speaks another system's protocol."""

    path: str

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            response = await self.take(scope, receive)
        except Exception as error:  # told to the client in its own words, and logged
            response = self.refuse(said_of(error))
        await response(scope, receive, send)

    @abstractmethod
    async def take(self, scope: Scope, receive: Any) -> Response:
        """Reads a request, hands in what it reports, and answers after the COMMIT. May raise whatever goes wrong."""

    @abstractmethod
    def refuse(self, said: Said) -> Response:
        """What went wrong, in the form of this door's protocol."""


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a request's header. Refuses one that is given twice and not the same: which was meant?"""
    values = {value for each, value in scope["headers"] if each == name}
    if len(values) > 1:
        raise InvalidInput("duplicate_header", f"the header {name.decode()} is given twice; send it once")
    return values.pop().decode("latin-1").strip() if values else None


def idempotency_key(scope: Scope) -> str | None:
    """The Idempotency-Key of a request, if it has one."""
    key = header(scope, b"idempotency-key")
    if key is not None and (len(key) > MAX_NAME or not _KEY.fullmatch(key)):
        raise InvalidInput(
            "invalid_idempotency_key",
            f"Idempotency-Key must be 1 to {MAX_NAME} printable ASCII characters, or be left out",
            at="Idempotency-Key",
        )
    return key


def fate(receipt: Receipt) -> Run | None:
    """What became of the only event of a report; None when it was simply accepted."""
    return receipt.verdict.runs[0] if receipt.verdict.runs else None
