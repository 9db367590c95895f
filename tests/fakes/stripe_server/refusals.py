"""How Stripe says no: a status and an `error` object."""

from typing import Any


class Refused(Exception):  # noqa: N818 - named for what it is
    """An answer of 400 or more."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        status: int = 400,
        kind: str = "invalid_request_error",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        said = {"type": kind, "message": message, "code": code, "param": param}
        self.body: dict[str, Any] = {"error": {key: value for key, value in said.items() if value is not None}}


class Invalid(Refused):
    """Parameters that fail validation: no endpoint begins its work, so no idempotency key is spent."""


def missing(kind: str, id_: str) -> Refused:
    """There is no such object."""
    return Refused(f"No such {kind}: '{id_}'", code="resource_missing", param=kind, status=404)
