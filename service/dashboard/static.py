"""Files that never change under their address: the address holds a hash of the content, so browsers keep them."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"
_FOR_EVER = "public, max-age=31536000, immutable"
_KINDS = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".woff2": "font/woff2"}
_SMALLER_AS_GZIP = {".js", ".css", ".svg"}
router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _File:
    mark: str
    content: bytes
    zipped: bytes | None
    kind: str


def static_address(name: str) -> str:
    """The address of a file in static/: `/static/3f2a9c11d0/perimage.css`. KeyError for one that is not there."""
    return _addresses()[name]


@router.get("/static/{mark}/{name:path}")
async def static_file(request: Request, mark: str, name: str) -> Response:
    """The file. A font comes under the mark of the stylesheet that asks for it: what is in vendor/ never changes."""
    file = _files().get(name)
    if file is None:
        return Response("There is no such file.", 404, media_type="text/plain")
    lasting = mark == file.mark or name.startswith("vendor/")
    headers = {
        "Cache-Control": _FOR_EVER if lasting else "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept-Encoding",
    }
    if file.zipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.zipped, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.kind)
    return Response(file.content, headers=headers, media_type=file.kind)


@cache
def _addresses() -> dict[str, str]:
    found = {}
    for file in sorted(FOLDER.rglob("*")):
        if file.is_file():
            name = file.relative_to(FOLDER).as_posix()
            found[name] = f"/static/{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}/{name}"
    return found


@cache
def _files() -> dict[str, _File]:
    found = {}
    for name, address in _addresses().items():
        mark = address.split("/")[2]
        content, suffix = (FOLDER / name).read_bytes(), Path(name).suffix
        kind = _KINDS.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        zipped = gzip.compress(content, 6, mtime=0) if suffix in _SMALLER_AS_GZIP else None
        found[name] = _File(mark, content, zipped, kind)
    return found
