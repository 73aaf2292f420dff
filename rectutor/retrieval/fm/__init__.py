"""The factorization-machine family (因子分解机): LR, FM, FwFM and FFM, their training, and retrieval by an FM."""

from rectutor.retrieval.fm.adagrad import adagrad
from rectutor.retrieval.fm.ftrl import FTRL, FTRLFM
from rectutor.retrieval.fm.models import FFM, FM, LR, FwFM
from rectutor.retrieval.fm.vectors import cross_terms, fm_user_item_vectors

__all__ = [
    "FFM",
    "FM",
    "FTRL",
    "FTRLFM",
    "LR",
    "FwFM",
    "adagrad",
    "cross_terms",
    "fm_user_item_vectors",
]
