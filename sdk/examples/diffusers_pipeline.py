"""A diffusers-style pipeline with a meter on its calls.

With diffusers installed: pipeline = DiffusionPipeline.from_pretrained(...). Here a stand-in of the same shape.
PERIMAGE_URL=http://127.0.0.1:8765 PERIMAGE_KEY=pmk_... python diffusers_pipeline.py
"""

import os
import tempfile
from types import SimpleNamespace
from typing import Any

import perimage
from perimage.integrations.pipelines import metered


class Pipeline:
    """What matters of a diffusers pipeline."""

    device = "cpu"

    def to(self, device: str) -> "Pipeline":
        self.device = device
        return self

    def get_active_adapters(self) -> list[str]:
        return ["toy"]

    def __call__(self, prompt: Any, num_images_per_prompt: int = 1, return_dict: bool = True) -> Any:
        prompts = [prompt] if isinstance(prompt, str) else prompt
        images = [f"{text}-{n}.png" for text in prompts for n in range(num_images_per_prompt)]
        return SimpleNamespace(images=images) if return_dict else (images,)


spool = os.environ.get("PERIMAGE_SPOOL_DIR") or tempfile.mkdtemp()
meter = perimage.Meter(os.environ["PERIMAGE_URL"], os.environ["PERIMAGE_KEY"], spool_dir=spool)
toy = "urn:air:sd1:lora:civitai:123@456"  # what the licensor knows as "toy"
pipeline = metered(Pipeline(), meter, os.environ.get("MODEL", "anima-1"), adapter_names={"toy": toy}, plan="paid")

pipeline = pipeline.to("cuda")  # still metered
pipeline("a lighthouse")  # 1
pipeline(["a harbour", "a bridge"], num_images_per_prompt=4)  # 8
pipeline("a ship", return_dict=False)  # 1

meter.flush(timeout=10)
meter.close()
print("10 images reported, device", pipeline.device)
