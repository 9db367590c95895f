"""Notices in plain words, for e-mail: a subject and a text from what the notice holds. Pure.

Words are those of the account's language (`words.py`); money, numbers and days are written as on its invoices, by its
locale. What is told in English alone is English throughout, and a kind without words is said all the same.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from core.invoicing.paper.speech import Speech, speech_for
from core.invoicing.paper.words import LANGUAGES
from core.notices.words import WORDS
from core.period import Period

Data = Mapping[str, Any]
MAX_SUBJECT = 200
_AMOUNTS, _COUNTS, _DAYS = ("total", "left"), ("counted", "target", "images", "days"), ("due_on", "since", "day")


def written(kind: str, data: Data, language: str = "en", locale: str = "") -> tuple[str, str]:
    """(subject, text) of a notice. The subject is one printable line."""
    said = WORDS.get(f"{kind}.text")
    if said is not None:
        subject, text = _said(kind, data, speech_for(language, locale) if len(said) > 1 else speech_for("en"))
    else:
        subject = "Notice from Perimage"
        text = "\n".join(f"{name}: {value}" for name, value in sorted(data.items()))
    one_line = "".join(letter if letter.isprintable() else " " for letter in subject)
    return one_line[:MAX_SUBJECT].strip(), text + "\n"


def _said(kind: str, data: Data, speech: Speech) -> tuple[str, str]:
    values = _values(data, speech)
    if kind == "invoice.issued" and data["document"] == "credit_note":
        kind = "credit_note.issued"
    subject, text = _word(f"{kind}.subject", speech), _word(f"{kind}.text", speech)
    if kind == "invoice.issued" and data["due_on"]:
        text += _word("invoice.issued.due", speech)
    if kind == "cap.near":
        values["beyond"] = _word("cap.hard" if data["cap"] == "hard" else "cap.soft", speech)
    if kind == "usage.missing":
        values["advice"] = _word("usage.missing.advice", speech)
        text = _word("usage.missing.days", speech) if data["days"] > 1 else text
    return subject.format(**values), text.format(**values)


def _values(data: Data, speech: Speech) -> dict[str, Any]:
    """What the sentences are filled with: numbers and days as the locale writes them, everything else as it is."""
    values = dict(data)
    values |= {name: f"{speech.grouped(data[name])} {data['currency']}" for name in _AMOUNTS if name in data}
    values |= {name: speech.grouped(data[name]) for name in _COUNTS if name in data}
    values |= {name: speech.day(date.fromisoformat(data[name])) for name in _DAYS if data.get(name)}
    if "period" in data:
        values["period"] = _period(data["period"], speech)
    if "percent" in data:
        values["percent"] = speech.percent(data["percent"])
    if data.get("unit") == "images":
        values["unit"] = _word("images", speech)
    if "forecast" in data:
        values["forecast"] = speech.phrase(data["forecast"]).replace("\u200b", "")
    if "reasons" in data:
        values["reasons"] = "\n".join(f"- {reason}" for reason in data["reasons"])
    return values


def _period(name: str, speech: Speech) -> str:
    start, _, end = name.partition("..")
    days = Period(date.fromisoformat(start), date.fromisoformat(end)) if end else Period.month(start)
    return speech.days(days.start.isoformat(), days.end.isoformat())


def _word(key: str, speech: Speech) -> str:
    return WORDS[key][LANGUAGES.index(speech.language)]
