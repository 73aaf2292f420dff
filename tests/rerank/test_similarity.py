"""Similarity of attributes and unit vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rectutor.rerank import dpp, match_similarity, mmr, reference, unit
from tests.rerank.problems import seeds

NOTES = {
    "level1": ["beauty", "beauty", "travel"],
    "level2": ["make-up", "perfume", "hotels"],
    "brand": ["Chanel", "Chanel", None],
}


@pytest.mark.parametrize("function", [match_similarity, reference.match_similarity])
def test_worked_by_hand(function: Any) -> None:
    s = function(NOTES, {"level1": 0.5, "level2": 0.2, "brand": 0.3})
    np.testing.assert_allclose(s, [[1, 0.8, 0], [0.8, 1, 0], [0, 0, 0.7]], atol=1e-15)
    np.testing.assert_array_equal(function(pd.DataFrame(NOTES), {"level1": 2}), [[1, 1, 0], [1, 1, 0], [0, 0, 1]])


@given(seeds, st.integers(1, 12))
def test_matches_are_a_kernel(seed: int, n: int) -> None:
    """Each attribute is a matrix of blocks of ones, so the sum has no negative eigenvalue."""
    rng = np.random.default_rng(seed)
    columns = {"x": rng.integers(3, size=n), "y": rng.choice(np.array(["p", "q", None], dtype=object), n)}
    s = match_similarity(columns, {"x": 1.5, "y": 0.25})
    assert np.linalg.eigvalsh(s).min() > -1e-12
    np.testing.assert_array_equal(s, s.T)
    # one-hot encodings scaled by the root of the weight have these inner products
    hot = [
        np.asarray(pd.get_dummies(columns[a]), dtype=float) * np.sqrt(w / 1.75) for a, w in (("x", 1.5), ("y", 0.25))
    ]
    encoded = np.concatenate(hot, axis=1)
    np.testing.assert_allclose(s, encoded @ encoded.T, atol=1e-12)
    reward = rng.random(n)
    k = min(n, 4)
    assert mmr(reward, similarity=s, k=k).order.tolist() == mmr(reward, encoded, k=k).order.tolist()
    assert len(dpp(reward, kernel=s, k=k)) == k


@pytest.mark.parametrize(
    ("attributes", "weights", "words"),
    [
        (NOTES, {}, "weights is empty"),
        (NOTES, {"level3": 1}, "weights names the column 'level3'; attributes has 'level1', 'level2', 'brand'"),
        (NOTES, {"level1": 0}, r"weights\['level1'\] is 0; it must be positive"),
        (NOTES, {"level1": -1.0}, "it must be positive"),
        (NOTES, {"level1": float("nan")}, "it must be positive"),
        (NOTES, {"level1": float("inf")}, "it must be positive"),
        ({"x": [1, 2], "y": [1]}, {"x": 1, "y": 1}, r"column 'y' of attributes has shape \(1,\); others have \(2,\)"),
    ],
)
def test_refused(attributes: Any, weights: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        match_similarity(attributes, weights)


@given(seeds, st.sampled_from([1e-100, 1.0, 1e100]))
def test_unit_keeps_directions(seed: int, scale: float) -> None:
    x = np.random.default_rng(seed).standard_normal((2, 5, 3)) * scale
    u = unit(x)
    np.testing.assert_allclose((u**2).sum(axis=-1), 1, rtol=1e-12)
    np.testing.assert_allclose(np.cross(u, x / scale), 0, atol=1e-12)
    assert ((u * x).sum(axis=-1) > 0).all()


def test_unit_takes_vectors_of_any_length() -> None:
    tiny, huge = np.array([[3e-300, 4e-300]]), np.array([[3e300, 4e300]])
    np.testing.assert_allclose(unit(tiny), [[0.6, 0.8]], rtol=1e-12)
    np.testing.assert_allclose(unit(huge), [[0.6, 0.8]], rtol=1e-12)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0.0, 0.0], r"vectors\[1\] is zero or not finite"),
        ([np.nan, 1.0], r"vectors\[1\]"),
        ([np.inf, 1.0], r"vectors\[1\]"),
    ],
)
def test_what_has_no_direction_is_refused(row: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        unit([[1.0, 0.0], row])
    with pytest.raises(ValueError, match=words.replace("1", "0, 1")):
        unit([[[1.0, 0.0], row]])
