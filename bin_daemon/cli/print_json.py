"""How every command prints for scripts: one object, one line, at once."""

from __future__ import annotations

from typing import Any


def print_json(value: Any) -> None:
    """One value as one line of JSON on stdout."""
    import orjson

    print(orjson.dumps(value).decode("utf-8"), flush=True)
