"""What the columns of a frame mean: one line a feature, read at sight.

>>> schema = Schema([
...     Categorical("user"),
...     Categorical("note", min_count=2),
...     Sequence("history", length=20, vocabulary="note"),
...     Bucketed("age", by=[18, 25, 35]),
...     Dense("words", transform="log1p"),
... ])
>>> schema.members("note")
('note', 'history')
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from rectutor.features.encoder import Encoder

BUCKETS = 10
"""Buckets of a :class:`Bucketed` that names none."""


def check_name(what: str, name: object) -> None:
    """Refuse names that are no text or empty."""
    if not isinstance(name, str) or not name:
        raise TypeError(f"{what} is {name!r}; give the name as text")


def check_whole(what: str, number: object, least: int) -> None:
    """Refuse what is no whole number, or too small a one."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{what} is {number!r}; give a whole number")
    if number < least:
        raise ValueError(f"{what} is {number}; it must be at least {least}")


@dataclass(frozen=True)
class Dense:
    """A number that a model takes as a number.

    Attributes:
        name: the column.
        transform: "log1p" replaces x > -1 by log(1 + x), for counts with a long tail; "none" leaves it.
        standardize: subtract the mean of fit and divide by its standard deviation (by 1 where that is 0), after
            the transform.

    A missing value becomes the mean of fit, so 0 once standardised. Where fit saw one, a column ``<name>:missing`` of
    0 and 1 says so; where it saw none, ``transform`` refuses one, because the model has learnt nothing about it.
    """

    name: str
    transform: str = "none"
    standardize: bool = True

    def __post_init__(self) -> None:
        """Refuse an unknown transform."""
        check_name("name", self.name)
        if self.transform not in ("none", "log1p"):
            raise ValueError(f"transform of {self.name!r} is {self.transform!r}; choose 'none' or 'log1p'")


@dataclass(frozen=True)
class Bucketed:
    """A number that a model takes as one of a few buckets, each with a vector of its own.

    Bucket b holds the x with ``edge[b-1] <= x < edge[b]``; the first and the last are open to their side.

    Attributes:
        name: the column.
        by: "quantile" for edges at which as many values of fit lie in one bucket as in another (equal values stay
            together, so there may be fewer buckets than asked for), "width" for equal steps between the least and the
            greatest value of fit, or the edges themselves, ascending.
        buckets: how many, 10 unless given; with edges it follows from them.
    """

    name: str
    by: str | tuple[float, ...] = "quantile"
    buckets: int | None = None

    def __post_init__(self) -> None:
        """Refuse edges that do not ascend."""
        check_name("name", self.name)
        if isinstance(self.by, str):
            if self.by not in ("quantile", "width"):
                raise ValueError(f"by of {self.name!r} is {self.by!r}; choose 'quantile', 'width' or give the edges")
            if self.buckets is None:
                object.__setattr__(self, "buckets", BUCKETS)
            check_whole(f"buckets of {self.name!r}", self.buckets, 2)
            return
        edges = tuple(float(edge) for edge in self.by)
        object.__setattr__(self, "by", edges)
        if not edges or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
            raise ValueError(f"by of {self.name!r} is {edges}; edges are finite and ascend")
        if self.buckets not in (None, len(edges) + 1):
            raise ValueError(f"buckets of {self.name!r} is {self.buckets}; {len(edges)} edges make {len(edges) + 1}")
        object.__setattr__(self, "buckets", len(edges) + 1)


@dataclass(frozen=True)
class Categorical:
    """One of many values: an id, a city, a word.

    Attributes:
        name: the column: whole numbers, text or booleans; see :mod:`rectutor.features.columns` for what equals what.
        vocabulary: fields that name the same one share their codes; the field's own name unless given.
        min_count: a value that occurs less often in fit, counted over all fields of the vocabulary, is unknown; 1
            unless given.
        hash_buckets: keep no vocabulary and take a hash of the value modulo this number; values may collide.

    ``min_count`` and ``hash_buckets`` of a shared vocabulary are stated in one of its fields, or alike in several.
    """

    name: str
    vocabulary: str | None = None
    min_count: int | None = None
    hash_buckets: int | None = None

    def __post_init__(self) -> None:
        """Name the vocabulary; refuse counts below 1."""
        check_vocabulary(self)


@dataclass(frozen=True)
class Sequence:
    """Several values in one cell: keywords, or the notes last clicked (multi-hot, where order does not matter).

    Attributes:
        name: the column; its cells are lists, tuples or one-dimensional arrays, or text cut at ``sep``.
        length: slots. A shorter sequence leaves padding behind it, code 0 with weight 0; an empty one is all padding.
        vocabulary, min_count, hash_buckets: as for :class:`Categorical`; a value counts as often as it occurs.
        weights: the column with a weight for each value (weighted multi-hot), in cells of the same lengths; every
            value counts 1 unless given.
        sep: the text between two values, such as "|"; an empty piece is a missing value, an empty cell no values.
        keep: "last" keeps the last ``length`` values of a longer sequence, such as a history in the order of time;
            "first" the first ones, such as keywords from the best on.

    A missing cell is one missing value: code 1, weight 1, then padding.
    """

    name: str
    length: int
    vocabulary: str | None = None
    weights: str | None = None
    sep: str | None = None
    keep: str = "last"
    min_count: int | None = None
    hash_buckets: int | None = None

    def __post_init__(self) -> None:
        """Name the vocabulary; refuse lengths and counts below 1."""
        check_vocabulary(self)
        check_whole(f"length of {self.name!r}", self.length, 1)
        if self.keep not in ("last", "first"):
            raise ValueError(f"keep of {self.name!r} is {self.keep!r}; choose 'last' or 'first'")
        if self.weights is not None:
            check_name(f"weights of {self.name!r}", self.weights)
        if self.sep is not None:
            check_name(f"sep of {self.name!r}", self.sep)


def check_vocabulary(field: Categorical | Sequence) -> None:
    """What both kinds of a field with a vocabulary have to satisfy."""
    check_name("name", field.name)
    if field.vocabulary is None:
        object.__setattr__(field, "vocabulary", field.name)
    check_name(f"vocabulary of {field.name!r}", field.vocabulary)
    if field.min_count is not None:
        check_whole(f"min_count of {field.name!r}", field.min_count, 1)
    if field.hash_buckets is not None:
        check_whole(f"hash_buckets of {field.name!r}", field.hash_buckets, 1)


Field: TypeAlias = Dense | Bucketed | Categorical | Sequence


@dataclass(frozen=True)
class Schema:
    """The features of a model, in the order of their slots.

    Args:
        fields: at least one, with names of their own.

    Raises:
        ValueError: no field, a name that repeats, settings of a shared vocabulary that differ.
    """

    fields: tuple[Field, ...]
    KINDS: ClassVar[tuple[type, ...]] = (Dense, Bucketed, Categorical, Sequence)

    def __init__(self, fields: Iterable[Field]) -> None:
        object.__setattr__(self, "fields", tuple(fields))
        if not self.fields:
            raise ValueError("fields is empty; a schema needs at least one")
        for field in self.fields:
            if not isinstance(field, self.KINDS):
                raise TypeError(f"fields has {field!r}; give Dense, Bucketed, Categorical or Sequence")
        names = [field.name for field in self.fields]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two fields are named {repeated[0]!r}; copy the column to use it twice")
        for name in self.vocabularies:
            if any(isinstance(field, Bucketed) and field.name == name for field in self.fields):
                raise ValueError(f"the vocabulary {name!r} has the name of a Bucketed field; choose another")
            if self.setting(name, "min_count") is not None and self.setting(name, "hash_buckets") is not None:
                raise ValueError(f"vocabulary {name!r} has min_count and hash_buckets; a hash counts nothing: drop one")

    @property
    def slotted(self) -> tuple[Bucketed | Categorical | Sequence, ...]:
        """The fields that have codes."""
        return tuple(field for field in self.fields if not isinstance(field, Dense))

    @property
    def dense(self) -> tuple[Dense, ...]:
        """The fields that are numbers."""
        return tuple(field for field in self.fields if isinstance(field, Dense))

    @property
    def vocabularies(self) -> tuple[str, ...]:
        """The vocabularies of values, without the buckets."""
        named = (str(field.vocabulary) for field in self.fields if isinstance(field, Categorical | Sequence))
        return tuple(dict.fromkeys(named))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a frame must have."""
        weights = (field.weights for field in self.fields if isinstance(field, Sequence) and field.weights)
        return tuple(dict.fromkeys([*(field.name for field in self.fields), *weights]))

    def members(self, vocabulary: str) -> tuple[str, ...]:
        """Names of the fields that share a vocabulary."""
        return tuple(field.name for field in self._of(vocabulary))

    def setting(self, vocabulary: str, name: str) -> int | None:
        """``min_count`` or ``hash_buckets`` of a vocabulary: what its fields say, None where none does."""
        said = {field.name: getattr(field, name) for field in self._of(vocabulary)}
        stated = {value for value in said.values() if value is not None}
        if len(stated) > 1:
            raise ValueError(f"the fields of vocabulary {vocabulary!r} differ in {name}: {said}; state it once")
        return stated.pop() if stated else None

    def _of(self, vocabulary: str) -> tuple[Categorical | Sequence, ...]:
        """The fields that share a vocabulary."""
        having = (field for field in self.fields if isinstance(field, Categorical | Sequence))
        return tuple(field for field in having if field.vocabulary == vocabulary)

    def fit(self, frame: pd.DataFrame) -> Encoder:
        """Learn vocabularies, edges and moments from a frame; see :class:`~rectutor.features.encoder.Encoder`.

        >>> import pandas as pd
        >>> Schema([Categorical("city")]).fit(pd.DataFrame({"city": ["Xi'an", "Lhasa", "Lhasa"]})).values("city")
        [<nothing>, <missing>, <unknown>, 'Lhasa', "Xi'an"]
        """
        from rectutor.features.encoder import Encoder  # the encoder knows the schema

        return Encoder.fit(self, frame)
