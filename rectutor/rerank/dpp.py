r"""Greedy search for the most probable set of a determinantal point process (行列式点过程).

What a candidate adds is :math:`\log d_i^2`, its squared distance from the span of the items chosen. Let
:math:`u_1, u_2, \dots` be an orthonormal basis of that span and :math:`c_{ia} = v_i \cdot u_a`; then
:math:`d_i^2 = \|v_i\|^2 - \sum_a c_{ia}^2`. Each chosen item appends one direction, the normalised residual of its
vector. With a kernel there are no vectors, but the coordinates follow from its rows (the incremental Cholesky factor of
Chen, Zhang and Zhou, 2018). The compiled loops are in :mod:`rectutor.rerank.kernels`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from rectutor.fastpath import fast_path
from rectutor.rerank import cases, kernels, reference
from rectutor.rerank.inputs import check_theta, numbers, problem
from rectutor.rerank.rules import Attributes, Rule
from rectutor.rerank.slate import Slate

FLAT = 600.0
"""Up to this spread of worth / weight its exponential neither overflows nor vanishes."""


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
    check: bool = True,
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
        check: whether a kernel is checked, every entry of it, which takes longer than the search; say False for one
            that has been checked before.

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
    p = problem(worth, name, vectors, kernel, "kernel", k, window, rules, attributes, mask, infeasible, check)
    length2 = p.lengths2()
    least, shift = p.worth.min(axis=1), p.worth.max(axis=1)
    if p.masked:
        least, shift = np.where(p.gone, np.inf, p.worth).min(axis=1), np.where(p.gone, -np.inf, p.worth).max(axis=1)
    scale = np.empty((len(shift), 0))
    if (shift - least).max() < FLAT * weight:
        scale = np.exp((p.worth - shift[:, None]) / weight)
    options = (weight, length2, scale, shift, p.vectors, p.matrix, k if window is None else window)
    return p.slate(kernels.dpp_one if p.one else kernels.dpp_many, k, (*options, dependent == "reward"))
