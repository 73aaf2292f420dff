"""FTRL and FTRL-FM: by hand, by other routes, in any blocks, saved in the middle; the command; memory."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import expit

from rectutor import metrics
from rectutor.cli import main
from rectutor.data.sparse import SparseRows, write_libffm, write_libsvm
from rectutor.retrieval.fm import ftrl_reference as reference
from rectutor.retrieval.fm.ftrl import FTRL, FTRLFM, Tally, ftrl, ftrl_fm
from rectutor.retrieval.fm.ftrl_cases import clicks
from rectutor.retrieval.fm.ftrl_kernels import folded, go_over, normal

Floats = NDArray[np.float64]
Model = FTRL | FTRLFM


def both(**options: Any) -> list[Model]:
    return [FTRL(**options), FTRLFM(3, **options)]


def state_of(model: Model) -> dict[str, Any]:
    return {
        "state": model._state,
        "bias": model._bias,
        "history": model.history_.to_numpy(),
        "progressive": [model.progressive_.rows, model.progressive_.log_loss, model.progressive_.auc],
    }


def assert_equal_state(a: Model, b: Model) -> None:
    for name, value in state_of(a).items():
        np.testing.assert_array_equal(value, state_of(b)[name], err_msg=name)


# -- by hand -----------------------------------------------------------------------------------------------------
def test_two_updates_by_hand() -> None:
    """Alpha 1, beta 1, no L2: one feature, x = 1, y = 1, then y = 0."""
    rows = SparseRows.of([(1, {0: 1.0}), (0, {0: 1.0})])
    w, b, p = ftrl(rows, 1, alpha=1.0, l1=0.1, l2=0.0, intercept=False)
    # g = -1/2, n = 1/4, z = -1/2; w = (1/2 - 0.1) / (1 + 1/2)
    w_1 = 0.4 / 1.5
    p_1 = 1 / (1 + np.exp(-w_1))
    n_2 = 0.25 + p_1**2
    z_2 = -0.5 + p_1 - (np.sqrt(n_2) - 0.5) * w_1
    assert z_2 == pytest.approx(-0.0018, abs=1e-4)  # below 0.1: back to zero
    np.testing.assert_allclose(p, [0.5, p_1], rtol=1e-14)
    assert w.tolist() == [0.0]
    assert b == 0.0
    w, _, _ = ftrl(rows, 1, alpha=1.0, l1=0.0, l2=0.0, intercept=False)
    w_1, p_1 = 1 / 3, expit(1 / 3)
    np.testing.assert_allclose(w, w_1 - p_1 / (1 + np.sqrt(0.25 + p_1**2)), rtol=1e-14)


def test_a_factor_by_hand() -> None:
    """One example with two features: each factor's gradient is error * x_i * x_j * v_j."""
    seed, alpha = 3, 0.5
    key = int(np.random.default_rng(seed).integers(2**63))
    first = {i: 0.1 * reference.first_value(key, i, 0) for i in (0, 1)}
    w, v, b, p = ftrl_fm(
        SparseRows.of([(1, {0: 2.0, 1: 3.0})]), 3, 1, alpha=alpha, l1=0.0, l2=0.0, v_l2=0.0, init=0.1, seed=seed
    )
    assert p[0] == pytest.approx(expit(6 * first[0] * first[1]), rel=1e-14)
    error = p[0] - 1
    for i, j in ((0, 1), (1, 0)):
        g = error * 6 * first[j]
        expected = -(g - abs(g) / alpha * first[i]) / ((1 + abs(g)) / alpha)
        assert v[i, 0] == pytest.approx(expected, rel=1e-12)
    assert v[2].tolist() == [0.0]
    assert w[0] == pytest.approx(-2 * error / ((1 - 2 * error) / alpha), rel=1e-12)
    assert b == pytest.approx(-error / ((1 - error) / alpha), rel=1e-12)


# -- other routes ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", [0, 1])
def test_without_regularisation_it_is_gradient_descent(seed: int) -> None:
    """w -= alpha / (beta + sqrt(n)) g (McMahan et al., 2013, section 3), written on dense vectors."""
    rng = np.random.default_rng(seed)
    rows = clicks(rng, 400, 12, values=True)
    x = np.zeros((400, 12))
    np.add.at(x, (np.repeat(np.arange(400), np.diff(rows.indptr)), rows.ids), rows.values)
    w, n, b, m = np.zeros(12), np.zeros(12), 0.0, 0.0
    p = np.zeros(400)
    for t in range(400):
        p[t] = expit(x[t] @ w + b)
        g = (p[t] - rows.label[t]) * x[t]
        n += g**2
        w -= 0.3 / (2 + np.sqrt(n)) * g
        m += (p[t] - rows.label[t]) ** 2
        b -= 0.3 / (2 + np.sqrt(m)) * (p[t] - rows.label[t])
    w_ftrl, b_ftrl, p_ftrl = ftrl(rows, 12, alpha=0.3, beta=2.0, l1=0.0, l2=0.0)
    np.testing.assert_allclose(w_ftrl, w, rtol=1e-10)
    np.testing.assert_allclose(p_ftrl, p, rtol=1e-10)
    assert b_ftrl == pytest.approx(b, rel=1e-10)


def test_a_weight_minimises_the_regularised_sum() -> None:
    """sum_s g_s w + sigma_s/2 (w - w_s)^2 + (beta/alpha + l2)/2 w^2 + l1 |w|: the argmin that the name promises."""
    alpha, beta, l1, l2 = 0.7, 1.0, 0.4, 0.3
    rows = SparseRows.of([(y, {0: x}) for y, x in zip([1, 1, 0, 1, 1, 0, 1], [1.0, 2.0, 0.5, 1.0, -1.0, 1.0, 2.0])])
    options: dict[str, Any] = {"alpha": alpha, "beta": beta, "l1": l1, "l2": l2, "intercept": False}
    weights = [ftrl(rows[:t], 1, **options)[0][0] for t in range(len(rows) + 1)]
    g = (ftrl(rows, 1, **options)[2] - rows.label) * rows.values
    eta = (beta + np.sqrt(np.cumsum(g**2))) / alpha
    sigma = np.diff(eta, prepend=beta / alpha)

    def loss(w: float) -> float:
        near = (g * w + sigma / 2 * (w - np.array(weights[:-1])) ** 2).sum()
        return float(near + (beta / alpha + l2) / 2 * w * w + l1 * abs(w))

    best = minimize_scalar(loss, bracket=(-1, 1), tol=1e-12)
    assert weights[-1] != 0
    assert weights[-1] == pytest.approx(best.x, abs=1e-6)
    assert loss(weights[-1]) <= best.fun + 1e-12


def test_gradients_of_the_machine_are_those_of_its_loss() -> None:
    """After one example n is the squared gradient, which differences of the loss give too."""
    model = FTRLFM(4, init=0.5, n_features=3, seed=1)
    x, y = np.array([0.7, -1.3, 2.0]), 1.0
    model.partial_fit(SparseRows.of([(1, dict(enumerate(x.tolist())))]))
    key = int(np.random.default_rng(1).integers(2**63))
    v = np.array([[0.5 * reference.first_value(key, i, f) for f in range(4)] for i in range(3)])
    x = x.astype(np.float32).astype(np.float64)

    def loss(v: Floats) -> float:
        score = sum(x[i] * x[j] * (v[i] @ v[j]) for i in range(3) for j in range(i + 1, 3))
        return float(np.logaddexp(0, -score if y else score))

    slope = np.zeros_like(v)
    for at in np.ndindex(v.shape):
        step = np.zeros_like(v)
        step[at] = 1e-6
        slope[at] = (loss(v + step) - loss(v - step)) / 2e-6
    np.testing.assert_allclose(np.sqrt(model._state[:, 6:]), np.abs(slope), rtol=1e-6)
    np.testing.assert_array_equal(np.sign(model._state[:, 2:6] + np.abs(slope) / 0.05 * v), np.sign(slope))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 60), max_size=4), hashed=st.booleans())
def test_blocks_do_not_matter(seed: int, cuts: list[int], hashed: bool) -> None:
    rows = clicks(np.random.default_rng(seed), 60, 25)
    options: dict[str, Any] = {"l1": 0.1, "n_features": 25, "hashing": "splitmix64" if hashed else None}
    for whole, parts in zip(both(**options), both(**options)):
        whole.partial_fit(rows)
        bounds = [0, *sorted(cuts), 60]
        for a, b in pairwise(bounds):
            parts.partial_fit(rows[a:b])
        np.testing.assert_array_equal(whole._state, parts._state)
        np.testing.assert_array_equal(whole._bias, parts._bias)
        assert whole.progressive_.log_loss == pytest.approx(parts.progressive_.log_loss, rel=1e-12)
        assert whole.progressive_.auc == parts.progressive_.auc


@pytest.mark.parametrize("name", ["a.libsvm", "a.libsvm.gz", "a.ffm"])
def test_files_are_as_arrays(tmp_path: Path, name: str) -> None:
    rows = clicks(np.random.default_rng(1), 300, 50, values=True)
    path = tmp_path / name
    if name.endswith("ffm"):
        zeros = np.zeros(len(rows.ids), np.int32)
        write_libffm(path, SparseRows(rows.label, rows.indptr, rows.ids, rows.values, zeros))
    else:
        write_libsvm(path, rows)
    for size in (1, 500, 2**20):
        for from_file, from_rows in zip(both(n_features=50, l1=0.1), both(n_features=50, l1=0.1)):
            from_file.fit_file(path, block_bytes=size)
            from_rows.partial_fit(rows)
            np.testing.assert_array_equal(from_file._state, from_rows._state)
            np.testing.assert_array_equal(from_file.predict_file(path), from_rows.predict(rows))


def test_several_files_and_epochs(tmp_path: Path) -> None:
    rows = clicks(np.random.default_rng(2), 200, 50)
    write_libsvm(tmp_path / "a", rows[:150])
    write_libsvm(tmp_path / "b", rows[150:])
    for model, by_hand in zip(both(n_features=50), both(n_features=50)):
        model.fit_file(tmp_path / "a", tmp_path / "b", epochs=2)
        by_hand.partial_fit(rows[:150]).partial_fit(rows[150:])
        assert model.progressive_.rows == 200  # the second pass has seen them
        assert model.progressive_.log_loss == by_hand.progressive_.log_loss
        by_hand.partial_fit(rows)
        np.testing.assert_array_equal(model._state, by_hand._state)


# -- hashing and first values ------------------------------------------------------------------------------------
def test_splitmix64_has_its_published_numbers() -> None:
    numbers = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    for i, number in enumerate(numbers):
        for features in (1, 7, 2**20, 2**40 + 1):
            assert reference.fold(i, features) == folded(i, features) == number % features


def test_hashing_spreads_ids() -> None:
    """Consecutive ids fall into 64 rows as if drawn: a chi-squared test."""
    count = np.bincount([folded(i, 64) for i in range(64_000)], minlength=64)
    assert stats.chisquare(count).pvalue > 0.001
    assert count.std() > 5  # and not as evenly as a remainder would


def test_first_values_are_normal_and_apart() -> None:
    drawn = np.array([[normal(11, i, f) for f in range(8)] for i in range(5000)])
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 0.001
    assert np.abs(np.corrcoef(drawn.T) - np.eye(8)).max() < 0.06
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.06
    assert len(np.unique(drawn)) == drawn.size
    other = np.array([normal(12, i, 0) for i in range(5000)])
    assert abs(np.corrcoef(other, drawn[:, 0])[0, 1]) < 0.06
    for i in (0, 5, 2**40):
        assert normal(2**63 - 1, i, 3) == pytest.approx(reference.first_value(2**63 - 1, i, 3), rel=1e-13)


def test_first_values_do_not_depend_on_other_examples() -> None:
    rows = clicks(np.random.default_rng(3), 100, 20)
    last = SparseRows.of([(1, {90: 1.0, 91: 1.0})])
    one = FTRLFM(2, init=0.3, intercept=False, n_features=100, seed=4).partial_fit(last)
    two = FTRLFM(2, init=0.3, intercept=False, n_features=100, seed=4).partial_fit(rows).partial_fit(last)
    np.testing.assert_array_equal(one.factors_[90:92], two.factors_[90:92])
    assert one.factors_[90, 0] != FTRLFM(2, init=0.3, n_features=100, seed=5).partial_fit(last).factors_[90, 0]


# -- what it learns ----------------------------------------------------------------------------------------------
def test_l1_makes_weights_zero() -> None:
    rows = clicks(np.random.default_rng(5), 3000, 300)
    counts = [FTRL(l1=l1, n_features=300).partial_fit(rows).nonzero_ for l1 in (0.0, 0.5, 2.0, 5.0, 1e4)]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 5
    assert counts[-1] == 0
    model = FTRL(l1=0.5, n_features=300).partial_fit(rows)
    assert model.nonzero_ < model.seen_ == len(np.unique(rows.ids))


def test_the_machine_learns_what_no_weighted_sum_can() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.integers(2, size=(2, 4000))
    y = a ^ b
    rows = SparseRows.of([(int(t), {int(i): 1.0, 2 + int(j): 1.0}) for t, i, j in zip(y, a, b)])
    options: dict[str, Any] = {"alpha": 0.2, "l1": 0.0, "n_features": 4}
    line = FTRL(**options).partial_fit(rows[:3000])
    machine = FTRLFM(2, v_l2=0.0, **options).partial_fit(rows[:3000])
    assert metrics.auc(y[3000:], line.predict(rows[3000:])) < 0.6
    assert metrics.auc(y[3000:], machine.predict(rows[3000:])) == 1.0


def test_what_was_not_learnt_counts_nothing() -> None:
    model = FTRLFM(3, init=1.0, n_features=10).partial_fit(SparseRows.of([(1, {0: 1.0, 1: 1.0})]))
    known, more = SparseRows.of([(1, {0: 1.0, 1: 1.0})]), SparseRows.of([(1, {0: 1.0, 1: 1.0, 7: 5.0, 8: 2.0})])
    assert model.predict(known) == model.predict(more)
    alone = FTRLFM(3, init=1.0, n_features=10).partial_fit(SparseRows.of([(1, {0: 1.0})]))
    assert alone.weights_[0] == 0.0  # |z| = 1/2 < l1
    assert alone.factors_[0].tolist() == [0.0] * 3  # nothing beside it: no gradient
    assert alone.log_odds(SparseRows.of([(1, {})])) == alone.intercept_


def test_predicting_changes_nothing() -> None:
    rows = clicks(np.random.default_rng(7), 100, 20)
    for model in both(n_features=20):
        model.partial_fit(rows)
        before = model._state.copy()
        np.testing.assert_array_equal(model.predict(rows), model.predict(rows))
        np.testing.assert_array_equal(model._state, before)


def test_predictions_are_the_formula() -> None:
    rows = clicks(np.random.default_rng(8), 300, 20, values=True)
    model = FTRLFM(3, l1=0.1, v_l2=0.0, init=1.0, alpha=0.3, n_features=20).partial_fit(rows)
    w, v = model.weights_, model.factors_
    assert np.abs(v).max() > 0.1
    for r in range(20):
        x = np.zeros(20)
        np.add.at(x, rows.ids[rows.indptr[r] : rows.indptr[r + 1]], rows.values[rows.indptr[r] : rows.indptr[r + 1]])
        crosses = sum(x[i] * x[j] * (v[i] @ v[j]) for i in range(20) for j in range(i))
        assert model.log_odds(rows[[r]])[0] == pytest.approx(model.intercept_ + w @ x + crosses, rel=1e-10)


def test_sums_need_64_bits() -> None:
    """In 32 bits n stands still after a while, and the step no longer falls."""
    many = 2_000_000
    indptr, ids = np.arange(many + 1), np.zeros(many, np.int64)
    values, label = np.full(many, 0.01, np.float32), np.tile(np.array([0, 1], np.float32), many // 2)
    n = {}
    for kind in (np.float32, np.float64):
        state = np.zeros((1, 2), kind)
        state[0, 1] = 1000.0
        go_over(
            indptr, ids, values, label, False, True, state, np.array([0.0, -1.0]),
            np.array([0.05, 1, 0, 0, 0, 0, 0]), 0, np.empty(many),
        )  # fmt: skip
        n[kind] = float(state[0, 1]) - 1000
    assert n[np.float64] == pytest.approx(many * 0.25 * 1e-4, rel=1e-3)
    assert n[np.float32] == 0


# -- progressive validation --------------------------------------------------------------------------------------
def test_progressive_validation_is_that_of_the_predictions() -> None:
    rows = clicks(np.random.default_rng(9), 2000, 100)
    model = FTRL(n_features=100, l1=0.1)
    p = ftrl(rows, 100, l1=0.1)[2]
    for start in range(0, 2000, 500):
        model.partial_fit(rows[start : start + 500])
    assert model.progressive_.log_loss == pytest.approx(metrics.log_loss(rows.label, p), rel=1e-12)
    assert model.progressive_.auc == pytest.approx(metrics.auc(rows.label, p), abs=1e-4)
    history = model.history_
    assert history["rows"].tolist() == [500, 1000, 1500, 2000]
    for i, at in enumerate(range(0, 2000, 500)):
        part = metrics.log_loss(rows.label[at : at + 500], p[at : at + 500])
        assert history["log_loss"][i] == pytest.approx(part, rel=1e-12)
        assert history["average"][i] == pytest.approx(
            metrics.log_loss(rows.label[: at + 500], p[: at + 500]), rel=1e-12
        )
    assert history["average"].iloc[-1] == model.progressive_.log_loss


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(-18, 18)), min_size=1, max_size=40),
    st.integers(1, 40),
)
def test_a_tally_is_the_metric_of_rounded_log_odds(pairs: list[tuple[int, float]], cut: int) -> None:
    label, log_odds = np.array([y for y, _ in pairs], np.float32), np.array([s for _, s in pairs])
    tally = Tally()
    tally.add(label[:cut], log_odds[:cut])
    tally.add(label[cut:], log_odds[cut:])
    assert tally.rows == len(pairs)
    assert tally.log_loss == pytest.approx(metrics.log_loss(label, expit(log_odds)), rel=1e-7)
    if 0 < label.sum() < len(label):
        rounded = np.clip(np.rint(log_odds * 2048) / 2048, -16, 16)
        assert tally.auc == pytest.approx(metrics.auc(label, rounded), rel=1e-12)
    else:
        assert np.isnan(tally.auc)


def test_an_empty_tally() -> None:
    assert np.isnan(Tally().log_loss)
    assert np.isnan(Tally().auc)


# -- saving ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("hashing", [None, "splitmix64"])
def test_going_on_after_loading_is_as_if_nothing_had_happened(tmp_path: Path, hashing: Any) -> None:
    rows = clicks(np.random.default_rng(10), 400, 60)
    path = tmp_path / "model"  # no suffix is added
    models: list[Model] = [
        FTRL(n_features=60, l1=0.2, hashing=hashing),
        FTRLFM(3, n_features=60, alpha=0.1, beta=0.7, l1=0.2, l2=0.3, v_l1=0.01, v_l2=0.4, init=0.2, hashing=hashing),
        FTRLFM(2, n_features=60, intercept=False, seed=8, hashing=hashing),
    ]
    for straight in models:
        straight.partial_fit(rows[:150])
        straight.save(path)
        again = type(straight).load(path)
        assert_equal_state(again, straight)
        straight.partial_fit(rows[150:])
        again.partial_fit(rows[150:])
        assert_equal_state(again, straight)
        np.testing.assert_array_equal(again.predict(rows), straight.predict(rows))


def test_a_model_that_has_learnt_nothing_can_be_saved(tmp_path: Path) -> None:
    FTRL(n_features=9).save(tmp_path / "m.npz")
    model = FTRL.load(tmp_path / "m.npz")
    assert model.n_features == 9
    assert model.seen_ == model.nonzero_ == model.progressive_.rows == len(model.history_) == 0


def test_loading_something_else(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    FTRL(n_features=50).partial_fit(clicks(np.random.default_rng(0), 50, 50)).save(path)
    whole = path.read_bytes()
    with pytest.raises(ValueError, match="holds FTRL; it must hold a saved FTRLFM"):
        FTRLFM.load(path)
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"m\.npz is damaged, cut short or no model"):
            FTRL.load(path)
    broken = bytearray(whole)
    broken[whole.index(b"state.npy") + 200] ^= 1
    path.write_bytes(broken)
    with pytest.raises(ValueError, match=r"m\.npz is damaged, cut short or no model"):
        FTRL.load(path)
    path.write_text("1 3:1\n")
    with pytest.raises(ValueError, match=r"m\.npz is damaged, cut short or no model"):
        FTRL.load(path)
    np.savez(path, x=np.arange(3))
    with pytest.raises(ValueError, match="holds something else; it must hold a saved FTRL"):
        FTRL.load(path)
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(ValueError, match=r"m\.npz is damaged, cut short or no model"):
        FTRL.load(path)
    with pytest.raises(FileNotFoundError):
        FTRL.load(tmp_path / "none.npz")


# -- errors ------------------------------------------------------------------------------------------------------
def test_an_id_out_of_range_names_its_place(tmp_path: Path) -> None:
    rows = SparseRows.of([(1, {0: 1.0}), (0, {}), (0, {3: 1.0, 10: 1.0}), (1, {11: 1.0})])
    path = tmp_path / "x"
    path.write_text("1 0:1\n\n0 3:1 10:1\n")
    for model in both(n_features=10):
        for use in (model.partial_fit, model.predict):
            with pytest.raises(ValueError, match=r"row 2 has id 10; it may be 9 at most; raise n_features .* hashing="):
                use(rows)
        for use_file in (model.fit_file, model.predict_file):
            with pytest.raises(ValueError, match=r"x, line 3: .* the id may be 9 at most; raise n_features"):
                use_file(path)
        assert model.seen_ == 0
    for model in both(n_features=11):
        model.fit_file(path)
    for model in both(n_features=10, hashing="splitmix64"):
        model.partial_fit(rows)
        assert model.progressive_.rows == 4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"alpha": 0.0}, "alpha is 0.0; it must be above 0"),
        ({"alpha": np.nan}, "alpha is nan"),
        ({"beta": 0.0}, "beta is 0.0; it must be above 0"),
        ({"l1": -1.0}, "l1 is -1.0; it must be at least 0"),
        ({"l2": np.inf}, "l2 is inf"),
        ({"n_features": 0}, "n_features is 0"),
        ({"hashing": "md5"}, "hashing is 'md5'"),
    ],
)
def test_bad_parameters(options: dict[str, Any], says: str) -> None:
    for make in (FTRL, FTRLFM):
        with pytest.raises(ValueError, match=says):
            make(**options)


def test_bad_parameters_of_the_machine() -> None:
    for options, says in (({"k": 0}, "k is 0"), ({"v_l1": -1.0}, "v_l1 is -1"), ({"init": -0.1}, "init is -0.1")):
        with pytest.raises(ValueError, match=says):
            FTRLFM(**options)


def test_a_pipe_is_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="epochs is 2"):
        FTRL().fit_file("-", epochs=2)
    with pytest.raises(ValueError, match="epochs is 0"):
        FTRL().fit_file(tmp_path / "x", epochs=0)
    with pytest.raises(ValueError, match="'-' twice"):
        FTRL().fit_file("-", "-")
    with pytest.raises(ValueError, match="paths is empty"):
        FTRL().fit_file()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1 3:1\n0 4:1\n")))
    assert FTRL(n_features=5).fit_file("-").seen_ == 2


def test_values_out_of_all_proportion() -> None:
    rows = SparseRows.of([(1, {0: 3e38, 1: 3e38}), (0, {0: 3e38, 1: -3e38})] * 3)
    for model in both(n_features=2, l1=0.0):
        assert np.isfinite(model.partial_fit(rows).predict(rows)).all()
    with pytest.raises(ValueError, match=r"learning diverged at row 1 of a block; .* lower alpha"):
        FTRL(n_features=2, alpha=1e305, l2=0.0).partial_fit(rows)


def test_no_examples() -> None:
    for model in both(n_features=5):
        model.partial_fit(SparseRows.of([]))
        assert len(model.predict(SparseRows.of([]))) == len(model.history_) == 0


# -- the command -------------------------------------------------------------------------------------------------
@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rows = clicks(np.random.default_rng(11), 1500, 80)
    write_libsvm(tmp_path / "train.libsvm", rows[:1200])
    write_libsvm(tmp_path / "test.libsvm.gz", rows[1200:])
    return tmp_path / "train.libsvm", tmp_path / "test.libsvm.gz"


@pytest.mark.parametrize("kind", ["lr", "fm"])
def test_the_command(files: tuple[Path, Path], tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    train, test = files
    out, predictions = tmp_path / "model.npz", tmp_path / "p.txt"
    options = ["--model", kind, "--k", "4", "--alpha", "0.2", "--beta", "0.5", "--l1", "0.3", "--l2", "0.1"]
    options += ["--features", "80", "--epochs", "2", "--test", str(test), "--out", str(out)]
    assert main(["train-ftrl", str(train), *options, "--predictions", str(predictions)]) == 0
    shared: dict[str, Any] = {"alpha": 0.2, "beta": 0.5, "l1": 0.3, "l2": 0.1, "n_features": 80}
    model: Model = FTRL(**shared) if kind == "lr" else FTRLFM(4, **shared)
    model.fit_file(train, epochs=2)
    assert_equal_state(type(model).load(out), model)
    p = model.predict_file(test)
    np.testing.assert_allclose(np.loadtxt(predictions), p, rtol=1e-8)
    label = [int(line.split()[0]) for line in gzip.decompress(test.read_bytes()).decode().splitlines()]
    printed = capsys.readouterr().out.splitlines()
    loss, area = model.progressive_.log_loss, model.progressive_.auc
    says = f"1,200 examples: log-loss {loss:.6f}, AUC {area:.6f}, each example predicted before it was learnt"
    assert printed[0] == f"learnt    {says}"
    zeros = 100 * (1 - model.nonzero_ / model.seen_)
    assert 0 < zeros < 100
    says = f"{model.nonzero_} of the {model.seen_} features met are not zero; {zeros:.1f} % are"
    assert printed[1] == f"weights   {says}"
    assert printed[3].startswith(f"test      300 examples: log-loss {metrics.log_loss(label, p):.6f}, AUC ")
    assert float(printed[3].split()[-1]) == pytest.approx(metrics.auc(label, p), abs=2e-4)
    assert metrics.auc(label, p) > 0.6


def test_the_command_hashes_and_reads_a_pipe(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(files[0].read_bytes())))
    assert main(["train-ftrl", "-", str(files[0]), "--hash", "5", "--format", "libsvm"]) == 0
    printed = capsys.readouterr().out
    model = FTRL(n_features=32, hashing="splitmix64").fit_file(files[0], files[0])
    assert f"learnt    2,400 examples: log-loss {model.progressive_.log_loss:.6f}" in printed
    assert f"of the {model.seen_} features met" in printed


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--features", "10"], r"line \d+: .* the id may be 9 at most; raise n_features \(--features\)"),
        (["--format", "libffm"], "line 1: .* as in a libsvm file"),
        (["--alpha", "0"], "alpha is 0.0"),
        (["--model", "fm", "--k", "0"], "k is 0"),
        (["--hash", "99"], "--hash is 99; it must lie between 1 and 40"),
        (["--epochs", "0"], "epochs is 0"),
        (["--predictions", "p.txt"], "--predictions needs the examples to predict"),
        (["--test", "-"], "--test is '-'"),
        (["--test", "nowhere.libsvm"], "nowhere.libsvm"),
        (["--out", "no/folder/m.npz"], "there is no folder no/folder"),
    ],
)
def test_the_command_says_what_is_wrong(
    files: tuple[Path, Path],
    options: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["train-ftrl", str(files[0]), *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("rectutor train-ftrl: ")
    with pytest.raises(ValueError, match=says):
        raise ValueError(printed.err)
    assert sorted(tmp_path.iterdir()) == before


def test_the_command_on_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train-ftrl", "nowhere.libsvm"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# -- memory ------------------------------------------------------------------------------------------------------
def long_file(path: Path, times: int) -> Path:
    block = "".join(f"{i % 2} " + " ".join(f"{(i * j) % 997}:1" for j in range(1, 21)) + "\n" for i in range(1000))
    with path.open("w") as file:
        for _ in range(times):
            file.write(block)
    return path


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for times in (20, 20, 200):  # the first one compiles
        path = long_file(tmp_path / str(times), times)
        for model in both(n_features=997):
            tracemalloc.start()
            model.fit_file(path)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert path.stat().st_size > 20 * 2**20
    assert peaks[4] < peaks[2] + 2**18
    assert peaks[5] < peaks[3] + 2**18


@pytest.mark.slow
def test_resident_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    program = (
        "import resource, sys\nfrom rectutor.cli import main\nassert main(sys.argv[1:]) == 0\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for times in (20, 20, 600):
        path = long_file(tmp_path / "file", times)
        command = [sys.executable, "-c", program, "train-ftrl", str(path), "--model", "fm", "--features", "997"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
        peaks.append(int(done.stdout.splitlines()[-1]))
    assert path.stat().st_size > 60 * 2**20
    assert peaks[2] < peaks[1] + 8 * 1024  # KiB: 8 MiB, where the file is above 60 MiB longer
