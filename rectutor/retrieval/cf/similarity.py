"""Similarities of items or users, each row keeping its k greatest: sparse products that never hold n x n numbers.

A row of the similarity matrix is computed whole in an array of n numbers, its k greatest entries are copied out, the
array is used again for the next row. Blocks of rows are spread over threads; a row does not depend on its block, so
the result does not depend on the number of threads.

Options that all measures share:

- ``by``: "item" compares the columns of the user-item matrix, "user" its rows.
- ``k``: neighbours kept of each row, the most similar ones, ties to the lower code; None keeps all. A row is no
  neighbour of its own, and rows without a common rater (``by="item"``; a common item with "user") are no neighbours.
- ``shrink``: similarities of few common raters are drawn to 0 by the factor common / (common + shrink).
- ``min_common``: pairs with fewer common raters are no neighbours.

An interaction with value 0 is an interaction all the same. Results are float32 CSR arrays [n, n] with ascending codes
in each row, computed in 64 bits; neighbours are ranked in 32 bits, so that of two similarities that differ by less
than 1e-7 of their size either may be kept. All raise ValueError for empty interactions, values that are not finite and
options out of range, TypeError for other kinds of input.

Shapes: n rows that are compared (items or users), m links (users or items), N stored interactions, k neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse
from tqdm import tqdm

from rectutor.data.interactions import Interactions
from rectutor.fastpath import fast_path
from rectutor.retrieval.cf import cases, reference
from rectutor.retrieval.cf.matrix import as_matrix

By = Literal["item", "user"]
Neighbourhood = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]
"""Of a block of rows: how many neighbours each has, their codes (ascending in a row), their similarities."""

LANES = 32  # a row of similarities is searched in groups of this size, by their maxima
CHUNK = 1 << 10  # similarities computed at once, so that their maxima are taken while they are in the cache
BUFFER = 1 << 20  # neighbours that a block of rows may hold before they are copied out
FLAT = 1e-12  # a variance below this part of the mean square is rounding, not variation


# -- input -------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Links:
    """The interactions from both sides: the links of each row, and the rows of each link, codes ascending."""

    start: NDArray[np.int64]  # [n + 1]
    link: NDArray[np.uint32]  # [N]; unsigned, since compiled code checks signed indices for being negative
    value: NDArray[np.float32] | None  # [N]; None where all values are equal
    back_start: NDArray[np.int64]  # [m + 1]
    back_row: NDArray[np.uint32]  # [N]
    back_value: NDArray[np.float32] | None  # [N]
    constant: float  # the common value where value is None

    @property
    def n(self) -> int:
        return len(self.start) - 1

    @property
    def m(self) -> int:
        return len(self.back_start) - 1

    @property
    def degree(self) -> NDArray[np.int64]:
        """How many links each row has, [n]."""
        return np.diff(self.start)


@njit(cache=True, nogil=True)
def _transpose(
    start: NDArray[np.int64],
    column: NDArray[np.uint32],
    value: NDArray[np.float32],
    turned_start: NDArray[np.int64],
    row: NDArray[np.uint32],
    turned_value: NDArray[np.float32],
) -> None:
    """Write the CSR arrays of the transposed matrix by a counting sort; without values where ``value`` is empty.

    ``turned_start`` [columns + 1] comes as zeros.
    """
    n_columns = len(turned_start) - 1
    for c in column:
        turned_start[c + 1] += 1
    for c in range(n_columns):
        turned_start[c + 1] += turned_start[c]
    free = turned_start[:-1].copy()
    for r in range(len(start) - 1):
        for p in range(start[r], start[r + 1]):
            q = free[column[p]]
            free[column[p]] += 1
            row[q] = r
            if len(value) > 0:
                turned_value[q] = value[p]


def _links(interactions: Interactions | sparse.csr_array, by: str, *, binary: bool = False) -> _Links:
    if by not in ("item", "user"):
        raise ValueError(f'by is {by!r}; say "item" or "user"')
    matrix = as_matrix(interactions)
    start, column = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32, copy=False).view(np.uint32)
    constant = float(matrix.data[0])
    plain = binary or (constant != 0 and matrix.data.min() == matrix.data.max())
    value = np.empty(0, np.float32) if plain else matrix.data.astype(np.float32, copy=False)
    turned_start = np.zeros(matrix.shape[1] + 1, dtype=np.int64)
    row, turned_value = np.empty(len(column), dtype=np.uint32), np.empty(len(value), dtype=np.float32)
    _transpose(start, column, value, turned_start, row, turned_value)
    users = (start, column, None if plain else value)
    items = (turned_start, row, None if plain else turned_value)
    return _Links(*items, *users, constant) if by == "item" else _Links(*users, *items, constant)


def _check(k: int | None, shrink: float, min_common: int) -> None:
    if k is not None and k < 1:
        raise ValueError(f"k is {k}; keep at least one neighbour, or say None to keep all")
    if not 0 <= shrink < np.inf:
        raise ValueError(f"shrink is {shrink}; it is a number of common raters, finite and >= 0")
    if min_common < 1:
        raise ValueError(f"min_common is {min_common}; rows without a common rater have no similarity, say 1 or more")


# -- selection ---------------------------------------------------------------------------------------
@njit(cache=True, fastmath={"nnan", "nsz"})
def _maxima(row: NDArray[np.float32], maxima: NDArray[np.float32], first: int, last: int) -> None:
    """The greatest entry of each group of LANES in row[first:last]; ``first`` begins a group, NaN does not occur."""
    for group in range(first // LANES, (last + LANES - 1) // LANES):
        begin, end = group * LANES, min(last, group * LANES + LANES)
        greatest = np.float32(-np.inf)
        if end - begin == LANES:
            for lane in range(LANES):  # a fixed count of steps becomes two vector instructions
                greatest = max(greatest, row[begin + lane])
        else:
            for j in range(begin, end):
                greatest = max(greatest, row[j])
        maxima[group] = greatest


@njit(cache=True)
def _lower_bound(maxima: NDArray[np.float32], k: int) -> np.float32:
    """A value that at least k groups reach, so that the k greatest entries reach it too; -inf where there is none."""
    below = np.float32(np.inf)
    above = np.float32(-np.inf)
    alive = 0
    for group in range(len(maxima)):
        value = maxima[group]
        alive += value > -np.inf
        above = max(above, value)
        if value > -np.inf:
            below = min(below, value)
    if alive < k:
        return np.float32(-np.inf)
    for _ in range(14):  # bisection; it may stop early, since any value that k groups reach will do
        middle = np.float32(0.5) * (below + above)
        reached = np.int32(0)
        for group in range(len(maxima)):
            reached += np.int32(maxima[group] >= middle)
        if reached >= k:
            below = middle
            if reached <= k + (k >> 3):
                break
        else:
            above = middle
    return below


@njit(cache=True)
def _keep(
    row: NDArray[np.float32],
    maxima: NDArray[np.float32],
    candidates: NDArray[np.int32],
    heap: NDArray[np.float32],
    codes: NDArray[np.int32],
) -> int:
    """Write the codes of the len(heap) greatest entries of ``row`` [n] above -inf, ascending; return how many.

    Of equal values the lower codes stay. Most of the row is settled by the ``maxima`` of its groups; ``candidates``
    [n] and ``heap`` [k] are scratch.
    """
    n = len(row)
    k = len(heap)
    never = np.float32(-np.inf)
    bound = _lower_bound(maxima, k)
    count = 0
    for group in range(len(maxima)):
        if maxima[group] >= bound and maxima[group] > never:
            part = row[group * LANES : min(n, group * LANES + LANES)]
            for lane in range(len(part)):
                if (part[lane] >= bound) & (part[lane] > never):
                    candidates[count] = group * LANES + lane
                    count += 1
    if count <= k:
        codes[:count] = candidates[:count]
        return count
    for p in range(count):  # the k-th greatest candidate: a heap with the least kept value at its root
        value = row[candidates[p]]
        if p < k:
            hole = p
            while hole > 0 and heap[(hole - 1) >> 1] > value:
                heap[hole] = heap[(hole - 1) >> 1]
                hole = (hole - 1) >> 1
            heap[hole] = value
        elif value > heap[0]:
            hole = 0
            while True:
                child = 2 * hole + 1
                if child >= k:
                    break
                if child + 1 < k and heap[child + 1] < heap[child]:
                    child += 1
                if heap[child] >= value:
                    break
                heap[hole] = heap[child]
                hole = child
            heap[hole] = value
    least = heap[0]
    room = 0  # how many entries equal to it were kept
    for p in range(k):
        room += heap[p] == least
    found = 0
    for p in range(count):
        j = candidates[p]
        if row[j] > least:
            codes[found] = j
            found += 1
        elif row[j] == least and room > 0:
            codes[found] = j
            found += 1
            room -= 1
    return found


def _in_blocks(work: Callable[[int, int], Neighbourhood], n: int, k: int, label: str) -> sparse.csr_array:
    """Run ``work(first, last)`` over blocks of the n rows on numba's number of threads; stack the neighbourhoods."""
    threads = numba.get_num_threads()
    rows = max(1, min(-(-n // (16 * threads)), 256, BUFFER // k))
    found: list[NDArray[Any]] = [part.copy() for part in work(0, 1)]  # compilation is over before the bar starts
    with ThreadPoolExecutor(threads) as pool, tqdm(total=n - 1, desc=label, unit="row", delay=2.0, leave=False) as bar:
        for part in pool.map(lambda first: work(first, min(n, first + rows)), range(1, n, rows)):
            pieces: tuple[NDArray[Any], ...] = part
            for whole, more in zip(found, pieces, strict=True):
                whole.resize(len(whole) + len(more), refcheck=False)  # in place: the parts never stand twice
                whole[len(whole) - len(more) :] = more
            bar.update(len(part[0]))
    counts, codes, values = found
    index_type = np.int32 if len(codes) < 2**31 else np.int64
    start = np.concatenate([[0], np.cumsum(counts)]).astype(index_type)
    return sparse.csr_array((values, codes.astype(index_type, copy=False), start), shape=(n, n))


def _trimmed(counts: NDArray[np.int64], codes: NDArray[np.int32], values: NDArray[np.float32]) -> Neighbourhood:
    """Drop the unused ends of the rows of a block, [rows, k] to flat."""
    used = np.arange(codes.shape[1]) < counts[:, None]  # [rows, k]
    if used.all():
        return counts, codes.ravel(), values.ravel()
    return counts, codes[used], values[used]


# -- sums of products: counts, dot products ----------------------------------------------------------
@njit(cache=True, nogil=True, error_model="numpy")
def _product_rows(
    first: int,
    last: int,
    start: NDArray[np.int64],
    link: NDArray[np.uint32],
    value: Any,
    back_start: NDArray[np.int64],
    back_row: NDArray[np.uint32],
    back_value: Any,
    total: NDArray[Any],
    common: NDArray[Any],
    counting: bool,
    term: NDArray[np.float64],
    other_term: NDArray[np.float64],
    scale: NDArray[np.float64],
    other_scale: NDArray[np.float64],
    union: bool,
    shrink: float,
    min_common: int,
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Neighbours of rows first to last - 1 from t = the sum over common links: a count (no values) or of products.

    s = (t - term_i other_term_j) scale_i other_scale_j or, where ``union`` is set, t / (term_i + other_term_j - t).
    A row of scale 0 has no similarity to any other.

    ``total`` [n] comes as zeros; its type is the accumulator's. ``common`` [n] holds the number of common links: it is
    ``total`` itself where there are no values; else it comes as zeros and is kept only if ``counting``.
    """
    n = len(total)
    similarity = np.empty(n, np.float32)  # of the current row; ranked in 32 bits, what is kept is computed in 64
    maxima = np.empty((n + LANES - 1) // LANES, np.float32)
    candidates = np.empty(n + 1, np.int32)
    heap = np.empty(k, np.float32)
    term32 = other_term.astype(np.float32)
    scale32 = other_scale.astype(np.float32)
    shrink32 = np.float32(shrink)
    counts = np.zeros(last - first, np.int64)
    codes = np.empty((last - first, k), np.int32)
    values = np.empty((last - first, k), np.float32)
    never, zero = np.float32(-np.inf), np.float32(0)
    uncounted = value is not None and not counting
    least = np.float32(np.inf) if uncounted else np.float32(min_common)
    for i in range(first, last):
        if scale[i] == 0:
            continue
        for p in range(start[i], start[i + 1]):
            u = link[p]
            if value is None:
                for j in back_row[back_start[u] : back_start[u + 1]]:
                    total[j] += 1
            else:
                x = np.float64(value[p])  # sums in 64 bits
                for q in range(back_start[u], back_start[u + 1]):
                    total[back_row[q]] += x * back_value[q]
                if counting:
                    for j in back_row[back_start[u] : back_start[u + 1]]:
                        common[j] += 1
        a = np.float32(term[i])
        for begin in range(0, n, CHUNK):
            end = min(n, begin + CHUNK)
            sums, out = total[begin:end], similarity[begin:end]
            met = common[begin:end]
            b, d = term32[begin:end], scale32[begin:end]
            if union:
                for j in range(end - begin):
                    t = np.float32(sums[j])
                    out[j] = t / (a + b[j] - t)
            else:
                for j in range(end - begin):
                    out[j] = (np.float32(sums[j]) - a * b[j]) * d[j]
            if shrink > 0:
                for j in range(end - begin):
                    out[j] *= np.float32(met[j]) / (np.float32(met[j]) + shrink32)
            for j in range(end - begin):
                known = (uncounted & (sums[j] != 0)) | (np.float32(met[j]) >= least)
                out[j] = out[j] if known & (d[j] != zero) else never
            if begin <= i < end:
                similarity[i] = -np.inf
            _maxima(similarity, maxima, begin, end)
        found = _keep(similarity, maxima, candidates, heap, codes[i - first])
        counts[i - first] = found
        for p in range(found):
            j = codes[i - first, p]
            exact = np.float64(total[j])
            if union:
                s = exact / (term[i] + other_term[j] - exact)
            else:
                s = (exact - term[i] * other_term[j]) * scale[i] * other_scale[j]
            if shrink > 0:
                shared = np.float64(common[j])
                s *= shared / (shared + shrink)
            values[i - first, p] = s
        total[:] = 0
        if counting:
            common[:] = 0
    return counts, codes, values


def _products(
    links: _Links,
    label: str,
    k: int | None,
    shrink: float,
    min_common: int,
    *,
    term: NDArray[np.float64] | None = None,
    other_term: NDArray[np.float64] | None = None,
    scale: NDArray[np.float64] | None = None,
    other_scale: NDArray[np.float64] | None = None,
    union: bool = False,
    link_weight: NDArray[np.float64] | None = None,
) -> sparse.csr_array:
    """Check the options, choose the accumulator, run :func:`_product_rows` over all rows."""
    n = links.n
    zeros, ones = np.zeros(n), np.ones(n)
    term = zeros if term is None else term
    other_term = zeros if other_term is None else other_term
    scale = ones if scale is None else scale
    other_scale = ones if other_scale is None else other_scale
    value, back_value = links.value, links.back_value
    if link_weight is not None:
        weight = link_weight.astype(np.float32)[links.link]
        value = weight if value is None else weight * value
        back_value = np.ones(len(links.back_row), dtype=np.float32) if back_value is None else back_value
    kind: Any = np.float64
    counting = False
    if value is None:
        kind = np.uint16 if links.degree.max() < 2**16 else np.uint32
    else:
        counting = shrink > 0 or min_common > 1 or bool(term.any() or value.min() <= 0)  # else a sum is 0 only if empty
    kept = n if k is None else min(k, n)

    def work(first: int, last: int) -> Neighbourhood:
        total = np.zeros(n, dtype=kind)
        common = total if value is None else np.zeros(n, dtype=np.int32)
        return _trimmed(
            *_product_rows(
                first, last, links.start, links.link, value, links.back_start, links.back_row, back_value,
                total, common, counting, term, other_term, scale, other_scale, union, float(shrink), min_common, kept,
            )
        )  # fmt: skip

    return _in_blocks(work, n, kept, label)


def _power(base: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """base ** exponent, 0 where the base is 0: a row without links has no similarity, whatever the exponent."""
    result = np.zeros(len(base))
    np.power(base, exponent, out=result, where=base > 0)
    return result


@njit(cache=True, nogil=True)
def _row_sums(
    start: NDArray[np.int64], value: NDArray[np.float32], total: NDArray[np.float64], square: NDArray[np.float64]
) -> None:
    for i in range(len(total)):
        for p in range(start[i], start[i + 1]):
            total[i] += value[p]
            square[i] += np.float64(value[p]) * np.float64(value[p])


def _sums(links: _Links) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and sum of squares of the values of each row, [n] each; of ones where all values are equal."""
    if links.value is None:
        count = links.degree.astype(np.float64)
        return count, count
    total, square = np.zeros(links.n), np.zeros(links.n)
    _row_sums(links.start, links.value, total, square)
    return total, square


@fast_path(
    reference.jaccard,
    cases=cases.sets,
    rtol=1e-6,
    compare=cases.same_neighbours,
    bench=cases.growing_clicks,
    sizes=cases.SIZES,
    unit="interactions",
)
def jaccard(
    interactions: Interactions | sparse.csr_array,
    *,
    by: By = "item",
    k: int | None = 50,
    shrink: float = 0.0,
    min_common: int = 1,
) -> sparse.csr_array:
    r"""Part of the raters of either that both share, Jaccard (1901). Values do not count; shared options above.

    .. math:: s(i, j) = \frac{|U_i \cap U_j|}{|U_i \cup U_j|}

    >>> clicks = sparse.csr_array(np.array([[1, 1, 0], [1, 1, 1], [1, 0, 1]]))
    >>> print(jaccard(clicks).toarray()[1].round(3))
    [0.667 0.    0.333]
    """
    links = _links(interactions, by, binary=True)
    _check(k, shrink, min_common)
    size = links.degree.astype(np.float64)
    return _products(links, "Jaccard", k, shrink, min_common, term=size, other_term=size, union=True)


@fast_path(
    reference.dot,
    cases=cases.sums,
    rtol=1e-6,
    compare=cases.same_neighbours,
    bench=cases.growing_stars,
    sizes=cases.SIZES,
    unit="interactions",
)
def dot(
    interactions: Interactions | sparse.csr_array,
    *,
    by: By = "item",
    k: int | None = 50,
    shrink: float = 0.0,
    min_common: int = 1,
) -> sparse.csr_array:
    r"""Inner product of two rows, for weighted counts whose lengths mean something (BM25); shared options above.

    .. math:: s(i, j) = \sum_u x_{ui} x_{uj}

    >>> dot(sparse.csr_array(np.array([[1.0, 2.0], [3.0, 1.0]]))).toarray().tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    links = _links(interactions, by)
    _check(k, shrink, min_common)
    scale = np.full(links.n, links.constant**2) if links.value is None else None
    return _products(links, "dot", k, shrink, min_common, scale=scale)


@fast_path(
    reference.cosine,
    cases=cases.cosines,
    rtol=1e-6,
    compare=cases.same_neighbours,
    bench=cases.growing_clicks,
    sizes=cases.SIZES,
    unit="interactions",
)
def cosine(
    interactions: Interactions | sparse.csr_array,
    *,
    by: By = "item",
    k: int | None = 50,
    shrink: float = 0.0,
    min_common: int = 1,
    damping: float = 0.5,
    iuf: bool = False,
) -> sparse.csr_array:
    r"""Cosine of the angle between two rows, with popularity damping and inverse user frequency; shared options above.

    .. math:: s(i, j) = \frac{\sum_u w_u x_{ui} x_{uj}}{\|x_i\|^{2 (1 - a)} \|x_j\|^{2 a}}

    On clicks the squared norm is the number of raters, so this is :math:`|U_i \cap U_j| / (|U_i|^{1-a} |U_j|^a)`.

    Args:
        damping: a, between 0 and 1; 0.5 is the plain cosine, more holds popular neighbours j down (and makes the
            similarity asymmetric).
        iuf: weigh each common user in the numerator by :math:`w_u = 1 / \ln(1 + |I_u|)`, Breese, Heckerman and Kadie,
            UAI 1998, in the form common for clicks: busy users say less. A user with one item has w = 1 / ln 2 > 1.

    Rows whose values are all zero have no cosine.

    >>> clicks = sparse.csr_array(np.array([[1, 1, 0], [1, 1, 1], [1, 0, 1], [1, 0, 0]]))
    >>> for damping in (0.5, 1.0):
    ...     print(cosine(clicks, damping=damping).toarray()[1].round(3))
    [0.707 0.    0.5  ]
    [0.5 0.  0.5]
    """
    links = _links(interactions, by)
    _check(k, shrink, min_common)
    if not 0 <= damping <= 1:
        raise ValueError(f"damping is {damping}; it lies between 0 and 1, and 0.5 is the plain cosine")
    _, square = _sums(links)  # counts will do for equal values: neither cosine nor r changes with the common value
    scale, other_scale = _power(square, damping - 1), _power(square, -damping)
    weight = 1 / np.log1p(np.maximum(np.diff(links.back_start), 1)) if iuf else None
    return _products(links, "cosine", k, shrink, min_common, scale=scale, other_scale=other_scale, link_weight=weight)


# -- statistics over the common links ----------------------------------------------------------------
@njit(cache=True, nogil=True, error_model="numpy")
def _common_rows(
    first: int,
    last: int,
    start: NDArray[np.int64],
    link: NDArray[np.uint32],
    value: NDArray[np.float32],
    back_start: NDArray[np.int64],
    back_row: NDArray[np.uint32],
    back_value: NDArray[np.float32],
    moment: NDArray[np.float64],
    centred: bool,
    shrink: float,
    min_common: int,
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Neighbours by the correlation over common links; ``centred`` takes the means over these off first.

    ``moment`` [n, 6] comes as zeros and gathers, for each other row, n, x, y, xx, yy and xy.
    """
    n = len(moment)
    exact = np.empty(n)
    similarity = np.empty(n, np.float32)
    maxima = np.empty((n + LANES - 1) // LANES, np.float32)
    candidates = np.empty(n + 1, np.int32)
    heap = np.empty(k, np.float32)
    counts = np.zeros(last - first, np.int64)
    codes = np.empty((last - first, k), np.int32)
    values = np.empty((last - first, k), np.float32)
    for i in range(first, last):
        for p in range(start[i], start[i + 1]):
            u = link[p]
            x = np.float64(value[p])
            for q in range(back_start[u], back_start[u + 1]):
                y = np.float64(back_value[q])
                m = moment[back_row[q]]
                m[0] += 1.0
                m[1] += x
                m[2] += y
                m[3] += x * x
                m[4] += y * y
                m[5] += x * y
        for j in range(n):
            m = moment[j]
            common = m[0]
            exact[j] = -np.inf
            if common >= min_common and j != i:
                xx, yy, xy = m[3], m[4], m[5]
                if centred:
                    xx -= m[1] * m[1] / common
                    yy -= m[2] * m[2] / common
                    xy -= m[1] * m[2] / common
                if xx > FLAT * m[3] and yy > FLAT * m[4]:
                    exact[j] = xy / np.sqrt(xx * yy) * (common / (common + shrink))
            similarity[j] = exact[j]
        _maxima(similarity, maxima, 0, n)
        found = _keep(similarity, maxima, candidates, heap, codes[i - first])
        counts[i - first] = found
        for p in range(found):
            values[i - first, p] = exact[codes[i - first, p]]
        moment[:] = 0
    return counts, codes, values


def _over_common(
    links: _Links, label: str, k: int | None, shrink: float, min_common: int, *, centred: bool
) -> sparse.csr_array:
    n = links.n
    size = len(links.link)
    value = np.full(size, links.constant, dtype=np.float32) if links.value is None else links.value
    back_value = np.full(size, links.constant, dtype=np.float32) if links.back_value is None else links.back_value
    kept = n if k is None else min(k, n)

    def work(first: int, last: int) -> Neighbourhood:
        return _trimmed(
            *_common_rows(
                first, last, links.start, links.link, value, links.back_start, links.back_row, back_value,
                np.zeros((n, 6)), centred, float(shrink), min_common, kept,
            )
        )  # fmt: skip

    return _in_blocks(work, n, kept, label)


@fast_path(
    reference.pearson,
    cases=cases.correlations,
    rtol=1e-6,
    atol=1e-7,
    compare=cases.same_neighbours,
    bench=cases.growing_stars,
    sizes=cases.SIZES,
    unit="interactions",
)
def pearson(
    interactions: Interactions | sparse.csr_array,
    *,
    by: By = "item",
    k: int | None = 50,
    shrink: float = 0.0,
    min_common: int = 1,
    over: Literal["common", "all"] | None = None,
) -> sparse.csr_array:
    r"""Pearson's correlation of two rows; shared options above.

    .. math:: r(i, j) = \frac{\sum_u (x_{ui} - \bar x_i)(x_{uj} - \bar x_j)}
        {\sqrt{\sum_u (x_{ui} - \bar x_i)^2} \sqrt{\sum_u (x_{uj} - \bar x_j)^2}}

    Args:
        over: what u and the means run over. "common": the users who rated both, as Resnick et al. (1994) have it for
            ratings; a pair one of whose rows does not vary there (one common rater, say) has no correlation. "all":
            every user, an absent value counting as 0, as is usual for clicks, where it is the phi coefficient; only
            pairs with a common user are kept, the others all correlate negatively. None: "common" where values differ,
            "all" where they are one and the same, since then nothing varies among common raters.

    >>> stars = sparse.csr_array(np.array([[5.0, 4, 5], [3, 2, 4], [4, 3, 3]]))  # users d, e, f
    >>> pearson(stars, by="item", k=1).toarray().round(2).tolist()[0]
    [0.0, 1.0, 0.0]
    """
    links = _links(interactions, by)
    _check(k, shrink, min_common)
    if over not in (None, "common", "all"):
        raise ValueError(f'over is {over!r}; say "common", "all" or None')
    if over == "common" or (over is None and links.value is not None):
        return _over_common(links, "Pearson", k, shrink, min_common, centred=True)
    total, square = _sums(links)
    variance = square - total * total / links.m
    variance[variance <= FLAT * square] = 0.0
    spread = _power(variance, -0.5)
    return _products(
        links,
        "Pearson",
        k,
        shrink,
        min_common,
        term=total,
        other_term=total / links.m,
        scale=spread,
        other_scale=spread,
    )


@njit(cache=True, nogil=True)
def _deviations(
    start: NDArray[np.int64], column: NDArray[np.uint32], value: NDArray[np.float32], n_columns: int, of_rows: bool
) -> NDArray[np.float32]:
    """Each stored value less the mean of the values of its row, or of its column; [N]."""
    size = len(start) - 1 if of_rows else n_columns
    total, count = np.zeros(size), np.zeros(size)
    for r in range(len(start) - 1):
        for p in range(start[r], start[r + 1]):
            group = np.uint32(r) if of_rows else column[p]
            total[group] += value[p]
            count[group] += 1.0
    result = np.empty(len(value), np.float32)
    for r in range(len(start) - 1):
        for p in range(start[r], start[r + 1]):
            group = np.uint32(r) if of_rows else column[p]
            result[p] = value[p] - total[group] / count[group]
    return result


@fast_path(
    reference.adjusted_cosine,
    cases=cases.ratings,
    rtol=1e-6,
    atol=1e-7,
    compare=cases.same_neighbours,
    bench=cases.growing_stars,
    sizes=cases.SIZES,
    unit="interactions",
)
def adjusted_cosine(
    interactions: Interactions | sparse.csr_array,
    *,
    by: By = "item",
    k: int | None = 50,
    shrink: float = 0.0,
    min_common: int = 1,
) -> sparse.csr_array:
    r"""Cosine over common raters after each rater's mean is taken off, Sarwar et al., WWW 2001; shared options above.

    .. math:: s(i, j) = \frac{\sum_{u \in U_i \cap U_j} (r_{ui} - \bar r_u)(r_{uj} - \bar r_u)}
        {\sqrt{\sum_{u \in U_i \cap U_j} (r_{ui} - \bar r_u)^2}
        \sqrt{\sum_{u \in U_i \cap U_j} (r_{uj} - \bar r_u)^2}}

    The mean is over everything the rater rated. With ``by="user"`` the roles change: each item's mean is taken off.
    A pair of which one side is left with zeros has no similarity.

    >>> stars = sparse.csr_array(np.array([[5.0, 4, 3], [2, 1, 0.5]]))
    >>> adjusted_cosine(stars, k=1).toarray().astype(float).round(3).tolist()[0]
    [0.0, -0.64, 0.0]
    """
    matrix = as_matrix(interactions)
    start, column = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32, copy=False).view(np.uint32)
    value = matrix.data.astype(np.float32, copy=False)
    deviation = _deviations(start, column, value, matrix.shape[1], by == "item")
    links = _links(sparse.csr_array((deviation, matrix.indices, matrix.indptr), shape=matrix.shape), by)
    _check(k, shrink, min_common)
    return _over_common(links, "adjusted cosine", k, shrink, min_common, centred=False)


# -- Swing -------------------------------------------------------------------------------------------
@njit(cache=True, nogil=True, error_model="numpy")
def _swing_rows(
    first: int,
    last: int,
    start: NDArray[np.int64],
    link: NDArray[np.uint32],
    back_start: NDArray[np.int64],
    back_row: NDArray[np.uint32],
    weight: NDArray[np.float64],
    alpha: float,
    shrink: float,
    min_common: int,
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Neighbours by Swing. Of row i, only its own links matter: they are numbered 0, 1, ... in their order.

    ``member`` lists, row j by row j, the numbers of the links that j shares with i. For link u, the lists of u's rows
    say how many rows u shares with each later link v; the same lists, walked again, hand the term of (u, v) to every
    row j that has both. Each (i, u, v, j) costs two steps, and nothing larger than the lists is held.
    """
    n = len(start) - 1
    exact = np.zeros(n)
    similarity = np.empty(n, np.float32)
    maxima = np.empty((n + LANES - 1) // LANES, np.float32)
    candidates = np.empty(n + 1, np.int32)
    heap = np.empty(k, np.float32)
    counts = np.zeros(last - first, np.int64)
    codes = np.empty((last - first, k), np.int32)
    values = np.empty((last - first, k), np.float32)
    begin = np.empty(n + 1, np.int64)
    head = np.empty(n, np.int64)
    for i in range(first, last):
        mine = link[start[i] : start[i + 1]]
        begin[:] = 0
        for u in mine:
            for j in back_row[back_start[u] : back_start[u + 1]]:
                begin[j + 1] += 1
        for j in range(n):
            begin[j + 1] += begin[j]
        head[:] = begin[:-1]
        member = np.empty(begin[n], np.int32)
        for a in range(len(mine)):
            u = mine[a]
            for j in back_row[back_start[u] : back_start[u + 1]]:
                member[head[j]] = a
                head[j] += 1
        head[:] = begin[:-1]
        shared = np.zeros(len(mine), np.float64)  # rows that u and v share; then the term of (u, v)
        exact[:] = 0.0
        for a in range(len(mine)):
            u = mine[a]
            rows = back_row[back_start[u] : back_start[u + 1]]
            shared[a + 1 :] = 0.0
            for j in rows:
                head[j] += 1  # past u itself: only later links v remain
                for v in member[head[j] : begin[j + 1]]:
                    shared[v] += 1.0
            for v in range(a + 1, len(mine)):
                shared[v] = weight[u] * weight[mine[v]] / (alpha + shared[v])
            for j in rows:
                for v in member[head[j] : begin[j + 1]]:
                    exact[j] += shared[v]
        for j in range(n):
            common = begin[j + 1] - begin[j]
            if common > 0:
                exact[j] *= common / (common + shrink)
            similarity[j] = exact[j] if common >= min_common and j != i else -np.inf
        _maxima(similarity, maxima, 0, n)
        found = _keep(similarity, maxima, candidates, heap, codes[i - first])
        counts[i - first] = found
        for p in range(found):
            values[i - first, p] = exact[codes[i - first, p]]
    return counts, codes, values


@fast_path(
    reference.swing,
    cases=cases.swings,
    rtol=1e-6,
    compare=cases.same_neighbours,
    bench=cases.growing_clicks,
    sizes=cases.SIZES,
    unit="interactions",
)
def swing(
    interactions: Interactions | sparse.csr_array,
    *,
    by: By = "item",
    k: int | None = 50,
    shrink: float = 0.0,
    min_common: int = 2,
    alpha: float = 1.0,
    weighted: bool = True,
) -> sparse.csr_array:
    r"""Swing: common users count the more, the less else each two of them have in common; shared options above.

    Yang et al., Large scale product graph construction for recommendation in e-commerce, 2020 (arXiv:2010.05525).

    .. math:: s(i, j) = \sum_{u < v;\; u, v \in U_i \cap U_j} \frac{w_u w_v}{\alpha + |I_u \cap I_v|}

    Each unordered pair of common users counts once, a user is never paired with himself; values do not count.

    Args:
        alpha: smoothing, >= 0.
        weighted: :math:`w_u = 1 / \sqrt{|I_u|}`, so that busy users say less; else every w is 1.
        min_common: at least 2, a pair of users.

    Time grows with the squares of what pairs of users share; memory with the lists of one item's users.

    >>> clicks = sparse.csr_array(np.array([[1, 1, 0], [1, 1, 1], [1, 0, 1]]))
    >>> print(swing(clicks, alpha=1.0, weighted=False).toarray()[0].round(3))
    [0.    0.333 0.333]
    """
    links = _links(interactions, by, binary=True)
    _check(k, shrink, min_common)
    if min_common < 2:
        raise ValueError(f"min_common is {min_common}; Swing counts pairs of common raters, say 2 or more")
    if not 0 <= alpha < np.inf:
        raise ValueError(f"alpha is {alpha}; it smooths a count, finite and >= 0")
    weight = np.diff(links.back_start).clip(1) ** -0.5 if weighted else np.ones(links.m)
    kept = links.n if k is None else min(k, links.n)

    def work(first: int, last: int) -> Neighbourhood:
        return _trimmed(
            *_swing_rows(
                first, last, links.start, links.link, links.back_start, links.back_row, weight,
                float(alpha), float(shrink), min_common, kept,
            )
        )  # fmt: skip

    return _in_blocks(work, links.n, kept, "Swing")


# -- weightings --------------------------------------------------------------------------------------
def _counts(x: sparse.csr_array) -> sparse.csr_array:
    x = as_matrix(x)
    if x.data.min() < 0:
        raise ValueError(f"the matrix holds the negative value {x.data.min()}; term weights need counts")
    return x


def _rarity(x: sparse.csr_array) -> NDArray[np.float64]:
    """ln D - ln(1 + df_u) of each column, [columns]."""
    return np.asarray(np.log(x.shape[0]) - np.log1p(np.bincount(x.indices, minlength=x.shape[1])))


@fast_path(reference.tfidf, cases=cases.documents, rtol=1e-12)
def tfidf(x: sparse.csr_array) -> sparse.csr_array:
    r"""Weigh terms in documents: damped counts times the rarity of the term, float64, same pattern as ``x``.

    .. math:: \sqrt{x_{du}} \; (\ln D - \ln(1 + df_u))

    ``x`` [D documents, terms]; df_u documents hold term u. For similar items the documents are items, the terms users,
    so busy users count less. A term that every document holds gets a weight just below 0.

    >>> tfidf(sparse.csr_array(np.array([[4.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))).toarray().round(3).tolist()
    [[0.575, 0.0], [0.288, 0.693], [0.0, 0.0], [0.0, 0.0]]
    """
    x = _counts(x)
    data = np.sqrt(x.data, dtype=np.float64) * _rarity(x)[x.indices]
    return sparse.csr_array((data, x.indices, x.indptr), shape=x.shape)


@fast_path(reference.bm25, cases=cases.documents_bm25, rtol=1e-12)
def bm25(x: sparse.csr_array, k1: float = 1.2, b: float = 0.75) -> sparse.csr_array:
    r"""Weigh terms in documents as Okapi BM25 does, Robertson et al., TREC 1994; float64, same pattern as ``x``.

    .. math:: \frac{x_{du} (k_1 + 1)}{x_{du} + k_1 (1 - b + b L_d / \bar L)} \; (\ln D - \ln(1 + df_u))

    ``x`` [D documents, terms]; L_d is the sum of row d, :math:`\bar L` the mean of these sums. Counts saturate at
    k1 + 1; b says how far long documents - popular items - are held down.

    >>> bm25(sparse.csr_array(np.array([[4.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))).toarray().round(3).tolist()
    [[0.378, 0.0], [0.253, 0.61], [0.0, 0.0], [0.0, 0.0]]
    """
    x = _counts(x)
    if not 0 <= k1 < np.inf:
        raise ValueError(f"k1 is {k1}; it is finite and >= 0")
    if not 0 <= b <= 1:
        raise ValueError(f"b is {b}; it lies between 0 and 1")
    length = np.asarray(x.sum(axis=1, dtype=np.float64))  # [documents]
    norm = np.repeat(k1 * (1 - b + b * length / length.mean()), np.diff(x.indptr))
    count = x.data.astype(np.float64)
    data = count * (k1 + 1) / (count + norm) * _rarity(x)[x.indices]
    return sparse.csr_array((data, x.indices, x.indptr), shape=x.shape)
