"""A licensor's logo as it may be kept and printed: a PNG or an SVG, whole, small, and drawing nothing but itself.

An SVG is a program's file: it may name other files, carry scripts, or set words in fonts that are not there. None of
that belongs on an invoice, so only shapes and what colours them are taken. The name of a picture is the hash of its
bytes.
"""

import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn
from xml.etree import ElementTree

from core.errors import InvalidInput

MAX_BYTES = 200 * 1024
MAX_PIXELS = 16_000_000
MIN_PIXELS = 200
_PNG = b"\x89PNG\r\n\x1a\n"
_SVG = "http://www.w3.org/2000/svg"
_SHAPES = {
    *("svg", "g", "defs", "symbol", "use", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon"),
    *("linearGradient", "radialGradient", "stop", "pattern", "clipPath", "mask", "title", "desc", "metadata", "style"),
}
_INSTEAD = {
    "text": "turn text into outlines: the font it is set in is not here",
    "image": "save the picture as PNG instead: an SVG may not carry or name another picture",
    "script": "take the script out: a logo does nothing",
}
# What drawing programs write for themselves; nothing of it is drawn.
_NOTES = (
    "http://www.inkscape.org/",
    "http://sodipodi.sourceforge.net/",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "http://creativecommons.org/ns#",
    "http://purl.org/dc/",
)
_ELSEWHERE = re.compile(r"url\(\s*['\"]?\s*(?!['\"#\s])|@import|javascript:|expression\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture by the hash of its bytes. Two with one hash are the same, whether or not the bytes are at hand."""

    sha256: str
    media_type: str
    content: bytes = field(default=b"", compare=False, repr=False)

    def __str__(self) -> str:
        return f"{'PNG' if self.media_type == 'image/png' else 'SVG'} {self.sha256[:12]}"


def picture_of(content: bytes) -> Picture:
    """The bytes of a file as a logo. `InvalidInput`, code `bad_logo`, says what to change."""
    check_size(len(content))
    if content.startswith(_PNG):
        _check_png(content)
        media_type = "image/png"
    elif b"<svg" in content:
        _check_svg(content)
        media_type = "image/svg+xml"
    else:
        _refuse("this is neither a PNG nor an SVG: save the logo as one of these")
    return Picture(hashlib.sha256(content).hexdigest(), media_type, content)


def check_size(byte_count: int) -> None:
    """Refuses a file that is too large, which can be known before it is read."""
    if byte_count > MAX_BYTES:
        _refuse(f"the file has {byte_count:,} bytes: a logo has at most {MAX_BYTES:,}; save it smaller")


def _refuse(sentence: str) -> NoReturn:
    raise InvalidInput("bad_logo", sentence)


def _check_png(content: bytes) -> None:
    chunks = list(_chunks(content))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13 or chunks[-1][0] != b"IEND":
        _refuse("this PNG is not whole: save it anew")
    width, height = (int.from_bytes(chunks[0][1][at : at + 4], "big") for at in (0, 4))
    if not width or not height or width * height > MAX_PIXELS:
        _refuse(f"the PNG has {width:,} × {height:,} pixels: at most {MAX_PIXELS:,} in all; save it smaller")
    if max(width, height) < MIN_PIXELS:
        _refuse(
            f"the PNG has {width} × {height} pixels, too few to print: at least {MIN_PIXELS} on its longer side, or SVG"
        )


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG up to its end, as long as each is whole."""
    at = len(_PNG)
    while at + 12 <= len(content):
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        data, sum_ = content[at + 8 : at + 8 + length], content[at + 8 + length : at + 12 + length]
        if len(data) != length or zlib.crc32(kind + data).to_bytes(4, "big") != sum_:
            return
        yield kind, data
        at += 12 + length
        if kind == b"IEND":
            return


def _check_svg(content: bytes) -> None:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse("this SVG is not written in UTF-8: save it so")
    for mark, told in (("<!DOCTYPE", "a DOCTYPE"), ("<!ENTITY", "an ENTITY"), ("<?xml-stylesheet", "a style sheet")):
        if mark.lower() in text.lower():
            _refuse(f"the SVG has {told}, which may name other files: take it out, or save it as plain SVG")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without a DOCTYPE there is nothing to expand
    except ElementTree.ParseError as wrong:
        _refuse(f"this is not well-formed SVG: {wrong}")
    if root.tag != f"{{{_SVG}}}svg":
        _refuse(f'the outermost element must be <svg xmlns="{_SVG}">')
    for element in root.iter():
        _check_element(element)


def _check_element(element: ElementTree.Element) -> None:
    space, _, name = str(element.tag).removeprefix("{").rpartition("}")
    if space == _SVG:
        if name not in _SHAPES:
            _refuse(f"the SVG has <{name}>: {_INSTEAD.get(name, 'keep to shapes, gradients and groups')}")
    elif not space.startswith(_NOTES):
        _refuse(f"the SVG has <{name}> of {space or 'no namespace'}: save it as plain SVG")
    for attribute, value in element.attrib.items():
        plain = attribute.rpartition("}")[2].lower()
        if plain.startswith("on"):
            _refuse(f"the SVG has {plain}= at <{name}>: take it out, a logo does nothing")
        if (plain == "href" and not value.strip().startswith("#")) or _ELSEWHERE.search(value):
            _refuse(f"the SVG names something outside itself ({plain}={value[:40]!r}): a logo holds all that it draws")
    if name == "style" and _ELSEWHERE.search("".join(element.itertext())):
        _refuse("the SVG's style names something outside itself: a logo holds all that it draws")
