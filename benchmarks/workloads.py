"""Synthetic interactions with the shape of a real log, for the benchmarks: few items get most of the clicks, few users
give most of them, and every user has a leaning, so that similar items and similar users exist."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def _zipf(n: int, exponent: float, shift: float) -> NDArray[np.float64]:
    """Probabilities proportional to 1 / (rank + shift) ** exponent."""
    weight = (np.arange(n) + shift) ** -exponent
    return np.asarray(weight / weight.sum())


def _draw(rng: np.random.Generator, probability: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    return np.searchsorted(np.cumsum(probability), rng.random(size) * (1 - 1e-12)).clip(max=len(probability) - 1)


def _generate(n_users: int, n_items: int, nnz: int, n_topics: int, seed: int) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    item_of_rank = rng.permutation(n_items)
    topic_of_rank = rng.integers(n_topics, size=n_items)
    topic_of_user = rng.integers(n_topics, size=n_users)
    active = _zipf(n_users, 0.8, 60.0)
    popular = _zipf(n_items, 0.9, 20.0)
    keys = np.empty(0, dtype=np.int64)  # user * n_items + item, sorted and unique
    while len(keys) < nnz:
        size = int(1.3 * (nnz - len(keys))) + 100
        user = _draw(rng, active, size)
        rank = _draw(rng, popular, size)
        at_home = rng.random(size) < 0.5  # half of the clicks stay inside the user's topic
        for topic in range(n_topics):
            rows = np.flatnonzero(at_home & (topic_of_user[user] == topic))
            shelf = np.flatnonzero(topic_of_rank == topic)  # its items, most popular first
            if len(shelf) and len(rows):
                rank[rows] = shelf[_draw(rng, _zipf(len(shelf), 0.9, 3.0), len(rows))]
        keys = np.union1d(keys, user * n_items + item_of_rank[rank])
    keys = np.sort(rng.choice(keys, nnz, replace=False))
    start = np.searchsorted(keys, np.arange(n_users + 1) * n_items).astype(np.int32)
    item = (keys % n_items).astype(np.int32)
    return sparse.csr_array((np.ones(nnz, dtype=np.float32), item, start), shape=(n_users, n_items))


def interactions(
    n_users: int = 50_000, n_items: int = 10_000, nnz: int = 2_000_000, seed: int = 0, n_topics: int = 40
) -> sparse.csr_array:
    """Implicit feedback [n_users, n_items]: float32 ones, int32 indices that ascend in each row.

    Drawn once and kept in the temporary directory.
    """
    if not 0 < nnz <= n_users * n_items // 4:
        raise ValueError(f"nnz={nnz} does not fit {n_users} x {n_items}; ask for at most a quarter of the cells")
    path = Path(tempfile.gettempdir()) / f"rectutor-workload-{n_users}-{n_items}-{nnz}-{n_topics}-{seed}.npz"
    if path.exists():
        return sparse.csr_array(sparse.load_npz(path))
    matrix = _generate(n_users, n_items, nnz, n_topics, seed)
    part = path.with_name(f"{os.getpid()}-{path.name}")
    sparse.save_npz(part, matrix, compressed=False)
    part.replace(path)  # two processes may draw it at the same time
    return matrix
