"""Billing runs: tried first, asked for, followed while the workers do them, stopped and resumed."""

from dataclasses import dataclass
from typing import Any

from fastapi import Request
from sqlalchemy import case, select
from sqlalchemy.orm import Session, defer
from starlette.responses import Response

from core.agreements.tables import Agreement
from core.errors import Conflict, NotFound
from core.invoicing.runs.control import resume, runs, stop
from core.invoicing.runs.previews import Previewed, preview_run
from core.invoicing.runs.run import pieces_to_work, request_run
from core.invoicing.tables import BillingRun, BillingRunItem, Invoice
from core.money import Money
from core.period import Period
from core.registry.tables import Account, Licensee
from service.dashboard import written
from service.dashboard.acting import act
from service.dashboard.counting import count_what_came
from service.dashboard.form import Filled
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.pages.invoices.one import changed
from service.dashboard.pages.month_end.router import month_of, router
from service.dashboard.rendering import after, page
from service.dashboard.signed_in import Clerk, FinanceEyes, FinancePerson, Viewer
from service.hints import hint_run
from service.routes.finance.own import own_run

TRIED = 5  # agreements of one part of a dry run, the next is asked for by the page: each is rated in full
LARGE = 50  # percent: a difference that is pointed out
_MOST = 2**63 - 1
STATE = case(
    (BillingRunItem.state == "failed", "failed"),
    (BillingRunItem.error.startswith("held: "), "held"),
    ((BillingRunItem.state == "closed") & BillingRunItem.error.is_not(None), "needs approval"),
    ((BillingRunItem.state == "closed") & BillingRunItem.finished_at.is_not(None), "draft made"),
    (BillingRunItem.finished_at.is_not(None), "done"),
    (BillingRunItem.state == "issued", "documents being made"),
    (BillingRunItem.state == "waiting", "waiting"),
    else_="closing",
)
STATES = ("waiting", "closing", "draft made", "held", "needs approval", "documents being made", "done", "failed")


def _said(row: Any) -> str:
    if row.state == "held":
        return "see the draft for why, and release it"
    return row.error or ""


ITEMS = Listing(
    columns=(
        Column("licensee", "Licensee", lambda row: row.name, sort=Licensee.name,
               href=lambda row: f"/licensees/{row.slug}", note=lambda row: row.agreement),
        Column("state", "State", lambda row: row.state, kind="badge", sort=STATE, note=_said),
        Column("invoice", "Invoice", lambda row: row.number or (f"draft-{row.invoice_id}" if row.invoice_id else None),
               href=lambda row: f"/invoices/{row.number or f'draft-{row.invoice_id}'}" if row.invoice_id else None),
        Column("total", "Total", kind="money", sort=Invoice.total_minor,
               value=lambda row: (row.total_minor, row.currency) if row.invoice_id else None),
    ),
    search=(Licensee.name, Agreement.slug, Invoice.number),
    filters=(Filter("state", "State", tuple((each, each.capitalize()) for each in STATES),
                    where=lambda state: state == STATE),),
    sort="licensee",
    file="run",
    label="Agreements of this run",
)  # fmt: skip


@dataclass(frozen=True)
class Tried:
    """An agreement as a close would leave it, beside the month before."""

    found: Previewed
    last: Money | None
    said: str
    large: bool


@router.get("/runs/{run_id}")
def one_run(request: Request, person: Viewer, eyes: FinanceEyes, run_id: int) -> Response:
    """A run and how far it is; the page asks for itself again while it goes on."""
    _of(eyes, run_id)
    [progress] = runs(eyes, run_id=run_id)
    asked = (
        select(
            BillingRunItem.error.label("error"), STATE.label("state"), Agreement.slug.label("agreement"),
            Licensee.name.label("name"), Licensee.slug.label("slug"), Invoice.id.label("invoice_id"),
            Invoice.number.label("number"), Invoice.total_minor.label("total_minor"),
            Invoice.currency.label("currency"),
        )
        .join(Agreement, Agreement.id == BillingRunItem.agreement_id)
        .join(Account, Account.id == Agreement.account_id)
        .join(Licensee, Licensee.id == Account.licensee_id)
        .outerjoin(Invoice, Invoice.id == BillingRunItem.invoice_id)
        .where(BillingRunItem.run_id == run_id)
    )  # fmt: skip
    listed = ITEMS.read(request, eyes, asked)
    if listed.wants_csv:
        return listed.csv()
    month = Period(progress.run.period_start, progress.run.period_end)
    return page(
        request, "month_end/run.html", title=f"Run {run_id}: {written.month(month)}", month=month, progress=progress,
        listed=listed, queue=bool(request.app.state.settings.redis_url),
    )  # fmt: skip


@router.get("/{period}/dry-run")
def dry_run(request: Request, person: Clerk, eyes: FinanceEyes, period: str) -> Response:
    """What closing would come to, agreement by agreement. Nothing of it remains."""
    month = month_of(period)
    said = request.query_params.get("after", "0")
    mark = int(said) if said.isascii() and said.isdigit() and len(said) < 19 else 0
    if not mark:
        count_what_came(request)
    found = preview_run(eyes, month, person.licensor_id, after=mark, limit=TRIED + 1)
    rows = _beside(eyes, month, found[:TRIED])
    return page(
        request, "month_end/dry_run.html", title=f"Dry run, {written.month(month)}", month=month, rows=rows,
        next=found[TRIED - 1].agreement_id if len(found) > TRIED else None, first=not mark,
    )  # fmt: skip


@router.post("/runs")
def start_run(request: Request, person: Clerk, eyes: FinanceEyes, form: Filled) -> Response:
    """Asks for a run that closes the month and issues nothing: people look first."""
    made: list[int] = []
    with form:
        month = form.month("period")
        form.demand()
        if month is not None:
            made.append(act(request, lambda session: _asked(session, person, month)))
    if form.wrong:
        sentence = form.errors.get("period") or next(iter(form.errors.values()))
        return after(request, "/month-end", f"{sentence}.".replace("..", "."), tone="bad")
    _hint(request, made[0])
    return after(request, f"/month-end/runs/{made[0]}", "The run is on its way.")


@router.post("/runs/{run_id}/stop")
def stop_run(request: Request, person: Clerk, eyes: FinanceEyes, run_id: int) -> Response:
    """Nothing more of it is begun; what was closed stays closed."""
    _of(eyes, run_id)
    act(request, lambda session: stop(session, own_run(session, person, run_id).id, person.actor).id)  # type: ignore[arg-type]
    return after(request, f"/month-end/runs/{run_id}", "Stopped: nothing more of it is begun.", tone="warn")


@router.post("/runs/{run_id}/resume")
def resume_run(request: Request, person: Clerk, eyes: FinanceEyes, run_id: int) -> Response:
    """What is left of it is handed out again."""
    _of(eyes, run_id)
    act(request, lambda session: resume(session, own_run(session, person, run_id).id, person.actor).id)  # type: ignore[arg-type]
    _hint(request, run_id)
    return after(request, f"/month-end/runs/{run_id}", "Resumed.")


def _of(eyes: Session, run_id: int) -> BillingRun:
    found = eyes.get(BillingRun, run_id) if 0 < run_id <= _MOST else None
    if found is None:
        raise NotFound("run_not_found", f"there is no run {run_id}")
    return found


def _asked(session: Session, person: FinancePerson, month: Period) -> int:
    run = request_run(session, month, issues=False, licensor_id=person.licensor_id, by=person.actor)
    session.flush()
    if not session.scalar(select(BillingRunItem.run_id).where(BillingRunItem.run_id == run.id).limit(1)):
        raise Conflict("nothing_to_close", f"no signed agreement began before the end of {month.name}")
    return run.id


def _hint(request: Request, run_id: int) -> None:
    """Tells the workers; a hint that is lost costs a little time."""
    if request.app.state.settings.redis_url:
        hint_run(run_id, act(request, lambda session: len(pieces_to_work(session, run_id))))


def _beside(eyes: Session, month: Period, found: list[Previewed]) -> list[Tried]:
    before = month.months_before()
    asked = (
        select(Invoice)
        .where(
            Invoice.agreement_id.in_([each.agreement_id for each in found]),
            Invoice.period_start == before.start,
            Invoice.corrects_invoice_id.is_(None),
            Invoice.status != "void",
        )
        .options(defer(Invoice.snapshot), defer(Invoice.closed_with))
    )
    last = {each.agreement_id: Money(each.currency, each.total_minor) for each in eyes.scalars(asked)}
    rows = []
    for each in found:
        was = last.get(each.agreement_id)
        said = changed(each.after.minor, was.minor, before)[0] if was else f"no invoice for {written.month(before)}"
        large = was is not None and abs(each.after.minor - was.minor) * 100 > LARGE * abs(was.minor)
        rows.append(Tried(each, was, said, large))
    return rows
