"""Looking costs nothing: a dry run writes nothing at all, a draft is nobody's invoice yet, and issuing comes after."""

from decimal import Decimal
from typing import Any

import httpx

from tests.stories.installation import LAST, Installation, at, image, trade

TABLES = (
    "billing_runs", "billing_run_items", "invoices", "invoice_lines", "invoice_documents", "number_series",
    "ledger_transactions", "postings", "daily_counts", "resolutions",
)  # fmt: skip


def everything(here: Installation) -> list[list[tuple[Any, ...]]]:
    return [here.ask(f"SELECT t::text FROM {table} t ORDER BY 1") for table in TABLES]


def test_a_dry_run_shows_what_a_draft_and_then_an_invoice_will_say(here: Installation) -> None:
    here.apply(trade("look", "LOK", licensees=["look-north"], starts_on=LAST.start, rate="0.0333"))
    north = here.platform("look-north")
    north.report([image("look-sd", count, at(LAST, day)) for day, count in enumerate((10, 200, 3_001), start=1)])
    here.wait_for_counts(north)
    owed = here.recount.owed_minor("look-north-deal", LAST.end)
    assert owed == 10693  # 3,211 x 0.0333 = 106.9263

    before = everything(here)
    preview = here.close(LAST, "--dry-run")["look-north-deal"]
    assert everything(here) == before
    assert preview["invoice"]["number"] is None
    assert Decimal(preview["invoice"]["total"]) * 100 == owed
    assert [line["image_count"] for line in preview["invoice"]["lines"]] == [3_211]

    draft = here.close(LAST)["look-north-deal"]
    assert (draft["state"], draft["invoice"]["status"], draft["invoice"]["number"]) == ("closed", "draft", None)
    assert Decimal(draft["invoice"]["total"]) * 100 == owed
    assert north.get("/v1/invoices")["invoices"] == []

    north.report([image("look-sd", 100, at(LAST, 4))])  # a draft is made anew: this is no adjustment
    here.wait_for_counts(north)
    assert Decimal(here.close(LAST, "--dry-run")["look-north-deal"]["invoice"]["total"]) == Decimal("110.26")
    issued = here.close(LAST, "--issue")["look-north-deal"]
    assert (issued["state"], issued["invoice"]["number"]) == ("finished", "LOK-000001")
    [invoice] = north.invoices()
    assert invoice["total"] == "110.26"
    assert [(line["adjustment"], line["image_count"]) for line in invoice["lines"]] == [(False, 3_311)]
    assert north.client.get("/v1/invoices/LOK-000001.pdf").status_code == httpx.codes.OK

    assert here.close(LAST, "--dry-run")["look-north-deal"]["invoice"]["lines"] == []
    here.verify()


def test_a_month_that_is_not_over_can_be_looked_at_but_not_closed(here: Installation) -> None:
    from datetime import UTC, datetime

    from core.period import Period

    this = Period.month(datetime.now(UTC).strftime("%Y-%m"))
    here.apply(trade("soon", "SON", licensees=["soon-north"], starts_on=LAST.start))
    preview = here.close(this, "--dry-run")["soon-north-deal"]
    assert preview["state"] == "preview"
    [refused] = [
        row
        for row in here.outcome(here.command("close", this.name, "--issue", "--json"), exit_code=1)["agreements"]
        if row["agreement"] == "soon-north-deal"
    ]
    assert refused["state"] == "failed"
    assert refused["error"].startswith("Conflict: ")
    assert this.name in refused["error"]
    assert here.ask("SELECT 1 FROM billing_run_items WHERE finished_at IS NULL") == []
