"""What a model is given: codes, weights, numbers and labels in arrays, and the layout that says what stands where.

All vocabularies lie below each other in one table, so that a single look-up serves every field: slot s of an example
with code ``ids[n, s]`` is row ``layout.offsets[s] + ids[n, s]``. A field has one slot, a sequence as many as its
length; fields that share a vocabulary share its rows.

Shapes: N examples, S slots, F fields, M dense columns, T tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rectutor.fastpath import fast_path
from rectutor.features import cases, reference

if TYPE_CHECKING:
    from rectutor.data.sparse import SparseRows

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

NOTHING, MISSING, UNKNOWN, FIRST = reference.NOTHING, reference.MISSING, reference.UNKNOWN, reference.FIRST


@dataclass(frozen=True)
class Layout:
    """Where each field stands: its slots among the columns of ``ids``, its rows in the one table of all vocabularies.

    Attributes:
        fields: names of the fields, F.
        lengths: slots of each field, F.
        vocabularies: the vocabulary of each field, F.
        sizes: number of codes of each vocabulary.
        dense: names of the dense columns, M.

    Raises:
        ValueError: names that repeat, a length or a size below 1, a vocabulary without a size, or nothing at all.

    >>> layout = Layout(("user", "note", "history"), (1, 1, 3), ("user", "note", "note"), {"user": 10, "note": 20})
    >>> layout.offsets
    array([ 0, 10, 10, 10, 10])
    >>> layout.rows, layout.slots("history"), layout.rows_of("history")
    (30, slice(2, 5, None), slice(10, 30, None))
    """

    fields: tuple[str, ...]
    lengths: tuple[int, ...]
    vocabularies: tuple[str, ...]
    sizes: dict[str, int] = field(hash=False)
    dense: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a layout that contradicts itself."""
        if not len(self.fields) == len(self.lengths) == len(self.vocabularies):
            counts = f"{len(self.fields)} fields, {len(self.lengths)} lengths, {len(self.vocabularies)} vocabularies"
            raise ValueError(f"{counts}; give one length and one vocabulary a field")
        names = self.fields + self.dense
        if not names:
            raise ValueError("a layout needs at least one field or dense column")
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the name {repeated[0]!r} stands twice; fields and dense columns need names of their own")
        if set(self.vocabularies) != set(self.sizes):
            raise ValueError(f"sizes has {sorted(self.sizes)}; the fields use {sorted(set(self.vocabularies))}")
        for what, numbers in (("lengths", dict(zip(self.fields, self.lengths))), ("sizes", self.sizes)):
            for name, number in numbers.items():
                if number < 1:
                    raise ValueError(f"{what} of {name!r} is {number}; it must be at least 1")

    @classmethod
    def of(cls, sizes: Sequence[int], dense: int = 0, lengths: Sequence[int] | None = None) -> Layout:
        """A layout without a schema: fields ``f0, f1, ...`` of the given numbers of codes, columns ``d0, d1, ...``.

        >>> Layout.of([10, 20], dense=1, lengths=[1, 3]).offsets
        array([ 0, 10, 10, 10])
        """
        names = tuple(f"f{i}" for i in range(len(sizes)))
        slots = (1,) * len(names) if lengths is None else tuple(int(n) for n in lengths)
        columns = tuple(f"d{i}" for i in range(dense))
        return cls(names, slots, names, {name: int(size) for name, size in zip(names, sizes)}, columns)

    @cached_property
    def field_of_slot(self) -> Ints:
        """The field of each slot, [S]."""
        return read_only(np.repeat(np.arange(len(self.fields), dtype=np.int64), self.lengths))

    @cached_property
    def offsets(self) -> Ints:
        """First row of the vocabulary of each slot, [S]."""
        first = np.array([self._first_row[name] for name in self.vocabularies], np.int64)
        return read_only(first[self.field_of_slot])

    @cached_property
    def rows(self) -> int:
        """Rows of the table that holds all vocabularies."""
        return sum(self.sizes.values())

    @cached_property
    def _first_row(self) -> dict[str, int]:
        """First row of each vocabulary; they lie in the order in which the fields name them."""
        result, row = {}, 0
        for name in dict.fromkeys(self.vocabularies):
            result[name] = row
            row += self.sizes[name]
        return result

    @cached_property
    def _slots(self) -> dict[str, slice]:
        """Slots of each field."""
        ends = np.cumsum((0, *self.lengths)).tolist()
        return {name: slice(ends[i], ends[i + 1]) for i, name in enumerate(self.fields)}

    def slots(self, field: str) -> slice:
        """Columns of ``ids`` that belong to a field."""
        if field not in self._slots:
            raise ValueError(f"field {field!r} is not in the layout; it has {', '.join(map(repr, self.fields))}")
        return self._slots[field]

    def rows_of(self, field: str) -> slice:
        """Rows of the table that belong to the vocabulary of a field, so that code c is row ``start + c``."""
        self.slots(field)
        name = self.vocabularies[self.fields.index(field)]
        return slice(self._first_row[name], self._first_row[name] + self.sizes[name])


def read_only(array: Ints) -> Ints:
    """The array, no longer writeable."""
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Encoded:
    """N examples as a model takes them.

    Attributes:
        layout: what stands where.
        ids: codes within the vocabulary of the slot, int64 [N, S]: 0 nothing (the padding of a sequence), 1 a missing
            value, 2 an unknown one, 3.. the known ones.
        dense: numbers, float32 [N, M].
        weights: the :math:`x_i` of each slot, float32 [N, S], 0 at padding; None where every slot counts 1.
        label: float32 [N], or [N, T], or None.

    Raises:
        TypeError: an array of another type; ids of floating point lose digits, so they are not cast.
        ValueError: a wrong shape, a code outside the vocabulary, a number that is not finite.

    >>> data = Encoded(Layout.of([5, 9]), np.array([[3, 4], [0, 8], [4, 4]]))
    >>> len(data), data[1:].ids.tolist()
    (3, [[0, 8], [4, 4]])
    >>> Encoded(Layout.of([5, 9]), np.array([[3, 9]]))
    Traceback (most recent call last):
        ...
    ValueError: ids[0, 1] is 9; field 'f1' has the codes 0 to 8
    """

    layout: Layout
    ids: Ints
    dense: Floats = None  # type: ignore[assignment]
    weights: Floats | None = None
    label: Floats | None = None

    def __post_init__(self) -> None:
        """Check types, shapes and ranges."""
        if self.dense is None:
            object.__setattr__(self, "dense", np.zeros((len(self.ids), 0), np.float32))
        slots, columns = len(self.layout.field_of_slot), len(self.layout.dense)
        self._check("ids", self.ids, np.int64, (len(self.ids), slots))
        self._check("dense", self.dense, np.float32, (len(self.ids), columns))
        if self.weights is not None:
            self._check("weights", self.weights, np.float32, self.ids.shape)
        if self.label is not None:
            self._check("label", self.label, np.float32, (len(self.ids), *np.shape(self.label)[1:2]))
        if len(self.ids) == 0:
            return
        sizes = np.array([self.layout.sizes[self.layout.vocabularies[f]] for f in self.layout.field_of_slot], np.int64)
        for s in np.flatnonzero((self.ids.min(axis=0) < 0) | (self.ids.max(axis=0) >= sizes))[:1]:
            row = np.flatnonzero((self.ids[:, s] < 0) | (self.ids[:, s] >= sizes[s]))[0]
            name = self.layout.fields[self.layout.field_of_slot[s]]
            raise ValueError(f"ids[{row}, {s}] is {self.ids[row, s]}; field {name!r} has the codes 0 to {sizes[s] - 1}")

    @staticmethod
    def _check(name: str, array: Any, dtype: type, shape: tuple[int, ...]) -> None:
        """Refuse another type or shape, and numbers that are not finite."""
        if not isinstance(array, np.ndarray) or array.dtype != dtype:
            what = getattr(array, "dtype", type(array).__name__)
            raise TypeError(f"{name} is {what}; give an array of {dtype.__name__}")
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}; the layout and the other arrays ask for {shape}")
        if dtype is np.float32 and not np.isfinite(array).all():
            place = ", ".join(map(str, np.argwhere(~np.isfinite(array))[0]))
            raise ValueError(f"{name}[{place}] is not finite; fill or remove it")

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.ids)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Encoded:
        """The examples of a slice, an index array or a mask."""
        if isinstance(rows, int | np.integer):
            raise TypeError(f"rows is the number {rows}; give a slice such as {rows}:{rows + 1}, or an array")
        return Encoded(
            self.layout,
            self.ids[rows],
            self.dense[rows],
            None if self.weights is None else self.weights[rows],
            None if self.label is None else self.label[rows],
        )


# -- from a libsvm or libffm file --------------------------------------------------------------------------------
def sparse_layout(*parts: SparseRows) -> Layout:
    """The layout of rows in libsvm or libffm format, wide enough for all parts, e.g. train, valid and test.

    A feature has one vector whatever its field, as in libffm (Juan et al., RecSys 2016), so there is one vocabulary,
    ``features``, with code ``3 + id``. libffm: the fields are named by their numbers, each with as many slots as it has
    entries in a row at most. libsvm: one field, ``features``.

    Raises:
        ValueError: no parts, parts of both formats, or no entry at all.
    """
    if not parts:
        raise ValueError("parts is empty; give at least one SparseRows")
    if len({part.fields is None for part in parts}) > 1:
        raise ValueError("parts mixes rows with fields (libffm) and without (libsvm); give parts of one format")
    size = FIRST + 1 + max((int(part.ids.max()) for part in parts if len(part.ids)), default=-1)
    if size == FIRST:
        raise ValueError("parts has no entry in any row; there is nothing to lay out")
    longest: dict[int, int] = {}
    for part in parts:
        number, rank = _ranks(part)
        for f in np.unique(number):
            longest[int(f)] = max(longest.get(int(f), 1), int(rank[number == f].max()) + 1)
    order = sorted(longest)
    fields = ("features",) if parts[0].fields is None else tuple(map(str, order))
    return Layout(fields, tuple(longest[f] for f in order), ("features",) * len(order), {"features": size})


def _ranks(rows: SparseRows) -> tuple[Ints, Ints]:
    """Field number of each entry (0 in libsvm), and how many entries of that field stand before it in its row."""
    count = len(rows.ids)
    number = np.zeros(count, np.int64) if rows.fields is None else rows.fields.astype(np.int64)
    row = np.repeat(np.arange(len(rows.label)), np.diff(rows.indptr))
    order = np.lexsort((number, row))  # stable: entries of one row and field keep their order
    new = np.ones(count, bool)
    new[1:] = (np.diff(row[order]) != 0) | (np.diff(number[order]) != 0)
    start = np.maximum.accumulate(np.where(new, np.arange(count), 0))
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count) - start
    return number, rank


@fast_path(reference.from_sparse, cases=cases.sparse, compare=cases.same_encoded, rtol=0)
def from_sparse(rows: SparseRows, layout: Layout | None = None) -> Encoded:
    """Rows in libsvm or libffm format as examples: code ``3 + id``, the value as the weight, the rest padding.

    Args:
        rows: what ``read_libsvm`` or ``read_libffm`` gives.
        layout: of the file that the model was trained on, or of all files: ``sparse_layout(train, valid, test)``;
            without it the layout of ``rows``. An id beyond it is unknown, code 2.

    Raises:
        ValueError: a field that the layout lacks, or more entries of one than it has slots.

    >>> from rectutor.data.sparse import SparseRows
    >>> values, fields = np.array([1, 2, 3], np.float32), np.array([1, 0, 1], np.int32)
    >>> one = SparseRows(np.ones(1, np.float32), np.array([0, 3]), np.array([4, 0, 2]), values, fields)
    >>> data = from_sparse(one)
    >>> data.layout.fields, data.ids.tolist(), data.weights.tolist()
    (('0', '1'), [[3, 7, 5]], [[2.0, 1.0, 3.0]])
    """
    if layout is None:
        layout = sparse_layout(rows)
    if set(layout.vocabularies) != {"features"}:
        raise ValueError(f"layout has the vocabularies {sorted(layout.sizes)}; build it with sparse_layout")
    if (rows.fields is None) != (layout.fields == ("features",)):
        raise ValueError("layout and rows are of two formats: libffm has fields, libsvm has none")
    number, rank = _ranks(rows)
    row = np.repeat(np.arange(len(rows.label)), np.diff(rows.indptr))
    names = np.array([0 if name == "features" else int(name) for name in layout.fields], np.int64)
    order = np.argsort(names)
    index = order[np.minimum(np.searchsorted(names, number, sorter=order), len(names) - 1)]
    for i in np.flatnonzero(names[index] != number)[:1]:
        raise ValueError(
            f"row {row[i]} has the field {number[i]}, which layout lacks; build it of all files: sparse_layout"
        )
    lengths = np.array(layout.lengths, np.int64)
    for i in np.flatnonzero(rank >= lengths[index])[:1]:
        few = f"layout has {lengths[index[i]]} slots; build it of all files: sparse_layout(train, valid, test)"
        raise ValueError(f"row {row[i]} has more entries of field {layout.fields[index[i]]}; {few}")
    slot = (np.cumsum(lengths) - lengths)[index] + rank
    ids = np.zeros((len(rows.label), int(lengths.sum())), np.int64)
    weights = np.zeros(ids.shape, np.float32)
    ids[row, slot] = np.where(rows.ids < layout.sizes["features"] - FIRST, rows.ids + FIRST, UNKNOWN)
    weights[row, slot] = rows.values
    return Encoded(layout, ids, weights=weights, label=rows.label)
