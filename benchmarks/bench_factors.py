"""Factor models beside their peers: implicit ALS, BPR, FunkSVD. Quality stands beside time.

python -m benchmarks.bench_factors [als|als-exact|bpr|funksvd] [rounds]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.harness import THREADS, Race  # sets the thread counts, so it comes before what reads them

# isort: split
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.workloads import interactions
from rectutor.retrieval.cf.factors import BPR, FunkSVD, ImplicitALS

FACTORS = 64
HELD_OUT_USERS = 5_000
Held = tuple[sparse.csr_array, NDArray[Any], NDArray[Any]]


def hold_out(matrix: sparse.csr_array, seed: int = 1) -> Held:
    """Take one random item from each of 5 000 users; what is left, the users, the items taken."""
    rng = np.random.default_rng(seed)
    length = np.diff(matrix.indptr)
    users = np.sort(rng.choice(np.flatnonzero(length > 1), HELD_OUT_USERS, replace=False))
    taken = matrix.indptr[users] + rng.integers(length[users])
    items = matrix.indices[taken]
    train = matrix.copy()
    train.data[taken] = 0
    train.eliminate_zeros()
    return train, users, items


def recall_at_50(users_factors: Any, items_factors: Any, held: Held) -> str:
    """Share of held-out items among the best 50 that the user has not got in train."""
    train, users, items = held
    scores = np.asarray(users_factors)[users] @ np.asarray(items_factors).T  # [B, I]
    seen = train[users]
    scores[np.repeat(np.arange(len(users)), np.diff(seen.indptr)), seen.indices] = -np.inf
    better = (scores > scores[np.arange(len(users)), items][:, None]).sum(axis=1)
    return f"recall@50 {np.mean(better < 50):.4f}"


def of_factors(held: Held) -> Callable[[Any], str]:
    """Judge models of ours and of implicit, both of which end in user and item factors."""

    def judge(model: Any) -> str:
        if hasattr(model, "item_bias_"):
            x = np.c_[model.user_factors_, np.ones(len(model.user_factors_), np.float32)]
            return recall_at_50(x, np.c_[model.item_factors_, model.item_bias_], held)
        return recall_at_50(model.user_factors, model.item_factors, held)

    return judge


def als(rounds: int, *, exact: bool = False) -> None:
    """Five passes of f = 64, alpha = 1: implicit gets the confidence 1 + alpha * r, the same problem."""
    held = hold_out(interactions())
    train = held[0]
    confidence = sparse.csr_matrix(train) * np.float32(2.0)
    race = Race(
        "implicit ALS exact" if exact else "implicit ALS",
        unit="interactions",
        work=5 * train.nnz,
        note="f = 64, 5 passes, 50 k x 10 k, 2 M",
        target=None if exact else 1.8,
    )
    judge = of_factors(held)

    def ours() -> ImplicitALS:
        return ImplicitALS(FACTORS, epochs=5, solver="cholesky" if exact else "cg").fit(train)

    def peer() -> Any:
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        model = AlternatingLeastSquares(
            factors=FACTORS, iterations=5, regularization=0.01, num_threads=THREADS, use_cg=not exact, random_state=0
        )
        with threadpool_limits(1):
            model.fit(confidence, show_progress=False)
        return model

    kind = "cholesky" if exact else "cg 3"
    race.add(f"ImplicitALS {kind}", ours, ours=True, quality=judge)
    race.add(f"implicit {kind}", peer, quality=judge)
    race.run(rounds)


def bpr(rounds: int) -> None:
    """Ten epochs of f = 64 at one learning rate and weight; implicit draws popular negatives, and so do we.

    After ten epochs no model has settled, so the size of the starting factors shows: implicit's are uniform in
    +-0.5 / f (a standard deviation of 0.0045).
    """
    held = hold_out(interactions())
    train = held[0]
    plain = sparse.csr_matrix(train)
    race = Race("BPR", unit="draws", work=10 * train.nnz, note="f = 64, 10 epochs, 50 k x 10 k, 2 M", target=1.4)
    judge = of_factors(held)

    def ours(negatives: Any, init_std: float) -> BPR:
        return BPR(FACTORS, epochs=10, learning_rate=0.05, reg=0.01, negatives=negatives, init_std=init_std).fit(train)

    def peer() -> Any:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        model = BayesianPersonalizedRanking(
            factors=FACTORS, iterations=10, learning_rate=0.05, regularization=0.01, num_threads=THREADS, random_state=0
        )
        model.fit(plain, show_progress=False)
        return model

    race.add("BPR popular negatives", lambda: ours("popular", 0.002), ours=True, quality=judge)
    race.add("BPR uniform negatives", lambda: ours("uniform", 0.1), ours=True, quality=judge)
    race.add("implicit (popular negatives)", peer, quality=judge)
    race.run(rounds)


def ratings(
    n_users: int = 6_040, n_items: int = 3_706, n_rows: int = 1_000_000, seed: int = 0
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """One million stars of users with tastes in eight dimensions; 90 % to learn from and 10 % to predict."""
    rng = np.random.default_rng(seed)
    share_u = (np.arange(n_users) + 100.0) ** -0.6
    share_i = (np.arange(n_items) + 60.0) ** -0.8
    u = rng.choice(n_users, 3 * n_rows, p=share_u / share_u.sum())
    i = rng.choice(n_items, 3 * n_rows, p=share_i / share_i.sum())
    cell = rng.permutation(np.unique(u * n_items + i))[:n_rows]
    u, i = cell // n_items, cell % n_items
    taste, kind = rng.standard_normal((n_users, 8)), rng.standard_normal((n_items, 8))
    star = 3.5 + 0.4 * rng.standard_normal(n_users)[u] + 0.5 * rng.standard_normal(n_items)[i]
    star += 0.25 * np.einsum("nd,nd->n", taste[u], kind[i]) + 0.6 * rng.standard_normal(len(u))
    star = np.clip(np.round(star), 1, 5).astype(np.float32)
    test = rng.random(len(u)) < 0.1
    shape = (n_users, n_items)
    train_part, test_part = (
        sparse.csr_array((star[rows], (u[rows].astype(np.int32), i[rows].astype(np.int32))), shape=shape)
        for rows in (~test, test)
    )
    return train_part, test_part


def funksvd(rounds: int) -> None:
    """Twenty epochs of f = 100, rate 0.005, weight 0.02."""
    train, test = ratings()
    user = np.repeat(np.arange(train.shape[0]), np.diff(train.indptr))
    frame = pd.DataFrame({"user_id": user, "item_id": train.indices, "rating": train.data})
    test_user = np.repeat(np.arange(test.shape[0]), np.diff(test.indptr))
    test_item, star = test.indices, test.data
    race = Race(
        "FunkSVD",
        unit="ratings",
        work=20 * train.nnz,
        note="f = 100, 20 epochs, 900 k ratings",
        target=10.0,
        against="LensKit FunkSVD",
    )

    def rmse(predicted: NDArray[Any]) -> str:
        return f"test RMSE {np.sqrt(np.mean((np.clip(predicted, 1, 5) - star) ** 2)):.4f}"

    def ours(n_threads: int) -> FunkSVD:
        return FunkSVD(100, epochs=20, learning_rate=0.005, reg=0.02, n_threads=n_threads).fit(train)

    def judge_ours(model: FunkSVD) -> str:
        return rmse(model.predict(test_user, test_item))

    lenskit_data: Any = None
    trainset: Any = None

    def lenskit() -> Any:
        from lenskit.data import from_interactions_df
        from lenskit.funksvd import FunkSVDScorer

        nonlocal lenskit_data
        if lenskit_data is None:
            lenskit_data = from_interactions_df(frame)
        model = FunkSVDScorer(embedding_size=100, epochs=20, learning_rate=0.005, regularization=0.02)
        model.train(lenskit_data)
        return model

    def judge_lenskit(model: Any) -> str:
        from lenskit.data import ItemList

        predicted = np.full(len(star), np.nan)
        for u in np.unique(test_user):
            rows = np.flatnonzero(test_user == u)
            scored = model(query=int(u), items=ItemList(item_ids=test_item[rows]))
            predicted[rows] = scored.scores()
        known = ~np.isnan(predicted)
        error = np.clip(predicted[known], 1, 5) - star[known]
        return f"test RMSE {np.sqrt(np.mean(error**2)):.4f}" + ("" if known.all() else f" ({(~known).sum()} unknown)")

    def surprise() -> Any:
        from surprise import SVD, Dataset, Reader

        nonlocal trainset
        if trainset is None:
            trainset = Dataset.load_from_df(frame, Reader(rating_scale=(1, 5))).build_full_trainset()
        return SVD(n_factors=100, n_epochs=20, lr_all=0.005, reg_all=0.02, random_state=0).fit(trainset)

    def judge_surprise(model: Any) -> str:
        return rmse(np.array([model.predict(int(u), int(i)).est for u, i in zip(test_user, test_item)]))

    race.add("FunkSVD", lambda: ours(THREADS), ours=True, quality=judge_ours)
    race.add("FunkSVD one thread", lambda: ours(1), ours=True, quality=judge_ours)
    race.add("LensKit FunkSVD", lenskit, quality=judge_lenskit, rounds=1)
    race.add("scikit-surprise SVD", surprise, quality=judge_surprise, rounds=1)
    race.run(rounds)


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "all"
    n_rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    benches: dict[str, Callable[[int], None]] = {
        "als": als,
        "als-exact": partial(als, exact=True),
        "bpr": bpr,
        "funksvd": funksvd,
    }
    if chosen != "all" and chosen not in benches:
        raise SystemExit(f"unknown benchmark {chosen!r}; choose one of {', '.join(benches)}")
    for name, bench in benches.items():
        if chosen in ("all", name):
            bench(n_rounds)
