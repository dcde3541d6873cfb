"""Whatever stands in the file, a technician reads a report and never a traceback."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from bin_daemon.config import load
from bin_daemon.config.keys import known_keys
from bin_daemon.errors import ConfigError

NAMES = st.sampled_from(
    [str(key[-1]) for key in known_keys()] + ["kitchen", "recyclable", "lid", "category", "x y", "回收"]
)
SCALARS = st.integers(-(2**62), 2**62) | st.sampled_from(
    [0.5, -1.0, 1e300, True, False, "", "none", "kitchen", "4", "geheim", "v4l2:/dev/x", "\n"]
)
TREES = st.dictionaries(
    NAMES,
    st.recursive(
        SCALARS,
        lambda x: st.lists(x, max_size=5) | st.dictionaries(NAMES, x, max_size=5) | st.dictionaries(NAMES, x),
        max_leaves=12,
    ),
    max_size=5,
)


def toml(value: Any) -> str:
    """As an inline value."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


@settings(max_examples=30, deadline=None)
@given(TREES)
def test_any_tree_is_loaded_or_told(tree: dict[str, Any]) -> None:
    """Each reported line names the file, and a key that the file really has."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {}, clear=True):
        file = Path(folder) / "bin.toml"
        file.write_text("".join(f"{json.dumps(k, ensure_ascii=False)} = {toml(v)}\n" for k, v in tree.items()), "utf-8")
        file.chmod(0o600)
        try:
            load(file)
        except ConfigError as error:
            told = [x for x in str(error).split("\n") if not x.startswith(" ")]
            assert told
            assert all(x.startswith((f"{file}:", "defaults: ")) for x in told)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet="[]{}=\".'#\n a1\\", max_size=60).map(str.encode))
def test_any_bytes_are_loaded_or_told(data: bytes) -> None:
    """Also what is no TOML and no text at all."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {}, clear=True):
        file = Path(folder) / "bin.toml"
        file.write_bytes(data)
        file.chmod(0o600)
        try:
            load(file)
        except ConfigError as error:
            told = str(error)
        else:
            return
        assert told.startswith(str(file))
