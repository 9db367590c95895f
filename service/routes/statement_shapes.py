"""Statements, disputes and reconciliations as answers show them: the same to the licensee and to the licensor."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.orm import Session

from core.money import decimal_of
from core.period import Period
from core.statements.queries import Summary, daily_totals, disputes_of
from core.statements.reconciliation import Totals, gathered, read_totals, reconcile
from core.statements.tables import Dispute, Settlement, Statement

MAX_ROWS = 10_000  # of totals that come as JSON; more fit in as CSV
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="the statement's number in the account's chain")]
_MONTH = r"^[0-9]{4}-(0[1-9]|1[0-2])$"


class StatementSummary(BaseModel):
    """A statement in a list. `standing`: open, certified, disputed, settled or replaced."""

    licensor: str
    licensee: str
    number: int
    period: str = Field(examples=["2026-10"])
    revision: int
    image_count: int
    event_count: int
    made_at: str
    hash: str
    standing: str
    open_disputes: int


class StatementList(BaseModel):
    """The newest statements first."""

    statements: list[StatementSummary]

    @classmethod
    def of(cls, rows: list[Summary]) -> "StatementList":
        return cls(statements=[StatementSummary(**asdict(row)) for row in rows])


class StatementContent(BaseModel):
    """What was signed: counts by model, day and plan, the reporting calendar, and the root over the events."""

    model_config = ConfigDict(extra="allow")
    licensor: str
    licensee: str
    number: int
    revision: int
    previous_hash: str | None
    made_at: str
    counts: list[dict[str, Any]]


class StatementSignature(BaseModel):
    """By which key it was signed."""

    algorithm: str
    key_id: str
    value: str


class StatementFile(BaseModel):
    """The file that `perimage verify-statement` checks with the public key alone."""

    statement: StatementContent
    signature: StatementSignature


class StatementProof(BaseModel):
    """That an event is in a statement: the event as counted, its place, and the path from it to the root."""

    event: dict[str, Any]
    index: int
    path: list[str]


class StatementDispute(BaseModel):
    """A line that the licensee says is wrong, and how that ended: open, agreed or rejected, with the answer."""

    dispute_id: int
    model: str
    day: date
    plan: str | None
    stated: int
    claimed: int
    reason: str
    actor: str
    outcome: str
    agreed: int | None
    answer: str | None

    @classmethod
    def of(cls, found: Dispute, settlement: Settlement | None) -> "StatementDispute":
        return cls(
            dispute_id=found.dispute_id,
            model=found.model,
            day=found.day,
            plan=found.plan,
            stated=found.stated,
            claimed=found.claimed,
            reason=found.reason,
            actor=found.actor,
            outcome=settlement.outcome if settlement else "open",
            agreed=settlement.agreed if settlement else None,
            answer=settlement.reason if settlement else None,
        )


class StatementDisputes(BaseModel):
    """What was disputed of a statement."""

    disputes: list[StatementDispute]

    @classmethod
    def of(cls, session: Session, statement: Statement) -> "StatementDisputes":
        return cls(disputes=[StatementDispute.of(*each) for each in disputes_of(session, statement)])


class DayTotal(BaseModel):
    """The licensee's own images of a model on a day."""

    model_config = ConfigDict(extra="forbid", strict=True)
    model: str = Field(min_length=1, max_length=255)
    day: str = Field(max_length=10, examples=["2026-10-03"])
    image_count: int = Field(ge=0, le=10**15)


class OwnTotals(BaseModel):
    """A month of the licensee's own daily totals, as CSV with the columns model, day and image_count, or as rows."""

    model_config = ConfigDict(extra="forbid", strict=True)
    period: str = Field(max_length=10, pattern=_MONTH, examples=["2026-10"])
    totals: str | None = Field(default=None, max_length=1024 * 1024, description="CSV")
    rows: list[DayTotal] | None = Field(default=None, max_length=MAX_ROWS, description="the same as JSON")
    threshold_percent: str = Field(
        default="5", max_length=20, description="by how much the whole month may differ under the contract, in percent"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "OwnTotals":
        if (self.totals is None) == (self.rows is None):
            raise ValueError("send either totals, as CSV, or rows")
        return self

    def read(self) -> tuple[Period, Totals]:
        """The month, and the totals by model and day."""
        month = Period.month(self.period)
        if self.totals is not None:
            return month, read_totals(self.totals, month)
        return month, gathered(((row.model, row.day, str(row.image_count)) for row in self.rows or ()), month)


class TotalsDifference(BaseModel):
    """Theirs and ours, of a model on a day, of a model in the whole month, or of all. `share`: of the larger one."""

    model: str
    day: date | None
    theirs: int
    ours: int
    images: int = Field(description="how many more were counted than they have")
    share: str = Field(examples=["4.76 %"])


class TotalsCompared(BaseModel):
    """Every day and model that differs, the sums by model, and whether the whole differs by more than the threshold."""

    days: list[TotalsDifference]
    models: list[TotalsDifference]
    whole: TotalsDifference
    threshold: str = Field(examples=["5 %"])
    beyond_threshold: bool
    verdict: Literal["same", "within", "beyond"] = Field(description="of the whole month, against the threshold")


def compared(session: Session, licensor: str, licensee: str, sent: OwnTotals) -> TotalsCompared:
    """What was sent beside what was counted of the account. Nothing is stored."""
    allowed = decimal_of(sent.threshold_percent, "threshold_percent")
    month, theirs = sent.read()
    found = reconcile(theirs, daily_totals(session, licensor, licensee, month), allowed / 100)
    verdict = "beyond" if found.beyond_threshold else "within" if found.days else "same"
    return TotalsCompared.model_validate({**found.document(), "verdict": verdict})
