"""Agreements, as the licensor who offered them sees them: drafts, too."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from core.agreements.contents import agreement_content, agreement_summaries
from core.errors import NotFound
from service.finance_caller import Eyes
from service.pages import After, Limit, next_mark, read_mark
from service.routes.agreements import AgreementPage, AgreementSummary
from service.routes.finance.door import READS, READS_ONE, finance_router
from service.routes.finance.shapes import SlugPath, SlugQuery

router = finance_router("agreements")


class Passage(BaseModel):
    """Terms in words, under a heading."""

    heading: str
    sentences: list[str]


class TermsDocument(BaseModel):
    """Terms in full, as `docs/` describes them: the document that was signed."""

    model_config = ConfigDict(extra="allow")
    currency: str
    fees: list[Any]


class TermsVersion(BaseModel):
    """The terms that hold over `[starts_on, ends_on)`, in full and in words, by the amendment they stand in."""

    amendment: int
    starts_on: str
    ends_on: str
    in_words: list[Passage]
    terms: TermsDocument
    document_hash: str


class CoveredDays(BaseModel):
    """Days on which an agreement covers a model."""

    model: str
    starts_on: str
    ends_on: str


class AgreementActed(BaseModel):
    """Something that was done with an agreement, such as a signature."""

    kind: str
    party: str | None
    signer: str | None
    signed_on: str
    effective_on: str
    ends_on: str | None
    amendment: int | None
    reason: str | None
    document_hash: str | None
    paper_hash: str | None
    recorded_at: str


class AgreementDetail(AgreementSummary):
    """An agreement with its terms, day by day, and what was done with it."""

    signed_by: list[str]
    versions: list[TermsVersion]
    covers: list[CoveredDays]
    events: list[AgreementActed]


@router.get("/agreements", summary="Agreements", responses=READS)
def list_agreements(
    session: Eyes, *, licensee: SlugQuery = None, limit: Limit = 100, after: After = None
) -> AgreementPage:
    """Those of the licensor, by slug."""
    mark = read_mark(after, tuple[str])
    rows = agreement_summaries(session, licensee=licensee, after=mark[0] if mark else "", limit=limit)
    return AgreementPage(
        agreements=[AgreementSummary(**row) for row in rows], next=next_mark(rows, limit, lambda row: (row["slug"],))
    )


@router.get("/agreements/{agreement}", summary="One agreement", responses=READS_ONE)
def get_agreement(session: Eyes, agreement: SlugPath) -> AgreementDetail:
    """Its terms as they hold after every amendment, signatures, and the days it covers."""
    try:
        return AgreementDetail.model_validate(agreement_content(session, agreement))
    except NotFound:
        raise NotFound("agreement_not_found", f"there is no agreement {agreement}") from None
