r"""Metrics of recommendation lists: what of the first k is liked, what of the liked is among the first k.

For user u with list :math:`R_u` (the first k recommended) and truly liked items :math:`T_u`,

.. math:: \mathrm{precision}_u = \frac{|R_u \cap T_u|}{k}, \qquad \mathrm{recall}_u = \frac{|R_u \cap T_u|}{|T_u|}.

Rules for all functions here:

- ``recommended`` is an integer array of item codes in rank order, padded with -1; padding is never a hit, and precision
  still divides by k. ``truth`` is a sparse array or ``Interactions`` whose row u is what user u likes.
- A user who likes nothing has no recall: it is left out of the means, and stands as NaN under ``per_user=True``.
  ``topk_metrics`` says how many users count; if none does, that is an error.
- k is at most the length of the lists and the size of the catalogue. An item twice in a list is an error.

Shapes: U users, k list length, I items.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectutor.fastpath import fast_path
from rectutor.metrics import cases, reference
from rectutor.metrics.definitions import Gain
from rectutor.metrics.inputs import Truth, as_lists, as_truth, as_weights, bad_code, repeated, whole
from rectutor.metrics.kernels import COLUMNS, in_threads, spans, threads_for, topk_part


def _gains(truth: Truth, gain: str) -> NDArray[np.float64]:
    """The gain of each entry of the truth; empty where all are 1."""
    if gain not in ("binary", "linear", "exponential"):
        raise ValueError(f'gain is {gain!r}; choose "binary", "linear" or "exponential"')
    values = truth.values
    if len(values) == 0 or (gain == "binary" and values.min() > 0 and values.max() < np.inf):
        return np.empty(0)
    with np.errstate(over="ignore"):
        gains = np.exp2(values.astype(np.float64)) - 1 if gain == "exponential" else values.astype(np.float64)
    bad = ~((values > 0) & (gains > 0) & (gains < np.inf))
    if bad.any():
        j = int(np.argmax(bad))
        user = int(np.searchsorted(truth.indptr, j, side="right")) - 1
        raise ValueError(
            f"truth of user {user}, item {truth.indices[j]} has value {values[j]}; values must be positive and finite"
            " (with a finite gain): remove what the user does not like, for zeros by eliminate_zeros()"
        )
    return gains


def _rows(
    recommended: ArrayLike, truth: Any, k: int | None, gain: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """All metrics of all users, [7, U], NaN for one who likes nothing; and who likes something, [U]."""
    lists = as_lists(recommended)  # the kernel checks the codes
    liked = as_truth(truth, len(lists))
    depth = lists.shape[1] if k is None else whole(k, "k")
    if depth > lists.shape[1]:
        raise ValueError(f"k is {depth}, the lists hold {lists.shape[1]} items; recommend more or lower k")
    if depth > liked.n_items:
        raise ValueError(f"k is {depth}, the catalogue has {liked.n_items} items; lower k")
    gains = _gains(liked, gain)
    discount = 1 / np.log2(np.arange(2, depth + 2))  # [k]
    out = np.empty((len(COLUMNS), len(lists)))
    shared = (lists, liked.indptr, liked.indices, gains, discount, liked.n_items)
    parts = spans(len(lists), threads_for(len(lists), 20_000))
    for fault, user, item in in_threads(topk_part, [(*shared, first, last, out) for first, last in parts]):
        if fault == 1:
            raise bad_code(lists, liked.n_items)
        if fault == 2:
            raise repeated(user, item)
        if fault == 3:
            raise ValueError(f"truth names item {item} twice for user {user}; call sum_duplicates() or drop one")
    return out, np.diff(liked.indptr) > 0


def _mean(values: NDArray[np.float64], counted: NDArray[np.bool_], weights: ArrayLike | None) -> list[float]:
    """Means over the users that count, [7]."""
    if not counted.any():
        raise ValueError(
            f"none of the {len(counted)} users in truth likes anything; there is nothing to measure against"
        )
    w = None if weights is None else as_weights(weights, len(counted))
    if not counted.all():
        values, w = values[:, counted], None if w is None else w[counted]
    if w is None:
        return list(values.mean(axis=1).tolist())
    if not w.any():
        raise ValueError("the users who like something all have weight 0; at least one must count")
    return list((values @ w / w.sum()).tolist())


@overload
def topk_metrics(
    recommended: ArrayLike,
    truth: Any,
    k: int | None = None,
    *,
    gain: Gain = "binary",
    weights: ArrayLike | None = None,
    per_user: Literal[False] = False,
) -> dict[str, float]: ...
@overload
def topk_metrics(
    recommended: ArrayLike,
    truth: Any,
    k: int | None = None,
    *,
    gain: Gain = "binary",
    weights: ArrayLike | None = None,
    per_user: Literal[True],
) -> dict[str, NDArray[np.float64]]: ...
@fast_path(
    reference.topk_metrics,
    cases=cases.lists,
    rtol=1e-12,
    bench=cases.lists_of_size,
    sizes=(1_000, 4_000, 16_000),
    unit="users",
)
def topk_metrics(
    recommended: ArrayLike,
    truth: Any,
    k: int | None = None,
    *,
    gain: Gain = "binary",
    weights: ArrayLike | None = None,
    per_user: bool = False,
) -> Any:
    """Recall, precision, F1, hit rate, MRR, MAP and NDCG at k in one pass over the lists.

    Args:
        recommended: item codes in rank order, integers [U, k or more], padded with -1.
        truth: what each user truly likes, a sparse array [U, I] or ``Interactions``; values positive.
        k: how many of each list to look at; None means all.
        gain: what NDCG counts for a liked item: 1, its value, or ``2**value - 1``. The other metrics ignore values.
        weights: a weight for each user [U].
        per_user: return arrays [U] with NaN for users who like nothing, instead of means.

    Returns:
        ``{"recall", "precision", "f1", "hit_rate", "mrr", "map", "ndcg"}``; with means also ``"users"``, how many
        count.

    Raises:
        ValueError: truth without a single liked item, k out of range, a code out of range, an item twice in a list, a
            value that is not positive and finite.
        TypeError: codes that are not integers.

    >>> from scipy.sparse import csr_array
    >>> truth = csr_array([[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    >>> result = topk_metrics([[0, 2], [2, 1], [0, 1]], truth, k=2)
    >>> result["recall"], result["precision"], result["users"]
    (0.25, 0.25, 2)
    """
    values, counted = _rows(recommended, truth, k, gain)  # [7, U], [U]
    if per_user:
        return dict(zip(COLUMNS, values, strict=True))
    result: dict[str, Any] = dict(zip(COLUMNS, _mean(values, counted, weights), strict=True))
    result["users"] = int(np.count_nonzero(counted))
    return result


def _one(name: str, recommended: ArrayLike, truth: Any, k: int | None, options: dict[str, Any]) -> Any:
    return topk_metrics(recommended, truth, k, **options)[name]


@fast_path(reference.recall, cases=cases.lists, rtol=1e-12)
def recall(
    recommended: ArrayLike,
    truth: Any,
    k: int | None = None,
    *,
    weights: ArrayLike | None = None,
    per_user: bool = False,
) -> Any:
    r"""The share of what a user truly likes that is among the first k; mean over users (or one value a user).

    .. math:: \mathrm{recall}@k = \frac{|R_u \cap T_u|}{|T_u|}

    The denominator is all the user likes, also where that is more than k. Arguments as in :func:`topk_metrics`.

    >>> from scipy.sparse import csr_array
    >>> recall([[0, 2]], csr_array([[1, 1, 0, 1]]))
    0.3333333333333333
    """
    return _one("recall", recommended, truth, k, {"weights": weights, "per_user": per_user})


@fast_path(reference.precision, cases=cases.lists, rtol=1e-12)
def precision(
    recommended: ArrayLike,
    truth: Any,
    k: int | None = None,
    *,
    weights: ArrayLike | None = None,
    per_user: bool = False,
) -> Any:
    r"""The share of the first k that the user truly likes; mean over users (or one value a user).

    .. math:: \mathrm{precision}@k = \frac{|R_u \cap T_u|}{k}

    A list padded to fewer than k items still divides by k. Arguments as in :func:`topk_metrics`.

    >>> from scipy.sparse import csr_array
    >>> precision([[0, 2]], csr_array([[1, 1, 0, 1]]))
    0.5
    """
    return _one("precision", recommended, truth, k, {"weights": weights, "per_user": per_user})


@fast_path(reference.f1, cases=cases.lists, rtol=1e-12)
def f1(
    recommended: ArrayLike,
    truth: Any,
    k: int | None = None,
    *,
    weights: ArrayLike | None = None,
    per_user: bool = False,
) -> Any:
    r"""The harmonic mean of precision and recall of a user, 0 where both are 0; mean over users.

    .. math:: F_1 = \frac{2 P R}{P + R} = \frac{2 |R_u \cap T_u|}{k + |T_u|}

    It is taken user by user, not from mean precision and mean recall. Arguments as in :func:`topk_metrics`.

    >>> from scipy.sparse import csr_array
    >>> f1([[0, 2]], csr_array([[1, 1, 0, 1]]))
    0.4
    """
    return _one("f1", recommended, truth, k, {"weights": weights, "per_user": per_user})


@fast_path(reference.hit_rate, cases=cases.lists, rtol=1e-12)
def hit_rate(
    recommended: ArrayLike,
    truth: Any,
    k: int | None = None,
    *,
    weights: ArrayLike | None = None,
    per_user: bool = False,
) -> Any:
    """The share of users with at least one liked item among their first k. Arguments as in :func:`topk_metrics`.

    >>> from scipy.sparse import csr_array
    >>> hit_rate([[0, 2], [0, 2]], csr_array([[1, 1, 0], [0, 1, 0]]))
    0.5
    """
    return _one("hit_rate", recommended, truth, k, {"weights": weights, "per_user": per_user})


@fast_path(reference.mrr, cases=cases.lists, rtol=1e-12)
def mrr(
    recommended: ArrayLike,
    truth: Any,
    k: int | None = None,
    *,
    weights: ArrayLike | None = None,
    per_user: bool = False,
) -> Any:
    """Mean reciprocal rank of the first liked item, 0 without one among the first k.

    Arguments as in :func:`topk_metrics`.

    >>> from scipy.sparse import csr_array
    >>> mrr([[2, 0], [0, 2]], csr_array([[1, 1, 0], [1, 0, 0]]))
    0.75
    """
    return _one("mrr", recommended, truth, k, {"weights": weights, "per_user": per_user})


@fast_path(reference.mean_average_precision, cases=cases.lists, rtol=1e-12)
def mean_average_precision(
    recommended: ArrayLike,
    truth: Any,
    k: int | None = None,
    *,
    weights: ArrayLike | None = None,
    per_user: bool = False,
) -> Any:
    r"""MAP: precision at the rank of each hit, summed over the hits, over the most hits possible; mean over users.

    .. math:: \mathrm{AP}@k = \frac{1}{\min(|T_u|, k)} \sum_{r=1}^{k} \mathrm{precision}@r \cdot [i_r \in T_u]

    Arguments as in :func:`topk_metrics`.

    >>> from scipy.sparse import csr_array
    >>> mean_average_precision([[2, 0, 1]], csr_array([[1, 1, 0]]))
    0.5833333333333333
    """
    return _one("map", recommended, truth, k, {"weights": weights, "per_user": per_user})


@fast_path(reference.ndcg, cases=cases.graded_lists, rtol=1e-12)
def ndcg(
    recommended: ArrayLike,
    truth: Any,
    k: int | None = None,
    *,
    gain: Gain = "binary",
    weights: ArrayLike | None = None,
    per_user: bool = False,
) -> Any:
    r"""Normalised discounted cumulative gain (Järvelin and Kekäläinen, 2002); mean over users.

    .. math:: \mathrm{NDCG}@k = \frac{\sum_{r=1}^{k} g_{r} / \log_2(r + 1)}{\text{the same sum for the best list}}

    Arguments as in :func:`topk_metrics`.

    >>> from scipy.sparse import csr_array
    >>> round(ndcg([[2, 0]], csr_array([[3, 0, 1]]), gain="linear"), 4)
    0.7967
    """
    return _one("ndcg", recommended, truth, k, {"gain": gain, "weights": weights, "per_user": per_user})
