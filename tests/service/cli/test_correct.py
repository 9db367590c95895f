"""`perimage correct`: shown before it is done, asked for, and all or nothing."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.database import make_engine
from core.usage.tables import UsageCorrection
from service.cli import correct  # noqa: F401 - the verb under test enters itself
from tests.core.invoicing.drafts.test_close import SEPTEMBER, issue_month
from tests.trade import Trade, flat


@pytest.fixture
def billed(database_url: str) -> str:
    """September is issued, October is not closed; the number of September's invoice."""
    engine = make_engine(database_url)
    with Session(engine) as session:
        trade = Trade(session)
        agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
        trade.use("sd-1", 500, "2026-09-03T00:00Z", event_id="september")
        trade.use("sd-1", 300, "2026-10-03T00:00Z", event_id="[red]october")
        number = str(issue_month(session, agreement, SEPTEMBER).number)
    engine.dispose()
    return number


def made(database_url: str) -> list[tuple[str, int, str, str | None]]:
    engine = make_engine(database_url)
    with Session(engine) as session:
        rows = session.scalars(select(UsageCorrection).order_by(UsageCorrection.event_id, UsageCorrection.number))
        found = [(row.event_id, row.image_delta, row.actor, row.reference) for row in rows]
    engine.dispose()
    return found


def test_one_event_is_shown_asked_for_corrected_and_explained(perimage, billed, database_url):
    asked = ("correct", "amend", "north", "september", "--images", 480, "--reason", "miscounted", "--by", "Ada")
    refused = perimage(*asked, answer="n\n")
    assert refused.exit_code == 1 and made(database_url) == []
    assert "Adjustment to 2026-09: Images by sd-1" in refused.stdout and billed in refused.stdout
    assert "-0.20" in refused.stdout and "2026-10" in refused.stdout
    done = perimage(*asked, "--reference", "T-1", answer="y\n")
    assert done.exit_code == 0 and "Made 1 correction, -20 images" in done.stdout, done.output
    assert made(database_url) == [("september", -20, "Ada", "T-1")]
    explained = perimage("explain", billed)
    assert "after this was issued, by Ada: -20 images of sd-1 on 2026-09-03" in explained.stdout.replace("\n   ", " ")
    assert "(event september, 500 to 480): miscounted [T-1]" in explained.stdout
    [line] = json.loads(perimage("explain", billed, "--json").stdout)["lines"]
    [shown] = line["corrections"]
    assert (shown["image_delta"], shown["reason"], shown["made_after_issue"]) == (-20, "miscounted", True)
    draft = json.loads(perimage("explain", "--draft", "deal", "2026-10", "--json").stdout)
    [adjustment] = [line for line in draft["lines"] if line["adjustment"]]
    assert (adjustment["amount"], [each["actor"] for each in adjustment["corrections"]]) == ("-0.20", ["Ada"])


def test_json_looks_and_does_only_with_yes(perimage, billed, database_url):
    asked = ("correct", "withdraw", "north", "[red]october", "--reason", "a test", "--json")
    looked = json.loads(perimage(*asked).stdout)
    assert (looked["made"], looked["results"][0]["status"], looked["invoices"][0]["difference"]) == (
        False,
        "accepted",
        "-3.00",
    )
    assert made(database_url) == []
    assert json.loads(perimage(*asked, "--yes", "--id", "w").stdout)["made"] is True
    again = perimage("correct", "withdraw", "north", "[red]october", "--reason", "a test", "--id", "w", "--yes")
    assert again.exit_code == 0 and "Nothing to do: it was made before" in again.stdout and "[red]" in again.stdout
    assert len(made(database_url)) == 1


WRONG = [
    (("withdraw", "north", "nothing", "--reason", "x"), "there is no event of yours"),
    (("withdraw", "nobody", "september", "--reason", "x"), "there is no licensee called nobody"),
    (("amend", "north", "september", "--reason", "x"), "give one of the two"),
    (("amend", "north", "september", "--delta", -501, "--reason", "x"), "at most those can be taken back"),
    (("withdraw", "north", "september", "--reason", " "), "reason must be one line"),
    (("file", "north", "nowhere.csv"), "cannot read nowhere.csv"),
]


def test_what_cannot_be_is_said_in_a_sentence(perimage, billed, database_url):
    for arguments, said in WRONG:
        refused = perimage("correct", *arguments, "--yes")
        assert refused.exit_code == 2 and said in refused.stderr, refused.output
    assert made(database_url) == []


def test_a_file_is_made_whole_or_not_at_all_and_once(perimage, billed, database_url, tmp_path: Path):
    file = tmp_path / "corrections.csv"
    good = "event_id,kind,image_count,image_delta,reason,reference\nseptember,amend,,-20,miscounted,T-1\n"
    file.write_text(good + "september,amend,1e3,,x,\n[red]october,withdraw,,,a test,\nnowhere,withdraw,,,x,\n")
    refused = perimage("correct", "file", "north", file, "--yes")
    assert refused.exit_code == 2 and "Nothing was corrected: 2 of 4 cannot be" in refused.stderr
    assert made(database_url) == []
    file.write_text(good + "[red]october,withdraw,,,a test,\n")
    done = perimage("correct", "file", "north", file, "--by", "Ada", "--yes")
    assert "Made 2 corrections, -320 images" in done.stdout, done.output
    assert made(database_url) == [("[red]october", -300, "Ada", None), ("september", -20, "Ada", "T-1")]
    again = perimage("correct", "file", "north", file, "--yes")
    assert again.exit_code == 0 and "all of them were made before" in again.stdout
    assert len(made(database_url)) == 2


NO_LISTS = [
    ("", "its first line must name the columns"),
    ("event_id,kind,reason,licensee\n", "its first line must name the columns"),
    ("event_id,event_id,kind,reason\n", "each once"),
    ("event_id,kind,reason\n", "0 rows under its heading"),
    ("event_id,kind,reason\na,withdraw\n", "line 2: 2 values under 3 headings"),
    ('event_id,kind,reason\na,"with"draw,x\n', "is not CSV"),
    ("event_id,kind,reason\n\xff", "is not text in UTF-8"),
]


def test_a_file_that_is_no_list_of_corrections_is_refused(perimage, database_url, tmp_path: Path):
    file = tmp_path / "corrections.csv"
    for content, said in NO_LISTS:
        file.write_bytes(content.encode("latin-1"))
        refused = perimage("correct", "file", "north", file, "--yes")
        assert refused.exit_code == 2 and said in refused.stderr, refused.output
