"""Corrections of a licensee's own events: withdrawn or amended, looked at before, listed after."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from msgspec import Meta
from pydantic import BaseModel, Field

from core.database import licensee_eyes
from core.errors import Conflict, InvalidInput, NotFound
from core.invoicing.what_if.correction_preview import preview_corrections, preview_document
from core.period import Period
from core.usage.corrections.correct import actor_of_key, correct
from core.usage.corrections.correction import MAX_CORRECTIONS, Answer, Asked, Misread, Order, Status, read_corrections
from core.usage.corrections.queries import corrections
from core.usage.intake.report import MAX_NAME
from service.caller import RequestCaller
from service.limits import check_json, read_body
from service.pages import NEXT, After, Limit, next_mark, read_mark
from service.problems import MEDIA_TYPE
from service.session import RequestSession

router = APIRouter(tags=["corrections"])
Made = Annotated[datetime, Meta(tz=True)]
EXAMPLES = {
    "withdraw": {
        "summary": "An event that never happened",
        "value": {
            "correction_id": "ticket-4711/1",
            "event_id": "9a1f6c1e-8f5e-4a0e-9d0a-6d1f4d9d7c11",
            "kind": "withdraw",
            "reason": "a load test reported as usage",
            "reference": "ticket-4711",
        },
    },
    "amend": {
        "summary": "Two events that counted wrong",
        "value": {
            "corrections": [
                {
                    "correction_id": "ticket-4712/1",
                    "event_id": "5b0c7a52-3f0a-4bb9-8b43-0d2f6f8e2a90",
                    "kind": "amend",
                    "image_count": 180,
                    "reason": "the batch of 184 had four that failed",
                },
                {
                    "correction_id": "ticket-4712/2",
                    "event_id": "1c2f9b55-6a0e-4c57-9a3a-94b1c2a1de21",
                    "kind": "amend",
                    "image_delta": 12,
                    "reason": "twelve images were left out",
                },
            ]
        },
    },
}


def _schema() -> dict[str, Any]:
    """One correction, or a list of them: taken from the type that decodes them, so it says what that takes."""
    _, found = msgspec.json.schema_components([Asked])
    one = found["Asked"] | {"title": "Correction", "description": "One correction of one event."}
    many = {
        "type": "object",
        "title": "Corrections",
        "description": "Several, each judged alone, in this order.",
        "required": ["corrections"],
        "additionalProperties": False,
        "properties": {
            "corrections": {"type": "array", "minItems": 1, "maxItems": MAX_CORRECTIONS, "items": one},
        },
    }
    return {"oneOf": [one, many]}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": _schema(), "examples": EXAMPLES}}}}
UNREADABLE = {
    400: _problem("The body is not JSON."),
    401: _problem("No live meter key."),
    413: _problem("The body is too large."),
    415: _problem("Not application/json, or compressed."),
    422: _problem("The body as a whole, or the one correction in it, is wrong; the message says what to change."),
}
ALONE = {
    404: _problem("`unknown_event`: the correction that was sent alone is of no event of the caller's."),
    409: _problem("`correction_id_reused`: the id was used for another correction, which stands."),
}


class MadeCorrection(BaseModel):
    """A correction as it was made. `number` is its place among the corrections of its event."""

    correction_id: str
    event_id: str
    number: int
    kind: str = Field(examples=["amend"])
    image_delta: int
    image_count_before: int
    image_count_after: int
    reason: str
    reference: str | None
    actor: str = Field(description="the meter key, or the person at the operator's, who made it")
    made_at: datetime


class CorrectionResult(BaseModel):
    """What became of one correction. A duplicate is answered with what was made of it when it first came."""

    correction_id: str | None
    event_id: str | None
    status: Status
    code: str | None = None
    message: str | None = None
    correction: MadeCorrection | None = None


class CorrectionResults(BaseModel):
    """One result for each correction, in the order they were sent."""

    results: list[CorrectionResult]


class CountChange(BaseModel):
    """By how much the count of a model changes on a day of the account's zone."""

    model: str
    day: str
    output: str
    role: str
    image_delta: int


class LineChange(BaseModel):
    """A line that differs: null where it is not there. `billed_on` are the issued invoices that billed it before."""

    kind: str
    subject: str
    service: str = Field(description="the period that the line is for")
    adjustment: bool = Field(description="whether it repairs a period that was billed before")
    description: str
    image_delta: int
    amount_before: str | None
    amount_after: str | None
    difference: str
    billed_on: list[str]


class InvoiceChange(BaseModel):
    """What the next close of `period` writes with the corrections, against what it would write without them."""

    agreement: str
    licensor: str
    period: str
    currency: str
    total_before: str
    total_after: str
    difference: str
    changes: list[LineChange]


class CorrectionEffect(BaseModel):
    """What would be answered, and what would change. `held` events are not counted yet, so nothing changes by them."""

    results: list[CorrectionResult]
    counts: list[CountChange]
    held: list[str]
    invoices: list[InvoiceChange]


class ListedCorrection(MadeCorrection):
    """A correction beside what its event said."""

    model: str
    output: str
    occurred_at: datetime


class CorrectionPage(BaseModel):
    """Corrections in the order in which they were made."""

    corrections: list[ListedCorrection]
    next: str | None = Field(default=None, description=NEXT)


async def _asked(request: Request, _caller: RequestCaller) -> tuple[list[Order | Misread], bool]:
    """The corrections in the body of an authenticated request, and whether it was one alone."""
    most = request.app.state.settings.max_body_bytes
    check_json(request.scope, most)  # type: ignore[arg-type]
    return read_corrections(await read_body(request.receive, most))


RequestedCorrections = Annotated[tuple[list[Order | Misread], bool], Depends(_asked)]


@router.post(
    "/v1/corrections", summary="Withdraw or amend events", openapi_extra=BODY, responses={**UNREADABLE, **ALONE}
)
def make_corrections(session: RequestSession, caller: RequestCaller, asked: RequestedCorrections) -> CorrectionResults:
    """Corrects what was reported: takes an event back whole, or says how many images it really was, more or fewer.

    The event itself stays as it was sent; the correction is kept beside it for good, with the reason, and counts from
    the next roll-up, seconds later. Issued invoices stand: what a correction changes of a month that was billed is an
    adjustment on the next invoice, which names that month. Look first: `POST /v1/corrections/preview`.

    The sender makes `correction_id` and keeps it: the same again is a `duplicate` and answered as the first time, other
    content under the same id a `conflict`. Several are sent as `{"corrections": [...]}`, at most 1,000, each judged
    alone and in order; a correction sent alone that is not taken is answered with a problem instead of a result.
    """
    orders, alone = asked
    answers = correct(session, caller.licensee_id, orders, actor_of_key(session, caller.key_id))
    if alone:
        _refuse(answers[0])
    session.commit()
    return CorrectionResults(results=[_result(answer) for answer in answers])


@router.post(
    "/v1/corrections/preview",
    summary="What corrections would change",
    openapi_extra=BODY,
    responses={**UNREADABLE, **ALONE},
)
def preview(session: RequestSession, caller: RequestCaller, asked: RequestedCorrections) -> CorrectionEffect:
    """What these corrections would be answered, and change: of the counts, and on the invoices of the months that are
    closed next, line by line, as the close will write them. Nothing is written.

    It goes by what is rolled up, so it is as new as `GET /v1/usage`.
    """
    orders, alone = asked
    found = preview_corrections(session, caller.licensee_id, orders)
    if alone:
        _refuse(found.answers[0])
    return CorrectionEffect(
        results=[_result(answer, made=False) for answer in found.answers], **preview_document(found)
    )


@router.get("/v1/corrections", summary="Corrections that were made")
def list_corrections(
    session: RequestSession,
    caller: RequestCaller,
    *,
    event_id: Annotated[str | None, Query(max_length=MAX_NAME, description="only of this event")] = None,
    period: Annotated[
        str | None, Query(max_length=10, description="only of usage in this month of the account's zone, as 2026-10")
    ] = None,
    limit: Limit = 100,
    after: After = None,
) -> CorrectionPage:
    """Every correction of the caller's events, whoever made it."""
    if event_id is not None and "\x00" in event_id:
        raise InvalidInput("invalid_event_id", "event_id is no id that an event can have")
    month = Period.month(period) if period is not None else None
    mark = read_mark(after, tuple[Made, str])
    with licensee_eyes(session, caller.licensee_id):
        rows = corrections(session, event_id=event_id, period=month, after=mark, limit=limit)
    return CorrectionPage(
        corrections=[
            ListedCorrection(**_made(row.correction), model=row.model, output=row.output, occurred_at=row.occurred_at)
            for row in rows
        ],
        next=next_mark(rows, limit, lambda row: (row.correction.made_at, row.correction.correction_id)),
    )


def _refuse(answer: Answer) -> None:
    """A correction that was sent alone and not taken fails the request; nothing was written."""
    if answer.code is None or answer.message is None:
        return
    kind = {"correction_id_reused": Conflict, "unknown_event": NotFound}.get(answer.code, InvalidInput)
    raise kind(answer.code, answer.message, correction_id=answer.correction_id)


def _result(answer: Answer, *, made: bool = True) -> CorrectionResult:
    """An answer as it is sent. What is only looked at has no author and no time yet."""
    found = answer.correction
    shown = MadeCorrection(**_made(found)) if found and (made or answer.status == "duplicate") else None
    return CorrectionResult(
        correction_id=answer.correction_id,
        event_id=answer.event_id,
        status=answer.status,
        code=answer.code,
        message=answer.message,
        correction=shown,
    )


def _made(correction: Any) -> dict[str, Any]:
    return {name: getattr(correction, name) for name in MadeCorrection.model_fields}
