"""Pages of long lists: `next` of one page is `after` of the following one, and means nothing to anybody else."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Query

from core.errors import InvalidInput

Row = TypeVar("Row")
NEXT = "give it as `after` to get what follows; null on the last page"
Limit = Annotated[int, Query(ge=1, le=1000)]
After = Annotated[str | None, Query(max_length=1000, description="`next` of the page before")]


def next_mark(rows: Sequence[Row], limit: int, place: Callable[[Row], Sequence[Any]]) -> str | None:
    """Where the page after a full one begins, from the values by which its last row is in order; else None."""
    return msgspec.json.encode(place(rows[-1])).decode() if len(rows) == limit else None


def read_mark(text: str | None, kind: Any) -> Any:
    """The values of such a place, which are a tuple of this kind. Raises InvalidInput for text that no page gave."""
    if text is None:
        return None
    try:
        values = msgspec.json.decode(text.encode(), type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        values = None
    if values is None or any(isinstance(value, str) and "\x00" in value for value in values):
        raise InvalidInput("invalid_after", "after must be the next of the page before")
    return values
