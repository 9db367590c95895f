"""What a platform sees of the package, and what it costs to import."""

import ast
import inspect
import resource
import subprocess
import sys
from pathlib import Path

import perimage
from perimage import _errors

PUBLIC = {
    "BadReceipt",
    "BadSettings",
    "BadUsage",
    "Meter",
    "MeterClosed",
    "MeterError",
    "NotSent",
    "SpoolError",
    "SpoolFailed",
    "SpoolFull",
    "SpoolLocked",
    "Stats",
    "Unauthorized",
    "__version__",
}
HEAVY = ("httpx", "asyncio", "ssl", "email", "http", "concurrent.futures", "socket", "sqlite3", "perimage._sender")
MOST_MILLISECONDS = 50


def test_the_public_names_are_these_and_no_others():
    assert set(perimage.__all__) == PUBLIC
    seen = {
        name for name in vars(perimage) if not name.startswith("_") and not inspect.ismodule(getattr(perimage, name))
    }
    assert seen | {"__version__"} == PUBLIC


def test_every_other_module_has_a_leading_underscore():
    folder = Path(perimage.__file__).parent
    assert {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")} == set()


def test_every_public_name_says_what_it_is():
    assert [name for name in PUBLIC - {"__version__"} if not inspect.getdoc(getattr(perimage, name))] == []


def test_the_tree_in_the_docstring_is_the_tree_of_errors():
    drawn: dict[str, str] = {}
    branch: dict[int, str] = {}
    for line in (_errors.__doc__ or "").splitlines():
        name = line.lstrip(" │├└─").split(" ")[0]
        depth = line.find(name) // 4
        if name.isidentifier() and name[0].isupper() and isinstance(getattr(_errors, name, None), type) and depth:
            branch[depth] = name
            drawn[name] = branch.get(depth - 1, "Exception")
    real = {
        name: found.__bases__[0].__name__
        for name, found in vars(_errors).items()
        if isinstance(found, type) and issubclass(found, Exception)
    }
    assert drawn == real


def test_importing_takes_nothing_heavy_with_it():
    said = subprocess.run(
        [sys.executable, "-c", "import sys, perimage; print([name for name in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(HEAVY) & set(ast.literal_eval(said.stdout)) == set()


def test_importing_takes_less_than_50_ms(record_property):
    """CPU time of a process that imports it less that of one that does not, the least of some rounds."""

    def cpu(code: str) -> float:
        spent = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(spent) * 1000

    took = cpu("import perimage") - cpu("pass")
    record_property("import_ms", round(took, 1))
    print(f"import perimage: {took:.1f} ms")
    assert took < MOST_MILLISECONDS


def test_the_package_needs_the_standard_library_and_httpx_only():
    allowed = set(sys.stdlib_module_names) | {"perimage", "httpx", "msvcrt"}
    found = set()
    for path in Path(perimage.__file__).parent.glob("_[!r]*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(str(node.module).split(".")[0])
    assert found - allowed == set()
