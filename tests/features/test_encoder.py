"""Encoders: worked by hand, round trips, what a frame must be like, files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rectutor.features import Bucketed, Categorical, Dense, Encoded, Encoder, Hashed, Schema, Sequence, Special

SCHEMA = Schema(
    [
        Categorical("user"),
        Categorical("note", min_count=2),
        Sequence("history", length=3, vocabulary="note"),
        Categorical("ip", hash_buckets=5),
        Bucketed("age", by=[18, 35]),  # type: ignore[arg-type]
        Dense("words", transform="log1p"),
        Dense("score"),
        Sequence("tags", length=2, weights="tag_weights", keep="first"),
        Categorical("new"),
    ]
)


def sample() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user": ["ann", "bob", "ann", "eve"],
            "note": [7, 8, 7, 9],
            "history": [[], [7, 8], [9, 7, 8, 7], None],
            "ip": ["a", "b", None, "c"],
            "age": [17, 18, 90, None],
            "words": [0.0, 9.0, 0.0, 9.0],
            "score": [1.0, None, 3.0, 5.0],
            "tags": [["x"], ["x", "y", "z"], [], None],
            "tag_weights": [[2.0], [0.5, 0.25, 1.0], [], None],
            "new": [True, False, True, True],
            "click": [1, 0, 0, 1],
            "like": [False, True, False, True],
        }
    )


def same(a: Encoded, b: Encoded) -> None:
    """Equal in every bit."""
    assert a.layout == b.layout
    for name in ("ids", "dense", "weights", "label"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None and y is None) or (x.dtype == y.dtype and x.shape == y.shape and (x == y).all()), name


# -- by hand -----------------------------------------------------------------------------------------------------
def test_by_hand() -> None:
    encoder = SCHEMA.fit(sample())
    data = encoder.transform(sample(), label=["click", "like"])
    layout = data.layout
    assert layout.fields == ("user", "note", "history", "ip", "age", "tags", "new")
    assert layout.dense == ("words", "score", "score:missing")
    # 7 occurs in note and history 5 times; 8 three times, 9 twice
    assert layout.sizes == {"user": 6, "note": 6, "ip": 8, "age": 6, "tags": 6, "new": 5}
    columns = {name: data.ids[:, layout.slots(name)].tolist() for name in layout.fields}
    assert columns["user"] == [[3], [4], [3], [5]]
    assert columns["note"] == [[3], [4], [3], [5]]
    assert columns["history"] == [[0, 0, 0], [3, 4, 0], [3, 4, 3], [1, 0, 0]]
    assert columns["age"] == [[3], [4], [5], [1]]
    assert columns["tags"] == [[3, 0], [3, 4], [0, 0], [1, 0]]
    assert columns["new"] == [[3], [4], [3], [3]]
    assert data.weights is not None
    assert data.weights[:, layout.slots("tags")].tolist() == [[2, 0], [0.5, 0.25], [0, 0], [1, 0]]
    assert data.weights[:, layout.slots("history")].tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 0]]
    assert (data.weights[:, :2] == 1).all()
    np.testing.assert_allclose(data.dense[:, 0], [-1, 1, -1, 1])  # log 1 and log 10, one mean and one deviation away
    np.testing.assert_allclose(data.dense[:, 1], (np.array([1, 3, 3, 5]) - 3) / np.sqrt(8 / 3), rtol=1e-6)
    assert data.dense[:, 2].tolist() == [0, 1, 0, 0]
    assert data.label is not None
    assert data.label.tolist() == [[1, 0], [0, 1], [0, 0], [1, 1]]
    assert layout.rows_of("history") == layout.rows_of("note")


def test_unknown_and_missing_are_kept_apart() -> None:
    encoder = Schema([Categorical("city", min_count=2), Sequence("tags", length=3)]).fit(
        pd.DataFrame({"city": ["a", "a", "b"], "tags": [["x"], ["x"], ["x"]]})
    )
    frame = pd.DataFrame({"city": ["a", "b", "c", None], "tags": [[], ["y", None], None, ["x", "y"]]})
    assert encoder.transform(frame).ids.tolist() == [[3, 0, 0, 0], [2, 2, 1, 0], [2, 1, 0, 0], [1, 3, 2, 0]]


def test_weights_are_none_without_a_sequence() -> None:
    data = Schema([Categorical("user")]).fit(sample()).transform(sample(), label="click")
    assert data.weights is None
    assert data.label is not None
    assert data.label.shape == (4,)
    assert data.dense.shape == (4, 0)


def test_a_schema_of_numbers_only() -> None:
    frame = pd.DataFrame({"x": [1, 2, 3]})
    data = Schema([Dense("x", standardize=False)]).fit(frame).transform(frame)
    assert data.ids.shape == (3, 0)
    assert data.dense.tolist() == [[1], [2], [3]]


def test_no_rows_can_be_transformed() -> None:
    data = SCHEMA.fit(sample()).transform(sample()[:0], label="click")
    assert (len(data), data.ids.shape, data.dense.shape) == (0, (0, 10), (0, 3))


def test_the_index_of_the_frame_does_not_matter() -> None:
    encoder = SCHEMA.fit(sample())
    same(encoder.transform(sample()), encoder.transform(sample().set_index(pd.Index([5, 5, 1, -1]))))
    assert encoder.values("note") == SCHEMA.fit(sample()[::-1]).values("note")


def test_a_constant_number_is_zero_and_does_not_blow_up() -> None:
    encoder = Schema([Dense("x")]).fit(pd.DataFrame({"x": [0.1] * 7}))  # the mean of which is not 0.1 in float64
    assert encoder.transform(pd.DataFrame({"x": [0.1, 1.1]})).dense.ravel().tolist() == [0, 1]
    tiny = Schema([Dense("x")]).fit(pd.DataFrame({"x": [0.0, 1e-200]}))  # whose variance is 0 in float64
    assert np.isfinite(tiny.transform(pd.DataFrame({"x": [0.0, 5.0]})).dense).all()


# -- equality of values, files read back -------------------------------------------------------------------------
def test_large_ids_get_codes_of_their_own() -> None:
    ids = [2**24, 2**24 + 1, 2**53, 2**53 + 1, 2**63 - 2, 2**63 - 1]
    frame = pd.DataFrame({"id": ids, "seen": [[i] for i in ids]})
    encoder = Schema([Categorical("id"), Sequence("seen", length=1, vocabulary="id")]).fit(frame)
    data = encoder.transform(frame)
    assert data.ids.dtype == np.int64
    assert data.ids.tolist() == [[c, c] for c in range(3, 9)]
    assert encoder.decode("id", data.ids[:, 0]) == ids


def test_one_true_and_the_text_one_are_three_values() -> None:
    for value, others in ((1, ["1", True]), ("1", [1, True]), (True, [1, "1"])):
        encoder = Schema([Categorical("x")]).fit(pd.DataFrame({"x": [value]}))
        assert encoder.code("x", value) == 3
        for other in others:
            with pytest.raises(TypeError, match="none would be known"):
                encoder.code("x", other)
            with pytest.raises(TypeError, match="none would be known"):
                encoder.transform(pd.DataFrame({"x": [other]}))


def through_a_file(frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(frame.to_csv(index=False)), **options)


def test_a_frame_read_back_from_a_file() -> None:
    frame = pd.DataFrame(
        {"user": [9, 7, 8], "city": ["a", None, "b"], "tags": ["x|y", "y", "x"], "vip": [True, False, True]}
    )
    schema = Schema([Categorical("user"), Categorical("city"), Sequence("tags", length=2, sep="|"), Categorical("vip")])
    encoder = schema.fit(frame)
    same(encoder.transform(through_a_file(frame)), encoder.transform(frame))
    with pytest.raises(
        TypeError, match=r"'user' holds text values such as '9', its vocabulary integer.*read it as Int64"
    ):
        encoder.transform(through_a_file(frame, dtype=str))
    with pytest.raises(TypeError, match="'user' holds text"):
        encoder.transform(frame.assign(user=["n1", "n2", "n3"]))


def test_integers_beside_a_missing_value_are_still_integers() -> None:
    frame = pd.DataFrame({"user": [9, 7, 7]})
    encoder = Schema([Categorical("user")]).fit(frame)
    gap = pd.DataFrame({"user": [7, None, 5]})
    assert gap["user"].dtype == np.float64
    assert encoder.transform(gap).ids.ravel().tolist() == [3, 1, 2]
    assert encoder.transform(pd.DataFrame({"user": [None, None]})).ids.ravel().tolist() == [1, 1]


def test_delimited_text_joins_a_vocabulary_of_integers() -> None:
    frame = pd.DataFrame({"history": ["7|8", None, "8"], "note": [7, 9, 9]})
    schema = Schema([Sequence("history", length=2, vocabulary="note", sep="|"), Categorical("note")])
    encoder = schema.fit(frame)
    assert encoder.values("note")[3:] == [7, 8, 9]
    assert encoder.transform(frame).ids.tolist() == [[3, 4, 3], [1, 0, 5], [4, 0, 5]]
    assert encoder.code("history", 8) == 4
    for piece in ("07", "7.0", "x", " 7"):
        with pytest.raises(ValueError, match=f"'history' has the piece '{piece}'"):
            encoder.transform(frame.assign(history=[piece, "8", "8"]))
    alone = Schema([Sequence("history", length=2, sep="|")]).fit(frame)
    assert alone.values("history")[3:] == ["8", "7"]


# -- refusals ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"user": [1, 2, 3, 4]}, TypeError, "'user' holds integer values such as 1, its vocabulary text ones.*as str"),
        ({"note": [1.5, 2, 3, 4]}, ValueError, "'note' is 1.5 in row 0"),
        ({"history": [7, 8, 7, 9]}, TypeError, "'history' holds 7 in row 0, which is no sequence"),
        ({"history": [["7"], [], [], []]}, TypeError, "'history' holds text values such as '7'"),
        ({"ip": [1, 2, 3, 4]}, TypeError, "'ip' holds integer"),
        ({"age": ["17", "18", "90", "1"]}, TypeError, "'age' holds '17' in row 0"),
        ({"age": [17, 18, np.inf, 1]}, ValueError, "'age' is inf in row 2"),
        ({"words": ["a", "b", "c", "d"]}, TypeError, "'words' holds 'a' in row 0; make it numbers"),
        ({"words": [0, np.nan, 1, 2]}, ValueError, "'words' is missing in row 1, but never was in fit.*fill it"),
        ({"words": [0, 1, -np.inf, 2]}, ValueError, "'words' is -inf in row 2"),
        ({"words": [0, 1, 2, -1]}, ValueError, "'words' is -1.0 in row 3; log1p takes numbers above -1"),
        ({"score": [0, 1, 2, 1e300]}, ValueError, r"'score' is .*e\+299 in row 3, beyond float32"),
        (
            {"tag_weights": [[2.0], [0.5], [], None]},
            ValueError,
            "'tag_weights' has 1 weights in row 1, .*'tags' 3 values",
        ),
        ({"tag_weights": [[np.nan], [1, 1, 1], [], None]}, ValueError, "'tag_weights' has the weight nan in row 0"),
        ({"new": [1, 0, 1, 1]}, TypeError, "'new' holds integer.*boolean"),
        ({"click": [0, 1, 2, 1]}, ValueError, "'click' is 2.0 in row 2; labels are 0 or 1"),
        ({"click": [0, -1, 1, 1]}, ValueError, "'click' is -1.0 in row 1"),
        ({"click": [0, 0.5, 1, 1]}, ValueError, "'click' is 0.5 in row 1"),
        ({"click": [0, None, 1, 1]}, ValueError, "'click' is missing in row 1; drop the row"),
        ({"click": ["0", "1", "1", "1"]}, TypeError, "'click' holds '0' in row 0"),
    ],
)
def test_columns_of_another_sort_are_refused(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    encoder = SCHEMA.fit(sample())
    with pytest.raises(error, match=message):
        encoder.transform(sample().assign(**changes), label="click")


@pytest.mark.parametrize("column", SCHEMA.columns)
def test_a_frame_without_a_column_is_refused(column: str) -> None:
    frame = sample().drop(columns=column)
    for act in (SCHEMA.fit, *(getattr(SCHEMA.fit(sample()), name) for name in ("transform", "report", "collisions"))):
        with pytest.raises(ValueError, match=f"frame lacks the column '{column}' of the schema; it has"):
            act(frame)


def test_other_frames_are_refused() -> None:
    encoder = SCHEMA.fit(sample())
    with pytest.raises(TypeError, match="frame is dict; give a pandas DataFrame"):
        encoder.transform({"user": [1]})
    with pytest.raises(ValueError, match="column 'age' twice"):
        encoder.transform(pd.concat([sample(), sample()[["age"]]], axis=1))
    with pytest.raises(ValueError, match="label 'clicks' is not in frame"):
        encoder.transform(sample(), label="clicks")
    with pytest.raises(ValueError, match="label is an empty list"):
        encoder.transform(sample(), label=[])
    with pytest.raises(ValueError, match="no rows"):
        encoder.report(sample()[:0])


def test_labels_of_any_number_on_demand() -> None:
    encoder = SCHEMA.fit(sample())
    data = encoder.transform(sample().assign(dwell=[0.5, -2, 30, 1]), label="dwell", binary=False)
    assert data.label is not None
    assert data.label.tolist() == [0.5, -2, 30, 1]


@pytest.mark.parametrize(
    ("field", "column", "error", "message"),
    [
        (Categorical("x"), [None, None], ValueError, "vocabulary 'x' has no value: column 'x'"),
        (Categorical("x", hash_buckets=3), [None, None], ValueError, "vocabulary 'x' has no value"),
        (Sequence("x", length=2), [[], None], ValueError, "vocabulary 'x' has no value"),
        (Categorical("x", min_count=3), ["a", "a", "b"], ValueError, "no value occurs min_count=3 times.*frequent 2"),
        (Categorical("x"), [1, "a"], TypeError, "mixes 1 in row 0 and 'a' in row 1"),
        (Categorical("x"), [0.5, 1], ValueError, "declare it Dense or Bucketed"),
        (Bucketed("x"), [None, None], ValueError, "'x' is missing in every row"),
        (Dense("x"), [np.nan, np.nan], ValueError, "'x' is missing in every row"),
        (Dense("x"), [1e308, -1e308], ValueError, "exceeds float64: scale it"),
        (Dense("x"), ["a"], TypeError, "'x' holds 'a' in row 0"),
        (Dense("x"), [0.0, np.inf], ValueError, "'x' is inf in row 1"),
        (Dense("x"), [], ValueError, "frame has no rows"),
    ],
)
def test_what_cannot_be_fitted(field: Any, column: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Schema([field]).fit(pd.DataFrame({"x": pd.Series(column, dtype=object)}))


def test_fields_of_one_vocabulary_hold_one_kind() -> None:
    schema = Schema([Categorical("a"), Categorical("b", vocabulary="a")])
    with pytest.raises(TypeError, match="'b' holds text values such as '1', its vocabulary integer"):
        schema.fit(pd.DataFrame({"a": [1], "b": ["1"]}))
    assert schema.fit(pd.DataFrame({"a": [None, None], "b": ["1", "2"]})).values("a")[3:] == ["1", "2"]


# -- look inside -------------------------------------------------------------------------------------------------
def test_codes_and_values() -> None:
    encoder = SCHEMA.fit(sample())
    assert encoder.decode("note", [0, 1, 2, 3]) == [Special.NOTHING, Special.MISSING, Special.UNKNOWN, 7]
    assert encoder.decode("new", [3, 4]) == [True, False]
    assert encoder.decode("ip", [3, 7]) == [Hashed(0), Hashed(4)]
    assert encoder.decode("age", [4]) == [pd.Interval(18, 35, closed="left")]
    assert [encoder.code("age", age) for age in (17, 18, 35, None)] == [3, 4, 5, 1]
    assert [encoder.code("note", note) for note in (7, 7.0, 1, None, np.nan)] == [3, 3, 2, 1, 1]
    for field in encoder.layout.fields:
        assert (
            len(encoder.values(field))
            == encoder.layout.sizes[encoder.layout.vocabularies[encoder.layout.fields.index(field)]]
        )


def test_a_special_equals_no_value() -> None:
    assert 1 not in [*Special]
    assert str(Special.MISSING) == repr(Special.MISSING) == "<missing>"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda e: e.decode("note", [6]), ValueError, "codes has 6; field 'note' has the codes 0 to 5"),
        (lambda e: e.decode("note", [-1]), ValueError, "codes has -1"),
        (lambda e: e.decode("note", [3.0]), TypeError, "codes is float64"),
        (lambda e: e.decode("words", [3]), ValueError, "'words' is not in the layout"),
        (lambda e: e.code("words", 3), ValueError, "'words' is not in the layout"),
        (lambda e: e.values("x"), ValueError, "'x' is not in the layout"),
        (lambda e: e.code("history", [7]), TypeError, "value of field 'history' holds"),
    ],
)
def test_wrong_codes_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(SCHEMA.fit(sample()))


def test_report_by_hand() -> None:
    encoder = SCHEMA.fit(sample())
    frame = sample().assign(user=["ann", "zoe", None, "zoe"], history=[[], [7, 1, 7], [9, 7, 8, None, None], None])
    report = encoder.report(frame)
    assert report.index.tolist() == [field.name for field in SCHEMA.fields]
    rows = report.drop(columns="kind").T.to_dict("list")
    assert rows["user"] == [6, 0.75, 0.25, pytest.approx(2 / 3), 0]
    assert rows["history"] == [6, 0.5, 0.25, pytest.approx(1 / 6), 0.25]
    assert rows["ip"] == [8, 0.75, 0.25, 0, 0]
    assert rows["age"] == [6, 0.75, 0.25, 0, 0]
    assert rows["words"] == [0, 1, 0, 0, 0]
    assert rows["score"] == [0, 0.75, 0.25, 0, 0]
    assert rows["tags"] == [6, 0.5, 0.25, 0, 0.25]
    assert report.loc["history", "kind"] == "Sequence"


def test_collisions_are_counted() -> None:
    """Six values whose buckets are known from the codes; the average over many vocabularies meets the expectation."""
    frame = pd.DataFrame({"x": [*range(6), 0, 1], "y": [["a"]] * 8})
    encoder = Schema([Categorical("x", hash_buckets=4), Sequence("y", length=1, hash_buckets=2)]).fit(frame)
    found = encoder.collisions(frame)
    buckets = pd.Series([encoder.code("x", value) for value in range(6)])
    assert found.loc["x", "colliding"] == buckets.duplicated(keep=False).sum()
    assert found.loc["x", "used"] == buckets.nunique()
    assert found.loc["x", "expected"] == pytest.approx(6 * (1 - 0.75**5))
    assert found.loc["y"].tolist() == [2, 1, 1, 0, 0]
    ratio = []
    for start in range(0, 40_000, 1000):
        some = pd.DataFrame({"x": [f"note {i}" for i in range(start, start + 1000)]})
        row = Schema([Categorical("x", hash_buckets=5000)]).fit(some).collisions(some).loc["x"]
        ratio.append(row["colliding"] / row["expected"])
    error = np.std(ratio, ddof=1) / np.sqrt(len(ratio))
    assert abs(np.mean(ratio) - 1) < 4 * error < 0.1


def test_without_a_hash_nothing_collides() -> None:
    assert len(Schema([Categorical("user")]).fit(sample()).collisions(sample())) == 0


# -- properties --------------------------------------------------------------------------------------------------
columns = st.one_of(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30),
    st.lists(st.none() | st.sampled_from([2**53, 2**53 + 1, 2**24 + 1, 0, -1]), min_size=1, max_size=30),
    st.lists(st.none() | st.text(max_size=3), min_size=1, max_size=30),
    st.lists(st.none() | st.booleans(), min_size=1, max_size=30),
).filter(lambda column: any(value is not None for value in column))


def frame_of(column: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"x": pd.Series(column, dtype=object)})


@given(columns)
def test_codes_decode_to_the_values(column: list[Any]) -> None:
    frame = frame_of(column)
    encoder = Schema([Categorical("x")]).fit(frame)
    codes = encoder.transform(frame).ids[:, 0]
    assert encoder.decode("x", codes) == [Special.MISSING if value is None else value for value in column]
    assert [encoder.code("x", value) for value in column] == codes.tolist()


@given(columns, st.integers(1, 4))
def test_a_value_is_unknown_exactly_if_it_is_rare(column: list[Any], least: int) -> None:
    counts = pd.Series([v for v in column if v is not None], dtype=object).value_counts()
    schema = Schema([Categorical("x", min_count=least)])
    if counts.max() < least:
        with pytest.raises(ValueError, match="min_count"):
            schema.fit(frame_of(column))
        return
    codes = schema.fit(frame_of(column)).transform(frame_of(column)).ids[:, 0]
    for value, code in zip(column, codes):
        assert (code == 1) == (value is None)
        assert (code == 2) == (value is not None and counts[value] < least)


@given(columns, st.lists(st.integers(0, 6), max_size=8), st.integers(1, 4), st.sampled_from(["last", "first"]))
def test_sequences_decode_to_the_values(column: list[Any], lengths: list[int], length: int, keep: str) -> None:
    cells, start = [column], 0
    for n in lengths:
        cells.append(column[start : start + n])
        start += n
    frame = pd.DataFrame({"x": pd.Series(cells, dtype=object)})
    encoder = Schema([Sequence("x", length=length, keep=keep)]).fit(frame)
    data = encoder.transform(frame)
    assert data.weights is not None
    assert ((data.weights > 0) == (data.ids > 0)).all()
    for cell, row in zip(cells, data.ids):
        kept = cell[-length:] if keep == "last" else cell[:length]
        expected = [Special.MISSING if value is None else value for value in kept]
        assert encoder.decode("x", row) == expected + [Special.NOTHING] * (length - len(kept))


@given(columns, st.randoms(use_true_random=False))
def test_codes_do_not_depend_on_the_order_of_the_rows(column: list[Any], random: Any) -> None:
    shuffled = random.sample(column, len(column))
    schema = Schema([Categorical("x")])
    assert schema.fit(frame_of(column)).values("x") == schema.fit(frame_of(shuffled)).values("x")


@settings(deadline=None)
@given(columns, st.lists(st.floats(-1e5, 1e5) | st.none(), min_size=1, max_size=9).filter(lambda x: set(x) != {None}))
def test_a_file_gives_the_same_encoder(tmp_path_factory: Any, column: list[Any], numbers: list[float | None]) -> None:
    x = [column[i % len(column)] for i in range(max(len(column), len(numbers)))]
    n = [numbers[i % len(numbers)] for i in range(len(x))]
    frame = pd.DataFrame(
        {"x": pd.Series(x, dtype=object), "n": pd.Series(n, dtype=float), "b": pd.Series(n, dtype=float)}
    )
    encoder = Schema([Categorical("x"), Dense("n"), Bucketed("b", buckets=4), Sequence("s", length=2)]).fit(
        frame.assign(s=[[value] for value in x])
    )
    path = tmp_path_factory.mktemp("encoder") / "encoder.json"
    encoder.save(path)
    loaded = Encoder.load(path)
    assert loaded.schema == encoder.schema
    assert loaded.moments == encoder.moments
    assert loaded.values("x") == encoder.values("x")
    assert [*map(type, loaded.values("x"))] == [*map(type, encoder.values("x"))]
    same(loaded.transform(frame.assign(s=[[v] for v in x])), encoder.transform(frame.assign(s=[[v] for v in x])))


# -- files -------------------------------------------------------------------------------------------------------
def test_a_file_holds_everything(tmp_path: Path) -> None:
    encoder = SCHEMA.fit(sample())
    encoder.save(tmp_path / "encoder.json")
    loaded = Encoder.load(str(tmp_path / "encoder.json"))
    same(loaded.transform(sample(), label="click"), encoder.transform(sample(), label="click"))
    assert [loaded.values(field) for field in loaded.layout.fields] == [encoder.values(f) for f in loaded.layout.fields]
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "encoder.json").read_bytes()


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "encoder.json"
    SCHEMA.fit(sample()).save(path)
    whole = path.read_bytes().rstrip()
    for size in {0, 1, 20, len(whole) // 3, len(whole) // 2, len(whole) - 1}:
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"no whole JSON file.*cut off"):
            Encoder.load(path)


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"format": "other", "version": 1}', b"3"])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match="holds no encoder"):
        Encoder.load(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"\x93NUMPY\x01\x00\xff")
    with pytest.raises(ValueError, match="no whole JSON file"):
        Encoder.load(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        Encoder.load(tmp_path / "y")


def without(content: Any, key: str) -> None:
    del content[key]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: without(c, "vocabularies"),
        lambda c: without(c["vocabularies"], "note"),
        lambda c: c["vocabularies"]["note"].update(known=[7, 7]),
        lambda c: c["vocabularies"]["note"].update(known=["7"]),
        lambda c: c["vocabularies"]["note"].update(known=[7.0]),
        lambda c: c["vocabularies"]["note"].update(known=[2**63]),
        lambda c: c["vocabularies"]["note"].update(kind="date"),
        lambda c: c["vocabularies"]["new"].update(known=[0, 2]),
        lambda c: c["vocabularies"]["ip"].update(buckets=6),
        lambda c: c["edges"].update(age=[35, 18]),
        lambda c: c["edges"].update(age=[[18]]),
        lambda c: c["edges"].update(age=["x"]),
        lambda c: c["moments"]["words"].update(std=0),
        lambda c: c["moments"]["words"].update(mean=float("nan")),
        lambda c: c["fields"][0].update(type="Text"),
        lambda c: c["fields"][0].update(colour="red"),
        lambda c: c["fields"].clear(),
        lambda c: c.update(fields=3),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path, spoil: Any) -> None:
    path = tmp_path / "encoder.json"
    SCHEMA.fit(sample()).save(path)
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="contradicts itself"):
        Encoder.load(path)


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "encoder.json"
    SCHEMA.fit(sample()).save(path)
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(ValueError, match="version 2; this library reads 1"):
        Encoder.load(path)
