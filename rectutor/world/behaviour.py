"""What a user does with a note, as logits in fixed point.

Shapes: R rows (pairs of user and note in a context).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rectutor.world import coefficients as k
from rectutor.world.entities import DEVICES, GENDERS, NOTE_TYPES, Notes, Users
from rectutor.world.fixedpoint import Draws, IntArray, bit_length, fixed

POSITION_LOGITS = np.rint(-k.POSITION * 256 * np.log2(1 + np.arange(256))).astype(np.int64)
HERD_LOGITS = np.rint(k.HERD * 256 * np.arange(64)).astype(np.int64)
DAY_BLOCKS = 6
BLOCK_HOURS = 24 // DAY_BLOCKS
AGE_GROUPS = 4

_TASKS = tuple(k.BEHAVIOURS)
_BASE = np.array([fixed(k.BEHAVIOURS[t][0]) for t in _TASKS])
_COEFFICIENT = np.array([[round(16 * k.BEHAVIOURS[t][1].get(d, 0.0)) for t in _TASKS] for d in k.DRIVERS])


@dataclass(frozen=True, eq=False)
class Crosses:
    """Planted feature crosses, in logits of click: the ground truth for models of feature interaction."""

    hour_level1: IntArray  # [6, 12]
    weekend_level1: IntArray  # [2, 12]
    holiday_level1: IntArray  # [2, 12]
    gender_level1: IntArray  # [2, 12]
    device_type: IntArray  # [3, 2]
    age_type_hour: IntArray  # [4, 2, 6]: third order


def make_crosses(draws: Draws) -> Crosses:
    """Draw the tables of crosses."""
    n1 = len(k.LEVEL1)
    weekend, holiday = np.zeros((2, 2, n1), dtype=np.int64)
    weekend[1], holiday[1] = draws.normal(n1, fixed(k.WEEKEND_SD)), draws.normal(n1, fixed(k.HOLIDAY_SD))
    return Crosses(
        draws.normal((DAY_BLOCKS, n1), fixed(k.HOUR_SD)),
        weekend,
        holiday,
        draws.normal((len(GENDERS), n1), fixed(k.GENDER_SD)),
        draws.normal((len(DEVICES), len(NOTE_TYPES)), fixed(0.2)),
        draws.normal((AGE_GROUPS, len(NOTE_TYPES), DAY_BLOCKS), fixed(k.AGE_TYPE_HOUR_SD)),
    )


def calendar(hour: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Hour of the day (0 to 23), weekday (Monday 0) and holiday flag of log hours."""
    day = hour // 24
    return hour % 24, day % 7, np.isin(day, k.HOLIDAYS).astype(np.int64)


def affinity_logits(users: Users, notes: Notes, user: IntArray, note: IntArray, slot: IntArray) -> IntArray:
    """Dot product of a user's interest vector and a note's latent vector, in fixed-point logits [R].

    float32 holds it exactly: 32 products of integers below 2**9 stay far below 2**24.
    """
    taste = users.taste[user, slot].astype(np.float32)
    latent = notes.latent[note].astype(np.float32)
    return np.asarray(np.einsum("rd,rd->r", taste, latent).astype(np.int64) // k.AFFINITY_DIVISOR)


def affinity_grid(taste: IntArray, latent: IntArray) -> IntArray:
    """The same for every pair of users and notes: [U, J, D] and [N, D] to [U, J, N]."""
    users, slots, dimension = taste.shape
    products = taste.reshape(-1, dimension).astype(np.float32) @ latent.astype(np.float32).T
    return np.asarray(products.astype(np.int64) // k.AFFINITY_DIVISOR).reshape(users, slots, len(latent))


def bonus_logits(users: Users, notes: Notes, user: IntArray, note: IntArray) -> IntArray:
    """What a favourite brand and a shared cell add, whatever the session [R]."""
    brand = notes.brand[note]
    favourite = (users.favourite[user] == brand[:, None]).any(1)
    return np.asarray(fixed(k.BRAND) * favourite + fixed(k.SAME_CELL) * (users.cell[user] == notes.cell[note]))


def carries(notes: Notes, note: IntArray, word: IntArray) -> NDArray[np.bool_]:
    """Whether a note has a keyword [R]."""
    return np.asarray((notes.words[note] == word[:, None]).any(1))


def static_logits(
    users: Users, notes: Notes, crosses: Crosses, user: IntArray, note: IntArray, hour: IntArray
) -> IntArray:
    """The part of the click logit that does not depend on the session: user, note, bonuses and crosses [R]."""
    of_day, weekday, holiday = calendar(hour)
    block = of_day // BLOCK_HOURS
    level1, kind = notes.level1[note], notes.type[note]
    return np.asarray(
        fixed(k.CLICK_BASE)
        + users.click[user]
        + round(16 * k.CLICK_QUALITY) * notes.quality[note] // 16
        + round(16 * k.CLICK_BAIT) * notes.bait[note] // 16
        + bonus_logits(users, notes, user, note)
        + crosses.hour_level1[block, level1]
        + crosses.weekend_level1[(weekday >= 5).astype(np.int64), level1]
        + crosses.holiday_level1[holiday, level1]
        + crosses.gender_level1[users.gender[user], level1]
        + crosses.device_type[users.device[user], kind]
        + crosses.age_type_hour[users.age_group[user], kind, block]
    )


def herd_level(clicks: NDArray[np.int64]) -> IntArray:
    """How the feed shows a click count: its binary digits, 0 for none, 1 for 1, 2 for 2 to 3, 3 for 4 to 7, ..."""
    return bit_length(clicks)


def after_click_logits(
    users: Users, notes: Notes, author_quality: IntArray, user: IntArray, note: IntArray, affinity: IntArray
) -> dict[str, IntArray]:
    """Logits of every behaviour of :data:`~rectutor.world.coefficients.BEHAVIOURS` [R]."""
    drivers = {
        "affinity": affinity,
        "quality": notes.quality[note],
        "bait": notes.bait[note],
        "useful": notes.useful[note],
        "buzz": notes.buzz[note],
        "trust": author_quality[notes.author[note]],
        "social": users.social[user],
        "length": notes.length[note],
        "price": users.price_sensitivity[user] * notes.price_level[note] >> 8,
    }
    table = np.stack([drivers[d] for d in k.DRIVERS], axis=1)  # [R, 9]
    logits = _BASE + table @ _COEFFICIENT // 16  # [R, 8], integers throughout
    return dict(zip(_TASKS, logits.T, strict=True))


def satisfaction(notes: Notes, note: IntArray, affinity: IntArray) -> IntArray:
    """How good a consumed note is for its reader, in 1/256 stars around 3, before the user's bias and scale [R]."""
    return np.asarray(
        fixed(k.RATING_CENTRE)
        + (
            round(16 * k.RATING_AFFINITY) * (affinity - fixed(k.RATING_AFFINITY_MEAN))
            + round(16 * k.RATING_QUALITY) * notes.quality[note]
            + round(16 * k.RATING_BAIT) * notes.bait[note]
        )
        // 16
    )
