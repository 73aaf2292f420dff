"""The exercises on diversity: right answers, and the wrong ones that people give."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from rectutor.classroom.exercise import Arguments, Exercise, Misconception, by_name, checker, equal

Array = NDArray[np.float64]
Item = set[str]
"""The tags of an item."""


def _said_of(hint: str, *wrong: Callable[..., Any]) -> list[Misconception]:
    """One misconception that shows in several ways."""
    return [Misconception(function, hint) for function in wrong]


def _slate(n: int, k: int, gain: Callable[[int, list[int]], float]) -> list[int]:
    """k of n rows, one after the other, each the one that gains most beside those above; ties to the lower row."""
    chosen: list[int] = []
    for _ in range(k):
        left = [i for i in range(n) if i not in chosen]
        chosen.append(max(left, key=lambda i: gain(i, chosen)))
    return chosen


# -- by hand ---------------------------------------------------------------------------------------------------
def by_hand() -> tuple[list[int], float, float]:
    """MMR's three of four items and the gain of the last pick; the determinant of two unit vectors' kernel."""
    return [0, 2, 1], 0.12, 0.64


BY_HAND = Exercise(
    by_hand,
    expects=(
        "The answer is (slate, gain, determinant): a list of three rows from the top on, the value that MMR gave to "
        "the last of them when it was picked, and a determinant between 0 and 1. Make a table with one line a round "
        "and write the value of every candidate that is left into it."
    ),
    edges=[()],
    misconceptions=[
        *_said_of(
            "That is the slate by reward alone. In each round, take off how much a candidate "
            "resembles the closest of the rows picked before.",
            lambda: ([0, 1, 2], 0.3, 0.64),
            lambda: ([0, 1, 2], 0.5, 0.64),
            lambda: ([0, 1, 2], 0.14, 0.64),
        ),
        *_said_of(
            "Your weights have changed places: theta belongs to the reward, and what is left of 1 to the similarity.",
            lambda: ([0, 3, 2], -0.04, 0.64),
        ),
        *_said_of(
            "Your similarity has no weight: theta goes with the reward, and what is left of 1 with the similarity.",
            lambda: ([0, 3, 2], -0.1, 0.64),
            lambda: ([0, 2, 1], 0.0, 0.64),
        ),
        *_said_of(
            "In the third round you take the mean similarity to the two rows picked. One row that is far away would "
            "then excuse a near duplicate; what counts is the closest.",
            lambda: ([0, 2, 1], 0.16, 0.64),
        ),
        *_said_of(
            "In the third round you add the similarities to both rows picked. Only the greatest of them is taken off.",
            lambda: ([0, 2, 3], 0.02, 0.64),
        ),
        *_said_of(
            "In the third round you look at the row picked last only. The row at the top has been picked, too.",
            lambda: ([0, 2, 1], 0.2, 0.64),
        ),
        *_said_of(
            "You add similarity where it has to be taken off: your slate seeks candidates that are alike.",
            lambda: ([0, 1, 3], 0.5, 0.64),
        ),
        *_said_of(
            "Your slate is right, but you give the reward of the last row. The gain is what it was picked for: "
            "weighted reward less weighted similarity.",
            lambda: ([0, 2, 1], 0.6, 0.64),
            lambda: ([0, 2, 1], 0.36, 0.64),
        ),
        *_said_of(
            "That is the area of the parallelogram. The determinant of the inner products is its square.",
            lambda: ([0, 2, 1], 0.12, 0.8),
        ),
        *_said_of(
            "That is the determinant of the distances, one less each inner product. The kernel holds the inner "
            "products themselves, with the squared lengths on its diagonal.",
            lambda: ([0, 2, 1], 0.12, -0.16),
        ),
        *_said_of(
            "You took the entry beside the diagonal off once. A determinant of two rows has the product of both such "
            "entries in it.",
            lambda: ([0, 2, 1], 0.12, 0.4),
        ),
        *_said_of(
            "Your determinant is the product of the diagonal. Two vectors that are alike span less than that.",
            lambda: ([0, 2, 1], 0.12, 1.0),
        ),
        *_said_of(
            "The two products of a determinant are subtracted, not added: vectors that are alike span less, not more.",
            lambda: ([0, 2, 1], 0.12, 1.36),
        ),
    ],
    rtol=2e-3,
)


# -- MMR -------------------------------------------------------------------------------------------------------
def mmr(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    """k rows by maximal marginal relevance."""
    return _marginal(reward, similarity, k, theta, lambda s: max(s, default=0.0))


def _marginal(
    reward: Array, similarity: Array, k: int, theta: float, near: Callable[[list[float]], float]
) -> list[int]:
    """MMR with something else for the maximum of the similarities to the chosen items."""

    def gain(i: int, chosen: list[int]) -> float:
        return float(theta * reward[i] - (1 - theta) * near([similarity[i, j] for j in chosen]))

    return _slate(len(reward), k, gain)


def _mmr_of_sums(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    return _marginal(reward, similarity, k, theta, sum)


def _mmr_of_means(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    return _marginal(reward, similarity, k, theta, lambda s: sum(s) / len(s) if s else 0.0)


def _mmr_of_the_farthest(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    return _marginal(reward, similarity, k, theta, lambda s: min(s, default=0.0))


def _mmr_of_the_last(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    return _marginal(reward, similarity, k, theta, lambda s: s[-1] if s else 0.0)


def _mmr_from_zero(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    return _marginal(reward, similarity, k, theta, lambda s: max([0.0, *s]))


def _mmr_of_alike(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    return _marginal(reward, similarity, k, theta, lambda s: -max(s, default=0.0))


def _mmr_weights_swapped(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    return mmr(reward, similarity, k, 1 - theta)


def _mmr_reward_unweighted(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    def gain(i: int, chosen: list[int]) -> float:
        return float(reward[i] - (1 - theta) * max((similarity[i, j] for j in chosen), default=0.0))

    return _slate(len(reward), k, gain)


def _mmr_similarity_unweighted(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    def gain(i: int, chosen: list[int]) -> float:
        return float(theta * reward[i] - max((similarity[i, j] for j in chosen), default=0.0))

    return _slate(len(reward), k, gain)


def _mmr_first_penalised(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    def gain(i: int, chosen: list[int]) -> float:
        beside = chosen or [j for j in range(len(reward)) if j != i]
        return float(theta * reward[i] - (1 - theta) * max((similarity[i, j] for j in beside), default=0.0))

    return _slate(len(reward), k, gain)


def _mmr_among_those_left(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    def gain(i: int, chosen: list[int]) -> float:
        others = [similarity[i, j] for j in range(len(reward)) if j != i and j not in chosen]
        return float(theta * reward[i] - (1 - theta) * max(others, default=0.0))

    return _slate(len(reward), k, gain)


def _mmr_of_all_others(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    def gain(i: int, chosen: list[int]) -> float:
        others = [similarity[i, j] for j in range(len(reward)) if j != i]
        return float(theta * reward[i] - (1 - theta) * max(others, default=0.0))

    return _slate(len(reward), k, gain)


def _turned(values: Array) -> Array:
    return values[::-1]


def _mmr_ties_to_higher(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    last = len(reward) - 1
    return [last - i for i in mmr(_turned(reward), similarity[::-1, ::-1], k, theta)]


def _mmr_again(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    chosen: list[int] = []
    for _ in range(k):
        nearest = [max((similarity[i, j] for j in chosen), default=0.0) for i in range(len(reward))]
        gains = [theta * reward[i] - (1 - theta) * nearest[i] for i in range(len(reward))]
        chosen.append(gains.index(max(gains)))
    return chosen


def _mmr_sorted(reward: Array, similarity: Array, k: int, theta: float) -> list[int]:
    return sorted(mmr(reward, similarity, k, theta))


def _alike(quarters: list[list[int]]) -> Array:
    """A symmetric matrix with ones on its diagonal, from what stands below the diagonal, in quarters."""
    n = len(quarters) + 1
    matrix = np.eye(n)
    for i, row in enumerate(quarters, 1):
        matrix[i, :i] = matrix[:i, i] = [q / 4 for q in row]
    return matrix


@st.composite
def _pools(draw: st.DrawFn, most: int = 6) -> tuple[Array, Array, int, float]:
    """Rewards in eighths, similarities in quarters: gains are exact, so equal ones are equal for everybody."""
    n = draw(st.integers(1, most))
    reward = draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))
    pairs = n * (n - 1) // 2
    quarters = draw(st.lists(st.integers(-2, 4), min_size=pairs, max_size=pairs))
    below = [quarters[i * (i - 1) // 2 : i * (i + 1) // 2] for i in range(1, n)]
    theta = draw(st.sampled_from((0.5, 0.25, 0.75, 0.0, 1.0)))
    return np.array(reward) / 8, _alike(below), draw(st.integers(1, n)), theta


TWINS = _alike([[4], [0, 0], [1, 1, 2], [0, 0, 4, 2], [2, 2, 0, 3, 1]])
OPPOSED = _alike([[-2], [-1, -2], [2, -2, 1], [-2, 3, 0, 0], [1, -1, -2, -1, 2]])
TEN = _alike(
    [
        [3],
        [0, 1],
        [2, 3, 0],
        [1, 0, 4, 0],
        [4, 2, 1, 2, 0],
        [0, 2, 3, 1, 3, 0],
        [3, 4, 0, 2, 1, 2, 0],
        [1, 1, 2, 4, 0, 1, 3, 0],
        [0, 3, 1, 0, 2, 3, 1, 4, 2],
    ]
)
FALLING = np.arange(8, 2, -1) / 8
SHUFFLED = np.array([6, 8, 7, 5, 8, 3, 7, 4, 6, 2]) / 8

MMR = Exercise(
    mmr,
    expects=(
        "A right answer has k different rows in the order in which they were picked, the one with the greatest reward "
        "first unless theta is 0. Each next one has the greatest theta * reward - (1 - theta) * (similarity to "
        "the closest of the rows picked before); of equals the lowest row."
    ),
    edges=[
        (np.array([0.5]), np.eye(1), 1, 0.5),
        (np.array([0.25, 0.5]), np.eye(2), 1, 0.5),
        (np.full(4, 0.5), np.eye(4), 3, 0.5),
        (np.array([1.0, 0.5, 0.5]), _alike([[0], [-2, 0]]), 3, 0.5),
        (FALLING, TWINS, 6, 0.5),
        (FALLING, TWINS, 4, 0.75),
        (FALLING, TWINS, 4, 1.0),
        (FALLING, TWINS, 4, 0.0),
        (FALLING, OPPOSED, 5, 0.5),
        (FALLING, OPPOSED, 5, 0.25),
        (SHUFFLED, TEN, 8, 0.5),
        (SHUFFLED, TEN, 6, 0.25),
        (SHUFFLED, TEN, 7, 0.75),
    ],
    inputs=_pools(),
    misconceptions=[
        *_said_of(
            "You take the mean similarity to the picked rows. A candidate that doubles one of them and is unlike "
            "the others gets away with it: what a reader sees twice is seen twice. Take the closest.",
            _mmr_of_means,
        ),
        *_said_of(
            "You add up the similarities to all picked rows, so that the penalty grows with the length of the slate "
            "and soon outweighs every reward. The formula takes off one similarity, that to the closest.",
            _mmr_of_sums,
        ),
        *_said_of(
            "You look at the picked row that is least like the candidate. With two different rows picked, nothing "
            "is ever a double then.",
            _mmr_of_the_farthest,
        ),
        *_said_of(
            "You compare with the row picked last only. The slate above it is there as well: a double of the very "
            "first row should not get through.",
            _mmr_of_the_last,
        ),
        *_said_of(
            "Your maximum starts at 0, so a negative similarity never counts. Two rows can be less alike than that, "
            "and the formula rewards it; a penalty of 0 is for the first pick alone.",
            _mmr_from_zero,
        ),
        *_said_of(
            "You add the similarity instead of taking it off: your slate seeks doubles.",
            _mmr_of_alike,
        ),
        *_said_of(
            "Your weights have changed places: at theta = 1 the slate has to be the order of the rewards.",
            _mmr_weights_swapped,
        ),
        *_said_of(
            "One of your two terms has no weight. At theta = 1 the similarities say nothing any more, and at "
            "theta = 0 the rewards say nothing.",
            _mmr_reward_unweighted,
            _mmr_similarity_unweighted,
        ),
        *_said_of(
            "Your first pick is penalised for being like other candidates. Nothing stands above it that it could "
            "repeat.",
            _mmr_first_penalised,
        ),
        *_said_of(
            "You compare a candidate with the other candidates. What may not be repeated is what the slate has "
            "already: the maximum runs over the rows picked before.",
            _mmr_among_those_left,
            _mmr_of_all_others,
        ),
        *_said_of(
            "Right but for ties: of equal gains the lower row is picked, as it is the one that the ranker put first.",
            _mmr_ties_to_higher,
        ),
        *_said_of(
            "Your slate shows a row twice. A row that was picked is a candidate no more.",
            _mmr_again,
        ),
        *_said_of(
            "These are the right rows, but sorted. A slate has an order: the rows stand in the order of the picks.",
            _mmr_sorted,
        ),
    ],
)


# -- MMR with a window -----------------------------------------------------------------------------------------
def windowed_mmr(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    """k rows by maximal marginal relevance beside the last ``window`` chosen."""
    return _beside(reward, similarity, k, theta, lambda i, chosen: chosen[-window:])


def _beside(
    reward: Array, similarity: Array, k: int, theta: float, seen: Callable[[int, list[int]], list[int]]
) -> list[int]:
    """MMR beside some of the chosen items."""

    def gain(i: int, chosen: list[int]) -> float:
        closest = max((similarity[i, j] for j in seen(i, chosen)), default=0.0)
        return float(theta * reward[i] - (1 - theta) * closest)

    return _slate(len(reward), k, gain)


def _windowed_by_all(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return _beside(reward, similarity, k, theta, lambda i, chosen: chosen)


def _windowed_one_less(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return _beside(reward, similarity, k, theta, lambda i, chosen: chosen[max(len(chosen) - window + 1, 0) :])


def _windowed_one_less_by_slice(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return _beside(reward, similarity, k, theta, lambda i, chosen: chosen[-(window - 1) :])


def _windowed_one_more(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return _beside(reward, similarity, k, theta, lambda i, chosen: chosen[-(window + 1) :])


def _windowed_by_first(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return _beside(reward, similarity, k, theta, lambda i, chosen: chosen[:window])


def _windowed_by_oldest(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return _beside(reward, similarity, k, theta, lambda i, chosen: chosen[-window:][:1])


def _windowed_in_blocks(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return _beside(reward, similarity, k, theta, lambda i, chosen: chosen[len(chosen) // window * window :])


def _windowed_by_rank(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return _beside(reward, similarity, k, theta, lambda i, chosen: [j for j in chosen if abs(i - j) <= window])


def _windowed_by_rank_less(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return _beside(reward, similarity, k, theta, lambda i, chosen: [j for j in chosen if abs(i - j) < window])


def _windowed_by_rank_before(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return _beside(reward, similarity, k, theta, lambda i, chosen: [j for j in chosen if i - window <= j < i])


def _windowed_by_kind(
    reward: Array, similarity: Array, k: int, theta: float, window: int, near: Callable[[list[float]], float]
) -> list[int]:
    return _marginal(reward, similarity, k, theta, lambda s: near(s[-window:]) if s else 0.0)


def _windowed_means(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return _windowed_by_kind(reward, similarity, k, theta, window, lambda s: sum(s) / len(s))


def _windowed_sums(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return _windowed_by_kind(reward, similarity, k, theta, window, sum)


def _windowed_from_zero(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return _windowed_by_kind(reward, similarity, k, theta, window, lambda s: max([0.0, *s]))


def _windowed_weights_swapped(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    return windowed_mmr(reward, similarity, k, 1 - theta, window)


def _windowed_again(reward: Array, similarity: Array, k: int, theta: float, window: int) -> list[int]:
    chosen: list[int] = []
    for _ in range(k):
        near = chosen[-window:]
        gains = {
            i: theta * reward[i] - (1 - theta) * max((similarity[i, j] for j in near), default=0.0)
            for i in range(len(reward))
            if i not in near
        }
        if not gains:
            break
        chosen.append(max(gains, key=lambda i: gains[i]))
    return chosen


WINDOWED_MMR = Exercise(
    windowed_mmr,
    expects=(
        "A right answer has k different rows. Only the `window` rows picked last are compared with: for window = 1 "
        "each pick looks at the row right above it, and for a window of k or more the slate is that of exercise 2."
    ),
    edges=[
        (np.array([0.5]), np.eye(1), 1, 0.5, 1),
        (np.array([0.5, 0.25]), np.eye(2), 2, 0.5, 3),
        (FALLING, TWINS, 6, 0.5, 1),
        (FALLING, TWINS, 6, 0.5, 2),
        (FALLING, TWINS, 6, 0.25, 3),
        (FALLING, OPPOSED, 6, 0.5, 1),
        (FALLING, OPPOSED, 6, 0.25, 2),
        (FALLING, TWINS, 4, 1.0, 2),
        (SHUFFLED, TEN, 9, 0.5, 2),
        (SHUFFLED, TEN, 9, 0.25, 3),
        (SHUFFLED, TEN, 8, 0.25, 1),
        (SHUFFLED, TEN, 8, 0.5, 20),
    ],
    inputs=st.builds(lambda pool, window: (*pool, window), _pools(), st.integers(1, 4)),
    misconceptions=[
        *_said_of(
            "Your slate is the one without a window: a candidate is compared with all picked rows, however far up. "
            "What has left the window is forgotten. If you keep a running maximum, ask how it could ever forget.",
            _windowed_by_all,
        ),
        *_said_of(
            "Your window is one row short: it holds `window` picked rows, the candidate not counted. "
            "Try window = 1, where the row right above still counts.",
            _windowed_one_less,
            _windowed_one_less_by_slice,
        ),
        *_said_of(
            "Your window holds one row too many: with window = 1 you still look at the last two.",
            _windowed_one_more,
        ),
        *_said_of(
            "Your window lies at the top of the slate and stays there. It has to move down with the position that "
            "is being filled.",
            _windowed_by_first,
        ),
        *_said_of(
            "You compare with one row alone, the one that is `window` places above. All that stand between it and "
            "the candidate count as well.",
            _windowed_by_oldest,
        ),
        *_said_of(
            "Your window starts afresh every `window` positions, so the first row of a block forgets the one right "
            "above it. The window slides by one position at a time.",
            _windowed_in_blocks,
        ),
        *_said_of(
            "Your window is measured by the rows of the candidates, their ranks before re-ranking. What counts is how "
            "near two rows stand in the slate: the last ones that were picked.",
            _windowed_by_rank,
            _windowed_by_rank_less,
            _windowed_by_rank_before,
        ),
        *_said_of(
            "The window is right, but of the similarities in it the greatest counts, not their mean or sum.",
            _windowed_means,
            _windowed_sums,
        ),
        *_said_of(
            "Your maximum starts at 0, so a negative similarity never counts. Two rows can be less alike than that, "
            "and the formula rewards it; a penalty of 0 is for the first pick alone.",
            _windowed_from_zero,
        ),
        *_said_of(
            "Your weights have changed places: at theta = 1 the slate has to be the order of the rewards.",
            _windowed_weights_swapped,
        ),
        *_said_of(
            "A row that has left the window is picked again. The window is about similarity only; whatever was "
            "picked is a candidate no more.",
            _windowed_again,
        ),
    ],
)


# -- rule 2 ----------------------------------------------------------------------------------------------------
def max_in_window(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    """Rows by reward, at most one promoted candidate in any ``window`` consecutive positions; window is 2 or more."""
    return _by_rule(reward, promoted, k, lambda slate: any(promoted[j] for j in slate[-(window - 1) :]))


def _by_rule(reward: Array, promoted: list[bool], k: int, barred: Callable[[list[int]], bool]) -> list[int]:
    """Position by position, the best of those left; no promoted one where the slate so far bars it."""
    slate: list[int] = []
    for _ in range(k):
        closed = barred(slate)
        may = [i for i in range(len(reward)) if i not in slate and not (promoted[i] and closed)]
        if not may:
            break
        slate.append(max(may, key=lambda i: reward[i]))
    return slate


def _ranked(reward: Array) -> list[int]:
    return sorted(range(len(reward)), key=lambda i: -reward[i])


def _thinned(rows: list[int], promoted: list[bool], window: int) -> list[int]:
    """Goes down a list once and leaves out the promoted items that come too soon after one that was kept."""
    kept: list[int] = []
    for i in rows:
        if not (promoted[i] and any(promoted[j] for j in kept[-(window - 1) :])):
            kept.append(i)
    return kept


def _thinned_in_place(rows: list[int], promoted: list[bool], window: int) -> list[int]:
    """The same, with distances as they were in the list."""
    kept: list[int] = []
    last = -window
    for at, i in enumerate(rows):
        if not promoted[i]:
            kept.append(i)
        elif at - last >= window:
            kept.append(i)
            last = at
    return kept


def _rule_afterwards(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    return _thinned(_ranked(reward)[:k], promoted, window)


def _rule_afterwards_in_place(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    return _thinned_in_place(_ranked(reward)[:k], promoted, window)


def _rule_in_one_pass(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    return _thinned(_ranked(reward), promoted, window)[:k]


def _rule_on_ranks(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    return _thinned_in_place(_ranked(reward), promoted, window)[:k]


def _rule_one_more(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    return _by_rule(reward, promoted, k, lambda slate: any(promoted[j] for j in slate[-window:]))


def _rule_one_less(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    return _by_rule(
        reward, promoted, k, lambda slate: any(promoted[j] for j in slate[max(len(slate) - window + 2, 0) :])
    )


def _rule_one_less_by_slice(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    return _by_rule(reward, promoted, k, lambda slate: any(promoted[j] for j in slate[-(window - 2) :]))


def _rule_once(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    return _by_rule(reward, promoted, k, lambda slate: any(promoted[j] for j in slate))


def _rule_in_prefix(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    return _by_rule(reward, promoted, k, lambda slate: len(slate) < window and any(promoted[j] for j in slate))


def _rule_in_blocks(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    return _by_rule(reward, promoted, k, lambda slate: any(promoted[j] for j in slate[len(slate) // window * window :]))


def _rule_given_up(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    slate: list[int] = []
    for _ in range(min(k, len(reward))):
        left = [i for i in range(len(reward)) if i not in slate]
        closed = any(promoted[j] for j in slate[-(window - 1) :])
        may = [i for i in left if not (promoted[i] and closed)] or left
        slate.append(max(may, key=lambda i: reward[i]))
    return slate


def _rule_ends_early(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    slate: list[int] = []
    for i in _ranked(reward)[:k]:
        if promoted[i] and any(promoted[j] for j in slate[-(window - 1) :]):
            break
        slate.append(i)
    return slate


def _rule_on_everything(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    """A promoted item closes the next positions to everything."""
    slate: list[int] = []
    for _ in range(k):
        if any(promoted[j] for j in slate[-(window - 1) :]):
            may = [i for i in range(len(reward)) if i not in slate and not promoted[i]]
        else:
            may = [i for i in range(len(reward)) if i not in slate and promoted[i]]
            may = may or [i for i in range(len(reward)) if i not in slate]
        if not may:
            break
        slate.append(max(may, key=lambda i: reward[i]))
    return slate


def _rule_among_the_first(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    """The rule in each round, but among the k best only."""
    rows = sorted(_ranked(reward)[:k])
    slate = max_in_window(reward[rows], [promoted[i] for i in rows], k, window)
    return [rows[at] for at in slate]


def _positions_left_open(
    reward: Array, promoted: list[bool], k: int, window: int, to_the_end: bool
) -> list[int | None]:
    """None where nobody may stand; ``to_the_end``: in k positions, however few the candidates."""
    slate: list[int | None] = []
    for _ in range(k):
        left = [i for i in range(len(reward)) if i not in slate]
        if not left and not to_the_end:
            break
        closed = any(j is not None and promoted[j] for j in slate[-(window - 1) :])
        may = [i for i in left if not (promoted[i] and closed)]
        slate.append(max(may, key=lambda i: reward[i]) if may else None)
    return slate


def _rule_leaves_open(reward: Array, promoted: list[bool], k: int, window: int) -> list[int | None]:
    return _positions_left_open(reward, promoted, k, window, False)


def _rule_leaves_open_to_the_end(reward: Array, promoted: list[bool], k: int, window: int) -> list[int | None]:
    return _positions_left_open(reward, promoted, k, window, True)


def _rule_padded(reward: Array, promoted: list[bool], k: int, window: int) -> list[int | None]:
    slate = max_in_window(reward, promoted, k, window)
    return [*slate, *[None] * (k - len(slate))]


def _rule_ties_to_higher(reward: Array, promoted: list[bool], k: int, window: int) -> list[int]:
    last = len(reward) - 1
    return [last - i for i in max_in_window(_turned(reward), promoted[::-1], k, window)]


def _feed(eighths: list[int], bits: int, k: int, window: int) -> Arguments:
    return np.array(eighths) / 8, [bool(bits >> i & 1) for i in range(len(eighths))], k, window


MAX_IN_WINDOW = Exercise(
    max_in_window,
    expects=(
        "In a right answer any two promoted candidates stand at least `window` positions apart, and every position "
        "has the candidate of the greatest reward among those that are left and may stand there, of equals the lowest "
        "row. The answer is shorter than k only where no such candidate is left."
    ),
    edges=[
        _feed([4], 1, 1, 2),
        _feed([4], 0, 3, 2),
        _feed([8, 7, 6], 7, 3, 2),
        _feed([4, 4, 4, 4], 0, 3, 2),
        _feed([8, 7, 6, 5, 4], 3, 5, 2),
        _feed([8, 7, 6, 5, 4, 3], 3, 5, 3),
        _feed([8, 7, 6, 5, 4, 3], 5, 4, 3),
        _feed([8, 7, 6, 5, 4, 3, 2, 1], 0b10100011, 8, 3),
        _feed([8, 7, 6, 5, 4, 3, 2, 1], 0b00001111, 8, 2),
        _feed([8, 7, 6, 5, 4, 3, 2, 1], 0b00000111, 6, 4),
        _feed([8, 7, 6, 5, 4, 3, 2, 1], 0b00011010, 7, 3),
        _feed([1, 3, 3, 8, 8, 5], 0b011010, 5, 3),
    ],
    inputs=st.builds(
        _feed,
        st.lists(st.integers(0, 8), min_size=1, max_size=8),
        st.integers(0, 255),
        st.integers(1, 8),
        st.integers(2, 4),
    ),
    misconceptions=[
        *_said_of(
            "You pick the k best first and apply the rule afterwards. What the rule throws out leaves holes that "
            "nobody fills; with the rule in each round, the next best would have taken these positions.",
            _rule_afterwards,
            _rule_afterwards_in_place,
        ),
        *_said_of(
            "You cut to k before the rule; candidates further down may be needed. Where one of the k best may not "
            "stand, the position goes to the best of all others.",
            _rule_among_the_first,
        ),
        *_said_of(
            "You go down the ranking once, and a promoted candidate that comes too soon is lost for good. It is still "
            "there a few positions further down, and may well be the best then.",
            _rule_in_one_pass,
        ),
        *_said_of(
            "You measure the distance of promoted candidates in the ranking. The rule is about positions "
            "of the slate, which has others between them.",
            _rule_on_ranks,
        ),
        *_said_of(
            "You end the slate where the best candidate may not stand. Others may: the position goes to the best of "
            "these.",
            _rule_ends_early,
        ),
        *_said_of(
            "Your window is one position too long. The position that is being filled is one of the `window`.",
            _rule_one_more,
        ),
        *_said_of(
            "Your window is one position too short: somewhere `window` consecutive positions hold two promoted "
            "candidates.",
            _rule_one_less,
            _rule_one_less_by_slice,
        ),
        *_said_of(
            "You let one promoted candidate into the whole slate. Far enough below it, another may stand.",
            _rule_once,
        ),
        *_said_of(
            "Your rule holds at the top of the slate only. It is about any `window` consecutive positions; the rule "
            "on the first positions is another one.",
            _rule_in_prefix,
        ),
        *_said_of(
            "You cut the slate into blocks of `window` positions. The last of one block and the first of the next "
            "are neighbours, and both may be promoted in your answer.",
            _rule_in_blocks,
        ),
        *_said_of(
            "Where no candidate that is left may stand, you take one that may not. Here the slate ends instead: "
            "nobody should find out from the feed that a rule was dropped.",
            _rule_given_up,
        ),
        *_said_of(
            "Your slate holds `None` where no candidate that is left may stand. No position is left open: the slate "
            "ends.",
            _rule_leaves_open,
            _rule_leaves_open_to_the_end,
            _rule_padded,
        ),
        *_said_of(
            "You give a promoted candidate the position whenever one may stand there. The rule is a limit, not a "
            "quota: the reward decides among all that may stand.",
            _rule_on_everything,
        ),
        *_said_of(
            "Right but for ties: of equal rewards the lower row comes first.",
            _rule_ties_to_higher,
        ),
    ],
)


# -- volume ----------------------------------------------------------------------------------------------------
def determinant_by_projection(vectors: Array) -> float:
    """Squared volume of the parallelotope that the rows span, one height after the other."""
    return _squared_volume(vectors, lambda h, height, v: h @ height / (height @ height) * height)


def _squared_volume(vectors: Array, part: Callable[[Array, Array, Array], Array]) -> float:
    """Product of squared heights; ``part(h, height, v)`` is what an earlier row v of this height takes off from h."""
    volume = 1.0
    before: list[tuple[Array, Array]] = []
    for v in vectors:
        h = np.array(v)
        for height, other in before:
            if height @ height > 0:
                h = h - part(h, height, other)
        before.append((h, v))
        volume *= float(h @ h)
    return volume


def _not_squared(vectors: Array) -> float:
    return sqrt(determinant_by_projection(vectors))


def _lengths_only(vectors: Array) -> float:
    return float(np.prod([v @ v for v in vectors]))


def _from_rows(vectors: Array) -> float:
    return _squared_volume(vectors, lambda h, height, v: h @ v / (v @ v) * v)


def _from_rows_at_once(vectors: Array) -> float:
    volume = 1.0
    for i, v in enumerate(vectors):
        h = v - sum((v @ u / (u @ u) * u for u in vectors[:i] if u @ u > 0), np.zeros(len(v)))
        volume *= float(h @ h)
    return volume


def _from_rows_at_once_unguarded(vectors: Array) -> float:
    volume = 1.0
    for i, v in enumerate(vectors):
        h = v - sum((v @ u / (u @ u) * u for u in vectors[:i]), np.zeros(len(v)))
        volume *= float(h @ h)
    return volume


def _from_the_last(vectors: Array) -> float:
    volume, height = 1.0, np.zeros(vectors.shape[1])
    for v in vectors:
        h = v - (v @ height / (height @ height) * height if height @ height > 0 else 0.0)
        volume, height = volume * float(h @ h), h
    return volume


def _from_the_first(vectors: Array) -> float:
    volume = 1.0
    for i, v in enumerate(vectors):
        first = vectors[0]
        h = v - v @ first / (first @ first) * first if i and first @ first > 0 else v
        volume *= float(h @ h)
    return volume


def _undivided(vectors: Array) -> float:
    return _squared_volume(vectors, lambda h, height, v: h @ height * height)


def _divided_by_length(vectors: Array) -> float:
    return _squared_volume(vectors, lambda h, height, v: h @ height / sqrt(height @ height) * height)


def _shadows(vectors: Array) -> float:
    """Multiplies what is taken off instead of what is left."""
    volume = 1.0
    heights: list[Array] = []
    for v in vectors:
        h = np.array(v)
        for height in heights:
            if height @ height > 0:
                h = h - h @ height / (height @ height) * height
        shadow = v - h if heights else v
        heights.append(h)
        volume *= float(shadow @ shadow)
    return volume


def _added_up(vectors: Array) -> float:
    total = 0.0
    heights: list[Array] = []
    for v in vectors:
        h = np.array(v)
        for height in heights:
            if height @ height > 0:
                h = h - h @ height / (height @ height) * height
        heights.append(h)
        total += float(h @ h)
    return total


def _of_distances(vectors: Array) -> float:
    return float(np.linalg.det(1 - vectors @ vectors.T))


def _of_inner_products(vectors: Array) -> float:
    return float(np.linalg.det(vectors @ vectors.T))


def _unguarded(vectors: Array) -> float:
    volume = 1.0
    heights: list[Array] = []
    for v in vectors:
        h = np.array(v)
        for height in heights:
            h = h - h @ height / (height @ height) * height
        heights.append(h)
        volume *= float(h @ h)
    return volume


def _unguarded_loop(vectors: Array) -> float:
    volume = 1.0
    heights: list[list[float]] = []
    for v in vectors.tolist():
        h = v
        for height in heights:
            share = sum(a * b for a, b in zip(h, height)) / sum(b * b for b in height)
            h = [a - share * b for a, b in zip(h, height)]
        heights.append(h)
        volume *= sum(a * a for a in h)
    return volume


def _none_is_nothing(vectors: Array) -> float:
    return determinant_by_projection(vectors) if len(vectors) else 0.0


SMALL_ROWS = st.integers(1, 3).flatmap(
    lambda d: st.lists(st.lists(st.integers(-2, 3), min_size=d, max_size=d), max_size=4).map(
        lambda rows: (np.array(rows, dtype=float).reshape(-1, d),)
    )
)

NEARLY_PARALLEL = np.array([[8192.0, 2.0**-14, 0.0], [8192.0, 0.0, 2.0**-14]])
"""Exactly 1/2 + 2**-56. Their inner products are both 2**26 in floating point, the squared lengths as well."""

DETERMINANT_BY_PROJECTION = Exercise(
    determinant_by_projection,
    expects=(
        "The value is never negative. It does not change when the rows change places, or when a multiple of one row is "
        "added to another; it grows fourfold when one row is doubled, and is 0 when a row lies in the span of "
        "others."
    ),
    edges=[
        (np.zeros((0, 2)),),
        (np.array([[3.0, 4.0]]),),
        (np.array([[0.0, 0.0]]),),
        (np.eye(3),),
        (np.array([[2.0, 0.0], [1.0, 3.0]]),),
        (np.array([[1.0, 2.0], [2.0, 4.0]]),),
        (np.array([[0.0, 0.0], [1.0, 1.0]]),),
        (np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 2.0]]),),
        (np.array([[1.0, 0.0], [1.0, 1.0], [2.0, 1.0]]),),
        (np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 2.0]]),),
        (np.array([[2.0, 1.0, 0.0, 1.0], [1.0, 3.0, 1.0, 0.0], [0.0, 1.0, 1.0, 2.0]]),),
        (NEARLY_PARALLEL,),
    ],
    inputs=SMALL_ROWS,
    misconceptions=[
        *_said_of(
            "That is the volume. The determinant of the inner products is its square: multiply squared heights.",
            _not_squared,
        ),
        *_said_of(
            "You multiply the squared lengths of the rows as they are. That is right for right angles only; in general "
            "the next factor is the height above the span of the rows before it.",
            _lengths_only,
        ),
        *_said_of(
            "You take off the projections on the earlier rows themselves. Rows that are not at right angles share "
            "directions, which are then taken off twice; project on the earlier heights, which do not.",
            _from_rows,
            _from_rows_at_once,
            _from_rows_at_once_unguarded,
        ),
        *_said_of(
            "You take off one projection only. What is left of a row has to be at right angles to all the earlier "
            "heights, not just to the last one or the first.",
            _from_the_last,
            _from_the_first,
        ),
        *_said_of(
            "The inner product alone is not the share: twice as long a height makes it twice as great, "
            "and the projection on a line does not care how long a vector on it is. Divide by the squared length.",
            _undivided,
            _divided_by_length,
        ),
        *_said_of(
            "You multiply what is taken off. The height is what is left of a row afterwards.",
            _shadows,
        ),
        *_said_of(
            "You add the squared heights. Area is base times height, and so on with each further dimension.",
            _added_up,
        ),
        *_said_of(
            "That is the determinant of the distances, one less each inner product. Volume belongs to the inner "
            "products, with the squared lengths on the diagonal.",
            _of_distances,
        ),
        *_said_of(
            "Right for most rows, but computed from the inner products. For two nearly parallel rows these agree to "
            "all digits of a float, and the small difference on which the volume rests is gone. Work on the rows.",
            _of_inner_products,
        ),
        *_said_of(
            "You divide by the squared length of a height that is zero. A row without height adds no direction: there "
            "is nothing to project on.",
            _unguarded,
            _unguarded_loop,
        ),
        *_said_of(
            "Right but for no rows at all: a product without factors is 1, and so is the determinant of an empty "
            "matrix.",
            _none_is_nothing,
        ),
    ],
)


# -- one step of the Cholesky factor -----------------------------------------------------------------------------
def cholesky_update(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    """The new column of coordinates, and the squared distances that are left, when j is chosen."""
    e = (kernel[j] - c @ c[j]) / np.sqrt(d2[j])
    return e, d2 - e * e


def _update_not_squared(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    e, _ = cholesky_update(kernel, c, d2, j)
    return e, d2 - e


def _update_by_square(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    e = (kernel[j] - c @ c[j]) / d2[j]
    return e, d2 - e * e


def _update_undivided(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    e = kernel[j] - c @ c[j]
    return e, d2 - e * e


def _update_by_length(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    e = (kernel[j] - c @ c[j]) / np.sqrt(kernel[j, j])
    return e, d2 - e * e


def _update_by_own(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    e = (kernel[j] - c @ c[j]) / np.sqrt(d2)
    return e, d2 - e * e


def _update_by_both(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    e = (kernel[j] - c @ c[j]) / np.sqrt(d2 * d2[j])
    return e, d2 - e * e


def _update_unprojected(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    e = kernel[j] / np.sqrt(d2[j])
    return e, d2 - e * e


def _update_last_column(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    known = c[:, -1] * c[j, -1] if c.shape[1] else 0.0
    e = (kernel[j] - known) / np.sqrt(d2[j])
    return e, d2 - e * e


def _update_added(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    e = (kernel[j] + c @ c[j]) / np.sqrt(d2[j])
    return e, d2 - e * e


def _update_from_lengths(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    e, _ = cholesky_update(kernel, c, d2, j)
    return e, kernel.diagonal() - e * e


def _update_upwards(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    e, _ = cholesky_update(kernel, c, d2, j)
    return e, d2 + e * e


def _update_whole(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    e, left = cholesky_update(kernel, c, d2, j)
    return np.column_stack([c, e]), left


def _update_roots(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    e, left = cholesky_update(kernel, c, d2, j)
    return e, np.sqrt(np.maximum(left, 0))


def _update_pair_swapped(kernel: Array, c: Array, d2: Array, j: int) -> tuple[Array, Array]:
    e, left = cholesky_update(kernel, c, d2, j)
    return left, e


def _halfway(rows: list[list[float]], n_chosen: int, order: list[int], j: int) -> Arguments:
    """A state of the search: in coordinates along the chosen heights, then along whatever is left.

    Args:
        rows: coordinates of the chosen items, in turn, then of the others.
        n_chosen: how many are chosen.
        order: the row of the kernel in which each of them stands.
        j: whose turn it is, as a place in ``order``.
    """
    x = np.array(rows)[np.argsort(order)]
    return x @ x.T, x[:, :n_chosen], (x[:, n_chosen:] ** 2).sum(axis=1), order[j]


@st.composite
def _states(draw: st.DrawFn) -> Arguments:
    n_chosen, rest, others = draw(st.integers(0, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    halves, positive = st.integers(-4, 4).map(lambda h: h / 2), st.sampled_from((1.0, 2.0, 0.5, 3.0))
    rows: list[list[float]] = []
    for own in range(n_chosen):
        rows.append([*(draw(halves) for _ in range(own)), draw(positive), *[0.0] * (n_chosen - own - 1 + rest)])
    for at in range(others):
        row = [draw(halves) for _ in range(n_chosen + rest)]
        rows.append([*row[:n_chosen], draw(positive), *row[n_chosen + 1 :]] if at == 0 else row)
    return _halfway(rows, n_chosen, draw(st.permutations(range(len(rows)))), n_chosen)


CHOLESKY_UPDATE = Exercise(
    cholesky_update,
    expects=(
        "The answer is a pair (e, d2) of arrays with one number a row of the kernel. In row j, e is the distance of j "
        "itself and the new d2 is 0; no new d2 is greater than the old one or less than 0, and with e appended to c, "
        "the squares of row i of c and d2 of i still add up to entry (i, i) of the kernel."
    ),
    edges=[
        _halfway([[2.0]], 0, [0], 0),
        _halfway([[1.0, 0.0], [3.0, 4.0]], 0, [0, 1], 1),
        _halfway([[3.0, 4.0], [1.0, 2.0], [0.0, 2.0]], 0, [2, 0, 1], 0),
        _halfway([[2.0, 0.0, 0.0], [1.0, 2.0, 0.0], [3.0, 1.0, 1.0]], 1, [0, 1, 2], 1),
        _halfway([[2.0, 0.0, 0.0], [1.0, 3.0, 0.0], [-1.0, 2.0, 1.0], [2.0, -1.0, 0.0]], 1, [2, 0, 3, 1], 1),
        _halfway([[2.0, 0, 0, 0], [1.0, 1.0, 0, 0], [1.0, 2.0, 2.0, 0], [2.0, 3.0, 1.0, 3.0]], 2, [1, 3, 0, 2], 2),
        _halfway([[0.5, 0, 0, 0], [2.0, 3.0, 0, 0], [1.0, -1.0, 3.0, 4.0], [1.0, 2.0, 2.0, 1.0]], 2, [3, 1, 0, 2], 2),
        _halfway([[1.0, 0, 0], [2.0, 1.0, 0], [2.0, 1.0, 3.0], [2.0, 1.0, 0], [2.0, 1.0, 3.0]], 2, [0, 1, 2, 3, 4], 2),
    ],
    inputs=_states(),
    misconceptions=[
        *_said_of(
            "Your e is right, but you take e off from the squared distances. By Pythagoras it is a square that goes.",
            _update_not_squared,
        ),
        *_said_of(
            "You divide by the squared distance of j. An inner product divided by a length is a coordinate: take "
            "the length.",
            _update_by_square,
        ),
        *_said_of(
            "You do not divide by the distance of j. Without that, e is an inner product with a vector of whatever "
            "length, and not a coordinate.",
            _update_undivided,
        ),
        *_said_of(
            "You divide by the length of vector j. The new direction is what is left of it above the span of the "
            "picked rows, and that is shorter.",
            _update_by_length,
        ),
        *_said_of(
            "You divide each row by its own distance. There is one new direction for all of them, that of j, and its "
            "length is the same for all.",
            _update_by_own,
            _update_by_both,
        ),
        *_said_of(
            "You take the inner products with vector j as they are. A part of them lies along the directions that "
            "are already in c, and has been counted there.",
            _update_unprojected,
        ),
        *_said_of(
            "You take off what lies along the direction opened last only. The earlier columns of c hold a part, too.",
            _update_last_column,
        ),
        *_said_of(
            "You add what lies along the earlier directions. It has to go out of the inner product: it has been "
            "counted.",
            _update_added,
        ),
        *_said_of(
            "Your e is right, but you start again from the diagonal of the kernel. What earlier picks took off "
            "is in d2, and stays off.",
            _update_from_lengths,
        ),
        *_said_of(
            "Your squared distances grow. A span with one more direction can only come nearer to a vector.",
            _update_upwards,
        ),
        *_said_of(
            "Your two values have changed places: the new coordinates come first, then the squared distances.",
            _update_pair_swapped,
        ),
        *_said_of(
            "Your first value is c with the new column. Return the new column alone.",
            _update_whole,
        ),
        *_said_of(
            "Your second value holds distances. They are to be returned squared.",
            _update_roots,
        ),
    ],
)


# -- DPP -------------------------------------------------------------------------------------------------------
def dpp(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    """Greedy search by an incremental Cholesky factor, from vectors; it ends where all are dependent."""
    return _grown(reward, vectors, k, lambda r, d2: theta * r + (1 - theta) * np.log(d2))


Column = Callable[[Array, Array, Array, int], Array]
"""Inner products with j, c, d2, j: the new column."""


def _projected(inner: Array, c: Array, d2: Array, j: int) -> Array:
    e: Array = (inner - c @ c[j]) / np.sqrt(d2[j])
    return e


def _pythagoras(d2: Array, e: Array) -> Array:
    return d2 - e * e


def _grown(
    reward: Array,
    vectors: Array,
    k: int,
    gain: Callable[[Array, Array], Array],
    column: Column = _projected,
    shrunk: Callable[[Array, Array], Array] = _pythagoras,
    fill: bool = False,
) -> list[int]:
    """Greedy search by d2, with something else for a part of it; ``fill`` goes on by reward where all are dependent."""
    length2 = (vectors**2).sum(axis=1)
    d2, c = length2, np.zeros((len(vectors), k))
    chosen: list[int] = []
    left = np.full(len(vectors), True)
    for at in range(k):
        free = left & (d2 > 1e-10 * length2)
        if not free.any() and not fill:
            break
        value = np.full(len(vectors), -inf)
        if free.any():
            value[free] = gain(reward[free], d2[free])
        else:
            value[left] = reward[left]
        j = int(value.argmax())
        chosen.append(j)
        left[j] = False
        if free.any():
            c[:, at] = column(vectors @ vectors[j], c[:, :at], d2, j)
            d2 = shrunk(d2, c[:, at])
    return chosen


def _dpp_without_log(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _grown(reward, vectors, k, lambda r, d2: theta * r + (1 - theta) * d2)


def _dpp_of_distance(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _grown(reward, vectors, k, lambda r, d2: theta * r + (1 - theta) * np.log(d2) / 2)


def _dpp_weights_swapped(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _grown(reward, vectors, k, lambda r, d2: (1 - theta) * r + theta * np.log(d2))


def _dpp_unweighted(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _grown(reward, vectors, k, lambda r, d2: r + np.log(d2))


def _dpp_reward_unweighted(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _grown(reward, vectors, k, lambda r, d2: r + (1 - theta) * np.log(d2))


def _dpp_log_unweighted(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _grown(reward, vectors, k, lambda r, d2: theta * r + np.log(d2))


def _dpp_volume_only(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _grown(reward, vectors, k, lambda r, d2: np.log(d2))


def _dpp_alike(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _grown(reward, vectors, k, lambda r, d2: theta * r - (1 - theta) * np.log(d2))


def _weighed(theta: float) -> Callable[[Array, Array], Array]:
    return lambda r, d2: theta * r + (1 - theta) * np.log(d2)


def _dpp_not_squared(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _grown(reward, vectors, k, _weighed(theta), shrunk=lambda d2, e: d2 - e)


def _dpp_by_square(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _grown(reward, vectors, k, _weighed(theta), lambda inner, c, d2, j: (inner - c @ c[j]) / d2[j])


def _dpp_unprojected(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _grown(reward, vectors, k, _weighed(theta), lambda inner, c, d2, j: inner / np.sqrt(d2[j]))


def _dpp_last_column(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    def column(inner: Array, c: Array, d2: Array, j: int) -> Array:
        known = c[:, -1] * c[j, -1] if c.shape[1] else 0.0
        e: Array = (inner - known) / np.sqrt(d2[j])
        return e

    return _grown(reward, vectors, k, _weighed(theta), column)


def _dpp_from_the_last(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    """Squared distance from the line of the item chosen last, whatever was chosen before."""
    length2 = (vectors**2).sum(axis=1)
    return _grown(
        reward,
        vectors,
        k,
        _weighed(theta),
        lambda inner, c, d2, j: inner / np.sqrt(length2[j]),
        lambda d2, e: length2 - e * e,
    )


def _dpp_of_unit_vectors(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    length = np.sqrt((vectors**2).sum(axis=1))
    unit = vectors / np.where(length > 0, length, 1.0)[:, np.newaxis]
    return dpp(reward, unit, k, theta)


def _from_one(reward: Array, vectors: Array, k: int, theta: float, once: bool) -> list[int]:
    """Every d2 is 1 at first, whatever the length of the vector; ``once``: no row is picked again."""
    length2 = (vectors**2).sum(axis=1)
    d2, c = np.ones(len(vectors)), np.zeros((len(vectors), k))
    chosen: list[int] = []
    for at in range(k):
        free = d2 > 1e-10 * length2
        if once:
            free[chosen] = False
        if not free.any():
            break
        value = np.full(len(vectors), -inf)
        value[free] = theta * reward[free] + (1 - theta) * np.log(d2[free])
        j = int(value.argmax())
        chosen.append(j)
        c[:, at] = (vectors @ vectors[j] - c[:, :at] @ c[j, :at]) / np.sqrt(d2[j])
        d2 = d2 - c[:, at] ** 2
    return chosen


def _dpp_from_one(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _from_one(reward, vectors, k, theta, True)


def _dpp_from_one_again(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _from_one(reward, vectors, k, theta, False)


def _dpp_from_the_nearest(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    """Squared distance from the nearest of the lines of the picked rows."""
    length2 = (vectors**2).sum(axis=1)
    return _grown(
        reward,
        vectors,
        k,
        _weighed(theta),
        lambda inner, c, d2, j: inner / np.sqrt(length2[j]),
        lambda d2, e: np.minimum(d2, length2 - e * e),
    )


def _dpp_to_the_nearest(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    """Squared distance to the nearest of the picked rows."""
    length2 = (vectors**2).sum(axis=1)
    return _grown(
        reward,
        vectors,
        k,
        _weighed(theta),
        lambda inner, c, d2, j: np.sqrt(np.maximum(length2 + length2[j] - 2 * inner, 0)),
        lambda d2, e: np.minimum(d2, e * e),
    )


def _dpp_filled_up(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    return _grown(reward, vectors, k, _weighed(theta), fill=True)


def _dpp_absolute(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    d2, c = (vectors**2).sum(axis=1), np.zeros((len(vectors), k))
    chosen: list[int] = []
    for at in range(k):
        free = np.flatnonzero(d2 > 1e-10)
        if not len(free):
            break
        j = int(free[np.argmax(theta * reward[free] + (1 - theta) * np.log(d2[free]))])
        chosen.append(j)
        c[:, at] = (vectors @ vectors[j] - c[:, :at] @ c[j, :at]) / np.sqrt(d2[j])
        d2 = d2 - c[:, at] ** 2
    return chosen


def _dpp_clipped(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    length2 = (vectors**2).sum(axis=1)
    d2, c = length2, np.zeros((len(vectors), k))
    chosen: list[int] = []
    for at in range(k):
        value = theta * reward + (1 - theta) * np.log(np.maximum(d2, 1e-12))
        value[chosen] = -inf
        j = int(value.argmax())
        chosen.append(j)
        c[:, at] = (vectors @ vectors[j] - c[:, :at] @ c[j, :at]) / np.sqrt(max(d2[j], 1e-12))
        d2 = d2 - c[:, at] ** 2
    return chosen


def _dpp_by_similarity(reward: Array, vectors: Array, k: int, theta: float) -> list[int]:
    """MMR."""
    return mmr(reward, vectors @ vectors.T, k, theta)


def _as_good(arguments: Arguments, got: Any, expected: Any) -> bool:
    """The same rows; or both lists are right, and part where two gains are equal up to rounding."""
    if equal(got, expected, 1e-9):
        return True
    return _is_greedy(arguments, expected) and _is_greedy(arguments, got)


def _is_greedy(arguments: Arguments, got: Any) -> bool:
    """Whether every row of a list gained most, up to rounding, and the list ends where it should."""
    reward, vectors, k, theta = arguments
    if not isinstance(got, (list, tuple, np.ndarray)) or len(got) > k:
        return False
    if not all(isinstance(j, (int, np.integer)) and not isinstance(j, bool) and 0 <= j < len(reward) for j in got):
        return False
    length2 = (vectors**2).sum(axis=1)
    d2, c = length2, np.zeros((len(vectors), k))
    value = np.full(len(vectors), -inf)
    for at in range(k):
        free = d2 > 1e-10 * length2  # not a row that was chosen: its distance is 0
        if at == len(got):
            return not free.any()
        value[:] = -inf
        value[free] = theta * reward[free] + (1 - theta) * np.log(d2[free])
        j = int(got[at])
        if not (free[j] and value[j] >= value.max() - 1e-9):
            return False
        c[:, at] = (vectors @ vectors[j] - c[:, :at] @ c[j, :at]) / np.sqrt(d2[j])
        d2 = d2 - c[:, at] ** 2
    return True


@st.composite
def _candidates(draw: st.DrawFn) -> Arguments:
    n, d = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    halves = st.integers(-2, 2).map(lambda h: h / 2)
    vectors = draw(st.lists(st.lists(halves, min_size=d, max_size=d), min_size=n, max_size=n))
    reward = draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))
    theta = draw(st.sampled_from((0.5, 0.25, 0.75, 0.0, 0.875)))
    return np.array(reward) / 4, np.array(vectors), draw(st.integers(1, n)), theta


def _many(rng: np.random.Generator) -> Arguments:
    """20,000 candidates: all inner products are 3.2 GB."""
    n = 20_000
    return (rng.random(n) * 2).round(4), rng.normal(0, 0.3, (n, 32)).round(3), 30, 0.5


CORNERS = np.array(
    [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [1.0, 0.5, 0.5], [0.0, 1.0, 1.0], [0.5, 0.5, -1.0], [-1.0, 0.0, 0.5]]
)
WIDE = np.array(
    [
        [2.0, 1.0, 0.0, 0.5, 0.0],
        [1.5, 1.0, 0.5, 0.0, 0.5],
        [0.0, 2.0, 1.0, 0.0, 0.0],
        [0.5, 0.0, 2.0, 1.0, 0.0],
        [1.0, 1.5, 0.0, 0.0, 1.0],
        [0.0, 0.0, 1.0, 1.5, 0.5],
        [1.0, 0.0, 0.0, 1.0, 2.0],
        [2.0, 0.5, 0.5, 0.0, 0.0],
    ]
)

DPP = Exercise(
    dpp,
    expects=(
        "A right answer has different rows in the order in which they were picked. Each has the greatest theta * "
        "reward + (1 - theta) * log of its squared distance from the span of the rows picked before, and the "
        "answer is shorter than k only where every row that is left is dependent (d2 <= 1e-10 of its squared length)."
    ),
    edges=[
        (np.array([0.5]), np.array([[1.0]]), 1, 0.5),
        (np.array([0.5, 0.25]), np.array([[0.0], [1.0]]), 2, 0.5),
        (np.array([0.5, 0.25]), np.zeros((2, 2)), 2, 0.5),
        (np.array([1.0, 0.75, 0.5]), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 3, 0.5),
        (np.array([1.5, 1.25, 1.0, 0.75, 0.5, 0.25]), CORNERS, 6, 0.5),
        (np.array([1.5, 1.25, 1.0, 0.75, 0.5, 0.25]), CORNERS, 3, 0.75),
        (np.array([0.25, 1.25, 2.0, 0.0, 0.5, 1.75]), CORNERS, 3, 0.25),
        (np.array([0.25, 1.25, 2.0, 0.0, 0.5, 1.75]), CORNERS, 3, 0.0),
        (np.array([1.5, 1.25, 1.0, 0.75, 0.5, 0.25]), CORNERS / 2**20, 6, 0.5),
        (np.array([1.5, 1.25, 1.0, 0.75, 0.5, 0.25]), CORNERS * 2**20, 6, 0.5),
        (np.array([2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25]), WIDE, 5, 0.5),
        (np.array([1.0, 2.0, 0.5, 1.75, 0.0, 1.5, 0.25, 1.25]), WIDE, 7, 0.75),
        (np.array([1.0, 2.0, 0.5, 1.75, 0.0, 1.5, 0.25, 1.25]), WIDE, 5, 0.25),
        (np.array([1.0, 2.0, 0.5, 1.75, 0.0, 1.5, 0.25, 1.25]), WIDE, 5, 0.0),
    ],
    inputs=_candidates(),
    large=_many,
    same=_as_good,
    misconceptions=[
        *_said_of(
            "You add the squared distance itself to the reward. Distances multiply to a volume, so it is their "
            "logarithms that add up, as rewards do.",
            _dpp_without_log,
        ),
        *_said_of(
            "You take the logarithm of the distance. The determinant is the squared volume, so the logarithm "
            "is of the squared distance: yours counts half.",
            _dpp_of_distance,
        ),
        *_said_of(
            "Your weights have changed places: theta belongs to the reward. At theta = 0 the rewards say nothing.",
            _dpp_weights_swapped,
        ),
        *_said_of(
            "Your slate does not depend on theta. The reward has weight theta, the logarithm 1 - theta.",
            _dpp_unweighted,
            _dpp_volume_only,
        ),
        *_said_of(
            "One of your two terms has no weight. At theta = 0 the rewards say nothing, and the closer theta is to 1, "
            "the less volume counts.",
            _dpp_reward_unweighted,
            _dpp_log_unweighted,
        ),
        *_said_of(
            "Your vectors all have length 1, or your d2 starts at 1. Vectors may have any length; a long one adds more "
            "volume.",
            _dpp_of_unit_vectors,
            _dpp_from_one,
            _dpp_from_one_again,
        ),
        *_said_of(
            "You take the logarithm off. A large distance from what was picked is what is sought.",
            _dpp_alike,
        ),
        *_said_of(
            "Your d2 shrinks by the new coordinate instead of by its square.",
            _dpp_not_squared,
        ),
        *_said_of(
            "Your new coordinates are divided by the squared distance of the picked row. Divide by the distance.",
            _dpp_by_square,
        ),
        *_said_of(
            "Your new coordinates come from the whole inner product. A part of it lies along the earlier directions "
            "and has been taken off before; it has to go out of the inner product first.",
            _dpp_unprojected,
        ),
        *_said_of(
            "You look at the row picked last, or at the last column of c, only. The span is that of all rows picked "
            "so far.",
            _dpp_last_column,
            _dpp_from_the_last,
        ),
        *_said_of(
            "You look at one pick at a time; a row can lie in the span of two and be near neither.",
            _dpp_from_the_nearest,
            _dpp_to_the_nearest,
        ),
        *_said_of(
            "You fill the slate up where no row that is left has any distance from the span. Here it ends: without "
            "volume there is no logarithm to compare, and rounding must not choose.",
            _dpp_filled_up,
            _dpp_clipped,
        ),
        *_said_of(
            "Your limit for dependent candidates does not depend on the length of their vectors: where all vectors are "
            "short, nothing is left, and where they are long, rounding passes for volume.",
            _dpp_absolute,
        ),
        *_said_of(
            "That is MMR. It compares with the closest of the picked rows; DPP with all of them together, by the "
            "distance from their span.",
            _dpp_by_similarity,
        ),
    ],
)


# -- infeasible rules --------------------------------------------------------------------------------------------
Rule = tuple[Any, ...]
"""("run", tag, most), ("window", tag, most, size) or ("prefix", tag, most, size)."""


def infeasible(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    """Which rules keep items out where none may stand, and how many rules "relax" keeps."""
    return _report(above, left, rules, _stands)


def _stands(above: list[Item], item: Item, rule: Rule) -> bool:
    """Whether a rule lets an item stand right below those above."""
    name, tag, most, *size = rule
    if tag not in item:
        return True
    if name == "run":
        return len(above) < most or not all(tag in other for other in above[-most:])
    if name == "window":
        return bool(_count(above[-(size[0] - 1) :], tag) < most)
    return bool(len(above) >= size[0] or _count(above, tag) < most)


def _count(items: list[Item], tag: str) -> int:
    return sum(tag in item for item in items)


def _report(
    above: list[Item], left: list[Item], rules: list[Rule], stands: Callable[[list[Item], Item, Rule], bool]
) -> tuple[list[int], int]:
    """The answer, for one reading of the rules."""
    kept = _kept(above, left, rules, stands)
    return (_against(above, left, rules, stands) if kept < len(rules) else []), kept


def _kept(
    above: list[Item], left: list[Item], rules: list[Rule], stands: Callable[[list[Item], Item, Rule], bool]
) -> int:
    """How many rules from the first on leave an item."""
    return max(
        m for m in range(len(rules) + 1) if any(all(stands(above, item, rule) for rule in rules[:m]) for item in left)
    )


def _against(
    above: list[Item], left: list[Item], rules: list[Rule], stands: Callable[[list[Item], Item, Rule], bool]
) -> list[int]:
    """The rules that keep out some item."""
    return [n for n, rule in enumerate(rules) if not all(stands(above, item, rule) for item in left)]


def _window_one_more(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        if rule[0] == "window" and rule[1] in item:
            return bool(_count(above[-rule[3] :], rule[1]) < rule[2])
        return _stands(above, item, rule)

    return _report(above, left, rules, stands)


def _window_one_less(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        if rule[0] == "window" and rule[1] in item:
            return bool(_count(above[max(len(above) - rule[3] + 2, 0) :], rule[1]) < rule[2])
        return _stands(above, item, rule)

    return _report(above, left, rules, stands)


def _window_as_prefix(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        return _stands(above, item, ("prefix", *rule[1:]) if rule[0] == "window" else rule)

    return _report(above, left, rules, stands)


def _window_of_all(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        if rule[0] == "window" and rule[1] in item:
            return bool(_count(above, rule[1]) < rule[2])
        return _stands(above, item, rule)

    return _report(above, left, rules, stands)


def _prefix_as_window(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        return _stands(above, item, ("window", *rule[1:]) if rule[0] == "prefix" else rule)

    return _report(above, left, rules, stands)


def _prefix_for_ever(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        if rule[0] == "prefix" and rule[1] in item:
            return bool(_count(above, rule[1]) < rule[2])
        return _stands(above, item, rule)

    return _report(above, left, rules, stands)


def _prefix_counted_at_its_top(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    """Counts in the prefix, but never asks whether the position lies in it."""

    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        if rule[0] == "prefix" and rule[1] in item:
            return bool(_count(above[: rule[3]], rule[1]) < rule[2])
        return _stands(above, item, rule)

    return _report(above, left, rules, stands)


def _prefix_one_more(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        return _stands(above, item, (*rule[:3], rule[3] + 1) if rule[0] == "prefix" else rule)

    return _report(above, left, rules, stands)


def _prefix_one_less(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        return _stands(above, item, (*rule[:3], rule[3] - 1) if rule[0] == "prefix" else rule)

    return _report(above, left, rules, stands)


def _run_anywhere(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        if rule[0] == "run" and rule[1] in item:
            return bool(_count(above, rule[1]) < rule[2])
        return _stands(above, item, rule)

    return _report(above, left, rules, stands)


def _run_one_more(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        return _stands(above, item, (*rule[:2], rule[2] + 1) if rule[0] == "run" else rule)

    return _report(above, left, rules, stands)


def _run_one_less(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        if rule[0] == "run" and rule[1] in item:
            return not all(rule[1] in other for other in above[len(above) - rule[2] + 1 :])
        return _stands(above, item, rule)

    return _report(above, left, rules, stands)


def _run_before_it_is_full(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    """All of the last ``most`` items have the tag, even where there are fewer."""

    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        if rule[0] == "run" and rule[1] in item:
            return not all(rule[1] in other for other in above[-rule[2] :])
        return _stands(above, item, rule)

    return _report(above, left, rules, stands)


def _limit_one_more(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        return _stands(above, item, (*rule[:2], rule[2] + 1, *rule[3:]))

    return _report(above, left, rules, stands)


def _limit_one_more_of_counts(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    """In the rules that count; a run is seen otherwise."""

    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        return _stands(above, item, rule if rule[0] == "run" else (*rule[:2], rule[2] + 1, *rule[3:]))

    return _report(above, left, rules, stands)


def _limit_one_more_of_slices(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    """A run, too, by a count: that of the last ``most`` items, which cannot be greater than ``most``."""

    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        return rule[0] == "run" or _stands(above, item, (*rule[:2], rule[2] + 1, *rule[3:]))

    return _report(above, left, rules, stands)


def _rules_on_everything(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    def stands(above: list[Item], item: Item, rule: Rule) -> bool:
        return _stands(above, item | {rule[1]}, rule)

    return _report(above, left, rules, stands)


def _one_at_a_time(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    """Takes a position for feasible if each rule leaves something."""
    alone = [any(_stands(above, item, rule) for item in left) for rule in rules]
    kept = alone.index(False) if False in alone else len(rules)
    return (_against(above, left, rules, _stands) if kept < len(rules) else []), kept


def _guilty_alone(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    kept = _kept(above, left, rules, _stands)
    alone = [n for n, rule in enumerate(rules) if not any(_stands(above, item, rule) for item in left)]
    return (alone if kept < len(rules) else []), kept


def _always_told(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    return _against(above, left, rules, _stands), _kept(above, left, rules, _stands)


def _all_guilty(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    kept = _kept(above, left, rules, _stands)
    return (list(range(len(rules))) if kept < len(rules) else []), kept


def _dropped_guilty(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    kept = _kept(above, left, rules, _stands)
    return (list(range(kept, len(rules)))), kept


def _counts_dropped(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    blocking, kept = infeasible(above, left, rules)
    return blocking, len(rules) - kept


def _drops_first(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    blocking, _ = infeasible(above, left, rules)
    return blocking, _kept(above, left, rules[::-1], _stands)


def _drops_blocking(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    blocking, _ = infeasible(above, left, rules)
    return blocking, len(rules) - len(blocking)


def _drops_only_blocking(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    """From the last on until an item may stand, but only rules that shut out one."""
    blocking, kept = infeasible(above, left, rules)
    return blocking, len(rules) - len([n for n in blocking if n >= kept])


def _drops_all(above: list[Item], left: list[Item], rules: list[Rule]) -> tuple[list[int], int]:
    blocking, kept = infeasible(above, left, rules)
    return blocking, kept if kept == len(rules) else 0


KINDS = ({"image"}, {"video"}, {"image", "shop"}, {"video", "shop"})

RULES = st.one_of(
    st.builds(lambda tag, most: ("run", tag, most), st.sampled_from(("image", "video", "shop")), st.integers(1, 2)),
    st.builds(
        lambda tag, most, more: ("window", tag, most, most + more),
        st.sampled_from(("shop", "video", "image")),
        st.integers(1, 2),
        st.integers(1, 2),
    ),
    st.builds(
        lambda tag, most, more: ("prefix", tag, most, most + more),
        st.sampled_from(("shop", "video", "image")),
        st.integers(0, 2),
        st.integers(1, 3),
    ),
)


def _position(items: list[int], left: list[int], rules: list[Rule]) -> Arguments:
    """What is above satisfies the rules: of the items given, those that do."""
    above: list[Item] = []
    for kind in items:
        if all(_stands(above, KINDS[kind], rule) for rule in rules):
            above.append(set(KINDS[kind]))
    return above, [set(KINDS[kind]) for kind in left], rules


IMAGE, VIDEO, CARD = {"image"}, {"video"}, {"image", "shop"}
SHOP_RULES = [("prefix", "shop", 0, 1), ("prefix", "shop", 1, 4)]

INFEASIBLE = Exercise(
    infeasible,
    expects=(
        "The answer is (blocking, kept): numbers of rules from 0 on, rising, and how many rules stay in force. "
        "Where some item that is left satisfies all rules, it is an empty list and the number of rules; where none "
        "does, `blocking` is not empty and `kept` is at most its greatest number."
    ),
    edges=[
        ([], [IMAGE], []),
        ([], [CARD], SHOP_RULES),
        ([], [CARD, VIDEO], SHOP_RULES),
        ([IMAGE], [CARD], SHOP_RULES),
        ([IMAGE, CARD], [CARD], SHOP_RULES),
        ([IMAGE, CARD, VIDEO], [CARD], SHOP_RULES),
        ([IMAGE, CARD, VIDEO, VIDEO], [CARD], SHOP_RULES),
        ([VIDEO, VIDEO], [VIDEO, CARD], [("run", "video", 2), ("prefix", "shop", 0, 4)]),
        ([VIDEO, VIDEO], [VIDEO, CARD], [("prefix", "shop", 0, 4), ("run", "video", 2), ("run", "image", 1)]),
        ([VIDEO, IMAGE, VIDEO], [VIDEO], [("run", "video", 2)]),
        ([VIDEO], [VIDEO], [("run", "video", 2)]),
        ([IMAGE, VIDEO, VIDEO], [VIDEO], [("run", "video", 2)]),
        ([IMAGE, VIDEO, VIDEO], [VIDEO, VIDEO, IMAGE], [("run", "video", 2)]),
        ([CARD, VIDEO], [CARD], [("window", "shop", 1, 3)]),
        ([CARD, VIDEO, VIDEO], [CARD], [("window", "shop", 1, 3)]),
        ([IMAGE, VIDEO, CARD, VIDEO], [CARD], [("window", "shop", 1, 3)]),
        ([CARD, VIDEO, IMAGE, VIDEO], [CARD], [("window", "shop", 1, 3)]),
        (
            [VIDEO, VIDEO, CARD],
            [CARD, IMAGE],
            [("run", "image", 1), ("window", "shop", 1, 2), ("prefix", "video", 2, 5)],
        ),
        ([VIDEO, VIDEO, CARD], [CARD, VIDEO], [("run", "shop", 1), ("run", "image", 2), ("prefix", "video", 2, 5)]),
        ([VIDEO, VIDEO, CARD], [CARD, VIDEO], [("prefix", "video", 2, 5), ("run", "image", 2), ("run", "image", 1)]),
        ([VIDEO, VIDEO], [VIDEO], [("window", "video", 2, 3), ("run", "video", 2), ("run", "image", 1)]),
    ],
    inputs=st.builds(
        _position,
        st.lists(st.integers(0, 3), max_size=6),
        st.lists(st.integers(0, 3), min_size=1, max_size=3),
        st.lists(RULES, max_size=4),
    ),
    misconceptions=[
        *_said_of(
            "You ask of each rule alone whether it leaves something. One may keep out these items and another those: "
            "the position can be filled only if one and the same item satisfies all rules.",
            _one_at_a_time,
        ),
        *_said_of(
            "You blame only rules that keep out every item that is left. Often none does that alone: "
            "two rules share the work, and both belong in the answer.",
            _guilty_alone,
        ),
        *_said_of(
            "You name rules although the position can be filled. A rule that keeps something out does no harm as long "
            "as one item may stand.",
            _always_told,
        ),
        *_said_of(
            "You blame all rules. Those that every item left satisfies have nothing to do with it.",
            _all_guilty,
        ),
        *_said_of(
            "You blame the rules that are dropped. A rule that is kept may have shut out items, too, and one that is "
            "dropped in passing may be innocent.",
            _dropped_guilty,
        ),
        *_said_of(
            "Your second value counts the rules that are dropped. It should be the number of those that are kept.",
            _counts_dropped,
        ),
        *_said_of(
            "You drop rules from the first on. The first is the most important and is the last to go.",
            _drops_first,
        ),
        *_said_of(
            "You drop exactly the rules that keep something out. Here they go one by one from the last, innocent ones "
            "among them, and as soon as an item may stand, no more go.",
            _drops_blocking,
        ),
        *_said_of(
            "You drop only blocking rules. Rules go from the last on, blocking or not.",
            _drops_only_blocking,
        ),
        *_said_of(
            "You drop all rules as soon as they cannot all be satisfied. One by one, from the last: fewer may do.",
            _drops_all,
        ),
        *_said_of(
            "Your window looks one position too far up. The position that is to be filled is one of its `size`.",
            _window_one_more,
        ),
        *_said_of(
            "Your window is one position too short: it is the position that is to be filled and all but one of `size` "
            "above it.",
            _window_one_less,
        ),
        *_said_of(
            'Your "window" rule holds at the top of the slate only, or counts the whole of it. It is about any `size` '
            "consecutive positions, and here about those that end with the one to be filled.",
            _window_as_prefix,
            _window_of_all,
        ),
        *_said_of(
            'Your "prefix" rule goes on below the first `size` positions. There it has nothing to say.',
            _prefix_as_window,
            _prefix_for_ever,
            _prefix_counted_at_its_top,
        ),
        *_said_of(
            "Your prefix is off by one. With no items above, the position to be filled is the first; with `size` items "
            "above, it is the first one outside.",
            _prefix_one_more,
            _prefix_one_less,
        ),
        *_said_of(
            'Your "run" rule counts items anywhere above. A run is broken by every item of another kind.',
            _run_anywhere,
        ),
        *_said_of(
            "Your run is off by one. Exactly `most` of a kind may follow one another; the next is one too many.",
            _run_one_more,
            _run_one_less,
        ),
        *_said_of(
            "Where fewer than `most` items stand above, a run cannot be full.",
            _run_before_it_is_full,
        ),
        *_said_of(
            "Your limit lets one too many in. `most` is the number with the new item added.",
            _limit_one_more,
            _limit_one_more_of_counts,
            _limit_one_more_of_slices,
        ),
        *_said_of(
            "Your rules keep out items that do not have their tag. A rule has nothing to say about these.",
            _rules_on_everything,
        ),
    ],
)


EXERCISES = by_name(
    BY_HAND,
    MMR,
    WINDOWED_MMR,
    MAX_IN_WINDOW,
    DETERMINANT_BY_PROJECTION,
    CHOLESKY_UPDATE,
    DPP,
    INFEASIBLE,
)
check = checker(EXERCISES)
