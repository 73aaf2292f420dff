"""Rules of a feed (重排规则): hard limits on how often a kind of item may occur, which outrank diversity.

Each rule says for itself which lists satisfy it (``holds``), and what may stand below the items chosen so far
(``allows``); the references go by that. For the fast paths all three are one thing: *a kind may stand at a position if
the* ``span - 1`` *positions above it hold fewer than* ``most`` *of that kind*. ``limits`` says it in numbers:

=========================  ==========================================  ============  =======================
rule                       in words                                    span          applies to
=========================  ==========================================  ============  =======================
:class:`MaxRun`            at most ``most`` of a kind in a row         most + 1      all positions
:class:`MaxInWindow`       at most ``most`` in any ``window`` places   window        all positions
:class:`MaxInPrefix`       at most ``most`` in the first ``prefix``    prefix        the first ``prefix``
=========================  ==========================================  ============  =======================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FOREVER = np.iinfo(np.int64).max
"""The number of positions of a rule that applies to all."""


@dataclass(frozen=True)
class Rule:
    """What the rules share; use one of its three kinds.

    Attributes:
        column: the attribute that tells the kind of an item.
        most: how many items of a kind are accepted where the rule counts them.
        value: the one kind that is counted; None counts each kind for itself. Missing values are of no kind.
    """

    column: str
    most: int

    def __post_init__(self) -> None:
        """Refuse limits that are no counts."""
        for name, least in {"most": 0 if isinstance(self, MaxInPrefix) else 1, **self._sizes()}.items():
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int | np.integer):
                raise TypeError(f"{name} of {type(self).__name__} is {number!r}; give a whole number")
            if number < least:
                raise ValueError(f"{name} of {type(self).__name__} is {number}; it must be at least {least}")

    def _sizes(self) -> dict[str, int]:
        """Names and least values of the other numbers of a rule."""
        return {}

    def counts(self, kind: Any) -> bool:
        """Whether an item of this kind is one that the rule counts."""
        value = getattr(self, "value", None)
        return not pd.isna(kind) and (value is None or kind == value)

    def holds(self, kinds: Sequence[Any]) -> bool:
        """Whether a list satisfies the rule, given the kind of the item at each position."""
        raise NotImplementedError

    def allows(self, above: Sequence[Any], kind: Any) -> bool:
        """Whether an item of this kind may stand right below items of the kinds ``above``, given from the top."""
        raise NotImplementedError

    def limits(self) -> tuple[int, int]:
        """Span in positions, and the number of positions from the top to which the rule applies."""
        raise NotImplementedError


@dataclass(frozen=True)
class MaxRun(Rule):
    """At most ``most`` items of one kind in a row, e.g. no more than five videos one after the other.

    >>> rule = MaxRun("type", 2)
    >>> rule.holds(["video", "video", "image", "video"]), rule.holds(["image", "video", "video", "video"])
    (True, False)
    """

    value: Hashable | None = None

    def holds(self, kinds: Sequence[Any]) -> bool:
        """No run of equal kinds is longer than ``most``."""
        return all(len(list(run)) <= self.most for kind, run in groupby(kinds) if self.counts(kind))

    def allows(self, above: Sequence[Any], kind: Any) -> bool:
        """The last ``most`` items are not all of this kind."""
        return not self.counts(kind) or list(above[-self.most :]) != [kind] * self.most

    def limits(self) -> tuple[int, int]:
        """Too long a run is ``most + 1`` of a kind among ``most + 1`` positions."""
        return self.most + 1, FOREVER


@dataclass(frozen=True)
class MaxInWindow(Rule):
    """At most ``most`` items of a kind in any ``window`` consecutive positions, e.g. one promoted note in every nine.

    >>> rule = MaxInWindow("promoted", 1, window=3, value=True)
    >>> rule.holds([True, False, False, True]), rule.holds([True, False, True])
    (True, False)
    """

    window: int
    value: Hashable | None = None

    def _sizes(self) -> dict[str, int]:
        return {"window": self.most + 1}

    def holds(self, kinds: Sequence[Any]) -> bool:
        """No stretch of ``window`` positions has more than ``most`` of a kind."""
        stretches = [kinds[first : first + self.window] for first in range(max(1, len(kinds) - self.window + 1))]
        return all(_most(self, stretch) <= self.most for stretch in stretches)

    def allows(self, above: Sequence[Any], kind: Any) -> bool:
        """The last ``window - 1`` items hold fewer than ``most`` of this kind."""
        return not self.counts(kind) or list(above[1 - self.window :]).count(kind) < self.most

    def limits(self) -> tuple[int, int]:
        """The window itself."""
        return self.window, FOREVER


@dataclass(frozen=True)
class MaxInPrefix(Rule):
    """The first ``prefix`` positions hold at most ``most`` items of a kind, e.g. no shop card at the very top.

    >>> rule = MaxInPrefix("shop", 1, prefix=4, value=True)
    >>> rule.holds([False, True, False, False, True]), rule.holds([True, False, False, True])
    (True, False)
    """

    prefix: int
    value: Hashable | None = None

    def _sizes(self) -> dict[str, int]:
        return {"prefix": self.most + 1}

    def holds(self, kinds: Sequence[Any]) -> bool:
        """The first ``prefix`` positions have no more than ``most`` of a kind."""
        return _most(self, kinds[: self.prefix]) <= self.most

    def allows(self, above: Sequence[Any], kind: Any) -> bool:
        """The prefix is full, or holds fewer than ``most`` of this kind."""
        return not self.counts(kind) or len(above) >= self.prefix or list(above).count(kind) < self.most

    def limits(self) -> tuple[int, int]:
        """All positions above, as long as the position lies in the prefix."""
        return self.prefix, self.prefix


def _most(rule: Rule, kinds: Sequence[Any]) -> int:
    """How many there are of the kind that occurs most among those that the rule counts."""
    return max(Counter(kind for kind in kinds if rule.counts(kind)).values(), default=0)


Attributes: TypeAlias = Mapping[str, Any] | pd.DataFrame
"""Columns of the candidates: a frame, or a dictionary of arrays."""


@dataclass(frozen=True, eq=False)
class Compiled:
    """Rules in numbers. Shapes: R rules, B users, n candidates, K kinds.

    Attributes:
        codes: the kind of each candidate under each rule, -1 where the rule does not count it, int32 [B, R, n].
        most, span, until: see :meth:`Rule.limits`, int64 [R].
        kinds: K, over all rules.
    """

    codes: NDArray[np.int32]
    most: NDArray[np.int64]
    span: NDArray[np.int64]
    until: NDArray[np.int64]
    kinds: int


def compiled(rules: Sequence[Rule], attributes: Attributes | None, shape: tuple[int, int]) -> Compiled:
    """Put rules in numbers.

    Args:
        rules: the rules.
        attributes: columns of shape [n], or [B, n]; one user's columns may come as [n].
        shape: B, n.

    Raises:
        TypeError: what is no rule.
        ValueError: a rule without attributes, a column that is not there or has another shape.
    """
    for rule in rules:
        if not isinstance(rule, MaxRun | MaxInWindow | MaxInPrefix):
            raise TypeError(f"rules contains {rule!r}; give MaxRun, MaxInWindow and MaxInPrefix")
    if rules and attributes is None:
        raise ValueError(f"rules name the column {rules[0].column!r}, but attributes is not given; give their columns")
    if not rules:
        none = np.empty(0, dtype=np.int64)
        return Compiled(np.empty((shape[0], 0, shape[1]), dtype=np.int32), none, none, none, 1)
    codes, kinds = np.full((shape[0], len(rules), shape[1]), -1, dtype=np.int32), 1
    for r, rule in enumerate(rules):
        column = kinds_of(rule, attributes, shape)
        number, names = pd.factorize(column.ravel())
        value = getattr(rule, "value", None)
        if value is not None:
            wanted = np.array(
                [name == value for name in names] + [False]
            )  # the last one is for missing values, code -1
            number = np.where(wanted[number], 0, -1)
        codes[:, r] = number.reshape(shape)
        kinds = max(kinds, len(names))
    limits = np.array([rule.limits() for rule in rules], dtype=np.int64).reshape(-1, 2)
    most = np.array([rule.most for rule in rules], dtype=np.int64)
    return Compiled(codes, most, np.ascontiguousarray(limits[:, 0]), np.ascontiguousarray(limits[:, 1]), kinds)


def kinds_of(rule: Rule, attributes: Attributes | None, shape: tuple[int, int]) -> NDArray[Any]:
    """The column that a rule names [B, n].

    Raises:
        ValueError: it is not there, or has another shape.
    """
    columns: Attributes = {} if attributes is None else attributes
    if rule.column not in columns:
        there = ", ".join(map(repr, columns)) or "none"
        raise ValueError(f"{rule} names the column {rule.column!r}; attributes has {there}")
    column = np.asarray(columns[rule.column])
    if column.shape != shape and (1, *column.shape) != shape:
        wanted = shape if shape[0] > 1 else shape[1:]
        raise ValueError(f"column {rule.column!r} of attributes has shape {column.shape}; it must be {wanted}")
    return column.reshape(shape)
