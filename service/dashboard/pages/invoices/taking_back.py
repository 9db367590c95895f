"""Taking an invoice back: a credit over some lines, or voiding it to make it anew; each shown before it is done."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.errors import InvalidInput, PerimageError
from core.invoicing.drafts.close import close
from core.invoicing.drafts.invoice import DraftLine
from core.invoicing.life.acts import ask
from core.invoicing.life.credit import credit
from core.invoicing.life.credit_plan import CreditPlan, plan_credit
from core.invoicing.life.stands import name_of
from core.invoicing.life.void import preview_reissue, void
from core.invoicing.tables import Invoice
from core.money import Money
from core.period import Period
from service.dashboard.acting import act
from service.dashboard.counting import count_what_came
from service.dashboard.form import Filled, Form
from service.dashboard.pages.invoices.acts import make_documents
from service.dashboard.pages.invoices.one import read
from service.dashboard.pages.invoices.router import address_of, invoice_of, router
from service.dashboard.rendering import after, page
from service.dashboard.signed_in import Approver, Clerk, FinanceEyes, FinancePerson


@dataclass(frozen=True)
class Effect:
    """What a credit would do."""

    plan: CreditPlan
    net: Money
    tax: Money
    total: Money
    settles: Money  # of what is open of the invoice
    to_use: Money  # what the licensee can use for others


@router.get("/{invoice}/credit")
def credit_page(request: Request, person: Clerk, eyes: FinanceEyes, invoice: str) -> Response:
    return _credit_shown(request, person, eyes, invoice_of(eyes, invoice), None, effect=None)


@router.post("/{invoice}/credit")
def credit_invoice(request: Request, person: Clerk, eyes: FinanceEyes, invoice: str, form: Filled) -> Response:
    """Shows what a credit would do, does it, or asks another person to do it, by the button that was pressed."""
    found = invoice_of(eyes, invoice)
    effect, made = None, ""
    with form:
        amounts = _amounts(form, found)
        step = form.choice("step", ("show", "do", "ask"))
        form.demand()
        effect = _effect(eyes, person, found, amounts)
        if step != "show":
            reason = form.text("reason", most=4000, lines=True)
            form.demand()
        if step == "do":
            person.actor.demand("approver", "credit an invoice")
            note = act(request, lambda session: credit(session, invoice, person.actor, reason, amounts))
            make_documents(request, [note.id])
            made = name_of(note)
        elif step == "ask":
            act(request, lambda session: ask(session, invoice, "credit", person.actor, reason, amounts=amounts))
            made = invoice
    if form.wrong or not made:
        return _credit_shown(request, person, eyes, found, form, effect=effect)
    said = "Asked for: somebody else can do it now." if made == invoice else f"Credited by {made}."
    return after(request, f"/invoices/{made}", said)


@router.get("/{invoice}/void")
def void_page(request: Request, person: Approver, eyes: FinanceEyes, invoice: str) -> Response:
    return _void_shown(request, person, eyes, invoice_of(eyes, invoice), None)


@router.post("/{invoice}/void")
def void_invoice(request: Request, person: Approver, eyes: FinanceEyes, invoice: str, form: Filled) -> Response:
    """Voids it, and closes its month anew where that was ticked."""
    found = invoice_of(eyes, invoice)
    agreement, month = found.agreement_id, Period(found.period_start, found.period_end)
    with form:
        reason = form.text("reason", most=4000, lines=True)
        form.demand()
        act(request, lambda session: void(session, invoice, person.actor, reason))
    if form.wrong:
        return _void_shown(request, person, eyes, found, form)
    if not form.flag("anew"):
        return after(request, address_of(found), f"{invoice} is void.")
    try:
        count_what_came(request)
        made = act(request, lambda session: close(session, agreement, month, person.actor).invoice)
    except PerimageError as refusal:
        return after(request, address_of(found), f"{invoice} is void. {refusal.sentence}", tone="warn")
    if made is None:
        return after(request, address_of(found), f"{invoice} is void, and nothing is due for its month.")
    return after(
        request, f"/invoices/{name_of(made)}", f"{invoice} is void. This is the new draft: look, then issue it."
    )


def _amounts(form: Form, invoice: Invoice) -> dict[int, int] | None:
    """Net minor units by line; None for everything that is left."""
    if form.said("what", "part") == "all":
        return None
    found: dict[int, int] = {}
    for line in invoice.lines:
        money = form.money(f"line_{line.no}", invoice.currency, required=False)
        if money is not None and money.minor:
            found[line.no] = money.minor
    if not found and not form.wrong:
        raise InvalidInput("bad_amount", "write how much of at least one line to give back")
    return found


def _effect(eyes: Session, person: FinancePerson, invoice: Invoice, amounts: Mapping[int, int] | None) -> Effect:
    plan = plan_credit(eyes, invoice, amounts)
    left = max(0, read(eyes, person, invoice).stands.left)
    total, net = -plan.total_minor, -sum(plan.by_line.values())

    def money(minor: int) -> Money:
        return Money(invoice.currency, minor)

    settles = min(left, total)
    return Effect(plan, money(net), money(total - net), money(total), money(settles), money(total - settles))


def _credit_shown(
    request: Request,
    person: FinancePerson,
    eyes: Session,
    invoice: Invoice,
    form: Form | None,
    *,
    effect: Effect | None,
) -> Response:
    of = read(eyes, person, invoice)
    left: Mapping[int, int] = {}
    why_not = "" if of.possible("credit") else f"{of.name} is {of.word}: only an issued invoice can be credited."
    if not why_not:
        try:
            left = {no: -minor for no, minor in plan_credit(eyes, invoice).by_line.items()}
        except PerimageError as refusal:
            why_not = refusal.sentence
    return page(
        request, "invoices/credit.html", title=f"Credit {of.name}", status=form.status if form else 200, of=of,
        form=form, left=left, effect=effect, why_not=why_not,
    )  # fmt: skip


def _void_shown(
    request: Request, person: FinancePerson, eyes: Session, invoice: Invoice, form: Form | None
) -> Response:
    of = read(eyes, person, invoice)
    why_not, rows, total = "", [], None
    if not of.possible("void"):
        why_not = f"{of.name} is {of.word}: only an issued invoice on which nothing was paid can be voided."
    elif of.stands.paid or of.stands.credited:
        why_not = f"Something was paid or credited on {of.name}: credit the rest instead."
    elif invoice.corrects_invoice_id is None:
        try:
            count_what_came(request)
            rows, total = _beside(of.invoice, act(request, lambda session: preview_reissue(session, of.name)))
        except PerimageError as refusal:
            why_not = refusal.sentence
    return page(
        request, "invoices/void.html", title=f"Void {of.name}", status=form.status if form else 200, of=of, form=form,
        why_not=why_not, rows=rows, net=total,
    )  # fmt: skip


def _beside(invoice: Invoice, drafts: list[DraftLine]) -> tuple[list[dict[str, Any]], Money]:
    """The lines as they are beside the lines as they would be, and the new net total."""
    currency = invoice.currency
    now = {(line.kind, line.subject, line.service_start, line.service_end, line.part): line for line in invoice.lines}
    then = {
        (each.key.kind, each.key.subject, each.key.service.start, each.key.service.end, each.key.part): each
        for each in drafts
    }
    rows = []
    for key in [*now, *(key for key in then if key not in now)]:
        before, made = now.get(key), then.get(key)
        was = Money(currency, before.amount_minor if before else 0)
        will = made.money if made else Money(currency, 0)
        said = before.description if before else (made.description if made else "")
        rows.append({"said": said, "was": was, "will": will, "change": will - was})
    return rows, Money(currency, sum(each.money.minor for each in drafts))
