"""Issuing all drafts of a month that are ready, a few at a time, in the name of the person who asked.

Each is a transaction of its own, so that one that is refused holds up no other and whoever looks sees it go on. Then
the documents are made. Leaving the page stops it; what is issued stays so, and asking again goes on with the rest.
"""

from collections.abc import Sequence
from hashlib import sha256
from time import monotonic

from fastapi import Request
from starlette.responses import Response

from core.errors import PerimageError
from core.invoicing.documents import make_document
from core.invoicing.life.issue import issue
from core.invoicing.life.stands import name_of
from core.invoicing.month_list import Ready, ready_for, without_documents
from core.period import Period
from service.dashboard import written
from service.dashboard.acting import act
from service.dashboard.form import Filled
from service.dashboard.pages.month_end.router import month_of, router
from service.dashboard.rendering import after, page
from service.dashboard.signed_in import Approver, FinanceEyes, FinancePerson

AT_ONCE_SECONDS = 2.0
_MOST_SAID = 1500  # letters of what was refused


@router.post("/{period}/issue")
def issue_ready(request: Request, person: Approver, eyes: FinanceEyes, period: str, form: Filled) -> Response:
    """Issues for a moment, then shows how far it is; the page sends the form again by itself."""
    month = month_of(period)
    person.actor.demand("approver", "issue invoices")
    began = monotonic()
    now = ready_for(eyes, person.licensor_id, month, person.actor.name)
    if not form.has("ids") and form.said("seen") != seen_as(now):
        said = "Something has changed meanwhile: look at what is ready now, then issue it."
        return after(request, f"/month-end/{month.name}", said, tone="warn")
    wanted = set(form.said("ids").split(",")) if form.has("ids") else {str(each.id) for each in now}
    ready = [each.id for each in now if str(each.id) in wanted]
    done, paper = (form.whole(name, required=False) or 0 for name in ("done", "paper"))
    refused = form.said("refused")[:_MOST_SAID]
    total = form.whole("total", required=False) or len(ready)
    while ready and monotonic() - began < AT_ONCE_SECONDS:
        next_ = ready.pop(0)
        try:
            act(request, lambda session, id_=next_: name_of(issue(session, id_, person.actor)))  # type: ignore[misc]
            done += 1
        except PerimageError as refusal:
            refused = f"{refused} {refusal.sentence}.".strip()[:_MOST_SAID]
    unmade: list[int] = []
    if not ready:
        unmade = _unmade(request, person, month, paper)
        while unmade and monotonic() - began < AT_ONCE_SECONDS:
            paper = unmade.pop(0)
            try:
                act(request, lambda session, id_=paper: make_document(session, id_).kind)  # type: ignore[misc]
            except PerimageError as refusal:
                refused = f"{refused} {refusal.sentence}.".strip()[:_MOST_SAID]
    if ready or unmade:
        left = {"ids": ",".join(map(str, ready)), "done": done, "paper": paper, "total": total, "refused": refused}
        return page(
            request, "month_end/issuing.html", title=f"Issuing {written.month(month)}", month=month, left=left,
            unmade=len(unmade), issuing=bool(ready),
        )  # fmt: skip
    return _ended(request, month, done, refused)


@router.post("/{period}/documents")
def make_month_documents(request: Request, person: Approver, eyes: FinanceEyes, period: str, form: Filled) -> Response:
    """Makes the documents that a month's issued invoices lack."""
    month, began, made = month_of(period), monotonic(), 0
    unmade = without_documents(eyes, person.licensor_id, month)
    while unmade and monotonic() - began < AT_ONCE_SECONDS:
        id_ = unmade.pop(0)
        act(request, lambda session, id_=id_: make_document(session, id_).kind)  # type: ignore[misc]
        made += 1
    left = f" {len(unmade):,} are left: ask again." if unmade else ""
    return after(request, f"/month-end/{month.name}", f"Documents of {made:,} invoices are made.{left}")


def seen_as(ready: Sequence[Ready]) -> str:
    """What somebody saw before saying yes: these drafts, each over its total."""
    said = ",".join(f"{each.id}:{each.total}" for each in ready)
    return sha256(said.encode()).hexdigest()[:16]


def _unmade(request: Request, person: FinancePerson, month: Period, mark: int) -> list[int]:
    """Issued invoices without documents, as they are after this request's own acts."""
    found = act(request, lambda session: without_documents(session, person.licensor_id, month))
    return [id_ for id_ in found if id_ > mark]


def _ended(request: Request, month: Period, done: int, refused: str) -> Response:
    said = f"{done:,} {'invoice is' if done == 1 else 'invoices are'} issued." if done else "Nothing was issued."
    address = f"/month-end/{month.name}"
    if refused:
        return after(request, address, f"{said} Not everything: {refused}", tone="warn")
    return after(request, address, said, tone="good" if done else "warn")
