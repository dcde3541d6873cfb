"""The Python-styled config text that mmcls, mmpretrain and ModelScope write into a checkpoint, read without running it.

``meta.config`` (mmcv) or ``meta.cfg`` (mmengine) is a list of assignments like ``data = dict(test=dict(pipeline=[...]))``. Only
literals, ``dict(...)``, lists, tuples and names assigned before are understood; the text is parsed, never executed.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bin_daemon.model.importing.pipeline import read_pipeline

if TYPE_CHECKING:
    from bin_daemon.model.bundle import Preprocessing

MAX_CHARACTERS = 1 << 20
"""mmcls's are about 5,000 characters long."""
PLACES = (
    ("data", "test", "pipeline"),
    ("test_dataloader", "dataset", "pipeline"),
    ("preprocessor", "val"),
    ("test_pipeline",),
)
"""Where the test transforms stand: mmcls, mmpretrain, ModelScope, and the name that both of the former build them under."""


def read_written_config(place: str, meta: Mapping[str, Any]) -> tuple[Preprocessing, str] | None:
    """Preprocessing by the checkpoint's own config text and where in it; None where it does not say.

    ModelError, with place, key and value, where it says what is not implemented.
    """
    for key in ("config", "cfg"):
        values = _parse(meta.get(key))
        for path in PLACES:
            steps = _at(values, path)
            if isinstance(steps, list) and steps:
                where = f"meta.{key}: {'.'.join(path)}"
                outside = values.get("data_preprocessor") or _at(values, ("model", "data_preprocessor"))
                normalise = outside if isinstance(outside, Mapping) and "mean" in outside else None
                return read_pipeline(f"{place}: {where}", steps, normalise), where
    return None


def _parse(text: Any) -> dict[str, Any]:
    """What is assigned in the text, as far as it is plain values; empty where it is no such text."""
    values: dict[str, Any] = {}
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        return values
    try:
        for line in ast.parse(text).body:
            if isinstance(line, ast.Expr) and isinstance(
                line.value, ast.Dict
            ):  # mmcv's way with keys that are no names
                values |= _value(line.value, values)
            if isinstance(line, ast.Assign) and isinstance(target := line.targets[0], ast.Name):
                values[target.id] = _value(line.value, values)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return values


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """A plain value; None for anything that would have to be computed."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {x.arg: _value(x.value, known) for x in node.keywords if x.arg}
    if isinstance(node, ast.Dict):
        return {
            k.value: _value(v, known)
            for k, v in zip(node.keys, node.values, strict=True)
            if isinstance(k, ast.Constant)
        }
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(x, known) for x in node.elts]
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _value(node.operand, known)
        return -number if isinstance(number, (int, float)) else None
    return node.value if isinstance(node, ast.Constant) else None


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values
