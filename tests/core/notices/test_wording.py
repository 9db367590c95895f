"""Every kind of notice has words of its own, and nobody's name adds a line to a subject."""

from typing import Any

import pytest

from core.notices.kinds import KINDS, TEST
from core.notices.wording import WORDS, written

EVERYTHING: dict[str, Any] = {
    "invoice": "GLD-000001", "document": "invoice", "licensor_name": "Guild", "licensee_name": "North",
    "agreement": "deal", "period": "2026-10", "currency": "USD", "total": "12.00", "left": "2.00",
    "due_on": "2026-11-30", "reasons": ["the total is negative"], "percent": 80, "commitment": "volume",
    "counted": 80, "target": "100", "unit": "images", "forecast": "80 images in 10 of 31 days", "subject": "sd-1",
    "cap": "hard", "images": 100, "since": "2026-10-01", "day": "2026-10-03", "days": 3, "endpoint": 4,
    "url": "https://hooks.example/", "reason": "it answered 410", "last_answer": "gone",
}  # fmt: skip


@pytest.mark.parametrize("kind", [name for name in KINDS if name != TEST.name])
def test_every_kind_has_words(kind: str) -> None:
    assert kind in WORDS["en"]
    subject, text = written(kind, EVERYTHING, "ja")  # not written yet: English
    assert 10 < len(subject) < 100
    assert text.endswith("\n")
    assert "{" not in subject + text


def test_a_subject_is_one_line() -> None:
    subject, _ = written("invoice.overdue", {**EVERYTHING, "invoice": "A\r\nBcc: x@example.com\u2028" + "y" * 500})
    assert subject.isprintable()
    assert len(subject) <= 200


def test_a_kind_without_words_is_said_all_the_same() -> None:
    assert written("something.new", {"b": 2, "a": 1}) == ("Notice from Perimage", "a: 1\nb: 2\n")
