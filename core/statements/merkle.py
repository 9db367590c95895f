"""A Merkle tree over the events of a statement, so that anyone can be shown that an event is in it.

The tree is that of RFC 6962 (Certificate Transparency), section 2.1: a leaf is hashed behind a zero byte, a pair behind
a one, and the left side holds the largest power of two of leaves that is smaller than all of them. Because that is how
it splits, every run of `CHUNK` leaves is a subtree: a statement keeps the roots of the runs alone, and proves an event
by hashing one run again.
"""

from collections.abc import Sequence
from hashlib import sha256

CHUNK = 1024  # leaves; a power of two
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of one leaf."""
    return sha256(b"\x00" + leaf).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over hashes of leaves, or over roots of whole runs of them. Of nothing it is the hash of nothing."""
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:  # pair neighbours; an odd one at the end moves up as it is
        level = [_pair(*level[n : n + 2]) if n + 1 < len(level) else level[n] for n in range(0, len(level), 2)]
    return level[0]


def path_to(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """What is hashed with the one at `index`, from the bottom up, to come to the root."""
    path, level = [], list(hashes)
    while len(level) > 1:
        beside = index ^ 1
        if beside < len(level):
            path.append(level[beside])
        level = [_pair(*level[n : n + 2]) if n + 1 < len(level) else level[n] for n in range(0, len(level), 2)]
        index //= 2
    return path


def root_by_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root to which a path leads from a leaf; None when the path does not fit a tree of `size` leaves."""
    if not 0 <= index < size:
        return None
    node, rest, last = leaf_hash(leaf), iter(path), size - 1
    while last:
        if index & 1 or index < last:
            beside = next(rest, None)
            if beside is None:
                return None
            node = _pair(beside, node) if index & 1 else _pair(node, beside)
        index, last = index // 2, last // 2
    return node if next(rest, None) is None else None


def _pair(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
