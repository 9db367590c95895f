"""A relay as a process of its own, and a stand-in for the service that writes down what reaches it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import httpx

from tests.door import PATIENCE, free_port, stamp

KEY = "pmk_relay_secret"
TOKEN = "sesame-sesame-sesame"
OWN = "/v1/usage-reports"
LICENCE = "/v1/licenses/models/flux-1-dev/usage"
EVENTS = "/api/v1/events"
METER_EVENTS = "/v1/billing/meter_events"
FORM = "application/x-www-form-urlencoded"


class Seen(NamedTuple):
    """A request as it reached the service."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers.get("idempotency-key", "")

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))


Said = tuple[int, bytes, dict[str, str]]


class StandIn:
    """Answers every door as the service would, unless `answer` says otherwise."""

    def __init__(self, port: int = 0, answer: Callable[[Seen], Said | None] = lambda _: None) -> None:
        self.seen: list[Seen] = []
        self.answer = answer
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                seen = Seen(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                status, content, headers = stand_in.answer(seen) or well_received(seen)
                stand_in.seen.append(seen)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST  # noqa: N815 - http.server calls it so

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def at(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == path]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def well_received(seen: Seen) -> Said:
    """What the service says when all is well."""
    if seen.path == OWN:
        report = seen.json()
        results = [{"event_id": event["event_id"], "status": "accepted"} for event in report["events"]]
        return 200, json.dumps({"report_id": report["report_id"], "results": results}).encode(), {}
    if seen.path == EVENTS:
        return 204, b"", {}
    if seen.path == METER_EVENTS:
        return 200, b'{"object": "billing.meter_event"}', {}
    if seen.path.startswith("/v1/licenses/"):
        return 200, b'{"message": "Usage recorded successfully"}', {}
    return 200, b"{}", {}


@contextmanager
def standing_in(answer: Callable[[Seen], Said | None] = lambda _: None, port: int = 0) -> Iterator[StandIn]:
    stand_in = StandIn(port, answer)
    try:
        yield stand_in
    finally:
        stand_in.close()


class RelayProcess:
    """A relay that can be killed."""

    def __init__(self, spool: Path, url: str, *options: str, **environment: str) -> None:
        command = [sys.executable, "-m", "perimage._relay", "--listen", "127.0.0.1:0", "--url", url]
        self.log = spool.parent / f"{spool.name}.log"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*command, "--spool", str(spool), "--longest-pause", "0.2", *options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PERIMAGE_KEY": KEY, **environment},
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), self.log.read_text()
        self.address = line.split()[2].rstrip(",")
        self.client = httpx.Client(base_url=self.address, timeout=PATIENCE)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Sends bytes as they are, a mapping as JSON, and nothing as nothing."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            return self.client.post(path, content=body, headers=sent)
        return (
            self.client.post(path, json=body, headers=sent)
            if body is not None
            else self.client.post(path, headers=sent)
        )

    def form(self, body: str, **headers: str) -> httpx.Response:
        return self.post(METER_EVENTS, body.encode(), Content_Type=FORM, **headers)

    def health(self) -> dict[str, Any]:
        return self.client.get("/healthz").json()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        if self.process.stdout:
            self.process.stdout.close()


@contextmanager
def relaying(spool: Path, url: str, *options: str, **environment: str) -> Iterator[RelayProcess]:
    relay = RelayProcess(spool, url, *options, **environment)
    try:
        yield relay
    finally:
        relay.end()


def nowhere() -> str:
    """An address that nobody listens at, yet."""
    return f"http://127.0.0.1:{free_port()}"


def cloud_event(id_: str, **fields: Any) -> dict[str, Any]:
    """A CloudEvent that counts two images."""
    made = {"id": id_, "source": "host", "specversion": "1.0", "type": "image.generated", "subject": "north"}
    return {**made, "data": {"model": "sd-1", "count": "2"}, **fields}


def meter_event(value: int, **fields: str) -> str:
    """The body of a Stripe meter event."""
    made = {"event_name": "sd-1", "payload[stripe_customer_id]": "north", "payload[value]": str(value)}
    return "&".join(f"{name}={text}" for name, text in {**made, **fields}.items())


def own_report(report_id: str, *event_ids: str, **fields: Any) -> dict[str, Any]:
    """A report in our own format, of three images an event."""
    events = [{"event_id": each, "model": "sd-1", "image_count": 3, "occurred_at": stamp()} for each in event_ids]
    return {"report_id": report_id, "events": events, **fields}
