"""When users come, for how long, and what for.

Shapes: S sessions (sorted by start), U users, T impressions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rectutor.world.entities import OWN_WORDS, Catalogue, Users
from rectutor.world.fixedpoint import Draws, IntArray

ARRIVAL_PROFILE = (14, 7, 4, 2, 2, 3, 10, 24, 34, 36, 34, 38, 56, 50, 36, 34, 36, 42, 54, 66, 80, 88, 70, 32)
"""Relative arrivals by hour of the day."""

START_GAP_SECONDS = 3 * 3600
"""A user's sessions start at least three hours apart: longer than any session and the 30 idle minutes after it."""

MIN_LENGTH, MEDIAN_LENGTH, MAX_LENGTH, LENGTH_SD = 3, 15, 40, 180
"""Impressions in a session; sd in 1/256 doublings."""


@dataclass(frozen=True, eq=False)
class Sessions:
    """Sessions [S] of one hour or one day.

    Attributes:
        user: who comes.
        hour: log hour; a session belongs to the hour in which it starts.
        start: seconds after the log's first second.
        length: number of impressions.
        interest: the level-2 category that leads the session.
        slot: which of the user's interests this is.
        intent: the keyword the user is after, one of the category's own words.
    """

    user: IntArray
    hour: IntArray
    start: IntArray
    length: IntArray
    interest: IntArray
    slot: IntArray
    intent: IntArray

    def __len__(self) -> int:
        return len(self.user)

    def slots(self) -> tuple[IntArray, IntArray]:
        """Session row and position of each impression, sessions in order, each by position [T]."""
        session = np.repeat(np.arange(len(self)), self.length)
        first = np.cumsum(self.length) - self.length
        return session, np.arange(len(session)) - first[session]

    def rows(self, rows: slice | IntArray) -> Sessions:
        """Some of the sessions."""
        return Sessions(*(getattr(self, f)[rows] for f in self.__dataclass_fields__))


def plan_day(day: int, days: int, users: Users, catalogue: Catalogue, last_start: IntArray, draws: Draws) -> Sessions:
    """Draw the sessions that start on a log day.

    Args:
        last_start: start of each user's last session so far [U]; updated in place.
    """
    profile = np.array(ARRIVAL_PROFILE)
    present = users.joined_day <= day
    p24 = (users.rate * present)[:, None] * profile * 16 // profile.sum()  # rate is in 2**-20, p in 2**-24
    comes = draws.hits(np.minimum(p24, 2**23).ravel()).reshape(p24.shape)
    user, hour = np.nonzero(comes)  # by user, then hour
    start = 3600 * (24 * day + hour) + draws.below(3600, len(user))
    first_of_user = np.r_[True, user[1:] != user[:-1]]
    before = np.where(first_of_user, last_start[user], np.r_[0, start[:-1]])
    keep = np.flatnonzero(start - before >= START_GAP_SECONDS)
    last_start[user] = start  # of repeated users the last one stays, as NumPy promises
    keep = keep[np.argsort(start[keep], kind="stable")]
    user, hour, start = user[keep], hour[keep], start[keep]

    n = len(user)
    cumulative = np.cumsum(users.weights(user, day, days), axis=1)
    slot = (cumulative <= draws.below(cumulative[:, -1], n)[:, None]).sum(1)
    interest = users.interest[user, slot]
    return Sessions(
        user=user,
        hour=24 * day + hour,
        start=start,
        length=np.clip(draws.lognormal(n, LENGTH_SD, MEDIAN_LENGTH), MIN_LENGTH, MAX_LENGTH),
        interest=interest,
        slot=slot,
        intent=catalogue.words_of[interest, draws.below(OWN_WORDS, n)],
    )
