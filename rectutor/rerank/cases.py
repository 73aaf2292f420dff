"""Inputs on which the re-rankers' references and fast paths are compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rectutor.fastpath import Case
from rectutor.rerank.rules import MaxInPrefix, MaxInWindow, MaxRun

Floats = NDArray[np.float64]

RULES = (
    MaxInPrefix("shop", 0, prefix=1, value=True),
    MaxInPrefix("shop", 1, prefix=4, value=True),
    MaxInWindow("promoted", 1, window=4, value=True),
    MaxRun("type", 2),
)


def same_slate(got: Any, expected: tuple[list[int], list[float]], rtol: float, atol: float) -> None:
    """The same items in the same order, and the same gains."""
    order, gain = expected
    assert list(got.order) == order, f"order {list(got.order)} instead of {order}"
    np.testing.assert_allclose(got.gain, gain, rtol=rtol, atol=atol)


def unit(x: Floats) -> Floats:
    """Rows of length one."""
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def clustered(rng: np.random.Generator, n: int, dim: int = 6, groups: int = 4) -> Floats:
    """Unit vectors around a few centres."""
    centres = rng.standard_normal((groups, dim))
    return unit(centres[rng.integers(groups, size=n)] + 0.4 * rng.standard_normal((n, dim)))


def columns(rng: np.random.Generator, n: int) -> dict[str, NDArray[Any]]:
    """What the rules name."""
    return {
        "type": rng.choice(["image", "video"], n),
        "promoted": rng.random(n) < 0.3,
        "shop": rng.random(n) < 0.3,
    }


def feed(n: int) -> Case:
    """n candidates of 64 dimensions, 30 positions: the input of the timings."""
    rng = np.random.default_rng(n)
    reward = np.sort(rng.random(n))[::-1]
    return Case(f"{n} candidates", (reward, clustered(rng, n, 64, 60)), {"k": min(30, n), "theta": 0.5})


def _shared(rng: np.random.Generator) -> Iterator[Case]:
    """Cases that both re-rankers have to bear."""
    n = int(rng.integers(12, 30))
    reward, vectors = np.sort(rng.random(n))[::-1], clustered(rng, n)
    for theta in (0.0, 0.3, 0.8, 1.0):
        yield Case(f"theta {theta}", (reward, vectors), {"k": 6, "theta": theta})
    yield Case("every candidate", (reward[:5], vectors[:5]), {"k": 5})
    yield Case("one candidate", (reward[:1], vectors[:1]), {"k": 1})
    yield Case("negative rewards", (-10 * rng.random(n), vectors), {"k": 6})
    yield Case("equal rewards", (np.ones(n), vectors), {"k": 6, "theta": 0.7})
    for width in (1, 2, 5, 40):
        yield Case(f"window {width}", (reward, vectors), {"k": 10, "theta": 0.4, "window": width})
    mask = rng.random(n) < 0.7
    mask[:6] = True
    hidden = np.where(mask[:, None], vectors, np.nan)
    yield Case("mask over NaN", (reward, hidden), {"k": 6, "mask": mask})
    yield Case("mask over NaN, window", (np.where(mask, reward, np.nan), hidden), {"k": 6, "mask": mask, "window": 2})
    attributes = columns(rng, n)
    for infeasible in ("stop", "relax"):
        for window in (None, 3):
            yield Case(
                f"rules, {infeasible}, window {window}",
                (reward, vectors),
                {"k": 12, "rules": RULES, "attributes": attributes, "infeasible": infeasible, "window": window},
            )
    few = {
        "type": np.array(["image"] * (n - 2) + ["video"] * 2),
        "promoted": np.ones(n, bool),
        "shop": np.ones(n, bool),
    }
    for infeasible in ("stop", "relax"):
        yield Case(
            f"few of a kind, {infeasible}",
            (reward, vectors),
            {"k": 9, "rules": RULES[::-1], "attributes": few, "infeasible": infeasible},
        )
    single = vectors.astype(np.float32)
    yield Case("float32", (reward, single), {"k": 6})


def mmr(rng: np.random.Generator) -> Iterator[Case]:
    """Shared cases, ties that only the rank breaks, duplicates, opposite vectors, a similarity matrix."""
    yield from _shared(rng)
    grid = rng.integers(-2, 3, (20, 3)) / 2  # products are exact, ties are many
    steps = rng.integers(0, 3, 20) / 4
    for window in (None, 1, 3):
        yield Case(f"ties, window {window}", (steps, grid), {"k": 12, "window": window})
    yield Case("all equal", (np.ones(8), np.ones((8, 2))), {"k": 8})
    yield Case("opposite vectors", ([0.5, 0.5, 0.25, 0.25], [[1.0], [1.0], [-1.0], [-1.0]]), {"k": 4})
    similarity = rng.integers(-4, 5, (15, 15)) / 4
    similarity = np.maximum(similarity, similarity.T)
    for window in (None, 2):
        given = {"similarity": similarity, "k": 9, "theta": 0.5, "window": window}
        yield Case(f"a matrix, window {window}", (rng.integers(0, 5, 15) / 4,), given)


def dpp(rng: np.random.Generator) -> Iterator[Case]:
    """Shared cases, duplicates, more positions than rank, a zero vector, kernels, quality."""
    yield from _shared(rng)
    n = 14
    vectors, reward = clustered(rng, n), rng.random(n)
    twice = np.concatenate([vectors, vectors])
    for window in (None, 1, 3):
        for dependent in ("reward", "stop"):
            options = {"window": window, "dependent": dependent}
            yield Case(f"duplicates, {options}", (np.tile(reward, 2), twice), {"k": 12, **options})
            flat = vectors[:, :3]
            yield Case(f"beyond the rank, {options}", (reward, flat), {"k": 10, "theta": 0.2, **options})
    zero = vectors.copy()
    zero[[0, 3]] = 0
    yield Case("zero vectors", (reward, zero), {"k": n, "theta": 0.3})
    yield Case("zero vectors, window", (reward, zero), {"k": n, "theta": 0.3, "window": 2})
    yield Case("axes: exact ties", (np.zeros(6), np.eye(6)), {"k": 6})
    kernel = vectors @ vectors.T
    for window in (None, 2, 4):
        yield Case(f"a kernel, window {window}", (reward,), {"kernel": kernel, "k": 9, "theta": 0.3, "window": window})
    quality = np.exp(rng.standard_normal(n))
    yield Case("quality", (None, vectors), {"quality": quality, "k": 9})
    yield Case("quality and kernel", (None,), {"quality": quality, "kernel": kernel, "k": 9, "window": 3})
    yield Case("lengths", (reward, vectors * quality[:, None] * 1e3), {"k": 6, "theta": 0.5})


def matches(rng: np.random.Generator) -> Iterator[Case]:
    """Random attributes, missing ones, one item."""
    n = 12
    frame: dict[str, Any] = {
        "level1": rng.integers(3, size=n),
        "brand": np.array(["a", "b", None])[rng.integers(3, size=n)],
    }
    yield Case("two attributes", (frame, {"level1": 0.4, "brand": 0.3}))
    yield Case("missing numbers", ({"x": np.where(rng.random(n) < 0.4, np.nan, 1.0)}, {"x": 2.0}))
    yield Case("one item", ({"x": ["a"]}, {"x": 1.0}))


def rows(rng: np.random.Generator) -> Iterator[Case]:
    """Rows of any length, one row, dependent rows, more rows than dimensions."""
    yield Case("random", (rng.standard_normal((3, 5)),))
    yield Case("square", (10 * rng.standard_normal((4, 4)),))
    yield Case("one row", (rng.standard_normal((1, 3)),))
    whole = rng.integers(-3, 4, (3, 4)).astype(float)
    whole[2] = whole[0] - whole[1]
    yield Case("dependent", (whole,))
    yield Case("a zero row", ([[1.0, 2.0], [0.0, 0.0]],))
    yield Case("more rows than dimensions", (rng.integers(-3, 4, (3, 2)),))


def qualities(rng: np.random.Generator) -> Iterator[Case]:
    """Positive factors of a kernel."""
    vectors = clustered(rng, 7)
    yield Case("random", (np.exp(rng.standard_normal(7)), vectors @ vectors.T))
    yield Case("one", ([2.0], [[1.0]]))
    yield Case("all equal", (np.full(4, 0.5), np.ones((4, 4))))


def rewards(rng: np.random.Generator) -> Iterator[Case]:
    """Rewards of both signs, theta up to nearly 1."""
    for theta in (0.0, 0.5, 0.99):
        yield Case(f"theta {theta}", (rng.standard_normal(9), theta))


def kernels(rng: np.random.Generator) -> Iterator[Case]:
    """Kernels of vectors, of fewer dimensions than rows asked for, with equal rows, with qualities."""
    vectors = clustered(rng, 15)
    yield Case("random", (vectors @ vectors.T, 5))
    scaled = vectors * np.exp(rng.standard_normal(15))[:, None]
    yield Case("lengths", (scaled @ scaled.T, 5))
    yield Case("beyond the rank", (scaled @ scaled.T, 12))
    yield Case("equal rows", (np.ones((4, 4)), 3))
    yield Case("identity", (np.eye(5), 5))
