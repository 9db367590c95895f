"""Naming a model on a licensor's word: usage that was sent under the name is counted from the next roll-up on."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.actors import Actor
from core.audit.record import record
from core.errors import InvalidInput, NotFound
from core.registry.register import add_names
from core.registry.tables import Model

MAX_NAME = 255


def name_model(session: Session, licensor_id: int, model: str, name: str, by: Actor) -> None:
    """Says that platforms may report a licensor's model by this name. It means this model for ever.

    Raises NotFound for a model that is not the licensor's, Conflict for a name that means a model already.
    """
    by.demand("clerk", "name a model")
    if not name or name != name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidInput("bad_name", f"a name is 1 to {MAX_NAME} printable characters, without spaces around it")
    owned = select(Model.id).where(Model.licensor_id == licensor_id, Model.slug == model)
    if session.scalars(owned).one_or_none() is None:
        raise NotFound("not_registered", f"you have no model called {model}")
    add_names(session, {name: model})
    record(session, licensor_id, by, "model.named", f"model {model}", {"name": name})
