"""Compiled parts that MMR and DPP share: which candidates the rules allow, and the choice among them.

``limits`` are the rules in numbers for one user, (codes [R, n], most, span, until [R]), see
:class:`~rectutor.rerank.rules.Compiled`; ``count`` [R, K] counts the kinds in each rule's span above position ``at``.
Shapes: R rules, n candidates, k positions, K kinds, D dimension.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rectutor.rerank.reference import TIE

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Limits = tuple[NDArray[np.int32], Int, Int, Int]
Out = tuple[Int, Float, Int, Int]
"""Order, gain, number of rules applied [k], and status [2]: how it ended, and the row that was to blame."""

DONE, BLOCKED, NO_VOLUME, NOT_FINITE, NOT_PSD, NOT_SYMMETRIC = range(6)
"""How a slate ended: full, no item allowed, no item with volume; or why there is none: numbers that are not finite, a
kernel with a negative eigenvalue, a matrix that is not symmetric."""

REASSOCIATED = {"reassoc", "nsz", "contract"}
"""Sums may be taken in another order and with fused products; NaN and infinities keep their meaning."""


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
