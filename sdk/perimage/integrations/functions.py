"""A decorator and a context manager for generation functions.

@counted(meter, "anima-1")
def generate(prompt: str) -> list[Image]: ...

with counting(meter, "anima-1", plan="free") as made:
    made.add(generate(prompt))

Both work on sync and async code. Images are counted once the function has returned or the block has ended, and not at
all if it raises. Of a generator every item is counted just before it is handed over, since its taker may keep it.
"""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from perimage.integrations._images import Recorder, Unclear, arecord, facts_of, images_in, log, record

Function = TypeVar("Function", bound=Callable[..., Any])
# Text, or a function that is given the arguments of the call and says what it is this time.
Told = str | Callable[..., str | None] | None


class _Count:
    """What to count a call under, worked out from its arguments before it runs."""

    def __init__(self, meter: Recorder, count: Callable[[Any], int], model: str, facts: dict[str, Any]) -> None:
        self.meter, self.count, self.model, self.facts = meter, count, model, facts

    def images(self, result: Any) -> int:
        try:
            return self.count(result)
        except Exception as error:
            log.error("images of %s were NOT counted: %s", self.model, error, exc_info=not isinstance(error, Unclear))
            return 0

    def record(self, result: Any) -> None:
        record(self.meter, self.model, self.images(result), self.facts)

    async def arecord(self, result: Any) -> None:
        await arecord(self.meter, self.model, self.images(result), self.facts)


def counted(
    meter: Recorder,
    model: str | Callable[..., str],
    *,
    count: Callable[[Any], int] = images_in,
    adapters: Sequence[str] | Callable[..., Sequence[str]] | None = None,
    plan: Told = None,
    output: Told = None,
) -> Callable[[Function], Function]:
    """Counts the images that a function returns or yields.

    `count` says how many images a result holds; by default `images_in`. `model`, `adapters`, `plan` and `output` may
    be functions: they are called with the arguments of each call.
    """

    def prepare(args: Any, kwargs: Any) -> _Count:
        def of(told: Any) -> Any:
            return told(*args, **kwargs) if callable(told) else told

        try:
            return _Count(meter, count, of(model), facts_of(of(adapters), of(plan), of(output)))
        except Exception:
            log.exception("images of this call are NOT counted: what they are is not known")
            return _Count(meter, lambda _: 0, "", {})

    def decorate(function: Any) -> Any:
        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                return _each_later(function(*args, **kwargs), prepare(args, kwargs))

        elif inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                return _each(function(*args, **kwargs), prepare(args, kwargs))

        elif inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                return await _later(function(*args, **kwargs), prepare(args, kwargs))

        else:

            @functools.wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                under = prepare(args, kwargs)
                result = function(*args, **kwargs)
                if inspect.isawaitable(result):
                    return _later(result, under)
                under.record(result)
                return result

        return wrapped

    return decorate


async def _later(result: Any, under: _Count) -> Any:
    made = await result
    await under.arecord(made)
    return made


def _each(inner: Generator[Any, Any, Any], under: _Count) -> Generator[Any, Any, Any]:
    """`yield from inner`, counting on the way."""
    try:
        item = next(inner)
        while True:
            under.record(item)
            try:
                sent = yield item
            except GeneratorExit:
                inner.close()
                raise
            except BaseException as error:
                item = inner.throw(error)
            else:
                item = inner.send(sent)
    except StopIteration as stop:
        return stop.value


async def _each_later(inner: AsyncGenerator[Any, Any], under: _Count) -> AsyncGenerator[Any, Any]:
    try:
        item = await anext(inner)
        while True:
            await under.arecord(item)
            try:
                sent = yield item
            except GeneratorExit:
                await inner.aclose()
                raise
            except BaseException as error:
                item = await inner.athrow(error)
            else:
                item = await inner.asend(sent)
    except StopAsyncIteration:
        return


class counting:  # noqa: N801 - reads as a verb: with counting(...)
    """Counts what a block has made, if the block ends well. `with` and `async with`.

    Give `images=` where the number is known beforehand; else tell what was made by `add`.
    """

    def __init__(
        self,
        meter: Recorder,
        model: str,
        *,
        images: int | None = None,
        adapters: Sequence[str] | None = None,
        plan: str | None = None,
        output: str | None = None,
    ) -> None:
        self.model = model
        self._given = images
        self._begin()
        self._under = _Count(meter, images_in, model, facts_of(adapters, plan, output))

    def _begin(self) -> "counting":
        self.images = self._given or 0
        self._told = self._given is not None
        return self

    def add(self, made: Any) -> None:
        """So many images, or the images themselves."""
        self._told = True
        is_number = isinstance(made, int) and not isinstance(made, bool)
        self.images += made if is_number else self._under.images(made)

    def __enter__(self) -> "counting":
        return self._begin()

    def __exit__(self, kind: type[BaseException] | None, _error: Any, _trace: TracebackType | None) -> None:
        if kind is None and self._ready():
            record(self._under.meter, self.model, self.images, self._under.facts)

    async def __aenter__(self) -> "counting":
        return self._begin()

    async def __aexit__(self, kind: type[BaseException] | None, _error: Any, _trace: TracebackType | None) -> None:
        if kind is None and self._ready():
            await arecord(self._under.meter, self.model, self.images, self._under.facts)

    def _ready(self) -> bool:
        if not self._told:
            log.error("images of %s were NOT counted: the block ended without add(...) or images=", self.model)
        return self._told
