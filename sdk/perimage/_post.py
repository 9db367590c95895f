"""One exchange with the service: the bytes go out as they are stored, the answer comes back as it is.

httpx is imported here, in the thread that sends, when there is something to send: never by `import perimage`. A
connection is kept as long as all goes well on it; after anything but a 200 a new one is made, so that whatever a
broken proxy may still send on the old one is never taken for the answer to another report.
"""

from typing import TYPE_CHECKING, Any

from perimage import _kill_points
from perimage._answers import Answer
from perimage._errors import NotSent
from perimage._lock import quiet

if TYPE_CHECKING:
    import httpx

PATH = "/v1/usage-reports"
CONNECT_SECONDS = 5.0


class Unreachable(NotSent):
    """There was no answer. Whether the service took the report is not known."""


class Post:
    """The way to the service. For one thread."""

    def __init__(self, url: str, key: str, timeout: float) -> None:
        self.url, self._key, self._timeout = url, key, timeout
        self._client: httpx.Client | None = None

    def report(self, body: bytes) -> Answer:
        """Sends a report. Raises Unreachable."""
        client = self._open()
        import httpx  # noqa: PLC0415

        extensions: dict[str, Any] = {}
        if _kill_points.armed == "after_send_before_reply":
            extensions["trace"] = _die_when_sent
        try:
            response = client.post(PATH, content=body, extensions=extensions)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self.close()
            raise Unreachable(f"{self.url} gave no answer ({type(error).__name__}: {error})") from None
        if response.status_code != 200:
            self.close()
        return Answer(response.status_code, response.content, {k.lower(): v for k, v in response.headers.items()})

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _open(self) -> "httpx.Client":
        if self._client is None:
            with quiet:
                import httpx  # noqa: PLC0415

                self._client = httpx.Client(
                    base_url=self.url,
                    headers={
                        "Authorization": f"Bearer {self._key}",
                        "Content-Type": "application/json",
                        "User-Agent": "perimage-meter/0.1",
                    },
                    timeout=httpx.Timeout(self._timeout, connect=min(CONNECT_SECONDS, self._timeout)),
                    limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=30.0),
                )
        return self._client


def _die_when_sent(event: str, _info: object) -> None:
    if event == "http11.send_request_body.complete":
        _kill_points.kill_point("after_send_before_reply")
