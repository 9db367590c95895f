"""Checks a statement with nothing but public keys: no database, no network, no trust in whoever handed it over."""

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.canonical import canonical, hash_of
from core.errors import InvalidInput
from core.signatures import verify
from core.statements.merkle import root_by_path
from core.statements.statement import FORMAT, TREE, leaf

_DIGEST = 32  # bytes


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, and whether it holds; `said` says so to people."""

    name: str
    holds: bool
    said: str


def read_envelope(text: bytes) -> dict[str, Any]:
    """A statement's file: the statement and its signature. Raises InvalidInput for anything else."""
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_float=_no_fraction, parse_constant=_no_fraction)
        statement, signature = found["statement"], found["signature"]
        whole = statement["format"] == FORMAT and {"key_id", "value"} <= set(signature)
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise InvalidInput("not_a_statement", f"this is not a statement's file: {problem}") from None
    if not whole:
        raise InvalidInput("not_a_statement", f"this is not a statement in the format {FORMAT}")
    return dict(found)


def check_statement(
    envelope: Mapping[str, Any],
    public_keys: Mapping[str, bytes],
    *,
    previous: Mapping[str, Any] | None = None,
    proof: Mapping[str, Any] | None = None,
) -> list[Check]:
    """Everything that can be told of a statement: signature, sums, the chain to `previous`, an event's `proof`.

    Never raises for a statement that `read_envelope` let through: whatever does not fit is a check that fails.
    """
    try:
        checks = [_signature(envelope, public_keys), *_sums(envelope["statement"])]
        if previous is not None:
            checks.append(_chain(envelope["statement"], previous["statement"]))
        if proof is not None:
            checks.append(_inclusion(envelope["statement"], proof))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        return [Check("form", holds=False, said=f"the statement is not as a statement must be: {problem!r}")]
    return checks


def _signature(envelope: Mapping[str, Any], public_keys: Mapping[str, bytes]) -> Check:
    key_id = envelope["signature"]["key_id"]
    key = public_keys.get(key_id)
    if key is None:
        return Check(
            "signature", holds=False, said=f"signed with key {key_id}, which is not among the public keys given"
        )
    holds = verify(key, canonical(envelope["statement"]), b64decode(envelope["signature"]["value"]))
    said = f"signed with key {key_id}" if holds else f"the signature is not by key {key_id} over this content"
    return Check("signature", holds, said)


def _sums(statement: Mapping[str, Any]) -> list[Check]:
    rows = statement["counts"]
    sums = {name: Counter[str]() for name in ("image_count", "late", "corrected")}
    for row in rows:
        for name, by_model in sums.items():
            by_model[row["model"]] += row[name]
    stated = {each["model"]: each for each in statement["models"]}
    fits = set(stated) == {row["model"] for row in rows} and all(
        stated[model][name] == count for name, by_model in sums.items() for model, count in by_model.items()
    )
    days = statement["period"]
    inside = all(days["start"] <= row["day"] < days["end"] for row in rows)
    whole = all(row["image_count"] >= 0 and row["event_count"] >= 0 and row["late"] >= 0 for row in rows)
    keys = [tuple(row[part] for part in ("model", "day", "plan", "output", "role")) for row in rows]
    return [
        Check("sums", fits, f"{len(rows):,} counts, and the sums of {len(stated):,} models"),
        Check("days", inside, f"every count is of a day of {days['name']}"),
        Check("counts", whole and len(set(keys)) == len(keys), "no count is negative or given twice"),
    ]


def _chain(statement: Mapping[str, Any], previous: Mapping[str, Any]) -> Check:
    same = all(statement[part] == previous[part] for part in ("licensor", "licensee"))
    follows = statement["number"] == previous["number"] + 1 and statement["previous_hash"] == hash_of(previous)
    return Check("chain", same and follows, f"number {statement['number']} follows number {previous['number']}")


def _inclusion(statement: Mapping[str, Any], proof: Mapping[str, Any]) -> Check:
    events, path = statement["events"], [bytes.fromhex(each) for each in proof["path"]]
    root = None
    if events["tree"] == TREE and all(len(each) == _DIGEST for each in path):
        root = root_by_path(leaf(proof["event"]), proof["index"], events["event_count"], path)
    holds = root is not None and root.hex() == events["root"]
    event_id = proof["event"]["event_id"]
    return Check("event", holds, f"event {event_id} {'is' if holds else 'is not shown to be'} among those counted")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is given twice")
    return found


def _no_fraction(text: str) -> Any:
    raise ValueError(f"{text} is not a whole number")
