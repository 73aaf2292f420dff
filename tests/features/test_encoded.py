"""Layouts, encoded examples, rows of libsvm and libffm files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rectutor.data.sparse import SparseRows
from rectutor.features import Encoded, Layout, from_sparse, sparse_layout


def shared() -> Layout:
    return Layout(("u", "n", "h"), (1, 1, 2), ("u", "n", "n"), {"n": 7, "u": 5}, ("words", "words:missing"))


def example(**changes: Any) -> Encoded:
    ids = np.array([[3, 4, 0, 0], [4, 6, 5, 6], [0, 2, 6, 0]])
    parts = {
        "layout": shared(),
        "ids": ids,
        "dense": np.arange(6, dtype=np.float32).reshape(3, 2),
        "weights": (ids > 0).astype(np.float32),
        "label": np.array([0, 1, 1], np.float32),
    }
    return Encoded(**{**parts, **changes})


# -- layout ------------------------------------------------------------------------------------------------------
def test_the_table_follows_the_fields_not_the_order_of_sizes() -> None:
    layout = shared()
    assert layout.offsets.tolist() == [0, 5, 5, 5]
    assert layout.field_of_slot.tolist() == [0, 1, 2, 2]
    assert layout.offsets.dtype == layout.field_of_slot.dtype == np.int64
    assert layout.rows == 12
    assert [layout.slots(f) for f in layout.fields] == [slice(0, 1), slice(1, 2), slice(2, 4)]
    assert [layout.rows_of(f) for f in layout.fields] == [slice(0, 5), slice(5, 12), slice(5, 12)]


def test_layouts_are_equal_by_what_they_say() -> None:
    assert shared() == shared()
    assert hash(shared()) == hash(shared())
    assert Layout.of([4, 5]) != Layout.of([5, 4])
    assert Layout.of([4], dense=1) != Layout.of([4])


def test_a_layout_without_a_schema() -> None:
    layout = Layout.of([10, 20], dense=2, lengths=[1, 3])
    assert (layout.fields, layout.dense, layout.lengths) == (("f0", "f1"), ("d0", "d1"), (1, 3))
    assert Layout.of([], dense=1).offsets.shape == (0,)


def test_the_arrays_of_a_layout_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        shared().offsets[0] = 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((("a", "a"), (1, 1), ("a", "a"), {"a": 3}), "'a' stands twice"),
        ((("a",), (1,), ("a",), {"a": 3}, ("a",)), "'a' stands twice"),
        ((("a",), (0,), ("a",), {"a": 3}), "lengths of 'a' is 0"),
        ((("a",), (1,), ("a",), {"a": 0}), "sizes of 'a' is 0"),
        ((("a",), (1,), ("b",), {"a": 3}), r"sizes has \['a'\]; the fields use \['b'\]"),
        ((("a",), (1, 1), ("a",), {"a": 3}), "1 fields, 2 lengths"),
        (((), (), (), {}), "at least one"),
    ],
)
def test_a_layout_that_contradicts_itself_is_refused(args: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layout(*args)


@pytest.mark.parametrize("method", ["slots", "rows_of"])
def test_an_unknown_field_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match="'x' is not in the layout; it has 'u', 'n', 'h'"):
        getattr(shared(), method)("x")


# -- examples ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rows", [slice(1, 3), np.array([1, 2]), np.array([False, True, True])])
def test_rows_are_taken_from_every_array(rows: Any) -> None:
    data, part = example(), example()[rows]
    assert len(part) == 2
    for name in ("ids", "dense", "weights", "label"):
        assert getattr(part, name).tolist() == getattr(data, name)[1:].tolist()


def test_no_rows_are_examples_too() -> None:
    assert len(example()[:0]) == 0
    assert example()[:0].ids.shape == (0, 4)


def test_one_row_needs_a_slice() -> None:
    with pytest.raises(TypeError, match="give a slice such as 2:3"):
        example()[2]  # type: ignore[index]


def test_what_is_left_out() -> None:
    data = Encoded(Layout.of([5]), np.array([[3], [4]]))
    assert data.dense.shape == (2, 0)
    assert data.weights is data.label is data[1:].weights is None
    assert example(label=np.zeros((3, 2), np.float32))[1:].label.shape == (2, 2)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"ids": np.zeros((3, 4), np.float32)}, TypeError, "ids is float32; give an array of int64"),
        ({"ids": np.zeros((3, 4), np.int32)}, TypeError, "ids is int32"),
        ({"ids": [[0] * 4] * 3}, TypeError, "ids is list"),
        ({"ids": np.zeros((3, 3), np.int64)}, ValueError, r"ids has shape \(3, 3\).*\(3, 4\)"),
        ({"ids": np.full((3, 4), 5)}, ValueError, r"ids\[0, 0\] is 5; field 'u' has the codes 0 to 4"),
        ({"ids": np.array([[0, 0, 0, 0], [0, 0, 0, 7], [0, 0, 9, 0]])}, ValueError, r"ids\[2, 2\] is 9; field 'h'"),
        ({"ids": -np.eye(3, 4, 1, np.int64)}, ValueError, r"ids\[0, 1\] is -1; field 'n' has the codes 0 to 6"),
        ({"weights": np.ones((3, 4))}, TypeError, "weights is float64"),
        ({"weights": np.ones((2, 4), np.float32)}, ValueError, "weights has shape"),
        ({"dense": np.ones((3, 1), np.float32)}, ValueError, "dense has shape"),
        ({"dense": np.array([[0, 0], [0, np.nan], [0, 0]], np.float32)}, ValueError, r"dense\[1, 1\] is not finite"),
        ({"label": np.ones(2, np.float32)}, ValueError, "label has shape"),
        ({"label": np.array([0, np.inf, 1], np.float32)}, ValueError, r"label\[1\] is not finite"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        example(**changes)


# -- libsvm and libffm -------------------------------------------------------------------------------------------
def rows(pairs: list[list[tuple[int, int, float]]], fields: bool = True) -> SparseRows:
    """Rows of (field, id, value)."""
    flat = [pair for row in pairs for pair in row]
    return SparseRows(
        np.arange(len(pairs), dtype=np.float32) % 2,
        np.cumsum([0, *map(len, pairs)]).astype(np.int64),
        np.array([p[1] for p in flat], np.int64),
        np.array([p[2] for p in flat], np.float32),
        np.array([p[0] for p in flat], np.int32) if fields else None,
    )


def test_libffm_by_hand() -> None:
    data = from_sparse(rows([[(5, 0, 1.0), (2, 9, 0.5), (5, 1, 2.0)], [], [(2, 9, -1.0)]]))
    assert data.layout == Layout(("2", "5"), (1, 2), ("features",) * 2, {"features": 13})
    assert data.ids.tolist() == [[12, 3, 4], [0, 0, 0], [12, 0, 0]]
    assert data.weights is not None
    assert data.weights.tolist() == [[0.5, 1.0, 2.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]
    assert data.label is not None
    assert data.label.tolist() == [0, 1, 0]


def test_libsvm_by_hand() -> None:
    data = from_sparse(rows([[(0, 4, 1.0), (0, 2, 3.0)], [(0, 4, 1.0)]], fields=False))
    assert data.layout == Layout(("features",), (2,), ("features",), {"features": 8})
    assert data.ids.tolist() == [[7, 5], [7, 0]]


def test_an_id_beyond_the_layout_is_unknown() -> None:
    train, test = rows([[(0, 1, 1.0)]]), rows([[(0, 2, 1.0)]])
    assert from_sparse(test, sparse_layout(train)).ids.tolist() == [[2]]
    assert from_sparse(test, sparse_layout(train, test)).ids.tolist() == [[5]]


def test_large_ids_stay_whole() -> None:
    data = from_sparse(rows([[(0, 2**53 + 1, 1.0), (1, 2**24 + 1, 1.0)]]))
    assert data.ids.tolist() == [[2**53 + 4, 2**24 + 4]]


def test_rows_that_the_layout_cannot_hold_are_refused() -> None:
    train = rows([[(0, 1, 1.0)], [(0, 1, 1.0), (4, 1, 1.0)]])
    with pytest.raises(ValueError, match=r"row 1 has the field 3, which layout lacks.*sparse_layout"):
        from_sparse(rows([[], [(3, 1, 1.0)]]), sparse_layout(train))
    with pytest.raises(ValueError, match=r"row 0 has more entries of field 4.*1 slots.*sparse_layout"):
        from_sparse(rows([[(4, 1, 1.0), (4, 0, 1.0)]]), sparse_layout(train))
    with pytest.raises(ValueError, match="two formats"):
        from_sparse(rows([[(0, 1, 1.0)]], fields=False), sparse_layout(train))
    with pytest.raises(ValueError, match="build it with sparse_layout"):
        from_sparse(train, Layout.of([4, 4]))
    with pytest.raises(ValueError, match="parts mixes"):
        sparse_layout(train, rows([[]], fields=False))
    with pytest.raises(ValueError, match="no entry in any row"):
        sparse_layout(rows([[], []]))
    with pytest.raises(ValueError, match="parts is empty"):
        sparse_layout()
