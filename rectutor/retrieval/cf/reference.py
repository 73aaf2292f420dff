"""Neighbourhood methods as the papers state them: dictionaries, loops, one sum where the equation has a sum.

``rows`` is what is compared: ``{code: {other: value}}`` - items with the users who met them, or users with their items.
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rectutor.data.interactions import Interactions
from rectutor.retrieval.cf.vectors import Rows, by_user, nearest, transpose, vectors


# -- similarities ------------------------------------------------------------------------------------
def jaccard(
    interactions: Interactions | sparse.csr_array,
    *,
    by: str = "item",
    k: int | None = 50,
    shrink: float = 0.0,
    min_common: int = 1,
) -> sparse.csr_array:
    """|A and B| / |A or B|, Jaccard (1901)."""
    rows, _ = vectors(interactions, by)

    def score(i: int, j: int) -> float:
        return len(rows[i].keys() & rows[j].keys()) / len(rows[i].keys() | rows[j].keys())

    return nearest(rows, score, k, shrink, min_common)


def dot(
    interactions: Interactions | sparse.csr_array,
    *,
    by: str = "item",
    k: int | None = 50,
    shrink: float = 0.0,
    min_common: int = 1,
) -> sparse.csr_array:
    """sum_u x_ui x_uj: what BM25 and other weighted counts are compared with."""
    rows, _ = vectors(interactions, by)

    def score(i: int, j: int) -> float:
        return sum(rows[i][u] * rows[j][u] for u in rows[i].keys() & rows[j].keys())

    return nearest(rows, score, k, shrink, min_common)


def cosine(
    interactions: Interactions | sparse.csr_array,
    *,
    by: str = "item",
    k: int | None = 50,
    shrink: float = 0.0,
    min_common: int = 1,
    damping: float = 0.5,
    iuf: bool = False,
) -> sparse.csr_array:
    """sum_u w_u x_ui x_uj / (|x_i|^(2 - 2a) |x_j|^(2a)); a = 1/2 and w = 1 give the cosine of the angle."""
    rows, links = vectors(interactions, by)

    def weight(u: int) -> float:
        return 1 / log(1 + len(links[u])) if iuf else 1.0

    def power(i: int, exponent: float) -> float:
        return float(sum(x * x for x in rows[i].values()) ** exponent)

    def score(i: int, j: int) -> float | None:
        if not any(rows[i].values()) or not any(rows[j].values()):
            return None
        top = sum(weight(u) * rows[i][u] * rows[j][u] for u in rows[i].keys() & rows[j].keys())
        return top / (power(i, 1 - damping) * power(j, damping))

    return nearest(rows, score, k, shrink, min_common)


def correlation(x: list[float], y: list[float]) -> float | None:
    """Pearson's r of two samples; None where one of them does not vary."""
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    top = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return top / sqrt(sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y))


def pearson(
    interactions: Interactions | sparse.csr_array,
    *,
    by: str = "item",
    k: int | None = 50,
    shrink: float = 0.0,
    min_common: int = 1,
    over: str | None = None,
) -> sparse.csr_array:
    """Pearson's r of two rows: over their common entries (ratings), or over all, absent ones being 0 (clicks)."""
    rows, links = vectors(interactions, by)
    values = {x for row in rows.values() for x in row.values()}
    if over is None:
        over = "common" if len(values) > 1 else "all"

    def score(i: int, j: int) -> float | None:
        members = sorted(rows[i].keys() & rows[j].keys()) if over == "common" else list(links)
        return correlation([rows[i].get(u, 0.0) for u in members], [rows[j].get(u, 0.0) for u in members])

    return nearest(rows, score, k, shrink, min_common)


def adjusted_cosine(
    interactions: Interactions | sparse.csr_array,
    *,
    by: str = "item",
    k: int | None = 50,
    shrink: float = 0.0,
    min_common: int = 1,
) -> sparse.csr_array:
    """Cosine over the common raters after each rater's mean is taken off, Sarwar et al. (2001), section 3.1.3."""
    rows, links = vectors(interactions, by)
    mean = {u: sum(link.values()) / len(link) for u, link in links.items() if link}

    def score(i: int, j: int) -> float | None:
        common = sorted(rows[i].keys() & rows[j].keys())
        x, y = [rows[i][u] - mean[u] for u in common], [rows[j][u] - mean[u] for u in common]
        top = sum(a * b for a, b in zip(x, y, strict=True))
        bottom = sqrt(sum(a * a for a in x) * sum(b * b for b in y))
        return top / bottom if bottom > 0 else None

    return nearest(rows, score, k, shrink, min_common)


def swing(
    interactions: Interactions | sparse.csr_array,
    *,
    by: str = "item",
    k: int | None = 50,
    shrink: float = 0.0,
    min_common: int = 2,
    alpha: float = 1.0,
    weighted: bool = True,
) -> sparse.csr_array:
    """Sum over unordered pairs of common users of w_u w_v / (alpha + |I_u and I_v|), Yang et al. (2020)."""
    rows, links = vectors(interactions, by)

    def weight(u: int) -> float:
        return 1 / sqrt(len(links[u])) if weighted else 1.0

    def score(i: int, j: int) -> float:
        common = sorted(rows[i].keys() & rows[j].keys())
        total = 0.0
        for a, u in enumerate(common):
            for v in common[a + 1 :]:  # each pair once, never a user with himself
                total += weight(u) * weight(v) / (alpha + len(links[u].keys() & links[v].keys()))
        return total

    return nearest(rows, score, k, shrink, min_common)


# -- weightings --------------------------------------------------------------------------------------
def tfidf(x: sparse.csr_array) -> sparse.csr_array:
    """sqrt(x_du) (ln D - ln(1 + df_u)): documents d are rows, terms u columns, df_u the documents that hold u."""
    documents = by_user(x)
    terms = transpose(documents, x.shape[1])
    dense = np.zeros(x.shape)
    for d, row in documents.items():
        for u, value in row.items():
            dense[d, u] = sqrt(value) * (log(len(documents)) - log(1 + len(terms[u])))
    return sparse.csr_array(dense)


def bm25(x: sparse.csr_array, k1: float = 1.2, b: float = 0.75) -> sparse.csr_array:
    """x (k1 + 1) / (x + k1 (1 - b + b L_d / mean L)) (ln D - ln(1 + df_u)); L_d is the sum of row d."""
    documents = by_user(x)
    terms = transpose(documents, x.shape[1])
    length = {d: sum(row.values()) for d, row in documents.items()}
    mean_length = sum(length.values()) / len(length)
    dense = np.zeros(x.shape)
    for d, row in documents.items():
        for u, value in row.items():
            saturated = value * (k1 + 1) / (value + k1 * (1 - b + b * length[d] / mean_length))
            dense[d, u] = saturated * (log(len(documents)) - log(1 + len(terms[u])))
    return sparse.csr_array(dense)


# -- from neighbours to scores -----------------------------------------------------------------------
def popular_scores(interactions: Interactions | sparse.csr_array, users: NDArray[np.int32]) -> NDArray[np.float32]:
    """score(u, i) = number of users who met i, the same for every u."""
    rows = by_user(interactions)
    items, _ = vectors(interactions, "item")
    scores = np.zeros((len(users), len(items)))
    for b, u in enumerate(users.tolist()):
        assert u in rows
        for i, met in items.items():
            scores[b, i] = len(met)
    return scores.astype(np.float32)


def user_scores(
    similarity: sparse.csr_array,
    interactions: Interactions | sparse.csr_array,
    users: NDArray[np.int32],
    k: int | None = None,
) -> NDArray[np.float32]:
    """score(u, i) = sum over the (k nearest) neighbours v of u who met i of s(u, v) x_vi; Herlocker et al. (1999)."""
    items, _ = vectors(interactions, "item")
    neighbours = by_user(similarity)
    scores = np.zeros((len(users), len(items)))
    for b, u in enumerate(users.tolist()):
        for i, who in items.items():
            scores[b, i] = sum(s * who[v] for s, v in heard(neighbours[u], who, k))
    return scores.astype(np.float32)


def heard(neighbours: dict[int, float], who: dict[int, float], k: int | None) -> list[tuple[float, int]]:
    """(similarity, code) of the k nearest of the neighbours who met an item; all of them for None."""
    return sorted(((s, v) for v, s in neighbours.items() if v in who), key=lambda pair: (-pair[0], pair[1]))[:k]


def item_scores(
    similarity: sparse.csr_array, interactions: Interactions | sparse.csr_array, users: NDArray[np.int32]
) -> NDArray[np.float32]:
    """score(u, j) = sum over the items i of u, of which j is a neighbour, of x_ui s(i, j)."""
    rows, neighbours = by_user(interactions), by_user(similarity)
    scores = np.zeros((len(users), len(neighbours)))
    for b, u in enumerate(users.tolist()):
        for i, value in rows[u].items():
            for j, s in neighbours[i].items():
                scores[b, j] += value * s
    return scores.astype(np.float32)


def user_means(rows: Rows) -> dict[int, float]:
    """Each user's mean rating; the mean of all ratings for a user without any."""
    everything = [value for row in rows.values() for value in row.values()]
    overall = sum(everything) / len(everything)
    return {u: sum(row.values()) / len(row) if row else overall for u, row in rows.items()}


def user_predict(
    similarity: sparse.csr_array,
    interactions: Interactions | sparse.csr_array,
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    k: int | None = None,
) -> NDArray[np.float32]:
    """mean_u + sum_v s(u, v) (x_vi - mean_v) / sum_v |s(u, v)|, v the (k nearest) raters of i; Resnick (1994)."""
    rows, neighbours = by_user(interactions), by_user(similarity)
    raters, _ = vectors(interactions, "item")
    mean = user_means(rows)
    predicted = []
    for u, i in zip(users.tolist(), items.tolist(), strict=True):
        top = bottom = 0.0
        for s, v in heard(neighbours[u], raters[i], k):
            top += s * (rows[v][i] - mean[v])
            bottom += abs(s)
        predicted.append(mean[u] + top / bottom if bottom > 0 else mean[u])
    return np.array(predicted, dtype=np.float32)


def item_predict(
    similarity: sparse.csr_array,
    interactions: Interactions | sparse.csr_array,
    users: NDArray[np.int32],
    items: NDArray[np.int32],
) -> NDArray[np.float32]:
    """sum_j s(i, j) x_uj / sum_j |s(i, j)|, over the neighbours j of i that u rated; Sarwar et al. (2001)."""
    rows, neighbours = by_user(interactions), by_user(similarity)
    mean = user_means(rows)
    predicted = []
    for u, i in zip(users.tolist(), items.tolist(), strict=True):
        top = bottom = 0.0
        for j, s in neighbours[i].items():
            if j in rows[u]:
                top += s * rows[u][j]
                bottom += abs(s)
        predicted.append(top / bottom if bottom > 0 else mean[u])
    return np.array(predicted, dtype=np.float32)
