"""Every number the world is made with, in one place, with its unit and its reason.

Logits are natural-log odds; ``sd`` is a standard deviation. Behaviour coefficients are multiples of 1/16 so that
:mod:`rectutor.world.fixedpoint` represents them exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

LEVEL1 = (
    "food", "travel", "beauty", "fashion", "home", "fitness",
    "tech", "pets", "parenting", "film", "music", "cars",
)  # fmt: skip
"""Level-1 categories; each has 4 to 6 level-2 categories."""

LATENT = 32
"""Dimension of the taste space in which affinity is a dot product."""

CONTENT = 64
"""Dimension of content, image and text vectors."""

NOTE_LIFE_HOURS = 30 * 24
"""A note is shown for 30 days; then it leaves the pool."""

MAX_INTERESTS = 6
INTEREST_COUNTS = (15, 25, 25, 18, 10, 7)
"""Per cent of users with 1, 2, ... 6 interests."""


@dataclass(frozen=True)
class Size:
    """How large a world is.

    Attributes:
        users, notes, authors: how many there are; notes are those of the log and of the 30 days before it.
        days: length of the log; its first hour is Monday 2025-03-03 00:00 UTC.
        sessions_per_day: the median user's; users differ by a factor of 2.4 (one sd); the mean is
            about 1.5 times this.
    """

    users: int
    notes: int
    authors: int
    days: int
    sessions_per_day: float

    def __post_init__(self) -> None:
        """Refuse sizes that cannot make a world."""
        least = {"users": 1, "notes": 200, "authors": len(LEVEL1), "days": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} is {getattr(self, name)}; a world needs at least {smallest}")
        if self.days > 1000:
            raise ValueError(f"days is {self.days}; log hours are stored in 16 bits, so at most 1000 days")
        if not 0 < self.sessions_per_day <= 20:
            raise ValueError(f"sessions_per_day is {self.sessions_per_day}; it must be above 0 and at most 20")


SIZES = {
    "tiny": Size(users=200, notes=400, authors=40, days=14, sessions_per_day=0.5),
    "small": Size(users=4_000, notes=6_000, authors=600, days=28, sessions_per_day=0.46),
    "medium": Size(users=50_000, notes=50_000, authors=5_000, days=28, sessions_per_day=0.9),
}

FIRST_SECOND = 1_740_960_000
"""Seconds since 1970 of log hour 0: Monday 2025-03-03 00:00 UTC."""

HOLIDAYS = (11, 12)
"""Log days that are public holidays (a Friday, and the Saturday after it)."""

# -- Taste space: integer coordinates, sd per dimension -------------------------------------------------------
LEVEL1_SD = 16  # level-1 centres
LEVEL2_SD = 18  # what a level-2 category adds; siblings then have a cosine of about 0.44
WORD_SD = 14  # keyword vectors; a note carries the mean of its keywords
STYLE_SD = 12  # a note's own style
TASTE_SD = 18  # a user's deviation from the category's centre, for each interest
AFFINITY_DIVISOR = 17
"""Dot product / 17 = affinity in 1/256 logits: about 4.2 logits for a note of the leading level-2 category, 1.9 for a
sibling category, 0 +- 0.9 elsewhere."""

IMAGE_NOISE_SD, TEXT_NOISE_SD, CONTENT_NOISE_SD = 20, 20, 16  # per dimension, against signals of sd about 45
MISMATCHED_PERCENT = 8
"""Notes whose text describes another note: the negatives of the CLIP demonstration."""

# -- Attributes: sd in logits of click ------------------------------------------------------------------------
AUTHOR_QUALITY_SD, NOTE_QUALITY_SD = 0.35, 0.45
BAIT_PERCENT, BAIT_MEAN, BAIT_SD = 20, 1.2, 0.4
"""A fifth of the titles bait: they raise the click and lower what follows it."""
USER_CLICK_SD, USER_SOCIAL_SD = 0.35, 0.6
PRICE_SENSITIVITY_SD = 0.5
RATING_BIAS_SD, RATING_SCALE_LOW, RATING_SCALE_HIGH = 1.2, 0.5, 1.1
"""Stars a user adds to all ratings, and the factor that stretches them."""

# -- Click | exposure, in logits ------------------------------------------------------------------------------
CLICK_BASE = -4.3
CLICK_QUALITY, CLICK_BAIT = 1.0, 0.75
HERD = 0.09  # per doubling of the clicks a note shows
POSITION = 0.35  # lost per doubling of (1 + position)
INTENT = 1.0  # the note carries the session's intent keyword
BRAND = 0.8  # a favourite brand of the user
SAME_CELL = 0.5  # note and user in the same geohash cell
HOUR_SD, WEEKEND_SD, HOLIDAY_SD, GENDER_SD = 0.25, 0.2, 0.3, 0.45
"""Planted second-order crosses: each of these with the level-1 category."""
AGE_TYPE_HOUR_SD = 0.35
"""Planted third-order cross: age group x note type x block of the day."""

# -- What follows a click: logits = base + sum of coefficient * driver ----------------------------------------
DRIVERS = ("affinity", "quality", "bait", "useful", "buzz", "trust", "social", "length", "price")
BEHAVIOURS: dict[str, tuple[float, dict[str, float]]] = {
    "like": (-3.0, {"affinity": 0.5, "quality": 0.875, "bait": -0.875, "social": 0.5}),
    "collect": (-3.5, {"affinity": 0.4375, "quality": 0.375, "bait": -0.5, "useful": 0.875}),
    "share": (-4.25, {"affinity": 0.1875, "quality": 0.5, "buzz": 0.875, "social": 0.75}),
    "comment": (-4.25, {"affinity": 0.3125, "bait": 0.3125, "buzz": 0.625, "social": 0.75}),
    "follow": (-5.0, {"affinity": 0.5, "quality": 0.375, "bait": -0.625, "trust": 1.5}),
    "completed": (-0.5, {"affinity": 0.3125, "quality": 0.75, "bait": -1.625, "length": -0.75}),
    "cart": (-4.25, {"affinity": 0.8125, "bait": -0.75, "trust": 1.25, "price": -0.75}),
    "pay": (-0.75, {"affinity": 0.125, "bait": -0.25, "trust": 1.0, "price": -0.5}),
}
"""Given a click: like, collect, share, comment, follow, completed (videos), cart (shop notes). Given cart: pay."""

RATED_PERCENT = 60  # of clicked notes get an explicit rating
RATING_AFFINITY, RATING_QUALITY, RATING_BAIT = 0.75, 1.0, -0.5  # stars per logit
RATING_CENTRE, RATING_AFFINITY_MEAN, RATING_NOISE_SD = 3.0, 2.6, 0.3  # stars, logits, stars

# -- Logging policy -------------------------------------------------------------------------------------------
POPULARITY_PERCENT, PERSONAL_PERCENT, EXPLORATION_PERCENT = 40, 40, 20
POPULARITY_DECAY_BITS = 7  # each hour 1/128 of the score fades: half-life 3.7 days
CLICK_SCORE = 1_024
CLICKS_PER_SESSION = 1.7  # expected, only to give the notes of before the log a past of the right size
WEIGHT_SHIFT = 6  # policy weight = score / 64, between 1 and 65535

# -- Authors' motivation: 256 is neutral ----------------------------------------------------------------------
MOTIVATION_FLOOR, MOTIVATION_EARLY, MOTIVATION_FIRST_DAY = 64, 48, 24
"""Target = 64 + 48 per doubling of exposures in a note's first 6 hours + 24 per doubling in hours 6 to 24."""
EARLY_HOURS = 6
