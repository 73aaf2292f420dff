"""The protocol of click prediction: fit on train, stop early on validation AUC, measure once on test, over seeds.

A new model enters with one line in :data:`MODELS`; ``rectutor train-ctr`` and the ledger know it from then on.

Shapes: N test examples, R runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from torch import nn

from rectutor.features import Encoded, Layout
from rectutor.features.encoded import UNKNOWN
from rectutor.metrics import auc, log_loss
from rectutor.nn import fit, optimizers_for, predict
from rectutor.ranking.files import Parts
from rectutor.retrieval.fm import FFM, FM, LR, FwFM, adagrad

Monitor: TypeAlias = Literal["auc", "log_loss"]
Optimizer: TypeAlias = Literal["adam", "adagrad"]
Maker: TypeAlias = Callable[[Layout, int, int], nn.Module]

MODELS: dict[str, Maker] = {
    "lr": lambda layout, k, seed: LR(layout, seed=seed),
    "fm": lambda layout, k, seed: FM(layout, k, seed=seed),
    "fwfm": lambda layout, k, seed: FwFM(layout, k, seed=seed),
    "ffm": lambda layout, k, seed: FFM(layout, k, normalize=True, seed=seed),  # as LIBFFM and xLearn do
}
"""Name, and what makes the model of a layout, a number of factors k (an embedding's length) and a seed."""

STEP: dict[str, float] = {"adam": 1e-3, "adagrad": 0.05}
"""The optimisers, and the step size of each where none is given."""

WITHOUT_FIELDS = ("lr", "fm")
"""Models that make sense of a libsvm file, in which all features are one field."""


@dataclass(frozen=True)
class Run:
    """What one seed gave: epochs fitted, the best of them and its figures on valid, and the figures on test."""

    seed: int
    epochs: int
    best_epoch: int
    valid_auc: float
    valid_log_loss: float
    auc: float
    log_loss: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Report:
    """What was run and what came out.

    Attributes:
        model, settings: what was run.
        parts: on what.
        weights: numbers that the model learns.
        runs: R of them, one a seed.
        predictions: probabilities of the test examples, float32 [R, N].
    """

    model: str
    settings: dict[str, Any]
    parts: Parts
    weights: int
    runs: list[Run]
    predictions: NDArray[np.float32]

    def mean(self, figure: str) -> tuple[float, float]:
        """Mean and standard deviation over seeds, 0.0 for one, of "auc" or "log_loss" on test."""
        x = np.array([getattr(run, figure) for run in self.runs])
        return float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else 0.0

    def text(self) -> str:
        """For the screen."""
        parts, layout = self.parts, self.parts.train.layout
        sizes = ", ".join(
            f"{name} {len(data):,} rows ({100 * float(np.mean(label_of(data))):.2f} % clicks)"
            for name, data in (("train", parts.train), ("valid", parts.valid), ("test", parts.test))
        )
        held = f"; valid is {parts.held_out:g} of the train file" if parts.held_out else ""
        unknown = 100 * float((parts.test.ids == UNKNOWN).sum() / max(1, (parts.test.ids != 0).sum()))
        lines = [
            f"data      {parts.form or 'frame'}: {sizes}{held}",
            f"features  {len(layout.fields)} fields, {len(layout.field_of_slot)} slots, {layout.rows:,} codes,"
            f" {len(layout.dense)} numbers; {unknown:.2f} % of test unknown",
            f"model     {self.model}, {self.weights:,} weights; "
            + ", ".join(f"{name} {value}" for name, value in self.settings.items()),
        ]
        lines += [
            f"seed {run.seed:<4} epoch {run.best_epoch} of {run.epochs}: valid AUC {run.valid_auc:.6f}, log-loss"
            f" {run.valid_log_loss:.6f}; test AUC {run.auc:.6f}, log-loss {run.log_loss:.6f}"
            for run in self.runs
        ]
        area, loss = self.mean("auc"), self.mean("log_loss")
        over = f" (mean ± sd of {len(self.runs)} seeds)" if len(self.runs) > 1 else ""
        spread = (f" ± {area[1]:.6f}", f" ± {loss[1]:.6f}") if over else ("", "")
        lines.append(f"test      AUC {area[0]:.6f}{spread[0]}, log-loss {loss[0]:.6f}{spread[1]}{over}")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """For a JSON file."""
        parts = self.parts
        return {
            "model": self.model,
            "settings": self.settings,
            "format": parts.form,
            "rows": {"train": len(parts.train), "valid": len(parts.valid), "test": len(parts.test)},
            "held_out": parts.held_out,
            "codes": parts.train.layout.rows,
            "weights": self.weights,
            "auc": dict(zip(("mean", "sd"), self.mean("auc"))),
            "log_loss": dict(zip(("mean", "sd"), self.mean("log_loss"))),
            "runs": [vars(run) for run in self.runs],
        }

    def write_predictions(self, path: str | Path) -> None:
        """A line a test example in the order of the file: its probability, one a seed, parted by tabs."""
        with Path(path).open("w", encoding="ascii") as file:
            for row in self.predictions.T.tolist():
                file.write("\t".join(f"{p:.9g}" for p in row) + "\n")


def run(
    name: str,
    parts: Parts,
    *,
    k: int = 8,
    epochs: int = 20,
    batch_size: int = 4096,
    optimizer: Optimizer = "adam",
    lr: float | None = None,
    l2: float = 0.0,
    patience: int = 2,
    monitor: Monitor = "auc",
    seeds: int = 1,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> Report:
    """Fit a model on train, keep the epoch that is best on valid, measure that one on test; repeat over seeds.

    Args:
        name: of :data:`MODELS`.
        parts: the split.
        k: factors, or the length of an embedding.
        epochs: at most.
        batch_size: examples a step of Adam.
        optimizer: "adam", lazy and by batches, for any model; "adagrad" example by example in compiled loops, for LR,
            FM and FFM only, and on several threads not the same in every run: :func:`rectutor.retrieval.fm.adagrad`.
        lr: step size; None for 0.001 with Adam and 0.05 with AdaGrad.
        l2: times a parameter it is added to the gradient wherever an example, or its batch, touches the parameter.
        patience: stop after so many epochs in a row that were no better.
        monitor: the figure that says what is better.
        seeds, seed: how many runs, and the first one's seed; a seed draws the first weights and the order of examples.
        checkpoint: a file from which an interrupted run goes on; with several seeds one each, ``<checkpoint>.<seed>``.
        progress: as in :func:`rectutor.nn.fit`.

    Raises:
        ValueError: an unknown model, a count below 1, or what fitting refuses.

    >>> from rectutor.features import Encoded, Layout
    >>> note = np.arange(300) % 10
    >>> data = Encoded(Layout.of([10]), note[:, None], label=(note < 3).astype(np.float32))
    >>> report = run("lr", Parts(data, data, data), epochs=2, batch_size=100, lr=0.1)
    >>> report.mean("auc")
    (1.0, 0.0)
    """
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}; choose one of {', '.join(MODELS)}")
    for what, said, known in (("monitor", monitor, get_args(Monitor)), ("optimizer", optimizer, tuple(STEP))):
        if said not in known:
            raise ValueError(f"{what} is {said!r}; choose one of {', '.join(known)}")
    if optimizer == "adagrad" and checkpoint is not None:
        raise ValueError("a checkpoint is written between epochs of adam; adagrad has none: leave one of them out")
    for what, number in (("k", k), ("seeds", seeds)):
        if number < 1:
            raise ValueError(f"{what} is {number}; it must be at least 1")
    if parts.form == "libsvm" and name not in WITHOUT_FIELDS and len(parts.train.layout.fields) == 1:
        raise ValueError(
            f"{name} needs fields, and libsvm has none: add --fields position if the k-th entry of each row is of"
            " field k, or give libffm files"
        )
    lr = STEP[optimizer] if lr is None else lr
    runs, predictions, weights = [], [], 0
    for s in range(seed, seed + seeds):
        model = MODELS[name](parts.train.layout, k, s)
        weights = sum(p.numel() for p in model.parameters())
        shared: dict[str, Any] = {"epochs": epochs, "monitor": monitor, "patience": patience, "seed": s}
        if optimizer == "adam":
            history = fit(
                model,
                parts.train,
                parts.valid,
                batch_size=batch_size,
                optimizers=optimizers_for(model, lr, l2),
                checkpoint=f"{checkpoint}.{s}" if checkpoint is not None and seeds > 1 else checkpoint,
                progress=progress,
                **shared,
            )
        elif isinstance(model, LR | FM | FFM):
            history = adagrad(model, parts.train, parts.valid, lr=lr, l2=l2, progress=progress, **shared)
        else:
            raise ValueError(f"adagrad has no compiled loop for {name}, only for lr, fm and ffm; choose adam")
        figures = history[monitor]
        best = history.loc[figures.idxmax() if monitor == "auc" else figures.idxmin()]
        p = predict(model, parts.test)
        runs.append(
            Run(
                seed=s,
                epochs=len(history),
                best_epoch=int(best["epoch"]),
                valid_auc=float(best["auc"]),
                valid_log_loss=float(best["log_loss"]),
                auc=auc(label_of(parts.test), p),
                log_loss=log_loss(label_of(parts.test), p),
                seconds=float(history["seconds"].sum()),
            )
        )
        predictions.append(p)
    settings: dict[str, Any] = {"k": k, "optimizer": optimizer, "lr": lr, "l2": l2}
    settings |= {"batch_size": batch_size} if optimizer == "adam" else {}
    settings |= {"epochs": epochs, "patience": patience, "monitor": monitor}
    return Report(name, settings, parts, weights, runs, np.stack(predictions))


def label_of(data: Encoded) -> NDArray[np.float32]:
    """The labels [N].

    Raises:
        ValueError: there are none.
    """
    if data.label is None:
        raise ValueError("the data has no label; name its column: encoder.transform(frame, label=...)")
    return data.label
