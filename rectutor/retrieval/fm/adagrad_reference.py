"""Per-example AdaGrad on LR, FM and FFM as plain loops.

An example is a list of features, each with its row of the table, its field and its value. LR, FM and FFM are one model:
with one field an FFM is an FM, without factors LR.

Shapes: N examples, S slots, F fields, M dense columns, k factors, R rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Features = list[tuple[int, int, float]]


def present(rows: Iterable[int], x: Iterable[float] | None, fields: Iterable[int], normalize: bool) -> Features:
    """Row, field and value of the features with a value other than 0; ``normalize`` scales the values to length 1."""
    values = itertools.repeat(1.0) if x is None else map(float, x)
    features = [(int(r), int(f), a) for r, f, a in zip(rows, fields, values) if a != 0]
    length = max(math.sqrt(sum(a * a for _, _, a in features)), 1e-12) if normalize else 1.0
    return [(r, f, a / length) for r, f, a in features]


def logit(features: Features, d: Floats, v: Floats, w: Floats, w_dense: Floats, bias: float) -> float:
    """The logit of one example, d [M], v [R, F, k], w [R], w_dense [M]; Juan et al. (2016), eq. 4, with a linear part.

    .. math:: b + \\sum_m u_m d_m + \\sum_i w_i x_i + \\sum_{i<j} \\langle v_{i,f_j}, v_{j,f_i} \\rangle x_i x_j
    """
    z = bias
    for m in range(len(d)):
        z += w_dense[m] * d[m]
    for i, (row, field, a) in enumerate(features):
        z += w[row] * a
        for other, g, b in features[i + 1 :]:
            z += float(v[row, g] @ v[other, field]) * a * b
    return z


def fm_logits(
    rows: ArrayLike,
    x: ArrayLike | None,
    dense: ArrayLike,
    fields: ArrayLike,
    v: ArrayLike,
    w: ArrayLike,
    w_dense: ArrayLike,
    bias: float,
    normalize: bool = False,
) -> Floats:
    """Logits [N] of examples with rows [N, S], values x [N, S] or None for ones, dense [N, M], fields [S]."""
    rows, dense, fields, v, w, w_dense = map(np.asarray, (rows, dense, fields, v, w, w_dense))
    values = [None] * len(rows) if x is None else np.asarray(x)
    return np.array(
        [
            logit(present(r, a, fields, normalize), d.astype(float), v.astype(float), w.astype(float), w_dense, bias)
            for r, a, d in zip(rows, values, dense, strict=True)
        ]
    )


def adagrad_steps(
    rows: ArrayLike,
    x: ArrayLike | None,
    dense: ArrayLike,
    label: ArrayLike,
    fields: ArrayLike,
    v: ArrayLike,
    w: ArrayLike,
    w_dense: ArrayLike,
    bias: float,
    order: ArrayLike,
    *,
    lr: float = 0.05,
    l2: float = 0.0,
    normalize: bool = False,
) -> tuple[Floats, Floats, Floats, float, float]:
    """Go over the examples in ``order``; v, w, w_dense and bias afterwards, and the mean of the log-losses met.

    A step moves a parameter :math:`\\theta` with the accumulator G, which starts at 1:
    :math:`g = \\partial \\ell / \\partial \\theta + \\lambda \\theta`, :math:`G \\mathrel{+}= g^2`,
    :math:`\\theta \\mathrel{-}= \\eta g / \\sqrt G`; Duchi et al. (2011) as in LIBFFM. The bias has no L2.
    """
    rows, dense, label, fields = map(np.asarray, (rows, dense, label, fields))
    v, w, w_dense = (np.array(p, dtype=np.float64) for p in (v, w, w_dense))
    values = None if x is None else np.asarray(x)
    total_v, total_w, total_dense, total_bias = np.ones(v.shape), np.ones(len(w)), np.ones(len(w_dense)), 1.0
    n_fields, losses = v.shape[1], 0.0

    def step(theta: Any, total: Any, at: Any, gradient: Any) -> None:
        g = gradient + l2 * theta[at]
        total[at] += g * g
        theta[at] -= lr * g / np.sqrt(total[at])

    for n in np.asarray(order):
        features = present(rows[n], None if values is None else values[n], fields, normalize)
        z, y = logit(features, dense[n], v, w, w_dense, bias), float(label[n])
        losses += max(z, 0.0) - y * z + math.log1p(math.exp(-abs(z)))
        e = 1 / (1 + math.exp(-z)) - y  # the derivative of the log-loss by the logit

        sums = np.zeros((n_fields, n_fields, v.shape[2]))  # of the field g, as the field f meets it
        count = [0] * n_fields
        for row, g, a in features:
            count[g] += 1
            for f in range(n_fields):
                sums[g, f] += a * v[row, f]

        for m in range(len(w_dense)):
            if dense[n, m] != 0:
                step(w_dense, total_dense, m, e * dense[n, m])
        total_bias += e * e
        bias -= lr * e / math.sqrt(total_bias)
        for row, f, a in features:
            for g in range(n_fields):
                if count[g] - (g == f) > 0:  # there is another feature, of field g
                    others = sums[g, f] - (a * v[row, f] if g == f else 0.0)
                    step(v, total_v, (row, g), e * a * others)
            step(w, total_w, row, e * a)
    return v, w, w_dense, bias, losses / max(len(np.asarray(order)), 1)
