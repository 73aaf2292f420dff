"""FM and FFM by per-example AdaGrad beside xLearn and DeepCTR-Torch. AUC on unseen examples stands beside time.

python -m benchmarks.bench_fm [fm|ffm] [rounds]

Time is that of four epochs. xLearn reads text (its binary copy of it, after the first time), draws its first weights
and writes its model inside ``fit``. That is left out: a fit of five epochs counts less the quickest of the fits of one.
Our copying between the model and the layout of the compiled loops is in.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import THREADS, Race  # sets the thread counts, so it comes before what reads them

# isort: split
import numpy as np
import torch
from numpy.typing import NDArray

from rectutor.features import Encoded, Layout
from rectutor.metrics import auc
from rectutor.nn import batches
from rectutor.retrieval.fm import FFM, FM
from rectutor.retrieval.fm.adagrad import adagrad

EPOCHS = 4
TRAIN, TEST = 200_000, 50_000
SIZES = [10_000] * 26 + [20] * 13


class EpochRace(Race):
    """A race whose contenders say themselves which seconds are those of the epochs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counted: dict[str, list[tuple[float, float]]] = {}

    def count(self, name: str, wall: float, cpu: float) -> None:
        """Wall and CPU seconds of the epochs of the run that is going on."""
        self.counted.setdefault(name, []).append((wall, cpu))

    def table(self) -> str:
        """The table, once all rounds are run."""
        for row in self.rows:
            for i, (wall, cpu) in enumerate(self.counted.pop(row.name, [])[-len(row.wall) :] if row.wall else []):
                row.wall[i], row.cpu[i] = wall, cpu
        return super().table()


def clock() -> NDArray[np.float64]:
    """Wall and CPU time."""
    return np.array([time.perf_counter(), time.process_time()])


def examples(seed: int = 0) -> tuple[Encoded, Encoded]:
    """26 fields of 10 000 ids by Zipf's law and 13 numbers in 20 bins each; labels drawn from an FM of four factors."""
    rng, n = np.random.default_rng(seed), TRAIN + TEST
    share = (np.arange(SIZES[0]) + 5.0) ** -1.1
    edges = np.cumsum(share / share.sum())
    ids = np.empty((n, len(SIZES)), np.int64)
    for s, size in enumerate(SIZES):
        drawn = np.searchsorted(edges, rng.random(n)) if size == SIZES[0] else rng.exponential(4, n)
        ids[:, s] = np.minimum(drawn, size - 1)
    layout = Layout.of(SIZES)
    rows = ids + layout.offsets
    truth = np.random.default_rng(123)
    w, v = truth.normal(0, 0.25, layout.rows), truth.normal(0, 0.22, (4, layout.rows))
    logit = w[rows].sum(1) - 1
    for factor in v:
        logit += 0.5 * (factor[rows].sum(1) ** 2 - (factor[rows] ** 2).sum(1))
    data = Encoded(layout, ids, label=(rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float32))
    return data[:TRAIN], data[TRAIN:]


def label_of(data: Encoded) -> NDArray[np.float32]:
    """The labels, which these examples have."""
    assert data.label is not None
    return data.label


def judge_ours(test: Encoded, model: Any) -> str:
    """AUC of a model's own logits."""
    with torch.no_grad():
        z = [model(batch) for batch in batches(test, 5000)]
    return f"AUC {auc(label_of(test), torch.cat(z).numpy()):.4f}"


def write(data: Encoded, path: Path, *, fields: bool) -> None:
    """A file in libffm or libsvm format."""
    with path.open("w") as file:
        for label, row in zip(
            label_of(data).astype(int).tolist(), (data.ids + data.layout.offsets).tolist(), strict=True
        ):
            entries = (f"{f}:{r}:1" if fields else f"{r}:1" for f, r in enumerate(row))
            file.write(f"{label} {' '.join(entries)}\n")


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """xLearn writes to the process's standard output, whatever it is told."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


class XLearn:
    """xLearn's AdaGrad on files in a folder."""

    def __init__(self, kind: str, folder: str, k: int, train: Encoded, test: Encoded) -> None:
        self.kind, self.k, self.test = kind, k, test
        self.folder = Path(folder)
        for name, data in (("train", train), ("test", test)):
            write(data, self.folder / name, fields=kind == "ffm")

    def fit(self, epochs: int, lr: float, l2: float, *, normalize: bool) -> tuple[Any, Any]:
        """The model, and the wall and CPU time of ``fit``."""
        import xlearn

        os.environ.setdefault("USER", "reader")  # it ends the process without
        with silent():
            model = xlearn.create_ffm() if self.kind == "ffm" else xlearn.create_fm()
            model.setTrain(str(self.folder / "train"))
            model.setQuiet()
            model.disableEarlyStop()
            if not normalize:
                model.disableNorm()
            options = {"task": "binary", "lr": lr, "lambda": l2, "k": self.k, "epoch": epochs, "opt": "adagrad"}
            start = clock()
            model.fit(options | {"nthread": THREADS, "init": 0.2}, str(self.folder / "model"))
            return model, clock() - start

    def enter(self, race: EpochRace, name: str, lr: float, l2: float, *, normalize: bool) -> None:
        """Enter the race under a name."""
        least = np.full(2, np.inf)

        def run() -> Any:
            for _ in range(2):
                least[:] = np.minimum(least, self.fit(1, lr, l2, normalize=normalize)[1])
            model, seconds = self.fit(1 + EPOCHS, lr, l2, normalize=normalize)
            race.count(name, *(seconds - least))
            return model

        def judge(model: Any) -> str:
            with silent():
                model.setTest(str(self.folder / "test"))
                model.predict(str(self.folder / "model"), str(self.folder / "out"))
            return f"AUC {auc(label_of(self.test), np.loadtxt(self.folder / 'out')):.4f}"

        race.add(name, run, quality=judge)


def deepctr(race: EpochRace, name: str, train: Encoded, test: Encoded) -> None:
    """DeepCTR-Torch's DeepFM without its network, batches of 1024: one epoch, counted four times."""

    def columns(data: Encoded) -> dict[str, NDArray[Any]]:
        return {field: data.ids[:, s] for s, field in enumerate(data.layout.fields)}

    def run() -> Any:
        from deepctr_torch.inputs import SparseFeat
        from deepctr_torch.models import DeepFM

        torch.manual_seed(0)
        features = [SparseFeat(field, train.layout.sizes[field], embedding_dim=8) for field in train.layout.fields]
        model = DeepFM(features, features, (), l2_reg_linear=0, l2_reg_embedding=0, device="cpu")
        model.compile("adagrad", "binary_crossentropy")
        start = clock()
        model.fit(columns(train), train.label, batch_size=1024, epochs=1, verbose=0)
        race.count(name, *(EPOCHS * (clock() - start)))
        return model

    def judge(model: Any) -> str:
        return f"AUC {auc(label_of(test), model.predict(columns(test), 4096)[:, 0]):.4f} after one"

    race.add(name, run, quality=judge, rounds=1)


def compete(kind: str, rounds: int) -> None:
    """Both with the same epochs, rate and L2, and xLearn also with the instance normalization that is its default."""
    train, test = examples()
    k, lr, lr_normalized, l2 = (8, 0.05, 0.05, 2e-4) if kind == "fm" else (4, 0.02, 0.2, 2e-5)
    note = f"k = {k}, {TRAIN} x {len(SIZES)} one-hot, {train.layout.rows} ids, {EPOCHS} epochs"
    race = EpochRace(f"{kind.upper()} AdaGrad", unit="examples", work=TRAIN * EPOCHS, note=note, target=1.0)

    name = f"adagrad, rate {lr}"

    def run() -> Any:
        model = FM(train.layout, k) if kind == "fm" else FFM(train.layout, k)
        start = clock()
        adagrad(model, train, epochs=EPOCHS, lr=lr, l2=l2, n_threads=THREADS, progress=False)
        race.count(name, *(clock() - start))
        return model

    race.add(name, run, ours=True, quality=lambda model: judge_ours(test, model))
    with tempfile.TemporaryDirectory() as folder:
        xlearn = XLearn(kind, folder, k, train, test)
        xlearn.enter(race, f"xLearn, rate {lr}", lr, l2, normalize=False)
        xlearn.enter(race, f"xLearn normalized, rate {lr_normalized}", lr_normalized, l2, normalize=True)
        if kind == "fm":
            deepctr(race, "DeepCTR-Torch FM, batches of 1024", train, test)
        race.run(rounds)


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "all"
    n_rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if chosen not in ("all", "fm", "ffm"):
        raise SystemExit(f"unknown benchmark {chosen!r}; choose fm or ffm")
    for kind in ("fm", "ffm"):
        if chosen in ("all", kind):
            compete(kind, n_rounds)
