"""What follows the clicks of a day: reactions, time spent, purchases, ratings, and when each impression happened.

Shapes: T impressions of a day, K clicked ones among them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rectutor.world import behaviour
from rectutor.world import coefficients as k
from rectutor.world.entities import VIDEO, Notes, Users
from rectutor.world.fixedpoint import Draws, IntArray, fixed, scale_by_power, sigmoid24

REACTIONS = ("like", "collect", "share", "comment", "follow")
MAX_DWELL_SECONDS = 600


def after_click(
    users: Users,
    notes: Notes,
    author_quality: IntArray,
    user: IntArray,
    note: IntArray,
    affinity: IntArray,
    draws: Draws,
) -> dict[str, IntArray]:
    """Draw what the clicked impressions lead to [K]: 0/1 columns and ``dwell_seconds``."""
    logits = behaviour.after_click_logits(users, notes, author_quality, user, note, affinity)
    happens = {task: draws.hits(sigmoid24(logits[task])) for task in logits}
    happens["completed"] &= notes.type[note] == VIDEO
    happens["cart"] &= notes.shop[note] == 1
    happens["pay"] &= happens["cart"]
    result = {task: hit.astype(np.int64) for task, hit in happens.items()}
    result["dwell_seconds"] = _dwell(notes, note, happens["completed"], draws)
    return result


def _dwell(notes: Notes, note: IntArray, completed: NDArray[np.bool_], draws: Draws) -> IntArray:
    """Seconds spent on a clicked note [K].

    A finished video: its length, once more with probability 1/8, twice more with 1/64. One left early: the smaller of
    two uniform shares of its length, at least 1/32. Images: reading time by length, spread by a factor of 1.8 (one sd),
    longer for quality, shorter for bait.
    """
    n = len(note)
    seconds = notes.video_seconds[note]
    again = draws.below(64, n)
    whole = seconds * (1 + (again < 8) + (again < 1))
    share = 8 + np.minimum(draws.below(248, n), draws.below(248, n))
    watched = np.where(completed, whole, np.maximum(seconds * share >> 8, 1))
    reading = 4 + notes.word_count[note] // 8 + 2 * notes.pictures[note]
    read = scale_by_power(reading, draws.normal(n, 220) + (notes.quality[note] - notes.bait[note]) // 2)
    return np.clip(np.where(notes.type[note] == VIDEO, watched, read), 1, MAX_DWELL_SECONDS)


def impression_times(start: IntArray, session: IntArray, dwell: IntArray, draws: Draws) -> IntArray:
    """Second of each impression [T]: 2 to 9 seconds after the last one was left; ``session`` ascends."""
    spent = 2 + draws.below(8, len(session)) + dwell
    elapsed = np.cumsum(spent) - spent
    first = np.flatnonzero(np.diff(session, prepend=-1))
    before = np.repeat(elapsed[first], np.diff(np.r_[first, len(session)]))
    return np.asarray(start[session] + elapsed - before)


def rate(
    users: Users, notes: Notes, user: IntArray, note: IntArray, affinity: IntArray, draws: Draws
) -> tuple[NDArray[np.bool_], IntArray, IntArray]:
    """Who rates, the stars given (1 to 5), and the satisfaction behind them in 1/256 stars [K].

    Stars = round(3 + bias + scale * (satisfaction + noise - 3)), held between 1 and 5.
    """
    rates = draws.below(100, len(note)) < k.RATED_PERCENT
    satisfied = behaviour.satisfaction(notes, note, affinity)
    felt = satisfied + draws.normal(len(note), fixed(k.RATING_NOISE_SD)) - fixed(k.RATING_CENTRE)
    seen = fixed(k.RATING_CENTRE) + users.rating_bias[user] + (users.rating_scale[user] * felt >> 8)
    return rates, np.clip((seen + 128) >> 8, 1, 5), satisfied
