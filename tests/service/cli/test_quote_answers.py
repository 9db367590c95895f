"""What `perimage quote` answers beyond a plain quote: tables, forecasts, floors, comparisons, pictures, real usage.

The worked numbers of the trade come out of the program itself, run as people run it.
"""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from core.database import make_engine
from core.period import Period
from tests.conftest import _create, _drop, _on
from tests.core.invoicing.drafts.test_close import issue_month
from tests.service.cli.conftest import Perimage
from tests.trade import Trade, flat

PROGRAM = "from service.cli import main; main()"


@pytest.fixture(scope="module")
def nothing_stored(database_server: str, migrated_template: str) -> Iterator[str]:
    """A database that may only be read, for all that leave nothing behind."""
    name = f"{migrated_template}_quotes"
    _create(database_server, name, migrated_template)
    with psycopg.connect(database_server, autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    yield _on(database_server, name)
    _drop(database_server, name)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """The one that nobody can write to, but for those who ask for one of their own."""
    return str(request.getfixturevalue("owner_url" if "owner_url" in request.fixturenames else "nothing_stored"))


def test_the_program_answers_in_a_process_of_its_own(project_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "quote", "stacked", "--images", "1000", "--json"],
        cwd=project_folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["total"] == "6.10"


@pytest.fixture
def asked(perimage: Perimage) -> Any:
    def ask(*words: str) -> Any:
        done = perimage("quote", *words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return ask


@pytest.mark.parametrize(
    ("words", "total"),
    [
        ("sd3-enterprise --images 42000000 --rate 12", "504000.00"),
        ("sd3-enterprise --images 42000000 --rate 16", "672000.00"),
        ("sd3-enterprise --images 30000000 --rate 14", "588000.00"),
        ("sd3-enterprise --images 50000000 --rate 14", "700000.00"),
        ("flux-self-serve --images 100000", "999.00"),
        ("flux-self-serve --images 250000", "2499.00"),
        ("flux-self-serve --images 99999", "999.00"),
        ("stacked --images 1000", "6.10"),
    ],
)
def test_the_worked_numbers_of_the_trade(asked: Any, words: str, total: str) -> None:
    assert asked(*words.split())["total"] == total


def numbers(text: str) -> set[Decimal]:
    """Every number in a text, whatever its separators."""
    return {Decimal(found.replace(",", "")) for found in re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)}


@pytest.mark.parametrize(
    "words",
    [
        "sd3-enterprise --images 30000000 --rate 14",
        "sd3-enterprise --table --rates 12,14,16 --volumes 30000000,42000000,50000000",
        "sd3-enterprise --monthly 1000000 --growth 3%",
        "sd3-enterprise anima-flat prepaid --images 5000000",
        "stacked --images 1000",
    ],
)
def test_terminal_json_and_csv_show_the_same_numbers(perimage: Perimage, words: str) -> None:
    document = json.loads(perimage("quote", *words.split(), "--json").stdout)
    shown = numbers(perimage("quote", *words.split()).stdout)
    rows = list(csv.DictReader(io.StringIO(perimage("quote", *words.split(), "--csv").stdout)))
    assert rows
    for row in rows:
        for key in ("total", "amount", "shortfall", "offered"):
            if row.get(key) and (key != "shortfall" or ("comparison" not in document and "table" not in document)):
                assert Decimal(row[key]) in shown, (key, row)
    if "table" in document:
        cells = [cell for row in document["table"]["rows"] for cell in row["cells"]]
        assert [row["total"] for row in rows] == [cell["total"] for cell in cells]
    elif "comparison" in document:
        cells = [cell for row in document["comparison"]["volumes"] for cell in row["offers"]]
        assert [(row["offer"], row["total"]) for row in rows] == [(cell["offer"], cell["total"]) for cell in cells]
    elif "months" in document:
        assert sum(Decimal(row["amount"]) for row in rows) == Decimal(document["total"])
        assert sum(int(row["images"]) for row in rows) == document["images"]
    else:
        assert sum(Decimal(row["amount"]) for row in rows) == Decimal(document["total"])


def test_the_band_comes_as_a_table(asked: Any) -> None:
    found = asked("sd3-enterprise", "--table", "--volumes", "30000000,42000000")
    assert [row["rate"] for row in found["table"]["rows"]] == ["12", "13", "14", "15", "16"]
    assert found["table"]["rows"][2]["cells"][0]["total"] == "588000.00"
    for row in found["table"]["rows"]:
        for cell in row["cells"]:
            single = asked("sd3-enterprise", "--images", str(cell["images"]), "--rate", row["rate"])
            assert (single["total"], single["effective_rate"]) == (cell["total"], cell["effective_rate"])
    assert "volumes" in asked("sd3-enterprise", "--table")["table"]


def test_break_even_and_floor_are_answered_with_a_quote(asked: Any) -> None:
    found = asked("sd3-enterprise", "--images", "30000000", "--rate", "14", "--free-share", "40%", "--margin", "10%")
    assert found["break_even"]["images"] == 42_000_000
    assert (found["pass_through_floor"]["price"], found["pass_through_floor"]["credit"]) == ("37", "BUZZ")
    credit = asked("flux-self-serve", "--images", "250000", "--free-share", "0%", "--credit", "BUZZ=0.001")
    assert credit["pass_through_floor"]["price"] == "10"  # 2,499 / 250,000 is 9.996 Buzz
    fine = asked("flux-self-serve", "--images", "250000", "--margin", "0%", "--credit", "BUZZ=0.001",
                 "--credit-decimals", "2")  # fmt: skip
    assert fine["pass_through_floor"]["price"] == "10"
    assert fine["pass_through_floor"]["exact"] == "9.996"
    assert asked("anima-flat", "--images", "1000")["break_even"]["images"] is None


def test_forecasts_come_from_growth_seasons_and_files(asked: Any, tmp_path: Path) -> None:
    assert asked("sd3-enterprise", "--monthly", "1000000", "--growth", "3%")["images"] == 14_192_030
    season = asked("sd3-enterprise", "--images", "42000000", "--season", "1,1,1,1,1,1,1,1,1,1,1,3")
    assert [month["images"] for month in season["months"]][-2:] == [3_000_000, 9_000_000]
    assert (season["images"], season["total"]) == (42_000_000, "504000.00")
    file = tmp_path / "plan.csv"
    file.write_text("month,images\n2026-01,1000\n2026-02,2000\n")
    assert [month["amount"] for month in asked("anima-flat", "--forecast", str(file))["months"]] == ["5.00", "10.00"]


def test_changes_are_made_on_paper(asked: Any) -> None:
    smaller = asked("sd3-enterprise", "--images", "30000000", "--set", "commitments[0].quantity=30000000")
    assert (smaller["total"], smaller["shortfall"], smaller["break_even"]["images"]) == (
        "360000.00",
        "0.00",
        30_000_000,
    )


def test_offers_stand_side_by_side(asked: Any, perimage: Perimage) -> None:
    found = asked("sd3-enterprise", "anima-flat", "--images", "30000000")
    assert [(offer["scenario"], offer["total"]) for offer in found["offers"]] == [
        ("sd3-enterprise", "504000.00"),
        ("anima-flat", "150000.00"),
    ]
    assert all(row["cheapest"] == ["anima-flat"] for row in found["comparison"]["volumes"])
    assert "cheapest" in perimage("quote", "sd3-enterprise", "anima-flat").stdout


def test_the_curve_is_drawn_into_a_file(perimage: Perimage, tmp_path: Path) -> None:
    file = tmp_path / "curve.svg"
    done = perimage("quote", "sd3-enterprise", "anima-flat", "--images", "30000000", "--plot", file)
    assert done.exit_code == 0, done.output
    assert ElementTree.parse(file).getroot().tag.endswith("svg")  # noqa: S314
    refused = perimage("quote", "sd3-enterprise", "--images", "1", "--plot", tmp_path / "no" / "curve.svg")
    assert refused.exit_code == 2 and "cannot write" in refused.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("sd3-enterprise", "say how many images"),
        ("--images 1", "name a scenario"),
        ("sd3-enterprise --images 1 --json --csv", "choose one"),
        ("sd3-enterprise --images 1 --set x", "write PATH=VALUE"),
        ("sd3-enterprise --images 1 --set x.y=1", "there is no x in the terms"),
        ("sd3-enterprise anima-flat --images 1 --set payment_days=1", "ambiguous"),
        ("sd3-enterprise --images 1 --monthly 1", "not both"),
        ("sd3-enterprise --growth 3%", "say how many images"),
        ("sd3-enterprise --monthly 1 --growth 3", "write a percentage such as 3%"),
        ("sd3-enterprise --monthly 1 --months 13", "13 months are more than the 12"),
        ("sd3-enterprise --monthly 1 --season 1,2", "twelve weights"),
        ("sd3-enterprise --monthly 1 --season a", "--season"),
        ("sd3-enterprise --forecast nowhere.csv", "cannot read nowhere.csv"),
        ("sd3-enterprise --forecast nowhere.csv --images 1", "a forecast file says everything"),
        ("sd3-enterprise --images 1 --free-share 100%", "somebody has to pay"),
        ("sd3-enterprise --images 1 --credit BUZZ=0.001", "goes with --free-share"),
        ("sd3-enterprise --images 1 --margin 10% --credit buzz", "--credit"),
        ("sd3-enterprise --images 0 --margin 10%", "needs a volume"),
        ("sd3-enterprise --table --volumes 1,x", "'x' is not a whole number"),
        ("sd3-enterprise --table --rates 1,x", "--rates"),
        ("anima-flat --table", "no volume"),
        ("sd3-enterprise --images 1 --from 2026-01", "go with --usage-of"),
        ("sd3-enterprise apache-open --images 1", "different currencies"),
        ("anima-flat anima-flat --images 1", "anima-flat is there twice"),
        ("sd3-enterprise --images 1 --effective-on 2026-02-01", "needs changes"),
        ("sd3-enterprise --images 1 --effective-on tomorrow --set payment_days=1", "--effective-on"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_and_exit_code_2(perimage: Perimage, words: str, says: str) -> None:
    assert_one_sentence(perimage, words, says)


@pytest.mark.usefixtures("owner_url")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--agreement nothing --images 1", "there is no agreement called nothing"),
        ("anima-flat --usage-of nobody --from 2026-01 --to 2026-02", "no licensee called nobody"),
        ("anima-flat --usage-of nobody", "say which months"),
        ("anima-flat --usage-of nobody --images 5", "recorded usage says how many"),
    ],
)
def test_what_is_not_on_record_is_one_sentence_and_exit_code_2(perimage: Perimage, words: str, says: str) -> None:
    assert_one_sentence(perimage, words, says)


def assert_one_sentence(perimage: Perimage, words: str, says: str) -> None:
    done = perimage("quote", *words.split())
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_teaches_with_examples(perimage: Perimage) -> None:
    shown = perimage("quote", "--help").stdout
    assert "perimage quote sd3-enterprise --images 30000000 --rate 14" in shown
    assert "perimage explain --draft our-deal 2026-10" in perimage("explain", "--help").stdout


@pytest.fixture
def billed(owner_url: str) -> Any:
    """A year's ten months of usage, nine of them invoiced."""
    engine: Engine = make_engine(owner_url)
    with Session(engine) as session:
        trade = Trade(session)
        agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
        for month in range(1, 11):
            trade.use("sd-1", 1000 * month, f"2026-{month:02}-15T12:00Z")
        for month in range(1, 10):
            issue_month(session, agreement, Period.month(f"2026-{month:02}"))
        session.commit()
    engine.dispose()


USAGE = ("--usage-of", "north", "--from", "2026-01", "--to", "2026-10")


@pytest.mark.usefixtures("billed")
def test_real_usage_under_the_own_terms_is_what_was_billed(asked: Any) -> None:
    found = asked("--agreement", "deal", *USAGE)
    assert found["shadow"]["total"] == {"billed": "450.00", "due": "100.00", "offered": "550.00", "difference": "0.00"}
    assert [month["difference"] for month in found["shadow"]["months"]] == ["0.00"] * 10


@pytest.mark.usefixtures("billed")
def test_real_usage_under_other_terms_is_an_invoice_diff(asked: Any, perimage: Perimage) -> None:
    words = ("--agreement", "deal", "--set", "fees[0].schedule.rate=0.02", *USAGE)
    found = asked(*words)
    assert found["shadow"]["total"]["difference"] == "550.00"
    shown = perimage("quote", *words).stdout
    assert {Decimal("550.00"), Decimal("1100.00"), Decimal("450.00")} <= numbers(shown)
    rows = list(csv.DictReader(io.StringIO(perimage("quote", *words, "--csv").stdout)))
    assert sum(Decimal(row["difference"]) for row in rows) == 550
    assert [row["invoices"] for row in rows][:2] == ["GLD-000001", "GLD-000002"]
    from_june = asked(*words[:4], "--effective-on", "2026-06-01", *USAGE)
    assert from_june["shadow"]["total"]["difference"] == "400.00"  # June to October: 40,000 images, a cent more
    scenario = asked("anima-flat", "--count-as", "sd-1=anima-1", *USAGE)
    assert scenario["shadow"]["total"]["offered"] == "275.00"


@pytest.mark.usefixtures("billed")
def test_invoices_and_drafts_are_explained(perimage: Perimage) -> None:
    shown = perimage("explain", "GLD-000002").stdout
    for part in ("Invoice GLD-000002", "0.01 USD an image", "2026-02-15: 2,000", "frozen with the invoice", "20.00"):
        assert part in shown
    draft = json.loads(perimage("explain", "--draft", "deal", "2026-10", "--json").stdout)
    assert (draft["total"], draft["invoice"], draft["status"]) == ("100.00", None, "draft")
    line = json.loads(perimage("explain", "GLD-000002", "1", "--json").stdout)
    assert line["lines"][0]["counts"]["days"] == [{"day": "2026-02-15", "image_count": 2000}]
    for words, says in (
        (("GLD-000099",), "there is no invoice GLD-000099"),
        (("GLD-000002", "2"), "its lines are 1 to 1"),
        (("GLD-000002", "x"), "a line is a number"),
        (("--draft", "deal"), "say which month"),
        (("--draft", "deal", "2026-09"), "explain invoice GLD-000009"),
        (("--draft", "nothing", "2026-09"), "no agreement called nothing"),
    ):
        done = perimage("explain", *words)
        assert done.exit_code == 2 and says in done.stderr, (words, done.stderr)
