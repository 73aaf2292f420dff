"""What the references stand on: interactions as dictionaries, and the nearest others of every row.

Shapes: n rows that are compared.
"""

from __future__ import annotations

from collections.abc import Callable

from scipy import sparse

from rectutor.data.interactions import Interactions

Rows = dict[int, dict[int, float]]
Score = Callable[[int, int], float | None]


def by_user(interactions: Interactions | sparse.csr_array) -> Rows:
    """``{user: {item: value}}``."""
    if isinstance(interactions, Interactions):
        return interactions.by_user()
    rows: Rows = {u: {} for u in range(interactions.shape[0])}
    for u in rows:
        for p in range(interactions.indptr[u], interactions.indptr[u + 1]):
            rows[u][int(interactions.indices[p])] = float(interactions.data[p])
    return rows


def transpose(rows: Rows, n: int) -> Rows:
    """``{item: {user: value}}`` from ``{user: {item: value}}``, and back."""
    turned: Rows = {i: {} for i in range(n)}
    for u, row in rows.items():
        for i, value in row.items():
            turned[i][u] = value
    return turned


def vectors(interactions: Interactions | sparse.csr_array, by: str) -> tuple[Rows, Rows]:
    """(what is compared, who links them): items and users for ``by="item"``, the other way round for "user"."""
    users = by_user(interactions)
    n_items = interactions.n_items if isinstance(interactions, Interactions) else interactions.shape[1]
    items = transpose(users, n_items)
    return (items, users) if by == "item" else (users, items)


def nearest(rows: Rows, score: Score, k: int | None, shrink: float, min_common: int) -> sparse.csr_array:
    """The k most similar others of every row, among those with ``min_common`` common entries, as a matrix.

    A score of None says that two rows have no similarity; one of 0 is kept like any other.
    """
    n = len(rows)
    cells = []
    for i in range(n):
        found = []
        for j in range(n):
            common = len(rows[i].keys() & rows[j].keys())
            if i != j and common >= max(1, min_common):
                value = score(i, j)
                if value is not None:
                    found.append((-value * common / (common + shrink), j))
        cells += [(i, j, -value) for value, j in sorted(found)[:k]]
    values, where = [v for _, _, v in cells], ([i for i, _, _ in cells], [j for _, j, _ in cells])
    return sparse.coo_array((values, where), shape=(n, n)).tocsr()
