"""Metrics of lists: worked by hand, by sets, by identities; and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from rectutor.data.interactions import Interactions
from rectutor.metrics import (
    f1,
    hit_rate,
    mean_average_precision,
    mrr,
    ndcg,
    precision,
    recall,
    reference,
    topk_metrics,
)
from rectutor.metrics import kernels as kernels_module

# User 0 likes 1, 3, 4, 7 and gets 3, 0, 7, 2, 1: hits at ranks 1, 3, 5.
LISTS = np.array([[3, 0, 7, 2, 1], [5, 6, 0, -1, -1], [0, 1, 2, 3, 4]])
TRUTH = sparse.csr_array(
    np.array([[0, 1, 0, 3, 2, 0, 0, 1], [1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]], dtype=float)
)
BY_HAND = {
    "recall": [3 / 4, 1.0],
    "precision": [3 / 5, 1 / 5],
    "f1": [2 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5), 1 / 3],
    "hit_rate": [1.0, 1.0],
    "mrr": [1.0, 1 / 3],
    "map": [(1 / 1 + 2 / 3 + 3 / 5) / 4, 1 / 3],
    "ndcg": [
        (1 + 1 / 2 + 1 / math.log2(6)) / (1 + 1 / math.log2(3) + 1 / 2 + 1 / math.log2(5)),
        (1 / 2) / 1,
    ],
}


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("function", [topk_metrics, reference.topk_metrics])
def test_worked_by_hand(name: str, function: Any) -> None:
    each = function(LISTS, TRUTH, 5, per_user=True)[name]
    np.testing.assert_allclose(each[:2], BY_HAND[name], rtol=1e-12)
    assert math.isnan(each[2])  # likes nothing
    assert function(LISTS, TRUTH, 5)[name] == pytest.approx(sum(BY_HAND[name]) / 2, rel=1e-12)
    assert function(LISTS, TRUTH, 5)["users"] == 2


def test_graded_ndcg_by_hand() -> None:
    linear = ndcg(LISTS[:1], TRUTH[:1], 3, gain="linear")
    assert linear == pytest.approx((3 + 1 / 2) / (3 + 2 / math.log2(3) + 1 / 2), rel=1e-12)
    exponential = ndcg(LISTS[:1], TRUTH[:1], 3, gain="exponential")
    assert exponential == pytest.approx((7 + 1 / 2) / (7 + 3 / math.log2(3) + 1 / 2), rel=1e-12)


def test_ndcg_of_wikipedias_example() -> None:
    """Relevances 3, 2, 3, 0, 1, 2 in the order shown, plus an unshown 3 and 2: DCG 6.861, ideal 8.740, NDCG 0.785."""
    truth = sparse.csr_array(np.array([[3.0, 2, 3, 0, 1, 2, 3, 2]]))
    truth.eliminate_zeros()
    assert ndcg([[0, 1, 2, 3, 4, 5]], truth, 6, gain="linear") == pytest.approx(0.785, abs=5e-4)


def test_recall_divides_by_all_that_is_liked_and_precision_by_k() -> None:
    """Trap: pointwise precision is not recall. Nine liked, three shown, all hits."""
    truth = sparse.csr_array(np.ones((1, 9)))
    assert recall([[0, 1, 2]], truth) == pytest.approx(3 / 9)
    assert precision([[0, 1, 2]], truth) == 1.0
    assert precision([[0, -1, -1]], truth) == pytest.approx(1 / 3)  # padding is no excuse


def test_k_cuts_the_list_and_later_hits_do_not_count() -> None:
    assert recall(LISTS[:1], TRUTH[:1], 2) == pytest.approx(1 / 4)
    assert mrr([[5, 6, 0]], sparse.csr_array(TRUTH[[1]]), 2) == 0.0
    assert hit_rate([[5, 6, 0]], sparse.csr_array(TRUTH[[1]]), 2) == 0.0


def test_weights_are_a_weighted_mean_over_users_that_count() -> None:
    got = topk_metrics(LISTS, TRUTH, 5, weights=[1.0, 3.0, 100.0])
    assert got["recall"] == pytest.approx((3 / 4 + 3 * 1.0) / 4, rel=1e-12)


def test_interactions_as_truth() -> None:
    log = Interactions.from_arrays([0, 0, 1], [10, 30, 20], [5.0, 1.0, 2.0])
    assert recall([[0, 1], [0, 2]], log) == pytest.approx((1 / 2 + 0) / 2)
    first = (1 + 5 / math.log2(3)) / (5 + 1 / math.log2(3))  # items 2 and 0 of user 0: gains 1 and 5
    second = 1 / math.log2(3)  # item 1 of user 1, at rank 2
    assert ndcg([[2, 0], [0, 1]], log, gain="linear") == pytest.approx((first + second) / 2, rel=1e-12)


def test_the_single_functions_are_columns_of_the_fused_one() -> None:
    rng = np.random.default_rng(3)
    lists = np.argsort(rng.random((50, 30)), axis=1)[:, :8]
    truth = sparse.csr_array((rng.random((50, 30)) < 0.2).astype(int))
    fused = topk_metrics(lists, truth, 6)
    for function, name in [
        (recall, "recall"),
        (precision, "precision"),
        (f1, "f1"),
        (hit_rate, "hit_rate"),
        (mrr, "mrr"),
        (mean_average_precision, "map"),
        (ndcg, "ndcg"),
    ]:
        assert function(lists, truth, 6) == fused[name]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_by_sets(seed: int, items: int, length: int) -> None:
    """Recall, precision, hit rate from Python sets; all within [0, 1]; the best possible list has NDCG and MAP 1."""
    length = min(length, items)
    rng = np.random.default_rng(seed)
    lists = np.argsort(rng.random((6, items)), axis=1)[:, :length]
    liked = rng.random((6, items)) < 0.4
    liked[0, 0] = True
    truth = sparse.csr_array(liked.astype(float))
    got = topk_metrics(lists, truth, length, per_user=True)
    for u in range(6):
        wanted = set(np.flatnonzero(liked[u]).tolist())
        if not wanted:
            assert all(np.isnan(column[u]) for column in got.values())
            continue
        both = wanted & set(lists[u].tolist())
        assert got["recall"][u] == len(both) / len(wanted)
        assert got["precision"][u] == len(both) / length
        assert got["hit_rate"][u] == float(bool(both))
        assert all(-1e-12 <= column[u] <= 1 + 1e-12 for column in got.values())
        best = sorted(range(items), key=lambda i, w=wanted: i not in w)[:length]  # type: ignore[misc]
        ideal = topk_metrics([best], sparse.csr_array(truth[[u]]), length)
        assert ideal["ndcg"] == pytest.approx(1, abs=1e-12)
        assert ideal["map"] == pytest.approx(1, abs=1e-12)


def test_several_threads_agree_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    lists = np.argsort(rng.random((400, 40)), axis=1)[:, :10]
    truth = sparse.csr_array((rng.random((400, 40)) < 0.1).astype(int))
    one = topk_metrics(lists, truth, per_user=True)
    monkeypatch.setattr("rectutor.metrics.ranking.threads_for", lambda rows, least: 3)
    three = topk_metrics(lists, truth, per_user=True)
    for name in kernels_module.COLUMNS:
        np.testing.assert_array_equal(one[name], three[name])


ONE = sparse.csr_array(np.array([[1.0, 0, 1]]))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([[0]], sparse.csr_array((1, 3))), {}, "none of the 1 users in truth likes anything"),
        (([[0, 1]], ONE, 3), {}, "k is 3, the lists hold 2 items"),
        (([[0, 1, 2, -1]], ONE, 4), {}, "k is 4, the catalogue has 3 items"),
        (([[0, 1]], ONE, 0), {}, "k is 0; it must be at least 1"),
        (([[0, 3]], ONE), {}, "recommended item 3 of user 0 at rank 2 is not a code of the 3 items"),
        (([[0, -2]], ONE), {}, "recommended item -2 of user 0 at rank 2"),
        (([[0, 2**40]], ONE), {}, f"recommended item {2**40} of user 0 at rank 2"),
        (([[2, 0, 2]], ONE), {}, "the list of user 0 recommends item 2 twice"),
        (([[0], [1]], ONE), {}, "recommended has 2 users, truth has 1"),
        (([0, 1], ONE), {}, r"recommended has shape \(2,\)"),
        ((np.empty((0, 3), int), ONE), {}, r"recommended has shape \(0, 3\)"),
        (([[0]], ONE), {"gain": "best"}, "gain is 'best'; choose"),
        (([[0]], ONE), {"weights": [-1.0]}, "weights at row 0 is -1.0"),
        (([[0]], ONE), {"weights": [1.0, 2.0]}, "weights has 2 entries for 1 rows"),
        (([[0]], ONE), {"weights": [0.0]}, "weights are all 0"),
        (([[0]], sparse.csr_array(np.array([[1.0, np.nan]]))), {}, "truth of user 0, item 1 has value nan"),
        (([[0]], sparse.csr_array(np.array([[1.0, -2]]))), {}, "truth of user 0, item 1 has value -2.0"),
        (([[0]], sparse.csr_array(np.array([[2000.0]]))), {"gain": "exponential"}, "user 0, item 0 has value 2000.0"),
        (
            ([[0]], sparse.csr_array((np.zeros(1), np.array([1]), np.array([0, 1])), shape=(1, 2))),
            {},
            r"item 1 has value 0.0; .* eliminate_zeros\(\)",
        ),
        (
            ([[0]], sparse.csr_array((np.ones(2), np.array([1, 1]), np.array([0, 2])), shape=(1, 2))),
            {},
            "truth names item 1 twice for user 0",
        ),
    ],
)
def test_what_is_refused(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        topk_metrics(*arguments, **options)


def test_ids_never_pass_through_floats() -> None:
    with pytest.raises(TypeError, match="recommended holds float64; give integer item codes"):
        recall([[0.0]], ONE)
    with pytest.raises(TypeError, match=r"k is 1\.0; give an integer"):
        recall([[0]], ONE, 1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="truth is a list; give a sparse array"):
        recall([[0]], [[1, 0, 1]])


def test_large_codes_are_told_apart() -> None:
    """2^24 and 2^24 + 1 are one number in float32."""
    truth = sparse.csr_array((np.ones(1), np.array([2**24 + 1]), np.array([0, 1])), shape=(1, 2**24 + 2))
    assert recall([[2**24]], truth) == 0.0
    assert recall([[2**24 + 1]], truth) == 1.0


def test_weights_of_the_users_that_count_must_not_all_be_zero() -> None:
    with pytest.raises(ValueError, match="the users who like something all have weight 0"):
        recall(LISTS, TRUTH, weights=[0, 0, 1])
