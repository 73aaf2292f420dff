"""Inputs on which the references and the fast paths of the family are compared."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rectutor.fastpath import Case

Generator = np.random.Generator


def _examples(rng: Generator) -> Iterator[tuple[str, int, int, np.ndarray]]:
    """Name, features, factors and x of typical and of awkward examples."""
    one_hot = np.zeros(30)
    one_hot[[2, 11, 29]] = 1.0
    many = (rng.random(24) < 0.4) * rng.exponential(size=24)
    yield "one-hot fields", 30, 4, one_hot
    yield "real values, many zeros", 24, 8, many
    yield "values of both signs, one factor", 12, 1, rng.standard_normal(12)
    yield "no feature present", 6, 3, np.zeros(6)
    yield "one feature present", 5, 3, np.array([0.0, 0.0, 2.5, 0.0, 0.0])
    yield "a single feature", 1, 2, np.array([-1.5])
    yield "large values that cancel", 8, 3, np.array([1e3, -1e3, 1e3, -1e3, 1.0, 1e-3, 0.0, 2.0])


def lr(rng: Generator) -> Iterator[Case]:
    """w0, w, x."""
    for name, n, _, x in _examples(rng):
        yield Case(name, (rng.standard_normal(), rng.standard_normal(n), x))


def fm(rng: Generator) -> Iterator[Case]:
    """w0, w, v, x."""
    for name, n, k, x in _examples(rng):
        yield Case(name, (rng.standard_normal(), rng.standard_normal(n), rng.standard_normal((n, k)), x))


def ffm(rng: Generator) -> Iterator[Case]:
    """w0, w, v, x, fields: each feature its own field, several to a field, all in one."""
    for name, n, k, x in _examples(rng):
        every = {
            "a field each": np.arange(n),
            "three fields": rng.integers(0, 3, n),
            "one field": np.zeros(n, np.int64),
        }
        for how, fields in every.items():
            n_fields = {"a field each": n, "three fields": 3, "one field": 1}[how]
            v = rng.standard_normal((n, n_fields, k))
            yield Case(f"{name}, {how}", (rng.standard_normal(), rng.standard_normal(n), v, x, fields))


def fwfm(rng: Generator) -> Iterator[Case]:
    """w0, w, v, r, x, fields."""
    for case in ffm(rng):
        w0, w, v, x, fields = case.args
        r = rng.standard_normal((v.shape[1], v.shape[1]))
        yield Case(case.name, (w0, w, v[:, 0], r + r.T, x, fields))


def fm_vectors(rng: Generator) -> Iterator[Case]:
    """w0, w, v, x, of_item: features of both sides, of the user alone, of the item alone."""
    for case in fm(rng):
        n = len(case.args[3])
        for side, of_item in (("both", rng.random(n) < 0.5), ("user", np.zeros(n, bool)), ("item", np.ones(n, bool))):
            yield Case(f"{case.name}, {side}", (*case.args, of_item))


def _sized(n: int, k: int = 8) -> tuple[Generator, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng, (rng.random(n) < 0.5) * rng.random(n)


def lr_of_size(n: int) -> Case:
    """n features, half of them present."""
    rng, x = _sized(n)
    return Case(str(n), (0.1, rng.standard_normal(n), x))


def fm_of_size(n: int) -> Case:
    """n features, 8 factors."""
    rng, x = _sized(n)
    return Case(str(n), (0.1, rng.standard_normal(n), rng.standard_normal((n, 8)), x))


def ffm_of_size(n: int) -> Case:
    """n features in 10 fields, 4 factors."""
    rng, x = _sized(n)
    v = rng.standard_normal((n, 10, 4))
    return Case(str(n), (0.1, rng.standard_normal(n), v, x, rng.integers(0, 10, n)))


def fwfm_of_size(n: int) -> Case:
    """n features in 10 fields, 8 factors."""
    w0, w, v, x = fm_of_size(n).args
    rng = np.random.default_rng(1)
    r = rng.standard_normal((10, 10))
    return Case(str(n), (w0, w, v, r + r.T, x, rng.integers(0, 10, n)))


def fm_vectors_of_size(n: int) -> Case:
    """n features, 8 factors, half of the features the item's."""
    return Case(str(n), (*fm_of_size(n).args, np.arange(n) % 2 == 0))
