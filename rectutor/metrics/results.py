"""What the estimators return: a value with its uncertainty, under names."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple


def normal_quantile(probability: float) -> float:
    """The value below which a standard normal variable falls with this probability.

    >>> round(normal_quantile(0.975), 4)
    1.96
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability is {probability}; it must lie strictly between 0 and 1")
    return NormalDist().inv_cdf(probability)


class Estimate(NamedTuple):
    """An estimated mean, its standard error, a two-sided interval, and the effective sample size."""

    value: float
    standard_error: float
    low: float
    high: float
    effective_sample_size: float

    @classmethod
    def normal(cls, value: float, standard_error: float, level: float, effective_sample_size: float) -> Estimate:
        """With the interval of the normal approximation, ``value ± z · standard_error``."""
        half = normal_quantile((1 + level) / 2) * standard_error
        return cls(value, standard_error, value - half, value + half, effective_sample_size)


class ABTest(NamedTuple):
    """Treatment minus control: difference, standard error, interval, z and two-sided p-value."""

    difference: float
    standard_error: float
    low: float
    high: float
    z: float
    p_value: float

    @classmethod
    def normal(cls, difference: float, standard_error: float, level: float) -> ABTest:
        """With interval and p-value of the normal approximation."""
        half = normal_quantile((1 + level) / 2) * standard_error
        z = difference / standard_error
        return cls(difference, standard_error, difference - half, difference + half, z, math.erfc(abs(z) / 2**0.5))


class GAUCDetails(NamedTuple):
    """GAUC, the groups that count, and the groups left out because they hold one class only."""

    value: float
    groups: int
    single_class: int
