"""Factor models as their papers state them: one rating, one triple, one user's linear system at a time.

The steps themselves stand in :mod:`rectutor.retrieval.cf.factors_steps`; here are the loops around them.

Shapes: N interactions, U users, I items, f factors, B blocks.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse

from rectutor.data import Interactions
from rectutor.retrieval.cf.factors_steps import (
    Array,
    als_system,
    bpr_draws,
    bpr_step,
    conjugate_gradient,
    deal,
    funk_step,
    hashed,
    rounds,
    starting_factors,
)


# -- FunkSVD -------------------------------------------------------------------------------------------
def funk_svd(
    ratings: Interactions,
    factors: int,
    epochs: int,
    learning_rate: float,
    reg: float,
    biased: bool = True,
    init_std: float = 0.1,
    blocks: int = 1,
    seed: int = 0,
) -> tuple[float, Array, Array, Array, Array, Array]:
    """Matrix factorization by SGD; ``mean, user_bias, item_bias, user_factors, item_factors, train_rmse``.

    Ratings are visited user by user; with several blocks, cell after cell.
    """
    rng = np.random.default_rng(seed)
    p = starting_factors(rng, ratings.n_users, factors, init_std)  # [U, f]
    q = starting_factors(rng, ratings.n_items, factors, init_std)  # [I, f]
    rows = list(zip(ratings.user.tolist(), ratings.item.tolist(), ratings.value.tolist(), strict=True))
    p[sorted(set(range(ratings.n_users)) - {u for u, _, _ in rows})] = 0
    q[sorted(set(range(ratings.n_items)) - {i for _, i, _ in rows})] = 0
    user_block = deal(ratings.n_users, blocks, rng)
    item_block = deal(ratings.n_items, blocks, rng)
    order = [row for cell in rounds(blocks) for row in rows if (user_block[row[0]], item_block[row[1]]) == cell]

    mean = sum(r for _, _, r in rows) / len(rows) if biased else 0.0
    user_bias, item_bias = np.zeros(ratings.n_users), np.zeros(ratings.n_items)
    train_rmse = []
    for _ in range(epochs):
        squared = 0.0
        for u, i, r in order:
            squared += (r - (mean + user_bias[u] + item_bias[i] + float(p[u] @ q[i]))) ** 2
            b_u, b_i, p[u], q[i] = funk_step(r, mean, user_bias[u], item_bias[i], p[u], q[i], learning_rate, reg)
            if biased:
                user_bias[u], item_bias[i] = b_u, b_i
        train_rmse.append(math.sqrt(squared / len(rows)))
    return mean, user_bias, item_bias, p, q, np.array(train_rmse)


# -- PureSVD -------------------------------------------------------------------------------------------
def pure_svd(matrix: sparse.csr_array, factors: int) -> tuple[Array, Array, Array]:
    """User factors, singular values, item factors of the zero-filled matrix (Cremonesi et al. 2010, equation 5)."""
    u, s, vt = np.linalg.svd(matrix.toarray().astype(np.float64), full_matrices=False)
    p, q = np.empty((matrix.shape[0], factors)), np.empty((matrix.shape[1], factors))
    for d in range(factors):
        strongest = max(vt[d], key=abs)
        sign = -1.0 if strongest < 0 else 1.0
        p[:, d] = sign * s[d] * u[:, d]
        q[:, d] = sign * vt[d]
    return p, s[:factors], q


# -- implicit ALS --------------------------------------------------------------------------------------
def als_half(
    matrix: sparse.csr_array, rows: Array, fixed: Array, reg: float, alpha: float, cg_steps: int | None = None
) -> Array:
    """Solve for every row of the matrix with the factors of the columns fixed: exactly, or by conjugate gradient."""
    solved = np.zeros((matrix.shape[0], fixed.shape[1]))
    for u, r_u in enumerate(matrix.toarray().astype(np.float64)):
        if not r_u.any():
            continue  # b = 0, so x = 0
        a, b = als_system(r_u, fixed.astype(np.float64), reg, alpha)
        start = rows[u].astype(np.float64)
        solved[u] = np.linalg.solve(a, b) if cg_steps is None else conjugate_gradient(a, b, start, cg_steps)
    return solved


def implicit_als(
    matrix: sparse.csr_array,
    factors: int,
    epochs: int,
    reg: float,
    alpha: float,
    cg_steps: int | None = None,
    init_std: float = 0.01,
    seed: int = 0,
) -> tuple[Array, Array]:
    """Alternating least squares: ``user_factors, item_factors``."""
    x = np.zeros((matrix.shape[0], factors))
    y = starting_factors(np.random.default_rng(seed), matrix.shape[1], factors, init_std)
    for _ in range(epochs):
        x = als_half(matrix, x, y, reg, alpha, cg_steps)
        y = als_half(matrix.T.tocsr(), y, x, reg, alpha, cg_steps)
    return x, y


def als_loss(matrix: sparse.csr_array, x: Array, y: Array, reg: float, alpha: float) -> float:
    """The loss over all cells, seen or not (Hu et al. 2008, equation 3)."""
    loss = 0.0
    for u, r_u in enumerate(matrix.toarray().astype(np.float64)):
        for i, r in enumerate(r_u):
            p = 1.0 if r > 0 else 0.0
            loss += (1.0 + alpha * r) * (p - float(x[u].astype(np.float64) @ y[i])) ** 2
    size = float((x.astype(np.float64) ** 2).sum() + (y.astype(np.float64) ** 2).sum())
    return loss + reg * size


# -- BPR -----------------------------------------------------------------------------------------------
def bpr(
    interactions: Interactions,
    factors: int,
    epochs: int,
    learning_rate: float,
    reg: float,
    negatives: str = "uniform",
    init_std: float = 0.1,
    blocks: int = 1,
    seed: int = 0,
) -> tuple[Array, Array, Array, Array]:
    """LearnBPR (Rendle et al. 2009, figure 4); ``user_factors, item_factors, item_bias, train_auc``.

    With one block, an epoch draws from all pairs and all items: the paper's loop. With several, cell after cell.
    """
    n_users, n_items = interactions.n_users, interactions.n_items
    seen = interactions.by_user()
    everything = list(zip(interactions.user.tolist(), interactions.item.tolist(), strict=True))
    rng = np.random.default_rng(seed)
    p = starting_factors(rng, n_users, factors, init_std)  # [U, f]
    q = starting_factors(rng, n_items, factors, init_std)  # [I, f]
    p[[u for u in range(n_users) if not seen[u]]] = 0
    bias = np.zeros(n_items)
    train_auc = []
    for _ in range(epochs):
        user_block, item_block = deal(n_users, blocks, rng), deal(n_items, blocks, rng)
        key = int(rng.integers(2**63))
        right = drawn = 0
        for a, b in rounds(blocks):
            pairs = [(u, i) for u, i in everything if (user_block[u], item_block[i]) == (a, b)]
            pool = [i for i in range(n_items) if item_block[i] == b]
            if negatives == "popular":
                pool = [i for i in pool for v, j in everything if j == i]  # as often as it was taken
            for u, i, j in bpr_draws(pairs, pool, seen, hashed(key, a * blocks + b)):
                right += bias[i] - bias[j] + float(p[u] @ (q[i] - q[j])) > 0
                drawn += 1
                p[u], q[i], q[j], bias[i], bias[j] = bpr_step(p[u], q[i], q[j], bias[i], bias[j], learning_rate, reg)
        train_auc.append(right / drawn if drawn else math.nan)
    return p, q, bias, np.array(train_auc)
