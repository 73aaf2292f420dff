"""Cells, codes, and faiss beside them: limits, invariants, recall against faiss over seeds, bad input.

What all indexes have in common is tested in ``test_ann.py``; here is what only these promise.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from rectutor.retrieval.ann import reference as ref
from rectutor.retrieval.ann.cells import IVFFlat, kmeans, lengthen
from rectutor.retrieval.ann.codes import IVFPQ, ProductQuantizer, pq_decode, pq_encode
from rectutor.retrieval.ann.exact import ExactIndex
from rectutor.retrieval.ann.faiss_index import FaissIndex
from rectutor.retrieval.ann.index import METRICS, Metric

every_metric = pytest.mark.parametrize("metric", METRICS)
MAKERS: dict[str, Callable[..., Any]] = {
    "ivf": lambda metric, **more: IVFFlat(metric, cells=20, nprobe=5, **more),
    "pq": lambda metric, **more: ProductQuantizer(metric, parts=4, bits=5, **more),
    "ivfpq": lambda metric, **more: IVFPQ(metric, cells=20, nprobe=5, parts=4, bits=5, **more),
    "reranked": lambda metric, **more: IVFPQ(metric, cells=20, nprobe=5, parts=4, bits=5, rerank=40, **more),
}
every_index = pytest.mark.parametrize("name", MAKERS)
FACTORIES = ("Flat", "IVF16,Flat", "IVF16,PQ4x4", "IVF16,PQ4x4,RFlat", "HNSW16", "PQ4x4")
Array = NDArray[np.float32]


def vectors(n: int = 600, dim: int = 12, seed: int = 0) -> Array:
    """In clusters of different lengths."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((15, dim)) * np.linspace(1, 3, 15)[:, None]
    return (centres[rng.integers(0, 15, n)] + 0.5 * rng.standard_normal((n, dim))).astype(np.float32)


def recall(found: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, true)]))


# -- k-means and centroids -------------------------------------------------------------------------------------------
def test_kmeans_finds_planted_cells_and_never_raises_its_loss() -> None:
    x = vectors(500)
    losses = []
    for iterations in range(1, 9):
        c = kmeans(x, x[:15], iterations)
        losses.append(((x[:, None] - c) ** 2).sum(2).min(1).mean())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.8 * losses[0]
    planted = np.repeat(np.arange(4) * 100.0, 25)[:, None] + np.tile(np.arange(25.0), 4)[:, None]
    assert kmeans(planted, planted[::25], 5).ravel().tolist() == [12, 112, 212, 312]


def test_lengthened_centroids_are_as_long_as_their_vectors_and_favour_no_narrow_cell() -> None:
    x = vectors(400)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert np.linalg.norm(lengthen(unit, kmeans(unit, unit[:9], 5)), axis=1) == pytest.approx(np.ones(9), abs=1e-6)
    two = np.array([[3, 0], [0, 4], [-5, 0]], np.float32)  # one vector a cell: nothing changes
    assert lengthen(two, two).tolist() == two.tolist()
    assert lengthen(np.array([[3, 4], [4, 3]]), np.array([[1, 1]])) == pytest.approx(np.full((1, 2), 5 / 2**0.5))


# -- limits ----------------------------------------------------------------------------------------------------------
@every_metric
def test_all_cells_are_exact(metric: Metric) -> None:
    x, q = vectors(), vectors(70, seed=1)
    x[500:] = x[:100]  # ties go to the lower id
    truth = ExactIndex(metric).build(x).search(q, 80)  # a long list is a heap
    for k in (1, 10, 64, 65, 80):
        ids, scores = IVFFlat(metric, cells=25, nprobe=25).build(x).search(q, k)
        assert scores == pytest.approx(truth[1][:, :k], rel=1e-5, abs=1e-5)
        assert (ids == truth[0][:, :k]).mean() > 0.995  # float32 sums in another order
    more, _ = IVFFlat(metric, cells=25, nprobe=400).build(x).search(q, 10)
    assert (more == truth[0][:, :10]).mean() > 0.995


@every_metric
def test_a_codeword_for_every_vector_is_exact(metric: Metric) -> None:
    """With one part and as many codewords as vectors, a code stands for its vector itself."""
    x, q = vectors(256), vectors(30, seed=1)
    truth = ExactIndex(metric).build(x).search(q, 10)
    for index in (
        ProductQuantizer(metric, parts=1, bits=8),
        IVFPQ(metric, cells=6, nprobe=6, parts=1, bits=8),
    ):
        ids, scores = index.build(x).search(q, 10)
        assert scores == pytest.approx(truth[1], rel=1e-4, abs=1e-4)
        assert (ids == truth[0]).mean() > 0.99


@every_metric
def test_rerank_of_everything_in_all_cells_is_exact(metric: Metric) -> None:
    x, q = vectors(), vectors(30, seed=1)
    index = IVFPQ(metric, cells=10, nprobe=10, parts=2, bits=2, rerank=600).build(x)
    truth = ExactIndex(metric).build(x).search(q, 10)
    ids, scores = index.search(q, 10)
    assert scores == pytest.approx(truth[1], rel=1e-5, abs=1e-5)
    assert (ids == truth[0]).mean() > 0.995
    full = recall(ids, truth[0])
    index.rerank = 20
    some = recall(index.search(q, 10)[0], truth[0])
    index.rerank = 0
    assert recall(index.search(q, 10)[0], truth[0]) < some < full


@every_metric
def test_scores_by_code_are_scores_of_the_decoded_vectors(metric: Metric) -> None:
    x, q = vectors() + np.float32(50 if metric == "l2" else 0), vectors(9, seed=1) + np.float32(50)
    flat = ProductQuantizer(metric, parts=4, bits=6).build(x)
    cells = IVFPQ(metric, cells=12, nprobe=12, parts=4, bits=6).build(x)
    if metric == "cosine":
        x, q = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, q))
    books, centroids = flat.codebooks_, cells.centroids_
    by_score: Metric = "ip" if metric == "cosine" else metric
    for query, row, values in zip(q, *flat.search(q, 5)):
        stands = [pq_decode(books, pq_encode(books, x[i])) for i in row]
        assert values == pytest.approx([ref.score(query, s, by_score) for s in stands], rel=1e-5, abs=1e-4)
    for query, row, values in zip(q, *cells.search(q, 5)):
        for i, value in zip(row, values):
            c = centroids[ref.nearest_centroid(x[i], centroids)]
            rest = pq_decode(cells.codebooks_, pq_encode(cells.codebooks_, x[i] - c))
            assert value == pytest.approx(ref.score(query, c + rest, by_score), rel=1e-5, abs=1e-4)


def test_more_parts_and_more_bits_lose_less() -> None:
    x = vectors(800)

    def error(parts: int, bits: int) -> float:
        books = ProductQuantizer("l2", parts=parts, bits=bits).build(x).codebooks_
        return float(np.mean([((v - pq_decode(books, pq_encode(books, v))) ** 2).sum() for v in x[:200]]))

    by_parts = [error(parts, 5) for parts in (1, 2, 3, 4, 6, 12)]
    assert by_parts == sorted(by_parts, reverse=True)
    by_bits = [error(4, bits) for bits in (1, 2, 4, 6, 8)]
    assert by_bits == sorted(by_bits, reverse=True)
    assert by_bits[-1] < 0.1 * by_bits[0]


# -- invariants ------------------------------------------------------------------------------------------------------
@every_metric
@every_index
def test_a_batch_a_single_query_and_any_number_of_threads_answer_the_same(name: str, metric: Metric) -> None:
    x, q = np.concatenate([vectors(), vectors(300)]), vectors(50, seed=1)
    index = MAKERS[name](metric).build(x)
    ids, scores = index.search(q, 12)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        again = MAKERS[name](metric).build(x)
        assert (again.ids_ == index.ids_).all() if name != "pq" else (again.codes_ == index.codes_).all()
        alone = again.search(q, 12)
    finally:
        numba.set_num_threads(before)
    assert (alone[0] == ids).all()
    assert (alone[1] == scores).all()
    for i in range(len(q)):
        one = index.search(q[i : i + 1], 12)
        assert (one[0] == ids[i]).all()
        assert (one[1] == scores[i]).all()
    shuffled = np.random.default_rng(0).permutation(len(q))
    assert (index.search(q[shuffled], 12)[0] == ids[shuffled]).all()


@every_metric
@every_index
def test_equal_vectors_have_equal_scores_and_stand_in_the_order_of_ids(name: str, metric: Metric) -> None:
    x = np.tile(vectors(60), (6, 1))
    index = MAKERS[name](metric).build(x)
    for row, values in zip(*index.search(x[:60], 6)):
        same = row[values == values[0]]
        assert (np.diff(same) > 0).all()
        if "pq" not in name and name != "reranked":
            assert len(same) == 6
            assert len(set((same % 60).tolist())) == 1


@every_index
def test_few_in_the_probed_cells_leave_places_empty(name: str) -> None:
    index = MAKERS[name]("l2").build(vectors())
    index.nprobe = 1
    if name == "pq":
        assert (index.search(vectors(5, seed=1), 600)[0] >= 0).all()
        return
    ids, scores = index.search(vectors(5, seed=1), 600)
    assert (ids >= 0).any(axis=1).all()
    assert (ids < 0).any(axis=1).all()
    assert (np.isneginf(scores) == (ids < 0)).all()
    assert all(len(set(row[row >= 0].tolist())) == (row >= 0).sum() for row in ids)


@every_metric
@every_index
def test_an_added_copy_stands_beside_its_vector_however_it_was_added(name: str, metric: Metric) -> None:
    x, q = vectors(), vectors(40, seed=1)
    at_once, in_turn = MAKERS[name](metric).build(x), MAKERS[name](metric).build(x)
    alone = at_once.search(q, 600)
    at_once.add(x)
    for start in (0, 1, 50, 600):
        end = {0: 1, 1: 50, 50: 600, 600: 600}[start]
        in_turn.add(x[start:end])
    ids, scores = at_once.search(q, 1200)
    for found, expected in zip(in_turn.search(q, 1200), (ids, scores)):
        assert (found == expected).all()
    for row, values, before, its in zip(ids, scores, *alone):
        if name == "reranked":  # 40 candidates, copies included
            continue
        some = before >= 0
        assert (row[row >= 0] < 600).sum() == (row >= 600).sum() == some.sum()
        assert (row[(row >= 0) & (row < 600)] == before[some]).all()
        assert (values[(row >= 0) & (row < 600)] == its[some]).all()
        assert np.sort(row[row >= 600] - 600).tolist() == np.sort(before[some]).tolist()
    at_once.delete(np.arange(600))
    ids, _ = at_once.search(x, 1)
    assert (ids >= 600).all()


@pytest.mark.parametrize("dim", [1, 2, 3, 8, 17])
def test_any_number_of_dimensions_vectors_and_cells(dim: int) -> None:
    rng = np.random.default_rng(dim)
    for n in (1, 2, 15, 16, 17, 33, 129):
        x = rng.standard_normal((n, dim)).astype(np.float32)
        for metric in ("ip", "l2"):
            index = IVFFlat(metric, nprobe=1000).build(x)
            assert index.centroids_.shape == (min(n, round(4 * n**0.5)), dim)
            found, truth = index.search(x, n), ExactIndex(metric).build(x).search(x, n)
            assert found[1] == pytest.approx(truth[1], rel=1e-5, abs=1e-5)
            assert (np.sort(found[0]) == np.arange(n)).all()


@every_index
def test_seeds_change_what_is_learnt_and_a_generator_is_a_seed(name: str) -> None:
    x = vectors()

    def learnt(seed: Any) -> Any:
        index = MAKERS[name]("ip", seed=seed).build(x)
        return index.codebooks_ if name == "pq" else index.centroids_

    assert (learnt(3) == learnt(3)).all()
    assert (learnt(3) != learnt(4)).any()
    drawn = [learnt(np.random.default_rng(5)) for _ in range(2)]
    assert (drawn[0] == drawn[1]).all()


@every_index
def test_a_mapped_index_answers_the_same_and_stays_on_disk(name: str, tmp_path: Path) -> None:
    x, q = vectors(), vectors(20, seed=1)
    index = MAKERS[name]("l2").build(x)
    index.delete([1, 2])
    index.save(tmp_path / "index")
    loaded = type(index).load(tmp_path / "index")
    stored = loaded.upright_ if name == "ivf" else loaded.codes_
    assert isinstance(stored, np.memmap)
    for _ in range(2):
        for found, expected in zip(loaded.search(q, 9), index.search(q, 9)):
            assert (found == expected).all()
    assert isinstance(loaded.deleted_, np.memmap)
    index.add(x[:40])
    loaded.add(x[:40])
    for found, expected in zip(loaded.search(q, 9), index.search(q, 9)):
        assert (found == expected).all()
    (tmp_path / "index").write_bytes((tmp_path / "index").read_bytes()[:-3])
    with pytest.raises(ValueError, match="save the index again"):
        type(index).load(tmp_path / "index")


# -- beside faiss ----------------------------------------------------------------------------------------------------
def embeddings(seed: int, n: int = 6000, dim: int = 32) -> tuple[Array, Array]:
    """Vectors of length 1 in clusters, and queries."""
    rng = np.random.default_rng(seed)
    spread = 1 / np.sqrt(1 + np.arange(dim))
    centres = rng.standard_normal((60, dim)) * spread
    x = centres[rng.integers(0, 60, n + 300)] + 1.1 * spread * rng.standard_normal((n + 300, dim))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return x[:n], x[n:]


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """Faiss wakes its threads for every step of every small k-means, which takes longer than the step."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("codes", [False, True])
def test_recall_is_that_of_faiss_at_equal_parameters(codes: bool) -> None:
    """Over three seeds, the mean difference is at least -0.01; a recall has a standard error of about 0.005."""
    differences: dict[int, list[float]] = {4: [], 16: []}
    for seed in range(3):
        x, q = embeddings(seed)
        truth = ExactIndex("ip").build(x).search(q, 10)[0]
        ours: Any = IVFFlat("ip", cells=64, seed=seed)
        theirs = FaissIndex("IVF64,Flat", "ip")
        if codes:
            ours = IVFPQ("ip", cells=64, parts=8, bits=4, seed=seed)
            theirs = FaissIndex("IVF64,PQ8x4", "ip")
        ours.build(x)
        theirs.build(x)
        for nprobe, by_seed in differences.items():
            ours.nprobe = theirs.nprobe = nprobe
            by_seed.append(recall(ours.search(q, 10)[0], truth) - recall(theirs.search(q, 10)[0], truth))
    for nprobe, by_seed in differences.items():
        assert np.mean(by_seed) > -0.01, (nprobe, by_seed)


@pytest.mark.usefixtures("_one_thread")
def test_lengths_that_vary_are_found_where_cells_by_direction_miss_them() -> None:
    """Long vectors win inner products: cells by distance set them apart, those of faiss, by direction, do not."""
    x, q = embeddings(0)
    x = x * np.exp(np.random.default_rng(0).normal(0, 0.4, (len(x), 1))).astype(np.float32)
    truth = ExactIndex("ip").build(x).search(q, 10)[0]
    ours = recall(IVFFlat("ip", cells=256, nprobe=8).build(x).search(q, 10)[0], truth)
    theirs = recall(FaissIndex("IVF256,Flat", "ip", nprobe=8).build(x).search(q, 10)[0], truth)
    assert ours > theirs + 0.1


@pytest.mark.usefixtures("_one_thread")
@every_metric
@pytest.mark.parametrize("factory", FACTORIES)
def test_faiss_behind_our_interface(factory: str, metric: Metric, tmp_path: Path) -> None:
    x, q = vectors(), vectors(20, seed=1)
    index = FaissIndex(factory, metric, nprobe=16, ef=200, rerank=600).build(x)
    exact = ExactIndex(metric).build(x)
    ids, scores = index.search(q, 10)
    assert ids.dtype == np.int64
    assert scores.dtype == np.float32
    if factory.startswith("PQ") or factory.endswith("x4"):
        assert recall(ids, exact.search(q, 10)[0]) > 0.2
    else:
        assert recall(ids, exact.search(q, 10)[0]) > 0.98
        assert scores[:, 0] == pytest.approx(exact.search(q, 10)[1][:, 0], rel=1e-4, abs=1e-4)
    assert (np.diff(scores, axis=1) <= 0).all()
    gone = np.unique(ids[:, :3])
    index.delete(gone)
    exact.delete(gone)
    assert index.add(x[:5] + np.float32(0.01)).tolist() == [600, 601, 602, 603, 604]
    exact.add(x[:5] + np.float32(0.01))
    ids, scores = index.search(q, 10)
    assert not np.isin(ids, gone).any()
    assert (ids >= 0).all()
    if factory in ("Flat", "IVF16,Flat"):
        assert recall(ids, exact.search(q, 10)[0]) > 0.99
    index.save(tmp_path / "index")
    loaded = FaissIndex.load(tmp_path / "index")
    again = loaded.search(q, 10)
    assert np.array_equal(again[0], ids)
    assert np.array_equal(again[1], scores)
    assert loaded.nbytes == index.nbytes
    loaded.delete([next(i for i in range(600) if i not in gone)])
    loaded.add(x[:2])
    assert len(loaded) == len(index) + 1


@pytest.mark.usefixtures("_one_thread")
def test_settings_of_faiss_are_followed() -> None:
    x, q = vectors(2000), vectors(50, seed=1)
    truth = ExactIndex("l2").build(x).search(q, 10)[0]
    for factory, knob, values in (
        ("IVF32,Flat", "nprobe", (1, 4, 32)), ("HNSW8", "ef", (10, 200)), ("PQ4x4,RFlat", "rerank", (0, 40, 2000)),
    ):  # fmt: skip
        index, found = FaissIndex(factory, "l2").build(x), []
        for value in values:
            setattr(index, knob, value)
            found.append(recall(index.search(q, 10)[0], truth))
        assert found == sorted(found)
        assert found[-1] > 0.99
        assert found[0] < found[-1]


def test_faiss_is_asked_for_no_more_than_there_is() -> None:
    """A PQ index takes no selector: the deleted are asked for, too."""
    x = vectors(100)
    index = FaissIndex("PQ2x4", "l2").build(x)
    index.delete(np.arange(90))
    assert (np.sort(index.search(x, 10)[0]) == np.arange(90, 100)).all()


def test_faiss_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match="pip install faiss-cpu"):
        FaissIndex()


# -- bad input -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IVFFlat(cells=0), "cells is 0; it must be at least 1"),
        (lambda: IVFFlat(nprobe=0), "nprobe is 0"),
        (lambda: IVFFlat(seed=-1), "seed is -1"),
        (lambda: ProductQuantizer(parts=0), "parts is 0"),
        (lambda: ProductQuantizer(bits=9), "bits is 9; the number of a codeword has to fit in a byte"),
        (lambda: ProductQuantizer(bits=0), "bits is 0"),
        (lambda: IVFPQ(rerank=-1), "rerank is -1"),
        (lambda: FaissIndex(nprobe=0), "nprobe is 0"),
        (lambda: FaissIndex(rerank=-2), "rerank is -2"),
        (lambda: IVFFlat(cells=601).build(vectors()), "cells is 601, with 600 vectors; ask for at most"),
        (lambda: ProductQuantizer(parts=5).build(vectors()), "parts is 5, .* the 12 dimensions; .* 1, 2, 3, 4, 6, 12"),
        (lambda: ProductQuantizer(parts=4).build(vectors(100)), "bits is 8: 256 codewords need .* there are 100"),
        (lambda: IVFPQ(parts=7).build(vectors()), "parts is 7, .* the 12 dimensions"),
        (lambda: IVFPQ(parts=4, cells=2).build(vectors(100)), "bits is 8: 256 codewords"),
        (lambda: IVFPQ(parts=4, cells=601).build(vectors()), "cells is 601"),
        (lambda: FaissIndex("NoSuchIndex").build(vectors()), "factory is 'NoSuchIndex', which faiss refuses"),
        (lambda: FaissIndex("IVF999,Flat").build(vectors()), "factory is 'IVF999,Flat', which faiss refuses for 600"),
        (lambda: kmeans(vectors(5), vectors(2, 3), 1), r"start has shape \(2, 3\)"),
        (lambda: kmeans([[np.nan]], [[0.0]], 1), "vectors has a NaN"),
        (lambda: kmeans([[0.0]], [[0.0]], 0), "iterations is 0"),
    ],
)
def test_bad_input_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_settings_that_are_changed_are_checked_when_they_are_used() -> None:
    x = vectors()
    index = IVFPQ("ip", cells=4, parts=4, bits=4).build(x)
    index.rerank = 10
    with pytest.raises(ValueError, match="rerank is 10, but the index was built with 0 and has no vectors"):
        index.search(x[:2])
    index.rerank = 0
    index.nprobe = 0
    with pytest.raises(ValueError, match="nprobe is 0; it must be at least 1"):
        index.search(x[:2])
    index.nprobe = 2.5  # type: ignore[assignment]
    with pytest.raises(TypeError, match=r"nprobe is 2\.5; give a whole number"):
        index.search(x[:2])
