"""Test the tests: break the policy in every small way, one at a time, and see that the rule tests notice.

``python tests/policy/policy_mutants.py`` prints each mutant that survives and exits 1 if there is one. Each mutant runs in a
forked child, so that nothing is written and nothing but the policy is loaded twice.
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

CHANGED = (ast.Compare, ast.BoolOp, ast.BinOp, ast.If, ast.IfExp, ast.UnaryOp, ast.Call)


def mutants(tree: ast.Module) -> Iterator[tuple[str, ast.Module]]:
    """Each tree with one operator changed, one ``not`` taken away, one condition turned, or min, max, all, any swapped."""
    places = [index for index, node in enumerate(ast.walk(tree)) if isinstance(node, CHANGED)]
    for index in places:
        for variant in range(3):
            mutant = deepcopy(tree)
            node = list(ast.walk(mutant))[index]
            said = change(node, variant)
            if said:
                yield f"line {getattr(node, 'lineno', '?')}: {said}", mutant


def change(node: ast.AST, variant: int) -> str:
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
    if isinstance(node, (ast.If, ast.IfExp)) and variant == 2:
        said = f"if not ({ast.unparse(node.test)})"
        node.test = ast.UnaryOp(ast.Not(), node.test)
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
    """Run all mutants; the number that survived, at most 1."""
    tree = ast.parse(SOURCE.read_text("utf-8"))
    total, alive = 0, []
    for said, mutant in mutants(tree):
        total += 1
        if survives(mutant):
            alive.append(said)
            sys.stdout.write(f"survived: {said}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{total} mutants, {len(alive)} survived\n")
    return min(len(alive), 1)


if __name__ == "__main__":
    sys.exit(main())
