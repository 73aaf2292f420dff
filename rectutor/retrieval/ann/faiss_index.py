"""The library faiss behind the interface of the other indexes.

Shapes: N vectors, D dimensions, Q queries, k neighbours.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rectutor.retrieval.ann.index import Floats, Found, Index, Metric, check_whole


class FaissIndex(Index):
    """An index that faiss builds and searches (Douze et al., 2024), named by a string of its index factory.

    Its own ties are broken as faiss likes; lists are then sorted as everywhere here. Deleted vectors are hidden by a
    selector where faiss takes one (flat, IVF and HNSW indexes), elsewhere by asking for as many more.

    Args:
        factory: for instance ``Flat``, ``HNSW16``, ``IVF1024,Flat``, ``IVF1024,PQ16`` or ``IVF1024,PQ16,RFlat``.
        metric: ``ip``, ``cosine`` or ``l2``.
        nprobe: how many cells an IVF index looks into. May be changed at any time, as the next two.
        ef: width of the beam of an HNSW index.
        rerank: how many candidates an index that ends in ``RFlat`` scores again; k where that is more.

    Attributes:
        faiss_: the index of faiss.

    Raises:
        ImportError: faiss is missing.
        ValueError: at ``build``: a string that faiss does not understand, or vectors that it refuses.

    >>> index = FaissIndex("Flat", "l2").build([[0, 0], [3, 4], [1, 1]])
    >>> index.search([[0, 1]], k=2)
    (array([[0, 2]]), array([[-1., -1.]], dtype=float32))
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ("factory", "nprobe", "ef", "rerank")
    ARRAYS: ClassVar[tuple[str, ...]] = ("bytes_",)

    faiss_: Any

    def __init__(
        self, factory: str = "Flat", metric: Metric = "ip", *, nprobe: int = 8, ef: int = 50, rerank: int = 0
    ) -> None:
        super().__init__(metric)
        library()
        self.factory = factory
        self.nprobe, self.ef = check_whole("nprobe", nprobe), check_whole("ef", ef)
        self.rerank = check_whole("rerank", rerank, 0)

    @property
    def bytes_(self) -> NDArray[np.uint8]:
        """The index as faiss writes it."""
        return np.asarray(library().serialize_index(self.faiss_), np.uint8)

    @bytes_.setter
    def bytes_(self, data: NDArray[np.uint8]) -> None:
        self.faiss_ = library().deserialize_index(np.array(data))

    def _writable(self) -> None:
        if not self.deleted_.flags.writeable:
            self.deleted_ = np.array(self.deleted_)

    def _build(self, x: Floats) -> None:
        faiss = library()
        metric = faiss.METRIC_L2 if self.metric == "l2" else faiss.METRIC_INNER_PRODUCT
        try:
            index = faiss.index_factory(x.shape[1], self.factory, metric)
            index.train(x)
            index.add(x)
        except RuntimeError as error:
            raise ValueError(
                f"factory is {self.factory!r}, which faiss refuses for {len(x)} vectors: {error}"
            ) from error
        self.faiss_ = index

    def _add(self, x: Floats) -> None:
        self.faiss_.add(x)

    def _search(self, q: Floats, k: int) -> Found:
        gone = self.deleted_.any()
        selector = library().IDSelectorBitmap(np.packbits(~self.deleted_, bitorder="little")) if gone else None
        parameters, hides = self._parameters(self.faiss_, k, selector)
        asked = k if hides or not gone else min(len(self.deleted_), k + int(self.deleted_.sum()))
        scores, ids = self.faiss_.search(q, asked, params=parameters)
        if self.metric == "l2":
            scores = -scores
        scores = np.where((ids < 0) | self.deleted_[ids], np.float32(-np.inf), scores)
        ids = np.where(np.isneginf(scores), -1, ids)
        order = np.lexsort((np.where(ids < 0, len(self.deleted_), ids), -scores), axis=-1)[:, :k]
        return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)

    def _parameters(self, index: Any, k: int, selector: Any) -> tuple[Any, bool]:
        """How faiss is to search, and whether it leaves out what is deleted."""
        faiss = library()
        index = faiss.downcast_index(index)
        chosen = {} if selector is None else {"sel": selector}
        if isinstance(index, faiss.IndexRefine):
            base, hides = self._parameters(index.base_index, k, selector)
            factor = max(1.0, check_whole("rerank", self.rerank, 0) / k)
            return faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=base), hides
        if isinstance(index, faiss.IndexIVF):
            return faiss.SearchParametersIVF(nprobe=check_whole("nprobe", self.nprobe), **chosen), True
        if isinstance(index, faiss.IndexHNSW):
            return faiss.SearchParametersHNSW(efSearch=max(check_whole("ef", self.ef), k), **chosen), True
        if isinstance(index, faiss.IndexFlat):
            return faiss.SearchParameters(**chosen), True
        return None, False


def library() -> Any:
    """Faiss, imported when it is needed."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError("FaissIndex needs the library faiss; install it with: pip install faiss-cpu") from error
    return faiss
