"""Greedy search that computes only what it needs: the core of MMR and DPP without a window.

What a candidate gains can only fall as more items are chosen: its greatest similarity to them grows, its distance from
their span shrinks. A gain that is not up to date is therefore an upper bound, and only the candidate with the greatest
bound has to be refreshed, until the greatest is up to date (lazy evaluation, Minoux 1978). A heap hands it out.

Shapes: n candidates, k positions, D dimension, R rules, K kinds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rectutor.rerank.kernels import (
    BLOCKED,
    NO_VOLUME,
    NOT_FINITE,
    NOT_PSD,
    REASSOCIATED,
    Bool,
    Float,
    Int,
    Limits,
    Out,
    allowed,
    best_of,
    dot,
    enter,
    leave,
)
from rectutor.rerank.reference import DEPENDENT, TIE

NEGATIVE = -1e-7
"""A squared distance below this part of the squared length is no rounding: the kernel is not positive semi-definite."""

Volume = tuple[Float, Float, float, Bool, Float] | None
"""None for MMR. For DPP: squared lengths [n]; scale = exp((worth - shift) / weight) [n] and the shift, the scale empty
where it would overflow or vanish; whether each position added a direction [k]; the candidates' coordinates [n, k],
empty where there are vectors."""


@njit(cache=True, nogil=True)
def volume_gain(worth: float, weight: float, distance2: float, length2: float) -> float:
    """Worth plus weighted log volume; -inf for a dependent vector."""
    if weight == 0.0:
        return worth
    return worth + weight * np.log(distance2) if distance2 > DEPENDENT * length2 else -np.inf


@njit(cache=True, nogil=True)
def volume_score(i: int, worth: Float, weight: float, distance2: float, volume: Any) -> float:
    """What orders the candidates as their gains do: exp((gain - shift) / weight), which takes no logarithm."""
    length2, scale, _, _, _ = volume
    if len(scale):
        return scale[i] * distance2 if distance2 > DEPENDENT * length2[i] else -np.inf
    return volume_gain(worth[i], weight, distance2, length2[i])


@njit(cache=True, nogil=True, fastmath=REASSOCIATED)
def _dot_and_length2(x: Any, i: int, j: int) -> tuple[float, float]:
    """Inner product of rows i and j, and the squared length of row i; if all those are finite, all products are."""
    total, length2 = 0.0, 0.0
    for d in range(x.shape[1]):
        value = np.float64(x[i, d])
        total += value * np.float64(x[j, d])
        length2 += value * value
    return total, length2


@njit(cache=True, nogil=True, fastmath=REASSOCIATED)
def _four_dots(x: Any, i: int, y: Float, j: int) -> tuple[float, float, float, float]:
    """Inner products of row i of x with rows j to j + 3 of y; x is read once."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for t in range(y.shape[1]):
        value = np.float64(x[i, t])
        a += value * y[j, t]
        b += value * y[j + 1, t]
        c += value * y[j + 2, t]
        d += value * y[j + 3, t]
    return a, b, c, d


@njit(inline="always")
def _refresh(
    i: int,
    at: int,
    worth: Float,
    weight: float,
    vectors: Any,
    matrix: Float,
    basis: Float,
    score: Float,
    near: Float,
    seen: Int,
    order: Int,
    volume: Any,
) -> None:
    """Take in the chosen items that candidate i has not seen.

    ``near`` is the greatest similarity to those seen, or the squared distance from their span.
    """
    value, a = near[i], seen[i]
    seen[i] = at
    if len(vectors):
        while a + 4 <= at:
            p, q, r, s = _four_dots(vectors, i, basis, a)
            value = (
                max(max(value, p), max(max(q, r), s)) if volume is None else value - (p * p + q * q + (r * r + s * s))
            )
            a += 4
        while a < at:
            p = dot(vectors, i, basis, a, basis.shape[1])
            value = max(value, p) if volume is None else value - p * p
            a += 1
    else:
        while a < at:
            j = order[a]
            if volume is None:
                value = max(value, matrix[j, i])
            else:
                coordinates = volume[4]
                p = 0.0
                if volume[3][a]:
                    p = (matrix[j, i] - dot(coordinates, i, coordinates, j, a)) / coordinates[j, a]
                coordinates[i, a] = p
                value -= p * p
            a += 1
    near[i] = value
    if volume is None:
        score[i] = worth[i] - weight * value
    else:
        score[i] = volume_score(i, worth, weight, value, volume)


@njit(cache=True, nogil=True)
def _sift_down(heap: Int, size: int, position: int, score: Float) -> None:
    """Restore the heap, greatest score first, after the score at a position fell."""
    row = heap[position]
    value = score[row]
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        if child + 1 < size and score[heap[child + 1]] > score[heap[child]]:
            child += 1
        if score[heap[child]] <= value:
            break
        heap[position] = heap[child]
        position = child
    heap[position] = row


@njit(cache=True, nogil=True)
def _sift_up(heap: Int, position: int, score: Float) -> None:
    """Restore the heap after a row was put at its end."""
    row = heap[position]
    while position > 0:
        parent = (position - 1) // 2
        if score[heap[parent]] >= score[row]:
            break
        heap[position] = heap[parent]
        position = parent
    heap[position] = row


@njit(cache=True, nogil=True)
def _add_direction(at: int, j: int, vectors: Any, basis: Float, near: float, volume: Any) -> None:
    """Append the unit residual of the item just chosen to the basis, unless it lies in the span."""
    length2, _, _, spans, coordinates = volume
    if near <= DEPENDENT * length2[j]:
        return
    spans[at] = True
    if not len(vectors):
        coordinates[j, at] = np.sqrt(near)
        return
    before, dimension = length2[j], basis.shape[1]
    for d in range(dimension):
        basis[at, d] = vectors[j, d]
    while True:
        for a in range(at):
            along = dot(basis, at, basis, a, dimension)
            for d in range(dimension):
                basis[at, d] -= along * basis[a, d]
        left = dot(basis, at, basis, at, dimension)
        if left > 0.01 * before:
            break
        before = left  # rounding is of the size of what has been taken off: take off again
    for d in range(dimension):
        basis[at, d] /= np.sqrt(left)


@njit(cache=True, nogil=True)
def lazy(
    worth: Float,
    weight: float,
    vectors: Any,
    matrix: Float,
    score: Float,
    near: Float,
    volume: Any,
    fallback: bool,
    gone: Bool,
    limits: Limits,
    count: Int,
    relax: bool,
    out: Out,
) -> None:
    """Fill one user's slate.

    Args:
        worth: what each candidate is worth by itself [n].
        weight: of the similarity, or of the log volume.
        vectors, matrix: one of them, the other empty.
        score: scores at the first position [n]: gains, or for DPP quantities in the same order. Written to.
        near: zeros for MMR, squared lengths for DPP [n]. Written to.
        volume: see :data:`Volume`.
        fallback: whether worth decides where nothing adds volume.
        gone, limits, count, relax, out: as in :mod:`rectutor.rerank.kernels`.
    """
    order, gain, active, status = out
    n, n_rules, seen = len(worth), len(limits[0]), np.zeros(len(worth), dtype=np.int64)
    basis = np.zeros((len(order), vectors.shape[1]))
    heap, size, out_of_it = np.empty(n, dtype=np.int64), 0, np.empty(n, dtype=np.int64)
    for at in range(len(order)):
        leave(at, order, limits, count)
        rules = n_rules
        while True:
            if n_rules > 0 or at < 2:  # later the heap loses only what has been chosen
                size = 0
                for i in range(n):
                    if not gone[i] and score[i] > -np.inf and (rules == 0 or allowed(i, at, rules, limits, count)):
                        heap[size] = i
                        size += 1
                for position in range(size // 2 - 1, -1, -1):
                    _sift_down(heap, size, position, score)
            best, least, ties = n, -np.inf, 0
            while size > 0 and score[heap[0]] >= least and score[heap[0]] > -np.inf:
                i = heap[0]
                if seen[i] < at:
                    _refresh(i, at, worth, weight, vectors, matrix, basis, score, near, seen, order, volume)
                else:  # the greatest, or tied with it
                    if ties == 0:
                        least = _tied(score[i], weight, volume)
                    out_of_it[ties] = i
                    ties += 1
                    best = min(best, i)
                    size -= 1
                    heap[0] = heap[size]
                _sift_down(heap, size, 0, score)
            if volume is not None:
                for i in range(n if len(matrix) else 0):
                    if near[i] < NEGATIVE * volume[0][i]:
                        status[0], status[1] = NOT_PSD, i
                        return
            for t in range(ties):
                if out_of_it[t] != best:
                    heap[size] = out_of_it[t]
                    _sift_up(heap, size, score)
                    size += 1
            active[at] = rules
            if ties > 0:
                break
            best = best_of(worth, at, rules, limits, count, gone)
            if best >= 0:  # allowed, but none adds volume
                if not fallback:
                    status[0] = NO_VOLUME
                    return
                active[at] = -1 - rules
                break
            if not relax or rules == 0:
                status[0] = BLOCKED
                return
            rules -= 1
        order[at] = best
        enter(best, limits, count)
        gone[best] = True
        if volume is None:
            gain[at] = score[best]
            for d in range(basis.shape[1]):
                basis[at, d] = vectors[best, d]
            if at == 0:  # the first similarities make the bounds: they may be negative
                for i in range(n):
                    if not gone[i] or i == best:
                        length2 = 0.0
                        if len(vectors):
                            near[i], length2 = _dot_and_length2(vectors, i, best)
                        else:
                            near[i] = matrix[best, i]
                        seen[i], score[i] = 1, worth[i] - weight * near[i]
                        if not np.isfinite(length2):
                            status[0], status[1] = NOT_FINITE, i
                            return
        else:
            gain[at] = volume_gain(worth[best], weight, near[best], volume[0][best])
            if weight > 0:
                _add_direction(at, best, vectors, basis, near[best], volume)


@njit(cache=True, nogil=True)
def _tied(top: float, weight: float, volume: Any) -> float:
    """The least score that ties with the greatest one."""
    if volume is not None:
        _, scale, shift, _, _ = volume
        if len(scale):
            return float(top * np.exp(-TIE * max(1.0, abs(shift + weight * np.log(top))) / weight))
    return top - TIE * max(1.0, abs(top))
