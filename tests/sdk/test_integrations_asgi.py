"""The middleware counts answers that succeeded and were sent whole, and changes nothing but its own headers."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from perimage.integrations.asgi import MeterMiddleware, meter_images
from starlette.background import BackgroundTask

Noted = list[tuple[str, int, dict[str, Any]]]


class Notebook:
    """A meter that writes down what it is told, and when."""

    def __init__(self) -> None:
        self.noted: Noted = []
        self.events: list[str] = []

    def record(self, model: str, *, images: int, **facts: Any) -> str:
        self.noted.append((model, images, facts))
        self.events.append("recorded")
        return "id"


@pytest.fixture
def meter() -> Notebook:
    return Notebook()


def application(meter: Notebook) -> FastAPI:
    app = FastAPI()
    app.add_middleware(MeterMiddleware, meter=meter, models={"/anima": "anima-1", "/anima/tuned": "anima-1-tuned"})

    @app.get("/anima")
    @app.get("/anima/tuned/x")
    @app.get("/other")
    def by_header(request: Request, status: int = 200) -> JSONResponse:
        told = {name: value for name, value in request.headers.items() if name.startswith("perimage-")}
        return JSONResponse({"ok": True}, status, {"Perimage-Images": "4", "X-Kept": "yes", **told})

    @app.get("/call")
    def by_call(request: Request, status: int = 200) -> JSONResponse:
        meter_images(request.scope, "anima-1", images=2, plan="free", adapters=["grain"])
        meter_images(request.scope, "sd-1", images=3)
        return JSONResponse({}, status)

    @app.get("/stream")
    def stream(request: Request, fail: bool = False) -> StreamingResponse:
        def body() -> Any:
            yield b"one"
            meter_images(request.scope, "anima-1", images=1)
            if fail:
                raise MemoryError
            yield b"two"

        return StreamingResponse(body(), background=BackgroundTask(lambda: meter.events.append("background")))

    @app.get("/error")
    def error(request: Request) -> None:
        meter_images(request.scope, "anima-1", images=9)
        raise MemoryError

    return app


def get(app: Callable[..., Any], path: str, **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
            return await client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return asyncio.run(ask())


def test_a_header_is_counted_under_the_model_of_its_path_and_taken_off(meter: Notebook):
    response = get(application(meter), "/anima")
    assert meter.noted == [("anima-1", 4, {})]
    assert not [name for name in response.headers if name.startswith("perimage")]
    assert response.headers["x-kept"] == "yes" and response.json() == {"ok": True}
    get(application(meter), "/anima/tuned/x")
    assert meter.noted[-1] == ("anima-1-tuned", 4, {})


def test_headers_can_say_everything(meter: Notebook):
    told = {"perimage_model": "sd-1", "perimage_plan": "free", "perimage_adapters": "grain, urn:air:sd1:lora:x:1@2"}
    response = get(application(meter), "/anima", **told)
    assert meter.noted == [("sd-1", 4, {"adapters": ["grain", "urn:air:sd1:lora:x:1@2"], "plan": "free"})]
    assert not [name for name in response.headers if name.startswith("perimage")]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/other", {}),
        ("/animal", {}),
        *[("/anima", {"perimage_images": bad}) for bad in ("-1", "1.5", "four", "", "1e3", "９", "9" * 10)],
    ],
)
def test_a_header_that_is_not_clear_is_said_in_the_log(
    meter: Notebook, path: str, told: dict[str, str], caplog: pytest.LogCaptureFixture
):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        images = told.get("perimage_images", "4").encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"Perimage-Images", images)]})
        await send({"type": "http.response.body", "body": b"whole"})

    response = get(MeterMiddleware(app, meter, {"/anima": "anima-1"}), path)
    assert (response.content, meter.noted) == (b"whole", [])
    assert "NOT counted" in caplog.text and "perimage-images" not in response.headers


def test_a_route_may_call_instead(meter: Notebook):
    get(application(meter), "/call")
    assert meter.noted == [("anima-1", 2, {"adapters": ["grain"], "plan": "free"}), ("sd-1", 3, {})]


@pytest.mark.parametrize("path", ["/anima?status=500", "/call?status=404", "/call?status=304", "/error"])
def test_an_answer_that_did_not_succeed_counts_nothing(meter: Notebook, path: str):
    response = get(application(meter), path)
    assert response.status_code >= 300 and meter.noted == []
    assert "perimage-images" not in response.headers


def test_a_stream_is_counted_when_its_last_byte_was_sent_and_before_what_follows(meter: Notebook):
    response = get(application(meter), "/stream")
    assert (response.text, meter.noted) == ("onetwo", [("anima-1", 1, {})])
    assert meter.events == ["recorded", "background"]


def test_a_stream_that_breaks_off_counts_nothing(meter: Notebook):
    get(application(meter), "/stream?fail=true")
    assert meter.noted == []


def test_the_messages_go_through_untouched_and_at_once(meter: Notebook):
    sent: list[Any] = []
    messages = [
        {"type": "http.response.start", "status": 200, "headers": [(b"a", b"1")], "trailers": False},
        {"type": "http.response.body", "body": b"one", "more_body": True},
        {"type": "http.response.body", "body": b""},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        meter_images(scope, "anima-1", images=1)
        for number, message in enumerate(messages, 1):
            await send(message)
            assert len(sent) == number

    async def send(message: Any) -> None:
        assert meter.noted == [], "the meter was told before the last byte was sent"
        sent.append(message)

    asyncio.run(MeterMiddleware(app, meter)({"type": "http", "path": "/"}, None, send))
    assert all(one is other for one, other in zip(sent, messages, strict=True)) and meter.noted == [("anima-1", 1, {})]


def test_what_is_not_http_passes_by(meter: Notebook, caplog: pytest.LogCaptureFixture):
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        meter_images(scope, "anima-1", images=1)
        seen.append((receive, send))

    asyncio.run(MeterMiddleware(app, meter)({"type": "websocket"}, "receive", "send"))  # type: ignore[arg-type]
    assert seen == [("receive", "send")] and meter.noted == [] and "no MeterMiddleware" in caplog.text
