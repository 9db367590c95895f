"""Zero reports: a licensee's word that there were no images, so that silence can be told from zero.

The licensee makes and keeps the id. The same report again is the same fact; another one under its id is a conflict.
"""

import json
from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement, AgreementModel
from core.errors import Conflict, InvalidInput
from core.period import Period, day_of
from core.registry.queries import lineage
from core.registry.tables import Account, Model
from core.usage.intake.report import MAX_NAME, Name, is_clean
from core.usage.tables import ZeroReport

MAX_REASON = 1000
MOST_DAYS = 366
_FIELDS = "zero_report_id, from, to, model and reason"
_A_NAME = f"must be text of 1 to {MAX_NAME} characters, without control characters or white space around it"
_RULES = {
    "zero_report_id": f"zero_report_id {_A_NAME}",
    "from": "from must be the first day, as YYYY-MM-DD",
    "to": "to must be the day after the last, as YYYY-MM-DD",
    "model": f"model {_A_NAME}, or be left out, which means all models",
    "reason": f"reason must be text of 1 to {MAX_REASON} characters, without control characters, or be left out",
}
REUSED = "this zero_report_id was used before for another zero report, which stands: give this one an id of its own"


class ZeroBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A zero report as it is sent: days `[from, to)`, of one model or of all."""

    zero_report_id: Name
    starts_on: date = msgspec.field(name="from")
    ends_on: date = msgspec.field(name="to")
    model: Name | None = None
    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON)] | None = None


_BODY = msgspec.json.Decoder(ZeroBody)


def read_zero_report(body: bytes) -> ZeroBody:
    """The zero report in a request's body. Raises InvalidInput with what to change."""
    try:
        found = _BODY.decode(body)
        json.loads(body, object_pairs_hook=_each_once)
    except msgspec.ValidationError as error:
        raise _explained(error) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("invalid_json", f"the body is not JSON in UTF-8: {error}") from None
    for name, text in (("zero_report_id", found.zero_report_id), ("model", found.model), ("reason", found.reason)):
        if text is not None and not is_clean(text):
            raise InvalidInput(f"invalid_{name}", _RULES[name])
    if found.starts_on >= found.ends_on:
        raise InvalidInput("empty_period", "to is the day after the last, so it must be later than from")
    if (found.ends_on - found.starts_on).days > MOST_DAYS:
        raise InvalidInput("period_too_long", f"a zero report covers at most {MOST_DAYS} days: send several")
    return found


def report_zero(session: Session, licensee_id: int, key_id: int, said: ZeroBody) -> tuple[ZeroReport, bool]:
    """Keeps a zero report, and tells whether it was kept before.

    Refuses days that have not begun in any zone of the licensee's accounts, and a model that is not registered or that
    no agreement of the licensee covers on any of the days: such a report would say nothing. Usage that was reported
    for these days is no reason to refuse: it stands, and the calendar shows it.
    """
    standing = _standing(session, licensee_id, said.zero_report_id)
    if standing is None:
        _refuse_future(session, licensee_id, said)
        row = {
            "licensee_id": licensee_id,
            "zero_report_id": said.zero_report_id,
            "starts_on": said.starts_on,
            "ends_on": said.ends_on,
            "model": _covered_model(session, licensee_id, said),
            "reason": said.reason,
            "key_id": key_id,
        }
        kept = session.scalar(insert(ZeroReport).values(row).on_conflict_do_nothing().returning(ZeroReport))
        if kept is not None:
            return kept, False
        standing = _standing(session, licensee_id, said.zero_report_id)
        assert standing is not None  # noqa: S101 - rows are never deleted, and this one was in the way
    model = None if said.model is None else _slug(session, said.model)
    before = standing.starts_on, standing.ends_on, standing.model, standing.reason
    if before != (said.starts_on, said.ends_on, model, said.reason):
        raise Conflict("zero_report_id_reused", REUSED)
    return standing, True


def zero_reports(session: Session, *, after: str = "", limit: int = 1000) -> list[ZeroReport]:
    """The zero reports that the session may see, by id, after the id `after`."""
    asked = select(ZeroReport).where(ZeroReport.zero_report_id > after).order_by(ZeroReport.zero_report_id)
    return list(session.scalars(asked.limit(limit)))


def _standing(session: Session, licensee_id: int, zero_report_id: str) -> ZeroReport | None:
    return session.get(ZeroReport, (licensee_id, zero_report_id), populate_existing=True)


def _refuse_future(session: Session, licensee_id: int, said: ZeroBody) -> None:
    now: datetime = session.execute(select(func.now())).scalar_one()
    zones = session.scalars(select(Account.zone).where(Account.licensee_id == licensee_id).distinct())
    today = max((day_of(now, zone) for zone in zones), default=now.date())
    if (said.ends_on - today).days > 1:
        raise InvalidInput(
            "day_in_future", f"nobody knows yet that there are no images after today, {today}: to may be the day after"
        )


def _covered_model(session: Session, licensee_id: int, said: ZeroBody) -> str | None:
    """The slug of the model, which an agreement of the licensee must cover on one of the days; None for all models."""
    if said.model is None:
        return None
    slug = _slug(session, said.model)
    days = Period(said.starts_on, said.ends_on)
    covered = session.scalar(
        select(AgreementModel.id)
        .join(Agreement, Agreement.id == AgreementModel.agreement_id)
        .join(Account, Account.id == AgreementModel.account_id)
        .join(Model, Model.id == AgreementModel.model_id)
        .where(
            Account.licensee_id == licensee_id,
            Agreement.status != "draft",
            Model.slug == slug,
            AgreementModel.days.op("&&")(func.daterange(days.start, days.end)),
        )
        .limit(1)
    )
    if covered is None:
        raise InvalidInput(
            "model_not_covered",
            f"no agreement of yours covers {slug} on these days; name the model as the agreement does, or leave it out",
        )
    return slug


def _slug(session: Session, name: str) -> str:
    node = lineage(session).named(name)
    if node is None:
        raise InvalidInput("unknown_model", f"no model is registered as {name!r}: name it as the agreement does")
    return node.slug


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidInput("duplicate_field", "a field of the zero report is given twice")
    return found


def _explained(error: msgspec.ValidationError) -> InvalidInput:
    said = str(error)
    for name, rule in _RULES.items():
        if f"`$.{name}`" in said:
            return InvalidInput(f"invalid_{name}", rule)
        if f"missing required field `{name}`" in said:
            return InvalidInput("missing_field", f"the zero report has no {name}: {rule}")
    if "unknown field" in said:
        return InvalidInput("unknown_field", f"the zero report has a field that is not known; it may have {_FIELDS}")
    return InvalidInput("invalid_zero_report", f"the zero report must be a JSON object with {_FIELDS}")
