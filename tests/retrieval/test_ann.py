"""The interface of all indexes, exact search, the file, and the references by routes of their own."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rectutor.retrieval.ann import HNSW, IVFPQ, AnnoyForest, ExactIndex, Index, IVFFlat, ProductQuantizer, files
from rectutor.retrieval.ann import reference as ref
from rectutor.retrieval.ann.index import METRICS, Metric

Maker = Callable[[Metric], Index]
MAKERS: dict[str, Maker] = {
    "exact": ExactIndex,
    "annoy": lambda metric: AnnoyForest(metric, trees=4, search_k=60),
    "ivf": lambda metric: IVFFlat(metric, cells=8, nprobe=3),
    "pq": lambda metric: ProductQuantizer(metric, parts=4, bits=4),
    "ivfpq": lambda metric: IVFPQ(metric, cells=4, nprobe=2, parts=4, bits=4),
    "hnsw": lambda metric: HNSW(metric, m=4, ef_construction=20, ef=20),
}
every_index = pytest.mark.parametrize("name", MAKERS)
every_metric = pytest.mark.parametrize("metric", METRICS)


def vectors(n: int = 120, dim: int = 8, seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


# -- the interface -------------------------------------------------------------------------------------------------
@every_metric
@every_index
def test_lists_are_sorted_without_repetition_and_honest_about_their_scores(name: str, metric: Metric) -> None:
    x, q = vectors(), vectors(20, seed=1)
    ids, scores = MAKERS[name](metric).build(x).search(q, 7)
    assert ids.dtype == np.int64
    assert scores.dtype == np.float32
    assert ids.shape == scores.shape == (20, 7)
    for query, row, values in zip(q, ids, scores):
        found = row[row >= 0]
        assert len(set(found.tolist())) == len(found)
        assert (row[len(found) :] == -1).all()
        assert np.isneginf(values[len(found) :]).all()
        pairs = list(zip((-values[: len(found)]).tolist(), found.tolist()))
        assert pairs == sorted(pairs)
        if "pq" not in name:  # codes have scores of their own
            assert values[: len(found)] == pytest.approx([ref.score(query, x[i], metric) for i in found], abs=1e-5)


@every_index
def test_deleted_vectors_are_never_found_and_added_ones_are(name: str) -> None:
    x = vectors()
    index = MAKERS[name]("cosine").build(x)
    gone = [3, 50, 117]
    index.delete(gone)
    assert len(index) == 117
    more = vectors(30, seed=2)
    assert index.add(more).tolist() == list(range(120, 150))
    assert len(index) == 147
    index.delete(130)
    both = np.concatenate([x, more])
    ids, _ = index.search(both, 5)
    assert not np.isin(ids, [*gone, 130]).any()
    if name != "pq" and name != "ivfpq":
        kept = np.setdiff1d(np.arange(150), [*gone, 130])
        assert (ids[kept, 0] == kept).mean() > 0.95


@every_index
def test_an_index_from_its_file_answers_the_same_and_can_go_on(name: str, tmp_path: Path) -> None:
    index = MAKERS[name]("l2").build(vectors())
    index.delete(7)
    path = tmp_path / "index"
    index.save(path)
    before = path.read_bytes()
    loaded = type(index).load(path)
    assert isinstance(loaded.deleted_, np.memmap)
    for found, expected in zip(loaded.search(vectors(9, seed=1), 6), index.search(vectors(9, seed=1), 6)):
        np.testing.assert_array_equal(found, expected)
    assert loaded.nbytes == index.nbytes
    loaded.delete(8)
    loaded.add(vectors(5, seed=3))
    index.delete(8)
    index.add(vectors(5, seed=3))
    for found, expected in zip(loaded.search(vectors(9, seed=1), 6), index.search(vectors(9, seed=1), 6)):
        np.testing.assert_array_equal(found, expected)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


@every_index
def test_truncated_damaged_and_foreign_files_are_refused(name: str, tmp_path: Path) -> None:
    index = MAKERS[name]("ip").build(vectors())
    path = tmp_path / "index"
    index.save(path)
    whole = path.read_bytes()
    for length in (0, 5, 12, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"no index|cut off|bytes, its head says"):
            type(index).load(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(ValueError, match="save the index again"):
        type(index).load(path)
    path.write_bytes(whole[:30] + bytes([whole[30] ^ 1]) + whole[31:])
    with pytest.raises(ValueError, match="damaged head"):
        type(index).load(path)
    path.write_text(json.dumps({"kind": "HNSW"}) + " " * 100)
    with pytest.raises(ValueError, match="no index of this library"):
        type(index).load(path)
    path.write_bytes(whole)
    other = ExactIndex if name != "exact" else HNSW
    with pytest.raises(ValueError, match=rf"load it with {type(index).__name__}\.load"):
        other.load(path)


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "index"
    ExactIndex().build(vectors()).save(path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        files.write(path, "ExactIndex", {"not json": object()}, {})
    assert path.read_bytes() == before


@every_index
def test_bad_vectors_are_refused(name: str) -> None:
    index, x = MAKERS[name]("ip"), vectors()
    with pytest.raises(ValueError, match="call build first"):
        index.search(x)
    with pytest.raises(ValueError, match="call build first"):
        index.add(x)
    with pytest.raises(ValueError, match=r"vectors has shape \(8,\); give a matrix"):
        index.build(x[0])
    with pytest.raises(ValueError, match="vectors is empty"):
        index.build(x[:0])
    with pytest.raises(TypeError, match=r"dtype <U1"):
        index.build(np.full((3, 2), "a"))
    broken = x.copy()
    broken[5, 2] = np.nan
    with pytest.raises(ValueError, match=r"vectors\[5\] has a NaN"):
        index.build(broken)
    with pytest.raises(ValueError, match=r"vectors\[0\] has .* too large for float32"):
        index.build(np.full((3, 8), 1e300))
    zero = x.copy()
    zero[9] = 0
    with pytest.raises(ValueError, match=r"vectors\[9\] is a zero vector, which has no cosine"):
        MAKERS[name]("cosine").build(zero)
    index.build(x)
    with pytest.raises(ValueError, match="queries has 5 dimensions; the index has 8"):
        index.search(x[:, :5])
    with pytest.raises(ValueError, match="queries has 9 dimensions"):
        index.search(np.zeros((1, 9)))
    with pytest.raises(ValueError, match="vectors has 3 dimensions"):
        index.add(x[:, :3])
    for k in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="ask for at least one neighbour"):
            index.search(x, k)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k is 121; the index has 120 vectors"):
        index.search(x, 121)
    ids, scores = index.search(x[:0], 3)
    assert ids.shape == scores.shape == (0, 3)


def test_bad_ids_are_refused() -> None:
    index = ExactIndex().build(vectors())
    for wrong in (120, -1):
        with pytest.raises(ValueError, match=f"unknown id {wrong}; the index has 0 to 119"):
            index.delete([0, wrong])
    assert len(index) == 120
    with pytest.raises(TypeError, match="ids has dtype float64"):
        index.delete([1.0])
    with pytest.raises(ValueError, match="stands twice"):
        index.delete([4, 4])
    index.delete(4)
    with pytest.raises(ValueError, match="id 4 is deleted already"):
        index.delete([5, 4])
    index.delete([])
    with pytest.raises(ValueError, match="k is 120; the index has 119 vectors"):
        index.search(vectors(), 120)
    with pytest.raises(ValueError, match="metric is 'dot'; it must be one of 'ip', 'cosine', 'l2'"):
        ExactIndex("dot")  # type: ignore[arg-type]


@every_index
def test_building_does_not_change_nor_share_the_callers_vectors(name: str) -> None:
    x = vectors()
    kept = x.copy()
    index = MAKERS[name]("ip").build(x)
    before = index.search(kept[:5], 5)
    x[:] = 0
    for found, expected in zip(index.search(kept[:5], 5), before):
        np.testing.assert_array_equal(found, expected)
    y = kept.copy()
    MAKERS[name]("cosine").build(y)
    np.testing.assert_array_equal(y, kept)


@every_index
def test_integers_and_lists_are_vectors_too(name: str) -> None:
    whole = np.random.default_rng(0).integers(-5, 6, (40, 8))
    one, other = MAKERS[name]("l2").build(whole.tolist()), MAKERS[name]("l2").build(whole.astype(np.float64))
    for found, expected in zip(one.search(whole), other.search(whole.astype(np.float32))):
        np.testing.assert_array_equal(found, expected)


# -- exact search ----------------------------------------------------------------------------------------------------
@every_metric
def test_exact_search_is_a_sort_of_all_scores(metric: Metric) -> None:
    x, q = vectors(5000, 16), vectors(300, 16, seed=1)
    x[4000:] = x[:1000]  # duplicates: ties go to the lower id
    ids, scores = ExactIndex(metric).build(x).search(q, 12)
    products = q.astype(float) @ x.T.astype(float)
    if metric == "cosine":
        products /= np.linalg.norm(q.astype(float), axis=1)[:, None] * np.linalg.norm(x.astype(float), axis=1)
    if metric == "l2":
        products = 2 * products - (x.astype(float) ** 2).sum(1) - (q.astype(float) ** 2).sum(1)[:, None]
    order = np.argsort(-products.round(6), axis=1, kind="stable")[:, :12]
    assert (ids == order).mean() > 0.999
    assert scores == pytest.approx(np.take_along_axis(products, ids, 1), abs=2e-5)


def test_exact_distances_keep_their_digits_far_from_the_origin() -> None:
    x = vectors(400, 3)
    near, _ = ExactIndex("l2").build(x).search(x[:50], 5)
    moved = x + np.float32(4096)
    exact_ones = np.array([ref.exact_search(moved.astype(float), row.astype(float), 5, "l2")[0] for row in moved[:50]])
    far, scores = ExactIndex("l2").build(moved).search(moved[:50], 5)
    assert (scores[:, 0] == 0).all()
    assert (far[:, 0] == np.arange(50)).all()
    assert (far == exact_ones).mean() > 0.97
    assert (near == exact_ones).mean() > 0.9  # the vectors themselves were rounded when they were moved


# -- references -------------------------------------------------------------------------------------------------------
def test_scores_by_hand() -> None:
    q, x = np.array([3.0, 4.0]), np.array([1.0, 2.0])
    assert ref.score(q, x, "ip") == 11
    assert ref.score(q, x, "cosine") == pytest.approx(11 / (5 * math.sqrt(5)))
    assert ref.score(q, x, "l2") == -8


def test_the_added_coordinate_gives_all_vectors_one_length() -> None:
    x = vectors(50).astype(float)
    longer = ref.to_cosine(x)
    assert np.linalg.norm(longer, axis=1) == pytest.approx(np.full(50, np.linalg.norm(x, axis=1).max()))
    query = vectors(1, seed=4)[0].astype(float)
    assert ref.exact_search(longer, np.append(query, 0), 50, "cosine")[0] == ref.exact_search(x, query, 50, "ip")[0]


def test_kmeans_lowers_its_loss_and_ends_where_nothing_moves() -> None:
    x = vectors(80, 2).astype(float)

    def loss(centroids: NDArray[Any]) -> float:
        return float(((x[:, None] - centroids) ** 2).sum(2).min(1).sum())

    losses = [loss(ref.kmeans(x, x[:5], t)) for t in range(8)]
    assert all(later <= sooner + 1e-12 for sooner, later in itertools.pairwise(losses))
    assert losses[-1] < 0.8 * losses[0]
    end = ref.kmeans(x, x[:5], 60)
    cell = np.array([ref.nearest_centroid(v, end) for v in x])
    for c in range(5):
        assert end[c] == pytest.approx(x[cell == c].mean(0))
    far = np.array([[0.0, 0.0], [99.0, 99.0]])
    assert ref.kmeans(x, far, 3)[1].tolist() == [99, 99]  # a cell without vectors stays


def test_product_quantization_by_hand() -> None:
    books = np.array([[[0.0], [2.0]], [[1.0], [5.0]]])  # two parts of one number, two centroids each
    assert ref.pq_encode(books, np.array([1.6, 2.0])) == [1, 0]
    assert ref.pq_decode(books, [1, 0]).tolist() == [2, 1]
    assert ref.pq_table(books, np.array([3.0, 10.0])).tolist() == [[0, 6], [10, 50]]
    codes = [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert ref.pq_search(books, codes, np.array([3.0, 10.0]), 3) == ([3, 1, 2], [56, 50, 16])
    assert ref.pq_search(books, codes, np.array([2.0, 4.0]), 2, "l2") == ([3, 1], [-1, -5])


def test_the_score_of_a_code_is_that_of_the_vector_it_stands_for() -> None:
    x, q = vectors(60, 6).astype(float), vectors(1, 6, seed=1)[0].astype(float)
    books = ref.pq_train(x, np.stack([x[:8, 2 * j : 2 * j + 2] for j in range(3)]), 4)
    codes = [ref.pq_encode(books, v) for v in x]
    for metric in ("ip", "l2"):
        ids, scores = ref.pq_search(books, codes, q, 60, metric)
        assert scores == pytest.approx([ref.score(q, ref.pq_decode(books, codes[i]), metric) for i in ids])


def test_draws_are_splitmix64() -> None:
    draws = ref.Draws(1234567)
    draws.below(2)
    first = draws.state
    assert first == (1234567 + 0x9E3779B97F4A7C15) % 2**64
    many = ref.Draws(0)
    counts = Counter(many.below(6) for _ in range(6000))
    assert set(counts) == set(range(6))
    assert sum((c - 1000) ** 2 / 1000 for c in counts.values()) < 20.5  # chi-square, 5 degrees, p = 0.001


def test_trees_part_the_ids_by_planes_halfway_between_two_points() -> None:
    normal, offset = ref.plane_between(np.array([2.0, 0.0]), np.array([0.0, 0.0]))
    assert (normal.tolist(), offset) == ([2, 0], -2)
    x = vectors(100, 4)
    tree = ref.build_tree(x, list(range(100)), ref.Draws(1), 5)

    def walk(node: ref.Split | ref.Leaf) -> list[int]:
        if isinstance(node, ref.Leaf):
            assert 1 <= len(node.ids) <= 5
            return node.ids
        left, right = walk(node.left), walk(node.right)
        assert all(ref.side(node.normal, node.offset, x[i]) > 0 for i in right)
        assert all(ref.side(node.normal, node.offset, x[i]) <= 0 for i in left)
        return left + right

    assert sorted(walk(tree)) == list(range(100))
    assert sorted(ref.candidates_of_forest([tree], x[0], 100)) == list(range(100))
    assert 0 in ref.candidates_of_forest([tree], x[0], 1)  # its own leaf comes first


def test_equal_vectors_are_cut_evenly() -> None:
    tree = ref.build_tree(np.ones((9, 3)), list(range(9)), ref.Draws(1), 2)

    def depth(node: ref.Split | ref.Leaf) -> int:
        return 0 if isinstance(node, ref.Leaf) else 1 + max(depth(node.left), depth(node.right))

    assert depth(tree) == 3


def test_levels_fall_by_the_factor_m() -> None:
    levels = ref.hnsw_levels(200_000, 8, np.random.default_rng(0))
    for layer in (1, 2, 3):
        expected = 200_000 / 8**layer
        assert abs((levels >= layer).sum() - expected) < 4.5 * math.sqrt(expected)


def test_neighbours_go_in_all_directions() -> None:
    x = np.array([[0, 0], [1.0, 0], [1.1, 0], [-2.0, 0], [0, 3.0]])
    near = [(ref.score(x[0], x[i], "l2"), i) for i in range(1, 5)]
    between = lambda a, b: ref.score(x[a], x[b], "l2")  # noqa: E731
    assert ref.select_neighbours(near, between, 4) == [1, 3, 4]  # 2 is nearer to 1 than to 0
    assert ref.select_neighbours(near, between, 2) == [1, 3]


def test_a_beam_over_a_whole_graph_is_exact_search() -> None:
    x = vectors(60, 5).astype(float)
    graph = ref.hnsw_build(x, ref.hnsw_levels(60, 4, np.random.default_rng(0)).tolist(), m=4, ef_construction=20)
    for layer, links in enumerate(graph.links):
        assert all(len(theirs) <= graph.room(layer) and len(set(theirs)) == len(theirs) for theirs in links.values())
        assert all(i not in theirs for i, theirs in links.items())
    for query in vectors(10, 5, seed=1).astype(float):
        assert ref.hnsw_search(graph, x, query, 5, 60) == ref.exact_search(x, query, 5)


def test_a_beam_stops_when_its_best_candidate_is_worse_than_all_it_keeps() -> None:
    place = np.array([0.0, 5, 9, 20, 10.4])  # a line 0 - 1 - 2 - 3 - 4; the query is at 10
    links = {0: [1], 1: [0, 2], 2: [1, 3], 3: [2, 4], 4: [3]}
    seen: list[int] = []

    def near(i: int) -> float:
        seen.append(i)
        return -abs(float(place[i]) - 10)

    assert ref.search_layer(near, links, [0], 1) == [(-1, 2)]  # stuck before the gap
    assert seen == [0, 1, 2, 3]
    assert next(i for _, i in ref.search_layer(near, links, [0], 4)) == 4  # a wider beam gets over it


# -- nothing heavy at import -----------------------------------------------------------------------------------------
def test_importing_loads_neither_torch_nor_faiss() -> None:
    code = "import sys, rectutor.retrieval.ann; print(sorted({'torch', 'faiss'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
