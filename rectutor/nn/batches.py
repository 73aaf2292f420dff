"""Batches of encoded examples: tensors cut from the arrays, with no Python per row.

The arrays become tensors once, without a copy. In order, a batch is a view of them; shuffled, it is a gather from each.
Ids stay int64 all the way: a float32 holds integers only up to 2^24, and beyond that two users would become one.

Shapes: N examples, B batch, S slots, M dense columns, T tasks.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rectutor.features import Encoded


@dataclass(frozen=True, eq=False)
class Batch:
    """B examples as tensors: what ``forward`` of every model takes.

    Attributes:
        ids: codes within the vocabulary of the slot, int64 [B, S].
        dense: float32 [B, M].
        weights: the :math:`x_i` of each slot, float32 [B, S], 0 at padding; None where every slot counts 1.
        label: float32 [B] or [B, T]; None where there is none.

    >>> batch = Batch(torch.tensor([[3, 4], [5, 0]]), torch.zeros(2, 0))
    >>> len(batch), batch.to("cpu").ids.dtype
    (2, torch.int64)
    """

    ids: Tensor
    dense: Tensor
    weights: Tensor | None = None
    label: Tensor | None = None

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.ids)

    def to(self, device: torch.device | str) -> Batch:
        """The same examples on another device; what is there already is not copied."""
        return Batch(*(None if x is None else x.to(device) for x in self._tensors()))  # type: ignore[arg-type]

    def _tensors(self) -> tuple[Tensor | None, ...]:
        return self.ids, self.dense, self.weights, self.label


def batches(
    data: Encoded, size: int, *, seed: int | np.random.Generator | None = None, drop_last: bool = False
) -> Iterator[Batch]:
    """Cut examples into batches of ``size`` rows, each example once.

    A batch in order shares its memory with ``data``: do not write into it.

    Args:
        data: N examples.
        size: B, at least 1; the last batch has what remains.
        seed: draws the order of the examples; None leaves it as it is.
        drop_last: leave out a last batch of fewer than ``size`` rows.

    Raises:
        ValueError: no examples, a size below 1, or a size above N with ``drop_last``, which would leave nothing.
        TypeError: a size that is not an integer.

    >>> from rectutor.features import Layout
    >>> data = Encoded(Layout.of([9]), np.arange(5)[:, None])
    >>> [batch.ids[:, 0].tolist() for batch in batches(data, 2)]
    [[0, 1], [2, 3], [4]]
    >>> sorted(i for batch in batches(data, 2, seed=0) for i in batch.ids[:, 0].tolist())
    [0, 1, 2, 3, 4]
    """
    check_count("size", size)
    if len(data) == 0:
        raise ValueError("data is empty; there is no batch to cut")
    if drop_last and size > len(data):
        raise ValueError(f"size is {size} for {len(data)} examples, and drop_last leaves none; choose a lower size")
    order = None if seed is None else torch.from_numpy(np.random.default_rng(seed).permutation(len(data)))  # [N]
    whole = Batch(_tensor(data.ids), _tensor(data.dense), _optional(data.weights), _optional(data.label))
    ends = range(size, len(data) + 1, size) if drop_last else range(size, len(data) + size, size)
    return (_rows(whole, slice(end - size, end), order) for end in ends)


def check_count(name: str, value: int) -> None:
    """Refuse what is not an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {value!r}; give an integer")
    if value < 1:
        raise ValueError(f"{name} is {value}; it must be at least 1")


def _rows(whole: Batch, rows: slice, order: Tensor | None) -> Batch:
    """The rows of a slice, of the order if there is one."""
    if order is None:
        return Batch(*(None if x is None else x[rows] for x in whole._tensors()))  # type: ignore[arg-type]
    index = order[rows]
    return Batch(*(None if x is None else x.index_select(0, index) for x in whole._tensors()))  # type: ignore[arg-type]


def _tensor(array: NDArray[Any]) -> Tensor:
    """The memory of an array as a tensor; only a reversed or otherwise strided array is copied."""
    with warnings.catch_warnings():  # torch warns of arrays that may not be written to; batches are only read
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array))


def _optional(array: NDArray[Any] | None) -> Tensor | None:
    return None if array is None else _tensor(array)
