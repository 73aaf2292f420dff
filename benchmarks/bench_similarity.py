"""The 50 nearest items and users from 2 million clicks, beside the libraries one would use instead; peak memory too.

``python -m benchmarks.bench_similarity [item|jaccard|pearson|user|memory ...]`` runs the named parts, or all of them.
What is timed is the call a user makes, from the CSR matrix to the neighbours; the data sets that LensKit and RecTools
ask for are built outside the clock.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, THREADS, Race  # isort: skip  (sets the number of threads before NumPy is loaded)

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from benchmarks import workloads
from rectutor.retrieval.cf import similarity

K = 50
CLICKS = workloads.interactions()  # [users, items]
ITEMS = sparse.csr_array(CLICKS.T)  # [items, users]
Best = tuple[NDArray[np.int64], NDArray[np.float32]]


# -- what others do ----------------------------------------------------------------------------------
def best_of_rows(matrix: sparse.csr_array) -> Best:
    """Codes and values of the K greatest entries of each row, best first, [rows, K]."""
    codes = np.full((matrix.shape[0], K), -1, dtype=np.int64)
    values = np.zeros((matrix.shape[0], K), dtype=np.float32)
    for r in range(matrix.shape[0]):
        row = slice(matrix.indptr[r], matrix.indptr[r + 1])
        data, where = matrix.data[row], matrix.indices[row]
        if len(data) > K:
            kept = np.argpartition(data, -K)[-K:]
            data, where = data[kept], where[kept]
        order = np.argsort(-data)
        codes[r, : len(order)], values[r, : len(order)] = where[order], data[order]
    return codes, values


def unit_rows(matrix: sparse.csr_array) -> sparse.csr_array:
    norm = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)))
    data = matrix.data / np.repeat(norm.clip(1e-12), np.diff(matrix.indptr)).astype(np.float32)
    return sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def shared_raters(rows: sparse.csr_array) -> tuple[sparse.csr_array, NDArray[np.float32], NDArray[np.float32]]:
    """How many raters each pair shares, and how many each of the two has, by stored entry."""
    degree = np.diff(rows.indptr).astype(np.float32)
    common = sparse.csr_array(rows @ rows.T)
    common.setdiag(0)
    return common, np.repeat(degree, np.diff(common.indptr)), degree[common.indices]


def scipy_cosine(rows: sparse.csr_array) -> Best:
    unit = unit_rows(rows)
    product = sparse.csr_array(unit @ unit.T)
    product.setdiag(0)
    return best_of_rows(product)


def scipy_jaccard(rows: sparse.csr_array) -> Best:
    common, mine, others = shared_raters(rows)
    common.data = common.data / (mine + others - common.data)
    return best_of_rows(common)


def scipy_pearson(rows: sparse.csr_array) -> Best:
    common, mine, others = shared_raters(rows)
    n = np.float32(rows.shape[1])
    common.data = (n * common.data - mine * others) / np.sqrt(mine * (n - mine) * others * (n - others))
    return best_of_rows(common)


def sparse_dot_topn_cosine(rows: sparse.csr_array) -> Any:
    from sparse_dot_topn import sp_matmul_topn

    unit = sparse.csr_matrix(unit_rows(rows))
    return sp_matmul_topn(unit, sparse.csr_matrix(unit.T), top_n=K + 1, n_threads=THREADS, sort=True)


def implicit_cosine(links: sparse.csr_array) -> Any:
    """Similar columns of ``links``, as implicit wants it."""
    from implicit.nearest_neighbours import CosineRecommender

    model = CosineRecommender(K=K + 1, num_threads=THREADS)
    model.fit(links, show_progress=False)
    return model.similarity


def lenskit_cosine() -> Callable[[], Any]:
    from lenskit.data import from_interactions_df
    from lenskit.knn import ItemKNNScorer

    cells = CLICKS.tocoo()
    data = from_interactions_df(pd.DataFrame({"user_id": cells.coords[0], "item_id": cells.coords[1]}))

    def run() -> Any:
        model = ItemKNNScorer(max_nbrs=20, save_nbrs=K, feedback="implicit")
        model.train(data)
        return model

    return run


def rectools_cosine() -> Callable[[], Any]:
    from implicit.nearest_neighbours import CosineRecommender
    from rectools.dataset import Dataset
    from rectools.models import ImplicitItemKNNWrapperModel

    cells = CLICKS.tocoo()
    frame = pd.DataFrame({"user_id": cells.coords[0], "item_id": cells.coords[1], "weight": 1.0})
    data = Dataset.construct(frame.assign(datetime=pd.Timestamp("2024-01-01")))
    return lambda: ImplicitItemKNNWrapperModel(CosineRecommender(K=K + 1, num_threads=THREADS)).fit(data)


def broken(error: Exception) -> Callable[[], Any]:
    """A contender that cannot even be set up is shown as failed."""

    def run() -> Any:
        raise error

    return run


# -- races -------------------------------------------------------------------------------------------
def agreement(expected: NDArray[np.float32]) -> Callable[[Any], str]:
    """How far the kept similarities of all rows lie from the expected ones, [rows, K] best first."""

    def compare(result: Any) -> str:
        values = best_of_rows(result)[1] if sparse.issparse(result) else result[1]
        return f"max difference {np.abs(values - expected).max():.1e}"

    return compare


def ours(name: str, by: similarity.By, **options: Any) -> Callable[[], sparse.csr_array]:
    measure = getattr(similarity, name)
    return lambda: measure(CLICKS, by=by, k=K, **options)


def race_item() -> None:
    work = float((np.diff(CLICKS.indptr).astype(np.float64) ** 2).sum())
    check = agreement(scipy_cosine(ITEMS)[1])
    race = Race(
        "item cosine", unit="multiply-adds", work=work, note="50k users, 10k items, 2M clicks, top 50", target=2.2
    )
    race.add("rectutor cosine", ours("cosine", "item"), ours=True, quality=check)
    race.add("sparse_dot_topn", lambda: sparse_dot_topn_cosine(ITEMS))
    race.add("implicit CosineRecommender", lambda: implicit_cosine(sparse.csr_matrix(CLICKS)))
    race.add("scipy product, argpartition", lambda: scipy_cosine(ITEMS), quality=check, rounds=1)
    for name, make in (("LensKit ItemKNNScorer", lenskit_cosine), ("RecTools item KNN", rectools_cosine)):
        try:
            run = make()
        except Exception as error:
            run = broken(error)
        race.add(name, run, rounds=2)
    race.run(3)


def race_binary(name: str, peer: Callable[[sparse.csr_array], Best], target: float, **options: Any) -> None:
    work = float((np.diff(CLICKS.indptr).astype(np.float64) ** 2).sum())
    check = agreement(peer(ITEMS)[1])
    race = Race(f"item {name}", unit="multiply-adds", work=work, note="top 50", target=target)
    race.add(f"rectutor {name}", ours(name, "item", **options), ours=True, quality=check)
    race.add("scipy product, argpartition", lambda: peer(ITEMS), quality=check)
    race.run(2)


def race_user() -> None:
    work = float((np.diff(ITEMS.indptr).astype(np.float64) ** 2).sum())
    race = Race("user cosine", unit="multiply-adds", work=work, note="50k users, top 50", target=2.0)
    race.add("rectutor cosine", ours("cosine", "user"), ours=True)
    race.add("implicit CosineRecommender", lambda: implicit_cosine(sparse.csr_matrix(ITEMS)), rounds=1)
    race.add("sparse_dot_topn", lambda: sparse_dot_topn_cosine(CLICKS), rounds=1)
    race.run(2)


# -- memory ------------------------------------------------------------------------------------------
def resident(field: str) -> int:
    """VmRSS (now) or VmHWM (the peak since the last reset) of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in /proc/self/status; the measurement needs Linux")


def size(matrix: sparse.csr_array) -> int:
    return int(matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes)


def measure(name: str) -> dict[str, Any]:
    """Run one job of JOBS; how far the resident memory rose above what stood before it, beside its inputs, outputs."""
    run, rated = JOBS[name]
    data = CLICKS.copy()
    if rated:
        data.data = (np.random.default_rng(0).integers(1, 11, data.nnz) / 2).astype(np.float32)
    run(data[:500])  # compilation
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    before = resident("VmRSS")
    result = run(data)
    return {"job": name, "inputs": size(data), "outputs": size(result), "growth": resident("VmHWM") - before}


def memory() -> None:
    """Peak memory of each job, each in a process of its own, against inputs + outputs."""
    rows = []
    print("\n### peak memory\n| job | inputs MB | outputs MB | growth MB | (inputs + growth) / (inputs + outputs) |")
    print("|---|---|---|---|---|")
    for name in JOBS:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            row = pool.submit(measure, name).result()
        row["ratio"] = (row["inputs"] + row["growth"]) / (row["inputs"] + row["outputs"])
        megabytes = " | ".join(f"{row[part] / 1e6:.1f}" for part in ("inputs", "outputs", "growth"))
        print(f"| {name} | {megabytes} | {row['ratio']:.2f} |", flush=True)
        rows.append(row)
    RESULTS.mkdir(exist_ok=True)
    document = {"name": "similarity memory", "threads": THREADS, "target": 2.0, "rows": rows}
    (RESULTS / "similarity-memory.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


JOBS: dict[str, tuple[Callable[[sparse.csr_array], sparse.csr_array], bool]] = {
    "item cosine, clicks": (lambda x: similarity.cosine(x, k=K), False),
    "item Jaccard, clicks": (lambda x: similarity.jaccard(x, k=K), False),
    "item Pearson over all, clicks": (lambda x: similarity.pearson(x, k=K, over="all"), False),
    "user cosine, clicks": (lambda x: similarity.cosine(x, by="user", k=K), False),
    "item cosine, ratings": (lambda x: similarity.cosine(x, k=K), True),
    "item Pearson over common, ratings": (lambda x: similarity.pearson(x, k=K), True),
    "item adjusted cosine, ratings": (lambda x: similarity.adjusted_cosine(x, k=K), True),
}
PARTS: dict[str, Callable[[], None]] = {
    "item": race_item,
    "jaccard": lambda: race_binary("jaccard", scipy_jaccard, 12.0),
    "pearson": lambda: race_binary("pearson", scipy_pearson, 10.0, over="all"),
    "user": race_user,
    "memory": memory,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")  # peers warn about BLAS threads and deprecated calls
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
