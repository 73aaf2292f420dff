"""Answers in a process of their own: values come back whole, limits hold, and the fence stands without the screen."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from rectutor.classroom import sandbox
from rectutor.classroom.exercise import Lost, Outcome, equal
from rectutor.classroom.sandbox import Limits, Sandbox
from rectutor.classroom.sandbox_process import Unknown, decode, encode
from tests.classroom.attacks import FENCED, OUTSIDE, RUN, SECRET, SILENT

TIGHT = Limits(call=1.0, calls=4.0, memory=1500)
GIVEN = ["import numpy as np"]


def processes() -> set[int]:
    """This process's children, and theirs."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.fixture(autouse=True)
def _nothing_remains() -> Iterator[None]:
    """After a sandbox is closed, no process of it runs, and nothing lies where no answer may write."""
    before = processes()
    yield
    assert processes() <= before
    assert not [p for p in Path(OUTSIDE).parent.iterdir() if p.name.startswith(Path(OUTSIDE).name)]


def sandboxed(body: str, limits: Limits = TIGHT) -> Sandbox:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return Sandbox(GIVEN, {"share": f"def share(part, whole):\n{lines}"}, limits)


def asked(body: str, limits: Limits = TIGHT) -> Outcome:
    with sandboxed(body, limits) as box:
        assert not box.broken
        return box.call("share", (1, 2))


# -- values ----------------------------------------------------------------------------------------------------
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
        | st.sets(st.integers() | st.text(max_size=2), max_size=3).filter(
            lambda s: all(not isinstance(v, int) or abs(v) < 2**63 for v in s)
        )
    ),
    max_leaves=10,
)
NUMBERS = arrays.arrays(
    st.sampled_from([np.float64, np.float32, np.int64, np.int8, np.uint64, np.bool_]),
    arrays.array_shapes(max_dims=3, max_side=3, min_side=0),
)


def through(value: Any) -> Any:
    """What arrives of a value at the other end."""
    return decode(json.loads(json.dumps(encode(value))))


@given(PLAIN)
@settings(max_examples=200, deadline=None)
def test_plain_values_travel(value: Any) -> None:
    assert repr(through(value)) == repr(value) or through(value) == value


@given(NUMBERS)
@settings(max_examples=100, deadline=None)
def test_arrays_travel(value: np.ndarray[Any, Any]) -> None:
    arrived = through(value)
    assert arrived.dtype == value.dtype
    np.testing.assert_array_equal(arrived, value, strict=True)


def test_numbers_of_numpy_travel_as_plain_ones() -> None:
    for value, plain in ((np.float32(0.5), 0.5), (np.int8(3), 3), (np.bool_(True), True), (np.longdouble(0.25), 0.25)):
        arrived = through(value)
        assert (arrived, type(arrived)) == (plain, type(plain))
    assert through(np.zeros(2, np.longdouble)).dtype == float


def test_sparse_arrays_travel() -> None:
    matrix = sparse.csr_array(np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]]))
    for value in (matrix, sparse.csr_matrix(matrix), matrix.tocsc(), matrix.tocoo()):
        np.testing.assert_array_equal(through(value).toarray(), matrix.toarray())


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1j, "complex"),
        (print, "builtin_function_or_method"),
        (object(), "object"),
        (10**30, "int beyond 64 bits"),
        (b"", "bytes"),
        (np.array(["a"]), "ndarray"),
        (np.array([None]), "ndarray"),
        (iter(()), "tuple_iterator"),
    ],
)
def test_other_values_arrive_as_their_type(value: Any, kind: str) -> None:
    arrived = through(value)
    assert isinstance(arrived, Unknown)
    assert repr(arrived) == f"a value of type {kind}"
    assert not equal(arrived, value, 1e-9)


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"a": 1, "b": 2},
        {"x": []},
        {"a": ["O", [1], [1]]},
        {"a": ["<f8", [10**15], []]},
        {"a": ["<f8", [-1, -1], [1.0]]},
        {"a": ["<f8,<f8", [1], [1]]},
        {"a": ["<f8", [2], [[1], [1, 2]]]},
        {"a": [["<f8"], [1], [1]]},
        {"a": None},
        {"s": [[1]]},
        {"d": [[[1], 2]]},
        {"d": [1]},
        {"t": 5},
        {"c": [[2, 2], [1], [9], [0, 1, 1]]},
        {"c": [[10**9, 10**9], [], [], []]},
    ],
    ids=str,
)
def test_forged_values_are_none(forged: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError)):
        decode(forged)


def test_sparse_arrays_reach_answers_that_do_not_mention_them() -> None:
    body = "return part.sum(), part.T.tocsr()[[0]].toarray(), whole"
    with sandboxed(body) as box:
        assert box.call("share", (np.eye(2), 1)).raised == "AttributeError"
        got = box.call("share", (sparse.csr_array(np.eye(2)), 1))
    assert equal(got.value, (2.0, [[1.0, 0.0]], 1), 1e-9)


# -- calling ---------------------------------------------------------------------------------------------------
def test_answers_are_called() -> None:
    answers = {"one": "def one():\n    return 1", "two": "def two(x):\n    return one() + x"}
    with Sandbox([], answers) as box:
        assert box.call("two", (1,)) == Outcome(2)
        assert box.call("one", ()) == Outcome(1)
    assert (box.broken, box.lost) == ({}, {})


def test_what_a_cell_prints_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    with Sandbox([], {"f": "print('x')\ndef f():\n    print('y')\n    return 1"}) as box:
        assert box.call("f", ()) == Outcome(1)
    assert capfd.readouterr() == ("", "")


def test_exceptions_come_back_by_name() -> None:
    assert asked("raise KeyError('x')") == Outcome(raised="KeyError", message="'x'")
    assert asked("return undefined").raised == "NameError"
    assert len(asked("raise ValueError('x' * 10**6)").message) == 500


def test_arguments_are_copies() -> None:
    with Sandbox([], {"f": "def f(x):\n    x.append(1)\n    return x"}) as box:
        mine: list[int] = []
        assert box.call("f", (mine,)) == Outcome([1])
        assert box.call("f", (mine,)) == Outcome([1])
        assert mine == []


def test_a_blank_cell_is_blank() -> None:
    with Sandbox([], {"f": "def f():\n    raise NotImplementedError()", "g": "raise NotImplementedError()"}) as box:
        assert not box.broken
        assert box.call("f", ()).raised == box.call("g", ()).raised == "NotImplementedError"


def test_a_cell_that_does_not_run_is_said_to_be_broken() -> None:
    answers = {
        "f": "def f():\n    return g()",
        "g": "1 / 0\ndef g():\n    return 1",
        "h": "def other():\n    return 1",
        "i": "def i():\n    return 1",
        "j": "while True:\n    pass",
    }
    with Sandbox([], answers, TIGHT) as box:
        assert box.broken == {
            "g": "The cell raised ZeroDivisionError: division by zero",
            "h": "The cell does not define h; the function has to keep that name.",
            "j": "It did not return within 1 seconds.",
        }
        assert box.call("i", ()) == Outcome(1)
        assert box.call("f", ()).raised == "NameError"


def test_later_cells_do_not_replace_an_answer() -> None:
    answers = {"f": "def f():\n    return 1", "g": "def g():\n    return 2\ndef f():\n    return 2"}
    with Sandbox([], answers) as box:
        assert box.call("f", ()) == Outcome(1)


def test_a_definition_in_another_cell_is_no_answer() -> None:
    with Sandbox([], {"f": "def g():\n    return 1", "g": ""}) as box:
        assert set(box.broken) == {"f", "g"}


def test_a_lost_answer_is_not_asked_again_and_others_are() -> None:
    answers = {"f": "def f():\n    while True:\n        pass", "g": "def g():\n    return 1"}
    with Sandbox([], answers, TIGHT) as box:
        for _ in range(2):
            with pytest.raises(Lost, match=r"^It did not return within 1 seconds\.$"):
                box.call("f", ())
        assert box.call("g", ()) == Outcome(1)
        assert box.lost == {"f": "It did not return within 1 seconds."}


def test_many_slow_calls_are_too_slow() -> None:
    body = "import time\nend = time.process_time() + 0.6\nwhile time.process_time() < end:\n    pass\nreturn 0.5"
    with sandboxed(body, Limits(call=1.0, calls=1.0)) as box:
        assert box.call("share", (1, 2)) == Outcome(0.5)
        with pytest.raises(Lost, match="more than 1 seconds"):
            box.call("share", (1, 2))


def test_sleep_is_bounded_too() -> None:
    with sandboxed("import time\ntime.sleep(part)\nreturn 0.5", Limits(call=0.5)) as box:
        assert box.call("share", (1, 0)) == Outcome(0.5), "others may keep the machine busy"
        began = time.time()
        with pytest.raises(Lost, match="did not return"):
            box.call("share", (9, 0))
        assert 1.9 < time.time() - began < 8


def written(reply: str) -> str:
    """Python that writes bytes to every pipe there may be."""
    tries = f"for fd in range(3, 21):\n    try:\n        os.write(fd, {reply})\n    except OSError:\n        pass"
    return f"import os, time\n{tries}"


def test_a_reply_that_never_ends_is_bounded() -> None:
    again = written("b' '").replace("\n", "\n    ").replace("import os, time", "import os, time\nwhile True:")
    with sandboxed(again, Limits(call=0.3)) as box:
        began = time.time()
        with pytest.raises(Lost):
            box.call("share", (1, 2))
        assert time.time() - began < 8


def test_messages_are_bounded() -> None:
    got = asked(written("""b'{"raised": "%s", "message": "%s"}\\n' % ((b'x' * 9999,) * 2)"""))
    assert (got.raised, got.message) == ("x" * 100, "x" * 500)


def test_memory_is_bounded() -> None:
    with sandboxed("return float(np.ones(10**9).sum())") as box:
        assert box.call("share", (1, 2)).raised == "MemoryError"
        with pytest.raises(Lost, match="more than 1,500 megabytes"):
            box.call("share", (1, 2))


def test_what_comes_back_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "LONGEST_REPLY", 10_000)
    monkeypatch.setattr(sandbox, "LONGEST_REPLIES", 20_000)
    with sandboxed("return 'x' * part") as box:
        assert box.call("share", (9000, 0)).value == "x" * 9000
        box.call("share", (9000, 0))
        with pytest.raises(Lost, match="more than fits"):
            box.call("share", (9000, 0))
    with sandboxed("return 'x' * part") as box, pytest.raises(Lost, match="more than fits"):
        box.call("share", (11_000, 0))


def test_cells_of_the_exercise_have_to_run() -> None:
    with pytest.raises(RuntimeError, match="a cell of the exercise itself raised NameError: name 'x'"):
        Sandbox(["x"], {})


def test_no_process_and_no_folder_remain() -> None:
    before = processes()
    with sandboxed("import threading, time\nthreading.Thread(target=time.sleep, args=[99]).start()\nreturn 0.5") as box:
        home = Path(box._home.name)
        assert home.is_dir()
        assert box.call("share", (1, 2)) == Outcome(0.5)
        assert len(processes() - before) == 1
    assert processes() == before
    assert not home.exists()


def test_libraries_work_behind_the_fence() -> None:
    """What honest answers import: also where that is not imported before the fence is set."""
    modules = ["scipy.stats", "scipy.optimize", "scipy.special", "scipy.sparse.linalg", "scipy.spatial.distance"]
    modules += ["scipy.linalg", "scipy.cluster.hierarchy", "scipy.sparse.csgraph", "scipy.interpolate", "pandas"]
    modules += [
        "numpy.fft",
        "numpy.ma",
        "numpy.polynomial",
        "statistics",
        "fractions",
        "dataclasses",
        "typing",
        "collections",
        "functools",
        "re",
    ]
    answers = {f"f{n}": f"import {module}\ndef f{n}():\n    return {n}" for n, module in enumerate(modules)}
    with Sandbox([], answers) as box:
        assert box.broken == {}
        for n in range(len(modules)):
            assert box.call(f"f{n}", ()) == Outcome(n)


def test_numpy_and_pandas_compute_behind_the_fence() -> None:
    body = """
import pandas as pd
from scipy.stats import rankdata
frame = pd.DataFrame({"a": [1, 1, 2], "b": [1.0, 2.0, 3.0]})
return [
    frame.groupby("a").b.mean().tolist(), frame.merge(frame, on="a").b_x.sum(), frame.a.rank().to_numpy(),
    rankdata([3, 1, 1]), np.linalg.solve(np.eye(2), np.ones(2)), np.random.default_rng(0).integers(1, 2, 3),
    np.array2string(np.eye(1)), pd.to_datetime(pd.Series(["2020-01-01"])).dt.year.tolist(),
]"""
    got = asked(body, Limits()).value
    assert equal(
        got, [[1.5, 3.0], 9.0, [1.5, 1.5, 3.0], [3.0, 1.5, 1.5], [1.0, 1.0], [1, 1, 1], "[[1.]]", [2020]], 1e-9
    )


# -- the fence -------------------------------------------------------------------------------------------------
def test_the_secret_is_there() -> None:
    """Attacks that fail because there is nothing to find would show nothing."""
    assert "def cosine" in Path(SECRET).read_text()
    assert psutil.pid_exists(os.getpid())


@pytest.mark.slow
@pytest.mark.parametrize("name", FENCED)
def test_the_fence_ends_it_with_an_error(name: str) -> None:
    began = time.time()
    got = asked(FENCED[name])
    refused = (
        "PermissionError",
        "ImportError",
        "ModuleNotFoundError",
        "AttributeError",
        "OSError",
        "ZeroDivisionError",
    )
    assert got.raised in refused, got
    assert time.time() - began < 10


@pytest.mark.slow
@pytest.mark.parametrize("name", SILENT)
def test_what_the_fence_lets_pass_helps_nobody(name: str) -> None:
    """It ends the answer's own process, or leaves another value than the right one of further questions."""
    got: list[Any] = []
    with sandboxed(SILENT[name]) as box:
        with suppress(Lost):
            got += [box.call("share", pair).value for pair in ((1, 4), (3, 4), (2, 3), (0, 5))]
        assert bool(box.lost) == (got == [])
    assert not equal(got, [1 / 4, 3 / 4, 2 / 3, 0.0], 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in RUN if "bomb" in n or "loop" in n or n.startswith(("huge", "recurs"))])
def test_bombs_are_limited(name: str) -> None:
    began = time.time()
    got = Outcome(raised="MemoryError")
    with Sandbox(GIVEN, {"share": RUN[name]}, TIGHT) as box:
        if not box.broken:
            with suppress(Lost):
                got = box.call("share", (1, 2))
    assert got.raised in ("MemoryError", "RecursionError") or isinstance(got.value, Unknown)
    assert time.time() - began < 15


def test_large_requests_to_a_process_that_does_not_read_end() -> None:
    """A forged reply, then an endless loop: what the grader writes next fills the pipe."""
    forged = written("""b'{"value": 1.0}\\n'""") + "\nwhile True:\n    pass"
    with sandboxed(forged) as box:
        began = time.time()
        assert box.call("share", (1, 2)) == Outcome(1.0)
        with pytest.raises(Lost):
            box.call("share", (list(range(300_000)), 1))
        assert time.time() - began < 10


def test_hooks_that_answers_add_are_none() -> None:
    body = "import sys\nseen = []\nsys.addaudithook(lambda *a: seen.append(a))\nsys.audit('x')\nreturn len(seen)"
    assert asked(body) == Outcome(0)


def test_the_environment_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    got = asked("import os, sys\nreturn [dict(os.environ), sys.argv, os.getcwd(), sorted(sys.modules)]").value
    assert "SECRET_TOKEN" not in got[0]
    assert not any("rectutor" in text for text in (*got[3], got[2]))
    assert sys.argv[0] not in got[1]
