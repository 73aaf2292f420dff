"""FeedWorld.session_value against brute force through p_click, against simulated sessions, and in its limits."""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rectutor.world import FeedWorld

HOUR = 200


def own_words(world: FeedWorld, level2: int) -> list[int]:
    """Codes of a category's ten own keywords, found by name: ``food-a-07`` belongs to ``food-a``."""
    name = world.categories.name[level2]
    return [code for code, word in enumerate(world.keyword_names) if word.rsplit("-", 1)[0] == name]


def hidden_states(world: FeedWorld, user: int, day: int) -> list[tuple[float, int, int]]:
    """Chance, leading interest and intent keyword of every kind of session a user may have."""
    return [
        (row.weight / 10, int(row.level2), word)
        for row in world.interests(user, day).itertuples()
        for word in own_words(world, int(row.level2))
    ]


def click_chances(
    world: FeedWorld, user: int, notes: list[int], hour: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Chance of every hidden state [S], and the click probability of every place of the list in it [S, k]."""
    chance, interest, intent = (
        np.array(column) for column in zip(*hidden_states(world, user, hour // 24), strict=True)
    )
    at: dict[str, Any] = {
        "hour": hour,
        "position": np.arange(len(notes)),
        "interest": interest[:, None],
        "intent": intent[:, None],
    }
    return chance, world.p_click(user, np.tile(notes, (len(chance), 1)), **at)


def worth(clicks: int, saturation: float) -> float:
    """The c-th click is worth (1 - s)**(c - 1); 0**0 is 1."""
    return math.fsum((1 - saturation) ** c for c in range(clicks))


def by_outcomes(world: FeedWorld, user: int, notes: list[int], saturation: float, hour: int) -> float:
    """The definition itself: every hidden state, every pattern of clicks."""
    value = 0.0
    for chance, p in zip(*click_chances(world, user, notes, hour), strict=True):
        for pattern in itertools.product((0, 1), repeat=len(notes)):
            value += (
                chance
                * math.prod(q if c else 1 - q for q, c in zip(p, pattern, strict=True))
                * worth(sum(pattern), saturation)
            )
    return value


@pytest.fixture(scope="module")
def lists(tiny: FeedWorld) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Twelve users of one to six interests, each with the twenty notes that suit it best or worst."""
    order = tiny.users.sort_values("true_n_interests", kind="stable").user.to_numpy()
    users = order[np.linspace(0, len(order) - 1, 12).astype(int)]
    p = tiny.p_click(users[:, None], np.arange(400)[None, :], hour=HOUR)
    ranked = np.argsort(-p, axis=1, kind="stable")
    return users, np.hstack([ranked[:, :15], ranked[:, -5:]])


def test_a_user_with_one_interest_by_hand(tiny: FeedWorld) -> None:
    """Two notes without the keyword but in one state of ten: V = E[p + q - s p q]."""
    user = int(np.flatnonzero(tiny.users.true_n_interests == 1)[0])
    level2 = int(tiny.interests(user).level2[0])
    name = tiny.categories.name[level2]
    inside = tiny.notes[tiny.notes.level2 == level2]
    first = inside[inside.keywords.str.contains(f"{name}-")].index[0]
    outside = tiny.notes[tiny.notes.level1 != tiny.categories.level1[level2]].index[0]
    words = [w for w in tiny.notes.keywords[first].split() if w.rsplit("-", 1)[0] == name]
    share = len(words) / 10
    code = list(tiny.keyword_names).index(words[0])
    other = next(w for w in own_words(tiny, level2) if tiny.keyword_names[w] not in words)
    at = {"interest": level2, "hour": HOUR}
    with_word, without = (tiny.p_click(user, first, intent=w, **at) for w in (code, other))
    q = tiny.p_click(user, outside, position=1, **at)
    assert with_word > 1.5 * without
    p = share * with_word + (1 - share) * without
    for s in (0.25, 1.0):
        got = tiny.session_value([user], [[first, outside]], saturation=s, hour=HOUR)
        assert got == pytest.approx([p + q - s * p * q], rel=1e-12)


@pytest.mark.parametrize("saturation", [0.0, 0.2, 0.5, 1.0])
def test_it_is_the_mean_over_every_pattern_of_clicks(
    tiny: FeedWorld, lists: tuple[NDArray[np.int64], NDArray[np.int64]], saturation: float
) -> None:
    users, notes = lists[0], lists[1][:, [0, 3, 9, 14, 16]]
    got = tiny.session_value(users, notes, saturation=saturation, hour=HOUR)
    expected = [
        by_outcomes(tiny, u, row, saturation, HOUR) for u, row in zip(users.tolist(), notes.tolist(), strict=True)
    ]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("saturation", [1e-3, 0.2, 0.5, 1.0])
def test_it_is_the_product_formula_at_full_length(
    tiny: FeedWorld, lists: tuple[NDArray[np.int64], NDArray[np.int64]], saturation: float
) -> None:
    users, notes = lists
    expected = []
    for user, row in zip(users.tolist(), notes.tolist(), strict=True):
        states = zip(*click_chances(tiny, user, row, HOUR), strict=True)
        expected.append(sum(c * (1 - math.prod(1 - saturation * p)) / saturation for c, p in states))
    np.testing.assert_allclose(tiny.session_value(users, notes, saturation=saturation, hour=HOUR), expected, rtol=1e-11)


def test_without_saturation_it_is_the_expected_number_of_clicks(
    tiny: FeedWorld, lists: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> None:
    users, notes = lists
    expected = tiny.p_click(users[:, None], notes, hour=HOUR, position=np.arange(20)).sum(1)
    np.testing.assert_allclose(tiny.session_value(users, notes, saturation=0, hour=HOUR), expected, rtol=1e-12)
    for s in (1e-15, 1e-9, 1e-6):  # pairs cost at most s (k - 1) / 2; naively every digit is lost at 1e-15
        np.testing.assert_allclose(
            tiny.session_value(users, notes, saturation=s, hour=HOUR), expected, rtol=10 * s + 1e-12
        )


def test_one_click_is_all_when_saturation_is_one(
    tiny: FeedWorld, lists: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> None:
    """Simulated sessions: draw interest, intent and clicks, count those with a click."""
    rng, draws = np.random.default_rng(0), 200_000
    for user, row in zip(lists[0][::3].tolist(), lists[1][::3].tolist(), strict=True):
        chance, p = click_chances(tiny, user, row, HOUR)
        state = rng.choice(len(chance), draws, p=chance / chance.sum())
        clicked = rng.random((draws, 20)) < p[state]
        value = tiny.session_value([user], [row], hour=HOUR)[0]
        error = math.sqrt(value * (1 - value) / draws)
        assert abs(clicked.any(1).mean() - value) < 4 * error
        worths = np.array([worth(c, 0.5) for c in range(21)])[clicked.sum(1)]
        half = tiny.session_value([user], [row], saturation=0.5, hour=HOUR)[0]
        assert abs(worths.mean() - half) < 4 * worths.std() / math.sqrt(draws)


def test_more_saturation_is_worth_less(tiny: FeedWorld, lists: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    values = np.array([tiny.session_value(*lists, saturation=s) for s in (0.0, 0.1, 0.2, 0.5, 0.9, 1.0)])
    assert (np.diff(values, axis=0) < 0).all()
    assert (values[-1] < 1).all()
    assert (values[0] > 1).any()


def test_hedging_pays_only_under_saturation(small: FeedWorld) -> None:
    """The point of the measure: half of each interest against all of the better one."""
    users = np.flatnonzero(small.users.true_n_interests == 2)[:200]
    level2 = np.array([small.interests(u).level2.to_numpy() for u in users])  # the stronger first
    pool = small.live_notes(671)
    mixed, single = [], []
    for user, (a, b) in zip(users, level2, strict=True):
        best = {z: pool[np.argsort(-small.p_click(user, pool, interest=z))] for z in (a, b)}
        single.append(best[a][:10])
        pairs = zip(best[a][:30], best[b][:30], strict=True)
        mixed.append(list(dict.fromkeys(n for pair in pairs for n in pair))[:10])
    gain = {
        s: small.session_value(users, mixed, saturation=s) - small.session_value(users, single, saturation=s)
        for s in (0, 1)
    }
    assert gain[1].mean() > 0.1
    assert gain[0].mean() < -0.1


def test_padding_and_context(tiny: FeedWorld, lists: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    users, notes = lists
    padded = notes.copy()
    padded[:, 7:] = -1
    padded[0] = -1
    short = tiny.session_value(users, notes[:, :7], hour=HOUR)
    np.testing.assert_allclose(tiny.session_value(users, padded, hour=HOUR)[1:], short[1:], rtol=1e-14)
    assert tiny.session_value(users, padded, hour=HOUR)[0] == 0
    assert tiny.session_value(users, notes[:, :0]).tolist() == [0.0] * 12
    assert tiny.session_value(np.empty(0, int), np.empty((0, 5), int)).shape == (0,)
    last = tiny.session_value(users, notes)
    assert (last == tiny.session_value(users, notes, hour=335)).all()
    mixed = tiny.session_value(users, notes, hour=np.arange(12) * 10)
    alone = [tiny.session_value(users[i : i + 1], notes[i : i + 1], hour=10 * i)[0] for i in range(12)]
    np.testing.assert_allclose(mixed, alone, rtol=1e-14)
    assert not np.allclose(mixed, last)
    assert (tiny.session_value(users, notes) == tiny.session_value(users, notes.astype(np.int32), saturation=1)).all()


def test_a_thousand_lists_take_well_under_a_second(small: FeedWorld) -> None:
    rng = np.random.default_rng(1)
    users = rng.integers(0, 4_000, 1_000)
    notes = np.array([rng.choice(6_000, 20, replace=False) for _ in users])
    start = time.perf_counter()
    small.session_value(users, notes)
    assert time.perf_counter() - start < 1


def test_bad_input_is_named(tiny: FeedWorld) -> None:
    for bad in (-0.1, 1.01, math.nan):
        with pytest.raises(ValueError, match=rf"saturation is {bad}; it must lie between 0 and 1"):
            tiny.session_value([0], [[1, 2]], saturation=bad)
    for users, notes in (([0, 1], [[1, 2]]), ([0], [1, 2]), (0, [[1, 2]]), ([0], [[[1]]])):
        with pytest.raises(ValueError, match=r"give users \[U\] and lists \[U, k\]"):
            tiny.session_value(users, notes)
    with pytest.raises(ValueError, match="note 7 twice in row 1"):
        tiny.session_value([0, 1], [[7, 3, 9, -1], [7, 3, 9, 7]])
    with pytest.raises(ValueError, match="behind -1"):
        tiny.session_value([0], [[1, -1, 2]])
    with pytest.raises(ValueError, match="lists contains 400; it must lie between 0 and 399"):
        tiny.session_value([0], [[1, 400]])
    with pytest.raises(ValueError, match="lists contains -2"):
        tiny.session_value([0], [[1, -2]])
    with pytest.raises(ValueError, match="users contains 200"):
        tiny.session_value([200], [[1, 2]])
    with pytest.raises(TypeError, match="lists has dtype float64"):
        tiny.session_value([0], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="hour contains 336"):
        tiny.session_value([0], [[1, 2]], hour=336)
    with pytest.raises(ValueError, match=r"hour has shape \(2,\); it must broadcast to \(1,\)"):
        tiny.session_value([0], [[1, 2]], hour=[3, 4])
    with pytest.raises(ValueError, match="position contains 256"):
        tiny.session_value([0], [np.arange(257)])
