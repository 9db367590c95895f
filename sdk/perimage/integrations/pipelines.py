"""A wrapper for diffusers-style pipelines: any callable whose result has `.images`.

pipe = metered(DiffusionPipeline.from_pretrained(...).to("cuda"), meter, "anima-1")
pipe("a lighthouse", num_images_per_prompt=4)         # counted as 4

The wrapper stands in for the pipeline: its attributes are the pipeline's, setting one sets the pipeline's, and a method
that returns the pipeline (`.to("cuda")`) returns the wrapper. Where several stages make one image, wrap the last one.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable
from typing import Any

from perimage.integrations._images import Recorder, Unclear, arecord, batch_size, facts_of, log, record

_OWN = ("_perimage_pipeline", "_perimage_meter", "_perimage_model", "_perimage_told")


def metered(
    pipeline: Callable[..., Any],
    meter: Recorder,
    model: str,
    *,
    adapters: Sequence[str] = (),
    adapter_names: Mapping[str, str] | None = None,
    plan: str | None = None,
    output: str | None = None,
) -> "MeteredPipeline":
    """The pipeline, counting what it makes.

    Adapters are those the pipeline says are active (`get_active_adapters()`) and those given here. `adapter_names`
    maps the names they were loaded under to the names the licensor knows: slugs or AIRs.
    """
    told = {"adapters": tuple(adapters), "names": dict(adapter_names or {}), "plan": plan, "output": output}
    return MeteredPipeline(pipeline, meter, model, told)


class MeteredPipeline:
    """A pipeline with a meter on its calls; made by `metered`."""

    def __init__(self, pipeline: Any, meter: Recorder, model: str, told: Mapping[str, Any]) -> None:
        for name, value in zip(_OWN, (pipeline, meter, model, told), strict=True):
            object.__setattr__(self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        facts = self._perimage_facts()  # before the call: the adapters it runs with
        result = self._perimage_pipeline(*args, **kwargs)
        if isawaitable(result):
            return self._perimage_later(result, facts)
        record(self._perimage_meter, self._perimage_model, self._perimage_images(result), facts)
        return result

    async def _perimage_later(self, result: Any, facts: Mapping[str, Any]) -> Any:
        made = await result
        await arecord(self._perimage_meter, self._perimage_model, self._perimage_images(made), facts)
        return made

    def _perimage_images(self, result: Any) -> int:
        try:
            if hasattr(result, "images"):
                return batch_size(result.images)
            if isinstance(result, tuple) and result:  # return_dict=False
                return batch_size(result[0])
            raise Unclear(f"a {type(result).__name__} has no .images")
        except Exception as error:
            log.error("images of %s were NOT counted: %s", self._perimage_model, error)
            return 0

    def _perimage_facts(self) -> dict[str, Any]:
        told = self._perimage_told
        active: list[str] = []
        if ask := getattr(self._perimage_pipeline, "get_active_adapters", None):
            try:
                active = [str(name) for name in ask() or ()]
            except Exception as error:  # diffusers raises where its adapter backend is not installed
                log.debug("the pipeline does not say which adapters are active: %s", error)
        names = sorted({told["names"].get(name, name) for name in (*active, *told["adapters"])})
        return facts_of(names, told["plan"], told["output"])

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The pipeline's, so that `isinstance` goes on to hold."""
        return type(self._perimage_pipeline)

    def __getattr__(self, name: str) -> Any:
        pipeline = object.__getattribute__(self, "_perimage_pipeline")
        value = getattr(pipeline, name)
        if callable(value) and getattr(value, "__self__", None) is pipeline:
            return _returning(self, pipeline, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._perimage_pipeline, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._perimage_pipeline, name)

    def __dir__(self) -> list[str]:
        return dir(self._perimage_pipeline)

    def __repr__(self) -> str:
        return repr(self._perimage_pipeline)


def _returning(wrapper: MeteredPipeline, pipeline: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, returning the wrapper where it would return the pipeline."""

    @functools.wraps(method)
    def called(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        return wrapper if result is pipeline else result

    return called
