"""BPR: rank what a user took above what the user did not take, one drawn pair of items at a time.

Source: Rendle, Freudenthaler, Gantner and Schmidt-Thieme, BPR: Bayesian personalized ranking from implicit feedback,
UAI 2009.

Shapes: N interactions, U users, I items, f factors, B blocks.
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
from rectutor.retrieval.cf.factor_model import FactorModel, Floats, Negatives, starting_factors
from rectutor.retrieval.loops import REASSOCIATE, bar, check_at_least, threads


class BPR(FactorModel):
    r"""Matrix factorization for ranking: Bayesian personalized ranking by stochastic gradient descent.

    Rendle et al. 2009, figure 4 (LearnBPR) and section 4.3.1. With :math:`\hat x_{ui} = b_i + p_u^\top q_i` and
    :math:`\hat x_{uij} = \hat x_{ui} - \hat x_{uj}`, a triple of a user, an item i that the user has and an item j
    that the user has not moves its parameters :math:`\theta` along the gradient of
    :math:`\ln \sigma(\hat x_{uij}) - \tfrac{\lambda}{2} \lVert \theta \rVert^2`:

    .. math:: \theta \mathrel{+}= \gamma \Bigl(\sigma(-\hat x_{uij})\,
              \frac{\partial \hat x_{uij}}{\partial \theta} - \lambda \theta\Bigr).

    An epoch draws N triples with replacement (bootstrap): a stored pair (u, i) and, independently, an item j; the draw
    is discarded when u has j, which leaves exactly the paper's uniform law over triples. Every stored pair is a
    positive, whatever its value. With B > 1 disjoint blocks (:mod:`rectutor.retrieval.cf.blocks`), dealt anew in every
    epoch, j comes from the block of i; over the epochs that is the same law, and a seed gives one result whatever the
    number of threads. A user without interactions has zero factors and gets the items in order of their bias.

    Args:
        factors: f, length of the hidden vectors.
        epochs: passes of N draws.
        learning_rate: :math:`\gamma`.
        reg: :math:`\lambda`, at least 0, the same for all parameters.
        negatives: ``"uniform"`` draws j uniformly from the items (the paper); ``"popular"`` in proportion to the items'
            interactions, which gives harder negatives (what ``implicit`` does).
        init_std: standard deviation of the starting factors.
        blocks: B; None chooses by the shape of the data. One block is the paper's loop on one thread.
        n_threads: threads of the compiled loops; None for all, or one where there is little to do. It changes the time
            only.
        seed: draws the starting factors, the blocks and the triples.
        progress: show a progress bar always, never, or (None) when fitting lasts over two seconds.

    Attributes:
        user_factors_, item_factors_: float32 [U, f] and [I, f].
        item_bias_: float32 [I].
        train_auc_: one figure an epoch: the share of drawn triples that were in the right order just before their
            update, float64.

    >>> from rectutor.data import Interactions
    >>> log = Interactions.from_arrays(list("aabbcc"), [1, 2, 1, 2, 3, 4])
    >>> model = BPR(factors=2, epochs=500, seed=1).fit(log)
    >>> model.recommend([0], k=2, exclude_seen=False)[0].tolist() in ([[0, 1]], [[1, 0]])
    True
    """

    train_auc_: NDArray[np.float64]

    def __init__(
        self,
        factors: int = 64,
        *,
        epochs: int = 50,
        learning_rate: float = 0.05,
        reg: float = 0.01,
        negatives: Negatives = "uniform",
        init_std: float = 0.01,
        blocks: int | None = None,
        n_threads: int | None = None,
        seed: int | np.random.Generator = 0,
        progress: bool | None = None,
    ) -> None:
        self.factors = factors
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.reg = reg
        self.negatives = negatives
        self.init_std = init_std
        self.blocks = blocks
        self.n_threads = n_threads
        self.seed = seed
        self.progress = progress

    def fit(self, interactions: Interactions | sparse.csr_array) -> Self:
        """Learn from interactions; each stored pair is a positive.

        Raises:
            ValueError: a parameter out of its range, no interactions, a negative or infinite value, nobody has a
                negative (every user has every item), or a diverging fit.
        """
        self._check()
        matrix = self._begin(interactions)
        n_users, n_items = matrix.shape
        length = np.diff(matrix.indptr)
        if (length[length > 0] == n_items).all():
            raise ValueError("every user has every item, so there is no negative to draw; BPR has nothing to learn")
        rng = np.random.default_rng(self.seed)
        self.user_factors_ = starting_factors(rng, n_users, self.factors, self.init_std)
        self.item_factors_ = starting_factors(rng, n_items, self.factors, self.init_std)
        self.user_factors_[length == 0] = 0
        user = np.repeat(np.arange(n_users, dtype=np.int32), length)
        item = matrix.indices
        copies = (
            np.bincount(item, minlength=n_items) if self.negatives == "popular" else np.ones(n_items, dtype=np.int64)
        )
        blocks = self.blocks or choose_blocks(n_users, n_items, len(user), self.factors)
        start = np.empty(blocks * blocks + 1, dtype=np.int64)
        order = np.empty(len(user), dtype=np.int32)
        right, drawn = np.zeros((2, blocks, blocks), dtype=np.int64)
        auc = np.zeros(self.epochs)
        with threads(self.n_threads, work=len(user) * self.factors):
            for epoch in bar(range(self.epochs), "BPR", self.progress):
                user_block, item_block = deal(n_users, blocks, rng), deal(n_items, blocks, rng)
                sort_into_cells(user, item, user_block, item_block, blocks, start, order)
                by_block = np.argsort(item_block, kind="stable").astype(np.int32)  # [I]
                pool = np.repeat(by_block, copies[by_block])  # what negatives are drawn from, block after block
                pool_start = np.searchsorted(item_block[pool], np.arange(blocks + 1)).astype(np.int64)  # [B + 1]
                _epoch(
                    start,
                    user[order],
                    item[order],
                    pool_start,
                    pool,
                    matrix.indptr,
                    matrix.indices,
                    self.user_factors_,
                    self.item_factors_,
                    self.item_bias_,
                    np.float32(self.learning_rate),
                    np.float32(self.reg),
                    np.uint64(rng.integers(2**63)),
                    right,
                    drawn,
                )
                auc[epoch] = right.sum() / drawn.sum() if drawn.any() else np.nan
                if not np.isfinite(self.item_factors_).all():
                    raise ValueError(
                        f"the fit diverged in epoch {epoch + 1} with learning_rate={self.learning_rate}; "
                        "choose a lower one"
                    )
        self.train_auc_ = auc
        return self

    def _check(self) -> None:
        check_at_least("factors", self.factors, 1, whole=True)
        check_at_least("epochs", self.epochs, 1, whole=True)
        check_at_least("learning_rate", self.learning_rate, 0, strictly=True)
        check_at_least("reg", self.reg, 0)
        check_at_least("init_std", self.init_std, 0)
        if self.negatives not in ("uniform", "popular"):
            raise ValueError(f"negatives is {self.negatives!r}; choose 'uniform' or 'popular'")
        if self.blocks is not None:
            check_at_least("blocks", self.blocks, 1, whole=True)


GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True)
def hashed(key: np.uint64, n: int) -> np.uint64:
    """Number n of the random stream ``key``, 64 bits (SplitMix64, Steele, Lea and Flood 2014).

    The stream is a function of key and position, not a state that is passed on, so that threads need share nothing.
    """
    z = key + np.uint64(n) * GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def _has(indices: NDArray[np.int32], begin: int, end: int, item: int) -> bool:
    """Whether ``item`` is among ``indices[begin:end]``, which ascend (binary search)."""
    low, high = begin, end
    while low < high:
        middle = (low + high) >> 1
        if indices[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low < end and indices[low] == item


@njit(cache=True, fastmath=REASSOCIATE)
def _cell(
    begin: int,
    end: int,
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    pool_begin: int,
    pool_end: int,
    pool: NDArray[np.int32],
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    p: Floats,
    q: Floats,
    bias: Floats,
    learning_rate: np.float32,
    reg: np.float32,
    key: np.uint64,
) -> tuple[int, int]:
    """As many draws as the cell has pairs; how many triples were in order before their update, and how many there were.

    Most drawn items are new to the user, and a binary search mispredicts its branches. So every pair of the cell sets
    one bit of a small filter first: a clear bit says at once that the user has not got the item, and only a set bit
    (one in sixteen by chance) is looked up.
    """
    f = p.shape[1]
    n_pairs = end - begin
    keep = np.float32(1) - learning_rate * reg
    size, shift = 64, np.uint64(58)
    while size < 16 * n_pairs:
        size, shift = 2 * size, shift - np.uint64(1)
    bits = np.zeros(size >> 6, np.uint64)
    for n in range(begin, end):
        h = (((np.uint64(user[n]) << np.uint64(32)) | np.uint64(item[n])) * GOLDEN) >> shift
        bits[np.int64(h >> np.uint64(6))] |= np.uint64(1) << (h & np.uint64(63))
    right, drawn = 0, 0
    for n in range(n_pairs):
        z = hashed(key, n)  # the upper half draws the pair, the lower half the negative
        at = begin + np.int64(((z >> np.uint64(32)) * np.uint64(n_pairs)) >> np.uint64(32))
        u, i = user[at], item[at]
        at = pool_begin + np.int64(((z & np.uint64(0xFFFFFFFF)) * np.uint64(pool_end - pool_begin)) >> np.uint64(32))
        j = pool[at]
        h = (((np.uint64(u) << np.uint64(32)) | np.uint64(j)) * GOLDEN) >> shift
        if (bits[np.int64(h >> np.uint64(6))] >> (h & np.uint64(63))) & np.uint64(1) and _has(
            indices, indptr[u], indptr[u + 1], j
        ):
            continue
        x = np.float32(0)
        for d in range(f):
            x += p[u, d] * (q[i, d] - q[j, d])
        x += bias[i] - bias[j]
        drawn += 1
        right += x > np.float32(0)
        step = learning_rate / (np.float32(1) + np.exp(min(x, np.float32(80))))  # e^80 is still a float32
        for d in range(f):
            pd, qd, rd = p[u, d], q[i, d], q[j, d]
            p[u, d] = keep * pd + step * (qd - rd)
            q[i, d] = keep * qd + step * pd
            q[j, d] = keep * rd - step * pd
        bias[i] = keep * bias[i] + step
        bias[j] = keep * bias[j] - step
    return right, drawn


@njit(cache=True, parallel=True)
def _epoch(
    start: NDArray[np.int64],
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    pool_start: NDArray[np.int64],
    pool: NDArray[np.int32],
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    p: Floats,
    q: Floats,
    bias: Floats,
    learning_rate: np.float32,
    reg: np.float32,
    key: np.uint64,
    right: NDArray[np.int64],
    drawn: NDArray[np.int64],
) -> None:
    """Visit every cell once, those without a common row at the same time; ``right`` and ``drawn`` [B, B] count."""
    blocks = len(right)
    for shift in range(blocks):
        for a in prange(blocks):
            b = (a + shift) % blocks
            c = a * blocks + b
            right[a, b], drawn[a, b] = _cell(
                start[c],
                start[c + 1],
                user,
                item,
                pool_start[b],
                pool_start[b + 1],
                pool,
                indptr,
                indices,
                p,
                q,
                bias,
                learning_rate,
                reg,
                hashed(key, c),
            )


@fast_path(
    reference.bpr,
    cases=cases.bpr,
    rtol=2e-5,
    atol=2e-6,
    bench=cases.bench_bpr,
    sizes=(1_000, 3_000, 10_000),
    unit="draws",
)
def train_bpr(
    interactions: Interactions,
    factors: int,
    epochs: int,
    learning_rate: float,
    reg: float,
    negatives: Negatives = "uniform",
    init_std: float = 0.1,
    blocks: int = 1,
    seed: int = 0,
) -> tuple[Floats, Floats, Floats, NDArray[np.float64]]:
    """Fit :class:`BPR`; ``user_factors, item_factors, item_bias, train_auc``.

    Both sides draw the same triples; the reference counts in float64, the compiled loop in float32.
    """
    model = BPR(
        factors,
        epochs=epochs,
        learning_rate=learning_rate,
        reg=reg,
        negatives=negatives,
        init_std=init_std,
        blocks=blocks,
        seed=seed,
        progress=False,
    ).fit(interactions)
    return model.user_factors_, model.item_factors_, model.item_bias_, model.train_auc_
