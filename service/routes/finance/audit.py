"""The audit log of a licensor: who did what, chained by hashes."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from core.audit.record import entries
from service.finance_caller import Eyes, Reader
from service.pages import NEXT, After, Limit, next_mark, read_mark
from service.routes.finance.door import READS, finance_router

router = finance_router("audit")


class AuditDetail(BaseModel):
    """What else was worth knowing; what it says depends on the action."""

    model_config = ConfigDict(extra="allow")


class AuditLogEntry(BaseModel):
    """One act. `hash` is over its content and `previous_hash`, so nothing before it can change unseen."""

    sequence: int
    recorded_at: datetime
    actor: str
    role: str
    action: str = Field(examples=["invoice.approved"])
    subject: str = Field(examples=["invoice OWG-000001"])
    detail: AuditDetail
    previous_hash: str
    hash: str


class AuditLogPage(BaseModel):
    """The log in order."""

    entries: list[AuditLogEntry]
    next: str | None = Field(default=None, description=NEXT)


@router.get("/audit", summary="The audit log", responses=READS)
def list_audit_entries(
    session: Eyes,
    caller: Reader,
    *,
    subject: Annotated[str | None, Query(max_length=300, examples=["invoice OWG-000001"])] = None,
    limit: Limit = 100,
    after: After = None,
) -> AuditLogPage:
    """Who did what, oldest first; only about one subject, if asked."""
    mark = read_mark(after, tuple[int])
    at = max(0, min(mark[0], 2**63 - 1)) if mark else 0
    rows = entries(session, caller.licensor_id, subject=subject, after=at, limit=limit)
    found = [AuditLogEntry.model_validate(row, from_attributes=True) for row in rows]
    return AuditLogPage(entries=found, next=next_mark(rows, limit, lambda row: (row.sequence,)))
