"""The embedding table and its optimisers as their papers write them, one row at a time.

Shapes: B batch, S slots, D dimension, R rows of the table, n positions of the batch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


def gather(weight: Array, offsets: Ints, ids: Ints, weights: Array | None = None) -> Array:
    """Row ``offsets[s] + ids[b, s]`` of the table for every b and s, times ``weights[b, s]`` [B, S, D]."""
    out = np.zeros((*ids.shape, weight.shape[1]), weight.dtype)
    for b in range(ids.shape[0]):
        for s in range(ids.shape[1]):
            out[b, s] = weight[offsets[s] + ids[b, s]]
            if weights is not None:
                out[b, s] *= weights[b, s]
    return out


def row_gradients(weight: Array, ids: Ints, grads: Array, weight_decay: float) -> dict[int, Array]:
    """The gradient of every row that occurs: the sum over its positions, plus the weight decay."""
    total: dict[int, Array] = {}
    for row, grad in zip(ids.tolist(), grads):
        total[row] = total.get(row, 0.0) + grad.astype(np.float64)
    return {row: grad + weight_decay * weight[row] for row, grad in total.items()}


def lazy_adam_step(
    weight: Array,
    m: Array,
    v: Array,
    ids: Ints,
    grads: Array,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Adam (Kingma and Ba, 2015) on the rows that occur; the others keep their vectors and their moments.

    The bias correction counts all steps, and eps is added before it, as the end of the paper's section 2 has it.
    """
    weight, m, v = weight.astype(np.float64), m.astype(np.float64), v.astype(np.float64)
    beta1, beta2 = betas
    step_size = lr * math.sqrt(1 - beta2**step) / (1 - beta1**step)
    for row, g in row_gradients(weight, ids, grads, weight_decay).items():
        m[row] = beta1 * m[row] + (1 - beta1) * g
        v[row] = beta2 * v[row] + (1 - beta2) * g**2
        weight[row] -= step_size * m[row] / (np.sqrt(v[row]) + eps)
    return weight, m, v


def lazy_adagrad_step(
    weight: Array,
    squares: Array,
    ids: Ints,
    grads: Array,
    lr: float = 0.05,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> tuple[Array, Array]:
    """AdaGrad (Duchi, Hazan and Singer, 2011, figure 1) with a diagonal matrix on the rows that occur."""
    weight, squares = weight.astype(np.float64), squares.astype(np.float64)
    for row, g in row_gradients(weight, ids, grads, weight_decay).items():
        squares[row] += g**2
        weight[row] -= lr * g / (np.sqrt(squares[row]) + eps)
    return weight, squares
