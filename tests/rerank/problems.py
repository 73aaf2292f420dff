"""What the tests of the re-rankers share: random problems, and their quantities by routes the library does not take."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from rectutor.rerank import MaxInPrefix, MaxInWindow, MaxRun, Rule

Floats = NDArray[np.float64]
KINDS = ["a", "b", "c", None]
seeds = st.integers(0, 2**32 - 1)


def unit_rows(rng: np.random.Generator, n: int, dim: int) -> Floats:
    x = rng.standard_normal((n, dim))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def distance2(vectors: Floats, chosen: list[int], window: int | None) -> Floats:
    """Squared distances of all rows from the span of the chosen ones, by an orthonormal basis from scratch, [n]."""
    w = chosen if window is None else chosen[-window:]
    if not w:
        return np.asarray((vectors**2).sum(axis=1))
    basis, size, _ = np.linalg.svd(vectors[w].T, full_matrices=False)
    basis = basis[:, size > 1e-7 * size[0]]
    return np.asarray(((vectors - (vectors @ basis) @ basis.T) ** 2).sum(axis=1))


def closest(similarity: Floats, chosen: list[int], window: int | None) -> Floats:
    """Greatest similarity of all rows to the chosen ones, [n]."""
    w = chosen if window is None else chosen[-window:]
    return np.asarray(similarity[:, w].max(axis=1)) if w else np.zeros(len(similarity))


def random_rules(rng: np.random.Generator, count: int) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for _ in range(count):
        column = str(rng.choice(["type", "flag"]))
        value = {"type": "a", "flag": True}[column] if rng.random() < 0.5 else None
        most, more = int(rng.integers(1, 3)), int(rng.integers(1, 4))
        form = rng.integers(3)
        if form == 0:
            rules.append(MaxRun(column, most, value=value))
        elif form == 1:
            rules.append(MaxInWindow(column, most, window=most + more, value=value))
        else:
            rules.append(MaxInPrefix(column, most - 1, prefix=most - 1 + more, value=value))
    return tuple(rules)


def random_columns(rng: np.random.Generator, n: int) -> dict[str, NDArray[Any]]:
    return {"type": rng.choice(np.array(KINDS, dtype=object), n), "flag": rng.random(n) < 0.4}


@st.composite
def single_rules(draw: st.DrawFn) -> Rule:
    """One rule on the column "type"."""
    value = draw(st.sampled_from(KINDS))
    most, more = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    return draw(
        st.sampled_from(
            [
                MaxRun("type", most, value=value),
                MaxInWindow("type", most, window=most + more, value=value),
                MaxInPrefix("type", most - 1, prefix=most - 1 + more, value=value),
            ]
        )
    )
