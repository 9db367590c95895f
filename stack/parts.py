"""The parts of a stack as its supervisor sees them: each has a process id, can be started, and can be stopped."""

import math
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Protocol

from stack.process import PROJECT, Process, StackError, end_holders, last_lines, surroundings
from stack.programs import Program

PROVEN_SECONDS = 10.0  # a part that lived as long can run; before that its death is a quick one
QUICK_DEATHS = 5
LEFTOVER_SECONDS = 5.0
PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Part(Protocol):
    """What PostgreSQL, Valkey and a program have in common."""

    log: Path

    @property
    def pid(self) -> int | None: ...
    def start(self, abandon: threading.Event | None = None) -> None: ...
    def stop(self, hurry: threading.Event | None = None) -> None: ...


class Running:
    """A program of the stack, running or to be run."""

    def __init__(self, program: Program, environment: Mapping[str, str], logs: Path, run: Path) -> None:
        self.program = program
        self.environment = environment
        self.log = logs / f"{program.name}.log"
        self.hold = run / f"{program.name}.hold"
        self.process: Process | None = None
        self.started = 0.0

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.exit_code() is None else None

    def start(self, abandon: threading.Event | None = None) -> None:
        """Start it, and see a program that runs once to its end."""
        # At first start an earlier run, killed a moment ago, may still be finishing its work. Later the main process
        # has died under our eyes, and what it forked has nobody to report to.
        end_holders(self.hold, patience=0.0 if self.process else LEFTOVER_SECONDS)
        died_young = self.process is not None and time.monotonic() - self.started < PROVEN_SECONDS
        if died_young and self.program.disposable:
            shutil.rmtree(self.program.disposable, ignore_errors=True)
        if self.program.disposable:
            self.program.disposable.mkdir(parents=True, exist_ok=True)
        self.process = Process(
            self.program.argv,
            log=self.log,
            hold=self.hold,
            environment=surroundings({**self.environment, **self.program.environment}),
            folder=PROJECT,
            files=self.program.files,
            death_signal=self.program.death_signal,
        )
        self.started = time.monotonic()
        if self.program.once:
            self._see_it_through(self.process, abandon)

    def _see_it_through(self, process: Process, abandon: threading.Event | None) -> None:
        if not process.wait(math.inf, abandon):
            self.stop()
            raise StackError(f"{self.program.name} was stopped before its end.")
        if code := process.exit_code():
            raise StackError(f"{self.program.name} failed with exit code {code}:\n{last_lines(self.log)}")

    def stop(self, hurry: threading.Event | None = None) -> None:
        """Ask it to stop, and make it stop when it does not."""
        if self.process:
            self.process.stop([(SIGTERM, self.program.stop_seconds)], hurry)
            self.process = None

    def ready(self) -> bool:
        """Whether it answers its probe; a program without one is ready when it runs."""
        if self.pid is None or not self.program.probe:
            return self.pid is not None
        try:
            with urllib.request.urlopen(self.program.probe, timeout=2) as answer:  # noqa: S310  our own address
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@dataclass
class Kept:
    """A part that is kept alive, and what happened to it so far."""

    name: str
    part: Part
    started: float = 0.0
    again_at: float = 0.0
    quick_deaths: int = 0
    proven: bool = False
    down: bool = False

    def start(self, abandon: threading.Event) -> None:
        """Start it, unless `abandon` is set meanwhile, and begin to count its life."""
        self.part.start(abandon)
        self.started = time.monotonic()
        self.down = False

    def noticed_dead(self) -> float:
        """Count a death that was just seen; answers how many seconds to wait before the next start."""
        young = time.monotonic() - self.started < PROVEN_SECONDS
        self.quick_deaths = self.quick_deaths + 1 if young else 1
        pause = PAUSES[min(self.quick_deaths, len(PAUSES)) - 1]
        self.again_at = time.monotonic() + pause
        self.down = True
        return pause

    def noticed_alive(self) -> None:
        """Remember that it can run, so that later deaths never make us give it up."""
        if time.monotonic() - self.started >= PROVEN_SECONDS:
            self.proven, self.quick_deaths = True, 0

    @property
    def hopeless(self) -> bool:
        """It never ran for long, and died often: its configuration is wrong, and trying on would only hide that."""
        return not self.proven and self.quick_deaths >= QUICK_DEATHS
