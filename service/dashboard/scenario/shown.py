"""The page, its parts that are drawn anew while somebody drags, and its table as a file. The same for both sides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.errors import Conflict, InvalidInput
from core.period import Period
from core.scenarios.starting import licensees_seen
from service.dashboard.files import file_response
from service.dashboard.form import Form
from service.dashboard.rendering import page
from service.dashboard.scenario.asked import KINDS, Asked, base_asked, read
from service.dashboard.scenario.bases import Base, base_named, choices, every_start
from service.dashboard.scenario.comparison import compared
from service.dashboard.scenario.forecast import forecasted, top_of
from service.dashboard.scenario.recorded import recorded
from service.dashboard.signed_in import Person
from service.problems import said_of
from service.routes.finance.csv_cells import csv_chunks


@dataclass(frozen=True, slots=True)
class Desk:
    """Whose page it is: where it lives, who looks, and with which eyes."""

    home: str
    person: Person
    eyes: Session

    @property
    def portal(self) -> bool:
        return self.person.side == "portal"


def whole_page(
    request: Request, desk: Desk, said: Mapping[str, str] | None = None, *, form: Form | None = None, **values: Any
) -> Response:
    """The whole page. `said`: the fields, where they do not come from the address. `form`: one that was refused."""
    said = request.query_params if said is None else said
    found = every_start(desk.eyes)
    fields = Form(said)
    base, asked = _asked(desk, fields, found)
    if request.query_params.get("format") == "csv" and not fields.wrong:
        return _file(desk, base, asked)
    values = {
        **_answered(desk, base, asked, fields), **_compared(desk, base, asked, fields), **values,
        "choices": choices(found, portal=desk.portal), "fields": fields, "form": form,
        "licensees": [] if desk.portal else licensees_seen(desk.eyes), "months": _months(),
    }  # fmt: skip
    status = form.status if form else fields.status
    return page(request, "scenario/scenario.html", status=status, title="Scenario", **values)


def answer_part(request: Request, desk: Desk) -> Response:
    """What is drawn anew while somebody drags. The address of the browser follows."""
    return _part(request, desk, "answer", "scenario/answer.html")


def compared_part(request: Request, desk: Desk) -> Response:
    """The offers side by side, once the hand rests."""
    return _part(request, desk, "compared", "scenario/compared.html")


def _part(request: Request, desk: Desk, name: str, template: str) -> Response:
    fields = Form(request.query_params)
    base, asked = _asked(desk, fields, every_start(desk.eyes))
    make = _answered if name == "answer" else _compared
    values = make(desk, base, asked, fields)
    headers = {"HX-Replace-Url": asked.address(desk.home)} if name == "answer" and not fields.wrong else {}
    return page(request, template, status=fields.status, headers=headers, form=None, **values)


def _asked(desk: Desk, fields: Form, found: list[Any]) -> tuple[Base, Asked]:
    base = base_named(desk.eyes, base_asked(dict(fields.data)), found)
    asked = base, read(fields, base, _last_month())
    if fields.wrong:
        fields.status = 422
    return asked


def _answered(desk: Desk, base: Base, asked: Asked, fields: Form) -> dict[str, Any]:
    """The values of the part that is drawn anew; where something is wrong, what."""
    values: dict[str, Any] = {"desk": desk, "base": base, "asked": asked, "fields": fields, "top": top_of(base, asked),
                              "found": None, "real": None, "refused": None}  # fmt: skip
    if fields.wrong:
        return values
    try:
        if asked.mode == "recorded":
            values["real"] = recorded(desk.eyes, base, _of_themselves(desk, asked))
        else:
            values["found"] = forecasted(base, asked)
    except (InvalidInput, Conflict) as error:
        values["refused"] = said_of(error).sentence
    return values


def _compared(desk: Desk, base: Base, asked: Asked, fields: Form) -> dict[str, Any]:
    values: dict[str, Any] = {"desk": desk, "base": base, "asked": asked, "fields": fields, "kinds": list(KINDS.items()),
                              "sides": None, "not_compared": None}  # fmt: skip
    if fields.wrong or asked.mode == "recorded":
        return values
    try:
        values["sides"] = compared(base, asked)
    except (InvalidInput, Conflict) as error:
        values["not_compared"] = said_of(error).sentence
    return values


def _of_themselves(desk: Desk, asked: Asked) -> Asked:
    """In the portal the usage is always their own, whatever the address says."""
    from dataclasses import replace

    return replace(asked, licensee=desk.person.licensee) if desk.person.side == "portal" else asked


def _last_month() -> Period:
    return Period.month_of(datetime.now(UTC).date().replace(day=1) - timedelta(days=1))


def _months() -> list[str]:
    """The last three years, the latest first."""
    found, month = [], Period.month_of(datetime.now(UTC).date())
    for _ in range(36):
        found.append(month.name)
        month = Period.month_of(month.start - timedelta(days=1))
    return found


def _file(desk: Desk, base: Base, asked: Asked) -> Response:
    """The table of months as CSV."""
    rows = list(_recorded_rows(desk, base, asked) if asked.mode == "recorded" else _forecast_rows(base, asked))
    content = b"\xef\xbb\xbf" + b"".join(csv_chunks(rows[0], rows[1:]))
    return file_response(content, "text/csv", f"scenario-{base.slug}.csv")


def _forecast_rows(base: Base, asked: Asked) -> Iterator[tuple[object, ...]]:
    yield "month", "images", "amount", "shortfall", "currency"
    found = forecasted(base, asked).quote
    for month in found.months:
        yield month.month, month.images, month.amount.amount, month.shortfall.amount, found.currency
    yield "total", found.images, found.total.amount, found.shortfall.amount, found.currency


def _recorded_rows(desk: Desk, base: Base, asked: Asked) -> Iterator[tuple[object, ...]]:
    yield "month", "images", "owed_today", "these_terms", "difference", "currency"
    found = recorded(desk.eyes, base, _of_themselves(desk, asked))
    for month in (*found.months, found.total):
        amounts = (month.today.amount, month.offered.amount, month.difference.amount)
        yield month.name or "total", month.images, *amounts, month.offered.currency
