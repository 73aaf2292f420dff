"""The k best of each row: against NumPy's sort, with ties, gaps and masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from rectutor.retrieval import reference
from rectutor.retrieval.topk import top_k


def by_sorting(scores: np.ndarray, k: int, banned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An independent route: one stable sort of each masked row."""
    masked = np.where(banned, -np.inf, scores)
    order = np.argsort(-masked, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(masked, order, axis=1)
    return np.where(values > -np.inf, order, -1), values


@pytest.mark.parametrize("function", [top_k, reference.top_k])
def test_worked_by_hand(function: object) -> None:
    assert callable(function)
    scores = np.array([[0.5, 2.0, 2.0, -1.0], [-np.inf, 1.0, -np.inf, -np.inf]], dtype=np.float32)
    seen = sparse.csr_array(np.array([[0, 1, 0, 0], [0, 0, 0, 0]]))
    items, values = function(scores, 2)
    assert items.tolist() == [[1, 2], [1, -1]]
    assert values.tolist() == [[2.0, 2.0], [1.0, -np.inf]]
    assert items.dtype == np.int32
    assert values.dtype == np.float32
    assert function(scores, 3, seen)[0].tolist() == [[2, 0, 3], [1, -1, -1]]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.integers(1, 300),
    st.sampled_from([2, 5, 1000]),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_equals_a_stable_sort(seed: int, n_rows: int, n_items: int, levels: int, share_banned: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(-levels, levels, (n_rows, n_items)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    banned = rng.random(scores.shape) < share_banned
    k = int(rng.integers(1, n_items + 1))
    items, values = top_k(scores, k, sparse.csr_array(banned.astype(np.int8)))
    expected_items, expected_values = by_sorting(scores, k, banned)
    np.testing.assert_array_equal(items, expected_items)
    np.testing.assert_array_equal(values, expected_values)


def test_input_is_not_touched_and_may_be_a_view() -> None:
    wide = np.random.default_rng(0).standard_normal((5, 80)).astype(np.float32)
    view = wide[:, ::2]
    before = wide.copy()
    items, _ = top_k(view, 4, sparse.csr_array(np.eye(5, 40)))
    np.testing.assert_array_equal(wide, before)
    assert items.tolist() == by_sorting(view, 4, np.eye(5, 40, dtype=bool))[0].tolist()


def test_no_rows() -> None:
    items, values = top_k(np.empty((0, 7), dtype=np.float32), 3)
    assert items.shape == values.shape == (0, 3)


def test_infinity_is_a_score() -> None:
    assert top_k(np.array([[0.0, np.inf, 1.0]], dtype=np.float32), 2)[0].tolist() == [[1, 2]]


def test_errors_say_what_and_why() -> None:
    scores = np.zeros((2, 3), dtype=np.float32)
    with pytest.raises(ValueError, match=r"k=4 is larger than the catalogue of 3 items"):
        top_k(scores, 4)
    with pytest.raises(ValueError, match=r"k is 0; ask for at least one"):
        top_k(scores, 0)
    with pytest.raises(TypeError, match=r"scores is float64; give a float32 array"):
        top_k(np.zeros((2, 3)), 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"shape \(3,\); give a matrix"):
        top_k(scores[0], 1)
    with pytest.raises(ValueError, match=r"exclude has shape \(3, 2\), scores \(2, 3\)"):
        top_k(scores, 1, sparse.csr_array(np.zeros((3, 2))))
    scores[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"NaN in row 1"):
        top_k(scores, 1)
    with pytest.raises(ValueError, match=r"NaN in row 1"):  # an excluded NaN is a fault all the same
        top_k(scores, 1, sparse.csr_array(np.array([[0, 0, 0], [0, 0, 1]])))
