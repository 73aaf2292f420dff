"""What compiled training loops share: compiler flags, the number of threads, progress, checks of their parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
from tqdm import tqdm

REASSOCIATE = {"reassoc", "contract", "nsz", "arcp"}
"""What the compiled kernels let the compiler do with float arithmetic: regroup sums, so that they vectorise, and fuse
multiply with add. Infinity and NaN keep their meaning, because a learning rate that is too high produces them."""

LITTLE_WORK = 1_000_000
"""Multiply-adds of a pass that one thread does in about a millisecond."""


def check_at_least(name: str, value: float, least: float, *, strictly: bool = False, whole: bool = False) -> None:
    """Refuse a parameter that is too small, not finite, or not whole where it must be."""
    if whole and not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {value!r}; give a whole number")
    if not np.isfinite(value) or value < least or (strictly and value == least):
        raise ValueError(f"{name} is {value}; it must be {'>' if strictly else '>='} {least}")


def bar(iterable: range, what: str, progress: bool | None) -> Any:
    """Progress over passes: shown at once if True, never if False, only past two seconds if None."""
    hidden = {"disable": True} if progress is False else {}  # disable=False would overrule TQDM_DISABLE
    return tqdm(iterable, desc=what, delay=0 if progress else 2, leave=bool(progress), **hidden)


@contextmanager
def threads(n_threads: int | None, work: int) -> Iterator[None]:
    """Run compiled loops on so many threads.

    None leaves numba's setting as it is, but takes one thread where ``work``, the multiply-adds of a pass, is so small
    that waking the others takes longer.
    """
    if n_threads is None:
        n_threads = numba.get_num_threads() if work >= LITTLE_WORK else 1
    check_at_least("n_threads", n_threads, 1, whole=True)
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if n_threads > most:
        raise ValueError(f"n_threads is {n_threads}; this process may use at most {most} (NUMBA_NUM_THREADS)")
    before = numba.get_num_threads()
    numba.set_num_threads(n_threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)
