"""``rectutor bench``: which sizes are run, what is written."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from rectutor import bench
from rectutor.fastpath import Case, Pair, assert_same


def slow_sum(xs: list[float]) -> float:
    time.sleep(len(xs) * 1e-4)
    return float(sum(xs))


def quick_sum(xs: list[float]) -> float:
    return float(np.sum(xs))


def pair(sizes: tuple[int, ...], *, timed: bool = True) -> Pair:
    def case(n: int) -> Case:
        return Case(f"n={n}", ([1.0] * n,))

    return Pair(
        "tests.sum",
        slow_sum,
        quick_sum,
        lambda rng: [case(3)],
        0.0,
        0.0,
        assert_same,
        case if timed else None,
        sizes,
        "numbers",
    )


def test_reference_stops_where_it_would_take_too_long() -> None:
    timings = bench.time_pair(pair((100, 200, 100_000, 1_000_000)), rounds=2, limit_s=0.5)
    assert [t.reference_s is not None for t in timings] == [True, True, False, False]
    assert [t.size for t in timings] == [100, 200, 100_000, 1_000_000]
    first = timings[0]
    assert first.reference_s is not None
    assert first.reference_s >= 100 * 1e-4
    assert first.ratio is not None
    assert first.ratio == pytest.approx(first.reference_s / first.fast_s)
    assert timings[-1].ratio is None


def test_a_pair_without_sizes_cannot_be_timed() -> None:
    with pytest.raises(ValueError, match="says no bench="):
        bench.time_pair(pair((1,), timed=False))


def test_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no pair with a timing matches 'cosine'"):
        bench.select({"tests.sum": pair((1,))}, ["cosine"])
    assert [p.name for p in bench.select({"tests.sum": pair((1,))}, ["sum"])] == ["tests.sum"]


def test_table_plot_and_file_hold_every_timing(tmp_path: Path) -> None:
    timings = bench.time_pair(pair((10, 20)), rounds=1)
    lines = bench.table(timings).splitlines()
    assert len(lines) == 3
    assert all("tests.sum" in line for line in lines[1:])
    bench.plot(timings, tmp_path / "bench.svg")
    assert (tmp_path / "bench.svg").read_text().count("<path") > 10
    bench.save(timings, tmp_path / "sub" / "bench.json")
    document = json.loads((tmp_path / "sub" / "bench.json").read_text())
    assert [(t["pair"], t["size"]) for t in document["timings"]] == [("tests.sum", 10), ("tests.sum", 20)]
    assert document["timings"][1]["fast_s"] == timings[1].fast_s
