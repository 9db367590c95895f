"""The meter and its command against the real service: the way of an image, receipts, send-test, doctor."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import perimage
import psycopg
import pytest
from perimage import _cli

from tests.door import Door, open_trade, serving, settings_for


@pytest.fixture
def signing_door(database_url: str) -> Iterator[Door]:
    settings = settings_for(database_url, signing_key=b64encode(bytes(range(32))).decode())
    with serving(settings, open_trade(database_url)) as running:
        yield running


def test_images_are_counted_receipts_are_genuine_and_the_command_agrees(
    signing_door: Door, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    spool, key = tmp_path / "spool", signing_door.keys["north"]
    to = ["--url", signing_door.address, "--key", key]

    def run(*arguments: Any) -> tuple[int, Any]:
        status = _cli.main([*map(str, arguments), "--json"])
        return status, json.loads(capsys.readouterr().out)

    status, findings = run("doctor", "--spool", spool, *to)
    by_name = {each["name"]: each for each in findings}
    assert by_name["url"]["good"] and by_name["key"]["good"] and by_name.get("clock", {"good": True})["good"]
    wrong = run("doctor", "--spool", spool, "--url", signing_door.address, "--key", key[:-1] + "x")[1]
    assert [each["name"] for each in wrong if not each["good"] and each["name"] != "place"] == ["key"]
    status, sent = run("send-test", *to)
    assert status == 0 and sent["answer"]["results"][0]["status"] == "held"

    with perimage.Meter(signing_door.address, key, spool_dir=spool, raise_errors=True, keep_receipts=True) as meter:
        for images in range(1, 11):
            meter.record("sd-1", images, plan=f"plan-{images % 2}")
        meter.record("nobody-knows-this")
        assert meter.flush(20)
        stats = meter.stats()
        assert (stats.accepted, stats.held, stats.parked, stats.pending) == (2, 1, 0, 0)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT model, sum(image_count)::int FROM usage_events GROUP BY 1").fetchall()
    assert dict(rows) == {"sd-1": 55, "nobody-knows-this": 1, "perimage-test": 1}

    (receipt,) = (spool / "receipts").glob("*.json")
    keys = tmp_path / "keys.json"
    keys.write_bytes(httpx.get(signing_door.address + "/.well-known/perimage-keys.json").content)
    for form in (keys, signing_door.address):
        status, seen = run("verify", receipt, "--public-key", form)
        assert status == 0 and seen["genuine"] and seen["images"] == 56, seen
    fields = json.loads(receipt.read_bytes())
    receipt.write_text(json.dumps({**fields, "receipt": b64encode(b'{"report_id": "forged"}').decode()}))
    assert run("verify", receipt, "--public-key", keys)[0] == 1


def test_a_wrong_key_is_told_and_everything_is_kept(signing_door: Door, tmp_path: Path):
    with perimage.Meter(
        signing_door.address, "pk_wrong_key", spool_dir=tmp_path, raise_errors=True, min_free_bytes=0
    ) as meter:
        meter.record("sd-1", 5)
        with pytest.raises(perimage.Unauthorized, match="check the meter key"):
            meter.flush(0.5)
        assert meter.stats().pending_images == 5
    with perimage.Meter(signing_door.address, signing_door.keys["north"], spool_dir=tmp_path) as meter:
        assert meter.flush(10) and meter.stats().accepted == 1
