"""A generation function with a decorator, and a block with a context manager.

PERIMAGE_URL=http://127.0.0.1:8765 PERIMAGE_KEY=pmk_... python decorated_function.py
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress

import perimage
from perimage.integrations.functions import counted, counting

spool = os.environ.get("PERIMAGE_SPOOL_DIR") or tempfile.mkdtemp()
meter = perimage.Meter(os.environ["PERIMAGE_URL"], os.environ["PERIMAGE_KEY"], spool_dir=spool)
MODEL = os.environ.get("MODEL", "anima-1")


@counted(meter, MODEL)
def generate(prompt: str, number: int = 4) -> list[str]:
    return [f"{prompt}-{n}.png" for n in range(number)]


@counted(meter, MODEL, plan=lambda prompt, user_plan: user_plan)
async def generate_later(prompt: str, user_plan: str) -> list[str]:
    await asyncio.sleep(0)
    return [f"{prompt}.png"]


@counted(meter, MODEL)
def generate_one_by_one(prompt: str, number: int) -> Iterator[str]:
    for n in range(number):
        yield f"{prompt}-{n}.png"


@counted(meter, MODEL)
def fail() -> list[str]:
    raise RuntimeError("out of memory")


generate("a lighthouse")  # 4
asyncio.run(generate_later("a harbour", user_plan="free"))  # 1
for _image in generate_one_by_one("a bridge", 5):  # 2: nobody asked for the third
    if _image.endswith("-1.png"):
        break
with suppress(RuntimeError):
    fail()  # none
with counting(meter, MODEL, plan="paid") as made:  # 3
    made.add(["a.png", "b.png"])
    made.add(1)

meter.flush(timeout=10)
meter.close()
print("10 images reported")
