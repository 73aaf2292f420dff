"""Inputs on which reference and fast path of each metric are compared: random ones and those that break things."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rectutor.data.interactions import Interactions
from rectutor.fastpath import Case


# -- lists ---------------------------------------------------------------------------------------------
def some_lists(rng: np.random.Generator, users: int, items: int, k: int, padded: bool = False) -> NDArray[np.int32]:
    """Lists without repeats; with ``padded`` some end in -1 and some hold nothing."""
    lists = np.argsort(rng.random((users, items)), axis=1)[:, :k].astype(np.int32)
    if padded:
        lists[np.arange(k)[None, :] >= rng.integers(0, k + 1, users)[:, None]] = -1
    return lists


def some_truth(rng: np.random.Generator, users: int, items: int, density: float) -> sparse.csr_array:
    """Small whole values at random places; some rows are empty, one never is."""
    dense = rng.integers(1, 6, (users, items)) * (rng.random((users, items)) < density)
    dense[rng.integers(users), rng.integers(items)] = 1
    return sparse.csr_array(dense)


def lists(rng: np.random.Generator) -> Iterator[Case]:
    """Recommendation lists with what the users like."""
    full, truth = some_lists(rng, 40, 30, 10), some_truth(rng, 40, 30, 0.15)
    yield Case("random", (full, truth, 5))
    yield Case("whole lists, int64", (full.astype(np.int64), truth))
    yield Case("per user", (full, truth, 7), {"per_user": True})
    yield Case("weights", (full, truth, 3), {"weights": rng.random(40)})
    yield Case("padded and empty lists", (some_lists(rng, 40, 30, 10, padded=True), truth, 10))
    yield Case("padding in the middle", (np.array([[3, -1, 0, 2]]), sparse.csr_array([[1, 0, 1, 0]]), 4))
    yield Case("one user, one item", (np.array([[0]]), sparse.csr_array([[1]]), 1))
    yield Case("no hit at all", (np.array([[0, 1]]), sparse.csr_array([[0, 0, 1]]), 2))
    yield Case("likes more than k", (some_lists(rng, 9, 30, 3), some_truth(rng, 9, 30, 0.9), 2))
    yield Case("most users like nothing", (some_lists(rng, 30, 8, 4), some_truth(rng, 30, 8, 0.01), 4))
    unsorted = sparse.csr_array((np.ones(3), np.array([4, 0, 2]), np.array([0, 3])), shape=(1, 5))
    yield Case("unsorted truth", (np.array([[2, 1, 4]]), unsorted, 3))
    part = Interactions.from_arrays([0, 0, 1, 2], [5, 6, 6, 7], [2.0, 1.0, 4.0, 3.0]).subset(np.array([0, 1, 3]))
    yield Case("interactions with a user without rows", (np.array([[0, 2], [1, 0], [1, 2]]), part, 2))


def graded_lists(rng: np.random.Generator) -> Iterator[Case]:
    """The same, with graded gains as well."""
    yield from lists(rng)
    full, truth = some_lists(rng, 40, 30, 10), some_truth(rng, 40, 30, 0.4)
    for gain in ("linear", "exponential"):
        yield Case(f"{gain} gain", (full, truth, 6), {"gain": gain})
        yield Case(
            f"{gain} gain, few liked", (full, some_truth(rng, 40, 30, 0.05), 10), {"gain": gain, "per_user": True}
        )
    real = truth.astype(float) * 0.37
    yield Case("fractional gains", (full, real, 10), {"gain": "linear"})


def lists_of_size(users: int) -> Case:
    """For the timing."""
    rng = np.random.default_rng(users)
    items = 500
    full = np.argsort(rng.random((users, items)), axis=1)[:, :20].astype(np.int32)
    return Case(f"{users}", (full, sparse.random_array((users, items), density=0.02, rng=rng, format="csr"), 20))


def shown(rng: np.random.Generator) -> Iterator[Case]:
    """Lists and the size of the catalogue."""
    yield Case("random", (some_lists(rng, 20, 50, 5), 50))
    yield Case("padded", (some_lists(rng, 20, 50, 5, padded=True), 60))
    yield Case("nothing shown", (np.full((2, 3), -1), 4))
    yield Case("all shown", (some_lists(rng, 3, 4, 4), 4))


def lists_only(rng: np.random.Generator) -> Iterator[Case]:
    """Lists alone."""
    yield Case("random", (some_lists(rng, 20, 15, 5),))
    yield Case("padded", (some_lists(rng, 20, 15, 5, padded=True),))
    yield Case("all alike", (np.tile([3, 1, 2], (4, 1)),))
    yield Case("nothing in common", (np.arange(12).reshape(4, 3),))


def popular(rng: np.random.Generator) -> Iterator[Case]:
    """Lists and the popularity of items."""
    p = rng.uniform(0.01, 1, 30)
    for kind in ("self_information", "popularity"):
        yield Case(f"{kind}", (some_lists(rng, 20, 30, 5), p), {"kind": kind})
        yield Case(f"{kind}, padded", (some_lists(rng, 20, 30, 5, padded=True), p), {"kind": kind, "per_user": True})
    yield Case("an unknown item that is not recommended", (np.array([[0, 1]]), np.array([0.5, 1.0, 0.0])))


def diverse(rng: np.random.Generator) -> Iterator[Case]:
    """Lists with item vectors, or with similarities."""
    x = rng.standard_normal((30, 6))
    yield Case("vectors", (some_lists(rng, 20, 30, 5), x))
    yield Case("padded", (some_lists(rng, 20, 30, 5, padded=True), x), {"per_user": True})
    yield Case("two items", (np.array([[0, 1], [5, 5 - 1]]), x))
    yield Case("equal vectors", (np.array([[0, 1, 2]]), np.ones((3, 2))))
    s = rng.random((30, 30))
    yield Case("similarity", (some_lists(rng, 20, 30, 5, padded=True),), {"similarity": s + s.T})
    thin = sparse.random_array((30, 30), density=0.2, rng=rng)
    yield Case("sparse similarity", (some_lists(rng, 20, 30, 5),), {"similarity": sparse.csr_array(thin + thin.T)})


def amounts(rng: np.random.Generator) -> Iterator[Case]:
    """Non-negative amounts."""
    yield Case("random", (rng.random(50),))
    yield Case("counts with zeros", (rng.poisson(0.7, 60) + np.eye(1, 60, dtype=int)[0],))
    yield Case("equal", (np.full(7, 3.0),))
    yield Case("one", ([4],))
    yield Case("one takes all", ([0, 0, 9],))


# -- scores --------------------------------------------------------------------------------------------
def some_labels(rng: np.random.Generator, rows: int) -> NDArray[np.int8]:
    """Labels of both classes."""
    y = (rng.random(rows) < 0.3).astype(np.int8)
    y[rng.permutation(rows)[:2]] = [0, 1]
    return y


def scored_plain(rng: np.random.Generator) -> Iterator[Case]:
    """Labels and scores: with and without ties, of all types, and of all signs."""
    y = some_labels(rng, 300)
    yield Case("float64", (y, rng.standard_normal(300)))
    yield Case("float32", (y, rng.random(300).astype(np.float32)))
    yield Case("many ties", (y, rng.integers(0, 5, 300)))
    yield Case("all tied", (y, np.zeros(300)))
    yield Case("boolean labels, lists", ([True, False, True], [0.5, 0.5, 0.2]))
    yield Case("float labels", (y.astype(float), rng.random(300)))
    yield Case("signed zeros tie", ([0, 1, 1, 0], [0.0, -0.0, 0.0, -0.0]))
    yield Case("infinite and tiny", ([0, 1, 0, 1, 1], [np.inf, -np.inf, 5e-324, -5e-324, np.inf]))
    near = 1 + rng.integers(0, 3, 200) * np.finfo(np.float64).eps  # one number in float32
    yield Case("equal only in float32", (some_labels(rng, 200), near))
    yield Case("two rows", ([1, 0], [0.3, 0.7]))
    yield Case("every second row", (y[::2] | np.eye(1, 150, dtype=np.int8)[0], rng.random(600)[::4]))


def scored(rng: np.random.Generator) -> Iterator[Case]:
    """The same, with weights as well."""
    yield from scored_plain(rng)
    y = some_labels(rng, 100)
    yield Case("weights", (y, rng.integers(0, 20, 100), rng.random(100)))
    w = rng.integers(0, 3, 100)
    w[[np.argmax(y), np.argmin(y)]] = 1
    yield Case("whole weights, some 0", (y, rng.random(100), w))


def scored_of_size(rows: int) -> Case:
    """For the timing."""
    rng = np.random.default_rng(rows)
    return Case(f"{rows}", (some_labels(rng, rows), rng.random(rows)))


def grouped(rng: np.random.Generator) -> Iterator[Case]:
    """Groups, labels and scores."""
    y, g = some_labels(rng, 400), rng.integers(0, 30, 400)
    g[:40] = 3  # a large group with both classes
    y[:2] = [0, 1]
    for weight in ("impressions", "positives", "equal"):
        yield Case(f"weight {weight}", (g, y, rng.random(400)), {"weight": weight})
    yield Case("ties", (g, y, rng.integers(0, 4, 400)))
    yield Case("float32", (g, y, rng.random(400).astype(np.float32)))
    yield Case("sparse and negative ids", (g * 10**9 - 7, y, rng.random(400)))
    yield Case("text ids", (np.array([f"u{x}" for x in g.tolist()]), y, rng.random(400)))
    yield Case("one group", (np.zeros(50, int), some_labels(rng, 50), rng.random(50)))
    yield Case("single-class groups", ([0, 0, 1, 1, 2], [1, 1, 0, 1, 0], [0.1, 0.2, 0.3, 0.3, 0.9]))


def grouped_of_size(rows: int) -> Case:
    """For the timing."""
    rng = np.random.default_rng(rows)
    return Case(f"{rows}", (rng.integers(0, max(1, rows // 40), rows), some_labels(rng, rows), rng.random(rows)))


# -- probabilities -------------------------------------------------------------------------------------
def predicted_plain(rng: np.random.Generator) -> Iterator[Case]:
    """Labels and probabilities."""
    y = some_labels(rng, 500)
    yield Case("random", (y, rng.random(500)))
    yield Case("float32", (y, rng.random(500).astype(np.float32)))
    yield Case("certain and right or wrong", ([1, 0, 1, 0], [1.0, 0.0, 0.0, 1.0]))
    yield Case("tiny", (y, rng.random(500) * 1e-12))
    yield Case("17 rows", (some_labels(rng, 17), rng.random(17)))


def predicted(rng: np.random.Generator) -> Iterator[Case]:
    """The same, with weights, one class, and other clipping."""
    yield from predicted_plain(rng)
    y, p = some_labels(rng, 200), rng.random(200)
    yield Case("weights", (y, p, rng.random(200)))
    yield Case("wide clipping", (y, p), {"eps": 0.2})
    yield Case(
        "no clipping, products beyond float64", (np.ones(40, int), 10.0 ** -rng.integers(1, 300, 40)), {"eps": 0.0}
    )
    yield Case("one class", ([0, 0], [0.3, 0.6]))
    yield Case("one row", ([1], [0.3]))


def predicted_of_size(rows: int) -> Case:
    """For the timing."""
    rng = np.random.default_rng(rows)
    return Case(f"{rows}", (some_labels(rng, rows), rng.random(rows)))


def binned(rng: np.random.Generator) -> Iterator[Case]:
    """Labels, probabilities and bins."""
    y, p = some_labels(rng, 300), rng.random(300)
    for strategy in ("uniform", "quantile"):
        yield Case(strategy, (y, p), {"strategy": strategy})
        yield Case(f"{strategy}, 3 bins, ties on edges", (y, rng.integers(0, 4, 300) / 3, 3), {"strategy": strategy})
        yield Case(f"{strategy}, one value", ([0, 1], [0.5, 0.5], 4), {"strategy": strategy})
        yield Case(f"{strategy}, one bin", (y, p, 1), {"strategy": strategy})
    yield Case("empty bins, 0 and 1", ([0, 1, 1], [0.0, 1.0, 1.0], 7))


def downsampled(rng: np.random.Generator) -> Iterator[Case]:
    """Probabilities and rates."""
    yield Case("random", (rng.random(20), 0.1))
    yield Case("ends", ([0.0, 1.0], 0.01))
    yield Case("nothing left out", (rng.random(5), 1.0))


# -- ranks ---------------------------------------------------------------------------------------------
def ranked(rng: np.random.Generator) -> Iterator[Case]:
    """Scores, positives and negatives."""
    s, pos = rng.integers(0, 9, (20, 15)), rng.integers(0, 15, 20)
    drawn = np.argsort(rng.random((20, 14)), axis=1)[:, :6]
    for ties in ("worst", "best", "mean"):
        yield Case(f"all items, ties {ties}", (s, pos), {"ties": ties})
        yield Case(f"negatives, ties {ties}", (s, pos, drawn + (drawn >= pos[:, None])), {"ties": ties})
    yield Case("all equal", (np.zeros((3, 4)), [0, 1, 3]))
    yield Case("float64", (rng.random((5, 8)), [0, 1, 2, 3, 7]))


def sampled(rng: np.random.Generator) -> Iterator[Case]:
    """Full ranks and how many negatives are drawn."""
    ranks = rng.integers(1, 81, 12)
    for metric in ("hit_rate", "ndcg", "mrr"):
        yield Case(metric, (ranks, 80, 20), {"metric": metric, "k": 5})
    yield Case("all negatives", (ranks, 80, 79), {"k": 10})
    yield Case("fewer negatives than k", (ranks, 80, 3), {"k": 10, "metric": "mrr"})
    yield Case("first and last", ([1, 80], 80, 20), {"k": 1, "metric": "ndcg"})


# -- policies and tests --------------------------------------------------------------------------------
def logged(rng: np.random.Generator) -> Iterator[Case]:
    """Rewards, propensities and target probabilities."""
    r, mu, pi = (rng.random(200) < 0.3).astype(int), rng.uniform(0.05, 1, 200), rng.random(200)
    yield Case("random", (r, mu, pi))
    yield Case("clipped", (r, mu, pi), {"clip": 2.0, "level": 0.9})
    yield Case("target shows little of it", (r, mu, np.where(rng.random(200) < 0.9, 0, pi)))
    yield Case("real rewards", (rng.standard_normal(50), mu[:50], pi[:50]))
    yield Case("two rows", ([1, 0], [0.5, 0.5], [0.5, 0.25]))


def arms(rng: np.random.Generator) -> Iterator[Case]:
    """Control and treatment."""
    yield Case("random", (rng.standard_normal(100), rng.standard_normal(80) + 0.2))
    yield Case("clicks", ((rng.random(300) < 0.1).astype(int), (rng.random(300) < 0.2).astype(int)), {"level": 0.8})
    yield Case("no spread in one arm", ([1, 1, 1], [0, 1]))


def ratios(rng: np.random.Generator) -> Iterator[Case]:
    """Clicks and impressions of users."""
    shown_ = rng.integers(1, 30, 100)
    yield Case("random", (rng.binomial(shown_, 0.2), shown_))
    yield Case("a user without impressions", ([1, 0, 2], [3, 0, 2]))
    yield Case("two users without clicks", ([0, 0], [3, 5]))


def peeks(rng: np.random.Generator) -> Iterator[Case]:
    """Number of looks, level, grid."""
    del rng  # nothing random: a wider grid would only take the reference longer
    for looks, alpha in ((1, 0.05), (2, 0.05), (4, 0.1), (3, 0.01)):
        yield Case(f"{looks} looks at {alpha}", (looks, alpha), {"points": 101})
