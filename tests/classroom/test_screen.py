"""What answers may say, and what they are told if they say something else."""

from __future__ import annotations

import warnings

import pytest

from rectutor.classroom.screen import LONGEST, objection
from tests.classroom.attacks import FENCED, REFUSED, RUN, SILENT
from tests.classroom.small import SOLUTIONS, WRONG

HONEST = {
    "numpy": "import numpy as np\ndef f(x):\n    return np.linalg.norm(np.random.default_rng(0).normal(size=x))",
    "scipy": "from scipy.stats import rankdata\nfrom scipy import sparse\ndef f(x):\n    return rankdata(x)",
    "pandas": "import pandas as pd\ndef f(x):\n    return pd.DataFrame(x).groupby('a').b.mean().to_numpy()",
    "standard": "from collections import Counter, defaultdict\nfrom math import *\nfrom functools import reduce",
    "future": "from __future__ import annotations\nimport itertools as it, heapq",
    "except": "def f(x):\n    try:\n        return 1 / x\n    except ZeroDivisionError:\n        return 0.0",
    "class": "class Row:\n    def __init__(self, x):\n        self._x = x\n    def y(self):\n        return self._x",
    "dataclass": "from dataclasses import dataclass\n@dataclass\nclass Row:\n    x: float = 0.0",
    "attributes": "def f(m):\n    m.data[:] = 1\n    m.flags.writeable = False\n    return m.indptr, m.T",
    "lambda": "f = lambda x: sorted(x, key=lambda y: -y)",
    "print": "def f(x):\n    print(f'{x:>5}')\n    return x",
    "underscore": "def f(x):\n    first, _ = x\n    return [_ for _ in first]",
    "recursive": "def f(x):\n    return x and f(x - 1)",
    "match": "def f(x):\n    match x:\n        case [int(real=r), *rest]:\n            return r",
    "escape": "def f(x):\n    return '\\d' + x",
    "is-literal": "def f(x):\n    return x is 1",
    "empty": "",
}


@pytest.mark.parametrize("source", [*HONEST.values(), *SOLUTIONS.values(), *WRONG.values(), *RUN.values()])
def test_plain_python_passes(source: str) -> None:
    """Answers that get no points, too, as long as they keep to the language."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert objection(source) == ""


@pytest.mark.parametrize("name", REFUSED)
def test_ways_out_are_refused(name: str) -> None:
    said = objection(REFUSED[name])
    assert said
    assert len(said) < 300
    assert said[0].islower()
    assert said.isprintable()


@pytest.mark.parametrize("name", [*FENCED, *SILENT])
def test_ways_out_that_the_fence_meets_are_refused_before_it(name: str) -> None:
    body = "\n    ".join((FENCED | SILENT)[name].splitlines())
    assert objection(f"def share(part, whole):\n    {body}")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "x = 1\nimport os.path",
            "line 2 imports os.path; an answer may import numpy, scipy, pandas, math, collections and the like",
        ),
        ("from . import x", "line 1 imports from the folder it stands in; an answer stands alone"),
        ("from numpy import *", "line 1 imports * from numpy; name what you need"),
        ("from numpy import load", "line 1 imports load; an answer works on its arguments only"),
        ("import scipy.io", "line 1 imports io; an answer works on its arguments only"),
        ("\n\nopen('x')", "line 3 uses open; an answer works on its arguments only"),
        ("np.load('x')", "line 1 uses .load; an answer works on its arguments only"),
        ("x.__class__", "line 1 uses .__class__; an answer works on its arguments only"),
        ("self.__class__", "line 1 uses .__class__; an answer works on its arguments only"),
        ("np.linalg.norm = 1", "line 1 changes np.linalg.norm, which is not the answer's own"),
        ("import numpy\nnumpy.pi += 1", "line 2 changes numpy.pi, which is not the answer's own"),
        ("try:\n    f()\nexcept:\n    g()", "line 3 catches every exception; name the one you expect"),
        ("def f(x)\n    return x", "this is not Python (line 1): expected ':'"),
        ("%timeit f(1)", "this is not Python (line 1): invalid syntax"),
        ("x" * (LONGEST + 1), "the answer has 20,001 characters; 20,000 are the most"),
    ],
)
def test_an_objection_names_line_and_reason(source: str, said: str) -> None:
    assert objection(source) == said
