"""The page, its parts that are drawn anew while somebody drags, and its table as a file. The same for both sides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.errors import Conflict, InvalidInput, NotFound
from core.period import Period
from core.scenarios.queries import Saved, saved_scenario, saved_scenarios
from core.scenarios.starting import Start, first_counted, licensees_seen
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
    request: Request, desk: Desk, said: Mapping[str, str] | None = None, form: Form | None = None
) -> Response:
    """The whole page. `said`: the fields, where they do not come from the address. `form`: one that was refused."""
    fields = Form(request.query_params if said is None else said)
    found = every_start(desk.eyes)
    licensees = [] if desk.portal else licensees_seen(desk.eyes)
    base, asked = _asked(desk, fields, found, licensees)
    if request.query_params.get("format") == "csv" and not fields.wrong:
        return _file(desk, base, asked)
    return page(
        request, "scenario/scenario.html", status=form.status if form else fields.status, title="Scenario", form=form,
        **{**_answered(desk, base, asked, fields, found), **_compared(desk, base, asked, fields)},
        choices=choices(found, portal=desk.portal), licensees=licensees, months=_months(),
        kept=saved_scenarios(desk.eyes, desk.person.email), saved=_saved(desk, asked.saved),
    )  # fmt: skip


def answer_part(request: Request, desk: Desk) -> Response:
    """What is drawn anew while somebody drags. The address of the browser follows."""
    return _part(request, desk, "answer", "scenario/answer.html")


def compared_part(request: Request, desk: Desk) -> Response:
    """The offers side by side, once the hand rests."""
    return _part(request, desk, "compared", "scenario/compared.html")


def _part(request: Request, desk: Desk, name: str, template: str) -> Response:
    """A part of the page. What is wrong with a field is said in it: half a number is no failure while one types."""
    fields = Form(request.query_params)
    found = every_start(desk.eyes)
    base, asked = _asked(desk, fields, found, [] if desk.portal else licensees_seen(desk.eyes))
    if name == "compared":
        return page(request, template, **_compared(desk, base, asked, fields))
    headers = {} if fields.wrong else {"HX-Replace-Url": asked.address(desk.home)}
    values = _answered(desk, base, asked, fields, found)
    return page(request, template, headers=headers, form=None, saved=_saved(desk, asked.saved), **values)


def asked_in(desk: Desk, fields: Form) -> Asked | None:
    """The question that some fields hold; None where something is wrong with them."""
    found = every_start(desk.eyes)
    _, asked = _asked(desk, fields, found, [] if desk.portal else licensees_seen(desk.eyes))
    return None if fields.wrong else asked


def _asked(desk: Desk, fields: Form, found: list[Start], licensees: list[tuple[str, str]]) -> tuple[Base, Asked]:
    base = base_named(desk.eyes, base_asked(fields), found)
    licensee, months = "", _year()
    if fields.said("mode") == "recorded":
        licensee = _whose(desk, fields, base, licensees)
        counted = first_counted(desk.eyes, licensee, months.start)
        months = months if counted is None else Period(min(counted, months.end - timedelta(days=1)), months.end)
    asked = read(fields, base, licensee, months)
    if fields.wrong:
        fields.status = 422
    return base, replace(asked, licensee=licensee)


def _whose(desk: Desk, fields: Form, base: Base, licensees: list[tuple[str, str]]) -> str:
    """Whose usage: in the portal always their own; else who is chosen, whose terms they are, or the first."""
    if desk.person.side == "portal":
        return desk.person.licensee
    return fields.said("licensee") or (base.start.licensee if base.start else next((slug for slug, _ in licensees), ""))


def _saved(desk: Desk, key: str) -> Saved | None:
    """The saved scenario that the page was opened from, while it is there."""
    try:
        return saved_scenario(desk.eyes, desk.person.email, key) if key else None
    except NotFound:
        return None


def _sentence(error: InvalidInput | Conflict) -> str:
    said = said_of(error).sentence
    return f"{said[:1].upper()}{said[1:]}{'' if said.endswith('.') else '.'}"


def _common(desk: Desk, base: Base, asked: Asked, fields: Form) -> dict[str, Any]:
    return {"desk": desk, "base": base, "asked": asked, "p": asked.parameters(), "fields": fields,
            "top": top_of(base, asked)}  # fmt: skip


def _answered(desk: Desk, base: Base, asked: Asked, fields: Form, found: list[Start]) -> dict[str, Any]:
    """The values of the part that is drawn anew; where something is wrong, what."""
    values = _common(desk, base, asked, fields) | {"found": None, "real": None, "refused": None, "theirs": []}
    if fields.wrong:
        return values
    try:
        if asked.mode == "recorded":
            values["real"] = recorded(desk.eyes, base, asked)
        else:
            values["found"] = forecasted(base, asked)
    except (InvalidInput, Conflict) as error:
        values["refused"] = _sentence(error)
        values["theirs"] = [each for each in found if asked.mode == "recorded" and each.licensee == asked.licensee]
    return values


def _compared(desk: Desk, base: Base, asked: Asked, fields: Form) -> dict[str, Any]:
    values = _common(desk, base, asked, fields) | {"kinds": list(KINDS.items()), "sides": None, "not_compared": None}
    if fields.wrong or asked.mode == "recorded":
        return values
    try:
        values["sides"] = compared(base, asked)
    except (InvalidInput, Conflict) as error:
        values["not_compared"] = _sentence(error)
    return values


def _year() -> Period:
    """The last twelve full months."""
    end = datetime.now(UTC).date().replace(day=1)
    return Period(end.replace(year=end.year - 1), end)


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
    found = recorded(desk.eyes, base, asked)
    for month in (*found.months, found.total):
        amounts = (month.today.amount, month.offered.amount, month.difference.amount)
        yield month.name or "total", month.images, *amounts, month.offered.currency
