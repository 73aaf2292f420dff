"""Determinantal point processes: other routes to the same list, identities, numerical safety, batches, refusals."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from math import cos, log, sin
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rectutor.rerank import MaxRun, dpp, reference
from tests.rerank.problems import Floats, distance2, random_columns, random_rules, seeds, unit_rows

windows = st.sampled_from([None, 1, 2, 5])
forms = pytest.mark.parametrize("form", ["vectors", "kernel"])


def as_given(vectors: Floats, form: str) -> dict[str, Any]:
    return {"vectors": vectors} if form == "vectors" else {"kernel": vectors @ vectors.T}


def check_choices(
    reward: Floats, vectors: Floats, order: list[int], gain: Floats, theta: float, window: int | None, atol: float
) -> None:
    """Each choice is the best one, and gained what is said, by distances from the span computed from scratch."""
    with np.errstate(divide="ignore"):
        for t, i in enumerate(order):
            score = theta * reward + (1 - theta) * np.log(distance2(vectors, order[:t], window))
            assert gain[t] == pytest.approx(score[i], abs=atol), f"gain at position {t}"
            score[order[:t]] = -np.inf
            assert score[i] >= score.max() - atol, f"choice at position {t}"


# -- worked ------------------------------------------------------------------------------------------------------
def test_worked_by_hand() -> None:
    vectors = [[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 1.0, 0.0], [0.0, 0.6, 0.8]]
    slate = dpp([1.0, 0.9, 0.2, 0.1], vectors, k=3, theta=0.5)
    # beside 0: d^2 = 0.36, 1, 1; 0.45 + log 0.6 = -0.06, 0.1, 0.05. Beside 0 and 2: 0, and 0.64
    assert slate.order.tolist() == [0, 2, 3]
    np.testing.assert_allclose(slate.gain, [0.5, 0.1, 0.05 + log(0.8)], atol=1e-12)
    # beside 2 alone: 1 has 0.64, 3 has 0.64; beside 1 alone: 0 is gone, 3 has 1 - 0.36^2
    slate = dpp([1.0, 0.9, 0.2, 0.1], vectors, k=4, theta=0.5, window=1)
    assert slate.order.tolist() == [0, 2, 1, 3]
    np.testing.assert_allclose(slate.gain, [0.5, 0.1, 0.45 + log(0.8), 0.05 + 0.5 * log(1 - 0.36**2)], atol=1e-12)


def test_quality_worked_by_hand() -> None:
    kernel = [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]
    slate = dpp(quality=[3.0, 2.0, 1.5], kernel=kernel, k=3)
    # beside 0: 4 * 0.75 = 3 and 2.25, so 1 goes before 2
    assert slate.order.tolist() == [0, 1, 2]
    np.testing.assert_allclose(slate.gain, np.log([9, 3, 2.25]), atol=1e-12)


# -- other routes ------------------------------------------------------------------------------------------------
@settings(deadline=None)
@given(seeds, st.integers(1, 30), st.floats(0, 0.95), windows, st.sampled_from(["vectors", "kernel"]))
def test_choices_by_distances_from_scratch(seed: int, n: int, theta: float, window: int | None, form: str) -> None:
    rng = np.random.default_rng(seed)
    dim = int(rng.integers(n, 40)) if window is None else int(rng.integers(8, 16))
    reward, vectors, k = rng.standard_normal(n), rng.standard_normal((n, dim)), int(rng.integers(1, n + 1))
    slate = dpp(reward, **as_given(vectors, form), k=k, theta=theta, window=window)
    assert len(set(slate.order.tolist())) == k
    assert slate.notes == ()
    check_choices(reward, vectors, slate.order.tolist(), slate.gain, theta, window, atol=1e-7)


@forms
def test_hundreds_of_candidates(form: str) -> None:
    rng = np.random.default_rng(2)
    centres = rng.standard_normal((40, 64))
    vectors = centres[rng.integers(40, size=800)] + 0.5 * rng.standard_normal((800, 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    reward = np.sort(rng.random(800))[::-1]
    for window in (None, 10):
        slate = dpp(reward, **as_given(vectors, form), k=60, theta=0.7, window=window)
        check_choices(reward, vectors, slate.order.tolist(), slate.gain, 0.7, window, atol=1e-9)


@settings(deadline=None)
@given(seeds, st.integers(1, 7))
def test_equals_the_published_algorithm(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, q = unit_rows(rng, 12, 8), np.exp(rng.standard_normal(12))
    kernel = reference.quality_kernel(q, vectors @ vectors.T)
    published = reference.fast_greedy(kernel, k)
    for slate in (
        dpp(quality=q, vectors=vectors, k=k),
        dpp(quality=q, kernel=vectors @ vectors.T, k=k),
        dpp(np.zeros(12), kernel=kernel, k=k, theta=0),
        dpp(np.zeros(12), vectors * q[:, None], k=k, theta=0),
    ):
        assert slate.order.tolist() == published


@settings(deadline=None)
@given(seeds, st.floats(0, 0.9), windows)
def test_quality_is_reward_in_another_form(seed: int, theta: float, window: int | None) -> None:
    rng = np.random.default_rng(seed)
    reward, vectors = rng.standard_normal(12), unit_rows(rng, 12, 8)
    q = np.exp(theta * reward / (2 * (1 - theta)))
    traded = dpp(reward, vectors, k=7, theta=theta, window=window)
    formed = dpp(quality=q, vectors=vectors, k=7, window=window)
    assert traded.order.tolist() == formed.order.tolist()
    np.testing.assert_allclose(traded.gain, (1 - theta) * formed.gain, atol=1e-9)


@settings(deadline=None)
@given(seeds, st.integers(1, 8), st.sampled_from(["vectors", "kernel"]))
def test_gains_add_up_to_the_log_determinant(seed: int, k: int, form: str) -> None:
    rng = np.random.default_rng(seed)
    vectors, q = rng.standard_normal((12, 9)), np.exp(rng.standard_normal(12))
    slate = dpp(quality=q, **as_given(vectors, form), k=k)
    scaled = (vectors * q[:, None])[slate.order]
    assert slate.gain.sum() == pytest.approx(np.linalg.slogdet(scaled @ scaled.T)[1], abs=1e-8)
    assert slate.gain.sum() == pytest.approx(np.log(np.linalg.eigvalsh(scaled @ scaled.T)).sum(), abs=1e-8)
    assert slate.gain.sum() == pytest.approx(2 * log(reference.volume(scaled)), abs=1e-8)
    assert (np.diff(slate.gain) < 1e-9).all()


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(1, 4))
def test_never_above_the_best_subset_nor_below_the_guarantee(seed: int, k: int) -> None:
    """log det(I + X X^T) is monotone and submodular: greedy search reaches 1 - 1/e of the best of all subsets."""
    x = np.random.default_rng(seed).standard_normal((9, 3))
    kernel = np.eye(9) + x @ x.T
    best = max(float(np.linalg.slogdet(kernel[np.ix_(s, s)])[1]) for s in map(list, combinations(range(9), k)))
    reached = float(dpp(np.zeros(9), kernel=kernel, theta=0, k=k).gain.sum())
    assert (1 - np.exp(-1)) * best - 1e-9 <= reached <= best + 1e-9


@settings(deadline=None)
@given(seeds, windows)
def test_theta_one_is_the_ranker_and_theta_zero_forgets_it(seed: int, window: int | None) -> None:
    rng = np.random.default_rng(seed)
    reward, vectors = rng.integers(0, 4, 12) / 4, unit_rows(rng, 12, 6)
    slate = dpp(reward, vectors, k=12, theta=1, window=window)
    assert slate.order.tolist() == np.argsort(-reward, kind="stable").tolist()
    assert slate.notes == ()  # volume has no weight, so nothing can lack it
    alone, other = (dpp(r, vectors, k=5, theta=0, window=window) for r in (reward, rng.random(12)))
    assert alone.order.tolist() == other.order.tolist()


@settings(deadline=None)
@given(seeds, st.integers(1, 9), st.integers(0, 3))
def test_a_window_of_k_or_more_is_no_window(seed: int, k: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    reward, vectors = rng.random(9), unit_rows(rng, 9, 9)
    wide, none = (dpp(reward, vectors, k=k, window=w) for w in (k + more, None))
    assert wide.order.tolist() == none.order.tolist()
    np.testing.assert_array_equal(wide.gain, none.gain)
    if k > 1:  # the last position stands beside k - 1 items; this goes the way of windows
        close = dpp(reward, vectors, k=k, window=k - 1)
        assert close.order.tolist() == none.order.tolist()
        np.testing.assert_allclose(close.gain, none.gain, atol=1e-9)


@settings(deadline=None)
@given(seeds, windows)
def test_names_of_the_rows_and_turns_of_the_space_do_not_matter(seed: int, window: int | None) -> None:
    rng = np.random.default_rng(seed)
    reward, vectors, p = rng.standard_normal(14), unit_rows(rng, 14, 9), rng.permutation(14)
    turn = np.linalg.qr(rng.standard_normal((9, 9)))[0]
    straight = dpp(reward, vectors, k=8, window=window)
    for other, order in (
        (dpp(reward[p], vectors[p], k=8, window=window), p),
        (dpp(reward, vectors @ turn, k=8, window=window), np.arange(14)),
    ):
        assert order[other.order].tolist() == straight.order.tolist()
        np.testing.assert_allclose(other.gain, straight.gain, atol=1e-9)


@settings(deadline=None)
@given(seeds, windows, st.booleans())
def test_a_mask_is_the_rows_left_out(seed: int, window: int | None, quality: bool) -> None:
    rng = np.random.default_rng(seed)
    reward, vectors, mask = rng.integers(1, 4, 20) / 4, unit_rows(rng, 20, 6), rng.random(20) < 0.7
    mask[:4] = True
    rows = np.flatnonzero(mask)
    hidden = np.where(mask[:, None], vectors, np.nan)
    name = "quality" if quality else "reward"
    for blank in (np.nan, -1.0 if quality else np.inf):
        worth = np.where(mask, reward, blank)
        options: dict[str, Any] = {"k": 4, "window": window}
        masked = dpp(**{name: worth, "vectors": hidden, "mask": mask, **options})
        alone = dpp(**{name: reward[mask], "vectors": vectors[mask], **options})
        assert masked.order.tolist() == rows[alone.order].tolist()
        np.testing.assert_array_equal(masked.gain, alone.gain)


def test_single_precision_vectors_are_taken_at_their_word() -> None:
    """Sums are in 64 bits: the same as the same numbers in 64 bits."""
    rng = np.random.default_rng(5)
    vectors, reward = unit_rows(rng, 60, 16).astype(np.float32), rng.random(60)
    for window in (None, 4):
        single, double = (dpp(reward, v, k=14, theta=0.3, window=window) for v in (vectors, vectors.astype(float)))
        assert single.order.tolist() == double.order.tolist()
        np.testing.assert_allclose(single.gain, double.gain, atol=1e-13)


# -- ties ----------------------------------------------------------------------------------------------------------
@settings(deadline=None)
@given(seeds, windows, st.booleans())
def test_of_equal_candidates_the_lower_row_comes_first(seed: int, window: int | None, mixed: bool) -> None:
    rng = np.random.default_rng(seed)
    vectors, reward = unit_rows(rng, 4, 6), rng.random(4)
    which = rng.permutation(np.repeat(np.arange(4), 3))
    given_ = vectors[which]
    if mixed:  # the same direction, computed another way: norms differ by rounding
        given_ = given_ * rng.uniform(0.1, 10, (len(which), 1))
        given_ /= np.linalg.norm(given_, axis=1, keepdims=True)
    slate = dpp(reward[which], given_, k=len(which), theta=0.4, window=window)
    assert sorted(slate) == list(range(len(which)))
    for item in range(4):
        rows = [int(i) for i in slate if which[i] == item]
        assert rows == sorted(rows)


def test_axes_tie_at_every_position() -> None:
    p = np.random.default_rng(0).permutation(9)
    assert dpp(np.zeros(9), np.eye(9)[p], k=9).order.tolist() == list(range(9))
    turned = np.linalg.qr(np.random.default_rng(1).standard_normal((9, 9)))[0]
    assert dpp(np.zeros(9), turned, k=9).order.tolist() == list(range(9))
    assert dpp(np.zeros(9), turned, k=9, window=2).order.tolist() == list(range(9))


# -- numerical safety ------------------------------------------------------------------------------------------
@forms
@pytest.mark.parametrize("window", [None, 1])
@pytest.mark.parametrize("angle", [1e-1, 1e-2, 1e-3, 1e-4])
def test_small_angles_have_their_volume(angle: float, window: int | None, form: str) -> None:
    vectors = np.array([[1.0, 0.0], [cos(angle), sin(angle)]])
    slate = dpp([1.0, 0.5], **as_given(vectors, form), k=2, theta=0.5, window=window)
    assert slate.order.tolist() == [0, 1]
    assert slate.notes == ()
    # products are rounded by 1e-16, which is this part of the squared sine
    assert slate.gain[1] == pytest.approx(0.25 + log(sin(angle)), abs=4e-16 / angle**2)


@forms
@pytest.mark.parametrize("window", [None, 1])
@pytest.mark.parametrize("angle", [9e-6, 1e-6, 1e-7, 1e-8, 1e-9, 0.0])
def test_smaller_angles_have_none(angle: float, window: int | None, form: str) -> None:
    vectors = np.array([[1.0, 0.0], [cos(angle), sin(angle)], [1.0, 1.0]])
    slate = dpp([1.0, 0.9, -9.0], **as_given(vectors, form), k=3, theta=0.9, window=window)
    assert slate.order.tolist() == [0, 2, 1]
    beside = {"vectors": vectors[:2]} if form == "vectors" else {"kernel": (vectors @ vectors.T)[:2, :2]}
    slate = dpp([1.0, 0.9], **beside, k=2, window=window)
    assert slate.order.tolist() == [0, 1]
    assert slate.gain[1] == -np.inf
    (note,) = slate.notes
    assert (note.position, note.reason, note.action, note.rules, note.left) == (1, "dependent", "reward", (), (1,))
    assert str(note) == "position 1: 1 item left (1), none adds volume; taken by reward"
    slate = dpp([1.0, 0.9], **beside, k=2, window=window, dependent="stop")
    assert slate.order.tolist() == [0]
    assert str(slate.notes[0]) == "position 1: 1 item left (1), none adds volume; the slate ends here"


@forms
@pytest.mark.parametrize("scale", [1e-150, 1e-75, 1e-8, 1e8, 1e75, 1e150])
@pytest.mark.parametrize("window", [None, 3])
def test_lengths_of_any_size(scale: float, window: int | None, form: str) -> None:
    rng = np.random.default_rng(7)
    vectors, reward = unit_rows(rng, 20, 6), rng.random(20)
    near = vectors[:5] + 1e-4 * rng.standard_normal((5, 6))
    vectors, reward = np.concatenate([vectors, near]), np.append(reward, reward[:5])
    straight = dpp(reward, **as_given(vectors, form), k=12, window=window)
    slate = dpp(reward, **as_given(vectors * scale, form), k=12, window=window)
    assert slate.order.tolist() == straight.order.tolist()
    assert [n.position for n in slate.notes] == [n.position for n in straight.notes]
    full = np.isfinite(straight.gain)
    np.testing.assert_array_equal(np.isfinite(slate.gain), full)
    np.testing.assert_allclose(slate.gain[full], straight.gain[full] + log(scale), atol=1e-6)


@settings(deadline=None)
@given(seeds, st.sampled_from(["vectors", "kernel"]), st.integers(1, 4))
def test_beyond_the_rank_positions_go_by_reward_or_end(seed: int, form: str, rank: int) -> None:
    rng = np.random.default_rng(seed)
    n = 12
    vectors, reward = rng.standard_normal((n, rank)), rng.integers(0, 3, n) / 2
    slate = dpp(reward, **as_given(vectors, form), k=n, theta=0.5)
    order = slate.order.tolist()
    assert sorted(order) == list(range(n))
    rest = [i for i in np.argsort(-reward, kind="stable").tolist() if i not in order[:rank]]
    assert order[rank:] == rest
    assert np.isfinite(slate.gain[:rank]).all()
    assert (slate.gain[rank:] == -np.inf).all()
    assert [note.position for note in slate.notes] == list(range(rank, n))
    assert {(note.action, note.reason) for note in slate.notes} == {("reward", "dependent")}
    stopped = dpp(reward, **as_given(vectors, form), k=n, theta=0.5, dependent="stop")
    assert stopped.order.tolist() == order[:rank]
    np.testing.assert_array_equal(stopped.gain, slate.gain[:rank])
    (note,) = stopped.notes
    assert (note.position, note.action, note.n_left) == (rank, "stopped", n - rank)


@settings(deadline=None, max_examples=200)
@given(seeds, st.sampled_from(["vectors", "kernel"]), st.integers(1, 3), st.integers(1, 6))
def test_windows_over_dependent_items(seed: int, form: str, rank: int, window: int) -> None:
    """Duplicates, zeros and more items than directions in the window: who leaves takes only what nobody else spans."""
    rng = np.random.default_rng(seed)
    n = 14
    vectors, reward = rng.integers(-1, 2, (n, rank)).astype(float), rng.permutation(n) / n
    order, gain = reference.dpp(reward, vectors, k=n, theta=0.3, window=window)
    slate = dpp(reward, **as_given(vectors, form), k=n, theta=0.3, window=window)
    assert slate.order.tolist() == order
    np.testing.assert_allclose(slate.gain, gain, atol=1e-9)
    assert [note.position for note in slate.notes] == [t for t, g in enumerate(gain) if g == -np.inf]


def test_a_direction_leaves_though_copies_of_its_neighbour_stay() -> None:
    vectors = np.array([[1, 0], [0, 1], [0, 1], [0, 1], [0, 1], [1, 0]])
    slate = dpp([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], vectors, k=6, window=3)
    # at position 4 the window holds rows 1, 2 and 3, which span one direction: row 5 adds the other
    assert slate.order.tolist() == [0, 1, 2, 3, 5, 4]
    np.testing.assert_allclose(slate.gain, [0.45, 0.4, -np.inf, -np.inf, 0.2, -np.inf])


def test_an_item_that_depended_has_volume_once_the_others_left() -> None:
    vectors = np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [2, 0, 0], [0, 0, 1]])
    reward = [5.0, 4, 3, 2, -50]
    slate = dpp(reward[:4], vectors[:4], k=4, window=2)
    # rows 2 and 3 depend on rows 0 and 1; row 3 depends on rows 1 and 2 as well
    assert slate.order.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(slate.gain, [2.5, 2, -np.inf, -np.inf])
    # volume outranks even a bad reward; beside rows 1 and 4, row 3 has a squared distance of 4
    slate = dpp(reward, vectors, k=5, window=2)
    assert slate.order.tolist() == [0, 1, 4, 3, 2]
    np.testing.assert_allclose(slate.gain, [2.5, 2, -25, 1 + log(2), 1.5])


@forms
def test_a_thousand_positions_do_not_drift(form: str) -> None:
    rng = np.random.default_rng(11)
    n, window = 1100, 8
    vectors, reward = unit_rows(rng, n, 16), rng.random(n)
    slate = dpp(reward, **as_given(vectors, form), k=1000, theta=0.5, window=window)
    assert slate.notes == ()
    check_choices(reward, vectors, slate.order.tolist(), slate.gain, 0.5, window, atol=1e-9)


@forms
@pytest.mark.parametrize("spread", [1e-1, 1e-2, 1e-3])
def test_near_dependent_vectors_do_not_drift_in_a_window(spread: float, form: str) -> None:
    """All candidates lie within a narrow cone: the window's Gram matrix has a condition of about spread^-2."""
    rng = np.random.default_rng(12)
    n, window = 400, 6
    vectors = np.array([1.0] + [0.0] * 11) + spread * rng.standard_normal((n, 12))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    reward = rng.random(n)
    slate = dpp(reward, **as_given(vectors, form), k=300, theta=0.5, window=window)
    assert slate.notes == ()
    check_choices(reward, vectors, slate.order.tolist(), slate.gain, 0.5, window, atol=1e-12 / spread**2)


@settings(deadline=None, max_examples=200)
@given(
    seeds, st.sampled_from([None, 1, 2, 4]), st.sampled_from(["vectors", "kernel"]), st.sampled_from(["reward", "stop"])
)
def test_never_nan_nor_twice(seed: int, window: int | None, form: str, dependent: str) -> None:
    """Copies, zeros, near copies at all angles and lengths from 1e-150 to 1e150 in one list."""
    rng = np.random.default_rng(seed)
    n = 16
    vectors = rng.standard_normal((n, int(rng.integers(1, 6))))
    vectors[rng.integers(n, size=5)] = vectors[rng.integers(n, size=5)]
    vectors[rng.integers(n, size=5)] += 10.0 ** rng.integers(-17, -1, (5, 1)) * rng.standard_normal((5, 1))
    vectors[rng.integers(n, size=2)] = 0
    vectors *= 10.0 ** rng.integers(-150, 150) if rng.random() < 0.5 else 10.0 ** rng.integers(-9, 9, (n, 1))
    options: dict[str, Any] = {"k": n, "theta": 0.3, "window": window, "dependent": dependent}
    slate = dpp(rng.random(n), **as_given(vectors, form), **options)
    order = slate.order.tolist()
    assert len(set(order)) == len(order)
    assert set(order) <= set(range(n))
    assert not np.isnan(slate.gain).any()
    by_reward = [t for t, g in enumerate(slate.gain) if g == -np.inf]
    if dependent == "reward":
        assert len(order) == n
        assert [note.position for note in slate.notes] == by_reward
    else:
        assert by_reward == []
        assert [note.position for note in slate.notes] == ([len(order)] if len(order) < n else [])


TINY = """
import numpy as np
from rectutor.rerank import dpp
rng = np.random.default_rng(0)
for _ in range(20):
    v = rng.standard_normal((10, 4))
    v[5:] = v[:5] + 10.0 ** rng.integers(-9, -2, (5, 1)) * rng.standard_normal((5, 4))
    for exponent in range(-165, -150):
        for window in (None, 3):
            slate = dpp(rng.random(10), v * 10.0**exponent, k=10, theta=0.3, window=window)
            assert len(set(slate)) == 10 and not np.isnan(slate.gain).any(), exponent
"""


def test_vectors_whose_squares_underflow_come_to_an_end() -> None:
    """In a process of its own: compiled code that does not end cannot be interrupted."""
    done = subprocess.run([sys.executable, "-c", TINY], timeout=120, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_rules_and_dependence_together() -> None:
    """Position 1 has to be a "q", all of which lie in the span; then rules end the slate."""
    vectors = np.array([[1.0, 0], [0, 1], [2, 0], [3, 0]])
    given_: dict[str, Any] = {
        "k": 4, "theta": 0.5, "rules": (MaxRun("x", 1),), "attributes": {"x": list("ppqp")}, "infeasible": "stop",
    }  # fmt: skip
    slate = dpp([9.0, 1, 2, 3], vectors, **given_)
    assert slate.order.tolist() == [0, 2, 1]
    assert [(n.position, n.reason, n.action) for n in slate.notes] == [
        (1, "dependent", "reward"),
        (3, "rules", "stopped"),
    ]
    assert dpp([9.0, 1, 2, 3], vectors, **given_, dependent="stop").order.tolist() == [0]
    relaxed = dpp([9.0, 1, 2, 3], vectors, **{**given_, "infeasible": "relax"})
    assert relaxed.order.tolist() == [0, 2, 1, 3]
    assert [(n.position, n.reason) for n in relaxed.notes] == [(1, "dependent"), (3, "rules"), (3, "dependent")]


# -- batches -------------------------------------------------------------------------------------------------------
@settings(deadline=None, max_examples=80)
@given(
    seeds, windows, st.sampled_from(["vectors", "kernel"]), st.booleans(), st.sampled_from(["reward", "stop"]),
    st.sampled_from(["stop", "relax"]),
)  # fmt: skip
def test_a_batch_is_its_users_one_by_one(
    seed: int, window: int | None, form: str, quality: bool, dependent: str, infeasible: str
) -> None:
    rng = np.random.default_rng(seed)
    users, n, k = 5, 14, 7
    worth = rng.integers(1, 5, (users, n)) / 5
    vectors = np.stack([unit_rows(rng, n, 4) for _ in range(users)])
    mask = rng.random((users, n)) < 0.8
    mask[:, :k] = True
    columns = [random_columns(rng, n) for _ in range(users)]
    attributes = {name: np.stack([c[name] for c in columns]) for name in columns[0]}
    options: dict[str, Any] = {
        "k": k, "window": window, "rules": random_rules(rng, 2), "infeasible": infeasible, "dependent": dependent,
    }  # fmt: skip
    name = "quality" if quality else "reward"
    space = vectors if form == "vectors" else vectors @ vectors.transpose(0, 2, 1)
    batch = dpp(**{name: worth, form: space, "mask": mask, "attributes": attributes, **options})
    assert batch.order.shape == batch.gain.shape == (users, k)
    notes = []
    for b in range(users):
        one = dpp(**{name: worth[b], form: space[b], "mask": mask[b], "attributes": columns[b], **options})
        filled = len(one)
        assert batch.order[b].tolist() == one.order.tolist() + [-1] * (k - filled)
        np.testing.assert_array_equal(batch.gain[b], np.append(one.gain, np.zeros(k - filled)))
        notes += [(b, note.position, note.action, note.rules, note.left) for note in one.notes]
    assert [(x.user, x.position, x.action, x.rules, x.left) for x in batch.notes] == notes


def test_input_is_not_touched_and_may_be_a_view() -> None:
    rng = np.random.default_rng(0)
    reward, wide, mask = rng.random(20)[::2], rng.standard_normal((20, 12))[::2, ::2], np.ones(10, dtype=bool)
    kernel = np.asfortranarray(wide @ wide.T)
    before = [x.copy() for x in (reward, wide, mask, kernel)]
    for window in (None, 2):
        orders = [
            dpp(reward, wide, k=5, mask=mask, window=window).order.tolist(),
            dpp(reward, kernel=kernel, k=5, mask=mask, window=window).order.tolist(),
            dpp(reward.copy(), wide.copy(), k=5, window=window).order.tolist(),
        ]
        assert orders[0] == orders[1] == orders[2]
    for now, then in zip((reward, wide, mask, kernel), before, strict=True):
        np.testing.assert_array_equal(now, then)


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
        ({"theta": -1e-9}, ValueError, r"it must lie in \[0, 1\]"),
        ({"theta": 1.5}, ValueError, r"theta is 1.5; it must lie in \[0, 1\]"),
        ({"theta": NAN}, ValueError, "theta is nan"),
        ({"k": 0}, ValueError, "k is 0; it must be at least 1"),
        ({"k": 5}, ValueError, "k is 5, and there are 4 candidates; ask for at most 4"),
        ({"k": True}, TypeError, "k is True; give a whole number"),
        ({"k": 2.0}, TypeError, "k is 2.0; give a whole number"),
        ({"window": 0}, ValueError, "window is 0; it must be at least 1"),
        ({"window": 1.0}, TypeError, "window is 1.0; give a whole number"),
        ({"infeasible": "drop"}, ValueError, "infeasible is 'drop'; say \"raise\", \"stop\" or \"relax\""),
        ({"dependent": "raise"}, ValueError, "dependent is 'raise'; say \"reward\" or \"stop\""),
        ({"reward": None}, ValueError, "give either reward"),
        ({"quality": R}, ValueError, "give either reward"),
        ({"vectors": None}, ValueError, "give either vectors or kernel, not both and not neither"),
        ({"kernel": np.eye(4)}, ValueError, "give either vectors or kernel, not both and not neither"),
        ({"reward": with_entry(R, 2, NAN)}, ValueError, r"reward\[2\] is nan"),
        ({"reward": with_entry(R, 0, INF)}, ValueError, r"reward\[0\] is inf"),
        ({"reward": R[:3]}, ValueError, r"vectors has shape \(4, 4\); reward has \(3,\)"),
        ({"reward": None, "quality": with_entry(R, 1, 0.0)}, ValueError, "quality.* 0.0; it must be positive"),
        ({"reward": None, "quality": with_entry(R, 1, -2.0)}, ValueError, "quality.* -2.0; it must be positive"),
        ({"reward": None, "quality": with_entry(R, 1, NAN)}, ValueError, "quality.* nan"),
        ({"reward": None, "quality": with_entry(R, 1, INF)}, ValueError, r"quality\[1\] is inf"),
        ({"reward": None, "quality": R[:3]}, ValueError, r"vectors has shape \(4, 4\); quality has \(3,\)"),
        ({"reward": None, "quality": R, "mask": [True] * 3}, ValueError, r"mask has dtype bool and shape \(3,\)"),
        ({"reward": None, "quality": R, "mask": [1] * 4}, ValueError, r"mask has dtype int64 and shape \(4,\)"),
        ({"mask": [True, False, False, False]}, ValueError, "k is 2, and there are 1 candidates"),
        ({"vectors": V * 1j}, TypeError, "vectors has dtype complex128"),
        ({"vectors": [["a"]] * 4}, TypeError, "vectors has dtype"),
    ],
)  # fmt: skip
def test_refused(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        dpp(**{"reward": R, "vectors": V, "k": 2, **options})


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize("value", [NAN, INF, 1e200])
@pytest.mark.parametrize("row", [0, 1, 3])
def test_a_vector_that_is_none_is_named(row: int, value: float, window: int | None) -> None:
    bad = with_entry(V, (row, 2), value)
    for k in (1, 4):
        with pytest.raises(ValueError, match=rf"vectors\[{row}\] is \["):
            dpp(R, bad, k=k, window=window)
    with pytest.raises(ValueError, match=rf"vectors\[1\]\[{row}\] is \["):
        dpp(np.stack([R] * 3), np.stack([V, bad, V]), k=2, window=window)


@pytest.mark.parametrize("window", [None, 1])
@pytest.mark.parametrize(
    ("kernel", "k"),
    [
        ([[-1.0, 0], [0, 1]], 1),
        ([[1.0, 2], [2, 1]], 2),
        ([[1.0, -1.001], [-1.001, 1]], 2),
        ([[0.0, 1], [1, 1]], 2),
        ([[1.0, 1], [1, 0.0]], 2),
    ],
)
def test_a_kernel_with_a_negative_eigenvalue_is_seen(kernel: list[list[float]], k: int, window: int | None) -> None:
    assert np.linalg.eigvalsh(kernel).min() < 0
    with pytest.raises(ValueError, match=r"^kernel is not positive semi-definite: "):
        dpp([1.0, 0.5], kernel=kernel, k=k, window=window)
    batch = np.stack([np.eye(2), np.array(kernel)])
    with pytest.raises(ValueError, match=r"^kernel\[1\] is not positive semi-definite"):
        dpp([[1.0, 0.5]] * 2, kernel=batch, k=k, window=window)


@pytest.mark.parametrize("window", [None, 2])
def test_a_kernel_whose_pairs_are_fine_is_seen_at_work(window: int | None) -> None:
    kernel = np.array([[1.0, 0.9, 0.0, 0], [0.9, 1, 0.9, 0], [0, 0.9, 1, 0], [0, 0, 0, 1]])
    assert np.linalg.eigvalsh(kernel).min() == pytest.approx(1 - 0.9 * 2**0.5)
    with pytest.raises(ValueError, match=r"^kernel is not positive semi-definite: candidate 1 has a negative squared"):
        dpp(R, kernel=kernel, k=4, window=window)
    batch = np.stack([np.eye(4), kernel])
    with pytest.raises(ValueError, match=r"^kernel\[1\] is not positive semi-definite: candidate 1"):
        dpp(np.stack([R, R]), kernel=batch, k=4, window=window)


@settings(deadline=None)
@given(seeds, st.sampled_from([None, 3]))
def test_kernels_are_not_refused_for_rounding(seed: int, window: int | None) -> None:
    """Inner products of few directions have eigenvalues of zero, which rounding makes negative."""
    rng = np.random.default_rng(seed)
    vectors = unit_rows(rng, 40, 3)
    kernel = vectors @ vectors.T
    slate = dpp(rng.random(40), kernel=kernel, k=30, window=window)
    assert len(slate) == 30
    assert not np.isnan(slate.gain).any()


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (np.eye(3), r"kernel has shape \(3, 3\); give \(4, 4\)"),
        (with_entry(V, (1, 2), 0.5), r"kernel is not symmetric: \[1, 2\] is 0.5, \[2, 1\] is 0.0"),
        (with_entry(V, (2, 2), NAN), r"kernel\[2, 2\] is nan"),
        (with_entry(V, (3, 0), INF), r"kernel\[3, 0\] is inf"),
    ],
)
def test_a_matrix_that_is_none_is_refused(kernel: Floats, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dpp(R, kernel=kernel, k=2)


def test_errors_in_a_batch_name_the_user() -> None:
    reward, kernels = np.stack([R] * 3), np.stack([V] * 3)
    with pytest.raises(ValueError, match=r"reward\[2, 1\] is nan"):
        dpp(with_entry(reward, (2, 1), NAN), kernels, k=2)
    with pytest.raises(ValueError, match=r"kernel\[1\] is not symmetric: \[0, 3\]"):
        dpp(reward, kernel=with_entry(kernels, (1, 0, 3), 1.0), k=2)
    with pytest.raises(ValueError, match=r"kernel\[2\]\[0, 3\] is nan"):
        dpp(reward, kernel=with_entry(kernels, (2, 0, 3), NAN), k=2)
    with pytest.raises(ValueError, match=r"reward has shape \(0, 4\)"):
        dpp(np.ones((0, 4)), np.ones((0, 4, 2)), k=2)


def test_the_reference_says_the_same() -> None:
    """Beyond the registered cases: copies, zeros, windows, masks, rules, kernels, both ways out."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 16))
        vectors, reward = (
            rng.integers(-1, 2, (n, int(rng.integers(1, 5)))).astype(np.float64),
            rng.integers(0, 3, n) / 4,
        )
        options: dict[str, Any] = {
            "k": int(rng.integers(1, n + 1)), "theta": float(rng.choice([0, 0.25, 0.5, 1])), "infeasible": "relax",
            "window": [None, 1, 2, 4][rng.integers(4)], "rules": random_rules(rng, 3),
            "attributes": random_columns(rng, n), "dependent": str(rng.choice(["reward", "stop"])),
            **as_given(vectors, str(rng.choice(["vectors", "kernel"]))),
        }  # fmt: skip
        slate = dpp(reward, **options)
        order, gain = reference.dpp(reward, **options)
        assert slate.order.tolist() == order, seed
        np.testing.assert_allclose(slate.gain, gain, atol=1e-9)
