"""Notices in plain words, for e-mail: a subject and a text from what the notice holds. Pure.

`WORDS` has one table a language; a language without one, or a kind that it lacks, is written in English.
"""

from collections.abc import Callable, Mapping
from typing import Any

Data = Mapping[str, Any]
Words = Mapping[str, Callable[[Data], tuple[str, str]]]
MAX_SUBJECT = 200
_DOCUMENT = {"invoice": "Invoice", "credit_note": "Credit note"}


def written(kind: str, data: Data, language: str = "en") -> tuple[str, str]:
    """(subject, text) of a notice. The subject is one printable line."""
    words = WORDS.get(language, {}).get(kind) or WORDS["en"].get(kind) or _anything
    subject, text = words(data)
    one_line = "".join(letter if letter.isprintable() else " " for letter in subject)
    return one_line[:MAX_SUBJECT].strip(), text + "\n"


def _amount(data: Data, name: str) -> str:
    return f"{data['currency']} {data[name]}"


def _issued(data: Data) -> tuple[str, str]:
    called = f"{_DOCUMENT[data['document']]} {data['invoice']}"
    due = f" It is due on {data['due_on']}." if data["document"] == "invoice" and data["due_on"] else ""
    return (
        f"{called} from {data['licensor_name']}: {_amount(data, 'total')}",
        f"{data['licensor_name']} has issued {called[0].lower()}{called[1:]} to {data['licensee_name']} for "
        f"{data['period']}, agreement {data['agreement']}: {_amount(data, 'total')}.{due}",
    )


def _due_soon(data: Data) -> tuple[str, str]:
    return (
        f"Invoice {data['invoice']} is due on {data['due_on']}",
        f"Of invoice {data['invoice']} from {data['licensor_name']} to {data['licensee_name']} for {data['period']}, "
        f"{_amount(data, 'left')} is open. It is due on {data['due_on']}.",
    )


def _overdue(data: Data) -> tuple[str, str]:
    return (
        f"Invoice {data['invoice']} is overdue",
        f"Of invoice {data['invoice']} from {data['licensor_name']} to {data['licensee_name']} for {data['period']}, "
        f"{_amount(data, 'left')} is still open. It was due on {data['due_on']}.",
    )


def _held(data: Data) -> tuple[str, str]:
    reasons = "\n".join(f"- {reason}" for reason in data["reasons"])
    return (
        f"{data['invoice']} for {data['licensee_name']} is held",
        f"The draft {data['invoice']} for {data['licensee_name']}, {data['period']}, {_amount(data, 'total')}, is "
        f"held and will not be issued until somebody has decided:\n\n{reasons}",
    )


def _commitment(data: Data) -> tuple[str, str]:
    return (
        f"{data['percent']} % of commitment {data['commitment']} reached",
        f"{data['licensee_name']} has reached {data['percent']} % of the commitment {data['commitment']} for "
        f"{data['period']} under agreement {data['agreement']} with {data['licensor_name']}: {data['counted']} of "
        f"{data['target']} {data['unit']}.\n\n{data['forecast']}.",
    )


def _cap(data: Data) -> tuple[str, str]:
    beyond = (
        "Images above it are refused." if data["cap"] == "hard" else "Images above it are counted, billed and flagged."
    )
    return (
        f"{data['percent']} % of the images of {data['subject']} for {data['period']} used",
        f"{data['licensee_name']} has used {data['counted']:,} of the {data['images']:,} images of {data['subject']} "
        f"that agreement {data['agreement']} with {data['licensor_name']} allows for {data['period']}. {beyond}",
    )


def _silent(data: Data) -> tuple[str, str]:
    days = f"since {data['since']}, {data['days']} days," if data["days"] > 1 else f"for {data['day']}"
    return (
        f"No usage report from {data['licensee_name']} for {data['day']}",
        f"{data['licensee_name']} has reported nothing {days} under agreement {data['agreement']} with "
        f"{data['licensor_name']}. If there were no images, a zero report says so; otherwise the reports are missing.",
    )


def _switched_off(data: Data) -> tuple[str, str]:
    return (
        f"Webhook endpoint {data['endpoint']} is switched off",
        f"Nothing is sent to {data['url']} any more: {data['reason']}. The last answer was: {data['last_answer']}\n\n"
        f"Once it works again: perimage notices switch-on {data['endpoint']}, then "
        f"perimage notices replay --endpoint {data['endpoint']}.",
    )


def _anything(data: Data) -> tuple[str, str]:
    return "Notice from Perimage", "\n".join(f"{name}: {value}" for name, value in sorted(data.items()))


WORDS: Mapping[str, Words] = {
    "en": {
        "invoice.issued": _issued,
        "invoice.due_soon": _due_soon,
        "invoice.overdue": _overdue,
        "invoice.held": _held,
        "commitment.reached": _commitment,
        "cap.near": _cap,
        "usage.missing": _silent,
        "webhook.switched_off": _switched_off,
    }
}
