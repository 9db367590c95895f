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
from core.usage.counts.licensor_counts import DAILY_HEADER, daily_rows
from service.finance_caller import Reader
from service.routes.finance.csv_cells import csv_chunks
from service.routes.finance.door import READS, finance_router
from service.routes.finance.shapes import MonthQuery, SlugQuery, month_of

router = finance_router("exports")
Rows = Callable[[Session], Iterator[tuple[object, ...]]]


def _csv(header: tuple[str, ...]) -> Any:
    columns = f"UTF-8, with the columns {', '.join(header)}."
    schema = {"schema": {"type": "string"}}
    return {**READS, 200: {"description": columns, "content": {"text/csv": schema}}}


@router.get(
    "/exports/journal.csv",
    summary="The journal",
    response_class=StreamingResponse,
    responses=_csv(JOURNAL_HEADER),
)
def export_journal(
    request: Request, caller: Reader, *, period: MonthQuery = None, licensee: SlugQuery = None
) -> StreamingResponse:
    """Every posting in the books, of a month by the day it counts for, or all."""
    month = month_of(period)
    return _streamed(
        request,
        caller,
        "journal",
        JOURNAL_HEADER,
        lambda session: journal_rows(session, caller.licensor_id, period=month, licensee=licensee),
    )


@router.get(
    "/exports/invoices.csv",
    summary="Invoices and credit notes",
    response_class=StreamingResponse,
    responses=_csv(INVOICES_HEADER),
)
def export_invoices(
    request: Request, caller: Reader, *, period: MonthQuery = None, licensee: SlugQuery = None
) -> StreamingResponse:
    """With where each stands now; drafts, too."""
    month = month_of(period)
    return _streamed(
        request,
        caller,
        "invoices",
        INVOICES_HEADER,
        lambda session: invoice_rows(session, caller.licensor, period=month, licensee=licensee),
    )


@router.get(
    "/exports/usage.csv", summary="Daily counts", response_class=StreamingResponse, responses=_csv(DAILY_HEADER)
)
def export_usage(
    request: Request, caller: Reader, *, period: MonthQuery = None, licensee: SlugQuery = None
) -> StreamingResponse:
    """Images of the licensor's models by licensee, day and plan."""
    month = month_of(period)
    return _streamed(
        request,
        caller,
        "usage",
        DAILY_HEADER,
        lambda session: daily_rows(session, caller.licensor_id, period=month, licensee=licensee),
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


@router.get("/exports/revenue.csv", summary="Revenue", response_class=StreamingResponse, responses=_csv(REVENUE_HEADER))
def export_revenue(
    request: Request, caller: Reader, *, period: MonthQuery = None, licensee: SlugQuery = None
) -> StreamingResponse:
    """What issued documents ask for before tax, by month of service, licensee and model."""
    month = month_of(period)
    return _streamed(
        request,
        caller,
        "revenue",
        REVENUE_HEADER,
        lambda session: revenue_rows(session, caller.licensor_id, period=month, licensee=licensee),
    )


def _streamed(
    request: Request, caller: FinanceCaller, name: str, header: tuple[str, ...], rows: Rows
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
