"""Looking costs nothing: a dry run writes nothing at all, a draft is nobody's invoice yet, and issuing comes after."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx

from core.period import Period
from tests.stories.installation import LAST, PATIENCE, Installation, at, image, trade

TABLES = (
    "billing_runs", "billing_run_items", "invoices", "invoice_lines", "invoice_documents", "number_series",
    "ledger_transactions", "postings", "daily_counts", "resolutions",
)  # fmt: skip


def everything(here: Installation) -> list[list[tuple[Any, ...]]]:
    return [here.ask(f"SELECT t::text FROM {table} t ORDER BY 1") for table in TABLES]


def drafts(here: Installation, licensor: str) -> list[tuple[Any, ...]]:
    asked = "SELECT status, total_minor FROM invoices i JOIN licensors l ON l.id = i.licensor_id WHERE slug = %s"
    return here.ask(asked, licensor)


def test_a_dry_run_shows_what_a_draft_and_then_an_invoice_will_say(here: Installation) -> None:
    here.apply(trade("look", "LOK", licensees=["look-north"], starts_on=LAST.start, rate="0.0333"))
    north = here.platform("look-north")
    north.report([image("look-sd", count, at(LAST, day)) for day, count in enumerate((10, 200, 3_001), start=1)])
    here.wait_for_counts(north)
    owed = here.recount.owed_minor("look-north-deal", LAST.end)
    assert owed == 10693  # 3,211 x 0.0333 = 106.9263

    before = everything(here)
    preview = here.closed_by_command(LAST, "--dry-run")["look-north-deal"]
    assert everything(here) == before
    assert preview["invoice"]["number"] is None
    assert Decimal(preview["invoice"]["total"]) * 100 == owed
    assert [line["image_count"] for line in preview["invoice"]["lines"]] == [3_211]

    assert here.close(LAST, issues=False)["look-north-deal"] == ("closed", None)
    assert drafts(here, "look-guild") == [("draft", owed)]
    assert north.get("/v1/invoices")["invoices"] == []

    north.report([image("look-sd", 100, at(LAST, 4))])  # a draft is made anew: this is no adjustment
    here.wait_for_counts(north)
    issued = here.closed_by_command(LAST, "--issue")["look-north-deal"]
    assert (issued["state"], issued["invoice"]["number"]) == ("finished", "LOK-000001")
    [invoice] = north.invoices()
    assert invoice["total"] == "110.26"
    assert [(line["adjustment"], line["image_count"]) for line in invoice["lines"]] == [(False, 3_311)]
    assert north.client.get("/v1/invoices/LOK-000001.pdf").status_code == httpx.codes.OK

    assert here.closed_by_command(LAST, "--dry-run")["look-north-deal"]["invoice"]["lines"] == []
    here.verify()


def test_a_draft_whose_reason_is_gone_goes_too(here: Installation) -> None:
    minimum = {"name": "monthly minimum", "kind": "images", "quantity": 1_000, "period": "month"}
    catalogue = trade("gone", "GON", licensees=["gone-north"], starts_on=LAST.start, commitments=[minimum])
    here.apply(catalogue)
    assert here.close(LAST, issues=False)["gone-north-deal"] == ("closed", None)
    assert drafts(here, "gone-guild") == [("draft", 1_250)]  # 1,000 x 0.0125: none came
    [agreement] = catalogue["agreements"]
    forgiven = {**agreement["terms"], "commitments": []}
    agreement["amendments"] = [{"effective_on": LAST.start, "terms": forgiven}]
    here.apply(catalogue)
    assert here.close(LAST)["gone-north-deal"] == ("finished", None)
    assert drafts(here, "gone-guild") == []


def test_a_month_that_is_not_over_can_be_looked_at_but_not_closed(here: Installation) -> None:
    this = Period.month(datetime.now(UTC).strftime("%Y-%m"))
    here.apply(trade("soon", "SON", licensees=["soon-north"], starts_on=LAST.start))
    preview = here.closed_by_command(this, "--dry-run")["soon-north-deal"]
    assert preview["state"] == "preview"
    refused = here.command("close", this.name, "--issue")
    output, sentence = refused.communicate(timeout=PATIENCE)
    assert (refused.returncode, output) == (2, "")
    assert sentence.strip().startswith(f"perimage: {this.name} ends at ")
    assert here.ask("SELECT 1 FROM billing_runs WHERE period_start = %s", this.start) == []
