"""Approximate nearest neighbours beside faiss, hnswlib and annoy: recall against queries a second, memory, growth.

``python -m benchmarks.bench_ann [curves|growth|single|real ...]`` runs the named parts, or all. Vectors as embeddings
are: in clusters of uneven size, with a spectrum that falls, of length 1; the inner product ranks. All contenders of a
part are built first; then they answer the same queries in turn, round by round, each with the same number of threads,
whole batches at a time (annoy's Python interface takes one query at a time; its queries are dealt to as many threads).
What the book shows of it goes to ``datasets/ann.json``; ``real`` writes rows of the ledger.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, THREADS  # isort: skip  (sets the number of threads before the libraries load)

import numpy as np
from numpy.typing import NDArray

from benchmarks.ledger import write
from rectutor import ledger
from rectutor.data import load
from rectutor.retrieval.ann import HNSW, IVFPQ, AnnoyForest, ExactIndex, FaissIndex, Index, IVFFlat
from rectutor.retrieval.cf import ImplicitALS

N, DIM, QUERIES, K = 100_000, 64, 2_000, 10
ROUNDS = 5
SHOWN = Path(__file__).parents[1] / "datasets" / "ann.json"
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


# -- data --------------------------------------------------------------------------------------------------------
@cache
def embeddings(n: int, dim: int = DIM, seed: int = 0) -> tuple[Floats, Floats]:
    """Item vectors [n, D] and queries [Q, D] of length 1."""
    rng = np.random.default_rng(seed)
    spread = 1 / np.sqrt(1 + np.arange(dim))
    centres = rng.standard_normal((1000, dim)) * spread
    share = (np.arange(1000) + 20.0) ** -0.7
    of = rng.choice(1000, n + QUERIES, p=share / share.sum())
    x = centres[of] + 1.1 * spread * rng.standard_normal((n + QUERIES, dim))
    x = x @ np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return x[:n].copy(), x[n:].copy()


@cache
def truth(n: int, dim: int = DIM) -> Ints:
    vectors, queries = embeddings(n, dim)
    return ExactIndex("ip").build(vectors).search(queries, K)[0]


def recall(found: Any, true: Ints) -> float:
    """Share of the K true neighbours that were found."""
    return float(np.mean([np.isin(row, np.asarray(got)[:K]).mean() for row, got in zip(true, found)]))


# -- contenders --------------------------------------------------------------------------------------------------------
@dataclass
class Contender:
    """An index that was built, its search with a setting, and what was measured."""

    name: str
    family: str
    ours: bool
    build: Callable[[Floats], Any]
    search: Callable[[Any, Any, Floats], Any]
    """``search(index, setting, queries)`` gives ids."""
    size: Callable[[Any, Path], Any]
    """``size(index, path)`` writes the index into a file."""
    settings: tuple[Any, ...] = (None,)
    index: Any = None
    build_seconds: float = float("nan")
    bytes_per_vector: float = float("nan")
    wall: dict[Any, list[float]] = field(default_factory=dict)
    cpu: dict[Any, list[float]] = field(default_factory=dict)
    recall: dict[Any, float] = field(default_factory=dict)

    def points(self) -> list[dict[str, Any]]:
        return [
            {"setting": s, "recall": self.recall[s], "qps": QUERIES / min(self.wall[s]),
             "qps_median": QUERIES / float(np.median(self.wall[s])), "qps_cpu": QUERIES / min(self.cpu[s])}
            for s in self.settings
        ]  # fmt: skip


def library(
    name: str, family: str, make: Callable[[], Index], knob: str = "", settings: Iterable[Any] = (None,)
) -> Any:
    """One of our indexes, or faiss behind our interface."""

    def search(index: Index, setting: Any, queries: Floats) -> Ints:
        if knob:
            for attribute, value in zip(knob.split(), np.atleast_1d(setting).tolist()):
                setattr(index, attribute, value)
        return index.search(queries, K)[0]

    ours = not name.startswith("faiss")
    return Contender(name, family, ours, lambda x: make().build(x), search, Index.save, tuple(settings))


def hnswlib(m: int, ef_construction: int, settings: Iterable[int]) -> Contender:
    import hnswlib as peer

    def build(x: Floats) -> Any:
        index = peer.Index("ip", x.shape[1])
        index.init_index(len(x), M=m, ef_construction=ef_construction, random_seed=0)
        index.set_num_threads(THREADS)
        index.add_items(x)
        return index

    def search(index: Any, ef: int, queries: Floats) -> Any:
        index.set_ef(ef)
        return index.knn_query(queries, K, num_threads=THREADS)[0]

    def save(index: Any, path: Path) -> None:
        index.save_index(str(path))

    return Contender("hnswlib", "HNSW", False, build, search, save, tuple(settings))


def annoy(trees: int, settings: Iterable[int], metric: str = "angular") -> Contender:
    import annoy as peer

    def build(x: Floats) -> Any:
        index = peer.AnnoyIndex(x.shape[1], metric)
        index.set_seed(0)
        for i, row in enumerate(x.tolist()):
            index.add_item(i, row)
        index.build(trees, n_jobs=THREADS)
        return index

    def search(index: Any, search_k: int, queries: Floats) -> Any:
        rows = queries.tolist()

        def ask(row: list[float]) -> list[int]:
            return index.get_nns_by_vector(row, K, search_k=search_k)  # type: ignore[no-any-return]

        deal = [rows[t * len(rows) // THREADS : (t + 1) * len(rows) // THREADS] for t in range(THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            return [found for part in pool.map(lambda part: [ask(row) for row in part], deal) for found in part]

    def save(index: Any, path: Path) -> None:
        index.save(str(path))

    return Contender("annoy", "Annoy", False, build, search, save, tuple(settings))


def contenders() -> list[Contender]:
    ef = (10, 14, 20, 28, 40, 60, 90, 140, 200)
    probes = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
    search_k = (500, 1000, 2000, 3000, 4000, 6000, 9000, 14000)
    refined = tuple((p, 100) for p in (4, 8, 16, 24, 32, 48, 64))
    return [
        library("HNSW", "HNSW", lambda: HNSW("ip", m=16, ef_construction=100), "ef", ef),
        hnswlib(16, 100, ef),
        library("faiss HNSW", "HNSW", lambda: FaissIndex("HNSW16", "ip"), "ef", ef),
        library("AnnoyForest", "Annoy", lambda: AnnoyForest("cosine", trees=50), "search_k", search_k),
        annoy(50, search_k),
        library("IVFFlat", "IVF", lambda: IVFFlat("ip", cells=1024), "nprobe", probes),
        library("faiss IVFFlat", "IVF", lambda: FaissIndex("IVF1024,Flat", "ip"), "nprobe", probes),
        library("IVFPQ", "IVF-PQ", lambda: IVFPQ("ip", cells=1024, parts=16, bits=8), "nprobe", probes),
        library("faiss IVFPQ", "IVF-PQ", lambda: FaissIndex("IVF1024,PQ16", "ip"), "nprobe", probes),
        library(
            "IVFPQ, reranked", "IVF-PQ reranked", lambda: IVFPQ("ip", cells=1024, parts=16, bits=8, rerank=100),
            "nprobe rerank", refined,
        ),
        library(
            "faiss IVFPQ, refined", "IVF-PQ reranked", lambda: FaissIndex("IVF1024,PQ16,RFlat", "ip"),
            "nprobe rerank", refined,
        ),
        library("ExactIndex", "exact", lambda: ExactIndex("ip")),
        library("faiss Flat", "exact", lambda: FaissIndex("Flat", "ip")),
    ]  # fmt: skip


def measure(row: Contender, setting: Any, queries: Floats, true: Ints) -> None:
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    found = row.search(row.index, setting, queries)
    row.wall.setdefault(setting, []).append(time.perf_counter() - wall)
    row.cpu.setdefault(setting, []).append(time.process_time() - cpu)
    row.recall[setting] = recall(found, true)


def built(row: Contender, vectors: Floats) -> None:
    """Build twice where it compiles something, and keep the second time."""
    if row.ours:
        row.build(vectors[:5000])
    start = time.perf_counter()
    row.index = row.build(vectors)
    row.build_seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        row.size(row.index, path)
        row.bytes_per_vector = path.stat().st_size / len(vectors)
    print(f"[build] {row.name}: {row.build_seconds:.2f} s, {row.bytes_per_vector:.0f} B", file=sys.stderr, flush=True)


# -- parts ----------------------------------------------------------------------------------------------------------
TARGETS = (  # ours, peer, recall, at least
    ("HNSW", "hnswlib", 0.80, 0.9),
    ("HNSW", "hnswlib", 0.95, 0.8),
    ("AnnoyForest", "annoy", 0.95, 1.0),
    ("IVFFlat", "faiss IVFFlat", 0.95, 0.85),
    ("IVFPQ, reranked", "faiss IVFPQ, refined", 0.95, 0.85),
    ("ExactIndex", "faiss Flat", None, 0.7),
)


def qps_at(row: Contender, wanted: float | None, which: str = "qps") -> float:
    """Queries a second at a recall, the logarithm being a line between two settings; the best that reaches it."""
    points = sorted(row.points(), key=lambda p: p["recall"])
    if wanted is None:
        return float(points[-1][which])
    at = [p["recall"] for p in points]
    if not at[0] <= wanted <= at[-1]:
        return float(points[0][which]) if wanted < at[0] else float("nan")
    return float(np.exp(np.interp(wanted, at, [np.log(p[which]) for p in points])))


def curves() -> None:
    vectors, queries = embeddings(N)
    true = truth(N)
    rows = contenders()
    for row in rows:
        built(row, vectors)
        row.search(row.index, row.settings[0], queries)
    for turn in range(ROUNDS):
        for setting in range(max(len(row.settings) for row in rows)):
            for row in rows:
                if setting < len(row.settings):
                    measure(row, row.settings[setting], queries, true)
        print(f"[curves] round {turn}", file=sys.stderr, flush=True)
    print(f"\n### {N:,} x {DIM}, {QUERIES} queries, k = {K}, {THREADS} threads")
    print("| index | setting | recall@10 | queries/s | (median) | per CPU second | build s | bytes a vector |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        for p in row.points():
            print(
                f"| {row.name} | {p['setting']} | {p['recall']:.3f} | {p['qps']:.0f} | {p['qps_median']:.0f} "
                f"| {p['qps_cpu']:.0f} | {row.build_seconds:.1f} | {row.bytes_per_vector:.0f} |"
            )
    by_name = {row.name: row for row in rows}
    reached = []
    print("\n| ours | peer | at recall | target | queries/s | (median) | per CPU second | build |")
    print("|---|---|---|---|---|---|---|---|")
    for ours, peer, wanted, least in TARGETS:
        a, b = by_name[ours], by_name[peer]
        ratios = [qps_at(a, wanted, which) / qps_at(b, wanted, which) for which in ("qps", "qps_median", "qps_cpu")]
        building = b.build_seconds / a.build_seconds
        print(f"| {ours} | {peer} | {wanted} | {least} | {' | '.join(f'{r:.2f}' for r in ratios)} | {building:.2f} |")
        reached.append(
            {"ours": ours, "peer": peer, "recall": wanted, "target": least, "ratio": ratios[0],
             "ratio_median": ratios[1], "ratio_cpu": ratios[2], "build_ratio": building}
        )  # fmt: skip
    document = {
        "n": N, "dim": DIM, "queries": QUERIES, "k": K, "threads": THREADS, "date": time.strftime("%Y-%m-%d"),
        "indexes": [
            {"name": r.name, "family": r.family, "ours": r.ours, "build_seconds": r.build_seconds,
             "bytes_per_vector": r.bytes_per_vector, "points": r.points()}
            for r in rows
        ],
        "ratios": reached,
    }  # fmt: skip
    update("curves", document)


def growth() -> None:
    """Time of a query and of the build as the number of vectors grows, settings fixed."""
    rows = []
    for n in (1_000, 10_000, 100_000, 1_000_000):
        vectors, queries = embeddings(n)
        true = truth(n)
        cells = int(4 * np.sqrt(n))
        now = [
            library("ExactIndex", "exact", lambda: ExactIndex("ip")),
            library("faiss Flat", "exact", lambda: FaissIndex("Flat", "ip")),
            library("IVFFlat", "IVF", lambda: IVFFlat("ip", cells=cells), "nprobe", (16,)),  # noqa: B023
            library("AnnoyForest", "Annoy", lambda: AnnoyForest("cosine", trees=20), "search_k", (4000,)),
            library("HNSW", "HNSW", lambda: HNSW("ip", m=16, ef_construction=100), "ef", (50,)),
            hnswlib(16, 100, (50,)),
        ]
        for row in now:
            built(row, vectors)
            row.search(row.index, row.settings[0], queries)
        for _ in range(3):
            for row in now:
                measure(row, row.settings[0], queries, true)
        for row in now:
            (point,) = row.points()
            rows.append({"name": row.name, "n": n, "build_seconds": row.build_seconds} | point)
            print(
                f"| {row.name} | {n:,} | {point['recall']:.3f} | {point['qps']:.0f} | {row.build_seconds:.1f} |",
                flush=True,
            )
    update("growth", {"dim": DIM, "threads": THREADS, "date": time.strftime("%Y-%m-%d"), "rows": rows})


def single() -> None:
    """Microseconds of one query at a time, as a server gets them, at settings that reach a recall of about 0.95."""
    vectors, queries = embeddings(N)
    chosen = {"HNSW": 50, "hnswlib": 50, "IVFFlat": 48, "faiss IVFFlat": 48, "ExactIndex": None, "faiss Flat": None}
    rows = [row for row in contenders() if row.name in chosen]
    spent: dict[str, list[float]] = {row.name: [] for row in rows}
    for row in rows:
        built(row, vectors)
        row.search(row.index, chosen[row.name], queries[:1])
    for _ in range(ROUNDS):
        for row in rows:
            start = time.perf_counter()
            for i in range(200):
                row.search(row.index, chosen[row.name], queries[i : i + 1])
            spent[row.name].append((time.perf_counter() - start) / 200)
    micro = [{"name": name, "setting": chosen[name], "micros": 1e6 * min(times)} for name, times in spent.items()]
    for line in micro:
        print(f"| {line['name']} | {line['setting']} | {line['micros']:.0f} us |")
    update("single", {"threads": THREADS, "date": time.strftime("%Y-%m-%d"), "rows": micro})


def film_vectors(seed: int) -> tuple[Floats, Floats]:
    """Factors of the films and of the users of MovieLens latest-small, from implicit ALS."""
    log = load("ml-latest-small").interactions
    log = log.subset(log.value >= 4)
    model = ImplicitALS(factors=DIM, reg=10.0, alpha=1.0, seed=seed, progress=False).fit(log)
    used = np.linalg.norm(model.item_factors_, axis=1) > 0  # films that nobody liked have no vector
    return model.item_factors_[used], model.user_factors_[np.unique(log.user)]


def real(seeds: int = 5) -> None:
    """Rows of the ledger: recall of the exact ten best films of each user, at equal parameters, over seeds."""
    pairs: tuple[tuple[str, dict[str, Any], Contender, Contender], ...] = (
        ("HNSW", {"m": 8, "ef_construction": 50, "ef": 20},
         library("HNSW", "", lambda: HNSW("ip", m=8, ef_construction=50), "ef", (20,)), hnswlib(8, 50, (20,))),
        ("IVFFlat", {"cells": 64, "nprobe": 4},
         library("IVFFlat", "", lambda: IVFFlat("ip", cells=64), "nprobe", (4,)),
         library("faiss IVF64,Flat", "", lambda: FaissIndex("IVF64,Flat", "ip"), "nprobe", (4,))),
        ("IVFPQ", {"cells": 64, "nprobe": 16, "parts": 16},
         library("IVFPQ", "", lambda: IVFPQ("ip", cells=64, parts=16), "nprobe", (16,)),
         library("faiss IVF64,PQ16", "", lambda: FaissIndex("IVF64,PQ16", "ip"), "nprobe", (16,))),
        ("AnnoyForest", {"trees": 10, "search_k": 500},
         library("AnnoyForest", "", lambda: AnnoyForest("ip", trees=10), "search_k", (500,)),
         annoy(10, (500,), "dot")),
    )  # fmt: skip
    versions = {"hnswlib": "hnswlib", "annoy": "annoy", "faiss": "faiss-cpu"}
    found: dict[str, tuple[list[Floats], list[Floats]]] = {name: ([], []) for name, *_ in pairs}
    for seed in range(seeds):
        vectors, queries = film_vectors(seed)
        true = ExactIndex("ip").build(vectors).search(queries, K)[0]
        for name, _, *both in pairs:
            for row, scores in zip(both, found[name]):
                ids = row.search(row.build(vectors), row.settings[0], queries)
                scores.append(np.array([np.isin(t, np.asarray(g)).mean() for t, g in zip(true, ids)]))
    fresh = []
    for name, parameters, _, peer in pairs:
        mine, theirs = (np.mean(side, axis=0) for side in found[name])
        line: dict[str, Any] = dict.fromkeys(ledger.COLUMNS)
        line |= {"dataset": "ml-latest-small", "split": "all likes", "model": name, "parameters": parameters}
        line |= {"metric": "recall@10 of exact", "seeds": seeds, "users": len(mine), "date": time.strftime("%Y-%m-%d")}
        line |= {"peer": peer.name, "command": "python -m benchmarks.bench_ann real"}
        line["peer_version"] = importlib.metadata.version(versions[peer.name.split()[0]])
        for key, values in (("ours", mine), ("theirs", theirs), ("difference", mine - theirs)):
            mean, half = float(values.mean()), 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values))
            line |= {key: mean, f"{key}_low": mean - half, f"{key}_high": mean + half}
        line["status"] = ledger.status(line["difference_low"], line["difference_high"])
        print(f"{name}: ours {line['ours']:.4f}, {peer.name} {line['theirs']:.4f}, {line['status']}", flush=True)
        fresh.append(line)
    write(fresh)


def update(part: str, document: dict[str, Any]) -> None:
    """Write one part into the file that the chapter reads, and its rows into the results, for the page of timings."""
    there = json.loads(SHOWN.read_text(encoding="utf-8")) if SHOWN.exists() else {}
    text = json.dumps(there | {part: document}, indent=1, allow_nan=False) + "\n"
    SHOWN.write_text(text, encoding="utf-8")
    RESULTS.mkdir(exist_ok=True)
    rows = document["ratios" if part == "curves" else "rows"]
    shown = {"name": f"ANN {part}", "threads": document["threads"], "date": document["date"], "rows": rows}
    (RESULTS / f"ANN-{part}.json").write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")


PARTS: dict[str, Callable[[], None]] = {"curves": curves, "growth": growth, "single": single, "real": real}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
