"""Similarities of items that re-rankers take: from attributes, or from vectors.

Shapes: n items, D dimension.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rectutor.fastpath import fast_path
from rectutor.rerank import cases, reference
from rectutor.rerank.rules import Attributes


@fast_path(reference.match_similarity, cases=cases.matches, rtol=1e-12)
def match_similarity(attributes: Attributes, weights: Mapping[str, float]) -> NDArray[np.float64]:
    r"""Weighted share of the attributes in which two items agree, [n, n].

    .. math:: s(i, j) = \sum_a w_a [x_{ia} = x_{ja}] / \sum_a w_a

    A missing value agrees with nothing, not with itself either, so s(i, i) may be below 1.

    Args:
        attributes: columns [n]: a frame, or a dictionary of arrays.
        weights: weight of each column to use, all positive.

    Raises:
        ValueError: no weights, one that is not positive, a column that is not there or has another length.

    >>> notes = {"level1": ["beauty", "beauty"], "level2": ["make-up", "perfume"], "brand": ["Chanel", "Chanel"]}
    >>> match_similarity(notes, {"level1": 1, "level2": 1, "brand": 1})[0, 1].round(4)
    np.float64(0.6667)
    """
    if not weights:
        raise ValueError("weights is empty; name at least one column")
    result: NDArray[np.float64] | None = None
    for name, weight in weights.items():
        if not 0 < weight < np.inf:
            raise ValueError(f"weights[{name!r}] is {weight}; it must be positive")
        if name not in attributes:
            raise ValueError(f"weights names the column {name!r}; attributes has {', '.join(map(repr, attributes))}")
        code = pd.factorize(np.asarray(attributes[name]))[0]
        if result is None:
            result = np.zeros((len(code), len(code)))
        if code.shape != result.shape[:1]:
            raise ValueError(f"column {name!r} of attributes has shape {code.shape}; others have {result.shape[:1]}")
        result += weight * ((code[:, None] == code) & (code >= 0))
    assert result is not None
    return result / sum(weights.values())


def unit(vectors: ArrayLike) -> NDArray[np.float64]:
    """Vectors scaled to length one, so that inner products are cosines.

    Args:
        vectors: [n, D], or with further axes in front.

    Raises:
        ValueError: a vector of length zero or not finite.

    >>> unit([[3.0, 4.0]])
    array([[0.6, 0.8]])
    """
    x = np.asarray(vectors, dtype=np.float64)
    greatest = np.abs(x).max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        x = x / np.where(greatest > 0, greatest, 1.0)  # no square overflows or vanishes
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    bad = ~((greatest > 0) & np.isfinite(greatest))
    if bad.any():
        row = tuple(map(int, np.argwhere(bad)[0][:-1]))
        raise ValueError(f"vectors[{', '.join(map(str, row))}] is zero or not finite; it has no direction")
    return np.asarray(x / length)
