"""The frozen content of an invoice: everything its document says, as one JSON object with one hash.

Documents, hashes and later statements are made from the snapshot and from nothing else, so that an invoice reads the
same in ten years, whatever became of the names and terms it was made from.
"""

import hashlib
import json
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.agreements.tables import AgreementModel
from core.invoicing.bill import Bill
from core.invoicing.tables import Invoice, InvoiceLine
from core.money import Money, exponent, plain
from core.period import Period
from core.rating.rate import progress
from core.registry.tables import Licensee, Licensor, Model
from core.usage.tables import DailyCount


def content_hash(snapshot: dict[str, Any]) -> str:
    """SHA-256 of the snapshot as canonical JSON: keys sorted, no spaces, UTF-8."""
    canonical = json.dumps(snapshot, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def snapshot_of(session: Session, invoice: Invoice, bill: Bill, payment_days: int) -> dict[str, Any]:
    """The invoice as it stands now. Amounts are decimal strings in the currency's own number of places."""
    period = Period(invoice.period_start, invoice.period_end)
    total = str(Money(invoice.currency, invoice.total_minor).amount)
    return {
        "number": invoice.number,
        "kind": invoice.kind,
        "status": invoice.status,
        "issued_at": invoice.issued_at.isoformat() if invoice.issued_at else None,
        "due_on": invoice.due_on.isoformat() if invoice.due_on else None,
        "payment_days": payment_days,
        "currency": invoice.currency,
        "currency_exponent": exponent(invoice.currency),
        "licensor": _party(session.get_one(Licensor, invoice.licensor_id)),
        "licensee": _party(session.get_one(Licensee, invoice.licensee_id)),
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
        "commitments": _commitments(bill, period),
        "usage": _usage(session, bill, period),
        "subtotal": total,
        "total": total,
        "notes": [],
    }


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
        "amount": str(Money(currency, line.amount_minor).amount),
        "workings": line.workings,
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


def _usage(session: Session, bill: Bill, period: Period) -> dict[str, Any]:
    """The period's counts by model, the derivatives each came through, and by day."""
    via = Model.__table__.alias("via")
    rows = session.execute(
        select(Model.slug, Model.name, via.c.slug, via.c.name, DailyCount.day, func.sum(DailyCount.image_count))
        .join(Model, Model.id == DailyCount.model_id)
        .join(via, via.c.id == DailyCount.via_model_id)
        .join(AgreementModel, AgreementModel.model_id == DailyCount.model_id)
        .where(
            AgreementModel.agreement_id == bill.agreement.id,
            AgreementModel.days.contains(DailyCount.day),
            DailyCount.licensee_id == bill.account.licensee_id,
            DailyCount.day >= period.start,
            DailyCount.day < period.end,
        )
        .group_by(Model.slug, Model.name, via.c.slug, via.c.name, DailyCount.day)
        .order_by(Model.slug, via.c.slug, DailyCount.day)
    )
    models: dict[str, dict[str, Any]] = {}
    days: dict[str, int] = {}
    for slug, name, via_slug, via_name, day, count in rows:
        model = models.setdefault(slug, {"model": slug, "name": name, "image_count": 0, "derivatives": {}})
        model["image_count"] += int(count)
        through = model["derivatives"].setdefault(via_slug, {"model": via_slug, "name": via_name, "image_count": 0})
        through["image_count"] += int(count)
        days[day.isoformat()] = days.get(day.isoformat(), 0) + int(count)
    for model in models.values():
        model["derivatives"] = sorted(model["derivatives"].values(), key=lambda d: (-d["image_count"], d["model"]))
    return {
        "by_model": list(models.values()),
        "by_day": [{"day": day, "image_count": count} for day, count in sorted(days.items())],
    }
