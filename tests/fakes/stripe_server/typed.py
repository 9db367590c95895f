"""Checks parameters against the `stripe` package's own TypedDicts, as strictly as Stripe itself.

The package's types say which parameters there are and of what kind. An enumeration is typed `Literal[...] | str`, to
let newer words through; here only the words that are listed pass.
"""

import re
from decimal import Decimal, InvalidOperation
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

from stripe._request_options import RequestOptions
from typing_extensions import is_typeddict as is_extended_typeddict

from tests.fakes.stripe_server.refusals import Invalid

MAX_METADATA_KEYS, MAX_METADATA_KEY, MAX_METADATA_VALUE = 50, 40, 500
MAX_TEXT = 5000


@cache
def fields_of(params: type) -> dict[str, tuple[Any, bool]]:
    """Each parameter with its type and whether it must be there."""
    found = {}
    theirs = {name: hint for name, hint in params.__annotations__.items() if name not in RequestOptions.__annotations__}
    only = type(params.__name__, (), {"__annotations__": theirs, "__module__": params.__module__})
    for name, hint in get_type_hints(only, include_extras=True).items():
        optional = get_origin(hint) is NotRequired
        found[name] = (get_args(hint)[0] if get_origin(hint) in (NotRequired, Required) else hint, not optional)
    return found


def check(given: dict[str, Any], params: type, at: str = "") -> dict[str, Any]:
    """`given` with its texts turned into what the types say; refuses what they do not know."""
    fields = fields_of(params)
    for name in given:
        if name not in fields:
            where = _inside(at, name)
            raise Invalid(f"Received unknown parameter: {where}", code="parameter_unknown", param=where)
    for name, (_, required) in fields.items():
        if required and name not in given:
            where = _inside(at, name)
            raise Invalid(f"Missing required param: {where}.", code="parameter_missing", param=where)
    return {name: _value(value, fields[name][0], _inside(at, name)) for name, value in given.items()}


def _value(given: Any, hint: Any, at: str) -> Any:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    words = [word for option in options if get_origin(option) is Literal for word in get_args(option)]
    if any(word != "" for word in words):
        options = tuple(option for option in options if option is not str)  # an enumeration: only its own words
    if given in words and isinstance(given, str):
        return given
    kinds = [option for option in options if get_origin(option) is not Literal and option is not NoneType]
    for kind in kinds:
        if get_origin(kind) is list and isinstance(given, list):
            return [_value(each, get_args(kind)[0], f"{at}[{n}]") for n, each in enumerate(given)]
        if get_origin(kind) is dict and isinstance(given, dict):
            return _metadata(given, at)
        if _is_params(kind) and isinstance(given, dict):
            return check(given, kind, at)
        if isinstance(given, str) and kind in _READERS:
            return _READERS[kind](given, at)
    if words:
        listed = ", ".join(repr(word) for word in words if word)
        raise Invalid(f"Invalid {at}: must be one of {listed}", param=at)
    raise Invalid(f"Invalid {_shape(kinds)}: {given!r}"[:200], param=at)


def _is_params(kind: Any) -> bool:
    return is_typeddict(kind) or is_extended_typeddict(kind)


def _shape(kinds: list[Any]) -> str:
    if any(get_origin(kind) is list for kind in kinds):
        return "array"
    return "object" if any(_is_params(kind) or get_origin(kind) is dict for kind in kinds) else "value"


def _metadata(given: dict[str, Any], at: str) -> dict[str, str]:
    if len(given) > MAX_METADATA_KEYS:
        raise Invalid("Metadata can have at most 50 keys", param=at)
    for key, value in given.items():
        if not isinstance(value, str):
            raise Invalid(f"Invalid metadata value for {key}: it must be text", param=f"{at}[{key}]")
        if len(key) > MAX_METADATA_KEY or len(value) > MAX_METADATA_VALUE:
            raise Invalid(
                f"Metadata keys have at most {MAX_METADATA_KEY}, values at most {MAX_METADATA_VALUE} characters",
                param=f"{at}[{key}]",
            )
    return given


def _integer(given: str, at: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", given, re.ASCII):
        raise Invalid(f"Invalid integer: {given}"[:200], code="parameter_invalid_integer", param=at)
    return int(given)


def _boolean(given: str, at: str) -> bool:
    if given not in ("true", "false"):
        raise Invalid(f"Invalid boolean: {given}"[:200], param=at)
    return given == "true"


def _decimal(given: str, at: str) -> Decimal:
    try:
        return Decimal(given)
    except InvalidOperation:
        raise Invalid(f"Invalid decimal: {given}"[:200], param=at) from None


def _text(given: str, at: str) -> str:
    if given == "":
        raise Invalid(
            f"You passed an empty string for '{at}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{at}' cannot be unset.",
            code="parameter_invalid_empty",
            param=at,
        )
    if len(given) > MAX_TEXT:
        raise Invalid(f"Invalid string: must be at most {MAX_TEXT} characters", param=at)
    return given


_READERS: dict[Any, Any] = {int: _integer, bool: _boolean, Decimal: _decimal, str: _text}


def _inside(at: str, name: str) -> str:
    return f"{at}[{name}]" if at else name
