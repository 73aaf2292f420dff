from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rectutor.world import FeedWorld
from rectutor.world.fixedpoint import Draws
from rectutor.world.policy import Choice, Excluded, HourTables, LoggingPolicy
from rectutor.world.sessions import Sessions

# Six notes, of which 1 to 5 are live, in three categories; category 2 has no live note.
CATEGORY = np.array([2, 0, 0, 1, 1, 1])
WEIGHT = np.array([0, 6, 2, 1, 4, 7], dtype=np.uint16)
PORTRAIT = np.array([[3, 1, 0], [0, 1, 1]])
NOTHING = Excluded(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


def tables() -> HourTables:
    return HourTables.make(WEIGHT, CATEGORY, n_level2=3, first=1, last=6)


def sessions(users: NDArray[Any], length: int) -> Sessions:
    none = np.zeros(len(users), dtype=np.int64)
    return Sessions(users, none, none, np.full(len(users), length), none, none, none)


def by_hand(user: int) -> list[float]:
    """The mixture of the module's formula, with plain loops."""
    chances = [0.0] * 6
    for note in range(1, 6):
        popular = WEIGHT[note] / 20
        mass = {0: 8, 1: 12, 2: 0}
        belief = PORTRAIT[user] / PORTRAIT[user].sum()
        personal = sum(
            belief[c] * ((WEIGHT[note] / mass[c] if CATEGORY[note] == c else 0.0) if mass[c] else popular)
            for c in range(3)
        )
        chances[note] = 0.40 * popular + 0.40 * personal + 0.20 / 5
    return chances


@pytest.mark.parametrize("user", [0, 1])
def test_propensity_is_the_mixture(user: int) -> None:
    found = LoggingPolicy(PORTRAIT).propensity(tables(), np.full(6, user), np.arange(6))
    assert found == pytest.approx(by_hand(user), abs=1e-15)
    assert found.sum() == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("user", [0, 1])
def test_slots_follow_successive_sampling(user: int) -> None:
    """Frequencies of whole sessions against the product of conditional chances, note 4 being excluded."""
    n, length = 60_000, 3
    policy = LoggingPolicy(PORTRAIT)
    excluded = Excluded(np.arange(n), np.full(n, 4))
    choice = policy.choose(tables(), sessions(np.full(n, user), length), excluded, Draws(11, user))
    shown = choice.note.reshape(n, length)
    base = by_hand(user)
    statistic, cells = 0.0, 0
    for order in permutations([1, 2, 3, 5], length):
        chance, left = 1.0, 1.0 - base[4]
        for note in order:
            chance *= base[note] / left
            left -= base[note]
        count = int((shown == order).all(1).sum())
        statistic += (count - n * chance) ** 2 / (n * chance)
        cells += 1
        rows = (shown == order).all(1)
        if count:
            logged = choice.propensity.reshape(n, length)[rows][0]
            assert np.prod(logged) == pytest.approx(chance, rel=1e-12)
    assert cells == 24
    assert statistic < 55  # chi-square, 23 degrees of freedom: p = 0.0002
    assert (choice.candidates.reshape(n, length) == [4, 3, 2]).all()


def test_a_session_longer_than_the_pool_is_refused() -> None:
    policy = LoggingPolicy(PORTRAIT)
    assert len(policy.choose(tables(), sessions(np.array([0]), 5), NOTHING, Draws(0)).note) == 5
    with pytest.raises(ValueError, match="more notes than the 5 live ones"):
        policy.choose(tables(), sessions(np.array([0]), 6), NOTHING, Draws(0))
    with pytest.raises(ValueError, match="more notes than the 5 live ones"):
        policy.choose(tables(), sessions(np.array([0]), 5), Excluded(np.array([0]), np.array([3])), Draws(0))


def test_logged_propensities_are_those_of_the_slots_and_sum_to_one(tiny: FeedWorld) -> None:
    log = tiny.impressions
    for row in np.random.default_rng(0).choice(len(log), 200, replace=False):
        at = log.iloc[row]
        chances = tiny.slot_propensities(int(row))
        assert chances.sum() == pytest.approx(1.0, abs=1e-12)
        assert chances[int(at.note)] == pytest.approx(at.propensity, rel=1e-9)
        assert (chances > 0).sum() == at.candidates


def test_propensities_over_candidates_sum_to_one_before_exclusion(tiny: FeedWorld) -> None:
    for hour in (0, 100, 335):
        grid = tiny.propensity(np.arange(200)[:, None], np.arange(400)[None, :], hour)
        assert grid.sum(1) == pytest.approx(np.ones(200), abs=1e-12)
        live = tiny.live_notes(hour)
        assert (grid[:, live] > 0).all()
        assert np.count_nonzero(grid) == 200 * len(live)


def test_inverse_propensities_estimate_a_slot_mean_without_bias() -> None:
    """Expectation of f(note) / (candidates * propensity), summed over every outcome, is the mean of f."""
    base = np.array(by_hand(0))
    f = np.array([0.0, 0.3, 0.9, 0.1, 0.5, 0.7])
    for shown in ([], [5], [5, 1]):
        left = np.setdiff1d(np.arange(1, 6), shown)
        chance = base[left] / (1 - base[shown].sum())
        assert chance.sum() == pytest.approx(1.0)
        assert (chance * f[left] / (len(left) * chance)).sum() == pytest.approx(f[left].mean())


class Uniform:
    """Every live note that is not excluded with equal chance."""

    def choose(self, tables: HourTables, sessions: Sessions, excluded: Excluded, draws: Draws) -> Choice:
        n = len(sessions)
        keys = draws.raw(n * tables.n_live).reshape(n, tables.n_live) >> np.uint64(1)
        keys[excluded.session, excluded.note - tables.first] = np.iinfo(np.uint64).max
        session, position = sessions.slots()
        note = tables.first + np.argsort(keys, axis=1)[session, position]
        candidates = tables.n_live - position - np.bincount(excluded.session, minlength=n)[session]
        return Choice(note, 1.0 / candidates, candidates)


def test_the_hour_step_takes_any_policy_and_ips_foretells_its_ctr() -> None:
    """Two days of the same world, once logged, once under the policy that the log is asked about."""
    logged = FeedWorld("small", seed=5)
    days = logged.days()
    first_days = [next(days).impressions for _ in range(2)]
    click, propensity, candidates = (
        np.concatenate([d[name] for d in first_days]) for name in ("click", "propensity", "candidates")
    )
    estimate = click / (candidates * propensity)

    platform = FeedWorld("small", seed=5)._platform
    clicks = []
    for day in range(2):
        sessions = platform.start_day(day)
        for hour in range(24 * day, 24 * day + 24):
            now = sessions.rows(np.flatnonzero(sessions.hour == hour))
            clicks.append(platform.step(hour, now, Uniform()).click)
    happened = np.concatenate(clicks)

    assert len(happened) == len(click) > 50_000
    error = np.sqrt(estimate.var() / len(estimate) + happened.var() / len(happened))
    assert abs(estimate.mean() - happened.mean()) < 4 * error
    assert click.mean() - happened.mean() > 20 * error
