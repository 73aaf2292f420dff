"""Explorables of the chapter on nearest neighbours: numbers by another route, marks in place, answers hold."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rectutor.retrieval.ann import ExactIndex, cells, reference
from rectutor.retrieval.ann import codes as codes_of
from rectutor.retrieval.ann.annoy import AnnoyForest
from rectutor.retrieval.ann.hnsw import from_graph, hnsw_build
from rectutor.widgets import ann
from rectutor.widgets.ann import (
    AREA,
    BEAMS,
    BITS,
    BOOKS,
    CELL_QUERIES,
    CELLS,
    CODE_QUERIES,
    CUTS,
    EF_CONSTRUCTION,
    GRAPH_QUERIES,
    LEAF_SIZE,
    LEVEL_SEED,
    LINKS,
    NEAREST,
    OTHERS,
    PROBES,
    ROUNDS,
    STOPS,
    TREE_QUERIES,
    AnnoySplits,
    HnswWalk,
    IvfCells,
    N,
    PqCodes,
    borders,
    cell_of,
    centroids,
    coded,
    graph,
    mean_walk,
    nearest,
    others,
    points,
    regions_of,
    tree_of,
    walk,
    whole_tree,
)
from rectutor.widgets.explorer import Explorer, Frame
from rectutor.widgets.scene import Mark, Panel, Scene

Floats = NDArray[np.float64]

PIXEL = 0.1 + 1e-9
DRAWN: dict[str, list[Frame]] = {}
ALL: list[type[Explorer]] = [AnnoySplits, IvfCells, PqCodes, HnswWalk]


def frames(kind: type[Explorer]) -> list[Frame]:
    if kind.__name__ not in DRAWN:
        DRAWN[kind.__name__] = list(kind().frames())
    return DRAWN[kind.__name__]


def scene(kind: type[Explorer], **values: Any) -> Scene:
    return next(f.scene for f in frames(kind) if all(f.values[n] == v for n, v in values.items()))


def marks(panel: Panel, start: str = "") -> dict[str, Mark]:
    return {m.key.removeprefix(start): m for m in panel.marks if m.key.startswith(start)}


def at(mark: Mark, *names: str) -> list[float]:
    return [float(mark.attributes[name]) for name in names]


def corners(mark: Mark) -> Floats:
    """The points of a path in pixels [points, 2]."""
    return np.array(re.findall(r"-?\d+\.?\d*", mark.attributes["d"]), dtype=float).reshape(-1, 2)


def in_pixels(panel: Panel, places: Any) -> Floats:
    """Where places of the plane lie on a map: linear within its frame, y upwards."""
    x, y, width, height = at(marks(panel)["map"], "x", "y", "width", "height")
    share = (np.asarray(places, dtype=float) - AREA[0]) / (AREA[1] - AREA[0])
    return np.column_stack([x + share[..., 0] * width, y + height - share[..., 1] * height])


def order_of(query: Any) -> list[int]:
    """All points, nearest first."""
    return [int(i) for i in np.argsort(((points() - query) ** 2).sum(axis=1), kind="stable")]


def hits(ids: Any, query: Any, k: int = NEAREST) -> float:
    return len(set(ids) & set(order_of(query)[:k])) / k


def inside(polygon: Any, place: Any) -> bool:
    """Whether a place lies in a convex polygon: on the same side of all its edges."""
    p = np.asarray(polygon)
    a, b = p, np.roll(p, -1, axis=0)
    cross = (b[:, 0] - a[:, 0]) * (place[1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (place[0] - a[:, 0])
    return bool((cross > -1e-9).all() or (cross < 1e-9).all())


def size(polygon: Any) -> float:
    x, y = np.asarray(polygon).T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def check_places(panel: Panel) -> None:
    """Every point lies where the plane has it."""
    drawn = marks(panel, "point/")
    places = np.array([at(drawn[str(i)], "cx", "cy") for i in range(N)])
    assert np.abs(places - in_pixels(panel, points())).max() < PIXEL


def check_points(panel: Panel, scored: Any, query: Any, found: Any) -> None:
    """Every point in its place; the ten nearest green where found and ringed where missed, the others by ``scored``."""
    true, drawn, rings = order_of(query)[:NEAREST], marks(panel, "point/"), marks(panel, "ring/")
    assert set(drawn) == {str(i) for i in range(N)}
    check_places(panel)
    for i in range(N):
        colour = ("green" if i in found else "vermillion") if i in true else "blue" if i in scored else "muted"
        assert f"--rt-{colour}," in drawn[str(i)].attributes["fill"]
    assert set(rings) == {str(i) for i in true if i not in found}
    for name, ring in rings.items():
        assert at(ring, "cx", "cy") == at(drawn[name], "cx", "cy")
    assert corners(marks(panel)["query"]).mean(axis=0) == pytest.approx(in_pixels(panel, [query])[0], abs=PIXEL)


# -- in general ------------------------------------------------------------------------------------------------
def test_importing_computes_nothing_and_loads_no_torch() -> None:
    code = (
        "import sys, rectutor.widgets.ann as ann; assert 'torch' not in sys.modules and 'faiss' not in sys.modules;"
        "assert all(f.cache_info().currsize == 0 for f in vars(ann).values() if hasattr(f, 'cache_info')"
        " and f.__module__ == ann.__name__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_points_lie_within_the_area_and_none_twice() -> None:
    assert points().shape == (N, 2)
    assert others().shape == (OTHERS, 2)
    for drawn in (points(), others(), [*TREE_QUERIES.values(), *CELL_QUERIES.values(), *GRAPH_QUERIES.values()]):
        assert (np.asarray(drawn) > AREA[0]).all()
        assert (np.asarray(drawn) < AREA[1]).all()
    assert len(np.unique(points(), axis=0)) == N
    assert not {tuple(p) for p in points()} & {tuple(q) for q in others()}


def test_the_true_neighbours_are_those_of_exact_search() -> None:
    queries = np.array([*others(), *TREE_QUERIES.values(), *CELL_QUERIES.values(), *GRAPH_QUERIES.values()])
    ids, _ = ExactIndex("l2").build(points()).search(queries, NEAREST)
    for query, fast in zip(queries.tolist(), ids.tolist(), strict=True):
        assert list(nearest(tuple(query))) == order_of(query)[:NEAREST] == fast


@pytest.mark.parametrize("kind", ALL)
def test_it_fits_on_a_page(kind: type[Explorer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECTUTOR_STATIC", "1")
    assert len(frames(kind)) <= 600
    monkeypatch.setattr(kind, "frames", lambda self: iter(frames(kind)))  # which are drawn already
    assert len(gzip.compress(kind().to_html().encode())) < 100_000
    assert all(panel.width <= 300 for panel in frames(kind)[0].scene.panels)


# -- a tree of cuts ----------------------------------------------------------------------------------------------
def descend(tree: Any, query: Any) -> list[tuple[float, list[int]]]:
    """All leaves with the squared distances to the cuts between them and a query, added up, nearest first."""
    found, todo = [], [(0.0, tree)]
    while todo:
        put_off, node = todo.pop()
        if isinstance(node, reference.Leaf):
            found.append((put_off, sorted(node.ids)))
            continue
        s = (float(np.dot(node.normal, query)) + node.offset) / float(np.linalg.norm(node.normal))
        todo += [(put_off + (s**2 if s <= 0 else 0), node.right), (put_off + (s**2 if s > 0 else 0), node.left)]
    return sorted(found)


def leaves_of(cuts: int) -> dict[str, tuple[list[int], ann.Corners]]:
    """Points and corners of the leaves by name."""
    return {r.name: (r.node.ids, r.corners) for r in regions_of(cuts) if isinstance(r.node, reference.Leaf)}


def test_the_tree_is_the_librarys_and_cuts_come_level_by_level() -> None:
    splits = [r.name for r in regions_of(CUTS[-1]) if isinstance(r.node, reference.Split)]
    assert len(splits) == CUTS[-1]
    assert tree_of(CUTS[-1]) == whole_tree()
    for cuts in CUTS:
        names = [r.name for r in regions_of(cuts) if isinstance(r.node, reference.Split)]
        assert names == splits[:cuts]
        assert len(leaves_of(cuts)) == cuts + 1
        assert sorted(i for ids, _ in leaves_of(cuts).values() for i in ids) == list(range(N))
    assert [len(a) <= len(b) for a, b in pairwise(splits)] == [True] * (CUTS[-1] - 1)
    assert max(len(ids) for ids, _ in leaves_of(CUTS[-1]).values()) <= LEAF_SIZE


@pytest.mark.parametrize("cuts", [1, 7, 31])
def test_regions_part_the_plane_as_the_tree_parts_the_points(cuts: int) -> None:
    leaves = leaves_of(cuts).values()
    assert sum(size(corner) for _, corner in leaves) == pytest.approx((AREA[1] - AREA[0]) ** 2)
    for ids, corner in leaves:
        assert {i for i in range(N) if inside(corner, points()[i])} == set(ids)


def test_leaves_are_opened_nearest_first_until_there_are_enough() -> None:
    for values, shown in frames(AnnoySplits):
        query, n = TREE_QUERIES[values["query"]], shown.numbers
        leaves = descend(tree_of(values["cuts"]), query)
        ids = reference.candidates_of_forest([tree_of(values["cuts"])], np.array(query), values["search_k"])
        assert n["beyond"] == pytest.approx([b for b, _ in leaves[: n["opened"]]], abs=1e-12)
        assert n["scored"] == len(ids) == sum(len(i) for _, i in leaves[: n["opened"]])
        assert n["scored"] >= min(values["search_k"], N)
        assert n["scored"] - len(leaves[n["opened"] - 1][1]) < values["search_k"]
        assert n["recall"] == hits(ids, query)
        left, right = shown.panels
        check_points(left, ids, query, ids)
        lit = {name: corner for name, (i, corner) in leaves_of(values["cuts"]).items() if set(i) <= set(ids)}
        assert set(marks(left, "region/")) == set(lit)
        for name, mark in marks(left, "region/").items():
            assert corners(mark) == pytest.approx(in_pixels(left, lit[name]), abs=PIXEL)
        assert {k for k, m in marks(right, "leaf/").items() if "blue" in m.attributes["fill"]} == set(lit)
        assert len(marks(left, "cut/")) == values["cuts"]
        rows = marks(right, "queue/")
        listed = [rows[f"{row + 1}-of the 10"].text for row in range(6) if f"{row + 1}-of the 10" in rows]
        listed += [rows["more-of the 10"].text] if "more-of the 10" in rows else []
        assert sum(map(int, listed)) == round(10 * n["recall"])
        assert rows["1-beyond"].text == "0.000"


@pytest.mark.parametrize("search_k", [1, 20, 40])
def test_the_fast_forest_finds_as_much(search_k: int) -> None:
    """The same tree as an index: its leaves, cuts and queue in compiled code."""
    seed = next(s for s in range(50) if built_like(s))
    index = AnnoyForest("l2", trees=1, leaf_size=LEAF_SIZE, steps=0, search_k=search_k, seed=seed).build(points())
    tree = reference.build_forest(points(), 1, LEAF_SIZE, 0, seed)[0]
    ids, _ = index.search(others(), NEAREST)
    for query, found in zip(others(), ids.tolist(), strict=True):
        met = reference.candidates_of_forest([tree], query, search_k)
        assert {i for i in found if i >= 0} == set(sorted(met, key=order_of(query).index)[:NEAREST])


def built_like(seed: int) -> bool:
    """Whether the forest of a seed is as deep in cuts as the explorable's tree."""
    nodes = [reference.build_forest(points(), 1, LEAF_SIZE, 0, seed)[0]]
    for node in nodes:
        nodes += [node.left, node.right] if isinstance(node, reference.Split) else []
    return len(nodes) == 2 * CUTS[-1] + 1


def test_more_cuts_lose_neighbours_with_one_leaf_and_find_them_with_search_k() -> None:
    def shown(cuts: int, search_k: int, query: str = "between") -> dict[str, Any]:
        return scene(AnnoySplits, cuts=cuts, search_k=search_k, query=query).numbers

    assert [round(10 * shown(cuts, 1)["recall"]) for cuts in (0, 1, 11, 13, 31)] == [10, 6, 6, 2, 0]
    assert [round(10 * shown(31, k)["recall"]) for k in (1, 20, 40)] == [0, 5, 10]
    assert (shown(31, 40)["opened"], shown(31, 40)["scored"]) == (6, 41)
    one = [shown(cuts, 1)["mean_recall"] for cuts in (1, 7, 31)]
    assert [f"{r:.1%}" for r in one] == ["96.8%", "87.6%", "51.6%"]
    many = [(f"{n['mean_recall']:.1%}", f"{n['mean_scored']:.0f}") for n in (shown(3, 40), shown(31, 40))]
    assert many == [("93.0%", "66"), ("99.5%", "44")]
    # the query's own leaf may hold none of its neighbours, and the fifth one four
    tree, query = whole_tree(), TREE_QUERIES["between"]
    assert [round(10 * hits(ids, query)) for _, ids in descend(tree, query)[:5]] == [0, 3, 2, 1, 4]


def test_means_are_over_the_other_queries() -> None:
    for cuts, search_k in ((0, 1), (7, 20), (31, 60)):
        met = [reference.candidates_of_forest([tree_of(cuts)], q, search_k) for q in others()]
        numbers = scene(AnnoySplits, cuts=cuts, search_k=search_k).numbers
        assert numbers["mean_recall"] == pytest.approx(
            np.mean([hits(m, q) for m, q in zip(met, others(), strict=True)])
        )
        assert numbers["mean_scored"] == np.mean([len(m) for m in met])


# -- cells ---------------------------------------------------------------------------------------------------------
def centroids_at_first(k: int) -> Floats:
    return np.asarray(points()[np.random.default_rng(0).choice(N, k, replace=False)])


@pytest.mark.parametrize("k", CELLS)
def test_centroids_are_those_of_lloyds_algorithm(k: int) -> None:
    c = centroids_at_first(k)
    for _ in range(ROUNDS):
        of = ((points()[:, None] - c) ** 2).sum(axis=2).argmin(axis=1)
        c = np.array([points()[of == n].mean(axis=0) for n in range(k)])
    assert centroids(k) == pytest.approx(c, abs=1e-12)
    assert list(cell_of(k)) == ((points()[:, None] - c) ** 2).sum(axis=2).argmin(axis=1).tolist()


@pytest.mark.parametrize("k", CELLS)
def test_borders_hold_the_points_of_their_cells_and_fill_the_plane(k: int) -> None:
    assert sum(size(b) for b in borders(k)) == pytest.approx((AREA[1] - AREA[0]) ** 2)
    for c, border in enumerate(borders(k)):
        assert {i for i in range(N) if inside(border, points()[i])} == {i for i, of in enumerate(cell_of(k)) if of == c}


def test_probed_cells_are_lit_and_their_points_scored() -> None:
    for values, shown in frames(IvfCells):
        query, k, nprobe, n = CELL_QUERIES[values["query"]], values["cells"], values["nprobe"], shown.numbers
        nearest_cells = ((centroids(k) - query) ** 2).sum(axis=1).argsort(kind="stable")[:nprobe].tolist()
        scored = [i for i in range(N) if cell_of(k)[i] in nearest_cells]
        assert n["cells"] == nearest_cells + [None] * (len(PROBES) - nprobe)
        assert (n["scored"], n["scores"], n["share"]) == (len(scored), k + len(scored), (k + len(scored)) / N)
        assert n["recall"] == hits(scored, query)
        left, right = shown.panels
        check_points(left, scored, query, scored)
        lit = marks(left, "cell/")
        assert set(lit) == {str(c) for c in nearest_cells}
        for c, mark in lit.items():
            assert corners(mark) == pytest.approx(in_pixels(left, borders(k)[int(c)]), abs=PIXEL)
        dots = marks(right, "mean/")
        large = [key for key, m in dots.items() if m.tag == "circle" and at(m, "r") == [6.0]]
        assert large == [f"{k}-{nprobe}"]


def test_found_is_what_the_librarys_searches_return() -> None:
    for k in CELLS:
        assert cells.kmeans(points(), centroids_at_first(k), ROUNDS) == pytest.approx(centroids(k), abs=1e-5)
    for values, shown in frames(IvfCells):
        query, k = np.array(CELL_QUERIES[values["query"]]), values["cells"]
        fast, _ = cells.ivf_search(points(), centroids(k), query, NEAREST, values["nprobe"], "l2")
        assert shown.numbers["recall"] == hits(fast, query)
        if values["nprobe"] == 4:
            found, _ = reference.ivf_search(points(), centroids(k), query, NEAREST, values["nprobe"], "l2")
            assert found == [i for i in fast.tolist() if i >= 0]


def test_curves_are_drawn_at_the_means_over_the_other_queries() -> None:
    shown = scene(IvfCells, cells=16, nprobe=1)
    right = shown.panels[1]
    left, bottom = corners(marks(right)["axes/frame"])[1]
    top, end = corners(marks(right)["axes/frame"])[0, 1], corners(marks(right)["axes/frame"])[2, 0]
    for k in CELLS:
        for nprobe in PROBES:
            scores, recalls = [], []
            for query in others():
                chosen = ((centroids(k) - query) ** 2).sum(axis=1).argsort(kind="stable")[:nprobe].tolist()
                scored = [i for i in range(N) if cell_of(k)[i] in chosen]
                scores.append(k + len(scored))
                recalls.append(hits(scored, query))
            numbers = scene(IvfCells, cells=k, nprobe=1).numbers
            assert numbers["mean_scores"][nprobe - 1] == pytest.approx(np.mean(scores))
            assert numbers["mean_recall"][nprobe - 1] == pytest.approx(np.mean(recalls))
            place = [
                left + np.mean(scores) / 250 * (end - left),
                bottom - (np.mean(recalls) - 0.5) / 0.5 * (bottom - top),
            ]
            assert at(marks(right)[f"mean/{k}-{nprobe}"], "cx", "cy") == pytest.approx(place, abs=PIXEL)


def test_neither_few_nor_many_cells_are_cheapest_at_a_border() -> None:
    def least(k: int, query: str = "at a border") -> tuple[int, int]:
        """The first nprobe that finds all ten, and its scores."""
        for nprobe in PROBES:
            numbers = scene(IvfCells, cells=k, nprobe=nprobe, query=query).numbers
            if numbers["recall"] == 1:
                return nprobe, numbers["scores"]
        raise AssertionError("not within eight cells")

    assert {k: least(k) for k in CELLS} == {8: (3, 71), 16: (4, 58), 32: (5, 64)}
    first = {k: scene(IvfCells, cells=k, nprobe=1).numbers for k in CELLS}
    # the centroids are scored as well: one cell of 32 costs more than one of 16, and finds less
    assert [f"{first[k]['mean_scores'][0]:.0f}" for k in (16, 32)] == ["36", "41"]
    assert [f"{first[k]['mean_recall'][0]:.1%}" for k in CELLS] == ["96.3%", "80.5%", "61.6%"]
    assert scene(IvfCells, cells=8, nprobe=8).numbers["scores"] == N + 8
    assert (f"{first[32]['mean_scores'][2]:.0f}", f"{first[32]['mean_recall'][2]:.1%}") == ("57", "98.6%")
    assert (f"{first[8]['mean_scores'][1]:.0f}", f"{first[8]['mean_recall'][1]:.1%}") == ("69", "99.6%")
    between = [scene(IvfCells, cells=16, nprobe=p, query="between").numbers["recall"] for p in (1, 2, 3, 4)]
    assert [round(10 * r) for r in between] == [1, 2, 6, 10]


# -- codes -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("parts", BOOKS.values())
@pytest.mark.parametrize("bits", BITS)
def test_codes_name_the_nearest_centroid_of_each_part(bits: int, parts: int) -> None:
    made = coded(bits, parts)
    if 2 ** (bits // parts) > N:
        assert made is None
        return
    assert made is not None
    assert made.codebooks.shape == (parts, 2 ** (bits // parts), 2 // parts)
    x = points().reshape(N, parts, 2 // parts)
    codes = ((x[:, :, None] - made.codebooks) ** 2).sum(axis=3).argmin(axis=2)
    assert made.codes == codes.tolist()
    copies = np.column_stack([book[codes[:, j]] for j, book in enumerate(made.codebooks)])
    assert made.copies == pytest.approx(copies)
    assert made.error == pytest.approx(((points() - copies) ** 2).sum() / N)
    # searching codes is searching the copies; equal codes are equally near
    ranks = [((copies - q) ** 2).sum(axis=1).round(9).argsort(kind="stable")[:NEAREST] for q in others()]
    recalls = [hits(r.tolist(), q) for r, q in zip(ranks, others(), strict=True)]
    assert made.mean_recall == pytest.approx(np.mean(recalls))
    # in compiled code
    chosen = np.random.default_rng(0).choice(N, 2 ** (bits // parts), replace=False)
    start = np.swapaxes(points()[chosen].reshape(-1, parts, 2 // parts), 0, 1)
    assert codes_of.pq_train(points(), start, ROUNDS) == pytest.approx(made.codebooks, abs=1e-5)
    for query in CODE_QUERIES.values():
        fast, _ = codes_of.pq_search(made.codebooks, made.codes, np.array(query), NEAREST, "l2")
        assert fast.tolist() == list(ann.found_in_codes(bits, parts, query))


def test_copies_are_drawn_where_the_codes_put_them() -> None:
    for values, shown in frames(PqCodes):
        made, n = coded(values["bits"], BOOKS[values["book"]]), shown.numbers
        left, right = shown.panels
        query = CODE_QUERIES[values["query"]]
        if made is None:
            assert [n[name] for name in ("used", "error", "recall", "mean_recall")] == [None] * 4
            assert not marks(left, "copy/")
            continue
        found, _ = reference.pq_search(made.codebooks, made.codes, np.array(query), NEAREST, "l2")
        assert n["recall"] == hits(found, query)
        assert (n["error"], n["mean_recall"]) == (made.error, made.mean_recall)
        check_points(left, found, query, found)
        copies = marks(left, "copy/")
        assert n["used"] == len(copies) == len({tuple(c) for c in made.codes})
        for code, place in zip(made.codes, in_pixels(left, made.copies), strict=True):
            drawn = copies["-".join(map(str, code))]
            assert corners(drawn).mean(axis=0) == pytest.approx(place, abs=PIXEL)
        joined = corners(marks(left)["joined"]).reshape(N, 2, 2)
        assert joined[:, 0] == pytest.approx(in_pixels(left, points()), abs=PIXEL)
        assert joined[:, 1] == pytest.approx(in_pixels(left, made.copies), abs=PIXEL)
        large = [key for key, m in marks(right, "error/dot/").items() if at(m, "r") == [6.0]]
        assert large == [f"{BOOKS[values['book']]}-{values['bits']}"]


def test_one_part_is_better_by_the_bit_and_two_parts_by_the_centroid() -> None:
    def shown(bits: int, book: str) -> dict[str, Any]:
        return scene(PqCodes, bits=bits, book=book).numbers

    errors = {(b, name): f"{shown(b, name)['error']:.3f}" for b in (4, 6) for name in BOOKS}
    assert errors == {
        (4, "two parts"): "0.778", (4, "one part"): "0.533", (6, "two parts"): "0.240", (6, "one part"): "0.131",
    }  # fmt: skip
    recalls = [f"{shown(b, name)['mean_recall']:.1%}" for b in (4, 6) for name in BOOKS]
    assert recalls == ["40.9%", "42.9%", "65.9%", "74.3%"]
    # the same 128 numbers in the codebooks: 64 points of the plane, or 64 values for each coordinate
    one, two = coded(6, 1), coded(12, 2)
    assert one is not None and two is not None  # noqa: PT018
    assert one.codebooks.size == two.codebooks.size == 128
    assert one.error / two.error > 25
    assert f"{two.mean_recall:.1%}" == "95.1%"
    assert [shown(b, "two parts")["used"] for b in (4, 6, 12)] == [16, 54, 227]  # of 16, 64 and 4,096
    assert [shown(b, "two parts")["centroids"] for b in (8, 12)] == [32, 128]
    assert shown(8, "one part")["centroids"] == 256 > N


# -- the walk --------------------------------------------------------------------------------------------------------
@cache
def stepped(m: int, query: tuple[float, float], ef: int) -> tuple[list[tuple[int, int, list[int]]], int]:
    """Another walk: all scores at hand, a sorted list for the beam, a set of the points whose links were followed."""
    g, rank = graph(m), {i: n for n, i in enumerate(order_of(query))}
    steps, entry = [], g.entry
    for layer in range(len(g.links) - 1, -1, -1):
        width = 1 if layer else ef
        seen, opened = [entry], set[int]()
        fresh = [entry]
        while todo := [i for i in sorted(seen, key=rank.__getitem__)[:width] if i not in opened]:
            here = todo[0]
            opened.add(here)
            ends = ([] if layer else [g.ring[here]]) + g.links[layer][here]
            new = [i for i in dict.fromkeys(ends) if i not in seen]
            seen += new
            steps.append((layer, here, fresh + new))
            fresh = []
        entry = min(seen, key=rank.__getitem__)
    return steps, entry


def test_the_graph_is_the_librarys_by_both_ways() -> None:
    for m in LINKS:
        levels = np.floor(-np.log(1 - np.random.default_rng(LEVEL_SEED).random(N)) / np.log(m)).astype(int)
        fast = hnsw_build(points(), levels.tolist(), m, EF_CONSTRUCTION, "l2")
        assert [{i: sorted(ends) for i, ends in layer.items()} for layer in fast.links] == [
            {i: sorted(ends) for i, ends in layer.items()} for layer in graph(m).links
        ]
        assert (fast.entry, fast.ring) == (graph(m).entry, graph(m).ring)
        assert [len(layer) for layer in graph(m).links] == [int((levels >= n).sum()) for n in range(levels.max() + 1)]


@pytest.mark.parametrize("m", LINKS)
@pytest.mark.parametrize("ef", BEAMS)
def test_the_walk_is_the_librarys_search(m: int, ef: int) -> None:
    index = from_graph(graph(m), points(), "l2")
    index.ef = ef
    queries = [*GRAPH_QUERIES.values(), *map(tuple, others().tolist())]
    fast, _ = index.search(np.array(queries), 1)
    for query, fast_id in zip(queries, fast[:, 0].tolist(), strict=True):
        steps, end = walk(m, query, ef)
        assert [end] == reference.hnsw_search(graph(m), points(), np.array(query), 1, ef, "l2")[0] == [fast_id]
        assert ([tuple(s) for s in steps], end) == stepped(m, query, ef)


def test_walks_end_within_the_stops() -> None:
    lengths = [len(walk(m, q, ef)[0]) for m in LINKS for ef in BEAMS for q in GRAPH_QUERIES.values()]
    assert max(lengths) == STOPS[-1] - 1


def test_steps_are_drawn_as_they_are_walked() -> None:
    for values, shown in frames(HnswWalk):
        m, ef, query, n = values["m"], values["ef"], GRAPH_QUERIES[values["query"]], shown.numbers
        steps, end = walk(m, query, ef)
        over, taken = values["step"] > len(steps), steps[: values["step"]]
        layer, here = taken[-1].layer, taken[-1].opened
        seen = {i for s in taken if s.layer == layer for i in s.scored}
        pool = [i for i in order_of(query) if i in seen][: ef if layer == 0 else 1]
        assert (n["layer"], n["opened"], n["points"]) == (layer, here, len(graph(m).links[layer]))
        assert n["scores"] == sum(len(s.scored) for s in taken)
        assert n["pool"] == pool + [None] * (max(BEAMS) - len(pool))
        assert n["found"] == (int(end == order_of(query)[0]) if over else None)
        assert n["distance"] == pytest.approx(np.hypot(*(points()[pool[0]] - query)))
        assert n["least"] == pytest.approx(np.hypot(*(points()[order_of(query)[0]] - query)))
        if over:
            assert pool[0] == end
        left, right = shown.panels
        drawn = marks(left, "point/")
        check_places(left)
        for i in range(N):
            colour = (
                "green" if i in pool else "blue" if i in seen else "muted" if i in graph(m).links[layer] else "line"
            )
            colour = "vermillion" if i == here and not over else colour
            assert f"--rt-{colour}," in drawn[str(i)].attributes["fill"]
        ends = {*graph(m).links[layer][here], *([] if layer else [graph(m).ring[here]])}
        lines = corners(marks(left)["followed"]).reshape(-1, 2, 2) if not over else np.empty((0, 2, 2))
        wanted = in_pixels(left, points()[sorted(ends)]) if not over else np.empty((0, 2))
        assert lines[:, 1] == pytest.approx(wanted, abs=PIXEL)
        x, width = at(marks(right)["scores/bar"], "x", "width")
        box = at(marks(right)["scores/all"], "x", "width")
        assert x == box[0]
        assert width / box[1] == pytest.approx(n["scores"] / N, abs=0.001)
        last = marks(right)[f"layer-{layer}/last"]
        assert inside(corners(marks(right)[f"layer-{layer}/floor"]), at(last, "cx", "cy"))
        assert {key.split("/")[0] for key in marks(right) if key.endswith("/last")} == {
            f"layer-{s.layer}" for s in taken
        }


def test_scores_are_few_and_the_mean_is_over_the_other_queries() -> None:
    for m in LINKS:
        for ef in BEAMS:
            walks = [stepped(m, q, ef) for q in map(tuple, others().tolist())]
            found = np.mean([end == order_of(q)[0] for (_, end), q in zip(walks, others(), strict=True)])
            scores = np.mean([sum(len(s) for _, _, s in steps) for steps, _ in walks])
            assert mean_walk(m, ef) == pytest.approx((found, scores))
            numbers = scene(HnswWalk, m=m, ef=ef, step=STOPS[-1]).numbers
            assert (numbers["mean_recall"], numbers["mean_scores"]) == mean_walk(m, ef)


def test_a_wider_beam_costs_scores_and_more_links_cost_memory() -> None:
    def found(query: str) -> dict[tuple[int, int], int]:
        return {
            (m, ef): scene(HnswWalk, query=query, m=m, ef=ef, step=STOPS[-1]).numbers["found"]
            for m in LINKS
            for ef in BEAMS
        }

    least = {m: min(ef for ef in BEAMS if found("A")[m, ef]) for m in LINKS}
    assert least == {2: 16, 3: 4, 6: 1}
    missed = [key for key, there in found("B").items() if not there]
    assert missed == [(2, 1), (2, 4), (2, 16), (6, 1)]
    means = {key: (f"{mean_walk(*key)[0]:.0%}", f"{mean_walk(*key)[1]:.0f}") for key in found("A")}
    assert means == {
        (2, 1): ("65%", "27"), (2, 4): ("88%", "32"), (2, 16): ("99%", "45"),
        (3, 1): ("87%", "27"), (3, 4): ("100%", "32"), (3, 16): ("100%", "47"),
        (6, 1): ("91%", "26"), (6, 4): ("100%", "31"), (6, 16): ("100%", "45"),
    }  # fmt: skip
    assert [f"{ann.mean_links(m):.2f}" for m in LINKS] == ["2.84", "3.91", "5.00"]
    assert [len(graph(m).links) for m in LINKS] == [7, 5, 3]
    query = GRAPH_QUERIES["B"]
    assert next(ef for ef in range(1, N) if walk(2, query, ef)[1] == nearest(query)[0]) == 19
