"""One webhook, sent as Standard Webhooks say, to an address that was looked at first.

Whoever names an endpoint could name something inside our network. So the host is resolved once, every address that
comes back must be public, and the connection goes to just these: a resolver that answers otherwise a moment later is
not asked. Host, SNI and the certificate are checked by name all the same. Redirects are not followed, the whole
exchange has one deadline, and of the answer only its beginning is read.
"""

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpcore
import httpx
from standardwebhooks import Webhook

from core.notices.addresses import is_public
from core.notices.deliver import Outcome, Parcel, Result

PATIENCE = 15.0  # seconds for everything from the connection to the beginning of the answer
MOST_READ = 500  # bytes of an answer, for the log
MOST_ADDRESSES = 4
GONE = 410
Resolve = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, each once, in the order of the resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def body_of(parcel: Parcel) -> str:
    """What is sent: the same bytes at every attempt."""
    content = {"type": parcel.kind, "timestamp": parcel.told_at.astimezone(UTC).isoformat(), "data": parcel.data}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class NotSent(Exception):  # noqa: N818 - it says what happened
    """Why there was no answer: a sentence."""


def send_webhook(
    parcel: Parcel,
    *,
    allow_private: bool = False,
    resolve: Resolve = resolve,
    tls: ssl.SSLContext | None = None,
    patience: float = PATIENCE,
) -> Outcome:
    """Makes one attempt. Every way in which sending can fail is an outcome, none an exception."""
    began = time.monotonic()
    status: int | None = None
    result: Result
    try:
        url = httpx.URL(parcel.url)
        addresses = _where_to(url, resolve, allow_private=allow_private)
        status, said = _post(PinnedBackend(addresses, began + patience), url, parcel, tls or _tls())
        result, said = _judged(status, said)
    except httpcore.TimeoutException:
        result, said = "failed", f"no answer within {patience:g} seconds"
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
        result, said = "failed", f"no answer: {error or type(error).__name__}"
    except (NotSent, httpx.InvalidURL) as error:
        result, said = "failed", str(error)
    return Outcome(result, said, status, int((time.monotonic() - began) * 1000))


def _where_to(url: httpx.URL, resolve: Resolve, *, allow_private: bool) -> Sequence[str]:
    """The addresses to connect to. The host is resolved here and never again."""
    if url.scheme != "https" and not allow_private:
        raise NotSent("webhooks go to https addresses only")
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        addresses = resolve(url.raw_host.decode().strip("[]"), port)
    except (OSError, UnicodeError) as error:
        raise NotSent(f"the host has no address: {error}") from None
    inside = [address for address in addresses if not is_public(address)]
    if inside and not allow_private:
        raise NotSent(f"the host has an address that is not public: {inside[0]}")
    return addresses[:MOST_ADDRESSES]


def _judged(status: int, beginning: str) -> tuple[Result, str]:
    if 200 <= status < 300:
        return "delivered", beginning
    if status == GONE:
        return "gone", beginning or "the endpoint says that it is gone"
    if 300 <= status < 400:
        return "failed", "it answered with a redirect, and none is followed"
    return "failed", beginning


def _post(backend: "PinnedBackend", url: httpx.URL, parcel: Parcel, tls: ssl.SSLContext) -> tuple[int, str]:
    """The status and the beginning of the answer; a body that does not come is no reason to send again."""
    body, now = body_of(parcel), datetime.now(UTC)
    headers = {
        "Host": url.netloc.decode(),
        "Content-Type": "application/json",
        "User-Agent": "Perimage",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "webhook-id": parcel.message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(
            Webhook(secret).sign(parcel.message_id, now, body)
            for secret in (parcel.secret, parcel.former_secret)
            if secret
        ),
    }
    target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    with (
        httpcore.ConnectionPool(ssl_context=tls, network_backend=backend) as pool,
        pool.stream("POST", target, headers=headers, content=body.encode()) as answer,
    ):
        read = b""
        try:
            for piece in answer.iter_stream():
                read += piece
                if len(read) >= MOST_READ:
                    break
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
            pass
        return answer.status, read[:MOST_READ].decode("utf-8", "replace")


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


class PinnedBackend(httpcore.NetworkBackend):
    """Connects to the addresses it was given, whatever name it is told, and to nothing after its deadline."""

    def __init__(self, addresses: Sequence[str], deadline: float) -> None:
        self.addresses, self.deadline = addresses, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self.addresses:
            try:
                stream = httpcore.SyncBackend().connect_tcp(address, port, timeout=_left(self.deadline))
            except httpcore.ConnectError as error:
                failure = error
            else:
                return DeadlineStream(stream, self.deadline)
        raise failure


class DeadlineStream(httpcore.NetworkStream):
    """A stream on which every wait ends at one instant: who sends a byte now and then gains nothing by it."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self.stream, self.deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, _left(self.deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, _left(self.deadline))

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self.stream.start_tls(ssl_context, server_hostname, _left(self.deadline))
        return DeadlineStream(secured, self.deadline)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time is over")
    return left
