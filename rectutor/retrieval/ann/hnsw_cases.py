"""Inputs on which the reference and the fast path of HNSW are compared.

Their coordinates are multiples of 1/4, or four halves and otherwise zeros: every score is exact in float32, so that
both sides break the same ties, and the graphs have to be equal, link by link.

Shapes: N vectors, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rectutor.fastpath import Case
from rectutor.retrieval.ann import cases, reference

Generator = np.random.Generator
LEVEL_SIZES = (10_000, 100_000, 1_000_000)
BUILD_SIZES = (50, 100, 200)


def levels(rng: Generator) -> Iterator[Case]:
    """n, M, generator; one generator for each side, in the same state."""
    for name, n, m in (("many", 5_000, 16), ("least M", 5_000, 2), ("one", 1, 8), ("none", 0, 16)):
        yield Case(name, (n, m, Twin(int(rng.integers(1 << 32)))))


class Twin:
    """A generator whose n-th call of ``random`` is the first for both sides of a comparison."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def random(self, n: int) -> Any:
        """n numbers, the same at each call."""
        return np.random.default_rng(self.seed).random(n)


def levels_of_size(n: int) -> Case:
    """n levels."""
    return Case(str(n), (n, 16, np.random.default_rng(0)))


def grids(rng: Generator) -> Iterator[tuple[str, str, cases.Array]]:
    """Name, metric and vectors whose scores are exact."""
    for name, x in cases.clouds(rng):
        for metric in ("ip", "l2"):
            yield f"{name}, {metric}", metric, np.round(4 * x) / np.float32(4)
    halves = np.zeros((70, 9), np.float32)
    for row in halves:
        row[rng.choice(9, 4, replace=False)] = rng.choice([-0.5, 0.5], 4)
    yield "length one, cosine", "cosine", halves
    yield "length one with duplicates, cosine", "cosine", np.repeat(halves[:8], 7, axis=0)


def growing(n: int, share: float) -> list[int]:
    """Sizes of batches that grow with what is there."""
    sizes: list[int] = []
    while (done := sum(sizes)) < n:
        sizes.append(min(max(1, int(share * done)), n - done))
    return sizes


def builds(rng: Generator) -> Iterator[Case]:
    """vectors, levels, M, ef_construction, metric, batches."""
    for name, metric, x in grids(rng):
        n = len(x)
        for m, ef, share in ((2, 4, 0.0), (4, 12, 0.3)):
            drawn = reference.hnsw_levels(n, m, rng).tolist()
            batches = growing(n, share) if share else None
            yield Case(f"{name}, M = {m}, batches {share}", (x, drawn, m, ef, metric, batches))
    x = rng.integers(-9, 10, (150, 6)).astype(np.float32)
    yield Case("room for all", (x[:20], [0] * 20, 16, 100, "l2", None))
    yield Case("batches of 2 %", (x, reference.hnsw_levels(150, 3, rng).tolist(), 3, 20, "l2", growing(150, 0.02)))
    yield Case("a first batch of many", (x[:40], [0, 1, 1, 0, 2] * 8, 3, 9, "ip", [5, 20, 15]))
    yield Case("all at once", (x[:12], [0] * 12, 3, 9, "ip", [12]))


def searches(rng: Generator) -> Iterator[Case]:
    """graph, vectors, query, k, ef, metric."""
    for name, metric, x in grids(rng):
        n, m = len(x), 3
        graph = reference.hnsw_build(x, reference.hnsw_levels(n, m, rng).tolist(), m, 8, metric)
        query = x[rng.integers(n)] + np.float32(metric != "cosine")
        yield Case(f"{name}, narrow", (graph, x, query, min(n, 4), 1, metric))
        yield Case(f"{name}, wide", (graph, x, query, min(n, 4), 12, metric))
        yield Case(f"{name}, all", (graph, x, query, n, n, metric))


def same_graph(fast: Any, slow: Any, rtol: float, atol: float) -> None:
    """The same links in the same order, the same ring, the same entry."""
    assert fast.entry == slow.entry, f"entry {fast.entry} instead of {slow.entry}"
    assert len(fast.links) == len(slow.links), f"{len(fast.links)} layers instead of {len(slow.links)}"
    for layer, (got, expected) in enumerate(zip(fast.links, slow.links)):
        assert got.keys() == expected.keys(), f"layer {layer} has other vectors"
        for i in expected:
            assert got[i] == expected[i], f"layer {layer}, vector {i}: {got[i]} instead of {expected[i]}"
    assert fast.ring == slow.ring, "another ring"


def build_of_size(n: int) -> Case:
    """n vectors and their levels."""
    rng, x = cases.of_size(n)
    return Case(str(n), (x, reference.hnsw_levels(n, 8, rng).tolist(), 8, 16))


def search_of_size(n: int) -> Case:
    """n vectors in a graph, and a query."""
    from rectutor.retrieval.ann.hnsw import hnsw_build  # which imports this module

    rng, x = cases.of_size(n)
    graph = hnsw_build(x, reference.hnsw_levels(n, 8, rng).tolist(), 8, 32)
    return Case(str(n), (graph, x, x[0], 10, 50))
