"""Declaring a schema, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rectutor.features import Bucketed, Categorical, Dense, Schema, Sequence


def test_a_schema_reads_as_it_was_declared() -> None:
    fields = (
        Categorical("note", min_count=5),
        Dense("words"),
        Sequence("history", length=4, vocabulary="note", weights="dwell"),
        Bucketed("age"),
        Categorical("ip", hash_buckets=100),
    )
    schema = Schema(fields)
    assert schema == Schema(list(fields))
    assert schema.columns == ("note", "words", "history", "age", "ip", "dwell")
    assert schema.vocabularies == ("note", "ip")
    assert schema.members("note") == ("note", "history")
    assert (schema.setting("note", "min_count"), schema.setting("note", "hash_buckets")) == (5, None)
    assert [field.name for field in schema.slotted] == ["note", "history", "age", "ip"]
    assert schema.dense == (Dense("words"),)


def test_edges_say_how_many_buckets() -> None:
    assert Bucketed("age", by=[18, 25]).buckets == 3  # type: ignore[arg-type]
    assert Bucketed("age").buckets == 10


@pytest.mark.parametrize(
    ("declare", "error", "message"),
    [
        (lambda: Schema([]), ValueError, "fields is empty"),
        (lambda: Schema(["user"]), TypeError, "fields has 'user'"),  # type: ignore[list-item]
        (lambda: Schema([Dense("a"), Categorical("a")]), ValueError, "two fields are named 'a'"),
        (lambda: Schema([Bucketed("a"), Categorical("b", vocabulary="a")]), ValueError, "name of a Bucketed"),
        (
            lambda: Schema([Categorical("a", min_count=2), Categorical("b", vocabulary="a", min_count=3)]),
            ValueError,
            "differ in min_count: {'a': 2, 'b': 3}",
        ),
        (
            lambda: Schema([Categorical("a", min_count=2), Categorical("b", vocabulary="a", hash_buckets=3)]),
            ValueError,
            "a hash counts nothing",
        ),
        (lambda: Dense(""), TypeError, "name is ''"),
        (lambda: Dense(3), TypeError, "name is 3"),  # type: ignore[arg-type]
        (lambda: Dense("a", transform="log"), ValueError, "choose 'none' or 'log1p'"),
        (lambda: Bucketed("a", by="learned"), ValueError, "by of 'a' is 'learned'"),
        (lambda: Bucketed("a", buckets=1), ValueError, "buckets of 'a' is 1; it must be at least 2"),
        (lambda: Bucketed("a", by=(1, 1)), ValueError, "finite and ascend"),
        (lambda: Bucketed("a", by=(1, float("nan"))), ValueError, "finite and ascend"),
        (lambda: Bucketed("a", by=()), ValueError, "finite and ascend"),
        (lambda: Bucketed("a", by=(1, 2), buckets=4), ValueError, "2 edges make 3"),
        (lambda: Categorical("a", min_count=0), ValueError, "min_count of 'a' is 0"),
        (lambda: Categorical("a", min_count=1.5), TypeError, "min_count of 'a' is 1.5"),  # type: ignore[arg-type]
        (lambda: Categorical("a", hash_buckets=0), ValueError, "hash_buckets of 'a' is 0"),
        (lambda: Categorical("a", hash_buckets=True), TypeError, "hash_buckets of 'a' is True"),
        (lambda: Categorical("a", vocabulary=""), TypeError, "vocabulary of 'a'"),
        (lambda: Sequence("a", length=0), ValueError, "length of 'a' is 0"),
        (lambda: Sequence("a", length=1, keep="best"), ValueError, "keep of 'a' is 'best'"),
        (lambda: Sequence("a", length=1, sep=""), TypeError, "sep of 'a' is ''"),
        (lambda: Sequence("a", length=1, weights=1), TypeError, "weights of 'a' is 1"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_declaration_is_refused(declare: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        declare()
