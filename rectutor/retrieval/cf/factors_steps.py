"""What the factor models' references are made of: one loss, one step, one linear system, one round of draws.

Everything is counted in float64. Starting factors are rounded to float32 first, because the fast paths start there.

Shapes: U users, I items, f factors, B blocks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pair = tuple[int, int]


# -- what the stochastic methods share -----------------------------------------------------------------
def starting_factors(rng: np.random.Generator, n: int, factors: int, init_std: float) -> Array:
    """Normal numbers [n, f], rounded to float32."""
    return rng.normal(0.0, init_std, (n, factors)).astype(np.float32).astype(np.float64)


def deal(n: int, blocks: int, rng: np.random.Generator) -> list[int]:
    """The block of each of n users or items: like cards, shuffled and dealt in turn.

    >>> sorted(deal(5, 2, np.random.default_rng(0)))
    [0, 0, 0, 1, 1]
    """
    block = [0] * n
    for turn, card in enumerate(rng.permutation(n).tolist()):
        block[card] = turn % blocks
    return block


def rounds(blocks: int) -> list[Pair]:
    """The cells (user block, item block) in the order of visit; those of one round share no block.

    >>> rounds(2)
    [(0, 0), (1, 1), (0, 1), (1, 0)]
    """
    return [(a, (a + shift) % blocks) for shift in range(blocks) for a in range(blocks)]


def hashed(key: int, n: int) -> int:
    """Number n of the random stream ``key``: SplitMix64 (Steele, Lea and Flood 2014), in whole numbers modulo 2^64.

    >>> hex(hashed(0, 1))
    '0xe220a8397b1dcdaf'
    """
    z = (key + n * 0x9E3779B97F4A7C15) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def below(bits: int, n: int) -> int:
    """One of 0, ..., n - 1 from 32 random bits.

    >>> below(0, 10), below(2**31, 10), below(2**32 - 1, 10)
    (0, 5, 9)
    """
    return bits * n // 2**32


# -- FunkSVD -------------------------------------------------------------------------------------------
def funk_loss(rating: float, mean: float, b_u: float, b_i: float, p_u: Array, q_i: Array, reg: float) -> float:
    """Half the regularised squared error of one rating (Koren, Bell and Volinsky 2009, equation 5)."""
    error = rating - (mean + b_u + b_i + float(p_u @ q_i))
    return 0.5 * (error**2 + reg * (b_u**2 + b_i**2 + float(p_u @ p_u) + float(q_i @ q_i)))


def funk_step(
    rating: float, mean: float, b_u: float, b_i: float, p_u: Array, q_i: Array, learning_rate: float, reg: float
) -> tuple[float, float, Array, Array]:
    """The parameters b_u, b_i, p_u, q_i after one step down the gradient of :func:`funk_loss`."""
    error = rating - (mean + b_u + b_i + float(p_u @ q_i))
    return (
        b_u + learning_rate * (error - reg * b_u),
        b_i + learning_rate * (error - reg * b_i),
        p_u + learning_rate * (error * q_i - reg * p_u),
        q_i + learning_rate * (error * p_u - reg * q_i),
    )


# -- implicit ALS --------------------------------------------------------------------------------------
def als_system(r_u: Array, y: Array, reg: float, alpha: float) -> tuple[Array, Array]:
    r"""The normal equations of one user, A x = b (Hu et al. 2008, equation 4).

    .. math:: (Y^\top C^u Y + \lambda I)\, x_u = Y^\top C^u p(u)

    Args:
        r_u: the user's row of the matrix, zeros included [I].
        y: item factors [I, f].
        reg, alpha: the weight of the factors' size; how much confidence a unit of feedback adds.
    """
    confidence = np.diag(1.0 + alpha * r_u)  # C^u [I, I]
    preference = (r_u > 0).astype(np.float64)  # p(u) [I]
    return y.T @ confidence @ y + reg * np.eye(y.shape[1]), y.T @ confidence @ preference


def conjugate_gradient(a: Array, b: Array, x: Array, steps: int) -> Array:
    """``steps`` steps of conjugate gradient on A x = b from a starting point (Hestenes and Stiefel 1952).

    It stops earlier when the residual has fallen to a millionth of what it was.
    """
    residual = b - a @ x
    direction = residual
    enough = max(1e-12 * float(residual @ residual), 1e-20)
    for _ in range(steps):
        if float(residual @ residual) <= enough:
            break
        step = (residual @ residual) / (direction @ a @ direction)
        x = x + step * direction
        smaller = residual - step * (a @ direction)
        direction = smaller + (smaller @ smaller) / (residual @ residual) * direction
        residual = smaller
    return x


# -- BPR -----------------------------------------------------------------------------------------------
def sigmoid(x: float) -> float:
    """1 / (1 + e^-x), without overflow."""
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def bpr_loss(p_u: Array, q_i: Array, q_j: Array, b_i: float, b_j: float, reg: float) -> float:
    """What one triple adds to -BPR-OPT: -ln sigmoid(x_ui - x_uj) and half the weighted squares (section 4.1)."""
    x = b_i - b_j + float(p_u @ (q_i - q_j))
    squares = float(p_u @ p_u + q_i @ q_i + q_j @ q_j) + b_i**2 + b_j**2
    return -math.log(sigmoid(x)) + 0.5 * reg * squares


def bpr_step(
    p_u: Array, q_i: Array, q_j: Array, b_i: float, b_j: float, learning_rate: float, reg: float
) -> tuple[Array, Array, Array, float, float]:
    """The parameters p_u, q_i, q_j, b_i, b_j after one step down the gradient of :func:`bpr_loss`."""
    g = sigmoid(-(b_i - b_j + float(p_u @ (q_i - q_j))))
    return (
        p_u + learning_rate * (g * (q_i - q_j) - reg * p_u),
        q_i + learning_rate * (g * p_u - reg * q_i),
        q_j + learning_rate * (-g * p_u - reg * q_j),
        b_i + learning_rate * (g - reg * b_i),
        b_j + learning_rate * (-g - reg * b_j),
    )


def bpr_draws(
    pairs: list[Pair], pool: list[int], seen: dict[int, dict[int, float]], key: int
) -> list[tuple[int, int, int]]:
    """Bootstrap: len(pairs) draws of a pair (u, i) and an item j; draws whose j the user has are discarded."""
    triples = []
    for n in range(len(pairs)):
        bits = hashed(key, n)
        u, i = pairs[below(bits >> 32, len(pairs))]
        j = pool[below(bits % 2**32, len(pool))]
        if j not in seen[u]:
            triples.append((u, i, j))
    return triples
