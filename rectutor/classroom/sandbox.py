"""Answers in a process of their own: called on inputs they have not seen, they send plain data back."""

from __future__ import annotations

import importlib.util
import json
import os
import selectors
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from scipy import sparse

from rectutor.classroom import sandbox_process
from rectutor.classroom.exercise import CALL_SECONDS, Arguments, Lost, Outcome

PROGRAM = Path(sandbox_process.__file__)
LIBRARIES = ("numpy", "scipy", "pandas", "dateutil", "pytz", "six", "tzdata")
"""What answers may import beside the standard library, and what that needs."""
HEAVY = {"scipy": "scipy.sparse", "pandas": "pandas"}
"""What is imported before the fence is set where the answers mention it: much of it cannot be imported behind it."""
STARTING = 60.0
"""Seconds for the process to start and for each cell that is not an answer."""
LONGEST_REPLY, LONGEST_REPLIES, LONGEST_MESSAGE = 16 << 20, 32 << 20, 500
"""Bytes of one reply, and of all replies of one answer; characters of the message of an exception."""


@dataclass(frozen=True)
class Limits:
    """What an answer may take: seconds of computing in one call and in all together, megabytes."""

    call: float = CALL_SECONDS
    calls: float = 20.0
    memory: int = 3000


class Sandbox:
    """The answers of one notebook, run in order in one process, from which functions can be called.

    Args:
        given: cells of the exercise that come before all answers, such as imports.
        answers: source of each answer by name.
        limits: time and memory.

    Attributes:
        broken: of the answers whose own cell did not run: what happened.
        lost: of the answers that did not come back from a call: what happened.
    """

    def __init__(self, given: Sequence[str], answers: Mapping[str, str], limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.broken: dict[str, str] = {}
        self.lost: dict[str, str] = {}
        self._given, self._answers = list(given), dict(answers)
        sources = "\n".join((*given, *answers.values()))
        self._modules = ["numpy.random", "numpy.linalg", *(HEAVY[word] for word in HEAVY if word in sources)]
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._bytes: defaultdict[str, int] = defaultdict(int)
        self._process: subprocess.Popen[bytes] | None = None
        self._home = tempfile.TemporaryDirectory(prefix="answers-")
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, name: str, arguments: Arguments) -> Outcome:
        """Call a function that the answers define.

        Raises:
            Lost: it took too long or its process ended; the message says which.
        """
        if name in self.lost:
            raise Lost(self.lost[name])
        if HEAVY["scipy"] not in self._modules and any(map(sparse.issparse, arguments)):
            self._modules.append(HEAVY["scipy"])
            self._stop()
        if self._process is None:
            self._start()
        encoded = [sandbox_process.encode(value) for value in arguments]
        try:
            reply = self._ask({"name": name, "arguments": encoded}, self.limits.call)
            if self._seconds[name] > self.limits.calls:
                raise Lost(f"It took more than {self.limits.calls:g} seconds over small inputs; find a faster way.")
            if self._bytes[name] > LONGEST_REPLIES:
                raise Lost("It returned more than fits.")
        except Lost as lost:
            self.lost[name] = str(lost)
            raise
        if "raised" in reply:
            if reply["raised"] == "MemoryError":
                self.lost[name] = f"It needs more than {self.limits.memory:,} megabytes of memory."
            return Outcome(raised=str(reply["raised"])[:100], message=str(reply.get("message", ""))[:LONGEST_MESSAGE])
        try:
            return Outcome(sandbox_process.decode(reply.get("value")))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, MemoryError):
            return Outcome(sandbox_process.Unknown("unknown"))

    def close(self) -> None:
        """End the process and all that it started."""
        self._stop()
        self._home.cleanup()

    # -- the process
    def _start(self) -> None:
        """Start a process and run the cells that did not break one before."""
        path, readable = _libraries()
        settings = {
            "path": path,
            "readable": [*readable, os.devnull],
            "libraries": LIBRARIES,
            "modules": self._modules,
            "memory": self.limits.memory,
            "seconds": int(STARTING + self.limits.calls * (1 + len(self._answers))),
        }
        environment = {
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "HOME": self._home.name,
        }
        environment |= {
            n: os.environ[n] for n in ("SYSTEMROOT", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if n in os.environ
        }
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(PROGRAM), json.dumps(settings)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._home.name,
            env=environment,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        self._rest, self._watched, self._began = bytearray(), psutil.Process(self._process.pid), (0.0, time.monotonic())
        try:
            self._read(STARTING)
            for source in self._given:
                reply = self._ask({"name": "given", "source": source}, STARTING)
                if "raised" in reply:
                    raise RuntimeError(f"a cell of the exercise itself raised {reply['raised']}: {reply['message']}")
        except Lost as lost:
            raise RuntimeError(f"the process for answers did not start: {lost}") from None
        for name, source in self._answers.items():
            if name in self.broken:
                continue
            try:
                reply = self._ask({"name": name, "source": source}, self.limits.call)
            except Lost as lost:
                self.broken[name] = str(lost)
                return self._start()
            if reply.get("raised", "NotImplementedError") != "NotImplementedError":
                self.broken[name] = f"The cell raised {reply['raised']}: {reply.get('message', '')}"[:LONGEST_MESSAGE]
            elif reply.get("value") is False:
                self.broken[name] = f"The cell does not define {name}; the function has to keep that name."

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError, AttributeError):
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()

    def _ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and wait for its reply; after a lost one the process is ended."""
        name = str(request["name"])
        self._began = self._clocks()
        try:
            self._send(json.dumps(request).encode() + b"\n", seconds)
            reply = self._read(seconds, name)
        except (Lost, BrokenPipeError) as lost:
            self._stop()
            raise lost if isinstance(lost, Lost) else Lost("It ended the process that ran it.") from None
        self._seconds[name] += self._spent()
        return reply

    def _send(self, line: bytes, seconds: float) -> None:
        """Write a line; an answer that did not return does not read it."""
        assert self._process is not None
        assert self._process.stdin is not None
        left, pipe = memoryview(line), self._process.stdin.fileno()
        while left:
            self._wait(pipe, selectors.EVENT_WRITE, seconds)
            left = left[os.write(pipe, left) :]

    def _read(self, seconds: float, name: str = "") -> dict[str, Any]:
        """Read a line of JSON."""
        assert self._process is not None
        assert self._process.stdout is not None
        pipe, searched = self._process.stdout.fileno(), 0
        while (stop := self._rest.find(b"\n", searched)) < 0:
            searched = len(self._rest)
            self._wait(pipe, selectors.EVENT_READ, seconds)
            chunk = os.read(pipe, 1 << 20)
            if not chunk:
                raise Lost("It ended the process that ran it, or ran out of memory.")
            self._rest += chunk
            if len(self._rest) > LONGEST_REPLY:
                raise Lost("It returned more than fits.")
        self._bytes[name] += stop
        line = bytes(self._rest[:stop])
        del self._rest[: stop + 1]
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            raise Lost("What came back is no reply.")
        return reply

    def _wait(self, pipe: int, event: int, seconds: float) -> None:
        """Wait for a pipe until the current request has taken too long."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(pipe, event)
            while (left := seconds - self._spent()) > 0:
                if waiting.select(left):
                    return
        raise Lost(f"It did not return within {self.limits.call:g} seconds.")

    def _spent(self) -> float:
        """Seconds that the current request took: of computing, as others may be busy here, or a quarter of all."""
        computing, passed = (now - then for now, then in zip(self._clocks(), self._began, strict=True))
        return max(computing, passed / 4)

    def _clocks(self) -> tuple[float, float]:
        """Seconds of computing of the process, and of the clock."""
        try:
            times = self._watched.cpu_times()
        except psutil.Error:  # it has ended
            return self._began[0], time.monotonic()
        return times.user + times.system, time.monotonic()


@cache
def _libraries() -> tuple[list[str], list[str]]:
    """Where an answer's process finds modules, and the beginnings of the paths that it may read."""
    standard = Path(sysconfig.get_path("stdlib"))
    dynamic = [path for path in sys.path if Path(path).name == "lib-dynload"]
    entries = [*standard.iterdir(), *map(Path, dynamic)]
    readable = [entry for entry in entries if entry.name not in ("site-packages", "dist-packages")]
    path = [str(standard), *dynamic]
    for library in LIBRARIES:
        spec = importlib.util.find_spec(library)
        if spec is not None and spec.origin is not None:
            place = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
            readable.append(place)
            path.append(str(place.parent))
    return list(dict.fromkeys(path)), [f"{entry}{os.sep}" if entry.is_dir() else str(entry) for entry in readable]
