"""The family as its papers write it: one example, plain loops.

An example is a vector x of n features; most of its entries are zero, and only the others cost time in what people run.

Shapes: n features, k factors, F fields.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def lr(w0: float, w: Floats, x: Floats) -> float:
    """Logit of logistic regression: a weight for each feature, w [n], x [n].

    .. math:: \\hat y(x) = w_0 + \\sum_i w_i x_i
    """
    total = w0
    for i in range(len(x)):
        total += w[i] * x[i]
    return total


def fm(w0: float, w: Floats, v: Floats, x: Floats) -> float:
    """Logit of a factorization machine: a vector for each feature, w [n], v [n, k], x [n].

    Rendle (2010), equation 1.

    .. math:: \\hat y(x) = w_0 + \\sum_i w_i x_i + \\sum_{i<j} \\langle v_i, v_j \\rangle x_i x_j
    """
    total = lr(w0, w, x)
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            total += (v[i] @ v[j]) * x[i] * x[j]
    return total


def fm_gradient(w0: float, w: Floats, v: Floats, x: Floats) -> tuple[float, Floats, Floats]:
    """Derivatives of an FM's logit by w0, w [n] and v [n, k]; Rendle (2010), equation 4.

    .. math:: \\frac{\\partial \\hat y}{\\partial v_{if}} = x_i \\sum_j v_{jf} x_j - v_{if} x_i^2
    """
    n, k = v.shape
    by_v = np.zeros((n, k))
    for f in range(k):
        total = sum(v[j, f] * x[j] for j in range(n))
        for i in range(n):
            by_v[i, f] = x[i] * total - v[i, f] * x[i] ** 2
    return 1.0, x.astype(float), by_v


def ffm(w0: float, w: Floats, v: Floats, x: Floats, fields: Ints) -> float:
    """Logit of a field-aware FM: a vector for each feature and field, w [n], v [n, F, k], x [n], fields [n].

    ``fields[i]`` is the field of feature i. Juan, Zhuang, Chin and Lin (2016), equation 4, with the linear part.

    .. math:: \\hat y(x) = w_0 + \\sum_i w_i x_i + \\sum_{i<j} \\langle v_{i,f_j}, v_{j,f_i} \\rangle x_i x_j
    """
    total = lr(w0, w, x)
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            total += (v[i, fields[j]] @ v[j, fields[i]]) * x[i] * x[j]
    return total


def fwfm(w0: float, w: Floats, v: Floats, r: Floats, x: Floats, fields: Ints) -> float:
    """Logit of a field-weighted FM: an FM with a weight for each pair of fields, v [n, k], symmetric r [F, F].

    Pan et al. (2018), equation 8. Two features of one field (two genres of a film) are a pair like any other.

    .. math:: \\hat y(x) = w_0 + \\sum_i w_i x_i + \\sum_{i<j} r_{f_i f_j} \\langle v_i, v_j \\rangle x_i x_j
    """
    total = lr(w0, w, x)
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            total += r[fields[i], fields[j]] * (v[i] @ v[j]) * x[i] * x[j]
    return total


def fm_vectors(w0: float, w: Floats, v: Floats, x: Floats, of_item: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """A user's and an item's vector [k + 2] whose inner product is the FM's logit; ``of_item`` [n] parts the features.

    .. math::
        \\hat y = \\underbrace{\\Big(w_0 + \\sum_{i \\in U} w_i x_i + \\sum_{i<j \\in U} \\langle v_i, v_j \\rangle x_i
        x_j\\Big)}_{a_U} + \\underbrace{\\sum_{j \\in I} w_j x_j + \\sum_{i<j \\in I} \\langle v_i, v_j \\rangle x_i
        x_j}_{a_I} + \\Big\\langle \\sum_{i \\in U} v_i x_i, \\sum_{j \\in I} v_j x_j \\Big\\rangle
    """
    sides = []
    for side, bias in ((~of_item, w0), (of_item, 0.0)):
        of_side = np.where(side, x, 0.0)
        total = np.zeros(v.shape[1])
        for i in range(len(x)):
            total += v[i] * of_side[i]
        sides.append((total, fm(bias, w, v, of_side)))
    (s_user, a_user), (s_item, a_item) = sides
    return np.array([*s_user, a_user, 1.0]), np.array([*s_item, 1.0, a_item])
