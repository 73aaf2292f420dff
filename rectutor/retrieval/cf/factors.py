"""The factor models: ratings explained or items ranked by a few hidden numbers of each user and each item."""

from rectutor.retrieval.cf.als import ImplicitALS, als_half, als_loss, train_als
from rectutor.retrieval.cf.bpr import BPR, train_bpr
from rectutor.retrieval.cf.factor_model import FactorModel
from rectutor.retrieval.cf.funksvd import FunkSVD, train_funk_svd
from rectutor.retrieval.cf.puresvd import PureSVD, train_pure_svd

__all__ = [
    "BPR",
    "FactorModel",
    "FunkSVD",
    "ImplicitALS",
    "PureSVD",
    "als_half",
    "als_loss",
    "train_als",
    "train_bpr",
    "train_funk_svd",
    "train_pure_svd",
]
