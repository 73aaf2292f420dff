"""Exercises on factorization machines: the two comparisons of their own, and hints that hang on a single edge."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rectutor.classroom.exercise import Exercise, Verdict, judge, outcome_of
from rectutor.classroom.fm import BY_HAND, FTRL, LOOK_UP, look_up

RIGHT = (11, 1, 1 / (1 + math.exp(-1)))


def judged(exercise: Exercise, answer: Callable[..., Any]) -> Verdict:
    return judge(exercise, outcome_of(answer), seed=7)


@pytest.mark.parametrize("answer", [RIGHT, list(RIGHT), np.array(RIGHT), (11.0, 1.0, 0.731)])
def test_by_hand_is_correct_in_any_form(answer: Any) -> None:
    assert judged(BY_HAND, lambda: answer) == Verdict("correct")


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ((11, -24, 0.0), "Your crosses are right, your logit is not. "),
        ((11, 11, 1.0), "Your crosses are right, your logit is not. "),
        ((11, 1, 0.5), "Crosses and logit are right. "),
        ((11, 1, math.nan), "Crosses and logit are right. "),
        ((22, 12, 1.0), "You count every pair twice. "),
        ((12, 2, 0.881), "It returned (12, 2, 0.881). "),
    ],
)
def test_by_hand_looks_at_the_first_number_that_is_wrong(answer: Any, hint: str) -> None:
    verdict = judged(BY_HAND, lambda: answer)
    assert verdict.status == "wrong"
    assert verdict.hint.startswith(hint)


@pytest.mark.parametrize("answer", [(*RIGHT, 0), RIGHT[:2], 11, np.array(11), "abc", {11, 1, 0.731}, (11, "1", 0.731)])
def test_by_hand_is_three_numbers(answer: Any) -> None:
    assert judged(BY_HAND, lambda: answer).status == "wrong"


@pytest.mark.parametrize("nothing", [[], np.zeros(0), np.zeros((0, 1)), np.zeros((0, 2, 2))])
def test_look_up_of_no_examples_has_k_columns(nothing: Any) -> None:
    assert judged(LOOK_UP, lambda *given: look_up(*given) if len(given[0]) else nothing).status == "wrong"


def test_look_up_of_examples_may_be_lists() -> None:
    def answer(codes: Any, sizes: list[int], weights: Any) -> Any:
        rows = look_up(codes, sizes, weights)
        return rows.tolist() if len(codes) else rows

    assert judged(LOOK_UP, answer) == Verdict("correct")


@pytest.mark.parametrize("root", [math.sqrt, np.sqrt])
def test_ftrl_with_a_strict_threshold_is_told(root: Callable[[float], float]) -> None:
    def answer(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Any:
        w = 0.0
        if abs(z) >= l1:
            w = -(z - math.copysign(l1, z)) / ((beta + root(n)) / alpha + l2)
        return w, z + g - (root(n + g**2) - root(n)) / alpha * w, n + g**2

    assert judged(FTRL, answer).hint.startswith("Where the size of z is exactly l1, ")
