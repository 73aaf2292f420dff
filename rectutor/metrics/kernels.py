"""The compiled loops of the metrics: sorting by integer keys, counting pairs, one pass over recommendation lists.

Every kernel takes one set of types, so each compiles once, and releases the interpreter lock: threads are plain
Python threads over parts of the rows (:func:`in_threads`), which costs no compilation.

Shapes: N rows, G groups, U users, I items, L list length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba
import numpy as np
from numba import njit
from numpy.typing import NDArray

R = TypeVar("R")

DIGIT = 11
"""Bits of one radix digit: 2048 counters stay in the first-level cache."""

SMALL = 24
"""Up to this length insertion sort is the quickest."""

MIDDLE = 4096
"""From this length on the counters of a radix sort pay for themselves."""

FEW_PAIRS = 64
"""Up to so many pairs a row, comparing all of them side by side is quicker than sorting."""

COLUMNS = ("recall", "precision", "f1", "hit_rate", "mrr", "map", "ndcg")
"""What the columns of ``topk_part``'s output mean."""


def threads_for(rows: int, at_least: int) -> int:
    """How many threads to use: numba's number, but each with no fewer than ``at_least`` rows."""
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    return max(1, min(most, rows // at_least))


def in_threads(work: Callable[..., R], parts: Sequence[tuple[Any, ...]]) -> list[R]:
    """``[work(*part) for part in parts]``, each part in a thread of its own."""
    if len(parts) == 1:
        return [work(*parts[0])]
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(lambda part: work(*part), parts))


def spans(rows: int, parts: int) -> list[tuple[int, int]]:
    """Cut ``range(rows)`` into ``parts`` even pieces."""
    return [(rows * p // parts, rows * (p + 1) // parts) for p in range(parts)]


# -- sorting -------------------------------------------------------------------------------------------
@njit(cache=True, nogil=True)
def order_keys(scores: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Integers in the order of the scores: flip the sign bit of positive numbers, all bits of negative ones.

    Adding 0.0 turns -0.0 into 0.0, so that the two tie, as they do by ``==``.
    """
    keys = (scores + 0.0).view(np.uint64)
    for i in range(len(keys)):
        if keys[i] >> np.uint64(63):
            keys[i] = ~keys[i]
        else:
            keys[i] |= np.uint64(1) << np.uint64(63)
    return keys


@njit(cache=True, nogil=True)
def sort_keys(keys: NDArray[np.uint64], spare: NDArray[np.uint64]) -> None:
    """Sort ``keys`` ascending in place; ``spare`` is working memory of at least the same length."""
    n = len(keys)
    if n < MIDDLE:
        for start in range(0, n, SMALL):  # insertion sort of short runs
            for i in range(start + 1, min(start + SMALL, n)):
                key, j = keys[i], i
                while j > start and keys[j - 1] > key:
                    keys[j] = keys[j - 1]
                    j -= 1
                keys[j] = key
        width, source, target = SMALL, keys, spare
        while width < n:  # merge runs of growing width
            for start in range(0, n, 2 * width):
                middle, end = min(start + width, n), min(start + 2 * width, n)
                i, j = start, middle
                for out in range(start, end):
                    if j >= end or (i < middle and source[i] <= source[j]):
                        target[out] = source[i]
                        i += 1
                    else:
                        target[out] = source[j]
                        j += 1
            source, target = target, source
            width *= 2
        if width > SMALL and source is not keys:
            keys[:] = source[:n]
        return
    every, none = keys[0], keys[0]
    for i in range(n):
        every &= keys[i]
        none |= keys[i]
    varying = every ^ none  # the bits in which the keys differ: only these have to be sorted by
    low, high = 0, 64
    while low < 64 and not (varying >> np.uint64(low)) & np.uint64(1):
        low += 1
    while high > low and not (varying >> np.uint64(high - 1)) & np.uint64(1):
        high -= 1
    mask = np.uint64((1 << DIGIT) - 1)
    place = np.empty(1 << DIGIT, np.int64)
    source, target, passes = keys, spare, 0
    for shift in range(low, high, DIGIT):
        bits = np.uint64(shift)
        place[:] = 0
        for i in range(n):
            place[(source[i] >> bits) & mask] += 1
        total = 0
        for d in range(len(place)):
            count = place[d]
            place[d] = total
            total += count
        for i in range(n):
            digit = (source[i] >> bits) & mask
            target[place[digit]] = source[i]
            place[digit] += 1
        source, target = target, source
        passes += 1
    if passes % 2:
        keys[:] = source[:n]


# -- AUC -----------------------------------------------------------------------------------------------
@njit(cache=True, nogil=True)
def twice_won(positive: NDArray[np.uint64], negative: NDArray[np.uint64]) -> int:
    """Twice the pairs in which the positive stands above the negative, a tie counting once; both sorted ascending."""
    below, upto, won = 0, 0, 0
    n = len(negative)
    for key in positive:
        while below < n and negative[below] < key:
            below += 1
        if upto < below:
            upto = below
        while upto < n and negative[upto] == key:
            upto += 1
        won += below + upto
    return won


@njit(cache=True, nogil=True)
def auc_part(
    scores: NDArray[np.float64], labels: NDArray[np.uint8], low: float, high: float
) -> tuple[int, int, int, int]:
    """Count pairs among the rows with ``low <= score < high`` (the last part takes ``high = inf`` in).

    Returns:
        Twice the pairs won, the positives and the negatives of the part; the number of rows, of all rows, whose score
        is NaN.
    """
    n = len(scores)
    keys = np.empty((2, n + 1), np.float64)  # negatives and positives; only the pages in use become memory
    size = np.zeros(2, np.int64)
    bad = 0
    for i in range(n):
        score, side = scores[i], labels[i]
        bad += score != score
        keys[side, size[side]] = score  # written always, kept only where it belongs to the part: no branch
        size[side] += (score >= low) & ((score < high) | (high == np.inf))
    n_neg, n_pos = size[0], size[1]
    negative, positive = order_keys(keys[0, :n_neg]), order_keys(keys[1, :n_pos])
    spare = np.empty(max(n_neg, n_pos), np.uint64)
    sort_keys(negative, spare)
    sort_keys(positive, spare)
    return twice_won(positive, negative), n_pos, n_neg, bad


@njit(cache=True, nogil=True)
def count_groups(groups: NDArray[np.int32], labels: NDArray[np.uint8], counts: NDArray[np.int32]) -> None:
    """Add each row to ``counts[2 * group + label]``."""
    for i in range(len(groups)):
        counts[2 * groups[i] + labels[i]] += 1


@njit(cache=True, nogil=True)
def gauc_part(
    groups: NDArray[np.int32],
    labels: NDArray[np.uint8],
    scores: NDArray[np.float64],
    starts: NDArray[np.int64],
    first: int,
    last: int,
    aucs: NDArray[np.float64],
) -> None:
    """AUC of the groups ``first`` to ``last - 1`` into ``aucs`` [G], NaN for a group of one class.

    ``starts`` [2 G + 1] says where the negatives (2 g) and the positives (2 g + 1) of group g begin when rows are
    sorted by group and label.
    """
    base, width = starts[2 * first], 2 * (last - first)
    place = np.empty(width + 1, np.int64)
    for j in range(width + 1):
        place[j] = starts[2 * first + j] - base
    size = place[width]
    values = np.empty(size + 1, np.float64)
    for i in range(len(groups)):
        j = 2 * (groups[i] - first) + labels[i]
        mine = (j >= 0) & (j < width)
        j = j if mine else width  # rows of other threads' groups go to the spare last slot: no branch
        values[place[j]] = scores[i]
        place[j] += mine
    spare = np.empty(size, np.uint64)
    for g in range(first, last):
        a, b, c = starts[2 * g] - base, starts[2 * g + 1] - base, starts[2 * g + 2] - base
        n_neg, n_pos = b - a, c - b
        if n_neg == 0 or n_pos == 0:
            aucs[g] = np.nan
            continue
        won = 0
        if n_neg * n_pos <= FEW_PAIRS * (n_neg + n_pos):
            for positive_score in values[b:c]:
                for negative_score in values[a:b]:
                    won += (negative_score < positive_score) + (negative_score <= positive_score)
        else:
            negative, positive = order_keys(values[a:b]), order_keys(values[b:c])
            sort_keys(negative, spare)
            sort_keys(positive, spare)
            won = twice_won(positive, negative)
        aucs[g] = won / (2.0 * n_neg * n_pos)


# -- log-loss ------------------------------------------------------------------------------------------
@njit(cache=True, nogil=True)
def log_loss_part(
    labels: NDArray[np.uint8], p: NDArray[np.float64], start: int, stop: int, eps: float
) -> tuple[float, bool]:
    """Sum of -log(probability given to the label, at least eps) over rows ``start`` to ``stop - 1``; are all good?

    The logarithm of a product of 16 probabilities replaces 16 logarithms. Only where the product leaves the safe range
    of float64 are they taken one by one. It stops at the first block that holds a row outside [0, 1].
    """
    total = 0.0
    for block in range(start, stop, 16):
        some_p, some_labels = p[block : min(block + 16, stop)], labels[block : min(block + 16, stop)]
        product, good = 1.0, True
        for i in range(len(some_p)):
            x = some_p[i]
            good &= (x >= 0.0) & (x <= 1.0)
            x = x if some_labels[i] else 1.0 - x
            product *= x if x > eps else eps
        if not good:
            return total, False
        if product > 1e-250:
            total -= np.log(product)
        else:
            for i in range(len(some_p)):
                x = some_p[i] if some_labels[i] else 1.0 - some_p[i]
                total -= np.log(x if x > eps else eps)
    return total, True


# -- top-k ---------------------------------------------------------------------------------------------
@njit(cache=True, nogil=True)
def topk_part(
    recommended: NDArray[np.int32],
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    gains: NDArray[np.float64],
    discount: NDArray[np.float64],
    n_items: int,
    first: int,
    last: int,
    out: NDArray[np.float64],
) -> tuple[int, int, int]:
    """The metrics of users ``first`` to ``last - 1`` into ``out`` [7, U], rows as in ``COLUMNS``.

    ``mark`` is the set of the user at hand, and never has to be cleared: for the t-th user a liked item holds 2 t + 1,
    an item met in the list 2 t + 2, and what former users left there is less. k is the length of ``discount``. A user
    who likes nothing gets NaN. Without ``gains`` each liked item counts 1.

    Returns:
        ``(0, 0, 0)`` or what is wrong first: 1 code out of range, 2 item twice in a list, 3 item twice in the truth;
        with the user and the item.
    """
    k = len(discount)
    graded = len(gains) > 0
    ideal = np.zeros(k + 1)  # of a user with so many liked items of gain 1
    for r in range(k):
        ideal[r + 1] = ideal[r] + discount[r]
    mark = np.zeros(n_items, np.int32)
    entry = np.zeros(n_items if graded else 0, np.int64)  # where the gain of a liked item stands
    for u in range(first, last):
        begin, end = indptr[u], indptr[u + 1]
        liked = np.int32(2 * (u - first) + 1)
        met = np.int32(liked + 1)
        likes = end - begin
        reachable = min(likes, k)
        for j in range(begin, end):
            if mark[indices[j]] == liked:
                return 3, u, indices[j]
            mark[indices[j]] = liked
            if graded:
                entry[indices[j]] = j
        hits, first_hit, precisions, dcg = 0, 0, 0.0, 0.0
        for r in range(recommended.shape[1]):
            i = recommended[u, r]
            if i < 0 or i >= n_items:
                if i == -1:
                    continue
                return 1, u, i
            was = mark[i]
            if was == met:
                return 2, u, i
            mark[i] = met
            if was == liked and r < k:
                hits += 1
                if hits == 1:
                    first_hit = r + 1
                precisions += hits / (r + 1)
                dcg += gains[entry[i]] * discount[r] if graded else discount[r]
        if likes == 0:
            out[:, u] = np.nan
            continue
        best = ideal[reachable]
        if graded:
            keys = order_keys(gains[begin:end])
            sort_keys(keys, np.empty(likes, np.uint64))
            keys &= np.uint64(0x7FFFFFFFFFFFFFFF)  # gains are positive: without its top bit the key is the number
            descending = keys.view(np.float64)[::-1]
            best = 0.0
            for r in range(reachable):
                best += descending[r] * discount[r]
        out[0, u] = hits / likes
        out[1, u] = hits / k
        out[2, u] = 2.0 * hits / (k + likes)
        out[3, u] = 1.0 if hits else 0.0
        out[4, u] = 1.0 / first_hit if hits else 0.0
        out[5, u] = precisions / reachable
        out[6, u] = dcg / best
    return 0, 0, 0
