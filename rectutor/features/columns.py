"""How the columns of a frame are read: which values are equal, which are missing, and what is refused.

A value of a vocabulary is of one of three kinds, and a vocabulary holds one kind only:

==========  =====================================================================================================
kind        read from
==========  =====================================================================================================
integer     whole numbers that fit int64; floating point only where it is whole and too small to have lost digits
            (below 2^53 in float64, 2^24 in float32), which is what pandas makes of integers beside a missing value
text        str; a text that is empty is a value
boolean     True and False
==========  =====================================================================================================

So the integer 1, the text "1" and True are three values. They never stand for each other: a frame whose column is of
another kind than the vocabulary - an id read back from a file as text, say - is refused, since all its values would be
unknown. None, NaN, NA and NaT are missing. A categorical column is read as its categories.

Shapes: N rows, P values of all sequences together, U distinct values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from reprlib import repr as short
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Column: TypeAlias = "pd.Series | NDArray[Any] | Sequence[Any]"

INTEGER, TEXT, BOOLEAN = "integer", "text", "boolean"
KINDS = (INTEGER, TEXT, BOOLEAN)

WHOLE = re.compile("0|-?[1-9][0-9]*", re.ASCII)


@dataclass(frozen=True, eq=False)
class Values:
    """Values as places among their distinct ones.

    Attributes:
        kind: of the values; None where all are missing.
        distinct: each value once, [U]: int64, for text an array of str, for booleans 0 and 1.
        place: of each value in ``distinct``, [N]; -1 where it is missing.
    """

    kind: str | None
    distinct: NDArray[Any]
    place: Ints

    def counts(self) -> Ints:
        """How often each distinct value occurs, [U]."""
        return np.bincount(self.place[self.place >= 0], minlength=len(self.distinct)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Ragged:
    """Sequences of values, one behind the other.

    Attributes:
        values: P of them; a missing cell is one missing value.
        lengths: values of each row, [N].
        missing: rows whose cell is missing, [N].
    """

    values: Values
    lengths: Ints
    missing: NDArray[np.bool_]


# -- values ------------------------------------------------------------------------------------------------------
def read_values(column: Column, what: str, rows: Ints | None = None) -> Values:
    """Read whole numbers, text or booleans.

    Args:
        column: [N].
        what: its name in messages.
        rows: the row of each value in messages, where it is not its place, [N].

    Raises:
        TypeError: values of no kind, or of two kinds.
        ValueError: a number that is not whole, or that int64 or its floating-point type cannot hold exactly.

    >>> read = read_values(pd.Series([7, None, 9, 7]), "column 'note'")
    >>> read.kind, read.distinct.tolist(), read.place.tolist()
    ('integer', [7, 9], [0, -1, 1, 0])
    """
    if not isinstance(column, pd.Series | np.ndarray):
        column = np.fromiter(column, object, len(column))
    if column.dtype == object:
        return _read_objects(np.asarray(column), what, rows)
    factorized = pd.factorize(column)
    place, distinct = factorized[0].astype(np.int64), np.asarray(factorized[1])
    if len(distinct) == 0:
        return Values(None, np.zeros(0, np.int64), place)
    if column.dtype.kind == "b":
        return Values(BOOLEAN, distinct.astype(np.int64), place)
    if column.dtype.kind in "iu":
        return Values(INTEGER, _whole(distinct, place, what, rows), place)
    if column.dtype.kind == "f":
        return Values(INTEGER, _whole(distinct, place, what, rows, type(distinct.dtype.type(0))), place)
    if column.dtype.kind in "OU":  # categories, the text of pandas and of NumPy
        if distinct.dtype.kind == "U":
            distinct = distinct.astype(object)
        inner = read_values(distinct, what, _first_rows(place, len(distinct), rows))
        return replace(inner, place=np.append(inner.place, -1)[place])
    raise TypeError(f"{what} holds {column.dtype}; make it whole numbers, text or booleans")


def _read_objects(column: NDArray[Any], what: str, rows: Ints | None) -> Values:
    """Read a column of Python objects."""
    present = ~pd.isna(column)
    types = set(map(type, column[present]))
    kinds = {kind: [t for t in types if _kind(t) == kind] for kind in dict.fromkeys(map(_kind, types))}
    if None in kinds:
        at = _first_of(column, kinds[None])
        hint = "declare a Sequence" if kinds[None][0] in (list, tuple, np.ndarray) else "make it one of these"
        raise TypeError(
            f"{what} holds {short(column[at])} in row {_row(rows, at)}; not a whole number, a text or a boolean: {hint}"
        )
    if len(kinds) > 1:
        one, two, *_ = sorted(_first_of(column, members) for members in kinds.values())
        found = " and ".join(f"{short(column[at])} in row {_row(rows, at)}" for at in (one, two))
        raise TypeError(f"{what} mixes {found}; make all values one type")
    if not kinds:
        return Values(None, np.zeros(0, np.int64), np.full(len(column), -1, np.int64))
    place, distinct = pd.factorize(column)
    place, kind = place.astype(np.int64), next(iter(kinds))
    if kind == BOOLEAN:
        distinct = distinct.astype(np.int64)
    if kind == INTEGER:
        floats = [t for t in types if issubclass(t, float | np.floating)]
        distinct = _whole(distinct, place, what, rows, *floats)
    return Values(kind, distinct, place)


def _row(rows: Ints | None, place: Any) -> int:
    """The row of a value in messages."""
    return int(place if rows is None else rows[place])


def _first_rows(place: Ints, distinct: int, rows: Ints | None) -> Ints:
    """The first row that has each distinct value, [U]."""
    first = np.zeros(distinct + 1, np.int64)  # the last one is that of place -1
    first[place[::-1]] = np.arange(len(place))[::-1]  # of several, the last assignment stays
    return first[:-1] if rows is None else rows[first[:-1]]


def _kind(of: type) -> str | None:
    """The kind of the values of a Python type; None for a type that is none."""
    if issubclass(of, bool | np.bool_):
        return BOOLEAN
    if issubclass(of, int | np.integer | float | np.floating):
        return INTEGER
    return TEXT if issubclass(of, str) else None


def _first_of(column: NDArray[Any], types: Sequence[type]) -> int:
    """The first row whose value has one of these types and is not missing."""
    return next(
        row for row, value in enumerate(column) if type(value) in types and value is not pd.NA and value == value
    )


def _whole(distinct: NDArray[Any], place: Ints, what: str, rows: Ints | None, *floats: type) -> Ints:
    """Distinct numbers as int64; those of floating point must be whole and below the limit of their type."""
    if floats:
        limit = min(2 ** (int(np.finfo(t).nmant) + 1) for t in floats)
        x = np.array([x if isinstance(x, float | np.floating) else 0.0 for x in distinct.tolist()])
        for u in np.flatnonzero((np.abs(x) >= limit) | (np.trunc(x) != x))[:1]:
            row = _row(rows, np.flatnonzero(place == u)[0])
            remedy = "a category is whole: declare it Dense or Bucketed, or make it text"
            if limit <= abs(x[u]) < np.inf:
                remedy = f"from {limit} on its floating point skips whole numbers: read it as Int64"
            raise ValueError(f"{what} is {x[u]} in row {row}; {remedy}")
    if distinct.dtype.kind in "Ou":
        for u in [u for u, x in enumerate(distinct.tolist()) if not -(2**63) <= x < 2**63][:1]:
            row = _row(rows, np.flatnonzero(place == u)[0])
            raise ValueError(f"{what} is {distinct[u]} in row {row}, beyond int64; make it text")
    return distinct.astype(np.int64)


def as_integers(values: Values, what: str) -> Values:
    """Texts that are whole numbers in their shortest form, as integers: what pieces of delimited text are, if need be.

    Raises:
        ValueError: a text that is no whole number, or one with zeros in front, which would not come back.

    >>> as_integers(read_values(["7", "12"], "column 'history'"), "column 'history'").distinct
    array([ 7, 12])
    """
    for text in values.distinct:
        if not WHOLE.fullmatch(text):
            raise ValueError(
                f"{what} has the piece {text!r}; its vocabulary holds integers, written such as '12' or '-3'"
            )
    numbers = np.fromiter(map(int, values.distinct), object, len(values.distinct))
    return Values(INTEGER if len(numbers) else None, _whole(numbers, values.place, what, None), values.place)


# -- numbers -----------------------------------------------------------------------------------------------------
def read_numbers(column: Column, what: str, rows: Ints | None = None) -> NDArray[np.float64]:
    """Read numbers; a missing one is NaN, a boolean 0 or 1.

    Args:
        column: [N].
        what: its name in messages.
        rows: the row of each number in messages, where it is not its place, [N].

    Raises:
        TypeError: text, dates and other values that are no numbers.
        ValueError: a number that is infinite.

    >>> read_numbers(pd.Series([1, None, 2.5]), "column 'words'")
    array([1. , nan, 2.5])
    """
    series = pd.Series(column) if isinstance(column, pd.Series | np.ndarray) else pd.Series(list(column), dtype=object)
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype if series.notna().all() else object)
    if series.dtype == object:
        cells = series.to_numpy()
        present = ~pd.isna(cells)
        number = np.fromiter((isinstance(cell, int | float | np.number | np.bool_) for cell in cells), bool, len(cells))
        strange = present & ~number
        x = np.full(len(cells), np.nan)
        x[present & number] = cells[present & number].astype(np.float64)
    elif series.dtype.kind in "biuf":
        x, strange = series.to_numpy(np.float64, na_value=np.nan), np.zeros(len(series), bool)
    else:
        x, strange = np.full(len(series), np.nan), series.notna().to_numpy()
    for at in np.flatnonzero(strange)[:1]:
        found = f"{short(series.iloc[at])} in row {_row(rows, at)}"
        raise TypeError(f"{what} holds {found}; make it numbers, e.g. with pandas.to_numeric")
    for at in np.flatnonzero(np.isinf(x))[:1]:
        raise ValueError(f"{what} is {x[at]} in row {_row(rows, at)}; remove it, or make it missing")
    return x


# -- sequences ---------------------------------------------------------------------------------------------------
def read_ragged(column: pd.Series, what: str, sep: str | None = None) -> Ragged:
    """Read a sequence of values a cell: a list, a tuple, a one-dimensional array, or text cut at ``sep``.

    Args:
        column: [N].
        what: its name in messages.
        sep: the text between two values; an empty piece is a missing value, an empty text no values.

    Raises:
        TypeError: a cell that is no sequence, values of no kind or of two kinds.
        ValueError: an array of several dimensions, a number that is not whole or too large.

    >>> read = read_ragged(pd.Series([["a", "b"], [], None, ["b"]]), "column 'tags'")
    >>> read.values.distinct.tolist(), read.values.place.tolist(), read.lengths.tolist()
    (['a', 'b'], [0, 1, -1, 1], [2, 0, 1, 1])
    """
    if sep is not None:
        whole = _texts(column, what, sep)
        pieces = [text.split(sep) if text else [] for text in whole.distinct]
        sizes = np.array([*map(len, pieces), 1], np.int64)  # the last one stands for a missing cell
        starts = np.cumsum(sizes) - sizes
        rows = np.repeat(_first_rows(whole.place, len(pieces), None), sizes[:-1])
        flat = read_values([piece or None for piece in chain.from_iterable(pieces)], what, rows)
        lengths = sizes[whole.place]
        place = np.append(flat.place, -1)[spread(starts[whole.place], lengths)]
        return Ragged(replace(flat, place=place), lengths, whole.place < 0)
    cells, missing = _cells(column, what)
    lengths = np.fromiter(map(len, cells), np.int64, len(cells))
    flat = read_values(_chained(cells), what, np.repeat(np.flatnonzero(~missing), lengths))
    if missing.any():
        counts = np.zeros(len(missing), np.int64)
        counts[~missing] = lengths
        flat = replace(flat, place=np.insert(flat.place, np.cumsum(counts)[missing], -1))
        lengths = counts + missing
    return Ragged(flat, lengths, missing)


def read_weights(column: pd.Series, what: str, of: str, ragged: Ragged, sep: str | None = None) -> NDArray[np.float32]:
    """Read a weight for each value of a column of sequences, [P]; a missing cell's value has weight 1.

    Args:
        column: the weights, [N], in cells like those of the sequences.
        what, of: the names of the columns of weights and of sequences in messages.
        ragged: the sequences.
        sep: as for the sequences.

    Raises:
        ValueError: another number of weights than values, a weight that is missing or not finite.
        TypeError: a weight that is no number.
    """
    if sep is not None:
        whole = _texts(column, what, sep)
        pieces = [text.split(sep) if text else [] for text in whole.distinct]
        cells, missing = [pieces[p] for p in whole.place[whole.place >= 0]], whole.place < 0
    else:
        cells, missing = _cells(column, what)
    counts = np.zeros(len(missing), np.int64)
    counts[~missing] = np.fromiter(map(len, cells), np.int64, len(cells))
    wanted = np.where(ragged.missing, 0, ragged.lengths)
    for row in np.flatnonzero(counts != wanted)[:1]:
        raise ValueError(f"{what} has {counts[row]} weights in row {row}, {of} {wanted[row]} values; give one a value")
    rows = np.repeat(np.arange(len(counts)), counts)
    if sep is not None:
        numbers = np.array([_number(piece, what) for piece in chain.from_iterable(cells)], np.float64)
    else:
        numbers = read_numbers(_chained(cells), f"a weight in {what}", rows)
    with np.errstate(over="ignore"):
        flat = numbers.astype(np.float32)
    for p in np.flatnonzero(~np.isfinite(flat))[:1]:
        raise ValueError(f"{what} has the weight {numbers[p]} in row {rows[p]}; weights are finite float32 numbers")
    weights = np.ones(int(ragged.lengths.sum()), np.float32)
    weights[np.repeat(~ragged.missing, ragged.lengths)] = flat
    return weights


def spread(starts: Ints, lengths: Ints) -> Ints:
    """``start, start + 1, ...`` for each pair of a start and a length, one behind the other.

    >>> spread(np.array([5, 0]), np.array([2, 3]))
    array([5, 6, 0, 1, 2])
    """
    ends = np.cumsum(lengths)
    return np.arange(int(lengths.sum())) + np.repeat(starts - ends + lengths, lengths)


def _texts(column: pd.Series, what: str, sep: str) -> Values:
    """Cells of delimited text."""
    whole = read_values(column, what) if column.dtype.kind not in "iufb" or column.notna().any() else None
    if whole is None:
        return Values(None, np.zeros(0, object), np.full(len(column), -1, np.int64))
    if whole.kind not in (TEXT, None):
        raise TypeError(f"{what} holds {whole.kind} values, not text delimited by {sep!r}; read it with dtype=str")
    return whole


def _cells(column: pd.Series, what: str) -> tuple[list[Any], NDArray[np.bool_]]:
    """Cells that are not missing, and which are."""
    cells = column.tolist()
    types = set(map(type, cells))
    if types <= {list, tuple}:
        return cells, np.zeros(len(cells), bool)
    sequence = np.fromiter((isinstance(cell, list | tuple | np.ndarray) for cell in cells), bool, len(cells))
    for row in np.flatnonzero(~sequence):
        if not pd.api.types.is_scalar(cells[row]) or not pd.isna(cells[row]):
            hint = "give sep to cut text" if isinstance(cells[row], str) else "make it a list, a tuple or an array"
            raise TypeError(f"{what} holds {short(cells[row])} in row {row}, which is no sequence; {hint}")
    for row in np.flatnonzero(sequence):
        if np.ndim(cells[row]) != 1 and isinstance(cells[row], np.ndarray):
            raise ValueError(f"{what} holds an array of shape {cells[row].shape} in row {row}; make it one-dimensional")
    return [cell for cell, keep in zip(cells, sequence) if keep], ~sequence


def _chained(cells: list[Any]) -> NDArray[Any]:
    """The values of all cells, one behind the other; types are kept, so that nothing is rounded."""
    full = [cell for cell in cells if len(cell)]
    if full and {getattr(cell, "dtype", None) for cell in full} == {getattr(full[0], "dtype", object)}:
        return np.concatenate(full)
    return np.fromiter(chain.from_iterable(full), object, sum(map(len, full)))


def _number(piece: str, what: str) -> float:
    """A piece of delimited text as a number."""
    try:
        return float(piece)
    except ValueError:
        raise TypeError(f"{what} has the piece {piece!r}, which is no number") from None
