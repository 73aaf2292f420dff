"""What both re-rankers check before they run, and how they report afterwards.

One user is a batch of one inside: reward [B, n], vectors [B, n, D], matrix [B, n, n], mask [B, n].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectutor.rerank import kernels
from rectutor.rerank.rules import Attributes, Compiled, Rule, compiled, kinds_of
from rectutor.rerank.slate import InfeasibleError, Note, Slate

SHOWN = 20
"""Rows that a note lists."""
SLACK = 1e-9
"""How far a matrix may be from symmetric, as a part of its greatest entry."""
TINY = 1e-304
"""Squared lengths below are 0: their parts are too small for 64 bits."""
INNER = "a kernel is a matrix of inner products, e.g. vectors @ vectors.T"


@dataclass(frozen=True, eq=False)
class Problem:
    """Checked input of a batch. Shapes: B users, n candidates, D dimension.

    Attributes:
        worth: what an item is worth by itself [B, n].
        vectors: [B, n, D], float32 or float64; empty where there is a matrix.
        matrix: [B, n, n] float64; empty where there are vectors.
        gone: candidates that may not be chosen [B, n].
        rules, attributes, limits: as the caller gave them, and in numbers.
        infeasible: what to do where no candidate satisfies the rules.
        matrix_name: what the caller calls the matrix.
        one: whether the caller gave one user.
        masked: whether some candidates are gone.
    """

    worth: NDArray[np.float64]
    vectors: NDArray[Any]
    matrix: NDArray[np.float64]
    gone: NDArray[np.bool_]
    rules: tuple[Rule, ...]
    attributes: Attributes | None
    limits: Compiled
    infeasible: str
    matrix_name: str
    one: bool
    masked: bool

    def lengths2(self) -> NDArray[np.float64]:
        """Squared lengths of the vectors [B, n], or the diagonal of the matrix.

        Raises:
            ValueError: a vector that is not finite.
        """
        if not self.vectors.size:
            return np.ascontiguousarray(np.diagonal(self.matrix, axis1=1, axis2=2))
        found = kernels.lengths2(self.vectors, self.gone)
        if not np.isfinite(found).all():
            user, row = map(int, np.argwhere(~np.isfinite(found))[0])
            self._refuse(user, row)
        found[found < TINY] = 0.0
        return found

    def slate(self, fill: Callable[..., None], k: int, options: tuple[Any, ...]) -> Slate:
        """Run a compiled re-ranker, raise what it found wrong, and write the notes.

        Args:
            fill: called with the user's row (only for one user), ``worth``, the options, and what all re-rankers take.
            k: positions.
            options: the arguments of this re-ranker.
        """
        users, limits = len(self.worth), self.limits
        order, gain = np.full((users, k), -1, dtype=np.int64), np.zeros((users, k))
        active = np.full((users, k), len(self.rules), dtype=np.int64)
        status, negative = np.zeros((users, 2), dtype=np.int64), np.zeros((users, 3))
        in_numbers = (limits.codes, limits.most, limits.span, limits.until)
        common = (
            self.gone.copy(),
            in_numbers,
            limits.kinds,
            self.infeasible == "relax",
            (order, gain, active, status, negative),
        )
        fill(*((0,) if self.one else ()), self.worth, *options, *common)
        notes: list[Note] = []
        if status.any() or negative.any() or (active != len(self.rules)).any():
            notes = self._examine(order, active, status, negative)
        if not self.one:
            return Slate(order, gain, tuple(notes))
        filled = int((order[0] >= 0).sum())
        return Slate(order[0, :filled], gain[0, :filled], tuple(notes))

    def _refuse(self, user: int, row: int) -> None:
        """Raise for a vector that is not finite, or has a length that is not."""
        where = "" if self.one else f"[{user}]"
        at = f"vectors{where}[{row}] is {self.vectors[user, row]}, or so large that its products are not finite"
        raise ValueError(f"{at}; give finite numbers, or mask the candidate out")

    def _examine(
        self,
        order: NDArray[np.int64],
        active: NDArray[np.int64],
        status: NDArray[np.int64],
        negative: NDArray[np.float64],
    ) -> list[Note]:
        """Raise what went wrong, or write the notes."""
        notes: list[Note] = []
        for user in range(len(order)):
            if negative[user, 0]:
                self._refuse_kernel(user, order[user], int(negative[user, 1]), int(negative[user, 2]))
            if status[user, 0] == kernels.NOT_FINITE:
                self._refuse(user, int(status[user, 1]))
            notes += _notes(self, user, order[user], active[user], int(status[user, 0]))
            if status[user, 0] == kernels.BLOCKED and self.infeasible == "raise":
                raise InfeasibleError(notes[-1], "" if self.one else f"user {user}, ")
        return notes

    def _refuse_kernel(self, user: int, order: NDArray[np.int64], row: int, at: int) -> None:
        """Raise if a candidate's negative distance from the span of chosen items is no rounding."""
        rows = [*order[:at], row]
        eigenvalues = np.linalg.eigvalsh(self.matrix[user][np.ix_(rows, rows)])
        if eigenvalues[0] < -SLACK * eigenvalues[-1]:
            where = "" if self.one else f"[{user}]"
            raise ValueError(
                f"{self.matrix_name}{where} is not positive semi-definite: candidate {row} has a negative squared "
                f"distance from the span of others; {INNER}"
            )


def numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """An argument as float64.

    Raises:
        TypeError: what is no number.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}; give numbers")
    return array.astype(np.float64, copy=False)


def problem(
    worth: NDArray[np.float64],
    name: str,
    vectors: ArrayLike | None,
    matrix: ArrayLike | None,
    matrix_name: str,
    k: int,
    window: int | None,
    rules: Sequence[Rule],
    attributes: Attributes | None,
    mask: ArrayLike | None,
    infeasible: str,
    check: bool,
) -> Problem:
    """Check shapes and options; ``worth`` is called ``name`` in errors, ``matrix`` ``matrix_name``."""
    if worth.ndim not in (1, 2) or 0 in worth.shape:
        raise ValueError(f"{name} has shape {worth.shape}; give one number a candidate, [n] or [users, n], none empty")
    one, shape = worth.ndim == 1, (1, *worth.shape)[-2:]
    _check_options(k, window, infeasible)
    gone, fewest, user = np.zeros(shape, dtype=np.bool_), shape[1], ""
    if mask is not None:
        may = np.asarray(mask)
        if may.dtype != np.bool_ or may.shape != worth.shape:
            raise ValueError(f"mask has dtype {may.dtype} and shape {may.shape}; give booleans of shape {worth.shape}")
        gone = ~may.reshape(shape)
        left = may.reshape(shape).sum(axis=1)
        fewest, user = int(left.min()), "" if one else f" of user {int(left.argmin())}"
    known = np.isfinite(worth.reshape(shape))
    if not known.all() and not (known | gone).all():
        b, row = np.argwhere(~(known | gone))[0]
        value, at = worth.reshape(shape)[b, row], row if one else f"{b}, {row}"
        raise ValueError(f"{name}[{at}] is {value}; give finite numbers, or mask the candidate out")
    if k > fewest:
        raise ValueError(f"k is {k}, and there are {fewest} candidates{user}; ask for at most {fewest}")
    if (vectors is None) == (matrix is None):
        raise ValueError(f"give either vectors or {matrix_name}, not both and not neither")
    nothing = np.zeros((shape[0], 0, 0))
    if vectors is not None:
        x = np.asarray(vectors)
        x = x if x.dtype == np.float32 else numbers(x, "vectors")
        if x.ndim != worth.ndim + 1 or x.shape[:-1] != worth.shape or x.shape[-1] == 0:
            raise ValueError(f"vectors has shape {x.shape}; {name} has {worth.shape}, so give {(*worth.shape, 'D')}")
        x, a = np.ascontiguousarray(x.reshape(*shape, -1)), nothing
    else:
        assert matrix is not None
        a = numbers(matrix, matrix_name)
        if a.shape != (*worth.shape, worth.shape[-1]):
            raise ValueError(f"{matrix_name} has shape {a.shape}; give {(*worth.shape, worth.shape[-1])}")
        a, x = np.ascontiguousarray(a.reshape(*shape, shape[1])), nothing
        if check:
            _check_matrix(a, matrix_name, one)
    limits, worth = compiled(rules, attributes, shape), np.ascontiguousarray(worth.reshape(shape))
    return Problem(worth, x, a, gone, tuple(rules), attributes, limits, infeasible, matrix_name, one, mask is not None)


def _check_options(k: int, window: int | None, infeasible: str) -> None:
    for name, value in (("k", k), ("window", 1 if window is None else window)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"{name} is {value!r}; give a whole number")
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    if infeasible not in ("raise", "stop", "relax"):
        raise ValueError(f'infeasible is {infeasible!r}; say "raise", "stop" or "relax"')


def check_theta(theta: float) -> float:
    """Theta as a number in [0, 1]."""
    if not 0 <= theta <= 1:
        raise ValueError(f"theta is {theta}; it must lie in [0, 1]: 1 is reward alone, 0 is diversity alone")
    return float(theta)


def _check_matrix(a: NDArray[np.float64], name: str, one: bool) -> None:
    """Refuse a matrix [B, n, n] that is not finite or not symmetric, and a kernel that two items show to be none."""
    for user, m in enumerate(a):
        where = f"{name}" if one else f"{name}[{user}]"
        code, i, j = kernels.flaw(m, name == "kernel", SLACK)
        if code == kernels.NOT_FINITE:
            raise ValueError(f"{where}[{i}, {j}] is {m[i, j]}; give finite numbers")
        if code == kernels.NOT_SYMMETRIC:
            raise ValueError(
                f"{where} is not symmetric: [{i}, {j}] is {m[i, j]}, [{j}, {i}] is {m[j, i]}; "
                f"give (m + m.T) / 2 if that is what is meant"
            )
        if code == kernels.NOT_PSD:
            raise ValueError(
                f"{where} is not positive semi-definite: [{i}, {j}] is {m[i, j]}, on the diagonal are {m[i, i]} and "
                f"{m[j, j]}; {INNER}"
            )


def _notes(p: Problem, user: int, order: NDArray[np.int64], active: NDArray[np.int64], code: int) -> list[Note]:
    """One user's notes; ``active`` counts the rules applied, or is -1 minus that where the reward decided."""
    notes, filled = [], int((order >= 0).sum())
    for at in range(filled + (code != kernels.DONE)):
        stopped, by_reward = at == filled, active[at] < 0
        applied = int(-1 - active[at] if by_reward else active[at])
        left = np.setdiff1d(np.flatnonzero(~p.gone[user]), order[:at])
        about = tuple(map(int, left[:SHOWN])), len(left), user
        if applied < len(p.rules):
            notes.append(Note(at, "rules", "relaxed", p.rules[applied:], *about))
        if stopped and code == kernels.BLOCKED:
            notes.append(Note(at, "rules", "stopped", _blocking(p, user, order[:at], left), *about))
        elif stopped or by_reward:
            notes.append(Note(at, "dependent", "stopped" if stopped else "reward", (), *about))
    return notes


def _blocking(p: Problem, user: int, chosen: NDArray[np.int64], left: NDArray[np.int64]) -> tuple[Rule, ...]:
    """The rules that keep out some item that is left."""
    found = []
    for rule in p.rules:
        kinds = kinds_of(rule, p.attributes, p.worth.shape)[user]
        above = list(kinds[chosen])
        if not all(rule.allows(above, kinds[i]) for i in left):
            found.append(rule)
    return tuple(found)
