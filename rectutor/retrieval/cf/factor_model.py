"""What all factor models share: reading interactions, starting factors, scoring and recommending.

Shapes: N interactions, U users, I items, f factors, B users of a batch, k items of a list.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from rectutor.data import Interactions
from rectutor.retrieval.cf.matrix import as_matrix
from rectutor.retrieval.topk import recommend

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


class FactorModel:
    """A model whose score is ``mean + user_bias + item_bias + user_factors . item_factors``.

    Attributes:
        user_factors_: float32 [U, f].
        item_factors_: float32 [I, f].
        mean_: float, 0 in models of implicit feedback.
        user_bias_: float32 [U], zeros where the model has none.
        item_bias_: float32 [I], zeros where the model has none.
    """

    user_factors_: Floats
    item_factors_: Floats
    mean_: float
    user_bias_: Floats
    item_bias_: Floats
    _seen: sparse.csr_array

    def _begin(self, interactions: Interactions | sparse.csr_array) -> sparse.csr_array:
        """Read the interactions and clear the state that not every model has."""
        matrix = read_matrix(interactions)
        self._seen = matrix
        self.mean_ = 0.0
        self.user_bias_ = np.zeros(matrix.shape[0], dtype=np.float32)
        self.item_bias_ = np.zeros(matrix.shape[1], dtype=np.float32)
        return matrix

    def _check_users(self, users: ArrayLike) -> NDArray[np.intp]:
        if not hasattr(self, "user_factors_"):
            raise ValueError(f"this {type(self).__name__} is not fitted yet; call fit first")
        return check_codes(users, "users", len(self.user_factors_))

    def predict(self, users: ArrayLike, items: ArrayLike) -> Floats:
        """Predicted value of each pair ``(users[n], items[n])``, float32 [N].

        Raises:
            ValueError: the model is not fitted, a code is unknown, or the lengths differ.
            TypeError: a code is not an integer.
        """
        u = self._check_users(users)
        i = check_codes(items, "items", len(self.item_factors_))
        if len(u) != len(i):
            raise ValueError(f"users has {len(u)} codes, items has {len(i)}; give one item for each user")
        inner = np.einsum("nf,nf->n", self.user_factors_[u], self.item_factors_[i])  # [N]
        return np.asarray(np.float32(self.mean_) + self.user_bias_[u] + self.item_bias_[i] + inner, dtype=np.float32)

    def score(self, users: ArrayLike) -> Floats:
        """Scores of all items for each user, float32 [B, I]; higher is better.

        Raises:
            ValueError: the model is not fitted or a code is unknown.
            TypeError: a code is not an integer.
        """
        u = self._check_users(users)
        scores: Floats = self.user_factors_[u] @ self.item_factors_.T  # [B, I]
        offset = np.float32(self.mean_) + self.user_bias_[u]
        if offset.any():
            scores += offset[:, None]
        if self.item_bias_.any():
            scores += self.item_bias_
        return scores

    def recommend(self, users: ArrayLike, k: int = 10, *, exclude_seen: bool = True) -> tuple[Ints, Floats]:
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
        u = self._check_users(users)
        return recommend(self.score, u, len(self.item_factors_), k, self._seen if exclude_seen else None)


def read_matrix(interactions: Interactions | sparse.csr_array) -> sparse.csr_array:
    """The U x I matrix in the form the kernels read: float32, canonical CSR, int64 ``indptr``, int32 ``indices``.

    Raises:
        TypeError: neither Interactions nor a CSR array.
        ValueError: no entry, a pair stored twice, a value that is negative, NaN or infinite in float32.
    """
    matrix = as_matrix(interactions)
    if matrix.data.min() < 0:
        raise ValueError(f"the interactions hold the value {matrix.data.min()}; values must be finite and >= 0")
    result = sparse.csr_array(matrix.shape, dtype=np.float32)
    result.data = matrix.data.astype(np.float32, copy=False)
    result.indices = matrix.indices.astype(np.int32, copy=False)
    result.indptr = matrix.indptr.astype(np.int64, copy=False)
    return result


def check_codes(codes: ArrayLike, name: str, n: int) -> NDArray[np.intp]:
    """The codes as an index array, each of them between 0 and n - 1."""
    array = np.atleast_1d(np.asarray(codes))
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; give a flat sequence of codes")
    if array.size == 0:
        return np.empty(0, dtype=np.intp)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(
            f"{name} has dtype {array.dtype}; give integer codes (Interactions.user_codes turns ids to codes)"
        )
    outside = (array < 0) | (array >= n)
    if outside.any():
        raise ValueError(f"unknown code {array[int(np.argmax(outside))]} in {name}; the model knows 0 to {n - 1}")
    return array.astype(np.intp)


def starting_factors(rng: np.random.Generator, n: int, factors: int, init_std: float) -> Floats:
    """Normal numbers with mean 0 and the given standard deviation, float32 [n, f]."""
    return rng.normal(0.0, init_std, (n, factors)).astype(np.float32)


Solver = Literal["cg", "cholesky"]
Negatives = Literal["uniform", "popular"]
