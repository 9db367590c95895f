"""The FLUX drop-in and the ComfyUI node, and that no integration imports what it hooks into."""

import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import perimage
import pytest
from perimage._errors import BadSettings
from perimage.integrations import ambient, flux

FOLDER = Path(perimage.__file__).parent / "integrations"


class Notebook:
    """A meter that writes down what it is told."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, int, dict[str, Any]]] = []
        self.fails = False

    def record(self, model: str, *, images: int, **facts: Any) -> str:
        if self.fails:
            raise OSError("no room")
        self.noted.append((model, images, facts))
        return "id"


class Batch:
    """An IMAGE, as far as the node looks at it."""

    def __init__(self, size: int) -> None:
        self.shape = (size, 64, 64, 3)


@pytest.fixture
def meter() -> Iterator[Notebook]:
    notebook = Notebook()
    ambient.use(notebook)
    yield notebook
    ambient.use(None)


@pytest.fixture
def node() -> Any:
    """The node, loaded from its folder under another name, as ComfyUI does."""
    spec = importlib.util.spec_from_file_location("dropped_in", FOLDER / "comfyui" / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["dropped_in"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.NODE_CLASS_MAPPINGS["PerimageMeter"]


def test_the_flux_drop_in_has_the_reference_codes_signature_and_names(meter: Notebook):
    parameters = inspect.signature(flux.track_usage_via_api).parameters
    assert [(each.name, each.default) for each in parameters.values()] == [("name", inspect.Parameter.empty), ("n", 1)]
    flux.track_usage_via_api("flux-dev")
    flux.track_usage_via_api("flux-dev-kontext", n=2)
    flux.track_usage_via_api("flux-dev-canny-lora", 3)
    flux.track_usage_via_api("flux-dev-krea", 4)
    flux.track_usage_via_api("flux-schnell", 5)
    assert [(model, images) for model, images, _ in meter.noted] == [
        ("flux-1-dev", 1),
        ("flux-1-kontext-dev", 2),
        ("flux-tools", 3),
        ("flux-1-krea-dev", 4),
        ("flux-schnell", 5),
    ]


def test_without_an_address_or_a_key_the_drop_in_says_so(monkeypatch: pytest.MonkeyPatch):
    ambient.use(None)
    monkeypatch.delenv("PERIMAGE_URL", raising=False)
    monkeypatch.setenv("PERIMAGE_KEY", "pmk_x")
    with pytest.raises(BadSettings, match="PERIMAGE_URL"):
        flux.track_usage_via_api("flux-dev", 1)


def test_the_node_passes_its_images_through_and_counts_the_batch(meter: Notebook, node: Any):
    batch = Batch(6)
    run = getattr(node(), node.FUNCTION)
    assert run(images=batch, model=" anima-1 ", adapters="grain, toy,", plan="free", output="upscale") == (batch,)
    assert run(images=Batch(2), model="anima-1")[0].shape[0] == 2
    assert meter.noted == [
        ("anima-1", 6, {"adapters": ["grain", "toy"], "plan": "free", "output": "upscale"}),
        ("anima-1", 2, {"output": "image"}),
    ]


def test_the_node_declares_itself_as_comfyui_expects(node: Any):
    inputs = node.INPUT_TYPES()
    assert inputs["required"]["images"] == ("IMAGE",) and inputs["required"]["model"][0] == "STRING"
    assert node.RETURN_TYPES == ("IMAGE",) and isinstance(node.CATEGORY, str)
    declared = {*inputs["required"], *inputs["optional"]}
    assert declared == set(inspect.signature(getattr(node, node.FUNCTION)).parameters) - {"self"}
    assert not hasattr(node, "IS_CHANGED"), "it would count cached images"


def test_one_batch_counts_once_however_many_nodes_it_passes(meter: Notebook, node: Any):
    batch = Batch(6)
    node().count(batch, "anima-1")
    node().count(batch, "anima-1", plan="edited")
    node().count(batch, "sd-1")
    for _ in range(3):
        node().count(Batch(1), "anima-1")  # new ones, though they may lie where the last one lay
    assert [(model, images) for model, images, _ in meter.noted] == [("anima-1", 6), ("sd-1", 6), *[("anima-1", 1)] * 3]


def test_a_meter_that_fails_does_not_stop_the_workflow(meter: Notebook, node: Any, caplog: pytest.LogCaptureFixture):
    batch = Batch(6)
    meter.fails = True
    assert node().count(batch, "anima-1") == (batch,)
    assert node().count(batch, "") == (batch,)
    assert node().count("not a tensor", "anima-1") == ("not a tensor",)
    assert caplog.text.count("NOT counted") == 3
    meter.fails = False
    node().count(batch, "anima-1")
    assert meter.noted == [("anima-1", 6, {"output": "image"})], "what was not counted may be counted later"


def test_no_integration_imports_more_than_the_standard_library():
    names = [f"perimage.integrations.{file.stem}" for file in FOLDER.glob("*.py") if file.stem != "__init__"]
    names += ["perimage.integrations.comfyui.nodes"]
    program = (
        "import importlib, sys\n"
        "before = set(sys.modules)\n"  # a system may load things of its own at its start
        f"for name in {names!r}: importlib.import_module(name)\n"
        "added = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "heavy = added - set(sys.stdlib_module_names) - {'perimage'}\n"
        "print(sorted(name for name in heavy if not name.startswith('_')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout.strip() == "[]"
