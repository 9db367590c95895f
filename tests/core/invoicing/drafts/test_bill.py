"""From usage to invoices: what the terms count, who is owed what for one image, and how it is shown."""

from datetime import date
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
import yaml
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from core.agreements.queries import agreement_named
from core.agreements.tables import Agreement
from core.catalogue.apply import apply
from core.catalogue.declare import parse_catalogue
from core.invoicing.drafts.bill import load_bill
from core.invoicing.drafts.close import close
from core.invoicing.life.issue import issue
from core.invoicing.paper.document import render_pdf
from core.invoicing.tables import Invoice, InvoiceLine
from core.money import Money
from core.period import Period
from core.registry.tables import Licensee, ModelName
from core.usage.counts.review import re_resolve
from core.usage.counts.rollup import roll_up
from core.usage.tables import UsageEvent
from tests.trade import Trade, flat

SEPTEMBER, OCTOBER = Period.month("2026-09"), Period.month("2026-10")
AT = "2026-10-03T12:00Z"
SCENARIOS = Path(__file__).parents[4] / "config" / "scenarios"


def counts(session: Session, agreement: Agreement) -> dict[tuple[str, int], int]:
    session.commit()
    while roll_up(session).more:
        session.commit()
    session.commit()
    found = load_bill(session, agreement, until=OCTOBER.end).counts
    return {(model, day.day): images for (model, day), images in found.items()}


def issued(session: Session, agreement: Agreement, month: Period = OCTOBER) -> Invoice:
    counts(session, agreement)
    closed = close(session, agreement.id, month)
    assert closed.invoice is not None
    invoice = issue(session, closed.invoice.id)
    session.commit()
    return invoice


def test_one_image_pays_three_licensors_each_on_its_own_invoice(session: Session) -> None:
    document = yaml.safe_load((SCENARIOS / "stacked.yaml").read_text(encoding="utf-8"))
    apply(session, parse_catalogue(document), date(2026, 1, 1))
    licensee = session.scalars(select(Licensee)).one()
    for n in range(10):
        session.execute(
            insert(UsageEvent).values(
                licensee_id=licensee.id, event_id=f"e{n}", model="rowan-portraits", adapters=["quill-ink"],
                image_count=100, occurred_at=f"2026-04-{n + 3:02}T12:00Z", plan="", report_no=0,
            )
        )  # fmt: skip
    april = Period.month("2026-04")
    invoices = {
        slug: issued(session, agreement_named(session, slug), april)
        for slug in ("stacked-base", "stacked-fine-tune", "stacked-lora")
    }
    totals = {slug: str(Money(i.currency, i.total_minor).amount) for slug, i in invoices.items()}
    assert totals == {"stacked-base": "5.00", "stacked-fine-tune": "1.00", "stacked-lora": "0.10"}
    assert len({invoice.licensor_id for invoice in invoices.values()}) == 3
    assert session.scalars(select(InvoiceLine.image_count)).all() == [1000] * 3


RULES = {None: {"sd-1": 40, "both": 70}, "own": {"sd-1": 10, "both": 70}, "base": {"sd-1": 60},
         "both": {"sd-1": 60, "both": 70}, "none": {"sd-1": 10}}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_each_agreement_says_what_an_adapter_owes(session: Session, rule: str | None) -> None:
    trade = Trade(session)
    for slug in ("sd-1", "free"):
        trade.model(slug)
    trade.model("own", bases=["sd-1"], owes="own")
    trade.model("both", bases=["sd-1"], owes="both")
    fees = [flat("sd-1", "5"), flat("both", "1")]
    agreement = trade.agreement(fees=fees, **({"adapters": rule} if rule else {}))
    trade.use("sd-1", 10, AT, adapters=["own", "both"])
    trade.use("free", 20, AT, adapters=["own"])
    trade.use("free", 30, AT, adapters=["both"])
    trade.use("free", 30, AT, adapters=["both"], output="preview")
    expected = dict(RULES[rule])
    if "both" in expected:
        expected["both"] = 40
    assert {model: images for (model, _), images in counts(session, agreement).items()} == expected


def test_an_amendment_changes_the_rule_from_its_day_on_without_counting_anew(session: Session) -> None:
    trade = Trade(session)
    trade.model("other")
    trade.model("ink", bases=["sd-1"], owes="both")
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    for day in (10, 20):
        trade.use("other", 100, f"2026-10-{day}T12:00Z", adapters=["ink"])
        trade.use("sd-1", 7, f"2026-10-{day}T12:00Z", output="preview")
    assert counts(session, agreement) == {("sd-1", 10): 100, ("sd-1", 20): 100}
    assert issued(session, agreement).total_minor == 200
    counted = {"counted": ["previews"]}
    trade.amend(agreement, date(2026, 10, 15), fees=[flat("sd-1", "0.01")], adapters="none", definitions=counted)
    assert counts(session, agreement) == {("sd-1", 10): 100, ("sd-1", 20): 7}


def test_the_snapshot_shows_plans_and_outputs_and_every_breakdown_sums_up(session: Session) -> None:
    trade = Trade(session)
    trade.model("tune", bases=["sd-1"])
    definitions = {"counted": ["upscales"], "video_frame_factor": "0.04"}
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")], definitions=definitions)
    trade.use("sd-1", 500, AT, plan="free")
    trade.use("tune", 300, "2026-10-04T12:00Z", plan="paid")
    trade.use("tune", 80, AT, plan="paid", output="preview")
    trade.use("tune", 20, AT, plan="free", output="upscale")
    for day in (5, 6, 7):
        trade.use("tune", 30, f"2026-10-0{day}T12:00Z", plan=("free", "paid")[day % 2], output="video_frame")
    invoice = issued(session, agreement)
    snapshot: Any = invoice.snapshot
    usage = snapshot["usage"]
    assert usage["by_output"] == [
        {"output": "image", "reported": 800, "image_count": 800, "note": None},
        {"output": "preview", "reported": 80, "image_count": 0, "note": "counted, not billed under the terms"},
        {"output": "upscale", "reported": 20, "image_count": 20, "note": None},
        {"output": "video_frame", "reported": 90, "image_count": 3, "note": "each counts as 0.04 of an image"},
    ]
    [line] = snapshot["lines"]
    assert line["image_count"] == 823 and line["amount"] == "8.23"
    assert usage["by_model"][0]["image_count"] == 823
    assert sum(row["image_count"] for row in usage["by_model"][0]["derivatives"]) == 823
    assert sum(row["image_count"] for row in usage["by_day"]) == 823
    assert {row["plan"]: row["image_count"] for row in usage["by_plan"]} == {"free": 521, "paid": 302}
    pdf = pypdfium2.PdfDocument(render_pdf({**snapshot, "content_hash": invoice.content_hash}))
    text = "\n".join(page.get_textpage().get_text_bounded() for page in pdf)
    for said in ("Images by plan", "free", "521", "Video frames", "each counts as 0.04 of an image", "not billed"):
        assert said in text, said


def test_an_air_that_is_re_resolved_comes_out_as_an_adjustment(session: Session) -> None:
    trade = Trade(session)
    trade.model("tune", bases=["sd-1"], owes="own")
    session.add(ModelName(name="urn:air:sd1:checkpoint:civitai:1@1", model_id=trade.model("sd-1").id))
    agreement = trade.agreement(fees=[flat("sd-1", "0.02"), flat("tune", "0.01")])
    air = "urn:air:sd1:checkpoint:civitai:9@9"
    trade.use(air, 1000, "2026-09-03T12:00Z")
    trade.use("sd-1", 5000, "2026-10-03T12:00Z")
    assert issued(session, agreement, SEPTEMBER).total_minor == 2000
    session.add(ModelName(name=air, model_id=trade.models["tune"].id))
    session.commit()
    assert {model for model, _ in counts(session, agreement)} == {"sd-1"}, "registering alone moves nothing"
    re_resolve(session, air, actor="Ada", reason="It is the tuner's.")
    invoice = issued(session, agreement)
    lines = sorted((line.subject, line.adjustment, line.image_count, line.amount_minor) for line in invoice.lines)
    assert lines == [("sd-1", False, 5000, 10000), ("sd-1", True, -1000, -2000), ("tune", True, 1000, 1000)]
