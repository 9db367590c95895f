"""Whether everything was reported: the calendar of each licensor, missing days, lost reports, and the word that on some
days there was nothing.
"""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.own_keys import OwnKey, live_key, note_by_hand, own_keys
from core.accruals.licensee_figures import calendar_of
from core.period import Period
from core.usage.own.reports import sources
from core.usage.reporting.calendar import missing_runs
from core.usage.reporting.gaps import gaps
from core.usage.reporting.zero_reports import MAX_REASON, MOST_DAYS, read_zero_report, report_zero
from core.usage.tables import ZeroReport
from service.dashboard.acting import act
from service.dashboard.figures import CALENDAR_DAYS, heat_of
from service.dashboard.form import Filled, Form
from service.dashboard.listing import Column, Listing
from service.dashboard.portal._accounts import account_asked, moment_now, today
from service.dashboard.portal.usage.reports import report_address
from service.dashboard.portal.usage.router import router, usage_page
from service.dashboard.rendering import after, page
from service.dashboard.signed_in import LicenseePerson, PortalEyes, PortalManager, PortalViewer

MOST_GAPS = 1000
SOURCE_DAYS = 31


def _beside(row: Any) -> str:
    named = [each.report_id for each in (row.before, row.after) if each]
    return f"between {named[0]} and {named[-1]}" if len(named) > 1 else ""


GAPS = Listing(
    columns=(
        Column("source", "Source", lambda row: row.source or "none named", sort=True),
        Column("what", "What", lambda row: "missing" if row.kind == "missing" else "number used twice", kind="badge",
               sort=True),
        Column("first", "From number", lambda row: row.first, kind="count", sort=True),
        Column("last", "To number", lambda row: row.last, kind="count", wide_only=True),
        Column("many", "Reports", lambda row: row.missing_count, kind="count", sort=True, note=_beside),
        Column("since", "Known since", lambda row: row.since, kind="moment", sort=True, wide_only=True),
    ),
    sort="-since", mark="gap_", file="gaps", label="Reports that never arrived", searchable=False,
    empty="No number is missing",
)  # fmt: skip
ZEROS = Listing(
    columns=(
        Column("from", "First day", lambda row: row.starts_on, kind="day", sort=ZeroReport.starts_on),
        Column("to", "Last day", lambda row: row.ends_on - timedelta(days=1), kind="day"),
        Column("model", "Model", lambda row: row.model or "all models", sort=ZeroReport.model),
        Column("reason", "Why", lambda row: row.reason, wide_only=True),
        Column("received", "Said", lambda row: row.received_at, kind="moment", sort=ZeroReport.received_at,
               wide_only=True),
    ),
    sort="-from", mark="zero_", file="zero-reports", label="Days said to be without images", searchable=False,
    empty="No day was said to be without images",
)  # fmt: skip
_SAID = select(ZeroReport.starts_on, ZeroReport.ends_on, ZeroReport.model, ZeroReport.reason, ZeroReport.received_at)


@router.get("/days")
def portal_days(request: Request, person: PortalViewer, eyes: PortalEyes) -> Response:
    return _shown(request, person, eyes, None)


@router.post("/days")
def say_zero(request: Request, person: PortalManager, eyes: PortalEyes, form: Filled) -> Response:
    """The licensee's word that there were no images on some days, of one model or at all."""
    with form:
        first, last = form.day("from"), form.day("to")
        model = form.text("model", required=False, most=255)
        reason = form.text("reason", required=False, most=MAX_REASON)
        key = form.choice("key", [each.public_id for each in _live(eyes, person)] or [""])
        if first and last and last < first:
            form.refuse("to", "the last day is before the first one")
        elif first and last and (last - first).days >= MOST_DAYS:
            form.refuse("to", f"at most {MOST_DAYS} days at once")
        form.demand()
        assert first is not None  # noqa: S101 - demanded above
        assert last is not None  # noqa: S101
        said = {"zero_report_id": f"portal-{first}-{uuid4()}", "from": first, "to": last + timedelta(days=1)}
        said |= {name: text for name, text in (("model", model), ("reason", reason)) if text}
        body = read_zero_report(msgspec.json.encode(said))

        def verb(session: Session) -> None:
            used = live_key(session, person.licensee_id, person.actor, key)
            report_zero(session, person.licensee_id, used.id, body)
            note_by_hand(session, person.actor, used, "zero_report.made", f"{model or 'all models'}, {first} to {last}")

        act(request, verb)
    if form.wrong:
        return _shown(request, person, eyes, form)
    return after(request, "/portal/usage/days", "Noted: there was nothing on these days.")


def _live(eyes: Session, person: LicenseePerson) -> list[OwnKey]:
    now = moment_now()
    return [each for each in own_keys(eyes, person.licensee_id) if each.state(now) == "live"]


def _shown(request: Request, person: LicenseePerson, eyes: Session, form: Form | None) -> Response:
    chosen = account_asked(request, eyes, person)
    if chosen is None:
        return page(request, "portal/no_account.html", title="Usage")
    day = today()
    lost = GAPS.of(request, gaps(eyes, limit=MOST_GAPS))
    zeros = ZEROS.read(request, eyes, _SAID)
    for listed in (lost, zeros):
        if listed.wants_csv:
            return listed.csv()
    within = Period(day - timedelta(days=CALENDAR_DAYS), day + timedelta(days=1))
    runs = missing_runs(calendar_of(eyes, chosen.licensor.id, person.licensee_id, within))
    now = moment_now()
    return usage_page(
        request, "days.html", "Days and gaps", status=form.status if form else 200, form=form, chosen=chosen,
        heat=heat_of(eyes, chosen.licensor.id, person.licensee_id, day), runs=list(reversed(runs)), lost=lost,
        zeros=zeros, keys=[(each.public_id, each.label or each.public_id) for each in _live(eyes, person)],
        sources=sources(eyes, now - timedelta(days=SOURCE_DAYS), now, limit=50), address=report_address,
        last=timedelta(days=1), asked={name: request.query_params.get(name, "") for name in ("from", "to")},
        source_days=SOURCE_DAYS, yesterday=day - timedelta(days=1),
    )  # fmt: skip
