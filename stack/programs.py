"""Which programs a stack runs beside its servers: data, so that a test can run others."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM


@dataclass(frozen=True)
class Place:
    """Where everything of one stack is; known before the first program starts."""

    data: Path
    database_url: str
    redis_url: str
    service_url: str  # as people and links name it
    local_url: str  # as this machine reaches it
    listener: int  # the file number of the socket that is already listening there


@dataclass(frozen=True)
class Program:
    """One program: how to start it, and how to tell that it is well."""

    name: str
    argv: tuple[str, ...]
    once: bool = False  # runs to its end, and must succeed, before the next one begins
    probe: str = ""  # an address that answers 200 when it is ready
    stop_seconds: float = 10.0
    death_signal: int = SIGTERM  # what it hears when the supervisor was killed
    files: tuple[int, ...] = ()  # file numbers it inherits
    environment: Mapping[str, str] = field(default_factory=dict)  # over what every program of the stack gets
    disposable: Path | None = None  # a folder it can do without; removed when it died young, in case that is why


def perimage(place: Place) -> list[Program]:
    """The migrations, the service, the worker and beat."""
    python = sys.executable
    # Celery advises against root in five lines at each start; a bare container has nobody else, and we take JSON only.
    celery = (python, "-W", "ignore:You're running the worker", "-m", "celery", "-A", "worker.app:app", "--quiet")
    uvicorn = (python, "-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--no-access-log")
    service = (*uvicorn, "--timeout-graceful-shutdown", "5", "--fd", str(place.listener))
    schedule = place.data / "beat"
    schedule.mkdir(parents=True, exist_ok=True)
    return [
        Program("migrate", (python, "-c", "from service.cli import main; main()", "migrate"), once=True),
        Program(
            "service",
            (*service, "--factory", "service.app:create_app"),
            probe=f"{place.local_url}/healthz",
            files=(place.listener,),
        ),
        Program(
            "worker",
            (*celery, "worker", "--concurrency", "2", "--loglevel", "INFO", "--without-gossip", "--without-mingle"),
            stop_seconds=20,
            death_signal=SIGKILL,  # told more kindly, it waits for a broker that is gone; its work is rows
        ),
        Program(
            "beat",
            (*celery, "beat", "--schedule", str(schedule / "schedule"), "--loglevel", "WARNING"),
            disposable=schedule,
        ),
    ]
