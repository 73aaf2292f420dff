"""Inputs on which FTRL's references and fast paths are compared, and of the size of which they are timed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rectutor.data.sparse import SparseRows
from rectutor.fastpath import Case

Generator = np.random.Generator


def clicks(rng: Generator, n: int, features: int, length: int = 6, values: bool = False) -> SparseRows:
    """Examples whose labels depend on their features, which differ much in how often they occur."""
    ids = np.minimum(rng.exponential(features / 5, (n, length)), features - 1).astype(np.int64)
    x = rng.standard_normal((n, length)) if values else np.ones((n, length))
    logit = (np.sin(ids) * x).sum(axis=1) + (np.sin(7 * ids) * x).sum(axis=1) ** 2 / 4 - 1
    keep = rng.random((n, length)) < 0.8
    return SparseRows(
        (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float32),
        np.concatenate([[0], np.cumsum(keep.sum(axis=1))]),
        ids[keep],
        x[keep].astype(np.float32),
    )


def _cases(rng: Generator) -> Iterator[tuple[str, SparseRows, int, dict[str, object]]]:
    """Streams that are usual, repeat ids, are extreme, or are nearly nothing."""
    yield "clicks", clicks(rng, 300, 40), 40, {"l1": 0.3}
    yield "real values", clicks(rng, 200, 30, values=True), 30, {"alpha": 0.3, "l1": 0.0}
    yield "no regularisation, no intercept", clicks(rng, 100, 12), 12, {"l1": 0.0, "l2": 0.0, "intercept": False}
    yield "L1 that keeps all at zero", clicks(rng, 50, 20), 20, {"l1": 1e3}
    yield "ids repeated in an example", clicks(rng, 150, 4, length=9), 4, {"l1": 0.1, "alpha": 0.2}
    yield "hashed, with collisions", clicks(rng, 150, 500), 16, {"l1": 0.1, "hashing": "splitmix64"}
    yield "a large step", clicks(rng, 100, 10), 10, {"alpha": 20.0, "beta": 0.1, "l1": 0.0, "l2": 0.0}
    yield (
        "values that saturate",
        SparseRows.of([(1, {0: 1e4}), (0, {0: 1e4}), (1, {0: -1e4, 1: 1.0})] * 3),
        2,
        {"l1": 0.0},
    )
    cancel = SparseRows(
        np.array([1, 0, 1], np.float32),
        np.array([0, 3, 3, 5]),
        np.array([1, 1, 2, 0, 1]),
        np.array([1, -1, 1, 0, 1], np.float32),
    )
    yield "values that add up to zero, zeros, an empty example", cancel, 3, {"l1": 0.0}
    yield (
        "the largest ids, hashed",
        SparseRows.of([(1, {2**63 - 1: 1.0, 0: 1.0}), (0, {2**62: 1.0})]),
        8,
        {
            "hashing": "splitmix64",
            "l1": 0.0,
        },
    )
    yield "one example", SparseRows.of([(1, {0: 1.0})]), 1, {}


def ftrl(rng: Generator) -> Iterator[Case]:
    """Streams for logistic regression."""
    for name, rows, features, options in _cases(rng):
        yield Case(name, (rows, features), options)


def ftrl_fm(rng: Generator) -> Iterator[Case]:
    """The same streams with one and several factors, and factors under L1."""
    for name, rows, features, options in _cases(rng):
        yield Case(name, (rows, features, 3), {"seed": 5, **options})
    rows = clicks(rng, 200, 20)
    yield Case("one factor", (rows, 20, 1), {"l1": 0.1})
    yield Case("no first value: nothing to learn factors from", (rows, 20, 2), {"init": 0.0})
    for v_l1 in (0.01, 10.0):
        yield Case(f"L1 {v_l1} of the factors", (rows, 20, 4), {"v_l1": v_l1, "v_l2": 0.0, "init": 0.5, "seed": 2})


def ftrl_of_size(n: int) -> Case:
    """n examples with about twenty of 100,000 features."""
    return Case(f"{n} examples", (clicks(np.random.default_rng(n), n, 100_000, length=25), 100_000))


def ftrl_fm_of_size(n: int) -> Case:
    """n examples with about twenty of 10,000 features, and eight factors."""
    return Case(f"{n} examples", (clicks(np.random.default_rng(n), n, 10_000, length=25), 10_000, 8))
