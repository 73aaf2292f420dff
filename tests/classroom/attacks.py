"""What a student might try instead of solving the exercise ``share`` of the small chapter.

Every attack is a cell that would define a right ``share`` if it got hold of the solution, or do harm besides.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.classroom.small import ROOT

SECRET = str(ROOT / "rectutor" / "classroom" / "cf.py")
"""A file that holds solutions."""
OUTSIDE = str(Path(tempfile.gettempdir(), "rectutor-attack"))
"""Where no answer may write."""


def _tries(body: str, before: str = "") -> str:
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"{before}\ndef share(part, whole):\n{lines}\n".lstrip()


REFUSED = {
    # reading the solution
    "open": _tries(f"exec(open({SECRET!r}).read())\nreturn 0.5"),
    "pathlib": _tries(f"return len(pathlib.Path({SECRET!r}).read_text())", "import pathlib"),
    "io": _tries(f"return len(io.open({SECRET!r}).read())", "import io"),
    "importlib": _tries("return importlib.import_module('rectutor').x", "import importlib"),
    "inspect": _tries("return inspect.getsource(share)", "import inspect"),
    "linecache": _tries(f"return linecache.getlines({SECRET!r})", "import linecache"),
    "fromfile": _tries(f"return np.fromfile({SECRET!r}, dtype='u1')"),
    "np-load": _tries(f"return np.load({SECRET!r}, allow_pickle=True)"),
    "loadtxt": _tries(f"return np.loadtxt({SECRET!r}, dtype=str)"),
    "genfromtxt": _tries(f"return np.genfromtxt({SECRET!r}, dtype=str)"),
    "memmap": _tries(f"return np.memmap({SECRET!r})"),
    "imported-fromfile": _tries(f"return read({SECRET!r}, dtype='u1')", "from numpy import fromfile as read"),
    "starred": _tries(f"return fromfile({SECRET!r}, dtype='u1')", "from numpy import *"),
    "read_csv": _tries(f"return pd.read_csv({SECRET!r})", "import pandas as pd"),
    "read_table": _tries(f"return pd.read_table({SECRET!r})", "import pandas as pd"),
    "pandas-io": _tries("return pd.io.common.os.getcwd()", "import pandas as pd"),
    "pandas-eval": _tries("return pd.eval('@pd.io')", "import pandas as pd"),
    "scipy-io": _tries(f"return scipy.io.loadmat({SECRET!r})", "import scipy.io"),
    "scipy-io-from": _tries(f"return loadmat({SECRET!r})", "from scipy.io import loadmat"),
    # importing it
    "import-rectutor": "import rectutor.classroom.cf\ndef share(part, whole):\n    return 0.5",
    "from-rectutor": "from rectutor.metrics import *\ndef share(part, whole):\n    return 0.5",
    "import-inside": _tries("from tests.classroom.small import share as right\nreturn right(part, whole)"),
    "relative": "from . import share",
    "dunder-import": _tries("return __import__('tests.classroom.small').share(part, whole)"),
    # ways around the language
    "import-os": "import os\ndef share(part, whole):\n    os._exit(0)",
    "import-sys": "import sys\ndef share(part, whole):\n    sys.exit()",
    "sys-of-a-library": _tries("return collections._sys.modules", "import collections"),
    "sys-of-statistics": _tries("return statistics.sys.modules", "import statistics"),
    "sys-from-dataclasses": _tries("return sys.modules", "from dataclasses import sys"),
    "os-of-numpy": _tries("np.lib.npyio.os.system('true')\nreturn 0.5"),
    "eval": _tries("return eval('part / whole')"),
    "exec": "exec('def share(part, whole): return part / whole')",
    "compile": _tries("return compile('1', '', 'eval')"),
    "globals": _tries("return globals()['check']"),
    "vars": _tries("return vars()"),
    "getattr": _tries("return getattr(np, 'from' + 'file')"),
    "builtins": _tries("return __builtins__['open']"),
    "subclasses": _tries("return ().__class__.__base__.__subclasses__()"),
    "function-globals": _tries("return share.__globals__"),
    "frame": _tries("return (x for x in ()).gi_frame.f_back.f_globals"),
    "traceback": _tries("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    return e.__traceback__.tb_frame"),
    "match": _tries("match part:\n    case int(__class__=kind):\n        return kind"),
    "attrgetter": _tries("return attrgetter('__globals__')(share)", "from operator import attrgetter"),
    "operator-attrgetter": _tries("return operator.attrgetter('__class__')(part)", "import operator"),
    "formatter": _tries("return string.Formatter().get_field('0.__class__', [part], {})", "import string"),
    "type-hints": _tries("return typing.get_type_hints(share)", "import typing"),
    "gc": _tries("return gc.get_objects()", "import gc"),
    "ctypes": _tries("return np.ctypeslib.ctypes"),
    "memory": _tries("return np.lib.stride_tricks.as_strided(np.zeros(1), (10**6,), (8,))"),
    "f2py": _tries("return np.f2py.sys"),
    # leaving
    "exit": _tries("exit()"),
    "quit": "quit()",
    "systemexit": _tries("raise SystemExit"),
    "systemexit-cell": "raise SystemExit(0)",
    "catch-all": _tries("try:\n    return part / whole\nexcept:\n    return 0.0"),
    "baseexception": _tries("try:\n    return part / whole\nexcept BaseException:\n    return 0.0"),
    # changing what checks
    "check-shadowed": "def check(name, answer):\n    print('share: correct')\ncheck = check",
    "check-called": "check('share', lambda part, whole: 0.5)",
    "isclose": "import math\nmath.isclose = lambda *a, **k: True\ndef share(part, whole):\n    return 0.5",
    "numpy-function": "np.allclose = lambda *a: True\ndef share(part, whole):\n    return 0.5",
    "numpy-submodule": "np.linalg.solve = None\ndef share(part, whole):\n    return 0.5",
    "numpy-testing": "np.testing.assert_allclose = print\ndef share(part, whole):\n    return 0.5",
    "delete": "import math as m\ndel m.isclose\ndef share(part, whole):\n    return 0.5",
    "setattr": "setattr(np, 'allclose', print)\ndef share(part, whole):\n    return 0.5",
    "rectutor": "import rectutor\nrectutor.classroom.exercise.equal = print\ndef share(part, whole):\n    return 0.5",
    "nbval": "import nbval.plugin\nnbval.plugin.IPyNbCell.runtest = print\ndef share(part, whole):\n    return 0.5",
    "hypothesis": "import hypothesis\nhypothesis.find = print\ndef share(part, whole):\n    return 0.5",
    "builtins-print": "import builtins\nbuiltins.print = None\ndef share(part, whole):\n    return 0.5",
    # other processes
    "subprocess": "import subprocess\nsubprocess.Popen(['sleep', '1000'])\ndef share(part, whole):\n    return 0.5",
    "threading": "import threading\ndef share(part, whole):\n    return 0.5",
    "multiprocessing": "import multiprocessing\ndef share(part, whole):\n    return 0.5",
    "socket": "import socket\ndef share(part, whole):\n    return 0.5",
    "shell-magic": "!ls\ndef share(part, whole):\n    return 0.5",
    "run-magic": f"%run {SECRET}\ndef share(part, whole):\n    return 0.5",
    "cell-magic": "%%bash\nls",
    "get_ipython": "get_ipython().system('ls')",
    # what is no answer at all
    "no-python": "def share(part, whole)\n    return 0.5",
    "null-byte": "def share(part, whole):\n    return 0.5\0",
    "surrogate": "def share(part, whole):\n    return '\ud800'",
    "long": "def share(part, whole):\n    return 0.5\n" + "# " + "x" * 30_000,
    "parentheses": "(" * 5000 + ")" * 5000,
    "signs": "-" * 9000 + "1",
    "chain": "x" + ".y" * 9000,
}
"""Cells that are not run at all."""

RUN = {
    # wrong values that pretend
    "print": _tries("print('share: correct')\nreturn 0.25"),
    "print-cell": "print('share: correct')\nprint('share: correct')",
    "print-shadowed": "print = lambda *a: None\ndef share(part, whole):\n    return 0.25",
    "builtin-shadowed": "sum = len = float = sorted = None\ndef share(part, whole):\n    return 0.25",
    "equal-float": _tries(
        "return Same(0.25)", "class Same(float):\n    def __eq__(self, other):\n        return True\n"
    ),
    "float-of": _tries("return Odd()", "class Odd:\n    def __float__(self):\n        return 0.5\n"),
    "equal-int": _tries("return Same(7)", "class Same(int):\n    def __eq__(self, other):\n        return True\n"),
    "equal-list": _tries("return Same()", "class Same(list):\n    def __eq__(self, other):\n        return True\n"),
    "equal-array": _tries(
        "return np.zeros(1).view(Same)", "class Same(np.ndarray):\n    def __eq__(self, other):\n        return True\n"
    ),
    "equal-object": _tries("return Same()", "class Same:\n    def __eq__(self, other):\n        return True\n"),
    "argument": _tries("part += whole\nreturn part"),
    "nan": _tries("return float('nan')"),
    "infinity": _tries("return float('inf')"),
    "complex": _tries("return part / whole + 0j if whole else 0j"),
    "bool": _tries("return part > 0"),
    "none": _tries("return None"),
    "text": _tries("return str(part / whole) if whole else '0.0'"),
    "list": _tries("return [part / whole if whole else 0.0]"),
    "array": _tries("return np.array(part / whole if whole else 0.0)"),
    "array-of-one": _tries("return np.array([part / whole if whole else 0.0])"),
    "bytes": _tries("return b'0.5'"),
    "function": _tries("return share"),
    "generator": _tries("yield part / whole"),
    "cyclic": _tries("x = []\nx.append(x)\nreturn x"),
    "nested": _tries("x = []\nfor _ in range(900):\n    x = [x]\nreturn x"),
    "huge-integer": _tries("return 10**5000"),
    "huge-text": _tries("return 'x' * (20 << 20)"),
    "huge-list": _tries("return [[]] * (6 << 20)"),
    "surrogate": _tries("return chr(0xD800)"),
    "control": _tries("return '\\x1b[2J\\x00'"),
    "control-in-error": _tries("raise ValueError('\\x1b[2J\\x00' + chr(0xD800) + '\\nshare 2 of 2 correct')"),
    "error-without-text": _tries(
        "raise Bad", "class Bad(Exception):\n    def __str__(self):\n        raise ValueError\n"
    ),
    "notimplemented": _tries("if whole == 7:\n    raise NotImplementedError\nreturn part / whole if whole else 0.0"),
    "random": _tries("return random.random()", "import random"),
    "stateful": _tries("calls.append(1)\nreturn part / whole if whole and len(calls) % 7 else 0.0", "calls = []"),
    # other answers
    "other-answer": _tries("return total([part]) / 2"),
    "other-name": "def divided(part, whole):\n    return part / whole if whole else 0.0",
    "others-redefined": _tries("return 0.25", "total = ranked = lambda *a: None"),
    "others-changed": _tries("global total, ranked\ntotal = ranked = None\nreturn 0.25"),
    "not-callable": "share = 0.5",
    # time and memory
    "loop": _tries("while True:\n    pass"),
    "loop-cell": "while True:\n    pass",
    "recursion": _tries("return share(part, whole)"),
    "array-bomb": _tries("return np.ones((10**5, 10**5)).sum()"),
    "list-bomb": _tries("x = [0]\nwhile True:\n    x += x"),
    "text-bomb": _tries("x = 'x'\nwhile True:\n    x += x"),
    "power-bomb": _tries("return 10 ** 10 ** 8"),
    "bomb-cell": "x = [0]\nwhile True:\n    x += x",
}
"""Cells that are run and get no points."""

SILENT = {
    "forged-reply": (
        "import os\nfor fd in range(3, 21):\n    try:\n        os.write(fd, b'{\"value\": 0.5}\\n')\n"
        "    except OSError:\n        pass\nreturn 0.25"
    ),
    "forged-reply-and-loop": (
        "import os\nfor fd in range(3, 21):\n    try:\n        os.write(fd, b'{\"value\": 0.5}\\n' * 9)\n"
        "    except OSError:\n        pass\nwhile True:\n    pass"
    ),
    "junk": (
        "import os\nfor fd in range(1, 21):\n    try:\n        os.write(fd, b'[' * 99999 + b'\\n')\n"
        "    except OSError:\n        pass"
    ),
    "not-a-value": 'import os\nos.write(4, b\'{"value": {"a": ["O", [1], [1]]}}\\n\')\nwhile True:\n    pass',
    "stdout": "import os\nos.write(1, b'{\"value\": 0.5}\\n')\nreturn 0.25",
    "close": "import os\nos.closerange(0, 50)\nreturn 0.5",
    "_exit": "import os\nos._exit(0)",
    "abort": "import os\nos.abort()",
    "thread": ("import threading, time\nthreading.Thread(target=lambda: time.sleep(1000)).start()\nreturn 0.25"),
    "sys-exit": "import sys\nsys.exit(0)",
    "main": "import sys\nsys.modules['__main__'].encode = lambda value: 0.5\nreturn 0.25",
    "alarm": "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nreturn 1.0",
    "modules": (
        "import sys\nfor module in list(sys.modules.values()):\n    found = getattr(module, 'EXERCISES', None)\n"
        "    if found:\n        return found['share'].reference(part, whole)\nreturn 0.25"
    ),
    "subclasses": (
        "todo = object.__subclasses__()\nfor each in todo:\n    if each.__name__ in ('Exercise', 'Misconception'):\n"
        "        return part / whole if whole else 0.0\nreturn 0.25"
    ),
    "frames": (
        "import sys\nframe = sys._getframe()\nwhile frame:\n    for there in (frame.f_locals, frame.f_globals):\n"
        "        if 'reference' in there or 'exercises' in there:\n            return part / whole if whole else 0.0\n"
        "    frame = frame.f_back\nreturn 0.25"
    ),
    "builtins": "import builtins\nbuiltins.sum = builtins.float = builtins.sorted = builtins.print = None\nreturn 0.25",
    "numpy": "np.float64 = np.ndarray = np.array = np.isclose = None\nreturn 0.25",
    "recursion-limit": "import sys\nsys.setrecursionlimit(10**9)\nreturn share(part, whole)",
}
"""Bodies of ``share`` that the screen would refuse, and that the fence lets do what they do: it helps nobody."""

FENCED = {
    "open": f"return len(open({SECRET!r}).read())",
    "open-bytes": f"return len(open({SECRET.encode()!r}).read())",
    "open-descriptor": "return len(open(3).read())",
    "false-text": (
        "class P(str):\n    def startswith(self, *a):\n        return True\n    __contains__ = startswith\n"
        f"return len(open(P({SECRET!r})).read())"
    ),
    "path-like": (
        f"class P:\n    def __fspath__(self):\n        return {SECRET!r}\nimport os\nreturn os.open(P(), os.O_RDONLY)"
    ),
    "pathlib": f"import pathlib\nreturn len(pathlib.Path({SECRET!r}).read_text())",
    "io-open-code": f"import io\nreturn len(io.open_code({SECRET!r}).read())",
    "os-open": f"import os\nreturn os.open({SECRET!r}, os.O_RDONLY)",
    "detour": f"import os\nreturn len(open(os.path.dirname(np.__file__) + '/../../../../../..{SECRET}').read())",
    "folder": "import os\nreturn os.open(os.path.dirname(np.__file__), os.O_RDONLY)",
    "linecache": f"import linecache\nreturn 1.0 if linecache.getlines({SECRET!r}) else 1 / 0",
    "fromfile": f"return np.fromfile({SECRET!r}, dtype='u1').sum()",
    "loadtxt": f"return np.loadtxt({SECRET!r}, dtype=str).size",
    "memmap": f"return np.memmap({SECRET!r}).size",
    "pandas": f"import pandas\nreturn pandas.read_csv({SECRET!r}).size",
    "import": "import rectutor\nreturn 1.0",
    "path": "import sys\nsys.path.insert(0, '/')\nimport rectutor\nreturn 0.5",
    "import-cf": "from rectutor.classroom.cf import EXERCISES\nreturn 1.0",
    "import-module": "import importlib\nreturn importlib.import_module('rectutor.classroom.cf').cosine",
    "import-file": (
        f"import importlib.util as u\ns = u.spec_from_file_location('x', {SECRET!r})\nm = u.module_from_spec(s)\n"
        "s.loader.exec_module(m)\nreturn 1.0"
    ),
    "run-path": f"import runpy\nreturn len(runpy.run_path({SECRET!r}))",
    "getsource": "import inspect, __main__\nreturn len(inspect.getsource(__main__))",
    "other-library": "import psutil\nreturn 1.0",
    "foreign-functions": "import _cffi_backend\nreturn 1.0",
    "ctypes": "import ctypes\nreturn ctypes.CDLL(None).getpid()",
    "ctypes-string": "import ctypes\nreturn len(ctypes.string_at(id(1), 8))",
    "import-module-foreign": "import importlib\nimportlib.import_module('_cffi_backend')\nreturn 1.0",
    "import-module-library": "import importlib\nimportlib.import_module('nbformat')\nreturn 1.0",
    "subinterpreter": "import _xxsubinterpreters as x\nreturn 1.0",
    "gc": "import gc\nreturn len(gc.get_objects())",
    "gc-referrers": "import gc\nreturn len(gc.get_referrers(np))",
    "frames": "import sys\nreturn len(sys._current_frames())",
    "write": "open('x.txt', 'w').write('x')\nreturn 1.0",
    "append": f"open({OUTSIDE!r}, 'a').write('x')\nreturn 1.0",
    "save": f"np.save({OUTSIDE + '.npy'!r}, np.zeros(1))\nreturn 1.0",
    "mkdir": f"import os\nos.mkdir({OUTSIDE!r})\nreturn 1.0",
    "mkfifo": f"import os\nos.mkfifo({OUTSIDE!r})\nreturn 1.0",
    "mknod": f"import posix\nposix.mknod({OUTSIDE!r})\nreturn 1.0",
    "symlink": f"import os\nos.symlink({SECRET!r}, {OUTSIDE!r})\nreturn 1.0",
    "rename": f"import os\nos.rename({SECRET!r}, {SECRET!r})\nreturn 1.0",
    "remove": f"import os\nos.remove({OUTSIDE!r})\nreturn 1.0",
    "chmod": f"import os\nos.chmod({SECRET!r}, 0o644)\nreturn 1.0",
    "chdir": "import os\nos.chdir('/')\nreturn 1.0",
    "system": "import os\nreturn os.system('true')",
    "subprocess": "import subprocess\nsubprocess.Popen(['true'])\nreturn 1.0",
    "fork-exec": "import _posixsubprocess\nreturn 1.0",
    "fork": "import os\nreturn os.fork()",
    "spawn": "import os\nreturn os.posix_spawn('/bin/true', ['true'], {})",
    "exec": "import os\nos.execv('/bin/true', ['true'])\nreturn 1.0",
    "multiprocessing": "import multiprocessing\nmultiprocessing.Process(target=print).start()\nreturn 1.0",
    "pty": "import pty\nreturn pty.fork()[0]",
    "kill": "import os\nos.kill(os.getppid(), 0)\nreturn 1.0",
    "pidfd": "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0)\nreturn 1.0",
    "limits": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nreturn 1.0",
    "socket": "import socket\nsocket.create_connection(('127.0.0.1', 9))\nreturn 1.0",
    "url": "import urllib.request\nreturn len(urllib.request.urlopen('http://127.0.0.1:9/').read())",
    "sqlite": f"import sqlite3\nsqlite3.connect({OUTSIDE!r})\nreturn 1.0",
    "mmap": "import mmap\nmmap.mmap(-1, 10)\nreturn 1.0",
    "trace": "import sys\nsys.settrace(print)\nreturn 1.0",
    "code": "return (lambda: 1).__code__.replace(co_consts=()).co_flags",
    "pickle": "import pickle\nreturn pickle.loads(b'cos\\nsystem\\n(S\"true\"\\ntR.')",
    "input": "return len(input())",
    "breakpoint": "breakpoint()\nreturn 1.0",
    "hook-replaced": (
        "import os, posixpath\nposixpath.realpath = os.path.realpath = lambda *a, **k: np.__file__\n"
        f"return len(open({SECRET!r}).read())"
    ),
    "builtins-replaced": (
        "import builtins\nbuiltins.isinstance = lambda *a: False\nbuiltins.PermissionError = ValueError\n"
        f"return len(open({SECRET!r}).read())"
    ),
}
"""Bodies of ``share`` that end at the fence with an error."""
