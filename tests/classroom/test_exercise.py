"""Judging: what is equal, which hint is given, and how small the input is that shows a mistake."""

from __future__ import annotations

import math
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import sparse

from rectutor.classroom import exercise as module
from rectutor.classroom.exercise import (
    AT_SIZE,
    SEED,
    Arguments,
    Exercise,
    Lost,
    Misconception,
    Outcome,
    Verdict,
    Wrong,
    by_name,
    checker,
    equal,
    judge,
    outcome_of,
)
from tests.classroom.small import EXERCISES, check

TOTAL, SHARE, RANKED = EXERCISES.values()


class Sly(float):
    """Claims to equal everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __float__(self) -> float:
        return 0.5

    __hash__ = float.__hash__


class SlyList(list[Any]):
    """So does this."""

    def __eq__(self, other: object) -> bool:
        return True


class SlyArray(np.ndarray[Any, Any]):
    """And this."""

    def __eq__(self, other: object) -> Any:
        return True


# -- comparing -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (0.1 + 0.2, 0.3),
        (1, 1.0),
        (1.0, 1),
        (np.float32(0.5), 0.5),
        (np.int8(3), 3),
        (math.nan, np.float64("nan")),
        (math.inf, np.inf),
        (-0.0, 0.0),
        (1e-14, 0.0),
        (True, np.True_),
        (None, None),
        ("a", "a"),
        ([1, 2], (1.0, 2.0)),
        (np.array([1, 2]), [1, 2]),
        ([[1], [2]], np.array([[1.0], [2.0]])),
        ([], np.zeros(0)),
        ({1: [0.5], "a": None}, {1: (0.5,), "a": None}),
        ({1: 1}, MappingProxyType({1: 1.0})),
        ({1, 2}, frozenset({2, 1})),
        ([(1, math.nan)], [(1, math.nan)]),
        (2**62, 2**62),
    ],
    ids=repr,
)
def test_equal(got: Any, expected: Any) -> None:
    assert equal(got, expected, 1e-9)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (0.3001, 0.3),
        (math.nan, 0.0),
        (0.0, math.nan),
        (math.inf, -math.inf),
        (10**400, 1.0),
        (10**400, np.float64(1.0)),
        (1, True),
        (True, 1),
        (True, 1.0),
        (np.True_, 1),
        (1j, 1.0),
        (1 + 0j, 1),
        (np.complex128(1), 1.0),
        ("1", 1),
        (None, 0.0),
        (0.0, None),
        ("a", "b"),
        (b"a", "a"),
        ([1], 1),
        (1, [1]),
        (np.array(1.0), [1.0]),
        (np.array(1.0), 1.0),
        (np.array([1.0]), 1.0),
        ([1, 2], [2, 1]),
        ([1, 2], [1, 2, 3]),
        ([1, [2, 3]], [1, 2]),
        ([[1], [1, 2]], [1.0, 2.0]),
        ([[1], [1, 2]], np.zeros((2, 2))),
        ({1, 2}, [1, 2]),
        ([1, 2], {1, 2}),
        ("ab", ["a", "b"]),
        ({1: 1}, {1: 2}),
        ({1: 1}, {2: 1}),
        ({1: 1}, {1: 1, 2: 2}),
        ({1: 1, 2: 2}, {1: 1}),
        ([(1, 2)], {1: 2}),
        ({1, 2}, {1, 3}),
        ((x for x in (1, 2)), [1, 2]),
        (range(2), [0, 1]),
        (Sly(0.25), 0.5),
        (SlyList(), [1]),
        (SlyList([2]), [1]),
        (np.zeros(1).view(SlyArray), np.ones(1)),
        (Sly, 0.5),
        (sparse.csr_array(np.eye(1)), [[1.0]]),
    ],
    ids=str,
)
def test_not_equal(got: Any, expected: Any) -> None:
    assert not equal(got, expected, 1e-9)


def test_equal_is_to_a_tolerance() -> None:
    assert equal([1.001], [1.0], 1e-2)
    assert not equal([1.001], [1.0], 1e-4)


# -- judging ---------------------------------------------------------------------------------------------------
def judged(exercise: Exercise, answer: Callable[..., Any], seed: int = 7) -> Verdict:
    return judge(exercise, outcome_of(answer), seed)


@pytest.mark.parametrize("exercise_", EXERCISES.values(), ids=list(EXERCISES))
def test_references_are_correct_and_misconceptions_get_their_hints(exercise_: Exercise) -> None:
    assert judged(exercise_, exercise_.reference) == Verdict("correct")
    for misconception in exercise_.misconceptions:
        assert judged(exercise_, misconception.wrong) == Verdict("wrong", misconception.hint)


def test_other_mistakes_get_the_smallest_input_what_came_back_and_what_is_expected() -> None:
    verdict = judged(TOTAL, lambda values: float(sum(values[:2])))
    assert verdict == Verdict("wrong", f"For values = [0, 0, 1] it returned 0.0. {TOTAL.expects}")
    verdict = judged(SHARE, lambda part, whole: part / (whole or 1) if whole != 5 else 0.0)
    assert verdict == Verdict("wrong", f"For part = 1, whole = 5 it returned 0.0. {SHARE.expects}")


def test_a_mistake_on_an_edge_case_only_is_found() -> None:
    rare = replace(SHARE, edges=[(10**6, 10**6 + 1)])
    verdict = judged(rare, lambda part, whole: 0.5 if whole > 9 else part / (whole or 1))
    assert verdict.hint == f"For part = 1000000, whole = 1000001 it returned 0.5. {SHARE.expects}"


def test_exceptions_are_told() -> None:
    verdict = judged(SHARE, lambda part, whole: part / whole)
    assert verdict.hint == f"For part = 0, whole = 0 it raised ZeroDivisionError: division by zero. {SHARE.expects}"


def test_the_same_exception_as_the_reference_is_right() -> None:
    def half(n: int) -> int:
        if n % 2:
            raise ValueError("odd")
        return n // 2

    asked = Exercise(half, "", [(1,), (2,)], st.tuples(st.integers(0, 9)))
    assert judged(asked, half).status == "correct"
    assert judged(asked, lambda n: n // 2).status == "wrong"
    assert judged(asked, lambda n: {}[n] if n % 2 else n // 2).status == "wrong"


def test_a_mistake_on_large_inputs_only_is_told_without_them() -> None:
    verdict = judged(TOTAL, lambda values: float(sum(values[:10_000])))
    assert verdict == Verdict("wrong", f"{AT_SIZE} It is wrong there.")

    def short_of_memory(values: list[float]) -> float:
        if len(values) > 1000:
            raise MemoryError
        return float(sum(values))

    verdict = judged(TOTAL, short_of_memory)
    assert verdict == Verdict("wrong", f"{AT_SIZE} It raised MemoryError.")


def test_the_right_value_is_never_told() -> None:
    """A value that nobody would write by chance."""

    def secret(x: int) -> float:
        return 83162.5 + x

    asked = Exercise(secret, "A number.", [(0,)], st.tuples(st.integers(0, 3)), lambda rng: (10**6,))
    for answer in (lambda x: 0.0, lambda x: 1 / 0, lambda x: None, lambda x: 83000 + x, lambda x: str(x)):
        verdict = judged(asked, answer)
        assert verdict.status == "wrong"
        assert "8316" not in verdict.hint


def test_a_misconception_that_does_not_fit_everywhere_is_not_named() -> None:
    verdict = judged(TOTAL, lambda values: float(len(values)) if len(values) < 3 else 0.0)
    assert "count" not in verdict.hint


def test_the_more_special_misconception_comes_first() -> None:
    first = Misconception(lambda part, whole: 0.0, "Zero.")
    second = Misconception(lambda part, whole: 0.0 if part != whole else -1.0, "Minus.")
    zero = Misconception(lambda part, whole: 0.0, "Nought.")
    asked = replace(SHARE, misconceptions=[second, first, zero])
    assert judged(asked, first.wrong).hint == "Zero."
    assert judged(asked, second.wrong).hint == "Minus."


def test_an_answer_with_the_right_values_is_no_misconception() -> None:
    """Wrong by one input, on which the misconception raises: it agrees nowhere where the answer is wrong."""
    fussy = Misconception(lambda part, whole: part / whole, "Divide.")
    asked = replace(SHARE, misconceptions=[fussy])
    assert "Divide" not in judged(asked, lambda part, whole: part / whole if whole else 1.0).hint
    assert judged(asked, fussy.wrong).hint == "Divide."


def test_blank_is_blank_wherever_it_stops() -> None:
    def blank(*arguments: Any) -> Any:
        raise NotImplementedError

    def half_blank(part: int, whole: int) -> float:
        if whole == 3:
            raise NotImplementedError
        return part / whole if whole else 0.0

    assert judged(SHARE, blank) == judged(SHARE, half_blank) == Verdict("blank")
    assert judged(replace(SHARE, inputs=None), blank) == Verdict("blank")


def test_a_lost_answer_is_asked_no_more() -> None:
    calls = []

    def answer(arguments: Arguments) -> Outcome:
        calls.append(arguments)
        if len(calls) == 5:
            raise Lost("It is gone.")
        return outcome_of(SHARE.reference)(arguments)

    assert judge(SHARE, answer, 7) == Verdict("wrong", "It is gone.")
    assert len(calls) == 5


def test_answers_that_change_from_call_to_call_are_wrong() -> None:
    calls = iter(range(10**6))
    for seed in range(5):
        assert judged(SHARE, lambda part, whole: random.random(), seed).status == "wrong"
        verdict = judged(SHARE, lambda part, whole: (part / whole if whole else 0.0) + (next(calls) % 7 == 0), seed)
        assert verdict.status == "wrong"
        assert SHARE.expects in verdict.hint


def test_answers_may_change_their_arguments() -> None:
    def emptied(values: list[float]) -> float:
        total = 0.0
        while values:
            total += values.pop()
        return total

    assert judged(TOTAL, emptied) == Verdict("correct")


def test_the_same_seed_gives_the_same_inputs() -> None:
    def asked(seed: int) -> list[Arguments]:
        seen = []

        def answer(arguments: Arguments) -> Outcome:
            seen.append(arguments)
            return outcome_of(SHARE.reference)(arguments)

        judge(SHARE, answer, seed)
        return seen

    assert asked(1) == asked(1)
    assert asked(1) != asked(2)
    assert len(asked(1)) >= 30


def test_number_of_random_inputs() -> None:
    calls = []
    many = replace(TOTAL, inputs=st.tuples(st.lists(st.integers(), max_size=9)), large=None)
    judged(many, lambda values: calls.append(1) or TOTAL.reference(values))  # type: ignore[func-returns-value]
    assert module.RANDOM_INPUTS <= len(calls) <= module.RANDOM_INPUTS + 10


def test_exercises_may_bring_their_own_comparison() -> None:
    def some(n: int) -> int:
        return 0

    def same(arguments: Arguments, got: Any, expected: Any) -> bool:
        return got in range(arguments[0])

    asked = Exercise(some, "Below n.", [(1,)], st.tuples(st.integers(1, 9)), same=same)
    assert judged(asked, lambda n: n - 1).status == "correct"
    assert judged(asked, lambda n: n).status == "wrong"


def test_exercises_without_arguments() -> None:
    def two() -> float:
        return 2.0

    asked = Exercise(two, "A number.", [()], misconceptions=[Misconception(lambda: 4.0, "Half of it.")])
    assert judged(asked, lambda: 2) == Verdict("correct")
    assert judged(asked, lambda: 4).hint == "Half of it."
    assert judged(asked, lambda: 5).hint == "It returned 5. A number."


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x" * 1000, f"'{'x' * 299} ..."),
        (np.array([1, 2]), "[1, 2]"),
        (sparse.csr_array(np.eye(2)), "a sparse array of [[1.0, 0.0], [0.0, 1.0]]"),
        (sparse.csr_array(np.zeros((90, 90))), "a sparse array"),
    ],
    ids=["long", "array", "sparse", "large-sparse"],
)
def test_hints_show_values_for_people(value: Any, shown: str) -> None:
    assert (
        judged(SHARE, lambda part, whole: value).hint == f"For part = 0, whole = 0 it returned {shown}. {SHARE.expects}"
    )


def test_hints_on_values_that_cannot_be_shown() -> None:
    class Silent:
        def __repr__(self) -> str:
            raise ValueError

    nested: Any = []
    for _ in range(20_000):
        nested = [nested]
    for value in (Silent(), nested):
        verdict = judge(SHARE, lambda arguments, value=value: Outcome(value), 7)  # type: ignore[misc]
        assert f"it returned a {type(value).__name__}. " in verdict.hint
    while nested:  # taken apart without recursion
        nested = nested.pop()


# -- in a notebook ---------------------------------------------------------------------------------------------
def test_check_says_that_an_answer_is_correct(capsys: pytest.CaptureFixture[str]) -> None:
    check("share", SHARE.reference)
    assert capsys.readouterr() == ("share: correct\n", "")


def test_check_raises_hints_without_a_traceback() -> None:
    with pytest.raises(Wrong, match=r"^share: not yet\. You divide whole numbers\.$") as wrong:
        check("share", SHARE.misconceptions[0].wrong)
    assert wrong.value._render_traceback_() == ["share: not yet. You divide whole numbers."]
    assert isinstance(wrong.value, AssertionError)


def test_check_of_a_blank_raises_notimplementederror() -> None:
    def blank(part: int, whole: int) -> float:
        raise NotImplementedError()

    with pytest.raises(NotImplementedError, match=r"^share: write the function above, then run this cell again$"):
        check("share", blank)


def test_check_of_an_unknown_exercise() -> None:
    with pytest.raises(ValueError, match="name is 'shares'; the exercises are total, share, ranked"):
        check("shares", SHARE.reference)


def test_check_keeps_prints_and_warnings_of_the_answer_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """nbval compares all that a check cell prints; an honest answer may print, and NumPy may warn."""

    def chatty(part: int, whole: int) -> float:
        print("share: correct \ud800")
        print("warning", file=sys.stderr)
        warnings.warn("careful", stacklevel=1)
        with np.errstate(all="warn"):
            np.zeros(1) / 0
        return part / whole if whole else 0.0

    check("share", chatty)
    assert capsys.readouterr() == ("share: correct\n", "")
    with pytest.raises(Wrong):
        check("share", lambda part, whole: print("share: correct"))
    assert capsys.readouterr() == ("", "")


def test_check_meets_new_inputs_each_time_unless_a_seed_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> list[Arguments]:
        seen: list[Arguments] = []
        check("share", lambda *pair: seen.append(pair) or SHARE.reference(*pair))  # type: ignore[func-returns-value]
        return seen

    monkeypatch.delenv(SEED, raising=False)
    assert asked() != asked()
    monkeypatch.setenv(SEED, "5")
    assert asked() == asked()
    assert os.environ[SEED] == "5"


def test_by_name_refuses_two_of_a_name() -> None:
    assert list(by_name(SHARE, TOTAL)) == ["share", "total"]
    with pytest.raises(ValueError, match=r"two exercises have the same name among \['share', 'share'\]"):
        by_name(SHARE, SHARE)


@pytest.fixture(autouse=True)
def _warnings_stay_errors() -> Iterator[None]:
    """A check that silences warnings has to bring them back."""
    yield
    with pytest.raises(UserWarning):
        warnings.warn("x", stacklevel=1)


def test_a_checker_of_its_own() -> None:
    with pytest.raises(ValueError, match=r"the exercises are $"):
        checker({})("x", print)
