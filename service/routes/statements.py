"""Statements, as the licensee whose images they state sees them: to keep, to check, to certify or to dispute."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from core.database import licensee_eyes
from core.errors import NotFound
from core.money import decimal_of
from core.period import Period
from core.registry.tables import Licensee
from core.statements.attest import MAX_IMAGES, certify, dispute
from core.statements.queries import (
    daily_totals,
    disputes_of,
    envelope_of,
    proof_of,
    statement_numbered,
    statements,
)
from core.statements.reconciliation import read_totals, reconcile
from core.statements.tables import Statement
from core.usage.corrections.correct import actor_of_key
from service.caller import Caller, RequestCaller
from service.session import RequestSession

router = APIRouter(tags=["statements"])
Licensor = Annotated[str, Path(max_length=255, description="the licensor, by its slug")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="the statement's number in the account's chain")]


class StatementSummary(BaseModel):
    """A statement in a list. `standing`: open, certified, disputed, settled or replaced."""

    licensor: str
    licensee: str
    number: int
    period: str = Field(examples=["2026-10"])
    revision: int
    image_count: int
    event_count: int
    made_at: str
    hash: str
    standing: str
    open_disputes: int


class StatementList(BaseModel):
    """The newest statements first."""

    statements: list[StatementSummary]


class Note(BaseModel):
    """What the licensee adds to its word, if anything."""

    model_config = ConfigDict(extra="forbid", strict=True)
    note: str | None = Field(default=None, max_length=1000)


class Certified(BaseModel):
    """The licensee's word that a statement is right."""

    number: int
    actor: str
    certified_at: str


class Claim(BaseModel):
    """A line that the licensee says is wrong: the images of a model on a day, of one plan or of all."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field(min_length=1, max_length=255)
    day: date
    plan: str | None = Field(default=None, max_length=255)
    image_count: int = Field(strict=True, ge=0, le=MAX_IMAGES, description="what it should be")
    reason: str = Field(min_length=1, max_length=1000)


class Disputed(BaseModel):
    """A dispute and its outcome: open, agreed or rejected."""

    dispute_id: int
    model: str
    day: date
    plan: str | None
    stated: int
    claimed: int
    reason: str
    outcome: str
    agreed: int | None = None


class Disputes(BaseModel):
    """What was disputed of a statement."""

    disputes: list[Disputed]


class Totals(BaseModel):
    """The caller's own daily totals as CSV with the columns model, day and image_count."""

    model_config = ConfigDict(extra="forbid", strict=True)
    licensor: str = Field(max_length=255)
    period: str = Field(max_length=10, examples=["2026-10"])
    totals: str = Field(max_length=1024 * 1024, examples=["model,day,image_count\nsd-1,2026-10-03,1200\n"])
    threshold_percent: str = Field(default="5", max_length=20)


@router.get("/v1/statements", summary="The caller's statements")
def list_statements(
    session: RequestSession,
    caller: RequestCaller,
    *,
    licensor: Annotated[str | None, Query(max_length=255)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> StatementList:
    with licensee_eyes(session, caller.licensee_id):
        rows = statements(session, licensor=licensor, limit=limit)
    return StatementList(statements=[StatementSummary(**asdict(row)) for row in rows])


@router.get("/v1/statements/{licensor}/{number}", summary="One statement with its signature")
def get_statement(session: RequestSession, caller: RequestCaller, licensor: Licensor, number: Number) -> dict[str, Any]:
    """The file that `perimage verify-statement` checks with the public key alone: what was counted, by model, day and
    plan; the late and the corrected part; the reporting calendar; and the Merkle root over the events.
    """
    with licensee_eyes(session, caller.licensee_id):
        return envelope_of(_statement(session, caller, licensor, number))


@router.get("/v1/statements/{licensor}/{number}/proof", summary="That an event is in a statement")
def get_proof(
    session: RequestSession,
    caller: RequestCaller,
    licensor: Licensor,
    number: Number,
    event_id: Annotated[str, Query(min_length=1, max_length=255)],
) -> dict[str, Any]:
    """The event as it was counted, and the path from it to the statement's root."""
    with licensee_eyes(session, caller.licensee_id):
        return proof_of(session, _statement(session, caller, licensor, number), event_id)


@router.post("/v1/statements/{licensor}/{number}/certification", summary="Say that a statement is right")
def post_certification(
    session: RequestSession, caller: RequestCaller, licensor: Licensor, number: Number, said: Note
) -> Certified:
    """Once said, it stays said; saying it again answers with the first word. Disputes must be settled before."""
    found = _statement(session, caller, licensor, number)
    made = certify(session, found, actor_of_key(session, caller.key_id), said.note)
    session.commit()
    return Certified(number=number, actor=made.actor, certified_at=made.certified_at.isoformat())


@router.post("/v1/statements/{licensor}/{number}/disputes", summary="Say that a line is wrong", status_code=201)
def post_dispute(
    session: RequestSession, caller: RequestCaller, licensor: Licensor, number: Number, claim: Claim
) -> Disputed:
    """Both sides then agree on a number of images, which becomes corrections and a credit or debit, or reject it."""
    found = _statement(session, caller, licensor, number)
    made = dispute(
        session,
        found,
        model=claim.model,
        day=claim.day,
        plan=claim.plan,
        claimed=claim.image_count,
        reason=claim.reason,
        actor=actor_of_key(session, caller.key_id),
    )
    session.commit()
    return _shown(made, None)


@router.get("/v1/statements/{licensor}/{number}/disputes", summary="What was disputed of a statement")
def get_disputes(session: RequestSession, caller: RequestCaller, licensor: Licensor, number: Number) -> Disputes:
    with licensee_eyes(session, caller.licensee_id):
        rows = disputes_of(session, _statement(session, caller, licensor, number))
        return Disputes(disputes=[_shown(found, settlement) for found, settlement in rows])


@router.post("/v1/reconciliations", summary="Compare own daily totals with what was counted")
def post_reconciliation(session: RequestSession, caller: RequestCaller, sent: Totals) -> dict[str, Any]:
    """Every day and model that differs, the sums, and whether the whole differs by more than the threshold.

    Nothing is stored. Correct or report what was missed; dispute what was counted wrongly.
    """
    month, allowed = Period.month(sent.period), decimal_of(sent.threshold_percent, "threshold_percent")
    theirs = read_totals(sent.totals, month)
    with licensee_eyes(session, caller.licensee_id):
        ours = daily_totals(session, sent.licensor, _slug(session, caller), month)
        return reconcile(theirs, ours, allowed / 100).document()


def _statement(session: Session, caller: Caller, licensor: str, number: int) -> Statement:
    return statement_numbered(session, licensor, _slug(session, caller), number)


def _slug(session: Session, caller: Caller) -> str:
    found = session.get(Licensee, caller.licensee_id)
    if found is None:
        raise NotFound("unknown_licensee", "this key's licensee is not known")
    return found.slug


def _shown(found: Any, settlement: Any) -> Disputed:
    return Disputed(
        dispute_id=found.dispute_id,
        model=found.model,
        day=found.day,
        plan=found.plan,
        stated=found.stated,
        claimed=found.claimed,
        reason=found.reason,
        outcome=settlement.outcome if settlement else "open",
        agreed=settlement.agreed if settlement else None,
    )
