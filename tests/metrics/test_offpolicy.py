"""Off-policy estimates against a policy whose value is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rectutor.metrics import ips, snips

CTR = np.array([0.02, 0.05, 0.30])
LOGGING = np.array([0.7, 0.2, 0.1])
TARGET = np.array([0.1, 0.3, 0.6])


def log(seed: int, n: int) -> tuple[Any, Any, Any]:
    """Three actions; the logging policy mostly shows the worst."""
    rng = np.random.default_rng(seed)
    action = rng.choice(3, n, p=LOGGING)
    return (rng.random(n) < CTR[action]).astype(int), LOGGING[action], TARGET[action]


@pytest.mark.parametrize("estimator", [ips, snips])
def test_intervals_cover_the_true_value(estimator: Any) -> None:
    """Of 400 intervals at level 0.9, about 360 hold the truth; 5 binomial standard deviations are 30."""
    truth = float(TARGET @ CTR)
    covered = 0
    for seed in range(400):
        estimate = estimator(*log(seed, 3_000), level=0.9)
        covered += estimate.low <= truth <= estimate.high
    assert abs(covered - 360) < 30


def test_the_naive_mean_is_another_quantity() -> None:
    rewards, mu, pi = log(0, 50_000)
    estimate = ips(rewards, mu, pi)
    assert rewards.mean() == pytest.approx(float(LOGGING @ CTR), abs=0.005)
    assert estimate.low > rewards.mean()


def test_by_hand() -> None:
    estimate = ips([1, 0], [0.5, 0.25], [1.0, 0.5])
    assert estimate.value == 1.0  # (2 * 1 + 2 * 0) / 2
    assert estimate.standard_error == pytest.approx(1.0)  # terms 2 and 0: variance 2, over 2 rows
    assert estimate.effective_sample_size == 2.0
    assert snips([1, 0], [0.5, 0.25], [1.0, 0.25]).value == pytest.approx(2 / 3)
    assert ips([1, 0], [0.1, 0.5], [1.0, 0.5], clip=4.0).value == 2.0


def test_same_policy_is_the_mean_and_all_rows_count() -> None:
    rewards, mu, _ = log(1, 500)
    for estimator in (ips, snips):
        estimate = estimator(rewards, mu, mu)
        assert estimate.value == pytest.approx(rewards.mean(), rel=1e-12)
        assert estimate.effective_sample_size == pytest.approx(500)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1, 0], [0.0, 0.5], [0.5, 0.5]), {}, r"propensity at row 0 is 0.0; what was shown had a chance in \(0, 1\]"),
        (([1, 0], [0.1, 1.5], [0.5, 0.5]), {}, "propensity at row 1 is 1.5"),
        (([1, 0], [0.1, 0.5], [0.5, -0.5]), {}, "target at row 1 is -0.5"),
        (([1, np.nan], [0.1, 0.5], [0.5, 0.5]), {}, "rewards at row 1 is nan"),
        (([1, 0], [0.1, 0.5], [0.0, 0.0]), {}, "the target policy shows nothing of what was logged"),
        (([1, 0], [0.1, 0.5], [0.5, 0.5]), {"clip": 0.0}, "clip is 0.0"),
        (([1, 0], [0.1, 0.5], [0.5, 0.5]), {"level": 1.0}, "probability is 1.0"),
        (([1], [0.1], [0.5]), {}, "one impression has no spread"),
        (([1, 0, 1], [0.1, 0.5], [0.5, 0.5]), {}, "rewards has 3 rows, propensity has 2"),
    ],
)
def test_what_is_refused(arguments: Any, options: Any, message: str) -> None:
    for estimator in (ips, snips):
        with pytest.raises(ValueError, match=message):
            estimator(*arguments, **options)
