"""Exports as CSV, streamed as they are read: journal, invoices, daily counts, receivables by age, revenue."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import Query, Request
from sqlalchemy.orm import Session
from starlette.responses import StreamingResponse

from core.access.eyes import licensor_eyes
from core.access.keys import FinanceCaller
from core.agreements.reading import day as read_day
from core.invoicing.exports import (
    AGEING_HEADER,
    INVOICES_HEADER,
    REVENUE_HEADER,
    ageing_rows,
    invoice_rows,
    revenue_rows,
)
from core.ledger.exports import JOURNAL_HEADER, journal_rows
from core.period import Period
from core.usage.counts.licensor_counts import DAILY_HEADER, daily_rows
from service.finance_caller import Reader
from service.routes.finance.csv_cells import csv_chunks
from service.routes.finance.door import READS, finance_router
from service.routes.finance.shapes import MonthQuery, SlugQuery, month_of

router = finance_router("exports")
Header = tuple[str, ...]
Lines = Iterator[tuple[object, ...]]
OfMonth = Callable[[Session, FinanceCaller, Period | None, str | None], Lines]


def _csv(header: Header) -> Any:
    columns = f"UTF-8, with the columns {', '.join(header)}."
    schema = {"schema": {"type": "string"}}
    return {**READS, 200: {"description": columns, "content": {"text/csv": schema}}}


def _export_of_month(name: str, summary: str, says: str, header: Header, rows: OfMonth) -> None:
    """A route for what can be asked for by month and licensee."""

    @router.get(
        f"/exports/{name}.csv",
        name=f"export_{name}",
        summary=summary,
        description=says,
        response_class=StreamingResponse,
        responses=_csv(header),
    )
    def export(
        request: Request, caller: Reader, *, period: MonthQuery = None, licensee: SlugQuery = None
    ) -> StreamingResponse:
        month = month_of(period)
        return _streamed(request, caller, name, header, lambda session: rows(session, caller, month, licensee))


_export_of_month(
    "journal",
    "The journal",
    "Every posting in the books, of a month by the day it counts for, or all.",
    JOURNAL_HEADER,
    lambda session, caller, month, of: journal_rows(session, caller.licensor_id, period=month, licensee=of),
)
_export_of_month(
    "invoices",
    "Invoices and credit notes",
    "With where each stands now; drafts, too.",
    INVOICES_HEADER,
    lambda session, caller, month, of: invoice_rows(session, caller.licensor, period=month, licensee=of),
)
_export_of_month(
    "usage",
    "Daily counts",
    "Images of the licensor's models by licensee, day and plan.",
    DAILY_HEADER,
    lambda session, caller, month, of: daily_rows(session, caller.licensor_id, period=month, licensee=of),
)
_export_of_month(
    "revenue",
    "Revenue",
    "What issued documents ask for before tax, by month of service, licensee and model.",
    REVENUE_HEADER,
    lambda session, caller, month, of: revenue_rows(session, caller.licensor_id, period=month, licensee=of),
)


@router.get(
    "/exports/ageing.csv",
    summary="Receivables by age",
    response_class=StreamingResponse,
    responses=_csv(AGEING_HEADER),
)
def export_ageing(
    request: Request,
    caller: Reader,
    *,
    on: Annotated[
        str | None, Query(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-[0-9]{2}$", description="the day; today when left out")
    ] = None,
) -> StreamingResponse:
    """What each licensee owes in each currency, by how long it has been due: from the books, so it sums to them."""
    day = _day(on)
    return _streamed(
        request, caller, "ageing", AGEING_HEADER, lambda session: ageing_rows(session, caller.licensor_id, day)
    )


def _streamed(
    request: Request, caller: FinanceCaller, name: str, header: Header, rows: Callable[[Session], Lines]
) -> StreamingResponse:
    """Reads through the licensor's eyes. The first rows are read before the answer begins, so that a refusal is one."""

    def chunks() -> Iterator[bytes]:
        with Session(request.app.state.finance_engine) as session, licensor_eyes(session, caller.licensor_id) as seen:
            yield from csv_chunks(header, rows(seen))

    reading = chunks()
    first = next(reading)

    def all_of_it() -> Iterator[bytes]:
        yield first
        yield from reading

    disposition = {"Content-Disposition": f'attachment; filename="{caller.licensor}-{name}.csv"'}
    return StreamingResponse(all_of_it(), media_type="text/csv; charset=utf-8", headers=disposition)


def _day(text: str | None) -> date:
    return datetime.now(UTC).date() if text is None else read_day(text, "on")
