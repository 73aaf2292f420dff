"""Sums over all pairs of features, without a loop over pairs.

Shapes: B examples, S slots (the features an example has), F fields, k factors, n features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from rectutor.fastpath import fast_path
from rectutor.retrieval.fm import cases, reference

Floats = NDArray[np.float64]
SIZES: dict[str, Any] = {"sizes": (100, 300, 1000), "unit": "features"}


def fm_crosses(e: Tensor) -> Tensor:
    """Sum of the inner products of all pairs, [B, S, k] to [B], in O(S k); Rendle (2010), lemma 3.1.

    ``e[b, i]`` is :math:`v_i x_i`.

    .. math:: \\sum_{i<j} \\langle e_i, e_j \\rangle = \\tfrac12 \\big( |\\sum_i e_i|^2 - \\sum_i |e_i|^2 \\big)

    >>> fm_crosses(torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]))  # 11 + 17 + 39
    tensor([67.])
    """
    total = e.sum(1)  # [B, k]
    return 0.5 * ((total * total).sum(1) - (e * e).sum((1, 2)))


def fwfm_crosses(e: Tensor, r: Tensor, fields: Tensor) -> Tensor:
    """Sum over pairs weighted by the pair of fields, e [B, S, k], symmetric r [F, F], fields [S] to [B].

    Summing each field first leaves the pairs of fields: O(S k + F² k).

    >>> r = torch.tensor([[1.0, 10.0], [10.0, 1.0]])
    >>> fwfm_crosses(torch.tensor([[[1.0], [2.0], [3.0]]]), r, torch.tensor([0, 0, 1]))  # 2 + 30 + 60
    tensor([92.])
    """
    per_field = _by_field(e, fields, len(r))  # [B, F, k]
    between = torch.einsum("bfk,fg,bgk->b", per_field, r, per_field)
    alone = ((e * e).sum(2) * r.diagonal()[fields]).sum(1)
    return 0.5 * (between - alone)


def ffm_crosses(e: Tensor, fields: Tensor) -> Tensor:
    """Sum over pairs of :math:`\\langle e_{i,f_j}, e_{j,f_i} \\rangle`, e [B, S, F, k], fields [S] to [B].

    Summing each field first leaves the pairs of fields: O(S F k + F² k).

    >>> e = torch.tensor([[[[1.0], [2.0]], [[3.0], [4.0]]]])  # two features, of field 0 and of field 1
    >>> ffm_crosses(e, torch.tensor([0, 1]))  # <e_{0,1}, e_{1,0}> = 2 * 3
    tensor([6.])
    """
    n_slots, n_fields = e.shape[1:3]
    per_field = _by_field(e.flatten(2), fields, n_fields).reshape(len(e), n_fields, n_fields, -1)  # [B, F, F, k]
    between = (per_field * per_field.transpose(1, 2)).sum((1, 2, 3))
    own = e[:, torch.arange(n_slots, device=e.device), fields]  # [B, S, k]: e_{i, f_i}
    return 0.5 * (between - (own * own).sum((1, 2)))


def _by_field(e: Tensor, fields: Tensor, n_fields: int) -> Tensor:
    """Sum the slots of each field, [B, S, D] to [B, F, D]."""
    if len(fields) == n_fields and bool((fields == torch.arange(n_fields, device=fields.device)).all()):
        return e
    return e.new_zeros(len(e), n_fields, e.shape[2]).index_add(1, fields, e)


@fast_path(reference.lr, cases=cases.lr, rtol=1e-12, atol=1e-12, bench=cases.lr_of_size, **SIZES)
def lr(w0: float, w: ArrayLike, x: ArrayLike) -> Any:
    """Logits of logistic regression, w [n], x [n] or [B, n] to a scalar or [B]."""
    return w0 + np.asarray(x) @ np.asarray(w)


@fast_path(reference.fm, cases=cases.fm, rtol=1e-10, atol=1e-10, bench=cases.fm_of_size, **SIZES)
def fm(w0: float, w: ArrayLike, v: ArrayLike, x: ArrayLike) -> Any:
    """Logits of an FM, w [n], v [n, k], x [n] or [B, n] to a scalar or [B], in O(k n)."""
    x, v = np.asarray(x), np.asarray(v)
    return lr(w0, w, x) + 0.5 * (((x @ v) ** 2).sum(-1) - (x**2 @ v**2).sum(-1))


@fast_path(reference.fm_gradient, cases=cases.fm, rtol=1e-10, atol=1e-12, bench=cases.fm_of_size, **SIZES)
def fm_gradient(w0: float, w: ArrayLike, v: ArrayLike, x: ArrayLike) -> tuple[float, Floats, Floats]:
    """Derivatives of an FM's logit by w0, w [n] and v [n, k], by automatic differentiation of :func:`fm_crosses`."""
    x = torch.as_tensor(np.asarray(x, dtype=np.float64))
    bias, linear, factors = (torch.tensor(np.asarray(p), dtype=torch.float64, requires_grad=True) for p in (w0, w, v))
    logit = bias + linear @ x + fm_crosses((factors * x[:, None])[None])[0]
    by_w0, by_w, by_v = torch.autograd.grad(logit, (bias, linear, factors))
    return float(by_w0), by_w.numpy(), by_v.numpy()


@fast_path(reference.ffm, cases=cases.ffm, rtol=1e-10, atol=1e-10, bench=cases.ffm_of_size, **SIZES)
def ffm(w0: float, w: ArrayLike, v: ArrayLike, x: ArrayLike, fields: ArrayLike) -> Any:
    """Logit of an FFM, w [n], v [n, F, k], x [n], fields [n], by :func:`ffm_crosses`."""
    x = np.asarray(x, dtype=np.float64)
    e = torch.as_tensor(np.asarray(v, dtype=np.float64) * x[:, None, None])
    return lr(w0, w, x) + float(ffm_crosses(e[None], torch.as_tensor(np.asarray(fields)))[0])


@fast_path(reference.fwfm, cases=cases.fwfm, rtol=1e-10, atol=1e-10, bench=cases.fwfm_of_size, **SIZES)
def fwfm(w0: float, w: ArrayLike, v: ArrayLike, r: ArrayLike, x: ArrayLike, fields: ArrayLike) -> Any:
    """Logit of an FwFM, w [n], v [n, k], r [F, F], x [n], fields [n], by :func:`fwfm_crosses`."""
    x = np.asarray(x, dtype=np.float64)
    e = torch.as_tensor(np.asarray(v, dtype=np.float64) * x[:, None])
    weights = torch.as_tensor(np.asarray(r, dtype=np.float64))
    return lr(w0, w, x) + float(fwfm_crosses(e[None], weights, torch.as_tensor(np.asarray(fields)))[0])


@fast_path(
    reference.fm_vectors, cases=cases.fm_vectors, rtol=1e-10, atol=1e-10, bench=cases.fm_vectors_of_size, **SIZES
)
def fm_vectors(w0: float, w: ArrayLike, v: ArrayLike, x: ArrayLike, of_item: ArrayLike) -> tuple[Floats, Floats]:
    """A user's and an item's vector [k + 2] whose inner product is the FM's logit, in O(k n)."""
    x, v, side = np.asarray(x), np.asarray(v), np.asarray(of_item)
    of_user, of_item = np.where(side, 0.0, x), np.where(side, x, 0.0)
    user = np.array([*(of_user @ v), fm(w0, w, v, of_user), 1.0])
    item = np.array([*(of_item @ v), 1.0, fm(0.0, w, v, of_item)])
    return user, item
