"""What the compiled loops of all indexes share: the score of two vectors, and a heap of the best.

A compiled function is cached by the date of its own file: after a change here, clear the caches of those who call.

Shapes: D dimensions, k kept entries.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float = NDArray[np.float32]
Int = NDArray[np.int64]

COMPILED: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}
"""Sums may be regrouped, so that they use vector instructions; infinity keeps its meaning."""


@njit(inline="always", **COMPILED)
def near(a: Float, i: int, b: Float, j: int, dim: int, l2: bool) -> Any:
    """Score of row i of ``a`` with row j of ``b``, flat arrays of rows [D]."""
    start_a, start_b = np.uint64(i) * np.uint64(dim), np.uint64(j) * np.uint64(dim)
    total = np.float32(0)
    if l2:
        for d in range(dim):
            x = a[start_a + np.uint64(d)] - b[start_b + np.uint64(d)]
            total -= x * x
    else:
        for d in range(dim):
            total += a[start_a + np.uint64(d)] * b[start_b + np.uint64(d)]
    return total


@njit(**COMPILED)
def before(score: Any, i: Any, other: Any, j: Any) -> Any:
    """Whether (score, i) ranks before (other, j): a higher score or, among equals, a lower id."""
    return score > other or (score == other and i < j)


@njit(**COMPILED)
def offer(scores: Any, ids: Any, start: int, size: int, k: int, score: Any, i: Any) -> int:
    """Put (score, i) into the heap of the k best at ``start``, whose root is the worst; returns its new size."""
    hole = size
    if size < k:
        size += 1
        while hole > 0:
            parent = (hole - 1) >> 1
            if not before(scores[start + parent], ids[start + parent], score, i):
                break
            scores[start + hole], ids[start + hole] = scores[start + parent], ids[start + parent]
            hole = parent
    elif before(score, i, scores[start], ids[start]):
        hole = sink(scores, ids, start, size, score, i)
    else:
        return size
    scores[start + hole], ids[start + hole] = score, i
    return size


@njit(**COMPILED)
def sink(scores: Any, ids: Any, start: int, size: int, score: Any, i: Any) -> int:
    """Where (score, i) belongs in a heap whose root is taken away; moves the others up."""
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= size:
            return hole
        left, right = start + child, start + child + 1
        if child + 1 < size and before(scores[left], ids[left], scores[right], ids[right]):
            child += 1
        if not before(score, i, scores[start + child], ids[start + child]):
            return hole
        scores[start + hole], ids[start + hole] = scores[start + child], ids[start + child]
        hole = child


@njit(**COMPILED)
def sort_heap(scores: Any, ids: Any, start: int, size: int) -> None:
    """Turn a heap into a list, best first."""
    for last in range(size - 1, 0, -1):
        score, i = scores[start + last], ids[start + last]
        scores[start + last], ids[start + last] = scores[start], ids[start]
        hole = sink(scores, ids, start, last, score, i)
        scores[start + hole], ids[start + hole] = score, i
