"""`perimage quote` as people and programs call it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from service.cli.quote import quote

RUNNER = CliRunner()


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(quote)
    return app


def answer(command: typer.Typer, *words: str) -> dict[str, Any]:
    result = RUNNER.invoke(command, [*words, "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_json_gives_amounts_as_decimal_strings(command: typer.Typer) -> None:
    found = answer(command, "sd3-enterprise", "--images", "30000000", "--rate", "14")
    assert (found["currency"], found["total"], found["effective_rate"]) == ("USD", "588000.00", "0.0196")
    assert [
        {key: line[key] for key in ("kind", "model", "image_count", "unit", "unit_price", "amount")}
        for line in found["lines"]
    ] == [
        {
            "kind": "usage",
            "model": "meridian-3",
            "image_count": 30_000_000,
            "unit": "BUZZ",
            "unit_price": "14",
            "amount": "420000.00",
        },
        {
            "kind": "shortfall",
            "model": "meridian-3",
            "image_count": 12_000_000,
            "unit": "BUZZ",
            "unit_price": "14",
            "amount": "168000.00",
        },
    ]


def test_people_get_a_table_with_shortfall_total_and_effective_price(command: typer.Typer) -> None:
    shown = RUNNER.invoke(command, ["sd3-enterprise", "--images", "30000000", "--rate", "17"]).stdout
    assert "shortfall" in shown
    assert "714,000.00" in shown
    assert "0.0238 USD = 23.8 BUZZ" in shown
    assert "outside the band of 12 to 16 BUZZ" in shown


def test_a_path_works_as_well_as_a_name(command: typer.Typer) -> None:
    import config

    path = Path(config.__file__).parent / "scenarios" / "stacked.yaml"
    assert answer(command, str(path), "--images", "1000")["total"] == "6.10"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("agreements: [", "line 1"),
        ("- 1", "not a scenario"),
        ("about: nothing", "agreements"),
        ("agreements: [{slug: x}]", "agreements[0].account"),
        ("\x00", "not valid YAML"),
        ("agreements: []\nagreements: []", "written twice"),
    ],
)
def test_a_bad_file_is_one_sentence_and_exit_code_2(
    command: typer.Typer, tmp_path: Path, content: str, says: str
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    result = RUNNER.invoke(command, [str(file), "--images", "1"])
    assert result.exit_code == 2
    assert says in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "words",
    [
        ["nowhere", "--images", "1"],
        ["../x", "--images", "1"],
        ["../scenarios/anima-flat", "--images", "1"],
        ["x" * 5000, "--images", "1"],
        [".", "--images", "1"],
        ["anima-flat", "--images", "-1"],
        ["anima-flat", "--images", "1.5"],
        ["anima-flat", "--images", "1", "--rate", "1e3"],
        ["anima-flat", "--images", "1", "--rate", "0"],
        ["anima-flat", "--images", "1", "--over", "year"],
        ["stacked", "--images", "1", "--rate", "1"],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_what_cannot_be_quoted_is_exit_code_2(command: typer.Typer, words: list[str]) -> None:
    result = RUNNER.invoke(command, words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_the_command_hangs_on_perimage(project_folder: Path) -> None:
    """Beside another command, as in the real program, it is called by its name."""
    script = "from service.cli import app; import service.cli.quote; app.command('other')(lambda: None); app()"
    words = [sys.executable, "-c", script, "quote", "flux-self-serve", "--images", "250000", "--json"]
    ran = subprocess.run(words, cwd=project_folder, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)["total"] == "2499.00"
