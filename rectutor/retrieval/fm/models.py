"""The family as PyTorch modules on one fused embedding table: LR, FM, FwFM, FFM.

Each takes a :class:`~rectutor.features.Layout` (what the features are) and a :class:`~rectutor.nn.Batch`, and returns
logits. :func:`rectutor.nn.fit` trains them; :func:`~rectutor.retrieval.fm.adagrad` trains LR, FM and FFM example by
example in compiled loops. Dense columns enter linearly; a number that should enter crosses is
:class:`~rectutor.features.Bucketed` first.

Shapes: B batch, S slots, F fields, M dense columns, k factors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rectutor.features import Layout
from rectutor.nn import Batch, EmbeddingTable
from rectutor.retrieval.fm.crosses import ffm_crosses, fm_crosses, fwfm_crosses


class LR(nn.Module):
    """Logistic regression: a row of the table is the weight of a feature, w_i.

    Args:
        layout: the features.
        seed: draws the first weights.

    >>> from rectutor.features import Layout
    >>> sum(p.numel() for p in LR(Layout.of([5, 7], dense=2)).parameters())  # 12 weights, 2 dense ones, the bias
    15
    """

    def __init__(self, layout: Layout, *, seed: int = 0) -> None:
        super().__init__()
        self.layout = layout
        self.table = _table(layout, 0, seed)
        self.dense = nn.Parameter(torch.zeros(len(layout.dense)))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        w: Tensor = self.table(batch.ids, batch.weights)  # [B, S, 1]
        return self.bias + batch.dense @ self.dense + w.sum((1, 2))


class FM(nn.Module):
    """Factorization machine (Rendle, 2010): a row of the table is [v_i, w_i].

    Args:
        layout: the features.
        k: length of the vectors v_i.
        seed: draws the first vectors, N(0, 0.01); the weights start at zero.
    """

    def __init__(self, layout: Layout, k: int = 8, *, seed: int = 0) -> None:
        super().__init__()
        self.layout, self.k = layout, k
        self.table = _table(layout, k, seed)
        self.dense = nn.Parameter(torch.zeros(len(layout.dense)))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        row: Tensor = self.table(batch.ids, batch.weights)  # [B, S, k + 1]
        v, w = row[..., :-1], row[..., -1]
        return self.bias + batch.dense @ self.dense + w.sum(1) + fm_crosses(v)


class FwFM(nn.Module):
    """Field-weighted FM (Pan et al., 2018): an FM whose crosses are weighted by the pair of fields, r_{fg} = r_{gf}.

    Args:
        layout: the features.
        k: length of the vectors v_i.
        seed: draws the first vectors; every r starts at 1, where the model is the FM of the same seed.
    """

    fields: Tensor

    def __init__(self, layout: Layout, k: int = 8, *, seed: int = 0) -> None:
        super().__init__()
        self.layout, self.k = layout, k
        self.table = _table(layout, k, seed)
        self.r = nn.Parameter(torch.ones(len(layout.fields), len(layout.fields)))
        self.dense = nn.Parameter(torch.zeros(len(layout.dense)))
        self.bias = nn.Parameter(torch.zeros(()))
        self.register_buffer("fields", torch.tensor(layout.field_of_slot), persistent=False)

    def field_weights(self) -> Tensor:
        """The symmetric r [F, F]."""
        return 0.5 * (self.r + self.r.T)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        row: Tensor = self.table(batch.ids, batch.weights)  # [B, S, k + 1]
        v, w = row[..., :-1], row[..., -1]
        crosses = fwfm_crosses(v, self.field_weights(), self.fields)
        return self.bias + batch.dense @ self.dense + w.sum(1) + crosses


class FFM(nn.Module):
    """Field-aware FM (Juan et al., 2016): a row of the table is [v_{i,1}, ..., v_{i,F}, w_i].

    Args:
        layout: the features.
        k: length of the vectors v_{i,f}; a feature has F of them.
        normalize: scale the values of each example to length 1, as LIBFFM does.
        seed: draws the first vectors.
    """

    fields: Tensor

    def __init__(self, layout: Layout, k: int = 4, *, normalize: bool = False, seed: int = 0) -> None:
        super().__init__()
        self.layout, self.k, self.normalize = layout, k, normalize
        self.table = _table(layout, k * len(layout.fields), seed)
        self.dense = nn.Parameter(torch.zeros(len(layout.dense)))
        self.bias = nn.Parameter(torch.zeros(()))
        self.register_buffer("fields", torch.tensor(layout.field_of_slot), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        x = batch.weights
        if self.normalize:
            x = torch.ones(batch.ids.shape, device=batch.ids.device) if x is None else x
            x = x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)  # an example without features stays one
        row: Tensor = self.table(batch.ids, x)  # [B, S, F k + 1]
        v, w = row[..., :-1].reshape(*row.shape[:2], -1, self.k), row[..., -1]  # [B, S, F, k], [B, S]
        return self.bias + batch.dense @ self.dense + w.sum(1) + ffm_crosses(v, self.fields)


def _table(layout: Layout, dim: int, seed: int) -> EmbeddingTable:
    """A table of vectors [dim] and weights [1], the weights zero."""
    table = EmbeddingTable(layout, dim + 1, std=0.01, seed=seed)
    with torch.no_grad():
        table.weight[:, -1] = 0.0
    return table
