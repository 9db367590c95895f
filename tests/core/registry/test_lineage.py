"""Which fees an image owes and through what, against a tiny oracle that follows bases the naive way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Conflict, InvalidInput
from core.registry.lineage import OWED_BY_DEFAULT, ROLES, Lineage, Node, is_owed, owes_of

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


RULES = [None, "own", "base", "both", "none"]


def owed_by_rule(nodes: dict[int, Node], model: Node, adapters: list[Node], rule: str | None) -> set[int]:
    """What is owed when adapters owe by this rule, said without roles."""
    owed = naive(nodes, model.id)
    for adapter in adapters:
        says = rule or adapter.owes
        if says in ("own", "both"):
            owed |= {adapter.id}
        if says in ("base", "both"):
            owed |= set().union(*(naive(nodes, base) for base in adapter.bases))
    return owed


@given(families(), st.data(), st.sampled_from(RULES))
def test_under_every_rule_for_adapters_a_model_is_owed_once_and_only_what_the_rule_says(nodes, data, rule):
    by_id = {node.id: node for node in nodes}
    lineage = Lineage(nodes, {})
    model = data.draw(st.sampled_from(nodes))
    adapters = data.draw(st.lists(st.sampled_from(nodes), max_size=4))
    roles = lineage.resolve(model.slug, [adapter.slug for adapter in adapters]).roles
    owed = {model_id for model_id, role in roles.items() if is_owed(role, rule)}
    assert owed == owed_by_rule(by_id, model, adapters, rule)
    assert {model_id for model_id, role in roles.items() if role == "named"} == naive(by_id, model.id)


def test_no_rule_for_adapters_touches_what_the_named_model_owes():
    assert all(is_owed("named", rule) for rule in RULES)
    assert [role for role in ROLES if is_owed(role, "none")] == ["named"]
    assert all(is_owed(role, "both") for role in ROLES)
    assert [role for role in ROLES if is_owed(role, None)] == list(OWED_BY_DEFAULT)


def test_two_adapters_of_one_base_add_it_once_and_nothing_where_it_is_owed_already():
    lineage = of(BASE, Node(2, "lora", 20, "base", (1,)), Node(3, "ink", 30, "base", (1,)), Node(4, "other", 40, "own"))
    waived = {2: "adapter_own_waived", 3: "adapter_own_waived"}
    assert lineage.resolve("other", ["lora", "ink"]).roles == {4: "named", 1: "adapter_base", **waived}
    assert lineage.resolve("base", ["lora", "ink"]).roles == {1: "named", **waived}


CHECKPOINT = "urn:air:sd1:checkpoint:civitai:1@2"
UNKNOWN = "urn:air:sd1:lora:civitai:77@88"


def test_an_unregistered_air_of_a_known_ecosystem_counts_for_its_familys_base():
    lineage = Lineage([BASE, Node(2, "tune", 20, "own", (1,))], {CHECKPOINT: 1, "urn:air:sd1:checkpoint:x:2@1": 2})
    found = lineage.resolve("urn:air:sd1:checkpoint:civitai:9@9")
    assert (found.via_model_id, found.roles, found.unknown) == (1, {1: "named"}, ())
    assert found.guessed == {"urn:air:sd1:checkpoint:civitai:9@9": 1}
    found = lineage.resolve("tune", [UNKNOWN])
    assert (found.roles, found.guessed) == ({2: "named", 1: "adapter_base"}, {UNKNOWN: 1})
    assert lineage.resolve("base", [UNKNOWN]).roles == {1: "named"}


def test_a_registered_air_is_its_model_and_no_guess():
    lineage = Lineage([BASE, Node(2, "ink", 20, "own", (1,))], {CHECKPOINT: 1, UNKNOWN: 2})
    found = lineage.resolve(CHECKPOINT, [UNKNOWN])
    assert (found.roles[2], found.guessed) == ("adapter_own", {})


def test_a_guess_made_before_stands_though_the_name_is_registered_by_now():
    lineage = Lineage([BASE, Node(2, "ink", 20, "own", (1,))], {CHECKPOINT: 1, UNKNOWN: 2})
    found = lineage.resolve("base", [UNKNOWN], {UNKNOWN: 1})
    assert (found.roles, found.guessed) == ({1: "named"}, {UNKNOWN: 1})


@pytest.mark.parametrize(
    "name",
    [
        "urn:air:SD1:lora:civitai:77@88", "URN:AIR:sd1:lora:civitai:77@88", "urn:air:sd1:LoRA:civitai:77@88",
        "urn:air:sd1:lora:Civitai:77@88", " urn:air:sd1:lora:civitai:77@88", "urn:air:sd1:lora:civitai:77@88 ",
        "urn:air:sd1:lora:civitai:7 7@88", "urn:air:sd1:lora:civitai:77", "urn:air:sd1:lora:civitai:@88",
        "urn:air:sd1:lora:civitai:77@", "urn:air:sd1:lora:civitai:77@88:layer", "urn:air:sd1:lora:civitai:77@88@9",
        "urn:air:sd1:lora:77@88", "urn:air::lora:civitai:77@88", "urn:aid:sd1:lora:civitai:77@88", "sd1",
        "urn:air:sd1:lora:civitai:77@88\n", "urn:air:sd1:lora:civitai:77@88\u0660", "urn:air:sd2:lora:civitai:77@88",
    ],
)  # fmt: skip
def test_what_is_not_exactly_an_air_of_a_known_ecosystem_is_an_unknown_name(name: str):
    assert Lineage([BASE], {CHECKPOINT: 1}).resolve("base", [name]).unknown == (name,)


def test_an_ecosystem_of_two_base_models_is_nobodys_family():
    lineage = Lineage([BASE, Node(2, "other", 20, "own")], {CHECKPOINT: 1, "urn:air:sd1:checkpoint:x:2@1": 2})
    assert lineage.family(UNKNOWN) is None and len(lineage.families("sd1")) == 2
    assert lineage.resolve("base", [UNKNOWN]).unknown == (UNKNOWN,)


def test_only_the_checkpoint_of_a_base_model_makes_an_ecosystem_known():
    tune = Node(2, "tune", 20, "own", (1,))
    for air in ("urn:air:sd1:lora:civitai:1@2", "urn:air:sd1:embedding:civitai:1@2"):
        assert Lineage([BASE], {air: 1}).family(UNKNOWN) is None
    assert Lineage([BASE, tune], {CHECKPOINT: 2}).family(UNKNOWN) is None


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
