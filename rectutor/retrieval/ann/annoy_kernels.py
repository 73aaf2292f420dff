"""The compiled loops of :class:`~rectutor.retrieval.ann.annoy.AnnoyForest`: growing a tree, and searching a forest.

A node is a number: a split's row, or ~leaf. A split's row in ``planes`` is its normal [W], its offset, and the square
of the normal's length. Leaf l holds ``ids[bounds[l]:bounds[l + 1]]``; the leaves of a tree stand from left to right.

Shapes: N vectors, W their coordinates in the trees, D dimensions, Q queries, k neighbours, T trees, S splits, L leaves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from rectutor.prefetch import fetch
from rectutor.retrieval.ann.compiled import COMPILED, near, offer, sort_heap

Float = NDArray[np.float32]
Int = NDArray[np.int32]
Long = NDArray[np.int64]
Bits = NDArray[np.uint8]

AS_WRITTEN: dict[str, Any] = COMPILED | {"fastmath": False}
"""Each operation rounded on its own, as NumPy does it."""
CUT = np.iinfo(np.int64).max
"""Stands for a node that is still to be cut."""
LINE = 16
"""float32 in a cache line."""
AHEAD = 24
"""Rows that are asked for before they are needed."""
LAST = 0xFFFFFFFF
"""The most nodes that a search may put off."""
CHUNKS = 16
"""Pieces of a batch of queries, for the threads to share."""


# -- growing ------------------------------------------------------------------------------------------------------
@njit(**AS_WRITTEN)
def below(state: NDArray[np.uint64], n: int) -> Any:
    """A number of 0, ..., n - 1 by splitmix64; ``state`` [1] goes on."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = (z ^ (z >> np.uint64(31))) >> np.uint64(32)
    return np.int64((z * np.uint64(n)) >> np.uint64(32))


@njit(**AS_WRITTEN)
def pull(p: Float, seen: int, x: Float, start: Any, width: int) -> None:
    """Make p [W], the mean of ``seen`` vectors, the mean of these and of the row of ``x`` at ``start``."""
    for d in range(width):
        p[d] = (p[d] * np.float32(seen) + x[start + np.uint64(d)]) / np.float32(seen + 1)


@njit(**COMPILED)
def two_means(x: Float, width: int, ids: Int, low: int, high: int, state: Any, steps: int, p: Float, q: Float) -> None:
    """Write two points to cut between into p and q [W]."""
    n = high - low
    i = below(state, n)
    j = below(state, n - 1)
    j += j >= i
    row_i, row_j = np.uint64(ids[low + i]) * np.uint64(width), np.uint64(ids[low + j]) * np.uint64(width)
    for d in range(width):
        p[d], q[d] = x[row_i + np.uint64(d)], x[row_j + np.uint64(d)]
    seen_p = seen_q = 1
    for _ in range(steps):
        i = ids[low + below(state, n)]
        to_p, to_q = (
            -np.float32(seen_p) * near(p, 0, x, i, width, True),
            -np.float32(seen_q) * near(q, 0, x, i, width, True),
        )
        if to_p < to_q:
            pull(p, seen_p, x, np.uint64(i) * np.uint64(width), width)
            seen_p += 1
        elif to_q < to_p:
            pull(q, seen_q, x, np.uint64(i) * np.uint64(width), width)
            seen_q += 1


@njit(**COMPILED)
def side(planes: Float, split: int, width: int, x: Float, i: int, length: int, dim: int) -> Any:
    """On which side of a plane row i of ``x`` lies, rows [length] of which the first ``dim`` are not zero."""
    plane, row = np.uint64(split) * np.uint64(width + 2), np.uint64(i) * np.uint64(length)
    total = np.float32(0)
    for d in range(dim):
        total += planes[plane + np.uint64(d)] * x[row + np.uint64(d)]
    return total + planes[plane + np.uint64(width)]


@njit(**COMPILED)
def part(x: Float, width: int, planes: Float, split: int, ids: Int, low: int, high: int, spare: Int) -> int:
    """Move the ids on the positive side of a plane behind the others, in their order; returns where they begin."""
    left, right = low, 0
    for a in range(low, high):
        if a + AHEAD < high:
            there = np.uint64(ids[a + AHEAD]) * np.uint64(width)
            for d in range(0, width, LINE):
                fetch(x, there + np.uint64(d))
        i = ids[a]
        if side(planes, split, width, x, i, width, width) > 0:
            spare[right] = i
            right += 1
        else:
            ids[left] = i
            left += 1
    for a in range(right):
        ids[left + a] = spare[a]
    return left


@njit(**COMPILED)
def doubled(array: Any) -> Any:
    """A copy with room for as many again."""
    more = np.empty(2 * len(array), array.dtype)
    more[: len(array)] = array
    return more


@njit(**COMPILED)
def grow(
    x: Float, width: int, root: int, planes: Float, children: Int, bounds: Long, ids: Int, held: int, new: Int,
    state: NDArray[np.uint64], leaf_size: int, limit: int, steps: int
) -> Any:  # fmt: skip
    """A tree that has the vectors of an old one and new ones; a leaf of more than ``limit`` ids is cut.

    Args:
        x: vectors [N, W], flat.
        width: W.
        root: of the old tree, in the forest of planes [S, W + 2] (flat), children [S, 2] (flat), bounds [L + 1], ids.
        held: how many vectors it has.
        new: ids to send down; their order changes.
        state: of the draws [1].
        leaf_size: most ids of a leaf that is cut.
        limit: most ids of a leaf that is not.
        steps: of :func:`two_means`.

    Returns:
        planes, children, where the leaves end, and ids of the new tree; its first split is its root, if it has one.
    """
    stride = width + 2
    n = held + len(new)
    out, spare = np.empty(n, np.int32), np.empty(n, np.int32)
    new_planes, new_children, ends = np.empty(8 * stride, np.float32), np.empty(16, np.int32), np.empty(8, np.int64)
    p, q = np.empty(width, np.float32), np.empty(width, np.float32)
    # node, first and last + 1 of its ids (in `out` where it is to be cut, else in `new`), where its number belongs
    stack = np.empty((8, 4), np.int64)
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = root, 0, len(new), -1
    depth, splits, leaves, filled = 1, 0, 0, 0
    while depth > 0:
        depth -= 1
        node, low, high, slot = stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3]
        if node < 0:  # an old leaf, at whose place in `out` we are
            low = filled
            for a in range(bounds[~node], bounds[~node + 1]):
                out[filled] = ids[a]
                filled += 1
            for a in range(stack[depth, 1], high):
                out[filled] = new[a]
                filled += 1
            high = filled
            if high - low > limit:
                node = CUT
        if node < 0 or (node == CUT and high - low <= leaf_size):
            if leaves == len(ends):
                ends = doubled(ends)
            ends[leaves] = high
            if slot >= 0:
                new_children[slot] = ~leaves
            leaves += 1
            continue
        if 2 * splits == len(new_children):
            new_planes, new_children = doubled(new_planes), doubled(new_children)
        plane = splits * stride
        if node == CUT:
            two_means(x, width, out, low, high, state, steps, p, q)
            offset = square = np.float32(0)
            for d in range(width):
                normal = p[d] - q[d]
                new_planes[plane + d] = normal
                offset -= normal * (p[d] + q[d])
                square += normal * normal
            new_planes[plane + width], new_planes[plane + width + 1] = offset / np.float32(2), square
            middle = part(x, width, new_planes, splits, out, low, high, spare)
            if middle in (low, high):
                new_planes[plane : plane + width + 1] = 0
                new_planes[plane + width + 1] = 1
                middle = low + (high - low) // 2
            left, right = node, node
        else:
            for d in range(stride):
                new_planes[plane + d] = planes[node * stride + d]
            middle = part(x, width, new_planes, splits, new, low, high, spare)
            left, right = np.int64(children[2 * node]), np.int64(children[2 * node + 1])
        if slot >= 0:
            new_children[slot] = splits
        if depth + 2 > len(stack):
            more = np.empty((2 * len(stack), 4), np.int64)
            more[:depth] = stack[:depth]
            stack = more
        stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3] = right, middle, high, 2 * splits + 1
        depth += 1
        stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3] = left, low, middle, 2 * splits
        depth += 1
        splits += 1
    return new_planes[: splits * stride].copy(), new_children[: 2 * splits].copy(), ends[:leaves].copy(), out


# -- searching ----------------------------------------------------------------------------------------------------
@njit(parallel=True, **COMPILED)
def search(
    q: Float, placed: Float, dim: int, width: int, planes: Float, children: Int, roots: Int, bounds: Long, ids: Int,
    deleted: Bits, x: Float, k: int, search_k: int, l2: bool, found: Any, scores: Float
) -> None:  # fmt: skip
    """Search the forest for all queries.

    Args:
        q, placed: queries [Q, D] as they are scored, and as they go down the trees, flat.
        dim, width: D and W; where W is larger, the queries are zero in the last coordinates.
        planes, children, roots, bounds, ids: the forest.
        deleted: a bit for each vector.
        x: vectors [N, D], flat.
        k, search_k: how many to return, and to meet.
        l2: whether scores are minus squared distances.
        found, scores: [Q, k], to be filled.
    """
    chunks = min(len(found), CHUNKS)
    for c in prange(chunks):
        low, high = c * len(found) // chunks, (c + 1) * len(found) // chunks
        search_some(
            low, high, q, placed, dim, width, planes, children, roots, bounds, ids, deleted, x, k, search_k, l2,
            found.reshape(-1), scores.reshape(-1)
        )  # fmt: skip


@njit(**COMPILED)
def search_some(
    low: int, high: int, q: Float, placed: Float, dim: int, width: int, planes: Float, children: Int, roots: Int,
    bounds: Long, ids: Int, deleted: Bits, x: Float, k: int, search_k: int, l2: bool, found: Any, scores: Float
) -> None:  # fmt: skip
    """Search for the queries low, ..., high - 1."""
    room = len(children) // 2 + len(roots)
    queue, nodes = np.empty(room, np.uint64), np.empty(room, np.int32)
    seen = deleted.copy()
    met = np.empty(1024, np.int32)
    for b in range(low, high):
        pushed = waiting = 0
        for t in range(len(roots)):
            nodes[pushed] = roots[t]
            waiting = push(queue, waiting, entry(np.float32(0), pushed))
            pushed += 1
        looked = n = 0
        while waiting > 0 and looked < search_k:
            first = queue[0]
            waiting = pop(queue, waiting)
            beyond, node = beyond_of(first), np.int64(nodes[number_of(first)])
            while node >= 0:
                left, right = children[2 * node], children[2 * node + 1]
                ask(planes, left, width)
                ask(planes, right, width)
                distance = side(planes, node, width, placed, b, dim, dim)
                square = planes[np.uint64(node) * np.uint64(width + 2) + np.uint64(width + 1)]
                node, nodes[pushed] = (right, left) if distance > 0 else (left, right)
                waiting = push(queue, waiting, entry(farther(beyond, distance, square), pushed))
                pushed += 1
            if waiting > 0:
                ask(planes, nodes[number_of(queue[0])], width)
            start, end = bounds[~node], bounds[~node + 1]
            looked += end - start
            if n + end - start > len(met):
                more = np.empty(2 * (n + end - start), np.int32)
                more[:n] = met[:n]
                met = more
            for a in range(start, end):
                i = ids[a]
                bit = np.uint8(1 << (i & 7))
                met[n] = i
                n += (seen[i >> 3] & bit) == 0
                seen[i >> 3] |= bit
        kept, worst = 0, np.float32(-np.inf)
        for a in range(n):
            if a + AHEAD < n:
                for d in range(0, dim, LINE):
                    fetch(x, np.uint64(met[a + AHEAD]) * np.uint64(dim) + np.uint64(d))
            i = met[a]
            score = near(q, b, x, i, dim, l2)
            if score >= worst:
                kept = offer(scores, found, b * k, kept, k, score, i)
                worst = scores[b * k] if kept == k else worst
        sort_heap(scores, found, b * k, kept)
        for a in range(n):
            seen[met[a] >> 3] = deleted[met[a] >> 3]


@njit(**COMPILED)
def ask(planes: Float, node: int, width: int) -> None:
    """Ask for the plane of a node; a leaf has none, and asking for the first one then does no harm."""
    row = np.uint64(max(node, 0)) * np.uint64(width + 2)
    for d in range(0, width + 2, LINE):
        fetch(planes, row + np.uint64(d))


@njit(**AS_WRITTEN)
def farther(beyond: Any, distance: Any, square: Any) -> Any:
    """How far the node on the other side of a plane lies beyond the planes; the normal's squared length is given."""
    return beyond + distance * distance / square


@njit(**AS_WRITTEN)
def entry(beyond: Any, number: int) -> Any:
    """An entry of the queue: how far a node lies beyond the planes (never negative), and its number, newest first."""
    return np.uint64(np.float32(beyond).view(np.uint32)) << np.uint64(32) | np.uint64(LAST - number)


@njit(**AS_WRITTEN)
def beyond_of(item: Any) -> Any:
    """How far the node of an entry lies beyond the planes."""
    return np.uint32(item >> np.uint64(32)).view(np.float32)


@njit(**AS_WRITTEN)
def number_of(item: Any) -> Any:
    """The number of an entry's node."""
    return np.int64(LAST) - np.int64(item & np.uint64(LAST))


@njit(**AS_WRITTEN)
def push(queue: Any, size: int, item: Any) -> int:
    """Put an entry into a queue whose least stands first; returns its new size."""
    hole = size
    while hole > 0:
        parent = (hole - 1) >> 1
        if queue[parent] <= item:
            break
        queue[hole] = queue[parent]
        hole = parent
    queue[hole] = item
    return size + 1


@njit(**AS_WRITTEN)
def pop(queue: Any, size: int) -> int:
    """Take the first entry out of a queue; returns its new size."""
    size -= 1
    item, hole = queue[size], 0
    while 2 * hole + 1 < size:
        child = 2 * hole + 1
        child += child + 1 < size and queue[child + 1] < queue[child]
        if queue[child] >= item:
            break
        queue[hole] = queue[child]
        hole = child
    queue[hole] = item
    return size
