"""What encoders would say of a note: content, image and text vectors made from its place in the taste space.

Shapes: N notes, D = 32 latent dimensions, 64 content dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rectutor.world import coefficients as k
from rectutor.world.entities import Notes
from rectutor.world.fixedpoint import Draws, unit_rows


@dataclass(frozen=True, eq=False)
class Content:
    """Unit vectors [N, 64], float32.

    ``note`` stands for a fused encoder. ``image`` and ``text`` lie in spaces of their own, as the outputs of two
    encoders trained apart do: their dot products mean nothing before something aligns them, as CLIP does.
    """

    note: NDArray[np.float32]
    image: NDArray[np.float32]
    text: NDArray[np.float32]


def make_content(notes: Notes, draws: Draws) -> Content:
    """Project the latent vectors by three fixed random maps and add each encoder's noise."""
    vectors = []
    described = (np.arange(len(notes)), np.arange(len(notes)), notes.described_as)
    for rows, noise in zip(described, (k.CONTENT_NOISE_SD, k.IMAGE_NOISE_SD, k.TEXT_NOISE_SD), strict=True):
        projection = draws.normal((k.LATENT, k.CONTENT), 16).astype(np.float64)
        # Sums of integers below 2**53: exact in float64 whatever the order in which BLAS adds them.
        signal = (notes.latent[rows].astype(np.float64) @ projection).astype(np.int64) // 48
        vectors.append(unit_rows(signal + draws.normal((len(notes), k.CONTENT), noise)))
    return Content(*vectors)
