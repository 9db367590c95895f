"""What reported names come down to for a licensee: which models are counted, in which roles, and what must wait."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.registry.lineage import Lineage, is_owed
from core.registry.queries import lineage as load_lineage
from core.registry.tables import Account
from core.usage.tables import Resolution

Roles = Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a combination of names is counted for by the registry as it stands.

    `held_names` are those that somebody should do something about. `pending` is wider: a model whose fee the lineage
    waives is still to be counted when the licensee opens an account, since an agreement may not waive it.
    """

    via_model_id: int | None
    roles: Roles
    held_names: tuple[str, ...]
    pending: bool
    guessed: Mapping[str, int]

    def columns(self) -> dict[str, Any]:
        """The outcome as a row of `resolutions` keeps it."""
        counted, guessed = sorted(self.roles), sorted(self.guessed)
        return {
            "model_ids": counted,
            "roles": [self.roles[model_id] for model_id in counted],
            "via_model_id": self.via_model_id,
            "held_names": list(self.held_names),
            "pending": self.pending,
            "guessed_names": guessed,
            "guessed_ids": [self.guessed[name] for name in guessed],
        }


def stored(row: Resolution) -> Outcome:
    """The outcome that a row keeps."""
    return Outcome(
        row.via_model_id,
        dict(zip(row.model_ids, row.roles, strict=True)),
        tuple(row.held_names),
        row.pending,
        guesses_of(row),
    )


def guesses_of(row: Resolution) -> dict[str, int]:
    """The unregistered AIRs of a row and the base models they were counted for."""
    return dict(zip(row.guessed_names, row.guessed_ids, strict=True))


class Resolver:
    """Names to counted models for one licensee, as the registry stands now."""

    def __init__(self, lineage: Lineage, accounts: set[tuple[int, int]]) -> None:
        self.lineage = lineage
        self.accounts = accounts

    @classmethod
    def load(cls, session: Session) -> "Resolver":
        """The registry and the accounts as they stand in this transaction."""
        pairs = session.execute(select(Account.licensee_id, Account.licensor_id))
        return cls(load_lineage(session), {(licensee_id, licensor_id) for licensee_id, licensor_id in pairs})

    def resolve(
        self, licensee_id: int, model: str, adapters: Sequence[str], guessed: Mapping[str, int] | None = None
    ) -> Outcome:
        """What to count for these names, and what must wait. `guessed` are guesses made before, which stand.

        While the named model itself is unknown nothing is counted: we could not say through which model it came.
        """
        found = self.lineage.resolve(model, adapters, guessed)
        roles: dict[int, str] = {}
        held, pending = set(found.unknown), bool(found.unknown)
        for model_id, role in found.roles.items() if found.via_model_id is not None else ():
            node = self.lineage.node(model_id)
            if (licensee_id, node.licensor_id) in self.accounts:
                roles[model_id] = role
                continue
            pending = True
            if is_owed(role, None):
                held.add(node.slug)
        return Outcome(found.via_model_id, roles, tuple(sorted(held)), pending, found.guessed)
