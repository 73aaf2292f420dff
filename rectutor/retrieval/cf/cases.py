"""Inputs on which the neighbourhood methods are compared with their references, and what equal neighbours mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from rectutor.data.interactions import Interactions
from rectutor.fastpath import Case


def same_neighbours(got: Any, expected: Any, rtol: float, atol: float) -> None:
    """Each row keeps as many neighbours with the same similarities, best to worst, and no pair kept twice.

    Where similarities tie up to rounding, which of the tied is kept may differ; a pair that both sides keep has one
    value.
    """
    assert got.shape == expected.shape, f"shape {got.shape} instead of {expected.shape}"
    assert got.has_canonical_format, "codes do not ascend, or repeat, in a row"
    assert got.dtype == np.float32, f"{got.dtype} instead of float32"
    for i in range(got.shape[0]):
        g, e = got[[i]].tocoo(), expected[[i]].tocoo()
        values_g, values_e = np.sort(g.data)[::-1], np.sort(e.data)[::-1]
        assert len(values_g) == len(values_e), f"row {i} keeps {len(values_g)} neighbours instead of {len(values_e)}"
        np.testing.assert_allclose(values_g, values_e, rtol=rtol, atol=atol, err_msg=f"row {i}")
        value_of = dict(zip(e.coords[1].tolist(), e.data.tolist(), strict=True))
        for j, value in zip(g.coords[1].tolist(), g.data.tolist(), strict=True):
            if j in value_of:
                np.testing.assert_allclose(value, value_of[j], rtol=rtol, atol=atol, err_msg=f"pair {i}, {j}")


def clicks(rng: np.random.Generator, n_users: int = 30, n_items: int = 20, density: float = 0.2) -> sparse.csr_array:
    """Ones where a user met an item; popular items, idle users and unmet items occur."""
    popularity = rng.permutation(np.linspace(0.1, 2.0, n_items))
    met = rng.random((n_users, n_items)) < density * popularity
    met[0, 0] = True
    return sparse.csr_array(met.astype(np.float32))


def stars(rng: np.random.Generator, n_users: int = 30, n_items: int = 20, density: float = 0.4) -> sparse.csr_array:
    """Ratings 0.5 to 5 in half stars."""
    pattern = clicks(rng, n_users, n_items, density)
    pattern.data = (rng.integers(1, 11, len(pattern.data)) / 2).astype(np.float32)
    return pattern


def log_of(matrix: sparse.csr_array) -> Interactions:
    """The same as Interactions; users and items without any row leave the vocabulary."""
    cells = matrix.tocoo()
    return Interactions.from_arrays(cells.coords[0], cells.coords[1], cells.data)


def _options(matrix: sparse.csr_array, name: str, *options: dict[str, Any]) -> Iterator[Case]:
    """The input, by item and by user, under each set of options."""
    for by in ("item", "user"):
        shared: tuple[dict[str, Any], ...] = ({}, {"k": 3}, {"k": None, "shrink": 5.0}, {"k": 4, "min_common": 3})
        for option in (*shared, *options):
            yield Case(f"{name}, by {by}, {option}", (matrix,), {"by": by, **option})


def _edges(value: float = 1.0) -> Iterator[Case]:
    ones = np.full((6, 5), value, dtype=np.float32)
    yield Case("everybody met everything: all tie", (sparse.csr_array(ones),), {"k": 2})
    yield Case("one cell", (sparse.csr_array(ones[:1, :1]),))
    yield Case("one user", (sparse.csr_array(ones[:1]),), {"k": 2})
    yield Case("one item", (sparse.csr_array(ones[:, :1]),), {"by": "user"})
    lonely = np.zeros((5, 6), dtype=np.float32)
    lonely[[0, 1, 1, 2, 2], [0, 0, 1, 1, 2]] = value
    yield Case("idle users, unmet items", (sparse.csr_array(lonely),))
    yield Case("idle users, unmet items, by user", (sparse.csr_array(lonely),), {"by": "user"})


def sets(rng: np.random.Generator) -> Iterator[Case]:
    """Clicks, and ratings whose values must not count."""
    yield from _options(clicks(rng), "clicks")
    yield from _options(clicks(rng, 12, 90, 0.5), "more items than one group")
    yield Case("Interactions", (log_of(stars(rng)),), {"k": 5})
    yield from _edges()


def sums(rng: np.random.Generator) -> Iterator[Case]:
    """Counts and weighted values, some of them zero or negative."""
    yield from _options(clicks(rng), "clicks")
    yield from _options(stars(rng), "stars")
    yield Case("Interactions", (log_of(stars(rng)),), {"k": 5})
    signed = stars(rng)
    signed.data -= 2.5  # some stored entries are zero: they are common raters all the same
    yield from _options(signed, "signed")
    yield from _edges(2.0)


def cosines(rng: np.random.Generator) -> Iterator[Case]:
    """As :func:`sums`, with damping and inverse user frequency."""
    yield from sums(rng)
    options: tuple[dict[str, Any], ...] = ({"damping": 0.8}, {"damping": 0.0, "k": 3}, {"damping": 1.0}, {"iuf": True})
    yield from _options(clicks(rng), "damped clicks", *options)
    yield from _options(stars(rng), "damped stars", *options, {"iuf": True, "damping": 0.7, "shrink": 2.0})


def ratings(rng: np.random.Generator) -> Iterator[Case]:
    """Stars, with users who give everything the same."""
    yield from _options(stars(rng), "stars")
    flat = stars(rng)
    flat.data[: flat.indptr[10]] = 4.0
    yield from _options(flat, "flat raters")
    yield Case("Interactions", (log_of(stars(rng)),), {"k": 5})
    yield from _edges(4.0)


def correlations(rng: np.random.Generator) -> Iterator[Case]:
    """As :func:`ratings`, over common raters and over all."""
    yield from ratings(rng)
    for over in ("common", "all"):
        yield from _options(clicks(rng), f"clicks over {over}", {"over": over})
        yield from _options(stars(rng), f"stars over {over}", {"over": over}, {"over": over, "shrink": 3.0, "k": 4})
    scaled = clicks(rng)
    scaled.data *= 3
    yield from _options(scaled, "threes")


def swings(rng: np.random.Generator) -> Iterator[Case]:
    """Clicks under other smoothing and without user weights."""
    yield from _options(clicks(rng), "clicks", {"alpha": 0.0}, {"alpha": 5.0, "weighted": False})
    yield from _options(stars(rng), "stars")
    yield Case("Interactions", (log_of(stars(rng)),), {"k": 5})
    yield from _edges()


def documents(rng: np.random.Generator) -> Iterator[Case]:
    """Counts of terms in documents."""
    yield Case("clicks", (clicks(rng),))
    yield Case("stars", (stars(rng),))
    yield Case("one cell", (sparse.csr_array(np.ones((1, 1))),))


def documents_bm25(rng: np.random.Generator) -> Iterator[Case]:
    """As :func:`documents`, with other constants."""
    yield from documents(rng)
    yield Case("no length norm", (stars(rng),), {"k1": 100.0, "b": 0.0})


def neighbourhood(rng: np.random.Generator, n: int, k: int) -> sparse.csr_array:
    """Up to k neighbours a row with similarities of either sign; the first row has none."""
    dense = np.zeros((n, n), dtype=np.float32)
    for i in range(1, n):
        others = rng.permutation(n)[:k]
        dense[i, others[others != i]] = rng.uniform(-0.5, 1.0, np.count_nonzero(others != i))
    return sparse.csr_array(dense)


def _with_neighbours(rng: np.random.Generator, by: str) -> Iterator[tuple[str, sparse.csr_array, Any]]:
    for name, log in (("clicks", clicks(rng)), ("stars", stars(rng)), ("Interactions", log_of(stars(rng)))):
        shape = (log.n_users, log.n_items) if isinstance(log, Interactions) else log.shape
        yield name, neighbourhood(rng, shape[1] if by == "item" else shape[0], 6), log


def users_of_log(rng: np.random.Generator) -> Iterator[Case]:
    """Batches of users: all, one twice, none."""
    log = stars(rng)
    for users in ([0, 3, 3, 29], list(range(30)), []):
        yield Case(f"{len(users)} users", (log, np.array(users, dtype=np.int32)))


def _scored(rng: np.random.Generator, by: str) -> Iterator[Case]:
    for name, similarity, log in _with_neighbours(rng, by):
        for users in ([0, 3, 3, 20], list(range(25)), []):
            yield Case(f"{name}, {len(users)} users", (similarity, log, np.array(users, dtype=np.int32)))


def users_and_neighbours(rng: np.random.Generator) -> Iterator[Case]:
    """Similar users for UserCF: all of them heard, and the nearest of those who met the item."""
    yield from _scored(rng, "user")
    for case in _scored(rng, "user"):
        for k in (1, 3):
            yield Case(f"{case.name}, {k} heard", case.args, {"k": k})


def users_and_similar_items(rng: np.random.Generator) -> Iterator[Case]:
    """Similar items for ItemCF."""
    yield from _scored(rng, "item")


def _predicted(rng: np.random.Generator, by: str) -> Iterator[Case]:
    for name, similarity, log in _with_neighbours(rng, by):
        users = np.repeat(np.arange(20, dtype=np.int32), 15)
        yield Case(name, (similarity, log, users, np.tile(np.arange(15, dtype=np.int32), 20)))


def pairs_and_neighbours(rng: np.random.Generator) -> Iterator[Case]:
    """All pairs of some users and items, with similar users: all of them heard, and the nearest who rated the item."""
    yield from _predicted(rng, "user")
    for case in _predicted(rng, "user"):
        yield Case(f"{case.name}, 2 heard", case.args, {"k": 2})


def pairs_and_similar_items(rng: np.random.Generator) -> Iterator[Case]:
    """All pairs of some users and items, with similar items."""
    yield from _predicted(rng, "item")


# -- growing inputs for ``rectutor bench`` -------------------------------------------------------------
SIZES = (300, 1_000, 3_000)


def growing_clicks(n: int) -> Case:
    """About n clicks of n / 10 users on n / 20 items."""
    return Case(f"{n} clicks", (clicks(np.random.default_rng(0), n // 10, n // 20, 200 / n),))


def growing_stars(n: int) -> Case:
    """About n ratings by n / 10 users of n / 20 items."""
    return Case(f"{n} ratings", (stars(np.random.default_rng(0), n // 10, n // 20, 200 / n),))


def growing_user_scores(n: int) -> Case:
    """Twenty users scored from 50 similar users each."""
    (log,) = growing_clicks(n).args
    near = neighbourhood(np.random.default_rng(1), log.shape[0], 50)
    return Case(f"{n} clicks", (near, log, np.arange(20, dtype=np.int32)))


def growing_item_scores(n: int) -> Case:
    """Twenty users scored from 50 similar items of each item."""
    (log,) = growing_clicks(n).args
    near = neighbourhood(np.random.default_rng(1), log.shape[1], 50)
    return Case(f"{n} clicks", (near, log, np.arange(20, dtype=np.int32)))
