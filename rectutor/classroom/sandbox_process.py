"""The process in which answers run: a program of its own that imports nothing of the library.

It reads requests from one pipe and writes replies to another, a line of JSON each. It holds no right answer and no
verdict: whatever an answer does to this process, the most it can send back is a value, which the grader compares with
its own.

Before the first answer runs, an audit hook is set that refuses everything an answer has no use for: opening files
outside a few libraries, other processes, sockets, foreign functions. Hooks cannot be removed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import Any

if __name__ == "__main__":
    sys.path[:] = list(json.loads(sys.argv[1])["path"])

import numpy as np


# -- values as JSON --------------------------------------------------------------------------------------------
def encode(value: Any) -> Any:
    """A value as plain data; what is no number, text, sequence, set, dictionary or array stands as its type's name."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (np.bool_, np.integer)):
        value = value.item()
    if isinstance(value, np.floating):
        value = float(value)
    if type(value) in (int, float, bool):
        return value if not isinstance(value, int) or abs(value) < 2**63 else {"?": "int beyond 64 bits"}
    if isinstance(value, list):
        return [encode(v) for v in value]
    if isinstance(value, tuple):
        return {"t": [encode(v) for v in value]}
    if isinstance(value, (set, frozenset)):
        return {"s": [encode(v) for v in value]}
    if isinstance(value, dict):
        return {"d": [[encode(k), encode(v)] for k, v in value.items()]}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        value = value.astype(float) if value.dtype.itemsize > 8 else value
        return {"a": [value.dtype.str, list(value.shape), value.ravel().tolist()]}
    sparse = sys.modules.get("scipy.sparse")  # takes a while to import, so it is not everywhere
    if sparse is not None and sparse.issparse(value):
        csr = sparse.csr_array(value)
        return {"c": [list(csr.shape), csr.data.tolist(), csr.indices.tolist(), csr.indptr.tolist()]}
    return {"?": type(value).__name__}


class Unknown:
    """Stands for a returned value that is no plain data."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"a value of type {self.kind}"


def decode(value: Any) -> Any:
    """The value that :func:`encode` made plain."""
    if isinstance(value, list):
        return [decode(v) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "t":
        return tuple(decode(v) for v in inner)
    if kind == "s":
        return {decode(v) for v in inner}
    if kind == "d":
        return {decode(k): decode(v) for k, v in inner}
    if kind == "a":
        dtype, shape, flat = inner
        if not re.fullmatch("[<>|][biuf][1248]", dtype):
            raise ValueError(f"dtype is {dtype!r}; only numbers and truth values travel")
        return np.array(flat, dtype=dtype).reshape(shape)
    if kind == "c":
        from scipy import sparse

        shape, data, indices, indptr = inner
        csr = sparse.csr_array((np.array(data, float), np.array(indices, int), np.array(indptr, int)), shape=shape)
        csr.check_format(full_check=True)
        return csr
    if kind == "?":
        return Unknown(str(inner))
    raise ValueError(f"kind is {kind!r}; it must be one of t, s, d, a, c, ?")


# -- the fence -------------------------------------------------------------------------------------------------
FORBIDDEN = (
    *("os.", "subprocess.", "pty.", "shutil.", "socket.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser."),
    *("ctypes.", "gc.", "mmap.", "sqlite3.", "signal.", "resource.", "fcntl.", "syslog.", "pickle.", "cpython."),
    *("sys.settrace", "sys.setprofile", "sys.addaudithook", "sys._current_frames", "code.__new__", "function.__new__"),
    *("builtins.input", "builtins.breakpoint"),
)
"""Beginnings of the names of audit events that no answer has a use for."""
ALLOWED = ("os.listdir", "os.scandir")
"""Those that the import of a module causes."""
SILENT = (
    *("mkfifo", "mknod", "chroot", "pidfd_open", "pidfd_send_signal", "setns", "unshare", "fork_exec", "_fork_exec"),
    *("setpriority", "sched_setaffinity", "sched_setscheduler", "sched_setparam"),
)
"""Functions of the system's modules that reach out of the process without an audit event."""
UNWANTED = {"_posixsubprocess", "_testcapi", "_testinternalcapi", "_xxsubinterpreters", "_interpreters"}
"""Modules of the standard library that do so."""


def fence(readable: tuple[str, ...], libraries: tuple[str, ...]) -> None:
    """From now on, refuse what an answer has no use for with PermissionError or ImportError.

    Args:
        readable: files, and folders with a separator at the end, that may be read.
        libraries: packages that may be imported beside the standard library.
    """

    def watch(
        event: str,
        arguments: tuple[Any, ...],
        modules: frozenset[str] = (sys.stdlib_module_names | {*libraries}) - UNWANTED,
        readable: tuple[str, ...] = readable,
        detours: tuple[str, ...] = ("/../", "/./", "//"),
        writing: int = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND,
        forbidden: tuple[str, ...] = FORBIDDEN,
        allowed: tuple[str, ...] = ALLOWED,
        refused: type[Exception] = PermissionError,
        unknown: type[Exception] = ImportError,
        type: Any = type,
        str: Any = str,
    ) -> None:
        # An answer can replace the functions of modules and overload those of its own classes: so this looks names up
        # in its defaults only, and calls the methods of nothing but exact strings.
        if event == "open":
            path, flags = arguments[0], arguments[2]
        elif event == "import":
            module, path, flags = arguments[0], arguments[1], 0
            if type(module) is not str or module.partition(".")[0] not in modules:
                raise unknown(f"an answer may not import {module}")
            if path is None:
                return
        elif event.startswith(forbidden) and event not in allowed:
            raise refused(f"an answer may not use {event}")
        else:
            return
        if type(path) is not str or flags & writing or not path.startswith(readable):
            raise refused("an answer may not open files")
        for detour in detours:
            if detour in path:
                raise refused("an answer may not open files")

    for module in (os, sys.modules.get("posix"), signal, sys.modules.get("_signal"), subprocess):
        for function in SILENT:
            if hasattr(module, function):
                delattr(module, function)
    for name in UNWANTED:
        sys.modules[name] = None  # type: ignore[assignment]
    sys.addaudithook(watch)


# -- the loop --------------------------------------------------------------------------------------------------
def main() -> None:
    """Run the given cells and answers, then call functions as asked, until the pipe closes."""
    settings = json.loads(sys.argv[1])
    requests, replies = os.fdopen(os.dup(0), "r", encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    for module in settings["modules"]:
        __import__(module)
    _limit(settings["memory"], settings["seconds"])
    loads, dumps, flush, write, make, undo = json.loads, json.dumps, replies.flush, replies.write, encode, decode

    def reply(message: dict[str, Any]) -> None:
        write(dumps(message) + "\n")
        flush()

    fence(tuple(settings["readable"]), tuple(settings["libraries"]))
    space: dict[str, Any] = {"__name__": "answers", "__builtins__": __builtins__}
    functions: dict[str, Any] = {}
    reply({"ready": True})
    for line in requests:
        request = loads(line)
        name = request["name"]
        try:
            if "source" in request:
                space.pop(name, None)
                exec(compile(request["source"], f"<{name}>", "exec"), space)
                functions[name] = space.get(name)  # whatever later cells call by that name, this is the answer
                reply({"value": callable(functions[name])})
            elif name not in functions:  # not even its cell is written
                raise NotImplementedError
            else:
                reply({"value": make(functions[name](*undo(request["arguments"])))})
        except Exception as error:  # what is no Exception, such as SystemExit, ends the process
            reply({"raised": type(error).__name__, "message": f"{error}"[:500]})


def _limit(megabytes: int, seconds: int) -> None:
    """Bound memory, time, files and processes; a system without such limits has none."""
    try:
        import resource
    except ImportError:
        return
    most = {"AS": megabytes << 20, "CPU": seconds, "FSIZE": 0, "CORE": 0, "NPROC": 0}
    for kind, value in most.items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (value, value))
        except (ValueError, OSError):
            continue


if __name__ == "__main__":
    main()
