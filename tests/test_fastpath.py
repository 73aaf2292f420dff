"""One test for all pairs, and tests of the registry itself."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import CodeType, ModuleType

import numpy as np
import pytest
from scipy import sparse

from rectutor.fastpath import PAIRS, TOPICS, Case, assert_same, fast_path, load_all

ALL = load_all()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ALL)
def test_fast_path_equals_reference(name: str, seed: int) -> None:
    ALL[name].check(seed)


def references() -> Iterator[ModuleType]:
    """Every module of a topic whose name says that it holds references."""
    for topic in TOPICS:
        if importlib.util.find_spec(topic) is None:
            continue
        for module in pkgutil.walk_packages(importlib.import_module(topic).__path__, prefix=f"{topic}."):
            if module.name.rpartition(".")[2].endswith("reference"):
                yield importlib.import_module(module.name)


def names_in(code: CodeType) -> set[str]:
    """Global names that a function reads, inner functions included."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*(names_in(c) for c in inner))


def test_every_public_reference_has_a_fast_path() -> None:
    """A public function of a reference module is one side of a pair, or a part of a function that is."""
    paired = {pair.reference for pair in ALL.values()}
    alone: list[str] = []
    for module in references():
        functions = {
            name: member
            for name, member in inspect.getmembers(module, inspect.isfunction)
            if member.__module__ == module.__name__
        }
        reached = {name for name, member in functions.items() if member in paired}
        while more := set(functions) & set().union(*(names_in(functions[n].__code__) for n in reached)) - reached:
            reached |= more
        alone += [f"{module.__name__}.{name}" for name in functions if name not in reached]
    assert alone == []


def test_cases_are_many_and_named() -> None:
    for pair in ALL.values():
        names = [case.name for case in pair.cases(np.random.default_rng(0))]
        assert len(names) >= 3, f"{pair.name} is compared on {names} only"
        assert len(set(names)) == len(names), f"{pair.name} repeats a case name: {names}"


def total(xs: list[float]) -> float:
    return float(sum(xs))


def three(rng: np.random.Generator) -> list[Case]:
    return [Case("random", (rng.random(4).tolist(),)), Case("one", ([1.0],)), Case("none", ([],))]


@pytest.fixture
def registry() -> Iterator[None]:
    before = dict(PAIRS)
    yield
    PAIRS.clear()
    PAIRS.update(before)


@pytest.mark.usefixtures("registry")
def test_a_difference_names_pair_case_and_seed() -> None:
    @fast_path(total, cases=three, rtol=1e-12)
    def off_by_a_little(xs: list[float]) -> float:
        return total(xs) + (1e-6 if len(xs) == 1 else 0.0)

    with pytest.raises(AssertionError, match=r"off_by_a_little, case 'one', seed 7"):
        PAIRS[f"{__name__}.off_by_a_little"].check(7)


@pytest.mark.usefixtures("registry")
def test_a_pair_without_cases_is_refused() -> None:
    @fast_path(total, cases=lambda rng: [])
    def lonely(xs: list[float]) -> float:
        return total(xs)

    with pytest.raises(AssertionError, match="has no case"):
        PAIRS[f"{__name__}.lonely"].check(0)


@pytest.mark.usefixtures("registry")
def test_a_name_is_taken_once() -> None:
    def register(sign: float) -> None:
        if sign > 0:

            @fast_path(total, cases=three)
            def twin(xs: list[float]) -> float:
                return total(xs)
        else:

            @fast_path(total, cases=three)
            def twin(xs: list[float]) -> float:
                return -total(xs)

    register(1.0)
    with pytest.raises(ValueError, match="registered already"):
        register(-1.0)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (np.array([1.0, 2.0]), np.array([1.0, 2.1])),
        (np.array([1.0]), np.array([[1.0]])),
        ((1.0, 2.0), (1.0,)),
        (1.0, (1.0,)),
        ({"a": 1.0}, {"b": 1.0}),
        ({"a": 1.0}, {"a": 2.0}),
        (np.array([np.nan]), np.array([0.0])),
        (sparse.csr_array(np.array([[0.0, 1.0]])), np.array([[1.0, 0.0]])),
    ],
)
def test_assert_same_sees_a_difference(got: object, expected: object) -> None:
    with pytest.raises(AssertionError):
        assert_same(got, expected, 1e-7, 0.0)


def test_assert_same_reads_sparse_arrays_densely() -> None:
    dense = np.array([[0.0, 1.5], [2.0, 0.0]])
    assert_same({"s": (sparse.csr_array(dense), 1.0)}, {"s": (dense, 1.0)}, 0.0, 0.0)
