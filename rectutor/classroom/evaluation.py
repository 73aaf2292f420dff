"""The exercises of chapter 2, measuring a recommender: right answers, and the wrong ones that people give."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log2, nan
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from rectutor.classroom.exercise import Arguments, Exercise, Misconception, by_name, checker

Lists = list[list[int]]
"""What each user was recommended, best first."""
Likes = list[set[int]]
"""What each user likes."""
Relevance = dict[int, int]
"""What one user likes, and how much."""
Rows = list[tuple[int, int, int]]
"""(user, item, time)."""
Leaks = dict[str, list[int]]
Labels = NDArray[np.int64]
Array = NDArray[np.float64]
Probability = float | Array


def _said_of(hint: str, *wrong: Callable[..., Any]) -> list[Misconception]:
    """One misconception that shows in several ways."""
    return [Misconception(function, hint) for function in wrong]


# -- by hand ---------------------------------------------------------------------------------------------------
def by_hand() -> tuple[float, float, float]:
    """Mean recall@3, mean precision@3 and coverage@3 of three users, one of whom likes nothing."""
    return (2 / 4 + 1) / 2, (2 / 3 + 1 / 3) / 2, 5 / 12


BY_HAND = Exercise(
    by_hand,
    expects=(
        "The answer is (recall, precision, coverage), three shares between 0 and 1. Only the first three items of a "
        "list count. The first two numbers are means of one value for Ada and one for Bob; the third asks how many "
        "of the twelve items appear at all. Leave fractions as they are, or give three decimals."
    ),
    edges=[()],
    misconceptions=[
        *_said_of(
            "Right as far as your decimals go. Give three, or leave the fractions as they are.",
            lambda: (0.75, 0.5, 0.42),
            lambda: (0.8, 0.5, 0.4),
        ),
        *_said_of(
            "Your lists are four items long. At k = 3 whatever stands fourth has not been recommended, neither as a "
            "hit nor as an item that was shown.",
            lambda: (7 / 8, 1 / 2, 8 / 12),
            lambda: (7 / 8, 2 / 3, 8 / 12),
        ),
        *_said_of(
            "Cho pulls your first two means down with a 0. Someone who likes nothing yet cannot be served well or "
            "badly and is left out: the sums are divided by two users.",
            lambda: (1 / 2, 1 / 3, 5 / 12),
        ),
        *_said_of(
            "Your recall and precision have changed places. Recall divides the hits by what the user likes, "
            "precision by what was recommended.",
            lambda: (1 / 2, 3 / 4, 5 / 12),
        ),
        *_said_of(
            "Your recall pools the hits of both users and divides by all their likes, so that Ada, who likes four "
            "times as much, counts four times as much. Work out one share a user first, then take the mean.",
            lambda: (3 / 5, 1 / 2, 5 / 12),
        ),
        *_said_of(
            "You divide Ada's hits by three, the most that a list of three can hold. Recall asks what share of all "
            "that she likes was found, even if the list is too short for all of it.",
            lambda: (5 / 6, 1 / 2, 5 / 12),
        ),
        *_said_of(
            "Cho's list is missing in your coverage. Coverage asks what is shown to anybody; whether it is liked "
            "does not matter.",
            lambda: (3 / 4, 1 / 2, 4 / 12),
        ),
        *_said_of(
            "Your coverage counts the hits only. An item is covered as soon as it is recommended to somebody, liked "
            "or not.",
            lambda: (3 / 4, 1 / 2, 3 / 12),
        ),
        *_said_of(
            "Your coverage counts places in lists. An item that is recommended to three users is still one item of "
            "the catalogue.",
            lambda: (3 / 4, 1 / 2, 9 / 12),
        ),
    ],
    rtol=2e-3,
)


# -- recall and precision --------------------------------------------------------------------------------------
def recall_precision(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    """Mean recall and mean precision at k over the users who like something; NaN if nobody does."""
    return _at_k(recommended, liked, k, lambda hits, items, likes: (hits / len(likes), hits / k))


def _at_k(
    recommended: Lists, liked: Likes, k: int, shares: Callable[[int, list[int], set[int]], tuple[float, float]]
) -> tuple[float, float]:
    """The means of two shares, from a user's hits, list of k and likes, over the users who like something."""
    each = [shares(len(set(items[:k]) & likes), items[:k], likes) for items, likes in zip(recommended, liked) if likes]
    return _mean([a for a, _ in each]), _mean([b for _, b in each])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else nan


def _with_empty_as_0(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    recall, precision = recall_precision(recommended, liked, k)
    users = len(liked)
    of_all = sum(1 for likes in liked if likes) / users if users else nan
    return recall * of_all, precision * of_all


def _with_empty_as_0_unguarded(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    return (0.0, 0.0) if liked and not any(liked) else _with_empty_as_0(recommended, liked, k)


def _with_empty_in_precision(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    return recall_precision(recommended, liked, k)[0], _with_empty_as_0(recommended, liked, k)[1]


def _with_empty_in_precision_unguarded(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    return recall_precision(recommended, liked, k)[0], _with_empty_as_0_unguarded(recommended, liked, k)[1]


def _pooled(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    likes = sum(map(len, liked))
    hits = sum(len(set(items[:k]) & wanted) for items, wanted in zip(recommended, liked))
    return (hits / likes if likes else nan), recall_precision(recommended, liked, k)[1]


def _of_whole_lists(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    return _at_k(recommended, liked, 1000, lambda hits, items, likes: (hits / len(likes), hits / k))


def _of_whole_lists_by_length(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    return _at_k(recommended, liked, 1000, lambda hits, items, likes: (hits / len(likes), hits / max(len(items), 1)))


def _by_length(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    return _at_k(recommended, liked, k, lambda hits, items, likes: (hits / len(likes), hits / max(len(items), 1)))


def _by_length_unguarded(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    return _at_k(recommended, liked, k, lambda hits, items, likes: (hits / len(likes), hits / len(items)))


def _precision_recall(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    recall, precision = recall_precision(recommended, liked, k)
    return precision, recall


def _capped(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    return _at_k(recommended, liked, k, lambda hits, items, likes: (hits / min(k, len(likes)), hits / k))


def _means_unguarded(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    if not any(liked):
        raise ZeroDivisionError
    return recall_precision(recommended, liked, k)


def _means_0(recommended: Lists, liked: Likes, k: int) -> tuple[float, float]:
    return recall_precision(recommended, liked, k) if any(liked) else (0.0, 0.0)


ITEMS = st.lists(st.integers(0, 5), unique=True, max_size=5)
USERS = st.lists(st.tuples(ITEMS, st.sets(st.integers(0, 5), max_size=4)), max_size=4)

RECALL_PRECISION = Exercise(
    recall_precision,
    expects=(
        "The answer is (mean recall, mean precision), each between 0 and 1, over the users who like something. For "
        "each of them the two have the same numerator, the liked items among the first k; it is divided by the "
        "number of liked items for one and by k for the other. Without such a user both are NaN."
    ),
    edges=[
        ([], [], 1),
        ([[0, 1]], [set()], 2),
        ([[0]], [{0}], 1),
        ([[0, 1, 2]], [{2}], 2),
        ([[0, 1]], [{0, 1, 2, 3}], 1),
        ([[3]], [{3}], 4),
        ([[]], [{1, 2}], 2),
        ([[4, 0], [1, 2]], [{4}, set()], 2),
        ([[0, 1, 2], [2, 1, 0]], [{0}, {0, 1, 2, 3}], 2),
        ([[4, 7, 1, 0, 6], [2, 3, 9, 8, 5]], [{1, 4, 6, 9}, {8}], 5),
    ],
    inputs=st.tuples(USERS, st.integers(1, 4)).map(lambda t: ([a for a, _ in t[0]], [b for _, b in t[0]], t[1])),
    misconceptions=[
        *_said_of(
            "Users who like nothing count as 0 in your means. There was nothing to find for them, so they are left "
            "out, of the sum and of the number that it is divided by.",
            _with_empty_as_0,
            _with_empty_as_0_unguarded,
        ),
        *_said_of(
            "Your recall leaves out the users who like nothing, your precision takes them in with 0. Then the two "
            "are means over different people and cannot be compared; leave these users out of both.",
            _with_empty_in_precision,
            _with_empty_in_precision_unguarded,
        ),
        *_said_of(
            "Your recall adds up the hits of all users and divides by all likes, so a user who likes much counts "
            "much. Work out each user's share first and take the mean of the shares.",
            _pooled,
        ),
        *_said_of(
            "You look for hits in the whole list. What stands after place k has not been shown.",
            _of_whole_lists,
            _of_whole_lists_by_length,
        ),
        *_said_of(
            "Where a list has fewer than k items, your precision divides by its length. The places are there, and "
            "the recommender left them empty: it is k all the same.",
            _by_length,
            _by_length_unguarded,
        ),
        *_said_of(
            "Your two numbers have changed places. Recall is the share of what a user likes that was recommended; "
            "precision is the share of the recommended that is liked.",
            _precision_recall,
        ),
        *_said_of(
            "Your recall divides by at most k. It asks for the share of all that the user likes; that a short list "
            "has no room for it is what recall at k shows.",
            _capped,
        ),
        *_said_of(
            "Right as long as somebody likes something. A mean over nobody does not exist, and the answer says so "
            "with NaN, for both.",
            _means_unguarded,
            _means_0,
        ),
    ],
)


# -- coverage --------------------------------------------------------------------------------------------------
def coverage(recommended: Labels, n_items: int) -> float:
    """The share of the catalogue recommended to at least one user; -1 fills lists that are short."""
    return len({i for items in recommended.tolist() for i in items if i >= 0}) / n_items


def _padding_as_item(recommended: Labels, n_items: int) -> float:
    return len(set(recommended.ravel().tolist())) / n_items


def _padding_as_last_item(recommended: Labels, n_items: int) -> float:
    shown = np.zeros(n_items, bool)
    shown[recommended] = True
    return float(shown.mean())


def _one_less(recommended: Labels, n_items: int) -> float:
    return (len(set(recommended.ravel().tolist())) - 1) / n_items


def _one_less_guarded(recommended: Labels, n_items: int) -> float:
    return max(_one_less(recommended, n_items), 0.0)


def _filled(recommended: Labels) -> int:
    return int((recommended >= 0).sum())


def _places(recommended: Labels, n_items: int) -> float:
    return _filled(recommended) / n_items


def _places_with_padding(recommended: Labels, n_items: int) -> float:
    return recommended.size / n_items


def _mean_share(recommended: Labels, n_items: int) -> float:
    return _filled(recommended) / len(recommended) / n_items


def _mean_share_guarded(recommended: Labels, n_items: int) -> float:
    return _filled(recommended) / max(len(recommended), 1) / n_items


def _of_places(recommended: Labels, n_items: int) -> float:
    return coverage(recommended, n_items) * n_items / _filled(recommended)


def _of_places_guarded(recommended: Labels, n_items: int) -> float:
    return coverage(recommended, n_items) * n_items / max(_filled(recommended), 1)


def _of_places_with_padding(recommended: Labels, n_items: int) -> float:
    return coverage(recommended, n_items) * n_items / recommended.size


def _to_everybody(recommended: Labels, n_items: int) -> float:
    lists = [set(items) - {-1} for items in recommended.tolist()]
    return len(set.intersection(*lists)) / n_items if lists else 0.0


def _padded(lists: Lists, k: int) -> Labels:
    array = np.full((len(lists), k), -1)
    for row, items in zip(array, lists):
        row[: len(items)] = items
    return array


@st.composite
def _catalogues(draw: st.DrawFn) -> Arguments:
    n_items, k = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    items = st.lists(st.integers(0, n_items - 1), unique=True, max_size=min(k, n_items))
    return _padded(draw(st.lists(items, max_size=4)), k), n_items


COVERAGE = Exercise(
    coverage,
    expects=(
        "The answer lies between 0 and 1. It stays the same when a list is recommended to a second user or a row of "
        "-1 is added, grows when an item appears for the first time, and is 1 when every item of the catalogue is "
        "recommended to somebody."
    ),
    edges=[
        (_padded([], 2), 4),
        (_padded([[]], 2), 4),
        (_padded([[0]], 1), 1),
        (_padded([[0, 1], [1, 0]], 2), 4),
        (_padded([[2, 0], [1]], 2), 3),
        (_padded([[0, 1], [0]], 3), 5),
        (_padded([[4, 2, 1]], 3), 8),
        (_padded([[3], [3], [3]], 2), 4),
    ],
    inputs=_catalogues(),
    misconceptions=[
        *_said_of(
            "You count -1 as an item. It marks a place that was left empty.",
            _padding_as_item,
        ),
        *_said_of(
            "Your -1 marks the last item of the catalogue as shown: in Python, index -1 is the last place of an "
            "array. Take the empty places out first.",
            _padding_as_last_item,
        ),
        *_said_of(
            "You always take one off for the -1, even if no place was left empty.",
            _one_less,
            _one_less_guarded,
        ),
        *_said_of(
            "You count places in lists, so a bestseller counts once for every user who gets it. The question is how "
            "many different items are shown at all.",
            _places,
            _places_with_padding,
        ),
        *_said_of(
            "Your value is the mean over users of the share that one user sees. Coverage looks at all lists together.",
            _mean_share,
            _mean_share_guarded,
        ),
        *_said_of(
            "You divide by the number of places in the lists. The share is one of the catalogue, with the items that "
            "nobody ever sees.",
            _of_places,
            _of_places_guarded,
            _of_places_with_padding,
        ),
        *_said_of(
            "You count the items that every user gets. One user is enough for an item to be covered.",
            _to_everybody,
        ),
    ],
)


# -- NDCG ------------------------------------------------------------------------------------------------------
def ndcg(recommended: list[int], liked: Relevance, k: int) -> float:
    """DCG at k of one user's list over that of the best possible list; NaN for a user who likes nothing."""
    best = sorted(liked.values(), reverse=True)[:k]
    return _dcg([liked.get(i, 0) for i in recommended[:k]]) / _dcg(best) if liked else nan


def _dcg(gains: list[int], discount: Callable[[int], float] = lambda rank: log2(rank + 1)) -> float:
    return sum(gain / discount(rank) for rank, gain in enumerate(gains, start=1))


def _gains(recommended: list[int], liked: Relevance, k: int) -> list[int]:
    return [liked.get(i, 0) for i in recommended[:k]]


def _ndcg_of_own_items(recommended: list[int], liked: Relevance, k: int) -> float:
    """The best order of the list itself as the ideal one."""
    gains = _gains(recommended, liked, k)
    return _dcg(gains) / _dcg(sorted(gains, reverse=True)) if liked else nan


def _ndcg_of_own_items_guarded(recommended: list[int], liked: Relevance, k: int) -> float:
    return _ndcg_of_own_items(recommended, liked, k) if any(_gains(recommended, liked, k)) or not liked else 0.0


def _ndcg_of_own_whole_list(recommended: list[int], liked: Relevance, k: int) -> float:
    best = sorted(_gains(recommended, liked, 1000), reverse=True)[:k]
    if not liked:
        return nan
    return _dcg(_gains(recommended, liked, k)) / _dcg(best) if any(best) else 0.0


def _ndcg_ideal_uncut(recommended: list[int], liked: Relevance, k: int) -> float:
    best = sorted(liked.values(), reverse=True)
    return _dcg(_gains(recommended, liked, k)) / _dcg(best) if liked else nan


def _ndcg_list_uncut(recommended: list[int], liked: Relevance, k: int) -> float:
    best = sorted(liked.values(), reverse=True)[:k]
    return _dcg(_gains(recommended, liked, 1000)) / _dcg(best) if liked else nan


def _ndcg_uncut(recommended: list[int], liked: Relevance, k: int) -> float:
    return ndcg(recommended, liked, 1000)


def _ndcg_ideal_unsorted(recommended: list[int], liked: Relevance, k: int) -> float:
    return _dcg(_gains(recommended, liked, k)) / _dcg(list(liked.values())[:k]) if liked else nan


def _ndcg_exponential(recommended: list[int], liked: Relevance, k: int) -> float:
    return ndcg(recommended, {i: 2**r - 1 for i, r in liked.items()}, k)


def _ndcg_binary(recommended: list[int], liked: Relevance, k: int) -> float:
    return ndcg(recommended, dict.fromkeys(liked, 1), k)


def _discounted(recommended: list[int], liked: Relevance, k: int, discount: Callable[[int], float]) -> float:
    best = sorted(liked.values(), reverse=True)[:k]
    return _dcg(_gains(recommended, liked, k), discount) / _dcg(best, discount) if liked else nan


def _ndcg_by_rank(recommended: list[int], liked: Relevance, k: int) -> float:
    return _discounted(recommended, liked, k, float)


def _ndcg_one_late(recommended: list[int], liked: Relevance, k: int) -> float:
    return _discounted(recommended, liked, k, lambda rank: log2(rank + 2))


def _ndcg_one_early(recommended: list[int], liked: Relevance, k: int) -> float:
    return _discounted(recommended, liked, k, lambda rank: max(1.0, log2(rank)))


def _ndcg_from_rank_0(recommended: list[int], liked: Relevance, k: int) -> float:
    return _discounted(recommended, liked, k, lambda rank: log2(rank))


def _not_normalized(recommended: list[int], liked: Relevance, k: int) -> float:
    return _dcg(_gains(recommended, liked, k)) if liked else nan


def _not_normalized_unguarded(recommended: list[int], liked: Relevance, k: int) -> float:
    return _dcg(_gains(recommended, liked, k))


def _ndcg_0(recommended: list[int], liked: Relevance, k: int) -> float:
    return ndcg(recommended, liked, k) if liked else 0.0


def _ndcg_unguarded(recommended: list[int], liked: Relevance, k: int) -> float:
    if not liked:
        raise ZeroDivisionError
    return ndcg(recommended, liked, k)


NDCG = Exercise(
    ndcg,
    expects=(
        "The answer lies between 0 and 1: 0 without a hit among the first k, 1 if the k items that are liked most, "
        "or all that is liked if that is less, stand in front in falling order. It falls when a hit moves down, and "
        "does not change if all relevances are doubled. It is NaN for a user who likes nothing."
    ),
    edges=[
        ([], {}, 1),
        ([0, 1], {}, 2),
        ([], {0: 1}, 2),
        ([1], {0: 1}, 1),
        ([0], {0: 2}, 3),
        ([0, 1], {1: 1}, 1),
        ([0, 1], {1: 3, 0: 1}, 2),
        ([1, 0, 2], {0: 1, 1: 2, 2: 3}, 3),
        ([5, 0], {0: 1, 1: 3, 2: 2}, 2),
        ([4, 7, 1, 0, 6], {1: 3, 4: 5, 6: 3, 9: 4}, 5),
        ([3, 5, 6], {3: 2, 6: 2, 8: 2, 9: 2}, 2),
    ],
    inputs=st.tuples(
        st.lists(st.integers(0, 6), unique=True, max_size=6),
        st.dictionaries(st.integers(0, 6), st.integers(1, 3), max_size=5),
        st.integers(1, 4),
    ),
    misconceptions=[
        *_said_of(
            "Your ideal list is the recommended one in a better order. Then what was liked and not recommended costs "
            "nothing; the ideal list is made of everything the user likes.",
            _ndcg_of_own_items,
            _ndcg_of_own_items_guarded,
            _ndcg_of_own_whole_list,
        ),
        *_said_of(
            "Your ideal list holds everything that is liked. It has k places like the other one, or else no list "
            "could reach 1 for a user who likes more than k items.",
            _ndcg_ideal_uncut,
        ),
        *_said_of(
            "Hits after place k count in your DCG. At k, the list ends there.",
            _ndcg_list_uncut,
            _ndcg_uncut,
        ),
        *_said_of(
            "Your ideal list has the liked items in the order of the dictionary. What is liked most has to stand "
            "first.",
            _ndcg_ideal_unsorted,
        ),
        *_said_of(
            "That is the exponential gain, which weighs a relevance r with 2^r - 1. Both are in use; this task "
            "counts the relevance itself.",
            _ndcg_exponential,
        ),
        *_said_of(
            "All hits count the same in your DCG. Here a hit counts as much as its relevance says.",
            _ndcg_binary,
        ),
        *_said_of(
            "You divide a gain by its rank. The discount here is the milder logarithm.",
            _ndcg_by_rank,
        ),
        *_said_of(
            "Your discount is off by one rank: it should be 1 at the first place and 2 at the third. Do your ranks "
            "start at 0 or at 1?",
            _ndcg_one_late,
            _ndcg_one_early,
            _ndcg_from_rank_0,
        ),
        *_said_of(
            "That is the DCG, which is large for whoever likes much. Divide it by what the best possible list would "
            "have.",
            _not_normalized,
            _not_normalized_unguarded,
        ),
        *_said_of(
            "Right for users who like something. For one who likes nothing the best list has a DCG of 0, too, and "
            "how much of it was reached cannot be said: the answer is NaN.",
            _ndcg_0,
            _ndcg_unguarded,
        ),
    ],
)


# -- AUC by pairs ----------------------------------------------------------------------------------------------
def auc_by_pairs(labels: Labels, scores: Array) -> float:
    """The share of pairs of a positive and a negative that are in order, a tie counting half; NaN without pairs."""
    return _won(labels, scores, tie=0.5)


def _won(labels: Labels, scores: Array, tie: float) -> float:
    positives, negatives = scores[labels == 1].tolist(), scores[labels == 0].tolist()
    earned = [1.0 if p > n else tie if p == n else 0.0 for p in positives for n in negatives]
    return _mean(earned)


def _both(labels: Labels) -> bool:
    """Whether there are pairs at all."""
    return len(set(labels.tolist())) == 2


def _ties_lost(labels: Labels, scores: Array) -> float:
    return _won(labels, scores, tie=0.0)


def _ties_won(labels: Labels, scores: Array) -> float:
    return _won(labels, scores, tie=1.0)


def _ties_left_out(labels: Labels, scores: Array) -> float:
    lost = _won(labels, scores, tie=0.0)
    tied = _won(labels, scores, tie=1.0) - lost
    return lost / (1 - tied) if tied < 1 else nan


def _ties_left_out_unguarded(labels: Labels, scores: Array) -> float:
    lost = _won(labels, scores, tie=0.0)
    return lost / (1 - (_won(labels, scores, tie=1.0) - lost))


def _wrong_way_round(labels: Labels, scores: Array) -> float:
    return 1 - _won(labels, scores, tie=0.5)


def _of_all_pairs(labels: Labels, scores: Array) -> float:
    n, positives = len(labels), int(labels.sum())
    return _won(labels, scores, tie=0.5) * positives * (n - positives) / (n * (n - 1) / 2) if _both(labels) else nan


def _of_all_ordered_pairs(labels: Labels, scores: Array) -> float:
    return _of_all_pairs(labels, scores) * (len(labels) - 1) / 2 / max(len(labels), 1)


def _positives_first_only(labels: Labels, scores: Array) -> float:
    """Pairs whose positive stands before the negative, over all pairs."""
    y, s = labels.tolist(), scores.tolist()
    pairs = [(s[i], s[j]) for i in range(len(y)) for j in range(i + 1, len(y)) if y[i] > y[j]]
    earned = sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs)
    return earned / (sum(y) * (len(y) - sum(y))) if _both(labels) else nan


def _half_of_nothing(labels: Labels, scores: Array) -> float:
    return auc_by_ranks(labels, scores) if _both(labels) else 0.5


def _zero_of_nothing(labels: Labels, scores: Array) -> float:
    return auc_by_ranks(labels, scores) if _both(labels) else 0.0


def _auc_unguarded(labels: Labels, scores: Array) -> float:
    if not _both(labels):
        raise ZeroDivisionError
    return auc_by_ranks(labels, scores)


def _judged(*rows: tuple[int, float]) -> Arguments:
    return np.array([y for y, _ in rows], dtype=np.int64), np.array([s for _, s in rows], dtype=float)


CLASSES = (
    "Right where both classes occur. Where one of them is missing there is no pair, hence no share of pairs: the "
    "answer is NaN, not a number that looks like a result."
)
JUDGED: list[Arguments] = [
    _judged(),
    _judged((1, 0.5)),
    _judged((0, 0.5)),
    _judged((1, 0.5), (1, 0.25)),
    _judged((0, 0.5), (0, 0.25)),
    _judged((1, 0.75), (0, 0.25)),
    _judged((0, 0.25), (1, 0.75)),
    _judged((0, 0.75), (1, 0.25)),
    _judged((1, 0.5), (0, 0.5)),
    _judged((1, 0.5), (0, 0.5), (1, 0.5), (0, 0.5), (0, 0.5)),
    _judged((0, 0.25), (1, 0.5), (0, 0.75)),
    _judged((0, 0.75), (1, 0.5), (1, 0.5), (0, 0.25)),
    _judged((1, 0.9), (0, 0.8), (1, 0.7), (0, 0.5), (0, 0.5), (1, 0.5), (0, 0.3), (0, 0.1)),
]
JUDGEMENTS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4).map(lambda n: n / 4)), max_size=8).map(
    lambda rows: _judged(*rows)
)

AUC_BY_PAIRS = Exercise(
    auc_by_pairs,
    expects=(
        "The answer is the share of the pairs of one positive and one negative that are in order: 1 if every "
        "positive has a higher score than every negative, 0 if every one has a lower score, 1/2 if all scores are "
        "equal. It does not depend on the order of the rows, and is NaN if there are no such pairs."
    ),
    edges=JUDGED,
    inputs=JUDGEMENTS,
    misconceptions=[
        *_said_of(
            "Ties count nothing in your sum. A model that gives all rows the same score would then be as bad as one "
            "that has everything the wrong way round.",
            _ties_lost,
        ),
        *_said_of(
            "Ties count as won in your sum. A model that gives all rows the same score would then be perfect.",
            _ties_won,
        ),
        *_said_of(
            "You leave ties out. A pair with equal scores is a pair: it stays among those that you divide by, and "
            "counts half as much as one in order.",
            _ties_left_out,
            _ties_left_out_unguarded,
        ),
        *_said_of(
            "You count the pairs in which the negative has the higher score.",
            _wrong_way_round,
        ),
        *_said_of(
            "You divide by the number of all pairs of rows. Two rows of the same class say nothing about order; only "
            "pairs of a positive and a negative count.",
            _of_all_pairs,
            _of_all_ordered_pairs,
        ),
        *_said_of(
            "You miss the pairs whose positive stands after the negative. The order of the rows is of no importance: "
            "every positive meets every negative.",
            _positives_first_only,
        ),
        *_said_of(CLASSES, _half_of_nothing, _zero_of_nothing, _auc_unguarded),
    ],
)


# -- AUC by ranks ----------------------------------------------------------------------------------------------
def auc_by_ranks(labels: Labels, scores: Array) -> float:
    """AUC from the sum of the positives' ranks, tied rows sharing the mean of theirs; NaN without pairs."""
    return _by_ranks(labels, _tied(scores, lambda first, last: (first + last) / 2))


def _tied(scores: Array, rank: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]) -> Array:
    """A rank for each row, from the first and the last rank, from 1, of those with the same score."""
    _, group, size = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(size)
    ranks: Array = rank(last - size + 1, last)[group].astype(float)
    return ranks


def _by_ranks(labels: Labels, ranks: NDArray[Any]) -> float:
    positives = int(labels.sum())
    pairs = positives * (len(labels) - positives)
    return (float(ranks[labels == 1].sum()) - positives * (positives + 1) / 2) / pairs if pairs else nan


def _ranks_in_order(labels: Labels, scores: Array) -> float:
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return _by_ranks(labels, ranks)


def _ranks_by_argsort(labels: Labels, scores: Array) -> float:
    """As before, but NumPy's usual sort may turn rows with equal scores round."""
    return _by_ranks(labels, np.argsort(np.argsort(scores)) + 1.0)


def _order_for_ranks(labels: Labels, scores: Array) -> float:
    return _by_ranks(labels, np.argsort(scores) + 1.0)


def _stable_order_for_ranks(labels: Labels, scores: Array) -> float:
    return _by_ranks(labels, np.argsort(scores, kind="stable") + 1.0)


def _ranks_by_label(labels: Labels, scores: Array) -> float:
    """As from ``sorted(zip(scores, labels))``: of equal scores the negatives stand first."""
    ranks = np.empty(len(scores))
    ranks[np.lexsort((labels, scores))] = np.arange(1, len(scores) + 1)
    return _by_ranks(labels, ranks)


def _lowest_ranks(labels: Labels, scores: Array) -> float:
    return _by_ranks(labels, _tied(scores, lambda first, last: first))


def _highest_ranks(labels: Labels, scores: Array) -> float:
    return _by_ranks(labels, _tied(scores, lambda first, last: last))


def _dense_ranks(labels: Labels, scores: Array) -> float:
    return _by_ranks(labels, _tied(scores, lambda first, last: np.arange(1, len(first) + 1)))


def _ranks_from_0(labels: Labels, scores: Array) -> float:
    return _by_ranks(labels, _tied(scores, lambda first, last: (first + last) / 2 - 1))


def _ranks_from_the_top(labels: Labels, scores: Array) -> float:
    return _by_ranks(labels, _tied(-scores, lambda first, last: (first + last) / 2))


def _nothing_taken_off(labels: Labels, scores: Array) -> float:
    negatives = len(labels) - int(labels.sum())
    return auc_by_ranks(labels, scores) + (int(labels.sum()) + 1) / 2 / negatives if _both(labels) else nan


def _over_all_rows(labels: Labels, scores: Array) -> float:
    return auc_by_ranks(labels, scores) * (len(labels) - int(labels.sum())) / max(len(labels), 1)


def _log_of_a_day(rng: np.random.Generator) -> Arguments:
    """300,000 rows, half of them positive: 22 billion pairs. Scores have three decimals, so every row has ties."""
    labels = rng.integers(0, 2, 300_000)
    scores = (rng.normal(0.5 + 0.1 * labels, 0.15)).round(3)
    return labels, scores


AUC_BY_RANKS = Exercise(
    auc_by_ranks,
    expects=(
        "The answer is the same as by counting pairs: 1 if all positives have the highest scores, 0 if they have the "
        "lowest, 1/2 if all scores are equal, whatever the order of the rows, and NaN if a class is missing. Look at "
        "your ranks: they start at 1 for the smallest score, rows with equal scores have equal ranks, and all ranks "
        "of n rows sum to n (n + 1) / 2."
    ),
    edges=JUDGED,
    inputs=JUDGEMENTS,
    large=_log_of_a_day,
    misconceptions=[
        *_said_of(
            "Your ranks go on counting through rows with equal scores, so which of them wins depends on the order in "
            "the file. Equal scores have to get equal ranks: the mean of the places that they fill.",
            _ranks_in_order,
            _ranks_by_argsort,
        ),
        *_said_of(
            "What np.argsort returns are not ranks: it says which row stands at each place. A rank says at which "
            "place each row stands, the same list read the other way.",
            _order_for_ranks,
            _stable_order_for_ranks,
        ),
        *_said_of(
            "Among rows with equal scores your ranking puts the negatives first, as sorting pairs of score and label "
            "does. Every tie then counts as won; equal scores have to get equal ranks.",
            _ranks_by_label,
        ),
        *_said_of(
            "Rows with equal scores all get the lowest, or all the highest, of their ranks. For the ties to count "
            "half, it has to be the middle.",
            _lowest_ranks,
            _highest_ranks,
        ),
        *_said_of(
            "Your ranks number the different scores. The rank of a row counts the rows below it, so a tie of three "
            "rows has to push everything above it up by three.",
            _dense_ranks,
        ),
        *_said_of(
            "Your ranks start at 0, and the formula takes off the sum of the smallest ranks that the positives could "
            "have, counted from 1.",
            _ranks_from_0,
        ),
        *_said_of(
            "Your rank 1 is the highest score. Then a good positive has a small rank, and you get the share of pairs "
            "in the wrong order.",
            _ranks_from_the_top,
        ),
        *_said_of(
            "Your sum of ranks still contains the positives' ranks among themselves. Take off what they would sum to "
            "if there were no negatives.",
            _nothing_taken_off,
        ),
        *_said_of(
            "You divide by the positives times all rows. A positive makes pairs with negatives only.",
            _over_all_rows,
        ),
        *_said_of(CLASSES, _half_of_nothing, _zero_of_nothing, _auc_unguarded),
    ],
)


# -- down-sampling ---------------------------------------------------------------------------------------------
def correct_downsampling(p: Probability, rate: float) -> Probability:
    """The true probability behind p, learnt from data in which only a share ``rate`` of the negatives was kept."""
    return rate * p / ((1 - p) + rate * p)


def _quotient(a: Probability, b: Probability) -> Probability:
    """As in Python for numbers, as in NumPy, without its warnings, for arrays."""
    with np.errstate(all="ignore"):
        return a / b


def _scaled(p: Probability, rate: float) -> Probability:
    return rate * p


def _thinned_again(p: Probability, rate: float) -> Probability:
    return p / (p + rate * (1 - p))


def _odds(p: Probability, rate: float) -> Probability:
    return _quotient(rate * p, 1 - p)


def _odds_as_array(p: Probability, rate: float) -> Probability:
    return _odds(np.asarray(p), rate)


def _share_dropped(p: Probability, rate: float) -> Probability:
    return _quotient((1 - rate) * p, (1 - p) + (1 - rate) * p)


def _share_dropped_as_array(p: Probability, rate: float) -> Probability:
    return _share_dropped(np.asarray(p), rate)


def _share_dropped_factor(p: Probability, rate: float) -> Probability:
    return (1 - rate) * p


def _through_odds(p: Probability, rate: float) -> Probability:
    odds = _odds(p, rate)
    return _quotient(odds, 1 + odds)


def _through_odds_as_array(p: Probability, rate: float) -> Probability:
    return _through_odds(np.asarray(p), rate)


def _negatives_not_positives(p: Probability, rate: float) -> Probability:
    """The right odds, turned the wrong way: the probability that nothing is clicked."""
    return (1 - p) / ((1 - p) + rate * p)


EIGHTHS = st.integers(0, 8).map(lambda n: n / 8)

CORRECT_DOWNSAMPLING = Exercise(
    correct_downsampling,
    expects=(
        "A number gives a number, an array an array of the same shape. Nothing changes for rate = 1; for a smaller "
        "rate every probability gets smaller, except 0 and 1, which stay as they are, and their order remains the "
        "same. Thinning data in which a share p is clicked, and then correcting, gives p again: try it with 1 "
        "clicked row and 10 others."
    ),
    edges=[
        (0.5, 1.0),
        (0.5, 0.125),
        (0.0, 0.25),
        (1.0, 0.25),
        (1.0, 1.0),
        (np.array([]), 0.5),
        (np.array([0.5]), 0.1),
        (np.array([0.0, 0.25, 0.5, 1.0]), 0.5),
        (np.array([0.1, 0.5, 0.9]), 0.1),
        (np.array([[0.02, 0.3], [0.75, 0.999]]), 0.01),
    ],
    inputs=st.tuples(
        EIGHTHS | st.lists(EIGHTHS, max_size=4).map(lambda values: np.array(values, dtype=float)),
        st.sampled_from((0.5, 1.0, 0.25, 0.125, 0.01)),
    ),
    misconceptions=[
        *_said_of(
            "You multiply the probability by the rate. That is nearly right for small ones; but what thinning "
            "changes by a factor are the odds, clicked to not clicked, and something that is certain stays certain.",
            _scaled,
        ),
        *_said_of(
            "Your correction makes probabilities larger. It thins the data once more instead of undoing it: a model "
            "that has seen too few negatives promises too much.",
            _thinned_again,
        ),
        *_said_of(
            "What you return are the corrected odds, which can exceed 1. Turn them into a probability.",
            _odds,
            _odds_as_array,
        ),
        *_said_of(
            "You take the rate for the share of the negatives that was thrown away. It is the share that was kept: "
            "with rate = 1 nothing changes.",
            _share_dropped,
            _share_dropped_as_array,
            _share_dropped_factor,
        ),
        *_said_of(
            "Right but for p = 1, where the odds are infinite. Write the quotient so that nothing is divided by 1 - p.",
            _through_odds,
            _through_odds_as_array,
        ),
        *_said_of(
            "That is the probability of no click. Which of the two parts of the denominator belongs to the clicked "
            "rows?",
            _negatives_not_positives,
        ),
    ],
)


# -- leaks -----------------------------------------------------------------------------------------------------
def leaks(train: Rows, test: Rows) -> Leaks:
    """Places of the training rows that are not older than the oldest test row, and of those whose pair is in test."""
    return _leaks(train, _from_the_future(train, test), _repeated(train, test))


def _leaks(rows: Rows, future: Callable[[int, int, int], bool], repeated: Callable[[int, int, int], bool]) -> Leaks:
    return {
        "future": [place for place, row in enumerate(rows) if future(*row)],
        "repeated": [place for place, row in enumerate(rows) if repeated(*row)],
    }


def _from_the_future(train: Rows, test: Rows) -> Callable[[int, int, int], bool]:
    oldest = min((time for _, _, time in test), default=inf)
    return lambda user, item, time: time >= oldest


def _repeated(train: Rows, test: Rows) -> Callable[[int, int, int], bool]:
    pairs = {(user, item) for user, item, _ in test}
    return lambda user, item, time: (user, item) in pairs


def _future_of_newest(train: Rows, test: Rows) -> Leaks:
    newest = max((time for _, _, time in test), default=inf)
    return _leaks(train, lambda user, item, time: time >= newest, _repeated(train, test))


def _future_after_newest(train: Rows, test: Rows) -> Leaks:
    newest = max((time for _, _, time in test), default=inf)
    return _leaks(train, lambda user, item, time: time > newest, _repeated(train, test))


def _oldest_by_user(test: Rows) -> dict[int, int]:
    oldest: dict[int, int] = {}
    for user, _, time in test:
        oldest[user] = min(time, oldest.get(user, time))
    return oldest


def _future_of_user(train: Rows, test: Rows) -> Leaks:
    oldest = _oldest_by_user(test)
    return _leaks(train, lambda user, item, time: time >= oldest.get(user, inf), _repeated(train, test))


def _future_of_user_strict(train: Rows, test: Rows) -> Leaks:
    oldest = _oldest_by_user(test)
    return _leaks(train, lambda user, item, time: time > oldest.get(user, inf), _repeated(train, test))


def _future_without_ties(train: Rows, test: Rows) -> Leaks:
    oldest = min((time for _, _, time in test), default=inf)
    return _leaks(train, lambda user, item, time: time > oldest, _repeated(train, test))


def _past(train: Rows, test: Rows) -> Leaks:
    future = _from_the_future(train, test)
    return _leaks(train, lambda user, item, time: bool(test) and not future(user, item, time), _repeated(train, test))


def _repeated_items(train: Rows, test: Rows) -> Leaks:
    items = {item for _, item, _ in test}
    return _leaks(train, _from_the_future(train, test), lambda user, item, time: item in items)


def _repeated_users(train: Rows, test: Rows) -> Leaks:
    users = {user for user, _, _ in test}
    return _leaks(train, _from_the_future(train, test), lambda user, item, time: user in users)


def _repeated_either(train: Rows, test: Rows) -> Leaks:
    """User and item are both in test, though not in the same row."""
    users, items = {user for user, _, _ in test}, {item for _, item, _ in test}
    return _leaks(train, _from_the_future(train, test), lambda user, item, time: user in users and item in items)


def _repeated_rows(train: Rows, test: Rows) -> Leaks:
    rows = set(test)
    return _leaks(train, _from_the_future(train, test), lambda *row: row in rows)


def _one_kind_each(train: Rows, test: Rows) -> Leaks:
    found = leaks(train, test)
    return found | {"repeated": [n for n in found["repeated"] if n not in found["future"]]}


def _one_kind_each_repeated_first(train: Rows, test: Rows) -> Leaks:
    found = leaks(train, test)
    return found | {"future": [n for n in found["future"] if n not in found["repeated"]]}


def _in_test(train: Rows, test: Rows) -> Leaks:
    """The test rows that are not newer than the newest training row, or whose pair is in training."""
    newest = max((time for _, _, time in train), default=-inf)
    return _leaks(test, lambda user, item, time: time <= newest, _repeated(test, train))


def _leaks_rows(train: Rows, test: Rows) -> dict[str, Rows]:
    return {kind: [train[place] for place in places] for kind, places in leaks(train, test).items()}


def _leaks_unguarded(train: Rows, test: Rows) -> Leaks:
    if not test:
        raise ValueError
    return leaks(train, test)


def _badly_cut(rng: np.random.Generator) -> Arguments:
    """40,000 and 20,000 rows of a log whose times overlap a little."""

    def rows(n: int, first: int, last: int) -> Rows:
        columns = rng.integers(5000, size=n), rng.integers(2000, size=n), rng.integers(first, last, size=n)
        return list(zip(*(column.tolist() for column in columns)))

    return rows(40_000, 0, 100_000), rows(20_000, 99_000, 130_000)


ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 5)), max_size=4)

LEAKS = Exercise(
    leaks,
    expects=(
        'The answer is a dictionary with two rising lists of places in train. "future" holds every training row that '
        'a system at the time of the oldest test row, of any user, would not have had yet; "repeated" those whose '
        "user meets the same item in some test row, at whatever time. A row can be in both, and without test rows "
        "both are empty."
    ),
    edges=[
        ([], []),
        ([(0, 0, 1)], []),
        ([], [(0, 0, 1)]),
        ([(0, 0, 1)], [(0, 1, 2)]),
        ([(0, 0, 2)], [(0, 1, 2)]),
        ([(0, 0, 3)], [(1, 1, 2)]),
        ([(0, 0, 1), (0, 0, 9)], [(0, 0, 5)]),
        ([(0, 1, 1), (1, 0, 1)], [(0, 0, 5), (1, 1, 6)]),
        ([(0, 0, 4), (1, 1, 7), (2, 2, 9)], [(0, 1, 5), (1, 0, 8)]),
        ([(1, 0, 10), (1, 1, 40), (2, 0, 30), (2, 2, 20)], [(1, 2, 50), (2, 2, 30)]),
    ],
    inputs=st.tuples(ROWS, ROWS),
    large=_badly_cut,
    misconceptions=[
        *_said_of(
            "You compare with the newest test row. For the oldest one everything that came later is future already, "
            "so the moment at which the test begins is the one that counts.",
            _future_of_newest,
            _future_after_newest,
        ),
        *_said_of(
            "You compare each user's rows with the test rows of the same user. A model learns from everybody: what "
            "others do next week tells what is in fashion next week, and no live system has that.",
            _future_of_user,
            _future_of_user_strict,
        ),
        *_said_of(
            "A training row of the very moment at which the test begins is missing. It is not older than the test "
            "row, so the system did not have it.",
            _future_without_ties,
        ),
        *_said_of(
            "You list the training rows that are older than the test. Those are the ones that may be learnt from.",
            _past,
        ),
        *_said_of(
            'Your "repeated" lists every row whose item occurs in the test. Learning about the test\'s items from '
            "other users is what a recommender does; what leaks is the pair of user and item.",
            _repeated_items,
        ),
        *_said_of(
            'Your "repeated" lists every row of a user who occurs in the test. Learning from a user\'s history is '
            "allowed; what leaks is the pair of user and item.",
            _repeated_users,
        ),
        *_said_of(
            'Your "repeated" takes a user from one test row and an item from another. The two have to stand in the '
            "same row.",
            _repeated_either,
        ),
        *_said_of(
            'Your "repeated" compares the times, too. A pair that is known from training is no riddle in the test, '
            "whenever the two met.",
            _repeated_rows,
        ),
        *_said_of(
            "Each row stands in one list only in your answer. One that leaks in both ways belongs in both.",
            _one_kind_each,
            _one_kind_each_repeated_first,
        ),
        *_said_of(
            "Your numbers are places in test. The rows that have to be taken out are in train.",
            _in_test,
        ),
        *_said_of(
            "You return the rows themselves. Return their places in train, counted from 0.",
            _leaks_rows,
        ),
        *_said_of(
            "Right as long as there are test rows. Without one there is no oldest, and nothing can leak.",
            _leaks_unguarded,
        ),
    ],
)


EXERCISES = by_name(BY_HAND, RECALL_PRECISION, COVERAGE, NDCG, AUC_BY_PAIRS, AUC_BY_RANKS, CORRECT_DOWNSAMPLING, LEAKS)
check = checker(EXERCISES)
