"""Keeping a scenario, changing it by a further version, and deleting one's own."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from core.canonical import canonical
from core.errors import InvalidInput, NotAllowed, NotFound
from core.scenarios.tables import SHARINGS, Scenario

MOST_SAVED, MOST_VERSIONS = 200, 100  # of one person, and of one scenario
MOST_PARAMETERS, LONGEST_VALUE, LONGEST_NAME = 60, 100, 120
_KEY = re.compile(r"[a-z][a-z0-9_]{0,30}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Owner:
    """Who keeps it: a person by e-mail address, of one licensor or of one licensee."""

    email: str
    licensor_id: int | None = None
    licensee_id: int | None = None

    def __post_init__(self) -> None:
        if (self.licensor_id is None) == (self.licensee_id is None):
            raise InvalidInput("no_party", "a scenario belongs to one licensor or to one licensee")


def save_scenario(
    session: Session, owner: Owner, name: str, parameters: Mapping[str, str], *, sharing: str = "own", key: str = ""
) -> Scenario:
    """Keeps a scenario; with the `key` of one's own, as its next version. The caller commits; of two that save the next
    version at once, the second breaks the unique key and has to try again.

    Raises `InvalidInput`, `NotFound` for a key that is not of the owner's house, `NotAllowed` for a colleague's.
    """
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidInput("bad_name", f"write a name of at most {LONGEST_NAME} characters", field="name")
    if sharing not in SHARINGS:
        raise InvalidInput("bad_sharing", f"choose one of {', '.join(SHARINGS)}", field="sharing")
    _demand_plain(parameters)
    version = 1
    if key:
        latest = _latest_of(session, owner, key)
        version = latest.version + 1
        if version > MOST_VERSIONS:
            raise InvalidInput("too_many_versions", f"it has {MOST_VERSIONS} versions: save it as a new one")
    else:
        mine = select(func.count(Scenario.key.distinct())).where(*_house(owner), Scenario.owner == owner.email)
        if (session.scalar(mine) or 0) >= MOST_SAVED:
            raise InvalidInput("too_many_saved", f"you keep {MOST_SAVED} scenarios already: delete one first")
        key = secrets.token_urlsafe(12)
    made = Scenario(
        key=key, version=version, licensor_id=owner.licensor_id, licensee_id=owner.licensee_id, owner=owner.email,
        name=name, sharing=sharing, parameters=canonical(dict(parameters)).decode(),
    )  # fmt: skip
    session.add(made)
    session.flush()
    return made


def delete_scenario(session: Session, owner: Owner, key: str) -> str:
    """Takes one's own scenario away with all its versions; says its name. Raises `NotFound` and `NotAllowed`."""
    latest = _latest_of(session, owner, key)
    name = latest.name
    session.execute(delete(Scenario).where(*_house(owner), Scenario.key == key, Scenario.owner == owner.email))
    return name


def _latest_of(session: Session, owner: Owner, key: str) -> Scenario:
    asked = select(Scenario).where(*_house(owner), Scenario.key == key).order_by(Scenario.version.desc()).limit(1)
    found = session.scalar(asked)
    if found is None or (found.owner != owner.email and found.sharing == "own"):
        raise NotFound("unknown_scenario", "there is no such scenario")
    if found.owner != owner.email:
        raise NotAllowed("not_yours", f"this scenario is {found.owner}'s: save it as one of your own")
    return found


def _house(owner: Owner) -> list[ColumnElement[bool]]:
    return [
        Scenario.licensor_id.is_not_distinct_from(owner.licensor_id),
        Scenario.licensee_id.is_not_distinct_from(owner.licensee_id),
    ]


def _demand_plain(parameters: Mapping[str, str]) -> None:
    if not parameters or len(parameters) > MOST_PARAMETERS:
        raise InvalidInput("bad_parameters", f"a scenario has 1 to {MOST_PARAMETERS} parameters")
    for key, value in parameters.items():
        if not _KEY.fullmatch(key) or len(value) > LONGEST_VALUE or not value.isprintable():
            raise InvalidInput("bad_parameters", f"the parameter {key[:40]!r} cannot be kept")
