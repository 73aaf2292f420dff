"""The planted crosses that FeedWorld tells, against the click logits that they are part of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from rectutor.world import FeedWorld, behaviour
from rectutor.world.fixedpoint import UNIT

HOURS = {  # only the named thing differs: days 11 and 12 are holidays, days 5, 6, 12 and 13 weekends
    "gender": [24 * 7] * 2,
    "hour_block": [24 * 7 + 4 * block for block in range(6)],
    "weekend": [24 * 7, 24 * 13],
    "holiday": [24 * 4, 24 * 11],
}


@pytest.fixture(scope="module")
def world() -> FeedWorld:
    return FeedWorld.generate("tiny", seed=0)


def double_differences(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each value of the rows adds to each column beyond what either adds alone."""
    return table - table[:1] - table[:, :1] + table[:1, :1]


@pytest.mark.parametrize("name", HOURS)
def test_crosses_are_part_of_the_click_logits(name: str, world: FeedWorld) -> None:
    """One user meets image notes of all categories; only the gender, or only the time, moves."""
    inside = world._world
    notes = world.notes[world.notes.type == "image"].drop_duplicates("level1").note.to_numpy()
    told, users = world.crosses(name), [inside.users] * len(HOURS[name])
    if name == "gender":
        users = [replace(inside.users, gender=np.full_like(inside.users.gender, g)) for g in range(2)]
    user = np.zeros_like(notes)
    logits = [
        behaviour.static_logits(of, inside.notes, inside.crosses, user, notes, np.full_like(notes, hour))
        for of, hour in zip(users, HOURS[name])
    ]
    expected = double_differences(told[world.notes.level1[notes]].to_numpy())
    np.testing.assert_allclose(double_differences(np.array(logits) / UNIT), expected, atol=1e-12)


def test_crosses_name_their_rows(world: FeedWorld) -> None:
    assert list(world.crosses("gender").index) == ["female", "male"]
    assert world.crosses("hour_block").shape == (6, 12)
    with pytest.raises(ValueError, match="user_side is 'age'"):
        world.crosses("age")
