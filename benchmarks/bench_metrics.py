"""Metrics against scikit-learn, torchmetrics, ranx, ir-measures, RecTools and vectorised pandas.

Usage: ``python -m benchmarks.bench_metrics [auc] [gauc] [logloss] [topk]`` (all without a name). Ours is the public
function, validation included. A peer that is not installed shows as failed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from benchmarks.harness import THREADS, Race  # first: it sets the number of threads before NumPy loads

# isort: split
import numpy as np
from scipy import sparse

ROWS, GROUPS = 2_000_000, 50_000
USERS, ITEMS, K = 20_000, 10_000, 20


def impressions() -> tuple[Any, Any, Any]:
    """User, label and float32 probability of two million rows; a few users have far more rows than most."""
    rng = np.random.default_rng(0)
    user = np.minimum(rng.exponential(GROUPS / 4, ROWS).astype(np.int32), GROUPS - 1)
    label = (rng.random(ROWS) < 0.2).astype(np.int8)
    logit = rng.standard_normal(ROWS) + label - 1.5
    return user, label, (1 / (1 + np.exp(-logit))).astype(np.float32)


def nine(value: Any) -> str:
    return f"{float(value):.9f}"


def peer(race: Race, name: str, make: Callable[[], Callable[[], Any]], **options: Any) -> None:
    """Enter a peer; one that cannot be imported or prepared shows as a failed row."""
    try:
        run = make()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"

        def run() -> Any:
            raise RuntimeError(text)

    race.add(name, run, **options)


def auc() -> None:
    from rectutor.metrics import auc as ours

    _, y, p = impressions()
    race = Race("AUC", unit="rows", work=ROWS, note=f"{ROWS:,} rows, float32 scores", target=2.5)
    race.add("rectutor.metrics.auc", lambda: ours(y, p), ours=True, quality=nine)

    def sklearn() -> Callable[[], Any]:
        from sklearn.metrics import roc_auc_score

        return lambda: roc_auc_score(y, p)

    def torchmetrics() -> Callable[[], Any]:
        import torch
        from torchmetrics.functional.classification import binary_auroc

        torch.set_num_threads(THREADS)
        scores, labels = torch.from_numpy(p), torch.from_numpy(y.astype(np.int64))
        return lambda: binary_auroc(scores, labels)

    def pandas() -> Callable[[], Any]:
        import pandas as pd

        def run() -> float:
            ranks = pd.Series(p).rank().to_numpy()
            positives = int(y.sum())
            return float((ranks[y == 1].sum() - positives * (positives + 1) / 2) / positives / (ROWS - positives))

        return run

    peer(race, "scikit-learn roc_auc_score", sklearn, quality=nine)
    peer(race, "torchmetrics binary_auroc (exact)", torchmetrics, quality=nine)
    peer(race, "pandas rank", pandas, quality=nine)
    p64 = p.astype(np.float64) * (1 - 1e-9)
    race.add("rectutor.metrics.auc, float64 scores (harder)", lambda: ours(y, p64), ours=True, quality=nine)
    race.run(9)


def gauc() -> None:
    import pandas as pd

    from rectutor.metrics import gauc as ours

    u, y, p = impressions()
    note = f"{ROWS:,} rows, {len(np.unique(u)):,} users"
    race = Race("GAUC", unit="rows", work=ROWS, note=note, target=10)
    race.add("rectutor.metrics.gauc", lambda: ours(u, y, p), ours=True, quality=nine)

    def ranks() -> float:
        frame = pd.DataFrame({"u": u, "y": y, "p": p})
        frame["r"] = frame.groupby("u").p.rank()
        grouped = frame.groupby("u").y
        positives, n = grouped.sum().astype(np.int64), grouped.size()
        rank_sum = frame[frame.y == 1].groupby("u").r.sum().reindex(n.index, fill_value=0.0)
        both = (positives > 0) & (positives < n)
        positives, n, rank_sum = positives[both], n[both], rank_sum[both]
        each = (rank_sum - positives * (positives + 1) / 2) / (positives * (n - positives))
        return float((each * n).sum() / n.sum())

    race.add("pandas groupby.rank, vectorised", ranks, quality=nine)

    race.run(9)


def logloss() -> None:
    from rectutor.metrics import log_loss as ours

    _, y, p = impressions()
    p64 = p.astype(np.float64)
    race = Race("log-loss", unit="rows", work=ROWS, note=f"{ROWS:,} rows, float64 probabilities", target=15)
    race.add("rectutor.metrics.log_loss", lambda: ours(y, p64), ours=True, quality=nine)

    def sklearn() -> Callable[[], Any]:
        from sklearn.metrics import log_loss

        return lambda: log_loss(y, p64)

    peer(race, "scikit-learn log_loss", sklearn, quality=nine)
    race.run(9)

    # Not a metric but the loss that training code calls: it takes float labels ready made and does not check them.
    race = Race("log-loss against a training loss", unit="rows", work=ROWS, note=f"{ROWS:,} rows")
    race.add("rectutor.metrics.log_loss", lambda: ours(y, p64), ours=True, quality=nine)

    def torch() -> Callable[[], Any]:
        import torch

        torch.set_num_threads(THREADS)
        q, labels = torch.from_numpy(p64), torch.from_numpy(y.astype(np.float64))
        return lambda: torch.nn.functional.binary_cross_entropy(q, labels)

    peer(race, "torch binary_cross_entropy", torch, quality=nine)
    race.run(9)


def topk() -> None:
    from rectutor.metrics import topk_metrics

    rng = np.random.default_rng(1)
    chance = 1 / np.arange(1, ITEMS + 1) ** 0.8
    cumulated = np.cumsum(chance / chance.sum())

    def draw(n: int) -> Any:
        return np.unique(np.minimum(np.searchsorted(cumulated, rng.random(n)), ITEMS - 1))

    liked = [draw(int(rng.integers(3, 15))) for _ in range(USERS)]
    lists = np.stack([rng.permutation(draw(60))[:K] for _ in range(USERS)]).astype(np.int32)  # [U, k]
    indptr = np.concatenate([[0], np.cumsum([len(x) for x in liked])])
    indices = np.concatenate(liked).astype(np.int32)
    truth = sparse.csr_array((np.ones(len(indices), np.float32), indices, indptr), shape=(USERS, ITEMS))

    def both(recall: Any, ndcg: Any) -> str:
        return f"recall {float(recall):.6f} ndcg {float(ndcg):.6f}"

    race = Race("NDCG and recall", unit="users", work=USERS, note=f"{USERS:,} users, first {K}", target=50)

    def seven() -> tuple[float, float]:
        result = topk_metrics(lists, truth, K)
        return result["recall"], result["ndcg"]

    race.add("rectutor.metrics.topk_metrics (all seven)", seven, ours=True, quality=lambda r: both(*r))

    qrels = {str(u): {str(i): 1 for i in x.tolist()} for u, x in enumerate(liked)}
    run = {str(u): {str(i): float(K - j) for j, i in enumerate(x)} for u, x in enumerate(lists.tolist())}

    def ranx() -> Callable[[], Any]:
        from ranx import Qrels, Run, evaluate

        ready = Qrels(qrels), Run(run)

        def evaluated() -> tuple[Any, Any]:
            result: Any = evaluate(*ready, [f"recall@{K}", f"ndcg@{K}"])
            return result[f"recall@{K}"], result[f"ndcg@{K}"]

        return evaluated

    def ir_measures() -> Callable[[], Any]:
        import ir_measures
        from ir_measures import R, nDCG

        def evaluated() -> tuple[Any, Any]:
            result = ir_measures.calc_aggregate([nDCG @ K, R @ K], qrels, run)
            return result[R @ K], result[nDCG @ K]

        return evaluated

    def rectools() -> Callable[[], Any]:
        import pandas as pd
        from rectools.metrics import NDCG, Recall, calc_metrics

        users = np.repeat(np.arange(USERS), K)
        recommended = pd.DataFrame(
            {"user_id": users, "item_id": lists.ravel(), "rank": np.tile(np.arange(1, K + 1), USERS)}
        )
        interactions = pd.DataFrame({"user_id": np.repeat(np.arange(USERS), np.diff(indptr)), "item_id": indices})

        def evaluated() -> tuple[Any, Any]:
            metrics = {"recall": Recall(K), "ndcg": NDCG(K, divide_by_achievable=True)}
            result = calc_metrics(metrics, recommended, interactions)
            return result["recall"], result["ndcg"]

        return evaluated

    peer(race, "ranx (its containers ready)", ranx, quality=lambda r: both(*r))
    peer(race, "ir-measures", ir_measures, quality=lambda r: both(*r), rounds=3)
    peer(race, "RecTools calc_metrics", rectools, quality=lambda r: both(*r))
    race.run(9)


if __name__ == "__main__":
    races = {"auc": auc, "gauc": gauc, "logloss": logloss, "topk": topk}
    unknown = [name for name in sys.argv[1:] if name not in races]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]!r}; choose from {', '.join(races)}")
    for name in sys.argv[1:] or races:
        races[name]()
