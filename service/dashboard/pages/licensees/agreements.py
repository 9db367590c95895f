"""A licensee's agreements, with their terms in plain words, and the licensor's signature under a draft."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.agreements.contents import agreement_content, agreement_summaries
from core.agreements.documents import Signature
from core.agreements.sign import sign_as
from core.audit.record import record
from core.errors import NotFound
from service.dashboard.acting import act
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.pages.licensees.router import Whose, licensee_of, licensee_page, router
from service.dashboard.rendering import after
from service.dashboard.signed_in import Approver, FinanceEyes, FinancePerson, Viewer

_DAY = timedelta(days=1)
KINDS = (("draft", "Draft"), ("signed", "In force"), ("ended", "Ended"))
AGREEMENTS = Listing(
    columns=(
        Column("name", "Agreement", lambda row: row["name"], sort=True, note=lambda row: row["slug"],
               href=lambda row: f"/licensees/{row['licensee']}/agreements/{row['slug']}"),
        Column("status", "Status", lambda row: row["status"], kind="badge", sort=True),
        Column("from", "From", lambda row: _day(row["starts_on"]), kind="day", sort=True),
        Column("to", "To", lambda row: _last(row["ended_on"] or row["ends_on"]), kind="day", sort=True),
        Column("signed", "Signed", lambda row: _moment(row["signed_at"]), kind="moment", sort=True, wide_only=True),
    ),
    filters=(Filter("status", "Status", KINDS, keep=lambda row, value: _kind(row["status"]) == value),),
    sort="-from", file="agreements", label="Agreements", empty="No agreement yet",
)  # fmt: skip


@router.get("/{licensee}/agreements")
def agreements(request: Request, person: Viewer, eyes: FinanceEyes, licensee: str) -> Response:
    whose = licensee_of(eyes, person, licensee)
    listed = AGREEMENTS.of(request, agreement_summaries(eyes, licensee=whose.slug))
    if listed.wants_csv:
        return listed.answer("licensees/agreements.html")
    return licensee_page(request, "agreements.html", whose, "Agreements", listed=listed)


@router.get("/{licensee}/agreements/{agreement}")
def agreement(request: Request, person: Viewer, eyes: FinanceEyes, licensee: str, agreement: str) -> Response:
    whose = licensee_of(eyes, person, licensee)
    content = content_of(eyes, whose, agreement)
    return licensee_page(
        request, "agreement.html", whose, "Agreements", content=content, versions=[_version(each) for each in
        content["versions"]], covers=_covers(content["covers"]), events=[_event(each) for each in content["events"]],
    )  # fmt: skip


@router.post("/{licensee}/agreements/{agreement}/sign")
def sign_agreement(request: Request, person: Approver, eyes: FinanceEyes, licensee: str, agreement: str) -> Response:
    """Signs a draft for the licensor, in the name of whoever is signed in."""
    whose = licensee_of(eyes, person, licensee)
    content_of(eyes, whose, agreement)
    act(request, lambda session: _sign(session, person, agreement))
    return after(request, f"/licensees/{licensee}/agreements/{agreement}", f"Signed for {person.party}.")


def content_of(eyes: Session, whose: Whose, slug: str) -> dict[str, Any]:
    """An agreement of this licensee with the licensor who looks. Raises NotFound for any other."""
    content = agreement_content(eyes, slug.replace("\x00", ""))
    if content["licensee"] != whose.slug:
        raise NotFound("unknown_agreement", f"{whose.name} has no agreement called {slug}")
    return content


def _sign(session: Session, person: FinancePerson, slug: str) -> None:
    sign_as(session, slug, Signature("licensor", person.name, datetime.now(UTC).date()))
    record(session, person.licensor_id, person.actor, "agreement.signed", f"agreement {slug}", {"signer": person.name})


def _version(version: dict[str, Any]) -> dict[str, Any]:
    return {**version, "first": _day(version["starts_on"]), "last": _last(version["ends_on"])}


def _covers(runs: list[dict[str, Any]]) -> list[tuple[str, date | None, date | None]]:
    return [(run["model"], _day(run["starts_on"]), _last(run["ends_on"])) for run in runs]


def _event(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "on": _day(event["effective_on"]), "recorded": _moment(event["recorded_at"])}


def _kind(status: str) -> str:
    return status if status in ("draft", "signed") else "ended"


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _last(text: str | None) -> date | None:
    """The last day of a half-open period, as people say it."""
    return date.fromisoformat(text) - _DAY if text else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
