"""The TOML reader of this Python: the standard library's, or tomli, which it was made from."""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info >= (3, 11):
    from tomllib import TOMLDecodeError, loads
else:
    from tomli import TOMLDecodeError, loads

__all__ = ["TOMLDecodeError", "parse_toml"]


def parse_toml(text: str) -> dict[str, Any]:
    """Parse; raises TOMLDecodeError, whose text ends in ``(at line L, column C)``."""
    tree: dict[str, Any] = loads(text)
    return tree
