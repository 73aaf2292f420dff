"""Blocks that deep models share.

Shapes: B batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU between them: h_{l+1} = max(0, W_l h_l + b_l), the last one without if ``out`` is given.

    Args:
        inputs: width of the input.
        hidden: widths of the hidden layers.
        out: width of the output, a last layer without ReLU; None to end at the last hidden layer.
        dropout: share of each hidden layer's units that are zero in training (Srivastava et al., 2014).

    Raises:
        ValueError: a width below 1, a dropout outside [0, 1), no layer at all.

    >>> MLP(8, [4, 2], out=1)
    MLP(
      (layers): Sequential(
        (0): Linear(in_features=8, out_features=4, bias=True)
        (1): ReLU()
        (2): Linear(in_features=4, out_features=2, bias=True)
        (3): ReLU()
        (4): Linear(in_features=2, out_features=1, bias=True)
      )
    )
    """

    def __init__(self, inputs: int, hidden: Sequence[int], out: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        widths = [inputs, *hidden] + ([] if out is None else [out])
        if min(widths) < 1 or len(widths) < 2:
            raise ValueError(f"the widths are {widths}; give at least an input and a layer, all at least 1")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; it must be at least 0 and below 1")
        layers: list[nn.Module] = []
        for i, (width, following) in enumerate(pairwise(widths)):
            layers.append(nn.Linear(width, following))
            if i < len(hidden):
                layers.append(nn.ReLU())
                if dropout:
                    layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers)

    def forward(self, *parts: Tensor) -> Tensor:
        """[B, inputs] to [B, out], or [B, hidden[-1]].

        The input may come in parts, [B, n_1], [B, n_2], ... with ``inputs`` columns in all, which then need not be
        copied beside each other: the first layer is the sum of its products with the parts.
        """
        first, *others = self.layers.children()
        assert isinstance(first, nn.Linear)
        widths = [part.shape[-1] for part in parts]
        if sum(widths) != first.in_features:
            raise ValueError(f"the input has {' + '.join(map(str, widths))} columns; it must have {first.in_features}")
        x: Tensor = first.bias
        for part, weight in zip(parts, torch.split(first.weight, widths, dim=1)):
            x = torch.addmm(x, part, weight.T)
        for layer in others:
            x = layer(x)
        return x
