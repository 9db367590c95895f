"""Who does something: a person with a finance role, or the machine itself.

Roles are ranked: a viewer looks, a clerk prepares, an approver decides, an admin may do everything. `system` is the
clock and the worker: it may close and issue what nobody has to approve, and nothing that needs a person. Whoever calls
a verb says who acts; that the name is true is for the door to see to.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import InvalidInput, NotAllowed

Role = Literal["viewer", "clerk", "approver", "admin", "system"]
ROLES: tuple[Role, ...] = get_args(Role)
PEOPLE: tuple[Role, ...] = ROLES[:-1]  # lowest first
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. Two actors of the same name are the same person, whatever their roles."""

    name: str
    role: Role

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise InvalidInput("unknown_role", f"a role is one of {', '.join(ROLES)}, not {self.role!r}")
        if not self.name.strip() or len(self.name) > MAX_NAME or not self.name.isprintable():
            raise InvalidInput("bad_actor", f"say who acts: one line of 1 to {MAX_NAME} printable characters")
        if (self.name == "system") != (self.role == "system"):
            raise InvalidInput("bad_actor", "the name `system` is the machine's own: give the name of a person")

    @property
    def role_in_log(self) -> str:
        return self.role

    @property
    def is_person(self) -> bool:
        return self.role != "system"

    def may(self, least: Role, *, system_may: bool = False) -> bool:
        """Whether this actor has at least the role `least`; the machine has none, but may be let in by name."""
        if not self.is_person:
            return system_may
        return PEOPLE.index(self.role) >= PEOPLE.index(least)

    def demand(self, least: Role, what: str, *, system_may: bool = False) -> None:
        """Raises `NotAllowed` with the role that is needed."""
        if not self.may(least, system_may=system_may):
            who = f"{self.name} is {_said(self.role)}" if self.is_person else "the machine cannot do this by itself"
            raise NotAllowed(
                "role_too_low", f"{who}: to {what} takes {_said(least)} or somebody above", needed=least, role=self.role
            )


SYSTEM = Actor("system", "system")


@dataclass(frozen=True, slots=True)
class LicenseeActor:
    """A person of a licensee's who does something for it. The finance roles of a licensor mean nothing here."""

    name: str
    role: Literal["viewer", "manager"]

    @property
    def role_in_log(self) -> str:
        return f"licensee {self.role}"

    def demand_manager(self, what: str) -> None:
        """Raises `NotAllowed` for somebody who may only look."""
        if self.role != "manager":
            raise NotAllowed(
                "role_too_low", f"{self.name} is a viewer: to {what} takes a manager", needed="manager", role=self.role
            )


def role_of(text: str) -> Role:
    """`text` as a person's role."""
    for role in PEOPLE:
        if role == text:
            return role
    raise InvalidInput("unknown_role", f"a role is one of {', '.join(PEOPLE)}, not {text!r}")


def _said(role: str) -> str:
    return f"an {role}" if role[0] in "aeiou" else f"a {role}"
