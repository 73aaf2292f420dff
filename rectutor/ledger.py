"""The ledger: what was measured on real data, beside what others' libraries reach on the same split in the same run.

``benchmarks/ledger.py`` writes ``datasets/ledger.json``; chapters and the appendix page *Ledger* read it here.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

PATH = Path(__file__).parent.parent / "datasets" / "ledger.json"

COLUMNS = (
    "dataset", "split", "model", "parameters", "metric", "ours", "ours_low", "ours_high",
    "peer", "peer_version", "theirs", "theirs_low", "theirs_high",
    "difference", "difference_low", "difference_high", "status", "seeds", "users", "date", "command",
)  # fmt: skip
"""Figures with 95 % intervals over users (rmse: over seeds; auc and log-loss: over both); ``difference`` is ours minus
theirs, paired, so that above zero is better but for ``LOWER_IS_BETTER``. ``status``: better, equal (the interval of the
difference holds zero), worse, or no peer."""

LOWER_IS_BETTER = ("rmse", "log-loss")


def frame(
    dataset: str | None = None, split: str | None = None, metric: str | None = None, path: Path = PATH
) -> pd.DataFrame:
    """The ledger's rows, those of one data set, split or metric if it is named; the columns are ``COLUMNS``.

    Raises:
        FileNotFoundError: there is no ledger, as in an installation without the book's checkout.
        ValueError: no row of that data set, split and metric.
    """
    if not path.exists():
        raise FileNotFoundError(f"no ledger at {path}; it is part of the book's checkout, and `make bench` writes it")
    rows = pd.DataFrame(json.loads(path.read_text(encoding="utf-8")), columns=list(COLUMNS))
    for column, wanted in (("dataset", dataset), ("split", split), ("metric", metric)):
        if wanted is not None:
            if wanted not in set(rows[column]):
                raise ValueError(f"the ledger has no row with {column} {wanted!r}; it has {sorted(set(rows[column]))}")
            rows = rows[rows[column] == wanted]
    return rows.reset_index(drop=True)


def status(low: float, high: float, *, lower_is_better: bool = False) -> str:
    """What the interval of ours minus theirs says.

    >>> status(0.001, 0.02), status(-0.01, 0.02), status(-0.02, -0.01), status(-0.02, -0.01, lower_is_better=True)
    ('better', 'equal', 'worse', 'better')
    """
    if lower_is_better:
        low, high = -high, -low
    return "better" if low > 0 else "worse" if high < 0 else "equal"
