"""Small mistakes, one at a time, in the code that money hangs on: do the tests find each?

Each mutant runs in a fork of this process, which imports the package anew with one node of one
file changed. Survivors are printed; those in `EQUIVALENT` change nothing that can be seen, and say
why. Exit 1 when another one survives.

Usage: python -m tests.mutation [--only gate] [--sample N] [--seed S]
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

SRC = Path(__file__).resolve().parents[1] / "src" / "fastbook"
TIME_S_MAX = 90

QUICK = {"risk": ("tests/unit/risk",), "execution": ("tests/unit/execution/test_orders.py",)}
"""Asked first: most mistakes are found here, in a second."""

RISK = ("tests/unit/test_engine_account.py", "tests/property/test_gate.py")
ORDERS = (
    "tests/property/test_orders.py",
    "tests/unit/execution/test_executor.py",
    "tests/unit/test_engine.py",
    "tests/unit/test_engine_quotes.py",
)
TARGETS: dict[str, Sequence[str]] = {
    "risk.egress": RISK,
    "risk.room": RISK,
    "risk.gate": (*RISK, "tests/unit/test_engine.py"),
    "risk.prices": RISK,
    "risk.pace": RISK,
    "risk.latches": RISK,
    "execution.order": ORDERS,
    "execution.parking": ORDERS,
    "execution.orders": ORDERS,
    "clock": ("tests/unit/test_clock.py", "tests/unit/risk/test_gate.py"),
}

COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Add,
    ast.Pow: ast.Mult,
}
SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}

EQUIVALENT: dict[str, str] = {
    "risk.room: 60 -> +1: FLOOR = Context(prec=60, rounding=ROUND_FLOOR)": "60 digits are ample",
    "risk.latches: 1 -> +1: self.revision += 1": "a revision grows; by how much says nothing",
    "risk.latches: LtE -> Lt: if amount <= 0:": "a deposit of nothing moves nothing",
    "risk.pace: 1 -> +1: self.revision += 1": "as above",
}
"""Mutant -> why nobody can see it."""


@dataclass(frozen=True)
class Mutant:
    module: str
    number: int
    line: int
    what: str
    text: str  # of the line

    @property
    def key(self) -> str:
        """The same as long as the line reads the same."""
        return f"{self.module}: {self.what}: {self.text}"


class Mutator(ast.NodeTransformer):
    """Counts the places where a mistake can be made, and makes the one with number `chosen`."""

    def __init__(self, chosen: int = -1) -> None:
        self.chosen = chosen
        self.found: list[tuple[int, str]] = []

    def _here(self, node: ast.AST, what: str) -> bool:
        self.found.append((getattr(node, "lineno", 0), what))
        return len(self.found) - 1 == self.chosen

    # What is not looked at: messages, types, and declarations with their defaults.
    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [self.visit(one) for one in node.body]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = [self.visit(one) for one in node.body]
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.copy_location(ast.Pass(), node) if self._here(node, "no raise") else node

    # Mistakes.
    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        for i, op in enumerate(node.ops):
            other = COMPARE[type(op)]
            if self._here(node, f"{type(op).__name__} -> {other.__name__}"):
                node.ops[i] = other()
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        other = ARITHMETIC.get(type(node.op))
        if other and self._here(node, f"{type(node.op).__name__} -> {other.__name__}"):
            node.op = other()
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        if self._here(node, f"{type(node.op).__name__} -> {other.__name__}"):
            node.op = other()
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, (ast.Not, ast.USub)) and self._here(
            node, f"no {type(node.op).__name__}"
        ):
            return node.operand
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool):
            if self._here(node, f"{node.value} -> {not node.value}"):
                return ast.copy_location(ast.Constant(not node.value), node)
        elif isinstance(node.value, int) and self._here(node, f"{node.value} -> +1"):
            return ast.copy_location(ast.Constant(node.value + 1), node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in SWAPPED:
            other = SWAPPED[node.func.id]
            if self._here(node, f"{node.func.id} -> {other}"):
                node.func.id = other
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if isinstance(node.value, ast.Constant):
            return node  # a docstring
        if self._here(node, "no statement"):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        if any(isinstance(target, ast.Attribute) for target in node.targets) and self._here(
            node, "no assignment"
        ):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        if self._here(node, "no assignment"):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)


def path_of(module: str) -> Path:
    return SRC.joinpath(*module.split(".")).with_suffix(".py")


def mutants_of(module: str) -> list[Mutant]:
    text = path_of(module).read_text()
    lines = text.splitlines()
    mutator = Mutator()
    mutator.visit(ast.parse(text))
    return [
        Mutant(module, number, line, what, lines[line - 1].strip())
        for number, (line, what) in enumerate(mutator.found)
    ]


class MutantFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module with its mistake; every other comes as usual."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = f"fastbook.{mutant.module}"

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        return importlib.util.spec_from_loader(name, self, origin=str(path_of(self._mutant.module)))

    def exec_module(self, module: ModuleType) -> None:
        tree = ast.parse(path_of(self._mutant.module).read_text())
        changed = ast.fix_missing_locations(Mutator(self._mutant.number).visit(tree))
        code = compile(changed, f"<{self._name}>", "exec")
        exec(code, module.__dict__)  # noqa: S102 - our own source, with one node changed


def survives(mutant: Mutant) -> bool:
    """Whether every test that could find it passes."""
    quick = QUICK.get(mutant.module.partition(".")[0], ())
    return all(passes(mutant, tests) for tests in (quick, TARGETS[mutant.module]) if tests)


def passes(mutant: Mutant, tests: Sequence[str]) -> bool:
    """Run `tests` against it, in a fork; True when all of them pass."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            signal.alarm(TIME_S_MAX)  # a mistake may loop for ever
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            sys.meta_path.insert(0, MutantFinder(mutant))
            import pytest

            options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
            code = int(pytest.main([*options, *tests]))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


def chosen(only: str, sample: int, seed: int) -> Iterator[Mutant]:
    every = [m for module in TARGETS if module.endswith(only) for m in mutants_of(module)]
    if sample and sample < len(every):
        every = random.Random(seed).sample(every, sample)
    yield from every


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="the module whose name ends in this")
    parser.add_argument("--sample", type=int, default=0, help="so many at random; 0 = all")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    import pytest  # once, for all forks; never fastbook itself

    assert pytest.__version__
    assert not any(name.startswith("fastbook") for name in sys.modules)
    start = time.perf_counter()
    counts: Counter[str] = Counter()
    for mutant in chosen(args.only, args.sample, args.seed):
        if mutant.key in EQUIVALENT:
            counts["equivalent"] += 1
        elif survives(mutant):
            counts["survived"] += 1
            print(f"survived: {mutant.key}  (line {mutant.line})", flush=True)
        else:
            counts["killed"] += 1
    tried = counts["killed"] + counts["survived"]
    score = 100.0 * counts["killed"] / max(tried, 1)
    print(
        f"{counts['killed']} of {tried} killed ({score:.1f} %), {counts['equivalent']} equivalent,"
        f" {time.perf_counter() - start:.0f} s"
    )
    return 1 if counts["survived"] else 0


if __name__ == "__main__":
    sys.exit(main())
