"""The rule of corrections, alone: reading them strictly, and judging them one after the other."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.usage.corrections.correction import (
    MAX_REASON,
    Misread,
    Order,
    Standing,
    accepted,
    judge,
    order_of,
    read_corrections,
)
from core.usage.intake.report import MAX_IMAGE_COUNT, Refusal
from tests import oracle

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
GOOD = {"correction_id": "c", "event_id": "e", "kind": "amend", "image_count": 3, "reason": "why"}


def read(sent: Any) -> list[Order | Misread]:
    return read_corrections(sent if isinstance(sent, bytes) else json.dumps(sent).encode())[0]


def test_one_alone_and_a_list_are_read_alike() -> None:
    order = Order("c", "e", "amend", "why", None, 3, None)
    assert read_corrections(json.dumps(GOOD).encode()) == ([order], True)
    assert read_corrections(json.dumps({"corrections": [GOOD, GOOD]}).encode()) == ([order, order], False)
    assert order_of(GOOD) == order


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"correction_id": ""}, "invalid_correction_id"),
        ({"correction_id": "x" * 256}, "invalid_correction_id"),
        ({"correction_id": " c"}, "invalid_correction_id"),
        ({"event_id": "a\u202eb"}, "invalid_event_id"),
        ({"event_id": 7}, "invalid_event_id"),
        ({"kind": "Withdraw"}, "invalid_kind"),
        ({"reason": ""}, "invalid_reason"),
        ({"reason": "x" * (MAX_REASON + 1)}, "invalid_reason"),
        ({"reason": "a\tb"}, "invalid_reason"),
        ({"reference": ""}, "invalid_reference"),
        ({"reference": "a\u0000"}, "invalid_reference"),
        ({"image_count": -1}, "invalid_image_count"),
        ({"image_count": MAX_IMAGE_COUNT + 1}, "invalid_image_count"),
        ({"image_count": True}, "invalid_image_count"),
        ({"image_count": 3.0}, "invalid_image_count"),
        ({"image_count": "3"}, "invalid_image_count"),
        ({"image_delta": 2**63}, "invalid_image_delta"),
        ({"image_delta": 1}, "image_count_or_delta"),
        ({"kind": "withdraw"}, "image_count_not_wanted"),
        ({"actor": "Ada"}, "unknown_field"),
        ({"xid": 1}, "unknown_field"),
    ],
)
def test_what_is_wrong_has_a_code_and_a_sentence_whichever_way_it_comes(change: dict[str, Any], code: str) -> None:
    [misread] = read({**GOOD, **change})
    assert isinstance(misread, Misread) and misread.refusal.code == code
    assert len(misread.refusal.message) > 20
    refusal = order_of({**GOOD, **change})
    assert isinstance(refusal, Refusal) and refusal.code == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"[" * 100_000, "invalid_corrections"),
        (b'{"corrections":' + b"[" * 100_000, "invalid_json"),
        (b"\xff", "invalid_json"),
        (b"[]", "invalid_corrections"),
        (b'"x"', "invalid_corrections"),
        (b'{"corrections":{}}', "invalid_corrections"),
        (b'{"corrections":[]}', "invalid_corrections"),
        (b'{"corrections":[1],"corrections":[2]}', "duplicate_field"),
        (b'{"corrections":[1],"x":1}', "unknown_field"),
    ],
)
def test_a_body_that_is_neither_is_refused_as_a_whole(body: bytes, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(body)
    assert refused.value.code == code and len(refused.value.sentence) > 20


def test_a_field_given_twice_is_refused_whatever_it_says() -> None:
    for more in (b'"image_count":3', b'"image\\u005fcount":3', b'"event_id":"e"'):
        [misread] = read(json.dumps(GOOD).encode()[:-1] + b"," + more + b"}")
        assert isinstance(misread, Misread)
        assert (misread.correction_id, misread.refusal.code) == ("c", "duplicate_field")


ORDERS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["withdraw", "to", "by"]),
        st.integers(-20, 20) | st.sampled_from([MAX_IMAGE_COUNT, -MAX_IMAGE_COUNT]),
    ),
    max_size=20,
)


@given(first=st.integers(1, MAX_IMAGE_COUNT), said=ORDERS)
def test_every_chain_is_unbroken_never_below_zero_and_ends_where_the_oracle_says(first: int, said: list) -> None:
    orders, counts = [], dict.fromkeys("ab", first)
    expected = []
    for n, (event_id, way, number) in enumerate(said):
        asked = {"to": {"image_count": abs(number)}, "by": {"image_delta": number}}.get(way, {})
        kind: Any = "amend" if asked else "withdraw"
        orders.append(Order(str(n), event_id, kind, "why", **asked))  # type: ignore[arg-type]
        after = oracle.after_correction(counts[event_id], kind, **asked) if event_id in counts else None
        if after is not None and after <= MAX_IMAGE_COUNT:
            counts[event_id] = after
            expected.append("accepted")
        else:
            expected.append("rejected")
    answers = judge(orders, made={}, standing={key: Standing(first) for key in "ab"}, actor="Ada", now=NOW)
    assert [answer.status for answer in answers] == expected
    for event_id in "ab":
        chain = [made for made in accepted(answers) if made.event_id == event_id]
        assert [made.number for made in chain] == list(range(1, len(chain) + 1))
        ends = [first, *(made.image_count_after for made in chain)]
        assert [made.image_count_before for made in chain] == ends[:-1]
        assert all(0 <= end <= MAX_IMAGE_COUNT for end in ends) and ends[-1] == counts[event_id]
