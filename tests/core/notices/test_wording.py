"""Every kind of notice has words of its own, in the account's language, and nobody's name adds a line to a subject."""

from string import Formatter
from typing import Any

import pytest

from core.notices.kinds import KINDS, TEST
from core.notices.wording import written
from core.notices.words import WORDS

EVERYTHING: dict[str, Any] = {
    "invoice": "GLD-000001", "document": "invoice", "licensor_name": "Guild", "licensee_name": "North",
    "agreement": "deal", "period": "2026-10", "currency": "USD", "total": "1234567.80", "left": "2000.00",
    "due_on": "2026-11-30", "reasons": ["the total is negative"], "percent": 80, "commitment": "volume",
    "counted": "80000", "target": "100000", "unit": "images", "subject": "sd-1", "cap": "hard", "images": 100_000,
    "forecast": "80,000 images in 10 of 31 days; at that pace 248,000 images by 2026-10-31",
    "since": "2026-10-01", "day": "2026-10-03", "days": 3, "endpoint": 4,
    "url": "https://hooks.example/", "reason": "it answered 410", "last_answer": "gone",
}  # fmt: skip
FOR_LICENSEES = [kind.name for kind in KINDS.values() if "licensee" in kind.mail]


@pytest.mark.parametrize("language", ["en", "de", "ja"])
@pytest.mark.parametrize("kind", [name for name in KINDS if name != TEST.name])
def test_every_kind_has_words(kind: str, language: str) -> None:
    subject, text = written(kind, EVERYTHING, language)
    assert 8 < len(subject) < 100
    assert text.endswith("\n")
    assert "{" not in subject + text and "2026-1" not in subject + text, "days and months are said, not copied"
    assert (written(kind, EVERYTHING) != (subject, text)) == (language != "en" and kind in FOR_LICENSEES)


@pytest.mark.parametrize("key", WORDS)
def test_a_sentence_says_the_same_things_in_every_language(key: str) -> None:
    places = [{name for _, name, _, _ in Formatter().parse(said) if name} for said in WORDS[key]]
    assert all(each == places[0] for each in places)


def test_money_and_days_are_written_as_the_account_writes_them() -> None:
    assert written("invoice.issued", EVERYTHING) == (
        "Invoice GLD-000001 from Guild: 1,234,567.80 USD",
        "Guild has issued invoice GLD-000001 to North for October 2026, agreement deal: 1,234,567.80 USD. "
        "It is due on November 30, 2026.\n",
    )
    subject, text = written("invoice.issued", EVERYTHING, "de", "de-CH")
    assert subject == "Rechnung GLD-000001 von Guild: 1’234’567.80 USD"
    assert text == (
        "Guild hat North für Oktober 2026 (Vertrag deal) die Rechnung GLD-000001 über 1’234’567.80 USD gestellt. "
        "Sie ist am 30. November 2026 fällig.\n"
    )
    note = {**EVERYTHING, "document": "credit_note", "total": "-250.00", "due_on": None}
    assert written("invoice.issued", note, "ja") == (
        "クレジットノート GLD-000001(Guild): −250.00 USD",
        "Guild は North 様に、2026年10月分(契約 deal)のクレジットノート GLD-000001 を発行しました。"
        "金額は −250.00 USD です。\n",
    )


def test_a_forecast_and_a_silence_are_said_in_the_language() -> None:
    _, text = written("commitment.reached", EVERYTHING, "de")
    assert "80.000 von 100.000 Bildern" in text
    assert "80.000 Bilder in 10 von 31 Tagen; so weiter wären es 248.000 Bilder bis zum 31. Oktober 2026." in text
    money = {
        **EVERYTHING,
        "unit": "EUR",
        "forecast": "1,500.50 EUR in 1 of 31 days; at that pace 46,515 EUR by 2026-10-31",
    }
    assert "1.500,50 EUR in 1 von 31 Tagen" in written("commitment.reached", money, "de")[1]
    assert "seit dem 1. Oktober 2026, also 3 Tage lang," in written("usage.missing", EVERYTHING, "de")[1]
    assert "für den 3. Oktober 2026 zum Vertrag" in written("usage.missing", {**EVERYTHING, "days": 1}, "de")[1]


def test_an_unknown_language_is_english_and_an_unknown_locale_is_the_languages_own() -> None:
    assert written("invoice.overdue", EVERYTHING, "fr", "xx-XX") == written("invoice.overdue", EVERYTHING)
    assert written("invoice.overdue", EVERYTHING, "de", "xx-XX") == written("invoice.overdue", EVERYTHING, "de")


def test_a_subject_is_one_line() -> None:
    subject, _ = written("invoice.overdue", {**EVERYTHING, "invoice": "A\r\nBcc: x@example.com\u2028" + "y" * 500})
    assert subject.isprintable()
    assert len(subject) <= 200


def test_a_kind_without_words_is_said_all_the_same() -> None:
    assert written("something.new", {"b": 2, "a": 1}) == ("Notice from Perimage", "a: 1\nb: 2\n")
