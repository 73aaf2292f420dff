"""What a re-ranker returns: the slate (推荐列表), and what it has to say about positions it could not fill as asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rectutor.rerank.rules import Rule

ENDS = {"stopped": "the slate ends here", "reward": "taken by reward"}


@dataclass(frozen=True)
class Note:
    """One position that was not filled as asked.

    Attributes:
        position: 0 is the top.
        reason: "rules": no item that was left satisfied them; "dependent": no item that was left added volume.
        action: "stopped": the slate ends before this position; "relaxed": without the rules named here there was an
            item; "reward": the position went to the item with the greatest reward.
        rules: the rules that were in the way ("stopped") or were dropped ("relaxed").
        left: rows of the candidates that were left, at most the first 20.
        n_left: how many were left.
        user: row of the batch; 0 for one user.
    """

    position: int
    reason: str
    action: str
    rules: tuple[Rule, ...]
    left: tuple[int, ...]
    n_left: int
    user: int = 0

    def __str__(self) -> str:
        items = ", ".join(map(str, self.left)) + (", ..." if self.n_left > len(self.left) else "")
        left = f"position {self.position}: {self.n_left} item{'s' if self.n_left != 1 else ''} left ({items})"
        rules = " or ".join(map(str, self.rules))
        if self.reason == "dependent":
            return f"{left}, none adds volume; {ENDS[self.action]}"
        if self.action == "relaxed":
            return f"{left}, none satisfies all rules; taken without {rules}"
        return f"{left}, each breaks {rules}; {ENDS[self.action]}"


class InfeasibleError(ValueError):
    """No item that is left satisfies the rules at a position; ``note`` has the details."""

    def __init__(self, note: Note, user: str) -> None:
        self.note = note
        text = str(note).removesuffix("; the slate ends here")
        super().__init__(f'{user}{text}; give more candidates, or say infeasible="stop" or infeasible="relax"')


@dataclass(frozen=True, eq=False)
class Slate:
    """The chosen candidates in the order of their positions.

    Attributes:
        order: rows of the candidates, int64. For one user [k], or fewer where the slate stopped; for a batch [B, k],
            with -1 after the end of a slate that stopped.
        gain: what each had to offer when it was chosen, float64 of the same shape: the quantity that was maximised;
            -inf where an item added no volume, 0 after the end.
        notes: what could not be done as asked, by user and position.

    >>> slate = Slate(np.array([2, 0]), np.array([0.5, 0.25]), ())
    >>> len(slate), list(slate), slate[0]
    (2, [2, 0], np.int64(2))
    """

    order: NDArray[np.int64]
    gain: NDArray[np.float64]
    notes: tuple[Note, ...]

    def __len__(self) -> int:
        """Positions, or users of a batch."""
        return len(self.order)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.order.tolist())

    def __getitem__(self, index: Any) -> Any:
        return self.order[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The order, so that ``frame.iloc[slate]`` and NumPy take a slate."""
        return np.array(self.order, dtype=dtype, copy=copy)
