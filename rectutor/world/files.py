"""Frames as compressed CSV: the same text for the same world, written piece by piece."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pandas as pd

TABLES = ("categories", "authors", "notes", "users", "impressions", "ratings")


def check_tables(tables: Sequence[str]) -> None:
    """Refuse the name of a table that no world has."""
    unknown = [name for name in tables if name not in TABLES]
    if unknown:
        raise ValueError(f"unknown table {unknown[0]!r}; choose among {', '.join(TABLES)}")


def csv_text(frame: pd.DataFrame, header: bool = True) -> str:
    """A frame as CSV: nine significant digits (float32 comes back exactly), missing values empty, Unix line ends."""
    return str(frame.to_csv(index=False, header=header, float_format="%.9g", lineterminator="\n"))


class CsvGz:
    """A ``.csv.gz`` file written frame by frame; it appears under its name only when it is complete.

    The gzip header carries neither time nor name. Compare contents, not compressed bytes: those depend on zlib.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._part = path, path.with_name(path.name + ".part")

    def __enter__(self) -> CsvGz:
        self._raw = self._part.open("wb")
        self._gzip = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=self._raw, mtime=0)
        self._empty = True
        return self

    def append(self, frame: pd.DataFrame) -> None:
        """Add a frame's rows; the first frame brings the header."""
        self._gzip.write(csv_text(frame, header=self._empty).encode())
        self._empty = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gzip.close()
        self._raw.close()
        if kind is None:
            os.replace(self._part, self.path)
        else:
            self._part.unlink()
