"""One's own daily totals beside what was counted: where they differ, and whether by more than was agreed. Nothing of
it is kept.
"""

from decimal import Decimal

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.errors import InvalidInput
from core.period import Period
from core.statements.queries import daily_totals
from core.statements.reconciliation import Reconciliation, read_totals, reconcile
from service.dashboard.form import Filled, Form
from service.dashboard.portal._accounts import account_asked, account_with, today
from service.dashboard.portal.statements.router import router
from service.dashboard.rendering import page
from service.dashboard.signed_in import LicenseePerson, PortalEyes, PortalViewer

MOST_SHOWN = 500
THRESHOLD = "5"


@router.get("/compare")
def own_totals(request: Request, person: PortalViewer, eyes: PortalEyes) -> Response:
    return _shown(request, person, eyes, None, None)


@router.post("/compare")
def compare_totals(request: Request, person: PortalViewer, eyes: PortalEyes, form: Filled) -> Response:
    found = None
    with form:
        licensor, month = form.text("with", most=255), form.month("month")
        threshold = form.decimal("threshold")
        text = _totals(form)
        form.demand()
        if month is None or threshold is None or not 0 <= threshold <= 100:
            raise InvalidInput("bad_form", "a threshold is from 0 to 100 percent", field="threshold")
        found = _compared(eyes, person, licensor, month, text=text, percent=threshold)
    return _shown(request, person, eyes, form, found)


def _totals(form: Form) -> str:
    """The CSV as a file or as it was pasted."""
    sent = form.file("file")
    if sent is not None:
        try:
            return sent.file.read().decode("utf-8")
        except UnicodeDecodeError:
            form.refuse("file", "this is no text in UTF-8: save it as CSV in UTF-8")
            return ""
    text = form.said("rows").strip()
    if not text:
        form.refuse("file", "choose a CSV file, or paste its rows below")
    return text


def _compared(
    eyes: Session, person: LicenseePerson, licensor: str, month: Period, *, text: str, percent: Decimal
) -> Reconciliation:
    account_with(eyes, person, licensor)
    ours = daily_totals(eyes, licensor, person.licensee, month)
    return reconcile(read_totals(text, month), ours, percent / 100)


def _shown(
    request: Request, person: LicenseePerson, eyes: Session, form: Form | None, found: Reconciliation | None
) -> Response:
    chosen = account_asked(request, eyes, person)
    if chosen is None:
        return page(request, "portal/no_account.html", title="Compare totals")
    licensors = [(name, address.partition("licensor=")[2]) for name, address, _ in chosen.tabs]
    options = [(slug, name) for name, slug in licensors] or [(chosen.slug, chosen.licensor.name)]
    return page(
        request, "portal/statements/compare.html", status=form.status if form else 200, title="Compare your own totals",
        form=form, found=found, options=options, month=Period.month_of(today()).months_before().name,
        threshold=THRESHOLD, most=MOST_SHOWN,
    )  # fmt: skip
