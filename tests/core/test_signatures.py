"""Ed25519: the vectors of RFC 8032, and that nothing but the very bytes verifies."""

from base64 import b64encode
from hashlib import sha256

import pytest

from core.errors import InvalidInput
from core.signatures import Signer, key_id_of, verify

# RFC 8032, section 7.1: secret, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2"
        "4655141438e7a100b",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28"
        "dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
def test_keys_and_signatures_are_those_of_the_standard(secret: str, public: str, message: str, signature: str):
    signer = Signer(bytes.fromhex(secret))
    assert signer.public_key.hex() == public
    assert signer.sign(bytes.fromhex(message)).hex() == signature
    assert verify(signer.public_key, bytes.fromhex(message), bytes.fromhex(signature))


def test_the_header_names_the_key_and_carries_the_signature():
    signer = Signer(bytes(range(32)))
    key_id = sha256(signer.public_key).hexdigest()[:16]
    assert signer.key_id == key_id_of(signer.public_key) == key_id
    signature = b64encode(signer.sign(b"x")).decode()
    assert signer.header(b"x").decode() == f'keyid="{key_id}", ed25519=:{signature}:'
    assert signer.header(b"x") == Signer(bytes(range(32))).header(b"x")


def test_any_other_byte_key_or_signature_does_not_verify():
    signer, message = Signer(bytes(32)), b'{"counts":{"accepted":1}}'
    signature = signer.sign(message)
    assert not verify(signer.public_key, message + b" ", signature)
    assert not verify(signer.public_key, message, signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not verify(signer.public_key, message, signature[:-1])
    assert not verify(Signer(bytes([1] * 32)).public_key, message, signature)
    assert not verify(b"short", message, signature)


@pytest.mark.parametrize(
    "text", ["", "AAAA", "not base64!", b64encode(bytes(31)).decode(), b64encode(bytes(33)).decode()]
)
def test_a_text_that_is_no_key_is_refused_without_repeating_it(text: str):
    with pytest.raises(InvalidInput) as refused:
        Signer.from_text(text)
    assert not text or text not in refused.value.sentence


def test_a_key_is_read_from_its_text_with_a_line_end():
    assert Signer.from_text(b64encode(bytes(32)).decode() + "\n").key_id == Signer(bytes(32)).key_id
