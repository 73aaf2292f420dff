"""Optimisers that follow the rows of a batch: a step costs as much as the batch touched, not as the table is long.

They take the sparse gradient of an :class:`~rectutor.nn.EmbeddingTable` as it comes, with equal rows not yet added. On
the CPU one compiled loop adds them and updates the rows in place; elsewhere PyTorch's operations do.

Shapes: R rows of the table, D dimension, n positions of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rectutor.fastpath import fast_path
from rectutor.nn import cases, kernels, reference
from rectutor.nn.table import is_compiled, n_threads

Array = NDArray[np.float32]
Ints = NDArray[np.int64]
Group = dict[str, Any]


def adam_numbers(step: int, lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> list[float]:
    """What a step multiplies with: step size with both bias corrections, 1 - beta1, 1 - beta2, eps, weight decay."""
    size = lr * math.sqrt(1 - betas[1] ** step) / (1 - betas[0] ** step)
    return [size, 1 - betas[0], 1 - betas[1], eps, weight_decay]


@fast_path(
    reference.lazy_adam_step,
    cases=cases.adam,
    rtol=1e-5,
    atol=1e-6,
    bench=cases.adam_bench,
    sizes=cases.SIZES,
    unit="ids",
)
def lazy_adam_step(
    weight: Array,
    m: Array,
    v: Array,
    ids: Ints,
    grads: Array,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Array, Array, Array]:
    """One step of lazy Adam on copies of the arrays; :class:`LazyAdam` works in place.

    Args:
        weight, m, v: the table and its two moments, float32 [R, D].
        ids: the row of each gradient [n].
        grads: gradients, float32 [n, D].
        step: number of this step, from 1.
        lr, betas, eps, weight_decay: see :class:`LazyAdam`.

    Returns:
        The table and the moments after the step.
    """
    weight, m, v = (_copy(name, x, weight.shape) for name, x in (("weight", weight), ("m", m), ("v", v)))
    moments = np.stack([m, v], axis=1)
    ids, grads = _checked(ids, grads, weight)
    if step < 1:
        raise ValueError(f"step is {step}; steps count from 1")
    numbers = np.array(adam_numbers(step, lr, betas, eps, weight_decay), np.float32)
    kernels.adam(weight, moments, ids, grads, numbers, n_threads())
    return weight, moments[:, 0], moments[:, 1]


@fast_path(
    reference.lazy_adagrad_step,
    cases=cases.adagrad,
    rtol=1e-5,
    atol=1e-6,
    bench=cases.adagrad_bench,
    sizes=cases.SIZES,
    unit="ids",
)
def lazy_adagrad_step(
    weight: Array,
    squares: Array,
    ids: Ints,
    grads: Array,
    lr: float = 0.05,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> tuple[Array, Array]:
    """One step of lazy AdaGrad on copies of the arrays; :class:`LazyAdaGrad` works in place.

    Args:
        weight, squares: the table and its sums of squared gradients, float32 [R, D].
        ids: the row of each gradient [n].
        grads: gradients, float32 [n, D].
        lr, eps, weight_decay: see :class:`LazyAdaGrad`.

    Returns:
        The table and the sums after the step.
    """
    weight, squares = _copy("weight", weight, weight.shape), _copy("squares", squares, weight.shape)
    ids, grads = _checked(ids, grads, weight)
    kernels.adagrad(weight, squares, ids, grads, np.array([lr, eps, weight_decay], np.float32), n_threads())
    return weight, squares


def _copy(name: str, x: Array, shape: tuple[int, ...]) -> Array:
    """A copy in one piece, of the table's shape."""
    if x.dtype != np.float32:
        raise TypeError(f"{name} is {x.dtype}; give float32")
    if x.ndim != 2 or x.shape != shape:
        raise ValueError(f"{name} has shape {x.shape}; weight has {shape}, which must be [R, D]")
    return np.array(x, order="C")


def _checked(ids: Ints, grads: Array, weight: Array) -> tuple[Ints, Array]:
    """Rows and gradients in one piece each, of fitting shapes, the rows within the table."""
    if ids.dtype != np.int64 or grads.dtype != np.float32:
        raise TypeError(f"ids is {ids.dtype}, grads is {grads.dtype}; give int64 and float32")
    if ids.ndim != 1 or grads.shape != (len(ids), weight.shape[1]):
        raise ValueError(f"ids has shape {ids.shape}, grads {grads.shape}; give [n] and [n, {weight.shape[1]}]")
    if len(ids) and not 0 <= ids.min() <= ids.max() < len(weight):
        raise ValueError(f"ids reaches from {ids.min()} to {ids.max()}; the rows are 0 to {len(weight) - 1}")
    return np.ascontiguousarray(ids), np.ascontiguousarray(grads)


class _Lazy(torch.optim.Optimizer):
    """What both optimisers share: they find the rows and their gradients, and keep the state of each table."""

    def __init__(self, params: Iterable[Any], defaults: Group) -> None:
        for name, value in defaults.items():
            for number in value if isinstance(value, tuple) else (value,):
                if not (0 <= number < (1 if name == "betas" else math.inf)):
                    raise ValueError(f"{name} is {value}; it must be at least 0" + (" and below 1" * (name == "betas")))
        super().__init__(params, defaults)

    def _start(self, weight: Tensor, group: Group) -> Group:
        """The state of a table before its first step."""
        raise NotImplementedError

    def _compiled(self, weight: Array, rows: Ints, grads: Array, state: Group, group: Group) -> None:
        """Update in place; equal rows are not yet added."""
        raise NotImplementedError

    def _plain(self, weight: Tensor, rows: Tensor, grad: Tensor, state: Group, group: Group) -> None:
        """Update in place with PyTorch's operations; every row occurs once."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the rows that the gradients name; a table without a gradient stays as it is.

        Args:
            closure: computes the loss again, and returns it.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group)
        return loss

    def _update(self, weight: Tensor, grad: Tensor, group: Group) -> None:
        """One table's step."""
        if not grad.is_sparse or grad.sparse_dim() != 1 or grad.ndim != 2:
            what = f"a {'sparse' if grad.is_sparse else 'dense'} gradient of shape {tuple(grad.shape)}"
            rest = "it is for embedding tables, torch.optim.Adam for the rest"
            raise TypeError(f"{type(self).__name__} got {what}; {rest}")
        state = self.state[weight]
        if not state:
            state |= self._start(weight, group)
        state["step"] += 1
        rows, values = grad._indices()[0], grad._values()
        if is_compiled(weight) and is_compiled(values):
            self._compiled(weight.numpy(), rows.contiguous().numpy(), values.numpy(), state, group)
        else:
            grad = grad.coalesce()
            self._plain(weight, grad.indices()[0], grad.values(), state, group)


class LazyAdam(_Lazy):
    """Adam (Kingma and Ba, 2015) on the rows of the batch; the other rows keep vectors and moments.

    Where every row is touched in every step it is Adam; where not, a row's moments do not decay between its turns. It
    does what ``torch.optim.SparseAdam`` does: the bias correction counts all steps, eps is added before it.

    Args:
        params: the ``weight`` of embedding tables, or groups of them.
        lr: step size, alpha.
        betas: decay of the mean of the gradients and of their squares.
        eps: keeps the divisor from zero.
        weight_decay: this times the row is added to its gradient, for touched rows only.

    Raises:
        TypeError: a dense gradient in ``step``.
        ValueError: a negative number, or a beta of 1 and more.

    >>> from rectutor.features import Layout
    >>> from rectutor.nn import EmbeddingTable
    >>> table = EmbeddingTable(Layout.of([4]), dim=2, std=0)
    >>> optimizer = LazyAdam(table.parameters(), lr=0.1)
    >>> table(torch.tensor([[1], [3], [1]])).sum().backward()
    >>> optimizer.step()
    >>> [round(w, 4) for w in table.weight[:, 0].tolist()]
    [0.0, -0.1, 0.0, -0.1]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay})

    def _start(self, weight: Tensor, group: Group) -> Group:
        rows, dim = weight.shape  # from fresh memory: pages that no batch touches cost nothing
        return {"step": 0, "moments": torch.zeros((rows, 2, dim), dtype=weight.dtype, device=weight.device)}

    def _numbers(self, state: Group, group: Group) -> list[float]:
        return adam_numbers(state["step"], group["lr"], group["betas"], group["eps"], group["weight_decay"])

    def _compiled(self, weight: Array, rows: Ints, grads: Array, state: Group, group: Group) -> None:
        numbers = np.array(self._numbers(state, group), np.float32)
        kernels.adam(weight, state["moments"].numpy(), rows, grads, numbers, n_threads())

    def _plain(self, weight: Tensor, rows: Tensor, grad: Tensor, state: Group, group: Group) -> None:
        step, b1, b2, eps, decay = self._numbers(state, group)
        if decay:
            grad = grad + decay * weight[rows]
        m, v = state["moments"][rows].unbind(1)
        m, v = torch.lerp(m, grad, b1), torch.lerp(v, grad * grad, b2)
        state["moments"][rows] = torch.stack([m, v], 1)
        weight.index_add_(0, rows, m / (v.sqrt() + eps), alpha=-step)


class LazyAdaGrad(_Lazy):
    """AdaGrad (Duchi, Hazan and Singer, 2011) on the rows of the batch, the others being untouched in any case.

    Args:
        params: the ``weight`` of embedding tables, or groups of them.
        lr: step size, eta.
        initial: what the sums of squares start with. At 0 the first step of a row has the length lr in each coordinate.
        eps: keeps the divisor from zero, delta.
        weight_decay: this times the row is added to its gradient, for touched rows only.

    Raises:
        TypeError: a dense gradient in ``step``.
        ValueError: a negative number.

    >>> from rectutor.features import Layout
    >>> from rectutor.nn import EmbeddingTable
    >>> table = EmbeddingTable(Layout.of([4]), dim=2, std=0)
    >>> optimizer = LazyAdaGrad(table.parameters(), lr=0.5)
    >>> table(torch.tensor([[1], [3], [1]])).sum().backward()
    >>> optimizer.step()
    >>> [round(w, 4) for w in table.weight[:, 0].tolist()]
    [0.0, -0.5, 0.0, -0.5]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.05,
        initial: float = 0.0,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "initial": initial, "eps": eps, "weight_decay": weight_decay})

    def _start(self, weight: Tensor, group: Group) -> Group:
        return {"step": 0, "sum": torch.full_like(weight, group["initial"])}

    def _compiled(self, weight: Array, rows: Ints, grads: Array, state: Group, group: Group) -> None:
        numbers = np.array([group["lr"], group["eps"], group["weight_decay"]], np.float32)
        kernels.adagrad(weight, state["sum"].numpy(), rows, grads, numbers, n_threads())

    def _plain(self, weight: Tensor, rows: Tensor, grad: Tensor, state: Group, group: Group) -> None:
        if group["weight_decay"]:
            grad = grad + group["weight_decay"] * weight[rows]
        squares = state["sum"][rows] + grad * grad
        state["sum"][rows] = squares
        weight.index_add_(0, rows, grad / (squares.sqrt() + group["eps"]), alpha=-group["lr"])
