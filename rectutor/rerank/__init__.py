"""Re-ranking (重排): diversity by MMR and DPP, and the rules that outrank it."""

from rectutor.rerank.clip import Clip
from rectutor.rerank.dpp import dpp
from rectutor.rerank.mmr import mmr
from rectutor.rerank.rules import MaxInPrefix, MaxInWindow, MaxRun, Rule
from rectutor.rerank.similarity import match_similarity, unit
from rectutor.rerank.slate import InfeasibleError, Note, Slate
from rectutor.rerank.volume import fast_greedy, quality_kernel, quality_of, volume

__all__ = [
    "Clip",
    "InfeasibleError",
    "MaxInPrefix",
    "MaxInWindow",
    "MaxRun",
    "Note",
    "Rule",
    "Slate",
    "dpp",
    "fast_greedy",
    "match_similarity",
    "mmr",
    "quality_kernel",
    "quality_of",
    "unit",
    "volume",
]
