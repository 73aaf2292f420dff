"""The simulated platform whose truth is known; everything else is judged on it."""

from rectutor.world.coefficients import SIZES, Size
from rectutor.world.export import write_feedworld
from rectutor.world.feedworld import FeedWorld

__all__ = ["SIZES", "FeedWorld", "Size", "write_feedworld"]
