"""House rules that are checked, not asked for."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint

import core.access.tables
import core.accruals.tables
import core.agreements.tables
import core.audit.tables
import core.invoicing.tables
import core.ledger.tables
import core.notices.tables
import core.payments.tables
import core.registry.tables
import core.scenarios.tables
import core.statements.tables
import core.usage.tables  # noqa: F401
from core.database import Base, make_engine

HOUSE = Path(__file__).resolve().parents[1]
ROOMS = ("core", "service", "worker", "config", "stack", "migrations", "sdk", "bench", "tests")
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "models.py", "service.py", "common.py", "misc.py"}
LONGEST_FILE = 450


def files(*rooms: str) -> Iterator[Path]:
    for room in rooms:
        yield from sorted((HOUSE / room).rglob("*.py"))


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@cache
def nodes(file: Path) -> list[ast.AST]:
    return list(ast.walk(parsed(file)))


def test_the_import_order_holds() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=HOUSE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_core_has_no_float() -> None:
    found = []
    for file in files("core"):
        refusing = {  # isinstance(value, float) is how a float is refused
            id(call.args[1])
            for call in nodes(file)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "isinstance"
        }
        found += [
            f"{file.relative_to(HOUSE)}:{node.lineno}"
            for node in nodes(file)
            if (isinstance(node, ast.Constant) and isinstance(node.value, float))
            or (isinstance(node, ast.Name) and node.id == "float" and id(node) not in refusing)
        ]
    assert found == []


def test_the_core_rounds_in_one_place() -> None:
    found = [
        f"{file.relative_to(HOUSE)}:{node.lineno}"
        for file in files("core")
        if file.name != "money.py"
        for node in nodes(file)
        if (isinstance(node, ast.Name) and node.id == "round")
        or (isinstance(node, ast.Attribute) and node.attr in ("quantize", "ROUND_HALF_UP", "ROUND_HALF_EVEN"))
    ]
    assert found == []


def test_the_core_never_commits() -> None:
    found = [
        f"{file.relative_to(HOUSE)}:{node.lineno}"
        for file in files("core")
        for node in nodes(file)
        if isinstance(node, ast.Attribute) and node.attr == "commit" and file.name != "intake.py"
    ]
    assert found == []


def test_only_settings_read_the_environment() -> None:
    # stack/process.py hands the environment on to child processes; tests may be told of a server of their own.
    allowed = {HOUSE / "config/settings.py", HOUSE / "stack/process.py"}
    found = [
        f"{file.relative_to(HOUSE)}:{node.lineno}"
        for file in files("core", "service", "worker", "config", "stack", "migrations")
        if file not in allowed
        for node in nodes(file)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "putenv")
    ]
    assert found == []


def test_no_file_is_named_for_a_pattern_and_none_is_long() -> None:
    named = [str(file) for file in files(*ROOMS) if file.name in FORBIDDEN_NAMES]
    long = [
        f"{file.relative_to(HOUSE)}: {count}"
        for file in files(*ROOMS)
        if "migrations/versions" not in str(file) and (count := len(file.read_text().splitlines())) > LONGEST_FILE
    ]
    assert (named, long) == ([], [])


def test_every_module_says_what_it_is_for() -> None:
    found = [
        str(file.relative_to(HOUSE))
        for file in files(*ROOMS)
        if file.read_text().strip() and ast.get_docstring(parsed(file)) is None
    ]
    assert found == []


@pytest.mark.parametrize(
    "slice_",
    sorted(folder.name for folder in (HOUSE / "core").iterdir() if folder.is_dir() and folder.name != "__pycache__"),
)
def test_every_slice_has_a_doorplate(slice_: str) -> None:
    doorplate = HOUSE / "core" / slice_ / "README.md"
    assert doorplate.exists()
    assert len(doorplate.read_text().splitlines()) <= 80


def test_tests_mirror_the_core() -> None:
    missing = [
        str(test.relative_to(HOUSE))
        for test in (HOUSE / "tests/core").rglob("test_*.py")
        if not (HOUSE / "core" / test.parent.relative_to(HOUSE / "tests/core")).is_dir()
    ]
    assert missing == []


def test_the_tables_are_what_the_migrations_make(owner_url: str) -> None:
    with make_engine(owner_url, role=None).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


OF_LICENSEES = ["usage_events", "usage_reports", "usage_corrections", "usage_imports", "daily_counts", "resolutions"]
OF_LICENSEES += ["zero_reports", "statements", "statement_chunks", "certifications", "disputes", "settlements"]


@pytest.mark.parametrize("table", OF_LICENSEES)
def test_every_key_of_the_usage_tables_starts_with_the_licensee(table: str) -> None:
    for constraint in Base.metadata.tables[table].constraints:
        if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint | ForeignKeyConstraint):
            assert next(iter(constraint.columns)).name == "licensee_id", constraint


def test_the_lock_names_one_index() -> None:
    lock = tomllib.loads((HOUSE / "uv.lock").read_text())
    registries = {package["source"].get("registry") for package in lock["package"]} - {None}
    assert len(registries) == 1


def test_nothing_in_the_house_names_a_place_outside_it() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=HOUSE, capture_output=True, text=True, check=False).stdout.split()
    suffixes = {".py", ".md", ".toml", ".yaml", ".yml", ".env", ""}
    outside = ("/".join(("..", "shared")), "/".join(("", "work", "")), "/".join(("..", ".library")))
    found = [
        name
        for name in tracked
        if (HOUSE / name).is_file() and (HOUSE / name).suffix in suffixes and name != "LICENSE"
        for word in outside
        if word in (HOUSE / name).read_text(errors="ignore")
    ]
    assert found == []


TEMPLATES = sorted((HOUSE / "service/dashboard/templates").rglob("*.html"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: "/".join(file.parts[-2:]))
def test_pages_hold_no_script_no_style_and_no_form_without_a_token(template: Path) -> None:
    """What the pages' policy would forbid in the browser, and a form that anybody could send."""
    text = re.sub(r"{#.*?#}", "", template.read_text(), flags=re.DOTALL)
    assert not re.search(r"""\sstyle\s*=|\son\w+\s*=\s*["']|javascript:|\bhx-on|js:|<style""", text, re.IGNORECASE)
    scripts = re.findall(r"<script([^>]*)>", text)
    assert all("src=" in each or 'type="application/json"' in each for each in scripts)
    assert not re.search(r"""(?:\bsrc|action|hx-\w+)=["']https?:|<link[^>]*https?:""", text), (
        "nothing comes from elsewhere"
    )
    forms = re.findall(r"<form[^>]*method=.post.*?</form>", text, re.DOTALL)
    open_to_all = template.parent.name == "sign_in"
    assert open_to_all or all("csrf()" in form for form in forms)
    if "parts" not in template.parts:
        assert "| safe" not in text and "|safe" not in text


def test_every_page_is_made_at_the_dashboards_door() -> None:
    """A router that is not `page_router`'s would have no guard: no headers, no origin, no token."""
    found = [
        str(file.relative_to(HOUSE))
        for file in sorted((HOUSE / "service/dashboard").rglob("*.py"))
        if file.name not in ("door.py", "static.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "APIRouter"
    ]
    assert found == []
