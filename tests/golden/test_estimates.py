"""Every worked course of bills with estimates comes out as written: what is assumed, each line in words, the end."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.invoicing.drafts.invoice import Billed, difference
from core.period import Period
from core.rating.estimate import Estimated, estimate, marked
from core.rating.rate import LineKey, owed
from core.usage.reporting.calendar import Counted, Zero, expected_days, silent_models
from tests.golden.test_golden import contract_of, counts_of

FILES = sorted((Path(__file__).parent / "estimates").glob("*.yaml"))
DAY = timedelta(days=1)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_estimates_and_their_true_ups_come_out_line_by_line(file: Path) -> None:
    course = yaml.safe_load(file.read_text(encoding="utf-8"))
    contract = contract_of(course)
    counts: dict[tuple[str, date], int] = {}
    zeros: list[Zero] = []
    billed: dict[LineKey, Billed] = {}
    before: tuple[Estimated, ...] = ()
    for bill in course["bills"]:
        month = Period.month(bill["month"])
        counts |= reported(bill)
        zeros += [Zero(Period(day, day + DAY), None) for day in bill.get("zeros", ())]
        cover = [(model, contract.in_force) for model in contract.versions[0][1].models]
        expected = expected_days(cover, Period(contract.in_force.start, month.end), "UTC")
        counted = {day: Counted(1, images) for (_, day), images in counts.items()}
        found = estimate(contract, counts, expected, silent_models(expected, counted, zeros, month.end))
        assert [[row.model, f"{row.days[0]:%Y-%m}", len(row.days), row.images_a_day] for row in found.rows] == bill.get(
            "estimates", []
        ), bill["month"]
        images = {**counts, **found.images()}
        fees = marked(owed(contract, images, month.end), found, before, images)
        lines = difference(fees, billed, month, contract.currency)
        for name, adjustment in (("adjustments", True), ("lines", False)):
            shown = [written(line) for line in lines if line.adjustment == adjustment]
            assert shown == [[str(cell) for cell in line] for line in bill.get(name, [])], (bill["month"], name)
        assert f"{sum(line.money.amount for line in lines):.2f}" == bill["total"], bill["month"]
        assert bill["why"].strip()
        for line in lines:
            had = billed.get(line.key, Billed(0, line.unit_amount * 0, 0, line.description, line.unit))
            more = {"image_count": had.image_count + line.image_count, "minor": had.minor + line.money.minor}
            billed[line.key] = replace(had, unit_amount=had.unit_amount + line.unit_amount, **more)
        before = found.rows
    one_rating = sum(line.money.amount for line in owed(contract, counts, contract.in_force.end))
    total = sum(float(bill["total"]) for bill in course["bills"])
    assert f"{one_rating:.2f}" == course["in_the_end"]["total"] == f"{total:.2f}"


def reported(bill: dict[str, Any]) -> dict[tuple[str, date], int]:
    entries = bill.get("reports", ())
    found: dict[tuple[str, date], int] = {}
    for entry in entries:
        found |= {at: images for at, images in counts_of([entry]).items() if at[1] not in entry.get("but", ())}
    return found


def written(line: Any) -> list[str]:
    return [line.key.kind, line.key.service.name, line.description, str(line.image_count), f"{line.money.amount:f}"]
