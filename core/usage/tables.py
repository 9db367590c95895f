"""What happened: reports, events, corrections, and the daily counts rolled up from them.

Reports, events and corrections are facts: the application may add them and never change them. Every key starts with
`licensee_id`, so that two licensees can never touch each other's rows and the tables can be distributed by it. Events
have no foreign keys: each would be looked up for every event, and the licensee comes from a meter key, which has one.
Names of models are kept as they were sent; the roll-up resolves them.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from core.database import Base
from core.registry.lineage import ROLES
from core.usage.intake.report import OUTPUTS

MAX_IMAGE_COUNT = 1_000_000_000
REPORT_NUMBERS = Sequence("usage_report_numbers", metadata=Base.metadata)
BYTEWISE = Text(collation="C")


def _one_of(column: str, words: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(word) for word in words)})"


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"

    def bind_processor(self, _dialect: Any) -> Any:
        return lambda value: None if value is None else str(value)

    def result_processor(self, _dialect: Any, _coltype: Any) -> Any:
        return lambda value: None if value is None else int(value)


ischema_names["xid8"] = Xid8  # so that comparing tables with the database knows it, too


class UsageReport(Base):
    """One submitted batch, the digest of its body and the receipt it was given: the same id gets the same answer.

    Its events have its `xid` and `report_no`; reports from before `xid` was kept have none.
    """

    __tablename__ = "usage_reports"
    __table_args__ = (
        Index("ix_usage_reports_received", "licensee_id", "received_at"),
        Index("ix_usage_reports_sequence", "licensee_id", "source", text("sequence DESC"),
              postgresql_include=["received_at"], postgresql_where=text("sequence IS NOT NULL")),
        Index("ix_usage_reports_problems", "licensee_id", "received_at", "report_id",
              postgresql_where=text("rejected + conflict > 0")),
        CheckConstraint("length(report_id) BETWEEN 1 AND 255", name="report_id"),
    )  # fmt: skip
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"), primary_key=True)
    report_id: Mapped[str] = mapped_column(BYTEWISE, primary_key=True)
    report_no: Mapped[int]
    key_id: Mapped[int]
    source: Mapped[str | None]
    sequence: Mapped[int | None]
    body_digest: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    accepted: Mapped[int] = mapped_column(Integer)
    duplicate: Mapped[int] = mapped_column(Integer)
    held: Mapped[int] = mapped_column(Integer)
    conflict: Mapped[int] = mapped_column(Integer)
    rejected: Mapped[int] = mapped_column(Integer)
    image_count: Mapped[int]
    outcomes: Mapped[list[dict[str, Any]]]
    xid: Mapped[int | None] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))


class UsageEvent(Base):
    """One fact: so many images, with this model, at this time. Counted at most once for its id, for ever."""

    __tablename__ = "usage_events"
    __table_args__ = (
        Index("ix_usage_events_xid", "xid"),
        CheckConstraint(f"image_count BETWEEN 1 AND {MAX_IMAGE_COUNT}", name="image_count"),
        CheckConstraint("length(event_id) BETWEEN 1 AND 255", name="event_id"),
        CheckConstraint(_one_of("output", OUTPUTS), name="output"),
    )
    licensee_id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(BYTEWISE, primary_key=True)
    model: Mapped[str] = mapped_column(BYTEWISE)
    image_count: Mapped[int] = mapped_column(Integer)
    occurred_at: Mapped[datetime]
    adapters: Mapped[list[str]] = mapped_column(ARRAY(BYTEWISE))
    plan: Mapped[str] = mapped_column(BYTEWISE)
    report_no: Mapped[int]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    xid: Mapped[int] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    output: Mapped[str] = mapped_column(BYTEWISE, server_default="image")


class UsageCorrection(Base):
    """Somebody withdrew an event, or said how many images it really was. Append-only, like the event itself.

    The corrections of an event are a chain, numbered from 1 on: each begins with the count that the one before left,
    the first with the event's own, and none goes below zero. A trigger refuses anything else, and a correction whose
    transaction is older than what it corrects: the roll-up takes corrections by their transactions, as it takes events.
    """

    __tablename__ = "usage_corrections"
    __table_args__ = (
        UniqueConstraint("licensee_id", "event_id", "number", name="uq_usage_corrections_chain"),
        Index("ix_usage_corrections_xid", "xid"),
        Index("ix_usage_corrections_made", "licensee_id", "made_at", "correction_id"),
        CheckConstraint("length(correction_id) BETWEEN 1 AND 255", name="correction_id"),
        CheckConstraint("number >= 1", name="number"),
        CheckConstraint("kind IN ('withdraw', 'amend')", name="kind"),
        CheckConstraint("kind = 'amend' OR image_count_after = 0", name="withdrawn"),
        CheckConstraint("image_delta <> 0 AND image_count_after = image_count_before + image_delta", name="delta"),
        CheckConstraint(f"image_count_after BETWEEN 0 AND {MAX_IMAGE_COUNT}", name="image_count"),
        CheckConstraint("length(btrim(actor)) > 0 AND length(btrim(reason)) > 0", name="said"),
    )
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"), primary_key=True)
    correction_id: Mapped[str] = mapped_column(BYTEWISE, primary_key=True)
    event_id: Mapped[str] = mapped_column(BYTEWISE)
    number: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(BYTEWISE)
    image_delta: Mapped[int] = mapped_column(Integer)
    image_count_before: Mapped[int] = mapped_column(Integer)
    image_count_after: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str]
    reference: Mapped[str | None]
    actor: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    xid: Mapped[int] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))


class RollupWatermark(Base):
    """Events and corrections of transactions before `xid` are in the daily counts; the rest are not."""

    __tablename__ = "rollup_watermarks"
    name: Mapped[str] = mapped_column(primary_key=True)
    xid: Mapped[int] = mapped_column(Xid8)
    moved_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Resolution(Base):
    """What a reported combination of model and adapters was counted for, and which names are still held.

    It holds for the combination's events of transactions `[first_xid, until_xid)`; the ranges of a combination do not
    overlap, and the last is open. `roles` go with `model_ids`. `pending`: something is still to be learnt of it, and
    then only the difference is counted. `guessed_names` are unregistered AIRs, counted for the base models in
    `guessed_ids`; a guess stands until somebody re-resolves it, even if the name is registered as another model.
    `image_count` and `event_count` are what was reported under it, kept only where a name is held or guessed.
    """

    __tablename__ = "resolutions"
    __table_args__ = (
        CheckConstraint(
            "cardinality(model_ids) = cardinality(roles) AND cardinality(guessed_names) = cardinality(guessed_ids)",
            name="pairs",
        ),
        Index("uq_resolutions_open", "licensee_id", "model", "adapters", unique=True,
              postgresql_where=text("until_xid IS NULL")),
        Index("ix_resolutions_pending", "licensee_id", postgresql_where=text("pending")),
    )  # fmt: skip
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"), primary_key=True)
    model: Mapped[str] = mapped_column(BYTEWISE, primary_key=True)
    adapters: Mapped[tuple[str, ...]] = mapped_column(ARRAY(BYTEWISE, as_tuple=True), primary_key=True)
    first_xid: Mapped[int] = mapped_column(Xid8, primary_key=True)
    until_xid: Mapped[int | None] = mapped_column(Xid8)
    model_ids: Mapped[list[int]]
    roles: Mapped[list[str]] = mapped_column(server_default="{}")
    via_model_id: Mapped[int | None]
    held_names: Mapped[list[str]] = mapped_column(ARRAY(String))
    guessed_names: Mapped[list[str]] = mapped_column(server_default="{}")
    guessed_ids: Mapped[list[int]] = mapped_column(server_default="{}")
    pending: Mapped[bool] = mapped_column(server_default=text("false"))
    image_count: Mapped[int] = mapped_column(server_default="0")
    event_count: Mapped[int] = mapped_column(server_default="0")


class ReResolution(Base):
    """Somebody had counts moved from what an AIR was guessed to be to what it was registered as. Append-only."""

    __tablename__ = "re_resolutions"
    __table_args__ = (CheckConstraint("length(btrim(actor)) > 0 AND length(btrim(reason)) > 0", name="said"),)
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"), primary_key=True)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(BYTEWISE)
    model: Mapped[str] = mapped_column(BYTEWISE)
    adapters: Mapped[tuple[str, ...]] = mapped_column(ARRAY(BYTEWISE, as_tuple=True))
    first_xid: Mapped[int] = mapped_column(Xid8)
    counted_before: Mapped[dict[str, Any]]
    counted_after: Mapped[dict[str, Any]]
    image_count: Mapped[int]
    event_count: Mapped[int]
    actor: Mapped[str]
    reason: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DailyCount(Base):
    """Images in which a fee-bearing model was involved on a day of the account's zone: a sum, which can be rebuilt.

    It adds up events and their corrections; one that was withdrawn still counts as an event, of no images.

    `via_model_id` is the model that the events named (often a derivative), `plan` the end user's on the platform,
    `role` how the model is involved (`core/registry/lineage.py`), `output` what was made. Which roles and outputs are
    billed is for the terms in force on the day to say, so nothing is counted anew when they differ.
    """

    __tablename__ = "daily_counts"
    __table_args__ = (
        CheckConstraint("image_count >= 0 AND event_count >= 0", name="counts"),
        CheckConstraint(_one_of("role", ROLES), name="role"),
        CheckConstraint(_one_of("output", OUTPUTS), name="output"),
    )
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"), primary_key=True)
    model_id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    via_model_id: Mapped[int] = mapped_column(primary_key=True)
    plan: Mapped[str] = mapped_column(BYTEWISE, primary_key=True)
    role: Mapped[str] = mapped_column(BYTEWISE, primary_key=True, server_default="named")
    output: Mapped[str] = mapped_column(BYTEWISE, primary_key=True, server_default="image")
    image_count: Mapped[int]
    event_count: Mapped[int]


class LicenseeMonth(Base):
    """A sum over `daily_counts`: a licensee's images with a licensor's models in a calendar month, by role.

    The database keeps it, in the statement that changes the counts; the application may only read it. A row may have
    come to nothing. `changed_xid` is the last transaction that changed it.
    """

    __tablename__ = "licensee_months"
    __table_args__ = (Index("ix_licensee_months_licensor", "licensor_id", "month"),)
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(BYTEWISE, primary_key=True)
    image_count: Mapped[int]
    event_count: Mapped[int]
    changed_xid: Mapped[int] = mapped_column(Xid8)


class ModelDay(Base):
    """A sum over `daily_counts`, of all licensees together: the images of a model on a day, by the model they came
    through and by role. Kept by the database, like `LicenseeMonth`; days are those of the licensees' accounts.
    """

    __tablename__ = "model_days"
    licensor_id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(primary_key=True)
    via_model_id: Mapped[int] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(BYTEWISE, primary_key=True)
    image_count: Mapped[int]
    event_count: Mapped[int]


class ZeroReport(Base):
    """A licensee's word that no images were made on days `[starts_on, ends_on)`, with a model or at all. Append-only.

    Days are those of each account's zone. Usage that was reported for such a day stands all the same.
    """

    __tablename__ = "zero_reports"
    __table_args__ = (
        CheckConstraint("length(zero_report_id) BETWEEN 1 AND 255", name="zero_report_id"),
        CheckConstraint("ends_on > starts_on", name="days"),
    )
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"), primary_key=True)
    zero_report_id: Mapped[str] = mapped_column(BYTEWISE, primary_key=True)
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    model: Mapped[str | None] = mapped_column(BYTEWISE)
    reason: Mapped[str | None]
    key_id: Mapped[int]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SigningKey(Base):
    """A public key whose private half this installation began to sign receipts with. Append-only.

    The newest row is the key in use. Going back to an earlier key is another row, so no key is ever forgotten.
    """

    __tablename__ = "signing_keys"
    __table_args__ = (
        CheckConstraint(
            "length(public_key) = 32 AND key_id = left(encode(sha256(public_key), 'hex'), 16)", name="key_id"
        ),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    key_id: Mapped[str]
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    taken_up_at: Mapped[datetime] = mapped_column(server_default=func.now())


class UsageImport(Base):
    """How far a file of usage has come. Only progress: what became of its rows stands in its reports, in usage_reports.

    `row_count` is known once every row was answered. `seen_at` is the last sign of life of whoever takes it in.
    """

    __tablename__ = "usage_imports"
    __table_args__ = (
        CheckConstraint("import_id ~ '^[A-Za-z0-9._-]{1,128}$'", name="import_id"),
        CheckConstraint(_one_of("format", ("csv", "jsonl", "parquet")), name="format"),
        CheckConstraint(_one_of("state", ("receiving", "done", "broken")), name="state"),
        CheckConstraint("(state = 'done') = (row_count IS NOT NULL AND finished_at IS NOT NULL)", name="done"),
        Index("ix_usage_imports_started", "licensee_id", "started_at"),
    )
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"), primary_key=True)
    import_id: Mapped[str] = mapped_column(BYTEWISE, primary_key=True)
    key_id: Mapped[int]
    file_name: Mapped[str | None]
    format: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="receiving")
    code: Mapped[str | None]
    message: Mapped[str | None]
    row_count: Mapped[int | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
