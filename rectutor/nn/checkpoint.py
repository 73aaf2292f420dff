"""What a training run knows after an epoch, kept in memory and, if there is a path, in a file.

The file is complete or not there at all: it is written beside its place and then moved. It is read with
``torch.load(weights_only=True)``, which runs no code from it.
"""

from __future__ import annotations

import copy
import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from rectutor.features import Encoded

FORMAT = "rectutor.nn.fit 1"


class Run:
    """The epochs of a training run: history, best weights, and the file from which the run can go on.

    Random states are not among them, because those of an epoch follow from the seed and the epoch's number.

    Args:
        path: the checkpoint; None keeps everything in memory.
        model, optimizers: their states are saved and restored.
        monitor: the figure that says which epoch is best; None if no epoch is.
        settings: by name, what must be the same in the run that wrote the checkpoint.
    """

    def __init__(
        self,
        path: str | Path | None,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        monitor: str | None,
        settings: dict[str, Any],
    ) -> None:
        self.path = None if path is None else Path(path)
        self.model, self.optimizers, self.monitor = model, optimizers, monitor
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] | None = None
        if self.path is None:
            return
        if not self.path.parent.is_dir() or self.path.is_dir():
            raise ValueError(f"checkpoint {self.path} is not a place for a file; give a path in a folder that exists")
        self.settings = {name: _told(value) for name, value in settings.items()}
        self.settings |= {"monitor": _told(monitor), "model": _told(model)}
        self.settings["optimizers"] = ", ".join(map(_told, optimizers))

    def resume(self, epochs: int, device: torch.device) -> None:
        """Take everything from the checkpoint, if it exists."""
        if self.path is None or not self.path.exists():
            return
        try:
            saved = torch.load(self.path, map_location=device, weights_only=True)
            if saved["format"] != FORMAT:
                raise KeyError("format")
        except Exception as error:  # a damaged file can break its reader in any way
            raise ValueError(
                f"checkpoint {self.path} cannot be read: it is damaged or no checkpoint of fit; delete it to start anew"
            ) from error
        for name, value in self.settings.items():
            if (theirs := saved["settings"][name]) != value:
                raise ValueError(
                    f"checkpoint {self.path} is of another run: its {name} is {theirs}, here it is {value};"
                    f" give the same {name}, or another path"
                )
        if len(saved["history"]) > epochs:
            raise ValueError(f"checkpoint {self.path} has {len(saved['history'])} epochs already; epochs is {epochs}")
        self.history, self.best = saved["history"], saved["best"]
        self.model.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)

    def append(self, row: dict[str, float]) -> None:
        """Add an epoch: keep the weights if they are the best so far, and write the checkpoint."""
        if self.monitor is not None and not math.isfinite(row[self.monitor]):
            raise ValueError(f"score gave {self.monitor} = {row[self.monitor]} in epoch {row['epoch']}; repair it")
        self.history.append(row)
        if self.monitor is not None and self.since_best() == 0:
            self.best = copy.deepcopy(self.model.state_dict())
        if self.path is not None:
            self._write(self.path)

    def since_best(self) -> int:
        """How many epochs ago the best one was, the first of equals; without a monitor each epoch is the best."""
        if self.monitor is None or not self.history:
            return 0
        figures = [row[self.monitor] for row in self.history]
        best = min(figures) if self.monitor.endswith(("loss", "error")) else max(figures)
        return len(figures) - 1 - figures.index(best)

    def _write(self, path: Path) -> None:
        state = {
            "format": FORMAT,
            "settings": self.settings,
            "history": self.history,
            "model": self.model.state_dict(),
            "best": self.best,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        part = path.with_name(path.name + ".part")
        try:
            with part.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def _told(value: Any) -> str:
    """A setting in words that are the same in every process; what is long is shortened to a digest."""
    if isinstance(value, nn.Module):
        shapes = {name: (tuple(x.shape), x.dtype) for name, x in value.named_parameters()}
        return f"{type(value).__name__} {_digest(repr(value).encode(), repr(shapes).encode())}"
    if isinstance(value, Optimizer):
        groups = [{**group, "params": len(group["params"])} for group in value.param_groups]
        return f"{type(value).__name__} {groups}"
    if isinstance(value, Encoded):
        arrays = [x for x in (value.ids, value.dense, value.weights, value.label) if x is not None]
        return f"{len(value)} examples {_digest(repr(value.layout).encode(), *map(np.ascontiguousarray, arrays))}"
    return str(getattr(value, "__qualname__", type(value).__name__ if callable(value) else value))


def _digest(*parts: Any) -> str:
    """Eight hexadecimal digits of all bytes."""
    total = hashlib.blake2b(digest_size=4)
    for part in parts:
        total.update(hashlib.blake2b(part).digest())
    return total.hexdigest()
