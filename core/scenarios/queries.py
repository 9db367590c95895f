"""What pages ask of saved scenarios, with the eyes of whoever asks."""

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session, aliased

from core.errors import NotFound
from core.scenarios.tables import Scenario


@dataclass(frozen=True, slots=True)
class Saved:
    """The latest version of a saved scenario."""

    key: str
    name: str
    version: int
    owner: str
    sharing: str
    parameters: dict[str, str]
    saved_at: datetime


def saved_scenarios(session: Session, email: str) -> list[Saved]:
    """One's own, and those that were shared with the whole house, the latest first. One statement."""
    later = aliased(Scenario)
    asked = (
        select(*(getattr(Scenario, name) for name in _NAMES))
        .where(
            or_(Scenario.owner == email, Scenario.sharing == "party"),
            ~exists().where(later.key == Scenario.key, later.version > Scenario.version),
        )
        .order_by(Scenario.saved_at.desc(), Scenario.key)
    )
    return [_saved(row) for row in session.execute(asked)]


def saved_scenario(session: Session, email: str, key: str) -> Saved:
    """One's own, or one that a colleague shared. Raises `NotFound`. One statement."""
    asked = (
        select(*(getattr(Scenario, name) for name in _NAMES))
        .where(Scenario.key == key)
        .order_by(Scenario.version.desc())
        .limit(1)
    )
    row = session.execute(asked).first()
    if row is None or (row.owner != email and row.sharing == "own"):
        raise NotFound("unknown_scenario", "there is no such scenario")
    return _saved(row)


_NAMES = ("key", "name", "version", "owner", "sharing", "parameters", "saved_at")


def _saved(row: object) -> Saved:
    values = {name: getattr(row, name) for name in _NAMES}
    return Saved(**{**values, "parameters": json.loads(values["parameters"])})
