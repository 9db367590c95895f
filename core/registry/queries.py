"""What callers ask of the registry."""

from collections import defaultdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.registry.lineage import Lineage, Node, owes_of
from core.registry.tables import Account, Licensee, Licensor, MeterKey, Model, ModelBase, ModelName


def lineage(session: Session) -> Lineage:
    """All models, their bases and their names, as they stand in this transaction: three reads, however many models."""
    bases: dict[int, list[int]] = defaultdict(list)
    for model_id, base_id in session.execute(select(ModelBase.model_id, ModelBase.base_id).order_by(ModelBase.base_id)):
        bases[model_id].append(base_id)
    models = session.execute(select(Model.id, Model.slug, Model.licensor_id, Model.owes).order_by(Model.id))
    nodes = [Node(id_, slug, licensor, owes_of(owes), tuple(bases[id_])) for id_, slug, licensor, owes in models]
    names = session.execute(select(ModelName.name, ModelName.model_id)).all()
    return Lineage(nodes, dict(names))


def meter_key(session: Session, public_id: str) -> MeterKey | None:
    """The key with this public id, revoked or not: the caller compares the secret, expiry and revocation."""
    return session.scalar(select(MeterKey).where(MeterKey.public_id == public_id))


def meter_keys(session: Session, licensee_slug: str | None = None) -> list[tuple[MeterKey, str]]:
    """All keys, or those of one licensee, each with its licensee's slug, oldest first."""
    asked = select(MeterKey, Licensee.slug).join(Licensee, Licensee.id == MeterKey.licensee_id).order_by(MeterKey.id)
    if licensee_slug is not None:
        asked = asked.where(Licensee.slug == licensee_slug)
    return list(session.execute(asked))


def accounts_of(session: Session, licensee_id: int) -> list[tuple[Account, Licensor]]:
    """A licensee's accounts with their licensors, by the licensors' slugs."""
    asked = select(Account, Licensor).join(Licensor, Licensor.id == Account.licensor_id)
    rows = session.execute(asked.where(Account.licensee_id == licensee_id).order_by(Licensor.slug))
    return [(account, licensor) for account, licensor in rows]
