"""Explorables of the chapter on collaborative filtering: similarities, neighbour lists, a factorization."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rectutor.data import Interactions
from rectutor.retrieval.cf import FunkSVD, similarity
from rectutor.widgets.explorer import Choice, Continuous, Discrete, Explorer, Steps, Toggle
from rectutor.widgets.scene import Anchor, Scale, Scene, ink_on, shade
from rectutor.world import FeedWorld

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

MINUS = "\N{MINUS SIGN}"


def _signed(value: float, digits: int = 2) -> str:
    """A number with a true minus sign; never "minus zero"."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", MINUS)


# -- similarity lab --------------------------------------------------------------------------------------------
ITEMS = "UVWXYZ"
USERS = "def"
PAIRS = ((0, 1), (0, 2), (1, 2))
LIKING = np.array([1.2, -0.9, 0.4, 0.8, -1.2, -0.3])
"""How much better than the average item user d likes each, in stars; the mean is 0."""
EXTREMES = np.array([4.6, 1.1, 3.9, 4.7, 1.3, 2.4])
"""What f answers: much like d's liking, stretched over the whole scale."""
MEASURES = {"Jaccard": similarity.jaccard, "cosine": similarity.cosine, "Pearson": similarity.pearson}


def three_raters(generosity: float, taste: float, rated: int, stars: bool) -> Floats:
    """Ratings of d, e and f [3, 6], NaN where there is none: a level and a liking each.

    Args:
        generosity: stars that d adds to every answer.
        taste: what multiplies d's liking to make e's: 1 the same, -1 the opposite.
        rated: how many items f rates, the first ones.
        stars: answers are rounded to whole stars and held between 1 and 5.
    """
    answers = np.array([3 + LIKING + generosity, 2 + taste * LIKING, EXTREMES])
    if stars:
        answers = np.clip(np.rint(answers), 1, 5)
    answers[2, rated:] = np.nan
    return answers


def pair_similarities(ratings: Floats) -> dict[str, list[float | None]]:
    """By measure, the library's similarity of the users of :data:`PAIRS`; None where it is not defined."""
    user, item = np.nonzero(~np.isnan(ratings))
    log = Interactions.from_arrays(user, item, ratings[user, item])
    found: dict[str, list[float | None]] = {}
    for name, measure in MEASURES.items():
        near = measure(log, by="user", k=None).tocoo()
        stored = {(u, v): float(s) for u, v, s in zip(*near.coords, near.data, strict=True)}
        found[name] = [stored.get(pair) for pair in PAIRS]
    return found


def _why_undefined(one: Floats, other: Floats) -> str:
    common = ~np.isnan(one) & ~np.isnan(other)
    return "one common item" if common.sum() < 2 else "one does not vary"


class SimilarityLab(Explorer):
    """Three users' ratings move; what Jaccard, cosine and Pearson say of each two of them follows.

    On the left the ratings as profiles, unrated items in a lane below; on the right the similarities as bars.
    """

    title = "Three raters, three measures"
    question = (
        "Turn e's taste into the opposite of d's. How low can you bring their cosine by d's generosity, "
        "and what does Pearson say meanwhile?"
    )
    generosity = Continuous("d's generosity, stars", -1, 2, stops=7, start=1, format="+.1f")
    taste = Continuous("e's taste (d's is +1)", -1, 1, stops=5, start=1, format="+.1f")
    rated = Discrete("items that f has rated", [1, 2, 3, 6], start=6)
    stars = Toggle("answers are whole stars, 1 to 5")

    def compute(self, generosity: float, taste: float, rated: int, stars: bool) -> Scene:
        """Profiles and similarities."""
        ratings = three_raters(generosity, taste, rated, stars)
        found = pair_similarities(ratings)
        names = [f"{USERS[u]} and {USERS[v]}" for u, v in PAIRS]

        def said(value: float | None) -> str:
            return "undefined" if value is None else _signed(value)

        scene = Scene(
            "Jaccard, cosine and Pearson: "
            + "; ".join(f"{pair} {', '.join(said(found[m][n]) for m in MEASURES)}" for n, pair in enumerate(names))
            + ".",
            numbers={"ratings": ratings} | found,
        )

        left = scene.panel(height=300, title="What they answered")
        left.axes(list(ITEMS), Scale(-1.1, 6.5, at=(1, 2, 3, 4, 5)), margin=(28, 56, 6, 42), xlabel="item")
        colours = ("blue", "vermillion", "green")
        left.legend(list(zip(colours, ("d", "e: rates low", "f: whole scale"), strict=True)), top=36)
        left.text("stars", -0.5, 5.9, "stars", dx=4, colour="muted")
        left.text("unrated", -0.5, -0.6, "not rated", dx=4, colour="muted")
        for n, (user, colour) in enumerate(zip(USERS, colours, strict=True)):
            at = np.arange(len(ITEMS)) + 0.17 * (n - 1)
            has = ~np.isnan(ratings[n])
            left.line(f"line-{user}", at[has], ratings[n][has], colour=colour)
            for i, item in enumerate(ITEMS):
                key = f"{user}-{item}"
                if has[i]:
                    tip = f"{user} gives {item} {ratings[n, i]:.1f} stars"
                    left.circle(key, at[i], ratings[n, i], r=5, colour=colour, tip=tip)
                else:
                    left.circle(key, at[i], -0.6, r=3.5, colour=colour, opacity=0.6, tip=f"{user} has not rated {item}")

        right = scene.panel(height=300, title="How alike they are")
        right.axes((-1, 1), Scale(11.7, -0.7, at=()), margin=(58, 26, 40, 42), xlabel="similarity", ticks=(5, 5))
        right.line("zero", [0, 0], [-0.7, 11.7], colour="muted", width=1)
        for m, measure in enumerate(MEASURES):
            top = 4 * m
            with right.group(measure):
                right.text("name", -1, top, measure, dx=-58, bold=True)
                for n, (pair, (u, v)) in enumerate(zip(names, PAIRS, strict=True)):
                    value, y = found[measure][n], top + 1 + n
                    right.text(f"{n}-pair", -1, y, pair, dx=-8, anchor="end")
                    if value is None:
                        why = _why_undefined(ratings[u], ratings[v])
                        right.text(f"{n}-why", -1, y, f"undefined: {why}", dx=4, colour="muted", halo=True)
                        continue
                    tip = f"{measure} of {pair}: {_signed(value, 3)}"
                    right.rect(f"{n}-bar", 0, y - 0.36, value, y + 0.36, colour="purple", rounded=2, tip=tip)
                    right.text(f"{n}-value", max(value, 0), y, _signed(value), dx=5, halo=True)
        return scene


# -- damping and shrinkage -------------------------------------------------------------------------------------
ALIKE = 0.6
"""True similarity from which on the chapter calls two notes alike."""
NEAREST = 10
STARTS = {"hit": None, "middling": 60, "niche": 12}
"""Whose neighbours are listed: the most clicked note, and the first notes (by number) with just so many clicks."""


@cache
def world_clicks() -> tuple[FeedWorld, Interactions]:
    """The chapter's world, and who clicked what in it. Generating it takes about two seconds, once."""
    world = FeedWorld.generate("small", seed=0)
    log = Interactions.from_frame(world.impressions.query("click == 1"), user="user", item="note")
    return world, log.implicit()


@cache
def popularity() -> Codes:
    """Clicks of each note, by its code in the log [I]."""
    _, log = world_clicks()
    return np.bincount(log.item, minlength=log.n_items)


def start_code(start: str) -> int:
    """The code of one of :data:`STARTS`."""
    clicks = STARTS[start]
    return int(np.argmax(popularity()) if clicks is None else np.flatnonzero(popularity() == clicks)[0])


@cache
def truth_about(start: str) -> tuple[Floats, Codes]:
    """True similarity of every note to one of the :data:`STARTS`, and how many readers they share; [I] each."""
    world, log = world_clicks()
    i, clicks = start_code(start), log.matrix()
    alike = world.similarity(np.full(log.n_items, log.item_ids[i]), log.item_ids)
    shared = (clicks.T @ clicks[:, [i]]).toarray().ravel()
    return np.asarray(alike, dtype=np.float64), shared.astype(np.int64)


@cache
def note_categories() -> list[str]:
    """The category of each note, by its code in the log."""
    world, log = world_clicks()
    return [str(name) for name in world.notes.level2.map(world.categories["name"])[log.item_ids]]


@lru_cache(maxsize=128)
def neighbour_lists(damping: float, shrink: float) -> sparse.csr_array:
    """The ten nearest of all notes. One call of the library serves every start, and takes about 20 ms."""
    return similarity.cosine(world_clicks()[1], k=NEAREST, damping=damping, shrink=shrink)


def ranked(damping: float, shrink: float, start: str) -> tuple[Codes, Floats]:
    """Codes and similarities of the ten nearest of a start, best first, ties to the lower code."""
    near, i = neighbour_lists(damping, shrink), start_code(start)
    row = slice(near.indptr[i], near.indptr[i + 1])
    codes, values = near.indices[row].astype(np.int64), near.data[row].astype(np.float64)
    order = np.lexsort((codes, -values))
    return codes[order], values[order]


@cache
def _cloud(start: str) -> Codes:
    """Some of the notes that share a reader with a start, for the background."""
    _, shared = truth_about(start)
    shared = np.where(np.arange(len(shared)) == start_code(start), 0, shared)
    candidates = np.flatnonzero(shared)
    return np.sort(np.random.default_rng(0).choice(candidates, min(200, len(candidates)), replace=False))


class ShrinkageDamping(Explorer):
    """The ten nearest of one note of the world, as popularity damping and shrinkage move.

    On the left the ranked list with its similarities; on the right the same ten among the notes that share a reader
    with the start (a sample of 200 of them), by their clicks and their true similarity, which no model sees. Blue
    notes are truly alike, vermillion ones are not.
    """

    title = "Ten nearest notes, damped and shrunk"
    question = (
        "Set the damping to 1. What is the least shrinkage that drives every one-click note from the list of the "
        "middling note, and does any do it for the niche note?"
    )
    damping = Continuous("damping \N{GREEK SMALL LETTER ALPHA}", 0, 1, stops=11, start=0.5, fine=101, format=".2f")
    shrink = Discrete("shrinkage \N{GREEK SMALL LETTER BETA}", [0, 1, 2, 5, 20], start=0)
    start = Choice("start note", list(STARTS), start="middling")

    def compute(self, damping: float, shrink: float, start: str) -> Scene:
        """List and scatter."""
        codes, values = ranked(damping, shrink, start)
        i, clicks, names = start_code(start), popularity(), note_categories()
        true, shared = truth_about(start)
        alike, single = int((true[codes] > ALIKE).sum()), int((clicks[codes] == 1).sum())
        middle = float(np.median(clicks[codes]))
        whose = start if start == "hit" else f"{start} note"
        truly = f"{alike} {'is' if alike == 1 else 'are'} truly alike"
        once = f"{single} {'has' if single == 1 else 'have'} a single click"
        scene = Scene(
            f"Of the ten nearest of the {whose} ({names[i]}, {clicks[i]:,} clicks), {truly}; {once}, the median is "
            f"{middle:,.0f} click{'' if middle == 1 else 's'}.",
            numbers={
                "codes": codes,
                "similarity": values,
                "clicks": clicks[codes],
                "true": true[codes],
                "alike": alike,
                "single": single,
                "median": middle,
            },
        )
        colour = {int(j): "blue" if true[j] > ALIKE else "vermillion" for j in codes}
        tip = {
            int(
                j
            ): f"{names[j]}: {shared[j]} of its {clicks[j]:,} readers in common, true similarity {_signed(true[j])}"
            for j in codes
        }

        left = scene.panel(height=310, title="The list")
        left.axes((0, 1), Scale(9.6, -0.6, at=()), margin=(124, 44, 40, 42), xlabel="similarity", ticks=(3, 3))
        left.text("head", 0, -0.6, "category, clicks", dx=-8, dy=-6, anchor="end", colour="muted")
        for rank, (code, value) in enumerate(zip(codes, values, strict=True)):
            j = int(code)
            with left.group(f"n{j}"):
                left.text("name", 0, rank, f"{names[j]}, {clicks[j]:,}", dx=-8, anchor="end")
                left.rect("bar", 0, rank - 0.36, value, rank + 0.36, colour=colour[j], rounded=2, tip=tip[j])
                left.text("value", value, rank, f"{value:.2f}", dx=5, halo=True)

        right = scene.panel(height=310, title="Who is on it")
        right.axes(
            Scale(0.75, 1800, log=True, at=(1, 10, 100, 1000), format=",.0f"),
            (-0.7, 1.05),
            xlabel="clicks of the note",
            margin=(40, 44, 8, 42),
        )
        right.legend([("blue", "truly alike"), ("vermillion", "not")], top=36)
        right.line("threshold", [0.75, 1800], [ALIKE, ALIKE], colour="muted", width=1, dash="3 3")
        right.text("true", 1800, 1.05, "true similarity", dy=-6, anchor="end", colour="muted")
        around = _cloud(start)
        right.path(
            f"cloud-{start}",
            [
                step
                for x, y in zip(clicks[around], true[around], strict=True)
                for step in (("M", float(x), float(y)), ("L", float(x) * 1.05, float(y)))
            ],
            colour="muted",
            opacity=0.55,
        )
        right.line("start", [clicks[i]] * 2, [-0.7, 1.05], colour="muted", width=1, dash="6 3")
        right_of = clicks[i] > 100
        right.text(
            "start-name",
            clicks[i],
            -0.62,
            "its own clicks",
            dx=-5 if right_of else 5,
            anchor="end" if right_of else "start",
            colour="muted",
            halo=True,
        )
        for j in (int(code) for code in codes):
            right.circle(f"n{j}", clicks[j], true[j], r=5.5, colour=colour[j], tip=tip[j])
        return scene


# -- factorization ---------------------------------------------------------------------------------------------
SIDE = 10
FACTORS = [1, 2, 4, 8]
REGS = [0.0, 0.03, 0.1, 0.3, 1.0]
PASSES = [1, 2, 3, 5, 8, 13, 20, 35, 60, 100, 175, 300]


def rating_table(seed: int = 0) -> tuple[Floats, NDArray[np.bool_]]:
    """Ten users' ratings of ten items, and which of them are hidden from the fit; [10, 10] each.

    A rating is 3 stars, a habit of the user and a quality of the item (normal, standard deviation 0.5), the inner
    product of two tastes and two traits (0.8) and noise (0.4), rounded and held between 1 and 5: rank 2 but for the
    means and the noise. Two cells of each row and of each column are hidden. The explorable shows the first draw, seed
    0. It is no lucky one: with d = 4 and after the last pass, the lowest error on hidden cells is at 0.1 or 0.3 in all
    but one of the first forty, and at 0 it has risen by more than 0.1 from its lowest in all of them.
    """
    rng = np.random.default_rng(seed)
    habit, quality = rng.normal(0, 0.5, (SIDE, 1)), rng.normal(0, 0.5, (1, SIDE))
    tastes, traits = rng.normal(0, 0.8, (SIDE, 2)), rng.normal(0, 0.8, (SIDE, 2))
    felt = 3 + habit + quality + tastes @ traits.T + rng.normal(0, 0.4, (SIDE, SIDE))
    hidden = np.zeros((SIDE, SIDE), dtype=bool)
    rows, columns = rng.permutation(SIDE), rng.permutation(SIDE)
    for n in range(SIDE):
        hidden[rows[n], columns[[n, (n + 3) % SIDE]]] = True
    return np.clip(np.rint(felt), 1, 5), hidden


def fit(factors: int, reg: float, passes: int, *, seed: int = 0, measured: str = "hidden") -> FunkSVD:
    """FunkSVD on the known cells; ``measured`` says which its ``valid_rmse_`` is of: hidden, known, or none."""
    ratings, hidden = rating_table(seed)
    cells = {"known": np.where(hidden, 0, ratings), "hidden": np.where(hidden, ratings, 0)}
    measures = sparse.csr_array(cells[measured]) if measured in cells else None
    model = FunkSVD(factors, epochs=passes, learning_rate=0.05, reg=reg, progress=False)
    return model.fit(sparse.csr_array(cells["known"]), validation=measures)


@cache
def error_curves(factors: int, reg: float) -> tuple[Floats, Floats]:
    """RMSE after each pass on the cells learned from and on the hidden ones, [300] each."""
    known, hidden = (fit(factors, reg, PASSES[-1], measured=name).valid_rmse_ for name in ("known", "hidden"))
    return known, hidden


@cache
def predictions(factors: int, reg: float, passes: int) -> Floats:
    """Predicted ratings after so many passes [10, 10]: a fit that stops there walks the same way up to there."""
    return fit(factors, reg, passes, measured="none").score(np.arange(SIDE)).astype(np.float64)


@cache
def _star_colour(stars: float) -> str:
    return shade(stars, 1, 5)


class FactorizationFit(Explorer):
    """FunkSVD learns a small table of ratings, pass by pass, while its hidden cells tell whether it understands.

    On the left the table: in each cell the true rating, and around it the predicted one, on one colour scale, so that
    a cell that is predicted well is of one colour; cells hidden from the fit are outlined. On the right the errors on
    the known and on the hidden cells over the passes.
    """

    title = "A factorization learns a table"
    question = (
        "With d = 4, which \N{GREEK SMALL LETTER LAMDA} has the lowest error on the hidden cells after the last pass, "
        "and what happens on the way there at \N{GREEK SMALL LETTER LAMDA} = 0?"
    )
    factors = Discrete("hidden dimension d", FACTORS, start=2)
    reg = Discrete("regularization \N{GREEK SMALL LETTER LAMDA}", REGS, start=0.03)
    passes = Steps("passes", PASSES, start=8, seconds=0.6)

    def compute(self, factors: int, reg: float, passes: int) -> Scene:
        """Table and curves."""
        ratings, hidden = rating_table()
        known_curve, hidden_curve = error_curves(factors, reg)
        known, unknown = float(known_curve[passes - 1]), float(hidden_curve[passes - 1])
        lowest = int(np.argmin(hidden_curve[:passes])) + 1
        predicted = predictions(factors, reg, passes)
        scene = Scene(
            f"After pass {passes} the RMSE is {known:.2f} on the {np.sum(~hidden)} cells it learns from and "
            f"{unknown:.2f} on the {np.sum(hidden)} hidden ones; their lowest so far was "
            f"{hidden_curve[lowest - 1]:.2f}, after pass {lowest}.",
            numbers={"known": known, "hidden": unknown, "lowest": lowest, "predicted": predicted},
        )

        left = scene.panel(height=306, title="True rating, predicted around it")
        letters = "ABCDEFGHIJ"
        left.x, left.y = Scale(-0.5, SIDE - 0.5, 30, 270), Scale(-0.5, SIDE - 0.5, 26, 266)
        for n in range(SIDE):
            left.text(f"user-{n}", -0.5, n, f"{n + 1}", dx=-5, anchor="end")
            left.text(f"item-{n}", n, SIDE - 0.5, letters[n], dy=15, anchor="middle")
        for u, i in np.ndindex(SIDE, SIDE):
            value, rating = round(float(predicted[u, i]), 1), float(ratings[u, i])
            tip = f"user {u + 1}, item {letters[i]}: predicted {_signed(value, 1)}"
            edge, outline, tip = (0.43, "vermillion", f"{tip}, hidden") if hidden[u, i] else (0.46, "none", tip)
            fill, inner = _star_colour(min(max(value, 1.0), 5.0)), _star_colour(rating)
            left.rect(f"cell/{u}-{i}", i - edge, u - edge, i + edge, u + edge, colour=fill, outline=outline, tip=tip)
            left.rect(f"true/{u}-{i}", i - 0.28, u - 0.28, i + 0.28, u + 0.28, colour=inner, rounded=7)
            left.text(f"rating/{u}-{i}", i, u, f"{rating:.0f}", anchor="middle", colour=ink_on(inner))
        with left.group("key"):
            for n in range(1, 6):
                fill = _star_colour(float(n))
                left.rect(f"{n}", n - 1.46, 10.45, n - 0.54, 11.2, colour=fill)
                left.text(f"{n}-name", n - 1, 10.82, f"{n}", anchor="middle", colour=ink_on(fill))
            left.text("stars", 4.7, 10.82, "stars", colour="muted")
            left.rect("hidden", 7, 10.5, 7.6, 11.1, colour="none", outline="vermillion")
            left.text("hidden-name", 7.8, 10.82, "hidden")

        right = scene.panel(height=306, title="Error over the passes")
        right.axes(
            Scale(1, PASSES[-1], log=True, at=(1, 3, 10, 30, 100, 300), format=".0f"),
            (0, 1.75),
            xlabel="pass",
            margin=(34, 50, 14, 42),
        )
        right.legend([("blue", "known cells"), ("vermillion", "hidden cells")], top=36)
        right.text("rmse", PASSES[-1], 1.75, "RMSE, stars", dx=14, dy=-14, anchor="end", colour="muted")
        right.line("now", [passes] * 2, [0, 1.75], colour="muted", width=1, dash="4 3")
        shown = _shown_passes()
        for name, colour, curve, value in (
            ("known", "blue", known_curve, known),
            ("hidden", "vermillion", hidden_curve, unknown),
        ):
            right.line(name, shown, curve[shown - 1], colour=colour)
            tip = f"{name} cells, pass {passes}: {value:.3f}"
            right.circle(f"{name}-now", passes, value, colour=colour, tip=tip)
            above = value < 0.25 or value >= max(known, unknown)  # there is no room under a small error
            before = passes > (30 if above else 4)  # left of the point, where the falling curve is not
            anchor: Anchor = "end" if before else "start"
            right.text(
                f"{name}-value",
                passes,
                value,
                f"{value:.2f}",
                anchor=anchor,
                dx=-8 if before else 8,
                dy=-8 if above else 18,
                colour=colour,
                halo=True,
            )
        return scene


@cache
def _shown_passes() -> Codes:
    """The passes that the curves go through: all stops, and some between them."""
    between = np.geomspace(1, PASSES[-1], 44).round().astype(np.int64)
    return np.union1d(PASSES, between).astype(np.int64)
