"""Maximal marginal relevance: worked examples, other routes to the same list, ties, batches, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rectutor.rerank import mmr, reference
from tests.rerank.problems import Floats, closest, random_columns, random_rules, seeds, unit_rows

windows = st.sampled_from([None, 1, 2, 5])


def plain(reward: Floats, similarity: Floats, k: int, theta: float, window: int | None) -> tuple[list[int], Floats]:
    """The formula, one row of NumPy a round."""
    chosen: list[int] = []
    gains = []
    for _ in range(k):
        score = theta * reward - (1 - theta) * closest(similarity, chosen, window)
        score[chosen] = -np.inf
        gains.append(score.max())
        chosen.append(int(score.argmax()))
    return chosen, np.array(gains)


# -- worked ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("theta", "window", "order", "gain"),
    [
        # similarities: 0 and 1 alike (1), 2 between (0.6 to 0 and 1; 0.8 to 3), 3 apart (0 to 0 and 1)
        (0.5, None, [0, 3, 1, 2], [0.5, 0.2, -0.05, -0.1]),
        (0.5, 1, [0, 3, 1, 2], [0.5, 0.2, 0.45, 0.0]),
        (1.0, None, [0, 1, 2, 3], [1.0, 0.9, 0.6, 0.4]),
        (0.0, None, [0, 3, 2, 1], [0.0, 0.0, -0.8, -1.0]),
    ],
)
def test_worked_by_hand(theta: float, window: int | None, order: list[int], gain: list[float]) -> None:
    vectors = [[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]
    slate = mmr([1.0, 0.9, 0.6, 0.4], vectors, k=4, theta=theta, window=window)
    assert slate.order.tolist() == order
    np.testing.assert_allclose(slate.gain, gain, atol=1e-15)


def test_nothing_is_subtracted_at_the_first_position() -> None:
    slate = mmr([0.2, 0.1], similarity=[[9.0, -9.0], [-9.0, 9.0]], k=2)
    assert slate.order.tolist() == [0, 1]
    np.testing.assert_allclose(slate.gain, [0.1, 0.05 + 4.5])


def test_the_greatest_similarity_counts_not_the_mean() -> None:
    # 2 is alike to 0 alone: greatest 0.9, mean 0.45; 3 is half alike to both: greatest 0.5, mean 0.5
    s = np.array([[1, 0, 0.9, 0.5], [0, 1, 0, 0.5], [0.9, 0, 1, 0], [0.5, 0.5, 0, 1]])
    assert mmr([0.9, 0.8, 0.1, 0.1], similarity=s, k=3).order.tolist() == [0, 1, 3]


# -- other routes ------------------------------------------------------------------------------------------------
@settings(deadline=None)
@given(seeds, st.integers(1, 40), st.integers(1, 6), st.floats(0.01, 1), windows)
def test_equals_the_formula_in_plain_numpy(seed: int, n: int, dim: int, theta: float, window: int | None) -> None:
    rng = np.random.default_rng(seed)
    reward, vectors, k = rng.standard_normal(n), rng.standard_normal((n, dim)), int(rng.integers(1, n + 1))
    order, gain = plain(reward, vectors @ vectors.T, k, theta, window)
    slate = mmr(reward, vectors, k=k, theta=theta, window=window)
    matrix = mmr(reward, similarity=vectors @ vectors.T, k=k, theta=theta, window=window)
    np.testing.assert_allclose(slate.gain, gain, rtol=1e-9, atol=1e-9)
    assert slate.order.tolist() == matrix.order.tolist() == order


@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_thousands_of_candidates(window: int | None, dtype: type) -> None:
    rng = np.random.default_rng(1)
    n, k = 3000, 120
    centres = rng.standard_normal((40, 24))
    vectors: Floats = (centres[rng.integers(40, size=n)] + 0.3 * rng.standard_normal((n, 24))).astype(dtype)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    reward = np.sort(rng.random(n))[::-1]
    wide = vectors.astype(np.float64)
    order, gain = plain(reward, wide @ wide.T, k, 0.6, window)
    slate = mmr(reward, vectors, k=k, theta=0.6, window=window)
    assert slate.order.tolist() == order
    np.testing.assert_allclose(slate.gain, gain, atol=1e-12)


@given(seeds, windows)
def test_theta_one_is_the_ranker_and_theta_zero_forgets_it(seed: int, window: int | None) -> None:
    rng = np.random.default_rng(seed)
    reward, vectors = rng.integers(0, 4, 12) / 4, unit_rows(rng, 12, 3)
    by_rank = np.argsort(-reward, kind="stable").tolist()
    assert mmr(reward, vectors, k=12, theta=1, window=window).order.tolist() == by_rank
    alone = mmr(reward, vectors, k=12, theta=0, window=window)
    assert alone.order.tolist() == mmr(-5 * reward, vectors, k=12, theta=0, window=window).order.tolist()
    assert alone.order[0] == 0


@given(seeds, st.integers(1, 9), st.integers(0, 3))
def test_a_window_of_k_or_more_is_no_window(seed: int, k: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    reward, vectors = rng.random(9), unit_rows(rng, 9, 3)
    wide, none = (mmr(reward, vectors, k=k, window=w) for w in (k + more, None))
    assert wide.order.tolist() == none.order.tolist()
    np.testing.assert_array_equal(wide.gain, none.gain)
    # the last position is compared with k - 1 items, so k - 1 is enough
    if k > 1:
        assert mmr(reward, vectors, k=k, window=k - 1).order.tolist() == none.order.tolist()


@given(seeds, windows)
def test_names_of_the_rows_do_not_matter(seed: int, window: int | None) -> None:
    rng = np.random.default_rng(seed)
    reward, vectors, p = rng.standard_normal(15), unit_rows(rng, 15, 4), rng.permutation(15)
    straight = mmr(reward, vectors, k=10, window=window)
    shuffled = mmr(reward[p], vectors[p], k=10, window=window)
    assert p[shuffled.order].tolist() == straight.order.tolist()
    np.testing.assert_allclose(shuffled.gain, straight.gain, atol=1e-12)


@given(seeds, windows)
def test_turning_all_vectors_changes_nothing(seed: int, window: int | None) -> None:
    rng = np.random.default_rng(seed)
    reward, vectors = rng.standard_normal(15), rng.standard_normal((15, 4))
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    straight, turned = (mmr(reward, v, k=10, window=window) for v in (vectors, vectors @ turn))
    assert turned.order.tolist() == straight.order.tolist()
    np.testing.assert_allclose(turned.gain, straight.gain, atol=1e-10)


@given(seeds, windows)
def test_a_mask_is_the_rows_left_out(seed: int, window: int | None) -> None:
    rng = np.random.default_rng(seed)
    reward, vectors, mask = rng.integers(0, 3, 20) / 4, unit_rows(rng, 20, 4), rng.random(20) < 0.7
    mask[:3] = True
    rows, k = np.flatnonzero(mask), 3
    hidden = np.where(mask[:, None], vectors, np.nan)
    masked = mmr(np.where(mask, reward, np.nan), hidden, k=k, window=window, mask=mask)
    alone = mmr(reward[mask], vectors[mask], k=k, window=window)
    assert masked.order.tolist() == rows[alone.order].tolist()
    np.testing.assert_array_equal(masked.gain, alone.gain)


# -- ties ----------------------------------------------------------------------------------------------------------
@settings(deadline=None)
@given(seeds, st.sampled_from([None, 1, 3]), st.booleans())
def test_of_equal_candidates_the_lower_row_comes_first(seed: int, window: int | None, mixed: bool) -> None:
    """Copies of a few items, some of them off by rounding, in any order: those of one item are taken from the top."""
    rng = np.random.default_rng(seed)
    items, copies = 4, 3
    vectors, reward = unit_rows(rng, items, 5), rng.random(items)
    which = rng.permutation(np.repeat(np.arange(items), copies))
    given_ = vectors[which]
    if mixed:  # the same direction, computed another way: norms differ by rounding
        given_ = given_ * rng.uniform(0.1, 10, (len(which), 1))
        given_ /= np.linalg.norm(given_, axis=1, keepdims=True)
    slate = mmr(reward[which], given_, k=len(which), theta=0.4, window=window)
    assert sorted(slate) == list(range(len(which)))
    for item in range(items):
        rows = [int(i) for i in slate if which[i] == item]
        assert rows == sorted(rows)


def test_ties_of_different_candidates_go_to_the_lower_row() -> None:
    # 1 has more reward, 2 less similarity; 0.5 * 0.75 - 0.5 * 0.5 = 0.5 * 0.25 - 0.5 * 0
    s = np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
    assert mmr([1, 0.75, 0.25], similarity=s, k=2).order.tolist() == [0, 1]
    swap = [0, 2, 1]
    assert mmr([1, 0.25, 0.75], similarity=s[np.ix_(swap, swap)], k=2).order.tolist() == [0, 1]


# -- batches -------------------------------------------------------------------------------------------------------
@settings(deadline=None, max_examples=60)
@given(seeds, windows, st.booleans(), st.booleans(), st.sampled_from(["stop", "relax"]))
def test_a_batch_is_its_users_one_by_one(
    seed: int, window: int | None, matrix: bool, single: bool, infeasible: str
) -> None:
    rng = np.random.default_rng(seed)
    users, n, k = 5, 14, 6
    reward = rng.integers(0, 5, (users, n)) / 5
    vectors = np.stack([unit_rows(rng, n, 3) for _ in range(users)]).astype(np.float32 if single else np.float64)
    mask = rng.random((users, n)) < 0.8
    mask[:, :k] = True
    columns = [random_columns(rng, n) for _ in range(users)]
    attributes: dict[str, Any] = {name: np.stack([c[name] for c in columns]) for name in columns[0]}
    wide = vectors.astype(np.float64)
    s = wide @ wide.transpose(0, 2, 1)
    s = (s + s.transpose(0, 2, 1)) / 2
    options: dict[str, Any] = {
        "k": k, "window": window, "theta": 0.6, "rules": random_rules(rng, 2), "infeasible": infeasible,
    }  # fmt: skip
    given_: dict[str, Any] = {"similarity": s} if matrix else {"vectors": vectors}
    batch = mmr(reward, **given_, mask=mask, attributes=attributes, **options)
    assert batch.order.shape == batch.gain.shape == (users, k)
    notes = []
    for b in range(users):
        own = {name: value[b] for name, value in given_.items()}
        one = mmr(reward[b], **own, mask=mask[b], attributes=columns[b], **options)
        filled = len(one)
        assert batch.order[b].tolist() == one.order.tolist() + [-1] * (k - filled)
        np.testing.assert_array_equal(batch.gain[b], np.append(one.gain, np.zeros(k - filled)))
        notes += [(b, note.position, note.action, note.rules, note.left) for note in one.notes]
    assert [(x.user, x.position, x.action, x.rules, x.left) for x in batch.notes] == notes


def test_input_is_not_touched_and_may_be_a_view() -> None:
    rng = np.random.default_rng(0)
    reward, wide, mask = rng.random(20)[::2], rng.standard_normal((20, 12))[::2, ::3], np.ones(10, dtype=bool)
    before = reward.copy(), wide.copy(), mask.copy()
    slate = mmr(reward, wide, k=5, mask=mask)
    for now, then in zip((reward, wide, mask), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert slate.order.tolist() == mmr(reward.copy(), wide.copy(), k=5).order.tolist()
    assert slate.order.dtype == np.int64


def test_integers_and_lists_are_numbers_too() -> None:
    int_like: Any = np.int64(2)
    assert mmr([3, 2, 1], [[1, 0], [1, 0], [0, 1]], k=int_like, theta=0).order.tolist() == [0, 2]


@given(st.sampled_from([1e-150, 1e-30, 1.0, 1e30, 1e150]), windows)
def test_any_scale(scale: float, window: int | None) -> None:
    """MMR is linear: reward and similarities on another scale, the same list."""
    rng = np.random.default_rng(3)
    reward, vectors = rng.random(15), unit_rows(rng, 15, 4)
    straight = mmr(reward, vectors, k=9, window=window)
    slate = mmr(reward * scale**2 if scale < 1e100 else reward * 1e300, vectors * scale, k=9, window=window)
    assert np.isfinite(slate.gain).all()
    if scale >= 1:  # below, gains are so small that all of them tie
        assert slate.order.tolist() == straight.order.tolist()
        np.testing.assert_allclose(slate.gain, straight.gain * scale**2, rtol=1e-9)


# -- what is refused ----------------------------------------------------------------------------------------------
V, R = np.eye(4), np.array([4.0, 3, 2, 1])
NAN, INF = float("nan"), float("inf")


def with_entry(array: Floats, at: Any, value: float) -> Floats:
    changed = np.array(array, dtype=float)
    changed[at] = value
    return changed


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"theta": -0.1}, ValueError, r"theta is -0.1; it must lie in \[0, 1\]"),
        ({"theta": 1.1}, ValueError, r"theta is 1.1; it must lie in \[0, 1\]"),
        ({"theta": NAN}, ValueError, "theta is nan"),
        ({"k": 0}, ValueError, "k is 0; it must be at least 1"),
        ({"k": -1}, ValueError, "k is -1; it must be at least 1"),
        ({"k": 5}, ValueError, "k is 5, and there are 4 candidates; ask for at most 4"),
        ({"k": True}, TypeError, "k is True; give a whole number"),
        ({"k": 2.0}, TypeError, "k is 2.0; give a whole number"),
        ({"window": 0}, ValueError, "window is 0; it must be at least 1"),
        ({"window": 2.0}, TypeError, "window is 2.0; give a whole number"),
        ({"window": True}, TypeError, "window is True; give a whole number"),
        ({"infeasible": "ignore"}, ValueError, "infeasible is 'ignore'; say \"raise\", \"stop\" or \"relax\""),
        ({"reward": R[:3]}, ValueError, r"vectors has shape \(4, 4\); reward has \(3,\)"),
        ({"reward": []}, ValueError, r"reward has shape \(0,\)"),
        ({"reward": 3.0}, ValueError, r"reward has shape \(\)"),
        ({"reward": np.ones((1, 1, 4))}, ValueError, r"reward has shape \(1, 1, 4\)"),
        ({"reward": ["a", "b", "c", "d"]}, TypeError, "reward has dtype"),
        ({"reward": with_entry(R, 2, NAN)}, ValueError, r"reward\[2\] is nan"),
        ({"reward": with_entry(R, 0, INF)}, ValueError, r"reward\[0\] is inf"),
        ({"reward": with_entry(R, 3, -INF)}, ValueError, r"reward\[3\] is -inf"),
        ({"vectors": np.ones(4)}, ValueError, r"vectors has shape \(4,\)"),
        ({"vectors": np.ones((4, 0))}, ValueError, r"vectors has shape \(4, 0\)"),
        ({"vectors": np.ones((1, 4, 2))}, ValueError, r"vectors has shape \(1, 4, 2\)"),
        ({"vectors": None}, ValueError, "give either vectors or similarity, not both and not neither"),
        ({"similarity": np.eye(4)}, ValueError, "give either vectors or similarity, not both and not neither"),
        ({"mask": [1, 1, 1, 1]}, ValueError, r"mask has dtype int64 and shape \(4,\)"),
        ({"mask": [True] * 3}, ValueError, r"mask has dtype bool and shape \(3,\)"),
        ({"mask": [True, True, False, False], "k": 3}, ValueError, "k is 3, and there are 2 candidates"),
    ],
)  # fmt: skip
def test_refused(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        mmr(**{"reward": R, "vectors": V, "k": 2, **options})


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("row", [0, 1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_vector_that_is_none_is_named(row: int, value: float, window: int | None, dtype: type) -> None:
    bad: Floats = with_entry(V, (row, 2), value).astype(dtype)
    for k in (1, 4):
        with pytest.raises(ValueError, match=rf"vectors\[{row}\] is \["):
            mmr(R, bad, k=k, window=window)
    batch = np.stack([V, bad, V])
    with pytest.raises(ValueError, match=rf"vectors\[1\]\[{row}\] is \["):
        mmr(np.stack([R] * 3), batch, k=2, window=window)


@pytest.mark.parametrize("window", [None, 2])
def test_a_vector_that_is_none_is_named_before_a_dead_end(window: int | None) -> None:
    from rectutor.rerank import MaxRun

    for infeasible in ("raise", "stop"):
        with pytest.raises(ValueError, match=r"vectors\[1\] is \["):
            mmr(
                R, with_entry(V, (1, 1), NAN), k=4, window=window, rules=(MaxRun("x", 1),),
                attributes={"x": [1] * 4}, infeasible=infeasible,
            )  # fmt: skip


@pytest.mark.parametrize("window", [None, 2])
def test_products_that_overflow_are_named(window: int | None) -> None:
    huge = np.array([[1.0, 0], [0, 1e200], [0, 1e200], [0, -1e200]])
    with pytest.raises(ValueError, match="products are not finite"):
        mmr(R, huge, k=4, window=window)


@pytest.mark.parametrize(
    ("similarity", "words"),
    [
        (np.eye(3), r"similarity has shape \(3, 3\); give \(4, 4\)"),
        (np.ones((4, 3)), r"similarity has shape \(4, 3\); give \(4, 4\)"),
        (with_entry(V, (1, 2), 0.5), r"similarity is not symmetric: \[1, 2\] is 0.5, \[2, 1\] is 0.0"),
        (with_entry(V, (2, 2), NAN), r"similarity\[2, 2\] is nan"),
        (with_entry(V, (3, 0), INF), r"similarity\[3, 0\] is inf"),
        (with_entry(V, (0, 3), -INF), r"similarity\[0, 3\] is -inf"),
    ],
)
def test_a_matrix_that_is_none_is_refused(similarity: Floats, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mmr(R, similarity=similarity, k=2)


def test_asymmetry_is_found_wherever_it_is() -> None:
    n = 1100
    for i, j in ((0, 1), (3, 1099), (1098, 1099), (600, 511), (512, 511)):
        s = np.zeros((n, n))
        s[i, j] = 1.0
        with pytest.raises(ValueError, match="similarity is not symmetric"):
            mmr(np.zeros(n), similarity=s, k=1)
    rounding = np.full((3, 3), 0.1)
    rounding[0, 1] += 1e-17
    assert len(mmr(R[:3], similarity=rounding, k=3)) == 3


def test_errors_in_a_batch_name_the_user() -> None:
    reward, vectors = np.stack([R] * 3), np.stack([V] * 3)
    with pytest.raises(ValueError, match=r"reward\[2, 1\] is nan"):
        mmr(with_entry(reward, (2, 1), NAN), vectors, k=2)
    with pytest.raises(ValueError, match=r"similarity\[1\] is not symmetric: \[0, 3\]"):
        mmr(reward, similarity=with_entry(vectors, (1, 0, 3), 1.0), k=2)
    mask = np.ones((3, 4), dtype=bool)
    mask[1, 1:] = False
    with pytest.raises(ValueError, match="k is 2, and there are 1 candidates of user 1"):
        mmr(reward, vectors, k=2, mask=mask)
    with pytest.raises(ValueError, match=r"vectors has shape \(4, 4\)"):
        mmr(reward, V, k=2)
    with pytest.raises(ValueError, match="mask"):
        mmr(reward, vectors, k=2, mask=np.ones(4, dtype=bool))
    with pytest.raises(ValueError, match=r"reward has shape \(0, 4\)"):
        mmr(np.ones((0, 4)), np.ones((0, 4, 2)), k=2)


def test_the_reference_says_the_same() -> None:
    """Beyond the registered cases: kinds of every size, windows, masks, matrices, ties."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 16))
        vectors, reward = rng.integers(-1, 2, (n, 3)) / 2, rng.integers(0, 3, n) / 4
        options: dict[str, Any] = {
            "k": int(rng.integers(1, n + 1)), "theta": float(rng.choice([0, 0.25, 0.5, 1])), "infeasible": "relax",
            "window": [None, 1, 2, 4][rng.integers(4)], "rules": random_rules(rng, 3),
            "attributes": random_columns(rng, n),
        }  # fmt: skip
        slate = mmr(reward, vectors, **options)
        order, gain = reference.mmr(reward, vectors, **options)
        assert slate.order.tolist() == order
        np.testing.assert_allclose(slate.gain, gain, atol=1e-12)
