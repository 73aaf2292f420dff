"""Disjoint blocks: how stochastic gradient descent runs on several threads and still gives one answer.

Users and items are dealt into B blocks each, which cuts the matrix into B x B cells. An epoch has B rounds; in round s
the cells (a, (a + s) mod B) are worked on at the same time. No two of them share a user or an item, so no two threads
ever write to one row, and the result does not depend on how many threads there are: it is that of visiting the cells
one after the other. Small blocks also keep the rows of a cell in the cache.

Source: Gemulla, Nijkamp, Haas and Sismanis, Large-scale matrix factorization with distributed stochastic gradient
descent, KDD 2011 (DSGD).

Shapes: N interactions, U users, I items, f factors, B blocks.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

CELL_BYTES = 1 << 20
"""Rows of one cell should fit a core's second-level cache, or nearly."""
MOST_BLOCKS = 32
LEAST_ROWS = 500
"""Interactions a cell should hold on average; below that the rounds cost more than they bring."""


def choose_blocks(n_users: int, n_items: int, n_rows: int, factors: int, least_rows: int = LEAST_ROWS) -> int:
    """How many blocks to deal: the least power of two whose cells fit the cache, while they hold ``least_rows`` each.

    The answer depends on the shape of the data only, never on the machine, so that a seed gives one result anywhere.

    >>> choose_blocks(600, 9_000, 100_000, 64), choose_blocks(10, 10, 50, 8)
    (4, 1)
    """
    blocks = 1
    while (
        blocks < MOST_BLOCKS
        and 4 * factors * (n_users + n_items) > blocks * CELL_BYTES
        and n_rows >= least_rows * 4 * blocks * blocks
        and 2 * blocks <= min(n_users, n_items)
    ):
        blocks *= 2
    return blocks


def deal(n: int, blocks: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """The block of each of n users or items [n]: shuffled, then dealt in turn, so that block sizes differ by one."""
    block = np.empty(n, dtype=np.int32)
    block[rng.permutation(n)] = np.arange(n) % blocks
    return block


@njit(cache=True)
def sort_into_cells(
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    user_block: NDArray[np.int32],
    item_block: NDArray[np.int32],
    blocks: int,
    start: NDArray[np.int64],
    order: NDArray[np.int32],
) -> None:
    """Counting sort: ``order`` [N] lists the rows cell by cell, ``start`` [B * B + 1] says where each cell begins.

    Rows of one cell keep their order; cell (a, b) has number a * B + b.
    """
    start[:] = 0
    for n in range(len(user)):
        start[user_block[user[n]] * blocks + item_block[item[n]] + 1] += 1
    for c in range(blocks * blocks):
        start[c + 1] += start[c]
    cursor = start.copy()
    for n in range(len(user)):
        c = user_block[user[n]] * blocks + item_block[item[n]]
        order[cursor[c]] = n
        cursor[c] += 1
