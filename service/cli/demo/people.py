"""Chapter: who works here. The licensor's people with their roles, and those of the licensees.

Everybody sets a password by an invitation, as they would. All have the same one, which is made anew for every
installation and is known to nobody before.
"""

import secrets

from sqlalchemy.orm import Session

from core.access.invitations import accept, invite
from core.access.people import add_licensee_user
from core.access.sessions import Person
from core.access.users import add_user
from core.actors import Actor
from service.cli.demo.cast import FINANCE, LICENSOR, MANAGERS, VIEWERS
from service.cli.demo.scene import Scene, finance

OPERATOR = Actor("operator", "admin")  # who sets an installation up, before anybody can sign in
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that is taken for something else


def new_password() -> str:
    """Some eighty random bits that can be typed."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def add_people(scene: Scene) -> None:
    """Adds everybody of `cast.py`."""
    with scene.session() as session:
        for email, name, role in FINANCE.values():
            by = OPERATOR if role == "admin" else finance("ada")
            user: Person = add_user(session, LICENSOR, by, email=email, name=name, role=role)
            _welcome(session, user, by, scene.password)
        licensor_id = scene.licensor_id(session)
        for people, role in ((MANAGERS, "manager"), (VIEWERS, "viewer")):
            for licensee, (email, name) in people.items():
                licensee_id = scene.licensee_id(session, licensee)
                ada = finance("ada")
                user = add_licensee_user(
                    session, licensee_id, ada, email=email, name=name, role=role, licensor_id=licensor_id
                )
                _welcome(session, user, ada, scene.password)


def _welcome(session: Session, person: Person, by: Actor, password: str) -> None:
    accept(session, invite(session, person, by), password)
