"""`perimage apply`: the plan, the question, the refusals, and what a file may look like."""

import json
import re
import sys
from pathlib import Path

import psycopg
import pytest
import yaml

SMALL = """\
licensors: [{slug: guild, name: Guild, invoice_prefix: GLD}]
models: [{slug: sd-1, name: "SD [1]", licensor: guild, kind: checkpoint}]
licensees: [{slug: north, name: North}]
accounts: [{licensor: guild, licensee: north, currency: USD}]
agreements:
  - slug: deal
    account: {licensor: guild, licensee: north}
    starts_on: 2026-01-01
    ends_on: 2027-01-01
    terms: {currency: USD, fees: [{name: images, models: [sd-1], schedule: {kind: flat, rate: "5"}}]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.yaml"
    path.write_text(SMALL)
    return path


def rows(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    return count


def test_a_file_is_applied_and_a_second_time_there_is_nothing_to_do(perimage, file, database_url):
    first = perimage("apply", file)
    assert first.exit_code == 0, first.output
    assert "signed, 2026-01-01 to 2027-01-01 (exclusive)" in first.stdout
    assert "Applied: 5 created, 0 changed." in first.stdout
    assert rows(database_url, "agreement_models") == 1
    second = perimage("apply", file)
    assert second.exit_code == 0
    assert "Nothing to do" in second.stdout
    assert "1 unchanged" in second.stdout


def test_a_dry_run_shows_the_plan_and_does_nothing(perimage, file, database_url):
    shown = perimage("apply", file, "--dry-run")
    assert shown.exit_code == 0
    assert "Would apply: 5 created, 0 changed. Nothing was done." in shown.stdout
    assert rows(database_url, "licensors") == 0


def test_a_logo_is_taken_from_beside_the_file_and_looked_at_first(perimage, file, database_url):
    perimage("apply", file)
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 3"><path d="{}"/></svg>'
    (file.parent / "art").mkdir()
    file.write_text(
        SMALL.replace("invoice_prefix: GLD", "invoice_prefix: GLD, brand: {logo: art/l.svg, colour: '#1b4d89'}")
    )
    for content, said in (
        (None, "licensors[0].brand.logo: there is no file"),
        ("x" * 300_000, "licensors[0].brand.logo: the file has 300,000 bytes"),
        (svg.format("M0 0h9v3z") + "<script/>", "licensors[0].brand.logo: this is not well-formed SVG"),
    ):
        if content is not None:
            (file.parent / "art/l.svg").write_text(content)
        refused = perimage("apply", file)
        assert refused.exit_code != 0 and said in refused.stderr, refused.stderr
    (file.parent / "art/l.svg").write_text(svg.format("M0 0h9v3z"))
    applied = perimage("apply", file)
    assert applied.exit_code == 0, applied.stderr
    assert "brand.logo: nothing -> SVG" in applied.stdout
    assert rows(database_url, "pictures") == 1


def test_names_with_brackets_are_shown_as_they_are(perimage, file):
    perimage("apply", file)
    file.write_text(SMALL.replace("SD [1]", "SD [bold]2[/bold]"))
    assert "name: SD [1] -> SD [bold]2[/bold]" in perimage("apply", file, "--dry-run").stdout


def test_machines_get_the_plan_as_json(perimage, file):
    plan = json.loads(perimage("apply", file, "--json").stdout)
    assert plan["applied"] is True
    assert plan["created"][0] == {"kind": "licensor", "name": "guild"}
    file.write_text(SMALL.replace('rate: "5"', 'rate: "6"').replace("North", "Northern"))
    refused = perimage("apply", file, "--json")
    assert refused.exit_code == 2
    plan = json.loads(refused.stdout)
    assert (plan["applied"], [refusal["path"] for refusal in plan["refused"]]) == (False, ["agreements[0].terms"])
    assert plan["refused"][0]["instead"]["amendments"][0]["terms"]["fees"][0]["schedule"]["rate"] == "6"
    assert plan["changed"] == [
        {"kind": "licensee", "name": "north", "changes": [{"what": "name", "old": "North", "new": "Northern"}]}
    ]
    assert plan["unchanged"]["model"] == 1


def test_a_refusal_says_what_to_write_and_that_then_works(perimage, file, database_url):
    perimage("apply", file)
    file.write_text(SMALL.replace('rate: "5"', 'rate: "6"').replace("North", "Northern"))
    refused = perimage("apply", file)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("perimage: agreements[0].terms: agreement deal is signed and never edited")
    assert refused.stderr.rstrip().endswith("Nothing was applied.")
    assert "Traceback" not in refused.output
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT name FROM licensees").fetchall() == [("North",)]
    found = re.search(r"^    amendments:\n(    .*\n)+", refused.stderr, re.MULTILINE)
    assert found
    file.write_text(SMALL + found[0])
    amended = perimage("apply", file)
    assert amended.exit_code == 0, amended.output
    assert "amendment 1: nothing -> from 20" in amended.stdout
    assert "Nothing to do" in perimage("apply", file).stdout


class Terminal:
    """Standard input that says it is a terminal, in front of the one the runner gives."""

    def __init__(self, inner):
        self.inner = inner

    def isatty(self):
        return True

    def __getattr__(self, name):
        return getattr(self.inner, name)


def at_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import service.cli.apply as command

    class System:
        @property
        def stdin(self):
            return Terminal(sys.stdin)

    monkeypatch.setattr(command, "sys", System())


def test_at_a_terminal_it_asks_first_and_no_means_no(perimage, file, database_url, monkeypatch):
    at_terminal(monkeypatch)
    refused = perimage("apply", file, answer="n\n")
    assert "Apply this?" in refused.stderr
    assert refused.exit_code == 1
    assert rows(database_url, "licensors") == 0
    assert perimage("apply", file, answer="y\n").exit_code == 0
    assert rows(database_url, "licensors") == 1
    assert "Apply this?" not in perimage("apply", file, answer="").output, "nothing to do, nothing to ask"


def test_with_yes_it_does_not_ask(perimage, file, database_url, monkeypatch):
    at_terminal(monkeypatch)
    assert perimage("apply", file, "--yes", answer="").exit_code == 0
    assert rows(database_url, "licensors") == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("licensors: []\nlicensors: []\n", "line 2: 'licensors' is written twice in one mapping: keep one"),
        ("licensors: [{slug: a, slug: b}]", "line 1: 'slug' is written twice"),
        ("licensors: [", "line 1"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor for the tag"),
        ("- - -", "the file: write a mapping of names to values here"),
        ("", "the file: write a mapping"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
        ("[" * 50_000, "nested too deeply"),
        (SMALL.replace("2026-01-01", "2026-02-30"), "agreements[0].starts_on: '2026-02-30' is not a day"),
        (
            SMALL.replace('rate: "5"', "rate: 0.05"),
            'in quotes, such as "0.01", so that it stays exact: not 0.05',
        ),
        (SMALL.replace("slug: guild", "slug: no"), "licensors[0].slug: write 1 to 100 lower-case letters"),
        (SMALL.replace("name: North", f"name: {'9' * 5000}"), "licensees[0].name: write one line of at most 255"),
    ],
)
def test_a_bad_file_is_one_sentence_and_no_traceback(perimage, file, content, sentence):
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused = perimage("apply", file)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("perimage: ")
    assert sentence in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "Traceback" not in refused.output


def test_a_file_that_is_not_there_is_said_so(perimage, tmp_path):
    refused = perimage("apply", tmp_path / "nowhere.yaml")
    assert (refused.exit_code, "No such file" in refused.stderr) == (2, True)
    assert "Is a directory" in perimage("apply", tmp_path).stderr


def test_without_a_database_it_says_what_to_start(perimage, file, monkeypatch, tmp_path, empty_database_url):
    from config.settings import settings

    for url, sentence in (
        ("", "perimage: no database: start `perimage up` or set DATABASE_URL"),
        ("postgresql://nobody@127.0.0.1:1/none", "perimage: the database does not answer: start `perimage up`"),
        (empty_database_url, "perimage: the database has no tables of Perimage yet"),
    ):
        monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setenv("PERIMAGE_DATA", str(tmp_path))
        settings.cache_clear()
        refused = perimage("apply", file)
        assert refused.exit_code == 2
        assert refused.stderr.startswith(sentence)
        assert len(refused.stderr.strip().splitlines()) == 1


def test_a_long_list_of_new_models_is_cut_on_the_screen_and_whole_as_json(perimage, file):
    document = yaml.safe_load(SMALL)
    document["models"][0]["derivatives"] = [
        {"slug": f"tune-{n}", "name": f"Tune {n}", "kind": "fine-tune"} for n in range(164)
    ]
    file.write_text(yaml.safe_dump(document))
    assert "and 153 more" in perimage("apply", file, "--dry-run").stdout
    assert len(json.loads(perimage("apply", file, "--dry-run", "--json").stdout)["created"]) == 169
