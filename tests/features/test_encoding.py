"""Hashes against published values, buckets by their definition, padding by hand; which values are equal."""

from __future__ import annotations

import re
import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rectutor.features import bucketize, encode, encode_hashed, pad, quantile_edges, reference, vocabulary, width_edges
from rectutor.features.columns import read_numbers, read_ragged, read_values, read_weights
from rectutor.features.encoding import fnv1a

finite = st.floats(-1e6, 1e6)


# -- hashes ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "value"),
    [("", 0xCBF29CE484222325), ("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8)],  # from the authors' page
)
def test_fnv1a_has_its_published_values(text: str, value: int) -> None:
    assert reference.fnv1a(text.encode()) == value
    assert fnv1a(np.array([text], object)).tolist() == [value]


def test_the_finaliser_has_its_known_values() -> None:
    assert [reference.finalise(h) for h in (0, 1)] == [0, 0xB456BCFC34C2CB2C]


def test_a_hash_is_the_same_in_every_process() -> None:
    program = "from rectutor.features import encode_hashed; print(encode_hashed(['tea', '商品', ''], 10**9).tolist())"
    runs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert runs == {f"{encode_hashed(['tea', '商品', ''], 10**9).tolist()}\n"}
    assert encode_hashed([2**53, 2**53 + 1], 2**40).tolist() == [
        3 + reference.finalise(2**53) % 2**40,
        3 + reference.finalise(2**53 + 1) % 2**40,
    ]


@pytest.mark.parametrize("column", [list(range(20_000)), [f"note {i}" for i in range(20_000)]])
def test_hashes_fill_the_buckets_evenly(column: list[Any]) -> None:
    """Chi-square over 100 buckets: mean 99, standard deviation 14; six of them are left on either side."""
    counts = np.bincount(encode_hashed(column, 100) - 3, minlength=100)
    chi = ((counts - 200) ** 2 / 200).sum()
    assert 99 - 6 * 14.07 < chi < 99 + 6 * 14.07


@given(st.lists(st.text(max_size=20)))
def test_texts_hash_one_by_one_as_together(texts: list[str]) -> None:
    assert encode_hashed(texts, 997).tolist() == [int(encode_hashed([text], 997)[0]) for text in texts]


# -- vocabularies ------------------------------------------------------------------------------------------------
def test_codes_follow_the_counts_then_the_values() -> None:
    values = ["b", "a", "c", None, "c", "b", "d"]
    assert vocabulary(values) == ["b", "c", "a", "d"]
    assert vocabulary(values, 2) == ["b", "c"]
    assert encode(values, ["b", "c"]).tolist() == [3, 2, 4, 1, 4, 3, 2]


@pytest.mark.parametrize("function", [vocabulary, reference.vocabulary])
def test_vocabulary_by_hand(function: Any) -> None:
    assert function([3, 1, 3, None, 2, 1, 3], 2) == [3, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vocabulary([1], 0), "min_count is 0"),
        (lambda: encode_hashed([1], 0), "buckets is 0"),
        (lambda: encode([1], [1, 1]), "known has a missing value or one that stands twice"),
        (lambda: encode([1], [None, 1]), "known has a missing value"),
        (lambda: width_edges([1, 2], 1), "buckets is 1"),
        (lambda: quantile_edges([np.nan], 2), "values has no number"),
        (lambda: width_edges([-1.7e308, 1.7e308], 4), "range beyond float64"),
        (lambda: width_edges([0, np.inf], 4), "values is inf in row 1"),
        (lambda: pad([3], [1.0], [1], 2, "best"), "keep is 'best'"),
        (lambda: pad([3], [1.0], [2], 2), "1 codes, 1 weights, lengths that add up to 2"),
    ],
)
def test_wrong_arguments_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="values are text, known is integer"):
        encode(["1"], [1])


# -- buckets -----------------------------------------------------------------------------------------------------
def test_buckets_by_hand() -> None:
    assert width_edges([0, 10, 3], 4).tolist() == reference.width_edges([0, 10, 3], 4) == [2.5, 5.0, 7.5]
    assert quantile_edges([5, 1, 2, 4, 3, 6], 3).tolist() == reference.quantile_edges([5, 1, 2, 4, 3, 6], 3) == [3, 5]
    assert bucketize([2.4, 2.5, 9.0, -1.0, np.nan], [2.5, 5.0]).tolist() == [3, 4, 5, 3, 1]


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=60, unique=True), st.integers(2, 9))
def test_quantile_buckets_differ_by_one_at_most(values: list[int], buckets: int) -> None:
    """Without ties the counts are as even as whole numbers allow, and none is empty."""
    counts = np.bincount(bucketize(values, quantile_edges(values, buckets)) - 3)
    assert len(counts) == min(buckets, len(values))
    assert counts.max() - counts.min() <= 1


@given(st.lists(finite, min_size=2, max_size=40), st.integers(2, 9))
def test_width_buckets_are_equally_wide(values: list[float], buckets: int) -> None:
    edges = width_edges(values, buckets)
    low, high = min(values), max(values)
    steps = np.diff([low, *edges, high])
    if high - low > 1e-6:
        np.testing.assert_allclose(steps, (high - low) / buckets, atol=1e-9)
    else:
        assert (steps >= 0).all()


@given(st.lists(finite, min_size=1, max_size=40), st.integers(2, 9), st.sampled_from([width_edges, quantile_edges]))
def test_a_bucket_holds_what_its_edges_say(values: list[float], buckets: int, edges_of: Any) -> None:
    edges = [-np.inf, *edges_of(values, buckets), np.inf]
    for x, code in zip(values, bucketize(values, edges[1:-1])):
        assert edges[code - 3] <= x < edges[code - 2]


# -- padding -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("function", [pad, reference.pad])
def test_padding_by_hand(function: Any) -> None:
    codes, weights, lengths = [3, 4, 5, 6], [1.0, 2.0, 3.0, 4.0], [3, 0, 1]
    ids, x = function(codes, weights, lengths, 2)
    assert np.asarray(ids).tolist() == [[4, 5], [0, 0], [6, 0]]
    assert np.asarray(x).tolist() == [[2, 3], [0, 0], [4, 0]]
    assert np.asarray(function(codes, weights, lengths, 2, "first")[0]).tolist() == [[3, 4], [0, 0], [6, 0]]


# -- which values are equal --------------------------------------------------------------------------------------
def read(column: Any) -> tuple[Any, list[Any], list[int]]:
    values = read_values(column, "x")
    return values.kind, values.distinct.tolist(), values.place.tolist()


@pytest.mark.parametrize(
    "column",
    [
        [7, None, 9],
        [7.0, float("nan"), 9],
        [np.int32(7), pd.NA, np.uint8(9)],
        [np.float32(7), pd.NaT, 9],
        np.array([7.0, np.nan, 9.0], np.float32),
        pd.Series([7, None, 9]),
        pd.Series([7, None, 9], dtype="Int64"),
        pd.Series([7, None, 9], dtype="Float64"),
        pd.Series([7, None, 9], dtype="category"),
        pd.Series([7, None, 9], dtype=object),
        pd.Series(pd.Categorical([7, None, 9], categories=[1, 9, 8, 7])),
    ],
)
def test_whole_numbers_are_integers_in_every_dress(column: Any) -> None:
    assert read(column) == ("integer", [7, 9], [0, -1, 1])


@pytest.mark.parametrize(
    "column",
    [
        ["7", None, ""],
        [np.str_("7"), float("nan"), ""],
        pd.Series(["7", None, ""]),
        pd.Series(["7", None, ""], dtype=object),
        pd.Series(["7", None, ""], dtype="string"),
        pd.Series(["7", None, ""], dtype="category"),
    ],
)
def test_text_is_text_in_every_dress(column: Any) -> None:
    assert read(column) == ("text", ["7", ""], [0, -1, 1])


@pytest.mark.parametrize("column", [[True, None, False], pd.Series([True, None, False], dtype="boolean")])
def test_booleans_are_a_kind_of_their_own(column: Any) -> None:
    assert read(column) == ("boolean", [1, 0], [0, -1, 1])
    assert read(np.array([True, False])) == ("boolean", [1, 0], [0, 1])
    assert read(np.array(["a", "b", "a"])) == ("text", ["a", "b"], [0, 1, 0])


@pytest.mark.parametrize(
    "column", [[], [None, np.nan], np.zeros(0), np.array([np.nan]), pd.Series([None], dtype="str")]
)
def test_no_value_is_of_no_kind(column: Any) -> None:
    assert read(column) == (None, [], [-1] * len(column))


@pytest.mark.parametrize("number", [2**24 + 1, 2**53 + 1, 2**63 - 1, -(2**63)])
def test_large_integers_keep_every_digit(number: int) -> None:
    neighbour = number - 1 if number > 0 else number + 1
    for column in (
        np.array([number, neighbour]),
        [number, neighbour],
        pd.Series([number, neighbour], dtype="Int64"),
        pd.Series([number, neighbour], dtype="category"),
    ):
        assert read(column)[1] == [number, neighbour]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1.0, 2.5], r"x is 2.5 in row 1; a category is whole"),
        (np.array([2.0, -0.5]), "x is -0.5 in row 1; a category is whole"),
        (np.array([1.0, np.inf]), "x is inf in row 1"),
        ([1, float("-inf")], "x is -inf in row 1"),
        (
            np.array([1.0, 2.0**53]),
            "row 1; from 9007199254740992 on its floating point skips whole numbers: read it as",
        ),
        (np.array([3, 2**24], np.float32), "row 1; from 16777216 on"),
        ([3, np.float32(2**24)], "row 1; from 16777216 on"),
        (pd.Series([1.0, 1.0, 1e300], dtype="category"), "row 2; from 9007199254740992 on"),
        (np.array([1, 2**63], np.uint64), "x is 9223372036854775808 in row 1, beyond int64"),
        ([1, 2**70], "row 1, beyond int64"),
        ([1, -(2**63) - 1], "row 1, beyond int64"),
    ],
)
def test_numbers_that_are_no_ids_are_refused(column: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_values(column, "x")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1, "1"], "x mixes 1 in row 0 and '1' in row 1"),
        ([None, True, 1], "x mixes True in row 1 and 1 in row 2"),
        ([1.0, float("nan"), "a"], "x mixes 1.0 in row 0 and 'a' in row 2"),
        ([["a"]], "declare a Sequence"),
        ([b"a"], "x holds b'a' in row 0"),
        ([Decimal(1)], "x holds Decimal"),
        (pd.Series(pd.to_datetime(["2024-01-01"])), "x holds datetime64"),
        (np.array([1j]), "x holds complex128"),
        (pd.Series(pd.period_range("2024-01", periods=1, freq="M")), r"x holds Period\("),
        (pd.Series(pd.date_range("2024-01-01", periods=1, tz="UTC")), "x holds datetime64"),
        (pd.Series(pd.date_range("2024-01-01", periods=1)).astype("category"), "x holds datetime64"),
    ],
)
def test_values_of_no_kind_or_two_are_refused(column: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        read_values(column, "x")


# -- numbers -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "column",
    [
        [1, None, 0],
        [True, None, False],
        pd.Series([1, None, 0]),
        pd.Series([1, None, 0], dtype="Int8"),
        pd.Series([True, None, False], dtype="boolean"),
        pd.Series([1, None, 0], dtype="category"),
        pd.Series([1, None, np.float32(0)], dtype=object),
    ],
)
def test_numbers_in_every_dress(column: Any) -> None:
    np.testing.assert_array_equal(read_numbers(column, "x"), [1.0, np.nan, 0.0])


def test_missing_text_is_no_number_but_missing() -> None:
    np.testing.assert_array_equal(read_numbers(pd.Series([None, None], dtype="str"), "x"), [np.nan, np.nan])


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (["1"], TypeError, "x holds '1' in row 0; make it numbers, e.g. with pandas.to_numeric"),
        (pd.Series([None, "1"]), TypeError, "x holds '1' in row 1"),
        (pd.Series(["a"], dtype="category"), TypeError, "x holds 'a' in row 0"),
        ([Decimal(1)], TypeError, "x holds Decimal"),
        (pd.Series(pd.to_datetime(["2024-01-01"])), TypeError, "x holds Timestamp"),
        ([0.0, float("inf")], ValueError, "x is inf in row 1; remove it, or make it missing"),
        (np.array([-np.inf]), ValueError, "x is -inf in row 0"),
    ],
)
def test_what_is_no_number_is_refused(column: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_numbers(column, "x")


# -- sequences ---------------------------------------------------------------------------------------------------
def ragged(cells: list[Any], sep: str | None = None) -> tuple[list[Any], list[int], list[bool]]:
    found = read_ragged(pd.Series(cells, dtype=object), "x", sep)
    values = [None if p < 0 else found.values.distinct[p] for p in found.values.place]
    return values, found.lengths.tolist(), found.missing.tolist()


@pytest.mark.parametrize(
    "cells",
    [
        [[1, 2], [], None, [2]],
        [(1, 2), (), np.nan, (2,)],
        [np.array([1, 2]), np.array([]), None, np.array([2])],
        [np.array([1, 2], np.uint8), [], pd.NA, (2.0,)],
    ],
)
def test_sequences_in_every_dress(cells: list[Any]) -> None:
    assert ragged(cells) == ([1, 2, None, 2], [2, 0, 1, 1], [False, False, True, False])


def test_delimited_text() -> None:
    cells = ["a|b", "", None, "b", "a||c", "a|b"]
    values = ["a", "b", None, "b", "a", None, "c", "a", "b"]
    assert ragged(cells, "|") == (values, [2, 0, 1, 1, 3, 2], [False, False, True, False, False, False])
    assert ragged([None, None], "|") == ([None, None], [1, 1], [True, True])
    assert ragged(["a, b"], ", ") == (["a", "b"], [2], [False])


def test_large_ids_in_sequences_keep_every_digit() -> None:
    large = 2**53 + 1
    for cells in ([[large], [large - 1]], [np.array([large]), np.array([large - 1])], [np.array([large]), [large - 1]]):
        assert ragged(cells)[0] == [large, large - 1]
    with pytest.raises(ValueError, match="skips whole numbers"):
        ragged([np.array([large]), np.array([2.0**53])])
    with pytest.raises(ValueError, match="16777216"):
        ragged([np.array([1.0]), np.array([2**24 + 1], np.float32)])


@pytest.mark.parametrize(
    ("cells", "sep", "error", "message"),
    [
        (["ab"], None, TypeError, "x holds 'ab' in row 0, which is no sequence; give sep to cut text"),
        ([[1], 2], None, TypeError, "x holds 2 in row 1, which is no sequence"),
        ([{1, 2}], None, TypeError, "which is no sequence"),
        ([np.zeros((2, 2))], None, ValueError, "array of shape (2, 2) in row 0"),
        ([np.array(3)], None, ValueError, "array of shape () in row 0"),
        ([[2, 3], None, [1, "1"]], None, TypeError, "x mixes 2 in row 0 and '1' in row 2"),
        ([[], None, [2, 0.5]], None, ValueError, "x is 0.5 in row 2"),
        ([[1], [[1, 2]]], None, TypeError, "[1, 2] in row 1; not a whole number"),
        ([1, 2], "|", TypeError, "x holds integer values, not text delimited by '|'"),
        ([["a"]], "|", TypeError, "not a whole number, a text"),
    ],
)
def test_cells_that_are_no_sequences_are_refused(
    cells: list[Any], sep: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        ragged(cells, sep)


def weighed(cells: list[Any], weights: list[Any], sep: str | None = None) -> list[float]:
    frame = pd.DataFrame({"x": pd.Series(cells, dtype=object), "w": pd.Series(weights, dtype=object)})
    return list(read_weights(frame["w"], "w", "x", read_ragged(frame["x"], "x", sep), sep).tolist())


def test_weights() -> None:
    assert weighed([[1, 2], [], None, [3]], [[0.5, 2], [], None, np.array([-1.0])]) == [0.5, 2.0, 1.0, -1.0]
    assert weighed([[1], []], [(3,), None]) == [3.0]
    assert weighed(["a|b", None, ""], ["0.5|2", None, None], "|") == [0.5, 2.0, 1.0]


@pytest.mark.parametrize(
    ("cells", "weights", "sep", "error", "message"),
    [
        ([[1], [1, 2]], [[1.0], [1.0]], None, ValueError, "w has 1 weights in row 1, x 2 values"),
        ([[1], []], [[1.0], [1.0]], None, ValueError, "w has 1 weights in row 1, x 0 values"),
        ([[1]], [None], None, ValueError, "w has 0 weights in row 0, x 1 values"),
        ([None], [[1.0]], None, ValueError, "w has 1 weights in row 0, x 0 values"),
        ([[1], [2]], [[1.0], [np.nan]], None, ValueError, "w has the weight nan in row 1"),
        ([[], [2]], [[], [1e39]], None, ValueError, r"w has the weight 1e\+39 in row 1"),
        ([[], [1]], [[], [np.inf]], None, ValueError, "a weight in w is inf in row 1"),
        ([[1], None, [2]], [[1.0], None, ["1"]], None, TypeError, "a weight in w holds '1' in row 2"),
        ([[1]], [1.0], None, TypeError, "w holds 1.0 in row 0, which is no sequence"),
        (["a"], ["b"], "|", TypeError, "w has the piece 'b', which is no number"),
        (["a|b"], ["1|nan"], "|", ValueError, "w has the weight nan in row 0"),
    ],
)
def test_weights_that_do_not_go_with_their_sequence_are_refused(
    cells: list[Any], weights: list[Any], sep: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        weighed(cells, weights, sep)
