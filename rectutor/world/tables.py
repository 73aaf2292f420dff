"""The world's tables: column types, how arrays become pandas frames, and how frames become files."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rectutor.world import coefficients as k
from rectutor.world.entities import (
    DEVICES,
    GENDERS,
    NOTE_TYPES,
    OWN_WORDS,
    SHARED_WORDS,
    Authors,
    Catalogue,
    Notes,
    Users,
)
from rectutor.world.fixedpoint import IntArray
from rectutor.world.platform import Platform

IMPRESSIONS = {
    "user": "int32", "note": "int32", "session": "int32", "position": "int16", "time": "int64", "hour": "int16",
    "hour_of_day": "int8", "weekday": "int8", "holiday": "int8", "propensity": "float64", "candidates": "int32",
    "click": "int8", "like": "int8", "collect": "int8", "share": "int8", "comment": "int8", "follow": "int8",
    "dwell_seconds": "int16", "completed": "int8", "cart": "int8", "pay": "int8", "herd": "int8",
    "true_interest": "int16", "true_intent": "int16", "true_p_click": "float32",
}  # fmt: skip
RATINGS = {"user": "int32", "note": "int32", "time": "int64", "rating": "int8", "true_satisfaction": "float32"}

BASE32 = "0123456789bcdefghjkmnpqrstuvwxyz"


def typed(columns: dict[str, NDArray[np.generic]], types: dict[str, str]) -> dict[str, NDArray[np.generic]]:
    """Cast columns to their final types, in the order of ``types``; a value that does not fit is an error."""
    result = {}
    for name, dtype in types.items():
        column = columns[name]
        kind = np.dtype(dtype)
        if kind.kind == "i" and len(column) and column.dtype.kind != "b":
            limits = np.iinfo(kind)
            if column.min() < limits.min or column.max() > limits.max:
                raise ValueError(f"column {name!r} has a value outside {dtype}; widen its type in tables.py")
        result[name] = column.astype(kind)
    return result


def collect(days: list[dict[str, NDArray[np.generic]]]) -> pd.DataFrame:
    """One frame from the column arrays of consecutive days, which are emptied on the way to save memory."""
    return pd.DataFrame({name: np.concatenate([day.pop(name) for day in days]) for name in list(days[0])}, copy=False)


def level2_names(catalogue: Catalogue) -> NDArray[np.str_]:
    """Names of the level-2 categories: the level-1 name and a running letter, such as "food-a"."""
    first = np.searchsorted(catalogue.level1_of, catalogue.level1_of)
    letters = np.arange(catalogue.n_level2) - first
    return np.array([f"{k.LEVEL1[l1]}-{'abcdef'[i]}" for l1, i in zip(catalogue.level1_of, letters, strict=True)])


def word_names(catalogue: Catalogue) -> NDArray[np.str_]:
    """Names of the keywords: "food-03" is shared by all of food, "food-a-07" belongs to food-a."""
    shared = [f"{name}-{i:02d}" for name in k.LEVEL1 for i in range(SHARED_WORDS)]
    own = [f"{name}-{i:02d}" for name in level2_names(catalogue) for i in range(OWN_WORDS)]
    return np.array(shared + own)


def cell_names(cells: IntArray) -> NDArray[np.str_]:
    """Geohash-like names of cells: four characters, neighbours share a prefix."""
    return np.array(["wx4" + BASE32[c] if c < 32 else "wtw" + BASE32[c - 32] for c in range(64)])[cells]


def categories(catalogue: Catalogue) -> pd.DataFrame:
    """One row a level-2 category."""
    return pd.DataFrame(
        {
            "level2": np.arange(catalogue.n_level2, dtype=np.int16),
            "level1": catalogue.level1_of.astype(np.int8),
            "name": level2_names(catalogue),
            "level1_name": np.array(k.LEVEL1)[catalogue.level1_of],
        }
    )


def authors(authors: Authors, motivation: IntArray, notes: Notes) -> pd.DataFrame:
    """One row an author."""
    return pd.DataFrame(
        {
            "author": np.arange(len(authors), dtype=np.int32),
            "level1": authors.level1.astype(np.int8),
            "cell": cell_names(authors.cell),
            "notes": np.bincount(notes.author, minlength=len(authors)).astype(np.int32),
            "true_quality": (authors.quality / 256).astype(np.float32),
            "true_productivity": (authors.productivity / 64).astype(np.float32),
            "true_motivation": (motivation / 256).astype(np.float32),
        }
    )


def notes(notes: Notes, platform: Platform) -> pd.DataFrame:
    """One row a note."""
    names = word_names(platform.inhabitants.catalogue)
    keywords = [" ".join(names[w] for w in row if w >= 0) for row in notes.words.tolist()]
    return pd.DataFrame(
        {
            "note": np.arange(len(notes), dtype=np.int32),
            "author": notes.author.astype(np.int32),
            "level1": notes.level1.astype(np.int8),
            "level2": notes.level2.astype(np.int16),
            "brand": notes.brand.astype(np.int16),
            "keywords": keywords,
            "type": pd.Categorical.from_codes(notes.type, list(NOTE_TYPES)),
            "word_count": notes.word_count.astype(np.int32),
            "pictures": notes.pictures.astype(np.int8),
            "video_seconds": notes.video_seconds.astype(np.int16),
            "cell": cell_names(notes.cell),
            "publish_hour": notes.publish_hour.astype(np.int16),
            "is_promotion": notes.promotion.astype(np.int8),
            "has_shop_card": notes.shop.astype(np.int8),
            "price": notes.price.astype(np.int32),
            "true_quality": (notes.quality / 256).astype(np.float32),
            "true_bait": (notes.bait / 256).astype(np.float32),
            "true_useful": (notes.useful / 256).astype(np.float32),
            "true_buzz": (notes.buzz / 256).astype(np.float32),
            "true_described_as": notes.described_as.astype(np.int32),
        }
    )


def users(users: Users, size: k.Size) -> pd.DataFrame:
    """One row a user."""
    cells = cell_names(users.cell)
    return pd.DataFrame(
        {
            "user": np.arange(len(users), dtype=np.int32),
            "gender": pd.Categorical.from_codes(users.gender, list(GENDERS)),
            "age": np.where(users.age_known, users.age, np.nan).astype(np.float32),
            "cell": pd.Series(cells).where(users.cell_known),
            "device": pd.Categorical.from_codes(users.device, list(DEVICES)),
            "channel": users.channel.astype(np.int8),
            "joined_day": users.joined_day.astype(np.int16),
            "true_age": users.age.astype(np.int8),
            "true_cell": cells,
            "true_sessions_per_day": (users.rate / 2**20).astype(np.float32),
            "true_n_interests": (users.interest >= 0).sum(1).astype(np.int8),
            "true_click": (users.click / 256).astype(np.float32),
            "true_social": (users.social / 256).astype(np.float32),
            "true_price_sensitivity": (users.price_sensitivity / 256).astype(np.float32),
            "true_rating_bias": (users.rating_bias / 256).astype(np.float32),
            "true_rating_scale": (users.rating_scale / 256).astype(np.float32),
        }
    )
