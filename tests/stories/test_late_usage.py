"""What comes late is billed, once, on the next invoice, under the name of the month it belongs to.

Late are: usage that arrives after its month was issued, usage of a model nobody had registered, and usage from before
its agreement was signed. None of it may be dropped, and none of it may change what was issued.
"""

from decimal import Decimal
from typing import Any

from tests.stories.installation import BEFORE, LAST, Installation, at, image, trade

MODEL = "late-sd"


def lines_of(invoice: dict[str, Any]) -> list[tuple[bool, str, int]]:
    """Whether a line is an adjustment, the month it is about, and its images."""
    return [(line["adjustment"], line["service_start"][:7], line["image_count"]) for line in invoice["lines"]]


def test_late_usage_a_late_model_and_a_late_signature_come_onto_the_next_invoice(here: Installation) -> None:
    catalogue = trade("late", "LAT", licensees=["late-north", "late-south"], agreed=["late-north"])
    here.apply(catalogue)
    north, south = here.platform("late-north"), here.platform("late-south")
    north.report([image(MODEL, 1_000, at(BEFORE, 5)), image("late-lora", 30, at(BEFORE, 6))])
    south.report([image(MODEL, 2_000, at(BEFORE, 7))])
    assert here.recount.statuses["held"] >= 2
    here.wait_for_counts(north, south)

    closed = here.close(BEFORE)
    assert closed["late-north-deal"] == ("finished", "LAT-000001")
    assert "late-south-deal" not in closed  # nothing is signed: the usage waits
    [issued] = north.invoices()
    assert lines_of(issued) == [(False, BEFORE.name, 1_000)]

    last_day = (BEFORE.end - BEFORE.start).days
    north.report([image(MODEL, 111, at(BEFORE, last_day, 23.99)), image(MODEL, 500, at(LAST, 1, 0))])
    north.report([image("late-lora", 7, at(LAST, 2))])
    south.report([image(MODEL, 20, at(LAST, 3))])
    lora = {"slug": "late-lora", "name": "late-lora", "kind": "lora"}
    catalogue["models"][0]["derivatives"] = [lora]
    signed = trade("late", "LAT", licensees=["late-north", "late-south"], rate="0.02")["agreements"][1]
    catalogue["agreements"].append(signed)
    assert set(here.apply(catalogue)) == {"late-lora", "late-south-deal"}
    here.wait_for_counts(north, south)

    closed = here.close(BEFORE)  # the month that was issued stands as it is
    assert north.invoices() == [issued]
    assert (closed["late-north-deal"][1], closed["late-south-deal"][1]) == ("LAT-000001", "LAT-000002")

    here.close(LAST)
    first, second = north.invoices()
    assert first == issued
    assert sorted(lines_of(second)) == [(False, LAST.name, 507), (True, BEFORE.name, 141)]
    [adjustment] = [line for line in second["lines"] if line["adjustment"]]
    assert adjustment["description"].startswith(f"Adjustment to {BEFORE.name}:")
    for platform in (north, south):
        total = sum(Decimal(invoice["total"]) for invoice in platform.invoices()) * 100
        assert total == here.recount.owed_minor(f"{platform.licensee}-deal", LAST.end)
    assert [lines_of(invoice) for invoice in south.invoices()] == [
        [(False, BEFORE.name, 2_000)],
        [(False, LAST.name, 20)],
    ]
    closing_again_writes_nothing(here)
    here.verify()


def closing_again_writes_nothing(here: Installation) -> None:
    """Not a line, not a number, not an entry in the books; only the run itself is on record."""
    tables = ("invoices", "invoice_lines", "invoice_documents", "number_series", "ledger_transactions", "postings")

    def everything() -> list[list[tuple[Any, ...]]]:
        return [here.ask(f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables]

    before = everything()
    here.close(LAST)
    here.close(BEFORE, issues=False)
    assert everything() == before
