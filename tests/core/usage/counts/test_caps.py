"""Hard caps: which months are full, and which events of a report they turn away."""

from datetime import UTC, date, datetime
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from core.registry.queries import lineage
from core.usage.counts.caps import FullCaps, capped_agreements, full_months
from core.usage.intake.report import Window, micros, read_report
from tests.core.usage.counts.test_rollup import rolled
from tests.trade import Trade, flat

HARD = {"images": 100, "kind": "hard"}


def report(*events: tuple[str, str, dict[str, Any]]) -> Any:
    """A report of (model, time, more)."""
    sent = [
        {"event_id": str(n), "model": model, "image_count": 1, "occurred_at": at, **more}
        for n, (model, at, more) in enumerate(events)
    ]
    window = Window(-(2**62), 2**62, 35, 5)
    return read_report(msgspec.json.encode({"report_id": "r", "events": sent}), window)


def turned_away(session: Session, trade: Trade, *events: tuple[str, str, dict[str, Any]]) -> list[int]:
    rolled(session)
    full = FullCaps(full_months(session, capped_agreements(session)))
    return sorted(full.refusals(lineage(session), trade.licensee("north").id, report(*events)))


def test_a_month_is_full_when_its_images_reach_the_cap_and_only_that_month(session: Session) -> None:
    trade = Trade(session, zone="Asia/Tokyo")
    trade.model("sd-2")
    trade.agreement(fees=[flat("sd-1", "0.01", cap=HARD), flat("sd-2", "0.01")])
    trade.use("sd-1", 99, "2026-10-03T12:00Z")
    trade.use("sd-1", 500, "2026-09-30T14:59Z")  # September in Tokyo
    asked = (
        ("sd-1", "2026-10-20T00:00:00Z", {}),
        ("sd-2", "2026-10-20T00:00:00Z", {}),
        ("sd-1", "2026-09-30T14:59:59.999999Z", {}),
        ("sd-1", "2026-09-30T15:00:00Z", {}),
        ("sd-1", "2026-08-31T14:59:59.999999Z", {}),
    )
    assert turned_away(session, trade, *asked) == [2]
    trade.use("sd-1", 1, "2026-10-03T12:00Z")
    assert turned_away(session, trade, *asked) == [0, 2, 3]
    [september, october] = full_months(session, capped_agreements(session))
    assert october.refusal.code == "hard_cap_reached"
    assert "100 images of sd-1 a month" in october.refusal.message and "2026-10" in october.refusal.message
    assert september.end == october.start
    recent = full_months(session, capped_agreements(session), start=date(2026, 10, 1))
    before = full_months(session, capped_agreements(session), end=date(2026, 10, 1))
    assert [*before, *recent] == [september, october]


def test_a_soft_cap_turns_nothing_away(session: Session) -> None:
    trade = Trade(session)
    trade.agreement(fees=[flat("sd-1", "0.01", cap={"images": 100, "kind": "soft"})])
    trade.use("sd-1", 500, "2026-10-03T12:00Z")
    rolled(session)
    assert capped_agreements(session) == []


def test_a_group_fills_its_cap_together_and_is_turned_away_together(session: Session) -> None:
    trade = Trade(session)
    for slug in ("sd-1", "sd-2"):
        trade.model(slug)
    fee = {**flat("sd-1", "0.01", cap=HARD), "name": "both", "models": ["sd-1", "sd-2"], "per": "group"}
    trade.agreement(fees=[fee])
    trade.use("sd-1", 60, "2026-10-03T12:00Z")
    trade.use("sd-2", 40, "2026-10-04T12:00Z")
    asked = [(model, "2026-10-20T00:00:00Z", {}) for model in ("sd-1", "sd-2")]
    assert turned_away(session, trade, *asked) == [0, 1]


def test_only_what_would_be_billed_under_the_cap_fills_it_and_is_turned_away(session: Session) -> None:
    trade = Trade(session)
    trade.model("tune", bases=["sd-1"])
    trade.model("ink", bases=["sd-1"], owes="both")
    trade.model("sd-2")
    definitions = {"counted": ["previews"]}
    trade.agreement(fees=[flat("sd-1", "0.01", cap=HARD)], definitions=definitions, adapters="none")
    trade.use("sd-2", 500, "2026-10-03T12:00Z", adapters=["ink"])
    trade.use("sd-1", 500, "2026-10-03T12:00Z", output="upscale")
    trade.use("tune", 99, "2026-10-03T12:00Z")
    at = "2026-10-20T00:00:00Z"
    asked = (
        ("sd-1", at, {}),
        ("tune", at, {"output": "preview"}),
        ("tune", at, {"output": "upscale"}),
        ("sd-2", at, {"adapters": ["ink"]}),
        ("sd-1", at, {"adapters": ["ink"]}),
        ("nobody", at, {}),
    )
    assert turned_away(session, trade, *asked) == []
    trade.use("sd-1", 1, "2026-10-03T12:00Z", output="preview")
    assert turned_away(session, trade, *asked) == [0, 1, 4]


def test_an_amendment_that_lifts_the_cap_opens_the_month_from_its_day_on(session: Session) -> None:
    trade = Trade(session)
    agreement = trade.agreement(fees=[flat("sd-1", "0.01", cap=HARD)])
    trade.use("sd-1", 100, "2026-10-03T12:00Z")
    trade.amend(agreement, date(2026, 10, 15), fees=[flat("sd-1", "0.01", cap={"images": 200, "kind": "hard"})])
    days = [("sd-1", f"2026-10-{day}T12:00:00Z", {}) for day in (14, 15)]
    assert turned_away(session, trade, *days) == [0]
    trade.use("sd-1", 100, "2026-10-16T12:00Z")
    assert turned_away(session, trade, *days) == [0, 1]


def test_after_its_term_an_agreement_turns_nothing_away(session: Session) -> None:
    trade = Trade(session)
    trade.agreement(fees=[flat("sd-1", "0.01", cap=HARD)], ends_on=date(2026, 10, 15))
    trade.use("sd-1", 100, "2026-10-03T12:00Z")
    asked = [("sd-1", f"2026-10-{day}T12:00:00Z", {}) for day in (14, 15)]
    assert turned_away(session, trade, *asked) == [0]
    [month] = full_months(session, capped_agreements(session))
    assert month.end == micros(datetime(2026, 10, 15, tzinfo=UTC))
