from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rectutor.data import Interactions, align, read_interactions, read_lists, read_negatives
from rectutor.data.readers import Separator

SEPARATORS: dict[Separator, str] = {"space": " ", "tab": "\t", "comma": ",", "::": "::"}
Write = Callable[..., Path]
slow_disk = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str | bytes, name: str = "log.txt") -> Path:
        path = tmp_path / name
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def pairs(x: Interactions) -> list[tuple[object, object, float]]:
    frame = x.frame()
    return list(zip(frame["user"].tolist(), frame["item"].tolist(), frame["value"].tolist(), strict=True))


# -- user item rating time ------------------------------------------------------------------------
@pytest.mark.parametrize("sep", list(SEPARATORS))
@pytest.mark.parametrize("name", ["log.txt", "log.gz"])
def test_four_columns(write: Write, sep: Separator, name: str) -> None:
    rows = [(7, 30, 4.5, 100), (7, 4, 1, 300), (2, 30, 0, 200)]
    text = "".join(SEPARATORS[sep].join(map(str, row)) + "\n" for row in rows)
    for x in (read_interactions(write(text, name)), read_interactions(write(text, name), sep=sep)):
        assert pairs(x) == [(2, 30, 0.0), (7, 4, 1.0), (7, 30, 4.5)]
        assert x.time is not None
        assert x.time.tolist() == [200, 300, 100]
        assert x.user_ids.dtype == np.int64


@slow_disk
@given(
    st.dictionaries(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1), st.sampled_from(["x", "NA", "nan", "None", "1e5", "007", "é", "-"])
        ),
        st.tuples(st.floats(0, 1e6, width=64), st.integers(-(2**40), 2**40)),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(list(SEPARATORS)),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_reads_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    log: dict[tuple[int, str], tuple[float, int]],
    sep: Separator,
    header: bool,
    end: str,
) -> None:
    rows = [[str(u), i, repr(v), str(t)] for (u, i), (v, t) in log.items()]
    lines = ([["userId", "movieId", "rating", "timestamp"]] if header else []) + rows
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes("".join(SEPARATORS[sep].join(line) + end for line in lines).encode())
    x = read_interactions(path, sep=sep, ids="auto")
    got = x.frame()
    back = {
        (u, str(i)): (v, t)
        for u, i, v, t in zip(got["user"].tolist(), got["item"].tolist(), x.value.tolist(), got["time"].tolist())
    }
    assert back == log
    assert got["user"].dtype == np.int64


@pytest.mark.parametrize("sep", list(SEPARATORS))
@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (["1", "2", "3"], "4 fields (user, item, rating, time) separated by {sep}; it has 3"),
        (["1", "2", "3", "4", "5"], "4 fields (user, item, rating, time) separated by {sep}; it has 5"),
        (["1", "x", "3", "4"], "a plain 64-bit integer as item"),
        (["007", "2", "3", "4"], "a plain 64-bit integer as user"),
        (["1.0", "2", "3", "4"], "a plain 64-bit integer as user"),
        ([str(2**63), "2", "3", "4"], "a plain 64-bit integer as user"),
        (["1", "2", "-0.5", "4"], "a finite rating >= 0; the rating is '-0.5'"),
        (["1", "2", "nan", "4"], "a finite rating >= 0; the rating is 'nan'"),
        (["1", "2", "inf", "4"], "a finite rating >= 0; the rating is 'inf'"),
        (["1", "2", "good", "4"], "a finite rating >= 0; the rating is 'good'"),
        (["1", "2", "3", "4.5"], "whole seconds since 1970 as time; the time is '4.5'"),
        (["1", "2", "3", "noon"], "whole seconds since 1970 as time; the time is 'noon'"),
    ],
)
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("after", [["1", "7", "3", "4"], ["1", "y", "", "4"]])
def test_malformed_lines_are_named(
    write: Write, sep: Separator, bad: list[str], expected: str, header: bool, after: list[str]
) -> None:
    joint = SEPARATORS[sep]
    first = ["user", "item", "rating", "time"] if header else ["8", "8", "2", "1"]
    lines = [first, ["9", "9", "2", "1"], [], bad, after]
    path = write("".join(joint.join(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match=r"line 4") as caught:
        read_interactions(path, sep=sep)
    names = {"space": "blanks", "tab": "tabs", "comma": "commas", "::": "'::'"}
    assert str(caught.value).startswith(f"{path}, line 4: {joint.join(bad)!r}: expected ")
    assert expected.format(sep=names[sep]) in str(caught.value)


@pytest.mark.parametrize("sep", ["tab", "comma", "::"])
@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (["", "2", "3", "4"], "the user is missing"),
        (["1", "", "3", "4"], "the item is missing"),
        (["1", "2", "", "4"], "the rating is ''"),
        (["1", "2", "3", ""], "the time is ''"),
    ],
)
@pytest.mark.parametrize("first", [["8", "8", "2", "1"], ["u", "i", "2", "1"], ["user", "item", "rating", "time"]])
def test_missing_fields_are_named(
    write: Write, sep: Separator, bad: list[str], expected: str, first: list[str]
) -> None:
    path = write("".join(SEPARATORS[sep].join(line) + "\n" for line in [first, bad]))
    with pytest.raises(ValueError, match="line 2") as caught:
        read_interactions(path)
    assert expected in str(caught.value)


def test_a_last_line_without_end_and_blank_lines(write: Write) -> None:
    assert pairs(read_interactions(write("\n\n 1 2 3\n\n  1  3  4 \n   \n1 4 5"))) == [(1, 2, 3), (1, 3, 4), (1, 4, 5)]


def test_two_and_three_columns(write: Write) -> None:
    x = read_interactions(write("1 2\n1 3\n"))
    assert pairs(x) == [(1, 2, 1.0), (1, 3, 1.0)]
    assert x.time is None
    assert pairs(read_interactions(write("1 2 5\n"))) == [(1, 2, 5.0)]


def test_headers(write: Write) -> None:
    text = 'timestamp,comment,MovieId,user_id\n5,"great, really",10,1\n6,,11,1\n'
    x = read_interactions(write(text, "log.csv"))
    assert pairs(x) == [(1, 10, 1.0), (1, 11, 1.0)]
    assert x.time is not None
    assert x.time.tolist() == [5, 6]
    named = write("u,i,stars\n1,2,3\n")
    with pytest.raises(ValueError, match=r"line 1: 'u,i,stars': expected a finite rating >= 0; the rating is 'stars'"):
        read_interactions(named, columns=("user", "item", "rating"), header=False)
    with pytest.raises(ValueError, match=r"line 1: 'u,i,stars': .* say columns=\(\.\.\.\) to name"):
        read_interactions(named)
    assert pairs(read_interactions(named, columns=("user", "item", "rating"))) == [(1, 2, 3.0)]
    assert pairs(read_interactions(named, columns=("item", "user", "-"), header=True)) == [(2, 1, 1.0)]
    assert pairs(read_interactions(write("user item\n"), header=False)) == [("user", "item", 1.0)]


def test_a_short_line_under_a_column_that_is_left_out(write: Write) -> None:
    columns = ("user", "item", "note")
    assert len(read_interactions(write("1,2,x\n1,3,\n"), columns=columns)) == 2
    with pytest.raises(
        ValueError, match=r"line 2: '1,3': expected 3 fields \(user, item, note\) separated by commas; it"
    ):
        read_interactions(write("1,2,x\n1,3\n"), columns=columns)


def test_columns_in_any_order(write: Write) -> None:
    x = read_interactions(write("100 4.5 9 x 1\n"), columns=("time", "rating", "item", "skip", "user"))
    assert pairs(x) == [(1, 9, 4.5)]
    with pytest.raises(ValueError, match="must name 'user' and 'item' and no column twice"):
        read_interactions(write("1 2\n"), columns=("user", "user"))


def test_too_many_columns_without_names(write: Write) -> None:
    with pytest.raises(ValueError, match=r"line 1: '1 2 3 4 5': expected 2 to 4 fields"):
        read_interactions(write("1 2 3 4 5\n"))
    with pytest.raises(ValueError, match=r"line 3: 'alone': expected 2 to 4 fields"):
        read_interactions(write("\n\nalone\n"))


def test_text_ids_and_leading_zeros(write: Write) -> None:
    path = write("007 NA\n7 null\n")
    assert [pair[:2] for pair in pairs(read_interactions(path))] == [("007", "NA"), ("7", "null")]
    assert [pair[:2] for pair in pairs(read_interactions(write("007 1\n7 2\n"), ids="int"))] == [(7, 1), (7, 2)]


def test_ids_never_pass_through_floats(write: Write) -> None:
    big = 2**53 + 1  # float64 would make it 2**53
    for ids in ("auto", "int"):
        assert pairs(read_interactions(write(f"{big} {2**63 - 1}\n1 2\n"), ids=ids))[1][:2] == (big, 2**63 - 1)
        with pytest.raises(ValueError, match=r"line 2: '1\.0 2': expected a plain 64-bit integer as user"):
            read_interactions(write(f"{big} 1\n1.0 2\n"), ids=ids)


def test_a_column_of_true_is_no_rating(write: Write) -> None:
    with pytest.raises(ValueError, match="line 2: '1,2,True': expected a finite rating >= 0; the rating is 'True'"):
        read_interactions(write("user,item,rating\n1,2,True\n1,3,True\n"))


def test_empty_files(write: Write) -> None:
    with pytest.raises(ValueError, match="is empty; it must hold at least one interaction"):
        read_interactions(write(" \n"))
    with pytest.raises(ValueError, match="holds a header and no interaction"):
        read_interactions(write("user,item\n"))
    with pytest.raises(FileNotFoundError):
        read_interactions("no such file.txt")


def test_duplicates_and_unknown_ids_name_the_file(write: Write) -> None:
    path = write("1 2 3 10\n1 2 4 5\n")
    with pytest.raises(ValueError, match=r"log\.txt: user 1 meets item 2 more than once"):
        read_interactions(path)
    assert pairs(read_interactions(path, duplicates="last")) == [(1, 2, 3.0)]  # the later time, not the later row
    with pytest.raises(ValueError, match=r"log\.txt: unknown item 2 "):
        read_interactions(path, duplicates="last", like=Interactions.from_arrays([1], [3]))


def test_encodings(write: Write) -> None:
    path = write("a\tb\ncafé\tb\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"after line \d: not utf-8 text .* say encoding="):
        read_interactions(path)
    assert [p[0] for p in pairs(read_interactions(path, encoding="latin-1"))] == ["a", "café"]
    assert pairs(read_interactions(write("\ufeff1,2\n"))) == [(1, 2, 1.0)]


def test_a_cut_gz_file(write: Write) -> None:
    path = write("".join(f"{k} {k * k} 1 {k}\n" for k in range(5000)), "log.gz")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"log\.gz, after line \d+: the compressed file is damaged or cut short"):
        read_interactions(path)
    path.write_bytes(b"1 2 3\n")
    with pytest.raises(ValueError, match="the compressed file is damaged or cut short"):
        read_interactions(path)


def test_unknown_options(write: Write) -> None:
    path = write("1 2\n")
    with pytest.raises(ValueError, match="sep is ';'"):
        read_interactions(path, sep=";")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ids is 'float'"):
        read_interactions(path, ids="float")  # type: ignore[arg-type]


@slow_disk
@given(st.text(alphabet='0123 \t,:.-x\n"', max_size=40))
def test_any_text_is_read_or_refused_clearly(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "log"
    path.write_text(text)
    try:
        x = read_interactions(path, duplicates="last")
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert 0 < len(x) <= text.count("\n") + 1


# -- user item item item ---------------------------------------------------------------------------
def test_lists(write: Write) -> None:
    x = read_lists(write("3 10 12\n\n1 12\n2\n"))
    assert pairs(x) == [(1, 12, 1.0), (3, 10, 1.0), (3, 12, 1.0)]
    assert x.user_ids.tolist() == [1, 2, 3]
    test = read_lists(write("2 11\n", "test.txt"))
    train, test = align(x, test)
    assert train.item_ids.tolist() == [10, 11, 12]
    assert pairs(test) == [(2, 11, 1.0)]
    assert pairs(read_lists(write("a x y\n"), ids="str")) == [("a", "x", 1.0), ("a", "y", 1.0)]
    assert pairs(read_lists(write("1 5\n", "x.gz"))) == [(1, 5, 1.0)]


def test_lists_bad_input(write: Write) -> None:
    with pytest.raises(ValueError, match="holds no interaction"):
        read_lists(write("1\n2\n"))
    with pytest.raises(ValueError, match=r"line 3: '2 4 x5': expected ids separated by blanks, .*'x5' is none"):
        read_lists(write("1 2 3\n\n2 4 x5\n"))
    with pytest.raises(ValueError, match=r"line 2: '1,4': expected ids separated by blanks"):
        read_lists(write("1 2 3\n1,4\n"))
    with pytest.raises(ValueError, match=r"line 2: '1 4': expected one line a user; user 1 has line 1 already"):
        read_lists(write("1 2\n1 4\n"))
    with pytest.raises(ValueError, match=r"log\.txt: user 1 meets item 2 more than once"):
        read_lists(write("1 2 2\n"))
    like = Interactions.from_arrays([1], [2])
    with pytest.raises(ValueError, match="unknown item 3"):
        read_lists(write("1 3\n"), like=like)
    with pytest.raises(ValueError, match="unknown user 9"):
        read_lists(write("1 2\n9\n"), like=like)
    with pytest.raises(ValueError, match=f"line 1: '1 {2**63}'"):
        read_lists(write(f"1 {2**63}\n"))


# -- negatives -------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["(0,25)\t1064\t174\n\n(0, 7)\t3\n", "0 25 1064 174\n0 7\t3\n"])
def test_negatives(write: Write, text: str) -> None:
    x = read_negatives(write(text))
    assert len(x) == 2
    assert x.user.tolist() == [0, 0]
    assert x.item.tolist() == [25, 7]
    assert [x.of(row).tolist() for row in range(2)] == [[1064, 174], [3]]
    assert x.item_ids().tolist() == [3, 7, 25, 174, 1064]
    assert pairs(x.positives()) == [(0, 7, 1.0), (0, 25, 1.0)]


def test_negatives_bad_input(write: Write) -> None:
    with pytest.raises(ValueError, match="is empty; it must hold at least one test row"):
        read_negatives(write("\n"))
    with pytest.raises(ValueError, match=r"line 2: '\(1,2\)': expected \(user,item\) .* at least one negative"):
        read_negatives(write("(0,1)\t5\n(1,2)\n"))
    with pytest.raises(ValueError, match=r"line 2: '1 2 3': expected \(user,item\)"):
        read_negatives(write("(0,1)\t5\n1 2 3\n"))
    with pytest.raises(ValueError, match=r"line 2: '\(0,1\) 5': expected user item negative"):
        read_negatives(write("0 1 5\n(0,1) 5\n"))
    with pytest.raises(ValueError, match=r"line 1: '0 1 5 1': expected negatives only; the held-out item 1"):
        read_negatives(write("0 1 5 1\n"))
    with pytest.raises(ValueError, match=r"line 1: '\(0,1\) 5 x': expected integer ids, .*'x' is none"):
        read_negatives(write("(0,1) 5 x\n"))
    assert read_negatives(write("(a,b) c\n"), ids="str").negatives.tolist() == ["c"]
