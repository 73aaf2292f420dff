"""Training: one loop for every model, from the first batch to the weights of the best epoch.

A model is a plain ``nn.Module`` whose ``forward`` takes a :class:`~rectutor.nn.Batch`; what it is trained for is a
function ``loss(model, batch)``, what it is judged by a function ``score(model, data)``.

Shapes: N examples, B batch, T tasks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from rectutor.features import Encoded
from rectutor.metrics import auc, log_loss
from rectutor.nn.batches import Batch, batches, check_count
from rectutor.nn.checkpoint import Run
from rectutor.nn.optim import LazyAdam
from rectutor.nn.table import EmbeddingTable

Loss = Callable[[nn.Module, Batch], Tensor]
Score = Callable[[nn.Module, Encoded], dict[str, float]]


# -- what a model is trained for and judged by ---------------------------------------------------------
def binary_cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    """The mean cross-entropy of labels 0 and 1, from logits and in float32 also under autocast.

    Labels [B] go with logits [B]; labels [B, T] of T tasks with logits [B, T].

    Raises:
        ValueError: no label, a label that is neither 0 nor 1, logits of another shape than the labels.

    >>> batch = Batch(torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 1), label=torch.tensor([0.0, 1.0]))
    >>> round(binary_cross_entropy(lambda batch: batch.dense[:, 0], batch).item(), 4)  # logits 0
    0.6931
    """
    label = batch.label
    if label is None:
        raise ValueError("train has no label; name its column: encoder.transform(frame, label=...)")
    if bool((label * (label - 1)).any()):
        wrong = label[(label * (label - 1)) != 0][0].item()
        raise ValueError(f"a label in train is {wrong}; binary_cross_entropy needs 0 or 1: give another loss")
    logits = model(batch)
    if logits.shape != label.shape:
        raise ValueError(
            f"the model gave logits {tuple(logits.shape)} for labels {tuple(label.shape)}; the two must match"
        )
    return F.binary_cross_entropy_with_logits(logits.float(), label)


def auc_and_log_loss(model: nn.Module, data: Encoded) -> dict[str, float]:
    """AUC and log-loss over all examples at once: the mean of the AUCs of batches is another quantity.

    Raises:
        ValueError: no label, labels of several tasks, a label that is neither 0 nor 1, labels of one class only.
    """
    if data.label is None:
        raise ValueError("there is no label; name its column: encoder.transform(frame, label=...)")
    if data.label.ndim != 1:
        raise ValueError(f"label has shape {data.label.shape}; for several tasks give fit a score of your own")
    p = predict(model, data)
    return {"auc": auc(data.label, p), "log_loss": log_loss(data.label, p)}


def predict(
    model: nn.Module, data: Encoded, *, batch_size: int = 16_384, autocast: bool = False
) -> NDArray[np.float32]:
    """The probabilities that a model gives: the sigmoid of its logits, where the model is, without dropout.

    Args:
        model: gives logits [B] or [B, T]; each of its modules gets back the mode (training or not) that it had.
        data: N examples; no labels are needed.
        batch_size: examples at a time; it changes the time only.
        autocast: compute in bfloat16 where PyTorch deems it safe. Such logits have 8 significant bits, and equal
            ones are ties to the AUC.

    Returns:
        float32 [N] or [N, T].

    Raises:
        ValueError: no examples, a batch size below 1.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    parts = []
    with _evaluating(model), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        for batch in batches(data, batch_size):
            parts.append(torch.sigmoid(model(batch.to(device)).float()).cpu())
    return torch.cat(parts).numpy()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """No gradients and no dropout; afterwards every module is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def optimizers_for(model: nn.Module, lr: float = 1e-3, weight_decay: float = 0.0) -> list[Optimizer]:
    """Lazy Adam for the embedding tables, Adam for every other parameter that is to be trained.

    Args:
        model: any module; where it has only one kind of parameter, there is one optimiser.
        lr: step size of both.
        weight_decay: this times the parameter is added to its gradient; in the tables for the rows of the batch only.

    Raises:
        ValueError: a negative lr or weight_decay.

    >>> from rectutor.nn import MLP
    >>> [type(optimizer).__name__ for optimizer in optimizers_for(MLP(2, [1]))]
    ['Adam']
    """
    tables = {m.weight: None for m in model.modules() if isinstance(m, EmbeddingTable) and m.weight.requires_grad}
    others = [p for p in model.parameters() if p.requires_grad and p not in tables]
    result: list[Optimizer] = []
    if tables:
        result.append(LazyAdam(tables, lr=lr, weight_decay=weight_decay))
    if others:
        result.append(torch.optim.Adam(others, lr=lr, weight_decay=weight_decay, fused=True))
    return result


# -- the loop ------------------------------------------------------------------------------------------
def fit(
    model: nn.Module,
    train: Encoded,
    valid: Encoded | None = None,
    *,
    epochs: int,
    batch_size: int = 4096,
    lr: float = 1e-3,
    optimizers: Iterable[Optimizer] | None = None,
    loss: Loss = binary_cross_entropy,
    score: Score = auc_and_log_loss,
    monitor: str = "auc",
    patience: int | None = None,
    seed: int | np.random.Generator = 0,
    device: torch.device | str | None = None,
    autocast: bool = False,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Train a model in place, and leave in it the weights of its best epoch.

    ``score`` sees the whole validation set at once, and once before training, so that a set that cannot be scored stops
    the run before it costs anything. A higher figure is better, but for one whose name ends in ``loss`` or ``error``.
    Without ``valid`` the last epoch's weights stay, or with ``monitor="loss"`` those of the lowest training loss.

    Shuffling and dropout of an epoch are drawn from the seed and the epoch's number, and PyTorch's own generators are
    afterwards as they were. So a run that goes on from its checkpoint ends bit for bit where one without interruption
    does, on the same machine, device and number of threads. What a loss or score keeps outside the model is not part
    of the checkpoint: make it a buffer of the model.

    Args:
        model: it is moved to the device, and left there in evaluation mode.
        train, valid: examples of one layout.
        epochs: passes over train, at most.
        batch_size: B; the last batch of an epoch has what remains.
        lr: step size of the default optimisers.
        optimizers: what steps after each batch; None for :func:`optimizers_for` the model with ``lr``. Together they
            must hold each parameter that is to be trained; set ``requires_grad_(False)`` where one is not.
        loss: ``loss(model, batch)``, a scalar: the mean over the batch.
        score: ``score(model, data)``, figures by name; it runs without gradients, in evaluation mode and float32.
        monitor: name of the figure that says which epoch is best.
        patience: stop after so many epochs in a row that were no better; None never stops early.
        seed: draws the order of the examples and the dropout; the first weights are the model's own affair.
        device: None for CUDA where there is one, else the CPU.
        autocast: train in bfloat16 where PyTorch deems it safe; weights and optimisers stay float32.
        checkpoint: a file, written anew after each epoch. If it exists, the run goes on from there: the model's weights
            are replaced by those of the file. Only ``epochs`` may be raised; all else must be as it was.
        progress: show a progress bar always, never, or (None) when fitting lasts over two seconds.

    Returns:
        One row an epoch: epoch, loss (mean over train while it learned), each figure on valid, and seconds.

    Raises:
        TypeError: a count that is not an integer.
        ValueError: an argument out of its range, no examples, two layouts, examples that cannot be scored, an unknown
            monitor, a loss that is not finite, or a checkpoint that is damaged or of another run.

    >>> from rectutor.features import Layout
    >>> class Clicks(nn.Module):  # the click rate of each of ten notes, as a logit
    ...     def __init__(self, layout):
    ...         super().__init__()
    ...         self.table = EmbeddingTable(layout, dim=1)
    ...
    ...     def forward(self, batch):
    ...         return self.table(batch.ids)[:, 0, 0]
    >>> note = np.arange(1000) % 10
    >>> data = Encoded(Layout.of([10]), note[:, None], label=(note < 3).astype(np.float32))
    >>> model = Clicks(data.layout)
    >>> fit(model, data, data, epochs=3, batch_size=100, lr=0.1, progress=False).auc.tolist()
    [1.0, 1.0, 1.0]
    >>> (predict(model, data[:4]) > 0.5).tolist()
    [True, True, True, False]
    """
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    _check(train, valid, epochs, batch_size, monitor, patience)
    model.to(where)
    optimizers = optimizers_for(model, lr) if optimizers is None else list(optimizers)
    _check_optimizers(model, optimizers)
    root = int(np.random.default_rng(seed).integers(2**63))
    run = Run(
        checkpoint,
        model,
        optimizers,
        monitor if valid is not None or monitor == "loss" else None,
        {"train": train, "valid": valid, "batch_size": batch_size, "loss": loss, "score": score, "patience": patience}
        | {"seed": root, "device": where.type, "autocast": autocast},
    )
    run.resume(epochs, where)
    steps = -(-len(train) // batch_size)
    with _bar(epochs * steps, len(run.history) * steps, progress) as bar, _own_randomness(where) as reseed:
        if valid is not None and not run.history:
            _check_score(model, valid, score, monitor)
        while len(run.history) < epochs and (patience is None or run.since_best() < patience):
            epoch, total, start = len(run.history) + 1, 0.0, time.perf_counter()
            bar.set_description(f"epoch {epoch}/{epochs}", refresh=False)
            draw = np.random.default_rng([root, epoch])
            reseed(int(draw.integers(2**63)))
            model.train()
            for n, batch in enumerate(batches(train, batch_size, seed=draw), 1):
                with torch.autocast(where.type, torch.bfloat16, enabled=autocast):
                    value = loss(model, batch.to(where))
                if not math.isfinite(mean := value.item()):
                    raise ValueError(
                        f"the loss is {mean} in epoch {epoch}, batch {n} of {steps}; lower lr ({lr}), or look for"
                        " extreme values among the dense columns and weights"
                    )
                model.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                for optimizer in optimizers:
                    optimizer.step()
                total += mean * len(batch)
                bar.update()
            row: dict[str, float] = {"epoch": epoch, "loss": total / len(train)}
            if valid is not None:
                with _evaluating(model):
                    row |= score(model, valid)
            row["seconds"] = time.perf_counter() - start
            run.append(row)
            bar.set_postfix({k: f"{v:.4f}" for k, v in row.items() if k not in ("epoch", "seconds")}, refresh=False)
    if run.best is not None:
        model.load_state_dict(run.best)
    model.eval()
    return pd.DataFrame(run.history)


def _check(
    train: Encoded, valid: Encoded | None, epochs: int, batch_size: int, monitor: str, patience: int | None
) -> None:
    """Refuse arguments that cannot make a run."""
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    for name, data in (("train", train), ("valid", valid)):
        if data is not None and len(data) == 0:
            raise ValueError(f"{name} is empty; it must have at least one example")
    if valid is not None and valid.layout != train.layout:
        raise ValueError("valid has another layout than train; encode both with one fitted encoder")
    if patience is not None:
        check_count("patience", patience)
        if valid is None and monitor != "loss":
            raise ValueError(f'patience is {patience} without valid; give valid, or monitor="loss" to watch train')


def _check_optimizers(model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
    """Each parameter to be trained is in one optimiser, and nothing else is."""
    named = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    held = [id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    if not named:
        raise ValueError("model has no parameter that requires a gradient; there is nothing to train")
    if missing := [name for key, name in named.items() if key not in held]:
        raise ValueError(f"optimizers lack the parameter {missing[0]!r}; add it, or set requires_grad_(False) on it")
    if len(held) != len(named):
        raise ValueError(
            f"optimizers hold {len(held)} parameters, {len(named)} of model are to be trained; give each once, and only"
            " those of this model"
        )


def _check_score(model: nn.Module, valid: Encoded, score: Score, monitor: str) -> None:
    """Score the untrained model, so that what cannot be scored stops the run now."""
    try:
        with _evaluating(model):
            figures = score(model, valid)
    except ValueError as error:
        raise ValueError(f"valid cannot be scored: {error}") from error
    if taken := sorted({"epoch", "loss", "seconds"} & set(figures)):
        raise ValueError(f"score gives a figure named {taken[0]!r}, which the history has already; rename it")
    if monitor not in figures and monitor != "loss":
        raise ValueError(f"monitor is {monitor!r}; score gives {', '.join(map(repr, figures))}, and there is 'loss'")


def _bar(total: int, done: int, progress: bool | None) -> Any:
    """One bar for all batches of all epochs; TQDM_DISABLE hides it."""
    hidden = {"disable": True} if progress is False else {}  # disable=False would overrule TQDM_DISABLE
    return tqdm(total=total, initial=done, unit="batch", delay=0 if progress else 2, leave=bool(progress), **hidden)


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[Callable[[int], object]]:
    """A function that seeds PyTorch's generators, which are put back at the end."""
    devices = range(torch.cuda.device_count()) if device.type == "cuda" else ()

    def reseed(seed: int) -> None:
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed_all(seed)

    with torch.random.fork_rng(devices):
        yield reseed
