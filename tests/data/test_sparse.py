"""libsvm and libffm: true files, numbers to the last bit, blocks of any size, and every error with its line."""

from __future__ import annotations

import gzip
import io
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rectutor.data.sparse import (
    Format,
    SparseRows,
    read_libffm,
    read_libsvm,
    stream_rows,
    write_libffm,
    write_libsvm,
)

Write = Callable[..., Path]
slow_disk = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str | bytes, name: str = "rows.txt") -> Path:
        path = tmp_path / name
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def same(a: SparseRows, b: SparseRows) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("label", "indptr", "ids", "values")
    ) and (
        np.array_equal(a.fields, b.fields) if a.fields is not None and b.fields is not None else a.fields is b.fields
    )


def plain(text: str, form: Format) -> SparseRows:
    """The format in Python's own words."""
    label, indptr, pairs = [], [0], []
    for line in text.split("\n"):
        tokens = line.partition("#")[0].split()
        if tokens:
            label.append(max(float(tokens[0]), 0.0))
            pairs += [token.split(":") for token in tokens[1:]]
            indptr.append(len(pairs))
    return SparseRows(
        np.array(label, np.float32),
        np.array(indptr, np.int64),
        np.array([int(p[-2]) for p in pairs], np.int64),
        np.array([float(p[-1]) for p in pairs]).astype(np.float32),
        np.array([int(p[0]) for p in pairs], np.int32) if form == "libffm" else None,
    )


# -- true files --------------------------------------------------------------------------------------------------
def test_frappe_as_libfm_has_it(write: Write) -> None:
    text = "-1 0:1 451:1 4149:1 5041:1\n1 2:1 451:1 4150:1 5041:1\n"
    for rows in (read_libsvm(write(text)), read_libsvm(write(text, "frappe.libfm.gz"))):
        assert rows.label.tolist() == [0, 1]
        assert rows.indptr.tolist() == [0, 4, 8]
        assert rows.ids.tolist() == [0, 451, 4149, 5041, 2, 451, 4150, 5041]
        assert rows.values.tolist() == [1.0] * 8
        assert rows.fields is None


def test_criteo_as_libffm_has_it(write: Write) -> None:
    text = "0\t0:194689:1\t1:219620:0.3651\t38:999999:1e-2\n1\t0:1:1\n"
    rows = read_libffm(write(text))
    assert rows.label.tolist() == [0, 1]
    assert rows.fields is not None
    assert rows.fields.tolist() == [0, 1, 38, 0]
    assert rows.ids.tolist() == [194689, 219620, 999999, 1]
    assert rows.values.tolist() == np.array([1, 0.3651, 1e-2, 1], np.float32).tolist()


def test_what_is_allowed(write: Write) -> None:
    text = "\ufeff+1 3:1 # a comment 4:1\r\n\n  \t\r\n# all comment\n"
    text += "-1.0\t \t9223372036854775807:+.5\n1\n1 5:1#c\n-1e0 0:-0"
    rows = read_libsvm(write(text))
    assert rows.label.tolist() == [1, 0, 1, 1, 0]
    assert rows.indptr.tolist() == [0, 1, 2, 2, 3, 4]
    assert rows.ids.tolist() == [3, 2**63 - 1, 5, 0]
    assert rows.values.tolist() == [1, 0.5, 1, 0]
    assert np.signbit(rows.values[3])
    assert same(rows, read_libsvm(write(text + "\n")))


@pytest.mark.parametrize("form", ["libsvm", "libffm"])
@slow_disk
@given(data=st.data())
def test_any_file_in_any_blocks(write: Write, form: Format, data: st.DataObject) -> None:
    number = st.one_of(
        st.floats(width=32, allow_nan=False, allow_infinity=False).map(lambda x: repr(float(x))),
        st.decimals(-1000, 1000, places=data.draw(st.integers(0, 12))).map(str),
        st.just("1"),
    )
    ids = st.integers(0, 2**63 - 1).map(str)
    pair = st.tuples(st.integers(0, 2**31 - 1).map(str), ids, number) if form == "libffm" else st.tuples(ids, number)
    line = st.tuples(
        st.sampled_from(["1", "-1", "+1", "-1.0"]),
        st.lists(pair.map(":".join), max_size=4),
        st.sampled_from(["", "#1:1"]),
    ).map(lambda t: " ".join([t[0], *t[1], t[2]]))
    lines = data.draw(st.lists(line | st.sampled_from(["", "# none"]), min_size=1, max_size=8))
    text = "\n".join(["1", *lines])
    expected = plain(text, form)
    path = write(text)
    for size in (1, data.draw(st.integers(2, 60)), 2**20):
        blocks = list(stream_rows(path, form, block_bytes=size))
        assert min(map(len, blocks)) > 0
        joined = SparseRows.join(blocks)
        assert same(joined, expected)
    assert len(expected) == 1 or len(list(stream_rows(path, form, block_bytes=1))) > 1
    if len(expected.ids):
        assert same(SparseRows.join(stream_rows(path, block_bytes=1)), expected)


# -- numbers -----------------------------------------------------------------------------------------------------
def values_of(write: Write, texts: list[str]) -> np.ndarray[Any, Any]:
    return read_libsvm(write("".join(f"1 0:{text}\n" for text in texts))).values


def as_python(texts: list[str]) -> np.ndarray[Any, Any]:
    return np.array([float(text) for text in texts]).astype(np.float32)


def test_numbers_to_the_last_bit(write: Write) -> None:
    rng = np.random.default_rng(0)
    texts = [f"{rng.integers(10**12)}.{rng.integers(10**12)}e{rng.integers(-70, 14)}" for _ in range(20_000)]
    texts += [repr(float(x)) for x in rng.standard_normal(20_000) * 10.0 ** rng.integers(-44, 38, 20_000)]
    texts += [str(x) for x in rng.standard_normal(20_000).astype(np.float32)]
    got, expected = values_of(write, texts), as_python(texts)
    assert got.view(np.int32).tolist() == expected.view(np.int32).tolist()


def test_numbers_between_two_float32(write: Write) -> None:
    """Exact ties, their neighbours among 64-bit numbers, and decimals just off them, which only exact work tells."""
    rng = np.random.default_rng(1)
    below = np.abs(rng.standard_normal(3000)).astype(np.float32) * np.float32(10) ** rng.integers(-30, 30, 3000)
    middle = (below.astype(np.float64) + np.nextafter(below, np.float32(np.inf)).astype(np.float64)) / 2
    texts = []
    for x in middle.tolist():
        exact = f"{x:.60e}"
        mantissa, power = exact.split("e")
        texts += [exact, f"{mantissa}1e{power}", repr(float(np.nextafter(x, 0))), repr(float(np.nextafter(x, np.inf)))]
    texts += [
        "16777217",
        "16777217.0000000000000000000000001",
        "1" + "0" * 40 + "e-40",
        "0." + "0" * 50 + "1",
        "0e99999",
    ]
    texts += ["1e-45", "7e-46", "7.1e-46", "1e-99999", "3.4028235e38", "3.4028235677973362e38", "." + "9" * 400, "-0.0"]
    got, expected = values_of(write, texts), as_python(texts)
    assert got.view(np.int32).tolist() == expected.view(np.int32).tolist()


@slow_disk
@given(st.from_regex(r"\A[+-]?([0-9]{1,25}\.?[0-9]{0,25}|\.[0-9]{1,25})([eE][+-]?[0-9]{1,2})?\Z"))
def test_any_decimal(write: Write, text: str) -> None:
    with np.errstate(over="ignore"):
        expected = as_python([text])
    if np.isfinite(expected[0]):
        assert values_of(write, [text]).view(np.int32)[0] == expected.view(np.int32)[0]
    else:
        with pytest.raises(ValueError, match="too large for a 32-bit number"):
            values_of(write, [text])


# -- errors ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("form", "bad", "says"),
    [
        ("libsvm", "2 3:1", "a label 0 or 1, or -1 or 1, to start with, not '2'"),
        ("libsvm", "0.5 3:1", "not '0.5'"),
        ("libsvm", "yes 3:1", "not 'yes'"),
        ("libsvm", "nan 3:1", "not 'nan'"),
        ("libsvm", "3:1 4:1", "not '3:1'"),
        ("libsvm", "1,3:1", "not '1,3:1'"),
        ("libsvm", "0 3:1", "'0' here and -1 in line 1 do not go together"),
        ("libsvm", "1 3:1 4", "id:value instead of '4': there is no ':'"),
        ("libsvm", "1 qid:7 4:1", "instead of 'qid:7': groups of a ranking"),
        ("libsvm", "1 -3:1", "'-3:1': the id must be a whole number from 0 on"),
        ("libsvm", "1 1.0:1", "'1.0:1': the id must be a whole number from 0 on"),
        ("libsvm", "1 :1", "':1': the id must be a whole number from 0 on"),
        ("libsvm", "1 age:1", "'age:1': the id must be a whole number from 0 on"),
        ("libsvm", "1 9223372036854775808:1", "the id may be 9223372036854775807 at most"),
        ("libsvm", f"1 {10**30}:1", "the id may be 9223372036854775807 at most"),
        ("libsvm", "1 3:", "'3:': the value must be a finite decimal number"),
        ("libsvm", "1 3: 1", "'3:': the value must be a finite decimal number"),
        ("libsvm", "1 3:x", "'3:x': the value must be a finite decimal number"),
        ("libsvm", "1 3:nan", "'3:nan': the value must be a finite decimal number"),
        ("libsvm", "1 3:-inf", "'3:-inf': the value must be a finite decimal number"),
        ("libsvm", "1 3:1_0", "'3:1_0': the value must be a finite decimal number"),
        ("libsvm", "1 3:1e", "'3:1e': the value must be a finite decimal number"),
        ("libsvm", "1 3:1,4:1", "it has 3 parts"),
        ("libsvm", "1 3:1e39", "'3:1e39': the value is too large for a 32-bit number"),
        ("libsvm", "1 3:1e400", "'3:1e400': the value is too large for a 32-bit number"),
        ("libsvm", "1 2:3:0.5", "'2:3:0.5': it has 3 parts, as in a libffm file; read it as one"),
        ("libsvm", "1 3:1 \x00", r"there is no ':'"),
        ("libffm", "1 3:0.5", "field:id:value instead of '3:0.5': it has 2 parts, as in a libsvm file; read it as one"),
        ("libffm", "1 2147483648:3:1", "the field may be 2147483647 at most"),
        ("libffm", "1 -1:3:1", "the field must be a whole number from 0 on"),
        ("libffm", "1 1:-3:1", "the id must be a whole number from 0 on"),
        ("libffm", "1 1:3:1:1", "it has 4 parts"),
        ("libffm", "1 1:3:", "the value must be a finite decimal number"),
    ],
)
def test_a_bad_line_is_named(write: Write, form: Format, bad: str, says: str) -> None:
    good = "-1 4:1" if form == "libsvm" else "-1 0:4:1"
    path = write(f"{good}\n# two\n\n{bad}\n{good}\n".encode())
    for size in (1, 10, 2**20):
        with pytest.raises(ValueError, match=re.escape(says)) as caught:
            list(stream_rows(path, form, block_bytes=size))
        assert str(caught.value).startswith(f"{path}, line 4: {bad[:60]!r}"[:-1])


def test_a_last_line_cut_short(write: Write) -> None:
    for text in ("1 3:0.5\n1 3:1 7:", "1 3:0.5\n1 3:1 7", "1 3:0.5\n-"):
        with pytest.raises(ValueError, match=r"line 2, where the file ends without a line end: .* expected"):
            read_libsvm(write(text))
    with pytest.raises(ValueError, match=r"rows.txt, line 1: '1 3:': expected"):
        read_libsvm(write("1 3:\n1 3:1"))


def test_a_mix_of_minus_one_and_zero(write: Write) -> None:
    with pytest.raises(ValueError, match=r"line 4: '-1 1:1': .* '-1' here and 0 in line 2 do not go together"):
        list(stream_rows(write("1 1:1\n0 1:1\n0 1:1\n-1 1:1\n"), block_bytes=1))


def test_a_number_left_to_python_names_its_line(write: Write) -> None:
    with pytest.raises(ValueError, match=r"line 2: '1\\t3:1e99999\\t5:1': .* '3:1e99999': the value is too large"):
        read_libsvm(write("1 3:1e-99\n1\t3:1e99999\t5:1\n1 3:1\n1 x\n"))


def test_a_long_line_is_shown_in_part(write: Write) -> None:
    with pytest.raises(ValueError, match=r"line 1: '1 1:1 [1: ]*\.\.\.': expected id:value instead of 'x'"):
        read_libsvm(write("1 " + "1:1 " * 100 + "x\n"))


def test_the_other_format(write: Write) -> None:
    with pytest.raises(ValueError, match=r"line 1: .* as in a libffm file"):
        read_libsvm(write("1 0:3:1\n"))
    with pytest.raises(ValueError, match=r"line 1: .* as in a libsvm file"):
        read_libffm(write("1 3:1\n"))


def test_auto_looks_at_the_first_pair(write: Write) -> None:
    text = "1 # 3:1\n\n0\n1 2:3:1\n0 2:4:1\n"
    for size in (1, 2**20):
        rows = SparseRows.join(stream_rows(write(text), block_bytes=size))
        assert same(rows, read_libffm(write(text)))
    with pytest.raises(ValueError, match=r"line 2: .* as in a libffm file"):
        list(stream_rows(write("1 3:1\n1 2:3:1\n")))


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
@pytest.mark.parametrize("name", ["rows.txt", "rows.gz"])
def test_an_empty_file(write: Write, text: str, name: str) -> None:
    with pytest.raises(ValueError, match="holds no example"):
        read_libsvm(write(text, name))


def test_a_damaged_gz(write: Write) -> None:
    rng = np.random.default_rng(0)
    text = "".join(f"1 {i}:1\n" for i in rng.integers(2**60, size=5000))
    whole = gzip.compress(text.encode())
    path = write(b"", "cut.txt").with_name("cut.gz")
    path.write_bytes(whole[: len(whole) // 2])
    got: list[SparseRows] = []
    says = r"cut.gz, after line (\d+): the file is damaged or cut short .*fetch it again"
    with pytest.raises(ValueError, match=says):
        got.extend(stream_rows(path, block_bytes=1000))
    assert sum(map(len, got)) > 1000
    path.write_bytes(text.encode())
    with pytest.raises(ValueError, match=r"cut.gz, after line 0: the file is damaged"):
        read_libsvm(path)
    broken = bytearray(whole)
    broken[len(broken) // 2] ^= 255
    path.write_bytes(broken)
    with pytest.raises(ValueError, match=r"damaged or cut short|expected"):
        read_libsvm(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_libsvm(tmp_path / "none.txt")


def test_what_is_piped_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1 3:1\n0 4:1\n")))
    assert read_libsvm("-").ids.tolist() == [3, 4]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1 3:1\n0 x\n")))
    with pytest.raises(ValueError, match=r"-, line 2"):
        read_libsvm("-")


def test_an_id_out_of_range(write: Write) -> None:
    path = write("1 3:1\n0 8:1\n")
    assert len(list(stream_rows(path, largest_id=8))) == 1
    with pytest.raises(ValueError, match=r"line 2: .* the id may be 7 at most; ask the cat"):
        list(stream_rows(path, largest_id=7, remedy="ask the cat"))


def test_options(write: Write) -> None:
    path = write("1 3:1\n")
    with pytest.raises(ValueError, match="form is 'csv'"):
        list(stream_rows(path, "csv"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="block_bytes is 0"):
        list(stream_rows(path, block_bytes=0))


# -- rows --------------------------------------------------------------------------------------------------------
def some_rows(rng: np.random.Generator, n: int, fields: bool) -> SparseRows:
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 5, n))])
    p = int(indptr[-1])
    values = (rng.standard_normal(p) * 10.0 ** rng.integers(-40, 30, p)).astype(np.float32)
    return SparseRows(
        (rng.random(n) < 0.5).astype(np.float32),
        indptr,
        rng.integers(2**63, size=p, dtype=np.int64),
        np.where(rng.random(p) < 0.5, np.float32(1), values),
        rng.integers(2**31, size=p).astype(np.int32) if fields else None,
    )


@pytest.mark.parametrize("name", ["rows.txt", "rows.txt.gz"])
def test_writing_and_reading_again(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(2)
    path = tmp_path / name
    for n in (1, 2000):
        rows = some_rows(rng, n, fields=False)
        write_libsvm(path, rows)
        assert same(read_libsvm(path), rows)
        rows = some_rows(rng, n, fields=True)
        write_libffm(path, rows)
        assert same(read_libffm(path), rows)


def test_writing_what_the_format_cannot_hold(tmp_path: Path) -> None:
    rows = some_rows(np.random.default_rng(0), 5, fields=True)
    with pytest.raises(ValueError, match="rows have fields"):
        write_libsvm(tmp_path / "x", rows)
    with pytest.raises(ValueError, match="rows have no fields"):
        write_libffm(tmp_path / "x", replace(rows, fields=None))
    with pytest.raises(ValueError, match="rows holds no example"):
        write_libffm(tmp_path / "x", rows[:0])


def test_choosing_rows() -> None:
    rows = some_rows(np.random.default_rng(3), 40, fields=True)
    listed = [same_row(rows, r) for r in range(40)]
    for chosen in (slice(5, 20), slice(None, None, -3), np.array([3, 3, 0, 39]), rows.label == 1, slice(7, 7)):
        got = rows[chosen]
        assert [same_row(got, r) for r in range(len(got))] == [listed[r] for r in np.arange(40)[chosen]]
    with pytest.raises(IndexError):
        rows[[40]]


def same_row(rows: SparseRows, r: int) -> tuple[Any, ...]:
    a, b = rows.indptr[r], rows.indptr[r + 1]
    assert rows.fields is not None
    return rows.label[r], rows.ids[a:b].tolist(), rows.values[a:b].tolist(), rows.fields[a:b].tolist()


def test_joining() -> None:
    rows = some_rows(np.random.default_rng(4), 30, fields=True)
    assert same(SparseRows.join([rows[:7], rows[7:8], rows[8:]]), rows)
    with pytest.raises(ValueError, match="1 of 2 parts have fields"):
        SparseRows.join([rows, replace(rows, fields=None)])
    with pytest.raises(ValueError, match="0 of 0 parts"):
        SparseRows.join([])


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"label": np.array([1.0, 0.0])}, TypeError, "label is 1-dimensional float64"),
        ({"ids": [1, 2, 3]}, TypeError, "ids is list"),
        ({"values": np.ones((3, 1), np.float32)}, TypeError, "values is 2-dimensional"),
        ({"indptr": np.array([0, 3])}, ValueError, "indptr must rise from 0 to the 3 pairs in 3 steps"),
        ({"indptr": np.array([0, 4, 3])}, ValueError, "indptr must rise"),
        ({"indptr": np.array([1, 2, 3])}, ValueError, "indptr must rise"),
        ({"indptr": np.array([0, 1, 2])}, ValueError, "indptr must rise"),
        ({"label": np.array([1, -1], np.float32)}, ValueError, "label of row 1 is -1.0"),
        ({"label": np.array([np.nan, 1], np.float32)}, ValueError, "label of row 0 is nan"),
        ({"ids": np.array([0, -1, 2])}, ValueError, "ids holds -1"),
        ({"values": np.array([0, np.inf, 2], np.float32)}, ValueError, "values holds a NaN or an infinity"),
        ({"values": np.ones(2, np.float32)}, ValueError, "values has 2 entries and ids 3"),
        ({"fields": np.zeros(2, np.int32)}, ValueError, "fields has 2 entries and ids 3"),
        ({"fields": np.array([0, -4, 0], np.int32)}, ValueError, "fields holds -4"),
    ],
)
def test_rows_that_are_none(change: dict[str, Any], error: type[Exception], says: str) -> None:
    good = SparseRows.of([(1, {3: 1.0, 8: 0.5}), (0, {1: 2.0})])
    with pytest.raises(error, match=says):
        replace(good, **change)
