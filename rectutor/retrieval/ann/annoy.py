"""A forest of random projection trees.

Shapes: N vectors, D dimensions, W = D or D + 1 coordinates in the trees, Q queries, k neighbours, T trees, S splits,
L leaves.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numba
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rectutor.fastpath import fast_path
from rectutor.retrieval.ann import annoy_cases, cases, reference
from rectutor.retrieval.ann.annoy_kernels import LINE, grow, search
from rectutor.retrieval.ann.index import Floats, Found, Index, Metric, check_whole

Array = NDArray[np.floating[Any]]
Node = reference.Split | reference.Leaf
LEAVES = 10
"""Full leaves of each tree that a search looks at unless told otherwise."""
SLACK = 1e-6
"""By how much rounding may make a squared length exceed the longest one, relative to it."""


class AnnoyForest(Index):
    """Random projection trees, searched all at once (Annoy; Bernhardsson, 2013).

    Each node of a tree cuts its vectors with the plane halfway between two of them, or two means of a few of them. A
    search opens the leaves of all trees in the order of their distance from the query, by one queue, until it has
    looked at ``search_k`` ids, and scores each vector that it met. The trees know distances only: for the inner product
    they are built on vectors of one length in D + 1 dimensions (Bachrach et al., 2014, theorem 1; see
    :func:`~rectutor.retrieval.ann.exact.to_cosine`). That length is fixed in ``build``: ``add`` refuses a vector that
    is longer than all that ``build`` was given.

    ``add`` sends vectors down to their leaves, and cuts a leaf that then has over twice ``leaf_size``; each call copies
    the ids of the forest, so add in batches. Deleted vectors still count for ``search_k``.

    Args:
        metric: ``ip``, ``cosine`` or ``l2``.
        trees: T; more of them cost memory and time to build, and find more for the same ``search_k``.
        leaf_size: most vectors of a leaf; smaller leaves are nearer to the query but cost more planes.
        steps: draws that move the two means of a node; 0 cuts between two vectors.
        search_k: ids to look at in a search, counted once for each tree; may be changed at any time. None: what ten
            full leaves of each tree hold, or ``trees * k`` where that is more.
        seed: of the draws.

    Raises:
        ValueError: trees, leaf_size or search_k below 1, steps below 0.
        TypeError: one of them no whole number.

    >>> points = [[0, 0], [0, 1], [5, 5], [5, 6]]
    >>> forest = AnnoyForest("l2", trees=2, leaf_size=2).build(points)
    >>> forest.search([[4, 5]], k=2)
    (array([[2, 3]]), array([[-1., -2.]], dtype=float32))
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ("trees", "leaf_size", "steps", "search_k", "seed", "longest_")
    ARRAYS: ClassVar[tuple[str, ...]] = ("vectors_", "planes_", "children_", "roots_", "bounds_", "ids_", "draws_")

    planes_: Floats
    """[S, W + 2]: normal, offset, squared length of the normal."""
    children_: NDArray[np.int32]
    """[S, 2]: left and right, a split's number or ~leaf."""
    roots_: NDArray[np.int32]
    """[T], likewise."""
    bounds_: NDArray[np.int64]
    """[L + 1]: leaf l holds ``ids_[bounds_[l]:bounds_[l + 1]]``."""
    ids_: NDArray[np.int32]
    """[T N], the leaves of each tree from left to right."""
    draws_: NDArray[np.uint64]
    """[T]: where the random numbers of each tree stand."""
    longest_: float
    """Length of the longest vector of ``build``, where the metric is the inner product."""

    def __init__(
        self,
        metric: Metric = "ip",
        *,
        trees: int = 10,
        leaf_size: int = 64,
        steps: int = 200,
        search_k: int | None = None,
        seed: int | np.random.Generator = 0,
    ) -> None:
        super().__init__(metric)
        self.trees = check_whole("trees", trees)
        self.leaf_size = check_whole("leaf_size", leaf_size)
        self.steps = check_whole("steps", steps, 0)
        self.search_k = search_k
        self._looked_at(1)
        self.seed = int(seed.integers(2**63)) if isinstance(seed, np.random.Generator) else check_whole("seed", seed, 0)

    def _build(self, x: Floats) -> None:
        self.vectors_ = rows(x)
        self.longest_ = float(np.sqrt(squares(x).max())) if self.metric == "ip" else 1.0
        self.draws_ = np.random.default_rng(self.seed).integers(1 << 64, size=self.trees, dtype=np.uint64)
        self.roots_ = ~np.arange(self.trees, dtype=np.int32)  # each tree is an empty leaf
        self.bounds_ = np.zeros(self.trees + 1, np.int64)
        self.planes_, self.children_ = np.empty((0, 0), np.float32), np.empty((0, 2), np.int32)
        self.ids_ = np.empty(0, np.int32)
        self._grow(self._placed(x), 0, self.leaf_size)

    def _add(self, x: Floats) -> None:
        held = len(self.vectors_)
        placed = np.concatenate([self._placed(self.vectors_), self._placed(x)])
        self.vectors_ = rows(self.vectors_, x)
        self._grow(placed, held, 2 * self.leaf_size)

    def _grow(self, placed: Floats, held: int, limit: int) -> None:
        """Give all trees the vectors from ``held`` on, and cut leaves of more than ``limit``."""
        n, width = placed.shape
        x, planes, children = flat(placed), flat(self.planes_), flat(self.children_)
        bounds, ids = flat(self.bounds_), flat(self.ids_)

        def grown(t: int) -> Any:
            new, state = np.arange(held, n, dtype=np.int32), self.draws_[t : t + 1]
            root = self.roots_[t]
            return grow(
                x, width, root, planes, children, bounds, ids, held, new, state, self.leaf_size, limit, self.steps
            )

        with ThreadPoolExecutor(numba.get_num_threads()) as pool:
            trees = tqdm(pool.map(grown, range(self.trees)), "trees", self.trees, delay=2, leave=False, unit="tree")
            parts = list(trees)
        first_split = np.cumsum([0] + [len(children) // 2 for _, children, _, _ in parts])
        first_leaf = np.cumsum([0] + [len(ends) for _, _, ends, _ in parts])
        self.planes_ = np.concatenate([planes for planes, _, _, _ in parts]).reshape(-1, width + 2)
        self.children_ = np.concatenate(
            [np.where(c >= 0, c + s, c - leaf) for (_, c, _, _), s, leaf in zip(parts, first_split, first_leaf)]
        ).astype(np.int32)  # fmt: skip
        self.children_ = self.children_.reshape(-1, 2)
        roots = [s if len(c) else ~leaf for (_, c, _, _), s, leaf in zip(parts, first_split, first_leaf)]
        self.roots_ = np.array(roots, np.int32)
        self.bounds_ = np.concatenate([[0], *(ends + t * n for t, (_, _, ends, _) in enumerate(parts))])
        self.ids_ = np.concatenate([ids for _, _, _, ids in parts])

    def _search(self, q: Floats, k: int) -> Found:
        target = q
        if self.metric == "ip":  # the length of the query changes no order, but it must fit the planes
            length = np.sqrt(squares(q))
            target = np.asarray(q / np.where(length > 0, length, 1)[:, None], np.float32)
        ids, scores = np.full((len(q), k), -1, np.int64), np.full((len(q), k), -np.inf, np.float32)
        forest = [flat(a) for a in (self.planes_, self.children_, self.roots_, self.bounds_, self.ids_)]
        deleted = np.packbits(self.deleted_, bitorder="little")
        width, l2 = self.planes_.shape[1] - 2, self.metric == "l2"
        search(
            flat(q), flat(target), self.dim_, width, *forest, deleted, flat(self.vectors_), k, self._looked_at(k), l2,
            ids, scores,
        )  # fmt: skip
        return ids, scores

    def _looked_at(self, k: int) -> int:
        """The search_k that holds now."""
        if self.search_k is None:
            return self.trees * max(LEAVES * self.leaf_size, k)
        return check_whole("search_k", self.search_k)

    def _placed(self, x: Floats) -> Floats:
        """Vectors as the trees know them [N, W]: of length 1 but where the metric is l2."""
        if self.metric != "ip":
            return x
        longest = self.longest_ or 1.0
        rest = 1 - squares(x) / longest**2
        if (rest < -SLACK).any():
            i = int(np.argmin(rest))
            raise ValueError(
                f"vectors[{i}] has length {np.sqrt(squares(x)[i]):.6g}, but the trees were built for inner products "
                f"of vectors no longer than {self.longest_:.6g}; call build again, with all vectors"
            )
        placed = np.empty((len(x), self.dim_ + 1), np.float32)
        np.divide(x, np.float64(longest), out=placed[:, :-1], casting="same_kind")
        placed[:, -1] = np.sqrt(np.maximum(rest, 0))  # below 0 by rounding only
        return placed

    # -- for the eye and for the tests ---------------------------------------------------------------------------------
    def tree(self, number: int) -> Node:
        """One tree as :class:`~rectutor.retrieval.ann.reference.Split` and ``Leaf``, in the trees' coordinates."""
        self._check_built()

        def node(i: int) -> Node:
            if i < 0:
                return reference.Leaf(self.ids_[self.bounds_[~i] : self.bounds_[~i + 1]].tolist())
            normal, offset = self.planes_[i, :-2], float(self.planes_[i, -2])
            left, right = self.children_[i].tolist()
            return reference.Split(normal, offset, node(left), node(right))

        return node(int(self.roots_[number]))


def rows(*parts: Floats) -> Floats:
    """A copy of the vectors, one part below the other, that begins at a cache line: fewer lines are read for a row."""
    n, dim = sum(map(len, parts)), parts[0].shape[1]
    room = np.empty(n * dim + LINE, np.float32)
    start = -room.ctypes.data % (4 * LINE) // 4
    return np.concatenate(parts, out=room[start : start + n * dim].reshape(n, dim))


def flat(array: NDArray[Any]) -> NDArray[Any]:
    """An array in one row and read-only, as those in a file are: so loops are compiled for one kind of array only."""
    row = np.asarray(array).reshape(-1)
    row.flags.writeable = False
    return row


def squares(x: Floats) -> NDArray[np.float64]:
    """Squared length of each row."""
    return np.asarray(np.einsum("nd,nd->n", x, x, dtype=np.float64))


@fast_path(
    reference.build_forest,
    cases=annoy_cases.forests,
    rtol=1e-5,
    atol=1e-5,
    compare=annoy_cases.same_trees,
    bench=annoy_cases.forest_of_size,
    sizes=cases.SIZES,
    unit="vectors",
)
def build_forest(vectors: Array, trees: int, leaf_size: int, steps: int = 0, seed: int = 0, added: int = 0) -> Any:
    """The trees of an :class:`AnnoyForest` built of all but the last ``added`` vectors, and then given those."""
    index = AnnoyForest("l2", trees=trees, leaf_size=leaf_size, steps=steps, seed=seed)
    index.build(vectors[: len(vectors) - added]).add(vectors[len(vectors) - added :])
    return [index.tree(t) for t in range(trees)]


@fast_path(
    reference.annoy_search,
    cases=annoy_cases.searches,
    rtol=1e-5,
    atol=1e-5,
    compare=cases.same_neighbours,
    bench=annoy_cases.search_of_size,
    sizes=cases.SIZES,
    unit="vectors",
)
def annoy_search(
    vectors: Array, query: Array, k: int, search_k: int, trees: int, leaf_size: int, steps: int = 0, seed: int = 0,
    metric: Metric = "ip",
) -> Any:  # fmt: skip
    """The k best vectors that an :class:`AnnoyForest` finds for one query: ids [k] and scores [k]."""
    index = AnnoyForest(metric, trees=trees, leaf_size=leaf_size, steps=steps, search_k=search_k, seed=seed)
    ids, scores = index.build(vectors).search(query[None], k)
    return ids[0], scores[0]
