"""Similarities and neighbourhood models: hand-worked values, dense NumPy as a second route, limit cases, errors."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from functools import partial
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from rectutor.fastpath import PAIRS
from rectutor.retrieval.cf import (
    ItemCF,
    Popular,
    UserCF,
    adjusted_cosine,
    bm25,
    cases,
    cosine,
    dot,
    jaccard,
    pearson,
    reference,
    swing,
    tfidf,
)

MINE = [name for name in PAIRS if name.startswith(("retrieval.cf.similarity", "retrieval.cf.neighbours"))]
SIMILARITIES = {
    "jaccard": (jaccard, reference.jaccard),
    "dot": (dot, reference.dot),
    "cosine": (cosine, reference.cosine),
    "pearson": (pearson, reference.pearson),
    "adjusted_cosine": (adjusted_cosine, reference.adjusted_cosine),
    "swing": (swing, reference.swing),
}

# Users d, e, f rate X, Y, Z: d and f have one taste, but d rates high and f low; e rates high as well.
D, E, F = 0, 1, 2
BIASED = sparse.csr_array(np.array([[5.0, 4.0, 5.0], [4.0, 5.0, 4.0], [3.0, 1.0, 3.0]]))
# Users a to e click on A, B, C and the hit D: A, B, C have no user in common, D is similar to all of them.
HEAD = sparse.csr_array(
    np.array(
        [
            [1, 0, 0, 1],
            [1, 0, 0, 1],
            [0, 1, 0, 1],
            [0, 1, 0, 1],
            [0, 0, 1, 1],
            [0, 0, 1, 1],
            [1, 1, 0, 0],
        ],
        dtype=np.float64,
    )
)


def dense(similarity: Any, *args: Any, **kwargs: Any) -> NDArray[np.float64]:
    return np.asarray(similarity(*args, **kwargs).toarray(), dtype=np.float64)


# -- hand-worked values ------------------------------------------------------------------------------
@pytest.mark.parametrize("function", [jaccard, reference.jaccard])
def test_jaccard_by_hand(function: Any) -> None:
    # A: users 0 1 6; B: 2 3 6; C: 4 5; D: 0 to 5
    s = dense(function, HEAD)
    np.testing.assert_allclose(s[0], [0, 1 / 5, 0, 2 / 7], rtol=1e-6)
    np.testing.assert_allclose(s[3], [2 / 7, 2 / 7, 2 / 6, 0], rtol=1e-6)


@pytest.mark.parametrize("function", [cosine, reference.cosine])
def test_cosine_by_hand(function: Any) -> None:
    s = dense(function, HEAD)
    np.testing.assert_allclose(s[0], [0, 1 / 3, 0, 2 / np.sqrt(18)], rtol=1e-6)
    damped = dense(function, HEAD, damping=1.0)  # row A: common raters / raters of the neighbour
    np.testing.assert_allclose(damped[0], [0, 1 / 3, 0, 2 / 6], rtol=1e-6)
    np.testing.assert_allclose(damped[3], [2 / 3, 2 / 3, 2 / 2, 0], rtol=1e-6)
    undamped = dense(function, HEAD, damping=0.0)
    np.testing.assert_allclose(undamped, damped.T, rtol=1e-6)
    rare = dense(function, HEAD, iuf=True)  # every user has two items
    np.testing.assert_allclose(rare, s / np.log(3), rtol=1e-6)
    shrunk = dense(function, HEAD, shrink=2.0)
    np.testing.assert_allclose(shrunk[0], [0, 1 / 3 * 1 / 3, 0, 2 / np.sqrt(18) * 2 / 4], rtol=1e-6)
    np.testing.assert_allclose(dense(function, HEAD, min_common=2)[0], [0, 0, 0, 2 / np.sqrt(18)], rtol=1e-6)


@pytest.mark.parametrize("function", [cosine, reference.cosine])
def test_a_user_with_one_item_weighs_one_over_ln_two(function: Any) -> None:
    x = sparse.csr_array(np.array([[1.0, 1.0], [1.0, 0.0]]))  # compared by user, the links are items
    s = dense(function, x, by="user", iuf=True)
    np.testing.assert_allclose(s[0, 1], 1 / np.log(3) / np.sqrt(2), rtol=1e-6)
    y = sparse.csr_array(np.array([[2.0, 3.0]]))
    np.testing.assert_allclose(dense(function, y, iuf=True)[0, 1], 1 / np.log(3), rtol=1e-6)


@pytest.mark.parametrize("function", [pearson, reference.pearson])
def test_pearson_by_hand(function: Any) -> None:
    # common raters of X and Y: users 0, 1, 2; x = 1 2 3, y = 2 2 5: r = 3 / sqrt(2 * 6)
    x = sparse.csr_array(np.array([[1.0, 2.0], [2.0, 2.0], [3.0, 5.0], [5.0, 0.0]]))
    np.testing.assert_allclose(dense(function, x)[0, 1], 3 / np.sqrt(12), rtol=1e-6)
    # over all: x = 1 2 3 5, y = 2 2 5 0
    np.testing.assert_allclose(
        dense(function, x, over="all")[0, 1], np.corrcoef([1, 2, 3, 5], [2, 2, 5, 0])[0, 1], rtol=1e-6
    )


@pytest.mark.parametrize("function", [adjusted_cosine, reference.adjusted_cosine])
def test_adjusted_cosine_by_hand(function: Any) -> None:
    # means 4 and 2: deviations (1, 0, -1) and (1, -1, missing); X and Z have user 0 in common only
    x = sparse.csr_array(np.array([[5.0, 4.0, 3.0], [3.0, 1.0, 0.0]]))
    s = dense(function, x)
    np.testing.assert_allclose(s[0, 1], -1 / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(s[0, 2], -1.0, rtol=1e-6)
    assert s[1, 2] == 0  # nothing is left of Y at user 0


@pytest.mark.parametrize("function", [swing, reference.swing])
def test_swing_by_hand(function: Any) -> None:
    # X, Y, Z: users 0 and 1 share X, Y; users 0 and 2 share X, Y, Z; users 1 and 2 share X, Y
    x = sparse.csr_array(np.array([[1.0, 1, 1], [1, 1, 0], [1, 1, 1]]))
    s = dense(function, x, alpha=1.0, weighted=False)
    np.testing.assert_allclose(s[0, 1], 1 / (1 + 2) + 1 / (1 + 3) + 1 / (1 + 2), rtol=1e-6)  # three pairs, each once
    np.testing.assert_allclose(s[0, 2], 1 / (1 + 3), rtol=1e-6)
    w = dense(function, x, alpha=2.0)
    pairs = 2 / np.sqrt(3 * 2) / (2 + 2) + 1 / 3 / (2 + 3)
    np.testing.assert_allclose(w[0, 1], pairs, rtol=1e-6)
    assert np.array_equal(w, w.T)


@pytest.mark.parametrize("function", [swing, reference.swing])
def test_swing_needs_two_different_common_users(function: Any) -> None:
    one_common = sparse.csr_array(np.array([[1.0, 1.0], [1.0, 0.0]]))
    assert function(one_common).nnz == 0


def test_weightings_by_hand() -> None:
    x = sparse.csr_array(np.array([[4.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    rare, often = np.log(3) - np.log(2), np.log(3) - np.log(3)
    for function in (tfidf, reference.tfidf):
        expected = [[2 * often, 0, rare], [often, rare, 0], [0, 0, 0]]
        np.testing.assert_allclose(function(x).toarray(), expected, atol=1e-15)
    lengths = np.array([5.0, 2.0]) / (7 / 3)
    for function in (bm25, reference.bm25):
        got = function(x, 2.0, 0.5).toarray()
        np.testing.assert_allclose(got[0, 2], 3 / (1 + 2 * (0.5 + 0.5 * lengths[0])) * rare, rtol=1e-12)
        np.testing.assert_allclose(got[1, 1], 3 / (1 + 2 * (0.5 + 0.5 * lengths[1])) * rare, rtol=1e-12)


# -- what the chapter claims -------------------------------------------------------------------------
@pytest.mark.parametrize(("angle", "correlation"), [(cosine, pearson), (reference.cosine, reference.pearson)])
def test_cosine_falls_for_rating_bias_and_pearson_does_not(angle: Any, correlation: Any) -> None:
    c, r = dense(angle, BIASED, by="user"), dense(correlation, BIASED, by="user")
    np.testing.assert_allclose(c[D, [E, F]], [60 / np.sqrt(66 * 57), 34 / np.sqrt(66 * 19)], rtol=1e-6)
    assert c[D, E] > c[D, F]  # cosine prefers the user who rates as high
    np.testing.assert_allclose(r[D, [E, F]], [-1.0, 1.0], rtol=1e-6)  # Pearson the user of the same taste


def test_head_effect_and_damping() -> None:
    plain = cosine(HEAD, k=1)
    assert [int(plain[[i]].indices[0]) for i in range(3)] == [3, 3, 3]  # the hit D is nearest to A, B and C
    assert cosine(HEAD, k=None)[0, 2] == 0  # while A and C share nobody: sparse vectors cannot compare them
    # A has 4 raters, B 3, of whom 1 is common; the hit 40, all raters of A among them
    clicks = np.zeros((42, 3))
    clicks[:4, 0] = clicks[3:6, 1] = clicks[:40, 2] = 1
    x = sparse.csr_array(clicks)
    plain, damped = dense(cosine, x), dense(cosine, x, damping=1.0)
    np.testing.assert_allclose(plain[0], [0, 1 / np.sqrt(12), 4 / np.sqrt(160)], rtol=1e-6)
    np.testing.assert_allclose(damped[0], [0, 1 / 3, 4 / 40], rtol=1e-6)
    assert cosine(x, k=1)[[0]].indices.tolist() == [2]  # the hit is nearest
    assert cosine(x, k=1, damping=1.0)[[0]].indices.tolist() == [1]  # B is, once the hit is held down


# -- dense NumPy as an independent route -------------------------------------------------------------
def planted(seed: int, *, rated: bool) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    x = (rng.random((60, 130)) < rng.uniform(0.02, 0.5, 130)).astype(np.float64)
    return x * rng.integers(1, 11, x.shape) / 2 if rated else x


def off_diagonal(s: NDArray[np.float64], x: NDArray[np.float64], least: int = 1) -> NDArray[np.float64]:
    met = (x != 0).astype(np.float64)
    return np.where((met.T @ met >= least) & ~np.eye(len(s), dtype=bool), s, 0.0)


@pytest.mark.parametrize("rated", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_product_similarities_against_dense_algebra(seed: int, rated: bool) -> None:
    x = planted(seed, rated=rated)
    m = sparse.csr_array(x)
    met = (x != 0).astype(np.float64)
    common, size = met.T @ met, met.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        j = common / (size[:, None] + size - common)
        c = x.T @ x / np.outer(np.linalg.norm(x, axis=0), np.linalg.norm(x, axis=0))
        phi = np.corrcoef(x.T)
    routes: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = [
        (dense(jaccard, m, k=None), j),
        (dense(dot, m, k=None), x.T @ x),
        (dense(cosine, m, k=None), c),
        (dense(pearson, m, k=None, over="all"), np.asarray(phi)),
    ]
    for got, expected in routes:
        np.testing.assert_allclose(got, off_diagonal(np.nan_to_num(expected), x), rtol=1e-6, atol=1e-7)
    shrunk = c * common / (common + 7)
    np.testing.assert_allclose(
        dense(cosine, m, k=None, shrink=7.0, min_common=3),
        off_diagonal(np.nan_to_num(shrunk), x, 3),
        rtol=1e-6,
        atol=1e-7,
    )


@pytest.mark.parametrize("seed", range(2))
def test_pearson_over_common_against_corrcoef(seed: int) -> None:
    x = planted(seed, rated=True)
    got = dense(pearson, sparse.csr_array(x), k=None, min_common=3)
    for i in range(0, 130, 7):
        for j in range(130):
            both = (x[:, i] > 0) & (x[:, j] > 0)
            a, b = x[both, i], x[both, j]
            defined = i != j and both.sum() >= 3 and np.ptp(a) > 0 and np.ptp(b) > 0
            expected = np.corrcoef(a, b)[0, 1] if defined else 0.0
            np.testing.assert_allclose(got[i, j], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_swing_against_sums_over_all_ordered_pairs(seed: int) -> None:
    x = planted(seed, rated=False)[:25, :40]
    shared = x @ x.T
    weight = 1 / np.sqrt(np.maximum(x.sum(axis=1), 1))
    term = np.outer(weight, weight) / (3.0 + shared)
    np.fill_diagonal(term, 0)
    both = x[:, :, None] * x[:, None, :]  # [users, i, j]
    expected = np.einsum("uij,uv,vij->ij", both, term, both) / 2  # ordered pairs are twice the unordered ones
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(dense(swing, sparse.csr_array(x), k=None, alpha=3.0), expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("by", ["item", "user"])
@pytest.mark.parametrize("k", [1, 5, 31, 64, 129, 130, 1000])
def test_top_k_of_the_full_matrix(k: int, by: Any) -> None:
    x = planted(1, rated=True) if by == "item" else planted(1, rated=True).T
    whole = dense(cosine, sparse.csr_array(x), by=by, k=None)
    kept = cosine(sparse.csr_array(x), by=by, k=k)
    for i, row in enumerate(whole):
        best = np.sort(row[row > 0])[::-1][:k]
        np.testing.assert_array_equal(np.sort(kept[[i]].data)[::-1], best.astype(np.float32))
        assert np.array_equal(kept[[i]].data, row[kept[[i]].indices].astype(np.float32))


def test_ties_go_to_the_lower_code() -> None:
    ones = sparse.csr_array(np.ones((3, 100)))
    for measure in (jaccard, cosine, dot, swing):
        kept = measure(ones, k=3)
        assert kept[[0]].indices.tolist() == [1, 2, 3]
        assert kept[[1]].indices.tolist() == [0, 2, 3]
        assert kept[[99]].indices.tolist() == [0, 1, 2]


def test_does_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    x = cases.stars(np.random.default_rng(0), 200, 300, 0.2)
    results = []
    for threads in (1, 3):  # the number of threads sets the size of the blocks, too
        monkeypatch.setattr(numba, "get_num_threads", lambda threads=threads: threads)
        results.append([measure(x, k=7) for measure in (cosine, pearson, adjusted_cosine, swing)])
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one.indices, two.indices)
        assert np.array_equal(one.indptr, two.indptr)
        assert np.array_equal(one.data, two.data)


def test_popular_items_do_not_overflow_the_counter() -> None:
    users = 2**16 + 3  # more than a 16-bit count holds
    x = sparse.csr_array(np.ones((users, 2), dtype=np.float32))
    assert dot(x)[0, 1] == users
    assert jaccard(x)[0, 1] == 1.0


def test_values_of_zero_are_interactions() -> None:
    x = sparse.csr_array((np.array([0.0, 2.0, 3.0, 1.0]), np.array([0, 1, 0, 1]), np.array([0, 2, 4])), shape=(2, 2))
    assert jaccard(x)[0, 1] == 1.0
    np.testing.assert_allclose(pearson(x)[0, 1], -1.0, rtol=1e-6)


def test_interactions_and_their_matrix_give_the_same() -> None:
    log = cases.log_of(cases.stars(np.random.default_rng(3)))
    for measure, _ in SIMILARITIES.values():
        assert (measure(log, k=4) != measure(log.matrix(), k=4)).nnz == 0


def test_pearson_chooses_what_can_vary() -> None:
    stars, clicks = cases.stars(np.random.default_rng(0)), cases.clicks(np.random.default_rng(0))
    assert (pearson(stars) != pearson(stars, over="common")).nnz == 0
    assert (pearson(clicks) != pearson(clicks, over="all")).nnz == 0
    assert pearson(clicks, over="common").nnz == 0  # nothing varies among common raters


# -- models ------------------------------------------------------------------------------------------
TASTES = sparse.csr_array(
    np.array([[5, 4, 0, 0, 1], [4, 5, 4, 0, 0], [1, 0, 0, 5, 4], [0, 1, 2, 4, 5], [0, 0, 0, 0, 0]], dtype=np.float64)
)


def test_popular() -> None:
    model = Popular().fit(TASTES)
    assert model.score([0, 4]).tolist() == [[3, 3, 2, 2, 3]] * 2
    items, scores = model.recommend([0, 1, 4], 2)
    assert items.tolist() == [[2, 3], [4, 3], [0, 1]]
    assert scores.tolist() == [[2, 2], [3, 2], [3, 3]]
    assert model.recommend([0], 2, exclude_seen=False)[0].tolist() == [[0, 1]]


def test_user_cf_worked_by_hand() -> None:
    near = sparse.csr_array(np.array([[0, 0.5, 0, 0.25, 0], [0] * 5, [0] * 5, [0] * 5, [0] * 5], dtype=np.float64))
    model = UserCF(near).fit(TASTES)
    np.testing.assert_allclose(model.score([0])[0], [2.0, 2.75, 2.5, 1.0, 1.25], rtol=1e-6)
    # means: user 0 10/3, user 1 13/3, user 3 3; item 2 rated 4 by user 1 and 2 by user 3
    expected = 10 / 3 + (0.5 * (4 - 13 / 3) + 0.25 * (2 - 3)) / 0.75
    np.testing.assert_allclose(model.predict([0], [2]), [expected], rtol=1e-6)
    items, _ = model.recommend([0], 3)
    assert items.tolist() == [[2, 3, -1]] or items.tolist() == [[2, 3, 4]]
    everything = TASTES.sum() / TASTES.nnz
    np.testing.assert_allclose(model.predict([2, 4], [1, 0]), [10 / 3, everything], rtol=1e-6)  # no neighbours


def test_item_cf_worked_by_hand() -> None:
    near = np.zeros((5, 5))
    near[0, [1, 2]] = 0.5, 0.25  # the neighbours of item 0
    near[3, [0, 4]] = 0.5, -0.25
    model = ItemCF(sparse.csr_array(near)).fit(TASTES)
    np.testing.assert_allclose(model.score([0])[0], [0, 2.5, 1.25, 0, 0], rtol=1e-6)  # item 0 of the user votes
    np.testing.assert_allclose(model.predict([0], [3]), [(0.5 * 5 - 0.25 * 1) / 0.75], rtol=1e-6)
    np.testing.assert_allclose(model.predict([0], [4]), [10 / 3], rtol=1e-6)  # item 4 has no neighbours


def test_neighbours_find_the_tastes() -> None:
    items, _ = UserCF("pearson", k=2).fit(TASTES).recommend([0], 1)
    assert items.tolist() == [[2]]
    items, _ = ItemCF("cosine", k=2).fit(TASTES).recommend([2], 1)
    assert items.tolist() == [[2]]


def test_recommend_agrees_with_score_over_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from rectutor.retrieval import topk

    log = cases.stars(np.random.default_rng(0), 50, 40)
    model = ItemCF(k=10, shrink=2.0).fit(log)
    whole = model.recommend(np.arange(50), 40)
    monkeypatch.setattr(topk, "SCORE_CELLS", 7 * 40)
    parts = model.recommend(np.arange(50), 40)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_array_equal(whole[1], parts[1])
    scores = model.score(np.arange(50))
    for user in range(50):
        unseen = np.setdiff1d(np.arange(40), log[[user]].indices)
        order = unseen[np.argsort(-scores[user, unseen], kind="stable")]
        assert whole[0][user, : len(order)].tolist() == order.tolist()
        assert (whole[0][user, len(order) :] == -1).all()


@pytest.mark.parametrize("model", [UserCF, ItemCF])
def test_weighting_applies_to_similarities_only(model: Any) -> None:
    log = cases.stars(np.random.default_rng(1))
    documents = sparse.csr_array(log.T) if model is ItemCF else log
    for name, function in (("tfidf", tfidf), ("bm25", partial(bm25, k1=3.0, b=0.2))):
        fitted = model("dot", 5, weighting=name, k1=3.0, b=0.2).fit(log)
        expected = dot(function(documents), by="user", k=5)
        np.testing.assert_allclose(fitted.similarity_.toarray(), expected.toarray(), rtol=1e-6)
        assert (fitted.matrix_ != log).nnz == 0


def test_normalize_makes_the_nearest_one() -> None:
    fitted = ItemCF(k=5, normalize=True).fit(cases.clicks(np.random.default_rng(1)))
    rows = fitted.similarity_.toarray()
    greatest = rows.max(axis=1)
    np.testing.assert_allclose(greatest[greatest > 0], 1.0, rtol=1e-6)
    plain = ItemCF(k=5).fit(cases.clicks(np.random.default_rng(1))).similarity_.toarray()
    np.testing.assert_allclose(rows * plain.max(axis=1, keepdims=True), plain, rtol=1e-6)


def test_similarity_by_name_function_or_matrix() -> None:
    log = cases.clicks(np.random.default_rng(2))
    named = ItemCF("swing", 5).fit(log).score([0, 1])
    np.testing.assert_array_equal(ItemCF(swing, 5).fit(log).score([0, 1]), named)
    np.testing.assert_array_equal(ItemCF(swing(log, k=5)).fit(log).score([0, 1]), named)
    other = ItemCF(partial(swing, alpha=10.0), 5).fit(log).score([0, 1])
    assert not np.array_equal(other, named)


# -- bad input ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SIMILARITIES)
def test_similarities_refuse_bad_input(name: str) -> None:
    measure: Any = SIMILARITIES[name][0]
    x = sparse.csr_array(np.ones((3, 4)))
    with pytest.raises(ValueError, match="interactions are empty"):
        measure(sparse.csr_array((3, 4)))
    with pytest.raises(TypeError, match="interactions is ndarray; give Interactions or a scipy CSR array"):
        measure(np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"by is .row.; say .item. or .user."):
        measure(x, by="row")
    with pytest.raises(ValueError, match="k is 0; keep at least one neighbour"):
        measure(x, k=0)
    with pytest.raises(ValueError, match=r"shrink is -1; .* >= 0"):
        measure(x, shrink=-1)
    with pytest.raises(ValueError, match=r"shrink is nan"):
        measure(x, shrink=float("nan"))
    with pytest.raises(ValueError, match=r"min_common is 0"):
        measure(x, min_common=0)
    twice = sparse.csr_array((np.ones(2), np.array([1, 1]), np.array([0, 2])), shape=(1, 3))
    with pytest.raises(ValueError, match="more than once"):
        measure(twice)
    x.data[5] = np.nan
    with pytest.raises(ValueError, match="the value of user 1 and item 1 is nan"):
        measure(x)


def test_options_out_of_range() -> None:
    x = sparse.csr_array(np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"damping is 1.5; it lies between 0 and 1"):
        cosine(x, damping=1.5)
    with pytest.raises(ValueError, match=r'over is \'most\'; say "common", "all" or None'):
        pearson(x, over="most")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"alpha is -1"):
        swing(x, alpha=-1)
    with pytest.raises(ValueError, match=r"min_common is 1; Swing counts pairs"):
        swing(x, min_common=1)
    with pytest.raises(ValueError, match=r"b is 2"):
        bm25(x, b=2.0)
    with pytest.raises(ValueError, match=r"k1 is -1"):
        bm25(x, k1=-1.0)
    x.data[0] = -1.0
    for weighting in (tfidf, bm25):
        with pytest.raises(ValueError, match=r"negative"):
            weighting(x)


@pytest.mark.parametrize("model", [Popular(), UserCF(), ItemCF()], ids=["Popular", "UserCF", "ItemCF"])
def test_models_refuse_bad_input(model: Any) -> None:
    name = type(model).__name__
    with pytest.raises(ValueError, match=f"this {name} is not fitted yet; call fit first"):
        type(model)().recommend([0])
    with pytest.raises(ValueError, match="not fitted"):
        type(model)().score([0])
    with pytest.raises(ValueError, match="interactions are empty"):
        model.fit(sparse.csr_array((3, 4)))
    for value, message in ((-1.0, r"the value -1.0; values must be >= 0"), (np.nan, "user 0 and item 1 is nan")):
        bad = TASTES.copy()
        bad.data[1] = value
        with pytest.raises(ValueError, match=message):
            model.fit(bad)
    model.fit(TASTES)
    for method in (model.score, partial(model.recommend, k=1)):
        with pytest.raises(ValueError, match="unknown code 5 in users"):
            method([0, 5])
        with pytest.raises(ValueError, match="unknown code -1 in users"):
            method([-1])
        with pytest.raises(TypeError, match="integer codes"):
            method([0.5])
    with pytest.raises(ValueError, match="k=6 is larger than the catalogue of 5 items"):
        model.recommend([0], 6)
    with pytest.raises(ValueError, match="k is 0; ask for at least one item"):
        model.recommend([0], 0)


@pytest.mark.parametrize("model", [UserCF, ItemCF])
def test_neighbour_models_refuse_what_they_would_have_to_ignore(model: Any) -> None:
    for options, message in (
        ({"similarity": "euclid"}, "similarity is 'euclid'; say one of jaccard, dot, cosine"),
        ({"similarity": "jaccard", "damping": 0.7}, "damping and iuf belong to the cosine"),
        ({"similarity": "swing", "iuf": True}, "damping and iuf belong to the cosine"),
        ({"similarity": cosine, "shrink": 3.0}, "bind them with functools.partial"),
        ({"similarity": sparse.csr_array(np.eye(7))}, r"similarity has shape \(7, 7\), the interactions have 5"),
        ({"weighting": "bm24"}, "weighting is 'bm24'"),
        ({"k": 0}, "k is 0"),
    ):
        with pytest.raises(ValueError, match=message):
            model(**options).fit(TASTES)
    fitted = model().fit(TASTES)
    with pytest.raises(ValueError, match="users has 2 codes, items has 1"):
        fitted.predict([0, 1], [0])
    with pytest.raises(ValueError, match="unknown code 9 in items"):
        fitted.predict([0], [9])


# -- pairs, memory -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", MINE)
def test_pair(name: str) -> None:
    assert PAIRS[name].check(seed=11) >= 3


def test_the_comparison_can_fail() -> None:
    x = cases.clicks(np.random.default_rng(0))
    right = reference.cosine(x, k=3)
    good = cosine(x, k=3)
    cases.same_neighbours(good, right, 1e-6, 0.0)
    for spoil in ("value", "missing"):
        bad = good.copy()
        if spoil == "value":
            bad.data[0] *= np.float32(1.001)
        else:
            bad.data[0] = 0
            bad.eliminate_zeros()
        with pytest.raises(AssertionError):
            cases.same_neighbours(bad, right, 1e-6, 0.0)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_peak_memory_stays_below_twice_inputs_and_outputs() -> None:
    """Resident memory of a fresh process; 12,000 x 12,000 similarities would take 576 MB."""
    script = textwrap.dedent(
        """
        from pathlib import Path
        import numpy as np
        from scipy import sparse
        from rectutor.retrieval.cf import cosine

        def resident(field):
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))

        def size(m):
            return m.data.nbytes + m.indices.nbytes + m.indptr.nbytes

        rng = np.random.default_rng(0)
        cells = np.unique(rng.integers(20_000 * 12_000, size=600_000))
        start = np.searchsorted(cells // 12_000, np.arange(20_001)).astype(np.int32)
        x = sparse.csr_array(
            (np.ones(len(cells), np.float32), (cells % 12_000).astype(np.int32), start), shape=(20_000, 12_000)
        )
        del cells
        cosine(x[:300], k=50)
        Path("/proc/self/clear_refs").write_text("5")
        before = resident("VmRSS")
        s = cosine(x, k=50)
        print(size(x), size(s), resident("VmHWM") - before)
        """
    )
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    inputs, outputs, growth = map(int, run.stdout.split())
    assert outputs > 4e6
    assert inputs + growth <= 2 * (inputs + outputs)
    assert growth > outputs / 2  # the measurement sees the job


def test_usercf_among_raters_hears_the_nearest_who_met_the_item() -> None:
    # user 0 is nearest to 1, then 2, then 3; items 2 and 3 are new to 0: item 2 was met by 2 and 3, item 3 by 1, 2, 3
    near = np.zeros((4, 4))
    near[0, 1:] = 0.9, 0.5, 0.25
    log = sparse.csr_array(np.array([[1, 1, 0, 0], [1, 0, 0, 1], [1, 0, 2, 4], [0, 1, 8, 1]], dtype=float))
    given = sparse.csr_array(near)
    assert UserCF(given, k=2, among="raters").fit(log).score([0])[0, 2:].tolist() == pytest.approx(
        [0.5 * 2 + 0.25 * 8, 0.9 * 1 + 0.5 * 4], rel=1e-6
    )
    assert UserCF(given, k=1, among="raters").fit(log).score([0])[0, 2:].tolist() == pytest.approx([1.0, 0.9], rel=1e-6)
    # means of users 2 and 3 are 7/3 and 10/3; user 0's mean is 1
    expected = 1 + (0.5 * (2 - 7 / 3) + 0.25 * (8 - 10 / 3)) / 0.75
    assert UserCF(given, k=2, among="raters").fit(log).predict([0], [2])[0] == pytest.approx(expected, rel=1e-6)
    every = UserCF("cosine", k=None).fit(log).score([0, 1, 2, 3])
    np.testing.assert_allclose(UserCF("cosine", k=4, among="raters").fit(log).score([0, 1, 2, 3]), every, rtol=1e-6)
    with pytest.raises(ValueError, match="among is 'some'"):
        UserCF(among="some").fit(log)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="hear at least one"):
        UserCF(given, k=0, among="raters").fit(log).score([0])
