"""The compiled pass of FTRL and FTRL-FM over a block of examples.

The state of feature i is one row of an array: z and n of its weight, then z of its k factors, then n of its k factors;
logistic regression has k = 0. A row of zeros is a feature that has not been met. z and n are sums over the whole stream
and take 64 bits: in 32 bits n would stand still as soon as a squared gradient is less than n / 2^24.

All of it stands in one file, because a compiled function is cached by the date of its own file and not of the files
that it calls.

Shapes: N examples, P pairs, R features, k factors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_TURN = 2 * math.pi


@njit(cache=True, nogil=True)
def mixed(x: Any) -> Any:
    """The finalizer of splitmix64 (Steele et al., 2014): a bijection of 64 bits in which every bit moves every bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True)
def folded(i: int, features: int) -> int:
    """The row of a hashed id: splitmix64's i-th number modulo the number of features."""
    return int(mixed((np.uint64(i) + np.uint64(1)) * _STEP) % np.uint64(features))


@njit(cache=True, nogil=True)
def normal(key: int, i: int, f: int) -> float:
    """A standard normal number that depends on the key, the feature and the factor alone (Box and Muller, 1958)."""
    one = mixed(mixed(np.uint64(key) + np.uint64(i) * _STEP) + np.uint64(f) * _STEP)
    two = mixed(one + _STEP)
    radius = math.sqrt(-2 * math.log((np.float64(one >> np.uint64(11)) + 1) * 2.0**-53))
    return radius * math.cos(_TURN * (np.float64(two >> np.uint64(11)) * 2.0**-53))


@njit(cache=True, nogil=True)
def weight(z: float, n: float, alpha: float, beta: float, l1: float, l2: float) -> float:
    """What FTRL-Proximal makes of the sums: Algorithm 1 of McMahan et al. (2013)."""
    if abs(z) <= l1:
        return 0.0
    return -(z - math.copysign(l1, z)) / ((beta + math.sqrt(n)) / alpha + l2)


@njit(cache=True, nogil=True)
def go_over(
    indptr: Int,
    ids: Int,
    values: Any,
    label: Any,
    hashed: bool,
    learn: bool,
    state: Any,
    bias: Float,
    rates: Float,
    key: int,
    margin: Float,
) -> None:
    """Predict each example and, if ``learn``, learn from it before the next.

    Args:
        indptr, ids, values, label: the examples; an id repeated in an example counts once, with the sum of its values.
        hashed: whether ids are folded to rows of the state.
        learn: whether to learn; if not, a weight or factor that has had no gradient yet counts as 0.
        state: z and n of the weight, z of the factors, n of the factors [R, 2 + 2 k]; updated.
        bias: z and n of the intercept [2]; updated. n below 0 means that there is none.
        rates: alpha, beta, l1 and l2 of the weights, l1 and l2 of the factors, their first spread [7].
        key: what the first factors are drawn from.
        margin: filled with the log-odds of each example before it is learnt [N].
    """
    alpha, beta, l1, l2, v_l1, v_l2, spread = rates
    k = (state.shape[1] - 2) // 2
    longest = 0
    for r in range(len(label)):
        longest = max(longest, indptr[r + 1] - indptr[r])
    slots = 2
    while slots < 2 * longest:
        slots *= 2
    stamp = np.zeros(slots, np.int64)  # a hash table of the features of an example; which example filled a slot
    where = np.empty(slots, np.int64)  # and the place of its feature in the arrays that follow
    row, x, w = np.empty(longest, np.int64), np.empty(longest), np.empty(longest)
    v, total = np.empty((longest, k)), np.empty(k)
    for r in range(len(label)):
        # the features with x != 0, each once
        m = 0
        for j in range(indptr[r], indptr[r + 1]):
            i = folded(ids[j], len(state)) if hashed else ids[j]
            slot = np.int64((np.uint64(i) * _STEP) >> np.uint64(32)) & (slots - 1)
            while stamp[slot] == r + 1 and row[where[slot]] != i:
                slot = (slot + 1) & (slots - 1)
            if stamp[slot] == r + 1:
                x[where[slot]] += values[j]
            else:
                stamp[slot], where[slot] = r + 1, m
                row[m], x[m] = i, values[j]
                m += 1
        kept = 0
        for j in range(m):
            if x[j] != 0:
                row[kept], x[kept] = row[j], x[j]
                kept += 1
        m = kept
        # the weights, made anew from their sums, and the log-odds
        b = 0.0
        if bias[1] >= 0:
            b = weight(bias[0], bias[1], alpha, beta, 0.0, 0.0)
        score, squares = b, 0.0
        total[:] = 0
        for j in range(m):
            i = row[j]
            w[j] = weight(state[i, 0], state[i, 1], alpha, beta, l1, l2)
            score += w[j] * x[j]
            if k > 0:
                for f in range(k):
                    v[j, f] = weight(state[i, 2 + f], state[i, 2 + k + f], alpha, beta, v_l1, v_l2)
                if learn:
                    for f in range(k):
                        if state[i, 2 + k + f] == 0:
                            v[j, f] = spread * normal(key, i, f)
                for f in range(k):
                    product = v[j, f] * x[j]
                    total[f] += product
                    squares += product * product
        for f in range(k):
            score += 0.5 * total[f] * total[f]
        score -= 0.5 * squares
        margin[r] = score
        if not learn:
            continue
        # one step of every coordinate
        error = 1 / (1 + math.exp(-score)) - label[r]
        if bias[1] >= 0:
            bias[0] += error - (math.sqrt(bias[1] + error * error) - math.sqrt(bias[1])) / alpha * b
            bias[1] += error * error
        for j in range(m):
            i = row[j]
            g = error * x[j]
            n = state[i, 1]
            state[i, 0] += g - (math.sqrt(n + g * g) - math.sqrt(n)) / alpha * w[j]
            state[i, 1] = n + g * g
            for f in range(k):
                slope = g * (total[f] - v[j, f] * x[j])
                n = state[i, 2 + k + f]
                state[i, 2 + f] += slope - (math.sqrt(n + slope * slope) - math.sqrt(n)) / alpha * v[j, f]
                state[i, 2 + k + f] = n + slope * slope
