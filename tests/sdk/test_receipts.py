"""Signed receipts, checked offline: against RFC 8032's own examples, and against another implementation."""

import json
import random
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from perimage import BadReceipt, _cli
from perimage._ed25519 import ORDER, P, verify
from perimage._receipts import check, read_keys

VECTORS = [  # RFC 8032, section 7.1: public key, message, signature
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_examples_of_the_rfc_are_genuine_and_nothing_near_them_is(key: str, message: str, signature: str):
    public, text, signed = (bytes.fromhex(value) for value in (key, message, signature))
    assert verify(public, signed, text)
    assert not verify(public, signed, text + b"\0")
    for place in range(0, 64, 5):
        assert not verify(public, signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :], text)
    assert not verify(public[::-1], signed, text)


def test_it_agrees_with_another_implementation():
    rng = random.Random(8032)
    for number in range(40):
        private = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        message = rng.randbytes(rng.randrange(200))
        signature = bytearray(private.sign(message))
        if number % 2:
            signature[rng.randrange(64)] ^= 1 << rng.randrange(8)
        try:
            private.public_key().verify(bytes(signature), message)
            genuine = True
        except InvalidSignature:
            genuine = False
        assert verify(public, bytes(signature), message) == genuine == (number % 2 == 0)


def test_a_scalar_that_is_too_large_and_points_that_are_none_are_refused():
    public, text, signed = (bytes.fromhex(value) for value in VECTORS[0])
    signature = text if len(text) == 64 else signed
    too_large = int.from_bytes(signature[32:], "little") + ORDER
    assert not verify(public, signature[:32] + too_large.to_bytes(32, "little"), b"")
    assert not verify((P + 1).to_bytes(32, "little"), signature, b"")
    assert not verify(bytes([2] + [0] * 31), signature, b"")
    assert not verify(b"", signature, b"") and not verify(public, b"", b"")


class Signed:
    """A receipt as the service makes one, and the key it was signed with."""

    def __init__(self) -> None:
        self.private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        self.public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = sha256(self.public).hexdigest()[:16]
        self.report = b'{"report_id":"r-1","source":"host","sequence":1,"events":[]}'
        self.said = {
            "report_id": "r-1",
            "received_at": "2026-11-22T09:15:01Z",
            "counts": {},
            "image_count": 186,
            "results": [{"event_id": "e", "status": "accepted"}],
            "body_sha256": sha256(self.report).hexdigest(),
        }

    def kept(self, **changes: object) -> bytes:
        receipt = json.dumps(self.said).encode()
        signature = f'keyid="{self.key_id}", ed25519=:{b64encode(self.private.sign(receipt)).decode()}:'
        fields = {"report": b64encode(self.report).decode(), "receipt": b64encode(receipt).decode()}
        return json.dumps({**fields, "signature": signature, **changes}).encode()

    def document(self) -> bytes:
        key = {"key_id": self.key_id, "algorithm": "ed25519", "public_key": b64encode(self.public).decode()}
        other = {**key, "key_id": "00", "public_key": b64encode(bytes(32)).decode()}
        return json.dumps({"keys": [other, {**key, "created_at": "2026-01-01T00:00:00Z"}]}).encode()


@pytest.fixture
def signed() -> Signed:
    return Signed()


def test_a_receipt_is_genuine_with_the_key_in_any_form(signed: Signed):
    pem = Ed25519PublicKey.from_public_bytes(signed.public).public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    for form in (signed.public.hex().encode(), b64encode(signed.public), pem, signed.document()):
        seen = check(signed.kept(), read_keys(form))
        assert (seen.report_id, seen.events, seen.images, seen.about_report) == ("r-1", 1, 186, True)


def test_a_receipt_that_does_not_name_the_hash_is_genuine_and_says_so(signed: Signed):
    del signed.said["body_sha256"]
    assert not check(signed.kept(), {"": signed.public}).about_report


def test_a_receipt_that_is_not_what_it_says_is_refused_with_a_sentence(signed: Signed):
    keys = {signed.key_id: signed.public}
    receipt = json.dumps({**signed.said, "image_count": 1}).encode()
    other_report = signed.report.replace(b'"sequence":1', b'"sequence":2')
    cases = {
        "changed": signed.kept(receipt=b64encode(receipt).decode()),
        "another report": signed.kept(report=b64encode(other_report).decode()),
        "not signed": signed.kept(signature=""),
        "must read keyid": signed.kept(signature="ed25519=:AA==:"),
        "not a kept receipt": b"{}",
        "which is not among": signed.kept(signature=signed_by("ff", json.loads(signed.kept())["signature"])),
    }
    for sentence, kept in cases.items():
        with pytest.raises(BadReceipt, match=sentence):
            check(kept, keys)
    with pytest.raises(BadReceipt, match="another key"):
        check(signed.kept(), {"": bytes.fromhex(VECTORS[0][0])})
    for hostile in (b"", b"null", b"[]", b'{"report": 1}', b"\xff", b'{"report":"*","receipt":"*","signature":"*"}'):
        with pytest.raises(BadReceipt):
            check(hostile, keys)


def signed_by(key_id: str, signature: str) -> str:
    return f'keyid="{key_id}"' + signature[signature.index(",") :]


@pytest.mark.parametrize("form", [b"", b"xyz", b"00", b"{}", b'{"keys": [{}]}', b'{"keys": [{"key_id": 1}]}', b"\xff"])
def test_keys_that_are_none_are_refused(form: bytes):
    with pytest.raises(BadReceipt):
        read_keys(form)


def test_the_command_says_genuine_or_why_not(signed: Signed, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    receipt, keys = tmp_path / "r.json", tmp_path / "keys.json"
    receipt.write_bytes(signed.kept())
    keys.write_bytes(signed.document())
    assert _cli.main(["verify", str(receipt), "--public-key", str(keys)]) == 0
    assert "genuine" in capsys.readouterr().out
    assert _cli.main(["verify", str(receipt), "--public-key", signed.public.hex(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 186
    signed.said["image_count"] = 187
    receipt.write_bytes(signed.kept(receipt=b64encode(json.dumps(signed.said).encode()).decode(), signature="x"))
    assert _cli.main(["verify", str(receipt), "--public-key", str(keys)]) == 1
    assert _cli.main(["verify", str(tmp_path / "none"), "--public-key", str(keys)]) == 1
