"""Who and what lives in the world: categories, authors, notes, users - as arrays of integers.

Shapes: C level-2 categories, W keywords, A authors, N notes, U users, J = 6 interest slots, D = 32 latent dimensions.
All attributes named in logits are in fixed point (256 = one logit).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rectutor.world import coefficients as k
from rectutor.world.fixedpoint import Draws, IntArray, fixed, scale_by_power

OWN_WORDS, SHARED_WORDS, MAX_WORDS = 10, 20, 8
BRANDS_PER_LEVEL1 = 12
CELLS = 64
DEVICES = ("android", "ios", "tablet")
GENDERS = ("female", "male")
IMAGE, VIDEO = 0, 1
NOTE_TYPES = ("image", "video")
CHANNELS = 8
PUBLISH_PROFILE = (2, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 10, 12, 10, 8, 8, 9, 10, 12, 14, 16, 14, 9, 5)


def zipf_weights(n: int) -> IntArray:
    """Integer weights falling like 1 / (rank + 3): uneven, yet no category is negligible."""
    return 60_000 // (np.arange(n) + 4)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Categories and keywords, and where they lie in the taste space.

    Attributes:
        level1_of: level-1 category of each level-2 category [C].
        centre: level-2 centres [C, D].
        weight: how common each level-2 category is [C], integers.
        word_vector: keyword vectors [W, D].
        words_of: vocabulary of each category, its 10 own words first, then 20 shared in its level 1 [C, 30].
    """

    level1_of: IntArray
    centre: IntArray
    weight: IntArray
    word_vector: IntArray
    words_of: IntArray

    @property
    def n_level2(self) -> int:
        """Number of level-2 categories, C."""
        return len(self.level1_of)


def make_catalogue(draws: Draws) -> Catalogue:
    """Draw 12 level-1 categories with 4 to 6 level-2 categories each."""
    n1 = len(k.LEVEL1)
    level1_of = np.repeat(np.arange(n1), 4 + draws.below(3, n1))
    c = len(level1_of)
    level1_centre = draws.normal((n1, k.LATENT), k.LEVEL1_SD)
    centre = level1_centre[level1_of] + draws.normal((c, k.LATENT), k.LEVEL2_SD)
    weight = zipf_weights(c)[np.argsort(draws.raw(c), kind="stable")]
    shared = np.arange(n1 * SHARED_WORDS).reshape(n1, SHARED_WORDS)
    own = shared.size + np.arange(c * OWN_WORDS).reshape(c, OWN_WORDS)
    vectors = draws.normal((shared.size + own.size, k.LATENT), k.WORD_SD)
    return Catalogue(level1_of, centre, weight, vectors, np.hstack([own, shared[level1_of]]))


@dataclass(frozen=True, eq=False)
class Authors:
    """Authors [A]: home level-1 category, cell, quality (logits) and productivity (relative publishing rate)."""

    level1: IntArray
    cell: IntArray
    quality: IntArray
    productivity: IntArray

    def __len__(self) -> int:
        return len(self.level1)


def make_authors(n: int, catalogue: Catalogue, draws: Draws) -> Authors:
    """Draw authors; every level-1 category has at least one."""
    level1 = catalogue.level1_of[draws.weighted(catalogue.weight, n)]
    level1[: len(k.LEVEL1)] = np.arange(len(k.LEVEL1))
    return Authors(
        level1,
        draws.weighted(zipf_weights(CELLS), n),
        draws.normal(n, fixed(k.AUTHOR_QUALITY_SD)),
        draws.lognormal(n, 320, 64),
    )


@dataclass(frozen=True, eq=False)
class Notes:
    """Notes [N], in the order of publication.

    ``author``, ``cell`` and ``quality`` are filled in when a note is published, because who publishes depends on
    what the platform did for earlier notes; the other attributes are fixed beforehand.

    Attributes:
        level2, level1, brand: category and brand codes (brand -1: none).
        words: keyword codes [N, 8], padded with -1.
        own_words: how many of the note's keywords belong to its level-2 category alone.
        type: 0 image, 1 video.
        word_count, pictures, video_seconds: lengths; 0 where the type has none.
        publish_hour: log hour of publication; negative before the log.
        promotion, shop: 0/1 flags; price: yuan, 0 where ``shop`` is 0.
        length, price_level: log2 of video length over 40 s, of price over 90 yuan, in 1/256; 0 where there is none.
        bait, useful, buzz, own_quality: hidden attributes in logits.
        latent: where the note lies in the taste space [N, D].
        described_as: the note whose content the text describes (itself, but for mismatched pairs).
    """

    level2: IntArray
    level1: IntArray
    brand: IntArray
    words: IntArray
    own_words: IntArray
    type: IntArray
    word_count: IntArray
    pictures: IntArray
    video_seconds: IntArray
    publish_hour: IntArray
    promotion: IntArray
    shop: IntArray
    price: IntArray
    length: IntArray
    price_level: IntArray
    bait: IntArray
    useful: IntArray
    buzz: IntArray
    own_quality: IntArray
    latent: IntArray
    described_as: IntArray
    author: IntArray
    cell: IntArray
    quality: IntArray

    def __len__(self) -> int:
        return len(self.level2)


def make_notes(n: int, days: int, catalogue: Catalogue, draws: Draws) -> Notes:
    """Draw the notes of the log and of the 30 days before it, all but their authors."""
    life_days = k.NOTE_LIFE_HOURS // 24
    publish_hour = np.sort(
        24 * (draws.below(life_days + days, n) - life_days) + draws.weighted(np.array(PUBLISH_PROFILE), n)
    )
    level2 = draws.weighted(catalogue.weight, n)
    level1 = catalogue.level1_of[level2]
    brand = level1 * BRANDS_PER_LEVEL1 + draws.weighted(zipf_weights(BRANDS_PER_LEVEL1), n)
    brand[draws.below(100, n) >= 60] = -1

    # Own words get half the key, so that they come first more often.
    keys = draws.raw(n * (OWN_WORDS + SHARED_WORDS)).reshape(n, -1) >> np.uint64(1)
    keys[:, :OWN_WORDS] >>= np.uint64(1)
    chosen = np.argsort(keys, axis=1, kind="stable")[:, :MAX_WORDS]
    used = np.arange(MAX_WORDS) < (3 + draws.below(6, n))[:, None]
    words = np.where(used, catalogue.words_of[level2[:, None], chosen], -1)
    mean_word = np.zeros((n, k.LATENT), dtype=np.int64)
    for slot in range(MAX_WORDS):
        mean_word += catalogue.word_vector[words[:, slot]] * used[:, slot, None]
    mean_word //= used.sum(1)[:, None]
    latent = catalogue.centre[level2] + mean_word + draws.normal((n, k.LATENT), k.STYLE_SD)

    is_video = draws.below(100, n) < 40
    length = draws.normal(n, 280) * is_video
    video_seconds = np.clip(scale_by_power(np.full(n, 40), length), 5, 600) * is_video
    shop = draws.below(100, n) < 25
    price_level = draws.normal(n, 300) * shop
    baits = draws.below(100, n) < k.BAIT_PERCENT
    bait = np.maximum(fixed(k.BAIT_MEAN) + draws.normal(n, fixed(k.BAIT_SD)), 0) * baits
    mismatched = draws.below(100, n) < k.MISMATCHED_PERCENT
    blank = np.full(n, -1)
    return Notes(
        level2=level2,
        level1=level1,
        brand=brand,
        words=words,
        own_words=(used & (chosen < OWN_WORDS)).sum(1),
        type=np.where(is_video, VIDEO, IMAGE),
        word_count=draws.lognormal(n, 256, 120),
        pictures=np.where(is_video, 0, 1 + draws.below(9, n)),
        video_seconds=video_seconds,
        publish_hour=publish_hour,
        promotion=(draws.below(100, n) < 6).astype(np.int64),
        shop=shop.astype(np.int64),
        price=scale_by_power(np.full(n, 90), price_level) * shop,
        length=length,
        price_level=price_level,
        bait=bait,
        useful=draws.normal(n, fixed(0.7)),
        buzz=draws.normal(n, fixed(0.7)),
        own_quality=draws.normal(n, fixed(k.NOTE_QUALITY_SD)),
        latent=latent,
        described_as=np.where(mismatched, draws.below(n, n), np.arange(n)),
        author=blank,
        cell=blank.copy(),
        quality=np.zeros(n, dtype=np.int64),
    )


def publish(notes: Notes, rows: IntArray, authors: Authors, motivation: IntArray, draws: Draws) -> None:
    """Choose who publishes the given notes, among authors of their level-1 category, and what follows from it.

    An author's chance is in proportion to productivity times motivation.
    """
    order = np.argsort(authors.level1, kind="stable")
    cumulative = np.concatenate([[0], np.cumsum((authors.productivity * motivation)[order])])
    edges = cumulative[np.searchsorted(authors.level1[order], np.arange(len(k.LEVEL1) + 1))]
    low, high = edges[notes.level1[rows]], edges[notes.level1[rows] + 1]
    at = low + draws.below(high - low, len(rows))
    author = order[np.searchsorted(cumulative[1:], at, side="right")]
    notes.author[rows] = author
    elsewhere = draws.below(100, len(rows)) < 30
    notes.cell[rows] = np.where(elsewhere, draws.weighted(zipf_weights(CELLS), len(rows)), authors.cell[author])
    notes.quality[rows] = notes.own_quality[rows] + authors.quality[author]


@dataclass(frozen=True, eq=False)
class Users:
    """Users [U].

    Attributes:
        gender, device, channel: codes; ``channel`` (of registration) moves nothing - a planted noise feature.
        age, cell: true values; ``age_known`` (60 %) and ``cell_known`` (50 %) say who shows them.
        joined_day: log day of joining; negative before the log.
        rate: sessions a day, in units of 2**-20.
        interest: level-2 category of each interest [U, J], -1 in unused slots.
        weight_first, weight_last: interest weights on the first and the last day of the log [U, J]; in between, linear.
        taste: interest vectors [U, J, D].
        favourite: two favourite brands [U, 2].
        portrait: what the platform believes of each user's interests, integer weights [U, C].
        click, social: how readily a user clicks, and reacts, in logits.
        price_sensitivity: 256 is average.
        rating_bias, rating_scale: 1/256 stars added, and factor (256 is 1), of the user's ratings.
    """

    gender: IntArray
    device: IntArray
    channel: IntArray
    age: IntArray
    age_known: NDArray[np.bool_]
    cell: IntArray
    cell_known: NDArray[np.bool_]
    joined_day: IntArray
    rate: IntArray
    interest: IntArray
    weight_first: IntArray
    weight_last: IntArray
    taste: IntArray
    favourite: IntArray
    portrait: IntArray
    click: IntArray
    social: IntArray
    price_sensitivity: IntArray
    rating_bias: IntArray
    rating_scale: IntArray

    def __len__(self) -> int:
        return len(self.gender)

    @property
    def age_group(self) -> IntArray:
        """0: under 20, 1: 20 to 29, 2: 30 to 39, 3: 40 and over."""
        return np.clip(self.age // 10 - 1, 0, 3)

    def weights(self, users: IntArray, day: int | IntArray, days: int) -> IntArray:
        """Interest weights of the given users on a log day [..., J]; integers, not normalised."""
        last = max(days - 1, 1)
        d = np.clip(np.asarray(day), 0, last)[..., None]
        return np.asarray((self.weight_first[users] * (last - d) + self.weight_last[users] * d) // last)


def make_users(n: int, days: int, sessions_per_day: float, catalogue: Catalogue, draws: Draws) -> Users:
    """Draw users with 1 to 6 interests each."""
    slots = k.MAX_INTERESTS
    interest = draws.weighted(catalogue.weight, n * slots).reshape(n, slots)
    for j in range(1, slots):  # redraw until the six categories of a user differ
        while len(again := np.flatnonzero((interest[:, :j] == interest[:, j, None]).any(1))):
            interest[again, j] = draws.weighted(catalogue.weight, len(again))
    used = np.arange(slots) <= draws.weighted(np.array(k.INTEREST_COUNTS), n)[:, None]
    taste = catalogue.centre[interest] + draws.normal((n, slots, k.LATENT), k.TASTE_SD)
    first = (32 + draws.below(225, n * slots)).reshape(n, slots)
    last = np.clip(first + draws.normal((n, slots), 80), 8, 400)
    favourite = catalogue.level1_of[interest[:, :2]] * BRANDS_PER_LEVEL1 + draws.weighted(
        zipf_weights(BRANDS_PER_LEVEL1), 2 * n
    ).reshape(n, 2)
    portrait = np.zeros((n, catalogue.n_level2), dtype=np.int64)
    rows = np.arange(n)[:, None]
    np.add.at(portrait, (rows, interest), first * used)
    np.add.at(portrait, (rows, draws.weighted(catalogue.weight, 3 * n).reshape(n, 3)), 48)  # what it got wrong
    newcomer = draws.below(100, n) < 20
    tenure = np.minimum(draws.lognormal(n, 400, 200), 2_000)
    stretch = fixed(k.RATING_SCALE_HIGH) - fixed(k.RATING_SCALE_LOW)
    return Users(
        gender=(draws.below(100, n) < 42).astype(np.int64),
        device=draws.weighted(np.array([55, 38, 7]), n),
        channel=draws.below(CHANNELS, n),
        age=np.clip(15 + draws.lognormal(n, 200, 14), 16, 75),
        age_known=draws.below(100, n) < 60,
        cell=draws.weighted(zipf_weights(CELLS), n),
        cell_known=draws.below(100, n) < 50,
        joined_day=np.where(newcomer, draws.below(days, n), -tenure),
        rate=draws.lognormal(n, 320, round(sessions_per_day * 2**20)),
        interest=np.where(used, interest, -1),
        weight_first=first * used,
        weight_last=last * used,
        taste=taste * used[:, :, None],
        favourite=favourite,
        portrait=portrait,
        click=draws.normal(n, fixed(k.USER_CLICK_SD)),
        social=draws.normal(n, fixed(k.USER_SOCIAL_SD)),
        price_sensitivity=np.clip(256 + draws.normal(n, fixed(k.PRICE_SENSITIVITY_SD)), 0, 1024),
        rating_bias=draws.normal(n, fixed(k.RATING_BIAS_SD)),
        rating_scale=fixed(k.RATING_SCALE_LOW) + draws.below(stretch + 1, n),
    )
