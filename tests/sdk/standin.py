"""A service for meters, in a dictionary: the identity rule and nothing else, and every fault that a test asks for.

It is the oracle too: it keeps every body it was sent, and what it would count of them.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from perimage._answers import Answer
from perimage._errors import NotSent

Judge = Callable[[dict[str, Any]], tuple[str, str] | None]


class StandIn:
    """Answers reports. `judge` may give an event another fate than the identity rule does; `faults` come first.

    A fault is a status to answer with instead, `(status, headers)`, "lost" (the report is taken, the answer is not
    given) or "away" (it is not even taken).
    """

    def __init__(self, judge: Judge | None = None, faults: Sequence[Any] = ()) -> None:
        self.judge = judge or (lambda _event: None)
        self.faults = list(faults)
        self.bodies: list[bytes] = []
        self.receipts: dict[str, bytes] = {}
        self.first_body: dict[str, bytes] = {}
        self.counted: dict[str, dict[str, Any]] = {}
        self.now: Callable[[], float] | None = None
        self._lock = threading.Lock()

    def report(self, body: bytes) -> Answer:
        """As a Way of the sender."""
        with self._lock:
            fault = self.faults.pop(0) if self.faults else None
            if fault == "away":
                raise NotSent("the stand-in is away")
            if isinstance(fault, Answer):
                return fault
            if isinstance(fault, int):
                return Answer(fault, b"no", {})
            if isinstance(fault, tuple):
                return Answer(fault[0], b"no", fault[1])
            answer = self._take(body)
            if fault == "lost":
                raise NotSent("the answer was lost")
            return answer

    def close(self) -> None:
        pass

    @property
    def images(self) -> int:
        return sum(event["image_count"] for event in self.counted.values())

    def images_of(self, name: str) -> Counter[str]:
        """Images by a field of the events."""
        found: Counter[str] = Counter()
        for event in self.counted.values():
            found[str(event.get(name))] += event["image_count"]
        return found

    def reports(self) -> list[dict[str, Any]]:
        """Every report that was sent, in order, repeats included."""
        return [json.loads(body) for body in self.bodies]

    def sequences(self) -> dict[tuple[str, int], set[str]]:
        """The report ids that each number of each source was used for."""
        found: dict[tuple[str, int], set[str]] = {}
        for report in self.reports():
            found.setdefault((report["source"], report["sequence"]), set()).add(report["report_id"])
        return found

    def _take(self, body: bytes) -> Answer:
        self.bodies.append(body)
        report = json.loads(body)
        headers = {"date": formatdate(self.now(), usegmt=True)} if self.now else {}
        known = self.first_body.setdefault(report["report_id"], body)
        if known != body:
            problem = {"code": "report_id_reused", "detail": "the report_id was used for another body"}
            return Answer(409, json.dumps(problem).encode(), headers)
        if report["report_id"] not in self.receipts:
            results = [self._judge(event) for event in report["events"]]
            self.receipts[report["report_id"]] = json.dumps(
                {"report_id": report["report_id"], "results": results, "image_count": 0}
            ).encode()
        return Answer(200, self.receipts[report["report_id"]], headers)

    def _judge(self, event: dict[str, Any]) -> dict[str, Any]:
        result = {"event_id": event["event_id"], "status": "accepted"}
        known = self.counted.get(event["event_id"])
        if known is not None:
            return {**result, "status": "duplicate" if known == event else "conflict", "code": "event_id_reused"}
        if fate := self.judge(event):
            return {**result, "status": fate[0], "code": fate[1], "message": "said the judge"}
        self.counted[event["event_id"]] = event
        return result


@contextmanager
def listening(standin: StandIn) -> Iterator[str]:
    """The stand-in on a port of this machine; its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                answer = standin.report(body)
            except NotSent:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name != "date":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
