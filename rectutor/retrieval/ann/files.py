"""An index in one file that is mapped into memory: loading reads the head only, and a search the pages that it needs.

The file: 8 bytes of magic, the length of the head in 8 bytes, the head in JSON, then each array at a multiple of 64
bytes, little-endian. The head says what the index is, where each array lies, and how long the file is; its own checksum
stands behind it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"RTINDEX1"
LINE = 64
Arrays = dict[str, NDArray[Any]]


def write(path: str | Path, kind: str, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write to a file beside it first, so that there never is half an index at ``path``."""
    path = Path(path)
    places: dict[str, dict[str, Any]] = {}
    at = 0
    for name, array in arrays.items():
        at = -(-at // LINE) * LINE
        places[name] = {"dtype": array.dtype.newbyteorder("<").str, "shape": array.shape, "at": at}
        at += array.nbytes
    head = json.dumps({"kind": kind, "settings": dict(settings), "arrays": places, "bytes": at}).encode("ascii")
    start = _start(len(head))
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        file.write(MAGIC + len(head).to_bytes(8, "little") + head + zlib.crc32(head).to_bytes(4, "little"))
        for name, array in arrays.items():
            file.seek(start + places[name]["at"])
            file.write(np.ascontiguousarray(array, np.dtype(array.dtype).newbyteorder("<")).data)
        file.truncate(start + at)
    temporary.replace(path)


def read(path: str | Path, kind: str) -> tuple[dict[str, Any], Arrays]:
    """The settings, and the arrays mapped privately: what is written to them stays in memory.

    (Arrays that cannot be written are of another type to the compiled loops, which would be compiled once more.)

    Raises:
        ValueError: a file that is no index, is one of another kind, is cut off, or has a damaged head.
    """
    path = Path(path)
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{path} is no index of this library; give a file that save wrote")
        length = int.from_bytes(file.read(8), "little")
        there = path.stat().st_size
        if len(MAGIC) + 8 + length + 4 > there:
            raise ValueError(f"{path} is cut off within its head; save the index again")
        text, checksum = file.read(length), file.read(4)
    if zlib.crc32(text).to_bytes(4, "little") != checksum:
        raise ValueError(f"{path} has a damaged head; save the index again")
    head = json.loads(text)
    if head["kind"] != kind:
        raise ValueError(f"{path} holds an index of the kind {head['kind']}; load it with {head['kind']}.load")
    start = _start(length)
    if there != start + head["bytes"]:
        raise ValueError(f"{path} has {there} bytes, its head says {start + head['bytes']}; save the index again")
    arrays = {}
    for name, place in head["arrays"].items():
        shape = tuple(place["shape"])
        if 0 in shape:  # nothing to map
            arrays[name] = np.empty(shape, place["dtype"])
        else:
            arrays[name] = np.memmap(path, place["dtype"], "c", start + place["at"], shape)
    return head["settings"], arrays


def _start(length: int) -> int:
    """Where the arrays begin behind a head of so many bytes."""
    return -(-(len(MAGIC) + 8 + length + 4) // LINE) * LINE
