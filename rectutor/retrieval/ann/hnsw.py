"""Hierarchical navigable small worlds, built in parallel and yet always the same.

Shapes: N vectors, D dimensions, M links, Q queries, k neighbours, U rows of all upper layers together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectutor.fastpath import fast_path
from rectutor.retrieval.ann import cases, hnsw_cases, reference
from rectutor.retrieval.ann.hnsw_kernels import Links, close_ring, find_links, link_back, search_all, search_some
from rectutor.retrieval.ann.index import Floats, Found, Index, Metric, check_whole
from rectutor.retrieval.loops import bar

MOST = 2**31 - 1
"""Vectors that ids of 32 bits can tell apart."""
SHARE = 0.005
"""A batch has at most this part of the vectors that are there already."""
CHUNK = 32
"""Vectors that a thread takes at a time."""
LINE = 64
"""Bytes of a cache line."""


class HNSW(Index):
    """A graph of short and long links that is walked from vector to vector, always nearer to the query.

    Malkov and Yashunin, 2018, algorithms 1, 2, 4 and 5. Vectors are inserted in batches whose members do not see one
    another, as in ParlayANN (Manohar et al., 2024), so that the graph does not depend on the number of threads. A ring
    through all vectors keeps each within reach: with ``ef`` = N a search is exact.

    Args:
        metric: ``ip``, ``cosine`` or ``l2``.
        m: links of a new vector in a layer, M; twice as many fit in the bottom layer.
        ef_construction: width of the beam that looks for them.
        ef: width of the beam of a search, or k where that is more. May be changed at any time.
        seed: of the draw of the layers.
        progress: a bar while building: True at once, False never, None past two seconds.

    Attributes:
        levels_: int8 [N], the top layer of each vector.
        bottom_: int32 [N, 1 + 2 M], successor in the ring, then links, then -1.
        upper_: int32 [U, M], links in the layers above, then -1.
        rows_: int32 [N], where in ``upper_`` the rows of a vector begin, layer 1 first.
        entry_: the vector where every search begins.

    Raises:
        ValueError: m < 2, ef_construction < m, ef < 1.

    >>> points = [[x, y] for x in range(10) for y in range(10)]
    >>> index = HNSW("l2", m=4, ef_construction=20).build(points)
    >>> index.search([[4.25, 7]], k=2)
    (array([[47, 57]]), array([[-0.0625, -0.5625]], dtype=float32))
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ("m", "ef_construction", "ef", "seed", "progress", "entry_")
    ARRAYS: ClassVar[tuple[str, ...]] = ("vectors_", "levels_", "rows_", "bottom_", "upper_")

    levels_: NDArray[np.int8]
    rows_: Links
    bottom_: Links
    upper_: Links
    entry_: int

    def __init__(
        self,
        metric: Metric = "ip",
        *,
        m: int = 16,
        ef_construction: int = 100,
        ef: int = 50,
        seed: int | np.random.Generator = 0,
        progress: bool | None = None,
    ) -> None:
        super().__init__(metric)
        self.m = check_whole("m", m, 2)
        self.ef_construction = check_whole("ef_construction", ef_construction, self.m)
        self.ef = check_whole("ef", ef)
        self.seed = int(seed.integers(2**63)) if isinstance(seed, np.random.Generator) else check_whole("seed", seed, 0)
        self.progress = progress

    def _check_build(self, x: Floats) -> None:
        check_count(len(x))

    def _build(self, x: Floats) -> None:
        self._start(x.shape[1])
        self._insert(x, self._levels(0, len(x)))

    def _add(self, x: Floats) -> None:
        check_count(len(self.vectors_) + len(x))
        self._insert(x, self._levels(len(self.vectors_), len(x)))

    def _levels(self, first: int, n: int) -> NDArray[np.int8]:
        """Levels of n vectors, drawn as if those before ``first`` had been drawn by the same call."""
        return hnsw_levels(n, self.m, np.random.Generator(np.random.PCG64(self.seed).advance(first)))

    def _start(self, dim: int) -> None:
        """An empty graph."""
        self.vectors_ = np.empty((0, dim), np.float32)
        self.levels_ = np.empty(0, np.int8)
        self.rows_ = np.empty(0, np.int32)
        self.bottom_ = np.empty((0, 1 + 2 * self.m), np.int32)
        self.upper_ = np.empty((0, self.m), np.int32)
        self.entry_ = -1

    def _insert(self, x: Floats, levels: NDArray[np.int8], sizes: Sequence[int] | None = None) -> None:
        first, n = len(self.vectors_), len(self.vectors_) + len(x)
        rows = len(self.upper_) + np.cumsum(levels, dtype=np.int64) - levels
        self.vectors_ = longer(self.vectors_, x)
        self.levels_ = longer(self.levels_, levels)
        self.rows_ = longer(self.rows_, rows.astype(np.int32))
        self.bottom_ = longer(self.bottom_, np.full((len(x), self.bottom_.shape[1]), -1, np.int32))
        self.upper_ = longer(self.upper_, np.full((int(levels.sum()), self.m), -1, np.int32))
        with bar(range(len(x)), "HNSW", self.progress) as shown:
            for size in batch_sizes(first, n) if sizes is None else sizes:
                self._insert_batch(first, first + size)
                first += size
                shown.update(size)

    def _insert_batch(self, first: int, last: int) -> None:
        """Vectors from ``first`` to ``last`` find their links in the graph of those before, then are linked to."""
        vectors, dim, l2 = self.vectors_.reshape(-1), self.dim_, self.metric == "l2"
        bottom, upper, width = self.bottom_.reshape(-1), self.upper_.reshape(-1), self.bottom_.shape[1]
        if self.entry_ >= 0:
            find_links(
                chunk_of(last - first), first, last, vectors, dim, l2, bottom, width, upper, self.m, self.rows_,
                self.levels_, self.entry_, self.ef_construction, np.empty(0, np.bool_),
            )  # fmt: skip
            pairs, starts = by_row(self.bottom_[first:last, 1 : 1 + self.m], np.arange(first, last))
            owners = pairs[starts[:-1]] >> 32
            link_back(chunk_of(len(owners)), pairs, starts, owners, vectors, dim, l2, bottom, width, 1)
            rows = np.arange(self.rows_[first], self.rows_[last - 1] + self.levels_[last - 1])
            new, chosen = self._owners(rows), self.upper_[rows]
            above = (rows - self.rows_[new])[:, None]
            pairs, starts = by_row(np.where(chosen < 0, -1, self.rows_[chosen] + above), new)
            owners = self._owners(pairs[starts[:-1]] >> 32)
            link_back(chunk_of(len(owners)), pairs, starts, owners, vectors, dim, l2, upper, self.m, 0)
        self.entry_ = close_ring(first, last, bottom, width, self.levels_, self.entry_)

    def _owners(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The vectors to which rows of ``upper_`` belong."""
        return np.searchsorted(self.rows_, rows, side="right") - 1

    def _search(self, q: Floats, k: int) -> Found:
        ef = max(check_whole("ef", self.ef), k)
        ids, scores = np.full(len(q) * k, -1, np.int64), np.full(len(q) * k, -np.inf, np.float32)
        graph = (
            self.vectors_.reshape(-1), self.dim_, self.metric == "l2", self.bottom_.reshape(-1), self.bottom_.shape[1],
            self.upper_.reshape(-1), self.m, self.rows_, int(self.levels_[self.entry_]), self.entry_,
            self.deleted_, int(np.count_nonzero(self.deleted_)), ef, ids, scores, k,
        )  # fmt: skip
        chunk = chunk_of(len(q))
        if chunk >= len(q):
            search_some(q.reshape(-1), 0, len(q), *graph)
        else:
            search_all(chunk, q.reshape(-1), len(q), *graph)
        return ids.reshape(-1, k), scores.reshape(-1, k)


def check_count(n: int) -> None:
    """Refuse more vectors than ids of 32 bits can tell apart."""
    if n > MOST:
        raise ValueError(f"{n} vectors are too many for ids of 32 bits; put at most {MOST} into one index")


def chunk_of(n: int) -> int:
    """How many of n pieces of work a thread takes at a time: several times each thread's turn, so that none waits."""
    return min(CHUNK, max(1, -(-n // (4 * numba.get_num_threads()))))


def batch_sizes(first: int, last: int) -> Iterator[int]:
    """Sizes of the batches in which vectors from ``first`` to ``last`` are inserted."""
    while first < last:
        size = min(max(1, int(SHARE * first)), last - first)
        yield size
        first += size


def by_row(chosen: NDArray[Any], new: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of the row that was chosen and the vector that chose it, sorted, and where each row's pairs begin.

    Args:
        chosen: rows [n, M] that each new vector chose; -1 where there is none.
        new: ids [n].

    Returns:
        row << 32 | id [P], and starts [rows + 1].
    """
    pairs = np.sort((chosen.astype(np.int64) << 32 | new[:, None])[chosen >= 0])
    return pairs, np.r_[np.flatnonzero(np.diff(pairs >> 32, prepend=-1)), len(pairs)]


def longer(array: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
    """An array with further rows, in the memory behind it where that is ours, else in a copy with twice the room.

    The memory begins at a cache line, so that a vector lies in as few lines as possible: a search is a tenth faster.
    """
    n, row = len(array) + len(rows), array.itemsize * math.prod(array.shape[1:])
    memory = array.base
    if memory is None or memory.dtype != np.uint8 or len(memory) < n * row + LINE:
        memory = np.empty(max(n, 2 * len(array)) * row + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    longer = memory[start : start + n * row].view(array.dtype).reshape(n, *array.shape[1:])
    if longer.ctypes.data != array.ctypes.data:
        longer[: len(array)] = array
    longer[len(array) :] = rows
    return longer


# -- pairs --------------------------------------------------------------------------------------------------------
@fast_path(
    reference.hnsw_levels,
    cases=hnsw_cases.levels,
    rtol=0,
    bench=hnsw_cases.levels_of_size,
    sizes=hnsw_cases.LEVEL_SIZES,
    unit="vectors",
)
def hnsw_levels(n: int, m: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """The top layer of each vector [n]: floor(-ln(u) / ln(M)) with u in (0, 1]."""
    u = rng.random(n)
    np.subtract(1, u, out=u)
    np.log(u, out=u)
    u /= -np.log(m)
    return u.astype(np.int8)  # none is negative


@fast_path(
    reference.hnsw_build,
    cases=hnsw_cases.builds,
    rtol=0,
    compare=hnsw_cases.same_graph,
    bench=hnsw_cases.build_of_size,
    sizes=hnsw_cases.BUILD_SIZES,
    unit="vectors",
)
def hnsw_build(
    vectors: ArrayLike,
    levels: Sequence[int],
    m: int = 16,
    ef_construction: int = 100,
    metric: Metric = "ip",
    batches: Sequence[int] | None = None,
) -> reference.Graph:
    """The graph of :class:`HNSW`, as :func:`reference.hnsw_build` gives it."""
    index = HNSW(metric, m=m, ef_construction=ef_construction, progress=False)
    x = index._checked(vectors, "vectors")
    index.dim_ = x.shape[1]
    index._start(index.dim_)
    index._insert(x, np.asarray(levels, np.int8), [1] * len(x) if batches is None else batches)
    return as_graph(index)


@fast_path(
    reference.hnsw_search,
    cases=hnsw_cases.searches,
    rtol=1e-5,
    atol=1e-6,
    compare=cases.same_neighbours,
    bench=hnsw_cases.search_of_size,
    sizes=cases.SIZES,
    unit="vectors",
)
def hnsw_search(
    graph: reference.Graph, vectors: ArrayLike, query: ArrayLike, k: int, ef: int, metric: Metric = "ip"
) -> Any:
    """The k best vectors that :class:`HNSW` finds in a given graph: ids [k] and scores [k]."""
    index = from_graph(graph, vectors, metric)
    index.ef = ef
    ids, scores = index.search(np.asarray(query)[None], k)
    return ids[0], scores[0]


def as_graph(index: HNSW) -> reference.Graph:
    """The graph of an index in the form of the reference."""
    graph = reference.Graph(index.m, index.entry_)
    graph.ring = dict(enumerate(index.bottom_[:, 0].tolist()))
    graph.links = [{i: filled(row[1:]) for i, row in enumerate(index.bottom_)}]
    for layer in range(1, int(index.levels_.max()) + 1):
        there = np.flatnonzero(index.levels_ >= layer)
        graph.links.append({int(i): filled(index.upper_[index.rows_[i] + layer - 1]) for i in there})
    return graph


def filled(row: Links) -> list[int]:
    """The part of a row that is not filled up."""
    return [int(i) for i in row[row >= 0]]


def from_graph(graph: reference.Graph, vectors: ArrayLike, metric: Metric = "ip") -> HNSW:
    """An index with a graph that the reference has built."""
    index = HNSW(metric, m=graph.m, ef_construction=graph.m)
    index.vectors_ = index._checked(vectors, "vectors")
    n, index.dim_ = index.vectors_.shape
    index.entry_ = graph.entry
    index.deleted_ = np.zeros(n, np.bool_)
    index.levels_ = np.array([sum(i in layer for layer in graph.links[1:]) for i in range(n)], np.int8)
    index.rows_ = np.cumsum(index.levels_, dtype=np.int32) - index.levels_
    index.bottom_ = np.full((n, 1 + 2 * graph.m), -1, np.int32)
    index.upper_ = np.full((int(index.levels_.sum()), graph.m), -1, np.int32)
    for i in range(n):
        index.bottom_[i, : 1 + len(graph.links[0][i])] = [graph.ring[i], *graph.links[0][i]]
        for layer in range(1, index.levels_[i] + 1):
            links = graph.links[layer][i]
            index.upper_[index.rows_[i] + layer - 1, : len(links)] = links
    return index
