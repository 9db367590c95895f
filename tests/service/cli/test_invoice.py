"""`perimage invoice` and `perimage audit`, from a draft to a voided invoice, as two people would use them."""

import json

import pytest
from sqlalchemy.orm import Session

from core.database import make_engine
from core.invoicing.drafts.close import close
from core.period import Period
from core.registry.register import set_approval_limit
from core.usage.counts.rollup import roll_up
from service.cli import audit, invoice  # noqa: F401 - the verbs under test enter themselves
from tests.service.cli.conftest import Perimage
from tests.trade import Trade, flat

ADA, BEN = ("--by", "Ada", "--as", "approver"), ("--by", "Ben", "--as", "approver")


@pytest.fixture
def draft(database_url: str) -> str:
    """A draft of 200.00 USD, called as people call it."""
    engine = make_engine(database_url)
    with Session(engine) as session:
        trade = Trade(session)
        deal = trade.agreement(fees=[flat("sd-1", "0.02")])
        trade.use("sd-1", 10_000, "2026-10-03T12:00Z")
        session.commit()
        roll_up(session)
        set_approval_limit(session, "guild", None, 10_000)
        made = close(session, deal.id, Period.month("2026-10")).invoice
        session.commit()
        assert made is not None
        name = f"draft-{made.id}"
    engine.dispose()
    return name


def test_two_people_take_an_invoice_from_draft_to_void(perimage: Perimage, draft: str) -> None:
    assert perimage("invoice", "hold", draft, "-r", "=1+1 [red]look[/red]", *ADA).output.startswith(f"{draft} is held")
    shown = perimage("invoice", "show", draft)
    assert "=1+1 [red]look[/red]" in shown.output, "a reason is text, whatever it looks like"
    assert perimage("invoice", "release", draft, "-r", "looked", *ADA).exit_code == 0
    refused = perimage("invoice", "issue", draft, *ADA)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "has to be approved first" in refused.stderr
    assert perimage("invoice", "approve", draft, *ADA).output.startswith(f"{draft} is approved")
    assert "somebody else must issue it" in perimage("invoice", "issue", draft, *ADA).stderr
    issued = perimage("invoice", "issue", draft, *BEN)
    assert issued.output == "GLD-000001 is issued: total 200.00 USD, left 200.00\n"
    credited = perimage("invoice", "credit", "GLD-000001", "--amount", "50.00", "-r", "goodwill", *BEN)
    assert credited.output.splitlines() == [
        "GLD-000001 is partly paid: total 200.00 USD, left 150.00",
        "GLD-CN-000001 is paid: total -50.00 USD, left 0.00",
    ]
    assert "something was paid or credited" in perimage("invoice", "void", "GLD-000001", "-r", "x", *BEN).stderr
    asking = ("invoice", "ask", "GLD-000001", "write-off", "-r", "insolvent", *ADA)
    assert perimage("invoice", "write-off", "GLD-000001", "-r", "insolvent", *BEN).exit_code == 2
    assert perimage(*asking).exit_code == 0
    assert "uncollectible" in perimage("invoice", "write-off", "GLD-000001", "-r", "insolvent", *BEN).output
    rows = json.loads(perimage("invoice", "list", "--json").output)
    assert [(row["invoice"], row["standing"], row["left"]) for row in rows] == [
        ("GLD-000001", "uncollectible", "0.00"),
        ("GLD-CN-000001", "paid", "0.00"),
    ]
    log = json.loads(perimage("audit", "list", "guild", "--json").output)
    assert [(row["action"].removeprefix("invoice."), row["actor"]) for row in log] == [
        *(("held", "Ada"), ("released", "Ada"), ("approved", "Ada"), ("issued", "Ben"), ("issued", "Ben")),
        *(("credited", "Ben"), ("asked", "Ada"), ("written_off", "Ben")),
    ]
    whole = perimage("audit", "verify")
    assert (whole.exit_code, whole.output) == (0, f"guild: 8 entries, the last {log[-1]['hash']}\n")


def test_what_is_wrong_is_said_in_a_sentence_and_changes_nothing(perimage: Perimage, draft: str) -> None:
    for arguments, said in (
        (("show", "GLD-000009"), "there is no invoice GLD-000009"),
        (("list", "late"), "invoices are draft"),
        (("list", "--period", "October"), "YYYY-MM"),
        (("approve", draft, "--as", "king"), "a role is one of"),
        (("approve", draft, "--by", "Vera", "--as", "viewer"), "takes an approver"),
        (("hold", draft, "-r", " "), "say why"),
        (("credit", draft, "-r", "x", *BEN), "it is a draft"),
        (("ask", draft, "burn", "-r", "x"), "write one of void"),
        (("settle-dispute", draft, "-r", "x", "--outcome", "won"), "write one of agreed"),
        (("adjust", "deal", "2026-09", "--amount", "0.001", "--description", "x", "-r", "y"), "2 decimals"),
        (("adjust", "deal", "2026-09", "--amount", "NaN", "--description", "x", "-r", "y"), "plain decimal"),
        (("adjust", "nothing", "2026-09", "--amount", "1", "--description", "x", "-r", "y"), "no agreement called"),
    ):
        refused = perimage("invoice", *arguments)
        assert (refused.exit_code, refused.stdout) == (2, ""), arguments
        assert said in refused.stderr, arguments
    assert json.loads(perimage("invoice", "list", "--json").output)[0]["standing"] == "draft"


def test_an_agreed_amount_and_the_effect_of_a_void_are_shown_before_they_happen(perimage: Perimage, draft: str) -> None:
    agreed = perimage(
        "invoice", "adjust", "deal", "2026-09", "--amount=-20.00", "--description", "Outage", "-r", "mail", *ADA
    )
    assert agreed.output == "Agreed: -20.00 USD for 2026-09. The next close of deal bills it.\n"
    perimage("invoice", "approve", draft, *ADA)
    perimage("invoice", "issue", draft, *BEN)
    preview = perimage("invoice", "void", "GLD-000001", "--preview")
    assert "180.00" not in preview.output
    assert "-20.00 USD" in preview.output
    assert "200.00 USD" in preview.output
    assert json.loads(perimage("invoice", "list", "--json").output)[0]["standing"] == "issued"
