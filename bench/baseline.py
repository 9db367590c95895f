"""What most people would write first: FastAPI, a Pydantic model, and the ORM, one INSERT and COMMIT for each request.

No keys, no resolution of models, no receipts: whatever it leaves out is in its favour.
"""

import os
from datetime import datetime

from fastapi import FastAPI
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    """The baseline's own tables."""


class BaselineEvent(Base):
    """A counted event."""

    __tablename__ = "baseline_events"
    licensee_id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    image_count: Mapped[int]
    occurred_at: Mapped[datetime]


class EventIn(BaseModel):
    """A reported event."""

    event_id: str = Field(min_length=1, max_length=255)
    model: str = Field(min_length=1, max_length=255)
    image_count: int = Field(ge=1, le=1_000_000_000, strict=True)
    occurred_at: AwareDatetime


engine = create_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1), pool_size=40, max_overflow=0
)
app = FastAPI()


@app.post("/events")
def add_event(event: EventIn) -> dict[str, str]:
    with Session(engine) as session:
        session.add(BaselineEvent(licensee_id=1, **event.model_dump()))
        try:
            session.commit()
        except IntegrityError:
            return {"status": "duplicate"}
    return {"status": "accepted"}


def add_batch(session: Session, rows: list[dict[str, object]]) -> None:
    """The better habit: one INSERT .. ON CONFLICT for many rows."""
    session.execute(insert(BaselineEvent).on_conflict_do_nothing(), rows)
    session.commit()
