"""The compiled part of the embedding table and of its optimisers.

A step of the optimiser works on the rows that a batch touched, however many there are in the table. The positions of
the batch are dealt to buckets, ranges of rows of equal width; there the gradients of equal rows are added, and the rows
updated, while they are near in memory. A bucket belongs to one thread, and its positions keep their order, so
that the result is the same to the last bit with any number of threads. No sort, no atomics, no dense gradient.

All of it stands in one file, because a compiled function is cached by the date of its own file and not of the files
that it calls.

Shapes: B batch, S slots, D dimension, R rows of the table, n = B S positions, T threads, K buckets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from rectutor.prefetch import fetch_to_write as fetch

Float = NDArray[np.float32]
Int = NDArray[np.int64]

WIDTH_BITS = 12
"""A bucket has at most 2**12 rows, so that what is being added stays in the cache,"""
FEW_BITS, MANY_BITS = 6, 13
"""and there are at least 2**6 buckets, so that threads share evenly, and at most 2**13, however long the table is."""
AHEAD = 8
"""Gradients are fetched so many positions ahead."""

LINE = 16
"""Numbers in a cache line."""

COMPILED: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
"""No test for a division by zero, which would keep loops from using vector instructions; fused products."""


@njit(parallel=True, **COMPILED)
def gather(weight: Float, ids: Int, offsets: Int, sizes: Int, scale: Float, threads: int) -> tuple[Float, Int, bool]:
    """Rows ``offsets[s] + ids[b, s]`` times ``scale`` [B, S, D], their numbers [B S], and whether all ids are in range.

    ``scale`` is empty where there are no weights.
    """
    batch, slots = ids.shape
    dim = weight.shape[1]
    out = np.empty((batch, slots, dim), np.float32)
    rows = np.empty(batch * slots, np.int64)
    wrong = np.zeros(threads, np.bool_)
    flat, to = weight.reshape(-1), out.reshape(-1)
    for t in prange(threads):
        bad = False
        for b in range(t * batch // threads, (t + 1) * batch // threads):
            for s in range(slots):
                if b + 1 < batch:
                    fetch(flat, (offsets[s] + ids[b + 1, s]) * dim)  # does nothing where there is no such row
                i = ids[b, s]
                if i < 0 or i >= sizes[s]:
                    bad = True
                    continue
                rows[b * slots + s] = offsets[s] + i
                start = np.uint64(offsets[s] + i) * np.uint64(dim)
                end = np.uint64(b * slots + s) * np.uint64(dim)
                x = scale[b, s] if len(scale) else np.float32(1)
                for d in range(dim):
                    to[end + np.uint64(d)] = flat[start + np.uint64(d)] * x
        wrong[t] = bad
    return out, rows, not wrong.any()


@njit(**COMPILED)
def bucket_bits(n_rows: int) -> int:
    """Logarithm of a bucket's width."""
    bits = 0
    while (n_rows >> bits) > 1:
        bits += 1
    return max(0, min(WIDTH_BITS, bits - FEW_BITS), bits - MANY_BITS)


@njit(parallel=True, **COMPILED)
def deal(rows: Int, bits: int, n_buckets: int, threads: int) -> tuple[Any, Int]:
    """The positions in the order of their buckets, and then as they came [n], and where each bucket starts [K + 1]."""
    n = len(rows)
    order = np.empty(n, np.int32)
    start = np.empty(n_buckets + 1, np.int64)
    next_one = np.zeros((threads, n_buckets), np.int64)
    for t in prange(threads):
        for i in range(t * n // threads, (t + 1) * n // threads):
            next_one[t, rows[i] >> bits] += 1
    at = 0
    for b in range(n_buckets):
        start[b] = at
        for t in range(threads):
            count = next_one[t, b]
            next_one[t, b] = at
            at += count
    start[n_buckets] = at
    for t in prange(threads):
        for i in range(t * n // threads, (t + 1) * n // threads):
            b = rows[i] >> bits
            order[next_one[t, b]] = i
            next_one[t, b] += 1
    return order, start


@njit(**COMPILED)
def largest(start: Int, low: int, high: int) -> int:
    """Most positions in one of the buckets low, ..., high - 1."""
    most = 0
    for b in range(low, high):
        most = max(most, start[b + 1] - start[b])
    return most


@njit(**COMPILED)
def add_equal(
    order: Any,
    low: int,
    high: int,
    rows: Int,
    first: int,
    grads: Float,
    weight: Float,
    state: Float,
    place: Any,
    found: Int,
    total: Float,
) -> int:
    """Add the gradients of equal rows of one bucket.

    Args:
        order, low, high: the positions of the bucket are ``order[low:high]``.
        rows: the row of each position.
        first: the first row of the bucket.
        grads: the gradients, one after the other.
        weight, state: flat arrays whose rows will be needed next.
        place: for each row of the bucket its place in ``found`` plus one; zeros before and after.
        found, total: the rows that occur, and the sums of their gradients.

    Returns:
        The number of rows that occur.
    """
    dim = total.shape[1]
    wide = dim * (len(state) // len(weight))
    count = 0
    for p in range(low, high):
        if p + AHEAD < len(order):
            fetch(grads, np.int64(order[p + AHEAD]) * dim)
        i = np.uint64(order[p]) * np.uint64(dim)  # without a sign, an index needs no test for counting from the end
        row = rows[order[p]]
        k = place[row - first] - 1
        if k < 0:
            fetch(weight, row * dim)
            fetch(weight, (row + 1) * dim - 1)
            for d in range(0, wide, LINE):
                fetch(state, row * wide + d)
            fetch(state, (row + 1) * wide - 1)
            for d in range(dim):
                total[count, d] = grads[i + np.uint64(d)]
            found[count] = row
            count += 1
            place[row - first] = count
        else:
            for d in range(dim):
                total[k, d] += grads[i + np.uint64(d)]
    for k in range(count):
        place[found[k] - first] = 0
    return count


@njit(**COMPILED)
def adam_row(
    w: Float, moments: Float, row: int, total: Float, k: int, step: Any, b1: Any, b2: Any, eps: Any, decay: Any
) -> None:
    """Adam on one row of the flat arrays; ``b1`` and ``b2`` are one minus beta."""
    dim = np.uint64(total.shape[1])
    start = np.uint64(row) * dim
    first, second = np.uint64(2) * start, np.uint64(2) * start + dim
    for d in range(total.shape[1]):
        i, j = start + np.uint64(d), np.uint64(d)
        g = total[k, d] + decay * w[i]
        mean = moments[first + j] + b1 * (g - moments[first + j])
        square = moments[second + j] + b2 * (g * g - moments[second + j])
        moments[first + j], moments[second + j] = mean, square
        w[i] -= step * mean / (np.sqrt(square) + eps)


@njit(**COMPILED)
def adagrad_row(w: Float, s: Float, row: int, total: Float, k: int, rate: Any, eps: Any, decay: Any) -> None:
    """AdaGrad on one row of the flat arrays."""
    dim = total.shape[1]
    start = np.uint64(row) * np.uint64(dim)
    for d in range(dim):
        i = start + np.uint64(d)
        g = total[k, d] + decay * w[i]
        square = s[i] + g * g
        s[i] = square
        w[i] -= rate * g / (np.sqrt(square) + eps)


@njit(parallel=True, **COMPILED)
def adam(weight: Float, moments: Float, rows: Int, grads: Float, numbers: Float, threads: int) -> None:
    """One step of Adam on the rows that occur.

    Args:
        weight: the table [R, D].
        moments: the two moments of a row beside each other, [R, 2, D].
        rows, grads: the positions of the batch [n], [n, D].
        numbers: step size, 1 - beta1, 1 - beta2, eps, weight decay.
        threads: T.
    """
    step, b1, b2, eps, decay = numbers
    (n_rows, dim), n = weight.shape, len(rows)
    flat, state, g = weight.reshape(-1), moments.reshape(-1), grads.reshape(-1)
    bits = bucket_bits(n_rows)
    order, start = deal(rows, bits, ((n_rows - 1) >> bits) + 1, threads)
    for t in prange(threads):
        low, high = np.searchsorted(start, t * n // threads), np.searchsorted(start, (t + 1) * n // threads)
        most = min(largest(start, low, high), 1 << bits)
        total, found, place = np.empty((most, dim), np.float32), np.empty(most, np.int64), np.zeros(1 << bits, np.int32)
        for b in range(low, high):
            count = add_equal(order, start[b], start[b + 1], rows, b << bits, g, flat, state, place, found, total)
            for k in range(count):
                adam_row(flat, state, found[k], total, k, step, b1, b2, eps, decay)


@njit(parallel=True, **COMPILED)
def adagrad(weight: Float, squares: Float, rows: Int, grads: Float, numbers: Float, threads: int) -> None:
    """One step of AdaGrad on the rows that occur; ``squares`` [R, D]; ``numbers``: learning rate, eps, weight decay."""
    rate, eps, decay = numbers
    (n_rows, dim), n = weight.shape, len(rows)
    flat, state, g = weight.reshape(-1), squares.reshape(-1), grads.reshape(-1)
    bits = bucket_bits(n_rows)
    order, start = deal(rows, bits, ((n_rows - 1) >> bits) + 1, threads)
    for t in prange(threads):
        low, high = np.searchsorted(start, t * n // threads), np.searchsorted(start, (t + 1) * n // threads)
        most = min(largest(start, low, high), 1 << bits)
        total, found, place = np.empty((most, dim), np.float32), np.empty(most, np.int64), np.zeros(1 << bits, np.int32)
        for b in range(low, high):
            count = add_equal(order, start[b], start[b + 1], rows, b << bits, g, flat, state, place, found, total)
            for k in range(count):
                adagrad_row(flat, state, found[k], total, k, rate, eps, decay)
