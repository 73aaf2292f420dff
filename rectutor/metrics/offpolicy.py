r"""Off-policy estimates: what another policy would have earned, from what the logging policy showed.

The log holds context, action, reward and the propensity :math:`\mu(a \mid x)`, the chance the logging policy had to
show what it showed. A target policy would show it with chance :math:`\pi(a \mid x)`; the importance weight is
:math:`w = \pi / \mu`.

Shapes: N logged impressions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectutor.fastpath import fast_path
from rectutor.metrics import cases, reference
from rectutor.metrics.inputs import finite, same_length
from rectutor.metrics.results import Estimate


def _weighted(
    rewards: ArrayLike, propensity: ArrayLike, target: ArrayLike, clip: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r, mu, pi = finite(rewards, "rewards"), finite(propensity, "propensity"), finite(target, "target")
    same_length(rewards=r, propensity=mu, target=pi)
    if len(r) < 2:
        raise ValueError("one impression has no spread; an interval needs at least two")
    bad = (mu <= 0) | (mu > 1)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"propensity at row {row} is {mu[row]}; what was shown had a chance in (0, 1]: repair the log")
    bad = (pi < 0) | (pi > 1)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"target at row {row} is {pi[row]}; probabilities lie in [0, 1]")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip is {clip}; the greatest weight allowed must be positive, or None for no limit")
    w = pi / mu
    if not w.any():
        raise ValueError(
            "the target policy shows nothing of what was logged; its value cannot be estimated from this log"
        )
    return r, w if clip is None else np.minimum(w, clip)


@fast_path(reference.ips, cases=cases.logged, rtol=1e-10)
def ips(
    rewards: ArrayLike, propensity: ArrayLike, target: ArrayLike, *, clip: float | None = None, level: float = 0.95
) -> Estimate:
    r"""Inverse propensity scoring (Horvitz and Thompson, 1952): unbiased if every action had a chance.

    .. math:: \hat V = \frac1N \sum_i w_i r_i, \qquad \mathrm{se}^2 = \frac{1}{N (N - 1)} \sum_i (w_i r_i - \hat V)^2

    Args:
        rewards: what was earned, e.g. clicks [N].
        propensity: chance of the logged action under the logging policy, in (0, 1] [N].
        target: chance of the same action under the policy to be judged [N].
        clip: greatest weight allowed; lower spread, bought with bias. None: no limit.
        level: of the normal interval.

    Returns:
        Value, standard error, interval, and the effective sample size :math:`(\sum w)^2 / \sum w^2`.

    >>> estimate = ips([1, 0, 1, 0], [0.5, 0.5, 0.25, 0.75], [1.0, 0.0, 0.5, 0.5])
    >>> estimate.value, round(estimate.effective_sample_size, 2)
    (1.0, 2.58)
    """
    r, w = _weighted(rewards, propensity, target, clip)
    terms = w * r
    error = float(terms.std(ddof=1) / np.sqrt(len(r)))
    return Estimate.normal(float(terms.mean()), error, level, float(w.sum() ** 2 / (w @ w)))


@fast_path(reference.snips, cases=cases.logged, rtol=1e-10)
def snips(
    rewards: ArrayLike, propensity: ArrayLike, target: ArrayLike, *, clip: float | None = None, level: float = 0.95
) -> Estimate:
    r"""Self-normalised IPS (Swaminathan and Joachims, 2015): the weighted mean reward, never out of range.

    .. math:: \hat V = \frac{\sum_i w_i r_i}{\sum_i w_i}, \qquad
        \mathrm{se} = \frac{\sqrt{\sum_i w_i^2 (r_i - \hat V)^2}}{\sum_i w_i}

    Slightly biased, mostly far less spread. Arguments and result as in :func:`ips`; the standard error is that of the
    delta method.

    >>> snips([1, 1, 1], [0.2, 0.5, 0.3], [0.1, 0.9, 0.4]).value
    1.0
    """
    r, w = _weighted(rewards, propensity, target, clip)
    value = float(w @ r / w.sum())
    error = float(np.sqrt(np.sum((w * (r - value)) ** 2)) / w.sum())
    return Estimate.normal(value, error, level, float(w.sum() ** 2 / (w @ w)))
