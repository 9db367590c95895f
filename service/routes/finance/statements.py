"""Statements of what was counted, as the licensor makes and settles them."""

from typing import Annotated

from fastapi import Query, Request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.audit.record import record
from core.errors import NotFound, Unavailable
from core.period import Period
from core.statements.attest import MAX_IMAGES, attest, reject
from core.statements.queries import envelope_of, proof_of, statement_numbered, statements
from core.statements.settle import agree
from core.statements.tables import Statement
from service.finance_caller import Eyes, Reader
from service.routes.finance.door import ACTS, READS, READS_ONE, Acting, acting, finance_router
from service.routes.finance.invoice_acts import count_what_came
from service.routes.finance.own import own_dispute, own_licensee
from service.routes.finance.shapes import Body, Id, Month, Slug, SlugPath, SlugQuery, Why
from service.routes.statement_shapes import (
    Number,
    OwnTotals,
    StatementDisputes,
    StatementFile,
    StatementList,
    StatementProof,
    TotalsCompared,
    compared,
)

router = finance_router("statements")
Statements = Annotated[Acting, acting("statements")]


class LicenseesTotals(OwnTotals):
    """Whose totals, the month, and the totals as CSV or as rows."""

    licensee: Slug


class MakeStatement(Body):
    """For whom, and the month; it must be over."""

    licensee: Slug
    period: Month


class StatementMade(BaseModel):
    """The statement that stands for the month. `new`: it was made now; otherwise nothing had changed."""

    licensee: str
    number: int
    period: str
    hash: str
    new: bool


class SettleDispute(Why):
    """The images that both sides agreed on; left out, the dispute is rejected and the statement stands."""

    agreed: int | None = Field(default=None, strict=True, ge=0, le=MAX_IMAGES)


class DisputeSettled(BaseModel):
    """How it ended, and by how many images the events behind the line were corrected."""

    dispute_id: int
    outcome: str
    agreed: int | None
    corrected_by: int


@router.get("/statements", summary="Statements", responses=READS)
def list_statements(
    session: Eyes, caller: Reader, *, licensee: SlugQuery = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> StatementList:
    return StatementList.of(statements(session, licensor=caller.licensor, licensee=licensee, limit=limit))


@router.get("/statements/{licensee}/{number}", summary="One statement with its signature", responses=READS_ONE)
def get_statement(session: Eyes, caller: Reader, licensee: SlugPath, number: Number) -> StatementFile:
    return StatementFile.model_validate(envelope_of(_statement(session, caller.licensor, licensee, number)))


@router.get("/statements/{licensee}/{number}/disputes", summary="What was disputed of it", responses=READS_ONE)
def list_statement_disputes(session: Eyes, caller: Reader, licensee: SlugPath, number: Number) -> StatementDisputes:
    return StatementDisputes.of(session, _statement(session, caller.licensor, licensee, number))


@router.get("/statements/{licensee}/{number}/proof", summary="That an event is in it", responses=READS_ONE)
def get_statement_proof(
    request: Request,
    caller: Reader,
    licensee: SlugPath,
    number: Number,
    event_id: Annotated[str, Query(min_length=1, max_length=255, examples=["9a1f6c1e-8f5e-4a0e-9d0a-6d1f4d9d7c11"])],
) -> StatementProof:
    """The event as it was counted, and the path from it to the statement's root. Single events are the licensee's own:
    only one that a statement to this licensor counts is shown.
    """
    with Session(request.app.state.finance_engine) as session:
        found = _statement(session, caller.licensor, licensee, number)
        return StatementProof.model_validate(proof_of(session, found, event_id))


@router.post(
    "/reconciliations",
    summary="Compare a licensee's own daily totals with what was counted",
    response_model=TotalsCompared,
    responses=ACTS,
)
def reconcile_totals(acts: Statements, said: LicenseesTotals) -> Response:
    """Every day and model that differs, the sums, and whether the whole differs by more than the threshold. Nothing is
    stored but the answer, under its key.
    """

    def act(session: Session) -> TotalsCompared:
        own_licensee(session, acts.caller, said.licensee)
        return compared(session, acts.caller.licensor, said.licensee, said)

    return acts.once(act)


@router.post("/statements", summary="Make a month's statement", response_model=StatementMade, responses=ACTS)
def make_statement(request: Request, acts: Statements, said: MakeStatement) -> Response:
    """Counted again from the raw events, signed, chained to the one before. A month that has not changed keeps its
    statement. Takes an installation with a signing key.
    """
    caller, month = acts.caller, Period.month(said.period)
    caller.actor.demand("clerk", "make a statement")
    signer = request.app.state.signing.signer
    if signer is None:
        raise Unavailable("no_signing_key", "statements are signed: this installation has no signing key")
    count_what_came(acts, lambda session: own_licensee(session, caller, said.licensee))

    def act(session: Session) -> StatementMade:
        own_licensee(session, caller, said.licensee)
        made, new = attest(session, caller.licensor, said.licensee, month, signer)
        if new:
            detail = {"period": month.name, "hash": made.hash}
            subject = f"statement {said.licensee} {made.number}"
            record(session, caller.licensor_id, caller.actor, "statement.made", subject, detail)
        return StatementMade(licensee=said.licensee, number=made.number, period=said.period, hash=made.hash, new=new)

    return acts.once(act, snapshot=True)


@router.post(
    "/disputes/{licensee}/{dispute_id}/settle",
    summary="Settle a dispute",
    response_model=DisputeSettled,
    responses=ACTS,
)
def settle_statement_dispute(acts: Statements, licensee: SlugPath, dispute_id: Id, said: SettleDispute) -> Response:
    """Agreed images become corrections of the events behind the line, and an adjustment on the next invoice."""
    caller = acts.caller
    caller.actor.demand("approver", "settle a dispute")

    def act(session: Session) -> DisputeSettled:
        found, delta = own_dispute(session, caller, licensee, dispute_id), 0
        if said.agreed is None:
            made = reject(session, found, reason=said.reason, actor=caller.actor.name)
        else:
            made, delta = agree(session, found, said.agreed, reason=said.reason, actor=caller.actor.name)
        detail = {"outcome": made.outcome, "agreed": made.agreed, "corrected_by": delta, "reason": made.reason}
        subject = f"dispute {licensee} {dispute_id}"
        record(session, caller.licensor_id, caller.actor, "dispute.settled", subject, detail)
        return DisputeSettled(dispute_id=dispute_id, outcome=made.outcome, agreed=made.agreed, corrected_by=delta)

    return acts.once(act)


def _statement(session: Session, licensor: str, licensee: str, number: int) -> Statement:
    try:
        return statement_numbered(session, licensor, licensee, number)
    except NotFound:
        raise NotFound("statement_not_found", f"there is no statement {number} of {licensee}") from None
