"""One statement: its counts by model and day, what came late or was corrected, its signature, its file, and the proof
that an event is in it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.errors import Conflict, NotFound
from core.period import Period
from core.registry.lineage import OWED_BY_DEFAULT
from core.statements.queries import disputes_of, document_of, envelope_of, latest_of_period, proof_of
from core.statements.statement import standing
from core.statements.tables import Certification, Dispute, Settlement, Statement
from service.dashboard import written
from service.dashboard.charts import Chart, Series, chart
from service.dashboard.files import file_response
from service.dashboard.form import Form
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.portal._accounts import account_with
from service.dashboard.portal.statements.router import router, statement_of
from service.dashboard.rendering import page
from service.dashboard.signed_in import LicenseePerson, PortalEyes, PortalViewer

TOP = 7
NO_PLAN = "none named"
ROLES = {"named": "as the model named", "adapter_own": "as an adapter", "adapter_base": "as an adapter's base"}


@dataclass(frozen=True, slots=True)
class Row:
    """What a statement says of a model on a day, for one plan, kind of output and role."""

    model: str
    day: date
    plan: str
    output: str
    role: str
    image_count: int
    event_count: int
    late: int
    corrected: int

    @property
    def owed(self) -> bool:
        return self.role in OWED_BY_DEFAULT


COUNTS = Listing(
    columns=(
        Column("day", "Day", lambda row: row.day, kind="day", sort=True),
        Column("model", "Model", lambda row: row.model, sort=True),
        Column("plan", "Plan", lambda row: row.plan or NO_PLAN, sort=True,
               note=lambda row: "" if row.output == "image" else row.output.replace("_", " ")),
        Column("images", "Images", lambda row: row.image_count, kind="count", sort=True),
        Column("late", "Of it late", lambda row: row.late or None, kind="count", sort=True, wide_only=True),
        Column("corrected", "By corrections", lambda row: row.corrected or None, kind="count", sort=True,
               wide_only=True),
        Column("events", "Events", lambda row: row.event_count, kind="count", sort=True, wide_only=True),
        Column("role", "Owed", lambda row: ROLES.get(row.role, row.role.replace("_", " ")), wide_only=True),
        Column("act", "", lambda _row: "", kind="custom", export=False),
    ),
    filters=(Filter("part", "Only", (("late", "Late"), ("corrected", "Corrected")),
                    keep=lambda row, part: bool(getattr(row, part))),),
    sort="day", size=25, file="statement", label="Counts by day, model and plan",
    search_label="Search by model, day or plan",
    empty="Nothing was counted in this month",
)  # fmt: skip


@router.get("/{licensor}/{number}")
def portal_statement(request: Request, person: PortalViewer, eyes: PortalEyes, licensor: str, number: int) -> Response:
    return shown(request, person, eyes, statement_of(eyes, person, licensor, number), licensor)


@router.get("/{licensor}/{number}/file")
def statement_file(person: PortalViewer, eyes: PortalEyes, licensor: str, number: int) -> Response:
    """What `perimage verify-statement` checks with the public key alone."""
    found = statement_of(eyes, person, licensor, number)
    name = f"statement-{licensor}-{person.licensee}-{number}.json"
    return file_response(msgspec.json.encode(envelope_of(found)), "application/json", name)


@router.get("/{licensor}/{number}/proof")
def statement_proof(request: Request, person: PortalViewer, eyes: PortalEyes, licensor: str, number: int) -> Response:
    """That an event is in the statement: shown, or as a file with `?file`."""
    found = statement_of(eyes, person, licensor, number)
    event_id = request.query_params.get("event_id", "").strip()[:255].replace("\x00", "")
    proof, why = None, ""
    if event_id:
        try:
            proof = proof_of(eyes, found, event_id)
        except (NotFound, Conflict) as refusal:
            why = refusal.sentence
    if proof and "file" in request.query_params:
        name = f"proof-{licensor}-{number}.json"
        return file_response(msgspec.json.encode(proof), "application/json", name)
    return page(
        request, "portal/statements/proof.html", title="Proof of an event", found=found, licensor=licensor, proof=proof,
        why=why, event_id=event_id, root=document_of(found)["events"]["root"],
    )  # fmt: skip


def shown(
    request: Request,
    person: LicenseePerson,
    eyes: Session,
    found: Statement,
    licensor: str,
    *,
    form: Form | None = None,
    opened: str = "",
) -> Response:
    """The page of a statement; `form` is what was typed into its form `opened`, and what is wrong with it."""
    document = document_of(found)
    rows = [_row(each) for each in document["counts"]]
    listed = COUNTS.of(request, rows)
    if listed.wants_csv:
        return listed.csv()
    certified = eyes.get(Certification, (found.licensee_id, found.licensor_id, found.number))
    disputes = disputes_of(eyes, found)
    period = Period(found.period_start, found.period_end)
    newest = latest_of_period(eyes, found.licensee_id, found.licensor_id, period)
    newer = newest.number if newest and newest.number != found.number else None
    open_ones = sum(settlement is None for _, settlement in disputes)
    word = standing(
        replaced=newer is not None, certified=certified is not None, open_disputes=open_ones,
        settled_disputes=len(disputes) - open_ones,
    )  # fmt: skip
    query = request.query_params
    return page(
        request, "portal/statements/one.html", status=form.status if form else 200, form=form, opened=opened,
        title=f"Statement of {written.month(period)}", found=found, document=document, listed=listed, period=period,
        licensor=account_with(eyes, person, licensor).licensor, certified=certified, newer=newer, word=word,
        disputes=[_ended(*each) for each in disputes], by_day=_by_day(rows), owed=_owed(rows),
        may_certify=person.may("manager") and word in ("open", "settled"),
        may_dispute=person.may("manager") and certified is None and newer is None,
        models=sorted({row.model for row in rows}), plans=sorted({row.plan for row in rows}),
        asked={name: query.get(name, "") for name in ("model", "day", "plan")}, missing=_missing(document),
    )  # fmt: skip


def _row(each: Mapping[str, Any]) -> Row:
    return Row(**{**each, "day": date.fromisoformat(each["day"])})


def _owed(rows: Sequence[Row]) -> dict[str, int]:
    """The sums in the roles that owe a fee."""
    mine = [row for row in rows if row.owed]
    return {name: sum(getattr(row, name) for row in mine) for name in ("image_count", "late", "corrected")}


def _by_day(rows: Sequence[Row]) -> Chart | None:
    """The images that owe a fee, by day and model: the largest models by name, the others as one."""
    sums: defaultdict[str, defaultdict[date, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        if row.owed:
            sums[row.model][row.day] += row.image_count
    if not sums:
        return None
    days = sorted({row.day for row in rows})
    largest = sorted(sums, key=lambda model: -sum(sums[model].values()))
    lines = [Series(model, [sums[model][day] for day in days]) for model in largest[:TOP]]
    if rest := largest[TOP:]:
        lines.append(Series("others", [sum(sums[model][day] for model in rest) for day in days], tone="quiet"))
    return chart("by-day", "Images a day", x=days, series=lines, kind="stacked", unit="images that owe a fee")


def _missing(document: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """Agreements with days of which nothing was heard: how many, and how many of them are estimated."""
    found = []
    for each in document["calendars"]:
        days = [day for day in each["days"] if day["state"] == "missing"]
        if days:
            found.append((each["agreement"], len(days), sum(bool(day.get("estimated")) for day in days)))
    return found


def _ended(found: Dispute, settlement: Settlement | None) -> tuple[Dispute, str, str]:
    """A dispute, the word for how it stands, and how it ended."""
    if settlement is None:
        return found, "open", f"waits for an answer since {written.day_text(found.opened_at.date())}"
    if settlement.outcome == "agreed":
        return found, "agreed", f"agreed on {written.count(settlement.agreed)} images: {settlement.reason}"
    return found, "rejected", settlement.reason
