"""A small and strict HTTP/1.1 server on asyncio: what the relay listens with.

It reads one way only, so that nobody in front of it can read the same bytes otherwise: a length must be given, once and
in digits; no chunks, no folded headers, no bare line feeds. Every wait has an end, and every store a bound: heads,
bodies, connections, and the bodies of all connections together.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

log = logging.getLogger("perimage.relay")
MOST_HEAD_BYTES = 16 << 10
MOST_HEADERS = 64
LINGER_BYTES = 32 << 20

_REQUEST = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([ -~\x80-\xff\t]*)")
_LENGTH = re.compile(rb"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take up. Times in seconds."""

    body_bytes: int = 1 << 20
    bodies_bytes: int = 16 << 20  # of all connections together
    connections: int = 256
    idle: float = 60.0  # between two requests of a connection
    head: float = 10.0  # from the first byte of a head to its last
    body: float = 30.0
    write: float = 10.0
    linger: float = 2.0  # for the rest of what was refused


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was read whole. Header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    def on_the_wire(self, *, keep: bool, with_body: bool) -> bytes:
        headers = {**self.headers, "Connection": "keep-alive" if keep else "close"}
        if self.status != HTTPStatus.NO_CONTENT:
            headers |= {"Content-Type": self.content_type, "Content-Length": str(len(self.body))}
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (self.body if with_body else b"")


class Unreadable(Exception):  # noqa: N818 - named for what is wrong
    """A request that is not taken, before anybody looked at what it says."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.code, self.sentence = status, code, sentence


class Gone(Exception):  # noqa: N818
    """The client has left, or says nothing."""


Handler = Callable[[Request], Awaitable[Reply]]
Refuse = Callable[[Unreadable, str], Reply]


class HttpServer:
    """Serves a handler. `refuse` puts into words what could not be read; it is told the path, where that was read."""

    def __init__(self, handler: Handler, refuse: Refuse, limits: Limits) -> None:
        self.limits = limits
        self._handler, self._refuse = handler, refuse
        self._connections: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.Task[None]] = set()
        self._bodies = 0
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listens, and says where."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=MOST_HEAD_BYTES, backlog=128)
        address = self._server.sockets[0].getsockname()
        return address[0], address[1]

    async def stop(self, patience: float = 5.0) -> None:
        """Takes no more, and waits for what is being answered."""
        if self._server:
            self._server.close()
        for task in self._idle:
            task.cancel()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=patience)
            for task in late:
                task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio calls this in a task
        try:
            if len(self._connections) >= self.limits.connections:
                busy = Unreadable(503, "too_many_connections", "the relay has too many connections; try again")
                await self._write(writer, self._refuse(busy, ""), keep=False)
                return
            self._connections.add(task)
            while await self._one(reader, writer, task):
                pass
        except (Gone, OSError, asyncio.CancelledError):
            pass
        except Exception:
            log.exception("a connection failed")
        finally:
            self._connections.discard(task)
            self._idle.discard(task)
            writer.close()

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: "asyncio.Task[None]"
    ) -> bool:
        """One request and its answer. Whether the connection may have another."""
        path, with_body, reserved = "", True, 0
        try:
            head = await self._head(reader, task)
            request, length, keep = read_head(head)
            path, with_body = request.path, request.method != "HEAD"
            if length > self.limits.body_bytes:
                raise Unreadable(413, "body_too_large", f"the body may have at most {self.limits.body_bytes:,} bytes")
            if self._bodies + length > self.limits.bodies_bytes:
                raise Unreadable(503, "busy", "the relay is reading too much at once; try again")
            reserved = length
            self._bodies += reserved
            body = await self._body(reader, writer, request, length)
            reply = await self._handler(Request(request.method, path, request.query, request.headers, body))
        except Unreadable as error:
            await self._write(writer, self._refuse(error, path), keep=False, with_body=with_body)
            await self._linger(reader)
            return False
        finally:
            self._bodies -= reserved
        await self._write(writer, reply, keep=keep, with_body=with_body)
        return keep

    async def _head(self, reader: asyncio.StreamReader, task: "asyncio.Task[None]") -> bytes:
        """All up to the empty line. The first byte may be waited for longer than the rest."""
        self._idle.add(task)
        try:
            async with asyncio.timeout(self.limits.idle):
                first = await reader.readexactly(1)
        except (TimeoutError, asyncio.IncompleteReadError):
            raise Gone from None
        finally:
            self._idle.discard(task)
        try:
            async with asyncio.timeout(self.limits.head):
                return first + await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            raise Unreadable(408, "too_slow", "the request did not arrive in time") from None
        except asyncio.LimitOverrunError:
            raise Unreadable(431, "head_too_large", f"the head has more than {MOST_HEAD_BYTES:,} bytes") from None
        except asyncio.IncompleteReadError:
            raise Gone from None

    async def _body(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request, length: int
    ) -> bytes:
        if expected := request.headers.get("expect"):
            if expected.lower() != "100-continue":
                raise Unreadable(417, "unknown_expectation", "Expect may be 100-continue, or be left out")
            if length:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not length:
            return b""
        try:
            async with asyncio.timeout(self.limits.body):
                return await reader.readexactly(length)
        except TimeoutError:
            raise Unreadable(408, "too_slow", "the body did not arrive in time") from None
        except asyncio.IncompleteReadError:
            raise Gone from None

    async def _write(self, writer: asyncio.StreamWriter, reply: Reply, *, keep: bool, with_body: bool = True) -> None:
        writer.write(reply.on_the_wire(keep=keep, with_body=with_body))
        try:
            async with asyncio.timeout(self.limits.write):
                await writer.drain()
        except TimeoutError:
            writer.transport.abort()
            raise Gone from None

    async def _linger(self, reader: asyncio.StreamReader) -> None:
        """Lets the rest of a refused request run out, so that its sender gets to read why."""
        left = LINGER_BYTES
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(self.limits.linger):
                while left > 0 and (data := await reader.read(64 << 10)):
                    left -= len(data)


def read_head(head: bytes) -> tuple[Request, int, bool]:
    """What a head says: the request without its body, the body's length, and whether the connection stays.

    Raises Unreadable.
    """
    first, *lines = head[:-4].split(b"\r\n")
    found = _REQUEST.fullmatch(first)
    if not found:
        raise Unreadable(400, "bad_request", "the first line must be like: POST /v1/record HTTP/1.1")
    method, target, minor = found[1].decode(), found[2].decode(), found[3]
    if len(lines) > MOST_HEADERS:
        raise Unreadable(431, "head_too_large", f"a request may have at most {MOST_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if not header:
            raise Unreadable(400, "bad_header", "a header is malformed")
        name, value = header[1].decode().lower(), header[2].decode("latin-1").strip()
        if name in headers and name in ("host", "content-length", "content-type", "idempotency-key", "authorization"):
            raise Unreadable(400, "bad_header", f"{name} is given twice")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if "host" not in headers and minor == b"1":
        raise Unreadable(400, "bad_header", "there is no Host")
    if "transfer-encoding" in headers:
        raise Unreadable(411, "length_required", "send the body with Content-Length, not in chunks")
    length = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(length.encode("latin-1")):
        raise Unreadable(400, "bad_length", "Content-Length must be a whole number, in digits only")
    keep = minor == b"1" and "close" not in headers.get("connection", "").lower()
    path, _, query = target.partition("?")
    return Request(method, path, query, headers), int(length), keep
