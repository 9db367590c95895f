"""Middleware for Starlette, FastAPI and every other ASGI application: counts the images of answers that succeeded.

app.add_middleware(MeterMiddleware, meter=meter, models={"/v1/anima": "anima-1"})

A route says how many images it made in one of two ways:

- by a header of its response, which never leaves the server: `Perimage-Images: 4`, and where no mapping names the
  model, `Perimage-Model: anima-1`; optionally `Perimage-Plan` and `Perimage-Adapters` (names with commas between);
- or by a call: `meter_images(request.scope, "anima-1", images=4, plan="free")`.

Counted is what was answered with a status of 2xx and sent whole. The meter is told after the last byte has been sent,
so it delays nothing; nothing of the response is changed but those headers, which are taken off.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

from perimage.integrations._images import Recorder, arecord, facts_of, log

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

IMAGES, MODEL, PLAN, ADAPTERS = (b"perimage-images", b"perimage-model", b"perimage-plan", b"perimage-adapters")
MOST_DIGITS = 9
_PLACE = "perimage.images"
_SUCCESS = range(200, 300)


class _Made(NamedTuple):
    model: str
    images: int
    facts: Mapping[str, Any]


def meter_images(
    scope: Scope,
    model: str,
    *,
    images: int,
    adapters: Sequence[str] | None = None,
    plan: str | None = None,
    output: str | None = None,
) -> None:
    """Says in a route what it has made; counted if the answer succeeds. May be called several times."""
    made = scope.get(_PLACE)
    if made is None:
        log.error("%s images of %s were NOT counted: there is no MeterMiddleware around this route", images, model)
        return
    made.append(_Made(model, images, facts_of(adapters, plan, output)))


class MeterMiddleware:
    """Counts what the application's responses say they hold.

    `models` names the model of a response whose header names none: one name for all, or names by path; of several
    paths that fit, the longest.
    """

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        meter: Recorder,
        models: str | Mapping[str, str] = "",
    ) -> None:
        self.app, self.meter = app, meter
        paths = {"/": models} if isinstance(models, str) else models
        self._models = sorted(paths.items(), key=lambda path: len(path[0]), reverse=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        made: list[_Made] = []
        scope[_PLACE] = made
        status, whole = 0, False

        async def sending(message: Message) -> None:
            nonlocal status, whole
            kind = message["type"]
            if kind == "http.response.start":
                status = message["status"]
                message, stripped = _without_ours(message)
                if stripped and status in _SUCCESS:
                    made.extend(self._made_by_header(scope["path"], stripped))
            await send(message)
            last = kind == "http.response.pathsend" or (
                kind in ("http.response.body", "http.response.zerocopysend") and not message.get("more_body")
            )
            if last and not whole and status in _SUCCESS:
                whole = True
                for model, images, facts in made:
                    await arecord(self.meter, model, images, facts)

        await self.app(scope, receive, sending)

    def _made_by_header(self, path: str, headers: Mapping[bytes, list[str]]) -> list[_Made]:
        """What the headers say, or nothing and a word in the log why not."""
        numbers = headers.get(IMAGES, [])
        models = headers.get(MODEL) or [name for prefix, name in self._models if _is_within(path, prefix)][:1]
        if len(numbers) != 1 or not numbers[0].isascii() or not numbers[0].isdigit() or len(numbers[0]) > MOST_DIGITS:
            log.error("images of %s were NOT counted: it must say Perimage-Images once, as a whole number", path)
            return []
        if len(models) != 1 or not models[0]:
            log.error("images of %s were NOT counted: no model; add it to models= or send Perimage-Model", path)
            return []
        adapters = [name.strip() for line in headers.get(ADAPTERS, []) for name in line.split(",") if name.strip()]
        plan = "".join(headers.get(PLAN, [])[:1])
        return [_Made(models[0], int(numbers[0]), facts_of(adapters, plan or None, None))]


def _without_ours(message: Message) -> tuple[Message, dict[bytes, list[str]]]:
    """The start of a response without our headers, and what they said."""
    ours: dict[bytes, list[str]] = {}
    others = []
    for name, value in message.get("headers", ()):
        if name.lower() in (IMAGES, MODEL, PLAN, ADAPTERS):
            ours.setdefault(name.lower(), []).append(value.decode("utf-8", "replace").strip())
        else:
            others.append((name, value))
    return ({**message, "headers": others}, ours) if ours else (message, ours)


def _is_within(path: str, prefix: str) -> bool:
    prefix = prefix.rstrip("/")
    return path == prefix or path.startswith(prefix + "/")
