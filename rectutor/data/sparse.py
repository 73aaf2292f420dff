"""Readers and writers of libsvm and libffm files: examples with few of many features, a line each.

    label id:value id:value ...                 libsvm, also svmlight's and libFM's files
    label field:id:value field:id:value ...     libffm

A label is 0 or 1, or -1 or 1, which is read as 0 or 1; a file that holds both 0 and -1 is refused. Ids are whole
numbers from 0 to 2^63 - 1, fields from 0 to 2^31 - 1; values are decimal numbers and become float32 as
``np.float32(float(text))`` does. Blanks, tabs and a carriage return separate; the rest of a line after ``#`` is a
comment; lines without anything else are skipped. A label alone is an example without features. Names ending in ``.gz``
are decompressed on the way.

A compiled parser reads a file in blocks of whole lines, so a stream takes memory for one block, however long the file.
At the first token it does not understand it stops, and the error names file, line, token and what was expected.

Shapes: N rows, P pairs in all.
"""

from __future__ import annotations

import gzip
import os
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rectutor.data import sparse_kernels as kernels

Format = Literal["libsvm", "libffm"]
BLOCK_BYTES = 2**20
LARGEST_ID = 2**63 - 1

_PAIRS: dict[Format, str] = {"libsvm": "id:value", "libffm": "field:id:value"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)


@dataclass(frozen=True)
class SparseRows:
    """Examples with few of many features, in compressed rows.

    Row r has the pairs ``indptr[r]`` to ``indptr[r + 1]`` of ``ids``, ``values`` and ``fields``, in the order in which
    they were written. An id may be repeated.

    Attributes:
        label: float32, 0 or 1 [N].
        indptr: int64, from 0 to P [N + 1].
        ids: int64, from 0 [P].
        values: float32, finite [P].
        fields: int32, from 0 [P], or None where the format has none.

    Raises:
        TypeError: an array of another type.
        ValueError: shapes that do not go together, a label that is neither 0 nor 1, a negative id or field, a value
            that is not finite.

    >>> rows = SparseRows.of([(1, {3: 1.0, 8: 0.5}), (0, {})])
    >>> len(rows), rows.indptr.tolist(), rows.ids.tolist()
    (2, [0, 2, 2], [3, 8])
    >>> rows[[1, 0]].label.tolist()
    [0.0, 1.0]
    """

    label: NDArray[np.float32]
    indptr: NDArray[np.int64]
    ids: NDArray[np.int64]
    values: NDArray[np.float32]
    fields: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        types = {"label": np.float32, "indptr": np.int64, "ids": np.int64, "values": np.float32, "fields": np.int32}
        for name, kind in types.items():
            x = getattr(self, name)
            if x is None and name == "fields":
                continue
            if not isinstance(x, np.ndarray) or x.dtype != kind or x.ndim != 1:
                found = f"{x.ndim}-dimensional {x.dtype}" if isinstance(x, np.ndarray) else type(x).__name__
                raise TypeError(f"{name} is {found}; it must be a one-dimensional array of {np.dtype(kind)}")
        n, p = len(self.label), len(self.ids)
        if len(self.indptr) != n + 1 or self.indptr[0] != 0 or self.indptr[-1] != p or (np.diff(self.indptr) < 0).any():
            raise ValueError(
                f"indptr must rise from 0 to the {p} pairs in {n + 1} steps, one more than there are labels"
            )
        for name in ("values", "fields"):
            x = getattr(self, name)
            if x is not None and len(x) != p:
                raise ValueError(f"{name} has {len(x)} entries and ids {p}; they must be as many")
        good = (self.label == 0) | (self.label == 1)
        if not good.all():
            raise ValueError(f"label of row {int(good.argmin())} is {self.label[good.argmin()]}; it must be 0 or 1")
        if p and self.ids.min() < 0:
            raise ValueError(f"ids holds {self.ids.min()}; an id must be at least 0")
        if self.fields is not None and p and self.fields.min() < 0:
            raise ValueError(f"fields holds {self.fields.min()}; a field must be at least 0")
        if not np.isfinite(self.values).all():
            raise ValueError("values holds a NaN or an infinity; every value must be finite")

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, rows: slice | NDArray[np.integer[Any]] | list[int]) -> SparseRows:
        """Some of the rows: a slice, or an array of row numbers or of booleans."""
        chosen = np.arange(len(self))[rows]
        length = np.diff(self.indptr)[chosen]
        indptr = np.concatenate([[0], np.cumsum(length)])
        pairs = np.arange(indptr[-1]) + np.repeat(self.indptr[chosen] - indptr[:-1], length)
        fields = None if self.fields is None else self.fields[pairs]
        return SparseRows(self.label[chosen], indptr, self.ids[pairs], self.values[pairs], fields)

    @classmethod
    def of(cls, rows: Iterable[tuple[int, dict[int, float]]]) -> SparseRows:
        """A few rows written by hand: a label and a dictionary from id to value each.

        >>> SparseRows.of([(1, {3: 1.0})]).values.tolist()
        [1.0]
        """
        listed = list(rows)
        pairs = [pair for _, x in listed for pair in x.items()]
        return cls(
            np.array([label for label, _ in listed], np.float32),
            np.cumsum([0, *(len(x) for _, x in listed)], dtype=np.int64),
            np.array([i for i, _ in pairs], np.int64),
            np.array([value for _, value in pairs], np.float32),
        )

    @classmethod
    def join(cls, parts: Iterable[SparseRows]) -> SparseRows:
        """Rows one after the other.

        Raises:
            ValueError: no part, or parts with fields and parts without.

        >>> rows = SparseRows.of([(1, {3: 1.0})])
        >>> SparseRows.join([rows, rows]).indptr.tolist()
        [0, 1, 2]
        """
        blocks = list(parts)
        full = [b for b in blocks if len(b.ids)]  # a part without pairs goes with either kind
        fields = [b.fields for b in full or blocks if b.fields is not None]
        if not blocks or 0 < len(fields) < len(full):
            raise ValueError(f"{len(fields)} of {len(blocks)} parts have fields; join one or more, all of one kind")
        before = np.cumsum([0, *(len(b.ids) for b in blocks)])
        return cls(
            np.concatenate([b.label for b in blocks]),
            np.concatenate([[0], *(b.indptr[1:] + n for b, n in zip(blocks, before))]),
            np.concatenate([b.ids for b in blocks]),
            np.concatenate([b.values for b in blocks]),
            np.concatenate(fields) if fields else None,
        )


# -- reading -----------------------------------------------------------------------------------------------------
def read_libsvm(path: str | Path) -> SparseRows:
    """Read a whole libsvm file, ``label id:value ...`` (Chang and Lin, 2011), without its line numbers.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a malformed line, with its number; a damaged or shortened ``.gz``; a file without any example.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "frappe.libfm")
    ...     _ = path.write_text("1 451:1 4149:1\\n-1 451:1 5041:1\\n")
    ...     rows = read_libsvm(path)
    >>> rows.label.tolist(), rows.ids.tolist()
    ([1.0, 0.0], [451, 4149, 451, 5041])
    """
    return SparseRows.join(stream_rows(path, "libsvm"))


def read_libffm(path: str | Path) -> SparseRows:
    """Read a whole libffm file, ``label field:id:value ...`` (Juan et al., 2016).

    Raises:
        FileNotFoundError, ValueError: as :func:`read_libsvm`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "criteo.ffm")
    ...     _ = path.write_text("0 0:194689:1 1:219620:0.5\\n")
    ...     rows = read_libffm(path)
    >>> rows.fields.tolist(), rows.ids.tolist(), rows.values.tolist()
    ([0, 1], [194689, 219620], [1.0, 0.5])
    """
    return SparseRows.join(stream_rows(path, "libffm"))


def stream_rows(
    path: str | Path,
    form: Format | Literal["auto"] = "auto",
    *,
    block_bytes: int = BLOCK_BYTES,
    largest_id: int = LARGEST_ID,
    remedy: str = "",
    progress: bool = True,
) -> Iterator[SparseRows]:
    """Read a libsvm or libffm file block by block, in memory for one block.

    Args:
        path: the file, plain or ``.gz``; ``"-"`` is what is piped in.
        form: ``"auto"`` looks at the first pair of the file; a file without pairs counts as libsvm.
        block_bytes: bytes that are read at a time; a longer line still comes in one piece.
        largest_id: the greatest id there may be.
        remedy: what the error of a greater id is to say beside that.
        progress: whether to show a bar where reading takes longer than two seconds.

    Yields:
        The rows of the whole lines of a block; never none.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_libsvm`, when the stream gets there.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "clicks.libsvm")
    ...     _ = path.write_text("1 3:1\\n0 5:1 6:1\\n" * 3)
    ...     [len(rows) for rows in stream_rows(path, block_bytes=20)]
    [2, 3, 1]
    """
    if form not in ("libsvm", "libffm", "auto"):
        raise ValueError(f'form is {form!r}; it must be "libsvm", "libffm" or "auto"')
    if block_bytes < 1:
        raise ValueError(f"block_bytes is {block_bytes}; it must be at least 1")
    name = str(path)
    parser = _Parser(name, form, largest_id, remedy)
    with _opened(name, progress) as file:
        try:
            for text, complete in _whole_lines(file, block_bytes):
                rows = parser.read(text, complete)
                if len(rows):
                    yield rows
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            where = f"{name}, after line {parser.line}"
            raise ValueError(f"{where}: the file is damaged or cut short ({error}); fetch it again") from error
    if parser.empty:
        raise ValueError(f"{name} holds no example; it must hold at least one line 'label {_PAIRS[parser.form]} ...'")


@contextmanager
def _opened(name: str, progress: bool) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed, with a bar over the bytes on the disk."""
    raw = sys.stdin.buffer if name == "-" else open(name, "rb")  # noqa: SIM115 (closed below)
    size = None if name == "-" else os.fstat(raw.fileno()).st_size
    bar = {"unit": "B", "unit_scale": True, "desc": Path(name).name, "delay": 2, "leave": False}
    try:
        with tqdm.wrapattr(raw, "read", total=size, disable=not progress, **bar) as counted:
            if name.endswith(".gz"):
                with gzip.open(counted, "rb") as file:
                    yield cast(IO[bytes], file)
            else:
                yield counted
    finally:
        if name != "-":
            raw.close()


def _whole_lines(file: IO[bytes], block_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """Blocks of whole lines, and whether the last line had its end (which it is given if not)."""
    rest = b""
    while block := file.read(max(block_bytes, len(rest))):  # what grows doubles: a long line costs what it is long
        end = block.rfind(b"\n") + 1
        if end:
            yield rest + block[:end], True
            rest = block[end:]
        else:
            rest += block
    if rest:
        yield rest + b"\n", False


class _Parser:
    """Parses one block of lines after the other, and knows what has to be known of those before."""

    def __init__(self, name: str, form: Format | Literal["auto"], largest_id: int, remedy: str) -> None:
        self.name, self.largest_id, self.remedy = name, largest_id, remedy
        self.auto, self.form = form == "auto", "libsvm" if form == "auto" else form
        self.line, self.empty = 0, True
        self.first = np.zeros(2, np.int64)  # lines of the first label 0 and the first label -1

    def read(self, text: bytes, complete: bool) -> SparseRows:
        if self.line == 0:
            text = text.removeprefix(b"\xef\xbb\xbf")
        if self.auto and (pair := re.search(rb"^[^#\n]*?[ \t](\d+:[^\s#]*)", text, re.MULTILINE)):
            self.auto, self.form = False, "libffm" if pair[1].count(b":") == 2 else "libsvm"
        raw, before = np.frombuffer(text, np.uint8), self.line
        lines, colons = kernels.count(raw)
        with_fields = self.form == "libffm"
        room = colons // (2 if with_fields else 1) + 1
        label, indptr = np.empty(lines, np.float32), np.empty(lines + 1, np.int64)
        ids, values = np.empty(room, np.int64), np.empty(room, np.float32)
        fields = np.empty(room if with_fields else 0, np.int32)
        left = np.empty((0, 3), np.int64)
        end, self.line, begin, at, n, p, waiting, left = kernels.parse(
            raw, with_fields, self.largest_id, self.line, self.first, label, indptr, ids, values, fields, left
        )
        for pair, start, stop in left[:waiting].tolist():
            with np.errstate(over="ignore"):  # infinity is refused below
                values[pair] = np.float32(float(text[start:stop]))
            if not np.isfinite(values[pair]):
                end, at = kernels.BAD_PAIR, max(text.rfind(blank, 0, start) for blank in (b" ", b"\t", b"\r")) + 1
                begin = text.rfind(b"\n", 0, at) + 1
                self.line = before + text.count(b"\n", 0, at) + 1
                break
        if end != kernels.DONE:
            last = text.find(b"\n", at) == len(text) - 1
            raise self._complaint(end, text[begin:], at - begin, last and not complete)
        self.empty = self.empty and n == 0
        return SparseRows(label[:n], indptr[: n + 1], ids[:p], values[:p], fields[:p] if with_fields else None)

    def _complaint(self, end: int, rest: bytes, at: int, cut: bool) -> ValueError:
        """What is wrong with the token at a place of a line, and the line."""
        line = rest[: rest.index(b"\n")].decode(errors="replace").rstrip("\r")
        token = re.split(rb"[\s#]", rest[at : at + 200], maxsplit=1)[0].decode(errors="replace")
        if end == kernels.BAD_LABEL:
            expected = f"a label 0 or 1, or -1 or 1, to start with, not {token!r}"
        elif end == kernels.MIXED:
            zero, minus = self.first
            other = f"0 in line {zero}" if zero else f"-1 in line {minus}"
            expected = f"labels either 0 and 1 or -1 and 1 throughout; {token!r} here and {other} do not go together"
        else:
            expected = f"{_PAIRS[self.form]} instead of {token!r}: {self._flaw(token)}"
        shown = line if len(line) <= 80 else f"{line[:77]}..."
        where = f"{self.name}, line {self.line}" + (", where the file ends without a line end" if cut else "")
        return ValueError(f"{where}: {shown!r}: expected {expected}")

    def _flaw(self, token: str) -> str:
        """Why a token is no pair."""
        parts = token.split(":")
        if parts[0] == "qid":
            return "groups of a ranking (qid) have no place in clicks; take them out"
        if len(parts) == 1:
            return "there is no ':'"
        if len(parts) != len(_PAIRS[self.form].split(":")):
            other = {2: "libsvm", 3: "libffm"}.get(len(parts))
            return f"it has {len(parts)} parts" + (f", as in a {other} file; read it as one" if other else "")
        *whole, value = parts
        for name, text in zip(("id",) if len(whole) == 1 else ("field", "id"), whole):
            largest = self.largest_id if name == "id" else kernels.LARGEST_FIELD
            if not _DIGITS.fullmatch(text):
                return f"the {name} must be a whole number from 0 on"
            if int(text) > largest:
                return f"the {name} may be {largest} at most" + (
                    f"; {self.remedy}" if name == "id" and self.remedy else ""
                )
        if not _NUMBER.fullmatch(value):
            return "the value must be a finite decimal number"
        return "the value is too large for a 32-bit number"


# -- writing -----------------------------------------------------------------------------------------------------
def write_libsvm(path: str | Path, rows: SparseRows) -> None:
    """Write ``label id:value ...`` lines that :func:`read_libsvm` reads as the same rows; fields are refused.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "rows.libsvm")
    ...     write_libsvm(path, SparseRows.of([(1, {3: 1.0, 8: 0.1}), (0, {})]))
    ...     path.read_text()
    '1 3:1 8:0.1\\n0\\n'
    """
    if rows.fields is not None:
        raise ValueError("rows have fields, which a libsvm file cannot hold; use write_libffm")
    _write(Path(path), rows, [rows.ids])


def write_libffm(path: str | Path, rows: SparseRows) -> None:
    """Write ``label field:id:value ...`` lines that :func:`read_libffm` reads as the same rows.

    >>> from dataclasses import replace
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "rows.ffm")
    ...     write_libffm(path, replace(SparseRows.of([(1, {3: 0.5})]), fields=np.array([7], np.int32)))
    ...     path.read_text()
    '1 7:3:0.5\\n'
    """
    if rows.fields is None:
        raise ValueError("rows have no fields, which a libffm file needs; use write_libsvm")
    _write(Path(path), rows, [rows.fields, rows.ids])


def _write(path: Path, rows: SparseRows, whole: list[NDArray[Any]]) -> None:
    if len(rows) == 0:
        raise ValueError("rows holds no example; a file without any could not be read again")
    bits, code = np.unique(rows.values.view(np.int32), return_inverse=True)  # each value is put into words once
    words = [str(value).removesuffix(".0") for value in bits.view(np.float32)]
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        for r in tqdm(range(len(rows)), desc=f"writing {path.name}", unit=" rows", delay=2, leave=False):
            pairs = slice(rows.indptr[r], rows.indptr[r + 1])
            columns = [*(x[pairs].tolist() for x in whole), [words[c] for c in code[pairs].tolist()]]
            file.write(" ".join([f"{rows.label[r]:.0f}", *(":".join(map(str, pair)) for pair in zip(*columns))]) + "\n")
