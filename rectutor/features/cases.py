"""Inputs on which the references and the fast paths of the features are compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rectutor.fastpath import Case

if TYPE_CHECKING:
    from rectutor.features.encoded import Encoded

FAR = [2**24, 2**24 + 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
"""Numbers that floating point cannot tell apart, and the ends of int64."""

TEXTS = ["", " ", "a", "A", "é", "é", "商品", "\x00", "\x00\x00", "\ud800", "1", "True", "x" * 300, "😀"]
"""Texts that are empty, look alike, or have to be encoded with care."""


def equal(got: Any, expected: Any, rtol: float, atol: float) -> None:
    """The same values of the same types."""
    assert [*map(type, got)] == [*map(type, expected)], f"{got} instead of {expected}"
    assert got == expected, f"{got} instead of {expected}"


def with_gaps(rng: np.random.Generator, values: list[Any], n: int) -> list[Any]:
    """n values drawn with repeats, a tenth of them missing."""
    return [None if rng.random() < 0.1 else values[i] for i in rng.integers(len(values), size=n)]


def columns(rng: np.random.Generator) -> Iterator[tuple[str, list[Any]]]:
    """Columns of each kind, of one value, of none."""
    yield "integers", with_gaps(rng, rng.integers(-50, 50, 30).tolist(), 200)
    yield "far integers", with_gaps(rng, FAR, 60)
    yield "texts", with_gaps(rng, TEXTS, 120)
    yield "words", with_gaps(rng, [f"note {i}" * int(rng.integers(1, 4)) for i in range(40)], 200)
    yield "booleans", with_gaps(rng, [True, False], 30)
    yield "one value", ["tea"]
    yield "all missing", [None, None]
    yield "nothing", []


def vocabularies(rng: np.random.Generator) -> Iterator[Case]:
    """Each column with counts that keep all, some and none of its values."""
    for name, column in columns(rng):
        for least in (1, 3, 1000):
            yield Case(f"{name}, min_count {least}", (column, least))


def encodings(rng: np.random.Generator) -> Iterator[Case]:
    """Each column with all, some and none of its values known, and with values it lacks."""
    for name, column in columns(rng):
        known = sorted({value for value in column if value is not None})
        yield Case(f"{name}, all known", (column, known))
        yield Case(f"{name}, every second known", (column, known[::2]))
        yield Case(f"{name}, none known", (column, []))
    yield Case("known beyond the column", ([5, 6], [9, 6, 7, 8]))


def hashings(rng: np.random.Generator) -> Iterator[Case]:
    """Each column in one bucket, few, many, and more than 32 bits count."""
    for name, column in columns(rng):
        for buckets in (1, 7, 1000, 2**40 + 15):
            yield Case(f"{name}, {buckets} buckets", (column, buckets))


def draws(rng: np.random.Generator) -> Iterator[tuple[str, list[float]]]:
    """Columns of numbers: smooth, tied, long-tailed, constant, with gaps."""
    yield "normal", rng.standard_normal(101).tolist()
    yield "ties", rng.integers(0, 6, 80).astype(float).tolist()
    yield "counts", np.floor(rng.pareto(1.0, 150)).tolist()
    yield "mostly zero", np.where(rng.random(60) < 0.8, 0.0, rng.random(60)).tolist()
    yield "gaps", [*np.where(rng.random(60) < 0.3, np.nan, rng.random(60)).tolist(), 0.5]
    yield "constant", [3.0] * 5
    yield "one", [-2.5]
    yield "far apart", [-1e300, 0.0, 1e-300, 1e300]


def numbers(rng: np.random.Generator) -> Iterator[Case]:
    """Numbers parted into two, some, and more buckets than there are values."""
    for name, column in draws(rng):
        for buckets in (2, 5, 200):
            yield Case(f"{name}, {buckets} buckets", (column, buckets))


def buckets(rng: np.random.Generator) -> Iterator[Case]:
    """Numbers between, on and beyond the edges."""
    for name, column in draws(rng):
        edges = sorted({x for x in column if x == x})
        yield Case(f"{name}, an edge at every value", (column, edges))
        yield Case(f"{name}, two edges", (column, [-0.5, 0.5]))
    yield Case("no edges", ([1.0, np.nan], []))
    yield Case("no values", ([], [1.0]))


def sequences(rng: np.random.Generator) -> Iterator[Case]:
    """Sequences that are empty, short, exact and long, and none at all."""
    for length in (1, 3, 50):
        lengths = rng.integers(0, 8, 40)
        total = int(lengths.sum())
        weights = rng.random(total).astype(np.float32).tolist()
        for keep in ("last", "first"):
            args = (rng.integers(1, 90, total).tolist(), weights, lengths.tolist(), length, keep)
            yield Case(f"{length} slots, {keep}", args)
    yield Case("exact", ([4, 5, 6, 7], [1.0, 0.5, -2.0, 0.0], [2, 2], 2))
    yield Case("all empty", ([], [], [0, 0, 0], 2))


def sparse(rng: np.random.Generator) -> Iterator[Case]:
    """Rows of both formats: empty ones, fields out of order and repeated, ids beyond the layout."""
    from rectutor.data.sparse import SparseRows
    from rectutor.features.encoded import sparse_layout

    def draw(n: int, largest: int, fields: NDArray[np.int32] | None) -> SparseRows:
        indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 7, n))]).astype(np.int64)
        total = int(indptr[-1])
        chosen = None if fields is None else fields[rng.integers(len(fields), size=total)]
        values = rng.standard_normal(total).astype(np.float32)
        return SparseRows(
            rng.integers(2, size=n).astype(np.float32), indptr, rng.integers(largest, size=total), values, chosen
        )

    for name, fields in (("libsvm", None), ("libffm", np.array([7, 0, 2**31 - 1, 10], np.int32))):
        train, test = draw(40, 30, fields), draw(40, 60, fields)
        yield Case(f"{name}, its own layout", (train, sparse_layout(train)))
        yield Case(f"{name}, a layout of both", (test, sparse_layout(train, test)))
        both = sparse_layout(train, test)
        narrow = type(both)(both.fields, both.lengths, both.vocabularies, {"features": 20})
        yield Case(f"{name}, ids beyond the layout", (test, narrow))
        empty = SparseRows(
            np.zeros(2, np.float32),
            np.zeros(3, np.int64),
            np.zeros(0, np.int64),
            np.zeros(0, np.float32),
            fields if fields is None else fields[:0],
        )
        yield Case(f"{name}, empty rows", (empty, both))


def same_encoded(got: Encoded, expected: tuple[Any, Any], rtol: float, atol: float) -> None:
    """The same codes and weights."""
    assert got.ids.tolist() == expected[0], "other codes"
    assert got.weights is not None
    assert got.weights.tolist() == expected[1], "other weights"


# -- timings -----------------------------------------------------------------------------------------------------
def many(n: int) -> Case:
    """n words, a tenth of them distinct."""
    rng = np.random.default_rng(n)
    return Case(f"{n} values", ([f"note {i}" for i in rng.integers(max(1, n // 10), size=n)],))


def many_known(n: int) -> Case:
    """n words and the vocabulary of half of them."""
    (column,) = many(n).args
    return Case(f"{n} values", (column, sorted(set(column))[::2]))


def many_hashed(n: int) -> Case:
    """n words and a hash of a hundred thousand buckets."""
    return Case(f"{n} values", (*many(n).args, 100_000))
