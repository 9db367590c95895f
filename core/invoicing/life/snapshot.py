"""The frozen content of an invoice: everything its document says, as one JSON object with one hash.

Documents, hashes and later statements are made from the snapshot and from nothing else, so that an invoice reads the
same in ten years, whatever became of the names and terms it was made from.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC
from fractions import Fraction
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agreements.queries import agreement_versions
from core.canonical import hash_of
from core.invoicing.drafts.bill import Bill
from core.invoicing.drafts.tax import TaxRate, tax_groups
from core.invoicing.tables import Invoice, InvoiceLine
from core.money import Money, exponent, plain
from core.period import Period
from core.rating.rate import progress
from core.registry.billing import billing_of, treatment_of
from core.registry.brand import Brand
from core.registry.tables import Licensee, Licensor, Model
from core.usage.counts.counting import Cell, Timetable, billed_shares, cut_shares, owed_cells, weight
from core.usage.counts.queries import cells_of
from core.usage.intake.report import OUTPUTS

K = TypeVar("K", bound=Any)


def content_hash(snapshot: dict[str, Any]) -> str:
    """SHA-256 of the snapshot as canonical JSON: keys sorted, no spaces, UTF-8."""
    return hash_of(snapshot)


def counted_with(session: Session, bills: Iterable[Bill], period: Period) -> dict[int, dict[str, Any]]:
    """The counts and commitments that drafts were made from, by the agreement's id. Kept with each, so that what is
    issued is what was closed, whatever has been reported since. What is estimated in them, of any month so far, stands
    beside the counts.
    """
    cells = {bill.agreement.id: (bill, _cells_in(session, bill, period)) for bill in bills}
    names = _names(session, {slug for _, of in cells.values() for cell in of for slug in (cell.model, cell.via)})
    return {id_: _counted(session, bill, period, of, names) for id_, (bill, of) in cells.items()}


def _counted(
    session: Session, bill: Bill, period: Period, cells: Sequence[Cell], names: Mapping[str, str]
) -> dict[str, Any]:
    terms_on = Timetable(bill.versions or agreement_versions(session, bill.agreement.id))
    counted = {"commitments": _commitments(bill, period), "usage": _usage(cells, terms_on, names)}
    if bill.estimates is None or not bill.estimates.rows:
        return counted
    return {**counted, "estimates": [row.document() for row in bill.estimates.rows]}


def snapshot_of(
    session: Session, invoice: Invoice, bill: Bill, payment_days: int, *, licensor: Licensor, licensee: Licensee
) -> dict[str, Any]:
    """The invoice as it stands now. Amounts are decimal strings in the currency's own number of places."""
    period = Period(invoice.period_start, invoice.period_end)
    counted = invoice.closed_with
    if counted is None:  # closed before drafts kept their counts
        counted = counted_with(session, [bill], period)[bill.agreement.id]
    return {
        "number": invoice.number,
        "kind": invoice.kind,
        "status": invoice.status,
        "issued_at": invoice.issued_at.isoformat() if invoice.issued_at else None,
        "due_on": invoice.due_on.isoformat() if invoice.due_on else None,
        "payment_days": payment_days,
        "currency": invoice.currency,
        "currency_exponent": exponent(invoice.currency),
        "licensor": _licensor(licensor),
        "licensee": _party(licensee),
        "agreement": {
            "slug": bill.agreement.slug,
            "name": bill.agreement.name,
            "starts_on": bill.agreement.starts_on.isoformat(),
            "ends_on": bill.agreement.ends_on.isoformat(),
        },
        "period": {
            "name": period.name,
            "start": period.start.isoformat(),
            "end": period.end.isoformat(),
            "zone": bill.account.zone,
        },
        "lines": [_line(line, invoice.currency) for line in invoice.lines],
        "commitments": counted["commitments"],
        "usage": counted["usage"],
        **({"estimates": counted["estimates"]} if "estimates" in counted else {}),
        "subtotal": _amount(invoice.total_minor - invoice.tax_minor, invoice.currency),
        "taxes": _taxes(invoice, bill),
        "tax": _amount(invoice.tax_minor, invoice.currency),
        "total": _amount(invoice.total_minor, invoice.currency),
        "billing": _billing(bill),
        "corrects": _corrects(session, invoice),
        "notes": [],
    }


def _amount(minor: int, currency: str) -> str:
    return str(Money(currency, minor).amount)


def _taxes(invoice: Invoice, bill: Bill) -> list[dict[str, Any]]:
    """A row for each category and rate on the lines, with the sentence that the law asks for."""
    groups = tax_groups((TaxRate(line.tax_category, line.tax_rate), line.amount_minor) for line in invoice.lines)
    told = treatment_of(bill.account)
    of_groups = sum(group.tax_minor for group in groups)
    rows = []
    for group in groups:
        # A credit that takes back the rest of an invoice takes the rest of its tax, which may be a cent beside this.
        rest = invoice.tax_minor - of_groups if group.at.rate and group is groups[0] else 0
        sentence = told.sentence if group.at.category == told.category else _SENTENCES.get(group.at.category, "")
        rows.append(
            {
                "category": group.at.category,
                "rate": plain(group.at.rate),
                "net": _amount(group.net_minor, invoice.currency),
                "tax": _amount(group.tax_minor + rest, invoice.currency),
                "sentence": sentence,
            }
        )
    return rows


_SENTENCES = {"exempt": "Interest for late payment is no supply and bears no tax."}


def _billing(bill: Bill) -> dict[str, Any]:
    """How the account is billed, as it was when the invoice was issued."""
    billing = billing_of(bill.account)
    return {
        "contacts": [contact.document() for contact in billing.contacts],
        "purchase_order": billing.purchase_order,
        "payment_terms": billing.payment_terms,
        **({"bank": billing.bank.document()} if billing.bank else {}),
        "language": billing.language,
        "locale": billing.locale,
        "e_invoice": billing.e_invoice,
    }


def _corrects(session: Session, invoice: Invoice) -> dict[str, Any] | None:
    """The invoice that a credit note corrects."""
    if invoice.corrects_invoice_id is None:
        return None
    number, issued_at, content = session.execute(
        select(Invoice.number, Invoice.issued_at, Invoice.content_hash).where(Invoice.id == invoice.corrects_invoice_id)
    ).one()
    return {
        "number": number,
        "issued_at": issued_at.astimezone(UTC).isoformat() if issued_at else None,
        "content_hash": content,
    }


def _licensor(licensor: Licensor) -> dict[str, Any]:
    """The licensor with its look; of the logo the hash, by which its bytes are kept for good."""
    look = Brand(licensor.colour, licensor.accent).document()
    return {**_party(licensor), **look, **({"logo_sha256": licensor.logo_sha256} if licensor.logo_sha256 else {})}


def _party(party: Licensor | Licensee) -> dict[str, Any]:
    return {
        "slug": party.slug,
        "name": party.name,
        "address": list(party.address),
        "email": party.email,
        "tax_id": party.tax_id,
    }


def _line(line: InvoiceLine, currency: str) -> dict[str, Any]:
    return {
        "no": line.no,
        "kind": line.kind,
        "description": line.description,
        "model": line.subject,
        "service_start": line.service_start.isoformat(),
        "service_end": line.service_end.isoformat(),
        "adjustment": line.adjustment,
        "image_count": line.image_count,
        "unit": line.unit,
        "unit_price": None if line.unit_price is None else plain(line.unit_price),
        "unit_amount": plain(line.unit_amount),
        "conversion_rate": None
        if line.conversion_rate is None or line.unit == currency
        else plain(line.conversion_rate),
        "amount": _amount(line.amount_minor, currency),
        "workings": line.workings,
        "tax_category": line.tax_category,
        "tax_rate": plain(line.tax_rate),
    }


def _commitments(bill: Bill, period: Period) -> list[dict[str, Any]]:
    return [
        {
            "name": state.name,
            "kind": state.kind,
            "unit": state.unit,
            "target": plain(state.target),
            "counted": plain(state.counted),
            "remaining": plain(state.remaining),
            "fraction": plain(state.fraction_done),
            "starts_on": state.period.start.isoformat(),
            "ends_on": state.period.end.isoformat(),
        }
        for state in progress(bill.contract, bill.counts, period.end)
    ]


def _cells_in(session: Session, bill: Bill, period: Period) -> list[Cell]:
    if bill.cells is None:
        return cells_of(session, bill.account.licensee_id, bill.agreement.id, period.start, period.end)
    return [cell for cell in bill.cells if cell.day in period]


def _usage(cells: Sequence[Cell], terms_on: Timetable, names: Mapping[str, str]) -> dict[str, Any]:
    """The period's billed images: by model with the derivatives each came through, by day, by plan, by output.

    Every breakdown sums up to the same images. What was made but is not billed stands beside it, with a note.
    """
    cells = owed_cells(cells, terms_on)
    shares = billed_shares(cells, terms_on)
    by_day = cut_shares(shares, lambda cell: cell.day)
    through = cut_shares(shares, lambda cell: cell.via)
    plans = _summed(cut_shares(shares, lambda cell: cell.plan))
    outputs = _summed(cut_shares(shares, lambda cell: cell.output))
    return {
        "by_model": [
            {
                "model": model,
                "name": names[model],
                "image_count": sum(count for (of, _), count in by_day.items() if of == model),
                "derivatives": [
                    {"model": via, "name": names[via], "image_count": count}
                    for (of, via), count in sorted(through.items(), key=lambda found: (-found[1], found[0]))
                    if of == model
                ],
            }
            for model in sorted({cell.model for cell in cells})
        ],
        "by_day": [{"day": day.isoformat(), "image_count": count} for day, count in _summed(by_day).items()],
        "by_plan": [{"plan": plan, "image_count": count} for plan, count in plans.items()],
        "by_output": _by_output(cells, terms_on, outputs),
    }


def _summed(images: Mapping[tuple[str, K], int]) -> dict[K, int]:
    """Images of all models by key, in the order of the keys."""
    summed: dict[K, int] = {}
    for (_, key), count in images.items():
        summed[key] = summed.get(key, 0) + count
    return {key: summed[key] for key in sorted(summed)}


def _by_output(cells: Sequence[Cell], terms_on: Timetable, billed: Mapping[str, int]) -> list[dict[str, Any]]:
    """What was made, as reported, and how many images of it are billed; with a note where those differ."""
    made: dict[str, list[Cell]] = {}
    for cell in cells:
        made.setdefault(cell.output, []).append(cell)
    rows = []
    for output in (each for each in OUTPUTS if each in made):
        terms = {id(found): found for found in (terms_on.on(cell.day) for cell in made[output])}
        weights = {weight(found, output) for found in terms.values()}
        reported, images = sum(cell.image_count for cell in made[output]), billed.get(output, 0)
        rows.append({"output": output, "reported": reported, "image_count": images, "note": _note(output, weights)})
    return rows


def _note(output: str, weights: Collection[Fraction]) -> str | None:
    """Why the images billed are not those reported; None where each counts as one."""
    if set(weights) == {Fraction(1)}:
        return None
    if set(weights) == {Fraction(0)}:
        return "counted, not billed under the terms"
    if len(set(weights)) > 1:
        return "billed as the terms in force on each day say"
    return f"each counts as {plain(next(iter(weights)))} of an image"


def _names(session: Session, slugs: Collection[str]) -> dict[str, str]:
    rows = session.execute(select(Model.slug, Model.name).where(Model.slug.in_(slugs)))
    return {slug: name for slug, name in rows}  # noqa: C416 - a Row is not a pair to the type checker
