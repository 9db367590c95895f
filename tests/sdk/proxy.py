"""A proxy that misbehaves on request, between a meter and a real service.

lost         the service takes the report, the answer is dropped
reset        the connection breaks before anything is passed on
cut          half of the answer, then the end of the connection
twice        the report is passed on two times, the second answer comes back
echo         the answer comes back two times on the same connection
slow         the answer takes longer than the meter waits
page         200 with a page of somebody else's
500, 502     an error of its own; 500-after: after the service took the report
429          too many, with Retry-After: 1
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx


class Proxy:
    """Passes requests on to `target`, each with the next fault of the list."""

    def __init__(self, target: str, faults: Sequence[str] = ()) -> None:
        self.target = target
        self.faults = list(faults)
        self.passed = 0
        self.done: list[str] = []
        self.address = ""
        self._lock = threading.Lock()

    def next_fault(self) -> str:
        with self._lock:
            fault = self.faults.pop(0) if self.faults else ""
            self.done.append(fault)
            return fault

    def pass_on(self, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        self.passed += 1
        return httpx.post(self.target + path, headers=headers, content=body, timeout=20)


@contextmanager
def misbehaving(proxy: Proxy) -> Iterator[Proxy]:
    """The proxy on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name: self.headers[name] for name in ("Authorization", "Content-Type") if self.headers[name]}
            fault = proxy.next_fault()
            if fault == "reset":
                self.hang_up()
            elif fault in ("500", "502"):
                self.answer(int(fault), b"<html>no</html>")
            elif fault == "429":
                self.answer(429, b"slowly", **{"Retry-After": "1"})
            elif fault == "page":
                self.answer(200, b"<html>Welcome to the airport</html>")
            else:
                try:
                    response = proxy.pass_on(self.path, headers, body)
                    if fault == "twice":
                        response = proxy.pass_on(self.path, headers, body)
                except httpx.HTTPError:
                    self.hang_up()
                else:
                    self.answer_with(response, fault)

        def answer_with(self, response: httpx.Response, fault: str) -> None:
            """What the service said, or what becomes of it."""
            if fault == "lost":
                return self.hang_up()
            if fault == "500-after":
                return self.answer(500, b"<html>no</html>")
            if fault == "slow":
                time.sleep(3)
            kept = {name: value for name, value in response.headers.items() if name in ("date", "retry-after")}
            if fault == "cut":
                self.answer(response.status_code, response.content, length=len(response.content) * 2, **kept)
                return self.hang_up()
            self.answer(response.status_code, response.content, **kept)
            if fault == "echo":
                self.answer(response.status_code, response.content, **kept)
            return None

        def answer(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
            try:
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()
            except OSError:
                self.hang_up()

        def hang_up(self) -> None:
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    proxy.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
