"""A schema fitted to a frame: the vocabularies, edges and moments that turn any such frame into codes and numbers.

Shapes: N rows, S slots, M dense columns, T tasks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence as Many
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from rectutor.features.columns import (
    BOOLEAN,
    INTEGER,
    KINDS,
    TEXT,
    Ints,
    Ragged,
    Values,
    as_integers,
    read_numbers,
    read_ragged,
    read_values,
    read_weights,
)
from rectutor.features.encoded import Encoded, Layout
from rectutor.features.encoding import bucketize, hash_codes, look_up, pad, quantile_edges, ranked, width_edges
from rectutor.features.reference import FIRST, MISSING, NOTHING, UNKNOWN
from rectutor.features.schema import Bucketed, Categorical, Dense, Schema, Sequence

FORMAT, VERSION = "rectutor encoder", 1

Floats = NDArray[np.float64]


class Special(Enum):
    """What the first three codes of every vocabulary stand for; unequal to any value of a column."""

    NOTHING = NOTHING
    MISSING = MISSING
    UNKNOWN = UNKNOWN

    def __repr__(self) -> str:
        return f"<{self.name.lower()}>"

    __str__ = __repr__


@dataclass(frozen=True)
class Hashed:
    """A code that has no values: whatever hashes to it."""

    bucket: int


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The codes of one vocabulary.

    Attributes:
        kind: of its values: "integer", "text" or "boolean".
        known: the values in the order of their codes; booleans as 0 and 1; empty where ``buckets`` is given.
        buckets: of the hash, or None.
    """

    kind: str
    known: NDArray[Any]
    buckets: int | None = None

    @property
    def size(self) -> int:
        """Number of codes."""
        return FIRST + (len(self.known) if self.buckets is None else self.buckets)

    @cached_property
    def _index(self) -> pd.Index:
        return pd.Index(self.known)

    def encode(self, values: Values) -> Ints:
        """The code of each value, [N]."""
        return look_up(values, self._index) if self.buckets is None else hash_codes(values, self.buckets)

    def decode(self, codes: Ints) -> list[Any]:
        """What each code stands for."""
        special = list(Special)
        if self.buckets is not None:
            return [special[c] if c < FIRST else Hashed(c - FIRST) for c in codes.tolist()]
        known = self.known.astype(bool) if self.kind == BOOLEAN else self.known
        values = [*special, *known.tolist()]
        return [values[c] for c in codes.tolist()]


@dataclass(frozen=True)
class Moments:
    """What a Dense learns, after its transform: mean, standard deviation, and whether values were missing."""

    mean: float
    std: float
    missing: bool


@dataclass(frozen=True, eq=False)
class Encoder:
    """A fitted schema; made by :meth:`Schema.fit <rectutor.features.schema.Schema.fit>` or :meth:`load`.

    Attributes:
        schema: what was fitted.
        vocabularies: by name, without the buckets.
        edges: of each :class:`~rectutor.features.schema.Bucketed`.
        moments: of each :class:`~rectutor.features.schema.Dense`.

    >>> from rectutor.features.schema import Schema
    >>> frame = pd.DataFrame({
    ...     "user": [9, 7, 9, 7],
    ...     "tags": [["tea"], ["pie", "tea"], [], None],
    ...     "words": [100.0, 300.0, 300.0, 100.0],
    ...     "click": [1, 0, 0, 1],
    ... })
    >>> encoder = Schema([Categorical("user"), Sequence("tags", length=2), Dense("words")]).fit(frame)
    >>> data = encoder.transform(frame, label="click")
    >>> data.ids.tolist()
    [[4, 3, 0], [3, 4, 3], [4, 0, 0], [3, 1, 0]]
    >>> data.weights.tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    >>> data.dense.ravel().tolist(), data.label.tolist()
    ([-1.0, 1.0, 1.0, -1.0], [1.0, 0.0, 0.0, 1.0])
    >>> encoder.decode("tags", [3, 4, 1])
    ['tea', 'pie', <missing>]
    """

    schema: Schema
    vocabularies: dict[str, Vocabulary]
    edges: dict[str, Floats]
    moments: dict[str, Moments]

    # -- fit -----------------------------------------------------------------------------------------------------
    @classmethod
    def fit(cls, schema: Schema, frame: pd.DataFrame) -> Encoder:
        """Learn from a frame; codes do not depend on the order of its rows.

        Raises:
            TypeError, ValueError: a frame without rows or without a column of the schema; a field without any value; a
                column of the wrong type; no value that occurs ``min_count`` times.
        """
        check_frame(schema, frame)
        if len(frame) == 0:
            raise ValueError("frame has no rows; there is nothing to fit")
        vocabularies = {name: fit_vocabulary(schema, name, frame) for name in schema.vocabularies}
        edges: dict[str, Floats] = {}
        moments: dict[str, Moments] = {}
        for field in schema.fields:
            if isinstance(field, Bucketed):
                edges[field.name] = fit_edges(field, frame)
            elif isinstance(field, Dense):
                moments[field.name] = fit_moments(field, frame)
        return cls(schema, vocabularies, edges, moments)

    @cached_property
    def layout(self) -> Layout:
        """Where each field stands; a Dense with missing values in fit has a column ``<name>:missing`` behind it."""
        fields = self.schema.slotted
        names = tuple(field.name if isinstance(field, Bucketed) else str(field.vocabulary) for field in fields)
        sizes = {
            name: FIRST + 1 + len(self.edges[name]) if name in self.edges else self.vocabularies[name].size
            for name in names
        }
        dense = []
        for column in self.schema.dense:
            dense += [column.name, f"{column.name}:missing"] if self.moments[column.name].missing else [column.name]
        lengths = tuple(field.length if isinstance(field, Sequence) else 1 for field in fields)
        return Layout(tuple(field.name for field in fields), lengths, names, sizes, tuple(dense))

    # -- transform -----------------------------------------------------------------------------------------------
    def transform(self, frame: pd.DataFrame, label: str | Many[str] | None = None, *, binary: bool = True) -> Encoded:
        """Encode a frame, row by row in its order.

        Args:
            frame: with the columns of the schema, of the kinds they had in fit; other columns are ignored.
            label: the column to predict, or several, for several tasks.
            binary: labels are 0 and 1 (or booleans), and anything else is refused; False accepts finite numbers.

        Returns:
            N examples; ``weights`` is None where the schema has no Sequence.

        Raises:
            TypeError, ValueError: a missing column, a column of another kind than in fit, a number that is infinite, a
                missing value in a Dense that had none in fit, weights that do not go with their sequence, a label that
                is missing or not 0 or 1.
        """
        check_frame(self.schema, frame)
        layout, fields = self.layout, self.schema.slotted
        ids = np.empty((len(frame), len(layout.field_of_slot)), np.int64)
        weights = None
        if any(isinstance(field, Sequence) for field in fields):
            weights = np.ones(ids.shape, np.float32)
        for field in tqdm(fields, desc="encode", unit="field", delay=2, leave=False):
            slots = layout.slots(field.name)
            if isinstance(field, Sequence):
                assert weights is not None
                ids[:, slots], weights[:, slots] = self._padded(field, frame)
            else:
                ids[:, slots.start] = self._codes(field, frame[field.name])
        dense = np.empty((len(frame), len(layout.dense)), np.float32)
        for column in self.schema.dense:
            first = layout.dense.index(column.name)
            numbers = self._numbers(column, frame)
            dense[:, first : first + numbers.shape[1]] = numbers
        return Encoded(layout, ids, dense, weights, None if label is None else read_labels(frame, label, binary))

    def _codes(self, field: Bucketed | Categorical, column: pd.Series) -> Ints:
        """The code of each row, [N]."""
        what = f"column {field.name!r}"
        if isinstance(field, Bucketed):
            return bucketize(read_numbers(column, what), self.edges[field.name])
        vocabulary = self.vocabularies[str(field.vocabulary)]
        return vocabulary.encode(conform(read_values(column, what), vocabulary.kind, what, field))

    def _read(self, field: Sequence, frame: pd.DataFrame) -> tuple[Ragged, Ints]:
        """The sequences and the codes of their values, [P]."""
        what = f"column {field.name!r}"
        ragged = read_ragged(frame[field.name], what, field.sep)
        vocabulary = self.vocabularies[str(field.vocabulary)]
        return ragged, vocabulary.encode(conform(ragged.values, vocabulary.kind, what, field))

    def _padded(self, field: Sequence, frame: pd.DataFrame) -> tuple[Ints, NDArray[np.float32]]:
        """Codes and weights of the slots of a sequence."""
        ragged, codes = self._read(field, frame)
        weights = np.ones(len(codes), np.float32)
        if field.weights is not None:
            names = f"column {field.weights!r}", f"column {field.name!r}"
            weights = read_weights(frame[field.weights], *names, ragged, field.sep)
        return pad(codes, weights, ragged.lengths, field.length, field.keep)

    def _numbers(self, field: Dense, frame: pd.DataFrame) -> NDArray[np.float32]:
        """The number of each row, and whether it was missing if fit saw a missing one, [N, 1 or 2]."""
        x, moments = read_dense(field, frame), self.moments[field.name]
        missing = np.isnan(x)
        for row in np.flatnonzero(missing)[: 0 if moments.missing else 1]:
            raise ValueError(
                f"column {field.name!r} is missing in row {row}, but never was in fit, so that no model can know "
                "what it means: fill it, or fit on rows that have missing ones too"
            )
        x = np.where(missing, moments.mean, x)
        if field.standardize:
            x = (x - moments.mean) / moments.std
        with np.errstate(over="ignore"):
            number = x.astype(np.float32)
        for row in np.flatnonzero(~np.isfinite(number))[:1]:
            raise ValueError(f"column {field.name!r} is {x[row]} in row {row}, beyond float32; standardize or scale it")
        return np.stack([number, missing.astype(np.float32)], axis=1)[:, : 1 + moments.missing]

    # -- look inside ---------------------------------------------------------------------------------------------
    def values(self, field: str) -> list[Any]:
        """What each code of a field stands for: a :class:`Special`, then values, intervals, or :class:`Hashed`.

        >>> from rectutor.features.schema import Schema
        >>> Schema([Bucketed("age", by=[18, 35])]).fit(pd.DataFrame({"age": [20]})).values("age")[3:]
        [Interval(-inf, 18.0, closed='left'), Interval(18.0, 35.0, closed='left'), Interval(35.0, inf, closed='left')]
        """
        self.layout.slots(field)
        return self.decode(field, np.arange(self.layout.sizes[self._vocabulary(field)]))

    def decode(self, field: str, codes: ArrayLike) -> list[Any]:
        """The values of codes, [N], as :meth:`values` names them.

        Raises:
            TypeError: codes that are no whole numbers.
            ValueError: a code that the field does not have.
        """
        self.layout.slots(field)
        array, name = np.asarray(codes), self._vocabulary(field)
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(f"codes is {array.dtype}; give whole numbers")
        size = self.layout.sizes[name]
        for code in array[(array < 0) | (array >= size)][:1]:
            raise ValueError(f"codes has {code}; field {field!r} has the codes 0 to {size - 1}")
        if field not in self.edges:
            return self.vocabularies[name].decode(array)
        ends = [-np.inf, *self.edges[field].tolist(), np.inf]
        values = [*Special, *(pd.Interval(left, right, closed="left") for left, right in pairwise(ends))]
        return [values[code] for code in array.tolist()]

    def code(self, field: str, value: Any) -> int:
        """The code of one value; its row in the table is ``layout.rows_of(field).start + code``.

        Raises:
            TypeError, ValueError: a value of another kind than the vocabulary's.

        >>> from rectutor.features.schema import Schema
        >>> encoder = Schema([Categorical("user")]).fit(pd.DataFrame({"user": [9, 7, 9]}))
        >>> encoder.code("user", 9), encoder.code("user", 8), encoder.code("user", None)
        (3, 2, 1)
        """
        self.layout.slots(field)
        what = f"value of field {field!r}"
        if field in self.edges:
            return int(bucketize(read_numbers([value], what), self.edges[field])[0])
        vocabulary = self.vocabularies[self._vocabulary(field)]
        return int(vocabulary.encode(conform(read_values([value], what), vocabulary.kind, what))[0])

    def _vocabulary(self, field: str) -> str:
        """The vocabulary of a field, by name."""
        return self.layout.vocabularies[self.layout.fields.index(field)]

    def report(self, frame: pd.DataFrame) -> pd.DataFrame:
        """How well the encoder covers a frame, a row a field.

        Returns:
            Columns ``kind``; ``codes``, 0 for a Dense; ``coverage``, the share of rows with a value, whether known or
            not; ``missing``, the share whose cell is missing (the rest are empty sequences, or sequences of missing
            values); ``unknown``, the share of the values that are unknown; ``truncated``, the share of rows that are
            longer than their slots.

        >>> from rectutor.features.schema import Schema
        >>> encoder = Schema([Categorical("city")]).fit(pd.DataFrame({"city": ["Lhasa"]}))
        >>> encoder.report(pd.DataFrame({"city": ["Lhasa", "Xi'an", None, "Lhasa"]})).loc["city", "coverage":"unknown"]
        coverage    0.750000
        missing     0.250000
        unknown     0.333333
        Name: city, dtype: float64
        """
        check_frame(self.schema, frame)
        if len(frame) == 0:
            raise ValueError("frame has no rows; there is nothing to report")
        rows = {}
        for field in self.schema.fields:
            codes, owner, truncated = np.zeros(0, np.int64), np.arange(len(frame)), 0.0
            if isinstance(field, Dense):
                codes = np.where(np.isnan(read_numbers(frame[field.name], f"column {field.name!r}")), MISSING, FIRST)
                missing, size = codes == MISSING, 0
            elif isinstance(field, Sequence):
                ragged, codes = self._read(field, frame)
                owner, missing = np.repeat(owner, ragged.lengths), ragged.missing
                truncated = float((ragged.lengths > field.length).mean())
            else:
                codes = self._codes(field, frame[field.name])
                missing = codes == MISSING
            if not isinstance(field, Dense):
                size = self.layout.sizes[self._vocabulary(field.name)]
            present = codes != MISSING
            rows[field.name] = {
                "kind": type(field).__name__,
                "codes": size,
                "coverage": len(np.unique(owner[present])) / len(frame),
                "missing": float(missing.mean()),
                "unknown": float((codes[present] == UNKNOWN).mean()) if present.any() else 0.0,
                "truncated": truncated,
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("field")

    def collisions(self, frame: pd.DataFrame) -> pd.DataFrame:
        r"""How many values of a frame share their bucket, a row a hashed vocabulary.

        Returns:
            Columns ``buckets``; ``values``, the distinct ones; ``used``, the buckets with any; ``colliding``, the
            values that share a bucket with another; ``expected``, how many would on average if each of the n values
            fell into one of B buckets at random: :math:`n (1 - (1 - 1/B)^{n-1})`.

        >>> from rectutor.features.schema import Schema
        >>> frame = pd.DataFrame({"ip": [f"10.0.0.{i}" for i in range(100)]})
        >>> Schema([Categorical("ip", hash_buckets=1000)]).fit(frame).collisions(frame).round(1).to_dict("index")
        {'ip': {'buckets': 1000, 'values': 100, 'used': 92, 'colliding': 16, 'expected': 9.4}}
        """
        check_frame(self.schema, frame)
        rows = {}
        for name, vocabulary in self.vocabularies.items():
            if vocabulary.buckets is None:
                continue
            distinct = count_values(self.schema, name, frame, vocabulary.kind)[1]
            place = np.arange(len(distinct))
            bucket = vocabulary.encode(Values(vocabulary.kind, distinct, place))
            sharing = np.unique(bucket, return_counts=True)[1]
            n, free = len(distinct), 1 - 1 / vocabulary.buckets
            rows[name] = {
                "buckets": vocabulary.buckets,
                "values": n,
                "used": len(sharing),
                "colliding": int(sharing[sharing > 1].sum()),
                "expected": n * (1 - free ** (n - 1)) if n else 0.0,
            }
        columns = ["buckets", "values", "used", "colliding", "expected"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("vocabulary")

    # -- files ---------------------------------------------------------------------------------------------------
    def save(self, path: str | Path) -> None:
        """Write everything into one JSON file, numbers with all their digits."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "fields": [{"type": type(field).__name__, **asdict(field)} for field in self.schema.fields],
            "vocabularies": {
                name: {"kind": v.kind, "known": v.known.tolist(), "buckets": v.buckets}
                for name, v in self.vocabularies.items()
            },
            "edges": {name: edges.tolist() for name, edges in self.edges.items()},
            "moments": {name: asdict(moments) for name, moments in self.moments.items()},
        }
        Path(path).write_text(json.dumps(content, allow_nan=False) + "\n", encoding="ascii")

    @classmethod
    def load(cls, path: str | Path) -> Encoder:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: a file that is cut off, is none of an encoder, is of another version, or contradicts itself.
        """
        path = Path(path)
        try:
            content = json.loads(path.read_bytes())
        except ValueError as error:  # also text that is not UTF-8
            raise ValueError(
                f"{path} is no whole JSON file ({error}); it may be cut off: save the encoder again"
            ) from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"{path} holds no encoder; give a file that Encoder.save wrote")
        if content.get("version") != VERSION:
            raise ValueError(f"{path} has version {content.get('version')!r}; this library reads {VERSION}: fit again")
        try:
            return _rebuilt(content)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ValueError(f"{path} contradicts itself ({error}); save the encoder again") from error


# -- what fit does -----------------------------------------------------------------------------------------------
def check_frame(schema: Schema, frame: pd.DataFrame) -> None:
    """Refuse what is no frame, or one that lacks a column or has it twice."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame is {type(frame).__name__}; give a pandas DataFrame")
    if lacking := [name for name in schema.columns if name not in frame.columns]:
        have = ", ".join(map(repr, frame.columns))
        raise ValueError(f"frame lacks the column {', '.join(map(repr, lacking))} of the schema; it has {have}")
    if repeated := [name for name in schema.columns if frame[name].ndim > 1]:
        raise ValueError(f"frame has the column {repeated[0]!r} twice; rename one")


def conform(values: Values, kind: str, what: str, field: Categorical | Sequence | None = None) -> Values:
    """Values of the kind of a vocabulary; delimited text is cut into integers where the vocabulary holds integers.

    Raises:
        TypeError: values of another kind: all of them would be unknown.
    """
    if values.kind in (None, kind):
        return values
    if kind == INTEGER and isinstance(field, Sequence) and field.sep is not None:
        return as_integers(values, what)
    remedy = {INTEGER: "Int64", TEXT: "str", BOOLEAN: "boolean"}[kind]
    (one,) = values.distinct[:1].astype(bool if values.kind == BOOLEAN else values.distinct.dtype).tolist()
    raise TypeError(
        f"{what} holds {values.kind} values such as {one!r}, its vocabulary {kind} ones; "
        f"none would be known: read it as {remedy}"
    )


def count_values(
    schema: Schema, vocabulary: str, frame: pd.DataFrame, kind: str | None = None
) -> tuple[str, Any, Ints]:
    """Kind, distinct values and how often each occurs, over all fields of a vocabulary.

    ``kind`` is the kind they must have; without it the first column that is not delimited text decides.
    """
    read: dict[Categorical | Sequence, Values] = {}
    for field in (f for f in schema.fields if isinstance(f, Categorical | Sequence) and f.vocabulary == vocabulary):
        what = f"column {field.name!r}"
        if isinstance(field, Sequence):
            read[field] = read_ragged(frame[field.name], what, field.sep).values
        else:
            read[field] = read_values(frame[field.name], what)
    if kind is None:
        order = sorted(read, key=lambda field: isinstance(field, Sequence) and field.sep is not None)
        kind = next((kind for field in order if (kind := read[field].kind) is not None), None)
        if kind is None:
            names = ", ".join(repr(field.name) for field in read)
            raise ValueError(f"vocabulary {vocabulary!r} has no value: column {names} is missing or empty in every row")
    agreed = [conform(values, kind, f"column {field.name!r}", field) for field, values in read.items()]
    agreed = [values for values in agreed if values.kind is not None]
    if not agreed:
        return kind, np.zeros(0, np.int64 if kind != TEXT else object), np.zeros(0, np.int64)
    place, distinct = pd.factorize(np.concatenate([values.distinct for values in agreed]))
    counts = np.zeros(len(distinct), np.int64)
    np.add.at(counts, place, np.concatenate([values.counts() for values in agreed]))
    return kind, np.asarray(distinct), counts


def fit_vocabulary(schema: Schema, name: str, frame: pd.DataFrame) -> Vocabulary:
    """The values that occur often enough, or the buckets of a hash."""
    kind, distinct, counts = count_values(schema, name, frame)
    buckets, least = schema.setting(name, "hash_buckets"), schema.setting(name, "min_count") or 1
    if buckets is not None:
        return Vocabulary(kind, distinct[:0], buckets)
    known = ranked(distinct, counts, least)
    if len(known) == 0:
        most = int(counts.max())
        raise ValueError(
            f"vocabulary {name!r}: no value occurs min_count={least} times, the most frequent {most}; lower it"
        )
    return Vocabulary(kind, known)


def fit_edges(field: Bucketed, frame: pd.DataFrame) -> Floats:
    """The edges of a Bucketed: given, or learnt."""
    x = read_numbers(frame[field.name], f"column {field.name!r}")
    if not isinstance(field.by, str):
        return np.array(field.by)
    assert field.buckets is not None
    if np.isnan(x).all():
        raise ValueError(f"column {field.name!r} is missing in every row; drop the field")
    return width_edges(x, field.buckets) if field.by == "width" else quantile_edges(x, field.buckets)


def fit_moments(field: Dense, frame: pd.DataFrame) -> Moments:
    """Mean and standard deviation of a Dense after its transform."""
    x = read_dense(field, frame)
    known = x[~np.isnan(x)]
    if len(known) == 0:
        raise ValueError(f"column {field.name!r} is missing in every row; drop the field")
    with np.errstate(over="ignore"):
        mean, std = float(known.mean()), float(known.std())
    if not np.isfinite([mean, std]).all():
        raise ValueError(
            f"column {field.name!r} reaches {np.abs(known).max()}; its mean or its square exceeds float64: scale it"
        )
    if known.min() == known.max():
        mean, std = float(known[0]), 0.0  # exactly: rounding would be taken for a spread
    return Moments(mean, std or 1.0, len(known) < len(x))


def read_dense(field: Dense, frame: pd.DataFrame) -> Floats:
    """The numbers of a Dense after its transform; NaN where one is missing."""
    x = read_numbers(frame[field.name], f"column {field.name!r}")
    if field.transform == "none":
        return x
    for row in np.flatnonzero(x <= -1)[:1]:
        raise ValueError(f"column {field.name!r} is {x[row]} in row {row}; log1p takes numbers above -1")
    return np.log1p(x)


def read_labels(frame: pd.DataFrame, label: str | Many[str], binary: bool = True) -> NDArray[np.float32]:
    """Labels, [N] or [N, T]."""
    names = [label] if isinstance(label, str) else list(label)
    if not names:
        raise ValueError("label is an empty list; name a column, or give None")
    columns = []
    for name in names:
        if name not in frame.columns:
            raise ValueError(f"label {name!r} is not in frame; it has {', '.join(map(repr, frame.columns))}")
        x = read_numbers(frame[name], f"label {name!r}")
        for row in np.flatnonzero(np.isnan(x))[:1]:
            raise ValueError(f"label {name!r} is missing in row {row}; drop the row")
        for row in np.flatnonzero((x != 0) & (x != 1))[: 1 if binary else 0]:
            raise ValueError(f"label {name!r} is {x[row]} in row {row}; labels are 0 or 1, or give binary=False")
        columns.append(x.astype(np.float32))
    return columns[0] if isinstance(label, str) else np.stack(columns, axis=1)


# -- what load does ----------------------------------------------------------------------------------------------
def _rebuilt(content: dict[str, Any]) -> Encoder:
    """The encoder of a file's content; an error where a part is missing or of another type."""
    types = {kind.__name__: kind for kind in Schema.KINDS}
    schema = Schema([types[given.pop("type")](**given) for given in content["fields"]])
    vocabularies = {name: _vocabulary(schema, name, content["vocabularies"][name]) for name in schema.vocabularies}
    edges, moments = {}, {}
    for field in schema.fields:
        if isinstance(field, Bucketed):
            edges[field.name] = np.array(content["edges"][field.name], np.float64)
            if edges[field.name].ndim != 1 or (np.diff(edges[field.name]) <= 0).any():
                raise ValueError(f"the edges of {field.name!r} do not ascend")
        if isinstance(field, Dense):
            given = content["moments"][field.name]
            moments[field.name] = Moments(float(given["mean"]), float(given["std"]), bool(given["missing"]))
            if not (0 < moments[field.name].std < np.inf and np.isfinite(moments[field.name].mean)):
                raise ValueError(f"the moments of {field.name!r} are not finite, or its deviation not positive")
    return Encoder(schema, vocabularies, edges, moments)


def _vocabulary(schema: Schema, name: str, given: dict[str, Any]) -> Vocabulary:
    """A vocabulary of a file's content."""
    kind, known, buckets = given["kind"], given["known"], given["buckets"]
    if kind not in KINDS or buckets != schema.setting(name, "hash_buckets"):
        raise ValueError(f"vocabulary {name!r} does not go with its fields")
    right = all(type(value) is (str if kind == TEXT else int) for value in known)
    if not right or len(set(known)) < len(known) or (kind == BOOLEAN and not {0, 1}.issuperset(known)):
        raise ValueError(f"vocabulary {name!r} has values that are not {kind}, or one twice")
    return Vocabulary(kind, np.array(known, object if kind == TEXT else np.int64), buckets)
