"""What every retrieval model ends with, as one would say it: sort the scores, keep the first k."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def top_k(
    scores: NDArray[np.float32], k: int, exclude: sparse.csr_array | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k best items of each row; see :func:`rectutor.retrieval.topk.top_k`.

    >>> top_k(np.array([[0.2, 0.9, 0.9]]), 2)[0].tolist()
    [[1, 2]]
    """
    n_rows, n_items = scores.shape
    if k < 1:
        raise ValueError(f"k is {k}; ask for at least one item")
    if k > n_items:
        raise ValueError(f"k={k} is larger than the catalogue of {n_items} items; ask for fewer")
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN; a model must not score with it")
    items = np.full((n_rows, k), -1, dtype=np.int32)  # [B, k]
    values = np.full((n_rows, k), -np.inf, dtype=np.float32)  # [B, k]
    for row in range(n_rows):
        banned: set[int] = set()
        if exclude is not None:
            banned = set(exclude.indices[exclude.indptr[row] : exclude.indptr[row + 1]].tolist())
        candidates = [i for i in range(n_items) if i not in banned and scores[row, i] > -np.inf]
        candidates.sort(key=lambda i: (-scores[row, i], i))  # best first, ties to the lower code
        for rank, item in enumerate(candidates[:k]):
            items[row, rank] = item
            values[row, rank] = scores[row, item]
    return items, values
