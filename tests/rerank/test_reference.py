"""The references: worked values, and identities that determinants, volumes and greedy choices have to satisfy."""

from __future__ import annotations

from itertools import combinations
from math import e, factorial, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rectutor.rerank import MaxRun, reference
from tests.rerank.problems import Floats, distance2, seeds, unit_rows

sizes = st.tuples(st.integers(1, 5), st.integers(5, 8))


# -- volumes and determinants -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("vectors", "volume"),
    [
        ([[3, 0], [0, 2]], 6),
        ([[3, 0], [5, 2]], 6),  # a shear keeps base and height
        ([[3, 4]], 5),
        ([[1, 2, 2], [2, 1, -2]], 9),  # orthogonal, both of length 3
        ([[1, 0, 0], [1, 1, 0], [1, 1, 1]], 1),
        ([[2, 0, 0], [0, 3, 0], [7, -5, 4]], 24),
        ([[1, 1], [2, 2]], 0),
        ([[0, 0], [1, 0]], 0),
        ([[1, 0], [0, 1], [1, 1]], 0),
    ],
)
def test_volumes_worked_by_hand(vectors: list[list[float]], volume: float) -> None:
    assert reference.volume(vectors) == pytest.approx(volume, abs=1e-12)


@given(seeds, sizes)
def test_one_number_by_six_routes(seed: int, size: tuple[int, int]) -> None:
    """Volume by projections, det of the inner products, eigenvalues, singular values, QR, Cholesky."""
    v = np.random.default_rng(seed).standard_normal(size)
    a = reference.gram(v)
    np.testing.assert_allclose(a, v @ v.T, rtol=1e-12, atol=1e-12)
    squared = reference.volume(v) ** 2
    for other in (
        np.linalg.det(a),
        np.prod(np.linalg.eigvalsh(a)),
        np.prod(np.linalg.svd(v, compute_uv=False)) ** 2,
        np.prod(np.diag(np.linalg.qr(v.T)[1])) ** 2,
        np.prod(np.diag(np.linalg.cholesky(a))) ** 2,
    ):
        assert squared == pytest.approx(other, rel=1e-6)
    assert np.trace(a) == pytest.approx(np.linalg.eigvalsh(a).sum(), rel=1e-12)
    assert squared <= np.prod(np.diag(a)) * (1 + 1e-9)  # Hadamard: a box has the most


@given(seeds, sizes)
def test_volume_does_not_depend_on_the_order_and_scales_with_a_side(seed: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    v = rng.standard_normal(size)
    assert reference.volume(v[rng.permutation(len(v))]) == pytest.approx(reference.volume(v), rel=1e-8)
    longer = v.copy()
    longer[0] *= -3
    assert reference.volume(longer) == pytest.approx(3 * reference.volume(v), rel=1e-8)


@given(seeds, sizes)
def test_a_ratio_of_determinants_is_a_squared_distance(seed: int, size: tuple[int, int]) -> None:
    v = np.random.default_rng(seed).standard_normal(size)
    *w, i = range(len(v))
    ratio = reference.determinant_ratio(v @ v.T, i, w)
    assert ratio == pytest.approx(distance2(v, w, None)[i], rel=1e-6)
    if w:
        x = np.linalg.lstsq(v[w].T, v[i])[0]
        assert ratio == pytest.approx(float(((v[i] - x @ v[w]) ** 2).sum()), rel=1e-6)


def test_project() -> None:
    np.testing.assert_allclose(reference.project(np.array([3.0, 4.0]), np.array([2.0, 0.0])), [3, 0])


def test_independent_keeps_the_first_of_what_depends() -> None:
    v = np.array([[1.0, 0, 0], [2, 0, 0], [0, 0, 0], [0, 1, 0], [3, 5, 0], [0, 0, 1e-3]])
    assert reference.independent(v @ v.T, [0, 1, 2, 3, 4, 5]) == [0, 3, 5]
    assert reference.independent(v @ v.T, [4, 3, 1, 5]) == [4, 3, 5]
    assert reference.independent(v @ v.T, []) == []


# -- two ways to trade ------------------------------------------------------------------------------------------
def test_quality_kernel_worked_by_hand() -> None:
    kernel = reference.quality_kernel([2, 3], [[1, 0.5], [0.5, 1]])
    np.testing.assert_array_equal(kernel, [[4, 3], [3, 9]])
    # log det L = 2 log 2 + 2 log 3 + log det A = log 36 + log 0.75
    assert np.linalg.det(kernel) == pytest.approx(27)
    np.testing.assert_allclose(reference.quality_of([0.0, 2.0], 0.5), [1, e])


@given(seeds, st.floats(0, 0.9))
def test_quality_is_reward_in_another_form(seed: int, theta: float) -> None:
    rng = np.random.default_rng(seed)
    v, reward = rng.standard_normal((6, 8)), rng.random(6)
    kernel = reference.quality_kernel(reference.quality_of(reward, theta), v @ v.T)
    for s in ([0], [1, 3], [0, 2, 5]):
        traded = theta * reward[s].sum() + (1 - theta) * np.linalg.slogdet((v @ v.T)[np.ix_(s, s)])[1]
        assert (1 - theta) * np.linalg.slogdet(kernel[np.ix_(s, s)])[1] == pytest.approx(traded, abs=1e-9)


# -- greedy search ----------------------------------------------------------------------------------------------
def best_set(kernel: Floats, k: int) -> float:
    """The greatest determinant of k rows, over all subsets."""
    return max(float(np.linalg.det(kernel[np.ix_(s, s)])) for s in map(list, combinations(range(len(kernel)), k)))


@given(seeds, st.integers(1, 5))
def test_fast_greedy_is_greedy_search_with_determinants(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    v, q = unit_rows(rng, 9, 6), np.exp(rng.standard_normal(9))
    kernel = reference.quality_kernel(q, v @ v.T)
    chosen, gains = reference.dpp(quality=q, vectors=v, k=k)
    assert reference.fast_greedy(kernel, k) == chosen
    assert reference.dpp(np.zeros(9), kernel=kernel, theta=0, k=k)[0] == chosen
    assert sum(gains) == pytest.approx(np.linalg.slogdet(kernel[np.ix_(chosen, chosen)])[1], abs=1e-7)
    np.testing.assert_array_less(np.diff(gains), 1e-9)  # gains of log det shrink: it is submodular


def test_fast_greedy_worked_by_hand() -> None:
    # lengths^2 4, 3, 1; row 1 lies along row 0 up to 0.5: d^2 = 3 - (3^2) / 4 = 0.75, less than row 2's 1
    kernel = np.array([[4.0, 3, 0], [3, 3, 0], [0, 0, 1]])
    assert reference.fast_greedy(kernel, 3) == [0, 2, 1]
    assert reference.fast_greedy(np.ones((3, 3)), 3) == [0]  # one direction, one item


@given(seeds, st.integers(1, 4))
def test_greedy_is_never_below_its_guarantee_for_monotone_gains(seed: int, k: int) -> None:
    """log det(I + X X^T) is monotone, submodular, 0 for no item: greedy reaches 1 - 1/e (Nemhauser et al. 1978)."""
    x = np.random.default_rng(seed).standard_normal((8, 3))
    kernel = np.eye(8) + x @ x.T
    chosen = reference.fast_greedy(kernel, k)
    reached = float(np.linalg.slogdet(kernel[np.ix_(chosen, chosen)])[1])
    best = log(best_set(kernel, k))
    assert (1 - 1 / e) * best - 1e-9 <= reached <= best + 1e-9


@given(seeds, st.integers(1, 4))
def test_greedy_volume_is_at_least_the_best_over_k_factorial(seed: int, k: int) -> None:
    """Civril and Magdon-Ismail (2009)."""
    v = np.random.default_rng(seed).standard_normal((8, 5))
    chosen = reference.fast_greedy(v @ v.T, k)
    best = sqrt(best_set(v @ v.T, k))
    assert best / factorial(k) <= reference.volume(v[chosen]) * (1 + 1e-9)
    assert reference.volume(v[chosen]) <= best * (1 + 1e-9)


def test_greedy_is_not_optimal() -> None:
    """The longest vector is a trap: without it the other two span more."""
    v = np.array([[1.1, 0.0], [0.75, 0.75], [0.75, -0.75]])
    chosen = reference.fast_greedy(v @ v.T, 2)
    assert chosen[0] == 0
    assert reference.volume(v[chosen]) == pytest.approx(0.825)
    assert reference.volume(v[[1, 2]]) == pytest.approx(1.125)


def test_loop_worked_by_hand() -> None:
    def gain(i: int, chosen: list[int]) -> float:
        return 10.0 * i if len(chosen) < 2 else float("-inf")

    assert reference.greedy(gain, [0, 1, 2, 3], 3) == ([3, 2], [30, 20])
    assert reference.greedy(gain, [0, 1, 2, 3], 3, fallback=lambda i: -i) == ([3, 2, 0], [30, 20, float("-inf")])
    rules, attributes = (MaxRun("x", 1),), {"x": ["b", "a", "a", "a"]}
    assert reference.greedy(gain, [0, 1, 2, 3], 2, rules, attributes) == ([3, 0], [30, 0])
    with pytest.raises(ValueError, match="position 1: no item that is left satisfies the rules"):
        reference.greedy(gain, [1, 2, 3], 2, rules, attributes)
    assert reference.greedy(gain, [1, 2, 3], 2, rules, attributes, "stop") == ([3], [30])
    assert reference.greedy(gain, [1, 2, 3], 2, rules, attributes, "relax") == ([3, 2], [30, 20])


def test_ties_up_to_rounding_go_to_the_lower_row() -> None:
    assert reference.first_of_the_best({4: 1.0, 2: 1.0 - 1e-13, 7: 1.0}) == 2
    assert reference.first_of_the_best({4: 1.0, 2: 1.0 - 1e-11, 7: 1.0}) == 4
    assert reference.first_of_the_best({4: 1e6, 2: 1e6 - 1e-7}) == 2  # as a part of their size
    assert reference.first_of_the_best({3: -5.0, 9: -4.0}) == 9


def test_who_may_be_chosen() -> None:
    assert reference.everyone(3, None) == [0, 1, 2]
    assert reference.everyone(3, [True, False, True]) == [0, 2]
    assert reference.recent([4, 5, 6], None) == [4, 5, 6]
    assert reference.recent([4, 5, 6], 2) == [5, 6]
    assert reference.recent([4], 2) == [4]
