"""Reads Stripe's form encoding: `lines[0][metadata][no]=1` into nested dictionaries and lists, leaves as text."""

import re
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.stripe_server.refusals import Invalid

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def parse(encoded: str) -> dict[str, Any]:
    """The parameters of a request. A name given twice, or both as a value and as a container, is refused."""
    root: dict[str, Any] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True, strict_parsing=bool(encoded)):
        whole = _KEY.fullmatch(name)
        if whole is None:
            raise Invalid(f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
        path = [whole[1], *re.findall(r"\[([^\[\]]*)\]", whole[2])]
        at = root
        for step in path[:-1]:
            at = at.setdefault(step, {})
            if not isinstance(at, dict):
                raise Invalid(f"Invalid {path[0]}", param=path[0])
        if path[-1] == "":  # `expand[]=x`: the next of a list
            path[-1] = str(len(at))
        if path[-1] in at:
            raise Invalid(f"The parameter {name} was given twice", param=name)
        at[path[-1]] = value
    return {key: _listed(value) for key, value in root.items()}


def _listed(value: Any) -> Any:
    """Dictionaries whose keys are 0, 1, 2, ... are lists."""
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(each) for key, each in value.items()}
    if inner and list(inner) == [str(n) for n in range(len(inner))]:
        return list(inner.values())
    return inner
