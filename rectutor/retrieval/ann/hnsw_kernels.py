"""The compiled loops of HNSW: greedy descent, beam search, choice of neighbours, links back.

A scored vector is one whole number, an *entry*: the score, turned so that better is less, in the upper 32 bits, then
the id in 31, then whether it has been expanded. So one comparison sorts by score and, among equals, by id.

A row of the bottom layer is the vector's successor in the ring, then its links; a row of an upper layer has links only.
Rows are filled up with -1.

Shapes: N vectors, D dimensions, M links, Q queries, k neighbours, E entries, U rows of all upper layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from rectutor.prefetch import fetch
from rectutor.retrieval.ann.compiled import COMPILED, Float, Int, near
from rectutor.retrieval.ann.index import Flags

Links = NDArray[np.int32]
Bits = NDArray[np.uint32]

SIGN = np.int64(0x7FFFFFFF)
DONE = np.int64(1)
SCORE = ~np.int64(0xFFFFFFFF)
LINE = 16
"""Numbers of four bytes in a cache line."""
AHEAD = 6
"""How many vectors are asked for before the first of them is scored; a core keeps some 25 cache lines waiting."""


# -- entries ------------------------------------------------------------------------------------------------------
@njit(**COMPILED)
def entry_of(score: Any, i: Any) -> Any:
    """The entry of a score and an id."""
    bits = np.int64(np.float32(score).view(np.int32))
    if bits < 0:
        bits = -(bits & SIGN)  # both zeros are 0
    return (-bits << 32) | (np.int64(i) << 1)


@njit(**COMPILED)
def id_of(entry: Any) -> Any:
    """The id of an entry."""
    return (entry >> 1) & SIGN


@njit(**COMPILED)
def score_of(entry: Any) -> Any:
    """The score of an entry."""
    bits = -(entry >> 32)
    if bits < 0:
        bits = -bits | np.int64(0x80000000)
    return np.uint32(bits).view(np.float32)


# -- search -------------------------------------------------------------------------------------------------------
@njit(**COMPILED)
def ask(vectors: Float, i: Any, dim: int) -> None:
    """Ask for the cache lines of a vector."""
    start = np.uint64(i) * np.uint64(dim)
    for d in range(0, dim, LINE):
        fetch(vectors, start + np.uint64(d))


@njit(**COMPILED)
def descend(
    queries: Float, q: Any, vectors: Float, dim: int, l2: bool,
    upper: Links, m: int, rows: Links, top: int, bottom: int, here: Any,
) -> Any:  # fmt: skip
    """Go greedily from an entry of layer ``top`` down to the layer above ``bottom``; the entry that is reached."""
    for layer in range(top, bottom, -1):
        best = here
        while True:
            start = np.uint64(rows[np.uint64(id_of(here))] + layer - 1) * np.uint64(m)
            for e in range(m):
                v = upper[start + np.uint64(e)]
                if v >= 0:
                    ask(vectors, v, dim)
            for e in range(m):
                v = upper[start + np.uint64(e)]
                if v < 0:
                    break
                entry = entry_of(near(queries, q, vectors, v, dim, l2), v)
                if entry < best & SCORE:  # better, not only of a lower id
                    best = entry
            if best == here:
                break
            here = best
    return here


@njit(**COMPILED)
def beam(
    queries: Float, q: Any, vectors: Float, dim: int, l2: bool,
    links: Links, width: int, rows: Links, layer: int, deleted: Flags, any_deleted: bool,
    pool: Int, size: int, ef: int, bits: Bits, seen: Links,
) -> int:  # fmt: skip
    """Beam search in one layer from the sorted entries ``pool[:size]``; returns how many ``pool`` holds at the end.

    ``pool`` keeps the ef best vectors that are not deleted, and the deleted ones between them. ``bits`` marks visited
    vectors, and is clear again at the end thanks to the list ``seen``.
    """
    n_seen = 0
    live = 0
    for e in range(size):
        v = id_of(pool[e])
        bits[np.uint64(v >> 5)] |= np.uint32(1) << np.uint32(v & 31)
        seen[n_seen] = v
        n_seen += 1
        live += not (any_deleted and deleted[v])
    at = 0
    while at < size:
        entry = pool[np.uint64(at)]
        if entry & DONE:
            at += 1
            continue
        pool[np.uint64(at)] = entry | DONE
        row = id_of(entry)
        if layer > 0:
            row = np.int64(rows[np.uint64(row)] + layer - 1)
        start = np.uint64(row) * np.uint64(width)
        first = n_seen
        for e in range(width):
            v = links[start + np.uint64(e)]
            if v < 0:
                break
            word, bit = np.uint64(v >> 5), np.uint32(1) << np.uint32(v & 31)
            if not bits[word] & bit:
                bits[word] |= bit
                seen[np.uint64(n_seen)] = v
                n_seen += 1
                if n_seen - first <= AHEAD:
                    ask(vectors, v, dim)
        if at + 1 < size and layer == 0:
            following = np.uint64(id_of(pool[np.uint64(at + 1)])) * np.uint64(width)
            fetch(links, following)
            fetch(links, following + np.uint64(LINE))
        lowest = at + 1
        for s in range(first, n_seen):
            v = seen[np.uint64(s)]
            if s + AHEAD < n_seen:
                ask(vectors, seen[np.uint64(s + AHEAD)], dim)
            entry = entry_of(near(queries, q, vectors, v, dim, l2), v)
            if live == ef and entry >= pool[np.uint64(size - 1)] & SCORE:  # no better
                continue
            hole = size
            while hole > 0 and pool[np.uint64(hole - 1)] > entry:
                pool[np.uint64(hole)] = pool[np.uint64(hole - 1)]
                hole -= 1
            pool[np.uint64(hole)] = entry
            size += 1
            lowest = min(lowest, hole)
            live += not (any_deleted and deleted[v])
            if live > ef:
                size -= 1
                live = ef
            while any_deleted and live == ef and deleted[id_of(pool[size - 1])]:
                size -= 1
        at = lowest
    for s in range(n_seen):
        bits[np.uint64(seen[np.uint64(s)] >> 5)] = 0
    return size


@njit(**COMPILED)
def search_some(
    queries: Float, low: int, high: int, vectors: Float, dim: int, l2: bool,
    bottom: Links, width: int, upper: Links, m: int, rows: Links, top: int, entry: int,
    deleted: Flags, n_deleted: int, ef: int, ids: Int, scores: Float, k: int,
) -> None:  # fmt: skip
    """The k nearest vectors of the queries from ``low`` to ``high``, into flat ids and scores [Q k]."""
    n = len(rows)
    bits = np.zeros((n + 31) >> 5, np.uint32)
    seen = np.empty(n, np.int32)
    pool = np.empty(min(n, ef + n_deleted) + 1, np.int64)
    for q in range(low, high):
        here = entry_of(near(queries, q, vectors, entry, dim, l2), entry)
        pool[0] = descend(queries, q, vectors, dim, l2, upper, m, rows, top, 0, here)
        size = beam(
            queries, q, vectors, dim, l2, bottom, width, rows, 0, deleted, n_deleted > 0, pool, 1, ef, bits, seen
        )
        place = q * k
        for e in range(size):
            i = id_of(pool[e])
            if n_deleted > 0 and deleted[i]:
                continue
            ids[place], scores[place] = i, score_of(pool[e])
            place += 1
            if place == (q + 1) * k:
                break


@njit(parallel=True, **COMPILED)
def search_all(
    chunk: int, queries: Float, n_queries: int, vectors: Float, dim: int, l2: bool,
    bottom: Links, width: int, upper: Links, m: int, rows: Links, top: int, entry: int,
    deleted: Flags, n_deleted: int, ef: int, ids: Int, scores: Float, k: int,
) -> None:  # fmt: skip
    """The same for all queries, ``chunk`` of them at a time."""
    for c in prange((n_queries + chunk - 1) // chunk):
        search_some(
            queries, c * chunk, min(n_queries, (c + 1) * chunk), vectors, dim, l2,
            bottom, width, upper, m, rows, top, entry, deleted, n_deleted, ef, ids, scores, k,
        )  # fmt: skip


# -- building -----------------------------------------------------------------------------------------------------
@njit(**COMPILED)
def select(vectors: Float, dim: int, l2: bool, pool: Int, size: int, links: Links, start: Any, m: int) -> None:
    """Write up to m of the sorted entries to ``links[start:]``: none nearer to one taken than to the vector itself."""
    taken = 0
    for e in range(size):
        if taken == m:
            break
        i, own = id_of(pool[e]), score_of(pool[e])
        apart = True
        for t in range(taken):
            if near(vectors, i, vectors, links[start + np.uint64(t)], dim, l2) > own:
                apart = False
                break
        if apart:
            links[start + np.uint64(taken)] = i
            taken += 1
    for t in range(taken, m):
        links[start + np.uint64(t)] = -1


@njit(**COMPILED)
def find_some(
    low: int, high: int, first: int, vectors: Float, dim: int, l2: bool,
    bottom: Links, width: int, upper: Links, m: int, rows: Links, levels: NDArray[np.int8], entry: int, ef: int,
    nobody: Flags,
) -> None:  # fmt: skip
    """Vectors from ``low`` to ``high`` look for links among those before ``first``, whose graph stays as it is."""
    top = np.int64(levels[entry])
    bits = np.zeros((first + 31) >> 5, np.uint32)
    seen = np.empty(first, np.int32)
    pool = np.empty(ef + 1, np.int64)
    for i in range(low, high):
        level = min(np.int64(levels[i]), top)
        here = entry_of(near(vectors, i, vectors, entry, dim, l2), entry)
        pool[0] = descend(vectors, i, vectors, dim, l2, upper, m, rows, top, level, here)
        size = 1
        for layer in range(level, -1, -1):
            links, row, room, ring = bottom, np.int64(i), width, 1
            if layer > 0:
                links, row, room, ring = upper, np.int64(rows[i]) + layer - 1, m, 0
            for e in range(size):
                pool[e] &= ~DONE
            size = beam(
                vectors, i, vectors, dim, l2, links, room, rows, layer, nobody, False, pool, size, ef, bits, seen
            )
            select(vectors, dim, l2, pool, size, links, np.uint64(row) * np.uint64(room) + np.uint64(ring), m)


@njit(parallel=True, **COMPILED)
def find_links(
    chunk: int, first: int, last: int, vectors: Float, dim: int, l2: bool,
    bottom: Links, width: int, upper: Links, m: int, rows: Links, levels: NDArray[np.int8], entry: int, ef: int,
    nobody: Flags,
) -> None:  # fmt: skip
    """The same for all vectors from ``first`` to ``last``, ``chunk`` of them at a time."""
    for c in prange((last - first + chunk - 1) // chunk):
        low = first + c * chunk
        find_some(
            low, min(last, low + chunk), first, vectors, dim, l2,
            bottom, width, upper, m, rows, levels, entry, ef, nobody,
        )  # fmt: skip


@njit(**COMPILED)
def link_some(
    low: int, high: int, pairs: Int, starts: Int, owners: Int, vectors: Float, dim: int, l2: bool,
    links: Links, width: int, ring: int,
) -> None:  # fmt: skip
    """Each row of ``links`` that was chosen takes the vectors that chose it, in order of id.

    ``pairs`` holds row and vector, sorted; those of the r-th row, which belongs to ``owners[r]``, begin at
    ``starts[r]``. A row that is full keeps what :func:`select` takes. Does the rows from ``low`` to ``high``.
    """
    room = width - ring
    pool = np.empty(room + 1, np.int64)
    for r in range(low, high):
        start = np.uint64(pairs[starts[r]] >> 32) * np.uint64(width) + np.uint64(ring)
        size = filled(links, start, room)
        for p in range(starts[r], starts[r + 1]):
            new = pairs[p] & SIGN
            if size < room:
                links[start + np.uint64(size)] = new
                size += 1
                continue
            for e in range(room):
                ask(vectors, links[start + np.uint64(e)], dim)
            for e in range(room + 1):
                v = np.int64(links[start + np.uint64(e)]) if e < room else new
                entry = entry_of(near(vectors, owners[r], vectors, v, dim, l2), v)
                hole = e
                while hole > 0 and pool[hole - 1] > entry:
                    pool[hole] = pool[hole - 1]
                    hole -= 1
                pool[hole] = entry
            select(vectors, dim, l2, pool, room + 1, links, start, room)
            size = filled(links, start, room)


@njit(**COMPILED)
def filled(links: Links, start: Any, room: int) -> int:
    """How many links a row has."""
    size = 0
    while size < room and links[start + np.uint64(size)] >= 0:
        size += 1
    return size


@njit(parallel=True, **COMPILED)
def link_back(
    chunk: int, pairs: Int, starts: Int, owners: Int, vectors: Float, dim: int, l2: bool,
    links: Links, width: int, ring: int,
) -> None:  # fmt: skip
    """The same for all rows, ``chunk`` of them at a time."""
    for c in prange((len(owners) + chunk - 1) // chunk):
        link_some(
            c * chunk, min(len(owners), (c + 1) * chunk), pairs, starts, owners, vectors, dim, l2, links, width, ring
        )


@njit(**COMPILED)
def close_ring(first: int, last: int, bottom: Links, width: int, levels: NDArray[np.int8], entry: int) -> int:
    """Put vectors into the ring, each behind the nearest that it found; returns the new entry."""
    for i in range(first, last):
        nearest = int(bottom[i * width + 1])
        nearest = entry if nearest < 0 else nearest
        if nearest < 0:
            bottom[i * width] = i
        else:
            bottom[i * width], bottom[nearest * width] = bottom[nearest * width], i
        if entry < 0 or levels[i] > levels[entry]:
            entry = i
    return entry
