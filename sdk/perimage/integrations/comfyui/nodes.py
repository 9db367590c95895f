"""The node: IMAGE in, the same IMAGE out, its batch counted.

It stands between what makes the images and what saves them. ComfyUI does not run a node again whose inputs are
unchanged, so a queue of cached images counts nothing, which is right: none was made. And where the same images come by
again, because a second meter follows or a field of this one was edited, they count once for each model.

Address and key come from the environment (PERIMAGE_URL, PERIMAGE_KEY), never from the workflow: ComfyUI writes
workflows into the images it saves.
"""

import contextlib
import logging
import weakref
from typing import Any

log = logging.getLogger("perimage.comfyui")
OUTPUTS = ["image", "preview", "upscale", "rejected", "video_frame"]

_counted: dict[tuple[int, str], Any] = {}  # (identity of a batch, model) while the batch is alive


class PerimageMeter:
    """A node that counts."""

    CATEGORY = "image"
    DESCRIPTION = "Counts the images that pass through, for per-image licence fees."
    FUNCTION = "count"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("images",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI calls it so
        text = {"default": "", "multiline": False}
        return {
            "required": {
                "images": ("IMAGE",),
                "model": ("STRING", {**text, "tooltip": "the model that ran: a slug such as anima-1, or an AIR"}),
            },
            "optional": {
                "adapters": ("STRING", {**text, "tooltip": "LoRAs and the like: slugs or AIRs with commas between"}),
                "plan": ("STRING", {**text, "tooltip": "the end user's plan, such as free"}),
                "output": (OUTPUTS, {"default": "image"}),
            },
        }

    def count(self, images: Any, model: str, adapters: str = "", plan: str = "", output: str = "image") -> tuple[Any]:
        """The images as they came. Whatever goes wrong with counting is in the log, not in the workflow."""
        model = model.strip()
        try:
            if not model:
                log.error("images were NOT counted: the meter node does not say which model made them")
            elif (id(images), model) not in _counted:
                facts: dict[str, Any] = {"adapters": _names(adapters), "plan": plan.strip(), "output": output}
                _record(model, int(images.shape[0]), {name: fact for name, fact in facts.items() if fact})
                _remember(images, model)
        except Exception as error:
            log.exception("images of %s were NOT counted: %s", model, error)
        return (images,)


def _record(model: str, images: int, facts: dict[str, Any]) -> None:
    from perimage.integrations.ambient import ambient_meter  # noqa: PLC0415 - so that ComfyUI starts without it

    if images:
        ambient_meter().record(model, images=images, **facts)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _remember(images: Any, model: str) -> None:
    """Keeps this very batch from being counted again, for as long as it is alive."""
    key = (id(images), model)
    with contextlib.suppress(TypeError):  # nothing to remember it by
        _counted[key] = weakref.ref(images, lambda _: _counted.pop(key, None))


NODE_CLASS_MAPPINGS = {"PerimageMeter": PerimageMeter}
NODE_DISPLAY_NAME_MAPPINGS = {"PerimageMeter": "Perimage Meter"}
