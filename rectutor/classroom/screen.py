"""What an answer may say: plain Python with a few libraries, no files, no other processes, no way around the language.

The screen reads the source of an answer before anything runs it. It is there to be understood by an honest student;
what a dishonest one gets past it meets :mod:`rectutor.classroom.sandbox`.
"""

from __future__ import annotations

import ast
import threading
import warnings

IMPORTS = {
    *("__future__", "bisect", "collections", "dataclasses", "fractions", "functools", "heapq", "itertools", "math"),
    *("numpy", "operator", "pandas", "random", "re", "scipy", "statistics", "string", "typing"),
}
"""Modules that an answer may import, with their submodules."""
OUTSIDE = {
    # files
    *("ctypeslib", "DataSource", "datasets", "dump", "dumps", "ExcelFile", "ExcelWriter", "fromfile", "fromregex"),
    *("genfromtxt", "HDFStore", "load", "loads", "loadtxt", "memmap", "open", "open_memmap", "save", "savetxt"),
    *("savez", "savez_compressed", "to_clipboard", "to_csv", "to_excel", "to_feather", "to_hdf", "to_html", "to_json"),
    *("to_latex", "to_markdown", "to_orc", "to_parquet", "to_pickle", "to_sql", "to_stata", "to_xml", "tofile"),
    # modules that libraries have imported
    *("builtins", "ctypes", "gc", "importlib", "inspect", "io", "linecache", "mmap", "os", "pathlib", "pickle"),
    *("platform", "posix", "posixpath", "shutil", "socket", "subprocess", "sys", "tempfile", "threading", "types"),
    *("util", "warnings"),
    # code in text, attributes by text, the memory beyond an array
    *("as_strided", "attrgetter", "eval", "exec", "f2py", "Formatter", "ForwardRef", "get_field", "get_type_hints"),
    *("make_dataclass", "methodcaller", "query", "testing"),
    # frames
    *("ag_frame", "cr_frame", "f_back", "f_builtins", "f_code", "f_globals", "f_locals", "gi_frame", "gi_code"),
    *("tb_frame", "tb_next"),
}
"""What leads from an answer to files, to other code or to what runs it; answers get their data as arguments."""
NAMES = {
    *("__import__", "breakpoint", "compile", "delattr", "eval", "exec", "exit", "get_ipython", "getattr", "globals"),
    *("help", "input", "locals", "open", "quit", "setattr", "vars", "check"),
    *("BaseException", "GeneratorExit", "KeyboardInterrupt", "SystemExit"),
}
"""Names that an answer may not use."""
LONGEST = 20_000
"""Characters of an answer."""
_PARSING = threading.Lock()
"""Warnings are silenced for all threads of the process, so one after the other."""


def objection(source: str) -> str:
    """Why an answer is not run, or "" where nothing speaks against it.

    >>> objection("def half(x):\\n    return x / 2")
    ''
    >>> objection("import os")
    'line 1 imports os; an answer may import numpy, scipy, pandas, math, collections and the like'
    """
    if len(source) > LONGEST:
        return f"the answer has {len(source):,} characters; {LONGEST:,} are the most"
    try:
        tree = _parsed(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        return f"this is not Python{line}: {error.msg if isinstance(error, SyntaxError) else error}"
    modules = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if problem := _imports(node) or _uses(node) or _changes(node, modules):
            return f"line {getattr(node, 'lineno', 1)} {problem}"
    return ""


def mentioned(source: str) -> set[str]:
    """The names that an answer uses, its own and others'.

    >>> sorted(mentioned("def half(x):\\n    return x / two()"))
    ['two', 'x']
    """
    return {node.id for node in ast.walk(_parsed(source)) if isinstance(node, ast.Name)}


def _parsed(source: str) -> ast.Module:
    """The tree of an answer; what Python warns of is no fault here."""
    with _PARSING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _imports(node: ast.AST) -> str:
    if not isinstance(node, (ast.Import, ast.ImportFrom)):
        return ""
    if isinstance(node, ast.ImportFrom) and (node.level or node.module is None):
        return "imports from the folder it stands in; an answer stands alone"
    names = [alias.name for alias in node.names]
    modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
    for module in modules:
        if module.split(".")[0] not in IMPORTS:
            return f"imports {module}; an answer may import numpy, scipy, pandas, math, collections and the like"
    for part in (part for name in [*modules, *names] for part in name.split(".")):
        if part == "*" and modules != ["math"]:
            return f"imports * from {modules[0]}; name what you need"
        if part not in IMPORTS and _leads_out(part):
            return f"imports {part}; an answer works on its arguments only"
    return ""


def _uses(node: ast.AST) -> str:
    alone = "; an answer works on its arguments only"
    if isinstance(node, ast.Name) and (node.id in NAMES or node.id.startswith("__")):
        return f"uses {node.id}{alone}"
    if isinstance(node, ast.Attribute):
        own = isinstance(node.value, ast.Name) and node.value.id == "self" and not node.attr.startswith("__")
        if _leads_out(node.attr) and not own:
            return f"uses .{node.attr}{alone}"
    if isinstance(node, ast.MatchClass) and any(map(_leads_out, node.kwd_attrs)):
        return f"uses .{next(filter(_leads_out, node.kwd_attrs))}{alone}"
    if isinstance(node, ast.ExceptHandler) and node.type is None:
        return "catches every exception; name the one you expect"
    return ""


def _changes(node: ast.AST, modules: set[str]) -> str:
    """Assigning to what others use, too: ``np.sum = ...``."""
    if not isinstance(node, ast.Attribute) or isinstance(node.ctx, ast.Load):
        return ""
    base = node.value
    while isinstance(base, ast.Attribute):
        base = base.value
    shared = isinstance(base, ast.Name) and base.id in {*modules, "np", "pd", "math", "scipy", "sparse"}
    return f"changes {ast.unparse(node)}, which is not the answer's own" if shared else ""


def _leads_out(name: str) -> bool:
    return name in OUTSIDE or name.startswith(("_", "read_"))
