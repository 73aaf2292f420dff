from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from rectutor.world import FeedWorld, Size
from rectutor.world import coefficients as k
from rectutor.world.files import TABLES, csv_text


def context(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "hour": rows.hour,
        "position": rows.position,
        "interest": rows.true_interest,
        "intent": rows.true_intent,
    }


# -- determinism ------------------------------------------------------------------------------------------
def test_tables_of_seed_0_are_pinned(tiny: FeedWorld) -> None:
    """A change of this value is a change of every number in the book: make it on purpose or not at all."""
    digest = hashlib.sha256()
    for name in TABLES:
        digest.update(csv_text(getattr(tiny, name)).encode())
    for vectors in (tiny.note_vectors, tiny.image_vectors, tiny.text_vectors):
        digest.update(vectors.astype("<f4").tobytes())
    assert digest.hexdigest() == "96cad4bc08b411aec49ade7289bfb2bbe65113608db49888529aef4b592aa1d2"


def test_same_seed_same_world_other_seed_other_world(tiny: FeedWorld) -> None:
    np.random.seed(5)  # noqa: NPY002 - the global generator must not matter
    again, other = FeedWorld.generate("tiny", seed=0), FeedWorld.generate("tiny", seed=1)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(tiny, name))
    assert not other.users.equals(tiny.users)
    assert not other.notes.equals(tiny.notes)
    assert len(other.impressions) != len(tiny.impressions)


def test_a_generator_gives_a_seed() -> None:
    a, b = (FeedWorld("tiny", np.random.default_rng(3)) for _ in range(2))
    assert a.seed == b.seed
    assert a.seed != FeedWorld("tiny", np.random.default_rng(4)).seed


# -- tables -----------------------------------------------------------------------------------------------
def test_the_books_default_has_the_size_it_claims(small: FeedWorld) -> None:
    assert (len(small.users), len(small.notes), len(small.authors)) == (4_000, 6_000, 600)
    assert 0.9e6 < len(small.impressions) < 1.1e6
    assert 0.07 < small.impressions.click.mean() < 0.15
    assert len(small.ratings) > 40_000
    assert small.impressions.memory_usage().sum() < 80e6


def test_rows_refer_to_rows_that_exist(tiny: FeedWorld) -> None:
    for name, column in (("users", "user"), ("notes", "note"), ("authors", "author"), ("categories", "level2")):
        frame = getattr(tiny, name)
        assert (frame[column] == np.arange(len(frame))).all()
    log, notes = tiny.impressions, tiny.notes
    assert log.user.between(0, len(tiny.users) - 1).all()
    assert log.note.between(0, len(notes) - 1).all()
    assert notes.author.between(0, len(tiny.authors) - 1).all()
    assert (notes.level1 == tiny.categories.level1.to_numpy()[notes.level2]).all()
    assert (notes.level1 == tiny.authors.level1.to_numpy()[notes.author]).all()
    assert (notes.author.value_counts().reindex(range(40), fill_value=0) == tiny.authors.notes).all()
    assert notes.publish_hour.is_monotonic_increasing
    assert (np.diff(notes.keywords.str.split().str.len()) != 0).any()
    assert notes.keywords.str.split().map(lambda words: 3 <= len(set(words)) == len(words) <= 8).all()


def test_values_agree_with_each_other(small: FeedWorld) -> None:
    log, notes = small.impressions, small.notes
    video, shop = (notes.type == "video").to_numpy()[log.note], (notes.has_shop_card == 1).to_numpy()[log.note]
    reactions = ["like", "collect", "share", "comment", "follow", "completed", "cart", "pay"]
    assert set(np.unique(log[["click", *reactions]])) == {0, 1}
    assert log.loc[log.click == 0, [*reactions, "dwell_seconds"]].eq(0).all(axis=None)
    assert (log.loc[log.click == 1, "dwell_seconds"] >= 1).all()
    assert (log.completed <= video).all()
    assert (log.cart <= shop).all()
    assert (log.pay <= log.cart).all()
    length = notes.video_seconds.to_numpy()[log.note]
    finished = log.completed == 1
    assert (log.dwell_seconds[finished] >= length[finished]).all()
    unfinished = (log.click == 1) & video & ~finished
    assert (log.dwell_seconds[unfinished] <= length[unfinished]).all()
    assert ((notes.price > 0) == (notes.has_shop_card == 1)).all()
    assert ((notes.video_seconds > 0) == (notes.type == "video")).all()
    assert ((notes.pictures > 0) == (notes.type == "image")).all()
    assert small.users.age.isna().mean() == pytest.approx(0.4, abs=0.03)
    assert small.users.cell.isna().mean() == pytest.approx(0.5, abs=0.03)
    shown = small.users.cell.notna()
    assert (small.users.cell[shown] == small.users.true_cell[shown]).all()


def test_clicks_ratings_and_slots_are_unique(small: FeedWorld) -> None:
    log = small.impressions
    assert not log[log.click == 1].duplicated(["user", "note"]).any()
    assert not small.ratings.duplicated(["user", "note"]).any()
    assert not log.duplicated(["session", "note"]).any()
    assert (log.groupby("session").position.max() + 1 == log.groupby("session").size()).all()
    rated = small.ratings.merge(log[log.click == 1], on=["user", "note"], suffixes=("", "_log"))
    assert len(rated) == len(small.ratings)
    assert (rated.time == rated.time_log + rated.dwell_seconds).all()
    assert set(np.unique(small.ratings.rating)) == {1, 2, 3, 4, 5}


def test_a_clicked_note_is_not_shown_again(small: FeedWorld) -> None:
    log = small.impressions
    first_click = log[log.click == 1].set_index(["user", "note"]).time
    later = log.join(first_click.rename("clicked_at"), on=["user", "note"])
    assert not (later.time > later.clicked_at).any()


def test_thirty_idle_minutes_split_the_sessions(small: FeedWorld) -> None:
    log = small.impressions.sort_values(["user", "time"], kind="stable")
    gap = log.time.diff() - log.dwell_seconds.shift()
    same_user, same_session = log.user.diff() == 0, log.session.diff() == 0
    assert gap[same_session].between(2, 9).all()
    assert log.time.diff()[same_session].max() < 1_800
    assert gap[same_user & ~same_session].min() > 1_800


def test_calendar(small: FeedWorld) -> None:
    log = small.impressions
    first = log[log.position == 0]
    when = pd.to_datetime(first.time, unit="s")
    assert (when.dt.hour == first.hour_of_day).all()
    assert (when.dt.day_of_week == first.weekday).all()
    assert ((when - pd.Timestamp("2025-03-03")) // pd.Timedelta("1h") == first.hour).all()
    assert (log.holiday == log.hour.floordiv(24).isin(k.HOLIDAYS)).all()


def test_nobody_comes_before_joining(small: FeedWorld) -> None:
    joined = small.users.joined_day.to_numpy()[small.impressions.user]
    assert (small.impressions.hour // 24 >= joined).all()
    assert (small.users.joined_day >= 0).mean() == pytest.approx(0.2, abs=0.03)


# -- truth: behaviour ---------------------------------------------------------------------------------------
def test_p_click_is_the_logged_probability_exactly(tiny: FeedWorld) -> None:
    log = tiny.impressions
    assert (tiny.p_click(log.user, log.note, **context(log)) == log.true_p_click).all()


def test_p_click_is_the_formula_of_the_data_sheet(tiny: FeedWorld) -> None:
    """Row by row in plain floats, from the tables and the taste space; fixed point may differ by its rounding."""
    users, notes, log, crosses = tiny.users, tiny.notes, tiny.impressions, tiny._world.crosses
    keyword = tiny.keyword_names
    for row in range(0, len(log), 997):
        at = log.iloc[row]
        u, n = int(at.user), int(at.note)
        user, note = users.iloc[u], notes.iloc[n]
        slot = tiny._world.users.interest[u].tolist().index(int(at.true_interest))
        block, kind = int(at.hour_of_day) // 4, int(note.type == "video")
        group = 0 if user.true_age < 20 else 1 if user.true_age < 30 else 2 if user.true_age < 40 else 3
        gender, device = ["female", "male"].index(user.gender), ["android", "ios", "tablet"].index(user.device)
        planted = (
            crosses.hour_level1[block, note.level1]
            + crosses.weekend_level1[int(at.weekday >= 5), note.level1]
            + crosses.holiday_level1[int(at.holiday), note.level1]
            + crosses.gender_level1[gender, note.level1]
            + crosses.device_type[device, kind]
            + crosses.age_type_hour[group, kind, block]
        ) / 256
        logit = (
            -4.3
            + user.true_click
            + note.true_quality
            + 0.75 * note.true_bait
            + 0.8 * (note.brand in tiny._world.users.favourite[u])
            + 0.5 * (note.cell == user.true_cell)
            + 1.0 * (keyword[int(at.true_intent)] in note.keywords.split())
            + tiny.interest_vectors[u, slot] @ tiny.latent_vectors[n] / 17 / 256
            + 0.09 * at.herd
            - 0.35 * math.log2(1 + at.position)
            + planted
        )
        expected = 1 / (1 + math.exp(-logit))
        assert at.true_p_click == pytest.approx(expected, rel=0.03)


def test_what_is_left_out_is_averaged_over(tiny: FeedWorld) -> None:
    """Marginal probabilities against the sum over every interest and every intent keyword."""
    rng = np.random.default_rng(0)
    words = tiny._world.catalogue.words_of
    for _ in range(20):
        user, note, hour = int(rng.integers(200)), int(rng.integers(400)), int(rng.integers(336))
        interests = tiny.interests(user, day=hour // 24)
        assert interests.weight.sum() == pytest.approx(1.0)
        click = like = bought = 0.0
        for level2, weight in zip(interests.level2, interests.weight, strict=True):
            for word in words[level2, :10]:
                p = tiny.probabilities(user, note, hour=hour, position=3, interest=level2, intent=word)
                click += weight * p["click"] / 10
                like += weight * p["click"] * p["like"] / 10
                bought += weight * p["click"] * p["cart"] * p["pay"] / 10
        p = tiny.probabilities(user, note, hour=hour, position=3)
        assert p["click"] == pytest.approx(click, rel=1e-9)
        assert p["click"] == tiny.p_click(user, note, hour=hour, position=3)
        assert p["like"] == pytest.approx(like / click, rel=1e-9)
        assert p["ctcvr"] == pytest.approx(bought, rel=1e-9)
        assert p["cvr"] == pytest.approx(bought / click, rel=1e-9)


def test_what_happened_has_the_probabilities_it_should_have(small: FeedWorld) -> None:
    log, notes = small.impressions, small.notes

    def agrees(happened: pd.Series, p: NDArray[np.float64]) -> bool:
        return bool(abs(happened.sum() - p.sum()) <= 4.5 * np.sqrt((p * (1 - p)).sum()))

    for _, rows in log.groupby(pd.qcut(log.true_p_click, 10)):
        assert agrees(rows.click, rows.true_p_click.to_numpy(np.float64))
    of_clicks = log[log.click == 1]
    p = small.probabilities(of_clicks.user, of_clicks.note, **context(of_clicks))
    for task in ("like", "collect", "share", "comment", "follow", "completed", "cart"):
        for part in (p[task] > np.median(p[task]), p[task] <= np.median(p[task])):
            assert agrees(of_clicks[task][part], p[task][part])
    in_cart = (of_clicks.cart == 1).to_numpy()
    assert agrees(of_clicks.pay[in_cart], p["pay"][in_cart])
    assert (p["completed"][(notes.type == "image").to_numpy()[of_clicks.note]] == 0).all()
    assert (p["cart"][(notes.has_shop_card == 0).to_numpy()[of_clicks.note]] == 0).all()


def test_grids_and_pairs_agree(tiny: FeedWorld) -> None:
    users, notes = np.array([5, 3, 5]), np.arange(0, 400, 40)
    grid = tiny.affinity(users[:, None], notes[None, :])
    assert grid.shape == (3, 10)
    pairs = [[float(tiny.affinity(u, n)) for n in notes.tolist()] for u in users.tolist()]
    assert grid == pytest.approx(np.array(pairs), abs=0)
    assert tiny.p_click(users[:, None], notes[None, :]).shape == (3, 10)


def test_similarity(tiny: FeedWorld) -> None:
    assert float(tiny.similarity(7, 7)) == pytest.approx(1.0)
    a = tiny.latent_vectors.astype(float)
    by_hand = sum(a[3] * a[9]) / math.sqrt(sum(a[3] ** 2) * sum(a[9] ** 2))
    assert float(tiny.similarity(3, 9)) == pytest.approx(by_hand)
    assert float(tiny.user_similarity(4, 4)) == pytest.approx(1.0)
    level1, level2 = tiny.notes.level1.to_numpy(), tiny.notes.level2.to_numpy()
    i, j = np.triu_indices(400, 1)
    s = tiny.similarity(i, j)
    same2, same1 = level2[i] == level2[j], level1[i] == level1[j]
    assert s[same2].mean() > 0.6 > s[same1 & ~same2].mean() + 0.15 > 0.3 + s[~same1].mean()


def test_interests_drift_slowly(small: FeedWorld) -> None:
    first, next_, last = (small.interest_weights(day) for day in (0, 1, 27))
    moved = np.abs(first - last).sum(1)[small.users.true_n_interests > 1]
    assert np.abs(first - next_).sum(1).max() < 0.1
    assert 0.1 < moved.mean() < 0.6


def test_session_leads_follow_the_weights(small: FeedWorld) -> None:
    starts = small.impressions[small.impressions.position == 0]
    users = small._world.users
    weights = small.interest_weights(13)
    slot = (users.interest[starts.user] == starts.true_interest.to_numpy()[:, None]).argmax(1)
    expected = weights[starts.user].sum(0)
    found = np.bincount(slot, minlength=6)
    assert found == pytest.approx(expected, rel=0.04)


# -- content ------------------------------------------------------------------------------------------------
def test_content_vectors(small: FeedWorld) -> None:
    for vectors in (small.note_vectors, small.image_vectors, small.text_vectors):
        assert vectors.shape == (6_000, 64)
        assert vectors.dtype == np.float32
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(6_000), abs=1e-6)
    i, j = np.random.default_rng(0).integers(6_000, size=(2, 20_000))
    true = small.similarity(i, j)
    for vectors in (small.note_vectors, small.image_vectors):
        assert np.corrcoef(true, (vectors[i] * vectors[j]).sum(1))[0, 1] > 0.8


def test_images_and_texts_need_aligning_and_can_be_aligned(small: FeedWorld) -> None:
    image, text = small.image_vectors, small.text_vectors
    matched = (small.notes.true_described_as == small.notes.note).to_numpy()
    assert (~matched).mean() == pytest.approx(k.MISMATCHED_PERCENT / 100, abs=0.015)
    assert abs((image * text).sum(1).mean()) < 0.1  # raw dot products mean nothing
    half = np.arange(6_000) < 3_000
    to_text = np.linalg.lstsq(image[half], text[half], rcond=None)[0]
    aligned = image[~half] @ to_text
    cosine = (aligned * text[~half]).sum(1) / np.linalg.norm(aligned, axis=1)
    assert cosine[matched[~half]].mean() > 0.6
    assert cosine[~matched[~half]].mean() < 0.25


# -- bad input ----------------------------------------------------------------------------------------------
def test_bad_arguments_are_named(tiny: FeedWorld) -> None:
    with pytest.raises(ValueError, match="size is 'huge'; choose one of 'tiny', 'small', 'medium'"):
        FeedWorld.generate("huge")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed is -1"):
        FeedWorld.generate("tiny", seed=-1)
    with pytest.raises(TypeError, match=r"seed is 0\.5"):
        FeedWorld.generate("tiny", seed=0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="authors is 3; a world needs at least 12"):
        Size(users=10, notes=500, authors=3, days=2, sessions_per_day=1.0)
    with pytest.raises(ValueError, match="sessions_per_day is 0"):
        Size(users=10, notes=500, authors=20, days=2, sessions_per_day=0)
    with pytest.raises(ValueError, match="days is 2000"):
        Size(users=10, notes=500, authors=20, days=2_000, sessions_per_day=1)
    with pytest.raises(ValueError, match="users contains 200; it must lie between 0 and 199"):
        tiny.p_click(200, 0)
    with pytest.raises(ValueError, match="notes contains -1"):
        tiny.p_click(0, [-1, 3])
    with pytest.raises(TypeError, match="notes has dtype float64"):
        tiny.p_click(0, [0.5])
    with pytest.raises(ValueError, match="hour contains 336; it must lie between 0 and 335"):
        tiny.p_click(0, 0, hour=336)
    with pytest.raises(ValueError, match="position contains 256"):
        tiny.p_click(0, 0, position=256)
    with pytest.raises(ValueError, match=r"hour has shape \(2,\); it must broadcast to \(3,\)"):
        tiny.p_click(0, [1, 2, 3], hour=[1, 2])
    other = next(c for c in range(40) if c not in set(tiny.interests(0).level2))
    with pytest.raises(ValueError, match=rf"interest {other} is not one of user 0's"):
        tiny.p_click(0, 0, interest=other)
    with pytest.raises(ValueError, match="intent is given without interest"):
        tiny.p_click(0, 0, intent=3)
    with pytest.raises(ValueError, match="user contains 900"):
        tiny.interests(900)
    with pytest.raises(ValueError, match="row contains"):
        tiny.slot_propensities(10**9)
    with pytest.raises(ValueError, match="log has run already"):
        next(tiny.days())


def test_smallest_worlds_run() -> None:
    world = FeedWorld.generate(Size(users=1, notes=200, authors=12, days=1, sessions_per_day=0.01), seed=0)
    assert len(world.users) == 1
    assert list(world.impressions.columns) == list(FeedWorld.generate("tiny").impressions.columns)
