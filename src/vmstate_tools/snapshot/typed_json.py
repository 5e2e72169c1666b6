"""JSON text to frozen dataclasses and back: the dataclass is the schema.

Known types are bool, int, float, str, datetime, `X | None`, `tuple[X, ...]`, `dict[str, X]` and
other dataclasses of these. A key that the dataclass does not have is passed over (a newer
version may have added it); one that is missing is an error unless the field has a default.
"""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

WORDS = {
    bool: "true or false",
    int: "an integer from 0 to 2^64 - 1",
    float: "a number",
    str: "a text without NUL",
    datetime: "a time with its zone as in RFC 3339",
}

SHOWN_CHARACTERS = 40
"""How much of a wrong value an error message shows."""


class SchemaError(ValueError):
    """A value is not what the dataclass says; the message names the key."""


def load_json(text: bytes) -> object:
    """Parse JSON, refusing what JSON does not have (NaN) and what has no bottom.

    Raises:
        SchemaError: it is not JSON.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"not JSON: {error}") from error


def from_json(kind: type[T], value: object, key: str = "") -> T:
    """Make a `kind` of a parsed JSON value.

    Args:
        key: Where the value stands, as `disks[0].frozen`; empty for the whole document.

    Raises:
        SchemaError: the value, or one inside it, is not of the type that the dataclass says.
    """
    return cast("T", _read(kind, value, key))


def to_json(value: object) -> Any:  # noqa: ANN401 (as json.loads)
    """Make a JSON value of a dataclass, or of what one holds."""
    if is_dataclass(value):
        return {item.name: to_json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, dict):
        return {key: to_json(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [to_json(inner) for inner in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def _read(kind: Any, value: object, key: str) -> object:  # noqa: ANN401 (a type expression)
    if is_dataclass(kind):
        return _read_dataclass(cast("type[object]", kind), value, key)
    if get_origin(kind) is UnionType:
        return _read_optional(kind, value, key)
    if get_origin(kind) is tuple:
        return _read_tuple(get_args(kind)[0], value, key)
    if get_origin(kind) is dict:
        return _read_dict(get_args(kind)[1], value, key)
    return _read_scalar(kind, value, key)


def _read_dataclass(kind: type[object], value: object, key: str) -> object:
    values = _expect(dict, value, key, "an object")
    arguments = {}
    for name, (inner, required) in _members(cast("Any", kind)).items():
        inner_key = f"{key}.{name}" if key else name
        if name in values:
            arguments[name] = _read(inner, values[name], inner_key)
        elif required:
            raise SchemaError(f"{inner_key} is missing")
    return kind(**arguments)


@cache
def _members(kind: Any) -> dict[str, tuple[Any, bool]]:  # noqa: ANN401 (a dataclass)
    hints = get_type_hints(kind)
    return {item.name: (hints[item.name], item.default is MISSING) for item in fields(kind)}


def _read_optional(kind: UnionType, value: object, key: str) -> object:
    if value is None:
        return None
    (inner,) = (member for member in get_args(kind) if member is not NoneType)
    return _read(inner, value, key)


def _read_tuple(inner: object, value: object, key: str) -> object:
    items = _expect(list, value, key, "a list")
    return tuple(_read(inner, item, f"{key}[{index}]") for index, item in enumerate(items))


def _read_dict(inner: object, value: object, key: str) -> object:
    values = _expect(dict, value, key, "an object")
    return {name: _read(inner, item, f"{key}[{name!r}]") for name, item in values.items()}


def _read_scalar(kind: type[object], value: object, key: str) -> object:
    read = READERS[kind](value)
    if read is None:
        raise SchemaError(f"{key} is {_shorten(value)} (expected {WORDS[kind]})")
    return read


def _expect(kind: type[T], value: object, key: str, words: str) -> T:
    if not isinstance(value, kind):
        raise SchemaError(f"{key or 'the document'} is {_shorten(value)} (expected {words})")
    return value


def _read_bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _read_int(value: object) -> int | None:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return value if is_int and 0 <= value < 1 << 64 else None  # type: ignore[return-value,operator]


def _read_float(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # A JSON integer may be longer than any float.
    return float(value) if abs(value) < 1 << 64 and math.isfinite(value) else None


def _read_str(value: object) -> str | None:
    return value if isinstance(value, str) and "\0" not in value else None


def _read_time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo else None


READERS: dict[object, Callable[[object], object]] = {
    bool: _read_bool,
    int: _read_int,
    float: _read_float,
    str: _read_str,
    datetime: _read_time,
}


def _shorten(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _refuse_constant(name: str) -> object:
    raise SchemaError(f"{name} is no JSON number")
