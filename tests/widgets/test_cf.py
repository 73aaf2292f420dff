"""Explorables of the chapter on collaborative filtering: numbers by another route, marks in place, answers hold."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray
from scipy import sparse

from rectutor.retrieval.cf import reference
from rectutor.retrieval.cf.factors_steps import funk_step, starting_factors
from rectutor.widgets.cf import (
    ALIKE,
    FACTORS,
    ITEMS,
    LIKING,
    PAIRS,
    PASSES,
    REGS,
    SIDE,
    STARTS,
    USERS,
    FactorizationFit,
    ShrinkageDamping,
    SimilarityLab,
    error_curves,
    fit,
    popularity,
    rating_table,
    start_code,
    three_raters,
    world_clicks,
)
from rectutor.widgets.explorer import Explorer, Frame
from rectutor.widgets.scene import Mark, Panel

Floats = NDArray[np.float64]

PIXEL = 0.1 + 1e-9
"""Marks and tick labels are each rounded to a tenth of a pixel, so they may differ by one."""


@cache
def frames(kind: type[Explorer]) -> list[Frame]:
    return list(kind().frames())


def marks(panel: Panel, start: str = "") -> dict[str, Mark]:
    """Marks of a panel by what follows ``start`` in their keys."""
    return {m.key.removeprefix(start): m for m in panel.marks if m.key.startswith(start)}


def at(mark: Mark, *names: str) -> list[float]:
    return [float(mark.attributes[name]) for name in names]


def points(mark: Mark) -> Floats:
    """The corners of a path, [points, 2]."""
    return np.array(re.findall(r"-?\d+\.?\d*", mark.attributes["d"]), dtype=float).reshape(-1, 2)


def axis(panel: Panel, which: str, log: bool = False) -> Callable[[float], float]:
    """From a value to a pixel as a reader does it: between the outermost tick labels of an axis."""
    ticks = {
        float(name): at(m, which)[0]
        for name, m in marks(panel, f"axes/{which}-").items()
        if re.fullmatch(r"-?[\d.]+", name)
    }
    scale: Callable[[float], float] = math.log if log else float
    (low, first), (high, last) = min(ticks.items()), max(ticks.items())
    first, last = (first - 4, last - 4) if which == "y" else (first, last)  # a label hangs 4 pixels below its tick
    return lambda value: first + (scale(value) - scale(low)) / (scale(high) - scale(low)) * (last - first)


def signed(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-"))


# -- similarity lab --------------------------------------------------------------------------------------------
def by_hand(name: str, one: Floats, other: Floats) -> float | None:
    """Similarity of two users from their ratings, NaN where there is none."""
    both = ~np.isnan(one) & ~np.isnan(other)
    if name == "Jaccard":
        return float(both.sum() / (~np.isnan(one) | ~np.isnan(other)).sum())
    if name == "cosine":
        return float((one * other)[both].sum() / math.sqrt(np.nansum(one**2) * np.nansum(other**2)))
    return reference.correlation(one[both].tolist(), other[both].tolist())


def test_each_control_moves_one_thing_of_one_user() -> None:
    assert LIKING.sum() == pytest.approx(0, abs=1e-12)
    before = three_raters(0, 1, 6, False)
    assert three_raters(1.5, 1, 6, False) - before == pytest.approx(np.array([[1.5], [0], [0]]) * np.ones((3, 6)))
    turned = three_raters(0, -1, 6, False)
    assert (turned[[0, 2]] == before[[0, 2]]).all()
    assert turned[1] - 2 == pytest.approx(-(before[0] - 3))
    for rated in range(1, 7):
        fewer = three_raters(0, 1, rated, False)
        assert (~np.isnan(fewer)).sum(axis=1).tolist() == [6, 6, rated]
        assert (fewer[2, :rated] == before[2, :rated]).all()
    for generosity in (-1, 0.5, 2):
        exact, whole = (three_raters(generosity, 1, 6, stars) for stars in (False, True))
        assert set(whole.ravel()) <= {1, 2, 3, 4, 5}
        assert (np.abs(whole - np.clip(exact, 1, 5)) <= 0.5).all()


def test_lab_shows_the_similarities_by_hand_and_says_where_there_is_none() -> None:
    undefined = 0
    for values, scene in frames(SimilarityLab):
        ratings = scene.numbers["ratings"]
        assert np.array_equal(ratings, three_raters(**values), equal_nan=True)
        right = scene.panels[1]
        x = axis(right, "x")
        said = scene.says
        for n, (u, v) in enumerate(PAIRS):
            pair = [f"{USERS[u]} and {USERS[v]}"]
            for measure in ("Jaccard", "cosine", "Pearson"):
                wanted = by_hand(measure, ratings[u], ratings[v])
                shown = scene.numbers[measure][n]
                row = marks(right, f"{measure}/{n}-")
                if wanted is None:
                    undefined += 1
                    assert shown is None
                    assert "bar" not in row
                    common = (~np.isnan(ratings[[u, v]]).any(axis=0)).sum()
                    why = "one common item" if common == 1 else "one does not vary"
                    assert row["why"].text == f"undefined: {why}"
                    pair.append("undefined")
                    continue
                assert shown == pytest.approx(wanted, rel=1e-6, abs=2e-7)
                left, width = at(row["bar"], "x", "width")
                assert left == pytest.approx(x(min(wanted, 0)), abs=PIXEL)
                assert left + width == pytest.approx(x(max(wanted, 0)), abs=PIXEL)
                assert signed(row["value"].text) == pytest.approx(wanted, abs=0.005 + 1e-6)
                pair.append(row["value"].text)
            assert f"{pair[0]} {', '.join(pair[1:])}" in said
    assert undefined > 0


def test_lab_draws_every_rating_at_its_stars_and_the_missing_ones_below() -> None:
    for _, scene in frames(SimilarityLab):
        left = scene.panels[0]
        y, shown = axis(left, "y"), marks(left)
        for n, user in enumerate(USERS):
            ratings = scene.numbers["ratings"][n]
            line = points(shown[f"line-{user}"])
            dots = np.array([at(shown[f"{user}-{item}"], "cx", "cy") for item in ITEMS])
            has = ~np.isnan(ratings)
            assert line == pytest.approx(dots[has])
            assert dots[has, 1] == pytest.approx([y(r) for r in ratings[has]], abs=PIXEL)
            assert (dots[~has, 1] > y(0)).all()
            columns = np.array([at(shown[f"axes/x-{i}"], "x")[0] for i in range(6)])
            assert (np.abs(dots[:, 0] - columns) < np.diff(columns).min() / 4).all()


def test_the_cosine_of_opposites_stays_high_and_pearson_stays_at_minus_one() -> None:
    turned = [f for f in frames(SimilarityLab) if f.values["taste"] == -1]
    exact = [f for f in turned if not f.values["stars"]]
    for frame in exact:
        assert frame.scene.numbers["Pearson"][0] == pytest.approx(-1, abs=1e-6)
    cosine = {f.values["generosity"]: f.scene.numbers["cosine"][0] for f in exact}
    assert min(cosine, key=lambda g: cosine[g]) == -1
    assert cosine[-1] == pytest.approx((24 - LIKING @ LIKING) / (24 + LIKING @ LIKING), rel=1e-6)
    assert cosine[-1] > 0.67
    cut = next(f for f in turned if f.values["stars"] and f.values["generosity"] == 2)
    assert cut.scene.numbers["Pearson"][0] > -0.9


def test_two_common_items_always_correlate_fully() -> None:
    for values, scene in frames(SimilarityLab):
        if values["rated"] == 2 and not values["stars"]:
            assert scene.numbers["Pearson"][1] == pytest.approx(1, abs=1e-6)


# -- damping and shrinkage -------------------------------------------------------------------------------------
@cache
def counts() -> tuple[sparse.csc_array, Floats]:
    """Who clicked what as ones [users, notes], and the clicks of each note, from the table of impressions."""
    world, log = world_clicks()
    clicked = world.impressions.query("click == 1")[["user", "note"]].drop_duplicates()
    user, note = np.unique(clicked.user, return_inverse=True)[1], np.searchsorted(log.item_ids, clicked.note)
    ones = sparse.csc_array((np.ones(len(clicked)), (user, note)))
    return ones, clicked.groupby("note").size().loc[log.item_ids].to_numpy(dtype=float)


@cache
def common_readers(start: str) -> Floats:
    """How many readers each note shares with a start; 0 for itself."""
    ones, _ = counts()
    i = start_code(start)
    readers = ones[:, [i]].nonzero()[0]
    shared: Floats = ones.tocsr()[readers].sum(axis=0)
    shared[i] = 0
    return shared


@cache
def true_similarity(start: str) -> Floats:
    """Cosine in the world's taste space."""
    world, log = world_clicks()
    places = world.latent_vectors[log.item_ids].astype(float)
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    similarity: Floats = places @ places[start_code(start)]
    return similarity


def test_starts_are_the_first_of_their_popularity() -> None:
    _, clicks = counts()
    assert (popularity() == clicks).all()
    for start, wanted in STARTS.items():
        code = start_code(start)
        assert clicks[code] == (clicks.max() if wanted is None else wanted)
        assert (clicks[:code] != clicks[code]).all()


def test_lists_are_those_of_the_equations() -> None:
    _, n = counts()
    for values, scene in frames(ShrinkageDamping):
        a, beta, start = values["damping"], values["shrink"], values["start"]
        shared, i = common_readers(start), start_code(start)
        wanted = shared / (n[i] ** (1 - a) * n**a) * shared / (shared + beta + (shared == 0))
        codes, shown = scene.numbers["codes"], scene.numbers["similarity"]
        assert len(set(codes)) == 10
        assert shown == pytest.approx(wanted[codes], rel=1e-6)
        assert shown == pytest.approx(np.sort(wanted)[::-1][:10], rel=1e-6)
        assert (np.diff(shown) <= 0).all()
        for before, after in pairwise(codes):
            assert before < after or wanted[before] > wanted[after]
        ties = np.flatnonzero(np.abs(wanted - shown[-1]) < 1e-9 * shown[-1])  # the last place goes to the lower codes
        kept = ties[np.isin(ties, codes)]
        assert (kept == ties[: len(kept)]).all()
        assert (scene.numbers["clicks"] == n[codes]).all()
        assert scene.numbers["true"] == pytest.approx(true_similarity(start)[codes], abs=1e-9)
        assert scene.numbers["alike"] == (true_similarity(start)[codes] > ALIKE).sum()
        assert scene.numbers["single"] == (n[codes] == 1).sum()


@pytest.mark.parametrize(("damping", "shrink"), [(0, 0), (0.5, 0), (0.7, 5), (1, 0), (1, 20)])
def test_lists_have_the_similarities_of_the_reference(damping: float, shrink: float) -> None:
    """Leaving out other notes changes no similarity, as the sums run over readers: the reference need not see all."""
    ones, _ = counts()
    for start in STARTS:
        frame = next(f for f in frames(ShrinkageDamping) if list(f.values.values()) == [float(damping), shrink, start])
        columns = [start_code(start), *frame.scene.numbers["codes"], *range(20)]
        part = sparse.csr_array(ones[:, columns])
        near = reference.cosine(part, k=None, damping=damping, shrink=shrink).toarray()
        assert frame.scene.numbers["similarity"] == pytest.approx(near[0, 1:11], rel=1e-6)


def test_rows_are_in_order_and_bars_and_points_in_place() -> None:
    world, log = world_clicks()
    for values, scene in frames(ShrinkageDamping):
        left, right = scene.panels
        x, clicks_at, true_at = axis(left, "x"), axis(right, "x", log=True), axis(right, "y")
        rows = []
        for code, similarity in zip(scene.numbers["codes"], scene.numbers["similarity"], strict=True):
            row, point = marks(left, f"n{code}/"), marks(right)[f"n{code}"]
            start, width = at(row["bar"], "x", "width")
            assert start == pytest.approx(x(0), abs=PIXEL)
            assert start + width == pytest.approx(x(similarity), abs=PIXEL)
            assert float(row["value"].text) == pytest.approx(similarity, abs=0.005 + 1e-9)
            clicks, true = popularity()[code], true_similarity(values["start"])[code]
            category = world.categories["name"][world.notes.level2[log.item_ids[code]]]
            assert row["name"].text == f"{category}, {clicks:,}"
            assert at(point, "cx", "cy") == pytest.approx([clicks_at(clicks), true_at(true)], abs=PIXEL)
            assert ("blue" in point.attributes["fill"]) == (true > ALIKE)
            assert row["bar"].attributes["fill"] == point.attributes["fill"]
            rows.append(at(row["bar"], "y")[0])
        assert (np.diff(rows) > 0).all()
        assert len([key for key in marks(left) if key.endswith("/bar")]) == 10
        i = start_code(values["start"])
        assert points(marks(right)["start"])[0, 0] == pytest.approx(clicks_at(popularity()[i]), abs=PIXEL)


def test_list_says_its_numbers() -> None:
    for values, scene in frames(ShrinkageDamping):
        alike, single, median = (scene.numbers[name] for name in ("alike", "single", "median"))
        clicks = np.sort(scene.numbers["clicks"])
        assert median == (clicks[4] + clicks[5]) / 2
        assert f"{popularity()[start_code(values['start'])]:,} clicks)" in scene.says
        assert f", {alike} {'is' if alike == 1 else 'are'} truly alike; {single} ha" in scene.says
        assert f"the median is {median:,.0f} click" in scene.says


def test_shrinkage_clears_the_middling_list_and_never_the_niche_one() -> None:
    single = {
        (f.values["start"], f.values["shrink"]): f.scene.numbers["single"]
        for f in frames(ShrinkageDamping)
        if f.values["damping"] == 1
    }
    shrinkages = ShrinkageDamping.controls()["shrink"].stops
    assert [b for b in shrinkages if single["middling", b] == 0] == [b for b in shrinkages if b >= 2]
    assert all(single["niche", b] > 0 for b in shrinkages)
    _, n = counts()
    shared = common_readers("niche")  # where shrinkage without end leads to: the ranking by shared^2 / n
    limit = np.lexsort((np.arange(len(n)), -(shared**2) / n))[:10]
    assert (n[limit] == 1).any()
    hits, tail = (
        next(f for f in frames(ShrinkageDamping) if list(f.values.values()) == [a, 0, "hit"]).scene for a in (0.0, 1.0)
    )
    assert hits.numbers["clicks"].min() > 200
    assert tail.numbers["clicks"].max() <= 2
    assert (tail.numbers["similarity"] == 1).all()
    gentle = next(f for f in frames(ShrinkageDamping) if list(f.values.values()) == [0.3, 0, "niche"])
    assert gentle.scene.numbers["single"] == 0


# -- factorization ---------------------------------------------------------------------------------------------
@cache
def walk(factors: int, reg: float) -> dict[int, Floats]:
    """Predictions at the stops, by the reference's steps in 64 bits, rating by rating."""
    ratings, hidden = rating_table()
    rng = np.random.default_rng(0)
    p, q = (starting_factors(rng, SIDE, factors, 0.1) for _ in range(2))
    b, c, mean = np.zeros(SIDE), np.zeros(SIDE), float(ratings[~hidden].mean())
    cells = np.argwhere(~hidden).tolist()
    found = {}
    for n in range(1, PASSES[-1] + 1):
        for u, i in cells:
            b[u], c[i], p[u], q[i] = funk_step(float(ratings[u, i]), mean, b[u], c[i], p[u], q[i], 0.05, reg)
        if n in PASSES:
            found[n] = mean + b[:, None] + c + p @ q.T
    return found


def test_table_is_stars_and_hides_two_cells_of_each_row_and_column() -> None:
    for seed in range(5):
        ratings, hidden = rating_table(seed)
        assert set(ratings.ravel()) <= {1, 2, 3, 4, 5}
        assert (hidden.sum(axis=0) == 2).all()
        assert (hidden.sum(axis=1) == 2).all()


@pytest.mark.slow
def test_predictions_and_errors_are_those_of_the_reference() -> None:
    ratings, hidden = rating_table()
    for values, scene in frames(FactorizationFit):
        wanted = walk(values["factors"], values["reg"])[values["passes"]]
        assert scene.numbers["predicted"] == pytest.approx(wanted, rel=1e-4, abs=1e-4)
        off = wanted - ratings
        assert scene.numbers["known"] == pytest.approx(math.sqrt((off[~hidden] ** 2).mean()), rel=1e-4, abs=1e-5)
        assert scene.numbers["hidden"] == pytest.approx(math.sqrt((off[hidden] ** 2).mean()), rel=1e-4)


def test_errors_are_those_of_the_table_shown() -> None:
    ratings, hidden = rating_table()
    for _, scene in frames(FactorizationFit):
        off = scene.numbers["predicted"] - ratings
        assert scene.numbers["known"] == pytest.approx(math.sqrt((off[~hidden] ** 2).mean()), rel=1e-5, abs=1e-6)
        assert scene.numbers["hidden"] == pytest.approx(math.sqrt((off[hidden] ** 2).mean()), rel=1e-5)


def test_cells_have_the_colours_of_their_ratings() -> None:
    ratings, hidden = rating_table()

    def colour(stars: float) -> str:
        return str(to_hex(colormaps["cividis"]((min(max(stars, 1), 5) - 1) / 4)))

    for _, scene in frames(FactorizationFit):
        left = marks(scene.panels[0])
        for u, i in np.ndindex(SIDE, SIDE):
            cell, inner, number = (left[f"{name}/{u}-{i}"] for name in ("cell", "true", "rating"))
            predicted = round(float(scene.numbers["predicted"][u, i]), 1)
            assert cell.attributes["fill"] == colour(predicted)
            assert inner.attributes["fill"] == colour(float(ratings[u, i]))
            assert number.text == f"{ratings[u, i]:.0f}"
            assert ("stroke" in cell.attributes) == hidden[u, i]
            (x, y, w, h), (a, b, c, d) = (at(m, "x", "y", "width", "height") for m in (cell, inner))
            assert (a + c / 2, b + d / 2) == pytest.approx((x + w / 2, y + h / 2), abs=PIXEL)


def test_curves_run_through_the_stops_and_the_present_pass_is_marked() -> None:
    for values, scene in frames(FactorizationFit):
        right = scene.panels[1]
        x, y, shown = axis(right, "x", log=True), axis(right, "y"), marks(right)
        here = values["passes"]
        curves = dict(zip(("known", "hidden"), error_curves(values["factors"], values["reg"]), strict=True))
        assert points(shown["now"])[:, 0] == pytest.approx([x(here)] * 2, abs=PIXEL)
        for name, curve in curves.items():
            assert scene.numbers[name] == curve[here - 1]
            assert at(shown[f"{name}-now"], "cx", "cy") == pytest.approx([x(here), y(curve[here - 1])], abs=PIXEL)
            assert float(shown[f"{name}-value"].text) == pytest.approx(curve[here - 1], abs=0.005 + 1e-9)
            line = points(shown[name])
            for stop in PASSES:
                nearest = line[np.abs(line[:, 0] - x(stop)).argmin()]
                assert nearest == pytest.approx([x(stop), y(curve[stop - 1])], abs=PIXEL)
        lowest = scene.numbers["lowest"]
        assert curves["hidden"][lowest - 1] == curves["hidden"][:here].min()
        assert f"{curves['hidden'][lowest - 1]:.2f}, after pass {lowest}." in scene.says
        assert f"After pass {here} the RMSE is {scene.numbers['known']:.2f} on the 80 " in scene.says
        assert f"{scene.numbers['hidden']:.2f} on the 20 hidden" in scene.says


def test_a_penalty_of_a_tenth_ends_lowest_and_none_overfits() -> None:
    end = {
        (f.values["factors"], f.values["reg"]): f.scene.numbers
        for f in frames(FactorizationFit)
        if f.values["passes"] == PASSES[-1]
    }
    assert min(REGS, key=lambda reg: end[4, reg]["hidden"]) == 0.1
    assert end[4, 0.1]["hidden"] + 0.03 < min(end[4, reg]["hidden"] for reg in REGS if reg != 0.1)
    free = error_curves(4, 0)[1]
    turn = int(free.argmin())
    assert 20 < turn < 60
    assert free[0] - free[turn] > 0.2
    assert free[-1] - free[turn] > 0.4
    assert free[turn] <= end[4, 0.1]["hidden"]
    assert end[4, 0]["known"] < 0.1
    assert np.ptp([end[d, 0.3]["hidden"] for d in FACTORS]) < 1e-4


def test_the_table_shown_is_no_lucky_one() -> None:
    """What the docstring of the table says of forty draws."""
    curves = np.array([[fit(4, reg, PASSES[-1], seed=seed).valid_rmse_ for reg in REGS] for seed in range(40)])
    best = np.bincount(curves[:, :, -1].argmin(axis=1), minlength=len(REGS))
    assert best[REGS.index(0.1)] + best[REGS.index(0.3)] == 39
    assert best.argmax() == REGS.index(0.1)
    assert (curves[:, 0, -1] - curves[:, 0].min(axis=1)).min() > 0.1
