"""Exact arithmetic for draws: the same seed gives the same world on every platform.

Three rules keep a draw from depending on a platform's last bits.

1. Random bits come only from ``PCG64.random_raw`` under a ``SeedSequence``; NumPy guarantees both streams, while the
   methods of ``Generator`` (``normal``, ``choice``, ...) may change between versions and call the platform's libm.
2. Whatever decides a draw is an integer: latent vectors, attributes and logits are fixed-point numbers (one logit is
   ``UNIT`` = 256), their sums and products are exact, so the order of summation and the BLAS in use do not matter.
3. A logit becomes a probability by table look-up. Table entries are multiples of 2**-24, exact in float32; a libm that
   errs in its last bit rounds to the same entry. A draw compares 24 random bits with the entry.

Floats appear in results only (propensities, unit vectors): each is made by single IEEE operations in a fixed order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

UNIT = 256
"""One logit (or one standard unit of an attribute) in fixed point."""

LOGIT_LIMIT = 12 * UNIT
"""Logits beyond +-12 are read as +-12: probabilities of 6e-6 and 1 - 6e-6."""

PROBABILITY_BITS = 24
"""Probabilities are multiples of 2**-24."""

_GRID = np.arange(-LOGIT_LIMIT, LOGIT_LIMIT + 1) / UNIT
_SIGMOID = np.rint(2.0**PROBABILITY_BITS / (1.0 + np.exp(-_GRID))).astype(np.int64)
_NORMAL_SD = 209  # standard deviation of a sum of 8 uniform bytes: sqrt(8 * (256**2 - 1) / 12) = 209.02


def sigmoid24(logits: NDArray[Any]) -> IntArray:
    """The logistic function of fixed-point logits, in units of 2**-24."""
    return np.asarray(_SIGMOID[np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT) + LOGIT_LIMIT])


def as_probability(p24: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities in units of 2**-24 as float32; exact."""
    return np.asarray(p24, dtype=np.float32) * np.float32(2.0**-PROBABILITY_BITS)


def fixed(value: float) -> int:
    """A number of logits as fixed point, to the nearest 1/256."""
    return round(value * UNIT)


def cosine(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Cosine of integer vectors along the last axis; broadcasts over the others. Sums are exact in float64."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    return np.asarray((x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1)))


def unit_rows(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Rows of an integer matrix [N, D] scaled to length one."""
    x = vectors.astype(np.float64)
    return np.asarray(x / np.sqrt((x * x).sum(1, keepdims=True)), dtype=np.float32)


class Draws:
    """A named stream of random draws: equal keys give equal draws, streams of different keys are independent.

    >>> Draws(0, 1).below(6, 3).tolist() == Draws(0, 1).below(6, 3).tolist()
    True
    """

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def raw(self, n: int) -> NDArray[np.uint64]:
        """64 random bits each."""
        return np.asarray(self._bits.random_raw(n), dtype=np.uint64)

    def below(self, bound: int | NDArray[Any], n: int) -> IntArray:
        """Uniform on 0 .. bound - 1 (bounds at most 2**32: the bias of the remainder is below 2**-32)."""
        return (self.raw(n) % np.asarray(bound, dtype=np.uint64)).astype(np.int64)

    def hits(self, p24: NDArray[Any]) -> NDArray[np.bool_]:
        """One Bernoulli draw for each probability, given in units of 2**-24."""
        return self.raw(len(p24)) >> np.uint64(64 - PROBABILITY_BITS) < p24.astype(np.uint64)

    def normal(self, shape: int | tuple[int, ...], sd: int) -> IntArray:
        """Integers with mean 0 and standard deviation ``sd``: sums of eight uniform bytes (Irwin-Hall), rounded."""
        n = int(np.prod(shape))
        raw = self.raw(n)
        total = np.zeros(n, dtype=np.int64)
        for byte in range(8):
            total += (raw >> np.uint64(8 * byte) & np.uint64(255)).astype(np.int64)
        return ((2 * sd * (total - 1020) + _NORMAL_SD) // (2 * _NORMAL_SD)).reshape(shape)

    def weighted(self, weights: NDArray[Any], n: int) -> IntArray:
        """Indices drawn with replacement in proportion to integer weights."""
        cumulative = np.cumsum(weights, dtype=np.int64)
        return np.searchsorted(cumulative, self.below(int(cumulative[-1]), n), side="right")

    def lognormal(self, n: int, sd: int, median: int) -> IntArray:
        """Heavy-tailed positive integers: ``median * 2**(x / 256)`` with x of standard deviation ``sd``."""
        return scale_by_power(np.full(n, median), self.normal(n, sd))


_POWERS = np.rint(2.0 ** (np.arange(256) / 256) * 2**16).astype(np.int64)


def scale_by_power(base: NDArray[Any], exponent256: NDArray[Any]) -> IntArray:
    """``base * 2**(exponent / 256)`` rounded to an integer of at least 1."""
    whole, part = exponent256 >> 8, exponent256 & 255
    mantissa = base.astype(np.int64) * _POWERS[part]  # in units of 2**-16
    shift = 16 - np.clip(whole, -14, 16)
    half = (np.int64(1) << np.maximum(shift - 1, 0)) * (shift > 0)
    return np.asarray(np.maximum((mantissa + half) >> shift, 1))


def bit_length(x: NDArray[Any]) -> IntArray:
    """Binary digits of non-negative integers below 2**53: 0 -> 0, 1 -> 1, 2..3 -> 2, 4..7 -> 3, ..."""
    return np.frexp(x.astype(np.float64))[1].astype(np.int64)
