"""Receipts that prove themselves: signed over their very bytes, by a key that stays published for ever."""

import json
import logging
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

import httpx
import psycopg
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from config.settings import Settings
from service.signing import Signing
from tests.door import Door, event, open_trade, report, serving, settings_for, wait_until

SEED = b64encode(bytes(range(32))).decode()
OTHER_SEED = b64encode(bytes(range(1, 33))).decode()


def published(door: Door) -> dict[str, dict]:
    response = door.client.get("/.well-known/perimage-keys.json")
    assert response.status_code == 200 and "max-age" in response.headers["cache-control"]
    return {key["key_id"]: key for key in response.json()["keys"]}


def proves(response: httpx.Response, keys: dict[str, dict]) -> str:
    """Verifies a receipt as a stranger would, from the header, the bytes and the published keys; the key's id."""
    key_part, signature_part = response.headers["perimage-signature"].split(", ")
    key_id = key_part.removeprefix('keyid="').removesuffix('"')
    assert signature_part.startswith("ed25519=:") and signature_part.endswith(":")
    key = keys[key_id]
    assert key["algorithm"] == "ed25519"
    public = b64decode(key["public_key"], validate=True)
    assert sha256(public).hexdigest()[:16] == key_id
    signature = b64decode(signature_part[len("ed25519=:") : -1], validate=True)
    Ed25519PublicKey.from_public_bytes(public).verify(signature, response.content)
    return key_id


def test_a_receipt_is_signed_over_its_bytes_and_names_the_body_that_it_is_about(database_url: str):
    with serving(settings_for(database_url, signing_key=SEED), open_trade(database_url)) as door:
        wait_until(lambda: published(door))
        body = json.dumps(report([event("a"), event("b", image_count=0), event("c", model="nobody")], "r")).encode()
        first = door.post(body)
        keys = published(door)
        proves(first, keys)
        assert first.json()["body_sha256"] == sha256(body).hexdigest()
        again = door.post(body)
        assert again.headers["perimage-replayed"] == "true"
        assert again.content == first.content
        assert again.headers["perimage-signature"] == first.headers["perimage-signature"]
        respelt = json.dumps(first.json()).encode()
        with pytest.raises(InvalidSignature):
            proves(httpx.Response(200, headers=first.headers, content=respelt), keys)
        other = door.post(report([event("d")], "r2"))
        assert other.headers["perimage-signature"] != first.headers["perimage-signature"]
        proves(other, keys)
        refusal = door.post(b"{")
        assert refusal.status_code == 400 and "perimage-signature" not in refusal.headers


def test_processes_of_one_installation_sign_alike_and_publish_their_key_once(database_url: str, tmp_path: Path):
    file = tmp_path / "signing.key"
    file.write_text(SEED + "\n")
    keys = open_trade(database_url)
    sent = report([event("a")], "r")
    with (
        serving(settings_for(database_url, signing_key=SEED), keys) as one,
        serving(settings_for(database_url, signing_key_file=file), keys) as two,
    ):
        wait_until(lambda: published(one))
        first, again = one.post(sent), two.post(sent)
        assert first.content == again.content
        assert first.headers["perimage-signature"] == again.headers["perimage-signature"]
        assert published(one).keys() == published(two).keys() == {proves(first, published(two))}


def test_a_replaced_key_stays_published_and_old_receipts_stay_good(database_url: str):
    keys = open_trade(database_url)
    with serving(settings_for(database_url, signing_key=SEED), keys) as door:
        wait_until(lambda: published(door))
        old = door.post(report([event("a")], "r1"))
    with serving(settings_for(database_url, signing_key=OTHER_SEED), keys) as door:
        wait_until(lambda: len(published(door)) == 2, patience=8)
        new = door.post(report([event("b")], "r2"))
        both = published(door)
        assert both[proves(old, both)]["retired_at"] == both[proves(new, both)]["created_at"]
        assert both[proves(new, both)]["retired_at"] is None
        assert proves(old, both) != proves(new, both)
    with serving(settings_for(database_url, signing_key=SEED), keys) as door:  # back to the first one
        wait_until(lambda: published(door)[proves(old, both)]["retired_at"] is None, patience=8)
        assert published(door)[proves(new, both)]["retired_at"] is not None
        assert published(door)[proves(old, both)]["created_at"] == both[proves(old, both)]["created_at"]
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM signing_keys").fetchone() == (3,)


def test_without_a_key_receipts_are_not_signed_and_the_log_says_so(
    door: Door, database_url: str, caplog: pytest.LogCaptureFixture
):
    assert "perimage-signature" not in door.post(report([event()])).headers
    assert published(door) == {}
    with caplog.at_level(logging.INFO, "perimage.signing"):
        Signing(settings_for(database_url))
        Signing(settings_for(database_url, signing_key=SEED))
    assert "not signed" in caplog.messages[0] and "signed with key" in caplog.messages[1]
    assert SEED not in caplog.text


@pytest.mark.parametrize("key", ["AAAA", "not a key", b64encode(bytes(33)).decode()])
def test_a_key_that_is_none_keeps_the_service_from_starting(tmp_path: Path, key: str):
    with pytest.raises(RuntimeError, match="PERIMAGE_SIGNING_KEY: a signing key is 32 bytes"):
        Signing(settings_for("", signing_key=key))
    file = tmp_path / "signing.key"
    file.write_text(key)
    with pytest.raises(RuntimeError, match=r"signing\.key: a signing key is 32 bytes"):
        Signing(settings_for("", signing_key_file=file))
    with pytest.raises(RuntimeError, match="cannot be read"):
        Signing(settings_for("", signing_key_file=tmp_path / "nowhere"))


def test_the_key_is_not_printed_with_the_settings():
    assert SEED not in repr(Settings(signing_key=SEED))
