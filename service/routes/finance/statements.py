"""Statements of what was counted, as the licensor makes and settles them."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.audit.record import record
from core.errors import NotFound, Unavailable
from core.period import Period
from core.statements.attest import MAX_IMAGES, attest, reject
from core.statements.queries import disputes_of, envelope_of, statement_numbered, statements
from core.statements.settle import agree
from core.statements.tables import Dispute, Settlement, Statement
from service.finance_caller import Eyes, Reader
from service.routes.finance.door import ACTS, READS, READS_ONE, Acting, acting, finance_router
from service.routes.finance.invoice_acts import count_what_came
from service.routes.finance.own import own_dispute, own_licensee
from service.routes.finance.shapes import Body, Id, Month, Slug, SlugPath, SlugQuery, Why

router = finance_router("statements")
Statements = Annotated[Acting, acting("statements")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="the statement's number in the account's chain")]


class FinanceStatement(BaseModel):
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


class FinanceStatementList(BaseModel):
    """The newest statements first."""

    statements: list[FinanceStatement]


class StatementContent(BaseModel):
    """What was signed: counts by model, day and plan, the reporting calendar, and the root over the events."""

    model_config = ConfigDict(extra="allow")
    licensor: str
    licensee: str
    number: int
    revision: int
    previous_hash: str | None
    made_at: str
    counts: list[Any]


class StatementSignature(BaseModel):
    """By which key it was signed."""

    algorithm: str
    key_id: str
    value: str


class StatementFile(BaseModel):
    """The file that `perimage verify-statement` checks with the public key alone."""

    statement: StatementContent
    signature: StatementSignature


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


class StatementDispute(BaseModel):
    """A line that the licensee says is wrong, and how that ended: open, agreed or rejected."""

    dispute_id: int
    model: str
    day: date
    plan: str | None
    stated: int
    claimed: int
    reason: str
    actor: str
    outcome: str
    agreed: int | None
    answer: str | None


class StatementDisputes(BaseModel):
    """What was disputed of a statement."""

    disputes: list[StatementDispute]


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
) -> FinanceStatementList:
    rows = statements(session, licensor=caller.licensor, licensee=licensee, limit=limit)
    return FinanceStatementList(statements=[FinanceStatement(**asdict(row)) for row in rows])


@router.get("/statements/{licensee}/{number}", summary="One statement with its signature", responses=READS_ONE)
def get_statement(session: Eyes, caller: Reader, licensee: SlugPath, number: Number) -> StatementFile:
    return StatementFile.model_validate(envelope_of(_statement(session, caller.licensor, licensee, number)))


@router.get("/statements/{licensee}/{number}/disputes", summary="What was disputed of it", responses=READS_ONE)
def list_statement_disputes(session: Eyes, caller: Reader, licensee: SlugPath, number: Number) -> StatementDisputes:
    found = disputes_of(session, _statement(session, caller.licensor, licensee, number))
    return StatementDisputes(disputes=[_shown(dispute, settlement) for dispute, settlement in found])


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


def _shown(found: Dispute, settlement: Settlement | None) -> StatementDispute:
    return StatementDispute(
        dispute_id=found.dispute_id,
        model=found.model,
        day=found.day,
        plan=found.plan,
        stated=found.stated,
        claimed=found.claimed,
        reason=found.reason,
        actor=found.actor,
        outcome=settlement.outcome if settlement else "open",
        agreed=settlement.agreed if settlement else None,
        answer=settlement.reason if settlement else None,
    )
