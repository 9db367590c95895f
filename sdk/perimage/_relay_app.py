"""What the relay answers: who may ask, the doors, the simple record, and how it is doing."""

import asyncio
import hmac
import html
import logging
import time
from base64 import b64decode
from contextlib import suppress
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import urlsplit

from perimage._clock import instant
from perimage._errors import BadUsage, SpoolError, SpoolFull
from perimage._relay_doors import Times, door_at, problem, read_json
from perimage._relay_forward import Forwarder
from perimage._relay_http import Reply, Request, Unreadable
from perimage._relay_spool import Held, Outbox
from perimage._usage import as_json

log = logging.getLogger("perimage.relay")
RECORD, HEALTH, PAGE = "/v1/record", "/healthz", "/"
FIELDS = ("model", "images", "adapters", "plan", "output", "occurred_at")
RETRY_SECONDS = 10
MOST_TOGETHER = 512  # requests in one flush


class Counter(Protocol):
    """What the relay asks of its meter: `record` raises where nothing was taken."""

    def record(self, model: str, images: int, **facts: Any) -> str: ...
    def stats(self) -> Any: ...


class Keeper:
    """Flushes what has gathered while the flush before was under way, so that many senders share one."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._waiting: list[tuple[Held, asyncio.Future[None]]] = []
        self._flushing = False

    async def keep(self, request: Held) -> None:
        """Returns when it is on the disk. Raises SpoolError or OSError."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, done))
        if not self._flushing:
            self._flushing = True
            asyncio.create_task(self._flush())  # noqa: RUF006 - `done` waits for it
        await done

    async def _flush(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            failed: Exception | None = None
            try:
                await asyncio.to_thread(self._outbox.keep, [request for request, _ in group])
            except Exception as error:
                failed = error
            for _, done in group:
                if not done.done():
                    done.set_exception(failed) if failed else done.set_result(None)
        self._flushing = False


class Relay:
    """Handles requests. `token`: what senders must show; nothing where it listens on loopback alone."""

    def __init__(
        self, outbox: Outbox, forwarder: Forwarder, meter: Counter, *, url: str, token: str = "", remote: bool = False
    ) -> None:
        self.outbox, self.forwarder, self.meter, self.url = outbox, forwarder, meter, url
        self.taken = self.refused = 0
        self._token, self._remote = token, remote
        self._keeper, self._times = Keeper(outbox), Times()

    async def handle(self, request: Request) -> Reply:
        """The answer to a request; Unreadable where there is none but a refusal."""
        self._check_sender(request)
        if request.path in (PAGE, HEALTH):
            if request.method not in ("GET", "HEAD"):
                return self._not_allowed("GET, HEAD")
            return self._page() if request.path == PAGE else self._health(known=self._is_known(request))
        door = door_at(request.path)
        if door is None and request.path != RECORD:
            raise Unreadable(404, "not_found", "the relay has no such address; see docs/integrate/relay.md")
        if request.method != "POST":
            return self._not_allowed("POST")
        if request.query:
            raise Unreadable(400, "unexpected_query", "leave out the query; everything is in the body")
        try:
            if door is None:
                reply = await self._record(request)
            else:
                taken = door.read(request, time.time(), self._times)
                await self._keeper.keep(taken.held)
                reply = taken.reply
        except (SpoolError, OSError) as error:
            log.error("a request to %s was NOT taken: %s", request.path, error)
            code = "spool_full" if isinstance(error, SpoolFull) else "spool_failed"
            raise Unreadable(503, code, f"nothing was taken: {error}; send it again later") from None
        self.taken += 1
        return reply

    def refuse(self, error: Unreadable, path: str) -> Reply:
        """A refusal in the words of the door it was sent to."""
        self.refused += 1
        door = door_at(path)
        reply = door.refuse(error) if door else problem(error)
        if error.status == 503:
            reply.headers["Retry-After"] = str(RETRY_SECONDS)
        if error.status == 401:
            reply.headers["WWW-Authenticate"] = 'Bearer realm="perimage relay"'
        return reply

    def _not_allowed(self, allowed: str) -> Reply:
        reply = problem(Unreadable(405, "method_not_allowed", f"this address takes {allowed}"))
        reply.headers["Allow"] = allowed
        return reply

    def _check_sender(self, request: Request) -> None:
        """Refuses whoever lacks the token, and web pages: a browser on this machine reaches loopback, too."""
        if request.method == "POST" and ("origin" in request.headers or "sec-fetch-site" in request.headers):
            raise Unreadable(403, "from_a_browser", "the relay takes nothing from web pages")
        if not self._remote and not _is_loopback(request.headers.get("host", "localhost")):
            raise Unreadable(403, "wrong_host", "address the relay as 127.0.0.1 or localhost")
        if not self._is_known(request) and request.path != HEALTH:
            raise Unreadable(401, "unauthenticated", "show the relay's token as bearer token or in x-key")

    def _is_known(self, request: Request) -> bool:
        shown = _credentials(request).encode("utf-8", "surrogateescape")
        return not self._token or hmac.compare_digest(shown, self._token.encode())

    async def _record(self, request: Request) -> Reply:
        """So many images, through the relay's own meter, which adds them up."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Unreadable(415, "unsupported_content_type", "send the body with Content-Type: application/json")
        said = read_json(request.body, strict=True)
        if not isinstance(said, dict) or not set(said) <= set(FIELDS) or not {"model", "images"} <= set(said):
            raise Unreadable(422, "invalid_record", f"the body must have model and images, and may have {FIELDS[2:]}")
        facts = {name: value for name, value in said.items() if name not in ("model", "images") and value is not None}
        try:
            if "occurred_at" in facts:
                facts["occurred_at"] = _time(facts["occurred_at"])
            event_id = await asyncio.to_thread(self.meter.record, said["model"], said["images"], **facts)
        except BadUsage as error:
            raise Unreadable(422, "invalid_record", str(error)) from None
        return Reply(202, as_json({"event_id": event_id, "status": "spooled"}))

    def status(self) -> dict[str, Any]:
        """How the relay is doing."""
        waiting, oldest = self.outbox.waiting()
        used, most = self.outbox.room()
        meter = self.meter.stats()
        lacks = self.outbox.lacks()
        return {
            "status": "full" if lacks else "ok",
            "lacks": lacks,
            "service": self.url,
            "pending": waiting,
            "oldest_age_seconds": round(max(0.0, time.time() - oldest), 1) if oldest else 0.0,
            "parked": self.outbox.parked,
            "spool_bytes": used,
            "max_spool_bytes": most,
            "taken": self.taken,
            "refused": self.refused,
            "forwarded": self.forwarder.forwarded,
            "last_error": self.forwarder.last_error,
            "last_error_at": _at(self.forwarder.last_error_at),
            "last_success_at": _at(self.forwarder.last_success_at),
            "meter_pending_events": meter.pending_events + meter.gathering,
            "meter_parked": meter.parked,
            "meter_last_error": meter.last_error,
        }

    def _health(self, *, known: bool) -> Reply:
        """All of it for those who show the token; for a load balancer, whether anything is taken."""
        status = self.status()
        code = 200 if status["status"] == "ok" else 503
        return Reply(code, as_json(status if known else {"status": status["status"]}))

    def _page(self) -> Reply:
        rows = "".join(
            f"<tr><th align=left>{html.escape(name.replace('_', ' '))}</th><td>{html.escape(str(value))}</td></tr>\n"
            for name, value in self.status().items()
        )
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
            f"<title>Perimage relay</title></head><body><h1>Perimage relay</h1><table>\n{rows}</table>"
            "<p>Pending requests are on the disk and are forwarded as soon as the service takes them. "
            "Parked ones were refused by it and wait for you.</p></body></html>\n"
        )
        headers = {"Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-store"}
        return Reply(200, page.encode(), "text/html; charset=utf-8", headers)


def _is_loopback(host: str) -> bool:
    """Whether a Host header names this machine to itself. A name of somebody's that points here does not."""
    with suppress(ValueError):
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    return False


def _credentials(request: Request) -> str:
    """What the sender shows, wherever its protocol has a place for it."""
    if "x-key" in request.headers:
        return request.headers["x-key"]
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return shown.strip()
    if scheme.lower() == "basic":
        with suppress(ValueError):
            return b64decode(shown, validate=True).decode().partition(":")[0]
    return ""


def _time(text: Any) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise BadUsage("occurred_at must be an RFC 3339 time with its zone, or be left out") from None


def _at(seconds: float) -> str:
    return instant(int(seconds * 1_000_000)) if seconds else ""
