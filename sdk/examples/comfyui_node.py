"""The ComfyUI node, loaded from its folder as ComfyUI loads it, and run as ComfyUI runs it.

In ComfyUI: copy sdk/perimage/integrations/comfyui to ComfyUI/custom_nodes/perimage_meter; the rest is a workflow.
PERIMAGE_URL=http://127.0.0.1:8765 PERIMAGE_KEY=pmk_... python comfyui_node.py
"""

import importlib.util
import os
import sys
from pathlib import Path

import perimage.integrations.ambient


class Batch:
    """What matters of ComfyUI's IMAGE: a tensor of batch, height, width and channels."""

    def __init__(self, size: int) -> None:
        self.shape = (size, 64, 64, 3)


folder = Path(perimage.__file__).parent / "integrations" / "comfyui"
spec = importlib.util.spec_from_file_location("perimage_meter", folder / "__init__.py")
assert spec is not None and spec.loader is not None  # noqa: S101
module = importlib.util.module_from_spec(spec)
sys.modules["perimage_meter"] = module
spec.loader.exec_module(module)

node_class = module.NODE_CLASS_MAPPINGS["PerimageMeter"]
node = node_class()
run = getattr(node, node_class.FUNCTION)
batch = Batch(10)
(passed,) = run(images=batch, model=os.environ.get("MODEL", "anima-1"), plan="free")
run(images=batch, model=os.environ.get("MODEL", "anima-1"), plan="paid")  # the same batch again: not counted again

meter = perimage.integrations.ambient.ambient_meter()
meter.flush(timeout=10)
meter.close()
print("10 images reported; passed through unchanged:", passed is batch)
