"""The picture: well-formed, complete, in whole numbers, safe whatever offers are called."""

import re
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from core.rating.curve import Curve
from core.rating.offers import at_rate
from core.rating.plot import draw
from tests.core.rating.test_quote import SCENARIOS, offers

SVG = "{http://www.w3.org/2000/svg}"


def picture(*names: str, images: int | None = None) -> ElementTree.Element:
    curves = [(name, Curve(offers(name), "term")) for name in names]
    return ElementTree.fromstring(draw(curves, images))  # noqa: S314 - written by ourselves


def texts(root: ElementTree.Element) -> list[str]:
    return [node.text or "" for node in root.iter(f"{SVG}text")]


def test_axes_title_break_even_and_both_panels_are_labelled() -> None:
    said = texts(picture("sd3-enterprise", images=30_000_000))
    assert "sd3-enterprise: break-even at 42,000,000 images (504,000.00 USD), dashed" in said
    assert {"total, USD", "effective price, BUZZ an image"} <= set(said)
    assert "images over the days 2026-01-01 to 2026-12-31" in said


@pytest.mark.parametrize("name", sorted(file.stem for file in SCENARIOS.glob("*.yaml")))
def test_every_scenario_can_be_drawn_inside_the_picture(name: str) -> None:
    root = picture(name)
    _, _, width, height = map(int, root.attrib["viewBox"].split())
    for line in root.iter(f"{SVG}polyline"):
        for point in line.attrib["points"].split():
            x, y = map(int, point.split(","))
            assert 0 <= x <= width and 0 <= y <= height
    assert all(re.fullmatch(r"\d+", line.attrib["x1"]) for line in root.iter(f"{SVG}line"))


def test_several_offers_are_told_apart() -> None:
    names = ["sd3-enterprise", "anima-flat", "flux-self-serve"]
    root = picture(*names)
    colours = [line.attrib["stroke"] for line in root.iter(f"{SVG}polyline")]
    assert len(set(colours)) == len(names) and len(colours) == 2 * len(names)
    for name in names:
        assert any(text.startswith(name) for text in texts(root))
    assert "effective price, USD an image" in texts(root)  # no unit that all three have


def test_the_total_line_goes_through_what_quotes_say() -> None:
    root = picture("sd3-enterprise")
    heights = [int(p.split(",")[1]) for p in next(root.iter(f"{SVG}polyline")).attrib["points"].split()]
    assert len(set(heights[:45])) == 1  # flat while the floor binds: 504,000
    assert heights[-1] < heights[60] < heights[0]


def test_names_cannot_break_out_of_the_picture() -> None:
    curve = Curve(offers("anima-flat"))
    drawn = draw([("<script>alert(1)</script>\"&'\x00\u202e", curve)])
    assert "<script>" not in drawn
    ElementTree.fromstring(drawn)  # noqa: S314


def test_dark_surroundings_have_colours_of_their_own() -> None:
    assert "prefers-color-scheme: dark" in draw([("five", Curve(offers("anima-flat")))])


def test_a_dearer_price_lies_above() -> None:
    dearer, _ = at_rate(offers("sd3-enterprise"), Decimal(16))
    root = ElementTree.fromstring(  # noqa: S314
        draw([("12", Curve(offers("sd3-enterprise"))), ("16", Curve(dearer))])
    )
    twelve, _, sixteen, _ = root.iter(f"{SVG}polyline")
    ends = [int(line.attrib["points"].split()[-1].split(",")[1]) for line in (twelve, sixteen)]
    assert ends[1] < ends[0]
