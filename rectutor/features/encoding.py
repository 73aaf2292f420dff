"""From values to codes, whole columns at a time: the work is done once a distinct value.

Codes as in :mod:`rectutor.features.reference`: 0 nothing, 1 missing, 2 unknown, 3.. the values.

Shapes: N values or rows, P values of all sequences together, L slots, U distinct values, B buckets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rectutor.fastpath import fast_path
from rectutor.features import cases, reference
from rectutor.features.columns import BOOLEAN, TEXT, Column, Ints, Values, read_numbers, read_values, spread
from rectutor.features.reference import FIRST, MISSING, NOTHING, UNKNOWN

Floats = NDArray[np.float64]


# -- vocabularies ------------------------------------------------------------------------------------------------
@fast_path(
    reference.vocabulary, cases=cases.vocabularies, compare=cases.equal, bench=cases.many, sizes=(10**4, 10**5, 10**6)
)
def vocabulary(values: Column, min_count: int = 1) -> list[Any]:
    """The values that occur at least ``min_count`` times, the most frequent first, equally frequent ones ascending.

    Args:
        values: whole numbers, text or booleans, [N]; missing ones count as nothing.
        min_count: at least 1.

    Raises:
        TypeError, ValueError: values that :func:`~rectutor.features.columns.read_values` refuses.
        ValueError: ``min_count`` below 1.

    >>> vocabulary(["tea", "pie", None, "tea", "ale"])
    ['tea', 'ale', 'pie']
    """
    if min_count < 1:
        raise ValueError(f"min_count is {min_count}; it must be at least 1")
    read = read_values(values, "values")
    known = ranked(read.distinct, read.counts(), min_count)
    return list((known.astype(bool) if read.kind == BOOLEAN else known).tolist())


def ranked(distinct: NDArray[Any], counts: Ints, min_count: int) -> NDArray[Any]:
    """The values with ``min_count`` and more, by falling count, then ascending; [U] each."""
    keep = counts >= min_count
    distinct, counts = distinct[keep], counts[keep]
    order = np.argsort(distinct, kind="stable")
    return np.asarray(distinct[order[np.argsort(-counts[order], kind="stable")]])


@fast_path(reference.encode, cases=cases.encodings, rtol=0, bench=cases.many_known, sizes=(10**4, 10**5, 10**6))
def encode(values: Column, known: Column) -> Ints:
    """The code of each value, [N], given the known values in the order of their codes.

    Args:
        values: [N].
        known: [U], each once.

    Raises:
        TypeError: values of another kind than the known ones: all of them would be unknown.
        ValueError: a known value that is missing or stands twice.

    >>> encode(["pie", None, "cake", "tea"], ["tea", "pie"])
    array([4, 1, 2, 3])
    """
    read, vocabulary = read_values(values, "values"), read_values(known, "known")
    if (vocabulary.place != np.arange(len(vocabulary.place))).any():
        raise ValueError("known has a missing value or one that stands twice; give each once")
    if None not in (read.kind, vocabulary.kind) and read.kind != vocabulary.kind:
        raise TypeError(f"values are {read.kind}, known is {vocabulary.kind}; make them one kind")
    return look_up(read, pd.Index(vocabulary.distinct))


def look_up(values: Values, known: pd.Index) -> Ints:
    """The code of each value, [N], by one look-up a distinct one."""
    if not len(values.distinct) or not len(known):
        code = np.full(len(values.distinct), UNKNOWN)
    else:
        at = known.get_indexer(values.distinct)
        code = np.where(at < 0, UNKNOWN, at + FIRST)
    return np.append(code, MISSING)[values.place].astype(np.int64)  # place -1 is the last


# -- hashing -----------------------------------------------------------------------------------------------------
@fast_path(reference.encode_hashed, cases=cases.hashings, rtol=0, bench=cases.many_hashed, sizes=(10**4, 10**5, 10**6))
def encode_hashed(values: Column, buckets: int) -> Ints:
    """Feature hashing, Weinberger et al. (ICML 2009), without their sign: ``3 + hash mod buckets``, [N].

    The hash is that of :func:`rectutor.features.reference.stable_hash`: FNV-1a for text, then the finaliser of
    MurmurHash3; the same in every process and on every platform.

    Args:
        values: [N].
        buckets: at least 1.

    Raises:
        TypeError, ValueError: values that :func:`~rectutor.features.columns.read_values` refuses.
        ValueError: ``buckets`` below 1.

    >>> encode_hashed([7, None, 7, 8], 100)
    array([92,  1, 92, 86])
    """
    if buckets < 1:
        raise ValueError(f"buckets is {buckets}; it must be at least 1")
    return hash_codes(read_values(values, "values"), buckets)


def hash_codes(values: Values, buckets: int) -> Ints:
    """``3 + hash mod buckets`` of each value, [N], by one hash a distinct one."""
    code = (stable_hash(values) % np.uint64(buckets)).astype(np.int64) + FIRST
    return np.append(code, MISSING)[values.place]


def stable_hash(values: Values) -> NDArray[np.uint64]:
    """64 bits for each distinct value, [U]."""
    h = fnv1a(values.distinct) if values.kind == TEXT else values.distinct.astype(np.int64).view(np.uint64)
    shift = np.uint64(33)
    h = (h ^ h >> shift) * np.uint64(0xFF51AFD7ED558CCD)
    h = (h ^ h >> shift) * np.uint64(0xC4CEB9FE1A85EC53)
    return np.asarray(h ^ h >> shift)


def fnv1a(texts: NDArray[Any]) -> NDArray[np.uint64]:
    """FNV-1a of each text, [U]: one step takes a byte of every text that still has one, the longest first."""
    data = [text.encode("utf-8", "surrogatepass") for text in texts]
    sizes = np.fromiter(map(len, data), np.int64, len(data))
    order = np.argsort(-sizes, kind="stable")
    every = np.frombuffer(b"".join(data), np.uint8)
    start = (np.cumsum(sizes) - sizes)[order]
    left = np.searchsorted(-sizes[order], -np.arange(int(sizes.max(initial=0))), side="left")  # texts longer than j
    h = np.full(len(data), 0xCBF29CE484222325, np.uint64)
    for j, n in enumerate(left):
        h[:n] = (h[:n] ^ every[start[:n] + j]) * np.uint64(0x100000001B3)
    result = np.empty_like(h)
    result[order] = h
    return result


# -- buckets -----------------------------------------------------------------------------------------------------
@fast_path(reference.width_edges, cases=cases.numbers, rtol=0)
def width_edges(values: ArrayLike, buckets: int) -> Floats:
    """Edges of equal steps between the least and the greatest value, [B - 1]; none where these are equal.

    Args:
        values: [N]; NaN is missing.
        buckets: at least 2.

    Raises:
        ValueError: no value, an infinite one, or a range beyond float64.

    >>> width_edges([0, 3, 10], 5)
    array([2., 4., 6., 8.])
    """
    x = _known(values, buckets)
    low, high = x.min(), x.max()
    with np.errstate(over="ignore"):
        edges = np.unique(low + (high - low) * np.arange(1, buckets) / buckets)
    if not np.isfinite(edges).all():
        raise ValueError(f"values reach from {low} to {high}, a range beyond float64; scale them")
    return np.asarray(edges[edges > low])


@fast_path(reference.quantile_edges, cases=cases.numbers, rtol=0)
def quantile_edges(values: ArrayLike, buckets: int) -> Floats:
    """Edges between which equally many values lie, [at most B - 1]: equal values stay in one bucket.

    The edges stand at every n/B-th of the n sorted values; one that is not above the least value parts nothing.

    Args:
        values: [N]; NaN is missing.
        buckets: at least 2.

    Raises:
        ValueError: no value, or an infinite one.

    >>> quantile_edges([1, 2, 3, 4, 50, 600], 3), quantile_edges([0, 0, 0, 0, 5, 9], 3)
    (array([ 3., 50.]), array([5.]))
    """
    x = np.sort(_known(values, buckets))
    edges = np.unique(x[np.arange(1, buckets) * len(x) // buckets])
    return np.asarray(edges[edges > x[0]])


def _known(values: ArrayLike, buckets: int) -> Floats:
    """The numbers that are not missing."""
    x = read_numbers(np.asarray(values), "values")
    if buckets < 2:
        raise ValueError(f"buckets is {buckets}; it must be at least 2")
    if np.isnan(x).all():
        raise ValueError("values has no number that is not missing; there is nothing to part")
    return x[~np.isnan(x)]


@fast_path(reference.bucketize, cases=cases.buckets, rtol=0)
def bucketize(values: ArrayLike, edges: ArrayLike) -> Ints:
    """``3 +`` the number of edges at or below each value, [N]; NaN is a missing one.

    Args:
        values: [N].
        edges: ascending.

    >>> bucketize([17, 18, 90, np.nan], [18, 25, 35])
    array([3, 4, 6, 1])
    """
    x = read_numbers(np.asarray(values), "values")
    place = np.searchsorted(np.asarray(edges, np.float64), x, side="right")
    return np.where(np.isnan(x), MISSING, FIRST + place).astype(np.int64)


# -- sequences ---------------------------------------------------------------------------------------------------
@fast_path(reference.pad, cases=cases.sequences, rtol=0)
def pad(
    codes: ArrayLike,
    weights: ArrayLike,
    lengths: ArrayLike,
    length: int,
    keep: str = "last",
) -> tuple[Ints, NDArray[np.float32]]:
    """Rows of equal length out of sequences that lie one behind the other: codes and weights, [N, L] each.

    Args:
        codes, weights: of all values, [P].
        lengths: values of each row, [N], P in all.
        length: slots, L.
        keep: "last" or "first", what stays of a longer sequence; a shorter one is filled with code 0 and weight 0.

    Raises:
        ValueError: sizes that do not go together, another ``keep``.

    >>> ids, weights = pad([3, 4, 5, 6], [1, 1, 0.5, 1], [3, 0, 1], length=2)
    >>> ids.tolist(), weights.tolist()
    ([[4, 5], [0, 0], [6, 0]], [[1.0, 0.5], [0.0, 0.0], [1.0, 0.0]])
    """
    c, x, n = np.asarray(codes, np.int64), np.asarray(weights, np.float32), np.asarray(lengths, np.int64)
    if keep not in ("last", "first"):
        raise ValueError(f"keep is {keep!r}; choose 'last' or 'first'")
    if not len(c) == len(x) == n.sum():
        raise ValueError(f"{len(c)} codes, {len(x)} weights, lengths that add up to {n.sum()}; the three must agree")
    kept = np.minimum(n, length)
    start = np.cumsum(n) - (kept if keep == "last" else n)
    taken, to = spread(start, kept), spread(np.arange(len(n)) * length, kept)
    ids, padded = np.full((len(n), length), NOTHING, np.int64), np.zeros((len(n), length), np.float32)
    ids.reshape(-1)[to] = c[taken]
    padded.reshape(-1)[to] = x[taken]
    return ids, padded
