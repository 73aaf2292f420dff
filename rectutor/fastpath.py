"""Reference and fast path: the registry of pairs.

Every public algorithm of the library stands twice. Its *reference* reads like the paper; its *fast path* is what one
runs. ``@fast_path`` on the second ties it to the first and says on which inputs the two are compared. One test
(``tests/test_fastpath.py``) runs every pair over its cases; ``rectutor bench`` times every pair over growing sizes.

>>> from rectutor.fastpath import Case, fast_path, PAIRS
>>> def total(xs):
...     s = 0.0
...     for x in xs:
...         s += x
...     return s
>>> @fast_path(total, cases=lambda rng: [Case("random", (rng.random(5),)), Case("one", ([1.0],))], rtol=1e-12)
... def fast_total(xs):
...     return float(np.sum(xs))
>>> import numpy as np
>>> PAIRS.pop("fastpath.fast_total").check(seed=0)
2
"""

from __future__ import annotations

import importlib.util
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
Compare = Callable[[Any, Any, float, float], None]
"""``compare(fast result, reference result, rtol, atol)`` raises AssertionError where they differ."""

TOPICS = ("rectutor.data", "rectutor.metrics", "rectutor.features", "rectutor.nn", "rectutor.retrieval",
          "rectutor.ranking", "rectutor.rerank", "rectutor.coldstart")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One input on which a pair is compared: a name for the report, positional and keyword arguments."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A reference, its fast path, and what is needed to compare and to time them."""

    name: str
    reference: Callable[..., Any]
    fast: Callable[..., Any]
    cases: Callable[[np.random.Generator], Iterable[Case]]
    rtol: float
    atol: float
    compare: Compare
    bench: Callable[[int], Case] | None
    sizes: tuple[int, ...]
    unit: str

    def check(self, seed: int) -> int:
        """Run both sides on every case drawn with ``seed``; the number of cases, or AssertionError naming one."""
        n = 0
        for case in self.cases(np.random.default_rng(seed)):
            expected = self.reference(*case.args, **case.kwargs)
            got = self.fast(*case.args, **case.kwargs)
            try:
                self.compare(got, expected, self.rtol, self.atol)
            except AssertionError as error:
                raise AssertionError(f"{self.name}, case {case.name!r}, seed {seed}: {error}") from error
            n += 1
        if n == 0:
            raise AssertionError(f"{self.name} has no case")
        return n


PAIRS: dict[str, Pair] = {}


def as_dense(x: Any) -> Any:
    """Sparse arrays become dense ones; everything else stays as it is."""
    return x.toarray() if hasattr(x, "toarray") else x


def assert_same(got: Any, expected: Any, rtol: float, atol: float) -> None:
    """The default comparison: arrays by value, sparse arrays densely, tuples and dictionaries element by element."""
    if isinstance(expected, dict):
        assert isinstance(got, dict), f"expected a dictionary, got {type(got).__name__}"
        assert got.keys() == expected.keys(), f"keys {sorted(got)} instead of {sorted(expected)}"
        for key in expected:
            assert_same(got[key], expected[key], rtol, atol)
    elif isinstance(expected, tuple):
        assert isinstance(got, tuple), f"expected a tuple, got {type(got).__name__}"
        assert len(got) == len(expected), f"{len(got)} parts instead of {len(expected)}"
        for g, e in zip(got, expected, strict=True):
            assert_same(g, e, rtol, atol)
    else:
        g, e = np.asarray(as_dense(got)), np.asarray(as_dense(expected))
        assert g.shape == e.shape, f"shape {g.shape} instead of {e.shape}"
        np.testing.assert_allclose(g, e, rtol=rtol, atol=atol)


def fast_path(
    reference: Callable[..., Any],
    *,
    cases: Callable[[np.random.Generator], Iterable[Case]],
    rtol: float = 1e-7,
    atol: float = 0.0,
    compare: Compare = assert_same,
    bench: Callable[[int], Case] | None = None,
    sizes: tuple[int, ...] = (),
    unit: str = "rows",
) -> Callable[[F], F]:
    """Register the decorated function as the fast path of ``reference``.

    Args:
        reference: the implementation that reads like the paper; takes the same arguments.
        cases: draws the inputs of the comparison - random, edge and adversarial - from a seeded generator.
        rtol, atol: how far the results may differ; state the smallest that holds.
        compare: how the results are compared where element by element is not the meaning.
        bench: makes the input of a given size for ``rectutor bench``; None leaves the pair out of the timing.
        sizes: the sizes at which ``rectutor bench`` times the pair, ascending.
        unit: what a size counts (rows, users, interactions).

    Raises:
        ValueError: two pairs of one name.
    """

    def register(fast: F) -> F:
        module = fast.__module__.removeprefix("rectutor.")
        name = f"{module}.{fast.__name__}"
        if name in PAIRS and PAIRS[name].fast.__code__ is not fast.__code__:
            raise ValueError(f"the pair {name!r} is registered already; give one of the functions another name")
        PAIRS[name] = Pair(name, reference, fast, cases, rtol, atol, compare, bench, sizes, unit)
        fast.reference = reference  # type: ignore[attr-defined]
        return fast

    return register


def load_all() -> dict[str, Pair]:
    """Import every topic, so that all pairs are registered; return them by name."""
    for topic in TOPICS:
        if importlib.util.find_spec(topic) is None:
            continue
        package = importlib.import_module(topic)
        for module in pkgutil.walk_packages(package.__path__, prefix=f"{topic}."):
            importlib.import_module(module.name)
    return dict(sorted(PAIRS.items()))
