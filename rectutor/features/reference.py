r"""The codes of features, one value after the other.

A code is a row of a vocabulary's table: 0 nothing (padding), 1 a missing value, 2 an unknown one, 3.. the known ones.
A value is a whole number, a text or a boolean; None is a missing one.

Shapes: N values or rows, L slots of a sequence, S slots of a layout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rectutor.data.sparse import SparseRows
    from rectutor.features.encoded import Layout

NOTHING, MISSING, UNKNOWN, FIRST = 0, 1, 2, 3
"""Codes that every vocabulary has, and the code of its first value."""

Value = bool | int | str
WORD = 2**64


# -- vocabularies ------------------------------------------------------------------------------------------------
def vocabulary(values: Sequence[Value | None], min_count: int = 1) -> list[Value]:
    """The values that occur at least ``min_count`` times, the most frequent first, equally frequent ones ascending."""
    count = Counter(value for value in values if value is not None)
    kept = sorted(value for value in count if count[value] >= min_count)
    return sorted(kept, key=lambda value: -count[value])


def encode(values: Sequence[Value | None], known: Sequence[Value]) -> list[int]:
    """The code of each value, given the known values in the order of their codes."""
    code = {value: FIRST + place for place, value in enumerate(known)}
    return [MISSING if value is None else code.get(value, UNKNOWN) for value in values]


# -- hashing -----------------------------------------------------------------------------------------------------
def encode_hashed(values: Sequence[Value | None], buckets: int) -> list[int]:
    """Feature hashing, Weinberger et al. (ICML 2009), without their sign: ``3 + hash mod buckets``."""
    return [MISSING if value is None else FIRST + stable_hash(value) % buckets for value in values]


def stable_hash(value: Value) -> int:
    """64 bits that depend on the value alone, not on the platform, the process or the version of Python.

    A text is first reduced to 64 bits by FNV-1a (Fowler, Noll and Vo) over its UTF-8 bytes, a number is taken in two's
    complement, a boolean as 0 or 1; then the finaliser of MurmurHash3 (Appleby) spreads them.
    """
    return finalise(fnv1a(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else int(value) % WORD)


def fnv1a(data: bytes) -> int:
    """FNV-1a of 64 bits: exclusive or with each byte, then times the prime."""
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 % WORD
    return h


def finalise(h: int) -> int:
    """``fmix64`` of MurmurHash3: every bit of the input flips each bit of the output with probability near 1/2."""
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD % WORD
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 % WORD
    return h ^ h >> 33


# -- buckets -----------------------------------------------------------------------------------------------------
def width_edges(values: Sequence[float], buckets: int) -> list[float]:
    """Edges of equal steps between the least and the greatest value; none where these are equal."""
    known = [x for x in values if not isnan(x)]
    low, high = min(known), max(known)
    edges = {low + (high - low) * b / buckets for b in range(1, buckets)}
    return sorted(edge for edge in edges if low < edge)


def quantile_edges(values: Sequence[float], buckets: int) -> list[float]:
    """Edges at every n/buckets-th of the sorted values; one that is not above the least value would part nothing."""
    known = sorted(x for x in values if not isnan(x))
    edges = {known[b * len(known) // buckets] for b in range(1, buckets)}
    return sorted(edge for edge in edges if known[0] < edge)


def bucketize(values: Sequence[float], edges: Sequence[float]) -> list[int]:
    """``3 +`` the number of edges at or below each value; NaN is a missing one."""
    return [MISSING if isnan(x) else FIRST + sum(edge <= x for edge in edges) for x in values]


# -- sequences ---------------------------------------------------------------------------------------------------
def pad(
    codes: Sequence[int],
    weights: Sequence[float],
    lengths: Sequence[int],
    length: int,
    keep: str = "last",
) -> tuple[list[list[int]], list[list[float]]]:
    """Rows of equal length out of sequences that lie one behind the other: codes and weights, [N, L] each.

    A longer sequence keeps its last or first ``length`` values, a shorter one is filled with code 0 and weight 0.
    """
    ids, x = [], []
    start = 0
    for n in lengths:
        row, weight = list(codes[start : start + n]), list(weights[start : start + n])
        start += n
        if n > length:
            cut = slice(n - length, n) if keep == "last" else slice(0, length)
            row, weight = row[cut], weight[cut]
        padding = length - len(row)
        ids.append(row + [NOTHING] * padding)
        x.append(weight + [0.0] * padding)
    return ids, x


# -- libsvm and libffm -------------------------------------------------------------------------------------------
def from_sparse(rows: SparseRows, layout: Layout) -> tuple[list[list[int]], list[list[float]]]:
    """Codes and weights of rows in libsvm or libffm format, [N, S] each: an entry takes the next slot of its field."""
    slots = len(layout.field_of_slot)
    all_ids, all_weights = [], []
    for n in range(len(rows.label)):
        ids, weights = [NOTHING] * slots, [0.0] * slots
        used: Counter[str] = Counter()
        for j in range(rows.indptr[n], rows.indptr[n + 1]):
            field = "features" if rows.fields is None else str(rows.fields[j])
            slot = layout.slots(field).start + used[field]
            used[field] += 1
            code = FIRST + int(rows.ids[j])
            ids[slot] = code if code < layout.sizes["features"] else UNKNOWN
            weights[slot] = float(np.float32(rows.values[j]))
        all_ids.append(ids)
        all_weights.append(weights)
    return all_ids, all_weights
