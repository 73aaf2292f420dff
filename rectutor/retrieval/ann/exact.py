"""Exact search: an inverted file with one cell, of which everything is scanned.

Shapes: N vectors, D dimensions, R >= N rows in groups of 16, Q queries, k neighbours.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numba
import numpy as np
from numpy.typing import ArrayLike

from rectutor.fastpath import fast_path
from rectutor.retrieval.ann import cases, reference
from rectutor.retrieval.ann.cells import flat, in_one_cell, laid_down, stand
from rectutor.retrieval.ann.cells_kernels import scan_vectors
from rectutor.retrieval.ann.index import Floats, Found, Index, Metric
from rectutor.retrieval.loops import threads


class ExactIndex(Index):
    """Scores every vector: N D multiplications for each query, and the truth that the others are measured by.

    Sixteen vectors are scored at once, with four queries while they are in the cache.

    Attributes:
        upright_: float32 [R D], the vectors in groups of 16 rows: coordinate 0 of all of them, then coordinate 1.

    >>> index = ExactIndex("l2").build([[0, 0], [3, 4], [1, 1]])
    >>> index.search([[0, 1]], k=2)
    (array([[0, 2]]), array([[-1., -1.]], dtype=float32))
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("upright_",)

    upright_: Floats

    @property
    def vectors_(self) -> Floats:  # type: ignore[override]
        """Float32 [N, D], copied out of the rows."""
        vectors: Floats = laid_down(self.upright_, len(self.deleted_), self.dim_)
        return vectors

    def _build(self, x: Floats) -> None:
        self.upright_ = stand(x)

    def _add(self, x: Floats) -> None:
        self.upright_ = stand(np.concatenate([self.vectors_, x]))

    def _search(self, q: Floats, k: int) -> Found:
        ids = in_one_cell(len(self.deleted_))
        found, scores = np.full((len(q), k), -1, np.int64), np.full((len(q), k), -np.inf, np.float32)
        with threads(None, len(q) * len(self.upright_)):
            scan_vectors(
                flat(self.upright_), self.dim_, flat(np.array([0, len(ids)])), flat(ids), flat(self.deleted_), flat(q),
                self.metric == "l2", np.zeros((len(q), 1), np.int64), min(len(q), numba.get_num_threads()), found,
                scores,
            )  # fmt: skip
        return found, scores


@fast_path(
    reference.exact_search,
    cases=cases.one_query,
    rtol=1e-5,
    atol=1e-6,
    compare=cases.same_neighbours,
    bench=cases.exact_of_size,
    sizes=cases.SIZES,
    unit="vectors",
)
def exact_search(vectors: ArrayLike, query: ArrayLike, k: int, metric: Metric = "ip") -> Any:
    """The k best vectors for one query by :class:`ExactIndex`: ids [k] and scores [k]."""
    ids, scores = ExactIndex(metric).build(vectors).search(np.asarray(query)[None], k)
    return ids[0], scores[0]


@fast_path(
    reference.to_cosine,
    cases=cases.vectors_alone,
    rtol=1e-9,
    atol=1e-9,
    bench=cases.vectors_of_size,
    sizes=cases.SIZES,
    unit="vectors",
)
def to_cosine(vectors: ArrayLike) -> Any:
    """Vectors [N, D + 1] of one length whose cosine with (query, 0) ranks as the inner product with them does."""
    x = np.asarray(vectors)
    squares = np.einsum("nd,nd->n", x, x)
    return np.column_stack([x, np.sqrt(squares.max() - squares)])
