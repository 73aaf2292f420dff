"""Time every reference/fast pair over growing sizes: what ``rectutor bench`` runs.

The two sides of a pair run in turn on the same input, round by round, so that a noisy machine slows both alike; the
figure kept is the median. A reference whose next size would take longer than the limit is left out from there on, and
shown as such.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rectutor.fastpath import Pair, load_all


@dataclass(frozen=True)
class Timing:
    """Median seconds of one pair at one size; ``reference_s`` is None where the reference would have taken too long."""

    pair: str
    size: int
    unit: str
    reference_s: float | None
    fast_s: float

    @property
    def ratio(self) -> float | None:
        """How many times faster the fast path is."""
        return None if self.reference_s is None else self.reference_s / self.fast_s


def select(pairs: dict[str, Pair], names: Sequence[str]) -> list[Pair]:
    """The pairs that can be timed and whose name contains one of ``names``; all of them if there is none.

    Raises:
        ValueError: a name that matches no pair that can be timed.
    """
    timed = [pair for pair in pairs.values() if pair.bench is not None and pair.sizes]
    for name in names:
        if not any(name in pair.name for pair in timed):
            raise ValueError(f"no pair with a timing matches {name!r}; there are {', '.join(p.name for p in timed)}")
    return [pair for pair in timed if not names or any(name in pair.name for name in names)]


def time_pair(pair: Pair, rounds: int = 3, limit_s: float = 2.0) -> list[Timing]:
    """Time one pair at each of its sizes.

    Args:
        pair: a pair with ``bench`` and ``sizes``.
        rounds: timed rounds a size; one untimed round of the fast path compiles it.
        limit_s: a reference expected to take longer, at linear growth from the last size, is not run.
    """
    if pair.bench is None:
        raise ValueError(f"the pair {pair.name!r} says no bench=; it cannot be timed")
    timings: list[Timing] = []
    last: tuple[int, float] | None = None
    for size in pair.sizes:
        case = pair.bench(size)
        pair.fast(*case.args, **case.kwargs)
        affordable = last is None or last[1] * size / last[0] <= limit_s
        slow: list[float] = []
        fast: list[float] = []
        for _ in range(rounds):
            if affordable:
                start = time.perf_counter()
                pair.reference(*case.args, **case.kwargs)
                slow.append(time.perf_counter() - start)
            start = time.perf_counter()
            pair.fast(*case.args, **case.kwargs)
            fast.append(time.perf_counter() - start)
        reference_s = statistics.median(slow) if slow else None
        # once too slow, always too slow: a larger size is never tried
        last = (size, reference_s) if reference_s is not None else (size, limit_s * 2)
        timings.append(Timing(pair.name, size, pair.unit, reference_s, statistics.median(fast)))
    return timings


def run(names: Sequence[str] = (), rounds: int = 3, limit_s: float = 2.0) -> list[Timing]:
    """Time all selected pairs, with a progress bar."""
    chosen = select(load_all(), names)
    timings: list[Timing] = []
    for pair in tqdm(chosen, desc="pairs", unit="pair"):
        timings += time_pair(pair, rounds, limit_s)
    return timings


def table(timings: Iterable[Timing]) -> str:
    """A text table, one line a pair and size.

    >>> print(table([Timing("cf.swing", 100, "users", 0.5, 0.001), Timing("cf.swing", 1000, "users", None, 0.02)]))
    pair                  size  unit        reference          fast     ratio
    cf.swing               100  users        500.0 ms       1.00 ms       500
    cf.swing              1000  users               -       20.0 ms         -
    """
    rows = list(timings)
    width = max([18, *(len(t.pair) for t in rows)])
    lines = [f"{'pair':<{width}} {'size':>7}  {'unit':<10} {'reference':>10} {'fast':>13} {'ratio':>9}"]
    for t in rows:
        reference = "-" if t.reference_s is None else seconds(t.reference_s)
        ratio = "-" if t.ratio is None else f"{t.ratio:.3g}"
        lines.append(f"{t.pair:<{width}} {t.size:>7}  {t.unit:<10} {reference:>10} {seconds(t.fast_s):>13} {ratio:>9}")
    return "\n".join(lines)


def seconds(s: float) -> str:
    """A duration with three figures and its unit.

    >>> seconds(0.0000123), seconds(0.5), seconds(12.0)
    ('12.3 us', '500.0 ms', '12.00 s')
    """
    if s < 1e-3:
        return f"{s * 1e6:.1f} us"
    if s < 1:
        return f"{s * 1e3:.{2 if s < 1e-2 else 1}f} ms"
    return f"{s:.2f} s"


def plot(timings: Iterable[Timing], path: Path) -> None:
    """Draw seconds against size on log-log axes, one panel a pair, and write the picture to ``path``."""
    from matplotlib.figure import Figure

    by_pair: dict[str, list[Timing]] = {}
    for t in timings:
        by_pair.setdefault(t.pair, []).append(t)
    columns = min(3, len(by_pair))
    rows = -(-len(by_pair) // columns)
    figure = Figure(figsize=(4 * columns, 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat[len(by_pair) :]:
        panel.set_visible(False)
    for panel, (name, points) in zip(panels.flat, by_pair.items(), strict=False):
        known = [t for t in points if t.reference_s is not None]
        panel.loglog([t.size for t in known], [t.reference_s for t in known], "o--", color="#D55E00", label="reference")
        panel.loglog([t.size for t in points], [t.fast_s for t in points], "s-", color="#0072B2", label="fast path")
        panel.set_title(name, fontsize=9)
        panel.set_xlabel(points[0].unit)
        panel.set_ylabel("seconds")
    panels.flat[0].legend()
    figure.savefig(path)


def save(timings: Iterable[Timing], path: Path) -> None:
    """Write the timings as JSON; the appendix page *Fast paths* reads ``datasets/fastpaths.json``."""
    import numba
    import numpy

    document: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "numba": numba.__version__,
        "machine": platform.machine(),
        "threads": numba.get_num_threads(),
        "timings": [asdict(t) for t in timings],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
