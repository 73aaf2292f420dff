"""Cutting one log into training, validation and test parts, and checking that nothing leaks between them.

Every part shares the vocabularies of the log it was cut from, so a code means the same user or item in all of them.
Nothing is dropped on the way: rows of users or items that training has never seen stay in the test part until
:func:`only_known` is asked to take them out, and it says how many it took.

Shapes: N rows, U users, I items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rectutor.data.interactions import Interactions

Order = Literal["global", "user", "none"]


@dataclass(frozen=True)
class Split:
    """Three parts of one log; ``valid`` is empty where none was asked for."""

    train: Interactions
    valid: Interactions
    test: Interactions

    def __iter__(self) -> Iterator[Interactions]:
        return iter((self.train, self.valid, self.test))


@dataclass(frozen=True)
class Dropped:
    """What :func:`only_known` took out of a part.

    Attributes:
        rows: rows taken out.
        of_new_users: how many of them belong to a user without a training row.
        of_new_items: how many of them belong to an item without a training row (a row can count in both).
    """

    rows: int
    of_new_users: int
    of_new_items: int

    def __str__(self) -> str:
        return f"dropped rows: {self.rows} ({self.of_new_users} of new users, {self.of_new_items} of new items)"


def time_split(interactions: Interactions, *, test: float = 0.1, valid: float = 0.1) -> Split:
    r"""Cut the log at two moments: train before the first, validation between them, test from the second on.

    The recipe that repeats what a live system faces: at the moment of the cut nothing later is known about any user.
    With the rows' times in ascending order :math:`t_{(0)} \le \dots \le t_{(N-1)}` and shares :math:`v` and :math:`s`,

    .. math::
        c_\text{test} = t_{(N - \operatorname{round}(sN))}, \qquad
        c_\text{valid} = t_{(N - \operatorname{round}(sN) - \operatorname{round}(vN))},

    and a row at time :math:`t` is a test row if :math:`t \ge c_\text{test}`, else a validation row if
    :math:`t \ge c_\text{valid}`. All rows at the very moment of a cut so go to the later side; with many ties the later
    part is larger than its share, never smaller.

    Args:
        interactions: a log with times.
        test, valid: shares of the rows, each in [0, 1); together below 1. Zero leaves that part empty.

    Raises:
        ValueError: no times, a share out of range, or a part that comes out empty though it was asked for.

    >>> log = Interactions.from_arrays([0, 0, 1, 1, 2], [0, 1, 0, 1, 2], time=[10, 50, 20, 40, 30])
    >>> [part.time.tolist() for part in time_split(log, test=0.2, valid=0.2)]
    [[10, 20, 30], [40], [50]]
    """
    _check_shares(test, valid)
    time = _times(interactions, "time_split")
    n = len(interactions)
    ordered = np.sort(time)
    n_test, n_valid = round(test * n), round(valid * n)
    _check_sizes(n, n_test, n_valid, test, valid)
    in_test = time >= ordered[n - n_test] if n_test else np.zeros(n, dtype=bool)
    in_valid = ~in_test & (time >= ordered[n - n_test - n_valid]) if n_valid else np.zeros(n, dtype=bool)
    split = _cut(interactions, in_valid, in_test)
    for name, part, share in (("train", split.train, 1.0), ("valid", split.valid, valid)):
        if share > 0 and len(part) == 0:
            raise ValueError(
                f"the {name} part is empty: too many of the {n} rows share the time of the cut, and they all go to the"
                " later part; choose other shares or use finer times"
            )
    return split


def user_time_split(interactions: Interactions, *, test: float = 0.1, valid: float = 0.1) -> Split:
    """Cut each user's history at two moments: the first rows train, the next validate, the last test.

    For logs in which users come and go, as MovieLens, where a cut at one moment leaves hardly a user on both sides. A
    user with n rows gives ``round(test * n)`` rows to test and ``round(valid * n)`` to validation, halves rounded to
    even; rows at the same time are ordered by item code. Times are compared within a user only: one user's test row may
    be older than another's training row, so the parts pass ``check_no_leak(..., order="user")`` and a model may learn
    from other users' future. :func:`time_split` has no such leak.

    Raises:
        ValueError: no times, a share out of range, or a part that comes out empty though it was asked for.

    >>> log = Interactions.from_arrays([0] * 10, range(10), time=range(10))
    >>> [part.item.tolist() for part in user_time_split(log, test=0.2, valid=0.1)]
    [[0, 1, 2, 3, 4, 5, 6], [7], [8, 9]]
    """
    _check_shares(test, valid)
    time = _times(interactions, "user_time_split")
    order = np.lexsort((interactions.item, time, interactions.user))  # [N] by user, then time, then item
    sizes = np.diff(interactions.indptr)  # [U]
    from_end = np.empty(len(interactions), dtype=np.int64)  # [N] how many rows of the user come later
    from_end[order] = (interactions.indptr[1:] - 1)[interactions.user[order]] - np.arange(len(interactions))
    n_test, n_valid = np.rint(test * sizes), np.rint(valid * sizes)  # [U]
    in_test = from_end < n_test[interactions.user]
    in_valid = ~in_test & (from_end < (n_test + n_valid)[interactions.user])
    _check_sizes(len(interactions), int(in_test.sum()), int(in_valid.sum()), test, valid)
    return _cut(interactions, in_valid, in_test)


def leave_one_out(interactions: Interactions, *, valid: bool = True) -> Split:
    """Hold out each user's last row as test and, with ``valid``, the one before it as validation.

    The protocol of He et al., "Neural collaborative filtering" (WWW 2017). Two rows of a user at the same time are
    ordered by item code: the higher code counts as later, so that the result never depends on the order in a file.
    A user needs one row more than are held out (3 with ``valid``, 2 without); who has fewer stays in train only.
    Times are compared within a user, so one user's test row may be older than another's training row: the parts pass
    ``check_no_leak(..., order="user")`` and in general not ``order="global"``.

    Raises:
        ValueError: no times, or no user with enough rows.

    >>> log = Interactions.from_arrays([0, 0, 0, 1], [5, 6, 7, 5], time=[3, 1, 2, 9])
    >>> [list(zip(part.frame().user, part.frame().item)) for part in leave_one_out(log)]
    [[(0, 6), (1, 5)], [(0, 7)], [(0, 5)]]
    """
    time = _times(interactions, "leave_one_out")
    held = 2 if valid else 1
    order = np.lexsort((interactions.item, time, interactions.user))  # [N] by user, then time, then item
    sizes = np.diff(interactions.indptr)  # [U]
    enough = sizes > held
    if not enough.any():
        raise ValueError(
            f"no user has the {held + 1} rows that leave_one_out(valid={valid}) needs; the longest history has"
            f" {int(sizes.max())}"
        )
    last = interactions.indptr[1:][enough] - 1
    in_test, in_valid = np.zeros((2, len(interactions)), dtype=bool)
    in_test[order[last]] = True
    if valid:
        in_valid[order[last - 1]] = True
    return _cut(interactions, in_valid, in_test)


def random_split(
    interactions: Interactions, *, test: float = 0.1, valid: float = 0.1, seed: int | np.random.Generator
) -> Split:
    """Deal the rows out at random, ``round(share * N)`` to each part.

    Fit for rating prediction, where papers use it; for ranking it lets a model learn from the future of the rows it is
    tested on, so prefer :func:`time_split`.

    >>> log = Interactions.from_arrays([0, 0, 1, 1, 2], [0, 1, 0, 1, 2])
    >>> [len(part) for part in random_split(log, test=0.2, valid=0.2, seed=0)]
    [3, 1, 1]
    """
    _check_shares(test, valid)
    n = len(interactions)
    n_test, n_valid = round(test * n), round(valid * n)
    _check_sizes(n, n_test, n_valid, test, valid)
    order = np.random.default_rng(seed).permutation(n)
    in_test, in_valid = np.zeros((2, n), dtype=bool)
    in_test[order[:n_test]] = True
    in_valid[order[n_test : n_test + n_valid]] = True
    return _cut(interactions, in_valid, in_test)


def only_known(part: Interactions, train: Interactions) -> tuple[Interactions, Dropped]:
    """Take out the rows of users or items that have no training row, and say how many these were.

    A collaborative model has nothing to say about them, so tables often leave them out; a table that does so has to
    state the count.

    Raises:
        ValueError: the parts do not share their vocabularies, or no row is left.

    >>> log = Interactions.from_arrays([0, 0, 1, 1], [0, 1, 0, 2], time=[1, 2, 3, 4])
    >>> split = time_split(log, test=0.5, valid=0)
    >>> only_known(split.test, split.train)
    Traceback (most recent call last):
    ...
    ValueError: no row is left, dropped rows: 2 (2 of new users, 1 of new items); train on a longer period
    """
    _check_same_ids(part, train)
    user_seen = np.bincount(train.user, minlength=train.n_users) > 0  # [U]
    item_seen = np.bincount(train.item, minlength=train.n_items) > 0  # [I]
    new_user, new_item = ~user_seen[part.user], ~item_seen[part.item]
    keep = ~(new_user | new_item)
    dropped = Dropped(int((~keep).sum()), int(new_user.sum()), int(new_item.sum()))
    if not keep.any():
        raise ValueError(f"no row is left, {dropped}; train on a longer period")
    return part.subset(keep), dropped


def check_no_leak(train: Interactions, test: Interactions, *, order: Order = "global") -> None:
    """Raise if the test part tells anything that training already holds, or lies in training's past.

    Args:
        train, test: two parts under the same vocabularies.
        order: ``"global"``: no test row is older than any training row (time split); ``"user"``: no test row is older
            than a training row of the same user (leave-one-out); ``"none"``: times are not compared (random split).

    Raises:
        ValueError: the vocabularies differ, a pair is in both parts, or a test row is older than a training row; the
            message names the row.

    >>> log = Interactions.from_arrays([0, 0, 1], [0, 1, 0], time=[10, 50, 20])
    >>> split = time_split(log, test=0.3, valid=0)
    >>> check_no_leak(split.train, split.test)
    >>> check_no_leak(split.test, split.train)
    Traceback (most recent call last):
    ...
    ValueError: leak: the test row (user 0, item 0) at time 10 is older than a training row at time 50
    """
    if order not in ("global", "user", "none"):
        raise ValueError(f'order is {order!r}; it must be "global", "user" or "none"')
    _check_same_ids(test, train)
    in_both = np.isin(_pairs(test), _pairs(train))
    if in_both.any():
        row = int(np.argmax(in_both))
        raise ValueError(
            f"leak: {_name(test, row)} is in training too ({int(in_both.sum())} such pairs); cut the log into"
            " disjoint parts"
        )
    if order == "none" or len(train) == 0 or len(test) == 0:
        return
    if train.time is None or test.time is None:
        raise ValueError(f'order="{order}" compares times, but a part has none; say order="none"')
    newest = np.full(train.n_users, np.iinfo(np.int64).min)  # [U]
    if order == "global":
        newest[:] = train.time.max()
    else:
        np.maximum.at(newest, train.user, train.time)
    older = test.time < newest[test.user]
    if older.any():
        row = int(np.argmax(older))
        raise ValueError(
            f"leak: the test row ({_name(test, row)}) at time {test.time[row]} is older than a training row at time"
            f" {newest[test.user[row]]}"
        )


def k_core(interactions: Interactions, *, user: int = 5, item: int = 5) -> Interactions:
    """Keep the largest part of the log in which every user has ``user`` rows and every item ``item`` rows.

    Dropping a thin item shortens histories and dropping a short history thins items, so both are repeated until
    nothing changes (Seidman, "Network structure and minimum degree", Social Networks 1983, for the bipartite graph of
    users and items). The vocabularies shrink to the users and items that are left: do this before cutting the log.

    Raises:
        ValueError: a threshold below 1, or nothing left.

    >>> log = Interactions.from_arrays([0, 0, 1, 1, 2], [0, 1, 0, 1, 1])
    >>> k_core(log, user=2, item=2)
    Interactions(4 rows, 2 users, 2 items, density 100.00%)
    """
    for name, least in (("user", user), ("item", item)):
        if least < 1:
            raise ValueError(f"{name} is {least}; the least number of rows must be >= 1")
    rows = np.arange(len(interactions))
    while True:
        users, items = interactions.user[rows], interactions.item[rows]
        keep = (np.bincount(users, minlength=1)[users] >= user) & (np.bincount(items, minlength=1)[items] >= item)
        if keep.all():
            break
        rows = rows[keep]
    if len(rows) == 0:
        raise ValueError(f"no row is left in the core of {user} rows a user and {item} rows an item; lower them")
    left = interactions.subset(rows)
    users, items = np.unique(left.user), np.unique(left.item)
    return Interactions(
        np.searchsorted(users, left.user).astype(np.int32),
        np.searchsorted(items, left.item).astype(np.int32),
        left.value,
        left.time,
        left.user_ids[users],
        left.item_ids[items],
    )


def align(*parts: Interactions, user_ids: ArrayLike = (), item_ids: ArrayLike = ()) -> tuple[Interactions, ...]:
    """Put parts that were read from separate files under common vocabularies: the union of theirs.

    Args:
        parts: one or more interactions, each with vocabularies of its own.
        user_ids, item_ids: more ids that the vocabularies must hold, such as items that occur only as negatives.

    >>> train = Interactions.from_arrays([1, 2], [10, 30])
    >>> test = Interactions.from_arrays([2], [20])
    >>> train, test = align(train, test)
    >>> test.item_ids.tolist(), test.item.tolist()
    ([10, 20, 30], [1])
    """
    users = _joint_ids([part.user_ids for part in parts], user_ids, "user")
    items = _joint_ids([part.item_ids for part in parts], item_ids, "item")
    aligned = []
    for part in parts:
        user = users.get_indexer(part.user_ids).astype(np.int32)[part.user]
        item = items.get_indexer(part.item_ids).astype(np.int32)[part.item]
        order = np.lexsort((item, user))
        time = None if part.time is None else part.time[order]
        aligned.append(Interactions(user[order], item[order], part.value[order], time, users, items))
    return tuple(aligned)


def union(first: Interactions, second: Interactions) -> Interactions:
    """All rows of two parts of one log, such as train and valid for the last fit before the test.

    Raises:
        ValueError: the vocabularies differ, a pair is in both parts, or only one of them has times.

    >>> log = Interactions.from_arrays([0, 0, 1], [0, 1, 0], time=[10, 50, 20])
    >>> split = leave_one_out(log, valid=False)
    >>> union(split.train, split.test).frame().equals(log.frame())
    True
    """
    _check_same_ids(second, first)
    in_both = np.isin(_pairs(second), _pairs(first))
    if in_both.any():
        raise ValueError(f"{_name(second, int(np.argmax(in_both)))} is in both parts; a pair may stand in one only")
    if (first.time is None) != (second.time is None):
        raise ValueError("one part has times and the other has none; read both with or both without")
    order = np.argsort(np.r_[_pairs(first), _pairs(second)], kind="stable")
    return Interactions(
        np.r_[first.user, second.user][order],
        np.r_[first.item, second.item][order],
        np.r_[first.value, second.value][order],
        None if first.time is None or second.time is None else np.r_[first.time, second.time][order],
        first.user_ids,
        first.item_ids,
    )


def _joint_ids(vocabularies: list[pd.Index], more: ArrayLike, name: str) -> pd.Index:
    kinds = {"text" if v.dtype.kind not in "iu" else "integer" for v in vocabularies}
    extra = pd.Index(np.asarray(more)) if np.size(more) else None
    if extra is not None:
        kinds.add("text" if extra.dtype.kind not in "iu" else "integer")
        vocabularies = [*vocabularies, extra]
    if len(kinds) > 1:
        raise ValueError(f"{name} ids are integers in one part and text in another; read both the same way")
    joined = vocabularies[0]
    for vocabulary in vocabularies[1:]:
        joined = joined.append(vocabulary)
    return pd.Index(joined.unique().sort_values())


def _cut(interactions: Interactions, in_valid: NDArray[Any], in_test: NDArray[Any]) -> Split:
    return Split(
        interactions.subset(~(in_valid | in_test)), interactions.subset(in_valid), interactions.subset(in_test)
    )


def _times(interactions: Interactions, caller: str) -> NDArray[np.int64]:
    if len(interactions) == 0:
        raise ValueError(f"the interactions are empty; {caller} needs rows to cut")
    if interactions.time is None:
        raise ValueError(
            f"{caller} needs times, these interactions have none; read the time column or use random_split"
        )
    return interactions.time


def _check_shares(test: float, valid: float) -> None:
    for name, share in (("test", test), ("valid", valid)):
        if not 0 <= share < 1:
            raise ValueError(f"{name} is {share}; a share of the rows lies in [0, 1)")
    if test + valid >= 1:
        raise ValueError(f"test + valid is {test + valid}; they must leave rows for training: make them add up below 1")


def _check_sizes(n: int, n_test: int, n_valid: int, test: float, valid: float) -> None:
    sizes = {"test": (n_test, test), "valid": (n_valid, valid), "train": (n - n_test - n_valid, 1.0)}
    for name, (size, share) in sizes.items():
        if size <= 0 and share > 0:
            raise ValueError(f"the {name} part is empty: {n} rows with test={test}, valid={valid}; change the shares")


def _check_same_ids(part: Interactions, train: Interactions) -> None:
    for name, mine, other in (("user", part.user_ids, train.user_ids), ("item", part.item_ids, train.item_ids)):
        if mine is not other and not mine.equals(other):
            raise ValueError(f"the parts have different {name} vocabularies, so their codes differ: use align() first")


def _pairs(part: Interactions) -> NDArray[np.int64]:
    return part.user.astype(np.int64) * part.n_items + part.item


def _name(part: Interactions, row: int) -> str:
    return f"user {part.user_ids[part.user[row]]}, item {part.item_ids[part.item[row]]}"
