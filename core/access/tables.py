"""Who works for a licensor: finance users, their keys, and what was answered to their requests."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, LargeBinary, func, text
from sqlalchemy.orm import Mapped, mapped_column

from core.access.credentials import SCOPES
from core.actors import PEOPLE
from core.database import Base

ROLES = ", ".join(repr(role) for role in PEOPLE)
KNOWN_SCOPES = ", ".join(repr(scope) for scope in SCOPES)


class FinanceUser(Base):
    """A person of a licensor's. The address is the person's name in the audit log: it never changes."""

    __tablename__ = "finance_users"
    __table_args__ = (
        CheckConstraint(f"role IN ({ROLES})", name="role"),
        CheckConstraint("email = lower(email) AND email LIKE '%@%' AND email NOT LIKE '%:%'", name="email"),
        CheckConstraint("name <> ''", name="name"),
        Index("ix_finance_users_licensor", "licensor_id", "id"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    role: Mapped[str]
    password_hash: Mapped[str | None]
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class FinanceKey(Base):
    """A credential for the finance API: a user's, with that user's role, or a machine's with its own."""

    __tablename__ = "finance_keys"
    __table_args__ = (
        CheckConstraint("(user_id IS NULL) = (machine IS NOT NULL)", name="owner"),
        CheckConstraint("(machine IS NULL) = (role IS NULL)", name="role_of_machine"),
        CheckConstraint("role IN ('viewer', 'clerk', 'approver')", name="role"),
        CheckConstraint(f"cardinality(scopes) > 0 AND scopes <@ ARRAY[{KNOWN_SCOPES}]::varchar[]", name="scopes"),
        Index("ix_finance_keys_licensor", "licensor_id", "id"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("finance_users.id"))
    machine: Mapped[str | None]
    role: Mapped[str | None]
    scopes: Mapped[list[str]]
    label: Mapped[str] = mapped_column(server_default="")
    public_id: Mapped[str] = mapped_column(unique=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    issued_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class IdempotentRequest(Base):
    """What was answered to a request that named itself, written with its effect. `fingerprint`: of method, address and
    body. Kept for a week at least.
    """

    __tablename__ = "idempotent_requests"
    __table_args__ = (Index("ix_idempotent_requests_kept_at", "kept_at"),)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"), primary_key=True)
    actor: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int]
    body: Mapped[str]
    kept_at: Mapped[datetime] = mapped_column(server_default=func.now())
