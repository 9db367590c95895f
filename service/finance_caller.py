"""Who calls the finance API: a bearer finance key, and through it a person or machine of one licensor.

Keys are looked up anew at every request: a revocation, a changed role or a deactivated user is seen at once. The
licensor comes from the key, never from the request.
"""

from collections.abc import Callable, Iterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from core.access.credentials import Scope
from core.access.eyes import licensor_eyes
from core.access.keys import FinanceCaller, caller_of
from core.errors import NotAllowed, Unavailable
from service.limits import RateLimit

REQUESTS_A_SECOND, BURST = 50, 500  # of one key: people and accounting systems, not meters

_bearer = HTTPBearer(
    scheme_name="financeKey",
    bearerFormat="pfk_<id>_<secret>",
    description="A finance key: a licensor's user or machine.",
    auto_error=False,
)


def _finance_caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> FinanceCaller:
    with Session(request.app.state.finance_engine) as session:
        caller = caller_of(session, credentials.credentials if credentials else "")
    limit: RateLimit = request.app.state.finance_rate_limit
    try:
        limit.take(caller.key_id)
    except Unavailable:
        raise Unavailable("rate_limited", "this finance key sends too many requests", retry_after=1) from None
    return caller


AnyCaller = Annotated[FinanceCaller, Depends(_finance_caller)]


def demanding(scope: Scope) -> Callable[..., FinanceCaller]:
    """A dependency: the caller, if the key may be used for this."""

    def check(caller: AnyCaller) -> FinanceCaller:
        if scope not in caller.scopes:
            raise NotAllowed(
                "scope_missing",
                f"this takes a key with the scope `{scope}`; this one has {', '.join(sorted(caller.scopes))}",
                needed=scope,
            )
        return caller

    return check


Reader = Annotated[FinanceCaller, Depends(demanding("read"))]


def _eyes(request: Request, caller: Reader) -> Iterator[Session]:
    with Session(request.app.state.finance_engine) as session, licensor_eyes(session, caller.licensor_id) as seen:
        yield seen


Eyes = Annotated[Session, Depends(_eyes)]
