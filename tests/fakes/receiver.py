"""A real HTTP receiver of webhooks, which verifies what it gets with the package that customers use.

with Receiver(secret) as receiver:
    receiver.answers = [500, 200]
    ...
    assert receiver.ids == ["msg_1", "msg_1"]
"""

import ssl
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from standardwebhooks import Webhook


@dataclass
class Got:
    """One request: what it said, and whether its signature held."""

    path: str
    headers: dict[str, str]
    body: bytes
    verified: bool


class Receiver:
    """Answers each request with the next of `answers`, a status or "drip" or "silence", and the last one for ever."""

    def __init__(self, secret: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.secret, self.tls = secret, tls
        self.got: list[Got] = []
        self.answers: list[int | str] = [200]
        self.headers: dict[str, str] = {}
        self.text = b"thank you"

    @property
    def ids(self) -> list[str]:
        return [each.headers["webhook-id"] for each in self.got]

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    def __enter__(self) -> "Receiver":
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.take(self)

            do_GET = do_POST  # noqa: N815 - what a followed redirect would come as

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if self.tls:
            self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append(Got(request.path, headers, body, self._verified(body, headers)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            if answer == "silence":
                time.sleep(3)
            elif answer == "drip":
                self._drip(request)
            elif answer == "endless":
                self._endless(request)
            else:
                request.send_response(int(answer))
                for name, value in self.headers.items():
                    request.send_header(name, value)
                request.send_header("Content-Length", str(len(self.text)))
                request.end_headers()
                request.wfile.write(self.text)
        except OSError:
            pass  # the sender has had enough, as it should

    def _verified(self, body: bytes, headers: dict[str, str]) -> bool:
        try:
            Webhook(self.secret).verify(body, headers)
        except Exception:
            return False
        return True

    @staticmethod
    def _drip(request: BaseHTTPRequestHandler) -> None:
        """A header that never ends, a letter at a time."""
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(40):
            request.wfile.write(b"a")
            request.wfile.flush()
            time.sleep(0.1)

    def _endless(self, request: BaseHTTPRequestHandler) -> None:
        """A body without end, as fast as it is read."""
        self.written = 0
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        while True:
            self.written += request.wfile.write(b"x" * 65536)
