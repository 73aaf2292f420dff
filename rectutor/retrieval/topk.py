"""The k best items of each row of scores: one pass with a small heap instead of a sort of the catalogue.

Shapes: B rows of the batch, N items, k kept items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy import sparse
from tqdm import tqdm

from rectutor.fastpath import Case, fast_path
from rectutor.retrieval import reference

LANES = 64  # scores compared with the worst kept one at once; most groups of 64 hold none that is better


@njit(cache=True)
def _worse(value_a: np.float32, item_a: np.int32 | int, value_b: np.float32, item_b: np.int32 | int) -> Any:
    """Whether a ranks behind b: a lower value or, among equals, a higher code."""
    return value_a < value_b or (value_a == value_b and item_a > item_b)


@njit(cache=True)
def _sift_down(
    values: NDArray[np.float32], items: NDArray[np.int32], size: int, value: np.float32, item: np.int32
) -> None:
    """Replace the root of a heap, whose root is the worst entry, by (value, item)."""
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size and _worse(values[child + 1], items[child + 1], values[child], items[child]):
            child += 1
        if not _worse(values[child], items[child], value, item):
            break
        values[hole] = values[child]
        items[hole] = items[child]
        hole = child
    values[hole] = value
    items[hole] = item


@njit(cache=True)
def select_row(row: NDArray[np.float32], values: NDArray[np.float32], items: NDArray[np.int32]) -> int:
    """Write the best len(values) entries of ``row`` [N] above -inf, best first; return how many there are.

    Ties go to the lower index. Entries of ``values`` and ``items`` past the returned count are left as they were.
    """
    n = len(row)
    k = len(values)
    size = 0
    threshold = np.float32(-np.inf)  # the worst kept value once k are kept
    for start in range(0, n, LANES):
        stop = min(n, start + LANES)
        better = False
        for j in range(start, stop):
            better |= row[j] > threshold
        if not better:
            continue
        for j in range(start, stop):
            value = row[j]
            if not value > threshold:  # an equal value met later has the higher index, so it stays out
                continue
            if size < k:
                hole = size
                size += 1
                while hole > 0:  # sift up
                    parent = (hole - 1) >> 1
                    if not _worse(value, j, values[parent], items[parent]):
                        break
                    values[hole] = values[parent]
                    items[hole] = items[parent]
                    hole = parent
                values[hole] = value
                items[hole] = j
            else:
                _sift_down(values, items, k, value, np.int32(j))
            if size == k:
                threshold = values[0]
    for last in range(size - 1, 0, -1):  # heap sort: the worst goes to the end
        value, item = values[last], items[last]
        worst_value, worst_item = values[0], items[0]
        _sift_down(values, items, last, value, item)
        values[last] = worst_value
        items[last] = worst_item
    return size


@njit(cache=True, parallel=True)
def _top_k(
    scores: NDArray[np.float32],
    banned_start: NDArray[np.int64],
    banned: NDArray[np.int32],
    items: NDArray[np.int32],
    values: NDArray[np.float32],
    nan: NDArray[np.bool_],
) -> None:
    n_rows, n_items = scores.shape
    for r in prange(n_rows):
        row = scores[r].copy()  # [N]
        bad = False
        for j in range(n_items):
            bad |= row[j] != row[j]
        nan[r] = bad
        for p in range(banned_start[r], banned_start[r + 1]):
            row[banned[p]] = -np.inf
        select_row(row, values[r], items[r])


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Random scores, heavy ties, everything excluded, k = N, one item, all -inf, more items than one group."""
    yield Case("random", (rng.standard_normal((5, 200)).astype(np.float32), 10))
    tied = rng.integers(0, 3, (6, 150)).astype(np.float32)
    seen = sparse.csr_array((rng.random((6, 150)) < 0.4).astype(np.float32))
    yield Case("ties", (tied, 20))
    yield Case("ties, seen excluded", (tied, 20, seen))
    yield Case("everything excluded", (tied, 3, sparse.csr_array(np.ones((6, 150), dtype=np.float32))))
    yield Case("nothing excluded", (tied, 3, sparse.csr_array((6, 150), dtype=np.float32)))
    yield Case("k = N", (tied, 150, seen))
    yield Case("one item", (np.array([[0.5], [-np.inf]], dtype=np.float32), 1))
    gaps = rng.standard_normal((4, 70)).astype(np.float32)
    gaps[rng.random(gaps.shape) < 0.9] = -np.inf
    gaps[0] = -np.inf
    yield Case("mostly -inf", (gaps, 12))
    yield Case("ascending", (np.arange(300, dtype=np.float32)[None, :], 7))
    yield Case("signed zeros", (np.array([[-0.0, 0.0, -0.0, 0.0]], dtype=np.float32), 2))


def _bench(n: int) -> Case:
    return Case(f"{n} items", (np.random.default_rng(0).standard_normal((64, n)).astype(np.float32), 50))


@fast_path(reference.top_k, cases=cases, rtol=0.0, bench=_bench, sizes=(1_000, 3_000, 10_000), unit="items")
def top_k(
    scores: NDArray[np.float32], k: int, exclude: sparse.csr_array | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k best items of each row, best first, ties to the lower item code.

    Args:
        scores: float32 [B, N]; -inf marks an item that is no candidate.
        k: how many to keep, at most N.
        exclude: CSR [B, N] whose stored entries are no candidates (the items a user has seen, say); values do not
            count.

    Returns:
        item codes int32 [B, k] and their scores float32 [B, k]. Where fewer than k candidates remain, the rest is -1
        and -inf.

    Raises:
        TypeError: ``scores`` is not float32.
        ValueError: ``scores`` is not a matrix or holds NaN; k < 1 or k > N; ``exclude`` has another shape.

    >>> scores = np.array([[0.1, 0.7, 0.7, 0.3]], dtype=np.float32)
    >>> seen = sparse.csr_array(np.array([[0, 1, 0, 0]]))
    >>> top_k(scores, 2)[0].tolist(), top_k(scores, 2, seen)[0].tolist()
    ([[1, 2]], [[2, 3]])
    """
    if not isinstance(scores, np.ndarray) or scores.dtype != np.float32:
        kind = scores.dtype if isinstance(scores, np.ndarray) else type(scores).__name__
        raise TypeError(f"scores is {kind}; give a float32 array")
    if scores.ndim != 2:
        raise ValueError(f"scores has shape {scores.shape}; give a matrix [B, N]")
    n_rows, n_items = scores.shape
    _check_k(k, n_items)
    if exclude is None:
        banned_start, banned = np.zeros(n_rows + 1, dtype=np.int64), np.empty(0, dtype=np.int32)
    else:
        if exclude.shape != scores.shape:
            raise ValueError(f"exclude has shape {exclude.shape}, scores {scores.shape}; they must be equal")
        banned_start, banned = exclude.indptr.astype(np.int64), exclude.indices.astype(np.int32, copy=False)
    items = np.full((n_rows, k), -1, dtype=np.int32)  # [B, k]
    values = np.full((n_rows, k), -np.inf, dtype=np.float32)  # [B, k]
    nan = np.zeros(n_rows, dtype=np.bool_)
    _top_k(np.ascontiguousarray(scores), banned_start, banned, items, values, nan)
    if nan.any():
        raise ValueError(f"scores hold NaN in row {int(np.argmax(nan))}; a model must not score with it")
    return items, values


def _check_k(k: int, n_items: int) -> None:
    if k < 1:
        raise ValueError(f"k is {k}; ask for at least one item")
    if k > n_items:
        raise ValueError(f"k={k} is larger than the catalogue of {n_items} items; ask for fewer")


SCORE_CELLS = 1 << 24
"""Users are scored as many at once as fit this many float32 cells (64 MiB)."""


def recommend(
    score: Callable[[NDArray[np.intp]], NDArray[np.float32]],
    users: NDArray[np.intp],
    n_items: int,
    k: int,
    seen: sparse.csr_array | None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Score users block by block and keep each user's k best items: what every model's ``recommend`` does.

    Args:
        score: user codes [B] -> scores of all items, float32 [B, I].
        users: user codes [U].
        n_items: size of the catalogue, I.
        k: length of the lists.
        seen: CSR with a row for every user code, whose entries are left out; None leaves nothing out.

    Returns:
        item codes int32 [U, k] and scores float32 [U, k], as :func:`top_k` gives them.

    Raises:
        ValueError: k < 1 or k larger than the catalogue.
    """
    _check_k(k, n_items)
    items = np.empty((len(users), k), dtype=np.int32)  # [U, k]
    scores = np.empty((len(users), k), dtype=np.float32)  # [U, k]
    step = max(1, SCORE_CELLS // n_items)
    with tqdm(total=len(users), desc="recommend", unit="user", delay=2.0, leave=False) as bar:
        for first in range(0, len(users), step):
            part = users[first : first + step]
            banned = None if seen is None else seen[part]
            items[first : first + step], scores[first : first + step] = top_k(score(part), k, banned)
            bar.update(len(part))
    return items, scores
