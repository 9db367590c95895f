"""Every way the core says no.

    PerimageError
    ├── InvalidInput     what was handed in cannot be understood; the caller must change it
    ├── NotFound         no such thing, or not yours to see
    ├── NotAllowed       you may not do this
    ├── Conflict         it contradicts something that stands already
    └── Unavailable      nothing wrong with the request; try again later

Each carries a stable `code` for machines and a sentence for people that says what to change. The doors turn the class
into a status: HTTP problems in `service/problems.py`, exit codes on the command line.
"""

from typing import Any


class PerimageError(Exception):
    """A refusal with a code, a sentence, and, where it helps, the place in the input that caused it."""

    def __init__(self, code: str, sentence: str, **detail: Any) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.detail = detail


class InvalidInput(PerimageError):
    """What was handed in cannot be understood; the caller must change it."""


class NotFound(PerimageError):
    """No such thing, or not the caller's to see."""


class NotAllowed(PerimageError):
    """The caller may not do this."""


class Conflict(PerimageError):
    """It contradicts something that stands already."""


class Unavailable(PerimageError):
    """Nothing is wrong with the request; it may be repeated later."""
