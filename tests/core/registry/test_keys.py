"""The text of a meter key."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from core.registry.keys import new_key, parse_key, same_secret, secret_hash


def test_a_key_is_recognisable_and_parses_back():
    text, public_id, stored = new_key()
    assert re.fullmatch(r"pmk_[a-z0-9]{16}_[A-Za-z0-9_-]{43}", text)
    parsed = parse_key(text)
    assert parsed is not None
    assert parsed[0] == public_id
    assert same_secret(parsed[1], stored)


def test_no_two_keys_are_alike():
    keys = [new_key() for _ in range(500)]
    assert len({key.public_id for key in keys}) == len({key.secret_hash for key in keys}) == 500


def test_another_secret_is_not_the_stored_one():
    text, _, stored = new_key()
    secret = text[-43:]
    swapped = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    assert not same_secret(swapped, stored)
    assert not same_secret("", stored)
    assert secret not in stored.hex()


@given(st.text())
@example("pmk_" + "a" * 16 + "_" + "b" * 43 + "\n")
@example("pmk_" + "a" * 16 + "_" + "b" * 42)
@example("pmk_" + "A" * 16 + "_" + "b" * 43)
@example("pmk_" + "٣" * 16 + "_" + "b" * 43)
@example("sk_" + "a" * 16 + "_" + "b" * 43)
def test_what_has_not_the_shape_of_a_key_is_none(text):
    assert parse_key(text) is None


def test_a_hash_is_sha256_of_the_secret():
    assert secret_hash("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
