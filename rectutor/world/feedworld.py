"""FeedWorld: a simulated note-sharing feed whose truth is known.

Columns whose name starts with ``true_`` are hidden from any platform: a model must not see them, a chapter may judge
by them. ``datasets/feedworld.md`` documents every column with its unit and formula.

Shapes: U users, N notes, R rows after broadcasting users against notes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from rectutor.world import aftermath, behaviour
from rectutor.world import coefficients as k
from rectutor.world import platform as streams
from rectutor.world import tables as frames
from rectutor.world.content import Content, make_content
from rectutor.world.entities import GENDERS, OWN_WORDS, VIDEO, make_authors, make_catalogue, make_notes, make_users
from rectutor.world.files import TABLES, CsvGz, check_tables
from rectutor.world.fixedpoint import Draws, IntArray, as_probability, cosine, fixed, sigmoid24
from rectutor.world.platform import Inhabitants, Platform
from rectutor.world.policy import LoggingPolicy
from rectutor.world.sessions import Sessions

SizeName = Literal["tiny", "small", "medium"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Day:
    """One log day's rows: ``impressions`` and ``ratings`` as column arrays of their final types."""

    impressions: dict[str, NDArray[np.generic]]
    ratings: dict[str, NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Pairs of user and note in context [R], as :meth:`FeedWorld.probabilities` works on them."""

    user: IntArray
    note: IntArray
    shape: tuple[int, ...]  # what the caller's arrays broadcast to
    weights: Floats  # chance that each interest leads [R, 6]
    common: IntArray  # the click logit without affinity and intent
    carried: Floats  # chance that the note has the intent keyword
    intent_known: bool


@dataclass(frozen=True, eq=False)
class _Part:
    """The share of one leading interest in some rows."""

    rows: IntArray
    click: Floats  # chance that the interest leads and the note is clicked
    affinity: IntArray


class FeedWorld:
    """One world: its tables, and the truth behind them.

    Make one with :meth:`generate`. The seed decides everything: equal size and seed give equal tables on every
    platform and NumPy version (how: :mod:`rectutor.world.fixedpoint`).

    Attributes:
        users, notes, authors, categories: one row an entity, the id is the row number.
        impressions: one row a note shown, ordered by session start, then position.
        ratings: explicit 1 to 5 stars on some of the clicked notes.
        note_vectors, image_vectors, text_vectors: unit content vectors, float32 [N, 64].

    >>> world = FeedWorld.generate("tiny", seed=0)
    >>> len(world.users), len(world.notes)
    (200, 400)
    >>> bool((world.impressions.propensity > 0).all())
    True
    """

    users: pd.DataFrame
    notes: pd.DataFrame
    authors: pd.DataFrame
    categories: pd.DataFrame
    impressions: pd.DataFrame
    ratings: pd.DataFrame

    def __init__(self, size: SizeName | k.Size, seed: int | np.random.Generator = 0) -> None:
        """Draw the inhabitants; :meth:`days` then runs the log. Use :meth:`generate` for the finished world."""
        if isinstance(size, str):
            if size not in k.SIZES:
                raise ValueError(f"size is {size!r}; choose one of {', '.join(map(repr, k.SIZES))}")
            size = k.SIZES[size]
        if isinstance(seed, np.random.Generator):
            seed = int(seed.integers(2**32))
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise TypeError(f"seed is {seed!r}; it must be an integer or a numpy Generator")
        if seed < 0:
            raise ValueError(f"seed is {seed}; it must be an integer >= 0")
        seed = int(seed)
        self.size, self.seed = size, seed
        catalogue = make_catalogue(Draws(seed, streams.CATALOGUE))
        authors = make_authors(size.authors, catalogue, Draws(seed, streams.AUTHORS))
        notes = make_notes(size.notes, size.days, catalogue, Draws(seed, streams.NOTES))
        users = make_users(size.users, size.days, size.sessions_per_day, catalogue, Draws(seed, streams.USERS))
        crosses = behaviour.make_crosses(Draws(seed, streams.CROSSES))
        self._world = Inhabitants(catalogue, authors, notes, users, crosses)
        self._content: Content | None = None
        self._platform = Platform(seed, size, self._world)
        self._policy = LoggingPolicy(users.portrait)
        self._sessions = 0
        self._next_day = 0

    # -- making --------------------------------------------------------------------------------------
    @classmethod
    def generate(cls, size: SizeName | k.Size = "small", seed: int | np.random.Generator = 0) -> FeedWorld:
        """Draw a world and run its log.

        Args:
            size: "tiny" (200 users, for tests), "small" (4 000 users, 1 M impressions: the book's default),
                "medium" (50 000 users, 20 M impressions), or a :class:`~rectutor.world.coefficients.Size`.
            seed: an integer >= 0, or a generator from which one is drawn.

        Raises:
            ValueError: an unknown size or a negative seed.
        """
        world = cls(size, seed)
        days = list(world.days())
        world.impressions = frames.collect([d.impressions for d in days])
        world.ratings = frames.collect([d.ratings for d in days])
        return world

    def days(self, progress: bool | None = None) -> Iterator[Day]:
        """Run the log day by day; afterwards the entity frames are complete.

        This is how a large world is streamed: only the current day's rows are in memory.

        Args:
            progress: show a bar; None: from 10 000 users on.
        """
        if self._next_day:
            raise ValueError("this world's log has run already; make another with FeedWorld(size, seed)")
        hidden = self.size.users < 10_000 if progress is None else not progress
        for day in tqdm(range(self.size.days), desc="days", disable=hidden, leave=False):
            yield self._run_day(day)
        self._finish()

    def _run_day(self, day: int) -> Day:
        sessions = self._platform.start_day(day)
        edges = np.searchsorted(sessions.hour, np.arange(24 * day, 24 * day + 25))
        hours = [
            self._platform.step(24 * day + h, sessions.rows(slice(edges[h], edges[h + 1])), self._policy)
            for h in range(24)
        ]
        self._next_day = day + 1
        result = self._record(day, sessions, hours, edges)
        self._sessions += len(sessions)
        return result

    def _record(self, day: int, sessions: Sessions, hours: list[streams.Shown], edges: NDArray[np.intp]) -> Day:
        """Draw what followed the day's clicks and lay out the rows."""
        world = self._world
        draws = Draws(self.seed, streams.AFTERMATH, day)

        def joined(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(h, name) for h in hours])

        session = np.concatenate([h.session + edge for h, edge in zip(hours, edges[:-1], strict=True)])
        note, affinity, click = joined("note"), joined("affinity"), joined("click")
        user = sessions.user[session]
        clicked = np.flatnonzero(click)
        at = (user[clicked], note[clicked], affinity[clicked])
        result = aftermath.after_click(world.users, world.notes, world.authors.quality, *at, draws)

        def spread(values: IntArray) -> IntArray:
            column = np.zeros(len(note), dtype=np.int64)
            column[clicked] = values
            return column

        dwell = spread(result["dwell_seconds"])
        time = k.FIRST_SECOND + aftermath.impression_times(sessions.start, session, dwell, draws)
        hour = sessions.hour[session]
        hour_of_day, weekday, holiday = behaviour.calendar(hour)
        rows = {
            "user": user,
            "note": note,
            "session": self._sessions + session,
            "position": joined("position"),
            "time": time,
            "hour": hour,
            "hour_of_day": hour_of_day,
            "weekday": weekday,
            "holiday": holiday,
            "propensity": joined("propensity"),
            "candidates": joined("candidates"),
            "click": click,
            **{task: spread(result[task]) for task in aftermath.REACTIONS},
            "dwell_seconds": dwell,
            **{task: spread(result[task]) for task in ("completed", "cart", "pay")},
            "herd": joined("herd"),
            "true_interest": sessions.interest[session],
            "true_intent": sessions.intent[session],
            "true_p_click": as_probability(joined("p_click")),
        }
        rates, stars, satisfied = aftermath.rate(world.users, world.notes, *at, draws)
        ratings = {
            "user": at[0][rates],
            "note": at[1][rates],
            "time": (time + dwell)[clicked[rates]],
            "rating": stars[rates],
            "true_satisfaction": satisfied[rates] / 256,
        }
        return Day(frames.typed(rows, frames.IMPRESSIONS), frames.typed(ratings, frames.RATINGS))

    def _finish(self) -> None:
        self.categories = frames.categories(self._world.catalogue)
        self.authors = frames.authors(self._world.authors, self._platform.motivation, self._world.notes)
        self.notes = frames.notes(self._world.notes, self._platform)
        self.users = frames.users(self._world.users, self.size)

    def write(self, directory: str | Path, tables: Sequence[str] = TABLES) -> list[Path]:
        """Write tables as ``<table>.csv.gz`` and return the paths; ``write_feedworld`` does it without holding the log.

        Raises:
            ValueError: an unknown table.
            OSError: the directory cannot be written.
        """
        check_tables(tables)
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        for name in tables:
            with CsvGz(folder / f"{name}.csv.gz") as file:
                file.append(getattr(self, name))
        return [folder / f"{name}.csv.gz" for name in tables]

    def __repr__(self) -> str:
        rows = f", {len(self.impressions):,} impressions" if hasattr(self, "impressions") else ""
        return f"FeedWorld({self.size.users:,} users, {self.size.notes:,} notes{rows}, seed {self.seed})"

    # -- content --------------------------------------------------------------------------------------
    @property
    def content(self) -> Content:
        """Content vectors, made at the first request."""
        if self._content is None:
            self._content = make_content(self._world.notes, Draws(self.seed, streams.CONTENT))
        return self._content

    @property
    def note_vectors(self) -> NDArray[np.float32]:
        """Content vectors of a fused encoder [N, 64]."""
        return self.content.note

    @property
    def image_vectors(self) -> NDArray[np.float32]:
        """Image encoder's vectors [N, 64], in a space of their own."""
        return self.content.image

    @property
    def text_vectors(self) -> NDArray[np.float32]:
        """Text encoder's vectors [N, 64], in a space of their own; ``true_described_as`` tells which mismatch."""
        return self.content.text

    @property
    def keyword_names(self) -> NDArray[np.str_]:
        """Names of the keyword codes that ``true_intent`` and the argument ``intent`` use."""
        return frames.word_names(self._world.catalogue)

    # -- truth: users and notes ---------------------------------------------------------------------------
    def interests(self, user: int, day: int | None = None) -> pd.DataFrame:
        """A user's true interests on a log day (the last one if None), the strongest first.

        Columns: ``level2``, ``level1``, ``name``, ``weight`` (the chance that it leads a session; they sum to one).
        """
        self._check("user", np.asarray(user), self.size.users)
        world = self._world
        weights = self._weights(np.array([user]), day)[0]
        used = np.flatnonzero(world.users.interest[user] >= 0)
        level2 = world.users.interest[user, used]
        table = pd.DataFrame({"level2": level2, "weight": weights[used]})
        table.insert(1, "level1", world.catalogue.level1_of[level2])
        table.insert(2, "name", frames.level2_names(world.catalogue)[level2])
        return table.sort_values("weight", ascending=False, kind="stable", ignore_index=True)

    def crosses(self, user_side: str) -> pd.DataFrame:
        """Planted second-order crosses with the note's level-1 category, in logits of click: values x 12 categories.

        A cross of two features is what it adds beyond what either adds alone; compare it with a model's after taking
        the means of rows and columns off both.

        Args:
            user_side: ``gender``; ``hour_block`` (hour of the day // 4), ``weekend`` or ``holiday``.

        Raises:
            ValueError: another name.
        """
        planted = self._world.crosses
        tables: dict[str, tuple[IntArray, Sequence[Any]]] = {
            "gender": (planted.gender_level1, GENDERS),
            "hour_block": (planted.hour_level1, range(behaviour.DAY_BLOCKS)),
            "weekend": (planted.weekend_level1, range(2)),
            "holiday": (planted.holiday_level1, range(2)),
        }
        if user_side not in tables:
            raise ValueError(f"user_side is {user_side!r}; it must be one of {', '.join(tables)}")
        logits, rows = tables[user_side]
        columns = pd.RangeIndex(logits.shape[1], name="level1")
        return pd.DataFrame(logits / fixed(1.0), index=pd.Index(rows, name=user_side), columns=columns)

    @property
    def interest_vectors(self) -> NDArray[np.int64]:
        """Users' true interest vectors in the taste space [U, 6, 32], zero in unused slots."""
        return self._world.users.taste

    @property
    def latent_vectors(self) -> NDArray[np.int64]:
        """Notes' true places in the taste space [N, 32]."""
        return self._world.notes.latent

    def interest_weights(self, day: int | None = None) -> Floats:
        """Chance that each interest leads a session of each user on a log day (None: the last) [U, 6]."""
        return self._weights(np.arange(self.size.users), day)

    def similarity(self, i: ArrayLike, j: ArrayLike) -> Floats:
        """True similarity of notes: cosine in the taste space, between -1 and 1; broadcasts i against j."""
        a, b = self._ids("i", i, self.size.notes), self._ids("j", j, self.size.notes)
        return cosine(self._world.notes.latent[a], self._world.notes.latent[b])

    def user_similarity(self, u: ArrayLike, v: ArrayLike) -> Floats:
        """True similarity of users: cosine of their weighted mean interest vectors, mid-log; broadcasts."""
        a, b = self._ids("u", u, self.size.users), self._ids("v", v, self.size.users)
        users = self._world.users
        both = np.unique(np.concatenate([a.ravel(), b.ravel()]))
        weights = users.weights(both, self.size.days // 2, self.size.days)
        mean = np.einsum("uj,ujd->ud", weights, users.taste[both])
        return cosine(mean[np.searchsorted(both, a)], mean[np.searchsorted(both, b)])

    # -- truth: behaviour ----------------------------------------------------------------------------------
    def affinity(self, users: ArrayLike, notes: ArrayLike, *, day: int | None = None) -> Floats:
        """Expected affinity in logits: over the user's interests, by their chance to lead; broadcasts to [R]."""
        user, note, shape = self._pairs(users, notes)
        weights = self._weights(user, day)
        return np.asarray((weights * self._affinities(user, note)).sum(1) / 256).reshape(shape)

    def p_click(
        self,
        users: ArrayLike,
        notes: ArrayLike,
        *,
        hour: ArrayLike | None = None,
        position: ArrayLike = 0,
        interest: ArrayLike | None = None,
        intent: ArrayLike | None = None,
    ) -> Floats:
        """True probability that a user clicks a note when it is shown.

        With the ``hour``, ``position``, ``true_interest`` and ``true_intent`` of an impression it is that impression's
        ``true_p_click``, exactly. What is left out is averaged over: the leading interest by the user's weights that
        day, the intent uniformly over the category's ten own keywords.

        Args:
            users, notes: ids; broadcast against each other (``users[:, None], notes[None, :]`` gives a grid).
            hour: log hours, 0 to 24 * days - 1; None: the last. It sets calendar, interest weights and herd effect.
            position: 0-based places in the session.
            interest: leading level-2 categories, each an interest of its user.
            intent: intent keywords; needs ``interest``.

        Raises:
            ValueError: ids, hours or positions out of range, an interest the user has not.
        """
        rows = self._rows(users, notes, hour, position, interest, intent)
        total = np.zeros(len(rows.user))
        for part in self._by_interest(rows):
            total[part.rows] += part.click
        return total.reshape(rows.shape)

    def probabilities(
        self,
        users: ArrayLike,
        notes: ArrayLike,
        *,
        hour: ArrayLike | None = None,
        position: ArrayLike = 0,
        interest: ArrayLike | None = None,
        intent: ArrayLike | None = None,
    ) -> dict[str, Floats]:
        """True probabilities of every behaviour, whether or not the note was ever shown or clicked.

        Returns:
            ``click`` given exposure; ``like, collect, share, comment, follow, completed, cart`` given a click
            (``completed`` is 0 for images, ``cart`` 0 for notes without a shop card); ``pay`` given cart; ``cvr`` =
            pay given click; ``ctcvr`` = click and pay given exposure. Arguments as in :meth:`p_click`.
        """
        rows = self._rows(users, notes, hour, position, interest, intent)
        world = self._world
        video, shop = world.notes.type[rows.note] == VIDEO, world.notes.shop[rows.note] == 1
        click = np.zeros(len(rows.user))
        joint = {task: np.zeros(len(rows.user)) for task in k.BEHAVIOURS}  # of click and the behaviour
        for part in self._by_interest(rows):
            at = (rows.user[part.rows], rows.note[part.rows], part.affinity)
            logits = behaviour.after_click_logits(world.users, world.notes, world.authors.quality, *at)
            p = {task: as_probability(sigmoid24(x)).astype(np.float64) for task, x in logits.items()}
            p["completed"] *= video[part.rows]
            p["cart"] *= shop[part.rows]
            p["pay"] *= p["cart"]
            click[part.rows] += part.click
            for task in k.BEHAVIOURS:
                joint[task][part.rows] += part.click * p[task]
        bought = np.divide(joint["pay"], joint["cart"], out=np.zeros(len(click)), where=joint["cart"] > 0)
        result = {"click": click, **{task: joint[task] / click for task in k.BEHAVIOURS}}
        result |= {"pay": bought, "cvr": joint["pay"] / click, "ctcvr": joint["pay"]}
        return {name: values.reshape(rows.shape) for name, values in result.items()}

    def session_value(
        self, users: ArrayLike, lists: ArrayLike, *, saturation: float = 1.0, hour: ArrayLike | None = None
    ) -> Floats:
        r"""What a session that shows a list is worth when each further click is worth less [U].

        One interest z leads the session, by the user's weights that day, and one of z's ten own keywords w is its
        intent. Given both, the clicks are independent. The c-th click is worth :math:`(1 - s)^{c - 1}`, so that

        .. math:: V = \frac{1}{s} \mathbb{E}_{z, w}\Big[1 - \prod_i (1 - s\, p_{i \mid z, w})\Big]

        with :math:`p_{i \mid z, w}` of :meth:`p_click` at the note's place in the list. ``saturation`` s = 0 is the
        limit, expected clicks, which knows of no diversity; s = 1 is the chance of at least one click.

        Args:
            users: ids [U].
            lists: note ids [U, k]; the column is the position, -1 fills up the end.
            saturation: s, the share of a click's worth that the next one loses.
            hour: log hours, one for all or one a user [U]; None: the last.

        Raises:
            ValueError: a saturation outside 0 to 1, shapes that do not fit, ids or hours out of range, a note twice
                in a list, a note behind -1.
        """
        if not 0 <= saturation <= 1:
            raise ValueError(f"saturation is {saturation}; it must lie between 0 and 1")
        user, shown = self._ids("users", users, self.size.users), np.asarray(lists)
        if user.ndim != 1 or shown.ndim != 2 or len(shown) != len(user):
            raise ValueError(f"users has shape {user.shape} and lists {shown.shape}; give users [U] and lists [U, k]")
        self._check("lists", np.where(shown == -1, 0, shown), self.size.notes)
        if ((shown[:, :-1] == -1) & (shown[:, 1:] >= 0)).any():
            raise ValueError("lists has a note behind -1; -1 may fill up the end of a list only")
        ordered = np.sort(shown, axis=1)
        twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
        if twice.any():
            row, column = np.argwhere(twice)[0]
            raise ValueError(f"lists has note {ordered[row, column]} twice in row {row}; show a note once")
        at, position = np.nonzero(shown >= 0)  # rows and columns of the R notes shown
        hours = self._spread("hour", 24 * self.size.days - 1 if hour is None else hour, user.shape, 24 * self.size.days)
        rows = self._rows(user[at], shown[at, position], hours[at], position, None, None)
        notes, interest = self._world.notes, self._world.users.interest
        own = self._world.catalogue.words_of[notes.level2[rows.note], :OWN_WORDS]  # of the note's category [R, 10]
        has = (notes.words[rows.note][:, None, :] == own[:, :, None]).any(2)
        affinity = self._affinities(rows.user, rows.note)
        weights = self._weights(user, hours // 24)
        value = np.zeros(len(user))
        for slot in range(k.MAX_INTERESTS):
            some = np.flatnonzero(rows.weights[:, slot] > 0)
            logit = rows.common[some] + affinity[some, slot]
            # With s > 0 the sum over places is of log(1 - s p): (1 - exp(sum)) / s stays exact for a small s.
            plain, bonus = (
                np.log1p(-saturation * p) if saturation else p
                for p in (as_probability(sigmoid24(x)).astype(np.float64) for x in (logit, logit + fixed(k.INTENT)))
            )
            fits = has[some] & (notes.level2[rows.note[some]] == interest[rows.user[some], slot])[:, None]
            terms = np.zeros((*shown.shape, OWN_WORDS))
            terms[at[some], position[some]] = np.where(fits, bonus[:, None], plain[:, None])
            total = terms.sum(1)  # [U, 10]
            worth = -np.expm1(total) / saturation if saturation else total
            value += weights[:, slot] * worth.mean(1)
        return value

    def _rows(
        self,
        users: ArrayLike,
        notes: ArrayLike,
        hour: ArrayLike | None,
        position: ArrayLike,
        interest: ArrayLike | None,
        intent: ArrayLike | None,
    ) -> _Rows:
        """Check and broadcast what :meth:`probabilities` is asked."""
        user, note, shape = self._pairs(users, notes)
        world = self._world
        n_hours = 24 * self.size.days
        hours = self._spread("hour", n_hours - 1 if hour is None else hour, shape, n_hours)
        positions = self._spread("position", position, shape, len(behaviour.POSITION_LOGITS))
        if intent is not None and interest is None:
            raise ValueError("intent is given without interest; say which interest leads the session")
        weights = self._weights(user, hours // 24)
        if interest is not None:
            leading = self._spread("interest", interest, shape, world.catalogue.n_level2)
            matches = world.users.interest[user] == leading[:, None]
            if not matches.any(1).all():
                row = int(np.argmin(matches.any(1)))
                raise ValueError(
                    f"interest {leading[row]} is not one of user {user[row]}'s; interests({user[row]}) lists them"
                )
            weights = matches.astype(np.float64)
        common = (
            behaviour.static_logits(world.users, world.notes, world.crosses, user, note, hours)
            + behaviour.HERD_LOGITS[self._platform.herd_at[hours, note]]
            + behaviour.POSITION_LOGITS[positions]
        )
        if intent is None:  # of the leading category's ten own keywords, its notes carry ``own_words``
            carried = world.notes.own_words[note] / OWN_WORDS
        else:
            word = self._spread("intent", intent, shape, len(world.catalogue.word_vector))
            carried = behaviour.carries(world.notes, note, word).astype(np.float64)
        return _Rows(user, note, shape, weights, common, carried, intent is not None)

    def _by_interest(self, rows: _Rows) -> Iterator[_Part]:
        """The click probability, split by leading interest: the parts of a row add up to it."""
        world = self._world
        affinity = self._affinities(rows.user, rows.note)
        for slot in range(k.MAX_INTERESTS):
            some = np.flatnonzero(rows.weights[:, slot] > 0)
            user, note = rows.user[some], rows.note[some]
            logit = rows.common[some] + affinity[some, slot]
            share = rows.carried[some]
            if not rows.intent_known:
                share = share * (world.notes.level2[note] == world.users.interest[user, slot])
            plain = as_probability(sigmoid24(logit)).astype(np.float64)
            bonus = as_probability(sigmoid24(logit + fixed(k.INTENT))).astype(np.float64)
            click = rows.weights[some, slot] * ((1 - share) * plain + share * bonus)
            yield _Part(some, click, affinity[some, slot])

    # -- truth: the logging policy ------------------------------------------------------------------------------
    def propensity(self, users: ArrayLike, notes: ArrayLike, hour: int) -> Floats:
        """Chance that the logging policy proposes a note to a user at a log hour, nothing excluded yet."""
        user, note, shape = self._pairs(users, notes)
        self._check("hour", np.asarray(hour), self._next_day * 24)
        return self._policy.propensity(self._platform.tables(hour), user, note).reshape(shape)

    def slot_propensities(self, row: int) -> Floats:
        """Chance of every note [N] in the slot of one impression, given what that slot excluded; sums to one.

        Args:
            row: row number in ``impressions``.
        """
        log = self.impressions
        self._check("row", np.asarray(row), len(log))
        user, session, hour = int(log.user.iloc[row]), int(log.session.iloc[row]), int(log.hour.iloc[row])
        chances = self.propensity(user, np.arange(self.size.notes), hour)
        earlier = log.iloc[:row]
        mine = earlier[earlier.user == user]
        chances[mine.note[(mine.click == 1) | (mine.session == session)]] = 0.0
        return np.asarray(chances / chances.sum())

    def live_notes(self, hour: int) -> IntArray:
        """Ids of the notes that are live (published within 30 days) at a log hour."""
        self._check("hour", np.asarray(hour), self._next_day * 24)
        return np.arange(*self._platform.live(hour))

    # -- helpers ------------------------------------------------------------------------------------------------
    def _weights(self, user: IntArray, day: int | IntArray | None) -> Floats:
        when = self.size.days - 1 if day is None else day
        weights = self._world.users.weights(user, when, self.size.days).astype(np.float64)
        return np.asarray(weights / weights.sum(1, keepdims=True))

    def _affinities(self, user: IntArray, note: IntArray) -> IntArray:
        """Affinity of each interest slot in fixed-point logits [R, 6]."""
        world = self._world
        some_users, u = np.unique(user, return_inverse=True)
        some_notes, n = np.unique(note, return_inverse=True)
        if len(some_users) * len(some_notes) <= 2 * len(user):  # a grid, or close to one
            grid = behaviour.affinity_grid(world.users.taste[some_users], world.notes.latent[some_notes])
            return np.asarray(grid[u, :, n])
        columns = [
            behaviour.affinity_logits(world.users, world.notes, user, note, np.full(len(user), slot))
            for slot in range(k.MAX_INTERESTS)
        ]
        return np.stack(columns, axis=1)

    def _pairs(self, users: ArrayLike, notes: ArrayLike) -> tuple[IntArray, IntArray, tuple[int, ...]]:
        user, note = self._ids("users", users, self.size.users), self._ids("notes", notes, self.size.notes)
        user, note = np.broadcast_arrays(user, note)
        return user.ravel(), note.ravel(), user.shape

    def _spread(self, name: str, values: ArrayLike, shape: tuple[int, ...], below: int) -> IntArray:
        array = self._ids(name, values, below)
        try:
            return np.broadcast_to(array, shape).ravel()
        except ValueError:
            raise ValueError(f"{name} has shape {array.shape}; it must broadcast to {shape}") from None

    def _ids(self, name: str, values: ArrayLike, below: int) -> IntArray:
        array = np.asarray(values)
        self._check(name, array, below)
        return array.astype(np.int64)

    @staticmethod
    def _check(name: str, array: NDArray[Any], below: int) -> None:
        if array.dtype.kind not in "iu":
            raise TypeError(f"{name} has dtype {array.dtype}; give integers")
        bad = (array < 0) | (array >= below)
        if np.any(bad):
            raise ValueError(f"{name} contains {array[bad].ravel()[0]}; it must lie between 0 and {below - 1}")
