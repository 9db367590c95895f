"""Saved scenarios: questions that somebody of a licensor or of a licensee wants to keep, and whom they show them."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from core.database import Base

SHARINGS = ("own", "link", "party")


class Scenario(Base):
    """One version of a saved scenario. A later one of the same key stands for it; none is ever edited.

    `parameters` is canonical JSON, kept as text so that it is read back as it was written. `sharing`: for the owner
    alone (`own`), for whoever of the same house has the link (`link`), or in everybody's list there (`party`).
    """

    __tablename__ = "scenarios"
    __table_args__ = (
        CheckConstraint("(licensor_id IS NULL) <> (licensee_id IS NULL)", name="party"),
        CheckConstraint(f"sharing IN ({', '.join(repr(each) for each in SHARINGS)})", name="sharing"),
        CheckConstraint("name <> '' AND length(name) <= 120", name="name"),
        CheckConstraint("length(parameters) <= 8000", name="parameters"),
        CheckConstraint("version > 0", name="version"),
        Index("ix_scenarios_key", "key", "version", unique=True),
        Index("ix_scenarios_licensor", "licensor_id", "owner"),
        Index("ix_scenarios_licensee", "licensee_id", "owner"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    key: Mapped[str]
    version: Mapped[int]
    licensor_id: Mapped[int | None] = mapped_column(ForeignKey("licensors.id"))
    licensee_id: Mapped[int | None] = mapped_column(ForeignKey("licensees.id"))
    owner: Mapped[str]
    name: Mapped[str]
    sharing: Mapped[str]
    parameters: Mapped[str]
    saved_at: Mapped[datetime] = mapped_column(server_default=func.now())
