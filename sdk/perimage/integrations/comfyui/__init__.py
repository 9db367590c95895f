"""ComfyUI custom node "Perimage Meter": counts the images that pass through it.

Copy or link this folder into ComfyUI/custom_nodes (any name) and install `perimage` in ComfyUI's environment.
"""

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
