"""Handing the waiting requests on to the service, for as long as it takes.

What the service took is forgotten; what it refused is parked with its answer, loudly; everything else (no network, 5xx,
429, a key it does not know, an answer that is not the service's) is tried again, with growing pauses. A request that
the service fails on is put off, while others pass.
"""

import http.client
import json
import logging
import random
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from perimage._errors import BadSettings
from perimage._relay_spool import File, Held, Outbox

log = logging.getLogger("perimage.relay")
OWN, LICENCES, EVENTS, METER_EVENTS = (
    "/v1/usage-reports",
    "/v1/licenses/models/",
    "/api/v1/events",
    "/v1/billing/meter_events",
)
CONNECTIONS = 4
AT_ONCE = 256  # requests that are handed to the connections together
TIMEOUT = 30.0
FIRST_PAUSE, LONGEST_PAUSE, LONGEST_ASKED = 1.0, 60.0, 3600.0
MOST_ANSWER_BYTES = 4 << 20
AWAY = frozenset({408, 425, 429, 502, 503, 504})  # the service cannot take anything now
EARLY, CAPPED = b"timestamp_in_future", "hard_cap_reached"
COUNTED = ("accepted", "duplicate", "held")
DONE, PARK, LATER, AWAIT = "done", "park", "later", "await"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    retry_after: float = 0.0


def judge(path: str, answer: Answer) -> tuple[str, str]:
    """What becomes of a request by its answer, and why: done, parked, tried later, or everything waits."""
    status = answer.status
    if status in AWAY:
        return AWAIT, f"the service answered {status}"
    if status == http.client.UNAUTHORIZED:
        return AWAIT, "the service does not know the relay's meter key (401)"
    if 200 <= status < 300:
        return _judge_success(path, answer)
    if 400 <= status < 500:
        return _judge_refusal(path, answer)
    if 300 <= status < 400:
        return AWAIT, f"the service redirects ({status}); give the relay the address it redirects to"
    return LATER, f"the service answered {status}"


def _judge_refusal(path: str, answer: Answer) -> tuple[str, str]:
    """A 4xx must be the service's own, too: a proxy's page about a wrong address says nothing about this request."""
    said = _object(answer.body)
    mark = {LICENCES: "detail", METER_EVENTS: "error"}.get(_door(path), "code")
    if said is None or mark not in said:
        return AWAIT, f"a {answer.status} came back that is not the service's; is the address right?"
    if path != OWN and EARLY in answer.body:
        return LATER, "the service's clock is behind the relay's; set the clock"
    if answer.status == http.client.FORBIDDEN and path == OWN and said["code"] != CAPPED:
        return AWAIT, f"the service does not let the relay's meter key report: {said['code']}"
    return PARK, f"the service refused it with {answer.status}"


def _judge_success(path: str, answer: Answer) -> tuple[str, str]:
    """A 2xx must also look as the service's own does: whatever else listens at an address can say 200."""
    empty = path == EVENTS and answer.status == http.client.NO_CONTENT
    said = {} if empty else _object(answer.body)
    if said is None or (path == EVENTS and not empty):
        return AWAIT, f"a {answer.status} came back that is not the service's; is the address right?"
    if path != OWN:
        return DONE, ""
    results = said.get("results")
    if not isinstance(results, list):
        return AWAIT, "a receipt without results came back; is the address right?"
    lost = [each for each in results if not isinstance(each, dict) or each.get("status") not in COUNTED]
    if lost:
        example = _shown(json.dumps(lost[0]).encode())
        return PARK, f"{len(lost)} of {len(results)} events were not counted, such as {example}"
    return DONE, ""


def _door(path: str) -> str:
    return LICENCES if path.startswith(LICENCES) else path


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class Forwarder:
    """Sends what waits in an outbox, from threads of its own."""

    def __init__(
        self,
        outbox: Outbox,
        url: str,
        key: str,
        *,
        longest_pause: float = LONGEST_PAUSE,
        connections: int = CONNECTIONS,
    ) -> None:
        self.outbox = outbox
        self.forwarded = 0
        self.last_error = ""
        self.last_error_at = self.last_success_at = 0.0
        self._key, self._longest_pause = key, longest_pause
        self._connect, self._prefix = _connector(url)
        self._stop = threading.Event()
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(connections, "perimage-forward")
        self._thread = threading.Thread(target=self._run, name="perimage-forwarder", daemon=True)
        self._failures = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience: float = 5.0) -> None:
        """Stops after what is on its way. The rest waits on the disk."""
        self._stop.set()
        self.outbox.arrived.set()
        self._thread.join(patience)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if taken := self.outbox.take():
                    self._deliver(*taken)
                else:
                    self.outbox.arrived.wait(self.outbox.idle_seconds())
            except Exception as error:  # a disk that refuses, above all; nothing is forgotten by it
                self._note(f"forwarding failed: {error}")
                log.exception("forwarding failed; it goes on in a while")
                self._failures += 1
                self._stop.wait(self._pause(self._failures))

    def _deliver(self, file: File, requests: list[Held]) -> None:
        """Sends a file of requests until each is answered for, or the service has had its say about all of them."""
        while requests and not self._stop.is_set():
            left, away, asked = self._pass(requests)
            self._failures = 0 if len(left) < len(requests) else self._failures + 1
            file.requests, requests = len(left), left
            if left and not away:
                self.outbox.postpone(file, left, self._pause(file.postponed + 1, asked))
                return
            if left:
                pause = self._pause(self._failures, asked)
                log.warning("%d requests wait: %s; next try in %.1f s", len(left), self.last_error, pause)
                self._stop.wait(pause)
        if not requests:
            self.outbox.forget(file)

    def _pass(self, requests: list[Held]) -> tuple[list[Held], bool, float]:
        """Sends each once, until the service is away.

        What is left of them, whether it is away, and for how long it asked to be left alone.
        """
        away = threading.Event()
        asked = [0.0]

        def send(request: Held) -> str:
            if away.is_set() or self._stop.is_set():
                return AWAIT
            try:
                answer = self._send(request)
            except (OSError, http.client.HTTPException) as error:
                away.set()
                self._note(f"the service is out of reach: {error or type(error).__name__}")
                return AWAIT
            fate, why = judge(request.path, answer)
            if fate == PARK and self._is_key_unknown(request, answer):
                fate, why = AWAIT, "the service does not know the relay's meter key (403)"
            asked[0] = max(asked[0], answer.retry_after)
            if fate == DONE:
                self.last_success_at = time.time()
            elif fate == PARK:
                log.error("PARKED a request to %s: %s: %s", request.path, why, _shown(answer.body))
                self._note(f"parked: {why}")
                self.outbox.park(request, answer.status, answer.body)
            else:
                self._note(why)
                if fate == AWAIT:
                    away.set()
            return fate

        left: list[Held] = []
        for start in range(0, len(requests), AT_ONCE):
            some = requests[start : start + AT_ONCE]
            fates = list(self._pool.map(send, some))
            self.forwarded += fates.count(DONE)
            left += [each for each, fate in zip(some, fates, strict=True) if fate not in (DONE, PARK)]
        return left, away.is_set(), asked[0]

    def _is_key_unknown(self, request: Held, answer: Answer) -> bool:
        """Whether a 403 of the licence door is about the key, for which that protocol has no status of its own."""
        if answer.status != http.client.FORBIDDEN or not request.path.startswith(LICENCES):
            return False
        return self._exchange("GET", "/v1/usage?limit=1", b"", self._headers("")).status == http.client.UNAUTHORIZED

    def _send(self, request: Held) -> Answer:
        headers = self._headers(request.content_type)
        if request.path.startswith(LICENCES):
            headers["x-key"] = self._key
        if request.key:
            headers["Idempotency-Key"] = request.key
        return self._exchange("POST", request.path, request.body, headers)

    def _headers(self, content_type: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._key}", "User-Agent": "perimage-relay"}
        return {**headers, "Content-Type": content_type} if content_type else headers

    def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """One request and its answer, on this thread's connection; anew where it was closed while nobody used it."""
        connection = getattr(self._local, "connection", None)
        kept = connection is not None
        connection = connection or self._connect()
        self._local.connection = None
        try:
            answer = _ask(connection, method, self._prefix + path, body, headers)
        except (ConnectionError, http.client.BadStatusLine):
            connection.close()
            if not kept:
                raise
            return self._exchange(method, path, body, headers)
        except BaseException:
            connection.close()
            raise
        self._local.connection = connection
        return answer

    def _pause(self, failures: int, asked: float = 0.0) -> float:
        """How long to wait: what was asked for, else a random part of a span that doubles each time."""
        span: float = min(self._longest_pause, FIRST_PAUSE * 2.0 ** min(failures - 1, 20))
        return max(min(asked, LONGEST_ASKED), span * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret

    def _note(self, error: str) -> None:
        self.last_error, self.last_error_at = error, time.time()


def _connector(url: str) -> tuple[Callable[[], http.client.HTTPConnection], str]:
    """How to connect to the service, and the path that its address has already. Raises BadSettings."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username:
        raise BadSettings(f"the address of the service must be like https://perimage.example, not {url!r}")
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return lambda: http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context), parts.path.rstrip("/")
    return lambda: http.client.HTTPConnection(host, port, timeout=TIMEOUT), parts.path.rstrip("/")


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes, headers: dict[str, str]
) -> Answer:
    connection.request(method, path, body=body if method == "POST" else None, headers=headers)
    response = connection.getresponse()
    answer = response.read(MOST_ANSWER_BYTES + 1)
    if len(answer) > MOST_ANSWER_BYTES:
        raise http.client.HTTPException("an answer came back that is too long to be the service's")
    asked = response.getheader("Retry-After", "")
    return Answer(response.status, answer, float(asked) if asked.isascii() and asked.isdigit() else 0.0)


def _shown(body: bytes) -> str:
    return ascii(body[:300].decode("utf-8", "replace"))
