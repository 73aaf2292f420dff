"""From a seed to files, one day of the log in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from rectutor.world.coefficients import Size
from rectutor.world.feedworld import FeedWorld, SizeName
from rectutor.world.files import TABLES, CsvGz, check_tables


def write_feedworld(
    directory: str | Path,
    size: SizeName | Size = "small",
    seed: int | np.random.Generator = 0,
    tables: Sequence[str] = TABLES,
) -> list[Path]:
    """Generate a world and write its tables as ``<table>.csv.gz``; the log is streamed, so any size fits in memory.

    Args:
        directory: where the files go; made if missing.
        size, seed: as in :meth:`FeedWorld.generate`.
        tables: which of ``categories, authors, notes, users, impressions, ratings``.

    Returns:
        The files written, in the order of ``tables``.

    Raises:
        ValueError: an unknown table, size or a negative seed.
        OSError: the directory cannot be written.
    """
    check_tables(tables)
    world = FeedWorld(size, seed)
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files = {name: stack.enter_context(CsvGz(folder / f"{name}.csv.gz")) for name in tables}
        for day in world.days(progress=True):
            for name in ("impressions", "ratings"):
                if name in files:
                    files[name].append(pd.DataFrame(getattr(day, name)))
        for name in files.keys() - {"impressions", "ratings"}:
            files[name].append(getattr(world, name))
    return [folder / f"{name}.csv.gz" for name in tables]
