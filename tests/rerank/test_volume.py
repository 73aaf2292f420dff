"""Volumes, kernels of quality and the published greedy search, as exported: worked values, identities, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rectutor import rerank
from rectutor.rerank import reference
from tests.rerank.problems import seeds, unit_rows


@pytest.mark.parametrize("function", [rerank.volume, reference.volume])
def test_volumes_worked_by_hand(function: Any) -> None:
    assert function([[3, 0], [5, 2]]) == pytest.approx(6)
    assert function([[2, 0, 0], [0, 3, 0], [7, -5, 4]]) == pytest.approx(24)
    assert function([[1, 2, 2], [2, 1, -2]]) == pytest.approx(9)
    for flat in ([[1, 1], [2, 2]], [[0, 0], [1, 0]], [[1, 0], [0, 1], [1, 1]]):
        assert function(flat) == pytest.approx(0, abs=1e-12)


@given(seeds, st.integers(1, 6), st.sampled_from([1e-40, 1.0, 1e40]))
def test_the_square_of_a_volume_is_a_determinant(seed: int, n: int, scale: float) -> None:
    v = unit_rows(np.random.default_rng(seed), n, 7)
    sign, log_det = np.linalg.slogdet(v @ v.T)
    assert sign == 1
    expected = log_det / 2 + n * np.log(scale)
    assert np.log(rerank.volume(v * scale)) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_quality_worked_by_hand() -> None:
    np.testing.assert_array_equal(rerank.quality_kernel([2, 3], [[1, 0.5], [0.5, 1]]), [[4, 3], [3, 9]])
    np.testing.assert_allclose(rerank.quality_of([0.0, 2.0], 0.5), [1, np.e])


@given(seeds, st.floats(0.1, 0.9))
def test_the_quality_of_a_reward_makes_dpp_the_same(seed: int, theta: float) -> None:
    rng = np.random.default_rng(seed)
    reward, vectors = rng.standard_normal(12), unit_rows(rng, 12, 8)
    traded = rerank.dpp(reward, vectors, k=7, theta=theta)
    kernel = rerank.quality_kernel(rerank.quality_of(reward, theta), vectors @ vectors.T)
    assert rerank.dpp(quality=rerank.quality_of(reward, theta), vectors=vectors, k=7).order.tolist() == list(traded)
    assert list(rerank.fast_greedy(kernel, 7)) == list(traded)
    assert reference.fast_greedy(kernel, 7) == list(traded)


@pytest.mark.parametrize("function", [rerank.fast_greedy, reference.fast_greedy])
def test_greedy_worked_by_hand(function: Any) -> None:
    kernel = np.array([[4.0, 3, 0], [3, 3, 0], [0, 0, 1]])
    assert list(function(kernel, 3)) == [0, 2, 1]
    assert list(function(np.ones((3, 3)), 3)) == [0]  # one direction, one item


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rerank.volume([1.0, 2.0]), r"vectors has shape \(2,\)"),
        (lambda: rerank.volume(np.ones((0, 2))), r"vectors has shape \(0, 2\)"),
        (lambda: rerank.quality_kernel([1.0], np.eye(2)), r"quality has shape \(1,\) and kernel \(2, 2\)"),
        (lambda: rerank.quality_of([1.0], 1.0), "theta"),
        (lambda: rerank.quality_of([1.0], -0.1), "theta"),
    ],
)
def test_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
