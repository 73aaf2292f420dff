"""Recommending from neighbours: what similar users liked (UserCF), what is similar to the user's items (ItemCF).

Shapes: N interactions, U users, I items, B users of a batch, Q user-item pairs, k neighbours or items of a list.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from rectutor.data.interactions import Interactions
from rectutor.fastpath import fast_path
from rectutor.retrieval.cf import cases, reference
from rectutor.retrieval.cf.factor_model import check_codes
from rectutor.retrieval.cf.matrix import as_matrix
from rectutor.retrieval.cf.similarity import (
    By,
    adjusted_cosine,
    bm25,
    cosine,
    dot,
    jaccard,
    pearson,
    swing,
    tfidf,
)
from rectutor.retrieval.topk import recommend

Measure = Literal["jaccard", "dot", "cosine", "pearson", "adjusted_cosine", "swing"]
Similarity: TypeAlias = Measure | Callable[..., sparse.csr_array] | sparse.csr_array
Log: TypeAlias = Interactions | sparse.csr_array

MEASURES: dict[str, Callable[..., sparse.csr_array]] = {
    "jaccard": jaccard,
    "dot": dot,
    "cosine": cosine,
    "pearson": pearson,
    "adjusted_cosine": adjusted_cosine,
    "swing": swing,
}


# -- compiled loops ----------------------------------------------------------------------------------
@njit(cache=True, nogil=True)
def _rows_times(
    rows: NDArray[np.intp],
    start: NDArray[np.int64],
    column: NDArray[np.int32],
    value: NDArray[np.float64],
    other_start: NDArray[np.int64],
    other_column: NDArray[np.int32],
    other_value: NDArray[np.float64],
    result: NDArray[np.float32],
) -> None:
    """result = A[rows] @ B for CSR matrices A and B, as a dense matrix [B, I]."""
    total = np.empty(result.shape[1])
    for b in range(len(rows)):
        total[:] = 0.0
        for p in range(start[rows[b]], start[rows[b] + 1]):
            x = value[p]
            for q in range(other_start[column[p]], other_start[column[p] + 1]):
                total[other_column[q]] += x * other_value[q]
        for i in range(len(total)):
            result[b, i] = total[i]


@njit(cache=True, nogil=True)
def _nearest_votes(
    rows: NDArray[np.intp],
    start: NDArray[np.int64],
    near: NDArray[np.int32],
    weight: NDArray[np.float64],
    log_start: NDArray[np.int64],
    column: NDArray[np.int32],
    value: NDArray[np.float64],
    k: int,
    result: NDArray[np.float32],
) -> None:
    """As ``_rows_times``, but an item hears only the first k neighbours who met it; neighbours come nearest first."""
    total = np.empty(result.shape[1])
    heard = np.empty(result.shape[1], dtype=np.int32)
    for b in range(len(rows)):
        total[:] = 0.0
        heard[:] = 0
        for p in range(start[rows[b]], start[rows[b] + 1]):
            for q in range(log_start[near[p]], log_start[near[p] + 1]):
                if heard[column[q]] < k:
                    heard[column[q]] += 1
                    total[column[q]] += weight[p] * value[q]
        for i in range(len(total)):
            result[b, i] = total[i]


@njit(cache=True, nogil=True)
def _stored_at(start: NDArray[np.int64], column: NDArray[np.int32], row: int, wanted: int) -> int:
    """Where the entry (row, wanted) of a canonical CSR matrix is stored; -1 if it is not."""
    low, high = start[row], start[row + 1]
    while low < high:
        middle = (low + high) >> 1
        if column[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < start[row + 1] and column[low] == wanted else -1


@njit(cache=True, nogil=True)
def _weighted_means(
    users: NDArray[np.intp],
    items: NDArray[np.intp],
    start: NDArray[np.int64],
    column: NDArray[np.int32],
    value: NDArray[np.float64],
    near_start: NDArray[np.int64],
    near: NDArray[np.int32],
    weight: NDArray[np.float64],
    mean: NDArray[np.float64],
    by_user: bool,
    k: int,
    result: NDArray[np.float32],
) -> None:
    """Ratings predicted from neighbouring users (deviations from their means) or neighbouring items (their values).

    Of the neighbours that have a rating to offer the first k take part.
    """
    for q in range(len(users)):
        u, i = users[q], items[q]
        centre = u if by_user else i
        top = 0.0
        bottom = 0.0
        heard = 0
        for p in range(near_start[centre], near_start[centre + 1]):
            if heard == k:
                break
            c = near[p]
            at = _stored_at(start, column, c if by_user else u, i if by_user else c)
            if at >= 0:
                heard += 1
                top += weight[p] * (value[at] - mean[c] if by_user else value[at])
                bottom += abs(weight[p])
        if bottom > 0:
            result[q] = top / bottom + (mean[u] if by_user else 0.0)
        else:
            result[q] = mean[u]


def _log(interactions: Log) -> sparse.csr_array:
    """The user-item matrix that a model is fitted on: no negative value."""
    matrix = as_matrix(interactions)
    if matrix.data.min() < 0:
        raise ValueError(
            f"the interactions hold the value {matrix.data.min()}; values must be >= 0: drop the row or shift the scale"
        )
    return matrix


def _parts(matrix: sparse.csr_array) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """The arrays of a CSR matrix in the types that the loops are compiled for."""
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32, copy=False), matrix.data.astype(np.float64)


def _nearest_first(similarity: sparse.csr_array) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """The arrays of a similarity matrix with each row's neighbours in falling order, equals by rising code."""
    start, near, weight = _parts(similarity)
    row = np.repeat(np.arange(len(start) - 1), np.diff(start))
    order = np.lexsort((near, -weight, row))
    return start, near[order], weight[order]


def _check_heard(k: int | None) -> int:
    """How many neighbours an item may hear, as the loops take it."""
    if k is not None and k < 1:
        raise ValueError(f"k is {k}; hear at least one neighbour, or say None to hear all")
    return np.iinfo(np.int32).max if k is None else k


def _means(matrix: sparse.csr_array) -> NDArray[np.float64]:
    """Mean rating of each user [U]; the mean of all ratings for users without any."""
    degree = np.diff(matrix.indptr)
    total = np.asarray(matrix.sum(axis=1, dtype=np.float64))
    mean: NDArray[np.float64] = np.where(degree > 0, total / np.maximum(degree, 1), matrix.data.mean(dtype=np.float64))
    return mean


# -- scores as functions -----------------------------------------------------------------------------
def _times(left: sparse.csr_array, right: sparse.csr_array, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    result = np.empty((len(rows), right.shape[1]), dtype=np.float32)
    _rows_times(rows, *_parts(left), *_parts(right), result)
    return result


@fast_path(reference.popular_scores, cases=cases.users_of_log, rtol=0.0)
def popular_scores(interactions: Log, users: ArrayLike) -> NDArray[np.float32]:
    """How many users met each item, the same row for every user of the batch, float32 [B, I].

    >>> popular_scores(sparse.csr_array(np.array([[1, 0], [1, 5]])), [0, 1]).tolist()
    [[2.0, 1.0], [2.0, 1.0]]
    """
    matrix = as_matrix(interactions)
    rows = check_codes(users, "users", matrix.shape[0])
    met = np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.float32)
    return np.tile(met, (len(rows), 1))


@fast_path(
    reference.user_scores,
    cases=cases.users_and_neighbours,
    rtol=1e-6,
    atol=1e-7,
    bench=cases.growing_user_scores,
    sizes=cases.SIZES,
    unit="interactions",
)
def user_scores(
    similarity: sparse.csr_array, interactions: Log, users: ArrayLike, k: int | None = None
) -> NDArray[np.float32]:
    r"""Similarity-weighted sum of what the neighbours of each user gave, float32 [B, I].

    .. math:: score(u, i) = \sum_{v \in N(u)} s(u, v) x_{vi}

    With ``k``, only the k most similar of the neighbours who met item i are heard on it, ties to the lower code
    (Herlocker et al., An algorithmic framework for performing collaborative filtering, SIGIR 1999).

    >>> near = sparse.csr_array(np.array([[0.0, 0.5], [0.5, 0.0]]))
    >>> user_scores(near, sparse.csr_array(np.array([[1, 0], [1, 4]])), [0]).tolist()
    [[0.5, 2.0]]
    """
    matrix = as_matrix(interactions)
    rows = check_codes(users, "users", matrix.shape[0])
    if k is None:
        return _times(similarity, matrix, rows)
    result = np.empty((len(rows), matrix.shape[1]), dtype=np.float32)
    _nearest_votes(rows, *_nearest_first(similarity), *_parts(matrix), _check_heard(k), result)
    return result


@fast_path(
    reference.item_scores,
    cases=cases.users_and_similar_items,
    rtol=1e-6,
    atol=1e-7,
    bench=cases.growing_item_scores,
    sizes=cases.SIZES,
    unit="interactions",
)
def item_scores(similarity: sparse.csr_array, interactions: Log, users: ArrayLike) -> NDArray[np.float32]:
    r"""What is near the items of each user, weighted by what he gave them, float32 [B, I].

    Deshpande and Karypis, Item-based top-N recommendation algorithms, TOIS 2004: each item of the user votes for its
    own k neighbours.

    .. math:: score(u, j) = \sum_{i \in I_u,\; j \in N_k(i)} x_{ui} s(i, j)

    >>> near = sparse.csr_array(np.array([[0.0, 0.5], [0.5, 0.0]]))
    >>> item_scores(near, sparse.csr_array(np.array([[3, 0], [1, 4]])), [0]).tolist()
    [[0.0, 1.5]]
    """
    matrix = as_matrix(interactions)
    return _times(matrix, similarity, check_codes(users, "users", matrix.shape[0]))


def _predict(
    similarity: sparse.csr_array,
    matrix: sparse.csr_array,
    users: ArrayLike,
    items: ArrayLike,
    *,
    by_user: bool,
    k: int | None = None,
) -> NDArray[np.float32]:
    u, i = check_codes(users, "users", matrix.shape[0]), check_codes(items, "items", matrix.shape[1])
    if len(u) != len(i):
        raise ValueError(f"users has {len(u)} codes, items has {len(i)}; give one item for each user")
    result = np.empty(len(u), dtype=np.float32)
    near = _parts(similarity) if k is None else _nearest_first(similarity)
    _weighted_means(u, i, *_parts(matrix), *near, _means(matrix), by_user, _check_heard(k), result)
    return result


@fast_path(reference.user_predict, cases=cases.pairs_and_neighbours, rtol=1e-6, atol=1e-7)
def user_predict(
    similarity: sparse.csr_array, interactions: Log, users: ArrayLike, items: ArrayLike, k: int | None = None
) -> NDArray[np.float32]:
    r"""Rating of each pair from the deviations of the user's neighbours, float32 [Q].

    Resnick et al., GroupLens: an open architecture for collaborative filtering of netnews, CSCW 1994. Where no
    neighbour rated the item the answer is the user's mean.

    .. math:: \hat r_{ui} = \bar r_u
        + \frac{\sum_{v \in N(u)} s(u, v) (r_{vi} - \bar r_v)}{\sum_{v \in N(u)} |s(u, v)|}

    Only neighbours who rated i take part in the sums; with ``k``, only the k most similar of these.

    >>> near = sparse.csr_array(np.array([[0.0, 0.5], [0.5, 0.0]]))
    >>> user_predict(near, sparse.csr_array(np.array([[3, 0], [1, 4]])), [0], [1]).tolist()
    [4.5]
    """
    return _predict(similarity, as_matrix(interactions), users, items, by_user=True, k=k)


@fast_path(reference.item_predict, cases=cases.pairs_and_similar_items, rtol=1e-6, atol=1e-7)
def item_predict(
    similarity: sparse.csr_array, interactions: Log, users: ArrayLike, items: ArrayLike
) -> NDArray[np.float32]:
    r"""Rating of each pair as the weighted mean of what the user gave to the item's neighbours, float32 [Q].

    Sarwar et al., Item-based collaborative filtering recommendation algorithms, WWW 2001, section 3.2.1. Where the
    user rated none of the neighbours the answer is his mean.

    .. math:: \hat r_{ui} = \frac{\sum_{j \in N_k(i)} s(i, j) r_{uj}}{\sum_{j \in N_k(i)} |s(i, j)|}

    Only neighbours that u rated take part in the sums.

    >>> near = sparse.csr_array(np.array([[0.0, 0.5], [0.5, 0.0]]))
    >>> item_predict(near, sparse.csr_array(np.array([[3, 0], [1, 4]])), [0], [1]).tolist()
    [3.0]
    """
    return _predict(similarity, as_matrix(interactions), users, items, by_user=False)


# -- models ------------------------------------------------------------------------------------------
class _NeighbourModel:
    """State and recommending that Popular, UserCF and ItemCF share."""

    matrix_: sparse.csr_array

    def score(self, users: ArrayLike) -> NDArray[np.float32]:
        raise NotImplementedError

    def _fitted(self) -> sparse.csr_array:
        if not hasattr(self, "matrix_"):
            raise ValueError(f"this {type(self).__name__} is not fitted yet; call fit first")
        return self.matrix_

    def recommend(
        self, users: ArrayLike, k: int = 10, *, exclude_seen: bool = True
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The k best items of each user, best first, ties to the lower code.

        Args:
            users: user codes [B].
            k: length of the lists, at most the number of items.
            exclude_seen: leave out the items the user has in the interactions the model was fitted on.

        Returns:
            item codes int32 [B, k] and scores float32 [B, k]; -1 and -inf fill a list that runs out of items.

        Raises:
            ValueError: the model is not fitted, a code is unknown, k < 1 or k larger than the catalogue.
            TypeError: a code is not an integer.
        """
        matrix = self._fitted()
        codes = check_codes(users, "users", matrix.shape[0])
        return recommend(self.score, codes, matrix.shape[1], k, matrix if exclude_seen else None)


class Popular(_NeighbourModel):
    """The same list for everybody: items by how many users met them. What every other model has to beat.

    >>> model = Popular().fit(sparse.csr_array(np.array([[1, 0, 0], [1, 5, 0]])))
    >>> model.recommend([0], 2)[0].tolist(), model.recommend([0], 2, exclude_seen=False)[0].tolist()
    ([[1, 2]], [[0, 1]])
    """

    def fit(self, interactions: Log) -> Self:
        """Count; ValueError where the interactions are empty or a value is negative or not finite."""
        self.matrix_ = _log(interactions)
        return self

    def score(self, users: ArrayLike) -> NDArray[np.float32]:
        """Number of users who met each item, float32 [B, I]."""
        return popular_scores(self._fitted(), users)


class _Neighbours(_NeighbourModel):
    """Parameters and fitting that UserCF and ItemCF share."""

    similarity_: sparse.csr_array
    _by: By

    def __init__(
        self,
        similarity: Similarity = "cosine",
        k: int | None = 50,
        *,
        shrink: float = 0.0,
        damping: float = 0.5,
        iuf: bool = False,
        min_common: int | None = None,
        weighting: Literal["tfidf", "bm25"] | None = None,
        k1: float = 1.2,
        b: float = 0.75,
        normalize: bool = False,
    ) -> None:
        self.similarity = similarity
        self.k = k
        self.shrink = shrink
        self.damping = damping
        self.iuf = iuf
        self.min_common = min_common
        self.weighting = weighting
        self.k1 = k1
        self.b = b
        self.normalize = normalize

    def _kept(self) -> int | None:
        """How many neighbours of each row the similarity matrix keeps."""
        return self.k

    def _measure(self) -> Callable[..., sparse.csr_array]:
        """The similarity as a function of (matrix, by=...), with the parameters that concern it."""
        plain = self.damping == 0.5 and not self.iuf
        if callable(self.similarity):
            if not plain or self.shrink != 0 or self.min_common is not None:
                raise ValueError(
                    "shrink, damping, iuf and min_common do not reach a similarity of your own; bind them with"
                    " functools.partial"
                )
            return partial(self.similarity, k=self._kept())
        if not isinstance(self.similarity, str) or self.similarity not in MEASURES:
            raise ValueError(f"similarity is {self.similarity!r}; say one of {', '.join(MEASURES)}")
        measure = partial(MEASURES[self.similarity], k=self._kept(), shrink=self.shrink)
        if self.min_common is not None:
            measure = partial(measure, min_common=self.min_common)
        if self.similarity == "cosine":
            return partial(measure, damping=self.damping, iuf=self.iuf)
        if not plain:
            raise ValueError(f"damping and iuf belong to the cosine; similarity is {self.similarity!r}")
        return measure

    def fit(self, interactions: Log) -> Self:
        """Compute ``similarity_``, unless it was given.

        Raises:
            ValueError: the interactions are empty, a value is negative or not finite, a parameter is out of range or
                does not belong to the similarity.
        """
        matrix = _log(interactions)
        n = matrix.shape[1] if self._by == "item" else matrix.shape[0]
        if isinstance(self.similarity, sparse.sparray | sparse.spmatrix):
            if self.similarity.shape != (n, n):
                raise ValueError(
                    f"similarity has shape {self.similarity.shape}, the interactions have {n} {self._by}s;"
                    f" give a matrix [{n}, {n}]"
                )
            similarity = sparse.csr_array(self.similarity)
        else:
            measure = self._measure()
            similarity = measure(self._weighted(matrix), by=self._by)
        if not similarity.has_canonical_format:
            similarity = similarity.copy()
            similarity.sum_duplicates()
        if self.normalize:
            similarity = _row_maximum_one(similarity)
        self.matrix_, self.similarity_ = matrix, similarity
        return self

    def _weighted(self, matrix: sparse.csr_array) -> sparse.csr_array:
        """The matrix with what is compared - items or users - weighted as documents."""
        if self.weighting is None:
            return matrix
        if self.weighting not in ("tfidf", "bm25"):
            raise ValueError(f'weighting is {self.weighting!r}; say "tfidf", "bm25" or None')
        documents = sparse.csr_array(matrix.T) if self._by == "item" else matrix
        weighted = tfidf(documents) if self.weighting == "tfidf" else bm25(documents, self.k1, self.b)
        return sparse.csr_array(weighted.T) if self._by == "item" else weighted


def _row_maximum_one(similarity: sparse.csr_array) -> sparse.csr_array:
    """Each row divided by its greatest entry; rows without a positive entry stay as they are."""
    degree = np.diff(similarity.indptr)
    greatest = np.ones(similarity.shape[0], dtype=similarity.dtype)
    filled = degree > 0
    if filled.any():
        greatest[filled] = np.maximum.reduceat(similarity.data, similarity.indptr[:-1][filled])
    greatest[greatest <= 0] = 1
    data = similarity.data / np.repeat(greatest, degree)
    return sparse.csr_array((data, similarity.indices, similarity.indptr), shape=similarity.shape)


class UserCF(_Neighbours):
    """Collaborative filtering by users: people like you liked it.

    Args:
        similarity: a measure by name, a function ``(matrix, by=, k=)`` that returns a CSR matrix, or that matrix
            [U, U] itself, which is then used as it is.
        k: neighbours of each user; None takes all with a common item.
        among: "all" takes the k most similar users, whatever they met; "raters" takes, item by item, the k most similar
            of those who met the item (Herlocker et al. 1999). That keeps the similarities of all pairs of users: for
            up to some ten thousand users.
        shrink, min_common: see :mod:`rectutor.retrieval.cf.similarity`.
        damping, iuf: of the cosine only; ``iuf`` here discounts popular items.
        weighting: "tfidf" or "bm25" (with k1 and b) before similarities are computed, users being the documents.
        normalize: divide each user's similarities by the greatest.

    Attributes:
        similarity_: CSR [U, U].
        matrix_: the interactions [U, I].

    >>> clicks = sparse.csr_array(np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]]))
    >>> UserCF(k=1).fit(clicks).recommend([0], 1)[0].tolist()
    [[2]]
    """

    _by: By = "user"

    def __init__(
        self,
        similarity: Similarity = "cosine",
        k: int | None = 50,
        *,
        among: Literal["all", "raters"] = "all",
        **options: Any,
    ) -> None:
        super().__init__(similarity, k, **options)
        self.among = among

    def _kept(self) -> int | None:
        if self.among not in ("all", "raters"):
            raise ValueError(f'among is {self.among!r}; say "all" or "raters"')
        return None if self.among == "raters" else self.k

    def _heard(self) -> int | None:
        """How many neighbours are heard on an item."""
        return self.k if self.among == "raters" else None

    def score(self, users: ArrayLike) -> NDArray[np.float32]:
        """Scores of all items for each user, float32 [B, I]; see :func:`user_scores`."""
        matrix = self._fitted()
        return user_scores(self.similarity_, matrix, users, self._heard())

    def predict(self, users: ArrayLike, items: ArrayLike) -> NDArray[np.float32]:
        """Predicted rating of each pair, float32 [Q]; see :func:`user_predict`."""
        matrix = self._fitted()
        return user_predict(self.similarity_, matrix, users, items, self._heard())


class ItemCF(_Neighbours):
    """Collaborative filtering by items: people who liked this also liked that. It knows nothing of the content.

    Args:
        similarity: a measure by name, a function ``(matrix, by=, k=)`` that returns a CSR matrix, or that matrix
            [I, I] itself, which is then used as it is.
        k: neighbours of each item; None takes all with a common user.
        shrink, min_common: see :mod:`rectutor.retrieval.cf.similarity`.
        damping, iuf: of the cosine only; ``damping`` above 0.5 holds popular neighbours down, ``iuf`` busy users.
        weighting: "tfidf" or "bm25" (with k1 and b) before similarities are computed, items being the documents.
        normalize: divide each item's similarities by the greatest.

    Attributes:
        similarity_: CSR [I, I].
        matrix_: the interactions [U, I].

    >>> clicks = sparse.csr_array(np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]]))
    >>> ItemCF().fit(clicks).recommend([0], 1)[0].tolist()
    [[2]]
    """

    _by: By = "item"

    def score(self, users: ArrayLike) -> NDArray[np.float32]:
        """Scores of all items for each user, float32 [B, I]; see :func:`item_scores`."""
        matrix = self._fitted()
        return item_scores(self.similarity_, matrix, users)

    def predict(self, users: ArrayLike, items: ArrayLike) -> NDArray[np.float32]:
        """Predicted rating of each pair, float32 [Q]; see :func:`item_predict`."""
        matrix = self._fitted()
        return item_predict(self.similarity_, matrix, users, items)
