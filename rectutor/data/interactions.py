"""Who did what with which item, when: the container that every model of the book is fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Duplicates = Literal["error", "first", "last", "sum", "max"]


@dataclass(frozen=True, eq=False)
class Interactions:
    """User-item interactions with ids turned into codes 0, 1, 2, ...

    Rows are sorted by user, then item; a pair occurs once. Parts of one log (train, valid, test) share their
    vocabularies, so a code means the same user or item in each of them.

    Shapes: N rows, U users, I items.

    Attributes:
        user: codes of the users, int32 [N].
        item: codes of the items, int32 [N].
        value: ratings or strengths, finite and >= 0, float64 [N]; ones for implicit feedback.
        time: seconds since 1970, int64 [N], or None where the log has no times.
        user_ids: original id of each user code [U].
        item_ids: original id of each item code [I].

    >>> log = Interactions.from_arrays(["bob", "ann", "bob"], [30, 10, 20], [4.0, 5.0, 1.5])
    >>> log
    Interactions(3 rows, 2 users, 3 items, density 50.00%)
    >>> log.matrix().toarray().tolist()
    [[5.0, 0.0, 0.0], [0.0, 1.5, 4.0]]
    >>> log.user_codes(["bob"]).tolist()
    [1]
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    value: NDArray[np.float64]
    time: NDArray[np.int64] | None
    user_ids: pd.Index
    item_ids: pd.Index

    # -- making ------------------------------------------------------------------------------------
    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        user: str = "user",
        item: str = "item",
        value: str | None = None,
        time: str | None = None,
        duplicates: Duplicates = "error",
        like: Interactions | None = None,
    ) -> Interactions:
        """Read a frame with one row an interaction.

        Args:
            frame: the log.
            user, item: names of the id columns (any hashable values).
            value: name of the rating column; None means implicit feedback, all ones.
            time: name of the column of seconds since 1970, or of datetimes (floored to the second; naive means UTC).
            duplicates: what to do where a user meets an item twice: refuse, keep the first or last (by time where
                there is one, else by row), sum or keep the greatest value.
            like: take user and item codes from these interactions; an id they do not know is an error.

        Raises:
            ValueError: no rows, a missing column, a missing id, a NaN, infinite or negative value, a repeated pair
                under ``duplicates="error"``, an id unknown to ``like``. The message names the row.
            TypeError: ids that are floating-point numbers or a mixture, which cannot be trusted to be exact.
        """
        for column in [c for c in (user, item, value, time) if c is not None]:
            if column not in frame.columns:
                raise ValueError(f"no column {column!r}; the frame has {list(frame.columns)}")
        stamps: NDArray[np.int64] | None = None
        if time is not None:
            column_ = frame[time]
            if column_.isna().any():
                raise ValueError(
                    f"column {time!r} has no time at row {int(np.argmax(column_.isna()))}; drop or fill it"
                )
            if pd.api.types.is_datetime64_any_dtype(column_):
                if column_.dt.tz is not None:
                    column_ = column_.dt.tz_convert("UTC").dt.tz_localize(None)
                column_ = column_.dt.floor("s").astype("datetime64[s]")
            stamps = _seconds(column_.to_numpy())
        return cls.from_arrays(
            frame[user].to_numpy(),
            frame[item].to_numpy(),
            None if value is None else frame[value].to_numpy(),
            stamps,
            duplicates=duplicates,
            like=like,
        )

    @classmethod
    def from_arrays(
        cls,
        user: ArrayLike,
        item: ArrayLike,
        value: ArrayLike | None = None,
        time: ArrayLike | None = None,
        *,
        duplicates: Duplicates = "error",
        like: Interactions | None = None,
    ) -> Interactions:
        """Read columns of ids, values and seconds since 1970; see :meth:`from_frame`."""
        if duplicates not in get_args(Duplicates):
            raise ValueError(f"duplicates is {duplicates!r}; it must be one of {list(get_args(Duplicates))}")
        users, items = np.asarray(user), np.asarray(item)
        if users.ndim != 1 or items.ndim != 1:
            raise ValueError(f"user and item must be one-dimensional; their shapes are {users.shape} and {items.shape}")
        n = len(users)
        if n == 0:
            raise ValueError("the interactions are empty; a model needs at least one row")
        if len(items) != n:
            raise ValueError(f"user has {n} rows, item has {len(items)}; they must be equally long")
        values = np.ones(n) if value is None else _numbers(value)
        stamps = None if time is None else _seconds(np.asarray(time))
        for name, column in (("value", values), ("time", stamps)):
            if column is not None and len(column) != n:
                raise ValueError(f"user has {n} rows, {name} has {len(column)}; they must be equally long")
        bad = ~np.isfinite(values) | (values < 0)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"value at row {row} is {values[row]}; values must be finite and >= 0: drop the row or shift the scale"
            )
        ucode, user_ids = _codes(users, "user", None if like is None else like.user_ids)
        icode, item_ids = _codes(items, "item", None if like is None else like.item_ids)
        key = ucode.astype(np.int64) * len(item_ids) + icode
        by_time = (np.arange(n),) if stamps is None else (np.arange(n), stamps)
        order = np.lexsort((*by_time, key))
        key, ucode, icode, values = key[order], ucode[order], icode[order], values[order]
        stamps = None if stamps is None else stamps[order]
        start = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        if len(start) < n:
            if duplicates == "error":
                row = int(np.flatnonzero(np.r_[False, key[1:] == key[:-1]])[0])
                raise ValueError(
                    f"user {_plain(user_ids[ucode[row]])!r} meets item {_plain(item_ids[icode[row]])!r} more than once;"
                    ' say duplicates="first", "last", "sum" or "max"'
                )
            keep = np.r_[start[1:], n] - 1 if duplicates in ("last", "sum", "max") else start
            if duplicates == "sum":
                merged = np.add.reduceat(values, start)
            elif duplicates == "max":
                merged = np.maximum.reduceat(values, start)
            else:
                merged = values[keep]
            ucode, icode, values = ucode[keep], icode[keep], merged
            stamps = None if stamps is None else stamps[keep]
        return cls(ucode, icode, values, stamps, user_ids, item_ids)

    # -- looking -----------------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self.user)

    def __repr__(self) -> str:
        density = len(self) / (self.n_users * self.n_items)
        return (
            f"Interactions({len(self):,} rows, {self.n_users:,} users, {self.n_items:,} items, density {density:.2%})"
        )

    @property
    def n_users(self) -> int:
        """Users in the vocabulary; some may have no row in this part."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Items in the vocabulary; some may have no row in this part."""
        return len(self.item_ids)

    @cached_property
    def indptr(self) -> NDArray[np.int64]:
        """Where each user's rows start, [U + 1]: user u owns rows ``indptr[u]`` to ``indptr[u + 1] - 1``."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.user, minlength=self.n_users))]).astype(np.int64)

    def items_of(self, user: int) -> NDArray[np.int32]:
        """Codes of one user's items, ascending."""
        return self.item[self.indptr[user] : self.indptr[user + 1]]

    def matrix(self, dtype: Any = np.float32) -> sparse.csr_array:
        """The U x I matrix of values, zero where there is no interaction; column indices ascend in each row."""
        return sparse.csr_array(
            (self.value.astype(dtype), self.item, self.indptr.astype(np.int32)), shape=(self.n_users, self.n_items)
        )

    def by_user(self) -> dict[int, dict[int, float]]:
        """``{user code: {item code: value}}`` for every user of the vocabulary: the form the references read."""
        rows: dict[int, dict[int, float]] = {u: {} for u in range(self.n_users)}
        for u, i, v in zip(self.user.tolist(), self.item.tolist(), self.value.tolist(), strict=True):
            rows[u][i] = v
        return rows

    def frame(self) -> pd.DataFrame:
        """The rows with their original ids, as columns ``user, item, value`` and, where known, ``time``."""
        columns: dict[str, Any] = {
            "user": self.user_ids[self.user],
            "item": self.item_ids[self.item],
            "value": self.value,
        }
        if self.time is not None:
            columns["time"] = self.time
        return pd.DataFrame(columns)

    # -- deriving ----------------------------------------------------------------------------------
    def subset(self, rows: NDArray[Any]) -> Interactions:
        """The given rows (a mask or row numbers) under the same vocabularies; it may be empty."""
        if rows.dtype == bool:
            if rows.shape != self.user.shape:
                raise ValueError(f"rows is a mask of shape {rows.shape}; it must have the {len(self)} rows' shape")
            chosen = np.flatnonzero(rows)
        else:
            chosen = np.sort(rows)
            if len(chosen) and (chosen[0] < 0 or chosen[-1] >= len(self) or (chosen[1:] == chosen[:-1]).any()):
                raise ValueError(f"rows must be different row numbers from 0 to {len(self) - 1}")
            chosen = chosen.astype(np.int64)
        return Interactions(
            self.user[chosen],
            self.item[chosen],
            self.value[chosen],
            None if self.time is None else self.time[chosen],
            self.user_ids,
            self.item_ids,
        )

    def implicit(self, at_least: float = 0.0) -> Interactions:
        """Forget the values: ones for the rows whose value is at least ``at_least``, the other rows dropped."""
        part = self.subset(self.value >= at_least)
        return Interactions(part.user, part.item, np.ones(len(part)), part.time, part.user_ids, part.item_ids)

    def user_codes(self, ids: ArrayLike) -> NDArray[np.int32]:
        """Codes of original user ids; an unknown id is a ValueError that names it."""
        return _codes(np.asarray(ids), "user", self.user_ids)[0]

    def item_codes(self, ids: ArrayLike) -> NDArray[np.int32]:
        """Codes of original item ids; an unknown id is a ValueError that names it."""
        return _codes(np.asarray(ids), "item", self.item_ids)[0]


def _codes(ids: NDArray[Any], name: str, vocabulary: pd.Index | None) -> tuple[NDArray[np.int32], pd.Index]:
    missing = pd.isna(ids)
    if missing.any():
        raise ValueError(f"{name} at row {int(np.argmax(missing))} is missing; drop the row or give it an id")
    if ids.dtype.kind in "fc" or (
        ids.dtype == object and pd.api.types.infer_dtype(ids).startswith(("float", "mixed-"))
    ):
        raise TypeError(
            f"{name} ids are floating-point or mixed with numbers, which cannot hold every id exactly; read them as"
            " integers or as text"
        )
    if vocabulary is None:
        codes, unique = pd.factorize(ids, sort=True)
        return codes.astype(np.int32), pd.Index(unique)
    codes = vocabulary.get_indexer(pd.Index(ids))
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        raise ValueError(
            f"unknown {name} {_plain(ids[row])!r} (row {row}): it is not among the {len(vocabulary):,} known ids"
        )
    return codes.astype(np.int32), vocabulary


def _numbers(value: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"value holds something that is no number ({error}); convert the column first") from error


def _seconds(time: NDArray[Any]) -> NDArray[np.int64]:
    """Whole seconds as integers; a fraction is refused rather than cut off."""
    if time.dtype.kind in "iu":
        return time.astype(np.int64)
    try:
        numbers = time.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"time holds something that is no number of seconds ({error}); convert the column") from error
    bad = ~np.isfinite(numbers) | (numbers != np.floor(numbers))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"time at row {row} is {time[row]}; times are whole seconds since 1970: round or floor them")
    return numbers.astype(np.int64)


def _plain(value: Any) -> Any:
    """A NumPy number as Python's own, which prints without its type."""
    return value.item() if isinstance(value, np.generic) else value
