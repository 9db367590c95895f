"""Which fees an image owes, against a tiny oracle that follows bases the naive way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Conflict, InvalidInput
from core.registry.lineage import Lineage, Node, owes_of

BASE = Node(1, "base", 10, "own")
AIR = "urn:air:sd1:lora:civitai:1@2"


def of(*nodes: Node, **names: int) -> Lineage:
    return Lineage(nodes, names)


@st.composite
def families(draw: st.DrawFn) -> list[Node]:
    """Trees and merges: each model is made from some of the models before it."""
    nodes: list[Node] = []
    for number in range(draw(st.integers(1, 12))):
        bases = draw(st.lists(st.integers(0, number - 1), unique=True, max_size=3)) if number else []
        owes = owes_of(draw(st.sampled_from(["own", "base", "both"]))) if bases else "own"
        nodes.append(Node(number, f"model-{number}", 1, owes, tuple(bases)))
    return nodes


def naive(nodes: dict[int, Node], model_id: int) -> set[int]:
    node = nodes[model_id]
    found = set() if node.owes == "base" else {model_id}
    if node.owes != "own":
        for base in node.bases:
            found |= naive(nodes, base)
    return found


@given(families(), st.randoms(use_true_random=False))
def test_every_family_owes_what_following_its_bases_says(nodes, random):
    by_id = {node.id: node for node in nodes}
    random.shuffle(nodes)
    lineage = Lineage(nodes, {})
    for node in nodes:
        assert lineage.owing(node.id) == naive(by_id, node.id)
        assert lineage.owing(node.id), "an image always owes somebody"


@given(families(), st.data())
def test_a_model_and_its_adapters_are_counted_once_for_each_fee_bearing_model(nodes, data):
    by_id = {node.id: node for node in nodes}
    lineage = Lineage(nodes, {})
    slugs = st.sampled_from([node.slug for node in nodes] + ["nobody", "nothing"])
    model, adapters = data.draw(slugs), data.draw(st.lists(slugs, max_size=4))
    resolved = lineage.resolve(model, adapters)
    known = [node.id for node in nodes if node.slug in {model, *adapters}]
    assert resolved.model_ids == set().union(*(naive(by_id, model_id) for model_id in known))
    assert set(resolved.unknown) == {model, *adapters} & {"nobody", "nothing"}
    assert len(resolved.unknown) == len(set(resolved.unknown))
    assert (resolved.via_model_id is None) == (model in resolved.unknown)


@given(families(), st.data())
def test_a_cycle_anywhere_is_refused(nodes, data):
    start = data.draw(st.sampled_from(nodes))
    ancestors = [start.id]
    for node_id in ancestors:
        ancestors += [base for base in nodes[node_id].bases if base not in ancestors]
    last = nodes[data.draw(st.sampled_from(ancestors))]
    nodes[last.id] = Node(last.id, last.slug, 1, "both", (*last.bases, start.id))
    with pytest.raises(Conflict, match="its own ancestor"):
        Lineage(nodes, {})


def test_a_fine_tune_of_a_fine_tune_owes_the_base_however_deep_it_is():
    chain = [BASE, *(Node(n, f"tune-{n}", 10, "base", (n - 1,)) for n in range(2, 5_000))]
    assert Lineage(chain, {}).owing(4_999) == {1}


def test_owing_both_stacks_and_the_base_is_counted_once_for_two_adapters():
    lineage = of(BASE, Node(2, "tune", 20, "both", (1,)), Node(3, "lora", 30, "both", (1,)))
    assert lineage.resolve("tune", ["lora"]).model_ids == {1, 2, 3}
    assert lineage.resolve("base", ["lora", "lora"]).model_ids == {1, 3}


def test_a_derivative_that_owes_its_own_frees_its_base():
    assert of(BASE, Node(2, "bought-out", 20, "own", (1,))).resolve("bought-out").model_ids == {2}


def test_a_merge_owes_all_of_its_bases():
    lineage = of(BASE, Node(2, "other", 20, "own"), Node(3, "merge", 20, "base", (1, 2)))
    assert lineage.resolve("merge").model_ids == {1, 2}


def test_a_model_answers_to_its_slug_its_air_and_its_aliases_exactly():
    lineage = Lineage([BASE], {AIR: 1, "Base XL": 1})
    assert [lineage.named(name) for name in ("base", AIR, "Base XL")] == [BASE] * 3
    assert [lineage.named(name) for name in ("Base", "base ", "base xl", "")] == [None] * 4


def test_an_unknown_model_with_a_known_adapter_keeps_both_facts():
    resolved = of(BASE).resolve("nobody", ["base"])
    assert (resolved.via_model_id, resolved.model_ids, resolved.unknown) == (None, {1}, ("nobody",))


def test_a_name_of_two_models_is_refused():
    with pytest.raises(Conflict, match="'base' cannot name model other: it already names base"):
        of(BASE, Node(2, "other", 10, "own"), base=2)


def test_a_model_that_would_owe_nothing_is_refused():
    with pytest.raises(InvalidInput, match="owes its base's fee but has no base"):
        of(Node(1, "orphan", 10, "base"))


def test_a_base_that_is_not_registered_is_refused():
    with pytest.raises(InvalidInput, match="model tune is made from model 1, which is not registered"):
        of(Node(2, "tune", 10, "base", (1,)))


def test_the_circle_is_spelled_out():
    with pytest.raises(Conflict, match=r"(a is made from b is made from a|b is made from a is made from b)$"):
        of(Node(1, "a", 1, "base", (2,)), Node(2, "b", 1, "base", (1,)))


def test_owes_is_one_of_three_words():
    with pytest.raises(InvalidInput, match="owes must be own, base or both, not 'all'"):
        owes_of("all")
