"""Exports: exact, from the books, of one licensor, and harmless in a spreadsheet; and pages that lose nothing."""

import csv
import io
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.database import make_engine
from core.invoicing.exports import AGEING_HEADER, ageing_rows
from core.ledger.balances import balances
from core.registry.tables import Account, Licensee, Licensor
from service.routes.finance.csv_cells import csv_chunks
from tests.service.finance.house import TODAY, Finance


def table(finance: Finance, name: str, **params: str) -> list[dict[str, str]]:
    answer = finance.get(f"/v1/finance/exports/{name}.csv", **params)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/csv"), answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_ages_and_revenue_sum_to_the_books_and_the_journal_is_the_books(finance: Finance, database_url: str) -> None:
    credit = finance.post(
        f"/v1/finance/invoices/{finance.names()['spare']}/credit", {"reason": "goodwill", "amount": "5.00"}
    )
    assert credit.status_code == 201, credit.text
    with Session(make_engine(database_url, pool_size=1)) as session:
        licensor = session.scalars(select(Licensor.id).filter_by(slug="guild")).one()
        asked = (
            select(Licensee).join(Account, Account.licensee_id == Licensee.id).where(Account.licensor_id == licensor)
        )
        books = {each.slug: balances(session, licensor, each.id) for each in session.scalars(asked)}
        later = [TODAY + timedelta(days=days) for days in (0, 31, 61, 91, 150)]
        late = [list(ageing_rows(session, licensor, day)) for day in later]
    ages = {row["licensee"]: row for row in table(finance, "ageing")}
    assert ages.keys() == {"north", "guild-only"}
    for licensee, row in ages.items():
        found = [Decimal(row[name]) for name in AGEING_HEADER[2:7]]
        assert sum(found) == Decimal(row["receivable"]) == books[licensee]["receivable", "USD"].amount
        unapplied = books[licensee].get(("unapplied", "USD"))
        assert Decimal(row["unapplied"]) == (unapplied.amount if unapplied else 0)
    moved = [[place for place, amount in enumerate(rows[0][2:7]) if amount] for rows in late]
    assert moved == [[0], [1], [2], [3], [4]], "due in 30 days: the same money gets older"
    journal: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in table(finance, "journal"):
        journal[row["licensee"], row["book"]] += Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0)
    assert journal == {(who, book): money.amount for who, held in books.items() for (book, _), money in held.items()}
    earned = sum(Decimal(row["net"]) for row in table(finance, "revenue"))
    assert earned == -sum(held["licence_fees", "USD"].amount for held in books.values())
    assert {row["subject"] for row in table(finance, "revenue")} == {"gd-1", "gd-2"}
    usage = table(finance, "usage", period=finance.names()["before"])
    assert {(row["model"], row["image_count"]) for row in usage} == {("gd-1", "50000"), ("gd-2", "50000")}
    invoices = table(finance, "invoices")
    assert [row["left"] for row in invoices if row["invoice"] == finance.names()["invoice"]] == ["400.00"]


def test_cells_that_a_spreadsheet_would_compute_are_text_and_numbers_stay_numbers() -> None:
    cells = ("=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", " =1", "a,b", 'say "x"', "-", None, Decimal("-5.00"), -7)
    [text] = csv_chunks(("h",), [cells])
    [_, row] = csv.reader(io.StringIO(text.decode()))
    assert row[:6] == ["'=HYPERLINK(1)", "'+1", "'-1", "'@x", "'\t=1", "' =1"]
    assert row[6:] == ["a,b", 'say "x"', "'-", "", "-5.00", "-7"]
    assert b"".join(csv_chunks(("n",), ((n,) for n in range(1201)))).count(b"\r\n") == 1202


def test_pages_give_everything_once_with_any_filter(finance: Finance) -> None:
    def walk(path: str, kind: str, **params: str | int) -> list[str]:
        found, after = [], {}
        for _ in range(50):
            page = finance.get(f"/v1/finance/{path}", limit=1, **params, **after).json()
            found += [each.get("invoice") or str(each.get("sequence") or each.get("slug")) for each in page[kind]]
            if page["next"] is None:
                return found
            after = {"after": page["next"]}
        raise AssertionError(f"{path} has no end")

    names = finance.names()
    assert walk("invoices", "invoices") == [names["invoice"], names["spare"], names["draft"]]
    assert walk("invoices", "invoices", standing="draft") == [names["draft"]]
    assert walk("credit-notes", "invoices") == []
    assert walk("licensees", "licensees") == ["guild-only", "north"]
    assert walk("agreements", "agreements", licensee="north") == ["guild-deal"]
    log = walk("audit", "entries")
    assert log == [str(n) for n in range(1, len(log) + 1)] and len(log) > 10
