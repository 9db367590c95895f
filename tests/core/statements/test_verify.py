"""Reading and checking a statement's file without a database, and the small verifier in docs that shares no code."""

import json
import subprocess
import sys
from base64 import b64encode
from copy import deepcopy
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from core.canonical import canonical, hash_of
from core.errors import InvalidInput
from core.period import Period
from core.signatures import Signer
from core.statements.merkle import leaf_hash, path_to, root_of
from core.statements.statement import Counted, Place, Tree, event_document, leaf, statement_document
from core.statements.verify import check_statement, read_envelope

ROOT = Path(__file__).resolve().parents[3]
SIGNER = Signer(b"\x05" * 32)
KEYS = {SIGNER.key_id: SIGNER.public_key}
AT = datetime(2026, 3, 10, 12, tzinfo=UTC)


def made(number: int = 1, previous: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A statement's file, and the proof of its second event."""
    events = [
        event_document(
            event_id=f"e-{n}", model="sd-1", image_count=n + 1, occurred_at=AT, adapters=["ß"], plan="", output="image"
        )
        for n in range(5)
    ]  # fmt: skip
    hashes = [leaf_hash(leaf(event)) for event in events]
    document = statement_document(
        licensor="guild",
        licensee="north",
        zone="Asia/Kolkata",
        period=Period.month("2026-03"),
        place=Place(number, hash_of(previous) if previous else None, 1, None),
        made_at=datetime(2026, 4, 2, tzinfo=UTC),
        counts=[Counted("sd-1", date(2026, 3, 10), "", "image", "named", 15, 5, 0, 0)],
        tree=Tree(5, 15, root_of(hashes)),
        calendars={"deal": [(date(2026, 3, 10), "reported")]},
    )
    signature = b64encode(SIGNER.sign(canonical(document))).decode()
    envelope = {
        "statement": document,
        "signature": {"algorithm": "ed25519", "key_id": SIGNER.key_id, "value": signature},
    }
    return envelope, {"event": events[1], "index": 1, "path": [each.hex() for each in path_to(1, hashes)]}


def small_verifier(folder: Path, envelope: Any, proof: Any = None) -> subprocess.CompletedProcess[str]:
    (folder / "statement.json").write_text(json.dumps(envelope, indent=1))
    words = [str(folder / "statement.json"), SIGNER.public_key.hex()]
    if proof is not None:
        (folder / "proof.json").write_text(json.dumps(proof))
        words.append(str(folder / "proof.json"))
    script = ROOT / "docs" / "verify_statement.py"
    return subprocess.run([sys.executable, script, *words], capture_output=True, text=True, check=False, cwd=folder)


def test_both_verifiers_accept_what_was_signed(tmp_path: Path) -> None:
    envelope, proof = made()
    read = read_envelope(json.dumps(envelope, indent=2).encode())
    assert all(check.holds for check in check_statement(read, KEYS, proof=proof))
    done = small_verifier(tmp_path, envelope, proof)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "15 images" in done.stdout


def _count(envelope: dict[str, Any], _proof: dict[str, Any]) -> None:
    envelope["statement"]["counts"][0]["image_count"] = 14


def _signature(envelope: dict[str, Any], _proof: dict[str, Any]) -> None:
    envelope["signature"]["value"] = b64encode(b"\x00" * 64).decode()


def _event(_envelope: dict[str, Any], proof: dict[str, Any]) -> None:
    proof["event"]["image_count"] += 1


def _path(_envelope: dict[str, Any], proof: dict[str, Any]) -> None:
    proof["path"] = proof["path"][:-1]


def _resummed(envelope: dict[str, Any], _proof: dict[str, Any]) -> None:
    """Signed by us, but its sums are wrong: the one thing that only arithmetic sees."""
    envelope["statement"]["models"][0]["image_count"] = 99
    envelope["signature"]["value"] = b64encode(SIGNER.sign(canonical(envelope["statement"]))).decode()


@pytest.mark.parametrize("change", [_count, _signature, _event, _path, _resummed])
def test_both_verifiers_refuse_what_was_not(tmp_path: Path, change: Any) -> None:
    envelope, proof = deepcopy(made())
    change(envelope, proof)
    assert not all(check.holds for check in check_statement(envelope, KEYS, proof=proof))
    assert small_verifier(tmp_path, envelope, proof).returncode == 1


def test_the_chain_is_by_the_hash_of_the_whole_statement_before() -> None:
    first, _ = made()
    second, _ = made(2, first["statement"])
    assert all(check.holds for check in check_statement(second, KEYS, previous=first))
    first["statement"]["made_at"] = "2026-04-03T00:00:00+00:00"
    assert not all(check.holds for check in check_statement(second, KEYS, previous=first))


@pytest.mark.parametrize(
    "text",
    [
        b"", b"[]", b"{}", b"null", b"\xff", b'{"statement": 1, "signature": 2}', b'{"statement": {}, "signature": {}}',
        b'{"statement": {"format": "perimage-statement-1"}, "statement": {}, "signature": {"key_id": "", "value": ""}}',
        b'{"statement": {"format": "perimage-statement-1", "n": 1.5}, "signature": {"key_id": "", "value": ""}}',
        b'{"statement": {"format": "perimage-statement-1", "n": NaN}, "signature": {"key_id": "", "value": ""}}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_statement_is_refused_by_a_sentence(text: bytes) -> None:
    with pytest.raises(InvalidInput, match="not a statement"):
        read_envelope(text)


def test_a_statement_with_parts_missing_fails_instead_of_raising() -> None:
    envelope, _ = made()
    for part in list(envelope["statement"]):
        broken = deepcopy(envelope)
        del broken["statement"][part]
        assert not all(check.holds for check in check_statement(broken, KEYS))
