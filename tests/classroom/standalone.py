"""A wrong function of an exercise's module as an answer cell: its source, with what it calls, under the right name."""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType
from typing import Any

from rectutor.classroom.screen import objection


def standalone(wrong: Callable[..., Any], right: Callable[..., Any], module: ModuleType) -> str | None:
    """Source of a cell that defines ``wrong`` under the name of ``right``.

    None where it leans on the library, or on what no answer may use: then it is no answer that a student could write.
    """
    tree = ast.parse(inspect.getsource(module))
    parts = {name: statement for statement in tree.body for name in _bound(statement)}
    own: ast.AST | None = parts.get(wrong.__name__)
    if wrong.__name__ == "<lambda>":
        own = next(node for node in ast.walk(tree) if isinstance(node, ast.Lambda) and _is(node, wrong.__code__))
    if own is None:
        return None
    needed, todo = [own], [own]
    while todo:
        for name in _used(todo.pop()):
            part = parts.get(name)
            if part is None or (isinstance(part, ast.ImportFrom) and str(part.module).startswith("rectutor")):
                return None
            if part not in needed:
                needed.append(part)
                todo.append(part)
    # names of its own: in a notebook, other answers stand beside it
    functions = {part.name for part in needed if isinstance(part, ast.FunctionDef)}
    plain = _Plain({name: f"{right.__name__}_{name}" for name in functions})
    kept = [ast.unparse(plain.visit(part)) for part in tree.body if part in needed and part is not own]
    text = ast.unparse(plain.visit(own))
    name = plain.renamed.get(wrong.__name__, "")
    kept.append(f"{text}\n\n\n{right.__name__} = {name}" if name else f"{right.__name__} = {text}")
    source = "\n\n\n".join(kept)
    return source if objection(source) == "" else None


class _Plain(ast.NodeTransformer):
    """Other names, and no annotations."""

    def __init__(self, renamed: dict[str, str]) -> None:
        self.renamed = renamed

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.copy_location(ast.Name(self.renamed.get(node.id, node.id), node.ctx), node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        self.generic_visit(node)
        node.name = self.renamed.get(node.name, node.name)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.copy_location(ast.arg(node.arg), node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))  # type: ignore[no-any-return]


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module binds."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name for alias in statement.names)
    elif isinstance(statement, ast.Assign):
        yield from (target.id for target in statement.targets if isinstance(target, ast.Name))


def _used(part: ast.AST) -> list[str]:
    """The global names of a part of a module, without those of its annotations."""
    if isinstance(part, (ast.Import, ast.ImportFrom)):
        return []
    plain = ast.parse(ast.unparse(_Plain({}).visit(ast.parse(ast.unparse(part)))))
    codes, names = [compile(plain, "<part>", "exec")], []
    while codes:
        code = codes.pop()
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        names += [str(i.argval) for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")]
    own = set(_bound(part)) if isinstance(part, ast.stmt) else set()
    return [name for name in dict.fromkeys(names) if not hasattr(builtins, name) and name not in own]


def _is(node: ast.Lambda, code: CodeType) -> bool:
    """Whether a lambda in the source is the one that was compiled to this."""
    if node.lineno != code.co_firstlineno:
        return False
    (mine,) = [c for c in compile(ast.Expression(node), "<lambda>", "eval").co_consts if isinstance(c, CodeType)]
    return (mine.co_code, mine.co_consts, mine.co_names) == (code.co_code, code.co_consts, code.co_names)
