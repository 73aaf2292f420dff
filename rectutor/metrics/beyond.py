"""Beyond accuracy: how much of the catalogue is shown, how new and how different the items of a list are.

Lists are integer arrays of item codes padded with -1; padding is left out everywhere.

Shapes: U users, k list length, I items, D dimension of an item vector.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectutor.fastpath import fast_path
from rectutor.metrics import cases, reference
from rectutor.metrics.inputs import as_lists, finite, no_repeats, whole

BLOCK = 2_048
"""Users worked on at a time where a list opens into k x D or k x k numbers."""


@fast_path(reference.exposure, cases=cases.shown, rtol=0)
def exposure(recommended: ArrayLike, n_items: int) -> NDArray[np.int64]:
    """How often each item was recommended, [I].

    >>> exposure([[0, 2], [2, -1]], n_items=4).tolist()
    [1, 0, 2, 0]
    """
    lists = as_lists(recommended, whole(n_items, "n_items"))
    return np.bincount(lists.ravel() + 1, minlength=n_items + 1)[1:].astype(np.int64)


@fast_path(reference.coverage, cases=cases.shown, rtol=1e-12)
def coverage(recommended: ArrayLike, n_items: int) -> float:
    """The share of the catalogue that is recommended to at least one user.

    Raises:
        ValueError: a code that is not in [0, n_items); -1 is padding.

    >>> coverage([[0, 2], [2, -1]], n_items=4)
    0.5
    """
    return float(np.count_nonzero(exposure(recommended, n_items)) / n_items)


def _mean_of_lists(each: NDArray[np.float64], least: int, per_user: bool) -> Any:
    if per_user:
        return each
    counted = each[~np.isnan(each)]
    if len(counted) == 0:
        raise ValueError(f"no list holds {least} or more items; there is nothing to average")
    return float(counted.mean())


@fast_path(reference.novelty, cases=cases.popular, rtol=1e-12)
def novelty(
    recommended: ArrayLike,
    popularity: ArrayLike,
    kind: Literal["self_information", "popularity"] = "self_information",
    per_user: bool = False,
) -> Any:
    r"""How unexpected the recommended items are: mean self-information (Zhou et al., 2010), or mean popularity.

    .. math:: \frac1U \sum_u \frac{1}{|R_u|} \sum_{i \in R_u} -\log_2 p_i

    Args:
        recommended: lists of item codes [U, k], padded with -1; an empty list is left out (NaN per user).
        popularity: share p of users (or of interactions) that met each item [I].
        kind: ``"self_information"`` in bits, the greater the newer; ``"popularity"`` averages p itself, the smaller the
            newer.
        per_user: return an array [U] instead of the mean.

    Raises:
        ValueError: p outside [0, 1]; p = 0 for a recommended item under self-information (it would be infinite).

    >>> novelty([[0, 1]], [0.5, 0.125]), novelty([[0, 1]], [0.5, 0.125], kind="popularity")
    (2.0, 0.3125)
    """
    p = finite(popularity, "popularity")
    lists = as_lists(recommended, len(p))
    if (p < 0).any() or (p > 1).any():
        item = int(np.argmax((p < 0) | (p > 1)))
        raise ValueError(f"popularity of item {item} is {p[item]}; give shares in [0, 1]: divide counts by the users")
    there = lists >= 0  # [U, k]
    if kind == "self_information":
        zero = there & (p[lists] == 0)
        if zero.any():
            user, rank = np.argwhere(zero)[0]
            raise ValueError(
                f"popularity of item {lists[user, rank]}, recommended to user {user}, is 0, so its self-information is"
                ' infinite; add one to the counts, or use kind="popularity"'
            )
        value = -np.log2(np.where(p > 0, p, 1.0))
    elif kind == "popularity":
        value = p
    else:
        raise ValueError(f'kind is {kind!r}; choose "self_information" or "popularity"')
    with np.errstate(invalid="ignore"):
        each = np.where(there, value[lists], 0.0).sum(axis=1) / there.sum(axis=1)  # [U]
    return _mean_of_lists(each, 1, per_user)


@fast_path(reference.intra_list_diversity, cases=cases.diverse, rtol=1e-9, atol=1e-12)
def intra_list_diversity(
    recommended: ArrayLike, vectors: ArrayLike | None = None, *, similarity: Any = None, per_user: bool = False
) -> Any:
    r"""How different the items of a list are: 1 minus similarity, averaged over its pairs (Ziegler et al., 2005).

    .. math:: \mathrm{ILD}_u = \frac{2}{|R_u| (|R_u| - 1)} \sum_{i < j \in R_u} 1 - s(i, j)

    The fast path needs no pairs for cosine: with unit vectors, the sum over pairs of :math:`x_i \cdot x_j` is
    :math:`(\|\sum_i x_i\|^2 - |R_u|) / 2`.

    Args:
        recommended: lists of item codes [U, k], padded with -1; a list of fewer than two items is left out (NaN per
            user).
        vectors: item vectors [I, D]; similarity is their cosine.
        similarity: instead of vectors, a symmetric matrix [I, I], dense or sparse.
        per_user: return an array [U] instead of the mean.

    Raises:
        ValueError: neither or both of ``vectors`` and ``similarity``; a recommended item with a zero vector; an item
            twice in a list.

    >>> round(intra_list_diversity([[0, 1, 2]], [[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), 4)
    0.6667
    """
    if (vectors is None) == (similarity is None):
        raise ValueError("give either vectors or similarity, not both and not neither")
    if vectors is not None:
        x = np.asarray(vectors, dtype=np.float64)
        if x.ndim != 2 or not np.isfinite(x).all():
            raise ValueError(f"vectors has shape {x.shape}; give finite numbers [items, dimension]")
        lists = as_lists(recommended, len(x))
        norm = np.sqrt((x * x).sum(axis=1))
        zero = (lists >= 0) & (norm[lists] == 0)
        if zero.any():
            item = int(lists[zero][0])
            raise ValueError(f"the vector of item {item} is zero and has no direction; give every item a vector")
        unit = x / np.where(norm > 0, norm, 1.0)[:, None]
        unit = np.vstack([unit, np.zeros(x.shape[1])])  # row -1: padding adds nothing
    else:
        matrix = similarity.tocsr() if hasattr(similarity, "tocsr") else np.asarray(similarity, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"similarity has shape {matrix.shape}; give a square matrix over items")
        lists = as_lists(recommended, int(matrix.shape[0]))
    no_repeats(lists)
    n = (lists >= 0).sum(axis=1)  # [U]
    alike = np.empty(len(lists))  # sum of similarities over ordered pairs
    for a in range(0, len(lists), BLOCK):
        part = lists[a : a + BLOCK]  # [B, k]
        if vectors is not None:
            total = unit[part].sum(axis=1)  # [B, D]
            alike[a : a + BLOCK] = (total * total).sum(axis=1) - n[a : a + BLOCK]
        else:
            rows, columns = np.repeat(part, part.shape[1], axis=1).ravel(), np.tile(part, part.shape[1]).ravel()
            s = np.asarray(matrix[rows, columns], dtype=np.float64).reshape(len(part), -1)  # [B, k * k]
            counted = (rows >= 0) & (columns >= 0) & (rows != columns)
            alike[a : a + BLOCK] = np.where(counted.reshape(s.shape), s, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.where(n >= 2, 1 - alike / (n * (n - 1)), np.nan)
    return _mean_of_lists(each, 2, per_user)


@fast_path(reference.gini, cases=cases.amounts, rtol=1e-10, atol=1e-14)
def gini(amounts: ArrayLike) -> float:
    r"""How unequally something is spread, e.g. the :func:`exposure` of items: 0 evenly, :math:`1 - 1/I` all on one.

    .. math:: G = \frac{\sum_i \sum_j |x_i - x_j|}{2 I \sum_i x_i}
        = \frac{\sum_i (2 i - I - 1)\, x_{(i)}}{I \sum_i x_i}, \qquad x_{(1)} \le \dots \le x_{(I)}

    Items that were never shown count, with 0.

    >>> gini([0, 0, 0, 8]), gini([2, 2, 2, 2])
    (0.75, 0.0)
    """
    x = np.sort(finite(amounts, "amounts"))
    if x[0] < 0 or x[-1] == 0:
        raise ValueError(f"amounts run from {x[0]} to {x[-1]}; they must be >= 0 and not all 0")
    n = len(x)
    return float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * x.sum()))


@fast_path(reference.personalization, cases=cases.lists_only, rtol=1e-10, atol=1e-14)
def personalization(recommended: ArrayLike) -> float:
    """1 minus the mean overlap of two users' lists as a share of k: 0 when everybody gets the same list.

    An item shown to c users is common to c (c - 1) / 2 pairs of them, so no pair has to be formed.

    >>> round(personalization([[0, 1], [0, 2], [3, 4]]), 4)
    0.8333
    """
    lists = as_lists(recommended)
    if lists.min() < -1:
        as_lists(lists, int(lists.max()) + 1)  # raises
    users, k = lists.shape
    if users < 2:
        raise ValueError("recommended has one user; overlap needs two or more")
    no_repeats(lists)
    count = np.unique(lists[lists >= 0], return_counts=True)[1].astype(np.float64)
    return float(1 - (count @ (count - 1)) / (users * (users - 1)) / k)
