"""What each metric of a list means for one user: k recommended items on one side, the truly liked ones on the other.

:mod:`rectutor.metrics.reference` averages these over users. ``items`` are the first k recommended, padded with -1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Liked = dict[int, float]
"""What one user truly likes: ``{item: gain}``, not empty."""

Gain = Literal["binary", "linear", "exponential"]


def hits(items: Sequence[int], liked: Liked) -> int:
    """How many of the recommended items the user truly likes; padding (-1) never counts."""
    return sum(1 for i in items if i in liked)


def recall_of(items: Sequence[int], liked: Liked) -> float:
    """The share of what the user truly likes that was recommended."""
    return hits(items, liked) / len(liked)


def precision_of(items: Sequence[int], liked: Liked) -> float:
    """The share of the k recommended that the user truly likes."""
    return hits(items, liked) / len(items)


def f1_of(items: Sequence[int], liked: Liked) -> float:
    """The harmonic mean of precision and recall; 0 where both are 0."""
    p, r = precision_of(items, liked), recall_of(items, liked)
    return 2 * p * r / (p + r) if p + r > 0 else 0.0


def hit_rate_of(items: Sequence[int], liked: Liked) -> float:
    """1 if anything recommended is liked, else 0."""
    return 1.0 if hits(items, liked) > 0 else 0.0


def mrr_of(items: Sequence[int], liked: Liked) -> float:
    """The reciprocal of the rank of the first item that is liked; 0 without one."""
    for rank, i in enumerate(items, start=1):
        if i in liked:
            return 1 / rank
    return 0.0


def average_precision_of(items: Sequence[int], liked: Liked) -> float:
    """Precision at the rank of each hit, summed, over the most hits that were possible: min(liked, k)."""
    total = 0.0
    for rank, i in enumerate(items, start=1):
        if i in liked:
            total += hits(items[:rank], liked) / rank
    return total / min(len(liked), len(items))


def dcg(gains: Sequence[float]) -> float:
    """Discounted cumulative gain: the gain at rank r counts 1 / log2(r + 1)."""
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def ndcg_of(items: Sequence[int], liked: Liked) -> float:
    """DCG of the list over the DCG of the best list of this length."""
    best = sorted(liked.values(), reverse=True)[: len(items)]
    return dcg([liked.get(i, 0.0) for i in items]) / dcg(best)


def gained(liked: Liked, gain: Gain) -> Liked:
    """The gain of each liked item: 1 (binary), its value (linear) or 2^value - 1 (exponential)."""
    if gain == "binary":
        return dict.fromkeys(liked, 1.0)
    if gain == "linear":
        return liked
    return {i: 2**value - 1 for i, value in liked.items()}
