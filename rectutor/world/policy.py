r"""The logging policy: popularity, a little personalisation, a share of exploration - with exact propensities.

At hour h, before anything is excluded, the policy proposes note n to user u with probability

.. math:: \pi(n \mid u, h) = 0.40\,\frac{w_n}{\sum_m w_m}
          + 0.40 \sum_c q_{uc} \frac{w_n [c_n = c]}{\sum_{m: c_m = c} w_m} + 0.20\,\frac1{|L_h|}

over the live notes :math:`L_h` (published within 30 days), with popularity weights w (:class:`HourTables`) and the
user's portrait q, what the platform believes of the user's interests; a category without live notes gives its share to
popularity. Slots are filled one after the other: a proposal that the session has already shown, or that the user has
clicked in an earlier session, is thrown away and drawn again. Given what is excluded (X), slot k therefore shows n with

.. math:: P(n) = \frac{\pi(n \mid u, h)}{1 - \sum_{m \in X} \pi(m \mid u, h)}, \qquad n \in L_h \setminus X ,

which is the ``propensity`` of the log.

Shapes: S sessions, T slots, L live notes, C level-2 categories.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rectutor.world import coefficients as k
from rectutor.world.fixedpoint import Draws, IntArray
from rectutor.world.sessions import Sessions


@dataclass(frozen=True, eq=False)
class Choice:
    """What a policy shows: one entry a slot, sessions in order, each session's slots by position [T]."""

    note: IntArray
    propensity: NDArray[np.float64]
    candidates: IntArray


@dataclass(frozen=True, eq=False)
class Excluded:
    """Notes that sessions must not show: pairs (session row, note), each once."""

    session: IntArray
    note: IntArray


class Policy(Protocol):
    """Anything that fills the slots of an hour's sessions."""

    def choose(self, tables: HourTables, sessions: Sessions, excluded: Excluded, draws: Draws) -> Choice:
        """Choose a note for each slot, with the probability that it was chosen."""
        ...


@dataclass(frozen=True, eq=False)
class HourTables:
    """The live notes of an hour and their popularity weights, in an order that makes every draw a table look-up.

    Attributes:
        weight: popularity weight of every note of the world [N], 0 where not live.
        category: level-2 category of every note of the world [N].
        first, last: live notes are ``first`` to ``last - 1``.
        order: live notes sorted by category [L].
        cumulative: running sum of the weights in that order, from 0 [L + 1].
        edge: value of ``cumulative`` where each category starts [C + 1].
    """

    weight: NDArray[np.uint16]
    category: IntArray
    first: int
    last: int
    order: IntArray
    cumulative: IntArray
    edge: IntArray

    @classmethod
    def make(cls, weight: NDArray[np.uint16], category: IntArray, n_level2: int, first: int, last: int) -> HourTables:
        """Sort the live notes by category and sum their weights."""
        order = first + np.argsort(category[first:last].astype(np.int16), kind="stable")
        cumulative = np.concatenate([[0], np.cumsum(weight[order], dtype=np.int64)])
        starts = np.concatenate([[0], np.cumsum(np.bincount(category[first:last], minlength=n_level2))])
        return cls(weight, category, first, last, order, cumulative, cumulative[starts])

    @property
    def n_live(self) -> int:
        """How many notes are live."""
        return self.last - self.first

    def draw(self, low: IntArray, high: IntArray, draws: Draws) -> IntArray:
        """Notes by popularity among those between two values of ``cumulative``."""
        at = low + draws.below(high - low, len(low))
        return self.order[np.searchsorted(self.cumulative[1:], at, side="right")]


class LoggingPolicy:
    """The mixture above.

    Args:
        portrait: what the platform believes of users' interests: integer weights, each row with a positive sum [U, C].
    """

    def __init__(self, portrait: IntArray) -> None:
        self.portrait = portrait
        self._cumulative = np.cumsum(portrait, axis=1)

    def propensity(self, tables: HourTables, users: IntArray, notes: IntArray) -> NDArray[np.float64]:
        """Chance that the next proposal to a user is a note, nothing excluded; 0 for notes that are not live [R]."""
        category = tables.category[notes]
        mass = np.diff(tables.edge)
        total = self._cumulative[users, -1]
        homeless = self.portrait[:, mass == 0].sum(1)[users]
        popular = tables.weight[notes] / tables.cumulative[-1]
        in_category = tables.weight[notes] / np.maximum(mass[category], 1)
        personal = self.portrait[users, category] / total * in_category + homeless / total * popular
        mixture = (
            k.POPULARITY_PERCENT / 100 * popular
            + k.PERSONAL_PERCENT / 100 * personal
            + k.EXPLORATION_PERCENT / 100 / tables.n_live
        )
        return np.asarray(mixture * ((notes >= tables.first) & (notes < tables.last)))

    def propose(self, tables: HourTables, users: IntArray, draws: Draws) -> IntArray:
        """One proposal for each user, nothing excluded."""
        n = len(users)
        component = draws.below(100, n)
        low, high = np.zeros(n, dtype=np.int64), np.full(n, tables.cumulative[-1])
        personal = np.flatnonzero(component < k.PERSONAL_PERCENT)
        beliefs = self._cumulative[users[personal]]
        category = (beliefs <= draws.below(beliefs[:, -1], len(personal))[:, None]).sum(1)
        lives = tables.edge[category] < tables.edge[category + 1]
        low[personal[lives]] = tables.edge[category[lives]]
        high[personal[lives]] = tables.edge[category[lives] + 1]
        note = tables.draw(low, high, draws)
        exploring = np.flatnonzero(component >= k.PERSONAL_PERCENT + k.POPULARITY_PERCENT)
        note[exploring] = tables.first + draws.below(tables.n_live, len(exploring))
        return note

    def choose(self, tables: HourTables, sessions: Sessions, excluded: Excluded, draws: Draws) -> Choice:
        """Fill the slots of all sessions of the hour."""
        n, first = len(sessions), tables.first
        session, position = sessions.slots()
        user = sessions.user[session]
        n_excluded = np.bincount(excluded.session, minlength=n)
        if int((sessions.length + n_excluded).max()) > tables.n_live:
            raise ValueError(f"a session needs more notes than the {tables.n_live} live ones leave it")

        note = self.propose(tables, user, draws)
        # The first position of each session that holds a note; -1 where it is excluded, 127 where none does.
        holder = np.full((n, tables.n_live), 127, dtype=np.int8)
        holder[session[::-1], note[::-1] - first] = position[::-1]  # written last, the earliest position stays
        holder[excluded.session, excluded.note - first] = -1
        while len(repeats := np.flatnonzero(holder[session, note - first] < position)):
            # Redraw the first repeat of each session only: what stands before it is settled.
            again = repeats[np.r_[True, np.diff(session[repeats]) > 0]]
            note[again] = self.propose(tables, user[again], draws)
            at = session[again], note[again] - first
            holder[at] = np.minimum(holder[at], position[again])

        base = self.propensity(tables, user, note)
        spent = np.zeros((n, int(sessions.length.max()) + 1))  # chance of what is excluded at each position
        lost = self.propensity(tables, sessions.user[excluded.session], excluded.note)
        np.add.at(spent[:, 0], excluded.session, lost)
        spent[session, position + 1] = base
        spent = np.cumsum(spent, axis=1)
        propensity = base / (1.0 - spent[session, position])
        return Choice(note, propensity, tables.n_live - position - n_excluded[session])
