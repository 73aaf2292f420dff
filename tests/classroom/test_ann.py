"""Exercises on approximate nearest neighbours: the right answers are the library's, however a student writes them."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rectutor.classroom import ann
from rectutor.classroom.ann import (
    BEAM,
    CHOOSE,
    COSTS,
    IVF,
    PQ,
    TO_COSINE,
    TREE,
    beam_search,
    choose_index,
    ivf_search,
    pq_search,
    projection_tree,
    to_cosine,
)
from rectutor.classroom.exercise import Exercise, Verdict, judge, outcome_of
from rectutor.retrieval.ann import reference

Array = NDArray[np.float64]
RIGHT = (32_000_000, 672_000, 8_192, 128, 8)


def judged(exercise: Exercise, answer: Callable[..., Any]) -> Verdict:
    return judge(exercise, outcome_of(answer), seed=7)


# -- the library's answers -------------------------------------------------------------------------------------
def library_to_cosine(vectors: Array, query: Array) -> Any:
    return reference.to_cosine(vectors), np.append(query, 0.0)


def library_tree(vectors: Array, ids: list[int], leaf_size: int) -> Any:
    """The library's recursion and plane, which it divides by the length of the normal, with the exercise's points."""

    def plain(node: reference.Split | reference.Leaf) -> Any:
        return node.ids if isinstance(node, reference.Leaf) else (plain(node.left), plain(node.right))

    class Ends(reference.Draws):
        """The first of n, then the last of the others."""

        last = True

        def below(self, n: int) -> int:
            self.last = not self.last
            return n - 1 if self.last else 0

    return plain(reference.build_tree(vectors, list(ids), Ends(0), leaf_size))


def library_ivf(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
    return reference.ivf_search(vectors, centroids, query, k, nprobe, "l2")[0]


def library_pq(codebooks: Array, codes: Any, query: Array, k: int) -> Any:
    return -reference.pq_table(codebooks, query, "l2"), reference.pq_search(codebooks, codes, query, k, "l2")[0]


def library_beam(vectors: Array, links: list[list[int]], query: Array, entry: int, ef: int) -> Any:
    """Algorithm 2 of the paper, in which of equally near vectors the first one met is kept; here the lower id is.

    Distances between points of the exercise are whole numbers, so a millionth of the id makes the lower id nearer.
    """

    def near(i: int) -> float:
        return reference.score(query, vectors[i], "l2") - 1e-6 * i

    found = reference.search_layer(near, dict(enumerate(links)), [entry], ef)
    return [i for _, i in found]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (TO_COSINE, library_to_cosine),
        (TREE, library_tree),
        (IVF, library_ivf),
        (PQ, library_pq),
        (BEAM, library_beam),
    ],
    ids=lambda value: value.name if isinstance(value, Exercise) else "",
)
def test_the_library_is_right(asked: Exercise, answer: Callable[..., Any]) -> None:
    assert judged(asked, answer) == Verdict("correct")


# -- the examples of the tasks ---------------------------------------------------------------------------------
def array(rows: Any) -> Array:
    return np.array(rows, dtype=float)


def test_examples_of_the_tasks() -> None:
    measured = [("exact", 256, 1.0, 300, 0), ("graph", 384, 0.97, 9_000, 240), ("codes", 16, 0.62, 12_000, 90)]
    assert choose_index(measured, 1_000_000, 400, 0.9) == "graph"
    assert choose_index(measured, 1_000_000, 300, 0.9) == "exact"
    assert to_cosine(array([[0, 5], [3, 0]]), array([1, 1]))[0].tolist() == [[0, 5, 0], [3, 0, 4]]
    line = array([[0], [6], [1], [8]])
    assert projection_tree(line, [0, 1, 2, 3], 1) == (([3], [1]), ([2], [0]))
    assert projection_tree(line, [0, 1, 2, 3], 2) == ([1, 3], [0, 2])
    vectors, centroids = array([[0], [4], [6], [9]]), array([[1], [8]])
    assert ivf_search(vectors, centroids, array([5]), 2, 1) == [2, 3]
    assert ivf_search(vectors, centroids, array([5]), 2, 2) == [1, 2]
    codebooks, codes = array([[[0, 0], [2, 1]], [[1, 0], [0, 3]]]), np.array([[0, 0], [1, 0], [0, 1]])
    table, ids = pq_search(codebooks, codes, array([1, 1, 0, 2]), 2)
    assert table.tolist() == [[2, 1], [5, 1]]
    assert ids == [2, 1]
    vectors, links = array([[9], [8], [10], [4]]), [[1, 2], [0], [3], []]
    assert beam_search(vectors, links, array([0]), 0, 1) == [1]
    assert beam_search(vectors, links, array([0]), 0, 3) == [3, 1, 0]


# -- costs by hand ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("answer", [RIGHT, list(RIGHT), np.array(RIGHT), tuple(map(float, RIGHT))])
def test_costs_are_correct_in_any_form(answer: Any) -> None:
    assert judged(COSTS, lambda: answer) == Verdict("correct")


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ((1_000_000, 21_000, 0, 0, 0), "You count one multiplication for each vector. "),
        ((32_000_000, 5, 8_192, 128, 8), "Exact search is right, the inverted file is not. "),
        ((32_000_000, 640_000, 1, 1, 1), "Your inverted file does not compare the query with the centroids. "),
        ((32_000_000, 672_000, 5, 32, 1), "Exact search and inverted file are right, the table is not. "),
        ((32_000_000, 672_000, 8_192, 5, 5), "The multiplications are right, "),
        ((32_000_000, 672_000, 8_192, 32, 5), "You count the numbers of a vector. "),
        ((32_000_000, 672_000, 8_192, 128, 5), "All is right but the last number"),
        ((32_000_000, 672_000, 8_192, 128, math.nan), "All is right but the last number"),
        ((31, 672_000, 8_192, 128, 8), "It returned (31, "),
    ],
)
def test_costs_look_at_the_first_number_that_is_wrong(answer: Any, hint: str) -> None:
    verdict = judged(COSTS, lambda: answer)
    assert verdict.status == "wrong"
    assert verdict.hint.startswith(hint)


@pytest.mark.parametrize("answer", [(*RIGHT, 0), RIGHT[:4], 8, np.array(8), "abcde", {*RIGHT}, (*RIGHT[:4], "8")])
def test_costs_are_five_numbers(answer: Any) -> None:
    assert judged(COSTS, lambda: answer).status == "wrong"


# -- other ways to be right, which rounding must not make wrong ------------------------------------------------
@pytest.mark.parametrize(
    "fits",
    [
        lambda n, size, megabytes: n * size <= megabytes * 10**6,
        lambda n, size, megabytes: size <= megabytes * 1e6 / n,
        lambda n, size, megabytes: size <= megabytes / n * 1e6,
        lambda n, size, megabytes: size / 1e6 * n <= megabytes,
    ],
)
def test_memory_may_be_compared_in_any_unit(fits: Callable[[int, int, int], bool]) -> None:
    def answer(candidates: list[Any], n: int, megabytes: int, recall: float) -> Any:
        rows = [c for c in candidates if fits(n, c[1], megabytes) and c[2] >= recall]
        return sorted(rows, key=lambda c: (-c[3], c[4]))[0][0] if rows else None

    assert judged(CHOOSE, answer) == Verdict("correct")


@pytest.mark.parametrize("squares", [lambda x: np.linalg.norm(x, axis=1) ** 2, lambda x: np.einsum("nd,nd->n", x, x)])
def test_lengths_may_be_computed_in_any_way(squares: Callable[[Array], Any]) -> None:
    def answer(vectors: Array, query: Array) -> Any:
        added = np.sqrt(np.linalg.norm(vectors, axis=1).max() ** 2 - squares(vectors))
        return np.hstack([vectors, added[:, None]]), np.array([*query, 0])

    assert judged(TO_COSINE, answer) == Verdict("correct")


def test_no_vector_of_a_tree_is_put_on_a_side_by_rounding() -> None:
    for arguments in TREE.edges:
        assert ann._told_by_any_length(*arguments)


def test_a_tree_may_compare_distances() -> None:
    def answer(vectors: Array, ids: list[int], leaf_size: int) -> Any:
        if len(ids) <= leaf_size:
            return np.array(ids)
        to_first, to_last = (np.linalg.norm(vectors[ids] - vectors[i], axis=1) for i in (ids[0], ids[-1]))
        order = np.array(ids)
        left, right = order[to_first >= to_last], order[to_first < to_last]
        if len(right) == 0:
            left, right = order[: len(ids) // 2], order[len(ids) // 2 :]
        return [answer(vectors, left.tolist(), leaf_size), answer(vectors, right.tolist(), leaf_size)]

    assert judged(TREE, answer) == Verdict("correct")


def test_cells_may_be_found_by_roots_or_by_inner_products() -> None:
    def answer(vectors: Array, centroids: Array, query: Array, k: int, nprobe: int) -> Any:
        crossed = (vectors**2).sum(axis=1)[:, None] - 2 * vectors @ centroids.T + (centroids**2).sum(axis=1)
        probed = np.argsort(np.linalg.norm(centroids - query, axis=1), kind="stable")[:nprobe]
        (inside,) = np.isin(crossed.argmin(axis=1), probed).nonzero()
        order = np.argsort(np.linalg.norm(vectors[inside] - query, axis=1), kind="stable")
        return inside[order][:k]

    assert judged(IVF, answer) == Verdict("correct")


def test_squared_roots_are_told() -> None:
    def answer(codebooks: Array, codes: Any, query: Array, k: int) -> Any:
        parts = query.reshape(len(codebooks), 1, -1)
        table = np.linalg.norm(codebooks - parts, axis=2) ** 2
        sums = table[np.arange(len(codebooks)), codes].sum(axis=1)
        return table, np.argsort(sums, kind="stable")[:k]

    assert judged(PQ, answer).hint.startswith("You square roots. ")


def beam_with_heaps(first: Callable[[float, int], Any]) -> Callable[..., Any]:
    """Two heaps, of what waits and of what is found; the latter by how early one of equal ones goes."""

    def answer(vectors: Array, links: list[list[int]], query: Array, entry: int, ef: int) -> Any:
        def distance(i: int) -> float:
            return float(np.linalg.norm(vectors[i] - query))

        seen, waiting, found = {entry}, [(distance(entry), entry)], [(-distance(entry), -entry)]
        while waiting:
            away, here = heapq.heappop(waiting)
            if first(away, here) > first(-found[0][0], -found[0][1]) and len(found) == ef:
                break
            for i in links[here]:
                if i in seen:
                    continue
                seen.add(i)
                if len(found) < ef or first(distance(i), i) < first(-found[0][0], -found[0][1]):
                    heapq.heappush(waiting, (distance(i), i))
                    heapq.heappush(found, (-distance(i), -i))
                    if len(found) > ef:
                        heapq.heappop(found)
        return [-i for _, i in sorted(found, reverse=True)]

    return answer


def test_a_beam_may_be_two_heaps() -> None:
    assert judged(BEAM, beam_with_heaps(lambda away, i: (away, i))) == Verdict("correct")


def test_a_beam_that_compares_distances_only_is_wrong() -> None:
    """Of equally near ones the first that came is kept, as in the paper's algorithm; the task says the lower id."""
    assert judged(BEAM, beam_with_heaps(lambda away, i: away)).status == "wrong"
