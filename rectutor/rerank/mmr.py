"""Maximal marginal relevance (最大边际相关). The compiled loops are in :mod:`rectutor.rerank.kernels`."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from rectutor.fastpath import fast_path
from rectutor.rerank import cases, kernels, reference
from rectutor.rerank.inputs import check_theta, numbers, problem
from rectutor.rerank.rules import Attributes, Rule
from rectutor.rerank.slate import Slate


@fast_path(
    reference.mmr, cases=cases.mmr, rtol=1e-12, atol=1e-12, compare=cases.same_slate,
    bench=cases.feed, sizes=(30, 100, 1_000, 10_000), unit="candidates",
)  # fmt: skip
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
    check: bool = True,
) -> Slate:
    r"""Choose k candidates one by one, each with much reward and unlike those above it (Carbonell and Goldstein, 1998).

    .. math:: \arg\max_{i \in R'} \theta\, r_i - (1 - \theta) \max_{j \in W} s(i, j)

    R' are the candidates left that the rules allow, W the items chosen so far or the last ``window`` of them; nothing
    is subtracted where W is empty. Ties go to the lower row, so give the candidates in the order of the ranker; gains
    that differ by less than 1e-12 of their size are ties.

    From vectors :math:`O(n k D)` at worst, mostly much less; with a window :math:`O(n k (D + w))`. No n x n matrix is
    made.

    Args:
        reward: the ranker's score of each candidate [n], or [B, n] for a batch of users. It is weighed against
            similarities in [-1, 1], so bring it to a comparable scale.
        vectors: item vectors [n, D] or [B, n, D]; similarity is the inner product of rows as they are, so give unit
            vectors for the cosine.
        similarity: instead of vectors, a symmetric matrix [n, n] or [B, n, n].
        k: positions to fill.
        theta: 1 is reward alone, 0 diversity alone.
        window: how many items above a position count; None: all.
        rules: limits that outrank diversity, the most important first.
        attributes: the columns that the rules name, of the candidates: a frame, or a dictionary of arrays [n] ([B, n]).
        mask: False for rows that may not be chosen, e.g. padding in a batch, bool [n] or [B, n].
        infeasible: what to do at a position for which no item satisfies the rules. "raise": an InfeasibleError;
            "stop": end the slate; "relax": drop the last rule, the last but one, ... for this position. The last two
            leave a note in the slate.
        check: whether a matrix is checked, every entry of it, which takes longer than the search; say False for one
            that has been checked before.

    Raises:
        ValueError: NaN, a matrix that is not symmetric, theta outside [0, 1], k > n, rules that name a column that is
            not there, shapes that do not fit.
        InfeasibleError: see ``infeasible``.

    >>> reward = [0.9, 0.8, 0.5]
    >>> vectors = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]  # the first two are alike
    >>> mmr(reward, vectors, k=3, theta=0.5).order
    array([0, 2, 1])
    """
    theta = check_theta(theta)
    worth = theta * numbers(reward, "reward")
    p = problem(
        worth, "reward", vectors, similarity, "similarity", k, window, rules, attributes, mask, infeasible, check
    )
    window = k if window is None else window
    return p.slate(kernels.mmr_one if p.one else kernels.mmr_many, k, (1 - theta, p.vectors, p.matrix, window))
