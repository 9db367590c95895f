"""What a licensee says of a statement: that it is right, or that a line of it is wrong."""

from fastapi import Request
from starlette.responses import Response

from core.errors import InvalidInput
from core.statements.attest import MAX_IMAGES, MAX_NOTE, certify, dispute
from service.dashboard.acting import act
from service.dashboard.form import Filled
from service.dashboard.portal.statements.one import NO_PLAN, shown
from service.dashboard.portal.statements.router import router, statement_of
from service.dashboard.rendering import after
from service.dashboard.signed_in import PortalEyes, PortalManager


@router.post("/{licensor}/{number}/certify")
def certify_statement(  # noqa: PLR0917 - what the page is about, and what was typed
    request: Request, person: PortalManager, eyes: PortalEyes, licensor: str, number: int, form: Filled
) -> Response:
    found = statement_of(eyes, person, licensor, number)
    with form:
        note = form.text("note", required=False, most=MAX_NOTE)
        form.demand()
        act(
            request,
            lambda session: certify(
                session, statement_of(session, person, licensor, number), person.actor.name, note or None
            ),
        )
    if form.wrong:
        return shown(request, person, eyes, found, licensor, form=form, opened="certify")
    return after(request, f"/portal/statements/{licensor}/{number}", f"Statement {number} is certified by you.")


@router.post("/{licensor}/{number}/dispute")
def dispute_line(  # noqa: PLR0917 - as above
    request: Request, person: PortalManager, eyes: PortalEyes, licensor: str, number: int, form: Filled
) -> Response:
    """Says that the images of a model on a day, of one plan or of all, are not those stated."""
    found = statement_of(eyes, person, licensor, number)
    with form:
        model, day = form.text("model", most=255), form.day("day")
        plan = form.text("plan", required=False, most=255)
        claimed = form.whole("images", most=MAX_IMAGES)
        reason = form.text("reason", most=MAX_NOTE)
        if day is not None and not found.period_start <= day < found.period_end and "day" not in form.errors:
            form.refuse("day", f"the statement is about {found.period_start} to the day before {found.period_end}")
        form.demand()
        if day is None or claimed is None:
            raise InvalidInput("bad_form", "say which day, and how many images it should be")
        chosen = None if plan in ("", "*") else ("" if plan == NO_PLAN else plan)
        act(
            request,
            lambda session: dispute(
                session, statement_of(session, person, licensor, number), model=model, day=day, plan=chosen,
                claimed=claimed, reason=reason, actor=person.actor.name,
            ),
        )  # fmt: skip
    if form.wrong:
        return shown(request, person, eyes, found, licensor, form=form, opened="dispute")
    said = f"{model} on {day} is disputed; the licensor answers, and what you agree on is on the next invoice."
    return after(request, f"/portal/statements/{licensor}/{number}#disputes", said)
