r"""Volumes and kernels of determinantal point processes in closed form.

Shapes: n candidates, D dimension, k positions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectutor.fastpath import fast_path
from rectutor.rerank import cases, reference
from rectutor.rerank.dpp import dpp
from rectutor.rerank.inputs import numbers


@fast_path(reference.volume, cases=cases.rows, rtol=1e-9, atol=1e-12)
def volume(vectors: ArrayLike) -> float:
    r"""Volume of the parallelotope (超平行体) that the rows span, :math:`\sqrt{\det V V^\top}`.

    It is the product of the diagonal of R in :math:`V^\top = Q R`, which keeps twice the digits of the determinant.

    Args:
        vectors: rows [n, D]; more rows than dimensions have volume 0.

    >>> round(volume([[3.0, 0.0], [1.0, 2.0]]), 9)
    6.0
    """
    v = numbers(vectors, "vectors")
    if v.ndim != 2 or 0 in v.shape:
        raise ValueError(f"vectors has shape {v.shape}; give rows [n, D]")
    if len(v) > v.shape[1]:
        return 0.0
    return float(np.abs(np.diagonal(np.linalg.qr(v.T).R)).prod())


@fast_path(reference.quality_kernel, cases=cases.qualities, rtol=1e-12)
def quality_kernel(quality: ArrayLike, kernel: ArrayLike) -> NDArray[np.float64]:
    """L = Diag(q) A Diag(q) (Kulesza and Taskar, 2012): quality in the lengths of vectors, diversity in their angles.

    Args:
        quality: positive factors [n].
        kernel: inner products [n, n].

    >>> quality_kernel([1.0, 2.0], [[1.0, 0.5], [0.5, 1.0]])
    array([[1., 1.],
           [1., 4.]])
    """
    q, a = numbers(quality, "quality"), numbers(kernel, "kernel")
    if q.ndim != 1 or a.shape != (len(q), len(q)):
        raise ValueError(f"quality has shape {q.shape} and kernel {a.shape}; give [n] and [n, n]")
    return q[:, None] * a * q


@fast_path(reference.quality_of, cases=cases.rewards, rtol=1e-12)
def quality_of(reward: ArrayLike, theta: float) -> NDArray[np.float64]:
    r"""The quality that makes log det of L the trade-off of reward and volume: :math:`e^{\theta r / 2 (1 - \theta)}`.

    .. math:: \log \det L_S = \frac{\theta}{1 - \theta} \sum_{i \in S} r_i + \log \det A_S

    Args:
        reward: scores [n].
        theta: in [0, 1); 1 would leave the volume no weight.

    >>> quality_of([0.0, 2.0], 0.5).round(4)
    array([1.    , 2.7183])
    """
    if not 0 <= theta < 1:
        raise ValueError(f"theta is {theta}; it must be at least 0 and below 1")
    return np.asarray(np.exp(theta / (2 * (1 - theta)) * numbers(reward, "reward")))


@fast_path(reference.fast_greedy, cases=cases.kernels)
def fast_greedy(kernel: ArrayLike, k: int) -> NDArray[np.int64]:
    """Greedy search for the rows of a kernel with the greatest determinant (Chen, Zhang and Zhou, 2018), at most k.

    It is :func:`~rectutor.rerank.dpp` with all qualities 1, and ends where no row adds volume.

    Args:
        kernel: symmetric and positive semi-definite [n, n].
        k: rows to choose.

    >>> fast_greedy([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]], 2)
    array([0, 2])
    """
    return dpp(quality=np.ones(len(np.asarray(kernel))), kernel=kernel, k=k, dependent="stop").order
