"""What all indexes have in common: the interface, the metrics, the checks, deletion, and the file.

Shapes: N vectors, D dimensions, Q queries, k neighbours.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectutor.retrieval.ann import files

Metric = Literal["ip", "cosine", "l2"]
METRICS: tuple[Metric, ...] = ("ip", "cosine", "l2")
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Found = tuple[Ints, Floats]
FEWEST_FOR_NORM = 1e-30
"""A vector shorter than this has no direction in float32."""


class Index:
    """An index over vectors: ``build`` it, ``search`` it, ``add`` to it, ``delete`` from it, ``save`` and ``load`` it.

    A vector's id is its row, counted through ``build`` and every ``add``; a deleted vector's id is not given again.
    Scores are higher the nearer: the inner product, its cosine, or minus the squared Euclidean distance.

    Args:
        metric: ``ip``, ``cosine`` or ``l2``.

    Attributes:
        metric: as given.
        dim_: D, once built.
        vectors_: float32 [N, D], deleted ones included; of length 1 where the metric is cosine. (An index that keeps
            codes only has none.)
        deleted_: bool [N].

    A subclass implements ``_build``, ``_add``, ``_search``, and names its settings and its arrays for the file.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ()
    """Attributes that the file keeps as they are: numbers, strings, lists."""
    ARRAYS: ClassVar[tuple[str, ...]] = ()
    """Attributes that are arrays and make up the index."""

    vectors_: Floats
    deleted_: Flags
    dim_: int

    def __init__(self, metric: Metric = "ip") -> None:
        if metric not in METRICS:
            raise ValueError(f"metric is {metric!r}; it must be one of {', '.join(map(repr, METRICS))}")
        self.metric: Metric = metric

    # -- what users call -----------------------------------------------------------------------------------------
    def build(self, vectors: ArrayLike) -> Self:
        """Index vectors [N, D], of any float or integer type, in place of whatever was there before.

        Raises:
            ValueError: no vectors, another shape than [N, D], NaN or infinity, a zero vector where the metric is
                cosine, fewer vectors than the index needs.
            TypeError: no real numbers.
        """
        x = self._checked(vectors, "vectors")
        if len(x) == 0:
            raise ValueError("vectors is empty; an index needs at least one vector")
        self._check_build(x)
        self.dim_ = x.shape[1]
        self.deleted_ = np.zeros(len(x), np.bool_)
        self._build(x)
        return self

    def add(self, vectors: ArrayLike) -> Ints:
        """Add vectors [n, D] to those that are there, and return their ids [n].

        What was learnt in ``build`` (centroids, codebooks, planes) stays as it is: after many additions of another
        kind, build again.

        Raises:
            ValueError: not built yet, or what ``build`` refuses.
        """
        self._check_built()
        x = self._checked(vectors, "vectors", self.dim_)
        first = len(self.deleted_)
        if len(x):
            self._writable()
            self._add(x)
            self.deleted_ = np.concatenate([self.deleted_, np.zeros(len(x), np.bool_)])
        return np.arange(first, first + len(x))

    def delete(self, ids: ArrayLike) -> None:
        """Mark vectors as deleted: no search returns them. Their memory is free again after another ``build``.

        Raises:
            ValueError: not built yet, an id that is unknown or was deleted before.
            TypeError: ids that are no integers.
        """
        self._check_built()
        array = np.atleast_1d(np.asarray(ids))
        if array.size == 0:
            return
        if not np.issubdtype(array.dtype, np.integer):
            raise TypeError(f"ids has dtype {array.dtype}; give integers")
        wrong = (array < 0) | (array >= len(self.deleted_))
        if wrong.any():
            raise ValueError(f"unknown id {array[np.argmax(wrong)]}; the index has 0 to {len(self.deleted_) - 1}")
        if self.deleted_[array].any() or len(np.unique(array)) < array.size:
            again = array[np.argmax(self.deleted_[array])]
            raise ValueError(f"id {again} is deleted already, or stands twice in ids")
        self._writable()
        self.deleted_[array] = True

    def search(self, queries: ArrayLike, k: int = 10) -> Found:
        """The k nearest vectors of each query that the index finds.

        Args:
            queries: [Q, D].
            k: at most as many as there are vectors that are not deleted.

        Returns:
            ids int64 [Q, k] and scores float32 [Q, k], best first. An approximate index that finds fewer fills up
            with -1 and -inf.

        Raises:
            ValueError: not built yet; another shape, NaN, infinity, or a zero vector where the metric is cosine; a k
                below 1 or above the number of vectors.
        """
        self._check_built()
        q = self._checked(queries, "queries", self.dim_)
        if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
            raise ValueError(f"k is {k!r}; ask for at least one neighbour, as a whole number")
        if k > len(self):
            raise ValueError(f"k is {k}; the index has {len(self)} vectors: ask for no more")
        if len(q) == 0:
            return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
        return self._search(q, int(k))

    def __len__(self) -> int:
        """Number of vectors that a search can find."""
        return len(self.deleted_) - int(np.count_nonzero(self.deleted_)) if hasattr(self, "deleted_") else 0

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays of the index, the vectors included where it keeps them."""
        self._check_built()
        return sum(getattr(self, name).nbytes for name in ("deleted_", *self.ARRAYS))

    def save(self, path: str | Path) -> None:
        """Write the index into one file."""
        self._check_built()
        settings = {name: getattr(self, name) for name in ("metric", "dim_", *self.SETTINGS)}
        arrays = {name: getattr(self, name) for name in ("deleted_", *self.ARRAYS)}
        files.write(path, type(self).__name__, settings, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Map what :meth:`save` wrote: the arrays stay in the file until a search reads them.

        The first ``add`` or ``delete`` copies them into memory; the file never changes.

        Raises:
            ValueError: a file that is no index, is one of another class, is cut off, or has a damaged head.
        """
        settings, arrays = files.read(path, cls.__name__)
        index = cls.__new__(cls)
        for name, value in (settings | arrays).items():
            setattr(index, name, value)
        return index

    # -- what subclasses implement -----------------------------------------------------------------------------------
    def _check_build(self, x: Floats) -> None:
        """Refuse vectors that this index cannot be built from."""

    def _build(self, x: Floats) -> None:
        raise NotImplementedError

    def _add(self, x: Floats) -> None:
        """Add; ``deleted_`` still has the length from before."""
        raise NotImplementedError

    def _search(self, q: Floats, k: int) -> Found:
        raise NotImplementedError

    # -- checks --------------------------------------------------------------------------------------------------------
    def _check_built(self) -> None:
        if not hasattr(self, "deleted_"):
            raise ValueError(f"this {type(self).__name__} is empty; call build first")

    def _checked(self, vectors: ArrayLike, name: str, dim: int | None = None) -> Floats:
        """Vectors as float32 in one piece, of length 1 where the metric is cosine."""
        given = np.asarray(vectors)
        if given.ndim != 2 or given.shape[1] == 0:
            raise ValueError(f"{name} has shape {given.shape}; give a matrix with one vector in each row")
        if not (np.issubdtype(given.dtype, np.floating) or np.issubdtype(given.dtype, np.integer)):
            raise TypeError(f"{name} has dtype {given.dtype}; give real numbers")
        if dim is not None and given.shape[1] != dim:
            raise ValueError(f"{name} has {given.shape[1]} dimensions; the index has {dim}")
        with np.errstate(over="ignore"):
            x = np.array(given, np.float32, order="C")  # a copy, which the index may keep
        wrong = ~np.isfinite(x).all(axis=1)
        if wrong.any():
            raise ValueError(f"{name}[{np.argmax(wrong)}] has a NaN, an infinity, or a number too large for float32")
        if self.metric != "cosine":
            return x
        length = np.sqrt(np.einsum("nd,nd->n", x, x, dtype=np.float64))
        if (length < FEWEST_FOR_NORM).any():
            raise ValueError(f"{name}[{np.argmin(length)}] is a zero vector, which has no cosine; leave it out")
        return np.asarray(x / length[:, None], np.float32)

    def _writable(self) -> None:
        """Take arrays that are mapped from a file into memory."""
        for name in ("deleted_", *self.ARRAYS):
            array = getattr(self, name)
            if isinstance(array, np.memmap):
                setattr(self, name, np.array(array))


def check_whole(name: str, value: int, least: int = 1) -> int:
    """A setting that must be a whole number of at least ``least``."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; give a whole number")
    if value < least:
        raise ValueError(f"{name} is {value}; it must be at least {least}")
    return int(value)
