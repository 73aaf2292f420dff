"""Slates of 50 from clustered items: MMR and DPP beside the published algorithms in NumPy; how the time grows.

``python -m benchmarks.bench_rerank [dpp|built|mmr|determinants|batch|growth ...]`` runs the named parts, or all.
The published fast greedy search (Chen, Zhang and Zhou, 2018) and MMR with an incremental maximum are written here with
one matrix-vector product a step. All contenders return the same list, or the race stops. NumPy is timed with one BLAS
thread and with all, in 32 and in 64 bits; the fastest counts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

from benchmarks.harness import RESULTS, THREADS, Race  # isort: skip  (sets the number of threads before NumPy is loaded)

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from rectutor import rerank
from rectutor.rerank import reference

K, DIMENSION, GROUPS, THETA = 50, 64, 60, 0.7
BLAS = ThreadpoolController()
Floats = NDArray[Any]


def items(n: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Unit vectors around 60 centres [n, 64], and log-normal quality, best first [n]."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, DIMENSION))
    vectors += 1.2 * rng.standard_normal((GROUPS, DIMENSION))[rng.integers(GROUPS, size=n)]
    quality = np.sort(np.exp(0.5 * rng.standard_normal(n)))[::-1]
    return rerank.unit(vectors), quality


# -- what one writes in NumPy ------------------------------------------------------------------------
def fast_greedy(kernel: Floats, k: int) -> list[int]:
    """Chen, Zhang and Zhou (2018), algorithm 1; the factor's rows of all candidates at once, c [k, n]."""
    n = len(kernel)
    c = np.empty((k, n), dtype=kernel.dtype)
    d2 = kernel.diagonal().copy()
    chosen = [int(d2.argmax())]
    while len(chosen) < k:
        j, m = chosen[-1], len(chosen) - 1
        c[m] = (kernel[j] - c[:m, j] @ c[:m]) / np.sqrt(d2[j])
        d2 -= c[m] ** 2
        d2[j] = -np.inf
        chosen.append(int(d2.argmax()))
    return chosen


def built(vectors: Floats, quality: Floats, k: int) -> list[int]:
    """The same, from the vectors: its kernel is n x n."""
    scaled = vectors * quality[:, None]
    return fast_greedy(scaled @ scaled.T, k)


def incremental_mmr(vectors: Floats, reward: Floats, k: int) -> list[int]:
    """MMR that keeps each candidate's greatest similarity to the chosen items."""
    worth = THETA * reward
    closest = np.full(len(worth), -np.inf, dtype=vectors.dtype)
    chosen = [int(worth.argmax())]
    while len(chosen) < k:
        np.maximum(closest, vectors @ vectors[chosen[-1]], out=closest)
        score = worth - (1 - THETA) * closest
        score[chosen] = -np.inf
        chosen.append(int(score.argmax()))
    return chosen


def with_determinants(kernel: Floats, k: int) -> list[int]:
    """Every determinant from scratch, those of one step in one call."""
    chosen: list[int] = []
    while len(chosen) < k:
        left = np.setdiff1d(np.arange(len(kernel)), chosen)
        sets = np.column_stack([np.tile(np.array(chosen, dtype=np.int64), (len(left), 1)), left])
        chosen.append(int(left[np.linalg.det(kernel[sets[:, :, None], sets[:, None, :]]).argmax()]))
    return chosen


# -- races -------------------------------------------------------------------------------------------
def same(expected: Any) -> Callable[[Any], str]:
    """Stop unless the lists are the expected ones."""

    def compare(result: Any) -> str:
        got = result.order if isinstance(result, rerank.Slate) else np.array(result)
        if not np.array_equal(got, expected):
            raise AssertionError(f"another list: {got.tolist()} instead of {np.asarray(expected).tolist()}")
        return "same list"

    return compare


def again(run: Callable[[], Any], times: int, threads: int | None = None) -> Callable[[], Any]:
    """Run so often that the clock can tell, and that setting the BLAS threads does not count; the last result."""

    def repeat() -> Any:
        with BLAS.limit(limits=threads) if threads else nullcontext():
            for _ in range(times - 1):
                run()
            return run()

    return repeat


def add_numpy(race: Race, name: str, make: Callable[[type], Callable[[], Any]], times: int, expected: Any) -> None:
    """Enter a peer in 32 and 64 bits, with one BLAS thread and with all."""
    for dtype in (np.float32, np.float64):
        run = make(dtype)
        for threads in sorted({1, THREADS}):
            label = f"{name}, {np.dtype(dtype)}, {threads} BLAS thread{'s' if threads > 1 else ''}"
            race.add(label, again(run, times, threads), quality=same(expected))


def race_dpp() -> None:
    """The kernel is given to the published algorithm; ours takes the vectors, or the same kernel, unchecked.

    The target is set against 64 bits: in 32 bits squared distances lose all digits where vectors nearly depend.
    """
    for n, target in ((1_000, 4.0), (10_000, 2.5)):
        vectors, quality = items(n)
        scaled = vectors * quality[:, None]
        kernel = scaled @ scaled.T
        narrow = kernel.astype(np.float32)
        expected, times = fast_greedy(kernel, K), max(1, 100_000 // n)
        zeros = np.zeros(n)
        note, published = "kernel given, k = 50, d = 64", "fast greedy, NumPy, float64, 1 BLAS thread"
        race = Race(f"DPP n={n}", unit="slates", work=times, note=note, target=target, against=published)
        ours = again(lambda v=vectors, q=quality: rerank.dpp(quality=q, vectors=v, k=K), times)  # type: ignore[misc]
        race.add("rectutor dpp, vectors", ours, ours=True, quality=same(expected))
        ours = again(lambda z=zeros, a=kernel: rerank.dpp(z, kernel=a, theta=0, k=K, check=False), times)  # type: ignore[misc]
        race.add("rectutor dpp, kernel", ours, ours=True, quality=same(expected))
        given = {np.float32: narrow, np.float64: kernel}
        add_numpy(race, "fast greedy, NumPy", lambda t, g=given: lambda: fast_greedy(g[t], K), times, expected)  # type: ignore[misc]
        race.run(20)


def race_built() -> None:
    """The published algorithm has to make its kernel."""
    for n, target in ((1_000, None), (10_000, 100.0)):
        vectors, quality = items(n)
        expected, times = built(vectors, quality, K), max(1, 20_000 // n)
        race = Race(f"DPP from vectors n={n}", unit="slates", work=times, note="k = 50, d = 64", target=target)
        ours = again(lambda v=vectors, q=quality: rerank.dpp(quality=q, vectors=v, k=K), times)  # type: ignore[misc]
        race.add("rectutor dpp", ours, ours=True, quality=same(expected))

        def make(dtype: type, v: Floats = vectors, q: Floats = quality) -> Callable[[], Any]:
            v, q = v.astype(dtype), q.astype(dtype)
            return lambda: built(v, q, K)

        add_numpy(race, "fast greedy with its kernel, NumPy", make, times, expected)
        race.run(3)


def race_mmr() -> None:
    for n, target in ((1_000, 10.0), (10_000, 3.5)):
        vectors, quality = items(n)
        expected, times = incremental_mmr(vectors, quality, K), max(1, 100_000 // n)
        race = Race(f"MMR n={n}", unit="slates", work=times, note="k = 50, d = 64, theta = 0.7", target=target)
        for dtype in (np.float32, np.float64):
            v = vectors.astype(dtype)
            ours = again(lambda v=v, q=quality: rerank.mmr(q, v, k=K, theta=THETA), times)  # type: ignore[misc]
            race.add(f"rectutor mmr, {np.dtype(dtype)}", ours, ours=True, quality=same(expected))

        def make(dtype: type, v: Floats = vectors, q: Floats = quality) -> Callable[[], Any]:
            v, q = v.astype(dtype), q.astype(dtype)
            return lambda: incremental_mmr(v, q, K)

        add_numpy(race, "incremental maximum, NumPy", make, times, expected)
        race.run(20)


def race_determinants() -> None:
    """Greedy search by its definition, O(n k^4)."""
    n, k = 200, 15
    vectors, quality = items(n)
    scaled = vectors * quality[:, None]
    kernel = scaled @ scaled.T
    expected = with_determinants(kernel, k)
    race = Race("DPP by determinants", unit="slates", work=1, note=f"n = {n}, k = {k}")
    race.add(
        "rectutor dpp", lambda: rerank.dpp(quality=quality, vectors=vectors, k=k), ours=True, quality=same(expected)
    )
    race.add("batched np.linalg.det", again(lambda: with_determinants(kernel, k), 1, 1), quality=same(expected))
    literal = lambda: reference.dpp(quality=quality, vectors=vectors, k=k)[0]  # noqa: E731
    race.add("rectutor.rerank.reference.dpp", literal, quality=same(expected), rounds=1)
    race.run(3)


def race_batch() -> None:
    """256 users in one call, against a loop over them."""
    users, n, k = 256, 500, 30
    drawn = [items(n, seed) for seed in range(users)]
    vectors, quality = np.stack([v for v, _ in drawn]), np.stack([q for _, q in drawn])
    note = f"{users} users, {n} candidates, k = {k}, d = {DIMENSION}"

    race = Race("DPP batch", unit="slates", work=users, note=note)
    expected = [built(v, q, k) for v, q in drawn]
    race.add(
        "rectutor dpp", lambda: rerank.dpp(quality=quality, vectors=vectors, k=k), ours=True, quality=same(expected)
    )

    def dpp_loop(dtype: type) -> Callable[[], Any]:
        cast: list[tuple[Floats, Floats]] = [(v.astype(dtype), q.astype(dtype)) for v, q in drawn]
        return lambda: [built(v, q, k) for v, q in cast]

    add_numpy(race, "loop of fast greedy with kernels, NumPy", dpp_loop, 1, expected)
    race.run(3)

    race = Race("MMR batch", unit="slates", work=users, note=note)
    expected = [incremental_mmr(v, q, k) for v, q in drawn]
    ours = lambda: rerank.mmr(quality, vectors, k=k, theta=THETA)  # noqa: E731
    race.add("rectutor mmr", ours, ours=True, quality=same(expected))

    def mmr_loop(dtype: type) -> Callable[[], Any]:
        cast: list[tuple[Floats, Floats]] = [(v.astype(dtype), q.astype(dtype)) for v, q in drawn]
        return lambda: [incremental_mmr(v, q, k) for v, q in cast]

    add_numpy(race, "loop of incremental maxima, NumPy", mmr_loop, 1, expected)
    race.run(3)


# -- growth ------------------------------------------------------------------------------------------
def least_time(run: Callable[[], Any], rounds: int = 5) -> float:
    """Seconds of the fastest round, after one that is not timed; short runs are repeated within a round."""
    run()
    start = time.perf_counter()
    run()
    times = max(1, int(0.02 / max(time.perf_counter() - start, 1e-7)))
    best = np.inf
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(times):
            run()
        best = min(best, (time.perf_counter() - start) / times)
    return float(best)


def exponent(sizes: Iterable[int], seconds: list[float]) -> float:
    """Slope of log time over log size."""
    return float(np.polyfit(np.log(list(sizes)), np.log(seconds), 1)[0])


def growth() -> None:
    """Time of one user's slate against n and against k, with and without a window, and the exponents."""
    curves: dict[str, tuple[str, list[int], Callable[[int], Callable[[], Any]]]] = {}
    by_n, by_k, by_window = (
        [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000],
        [8, 16, 32, 64],
        [25, 50, 100, 200, 400],
    )

    def over_n(name: str, window: int | None) -> Callable[[int], Callable[[], Any]]:
        def prepare(n: int) -> Callable[[], Any]:
            v, q = items(n)
            if name == "mmr":
                return lambda: rerank.mmr(q, v, k=K, theta=THETA, window=window)
            return lambda: rerank.dpp(quality=q, vectors=v, k=K, window=window)

        return prepare

    def over_k(name: str, window: int | None, form: str) -> Callable[[int], Callable[[], Any]]:
        v, q = items(4_000)
        a = v @ v.T + 0.1 * np.eye(len(v))  # of full rank, so that k may exceed d
        space: dict[str, Any] = {"vectors": v} if form == "vectors" else {"kernel": a, "check": False}
        if name == "mmr":
            return lambda k: lambda: rerank.mmr(q, v, k=k, theta=THETA, window=window)
        return lambda k: lambda: rerank.dpp(quality=q, k=k, window=window, **space)

    for name in ("mmr", "dpp"):
        for window in (None, 10):
            label = "" if window is None else f", window {window}"
            curves[f"{name} over n, k = {K}{label}"] = ("n", by_n, over_n(name, window))
            sizes = by_window if window or name == "mmr" else by_k
            curves[f"{name} over k, n = 4000{label}"] = ("k", sizes, over_k(name, window, "vectors"))
    curves["dpp of a kernel over k, n = 4000"] = ("k", by_window, over_k("dpp", None, "kernel"))
    curves["dpp of a kernel over k, n = 4000, window 10"] = ("k", by_window, over_k("dpp", 10, "kernel"))
    rows = []
    print("\n### growth of the time of one slate\n| what | milliseconds by size | exponent |\n|---|---|---|")
    for label, (axis, sizes, prepare) in curves.items():
        seconds = [least_time(prepare(size)) for size in sizes]
        power = exponent(sizes, seconds)
        shown = ", ".join(f"{s}: {1e3 * t:.3g}" for s, t in zip(sizes, seconds, strict=True))
        print(f"| {label} | {shown} | {power:.2f} |", flush=True)
        rows.append({"name": label, "axis": axis, "sizes": sizes, "seconds": seconds, "exponent": power})
    RESULTS.mkdir(exist_ok=True)
    document = {"name": "growth of re-ranking", "threads": THREADS, "date": time.strftime("%Y-%m-%d"), "rows": rows}
    (RESULTS / "rerank-growth.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


PARTS: dict[str, Callable[[], None]] = {
    "dpp": race_dpp,
    "built": race_built,
    "mmr": race_mmr,
    "determinants": race_determinants,
    "batch": race_batch,
    "growth": growth,
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
