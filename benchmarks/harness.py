"""Run contenders side by side: interleaved rounds in one process, so that a noisy machine slows all of them alike.

``Race("item cosine", unit="interactions", work=n).add("ours", run, ours=True).add("implicit", ...).run()`` prints a
Markdown table and writes ``benchmarks/results/<name>.json``. The ratio is the fastest peer's time over the contender's:
above 1 means faster than every peer.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

THREADS = int(os.environ.get("RECTUTOR_THREADS", "2"))
for _name in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
):
    os.environ.setdefault(_name, str(THREADS))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a spinning worker steals the core its sibling needs
os.environ.setdefault("KMP_BLOCKTIME", "0")

RESULTS = Path(__file__).parent / "results"


@dataclass
class Contender:
    """One row of the table: what to run, how its result is judged, and what was measured."""

    name: str
    run: Callable[[], Any]
    ours: bool
    quality: Callable[[Any], str] | None
    rounds: int | None
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    verdict: str = ""
    error: str = ""


class Race:
    """Contenders of one operation, timed in turn, round by round."""

    def __init__(
        self,
        name: str,
        *,
        unit: str,
        work: float,
        note: str = "",
        target: float | None = None,
        against: str | None = None,
    ) -> None:
        """``work`` is the number of ``unit`` one run processes; ``target`` the ratio our first contender has to reach.

        The target is set against the best peer, or against the peer named by ``against``.
        """
        self.name, self.unit, self.work, self.note = name, unit, work, note
        self.target, self.against = target, against
        self.rows: list[Contender] = []

    def add(
        self,
        name: str,
        run: Callable[[], Any],
        *,
        ours: bool = False,
        quality: Callable[[Any], str] | None = None,
        rounds: int | None = None,
    ) -> Race:
        """Enter a contender. ``quality(result)`` is shown beside the time; ``rounds`` caps a slow one."""
        self.rows.append(Contender(name, run, ours, quality, rounds))
        return self

    def run(self, rounds: int = 5) -> Race:
        """One untimed round (compilation, caches), then ``rounds`` timed ones; print and save the table."""
        for turn in range(-1, rounds):
            for row in self.rows:
                if row.error or (row.rounds is not None and turn >= row.rounds):
                    continue
                gc.collect()
                try:
                    cpu, wall = time.process_time(), time.perf_counter()
                    result = row.run()
                    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                except Exception as error:  # a peer that breaks is a result, and is shown as one
                    row.error = f"{type(error).__name__}: {error}".replace("\n", " ")[:160]
                    print(f"[{self.name}] {row.name}: {row.error}", file=sys.stderr, flush=True)
                    continue
                if turn >= 0:
                    row.wall.append(wall)
                    row.cpu.append(cpu)
                if row.quality is not None and not row.verdict:
                    row.verdict = row.quality(result)
                print(f"[{self.name}] round {turn} {row.name}: {wall:.4f} s", file=sys.stderr, flush=True)
        print(self.table(), flush=True)
        self.save()
        return self

    def best_peer(self) -> Contender | None:
        """The peer with the least wall time."""
        return min((r for r in self.rows if r.wall and not r.ours), key=lambda r: min(r.wall), default=None)

    def ratios(self, row: Contender) -> tuple[float, float, float]:
        """Best peer over ``row``: least wall, median of the rounds' wall ratios, least CPU."""
        best = self.best_peer()
        if best is None or not row.wall:
            return (float("nan"),) * 3
        pairs = sorted(b / w for b, w in zip(best.wall, row.wall, strict=False))
        return min(best.wall) / min(row.wall), pairs[len(pairs) // 2], min(best.cpu) / min(row.cpu)

    def reached(self) -> float:
        """Least wall time of the peer that the target is set against, over that of our first contender."""
        ours = next(r for r in self.rows if r.ours)
        named = [r for r in self.rows if r.name == self.against]
        peer = named[0] if named else self.best_peer()
        return min(peer.wall) / min(ours.wall) if peer is not None and peer.wall and ours.wall else float("nan")

    def table(self) -> str:
        """The Markdown table."""
        best = self.best_peer()
        lines = [
            f"\n### {self.name}" + (f" - {self.note}" if self.note else ""),
            f"| contender | least wall s | {self.unit}/s | x best peer (least wall) | (median) | (CPU) | quality |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            if not row.wall:
                lines.append(f"| {row.name} | failed: {row.error} | | | | | |")
                continue
            least, median, cpu = self.ratios(row)
            mark = " **(ours)**" if row.ours else " (best peer)" if row is best else ""
            lines.append(
                f"| {row.name}{mark} | {min(row.wall):.4g} | {self.work / min(row.wall):.3g} "
                f"| {least:.2f} | {median:.2f} | {cpu:.2f} | {row.verdict} |"
            )
        if self.target is not None:
            lines.append(
                f"\nTarget: {self.target} x {self.against or 'the best peer'}; reached: {self.reached():.2f} x."
            )
        return "\n".join(lines)

    def save(self) -> None:
        """Write what was measured to ``benchmarks/results/``, for the book's pages."""
        RESULTS.mkdir(exist_ok=True)
        rows = []
        for row in self.rows:
            entry: dict[str, Any] = {"name": row.name, "ours": row.ours, "quality": row.verdict, "error": row.error}
            if row.wall:
                least, median, cpu = self.ratios(row)
                entry |= {
                    "wall": row.wall,
                    "cpu": row.cpu,
                    "ratio_least": least,
                    "ratio_median": median,
                    "ratio_cpu": cpu,
                }
            rows.append(entry)
        document = {
            "name": self.name,
            "unit": self.unit,
            "work": self.work,
            "note": self.note,
            "target": self.target,
            "against": self.against,
            "reached": self.reached() if any(r.ours for r in self.rows) else None,
            "date": time.strftime("%Y-%m-%d"),
            "threads": THREADS,
            "python": platform.python_version(),
            "rows": rows,
        }
        path = RESULTS / (self.name.replace(" ", "-").replace("/", "-") + ".json")
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
