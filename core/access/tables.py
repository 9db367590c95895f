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


class LicenseeUser(Base):
    """A person of a licensee's, who comes in by the portal. The address is nobody else's, on either side (trigger)."""

    __tablename__ = "licensee_users"
    __table_args__ = (
        CheckConstraint("role IN ('viewer', 'manager')", name="role"),
        CheckConstraint("email = lower(email) AND email LIKE '%@%' AND email NOT LIKE '%:%'", name="email"),
        CheckConstraint("name <> ''", name="name"),
        Index("ix_licensee_users_licensee", "licensee_id", "id"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"))
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    role: Mapped[str]
    password_hash: Mapped[str | None]
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PersonAddress(Base):
    """Every address that somebody has, on whichever side: one address is one person. Written by triggers."""

    __tablename__ = "person_addresses"
    email: Mapped[str] = mapped_column(primary_key=True)


class _OfOnePerson:
    """What belongs to a person of either side, and to one only."""

    finance_user_id: Mapped[int | None] = mapped_column(ForeignKey("finance_users.id"))
    licensee_user_id: Mapped[int | None] = mapped_column(ForeignKey("licensee_users.id"))


ONE_PERSON = "(finance_user_id IS NULL) <> (licensee_user_id IS NULL)"


class WebSession(_OfOnePerson, Base):
    """Somebody signed in with a browser. The token is in the browser only; here is its hash. Ended once, for good."""

    __tablename__ = "web_sessions"
    __table_args__ = (
        CheckConstraint(ONE_PERSON, name="person"),
        CheckConstraint("(ended_at IS NULL) = (ended_why IS NULL)", name="ended"),
        Index("ix_web_sessions_finance_user_id", "finance_user_id"),
        Index("ix_web_sessions_licensee_user_id", "licensee_user_id"),
        Index("ix_web_sessions_created_at", "created_at"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    csrf_secret: Mapped[bytes] = mapped_column(LargeBinary)
    browser: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]
    ended_why: Mapped[str | None]


class Invitation(_OfOnePerson, Base):
    """A link by which a person sets a password, once. The link is shown to whoever invites; here is its hash."""

    __tablename__ = "invitations"
    __table_args__ = (
        CheckConstraint(ONE_PERSON, name="person"),
        Index("ix_invitations_finance_user_id", "finance_user_id"),
        Index("ix_invitations_licensee_user_id", "licensee_user_id"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    invited_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class SignInTry(Base):
    """A try to sign in that has not succeeded. `subject`: the hash of the address that was typed, or of where it came
    from; never the text itself, since people type passwords into the wrong field.
    """

    __tablename__ = "sign_in_tries"
    __table_args__ = (
        Index("ix_sign_in_tries_subject", "subject", "tried_at"),
        Index("ix_sign_in_tries_tried_at", "tried_at"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    subject: Mapped[bytes] = mapped_column(LargeBinary)
    tried_at: Mapped[datetime] = mapped_column(server_default=func.now())
