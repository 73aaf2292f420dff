"""The exercises on collaborative filtering: right answers, and the wrong ones that people give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from math import log, nan, sqrt
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from rectutor.classroom.exercise import Arguments, Exercise, Misconception, by_name, checker

Row = dict[str, float]
"""What one user rated, or who rated one item."""
Baskets = list[set[Any]]
Array = NDArray[np.float64]


def _said_of(hint: str, *wrong: Callable[..., Any]) -> list[Misconception]:
    """One misconception that shows in several ways."""
    return [Misconception(function, hint) for function in wrong]


# -- by hand ---------------------------------------------------------------------------------------------------
def by_hand() -> tuple[float, float, float]:
    """Jaccard and cosine of two items with 4 and 9 users, 2 of them common; Pearson of two users."""
    return 2 / 11, 2 / sqrt(4 * 9), 6 / sqrt(8 * 6)


BY_HAND = Exercise(
    by_hand,
    expects=(
        "The answer is (Jaccard, cosine, Pearson): three numbers between 0 and 1, in rising order here. Write out "
        "both sets and count; for Pearson, write out the two rows of deviations first. Leave fractions and roots as "
        "they are, or give three decimals."
    ),
    edges=[()],
    misconceptions=[
        *_said_of(
            "Right as far as your decimals go. Give three, or leave fractions and roots as they are.",
            lambda: (0.18, 0.33, 0.87),
            lambda: (2 / 11, 1 / 3, 0.87),
        ),
        *_said_of(
            "Your Jaccard similarity counts the common users twice among all users: someone who is in both sets is "
            "one person in their union.",
            lambda: (2 / 13, 2 / sqrt(4 * 9), 6 / sqrt(8 * 6)),
        ),
        *_said_of(
            "Your first number counts the common users twice above and twice below. That is the Dice coefficient; the "
            "Jaccard similarity asks for the share of the union.",
            lambda: (4 / 13, 2 / sqrt(4 * 9), 6 / sqrt(8 * 6)),
        ),
        *_said_of(
            "Your cosine has no square root: a vector of n ones is not n long.",
            lambda: (2 / 11, 2 / (4 * 9), 6 / sqrt(8 * 6)),
        ),
        *_said_of(
            "Your Pearson correlation takes each user's mean over everything that user rated. In this formula, sums "
            "and means run over the items that both have rated.",
            lambda: (2 / 11, 2 / sqrt(4 * 9), 5.25 / sqrt(8.75 * 6.75)),
            lambda: (2 / 11, 2 / sqrt(4 * 9), 5.25 / sqrt(11 * 9)),
        ),
        *_said_of(
            "Your third number is the cosine of the two rows over the common items. Pearson's correlation takes each "
            "row's mean off first.",
            lambda: (2 / 11, 2 / sqrt(4 * 9), 33 / sqrt(35 * 33)),
        ),
    ],
    rtol=2e-3,
)


# -- cosine ----------------------------------------------------------------------------------------------------
def cosine(x: Row, y: Row) -> float:
    """Cosine of two rows of ratings, absent ones being 0; 0 if one of them is empty."""
    if not x or not y:
        return 0.0
    top = sum(x[i] * y[i] for i in x.keys() & y.keys())
    return top / (_length(x) * _length(y))


def _length(row: Row) -> float:
    return sqrt(sum(r * r for r in row.values()))


def _over_common(x: Row, y: Row) -> tuple[Row, Row]:
    common = sorted(x.keys() & y.keys())
    return {i: x[i] for i in common}, {i: y[i] for i in common}


def _cosine_of_common(x: Row, y: Row) -> float:
    return cosine(*_over_common(x, y))


def _cosine_of_common_unguarded(x: Row, y: Row) -> float:
    a, b = _over_common(x, y)
    return sum(a[i] * b[i] for i in a) / (_length(a) * _length(b)) if x and y else 0.0


def _cosine_without_roots(x: Row, y: Row) -> float:
    return sum(x[i] * y[i] for i in x.keys() & y.keys()) / (_length(x) * _length(y)) ** 2 if x and y else 0.0


def _cosine_of_clicks(x: Row, y: Row) -> float:
    return cosine(dict.fromkeys(x, 1), dict.fromkeys(y, 1))


def _dot(x: Row, y: Row) -> float:
    return sum(x[i] * y[i] for i in x.keys() & y.keys())


def _cosine_of_equal_keys(x: Row, y: Row) -> float:
    """Pairs ratings by their place in the dictionary, not by item."""
    return sum(a * b for a, b in zip(x.values(), y.values())) / (_length(x) * _length(y)) if x and y else 0.0


def _row(stars: Iterable[int]) -> Row:
    """Ratings of A, B, C ...; 0 stars stand for none, so that inputs shrink to short rows."""
    return {item: r for item, r in zip("ABCDE", stars) if r > 0}


ROWS = st.tuples(*[st.integers(0, 5)] * 5).map(lambda stars: _row(stars[::-1]))

COSINE = Exercise(
    cosine,
    expects=(
        "The cosine of positive ratings lies between 0 and 1. It is 1 for a row and any multiple of it, and it falls "
        "when one of the two rates something that the other has not rated."
    ),
    edges=[
        ({}, {}),
        ({}, {"A": 3}),
        ({"A": 3}, {}),
        ({"A": 3}, {"B": 3}),
        ({"A": 1, "B": 2}, {"B": 4, "A": 2}),
        ({"A": 5, "B": 1}, {"A": 4, "C": 3}),
        ({"A": 3, "B": 4}, {"A": 1, "B": 1, "C": 1, "D": 1}),
    ],
    inputs=st.tuples(ROWS, ROWS),
    misconceptions=[
        *_said_of(
            "Your lengths run over the common items only, so two users who share one item have cosine 1 whatever else "
            "they rated. The length of a vector is made of all its entries.",
            _cosine_of_common,
            _cosine_of_common_unguarded,
        ),
        *_said_of(
            "You divide by squared lengths: doubling all ratings of one user changes your value, and an angle does "
            "not depend on how long the vectors are.",
            _cosine_without_roots,
        ),
        *_said_of(
            "Your value looks only at who rated what, as for clicks. Here the ratings themselves are the entries of "
            "the vectors.",
            _cosine_of_clicks,
        ),
        *_said_of(
            "That is the inner product, which grows with the number and the height of the ratings. A cosine is free "
            "of both.",
            _dot,
        ),
        *_said_of(
            "Your ratings meet by their place in the dictionaries. Two ratings belong together if they are of the "
            "same item.",
            _cosine_of_equal_keys,
        ),
    ],
)


# -- Pearson ---------------------------------------------------------------------------------------------------
def pearson(x: Row, y: Row) -> float | None:
    """Pearson's correlation over the common items; None for fewer than two, or where one row does not vary there."""
    common = sorted(x.keys() & y.keys())
    return _correlation([x[i] for i in common], [y[i] for i in common])


def _correlation(x: list[float], y: list[float]) -> float | None:
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    return _centred_cosine(x, y, sum(x) / len(x), sum(y) / len(y))


def _centred_cosine(x: list[float], y: list[float], mean_x: float, mean_y: float) -> float | None:
    top = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y))
    bottom = sqrt(sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y))
    return top / bottom if bottom > 0 else None


def _pearson_with_own_means(x: Row, y: Row) -> float | None:
    common = sorted(x.keys() & y.keys())
    if len(common) < 2:
        return None
    return _centred_cosine([x[i] for i in common], [y[i] for i in common], _mean(x), _mean(y))


def _pearson_with_own_means_guarded(x: Row, y: Row) -> float | None:
    return None if pearson(x, y) is None else _pearson_with_own_means(x, y)


def _pearson_over_union(x: Row, y: Row) -> float | None:
    union = sorted(x.keys() | y.keys())
    return _correlation([x.get(i, 0) for i in union], [y.get(i, 0) for i in union])


def _pearson_over_union_guarded(x: Row, y: Row) -> float | None:
    return None if pearson(x, y) is None else _pearson_over_union(x, y)


def _pearson_uncentred(x: Row, y: Row) -> float | None:
    return None if pearson(x, y) is None else _cosine_of_common(x, y)


def _pearson_uncentred_unguarded(x: Row, y: Row) -> float | None:
    return None if len(x.keys() & y.keys()) < 2 else _cosine_of_common(x, y)


def _pearson_or_zero(x: Row, y: Row) -> float:
    return pearson(x, y) or 0.0


def _pearson_or_nan(x: Row, y: Row) -> float:
    value = pearson(x, y)
    return nan if value is None else value


def _pearson_by_two_counts(x: Row, y: Row) -> float | None:
    value, n = pearson(x, y), len(x.keys() & y.keys())
    return None if value is None else value * n / (n - 1)


def _pearson_by_the_other_two_counts(x: Row, y: Row) -> float | None:
    value, n = pearson(x, y), len(x.keys() & y.keys())
    return None if value is None else value * (n - 1) / n


def _mean(row: Row) -> float:
    return sum(row.values()) / len(row)


PEARSON = Exercise(
    pearson,
    expects=(
        "The correlation lies between -1 and 1 and reads nothing but the ratings of common items. It does not change "
        "when one user adds a star to every rating, and it is None where one of the two does not vary or fewer than "
        "two items are common."
    ),
    edges=[
        ({}, {}),
        ({"A": 3}, {"A": 4}),
        ({"A": 3, "B": 4}, {"C": 2, "D": 5}),
        ({"A": 3, "B": 4, "C": 1}, {"A": 2, "C": 2, "D": 5}),
        ({"A": 2, "B": 2}, {"A": 4, "B": 1}),
        ({"A": 1, "B": 2}, {"B": 5, "A": 3}),
        ({"A": 1, "B": 2}, {"A": 5, "B": 3}),
        ({"A": 1, "B": 2, "C": 1, "D": 2}, {"A": 1, "B": 1, "C": 2, "D": 2}),
        ({"A": 1, "B": 2, "C": 3, "D": 5}, {"A": 2, "B": 3, "C": 4, "E": 1}),
    ],
    inputs=st.tuples(ROWS, ROWS),
    misconceptions=[
        *_said_of(
            "Your means run over everything that a user rated. In this formula sums and means run over the common "
            "items only: how someone rated things that the other does not know is no part of the comparison.",
            _pearson_with_own_means,
            _pearson_with_own_means_guarded,
        ),
        *_said_of(
            "You read a rating that is not there as 0. Nobody gave 0 stars: an item that one of the two has not rated "
            "says nothing about how alike they are.",
            _pearson_over_union,
            _pearson_over_union_guarded,
        ),
        *_said_of(
            "That is the cosine over the common items. It finds all generous raters alike; take off what is habit "
            "first.",
            _pearson_uncentred,
            _pearson_uncentred_unguarded,
        ),
        *_said_of(
            "Right where the correlation exists. Where it does not, 0 would say that two users are unrelated, and a "
            "NaN would spoil every sum it enters. The answer there is None: nothing is known.",
            _pearson_or_zero,
            _pearson_or_nan,
        ),
        *_said_of(
            "Your values are off by a factor of n and n - 1: the covariance and the standard deviations do not divide "
            "by the same number. A correlation needs no such division at all, as it cancels.",
            _pearson_by_two_counts,
            _pearson_by_the_other_two_counts,
        ),
    ],
)


# -- UserCF ----------------------------------------------------------------------------------------------------
def predict(user: int, item: str, ratings: dict[int, Row], similarity: dict[int, float], k: int) -> float:
    """The user's mean plus the weighted deviations of the k most similar users who rated the item."""
    return _mean(ratings[user]) + _vote(item, ratings, similarity, _nearest_raters(item, ratings, similarity, k))


def _nearest_raters(item: str, ratings: dict[int, Row], similarity: dict[int, float], k: int) -> list[int]:
    raters = [v for v in similarity if item in ratings[v]]
    return sorted(raters, key=lambda v: (-similarity[v], v))[:k]


def _vote(item: str, ratings: dict[int, Row], similarity: dict[int, float], neighbours: list[int]) -> float:
    weight = sum(abs(similarity[v]) for v in neighbours)
    if weight == 0:
        return 0.0
    return sum(similarity[v] * (ratings[v][item] - _mean(ratings[v])) for v in neighbours) / weight


def _predict_from_raw(user: int, item: str, ratings: dict[int, Row], similarity: dict[int, float], k: int) -> float:
    nearest = _nearest_raters(item, ratings, similarity, k)
    weight = sum(abs(similarity[v]) for v in nearest)
    return sum(similarity[v] * ratings[v][item] for v in nearest) / weight if weight else _mean(ratings[user])


def _predict_signed(user: int, item: str, ratings: dict[int, Row], similarity: dict[int, float], k: int) -> float:
    nearest = _nearest_raters(item, ratings, similarity, k)
    weight = sum(similarity[v] for v in nearest)
    top = sum(similarity[v] * (ratings[v][item] - _mean(ratings[v])) for v in nearest)
    return _mean(ratings[user]) + (top / weight if weight else 0.0)


def _predict_signed_unguarded(
    user: int, item: str, ratings: dict[int, Row], similarity: dict[int, float], k: int
) -> float:
    nearest = _nearest_raters(item, ratings, similarity, k)
    if not any(similarity[v] for v in nearest):
        return _mean(ratings[user])
    top = sum(similarity[v] * (ratings[v][item] - _mean(ratings[v])) for v in nearest)
    return _mean(ratings[user]) + top / sum(similarity[v] for v in nearest)


def _predict_nearest_of_all(
    user: int, item: str, ratings: dict[int, Row], similarity: dict[int, float], k: int
) -> float:
    nearest = sorted(similarity, key=lambda v: (-similarity[v], v))[:k]
    return _mean(ratings[user]) + _vote(item, ratings, similarity, [v for v in nearest if item in ratings[v]])


def _predict_from_positive(
    user: int, item: str, ratings: dict[int, Row], similarity: dict[int, float], k: int
) -> float:
    return predict(user, item, ratings, {v: s for v, s in similarity.items() if s > 0}, k)


def _predict_strongest(user: int, item: str, ratings: dict[int, Row], similarity: dict[int, float], k: int) -> float:
    raters = [v for v in similarity if item in ratings[v]]
    strongest = sorted(raters, key=lambda v: (-abs(similarity[v]), v))[:k]
    return _mean(ratings[user]) + _vote(item, ratings, similarity, strongest)


def _predict_zero_alone(user: int, item: str, ratings: dict[int, Row], similarity: dict[int, float], k: int) -> float:
    nearest = _nearest_raters(item, ratings, similarity, k)
    return predict(user, item, ratings, similarity, k) if any(similarity[v] for v in nearest) else 0.0


def _cell(own: list[int], others: list[tuple[int, int, int | None]], k: int) -> Arguments:
    """What will user 0 give A? Each of the others: stars for A (none if not positive), for B, and 4 times s."""
    ratings = {0: _row([0, *own])} | {v: _row(stars) for v, (*stars, _) in enumerate(others, 1)}
    similarity = {v: s / 4 for v, (_, _, s) in enumerate(others, 1) if s is not None}
    return 0, "A", ratings, similarity, k


CELLS = st.builds(
    _cell,
    st.lists(st.integers(1, 5), min_size=1, max_size=2),
    st.lists(st.tuples(st.integers(-2, 5), st.integers(1, 5), st.integers(-4, 4) | st.none()), max_size=5),
    st.integers(1, 3),
)

PANEL = {
    0: {"V": 5, "W": 2, "X": 4},
    1: {"V": 4, "W": 1, "X": 3, "Y": 4},
    2: {"V": 2, "W": 5, "X": 3, "Y": 1},
    3: {"V": 5, "W": 3, "X": 5, "Y": 5},
    4: {"V": 4, "W": 2},
}

PREDICT = Exercise(
    predict,
    expects=(
        "It is the user's own mean where nobody counts. Otherwise it is that mean plus a weighted average of the "
        "neighbours' deviations, so it is never further from the mean than the greatest of these deviations."
    ),
    edges=[
        (0, "Y", PANEL, {1: 1.0, 2: -1.0, 3: 0.875}, 2),
        (0, "Y", PANEL, {1: 1.0, 2: -1.0, 3: 0.875}, 3),
        (0, "Y", PANEL, {1: 0.5, 2: 0.5, 3: 0.5, 4: 1.0}, 1),
        (0, "Y", PANEL, {3: 0.5, 2: 0.5, 1: 0.5}, 2),
        (0, "Y", PANEL, {1: 0.5, 2: -0.5}, 2),
        (0, "Y", PANEL, {2: -0.5}, 1),
        (0, "Y", PANEL, {1: 0.0, 3: 0.0}, 2),
        (0, "Y", PANEL, {4: 1.0}, 2),
        (0, "Z", PANEL, {1: 1.0}, 2),
        (0, "Y", PANEL, {}, 1),
        (4, "Y", PANEL, {0: 0.75, 2: 0.25, 3: 0.5}, 3),
        (4, "X", {1: {"X": 4}, 3: {"X": 5, "Y": 1}, 4: {"Y": 3, "Z": 4}}, {1: 1.0, 3: 0.25}, 2),
    ],
    inputs=CELLS,
    misconceptions=[
        *_said_of(
            "You average the neighbours' ratings as they stand. A 4 from someone who mostly gives 5 is no praise: "
            "what a neighbour tells is how far the item lies above or below what that neighbour usually gives.",
            _predict_from_raw,
        ),
        *_said_of(
            "You divide by the sum of the similarities. With a negative one among them that sum shrinks, can reach 0, "
            "and throws the prediction far off the scale; the weights have to be counted by their size.",
            _predict_signed,
            _predict_signed_unguarded,
        ),
        *_said_of(
            "Your k nearest are taken among all users, and some of them have not rated the item. Here k people are "
            "asked who can answer.",
            _predict_nearest_of_all,
        ),
        *_said_of(
            "You leave out neighbours of negative similarity. That can be wise, but this formula keeps them: what "
            "someone of opposite taste dislikes speaks for the item.",
            _predict_from_positive,
        ),
        *_said_of(
            "Your nearest are those with the largest absolute similarity. Nearest means most similar, so the negative "
            "ones come last.",
            _predict_strongest,
        ),
        *_said_of(
            "Where no neighbour counts you predict 0. Nobody's opinion is not a bad opinion; what is known of the "
            "user even then?",
            _predict_zero_alone,
        ),
    ],
)


# -- ItemCF with IUF -------------------------------------------------------------------------------------------
def item_iuf(baskets: Baskets) -> dict[Any, dict[Any, float]]:
    """Item similarities with inverse user frequency, in one pass over the baskets."""
    count: Counter[Any] = Counter()
    together: dict[Any, dict[Any, float]] = {}
    for basket in baskets:
        count.update(basket)
        for i in basket:
            for j in basket - {i}:
                row = together.setdefault(i, {})
                row[j] = row.get(j, 0.0) + 1 / log(1 + len(basket))
    return {i: {j: s / sqrt(count[i] * count[j]) for j, s in row.items()} for i, row in together.items()}


def _summed(baskets: Baskets, weight: Callable[[int], float], own: bool = False) -> dict[Any, dict[Any, float]]:
    """Sum of weights over the baskets that hold two items, with or without an item's sum with itself."""
    together: dict[Any, dict[Any, float]] = {}
    for basket in baskets:
        w = weight(len(basket))
        for i in basket:
            for j in basket if own else basket - {i}:
                row = together.setdefault(i, {})
                row[j] = row.get(j, 0.0) + w
    return together


def _divided(together: dict[Any, dict[Any, float]], bottom: Callable[[Any, Any], float]) -> dict[Any, dict[Any, float]]:
    return {i: {j: s / bottom(i, j) for j, s in row.items()} for i, row in together.items()}


def _iuf(n: int) -> float:
    return 1 / log(1 + n)


def _counts(baskets: Baskets) -> Counter[Any]:
    return Counter(i for basket in baskets for i in basket)


def _iuf_without_weights(baskets: Baskets) -> dict[Any, dict[Any, float]]:
    n = _counts(baskets)
    return _divided(_summed(baskets, lambda _: 1.0), lambda i, j: sqrt(n[i] * n[j]))


def _iuf_without_norms(baskets: Baskets) -> dict[Any, dict[Any, float]]:
    return _summed(baskets, _iuf)


def _iuf_without_roots(baskets: Baskets) -> dict[Any, dict[Any, float]]:
    n = _counts(baskets)
    return _divided(_summed(baskets, _iuf), lambda i, j: n[i] * n[j])


def _iuf_with_self(baskets: Baskets) -> dict[Any, dict[Any, float]]:
    n = _counts(baskets)
    return _divided(_summed(baskets, _iuf, own=True), lambda i, j: sqrt(n[i] * n[j]))


def _iuf_of_plain_log(baskets: Baskets) -> dict[Any, dict[Any, float]]:
    n = _counts(baskets)
    return _divided(_summed(baskets, lambda size: 1 / log(size)), lambda i, j: sqrt(n[i] * n[j]))


def _iuf_of_plain_log_guarded(baskets: Baskets) -> dict[Any, dict[Any, float]]:
    n = _counts(baskets)
    together = _summed(baskets, lambda size: 1 / log(size) if size > 1 else 0.0)
    return _divided(together, lambda i, j: sqrt(n[i] * n[j]))


def _iuf_in_norms(baskets: Baskets) -> dict[Any, dict[Any, float]]:
    own = _summed(baskets, _iuf, own=True)
    return _divided(_summed(baskets, _iuf), lambda i, j: sqrt(own[i][i] * own[j][j]))


def _iuf_with_empty_rows(baskets: Baskets) -> dict[Any, dict[Any, float]]:
    return {i: {} for i in _counts(baskets)} | item_iuf(baskets)


def _shop(rng: np.random.Generator) -> Arguments:
    """Many items, short baskets: few pairs ever meet."""
    return ([set(rng.choice(8000, size, replace=False).tolist()) for size in rng.integers(2, 11, 2000)],)


BASKETS = st.lists(st.integers(1, 31).map(lambda bits: {j for n, j in enumerate("ABCDE") if bits >> n & 1}), max_size=6)

ITEM_IUF = Exercise(
    item_iuf,
    expects=(
        "Every two items that share a basket stand in each other's row with the same positive value; no item stands "
        "in its own row, and nothing else stands there at all. Every basket that holds both adds to the value, and the "
        "less the longer it is."
    ),
    edges=[
        ([],),
        ([{"A"}],),
        ([{"A"}, {"B"}, {"A"}],),
        ([{"A", "B"}],),
        ([{"A", "B"}, {"A"}, {"A", "B", "C"}],),
        ([{"A", "E", "D"}, {"A", "F", "D"}, {"C", "E", "D"}, {"C", "F", "D"}, {"B", "G", "D"}, {"B", "D"}, {"D"}],),
    ],
    inputs=st.tuples(BASKETS),
    large=_shop,
    misconceptions=[
        *_said_of(
            "That is the plain cosine: every basket speaks with weight 1. Someone who takes everything makes all "
            "pairs of items meet and says little about any of them.",
            _iuf_without_weights,
        ),
        *_said_of(
            "You add the weights and do not divide by the items' own counts, so the hits come out similar to "
            "everything.",
            _iuf_without_norms,
        ),
        *_said_of(
            "You divide by the product of the two counts. The formula takes its square root; without it an item that "
            "was met once beats all others.",
            _iuf_without_roots,
        ),
        *_said_of(
            "An item stands in its own row. That it is like itself is no recommendation, and it would take the first "
            "place of every list.",
            _iuf_with_self,
        ),
        *_said_of(
            "Your weight is 1 over the logarithm of the basket's size. What stands in the logarithm is one more, so "
            "that a basket of one item has a weight, too.",
            _iuf_of_plain_log,
            _iuf_of_plain_log_guarded,
        ),
        *_said_of(
            "Your weights stand in the denominator, too, as if the counts of an item were to be weighted. There each "
            "of an item's users counts 1.",
            _iuf_in_norms,
        ),
        *_said_of(
            "Items that never share a basket have a row in your answer, an empty one. They are left out.",
            _iuf_with_empty_rows,
        ),
    ],
)


# -- damping and shrinkage -------------------------------------------------------------------------------------
def damped_neighbours(item: int, baskets: Baskets, k: int, alpha: float, beta: float) -> list[tuple[int, float]]:
    """The k nearest of an item by the damped and shrunk similarity: (item, similarity), best first."""
    n = _counts(baskets)
    common = _counts([basket for basket in baskets if item in basket])
    similar = {
        j: n_ij / (n[item] ** (1 - alpha) * n[j] ** alpha) * n_ij / (n_ij + beta)
        for j, n_ij in common.items()
        if j != item
    }
    return _best(similar, k)


def _best(similar: dict[int, float], k: int) -> list[tuple[int, float]]:
    return sorted(similar.items(), key=lambda pair: (-pair[1], pair[0]))[:k]


def _all_damped(item: int, baskets: Baskets, similarity: Callable[[int, int, int], float]) -> dict[int, float]:
    """A similarity of n_i, n_j, n_ij to all that share a basket with the item."""
    n = _counts(baskets)
    common = _counts([basket for basket in baskets if item in basket])
    return {j: similarity(n[item], n[j], n_ij) for j, n_ij in common.items() if j != item}


def _damped_on_item(item: int, baskets: Baskets, k: int, alpha: float, beta: float) -> list[tuple[int, float]]:
    return damped_neighbours(item, baskets, k, 1 - alpha, beta)


def _damped_shrunk_below(item: int, baskets: Baskets, k: int, alpha: float, beta: float) -> list[tuple[int, float]]:
    return _best(_all_damped(item, baskets, lambda a, b, n: n / (a ** (1 - alpha) * b**alpha + beta)), k)


def _damped_shrunk_by_item(item: int, baskets: Baskets, k: int, alpha: float, beta: float) -> list[tuple[int, float]]:
    return _best(_all_damped(item, baskets, lambda a, b, n: n / (a ** (1 - alpha) * b**alpha) * a / (a + beta)), k)


def _damped_shrunk_late(item: int, baskets: Baskets, k: int, alpha: float, beta: float) -> list[tuple[int, float]]:
    chosen = damped_neighbours(item, baskets, k, alpha, 0)
    shrunk = dict(damped_neighbours(item, baskets, len(_counts(baskets)), alpha, beta))
    return [(j, shrunk[j]) for j, _ in chosen]


def _damped_shrunk_late_sorted(
    item: int, baskets: Baskets, k: int, alpha: float, beta: float
) -> list[tuple[int, float]]:
    return _best(dict(_damped_shrunk_late(item, baskets, k, alpha, beta)), k)


def _damped_ties_to_higher(item: int, baskets: Baskets, k: int, alpha: float, beta: float) -> list[tuple[int, float]]:
    similar = damped_neighbours(item, baskets, len(_counts(baskets)), alpha, beta)
    return sorted(similar, key=lambda pair: (pair[1], pair[0]), reverse=True)[:k]


def _damped_with_self(item: int, baskets: Baskets, k: int, alpha: float, beta: float) -> list[tuple[int, float]]:
    similar = damped_neighbours(item, baskets, len(_counts(baskets)), alpha, beta)
    n = _counts(baskets)[item]
    return _best(dict(similar) | ({item: n / (n + beta)} if n else {}), k)


DAMPED = st.tuples(
    st.integers(0, 4),
    st.lists(st.integers(1, 31).map(lambda bits: {j for j in range(5) if bits >> j & 1}), max_size=8),
    st.integers(1, 4),
    st.sampled_from((0.5, 0.0, 0.25, 0.75, 1.0)),
    st.sampled_from((0, 1, 2, 10)),
)


def _ties_are_plain(arguments: Arguments) -> bool:
    """Whether similarities are equal only where all counts are: then every way to compute them agrees on the ties."""
    item, baskets, _, alpha, beta = arguments
    n = _counts(baskets)
    common = _counts([basket for basket in baskets if item in basket])
    similar = damped_neighbours(item, baskets, len(n), alpha, beta)
    return all((n[i], common[i]) == (n[j], common[j]) or s - t > 1e-9 * s for (i, s), (j, t) in pairwise(similar))


DAMPED_NEIGHBOURS = Exercise(
    damped_neighbours,
    expects=(
        "The list holds at most k pairs (item, similarity) of other items that share a basket with the item, from the "
        "most similar on, and of equals the lower code first. With alpha = 0 and beta = 0 the similarity is the "
        "share of the item's users who have the other one, too; a greater beta makes every similarity smaller, most "
        "of all those with few common users."
    ),
    edges=[
        (0, [], 2, 0.5, 1),
        (0, [{0}], 2, 0.5, 1),
        (0, [{1, 2}], 2, 0.5, 1),
        (0, [{3, 0}, {2, 0}, {1, 0}], 2, 0.5, 1),
        (0, [{0, 1}, {0, 1}, {0, 2}, {1}, {1}, {1}], 3, 0.0, 0),
        (0, [{0, 1}, {0, 1}, {0, 2}, {1}, {1}, {1}], 3, 1.0, 0),
        (0, [{0, 1}, {0, 1}, {0, 2}, {1}, {1}, {1}], 1, 0.75, 0),
        (0, [{0, 1}, {0, 1}, {0, 2}, {1}, {1}, {1}], 1, 0.75, 10),
        (2, [{2, 1}, {2, 1}, {2, 1}, {2, 0}, {1}, {1}], 1, 0.5, 4),
    ],
    inputs=DAMPED.filter(_ties_are_plain),
    misconceptions=[
        *_said_of(
            "Your exponents are swapped: you damp the item whose neighbours are sought. Its own popularity is the "
            "same for all candidates; the one to be held back is the candidate.",
            _damped_on_item,
        ),
        *_said_of(
            "You add beta to the denominator of the similarity. That shrinks by popularity; how far a similarity is "
            "to be believed depends on how many users it rests on, the common ones.",
            _damped_shrunk_below,
        ),
        *_said_of(
            "Your credibility counts all users of the item. What is uncertain is the overlap: it rests on the common "
            "users.",
            _damped_shrunk_by_item,
        ),
        *_said_of(
            "You choose the k nearest first and shrink afterwards. By then chance has filled the list: those with one "
            "common user got in, and those who deserve their place are out.",
            _damped_shrunk_late,
            _damped_shrunk_late_sorted,
        ),
        *_said_of(
            "Right but for ties: of equally similar items the lower code comes first. Turning a sorted list round "
            "turns its ties round, too.",
            _damped_ties_to_higher,
        ),
        *_said_of(
            "The item is among its own neighbours, and takes a place that another one could have.",
            _damped_with_self,
        ),
    ],
)


# -- top-k in blocks -------------------------------------------------------------------------------------------
def top_k_blockwise(matrix: sparse.csr_array, k: int, block: int) -> tuple[NDArray[np.int64], Array]:
    """The k nearest items of every item by Jaccard, worked out for a block of items at a time."""
    items = matrix.T.tocsr()  # [I, U]
    count = np.diff(items.indptr)
    codes = np.full((len(count), k), -1)
    values = np.zeros((len(count), k))
    for first in range(0, len(count), block):
        shared = (items[first : first + block] @ matrix).tocsr()  # [block, I]
        for i, (start, stop) in enumerate(pairwise(shared.indptr), first):
            others = shared.indices[start:stop] != i
            j, n_ij = shared.indices[start:stop][others], shared.data[start:stop][others]
            similar = n_ij / (count[i] + count[j] - n_ij)
            best = np.lexsort((j, -similar))[:k]
            codes[i, : len(best)] = j[best]
            values[i, : len(best)] = similar[best]
    return codes, values


def _scores(matrix: sparse.csr_array) -> Array:
    """Jaccard of all pairs of few items, an item with itself included; 0 / 0 is 0."""
    dense = matrix.toarray()
    common, count = dense.T @ dense, dense.sum(axis=0)
    scores: Array = common / np.maximum(count[:, None] + count - common, 1.0)
    return scores


def _listed(scores: Array, k: int, above: float = 0.0, higher: bool = False) -> tuple[NDArray[np.int64], Array]:
    """The k best of each row of few scores, of those above a value; ties to the lower code, or to the higher one."""
    n = len(scores)
    codes, values = np.full((n, k), -1), np.zeros((n, k))
    for i, row in enumerate(scores):
        order = sorted(range(n), key=lambda j: (-row[j], -j if higher else j))
        best = [j for j in order if row[j] > above][:k]
        codes[i, : len(best)], values[i, : len(best)] = best, row[best]
    return codes, values


def _others(scores: Array) -> Array:
    apart = scores.copy()
    np.fill_diagonal(apart, 0.0)
    return apart


def _blockwise_with_self(matrix: sparse.csr_array, k: int, block: int) -> tuple[NDArray[np.int64], Array]:
    return _listed(_scores(matrix), k)


def _blockwise_ties_to_higher(matrix: sparse.csr_array, k: int, block: int) -> tuple[NDArray[np.int64], Array]:
    return _listed(_others(_scores(matrix)), k, higher=True)


def _blockwise_filled_up(matrix: sparse.csr_array, k: int, block: int) -> tuple[NDArray[np.int64], Array]:
    scores = _scores(matrix)
    np.fill_diagonal(scores, -1.0)
    return _listed(scores, k, above=-0.5)


def _blockwise_filled_up_with_self(matrix: sparse.csr_array, k: int, block: int) -> tuple[NDArray[np.int64], Array]:
    return _listed(_others(_scores(matrix)), k, above=-0.5)


def _blockwise_filled_with_code_0(matrix: sparse.csr_array, k: int, block: int) -> tuple[NDArray[np.int64], Array]:
    codes, values = top_k_blockwise(matrix, k, block)
    return np.maximum(codes, 0), values


def _blockwise_full_blocks_only(matrix: sparse.csr_array, k: int, block: int) -> tuple[NDArray[np.int64], Array]:
    codes, values = top_k_blockwise(matrix, k, block)
    done = len(codes) // block * block
    codes[done:], values[done:] = -1, 0.0
    return codes, values


def _blockwise_local_self(matrix: sparse.csr_array, k: int, block: int) -> tuple[NDArray[np.int64], Array]:
    scores = _scores(matrix)
    for i in range(len(scores)):
        scores[i, i % block] = 0.0
    return _listed(scores, k)


def _blockwise_within_blocks(matrix: sparse.csr_array, k: int, block: int) -> tuple[NDArray[np.int64], Array]:
    scores = _others(_scores(matrix))
    number = np.arange(len(scores)) // block
    return _listed(np.where(number[:, None] == number, scores, 0.0), k)


def _blockwise_cosine(matrix: sparse.csr_array, k: int, block: int) -> tuple[NDArray[np.int64], Array]:
    dense = matrix.toarray()
    count = np.maximum(dense.sum(axis=0), 1.0)
    return _listed(_others(dense.T @ dense / np.sqrt(np.outer(count, count))), k)


def _blockwise_of_users(matrix: sparse.csr_array, k: int, block: int) -> tuple[NDArray[np.int64], Array]:
    return top_k_blockwise(matrix.T.tocsr(), k, block)


def _clicks(n_items: int, users: list[int], k: int, block: int) -> Arguments:
    return _matrix([[bits >> i & 1 for i in range(n_items)] for bits in users]), k, block


def _matrix(rows: list[list[int]]) -> sparse.csr_array:
    return sparse.csr_array(np.array(rows, dtype=np.float64))


def _catalogue(rng: np.random.Generator) -> Arguments:
    """20,000 items, of which a few are much clicked: all pairs as doubles are 3.2 GB."""
    n_users, n_items, clicks = 30_000, 20_000, 150_000
    item = (n_items * rng.random(clicks) ** 1.6).astype(np.int64)
    cell = np.unique(rng.integers(n_users, size=clicks) * n_items + rng.permutation(n_items)[item])
    matrix = sparse.csr_array((np.ones(len(cell)), np.divmod(cell, n_items)), shape=(n_users, n_items))
    return matrix, 10, 500


TOP_K_BLOCKWISE = Exercise(
    top_k_blockwise,
    expects=(
        "Row i of both arrays belongs to item i: other items that share a user with it, from the most similar on, and "
        "of equals the lower code first; places that are left hold code -1 and value 0. The block size changes "
        "nothing in the answer."
    ),
    edges=[
        (_matrix([[1]]), 1, 1),
        (_matrix([[0, 0], [0, 0]]), 1, 1),
        (_matrix([[1, 1, 1, 1]]), 2, 3),
        (_matrix([[1, 1, 0], [0, 1, 1]]), 3, 2),
        (_matrix([[1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [0, 1, 0, 0, 1]]), 2, 2),
        (_matrix([[1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [0, 1, 0, 0, 1]]), 4, 50),
        (_matrix([[0, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 1]]), 5, 1),
    ],
    inputs=st.builds(
        _clicks,
        st.integers(1, 6),
        st.lists(st.integers(0, 63), min_size=1, max_size=5),
        st.integers(1, 4),
        st.integers(1, 4),
    ),
    large=_catalogue,
    misconceptions=[
        *_said_of(
            "An item is its own nearest neighbour in your answer. It shares all its users with itself, and that has "
            "to be kept out of the lists.",
            _blockwise_with_self,
        ),
        *_said_of(
            "You do keep something out, but not the item itself in every block: row 0 of the second block is not item "
            "0.",
            _blockwise_local_self,
        ),
        *_said_of(
            "Right but for ties: of equally similar items the lower code comes first. Sorting upwards and turning the "
            "order round turns the ties round, too.",
            _blockwise_ties_to_higher,
        ),
        *_said_of(
            "Where an item has fewer than k neighbours, you fill the list with items that share no user with it. Such "
            "a place holds -1, which is no item.",
            _blockwise_filled_up,
            _blockwise_filled_up_with_self,
        ),
        *_said_of(
            "Places that are left over hold 0 in your codes, and 0 is an item. Mark them with -1.",
            _blockwise_filled_with_code_0,
        ),
        *_said_of(
            "The last items have no neighbours in your answer: where the number of items is no multiple of the block "
            "size, the last block is shorter and still needs its turn.",
            _blockwise_full_blocks_only,
        ),
        *_said_of(
            "You compare the items of a block with one another only. The block is a part of the rows; each of them "
            "meets all items.",
            _blockwise_within_blocks,
        ),
        *_said_of(
            "That is the cosine. This one asks for Jaccard's similarity, whose denominator is the size of the union.",
            _blockwise_cosine,
        ),
        *_said_of(
            "You compare the rows of the matrix, which are users. Items are its columns.",
            _blockwise_of_users,
        ),
    ],
    rtol=1e-6,
)


# -- one step of ALS -------------------------------------------------------------------------------------------
def als_user(item_factors: Array, items: list[int], alpha: float, reg: float) -> Array:
    """The vector of a user who clicked some items, from the normal equations of implicit ALS."""
    clicked = item_factors[items]  # [n_u, D]
    left = item_factors.T @ item_factors + alpha * clicked.T @ clicked + reg * np.eye(item_factors.shape[1])
    solution: Array = np.linalg.solve(left, (1 + alpha) * clicked.sum(axis=0))
    return solution


def _als_solved(q: Array, items: list[int], everywhere: float, extra: float, reg: float, right: float) -> Array:
    """Weight ``everywhere`` on all items, ``extra`` on the clicked ones; ``right`` is what a click says."""
    clicked = q[items]
    left = everywhere * q.T @ q + extra * clicked.T @ clicked + reg * np.eye(q.shape[1])
    solution: Array = np.linalg.solve(left, right * clicked.sum(axis=0))
    return solution


def _als_clicked_only(q: Array, items: list[int], alpha: float, reg: float) -> Array:
    return _als_solved(q, items, 0, 1 + alpha, reg, 1 + alpha)


def _als_confidence_alpha(q: Array, items: list[int], alpha: float, reg: float) -> Array:
    return _als_solved(q, items, 1, alpha, reg, alpha)


def _als_confidence_twice(q: Array, items: list[int], alpha: float, reg: float) -> Array:
    return _als_solved(q, items, 1, 1 + alpha, reg, 1 + alpha)


def _als_unweighted_right(q: Array, items: list[int], alpha: float, reg: float) -> Array:
    return _als_solved(q, items, 1, alpha, reg, 1)


def _als_without_reg(q: Array, items: list[int], alpha: float, reg: float) -> Array:
    return _als_solved(q, items, 1, alpha, 0, 1 + alpha)


def _als_without_reg_least_squares(q: Array, items: list[int], alpha: float, reg: float) -> Array:
    clicked = q[items]
    left = q.T @ q + alpha * clicked.T @ clicked
    solution: Array = np.linalg.lstsq(left, (1 + alpha) * clicked.sum(axis=0), rcond=None)[0]
    return solution


def _als_reg_by_items(q: Array, items: list[int], alpha: float, reg: float) -> Array:
    return _als_solved(q, items, 1, alpha, reg * len(items), 1 + alpha)


def _als_reg_by_items_guarded(q: Array, items: list[int], alpha: float, reg: float) -> Array:
    return _als_solved(q, items, 1, alpha, reg * max(len(items), 1), 1 + alpha)


def _als_reg_everywhere(q: Array, items: list[int], alpha: float, reg: float) -> Array:
    clicked = q[items]
    left = q.T @ q + alpha * clicked.T @ clicked + reg
    solution: Array = np.linalg.solve(left, (1 + alpha) * clicked.sum(axis=0))
    return solution


@st.composite
def _users(draw: st.DrawFn) -> Arguments:
    n_items, d = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    halves = st.integers(-4, 4).map(lambda n: n / 2)
    q = draw(st.lists(st.lists(halves, min_size=d, max_size=d), min_size=n_items, max_size=n_items))
    items = draw(st.lists(st.integers(0, n_items - 1), unique=True))
    return np.array(q), items, draw(st.sampled_from((1.0, 0.0, 2.0, 9.0))), draw(st.sampled_from((1.0, 0.5, 2.0)))


def _wide(rng: np.random.Generator) -> Arguments:
    """60,000 items: their confidences as a diagonal matrix are 29 GB."""
    n_items = 60_000
    return rng.normal(0, 0.1, (n_items, 4)).round(4), rng.permutation(n_items)[:40].tolist(), 40.0, 0.5


BRIDGE = np.array([[1.0, 0.0], [1.0, 1.0]])

ALS_USER = Exercise(
    als_user,
    expects=(
        "The answer is one vector of d numbers at which the weighted squared error over all items, plus reg times its "
        "squared length, is least: an item that was not clicked pulls its prediction towards 0 with weight 1, one "
        "that was clicked towards 1 with weight 1 + alpha. A user without items gets zeros."
    ),
    edges=[
        (BRIDGE, [0], 9.0, 1.0),
        (BRIDGE, [1, 0], 9.0, 1.0),
        (BRIDGE, [], 9.0, 1.0),
        (np.array([[2.0]]), [0], 2.0, 0.5),
        (np.zeros((3, 2)), [1], 2.0, 0.5),
        (np.array([[1.0, 1.0, 0.0]]), [0], 0.0, 0.5),
        (np.array([[1.0, 2.0], [2.0, 0.5], [0.0, -1.0]]), [2, 0], 4.0, 2.0),
    ],
    inputs=_users(),
    large=_wide,
    misconceptions=[
        *_said_of(
            "Your sums run over the clicked items only, where every preference is 1. Then nothing says no: the empty "
            "cells have to be in the equations, with weight 1 each.",
            _als_clicked_only,
        ),
        *_said_of(
            "Your right-hand side weighs a click with alpha. The 1 that every cell has is missing there: the split "
            "into 1 and the rest belongs to the left-hand side.",
            _als_confidence_alpha,
        ),
        *_said_of(
            "On your left-hand side a clicked item counts with 2 + alpha: once among all items, and then with its "
            "whole confidence. Only what exceeds 1 is to be added.",
            _als_confidence_twice,
        ),
        *_said_of(
            "Your right-hand side weighs a click with 1. The confidences multiply the preferences there, too.",
            _als_unweighted_right,
        ),
        *_said_of(
            "Regularization is missing. Without it the equations have no single solution as soon as the items do not "
            "span the space of the factors.",
            _als_without_reg,
            _als_without_reg_least_squares,
        ),
        *_said_of(
            "You add regularization to every entry of the matrix. A penalty on the squared length of the vector has a "
            "gradient that touches the diagonal only.",
            _als_reg_everywhere,
        ),
        *_said_of(
            "You multiply the regularization by the number of clicked items. Some authors do; in this loss it is "
            "charged once a user.",
            _als_reg_by_items,
            _als_reg_by_items_guarded,
        ),
    ],
    rtol=1e-7,
)


EXERCISES = by_name(BY_HAND, COSINE, PEARSON, PREDICT, ITEM_IUF, DAMPED_NEIGHBOURS, TOP_K_BLOCKWISE, ALS_USER)
check = checker(EXERCISES)
