"""Reads YAML files strictly: a key written twice is refused, where YAML's own readers quietly keep the last one."""

from pathlib import Path
from typing import Any

import yaml

from core.errors import InvalidInput, NotFound


class _StrictLoader(yaml.SafeLoader):
    """Plain data only. A scalar that YAML takes for a date or number and that is none stays text, to be refused by
    whoever knows what it was meant to be."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value!r} is written twice in one mapping: keep one", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _lenient(kind: str) -> None:
    built_in = yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{kind}"]

    def construct(loader: _StrictLoader, node: yaml.ScalarNode) -> Any:
        try:
            return built_in(loader, node)
        except ValueError:
            return node.value

    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{kind}", construct)


for _kind in ("timestamp", "int", "float"):
    _lenient(_kind)


def read_document(path: Path) -> Any:
    """The data in a YAML file. Raises `NotFound` or `InvalidInput` with the file, the line and what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("not_text", f"{path} is not text in UTF-8") from None
    except OSError as error:
        raise NotFound("no_file", f"cannot read {path}: {error.strerror}") from None
    try:
        # S506: the loader is a SafeLoader that is stricter still.
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise InvalidInput("not_yaml", f"{path}{where}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise InvalidInput("not_yaml", f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise InvalidInput("too_deep", f"{path} is nested too deeply to be a catalogue") from None
