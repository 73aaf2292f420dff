"""The exercises on approximate nearest neighbours: right answers, and the wrong ones that people give.

Shapes: N vectors, D dimensions, K cells or centroids, M parts of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isnan, nan
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray

from rectutor.classroom.exercise import Arguments, Exercise, Misconception, by_name, checker, equal

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Ids = list[int]
Links = list[Ids]
"""The neighbours of each vector of a graph."""
Costs = tuple[float, float, float, float, float]
Candidate = tuple[str, int, float, int, int]
"""A measured index: name, bytes a vector, recall, queries a second, seconds to build."""
Tree = Any
"""The list of ids of a leaf, or the pair (left, right) of a node that is cut."""


def _said_of(hint: str, *wrong: Callable[..., Any]) -> list[Misconception]:
    """One misconception that shows in several ways."""
    return [Misconception(function, hint) for function in wrong]


def _distance(x: Array, y: Array) -> float:
    """Squared."""
    return float(((x - y) ** 2).sum())


def _ordered(ids: Iterable[int], by: Callable[[int], float]) -> Ids:
    """The least first, ties to the lower id."""
    return sorted(ids, key=lambda i: (by(i), i))


def _points(draw: st.DrawFn, n: int, d: int, reach: int = 3) -> Array:
    """n points [n, d] with whole numbers: ties are frequent, and every way to compute a distance gives the same."""
    row = st.lists(st.integers(-reach, reach), min_size=d, max_size=d)
    return np.array(draw(st.lists(row, min_size=n, max_size=n)), dtype=float)


def _array(rows: list[list[int]]) -> Array:
    return np.array(rows, dtype=float)


# -- costs by hand ---------------------------------------------------------------------------------------------
def costs_by_hand() -> Costs:
    """Multiplications of exact search, of an inverted file and of a table; bytes of a vector and of its code."""
    return _costs()


def _costs(
    exact: float = 32_000_000, ivf: float = 672_000, table: float = 8_192, vector: float = 128, code: float = 8
) -> Costs:
    return exact, ivf, table, vector, code


def _same_costs(arguments: Arguments, got: Any, expected: Any) -> bool:
    """Equal where a number is expected: NaN in a misconception stands for any value."""
    parts = got.tolist() if isinstance(got, np.ndarray) else got
    if not isinstance(parts, (list, tuple)) or len(parts) != len(expected):
        return False
    return all(equal(part, number, 1e-9) for part, number in zip(parts, expected, strict=True) if not isnan(number))


COSTS = Exercise(
    costs_by_hand,
    expects=(
        "The answer is five whole numbers: multiplications of exact search, of the inverted file and of the table, "
        "then bytes of a vector and of a code. Go through the small example again, with these numbers."
    ),
    edges=[()],
    misconceptions=[
        *_said_of(
            "You count one multiplication for each vector. An inner product has one for each dimension.",
            lambda: _costs(1_000_000, nan, nan, nan, nan),
            lambda: _costs(ivf=21_000, table=nan, vector=nan, code=nan),
        ),
        *_said_of(
            "Your inverted file does not compare the query with the centroids. It has to, with all of them, to find "
            "out which cells to look into.",
            lambda: _costs(ivf=640_000, table=nan, vector=nan, code=nan),
        ),
        *_said_of(
            "You score as many vectors as cells are probed. A probed cell is scored as a whole: how many vectors does "
            "one hold?",
            lambda: _costs(ivf=32_640, table=nan, vector=nan, code=nan),
            lambda: _costs(ivf=640, table=nan, vector=nan, code=nan),
        ),
        *_said_of(
            "Your inverted file stops at the centroids. They only say which cells to look into; then the vectors there "
            "are scored.",
            lambda: _costs(ivf=32_000, table=nan, vector=nan, code=nan),
        ),
        *_said_of(
            "Your inverted file looks into one cell. How many are probed?",
            lambda: _costs(ivf=64_000, table=nan, vector=nan, code=nan),
        ),
        *_said_of(
            "Your table is too expensive. A centroid of a part is as long as the part, not as long as the vector.",
            lambda: _costs(table=65_536, vector=nan, code=nan),
        ),
        *_said_of(
            "Your table costs one multiplication for each entry. An entry is an inner product, over the dimensions of "
            "one part.",
            lambda: _costs(table=2_048, vector=nan, code=nan),
        ),
        *_said_of(
            "You fill the table for one part only. Each part has centroids of its own.",
            lambda: _costs(table=1_024, vector=nan, code=nan),
        ),
        *_said_of(
            "You count what each vector costs. The table is filled once for a query; after that a vector costs "
            "look-ups and additions, and no multiplications.",
            lambda: _costs(table=8_000_000, vector=nan, code=nan),
            lambda: _costs(table=8_008_192, vector=nan, code=nan),
        ),
        *_said_of(
            "You count the numbers of a vector. How many bytes does each of them take?",
            lambda: _costs(vector=32, code=nan),
        ),
        *_said_of(
            "You count bits. A byte has eight of them.",
            lambda: _costs(vector=1_024, code=nan),
            lambda: _costs(code=64),
        ),
        *_said_of(
            "You store a code's numbers as 4 bytes each. A number below 256 needs fewer.", lambda: _costs(code=32)
        ),
        *_said_of(
            "You count the centroids of each part with the code. They are stored once for all vectors; a code only "
            "says which of them are meant.",
            lambda: _costs(code=2_048),
        ),
        *_said_of(
            "Your code names one centroid. A vector has one for each of its parts.",
            lambda: _costs(code=1),
        ),
        *_said_of("All is right but the last number, the bytes of a code.", lambda: _costs(code=nan)),
        *_said_of(
            "The multiplications are right, the bytes of a vector are not.", lambda: _costs(vector=nan, code=nan)
        ),
        *_said_of(
            "Exact search and inverted file are right, the table is not. Count its entries, and what each of them "
            "costs.",
            lambda: _costs(table=nan, vector=nan, code=nan),
        ),
        *_said_of(
            "Exact search is right, the inverted file is not. With how many vectors is the query compared, centroids "
            "included?",
            lambda: _costs(ivf=nan, table=nan, vector=nan, code=nan),
        ),
    ],
    same=_same_costs,
)


# -- choosing an index -----------------------------------------------------------------------------------------
def choose_index(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> str | None:
    """The fastest index for n vectors that fits both limits; ties to the shorter build, then to the first."""
    fitting = _fitting(candidates, n, megabytes, recall)
    return min(fitting, key=lambda c: (-c[3], c[4]))[0] if fitting else None


def _fitting(candidates: list[Candidate], n: int, megabytes: float, recall: float) -> list[Candidate]:
    return [c for c in candidates if n * c[1] <= megabytes * 1e6 and c[2] >= recall]


def _first_by(candidates: list[Candidate], key: Callable[[Candidate], Any]) -> str | None:
    return min(candidates, key=key)[0] if candidates else None


def _choose_smallest(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return _first_by(_fitting(candidates, n, megabytes, recall), lambda c: c[1])


def _choose_best_recall(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return _first_by(_fitting(candidates, n, megabytes, recall), lambda c: -c[2])


def _choose_first_built(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return _first_by(_fitting(candidates, n, megabytes, recall), lambda c: c[4])


def _choose_slowest(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return _first_by(_fitting(candidates, n, megabytes, recall), lambda c: (c[3], c[4]))


def _choose_first(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return _first_by(_fitting(candidates, n, megabytes, recall), lambda c: 0)


def _choose_of_any_size(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    """The bytes of one vector are held against the limit."""
    return choose_index(candidates, 1, megabytes, recall)


def _choose_of_any_recall(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return choose_index(candidates, n, megabytes, 0.0)


def _choose_of_any(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return choose_index(candidates, 1, megabytes, 0.0)


def _choose_either(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    fitting = [c for c in candidates if n * c[1] <= megabytes * 1e6 or c[2] >= recall]
    return _first_by(fitting, lambda c: (-c[3], c[4]))


def _choose_below(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    fitting = [c for c in candidates if n * c[1] < megabytes * 1e6 and c[2] >= recall]
    return _first_by(fitting, lambda c: (-c[3], c[4]))


def _choose_above(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    fitting = [c for c in candidates if n * c[1] <= megabytes * 1e6 and c[2] > recall]
    return _first_by(fitting, lambda c: (-c[3], c[4]))


def _choose_between(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    fitting = [c for c in candidates if n * c[1] < megabytes * 1e6 and c[2] > recall]
    return _first_by(fitting, lambda c: (-c[3], c[4]))


def _choose_in_bytes(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return choose_index(candidates, n * 1_000_000, megabytes, recall)


def _choose_in_kilobytes(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return choose_index(candidates, n * 1_000, megabytes, recall)


def _choose_of_1024(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    fitting = [c for c in candidates if n * c[1] <= megabytes * 2**20 and c[2] >= recall]
    return _first_by(fitting, lambda c: (-c[3], c[4]))


def _choose_first_of_fastest(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return _first_by(_fitting(candidates, n, megabytes, recall), lambda c: -c[3])


def _choose_last_of_fastest(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return _first_by(_fitting(candidates, n, megabytes, recall)[::-1], lambda c: -c[3])


def _choose_longest_built(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return _first_by(_fitting(candidates, n, megabytes, recall), lambda c: (-c[3], -c[4]))


def _choose_last_of_equals(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return choose_index(candidates[::-1], n, megabytes, recall)


def _choose_row(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    fitting = _fitting(candidates, n, megabytes, recall)
    return min(fitting, key=lambda c: (-c[3], c[4])) if fitting else None


def _choose_place(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    fitting = _fitting(candidates, n, megabytes, recall)
    return candidates.index(min(fitting, key=lambda c: (-c[3], c[4]))) if fitting else None


def _choose_some(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return min(_fitting(candidates, n, megabytes, recall), key=lambda c: (-c[3], c[4]))[0]


def _choose_empty(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    return choose_index(candidates, n, megabytes, recall) or ""


def _choose_anyway(candidates: list[Candidate], n: int, megabytes: int, recall: float) -> Any:
    """The fastest of all, where none fits."""
    return choose_index(candidates, n, megabytes, recall) or choose_index(candidates, 1, megabytes, 0.0)


@st.composite
def _shops(draw: st.DrawFn) -> Arguments:
    measured = st.tuples(
        st.sampled_from((64, 16, 128, 256)),
        st.sampled_from((0.9, 0.8, 0.95, 0.5)),
        st.sampled_from((1000, 500, 4000)),
        st.sampled_from((60, 5)),
    )
    rows = draw(st.lists(measured, max_size=5))
    n, megabytes = draw(st.sampled_from((1_000_000, 500_000, 2_000_000))), draw(st.sampled_from((64, 128, 32, 256)))
    return [("ABCDE"[i], *row) for i, row in enumerate(rows)], n, megabytes, draw(st.sampled_from((0.9, 0.8, 0.95)))


SHOP: list[Candidate] = [
    ("exact", 256, 1.0, 300, 0),
    ("ivf", 264, 0.96, 2_500, 20),
    ("graph-16", 384, 0.97, 9_000, 240),
    ("graph-8", 320, 0.90, 9_000, 120),
    ("codes-8", 16, 0.62, 12_000, 90),
    ("codes-32", 40, 0.91, 4_000, 150),
    ("trees", 330, 0.88, 1_500, 30),
]

CHOOSE = Exercise(
    choose_index,
    expects=(
        "The answer is the name of a row of the table. Its recall and its memory for all n vectors keep the limits, "
        "and of the rows that do, none answers more queries a second."
    ),
    edges=[
        ([], 1_000_000, 100, 0.5),
        (SHOP[:1], 1_000_000, 256, 1.0),
        (SHOP[:1], 1_000_000, 255, 1.0),
        (SHOP, 1_000_000, 400, 0.9),
        (SHOP, 1_000_000, 400, 0.95),
        (SHOP, 1_000_000, 400, 0.91),
        (SHOP, 1_000_000, 300, 0.95),
        (SHOP, 1_000_000, 320, 0.9),
        (SHOP, 2_000_000, 80, 0.9),
        (SHOP, 2_000_000, 80, 0.95),
        (SHOP, 1_000_000, 39, 0.6),
        (SHOP, 1_000_000, 39, 0.65),
        (SHOP, 1_000_000, 310, 0.5),
        (SHOP, 1_000_000, 310, 0.9),
        (SHOP, 1_000_000, 600, 0.99),
        (SHOP[1:], 1_000_000, 400, 0.88),
        ([("a", 9_901, 0.9, 1_000, 60)], 101, 1, 0.9),
        (SHOP[:4], 1_000_000, 300, 0.92),
        (SHOP[::-1], 1_000_000, 400, 0.9),
        ([("a", 64, 0.9, 1_000, 60), ("b", 32, 0.95, 1_000, 60), ("c", 64, 0.8, 1_000, 60)], 500_000, 100, 0.8),
    ],
    inputs=_shops(),
    misconceptions=[
        *_said_of(
            "You take the smallest of those that fit. Which limit is asked to be met, and what is best?",
            _choose_smallest,
        ),
        *_said_of(
            "You take the highest recall of those that fit. More recall than was asked for earns nothing: what counts "
            "among those that fit is the speed.",
            _choose_best_recall,
        ),
        *_said_of(
            "You take what is built fastest. The time to build only decides between equally fast searches.",
            _choose_first_built,
        ),
        *_said_of(
            "You take the slowest. The column counts queries a second, so more is better.",
            _choose_slowest,
        ),
        *_said_of("You take the first row that fits. Another one may be faster.", _choose_first),
        *_said_of(
            "Your choice may take too much memory. The table says what one vector takes, and the limit is for all of "
            "them.",
            _choose_of_any_size,
        ),
        *_said_of("Your choice may find too few of the true neighbours: look at the recall.", _choose_of_any_recall),
        *_said_of("You take the fastest of all. Both limits have to be kept.", _choose_of_any),
        *_said_of("A row fits only if it keeps both limits, not one of them.", _choose_either),
        *_said_of(
            "What reaches a limit exactly fits: at most so much memory, at least so much recall.",
            _choose_below,
            _choose_above,
            _choose_between,
        ),
        *_said_of(
            "Your units do not match: the table counts bytes, the limit megabytes of 1,000,000 bytes.",
            _choose_in_bytes,
            _choose_in_kilobytes,
            _choose_of_1024,
        ),
        *_said_of(
            "You are right but for equally fast ones. Among these, the one that is built in less time is wanted.",
            _choose_first_of_fastest,
            _choose_last_of_fastest,
            _choose_longest_built,
        ),
        *_said_of(
            "You are right but where two rows are equal in speed and in time to build: then the first one is wanted.",
            _choose_last_of_equals,
        ),
        *_said_of("You found the row. What is asked is its name.", _choose_row, _choose_place),
        *_said_of(
            "Where no row fits, or there are no rows, the answer is None.", _choose_some, _choose_empty, _choose_anyway
        ),
    ],
)


# -- inner product to cosine -----------------------------------------------------------------------------------
def to_cosine(vectors: Array, query: Array) -> tuple[Array, Array]:
    """Vectors [N, D + 1] of one length and a query [D + 1] with the inner products of those given."""
    squares = _squares(vectors)
    return _with_last(vectors, np.sqrt(squares.max() - squares)), np.append(query, 0.0)


def _squares(vectors: Array) -> Any:
    return (vectors**2).sum(axis=1)


def _with_last(vectors: Array, added: Any) -> Array:
    return np.column_stack([vectors, added])


def _cosine_adds_length(vectors: Array, query: Array) -> Any:
    return _with_last(vectors, np.sqrt(_squares(vectors))), np.append(query, 0.0)


def _cosine_adds_difference(vectors: Array, query: Array) -> Any:
    lengths = np.sqrt(_squares(vectors))
    return _with_last(vectors, lengths.max() - lengths), np.append(query, 0.0)


def _cosine_adds_square(vectors: Array, query: Array) -> Any:
    squares = _squares(vectors)
    return _with_last(vectors, squares.max() - squares), np.append(query, 0.0)


def _cosine_adds_to_one(vectors: Array, query: Array) -> Any:
    return _with_last(vectors, np.sqrt(np.maximum(1 - _squares(vectors), 0))), np.append(query, 0.0)


def _cosine_adds_root_to_one(vectors: Array, query: Array) -> Any:
    return _with_last(vectors, np.sqrt(1 - _squares(vectors))), np.append(query, 0.0)


def _cosine_adds_zero(vectors: Array, query: Array) -> Any:
    return _with_last(vectors, np.zeros(len(vectors))), np.append(query, 0.0)


def _cosine_query_one(vectors: Array, query: Array) -> Any:
    return to_cosine(vectors, query)[0], np.append(query, 1.0)


def _cosine_query_filled(vectors: Array, query: Array) -> Any:
    left = _squares(vectors).max() - query @ query
    return to_cosine(vectors, query)[0], np.append(query, np.sqrt(np.maximum(left, 0)))


def _cosine_query_root(vectors: Array, query: Array) -> Any:
    left = _squares(vectors).max() - query @ query
    return to_cosine(vectors, query)[0], np.append(query, np.sqrt(left))


def _cosine_query_as_it_is(vectors: Array, query: Array) -> Any:
    return to_cosine(vectors, query)[0], query


def _cosine_of_all(vectors: Array, query: Array) -> Any:
    """The query takes part in the greatest length."""
    squares = _squares(vectors)
    return _with_last(vectors, np.sqrt(max(squares.max(), query @ query) - squares)), np.append(query, 0.0)


def _cosine_normalised(vectors: Array, query: Array) -> Any:
    lengths = np.sqrt(_squares(vectors))
    unit = vectors / np.where(lengths > 0, lengths, 1)[:, None]
    return _with_last(unit, np.zeros(len(vectors))), np.append(query, 0.0)


def _cosine_divided(vectors: Array, query: Array) -> Any:
    """As before; a vector of zeros becomes NaN."""
    unit = vectors / np.sqrt(_squares(vectors))[:, None]
    return _with_last(unit, np.zeros(len(vectors))), np.append(query, 0.0)


def _cosine_scaled(vectors: Array, query: Array) -> Any:
    longest = np.sqrt(_squares(vectors).max())
    scaled = vectors / (longest or 1)
    return _with_last(scaled, np.sqrt(np.maximum(1 - _squares(scaled), 0))), np.append(query, 0.0)


def _cosine_in_front(vectors: Array, query: Array) -> Any:
    items, asked = to_cosine(vectors, query)
    return np.roll(items, 1, axis=1), np.roll(asked, 1)


def _cosine_of_entries(vectors: Array, query: Array) -> Any:
    """The greatest number in place of the greatest length."""
    squares = _squares(vectors)
    return _with_last(vectors, np.sqrt(np.maximum((vectors**2).max() - squares, 0))), np.append(query, 0.0)


def _cosine_of_root_entries(vectors: Array, query: Array) -> Any:
    return _with_last(vectors, np.sqrt((vectors**2).max() - _squares(vectors))), np.append(query, 0.0)


def _cosine_of_shortest(vectors: Array, query: Array) -> Any:
    squares = _squares(vectors)
    return _with_last(vectors, np.sqrt(squares - squares.min())), np.append(query, 0.0)


LONGEST = (((5,), (-5,)), ((3, 4), (0, -5), (4, -3)), ((1, -4, 8), (0, 0, 9)))
"""Vectors of one, two and three numbers whose length is a whole number, so that its square is exact any way."""


@st.composite
def _catalogues(draw: st.DrawFn) -> Arguments:
    d = draw(st.integers(1, 3))
    others = _points(draw, draw(st.integers(0, 3)), d).reshape(-1, d)
    place = draw(st.integers(0, len(others)))
    return np.insert(others, place, draw(st.sampled_from(LONGEST[d - 1])), axis=0), _points(draw, 1, d)[0]


TO_COSINE = Exercise(
    to_cosine,
    expects=(
        "The answer is (vectors, query) with one more number each, at the end. All vectors have one length now, that "
        "of the longest one given, and the inner products with the query have not changed."
    ),
    edges=[
        (_array([[3, 4]]), _array([[1, 2]])[0]),
        (_array([[0, 0]]), _array([[0, 0]])[0]),
        (_array([[0, 0], [3, 4], [0, 5]]), _array([[1, -2]])[0]),
        (_array([[1, 0], [2, 2], [3, 0]]), _array([[1, 1]])[0]),
        (_array([[1, 2, 2], [2, -3, 6], [4, 0, -3], [1, 1, 1]]), _array([[9, 8, -7]])[0]),
        (_array([[2], [-5], [0]]), _array([[4]])[0]),
        (np.array([[0.5, 0.5], [0.0, 0.75], [0.25, 0.0]]), np.array([0.25, -0.5])),
    ],
    inputs=_catalogues(),
    misconceptions=[
        *_said_of(
            "You add the length of each vector. So long ones get even longer; what was wanted is one length for all.",
            _cosine_adds_length,
        ),
        *_said_of(
            "You add what is missing to the greatest length. Lengths do not add up coordinate by coordinate, their "
            "squares do.",
            _cosine_adds_difference,
        ),
        *_said_of("You add what is missing to the greatest squared length, without its root.", _cosine_adds_square),
        *_said_of(
            "You fill the vectors up to length 1. Those that are longer cannot be made shorter by one more number: "
            "fill all of them up to the longest.",
            _cosine_adds_to_one,
            _cosine_adds_root_to_one,
        ),
        *_said_of("The number you add to the vectors is 0, so their lengths stay different.", _cosine_adds_zero),
        *_said_of(
            "Your query changes the inner products. Whatever its last number is, it is multiplied with what you added "
            "to the vectors.",
            _cosine_query_one,
            _cosine_query_filled,
            _cosine_query_root,
        ),
        *_said_of("Your query lacks a number: it needs as many as the vectors.", _cosine_query_as_it_is),
        *_said_of(
            "Your length depends on the query. An index is built before any query comes: only the vectors count.",
            _cosine_of_all,
        ),
        *_said_of(
            "You divide each vector by its length. That ranks by the cosine, and long vectors lose what they had in "
            "the inner product.",
            _cosine_normalised,
            _cosine_divided,
        ),
        *_said_of(
            "The ranking is right, but your vectors have length 1. The task leaves their first D numbers as they are.",
            _cosine_scaled,
        ),
        *_said_of("The added number comes last, not first.", _cosine_in_front),
        *_said_of(
            "You take the greatest number that stands in the vectors. The greatest length is what all have to reach.",
            _cosine_of_entries,
            _cosine_of_root_entries,
        ),
        *_said_of(
            "What you add grows with the length, so the lengths move apart. The longest vector is the one that needs "
            "nothing.",
            _cosine_of_shortest,
        ),
    ],
)


# -- a random projection tree ----------------------------------------------------------------------------------
def projection_tree(vectors: Array, ids: Ids, leaf_size: int) -> Tree:
    """Cut halfway between the vectors of the first and the last id until a leaf has at most ``leaf_size``."""
    return _grown(vectors, ids, leaf_size, _cut)


def _cut(vectors: Array, ids: Ids) -> tuple[Ids, Ids]:
    return _parted(ids, lambda i: _margin(vectors[ids[0]], vectors[ids[-1]], vectors[i]) > 0)


def _parted(ids: Ids, right: Callable[[int], bool]) -> tuple[Ids, Ids]:
    return [i for i in ids if not right(i)], [i for i in ids if right(i)]


def _margin(p: Array, q: Array, x: Array) -> float:
    """How far beyond the plane, times a number above 0; exact for whole and half numbers."""
    return float((p - q) @ (x - (p + q) / 2))


def _halves(ids: Ids) -> tuple[Ids, Ids]:
    return ids[: len(ids) // 2], ids[len(ids) // 2 :]


def _grown(
    vectors: Array,
    ids: Ids,
    leaf_size: int,
    cut: Callable[[Array, Ids], tuple[Ids, Ids]],
    halves: Callable[[Ids], tuple[Ids, Ids]] = _halves,
) -> Tree:
    if len(ids) <= leaf_size:
        return list(ids)
    left, right = cut(vectors, ids)
    if not left or not right:
        left, right = halves(ids)
    return _grown(vectors, left, leaf_size, cut, halves), _grown(vectors, right, leaf_size, cut, halves)


def _tree_of_touching(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    """What lies on the plane goes right."""
    return _grown(
        vectors,
        ids,
        leaf_size,
        lambda x, own: _parted(own, lambda i: _margin(x[own[0]], x[own[-1]], x[i]) >= 0),
    )


def _tree_turned(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    return _grown(
        vectors,
        ids,
        leaf_size,
        lambda x, own: _parted(own, lambda i: _margin(x[own[-1]], x[own[0]], x[i]) > 0),
    )


def _tree_through_origin(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    return _grown(
        vectors, ids, leaf_size, lambda x, own: _parted(own, lambda i: float((x[own[0]] - x[own[-1]]) @ x[i]) > 0)
    )


def _tree_through_last(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    return _grown(
        vectors,
        ids,
        leaf_size,
        lambda x, own: _parted(own, lambda i: float((x[own[0]] - x[own[-1]]) @ (x[i] - x[own[-1]])) > 0),
    )


def _tree_through_first(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    return _grown(
        vectors,
        ids,
        leaf_size,
        lambda x, own: _parted(own, lambda i: float((x[own[0]] - x[own[-1]]) @ (x[i] - x[own[0]])) > 0),
    )


def _tree_beyond_sum(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    """The sum of the two points in place of their middle."""
    return _grown(
        vectors,
        ids,
        leaf_size,
        lambda x, own: _parted(own, lambda i: float((x[own[0]] - x[own[-1]]) @ (x[i] - x[own[0]] - x[own[-1]])) > 0),
    )


def _tree_of_first_two(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    return _grown(
        vectors,
        ids,
        leaf_size,
        lambda x, own: _parted(own, lambda i: _margin(x[own[0]], x[own[1]], x[i]) > 0),
    )


def _tree_of_root_points(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    """The same two points at every node."""
    return _grown(
        vectors,
        ids,
        leaf_size,
        lambda x, own: _parted(own, lambda i: _margin(x[ids[0]], x[ids[-1]], x[i]) > 0),
    )


def _tree_of_large_leaves(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    """Vectors that no plane parts stay together."""
    if len(ids) <= leaf_size:
        return list(ids)
    left, right = _cut(vectors, ids)
    if not left or not right:
        return list(ids)
    return _tree_of_large_leaves(vectors, left, leaf_size), _tree_of_large_leaves(vectors, right, leaf_size)


def _tree_without_end(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    """Goes on with the same ids for ever; the error is raised before Python's stack is really full."""
    if len(ids) <= leaf_size:
        return list(ids)
    left, right = _cut(vectors, ids)
    if not right:
        raise RecursionError
    return _tree_without_end(vectors, left, leaf_size), _tree_without_end(vectors, right, leaf_size)


def _tree_of_empty_leaves(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    """Vectors that no plane parts stay together, beside an empty leaf."""
    if len(ids) <= leaf_size:
        return list(ids)
    left, right = _cut(vectors, ids)
    if not left or not right:
        return left, right
    return _tree_of_empty_leaves(vectors, left, leaf_size), _tree_of_empty_leaves(vectors, right, leaf_size)


def _tree_of_fuller_left(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    return _grown(vectors, ids, leaf_size, _cut, lambda own: (own[: (len(own) + 1) // 2], own[(len(own) + 1) // 2 :]))


def _tree_of_every_other(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    return _grown(vectors, ids, leaf_size, _cut, lambda own: (own[::2], own[1::2]))


def _tree_of_small_leaves(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    """Leaves with fewer than ``leaf_size``; a single one must end it all the same."""
    return _grown(vectors, ids, max(leaf_size - 1, 1), _cut)


def _tree_of_smaller_leaves(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    """As before; a single one is cut for ever."""
    if leaf_size == 1:
        raise RecursionError
    return _grown(vectors, ids, leaf_size - 1, _cut)


def _tree_cut_once(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    if len(ids) <= leaf_size:
        return list(ids)
    left, right = _cut(vectors, ids)
    return (left, right) if right else _halves(ids)


def _tree_of_places(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    """Where an id stands in the list of its node in place of the id: rows of an array that was cut out."""
    return _grown(vectors[ids], list(range(len(ids))), leaf_size, _cut)


def _tree_of_rows(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    return _grown(vectors, list(range(len(vectors))), leaf_size, _cut)


def _leaves(tree: Any) -> Any:
    return [leaf for half in tree for leaf in _leaves(half)] if isinstance(tree, tuple) else [tree]


def _tree_flat(vectors: Array, ids: Ids, leaf_size: int) -> Any:
    return _leaves(_grown(vectors, ids, leaf_size, _cut))


def _told_by_any_length(vectors: Array, ids: Ids, leaf_size: int) -> bool:
    """Whether no vector lies on a plane, but where a normal of length 1 is exact: along an axis, or zero.

    So rounding never decides a side, whichever way the plane is written.
    """
    if len(ids) <= leaf_size:
        return True
    p, q = vectors[ids[0]], vectors[ids[-1]]
    if np.count_nonzero(p - q) > 1 and any(_margin(p, q, vectors[i]) == 0 for i in ids):
        return False
    left, right = _cut(vectors, ids)
    if not right:
        left, right = _halves(ids)
    return _told_by_any_length(vectors, left, leaf_size) and _told_by_any_length(vectors, right, leaf_size)


@st.composite
def _plots(draw: st.DrawFn) -> Arguments:
    n = draw(st.integers(1, 7))
    vectors = _points(draw, n, draw(st.integers(1, 2)))
    ids = sorted(draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1)))
    leaf_size = draw(st.integers(1, 3))
    assume(_told_by_any_length(vectors, ids, leaf_size))
    return vectors, ids, leaf_size


PLOT = _array([[1, 5], [4, 1], [6, 6], [2, 2], [7, 3], [5, 8], [3, 7], [9, 1], [8, 5]])
ON_A_LINE = _array([[0], [3], [2], [5], [2], [1], [4]])

TREE = Exercise(
    projection_tree,
    expects=(
        "The answer is a list of ids where there are at most `leaf_size`, and a pair (left, right) of two such answers "
        "where there are more. Every id is in one leaf, and the vector of the first id of a node goes right, that of "
        "the last one left, unless the two are equal."
    ),
    edges=[
        (PLOT, [3], 1),
        (PLOT, [2, 4, 5], 3),
        (PLOT, [2, 4], 1),
        (PLOT, list(range(9)), 1),
        (PLOT, list(range(9)), 2),
        (PLOT, [1, 2, 4, 6, 7, 8], 2),
        (PLOT, list(range(9)), 4),
        (PLOT + 20, list(range(9)), 2),
        (PLOT - 30, list(range(9)), 2),
        (ON_A_LINE, list(range(7)), 1),
        (ON_A_LINE[:5], list(range(5)), 2),
        (_array([[0, 1], [2, 5], [4, 1]]), [0, 1, 2], 1),
        (_array([[1, 2]] * 5), list(range(5)), 1),
        (_array([[1, 2]] * 5), [1, 2, 4], 2),
        (_array([[1, 2], [3, 4], [0, 0], [5, 1], [1, 2]]), list(range(5)), 2),
    ],
    inputs=_plots(),
    misconceptions=[
        *_said_of(
            "A vector at the same distance from both points lies on the plane, and goes left: only what is nearer to "
            "the first point goes right.",
            _tree_of_touching,
        ),
        *_said_of("Left and right are swapped: what is nearer to the first point goes right.", _tree_turned),
        *_said_of(
            "Your plane goes through the origin. It has the right direction, and it has to stand halfway between the "
            "two points: moving all vectors by the same amount must not change the tree.",
            _tree_through_origin,
        ),
        *_said_of(
            "Your plane goes through one of the two points, where it should stand halfway between them.",
            _tree_through_last,
            _tree_through_first,
        ),
        *_said_of(
            "Your plane goes through the sum of the two points. Their middle is something else.", _tree_beyond_sum
        ),
        *_said_of(
            "Your two points are the first and the second vector, not the first and the last.", _tree_of_first_two
        ),
        *_said_of(
            "You cut all nodes with the plane of the root. Every node takes two points from its own ids.",
            _tree_of_root_points,
        ),
        *_said_of(
            "Where the two points are equal, no plane parts the ids, and you leave them together or never end. Such a "
            "node is cut in the middle of its list of ids.",
            _tree_of_large_leaves,
            _tree_without_end,
            _tree_of_empty_leaves,
        ),
        *_said_of(
            "You cut a list that no plane parts in another way than the task says: the first half of the ids goes "
            "left, and the one id over, if there is one, goes right.",
            _tree_of_fuller_left,
            _tree_of_every_other,
        ),
        *_said_of(
            "You cut on where a leaf is small enough: `leaf_size` is the most that a leaf may have.",
            _tree_of_small_leaves,
            _tree_of_smaller_leaves,
        ),
        *_said_of("You cut once. A half that is still too large is cut again, like the whole.", _tree_cut_once),
        *_said_of(
            "Your leaves hold places in a list, not ids: the rows of `vectors` that were given in `ids`.",
            _tree_of_places,
        ),
        *_said_of("You put all rows of `vectors` into the tree. It is to hold those in `ids`.", _tree_of_rows),
        *_said_of(
            "Your leaves are right, but they stand in one row. A cut node is a pair, and a pair may hold pairs.",
            _tree_flat,
        ),
    ],
)


# -- inverted file ---------------------------------------------------------------------------------------------
def ivf_search(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Ids:
    """The k nearest of the vectors in the nprobe cells that are nearest."""
    probed = _nearest(centroids, query)[:nprobe]
    return _within(vectors, _cells(vectors, centroids), probed, query)[:k]


def _nearest(points: Array, query: Array) -> Ids:
    """All of them, the nearest first."""
    return _ordered(range(len(points)), lambda i: _distance(points[i], query))


def _cells(vectors: Array, centroids: Array) -> Ids:
    return [_nearest(centroids, x)[0] for x in vectors]


def _inside(cells: Ids, probed: Ids) -> Ids:
    return [i for i, cell in enumerate(cells) if cell in probed]


def _within(vectors: Array, cells: Ids, probed: Ids, query: Array) -> Ids:
    return _ordered(_inside(cells, probed), lambda i: _distance(vectors[i], query))


def _ivf_farthest_centroid(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    """An argmax of distances, for the cells of the vectors."""
    cells = [int(np.argmax([_distance(c, x) for c in centroids])) for x in vectors]
    return _within(vectors, cells, _nearest(centroids, query)[:nprobe], query)[:k]


def _ivf_farthest_cells(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    probed = _ordered(range(len(centroids)), lambda c: -_distance(centroids[c], query))[:nprobe]
    return _within(vectors, _cells(vectors, centroids), probed, query)[:k]


def _ivf_last_cells(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    """As before; the end of the sorted list, with other ties."""
    return _within(vectors, _cells(vectors, centroids), _nearest(centroids, query)[-nprobe:], query)[:k]


def _ivf_product_cells(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    probed = _ordered(range(len(centroids)), lambda c: -float(centroids[c] @ query))[:nprobe]
    return _within(vectors, _cells(vectors, centroids), probed, query)[:k]


def _ivf_product_vectors(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    inside = _inside(_cells(vectors, centroids), _nearest(centroids, query)[:nprobe])
    return _ordered(inside, lambda i: -float(vectors[i] @ query))[:k]


def _ivf_product_centroid(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    cells = [int(np.argmax(centroids @ x)) for x in vectors]
    return _within(vectors, cells, _nearest(centroids, query)[:nprobe], query)[:k]


def _ivf_nprobe_vectors(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    return _nearest(vectors, query)[:nprobe][:k]


def _ivf_nprobe_of_cells(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    """nprobe vectors of the nearest cell."""
    return _within(vectors, _cells(vectors, centroids), _nearest(centroids, query)[:1], query)[:nprobe][:k]


def _ivf_one_cell(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    return ivf_search(vectors, centroids, query, k, 1)


def _ivf_all_cells(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    return _nearest(vectors, query)[:k]


def _ivf_first_cells(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    return _within(vectors, _cells(vectors, centroids), list(range(nprobe)), query)[:k]


def _ivf_last_cell_only(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    return _within(vectors, _cells(vectors, centroids), _nearest(centroids, query)[nprobe - 1 : nprobe], query)[:k]


def _ivf_cell_after_cell(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    cells = _cells(vectors, centroids)
    return [i for c in _nearest(centroids, query)[:nprobe] for i in _within(vectors, cells, [c], query)][:k]


def _ivf_k_of_each(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    cells = _cells(vectors, centroids)
    return [i for c in _nearest(centroids, query)[:nprobe] for i in _within(vectors, cells, [c], query)[:k]]


def _ivf_k_of_each_in_order(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    found = _ivf_k_of_each(vectors, centroids, query, k, nprobe)
    return _ordered(found, lambda i: _distance(vectors[i], query))


def _ivf_places(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    inside = _inside(_cells(vectors, centroids), _nearest(centroids, query)[:nprobe])
    return _nearest(vectors[inside], query)[:k]


def _ivf_distances(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    return [_distance(vectors[i], query) for i in ivf_search(vectors, centroids, query, k, nprobe)]


def _ivf_by_id(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    return sorted(ivf_search(vectors, centroids, query, k, nprobe))


def _ivf_lowest_ids(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    return _inside(_cells(vectors, centroids), _nearest(centroids, query)[:nprobe])[:k]


def _ivf_farthest(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    inside = _inside(_cells(vectors, centroids), _nearest(centroids, query)[:nprobe])
    return _ordered(inside, lambda i: -_distance(vectors[i], query))[:k]


def _ivf_worst_first(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    return ivf_search(vectors, centroids, query, k, nprobe)[::-1]


def _ivf_by_centroid(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    """The nearest to their own centroids."""
    cells = _cells(vectors, centroids)
    inside = _inside(cells, _nearest(centroids, query)[:nprobe])
    return _ordered(inside, lambda i: _distance(vectors[i], centroids[cells[i]]))[:k]


def _ivf_without_empty(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    """nprobe cells that hold something."""
    cells = _cells(vectors, centroids)
    return _within(vectors, cells, [c for c in _nearest(centroids, query) if c in cells][:nprobe], query)[:k]


def _ivf_until_full(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    """As many more cells as it takes to find k."""
    cells, order = _cells(vectors, centroids), _nearest(centroids, query)
    enough = next((n for n in range(nprobe, len(order)) if len(_inside(cells, order[:n])) >= k), len(order))
    return _within(vectors, cells, order[:enough], query)[:k]


def _ivf_padded(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    found = ivf_search(vectors, centroids, query, k, nprobe)
    return found + [-1] * (k - len(found))


def _last_nearest(points: Array, query: Array) -> Ids:
    """All of them, the nearest first, ties to the higher id."""
    return sorted(range(len(points)), key=lambda i: (_distance(points[i], query), -i))


def _ivf_higher_id(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    inside = _inside(_cells(vectors, centroids), _nearest(centroids, query)[:nprobe])
    return [i for i in _last_nearest(vectors, query) if i in inside][:k]


def _ivf_higher_cell(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    cells = [_last_nearest(centroids, x)[0] for x in vectors]
    return _within(vectors, cells, _nearest(centroids, query)[:nprobe], query)[:k]


def _ivf_higher_probed(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    return _within(vectors, _cells(vectors, centroids), _last_nearest(centroids, query)[:nprobe], query)[:k]


@st.composite
def _files(draw: st.DrawFn) -> Arguments:
    d, cells = draw(st.integers(1, 2)), draw(st.integers(1, 4))
    vectors, centroids = _points(draw, draw(st.integers(1, 7)), d), _points(draw, cells, d)
    query = _points(draw, 1, d)[0]
    return vectors, centroids, query, draw(st.integers(1, 4)), draw(st.integers(1, cells))


TOWN = _array(
    [[4, 1], [1, 2], [7, 7], [2, 1], [6, 2], [1, 6], [8, 6], [2, 7], [5, 4], [4, 5], [3, 3], [7, 1], [-2, -1], [-1, 4]]
)
CENTRES = _array([[7, 6], [2, 1], [2, 6], [6, 2], [-2, 2], [-9, 9]])

IVF = Exercise(
    ivf_search,
    expects=(
        "The answer is a list of at most k ids, the nearest first. All of them belong to the `nprobe` cells whose "
        "centroids are nearest to the query, and no vector of these cells is nearer and left out."
    ),
    edges=[
        (TOWN[:1], CENTRES[:1], np.zeros(2), 1, 1),
        (TOWN, CENTRES, _array([[4, 3]])[0], 3, 1),
        (TOWN, CENTRES, _array([[4, 3]])[0], 3, 2),
        (TOWN, CENTRES, _array([[4, 3]])[0], 5, 3),
        (TOWN, CENTRES, _array([[4, 3]])[0], 20, 6),
        (TOWN, CENTRES, _array([[5, 5]])[0], 4, 2),
        (TOWN, CENTRES, _array([[-1, 1]])[0], 3, 1),
        (TOWN, CENTRES, _array([[-1, 1]])[0], 4, 2),
        (TOWN, CENTRES, _array([[-8, 8]])[0], 3, 1),
        (TOWN, CENTRES, _array([[-8, 8]])[0], 3, 2),
        (TOWN, CENTRES, _array([[-8, 8]])[0], 3, 4),
        (_array([[0], [2], [2], [1], [4], [-2]]), _array([[0], [2], [4]]), np.array([1.0]), 2, 1),
        (_array([[0], [2], [2], [1], [4], [-2], [3]]), _array([[0], [2], [4]]), np.array([3.0]), 4, 2),
        (_array([[2], [0], [2], [0]]), _array([[1], [1]]), np.array([1.0]), 3, 1),
    ],
    inputs=_files(),
    misconceptions=[
        *_said_of(
            "You put each vector into the cell whose centroid is farthest. A small distance is near.",
            _ivf_farthest_centroid,
        ),
        *_said_of(
            "You probe the cells that are farthest from the query. A small distance is near.",
            _ivf_farthest_cells,
            _ivf_last_cells,
        ),
        *_said_of(
            "You use an inner product somewhere. Near means a small distance here, for cells as for vectors.",
            _ivf_product_cells,
            _ivf_product_vectors,
            _ivf_product_centroid,
        ),
        *_said_of(
            "You look at `nprobe` vectors. It is a number of cells, and of a probed cell all vectors are looked at.",
            _ivf_nprobe_vectors,
            _ivf_nprobe_of_cells,
        ),
        *_said_of("You look into one cell, however many are to be probed.", _ivf_one_cell, _ivf_last_cell_only),
        *_said_of(
            "That is exact search: you look at all vectors. What lies outside the probed cells must not be found, even "
            "if it is nearer.",
            _ivf_all_cells,
        ),
        *_said_of("You probe the cells with the lowest numbers, not the nearest ones.", _ivf_first_cells),
        *_said_of(
            "You go from cell to cell. The vectors of all probed cells compete with each other: one of the second cell "
            "may be nearer than one of the first.",
            _ivf_cell_after_cell,
            _ivf_k_of_each,
            _ivf_k_of_each_in_order,
        ),
        *_said_of(
            "You return places in the list of candidates. The ids are the rows of `vectors`.",
            _ivf_places,
        ),
        *_said_of("You return distances. What is asked are ids.", _ivf_distances),
        *_said_of("Your ids are in order of number. The nearest comes first.", _ivf_by_id),
        *_said_of(
            "You take the lowest ids in the probed cells. Compare their vectors with the query.", _ivf_lowest_ids
        ),
        *_said_of(
            "You have the farthest vectors, or the farthest first. A small distance is near.",
            _ivf_farthest,
            _ivf_worst_first,
        ),
        *_said_of(
            "You rank vectors by the distance from their centroid. It says where a vector belongs; what counts in the "
            "end is the distance from the query.",
            _ivf_by_centroid,
        ),
        *_said_of(
            "You probe more cells than `nprobe`. A cell without vectors counts like any other, and where too few are "
            "found, fewer than k are returned.",
            _ivf_without_empty,
            _ivf_until_full,
        ),
        *_said_of("Where fewer than k are found, the list is shorter: nothing is put in their place.", _ivf_padded),
        *_said_of(
            "You are right but for equal distances. The lower number goes first: of two vectors, of two cells for a "
            "vector, and of two cells to probe.",
            _ivf_higher_id,
            _ivf_higher_cell,
            _ivf_higher_probed,
        ),
    ],
)


# -- product quantization --------------------------------------------------------------------------------------
def pq_search(codebooks: Array, codes: Codes, query: Array, k: int) -> tuple[Array, Ids]:
    """The distance table [M, K] of a query [D], and the k vectors whose codes add up to the least."""
    table = _table(codebooks, query)
    return table, _looked_up(table, codes, k)


def _table(codebooks: Array, query: Array) -> Array:
    """The squared distance of each part of the query from each centroid of that part."""
    return ((codebooks - _parts(codebooks, query)[:, None, :]) ** 2).sum(axis=2)  # type: ignore[no-any-return]


def _parts(codebooks: Array, query: Array) -> Array:
    return query.reshape(len(codebooks), -1)


def _sums(table: Array, codes: Codes) -> list[float]:
    return [float(sum(table[m, c] for m, c in enumerate(code))) for code in codes]


def _looked_up(table: Array, codes: Codes, k: int) -> Ids:
    sums = _sums(table, codes)
    return _ordered(range(len(codes)), lambda i: sums[i])[:k]


def _pq_with(table: Array, codes: Codes, k: int) -> Any:
    return table, _looked_up(table, codes, k)


def _pq_first_codebook(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    return _pq_with(_table(np.array([codebooks[0]] * len(codebooks)), query), codes, k)


def _pq_first_part(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    return _pq_with(_table(codebooks, np.tile(_parts(codebooks, query)[0], len(codebooks))), codes, k)


def _pq_one_row(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    """All codes looked up in the first row."""
    table = _table(codebooks, query)
    return table, _looked_up(np.array([table[0]] * len(table)), codes, k)


def _pq_roots(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    return _pq_with(np.sqrt(_table(codebooks, query)), codes, k)


def _pq_roots_in_table(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    """The search is right."""
    table = _table(codebooks, query)
    return np.sqrt(table), _looked_up(table, codes, k)


def _pq_sums_of_roots(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    """The table is right."""
    table = _table(codebooks, query)
    return table, _looked_up(np.sqrt(table), codes, k)


def _pq_roots_squared(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    """Equal sums are not equal any more."""
    return _pq_with(np.sqrt(_table(codebooks, query)) ** 2, codes, k)


def _products(codebooks: Array, query: Array) -> Any:
    return (codebooks * _parts(codebooks, query)[:, None, :]).sum(axis=2)


def _pq_products(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    table = _products(codebooks, query)
    return table, _looked_up(-table, codes, k)


def _pq_least_products(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    return _pq_with(_products(codebooks, query), codes, k)


def _pq_negative(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    table = _table(codebooks, query)
    return -table, _looked_up(table, codes, k)


def _pq_lying(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    table = _table(codebooks, query)
    return table.T, _looked_up(table, codes, k)


def _pq_symmetric(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    """The query is encoded, too."""
    nearest = _table(codebooks, query).argmin(axis=1)
    return _pq_with(_table(codebooks, codebooks[np.arange(len(codebooks)), nearest].ravel()), codes, k)


def _pq_symmetric_search(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    return _table(codebooks, query), _pq_symmetric(codebooks, codes, query, k)[1]


def _pq_interleaved(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    """Every M-th number makes a part."""
    return _pq_with(_table(codebooks, query.reshape(-1, len(codebooks)).T.ravel()), codes, k)


def _pq_farthest(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    table = _table(codebooks, query)
    return table, _looked_up(-table, codes, k)


def _pq_worst_first(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    table = _table(codebooks, query)
    return table, _looked_up(table, codes, k)[::-1]


def _pq_equal_codes(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    """The vectors whose codes share most numbers with that of the query."""
    table = _table(codebooks, query)
    own = table.argmin(axis=1)
    return table, _ordered(range(len(codes)), lambda i: float((codes[i] != own).sum()))[:k]


def _pq_distances(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    table = _table(codebooks, query)
    return table, sorted(_sums(table, codes))[:k]


def _pq_least_part(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    """The best part alone."""
    table = _table(codebooks, query)
    least = [min(float(table[m, c]) for m, c in enumerate(code)) for code in codes]
    return table, _ordered(range(len(codes)), lambda i: least[i])[:k]


def _pq_largest_part(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    """The worst part alone."""
    table = _table(codebooks, query)
    worst = [max(float(table[m, c]) for m, c in enumerate(code)) for code in codes]
    return table, _ordered(range(len(codes)), lambda i: worst[i])[:k]


def _pq_code_as_rank(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    """A code of c is taken for the c-th nearest centroid."""
    table = _table(codebooks, query)
    return table, _looked_up(np.sort(table, axis=1), codes, k)


def _pq_by_id(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    table, found = pq_search(codebooks, codes, query, k)
    return table, sorted(found)


def _pq_higher_id(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    table = _table(codebooks, query)
    sums = _sums(table, codes)
    return table, sorted(range(len(codes)), key=lambda i: (sums[i], -i))[:k]


def _pq_turned_round(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    return pq_search(codebooks, codes, query, k)[::-1]


def _pq_search_only(codebooks: Array, codes: Codes, query: Array, k: int) -> Any:
    return pq_search(codebooks, codes, query, k)[1]


@st.composite
def _quantizers(draw: st.DrawFn) -> Arguments:
    m, centroids, d = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    codebooks = _points(draw, m * centroids, d).reshape(m, centroids, d)
    code = st.lists(st.integers(0, centroids - 1), min_size=m, max_size=m)
    codes = np.array(draw(st.lists(code, min_size=1, max_size=5)), dtype=np.int64)
    return codebooks, codes, _points(draw, 1, m * d)[0], draw(st.integers(1, 4))


BOOKS = np.array([[[0, 0], [2, 1], [4, 4]], [[1, 0], [0, 5], [-3, 2]]], dtype=float)
LONG_BOOKS = np.array([[[0, 1, 2], [3, 1, 0]], [[5, 0, 1], [1, 1, 1]], [[-2, 0, 0], [4, 4, 1]]], dtype=float)
CODES = np.array([[0, 1], [2, 0], [1, 2], [0, 0], [1, 1], [2, 2], [1, 0], [0, 0]])

PQ = Exercise(
    pq_search,
    expects=(
        "The answer is (table, ids). Row j of the table belongs to part j of the query, and holds its squared "
        "distances from the K centroids of codebook j. The k ids have the least sums of M entries, one from each row."
    ),
    edges=[
        (np.array([[[2.0]]]), np.array([[0]]), np.array([5.0]), 1),
        (BOOKS, CODES, _array([[2, 2, 0, 1]])[0], 3),
        (BOOKS, CODES, _array([[1, 4, -2, 3]])[0], 8),
        (BOOKS, CODES, _array([[0, 3, 3, 0]])[0], 20),
        (BOOKS, CODES, _array([[4, 3, 0, 5]])[0], 1),
        (BOOKS, CODES[:4], _array([[-2, -3, 3, -1]])[0], 2),
        (LONG_BOOKS, np.array([[0, 1, 1], [1, 0, 0], [1, 1, 0], [0, 0, 0]]), np.arange(9.0), 3),
        (LONG_BOOKS, np.array([[0, 1, 1], [1, 0, 0], [1, 1, 0], [0, 0, 0]]), np.arange(9.0)[::-1].copy(), 4),
        (np.array([[[2.0, 1.0], [2.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]]), np.array([[0, 0], [1, 1]]), np.zeros(4), 2),
        (BOOKS[:1], np.array([[2], [1], [0], [1]]), np.array([3.0, 2.0]), 4),
    ],
    inputs=_quantizers(),
    misconceptions=[
        *_said_of(
            "You use the same codebook for all parts. Each part has centroids of its own, and a row of its own in the "
            "table.",
            _pq_first_codebook,
        ),
        *_said_of("All rows of your table are of the first part of the query.", _pq_first_part),
        *_said_of(
            "You look up all numbers of a code in one row. The first one belongs to the first row, the second one to "
            "the second, and so on.",
            _pq_one_row,
        ),
        *_said_of(
            "You take roots. Squared distances of the parts add up to that of the whole vectors; distances do not.",
            _pq_roots,
            _pq_roots_in_table,
            _pq_sums_of_roots,
        ),
        *_said_of(
            "You square roots. What comes out is not always the number that the root was taken of, so equal sums "
            "differ in the last digit: square the differences, and take no root at all.",
            _pq_roots_squared,
        ),
        *_said_of(
            "Your table has inner products. Here it is to hold squared distances.", _pq_products, _pq_least_products
        ),
        *_said_of("Your table has a minus before each distance.", _pq_negative),
        *_said_of("Your table lies on its side: one row for each part, one column for each centroid.", _pq_lying),
        *_said_of(
            "You replace the query by its code. Only the vectors are stored as codes; the query is there in full, and "
            "its distances are better for it.",
            _pq_symmetric,
            _pq_symmetric_search,
        ),
        *_said_of(
            "You take every M-th number of the query for a part. A part is a run of numbers that stand side by side.",
            _pq_interleaved,
        ),
        *_said_of(
            "The table is right, and your ids are the farthest, or the farthest first.", _pq_farthest, _pq_worst_first
        ),
        *_said_of(
            "You count in how many parts the codes are equal. Two different centroids may be close together, or far "
            "apart: that is what the table is for.",
            _pq_equal_codes,
        ),
        *_said_of("You return the sums. What is asked are the ids that have them.", _pq_distances),
        *_said_of(
            "You let one part decide. All parts of a vector count: add up what the table says of them.",
            _pq_least_part,
            _pq_largest_part,
        ),
        *_said_of(
            "You sort the rows of the table. A number of a code names a centroid of the codebook, not the rank of one.",
            _pq_code_as_rank,
        ),
        *_said_of("Your ids are in order of number. The nearest comes first.", _pq_by_id),
        *_said_of("You are right but for equal sums, where the lower id goes first.", _pq_higher_id),
        *_said_of("The answer has two parts: first the table, then the ids.", _pq_turned_round, _pq_search_only),
    ],
)


# -- beam search -----------------------------------------------------------------------------------------------
def beam_search(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Ids:
    """Keep the ef nearest seen, follow the links of the nearest not yet visited, until all that are kept are."""
    return _walk(vectors, links, query, entry, ef)[0]


def _walk(
    vectors: Array,
    links: Links,
    query: Array,
    entry: int,
    ef: int,
    goes_on: Callable[[Ids, Ids], bool] = lambda waiting, pool: True,
    which: int = 0,
) -> tuple[Ids, Ids]:
    """The pool, and the vectors in the order of their visits."""
    pool, visited = [entry], [-1]
    for _ in vectors:
        waiting = [i for i in pool if i not in visited]
        if not waiting or not goes_on(waiting, pool):
            break
        here = waiting[which]
        visited.append(here)
        pool = _ordered({*pool, *links[here]}, lambda i: _distance(vectors[i], query))[:ef]
    return pool, visited[1:]


def _beam_of_one(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    return _walk(vectors, links, query, entry, 1)[0]


def _beam_greedy(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    """Stops where the next one is no better than the best, though there is room."""
    return _walk(vectors, links, query, entry, ef, lambda waiting, pool: waiting[0] == pool[0])[0]


def _beam_until_full(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    return _walk(vectors, links, query, entry, ef, lambda waiting, pool: len(pool) < ef)[0]


def _beam_of_steps(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    """ef visits, and no more."""
    best: Ids = [entry]
    visited: Ids = []
    for _ in range(ef):
        waiting = [i for i in best if i not in visited]
        if waiting:
            visited.append(waiting[0])
            best = _ordered({*best, *links[waiting[0]]}, lambda i: _distance(vectors[i], query))
    return best[:ef]


def _beam_of_all_reached(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    return _walk(vectors, links, query, entry, len(vectors))[0][:ef]


def _beam_exact(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    return _nearest(vectors, query)[:ef]


def _beam_one_step(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    return _ordered({entry, *links[entry]}, lambda i: _distance(vectors[i], query))[:ef]


def _beam_visited(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    """The path."""
    return _walk(vectors, links, query, entry, ef)[1]


def _beam_without_entry(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    return [i for i in _walk(vectors, links, query, entry, ef)[0] if i != entry]


def _beam_product(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    pool, visited = [entry], [-1]
    for _ in vectors:
        waiting = [i for i in pool if i not in visited]
        if waiting:
            visited.append(waiting[0])
            pool = _ordered({*pool, *links[waiting[0]]}, lambda i: -float(vectors[i] @ query))[:ef]
    return pool


def _beam_farthest(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    pool, visited = [entry], [-1]
    for _ in vectors:
        waiting = [i for i in pool if i not in visited]
        if waiting:
            visited.append(waiting[0])
            pool = _ordered({*pool, *links[waiting[0]]}, lambda i: -_distance(vectors[i], query))[:ef]
    return pool


def _beam_worst_first(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    return _walk(vectors, links, query, entry, ef)[0][::-1]


def _beam_by_id(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    return sorted(_walk(vectors, links, query, entry, ef)[0])


def _beam_last_waiting(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    return _walk(vectors, links, query, entry, ef, which=-1)[0]


def _beam_from_zero(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    return _walk(vectors, links, query, 0, ef)[0]


def _beam_layers(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    """Only the new neighbours compete in the next step; what was found before is lost."""
    pool, visited = [entry], [-1]
    for _ in vectors:
        fresh = sorted({j for i in pool for j in links[i]} - set(visited) - set(pool))
        if not fresh:
            break
        visited += pool
        pool = _ordered(fresh, lambda i: _distance(vectors[i], query))[:ef]
    return pool


def _beam_higher_id(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    pool, visited = [entry], [-1]
    for _ in vectors:
        waiting = [i for i in pool if i not in visited]
        if waiting:
            visited.append(waiting[0])
            seen = {*pool, *links[waiting[0]]}
            pool = sorted(seen, key=lambda i: (_distance(vectors[i], query), -i))[:ef]
    return pool


def _beam_first_come(vectors: Array, links: Links, query: Array, entry: int, ef: int) -> Any:
    """Ties to the one that was seen first."""
    pool, visited = [entry], [-1]
    for _ in vectors:
        waiting = [i for i in pool if i not in visited]
        if waiting:
            visited.append(waiting[0])
            pool += [j for j in links[waiting[0]] if j not in pool]
            pool = sorted(pool, key=lambda i: _distance(vectors[i], query))[:ef]
    return pool


@st.composite
def _graphs(draw: st.DrawFn) -> Arguments:
    n, d = draw(st.integers(1, 8)), draw(st.integers(1, 2))
    vectors = _points(draw, n, d, reach=5)
    links = [[j for j in draw(st.lists(st.integers(0, n - 1), unique=True, max_size=3)) if j != i] for i in range(n)]
    return vectors, links, _points(draw, 1, d, reach=5)[0], draw(st.integers(0, n - 1)), draw(st.integers(1, 4))


ROAD = _array([[0, 0], [2, 1], [4, 0], [7, 3], [6, 4], [9, 0], [8, 5], [3, 6], [5, 6], [10, 6], [11, 2], [4, 8]])
ROADS = [[1, 7], [0, 2], [1, 5], [4, 10], [3, 8], [2, 10], [9, 4], [0, 8], [7, 4, 11], [6, 10], [5, 3, 9], [8, 7]]

BEAM = Exercise(
    beam_search,
    expects=(
        "The answer is a list of at most `ef` ids, the nearest first. When the search ends, the links of each vector "
        "in the list have been followed, and none of them leads to one that should be in the list and is not. Where "
        "two are equally near, the lower id goes first, and is kept first."
    ),
    edges=[
        (_array([[1, 1]]), [[]], np.zeros(2), 0, 1),
        (_array([[1, 1], [0, 0], [2, 2]]), [[2], [0], []], np.zeros(2), 0, 3),
        (ROAD, ROADS, _array([[7, 4]])[0], 0, 1),
        (ROAD, ROADS, _array([[7, 4]])[0], 0, 2),
        (ROAD, ROADS, _array([[7, 4]])[0], 0, 3),
        (ROAD, ROADS, _array([[7, 4]])[0], 0, 5),
        (ROAD, ROADS, _array([[7, 4]])[0], 5, 2),
        (ROAD, ROADS, _array([[3, 1]])[0], 9, 2),
        (ROAD, ROADS, _array([[3, 1]])[0], 9, 4),
        (ROAD, ROADS, _array([[10, 7]])[0], 1, 3),
        (ROAD, ROADS, _array([[-3, -2]])[0], 11, 4),
        (ROAD, ROADS, _array([[4, 7]])[0], 2, 20),
        (_array([[0], [9], [5], [1], [6], [2]]), [[1, 2], [3], [4], [], [5], []], np.zeros(1), 1, 2),
        (_array([[9], [4], [7], [0], [6], [4]]), [[1, 2], [0], [4], [], [3, 5], [1]], np.zeros(1), 0, 2),
        (_array([[5], [-3], [3], [-3], [3], [0]]), [[4, 1, 2, 3], [5], [0], [0], [0], [0]], np.zeros(1), 0, 2),
        (_array([[5], [-3], [3], [-3], [3]]), [[4, 1, 2, 3], [0], [0], [0], [0]], np.zeros(1), 0, 3),
    ],
    inputs=_graphs(),
    misconceptions=[
        *_said_of(
            "You keep one vector only, whatever `ef` is. That is the greedy walk, and it stops at the first vector "
            "without a nearer neighbour.",
            _beam_of_one,
        ),
        *_said_of(
            "You stop where the next vector is no better than the best one found. The search goes on as long as one "
            "that is kept, in any place of the list, has not been visited.",
            _beam_greedy,
        ),
        *_said_of(
            "You stop as soon as `ef` vectors are found. Those may have neighbours that are nearer, and take their "
            "places.",
            _beam_until_full,
        ),
        *_said_of(
            "You make `ef` visits. It is the number of vectors that are kept; the search ends when all of them have "
            "been visited, however many visits that takes.",
            _beam_of_steps,
        ),
        *_said_of(
            "You visit everything that can be reached. A vector that is not among the `ef` nearest seen is not "
            "visited: so the search stays short, and may miss something.",
            _beam_of_all_reached,
        ),
        *_said_of(
            "That is exact search. A vector can be found only over links, from the entry on.",
            _beam_exact,
        ),
        *_said_of("You follow the links of the entry and no others.", _beam_one_step),
        *_said_of(
            "You return the vectors that were visited, in the order of the visits. What is asked are the nearest that "
            "are kept in the end.",
            _beam_visited,
        ),
        *_said_of("Your answer leaves out the entry. It is a vector like any other.", _beam_without_entry),
        *_said_of("You rank by inner product. Near means a small distance here.", _beam_product),
        *_said_of("You keep the farthest. A small distance is near.", _beam_farthest),
        *_said_of("The vectors are right, but the nearest comes first.", _beam_worst_first, _beam_by_id),
        *_said_of(
            "You visit the farthest of those that wait. The nearest goes first: it leads to the goal, and drives far "
            "ones out before time is spent on them.",
            _beam_last_waiting,
        ),
        *_said_of("Your search begins at vector 0. It begins at `entry`.", _beam_from_zero),
        *_said_of(
            "You forget what was found before. A vector stays in the list until `ef` nearer ones are found.",
            _beam_layers,
        ),
        *_said_of(
            "You are right but for equal distances, where the lower id goes first.", _beam_higher_id, _beam_first_come
        ),
    ],
)


EXERCISES = by_name(COSTS, CHOOSE, TO_COSINE, TREE, IVF, PQ, BEAM)
check = checker(EXERCISES)
