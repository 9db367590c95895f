"""Statements, as the licensee whose images they state sees them: to keep, to check, to certify or to dispute."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from core.database import licensee_eyes
from core.statements.attest import MAX_IMAGES, certify, dispute
from core.statements.queries import envelope_of, proof_of, statement_numbered, statements
from core.statements.tables import Statement
from core.usage.corrections.correct import actor_of_key
from service.caller import Caller, RequestCaller
from service.routes.statement_shapes import (
    Number,
    OwnTotals,
    StatementDispute,
    StatementDisputes,
    StatementFile,
    StatementList,
    StatementProof,
    TotalsCompared,
    compared,
)
from service.session import RequestSession

router = APIRouter(tags=["statements"])
Licensor = Annotated[str, Path(max_length=255, description="the licensor, by its slug")]


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


class Totals(OwnTotals):
    """With which licensor, the month, and the caller's own daily totals as CSV or as rows."""

    licensor: str = Field(max_length=255)


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
    return StatementList.of(rows)


@router.get("/v1/statements/{licensor}/{number}", summary="One statement with its signature")
def get_statement(session: RequestSession, caller: RequestCaller, licensor: Licensor, number: Number) -> StatementFile:
    """The file that `perimage verify-statement` checks with the public key alone: what was counted, by model, day and
    plan; the late and the corrected part; the reporting calendar; and the Merkle root over the events.
    """
    with licensee_eyes(session, caller.licensee_id):
        return StatementFile.model_validate(envelope_of(_statement(session, caller, licensor, number)))


@router.get("/v1/statements/{licensor}/{number}/proof", summary="That an event is in a statement")
def get_proof(
    session: RequestSession,
    caller: RequestCaller,
    licensor: Licensor,
    number: Number,
    event_id: Annotated[str, Query(min_length=1, max_length=255)],
) -> StatementProof:
    """The event as it was counted, and the path from it to the statement's root."""
    with licensee_eyes(session, caller.licensee_id):
        return StatementProof.model_validate(proof_of(session, _statement(session, caller, licensor, number), event_id))


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
) -> StatementDispute:
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
    return StatementDispute.of(made, None)


@router.get("/v1/statements/{licensor}/{number}/disputes", summary="What was disputed of a statement")
def get_disputes(
    session: RequestSession, caller: RequestCaller, licensor: Licensor, number: Number
) -> StatementDisputes:
    """With how each ended, and the licensor's answer."""
    with licensee_eyes(session, caller.licensee_id):
        return StatementDisputes.of(session, _statement(session, caller, licensor, number))


@router.post("/v1/reconciliations", summary="Compare own daily totals with what was counted")
def post_reconciliation(session: RequestSession, caller: RequestCaller, sent: Totals) -> TotalsCompared:
    """Every day and model that differs, the sums, and whether the whole differs by more than the threshold.

    Nothing is stored. Correct or report what was missed; dispute what was counted wrongly.
    """
    with licensee_eyes(session, caller.licensee_id):
        return compared(session, sent.licensor, caller.licensee, sent)


def _statement(session: Session, caller: Caller, licensor: str, number: int) -> Statement:
    return statement_numbered(session, licensor, caller.licensee, number)
