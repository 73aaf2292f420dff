"""Inputs on which the trees of the reference and of the fast path are compared: they must be equal, plane by plane.

Shapes: N vectors, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rectutor.fastpath import Case
from rectutor.retrieval.ann.cases import Generator, clouds, of_size
from rectutor.retrieval.ann.reference import Leaf, Split

EXACT = ("whole numbers with ties", "duplicates", "all equal", "one dimension")
"""Clouds on whose planes vectors lie: cut between two of them, the sides are whole numbers. Means would round."""


def forests(rng: Generator) -> Iterator[Case]:
    """vectors, trees, leaf_size, steps, seed, added."""
    for name, x in clouds(rng):
        seed = int(rng.integers(1000))
        yield Case(f"{name}, two vectors", (x, 3, 4, 0, seed))
        if name not in EXACT:
            yield Case(f"{name}, two means", (x, 2, 8, 30, seed))
        if len(x) > 1:
            yield Case(f"{name}, added", (x, 2, 3, 0, seed, 2 * len(x) // 3))
    x = rng.standard_normal((60, 5)).astype(np.float32)
    yield Case("leaves of one", (x, 2, 1, 0, 1))
    yield Case("a single leaf", (x, 2, 60, 5, 1))
    yield Case("a leaf that may stay", (x, 1, 30, 0, 1, 30))
    yield Case("a leaf that may not", (x, 1, 20, 10, 1, 40))


def same_trees(fast: Any, slow: Any, rtol: float, atol: float) -> None:
    """Equal shape and ids; planes up to rounding."""
    assert len(fast) == len(slow), f"{len(fast)} trees, {len(slow)} expected"
    for number, pair in enumerate(zip(fast, slow, strict=True)):
        below = [(f"tree {number}", *pair)]
        while below:
            at, one, other = below.pop()
            assert type(one) is type(other), f"{at}: a {type(one).__name__}, expected a {type(other).__name__}"
            if isinstance(one, Leaf):
                assert one.ids == other.ids, f"{at}: ids {one.ids}, expected {other.ids}"
            elif isinstance(one, Split):
                np.testing.assert_allclose(one.normal, other.normal, rtol=rtol, atol=atol, err_msg=at)
                np.testing.assert_allclose(one.offset, other.offset, rtol=rtol, atol=atol, err_msg=at)
                below += [(f"{at}, right", one.right, other.right), (f"{at}, left", one.left, other.left)]


def searches(rng: Generator) -> Iterator[Case]:
    """vectors, query, k, search_k, trees, leaf_size, steps, seed, metric.

    With k = N the result is all candidates, and with them the order in which leaves were opened.
    """
    for name, x in clouds(rng):
        query = np.round(x[rng.integers(len(x))]) + np.float32(1)
        for search_k in (1, 10, 40, 10_000):
            yield Case(f"{name}, all candidates of {search_k}", (x, query, len(x), search_k, 3, 4, 0, 1, "l2"))
        if name not in EXACT:
            for metric in ("ip", "cosine"):
                yield Case(f"{name}, {metric}", (x, query, len(x), 25, 3, 4, 20, 1, metric))
    x = rng.standard_normal((40, 6)).astype(np.float32)
    yield Case("zero query", (x, np.zeros(6, np.float32), 40, 20, 2, 4, 20, 1, "ip"))
    yield Case("all zero", (np.zeros((9, 3), np.float32), np.ones(3, np.float32), 9, 4, 2, 2, 0, 1, "ip"))


def forest_of_size(n: int) -> Case:
    """n vectors, two trees."""
    return Case(str(n), (of_size(n)[1], 2, 64, 50, 0))


def search_of_size(n: int) -> Case:
    """n vectors and a query; the building is part of it."""
    _, x = of_size(n)
    return Case(str(n), (x, x[0], 10, 1000, 2, 64, 50, 0, "ip"))
