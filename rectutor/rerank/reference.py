r"""Diversity as the papers state it: arg-max over what is left, determinants, one projection after the other.

A re-ranker takes n candidates in the order of the ranker, each with a reward :math:`r_i`, and chooses k of them, one
position after the other. R are the candidates left, R' those that the rules allow, W the ones already chosen, or the
last ``window`` of them. Ties go to the better rank, that is the lower row; gains that differ by rounding alone tie.

Shapes: n candidates, k positions, D dimension of vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp, inf, log, sqrt
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rectutor.rerank.rules import Attributes, Rule

DEPENDENT = 1e-10
"""A residual below this part of the squared length is rounding: the vector adds no volume."""

TIE = 1e-12
"""Gains that differ by less, as a part of their size where that is above 1, are equal."""

Chosen = tuple[list[int], list[float]]
"""Rows in the order of their positions, and the gain of each."""


# -- the loop that all share -----------------------------------------------------------------------------------
def greedy(
    gain: Callable[[int, list[int]], float],
    candidates: Sequence[int],
    k: int,
    rules: Sequence[Rule] = (),
    attributes: Attributes | None = None,
    infeasible: str = "raise",
    fallback: Callable[[int], float] | None = None,
) -> Chosen:
    """Fill position after position with the item of R' that gains most.

    ``gain(i, chosen)`` is -inf where i adds nothing. If that is so for all of R', ``fallback(i)`` decides; without
    one the list ends.
    """
    chosen: list[int] = []
    gains: list[float] = []
    left = list(candidates)
    while len(chosen) < k:
        applied = list(rules)
        while not (allowed := [i for i in left if allows(applied, attributes, chosen, i)]):
            if infeasible == "raise":
                raise ValueError(f"position {len(chosen)}: no item that is left satisfies the rules")
            if infeasible == "stop":
                return chosen, gains
            applied.pop()  # relax: the last rule matters least
        value = {i: gain(i, chosen) for i in allowed}
        if max(value.values()) > -inf:
            best = first_of_the_best(value)
        elif fallback is not None:
            best = first_of_the_best({i: fallback(i) for i in allowed})
        else:
            return chosen, gains
        chosen.append(best)
        gains.append(value[best])
        left.remove(best)
    return chosen, gains


def first_of_the_best(value: Mapping[int, float]) -> int:
    """The lowest row among those whose value is the greatest, up to rounding."""
    top = max(value.values())
    return min(i for i in value if value[i] >= top - TIE * max(1.0, abs(top)))


def allows(rules: Sequence[Rule], attributes: Attributes | None, chosen: Sequence[int], i: int) -> bool:
    """Whether i is in R': all rules let it stand below the items chosen so far."""
    for rule in rules:
        kinds = list(attributes[rule.column]) if attributes is not None else []
        if not rule.allows([kinds[j] for j in chosen], kinds[i]):
            return False
    return True


def everyone(n: int, mask: ArrayLike | None) -> list[int]:
    """The rows that may be chosen."""
    return list(range(n)) if mask is None else [i for i in range(n) if np.asarray(mask)[i]]


# -- maximal marginal relevance ----------------------------------------------------------------------------------
def mmr(
    reward: ArrayLike,
    vectors: ArrayLike | None = None,
    *,
    similarity: ArrayLike | None = None,
    k: int,
    theta: float = 0.5,
    window: int | None = None,
    rules: Sequence[Rule] = (),
    attributes: Attributes | None = None,
    mask: ArrayLike | None = None,
    infeasible: str = "raise",
) -> Chosen:
    r"""Maximal marginal relevance, Carbonell and Goldstein (1998).

    .. math:: \arg\max_{i \in R'} \theta\, r_i - (1 - \theta) \max_{j \in W} s(i, j)
    """
    r = np.asarray(reward, dtype=float)
    s = gram(vectors) if similarity is None else np.asarray(similarity, dtype=float)

    def gain(i: int, chosen: list[int]) -> float:
        w = recent(chosen, window)
        closest = max((s[i, j] for j in w), default=0.0)
        return float(theta * r[i] - (1 - theta) * closest)

    return greedy(gain, everyone(len(r), mask), k, rules, attributes, infeasible)


def recent(chosen: list[int], window: int | None) -> list[int]:
    """W: the last ``window`` of the chosen items."""
    return chosen if window is None else chosen[-window:]


def gram(vectors: ArrayLike | None) -> NDArray[np.float64]:
    """All inner products of the rows, [n, n]."""
    v = np.asarray(vectors, dtype=float)
    return np.array([[float(x @ y) for y in v] for x in v])


# -- volume ------------------------------------------------------------------------------------------------------
def project(v: NDArray[np.float64], onto: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of v along another vector, [D]."""
    return np.asarray((v @ onto) / (onto @ onto) * onto)


def volume(vectors: ArrayLike) -> float:
    """Volume of the parallelotope that the rows span: base times height, one vector after the other.

    The height of a vector is what is left of it when its projections on the earlier heights are taken off, in turn
    (modified Gram-Schmidt, MGS). Its square is the determinant of the rows' inner products.
    """
    heights: list[NDArray[np.float64]] = []
    for v in np.asarray(vectors, dtype=float):
        height = v.copy()
        for h in heights:
            if h @ h > 0:
                height -= project(height, h)
        heights.append(height)
    return float(np.prod([sqrt(h @ h) for h in heights]))


# -- determinantal point processes ---------------------------------------------------------------------------------
def quality_kernel(quality: ArrayLike, kernel: ArrayLike) -> NDArray[np.float64]:
    """L = Diag(q) A Diag(q), Kulesza and Taskar (2012), section 3.1: quality in lengths, diversity in angles."""
    q, a = np.asarray(quality, dtype=float), np.asarray(kernel, dtype=float)
    return np.array([[q[i] * a[i, j] * q[j] for j in range(len(q))] for i in range(len(q))])


def quality_of(reward: ArrayLike, theta: float) -> NDArray[np.float64]:
    r"""The quality that makes log det of L the trade-off of reward and volume: :math:`e^{\theta r / 2 (1 - \theta)}`.

    .. math:: \log \det L_S = \frac{\theta}{1 - \theta} \sum_{i \in S} r_i + \log \det A_S
    """
    return np.array([exp(theta * r / (2 * (1 - theta))) for r in np.asarray(reward, dtype=float)])


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
) -> Chosen:
    r"""Greedy search for the most probable set of a determinantal point process, Gillenwater et al. (2012).

    .. math:: \arg\max_{i \in R'} \theta\, r_i + (1 - \theta) \log \frac{\det A_{W \cup \{i\}}}{\det A_W}

    Every determinant is computed from scratch: :math:`O(n k^4)`.
    """
    a = gram(vectors) if kernel is None else np.asarray(kernel, dtype=float)
    if quality is None:
        worth, weight = theta * np.asarray(reward, dtype=float), 1 - theta
    else:
        worth, weight = np.array([2 * log(q) for q in np.asarray(quality, dtype=float)]), 1.0

    def gain(i: int, chosen: list[int]) -> float:
        if weight == 0:
            return float(worth[i])
        added = determinant_ratio(a, i, independent(a, recent(chosen, window)))
        return float(worth[i] + weight * log(added)) if added > DEPENDENT * a[i, i] else -inf

    fallback = (lambda i: float(worth[i])) if dependent == "reward" else None
    return greedy(gain, everyone(len(worth), mask), k, rules, attributes, infeasible, fallback)


def determinant_ratio(a: NDArray[np.float64], i: int, w: list[int]) -> float:
    """det A_{W and i} / det A_W: the squared distance of vector i from the span of W."""
    return float(np.linalg.det(a[np.ix_([*w, i], [*w, i])]) / np.linalg.det(a[np.ix_(w, w)]))


def independent(a: NDArray[np.float64], items: list[int]) -> list[int]:
    """The items whose vectors add to the span of those before them: det A of the others is zero."""
    w: list[int] = []
    for j in items:
        if determinant_ratio(a, j, w) > DEPENDENT * a[j, j]:
            w.append(j)
    return w


def fast_greedy(kernel: ArrayLike, k: int) -> list[int]:
    r"""Greedy search by an incremental Cholesky factor, Chen, Zhang and Zhou (2018), algorithm 1: :math:`O(n k^2)`.

    With :math:`L_S = V V^\top`, adding i appends the row :math:`(c_i, d_i)` to V, where :math:`V c_i^\top = L_{S,i}`
    and :math:`d_i^2 = L_{ii} - \|c_i\|^2`, and the determinant grows by the factor :math:`d_i^2`. When j is added,
    every other :math:`c_i` gains one entry:

    .. math:: e_i = (L_{ji} - c_j \cdot c_i) / d_j, \; c_i \leftarrow [c_i, e_i], \; d_i^2 \leftarrow d_i^2 - e_i^2
    """
    ell = np.asarray(kernel, dtype=float)
    left = list(range(len(ell)))
    c: dict[int, list[float]] = {i: [] for i in left}
    d2 = {i: float(ell[i, i]) for i in left}
    chosen: list[int] = []
    while len(chosen) < k:
        gain = {i: log(d2[i]) for i in left if d2[i] > DEPENDENT * ell[i, i]}
        if not gain:
            break
        j = first_of_the_best(gain)
        chosen.append(j)
        left.remove(j)
        for i in left:
            e = (ell[j, i] - sum(x * y for x, y in zip(c[j], c[i], strict=True))) / sqrt(d2[j])
            c[i].append(e)
            d2[i] -= e * e
    return chosen


# -- similarity of attributes --------------------------------------------------------------------------------------
def match_similarity(attributes: Attributes, weights: Mapping[str, float]) -> NDArray[np.float64]:
    r"""Weighted share of the attributes in which two items agree, [n, n]; an item without a value agrees with nobody.

    .. math:: s(i, j) = \sum_a w_a [x_{ia} = x_{ja}] / \sum_a w_a
    """
    columns: dict[Any, list[Any]] = {name: list(np.asarray(attributes[name])) for name in weights}
    n = len(next(iter(columns.values())))

    def agreed(i: int, j: int) -> float:
        return sum(weights[a] for a, x in columns.items() if x[i] == x[j] and not pd.isna(x[i]))

    return np.array([[agreed(i, j) / sum(weights.values()) for j in range(n)] for i in range(n)])
