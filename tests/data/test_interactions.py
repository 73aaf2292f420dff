from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rectutor.data import Interactions
from rectutor.data.interactions import Duplicates

ROW = st.tuples(
    st.integers(-3, 3),
    st.sampled_from(["a", "b", "ß", "10", "9"]),
    st.integers(0, 40).map(lambda v: v / 8),
    st.integers(-5, 5),
)
ROWS = st.lists(ROW, min_size=1, max_size=30)


def log(rows: list[tuple[Any, ...]], duplicates: Duplicates = "error", timed: bool = True) -> Interactions:
    user, item, value, time = zip(*rows)
    return Interactions.from_arrays(user, item, value, time if timed else None, duplicates=duplicates)


def naive(rows: list[tuple[Any, ...]], duplicates: Duplicates, timed: bool) -> dict[tuple[Any, Any], tuple[float, int]]:
    """The same reading with a dictionary from pair to (value, time), one row after another in order of time."""
    pairs: dict[tuple[Any, Any], tuple[float, int]] = {}
    for user, item, value, time in sorted(rows, key=lambda row: row[3]) if timed else rows:
        old = pairs.get((user, item))
        if old is None or duplicates == "last":
            pairs[user, item] = (value, time)
        elif duplicates == "sum":
            pairs[user, item] = (old[0] + value, time)
        elif duplicates == "max":
            pairs[user, item] = (max(old[0], value), time)
    return pairs


@given(ROWS, st.sampled_from(["first", "last", "sum", "max"]), st.booleans())
def test_reads_like_a_dictionary(rows: list[tuple[Any, ...]], duplicates: Duplicates, timed: bool) -> None:
    x = log(rows, duplicates, timed)
    expected = naive(rows, duplicates, timed)
    assert x.user_ids.tolist() == sorted({row[0] for row in rows})
    assert x.item_ids.tolist() == sorted({row[1] for row in rows})
    frame = x.frame()
    got = dict(zip(zip(frame["user"], frame["item"]), x.value.tolist(), strict=True))
    assert got == {pair: value for pair, (value, _) in expected.items()}
    if timed:
        assert x.time is not None
        times = dict(zip(zip(frame["user"], frame["item"]), x.time.tolist(), strict=True))
        assert times == {pair: time for pair, (_, time) in expected.items()}
    codes = list(zip(x.user.tolist(), x.item.tolist()))
    assert codes == sorted(set(codes))


@given(ROWS)
def test_views_agree_with_each_other(rows: list[tuple[Any, ...]]) -> None:
    x = log(rows, "last")
    table = x.by_user()
    assert sorted(table) == list(range(x.n_users))
    assert {(u, i): v for u, row in table.items() for i, v in row.items()} == dict(
        zip(zip(x.user.tolist(), x.item.tolist()), x.value.tolist())
    )
    dense = np.zeros((x.n_users, x.n_items))
    dense[x.user, x.item] = x.value
    assert (x.matrix(np.float64).toarray() == dense).all()
    for u in range(x.n_users):
        assert x.items_of(u).tolist() == sorted(table[u])
    assert x.user_codes(x.frame()["user"]).tolist() == x.user.tolist()
    assert x.item_codes(x.frame()["item"]).tolist() == x.item.tolist()
    again = Interactions.from_frame(x.frame(), value="value", time="time", like=x)
    assert again.user.tolist() == x.user.tolist()
    assert again.value.tolist() == x.value.tolist()
    assert again.user_ids is x.user_ids


@given(ROWS, st.data())
def test_subset_and_implicit(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    x = log(rows, "last")
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(x), max_size=len(x))))
    part = x.subset(mask)
    numbers = np.flatnonzero(mask)
    assert part.value.tolist() == x.value[numbers].tolist()
    assert x.subset(numbers[::-1]).item.tolist() == part.item.tolist()
    assert part.n_users == x.n_users
    assert part.n_items == x.n_items
    threshold = data.draw(st.sampled_from([0.0, 1.0, 2.5]))
    assert len(x.implicit(threshold)) == sum(value >= threshold for value in x.value)
    assert set(x.implicit(threshold).value.tolist()) <= {1.0}


def test_a_hand_worked_log() -> None:
    x = Interactions.from_arrays(["bob", "ann", "bob"], [30, 10, 20], [4.0, 5.0, 1.5], [3, 1, 2])
    assert repr(x) == "Interactions(3 rows, 2 users, 3 items, density 50.00%)"
    assert x.user.tolist() == [0, 1, 1]
    assert x.item.tolist() == [0, 1, 2]
    assert x.value.tolist() == [5.0, 1.5, 4.0]
    assert x.indptr.tolist() == [0, 1, 3]
    assert x.matrix().toarray().tolist() == [[5, 0, 0], [0, 1.5, 4]]


def test_ids_keep_all_their_digits() -> None:
    big = 2**53 + 1  # the first integer that float64 cannot hold
    x = Interactions.from_arrays([big, big + 1], [2**63 - 1, 2**63 - 2])
    assert x.user_ids.tolist() == [big, big + 1]
    assert x.item_ids.tolist() == [2**63 - 2, 2**63 - 1]
    assert x.user_ids.dtype == np.int64
    assert x.frame()["user"].tolist() == [big, big + 1]
    assert x.user_codes([big + 1]).tolist() == [1]


@pytest.mark.parametrize(
    "ids", [np.array([1.0, 2.0]), np.array([1, 2.0], dtype=object), np.array([1, "a"], dtype=object)]
)
def test_ids_that_could_lose_digits_are_refused(ids: np.ndarray) -> None:
    with pytest.raises(TypeError, match="item ids are floating-point or mixed"):
        Interactions.from_arrays([1, 2], ids)


def test_empty() -> None:
    with pytest.raises(ValueError, match="empty; a model needs at least one row"):
        Interactions.from_arrays([], [])
    with pytest.raises(ValueError, match="empty"):
        Interactions.from_frame(pd.DataFrame({"user": [], "item": []}))


def test_missing_column() -> None:
    with pytest.raises(ValueError, match=r"no column 'stars'; the frame has \['user', 'item'\]"):
        Interactions.from_frame(pd.DataFrame({"user": [1], "item": [2]}), value="stars")


def test_missing_id_names_the_row() -> None:
    with pytest.raises(ValueError, match="user at row 1 is missing"):
        Interactions.from_arrays(np.array(["a", None], dtype=object), [1, 2])
    with pytest.raises(ValueError, match="item at row 0 is missing"):
        Interactions.from_frame(pd.DataFrame({"user": [1, 2], "item": [None, 3]}))


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_bad_values_name_the_row(bad: float) -> None:
    with pytest.raises(ValueError, match=f"value at row 2 is {bad}; values must be finite and >= 0"):
        Interactions.from_arrays([1, 2, 3], [1, 2, 3], [1.0, 0.0, bad])


def test_text_values() -> None:
    with pytest.raises(ValueError, match="value holds something that is no number"):
        Interactions.from_arrays([1], [1], ["many"])


def test_duplicates_are_an_error_unless_said() -> None:
    with pytest.raises(ValueError, match="user 7 meets item 'x' more than once"):
        Interactions.from_arrays([7, 8, 7], ["x", "x", "x"])
    with pytest.raises(ValueError, match="duplicates is 'mean'; it must be one of"):
        Interactions.from_arrays([7], ["x"], duplicates="mean")  # type: ignore[arg-type]


def test_unequal_lengths() -> None:
    with pytest.raises(ValueError, match="user has 2 rows, item has 1"):
        Interactions.from_arrays([1, 2], [1])
    with pytest.raises(ValueError, match="user has 2 rows, time has 1"):
        Interactions.from_arrays([1, 2], [1, 2], time=[1])
    with pytest.raises(ValueError, match="must be one-dimensional"):
        Interactions.from_arrays([[1, 2]], [[1, 2]])


def test_unknown_ids() -> None:
    x = Interactions.from_arrays(["a", "b"], [1, 2])
    with pytest.raises(ValueError, match=r"unknown user 'c' \(row 1\): it is not among the 2 known ids"):
        Interactions.from_arrays(["a", "c"], [1, 2], like=x)
    with pytest.raises(ValueError, match="unknown item 3"):
        x.item_codes([3])
    with pytest.raises(ValueError, match="unknown item '1'"):
        x.item_codes(["1"])


def test_times() -> None:
    aware = pd.Series([dt.datetime(2020, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))])
    for column in (aware, pd.to_datetime(pd.Series(["2020-01-01 00:00:00.9"])), pd.Series([1577836800.0])):
        x = Interactions.from_frame(pd.DataFrame({"user": [1], "item": [1], "t": column}), time="t")
        assert x.time is not None
        assert x.time.tolist() == [1577836800]
    with pytest.raises(ValueError, match=r"time at row 0 is 0\.5; times are whole seconds"):
        Interactions.from_arrays([1], [1], time=[0.5])
    with pytest.raises(ValueError, match="time holds something that is no number of seconds"):
        Interactions.from_arrays([1], [1], time=["noon"])
    with pytest.raises(ValueError, match="column 't' has no time at row 1"):
        Interactions.from_frame(pd.DataFrame({"user": [1, 2], "item": [1, 2], "t": [1, None]}), time="t")


def test_bad_subsets() -> None:
    x = Interactions.from_arrays([1, 2], [1, 2])
    with pytest.raises(ValueError, match=r"mask of shape \(1,\)"):
        x.subset(np.array([True]))
    for rows in ([0, 0], [-1], [2]):
        with pytest.raises(ValueError, match="different row numbers from 0 to 1"):
            x.subset(np.array(rows))
