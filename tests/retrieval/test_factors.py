"""Factor models: hand-worked steps, gradients, planted structure, limits, determinism, bad input.

That fast paths agree with their references is checked by the one test of all pairs; here the references are checked by
independent routes, and the estimators by what they promise.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import sparse, stats

from rectutor.data import Interactions
from rectutor.retrieval import topk
from rectutor.retrieval.cf import als as als_module
from rectutor.retrieval.cf import bpr as bpr_module
from rectutor.retrieval.cf import factors_reference, factors_steps
from rectutor.retrieval.cf import funksvd as funk_module
from rectutor.retrieval.cf.blocks import choose_blocks, deal, sort_into_cells
from rectutor.retrieval.cf.factors import BPR, FunkSVD, ImplicitALS, PureSVD, als_half, train_als, train_pure_svd

MODELS: list[Callable[..., Any]] = [FunkSVD, ImplicitALS, BPR, PureSVD]
Array = NDArray[Any]


def table(values: Array) -> Interactions:
    """Interactions from a dense matrix; NaN is no interaction. Users and items without one stay in the vocabulary."""
    user, item = np.nonzero(~np.isnan(values))
    return Interactions(
        user.astype(np.int32),
        item.astype(np.int32),
        values[user, item].astype(np.float64),
        None,
        pd.RangeIndex(values.shape[0]),
        pd.RangeIndex(values.shape[1]),
    )


def clicks(n_users: int = 40, n_items: int = 30, density: float = 0.2, seed: int = 0) -> Interactions:
    rng = np.random.default_rng(seed)
    return table(np.where(rng.random((n_users, n_items)) < density, 1.0, np.nan))


def stars(n_users: int = 40, n_items: int = 30, density: float = 0.4, seed: int = 0) -> Interactions:
    rng = np.random.default_rng(seed)
    return table(np.where(rng.random((n_users, n_items)) < density, rng.integers(1, 6, (n_users, n_items)), np.nan))


def differences(f: Callable[..., float], at: list[Any], h: float = 1e-6) -> list[Any]:
    """Central differences of f at its arguments, arguments being numbers or vectors."""
    gradient: list[Any] = []
    for n, value in enumerate(at):
        flat = np.atleast_1d(np.asarray(value, dtype=np.float64))
        slope = np.empty_like(flat)
        for d in range(len(flat)):
            moved = []
            for sign in (1, -1):
                shifted = flat.copy()
                shifted[d] += sign * h
                moved.append(f(*at[:n], shifted if np.ndim(value) else float(shifted[0]), *at[n + 1 :]))
            slope[d] = (moved[0] - moved[1]) / (2 * h)
        gradient.append(slope if np.ndim(value) else float(slope[0]))
    return gradient


# -- random numbers and blocks -------------------------------------------------------------------------
def test_splitmix_gives_the_published_numbers() -> None:
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]  # seed 1234567
    assert [factors_steps.hashed(1234567, n) for n in (1, 2, 3, 4)] == expected
    assert [int(bpr_module.hashed(np.uint64(1234567), n)) for n in (1, 2, 3, 4)] == expected


def test_cells_of_one_round_share_no_block_and_all_cells_are_visited() -> None:
    for blocks in (1, 2, 3, 8):
        order = factors_steps.rounds(blocks)
        assert sorted(order) == list(itertools.product(range(blocks), repeat=2))
        for n in range(0, len(order), blocks):
            users, items = zip(*order[n : n + blocks])
            assert len(set(users)) == len(set(items)) == blocks


def test_dealt_blocks_differ_by_one_and_match_the_reference() -> None:
    for n, blocks in ((10, 3), (5, 5), (3, 8), (1, 1)):
        block = deal(n, blocks, np.random.default_rng(4))
        size = np.bincount(block, minlength=blocks)
        assert size.max() - size.min() <= 1
        assert block.tolist() == factors_steps.deal(n, blocks, np.random.default_rng(4))


def test_counting_sort_is_a_stable_sort_by_cell() -> None:
    rng = np.random.default_rng(0)
    user, item = rng.integers(20, size=300).astype(np.int32), rng.integers(15, size=300).astype(np.int32)
    user_block, item_block = deal(20, 4, rng), deal(15, 4, rng)
    start, order = np.empty(17, np.int64), np.empty(300, np.int32)
    sort_into_cells(user, item, user_block, item_block, 4, start, order)
    cell = user_block[user] * 4 + item_block[item]
    np.testing.assert_array_equal(order, np.argsort(cell, kind="stable"))
    np.testing.assert_array_equal(start, np.r_[0, np.cumsum(np.bincount(cell, minlength=16))])


def test_blocks_depend_on_the_shape_and_stay_within_it() -> None:
    assert choose_blocks(50_000, 10_000, 2_000_000, 64) == 16
    assert choose_blocks(50_000, 10_000, 100, 64) == 1
    assert choose_blocks(1_000_000, 3, 10_000_000, 64) == 2


def test_binary_search_stays_inside_the_row() -> None:
    indices = np.array([2, 5, 1, 4, 9], dtype=np.int32)
    rows = {(0, 2): {2, 5}, (2, 5): {1, 4, 9}, (2, 2): set()}
    for (begin, end), items in rows.items():
        for item in range(11):
            assert bpr_module._has(indices, begin, end, item) == (item in items), (begin, end, item)


# -- FunkSVD -------------------------------------------------------------------------------------------
def test_funk_step_by_hand() -> None:
    # r_hat = 3 + 0.5 - 0.25 + 0 = 3.25, e = 1.75
    b_u, b_i, p, q = factors_steps.funk_step(
        5.0, 3.0, 0.5, -0.25, np.array([1.0, 2.0]), np.array([0.5, -0.25]), learning_rate=0.1, reg=0.2
    )
    assert (b_u, b_i) == pytest.approx((0.665, -0.07))
    np.testing.assert_allclose(p, [1.0675, 1.91625])
    np.testing.assert_allclose(q, [0.665, 0.105])


def test_funk_step_goes_down_the_gradient() -> None:
    loss: Callable[..., float] = factors_steps.funk_loss
    step: Callable[..., tuple[Any, ...]] = factors_steps.funk_step
    rng = np.random.default_rng(0)
    at: list[Any] = [0.3, -0.4, rng.normal(size=4), rng.normal(size=4)]
    slope = differences(lambda *x: loss(4.0, 3.1, *x, 0.3), at)
    stepped = step(4.0, 3.1, *at, 0.01, 0.3)
    for before, after, s in zip(at, stepped, slope):
        np.testing.assert_allclose(after, before - 0.01 * s, atol=1e-9)


def test_funk_svd_recovers_a_planted_matrix() -> None:
    rng = np.random.default_rng(0)
    full = (
        3
        + rng.normal(size=(80, 1)) * 0.3
        + rng.normal(size=60) * 0.3
        + rng.normal(size=(80, 2)) @ rng.normal(size=(2, 60)).clip(-1, 1)
    )
    full -= full.min()
    known = rng.random(full.shape) < 0.6
    model = FunkSVD(2, epochs=600, learning_rate=0.02, reg=0.0, seed=1).fit(table(np.where(known, full, np.nan)))
    error = (model.score(np.arange(80)) - full)[~known]
    assert np.sqrt(np.mean(error**2)) < 0.01 * full.std()
    assert model.train_rmse_[-1] < 0.01 * full.std()


def test_train_rmse_counts_errors_before_each_update() -> None:
    log = table(np.array([[4.0]]))
    model = FunkSVD(1, epochs=2, learning_rate=0.1, reg=0.0, init_std=0.0, biased=False).fit(log)
    assert model.train_rmse_.tolist() == [4.0, 4.0]  # zero factors have a zero gradient
    model = FunkSVD(1, epochs=2, learning_rate=0.1, reg=0.0, init_std=0.0).fit(log)
    assert model.train_rmse_.tolist() == [0.0, 0.0]  # the mean says it all


def test_without_factors_only_biases_are_learned() -> None:
    model = FunkSVD(3, epochs=2000, learning_rate=0.02, reg=0.0, init_std=0.0).fit(table(np.array([[1.0, 3], [2, 4]])))
    np.testing.assert_allclose(model.score([0, 1]), [[1, 3], [2, 4]], atol=1e-4)
    assert not model.user_factors_.any()
    assert not model.item_factors_.any()


def test_huge_regularisation_leaves_the_mean() -> None:
    model = FunkSVD(4, epochs=200, learning_rate=1e-4, reg=5_000.0).fit(stars())
    np.testing.assert_allclose(model.score(np.arange(40)), model.mean_, atol=2e-3)


def test_unbiased_funk_svd_has_no_biases() -> None:
    model = FunkSVD(4, epochs=3, biased=False).fit(stars())
    assert model.mean_ == 0
    assert not model.user_bias_.any()
    assert not model.item_bias_.any()
    np.testing.assert_array_equal(model.score([3])[0], model.user_factors_[[3]][0] @ model.item_factors_.T)


def test_early_stopping_keeps_the_best_epoch() -> None:
    log = stars(seed=3)
    rows = np.random.default_rng(0).random(len(log)) < 0.8
    train, valid = log.subset(rows), log.subset(~rows)
    model = FunkSVD(20, epochs=500, learning_rate=0.05, reg=0.0, patience=4).fit(train, valid)
    assert len(model.valid_rmse_) < 500
    assert len(model.valid_rmse_) == int(np.argmin(model.valid_rmse_)) + 1 + 4
    error = valid.value - model.predict(valid.user, valid.item)
    assert np.sqrt(np.mean(error**2)) == pytest.approx(model.valid_rmse_.min(), rel=1e-6)
    watched = FunkSVD(20, epochs=5, learning_rate=0.05, reg=0.0).fit(train, valid)
    np.testing.assert_array_equal(watched.valid_rmse_, model.valid_rmse_[:5])


# -- PureSVD -------------------------------------------------------------------------------------------
def test_pure_svd_of_a_diagonal_matrix_by_hand() -> None:
    p, s, q = train_pure_svd(sparse.csr_array(np.diag([1.0, 3, 2])), 2)
    np.testing.assert_allclose(s, [3, 2])
    np.testing.assert_allclose(p, [[0, 0], [3, 0], [0, 2]], atol=1e-12)
    np.testing.assert_allclose(q, [[0, 0], [1, 0], [0, 1]], atol=1e-12)


def test_pure_svd_recovers_a_matrix_of_its_rank() -> None:
    rng = np.random.default_rng(0)
    low = rng.random((30, 3)) @ rng.random((3, 20))
    np.testing.assert_allclose(PureSVD(3).fit(table(low)).score(np.arange(30)), low, rtol=1e-5)


def test_pure_svd_scores_project_the_users_row() -> None:
    log = clicks()
    model = PureSVD(5).fit(log)
    projected = log.matrix() @ model.item_factors_ @ model.item_factors_.T
    np.testing.assert_allclose(model.score(np.arange(40)), projected, atol=1e-5)


# -- implicit ALS --------------------------------------------------------------------------------------
def test_als_system_by_hand() -> None:
    # y = 2 seen with r = 3 and alpha = 1, so c = 4; y = 1 not seen: A = 4 * 4 + 1 * 1 + reg 1, b = 4 * 2
    a, b = factors_steps.als_system(np.array([3.0, 0.0]), np.array([[2.0], [1.0]]), reg=1.0, alpha=1.0)
    assert (a.item(), b.item()) == (18.0, 8.0)
    matrix = sparse.csr_array(np.array([[3.0, 0.0]], dtype=np.float32))
    fixed = np.array([[2.0], [1.0]], dtype=np.float32)
    assert als_half(matrix, np.zeros((1, 1), np.float32), fixed, 1.0, 1.0).item() == pytest.approx(4 / 9)


def test_als_loss_by_hand() -> None:
    # 3 * (1 - 0.5)^2 + 1 * (0 - 1)^2 + 0.1 * (1 + 0.25 + 1)
    matrix = sparse.csr_array(np.array([[1.0, 0.0]]))
    x, y = np.array([[1.0]]), np.array([[0.5], [1.0]])
    assert factors_reference.als_loss(matrix, x, y, reg=0.1, alpha=2.0) == pytest.approx(1.975)


def test_the_exact_half_ends_where_the_loss_is_flat() -> None:
    rng = np.random.default_rng(0)
    matrix = stars(5, 7).matrix()
    y = rng.normal(size=(7, 3))
    x = factors_reference.als_half(matrix, np.zeros((5, 3)), y, 0.4, 1.5)

    def loss(flat: Array) -> float:
        return factors_reference.als_loss(matrix, flat.reshape(5, 3), y, 0.4, 1.5)

    np.testing.assert_allclose(differences(loss, [x.ravel()], h=1e-4)[0], 0, atol=1e-5)


def test_many_steps_of_conjugate_gradient_reach_the_exact_solution() -> None:
    rng = np.random.default_rng(0)
    matrix = stars().matrix()
    rows, fixed = (rng.normal(0, 0.3, (n, 12)).astype(np.float32) for n in matrix.shape)
    exact = als_half(matrix, rows, fixed, 0.5, 1.0)
    error = [np.abs(als_half(matrix, rows, fixed, 0.5, 1.0, steps) - exact).max() for steps in (1, 3, 6, 30)]
    assert error[0] > error[1] > error[2] > error[3]
    assert error[3] < 1e-5


def test_the_loss_falls_in_every_pass() -> None:
    for solver in ("cholesky", "cg"):
        model = ImplicitALS(6, epochs=12, reg=0.5, alpha=3.0, solver=solver, track_loss=True).fit(stars())
        assert len(model.loss_) == 12
        assert (np.diff(model.loss_) < 1e-5 * model.loss_[:-1]).all()
        assert model.loss_[-1] < 0.95 * model.loss_[0]


def test_als_recovers_two_communities() -> None:
    planted = np.kron(np.eye(2), np.ones((10, 8)))
    model = ImplicitALS(2, epochs=30, reg=1e-4, alpha=1.0, solver="cholesky").fit(table(np.where(planted, 1.0, np.nan)))
    np.testing.assert_allclose(model.score(np.arange(20)), planted, atol=1e-3)


def test_als_does_not_care_how_users_are_numbered() -> None:
    matrix = stars().matrix()
    mixed = np.random.default_rng(1).permutation(matrix.shape[0])
    for cg_steps in (None, 3):
        x, y = train_als(matrix, 4, 5, 0.1, 2.0, cg_steps, init_std=0.1)
        x_mixed, y_mixed = train_als(matrix[mixed], 4, 5, 0.1, 2.0, cg_steps, init_std=0.1)
        np.testing.assert_allclose(y_mixed, y, atol=1e-3)
        np.testing.assert_allclose(x_mixed, x[mixed], atol=1e-3)


def test_huge_regularisation_makes_als_factors_vanish() -> None:
    for solver in ("cholesky", "cg"):
        model = ImplicitALS(4, epochs=3, reg=1e6, solver=solver).fit(clicks())
        assert np.abs(model.score(np.arange(40))).max() < 1e-6


def test_a_stored_zero_is_the_same_as_no_cell() -> None:
    values = np.array([[1.0, 0, np.nan], [np.nan, 2, 1]])
    with_zero = ImplicitALS(2, epochs=3).fit(table(values))
    without = ImplicitALS(2, epochs=3).fit(table(np.where(values == 0, np.nan, values)))
    np.testing.assert_array_equal(with_zero.score([0, 1]), without.score([0, 1]))
    assert with_zero.recommend([0], 3)[0].tolist() == [[2, -1, -1]]  # still an interaction, so still seen


# -- BPR -----------------------------------------------------------------------------------------------
def test_bpr_step_by_hand() -> None:
    # x_uij = 0, so sigmoid(-x) = 0.5
    p, q_i, q_j, b_i, b_j = factors_steps.bpr_step(
        np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.zeros(2), 0.0, 0.0, learning_rate=0.1, reg=0.2
    )
    np.testing.assert_allclose(p, [0.98, 0.05])
    np.testing.assert_allclose(q_i, [0.05, 0.98])
    np.testing.assert_allclose(q_j, [-0.05, 0])
    assert (b_i, b_j) == pytest.approx((0.05, -0.05))


def test_bpr_step_goes_down_the_gradient() -> None:
    loss: Callable[..., float] = factors_steps.bpr_loss
    step: Callable[..., tuple[Any, ...]] = factors_steps.bpr_step
    rng = np.random.default_rng(0)
    at: list[Any] = [*(rng.normal(size=4) for _ in range(3)), 0.3, -0.2]
    slope = differences(lambda *x: loss(*x, 0.3), at)
    for before, after, s in zip(at, step(*at, 0.01, 0.3), slope):
        np.testing.assert_allclose(after, before - 0.01 * s, atol=1e-9)


def small_log() -> tuple[list[tuple[int, int]], dict[int, dict[int, float]], list[tuple[int, int, int]]]:
    log = clicks(4, 6, 0.4, seed=1)
    pairs = list(zip(log.user.tolist(), log.item.tolist()))
    seen = log.by_user()
    return pairs, seen, [(u, i, j) for u, i in pairs for j in range(6) if j not in seen[u]]


def test_bootstrap_draws_every_triple_alike() -> None:
    """Chi-square test of 20 000 draws against the uniform law over D_S, at the 0.1 % level."""
    pairs, seen, triples = small_log()
    drawn: dict[tuple[int, int, int], int] = dict.fromkeys(triples, 0)
    for epoch in range(20_000 // len(pairs)):
        for triple in factors_steps.bpr_draws(pairs, list(range(6)), seen, factors_steps.hashed(7, epoch)):
            drawn[triple] += 1  # a KeyError here is a seen j
    assert stats.chisquare(list(drawn.values())).pvalue > 1e-3


def test_blocks_dealt_anew_draw_every_triple_alike() -> None:
    """Each triple's mean count over 3 000 epochs of two blocks within 4.5 standard errors of the common mean."""
    pairs, seen, triples = small_log()
    number = {triple: n for n, triple in enumerate(triples)}
    rng = np.random.default_rng(0)
    count = np.zeros((3_000, len(triples)))
    for epoch in range(len(count)):
        user_block, item_block = factors_steps.deal(4, 2, rng), factors_steps.deal(6, 2, rng)
        key = int(rng.integers(2**63))
        for a, b in factors_steps.rounds(2):
            cell = [(u, i) for u, i in pairs if (user_block[u], item_block[i]) == (a, b)]
            pool = [i for i in range(6) if item_block[i] == b]
            for triple in factors_steps.bpr_draws(cell, pool, seen, factors_steps.hashed(key, a * 2 + b)):
                count[epoch, number[triple]] += 1
    z = (count.mean(axis=0) - count.mean()) / (count.std(axis=0) / np.sqrt(len(count)))
    assert np.abs(z).max() < 4.5
    assert z.std() > 0.5  # the yardstick itself is of the right size


def planted_ranking(seed: int) -> tuple[Interactions, Array, Array]:
    """Each user likes the fifth of the items nearest to a hidden taste; half of those are seen in training."""
    rng = np.random.default_rng(seed)
    affinity = rng.normal(size=(120, 3)) @ rng.normal(size=(3, 80))
    liked = affinity >= np.sort(affinity, axis=1)[:, [-16]]
    seen = liked & (rng.random(liked.shape) < 0.5)
    return table(np.where(seen, 1.0, np.nan)), liked & ~seen, ~liked


def held_out_auc(model: BPR, liked: Array, not_liked: Array) -> float:
    """Share of (held-out liked, not liked) pairs of a user in the right order, mean over users."""
    scores = model.score(np.arange(len(liked)))
    per_user = [
        np.mean(s[good][:, None] > s[bad]) for s, good, bad in zip(scores, liked, not_liked, strict=True) if good.any()
    ]
    return float(np.mean(per_user))


def test_bpr_finds_a_planted_ranking_with_and_without_blocks() -> None:
    """Blocks change which triples meet, not what is learned: the mean over eight seeds differs by less than 0.01."""
    auc: dict[int, list[float]] = {1: [], 4: []}
    for blocks, values in auc.items():
        for seed in range(8):
            log, liked, not_liked = planted_ranking(seed)
            model = BPR(8, epochs=100, learning_rate=0.05, reg=0.01, blocks=blocks, seed=seed).fit(log)
            values.append(held_out_auc(model, liked, not_liked))
            assert model.train_auc_[0] < 0.75 < 0.9 < model.train_auc_[-1]
    assert min(auc[1] + auc[4]) > 0.85
    assert abs(np.mean(auc[1]) - np.mean(auc[4])) < 0.01


def test_popular_negatives_push_popular_items_down() -> None:
    rng = np.random.default_rng(0)
    popularity = np.linspace(0.6, 0.05, 40)
    log = table(np.where(rng.random((200, 40)) < popularity, 1.0, np.nan))
    uniform, popular = (BPR(4, epochs=30, negatives=n).fit(log).item_bias_ for n in ("uniform", "popular"))
    assert stats.spearmanr(uniform, popularity).statistic > 0.9
    assert np.polyfit(popularity, popular, 1)[0] < 0.5 * np.polyfit(popularity, uniform, 1)[0]


# -- what every model promises -------------------------------------------------------------------------
def small(model: Callable[..., Any], **parameters: Any) -> Any:
    return model(5, **({} if model is PureSVD else {"epochs": 3, "seed": 3} | parameters))


@pytest.mark.parametrize("model", MODELS)
def test_recommend_sorts_the_scores_without_what_was_seen(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    log = stars()
    fitted = small(model).fit(log)
    users = np.array([7, 0, 39, 7])
    scores = fitted.score(users)
    assert scores.shape == (4, 30)
    assert scores.dtype == np.float32
    every_item = np.tile(np.arange(30), 4)
    np.testing.assert_allclose(fitted.predict(np.repeat(users, 30), every_item).reshape(4, 30), scores, atol=1e-5)
    items, values = fitted.recommend(users, 6)
    for row, u in enumerate(users):
        allowed = [i for i in range(30) if i not in log.items_of(int(u))]
        best = sorted(allowed, key=lambda i: (-scores[row, i], i))[:6]
        assert items[row].tolist() == best
        np.testing.assert_array_equal(values[row], scores[row, best])
    assert fitted.recommend([7], 30, exclude_seen=False)[0].min() >= 0
    monkeypatch.setattr(topk, "SCORE_CELLS", 60)  # two users at a time
    np.testing.assert_array_equal(fitted.recommend(users, 6)[0], items)


@pytest.mark.parametrize("model", MODELS)
def test_a_seed_gives_one_result(model: Any) -> None:
    log = stars()
    first, again = small(model).fit(log), small(model).fit(log)
    np.testing.assert_array_equal(first.score(np.arange(40)), again.score(np.arange(40)))
    if model is not PureSVD:
        other = small(model, seed=4).fit(log)
        assert not np.array_equal(first.item_factors_, other.item_factors_)
        from_generator = small(model, seed=np.random.default_rng(3)).fit(log)
        np.testing.assert_array_equal(first.item_factors_, from_generator.item_factors_)


@pytest.mark.parametrize("model", [FunkSVD, ImplicitALS, BPR])
def test_threads_do_not_change_the_result(model: Any) -> None:
    log = stars(300, 200)
    parameters = {} if model is ImplicitALS else {"blocks": 4}
    before = numba.get_num_threads()
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    fitted = [small(model, n_threads=n, **parameters).fit(log) for n in (1, most)]
    np.testing.assert_array_equal(fitted[0].user_factors_, fitted[1].user_factors_)
    np.testing.assert_array_equal(fitted[0].item_factors_, fitted[1].item_factors_)
    assert numba.get_num_threads() == before


@pytest.mark.parametrize("model", MODELS)
def test_any_csr_of_the_same_cells_gives_the_same_model(model: Any) -> None:
    log = stars()
    expected = small(model).fit(log).item_factors_
    matrix = log.matrix(np.float64)
    shuffled = sparse.csr_array(
        (matrix.data[::-1], matrix.indices[::-1].astype(np.int64), len(log) - matrix.indptr[::-1].astype(np.int64)),
        shape=matrix.shape,
    )[::-1]  # rows of descending columns, int64 indices
    shuffled = sparse.csr_array((shuffled.data, shuffled.indices, shuffled.indptr), shape=matrix.shape)
    np.testing.assert_array_equal(shuffled.toarray(), matrix.toarray())
    np.testing.assert_array_equal(small(model).fit(shuffled).item_factors_, expected)
    np.testing.assert_array_equal(small(model).fit(sparse.csr_matrix(matrix)).item_factors_, expected)


def test_users_without_history() -> None:
    values = np.where(np.random.default_rng(0).random((12, 9)) < 0.5, 2.0, np.nan)
    values[4] = np.nan
    values[:, 6] = np.nan
    log = table(values)
    funk = small(FunkSVD).fit(log)
    np.testing.assert_array_equal(funk.score([4])[0], np.float32(funk.mean_) + funk.item_bias_)
    assert funk.predict([4], [6]).tolist() == [2.0]  # the mean
    np.testing.assert_array_equal(small(BPR).fit(log).score([4])[0], small(BPR).fit(log).item_bias_)
    assert not small(ImplicitALS).fit(log).score([4]).any()
    np.testing.assert_allclose(small(PureSVD).fit(log).score([4]), 0, atol=1e-6)


def test_shapes_and_inputs_compile_no_kernel_anew() -> None:
    for log in (stars(), stars(10, 50), stars().matrix(np.float64)):
        for factors in (3, 8):
            for model in (FunkSVD, BPR, ImplicitALS):
                model(factors, epochs=1).fit(log)
            ImplicitALS(factors, epochs=1, solver="cholesky").fit(log)
    kernels = (funk_module._epoch, bpr_module._epoch, als_module._solve_cg, als_module._solve_exact, sort_into_cells)
    assert [len(kernel.signatures) for kernel in kernels] == [1] * len(kernels)


def test_progress_is_shown_on_demand_only(capsys: pytest.CaptureFixture[str]) -> None:
    for model in (FunkSVD, ImplicitALS, BPR):
        small(model, progress=False).fit(stars())
        small(model).fit(stars())  # far from two seconds
        assert capsys.readouterr().err == ""
        small(model, progress=True).fit(stars())
        assert "3/3" in capsys.readouterr().err


# -- bad input -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", MODELS)
def test_bad_interactions_are_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="interactions are empty"):
        small(model).fit(sparse.csr_array((8, 8)))
    log = stars()
    with pytest.raises(ValueError, match="interactions are empty"):
        small(model).fit(log.subset(np.zeros(len(log), dtype=bool)))
    for value in (-1.0, np.nan, np.inf, 1e39):
        matrix = log.matrix(np.float64)
        matrix.data[5] = value
        with np.errstate(over="ignore"), pytest.raises(ValueError, match="must be finite"):
            small(model).fit(matrix)
    twice = sparse.csr_array((np.ones(2), np.array([1, 1]), np.array([0, 2, 2])), shape=(2, 3))
    with pytest.raises(ValueError, match="more than once"):
        small(model).fit(twice)
    with pytest.raises(TypeError, match="interactions is ndarray"):
        small(model).fit(np.ones((3, 3)))


@pytest.mark.parametrize("model", MODELS)
def test_bad_requests_are_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="not fitted yet"):
        small(model).score([0])
    fitted = small(model).fit(stars())
    for users in ([0, 40], [-1]):
        with pytest.raises(ValueError, match=r"unknown code (40|-1) in users; the model knows 0 to 39"):
            fitted.score(users)
    with pytest.raises(ValueError, match="unknown code 30 in items"):
        fitted.predict([0], [30])
    with pytest.raises(ValueError, match="users has 2 codes, items has 1"):
        fitted.predict([0, 1], [2])
    with pytest.raises(TypeError, match="users has dtype float64"):
        fitted.score([0.0])
    with pytest.raises(ValueError, match="flat sequence"):
        fitted.score([[0]])
    with pytest.raises(ValueError, match="k is 0; ask for at least one item"):
        fitted.recommend([0], 0)
    with pytest.raises(ValueError, match="k=31 is larger than the catalogue of 30 items"):
        fitted.recommend([0], 31)
    assert fitted.score([]).shape == (0, 30)
    assert fitted.recommend([], 4)[0].shape == (0, 4)


@pytest.mark.parametrize(
    ("model", "parameters", "message"),
    [
        *((model, {"factors": 0}, "factors is 0; it must be >= 1") for model in MODELS),
        *((model, {"epochs": 0}, "epochs is 0; it must be >= 1") for model in MODELS[:3]),
        *((model, {"reg": -0.1}, "reg is -0.1; it must be >= 0") for model in MODELS[:3]),
        *((model, {"reg": np.nan}, "reg is nan; it must be >= 0") for model in MODELS[:3]),
        *((model, {"n_threads": 0}, "n_threads is 0; it must be >= 1") for model in MODELS[:3]),
        *((model, {"n_threads": 9_999}, "n_threads is 9999; this process may use at most") for model in MODELS[:3]),
        *((model, {"learning_rate": 0}, "learning_rate is 0; it must be > 0") for model in (FunkSVD, BPR)),
        *((model, {"init_std": -1}, "init_std is -1; it must be >= 0") for model in (FunkSVD, BPR)),
        *((model, {"blocks": 0}, "blocks is 0; it must be >= 1") for model in (FunkSVD, BPR)),
        (FunkSVD, {"patience": 0}, "patience is 0; it must be >= 1"),
        (FunkSVD, {"patience": 2}, "patience needs validation ratings"),
        (FunkSVD, {"learning_rate": 50.0, "epochs": 30}, "the fit diverged in epoch .* choose a lower one"),
        (BPR, {"negatives": "hard"}, "negatives is 'hard'; choose 'uniform' or 'popular'"),
        (BPR, {"learning_rate": 500.0, "reg": 1.0, "epochs": 60}, "the fit diverged in epoch .* choose a lower one"),
        (ImplicitALS, {"alpha": -1.0}, "alpha is -1.0; it must be >= 0"),
        (ImplicitALS, {"cg_steps": 0}, "cg_steps is 0; it must be >= 1"),
        (ImplicitALS, {"init_std": 0}, "init_std is 0; it must be > 0"),
        (ImplicitALS, {"solver": "lu"}, "solver is 'lu'; choose 'cg' or 'cholesky'"),
        (ImplicitALS, {"factors": 40, "reg": 0.0, "solver": "cholesky"}, "is singular with reg=0.0"),
        (PureSVD, {"factors": 30}, r"factors=30 with a matrix of \(40, 30\)"),
    ],
)
def test_bad_parameters_are_refused(model: Any, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(**parameters).fit(stars())


def test_fractions_of_a_factor_are_refused() -> None:
    with pytest.raises(TypeError, match=r"factors is 2\.5; give a whole number"):
        FunkSVD(2.5).fit(stars())  # type: ignore[arg-type]


def test_validation_ratings_share_the_vocabulary() -> None:
    with pytest.raises(ValueError, match=r"validation ratings are \(40, 29\)"):
        FunkSVD(2, epochs=1).fit(stars(), stars(40, 29))


def test_bpr_needs_a_negative() -> None:
    with pytest.raises(ValueError, match="every user has every item"):
        BPR(2).fit(table(np.ones((3, 4))))
