r"""A/B tests: is the difference more than chance, how many users show it, and what looking early does.

Shapes: N users of one arm.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from rectutor.fastpath import fast_path
from rectutor.metrics import cases, reference
from rectutor.metrics.inputs import finite, same_length, whole
from rectutor.metrics.results import ABTest, normal_quantile


def _inside(value: float, name: str) -> float:
    if not 0 < value < 1:
        raise ValueError(f"{name} is {value}; it must lie strictly between 0 and 1")
    return float(value)


@fast_path(reference.mean_test, cases=cases.arms, rtol=1e-9, atol=1e-13)
def mean_test(control: ArrayLike, treatment: ArrayLike, *, level: float = 0.95) -> ABTest:
    r"""Two-sample z-test of a difference of means, with unequal variances.

    .. math:: z = \frac{\bar x_B - \bar x_A}{\sqrt{s_A^2 / N_A + s_B^2 / N_B}}

    One value a *user* (or whatever was randomised): rows of one user are not independent. For the share of users who
    click, the values are 0 and 1.

    Args:
        control, treatment: one value a user.
        level: of the interval.

    Raises:
        ValueError: fewer than two users in an arm, NaN, no spread in either arm.

    >>> test = mean_test([0, 1, 0, 1], [1, 1, 1, 0])
    >>> test.difference, round(test.p_value, 3)
    (0.25, 0.513)
    """
    a, b = finite(control, "control"), finite(treatment, "treatment")
    for name, x in (("control", a), ("treatment", b)):
        if len(x) < 2:
            raise ValueError(f"{name} has one user; a variance needs at least two")
    error = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    if error == 0:
        raise ValueError("neither arm has any spread; a z-test has nothing to compare the difference with")
    return ABTest.normal(float(b.mean() - a.mean()), error, _inside(level, "level"))


@fast_path(reference.ratio_variance, cases=cases.ratios, rtol=1e-8, atol=1e-15)
def ratio_variance(numerator: ArrayLike, denominator: ArrayLike) -> tuple[float, float]:
    r"""A ratio of sums over users, such as CTR, and its variance by the delta method.

    .. math:: \hat R = \frac{\sum_u x_u}{\sum_u y_u}, \qquad
        \widehat{\mathrm{Var}}(\hat R) = \frac{1}{N \bar y^2} \cdot \frac{1}{N - 1} \sum_u (x_u - \hat R y_u)^2

    Users are randomised, impressions are not: :math:`\hat R (1 - \hat R) / \sum y` is too small when a user's clicks go
    together.

    Args:
        numerator: clicks of each user [N].
        denominator: impressions of each user, >= 0 and not all 0 [N].

    >>> ratio, variance = ratio_variance([1, 0, 3], [4, 2, 6])
    >>> round(ratio, 4), round(variance, 5)
    (0.3333, 0.0162)
    """
    x, y = finite(numerator, "numerator"), finite(denominator, "denominator")
    same_length(numerator=x, denominator=y)
    if len(x) < 2:
        raise ValueError("one user has no spread; a variance needs at least two")
    if (y < 0).any() or not y.any():
        raise ValueError(f"denominator runs from {y.min()} to {y.max()}; it must be >= 0 and not all 0")
    ratio = float(x.sum() / y.sum())
    residual = x - ratio * y
    return ratio, float(residual @ residual / (len(x) - 1) * len(x) / y.sum() ** 2)


def ratio_test(
    control: tuple[ArrayLike, ArrayLike], treatment: tuple[ArrayLike, ArrayLike], *, level: float = 0.95
) -> ABTest:
    """z-test of a difference of two ratios; each arm is (numerators, denominators) of its users.

    >>> a = ([1, 0, 3, 2], [4, 2, 6, 5])
    >>> ratio_test(a, a).difference
    0.0
    """
    a, variance_a = ratio_variance(*control)
    b, variance_b = ratio_variance(*treatment)
    if variance_a + variance_b == 0:
        raise ValueError("neither arm has any spread; a z-test has nothing to compare the difference with")
    return ABTest.normal(b - a, math.sqrt(variance_a + variance_b), _inside(level, "level"))


def minimum_detectable_effect(n: int, std: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    r"""The difference of means that n users *in each arm* reveal with the given power.

    .. math:: \mathrm{MDE} = (z_{1 - \alpha/2} + z_{\text{power}})\, \sigma \sqrt{2 / n}

    The far tail (significance in the wrong direction) is left out, as is usual.

    >>> round(minimum_detectable_effect(10_000, std=0.3), 5)
    0.01189
    """
    whole(n, "n", 2)
    if not (std > 0 and math.isfinite(std)):
        raise ValueError(f"std is {std}; give the positive standard deviation of one user's value")
    z = normal_quantile(1 - _inside(alpha, "alpha") / 2) + normal_quantile(_inside(power, "power"))
    return z * std * math.sqrt(2 / n)


def sample_size(effect: float, std: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    r"""Users needed *in each arm* to reveal a difference of means: the inverse of :func:`minimum_detectable_effect`.

    .. math:: n = \left\lceil \frac{2 (z_{1 - \alpha/2} + z_{\text{power}})^2 \sigma^2}{\delta^2} \right\rceil

    Half the effect takes four times the users.

    >>> sample_size(effect=0.002, std=0.3)
    353200
    """
    if not (effect != 0 and math.isfinite(effect)):
        raise ValueError(f"effect is {effect}; give the difference that must not be missed, not 0")
    if not (std > 0 and math.isfinite(std)):
        raise ValueError(f"std is {std}; give the positive standard deviation of one user's value")
    z = normal_quantile(1 - _inside(alpha, "alpha") / 2) + normal_quantile(_inside(power, "power"))
    return max(2, math.ceil(2 * (z * std / effect) ** 2))


@fast_path(reference.peeking_error, cases=cases.peeks, rtol=1e-10)
def peeking_error(looks: int, alpha: float = 0.05, *, points: int = 401) -> float:
    r"""The chance of a false alarm if a test at level alpha is read after each of several equal batches.

    Reading stops at the first significant result. With no true difference, the sum of j batches is normal with
    variance j; its density on what has not crossed :math:`z_{1 - \alpha/2} \sqrt{j}` is carried from look to look by
    Simpson's rule (Armitage, McPherson and Rowe, 1969).

    Args:
        looks: how often the test is read.
        alpha: level of each reading.
        points: of the grid, odd.

    >>> [round(peeking_error(looks), 3) for looks in (1, 2, 5, 10)]
    [0.05, 0.083, 0.142, 0.193]
    """
    whole(looks, "looks")
    if whole(points, "points", 5) % 2 == 0:
        raise ValueError(f"points is {points}; Simpson's rule needs an odd number")
    z = normal_quantile(1 - _inside(alpha, "alpha") / 2)
    simpson = np.where(np.arange(points) % 2 == 1, 4.0, 2.0)
    simpson[[0, -1]] = 1.0
    unit = np.linspace(-z, z, points)
    step = 2 * z / (points - 1) / 3
    root = 1 / math.sqrt(2 * math.pi)
    density = root * np.exp(-(unit**2) / 2)
    for j in range(2, looks + 1):
        old, new = unit * math.sqrt(j - 1), unit * math.sqrt(j)
        bell = root * np.exp(-((new[:, None] - old[None, :]) ** 2) / 2)  # [points, points]
        density = bell @ (simpson * step * math.sqrt(j - 1) * density)
    return float(1 - simpson @ density * step * math.sqrt(looks))


def peeking_simulation(
    looks: int, alpha: float = 0.05, *, trials: int = 10_000, seed: int | np.random.Generator = 0
) -> float:
    """The same chance by simulation: the share of ``trials`` A/A tests that looked significant at one of the looks.

    >>> 0.12 < peeking_simulation(5) < 0.16
    True
    """
    whole(looks, "looks")
    whole(trials, "trials")
    z = normal_quantile(1 - _inside(alpha, "alpha") / 2)
    sums = np.random.default_rng(seed).standard_normal((trials, looks)).cumsum(axis=1)
    return float((np.abs(sums) > z * np.sqrt(np.arange(1, looks + 1))).any(axis=1).mean())
