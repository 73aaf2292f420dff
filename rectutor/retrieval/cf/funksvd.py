"""FunkSVD: explain ratings by means, biases and a few hidden factors, learned rating by rating.

Source: Funk, Netflix update: try this at home, 2006; with biases: Koren, Bell and Volinsky, Matrix factorization
techniques for recommender systems, IEEE Computer 42(8), 2009, equations 4 and 5.

Shapes: N ratings, U users, I items, f factors, B blocks.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy import sparse

from rectutor.data import Interactions
from rectutor.fastpath import fast_path
from rectutor.retrieval.cf import factors_cases as cases
from rectutor.retrieval.cf import factors_reference as reference
from rectutor.retrieval.cf.blocks import choose_blocks, deal, sort_into_cells
from rectutor.retrieval.cf.factor_model import FactorModel, Floats, read_matrix, starting_factors
from rectutor.retrieval.loops import REASSOCIATE, bar, check_at_least, threads

LEAST_RATINGS = 50_000
"""Ratings a cell should hold: in small cells a user's ratings are visited far apart, and the error is higher."""


class FunkSVD(FactorModel):
    r"""Matrix factorization of ratings by stochastic gradient descent, with biases.

    Koren, Bell and Volinsky 2009, equations 4 and 5. A rating is predicted as

    .. math:: \hat r_{ui} = \mu + b_u + b_i + p_u^\top q_i

    and each rating in turn moves its parameters against the gradient of half of
    :math:`(r_{ui} - \hat r_{ui})^2 + \lambda (b_u^2 + b_i^2 + \lVert p_u \rVert^2 + \lVert q_i \rVert^2)`. With
    :math:`e = r_{ui} - \hat r_{ui}` and the rate :math:`\gamma`,

    .. math:: b_u \mathrel{+}= \gamma (e - \lambda b_u), \quad b_i \mathrel{+}= \gamma (e - \lambda b_i), \quad
              p_u \mathrel{+}= \gamma (e\, q_i - \lambda p_u), \quad q_i \mathrel{+}= \gamma (e\, p_u - \lambda q_i).

    Ratings are visited user by user, cell by cell of disjoint blocks (:mod:`rectutor.retrieval.cf.blocks`), so a seed
    gives one result whatever the number of threads. A user without a rating keeps no bias and no factors and is
    predicted :math:`\mu + b_i`; likewise an item.

    Args:
        factors: f, length of the hidden vectors.
        epochs: passes over the ratings.
        learning_rate: :math:`\gamma`.
        reg: :math:`\lambda`, at least 0.
        biased: learn :math:`\mu, b_u, b_i`; without them :math:`\hat r_{ui} = p_u^\top q_i`.
        init_std: standard deviation of the starting factors.
        blocks: B; None chooses by the shape of the data. One block is plain SGD on one thread.
        patience: with validation ratings, stop after so many epochs without a lower RMSE there and go back to the best
            epoch; None runs all epochs.
        n_threads: threads of the compiled loops; None for all, or one where there is little to do. It changes the time
            only.
        seed: draws the starting factors and the blocks.
        progress: show a progress bar always, never, or (None) when fitting lasts over two seconds.

    Attributes:
        mean_, user_bias_, item_bias_: :math:`\mu`, float; :math:`b_u`, float32 [U]; :math:`b_i`, float32 [I].
        user_factors_, item_factors_: float32 [U, f] and [I, f].
        train_rmse_: one figure an epoch, from the errors met just before each update, float64.
        valid_rmse_: one figure an epoch on the validation ratings, float64; empty without them.

    >>> from rectutor.data import Interactions
    >>> ratings = Interactions.from_arrays(list("aabbc"), [1, 2, 1, 2, 1], [5.0, 3.0, 4.0, 2.0, 3.0])
    >>> model = FunkSVD(factors=2, epochs=500, learning_rate=0.05, reg=0.001, seed=1).fit(ratings)
    >>> model.predict([0, 1], [0, 1]).round(1).tolist()
    [5.0, 2.0]
    """

    train_rmse_: NDArray[np.float64]
    valid_rmse_: NDArray[np.float64]

    def __init__(
        self,
        factors: int = 100,
        *,
        epochs: int = 20,
        learning_rate: float = 0.005,
        reg: float = 0.02,
        biased: bool = True,
        init_std: float = 0.1,
        blocks: int | None = None,
        patience: int | None = None,
        n_threads: int | None = None,
        seed: int | np.random.Generator = 0,
        progress: bool | None = None,
    ) -> None:
        self.factors = factors
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.reg = reg
        self.biased = biased
        self.init_std = init_std
        self.blocks = blocks
        self.patience = patience
        self.n_threads = n_threads
        self.seed = seed
        self.progress = progress

    def fit(
        self,
        interactions: Interactions | sparse.csr_array,
        validation: Interactions | sparse.csr_array | None = None,
    ) -> Self:
        """Learn from ratings; ``validation`` ratings are measured after each epoch, and stop the fit with ``patience``.

        Raises:
            ValueError: a parameter out of its range, no ratings, a negative or infinite one, validation ratings with
                other users or items, ``patience`` without validation ratings, or a diverging fit.
        """
        self._check()
        matrix = self._begin(interactions)
        n_users, n_items = matrix.shape
        held_out = None if validation is None else _pairs(read_matrix(validation), matrix.shape)
        if self.patience is not None and held_out is None:
            raise ValueError("patience needs validation ratings; give fit(ratings, validation=...)")
        rng = np.random.default_rng(self.seed)
        self.user_factors_ = starting_factors(rng, n_users, self.factors, self.init_std)
        self.item_factors_ = starting_factors(rng, n_items, self.factors, self.init_std)
        user, item, rating = _pairs(matrix, matrix.shape)
        self.user_factors_[np.bincount(user, minlength=n_users) == 0] = 0
        self.item_factors_[np.bincount(item, minlength=n_items) == 0] = 0
        self.mean_ = float(rating.mean(dtype=np.float64)) if self.biased else 0.0
        blocks = self.blocks or choose_blocks(n_users, n_items, len(user), self.factors, LEAST_RATINGS)
        start, user, item, rating = _arrange(user, item, rating, n_users, n_items, blocks, rng)

        squared = np.zeros((blocks, blocks))
        train_rmse: list[float] = []
        valid_rmse: list[float] = []
        best: tuple[Floats, ...] = ()
        with threads(self.n_threads, work=len(user) * self.factors):
            for epoch in bar(range(self.epochs), "FunkSVD", self.progress):
                _epoch(
                    start,
                    user,
                    item,
                    rating,
                    np.float32(self.mean_),
                    self.user_bias_,
                    self.item_bias_,
                    self.user_factors_,
                    self.item_factors_,
                    np.float32(self.learning_rate),
                    np.float32(self.reg),
                    self.biased,
                    squared,
                )
                train_rmse.append(float(np.sqrt(squared.sum() / len(user))))
                if not np.isfinite(train_rmse[-1]):
                    raise ValueError(
                        f"the fit diverged in epoch {epoch + 1} with learning_rate={self.learning_rate}; "
                        "choose a lower one"
                    )
                if held_out is None:
                    continue
                valid_rmse.append(self._rmse(*held_out))
                if self.patience is not None:
                    since_best = len(valid_rmse) - 1 - int(np.argmin(valid_rmse))
                    if since_best == 0:
                        best = tuple(part.copy() for part in self._parameters())
                    elif since_best >= self.patience:
                        break
        if best:
            self.user_bias_, self.item_bias_, self.user_factors_, self.item_factors_ = best
        self.train_rmse_, self.valid_rmse_ = np.array(train_rmse), np.array(valid_rmse)
        return self

    def _parameters(self) -> tuple[Floats, ...]:
        return self.user_bias_, self.item_bias_, self.user_factors_, self.item_factors_

    def _rmse(self, user: NDArray[np.int32], item: NDArray[np.int32], rating: Floats) -> float:
        error = rating - self.predict(user, item)
        return float(np.sqrt(np.mean(error.astype(np.float64) ** 2)))

    def _check(self) -> None:
        check_at_least("factors", self.factors, 1, whole=True)
        check_at_least("epochs", self.epochs, 1, whole=True)
        check_at_least("learning_rate", self.learning_rate, 0, strictly=True)
        check_at_least("reg", self.reg, 0)
        check_at_least("init_std", self.init_std, 0)
        if self.blocks is not None:
            check_at_least("blocks", self.blocks, 1, whole=True)
        if self.patience is not None:
            check_at_least("patience", self.patience, 1, whole=True)


def _pairs(matrix: sparse.csr_array, shape: tuple[int, int]) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
    """Users, items and ratings of the stored cells, each [N], by user then item."""
    if matrix.shape != shape:
        raise ValueError(
            f"the validation ratings are {matrix.shape}, the training ratings {shape}; share the vocabularies"
        )
    user = np.repeat(np.arange(shape[0], dtype=np.int32), np.diff(matrix.indptr))
    return user, matrix.indices, matrix.data


def _arrange(
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    rating: Floats,
    n_users: int,
    n_items: int,
    blocks: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], Floats]:
    """Sort the ratings by cell; where each cell starts [B * B + 1], then users, items, ratings [N]."""
    start = np.empty(blocks * blocks + 1, dtype=np.int64)
    order = np.empty(len(user), dtype=np.int32)
    sort_into_cells(user, item, deal(n_users, blocks, rng), deal(n_items, blocks, rng), blocks, start, order)
    return start, user[order], item[order], rating[order]


@njit(cache=True, fastmath=REASSOCIATE)
def _cell(
    begin: int,
    end: int,
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    rating: Floats,
    mean: np.float32,
    user_bias: Floats,
    item_bias: Floats,
    p: Floats,
    q: Floats,
    learning_rate: np.float32,
    reg: np.float32,
    biased: bool,
) -> float:
    """One SGD step for each rating of a cell; the sum of squared errors met on the way."""
    f = p.shape[1]
    keep = np.float32(1) - learning_rate * reg
    squared = 0.0
    for n in range(begin, end):
        u, i = user[n], item[n]
        inner = np.float32(0)
        for d in range(f):
            inner += p[u, d] * q[i, d]
        error = rating[n] - (mean + user_bias[u] + item_bias[i] + inner)
        squared += np.float64(error) * np.float64(error)
        step = learning_rate * error
        if biased:
            user_bias[u] = keep * user_bias[u] + step
            item_bias[i] = keep * item_bias[i] + step
        for d in range(f):  # rows are indexed in place: a view of a row would cost an atomic reference count
            pd, qd = p[u, d], q[i, d]
            p[u, d] = keep * pd + step * qd
            q[i, d] = keep * qd + step * pd
    return squared


@njit(cache=True, parallel=True)
def _epoch(
    start: NDArray[np.int64],
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    rating: Floats,
    mean: np.float32,
    user_bias: Floats,
    item_bias: Floats,
    p: Floats,
    q: Floats,
    learning_rate: np.float32,
    reg: np.float32,
    biased: bool,
    squared: NDArray[np.float64],
) -> None:
    """Visit every cell once, cells without a common row at the same time; ``squared`` [B, B] takes their errors."""
    blocks = len(squared)
    for shift in range(blocks):
        for a in prange(blocks):
            b = (a + shift) % blocks
            c = a * blocks + b
            squared[a, b] = _cell(
                start[c], start[c + 1], user, item, rating, mean, user_bias, item_bias, p, q, learning_rate, reg, biased
            )


@fast_path(
    reference.funk_svd,
    cases=cases.funk_svd,
    rtol=2e-5,
    atol=2e-6,
    bench=cases.bench_funk_svd,
    sizes=(1_000, 3_000, 10_000),
    unit="ratings",
)
def train_funk_svd(
    ratings: Interactions,
    factors: int,
    epochs: int,
    learning_rate: float,
    reg: float,
    biased: bool = True,
    init_std: float = 0.1,
    blocks: int = 1,
    seed: int = 0,
) -> tuple[float, Floats, Floats, Floats, Floats, NDArray[np.float64]]:
    """Fit :class:`FunkSVD`; ``mean, user_bias, item_bias, user_factors, item_factors, train_rmse``.

    The reference counts in float64, the compiled loop in float32, from the same start and in the same order.
    """
    model = FunkSVD(
        factors,
        epochs=epochs,
        learning_rate=learning_rate,
        reg=reg,
        biased=biased,
        init_std=init_std,
        blocks=blocks,
        seed=seed,
        progress=False,
    ).fit(ratings)
    return (
        model.mean_,
        model.user_bias_,
        model.item_bias_,
        model.user_factors_,
        model.item_factors_,
        model.train_rmse_,
    )
