"""Statements through the door: fetched, verified offline, certified, disputed; and totals reconciled."""

from base64 import b64encode
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from core.database import make_engine
from core.period import Period
from core.signatures import Signer
from core.statements.attest import attest
from core.statements.verify import check_statement
from core.usage.counts.rollup import roll_up
from tests.door import Door, event, report

SIGNER = Signer(b"\x09" * 32)
TODAY = datetime.now(UTC).date()
MONTH = Period.month_of(TODAY.replace(day=1) - timedelta(days=1))
DAY = MONTH.end - timedelta(days=1)


def noon(day: date) -> str:
    return f"{day}T12:00:00Z"


def attested(database_url: str, licensee: str = "north") -> int:
    """The number of a new statement over what was reported."""
    engine = make_engine(database_url)
    with Session(engine) as session:
        while roll_up(session).more:
            session.commit()
        session.commit()
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        statement, _ = attest(session, "guild", licensee, MONTH, SIGNER)
        session.commit()
        number = statement.number
    engine.dispose()
    return number


def post(door: Door, path: str, body: Any, licensee: str = "north") -> Any:
    return door.client.post(path, json=body, headers={"Authorization": f"Bearer {door.keys[licensee]}"})


@pytest.fixture
def reported(door: Door) -> Door:
    events = [event("e-1", image_count=40, occurred_at=noon(DAY)), event("e-2", image_count=2, occurred_at=noon(DAY))]
    assert door.post(report(events), "backfill").json()["counts"]["accepted"] == 2
    return door


def test_a_statement_and_a_proof_are_checked_with_the_public_key_alone(reported: Door, database_url: str) -> None:
    number = attested(database_url)
    (listed,) = reported.get("/v1/statements").json()["statements"]
    assert (listed["number"], listed["image_count"], listed["standing"]) == (number, 42, "open")
    envelope = reported.get(f"/v1/statements/guild/{number}").json()
    proof = reported.get(f"/v1/statements/guild/{number}/proof", event_id="e-2").json()
    checks = check_statement(envelope, {SIGNER.key_id: SIGNER.public_key}, proof=proof)
    assert all(check.holds for check in checks), checks
    assert envelope["signature"]["value"] == b64encode(SIGNER.sign(_bytes(envelope["statement"]))).decode()
    assert reported.get(f"/v1/statements/guild/{number}/proof", event_id="e-9").status_code == 404


def _bytes(document: Any) -> bytes:
    import json

    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_it_is_disputed_and_certified_by_whom_it_concerns(reported: Door, database_url: str) -> None:
    path = f"/v1/statements/guild/{attested(database_url)}"
    claim = {"model": "sd-1", "day": str(DAY), "image_count": 30, "reason": "a retry storm"}
    made = post(reported, f"{path}/disputes", claim)
    assert (made.status_code, made.json()["stated"], made.json()["outcome"]) == (201, 42, "open")
    refused = post(reported, f"{path}/certification", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "disputed")
    assert post(reported, f"{path}/disputes", {**claim, "image_count": 42}).json()["code"] == "nothing_to_dispute"
    assert len(reported.get(f"{path}/disputes").json()["disputes"]) == 1
    again = post(reported, f"{path}/disputes", claim)
    assert (again.status_code, again.json()["code"]) == (409, "disputed_already")
    for path_of in (path, f"{path}/disputes", f"{path}/proof"):
        assert reported.get(path_of, "south", event_id="e-1").status_code == 404
    assert post(reported, f"{path}/certification", {}, "south").status_code == 404


@pytest.mark.parametrize(
    "bad",
    [
        {"image_count": True}, {"image_count": "30"}, {"image_count": 1.5}, {"image_count": -1}, {"image_count": 2**63},
        {"day": "yesterday"}, {"day": "2026-02-30"}, {"reason": ""}, {"reason": "two\nlines"}, {"reason": "x\x00"},
        {"model": "\x00"}, {"plan": "\x00"}, {"more": 1},
    ],
)  # fmt: skip
def test_a_claim_that_makes_no_sense_changes_nothing(reported: Door, database_url: str, bad: dict[str, Any]) -> None:
    path = f"/v1/statements/guild/{attested(database_url)}/disputes"
    claim = {"model": "sd-1", "day": str(DAY), "image_count": 30, "reason": "a retry storm"}
    answer = post(reported, path, {**claim, **bad})
    assert 400 <= answer.status_code < 500 and answer.json()["code"], answer.text
    assert reported.get(path).json()["disputes"] == []


def test_own_totals_are_compared_with_what_was_counted(reported: Door, database_url: str) -> None:
    attested(database_url)
    totals = f"model,day,image_count\nsd-1,{DAY},40\n"
    found = post(reported, "/v1/reconciliations", {"licensor": "guild", "period": MONTH.name, "totals": totals}).json()
    assert found["days"] == [
        {"model": "sd-1", "day": str(DAY), "theirs": 40, "ours": 42, "images": 2, "share": "4.76 %"}
    ]
    assert (found["whole"]["images"], found["beyond_threshold"]) == (2, False)
    tight = {"licensor": "guild", "period": MONTH.name, "totals": totals, "threshold_percent": "4.7"}
    assert post(reported, "/v1/reconciliations", tight).json()["beyond_threshold"]
    wrong = {"licensor": "guild", "period": MONTH.name, "totals": "a,b\n"}
    assert post(reported, "/v1/reconciliations", wrong).json()["code"] == "wrong_columns"
