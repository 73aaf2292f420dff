"""FTRL-Proximal as Algorithm 1 of McMahan et al. (2013) writes it, and a factorization machine learnt that way.

Shapes: N examples, R features, k factors.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rectutor.data.sparse import SparseRows

Floats = NDArray[np.float64]
Seed = int | np.random.Generator

_ALL = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15


def splitmix64(x: int) -> int:
    """The finalizer of splitmix64 (Steele et al., 2014): a bijection of 64 bits."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _ALL
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _ALL
    return x ^ (x >> 31)


def fold(i: int, n_features: int) -> int:
    """The row of a hashed id: the i-th number of splitmix64, modulo the number of rows."""
    return splitmix64((i + 1) * _STEP & _ALL) % n_features


def first_value(key: int, i: int, f: int) -> float:
    """A standard normal number that depends on key, feature and factor alone (Box and Muller, 1958)."""
    one = splitmix64(splitmix64(key + i * _STEP & _ALL) + f * _STEP & _ALL)
    two = splitmix64(one + _STEP & _ALL)
    return math.sqrt(-2 * math.log(((one >> 11) + 1) / 2**53)) * math.cos(2 * math.pi * (two >> 11) / 2**53)


def closed_form(z: float, n: float, alpha: float, beta: float, l1: float, l2: float) -> float:
    """The weight that minimises the sum of past losses made linear, plus the regularisers."""
    if abs(z) <= l1:
        return 0.0
    sign = 1 if z > 0 else -1
    return -1 / ((beta + math.sqrt(n)) / alpha + l2) * (z - sign * l1)


def sigmoid(a: float) -> float:
    """1 / (1 + exp(-a)), without overflow."""
    return 1 / (1 + math.exp(-a)) if a >= 0 else math.exp(a) / (1 + math.exp(a))


def example(rows: SparseRows, t: int, n_features: int, hashing: str | None) -> dict[int, float]:
    """Example t as a dictionary from feature to x, without zeros; repeated features are added up."""
    x: dict[int, float] = {}
    for pair in range(rows.indptr[t], rows.indptr[t + 1]):
        i = int(rows.ids[pair])
        i = i if hashing is None else fold(i, n_features)
        x[i] = x.get(i, 0.0) + float(rows.values[pair])
    return {i: value for i, value in x.items() if value != 0}


def ftrl(
    rows: SparseRows,
    n_features: int,
    *,
    alpha: float = 0.05,
    beta: float = 1.0,
    l1: float = 1.0,
    l2: float = 1.0,
    intercept: bool = True,
    hashing: Literal["splitmix64"] | None = None,
) -> tuple[Floats, float, Floats]:
    """Logistic regression by per-coordinate FTRL-Proximal, one pass: weights [R], intercept, predictions [N]."""
    z, n = [0.0] * n_features, [0.0] * n_features
    bias_z = bias_n = 0.0
    predicted = []
    for t in range(len(rows)):
        x, y = example(rows, t, n_features, hashing), float(rows.label[t])
        w = {i: closed_form(z[i], n[i], alpha, beta, l1, l2) for i in x}
        b = closed_form(bias_z, bias_n, alpha, beta, 0, 0)
        p = sigmoid(b + sum(w[i] * x[i] for i in x))
        predicted.append(p)
        for i in x:
            g = (p - y) * x[i]
            sigma = (math.sqrt(n[i] + g**2) - math.sqrt(n[i])) / alpha
            z[i] += g - sigma * w[i]
            n[i] += g**2
        if intercept:
            sigma = (math.sqrt(bias_n + (p - y) ** 2) - math.sqrt(bias_n)) / alpha
            bias_z += p - y - sigma * b
            bias_n += (p - y) ** 2
    weights = [closed_form(z[i], n[i], alpha, beta, l1, l2) for i in range(n_features)]
    return np.array(weights), closed_form(bias_z, bias_n, alpha, beta, 0, 0), np.array(predicted)


def ftrl_fm(
    rows: SparseRows,
    n_features: int,
    k: int = 8,
    *,
    alpha: float = 0.05,
    beta: float = 1.0,
    l1: float = 1.0,
    l2: float = 1.0,
    v_l1: float = 0.0,
    v_l2: float = 1.0,
    init: float = 0.02,
    intercept: bool = True,
    hashing: Literal["splitmix64"] | None = None,
    seed: Seed = 0,
) -> tuple[Floats, Floats, float, Floats]:
    """A factorization machine (Rendle, 2010) whose every coordinate is learnt by FTRL-Proximal, in one pass.

    Each v_if is its first value until it has had a gradient other than 0. Weights [R], factors [R, k], with 0 for those
    that had none, intercept, predictions [N].
    """
    key = int(np.random.default_rng(seed).integers(2**63))
    z, n = [0.0] * n_features, [0.0] * n_features
    v_z, v_n = np.zeros((n_features, k)), np.zeros((n_features, k))
    bias_z = bias_n = 0.0
    predicted = []
    for t in range(len(rows)):
        x, y = example(rows, t, n_features, hashing), float(rows.label[t])
        b = closed_form(bias_z, bias_n, alpha, beta, 0, 0)
        w = {i: closed_form(z[i], n[i], alpha, beta, l1, l2) for i in x}
        v = {}
        for i in x:
            for f in range(k):
                v[i, f] = closed_form(v_z[i, f], v_n[i, f], alpha, beta, v_l1, v_l2)
                if v_n[i, f] == 0:
                    v[i, f] = init * first_value(key, i, f)
        total = [sum(v[i, f] * x[i] for i in x) for f in range(k)]
        crosses = sum(total[f] ** 2 - sum((v[i, f] * x[i]) ** 2 for i in x) for f in range(k)) / 2
        p = sigmoid(b + sum(w[i] * x[i] for i in x) + crosses)
        predicted.append(p)
        for i in x:
            g = (p - y) * x[i]
            sigma = (math.sqrt(n[i] + g**2) - math.sqrt(n[i])) / alpha
            z[i] += g - sigma * w[i]
            n[i] += g**2
            for f in range(k):
                g = (p - y) * x[i] * (total[f] - v[i, f] * x[i])
                sigma = (math.sqrt(v_n[i, f] + g**2) - math.sqrt(v_n[i, f])) / alpha
                v_z[i, f] += g - sigma * v[i, f]
                v_n[i, f] += g**2
        if intercept:
            sigma = (math.sqrt(bias_n + (p - y) ** 2) - math.sqrt(bias_n)) / alpha
            bias_z += p - y - sigma * b
            bias_n += (p - y) ** 2
    weights = [closed_form(z[i], n[i], alpha, beta, l1, l2) for i in range(n_features)]
    factors = np.zeros((n_features, k))
    for i in range(n_features):
        for f in range(k):
            factors[i, f] = closed_form(v_z[i, f], v_n[i, f], alpha, beta, v_l1, v_l2)
    return np.array(weights), factors, closed_form(bias_z, bias_n, alpha, beta, 0, 0), np.array(predicted)
