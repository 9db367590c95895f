"""Stacks made of the programs of standin.py."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from stack.environment import Environment
from stack.programs import Place, Program

STANDIN = Path(__file__).with_name("standin.py")
NOWHERE = Environment(database_url="postgresql://nowhere", redis_url="redis://nowhere", service_url="")
HERE = Environment(database_url="", redis_url="", service_url="")


def program(name: str, *words: str, **more: Any) -> Program:
    """One stand-in."""
    return replace(Program(name, (sys.executable, str(STANDIN), *words)), **more)


def service_and_worker(place: Place) -> list[Program]:
    """What most tests of the supervisor run."""
    return [
        program("service", "serve", str(place.listener), probe=place.local_url, files=(place.listener,)),
        program("worker", "work"),
    ]
