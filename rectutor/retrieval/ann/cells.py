"""Cells: k-means cuts the space into regions, and a search looks only into those that score best.

Shapes: N vectors, D dimensions, K cells or centroids, R >= N rows in groups of 16, Q queries, P probed cells,
k neighbours.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectutor.fastpath import fast_path
from rectutor.retrieval.ann import cases, cells_cases, reference
from rectutor.retrieval.ann.cells_kernels import (
    LANES,
    assign,
    choose,
    lay_down,
    move,
    order_by_cell,
    put_upright,
    scan_vectors,
)
from rectutor.retrieval.ann.index import Floats, Found, Index, Ints, Metric, check_whole
from rectutor.retrieval.loops import bar, threads

ITERATIONS = 15
"""Of k-means; more hardly change the recall."""
TRAINING = 256
"""Vectors for each centroid that k-means sees at most."""
MOST = 2**31 - 1
"""Vectors that ids of 32 bits can tell apart."""


class Cells(Index):
    """What :class:`IVFFlat` and :class:`~rectutor.retrieval.ann.codes.IVFPQ` share: centroids, rows by cell."""

    coarse_: Floats
    starts_: Ints
    ids_: NDArray[np.int32]

    def __init__(
        self, metric: Metric, cells: int | None, nprobe: int, seed: int | np.random.Generator, progress: bool | None
    ) -> None:
        super().__init__(metric)
        self.cells = cells if cells is None else check_whole("cells", cells)
        self.nprobe = check_whole("nprobe", nprobe)
        self.seed = seed_of(seed)
        self.progress = progress

    @property
    def centroids_(self) -> Floats:
        """Float32 [K, D]."""
        centroids: Floats = laid_down(self.coarse_, len(self.starts_) - 1, self.dim_)
        return centroids

    def _check_build(self, x: Floats) -> None:
        check_count(len(x))
        if self.cells is not None and self.cells > len(x):
            raise ValueError(f"cells is {self.cells}, with {len(x)} vectors; ask for at most as many cells as vectors")

    def _learn(self, x: Floats) -> Floats:
        """Centroids [K, D] of a sample."""
        n_cells = min(len(x), round(4 * len(x) ** 0.5)) if self.cells is None else self.cells
        some = sample(x, TRAINING * n_cells, self.seed)
        centroids = lloyd(some, sample(x, n_cells, self.seed), ITERATIONS, progress=self.progress)
        return centroids if self.metric == "l2" else lengthen(some, centroids)

    def _place(self, cells: Ints, rows: NDArray[Any], n_cells: int) -> NDArray[Any]:
        """Order rows [N, ...] by cell; sets where they lie and returns them upright."""
        self.starts_, self.ids_ = order_by_cell(cells, n_cells)
        return stand(rows, self.ids_)

    def _cells_of_ids(self) -> Ints:
        """The cell of each vector [N]."""
        cells = np.empty(len(self.deleted_), np.int64)
        each = np.repeat(np.arange(len(self.starts_) - 1), np.diff(self.starts_))
        cells[self.ids_[self.ids_ >= 0]] = each[self.ids_ >= 0]
        return cells

    def _work(self, q: Floats) -> int:
        """About so many multiplications."""
        n_cells = len(self.starts_) - 1
        return int(q.size * (n_cells + len(self.ids_) * min(1, self.nprobe / n_cells)))

    def _probe(self, q: Floats) -> tuple[Ints, Floats]:
        """The cells to be probed [Q, P] and their scores."""
        n_cells = len(self.starts_) - 1
        n_probes = min(check_whole("nprobe", self.nprobe), n_cells)
        probed, scores = np.empty((len(q), n_probes), np.int64), np.empty((len(q), n_probes), np.float32)
        choose(flat(self.coarse_), n_cells, flat(q), self.dim_, self.metric == "l2", probed, scores)
        return probed, scores


class IVFFlat(Cells):
    """An inverted file: the vectors themselves, sorted by cell (Sivic and Zisserman, 2003).

    ``add`` puts vectors into the cells that there are and sorts all rows again, which takes time in proportion to N:
    add many at once.

    Args:
        metric: ``ip``, ``cosine`` or ``l2``.
        cells: K; None for about :math:`4 \\sqrt N`.
        nprobe: how many cells a search looks into, all where there are fewer. May be changed at any time; with
            ``nprobe`` = K a search is exact.
        seed: of the draw of the first centroids.
        progress: a bar while building: True at once, False never, None past two seconds.

    Attributes:
        centroids_: float32 [K, D].
        starts_: int64 [K + 1], first row of each cell, a multiple of 16.
        ids_: int32 [R], the vector of each row, or -1.
        upright_: float32 [R D], the vectors in groups of 16 rows: coordinate 0 of all of them, then coordinate 1.

    Raises:
        ValueError: cells or nprobe < 1; at ``build``: more cells than vectors.

    >>> points = [[x, y] for x in range(10) for y in range(10)]
    >>> index = IVFFlat("l2", cells=8, nprobe=2).build(points)
    >>> index.search([[4, 7.5]], k=2)
    (array([[47, 48]]), array([[-0.25, -0.25]], dtype=float32))
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ("cells", "nprobe", "seed", "progress")
    ARRAYS: ClassVar[tuple[str, ...]] = ("coarse_", "starts_", "ids_", "upright_")

    upright_: Floats

    def __init__(
        self,
        metric: Metric = "ip",
        *,
        cells: int | None = None,
        nprobe: int = 8,
        seed: int | np.random.Generator = 0,
        progress: bool | None = None,
    ) -> None:
        super().__init__(metric, cells, nprobe, seed, progress)

    def _build(self, x: Floats) -> None:
        self._fill(x, self._learn(x))

    def _fill(self, x: Floats, centroids: Floats) -> None:
        self.coarse_ = stand(centroids)
        self.upright_ = self._place(nearest(x, self.coarse_, len(centroids)), x, len(centroids))

    def _add(self, x: Floats) -> None:
        check_count(len(self.deleted_) + len(x))
        n_cells = len(self.starts_) - 1
        cells = np.concatenate([self._cells_of_ids(), nearest(x, self.coarse_, n_cells)])
        before = laid_down(self.upright_, len(self.deleted_), self.dim_, self.ids_)
        self.upright_ = self._place(cells, np.concatenate([before, x]), n_cells)

    def _search(self, q: Floats, k: int) -> Found:
        found, scores = np.full((len(q), k), -1, np.int64), np.full((len(q), k), -np.inf, np.float32)
        with threads(None, self._work(q)):
            scan_vectors(
                flat(self.upright_), self.dim_, flat(self.starts_), flat(self.ids_), flat(self.deleted_), flat(q),
                self.metric == "l2", self._probe(q)[0], min(len(q), numba.get_num_threads()), found, scores,
            )  # fmt: skip
        return found, scores


# -- k-means ---------------------------------------------------------------------------------------------------------
def lloyd(x: Floats, start: Floats, iterations: int, first: int = 0, *, progress: bool | None = None) -> Floats:
    """k-means on the coordinates of x [N, D] from ``first`` on, as many as the centroids [K, d] have."""
    centroids = np.array(start, np.float32, order="C")
    for _ in bar(range(iterations), "k-means", progress):
        cells = nearest(x, stand(centroids), len(centroids), first)
        move(centroids.reshape(-1), flat(x), first, x.shape[1], centroids.shape[1], cells)
    return centroids


def nearest(x: Floats, centroids: Floats, n_cells: int, first: int = 0) -> Ints:
    """The nearest of the upright centroids for each vector [N, D], by the coordinates from ``first`` on."""
    cells = np.empty(len(x), np.int64)
    dim = len(centroids) // padded(n_cells)
    with threads(None, len(x) * len(centroids)):
        assign(flat(centroids), n_cells, flat(x), first, x.shape[1], dim, cells)
    return cells


def sample(x: NDArray[Any], size: int, seed: int) -> Any:
    """At most ``size`` rows, drawn without repetition."""
    if len(x) <= size:
        return x
    return x[np.sort(np.random.default_rng(seed).choice(len(x), size, replace=False))]


# -- layout ----------------------------------------------------------------------------------------------------------
def padded(n: int) -> int:
    """Rows of n vectors, filled up to whole groups."""
    return -(-n // LANES) * LANES


def in_one_cell(n: int) -> NDArray[np.int32]:
    """The ids of n vectors in one cell."""
    ids = np.full(padded(n), -1, np.int32)
    ids[:n] = np.arange(n)
    return ids


def stand(rows: NDArray[Any], ids: NDArray[np.int32] | None = None) -> NDArray[Any]:
    """Rows [N, width] upright, in the order of ``ids`` [R], or in their own."""
    ids = in_one_cell(len(rows)) if ids is None else ids
    upright = np.zeros(len(ids) * rows.shape[1], rows.dtype)
    with threads(None, upright.size):
        put_upright(flat(rows), rows.shape[1], flat(ids), upright)
    return upright


def laid_down(upright: NDArray[Any], n: int, width: int, ids: NDArray[np.int32] | None = None) -> Any:
    """The n rows [N, width] that stand upright."""
    rows = np.empty(n * width, upright.dtype)
    with threads(None, upright.size):
        lay_down(flat(upright), width, flat(in_one_cell(n) if ids is None else ids), rows)
    return rows.reshape(n, width)


def flat(array: NDArray[Any]) -> NDArray[Any]:
    """One dimension, read-only, whether in memory or mapped from a file: the compiled loops know this type alone."""
    view = np.asarray(array).reshape(-1).view()
    view.flags.writeable = False
    return view


# -- checks ----------------------------------------------------------------------------------------------------------
def check_count(n: int) -> None:
    """Refuse more vectors than the ids have room for."""
    if n > MOST:
        raise ValueError(f"{n} vectors are too many for ids of 32 bits; make several indexes of at most {MOST}")


def seed_of(seed: int | np.random.Generator) -> int:
    """A seed that can be kept in a file."""
    return int(seed.integers(2**63)) if isinstance(seed, np.random.Generator) else check_whole("seed", seed, 0)


# -- fast paths ------------------------------------------------------------------------------------------------------
@fast_path(
    reference.kmeans,
    cases=cells_cases.starts,
    rtol=1e-5,
    atol=1e-5,
    bench=cells_cases.starts_of_size,
    sizes=cases.SIZES,
    unit="vectors",
)
def kmeans(vectors: ArrayLike, start: ArrayLike, iterations: int) -> Floats:
    """Centroids [K, D] of vectors [N, D] from the first ones [K, D], in float32.

    Lloyd's algorithm. Ties go to the lower cell; a centroid without vectors stays where it was.

    Raises:
        ValueError: other shapes, NaN or infinity, iterations < 1.

    >>> kmeans([[0.0], [1.0], [10.0]], start=[[0.0], [1.0]], iterations=10).tolist()
    [[0.5], [10.0]]
    """
    x, first = (np.ascontiguousarray(a, np.float32) for a in (vectors, start))
    for name, a in (("vectors", x), ("start", first)):
        if a.ndim != 2 or a.size == 0 or a.shape[1] != x.shape[1]:
            raise ValueError(f"{name} has shape {a.shape}; give [N, D] vectors and [K, D] centroids of the same D")
        if not np.isfinite(a).all():
            raise ValueError(f"{name} has a NaN, an infinity, or a number too large for float32")
    return lloyd(x, first, check_whole("iterations", iterations))


@fast_path(
    reference.lengthen,
    cases=cells_cases.with_centroids,
    rtol=1e-5,
    atol=1e-6,
    bench=cells_cases.with_centroids_of_size,
    sizes=cases.SIZES,
    unit="vectors",
)
def lengthen(vectors: ArrayLike, centroids: ArrayLike) -> Floats:
    """Centroids [K, D], each as long as its vectors are on average, so that inner products favour no narrow cell."""
    x, c = (np.ascontiguousarray(a, np.float32) for a in (vectors, centroids))
    cells = nearest(x, stand(c), len(c))
    counts = np.bincount(cells, minlength=len(c))
    lengths = np.bincount(cells, np.sqrt(np.einsum("nd,nd->n", x, x, dtype=np.float64)), len(c))
    own = np.sqrt(np.einsum("kd,kd->k", c, c, dtype=np.float64))
    factors = np.ones(len(c))
    np.divide(lengths, counts * own, out=factors, where=(counts > 0) & (own > 0))
    return (c * factors[:, None]).astype(np.float32)


@fast_path(
    reference.ivf_search,
    cases=cells_cases.one_query,
    rtol=1e-5,
    atol=1e-5,
    compare=cases.same_neighbours,
    bench=cells_cases.query_of_size,
    sizes=cases.SIZES,
    unit="vectors",
)
def ivf_search(
    vectors: ArrayLike, centroids: ArrayLike, query: ArrayLike, k: int, nprobe: int, metric: Metric = "ip"
) -> Any:
    """The k best vectors of one query by :class:`IVFFlat` with given centroids: ids [k] and scores [k]."""
    index = IVFFlat(metric, nprobe=nprobe)
    x = index._checked(vectors, "vectors")
    index.dim_, index.deleted_ = x.shape[1], np.zeros(len(x), np.bool_)
    index._fill(x, np.asarray(centroids, np.float32))
    ids, scores = index.search(np.asarray(query)[None], k)
    return ids[0], scores[0]
