"""Files that a page hands out: documents to save, and PDFs that are shown beside a page of ours."""

from urllib.parse import quote

from starlette.responses import Response

from service.dashboard.browser import in_our_frames


def file_response(content: bytes, media_type: str, name: str, *, inline: bool = False) -> Response:
    """A file under its name. `inline`: shown by the browser, also in a frame of a page made with `with_frames()`."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "-" for letter in name)
    how = "inline" if inline else "attachment"
    headers = {"Content-Disposition": f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"}
    if inline:
        headers |= in_our_frames()
    return Response(content, headers=headers, media_type=media_type)
