"""Agreements, as the licensee who signed them sees them: terms in full and in words."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from core.agreements.contents import agreement_content, agreement_summaries
from core.database import licensee_eyes
from service.caller import RequestCaller
from service.session import RequestSession

router = APIRouter(tags=["agreements"])
Slug = Annotated[str, Path(max_length=100, pattern=r"^[a-z0-9-]+$", examples=["anima-flat"])]


class AgreementSummary(BaseModel):
    """One agreement over `[starts_on, ends_on)`, days of `zone`; `ended_on` is the first day after an early end."""

    slug: str
    name: str
    status: str = Field(
        examples=["signed"], description="signed, ended, terminated or revoked; to the licensor also draft"
    )
    licensor: str
    licensee: str
    currency: str = Field(examples=["USD"])
    zone: str = Field(examples=["Europe/Berlin"])
    starts_on: str
    ends_on: str
    ended_on: str | None
    signed_at: str | None


class AgreementPage(BaseModel):
    """A page of agreements, by slug."""

    agreements: list[AgreementSummary]
    next: str | None = Field(default=None, description="give it as `after` to get what follows; null on the last page")


@router.get("/v1/agreements", summary="The caller's agreements")
def list_agreements(
    session: RequestSession,
    caller: RequestCaller,
    *,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str, Query(max_length=100, description="`next` of the page before")] = "",
) -> AgreementPage:
    """Signed ones, also those that are over; drafts are the licensor's business until they are signed."""
    with licensee_eyes(session, caller.licensee_id):
        rows = agreement_summaries(session, drafts=False, after=after, limit=limit)
    return AgreementPage(
        agreements=[AgreementSummary(**row) for row in rows], next=rows[-1]["slug"] if len(rows) == limit else None
    )


@router.get("/v1/agreements/{slug}", summary="One agreement with its terms, day by day")
def get_agreement(session: RequestSession, caller: RequestCaller, slug: Slug) -> dict[str, Any]:
    """Its terms as they hold after every amendment, in full and in words; signatures and the days it covers."""
    with licensee_eyes(session, caller.licensee_id):
        return agreement_content(session, slug, drafts=False)
