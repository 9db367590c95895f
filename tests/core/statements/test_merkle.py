"""The tree is RFC 6962's, computed another way, and a path shows a leaf and nothing else."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.statements.merkle import CHUNK, EMPTY_ROOT, leaf_hash, path_to, root_by_path, root_of


def by_definition(hashes: list[bytes]) -> bytes:
    """Section 2.1 word for word: the left side has the largest power of two of leaves smaller than all of them."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    left = 1
    while 2 * left < len(hashes):
        left *= 2
    return sha256(b"\x01" + by_definition(hashes[:left]) + by_definition(hashes[left:])).digest()


def leaves_of(size: int) -> list[bytes]:
    return [b"leaf %d" % n for n in range(size)]


@pytest.mark.parametrize("size", [*range(40), CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 3 * CHUNK + 7])
def test_the_root_is_the_one_of_the_definition_and_runs_of_leaves_are_subtrees(size: int) -> None:
    hashes = [leaf_hash(leaf) for leaf in leaves_of(size)]
    runs = [root_of(hashes[first : first + CHUNK]) for first in range(0, size, CHUNK)]
    assert root_of(hashes) == root_of(runs) == by_definition(hashes)


def test_nothing_has_the_root_of_nothing() -> None:
    assert root_of([]) == EMPTY_ROOT == by_definition([])


@given(st.data(), st.integers(1, 300))
def test_a_path_leads_from_its_leaf_to_the_root_and_from_no_other(data: st.DataObject, size: int) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    hashes = [leaf_hash(leaf) for leaf in leaves]
    path, root = path_to(index, hashes), root_of(hashes)
    assert root_by_path(leaves[index], index, size, path) == root
    assert root_by_path(b"another", index, size, path) != root
    assert root_by_path(leaves[index], index, size, [*path, b"\x00" * 32]) is None
    assert root_by_path(leaves[index], size, size, path) is None
    if path:
        assert root_by_path(leaves[index], index, size, path[:-1]) is None
        elsewhere = data.draw(st.integers(0, size - 1).filter(lambda n: n != index))
        assert root_by_path(leaves[index], elsewhere, size, path) != root


def test_a_path_of_a_run_goes_on_in_the_path_over_the_runs() -> None:
    hashes = [leaf_hash(leaf) for leaf in leaves_of(5 * CHUNK + 3)]
    runs = [root_of(hashes[first : first + CHUNK]) for first in range(0, len(hashes), CHUNK)]
    for index in (0, CHUNK, 3 * CHUNK + 17, len(hashes) - 1):
        inside = path_to(index % CHUNK, hashes[index // CHUNK * CHUNK : (index // CHUNK + 1) * CHUNK])
        assert inside + path_to(index // CHUNK, runs) == path_to(index, hashes)
