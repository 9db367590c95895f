"""Chapter: who is told. Webhook endpoints, notices as they came up, and a receiver that really answers.

The receiver listens on this machine for as long as the demo runs. A second endpoint points to where nobody listens, so
that its deliveries fail and wait for their next try.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn

import httpx
from standardwebhooks import Webhook

from core.notices import invoices
from core.notices.deliver import Outcome, Parcel, claim, record, send_test
from core.notices.endpoints import add_endpoint
from core.notices.tell import tell as tell_all
from core.notices.watch import watch, watch_days
from service.cli.demo.scene import Scene, finance

DEAD_END = "http://127.0.0.1:9/hooks"  # the port of "discard", where nobody listens
LEASE = timedelta(minutes=5)


class _Hooks(BaseHTTPRequestHandler):
    """Answers every webhook as a good receiver does: quickly, and with a 204."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True


@contextmanager
def receiver(port: int = 0) -> Iterator[str]:
    """A receiver on a port of this machine, and its address; on another port if this one is taken."""
    try:
        server = _Server(("127.0.0.1", port), _Hooks)
    except OSError:
        server = _Server(("127.0.0.1", 0), _Hooks)
    threading.Thread(target=server.serve_forever, name="demo-receiver", daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hooks"
    finally:
        server.shutdown()
        server.server_close()


def add_receiver(scene: Scene, address: str) -> None:
    """The licensor's own system is told of everything from the first day on."""
    with scene.session() as session:
        add_endpoint(session, finance("ada"), scene.licensor_id(session), address, allow_private=True)


def add_dead_end(scene: Scene) -> None:
    """An endpoint of northlight's, added lately, which never answered."""
    with scene.session() as session:
        licensee_id = scene.licensee_id(session, "northlight")
        licensor_id = scene.licensor_id(session)
        made = add_endpoint(session, finance("ada"), licensor_id, DEAD_END, licensee_id=licensee_id, allow_private=True)
        send_test(session, finance("carla"), made.id)


def tell(scene: Scene) -> None:
    """What has to be told by now, and its delivery.

    In the past nobody is told of days without a report: the days that follow have not been written yet.
    """
    more = True
    while more:
        with scene.session() as session:
            more = watch(session, mail=False).more
    with scene.session() as session:
        if scene.now is None:
            watch_days(session, mail=False)
        else:
            for page in (*invoices.due_soon(session, scene.now), *invoices.overdue(session, scene.now)):
                tell_all(session, page, mail=False)
    with httpx.Client(timeout=5) as client:
        while parcel := _claimed(scene):
            outcome = _sent(client, parcel)
            with scene.session() as session:
                record(session, parcel, outcome, mail=False)


def _claimed(scene: Scene) -> Parcel | None:
    with scene.session() as session:
        return claim(session, LEASE)


def _sent(client: httpx.Client, parcel: Parcel) -> Outcome:
    """One webhook over HTTP, signed as the worker signs it."""
    began = time.monotonic()
    body = json.dumps(
        {"type": parcel.kind, "timestamp": parcel.told_at.astimezone(UTC).isoformat(), "data": parcel.data},
        sort_keys=True,
    )
    now = parcel.told_at
    headers = {
        "Content-Type": "application/json",
        "webhook-id": parcel.message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(parcel.secret).sign(parcel.message_id, now, body),
    }
    try:
        answer = client.post(parcel.url, content=body.encode(), headers=headers)
    except httpx.TransportError as error:
        return Outcome("failed", f"no answer: {error}", None, int((time.monotonic() - began) * 1000))
    took = int((time.monotonic() - began) * 1000)
    return Outcome("delivered" if answer.is_success else "failed", answer.text[:200], answer.status_code, took)
