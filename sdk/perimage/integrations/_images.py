"""How many images a result holds, and what the integrations ask of a meter."""

import logging
from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable
from typing import Any, Protocol

log = logging.getLogger("perimage.integrations")
BATCH_DIMENSIONS = 4  # batch, height, width and channels, in any order that begins with the batch


class Recorder(Protocol):
    """What every integration needs of a meter. `arecord` is used in coroutines where there is one."""

    @property
    def record(self) -> Callable[..., Any]: ...


class Unclear(TypeError):  # noqa: N818 - named for what is wrong
    """A result in which no image can be counted without guessing."""


def images_in(result: Any) -> int:
    """How many images a generation function has given back.

    Nothing is none. A list is the sum of its members. Of a tuple the first member is looked at, as in `(images, flags)`
    or `(image, seed)`. An object with `.images`, or a mapping with "images", is what these are. An array of four
    dimensions is a batch. Anything else is one image: a picture, a path, bytes. Numbers and other mappings are
    refused with `Unclear`.
    """
    if result is None:
        return 0
    if isinstance(result, list):
        return sum(map(images_in, result))
    if hasattr(result, "images"):
        return images_in(result.images)
    if isinstance(result, Mapping) and "images" in result:
        return images_in(result["images"])
    if isinstance(result, tuple):
        return images_in(result[0] if result else None)
    if isinstance(result, bool | int | float | Mapping | set | frozenset):
        raise Unclear(f"a {type(result).__name__} does not say how many images were made; give count=")
    shape: Sequence[int] = getattr(result, "shape", ())
    return int(shape[0]) if len(shape) == BATCH_DIMENSIONS else 1


def batch_size(images: Any) -> int:
    """How many images a batch holds: a list of pictures, or an array whose first dimension is the batch."""
    shape = getattr(images, "shape", None)
    if shape is not None and len(shape) > 0:
        return int(shape[0])
    if isinstance(images, str | bytes) or not hasattr(images, "__len__"):
        raise Unclear(f"a {type(images).__name__} is not a batch of images")
    return images_in(list(images))


def facts_of(adapters: Sequence[str] | None, plan: str | None, output: str | None) -> dict[str, Any]:
    """The facts that were given, as arguments of `record`."""
    given = {"adapters": list(adapters) if adapters else None, "plan": plan, "output": output}
    return {name: value for name, value in given.items() if value is not None}


def record(meter: Recorder, model: str, images: int, facts: Mapping[str, Any]) -> None:
    """Records so many images; none is nothing to record."""
    if images:
        meter.record(model, images=images, **facts)


async def arecord(meter: Recorder, model: str, images: int, facts: Mapping[str, Any]) -> None:
    """The same for a coroutine, which must not wait for a disk."""
    if not images:
        return
    recorded = getattr(meter, "arecord", meter.record)(model, images=images, **facts)
    if isawaitable(recorded):
        await recorded
