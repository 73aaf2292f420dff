"""Reading the arguments of the metrics: shapes, types and ranges are checked here, once, with errors that say the row.

Shapes: N rows, U users, k list length, I items.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectutor.data.interactions import Interactions

T = TypeVar("T", bound=np.generic)


class Truth(NamedTuple):
    """What each user truly likes, as the three arrays of a CSR matrix [U, I]."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[Any]
    n_items: int


def locked(array: NDArray[T]) -> NDArray[T]:
    """The same memory, read-only.

    To the compiler a read-only array is a type of its own, and pandas hands out both kinds: making all inputs read-only
    keeps the kernels to one variant each.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def column(x: ArrayLike, name: str) -> NDArray[Any]:
    """A one-dimensional array of numbers with at least one row."""
    array = np.asarray(x)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; give one number a row")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} holds {array.dtype}; give numbers")
    if len(array) == 0:
        raise ValueError(f"{name} is empty; a metric needs at least one row")
    return array


def same_length(**columns: NDArray[Any]) -> None:
    """Refuse columns that are not equally long."""
    (first, a), *others = columns.items()
    for name, b in others:
        if len(a) != len(b):
            raise ValueError(f"{first} has {len(a)} rows, {name} has {len(b)}; they must be equally long")


def as_float64(x: ArrayLike, name: str) -> NDArray[np.float64]:
    """A column as float64, refused where that would change a value; NaN is left for the caller to judge."""
    array = column(x, name)
    if array.dtype.kind == "f":
        if array.dtype.itemsize > 8:
            raise TypeError(f"{name} holds {array.dtype}, more than float64 can; convert it to float64 yourself")
    elif array.dtype.kind in "iu" and array.dtype.itemsize > 4:
        large = np.flatnonzero((array > 2**53) | (array < -(2**53)))
        if len(large):
            raise ValueError(
                f"{name} at row {large[0]} is {array[large[0]]}, an integer that float64 cannot hold exactly;"
                " rank the values first"
            )
    return locked(np.ascontiguousarray(array, dtype=np.float64))


def finite(x: ArrayLike, name: str) -> NDArray[np.float64]:
    """A column of finite numbers as float64."""
    array = as_float64(x, name)
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise ValueError(f"{name} at row {bad[0]} is {array[bad[0]]}; drop the row or repair the model")
    return array


def as_labels(x: ArrayLike, name: str = "labels") -> NDArray[np.uint8]:
    """A column of labels 0 and 1 as uint8."""
    array = column(x, name)
    if array.dtype.itemsize == 1 and array.dtype.kind in "biu":
        labels = np.ascontiguousarray(array).view(np.uint8)
        good = labels.max() <= 1
    else:
        labels = (array == 1).astype(np.uint8)
        good = np.count_nonzero(array) == np.count_nonzero(labels)
    if not good:
        row = int(np.argmax((array != 0) & (array != 1)))
        raise ValueError(f"{name} at row {row} is {array[row]}; labels must be 0 or 1")
    return locked(labels)


def as_probabilities(x: ArrayLike, name: str = "p") -> NDArray[np.float64]:
    """A column of probabilities, all within [0, 1]."""
    array = as_float64(x, name)
    if not (array.min() >= 0 and array.max() <= 1):  # NaN fails both
        raise bad_probability(array, name)
    return array


def bad_probability(p: NDArray[np.float64], name: str = "p") -> ValueError:
    """The error that names the first row outside [0, 1]."""
    row = int(np.argmax(~((p >= 0) & (p <= 1))))
    return ValueError(f"{name} at row {row} is {p[row]}; probabilities lie in [0, 1]: apply the sigmoid to logits")


def as_weights(x: ArrayLike, rows: int, name: str = "weights") -> NDArray[np.float64]:
    """A column of ``rows`` finite weights >= 0, not all zero."""
    array = finite(x, name)
    if len(array) != rows:
        raise ValueError(f"{name} has {len(array)} entries for {rows} rows; give one weight a row")
    if (array < 0).any():
        row = int(np.argmax(array < 0))
        raise ValueError(f"{name} at row {row} is {array[row]}; weights must be >= 0")
    if not array.any():
        raise ValueError(f"{name} are all 0; at least one row must count")
    return array


def whole(value: int, name: str, least: int = 1) -> int:
    """An integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {value!r}; give an integer")
    if value < least:
        raise ValueError(f"{name} is {value}; it must be at least {least}")
    return int(value)


def as_lists(recommended: ArrayLike, n_items: int | None = None) -> NDArray[np.int32]:
    """Recommendation lists [U, k] of item codes, -1 for padding; with ``n_items`` the codes are checked against it."""
    lists = np.asarray(recommended)
    if lists.ndim != 2 or 0 in lists.shape:
        raise ValueError(f"recommended has shape {lists.shape}; give one row of k item codes a user, padded with -1")
    if lists.dtype.kind not in "iu":
        raise TypeError(f"recommended holds {lists.dtype}; give integer item codes (ids never pass through floats)")
    if lists.dtype != np.int32:
        top = np.iinfo(np.int32).max
        if lists.min() < -1 or lists.max() > top:
            raise bad_code(lists, top if n_items is None else n_items)
        lists = lists.astype(np.int32)
    if n_items is not None and (lists.min() < -1 or lists.max() >= n_items):
        raise bad_code(lists, n_items)
    return locked(np.ascontiguousarray(lists))


def bad_code(lists: NDArray[Any], n_items: int) -> ValueError:
    """The error that names the first code outside [-1, n_items)."""
    user, rank = np.argwhere((lists < -1) | (lists >= n_items))[0]
    return ValueError(
        f"recommended item {lists[user, rank]} of user {user} at rank {rank + 1} is not a code of the {n_items} items;"
        " codes run from 0, and -1 pads a short list"
    )


def no_repeats(lists: NDArray[np.int32]) -> None:
    """Refuse a list that holds an item twice."""
    ordered = np.sort(lists, axis=1)  # [U, k]
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if twice.any():
        user, at = np.argwhere(twice)[0]
        raise repeated(int(user), int(ordered[user, at]))


def repeated(user: int, item: int) -> ValueError:
    """The error for an item that stands twice in one list."""
    return ValueError(f"the list of user {user} recommends item {item} twice; a list holds an item once")


def as_truth(truth: Any, n_users: int) -> Truth:
    """The truth from a CSR array [U, I] or interactions."""
    if isinstance(truth, Interactions):
        found = Truth(locked(truth.indptr), locked(truth.item), truth.value, truth.n_items)
    elif hasattr(truth, "tocsr"):
        csr = truth.tocsr()
        found = Truth(
            locked(csr.indptr.astype(np.int64, copy=False)),
            locked(csr.indices.astype(np.int32, copy=False)),
            csr.data,
            int(csr.shape[1]),
        )
    else:
        raise TypeError(f"truth is a {type(truth).__name__}; give a sparse array [users, items] or Interactions")
    if len(found.indptr) != n_users + 1:
        raise ValueError(
            f"recommended has {n_users} users, truth has {len(found.indptr) - 1}; row u of both must be the same user"
        )
    return found
