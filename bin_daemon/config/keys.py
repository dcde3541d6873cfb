"""The tree of known keys, read from the settings classes: names, descriptions, which ones are secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from bin_daemon.config.complaints import nearest
from bin_daemon.config.positions import KeyPath
from bin_daemon.config.settings import Settings


def path_text(path: KeyPath) -> str:
    """``lids[1].category``; names that TOML would quote are quoted."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            out += ("." if out else "") + (part if re.fullmatch(r"[\w-]+", part) else f'"{part}"')
    return out


def value_at(tree: Any, path: KeyPath) -> Any:
    """The value at ``path`` of nested tables and lists, None when there is none (TOML has no null)."""
    for part in path:
        in_table = isinstance(tree, Mapping) and part in tree
        in_list = isinstance(tree, (list, tuple)) and isinstance(part, int) and part < len(tree)
        if not (in_table or in_list):
            return None
        tree = tree[part]
    return tree


def field_at(path: KeyPath) -> FieldInfo | None:
    """The declaration of the key at ``path``; array indices are skipped, and so are the names in a table of tables
    (``calibration.1``). None for tables with free keys and unknown keys.
    """
    model: type[BaseModel] | None = Settings
    found = None
    is_name = False
    for part in path:
        if isinstance(part, int) or is_name:
            is_name = False
            continue
        found = model.model_fields.get(part) if model else None
        model = section_of(found) if found else None
        is_name = found is not None and model is not None and get_origin(found.annotation) is dict
    return found


def section_of(info: FieldInfo) -> type[BaseModel] | None:
    """The section class of a table or of an array of tables."""
    candidates = (info.annotation, *get_args(info.annotation))
    return next((x for x in candidates if isinstance(x, type) and issubclass(x, BaseModel)), None)


def keys_of(path: KeyPath) -> list[str]:
    """The names that the table at ``path`` may hold; empty where any name may stand."""
    info = field_at(path) if path else None
    model = section_of(info) if info else (None if path else Settings)
    return list(model.model_fields) if model else []


@cache
def known_keys() -> tuple[KeyPath, ...]:
    """Every section and every key in it; arrays of tables count as one key."""
    return tuple(_walk(Settings, ()))


def _walk(model: type[BaseModel], prefix: KeyPath) -> Iterator[KeyPath]:
    for name, info in model.model_fields.items():
        yield (*prefix, name)
        section = section_of(info)
        is_array = section is not info.annotation
        if section is not None and not is_array:
            yield from _walk(section, (*prefix, name))


def is_secret(path: KeyPath) -> bool:
    """Whether the value must never be shown."""
    info = field_at(path)
    return info is not None and info.annotation is SecretStr


def may_be_secret(path: KeyPath) -> bool:
    """Whether the key is a secret, or may be a misspelt one: then its line is not shown whole."""
    names = [str(x[-1]) for x in known_keys() if is_secret(x)]
    return any(nearest(str(part), names) for part in path)
