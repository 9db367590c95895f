"""Verifies a Perimage statement without Perimage: python verify_statement.py STATEMENT.json PUBLIC_KEY_HEX [PROOF.json]

An independent reading of docs/statements.md. It needs the `cryptography` package and nothing of ours.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def root(leaf, index, size, path):
    """RFC 9162, section 2.1.3.2: where an inclusion path leads; None if it is too long or too short."""
    node, fn, sn = hashlib.sha256(b"\0" + leaf).digest(), index, size - 1
    for step in path:
        if sn == 0:
            return None
        if fn % 2 == 1 or fn == sn:
            node = hashlib.sha256(b"\1" + step + node).digest()
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = hashlib.sha256(b"\1" + node + step).digest()
        fn, sn = fn >> 1, sn >> 1
    return node if sn == 0 else None


def main(statement_file, public_key, proof_file=None):
    with Path(statement_file).open(encoding="utf-8") as file:
        found = json.load(file)
    statement, events = found["statement"], found["statement"]["events"]
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(base64.b64decode(found["signature"]["value"]), canonical(statement))
    except InvalidSignature:
        return "the signature is not by this key over this content"
    for model in statement["models"]:
        rows = [row for row in statement["counts"] if row["model"] == model["model"]]
        for name in ("image_count", "late", "corrected"):
            if sum(row[name] for row in rows) != model[name]:
                return f"the {name} of {model['model']} is not the sum of its rows"
    if {row["model"] for row in statement["counts"]} != {model["model"] for model in statement["models"]}:
        return "counts and sums are of different models"
    print(f"{statement['licensor']} and {statement['licensee']}, {statement['period']['name']}: "
          f"{events['image_count']:,} images in {events['event_count']:,} events; hash "
          f"{hashlib.sha256(canonical(statement)).hexdigest()}")  # fmt: skip
    if proof_file:
        with Path(proof_file).open(encoding="utf-8") as file:
            proof = json.load(file)
        path = [bytes.fromhex(step) for step in proof["path"]]
        if root(canonical(proof["event"]), proof["index"], events["event_count"], path) != bytes.fromhex(
            events["root"]
        ):
            return f"event {proof['event']['event_id']} is not shown to be in it"
        print(f"event {proof['event']['event_id']} is in it, with {proof['event']['image_count']} images")
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
