"""pydantic's errors in a technician's words."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from pydantic import WithJsonSchema

from bin_daemon.config.complaints import Complaint, nearest
from bin_daemon.config.keys import field_at, is_secret, keys_of, known_keys, path_text, value_at
from bin_daemon.config.layers import Layer, setter

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from bin_daemon.config.positions import KeyPath

_PLAIN = {
    "int_parsing": "not an integer",
    "int_type": "not an integer",
    "int_from_float": "not an integer",
    "float_parsing": "not a number",
    "float_type": "not a number",
    "finite_number": "not a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be a list",
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be less than {lt:g}",
    "string_too_long": "must be at most {max_length} characters",
    "too_long": "has too many values (at most {max_length})",
    "too_short": "has too few values (at least {min_length})",
}


def complaint(error: ErrorDetails, layers: Sequence[Layer]) -> Complaint:
    """One pydantic error with the place that set the value."""
    path: KeyPath = tuple(x for x in error["loc"] if x != "[key]")
    return complain(path, _say(error, path), layers)


def complain(path: KeyPath, text: str, layers: Sequence[Layer]) -> Complaint:
    """``text`` about the key at ``path``, with the place that has the last word on it and the one it overrides."""
    set_by = setter(layers, path)
    if set_by is None:
        return Complaint("defaults", f"{path_text(path)}: {text}")
    layer, at = set_by
    lower = [x for x in layers[: layers.index(layer)] if x.positions and x.has(path)]
    if lower and at == path and not is_secret(path):
        text += f"; {lower[-1].place(path)} says {_shown(value_at(lower[-1].tree, path), plain=True)}"
    return Complaint(layer.place(at, column=True), f"{path_text(path)}: {text}", layer.excerpt(at))


def _say(error: ErrorDetails, path: KeyPath) -> str:
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown key.{_meant(path)}"
    if kind == "missing":
        return "missing"
    got = "" if is_secret(path) else f" (got {_shown(given)})"
    if kind in {"enum", "literal_error"}:
        return _choice(path, error, given)
    if kind == "string_pattern_mismatch":
        info = field_at(path)
        return f"not allowed here{got}. {info.description if info else ''}".rstrip()
    if kind in _PLAIN:
        return _PLAIN[kind].format(**error.get("ctx", {})) + got
    return error["msg"].removeprefix("Value error, ") + ("" if isinstance(given, dict) else got)


def _choice(path: KeyPath, error: ErrorDetails, given: Any) -> str:
    info = field_at(path)
    words = next((x.json_schema for x in (info.metadata if info else ()) if isinstance(x, WithJsonSchema)), None)
    expected = str(error.get("ctx", {}).get("expected", ""))
    options = words["enum"] if words else [x.strip("'") for x in expected.replace(" or ", ", ").split(", ")]
    listed = options[0] if len(options) == 1 else f"{', '.join(options[:-1])} or {options[-1]}"
    near = nearest(str(given), options)
    meant = f'; did you mean "{near}"?' if near else ""
    return f"must be {listed} (got {_shown(given)}{meant})"


def _meant(path: KeyPath) -> str:
    """The nearest name in the same table, else the same name in another one."""
    name = str(path[-1])
    near = nearest(name, keys_of(path[:-1]))
    if near:
        return f' Did you mean "{near}"?'
    elsewhere = [path_text(x) for x in known_keys() if x[-1] == name]
    return f' Did you mean "{elsewhere[0]}"?' if elsewhere else ""


def _shown(value: Any, *, plain: bool = False) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)[:80]
    return f'"{text}"' if isinstance(value, str) and not plain else text
