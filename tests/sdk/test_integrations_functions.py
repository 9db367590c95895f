"""The decorator, the context manager and the pipeline wrapper count what was made, and nothing else."""

import asyncio
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from perimage.integrations.functions import counted, counting
from perimage.integrations.pipelines import metered


class Notebook:
    """A meter that writes down what it is told."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, int, dict[str, Any]]] = []

    def record(self, model: str, *, images: int, **facts: Any) -> str:
        self.noted.append((model, images, facts))
        return "id"

    @property
    def images(self) -> int:
        return sum(images for _, images, _ in self.noted)


class LaterNotebook(Notebook):
    """One that coroutines must await."""

    async def arecord(self, model: str, *, images: int, **facts: Any) -> str:
        await asyncio.sleep(0)
        return super().record(model, images=images, **facts)

    def record(self, model: str, *, images: int, **facts: Any) -> str:
        raise AssertionError("a coroutine must not wait for the disk")


class Tensor:
    """An array as torch and numpy have it, as far as counting goes."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def __len__(self) -> int:
        return self.shape[0]


@pytest.fixture
def meter() -> Notebook:
    return Notebook()


RESULTS = {
    "nothing": (None, 0),
    "a list": (["a", "b"], 2),
    "an empty list": ([], 0),
    "a list with a gap": (["a", None], 1),
    "batches": ([["a", "b"], ["c"]], 3),
    "an object with images": (SimpleNamespace(images=["a", "b", "c"]), 3),
    "a mapping with images": ({"images": ["a"], "seed": 7}, 1),
    "images and flags": ((["a", "b"], [False, True]), 2),
    "an image and its seed": (("a", 7), 1),
    "a batch": (Tensor(5, 64, 64, 3), 5),
    "one array": (Tensor(64, 64, 3), 1),
    "arrays": ([Tensor(64, 64, 3), Tensor(2, 3, 64, 64)], 3),
    "a path": ("a.png", 1),
    "bytes": (b"\x89PNG", 1),
}


@pytest.mark.parametrize(("result", "images"), RESULTS.values(), ids=RESULTS)
def test_the_decorator_counts_what_the_function_gave_back(meter: Notebook, result: Any, images: int):
    assert counted(meter, "anima-1")(lambda: result)() is result
    assert meter.images == images


@pytest.mark.parametrize("result", [True, 4, 4.0, {"seed": 7}, {"a"}])
def test_a_result_that_does_not_say_how_many_is_said_in_the_log(
    meter: Notebook, result: Any, caplog: pytest.LogCaptureFixture
):
    assert counted(meter, "anima-1")(lambda: result)() == result
    assert meter.noted == [] and "give count=" in caplog.text and "NOT counted" in caplog.text


def test_a_function_that_counts_by_itself_is_believed_and_one_that_fails_does_no_harm(
    meter: Notebook, caplog: pytest.LogCaptureFixture
):
    assert counted(meter, "anima-1", count=lambda result: result["n"])(lambda: {"n": 3})() == {"n": 3}
    assert meter.images == 3
    assert counted(meter, "anima-1", count=lambda result: result["n"])(lambda: {})() == {}
    assert counted(meter, lambda: {}["model"])(lambda: "a.png")() == "a.png"
    assert meter.images == 3 and caplog.text.count("NOT counted") == 2


def test_what_it_was_made_with_may_depend_on_the_call(meter: Notebook):
    @counted(meter, lambda name, **_: name, adapters=lambda name, style: [style], plan="free", output="preview")
    def generate(name: str, *, style: str) -> list[str]:
        """Makes one."""
        return ["a"]

    generate("anima-1", style="grain")
    assert meter.noted == [("anima-1", 1, {"adapters": ["grain"], "plan": "free", "output": "preview"})]
    assert (generate.__name__, generate.__doc__) == ("generate", "Makes one.")


def test_what_raises_counts_nothing(meter: Notebook):
    @counted(meter, "anima-1")
    def fail() -> None:
        raise MemoryError

    @counted(meter, "anima-1")
    async def fail_later() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        fail()
    with pytest.raises(MemoryError):
        asyncio.run(fail_later())
    with pytest.raises(MemoryError), counting(meter, "anima-1", images=4):
        raise MemoryError
    assert meter.noted == []


def test_coroutines_are_counted_without_waiting_for_the_disk():
    meter = LaterNotebook()

    @counted(meter, "anima-1")
    async def generate(number: int) -> list[str]:
        return ["a"] * number

    async def all_of_it() -> None:
        assert await generate(3) == ["a"] * 3
        assert await counted(meter, "anima-1")(functools.partial(generate, 2))() == ["a"] * 2  # counted by both
        later = counted(meter, "anima-1")(lambda: generate(1))  # a plain function that gives back a coroutine
        assert await later() == ["a"]
        async with counting(meter, "anima-1") as made:
            made.add(5)

    asyncio.run(all_of_it())
    assert inspect.iscoroutinefunction(generate) and meter.images == 3 + 2 * 2 + 2 * 1 + 5


def test_of_a_generator_only_what_was_handed_over_counts(meter: Notebook):
    closed = []

    @counted(meter, "anima-1")
    def generate() -> Iterator[Any]:
        try:
            yield "a"
            yield ["b", "c"]
            raise MemoryError
        finally:
            closed.append(True)

    made = generate()
    assert meter.noted == []
    next(made)
    assert meter.images == 1
    next(made)
    assert meter.images == 3
    with pytest.raises(MemoryError):
        next(made)
    for _ in generate():
        break
    assert meter.images == 4 and closed == [True, True]


def test_a_counted_generator_is_still_talked_to(meter: Notebook):
    @counted(meter, "anima-1")
    def generate() -> Any:
        asked = yield "first"
        try:
            yield asked
        except KeyError:
            yield "after the error"
        return "the end"

    made = generate()
    assert (next(made), made.send("second"), made.throw(KeyError())) == ("first", "second", "after the error")
    with pytest.raises(StopIteration) as stop:
        next(made)
    assert stop.value.value == "the end" and meter.images == 3


def test_of_an_async_generator_too():
    meter = LaterNotebook()
    closed = []

    @counted(meter, "anima-1")
    async def generate() -> AsyncIterator[Any]:
        try:
            yield "a"
            yield ["b", "c"]
            yield "never asked for"
        finally:
            closed.append(True)

    async def take_two() -> None:
        made = generate()
        assert [await anext(made), await anext(made)] == ["a", ["b", "c"]]
        await made.aclose()
        assert [item async for item in generate()][-1] == "never asked for"

    asyncio.run(take_two())
    assert meter.images == 3 + 4 and closed == [True, True]


def test_a_block_counts_what_it_says_it_made(meter: Notebook, caplog: pytest.LogCaptureFixture):
    with counting(meter, "anima-1", plan="paid") as made:
        made.add(["a", "b"])
        made.add(3)
    with counting(meter, "anima-1", images=2):
        pass
    with counting(meter, "anima-1") as made:
        made.add([])
    assert [(images, facts) for _, images, facts in meter.noted] == [(5, {"plan": "paid"}), (2, {})]
    assert caplog.text == ""
    with caplog.at_level(logging.ERROR), counting(meter, "anima-1"):
        pass
    assert "without add" in caplog.text


class Pipeline:
    """A diffusers pipeline, as far as its callers see it."""

    def __init__(self) -> None:
        self.device, self.active = "cpu", ["toy"]

    def to(self, device: str) -> "Pipeline":
        self.device = device
        return self

    def get_active_adapters(self) -> list[str]:
        return self.active

    def __call__(self, prompt: Any, number: int = 1, return_dict: bool = True, output_type: str = "pil") -> Any:
        if prompt == "fail":
            raise MemoryError
        prompts = [prompt] if isinstance(prompt, str) else prompt
        images: Any = [f"{text}-{n}" for text in prompts for n in range(number)]
        if output_type == "np":
            images = Tensor(len(images), 64, 64, 3)
        return SimpleNamespace(images=images, flags=None) if return_dict else (images, None)


def test_a_pipeline_is_counted_by_batch(meter: Notebook):
    pipeline = metered(Pipeline(), meter, "anima-1")
    assert pipeline("a").images == ["a-0"]
    pipeline(["a", "b"], number=4)
    assert pipeline("a", number=2, return_dict=False) == (["a-0", "a-1"], None)
    pipeline("a", number=3, output_type="np")
    with pytest.raises(MemoryError):
        pipeline("fail")
    assert [images for _, images, _ in meter.noted] == [1, 8, 2, 3]


def test_a_pipelines_active_adapters_are_told_by_the_licensors_names(meter: Notebook):
    inner = Pipeline()
    air = "urn:air:sd1:lora:civitai:123@456"
    pipeline = metered(inner, meter, "anima-1", adapter_names={"toy": air}, adapters=["grain"], plan="free")
    pipeline("a")
    inner.active = []
    pipeline("a")
    assert [facts for _, _, facts in meter.noted] == [
        {"adapters": ["grain", air], "plan": "free"},
        {"adapters": ["grain"], "plan": "free"},
    ]


def test_a_pipeline_that_cannot_say_its_adapters_is_still_counted(meter: Notebook):
    class WithoutBackend(Pipeline):
        def get_active_adapters(self) -> list[str]:
            raise ValueError("the adapter backend is not installed")

    metered(WithoutBackend(), meter, "anima-1")("a")
    assert meter.noted == [("anima-1", 1, {})]


def test_a_metered_pipeline_stands_in_for_the_pipeline(meter: Notebook):
    inner = Pipeline()
    pipeline = metered(inner, meter, "anima-1")
    pipeline = pipeline.to("cuda")
    assert (inner.device, pipeline.device, isinstance(pipeline, Pipeline)) == ("cuda", "cuda", True)
    pipeline.scheduler = "euler"
    assert inner.scheduler == "euler" and "scheduler" in dir(pipeline) and repr(pipeline) == repr(inner)
    del pipeline.scheduler
    assert not hasattr(inner, "scheduler") and not hasattr(pipeline, "scheduler")
    pipeline("a")
    assert meter.images == 1, "it went on counting after .to()"


def test_any_callable_with_images_is_a_pipeline(meter: Notebook, caplog: pytest.LogCaptureFixture):
    async def later(number: int) -> Any:
        return SimpleNamespace(images=["a"] * number)

    asyncio.run(_await(metered(later, meter, "anima-1")(3)))
    metered(lambda: SimpleNamespace(images=["a", "b"]), meter, "anima-1")()
    assert meter.images == 5
    assert metered(lambda: "not a pipeline", meter, "anima-1")() == "not a pipeline"
    assert meter.images == 5 and "NOT counted" in caplog.text


async def _await(awaitable: Any) -> Any:
    return await awaitable
