"""Approximate nearest neighbours (近似最近邻): exact search, trees, cells, codes and graphs behind one interface."""

from rectutor.retrieval.ann.annoy import AnnoyForest
from rectutor.retrieval.ann.cells import IVFFlat
from rectutor.retrieval.ann.codes import IVFPQ, ProductQuantizer
from rectutor.retrieval.ann.exact import ExactIndex
from rectutor.retrieval.ann.faiss_index import FaissIndex
from rectutor.retrieval.ann.hnsw import HNSW
from rectutor.retrieval.ann.index import Index

__all__ = [
    "HNSW",
    "IVFPQ",
    "AnnoyForest",
    "ExactIndex",
    "FaissIndex",
    "IVFFlat",
    "Index",
    "ProductQuantizer",
]
