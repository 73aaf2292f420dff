"""Training of LR, FM and FFM example by example, each parameter with a step size of its own.

Sources: Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and stochastic optimization, JMLR
2011; Juan, Zhuang, Chin and Lin, Field-aware factorization machines for CTR prediction, RecSys 2016 (LIBFFM); Recht,
Ré, Wright and Niu, Hogwild!, NIPS 2011.

Shapes: N examples, S slots, F fields, M dense columns, k factors, R rows.
"""

from __future__ import annotations

import math
import time
from typing import Any, Literal

import numba
import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from rectutor.fastpath import fast_path
from rectutor.features import Encoded
from rectutor.metrics import auc, log_loss
from rectutor.retrieval.fm import adagrad_cases as cases
from rectutor.retrieval.fm import adagrad_reference as reference
from rectutor.retrieval.fm import kernels
from rectutor.retrieval.fm.models import FFM, FM, LR
from rectutor.retrieval.loops import bar, check_at_least, threads

Floats = NDArray[np.float32]


def adagrad(
    model: nn.Module,
    train: Encoded,
    valid: Encoded | None = None,
    *,
    epochs: int = 10,
    lr: float = 0.05,
    l2: float = 2e-4,
    monitor: Literal["auc", "log_loss"] = "auc",
    patience: int | None = None,
    seed: int | np.random.Generator = 0,
    n_threads: int | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    r"""Train an LR, FM or FFM in place by per-example AdaGrad on the log-loss; its best epoch's weights stay in it.

    Juan et al. 2016, algorithm 1. For each example, each parameter :math:`\theta` that it touches has

    .. math:: g = \frac{\partial \ell}{\partial \theta} + \lambda \theta, \quad G \leftarrow G + g^2, \quad
              \theta \leftarrow \theta - \eta \frac{g}{\sqrt G},

    where G starts at 1 and is float32, like :math:`\theta`. An example touches the w of its features, their
    :math:`v_{i,f}` for the fields f of its other features, the dense weights whose column is not 0, and the bias, which
    alone has no :math:`\lambda`. Features move one after another, with the field sums that the example had before.

    On several threads the examples of an epoch are dealt out, and all threads write to one table without locks
    (Hogwild): the result varies a little from run to run. With ``n_threads=1`` a seed gives one result.

    Args:
        model: on the CPU; an FFM's ``normalize`` is heeded.
        train, valid: examples of the model's layout, labels 0 and 1.
        epochs: passes over train, at most, each in a new random order.
        lr: :math:`\eta`.
        l2: :math:`\lambda`, at least 0.
        monitor: the figure on valid that says which epoch is best; without valid the last epoch's weights stay.
        patience: stop after so many epochs in a row that were no better; None never stops early.
        seed: draws the orders; the first weights are the model's own.
        n_threads: None for all that numba has, or one where there is little to do.
        progress: show a progress bar always, never, or (None) when training lasts over two seconds.

    Returns:
        One row an epoch: epoch, loss (mean over train, each example's before its step), auc and log_loss on valid,
        seconds.

    Raises:
        TypeError: a model that is none of the three; an FwFM and deeper models are for ``rectutor.nn.fit``.
        ValueError: an argument out of its range, another layout, no examples, other labels than 0 and 1, a model that
            is not on the CPU, or a loss that is not finite.

    >>> from rectutor.features import Layout
    >>> from rectutor.retrieval.fm import FM
    >>> ids = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (50, 1))
    >>> either = Encoded(Layout.of([2, 2]), ids, label=np.float32(ids[:, 0] != ids[:, 1]))
    >>> history = adagrad(FM(either.layout, 4), either, either, epochs=30, lr=0.5, l2=0.0, n_threads=1)
    >>> float(history["auc"].max())
    1.0
    """
    if not isinstance(model, LR | FM | FFM):
        raise TypeError(f"model is {type(model).__name__}; adagrad trains LR, FM and FFM, rectutor.nn.fit the others")
    check_at_least("epochs", epochs, 1, whole=True)
    check_at_least("lr", lr, 0, strictly=True)
    check_at_least("l2", l2, 0)
    if monitor not in ("auc", "log_loss"):
        raise ValueError(f"monitor is {monitor!r}; choose 'auc' or 'log_loss'")
    if patience is not None:
        check_at_least("patience", patience, 1, whole=True)
        if valid is None:
            raise ValueError(f"patience is {patience} without valid; give the examples that say which epoch is best")
    if model.table.weight.device.type != "cpu":
        raise ValueError(f"model is on {model.table.weight.device}; move it to the CPU with model.cpu()")
    _check_examples("train", train, model)
    if valid is not None:
        _check_examples("valid", valid, model)
    rng = np.random.default_rng(seed)
    table = _Table.of(model)
    examples = _examples(train)
    held_out = None if valid is None else _examples(valid)
    history: list[dict[str, float]] = []
    best, waited = -math.inf, 0
    with threads(n_threads, work=train.ids.size * (table.n_fields * table.k + 1)):
        for epoch in bar(range(1, epochs + 1), type(model).__name__, progress):
            start = time.perf_counter()
            loss = table.learn(*examples, rng.permutation(len(train)), lr, l2)
            if not math.isfinite(loss):
                raise ValueError(f"the loss is {loss} in epoch {epoch}; lower lr ({lr}), or look for extreme values")
            row = {"epoch": epoch, "loss": loss}
            if held_out is not None:
                z = table.logits(*held_out[:3])
                p = 0.5 + 0.5 * np.tanh(0.5 * z.astype(np.float64))
                row |= {"auc": auc(held_out[3], z), "log_loss": log_loss(held_out[3], p)}
                figure = row["auc"] if monitor == "auc" else -row["log_loss"]
                waited = 0 if figure > best else waited + 1
                if figure > best:
                    best = figure
                    table.copy_to(model)
            history.append(row | {"seconds": time.perf_counter() - start})
            if patience is not None and waited >= patience:
                break
    if held_out is None:
        table.copy_to(model)
    model.eval()
    return pd.DataFrame(history)


def _check_examples(name: str, data: Encoded, model: Any) -> None:
    """Refuse examples of another layout, none, and labels other than 0 and 1."""
    if data.layout != model.layout:
        raise ValueError(f"{name} has another layout than model; build the model of the layout of its encoder")
    if len(data) == 0:
        raise ValueError(f"{name} is empty; it must have at least one example")
    if data.label is None or data.label.ndim != 1:
        what = "no label" if data.label is None else f"{data.label.shape[1]} labels an example"
        raise ValueError(f"{name} has {what}; encode it with one label")
    for n in np.flatnonzero((data.label != 0) & (data.label != 1))[:1]:
        raise ValueError(f"label {n} of {name} is {data.label[n]}; it must be 0 or 1")


def _examples(data: Encoded) -> tuple[Any, Floats | None, Floats, Any]:
    """Rows [N, S], values [N, S] or None, dense [N, M], label [N]."""
    return _rows(data.ids + data.layout.offsets, data.layout.rows), data.weights, data.dense, data.label


def _rows(rows: ArrayLike, size: int) -> Any:
    """Rows in 32 bits, if the table is not larger than that."""
    return np.ascontiguousarray(rows, dtype=np.int32 if size < 2**31 else np.int64)


class _Table:
    """The parameters as the compiled loops take them: a row's weights, then its accumulators, on whole cache lines."""

    def __init__(
        self, theta: Floats, w_dense: ArrayLike, bias: float, fields: ArrayLike, n_fields: int, normalize: bool
    ) -> None:
        """``theta`` holds the rows [v_{i,1}, ..., v_{i,F}, w_i], [R, F k + 1]."""
        size, used = theta.shape
        self.n_fields, self.k = n_fields, (used - 1) // n_fields
        self.fields = np.ascontiguousarray(fields, dtype=np.int64)
        self.normalize = normalize
        width = -(-used // kernels.LINE) * kernels.LINE
        memory = np.empty(size * 2 * width + kernels.LINE, np.float32)
        shift = -(memory.ctypes.data // memory.itemsize) % kernels.LINE  # to the start of a cache line
        self.flat = memory[shift : shift + size * 2 * width]
        kernels.lay_out(theta, self.flat, width)
        self.theta = self.flat.reshape(size, 2, width)[:, 0, :used]
        self.linear = np.ones((2, np.size(w_dense) + 1), np.float32)
        self.linear[0, :-1], self.linear[0, -1] = w_dense, bias

    @classmethod
    def of(cls, model: Any) -> _Table:
        """The parameters of a module."""
        of_slot = model.layout.field_of_slot
        fields, n_fields = (
            (of_slot, len(model.layout.fields)) if isinstance(model, FFM) else (np.zeros_like(of_slot), 1)
        )
        theta, w_dense = model.table.weight.detach().numpy(), model.dense.detach().numpy()
        return cls(theta, w_dense, model.bias.item(), fields, n_fields, getattr(model, "normalize", False))

    def copy_to(self, model: Any) -> None:
        """Give a module the parameters."""
        with torch.no_grad():
            model.table.weight.copy_(torch.from_numpy(self.theta))
            model.dense.copy_(torch.from_numpy(self.linear[0, :-1]))
            model.bias.fill_(float(self.linear[0, -1]))

    def _shape(self) -> tuple[Any, ...]:
        """What the compiled loops know of the model; for an FFM they are compiled for its k."""
        block = (0,) * (self.k if self.n_fields > 1 and self.k else 1)
        return self.fields, self.n_fields, self.k, block, self.normalize, self.flat, self.linear

    def learn(
        self, rows: Any, x: Any, dense: Floats, label: Floats, order: NDArray[np.int64], lr: float, l2: float
    ) -> float:
        """Go over the examples in ``order`` on numba's threads; the mean of their losses."""
        arguments = (order, rows, _values(x), dense, label, *self._shape(), np.float32(lr), np.float32(l2))
        parts = numba.get_num_threads()
        one = parts == 1
        losses = kernels.learn_part(0, len(order), *arguments) if one else kernels.learn_parts(parts, *arguments)
        return float(losses) / max(len(order), 1)

    def logits(self, rows: Any, x: Any, dense: Floats) -> Floats:
        """Logits [N]."""
        return np.asarray(kernels.logits(numba.get_num_threads(), rows, _values(x), dense, *self._shape()))


def _values(x: Any) -> Floats:
    """Values [N, S], or none at all where each is 1."""
    return np.empty((0, 0), np.float32) if x is None else np.ascontiguousarray(x, dtype=np.float32)


# -- on arrays, as the reference takes them --------------------------------------------------------------
@fast_path(
    reference.fm_logits,
    cases=cases.logits,
    rtol=1e-5,
    atol=2e-6,
    bench=cases.logits_of_size,
    sizes=(100, 300, 1000),
    unit="examples",
)
def fm_logits(
    rows: ArrayLike,
    x: ArrayLike | None,
    dense: ArrayLike,
    fields: ArrayLike,
    v: ArrayLike,
    w: ArrayLike,
    w_dense: ArrayLike,
    bias: float,
    normalize: bool = False,
) -> Floats:
    """Logits [N] of LR, FM and FFM in O(S F k) each.

    rows [N, S], x [N, S] or None for ones, dense [N, M], ascending fields [S], v [R, F, k], w [R], w_dense [M].

    >>> fm_logits([[0, 1]], None, np.zeros((1, 0)), [0, 1], np.array([[[5.0], [2]], [[3], [7]]]), [1.0, 0.5], [], 0.25)
    array([7.75], dtype=float32)
    """
    table, rows = _of_arrays(rows, fields, v, w, w_dense, bias, normalize)
    return table.logits(rows, x, np.ascontiguousarray(dense, dtype=np.float32))


@fast_path(
    reference.adagrad_steps,
    cases=cases.steps,
    rtol=2e-5,
    atol=2e-6,
    bench=cases.steps_of_size,
    sizes=(100, 300, 1000),
    unit="examples",
)
def adagrad_steps(
    rows: ArrayLike,
    x: ArrayLike | None,
    dense: ArrayLike,
    label: ArrayLike,
    fields: ArrayLike,
    v: ArrayLike,
    w: ArrayLike,
    w_dense: ArrayLike,
    bias: float,
    order: ArrayLike,
    *,
    lr: float = 0.05,
    l2: float = 0.0,
    normalize: bool = False,
) -> tuple[Floats, Floats, Floats, float, float]:
    """One thread goes over the examples in ``order``; v, w, w_dense, bias afterwards, and the mean of the losses met.

    Arguments as in :func:`fm_logits`, label [N].
    """
    table, rows = _of_arrays(rows, fields, v, w, w_dense, bias, normalize)
    with threads(1, work=0):
        loss = table.learn(
            rows,
            x,
            np.ascontiguousarray(dense, dtype=np.float32),
            np.ascontiguousarray(label, dtype=np.float32),
            np.ascontiguousarray(order, dtype=np.int64),
            lr,
            l2,
        )
    return (
        table.theta[:, :-1].reshape(np.shape(v)),
        table.theta[:, -1],
        table.linear[0, :-1],
        float(table.linear[0, -1]),
        loss,
    )


def _of_arrays(
    rows: ArrayLike, fields: ArrayLike, v: ArrayLike, w: ArrayLike, w_dense: ArrayLike, bias: float, normalize: bool
) -> tuple[_Table, Any]:
    """The table of some arrays, and rows that are in it."""
    v, w, rows = np.asarray(v, dtype=np.float32), np.asarray(w, dtype=np.float32), np.asarray(rows)
    if v.ndim != 3 or w.shape != v.shape[:1]:
        raise ValueError(f"v has shape {v.shape} and w {w.shape}; they must be [R, F, k] and [R]")
    if rows.size and not 0 <= rows.min() <= rows.max() < len(v):
        raise ValueError(f"rows has {rows.min()} to {rows.max()}; v has the rows 0 to {len(v) - 1}")
    fields = np.asarray(fields)
    if fields.shape != rows.shape[1:] or (fields.size and (np.diff(fields, prepend=0) < 0).any()):
        raise ValueError(f"fields is {fields}; it must ascend from 0, one for each of the {rows.shape[1]} slots")
    if fields.size and fields.max() >= v.shape[1]:
        raise ValueError(f"fields has {fields.max()}; v has the fields 0 to {v.shape[1] - 1}")
    theta = np.concatenate([v.reshape(len(v), -1), w[:, None]], axis=1)
    return _Table(theta, w_dense, bias, fields, v.shape[1], normalize), _rows(rows, len(v))
