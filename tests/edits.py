"""Edits of a loaded document by path, for tests of what is read strictly."""

from typing import Any

MISSING = object()


def edited(document: Any, path: str, value: object) -> Any:
    """Sets, or with MISSING removes, what is at a path such as `models.0.slug`; the document itself, changed."""
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    inner = document
    for part in way:
        inner = inner[part]
    if value is MISSING:
        del inner[last]
    elif isinstance(inner, list) and last == len(inner):
        inner.append(value)
    else:
        inner[last] = value
    return document
