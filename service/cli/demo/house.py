"""The stack that a demo runs on: the one that is there already, or a new one for as long as the demo lasts."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
from rich.console import Console
from sqlalchemy import select
from sqlalchemy.orm import Session

from config.settings import STACK_FILE
from core.registry.tables import Licensor
from service.cli.demo.cast import LICENSOR
from stack.process import StackError
from stack.programs import Place, Program, perimage
from stack.supervisor import Stack

DEMO_PORT = 8765


@contextmanager
def stack_on(folder: Path, port: int | None, console: Console) -> Iterator[Stack | None]:
    """A stack on the folder; None where one runs there already, which then runs on."""
    if _runs(folder):
        console.print(f"Using the stack that runs on {folder}.")
        yield None
        return
    console.print(f"Starting PostgreSQL, Valkey, service, worker and beat on {folder} ...")
    with _started(folder, port) as stack:
        yield stack


def refuse_other_peoples_database(session: Session) -> None:
    """The demo's world is for a database of its own: it would stand between somebody's real invoices for good."""
    others = session.scalars(select(Licensor.slug).where(Licensor.slug != LICENSOR).order_by(Licensor.slug)).first()
    if others is not None:
        raise StackError(f"this database is in use, by licensor {others}: run the demo on another one, with --data")
    if session.scalar(select(Licensor.id).where(Licensor.slug == LICENSOR)) is not None:
        raise StackError("this database holds a demo whose folder is gone: run it on another one, with --data")


def _started(folder: Path, port: int | None) -> Stack:
    """A stack on the wanted port; without a wish, on the usual one or any other that is free."""
    if port is not None or _port_is_free(DEMO_PORT):
        return Stack(folder, port=DEMO_PORT if port is None else port, programs=_programs)
    return Stack(folder, port=0, programs=_programs)


def _programs(place: Place) -> list[Program]:
    """Those of every stack. The worker may send webhooks to this machine, where the demo's receiver listens."""
    said = {"PERIMAGE_ALLOW_PRIVATE_WEBHOOKS": "true"}
    return [
        replace(program, environment={**program.environment, **said}) if program.name == "worker" else program
        for program in perimage(place)
    ]


def _port_is_free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _runs(folder: Path) -> bool:
    try:
        stack = json.loads((folder / STACK_FILE).read_text())
        os.kill(stack["pid"], 0)
        return httpx.get(f"{stack['service_url']}/healthz", timeout=5).status_code == httpx.codes.OK
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        return False
