"""Codes: a vector in a few bytes, and scores that are sums of looked-up numbers.

Shapes: N vectors, D dimensions, M parts, W codewords of a part, K cells, R >= N rows in groups of 16, Q queries,
k neighbours.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectutor.fastpath import fast_path
from rectutor.retrieval.ann import cases, cells_cases, reference
from rectutor.retrieval.ann.cells import (
    ITERATIONS,
    TRAINING,
    Cells,
    check_count,
    flat,
    in_one_cell,
    laid_down,
    lloyd,
    nearest,
    padded,
    sample,
    seed_of,
    stand,
)
from rectutor.retrieval.ann.cells_kernels import fill_table, rescore, scan_codes
from rectutor.retrieval.ann.index import Flags, Floats, Found, Index, Ints, Metric, check_whole
from rectutor.retrieval.loops import bar, threads

Codes = NDArray[np.uint8]


class ProductQuantizer(Index):
    """Every vector as M codewords of ``bits`` bits, and a search through all codes (Jégou, Douze and Schmid, 2011).

    A query makes a table of its scores with all codewords; the score of a code is the sum of M entries.

    Args:
        metric: ``ip``, ``cosine`` or ``l2``.
        parts: M, a divisor of D; a code takes so many bytes.
        bits: of the number of a codeword: :math:`W = 2^{bits}`, 8 bits at most.
        seed: of the draw of the first codewords.
        progress: a bar while building: True at once, False never, None past two seconds.

    Attributes:
        codebooks_: float32 [M, W, D / M].
        codes_: uint8 [R M], in groups of 16 rows: part 0 of all of them, then part 1.

    Raises:
        ValueError: parts < 1, bits < 1 or > 8; at ``build``: parts that do not divide D, fewer vectors than codewords.

    >>> points = [[x, y] for x in (0, 1, 7, 8) for y in (0, 1, 7, 8)]
    >>> index = ProductQuantizer("l2", parts=2, bits=1).build(points)
    >>> np.sort(index.codebooks_[:, :, 0]).tolist()
    [[0.5, 7.5], [0.5, 7.5]]
    >>> index.search([[8, 0]], k=4)[1].tolist()
    [[-0.5, -0.5, -0.5, -0.5]]
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ("parts", "bits", "seed", "progress")
    ARRAYS: ClassVar[tuple[str, ...]] = ("books_", "codes_")

    books_: Floats
    codes_: Codes

    def __init__(
        self,
        metric: Metric = "ip",
        *,
        parts: int = 8,
        bits: int = 8,
        seed: int | np.random.Generator = 0,
        progress: bool | None = None,
    ) -> None:
        super().__init__(metric)
        self.parts, self.bits = check_whole("parts", parts), check_bits(bits)
        self.seed = seed_of(seed)
        self.progress = progress

    @property
    def codebooks_(self) -> Floats:
        """Float32 [M, W, D / M]."""
        return laid_books(self.books_, self.parts, 1 << self.bits)

    def _check_build(self, x: Floats) -> None:
        check_count(len(x))
        check_parts(x, self.parts, self.bits)

    def _build(self, x: Floats) -> None:
        books = learn(x, self.parts, self.bits, self.seed, self.progress)
        self.books_ = stand_books(books)
        self.codes_ = stand(encode(x, books))

    def _add(self, x: Floats) -> None:
        check_count(len(self.deleted_) + len(x))
        before = laid_down(self.codes_, len(self.deleted_), self.parts)
        self.codes_ = stand(np.concatenate([before, encode(x, self.codebooks_)]))

    def _search(self, q: Floats, k: int) -> Found:
        n = len(self.deleted_)
        with threads(None, len(q) * (n * self.parts + self.books_.size)):
            return scan(
                self.codes_, np.empty(0, np.float32), self.books_, self.parts, np.array([0, padded(n)]), in_one_cell(n),
                self.deleted_, q, self.metric == "l2", 1.0, np.zeros((len(q), 1), np.int64),
                np.zeros((len(q), 1), np.float32), k,
            )  # fmt: skip


class IVFPQ(Cells):
    """An inverted file of codes: what is left of a vector after its centroid is taken away, as M codewords (IVFADC).

    Jégou, Douze and Schmid, 2011, section IV. One table serves all cells: for the inner product the score of the
    centroid is added; for the distance,
    :math:`-|q - c - r|^2 = -|q - c|^2 + 2 q^\\top r - (2 c^\\top r + |r|^2)`, whose last term is kept with the code.

    Args:
        metric: ``ip``, ``cosine`` or ``l2``.
        cells: K; None for about :math:`4 \\sqrt N`.
        nprobe: how many cells a search looks into, all where there are fewer. May be changed at any time.
        parts: M, a divisor of D; a code takes so many bytes.
        bits: of the number of a codeword: :math:`W = 2^{bits}`, 8 bits at most.
        rerank: how many of the best by code are scored again, by their vectors, which are kept where it is not 0.
            May be changed at any time if they are.
        seed: of the draw of the first centroids and codewords.
        progress: a bar while building: True at once, False never, None past two seconds.

    Attributes:
        centroids_: float32 [K, D].
        codebooks_: float32 [M, W, D / M].
        starts_: int64 [K + 1], first row of each cell, a multiple of 16.
        ids_: int32 [R], the vector of each row, or -1.
        codes_: uint8 [R M], in groups of 16 rows: part 0 of all of them, then part 1.
        terms_: float32 [R] where the metric is ``l2``, otherwise empty.
        vectors_: float32 [N, D], or [0, D] where they are not kept.

    Raises:
        ValueError: what :class:`ProductQuantizer` and :class:`~rectutor.retrieval.ann.cells.IVFFlat` refuse; a search
            with ``rerank`` > 0 in an index that was built without.

    >>> points = [[x, y] for x in range(16) for y in range(16)]
    >>> index = IVFPQ("l2", cells=16, nprobe=4, parts=2, bits=4, rerank=20).build(points)
    >>> index.search([[4.2, 7.1]], k=2)[0]
    array([[71, 87]])
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ("cells", "nprobe", "parts", "bits", "rerank", "seed", "progress")
    ARRAYS: ClassVar[tuple[str, ...]] = (
        "coarse_", "starts_", "ids_", "books_", "codes_", "terms_", "middle_", "vectors_",
    )  # fmt: skip

    books_: Floats
    codes_: Codes
    terms_: Floats
    middle_: Floats

    def __init__(
        self,
        metric: Metric = "ip",
        *,
        cells: int | None = None,
        nprobe: int = 8,
        parts: int = 8,
        bits: int = 8,
        rerank: int = 0,
        seed: int | np.random.Generator = 0,
        progress: bool | None = None,
    ) -> None:
        super().__init__(metric, cells, nprobe, seed, progress)
        self.parts, self.bits = check_whole("parts", parts), check_bits(bits)
        self.rerank = check_whole("rerank", rerank, 0)

    @property
    def codebooks_(self) -> Floats:
        """Float32 [M, W, D / M]."""
        return laid_books(self.books_, self.parts, 1 << self.bits)

    def _check_build(self, x: Floats) -> None:
        super()._check_build(x)
        check_parts(x, self.parts, self.bits)

    def _build(self, x: Floats) -> None:
        centroids = self._learn(x)
        self.coarse_ = stand(centroids)
        cells = nearest(x, self.coarse_, len(centroids))
        books = learn(x - centroids[cells], self.parts, self.bits, self.seed, self.progress)
        self._fill(x, cells, centroids, books)

    def _fill(self, x: Floats, cells: Ints, centroids: Floats, books: Floats) -> None:
        self.coarse_, self.books_ = stand(centroids), stand_books(books)
        middle = centroids.mean(axis=0) if self.metric == "l2" else np.zeros(0)
        self.middle_ = middle.astype(np.float32)
        self.vectors_ = x.copy() if self.rerank else np.empty((0, x.shape[1]), np.float32)
        self._sort(cells, encode(x - centroids[cells], books), centroids, books)

    def _add(self, x: Floats) -> None:
        check_count(len(self.deleted_) + len(x))
        centroids, books = self.centroids_, self.codebooks_
        new = nearest(x, self.coarse_, len(centroids))
        before = laid_down(self.codes_, len(self.deleted_), self.parts, self.ids_)
        codes = np.concatenate([before, encode(x - centroids[new], books)])
        if len(self.vectors_):
            self.vectors_ = np.concatenate([self.vectors_, x])
        self._sort(np.concatenate([self._cells_of_ids(), new]), codes, centroids, books)

    def _sort(self, cells: Ints, codes: Codes, centroids: Floats, books: Floats) -> None:
        """Codes [N, M] in the order of their cells, and for the distance their terms."""
        self.codes_ = self._place(cells, codes, len(centroids))
        self.terms_ = np.empty(0, np.float32)
        if self.metric == "l2":
            rest = decode(codes, books)
            terms = -np.einsum("nd,nd->n", rest, rest + 2 * (centroids - self.middle_)[cells])
            self.terms_ = np.where(self.ids_ >= 0, terms[self.ids_], np.float32(0))

    def _search(self, q: Floats, k: int) -> Found:
        rerank = check_whole("rerank", self.rerank, 0)
        if rerank and not len(self.vectors_):
            raise ValueError(f"rerank is {rerank}, but the index was built with 0 and has no vectors; build it again")
        l2 = self.metric == "l2"
        with threads(None, self._work(q)):
            probed, coarse = self._probe(q)
            found = scan(
                self.codes_, self.terms_, self.books_, self.parts, self.starts_, self.ids_, self.deleted_,
                q - self.middle_ if l2 else q, False, 2.0 if l2 else 1.0, probed, coarse,
                min(max(k, rerank), len(self)),
            )  # fmt: skip
            if not rerank:
                return found
            ids, scores = np.full((len(q), k), -1, np.int64), np.full((len(q), k), -np.inf, np.float32)
            rescore(flat(self.vectors_), self.dim_, flat(q), l2, found[0], ids, scores)
            return ids, scores


def scan(
    codes: Codes, terms: Floats, books: Floats, parts: int, starts: Ints, ids: NDArray[np.int32], deleted: Flags,
    q: Floats, l2: bool, weight: float, probed: Ints, coarse: Floats, k: int,
) -> Found:  # fmt: skip
    """The k best codes of the probed cells for each query [Q, D]; see :func:`.cells_kernels.scan_codes`."""
    found, scores = np.full((len(q), k), -1, np.int64), np.full((len(q), k), -np.inf, np.float32)
    dim = q.shape[1] // parts
    scan_codes(
        flat(codes), flat(terms), flat(books), parts, len(books) // (parts * dim), dim, flat(starts), flat(ids),
        flat(deleted), flat(q), l2, weight, probed, coarse, min(len(q), numba.get_num_threads()), found, scores,
    )  # fmt: skip
    return found, scores


# -- codebooks -------------------------------------------------------------------------------------------------------
def learn(x: Floats, parts: int, bits: int, seed: int, progress: bool | None) -> Floats:
    """Codebooks [M, W, D / M] of a sample."""
    first = sample(x, 1 << bits, seed).reshape(1 << bits, parts, -1).swapaxes(0, 1)
    return train(sample(x, TRAINING << bits, seed), first, ITERATIONS, progress)


def train(x: Floats, start: Floats, iterations: int, progress: bool | None = None) -> Floats:
    """Codebooks [M, W, D / M]: k-means on each part of x [N, D]."""
    dim = start.shape[2]
    return np.stack(
        [lloyd(x, start[m], iterations, m * dim, progress=False) for m in bar(range(len(start)), "codebooks", progress)]
    )


def encode(x: Floats, books: Floats) -> Codes:
    """Codes [N, M] of vectors [N, D]."""
    codes = np.empty((len(x), len(books)), np.uint8)
    for m, book in enumerate(books):
        codes[:, m] = nearest(x, stand(book), len(book), m * book.shape[1])
    return codes


def decode(codes: Codes, books: Floats) -> Floats:
    """The vectors [N, D] that codes [N, M] stand for."""
    return books[np.arange(len(books)), codes].reshape(len(codes), -1)


def stand_books(books: Floats) -> Floats:
    """Codebooks upright; those of fewer than 16 words are filled up."""
    return np.concatenate([stand(book) for book in books])


def laid_books(upright: Floats, parts: int, words: int) -> Floats:
    """The way back: codebooks [M, W, D / M]."""
    width = len(upright) // (parts * padded(words))
    return np.stack([laid_down(book, words, width) for book in upright.reshape(parts, -1)])


# -- checks ----------------------------------------------------------------------------------------------------------
def check_bits(bits: int) -> int:
    """From 1 to 8."""
    if check_whole("bits", bits) > 8:
        raise ValueError(f"bits is {bits}; the number of a codeword has to fit in a byte: at most 8")
    return int(bits)


def check_parts(x: Floats, parts: int, bits: int) -> None:
    """Whether vectors can be cut into parts, and are as many as the codewords."""
    n, dim = x.shape
    if dim % parts:
        divisors = ", ".join(str(d) for d in range(1, dim + 1) if dim % d == 0)
        raise ValueError(f"parts is {parts}, which does not divide the {dim} dimensions; take one of {divisors}")
    if n < 1 << bits:
        raise ValueError(
            f"bits is {bits}: {1 << bits} codewords need as many vectors, and there are {n}; use fewer bits"
        )


# -- fast paths ------------------------------------------------------------------------------------------------------
@fast_path(
    reference.pq_train,
    cases=cells_cases.training,
    rtol=1e-5,
    atol=1e-5,
    bench=cells_cases.training_of_size,
    sizes=cases.SIZES,
    unit="vectors",
)
def pq_train(vectors: ArrayLike, start: ArrayLike, iterations: int) -> Floats:
    """Codebooks [M, W, D / M] of vectors [N, D] from the first ones."""
    return train(np.ascontiguousarray(vectors, np.float32), np.asarray(start, np.float32), iterations)


@fast_path(reference.pq_encode, cases=cells_cases.one_vector)
def pq_encode(codebooks: ArrayLike, vector: ArrayLike) -> list[int]:
    """The code of one vector [D]: M numbers."""
    codes = encode(np.ascontiguousarray(vector, np.float32)[None], np.asarray(codebooks, np.float32))
    return [int(c) for c in codes[0]]


@fast_path(reference.pq_decode, cases=cells_cases.one_code)
def pq_decode(codebooks: ArrayLike, code: ArrayLike) -> Floats:
    """The vector [D] that a code of M numbers stands for."""
    vector: Floats = decode(np.asarray(code, np.uint8)[None], np.asarray(codebooks, np.float32))[0]
    return vector


@fast_path(reference.pq_table, cases=cells_cases.one_table, rtol=1e-5, atol=1e-6)
def pq_table(codebooks: ArrayLike, query: ArrayLike, metric: Metric = "ip") -> Floats:
    """The score of each part of a query [D] with each codeword of that part [M, W]."""
    books = np.asarray(codebooks, np.float32)
    parts, words, dim = books.shape
    table = np.empty(parts * padded(words), np.float32)
    fill_table(
        flat(stand_books(books)), parts, padded(words), dim, flat(np.asarray(query, np.float32)), 0, metric == "l2",
        np.zeros(1, np.int64), table,
    )  # fmt: skip
    return table.reshape(parts, -1)[:, :words]


@fast_path(
    reference.pq_search,
    cases=cells_cases.coded,
    rtol=1e-5,
    atol=1e-5,
    compare=cases.same_neighbours,
    bench=cells_cases.coded_of_size,
    sizes=cases.SIZES,
    unit="codes",
)
def pq_search(codebooks: ArrayLike, codes: ArrayLike, query: ArrayLike, k: int, metric: Metric = "ip") -> Any:
    """The k best codes [N, M] for one query by :class:`ProductQuantizer`: ids [k] and scores [k]."""
    books, rows = np.asarray(codebooks, np.float32), np.asarray(codes, np.uint8)
    index = ProductQuantizer(metric, parts=len(books))
    index.dim_, index.deleted_ = books[:, 0].size, np.zeros(len(rows), np.bool_)
    index.books_, index.codes_ = stand_books(books), stand(rows)
    ids, scores = index.search(np.asarray(query)[None], k)
    return ids[0], scores[0]


@fast_path(
    reference.ivfpq_search,
    cases=cells_cases.coded_cells,
    rtol=1e-5,
    atol=1e-5,
    compare=cases.same_neighbours,
    bench=cells_cases.coded_cells_of_size,
    sizes=cases.SIZES[:2],
    unit="vectors",
)
def ivfpq_search(
    vectors: ArrayLike, centroids: ArrayLike, codebooks: ArrayLike, query: ArrayLike, k: int, nprobe: int,
    metric: Metric = "ip",
) -> Any:  # fmt: skip
    """The k best vectors of one query by :class:`IVFPQ` with given centroids and codebooks: ids [k] and scores [k]."""
    x, c, books = (np.ascontiguousarray(a, np.float32) for a in (vectors, centroids, codebooks))
    index = IVFPQ(metric, nprobe=nprobe, parts=len(books))
    index.dim_, index.deleted_ = x.shape[1], np.zeros(len(x), np.bool_)
    index._fill(x, nearest(x, stand(c), len(c)), c, books)
    ids, scores = index.search(np.asarray(query)[None], k)
    return ids[0], scores[0]
