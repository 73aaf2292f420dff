"""Nearest neighbours, exact and approximate, as the papers state them.

Near means a high *score*: the inner product ``ip``, its cosine, or minus the squared distance ``l2``. Every search
returns ids and scores, best first, ties to the lower id.

Shapes: N vectors, D dimensions, k neighbours, K cells or centroids, M parts of a vector.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Found = tuple[list[int], list[float]]


# -- exact search -----------------------------------------------------------------------------------------------
def score(query: Array, vector: Array, metric: str) -> float:
    """How near two vectors [D] are: their inner product, its cosine, or minus the squared distance."""
    if metric == "ip":
        return float(query @ vector)
    if metric == "cosine":
        return float(query @ vector / np.sqrt((query @ query) * (vector @ vector)))
    return -float(((query - vector) ** 2).sum())


def best(scored: Iterable[tuple[float, int]], k: int) -> Found:
    """The k best of pairs of score and id."""
    order = sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:k]
    return [i for _, i in order], [s for s, _ in order]


def exact_search(vectors: Array, query: Array, k: int, metric: str = "ip") -> Found:
    """Score all vectors [N, D] and keep the k best: N D multiplications."""
    return best(((score(query, x, metric), i) for i, x in enumerate(vectors)), k)


def to_cosine(vectors: Array) -> Array:
    """Vectors [N, D + 1] of one length whose cosine with (query, 0) ranks as the inner product with them does.

    The added coordinate is :math:`\\sqrt{\\max_j |x_j|^2 - |x_i|^2}` (Bachrach et al., 2014, theorem 1).
    """
    squares = np.array([x @ x for x in vectors])
    return np.column_stack([vectors, np.sqrt(squares.max() - squares)])


# -- cells: inverted file -----------------------------------------------------------------------------------------
def nearest_centroid(vector: Array, centroids: Array) -> int:
    """The cell of a vector [D]: the centroid [K, D] at the least distance."""
    return int(np.argmin([((vector - c) ** 2).sum() for c in centroids]))


def kmeans(vectors: Array, start: Array, iterations: int) -> Array:
    """Lloyd's algorithm: assign each vector to the nearest centroid, move each centroid to the mean of its vectors.

    Args:
        vectors: [N, D].
        start: the first centroids [K, D].
        iterations: how often to do both.

    Returns:
        The centroids [K, D]; one without vectors stays where it was.
    """
    centroids = start.copy()
    for _ in range(iterations):
        cell_of = np.array([nearest_centroid(x, centroids) for x in vectors])
        for c in range(len(centroids)):
            if (cell_of == c).any():
                centroids[c] = vectors[cell_of == c].mean(axis=0)
    return centroids


def lengthen(vectors: Array, centroids: Array) -> Array:
    """Centroids for the metrics ``ip`` and ``cosine``: each as long as its vectors are on average.

    A mean is shorter than the vectors of which it is the mean, the more so the wider its cell: by the inner product
    with means, narrow cells would be probed too often.

    Args:
        vectors: [N, D].
        centroids: [K, D], what :func:`kmeans` found.

    Returns:
        [K, D]; a centroid without vectors, or without a direction, stays as it was.
    """
    cell_of = np.array([nearest_centroid(x, centroids) for x in vectors])
    longer = centroids.copy()
    for c, centroid in enumerate(centroids):
        if (cell_of == c).any() and centroid.any():
            longer[c] *= np.sqrt((vectors[cell_of == c] ** 2).sum(axis=1)).mean() / np.sqrt(centroid @ centroid)
    return longer


def ivf_search(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int, metric: str = "ip") -> Found:
    """Inverted file (Sivic and Zisserman, 2003): score only the vectors in the cells whose centroids score best.

    Args:
        vectors: [N, D], of length 1 where the metric is cosine.
        centroids: [K, D], what :func:`kmeans` found, unless the metric is ``l2`` made longer by :func:`lengthen`.
        query: [D].
        k: how many neighbours; fewer come back where the probed cells have fewer vectors.
        nprobe: how many cells.
        metric: ``ip``, ``cosine`` or ``l2``.
    """
    probed, _ = exact_search(centroids, query, nprobe, metric)
    cell_of = [nearest_centroid(x, centroids) for x in vectors]
    return best(((score(query, x, metric), i) for i, x in enumerate(vectors) if cell_of[i] in probed), k)


# -- product quantization --------------------------------------------------------------------------------------------
def parts_of(vector: Array, m: int) -> Array:
    """Cut a vector [D] into m parts of equal length [M, D / M]."""
    return vector.reshape(m, -1)


def pq_train(vectors: Array, start: Array, iterations: int) -> Array:
    """Product quantizer (Jégou, Douze and Schmid, 2011, section II): a codebook for each part of the vectors.

    Args:
        vectors: [N, D].
        start: the first centroids of each part [M, K, D / M].
        iterations: of k-means.

    Returns:
        codebooks [M, K, D / M].
    """
    m = len(start)
    return np.array([kmeans(np.array([parts_of(x, m)[j] for x in vectors]), start[j], iterations) for j in range(m)])


def pq_encode(codebooks: Array, vector: Array) -> list[int]:
    """The nearest centroid of each part: M numbers instead of D."""
    return [nearest_centroid(part, book) for part, book in zip(parts_of(vector, len(codebooks)), codebooks)]


def pq_decode(codebooks: Array, code: Sequence[int]) -> Array:
    """The vector [D] that a code stands for: its centroids one after the other."""
    return np.concatenate([book[c] for book, c in zip(codebooks, code)])


def pq_table(codebooks: Array, query: Array, metric: str = "ip") -> Array:
    """The score of each part of a query [D] with each centroid of that part [M, K]."""
    parts = parts_of(query, len(codebooks))
    return np.array([[score(part, c, metric) for c in book] for part, book in zip(parts, codebooks)])


def pq_search(codebooks: Array, codes: Sequence[Sequence[int]], query: Array, k: int, metric: str = "ip") -> Found:
    """Asymmetric distance computation (section III-A): the query as it is, each vector as its code, M look-ups each.

    The metric is ``ip`` or ``l2``, which are sums over parts; for the cosine take vectors of length 1 and ``ip``.
    """
    table = pq_table(codebooks, query, metric)
    return best(((float(sum(table[j, c] for j, c in enumerate(code))), i) for i, code in enumerate(codes)), k)


def ivfpq_search(
    vectors: Array, centroids: Array, codebooks: Array, query: Array, k: int, nprobe: int, metric: str = "ip"
) -> Found:
    """IVFADC (section IV): an inverted file whose cells hold codes of what is left after the centroid is taken away.

    A vector x of cell c stands as :math:`c + \\hat r`, :math:`\\hat r` the decoded code of :math:`x - c`. The metric is
    ``ip`` or ``l2``, as in :func:`pq_search`.
    """
    probed, _ = exact_search(centroids, query, nprobe, metric)
    scored = []
    for i, x in enumerate(vectors):
        cell = nearest_centroid(x, centroids)
        if cell in probed:
            code = pq_encode(codebooks, x - centroids[cell])
            scored.append((score(query, centroids[cell] + pq_decode(codebooks, code), metric), i))
    return best(scored, k)


# -- random projection trees -----------------------------------------------------------------------------------------
@dataclass
class Draws:
    """Whole numbers at random, one after the other: splitmix64 (Steele, Lea and Flood, 2014)."""

    state: int

    def below(self, n: int) -> int:
        """A number of 0, ..., n - 1."""
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return ((z ^ (z >> 31)) >> 32) * n >> 32


@dataclass
class Leaf:
    """A node of a tree that holds vectors."""

    ids: list[int]


@dataclass
class Split:
    """A node of a tree that cuts space with a plane; what lies on the positive side goes right."""

    normal: Array
    offset: float
    left: Split | Leaf
    right: Split | Leaf


def two_means(vectors: Array, ids: Sequence[int], draws: Draws, steps: int) -> tuple[Array, Array]:
    """Two points to cut between: two vectors drawn at random, then pulled to the middle of those nearer to them.

    Each step draws a vector and moves the nearer of the two points towards it, as far as makes it the mean of what it
    has drawn so far. With ``steps`` = 0 the two points are two vectors.
    """
    n = len(ids)
    i, j = draws.below(n), draws.below(n - 1)
    j += j >= i  # another one than i
    p, q = vectors[ids[i]].copy(), vectors[ids[j]].copy()
    seen_p = seen_q = 1
    for _ in range(steps):
        x = vectors[ids[draws.below(n)]]
        to_p, to_q = seen_p * ((x - p) ** 2).sum(), seen_q * ((x - q) ** 2).sum()  # the fuller one is farther
        if to_p < to_q:
            p = (p * seen_p + x) / (seen_p + 1)
            seen_p += 1
        elif to_q < to_p:
            q = (q * seen_q + x) / (seen_q + 1)
            seen_q += 1
    return p, q


def plane_between(p: Array, q: Array) -> tuple[Array, float]:
    """The plane halfway between two points, as normal and offset: ``normal @ x + offset`` is positive nearer to p.

    The normal has the length of p - q: so the side of a vector is exact among whole numbers. It is zero where p = q.
    """
    normal = p - q
    return normal, -float(normal @ (p + q)) / 2


def side(normal: Array, offset: float, vector: Array) -> Any:
    """Above 0 on the positive side of a plane, below 0 on the other: the distance times the length of the normal."""
    return normal @ vector + offset


def sides(normal: Array, offset: float, vectors: Array, ids: list[int]) -> tuple[list[int], list[int]]:
    """The ids left and right of a plane, each in their order; the plane itself belongs to the left."""
    right = [i for i in ids if side(normal, offset, vectors[i]) > 0]
    left = [i for i in ids if not side(normal, offset, vectors[i]) > 0]
    return left, right


def build_tree(vectors: Array, ids: list[int], draws: Draws, leaf_size: int, steps: int = 0) -> Split | Leaf:
    """A tree of Annoy (Bernhardsson, 2013): cut until a leaf has at most ``leaf_size`` vectors.

    A plane that leaves a side empty, as happens among equal vectors, is replaced by an even cut in the order of ids:
    normal zero, both halves equally near.
    """
    if len(ids) <= leaf_size:
        return Leaf(ids)
    normal, offset = plane_between(*two_means(vectors, ids, draws, steps))
    left, right = sides(normal, offset, vectors, ids)
    if not left or not right:
        normal, offset = np.zeros_like(normal), 0.0
        left, right = ids[: len(ids) // 2], ids[len(ids) // 2 :]
    # the left half is cut to the end before the right one draws
    below = build_tree(vectors, left, draws, leaf_size, steps)
    return Split(normal, offset, below, build_tree(vectors, right, draws, leaf_size, steps))


def add_to_tree(
    tree: Split | Leaf, vectors: Array, new: list[int], draws: Draws, leaf_size: int, steps: int = 0
) -> Split | Leaf:
    """Send new ids down to their leaves; a leaf that then holds over twice ``leaf_size`` is cut as in the building."""
    if isinstance(tree, Leaf):
        ids = tree.ids + new
        return build_tree(vectors, ids, draws, leaf_size, steps) if len(ids) > 2 * leaf_size else Leaf(ids)
    left, right = sides(tree.normal, tree.offset, vectors, new)
    below = add_to_tree(tree.left, vectors, left, draws, leaf_size, steps)
    return Split(tree.normal, tree.offset, below, add_to_tree(tree.right, vectors, right, draws, leaf_size, steps))


def build_forest(
    vectors: Array, trees: int, leaf_size: int, steps: int = 0, seed: int = 0, added: int = 0
) -> list[Split | Leaf]:
    """Trees of all vectors [N, D], of which the last ``added`` come in one batch after the building."""
    first, new = list(range(len(vectors) - added)), list(range(len(vectors) - added, len(vectors)))
    forest = []
    for state in np.random.default_rng(seed).integers(1 << 64, size=trees, dtype=np.uint64):
        draws = Draws(int(state))
        tree = build_tree(vectors, first, draws, leaf_size, steps)
        forest.append(add_to_tree(tree, vectors, new, draws, leaf_size, steps))
    return forest


def candidates_of_forest(trees: Sequence[Split | Leaf], query: Array, search_k: int) -> list[int]:
    """Open leaves of all trees, the nearest first, until ``search_k`` vectors are met.

    How near a node is: 0 at a root and on the query's side of a plane; the squared distance to the plane is added on
    the other side. (Annoy takes the farthest of these planes; their sum finds more for the same ``search_k``.) Among
    equals the node that was put off last comes first. Returns the ids in the order met, each once.
    """
    queue: list[tuple[float, int, Split | Leaf]] = [(0.0, -number, tree) for number, tree in enumerate(trees)]
    heapq.heapify(queue)
    count = len(queue)
    met: list[int] = []
    while queue and len(met) < search_k:
        beyond, _, node = heapq.heappop(queue)
        while isinstance(node, Split):
            distance = side(node.normal, node.offset, query)
            square = (node.normal @ node.normal) or 1  # of an even cut: the distance is 0
            node, other = (node.right, node.left) if distance > 0 else (node.left, node.right)
            heapq.heappush(queue, (beyond + distance * distance / square, -count, other))
            count += 1
        met.extend(node.ids)
    return list(dict.fromkeys(met))


def annoy_search(
    vectors: Array, query: Array, k: int, search_k: int, trees: int, leaf_size: int, steps: int = 0, seed: int = 0,
    metric: str = "ip",
) -> Found:  # fmt: skip
    """Build a forest and score its candidates: distances are what planes know, so angles and products become such.

    Vectors and query are brought to length 1 for the cosine; for the inner product after :func:`to_cosine`.
    """
    placed: Array = vectors.astype(np.float64)
    target: Array = query.astype(np.float64)
    if metric == "ip":
        placed, target = to_cosine(placed), np.append(target, 0)
    if metric != "l2":
        placed = np.array([x / (np.sqrt(x @ x) or 1) for x in placed])
        target = target / (np.sqrt(target @ target) or 1)
    forest = build_forest(placed.astype(vectors.dtype), trees, leaf_size, steps, seed)
    met = candidates_of_forest(forest, target.astype(vectors.dtype), search_k)
    return best(((score(query, vectors[i], metric), i) for i in met), k)


# -- hierarchical navigable small worlds ------------------------------------------------------------------------------
@dataclass
class Graph:
    """Layers of links. ``links[layer][i]`` are the neighbours of vector i; the entry is a vector of the top layer.

    In the bottom layer ``ring[i]`` is one more neighbour, which i never loses. The ring goes through all vectors, so
    that each can be reached from each; links alone do not promise that. The paper has no ring.
    """

    m: int
    entry: int = -1
    links: list[dict[int, list[int]]] = field(default_factory=list)
    ring: dict[int, int] = field(default_factory=dict)

    def room(self, layer: int) -> int:
        """How many neighbours a vector may have: M, and twice as many in the bottom layer."""
        return self.m if layer else 2 * self.m


def hnsw_levels(n: int, m: int, rng: np.random.Generator) -> Ints:
    """The top layer of each vector: floor(-ln(u) / ln(M)), so that each layer has an M-th of the one below it."""
    levels: Ints = np.floor(-np.log(1 - rng.random(n)) / np.log(m)).astype(np.int64)
    return levels


def search_layer(
    near: Callable[[int], float],
    links: dict[int, list[int]],
    entries: Sequence[int],
    ef: int,
    ring: dict[int, int] | None = None,
) -> list[tuple[float, int]]:
    """Beam search in one layer (Malkov and Yashunin, 2018, algorithm 2).

    Args:
        near: score of a vector with the query.
        links: the layer.
        entries: where to begin.
        ef: width of the beam: the search ends when the next candidate is worse than the ef best found.
        ring: one more neighbour of each vector, in the bottom layer.

    Returns:
        Up to ef pairs of score and id, best first.
    """
    visited = set(entries)
    found = sorted(((near(i), i) for i in entries), key=lambda pair: (-pair[0], pair[1]))[:ef]
    candidates = list(found)
    while candidates:
        here = min(candidates, key=lambda pair: (-pair[0], pair[1]))
        candidates.remove(here)
        if len(found) == ef and (-here[0], here[1]) > (-found[-1][0], found[-1][1]):
            break
        for i in links[here[1]] if ring is None else [ring[here[1]], *links[here[1]]]:
            if i in visited:
                continue
            visited.add(i)
            pair = (near(i), i)
            if len(found) < ef or pair[0] > found[-1][0]:  # an equal one would not help
                candidates.append(pair)
                found = sorted([*found, pair], key=lambda pair: (-pair[0], pair[1]))[:ef]
    return found


def select_neighbours(
    candidates: Sequence[tuple[float, int]], between: Callable[[int, int], float], m: int
) -> list[int]:
    """Up to m candidates, best first, none nearer to one that was taken than to the vector itself (algorithm 4).

    So links go out in all directions, and clusters stay connected.
    """
    taken: list[int] = []
    for own, i in sorted(candidates, key=lambda pair: (-pair[0], pair[1])):
        if len(taken) < m and all(between(i, j) <= own for j in taken):
            taken.append(i)
    return taken


def hnsw_neighbours(
    graph: Graph, vectors: Array, new: int, level: int, ef_construction: int, metric: str
) -> list[list[int]]:
    """The links of a new vector in each layer from 0 (first half of algorithm 1); the graph stays as it is."""

    def near(i: int) -> float:
        return score(vectors[new], vectors[i], metric)

    def between(i: int, j: int) -> float:
        return score(vectors[i], vectors[j], metric)

    chosen: list[list[int]] = [[] for _ in range(level + 1)]
    if graph.entry < 0:
        return chosen
    entries = [graph.entry]
    for layer in range(len(graph.links) - 1, -1, -1):
        if layer > level:  # go down greedily
            entries = [search_layer(near, graph.links[layer], entries, 1)[0][1]]
            continue
        found = search_layer(near, graph.links[layer], entries, ef_construction, None if layer else graph.ring)
        chosen[layer] = select_neighbours(found, between, graph.m)
        entries = [i for _, i in found]
    return chosen


def hnsw_link(graph: Graph, vectors: Array, new: int, chosen: list[list[int]], metric: str) -> None:
    """Put a new vector into its layers and link it both ways (second half of algorithm 1).

    A neighbour that gets more links than it has room for keeps those that :func:`select_neighbours` takes. In the ring
    the new vector comes right behind the nearest that it found.
    """
    before = chosen[0][0] if chosen[0] else graph.entry
    graph.ring[new] = graph.ring.get(before, new)
    if before >= 0:
        graph.ring[before] = new
    highest = len(graph.links) - 1
    while len(graph.links) < len(chosen):
        graph.links.append({})
    for layer, neighbours in enumerate(chosen):
        graph.links[layer][new] = list(neighbours)
        for i in neighbours:
            theirs = graph.links[layer][i]
            theirs.append(new)
            if len(theirs) > graph.room(layer):
                scored = [(score(vectors[i], vectors[j], metric), j) for j in theirs]
                graph.links[layer][i] = select_neighbours(
                    scored, lambda a, b: score(vectors[a], vectors[b], metric), graph.room(layer)
                )
    if len(chosen) - 1 > highest:
        graph.entry = new


def hnsw_build(
    vectors: Array,
    levels: Sequence[int],
    m: int = 16,
    ef_construction: int = 100,
    metric: str = "ip",
    batches: Sequence[int] | None = None,
) -> Graph:
    """Insert vectors [N, D] one after the other.

    Args:
        vectors: [N, D], of length 1 where the metric is cosine.
        levels: top layer of each vector, from :func:`hnsw_levels`.
        m: links of a new vector in a layer, M.
        ef_construction: width of the beam that looks for them.
        metric: ``ip``, ``cosine`` or ``l2``.
        batches: how many vectors look for their links at once, in the graph as it was before them; together N.
            None for one at a time, as in the paper.
    """
    graph = Graph(m)
    start = 0
    for size in [1] * len(vectors) if batches is None else batches:
        batch = range(start, start + size)
        chosen = [hnsw_neighbours(graph, vectors, i, levels[i], ef_construction, metric) for i in batch]
        for i, neighbours in zip(batch, chosen):
            hnsw_link(graph, vectors, i, neighbours, metric)
        start += size
    return graph


def hnsw_search(graph: Graph, vectors: Array, query: Array, k: int, ef: int, metric: str = "ip") -> Found:
    """Down the layers greedily, then a beam of width ef in the bottom layer (algorithm 5)."""

    def near(i: int) -> float:
        return score(query, vectors[i], metric)

    entries = [graph.entry]
    for layer in range(len(graph.links) - 1, 0, -1):
        entries = [search_layer(near, graph.links[layer], entries, 1)[0][1]]
    return best(search_layer(near, graph.links[0], entries, max(ef, k), graph.ring), k)
