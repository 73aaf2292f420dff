"""Exercises: a reference, inputs to compare on, and the misconceptions that a wrong answer may show.

An answer is compared with the reference on edge cases and on fresh random inputs. Where it differs, hypothesis looks
for the smallest input on which it does. An answer that agrees everywhere with a known misconception gets that one's
hint; any other gets the input, what it returned, and the property that a right answer has. The right value is never
told.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
import os
import random
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Literal

import hypothesis
import numpy as np
from hypothesis.strategies import SearchStrategy
from scipy import sparse

Arguments = tuple[Any, ...]
Status = Literal["correct", "wrong", "blank"]

RANDOM_INPUTS = 200
"""Random inputs on which an answer is compared with the reference."""
CALL_SECONDS = 5.0
"""What one call of an answer may take."""
AT_SIZE = "Right on small inputs, but not at the size that the task names."
LONGEST = 300
"""Characters of an input or a returned value that a hint shows."""
SEED = "RECTUTOR_SEED"
"""Environment variable that fixes the random inputs of a check, so that the same answer gets the same points."""


@dataclass(frozen=True)
class Misconception:
    """A wrong answer that people give, as a function, and what to say to one who gives it."""

    wrong: Callable[..., Any]
    hint: str


@dataclass(frozen=True)
class Outcome:
    """What calling an answer gave: a value, or the name and message of an exception."""

    value: Any = None
    raised: str = ""
    message: str = ""


Call = Callable[[Arguments], Outcome]


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Args:
        reference: the right answer; its parameters name the arguments in hints.
        expects: what a right answer does, in a sentence; told when no misconception fits.
        edges: inputs that are always tried: empty, tied, degenerate ones.
        inputs: hypothesis's strategy for random ones, tuples of arguments; None where there is nothing to vary.
        large: one input of realistic size, from a generator, for answers that only work on small ones.
        misconceptions: wrong answers with their hints, the more special first.
        rtol: relative tolerance of numbers.
        same: whether a value is right, given the arguments and the reference's value; by default :func:`equal`.
    """

    reference: Callable[..., Any]
    expects: str
    edges: Sequence[Arguments]
    inputs: SearchStrategy[Arguments] | None = None
    large: Callable[[np.random.Generator], Arguments] | None = None
    misconceptions: Sequence[Misconception] = ()
    rtol: float = 1e-9
    same: Callable[[Arguments, Any, Any], bool] | None = None

    @property
    def name(self) -> str:
        """The name of the function that the student writes."""
        return self.reference.__name__

    def agrees(self, arguments: Arguments, got: Outcome, expected: Outcome) -> bool:
        """Whether two outcomes are the same: equal values, or the same exception."""
        if got.raised or expected.raised:
            return got.raised == expected.raised
        if self.same is not None:
            return self.same(arguments, got.value, expected.value)
        return equal(got.value, expected.value, self.rtol)


@dataclass(frozen=True)
class Verdict:
    """What came of judging an answer."""

    status: Status
    hint: str = ""


class Lost(Exception):
    """An answer that was called in another process did not come back; the message says why."""


class Wrong(AssertionError):
    """The answer of a student is wrong; the message says how. Shown without a traceback in notebooks."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


# -- comparing -------------------------------------------------------------------------------------------------
def equal(got: Any, expected: Any, rtol: float) -> bool:
    """Whether a student's value is the expected one: numbers to ``rtol``, sequences, sets and dictionaries by parts.

    Lists, tuples and arrays of the same length stand for each other, integers for floats; True is not 1.
    """
    if isinstance(expected, (bool, np.bool_)) or isinstance(got, (bool, np.bool_)):
        return (
            isinstance(got, (bool, np.bool_)) and isinstance(expected, (bool, np.bool_)) and bool(got) == bool(expected)
        )
    if isinstance(expected, (int, float, np.number)):
        if not isinstance(got, (int, float, np.number)) or isinstance(got, np.complexfloating):
            return False
        try:
            near = math.isclose(got, expected, rel_tol=rtol, abs_tol=1e-12)
        except OverflowError:  # an integer beyond all floats
            return False
        return near or (math.isnan(got) and math.isnan(expected))
    if isinstance(expected, (list, tuple, np.ndarray)):
        if not isinstance(got, (list, tuple, np.ndarray)) or (isinstance(got, np.ndarray) and got.ndim == 0):
            return False
        if len(got) != len(expected):
            return False
        return all(equal(a, b, rtol) for a, b in zip(_items(got), _items(expected), strict=True))
    if isinstance(expected, Mapping):
        return (
            isinstance(got, Mapping)
            and got.keys() == expected.keys()
            and all(equal(got[key], value, rtol) for key, value in expected.items())
        )
    if isinstance(expected, (set, frozenset)):
        return isinstance(got, (set, frozenset)) and got == expected
    return type(got) is type(expected) and bool(got == expected)


def _items(values: Any) -> Any:
    return values.tolist() if isinstance(values, np.ndarray) else values


# -- judging ---------------------------------------------------------------------------------------------------
def outcome_of(function: Callable[..., Any], seconds: float | None = None) -> Call:
    """Call a function of this process on copies of its arguments, each call for at most some seconds where one can."""

    def call(arguments: Arguments) -> Outcome:
        copies = copy.deepcopy(arguments)
        try:
            with _alarm(seconds):
                return Outcome(function(*copies))
        except _OutOfTime:
            raise Lost(f"It did not return within {seconds:g} seconds.") from None
        except Exception as error:
            return Outcome(raised=type(error).__name__, message=str(error))

    return call


class _OutOfTime(BaseException):
    """Raised in an answer by the alarm; no answer catches it by ``except Exception``."""


@contextlib.contextmanager
def _alarm(seconds: float | None) -> Iterator[None]:
    """Raise :class:`_OutOfTime` after some seconds; on systems and in threads without alarms there is no limit."""
    if seconds is None or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class _Trial:
    """Everything that one answer was asked."""

    exercise: Exercise
    answer: Call
    asked: list[tuple[Arguments, Outcome, Outcome]] = field(default_factory=list)
    blank: bool = False
    lost: Lost | None = None

    def differs(self, arguments: Arguments) -> bool:
        """Whether the answer is wrong on an input; after one that is blank or lost, nothing is asked any more."""
        if self.blank or self.lost:
            return False
        try:
            got = self.answer(arguments)
        except Lost as lost:
            self.lost = lost
            return False
        if got.raised == "NotImplementedError":
            self.blank = True
            return False
        expected = outcome_of(self.exercise.reference)(arguments)
        self.asked.append((arguments, got, expected))
        return not self.exercise.agrees(arguments, got, expected)

    def failures(self) -> list[tuple[Arguments, Outcome]]:
        """What was asked and answered wrongly, the latest first."""
        return [(a, got) for a, got, expected in reversed(self.asked) if not self.exercise.agrees(a, got, expected)]


def judge(exercise: Exercise, answer: Call, seed: int) -> Verdict:
    """Compare an answer with the reference.

    Args:
        exercise: what is asked.
        answer: calls the student's function; where it does so in another process, it may raise :class:`Lost`.
        seed: of the random inputs.
    """
    with np.errstate(all="ignore"):  # what a wrong function divides by 0 is no matter for a teacher's screen
        return _judge(exercise, answer, seed)


def _judge(exercise: Exercise, answer: Call, seed: int) -> Verdict:
    trial = _Trial(exercise, answer)
    failing = [arguments for arguments in exercise.edges if trial.differs(arguments)]
    if exercise.inputs is not None and not (trial.blank or trial.lost):
        # first a look at many inputs, as they tell misconceptions apart; then down from one that fails
        number = RANDOM_INPUTS // 4 if failing else RANDOM_INPUTS
        _find(exercise.inputs, lambda arguments: trial.differs(arguments) and False, seed, number)
        if trial.failures():
            failing += _find(exercise.inputs, trial.differs, seed) or [trial.failures()[0][0]]
    at_size = exercise.large is not None and not (failing or trial.blank or trial.lost)
    too_large = at_size and exercise.large is not None and trial.differs(exercise.large(np.random.default_rng(seed)))
    if trial.lost:
        return Verdict("wrong", f"{AT_SIZE} {trial.lost}" if at_size else str(trial.lost))
    if trial.blank:
        return Verdict("blank")
    if too_large:
        raised = trial.asked[-1][1].raised
        return Verdict("wrong", f"{AT_SIZE} {f'It raised {raised}.' if raised else 'It is wrong there.'}")
    if not failing:
        return Verdict("correct")
    return Verdict("wrong", _known(trial) or _found(trial, min(failing, key=lambda a: len(repr(a)))))


def _find(
    inputs: SearchStrategy[Arguments], wanted: Callable[[Arguments], bool], seed: int, number: int = RANDOM_INPUTS
) -> list[Arguments]:
    """The smallest input that is wanted; none if no random one is, or if it is not wanted any more when tried again."""
    settings = hypothesis.settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),  # explaining a failure would cost most of the time
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    try:
        return [hypothesis.find(inputs, wanted, settings=settings, random=random.Random(seed))]
    except (hypothesis.errors.NoSuchExample, hypothesis.errors.Flaky):
        return []


def _known(trial: _Trial) -> str:
    """The hint of the misconception that the answer agrees with everywhere, if there is one."""
    exercise = trial.exercise
    for misconception in exercise.misconceptions:
        wrong = outcome_of(misconception.wrong)
        told = [
            (exercise.agrees(a, got, wrong(a)), exercise.agrees(a, got, expected)) for a, got, expected in trial.asked
        ]
        if all(like for like, _ in told) and any(like and not right for like, right in told):
            return misconception.hint
    return ""


def _found(trial: _Trial, arguments: Arguments) -> str:
    got = next(got for asked, got in trial.failures() if asked is arguments or repr(asked) == repr(arguments))
    names = inspect.signature(trial.exercise.reference).parameters
    given = ", ".join(f"{name} = {_short(value)}" for name, value in zip(names, arguments, strict=True))
    did = f"raised {got.raised}: {got.message}" if got.raised else f"returned {_short(got.value)}"
    return f"{f'For {given} it' if given else 'It'} {did}. {trial.exercise.expects}"


def _short(value: Any) -> str:
    if sparse.issparse(value):
        small = value.shape[0] * value.shape[1] <= 60
        return f"a sparse array of {value.toarray().tolist()}" if small else "a sparse array"
    try:
        text = repr(value.tolist() if isinstance(value, np.ndarray) else value)
    except Exception:  # nested too deeply, or an object of the student's own
        return f"a {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


# -- in a notebook ---------------------------------------------------------------------------------------------
def checker(exercises: Mapping[str, Exercise]) -> Callable[[str, Callable[..., Any]], None]:
    """The function ``check(name, answer)`` of a chapter's exercises."""

    def check(name: str, answer: Callable[..., Any]) -> None:
        """Say that the answer to an exercise is correct, or raise :class:`Wrong` with a hint.

        What the answer prints meanwhile is not shown: it is called hundreds of times.

        Args:
            name: of the exercise.
            answer: the function to be checked.

        Raises:
            NotImplementedError: the answer is still blank.
            Wrong: it is wrong; the message says how.
            ValueError: there is no exercise of this name.
        """
        if name not in exercises:
            raise ValueError(f"name is {name!r}; the exercises are {', '.join(exercises)}")
        seed = int(os.environ.get(SEED) or int.from_bytes(os.urandom(4), "big"))
        with _silence():
            verdict = judge(exercises[name], outcome_of(answer, CALL_SECONDS), seed)
        if verdict.status == "blank":
            raise NotImplementedError(f"{name}: write the function above, then run this cell again")
        if verdict.status == "wrong":
            raise Wrong(f"{name}: not yet. {verdict.hint}")
        print(f"{name}: correct")

    return check


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with (
        open(os.devnull, "w", encoding="utf-8", errors="replace") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def by_name(*exercises: Exercise) -> dict[str, Exercise]:
    """The exercises of a chapter under their names, in order."""
    named = {exercise.name: exercise for exercise in exercises}
    if len(named) != len(exercises):
        raise ValueError(f"two exercises have the same name among {[e.name for e in exercises]}")
    return named
