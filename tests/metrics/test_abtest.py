"""A/B tests: printed figures, simulated tests, inverses; and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rectutor.metrics import (
    mean_test,
    minimum_detectable_effect,
    peeking_error,
    peeking_simulation,
    ratio_test,
    ratio_variance,
    reference,
    sample_size,
)


def test_mean_test_by_hand() -> None:
    """Means 1 and 3, variances of the means 1/3 * 1 and 1/3 * 4: z = 2 / sqrt(5/3)."""
    test = mean_test([0, 1, 2], [1, 3, 5])
    assert test.difference == 2.0
    assert test.z == pytest.approx(2 / math.sqrt(5 / 3), rel=1e-12)
    assert test.p_value == pytest.approx(0.1213, abs=5e-5)  # two-sided, z = 1.549
    assert test.high - test.low == pytest.approx(2 * 1.959964 * math.sqrt(5 / 3), rel=1e-6)


def test_level_of_an_a_a_test() -> None:
    """2000 A/A tests at 0.05: 100 false alarms expected, 5 binomial standard deviations are 49."""
    rng = np.random.default_rng(0)
    alarms = sum(mean_test(rng.random(50), rng.random(70)).p_value < 0.05 for _ in range(2_000))
    assert abs(alarms - 100) < 49


def test_power_is_what_the_sample_size_promises() -> None:
    """1000 tests with the computed n: 800 should find the effect; 5 binomial standard deviations are 64."""
    n = sample_size(effect=0.5, std=1.0)
    assert n == 63  # Cohen (1988) prints 64 with the t distribution
    rng = np.random.default_rng(1)
    found = sum(mean_test(rng.standard_normal(n), rng.standard_normal(n) + 0.5).p_value < 0.05 for _ in range(1_000))
    assert abs(found - 800) < 64


def test_sample_size_and_minimum_detectable_effect_are_inverse() -> None:
    for n in (10, 1_000, 54_321):
        effect = minimum_detectable_effect(n, std=0.3, alpha=0.01, power=0.9)
        assert sample_size(effect * (1 + 1e-12), std=0.3, alpha=0.01, power=0.9) == n
    assert sample_size(0.01, 0.3) == pytest.approx(4 * sample_size(0.02, 0.3), rel=1e-3)


def test_ratio_variance_with_equal_denominators_is_that_of_a_mean() -> None:
    x = np.random.default_rng(2).random(40)
    ratio, variance = ratio_variance(x, np.full(40, 3.0))
    assert ratio == pytest.approx(x.mean() / 3, rel=1e-12)
    assert variance == pytest.approx(x.var(ddof=1) / 40 / 9, rel=1e-10)


def test_ratio_variance_counts_users_not_impressions() -> None:
    """Each user clicks always or never: impressions of a user say nothing new, and the naive variance is too small."""
    rng = np.random.default_rng(3)
    estimates, variances, naive = [], [], []
    for _ in range(500):
        shown = rng.integers(5, 15, 200)
        clicks = shown * (rng.random(200) < 0.3)
        ratio, variance = ratio_variance(clicks, shown)
        estimates.append(ratio)
        variances.append(variance)
        naive.append(ratio * (1 - ratio) / shown.sum())
    spread = np.var(estimates, ddof=1)
    assert np.mean(variances) == pytest.approx(spread, rel=5 * math.sqrt(2 / 499))  # 5 errors of a variance
    assert np.mean(naive) < spread / 5


def test_ratio_test_sees_a_difference() -> None:
    rng = np.random.default_rng(4)
    shown = rng.integers(5, 15, 3_000)
    a, b = (rng.binomial(shown, 0.10), shown), (rng.binomial(shown, 0.12), shown)
    test = ratio_test(a, b)
    assert test.low < 0.02 < test.high
    assert test.p_value < 1e-3


@pytest.mark.parametrize(("looks", "printed"), [(1, 0.05), (2, 0.083), (3, 0.107), (4, 0.126), (5, 0.142), (10, 0.193)])
def test_peeking_as_printed(looks: int, printed: float) -> None:
    """Armitage, McPherson and Rowe (1969), table 2, nominal level 0.05."""
    assert peeking_error(looks) == pytest.approx(printed, abs=6e-4)


def test_peeking_by_simulation() -> None:
    assert reference.peeking_error(3, points=61) == pytest.approx(peeking_error(3), abs=1e-6)
    for looks in (1, 4):
        expected = peeking_error(looks, alpha=0.1)
        got = peeking_simulation(looks, alpha=0.1, trials=20_000, seed=looks)
        assert got == pytest.approx(expected, abs=5 * math.sqrt(expected * (1 - expected) / 20_000))


@pytest.mark.parametrize(
    ("function", "arguments", "options", "message"),
    [
        (mean_test, ([1.0], [1.0, 2.0]), {}, "control has one user"),
        (mean_test, ([1, 1], [2, 2]), {}, "neither arm has any spread"),
        (mean_test, ([1, 2], [np.nan, 2]), {}, "treatment at row 0 is nan"),
        (mean_test, ([1, 2], [1, 2]), {"level": 1.5}, "level is 1.5"),
        (ratio_variance, ([1, 2], [0, 0]), {}, "denominator runs from 0.0 to 0.0"),
        (ratio_variance, ([1], [2]), {}, "one user has no spread"),
        (ratio_test, (([0, 0], [1, 1]), ([0, 0], [1, 1])), {}, "neither arm has any spread"),
        (minimum_detectable_effect, (1, 0.3), {}, "n is 1; it must be at least 2"),
        (minimum_detectable_effect, (10, 0.0), {}, "std is 0.0"),
        (minimum_detectable_effect, (10, 0.3), {"power": 1.0}, "power is 1.0"),
        (sample_size, (0.0, 0.3), {}, "effect is 0.0"),
        (sample_size, (0.1, -1.0), {}, "std is -1.0"),
        (sample_size, (0.1, 0.3), {"alpha": 0.0}, "alpha is 0.0"),
        (peeking_error, (0,), {}, "looks is 0"),
        (peeking_error, (2,), {"points": 100}, "points is 100; Simpson's rule needs an odd number"),
    ],
)
def test_what_is_refused(function: Any, arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(*arguments, **options)
