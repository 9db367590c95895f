"""The service for tests: in this process on a thread of its own, or as a process that can be killed."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import APIRouter
from sqlalchemy.orm import Session

from config.settings import Settings
from core.database import make_engine
from core.registry.register import issue_key
from tests.trade import Trade, flat

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 20
_numbers = count(1)


def stamp(ago: timedelta = timedelta()) -> str:
    """An RFC 3339 time so long ago."""
    return (datetime.now(UTC) - ago).isoformat().replace("+00:00", "Z")


def event(event_id: str | None = None, **fields: Any) -> dict[str, Any]:
    """A good event, with whatever fields a test cares about."""
    made = {"event_id": event_id or f"e-{next(_numbers)}", "model": "sd-1", "image_count": 1, "occurred_at": stamp()}
    return {**made, **fields}


def report(events: Sequence[Any], report_id: str | None = None, **fields: Any) -> dict[str, Any]:
    """A report of these events."""
    return {"report_id": report_id or f"r-{next(_numbers)}", "events": list(events), **fields}


def open_trade(database_url: str) -> dict[str, str]:
    """Two licensees under agreements, a base, a derivative and an adapter; the meter key of each licensee."""
    engine = make_engine(database_url)
    today = datetime.now(UTC).date()
    term = {"starts_on": today - timedelta(days=400), "ends_on": today + timedelta(days=400)}
    with Session(engine) as session:
        trade = Trade(session)
        trade.model("sd-1-tuned", bases=["sd-1"])
        trade.model("grain", owes="own")
        for licensee in ("north", "south"):
            trade.agreement(f"deal-{licensee}", licensee=licensee, fees=[flat("sd-1", "0.01")], **term)
        trade.model("unagreed")
        keys = {licensee: issue_key(session, licensee, "test") for licensee in ("north", "south")}
        keys["backfill"] = issue_key(session, "north", "old", today - timedelta(days=300), "the meter was away")
        session.commit()
    engine.dispose()
    return keys


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Door:
    """A running service and a client to talk to it."""

    def __init__(self, address: str, keys: Mapping[str, str]) -> None:
        self.address = address
        self.keys = keys
        self.client = httpx.Client(base_url=address, timeout=PATIENCE)

    def post(self, body: Any, licensee: str = "north", **headers: str) -> httpx.Response:
        """Reports a body: bytes as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {
            "Authorization": f"Bearer {self.keys[licensee]}",
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self.client.post("/v1/usage-reports", content=content, headers=sent)

    def get(self, path: str, licensee: str = "north", **params: str) -> httpx.Response:
        return self.client.get(path, params=params, headers={"Authorization": f"Bearer {self.keys[licensee]}"})


def settings_for(database_url: str, **more: Any) -> Settings:
    return Settings(database_url=database_url, **{"redis_url": "", **more})


class _Server(uvicorn.Server):
    """Sees at once that it shall end, where uvicorn looks ten times a second."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            await asyncio.sleep(0.01)


@contextmanager
def serving(settings: Settings, keys: Mapping[str, str], *more: APIRouter) -> Iterator[Door]:
    """The service on a thread of this process; `more`: rooms that only a test has."""
    from service.app import create_app

    port, app = free_port(), create_app(settings)
    for router in more:
        app.include_router(router)
    server = _Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive())
    assert server.started, "the service did not start"
    door = Door(f"http://127.0.0.1:{port}", keys)
    try:
        yield door
    finally:
        door.client.close()
        server.should_exit = True
        thread.join(PATIENCE)


@contextmanager
def service_process(database_url: str, keys: Mapping[str, str], **environment: str) -> Iterator["ServiceProcess"]:
    """The service as a process of its own."""
    process = ServiceProcess(database_url, keys, environment)
    try:
        yield process
    finally:
        process.end()


class ServiceProcess(Door):
    """A service that can be killed. `exit_code` waits for its end."""

    def __init__(self, database_url: str, keys: Mapping[str, str], environment: Mapping[str, str]) -> None:
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app", "--port", str(port)]
        self.process = subprocess.Popen(
            [*command, "--log-level", "warning"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": database_url, **environment},
        )
        super().__init__(f"http://127.0.0.1:{port}", keys)
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "the service ended at its start"
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)


def wait_until(true: Any, patience: float = PATIENCE) -> None:
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def day_of(text: str) -> date:
    return datetime.fromisoformat(text).date()
