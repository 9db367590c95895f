"""What running months come to, made by a worker so that a page need not rate anything."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from core.database import Base
from core.usage.tables import Xid8

STATES = ("running", "over", "closed", "issued", "refused")


class Accrual(Base):
    """How an agreement stands in one month: a sum, which can be thrown away and made again.

    `accrued_minor` is what an invoice would ask for now before tax, `earlier_minor` the part of it that adjusts earlier
    months; once the month is issued, they are the document's. `fees_minor` are the fees of the month's own usage,
    billed or not, before anything that was paid in advance is drawn. The arrays add up to it: by subject
    (`subject_...`, the largest first) and by day (`day_...`, from the month's first day on). `silent_since` is the
    first of the days up to yesterday on which nothing was heard.
    `commitments` and `caps` are documents that `core/accruals/queries.py` reads; `shortfall_minor` is what is expected
    to be asked for commitments that are missed. `basis` and `seen_xid` are what the row was made from: it is due again
    when either has moved on.
    """

    __tablename__ = "accruals"
    __table_args__ = (
        CheckConstraint("period_end > period_start", name="period"),
        CheckConstraint(f"state IN ({', '.join(repr(state) for state in STATES)})", name="state"),
        CheckConstraint("cardinality(subjects) = cardinality(subject_minor) "
                        "AND cardinality(subjects) = cardinality(subject_images) "
                        "AND cardinality(day_minor) = cardinality(day_images)", name="arrays"),
        Index("ix_accruals_licensor", "licensor_id", "period_start"),
        Index("ix_accruals_licensee", "licensee_id", "period_start"),
    )  # fmt: skip
    agreement_id: Mapped[int] = mapped_column(ForeignKey("agreements.id"), primary_key=True)
    period_start: Mapped[date] = mapped_column(primary_key=True)
    period_end: Mapped[date]
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"))
    currency: Mapped[str]
    state: Mapped[str]
    as_of: Mapped[date]
    counted_at: Mapped[datetime]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    image_count: Mapped[int]
    forecast_image_count: Mapped[int]
    accrued_minor: Mapped[int]
    accrued_tax_minor: Mapped[int]
    earlier_minor: Mapped[int]
    forecast_minor: Mapped[int]
    forecast_tax_minor: Mapped[int]
    fees_minor: Mapped[int]
    method: Mapped[str]
    subjects: Mapped[list[str]]
    subject_images: Mapped[list[int]]
    subject_minor: Mapped[list[int]]
    day_images: Mapped[list[int]]
    day_minor: Mapped[list[int]]
    last_counted_on: Mapped[date | None]
    silent_since: Mapped[date | None]
    missing_day_count: Mapped[int] = mapped_column(SmallInteger)
    shortfall_minor: Mapped[int]
    commitments: Mapped[list[dict[str, Any]]]
    caps: Mapped[list[dict[str, Any]]]
    basis: Mapped[str]
    seen_xid: Mapped[int] = mapped_column(Xid8)
