"""Measure our models and their peers on real data and write the ledger.

    python -m benchmarks.ledger [--data ml-latest-small] [--model itemcf ...] [--seeds 5]

For each split and model: our model and its peer are tuned on the same validation part over the same grid (a peer's
grid is what its parameters share with ours), fitted on train and valid together, and measured on the same test users.
The difference is taken user by user; its interval says better, equal or worse. Models that draw random numbers run
over seeds and enter with each user's mean.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.harness import THREADS  # sets the number of threads before the libraries load
from benchmarks.peers import PEERS, Peer, quiet
from rectutor import ledger, metrics
from rectutor.data import Interactions, load, only_known, union
from rectutor.retrieval import evaluate as protocol
from rectutor.retrieval.evaluate import MODELS, Parts, grid_points, split_log

SPLITS = ("user-time", "leave-one-out")
TUNED_ON = "ndcg@50"  # lists of 10 hold a few dozen hits in all, too few to tell the points of a grid apart
FIGURES = ("recall@10", "ndcg@10", "recall@20", "ndcg@20")


def tuned_peer(name: str, peer: Peer, parts: Parts, metric: str) -> dict[str, Any]:
    """The peer's best parameters on the validation part."""
    takes = set(inspect.signature(peer.make).parameters)
    points = [p for p in grid_points(name) if set(p) <= takes] or [
        {key: value for key, value in p.items() if key in takes} for p in grid_points(name)
    ]
    points = [p for n, p in enumerate(points) if p not in points[:n]]
    assert parts.valid is not None
    if len(points) < 2:
        return points[0]
    reached = [
        protocol.measure(fitted_peer(name, peer, p, parts.train, 0), parts.train, parts.valid, metric) for p in points
    ]
    return points[int(np.argmax(reached))]


def fitted_peer(name: str, peer: Peer, parameters: dict[str, Any], train: Interactions, seed: int) -> Any:
    """The peer, fitted on what our model is fitted on."""
    seeded = {"seed": seed} if MODELS[name].seeded else {}
    with quiet():
        return peer.make(**parameters, **seeded).fit(train if MODELS[name].ratings else train.implicit())


def figures_of(model: Any, name: str, train: Interactions, parts: Parts) -> dict[str, NDArray[np.float64]]:
    """Each figure of a fitted model: one value a user, or a single one for rmse."""
    if MODELS[name].ratings:
        return {"rmse": np.array([protocol.rmse(model, only_known(parts.test, train)[0])])}
    lengths = sorted({int(figure.partition("@")[2]) for figure in FIGURES})
    with quiet():
        measured = protocol.evaluate(model, train, parts.test, k=lengths)
    return {figure: measured.per_user[figure] for figure in FIGURES}


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean and 95 % interval."""
    mean = float(values.mean())
    half = float(1.96 * values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return mean, mean - half, mean + half


def rows_of(dataset: str, how: str, name: str, parts: Parts, seeds: int) -> list[dict[str, Any]]:
    """The ledger's rows of one model on one split."""
    assert parts.valid is not None
    metric = "rmse" if MODELS[name].ratings else TUNED_ON
    train = union(parts.train, parts.valid)
    peer = PEERS.get(name)
    ours_at = protocol.tune(name, parts.train, parts.valid, metric=metric)[0] if MODELS[name].grid else {}
    theirs_at = tuned_peer(name, peer, parts, metric) if peer and MODELS[name].grid else {}
    runs: list[dict[str, NDArray[np.float64]]] = []
    theirs: list[dict[str, NDArray[np.float64]]] = []
    n_seeds = seeds if MODELS[name].seeded else 1
    for seed in range(n_seeds):
        seeded = {"seed": seed} if MODELS[name].seeded else {}
        runs.append(figures_of(protocol.fit(name, train, **ours_at, **seeded), name, train, parts))
        if peer:
            theirs.append(figures_of(fitted_peer(name, peer, theirs_at, train, seed), name, train, parts))
    rows = []
    for figure in runs[0]:
        # rmse has one value a seed, so the seeds are the sample; the others one a user, after the mean over seeds
        axis = None if figure == "rmse" else 0
        mine = np.array([r[figure] for r in runs])
        a = mine.ravel() if axis is None else mine.mean(axis=0)
        row: dict[str, Any] = dict.fromkeys(ledger.COLUMNS)
        row |= {"dataset": dataset, "split": how, "model": name, "metric": figure, "seeds": n_seeds}
        row |= {"parameters": ours_at, "users": len(a) if axis == 0 else None, "date": time.strftime("%Y-%m-%d")}
        row["command"] = f"rectutor evaluate --data {dataset} --split {how} --model {name} --tune --metric {metric}"
        if MODELS[name].seeded:
            row["command"] += f" --seeds {seeds}"
        row["ours"], row["ours_low"], row["ours_high"] = interval(a)
        row["status"] = "no peer"
        if peer:
            other = np.array([r[figure] for r in theirs])
            b = other.ravel() if axis is None else other.mean(axis=0)
            row |= {"peer": peer.label, "peer_version": peer.version}
            row["theirs"], row["theirs_low"], row["theirs_high"] = interval(b)
            row["difference"], low, high = interval(a - b)
            row |= {"difference_low": low, "difference_high": high}
            row["status"] = ledger.status(low, high, lower_is_better=figure == "rmse")
        rows.append(row)
        print(
            f"{how:<14} {name:<14} {figure:<10} ours {row['ours']:.4f}  {row['peer']}: "
            f"{row['theirs'] if row['theirs'] is None else round(row['theirs'], 4)}  {row['status']}  "
            f"{ours_at} / {theirs_at}",
            flush=True,
        )
    return rows


def bandit_rows() -> list[dict[str, Any]]:
    """Open Bandit: the policy BTS by IPS from the random log, beside the click rate that BTS had on its own log."""
    data = load("openbandit")
    logged, judged = data.random.log, data.bts.log
    shown = judged.groupby("position").item.value_counts(normalize=True)
    target = shown.reindex(pd.MultiIndex.from_frame(logged[["position", "item"]]), fill_value=0.0).to_numpy()
    own = interval(judged.click.to_numpy(dtype=np.float64))
    rows = []
    for model, estimate in (
        ("BTS by IPS", metrics.ips(logged.click, logged.propensity, target)),
        ("BTS by SNIPS", metrics.snips(logged.click, logged.propensity, target)),
    ):
        row: dict[str, Any] = dict.fromkeys(ledger.COLUMNS)
        row |= {"dataset": "openbandit", "split": "random log", "model": model, "metric": "click rate", "seeds": 1}
        row |= {"parameters": {}, "date": time.strftime("%Y-%m-%d"), "command": "python -m benchmarks.ledger"}
        row |= {"ours": estimate.value, "ours_low": estimate.low, "ours_high": estimate.high}
        row |= {"peer": "BTS on its own log", "theirs": own[0], "theirs_low": own[1], "theirs_high": own[2]}
        # two independent logs: the variances add
        half = float(np.hypot(estimate.high - estimate.value, own[2] - own[0]))
        row["difference"] = estimate.value - own[0]
        row |= {"difference_low": row["difference"] - half, "difference_high": row["difference"] + half}
        row["status"] = ledger.status(row["difference_low"], row["difference_high"])
        rows.append(row)
        print(f"openbandit {model}: {estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f}), BTS {own[0]:.4f}")
    return rows


def write(fresh: list[dict[str, Any]]) -> None:
    """Put rows into the ledger, in the place of those that they repeat."""
    key = ("dataset", "split", "model", "metric")
    done = {tuple(row[c] for c in key) for row in fresh}
    kept = json.loads(ledger.PATH.read_text(encoding="utf-8")) if ledger.PATH.exists() else []
    rows = [row for row in kept if tuple(row[c] for c in key) not in done] + fresh
    ledger.PATH.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", default="ml-latest-small")
    parser.add_argument("--model", nargs="+", default=list(MODELS))
    parser.add_argument("--split", nargs="+", default=list(SPLITS))
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    log = load(arguments.data).interactions
    print(f"{arguments.data}: {log}, {THREADS} threads")
    fresh = bandit_rows() if arguments.data == "ml-latest-small" else []
    for how in arguments.split:
        parts = split_log(log, how)
        for name in arguments.model:
            fresh += rows_of(arguments.data, how, name, parts, arguments.seeds)
    write(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
