"""Inputs on which the factor models' references and fast paths are compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from rectutor.data import Interactions
from rectutor.fastpath import Case


def drawn(rng: np.random.Generator, n_users: int, n_items: int, density: float, *, ratings: bool) -> Interactions:
    """Random cells, at least one; ratings 1 to 5 in halves or ones. Some users and items may stay empty."""
    cells = np.flatnonzero(rng.random(n_users * n_items) < density)
    if not len(cells):
        cells = rng.integers(n_users * n_items, size=1)
    value = rng.integers(2, 11, len(cells)) / 2 if ratings else np.ones(len(cells))
    return Interactions(
        (cells // n_items).astype(np.int32),
        (cells % n_items).astype(np.int32),
        value,
        None,
        pd.RangeIndex(n_users),
        pd.RangeIndex(n_items),
    )


def funk_svd(rng: np.random.Generator) -> Iterator[Case]:
    """Random ratings in one and in several blocks, no biases, factor counts around the vector width, one rating."""
    step = {"learning_rate": 0.02, "reg": 0.05}
    some = drawn(rng, 12, 9, 0.4, ratings=True)
    yield Case("random", (some, 5, 3), step)
    yield Case("three blocks", (some, 5, 3), {**step, "blocks": 3, "seed": 7})
    yield Case("more blocks than users", (some, 2, 2), {**step, "blocks": 20})
    yield Case("no biases", (some, 4, 3), {**step, "biased": False, "blocks": 2})
    for factors in (1, 16, 33):
        yield Case(f"{factors} factors", (drawn(rng, 15, 11, 0.3, ratings=True), factors, 2), step)
    yield Case("empty users and items", (drawn(rng, 20, 20, 0.05, ratings=True), 3, 3), step)
    yield Case("one rating", (drawn(rng, 1, 1, 1.0, ratings=True), 2, 4), step)
    yield Case("no regularisation", (some, 3, 3), {"learning_rate": 0.01, "reg": 0.0})


def bpr(rng: np.random.Generator) -> Iterator[Case]:
    """Random clicks in one and in several blocks, popular negatives, an insatiable user, one click."""
    step = {"learning_rate": 0.1, "reg": 0.02}
    some = drawn(rng, 12, 9, 0.4, ratings=False)
    yield Case("random", (some, 5, 3), step)
    yield Case("three blocks", (some, 5, 3), {**step, "blocks": 3, "seed": 7})
    yield Case("popular negatives", (some, 4, 3), {**step, "negatives": "popular"})
    yield Case("popular negatives in blocks", (some, 4, 3), {**step, "negatives": "popular", "blocks": 2})
    for factors in (1, 16, 33):
        yield Case(f"{factors} factors", (drawn(rng, 15, 11, 0.3, ratings=False), factors, 2), step)
    greedy = np.vstack([np.ones(8, dtype=bool), rng.random((3, 8)) < 0.3])
    greedy[1, 0] = True
    user, item = np.nonzero(greedy)
    insatiable = Interactions(
        user.astype(np.int32), item.astype(np.int32), np.ones(len(user)), None, pd.RangeIndex(4), pd.RangeIndex(8)
    )
    yield Case("a user with every item", (insatiable, 3, 3), step)
    one = Interactions(
        np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1), None, pd.RangeIndex(2), pd.RangeIndex(3)
    )
    yield Case("one click", (one, 2, 6), step)


def pure_svd(rng: np.random.Generator) -> Iterator[Case]:
    """Random matrices of both orientations, an empty user, fewer ranks than factors."""
    yield Case("tall", (drawn(rng, 30, 12, 0.4, ratings=True).matrix(), 4))
    yield Case("wide", (drawn(rng, 12, 30, 0.4, ratings=True).matrix(), 4))
    yield Case("one factor", (drawn(rng, 9, 9, 0.5, ratings=True).matrix(), 1))
    sparse_one = drawn(rng, 25, 20, 0.3, ratings=False).matrix().toarray()
    sparse_one[3] = 0
    yield Case("an empty user", (sparse.csr_array(sparse_one), 5))
    low = rng.integers(1, 4, (14, 2)) @ rng.integers(1, 4, (2, 10))
    yield Case("rank two, four factors", (sparse.csr_array(low.astype(np.float32)), 4))


def same_decomposition(got: Any, expected: Any, rtol: float, atol: float) -> None:
    """Equal singular values and user factors, equal products; item factors where the singular value is not zero."""
    p, s, q = expected
    top = s.max()
    for g, e in zip(got, expected, strict=True):
        assert g.shape == e.shape, f"shape {g.shape} instead of {e.shape}"
    np.testing.assert_allclose(got[1], s, rtol=rtol, atol=atol * top)
    np.testing.assert_allclose(got[0] @ got[2].T, p @ q.T, rtol=rtol, atol=atol * top)
    known = s > 1e-6 * top
    np.testing.assert_allclose(got[0][:, known], p[:, known], rtol=rtol, atol=atol * top)
    np.testing.assert_allclose(got[2][:, known], q[:, known], rtol=rtol, atol=atol)


def _strengths(rng: np.random.Generator, n_users: int, n_items: int, density: float) -> sparse.csr_array:
    return drawn(rng, n_users, n_items, density, ratings=True).matrix()


def implicit_als(rng: np.random.Generator) -> Iterator[Case]:
    """Whole fits: exact, with few steps, more factors than items, one cell.

    Steps past convergence divide rounding errors by rounding errors, so the steps stay below the number of factors.
    """
    some = _strengths(rng, 14, 10, 0.3)
    weights = {"reg": 1.0, "alpha": 2.0, "init_std": 0.5}
    yield Case("exact", (some, 4, 3), weights)
    yield Case("three steps", (some, 6, 3), {**weights, "cg_steps": 3, "seed": 5})
    yield Case("one step", (some, 4, 4), {**weights, "cg_steps": 1})
    yield Case("more factors than items", (_strengths(rng, 6, 5, 0.4), 9, 2), {**weights, "cg_steps": 2})
    yield Case("one cell", (_strengths(rng, 1, 1, 1.0), 2, 3), weights)


def als_half(rng: np.random.Generator) -> Iterator[Case]:
    """One half of a sweep: rows empty, short and long, factor counts around the unrolled loops, alpha = 0."""
    for n_rows, n_fixed, factors, density in ((10, 7, 1, 0.4), (70, 9, 3, 0.3), (9, 40, 16, 0.5), (130, 30, 33, 0.2)):
        matrix = _strengths(rng, n_rows, n_fixed, density)
        rows, fixed = (rng.normal(0, 0.3, (n, factors)).astype(np.float32) for n in (n_rows, n_fixed))
        for steps in (None, 1, 3):
            name = f"{n_rows} x {n_fixed}, {factors} factors, {'exact' if steps is None else f'{steps} steps'}"
            yield Case(name, (matrix, rows, fixed, 0.5, 1.5, steps))
    yield Case("alpha = 0", (matrix, rows, fixed, 0.5, 0.0, None))
    lone = sparse.csr_array((np.ones(1, np.float32), ([2], [1])), shape=(5, 3))
    yield Case("one cell", (lone, rows[:5], fixed[:3], 1.0, 4.0, 3))


def als_loss(rng: np.random.Generator) -> Iterator[Case]:
    """Random factors and matrices, an empty matrix, zero factors."""
    matrix = _strengths(rng, 20, 15, 0.3)
    x, y = (rng.normal(0, 0.5, (n, 6)).astype(np.float32) for n in matrix.shape)
    yield Case("random", (matrix, x, y, 0.3, 2.0))
    yield Case("no regularisation, no confidence", (matrix, x, y, 0.0, 0.0))
    yield Case("zero factors", (matrix, 0 * x, 0 * y, 0.3, 2.0))
    yield Case("nothing seen", (sparse.csr_array(matrix.shape, dtype=np.float32), x, y, 0.3, 2.0))


def bench_funk_svd(n: int) -> Case:
    """n ratings of n / 10 users and n / 20 items, 16 factors, one epoch."""
    ratings = drawn(np.random.default_rng(0), n // 10, n // 20, 200 / n, ratings=True)
    return Case(f"{n} ratings", (ratings, 16, 1, 0.01, 0.02))


def bench_bpr(n: int) -> Case:
    """n clicks of n / 10 users and n / 20 items, 16 factors, one epoch."""
    clicks = drawn(np.random.default_rng(0), n // 10, n // 20, 200 / n, ratings=False)
    return Case(f"{n} clicks", (clicks, 16, 1, 0.05, 0.01))


def bench_pure_svd(n: int) -> Case:
    """n users, as many items, 20 interactions a user, 10 factors."""
    return Case(f"{n} users", (drawn(np.random.default_rng(0), n, n, 20 / n, ratings=False).matrix(), 10))


def bench_als_half(n: int) -> Case:
    """n users, 200 items, 20 interactions a user, 16 factors, exact."""
    rng = np.random.default_rng(0)
    matrix = _strengths(rng, n, 200, 0.1)
    rows, fixed = (rng.normal(0, 0.1, (m, 16)).astype(np.float32) for m in matrix.shape)
    return Case(f"{n} users", (matrix, rows, fixed, 0.1, 1.0, 3))


def bench_als_loss(n: int) -> Case:
    """n users, 100 items, 10 interactions a user, 16 factors."""
    rng = np.random.default_rng(0)
    matrix = _strengths(rng, n, 100, 0.1)
    x, y = (rng.normal(0, 0.1, (m, 16)).astype(np.float32) for m in matrix.shape)
    return Case(f"{n} users", (matrix, x, y, 0.1, 1.0))
