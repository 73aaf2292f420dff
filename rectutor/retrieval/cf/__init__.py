"""Collaborative filtering (协同过滤): from behaviour only, without a word on what the items are."""

from rectutor.retrieval.cf.factors import BPR, FunkSVD, ImplicitALS, PureSVD
from rectutor.retrieval.cf.neighbours import ItemCF, Popular, UserCF
from rectutor.retrieval.cf.similarity import adjusted_cosine, bm25, cosine, dot, jaccard, pearson, swing, tfidf

__all__ = [
    "BPR",
    "FunkSVD",
    "ImplicitALS",
    "ItemCF",
    "Popular",
    "PureSVD",
    "UserCF",
    "adjusted_cosine",
    "bm25",
    "cosine",
    "dot",
    "jaccard",
    "pearson",
    "swing",
    "tfidf",
]
