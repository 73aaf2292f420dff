"""Readers of the text formats that published data and splits come in.

A good file goes through a compiled parser. Only when that fails, or finds something a model must not see, is the file
read again line by line, to name the first bad line: its file, its number, its text and what was expected instead.
Ids are kept as 64-bit integers or as text and never pass through a floating-point number. Names ending in ``.gz`` are
decompressed on the way.

Shapes: N rows, M negatives of a row, T negatives in all.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from rectutor.data.interactions import Duplicates, Interactions
from rectutor.data.splits import align

Ids = Literal["auto", "int", "str"]
Separator = Literal["space", "tab", "comma", "::"]

_ROLES = ("user", "item", "rating", "time")
# Header names of well-known files, lower case, letters only.
_NAMES = {
    "user": {"user", "userid", "uid", "session", "sessionid"},
    "item": {"item", "itemid", "iid", "movieid", "bookid", "productid", "articleid"},
    "rating": {"rating", "score", "value", "strength"},
    "time": {"time", "timestamp", "ts", "unixtime"},
}
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_PLAIN = re.compile(r"0|-?[1-9]\d*", re.ASCII)  # no integer has two such forms
_PAIR = re.compile(r"\(\s*([^\s,()]+)\s*,\s*([^\s,()]+)\s*\)")
_INT64 = range(-(2**63), 2**63)


# -- user item rating time ------------------------------------------------------------------------
def read_interactions(
    path: str | Path,
    columns: Sequence[str] | None = None,
    *,
    sep: Separator | None = None,
    header: bool | None = None,
    ids: Ids = "auto",
    duplicates: Duplicates = "error",
    like: Interactions | None = None,
    encoding: str = "utf-8",
) -> Interactions:
    """Read a file with one interaction a line: ``user item [rating [time]]``.

    Args:
        path: the file, plain or ``.gz``.
        columns: what each column of the file is, in order: ``"user"``, ``"item"``, ``"rating"``, ``"time"``, any other
            name for a column to leave out. By default the header says it; without one the order is user, item, rating,
            time, as many as the file has.
        sep: what stands between the fields; by default the first line tells. ``"space"`` means any run of blanks,
            ``"::"`` is MovieLens 1M's. Fields of a comma-separated file may be quoted.
        header: whether the first line holds names; by default it does if its rating or time is not a number or if it
            names a user and an item column.
        ids: ``"int"`` reads ids as integers (so 007 is 7), ``"str"`` as the text that stands there. ``"auto"`` decides
            a column by its first row: a plain integer there (7, not 007) makes every id of the column one, and a later
            row with anything else is malformed.
        duplicates: what to do where a user meets an item twice, see :meth:`Interactions.from_frame`.
        like: take the codes from these interactions; an id they do not know is an error. For files with new ids read
            both and use :func:`rectutor.data.align`.
        encoding: the file's encoding.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an empty file, a malformed line, a missing id, a negative or NaN rating, a time that is no whole
            number of seconds: with the line's number and text. A repeated pair under ``duplicates="error"``.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "u.data")
    ...     _ = path.write_text("7\\t10\\t4\\t100\\n7\\t11\\t5\\t90\\n")
    ...     read_interactions(path)
    Interactions(2 rows, 1 users, 2 items, density 100.00%)
    """
    path = Path(path)
    layout = _layout(path, columns, sep, header, ids, encoding)
    frame = _parse(path, layout, encoding)
    arrays = [frame[role].to_numpy() if role in frame else None for role in _ROLES]
    user, item, rating, time = arrays
    try:
        return Interactions.from_arrays(user, item, rating, time, duplicates=duplicates, like=like)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _Layout:
    """What the first lines of a file tell about the rest."""

    names: tuple[str, ...]  # one a column of the file; the roles among them
    sep: Separator
    header: bool
    kinds: dict[str, Ids]  # of the roles user and item; "auto" means plain integers

    @property
    def expects(self) -> str:
        return f"{len(self.names)} fields ({', '.join(self.names)}) separated by {_SEPARATORS[self.sep]}"


_SEPARATORS: dict[Separator, str] = {"space": "blanks", "tab": "tabs", "comma": "commas", "::": "'::'"}


def _layout(
    path: Path, columns: Sequence[str] | None, sep: Separator | None, header: bool | None, ids: Ids, encoding: str
) -> _Layout:
    if sep is not None and sep not in _SEPARATORS:
        raise ValueError(f"sep is {sep!r}; it must be one of {list(_SEPARATORS)} or None")
    if ids not in ("auto", "int", "str"):
        raise ValueError(f'ids is {ids!r}; it must be "auto", "int" or "str"')
    lines = ((n, line) for n, line in numbered_lines(path, encoding) if line.strip())
    number, first = next(lines, (0, ""))
    if not first:
        raise ValueError(f"{path} is empty; it must hold at least one interaction")
    sep = sep or _sniff(first)
    fields = _split(first, sep)
    if columns is not None:
        names = tuple(columns)
        if len(set(names)) < len(names) or not {"user", "item"} <= set(names):
            raise ValueError(f"columns is {names}; it must name 'user' and 'item' and no column twice")
    elif header is not False and (known := _known_names(fields)) is not None:
        names, header = known, True
    elif 2 <= len(fields) <= len(_ROLES):
        names = _ROLES[: len(fields)]
    else:
        names, header = (), True  # of names that say nothing
    if header is None:
        roles = dict(zip(names, fields))
        header = any(role in roles and not _is_number(roles[role]) for role in ("rating", "time"))
        header = header or _known_names(fields) is not None
    if columns is None and header and _known_names(fields) is None:
        expected = "2 to 4 fields (user, item, rating, time), or a header that names a user and an item column"
        malformed(path, number, first, f"{expected}; say columns=(...) to name the columns yourself")
    sample = fields
    if header:
        number, second = next(lines, (0, ""))
        if not second:
            raise ValueError(f"{path} holds a header and no interaction; it must hold at least one")
        sample = _split(second, sep)
    by_role = dict(zip(names, sample))
    if not _is_number(by_role.get("rating", "0")):  # a column of nothing but True would parse as ones
        malformed(
            path, number, second if header else first, f"a finite rating >= 0; the rating is {by_role['rating']!r}"
        )
    kinds: dict[str, Ids] = {}
    for role in ("user", "item"):
        plain = bool(_PLAIN.fullmatch(by_role.get(role, "").strip()))
        kinds[role] = "str" if ids == "auto" and not plain else ids
    return _Layout(names, sep, header, kinds)


def _parse(path: Path, layout: _Layout, encoding: str) -> pd.DataFrame:
    # "::" is read as ":" with empty columns between, which the compiled parser can do and a two-letter separator not.
    wide = layout.sep == "::"
    names = [n for name in layout.names for n in (name, f"between {name}")][:-1] if wide else list(layout.names)
    roles = [role for role in _ROLES if role in layout.names]
    kinds = {role: "int64" if kind == "int" else "str" for role, kind in layout.kinds.items()}
    kinds |= {"rating": "float64", "time": "int64"}
    last = layout.names[-1]
    try:
        with np.errstate(invalid="ignore"):  # of a number too large to be a time, which is refused below
            frame = pd.read_csv(
                path,
                sep={"space": r"\s+", "tab": "\t", "comma": ",", "::": ":"}[layout.sep],
                names=names,
                header=0 if layout.header else None,
                dtype={**dict.fromkeys(names, "str"), **{role: kinds[role] for role in roles}},
                keep_default_na=False,
                na_values=[""],
                quoting=csv.QUOTE_MINIMAL if layout.sep == "comma" else csv.QUOTE_NONE,
                engine="c",
                encoding=encoding,
                compression="gzip" if path.suffix == ".gz" else None,
            )
    except (ValueError, OverflowError, EOFError, OSError, zlib.error, pd.errors.ParserError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        _find_bad_line(path, layout, encoding)
        raise ValueError(f"{path} could not be read: {error}") from error
    suspect = not isinstance(frame.index, pd.RangeIndex) or bool(frame[last].isna().any())
    for role in roles:
        values = frame[role]
        suspect = suspect or bool(values.isna().any())
        if values.dtype == np.float64:
            numbers = values.to_numpy()
            suspect = suspect or not bool(np.isfinite(numbers).all() and (numbers >= 0).all())
        elif values.dtype == np.int64:
            # One "7.0" makes the parser read the whole column as floats, where integers from here on lose digits.
            suspect = suspect or bool((np.abs(values.to_numpy().astype(np.float64)) >= 2**53).any())
    if wide:
        suspect = suspect or any(bool(frame[name].notna().any()) for name in names[1::2])
    if suspect:
        _find_bad_line(path, layout, encoding)
        if not isinstance(frame.index, pd.RangeIndex) or bool(frame[roles].isna().any(axis=None)):
            raise ValueError(f"{path} could not be read as {layout.expects}")
    frame = frame[roles]
    for role in ("user", "item"):
        if layout.kinds[role] == "auto":
            codes, texts = pd.factorize(frame[role])
            if not all(_PLAIN.fullmatch(text) and _is_id(text) for text in texts):
                _find_bad_line(path, layout, encoding)
            frame[role] = np.array([int(text) for text in texts], dtype=np.int64)[codes]
    return frame


def _find_bad_line(path: Path, layout: _Layout, encoding: str) -> None:
    """Raise for the first line that does not read as the layout says; return if all of them do."""
    header = layout.header
    for number, line in tqdm(numbered_lines(path, encoding), desc=f"checking {path.name}", unit=" lines", delay=2):
        if not line.strip():
            continue
        if header:
            header = False
            continue
        fields = _split(line, layout.sep)
        if len(fields) != len(layout.names):
            malformed(path, number, line, f"{layout.expects}; it has {len(fields)}")
        row = dict(zip(layout.names, fields))
        for role in ("user", "item"):
            value = row[role].strip()
            if not value:
                malformed(path, number, line, f"{layout.expects}; the {role} is missing")
            kind = layout.kinds[role]
            if kind != "str" and not (_is_id(value) and (kind == "int" or _PLAIN.fullmatch(value))):
                malformed(path, number, line, f'a plain 64-bit integer as {role} (ids="str" reads text)')
        if "rating" in row:
            value = row["rating"]
            if not _is_number(value) or not 0 <= float(value) < np.inf:
                malformed(path, number, line, f"a finite rating >= 0; the rating is {value!r}")
        if "time" in row and not _is_id(row["time"].strip()):
            malformed(path, number, line, f"whole seconds since 1970 as time; the time is {row['time']!r}")


# -- user item item item ---------------------------------------------------------------------------
def read_lists(
    path: str | Path,
    *,
    ids: Literal["int", "str"] = "int",
    duplicates: Duplicates = "error",
    like: Interactions | None = None,
) -> Interactions:
    """Read a file with one user a line, ``user item item ...``: the format of LightGCN's and NGCF's releases.

    A user alone on a line has no interaction and still enters the vocabulary.

    Args:
        path: the file, plain or ``.gz``.
        ids: ``"int"`` (as in the published files) or ``"str"``.
        duplicates: what to do where a line repeats an item, see :meth:`Interactions.from_frame`.
        like: take the codes from these interactions; an id they do not know is an error. For a test file with new ids
            read both and use :func:`rectutor.data.align`.

    Raises:
        ValueError: no interaction at all, an id that is no integer under ``ids="int"``, a user with two lines: with
            the line's number and text.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "train.txt")
    ...     _ = path.write_text("0 10 12\\n1 12\\n")
    ...     read_lists(path).item_ids.tolist()
    [10, 12]
    """
    path = Path(path)
    users: list[str] = []
    counts: list[int] = []
    items: list[str] = []
    seen: dict[str, int] = {}
    for number, line in numbered_lines(path, "utf-8"):
        user, *rest = line.split() or [""]
        if not user:
            continue
        if user in seen:
            malformed(path, number, line, f"one line a user; user {user} has line {seen[user]} already")
        seen[user] = number
        users.append(user)
        counts.append(len(rest))
        items.extend(rest)
    if not items:
        raise ValueError(f"{path} holds no interaction; it must hold lines of a user and the user's items")
    user_ids, item_ids = (_as_ids(path, tokens, ids, "ids separated by blanks") for tokens in (users, items))
    try:
        part = Interactions.from_arrays(np.repeat(user_ids, counts), item_ids, duplicates=duplicates, like=like)
        if like is None and 0 in counts:
            (part,) = align(part, user_ids=user_ids)
        elif like is not None:
            like.user_codes(user_ids)  # a user without items must be known too
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return part


# -- (user,item) negative negative -----------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Candidates:
    """Test rows with the negatives they are ranked against, by original ids.

    Attributes:
        user: user id of each row [N].
        item: id of the held-out item of each row [N].
        indptr: where each row's negatives start, int64 [N + 1].
        negatives: ids of the negatives, row after row [T].
    """

    user: NDArray[Any]
    item: NDArray[Any]
    indptr: NDArray[np.int64]
    negatives: NDArray[Any]

    def __len__(self) -> int:
        return len(self.user)

    def of(self, row: int) -> NDArray[Any]:
        """Ids of one row's negatives [M], in the file's order."""
        return self.negatives[self.indptr[row] : self.indptr[row + 1]]

    def positives(self, like: Interactions | None = None) -> Interactions:
        """The held-out pairs as interactions."""
        return Interactions.from_arrays(self.user, self.item, like=like)

    def item_ids(self) -> NDArray[Any]:
        """Every item that occurs, held out or negative: what :func:`rectutor.data.align` has to add."""
        return np.unique(np.concatenate([self.item, self.negatives]))


def read_negatives(path: str | Path, *, ids: Literal["int", "str"] = "int") -> Candidates:
    """Read a leave-one-out test file with given negatives, one test row a line.

    Two forms are known and told apart by the first line: ``(user,item)`` and then the negatives, as in the release of
    He et al., "Neural collaborative filtering" (WWW 2017), and plain ``user item negative negative ...``.

    Raises:
        ValueError: no row, a line of the other form or without a negative, an id that is no integer under
            ``ids="int"``, the held-out item among its own negatives: with the line's number and text.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "test.negative")
    ...     _ = path.write_text("(0,25)\\t1064\\t174\\n")
    ...     read_negatives(path).of(0).tolist()
    [1064, 174]
    """
    path = Path(path)
    users: list[str] = []
    items: list[str] = []
    negatives: list[str] = []
    counts: list[int] = []
    paired: bool | None = None
    for number, line in numbered_lines(path, "utf-8"):
        text = line.strip()
        if not text:
            continue
        if paired is None:
            paired = text.startswith("(")
        form = "(user,item) negative negative ..." if paired else "user item negative negative ..."
        if paired:
            pair = _PAIR.match(text)
            head, rest = (list(pair.groups()), text[pair.end() :].split()) if pair else ([], [])
        else:
            head, rest = text.split()[:2], text.split()[2:]
        if len(head) < 2 or not rest or (not paired and text.startswith("(")):
            malformed(path, number, line, f"{form}, with at least one negative")
        if head[1] in rest:
            malformed(path, number, line, f"negatives only; the held-out item {head[1]} is among them")
        users.append(head[0])
        items.append(head[1])
        negatives.extend(rest)
        counts.append(len(rest))
    if not users:
        raise ValueError(f"{path} is empty; it must hold at least one test row")
    expected = "integer ids"
    return Candidates(
        _as_ids(path, users, ids, expected),
        _as_ids(path, items, ids, expected),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        _as_ids(path, negatives, ids, expected),
    )


# -- lines -----------------------------------------------------------------------------------------
def numbered_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line, without its line end; errors in the bytes name the place."""
    number = 0
    try:
        with _open(path, encoding) as file:
            for number, line in enumerate(file, start=1):
                yield number, (line[1:] if number == 1 and line.startswith("\ufeff") else line).rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}, after line {number}: not {encoding} text ({error.reason}); say encoding=..., often 'latin-1'"
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{path}, after line {number}: the compressed file is damaged or cut short ({error}); fetch it again"
        ) from error


def _open(path: Path, encoding: str) -> IO[str]:
    # newline="\n": only a line feed ends a line, as for the compiled parser
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=encoding, newline="\n")
    return path.open(encoding=encoding, newline="\n")


def _split(line: str, sep: Separator) -> list[str]:
    if sep == "space":
        return line.split()
    if sep == "comma":
        return next(csv.reader([line]), [])
    return line.split({"tab": "\t", "::": "::"}[sep])


def _sniff(line: str) -> Separator:
    if "::" in line:
        return "::"
    return "tab" if "\t" in line else "comma" if "," in line else "space"


def _known_names(fields: list[str]) -> tuple[str, ...] | None:
    """The roles of a header's columns, or None where the line does not name a user and an item."""
    names = []
    for field in fields:
        plain = re.sub("[^a-z]", "", field.lower())
        names.append(next((role for role in _ROLES if plain in _NAMES[role]), field))
    unique = len(set(names)) == len(names)
    return tuple(names) if unique and {"user", "item"} <= set(names) else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # which float() takes and no data file means


def _is_id(text: str) -> bool:
    return len(text) <= 20 and bool(_INTEGER.fullmatch(text)) and int(text) in _INT64


def _as_ids(path: Path, tokens: list[str], ids: Literal["int", "str"], expected: str) -> NDArray[Any]:
    if ids not in ("int", "str"):
        raise ValueError(f'ids is {ids!r}; it must be "int" or "str"')
    if ids == "str":
        return np.array(tokens, dtype=object)
    try:
        return np.array([int(token) for token in tokens], dtype=np.int64)
    except (ValueError, OverflowError):
        bad = next(token for token in tokens if not _is_id(token))
    for number, line in numbered_lines(path, "utf-8"):
        if bad in re.split(r"[\s(),]+", line) or bad in line.split():
            malformed(path, number, line, f'{expected}, each a 64-bit integer; {bad!r} is none (ids="str" reads text)')
    raise AssertionError(f"{bad!r} came from {path}")


def malformed(path: Path, number: int, line: str, expected: str) -> NoReturn:
    """Raise the error of a bad line."""
    shown = line if len(line) <= 80 else f"{line[:77]}..."
    raise ValueError(f"{path}, line {number}: {shown!r}: expected {expected}")
