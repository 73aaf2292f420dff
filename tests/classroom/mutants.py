"""Small changes to a solution, each of which a checker should find wrong: operators, bounds, lost steps."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A changed solution.

    Args:
        change: the line that was changed, as it stands now; a lost statement after "without".
        source: the whole cell.
    """

    change: str
    source: str


OPERATORS: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div, ast.Mult),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
NAMES = {"min": "max", "minimum": "maximum", "argmin": "argmax", "any": "all", "floor": "ceil", "zeros": "ones"}
NAMES |= {new: old for old, new in NAMES.items()}
DROPPED = {
    "abs",
    "absolute",
    "fabs",
    "sqrt",
    "log",
    "log2",
    "log10",
    "log1p",
    "exp",
    "sorted",
    "reversed",
    "set",
    "sum",
}
"""Functions of one argument that a mutant leaves out."""


def mutants(source: str) -> Iterator[Mutant]:
    """All changes of one place in the functions of a cell, each once."""
    tree = ast.parse(source)
    seen = {ast.unparse(tree)}
    for number, node in enumerate(ast.walk(tree)):
        for replacement in _replacements(node):
            changed = copy.deepcopy(tree)
            target = next(other for n, other in enumerate(ast.walk(changed)) if n == number)
            _replace(changed, target, replacement)
            text = ast.unparse(ast.fix_missing_locations(changed))
            if text not in seen:
                seen.add(text)
                yield Mutant(_change(ast.unparse(tree), text), text)


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    """What could stand in the place of a node; nodes that are no part of what runs give nothing."""
    if isinstance(node, ast.BinOp):
        yield from (ast.BinOp(node.left, new(), node.right) for new in OPERATORS.get(type(node.op), ()))
        if isinstance(node.op, (ast.Div, ast.Mult, ast.Add, ast.Sub, ast.MatMult)):
            yield node.left
        if isinstance(node.op, (ast.Mult, ast.Add, ast.MatMult)):
            yield node.right
    elif isinstance(node, ast.AugAssign):
        yield from (ast.AugAssign(node.target, new(), node.value) for new in OPERATORS.get(type(node.op), ()))
        yield from (ast.Assign([node.target], node.value), ast.Pass())
    elif isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            for new in COMPARISONS[type(operator)]:
                yield ast.Compare(node.left, [*node.ops[:at], new(), *node.ops[at + 1 :]], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
        yield from node.values
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
    elif isinstance(node, ast.Constant):
        yield from _constants(node.value)
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.keyword) and node.arg == "axis":
        yield from (ast.keyword("axis", ast.Constant(axis)) for axis in (0, 1, None))
    elif isinstance(node, ast.Slice):
        if node.lower is not None:
            yield from (ast.Slice(bound, node.upper, node.step) for bound in (*_neighbours(node.lower), None))
        if node.upper is not None:
            yield from (ast.Slice(node.lower, bound, node.step) for bound in (*_neighbours(node.upper), None))
    elif isinstance(node, ast.comprehension):
        for at in range(len(node.ifs)):
            yield ast.comprehension(node.target, node.iter, node.ifs[:at] + node.ifs[at + 1 :], 0)
    elif isinstance(node, (ast.If, ast.For, ast.Return)):
        if isinstance(node, ast.Return):
            yield from (ast.Return(ast.Constant(value)) for value in (0.0, 1.0, None))
        if isinstance(node, ast.If):
            yield from (ast.If(ast.Constant(value), node.body, node.orelse) for value in (True, False))
        yield ast.Pass()
    elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.Continue, ast.Break)) or (
        isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    ):
        yield ast.Pass()


def _constants(value: object) -> Iterator[ast.AST]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, (int, float)):
        yield from (ast.Constant(value + 1), ast.Constant(value - 1))


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    """Another function, its argument alone, its first two arguments swapped, bounds moved by one, order turned."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in NAMES:
        new = copy.deepcopy(node.func)
        setattr(new, "attr" if isinstance(new, ast.Attribute) else "id", NAMES[name])
        yield ast.Call(new, node.args, node.keywords)
    if name in DROPPED and len(node.args) == 1:
        yield node.args[0]
    if name == "sorted" and not any(keyword.arg == "reverse" for keyword in node.keywords):
        yield ast.Call(node.func, node.args, [*node.keywords, ast.keyword("reverse", ast.Constant(True))])
    if len(node.args) >= 2:
        yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)
    if len(node.args) == 1 and isinstance(node.args[0], ast.Tuple) and len(node.args[0].elts) == 2:
        yield ast.Call(node.func, [ast.Tuple(node.args[0].elts[::-1], ast.Load())], node.keywords)
    if name in ("range", "arange"):
        for at, argument in enumerate(node.args):
            for new_bound in _neighbours(argument):
                yield ast.Call(node.func, [*node.args[:at], new_bound, *node.args[at + 1 :]], node.keywords)


def _neighbours(value: ast.expr) -> Iterator[ast.expr]:
    """One more and one less; for constants there are mutants of their own."""
    if not isinstance(value, ast.Constant):
        yield from (ast.BinOp(value, operator, ast.Constant(1)) for operator in (ast.Add(), ast.Sub()))


def _replace(tree: ast.AST, target: ast.AST, replacement: ast.AST) -> None:
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, field, copy.deepcopy(replacement))
            elif isinstance(value, list) and any(item is target for item in value):
                value[:] = [copy.deepcopy(replacement) if item is target else item for item in value]


def _change(before: str, after: str) -> str:
    """The line that differs, for people."""
    old, new = before.splitlines(), after.splitlines()
    same = next((n for n, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new)) - 1)
    line = new[same].strip()
    return f"without {old[same].strip()}" if line == "pass" else line
