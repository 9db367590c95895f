"""A licensee's statements as its licensor sees them, and what became of what was disputed."""

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.audit.record import record
from core.canonical import canonical
from core.errors import InvalidInput, NotFound, Unavailable
from core.period import Period
from core.registry.tables import Licensee
from core.statements.attest import MAX_IMAGES, attest, reject
from core.statements.queries import disputes_of, document_of, envelope_of, statement_numbered, statements
from core.statements.settle import agree
from core.statements.tables import Dispute, Statement
from service.dashboard.acting import act
from service.dashboard.files import file_response
from service.dashboard.form import Filled, Form
from service.dashboard.listing import Column, Listing
from service.dashboard.pages.licensees.router import Whose, licensee_of, licensee_page, router
from service.dashboard.rendering import after
from service.dashboard.signed_in import Approver, Clerk, FinanceEyes, FinancePerson, Viewer

_MOST_NUMBER = 2**31 - 1
STATEMENTS = Listing(
    columns=(
        Column("number", "Statement", lambda row: row.number, kind="count", sort=True,
               href=lambda row: f"/licensees/{row.licensee}/statements/{row.number}"),
        Column("period", "Month", lambda row: row.period, kind="month", sort=True,
               note=lambda row: f"revision {row.revision}" if row.revision > 1 else ""),
        Column("images", "Images", lambda row: row.image_count, kind="count", sort=True),
        Column("standing", "Standing", lambda row: row.standing, kind="badge", sort=True),
        Column("disputes", "Open disputes", lambda row: row.open_disputes or None, kind="count", sort=True),
    ),
    sort="-number", file="statements", label="Statements", empty="No statement yet",
)  # fmt: skip


@router.get("/{licensee}/statements")
def licensee_statements(request: Request, person: Viewer, eyes: FinanceEyes, licensee: str) -> Response:
    return _listed(request, person, eyes, licensee_of(eyes, person, licensee), None)


@router.post("/{licensee}/statements")
def make_statement(request: Request, person: Clerk, eyes: FinanceEyes, licensee: str, form: Filled) -> Response:
    """The signed statement of a month; one that nothing changed for stays as it is."""
    whose = licensee_of(eyes, person, licensee)
    with form:
        month = form.month("period")
        form.demand()
        number, new = act(request, lambda session: _made(request, session, person, whose, month), snapshot=True)
    if form.wrong:
        return _listed(request, person, eyes, whose, form)
    said = "was made" if new else "stands: nothing has changed since"
    return after(request, f"/licensees/{whose.slug}/statements/{number}", f"Statement {number} {said}.")


@router.get("/{licensee}/statements/{number}")
def licensee_statement(request: Request, person: Viewer, eyes: FinanceEyes, licensee: str, number: int) -> Response:
    whose = licensee_of(eyes, person, licensee)
    return _shown(request, eyes, whose, _statement(eyes, person, whose, number), None)


@router.get("/{licensee}/statements/{number}/file")
def statement_file(request: Request, person: Viewer, eyes: FinanceEyes, licensee: str, number: int) -> Response:
    """The file that `perimage verify-statement` checks."""
    whose = licensee_of(eyes, person, licensee)
    found = _statement(eyes, person, whose, number)
    name = f"statement-{whose.slug}-{found.number}.json"
    return file_response(canonical(envelope_of(found)), "application/json", name)


@router.post("/{licensee}/disputes/{dispute_id}/settle")
def settle_dispute(  # noqa: PLR0917 - what the address names, and the form
    request: Request, person: Approver, eyes: FinanceEyes, licensee: str, dispute_id: int, form: Filled
) -> Response:
    """Rejects a dispute, or agrees on a number of images, which corrects the events behind the line."""
    whose = licensee_of(eyes, person, licensee)
    found = eyes.get(Dispute, (whose.id, dispute_id)) if 0 < dispute_id < 2**63 else None
    if found is None or found.licensor_id != person.licensor_id:
        raise NotFound("unknown_dispute", f"{whose.name} has no such dispute")
    with form:
        reason = form.text("reason", most=1000)
        agreed = (
            form.whole("agreed", most=MAX_IMAGES) if form.choice("outcome", ("agree", "reject")) == "agree" else None
        )
        form.demand()
        act(request, lambda session: _settle(session, person, (whose.id, dispute_id), agreed, reason))
    if form.wrong:
        return _shown(request, eyes, whose, _statement(eyes, person, whose, found.number), form)
    said = "The dispute is rejected." if agreed is None else "Agreed: the next invoice carries the difference."
    return after(request, f"/licensees/{whose.slug}/statements/{found.number}", said)


def _made(
    request: Request, session: Session, person: FinancePerson, whose: Whose, month: Period | None
) -> tuple[int, bool]:
    person.actor.demand("clerk", "make a statement")
    if month is None:
        raise InvalidInput("bad_month", "name a month, such as 2026-10")
    signer = request.app.state.signing.signer
    if signer is None:
        raise Unavailable("no_signing_key", "statements are signed: this installation has no signing key")
    made, new = attest(session, person.licensor, whose.slug, month, signer)
    if new:
        detail, subject = {"period": month.name, "hash": made.hash}, f"statement {whose.slug} {made.number}"
        record(session, person.licensor_id, person.actor, "statement.made", subject, detail)
    return made.number, new


def _settle(session: Session, person: FinancePerson, dispute: tuple[int, int], agreed: int | None, reason: str) -> None:
    person.actor.demand("approver", "settle a dispute")
    found, delta = session.get_one(Dispute, dispute), 0
    if agreed is None:
        made = reject(session, found, reason=reason, actor=person.actor.name)
    else:
        made, delta = agree(session, found, agreed, reason=reason, actor=person.actor.name)
    detail = {"outcome": made.outcome, "agreed": made.agreed, "corrected_by": delta, "reason": made.reason}
    subject = f"dispute {session.get_one(Licensee, dispute[0]).slug} {dispute[1]}"
    record(session, person.licensor_id, person.actor, "dispute.settled", subject, detail)


def _statement(eyes: Session, person: FinancePerson, whose: Whose, number: int) -> Statement:
    if not 0 < number <= _MOST_NUMBER:
        raise NotFound("statement_not_found", f"there is no such statement of {whose.name}")
    return statement_numbered(eyes, person.licensor, whose.slug, number)


def _listed(request: Request, person: FinancePerson, eyes: Session, whose: Whose, form: Form | None) -> Response:
    listed = STATEMENTS.of(request, statements(eyes, licensor=person.licensor, licensee=whose.slug))
    if listed.wants_csv:
        return listed.answer("licensees/statements.html")
    return licensee_page(
        request, "statements.html", whose, "Statements", status=form.status if form else 200, form=form, listed=listed
    )


def _shown(request: Request, eyes: Session, whose: Whose, found: Statement, form: Form | None) -> Response:
    document = document_of(found)
    return licensee_page(
        request, "statement.html", whose, "Statements", status=form.status if form else 200, form=form, found=found,
        document=document, month=Period(found.period_start, found.period_end), disputes=disputes_of(eyes, found),
    )  # fmt: skip
