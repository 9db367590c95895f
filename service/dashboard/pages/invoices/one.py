"""One invoice with all there is to it: figures, lines with their workings, history, payments, the PDF beside it."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.accruals.invoice_file import InvoiceFile, invoice_file
from core.agreements.tables import Agreement
from core.errors import NotFound, PerimageError
from core.invoicing.life.acts import limit_of
from core.invoicing.life.stands import Stands, events_of, name_of, stand
from core.invoicing.life.status import MOVES, Verb
from core.invoicing.tables import Invoice, InvoiceEvent
from core.invoicing.workings.explain import explain_draft, explain_invoice
from core.money import Money
from core.notices.kinds import ISSUED
from core.notices.queries import deliveries_about
from core.period import Period
from core.registry.tables import Account, Licensee
from service.dashboard import written
from service.dashboard.acting import act
from service.dashboard.browser import with_frames
from service.dashboard.charts import Chart, Series, chart
from service.dashboard.form import Form
from service.dashboard.pages.invoices.router import WORDS, invoice_of, owner_of, router
from service.dashboard.rendering import page
from service.dashboard.signed_in import FinanceEyes, FinancePerson, Viewer

_EVENTS = {
    "dispute_settled": "dispute settled", "written_off": "written off", "written_back": "expected again",
    "reopened": "approval taken back", "asked": "asked for",
}  # fmt: skip
_KINDS = {"pdf": "PDF", "lines.csv": "Lines as CSV", "daily_counts.csv": "Daily counts as CSV",
          "factur-x.xml": "E-invoice"}  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """An invoice as its page shows it to somebody."""

    invoice: Invoice
    stands: Stands
    licensee: Licensee
    agreement: Agreement
    account: Account
    limit: Money | None
    events: list[InvoiceEvent]
    person: FinancePerson

    @property
    def name(self) -> str:
        return name_of(self.invoice)

    @property
    def word(self) -> str:
        return WORDS.get(self.stands.word, self.stands.word)

    @property
    def is_note(self) -> bool:
        return self.invoice.kind == "credit_note"

    @property
    def month(self) -> Period:
        return Period(self.invoice.period_start, self.invoice.period_end)

    def money(self, minor: int) -> Money:
        return Money(self.invoice.currency, minor)

    def above(self, minor: int) -> bool:
        """Whether an amount takes two people."""
        return self.limit is not None and abs(minor) > self.limit.minor

    def can(self, verb: Verb) -> bool:
        """Whether where it stands and who looks allow it, second persons aside."""
        move = MOVES[verb]
        fits = self.stands.word in move.froms and (move.credit_note or not self.is_note)
        return fits and self.person.may(move.least)

    def possible(self, verb: Verb) -> bool:
        """Whether where it stands allows it to anybody."""
        move = MOVES[verb]
        return self.stands.word in move.froms and (move.credit_note or not self.is_note)

    @property
    def asks(self) -> list[InvoiceEvent]:
        """What somebody asked for and nobody has done yet."""
        answered = {each.answers_id for each in self.events}
        return [each for each in self.events if each.kind == "asked" and each.id not in answered]

    def asked_by_another(self, verb: str, minor: int) -> bool:
        return any(
            each.detail["verb"] == verb
            and each.actor != self.person.actor.name
            and each.detail["amount_minor"] >= abs(minor)
            for each in self.asks
        )

    def alone(self, verb: str, minor: int) -> bool:
        """Whether this person may do it now: it is below the limit, or another one asked for it."""
        return not self.above(minor) or self.asked_by_another(verb, minor)

    @property
    def waits_for(self) -> str:
        """Why the next step to its issue is not this person's, in words; empty where it is, or there is none."""
        return why_not_you(
            self.person, self.invoice.status, above=self.above(self.invoice.total_minor), limit=self.limit,
            closed_by=self.invoice.closed_by, approved_by=self.invoice.approved_by,
        )  # fmt: skip


def why_not_you(
    person: FinancePerson, status: str, *, above: bool, limit: Money | None, closed_by: str, approved_by: str | None
) -> str:
    """Why somebody cannot take a draft the next step towards its issue; empty where they can."""
    most = f"above {written.money_text(limit)}, the most for one person" if limit is not None else ""
    me = person.actor.name
    if status == "held" and not person.may("approver"):
        return "An approver has to release it"
    if status == "draft" and above and closed_by == me:
        return f"You closed this, and it is {most}: somebody else has to approve it"
    if status == "draft" and above and not person.may("approver"):
        return f"It is {most}: an approver has to approve it, and another one to issue it"
    if status == "approved" and above and approved_by == me:
        return f"You approved this, and it is {most}: somebody else has to issue it"
    if status in ("draft", "approved") and not person.may("approver"):
        return "An approver has to issue it"
    return ""


@router.get("/{invoice}")
def one_invoice(request: Request, person: Viewer, eyes: FinanceEyes, invoice: str) -> Response:
    return shown(request, person, eyes, invoice_of(eyes, invoice), None)


@router.get("/{invoice}/lines/{line}")
def line_workings(request: Request, person: Viewer, eyes: FinanceEyes, invoice: str, line: int) -> Response:
    """One line explained, day by day."""
    found = invoice_of(eyes, invoice)
    if line not in {each.no for each in found.lines}:
        raise NotFound("line_not_found", f"there is no line {line} on {name_of(found)}")
    owner = owner_of(eyes, found)
    # Corrections come from events, which these eyes do not see; the invoice is theirs, and so is what it was made from.
    explained, why_not = act(request, lambda session: _explained(session, found, owner[1].slug, line))
    return page(
        request, "invoices/line.html", title=f"Line {line} of {name_of(found)}", invoice=found, name=name_of(found),
        licensee=owner[0], agreement=owner[1], line=next(each for each in found.lines if each.no == line),
        explained=explained, why_not=why_not, drawn=_by_day(line, explained),
    )  # fmt: skip


def shown(
    request: Request, person: FinancePerson, eyes: Session, invoice: Invoice, form: Form | None, *, wrong: str = ""
) -> Response:
    """The page of an invoice. `wrong` is the act whose form was refused."""
    of = read(eyes, person, invoice)
    file = invoice_file(eyes, invoice)
    sent = deliveries_about(eyes, ISSUED.name, [invoice.number]) if invoice.number else []
    return page(
        request, "invoices/one.html", title=of.name, status=form.status if form else 200, headers=with_frames(),
        of=of, file=file, sent=sent, form=form, wrong=wrong, change=change(of, file), kinds=_KINDS,
        history=_history(of), lines=[(line, _tax(line)) for line in invoice.lines], today=date.today(),  # noqa: DTZ011
    )  # fmt: skip


def read(eyes: Session, person: FinancePerson, invoice: Invoice) -> Shown:
    """An invoice with where it stands, whose it is, and what was done with it. Some nine statements."""
    licensee, agreement, account = owner_of(eyes, invoice)
    limit = limit_of(eyes, invoice)
    return Shown(
        invoice, stand(eyes, [invoice])[invoice.id], licensee, agreement, account,
        None if limit is None else Money(invoice.currency, limit), events_of(eyes, invoice.id), person,
    )  # fmt: skip


def change(of: Shown, file: InvoiceFile) -> tuple[str, str, str] | None:
    """The total beside last month's, in words."""
    if file.before is None or of.is_note:
        return None
    return changed(of.invoice.total_minor, file.before.total.minor, file.before.period)


def changed(now: int, before: int, month: Period) -> tuple[str, str, str]:
    """A total beside an earlier one: words, which way it went, and how to take it."""
    name = written.month(month)
    if now == before:
        return f"as much as in {name}", "same", "quiet"
    more = now > before
    if not before:
        return f"nothing was asked for in {name}", "up" if more else "down", "quiet"
    share = written.percent(abs(now - before), abs(before))
    return f"{share} {'more' if more else 'less'} than in {name}", "up" if more else "down", "quiet"


def _history(of: Shown) -> list[tuple[Any, str, str, str, str]]:
    """(when, what, who, role, more), the newest first."""
    found = [
        (each.recorded_at, _EVENTS.get(each.kind, each.kind), each.actor, each.role, _more(of, each))
        for each in of.events
    ]
    found.append((of.invoice.closed_at, "closed", of.invoice.closed_by, "", "the draft was last made"))
    return sorted(found, key=lambda each: each[0], reverse=True)


def _more(of: Shown, event: InvoiceEvent) -> str:
    detail, said = event.detail, []
    if event.kind == "asked":
        said.append(f"to {detail['verb'].replace('_', ' ')} {written.money_text(of.money(detail['amount_minor']))}")
    if "credit_note" in detail:
        said.append(f"{detail['credit_note']} over {written.money_text(of.money(-detail['total_minor']))}")
    if event.kind == "written_off":
        said.append(written.money_text(of.money(detail["amount_minor"])))
    if "outcome" in detail:
        said.append(detail["outcome"])
    if event.reason:
        said.append(event.reason)
    return ": ".join(said)


def _tax(line: Any) -> str:
    if line.tax_category == "outside":
        return "no tax"
    why = "" if line.tax_rate else f" ({line.tax_category.replace('_', ' ')})"
    return f"{written.decimal(line.tax_rate)} %{why}"


def _explained(session: Session, invoice: Invoice, agreement: str, line: int) -> tuple[dict[str, Any] | None, str]:
    """The line explained; or why it cannot be."""
    try:
        if invoice.number is not None:
            return explain_invoice(session, invoice.number, line)["lines"][0], ""
        found = explain_draft(session, agreement, Period(invoice.period_start, invoice.period_end))["lines"]
    except PerimageError as refusal:
        return None, refusal.sentence
    mine = next(each for each in invoice.lines if each.no == line)
    for each in found:
        same = (each["kind"], each["subject"], each["description"], each["image_count"])
        if same == (mine.kind, mine.subject, mine.description, mine.image_count):
            return each, ""
    return None, "What was counted has changed since this draft was made: make it anew, and look again."


def _by_day(line: int, explained: dict[str, Any] | None) -> Chart | None:
    counts = (explained or {}).get("counts")
    if not counts:
        return None
    rows = counts.get("days") or counts.get("months") or []
    if not rows:
        return None
    by_month = "months" in counts
    places = [written.month(row["month"]) if by_month else date.fromisoformat(row["day"]) for row in rows]
    lines = [Series("images", [row["image_count"] for row in rows])]
    if any(row.get("estimated") for row in rows):
        lines = [
            Series("counted", [0 if row.get("estimated") else row["image_count"] for row in rows]),
            Series("estimated", [row["image_count"] if row.get("estimated") else 0 for row in rows], tone="quiet"),
        ]
    return chart(
        f"line-{line}", "Images by month" if by_month else "Images day by day", x=places, series=lines,
        kind="stacked" if len(lines) > 1 else "bars", unit="images", height=160, x_label="Month" if by_month else "Day",
    )  # fmt: skip
