"""The invoice as a PDF: a frozen snapshot in, bytes out, and the same bytes for the same snapshot everywhere.

Every string that will stand on the paper is made in `page.py`, from the snapshot's own strings; the template only
places them. So amounts are never recomputed in a typesetter's floats, and text from outside is data, never markup: it
travels as JSON in one `sys.inputs` value. Nothing is read but the template, the fonts inside the typst wheel and, where
it is installed, the font wheel for Chinese, Japanese and Korean characters.

A template that has been used for an issued invoice never changes: a new look or new words are a new version, so that
what was sent can be made again. An issued invoice is PDF/A-3b, dated by its `issued_at`. Two kinds are plain PDFs:
drafts, which have no date to carry, and invoices with characters that no font here has (emoji, Thai, Devanagari): there
the archive profile forbids the empty boxes that are printed in their place.
"""

import hashlib
import json
import logging
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import typst

from core.errors import InvalidInput
from core.invoicing.paper.page import page_of
from core.invoicing.paper.speech import speech_of

TEMPLATE_VERSION = "invoice-2"
TEMPLATES = ("invoice-1", "invoice-2")
CJK = "noto_cjk_sans_jp_regular"
Standard = Literal["a-3b"]
_LOGO = "logo.svg"

_FOLDER = Path(__file__).parent / "templates"
_log = logging.getLogger("perimage.documents")


_TRIAL = b"""
#set document(title: "logo", date: datetime(year: 2026, month: 1, day: 1))
#image("logo.svg", alt: "logo", height: 15mm)
"""


@dataclass(frozen=True, slots=True)
class Logo:
    """A licensor's picture: PNG or SVG bytes, as its media type says. A snapshot names it by the hash of its bytes."""

    media_type: str
    content: bytes


def render_pdf(invoice: Mapping[str, Any], *, template: str = TEMPLATE_VERSION, logo: Logo | None = None) -> bytes:
    """The invoice snapshot as a PDF of A4 pages; the same snapshot gives the same bytes on every machine.

    `issued_at` (ISO instant) becomes the creation date. A snapshot without a number, or with status "draft", is marked
    DRAFT. `logo` is the one that the snapshot names, whose bytes it does not hold. Raises
    `InvalidInput("incomplete_invoice")` if the snapshot lacks a field that an invoice cannot be without,
    `InvalidInput("wrong_logo")` for another logo or none, `InvalidInput("unknown_template")` for a version that there
    is none of.
    """
    if template not in TEMPLATES:
        raise InvalidInput("unknown_template", f"there is no template {template!r}: use {' or '.join(TEMPLATES)}")
    try:
        page = page_of(invoice, template)
    except (KeyError, TypeError, ValueError) as problem:
        raise InvalidInput("incomplete_invoice", f"this is not a whole invoice snapshot: {problem!r}") from problem
    sources = {"main.typ": (_FOLDER / f"{template}.typ").read_bytes()}
    named = invoice["licensor"].get("logo_sha256")
    if named != (hashlib.sha256(logo.content).hexdigest() if logo else None):
        raise InvalidInput("wrong_logo", f"this invoice was issued with the logo {named}: give its bytes")
    if logo is not None:
        page["logo"] = _LOGO
        sources[_LOGO] = _as_svg(logo)
    page["colours"] = invoice["licensor"].get("colours") or {}
    if page["created"] is None:
        return _compile(sources, page, None)
    try:
        return _compile(sources, page, "a-3b")
    except typst.TypstError as problem:
        if "could not be displayed" not in str(problem):
            raise
        hint = "" if has_cjk() else "; for Chinese, Japanese and Korean install perimage-server[cjk]"
        _log.warning("invoice %s has characters without a glyph and is no archive PDF%s", page["number"], hint)
        return _compile(sources, page, None)


def demand_drawable(logo: Logo) -> None:
    """Draws a logo once, as an archive PDF would hold it. `InvalidInput("bad_logo")` if that cannot be done."""
    sources = {"main.typ": _TRIAL, _LOGO: _as_svg(logo)}
    try:
        _typeset(sources, {}, "a-3b", with_cjk=False)
    except typst.TypstError as problem:
        raise InvalidInput("bad_logo", f"this picture cannot be drawn: {problem}") from problem


def _as_svg(logo: Logo) -> bytes:
    """A PNG inside an SVG of its size: of sources in memory the typesetter reads text alone."""
    if logo.media_type == "image/svg+xml":
        return logo.content
    width, height = (int.from_bytes(logo.content[at : at + 4], "big") for at in (16, 20))  # of the head of a PNG
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"><image width="{width}" '
        f'height="{height}" href="data:image/png;base64,{b64encode(logo.content).decode()}"/></svg>'
    ).encode()


def title_of(invoice: Mapping[str, Any]) -> str:
    """What the document calls itself: "Licence fee invoice OWG-000001"."""
    kind = "credit_note" if invoice["kind"] in ("credit", "credit_note") else "invoice"
    return f"{speech_of(invoice).say(kind)} {invoice['number']}"


def has_cjk() -> bool:
    """Whether the font for Chinese, Japanese and Korean characters is installed."""
    return find_spec(CJK) is not None


def _compile(sources: dict[str, bytes], page: dict[str, Any], standard: Standard | None) -> bytes:
    inputs = {"page": json.dumps(page, ensure_ascii=False)}
    return _typeset(sources, inputs, standard, with_cjk=page["version"] != "invoice-1")


def _typeset(sources: dict[str, bytes], inputs: dict[str, str], standard: Standard | None, *, with_cjk: bool) -> bytes:
    made: bytes = typst.compile(
        sources,  # type: ignore[call-overload]  # bytes by file name: the stubs do not know of it
        font_paths=_fonts(with_cjk=with_cjk),
        ignore_system_fonts=True,
        sys_inputs=inputs,
        pdf_standards=standard,
        timestamp=0,  # never the clock; the document's own date comes from issued_at
    )
    return made


@cache
def _fonts(*, with_cjk: bool) -> typst.Fonts:
    if not with_cjk or not has_cjk():
        return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)
    with as_file(files(CJK)) as folder:
        return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=[folder])
