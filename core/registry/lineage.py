"""Which fees an image owes: every model's family tree, and the names under which platforms report models.

An image made with a derivative owes what the derivative's `owes` says: its own fee, the fees of the models it was made
from, or both. Bases are followed to any depth, a merge has several, and a model that is reached twice is counted once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Literal, cast, get_args

from core.errors import Conflict, InvalidInput

Owes = Literal["own", "base", "both"]
OWES: tuple[str, ...] = get_args(Owes)
_NOTHING: frozenset[int] = frozenset()


def owes_of(text: str) -> Owes:
    """`text` as one of own, base, both."""
    if text not in OWES:
        raise InvalidInput("unknown_owes", f"owes must be own, base or both, not {text!r}")
    return cast(Owes, text)


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

    `via_model_id` is the model that was named, None when nobody knows it; `model_ids` are the fee-bearing models for
    which the image is counted, as far as the names are known; `unknown` are the names that nobody knows, in the order
    in which they were reported. Usage with an unknown name is held, and resolved again when the registry learns more.
    """

    via_model_id: int | None
    model_ids: frozenset[int]
    unknown: tuple[str, ...]


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

    def named(self, name: str) -> Node | None:
        """The model that platforms call `name`: its slug, its AIR, or an alias; None when nobody knows the name."""
        # An unregistered AIR of a known ecosystem will resolve to the family's base here.
        return self._names.get(name)

    def node(self, model_id: int) -> Node:
        """The model with this id."""
        return self._nodes[model_id]

    def owing(self, model_id: int) -> frozenset[int]:
        """The fee-bearing models for which an image made with this model is counted. Never empty."""
        return self._owing[model_id]

    def resolve(self, model: str, adapters: Sequence[str] = ()) -> Resolved:
        """Resolves what an event names: each fee-bearing model once, however many of the names lead to it."""
        via = self.named(model)
        model_ids, unknown = _NOTHING, []
        for name in (model, *adapters):
            node = self.named(name)
            if node:
                model_ids |= self._owing[node.id]
            elif name not in unknown:
                unknown.append(name)
        return Resolved(via.id if via else None, model_ids, tuple(unknown))

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
