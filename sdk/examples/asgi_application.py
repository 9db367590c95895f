"""A Starlette application whose answers are counted; FastAPI is the same, since it is Starlette.

PERIMAGE_URL=http://127.0.0.1:8765 PERIMAGE_KEY=pmk_... uvicorn asgi_application:app
"""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import perimage
from perimage.integrations.asgi import MeterMiddleware, meter_images
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

spool = os.environ.get("PERIMAGE_SPOOL_DIR") or tempfile.mkdtemp()
meter = perimage.Meter(os.environ["PERIMAGE_URL"], os.environ["PERIMAGE_KEY"], spool_dir=spool)
MODEL = os.environ.get("MODEL", "anima-1")


async def by_header(request: Request) -> JSONResponse:
    return JSONResponse({"images": ["a.png", "b.png", "c.png", "d.png"]}, headers={"Perimage-Images": "4"})


async def by_call(request: Request) -> JSONResponse:
    images = [f"{n}.png" for n in range(6)]
    meter_images(request.scope, MODEL, images=len(images), plan="free")
    return JSONResponse({"images": images})


async def failing(request: Request) -> JSONResponse:
    meter_images(request.scope, MODEL, images=100)
    return JSONResponse({"error": "out of memory"}, status_code=503)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    yield
    meter.flush(timeout=10)
    meter.close()


app = Starlette(
    routes=[Route("/header", by_header), Route("/call", by_call), Route("/failing", failing)], lifespan=lifespan
)
app.add_middleware(MeterMiddleware, meter=meter, models={"/header": MODEL})
