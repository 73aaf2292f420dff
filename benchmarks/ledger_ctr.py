"""Measure our models of clicks and their peers on real data and write their rows of the ledger.

    python -m benchmarks.ledger_ctr [--data ml-latest-small openbandit] [--model lr fm fwfm ffm] [--seeds 5] [--draw 0]

``--draw`` other than 0 draws other negatives and other folds; its rows are printed and not written: a check that a
status does not hang on one draw.

For each figure, AUC and log-loss, each library is tuned by it on the validation part (step size, then L2, then factors,
each at the best of those before), stops early on it, and is measured once on test, over seeds. xLearn and ours, both
AdaGrad, share one grid; DeepCTR-Torch, with Adam and slow, has a smaller one around what was best in a first look.
Where two peers have a model, the row names the one that is better on test. Intervals are from a bootstrap that draws
users (bandit: rows) and seeds with replacement, the same users for ours and theirs.

*MovieLens as implicit feedback*: a click is a rating of 4 stars or more, cut by time for each user; each comes with two
films drawn evenly from those that the user never rated, at the same hour, so no negative is a positive of any part. A
film's tags, six at most, count unless their (user, film) is a click of valid or test, which they would give away. The
values of a film's genres, and of its tags, add up to 1.

*Open Bandit*: the 20 000 impressions of both policies in five folds with 23 clicks each. Each is the test part once,
with the next one as valid and the others as train; the predictions of all folds are judged together. The intervals are
wide all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.harness import THREADS  # isort: skip  (sets the number of threads before the libraries load)

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.bench_ftrl import silent
from benchmarks.ledger import write
from benchmarks.peers import quiet
from rectutor import ledger, metrics
from rectutor.data import load, user_time_split
from rectutor.features import Bucketed, Categorical, Encoded, Schema
from rectutor.features import Sequence as SequenceOf
from rectutor.features.columns import spread
from rectutor.ranking.files import Parts
from rectutor.ranking.protocol import MODELS, label_of, run

EPOCHS, PATIENCE, BATCH = 20, 2, 2048
NEGATIVES, TAGS, FOLDS = 2, 6, 5
REPLICATES = 400
Point = dict[str, float]
Grid = Mapping[str, tuple[float, ...]]
Floats = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Task:
    """Splits, and whom each of all test examples belongs to, [N]: examples of one owner are drawn together."""

    dataset: str
    split: str
    folds: tuple[Parts, ...]
    owner: NDArray[np.int64]

    def labels(self, part: str) -> Floats:
        """Of all folds, one after the other."""
        return np.concatenate([label_of(getattr(fold, part)) for fold in self.folds])


# -- data --------------------------------------------------------------------------------------------------------
def encoded(schema: Schema, frames: Sequence[pd.DataFrame]) -> Parts:
    """Encode with what the first frame tells."""
    encoder = schema.fit(frames[0])
    train, valid, test = (encoder.transform(frame, label="label") for frame in frames)
    return Parts(train, valid, test)


def movielens(seed: int = 0) -> Task:
    """Films rated 4 stars or more, each with two that the user never rated."""
    data = load("ml-latest-small")
    log = data.interactions
    cut = user_time_split(log.subset(log.value >= 4), test=0.1, valid=0.1)
    rated = np.unique(log.user.astype(np.int64) * log.n_items + log.item)
    rng = np.random.default_rng(seed)
    films = data.movies.set_index("item")
    genres = films["genres"].str.split("|").reindex(log.item_ids)
    assert data.tags is not None
    tags = data.tags.assign(tag=data.tags["tag"].str.lower())
    for part in (cut.valid, cut.test):
        clicked = pd.MultiIndex.from_arrays([part.user_ids[part.user], part.item_ids[part.item]])
        tags = tags[~pd.MultiIndex.from_frame(tags[["user", "item"]]).isin(clicked)]
    of_film = tags.groupby("item")["tag"].unique().map(list).reindex(log.item_ids)
    frames = []
    for part in cut:
        assert part.time is not None
        user, when = np.repeat(part.user, 1 + NEGATIVES).astype(np.int64), np.repeat(part.time, 1 + NEGATIVES)
        item = np.repeat(part.item, 1 + NEGATIVES).astype(np.int64)
        label = np.tile([1, *[0] * NEGATIVES], len(part))
        again = np.flatnonzero(label == 0)
        while len(again):
            item[again] = rng.integers(log.n_items, size=len(again))
            again = again[np.isin(user[again] * log.n_items + item[again], rated)]
        moment = pd.to_datetime(pd.Series(when), unit="s", utc=True)
        frame = {"user": user, "film": item, "hour": moment.dt.hour, "weekday": moment.dt.weekday, "label": label}
        frames.append(pd.DataFrame(frame).assign(genres=genres.to_numpy()[item], tags=of_film.to_numpy()[item]))
        frames[-1]["tags"] = [tags[:TAGS] if isinstance(tags, list) else [] for tags in frames[-1]["tags"]]
        for name in ("genres", "tags"):
            frames[-1][f"{name}_share"] = [[1 / max(1, len(cell))] * len(cell) for cell in frames[-1][name]]
    names = ("user", "film", "hour", "weekday")
    longest = max(len(cell) for frame in frames for cell in frame["genres"])
    several = [SequenceOf(name, n, weights=f"{name}_share") for name, n in (("genres", longest), ("tags", TAGS))]
    schema = Schema([*map(Categorical, names), *several])
    owner = frames[2]["user"].to_numpy()
    return Task("ml-latest-small", f"user-time, {NEGATIVES} negatives", (encoded(schema, frames),), owner)


def openbandit(seed: int = 0) -> Task:
    """The impressions of both policies, in folds with equally many clicks."""
    data = load("openbandit")
    logs = []
    for name, policy in (("random", data.random), ("bts", data.bts)):
        # each policy's files hash the features with codes of their own, so the policy is part of each value
        log = policy.log.merge(policy.items, on="item")
        hashed = [c for c in log.columns if re.fullmatch("user_feature_.|item_feature_[1-3]", c)]
        logs.append(log.assign(policy=name, **{c: name + log[c] for c in hashed}))
    log = pd.concat(logs, ignore_index=True)
    affinity = log[[c for c in log.columns if c.startswith("affinity_")]].to_numpy()
    log = log.assign(hour=log["time"].dt.hour, label=log["click"], affinity=affinity.sum(1))
    names = ("policy", "item", "position", *hashed, "hour")
    edges = Bucketed("affinity", by=(0.5, 1.5, 3.5))
    schema = Schema([*map(Categorical, names), Bucketed("item_feature_0", buckets=5), edges])
    order = np.random.default_rng(seed).permutation(len(log))
    fold = np.empty(len(log), np.int64)
    fold[order[np.argsort(log["label"].to_numpy()[order], kind="stable")]] = np.arange(len(log)) % FOLDS
    folds = []
    for f in range(FOLDS):
        held = (fold == (f + 1) % FOLDS, fold == f)
        folds.append(encoded(schema, [log[~(held[0] | held[1])], log[held[0]], log[held[1]]]))
    return Task("openbandit", f"{FOLDS} folds, both policies", tuple(folds), np.arange(len(log)))


TASKS: dict[str, Callable[[int], Task]] = {"ml-latest-small": movielens, "openbandit": openbandit}


# -- contenders --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Contender:
    """A library's model: ``fit(parts, point, figure, seed)`` stops on a figure; probabilities of valid and test."""

    label: str
    version: str | None
    grid: Grid
    fit: Callable[[Parts, Point, str, int], tuple[Floats, Floats]]


def adagrad_grid(name: str) -> Grid:
    """The grid of ours and of xLearn, whose optimisers are one."""
    return {"lr": (0.1, 0.2, 0.5, 1.0, 2.0), "l2": (2e-4, 1e-3, 3e-3, 1e-2, 3e-2), "k": factors(name)}


def factors(name: str) -> tuple[float, ...]:
    """Values of k; an FFM has as many for each field."""
    return () if name == "lr" else (4, 8) if name == "ffm" else (8, 16)


def ours(name: str) -> Contender:
    """AdaGrad example by example; FwFM, which has no such loop, with Adam."""
    optimizer: Any = "adam" if name == "fwfm" else "adagrad"

    def fit(parts: Parts, point: Point, figure: str, seed: int) -> tuple[Floats, Floats]:
        settings: dict[str, Any] = {"epochs": EPOCHS, "batch_size": BATCH, "patience": PATIENCE, "seed": seed}
        settings |= {"optimizer": optimizer, "monitor": figure.replace("-", "_"), **point}
        both = replace(parts, test=_joined(parts.valid, parts.test))
        p = run(name, both, **settings, progress=False).predictions[0]
        return p[: len(parts.valid)], p[len(parts.valid) :]

    adam: Grid = {"lr": (3e-3, 1e-2), "l2": (0.0, 1e-4, 3e-4), "k": factors(name)}
    return Contender("ours", None, adam if name == "fwfm" else adagrad_grid(name), fit)


def deepctr(name: str) -> Contender:
    """DeepFM of DeepCTR-Torch without its network: an FM, or without crosses LR."""

    measures = {"auc": "auc", "log-loss": "binary_crossentropy"}

    def fit(parts: Parts, point: Point, figure: str, seed: int) -> tuple[Floats, Floats]:
        import torch
        from deepctr_torch.callbacks import EarlyStopping
        from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat
        from deepctr_torch.models import DeepFM

        layout, columns = parts.train.layout, []
        for field, length, vocabulary in zip(layout.fields, layout.lengths, layout.vocabularies):
            one = SparseFeat(field, layout.sizes[vocabulary], int(point.get("k", 4)))
            columns.append(one if length == 1 else VarLenSparseFeat(one, length, combiner="mean"))  # code 0 is padding
        inputs, labels = [], []
        for data in (parts.train, parts.valid, parts.test):
            slots = {field: data.ids[:, layout.slots(field)] for field in layout.fields}
            inputs.append({field: x[:, 0] if x.shape[1] == 1 else x for field, x in slots.items()})
            labels.append(data.label)
        torch.manual_seed(seed)
        model = DeepFM(
            columns, columns if name == "fm" else [], use_fm=name == "fm", dnn_hidden_units=(), seed=seed,
            l2_reg_linear=point["l2"], l2_reg_embedding=point["l2"],
        )  # fmt: skip
        model.compile(
            torch.optim.Adam(model.parameters(), lr=point["lr"]), "binary_crossentropy", metrics=list(measures.values())
        )
        stop = EarlyStopping(f"val_{measures[figure]}", patience=PATIENCE, restore_best_weights=True)
        fitting = {"batch_size": BATCH, "epochs": EPOCHS, "verbose": 0, "callbacks": [stop]}
        with quiet(), contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
            model.fit(inputs[0], labels[0], validation_data=(inputs[1], labels[1]), **fitting)
            model.load_state_dict(stop.best_weights)  # it does so itself only where it stopped early
            valid, test = (model.predict(x, 16_384).ravel() for x in inputs[1:])
        return valid, test

    grid: Grid = {"lr": (3e-3, 1e-2), "l2": (1e-3, 1e-2, 1e-1), "k": factors(name)}
    version = importlib.metadata.version("deepctr-torch")
    return Contender("DeepCTR-Torch", version, grid, fit)


def xlearn(name: str) -> Contender:
    """xLearn with AdaGrad on both threads; it has no seed, so a seed draws the order of its training file."""

    def fit(parts: Parts, point: Point, figure: str, seed: int) -> tuple[Floats, Floats]:
        os.environ.setdefault("USER", "reader")  # its log file is named by it
        import xlearn as library

        make = {"lr": library.create_linear, "fm": library.create_fm, "ffm": library.create_ffm}[name]
        with tempfile.TemporaryDirectory() as folder, silent():
            paths = {}
            for part, data in (("train", parts.train), ("valid", parts.valid), ("test", parts.test)):
                text = lines(data, name == "ffm")
                order = np.random.default_rng(seed).permutation(len(text)) if part == "train" else range(len(text))
                paths[part] = str(Path(folder, part))
                Path(paths[part]).write_text("".join(text[i] for i in order))
            model, weights, out = make(), str(Path(folder, "weights")), str(Path(folder, "out"))
            model.setTrain(paths["train"])
            model.setValidate(paths["valid"])
            settings: dict[str, Any] = {"task": "binary", "opt": "adagrad", "epoch": EPOCHS, "stop_window": PATIENCE}
            settings |= {"nthread": THREADS, "lr": point["lr"], "lambda": point["l2"]}
            settings |= {"metric": "auc"} if figure == "auc" else {}  # without a metric it stops on the loss
            settings |= {"k": int(point["k"])} if "k" in point else {}
            model.fit(settings, weights)
            model.setSigmoid()
            found = []
            for part in ("valid", "test"):
                model.setTest(paths[part])
                model.predict(weights, out)
                found.append(np.loadtxt(out))
        return found[0], found[1]

    return Contender("xLearn", importlib.metadata.version("xlearn"), adagrad_grid(name), fit)


PEERS: dict[str, tuple[Callable[[str], Contender], ...]] = {
    "lr": (xlearn, deepctr),
    "fm": (xlearn, deepctr),
    "fwfm": (),
    "ffm": (xlearn,),
}


@lru_cache(maxsize=6)
def lines(data: Encoded, fields: bool) -> list[str]:
    """Examples as lines of libffm or libsvm, padding left out."""
    rows, field_of = data.ids + data.layout.offsets, data.layout.field_of_slot.tolist()
    weights = np.ones(rows.shape) if data.weights is None else data.weights.astype(np.float64)
    result = []
    for label, row, values in zip(label_of(data).tolist(), rows.tolist(), weights.tolist()):
        pairs = [f"{f}:{i}:{x:g}" if fields else f"{i}:{x:g}" for f, i, x in zip(field_of, row, values) if x]
        result.append(f"{label:.0f} {' '.join(pairs)}\n")
    return result


def _joined(*parts: Encoded) -> Encoded:
    """Examples one after the other."""
    weights = None if parts[0].weights is None else np.concatenate([p.weights for p in parts if p.weights is not None])
    label = np.concatenate([*map(label_of, parts)])
    dense = np.concatenate([p.dense for p in parts])
    return Encoded(parts[0].layout, np.concatenate([p.ids for p in parts]), dense, weights, label)


# -- what is measured --------------------------------------------------------------------------------------------
FIGURES: dict[str, Callable[[Floats, Floats], float]] = {"auc": metrics.auc, "log-loss": metrics.log_loss}


def measured(contender: Contender, task: Task, figure: str, seeds: int) -> tuple[Point, Floats]:
    """Tune on valid, one parameter after the other, the middle of the grid standing for those to come; then over seeds.

    Returns:
        The best point, and its probabilities of the test examples, [seeds, N].
    """
    start = time.perf_counter()
    grid = {name: values for name, values in contender.grid.items() if values}
    point = {name: values[len(values) // 2] for name, values in grid.items()}
    fitted: dict[tuple[float, ...], tuple[Floats, Floats]] = {}
    label = task.labels("valid")

    def predicted(at: Point, seed: int) -> tuple[Floats, Floats]:
        valid, test = zip(*(contender.fit(parts, at, figure, seed) for parts in task.folds))
        return np.concatenate(valid), np.concatenate(test)

    def loss(at: Point) -> float:
        key = tuple(at.values())
        if key not in fitted:
            fitted[key] = predicted(at, 0)
        value = FIGURES[figure](label, fitted[key][0])
        return value if figure in ledger.LOWER_IS_BETTER else -value

    for name, values in grid.items():
        point = min(({**point, name: value} for value in values), key=loss)
    p = [fitted[tuple(point.values())][1], *(predicted(point, seed)[1] for seed in range(1, seeds))]
    print(f"  {contender.label:<14} {point}, {time.perf_counter() - start:.0f} s", flush=True)
    return point, np.stack(p)


def drawn(task: Task, figure: str, predictions: Sequence[Floats], seed: int = 0) -> NDArray[np.float64]:
    """A figure, mean over seeds, of each contender: as it is, then of each replicate [1 + REPLICATES, contenders]."""
    label, rng = task.labels("test"), np.random.default_rng(seed)
    order = np.argsort(task.owner, kind="stable")
    starts = np.append(np.flatnonzero(np.diff(task.owner[order], prepend=-1)), len(order))
    result = [[np.mean([FIGURES[figure](label, p) for p in each]) for each in predictions]]
    while len(result) <= REPLICATES:
        users = rng.integers(len(starts) - 1, size=len(starts) - 1)
        rows = order[spread(starts[users], starts[users + 1] - starts[users])]
        if label[rows].min() == label[rows].max():
            continue
        seeds = [rng.integers(len(each), size=len(each)) for each in predictions]
        result.append(
            [
                np.mean([FIGURES[figure](label[rows], each[s, rows]) for s in which])
                for each, which in zip(predictions, seeds)
            ]
        )
    return np.array(result)


def rows_of(task: Task, name: str, seeds: int) -> list[dict[str, Any]]:
    """The ledger's rows of one model: AUC and log-loss, beside the better peer."""
    rows = []
    for figure in FIGURES:
        print(f"{task.dataset} {name} {figure}", flush=True)
        lower = figure in ledger.LOWER_IS_BETTER
        point, mine = measured(ours(name), task, figure, seeds)
        peers = [make(name) for make in PEERS[name]]
        found = drawn(task, figure, [mine, *(measured(peer, task, figure, seeds)[1] for peer in peers)])
        row: dict[str, Any] = dict.fromkeys(ledger.COLUMNS)
        row |= {"dataset": task.dataset, "split": task.split, "model": name, "metric": figure, "seeds": seeds}
        users = len(np.unique(task.owner)) if len(np.unique(task.owner)) < len(task.owner) else None
        row |= {"parameters": point, "users": users, "date": time.strftime("%Y-%m-%d"), "status": "no peer"}
        row |= {"command": f"python -m benchmarks.ledger_ctr --data {task.dataset} --model {name} --seeds {seeds}"}
        row["ours"], row["ours_low"], row["ours_high"] = interval(found[:, 0])
        if peers:
            best = int(np.argmin(found[0, 1:]) if lower else np.argmax(found[0, 1:]))
            row |= {"peer": f"{peers[best].label} {name.upper()}", "peer_version": peers[best].version}
            row["theirs"], row["theirs_low"], row["theirs_high"] = interval(found[:, 1 + best])
            row["difference"], low, high = interval(found[:, 0] - found[:, 1 + best])
            row |= {"difference_low": low, "difference_high": high}
            row["status"] = ledger.status(low, high, lower_is_better=lower)
        rows.append(row)
        others = ", ".join(f"{peer.label} {value:.4f}" for peer, value in zip(peers, found[0, 1:]))
        print(f"  {figure:<9} ours {found[0, 0]:.4f}  {others}  {row['status']}", flush=True)
    return rows


def interval(replicated: NDArray[np.float64]) -> tuple[float, float, float]:
    """The figure itself, and 95 % around it by the spread of its replicates."""
    value, half = float(replicated[0]), float(1.96 * replicated[1:].std(ddof=1))
    return value, value - half, value + half


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--model", nargs="+", default=list(MODELS), choices=list(PEERS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--draw", type=int, default=0)
    arguments = parser.parse_args()
    for dataset in arguments.data:
        task = TASKS[dataset](arguments.draw)
        sizes = {name: len(getattr(task.folds[0], name)) for name in ("train", "valid", "test")}
        print(f"{dataset}, {task.split}: {sizes}, {THREADS} threads", flush=True)
        for name in arguments.model:
            rows = rows_of(task, name, arguments.seeds)
            if arguments.draw == 0:
                write(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
