"""Inputs on which the references and the fast paths of cells and codes are compared.

Where cells are assigned, ties are exact: coordinates and means are halves or quarters. Elsewhere there are none.

Shapes: N vectors, D dimensions, K centroids, M parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rectutor.fastpath import Case
from rectutor.retrieval.ann.cases import Array, Generator, clouds, of_size


def drawn(rng: Generator, x: Array, k: int) -> Array:
    """K vectors of x, or all."""
    return x[rng.choice(len(x), min(k, len(x)), replace=False)]


def starts(rng: Generator) -> Iterator[Case]:
    """vectors, start, iterations."""
    for name, x in clouds(rng):
        if name not in ("whole numbers with ties", "one dimension"):  # their means are no exact numbers, but tie
            yield Case(name, (x, drawn(rng, x, 7), 8))
    x = rng.standard_normal((200, 5)).astype(np.float32)
    yield Case("one centroid", (x, x[:1], 3))
    yield Case("as many centroids as vectors", (x[:40], x[:40], 2))
    yield Case("cells without vectors", (x, np.concatenate([x[:3], np.full((20, 5), 99, np.float32)]), 6))
    yield Case("equal centroids", (x, np.repeat(x[:4], 5, axis=0), 1))
    pairs = np.repeat(np.arange(8, dtype=np.float32), 2)[:, None]
    yield Case("ties between cells", (pairs, np.array([[0], [4], [8]], np.float32), 1))
    yield Case("far from the origin", (x + np.float32(1024), x[:6] + np.float32(1024), 8))
    yield Case("many", (rng.standard_normal((500, 33)).astype(np.float32), rng.standard_normal((37, 33)), 5))


def with_centroids(rng: Generator) -> Iterator[Case]:
    """vectors, centroids."""
    for name, x in clouds(rng):
        yield Case(name, (x, drawn(rng, x, 7)))
    x = rng.standard_normal((60, 3)).astype(np.float32)
    yield Case("a zero centroid", (x, np.concatenate([np.zeros((1, 3), np.float32), x[:5]])))
    yield Case("an empty cell", (x, np.concatenate([np.full((1, 3), 50, np.float32), x[:5]])))
    yield Case("means", (x, np.array([x[i::6].mean(axis=0) for i in range(6)])))


def one_query(rng: Generator) -> Iterator[Case]:
    """vectors, centroids, query, k, nprobe, metric."""
    for name, x in clouds(rng):
        for metric in ("ip", "l2", "cosine"):
            y = x / np.linalg.norm(x, axis=1, keepdims=True) if metric == "cosine" else x
            query = y[rng.integers(len(y))] + np.float32(1)
            centroids = drawn(rng, y, 9)
            k, nprobe = min(len(y), 10), int(rng.integers(1, len(centroids) + 1))
            yield Case(f"{name}, {metric}", (y, centroids, query, k, nprobe, metric))
    x = rng.standard_normal((300, 6)).astype(np.float32)
    yield Case("a long list", (x, x[:20], x[0], 150, 15, "l2"))
    yield Case("all cells", (x, x[:20], x[0], 300, 20, "ip"))
    yield Case("too few in the cell", (x, x[:40], x[0], 100, 1, "ip"))
    yield Case(
        "far from the origin", (x + np.float32(1000), x[:9] + np.float32(1000), x[3] + np.float32(1000), 5, 3, "l2")
    )


def books(rng: Generator) -> Iterator[tuple[str, Array, Array]]:
    """Name, vectors and codebooks: one part, one coordinate a part, two words, 256 words, more than 8 parts."""
    for name, parts, words, width in (
        ("four parts", 4, 16, 3),
        ("one part", 1, 40, 5),
        ("single coordinates", 6, 8, 1),
        ("two words", 3, 2, 2),
        ("all words", 2, 256, 4),
        ("eleven parts", 11, 16, 2),
    ):
        x = rng.standard_normal((90, parts * width)).astype(np.float32)
        yield name, x, rng.standard_normal((parts, words, width)).astype(np.float32)
    halves = np.array([[[-0.5], [0.5], [0.5], [2]]] * 2, np.float32)
    yield "ties between words", rng.integers(-2, 3, (40, 2)).astype(np.float32), halves


def training(rng: Generator) -> Iterator[Case]:
    """vectors, start, iterations."""
    for name, x, first in books(rng):
        if name != "ties between words":
            yield Case(name, (x, first, 4))


def one_vector(rng: Generator) -> Iterator[Case]:
    """codebooks, vector."""
    for name, x, books_ in books(rng):
        yield Case(name, (books_, x[0]))


def one_code(rng: Generator) -> Iterator[Case]:
    """codebooks, code."""
    for name, _, books_ in books(rng):
        yield Case(name, (books_, rng.integers(0, books_.shape[1], len(books_)).tolist()))


def one_table(rng: Generator) -> Iterator[Case]:
    """codebooks, query, metric."""
    for name, x, books_ in books(rng):
        for metric in ("ip", "l2"):
            yield Case(f"{name}, {metric}", (books_, x[1], metric))


def coded(rng: Generator) -> Iterator[Case]:
    """codebooks, codes, query, k, metric."""
    for name, x, books_ in books(rng):
        codes = rng.integers(0, books_.shape[1], (70, len(books_)))
        for metric in ("ip", "l2"):
            yield Case(f"{name}, {metric}", (books_, codes.tolist(), x[1], 10, metric))
    yield Case("equal codes", (books_, [[1, 2]] * 30, x[0], 20, "ip"))
    yield Case("a long list", (books_, codes.tolist(), x[0], 70, "l2"))


def coded_cells(rng: Generator) -> Iterator[Case]:
    """vectors, centroids, codebooks, query, k, nprobe, metric."""
    for name, x, books_ in books(rng):
        if name != "ties between words":
            for metric in ("ip", "l2"):
                yield Case(f"{name}, {metric}", (x, x[:7], books_, x[9] * np.float32(1.1), 10, 3, metric))
    far = x + np.float32(1000)
    yield Case("far from the origin", (far, far[:5], books_, far[8], 10, 5, "l2"))


# -- sizes to time ---------------------------------------------------------------------------------------------------
def starts_of_size(n: int) -> Case:
    """n vectors, the first 32 as centroids, 3 iterations."""
    _, x = of_size(n)
    return Case(str(n), (x, x[:32], 3))


def with_centroids_of_size(n: int) -> Case:
    """n vectors, 32 centroids."""
    return Case(str(n), (of_size(n)[1], of_size(n)[1][:32]))


def query_of_size(n: int) -> Case:
    """n vectors, 32 centroids, a query, 4 probes."""
    _, x = of_size(n)
    return Case(str(n), (x, x[:32], x[0], 10, 4))


def books_of_size(n: int) -> tuple[Array, Array]:
    """n vectors, 4 codebooks of 16 words."""
    rng, x = of_size(n)
    return x, rng.standard_normal((4, 16, 8)).astype(np.float32) / np.float32(6)


def training_of_size(n: int) -> Case:
    """n vectors, start, 2 iterations."""
    return Case(str(n), (*books_of_size(n), 2))


def coded_of_size(n: int) -> Case:
    """Codebooks, n codes, a query."""
    x, books_ = books_of_size(n)
    codes: Any = np.random.default_rng(1).integers(0, 16, (n, 4)).tolist()
    return Case(str(n), (books_, codes, x[0], 10))


def coded_cells_of_size(n: int) -> Case:
    """n vectors, 16 centroids, codebooks, a query."""
    x, books_ = books_of_size(n)
    return Case(str(n), (x, x[:16], books_, x[0], 10, 4))
