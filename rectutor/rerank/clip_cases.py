"""Inputs on which the reference and the fast path of CLIP are compared."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rectutor.fastpath import Case

Array = NDArray[np.float64]


def unit(x: Array) -> Array:
    """Rows of length one."""
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def pairs(rng: np.random.Generator, n: int, widths: tuple[int, int], noise: float = 0.3) -> tuple[Array, Array]:
    """n images and texts that show one hidden point of four dimensions, each in a space of its own."""
    hidden = rng.normal(size=(n, 4))
    image, text = (unit(hidden @ rng.normal(size=(4, w)) + noise * rng.normal(size=(n, w))) for w in widths)
    return image, text


def contrastive_loss(rng: np.random.Generator) -> Iterator[Case]:
    """Random, aligned, opposed and equal embeddings, the greatest scale, one pair, rows that are not of length one."""
    a, b = unit(rng.normal(size=(9, 5))), unit(rng.normal(size=(9, 5)))
    yield Case("random", (a, b, 14.3))
    yield Case("aligned, greatest scale", (a, a, 100.0))
    yield Case("opposed, greatest scale", (a, -a, 100.0))
    yield Case("all embeddings equal", (np.ones((6, 4)) / 2, np.ones((6, 4)) / 2, 3.0))
    yield Case("no scale", (a, b, 0.0))
    yield Case("one pair", (a[:1], b[:1], 2.0))
    yield Case("two pairs in one dimension", (np.array([[1.0], [-1.0]]), np.array([[1.0], [1.0]]), 5.0))
    yield Case("rows of any length", (6 * rng.normal(size=(5, 3)), 6 * rng.normal(size=(5, 3)), 1.0))
    yield Case("float32", (a.astype(np.float32), b.astype(np.float32), 10.0))


def train_clip(rng: np.random.Generator) -> Iterator[Case]:
    """One step, whole fits, left-over pairs, a held temperature, the greatest scale, two widths, two pairs, twins."""
    image, text = pairs(rng, 25, (6, 6))
    yield Case("one step", (image, text, 3, 25, 1, 0.05))
    yield Case("left-over pairs", (image, text, 4, 8, 4, 0.05), {"seed": 5})
    yield Case("a held temperature", (image, text, 3, 8, 3, 0.05), {"temperature": 0.5})
    yield Case("two widths", (*pairs(rng, 20, (7, 5)), 4, 10, 3, 0.02))
    yield Case("more dimensions than inputs", (image, text, 9, 12, 2, 0.02))
    # Few pairs are soon told apart. At a low temperature the gradients would then be rounding errors, and Adam would
    # enlarge them.
    yield Case("two pairs", (image[:2], text[:2], 2, 2, 5, 0.05), {"temperature": 2.0})
    yield Case("twins", (image[[0, 0, 1, 2, 3, 3]], text[[0, 1, 1, 2, 3, 3]], 3, 6, 4, 0.05), {"temperature": 0.5})
    scattered = pairs(rng, 40, (6, 6), noise=1.0)[0]
    yield Case("the scale is cut off", (scattered, scattered, 12, 10, 15, 0.5))
    yield Case("float32", (image.astype(np.float32), text.astype(np.float32), 3, 8, 3, 0.05))


def bench_contrastive_loss(n: int) -> Case:
    """n pairs of 32 dimensions, at the scale where training starts."""
    rng = np.random.default_rng(0)
    return Case(f"{n} pairs", (unit(rng.normal(size=(n, 32))), unit(rng.normal(size=(n, 32))), 14.3))


def bench_train_clip(n: int) -> Case:
    """n pairs of 32 and 32 numbers, 16 dimensions, batches of 32, one epoch."""
    return Case(f"{n} pairs", (*pairs(np.random.default_rng(0), n, (32, 32)), 16, 32, 1, 0.01))
