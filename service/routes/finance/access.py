"""Who may come in: the caller itself, the licensor's users and keys. Both are made at the command line, where a secret
is shown once; here they are looked at, and a key is ended.
"""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path, Request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.keys import FinanceCaller, keys_of, revoke_finance_key
from core.access.tables import FinanceKey
from core.access.users import users_of
from service.finance_caller import AnyCaller, demanding
from service.routes.finance.door import ACTS, READS, Acting, acting, finance_router
from service.routes.finance.shapes import Nothing

router = finance_router("access")
Administers = Annotated[FinanceCaller, Depends(demanding("admin"))]


class Me(BaseModel):
    """Who the key is at this moment."""

    licensor: str
    name: str = Field(examples=["ada@example.com"], description="under which acts are recorded")
    role: str = Field(examples=["approver"])
    scopes: list[str]


class FinanceUserShown(BaseModel):
    """A person of the licensor's."""

    email: str
    name: str
    role: str
    active: bool
    has_password: bool
    created_at: datetime


class FinanceUsers(BaseModel):
    """The licensor's people, oldest first."""

    users: list[FinanceUserShown]


class FinanceKeyShown(BaseModel):
    """A finance key, by its public id. A user's has no role of its own."""

    public_id: str
    owner: str = Field(examples=["ada@example.com", "machine:month-end"])
    role: str | None
    scopes: list[str]
    label: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class FinanceKeys(BaseModel):
    """The licensor's finance keys, oldest first."""

    keys: list[FinanceKeyShown]


@router.get("/me", summary="Who am I", responses=READS)
def get_me(caller: AnyCaller) -> Me:
    """The key's owner, role and scopes, as they are now."""
    return Me(licensor=caller.licensor, name=caller.actor.name, role=caller.actor.role, scopes=sorted(caller.scopes))


@router.get("/users", summary="Finance users", responses=READS)
def list_users(request: Request, caller: Administers) -> FinanceUsers:
    caller.actor.demand("admin", "see the users")
    with Session(request.app.state.finance_engine) as session:
        users = [
            FinanceUserShown(
                email=user.email,
                name=user.name,
                role=user.role,
                active=user.active,
                has_password=user.password_hash is not None,
                created_at=user.created_at,
            )
            for user in users_of(session, caller.licensor_id)
        ]
    return FinanceUsers(users=users)


@router.get("/keys", summary="Finance keys", responses=READS)
def list_keys(request: Request, caller: Administers) -> FinanceKeys:
    caller.actor.demand("admin", "see the keys")
    with Session(request.app.state.finance_engine) as session:
        return FinanceKeys(keys=[_shown(key, owner) for key, owner in keys_of(session, caller.licensor_id)])


@router.post("/keys/{public_id}/revoke", summary="End a finance key", response_model=FinanceKeyShown, responses=ACTS)
def revoke_key(
    acts: Annotated[Acting, acting("admin")],
    public_id: Annotated[str, Path(pattern=r"^[a-z0-9]{16}$")],
    said: Nothing | None = None,
) -> Response:
    """Requests with it are refused from now on, for good."""

    def act(session: Session) -> FinanceKeyShown:
        key = revoke_finance_key(session, public_id, acts.caller.actor, acts.caller.licensor_id)
        owners = {found.id: owner for found, owner in keys_of(session, acts.caller.licensor_id)}
        return _shown(key, owners[key.id])

    return acts.once(act)


def _shown(key: FinanceKey, owner: str) -> FinanceKeyShown:
    return FinanceKeyShown(
        public_id=key.public_id,
        owner=owner,
        role=key.role,
        scopes=key.scopes,
        label=key.label,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
    )
