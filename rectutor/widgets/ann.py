"""Explorables of the chapter on approximate nearest neighbours: cuts of a tree, cells, codes, the walk in a graph.

All search the same 240 points of the plane, :func:`points`, by distance, and all run the library's reference. What a
search does on its way is watched from outside: :class:`WatchedLinks` writes down which links it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rectutor.retrieval.ann import reference
from rectutor.retrieval.ann.reference import Graph, Leaf, Split
from rectutor.widgets.explorer import Choice, Discrete, Explorer, Steps
from rectutor.widgets.scene import HALF, Anchor, Mark, Panel, Scale, Scene

Floats = NDArray[np.float64]
Plane = NDArray[np.floating[Any]]
Corners = list[tuple[float, float]]
Stroke = tuple[str, *tuple[float, ...]]

N, NEAREST = 240, 10
"""Points, and how many neighbours a search is asked for."""
AREA = (0.0, 10.0)
"""Limits of the plane, in x and in y."""
TOP = 72.0
"""Pixels above a map below two rows of a legend; below one row it begins at 54."""
BOX: Corners = [(AREA[0], AREA[0]), (AREA[1], AREA[0]), (AREA[1], AREA[1]), (AREA[0], AREA[1])]
CENTRES = ((2.0, 8.0), (3.4, 6.5), (7.4, 8.3), (8.4, 5.9), (5.3, 4.4), (1.8, 2.6), (4.5, 1.5), (7.9, 1.9))
SPREADS = (0.55, 0.60, 0.75, 0.60, 0.80, 0.65, 0.50, 0.70)
OTHERS = 100
"""Further queries, drawn as the points were: what holds on average over them."""


# -- points and queries -----------------------------------------------------------------------------------------
def _drawn(n: int, seed: int) -> Floats:
    """n points around the eight centres in turn, to four decimals."""
    rng = np.random.default_rng(seed)
    of = np.arange(n) % len(CENTRES)
    noise = rng.normal(size=(n, 2)) * np.array(SPREADS)[of, None]
    return np.asarray(np.round(np.array(CENTRES)[of] + noise, 4))


@cache
def points() -> Floats:
    """The points that are searched [240, 2]."""
    return _drawn(N, seed=4)


@cache
def others() -> Floats:
    """Further queries [100, 2]."""
    return _drawn(OTHERS, seed=5)


@cache
def nearest(query: tuple[float, float], k: int = NEAREST) -> tuple[int, ...]:
    """The k nearest points of a query, nearest first."""
    return tuple(reference.exact_search(points(), np.array(query), k, "l2")[0])


def recall_of(found: Iterable[int], query: tuple[float, float], k: int = NEAREST) -> float:
    """Share of the k nearest points that a search found."""
    return len(set(found) & set(nearest(query, k))) / k


def _pairs(queries: Floats) -> Iterator[tuple[float, float]]:
    yield from ((float(x), float(y)) for x, y in queries)


# -- geometry -----------------------------------------------------------------------------------------------------
def clipped(corners: Corners, normal: Plane, offset: float) -> Corners:
    """The part of a convex polygon where ``normal @ x + offset`` is not negative."""
    kept: Corners = []
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        here, there = (reference.side(normal, offset, np.array(corner)) for corner in (a, b))
        if here >= 0:
            kept.append(a)
        if here * there < 0:
            t = here / (here - there)
            kept.append((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])))
    return kept


def cut_line(corners: Corners, normal: Plane, offset: float) -> Corners:
    """The two ends of a cut within a convex polygon."""
    part = clipped(corners, normal, offset)
    return [c for c in part if abs(reference.side(normal, offset, np.array(c))) < 1e-9]


# -- what all maps have ----------------------------------------------------------------------------------------
def _map(panel: Panel, top: float) -> None:
    """Set the scales to a square below ``top`` pixels, and frame it."""
    side = panel.width - 4
    panel.x, panel.y = Scale(*AREA, 2, 2 + side), Scale(*AREA, top + side, top)
    panel.rect("map", AREA[0], AREA[0], AREA[1], AREA[1], colour="none", outline="line")


def _points(panel: Panel, scored: Iterable[int], true: Sequence[int], found: Iterable[int]) -> None:
    """All points: grey, blue where they were scored; the true neighbours green, or ringed where they were missed."""
    among, hits = set(scored), set(found)
    for i, (x, y) in enumerate(_pairs(points())):
        if i not in true:
            colour, r = ("blue", 2.6) if i in among else ("muted", 1.8)
            panel.circle(f"point/{i}", x, y, r=r, colour=colour, outline="none")
    for i in true:
        x, y = points()[i]
        place = f"neighbour {true.index(i) + 1} of {len(true)}"
        if i in hits:
            panel.circle(f"point/{i}", x, y, r=4.2, colour="green", outline="paper", tip=f"{place}: found")
        else:
            panel.circle(f"point/{i}", x, y, r=1.8, colour="vermillion", outline="none", tip=f"{place}: missed")
            panel.circle(f"ring/{i}", x, y, r=5.5, colour="none", outline="vermillion", tip=f"{place}: missed")


def _query(panel: Panel, query: tuple[float, float], key: str = "query", r: float = 6) -> None:
    """The query: a diamond."""
    x, y = query
    dx, dy = r / (panel.x(1) - panel.x(0)), r / (panel.y(1) - panel.y(0))
    corners = [(x - dx, y), (x, y - dy), (x + dx, y), (x, y + dy)]
    panel.path(key, _outline(corners), colour="ink", fill="ink", width=1)


FOUND_LEGEND = (("ink", "query"), ("green", "found"), ("vermillion", "missed"), ("blue", "scored"))


# -- Annoy --------------------------------------------------------------------------------------------------------
LEAF_SIZE, TREE_SEED = 12, 4
CUTS = [0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 15, 19, 23, 27, 31]
"""Numbers of cuts to stop at; the last is the whole tree."""
TREE_QUERIES = {"inside": (7.4, 8.6), "beside a cut": (5.38, 5.92), "between": (6.23, 1.52)}


@cache
def whole_tree() -> Split | Leaf:
    """The library's tree over the points."""
    return reference.build_tree(points(), list(range(N)), reference.Draws(TREE_SEED), LEAF_SIZE)


def ids_below(node: Split | Leaf) -> list[int]:
    """The points of a node."""
    return list(node.ids) if isinstance(node, Leaf) else ids_below(node.left) + ids_below(node.right)


class Region(NamedTuple):
    """A node of the tree in the plane.

    Attributes:
        name: L and R on the way down from the root.
        node: the split or leaf.
        corners: of its part of the plane.
    """

    name: str
    node: Split | Leaf
    corners: Corners


def breadth_first(tree: Split | Leaf) -> Iterator[Region]:
    """The nodes level by level, each with its region."""
    level = [Region("", tree, BOX)]
    for region in level:
        yield region
        if isinstance(node := region.node, Split):
            left = clipped(region.corners, -node.normal, -node.offset)
            right = clipped(region.corners, node.normal, node.offset)
            level += [Region(f"{region.name}L", node.left, left), Region(f"{region.name}R", node.right, right)]


@cache
def tree_of(cuts: int) -> Split | Leaf:
    """The tree with its first cuts only, counted level by level: what is cut no further is a leaf."""
    kept = {region.name for region in [r for r in breadth_first(whole_tree()) if isinstance(r.node, Split)][:cuts]}

    def copy(node: Split | Leaf, name: str) -> Split | Leaf:
        if isinstance(node, Split) and name in kept:
            return Split(node.normal, node.offset, copy(node.left, f"{name}L"), copy(node.right, f"{name}R"))
        return Leaf(ids_below(node))

    return copy(whole_tree(), "")


@cache
def regions_of(cuts: int) -> list[Region]:
    """The nodes of that tree, level by level."""
    return list(breadth_first(tree_of(cuts)))


def beyond(tree: Split | Leaf, name: str, query: tuple[float, float]) -> float:
    """How far a node is put off: the squared distances of a query to the cuts that part them, added up."""
    total, node = 0.0, tree
    for turn in name:
        assert isinstance(node, Split)
        distance = reference.side(node.normal, node.offset, np.array(query))
        if (turn == "R") != (distance > 0):
            total += float(distance * distance / ((node.normal @ node.normal) or 1))
        node = node.right if turn == "R" else node.left
    return total


class Opened(NamedTuple):
    """A leaf that the search opened: its name, how far it was put off, and its points."""

    name: str
    beyond: float
    ids: list[int]


@cache
def opened_leaves(cuts: int, query: tuple[float, float], search_k: int) -> list[Opened]:
    """The leaves in the order in which the library opens them: it returns their points one leaf after the other."""
    met = reference.candidates_of_forest([tree_of(cuts)], np.array(query), search_k)
    leaf_of = {i: r for r in regions_of(cuts) if isinstance(r.node, Leaf) for i in r.node.ids}
    names = dict.fromkeys(leaf_of[i].name for i in met)
    at = {r.name: r.node for r in regions_of(cuts)}
    return [Opened(name, beyond(tree_of(cuts), name, query), ids_below(at[name])) for name in names]


@cache
def mean_recall(cuts: int, search_k: int) -> tuple[float, float]:
    """Over the further queries: mean recall@10, and mean number of points scored."""
    tree = tree_of(cuts)
    met = [reference.candidates_of_forest([tree], q, search_k) for q in others()]
    recalls = [recall_of(ids, q) for ids, q in zip(met, _pairs(others()), strict=True)]
    return float(np.mean(recalls)), float(np.mean([len(ids) for ids in met]))


class AnnoySplits(Explorer):
    """One random projection tree in the plane: its cuts, and the regions that a search opens, nearest first.

    On the left the plane with the first cuts and the regions that the search opens, darker the earlier; on the right
    the tree with the same leaves, and how far each was put off: the squared distances to the cuts beyond which it
    lies, added up.
    """

    title = "Cut by cut, and leaf by leaf"
    question = (
        "The query between the clusters, search_k = 1: how many of the ten nearest does the whole tree find? Which "
        "search_k brings all ten back, and are more cuts good or bad for the other queries then?"
    )
    cuts = Steps("cuts", CUTS, start=7, seconds=0.6)
    search_k = Discrete("search_k", [1, 20, 40, 60, 80, 120], start=1)
    query = Choice("query", list(TREE_QUERIES), start="between")

    def compute(self, cuts: int, search_k: int, query: str) -> Scene:
        """The two panels."""
        at = TREE_QUERIES[query]
        leaves = opened_leaves(cuts, at, search_k)
        ids = [i for leaf in leaves for i in leaf.ids]
        recall, (mean, mean_scored) = recall_of(ids, at), mean_recall(cuts, search_k)
        scene = Scene(
            f"{cuts} {'cut' if cuts == 1 else 'cuts'}, {len(leaves)} of {cuts + 1} regions opened, {len(ids)} of {N} "
            f"points scored: {round(NEAREST * recall)} of the {NEAREST} nearest are found. "
            f"Mean recall of {OTHERS} other queries: {mean:.1%}.",
            numbers={
                "opened": len(leaves),
                "scored": len(ids),
                "recall": recall,
                "beyond": [leaf.beyond for leaf in leaves],
                "mean_recall": mean,
                "mean_scored": mean_scored,
            },
        )
        self._plane(scene.panel(height=366, title="The plane"), cuts, leaves, at, ids)
        self._tree(scene.panel(height=366, title="The tree"), cuts, leaves, at)
        return scene

    @staticmethod
    def _plane(panel: Panel, cuts: int, leaves: list[Opened], query: tuple[float, float], ids: list[int]) -> None:
        panel.legend(FOUND_LEGEND, top=36)
        _map(panel, 54)
        where = {r.name: r.corners for r in regions_of(cuts)}
        for n, leaf in enumerate(leaves):
            xs, ys = zip(*where[leaf.name], strict=True)
            panel.polygon(f"region/{leaf.name}", xs, ys, colour="sky", opacity=_fading(n))
        splits = [r for r in regions_of(cuts) if isinstance(r.node, Split)]
        for n, region in enumerate(splits):
            assert isinstance(region.node, Split)
            xs, ys = zip(*cut_line(region.corners, region.node.normal, region.node.offset), strict=True)
            newest = n == cuts - 1
            panel.line(f"cut/{n + 1}", xs, ys, colour="ink" if newest else "muted", width=2 if newest else 1)
        _points(panel, ids, nearest(query), ids)
        _query(panel, query)

    @staticmethod
    def _tree(panel: Panel, cuts: int, leaves: list[Opened], query: tuple[float, float]) -> None:
        regions = {r.name: r.node for r in regions_of(cuts)}
        whole = {r.name: r.node for r in regions_of(CUTS[-1])}
        across = _places(whole)
        depth = max(len(name) for name in whole)
        panel.x, panel.y = Scale(0, CUTS[-1], 6, panel.width - 8), Scale(0, depth, 34, 200)
        order = {leaf.name: n for n, leaf in enumerate(leaves)}
        way = {name[:d] for name in order for d in range(len(name) + 1)}
        for name in regions:
            if name:
                colour, width = ("blue", 2) if name in way else ("muted", 1)
                xs, ys = (across[name[:-1]], across[name]), (len(name) - 1, len(name))
                panel.line(f"edge/{name}", xs, ys, colour=colour, width=width)
        true = set(nearest(query))
        for name, node in regions.items():
            if isinstance(node, Leaf):
                said = f"opened as number {order[name] + 1}" if name in order else "not opened"
                tip = f"{len(node.ids)} points, {len(true & set(node.ids))} of the nearest, {said}"
                colour, r = ("blue", 4.5) if name in order else ("muted", 3)
                panel.circle(f"leaf/{name}", across[name], len(name), r=r, colour=colour, tip=tip)
        panel.x, panel.y = Scale(0, 1, 0, 1), Scale(0, 1, 0, 1)
        heads: tuple[tuple[int, Anchor, str], ...] = (
            (0, "start", "opened"),
            (128, "end", "beyond"),
            (202, "end", "points"),
            (290, "end", "of the 10"),
        )
        for x, anchor, head in heads:
            panel.text(f"head/{head}", x, 232, head, anchor=anchor, colour="muted")
        shown = leaves if len(leaves) <= 6 else leaves[:5]
        for n, leaf in enumerate(shown):
            y = 252 + 18 * n
            cells = (f"{n + 1}", f"{leaf.beyond:.3f}", f"{len(leaf.ids)}", f"{len(true & set(leaf.ids))}")
            for (x, anchor, head), text in zip(heads, cells, strict=True):
                panel.text(f"queue/{n + 1}-{head}", x, y, text, anchor=anchor, bold=head == "of the 10")
        if rest := leaves[len(shown) :]:
            more = [i for leaf in rest for i in leaf.ids]
            cells = (f"{len(rest)} more", "", f"{len(more)}", f"{len(true & set(more))}")
            for (x, anchor, head), text in zip(heads, cells, strict=True):
                if text:
                    panel.text(f"queue/more-{head}", x, 342, text, anchor=anchor)


def _fading(n: int) -> float:
    """Opacity of the n-th region or cell that is opened."""
    return max(0.18, 0.6 - 0.12 * n)


def _places(nodes: dict[str, Split | Leaf]) -> dict[str, float]:
    """Where the nodes of a tree stand from left to right: leaves one after the other, others amid their two."""
    leaves = sorted(name for name, node in nodes.items() if isinstance(node, Leaf))
    places = {name: float(n) for n, name in enumerate(leaves)}
    for name in sorted(nodes, key=len, reverse=True):
        if name not in places:
            places[name] = (places[f"{name}L"] + places[f"{name}R"]) / 2
    return places


# -- inverted file ------------------------------------------------------------------------------------------------
CELLS = [8, 16, 32]
CELL_COLOURS = dict(zip(CELLS, ("purple", "blue", "green"), strict=True))
PROBES = [1, 2, 3, 4, 5, 6, 7, 8]
ROUNDS = 10
"""Iterations of k-means."""
CELL_QUERIES = {"inside": (7.4, 8.6), "at a border": (2.01, 7.2), "between": (6.23, 1.52)}


@cache
def centroids(cells: int) -> Floats:
    """Centroids of the points by the library's k-means, which starts at points drawn at random [K, 2]."""
    chosen = np.random.default_rng(0).choice(N, cells, replace=False)
    return np.asarray(reference.kmeans(points(), points()[chosen], ROUNDS))


@cache
def cell_of(cells: int) -> tuple[int, ...]:
    """The cell of each point."""
    return tuple(reference.nearest_centroid(x, centroids(cells)) for x in points())


@cache
def borders(cells: int) -> list[Corners]:
    """The Voronoi cell of each centroid: what remains of the plane on its side of all planes halfway to another."""
    found = []
    for c in centroids(cells):
        corners = BOX
        for other in centroids(cells):
            if (other != c).any():
                corners = clipped(corners, *reference.plane_between(c, other))
        found.append(corners)
    return found


class Probe(NamedTuple):
    """What a search in cells does: cells probed in order, points scored, and the share of the ten found."""

    cells: list[int]
    scored: list[int]
    recall: float


@cache
def probed(cells: int, query: tuple[float, float], nprobe: int) -> Probe:
    """As :func:`rectutor.retrieval.ann.reference.ivf_search` probes: the cells whose centroids are nearest."""
    chosen = reference.exact_search(centroids(cells), np.array(query), nprobe, "l2")[0]
    scored = [i for i, c in enumerate(cell_of(cells)) if c in chosen]
    return Probe(chosen, scored, recall_of(scored, query))


@cache
def probe_curve(cells: int) -> tuple[Floats, Floats]:
    """Over the further queries, for each nprobe: mean number of scores, centroids included, and mean recall."""
    probes = [[probed(cells, q, n) for q in _pairs(others())] for n in PROBES]
    scores = np.array([cells + np.mean([len(p.scored) for p in row]) for row in probes])
    return scores, np.array([np.mean([p.recall for p in row]) for row in probes])


class IvfCells(Explorer):
    """An inverted file in the plane: k-means cells, those that a search probes lit, the neighbours outside ringed.

    On the left the plane; on the right, for all three numbers of cells, mean recall against the mean number of scores,
    which counts those of the centroids, with the present setting larger.
    """

    title = "Cells that light up"
    question = (
        "For the query at a border, which nprobe finds all ten neighbours with 8, 16 and 32 cells, and which of the "
        "three ways to get there computes the fewest scores?"
    )
    cells = Discrete("cells", CELLS, start=16)
    nprobe = Steps("nprobe", PROBES, start=1)
    query = Choice("query", list(CELL_QUERIES), start="at a border")

    def compute(self, cells: int, nprobe: int, query: str) -> Scene:
        """The two panels."""
        at = CELL_QUERIES[query]
        probe = probed(cells, at, nprobe)
        scores, recalls = probe_curve(cells)
        total, n = cells + len(probe.scored), PROBES.index(nprobe)
        scene = Scene(
            f"{nprobe} of {cells} cells: {cells} centroids + {len(probe.scored)} points = {total} scores, "
            f"{total / N:.0%} of exact search. {round(NEAREST * probe.recall)} of the {NEAREST} nearest are found. "
            f"Mean recall of {OTHERS} other queries: {recalls[n]:.1%}.",
            numbers={
                "cells": probe.cells + [None] * (len(PROBES) - nprobe),
                "scored": len(probe.scored),
                "scores": total,
                "share": total / N,
                "recall": probe.recall,
                "mean_scores": scores,
                "mean_recall": recalls,
            },
        )
        left = scene.panel(height=366, title="The plane")
        self._plane(left, cells, probe, at)
        right = scene.panel(height=366, title=f"Mean recall of {OTHERS} queries")
        self._curves(right, cells, nprobe)
        return scene

    @staticmethod
    def _plane(panel: Panel, cells: int, probe: Probe, query: tuple[float, float]) -> None:
        panel.legend(FOUND_LEGEND, top=36)
        _map(panel, 54)
        for n, c in enumerate(probe.cells):
            xs, ys = zip(*borders(cells)[c], strict=True)
            panel.polygon(f"cell/{c}", xs, ys, colour="sky", opacity=_fading(n))
        steps = [step for corners in borders(cells) for step in _outline(corners)]
        panel.path("borders", steps, colour="muted", width=1)
        for c, (x, y) in enumerate(_pairs(centroids(cells))):
            colour = "ink" if c in probe.cells else "muted"
            d = 4 / (panel.x(1) - panel.x(0))
            tip = f"centroid of {cell_of(cells).count(c)} points"
            cross = [("M", x - d, y), ("L", x + d, y), ("M", x, y - d), ("L", x, y + d)]
            panel.path(f"centroid/{c}", cross, colour=colour, width=2, tip=tip)
        _points(panel, probe.scored, nearest(query), probe.scored)
        _query(panel, query)

    @staticmethod
    def _curves(panel: Panel, cells: int, nprobe: int) -> None:
        panel.axes(
            (0, 250),
            (0.5, 1),
            xlabel=f"mean number of scores; exact search: {N}",
            ylabel="mean recall@10",
            margin=(34, 78, 14, 42),
        )
        panel.legend([(CELL_COLOURS[k], f"{k} cells") for k in CELLS], top=36)
        for k in CELLS:
            scores, recalls = probe_curve(k)
            panel.line(f"mean/{k}", scores, recalls, colour=CELL_COLOURS[k], width=2.5 if k == cells else 1.5)
            for n, x, y in zip(PROBES, scores, recalls, strict=True):
                here = k == cells and n == nprobe
                tip = f"{k} cells, nprobe {n}: {x:.0f} scores, recall {y:.2f}"
                panel.circle(f"mean/{k}-{n}", x, y, r=6 if here else 3, colour=CELL_COLOURS[k], tip=tip)


def _outline(corners: Corners) -> list[Stroke]:
    return [("L" if n else "M", *corner) for n, corner in enumerate(corners)] + [("Z",)]


# -- product quantization -----------------------------------------------------------------------------------------
BITS = [2, 4, 6, 8, 10, 12]
"""Bits per vector; half of them for each of two parts."""
BOOKS = {"two parts": 2, "one part": 1}
BOOK_COLOURS = {"two parts": "blue", "one part": "purple"}
CODE_QUERIES = {"inside": (7.4, 8.6), "at a border": (2.01, 7.2), "between": (6.23, 1.52)}


class Coded(NamedTuple):
    """A trained quantizer and the points in its codes.

    Attributes:
        codebooks: [M, K, D / M].
        codes: of each point.
        copies: the points as their codes give them back [N, 2].
        error: mean squared distance of a point and its copy.
        mean_recall: mean recall@10 of the further queries.
    """

    codebooks: Floats
    codes: list[list[int]]
    copies: Floats
    error: float
    mean_recall: float


@cache
def coded(bits: int, parts: int) -> Coded | None:
    """The points in codes of so many bits; None where a codebook would need more centroids than there are points."""
    size = 2 ** (bits // parts)
    if size > N:
        return None
    x = points()
    chosen = np.random.default_rng(0).choice(N, size, replace=False)
    start = np.array([[reference.parts_of(x[i], parts)[j] for i in chosen] for j in range(parts)])
    books = np.asarray(reference.pq_train(x, start, ROUNDS), np.float64)
    codes = [reference.pq_encode(books, v) for v in x]
    copies = np.array([reference.pq_decode(books, code) for code in codes])
    found = [reference.pq_search(books, codes, q, NEAREST, "l2")[0] for q in others()]
    recalls = [recall_of(ids, q) for ids, q in zip(found, _pairs(others()), strict=True)]
    return Coded(books, codes, copies, float(((x - copies) ** 2).sum(axis=1).mean()), float(np.mean(recalls)))


@cache
def found_in_codes(bits: int, parts: int, query: tuple[float, float]) -> tuple[int, ...]:
    """What the library finds in the codes, best first."""
    made = coded(bits, parts)
    assert made is not None
    return tuple(reference.pq_search(made.codebooks, made.codes, np.array(query), NEAREST, "l2")[0])


class PqCodes(Explorer):
    """Points and what their codes give back: a grid of two codebooks, or one codebook for the whole vector.

    On the left the plane, each point joined to its copy; on the right the mean squared error and the mean recall
    against the bits per vector, for both kinds of codebook.
    """

    title = "What a code gives back"
    question = (
        "At 4 and at 6 bits per vector, which codebook comes nearer to the points, and by how much? What does the "
        "other one have to offer from 8 bits on?"
    )
    bits = Discrete("bits per vector", BITS, start=4)
    book = Choice("codebook", list(BOOKS))
    query = Choice("query", list(CODE_QUERIES))

    def compute(self, bits: int, book: str, query: str) -> Scene:
        """The two panels."""
        parts, at = BOOKS[book], CODE_QUERIES[query]
        made = coded(bits, parts)
        size = 2 ** (bits // parts)
        found = found_in_codes(bits, parts, at) if made else ()
        kept = f"2 \N{MULTIPLICATION SIGN} {size}" if parts == 2 else f"{size:,}"
        scene = Scene(
            f"{bits} bits, {kept} centroids: mean squared error {made.error:.3f}; {len(set(map(tuple, made.codes)))} "
            f"of {2**bits:,} codes in use. {round(NEAREST * recall_of(found, at))} of the {NEAREST} nearest are "
            f"found; mean recall of {OTHERS} other queries: {made.mean_recall:.1%}."
            if made
            else f"{bits} bits in one part need {size:,} centroids, more than the {N} points to learn them from. "
            f"Two parts need 2 \N{MULTIPLICATION SIGN} {2 ** (bits // 2)}.",
            numbers={
                "centroids": parts * size,
                "codes": 2**bits,
                "points": N,
                "half": 2 ** (bits // 2),
                "used": len(set(map(tuple, made.codes))) if made else None,
                "error": made.error if made else None,
                "recall": recall_of(found, at) if made else None,
                "mean_recall": made.mean_recall if made else None,
            },
        )
        self._plane(scene.panel(height=386, title="Points and their copies"), made, at, found)
        self._curves(scene.panel(height=386, title="Both codebooks"), bits, book)
        return scene

    @staticmethod
    def _plane(panel: Panel, made: Coded | None, query: tuple[float, float], found: tuple[int, ...]) -> None:
        panel.legend((("ink", "query"), ("green", "found"), ("vermillion", "missed")), top=36)
        with panel.group("more"):
            panel.legend((("purple", "what codes give back"), ("blue", "found in error")), top=54)
        _map(panel, TOP)
        if made is not None:
            if len(made.codebooks) == 2:
                (xs, ys), (low, high) = (book[:, 0].tolist() for book in made.codebooks), AREA
                steps = [step for x in sorted(xs) for step in (("M", x, low), ("L", x, high))]
                steps += [step for y in sorted(ys) for step in (("M", low, y), ("L", high, y))]
                panel.path("grid", steps, colour="line", width=1)
            joined = zip(_pairs(points()), _pairs(made.copies), strict=True)
            lines = [step for a, b in joined for step in (("M", *a), ("L", *b))]
            panel.path("joined", lines, colour="muted", width=0.75)
            codes = dict.fromkeys(map(tuple, made.codes))
            for code in codes:
                x, y = reference.pq_decode(made.codebooks, code).tolist()
                xs, ys = zip(*_square(panel, x, y, 3), strict=True)
                panel.polygon(f"copy/{'-'.join(map(str, code))}", xs, ys, colour="purple")
        _points(panel, found, nearest(query) if made else (), found)
        _query(panel, query)

    @staticmethod
    def _curves(panel: Panel, bits: int, book: str) -> None:
        panel.legend([(BOOK_COLOURS[name], name) for name in BOOKS], top=36)
        errors = Scale(0.003, 6, log=True, at=(0.01, 0.1, 1), format="g")
        for key, y, label, margin in (
            ("error", errors, "mean squared error", (40, 78, 14, 190)),
            ("mean_recall", Scale(0, 1), "mean recall@10", (40, 230, 14, 42)),
        ):
            with panel.group(key):
                last = key == "mean_recall"
                across = Scale(1, 13, at=tuple(BITS) if last else (), format="g")
                panel.axes(across, y, xlabel="bits per vector" if last else "", ylabel=label, margin=margin)
                for name, parts in BOOKS.items():
                    all_made = {b: made for b in BITS if (made := coded(b, parts))}
                    values = [getattr(made, key) for made in all_made.values()]
                    panel.line(f"line/{parts}", list(all_made), values, colour=BOOK_COLOURS[name])
                    for b, value in zip(all_made, values, strict=True):
                        r = 6 if (b, name) == (bits, book) else 3
                        tip = f"{name}, {b} bits: {value:.3f}"
                        panel.circle(f"dot/{parts}-{b}", b, value, r=r, colour=BOOK_COLOURS[name], tip=tip)


def _square(panel: Panel, x: float, y: float, r: float) -> Corners:
    """Corners of a square with sides of 2r pixels."""
    dx, dy = r / (panel.x(1) - panel.x(0)), r / (panel.y(1) - panel.y(0))
    return [(x - dx, y - dy), (x + dx, y - dy), (x + dx, y + dy), (x - dx, y + dy)]


# -- HNSW -----------------------------------------------------------------------------------------------------------
LINKS = [2, 3, 6]
BEAMS = [1, 4, 16]
EF_CONSTRUCTION, LEVEL_SEED = 16, 2
STOPS = list(range(1, 34))
"""Steps to stop at; a walk that is over earlier stays at its end."""
GRAPH_QUERIES = {"A": (3.98, 5.79), "B": (6.23, 1.52)}


class WatchedLinks(dict[int, list[int]]):
    """The links of a layer, which tell whose are followed."""

    def __init__(self, links: dict[int, list[int]], tell: Callable[[int], None]) -> None:
        super().__init__(links)
        self._tell = tell

    def __getitem__(self, i: int) -> list[int]:
        self._tell(i)
        return super().__getitem__(i)


def followed_by(m: int, layer: int, i: int) -> list[int]:
    """The points that a point leads to: its links, and in the bottom layer first its successor in the ring."""
    g = graph(m)
    return g.links[layer][i] if layer else [g.ring[i], *g.links[0][i]]


class Step(NamedTuple):
    """One step of a walk: the layer, the point whose links are followed, and what is scored for it.

    The first step in a layer also scores the point where the layer is entered, before its links are followed.
    """

    layer: int
    opened: int
    scored: list[int]


@cache
def graph(m: int) -> Graph:
    """The library's graph over the points."""
    levels = reference.hnsw_levels(N, m, np.random.default_rng(LEVEL_SEED))
    return reference.hnsw_build(points(), levels.tolist(), m, EF_CONSTRUCTION, "l2")


@cache
def walk(m: int, query: tuple[float, float], ef: int) -> tuple[tuple[Step, ...], int]:
    """The steps of :func:`rectutor.retrieval.ann.reference.hnsw_search` for one neighbour, and that neighbour."""
    steps: list[Step] = []
    layers, entry = graph(m).links, graph(m).entry
    for layer in range(len(layers) - 1, -1, -1):
        scored: list[list[int]] = [[]]

        def near(i: int, scored: list[list[int]] = scored) -> float:
            scored[-1].append(i)
            return reference.score(np.array(query), points()[i], "l2")

        def follow(i: int, scored: list[list[int]] = scored, layer: int = layer) -> None:
            if steps and steps[-1].layer == layer:
                scored.append([])
            steps.append(Step(layer, i, scored[-1]))

        links = WatchedLinks(layers[layer], follow)
        ring = None if layer else graph(m).ring
        entry = reference.search_layer(near, links, [entry], 1 if layer else ef, ring)[0][1]
    return tuple(steps), entry


def pool_of(m: int, query: tuple[float, float], ef: int, step: int) -> list[int]:
    """The best points of the present layer after a step, nearest first: the beam, one point wide but at the bottom."""
    taken = walk(m, query, ef)[0][:step]
    layer = taken[-1].layer
    scored = [i for s in taken if s.layer == layer for i in s.scored]
    pairs = [(reference.score(np.array(query), points()[i], "l2"), i) for i in scored]
    return reference.best(pairs, 1 if layer else ef)[0]


@cache
def mean_walk(m: int, ef: int) -> tuple[float, float]:
    """Over the further queries: the share that find their nearest point, and the mean number of scores."""
    walks = [walk(m, q, ef) for q in _pairs(others())]
    hits = [end == nearest(q, 1)[0] for (_, end), q in zip(walks, _pairs(others()), strict=True)]
    return float(np.mean(hits)), float(np.mean([sum(len(s.scored) for s in steps) for steps, _ in walks]))


def mean_links(m: int) -> float:
    """How many links a point has in the bottom layer, on average, without the ring."""
    return float(np.mean([len(links) for links in graph(m).links[0].values()]))


class HnswWalk(Explorer):
    """A search in a hierarchical graph: down the layers greedily, then with a beam of width ef in the bottom layer.

    On the left the layer of the present step with its links, what was scored in it, the point whose links are followed
    and the beam; on the right all layers, one above the other, with the way so far.
    """

    title = "A walk down the layers"
    question = (
        "Query A: what is the least ef that finds the nearest point with M = 2, with 3, with 6? Query B with M = 2: "
        "does a wider beam help? Which of the two makes the other queries dearer, ef or M?"
    )
    step = Steps("step", STOPS, start=1, seconds=0.7)
    ef = Discrete("ef", BEAMS, start=1)
    m = Discrete("M", LINKS, start=3)
    query = Choice("query", list(GRAPH_QUERIES))

    def compute(self, step: int, ef: int, m: int, query: str) -> Scene:
        """The two panels."""
        at = GRAPH_QUERIES[query]
        steps, end = walk(m, at, ef)
        over, taken = step > len(steps), steps[: min(step, len(steps))]
        pool = pool_of(m, at, ef, len(taken))
        layer, scores = taken[-1].layer, sum(len(s.scored) for s in taken)
        true = nearest(at, 1)[0]
        off = [float(np.sqrt(-reference.score(np.array(at), points()[i], "l2"))) for i in (pool[0], true)]
        recall, mean = mean_walk(m, ef)
        says = (
            f"Over after {len(steps)} steps and {scores} scores, {scores / N:.0%} of {N}: the nearest point is "
            f"{'found' if end == true else 'missed'}. Of {OTHERS} other queries {recall:.0%} find theirs, with "
            f"{mean:.0f} scores on average."
            if over
            else f"Step {step}, layer {layer} with {len(graph(m).links[layer])} points: {scores} scores so far. The "
            f"best of this layer is at distance {off[0]:.2f}, the nearest of all points at {off[1]:.2f}."
        )
        scene = Scene(
            says,
            numbers={
                "layer": layer,
                "points": len(graph(m).links[layer]),
                "step": step,
                "steps": len(steps),
                "opened": taken[-1].opened,
                "scores": scores,
                "share": scores / N,
                "pool": pool + [None] * (max(BEAMS) - len(pool)),
                "distance": off[0],
                "least": off[1],
                "found": int(end == true) if over else None,
                "mean_recall": recall,
                "mean_scores": mean,
                "mean_links": mean_links(m),
            },
        )
        self._layer(scene.panel(height=386, title=f"Layer {layer}"), m, taken, pool, over, at)
        self._tower(scene.panel(height=386, title="All layers"), m, taken, scores, at)
        return scene

    @staticmethod
    def _layer(
        panel: Panel, m: int, taken: Sequence[Step], pool: list[int], over: bool, query: tuple[float, float]
    ) -> None:
        panel.legend((("ink", "query"), ("vermillion", "follows its links"), ("green", "beam")), top=36)
        with panel.group("more"):
            panel.legend((("blue", "scored"), ("muted", "not scored"), ("purple", "nearest")), top=54)
        _map(panel, TOP)
        layer, here = taken[-1].layer, taken[-1].opened
        links = graph(m).links[layer]
        true = nearest(query, 1)[0]
        panel.marks.append(_drawn_links(m, layer))
        scored = {i for s in taken if s.layer == layer for i in s.scored}
        if not over:
            panel.path(
                "followed", _segments((here, j) for j in set(followed_by(m, layer, here))), colour="vermillion", width=2
            )
        _query(panel, query)
        for i, (x, y) in enumerate(_pairs(points())):
            if i not in links:
                panel.circle(f"point/{i}", x, y, r=1.4, colour="line", outline="none")
                continue
            colour, r = ("muted", 2.2) if i not in scored else ("green", 4.0) if i in pool else ("blue", 3.0)
            if i == here and not over:
                colour, r = "vermillion", 5.0
            place = f"{pool.index(i) + 1} of {len(pool)} in the beam" if i in pool else ""
            tip = place or ("scored" if i in scored else "")
            panel.circle(f"point/{i}", x, y, r=r, colour=colour, outline="none", tip=tip)
        panel.circle("nearest", *points()[true], r=8, colour="none", outline="purple", tip="the nearest of all points")

    @staticmethod
    def _tower(panel: Panel, m: int, taken: Sequence[Step], scores: int, query: tuple[float, float]) -> None:
        layers = graph(m).links

        def at(layer: int, x: float, y: float) -> tuple[float, float]:
            return _leaning(len(layers), layer, x, y)

        way: dict[int, list[int]] = {}
        for step in taken:
            way.setdefault(step.layer, []).append(step.opened)
        for layer, links in enumerate(layers):
            with panel.group(f"layer-{layer}"):
                corners = [at(layer, *corner) for corner in BOX]
                xs, ys = zip(*corners, strict=True)
                here = layer == taken[-1].layer
                panel.polygon("floor", xs, ys, colour="sky" if here else "soft", opacity=0.3 if here else 1)
                panel.line("edge", [*xs, xs[0]], [*ys, ys[0]], colour="muted" if here else "line", width=1)
                panel.marks.append(_drawn_points(m, layer))
                y = corners[0][1] - 4
                panel.text(
                    "name", 0, y, f"{len(links)}", dx=66, anchor="end", bold=here, tip=f"points of layer {layer}"
                )
                panel.text("number", 0, y, f"{layer}", dx=12, anchor="middle", bold=here)
                if layer in way:
                    places = [at(layer, *points()[i]) for i in way[layer]]
                    if layer:
                        panel.line("way", *zip(*places, strict=True), colour="blue", width=2)
                    else:  # a beam jumps to and fro
                        steps = [step for place in places for step in _outline(_square(panel, *place, 2))]
                        panel.path("way", steps, colour="none", fill="blue")
                    panel.circle("last", *places[-1], r=4, colour="vermillion" if here else "blue")
                _query(panel, at(layer, *query), "query", 3.5)
        for layer in sorted(way):
            if layer + 1 in way:
                ends = [at(layer + 1, *points()[way[layer][0]]), at(layer, *points()[way[layer][0]])]
                xs, ys = zip(*ends, strict=True)
                panel.line(f"down/{layer + 1}", xs, ys, colour="blue", width=1.5, dash="3 3")
        panel.text("head/layer", 0, 36, "layer", colour="muted")
        panel.text("head/points", 66, 36, "points", anchor="end", colour="muted", dx=14)
        across = Scale(0, N, 76, panel.width - 6)
        panel.text("scores/name", 0, 350, "scores", bold=True)
        panel.rect("scores/all", 76, 342, panel.width - 6, 358, colour="soft", outline="line", rounded=2)
        tip = f"{scores} scores computed; exact search computes {N}"
        panel.rect("scores/bar", 76, 342, across(scores), 358, colour="blue", rounded=2, tip=tip)
        panel.text("scores/value", across(scores), 350, f"{scores} of {N}", dx=6)
        panel.text("degree/name", 0, 376, "links", bold=True)
        panel.text("degree/value", 76, 376, f"{mean_links(m):.2f} a point, and the ring")


def _segments(pairs: Iterable[tuple[int, int]]) -> list[Stroke]:
    """Straight lines between points."""
    at = points().tolist()
    return [step for i, j in sorted(pairs) for step in (("M", *at[i]), ("L", *at[j]))]


@cache
def _drawn_links(m: int, layer: int) -> Mark:
    """The links of a layer on the map, those of the ring among them, drawn once for all frames."""
    panel = Panel(HALF, 386)
    _map(panel, TOP)
    links = {(min(i, j), max(i, j)) for i in graph(m).links[layer] for j in followed_by(m, layer, i)}
    panel.path("links", _segments(links), colour="line", width=1)
    return panel.marks[-1]


def _leaning(layers: int, layer: int, x: float, y: float) -> tuple[float, float]:
    """Where a point of the plane stands in the picture of all layers, in pixels."""
    room, lean = min(60.0, 290 / layers), 36.0  # from one layer to the next; from the front edge to the back
    u, v = ((value - AREA[0]) / (AREA[1] - AREA[0]) for value in (x, y))
    return 76 + u * (HALF - 82 - lean) + v * lean, 28 + room * (layers - layer) - v * 0.72 * room


@cache
def _drawn_points(m: int, layer: int) -> Mark:
    """The points of a layer in the picture of all layers, drawn once for all frames."""
    panel = Panel(HALF, 386)
    steps: list[Stroke] = []
    for i in sorted(graph(m).links[layer]):
        x, y = _leaning(len(graph(m).links), layer, *points()[i])
        steps += _outline(_square(panel, x, y, 0.9))
    with panel.group(f"layer-{layer}"):
        panel.path("points", steps, colour="none", fill="muted")
    return panel.marks[-1]
