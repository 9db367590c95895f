"""The documents of an invoice through the door: to whom it was sent, and to nobody else."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.database import make_engine
from core.invoicing.documents import make_document
from core.invoicing.drafts.close import close
from core.invoicing.life.issue import issue
from core.period import Period
from core.usage.counts.rollup import roll_up
from tests.door import Door, event, report

MONTH = Period.month_of(datetime.now(UTC).date().replace(day=1) - timedelta(days=1))


@pytest.fixture
def number(door: Door, database_url: str) -> str:
    """The number of an issued invoice of the month before this one."""
    day = MONTH.end - timedelta(days=1)
    events = [event("e-1", image_count=40, occurred_at=f"{day}T12:00:00Z")]
    assert door.post(report(events), "backfill").json()["counts"]["accepted"] == 1
    engine = make_engine(database_url)
    with Session(engine) as session:
        while roll_up(session).more:
            session.commit()
        session.commit()
        for agreement in session.scalars(select(Agreement)):
            closed = close(session, agreement.id, MONTH).invoice
            if closed is not None and closed.status == "draft":
                found = str(issue(session, closed.id).number)
                session.commit()
                make_document(session, closed.id)
                session.commit()
    engine.dispose()
    return found


def test_every_document_is_served_with_its_type_and_name(door: Door, number: str) -> None:
    for kind, media_type, begins in (
        ("pdf", "application/pdf", b"%PDF-"),
        ("lines.csv", "text/csv; charset=utf-8", b"invoice,line,kind,"),
        ("daily_counts.csv", "text/csv; charset=utf-8", b"invoice,day,image_count\r\n"),
    ):
        answer = door.get(f"/v1/invoices/{number}/documents/{kind}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
        assert answer.content.startswith(begins)
        assert f'filename="{number}' in answer.headers["content-disposition"]
    assert door.get(f"/v1/invoices/{number}.pdf").content == door.get(f"/v1/invoices/{number}/documents/pdf").content


def test_what_is_not_there_is_a_problem_with_a_sentence(door: Door, number: str) -> None:
    for kind, code in (("factur-x.xml", "no_einvoice"), ("lines.xls", "no_such_document"), ("%00", "no_such_document")):
        answer = door.get(f"/v1/invoices/{number}/documents/{kind}")
        assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_nobody_else_sees_them(door: Door, number: str) -> None:
    stranger = next(name for name in door.keys if name not in ("north", "backfill"))
    for kind in ("pdf", "lines.csv", "daily_counts.csv"):
        answer = door.get(f"/v1/invoices/{number}/documents/{kind}", licensee=stranger)
        assert (answer.status_code, answer.json()["code"]) == (404, "invoice_not_found")
