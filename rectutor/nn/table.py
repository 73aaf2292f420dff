"""One embedding table for all fields: their vocabularies lie below each other, and one gather reads every slot.

A loop over 26 ``nn.Embedding`` makes 26 small gathers forward, 26 dense gradients backward and an optimiser step over
every row there is. Here the gradient holds the rows of the batch only, as a sparse tensor that
:class:`~rectutor.nn.LazyAdam` and :class:`~rectutor.nn.LazyAdaGrad` take as it is.

Shapes: B batch, S slots, D dimension, R rows of the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from rectutor.fastpath import fast_path
from rectutor.nn import cases, kernels, reference

if TYPE_CHECKING:
    from rectutor.features import Layout

NO_WEIGHTS = np.zeros((0, 0), np.float32)


def n_threads() -> int:
    """Threads of the compiled loops: as many as PyTorch's own, as far as numba has them."""
    return int(min(torch.get_num_threads(), numba.get_num_threads()))


def is_compiled(x: Tensor) -> bool:
    """Whether the compiled loops can work in this tensor's memory; PyTorch's operations do the rest."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and x.is_contiguous()


@fast_path(reference.gather, cases=cases.gather, rtol=0, bench=cases.gather_bench, sizes=cases.SIZES, unit="ids")
def gather(
    weight: NDArray[np.float32],
    offsets: NDArray[np.int64],
    ids: NDArray[np.int64],
    weights: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Rows ``offsets[s] + ids[b, s]`` of a table, times ``weights[b, s]`` if there are any.

    Args:
        weight: the table [R, D].
        offsets: first row of each slot's vocabulary [S].
        ids: codes [B, S].
        weights: [B, S], or None where every slot counts 1.

    Returns:
        [B, S, D].

    >>> gather(np.float32([[1], [2], [3]]), np.array([0, 1]), np.array([[0, 0], [0, 1]]))[..., 0].tolist()
    [[1.0, 2.0], [1.0, 3.0]]
    """
    scale = NO_WEIGHTS if weights is None else np.ascontiguousarray(weights)
    sizes = len(weight) - offsets
    out: NDArray[np.float32]
    out, _, fine = kernels.gather(weight, np.ascontiguousarray(ids), offsets, sizes, scale, n_threads())
    if not fine:
        raise ValueError(f"ids names a row outside the table, which has {len(weight)}")
    return out


class _Lookup(torch.autograd.Function):
    """The compiled gather with a sparse gradient that is not coalesced: one entry for each position of the batch."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, ids: Tensor, weights: Tensor | None, offsets: Tensor, sizes: Tensor
    ) -> Tensor:
        scale = NO_WEIGHTS if weights is None else weights.detach().contiguous().numpy()
        table, codes = weight.detach().numpy(), ids.contiguous().numpy()
        out, rows, fine = kernels.gather(table, codes, offsets.numpy(), sizes.numpy(), scale, n_threads())
        if not fine:
            raise OutOfRange
        ctx.shape = weight.shape
        ctx.save_for_backward(torch.from_numpy(rows), weights, weight if ctx.needs_input_grad[2] else None)
        return torch.from_numpy(out)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weights, weight = ctx.saved_tensors
        of_weight = of_weights = None
        if ctx.needs_input_grad[2]:
            of_weights = (grad * weight[rows].view_as(grad)).sum(-1)
        if ctx.needs_input_grad[0]:
            values = grad if weights is None else grad * weights.unsqueeze(-1)
            values = values.reshape(-1, ctx.shape[1]).contiguous()
            of_weight = torch.sparse_coo_tensor(rows.unsqueeze(0), values, ctx.shape, check_invariants=False)
        return of_weight, None, of_weights, None, None


class OutOfRange(Exception):
    """The gather met an id that its vocabulary does not have; the table says which."""


class EmbeddingTable(nn.Module):
    """The vectors of all vocabularies in one table, read by one gather, with a sparse gradient.

    Args:
        layout: says which rows belong to which slot.
        dim: length of a vector, D.
        std: standard deviation of the normal numbers that the table starts with.
        seed: draws them.

    Raises:
        TypeError: ids that are not int64, weights that are not of the table's type.
        ValueError: a negative std, a dim below 1, no categorical field; in ``forward`` another shape than the layout
            has, or an id outside its vocabulary.

    >>> from rectutor.features import Layout
    >>> table = EmbeddingTable(Layout.of([10, 20]), dim=4)
    >>> table.weight.shape, table(torch.tensor([[3, 19]])).shape
    (torch.Size([30, 4]), torch.Size([1, 2, 4]))
    >>> table(torch.tensor([[3, 20]]))
    Traceback (most recent call last):
        ...
    ValueError: ids[0, 1] is 20; slot 1 ('f1') has the codes 0 to 19
    """

    offsets: Tensor
    sizes: Tensor

    def __init__(self, layout: Layout, dim: int, *, std: float = 0.01, seed: int | np.random.Generator = 0) -> None:
        super().__init__()
        if not isinstance(dim, int | np.integer) or dim < 1:
            raise ValueError(f"dim is {dim!r}; it must be a whole number of at least 1")
        if not 0 <= std < np.inf:
            raise ValueError(f"std is {std}; it must be a number of at least 0")
        if layout.rows == 0:
            raise ValueError("layout has no categorical field, so that there is nothing to look up")
        self.layout, self.dim = layout, int(dim)
        weight = torch.empty(layout.rows, self.dim)  # PyTorch's memory starts at a cache line, NumPy's does not
        np.random.default_rng(seed).standard_normal(dtype=np.float32, out=weight.numpy())
        self.weight = nn.Parameter(weight.mul_(std))
        sizes = [layout.sizes[layout.vocabularies[f]] for f in layout.field_of_slot]
        self.register_buffer("offsets", torch.tensor(layout.offsets), persistent=False)
        self.register_buffer("sizes", torch.tensor(sizes, dtype=torch.int64), persistent=False)

    def forward(self, ids: Tensor, weights: Tensor | None = None, slots: slice | None = None) -> Tensor:
        """The vectors of codes.

        Args:
            ids: codes of all slots, or of those in ``slots``, int64 [B, S].
            weights: what each vector is multiplied by [B, S]; None for 1.
            slots: ``layout.slots("field")`` where ids has the columns of that field only.

        Returns:
            [B, S, D].
        """
        offsets, sizes = (self.offsets, self.sizes) if slots is None else (self.offsets[slots], self.sizes[slots])
        if ids.dtype != torch.int64:
            raise TypeError(f"ids is {ids.dtype}; give torch.int64")
        if ids.ndim != 2 or ids.shape[1] != len(offsets):
            raise ValueError(
                f"ids has shape {tuple(ids.shape)}; it must be [B, {len(offsets)}], a column for each slot"
            )
        if weights is not None and weights.shape != ids.shape:
            raise ValueError(f"weights has shape {tuple(weights.shape)}; ids has {tuple(ids.shape)}")
        if weights is not None and weights.dtype != self.weight.dtype:
            raise TypeError(f"weights is {weights.dtype}; the table is {self.weight.dtype}")
        if is_compiled(self.weight) and ids.device.type == "cpu":
            try:
                return _Lookup.apply(self.weight, ids, weights, offsets, sizes)  # type: ignore[no-any-return, no-untyped-call]
            except OutOfRange:
                raise self._out_of_range(ids, sizes, slots) from None
        if bool(((ids < 0) | (ids >= sizes)).any()):
            raise self._out_of_range(ids, sizes, slots)
        vectors = F.embedding(ids + offsets, self.weight, sparse=True)
        return vectors if weights is None else vectors * weights.unsqueeze(-1)

    def _out_of_range(self, ids: Tensor, sizes: Tensor, slots: slice | None) -> ValueError:
        """Name the first id that its vocabulary does not have."""
        b, s = torch.nonzero((ids < 0) | (ids >= sizes))[0].tolist()
        slot = range(len(self.sizes))[slots or slice(None)][s]
        name = self.layout.fields[self.layout.field_of_slot[slot]]
        return ValueError(
            f"ids[{b}, {s}] is {int(ids[b, s])}; slot {slot} ({name!r}) has the codes 0 to {int(sizes[s]) - 1}"
        )

    def extra_repr(self) -> str:
        """Rows and dimension, for printing."""
        return f"{self.layout.rows}, {self.dim}"
