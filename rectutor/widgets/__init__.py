"""Explorables: pictures that a reader drags, live with a kernel and alive in the rendered page.

:mod:`rectutor.widgets.scene` composes pictures, :mod:`rectutor.widgets.explorer` makes them move; one module a chapter
holds its explorables, under the chapter's name.
"""

from rectutor.widgets.explorer import Choice, Continuous, Discrete, Explorer, Steps, Toggle
from rectutor.widgets.scene import Panel, Scale, Scene, ink_on, shade

__all__ = [
    "Choice",
    "Continuous",
    "Discrete",
    "Explorer",
    "Panel",
    "Scale",
    "Scene",
    "Steps",
    "Toggle",
    "ink_on",
    "shade",
]
