"""Billing runs: a month closed for every agreement of the licensor, and issued if asked; or only looked at."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.keys import FinanceCaller
from core.actors import Actor
from core.agreements.tables import Agreement
from core.errors import Conflict, NotFound
from core.invoicing.life.stands import name_of
from core.invoicing.runs.control import resume, stop
from core.invoicing.runs.previews import Previewed, preview_run
from core.invoicing.runs.run import pieces_to_work, request_run
from core.invoicing.tables import BillingRun, BillingRunItem, Invoice
from core.money import Money
from core.period import Period
from core.registry.tables import Account, Licensee
from service.finance_caller import Eyes
from service.hints import hint_run
from service.pages import NEXT, After, Limit, next_mark, read_mark
from service.routes.finance.door import ACTS, READS, READS_ONE, Acting, acting, finance_router
from service.routes.finance.invoice_acts import count_what_came
from service.routes.finance.own import own_run
from service.routes.finance.shapes import Body, Id, Month, Nothing, written

router = finance_router("runs")
DRY_PAGE = 100  # agreements of one dry run: each is rated in full


class RunRequest(Body):
    """The month; whether to issue what nobody has to look at; whether only to show what would be. `after` is for the
    following pages of a dry run."""

    period: Month
    issue: bool = Field(default=False, strict=True)
    dry_run: bool = Field(default=False, strict=True)
    after: str | None = Field(default=None, max_length=1000, description="`next` of the dry run before")


class RunItem(BaseModel):
    """One agreement's share. In a dry run `total` is what a close would come to, and `before` what stands now."""

    agreement: str
    licensee: str
    state: str = Field(examples=["finished"], description="waiting, counted, closed, issued, finished, failed; preview")
    finished: bool
    error: str | None = Field(description="why it failed, was held, or waits for a person")
    invoice: str | None
    currency: str
    total: str | None
    before: str | None = None


class RunProgress(BaseModel):
    """How many of the run's agreements came how far."""

    agreements: int
    finished: int
    failed: int


class Run(BaseModel):
    """A run with its progress and a page of its agreements; a dry run has no id, for nothing of it remains."""

    id: int | None
    period: str = Field(examples=["2026-10"])
    state: Literal["running", "stopped", "done", "preview"]
    issue: bool
    dry_run: bool
    requested_at: datetime | None
    progress: RunProgress
    items: list[RunItem]
    next: str | None = Field(default=None, description=NEXT)


class RunSummary(BaseModel):
    """A run in a list."""

    id: int
    period: str
    state: Literal["running", "stopped", "done"]
    issue: bool
    requested_at: datetime
    progress: RunProgress


class RunPage(BaseModel):
    """Runs, the newest first."""

    runs: list[RunSummary]
    next: str | None = Field(default=None, description=NEXT)


@router.post("/runs", summary="Close a month for every agreement", response_model=Run, responses=ACTS, status_code=202)
def request_billing_run(request: Request, acts: Annotated[Acting, acting("close")], said: RunRequest) -> Response:
    """The workers do it, an agreement each; follow it under its id. One that fails holds up no other, one that breaks
    a safety bound is held, one above the limit waits for its approval. A dry run shows what would be, a page at a time,
    and is answered with 202 as well.
    """
    caller, month = acts.caller, Period.month(said.period)
    if said.dry_run:
        count_what_came(acts)
        return acts.once(lambda session: _dry(session, caller, month, said), status=202)
    caller.actor.demand("approver" if said.issue else "clerk", "run a month" + (" and issue it" if said.issue else ""))
    made: list[int] = []

    def act(session: Session) -> Run:
        run = request_run(session, month, issues=said.issue, licensor_id=caller.licensor_id, by=caller.actor)
        found = _run(session, caller.licensor_id, run, 0, 1000)
        if not found.progress.agreements:
            raise Conflict("nothing_to_close", f"no signed agreement began before the end of {month.name}")
        made[:] = [run.id]
        return found

    answer = acts.once(act, status=202)
    if made and request.app.state.settings.redis_url:
        _hint(acts, made[0])
    return answer


@router.get("/runs", summary="Billing runs", responses=READS)
def list_billing_runs(
    session: Eyes, *, limit: Annotated[int, Query(ge=1, le=200)] = 50, after: After = None
) -> RunPage:
    """The newest first. Of a run that was asked for at the command line, for several licensors, only one's own part."""
    mark = read_mark(after, tuple[int])
    asked = select(BillingRun).order_by(BillingRun.id.desc()).limit(limit)
    if mark:
        asked = asked.where(BillingRun.id < min(mark[0], 2**63 - 1))
    rows = session.scalars(asked).all()
    progress = {run.id: _progress(session, None, run.id) for run in rows}
    runs = [
        RunSummary(
            id=run.id,
            period=Period(run.period_start, run.period_end).name,
            state=_state(run, progress[run.id]),
            issue=run.issues,
            requested_at=run.requested_at,
            progress=progress[run.id],
        )
        for run in rows
    ]
    return RunPage(runs=runs, next=next_mark(rows, limit, lambda row: (row.id,)))


@router.get("/runs/{run_id}", summary="One billing run", responses=READS_ONE)
def get_billing_run(session: Eyes, run_id: Id, *, limit: Limit = 1000, after: After = None) -> Run:
    """Its progress, and its agreements with what became of each."""
    mark = read_mark(after, tuple[int])
    run = session.get(BillingRun, run_id)
    if run is None:
        raise NotFound("run_not_found", f"there is no run {run_id}")
    return _run(session, None, run, min(mark[0], 2**63 - 1) if mark else 0, limit)


@router.post("/runs/{run_id}/stop", summary="Stop a billing run", response_model=Run, responses=ACTS)
def stop_billing_run(acts: Annotated[Acting, acting("close")], run_id: Id, said: Nothing | None = None) -> Response:
    """Nothing more of it is begun; what was issued stays issued."""
    return _controlled(acts, run_id, stop)


@router.post("/runs/{run_id}/resume", summary="Resume a billing run", response_model=Run, responses=ACTS)
def resume_billing_run(acts: Annotated[Acting, acting("close")], run_id: Id, said: Nothing | None = None) -> Response:
    """What is left of a stopped run is handed out again."""
    return _controlled(acts, run_id, resume)


def _controlled(acts: Acting, run_id: int, do: Callable[[Session, int, Actor], BillingRun]) -> Response:
    def act(session: Session) -> Run:
        own_run(session, acts.caller, run_id)
        run = do(session, run_id, acts.caller.actor)
        session.flush()
        return _run(session, acts.caller.licensor_id, run, 0, 1000)

    return acts.once(act)


def _run(session: Session, licensor_id: int | None, run: BillingRun, after: int, limit: int) -> Run:
    """A run; `licensor_id` where the session sees more than one licensor's rows."""
    asked = (
        select(BillingRunItem, Agreement.slug, Licensee.slug, Account.currency, Invoice)
        .join(Agreement, Agreement.id == BillingRunItem.agreement_id)
        .join(Account, Account.id == Agreement.account_id)
        .join(Licensee, Licensee.id == Account.licensee_id)
        .outerjoin(Invoice, Invoice.id == BillingRunItem.invoice_id)
        .where(BillingRunItem.run_id == run.id, BillingRunItem.agreement_id > after)
        .order_by(BillingRunItem.agreement_id)
        .limit(limit)
    )
    if licensor_id is not None:
        asked = asked.where(Account.licensor_id == licensor_id)
    rows = session.execute(asked).all()
    items = [
        RunItem(
            agreement=agreement,
            licensee=licensee,
            state=item.state,
            finished=item.finished_at is not None,
            error=item.error,
            invoice=name_of(invoice) if invoice else None,
            currency=currency,
            total=written(Money(currency, invoice.total_minor)) if invoice else None,
        )
        for item, agreement, licensee, currency, invoice in rows
    ]
    session.refresh(run)
    progress = _progress(session, licensor_id, run.id)
    return Run(
        id=run.id,
        period=Period(run.period_start, run.period_end).name,
        state=_state(run, progress),
        issue=run.issues,
        dry_run=False,
        requested_at=run.requested_at,
        progress=progress,
        items=items,
        next=next_mark(rows, limit, lambda row: (row[0].agreement_id,)),
    )


def _state(run: BillingRun, progress: RunProgress) -> Literal["running", "stopped", "done"]:
    if progress.finished == progress.agreements:
        return "done"
    return "stopped" if run.state == "stopped" else "running"


def _progress(session: Session, licensor_id: int | None, run_id: int) -> RunProgress:
    asked = (
        select(
            func.count(),
            func.count(BillingRunItem.finished_at),
            func.count().filter(BillingRunItem.state == "failed"),
        )
        .select_from(BillingRunItem)
        .where(BillingRunItem.run_id == run_id)
    )
    if licensor_id is not None:
        asked = asked.join(Agreement, Agreement.id == BillingRunItem.agreement_id).join(
            Account, Account.id == Agreement.account_id
        )
        asked = asked.where(Account.licensor_id == licensor_id)
    agreements, finished, failed = session.execute(asked).one()
    return RunProgress(agreements=agreements, finished=finished, failed=failed)


def _dry(session: Session, caller: FinanceCaller, month: Period, said: RunRequest) -> Run:
    caller.actor.demand("clerk", "try a run")
    mark = read_mark(said.after, tuple[int])
    found = preview_run(session, month, caller.licensor_id, after=mark[0] if mark else 0, limit=DRY_PAGE)
    return Run(
        id=None,
        period=month.name,
        state="preview",
        issue=said.issue,
        dry_run=True,
        requested_at=None,
        progress=RunProgress(agreements=len(found), finished=0, failed=0),
        items=[_previewed(each) for each in found],
        next=next_mark(found, DRY_PAGE, lambda each: (each.agreement_id,)),
    )


def _previewed(each: Previewed) -> RunItem:
    return RunItem(
        agreement=each.agreement,
        licensee=each.licensee,
        state="preview",
        finished=False,
        error=None,
        invoice=each.stands,
        currency=each.after.currency,
        total=written(each.after),
        before=written(each.before),
    )


def _hint(acts: Acting, run_id: int) -> None:
    """Tells the workers; a hint that is lost costs a little time."""
    with Session(acts.engine) as session:
        pieces = pieces_to_work(session, run_id)
    hint_run(run_id, len(pieces))
