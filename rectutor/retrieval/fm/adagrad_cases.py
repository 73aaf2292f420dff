"""Inputs on which per-example AdaGrad and its reference are compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rectutor.fastpath import Case

Generator = np.random.Generator
LENGTHS = (1, 3, 1, 2)
"""Slots of each field where an example has sequences."""


def _problem(
    rng: Generator,
    lengths: tuple[int, ...],
    k: int,
    *,
    n: int = 25,
    size: int = 4,
    dense: int = 0,
    weighted: bool = False,
    one_field: bool = False,
) -> tuple[Any, ...]:
    """Rows, values, dense columns, labels, fields, vectors, weights, weights of dense columns, bias."""
    slots = sum(lengths)
    field = np.repeat(np.arange(len(lengths)), lengths)
    rows = field * size + rng.integers(size, size=(n, slots))
    x = None
    if weighted:
        x = (rng.standard_normal((n, slots)) * (rng.random((n, slots)) < 0.7)).astype(np.float32)
        x[0] = 0  # an example without features
    fields = np.zeros_like(field) if one_field else field
    n_fields = 1 if one_field else len(lengths)
    v = (rng.standard_normal((len(lengths) * size, n_fields, k)) * 0.3).astype(np.float32)
    return (
        rows,
        x,
        rng.standard_normal((n, dense)).astype(np.float32),
        (rng.random(n) < 0.4).astype(np.float32),
        fields,
        v,
        (rng.standard_normal(len(v)) * 0.2).astype(np.float32),
        (rng.standard_normal(dense) * 0.2).astype(np.float32),
        0.25,
    )


def _problems(rng: Generator) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Name, problem and keywords of typical and of awkward models and examples."""
    ones, step = (1,) * 6, {"lr": 0.1, "l2": 0.01}
    yield "LR", _problem(rng, ones, 0, one_field=True, dense=2), step
    for k in (1, 8, 15, 16, 33):
        yield f"FM, {k} factors", _problem(rng, ones, k, one_field=True), step
    yield "FM on sequences", _problem(rng, LENGTHS, 4, one_field=True, weighted=True, dense=3), step
    for n_fields, k in ((2, 1), (5, 3), (4, 4), (9, 7)):
        yield f"FFM, {n_fields} fields, {k} factors", _problem(rng, (1,) * n_fields, k), step
    yield "FFM on sequences", _problem(rng, LENGTHS, 4, weighted=True, dense=3), step
    yield "FFM, normalized", _problem(rng, LENGTHS, 5, weighted=True), {**step, "normalize": True}
    yield "FFM, normalized ones", _problem(rng, ones, 2), {**step, "normalize": True}
    yield "rows that stand twice in an example", _problem(rng, LENGTHS, 3, size=1), step
    yield "one slot", _problem(rng, (1,), 3), step
    yield "no L2, long steps", _problem(rng, LENGTHS, 2, weighted=True), {"lr": 0.5, "l2": 0.0}


def steps(rng: Generator) -> Iterator[Case]:
    """Two passes over each problem, and no example at all."""
    for name, problem, keywords in _problems(rng):
        n = len(problem[0])
        yield Case(name, (*problem, np.concatenate([rng.permutation(n), rng.permutation(n)])), keywords)
    yield Case("no example", (*_problem(rng, LENGTHS, 2), np.zeros(0, np.int64)))


def logits(rng: Generator) -> Iterator[Case]:
    """The same models and examples, without labels."""
    for name, problem, keywords in _problems(rng):
        rows, x, dense, _, *rest = problem
        yield Case(name, (rows, x, dense, *rest, keywords.get("normalize", False)))


def steps_of_size(n: int) -> Case:
    """n examples of 10 fields, 4 factors."""
    problem = _problem(np.random.default_rng(0), (1,) * 10, 4, n=n, size=50)
    return Case(str(n), (*problem, np.arange(n)))


def logits_of_size(n: int) -> Case:
    """n examples of 10 fields, 4 factors."""
    rows, x, dense, _, *rest = steps_of_size(n).args[:-1]
    return Case(str(n), (rows, x, dense, *rest))
