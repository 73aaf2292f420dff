"""The running platform: what changes from hour to hour, and the step that changes it.

Shapes: N notes, A authors, H log hours, S sessions, T slots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rectutor.world import behaviour
from rectutor.world import coefficients as k
from rectutor.world.behaviour import Crosses
from rectutor.world.entities import Authors, Catalogue, Notes, Users, publish
from rectutor.world.fixedpoint import Draws, IntArray, bit_length, fixed, scale_by_power, sigmoid24
from rectutor.world.policy import Excluded, HourTables, Policy
from rectutor.world.sessions import Sessions, plan_day

# Names of the random streams: the second part of every key.
CATALOGUE, AUTHORS, NOTES, USERS, CONTENT, CROSSES, HISTORY, PUBLISH, SESSIONS, SHOWING, AFTERMATH = range(11)


@dataclass(frozen=True, eq=False)
class Inhabitants:
    """What does not change: categories, authors, notes, users and the planted crosses."""

    catalogue: Catalogue
    authors: Authors
    notes: Notes
    users: Users
    crosses: Crosses


@dataclass(frozen=True, eq=False)
class Shown:
    """The impressions of an hour, sessions in order, each by position [T]."""

    session: IntArray  # row in the hour's sessions
    position: IntArray
    note: IntArray
    propensity: NDArray[np.float64]
    candidates: IntArray
    herd: IntArray
    affinity: IntArray  # fixed-point logits
    p_click: IntArray  # units of 2**-24
    click: NDArray[np.bool_]


class Platform:
    """State of the platform at the start of an hour.

    Attributes:
        score: fading sum of clicks of each note, 1024 a click [N]; the logging policy's weights come from it.
        clicks: clicks of each note so far, as the feed shows them [N].
        early, first_day: exposures in each note's first 6 hours, and in hours 6 to 24 [N].
        motivation: of each author, 256 is neutral [A].
        clicked: sorted keys ``user * N + note`` of clicks on notes that may still be live.
        weight_at, herd_at: policy weight and herd level of every note at every hour so far [H, N].
    """

    def __init__(self, seed: int, size: k.Size, inhabitants: Inhabitants) -> None:
        self.seed, self.size, self.inhabitants = seed, size, inhabitants
        notes = inhabitants.notes
        n = len(notes)
        hours = 24 * size.days
        self.early, self.first_day, self.clicks, self.score = np.zeros((4, n), dtype=np.int64)
        self.motivation = np.full(len(inhabitants.authors), 256)
        self.clicked = np.empty(0, dtype=np.int64)
        self.last_start = np.full(len(inhabitants.users), -(10**6))
        self.weight_at = np.zeros((hours, n), dtype=np.uint16)
        self.herd_at = np.zeros((hours, n), dtype=np.int8)
        before = np.arange(int(np.searchsorted(notes.publish_hour, 0)))
        draws = Draws(seed, HISTORY)
        publish(notes, before, inhabitants.authors, self.motivation, draws)
        # A past as heavy-tailed as the log to come: 1.8 doublings of luck, and what quality and bait earn.
        appeal = 369 * (notes.quality[before] + round(16 * k.CLICK_BAIT) * notes.bait[before] // 16) // 256
        daily = size.users * size.sessions_per_day * k.CLICKS_PER_SESSION / max(len(before), 1)
        median = max(round(k.CLICK_SCORE * daily * 2**k.POPULARITY_DECAY_BITS / 24 / 2), 1)
        self.score[before] = scale_by_power(np.full(len(before), median), draws.normal(len(before), 450) + appeal)
        age = -notes.publish_hour[before]
        self.clicks[before] = self.score[before] * age // (k.CLICK_SCORE << k.POPULARITY_DECAY_BITS)

    def live(self, hour: int) -> tuple[int, int]:
        """Notes ``first`` to ``last - 1`` are live at an hour: they are sorted by publication."""
        when = self.inhabitants.notes.publish_hour
        first, last = np.searchsorted(when, [hour - k.NOTE_LIFE_HOURS, hour], side="right")
        return int(first), int(last)

    def tables(self, hour: int) -> HourTables:
        """The policy's tables of an hour that has been reached."""
        world = self.inhabitants
        first, last = self.live(hour)
        return HourTables.make(self.weight_at[hour], world.notes.level2, world.catalogue.n_level2, first, last)

    def start_day(self, day: int) -> Sessions:
        """Publish the day's notes, update motivations, plan the sessions."""
        world = self.inhabitants
        bounds = np.searchsorted(world.notes.publish_hour, [24 * day - 48, 24 * day - 24, 24 * day, 24 * day + 24])
        if day > 0:
            self._motivate(np.arange(bounds[0], bounds[1]))
        draws = Draws(self.seed, PUBLISH, day)
        publish(world.notes, np.arange(bounds[2], bounds[3]), world.authors, self.motivation, draws)
        stale = self.inhabitants.notes.publish_hour[self.clicked % len(world.notes)] <= 24 * day - k.NOTE_LIFE_HOURS
        self.clicked = self.clicked[~stale]
        draws = Draws(self.seed, SESSIONS, day)
        return plan_day(day, self.size.days, world.users, world.catalogue, self.last_start, draws)

    def _motivate(self, notes: IntArray) -> None:
        """Authors react to how their notes fared in the first day, a quarter of the way at each note-day."""
        if len(notes) == 0:
            return
        authors = len(self.motivation)
        author = self.inhabitants.notes.author[notes]
        felt = (
            k.MOTIVATION_FLOOR
            + k.MOTIVATION_EARLY * bit_length(self.early[notes])
            + k.MOTIVATION_FIRST_DAY * bit_length(self.first_day[notes])
        )
        count = np.bincount(author, minlength=authors)
        total = np.zeros(authors, dtype=np.int64)
        np.add.at(total, author, felt)
        target = np.where(count > 0, total // np.maximum(count, 1), self.motivation)
        self.motivation += (target - self.motivation) // 4

    def step(self, hour: int, sessions: Sessions, policy: Policy) -> Shown:
        """Run one hour: show notes to the sessions that start in it, see who clicks, let popularity move.

        The tables are those of the start of the hour; clicks count from the next hour on.
        """
        world, notes = self.inhabitants, self.inhabitants.notes
        draws = Draws(self.seed, SHOWING, hour)
        first, last = self.live(hour)
        fresh = np.arange(first, last)[notes.publish_hour[first:last] == hour]
        settled = slice(first, last - len(fresh))
        # The platform knows nothing of a new note and scores it like the average live one.
        count = max(settled.stop - settled.start, 1)
        self.score[fresh] = self.score[settled].sum() // count
        self.weight_at[hour, first:last] = np.clip(self.score[first:last] >> k.WEIGHT_SHIFT, 1, 65_535)
        herd = behaviour.herd_level(self.clicks)
        self.herd_at[hour] = herd

        if len(sessions):
            choice = policy.choose(self.tables(hour), sessions, self._excluded(sessions, first), draws)
            session, position = sessions.slots()
            user, note = sessions.user[session], choice.note
            affinity = behaviour.affinity_logits(world.users, notes, user, note, sessions.slot[session])
            when = np.full(len(note), hour)
            logit = (
                behaviour.static_logits(world.users, notes, world.crosses, user, note, when)
                + affinity
                + fixed(k.INTENT) * behaviour.carries(notes, note, sessions.intent[session])
                + behaviour.HERD_LOGITS[herd[note]]
                + behaviour.POSITION_LOGITS[position]
            )
            p_click = sigmoid24(logit)
            click = draws.hits(p_click)
            self._count(hour, user, note, click)
            shown = Shown(
                session, position, note, choice.propensity, choice.candidates, herd[note], affinity, p_click, click
            )
        else:
            none = np.empty(0, dtype=np.int64)
            shown = Shown(none, none, none, np.empty(0), none, none, none, none, np.empty(0, dtype=np.bool_))
        self.score -= self.score >> k.POPULARITY_DECAY_BITS
        np.add.at(self.score, shown.note[shown.click], k.CLICK_SCORE)
        return shown

    def _excluded(self, sessions: Sessions, first_live: int) -> Excluded:
        """Live notes that the users of the sessions have clicked."""
        n = len(self.inhabitants.notes)
        low = np.searchsorted(self.clicked, sessions.user * n + first_live)
        length = np.searchsorted(self.clicked, (sessions.user + 1) * n) - low
        session = np.repeat(np.arange(len(sessions)), length)
        at = np.arange(len(session)) + np.repeat(low - (np.cumsum(length) - length), length)
        return Excluded(session, self.clicked[at] % n)

    def _count(self, hour: int, user: IntArray, note: IntArray, click: NDArray[np.bool_]) -> None:
        n = len(self.inhabitants.notes)
        keys = user[click] * n + note[click]
        self.clicked = np.sort(np.concatenate([self.clicked, keys]), kind="stable")
        np.add.at(self.clicks, note[click], 1)
        age = hour - self.inhabitants.notes.publish_hour[note]
        np.add.at(self.early, note[age < k.EARLY_HOURS], 1)
        np.add.at(self.first_day, note[(age >= k.EARLY_HOURS) & (age < 24)], 1)
