"""PureSVD: the truncated singular value decomposition of the matrix, its unknown cells taken as zero.

Source: Cremonesi, Koren and Turrin, Performance of recommender algorithms on top-n recommendation tasks, RecSys 2010,
section 3.2.

Shapes: U users, I items, f factors.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

from rectutor.data import Interactions
from rectutor.fastpath import fast_path
from rectutor.retrieval.cf import factors_cases as cases
from rectutor.retrieval.cf import factors_reference as reference
from rectutor.retrieval.cf.factor_model import FactorModel
from rectutor.retrieval.loops import check_at_least


class PureSVD(FactorModel):
    r"""Truncated singular value decomposition of the zero-filled matrix.

    Cremonesi, Koren and Turrin 2010, equations 5 and 6. With :math:`R \approx U \Sigma Q^\top` and :math:`P = U \Sigma`
    the score of an item is

    .. math:: \hat r_{ui} = p_u^\top q_i = r_u Q q_i .

    There is nothing to draw: the iteration starts from a fixed vector and the sign of each factor is set so that the
    item of greatest weight is positive. A user or item without a positive value has zero factors.

    Args:
        factors: f, less than the number of users and of items.

    Attributes:
        user_factors_: :math:`P`, float32 [U, f].
        item_factors_: :math:`Q`, float32 [I, f].
        singular_values_: float64 [f], descending.

    >>> from scipy import sparse
    >>> likes = sparse.csr_array(np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]))
    >>> model = PureSVD(factors=1).fit(likes)
    >>> model.singular_values_.round(3).tolist(), model.score([0]).round(3).tolist()
    ([2.0], [[1.0, 1.0, 0.0]])
    """

    singular_values_: NDArray[np.float64]

    def __init__(self, factors: int = 50) -> None:
        self.factors = factors

    def fit(self, interactions: Interactions | sparse.csr_array) -> Self:
        """Decompose the matrix of values.

        Raises:
            ValueError: no interactions, a negative or infinite value, factors < 1 or not less than both sides.
        """
        check_at_least("factors", self.factors, 1, whole=True)
        matrix = self._begin(interactions)
        p, values, q = train_pure_svd(matrix, self.factors)
        self.user_factors_ = p.astype(np.float32)
        self.item_factors_ = q.astype(np.float32)
        self.singular_values_ = values
        return self


@fast_path(
    reference.pure_svd,
    cases=cases.pure_svd,
    compare=cases.same_decomposition,
    rtol=1e-8,
    atol=1e-8,
    bench=cases.bench_pure_svd,
    sizes=(100, 300, 1_000),
    unit="users",
)
def train_pure_svd(
    matrix: sparse.csr_array, factors: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """User factors [U, f], singular values [f], item factors [I, f] by the implicitly restarted Lanczos method.

    Factors whose singular value vanishes are determined up to a rotation only; their user factors are zero.
    """
    if factors >= min(matrix.shape):
        raise ValueError(
            f"factors={factors} with a matrix of {matrix.shape}; choose fewer factors than rows and columns"
        )
    start = np.random.default_rng(0).standard_normal(min(matrix.shape))
    u, s, vt = svds(matrix.astype(np.float64), k=factors, v0=start, solver="arpack")  # ascending
    u, s, vt = u[:, ::-1], s[::-1].copy(), vt[::-1]
    strongest = vt[np.arange(factors), np.abs(vt).argmax(axis=1)]
    sign = np.where(strongest < 0, -1.0, 1.0)  # [f]
    return u * s * sign, s, (vt * sign[:, None]).T
