"""Coverage, novelty, diversity, Gini, personalization: by hand, by identities; and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from rectutor.metrics import coverage, exposure, gini, intra_list_diversity, novelty, personalization


def test_coverage_and_exposure_by_hand() -> None:
    lists = [[0, 1, -1], [1, 4, 0]]
    assert exposure(lists, 6).tolist() == [2, 2, 0, 0, 1, 0]
    assert coverage(lists, 6) == 0.5
    assert coverage([[-1]], 3) == 0.0


def test_novelty_by_hand() -> None:
    p = [0.5, 0.25, 1.0]
    assert novelty([[0, 1], [2, -1]], p) == pytest.approx(((1 + 2) / 2 + 0) / 2)
    assert novelty([[0, 1], [2, -1]], p, kind="popularity") == pytest.approx((0.375 + 1) / 2)
    assert np.isnan(novelty([[0], [-1]], p, per_user=True)[1])


def test_diversity_by_hand() -> None:
    """Three items: 0 and 1 parallel, 2 at a right angle, so the distances are 0, 1, 1."""
    x = np.array([[1.0, 0], [5.0, 0], [0, 2.0], [-1.0, 0]])
    assert intra_list_diversity([[0, 1, 2]], x) == pytest.approx(2 / 3)
    assert intra_list_diversity([[0, 3]], x) == pytest.approx(2.0)  # opposite
    assert np.isnan(intra_list_diversity([[0, -1], [0, 1]], x, per_user=True)[0])


def test_diversity_of_vectors_is_that_of_their_cosine_matrix() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 7))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    lists = np.argsort(rng.random((3_000, 40)), axis=1)[:, :9]  # more users than one block
    lists[::3, 5:] = -1
    from_matrix = intra_list_diversity(lists, similarity=unit @ unit.T, per_user=True)
    np.testing.assert_allclose(intra_list_diversity(lists, x, per_user=True), from_matrix, rtol=1e-10)
    thin = sparse.csr_array(unit @ unit.T)
    np.testing.assert_allclose(intra_list_diversity(lists, similarity=thin, per_user=True), from_matrix, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any), st.integers(1, 9))
def test_gini_by_pairs(amounts: list[int], scale: int) -> None:
    x = np.array(amounts, float)
    pairs = float(np.abs(x[:, None] - x[None, :]).mean() / (2 * x.mean()))
    assert gini(amounts) == pytest.approx(pairs, abs=1e-12)
    assert gini(x * scale) == pytest.approx(gini(x), abs=1e-12)
    assert gini(amounts[::-1]) == pytest.approx(gini(amounts), abs=1e-14)


def test_personalization_by_pairs() -> None:
    rng = np.random.default_rng(1)
    lists = np.argsort(rng.random((15, 12)), axis=1)[:, :4]
    overlaps = [len(set(a) & set(b)) / 4 for a, b in itertools.combinations(lists.tolist(), 2)]
    assert personalization(lists) == pytest.approx(1 - np.mean(overlaps), rel=1e-12)


@pytest.mark.parametrize(
    ("function", "arguments", "options", "message"),
    [
        (coverage, ([[0, 7]], 5), {}, "recommended item 7 of user 0 at rank 2 is not a code of the 5 items"),
        (coverage, ([[0, -3]], 5), {}, "recommended item -3 of user 0 at rank 2"),
        (coverage, ([[0]], 0), {}, "n_items is 0"),
        (novelty, ([[0, 1]], [0.5, 0.0]), {}, "popularity of item 1, recommended to user 0, is 0"),
        (novelty, ([[0]], [5.0]), {}, "popularity of item 0 is 5.0; give shares"),
        (novelty, ([[0]], [float("nan")]), {}, "popularity at row 0 is nan"),
        (novelty, ([[0]], [0.5]), {"kind": "new"}, "kind is 'new'"),
        (novelty, ([[-1]], [0.5]), {}, "no list holds 1 or more items"),
        (intra_list_diversity, ([[0, 1]],), {}, "give either vectors or similarity"),
        (intra_list_diversity, ([[0, 1]], np.zeros((2, 3))), {}, "the vector of item 0 is zero"),
        (intra_list_diversity, ([[0, 0]], np.ones((2, 3))), {}, "the list of user 0 recommends item 0 twice"),
        (intra_list_diversity, ([[0, -1]], np.ones((2, 3))), {}, "no list holds 2 or more items"),
        (intra_list_diversity, ([[0, 1]],), {"similarity": np.ones((2, 3))}, r"similarity has shape \(2, 3\)"),
        (intra_list_diversity, ([[0, 1]], [[1.0, np.nan], [1, 1]]), {}, "give finite numbers"),
        (gini, ([0, 0],), {}, "amounts run from 0.0 to 0.0"),
        (gini, ([1, -1],), {}, "amounts run from -1.0 to 1.0"),
        (personalization, ([[0, 1]],), {}, "recommended has one user"),
        (personalization, ([[0, 0], [1, 2]],), {}, "the list of user 0 recommends item 0 twice"),
        (personalization, ([[0, -5], [1, 2]],), {}, "recommended item -5 of user 0"),
    ],
)
def test_what_is_refused(function: Any, arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(*arguments, **options)
