"""Every metric as it is defined: plain loops, one function a definition.

Shapes: U users, k list length, I items, N rows (impressions), D dimension of an item vector, G groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectutor.data.interactions import Interactions
from rectutor.metrics.definitions import (
    Gain,
    Liked,
    average_precision_of,
    f1_of,
    gained,
    hit_rate_of,
    mrr_of,
    ndcg_of,
    precision_of,
    recall_of,
)
from rectutor.metrics.results import ABTest, Estimate, GAUCDetails


# -- lists of k ----------------------------------------------------------------------------------------
def _liked_of(truth: Any) -> list[Liked]:
    """``{item: value}`` of every user, from a CSR array or from interactions."""
    if isinstance(truth, Interactions):
        return list(truth.by_user().values())
    return [
        {int(truth.indices[j]): float(truth.data[j]) for j in range(truth.indptr[u], truth.indptr[u + 1])}
        for u in range(truth.shape[0])
    ]


def _over_users(
    metric: Callable[[Sequence[int], Liked], float],
    recommended: Any,
    truth: Any,
    k: int | None = None,
    *,
    gain: Gain = "binary",
    weights: ArrayLike | None = None,
    per_user: bool = False,
) -> Any:
    """The metric of every user (NaN for one who likes nothing), or its mean over the others."""
    lists = np.asarray(recommended).tolist()
    each = []
    for items, liked in zip(lists, _liked_of(truth), strict=True):
        each.append(metric(items[:k], gained(liked, gain)) if liked else math.nan)
    if per_user:
        return np.array(each)
    w = [1.0] * len(each) if weights is None else np.asarray(weights, float).tolist()
    counted = [(x, wu) for x, wu in zip(each, w, strict=True) if not math.isnan(x)]
    return sum(x * wu for x, wu in counted) / sum(wu for _, wu in counted)


def recall(recommended: Any, truth: Any, k: int | None = None, **options: Any) -> Any:
    """Mean recall at k."""
    return _over_users(recall_of, recommended, truth, k, **options)


def precision(recommended: Any, truth: Any, k: int | None = None, **options: Any) -> Any:
    """Mean precision at k."""
    return _over_users(precision_of, recommended, truth, k, **options)


def f1(recommended: Any, truth: Any, k: int | None = None, **options: Any) -> Any:
    """Mean F1 at k."""
    return _over_users(f1_of, recommended, truth, k, **options)


def hit_rate(recommended: Any, truth: Any, k: int | None = None, **options: Any) -> Any:
    """Share of users with a hit among their k."""
    return _over_users(hit_rate_of, recommended, truth, k, **options)


def mrr(recommended: Any, truth: Any, k: int | None = None, **options: Any) -> Any:
    """Mean reciprocal rank of the first hit."""
    return _over_users(mrr_of, recommended, truth, k, **options)


def mean_average_precision(recommended: Any, truth: Any, k: int | None = None, **options: Any) -> Any:
    """Mean of the average precision at k (MAP)."""
    return _over_users(average_precision_of, recommended, truth, k, **options)


def ndcg(recommended: Any, truth: Any, k: int | None = None, **options: Any) -> Any:
    """Mean normalised discounted cumulative gain at k."""
    return _over_users(ndcg_of, recommended, truth, k, **options)


def topk_metrics(recommended: Any, truth: Any, k: int | None = None, **options: Any) -> dict[str, Any]:
    """All metrics of lists of k by name; for means, also the number of users that count."""
    each = {
        "recall": recall_of,
        "precision": precision_of,
        "f1": f1_of,
        "hit_rate": hit_rate_of,
        "mrr": mrr_of,
        "map": average_precision_of,
        "ndcg": ndcg_of,
    }
    result = {name: _over_users(metric, recommended, truth, k, **options) for name, metric in each.items()}
    if not options.get("per_user", False):
        result["users"] = sum(1 for liked in _liked_of(truth) if liked)
    return result


# -- beyond accuracy -----------------------------------------------------------------------------------
def exposure(recommended: Any, n_items: int) -> NDArray[np.int64]:
    """How often each item was recommended, [I]."""
    counts = np.zeros(n_items, np.int64)
    for items in np.asarray(recommended).tolist():
        for i in items:
            if i >= 0:
                counts[i] += 1
    return counts


def coverage(recommended: Any, n_items: int) -> float:
    """The share of the catalogue recommended to at least one user."""
    shown = {i for items in np.asarray(recommended).tolist() for i in items if i >= 0}
    return len(shown) / n_items


def _mean_of_lists(value: Callable[[list[int]], float], recommended: Any, at_least: int, per_user: bool) -> Any:
    """``value(items)`` of every list of at least so many items (NaN for the others), or its mean over them."""
    lists = [[i for i in items if i >= 0] for items in np.asarray(recommended).tolist()]
    each = [value(items) if len(items) >= at_least else math.nan for items in lists]
    if per_user:
        return np.array(each)
    counted = [x for x in each if not math.isnan(x)]
    return sum(counted) / len(counted)


def novelty(recommended: Any, popularity: ArrayLike, kind: str = "self_information", per_user: bool = False) -> Any:
    """Mean of -log2 p(i), or of p(i), over the items of each list, then over users."""
    p = np.asarray(popularity, float).tolist()

    def of_list(items: list[int]) -> float:
        return sum(-math.log2(p[i]) if kind == "self_information" else p[i] for i in items) / len(items)

    return _mean_of_lists(of_list, recommended, 1, per_user)


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """The _cosine of the angle between two vectors."""
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def intra_list_diversity(
    recommended: Any, vectors: Any = None, *, similarity: Any = None, per_user: bool = False
) -> Any:
    """Mean of 1 - similarity over the unordered pairs of each list, then over users."""

    def similar(i: int, j: int) -> float:
        return float(similarity[i, j]) if vectors is None else _cosine(vectors[i], vectors[j])

    def of_list(items: list[int]) -> float:
        pairs = [(i, j) for a, i in enumerate(items) for j in items[:a]]
        return sum(1 - similar(i, j) for i, j in pairs) / len(pairs)

    return _mean_of_lists(of_list, recommended, 2, per_user)


def gini(amounts: ArrayLike) -> float:
    """Mean difference between two items' amounts over twice the mean amount: 0 equal, 1 - 1/I one takes all."""
    x = np.asarray(amounts, float).tolist()
    difference = sum(abs(a - b) for a in x for b in x)
    return float(difference / (2 * len(x) * sum(x)))


def personalization(recommended: Any) -> float:
    """1 minus the mean overlap of two users' lists, as a share of the list."""
    lists = [{i for i in items if i >= 0} for items in np.asarray(recommended).tolist()]
    k = np.asarray(recommended).shape[1]
    overlaps = [len(a & b) / k for n, a in enumerate(lists) for b in lists[:n]]
    return float(1 - sum(overlaps) / len(overlaps))


# -- scores and labels ---------------------------------------------------------------------------------
def auc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """How likely a random positive scores above a random negative, a tie counting one half: count all pairs."""
    y, s = np.asarray(labels).tolist(), np.asarray(scores).tolist()
    w: list[float] = [1] * len(y) if weights is None else np.asarray(weights, float).tolist()
    won = total = 0.0
    for i in range(len(y)):
        for j in range(len(y)):
            if y[i] == 1 and y[j] == 0:
                total += w[i] * w[j]
                won += w[i] * w[j] * (1.0 if s[i] > s[j] else 0.5 if s[i] == s[j] else 0.0)
    return won / total


def gauc_details(groups: ArrayLike, labels: ArrayLike, scores: ArrayLike, weight: str = "impressions") -> GAUCDetails:
    """AUC within each group with both classes, averaged with the group's impressions (or positives, or 1) as weight."""
    rows: dict[Any, list[tuple[int, float]]] = {}
    for g, y, s in zip(np.asarray(groups).tolist(), np.asarray(labels), np.asarray(scores), strict=True):
        rows.setdefault(g, []).append((int(y), float(s)))
    total = weights = 0.0
    single = 0
    for members in rows.values():
        y, s = [y for y, _ in members], [s for _, s in members]
        if len(set(y)) < 2:
            single += 1
            continue
        w = {"impressions": len(y), "positives": sum(y), "equal": 1}[weight]
        total += w * auc(y, s)
        weights += w
    return GAUCDetails(total / weights, len(rows) - single, single)


def gauc(groups: ArrayLike, labels: ArrayLike, scores: ArrayLike, weight: str = "impressions") -> float:
    """The weighted mean of the groups' AUCs; see :func:`gauc_details`."""
    return gauc_details(groups, labels, scores, weight).value


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Any, Any, Any]:
    """False and true positive rates when everything at or above a threshold is called positive, and the thresholds."""
    y, s = np.asarray(labels).tolist(), np.asarray(scores, float).tolist()
    thresholds = sorted(set(s), reverse=True)
    fpr, tpr = [0.0], [0.0]  # at first nothing is called positive
    for t in thresholds:
        fpr.append(sum(1 for yi, si in zip(y, s, strict=True) if yi == 0 and si >= t) / y.count(0))
        tpr.append(sum(1 for yi, si in zip(y, s, strict=True) if yi == 1 and si >= t) / y.count(1))
    return np.array(fpr), np.array(tpr), np.array([math.inf, *thresholds])


def log_loss(labels: ArrayLike, p: ArrayLike, weights: ArrayLike | None = None, *, eps: float = 1e-15) -> float:
    """Mean of -log of the probability given to what happened, which counts as at least eps."""
    y, q = np.asarray(labels).tolist(), np.asarray(p).tolist()
    w: list[float] = [1.0] * len(y) if weights is None else np.asarray(weights, float).tolist()
    total = 0.0
    for yi, qi, wi in zip(y, q, w, strict=True):
        given = qi if yi == 1 else 1 - qi
        total -= wi * math.log(max(given, eps))
    return total / sum(w)


def normalized_entropy(labels: ArrayLike, p: ArrayLike, *, eps: float = 1e-15) -> float:
    """Log-loss over that of always predicting the base rate: 1 is worth nothing, less is better."""
    y = np.asarray(labels).tolist()
    return log_loss(y, p, eps=eps) / log_loss(y, [sum(y) / len(y)] * len(y))


def calibration(labels: ArrayLike, p: ArrayLike) -> float:
    """Predicted over observed positives: above 1 the model promises too much."""
    return float(sum(np.asarray(p, float).tolist())) / float(sum(np.asarray(labels).tolist()))


def _bin_edges(p: ArrayLike, bins: int, strategy: str) -> list[float]:
    """Edges of the bins: evenly spaced in [0, 1], or quantiles of p without repeats."""
    if strategy == "uniform":
        return [b / bins for b in range(bins + 1)]
    edges = np.quantile(np.asarray(p, float), [b / bins for b in range(bins + 1)]).tolist()
    return sorted(set(edges)) if len(set(edges)) > 1 else [edges[0], edges[0]]


def calibration_table(
    labels: ArrayLike, p: ArrayLike, bins: int = 10, strategy: str = "uniform"
) -> dict[str, NDArray[Any]]:
    """Rows, mean prediction and observed rate in each bin [low, high), the last one closed; NaN for an empty bin."""
    y, q = np.asarray(labels).tolist(), np.asarray(p, float).tolist()
    edges = _bin_edges(p, bins, strategy)
    table: dict[str, list[float]] = {"low": edges[:-1], "high": edges[1:], "count": [], "predicted": [], "observed": []}
    for b in range(len(edges) - 1):
        last = b == len(edges) - 2
        inside = [i for i, x in enumerate(q) if edges[b] <= x and (x < edges[b + 1] or last)]
        n = len(inside)
        table["count"].append(n)
        table["predicted"].append(sum(q[i] for i in inside) / n if n else math.nan)
        table["observed"].append(sum(y[i] for i in inside) / n if n else math.nan)
    return {name: np.array(column) for name, column in table.items()}


def expected_calibration_error(labels: ArrayLike, p: ArrayLike, bins: int = 10, strategy: str = "uniform") -> float:
    """Mean over rows of the gap between prediction and observed rate of the row's bin."""
    table = calibration_table(labels, p, bins, strategy)
    rows = zip(table["count"], table["predicted"], table["observed"], strict=True)
    return float(sum(n * abs(mean - rate) for n, mean, rate in rows if n)) / len(np.asarray(p))


def correct_downsampling(p: ArrayLike, rate: float) -> Any:
    """The true probability behind p learnt after only a share ``rate`` of the negatives was kept."""
    return np.array([rate * x / ((1 - x) + rate * x) for x in np.asarray(p, float).ravel().tolist()])


# -- ranks among sampled negatives ---------------------------------------------------------------------
def rank_of_positive(scores: ArrayLike, positives: ArrayLike, negatives: Any = None, ties: str = "worst") -> Any:
    """Rank (from 1) of each user's positive among its negatives, or among all items."""
    s = np.asarray(scores, float)
    ranks = []
    for u, positive in enumerate(np.asarray(positives).tolist()):
        others = [i for i in range(s.shape[1]) if i != positive] if negatives is None else list(negatives[u])
        above = sum(1 for i in others if s[u, i] > s[u, positive])
        equal = sum(1 for i in others if s[u, i] == s[u, positive])
        ranks.append(1 + above + {"worst": equal, "best": 0, "mean": equal / 2}[ties])
    return np.array(ranks, dtype=float)


def _metric_at_rank(rank: int, metric: str, k: int) -> float:
    """Hit rate, NDCG or reciprocal rank at k of a user whose one liked item stands at ``rank``."""
    if rank > k:
        return 0.0
    return {"hit_rate": 1.0, "ndcg": 1 / math.log2(rank + 1), "mrr": 1 / rank}[metric]


def expected_sampled_metric(
    ranks: ArrayLike, n_items: int, n_negatives: int, metric: str = "hit_rate", k: int = 10
) -> float:
    """What a metric is on average when the positive of full rank r meets m of the n - 1 others, drawn at random."""
    total = 0.0
    all_ranks = [int(r) for r in np.asarray(ranks).tolist()]
    for r in all_ranks:
        for above in range(min(r - 1, n_negatives) + 1):  # how many of the r - 1 better items are drawn
            rest = n_negatives - above
            ways = math.comb(r - 1, above) * math.comb(n_items - r, rest)
            total += ways / math.comb(n_items - 1, n_negatives) * _metric_at_rank(above + 1, metric, k)
    return total / len(all_ranks)


# -- off-policy ----------------------------------------------------------------------------------------
def _importance_weights(propensity: ArrayLike, target: ArrayLike, clip: float | None) -> list[float]:
    """How much more often the target policy takes the logged action: pi / mu, at most ``clip``."""
    ratio = [t / q for t, q in zip(np.asarray(target, float), np.asarray(propensity, float), strict=True)]
    return [float(r) if clip is None else min(float(r), clip) for r in ratio]


def ips(
    rewards: ArrayLike, propensity: ArrayLike, target: ArrayLike, *, clip: float | None = None, level: float = 0.95
) -> Estimate:
    """Inverse propensity scoring: the mean of weight times reward."""
    w, r = _importance_weights(propensity, target, clip), np.asarray(rewards, float).tolist()
    n = len(r)
    terms = [wi * ri for wi, ri in zip(w, r, strict=True)]
    value = sum(terms) / n
    variance = sum((t - value) ** 2 for t in terms) / (n - 1)
    return Estimate.normal(value, math.sqrt(variance / n), level, sum(w) ** 2 / sum(wi**2 for wi in w))


def snips(
    rewards: ArrayLike, propensity: ArrayLike, target: ArrayLike, *, clip: float | None = None, level: float = 0.95
) -> Estimate:
    """Self-normalised IPS: the mean of the rewards weighted by the importance weights."""
    w, r = _importance_weights(propensity, target, clip), np.asarray(rewards, float).tolist()
    value = sum(wi * ri for wi, ri in zip(w, r, strict=True)) / sum(w)
    spread = sum((wi * (ri - value)) ** 2 for wi, ri in zip(w, r, strict=True))
    return Estimate.normal(value, math.sqrt(spread) / sum(w), level, sum(w) ** 2 / sum(wi**2 for wi in w))


# -- A/B tests -----------------------------------------------------------------------------------------
def mean_test(control: ArrayLike, treatment: ArrayLike, *, level: float = 0.95) -> ABTest:
    """Two-sample z-test of the difference of means (treatment - control)."""

    def mean_and_variance(x: list[float]) -> tuple[float, float]:
        mean = sum(x) / len(x)
        return mean, sum((v - mean) ** 2 for v in x) / (len(x) - 1) / len(x)

    a, va = mean_and_variance(np.asarray(control, float).tolist())
    b, vb = mean_and_variance(np.asarray(treatment, float).tolist())
    return ABTest.normal(b - a, math.sqrt(va + vb), level)


def ratio_variance(numerator: ArrayLike, denominator: ArrayLike) -> tuple[float, float]:
    """A ratio of sums over users (clicks / impressions) and its variance by the delta method."""
    x, y = np.asarray(numerator, float).tolist(), np.asarray(denominator, float).tolist()
    n = len(x)
    ratio = sum(x) / sum(y)
    residuals = [xi - ratio * yi for xi, yi in zip(x, y, strict=True)]  # they sum to 0
    return ratio, sum(e * e for e in residuals) / (n - 1) * n / sum(y) ** 2


def peeking_error(looks: int, alpha: float = 0.05, *, points: int = 401) -> float:
    """Chance of a false alarm when a test at level alpha is read after each of ``looks`` equal batches.

    The sum of j standard normal batches is followed from look to look on a grid of values that have not yet crossed
    z sqrt(j); what is no longer there has raised the alarm (Armitage, McPherson and Rowe, 1969).
    """
    from rectutor.metrics.results import normal_quantile

    z = normal_quantile(1 - alpha / 2)

    def bell(x: float) -> float:
        return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    def grid(j: int) -> tuple[list[float], list[float]]:  # Simpson's rule on [-z sqrt(j), z sqrt(j)]
        half, step = z * math.sqrt(j), 2 * z * math.sqrt(j) / (points - 1)
        inner = [4.0 if i % 2 else 2.0 for i in range(1, points - 1)]
        return [-half + i * step for i in range(points)], [step / 3 * c for c in [1.0, *inner, 1.0]]

    at, weight = grid(1)
    density = [bell(x) for x in at]
    for j in range(2, looks + 1):
        new_at, new_weight = grid(j)
        density = [sum(w * d * bell(y - x) for x, w, d in zip(at, weight, density, strict=True)) for y in new_at]
        at, weight = new_at, new_weight
    return 1 - sum(w * d for w, d in zip(weight, density, strict=True))
