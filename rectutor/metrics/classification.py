r"""Metrics of scores and labels: what the order is worth (AUC, GAUC) and what the probabilities are worth (log-loss).

AUC sees the order only: any strictly increasing map of the scores leaves it unchanged. Log-loss sees the probabilities:
it has its least value where they equal the true ones.

Shapes: N rows (impressions), G groups (users), I items, U users.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rectutor.fastpath import fast_path
from rectutor.metrics import cases, reference
from rectutor.metrics.inputs import (
    as_float64,
    as_labels,
    as_probabilities,
    as_weights,
    bad_probability,
    column,
    locked,
    same_length,
    whole,
)
from rectutor.metrics.kernels import auc_part, count_groups, gauc_part, in_threads, log_loss_part, spans, threads_for
from rectutor.metrics.results import GAUCDetails

GroupWeight = Literal["impressions", "positives", "equal"]
Bins = Literal["uniform", "quantile"]


# -- order ---------------------------------------------------------------------------------------------
def _nan_score(scores: NDArray[np.float64]) -> ValueError:
    return ValueError(f"scores at row {int(np.argmax(np.isnan(scores)))} is NaN; drop the row or repair the model")


def _one_class(positives: float) -> ValueError:
    kind = "positive" if positives else "negative"
    return ValueError(f"labels are all {kind}; AUC compares positives with negatives and needs both")


@fast_path(
    reference.auc, cases=cases.scored, rtol=1e-12, bench=cases.scored_of_size, sizes=(500, 1_000, 2_000), unit="rows"
)
def auc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    r"""The probability that a random positive scores above a random negative, a tie counting one half.

    .. math:: \mathrm{AUC} = \frac{1}{N_+ N_-} \sum_{i: y_i = 1} \sum_{j: y_j = 0} [s_i > s_j] + \tfrac12 [s_i = s_j]

    With weights a pair counts :math:`w_i w_j`. Without them the pairs are counted in integers, so the result is the
    exact quotient, rounded once. Scores are compared as they are: float32 or float64, and -0.0 ties with 0.0. Take it
    over all rows at once: the mean of the AUCs of batches is another quantity.

    Args:
        labels: 0 or 1 [N].
        scores: any numbers but NaN [N]; greater means more likely positive.
        weights: a weight >= 0 for each row [N].

    Raises:
        ValueError: unequal lengths, a label that is neither 0 nor 1, NaN, labels of one class only.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    s, y = as_float64(scores, "scores"), as_labels(labels)
    same_length(labels=y, scores=s)
    if weights is not None:
        return _weighted_auc(y, s, as_weights(weights, len(y)))
    cuts = [-np.inf, *_cut_points(s, threads_for(len(s), 50_000)), np.inf]
    parts = in_threads(auc_part, [(s, y, low, high) for low, high in pairwise(cuts)])
    won, positives, negatives = 0, 0, 0
    for part_won, part_positives, part_negatives, bad in parts:  # ascending: what came before lies below
        if bad:
            raise _nan_score(s)
        won += int(part_won) + 2 * int(part_positives) * negatives
        positives += int(part_positives)
        negatives += int(part_negatives)
    if positives == 0 or negatives == 0:
        raise _one_class(positives)
    return won / (2 * positives * negatives)


def _cut_points(s: NDArray[np.float64], parts: int) -> list[float]:
    """Scores that cut the rows into about even parts, ascending and without repeats, from an even sample."""
    if parts == 1:
        return []
    sample = np.sort(s[:: max(1, len(s) // 2_000)])
    sample = sample[~np.isnan(sample)]
    if len(sample) == 0:
        return []
    cuts = {float(sample[len(sample) * p // parts]) for p in range(1, parts)} - {-np.inf, np.inf}
    return sorted(cuts)


def _weighted_auc(y: NDArray[np.uint8], s: NDArray[np.float64], w: NDArray[np.float64]) -> float:
    if np.isnan(s).any():
        raise _nan_score(s)
    order = np.argsort(s, kind="stable")
    y, s, w = y[order], s[order], w[order]
    start = np.flatnonzero(np.r_[True, s[1:] != s[:-1]])  # where each distinct score begins
    positive = np.add.reduceat(w * y, start)
    negative = np.add.reduceat(w * (1 - y), start)
    total = positive.sum() * negative.sum()
    if total == 0:
        raise ValueError("the positives or the negatives have total weight 0; AUC needs both")
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / total)


def _group_codes(groups: ArrayLike) -> tuple[NDArray[np.int32], int]:
    """Codes of the groups and how many there are; integers that are nearly codes are taken as they are."""
    array = np.asarray(groups)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"groups has shape {array.shape}; give one group id a row, at least one row")
    if array.dtype.kind in "iu":
        low, high = int(array.min()), int(array.max())
        if low >= 0 and high < max(1_000, 2 * len(array)):
            return locked(np.ascontiguousarray(array, dtype=np.int32)), high + 1
    if array.dtype.kind != "b" and pd.isna(array).any():
        raise ValueError(f"groups at row {int(np.argmax(pd.isna(array)))} is missing; drop the row or give it an id")
    codes, unique = pd.factorize(array)
    return locked(codes.astype(np.int32)), len(unique)


@fast_path(reference.gauc_details, cases=cases.grouped, rtol=1e-12)
def gauc_details(
    groups: ArrayLike, labels: ArrayLike, scores: ArrayLike, weight: GroupWeight = "impressions"
) -> GAUCDetails:
    """GAUC with the number of groups that count and of those left out for want of a second class; see :func:`gauc`.

    >>> gauc_details(["a", "a", "b"], [0, 1, 1], [0.2, 0.9, 0.5])
    GAUCDetails(value=1.0, groups=1, single_class=1)
    """
    if weight not in ("impressions", "positives", "equal"):
        raise ValueError(f'weight is {weight!r}; choose "impressions", "positives" or "equal"')
    s, y = as_float64(scores, "scores"), as_labels(labels)
    g, n_groups = _group_codes(groups)
    same_length(labels=y, scores=s, groups=g)
    if np.isnan(s.min()):  # NaN where any score is
        raise _nan_score(s)
    threads = threads_for(len(s), 50_000)
    counts = np.zeros((threads, 2 * n_groups), np.int32)
    in_threads(count_groups, [(g[a:b], y[a:b], c) for (a, b), c in zip(spans(len(g), threads), counts, strict=True)])
    sizes = counts.sum(axis=0, dtype=np.int64).reshape(n_groups, 2)  # negatives, positives
    starts = np.concatenate([[0], np.cumsum(sizes)])  # [2 G + 1]
    cuts = np.searchsorted(starts[::2], [len(g) * t // threads for t in range(1, threads)])
    cuts = np.unique(np.concatenate([[0], cuts, [n_groups]]))
    aucs = np.empty(n_groups)
    in_threads(gauc_part, [(g, y, s, starts, a, b, aucs) for a, b in pairwise(cuts)])
    both = ~np.isnan(aucs)
    present = int(np.count_nonzero(sizes.sum(axis=1)))
    counted = int(np.count_nonzero(both))
    if counted == 0:
        raise ValueError(f"none of the {present} groups has both positives and negatives; GAUC has nothing to average")
    w = {"impressions": sizes.sum(axis=1), "positives": sizes[:, 1], "equal": np.ones(n_groups)}[weight][both]
    return GAUCDetails(float(w @ aucs[both] / w.sum()), counted, present - counted)


@fast_path(
    reference.gauc,
    cases=cases.grouped,
    rtol=1e-12,
    bench=cases.grouped_of_size,
    sizes=(1_000, 4_000, 16_000),
    unit="rows",
)
def gauc(groups: ArrayLike, labels: ArrayLike, scores: ArrayLike, weight: GroupWeight = "impressions") -> float:
    r"""AUC within each user, averaged with the user's impressions as weight (Zhu et al., 2017).

    .. math:: \mathrm{GAUC} = \frac{\sum_u n_u \, \mathrm{AUC}_u}{\sum_u n_u}

    A user whose rows are all positive or all negative has no AUC and is left out; :func:`gauc_details` says how many.

    Args:
        groups: the user (or session) of each row [N]: integers or any hashable ids.
        labels, scores: as in :func:`auc`.
        weight: ``"impressions"`` (rows of the user), ``"positives"`` (clicks) or ``"equal"``.

    Raises:
        ValueError: as :func:`auc`; no group with both classes.

    >>> gauc([1, 1, 2, 2, 2], [0, 1, 1, 0, 0], [0.2, 0.9, 0.5, 0.6, 0.1])
    0.7
    """
    return gauc_details(groups, labels, scores, weight).value


@fast_path(reference.roc_curve, cases=cases.scored_plain, rtol=1e-12)
def roc_curve(
    labels: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """False and true positive rates at every distinct threshold, from (0, 0) to (1, 1), and the thresholds.

    The first threshold is infinity: nothing is called positive. Errors as in :func:`auc`.

    >>> fpr, tpr, thresholds = roc_curve([0, 1, 1], [0.3, 0.3, 0.9])
    >>> fpr.tolist(), tpr.tolist(), thresholds.tolist()
    ([0.0, 0.0, 1.0], [0.0, 0.5, 1.0], [inf, 0.9, 0.3])
    """
    s, y = as_float64(scores, "scores"), as_labels(labels)
    same_length(labels=y, scores=s)
    if np.isnan(s).any():
        raise _nan_score(s)
    if y.min() == y.max():
        raise _one_class(float(y[0]))
    order = np.argsort(-s, kind="stable")
    y, s = y[order], s[order]
    last = np.flatnonzero(np.r_[s[1:] != s[:-1], True])  # the last row of each distinct score
    true = np.cumsum(y, dtype=np.int64)[last]
    false = last + 1 - true
    return np.r_[0, false] / false[-1], np.r_[0, true] / true[-1], np.r_[np.inf, s[last]]


# -- probabilities -------------------------------------------------------------------------------------
@fast_path(
    reference.log_loss,
    cases=cases.predicted,
    rtol=1e-11,
    bench=cases.predicted_of_size,
    sizes=(10_000, 40_000, 160_000),
    unit="rows",
)
def log_loss(labels: ArrayLike, p: ArrayLike, weights: ArrayLike | None = None, *, eps: float = 1e-15) -> float:
    r"""The mean surprise at what happened (binary cross-entropy), in nats.

    .. math:: -\frac1N \sum_i y_i \log p_i + (1 - y_i) \log(1 - p_i)

    Args:
        labels: 0 or 1 [N].
        p: probabilities of 1, within [0, 1] [N].
        weights: a weight >= 0 for each row [N].
        eps: a probability given to what happened counts as at least eps, so that one confident mistake costs at most
            -log(eps) = 34.5, not infinity; 0 leaves p as it is.

    Raises:
        ValueError: unequal lengths, a label that is neither 0 nor 1, a probability outside [0, 1] or NaN, eps outside
            [0, 0.5).

    >>> round(log_loss([1, 0], [0.8, 0.4]), 4)
    0.367
    """
    q, y = as_float64(p, "p"), as_labels(labels)
    same_length(labels=y, p=q)
    if not 0 <= eps < 0.5:
        raise ValueError(f"eps is {eps}; it must lie in [0, 0.5)")
    if weights is not None:
        q, y, w = as_probabilities(q), as_labels(y), as_weights(weights, len(y))
        chosen = np.maximum(np.where(y == 1, q, 1 - q), eps)
        with np.errstate(divide="ignore"):
            return float(-(w[w > 0] @ np.log(chosen[w > 0])) / w.sum())
    parts = [(y, q, a, b, float(eps)) for a, b in spans(len(q), threads_for(len(q), 100_000))]
    total = 0.0
    for part, good in in_threads(log_loss_part, parts):
        if not good:
            raise bad_probability(q)
        total += float(part)
    return total / len(q)


@fast_path(reference.normalized_entropy, cases=cases.predicted_plain, rtol=1e-11)
def normalized_entropy(labels: ArrayLike, p: ArrayLike, *, eps: float = 1e-15) -> float:
    """Log-loss over that of always predicting the base rate (He et al., 2014): below 1 the model knows something.

    Raises:
        ValueError: as :func:`log_loss`; labels of one class only (the base rate then has no surprise to divide by).

    >>> round(normalized_entropy([1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]), 12)
    1.0
    """
    y = as_labels(labels)
    rate = float(y.mean())
    if rate in (0.0, 1.0):
        raise ValueError(
            "labels are all the same; the base rate explains them fully, so nothing can be normalised by it"
        )
    return log_loss(y, p, eps=eps) / float(-(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)))


@fast_path(reference.calibration, cases=cases.predicted_plain, rtol=1e-11)
def calibration(labels: ArrayLike, p: ArrayLike) -> float:
    """Sum of predictions over number of positives: 1 is calibrated on the whole, above 1 promises too much.

    Raises:
        ValueError: as :func:`log_loss`; no positive.

    >>> calibration([1, 0, 0, 1], [0.9, 0.5, 0.6, 1.0])
    1.5
    """
    y, q = as_labels(labels), as_probabilities(p)
    same_length(labels=y, p=q)
    positives = int(y.sum(dtype=np.int64))
    if positives == 0:
        raise ValueError("labels hold no positive; predicted over observed cannot be formed")
    return float(q.sum() / positives)


@fast_path(reference.calibration_table, cases=cases.binned, rtol=1e-10)
def calibration_table(
    labels: ArrayLike, p: ArrayLike, bins: int = 10, strategy: Bins = "uniform"
) -> dict[str, NDArray[Any]]:
    """Prediction against observed rate, bin by bin: the reliability diagram as a table.

    Args:
        labels: 0 or 1 [N].
        p: probabilities [N].
        bins: how many bins B.
        strategy: ``"uniform"`` cuts [0, 1] evenly; ``"quantile"`` puts about equally many rows in each bin (quantiles
            that coincide are merged, so there may be fewer bins).

    Returns:
        Columns ``low, high`` (a bin holds low <= p < high, the last one also high), ``count``, ``predicted`` (mean of
        p) and ``observed`` (share of positives), each [B]; NaN in the last two for an empty bin.

    >>> table = calibration_table([0, 1, 1], [0.1, 0.3, 0.9], bins=2)
    >>> table["count"].tolist(), table["predicted"].tolist(), table["observed"].tolist()
    ([2, 1], [0.2, 0.9], [0.5, 1.0])
    """
    y, q = as_labels(labels), as_probabilities(p)
    same_length(labels=y, p=q)
    whole(bins, "bins")
    if strategy == "uniform":
        edges = np.arange(bins + 1) / bins
    elif strategy == "quantile":
        edges = np.unique(np.quantile(q, np.arange(bins + 1) / bins))
        if len(edges) == 1:
            edges = np.r_[edges, edges]
    else:
        raise ValueError(f'strategy is {strategy!r}; choose "uniform" or "quantile"')
    n_bins = len(edges) - 1
    inside = np.minimum(np.searchsorted(edges, q, side="right") - 1, n_bins - 1)  # [N]
    count = np.bincount(inside, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(inside, weights=q, minlength=n_bins) / count
        observed = np.bincount(inside, weights=y, minlength=n_bins) / count
    return {"low": edges[:-1], "high": edges[1:], "count": count, "predicted": predicted, "observed": observed}


@fast_path(reference.expected_calibration_error, cases=cases.binned, rtol=1e-10, atol=1e-15)
def expected_calibration_error(labels: ArrayLike, p: ArrayLike, bins: int = 10, strategy: Bins = "uniform") -> float:
    r"""The gap between prediction and observed rate, bin by bin, averaged over rows (Naeini et al., 2015).

    .. math:: \mathrm{ECE} = \sum_b \frac{n_b}{N} \, \bigl| \bar p_b - \bar y_b \bigr|

    It depends on the bins: state their number and strategy. Arguments as in :func:`calibration_table`.

    >>> round(expected_calibration_error([0, 1, 1], [0.1, 0.3, 0.9], bins=2), 4)
    0.2333
    """
    table = calibration_table(labels, p, bins, strategy)
    gap = np.nan_to_num(np.abs(table["predicted"] - table["observed"]))
    return float(table["count"] @ gap / table["count"].sum())


def _rate(rate: float) -> float:
    if not 0 < rate <= 1:
        raise ValueError(f"rate is {rate}; it is the share of negatives that was kept, in (0, 1]")
    return float(rate)


def _probability(p: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(p, dtype=np.float64)
    as_probabilities(array.ravel())
    return array


@fast_path(reference.correct_downsampling, cases=cases.downsampled, rtol=1e-12)
def correct_downsampling(p: ArrayLike, rate: float) -> NDArray[np.float64]:
    r"""The true probability behind a prediction learnt on data whose negatives were thinned.

    If a share :math:`\alpha` of the negatives was kept, the odds the model saw are :math:`1/\alpha` times the true:

    .. math:: p_\text{true} = \frac{\alpha p}{(1 - p) + \alpha p}

    Args:
        p: predicted probabilities, any shape.
        rate: the share of negatives kept, in (0, 1].

    >>> correct_downsampling([0.5], rate=0.1).round(4).tolist()
    [0.0909]
    """
    a, q = _rate(rate), _probability(p)
    return np.asarray(a * q / ((1 - q) + a * q))


def downsampled(p: ArrayLike, rate: float) -> NDArray[np.float64]:
    r"""What a perfect model predicts after thinning the negatives: the inverse of :func:`correct_downsampling`.

    .. math:: p_\text{thinned} = \frac{p}{p + \alpha (1 - p)}

    >>> downsampled(correct_downsampling([0.2, 0.7], 0.1), 0.1).round(12).tolist()
    [0.2, 0.7]
    """
    a, q = _rate(rate), _probability(p)
    return np.asarray(q / (q + a * (1 - q)))


# -- rates ---------------------------------------------------------------------------------------------
def _share(part: ArrayLike, whole_: ArrayLike, part_name: str, whole_name: str) -> Any:
    a, b = np.asarray(part, dtype=np.float64), np.asarray(whole_, dtype=np.float64)
    for name, x in ((part_name, a), (whole_name, b)):
        if not (np.isfinite(x) & (x >= 0)).all():
            raise ValueError(f"{name} holds {x[~(np.isfinite(x) & (x >= 0))].flat[0]}; counts must be finite and >= 0")
    if (b == 0).any():
        raise ValueError(f"{whole_name} holds 0; a rate needs at least one (leave such rows out)")
    if (a > b).any():
        raise ValueError(f"{part_name} exceeds {whole_name}; did you swap the arguments?")
    rate = a / b
    return float(rate) if rate.ndim == 0 else rate


def ctr(clicks: ArrayLike, impressions: ArrayLike) -> Any:
    """Click-through rate: clicks over impressions, for totals or arrays of them.

    >>> ctr(12, 400)
    0.03
    """
    return _share(clicks, impressions, "clicks", "impressions")


def cvr(conversions: ArrayLike, clicks: ArrayLike) -> Any:
    """Conversion rate: conversions over *clicks*. What happens without a click is not in its sample space.

    >>> cvr(3, 12)
    0.25
    """
    return _share(conversions, clicks, "conversions", "clicks")


def ctcvr(conversions: ArrayLike, impressions: ArrayLike) -> Any:
    """Click-and-convert rate: conversions over *impressions*, which is CTR times CVR.

    >>> ctcvr(3, 400) == ctr(12, 400) * cvr(3, 12)
    True
    """
    return _share(conversions, impressions, "conversions", "impressions")


# -- ranks among sampled negatives ---------------------------------------------------------------------
@fast_path(reference.rank_of_positive, cases=cases.ranked, rtol=0)
def rank_of_positive(
    scores: ArrayLike, positives: ArrayLike, negatives: ArrayLike | None = None, ties: str = "worst"
) -> NDArray[np.float64]:
    """The rank, from 1, of each user's one positive: among all items, or among given negatives.

    Args:
        scores: a score for every user and item [U, I].
        positives: the code of each user's positive [U].
        negatives: codes of the negatives it is ranked among [U, m]; None means every other item (full ranking).
        ties: where a positive stands among equal scores: ``"worst"`` (last), ``"best"`` or ``"mean"``. A model that
            gives everything one score looks perfect under ``"best"``.

    Raises:
        ValueError: shapes that do not fit, codes out of range, the positive among the negatives, NaN.

    >>> scores = [[0.1, 0.9, 0.5, 0.5]]
    >>> rank_of_positive(scores, [2]).tolist(), rank_of_positive(scores, [2], [[0]]).tolist()
    ([3.0], [1.0])
    """
    s, pos = np.asarray(scores), np.asarray(positives)
    if s.ndim != 2:
        raise ValueError(f"scores has shape {s.shape}; give [users, items]")
    n_users, n_items = s.shape
    if np.isnan(s).any():
        user, item = np.argwhere(np.isnan(s))[0]
        raise ValueError(f"scores of user {user}, item {item} is NaN; repair the model")
    if pos.shape != (n_users,) or pos.dtype.kind not in "iu":
        raise ValueError(
            f"positives has shape {pos.shape} of {pos.dtype}; give one item code for each of {n_users} users"
        )
    if ((pos < 0) | (pos >= n_items)).any():
        user = int(np.argmax((pos < 0) | (pos >= n_items)))
        raise ValueError(f"positive of user {user} is {pos[user]}; item codes run from 0 to {n_items - 1}")
    if ties not in ("worst", "best", "mean"):
        raise ValueError(f'ties is {ties!r}; choose "worst", "best" or "mean"')
    own = np.take_along_axis(s, pos[:, None].astype(np.int64), axis=1)  # [U, 1]
    if negatives is None:
        others, itself = s, 1
    else:
        neg = np.asarray(negatives)
        if neg.ndim != 2 or len(neg) != n_users or neg.dtype.kind not in "iu":
            raise ValueError(f"negatives has shape {neg.shape} of {neg.dtype}; give [users, m] item codes")
        if ((neg < 0) | (neg >= n_items)).any():
            user, at = np.argwhere((neg < 0) | (neg >= n_items))[0]
            raise ValueError(
                f"negative {neg[user, at]} of user {user} is no item code; they run from 0 to {n_items - 1}"
            )
        if (neg == pos[:, None]).any():
            user = int(np.argmax((neg == pos[:, None]).any(axis=1)))
            raise ValueError(
                f"item {pos[user]} of user {user} is both positive and negative; draw negatives without it"
            )
        others, itself = np.take_along_axis(s, neg.astype(np.int64), axis=1), 0  # [U, m]
    above = (others > own).sum(axis=1)
    equal = (others == own).sum(axis=1) - itself
    share = {"worst": 1.0, "best": 0.0, "mean": 0.5}[ties]
    return np.asarray(1.0 + above + share * equal)


def sampled_ranks(
    scores: ArrayLike, positives: ArrayLike, n_negatives: int, seed: int | np.random.Generator = 0, ties: str = "worst"
) -> NDArray[np.float64]:
    """The rank of each positive among ``n_negatives`` other items drawn without repeats; see :func:`rank_of_positive`.

    >>> sampled_ranks([[0.1, 0.9, 0.5]], [0], n_negatives=2).tolist()
    [3.0]
    """
    rng = np.random.default_rng(seed)
    n_users, n_items = np.shape(scores)
    whole(n_negatives, "n_negatives")
    if n_negatives > n_items - 1:
        raise ValueError(f"n_negatives is {n_negatives}, but there are only {n_items - 1} other items; lower it")
    pos = np.asarray(positives)
    drawn = np.stack([rng.choice(n_items - 1, n_negatives, replace=False) for _ in range(n_users)])  # [U, m]
    return rank_of_positive(scores, pos, drawn + (drawn >= pos[:, None]), ties)


@fast_path(reference.expected_sampled_metric, cases=cases.sampled, rtol=1e-9)
def expected_sampled_metric(
    ranks: ArrayLike,
    n_items: int,
    n_negatives: int,
    metric: Literal["hit_rate", "ndcg", "mrr"] = "hit_rate",
    k: int = 10,
) -> float:
    r"""What a metric at k tends to when each positive meets only some of the other items (Krichene and Rendle, 2020).

    A positive of full rank r has r - 1 better items; of m negatives drawn without repeats from the n - 1 others,
    the number X that are better is hypergeometric, and the sampled rank is 1 + X:

    .. math:: \frac1U \sum_u \sum_{x=0}^{k-1} P(X = x \mid r_u)\, f(1 + x)

    Args:
        ranks: full ranks, integers from 1 to ``n_items`` [U].
        n_items: size of the catalogue n.
        n_negatives: m, at most ``n_items - 1``; equal to it, this is the full metric.
        metric: f: 1, ``1 / log2(rank + 1)`` or ``1 / rank`` within the first k.
        k: the cut-off.

    >>> round(expected_sampled_metric([50], n_items=1000, n_negatives=100, k=10), 3)
    0.981
    """
    from scipy.stats import hypergeom

    r = column(ranks, "ranks")
    if not (np.equal(np.mod(r, 1), 0) & (r >= 1) & (r <= n_items)).all():
        raise ValueError(
            f"ranks must be whole numbers from 1 to n_items = {n_items}; break ties to the worst or best rank"
        )
    whole(n_negatives, "n_negatives")
    whole(k, "k")
    if n_negatives > n_items - 1:
        raise ValueError(f"n_negatives is {n_negatives}, but there are only {n_items - 1} other items; lower it")
    at = np.arange(1, min(k, n_negatives + 1) + 1)  # sampled ranks that count
    gains = {"hit_rate": np.ones(len(at)), "ndcg": 1 / np.log2(at + 1), "mrr": 1 / at}
    if metric not in gains:
        raise ValueError(f'metric is {metric!r}; choose "hit_rate", "ndcg" or "mrr"')
    distinct, count = np.unique(r.astype(np.int64), return_counts=True)
    chance = hypergeom.pmf((at - 1)[None, :], n_items - 1, (distinct - 1)[:, None], n_negatives)  # [distinct, k]
    return float(count @ (chance @ gains[metric]) / len(r))


__all__ = [
    "auc",
    "calibration",
    "calibration_table",
    "correct_downsampling",
    "ctcvr",
    "ctr",
    "cvr",
    "downsampled",
    "expected_calibration_error",
    "expected_sampled_metric",
    "gauc",
    "gauc_details",
    "log_loss",
    "normalized_entropy",
    "rank_of_positive",
    "roc_curve",
    "sampled_ranks",
]
