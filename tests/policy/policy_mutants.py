"""Test the tests: break the policy in every small way, one at a time, and see that the rule tests notice.

``python tests/policy/policy_mutants.py`` prints each mutant that survives without being explained in `EQUIVALENT`, and exits 1 if
there is one. Each mutant runs in a forked child, so that nothing is written and nothing but the policy is loaded twice. Not part
of CI: it takes some minutes on one core.
"""

from __future__ import annotations

import ast
import contextlib
import os
import sys
import types
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

import bin_daemon.policy

SOURCE = Path(bin_daemon.policy.__file__)
RULES = Path(__file__).with_name("test_policy_rules.py")

SWAPS: dict[type[ast.AST], list[type[ast.AST]]] = {
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Add],
    ast.Div: [ast.Mult],
}

CHANGED = (ast.Compare, ast.BoolOp, ast.BinOp, ast.If, ast.IfExp, ast.UnaryOp, ast.Call, ast.Constant, ast.Attribute)
OTHER_WORD = {
    "Reason": ("FULL", "SORTED"),
    "Category": ("OTHER", "KITCHEN"),
    "LidPosition": ("FAULT", "CLOSED"),
    "Mode": ("AUTO", "PAUSED"),
}
"""A word of an enumeration becomes the first of these, or the second where it is the first."""

IS_DISTRIBUTION = (
    "return all((0 <= p <= 1 + SUM_TOLERANCE for p in probs.values())) "
    "and abs(math.fsum(probs.values()) - 1) <= SUM_TOLERANCE"
)
SOUND_LID = "return (min(sound, key=lambda x: lids.lids[x.lid].full_frac or 0.0), (Reason.SORTED, ''))"
EQUIVALENT: dict[str, str] = {
    "LtE -> Lt in abs(math.fsum(probs.values()) - 1) <= SUM_TOLERANCE": (
        "a double near 1, less 1, is a multiple of 2**-53; 0.02 is none, so the two are never equal"
    ),
    f"1 -> 2 in {IS_DISTRIBUTION}": "a number between 1.02 and 2.02 is caught by the sum; the bound keeps fsum from overflowing",
    f"0.0 -> -1.0 in {SOUND_LID}": "an empty lid's 0.0 is false as well: empty and unknown stay equal, all others stay above",
    f"Reason.SORTED -> FULL in {SOUND_LID}": "beside a sound lid stands no refusal: nobody reads it",
}
"""Mutants that no test can notice, by their description without the line, and why."""


def mutants(tree: ast.Module) -> Iterator[tuple[str, ast.Module]]:
    """Each tree with one change: an operator, a ``not`` less, a condition turned or forced, a number, a word, min and max."""
    nodes = list(ast.walk(tree))
    statement: dict[int, ast.stmt] = {}  # the innermost one: it is walked last
    for stmt in (x for x in nodes if isinstance(x, ast.stmt)):
        statement.update((id(inner), stmt) for inner in ast.walk(stmt))
    for index in (n for n, node in enumerate(nodes) if isinstance(node, CHANGED)):
        for variant in range(3):
            mutant = deepcopy(tree)
            said = change(list(ast.walk(mutant))[index], variant)
            if said and isinstance(nodes[index], (ast.Constant, ast.Attribute)):
                said += f" in {ast.unparse(statement[id(nodes[index])])}".split("\n", 1)[0]
            if said:
                yield f"line {getattr(nodes[index], 'lineno', '?')}: {said}", mutant


def change(node: ast.AST, variant: int) -> str:  # noqa: PLR0911  # one for each kind of change
    """Change this node in place; empty when there is no such variant."""
    if isinstance(node, ast.Compare) and variant < len(SWAPS.get(type(node.ops[0]), ())):
        new = SWAPS[type(node.ops[0])][variant]
        said = f"{type(node.ops[0]).__name__} -> {new.__name__} in {ast.unparse(node)}"
        node.ops[0] = new()  # type: ignore[call-overload]
        return said
    if isinstance(node, (ast.BoolOp, ast.BinOp)) and variant < len(SWAPS.get(type(node.op), ())):
        new = SWAPS[type(node.op)][variant]
        said = f"{type(node.op).__name__} -> {new.__name__} in {ast.unparse(node)}"
        node.op = new()  # type: ignore[assignment]
        return said
    if isinstance(node, (ast.If, ast.IfExp)):
        said = ("if True:", "if False:", "if not")[variant] + f" ({ast.unparse(node.test)})"
        node.test = ast.Constant(variant == 0) if variant < 2 else ast.UnaryOp(ast.Not(), node.test)
        return said
    if isinstance(node, ast.Constant) and variant < 2:  # two directions
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            return ""
        said = f"{node.value} -> {node.value + (1, -1)[variant]}"
        node.value += (1, -1)[variant]
        return said
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and variant == 0:
        first, second = OTHER_WORD.get(node.value.id, ("", ""))
        said = f"{ast.unparse(node)} -> {first if node.attr != first else second}" if first else ""
        node.attr = (first if node.attr != first else second) or node.attr
        return said
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) and variant == 0:
        said = f"without not: {ast.unparse(node)}"
        node.op = ast.UAdd()
        node.operand = ast.Call(ast.Name("bool", ast.Load()), [node.operand], [])
        return said
    names = {"min": "max", "max": "min", "all": "any", "any": "all"}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names and variant == 0:
        said = f"{node.func.id} -> {names[node.func.id]} in {ast.unparse(node)}"
        node.func.id = names[node.func.id]
        return said
    return ""


def survives(mutant: ast.Module) -> bool:
    """Whether the rule tests pass with this policy."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        module = types.ModuleType("bin_daemon.policy")
        sys.modules["bin_daemon.policy"] = module
        code = 1
        with contextlib.suppress(Exception):
            exec(compile(ast.fix_missing_locations(mutant), "mutant", "exec"), module.__dict__)  # noqa: S102 - our own source, changed
            code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", str(RULES)]))
    os._exit(code)


def main() -> int:
    """Run all mutants; 1 if one survived unexplained."""
    tree = ast.parse(SOURCE.read_text("utf-8"))
    total, explained, alive = 0, 0, 0
    for said, mutant in mutants(tree):
        total += 1
        if not survives(mutant):
            continue
        if said.split(": ", 1)[1] in EQUIVALENT:  # whatever its line
            explained += 1
            continue
        alive += 1
        sys.stdout.write(f"survived: {said}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{total} mutants, {explained} survived as explained, {alive} unexplained\n")
    return min(alive, 1)


if __name__ == "__main__":
    sys.exit(main())
