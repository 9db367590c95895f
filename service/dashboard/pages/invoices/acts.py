"""What people do with an invoice. Who may do what, and where it takes two, is for the verbs to say."""

import logging
from collections.abc import Callable, Sequence

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.errors import PerimageError
from core.invoicing.documents import make_document
from core.invoicing.drafts.close import close
from core.invoicing.drafts.extras import adjust
from core.invoicing.life.acts import ask
from core.invoicing.life.approve import approve, hold, release
from core.invoicing.life.claims import dispute, settle_dispute, write_back, write_off
from core.invoicing.life.issue import issue
from core.invoicing.life.stands import name_of
from core.invoicing.tables import Invoice
from core.period import Period
from service.dashboard.acting import act
from service.dashboard.counting import count_what_came
from service.dashboard.form import Filled, Form
from service.dashboard.pages.invoices.one import shown
from service.dashboard.pages.invoices.router import address_of, back, invoice_of, owner_of, router
from service.dashboard.rendering import after
from service.dashboard.signed_in import Approver, Clerk, FinanceEyes, FinancePerson

log = logging.getLogger("perimage.dashboard")
OUTCOMES = ("agreed", "rejected", "withdrawn")
ASKED = ("void", "write_off")  # a credit is asked for on its own page, with its amounts


def _acted(  # noqa: PLR0917 - what every act takes, in one order
    request: Request,
    person: FinancePerson,
    eyes: Session,
    found: Invoice,
    form: Form,
    verb: Callable[[Session], object],
    said: str,
    *,
    of: str,
    reads: Callable[[Form], object] | None = None,
) -> Response:
    """Does something with an invoice, and shows its page; a refusal stands there with what was typed."""
    with form:
        if reads is not None:
            reads(form)
        form.demand()
        act(request, verb)
    if form.wrong:
        return shown(request, person, eyes, found, form, wrong=of)
    return back(request, form, address_of(found), said)


def _reason(form: Form) -> str:
    return form.text("reason", most=4000, lines=True)


@router.post("/{invoice}/hold")
def hold_invoice(request: Request, person: Clerk, eyes: FinanceEyes, invoice: str, form: Filled) -> Response:
    found = invoice_of(eyes, invoice)
    return _acted(
        request, person, eyes, found, form, lambda session: hold(session, found.id, person.actor, form.said("reason")),
        f"{invoice} is held: it is not issued until somebody releases it.", of="hold", reads=_reason,
    )  # fmt: skip


@router.post("/{invoice}/release")
def release_invoice(request: Request, person: Approver, eyes: FinanceEyes, invoice: str, form: Filled) -> Response:
    found = invoice_of(eyes, invoice)
    return _acted(
        request, person, eyes, found, form,
        lambda session: release(session, found.id, person.actor, form.said("reason")),
        f"{invoice} is released for the lines it has now.", of="release", reads=_reason,
    )  # fmt: skip


@router.post("/{invoice}/approve")
def approve_invoice(request: Request, person: Approver, eyes: FinanceEyes, invoice: str, form: Filled) -> Response:
    found = invoice_of(eyes, invoice)
    return _acted(
        request, person, eyes, found, form, lambda session: approve(session, found.id, person.actor),
        f"{invoice} is approved.", of="approve",
    )  # fmt: skip


@router.post("/{invoice}/issue")
def issue_invoice(request: Request, person: Approver, eyes: FinanceEyes, invoice: str, form: Filled) -> Response:
    """Numbers and freezes it, then makes its documents."""
    found = invoice_of(eyes, invoice)
    made: list[str] = []
    with form:
        person.actor.demand("approver", "issue an invoice")
        made.append(act(request, lambda session: name_of(issue(session, found.id, person.actor))))
    if form.wrong:
        return shown(request, person, eyes, found, form, wrong="issue")
    make_documents(request, [found.id])
    return back(request, form, f"/invoices/{made[0]}", f"Issued as {made[0]}.")


@router.post("/{invoice}/documents")
def make_invoice_documents(request: Request, person: Clerk, eyes: FinanceEyes, invoice: str, form: Filled) -> Response:
    """Makes what is not there yet; what is there stays as it was sent."""
    found = invoice_of(eyes, invoice)
    return _acted(
        request, person, eyes, found, form, lambda session: make_document(session, found.id),
        "The documents are made.", of="documents",
    )  # fmt: skip


@router.post("/{invoice}/close")
def close_again(request: Request, person: Clerk, eyes: FinanceEyes, invoice: str, form: Filled) -> Response:
    """Makes a draft anew, of what is counted and agreed by now."""
    found = invoice_of(eyes, invoice)
    agreement, month = found.agreement_id, Period(found.period_start, found.period_end)
    made: list[str] = []
    with form:
        count_what_came(request)
        closed = act(request, lambda session: close(session, agreement, month, person.actor).invoice)
        made.append(f"/invoices/{name_of(closed)}" if closed is not None else "/month-end")
    if form.wrong:
        return shown(request, person, eyes, found, form, wrong="close")
    said = "Closed anew." if made[0] != "/month-end" else "Nothing is due for this month any more."
    return after(request, made[0], said)


@router.post("/{invoice}/adjust")
def adjust_invoice(request: Request, person: Clerk, eyes: FinanceEyes, invoice: str, form: Filled) -> Response:
    """An amount agreed on beside the terms, for the month of a draft. The next close bills it, which is now."""
    found = invoice_of(eyes, invoice)
    agreement, currency = owner_of(eyes, found)[1], found.currency
    month = Period(found.period_start, found.period_end)
    with form:
        amount = form.money("amount", currency)
        said, reason = form.text("description", most=255), _reason(form)
        form.demand()
        act(
            request,
            lambda session: adjust(
                session, agreement.slug, month, amount.minor if amount else 0, description=said, by=person.actor,
                reason=reason,
            ),
        )  # fmt: skip
        if found.status != "issued":
            count_what_came(request)
            act(request, lambda session: close(session, agreement.id, month, person.actor).wrote)
    if form.wrong:
        return shown(request, person, eyes, found, form, wrong="adjust")
    then = "the next close bills it" if found.status == "issued" else "it is on the draft"
    return after(request, address_of(found), f"Agreed: {then}.")


@router.post("/{invoice}/dispute")
def dispute_invoice(request: Request, person: Clerk, eyes: FinanceEyes, invoice: str, form: Filled) -> Response:
    found = invoice_of(eyes, invoice)
    return _acted(
        request, person, eyes, found, form,
        lambda session: dispute(session, invoice, person.actor, form.said("reason")),
        "The dispute is noted.", of="dispute", reads=_reason,
    )  # fmt: skip


@router.post("/{invoice}/settle")
def settle_invoice_dispute(
    request: Request, person: Approver, eyes: FinanceEyes, invoice: str, form: Filled
) -> Response:
    """Ends the dispute. What was agreed is made good by a credit or a correction, which is another act."""
    found = invoice_of(eyes, invoice)

    def reads(form: Form) -> None:
        form.choice("outcome", OUTCOMES)
        _reason(form)

    def settle(session: Session) -> object:
        outcome = next(each for each in OUTCOMES if each == form.said("outcome"))
        return settle_dispute(session, invoice, person.actor, outcome, form.said("reason"))  # type: ignore[arg-type]

    said = "The dispute is settled."
    if form.said("outcome") == "agreed":
        said += " What was agreed is made good by a credit, or by a correction of the counts."
    return _acted(request, person, eyes, found, form, settle, said, of="settle", reads=reads)


@router.post("/{invoice}/write-off")
def write_off_invoice(request: Request, person: Approver, eyes: FinanceEyes, invoice: str, form: Filled) -> Response:
    found = invoice_of(eyes, invoice)
    return _acted(
        request, person, eyes, found, form,
        lambda session: write_off(session, invoice, person.actor, form.said("reason")),
        "Written off: the books do not expect it any more.", of="write_off", reads=_reason,
    )  # fmt: skip


@router.post("/{invoice}/write-back")
def write_back_invoice(request: Request, person: Approver, eyes: FinanceEyes, invoice: str, form: Filled) -> Response:
    found = invoice_of(eyes, invoice)
    return _acted(
        request, person, eyes, found, form,
        lambda session: write_back(session, invoice, person.actor, form.said("reason")),
        "The books expect it again.", of="write_back", reads=_reason,
    )  # fmt: skip


@router.post("/{invoice}/ask")
def ask_another(request: Request, person: Clerk, eyes: FinanceEyes, invoice: str, form: Filled) -> Response:
    """Asks somebody else to void it or to write it off: above the limit it takes two."""
    found = invoice_of(eyes, invoice)

    def reads(form: Form) -> None:
        form.choice("verb", ASKED)
        _reason(form)

    def wanted(session: Session) -> object:
        verb = next(each for each in ASKED if each == form.said("verb"))
        return ask(session, invoice, verb, person.actor, form.said("reason"))  # type: ignore[arg-type]

    said = "Asked for: somebody else can do it now."
    return _acted(request, person, eyes, found, form, wanted, said, of=f"ask_{form.said('verb')}", reads=reads)


def make_documents(request: Request, invoice_ids: Sequence[int]) -> None:
    """Documents of invoices that were just issued, each by itself: an invoice is out, whatever becomes of its paper."""
    for id_ in invoice_ids:
        try:
            act(request, lambda session, id_=id_: make_document(session, id_))  # type: ignore[misc]
        except PerimageError as refusal:
            log.warning("no documents of invoice %s: %s", id_, refusal.sentence)
