"""Bytes in pieces of any size to lines, without ever holding more than a line and a piece."""

from collections.abc import Iterable, Iterator

from core.errors import InvalidInput

MAX_LINE = 256 * 1024
BOM = b"\xef\xbb\xbf"
# What people send by mistake, by its first bytes.
_FOREIGN = {
    b"PK\x03\x04": "an Excel workbook or another ZIP archive: export it as CSV",
    b"\x1f\x8b": "compressed with gzip: send it as it is",
    b"(\xb5/\xfd": "compressed with zstd: send it as it is",
    b"PAR1": "Parquet: say so",
    b"\xff\xfe": "in UTF-16: save it in UTF-8",
    b"\xfe\xff": "in UTF-16: save it in UTF-8",
}


def blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut only after line feeds and at the end. A byte order mark at the start is left out.

    Raises InvalidInput for a file that is no text, and for a line that does not end.
    """
    begun: list[bytes] = []  # of the line that has not ended yet
    size = 0
    at_start = True
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        if end:
            data = b"".join([*begun, piece[:end]])
            begun, size = [], 0
            yield _first_of(data) if at_start else data
            at_start = False
        begun.append(piece[end:])
        size += len(piece) - end
        if size > 4 * MAX_LINE:  # lines are measured in letters, of at most four bytes
            raise too_long()
    if size:
        data = b"".join(begun)
        yield _first_of(data) if at_start else data


def _first_of(data: bytes) -> bytes:
    for start, what in _FOREIGN.items():
        if data.startswith(start):
            raise InvalidInput("wrong_format", f"the file is {what}")
    return data.removeprefix(BOM)


def lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, without what ends them."""
    for block in blocks(pieces):
        for line in block.removesuffix(b"\n").split(b"\n"):
            if len(line) > MAX_LINE:
                raise too_long()
            yield line


def text_lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """The lines as text, with what ends them; bytes that are not UTF-8 as lone surrogates."""
    for block in blocks(pieces):
        for line in block.removesuffix(b"\n").decode(errors="surrogateescape").split("\n"):
            if len(line) > MAX_LINE:
                raise too_long()
            yield line + "\n"


def too_long() -> InvalidInput:
    return InvalidInput(
        "line_too_long", f"the file has a line of more than {MAX_LINE:,} characters: shorten it or leave columns out"
    )
