"""Inputs on which the references and the fast paths of the indexes are compared.

Many have small whole numbers as coordinates: their scores are exact in float32, and full of ties.

Shapes: N vectors, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rectutor.fastpath import Case

Generator = np.random.Generator
Array = NDArray[np.float32]
SIZES = (1_000, 3_000, 10_000)


def clouds(rng: Generator) -> Iterator[tuple[str, Array]]:
    """Name and vectors: random, in clusters, whole numbers with ties, all equal, one vector, one dimension."""
    centres = rng.standard_normal((6, 8)) * 3
    yield "normal", rng.standard_normal((90, 12)).astype(np.float32)
    yield "clusters", (centres[rng.integers(0, 6, 120)] + 0.3 * rng.standard_normal((120, 8))).astype(np.float32)
    yield (
        "whole numbers with ties",
        np.column_stack([rng.integers(-2, 3, (80, 2)), rng.integers(2, 7, 80)]).astype(np.float32),
    )
    yield "duplicates", np.repeat(rng.integers(1, 9, (7, 4)), 6, axis=0).astype(np.float32)
    yield "all equal", np.ones((20, 5), np.float32)
    yield "one vector", rng.standard_normal((1, 6)).astype(np.float32)
    yield "one dimension", rng.permutation(40)[:, None].astype(np.float32) + 1
    yield "odd dimension", rng.standard_normal((50, 37)).astype(np.float32)


def vectors_alone(rng: Generator) -> Iterator[Case]:
    """vectors."""
    for name, x in clouds(rng):
        yield Case(name, (x.astype(np.float64),))


def one_query(rng: Generator) -> Iterator[Case]:
    """vectors, query, k, metric."""
    for name, x in clouds(rng):
        for metric in ("ip", "l2", "cosine"):
            query = x[rng.integers(len(x))] + np.float32(1)
            yield Case(f"{name}, {metric}", (x, query, min(len(x), 10), metric))
    x = rng.standard_normal((30, 4)).astype(np.float32)
    yield Case("all of them", (x, x[3], 30, "l2"))
    yield Case("far from the origin", (x + np.float32(1000), x[3] + np.float32(1000), 5, "l2"))


def same_neighbours(fast: Any, slow: Any, rtol: float, atol: float) -> None:
    """Equal scores in their order; equal ids but where scores are so close that rounding may exchange them.

    That includes an exchange with a vector that just missed the list, whose score is that of the last place.
    """
    ids, scores = (np.asarray(part) for part in fast)
    expected_ids, expected = (np.asarray(part) for part in slow)
    found = ids >= 0
    assert found.sum() == len(expected_ids), f"{found.sum()} found, {len(expected_ids)} expected"
    ids, scores = ids[found], scores[found]
    np.testing.assert_allclose(scores, expected, rtol=rtol, atol=atol)
    assert len(set(ids.tolist())) == len(ids), "an id stands twice"
    for at in np.flatnonzero(ids != expected_ids):
        close = np.abs(expected - expected[at]) <= atol + rtol * np.abs(expected[at])
        assert close.sum() > 1 or close[-1], f"place {at}: id {ids[at]}, expected {expected_ids[at]}"


def of_size(n: int, dim: int = 32) -> tuple[Generator, Array]:
    """A generator and n vectors of length 1 in clusters."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(2, n // 100), dim))
    x = centres[rng.integers(0, len(centres), n)] + 0.7 * rng.standard_normal((n, dim))
    return rng, (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def vectors_of_size(n: int) -> Case:
    """n vectors."""
    return Case(str(n), (of_size(n)[1],))


def exact_of_size(n: int) -> Case:
    """n vectors and a query."""
    _, x = of_size(n)
    return Case(str(n), (x, x[0], 10))
