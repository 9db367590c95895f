"""From the first report to an issued invoice, as two licensees live it: the main job, through every door there is.

Everything is real: the commands are processes, the reports go over HTTP, the worker and beat do the counting and the
billing. What must come out is worked out by the recount, from what was sent and answered.
"""

import io
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pypdfium2

from core.period import Period
from tests.stories.installation import BEFORE, LAST, WHY_SO_OLD, Installation, Platform, at, flat, image

TERM = {"starts_on": LAST.start, "ends_on": LAST.start.replace(year=LAST.start.year + 1)}
CATALOGUE: dict[str, Any] = {
    "licensors": [{"slug": "first-guild", "name": "First Guild", "invoice_prefix": "FST", "address": ["1 Quay"]}],
    "models": [
        {
            "slug": "first-sd",
            "name": "First SD",
            "licensor": "first-guild",
            "kind": "checkpoint",
            "derivatives": [
                {"slug": "first-sd-tuned", "name": "First SD tuned", "kind": "fine-tune"},
                {"slug": "first-grain", "name": "First Grain", "kind": "lora"},
            ],
        },
        {"slug": "first-flux", "name": "First Flux", "licensor": "first-guild", "kind": "checkpoint"},
    ],
    "licensees": [{"slug": "first-harbour", "name": "Harbour"}, {"slug": "first-tower", "name": "Tower"}],
    "units": [{"code": "BUZZ", "name": "Buzz", "decimals": 0}],
    "accounts": [
        {"licensor": "first-guild", "licensee": "first-harbour", "currency": "USD"},
        {"licensor": "first-guild", "licensee": "first-tower", "currency": "USD", "zone": "Asia/Tokyo"},
    ],
    "agreements": [
        {
            "slug": "first-harbour-deal",
            "account": {"licensor": "first-guild", "licensee": "first-harbour"},
            **TERM,
            "terms": {
                "currency": "USD",
                "unit": "BUZZ",
                "conversions": [{"from": "BUZZ", "to": "USD", "rate": "0.001"}],
                "fees": [{"name": "images", "models": ["first-sd", "first-flux"], "schedule": flat("13")}],
                "commitments": [
                    {"name": "monthly minimum", "kind": "images", "quantity": 60_000, "period": "month"},
                ],
            },
        },
        {
            "slug": "first-tower-deal",
            "account": {"licensor": "first-guild", "licensee": "first-tower"},
            **TERM,
            "terms": {
                "currency": "USD",
                "fees": [
                    {
                        "name": "self-serve",
                        "models": ["first-sd"],
                        "schedule": flat("0.0137"),
                        "included_images": 5_000,
                        "base_fee": "99",
                    }
                ],
            },
        },
    ],
}
MODELS = ("first-sd", "first-sd-tuned", "first-flux")


def a_month_of(licensee: str, how_many: int) -> list[dict[str, Any]]:
    """Events all over the month, the same ones at each run; some on the seconds where Tokyo's months begin and end."""
    dice = random.Random(licensee)
    days = (LAST.end - LAST.start).days
    events = [
        image(
            dice.choice(MODELS),
            dice.randint(1, 50),
            at(LAST, dice.randint(1, days), dice.randrange(24)),
            f"{licensee}-{n}",
            **({"adapters": ["first-grain"]} if dice.random() < 0.3 else {}),
            **({"plan": "paid"} if dice.random() < 0.5 else {}),
        )
        for n in range(how_many)
    ]
    for n, bound in enumerate(LAST.bounds("Asia/Tokyo") + LAST.bounds("UTC")):
        for step in (-1, 0, 1):
            moment = (bound + timedelta(microseconds=step)).isoformat().replace("+00:00", "Z")
            events.append(image("first-sd", 1, moment, f"{licensee}-edge-{n}-{step}"))
    return events


def report_everything(platform: Platform) -> None:
    """The month in batches; every other batch again under its id, every fourth also under a new one."""
    events = a_month_of(platform.licensee, 1_500)
    for number, start in enumerate(range(0, len(events), 250)):
        batch = events[start : start + 250]
        first = platform.report(batch, f"{platform.licensee}-{number}", source="host-1", sequence=number)
        assert first["counts"]["accepted"] + first["counts"]["held"] == len(batch)
        if number % 2 == 0:
            assert platform.report(batch, first["report_id"], source="host-1", sequence=number) == first
        if number % 4 == 0:
            assert platform.report(batch, f"{first['report_id']}-again")["counts"]["duplicate"] == len(batch)


def report_what_is_wrong(platform: Platform) -> None:
    """One report in which nearly every event is refused, and the one good event is taken all the same."""
    known = platform.licensee + "-0"
    now = datetime.now(UTC)
    events = [
        image("first-sd", 999, at(LAST, 3), known),  # said before with another count
        image("first-sd", 7, at(LAST, 3), f"{platform.licensee}-good"),
        image("first-unheard-of", 11, at(LAST, 3), f"{platform.licensee}-unknown"),
        {**image("first-sd", 1, at(LAST, 3)), "image_count": True},
        image("first-sd", 0, at(LAST, 3)),
        image("first-sd", 1, (now + timedelta(hours=1)).isoformat()),
        image("first-sd", 1, (now - timedelta(days=400)).isoformat()),
    ]
    results = platform.report(events)["results"]
    expected = ["conflict", "accepted", "held", "rejected", "rejected", "rejected", "rejected"]
    assert [result["status"] for result in results] == expected
    assert all(result["code"] and result["message"] for result in results if result["status"] != "accepted")


def billed(invoice: dict[str, Any]) -> list[tuple[str, str, str, int, int]]:
    """An invoice's lines as the recount writes them."""
    return sorted(
        (line["kind"], line["model"], line["service_start"], line["image_count"], int(Decimal(line["amount"]) * 100))
        for line in invoice["lines"]
    )


def text_of(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(io.BytesIO(pdf))
    return "\n".join(page.get_textpage().get_text_bounded() for page in document)


def test_what_was_reported_is_invoiced_to_the_cent_and_shown_to_nobody_else(here: Installation) -> None:
    assert here.perimage("apply", here.file(CATALOGUE), "--yes")["applied"]
    here.recount.applied(CATALOGUE)
    old = ("--backfill-from", BEFORE.start.isoformat(), "--reason", WHY_SO_OLD)
    harbour, tower = (
        here.platform(licensee, here.perimage("keys", "issue", licensee, *old)["key"])
        for licensee in ("first-harbour", "first-tower")
    )
    for platform in (harbour, tower):
        report_everything(platform)
        report_what_is_wrong(platform)
    here.recount.check_conflicts()
    here.wait_for_counts(harbour, tower)
    assert here.recount.images("first-harbour") != here.recount.images("first-tower")

    closed = here.closed_by_command(LAST, "--issue")

    for platform in (harbour, tower):
        agreement = f"{platform.licensee}-deal"
        [invoice] = platform.invoices(period=LAST.name)
        owed = [(k, s, d.isoformat(), n, m) for k, s, d, n, m in here.recount.owed(agreement, LAST.end)]
        assert billed(invoice) == owed
        assert Decimal(invoice["total"]) * 100 == here.recount.owed_minor(agreement, LAST.end)
        assert closed[agreement]["state"] == "finished"
        assert closed[agreement]["invoice"]["total"] == invoice["total"]
        assert closed[agreement]["invoice"]["number"] == invoice["number"]
        pdf = platform.client.get(f"/v1/invoices/{invoice['number']}.pdf")
        assert pdf.headers["content-type"] == "application/pdf"
        assert invoice["number"] in text_of(pdf.content)
        assert f"{Decimal(invoice['total']):,}" in text_of(pdf.content)
    assert any(line["kind"] == "shortfall" for line in harbour.invoices()[0]["lines"])
    assert {p.invoices()[0]["number"] for p in (harbour, tower)} == {"FST-000001", "FST-000002"}
    nobody_sees_the_other(harbour, tower)
    assert here.perimage("verify")["ok"]


def nobody_sees_the_other(one: Platform, other: Platform) -> None:
    """Neither in a list nor by asking for it, nor with a key that is none."""
    for who, whose in ((one, other), (other, one)):
        [theirs] = [invoice["number"] for invoice in whose.get("/v1/invoices")["invoices"]]
        assert theirs not in str(who.get("/v1/invoices"))
        for path in (f"/v1/invoices/{theirs}", f"/v1/invoices/{theirs}.pdf"):
            assert who.client.get(path).status_code == httpx.codes.NOT_FOUND
            for key in ("", "Bearer x", "Basic eDp5", who.client.headers["Authorization"] + "x"):
                refused = who.client.get(path, headers={"Authorization": key})
                assert refused.status_code == httpx.codes.UNAUTHORIZED, (path, key)
    [number] = [invoice["number"] for invoice in one.get("/v1/invoices")["invoices"]]
    stranger = one.client.post("/v1/usage-reports", content=b"{}", headers={"Authorization": ""})
    assert stranger.status_code == httpx.codes.UNAUTHORIZED
    assert Period.month(one.get(f"/v1/invoices/{number}")["period"]["name"]) == LAST
