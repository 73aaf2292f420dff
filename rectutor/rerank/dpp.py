r"""Greedy search for the most probable set of a determinantal point process (行列式点过程), as fast as it goes.

What a candidate adds is :math:`\log d_i^2`, its squared distance from the span of the items chosen. Let
:math:`u_1, u_2, \dots` be an orthonormal basis of that span and :math:`c_{ia} = v_i \cdot u_a`; then
:math:`d_i^2 = \|v_i\|^2 - \sum_a c_{ia}^2`. Each chosen item appends one direction, the normalised residual of its
vector. With a kernel there are no vectors, but the coordinates follow from its rows (the incremental Cholesky factor of
Chen, Zhang and Zhou, 2018).

All chosen items: :mod:`rectutor.rerank.lazy`, which refreshes only the candidates that matter. With a window the oldest
direction has to leave again: Givens rotations turn the basis so that what only the oldest item spans is its last
direction, which is dropped. Rotations keep lengths, so nothing is amplified, and :math:`d_i^2` is summed afresh each
round.

Shapes: B users, n candidates, k positions, D dimension, w window, R rules, K kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike

from rectutor.fastpath import fast_path
from rectutor.rerank import cases, reference
from rectutor.rerank.inputs import check_theta, numbers, problem
from rectutor.rerank.kernels import (
    BLOCKED,
    NO_VOLUME,
    NOT_FINITE,
    NOT_PSD,
    Bool,
    Float,
    Int,
    Limits,
    Out,
    best_of,
    enter,
    leave,
    pick,
    product,
)
from rectutor.rerank.lazy import NEGATIVE, lazy, volume_gain, volume_score
from rectutor.rerank.reference import DEPENDENT
from rectutor.rerank.rules import Attributes, Rule
from rectutor.rerank.slate import Slate

FLAT = 600.0
"""Up to this spread of worth / weight its exponential neither overflows nor vanishes."""


@njit(cache=True, nogil=True)
def _lengths2(vectors: Any, matrix: Float, gone: Bool, status: Int) -> Float:
    """Squared lengths [n]."""
    length2 = np.zeros(len(gone))
    for i in range(len(gone)):
        if not gone[i]:
            length2[i] = product(i, i, vectors, matrix)
            if not np.isfinite(length2[i]):
                status[0], status[1] = NOT_FINITE, i
            elif length2[i] < 0:
                status[0], status[1] = NOT_PSD, i
    return length2


@njit(cache=True, nogil=True)
def _drop_oldest(inside: Float, lengths: Float, coordinates: Float, m: int, rank: int) -> int:
    """Turn the basis so that the m items of a window but the oldest need only its first directions; how many they need.

    ``inside`` [w, w] holds the items' coordinates along the ``rank`` directions, oldest first, ``coordinates`` [w, n]
    the others'. Item after item, what is left of it is turned into the next direction; an item that depends on those
    before it needs none. Directions that no item needs leave.
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
            upper, lower = coordinates[p], coordinates[q]
            for j in range(len(upper)):
                x, y = upper[j], lower[j]
                upper[j], lower[j] = cos * x + sin * y, cos * y - sin * x
        if p < rank and inside[i, p] ** 2 > DEPENDENT * lengths[i]:
            p += 1
        inside[i, p:] = 0.0
    inside[: m - 1], lengths[: m - 1] = inside[1:m].copy(), lengths[1:m].copy()
    return p


@njit(cache=True, nogil=True)
def _sliding(
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
    order, gain, active, status = out
    n = len(worth)
    score, d2 = np.empty(n), length2.copy()
    coordinates = np.zeros((window, n))
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
            rank = _drop_oldest(inside, lengths, coordinates, m, rank)
            m -= 1
        rest, inside[m], lengths[m] = length2[best], 0.0, length2[best]
        for a in range(rank):
            inside[m, a] = coordinates[a, best]
            rest -= coordinates[a, best] ** 2
        if rest > DEPENDENT * length2[best]:
            inside[m, rank] = np.sqrt(rest)
            new = coordinates[rank]
            for i in range(n):
                new[i] = 0.0 if gone[i] else product(i, best, vectors, matrix)
            for a in range(rank):
                for i in range(n):
                    new[i] -= inside[m, a] * coordinates[a, i]
            new /= inside[m, rank]
            rank += 1
        m += 1
        d2[:] = length2
        for a in range(rank):
            for i in range(n):
                d2[i] -= coordinates[a, i] ** 2
        for i in range(n if len(matrix) else 0):
            if not gone[i] and d2[i] < NEGATIVE * length2[i]:
                status[0], status[1] = NOT_PSD, i
                return


@njit(cache=True, nogil=True)
def _one(
    b: int,
    worth: Float,
    weight: float,
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
    order, gain, active, status = out
    mine, count = (codes[b], most, span, until), np.zeros((len(most), kinds), dtype=np.int64)
    result = order[b], gain[b], active[b], status[b]
    x, a, n, k = vectors[b], matrix[b], worth.shape[1], order.shape[1]
    length2 = _lengths2(x, a, gone[b], status[b])
    if status[b, 0]:
        return
    options = (gone[b], mine, count, relax, result)
    if window < k:
        _sliding(worth[b], weight, x, a, window, length2, fallback, *options)
        return
    volume = length2, scale[b], shift[b], np.zeros(k, dtype=np.bool_), np.empty((0 if len(x) else n, k))
    score = np.empty(n)
    for i in range(n):
        score[i] = volume_score(i, worth[b], weight, length2[i], volume)
    lazy(worth[b], weight, x, a, score, length2.copy(), volume, fallback, *options)


@njit(cache=True, nogil=True, parallel=True)
def _many(
    worth: Float,
    weight: float,
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
        _one(b, worth, weight, scale, shift, vectors, matrix, window, fallback, gone, limits, kinds, relax, out)


@fast_path(
    reference.dpp, cases=cases.dpp, rtol=1e-8, atol=1e-8, compare=cases.same_slate,
    bench=cases.feed, sizes=(30, 100, 1_000, 10_000), unit="candidates",
)  # fmt: skip
def dpp(
    reward: ArrayLike | None = None,
    vectors: ArrayLike | None = None,
    *,
    kernel: ArrayLike | None = None,
    quality: ArrayLike | None = None,
    k: int,
    theta: float = 0.5,
    window: int | None = None,
    rules: Sequence[Rule] = (),
    attributes: Attributes | None = None,
    mask: ArrayLike | None = None,
    infeasible: str = "raise",
    dependent: str = "reward",
) -> Slate:
    r"""Choose k candidates one by one, each with much reward and much volume beside those above it.

    Greedy search for the most probable set of a determinantal point process (Gillenwater, Kulesza and Taskar, 2012;
    incremental as in Chen, Zhang and Zhou, 2018).

    .. math:: \arg\max_{i \in R'} \theta\, r_i + (1 - \theta) \log \frac{\det A_{W \cup \{i\}}}{\det A_W},
        \qquad A = V V^\top

    R' are the candidates left that the rules allow, W the items chosen so far or the last ``window`` of them; the ratio
    is the squared distance of vector i from the span of W. Ties go to the lower row, so give the candidates in the
    order of the ranker; gains that differ by less than 1e-12 of their size are ties.

    From vectors :math:`O(n k D)` at worst, mostly much less, and no n x n matrix is made; from a kernel
    :math:`O(n k^2)`; with a window :math:`O(n k (D + w))` and :math:`O(n k w)`.

    Args:
        reward: the ranker's score of each candidate [n], or [B, n] for a batch of users.
        vectors: item vectors [n, D] or [B, n, D], of any length; unit vectors leave quality to the reward.
        kernel: instead of vectors, their inner products [n, n] or [B, n, n].
        quality: instead of ``reward`` and ``theta``, positive factors q [n] or [B, n] of the kernel
            L = Diag(q) A Diag(q); the gain is the growth of log det L.
        k: positions to fill.
        theta: 1 is reward alone, 0 volume alone.
        window: how many items above a position count; None: all.
        rules: limits that outrank diversity, the most important first.
        attributes: the columns that the rules name, of the candidates: a frame, or a dictionary of arrays [n] ([B, n]).
        mask: False for rows that may not be chosen, e.g. padding in a batch, bool [n] or [B, n].
        infeasible: what to do at a position for which no item satisfies the rules. "raise": an InfeasibleError;
            "stop": end the slate; "relax": drop the last rule, the last but one, ... for this position. The last two
            leave a note in the slate.
        dependent: what to do where no allowed item adds volume, because the vectors lie in the span of W (their squared
            distance is below 1e-10 of their squared length): "reward" gives this position to the greatest reward,
            "stop" ends the slate. Both leave a note. It comes to this at the latest when k exceeds the rank.

    Raises:
        ValueError: NaN, a kernel that is not symmetric or seen to have a negative eigenvalue, theta outside [0, 1],
            k > n, rules that name a column that is not there, shapes that do not fit.
        InfeasibleError: see ``infeasible``.

    >>> reward = [0.9, 0.8, 0.5]
    >>> vectors = [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]  # the first two are nearly alike
    >>> dpp(reward, vectors, k=3, theta=0.5).order
    array([0, 2, 1])
    """
    if (reward is None) == (quality is None):
        raise ValueError("give either reward (with theta) or quality, not both and not neither")
    if dependent not in ("reward", "stop"):
        raise ValueError(f'dependent is {dependent!r}; say "reward" or "stop"')
    if reward is not None:
        name, theta = "reward", check_theta(theta)
        worth, weight = theta * numbers(reward, name), 1 - theta
    else:
        assert quality is not None
        name, q = "quality", numbers(quality, "quality")
        may = (
            np.asarray(mask, dtype=bool) if mask is not None and np.asarray(mask).shape == q.shape else True
        )  # other shapes are refused below
        bad = ~(q > 0) & may
        if bad.any():
            raise ValueError(f"quality has {q[bad][0]}; it must be positive")
        worth, weight = 2 * np.log(np.where(q > 0, q, 1.0)), 1.0
    p = problem(worth, name, vectors, kernel, "kernel", k, window, rules, attributes, mask, infeasible)
    shift = np.where(p.gone, -np.inf, p.worth).max(axis=1)
    spread = float((shift - np.where(p.gone, np.inf, p.worth).min(axis=1)).max())
    if spread < FLAT * weight:
        scale = np.exp(np.where(p.gone, 0.0, p.worth - shift[:, None]) / weight)
    else:
        scale = np.empty((len(shift), 0))
    options = (weight, scale, shift, p.vectors, p.matrix, k if window is None else window, dependent == "reward")
    return p.slate(_one if p.one else _many, k, options)
