"""Which fees an image owes: every model's family tree, and the names under which platforms report models.

An image made with a derivative owes what the derivative's `owes` says: its own fee, the fees of the models it was made
from, or both. Bases are followed to any depth, a merge has several, and a model that is reached twice is counted once.

How a fee-bearing model is involved in an image is its role: through the model that was named, or only through an
adapter. Agreements may have their own rule for adapters (`is_owed`), so roles are kept apart from the first.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Literal, cast, get_args

from core.errors import Conflict, InvalidInput
from core.registry.air import CHECKPOINT, parse_air

Owes = Literal["own", "base", "both"]
OWES: tuple[str, ...] = get_args(Owes)
Role = Literal[
    "named",  # owed by the lineage of the model that was named
    "adapter_own",  # the adapter itself, which by its `owes` owes its own fee
    "adapter_own_waived",  # the adapter itself, which by its `owes` owes only its base's fee
    "adapter_base",  # a base of an adapter that by its `owes` owes its base's fee
    "adapter_base_waived",  # a base, only of adapters that by their `owes` owe their own fee
    "adapter_both",  # an adapter that is also a base of another one
]
ROLES: tuple[str, ...] = get_args(Role)
OWED_BY_DEFAULT: tuple[str, ...] = tuple(role for role in ROLES if not role.endswith("_waived"))
_OWED: Mapping[str | None, frozenset[str]] = {
    None: frozenset(OWED_BY_DEFAULT),
    "own": frozenset({"named", "adapter_own", "adapter_own_waived", "adapter_both"}),
    "base": frozenset({"named", "adapter_base", "adapter_base_waived", "adapter_both"}),
    "both": frozenset(ROLES),
    "none": frozenset({"named"}),
}
_NOTHING: frozenset[int] = frozenset()


def owes_of(text: str) -> Owes:
    """`text` as one of own, base, both."""
    if text not in OWES:
        raise InvalidInput("unknown_owes", f"owes must be own, base or both, not {text!r}")
    return cast(Owes, text)


def is_owed(role: str, adapters: str | None) -> bool:
    """Whether a model involved in this role is owed its fee under an agreement whose rule for adapters this is.

    The rule is own, base, both or none; None leaves it to the `owes` of the adapters. Each agreement decides for the
    models it covers, and no rule touches what the named model owes.
    """
    return role in _OWED[adapters]


@dataclass(frozen=True, slots=True)
class Node:
    """One model and the models it was made from."""

    id: int
    slug: str
    licensor_id: int
    owes: Owes
    bases: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a reported model and its adapters come down to.

    `via_model_id` is the model that was named, None when nobody knows it; `roles` are the fee-bearing models involved,
    each in one role, as far as the names are known; `unknown` are the names that nobody knows, in the order in which
    they were reported. Usage with an unknown name is held, and resolved again when the registry learns more. `guessed`
    are the unregistered AIRs and the base models of their families, for which they stand until somebody knows better.
    """

    via_model_id: int | None
    roles: Mapping[int, Role]
    unknown: tuple[str, ...]
    guessed: Mapping[str, int] = field(default_factory=dict)

    @property
    def model_ids(self) -> frozenset[int]:
        """The models for which the image is counted where no agreement has a rule of its own for adapters."""
        return frozenset(model_id for model_id, role in self.roles.items() if is_owed(role, None))


class Lineage:
    """All models at one moment. A value: made once, asked often, never changed."""

    def __init__(self, nodes: Iterable[Node], names: Mapping[str, int]) -> None:
        """`names` maps AIRs and aliases to model ids; a slug is a name whether or not it is listed there.

        Refuses a cycle, a base that does not exist, a model that would owe nothing at all, and a name of two models.
        """
        self._nodes = {node.id: node for node in nodes}
        self._names = {node.slug: node for node in self._nodes.values()}
        for name, model_id in names.items():
            node = self._nodes[model_id]
            if self._names.setdefault(name, node) is not node:
                raise Conflict(
                    "name_taken", f"{name!r} cannot name model {node.slug}: it already names {self._names[name].slug}"
                )
        self._owing = self._follow()
        self._families = self._found_families(names)

    def named(self, name: str) -> Node | None:
        """The model registered under `name`: its slug, its AIR, or an alias; None when nobody knows the name."""
        return self._names.get(name)

    def families(self, ecosystem: str) -> tuple[Node, ...]:
        """The base models with a checkpoint AIR of this ecosystem. Only of a single one is an unknown AIR a family."""
        return self._families.get(ecosystem, ())

    def family(self, name: str) -> Node | None:
        """The base model for which an AIR stands as long as nobody has registered it; None for any other name."""
        if name in self._names or (air := parse_air(name)) is None:
            return None
        bases = self.families(air.ecosystem)
        return bases[0] if len(bases) == 1 else None

    def node(self, model_id: int) -> Node:
        """The model with this id."""
        return self._nodes[model_id]

    def owing(self, model_id: int) -> frozenset[int]:
        """The fee-bearing models for which an image made with this model is counted. Never empty."""
        return self._owing[model_id]

    def resolve(self, model: str, adapters: Sequence[str] = (), guessed: Mapping[str, int] | None = None) -> Resolved:
        """Resolves what an event names: each fee-bearing model once, however many of the names lead to it.

        An unregistered AIR of a known family counts as a derivative that owes its base's fee. `guessed` are guesses
        made before, which stand even where the name has been registered since.
        """
        own: set[int] = set()
        through: set[int] = set()
        waived: set[int] = set()
        unknown: dict[str, None] = {}
        guesses: dict[str, int] = {}
        via = self._standing_for(model, guessed or {}, guesses)
        if via is None:
            unknown[model] = None
        for name in adapters:
            node = self._standing_for(name, guessed or {}, guesses)
            if node is None:
                unknown[name] = None
            elif name in guesses:
                through |= self._owing[node.id]
            else:
                own.add(node.id)
                bases = through if node.owes != "own" else waived
                bases |= self._of_bases(node)
        roles: dict[int, Role] = dict.fromkeys(self._owing[via.id] if via else _NOTHING, "named")
        for model_id in (own | through | waived) - roles.keys():
            roles[model_id] = self._role(model_id, model_id in own, model_id in through, model_id in waived)
        return Resolved(via.id if via else None, roles, tuple(unknown), guesses)

    def _standing_for(self, name: str, guessed: Mapping[str, int], guesses: dict[str, int]) -> Node | None:
        """The model that a name stands for; `guesses` takes it down if that is a guess."""
        if name in guessed:
            guesses[name] = guessed[name]
            return self._nodes[guessed[name]]
        node = self.named(name)
        if node is None and (node := self.family(name)):
            guesses[name] = node.id
        return node

    def _role(self, model_id: int, own: bool, through: bool, waived: bool) -> Role:
        if own and (through or waived):
            return "adapter_both"
        if own:
            return "adapter_own" if self._nodes[model_id].owes != "base" else "adapter_own_waived"
        return "adapter_base" if through else "adapter_base_waived"

    def _of_bases(self, node: Node) -> frozenset[int]:
        return _NOTHING.union(*(self._owing[base] for base in node.bases))

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def _follow(self) -> dict[int, frozenset[int]]:
        """What every model owes, bases before derivatives, so that no depth is too deep."""
        owing: dict[int, frozenset[int]] = {}
        for model_id in self._bases_first():
            node = self._nodes[model_id]
            own = frozenset({model_id}) if node.owes in ("own", "both") else _NOTHING
            if node.owes == "own":
                owing[model_id] = own
                continue
            if not node.bases:
                raise InvalidInput(
                    "no_base",
                    f"model {node.slug} owes its base's fee but has no base: name its base, or let it owe own",
                )
            owing[model_id] = own.union(*(owing[base] for base in node.bases))
        return owing

    def _found_families(self, names: Iterable[str]) -> dict[str, tuple[Node, ...]]:
        """By ecosystem, the models without a base that have a checkpoint AIR in it."""
        found: dict[str, dict[int, Node]] = defaultdict(dict)
        for name in names:
            air, node = parse_air(name), self._names[name]
            if air and air.type == CHECKPOINT and not node.bases:
                found[air.ecosystem][node.id] = node
        return {ecosystem: tuple(nodes.values()) for ecosystem, nodes in found.items()}

    def _bases_first(self) -> Iterable[int]:
        for node in self._nodes.values():
            for base in node.bases:
                if base not in self._nodes:
                    raise InvalidInput(
                        "unknown_base", f"model {node.slug} is made from model {base}, which is not registered"
                    )
        try:
            return tuple(TopologicalSorter({node.id: node.bases for node in self._nodes.values()}).static_order())
        except CycleError as cycle:
            # graphlib names each model before the one that is made from it.
            circle = " is made from ".join(self._nodes[model_id].slug for model_id in reversed(cycle.args[1]))
            raise Conflict("lineage_cycle", f"a model cannot be its own ancestor: {circle}") from None
