"""The facts the book relies on, each over three seeds with a margin: see the list at the end of the data sheet."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import sparse, stats

from rectutor.world import FeedWorld

Array = NDArray[Any]


def clicks(world: FeedWorld) -> pd.DataFrame:
    return world.impressions[world.impressions.click == 1]


def cosine_of_items(world: FeedWorld) -> tuple[Array, Array]:
    """Item-item cosine on clicks [N, N] with a zero diagonal, and clicks of each item [N]."""
    log = clicks(world)
    n_users, n_notes = len(world.users), len(world.notes)
    matrix = sparse.csr_array((np.ones(len(log)), (log.user, log.note)), shape=(n_users, n_notes))
    counts = np.bincount(log.note, minlength=n_notes)
    cosine = (matrix.T @ matrix).toarray() / np.sqrt(np.maximum(np.outer(counts, counts), 1))
    np.fill_diagonal(cosine, 0.0)
    return cosine, counts


def test_popularity_is_zipf_like(study: FeedWorld) -> None:
    for log in (study.impressions, clicks(study)):
        count = np.sort(np.bincount(log.note, minlength=len(study.notes)))[::-1]
        rank = np.arange(1, len(count) + 1)
        head = slice(4, len(count) // 5)  # the top fifth, less the few very first
        fit = stats.linregress(np.log(rank[head]), np.log(count[head]))
        assert -1.2 < fit.slope < -0.4
        assert fit.rvalue**2 > 0.96
    assert count[: len(count) // 10].sum() > 0.5 * count.sum()  # a tenth of the notes gets most of the clicks


def test_histories_are_short_for_many_and_long_for_few(study: FeedWorld) -> None:
    history = np.bincount(clicks(study).user, minlength=len(study.users))
    assert 0.08 < (history < 5).mean() < 0.35
    assert np.quantile(history, 0.95) > 3 * np.median(history)


def test_hot_notes_dominate_item_neighbours(study: FeedWorld) -> None:
    cosine, counts = cosine_of_items(study)
    hottest = np.argsort(-counts, kind="stable")
    hot = hottest[: len(counts) // 100]
    tail = np.flatnonzero((counts >= 1) & (counts <= 5))
    truth = study.similarity(tail[:, None], tail[None, :])
    np.fill_diagonal(truth, -1.0)
    like_hot = (cosine[np.ix_(tail, hot)] > 0).mean()
    like_nearest = (cosine[tail, tail[truth.argmax(1)]] > 0).mean()
    # A tail note looks like a random hot note far more often than like its truly nearest tail note.
    assert like_hot > 1.7 * like_nearest
    # The hottest tenth of the notes makes up over a third of all neighbours (cosine > 0) of tail notes.
    tenth = np.isin(np.arange(len(counts)), hottest[: len(counts) // 10])
    assert (cosine[tail][:, tenth] > 0).sum() > 0.33 * (cosine[tail] > 0).sum()


def test_pearson_finds_the_like_minded_and_cosine_less_so(study: FeedWorld) -> None:
    ratings = study.ratings
    busy = ratings.user.value_counts().index[:250].to_numpy()
    rows = ratings[ratings.user.isin(busy)]
    stars = rows.pivot_table(index="user", columns="note", values="rating")
    truth = rows.pivot_table(index="user", columns="note", values="true_satisfaction")
    agreement: dict[str, list[float]] = {
        "pearson": [],
        "cosine": [],
    }  # rank correlation with the true agreement, one for each user
    values, satisfied = stars.to_numpy(), truth.to_numpy()
    for u in range(len(values)):
        both = np.isfinite(values) & np.isfinite(values[u])
        partners = [v for v in np.flatnonzero(both.sum(1) >= 6) if v != u]
        found = []
        for v in partners:
            x, y = values[u][both[v]], values[v][both[v]]
            if x.std() > 0 and y.std() > 0:
                true = np.corrcoef(satisfied[u][both[v]], satisfied[v][both[v]])[0, 1]
                found.append((np.corrcoef(x, y)[0, 1], x @ y / np.sqrt((x @ x) * (y @ y)), true))
        if len(found) >= 8:
            pearson, cosine, true = np.array(found).T
            agreement["pearson"].append(stats.spearmanr(pearson, true)[0])
            agreement["cosine"].append(stats.spearmanr(cosine, true)[0])
    gain = np.array(agreement["pearson"]) - np.array(agreement["cosine"])
    assert len(gain) > 40
    assert gain.mean() > 0.1
    assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))


def predicted_ratings(train: pd.DataFrame, test: pd.DataFrame, shape: tuple[int, int], centred: bool) -> Array:
    """User-based prediction: raw ratings under cosine, or centred ratings under Pearson (all of a user's ratings)."""
    rated = np.zeros(shape)
    rated[train.user, train.note] = train.rating
    known = rated > 0
    mean = np.where(known.any(1), rated.sum(1) / np.maximum(known.sum(1), 1), train.rating.mean())
    x = np.where(known, rated - mean[:, None], 0.0) if centred else rated
    norm = np.sqrt((x * x).sum(1))
    weight = np.maximum(x @ x.T / np.maximum(np.outer(norm, norm), 1e-12), 0.0)
    np.fill_diagonal(weight, 0.0)
    total = (weight @ known)[test.user, test.note]
    vote = (weight @ x)[test.user, test.note] / np.maximum(total, 1e-12)
    base = mean[test.user]
    return np.asarray(np.where(total > 0, vote + base * centred, base))


def test_pearson_predicts_ratings_better_than_cosine(study: FeedWorld) -> None:
    held_out = np.random.default_rng(0).random(len(study.ratings)) < 0.2
    train, test = study.ratings[~held_out], study.ratings[held_out]
    shape = (len(study.users), len(study.notes))
    rmse = {
        centred: np.sqrt(np.mean((predicted_ratings(train, test, shape, centred) - test.rating) ** 2))
        for centred in (False, True)
    }
    assert rmse[True] < 0.85 * rmse[False]


def test_ctr_falls_with_position_at_equal_affinity(study: FeedWorld) -> None:
    log = study.impressions
    # The same rows asked at each position: everything but the position is equal.
    rows = log.sample(2_000, random_state=0)
    at = [
        study.p_click(
            rows.user, rows.note, hour=rows.hour, position=p, interest=rows.true_interest, intent=rows.true_intent
        )
        for p in (0, 1, 4, 9, 19)
    ]
    assert all((a > b).all() for a, b in pairwise(at))
    # And as a chapter can see it: clicks in bands of equal affinity.
    band = pd.qcut(study.affinity(log.user, log.note), 5, labels=False)
    ctr = log.click.groupby([band, pd.cut(log.position, [-1, 1, 7, 40], labels=False)]).mean().unstack()
    assert (ctr[0] > 1.2 * ctr[1]).all()
    assert (ctr[1] > 1.1 * ctr[2]).all()


def uniform_truth(world: FeedWorld, rows: Array) -> Array:
    """Mean true click probability over all notes each slot could have shown [R, 12]: one column a level-1 category."""
    log, level1 = world.impressions, world.notes.level1.to_numpy()
    result = np.empty((len(rows), 12))
    for i, row in enumerate(rows):
        could = np.flatnonzero(world.slot_propensities(int(row)))
        at = log.iloc[row]
        p = world.p_click(
            int(at.user), could, hour=int(at.hour), position=int(at.position),
            interest=int(at.true_interest), intent=int(at.true_intent),
        )  # fmt: skip
        result[i] = np.bincount(level1[could], weights=p, minlength=12) / len(could)
    return result


def test_the_log_is_confounded_and_inverse_propensities_undo_it(study: FeedWorld) -> None:
    log, level1 = study.impressions, study.notes.level1.to_numpy()
    weight = 1.0 / (log.candidates * log.propensity)
    value = (log.click * weight).to_numpy()
    naive = log.click.mean()
    truth = uniform_truth(study, np.random.default_rng(0).choice(len(log), 400, replace=False))
    true, true_se = truth.sum(1).mean(), truth.sum(1).std() / np.sqrt(len(truth))
    corrected, corrected_se = value.mean(), value.std() / np.sqrt(len(value))
    assert naive > 1.8 * true  # popular, personalised notes are not a sample of the notes
    assert abs(corrected - true) < 4 * np.hypot(corrected_se, true_se)
    assert weight.mean() == pytest.approx(1.0, abs=0.02)
    # The same for the clicks that each category would earn.
    for category in range(12):
        mine = value * (level1[log.note] == category)
        error = np.hypot(mine.std() / np.sqrt(len(mine)), truth[:, category].std() / np.sqrt(len(truth)))
        assert abs(mine.mean() - truth[:, category].mean()) < 4.5 * error


def same_category(world: FeedWorld, log: pd.DataFrame) -> tuple[float, float]:
    """Chance that two clicks of a user share their level-2 category: in one session, and in two."""
    rows = pd.DataFrame({"user": log.user, "session": log.session, "level2": world.notes.level2.to_numpy()[log.note]})

    def pairs(keys: list[str]) -> float:
        n = rows.groupby(keys).size()
        return float((n * (n - 1)).sum())

    same, all_ = pairs(["session", "level2"]), pairs(["session"])
    same_of_user, all_of_user = pairs(["user", "level2"]), pairs(["user"])
    return same / all_, (same_of_user - same) / (all_of_user - all_)


def test_sessions_are_tight(study: FeedWorld) -> None:
    within, between = same_category(study, clicks(study))
    assert within > 1.4 * between
    several = study.users.true_n_interests.to_numpy() >= 3
    log = clicks(study)
    within, between = same_category(study, log[several[log.user]])
    assert within > 1.7 * between


def recall_by_interest(world: FeedWorld, user: int, several: bool) -> float:
    """Recall of the 20 best live notes of each interest, with one vector or one for each interest.

    Vectors are means of the content vectors of clicked notes; both ways retrieve 20 notes an interest.
    """
    hour = 24 * world.size.days - 1
    live = world.live_notes(hour)
    content = world.note_vectors
    mine = world.impressions[(world.impressions.user == user) & (world.impressions.click == 1)]
    groups = [g.note for _, g in mine.groupby("true_interest")] if several else [mine.note]
    interests = world.interests(user).level2
    wanted = [live[np.argsort(-world.p_click(user, live, hour=hour, interest=c))[:20]] for c in interests]
    lists = [live[np.argsort(-(content[live] @ content[notes].mean(0)))] for notes in groups]
    in_turn = np.stack(lists, axis=1).ravel()  # the first of each list, the second of each, ...
    first_seen = np.sort(np.unique(in_turn, return_index=True)[1])
    found = in_turn[first_seen[: 20 * len(interests)]]
    return float(np.mean([np.isin(w, found).mean() for w in wanted]))


def test_one_vector_loses_the_recall_of_users_with_several_interests(study: FeedWorld) -> None:
    count = study.users.true_n_interests.to_numpy()
    assert 0.35 < (count >= 3).mean() < 0.85
    busy = np.bincount(clicks(study).user, minlength=len(count)) >= 15
    recall = {}
    for name, chosen in {"one": count == 1, "several": count >= 4}.items():
        users = np.flatnonzero(chosen & busy)[:40]
        recall[name] = np.array([[recall_by_interest(study, u, s) for s in (False, True)] for u in users.tolist()])
    gain = recall["several"][:, 1] - recall["several"][:, 0]
    assert gain.mean() > 0.06
    assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))
    assert recall["one"][:, 0].mean() > recall["several"][:, 0].mean() + 0.06
    assert np.allclose(recall["one"][:, 0], recall["one"][:, 1])


def test_cvr_over_clicks_is_not_cvr_over_impressions(study: FeedWorld) -> None:
    log = study.impressions
    log = log[study.notes.has_shop_card.to_numpy()[log.note] == 1]
    cvr = study.probabilities(
        log.user, log.note, hour=log.hour, position=log.position, interest=log.true_interest, intent=log.true_intent
    )["cvr"]
    over_clicks, over_impressions = cvr[log.click == 1].mean(), cvr.mean()
    assert over_clicks > 2 * over_impressions
    bought = log.pay[log.click == 1]
    assert abs(bought.mean() - over_clicks) < 4 * bought.std() / np.sqrt(len(bought))


def test_tasks_conflict_on_bait(study: FeedWorld) -> None:
    bait = study.notes.true_bait.to_numpy() > 0
    video = (study.notes.type == "video").to_numpy()
    log, of_clicks = study.impressions, clicks(study)
    assert log.click[bait[log.note]].mean() > 1.4 * log.click[~bait[log.note]].mean()
    watched = of_clicks[video[of_clicks.note]]
    assert watched.completed[bait[watched.note]].mean() < 0.6 * watched.completed[~bait[watched.note]].mean()
    assert of_clicks.like[bait[of_clicks.note]].mean() < 0.7 * of_clicks.like[~bait[of_clicks.note]].mean()


def test_new_notes_get_a_thirtieth_of_the_exposure(study: FeedWorld) -> None:
    age = study.impressions.hour.to_numpy() - study.notes.publish_hour.to_numpy()[study.impressions.note]
    assert 0 <= age.min() < age.max() < 30 * 24
    share = (age < 24).mean()
    assert 1 / 42 < share < 1 / 21
    assert study.propensity(0, study.live_notes(300), hour=300).sum() == pytest.approx(1.0, abs=1e-12)


def test_motivation_rises_with_early_exposure(study: FeedWorld) -> None:
    log, notes = study.impressions, study.notes
    age = log.hour.to_numpy() - notes.publish_hour.to_numpy()[log.note]
    early = np.bincount(log.note[age < 24], minlength=len(notes))
    recent = notes.publish_hour.to_numpy() >= 0
    exposure = pd.Series(np.log2(1 + early[recent])).groupby(notes.author.to_numpy()[recent]).mean()
    motivation = study.authors.true_motivation[exposure.index]
    assert stats.spearmanr(exposure, motivation)[0] > 0.3
