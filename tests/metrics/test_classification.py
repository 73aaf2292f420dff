"""AUC by counting pairs, log-loss by hand, calibration against a simulated truth; and what is refused."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rectutor.metrics import (
    auc,
    calibration,
    calibration_table,
    correct_downsampling,
    ctcvr,
    ctr,
    cvr,
    downsampled,
    expected_calibration_error,
    expected_sampled_metric,
    gauc,
    gauc_details,
    log_loss,
    normalized_entropy,
    rank_of_positive,
    reference,
    roc_curve,
    sampled_ranks,
)
from rectutor.metrics.kernels import MIDDLE, order_keys, sort_keys

scores_and_labels = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([-2.5, -0.0, 0.0, 0.1, 0.25, 3.0, 1e300])), min_size=2, max_size=40
).filter(lambda rows: len({y for y, _ in rows}) == 2)


def exact_auc(y: Any, s: Any) -> Fraction:
    """All pairs, in fractions."""
    positive = [b for a, b in zip(y, s, strict=True) if a == 1]
    negative = [b for a, b in zip(y, s, strict=True) if a == 0]
    won = sum(Fraction(2 * (p > n) + (p == n), 2) for p in positive for n in negative)
    return Fraction(won) / (len(positive) * len(negative))


# -- AUC -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("function", [auc, reference.auc])
def test_auc_by_hand(function: Any) -> None:
    assert function([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]) == 0.75  # 3 of 4 pairs won
    assert function([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5]) == 0.5
    assert function([1, 0, 0], [0.5, 0.5, 0.1]) == 0.75  # one won, one tied
    assert function([1, 0], [0.5, 0.4], [3.0, 7.0]) == 1.0
    assert function([1, 1, 0], [0.9, 0.1, 0.5], [3.0, 1.0, 2.0]) == 0.75  # 6 of 8 by weight


@settings(max_examples=150, deadline=None)
@given(scores_and_labels)
def test_auc_is_the_exact_quotient(rows: list[tuple[int, float]]) -> None:
    y, s = [a for a, _ in rows], [b for _, b in rows]
    assert auc(y, s) == float(exact_auc(y, s))
    assert reference.auc(y, s) == pytest.approx(float(exact_auc(y, s)), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(scores_and_labels)
def test_auc_sees_the_order_only(rows: list[tuple[int, float]]) -> None:
    y, s = np.array([a for a, _ in rows]), np.array([b for _, b in rows])
    value = auc(y, s)
    assert auc(y, pd.Series(s).rank(method="dense").to_numpy()) == value
    assert auc(y, -s) == pytest.approx(1 - value, abs=1e-15)
    assert auc(1 - y, s) == pytest.approx(1 - value, abs=1e-15)


@pytest.mark.parametrize("rows", [2, 23, 25, 500, MIDDLE - 1, MIDDLE + 1, 200_000])
@pytest.mark.parametrize("levels", [3, 1000, 0])
def test_auc_by_ranks(rows: int, levels: int) -> None:
    """The Mann-Whitney statistic from pandas' mid-ranks, at sizes on both sides of every switch of method."""
    rng = np.random.default_rng(rows + levels)
    y = rng.integers(0, 2, rows)
    y[:2] = [0, 1]
    s = rng.integers(0, levels, rows) / levels if levels else rng.standard_normal(rows)
    positives = int(y.sum())
    rank_sum = float(pd.Series(s).rank().to_numpy()[y == 1].sum())
    expected = (rank_sum - positives * (positives + 1) / 2) / positives / (rows - positives)
    assert auc(y, s) == pytest.approx(expected, rel=1e-13)


def test_auc_does_not_round_scores_to_float32() -> None:
    s = np.array([1.0, 1.0 + 1e-12])
    assert auc([0, 1], s) == 1.0
    assert auc([0, 1], s.astype(np.float32)) == 0.5
    assert auc([0, 1], [2**24, 2**24 + 1]) == 1.0


def test_auc_is_not_the_mean_of_the_batches() -> None:
    """Trap: within each batch the order is perfect, over both it is not."""
    y, s = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    assert (auc(y[:2], s[:2]) + auc(y[2:], s[2:])) / 2 == 1.0
    assert auc(y, s) == 0.75


def test_auc_of_several_threads_is_that_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 5_000)
    for s in (rng.random(5_000), rng.integers(0, 3, 5_000), np.r_[np.full(2_500, -np.inf), np.full(2_500, np.inf)]):
        one, grouped = auc(y, s), gauc(np.arange(5_000) % 7, y, s)
        with monkeypatch.context() as patch:
            patch.setattr("rectutor.metrics.classification.threads_for", lambda rows, least: 4)
            assert auc(y, s) == one
            assert gauc(np.arange(5_000) % 7, y, s) == grouped


@pytest.mark.parametrize("n", [0, 1, 2, 24, 25, 100, MIDDLE - 1, MIDDLE, 3 * MIDDLE])
@pytest.mark.parametrize("bits", [0, 1, 11, 12, 40, 64])
def test_sort_keys(n: int, bits: int) -> None:
    rng = np.random.default_rng(n)
    keys = rng.integers(0, 2**64, n, dtype=np.uint64) >> np.uint64(min(64 - bits, 63))
    expected = np.sort(keys)
    sort_keys(keys, np.empty(n, np.uint64))
    np.testing.assert_array_equal(keys, expected)


def test_order_keys_keep_the_order() -> None:
    s = np.array([-np.inf, -1e308, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0, 1e308, np.inf])
    keys = order_keys(s)
    assert keys[4] == keys[5]
    assert (np.diff(np.delete(keys, 4).astype(object)) > 0).all()


def test_weighted_auc_with_whole_weights_is_auc_of_repeated_rows() -> None:
    rng = np.random.default_rng(2)
    y, s, w = rng.integers(0, 2, 60), rng.integers(0, 9, 60), rng.integers(0, 4, 60)
    assert auc(y, s, w) == pytest.approx(auc(np.repeat(y, w), np.repeat(s, w)), rel=1e-12)


def test_area_under_the_roc_curve_is_auc() -> None:
    rng = np.random.default_rng(4)
    y, s = rng.integers(0, 2, 300), rng.integers(0, 40, 300)
    fpr, tpr, thresholds = roc_curve(y, s)
    assert np.trapezoid(tpr, fpr) == pytest.approx(auc(y, s), rel=1e-12)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert (np.diff(thresholds) < 0).all()


NAN = [0.1, float("nan"), 0.3]


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1, 1], NAN, "scores at row 1 is NaN"),
        ([0, 2, 1], [0.1, 0.2, 0.3], "labels at row 1 is 2; labels must be 0 or 1"),
        (np.array([0, 1, -1], np.int8), [0.1, 0.2, 0.3], "labels at row 2 is -1"),
        (np.array([0, 1, 200], np.uint8), [0.1, 0.2, 0.3], "labels at row 2 is 200"),
        ([0, 0.5, 1], [0.1, 0.2, 0.3], "labels at row 1 is 0.5"),
        ([0, 256, 1], [0.1, 0.2, 0.3], "labels at row 1 is 256"),
        ([1, 1, 1], [0.1, 0.2, 0.3], "labels are all positive"),
        ([0, 0, 0], [0.1, 0.2, 0.3], "labels are all negative"),
        ([0, 1], [0.1, 0.2, 0.3], "labels has 2 rows, scores has 3"),
        ([], [], "scores is empty"),
        ([0, 1], [[0.1, 0.2]], r"scores has shape \(1, 2\)"),
        ([0, 1], [2**53 + 1, 5], f"scores at row 0 is {2**53 + 1}, an integer that float64 cannot hold exactly"),
    ],
)
def test_auc_refuses(labels: Any, scores: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        auc(labels, scores)


def test_all_scores_nan_and_bad_weights() -> None:
    with pytest.raises(ValueError, match="scores at row 0 is NaN"):
        auc(np.tile([0, 1], 100_000), np.full(200_000, np.nan))
    with pytest.raises(ValueError, match="scores at row 1 is NaN"):
        auc([0, 1, 1], NAN, [1, 1, 1])
    with pytest.raises(ValueError, match="the positives or the negatives have total weight 0"):
        auc([0, 1], [0.1, 0.2], [1, 0])
    with pytest.raises(TypeError, match="labels holds <U1; give numbers"):
        auc(["a", "b"], [0.1, 0.2])


# -- GAUC ----------------------------------------------------------------------------------------------
def test_gauc_by_hand() -> None:
    """User a: AUC 1 over 2 rows; user b: AUC 1/2 over 3 rows; user c has one class."""
    groups, y, s = list("aabbbc"), [1, 0, 1, 0, 0, 1], [0.9, 0.1, 0.5, 0.6, 0.2, 0.3]
    details = gauc_details(groups, y, s)
    assert details.value == pytest.approx((2 * 1 + 3 * 0.5) / 5)
    assert (details.groups, details.single_class) == (2, 1)
    assert gauc(groups, y, s, weight="positives") == pytest.approx((1 * 1 + 1 * 0.5) / 2)
    assert gauc(groups, y, s, weight="equal") == pytest.approx(0.75)


def test_gauc_against_auc_group_by_group() -> None:
    """Groups of one to twenty thousand rows, so that both ways of counting are used."""
    rng = np.random.default_rng(8)
    sizes = np.array([1, 2, 5, 40, 300, 6_000, 20_000])
    g = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    y, s = rng.integers(0, 2, len(g)), rng.integers(-500, 500, len(g)) / 7
    total = rows = 0.0
    for group in range(len(sizes)):
        mine = g == group
        if len(set(y[mine])) == 2:
            total += auc(y[mine], s[mine]) * sizes[group]
            rows += sizes[group]
    assert gauc(g, y, s) == pytest.approx(total / rows, rel=1e-13)
    assert gauc(g * 10**12, y, s) == gauc(g, y, s)


def test_gauc_of_one_group_is_auc_and_ignores_shifts_between_users() -> None:
    rng = np.random.default_rng(9)
    g, y, s = rng.integers(0, 20, 2_000), rng.integers(0, 2, 2_000), rng.random(2_000)
    assert gauc(np.zeros(2_000, int), y, s) == pytest.approx(auc(y, s), rel=1e-15)
    assert gauc(g, y, s + 100 * g) == pytest.approx(gauc(g, y, s), rel=1e-12)


@pytest.mark.parametrize(
    ("groups", "labels", "scores", "message"),
    [
        ([0, 0, 1], [1, 1, 0], [0.1, 0.2, 0.3], "none of the 2 groups has both positives and negatives"),
        ([0, 0, 0], [1, 0, 0], NAN, "scores at row 1 is NaN"),
        ([0, 0], [1, 0, 0], [0.1, 0.2, 0.3], "labels has 3 rows, groups has 2"),
        ([0.5, None, 1.0], [1, 0, 0], [0.1, 0.2, 0.3], "groups at row 1 is missing"),
    ],
)
def test_gauc_refuses(groups: Any, labels: Any, scores: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gauc(groups, labels, scores)


def test_gauc_refuses_an_unknown_weight_and_takes_infinite_scores() -> None:
    with pytest.raises(ValueError, match="weight is 'rows'; choose"):
        gauc([0, 0], [0, 1], [0.1, 0.2], weight="rows")  # type: ignore[arg-type]
    assert gauc([0, 0], [0, 1], [-np.inf, np.inf]) == 1.0


# -- log-loss ------------------------------------------------------------------------------------------
def test_log_loss_by_hand() -> None:
    assert log_loss([1, 0], [0.8, 0.4]) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2, rel=1e-14)
    assert log_loss([1, 0], [0.8, 0.4], [3, 1]) == pytest.approx(-(3 * math.log(0.8) + math.log(0.6)) / 4, rel=1e-14)
    assert log_loss([1, 0, 1, 1], [0.5] * 4) == pytest.approx(math.log(2), rel=1e-15)


def test_log_loss_of_certainty() -> None:
    assert log_loss([1, 0], [1.0, 0.0]) == 0.0
    assert log_loss([1, 0], [0.0, 1.0]) == pytest.approx(-math.log(1e-15), rel=1e-12)
    assert log_loss([1, 0], [0.0, 1.0], eps=0.0) == math.inf
    assert log_loss([1, 0], [0.0, 1.0], [1, 0], eps=0.0) == math.inf
    assert log_loss([1, 0], [0.0, 1.0], [1, 1], eps=0.01) == pytest.approx(-math.log(0.01), rel=1e-14)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=70))
def test_log_loss_in_exact_summation(rows: list[tuple[int, float]]) -> None:
    y, p = [a for a, _ in rows], [b for _, b in rows]
    terms = [-math.log(max(b if a else 1 - b, 1e-15)) for a, b in rows]
    assert log_loss(y, p) == pytest.approx(math.fsum(terms) / len(rows), rel=1e-12, abs=1e-15)


def test_log_loss_is_least_at_the_true_probability() -> None:
    y = np.r_[np.ones(30, int), np.zeros(70, int)]
    losses = [log_loss(y, np.full(100, p)) for p in np.arange(1, 100) / 100]
    assert int(np.argmin(losses)) == 29  # p = 0.30
    assert normalized_entropy(y, np.full(100, 0.3)) == pytest.approx(1, rel=1e-12)


def test_log_loss_over_threads() -> None:
    rng = np.random.default_rng(1)
    y, p = rng.integers(0, 2, 300_001), rng.random(300_001)
    expected = -np.where(y == 1, np.log(p), np.log1p(-p)).mean()
    assert log_loss(y, p) == pytest.approx(expected, rel=1e-12)
    p[250_000] = 1.5
    with pytest.raises(ValueError, match=r"p at row 250000 is 1\.5; probabilities lie in"):
        log_loss(y, p)


@pytest.mark.parametrize(
    ("labels", "p", "options", "message"),
    [
        ([0, 1], [0.5, -0.1], {}, r"p at row 1 is -0.1; probabilities lie in \[0, 1\]: apply the sigmoid"),
        ([0, 1], [float("nan"), 0.1], {}, "p at row 0 is nan"),
        ([0, 1], [0.2, 1.1], {"weights": [1, 1]}, "p at row 1 is 1.1"),
        ([0, 3], [0.2, 0.1], {}, "labels at row 1 is 3"),
        ([0, 1], [0.2, 0.1], {"eps": 0.5}, r"eps is 0.5; it must lie in \[0, 0.5\)"),
        ([0, 1], [0.2, 0.1], {"weights": [1, float("nan")]}, "weights at row 1 is nan"),
        ([0, 1, 1], [0.2, 0.1], {}, "labels has 3 rows, p has 2"),
    ],
)
def test_log_loss_refuses(labels: Any, p: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        log_loss(labels, p, **options)


# -- calibration ---------------------------------------------------------------------------------------
def test_calibration_by_hand() -> None:
    y, p = [0, 1, 1, 0], [0.1, 0.2, 0.8, 0.9]
    assert calibration(y, p) == pytest.approx(1.0)
    table = calibration_table(y, p, bins=2)
    assert table["count"].tolist() == [2, 2]
    np.testing.assert_allclose(table["predicted"], [0.15, 0.85])
    np.testing.assert_allclose(table["observed"], [0.5, 0.5])
    assert expected_calibration_error(y, p, bins=2) == pytest.approx(0.35)
    assert expected_calibration_error(y, p, bins=1) == pytest.approx(0.0, abs=1e-15)  # one bin hides everything


def test_quantile_bins_hold_equally_many() -> None:
    rng = np.random.default_rng(0)
    table = calibration_table(rng.integers(0, 2, 1_000), rng.random(1_000) ** 4, bins=8, strategy="quantile")
    assert table["count"].tolist() == [125] * 8


def test_correction_undoes_downsampling_of_negatives() -> None:
    """Thin the negatives of a simulated log to a tenth: the rate seen is the thinned one, the corrected one is true."""
    rng = np.random.default_rng(6)
    n, true, rate = 400_000, 0.03, 0.1
    y = rng.random(n) < true
    kept = y | (rng.random(n) < rate)
    seen = float(y[kept].mean())
    expected = true / (true + rate * (1 - true))
    # Five standard errors of a share from about n * (true + rate) rows.
    assert seen == pytest.approx(expected, abs=5 * math.sqrt(expected * (1 - expected) / kept.sum()))
    assert float(downsampled(true, rate)) == pytest.approx(expected, rel=1e-14)
    assert float(correct_downsampling(expected, rate)) == pytest.approx(true, rel=1e-14)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.floats(1e-3, 1))
def test_correction_scales_the_odds(p: float, rate: float) -> None:
    corrected = float(correct_downsampling(p, rate))
    assert 0 <= corrected <= p + 1e-15
    assert corrected * (1 - p) == pytest.approx(rate * p * (1 - corrected), abs=1e-12)  # odds' = rate * odds
    assert float(downsampled(corrected, rate)) == pytest.approx(p, abs=1e-9)


def test_calibration_refuses() -> None:
    with pytest.raises(ValueError, match="labels hold no positive"):
        calibration([0, 0], [0.1, 0.2])
    with pytest.raises(ValueError, match="strategy is 'even'"):
        calibration_table([0, 1], [0.1, 0.2], strategy="even")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bins is 0"):
        calibration_table([0, 1], [0.1, 0.2], bins=0)
    with pytest.raises(ValueError, match=r"rate is 0; it is the share of negatives that was kept, in \(0, 1\]"):
        correct_downsampling([0.1], 0)
    with pytest.raises(ValueError, match=r"p at row 1 is 2\.0"):
        correct_downsampling([0.1, 2.0], 0.5)
    with pytest.raises(ValueError, match="labels are all the same"):
        normalized_entropy([1, 1], [0.5, 0.5])


# -- rates ---------------------------------------------------------------------------------------------
def test_rates() -> None:
    assert (ctr(20, 1000), cvr(5, 20), ctcvr(5, 1000)) == (0.02, 0.25, 0.005)
    np.testing.assert_allclose(ctr([1, 2], [10, 10]), [0.1, 0.2])
    with pytest.raises(ValueError, match="clicks exceeds impressions; did you swap"):
        ctr(10, 2)
    with pytest.raises(ValueError, match="clicks holds 0; a rate needs at least one"):
        cvr(0, 0)
    with pytest.raises(ValueError, match=r"impressions holds -1\.0; counts must be finite"):
        ctcvr(0, -1)


# -- ranks ---------------------------------------------------------------------------------------------
def test_ranks_by_hand() -> None:
    s = [[0.9, 0.5, 0.5, 0.1]]
    assert rank_of_positive(s, [1]).tolist() == [3.0]
    assert rank_of_positive(s, [1], ties="best").tolist() == [2.0]
    assert rank_of_positive(s, [1], ties="mean").tolist() == [2.5]
    assert rank_of_positive(s, [1], [[3]]).tolist() == [1.0]


def test_sampling_all_negatives_is_full_ranking() -> None:
    rng = np.random.default_rng(0)
    s, positives = rng.random((30, 12)), rng.integers(0, 12, 30)
    np.testing.assert_array_equal(sampled_ranks(s, positives, 11, seed=1), rank_of_positive(s, positives))
    ranks = rank_of_positive(s, positives).astype(int)
    assert expected_sampled_metric(ranks, 12, 11, k=3) == pytest.approx((ranks <= 3).mean(), rel=1e-12)


def test_expected_sampled_metric_is_the_mean_over_draws() -> None:
    s = -np.arange(200.0)[None, :]  # item i has full rank i + 1
    n_draws = 4_000
    for full, k in [(30, 5), (3, 1)]:
        drawn = sampled_ranks(np.repeat(s, n_draws, axis=0), np.full(n_draws, full - 1), 20, seed=full)
        hit = float((drawn <= k).mean())
        expected = expected_sampled_metric([full], 200, 20, k=k)
        assert hit == pytest.approx(expected, abs=5 * math.sqrt(expected * (1 - expected) / n_draws))


def test_ranks_refuse() -> None:
    s = [[0.9, 0.5, 0.1]]
    faults: list[tuple[Any, str]] = [
        ((s, [3]), "positive of user 0 is 3; item codes run from 0 to 2"),
        ((s, [1], [[1, 2]]), "item 1 of user 0 is both positive and negative"),
        ((s, [1], [[5]]), "negative 5 of user 0 is no item code"),
        (([[0.1, float("nan")]], [0]), "scores of user 0, item 1 is NaN"),
        ((s, [0, 1]), r"positives has shape \(2,\)"),
        ((s, [1], [2]), r"negatives has shape \(1,\)"),
        ((s, [1], None, "first"), "ties is 'first'"),
    ]
    for arguments, message in faults:
        with pytest.raises(ValueError, match=message):
            rank_of_positive(*arguments)
    with pytest.raises(ValueError, match="n_negatives is 3, but there are only 2 other items"):
        sampled_ranks(s, [0], 3)
    with pytest.raises(ValueError, match="ranks must be whole numbers from 1 to n_items = 10"):
        expected_sampled_metric([2.5], 10, 5)
    with pytest.raises(ValueError, match="metric is 'auc'"):
        expected_sampled_metric([2], 10, 5, metric="auc")  # type: ignore[arg-type]
