"""Interactions, splits, and readers of public data sets."""

from rectutor.data.interactions import Interactions

__all__ = ["Interactions"]
