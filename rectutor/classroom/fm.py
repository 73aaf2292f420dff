"""The exercises on factorization machines: right answers, and the wrong ones that people give.

Shapes: n features, k factors, F fields, N examples, R rows of the table of all fields.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import exp, isnan, nan, sqrt
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from rectutor.classroom.exercise import Arguments, Exercise, Misconception, by_name, checker, equal

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]
Step = tuple[float, float, float]
"""What an update of FTRL returns: the weight that was used, and the new z and n."""


def _said_of(hint: str, *wrong: Callable[..., Any]) -> list[Misconception]:
    """One misconception that shows in several ways."""
    return [Misconception(function, hint) for function in wrong]


# -- by hand ---------------------------------------------------------------------------------------------------
def by_hand() -> tuple[float, float, float]:
    """Crosses, logit and probability of an example with three features."""
    return _by_hand_of()


def _by_hand_of(linear: float = 3.0, bias: float = -13.0) -> tuple[float, float, float]:
    logit = bias + linear + 11
    return 11.0, logit, 1 / (1 + exp(-logit))


def _same_by_hand(arguments: Arguments, got: Any, expected: Any) -> bool:
    """Equal to 0.2 percent where a number is expected: NaN in a misconception stands for any value."""
    parts = got.tolist() if isinstance(got, np.ndarray) else got
    if not isinstance(parts, (list, tuple)) or len(parts) != len(expected):
        return False
    return all(equal(part, number, 2e-3) for part, number in zip(parts, expected, strict=True) if not isnan(number))


BY_HAND = Exercise(
    by_hand,
    expects=(
        "The answer is (crosses, logit, probability): two whole numbers and a number between 0 and 1. Make a table "
        "with one line for each pair of features that the example has: inner product, product of the two x, and the "
        "product of both."
    ),
    edges=[()],
    misconceptions=[
        *_said_of(
            "Your crosses leave out the values x. A cross is the inner product times both of them: feature 3 has the "
            "value 2, and feature 4 the value 0.",
            lambda: (6.0, nan, nan),
            lambda: (26.0, nan, nan),
        ),
        *_said_of(
            "You let feature 4 take part. Its x is 0, and so are all its terms.",
            lambda: (38.0, nan, nan),
            lambda: _by_hand_of(linear=7.0),
        ),
        *_said_of(
            "You count every pair twice. The sum is over i < j: of (1, 2) and (2, 1), it has one.",
            lambda: (22.0, nan, nan),
        ),
        *_said_of(
            "You also cross each feature with itself. The sum is over i < j.",
            lambda: (34.0, nan, nan),
            lambda: (45.0, nan, nan),
        ),
        *_said_of(
            "Your linear part leaves out the values x: each weight counts as often as its feature.",
            lambda: _by_hand_of(linear=1.0),
            lambda: _by_hand_of(linear=5.0),
        ),
        *_said_of(
            "Your logit has no linear part. Besides crosses and bias, each feature brings in its own weight.",
            lambda: _by_hand_of(linear=0.0),
        ),
        *_said_of("Your logit has no bias.", lambda: _by_hand_of(bias=0.0)),
        *_said_of(
            "Your bias has the wrong sign. It is added like all the rest, and it is a negative number.",
            lambda: _by_hand_of(bias=13.0),
        ),
        *_said_of(
            "Crosses and logit are right. The probability is that of the label 1, so it grows with the logit and is "
            "above one half where the logit is positive.",
            lambda: (11.0, 1.0, nan),
        ),
        *_said_of(
            "Your crosses are right, your logit is not. Look at what else the formula adds: the bias, once and with "
            "its sign, and the linear part, a weight times an x for each feature.",
            lambda: (11.0, nan, nan),
        ),
    ],
    same=_same_by_hand,
)


# -- crosses ---------------------------------------------------------------------------------------------------
def fm_crosses(v: Array, x: Array) -> float:
    """Sum of the crosses of all pairs, in time n k; v [n, k], x [n]."""
    return float((_square_of_sum(v, x) - _sum_of_squares(v, x)).sum() / 2)


def _square_of_sum(v: Array, x: Array) -> Any:
    return np.square((v * x[:, None]).sum(axis=0))


def _sum_of_squares(v: Array, x: Array) -> Any:
    return np.square(v * x[:, None]).sum(axis=0)


def _crosses_twice(v: Array, x: Array) -> float:
    return 2 * fm_crosses(v, x)


def _crosses_with_squares(v: Array, x: Array) -> float:
    return float(_square_of_sum(v, x).sum() / 2)


def _crosses_and_squares(v: Array, x: Array) -> float:
    return float((_square_of_sum(v, x) + _sum_of_squares(v, x)).sum() / 2)


def _crosses_turned(v: Array, x: Array) -> float:
    return -fm_crosses(v, x)


def _crosses_half_of_the_first(v: Array, x: Array) -> float:
    return float((_square_of_sum(v, x) / 2 - _sum_of_squares(v, x)).sum())


def _crosses_half_of_the_last(v: Array, x: Array) -> float:
    return float((_square_of_sum(v, x) - _sum_of_squares(v, x) / 2).sum())


def _crosses_of_mixed_factors(v: Array, x: Array) -> float:
    return fm_crosses(v.sum(axis=1)[:, None], x)


def _crosses_mixed_once(v: Array, x: Array) -> float:
    return float(((v * x[:, None]).sum() ** 2 - _sum_of_squares(v, x).sum()) / 2)


def _crosses_without_x(v: Array, x: Array) -> float:
    return fm_crosses(v, np.ones(len(x)))


def _crosses_of_plain_x(v: Array, x: Array) -> float:
    return float((_square_of_sum(v, x).sum() - (v**2 * x[:, None]).sum()) / 2)


VALUES = (0.0, 1.0, 2.0, -1.0, 3.0, 0.5)
"""What x may be; halves of halves are exact, so that the right value is the same in any order of the sums."""


def _rows(halves: list[list[int]]) -> Array:
    return np.array(halves, dtype=float) / 2


@st.composite
def _features(draw: st.DrawFn) -> tuple[Array, Array]:
    n, k = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    row = st.lists(st.integers(-4, 5), min_size=k, max_size=k)
    halves = draw(st.lists(row, min_size=n, max_size=n))
    return _rows(halves), np.array(draw(st.lists(st.sampled_from(VALUES), min_size=n, max_size=n)))


FOUR = _rows([[1, 2], [3, -1], [2, 5], [-3, 4]])
LONG = 100_000
"""Features of a large input: all pairs of them are 80 GB."""


def _many(seed: np.random.Generator) -> tuple[Array, Array]:
    return seed.integers(-2, 4, (LONG, 4)) / 2, seed.integers(0, 3, LONG).astype(float)


PAIRS: list[Arguments] = [
    (np.zeros((0, 2)), np.zeros(0)),
    (np.array([[2.0, 3.0]]), np.array([2.0])),
    (np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 0.0])),
    (np.array([[1.0], [2.0], [4.0]]), np.ones(3)),
    (np.array([[1.0, 2.0], [3.0, -1.0], [1.0, 1.0]]), np.array([1.0, 1.0, 2.0])),
    (FOUR, np.array([1.0, 2.0, -1.0, 0.5])),
    (FOUR, np.array([3.0, 0.0, 2.0, 0.5])),
]

CROSSES = Exercise(
    fm_crosses,
    expects=(
        "Each pair counts once, no feature is crossed with itself, and a feature with x = 0 changes nothing. For one "
        "factor and x = 1 everywhere, three features a, b, c give ab + ac + bc."
    ),
    edges=PAIRS,
    inputs=_features(),
    large=_many,
    misconceptions=[
        *_said_of(
            "You count every pair twice: the square of a sum has each product in it in both orders.", _crosses_twice
        ),
        *_said_of(
            "The square of the sum also has the square of each feature in it. Those are no crosses of two features: a "
            "single feature has to give 0.",
            _crosses_with_squares,
        ),
        *_said_of("You add the squares that have to be taken off.", _crosses_and_squares),
        *_said_of("Your value has the wrong sign: something is taken off the other way round.", _crosses_turned),
        *_said_of(
            "You halve only one of the two terms. Write the square of a + b + c out, and solve it for ab + ac + bc.",
            _crosses_half_of_the_first,
            _crosses_half_of_the_last,
        ),
        *_said_of(
            "You add up the factors too early. An inner product multiplies factor f with factor f only, so each factor "
            "has a square of its own.",
            _crosses_of_mixed_factors,
            _crosses_mixed_once,
        ),
        *_said_of("Your value does not depend on x. Each vector counts x times.", _crosses_without_x),
        *_said_of(
            "What you take off has x in it, where it should have its square: it is the square of v x, not of v alone.",
            _crosses_of_plain_x,
        ),
    ],
)


# -- the gradient ----------------------------------------------------------------------------------------------
def fm_gradient(v: Array, x: Array) -> Array:
    """Derivatives of the crosses by every v_if [n, k]."""
    gradient: Array = _total_term(v, x) - _own_term(v, x)
    return gradient


def _total_term(v: Array, x: Array) -> Any:
    return x[:, None] * (x @ v)


def _own_term(v: Array, x: Array) -> Any:
    return v * np.square(x)[:, None]


def _gradient_with_own(v: Array, x: Array) -> Any:
    return _total_term(v, x)


def _gradient_without_outer_x(v: Array, x: Array) -> Any:
    return x @ v - v * x[:, None]


def _gradient_own_plain_x(v: Array, x: Array) -> Any:
    return _total_term(v, x) - v * x[:, None]


def _gradient_own_without_x(v: Array, x: Array) -> Any:
    return _total_term(v, x) - v


def _gradient_twice(v: Array, x: Array) -> Any:
    return 2 * fm_gradient(v, x)


def _gradient_half(v: Array, x: Array) -> Any:
    return fm_gradient(v, x) / 2


def _gradient_own_half(v: Array, x: Array) -> Any:
    return _total_term(v, x) - _own_term(v, x) / 2


def _gradient_total_half(v: Array, x: Array) -> Any:
    return _total_term(v, x) / 2 - _own_term(v, x)


def _gradient_own_twice(v: Array, x: Array) -> Any:
    return _total_term(v, x) - 2 * _own_term(v, x)


def _gradient_of_plain_sum(v: Array, x: Array) -> Any:
    return x[:, None] * v.sum(axis=0) - _own_term(v, x)


def _gradient_of_others_plain(v: Array, x: Array) -> Any:
    return x[:, None] * (v.sum(axis=0) - v)


def _gradient_turned(v: Array, x: Array) -> Any:
    return -fm_gradient(v, x)


def _gradient_lying(v: Array, x: Array) -> Any:
    return fm_gradient(v, x).T


GRADIENT = Exercise(
    fm_gradient,
    expects=(
        "The answer is an array [n, k]. Its row i is the sum of all other v_j x_j, times x_i: it does not depend on "
        "v_i itself, and it is 0 where x_i is 0."
    ),
    edges=PAIRS[1:],
    inputs=_features(),
    large=_many,
    misconceptions=[
        *_said_of(
            "You leave feature i in the sum. It is not crossed with itself, so its derivative does not depend on its "
            "own vector: for a single feature it is 0.",
            _gradient_with_own,
        ),
        *_said_of(
            "Your derivative lacks its own x_i: a feature that the example does not have, x_i = 0, gets no gradient.",
            _gradient_without_outer_x,
        ),
        *_said_of(
            "What you take off does not have the right power of x_i: the term of i in the sum, v_i x_i, is multiplied "
            "by x_i like all others.",
            _gradient_own_plain_x,
            _gradient_own_without_x,
        ),
        *_said_of(
            "Your gradient is off by a factor of 2, everywhere. The square gives a 2, and there is a half before it.",
            _gradient_twice,
            _gradient_half,
        ),
        *_said_of(
            "One of your two terms is off by a factor of 2. Both are squares with a half before them.",
            _gradient_own_half,
            _gradient_total_half,
            _gradient_own_twice,
        ),
        *_said_of(
            "Your sum over the other features leaves out their values x_j.",
            _gradient_of_plain_sum,
            _gradient_of_others_plain,
        ),
        *_said_of(
            "Your gradient has the wrong sign. What is asked is the derivative, the way up; a descent takes the minus.",
            _gradient_turned,
        ),
        *_said_of(
            "Your array lies on its side: one row for each feature, one column for each factor.", _gradient_lying
        ),
    ],
)


# -- look-up ---------------------------------------------------------------------------------------------------
def look_up(codes: Codes, sizes: list[int], weights: Array) -> Array:
    """One-hot rows times weights [R, k] without the rows: codes [N, F] to [N, k]."""
    summed: Array = _picked(codes, _starts(sizes), weights).sum(axis=1)
    return summed


def _starts(sizes: list[int]) -> list[int]:
    return [sum(sizes[:f]) for f in range(len(sizes))]


def _picked(codes: Codes, starts: list[int], weights: Array) -> Any:
    return weights[codes + np.array(starts)]


def _look_up_without_offsets(codes: Codes, sizes: list[int], weights: Array) -> Any:
    return weights[codes].sum(axis=1)


def _look_up_last_size(codes: Codes, sizes: list[int], weights: Array) -> Any:
    return _picked(codes, [0, *sizes[:-1]], weights).sum(axis=1)


def _look_up_of_seen(codes: Codes, sizes: list[int], weights: Array) -> Any:
    seen = [int(column.max(initial=-1)) + 1 for column in codes.T]
    return _picked(codes, _starts(seen), weights).sum(axis=1)


def _look_up_of_greatest(codes: Codes, sizes: list[int], weights: Array) -> Any:
    """As before; without examples, there is no greatest code."""
    return _picked(codes, _starts((codes.max(axis=0) + 1).tolist()), weights).sum(axis=1)


def _look_up_of_one_size(codes: Codes, sizes: list[int], weights: Array) -> Any:
    return _picked(codes, _starts([int(codes.max()) + 1] * len(sizes)), weights).sum(axis=1)


def _look_up_of_ends(codes: Codes, sizes: list[int], weights: Array) -> Any:
    return weights[codes + np.cumsum(sizes)].sum(axis=1)


def _look_up_of_rows(codes: Codes, sizes: list[int], weights: Array) -> Any:
    """One example after the other; without any, nothing says how many columns there are."""
    return np.array([_picked(row, _starts(sizes), weights).sum(axis=0) for row in codes])


def _look_up_joined(codes: Codes, sizes: list[int], weights: Array) -> Any:
    return np.hstack([weights[codes[:, f] + start] for f, start in enumerate(_starts(sizes))])


def _look_up_reshaped(codes: Codes, sizes: list[int], weights: Array) -> Any:
    """As before; without examples, -1 may stand for any number."""
    return _picked(codes, _starts(sizes), weights).reshape(len(codes), -1)


def _look_up_parts(codes: Codes, sizes: list[int], weights: Array) -> Any:
    return _picked(codes, _starts(sizes), weights)


def _look_up_mean(codes: Codes, sizes: list[int], weights: Array) -> Any:
    return _picked(codes, _starts(sizes), weights).mean(axis=1)


def _look_up_product(codes: Codes, sizes: list[int], weights: Array) -> Any:
    return _picked(codes, _starts(sizes), weights).prod(axis=1)


def _look_up_over_examples(codes: Codes, sizes: list[int], weights: Array) -> Any:
    return _picked(codes, _starts(sizes), weights).sum(axis=0)


@st.composite
def _tables(draw: st.DrawFn) -> tuple[Codes, list[int], Array]:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    code = st.tuples(*(st.integers(0, size - 1) for size in sizes))
    codes = draw(st.lists(code, min_size=1, max_size=3))
    k = draw(st.integers(1, 2))
    row = st.lists(st.integers(-9, 9), min_size=k, max_size=k)
    weights = draw(st.lists(row, min_size=sum(sizes), max_size=sum(sizes)))
    return np.array(codes, dtype=np.int64), sizes, np.array(weights, dtype=float)


def _large_table(seed: np.random.Generator) -> tuple[Codes, list[int], Array]:
    sizes = [100_000, 50_000, 100]
    codes = np.column_stack([seed.integers(0, size, 20_000) for size in sizes])
    return codes, sizes, seed.integers(-9, 10, (sum(sizes), 2)).astype(float)


def _same_rows(arguments: Arguments, got: Any, expected: Any) -> bool:
    """Equal, and with as many columns where there are no rows."""
    return equal(got, expected, 1e-9) and (len(expected) > 0 or np.shape(got) == np.shape(expected))


NINE = np.array([[1, 7], [2, -3], [3, 5], [5, 0], [8, 2], [13, -1], [21, 4], [34, 9], [55, 6]], dtype=float)

LOOK_UP = Exercise(
    look_up,
    expects=(
        "The answer has one row for each example and one column for each column of `weights`. Row 0 is the sum of F "
        "rows of `weights`: one from the rows of each field, the one that the code names."
    ),
    edges=[
        (np.zeros((0, 2), np.int64), [2, 3], NINE[:5]),
        (np.array([[0]]), [1], NINE[:1]),
        (np.array([[2], [0], [2]]), [3], NINE[:3]),
        (np.array([[0, 0], [1, 2], [0, 1]]), [2, 3], NINE[:5]),
        (np.array([[1, 0, 2, 1], [0, 3, 0, 0], [0, 1, 1, 1]]), [2, 4, 3, 2], np.vstack([NINE, NINE[:2] * 3])),
        (np.array([[1, 3, 2]]), [2, 4, 3], NINE),
        (np.array([[0, 1, 0], [1, 1, 2], [1, 1, 2], [0, 0, 1]]), [2, 4, 3], NINE),
    ],
    inputs=_tables(),
    large=_large_table,
    misconceptions=[
        *_said_of(
            "You look up the codes of all fields in the same rows. Code 0 of the second field is another value than "
            "code 0 of the first, and has a row of its own further down.",
            _look_up_without_offsets,
        ),
        *_said_of(
            "The rows of a field start after those of all fields before it, not only of the one before. With two "
            "fields that makes no difference.",
            _look_up_last_size,
        ),
        *_said_of(
            "Your fields start where the codes of these examples end. Where a field starts is a matter of the sizes: "
            "it must not change with the examples that happen to come.",
            _look_up_of_seen,
            _look_up_of_greatest,
            _look_up_of_one_size,
        ),
        *_said_of(
            "You ask for rows below the last one: each of your fields starts where it ends. The first field starts at "
            "row 0, and no field counts its own size.",
            _look_up_of_ends,
        ),
        *_said_of(
            "Right as long as there are examples. Without any, the answer still has k columns: its shape is [0, k].",
            _look_up_of_rows,
        ),
        *_said_of(
            "You return the rows of the fields side by side. A linear layer adds them up: every 1 in a one-hot row "
            "adds its row of weights.",
            _look_up_joined,
            _look_up_reshaped,
            _look_up_parts,
        ),
        *_said_of(
            "You take the mean over the fields. A product with a one-hot row is a sum.",
            _look_up_mean,
        ),
        *_said_of("You multiply the rows of the fields. A linear layer adds them up.", _look_up_product),
        *_said_of(
            "Your sum runs over the examples. Each example has a sum of its own, over its fields.",
            _look_up_over_examples,
        ),
    ],
    same=_same_rows,
)


# -- FFM -------------------------------------------------------------------------------------------------------
def ffm_crosses(v: Array, x: Array, fields: list[int]) -> float:
    """Sum of the crosses of an FFM over the features that the example has; v [n, F, k], x [n], fields [n]."""
    return float(sum(v[i, fields[j]] @ v[j, fields[i]] * x[i] * x[j] for i, j in _present(x)))


def _present(x: Array) -> list[tuple[int, int]]:
    """All pairs i < j of features whose x is not 0."""
    return list(combinations(np.flatnonzero(x).tolist(), 2))


def _ffm_of_own_fields(v: Array, x: Array, fields: list[int]) -> Any:
    return sum(v[i, fields[i]] @ v[j, fields[j]] * x[i] * x[j] for i, j in _present(x))


def _ffm_of_second_field(v: Array, x: Array, fields: list[int]) -> Any:
    return sum(v[i, fields[j]] @ v[j, fields[j]] * x[i] * x[j] for i, j in _present(x))


def _ffm_of_first_field(v: Array, x: Array, fields: list[int]) -> Any:
    return sum(v[i, fields[i]] @ v[j, fields[i]] * x[i] * x[j] for i, j in _present(x))


def _ffm_of_other_fields(v: Array, x: Array, fields: list[int]) -> Any:
    pairs = [(i, j) for i, j in _present(x) if fields[i] != fields[j]]
    return sum(v[i, fields[j]] @ v[j, fields[i]] * x[i] * x[j] for i, j in pairs)


def _ffm_of_positive(v: Array, x: Array, fields: list[int]) -> Any:
    return ffm_crosses(v, np.maximum(x, 0), fields)


def _ffm_twice(v: Array, x: Array, fields: list[int]) -> Any:
    return 2 * ffm_crosses(v, x, fields)


def _ffm_with_squares(v: Array, x: Array, fields: list[int]) -> Any:
    own = sum(v[i, fields[i]] @ v[i, fields[i]] * x[i] ** 2 for i in range(len(x)))
    return ffm_crosses(v, x, fields) + float(own)


def _ffm_without_x(v: Array, x: Array, fields: list[int]) -> Any:
    return sum(v[i, fields[j]] @ v[j, fields[i]] for i, j in _present(x))


def _ffm_of_ones(v: Array, x: Array, fields: list[int]) -> Any:
    return ffm_crosses(v, np.ones(len(x)), fields)


def _ffm_summed(v: Array, x: Array, fields: list[int]) -> Any:
    """As an FM whose vectors are the sums over fields."""
    return sum(v[i].sum(axis=0) @ v[j].sum(axis=0) * x[i] * x[j] for i, j in _present(x))


@st.composite
def _of_fields(draw: st.DrawFn) -> tuple[Array, Array, list[int]]:
    n, n_fields, k = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    row = st.lists(st.integers(-4, 5), min_size=n_fields * k, max_size=n_fields * k)
    halves = draw(st.lists(row, min_size=n, max_size=n))
    x = draw(st.lists(st.sampled_from(VALUES), min_size=n, max_size=n))
    fields = draw(st.lists(st.integers(0, n_fields - 1), min_size=n, max_size=n))
    return _rows(halves).reshape(n, n_fields, k), np.array(x), fields


def _many_of_fields(seed: np.random.Generator) -> tuple[Array, Array, list[int]]:
    x = np.zeros(LONG)
    x[seed.choice(LONG, 30, replace=False)] = seed.integers(1, 4, 30)
    return seed.integers(-2, 4, (LONG, 3, 2)) / 2, x, seed.integers(0, 3, LONG).tolist()


AWARE = _rows(
    [[1, 2, 3, 4, -1, 5], [2, -3, 1, 1, 4, 3], [5, 1, -2, 2, 3, 1], [1, 4, 2, -5, 3, 2], [-3, 1, 4, 2, 1, 7]]
).reshape(5, 3, 2)

FFM = Exercise(
    ffm_crosses,
    expects=(
        "Each pair of features with x other than 0 counts once, also where both are of the same field. Of each "
        "feature, a pair uses the one vector that is meant for the field of its partner."
    ),
    edges=[
        (AWARE[:1], np.array([2.0]), [1]),
        (AWARE[:2], np.array([1.0, 1.0]), [0, 1]),
        (AWARE[:2], np.array([1.0, 1.0]), [2, 0]),
        (AWARE[:2], np.array([2.0, 3.0]), [1, 1]),
        (AWARE[:3], np.zeros(3), [0, 1, 2]),
        (AWARE, np.array([1.0, 0.5, 0.0, 2.0, 3.0]), [0, 2, 1, 1, 0]),
        (AWARE, np.array([1.0, 1.0, -1.0, 0.5, 2.0]), [2, 0, 1, 2, 1]),
    ],
    inputs=_of_fields(),
    large=_many_of_fields,
    misconceptions=[
        *_said_of(
            "You take each feature's vector for its own field. The vectors of a feature are there to meet different "
            "fields: which one is used depends on the partner.",
            _ffm_of_own_fields,
        ),
        *_said_of(
            "Both your vectors are those for the same field. Each of the two features looks at the field of the other.",
            _ffm_of_second_field,
            _ffm_of_first_field,
        ),
        *_said_of(
            "You leave out pairs within a field. Two genres of one film are a pair like any other; both use their "
            "vectors for that field.",
            _ffm_of_other_fields,
        ),
        *_said_of(
            "You leave out features with a negative x. An example lacks a feature only where x is 0.", _ffm_of_positive
        ),
        *_said_of("You count every pair twice. The sum is over i < j.", _ffm_twice),
        *_said_of("You cross each feature with itself, too. The sum is over i < j.", _ffm_with_squares),
        *_said_of("Your crosses leave out the values x.", _ffm_without_x, _ffm_of_ones),
        *_said_of(
            "You add up a feature's vectors over the fields. That gives an FM, with one vector for all partners.",
            _ffm_summed,
        ),
    ],
)


# -- retrieval vectors -----------------------------------------------------------------------------------------
def fm_vectors(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    """Vectors [k + 2] of a user and an item whose inner product is the FM's logit."""
    alone = w0 + _alone(w, v, x, ~of_item), _alone(w, v, x, of_item)
    return _laid_out(v, x, of_item, alone)


def _alone(w: Array, v: Array, x: Array, side: Flags) -> float:
    """What the features of one side say without the other."""
    return float(w[side] @ x[side]) + fm_crosses(v[side], x[side])


def _laid_out(v: Array, x: Array, of_item: Flags, alone: tuple[float, float]) -> tuple[Array, Array]:
    user, item = x[~of_item] @ v[~of_item], x[of_item] @ v[of_item]
    return np.array([*user, alone[0], 1.0]), np.array([*item, 1.0, alone[1]])


def _vectors_without_item_crosses(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    return _laid_out(v, x, of_item, (w0 + _alone(w, v, x, ~of_item), float(w[of_item] @ x[of_item])))


def _vectors_without_user_crosses(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    return _laid_out(v, x, of_item, (w0 + float(w[~of_item] @ x[~of_item]), _alone(w, v, x, of_item)))


def _vectors_without_crosses(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    alone = w0 + float(w[~of_item] @ x[~of_item]), float(w[of_item] @ x[of_item])
    return _laid_out(v, x, of_item, alone)


def _vectors_without_weights(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    return fm_vectors(w0, np.zeros(len(w)), v, x, of_item)


def _vectors_without_item_weights(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    return fm_vectors(w0, np.where(of_item, 0.0, w), v, x, of_item)


def _vectors_without_bias(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    return fm_vectors(0.0, w, v, x, of_item)


def _vectors_with_bias_twice(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    user, item = fm_vectors(w0, w, v, x, of_item)
    item[-1] += w0
    return user, item


def _vectors_with_bias_of_item(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    user, item = _vectors_with_bias_twice(w0, w, v, x, of_item)
    user[-2] -= w0
    return user, item


def _vectors_with_zeros(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    user, item = fm_vectors(w0, w, v, x, of_item)
    user[-1] = item[-2] = 0.0
    return user, item


def _vectors_face_to_face(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    """Both sides as (sums, what it says alone, 1), so that the two meet each other."""
    user, item = fm_vectors(w0, w, v, x, of_item)
    return user, np.array([*item[:-2], item[-1], 1.0])


def _vectors_face_to_face_of_user(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    """Both sides as (sums, 1, what it says alone)."""
    user, item = fm_vectors(w0, w, v, x, of_item)
    return np.array([*user[:-2], 1.0, user[-2]]), item


def _vectors_item_first(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    user, item = fm_vectors(w0, w, v, x, of_item)
    return np.array([*user[:-2], 1.0, user[-2]]), np.array([*item[:-2], item[-1], 1.0])


def _vectors_in_front(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    user, item = fm_vectors(w0, w, v, x, of_item)
    return np.roll(user, 2), np.roll(item, 2)


def _vectors_not_augmented(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    return x[~of_item] @ v[~of_item], x[of_item] @ v[of_item]


def _vectors_of_plain_sums(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    alone = w0 + _alone(w, v, x, ~of_item), _alone(w, v, x, of_item)
    return _laid_out(v, np.ones(len(x)), of_item, alone)


def _vectors_swapped(w0: float, w: Array, v: Array, x: Array, of_item: Flags) -> tuple[Array, Array]:
    return fm_vectors(w0, w, v, x, ~of_item)


@st.composite
def _sides(draw: st.DrawFn) -> tuple[float, Array, Array, Array, Flags]:
    v, x = draw(_features())
    w = draw(st.lists(st.integers(-3, 4), min_size=len(x), max_size=len(x)))
    of_item = draw(st.lists(st.booleans(), min_size=len(x), max_size=len(x)))
    return draw(st.integers(-3, 3)) / 2, np.array(w, dtype=float), v, x, np.array(of_item)


WEIGHTS = np.array([1.0, -2.0, 4.0, 0.5, -3.0])
FIVE = _rows([[1, 2, 3], [3, -1, 2], [2, 5, -4], [-3, 4, 1], [5, 1, 1]])

VECTORS = Exercise(
    fm_vectors,
    expects=(
        "The answer is (user, item), two vectors of k + 2 numbers whose inner product is the logit of the whole FM. "
        "The user's vector does not change with the item's features, nor the item's with the user's."
    ),
    edges=[
        (0.5, WEIGHTS[:2], FIVE[:2], np.ones(2), np.array([False, True])),
        (2.0, WEIGHTS, FIVE, np.array([1.0, 1.0, 2.0, 0.5, 3.0]), np.array([False, False, True, True, True])),
        (-1.0, WEIGHTS, FIVE, np.array([0.5, 2.0, -1.0, 1.0, 1.0]), np.array([True, False, False, True, False])),
        (-3.0, WEIGHTS, FIVE, np.array([1.0, 2.0, 0.0, 1.0, 0.5]), np.zeros(5, bool)),
        (1.5, WEIGHTS, FIVE, np.array([1.0, 2.0, 0.0, 1.0, 0.5]), np.ones(5, bool)),
    ],
    inputs=_sides(),
    misconceptions=[
        *_said_of(
            "Your item leaves out the crosses of its own features. They do not depend on the user, but they differ "
            "from item to item, so without them the order of the items changes.",
            _vectors_without_item_crosses,
        ),
        *_said_of(
            "Your user leaves out the crosses of the user's own features. The order of the items stays, but the inner "
            "product is not the logit any more.",
            _vectors_without_user_crosses,
        ),
        *_said_of(
            "Your vectors leave out all crosses within a side. The inner product of the sums has only the pairs of a "
            "user's feature with an item's.",
            _vectors_without_crosses,
        ),
        *_said_of(
            "Your vectors leave out linear weights. Each side says w x on its own, and what the item says there counts "
            "in the order.",
            _vectors_without_weights,
            _vectors_without_item_weights,
        ),
        *_said_of(
            "The bias has to be in the inner product, once, and here it goes with the user.",
            _vectors_without_bias,
            _vectors_with_bias_twice,
            _vectors_with_bias_of_item,
        ),
        *_said_of(
            "At the two last places your inner product is wrong. What a side says alone has to come out of the product "
            "unchanged, so think of what the other vector must hold at that place.",
            _vectors_with_zeros,
            _vectors_face_to_face,
            _vectors_face_to_face_of_user,
        ),
        *_said_of(
            "The inner product is right, the order is not: the sums come first, then what the user says alone, then "
            "the item.",
            _vectors_in_front,
            _vectors_item_first,
        ),
        *_said_of(
            "Your vectors have k numbers. What each side says alone needs places of its own.", _vectors_not_augmented
        ),
        *_said_of("Your sums of vectors leave out the values x.", _vectors_of_plain_sums),
        *_said_of("Your user's vector is made of the item's features: `of_item` is True for these.", _vectors_swapped),
    ],
)


# -- FTRL-Proximal ---------------------------------------------------------------------------------------------
def ftrl_update(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    """One coordinate's update: the weight that is used, and the new z and n."""
    w = 0.0 if abs(z) <= l1 else -(z - _sign(z) * l1) / _divisor(n, alpha, beta, l2)
    return _moved(z, n, g, alpha, w)


def _sign(z: float) -> int:
    return (z > 0) - (z < 0)


def _divisor(n: float, alpha: float, beta: float, l2: float) -> float:
    return (beta + sqrt(n)) / alpha + l2


def _moved(z: float, n: float, g: float, alpha: float, w: float) -> Step:
    sigma = (sqrt(n + g**2) - sqrt(n)) / alpha
    return w, z + g - sigma * w, n + g**2


def _ftrl_without_sign(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w = 0.0 if abs(z) <= l1 else -(z - l1) / _divisor(n, alpha, beta, l2)
    return _moved(z, n, g, alpha, w)


def _ftrl_threshold_of_z(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w = 0.0 if z <= l1 else -(z - l1) / _divisor(n, alpha, beta, l2)
    return _moved(z, n, g, alpha, w)


def _ftrl_threshold_of_w(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w = -z / _divisor(n, alpha, beta, l2) if z else 0.0
    return _moved(z, n, g, alpha, _sign(w) * max(abs(w) - l1, 0.0))


def _ftrl_cut_of_w(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w = -z / _divisor(n, alpha, beta, l2) if z else 0.0
    return _moved(z, n, g, alpha, w if abs(w) > l1 else 0.0)


def _ftrl_without_shrinking(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w = 0.0 if abs(z) <= l1 else -z / _divisor(n, alpha, beta, l2)
    return _moved(z, n, g, alpha, w)


def _ftrl_without_threshold(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    return _moved(z, n, g, alpha, -(z - _sign(z) * l1) / _divisor(n, alpha, beta, l2) if z else 0.0)


def _ftrl_strict(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w = 0.0 if abs(z) < l1 else -(z - _sign(z) * l1) / _divisor(n, alpha, beta, l2)
    return _moved(z, n, g, alpha, w)


def _ftrl_strict_in_numpy(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    """As before; 0 / 0 is NaN instead of an error."""
    w = 0.0 if abs(z) < l1 else -np.divide(z - _sign(z) * l1, _divisor(n, alpha, beta, l2))
    return _moved(z, n, g, alpha, w)


def _ftrl_upwards(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w, _, _ = ftrl_update(z, n, g, alpha, beta, l1, l2)
    return _moved(z, n, g, alpha, -w)


def _ftrl_without_root(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w, _, _ = ftrl_update(z, n**2, g, alpha, beta, l1, l2)
    return _moved(z, n, g, alpha, w)


def _ftrl_without_l2(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    return ftrl_update(z, n, g, alpha, beta, l1, 0.0)


def _ftrl_without_beta(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    return ftrl_update(z, n, g, alpha, 0.0, l1, l2)


def _ftrl_l2_divided(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    return ftrl_update(z, n, g, alpha, beta + l2, l1, 0.0)


def _ftrl_sigma_undivided(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w, _, new_n = ftrl_update(z, n, g, alpha, beta, l1, l2)
    return w, z + g - (sqrt(new_n) - sqrt(n)) * w, new_n


def _ftrl_n_first(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    """n has changed when sigma asks for it."""
    w, _, new_n = ftrl_update(z, n, g, alpha, beta, l1, l2)
    return w, z + g - (sqrt(new_n + g**2) - sqrt(new_n)) / alpha * w, new_n


def _ftrl_sigma_of_nothing(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    """n has changed, and sigma takes the root of the new n off itself."""
    w, _, new_n = ftrl_update(z, n, g, alpha, beta, l1, l2)
    return w, z + g, new_n


def _ftrl_all_of_new_n(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    """n has changed before anything else is done."""
    w, new_z, _ = ftrl_update(z, n + g**2, g, alpha, beta, l1, l2)
    return w, new_z, n + g**2


def _ftrl_weight_of_new_n(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w, _, _ = ftrl_update(z, n + g**2, g, alpha, beta, l1, l2)
    return _moved(z, n, g, alpha, w)


def _ftrl_of_roots(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w, _, new_n = ftrl_update(z, n, g, alpha, beta, l1, l2)
    return w, z + g - abs(g) / alpha * w, new_n


def _ftrl_n_unsquared(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w, new_z, _ = ftrl_update(z, n, g, alpha, beta, l1, l2)
    return w, new_z, n + g


def _ftrl_n_of_sizes(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w, new_z, _ = ftrl_update(z, n, g, alpha, beta, l1, l2)
    return w, new_z, n + abs(g)


def _ftrl_z_other_way(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    w, new_z, new_n = ftrl_update(z, n, g, alpha, beta, l1, l2)
    return w, 2 * (z + g) - new_z, new_n


def _ftrl_new_w(z: float, n: float, g: float, alpha: float, beta: float, l1: float, l2: float) -> Step:
    _, new_z, new_n = ftrl_update(z, n, g, alpha, beta, l1, l2)
    return ftrl_update(new_z, new_n, g, alpha, beta, l1, l2)[0], new_z, new_n


def _state(signed: int, root: int, g: int, rates: tuple[float, float, float, float]) -> Arguments:
    """z in halves, n a square: what comes out can be followed by hand."""
    return (signed / 2, float(root**2), g / 2, *rates)


RATES = st.tuples(
    st.sampled_from((0.5, 2.0, 0.25)),
    st.sampled_from((1.0, 2.0, 0.5)),
    st.sampled_from((1.0, 0.0, 0.5, 3.0)),
    st.sampled_from((1.0, 0.0, 2.0)),
)

FTRL = Exercise(
    ftrl_update,
    expects=(
        "The answer is (w, z, n): the weight before the gradient is taken in, then the new sums. w is 0 or has the "
        "sign that z does not have, and it does not depend on g; n never falls."
    ),
    edges=[
        (0.0, 0.0, 1.0, 0.5, 1.0, 1.0, 1.0),
        (0.0, 0.0, -1.5, 0.5, 0.0, 0.0, 0.0),
        (6.0, 9.0, 4.0, 0.5, 1.0, 1.0, 2.0),
        (-6.0, 9.0, 4.0, 0.5, 1.0, 1.0, 2.0),
        (-6.0, 16.0, -3.0, 0.25, 2.0, 0.5, 1.0),
        (1.0, 4.0, 1.5, 0.5, 1.0, 1.0, 1.0),
        (-0.5, 4.0, -1.5, 0.5, 1.0, 1.0, 1.0),
        (5.0, 2.25, 0.0, 2.0, 0.5, 0.0, 0.0),
        (3.0, 2.0, 1.0, 0.1, 1.0, 1.0, 0.0),
    ],
    inputs=st.builds(_state, st.integers(-8, 9), st.integers(0, 4), st.integers(-4, 5), RATES),
    misconceptions=[
        *_said_of(
            "For a negative z your weight is wrong: l1 pulls z towards 0 from both sides, so what is taken off has the "
            "sign of z.",
            _ftrl_without_sign,
            _ftrl_threshold_of_z,
        ),
        *_said_of(
            "You hold l1 against the weight. It is z that is compared with l1 and shrunk by it; the division comes "
            "after.",
            _ftrl_threshold_of_w,
            _ftrl_cut_of_w,
        ),
        *_said_of(
            "You set small weights to 0, but do not shrink the others. The weight would jump where z passes l1.",
            _ftrl_without_shrinking,
        ),
        *_said_of(
            "You shrink z by l1 even where it is smaller than that, and it comes out on the other side of 0. There the "
            "weight is 0.",
            _ftrl_without_threshold,
        ),
        *_said_of(
            "Where the size of z is exactly l1, the weight is 0 as well and nothing is divided: the divisor may be 0 "
            "there.",
            _ftrl_strict,
            _ftrl_strict_in_numpy,
        ),
        *_said_of(
            "Your weight has the wrong sign. z adds up gradients, and the weight goes against them.", _ftrl_upwards
        ),
        *_said_of("The step needs the root of n: n adds up squares.", _ftrl_without_root),
        *_said_of(
            "Your divisor leaves something out. Besides the root of n it holds beta and l2; only l2 is not divided by "
            "alpha.",
            _ftrl_without_l2,
            _ftrl_without_beta,
            _ftrl_l2_divided,
        ),
        *_said_of(
            "Your sigma is not divided by alpha. It is the difference of two inverse learning rates, and both have "
            "alpha below them.",
            _ftrl_sigma_undivided,
        ),
        *_said_of(
            "You change n too early. Sigma compares the roots of n after and before this gradient, so it needs the old "
            "n, as the weight does.",
            _ftrl_n_first,
            _ftrl_sigma_of_nothing,
            _ftrl_all_of_new_n,
        ),
        *_said_of(
            "Your sigma is the size of the gradient over alpha. The root of a sum is not the sum of the roots: for a "
            "large n, sigma is far smaller.",
            _ftrl_of_roots,
        ),
        *_said_of(
            "Your n adds up gradients. It has to add up their squares: it measures how much there was to learn from, "
            "in either direction.",
            _ftrl_n_unsquared,
            _ftrl_n_of_sizes,
        ),
        *_said_of("In the new z, sigma times w is taken off, not added.", _ftrl_z_other_way),
        *_said_of(
            "Your weight already knows this gradient. What is asked is the weight that the example was predicted with, "
            "from the old z and n.",
            _ftrl_new_w,
            _ftrl_weight_of_new_n,
        ),
    ],
)


EXERCISES = by_name(BY_HAND, CROSSES, GRADIENT, LOOK_UP, FFM, VECTORS, FTRL)
check = checker(EXERCISES)
