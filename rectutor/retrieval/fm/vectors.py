"""Retrieval and inspection with a fitted FM.

Shapes: U users (or requests), I items, k factors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from rectutor.features import Encoded, Encoder
from rectutor.retrieval.fm.crosses import fm_crosses
from rectutor.retrieval.fm.models import FFM, FM, FwFM

Floats = NDArray[np.float64]


def fm_user_item_vectors(
    model: FM, users: Encoded, items: Encoded, *, item_fields: Sequence[str]
) -> tuple[Floats, Floats]:
    """Vectors [U, k + 2] and [I, k + 2] whose inner products are the FM's logits, for a search by inner product.

    A logit parts into what the user's side says alone, what the item's side says alone, and one inner product of sums;
    two more coordinates carry the parts that stand alone, so that the nearest items are exactly the FM's best. The
    fields and dense columns that ``item_fields`` does not name (the user's and the context's) are the user's side.

    Args:
        model: a fitted FM.
        users: one row a user or request, encoded for the model; what it says of items is not looked at.
        items: one row an item; what it says of users is not looked at.
        item_fields: fields and dense columns of the item's side.

    Raises:
        ValueError: a name that the model does not have, or that leaves one of the sides empty.
    """
    layout = model.layout
    names = (*layout.fields, *layout.dense)
    strange = [name for name in item_fields if name not in names]
    if strange:
        raise ValueError(f"item_fields: the model has no {strange[0]!r}; it has {', '.join(names)}")
    if not 0 < len(set(item_fields)) < len(names):
        raise ValueError("item_fields names no field or every field; name those of the item's side only")
    of_item = np.isin(layout.fields, item_fields)[layout.field_of_slot]
    dense_of_item = np.isin(layout.dense, item_fields)
    user, alone = _side(model, users, ~of_item, ~dense_of_item)
    item, item_alone = _side(model, items, of_item, dense_of_item)
    alone = alone + model.bias.item()
    ones = np.ones(len(user)), np.ones(len(item))
    return np.column_stack([user, alone, ones[0]]), np.column_stack([item, ones[1], item_alone])


def _side(model: FM, data: Encoded, slots: NDArray[np.bool_], dense: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Sum of the vectors [N, k] and what the side says alone [N], in float64."""
    if data.layout != model.layout:
        raise ValueError("users and items must be encoded by the encoder whose layout the model was made for")
    with torch.no_grad():
        weights = torch.as_tensor(np.ascontiguousarray(np.broadcast_to(slots, data.ids.shape)), dtype=torch.float32)
        if data.weights is not None:
            weights = weights * torch.as_tensor(data.weights)
        row = model.table(torch.as_tensor(data.ids), weights).double()  # [N, S, k + 1]
        v, w = row[..., :-1], row[..., -1]
        columns = torch.as_tensor(data.dense).double() @ (model.dense.double() * torch.as_tensor(dense))
        return v.sum(1).numpy(), (columns + w.sum(1) + fm_crosses(v)).numpy()


def cross_terms(model: FM | FwFM | FFM, encoder: Encoder, one: str, other: str) -> pd.DataFrame:
    """What the model adds for each pair of values of two fields: the cross term of x_i = x_j = 1, in logits.

    Args:
        model: a fitted model of the family that has crosses.
        encoder: names the values.
        one, other: two fields of the schema.

    Returns:
        A frame with the values of ``one`` as rows and those of ``other`` as columns; missing and unknown come first.

    Raises:
        ValueError: a field that the model does not have.
    """
    layout = model.layout
    for name in (one, other):
        if name not in layout.fields:
            raise ValueError(f"the model has no field {name!r}; it has {', '.join(layout.fields)}")
    f, g = layout.fields.index(one), layout.fields.index(other)
    with torch.no_grad():
        a, b = (model.table.weight[layout.rows_of(name), :-1] for name in (one, other))  # [n, k] or [n, F k]
        if isinstance(model, FFM):
            a, b = (t.reshape(len(t), -1, model.k)[:, h] for t, h in ((a, g), (b, f)))
        terms: Tensor = a @ b.T
        if isinstance(model, FwFM):
            terms = terms * model.field_weights()[f, g]
    rows, columns = (pd.Index(encoder.values(name)[1:], name=name) for name in (one, other))
    return pd.DataFrame(terms.numpy()[1:, 1:], index=rows, columns=columns)  # code 0 is padding
