"""What a licensee was told: its own notices, for those who miss an e-mail or have no webhook."""

from typing import Annotated

from fastapi import APIRouter, Query

from core.database import licensee_eyes
from core.notices.queries import notices
from service.caller import RequestCaller
from service.pages import After, Limit
from service.routes.finance.notices import NoticePage, before_mark, page_of
from service.session import RequestSession

router = APIRouter(tags=["notices"])


@router.get("/v1/notices", summary="What the caller was told")
def list_notices(
    session: RequestSession,
    caller: RequestCaller,
    *,
    kind: Annotated[str | None, Query(max_length=100, examples=["invoice.issued"])] = None,
    limit: Limit = 100,
    after: After = None,
) -> NoticePage:
    """Each thing once, the newest first, by whatever way it went out."""
    with licensee_eyes(session, caller.licensee_id):
        return page_of(notices(session, kind=kind, before=before_mark(after), limit=limit), limit)
