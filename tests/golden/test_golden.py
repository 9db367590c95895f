"""Every worked invoice in this folder comes out as written, line by line and to the minor unit."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.agreements.terms import Terms, Tier, parse_terms
from core.invoicing.drafts.invoice import Billed, DraftLine, difference
from core.money import plain
from core.period import Period
from core.rating.quote import Offer, offers_of
from core.rating.rate import Contract, LineKey, RatedLine, owed

HERE = Path(__file__).parent
SCENARIOS = HERE.parents[1] / "config" / "scenarios"
INVOICES = [
    pytest.param(invoice, id=f"{file.stem}-{n}")
    for file in sorted(HERE.glob("*.yaml"))
    for n, invoice in enumerate(yaml.safe_load_all(file.read_text(encoding="utf-8")), start=1)
]
YEARS = sorted((HERE / "years").glob("*.yaml"))


@pytest.mark.parametrize("invoice", INVOICES)
def test_the_worked_invoice_comes_out_to_the_minor_unit(invoice: dict[str, Any]) -> None:
    lines = owed(contract_of(invoice), counts_of(invoice["counts"]), invoice["close_on"])
    assert [written(line) for line in lines] == [[str(cell) for cell in line] for line in invoice["lines"]]
    total = sum(line.money.amount for line in lines)
    assert f"{total:f} {lines[0].money.currency}" == invoice["total"]
    assert invoice["arithmetic"].strip()


def test_every_scenario_has_a_worked_invoice() -> None:
    worked = {invoice.values[0].get("scenario") for invoice in INVOICES}  # type: ignore[attr-defined]
    assert worked >= {file.stem for file in SCENARIOS.glob("*.yaml")}


@pytest.mark.parametrize("file", YEARS, ids=lambda file: file.stem)
def test_a_year_of_bills_comes_out_line_by_line(file: Path) -> None:
    """Bill by bill as in life: late usage, corrections, amendments and an early end come in between."""
    year = yaml.safe_load(file.read_text(encoding="utf-8"))
    counts: dict[tuple[str, date], int] = {}
    billed: dict[LineKey, Billed] = {}
    for bill in year["bills"]:
        for at, images in counts_of(bill.get("counts", [])).items():
            counts[at] = counts.get(at, 0) + images
        for change in ("amendments", "ended_on"):
            if change in bill:
                year[change] = [*year.get(change, []), *bill[change]] if change == "amendments" else bill[change]
        lines = bill_of(contract_of(year), counts, billed, Period.month(bill["month"]))
        for name, adjustment in (("adjustments", True), ("lines", False)):
            shown = [drafted(line) for line in lines if line.adjustment == adjustment]
            assert shown == [[str(cell) for cell in line] for line in bill.get(name, [])], (bill["month"], name)
        assert f"{sum(line.money.amount for line in lines):.{year['decimals']}f}" == bill["total"], bill["month"]
        assert bill["why"].strip()


def test_every_scenario_has_a_year_of_bills_with_all_that_can_happen() -> None:
    assert {file.stem for file in YEARS} == {file.stem for file in SCENARIOS.glob("*.yaml")}
    for file in YEARS:
        bills = yaml.safe_load(file.read_text(encoding="utf-8"))["bills"]
        assert [bill["month"] for bill in bills] == [f"2026-{month:02d}" for month in range(1, 13)]
        assert any("adjustments" in bill for bill in bills), file
        assert any("ended_on" in bill for bill in bills), file
        assert any(a["effective_on"].day > 1 for bill in bills for a in bill.get("amendments", [])), file


def bill_of(
    contract: Contract, counts: dict[tuple[str, date], int], billed: dict[LineKey, Billed], month: Period
) -> list[DraftLine]:
    """The month's bill by difference to those before it, which it then joins."""
    due = {key: sums for key, sums in billed.items() if key.due_on <= month.end}
    lines = difference(owed(contract, counts, month.end), due, month, contract.currency)
    for line in lines:
        before = billed.get(line.key, Billed(0, line.unit_amount * 0, 0, line.description, line.unit))
        billed[line.key] = replace(
            before,
            image_count=before.image_count + line.image_count,
            unit_amount=before.unit_amount + line.unit_amount,
            minor=before.minor + line.money.minor,
        )
    return lines


def drafted(line: DraftLine) -> list[str]:
    key = line.key
    return [key.kind, key.subject, key.service.name, str(line.image_count), f"{line.money.amount:f}"]


def contract_of(invoice: dict[str, Any]) -> Contract:
    if "scenario" in invoice:
        offer = scenario_offer(invoice)
        term, terms = offer.term, offer.versions[0][1]
    else:
        term, terms = None, parse_terms(invoice["terms"])
    if "rate" in invoice:
        terms = at_rate(terms, invoice["rate"])
    term = Period(*invoice["term"]) if "term" in invoice else term
    assert term
    later = tuple((a["effective_on"], parse_terms(a["terms"])) for a in invoice.get("amendments", ()))
    return Contract(term, ((term.start, terms), *later), invoice.get("ended_on"))


def scenario_offer(invoice: dict[str, Any]) -> Offer:
    document = yaml.safe_load((SCENARIOS / f"{invoice['scenario']}.yaml").read_text(encoding="utf-8"))
    offers = {offer.name: offer for offer in offers_of(document)}
    return offers[invoice["agreement"]] if "agreement" in invoice else next(iter(offers.values()))


def at_rate(terms: Terms, rate: str) -> Terms:
    (fee,) = terms.fees
    [tier] = (
        parse_terms(
            {"currency": "USD", "fees": [{"name": "x", "models": ["x"], "schedule": {"kind": "flat", "rate": rate}}]}
        )
        .fees[0]
        .schedule.tiers
    )
    assert isinstance(tier, Tier)
    return replace(terms, fees=(replace(fee, schedule=replace(fee.schedule, tiers=(tier,))),))


def counts_of(entries: list[dict[str, Any]]) -> dict[tuple[str, date], int]:
    counts: dict[tuple[str, date], int] = {}
    for entry in entries:
        if "day" in entry:
            days = [entry["day"]]
        elif "each_day_of" in entry:
            days = list(Period.month(entry["each_day_of"]).each_day())
        else:
            days = [date(entry["each_month_of"], month, 1) for month in range(1, 13)]
        for day in days:
            counts[entry["model"], day] = counts.get((entry["model"], day), 0) + entry["images"]
    return counts


def written(line: RatedLine) -> list[str]:
    price = "-" if line.unit_price is None else f"{plain(line.unit_price)} {line.unit}"
    key = line.key
    return [
        key.kind,
        key.subject,
        key.service.name,
        key.part or "-",
        str(line.image_count),
        price,
        f"{line.money.amount:f}",
    ]
