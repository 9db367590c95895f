"""`perimage payments`, as finance runs it: with Stripe and without."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from config.settings import settings
from core.database import make_engine
from service.cli import payments, payments_bank, payments_stripe, verify  # noqa: F401 - the verbs enter themselves
from tests.fakes.stripe_server import StripeServer
from tests.fakes.till import Outbox, Till
from tests.service.cli.conftest import Perimage


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = make_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def till(engine: Engine) -> Iterator[Till]:
    with Session(engine) as session:
        opened = Till(session)
        session.commit()
        yield opened


def said(outcome) -> object:
    assert outcome.exit_code == 0, outcome.output
    return json.loads(outcome.stdout)


def test_a_payment_is_recorded_settles_and_is_listed(perimage: Perimage, till: Till) -> None:
    first, second = till.invoice(100_00, due_in=40), till.invoice(50_00, due_in=10)
    args = ("payments", "record", "north", "120.00", "USD", "--on", "2026-11-03", "--reference", "wire-7", "--json")
    done = said(perimage(*args, "--invoice", first.number))
    assert [(each["invoice"], each["amount"]) for each in done["applied"]] == [
        (first.number, "100.00"), (second.number, "20.00")
    ]  # fmt: skip
    assert done["left"] == "0.00"
    assert till.left(first, second) == [0, 30_00]
    [row] = said(perimage("payments", "list", "--json"))
    assert (row["amount"], row["left"], row["invoices"]) == ("120.00", "0.00", [first.number, second.number])
    assert "wire-7" in perimage("payments", "list", "north").output
    assert said(perimage("payments", "list", "--unapplied", "--json")) == []


def test_what_is_left_is_applied_released_and_refunded(perimage: Perimage, till: Till) -> None:
    args = ("payments", "record", "north", "80", "USD", "--on", "2026-11-03", "--reference", "w", "--json")
    payment = said(perimage(*args))["payment"]
    invoice = till.invoice(50_00)
    [row] = said(perimage("payments", "apply", "north", "--json"))["applied"]
    assert till.left(invoice) == [0]
    refund = ("payments", "refund", payment, "40", "--on", "2026-11-04", "--reference", "r", "--reason", "asked")
    refused = perimage(*refund)
    assert (refused.exit_code, "30.00 USD is left" in refused.output) == (2, True)
    assert perimage("payments", "release", row["application"], "--reason", "wrong invoice").exit_code == 0
    assert perimage(*refund).exit_code == 0
    one = said(perimage("payments", "apply", "north", "--payment", payment, "--invoice", invoice.number,
                        "--amount", "10", "--json"))  # fmt: skip
    assert one["applied"][0]["amount"] == "10.00"
    assert till.left(invoice) == [40_00]


@pytest.mark.slow
def test_an_amount_that_is_none_is_refused_with_a_sentence(perimage: Perimage, till: Till) -> None:
    for amount in ("0", "-5", "1e3", "NaN", "1.005", "12,50", "", "9" * 30, "１２"):
        outcome = perimage("payments", "record", "--on", "2026-11-03", "--reference", "w", "--", "north", amount, "USD")
        assert (outcome.exit_code, outcome.output.startswith("perimage: ")) == (2, True), (amount, outcome.output)
    assert said(perimage("payments", "list", "--json")) == []


def test_a_bank_statement_is_imported_and_its_certain_rows_confirmed(
    perimage: Perimage, till: Till, tmp_path: Path
) -> None:
    invoice = till.invoice(100_00)
    file = tmp_path / "november.csv"
    file.write_text(f"date;amount;payer;reference\n2026-11-03;100,00;North;{invoice.number}\n2026-11-04;3,33;X;Y\n")
    [certain, other] = said(perimage("payments", "import-bank", file, "--json"))
    assert (certain["match"], other["match"]) == ("certain", "none")
    assert len(said(perimage("payments", "import-bank", file, "--json"))) == 2
    done = said(perimage("payments", "confirm", "--certain", "--json"))
    assert [each["row"] for each in done] == [certain["row"]]
    assert till.left(invoice) == [0]
    assert perimage("payments", "set-aside", other["row"], "--reason", "interest").exit_code == 0
    assert said(perimage("payments", "matches", "--json")) == []
    assert perimage("payments", "import-bank", tmp_path / "none.csv").exit_code == 2


def test_stripe_is_chosen_watched_paused_and_compared(
    perimage: Perimage, till: Till, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert perimage("payments", "stripe", "north").exit_code == 2  # no address
    assert perimage("payments", "stripe", "north", "--email", "billing@north.example").exit_code == 0
    assert perimage("payments", "reconcile").exit_code == 2  # no key
    with StripeServer() as server:
        monkeypatch.setenv("PERIMAGE_STRIPE_API_KEY", server.api_key)
        monkeypatch.setenv("PERIMAGE_STRIPE_API_BASE", server.url)
        settings.cache_clear()
        outbox = Outbox(engine, server)
        invoice = till.invoice(100_00)
        outbox.plan()
        assert len(said(perimage("payments", "steps", "--json"))) == 6
        assert perimage("payments", "pause", "restored from a backup").exit_code == 0
        assert outbox.work() == []
        assert "paused" in perimage("payments", "steps").output
        assert "compare with Stripe first" in perimage("payments", "resume", "fine").output
        assert perimage("payments", "reconcile").exit_code == 0
        assert perimage("payments", "resume", "compared").exit_code == 0
        for _ in range(2):  # each looks first, and then does
            outbox.work()
        assert said(perimage("payments", "steps", "--json")) == []
        server.customer_pays(server.account.live_invoices()[0]["id"])
        differs = perimage("payments", "reconcile", "--json")
        assert (differs.exit_code, json.loads(differs.stdout)[0]["what"]) == (1, "paid")
        outbox.work()
        assert till.left(invoice) == [0]
        assert said(perimage("payments", "reconcile", "--json")) == []
    assert perimage("payments", "stripe", "north", "--off").exit_code == 0
