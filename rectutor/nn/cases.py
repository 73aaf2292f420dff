"""Inputs on which the references and fast paths of the embedding table and its optimisers are compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rectutor.fastpath import Case

SIZES = (10_000, 30_000, 100_000)


def _normal(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


def gather(rng: np.random.Generator) -> Iterator[Case]:
    """Random codes, weights, a shared vocabulary, a strided slice of columns, dimensions around the vector width."""
    offsets = np.array([0, 7, 7, 20])
    ids = rng.integers(0, 7, (9, 4))
    yield Case("random", (_normal(rng, 30, 4), offsets, ids))
    yield Case("weights", (_normal(rng, 30, 5), offsets, ids, _normal(rng, 9, 4)))
    for dim in (1, 8, 17):
        yield Case(f"dimension {dim}", (_normal(rng, 30, dim), offsets, ids))
    yield Case("columns of a wider array", (_normal(rng, 30, 3), offsets[1:3], ids[:, 1:3], _normal(rng, 9, 4)[:, 1:3]))
    yield Case("one row", (_normal(rng, 1, 3), np.array([0]), np.zeros((5, 1), np.int64)))
    yield Case("an empty batch", (_normal(rng, 30, 3), offsets, np.zeros((0, 4), np.int64)))


def gather_bench(n: int) -> Case:
    """A batch of 26 fields of 10 000 codes, 16 dimensions."""
    rng = np.random.default_rng(n)
    return Case(
        f"{n} ids",
        (_normal(rng, 260_000, 16), np.arange(26) * 10_000, rng.integers(0, 10_000, (max(1, n // 26), 26))),
    )


def _problem(rng: np.random.Generator, rows: int, dim: int, n: int, states: int) -> tuple[Any, ...]:
    """Table, states that a few steps could have left, ids and gradients."""
    return (
        _normal(rng, rows, dim),
        *(rng.random((rows, dim)).astype(np.float32) for _ in range(states)),
        rng.integers(0, rows, n),
        _normal(rng, n, dim),
    )


def _problems(rng: np.random.Generator, states: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Batches with few and many equal ids, dimensions around the vector width, one row, no row at all."""
    yield "random", _problem(rng, 30, 5, 40, states)
    yield (
        "all ids different",
        (*_problem(rng, 40, 4, 1, states)[: states + 1], rng.permutation(40), _normal(rng, 40, 4)),
    )
    for dim in (1, 8, 17, 33):
        yield f"dimension {dim}", _problem(rng, 20, dim, 50, states)
    yield "thousands of ids", _problem(rng, 700, 3, 4000, states)
    yield "few of many rows", _problem(rng, 300_000, 2, 60, states)
    one = _problem(rng, 9, 6, 200, states)
    yield "one id 200 times", (*one[:-2], np.full(200, 8), one[-1])
    yield "an empty batch", _problem(rng, 9, 6, 0, states)
    fresh = _problem(rng, 15, 4, 30, states)
    yield "states of zero", (fresh[0], *(np.zeros((15, 4), np.float32) for _ in range(states)), *fresh[-2:])
    still = _problem(rng, 9, 6, 20, states)
    yield "gradients of zero", (*still[:-1], np.zeros((20, 6), np.float32))


def adam(rng: np.random.Generator) -> Iterator[Case]:
    """The problems at a random step, the first step, a late one, and weight decay."""
    for name, problem in _problems(rng, 2):
        yield Case(name, (*problem, int(rng.integers(1, 50))), {"lr": 0.01})
    yield Case("first step", (*_problem(rng, 30, 5, 40, 2), 1))
    yield Case("step 100 000", (*_problem(rng, 30, 5, 40, 2), 100_000))
    yield Case("weight decay", (*_problem(rng, 30, 5, 40, 2), 3), {"weight_decay": 0.3, "lr": 0.1})
    yield Case("other decays", (*_problem(rng, 30, 5, 40, 2), 2), {"betas": (0.0, 0.5), "eps": 0.1})


def adagrad(rng: np.random.Generator) -> Iterator[Case]:
    """The problems, and weight decay."""
    for name, problem in _problems(rng, 1):
        yield Case(name, problem)
    yield Case("weight decay", _problem(rng, 30, 5, 40, 1), {"weight_decay": 0.3, "lr": 0.5, "eps": 0.1})


def adam_bench(n: int) -> Case:
    """Gradients of 16 dimensions for a table of 260 000 rows."""
    return Case(f"{n} ids", (*_problem(np.random.default_rng(n), 260_000, 16, n, 2), 7))


def adagrad_bench(n: int) -> Case:
    """Gradients of 16 dimensions for a table of 260 000 rows."""
    return Case(f"{n} ids", _problem(np.random.default_rng(n), 260_000, 16, n, 1))
