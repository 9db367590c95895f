"""Receipts: what the service signed about a report, kept and checked without it.

A kept receipt is a JSON file: `report`, the body that was sent, and `receipt`, the body that came back, both in base64,
and `signature`, the header that came with it: `keyid="<hex>", ed25519=:<base64>:`, an Ed25519 signature over the very
bytes of the answer. Where the answer says `body_sha256`, it must be that of the report kept beside it.
"""

import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from perimage._answers import Answer
from perimage._disk import Disk
from perimage._ed25519 import verify
from perimage._errors import BadReceipt
from perimage._reports import Report
from perimage._usage import as_json

HEADER = "perimage-signature"
WELL_KNOWN = "/.well-known/perimage-keys.json"
_SIGNATURE = re.compile(r'\s*keyid="(?P<key>[^"]+)"\s*,\s*ed25519=:(?P<signature>[A-Za-z0-9+/]+={0,2}):\s*\Z')


@dataclass(frozen=True, slots=True)
class Verified:
    """What a receipt says, once it is known that the holder of the key said it."""

    report_id: str
    received_at: str
    events: int
    images: int
    key_id: str
    about_report: bool  # it names the hash of the report that was kept with it


def keep(disk: Disk, folder: Path, report: Report, body: bytes, answer: Answer) -> None:
    """Stores a receipt under its report's id. Raises OSError."""
    kept = {
        "report": b64encode(body).decode(),
        "receipt": b64encode(answer.body).decode(),
        "signature": answer.headers.get(HEADER, ""),
    }
    disk.make_folder(folder)
    disk.write_whole(folder / f"{report.report_id}.json", as_json(kept))


def check(kept: bytes, keys: dict[str, bytes]) -> Verified:
    """Checks a kept receipt against public keys, by their ids; an id that is empty fits any. Raises BadReceipt."""
    try:
        fields = json.loads(kept)
        report, receipt = (b64decode(fields[name], validate=True) for name in ("report", "receipt"))
        signature = str(fields["signature"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadReceipt(
            f"this is not a kept receipt: it is JSON with report, receipt and signature ({error})"
        ) from None
    if not (found := _SIGNATURE.match(signature)):
        raise BadReceipt(
            "the receipt is not signed: the service sent no Perimage-Signature"
            if not signature.strip()
            else 'the signature must read keyid="<hex>", ed25519=:<base64>:'
        )
    key = keys.get(found["key"], keys.get(""))
    if key is None:
        raise BadReceipt(f"the receipt is signed with the key {found['key']}, which is not among those given")
    try:
        signed = b64decode(found["signature"], validate=True)
    except ValueError:
        signed = b""
    if not verify(key, signed, receipt):
        raise BadReceipt("the signature does not fit: the receipt was changed, or another key signed it")
    said = _said(receipt)
    digest, expected = sha256(report).hexdigest(), said.get("body_sha256")
    if expected is not None and expected != digest:
        raise BadReceipt(f"the receipt is of another report: it names the hash {expected}, the one kept has {digest}")
    if said.get("report_id") != _said(report).get("report_id"):
        raise BadReceipt("the receipt is of another report: it has another report_id")
    return Verified(
        report_id=str(said.get("report_id", "")),
        received_at=str(said.get("received_at", "")),
        events=len(said.get("results", ())),
        images=int(said.get("image_count", 0)),
        key_id=found["key"],
        about_report=expected is not None,
    )


def read_keys(document: bytes) -> dict[str, bytes]:
    """The public keys by id: the service's document, or one key in hexadecimal, base64 or PEM. Raises BadReceipt."""
    text = document.decode(errors="replace").strip()
    if text.startswith("{"):
        try:
            return {str(each["key_id"]): _key(str(each["public_key"])) for each in json.loads(text)["keys"]}
        except (ValueError, KeyError, TypeError) as error:
            raise BadReceipt(f"the document of public keys cannot be read: {error}") from None
    if text.startswith("-----BEGIN PUBLIC KEY-----"):
        text = b64encode(b64decode("".join(text.splitlines()[1:-1]))[-32:]).decode()
    return {"": _key(text)}


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text) if re.fullmatch("[0-9a-fA-F]{64}", text) else b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise BadReceipt("a public key is 32 bytes, in hexadecimal or base64")
    return key


def _said(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadReceipt("the receipt or the report kept with it is not a JSON object")
    return found
