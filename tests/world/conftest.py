"""Worlds that several tests look at; they are never changed."""

from __future__ import annotations

import pytest

from rectutor.world import FeedWorld, Size

STUDY = Size(users=1_500, notes=2_500, authors=250, days=28, sessions_per_day=0.46)
"""Large enough for the facts to stand out from noise, small enough for three seeds."""


@pytest.fixture(scope="session")
def tiny() -> FeedWorld:
    return FeedWorld.generate("tiny", seed=0)


@pytest.fixture(scope="session")
def small() -> FeedWorld:
    return FeedWorld.generate("small", seed=0)


@pytest.fixture(scope="session", params=[1, 2, 3], ids="seed{}".format)
def study(request: pytest.FixtureRequest) -> FeedWorld:
    return FeedWorld.generate(STUDY, seed=request.param)
