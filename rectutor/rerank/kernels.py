"""The compiled part of MMR and DPP.

What a candidate gains can only fall as more items are chosen: its greatest similarity to them grows, its distance from
their span shrinks. A gain that is not up to date is therefore an upper bound, and only the candidate with the greatest
bound has to be refreshed, until the greatest is up to date (lazy evaluation, Minoux 1978). A heap hands it out.

With a window an item that leaves takes its similarity, or its direction, along, and gains can rise again. Then each
round looks at all candidates: MMR keeps the last ``window`` rows of similarities, DPP the candidates' coordinates along
the directions of the window, which Givens rotations turn so that what only the oldest item spans is the last direction.

All of it stands in one file, because a compiled function is cached by the date of its own file and not of the files
that it calls.

``limits`` are the rules in numbers for one user, (codes [R, n], most, span, until [R]), see
:class:`~rectutor.rerank.rules.Compiled`; ``count`` [R, K] counts the kinds in each rule's span above position ``at``.
Shapes: B users, n candidates, k positions, D dimension, w window, R rules, K kinds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from rectutor.rerank.reference import DEPENDENT, TIE

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Limits = tuple[NDArray[np.int32], Int, Int, Int]
Out = tuple[Int, Float, Int, Int, Float]
"""Order, gain, number of rules applied [k]; status [2]: how it ended, and the row that is to blame; the most negative
squared distance seen, as a part of the squared length, with its row and the number of items chosen before it [3]."""

DONE, BLOCKED, NO_VOLUME, NOT_FINITE, NOT_PSD, NOT_SYMMETRIC = range(6)
"""How a slate ended: full, no item allowed, no item with volume; or why there is none: numbers that are not finite, a
kernel with a negative eigenvalue, a matrix that is not symmetric."""

REASSOCIATED = {"reassoc", "nsz", "contract"}
"""Sums may be taken in another order and with fused products; NaN and infinities keep their meaning."""

NEGATIVE = -1e-7
"""A squared distance below this part of the squared length raises the suspicion that the kernel is none."""

Volume = tuple[Float, Float, float, Bool, Float] | None
"""None for MMR. For DPP: squared lengths [n]; scale = exp((worth - shift) / weight) [n] and the shift, the scale empty
where it would overflow or vanish; whether each position added a direction [k]; the candidates' coordinates [n, k],
empty where there are vectors."""


@njit(cache=True, nogil=True)
def allowed(i: int, at: int, active: int, limits: Limits, count: Int) -> bool:
    """Whether the first ``active`` rules let candidate i stand at a position."""
    codes, most, _, until = limits
    for r in range(active):  # noqa: SIM110 (compiled)
        if at < until[r] and codes[r, i] >= 0 and count[r, codes[r, i]] >= most[r]:
            return False
    return True


@njit(cache=True, nogil=True)
def enter(chosen: int, limits: Limits, count: Int) -> None:
    """Count the item that has just been chosen."""
    codes = limits[0]
    for r in range(len(codes)):
        if codes[r, chosen] >= 0:
            count[r, codes[r, chosen]] += 1


@njit(cache=True, nogil=True)
def leave(at: int, order: Int, limits: Limits, count: Int) -> None:
    """Before a position is filled: forget the items that fell out of the spans above it."""
    codes, _, span, _ = limits
    for r in range(len(codes)):
        if at >= span[r]:
            code = codes[r, order[at - span[r]]]
            if code >= 0:
                count[r, code] -= 1


@njit(cache=True, nogil=True)
def tied(top: float) -> float:
    """The least score that ties with the greatest one."""
    return top - TIE * max(1.0, abs(top))


@njit(cache=True, nogil=True)
def best_of(score: Float, at: int, active: int, limits: Limits, count: Int, gone: Bool) -> int:
    """The allowed candidate with the greatest score, the lowest row of those that tie; -1 if none is allowed."""
    best = -1
    for i in range(len(score)):
        if not gone[i] and (best < 0 or score[i] > score[best]) and allowed(i, at, active, limits, count):
            best = i
    if best >= 0:
        least = tied(score[best])
        for i in range(best):
            if not gone[i] and score[i] >= least and allowed(i, at, active, limits, count):
                return i
    return best


@njit(cache=True, nogil=True)
def pick(score: Float, at: int, limits: Limits, count: Int, gone: Bool, relax: bool) -> tuple[int, int]:
    """The best candidate for a position, and how many rules were applied: all, unless they may be relaxed."""
    active = len(limits[0])
    best = best_of(score, at, active, limits, count, gone)
    while best < 0 and relax and active > 0:
        active -= 1
        best = best_of(score, at, active, limits, count, gone)
    return best, active


@njit(cache=True, nogil=True, fastmath=REASSOCIATED)
def dot(x: Any, i: int, y: Any, j: int, dimension: int) -> float:
    """Inner product of the first entries of row i of x and row j of y, in 64 bits."""
    total = 0.0
    for d in range(dimension):
        total += np.float64(x[i, d]) * np.float64(y[j, d])
    return total


@njit(cache=True, nogil=True)
def product(i: int, j: int, vectors: Any, matrix: Float) -> float:
    """Entry (i, j) of the matrix, or of the inner products of vectors where there is no matrix."""
    return dot(vectors, i, vectors, j, vectors.shape[1]) if len(vectors) else matrix[j, i]


@njit(cache=True, nogil=True)
def flaw(m: Float, kernel: bool, slack: float) -> tuple[int, int, int]:
    """What is wrong with a matrix [n, n], and where.

    It is an entry that is not finite, two that are not equal, or for a kernel one that is greater than the lengths of
    its two vectors allow, all up to ``slack`` of the greatest entry. It goes by tiles of rows and columns, since the
    transposed entry is far away in memory.
    """
    n, tile = len(m), 32
    scale, length = 0.0, np.zeros(n)
    for i in range(n):
        length[i] = np.sqrt(max(m[i, i], 0.0))
        for j in range(n):
            if not np.isfinite(m[i, j]):
                return NOT_FINITE, i, j
            scale = max(scale, abs(m[i, j]))
    for top in range(0, n, tile):
        for left in range(top, n, tile):
            for i in range(top, min(n, top + tile)):
                for j in range(max(i, left), min(n, left + tile)):
                    if abs(m[i, j] - m[j, i]) > slack * scale:
                        return NOT_SYMMETRIC, i, j
                    if kernel and abs(m[i, j]) > length[i] * length[j] * (1 + slack) + slack * scale:
                        return NOT_PSD, i, j
    return DONE, 0, 0


# -- all chosen items ----------------------------------------------------------------------------------------------
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
def _eight_dots(x: Any, i: int, y: Float, j: int) -> tuple[float, float, float, float, float, float, float, float]:
    """Inner products of row i of x with rows j to j + 7 of y: eight sums at once do not wait for one another."""
    a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for t in range(y.shape[1]):
        value = np.float64(x[i, t])
        a += value * y[j, t]
        b += value * y[j + 1, t]
        c += value * y[j + 2, t]
        d += value * y[j + 3, t]
        e += value * y[j + 4, t]
        f += value * y[j + 5, t]
        g += value * y[j + 6, t]
        h += value * y[j + 7, t]
    return a, b, c, d, e, f, g, h


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
        while a + 8 <= at:
            p, q, r, s, t, u, v, w = _eight_dots(vectors, i, basis, a)
            if volume is None:
                value = max(max(max(max(value, p), max(q, r)), max(max(s, t), max(u, v))), w)
            else:
                value -= (p * p + q * q + (r * r + s * s)) + (t * t + u * u + (v * v + w * w))
            a += 8
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
def suspect(i: int, at: int, distance2: float, length2: float, negative: Float) -> None:
    """Keep the most negative squared distance from the first ``at`` items chosen, as a part of the squared length."""
    if distance2 < NEGATIVE * length2 and distance2 < negative[0] * length2:
        negative[0], negative[1], negative[2] = distance2 / length2, i, at


@njit(cache=True, nogil=True)
def _residual(j: int, vectors: Any, basis: Float, rank: int) -> None:
    """Write the unit residual of a vector beside the first ``rank`` directions into the next row of the basis."""
    dimension = basis.shape[1]
    for d in range(dimension):
        basis[rank, d] = vectors[j, d]
    before, left = dot(basis, rank, basis, rank, dimension), 0.0
    for _ in range(4):
        for a in range(rank):
            along = dot(basis, rank, basis, a, dimension)
            for d in range(dimension):
                basis[rank, d] -= along * basis[a, d]
        left = dot(basis, rank, basis, rank, dimension)
        if left > 0.01 * before:
            break
        before = left  # rounding is of the size of what has been taken off: take off again
    for d in range(dimension):  # nothing left, though its square was above rounding: a direction without candidates
        basis[rank, d] = basis[rank, d] / np.sqrt(left) if left > 0 else 0.0


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
    _residual(j, vectors, basis, at)


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
    order, gain, active, status, negative = out
    n, n_rules, seen = len(worth), len(limits[0]), np.zeros(len(worth), dtype=np.int64)
    basis = np.zeros((len(order), vectors.shape[1]))
    heap, size, out_of_it = np.empty(n, dtype=np.int64), 0, np.empty(n, dtype=np.int64)
    for at in range(len(order)):
        leave(at, order, limits, count)
        rules = n_rules
        while True:
            if n_rules > 0 or at == 0 or (at == 1 and volume is None):  # else it has lost the chosen item only
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
            if volume is not None and len(matrix):
                for i in range(n):
                    suspect(i, at, near[i], volume[0][i], negative)
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


# -- MMR -----------------------------------------------------------------------------------------------------------
@njit(cache=True, nogil=True)
def mmr_sliding(
    worth: Float,
    weight: float,
    vectors: Any,
    matrix: Float,
    window: int,
    gone: Bool,
    limits: Limits,
    count: Int,
    relax: bool,
    out: Out,
) -> None:
    """Fill one user's slate; the last ``window`` chosen items are compared."""
    order, gain, active, status, _ = out
    n = len(worth)
    for i in range(n if len(vectors) else 0):
        if not gone[i] and not np.isfinite(product(i, i, vectors, matrix)):
            status[0], status[1] = NOT_FINITE, i
            return
    score, rows = worth.copy(), np.zeros((window, n))  # similarities to the items of the window
    for at in range(len(order)):
        leave(at, order, limits, count)
        best, active[at] = pick(score, at, limits, count, gone, relax)
        if best < 0:
            status[0] = BLOCKED
            return
        order[at], gain[at] = best, score[best]
        enter(best, limits, count)
        row = rows[at % window]
        if len(vectors):
            for i in range(n):
                if not gone[i]:
                    row[i] = dot(vectors, i, vectors, best, vectors.shape[1])
        else:
            row[:] = matrix[best]
        gone[best] = True
        score[:] = rows[0]
        for j in range(1, min(at + 1, window)):
            for i in range(n):
                score[i] = rows[j, i] if rows[j, i] > score[i] else score[i]  # max() would look for NaN
        for i in range(n):
            score[i] = worth[i] - weight * score[i]


@njit(cache=True, nogil=True)
def mmr_one(
    b: int,
    worth: Float,
    weight: float,
    vectors: Any,
    matrix: Float,
    window: int,
    gone: Bool,
    limits: Limits,
    kinds: int,
    relax: bool,
    out: Out,
) -> None:
    """Fill the slate of user b."""
    codes, most, span, until = limits
    order, gain, active, status, negative = out
    mine, count = (codes[b], most, span, until), np.zeros((len(most), kinds), dtype=np.int64)
    result = order[b], gain[b], active[b], status[b], negative[b]
    if window < order.shape[1]:
        mmr_sliding(worth[b], weight, vectors[b], matrix[b], window, gone[b], mine, count, relax, result)
    else:
        score, near = worth[b].copy(), np.zeros(worth.shape[1])
        lazy(worth[b], weight, vectors[b], matrix[b], score, near, None, False, gone[b], mine, count, relax, result)


@njit(cache=True, nogil=True, parallel=True)
def mmr_many(
    worth: Float,
    weight: float,
    vectors: Any,
    matrix: Float,
    window: int,
    gone: Bool,
    limits: Limits,
    kinds: int,
    relax: bool,
    out: Out,
) -> None:
    """Fill the slates of all users, in parallel."""
    for b in prange(len(worth)):
        mmr_one(b, worth, weight, vectors, matrix, window, gone, limits, kinds, relax, out)


# -- DPP -----------------------------------------------------------------------------------------------------------
@njit(cache=True, nogil=True)
def lengths2(vectors: Any, gone: Bool) -> Float:
    """Squared lengths of the vectors [B, n, D] that are not gone [B, n]; 0 for the others."""
    length2 = np.zeros(gone.shape)
    for b in range(len(gone)):
        x = vectors[b]
        for i in range(len(x)):
            if not gone[b, i]:
                length2[b, i] = dot(x, i, x, i, x.shape[1])
    return length2


@njit(cache=True, nogil=True)
def _turn(rows: Float, p: int, q: int, cos: float, sin: float) -> None:
    """Rotate two rows in their plane."""
    for j in range(rows.shape[1]):
        x, y = rows[p, j], rows[q, j]
        rows[p, j], rows[q, j] = cos * x + sin * y, cos * y - sin * x


@njit(cache=True, nogil=True)
def _drop_oldest(inside: Float, lengths: Float, coordinates: Float, basis: Float, m: int, rank: int) -> int:
    """Turn the basis so that the m items of a window but the oldest need only its first directions; how many they need.

    ``inside`` [w, w] holds the items' coordinates along the ``rank`` directions, oldest first, ``coordinates`` [w, n]
    the others'; ``basis`` [w, D] holds the directions, or nothing where there are no vectors. Item after item, what is
    left of it is turned into the next direction; an item that depends on those before it needs none. Directions that no
    item needs leave.
    """
    p = 0
    for i in range(1, m):
        for q in range(p + 1, rank):
            x, y = inside[i, p], inside[i, q]
            if y == 0.0:
                continue
            r = np.hypot(x, y)
            cos, sin = x / r, y / r
            for j in range(i, m):
                x, y = inside[j, p], inside[j, q]
                inside[j, p], inside[j, q] = cos * x + sin * y, cos * y - sin * x
            _turn(coordinates, p, q, cos, sin)
            _turn(basis, p, q, cos, sin)
        if p < rank and inside[i, p] ** 2 > DEPENDENT * lengths[i]:
            p += 1
        inside[i, p:] = 0.0
    inside[: m - 1], lengths[: m - 1] = inside[1:m].copy(), lengths[1:m].copy()
    return p


@njit(cache=True, nogil=True)
def dpp_sliding(
    worth: Float,
    weight: float,
    vectors: Any,
    matrix: Float,
    window: int,
    length2: Float,
    fallback: bool,
    gone: Bool,
    limits: Limits,
    count: Int,
    relax: bool,
    out: Out,
) -> None:
    """Fill one user's slate; the last ``window`` chosen items count."""
    order, gain, active, status, negative = out
    n = len(worth)
    score, d2 = np.empty(n), length2.copy()
    coordinates, basis = np.zeros((window, n)), np.zeros((window, vectors.shape[1]))
    inside, lengths, m, rank = np.zeros((window, window)), np.zeros(window), 0, 0  # m items span ``rank`` directions
    for at in range(len(order)):
        for i in range(n):
            if not gone[i]:
                score[i] = volume_gain(worth[i], weight, d2[i], length2[i])
        leave(at, order, limits, count)
        best, active[at] = pick(score, at, limits, count, gone, relax)
        if best < 0:
            status[0] = BLOCKED
            return
        if score[best] == -np.inf:
            if not fallback:
                status[0] = NO_VOLUME
                return
            best, active[at] = best_of(worth, at, active[at], limits, count, gone), -1 - active[at]
        order[at], gain[at] = best, score[best]
        enter(best, limits, count)
        gone[best] = True
        if m == window:
            rank = _drop_oldest(inside, lengths, coordinates, basis, m, rank)
            m -= 1
        rest, inside[m], lengths[m] = length2[best], 0.0, length2[best]
        for a in range(rank):
            inside[m, a] = coordinates[a, best]
            rest -= coordinates[a, best] ** 2
        if rest > DEPENDENT * length2[best]:
            inside[m, rank] = np.sqrt(rest)
            if len(vectors):
                _residual(best, vectors, basis, rank)
                for i in range(n):
                    if not gone[i]:
                        coordinates[rank, i] = dot(vectors, i, basis, rank, basis.shape[1])
            else:
                for i in range(n):
                    coordinates[rank, i] = matrix[best, i]
                for a in range(rank):
                    for i in range(n):
                        coordinates[rank, i] -= inside[m, a] * coordinates[a, i]
                for i in range(n):
                    coordinates[rank, i] /= inside[m, rank]
            rank += 1
        m += 1
        d2[:] = length2
        for a in range(rank):
            for i in range(n):
                d2[i] -= coordinates[a, i] ** 2
        for i in range(n if len(matrix) else 0):
            if not gone[i]:
                suspect(i, at + 1, d2[i], length2[i], negative)


@njit(cache=True, nogil=True)
def dpp_one(
    b: int,
    worth: Float,
    weight: float,
    length2: Float,
    scale: Float,
    shift: Float,
    vectors: Any,
    matrix: Float,
    window: int,
    fallback: bool,
    gone: Bool,
    limits: Limits,
    kinds: int,
    relax: bool,
    out: Out,
) -> None:
    """Fill the slate of user b."""
    codes, most, span, until = limits
    order, gain, active, status, negative = out
    mine, count = (codes[b], most, span, until), np.zeros((len(most), kinds), dtype=np.int64)
    result = order[b], gain[b], active[b], status[b], negative[b]
    x, a, n, k = vectors[b], matrix[b], worth.shape[1], order.shape[1]
    options = (gone[b], mine, count, relax, result)
    if window < k:
        dpp_sliding(worth[b], weight, x, a, window, length2[b], fallback, *options)
        return
    volume = length2[b], scale[b], shift[b], np.zeros(k, dtype=np.bool_), np.empty((0 if len(x) else n, k))
    score = np.empty(n)
    for i in range(n):
        score[i] = volume_score(i, worth[b], weight, length2[b, i], volume)
    lazy(worth[b], weight, x, a, score, length2[b].copy(), volume, fallback, *options)


@njit(cache=True, nogil=True, parallel=True)
def dpp_many(
    worth: Float,
    weight: float,
    length2: Float,
    scale: Float,
    shift: Float,
    vectors: Any,
    matrix: Float,
    window: int,
    fallback: bool,
    gone: Bool,
    limits: Limits,
    kinds: int,
    relax: bool,
    out: Out,
) -> None:
    """Fill the slates of all users, in parallel."""
    for b in prange(len(worth)):
        dpp_one(
            b, worth, weight, length2, scale, shift, vectors, matrix, window, fallback, gone, limits, kinds, relax, out
        )
