"""Explaining an invoice: what each line counted, which price was in force by whose signature, and every step to the
amount, so that either side can work it out again by hand.

Prices, steps and amounts come from what was frozen with the invoice. Counts by day come from there, too, where the
invoice is about one model alone; otherwise they are the daily counts as they stand now, and where these are no longer
what was billed, the explanation says so: the difference is on, or will be on, a later invoice.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agreements.queries import agreement_named, agreement_versions
from core.agreements.tables import Agreement, Amendment
from core.errors import Conflict, NotFound
from core.invoicing.drafts.bill import Bill, contract_of, counts_of
from core.invoicing.drafts.close import preview
from core.invoicing.drafts.estimates import NOTHING, with_estimates
from core.invoicing.drafts.invoice import DraftLine
from core.invoicing.paper.workings import explain_line
from core.invoicing.tables import Invoice, InvoiceLine
from core.invoicing.workings.clause import clause_in_words
from core.invoicing.workings.corrected import LineCorrections
from core.money import Money, plain, total
from core.period import Period
from core.rating.estimate import Estimates, estimated_in
from core.registry.tables import Account, Licensee, Licensor
from core.usage.counts.counting import Timetable

_COMMITTED = ("shortfall", "prepayment", "drawdown", "refund")
_DAILY = 62  # days; over longer ones counts are told by month


@dataclass(frozen=True, slots=True)
class _Line:
    """A line as its invoice has it, beside the price that it was made from."""

    shown: Mapping[str, Any]
    price_id: str
    part: str

    @property
    def days(self) -> Period:
        """The days whose images the line counts: its price segment, or its service period."""
        for row in self.shown.get("workings") or ():
            if row.get("step") == "count":
                return Period(date.fromisoformat(row["from"]), date.fromisoformat(row["until"]))
        return self.service

    @property
    def workings(self) -> Sequence[Mapping[str, Any]]:
        return self.shown.get("workings") or ()

    @property
    def service(self) -> Period:
        return Period(date.fromisoformat(self.shown["service_start"]), date.fromisoformat(self.shown["service_end"]))

    @property
    def counted(self) -> int | None:
        """The images that the line was made from, when that can be read off its workings."""
        for row in self.shown.get("workings") or ():
            if row.get("step") == "count":
                return int(row["images"])
            if row.get("step") == "commitment" and "agreed" not in row:
                return int(row["counted"])
        return None


def explain_invoice(session: Session, number: str, line: int | None = None) -> dict[str, Any]:
    """An issued invoice, or one line of it, explained. Raises `NotFound` for what the session cannot see."""
    invoice = session.scalars(select(Invoice).where(Invoice.number == number)).one_or_none()
    if invoice is None or invoice.snapshot is None:
        raise NotFound("invoice_not_found", f"there is no invoice {number}")
    agreement = session.get_one(Agreement, invoice.agreement_id)
    rows = {row.no: row for row in invoice.lines}
    lines = [_Line(shown, rows[shown["no"]].price_id, rows[shown["no"]].part) for shown in invoice.snapshot["lines"]]
    head = {
        "invoice": invoice.number,
        "status": invoice.status,
        "licensor": invoice.snapshot["licensor"]["slug"],
        "licensee": invoice.snapshot["licensee"]["slug"],
        "agreement": agreement.slug,
        "period": invoice.snapshot["period"]["name"],
        "zone": invoice.snapshot["period"]["zone"],
        "currency": invoice.currency,
        "total": invoice.snapshot["total"],
        "content_hash": invoice.content_hash,
    }
    chosen = _chosen(lines, line)
    explained = _explained(session, agreement, chosen, invoice.currency, invoice=invoice, snapshot=invoice.snapshot)
    return head | {"lines": explained, "commitments": invoice.snapshot.get("commitments", [])}


def explain_draft(session: Session, agreement_slug: str, period: Period, line: int | None = None) -> dict[str, Any]:
    """What closing a period now would ask for, explained; nothing is written, and the period need not be over."""
    agreement = agreement_named(session, agreement_slug)
    standing = session.scalars(
        select(Invoice).where(
            Invoice.agreement_id == agreement.id, Invoice.period_start == period.start, Invoice.status != "void"
        )
    ).first()
    if standing is not None and standing.number is not None:
        raise Conflict("invoice_issued", f"{period.name} is issued already: explain invoice {standing.number}")
    account = session.get_one(Account, agreement.account_id)
    drafts = preview(session, agreement.id, period)
    lines = [_Line(_shown(no, draft), draft.price_id, draft.key.part) for no, draft in enumerate(drafts, start=1)]
    head = {
        "invoice": None,
        "status": "held" if standing is not None and standing.status == "held" else "draft",
        "licensor": session.get_one(Licensor, account.licensor_id).slug,
        "licensee": session.get_one(Licensee, account.licensee_id).slug,
        "agreement": agreement.slug,
        "period": period.name,
        "zone": account.zone,
        "currency": account.currency,
        "total": f"{total([draft.money for draft in drafts], account.currency).amount:f}",
        "content_hash": None,
    }
    chosen = _chosen(lines, line)
    explained = _explained(session, agreement, chosen, account.currency, invoice=standing, snapshot=None)
    return head | {"lines": explained, "commitments": []}


def _chosen(lines: Sequence[_Line], line: int | None) -> Sequence[_Line]:
    if line is None:
        return lines
    chosen = [each for each in lines if each.shown["no"] == line]
    if not chosen:
        there = f"its lines are 1 to {len(lines)}" if lines else "nothing is due"
        raise NotFound("line_not_found", f"there is no line {line} on it: {there}")
    return chosen


def _explained(
    session: Session,
    agreement: Agreement,
    lines: Sequence[_Line],
    currency: str,
    *,
    invoice: Invoice | None,
    snapshot: Mapping[str, Any] | None,
) -> list[dict[str, Any]]:
    """Each line with its price, its counts and their corrections, its steps, and the other lines for the same thing."""
    numbers = {int(line.price_id.partition("/")[0]) for line in lines if line.price_id}
    asked = select(Amendment).where(Amendment.agreement_id == agreement.id, Amendment.number.in_(numbers))
    amendments = {amendment.number: amendment for amendment in session.scalars(asked)}
    until = max((line.days.end for line in lines), default=agreement.starts_on)
    account = session.get_one(Account, agreement.account_id)
    counted_now = Bill(
        agreement, account, contract_of(session, agreement), counts_of(session, agreement, account, until)
    )
    bill = with_estimates(session, counted_now, until)
    prices = [_price(line, amendments) for line in lines]
    counted = [_counts(line, price, bill, snapshot) for line, price in zip(lines, prices, strict=True)]
    corrections = LineCorrections(
        session,
        account.licensee_id,
        [(each["models"] if each else (), line.days) for line, each in zip(lines, counted, strict=True)],
        terms_on=Timetable(agreement_versions(session, agreement.id)),
        issued_at=invoice.issued_at if invoice else None,
    )
    explained = []
    for line, price, its_counts in zip(lines, prices, counted, strict=True):
        kept = ("no", "kind", "description", "adjustment", "image_count", "unit", "unit_price", "unit_amount")
        before, after = _same(session, agreement, line, invoice)
        explained.append(
            {
                **{key: line.shown[key] for key in kept},
                "subject": line.shown["model"],
                "service": line.service.name,
                "conversion_rate": line.shown["conversion_rate"],
                "amount": line.shown["amount"],
                "currency": currency,
                "price": price,
                "counts": its_counts,
                **corrections.of(its_counts["models"] if its_counts else (), line.days),
                "steps": explain_line(line.shown, currency)["steps"],
                "billed_before": before,
                "billed_after": after,
            }
        )
    return explained


def _price(line: _Line, amendments: Mapping[int, Amendment]) -> dict[str, Any] | None:
    """The clause that set the price, the amendment that it stands in, and both in words."""
    number, _, name = line.price_id.partition("/")
    amendment = amendments.get(int(number)) if number else None
    if amendment is None:
        return None
    clauses = amendment.terms["commitments" if line.shown["kind"] in _COMMITTED else "fees"]
    clause = next((clause for clause in clauses if clause["name"] == name), None)
    if clause is None:
        return None
    signed = "the contract as first signed" if not amendment.number else f"amendment {amendment.number}"
    said = clause_in_words(clause, amendment.terms["unit"], amendment.terms["currency"])
    return {
        "amendment": amendment.number,
        "effective_on": amendment.effective_on.isoformat(),
        "document_hash": amendment.document_hash,
        "clause": clause,
        "sentence": f"By {signed}, in force from {amendment.effective_on} on: {said}",
    }


def _counts(
    line: _Line,
    price: Mapping[str, Any] | None,
    bill: Bill,
    snapshot: Mapping[str, Any] | None,
) -> dict[str, Any] | None:
    """The images by day, or by month over a long time, where they come from, and whether they are what was billed. Days
    whose images are estimated for want of a report say so.
    """
    counts = bill.counts
    kind, subject, clause = line.shown["kind"], line.shown["model"], (price or {}).get("clause") or {}
    if kind == "base" or kind in ("prepayment", "refund"):
        return None
    models = set(clause.get("models") or {model for model, _ in counts}) if kind in _COMMITTED else {subject}
    if clause.get("per") == "group":
        models = set(clause["models"])
    by_day: dict[date, int] = {}
    for (model, day), images in sorted(counts.items()):
        if model in models and day in line.days:
            by_day[day] = by_day.get(day, 0) + images
    frozen = _frozen(line, models, snapshot)
    source = "frozen with the invoice" if frozen is not None else "daily counts as they are now"
    now = sum(by_day.values())
    shown = by_day if frozen is None else frozen
    document: dict[str, Any] = {"source": source, "models": sorted(models), "counted": line.counted, "now": now}
    assumed = {day for model, day in _estimated(bill, snapshot if frozen is not None else None) if model in models}
    days = [
        {"day": day.isoformat(), "image_count": images, **({"estimated": True} if day in assumed else {})}
        for day, images in sorted(shown.items())
    ]
    if line.days.days > _DAILY:
        months: dict[str, int] = {}
        for day, images in sorted(shown.items()):
            months[f"{day:%Y-%m}"] = months.get(f"{day:%Y-%m}", 0) + images
        document["months"] = [{"month": month, "image_count": images} for month, images in months.items()]
    else:
        document["days"] = days
    if snapshot is not None and line.counted is not None and now != line.counted:
        more = f"{abs(now - line.counted):,} {'more' if now > line.counted else 'fewer'}"
        how = "counted or estimated" if any(row.get("step") == "estimate" for row in line.workings) else "counted"
        document["sentence"] = (
            f"When this was billed {line.counted:,} images were {how}; today there are {more}. What that changes is "
            "an adjustment on a later invoice."
        )
    return document


def _estimated(bill: Bill, snapshot: Mapping[str, Any] | None) -> Collection[tuple[str, date]]:
    """Models and days whose images are estimates: as the snapshot keeps them, or as they are now."""
    return (_images_of(snapshot) if snapshot is not None else (bill.estimates or NOTHING).images()).keys()


def _images_of(snapshot: Mapping[str, Any]) -> dict[tuple[str, date], int]:
    return Estimates(estimated_in(snapshot.get("estimates") or ())).images()


def _frozen(line: _Line, models: set[str], snapshot: Mapping[str, Any] | None) -> dict[date, int] | None:
    """The counts by day that the snapshot keeps, where they can only be this line's."""
    if snapshot is None or line.counted is None or line.shown["kind"] in _COMMITTED:
        return None
    usage = snapshot["usage"]
    assumed = {at: images for at, images in _images_of(snapshot).items() if at[1] in line.days}
    if {each["model"] for each in usage["by_model"]} | {model for model, _ in assumed} != models:
        return None
    kept = {date.fromisoformat(each["day"]): int(each["image_count"]) for each in usage["by_day"]}
    for (_, day), images in assumed.items():
        kept[day] = kept.get(day, 0) + images
    mine = {day: images for day, images in kept.items() if day in line.days}
    return mine if sum(mine.values()) == line.counted else None


def _same(
    session: Session, agreement: Agreement, line: _Line, invoice: Invoice | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The lines of other invoices for the same key: those before this one, and those after it."""
    asked = (
        select(InvoiceLine, Invoice)
        .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .where(
            Invoice.agreement_id == agreement.id,
            Invoice.status != "void",
            Invoice.id != (invoice.id if invoice else 0),
            InvoiceLine.kind == line.shown["kind"],
            InvoiceLine.subject == line.shown["model"],
            InvoiceLine.service_start == line.service.start,
            InvoiceLine.service_end == line.service.end,
            InvoiceLine.part == line.part,
        )
        .order_by(Invoice.closed_at, Invoice.id)
    )
    before: list[dict[str, Any]] = []
    after: list[dict[str, Any]] = []
    for other, its in session.execute(asked):
        amount = Money(its.currency, other.amount_minor).amount
        said = {"invoice": its.number, "line": other.no, "image_count": other.image_count, "amount": f"{amount:f}"}
        later = invoice is not None and invoice.number is not None and its.period_start > invoice.period_start
        (after if later else before).append(said)
    return before, after


def _shown(no: int, draft: DraftLine) -> dict[str, Any]:
    """A line that is not written yet, as a snapshot would have it."""
    converted = draft.conversion_rate is not None and draft.unit != draft.money.currency
    return {
        "no": no,
        "kind": draft.key.kind,
        "description": draft.description,
        "model": draft.key.subject,
        "service_start": draft.key.service.start.isoformat(),
        "service_end": draft.key.service.end.isoformat(),
        "adjustment": draft.adjustment,
        "image_count": draft.image_count,
        "unit": draft.unit,
        "unit_price": None if draft.unit_price is None else plain(draft.unit_price),
        "unit_amount": plain(draft.unit_amount),
        "conversion_rate": plain(draft.conversion_rate) if converted and draft.conversion_rate is not None else None,
        "amount": f"{draft.money.amount:f}",
        "workings": list(draft.workings),
    }
