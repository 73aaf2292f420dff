"""Explorables of the chapter on diversity: numbers by another route, marks in place, answers hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rectutor.widgets.diversity import (
    AREA,
    FEED,
    KERNELS,
    LONG,
    NEAR,
    TOPICS,
    WINDOWS,
    DPPFeed,
    DPPKernel,
    FeedRules,
    MMRAgainstDPP,
    MMRFeed,
    candidates,
    notes_for_rules,
    ruled_feed,
    shaded,
)
from rectutor.widgets.explorer import Explorer, Frame
from rectutor.widgets.scene import Mark, Panel

Floats = NDArray[np.float64]

EXACT = 1e-9
"""Two ways of computing the same number differ by rounding alone."""


DRAWN: dict[str, list[Frame]] = {}


def frames(kind: type[Explorer]) -> list[Frame]:
    if kind.__name__ not in DRAWN:
        DRAWN[kind.__name__] = list(kind().frames())
    return DRAWN[kind.__name__]


def scene(kind: type[Explorer], **values: Any) -> Any:
    return next(f.scene for f in frames(kind) if all(f.values[n] == v for n, v in values.items()))


def marks(panel: Panel, start: str) -> dict[str, Mark]:
    return {m.key.removeprefix(start): m for m in panel.marks if m.key.startswith(start)}


# -- candidates ---------------------------------------------------------------------------------------------------
def similarity(i: int, j: int) -> float:
    (a, b), (c, d) = candidates().points[i], candidates().points[j]
    return math.exp(-((a - c) ** 2 + (b - d) ** 2) / 2)


@cache
def kernel(name: str) -> Floats:
    """The inner products, entry by entry."""
    n = len(candidates().names)
    if name == "by distance":
        return np.array([[similarity(i, j) for j in range(n)] for i in range(n)])
    rays = [np.array([x, y, 1.5]) for x, y in candidates().points]
    return np.array([[float(u @ v / math.sqrt((u @ u) * (v @ v))) for v in rays] for u in rays])


def names(order: Sequence[int]) -> list[str]:
    return [candidates().names[i] for i in order]


def test_the_candidates_come_in_the_order_of_the_ranker_and_lie_on_the_map() -> None:
    c = candidates()
    assert len(c.names) == len(set(c.names)) == 24
    assert {name[0] for name in c.names} == set(TOPICS)
    assert (np.diff(c.reward) < 0).all()
    assert AREA[0] < c.points.min() < c.points.max() < AREA[1]
    assert c.similarity == pytest.approx(kernel("by distance"), abs=EXACT)
    assert c.vectors @ c.vectors.T == pytest.approx(kernel("three numbers"), abs=EXACT)
    assert np.linalg.matrix_rank(kernel("by distance"), tol=1e-6, hermitian=True) == 24
    assert np.linalg.matrix_rank(kernel("three numbers"), tol=1e-6, hermitian=True) == 3


def diversity(order: Sequence[int]) -> float:
    pairs = [1 - similarity(i, j) for i, j in combinations(order, 2)]
    return sum(pairs) / len(pairs) if pairs else 0.0


def counted(order: Sequence[int], n: int, window: int | str) -> list[int]:
    """The items above position n that count."""
    return [int(i) for i in (order[:n] if window == "all" else order[max(0, n - int(window)) : n])]


def left_at(order: Sequence[int], n: int) -> list[int]:
    return [i for i in range(len(candidates().names)) if i not in order[:n]]


# -- MMR ----------------------------------------------------------------------------------------------------------
def test_mmr_takes_the_best_of_all_left_at_every_position() -> None:
    reward = candidates().reward
    for values, shown in frames(MMRFeed):
        theta, window, numbers = values["theta"], values["window"], shown.numbers
        order = numbers["order"].tolist()
        assert len(order) == len(set(order)) == FEED
        for n, chosen in enumerate(order):
            above = counted(order, n, window)
            penalty = {i: max((similarity(i, j) for j in above), default=0.0) for i in left_at(order, n)}
            score = {i: theta * reward[i] - (1 - theta) * p for i, p in penalty.items()}
            assert score[chosen] == pytest.approx(max(score.values()), abs=EXACT)
            assert not any(score[i] > score[chosen] - EXACT for i in score if i < chosen)
            assert numbers["penalty"][n] == pytest.approx(penalty[chosen], abs=EXACT)
            assert numbers["least"][n] == pytest.approx(min(penalty.values()), abs=EXACT)
            assert numbers["greatest"][n] == pytest.approx(max(penalty.values()), abs=EXACT)
        assert numbers["reward"] == pytest.approx(sum(reward[i] for i in order), abs=EXACT)
        assert numbers["diversity"] == pytest.approx(diversity(order), abs=EXACT)
        assert numbers["spread"] == pytest.approx(numbers["greatest"][-1] - numbers["least"][-1], abs=EXACT)
        assert f"reward {numbers['reward']:.2f}, intra-list diversity {numbers['diversity']:.3f}" in shown.says


def rows(panel: Panel) -> list[str]:
    """Names of the feed's tiles from the top, read off the picture; those left out stand below the feed."""
    tiles = [(float(m.attributes["y"]), k) for k, m in marks(panel, "tile/").items() if m.tag == "rect"]
    return [name for _, name in sorted(tiles)[:FEED]]


@pytest.mark.parametrize("kind", [MMRFeed, DPPFeed])
def test_tiles_bars_and_numbers_show_the_feed(kind: type[Explorer]) -> None:
    for _, shown in frames(kind):
        order = shown.numbers["order"].tolist()
        left, right = shown.panels[:2]
        assert rows(right) == names(order)
        assert {k: m.text for k, m in marks(left, "place/").items()} == {
            name: str(n + 1) for n, name in enumerate(names(order))
        }
        tiles = [k for k, m in marks(right, "tile/").items() if m.tag == "rect"]
        assert sorted(tiles) == sorted(candidates().names)
        filled = {k for k, m in marks(left, "point/").items() if m.attributes["fill"] != "none"}
        assert filled == set(names(order))
        for i in order:
            bar = marks(right, "reward/")[candidates().names[i]]
            assert float(bar.attributes["width"]) == pytest.approx(62 * candidates().reward[i], abs=0.05 + EXACT)


def test_mmr_draws_the_penalty_among_those_of_all_left() -> None:
    for _, shown in frames(MMRFeed):
        panel, numbers = shown.panels[1], shown.numbers
        zero, one = (float(marks(panel, "grid/")[f"{v}-name"].attributes["x"]) for v in (0, 1))
        bars, points = marks(panel, "left/"), marks(panel, "here/")
        assert set(bars) == set(points) == {str(n) for n in range(2, FEED + 1)}
        for n in range(1, FEED):
            at = {name: zero + numbers[name][n] * (one - zero) for name in ("penalty", "least", "greatest")}
            assert float(points[str(n + 1)].attributes["cx"]) == pytest.approx(at["penalty"], abs=0.05 + EXACT)
            start, width = (float(bars[str(n + 1)].attributes[a]) for a in ("x", "width"))
            assert start + 2 == pytest.approx(at["least"], abs=0.05 + EXACT)
            assert start + width - 2 == pytest.approx(at["greatest"], abs=0.1 + EXACT)


def test_answer_the_penalty_saturates_at_position_8_and_a_window_of_5_is_the_most_diverse() -> None:
    spread = {}
    for window in WINDOWS:
        numbers = scene(MMRFeed, theta=0.3, window=window).numbers
        spread[window] = numbers["greatest"] - numbers["least"]
    close = [n + 1 for n in range(1, FEED) if spread["all"][n] < 0.1]
    assert close == [8, 9, 10]
    assert min(spread[w][1:].min() for w in (1, 2, 3, 5)) > 0.3
    diverse = {w: scene(MMRFeed, theta=0.3, window=w).numbers["diversity"] for w in WINDOWS}
    assert max(diverse, key=lambda w: diverse[w]) == 5
    assert min(diverse, key=lambda w: diverse[w]) == "all"


# -- three vectors ------------------------------------------------------------------------------------------------
def test_volume_determinant_and_eigenvalues_follow_from_the_angles() -> None:
    for values, shown in frames(DPPKernel):
        angle, height = math.radians(values["angle"]), math.radians(values["height"])
        length, numbers = values["length"], shown.numbers
        with_floor = length * math.cos(height) * math.cos(angle / 2)
        expected = [
            [1, math.cos(angle), with_floor],
            [math.cos(angle), 1, with_floor],
            [with_floor, with_floor, length**2],
        ]
        assert numbers["kernel"] == pytest.approx(np.array(expected), abs=EXACT)
        size = length * math.sin(angle) * math.sin(height)
        assert numbers["volume"] == pytest.approx(size, abs=1e-7)  # a root of rounding where vectors are dependent
        assert numbers["determinant"] == pytest.approx(size**2, abs=EXACT)
        assert numbers["trace"] == pytest.approx(2 + length**2, abs=EXACT)
        a, b, c = numbers["eigenvalues"]
        assert a >= b >= c
        assert a + b + c == pytest.approx(2 + length**2, abs=EXACT)
        assert a * b * c == pytest.approx(size**2, abs=EXACT)
        minors = 1 - math.cos(angle) ** 2 + 2 * (length**2 - with_floor**2)  # the third symmetric function
        assert a * b + b * c + a * c == pytest.approx(minors, abs=EXACT)


def test_the_heat_map_and_the_bars_show_the_kernel() -> None:
    for _, shown in frames(DPPKernel):
        panel, numbers = shown.panels[1], shown.numbers
        for i, j in np.ndindex(3, 3):
            text = marks(panel, f"cell/{i}{j}-")["value"].text
            assert float(text.replace("\N{MINUS SIGN}", "-")) == pytest.approx(
                numbers["kernel"][i, j], abs=0.005 + EXACT
            )
        widths = [float(marks(panel, "eigen-")[str(n)].attributes["width"]) for n in range(3)]
        assert widths == pytest.approx([36 * max(e, 0) for e in numbers["eigenvalues"]], abs=0.05 + EXACT)


def test_the_faces_are_parallelograms_from_the_vectors() -> None:
    for values, shown in frames(DPPKernel):
        panel = shown.panels[0]
        faces = {}
        for name in ("floor", "front-1", "front-2", "roof"):
            d = marks(panel, name)[""].attributes["d"]
            pairs = d.removeprefix("M").removesuffix("Z").split("L")
            faces[name] = np.array([[float(a) for a in pair.split()] for pair in pairs])
        for corners in faces.values():
            assert corners[0] + corners[2] == pytest.approx(corners[1] + corners[3], abs=0.2 + EXACT), values
        v3 = faces["front-1"][3] - faces["front-1"][0]
        assert faces["roof"] - faces["floor"] == pytest.approx(np.tile(v3, (4, 1)), abs=0.2 + EXACT)
        upright = values["length"] * math.sin(math.radians(values["height"]))
        away = values["length"] * math.cos(math.radians(values["height"]))
        assert v3 == pytest.approx([96 * 0.42 * away, -96 * (upright + 0.36 * away)], abs=0.1 + EXACT)


def test_answer_length_makes_up_for_a_low_angle_but_not_for_none() -> None:
    def size(height: float, length: float) -> float:
        return float(scene(DPPKernel, angle=90.0, height=height, length=length).numbers["volume"])

    assert size(90, 1) == pytest.approx(1, abs=EXACT)
    assert size(30, 1) == pytest.approx(0.5, abs=EXACT)
    assert size(30, 2) == pytest.approx(1, abs=EXACT)
    assert [size(0, length) for length in (0.5, 1, 1.5, 2)] == pytest.approx([0] * 4, abs=EXACT)


# -- DPP ----------------------------------------------------------------------------------------------------------
def squared_distance(a: Floats, i: int, w: Sequence[int]) -> float:
    """Least squares: the squared distance of vector i from the span of w, from inner products alone."""
    if not w:
        return float(a[i, i])
    weights = np.linalg.pinv(a[np.ix_(w, w)], rcond=1e-9, hermitian=True) @ a[list(w), i]
    return float(a[i, i] - weights @ a[list(w), i])


def test_dpp_takes_the_best_of_all_left_and_says_what_goes_by_reward() -> None:
    reward = candidates().reward
    for values, shown in frames(DPPFeed):
        theta, window, numbers = values["theta"], values["window"], shown.numbers
        a, order = kernel(values["kernel"]), numbers["order"].tolist()
        assert len(order) == len(set(order)) == FEED
        by_reward = []
        for n, chosen in enumerate(order):
            d2 = {i: squared_distance(a, i, counted(order, n, window)) for i in left_at(order, n)}
            none = max(d2.values()) < 1e-9
            assert numbers["squared distance"][n] == pytest.approx(d2[chosen], abs=EXACT)
            assert numbers["least"][n] == pytest.approx(min(d2.values()), abs=EXACT)
            assert numbers["greatest"][n] == pytest.approx(max(d2.values()), abs=EXACT)
            if theta == 1 or none:
                assert chosen == min(d2)  # rows fall in reward
                by_reward += [n] if theta < 1 else []
                continue
            score = {i: theta * reward[i] + (1 - theta) * math.log(d) for i, d in d2.items() if d > 1e-9}
            assert score[chosen] == pytest.approx(max(score.values()), abs=1e-7)
        assert numbers["by reward"].tolist() == by_reward
        assert numbers["reward"] == pytest.approx(sum(reward[i] for i in order), abs=EXACT)
        assert numbers["diversity"] == pytest.approx(diversity(order), abs=EXACT)
        if values["kernel"] == "by distance":
            determinant = np.linalg.det(a[np.ix_(order, order)])
            assert math.exp(numbers["log det"]) == pytest.approx(determinant, rel=1e-6)
            assert marks(shown.panels[2], "volume/")["now"].tag == "circle"
        else:
            assert numbers["log det"] is None
            assert marks(shown.panels[2], "volume/")["none"].text.endswith("infinity:")
        words = {int(k) - 1 for k, m in marks(shown.panels[1], "words/").items() if m.text == "taken by reward"}
        assert words == set(by_reward)


def test_the_curves_go_through_the_feeds_of_all_stops() -> None:
    for values, shown in frames(DPPFeed):
        curves = shown.panels[2]
        for name, number in (("reward", "reward"), ("volume", "log det")):
            if shown.numbers[number] is None:
                continue
            curve = marks(curves, f"{name}/")["curve"].attributes["d"].removeprefix("M").split("L")
            now = marks(curves, f"{name}/")["now"].attributes
            assert len(curve) == 21
            x, y = map(float, curve[round(values["theta"] * 20)].split())
            assert [float(now["cx"]), float(now["cy"])] == [x, y]


def test_answer_three_numbers_carry_three_items_and_a_window_of_two_brings_volume_back() -> None:
    for theta in (round(0.1 * n, 1) for n in range(10)):
        first = {
            w: scene(DPPFeed, theta=theta, window=w, kernel="three numbers").numbers["by reward"].tolist()
            for w in WINDOWS
        }
        assert first["all"] == list(range(3, FEED))
        assert [w for w in WINDOWS if not first[w]] == [1, 2]
    assert all(
        f.scene.numbers["by reward"].size == 0 for f in frames(DPPFeed) if f.values["kernel"] == next(iter(KERNELS))
    )


# -- MMR against DPP ----------------------------------------------------------------------------------------------
def test_both_feeds_are_the_first_positions_of_the_whole_ones() -> None:
    reward, a = candidates().reward, kernel("by distance")
    for values, shown in frames(MMRAgainstDPP):
        k, theta, numbers = values["positions"], values["theta"], shown.numbers
        whole = {
            "MMR": scene(MMRFeed, theta=theta, window="all"),
            "DPP": scene(DPPFeed, theta=theta, window="all", kernel="by distance"),
        }
        for name, feed in whole.items():
            order = feed.numbers["order"][:k].tolist()
            assert numbers[f"{name} order"].tolist() == order
            assert numbers[f"{name} reward"] == pytest.approx(sum(reward[i] for i in order), abs=EXACT)
            assert numbers[f"{name} diversity"] == pytest.approx(diversity(order), abs=EXACT)
            determinant = np.linalg.det(a[np.ix_(order, order)])
            assert numbers[f"{name} volume"] ** 2 == pytest.approx(determinant, abs=EXACT)
        orders = [set(numbers[f"{name} order"].tolist()) for name in whole]
        assert numbers["shared"] == len(orders[0] & orders[1])
        for panel, name, other in ((shown.panels[0], "MMR", 1), (shown.panels[1], "DPP", 0)):
            alone = {
                n
                for n, i in zip(names(numbers[f"{name} order"]), numbers[f"{name} order"], strict=True)
                if i not in orders[other]
            }
            assert set(marks(panel, "only/")) == alone


def shuns(name: str, i: int, chosen: Sequence[int]) -> bool:
    if name == "MMR":
        return max(similarity(i, j) for j in chosen) > NEAR
    return squared_distance(kernel("by distance"), i, list(chosen)) < 1 - NEAR**2


def inside(line: Floats, x: float, y: float) -> bool:
    """Whether a closed outline goes around a point: a ray to the right crosses it an odd number of times."""
    crossings = 0
    for (x0, y0), (x1, y1) in pairwise(line):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            crossings += 1
    return crossings % 2 == 1


def places() -> Iterator[tuple[float, float]]:
    yield from ((float(x), float(y)) for x in np.linspace(-2.4, 2.4, 17) for y in np.linspace(-2.4, 2.4, 17))


def test_the_shaded_areas_hold_what_each_method_shuns() -> None:
    c = candidates()
    for _, shown in frames(MMRAgainstDPP):
        for name in ("MMR", "DPP"):
            chosen = shown.numbers[f"{name} order"].tolist()
            wanted = [c.names[i] for i in range(24) if i not in chosen and shuns(name, i, chosen)]
            assert shown.numbers[f"{name} shuns"] == wanted
    for chosen in ((0,), (0, 1), (0, 1, 8), (0, 1, 4, 15)):
        for name in ("MMR", "DPP"):
            outlines = shaded(name, chosen)
            sure = 0
            for x, y in places():
                near = np.exp(-((c.points[list(chosen)] - [x, y]) ** 2).sum(axis=1) / 2)
                inner = kernel("by distance")[np.ix_(chosen, chosen)]
                over = near.max() - NEAR if name == "MMR" else near @ np.linalg.inv(inner) @ near - NEAR**2
                if abs(over) > 0.02:  # not on the outline, which is drawn on a grid
                    sure += 1
                    odd = sum(inside(line, x, y) for line in outlines) % 2 == 1
                    assert odd == (over > 0), (name, chosen, x, y)
            assert sure > 200


def test_after_one_item_the_areas_are_the_same_disc() -> None:
    radius = math.sqrt(-2 * math.log(NEAR))
    for name in ("MMR", "DPP"):
        (line,) = shaded(name, (0,))
        assert np.hypot(*(line - candidates().points[0]).T) == pytest.approx(np.full(len(line), radius), abs=2e-3)


def test_answer_markets_lie_between_travel_and_food() -> None:
    before, after = (scene(MMRAgainstDPP, theta=0.9, positions=k).numbers for k in (2, 3))
    assert names(before["MMR order"]) == names(before["DPP order"]) == ["A1", "B1"]
    assert names(after["MMR order"])[2] == "E1"
    assert names(after["DPP order"])[2] == "C1"
    assert "E1" not in before["MMR shuns"]
    assert "E1" in before["DPP shuns"]
    i, outer, chosen = candidates().names.index("E1"), candidates().names.index("A6"), [0, 1]
    nearest = {n: max(similarity(n, j) for j in chosen) for n in (i, outer)}
    d2 = {n: squared_distance(kernel("by distance"), n, chosen) for n in (i, outer)}
    assert nearest[i] < nearest[outer]  # MMR prefers E1 for its place, DPP A6
    assert d2[i] < d2[outer]


# -- rules --------------------------------------------------------------------------------------------------------
def breaks(order: Sequence[int], run: int) -> dict[str, list[int]]:
    """Positions that break a rule, by counting."""
    notes = notes_for_rules()
    kinds, promoted, shop = (notes[n][list(order)].tolist() for n in ("type", "promoted", "shop"))
    places = range(len(order))
    return {
        "type": [n for n in places if n >= run and len(set(kinds[n - run : n + 1])) == 1],
        "shop": [n for n in places if shop[n] and (n == 0 or (n < 4 and sum(shop[: n + 1]) > 1))],
        "promoted": [n for n in places if promoted[n] and sum(promoted[max(0, n - 8) : n + 1]) > 1],
    }


def by_hand(run: int | str, promoted: bool, shop: bool, infeasible: str) -> tuple[list[int], list[int]]:
    """The first note from the top that breaks nothing, position by position; and where there was none."""
    on = [lane for lane, wanted in (("type", run != "off"), ("shop", shop), ("promoted", promoted)) if wanted]
    order: list[int] = []
    stuck: list[int] = []
    while len(order) < LONG:
        left = [i for i in range(18) if i not in order]
        lanes = list(on)

        def fits(i: int, lanes: list[str] = lanes) -> bool:
            found = breaks([*order, i], 5 if run == "off" else int(run))
            return not any(len(order) in found[lane] for lane in lanes)

        if not any(fits(i) for i in left):
            stuck.append(len(order))
            if infeasible == "stop":
                break
            while not any(fits(i) for i in left):
                lanes.pop()
        order.append(next(i for i in left if fits(i)))
    return order, stuck


def discounted(order: Sequence[int]) -> float:
    return float(sum(notes_for_rules()["reward"][i] / math.log2(n + 2) for n, i in enumerate(order)))


def test_the_feed_obeys_the_rules_that_are_on_and_costs_what_it_costs() -> None:
    free = discounted(range(LONG))
    for values, shown in frames(FeedRules):
        run, promoted, shop, infeasible = values.values()
        numbers = shown.numbers
        order, stuck = by_hand(run, promoted, shop, infeasible)
        assert numbers["order"].tolist() == order
        assert numbers["noted"].tolist() == stuck
        assert numbers["worth"] == pytest.approx(discounted(order), abs=EXACT)
        alone: dict[str, tuple[int | str, bool, bool] | None] = {
            "type": (run, False, False) if run != "off" else None,
            "promoted": ("off", True, False) if promoted else None,
            "shop": ("off", False, True) if shop else None,
            "together": (run, promoted, shop),
        }
        for lane, setting in alone.items():
            if setting is None:
                assert numbers["costs"][lane] is None
            else:
                cost = free - discounted(by_hand(*setting, infeasible=infeasible)[0])
                assert numbers["costs"][lane] == pytest.approx(cost, abs=EXACT)
        wrong = breaks(order, 5 if run == "off" else run)
        assert {lane: found.tolist() for lane, found in numbers["violations"].items()} == wrong
        assert numbers["count"] == sum(map(len, wrong.values()))


def test_just_the_violations_are_lit_and_the_feed_stands_in_order() -> None:
    for _, shown in frames(FeedRules):
        panel, order = shown.panels[0], shown.numbers["order"].tolist()
        lit = {key.removesuffix("-wrong") for key in marks(panel, "note-") if key.endswith("-wrong")}
        wanted = {f"{order[n]}/{lane}" for lane, where in shown.numbers["violations"].items() for n in where}
        assert lit == wanted
        tiles = {
            int(k.removesuffix("/tile")): float(m.attributes["y"])
            for k, m in marks(panel, "note-").items()
            if k.endswith("/tile")
        }
        assert sorted(tiles, key=lambda i: tiles[i]) == order
        empty = marks(panel, "empty/")
        assert [int(n) for n in empty] == list(range(len(order), LONG))


def test_the_librarys_words_are_printed_whole() -> None:
    spoken = 0
    for values, shown in frames(FeedRules):
        lines = " ".join(m.text for m in marks(shown.panels[1], "note-").values())
        notes = ruled_feed(**values).notes
        if not notes:
            assert lines.startswith("All positions are filled")
            continue
        spoken += 1
        assert lines.startswith(str(notes[0]))
        assert ("more of its kind" in lines) == (len(notes) > 1)
    assert spoken == 12


def test_answer_a_run_of_two_and_the_promoted_notes_are_in_each_others_way() -> None:
    def filled(run: int | str, promoted: bool, shop: bool) -> int:
        values = {"run": run, "promoted": promoted, "shop": shop, "infeasible": "stop"}
        return len(scene(FeedRules, **values).numbers["order"])

    assert [filled(run, True, True) for run in ("off", 5, 4, 3, 2, 1)] == [12, 12, 12, 12, 11, 7]
    assert [filled(2, False, False), filled("off", True, False), filled("off", False, True)] == [12, 12, 12]
    assert [filled(2, True, False), filled(2, False, True), filled("off", True, True)] == [11, 12, 12]
    order = scene(FeedRules, run=2, promoted=True, shop=True, infeasible="stop").numbers["order"].tolist()
    notes = notes_for_rules()
    left = [i for i in range(18) if i not in order]
    assert notes["type"][order[-2:]].tolist() == ["image"] * 2
    assert [i for i in left if notes["type"][i] == "video"] == [11]
    assert notes["promoted"][11]
    relaxed = scene(FeedRules, run=2, promoted=True, shop=True, infeasible="relax").numbers
    assert relaxed["order"].tolist() == [*order, 11]
    assert relaxed["violations"]["promoted"].tolist() == [11]
