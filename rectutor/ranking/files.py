"""The files in which click logs are published, read into encoded parts: train, valid and test.

=======  ==========================================================================================================
format   a line of it
=======  ==========================================================================================================
libsvm   ``label id:value ...``: also libFM's files, such as Frappe's, whose labels are -1 and 1
libffm   ``label field:id:value ...``
csv      a header, then rows; comma, or tab where the header has tabs and no comma. One column is the label (0 or 1);
         a column is text, so that 7 and 7.0 are two values, unless it is named as a number or a sequence
criteo   no header, tabs: label, 13 integers, 26 categories, each of the 39 possibly empty (Criteo Display Advertising
         Challenge, 2014)
=======  ==========================================================================================================

An empty cell is a missing value, a value of its own. Names ending in ``.gz`` are decompressed on the way. Vocabularies,
means and edges are those of train alone: an id or a value that it lacks is unknown (code 2) in valid and test.

Shapes: N rows, C columns.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import re
import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeVar, cast, get_args
from typing import Literal as Choice

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from rectutor.data.sparse import SparseRows, read_libffm, read_libsvm
from rectutor.features import Bucketed, Categorical, Dense, Encoded, Schema, from_sparse, sparse_layout
from rectutor.features import Sequence as SequenceOf
from rectutor.features.encoded import FIRST

Form: TypeAlias = Choice["libsvm", "libffm", "csv", "criteo"]
Rows = TypeVar("Rows", SparseRows, pd.DataFrame)

CRITEO_NUMBERS = tuple(f"I{i}" for i in range(1, 14))
CRITEO = ("label", *CRITEO_NUMBERS, *(f"C{i}" for i in range(1, 27)))
BLOCK_ROWS = 4096


@dataclass(frozen=True)
class Parts:
    """One split, encoded.

    Attributes:
        train, valid, test: examples of one layout, with labels of both classes in each.
        form: of the files.
        held_out: share of the train file that became ``valid``; 0.0 where ``valid`` is a file.
    """

    train: Encoded
    valid: Encoded
    test: Encoded
    form: str = ""
    held_out: float = 0.0


# -- the split ---------------------------------------------------------------------------------------------------
def read_parts(
    train: str | Path,
    test: str | Path,
    valid: str | Path | None = None,
    *,
    form: Form | Choice["auto"] = "auto",
    valid_share: float = 0.1,
    seed: int = 0,
    min_count: int = 1,
    fields: Choice["given", "position"] = "given",
    label: str = "label",
    dense: Sequence[str] = (),
    buckets: int | None = None,
    sequences: Sequence[str] = (),
    sep: str = "|",
) -> Parts:
    r"""Read a split and encode it with what train alone tells.

    Args:
        train, test, valid: files of one format.
        form: of all of them; "auto" looks at the first line of train.
        valid_share: without ``valid``, this share of train is drawn and held out.
        seed: draws it.
        min_count: an id or a value that train has less often is unknown.
        fields: "position" makes the k-th entry of a libsvm row field k, for models with fields.
        label: csv: the column of clicks.
        dense: csv: columns of numbers; they are standardised, those of criteo after
            :math:`\operatorname{sign}(x) \log(1 + |x|)`, because the integers are skewed and a few negative.
        buckets: turn numbers into so many buckets with equally many rows, so that they can be crossed.
        sequences, sep: csv: columns that hold several values, and the text between two.

    Raises:
        OSError, ValueError: a file that cannot be read or is damaged; a line that is not of the format, with its
            number; a column that is not there; options that do not go with the format; labels of one class only.
    """
    form = _form(Path(train)) if form == "auto" else form
    if form not in get_args(Form):
        raise ValueError(f"form is {form!r}; choose one of {', '.join(get_args(Form))}")
    if form != "csv" and (label != "label" or dense or sequences):
        raise ValueError(f"label, dense and sequences name columns of a csv file; {train} is read as {form}")
    if form != "libsvm" and fields != "given":
        raise ValueError(f"fields by position is for libsvm, which has none; {train} is read as {form}")
    if form in ("libsvm", "libffm") and buckets is not None:
        raise ValueError(f"buckets is for columns of numbers; {train} is read as {form}, which has none")
    if not 0 < valid_share < 1:
        raise ValueError(f"valid_share is {valid_share}; it must lie between 0 and 1")
    if min_count < 1:
        raise ValueError(f"min_count is {min_count}; it must be at least 1")
    paths = [Path(path) for path in ([train, test] if valid is None else [train, valid, test])]
    if form in ("libsvm", "libffm"):
        read = read_libsvm if form == "libsvm" else read_libffm
        rows = [_by_position(read(path), path) if fields == "position" else read(path) for path in paths]
        encoded = _encode_rows(_with_valid(rows, paths, valid_share, seed), min_count)
    else:
        if form == "criteo":
            dense = CRITEO_NUMBERS
        frames = [read_table(path, CRITEO if form == "criteo" else None) for path in paths]
        schema = _schema(frames, paths, label, dense, buckets, sequences, sep, min_count)
        for frame, path in zip(frames, paths):
            _convert(frame, path, label, dense, np.log1p if form == "criteo" else None)
        encoded = _encode_frames(_with_valid(frames, paths, valid_share, seed), paths, schema, label)
    for data, what in zip(encoded, _names(paths)):
        positive = 0 if data.label is None else int(data.label.sum())
        if positive in (0, len(data)):
            raise ValueError(f"{what}: all {len(data)} labels are {int(positive > 0)}; AUC needs both classes")
    return Parts(encoded[0], encoded[1], encoded[2], form, valid_share if valid is None else 0.0)


def _with_valid(parts: list[Rows], paths: list[Path], share: float, seed: int) -> list[Rows]:
    """Train, valid and test, valid drawn from train if it is no file."""
    if len(parts) == 3:
        return parts
    whole, test = parts
    n = round(share * len(whole))
    if not 0 < n < len(whole):
        raise ValueError(f"{paths[0]} has {len(whole)} rows; {share} of them leave nothing to train or to validate on")
    held = np.zeros(len(whole), bool)
    held[np.random.default_rng(seed).permutation(len(whole))[:n]] = True
    return [whole[~held], whole[held], test]


def _names(paths: list[Path]) -> list[str]:
    """What each of the three parts is called in messages."""
    if len(paths) == 3:
        return [str(path) for path in paths]
    return [f"{paths[0]} without its validation part", f"the validation part of {paths[0]}", str(paths[1])]


def _form(path: Path) -> Form:
    """The format of a file, by its first line that is no comment and not blank."""
    with _text(path) as file:
        line = next((line.rstrip("\r\n") for line in file if line.strip() and not line.startswith("#")), "")
    if line.count("\t") == len(CRITEO) - 1 and re.match(r"[01]?\t", line):
        return "criteo"
    if pair := re.match(r"[+-]?[\d.]+[ \t]+\d+:[^\s:]+(:?)", line):
        return "libffm" if pair[1] else "libsvm"
    if re.match(r"[^\d\s+-].*[,\t]", line):
        return "csv"
    raise ValueError(f"{path}: the format cannot be told from {line[:40]!r}; name it: {', '.join(get_args(Form))}")


# -- libsvm and libffm -------------------------------------------------------------------------------------------
def _by_position(rows: SparseRows, path: Path) -> SparseRows:
    """The k-th entry of each row as field k."""
    lengths = np.diff(rows.indptr)
    for r in np.flatnonzero(lengths != lengths[0])[:1]:
        with _text(path) as file:
            written = (n for n, line in enumerate(file, 1) if line.partition("#")[0].strip())
            at = next(itertools.islice(written, int(r), None))
        raise ValueError(
            f"{path}, line {at}: {lengths[r]} entries where the first row has {lengths[0]};"
            " fields by position need equally many in every row"
        )
    return replace(rows, fields=np.tile(np.arange(lengths[0], dtype=np.int32), len(rows)))


def _encode_rows(parts: list[SparseRows], min_count: int) -> list[Encoded]:
    """Ids numbered anew by those that train has often enough; all others are unknown.

    The number of slots is what the longest row of any part needs, so that no entry is lost.
    """
    distinct, counts = np.unique(parts[0].ids, return_counts=True)
    known = distinct[counts >= min_count]
    if not len(known):
        raise ValueError(f"no id stands {min_count} times in train; lower min_count")
    coded = []
    for part in parts:
        place = np.minimum(np.searchsorted(known, part.ids), len(known) - 1)
        coded.append(replace(part, ids=np.where(known[place] == part.ids, place, len(known))))
    layout = replace(sparse_layout(*coded), sizes={"features": FIRST + len(known)})
    return [from_sparse(part, layout) for part in coded]


# -- tables ------------------------------------------------------------------------------------------------------
def read_table(path: str | Path, names: Sequence[str] | None = None) -> pd.DataFrame:
    """A table as text: each column categorical, an empty cell missing, the index the line that a row begins on.

    Args:
        path: comma-separated with a header; with ``names``, tab-separated, without a header or quotes.
        names: of the columns.

    Raises:
        OSError, ValueError: a damaged file; a header with an empty or repeated name; a row with another number of cells
            than there are columns, with its line.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "clicks.csv")
    ...     _ = path.write_text("label,city\\n1,Lhasa\\n0,\\n")
    ...     read_table(path).to_dict("index")
    {2: {'label': '1', 'city': 'Lhasa'}, 3: {'label': '0', 'city': nan}}
    """
    path = Path(path)
    with _text(path) as file:
        if names is None:
            first = file.readline()
            delimiter = "\t" if "\t" in first and "," not in first else ","
            rows = csv.reader(itertools.chain([first], file), delimiter=delimiter, strict=True)
        else:
            rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        try:
            header = list(names or next(rows, []))
            if "" in header or len(set(header)) < len(header) or not header:
                raise ValueError(f"{path}, line 1: the header is {header}; give each column a name of its own")
            lines, columns = _columns(rows, header, path)
        except csv.Error as error:
            raise ValueError(
                f"{path}, line {rows.line_num}: {error}; quote what holds a delimiter or a quote"
            ) from error
    return pd.DataFrame(columns, index=lines)


def _columns(rows: Any, header: list[str], path: Path) -> tuple[NDArray[np.int64], dict[str, pd.Categorical]]:
    """Line of each row, and the columns, each distinct text kept once."""
    words: list[defaultdict[str, int]] = [defaultdict() for _ in header]
    for known in words:
        known.default_factory = known.__len__
        known[""]  # code 0: missing
    codes, lines = [array("i") for _ in header], array("q")
    before = rows.line_num
    while True:
        block = []
        for row in itertools.islice(rows, BLOCK_ROWS):
            if row:  # a blank line is none
                if len(row) != len(header):
                    raise ValueError(
                        f"{path}, line {before + 1}: {len(row)} cells, not {len(header)}; complete the row"
                    )
                block.append(row)
                lines.append(before + 1)
            before = rows.line_num
        if not block:
            break
        for column, known, cells in zip(codes, words, zip(*block)):
            column.extend(map(known.__getitem__, cells))
    if not lines:
        raise ValueError(f"{path} holds no row; it must hold at least one")
    made = {
        name: pd.Categorical.from_codes(
            np.frombuffer(column, np.int32) - 1, categories=pd.Index(list(known)[1:], dtype=object)
        )
        for name, column, known in zip(header, codes, words)
    }
    return np.frombuffer(lines, np.int64), made


def _schema(
    frames: list[pd.DataFrame],
    paths: list[Path],
    label: str,
    dense: Sequence[str],
    buckets: int | None,
    sequences: Sequence[str],
    sep: str,
    min_count: int,
) -> Schema:
    """One field a column, in the order of the header; the slots of a sequence are those that the longest one needs."""
    header = list(frames[0].columns)
    for name in (label, *dense, *sequences):
        if name not in header:
            raise ValueError(f"{paths[0]}, line 1: there is no column {name!r}; it has {', '.join(header)}")
    if twice := sorted(set(dense) & set(sequences) | {label} & {*dense, *sequences}):
        raise ValueError(f"column {twice[0]!r} is named as two things; say label, dense or sequence once")
    for frame, path in zip(frames[1:], paths[1:]):
        if differ := sorted(set(header) ^ set(frame.columns)):
            raise ValueError(f"{path}, line 1: column {differ[0]!r} is not in both this file and {paths[0]}")
    if len(header) < 2:
        raise ValueError(f"{paths[0]}, line 1: the only column is {label!r}; there is nothing to learn from")
    if not sep:
        raise ValueError("sep is empty; give the text between two values of a sequence, such as '|'")

    def field(name: str) -> Dense | Bucketed | Categorical | SequenceOf:
        if name in dense:
            return Dense(name) if buckets is None else Bucketed(name, buckets=buckets)
        if name in sequences:
            length = max(text.count(sep) + 1 for frame in frames for text in ["", *frame[name].cat.categories])
            return SequenceOf(name, length=length, sep=sep, min_count=min_count)
        return Categorical(name, min_count=min_count)

    return Schema([field(name) for name in header if name != label])


def _convert(frame: pd.DataFrame, path: Path, label: str, dense: Sequence[str], transform: Any) -> None:
    """Replace the text of the label and of numbers by what it says."""
    x = _numbers(frame, label, path)
    for row in np.flatnonzero((x != 0) & (x != 1))[:1]:
        text = frame[label].iloc[row]
        found = "missing" if pd.isna(text) else repr(text)
        raise ValueError(f"{path}, line {frame.index[row]}: the label {label!r} is {found}; it must be 0 or 1")
    frame[label] = x
    for name in dense:
        x = _numbers(frame, name, path)
        frame[name] = x if transform is None else np.sign(x) * transform(np.abs(x))


def _numbers(frame: pd.DataFrame, name: str, path: Path) -> NDArray[np.float64]:
    """A column of text as numbers, NaN where it is missing."""
    codes = frame[name].cat.codes.to_numpy()
    x: NDArray[np.float64] = np.array([*map(_number, frame[name].cat.categories), np.nan])[codes]
    for row in np.flatnonzero(np.isnan(x) & (codes >= 0))[:1]:
        raise ValueError(
            f"{path}, line {frame.index[row]}: {name!r} is {frame[name].iloc[row]!r};"
            " it must be a finite number, or empty where it is missing"
        )
    return x


def _number(text: str) -> float:
    """NaN where the text is no finite number."""
    try:
        x = float(text) if "_" not in text else np.nan
    except ValueError:
        return np.nan
    return x if np.isfinite(x) else np.nan


def _encode_frames(parts: list[pd.DataFrame], paths: list[Path], schema: Schema, label: str) -> list[Encoded]:
    """Encode with vocabularies, means and edges of train."""
    for column in schema.dense:
        if not parts[0][column.name].isna().any():
            for part, path in zip(parts[1:], paths[-2:]):
                for line in part.index[part[column.name].isna()][:1]:
                    raise ValueError(
                        f"{path}, line {line}: {column.name!r} is missing, but never is in the rows trained on, so that"
                        " no model can know what it means: fill it, or use buckets"
                    )
    try:
        encoder = schema.fit(parts[0])
    except ValueError as error:
        raise ValueError(f"{paths[0]}: {error}") from error
    return [encoder.transform(part, label=label) for part in parts]


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    """The text of a file, decompressed, with a bar over the bytes on the disk."""
    with path.open("rb") as raw:
        bar = {"unit": "B", "unit_scale": True, "desc": path.name, "delay": 2, "leave": False}
        with tqdm.wrapattr(raw, "read", total=path.stat().st_size, **bar) as counted:
            unpacked = gzip.open(counted) if path.suffix == ".gz" else nullcontext(counted)  # noqa: SIM115 (closed below)
            try:
                with unpacked as stream:
                    yield io.TextIOWrapper(cast(IO[bytes], stream), encoding="utf-8-sig", newline="")
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ValueError(f"{path}: the file is damaged or cut short ({error}); fetch it again") from error
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}: the text is not UTF-8 ({error}); convert it") from error
