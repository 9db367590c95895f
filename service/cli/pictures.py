"""Logos that a catalogue names: read from beside it, judged, and drawn once before anything is applied."""

from collections.abc import Callable
from pathlib import Path

from core.errors import InvalidInput, NotFound
from core.invoicing.paper.document import Logo, demand_drawable
from core.registry.pictures import Picture, check_size, picture_of


def pictures_beside(catalogue: Path) -> Callable[[str], Picture]:
    """A reader of pictures by their names relative to the catalogue's folder. Refusals say what to change."""

    def read(name: str) -> Picture:
        file = catalogue.parent / name
        try:
            if not file.is_file():
                raise NotFound("no_file", f"there is no file {file}: the path is relative to the catalogue")
            check_size(file.stat().st_size)
            content = file.read_bytes()
        except OSError as error:
            raise NotFound("no_file", f"cannot read {file}: {error.strerror}") from None
        except ValueError:
            raise InvalidInput("no_file", "this is not the path of a file") from None
        found = picture_of(content)
        demand_drawable(Logo(found.media_type, content))
        return found

    return read
