"""Compiled loops of cells and codes.

Vectors and codes lie cell by cell, and within a cell in groups of ``LANES`` rows that stand upright: coordinate 0 of
all rows of the group, then coordinate 1. So a query meets 16 rows at once in one vector instruction, and no sum has to
be taken across its lanes. The last group of a cell is filled up by rows with the id -1.

Shapes: N vectors, D dimensions, R >= N rows with those that fill up, K cells or centroids, Q queries, P probed cells,
M parts, W codewords of a part (LANES at least), k neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from rectutor.retrieval.ann.compiled import COMPILED, before, near, offer, sort_heap

Array = NDArray[Any]
LANES = 16
TILE = 64
"""Rows that meet all centroids before the next rows do."""
SHORT = 64
"""Neighbours up to which a sorted list is faster than a heap, whose branches cannot be foreseen."""
BUCKETS = 256
IN_ORDER: dict[str, Any] = COMPILED | {"fastmath": {"contract"}}
"""Sums in one order, so that equal vectors have equal scores wherever they lie."""


# -- scores of a group -----------------------------------------------------------------------------------------------
def tile(n: int, *, l2: bool) -> Callable[..., Any]:
    """Vector instructions for the scores of n queries with one group; the sums stay in registers.

    The compiled function takes the groups and where the group begins, the queries, where query 0 begins and the step
    from one to the next, an array of query numbers and the place of the n that are meant, D, and where the scores
    [n, LANES] go. Even and odd coordinates are summed apart, as one sum would wait for its own last addition.
    """

    def scores(
        _: Any, x: Any, a: Any, q: Any, b: Any, step: Any, numbers: Any, at: Any, dim: Any, out: Any, o: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            whole, lanes = ir.IntType(64), ir.VectorType(ir.FloatType(), LANES)
            nothing, to_all = ir.Constant(lanes, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)

            def data(k: int) -> Any:
                return context.make_array(signature.args[k])(context, builder, args[k]).data

            def place(pointer: Any, index: Any) -> Any:
                return builder.bitcast(builder.gep(pointer, [index]), lanes.as_pointer())

            def all_lanes(pointer: Any) -> Any:
                first = builder.insert_element(nothing, builder.load(pointer), ir.Constant(ir.IntType(32), 0))
                return builder.shuffle_vector(first, nothing, to_all)

            group, queries = builder.gep(data(0), [args[1]]), builder.gep(data(2), [args[3]])
            starts = []
            for i in range(n):
                number = builder.load(builder.gep(data(5), [builder.add(args[6], whole(i))]))
                starts.append(builder.gep(queries, [builder.mul(number, args[4])]))
            allot: Any = cgutils.alloca_once_value
            totals = [[allot(builder, ir.Constant(lanes, None)) for _ in range(2)] for _ in range(n)]

            def add(d: Any, odd: int) -> None:
                row = builder.load(place(group, builder.mul(d, whole(LANES))), align=4)
                for start, total in zip(starts, totals):
                    left = right = all_lanes(builder.gep(start, [d]))
                    if l2:
                        left = right = builder.fsub(left, row)
                    else:
                        right = row
                    product = builder.fmul(left, right, flags=("contract",))
                    join = builder.fsub if l2 else builder.fadd
                    builder.store(join(builder.load(total[odd]), product, flags=("contract",)), total[odd])

            even = builder.and_(args[7], whole(-2))
            with cgutils.for_range_slice(builder, whole(0), even, whole(2), whole) as (d, _):
                add(d, 0)
                add(builder.add(d, whole(1)), 1)
            with builder.if_then(builder.icmp_signed("<", even, args[7])):
                add(even, 0)
            for i, total in enumerate(totals):
                both = builder.fadd(builder.load(total[0]), builder.load(total[1]))
                builder.store(both, place(data(8), builder.add(args[9], whole(i * LANES))), align=4)
            return context.get_dummy_value()

        i64 = types.int64
        return types.void(x, i64, q, i64, i64, numbers, i64, i64, out, i64), emit

    return scores


product_1: Any = intrinsic(tile(1, l2=False))
product_4: Any = intrinsic(tile(4, l2=False))
distance_1: Any = intrinsic(tile(1, l2=True))
distance_4: Any = intrinsic(tile(4, l2=True))


@njit(**IN_ORDER)
def score_group(
    x: Array,
    a: int,
    q: Array,
    b: int,
    step: int,
    numbers: Array,
    at: int,
    n: int,
    dim: int,
    l2: bool,
    out: Array,
    o: int,
) -> None:
    """Scores [n, LANES] of n queries, four at most, with the group at ``x[a]``; query i begins at ``q[b + step * i]``.

    Where n is 2 or 3, four are computed.
    """
    if n > 1:
        if l2:
            distance_4(x, a, q, b, step, numbers, at, dim, out, o)
        else:
            product_4(x, a, q, b, step, numbers, at, dim, out, o)
    elif l2:
        distance_1(x, a, q, b, step, numbers, at, dim, out, o)
    else:
        product_1(x, a, q, b, step, numbers, at, dim, out, o)


@njit(**IN_ORDER)
def look_up(table: Array, words: int, codes: Array, a: int, parts: int, out: Array) -> None:
    """Add to ``out`` what the table [M * W] says of the group of codes at ``codes[a]``; 8 parts at a time."""
    at, t, w, row = np.uint64(a), np.uint64(0), np.uint64(words), np.uint64(LANES)
    m = 0
    while m + 8 <= parts:
        t1, t2, t3 = t + w, t + np.uint64(2) * w, t + np.uint64(3) * w
        t4, t5, t6, t7 = t3 + w, t3 + np.uint64(2) * w, t3 + np.uint64(3) * w, t3 + np.uint64(4) * w
        for i in range(LANES):
            j = at + np.uint64(i)
            k = j + np.uint64(4) * row
            first = table[t + np.uint64(codes[j])] + table[t1 + np.uint64(codes[j + row])]
            second = table[t2 + np.uint64(codes[j + row + row])] + table[t3 + np.uint64(codes[j + row + row + row])]
            third = table[t4 + np.uint64(codes[k])] + table[t5 + np.uint64(codes[k + row])]
            fourth = table[t6 + np.uint64(codes[k + row + row])] + table[t7 + np.uint64(codes[k + row + row + row])]
            out[np.uint64(i)] += (first + second) + (third + fourth)
        at, t, m = at + np.uint64(8) * row, t7 + w, m + 8
    while m < parts:
        for i in range(LANES):
            out[np.uint64(i)] += table[t + np.uint64(codes[at + np.uint64(i)])]
        at, t, m = at + row, t + w, m + 1


@njit(**(COMPILED | {"fastmath": {"nnan", "nsz"}}))
def highest(scores: Array, first: int) -> Any:
    """The highest of the scores of a group."""
    top = scores[np.uint64(first)]
    for j in range(1, LANES):
        top = max(top, scores[np.uint64(first) + np.uint64(j)])
    return top


@njit(**COMPILED)
def insert(scores: Array, found: Array, start: int, size: int, k: int, score: Any, i: Any) -> int:
    """Put (score, i) into the sorted list of the k best at ``start``, best first; returns its new size."""
    if size < k:
        size += 1
    elif not before(score, i, scores[start + k - 1], found[start + k - 1]):
        return size
    at = start + size - 1
    while at > start and before(score, i, scores[at - 1], found[at - 1]):
        scores[at], found[at] = scores[at - 1], found[at - 1]
        at -= 1
    scores[at], found[at] = score, i
    return size


@njit(**COMPILED)
def keep(
    out: Array, o: int, ids: Array, row: int, deleted: Array, found: Array, scores: Array, start: int, size: int, k: int
) -> int:
    """Offer the scores of the group of rows from ``row`` on to the k best at ``start``; returns how many there are."""
    last = start + k - 1 if k <= SHORT else start
    worst = scores[last]  # -inf while there are fewer than k, but in a heap
    if k > SHORT and size < k:
        worst = np.float32(-np.inf)
    if highest(out, o) < worst:
        return size
    for j in range(LANES):
        i = ids[row + j]
        if out[o + j] >= worst and i >= 0 and not deleted[i]:
            if k <= SHORT:
                size = insert(scores, found, start, size, k, out[o + j], i)
            else:
                size = offer(scores, found, start, size, k, out[o + j], i)
            if size == k:
                worst = scores[last]
    return size


@njit(**COMPILED)
def in_order(scores: Array, found: Array, start: int, size: int, k: int) -> None:
    """Best first, after the last :func:`keep`."""
    if k > SHORT:
        sort_heap(scores, found, start, size)


# -- layout ----------------------------------------------------------------------------------------------------------
@njit(**COMPILED)
def order_by_cell(cells: Array, n_cells: int) -> Any:
    """First row of each cell [K + 1] and the id in each row [R], ascending within a cell."""
    starts = np.zeros(n_cells + 1, np.int64)
    for cell in cells:
        starts[cell + 1] += 1
    for c in range(n_cells):
        starts[c + 1] = starts[c] + (starts[c + 1] + LANES - 1) // LANES * LANES
    ids, at = np.full(starts[n_cells], -1, np.int32), starts.copy()
    for i in range(len(cells)):
        ids[at[cells[i]]] = i
        at[cells[i]] += 1
    return starts, ids


@njit(parallel=True, **COMPILED)
def put_upright(rows: Array, width: int, ids: Array, upright: Array) -> None:
    """Fill ``upright`` [R * width] with rows [N * width] in the order of ``ids``."""
    for group in prange(len(ids) // LANES):
        for j in range(LANES):
            i = ids[group * LANES + j]
            if i >= 0:
                for d in range(width):
                    upright[(group * width + d) * LANES + j] = rows[i * width + d]


@njit(parallel=True, **COMPILED)
def lay_down(upright: Array, width: int, ids: Array, rows: Array) -> None:
    """The way back: fill rows [N * width] in the order of the ids."""
    for group in prange(len(ids) // LANES):
        for j in range(LANES):
            i = ids[group * LANES + j]
            if i >= 0:
                for d in range(width):
                    rows[i * width + d] = upright[(group * width + d) * LANES + j]


# -- k-means ---------------------------------------------------------------------------------------------------------
@njit(parallel=True, **IN_ORDER)
def assign(centroids: Array, n_cells: int, x: Array, b: int, step: int, dim: int, cells: Array) -> None:
    """The nearest of the upright centroids for the N vectors at ``x[b + step * i]``, to ``cells`` [N]."""
    n = len(cells)
    for tile_of_rows in prange((n + TILE - 1) // TILE):
        low = tile_of_rows * TILE
        size = min(TILE, n - low)
        numbers, out = np.minimum(np.arange(low, low + size + 3), n - 1), np.empty(4 * LANES, np.float32)
        best, cell = np.full(size, -np.inf, np.float32), np.zeros(size, np.int64)
        for first in range(0, n_cells, LANES):
            at = 0
            while at < size:
                many = min(4, size - at)
                score_group(centroids, first * dim, x, b, step, numbers, at, many, dim, True, out, 0)
                for i in range(many):
                    if highest(out, i * LANES) > best[at + i]:
                        for j in range(min(LANES, n_cells - first)):
                            if out[i * LANES + j] > best[at + i]:
                                best[at + i], cell[at + i] = out[i * LANES + j], first + j
                at += many
        for i in range(size):
            cells[low + i] = cell[i]


@njit(**COMPILED)
def move(centroids: Array, x: Array, b: int, step: int, dim: int, cells: Array) -> None:
    """Move each centroid [K * D] to the mean of its vectors; one without stays."""
    n_cells = len(centroids) // dim
    sums, counts = np.zeros(n_cells * dim, np.float64), np.zeros(n_cells, np.int64)
    for i in range(len(cells)):
        counts[cells[i]] += 1
        for d in range(dim):
            sums[cells[i] * dim + d] += x[b + step * i + d]
    for c in range(n_cells):
        if counts[c]:
            for d in range(dim):
                centroids[c * dim + d] = sums[c * dim + d] / counts[c]


# -- the cells that a query probes -----------------------------------------------------------------------------------
@njit(**(COMPILED | {"fastmath": {"nnan", "nsz"}}))
def deal(scores: Array, n: int, buckets: Array) -> None:
    """The bucket of each of n scores: equal steps from the least to the highest."""
    least, top = scores[0], scores[0]
    for j in range(n):
        least, top = min(least, scores[np.uint64(j)]), max(top, scores[np.uint64(j)])
    spread = top - least
    if np.float32(1e-30) < spread < np.float32(1e30):
        scale = np.float32(BUCKETS - 1) / spread
        for j in range(n):
            buckets[np.uint64(j)] = np.int32((scores[np.uint64(j)] - least) * scale)
    else:
        buckets[:n] = 0


@njit(parallel=True, **IN_ORDER)
def choose(centroids: Array, n_cells: int, queries: Array, dim: int, l2: bool, probed: Array, coarse: Array) -> None:
    """The P best [Q, P] of the upright centroids for each query [Q * D], and their scores, in no order.

    A heap would take most of the time. The scores are dealt to buckets, a higher score never to a lower bucket; what
    lies above the bucket of the P-th best is taken as it is, and only that one is looked at more closely.
    """
    n_queries, n_probes = probed.shape
    found, flat = probed.reshape(-1), coarse.reshape(-1)
    width = (n_cells + LANES - 1) // LANES * LANES
    for four in prange((n_queries + 3) // 4):
        low = four * 4
        many = min(4, n_queries - low)
        numbers = np.minimum(np.arange(low, low + 4), n_queries - 1)
        scores, one = np.empty(4 * width, np.float32), np.empty(width, np.float32)
        buckets, counts = np.empty(width, np.int32), np.empty(BUCKETS, np.int64)
        for first in range(0, n_cells, LANES):
            score_group(centroids, first * dim, queries, 0, dim, numbers, 0, many, dim, l2, scores, first * 4)
        for i in range(many):
            for first in range(0, width, LANES):
                for j in range(LANES):
                    one[first + j] = scores[first * 4 + i * LANES + j]
            deal(one, n_cells, buckets)
            counts[:] = 0
            for c in range(n_cells):
                counts[buckets[c]] += 1
            above, bucket = 0, BUCKETS - 1
            while above + counts[bucket] < n_probes:
                above += counts[bucket]
                bucket -= 1
            taken, start, size = (low + i) * n_probes, (low + i) * n_probes + above, 0
            for c in range(n_cells):
                if buckets[c] > bucket:
                    found[taken], flat[taken] = c, one[c]
                    taken += 1
                elif buckets[c] == bucket:
                    size = offer(flat, found, start, size, n_probes - above, one[c], c)


# -- scans -----------------------------------------------------------------------------------------------------------
@njit(parallel=True, **IN_ORDER)
def scan_vectors(
    upright: Array, dim: int, starts: Array, ids: Array, deleted: Array, queries: Array, l2: bool, probed: Array,
    shares: int, found: Array, scores: Array,
) -> None:  # fmt: skip
    """The k best [Q, k] for each of the queries [Q * D] among the vectors of its probed cells [Q, P].

    Each share of the queries goes cell by cell: a group of vectors meets all queries that probe the cell, four at a
    time, while it is in the cache.
    """
    n_cells, (n_queries, k), n_probes = len(starts) - 1, found.shape, probed.shape[1]
    flat_probed, flat_found, flat = probed.reshape(-1), found.reshape(-1), scores.reshape(-1)
    for share in prange(shares):
        low, high = n_queries * share // shares, n_queries * (share + 1) // shares
        ends = np.zeros(n_cells + 1, np.int64)
        for p in range(low * n_probes, high * n_probes):
            ends[flat_probed[p] + 1] += 1
        for c in range(n_cells):
            ends[c + 1] += ends[c]
        askers = np.full((high - low) * n_probes + 3, low)  # four are read where fewer are meant
        for p in range(low * n_probes, high * n_probes):
            askers[ends[flat_probed[p]]] = p // n_probes
            ends[flat_probed[p]] += 1
        sizes, out = np.zeros(high - low, np.int64), np.empty(4 * LANES, np.float32)
        for c in range(n_cells):
            begin, end = ends[c - 1] if c else 0, ends[c]
            for row in range(starts[c], starts[c + 1] if begin < end else starts[c], LANES):
                at = begin
                while at < end:
                    many = min(4, end - at)
                    score_group(upright, row * dim, queries, 0, dim, askers, at, many, dim, l2, out, 0)
                    for j in range(many):
                        i = askers[at + j]
                        size = sizes[i - low]
                        sizes[i - low] = keep(out, j * LANES, ids, row, deleted, flat_found, flat, i * k, size, k)
                    at += many
        for i in range(low, high):
            in_order(flat, flat_found, i * k, sizes[i - low], k)


@njit(**IN_ORDER)
def fill_table(
    books: Array, parts: int, words: int, dim: int, queries: Array, start: int, l2: bool, number: Array, table: Array
) -> None:
    """Scores [M * W] of the parts of the query at ``queries[start]`` with their codewords."""
    for m in range(parts):
        for w in range(0, words, LANES):
            a = (m * words + w) * dim
            score_group(books, a, queries, start + m * dim, 0, number, 0, 1, dim, l2, table, m * words + w)


@njit(parallel=True, **IN_ORDER)
def scan_codes(
    codes: Array, terms: Array, books: Array, parts: int, words: int, dim: int, starts: Array, ids: Array,
    deleted: Array, queries: Array, l2: bool, weight: float, probed: Array, coarse: Array, shares: int, found: Array,
    scores: Array,
) -> None:  # fmt: skip
    """The k best [Q, k] for each query by its table.

    A score is that of the cell, ``coarse`` [Q, P], plus weight times what is looked up, plus the term of the row;
    ``terms`` is [R], or empty where there are none.
    """
    (n_queries, k), n_probes = found.shape, probed.shape[1]
    flat_probed, flat_coarse = probed.reshape(-1), coarse.reshape(-1)
    flat_found, flat = found.reshape(-1), scores.reshape(-1)
    for share in prange(shares):
        table, out, number = np.empty(parts * words, np.float32), np.empty(LANES, np.float32), np.zeros(1, np.int64)
        for i in range(n_queries * share // shares, n_queries * (share + 1) // shares):
            fill_table(books, parts, words, dim, queries, i * parts * dim, l2, number, table)
            for t in range(parts * words):
                table[t] *= np.float32(weight)
            size = 0
            for p in range(i * n_probes, (i + 1) * n_probes):
                c = flat_probed[p]
                for row in range(starts[c], starts[c + 1], LANES):
                    for j in range(LANES):
                        out[j] = flat_coarse[p]
                    if len(terms):
                        for j in range(LANES):
                            out[j] += terms[row + j]
                    look_up(table, words, codes, row * parts, parts, out)
                    size = keep(out, 0, ids, row, deleted, flat_found, flat, i * k, size, k)
            in_order(flat, flat_found, i * k, size, k)


@njit(parallel=True, **COMPILED)
def rescore(vectors: Array, dim: int, queries: Array, l2: bool, candidates: Array, found: Array, scores: Array) -> None:
    """The k best [Q, k] of the candidates [Q, C], -1 where there are fewer, by the vectors [N * D] themselves."""
    (n_queries, k), n = found.shape, candidates.shape[1]
    flat_found, flat = found.reshape(-1), scores.reshape(-1)
    for q in prange(n_queries):
        size = 0
        for c in range(n):
            i = candidates[q, c]
            if i >= 0:
                size = offer(flat, flat_found, q * k, size, k, near(queries, q, vectors, i, dim, l2), i)
        sort_heap(flat, flat_found, q * k, size)
