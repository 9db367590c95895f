"""Logos: what may be printed is taken, and whatever could do or fetch something is refused with what to change."""

import hashlib
import struct
import zlib

import pytest

from core.errors import InvalidInput
from core.invoicing.paper.document import Logo, demand_drawable
from core.registry.pictures import MAX_BYTES, picture_of

OPEN = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 90 30">'
DRAWN = """<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 90 30"
     xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape">
  <metadata><inkscape:page/></metadata>
  <defs><linearGradient id="g"><stop offset="0" stop-color="#123"/></linearGradient><path id="p" d="M0 0h9v9z"/></defs>
  <style>.a { fill: url(#g) }</style>
  <g class="a" inkscape:label="all"><rect width="90" height="30" fill="url('#g')"/><use xlink:href="#p"/></g>
</svg>"""


def svg(inside: str) -> bytes:
    return f"{OPEN}{inside}</svg>".encode()


def png(width: int = 300, height: int = 100, *, end: bool = True) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"".join(b"\0" + b"\x30\x60\x90" * width for _ in range(height))) if width < 1000 else b""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + (chunk(b"IEND", b"") if end else b"")


@pytest.mark.parametrize(("content", "media_type"), [(DRAWN.encode(), "image/svg+xml"), (png(), "image/png")])
def test_a_logo_is_named_by_its_bytes_and_can_be_drawn(content: bytes, media_type: str) -> None:
    found = picture_of(content)
    assert (found.sha256, found.media_type) == (hashlib.sha256(content).hexdigest(), media_type)
    demand_drawable(Logo(found.media_type, content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"GIF89a", "neither a PNG nor an SVG"),
        (svg("<script>1</script>"), "take the script out"),
        (svg('<rect onload="x()" width="1" height="1"/>'), "onload= at <rect>"),
        (svg('<image href="data:image/png;base64,AA"/>'), "save the picture as PNG"),
        (svg("<text>Guild</text>"), "into outlines"),
        (svg("<foreignObject/>"), "<foreignObject>"),
        (svg('<a href="#x"/>'), "<a>"),
        (svg('<use xlink:href="http://x.example/a.svg#p"/>'), "outside itself"),
        (svg('<use href="other.svg#p"/>'), "outside itself"),
        (svg('<rect fill="url(http://x.example/g)"/>'), "outside itself"),
        (svg('<rect style="fill: url( &quot;/etc/passwd&quot;)"/>'), "outside itself"),
        (svg("<style>@import 'x.css';</style>"), "style names something outside"),
        (svg('<html xmlns="http://www.w3.org/1999/xhtml"/>'), "plain SVG"),
        (b'<!DOCTYPE svg [<!ENTITY x "y">]>' + svg(""), "a DOCTYPE"),
        (b'<?xml-stylesheet href="x.css"?>' + svg(""), "a style sheet"),
        (b"<svg><rect/></svg>", "outermost element"),
        (svg("<rect>"), "not well-formed"),
        (svg("<!--\xff-->").replace(b"\xc3\xbf", b"\xff"), "UTF-8"),
        (b"<svg" + b" " * MAX_BYTES, "204,804 bytes"),
        (png(end=False), "not whole"),
        (png()[:-20] + b"\0" * 20, "not whole"),
        (png(120, 40), "too few to print"),
        (png(50_000, 50_000), "at most 16,000,000"),
    ],
)
def test_what_is_no_logo_is_refused_with_what_to_change(content: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        picture_of(content)


def test_a_logo_that_no_paper_can_hold_is_found_before_an_invoice_needs_it() -> None:
    broken = picture_of(png().replace(zlib.compress(b"")[:1], b"x", 0)[:-16] + png()[-16:])
    assert broken.media_type == "image/png"
    with pytest.raises(InvalidInput, match="cannot be drawn"):
        demand_drawable(Logo("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/"))
