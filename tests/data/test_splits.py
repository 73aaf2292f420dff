from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rectutor.data import (
    Interactions,
    Split,
    align,
    check_no_leak,
    k_core,
    leave_one_out,
    only_known,
    random_split,
    time_split,
    union,
    user_time_split,
)

LOGS = st.dictionaries(st.tuples(st.integers(0, 5), st.integers(0, 7)), st.integers(0, 12), min_size=1, max_size=40)


def make(pairs: dict[tuple[int, int], int]) -> Interactions:
    return Interactions.from_arrays([u for u, _ in pairs], [i for _, i in pairs], time=list(pairs.values()))


def rows(part: Interactions) -> set[tuple[Any, Any]]:
    return set(zip(part.user_ids[part.user].tolist(), part.item_ids[part.item].tolist()))


def assert_parts_of(split: Split, whole: Interactions) -> None:
    parts = [rows(part) for part in split]
    assert sum(map(len, parts)) == len(whole)
    assert set().union(*parts) == rows(whole)
    for part in split:
        assert part.user_ids is whole.user_ids
        assert part.item_ids is whole.item_ids


# -- by time ---------------------------------------------------------------------------------------
@given(LOGS, st.sampled_from([0.0, 0.1, 0.25, 0.5]), st.sampled_from([0.0, 0.1, 0.3]))
def test_time_split_cuts_at_two_moments(pairs: dict[tuple[int, int], int], test: float, valid: float) -> None:
    log = make(pairs)
    try:
        split = time_split(log, test=test, valid=valid)
    except ValueError as error:
        assert "part is empty" in str(error)  # noqa: PT017
        return
    assert_parts_of(split, log)
    assert len(split.test) >= round(test * len(log))
    times = [set() if part.time is None else set(part.time.tolist()) for part in split]
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        if times[earlier] and times[later]:
            assert max(times[earlier]) < min(times[later])  # strictly: ties stay on one side
    check_no_leak(split.train, split.test)
    check_no_leak(split.train, split.valid)


def test_time_split_sends_ties_to_the_later_side() -> None:
    log = Interactions.from_arrays([1] * 6, range(6), time=[1, 2, 3, 3, 3, 4])
    split = time_split(log, test=1 / 6, valid=1 / 6)
    assert [part.item.tolist() for part in split] == [[0, 1], [2, 3, 4], [5]]


def test_time_split_without_validation() -> None:
    log = Interactions.from_arrays([1] * 4, range(4), time=[4, 3, 2, 1])
    split = time_split(log, test=0.5, valid=0)
    assert [part.item.tolist() for part in split] == [[2, 3], [], [0, 1]]


def test_time_split_bad_input() -> None:
    log = Interactions.from_arrays([1, 1, 1], [1, 2, 3], time=[5, 5, 5])
    with pytest.raises(ValueError, match="the train part is empty: too many of the 3 rows share the time of the cut"):
        time_split(log, test=0.34, valid=0)
    with pytest.raises(ValueError, match="the valid part is empty: 3 rows"):
        time_split(log, test=0.34, valid=0.1)
    with pytest.raises(ValueError, match=r"test is 1\.5; a share"):
        time_split(log, test=1.5)
    with pytest.raises(ValueError, match=r"test \+ valid is 1\.0"):
        time_split(log, test=0.5, valid=0.5)
    with pytest.raises(ValueError, match="time_split needs times"):
        time_split(Interactions.from_arrays([1], [1]))
    with pytest.raises(ValueError, match="interactions are empty; time_split"):
        time_split(log.subset(np.zeros(3, dtype=bool)))


# -- leave one out ---------------------------------------------------------------------------------
@given(LOGS, st.booleans())
def test_leave_one_out_like_sorting_each_history(pairs: dict[tuple[int, int], int], valid: bool) -> None:
    expected: list[set[tuple[int, int]]] = [set(), set(), set()]
    for user in {u for u, _ in pairs}:
        history = [i for _, i in sorted((time, i) for (u, i), time in pairs.items() if u == user)]
        held = (2 if valid else 1) if len(history) > (2 if valid else 1) else 0
        expected[0] |= {(user, i) for i in history[: len(history) - held]}
        if held:
            expected[2].add((user, history[-1]))
        if held == 2:
            expected[1].add((user, history[-2]))
    assume(expected[2])
    log = make(pairs)
    split = leave_one_out(log, valid=valid)
    assert [rows(part) for part in split] == expected
    assert_parts_of(split, log)
    check_no_leak(split.train, split.test, order="user")


def test_leave_one_out_bad_input() -> None:
    log = Interactions.from_arrays([1, 1, 2], [1, 2, 1], time=[1, 2, 3])
    with pytest.raises(ValueError, match=r"no user has the 3 rows that leave_one_out\(valid=True\) needs; .* has 2"):
        leave_one_out(log)
    with pytest.raises(ValueError, match="leave_one_out needs times"):
        leave_one_out(Interactions.from_arrays([1, 1], [1, 2]))


def test_leave_one_out_ties_do_not_depend_on_the_row_order() -> None:
    users, items = [1, 1, 1], ["c", "a", "b"]
    for order in ([0, 1, 2], [2, 0, 1]):
        log = Interactions.from_arrays(users, [items[k] for k in order], time=[9, 9, 9])
        split = leave_one_out(log)
        assert rows(split.test) == {(1, "c")}
        assert rows(split.valid) == {(1, "b")}


# -- by time within each user ----------------------------------------------------------------------
@given(LOGS, st.sampled_from([0.0, 0.1, 0.3, 0.5]), st.sampled_from([0.0, 0.2]))
def test_user_time_split_like_sorting_each_history(
    pairs: dict[tuple[int, int], int], test: float, valid: float
) -> None:
    expected: list[set[tuple[int, int]]] = [set(), set(), set()]
    for user in {u for u, _ in pairs}:
        history = [i for _, i in sorted((time, i) for (u, i), time in pairs.items() if u == user)]
        n_test, n_valid = round(test * len(history)), round(valid * len(history))
        n_train = len(history) - n_test - n_valid
        for part, some in zip(expected, (history[:n_train], history[n_train:][:n_valid], history[n_train + n_valid :])):
            part |= {(user, i) for i in some}
    log = make(pairs)
    if not expected[0] or (test and not expected[2]) or (valid and not expected[1]):
        with pytest.raises(ValueError, match="part is empty"):
            user_time_split(log, test=test, valid=valid)
        return
    split = user_time_split(log, test=test, valid=valid)
    assert [rows(part) for part in split] == expected
    assert_parts_of(split, log)
    check_no_leak(split.train, split.test, order="user")


# -- at random -------------------------------------------------------------------------------------
def test_random_split_sizes_and_seed() -> None:
    log = Interactions.from_arrays(np.repeat(range(20), 10), np.tile(range(10), 20))
    split = random_split(log, test=0.25, valid=0.1, seed=3)
    assert_parts_of(split, log)
    assert [len(part) for part in split] == [130, 20, 50]
    assert rows(random_split(log, test=0.25, valid=0.1, seed=3).test) == rows(split.test)
    assert rows(random_split(log, test=0.25, valid=0.1, seed=np.random.default_rng(3)).test) == rows(split.test)
    assert rows(random_split(log, test=0.25, valid=0.1, seed=4).test) != rows(split.test)


def test_random_split_gives_every_row_the_same_chance() -> None:
    log = Interactions.from_arrays([0] * 10, range(10))
    runs = 2000
    hits = Counter(
        i for seed in range(runs) for i in random_split(log, test=0.3, valid=0, seed=seed).test.item.tolist()
    )
    # each count is Binomial(2000, .3): mean 600, sd 20.5; the ten stay within 5 sd but for one run in 10^5
    assert max(abs(hits[i] - 600) for i in range(10)) < 5 * 20.5


def test_random_split_too_small() -> None:
    log = Interactions.from_arrays([0, 0], [0, 1])
    with pytest.raises(ValueError, match=r"the test part is empty: 2 rows with test=0\.1"):
        random_split(log, seed=0)


# -- unseen users and items ------------------------------------------------------------------------
def test_only_known_counts_what_it_drops() -> None:
    log = Interactions.from_arrays([0, 0, 1, 1, 2, 0, 2], [0, 1, 0, 5, 6, 7, 0], time=[1, 2, 3, 4, 5, 6, 7])
    split = time_split(log, test=4 / 7, valid=0)
    with pytest.raises(ValueError, match=r"no row is left, dropped rows: 4 \(2 of new users, 3 of new items\)"):
        only_known(split.test, split.train)
    split = time_split(log, test=2 / 7, valid=0)
    kept, dropped = only_known(split.test, split.train)
    assert rows(kept) == {(2, 0)}
    assert str(dropped) == "dropped rows: 1 (0 of new users, 1 of new items)"


def test_only_known_needs_common_vocabularies() -> None:
    with pytest.raises(ValueError, match=r"different user vocabularies, so their codes differ: use align\(\)"):
        only_known(Interactions.from_arrays([1], [1]), Interactions.from_arrays([2], [1]))


# -- leaks -----------------------------------------------------------------------------------------
def test_leaks_are_named() -> None:
    log = Interactions.from_arrays(["a", "a", "b", "b"], [1, 2, 1, 2], time=[10, 40, 20, 30])
    first, last = log.subset(np.array([0, 1])), log.subset(np.array([2, 3]))
    with pytest.raises(
        ValueError, match=r"test row \(user b, item 1\) at time 20 is older than a training row at time 40"
    ):
        check_no_leak(first, last)
    check_no_leak(first, last, order="user")
    check_no_leak(first, last, order="none")
    with pytest.raises(ValueError, match=r"user a, item 2 is in training too \(1 such pairs\)"):
        check_no_leak(log.subset(np.array([1, 2])), log.subset(np.array([1, 3])), order="none")
    with pytest.raises(ValueError, match=r"user a, item 1\) at time 10 is older than a training row at time 40"):
        check_no_leak(log.subset(np.array([1])), log.subset(np.array([0])), order="user")
    with pytest.raises(ValueError, match="order is 'time'"):
        check_no_leak(first, last, order="time")  # type: ignore[arg-type]


def test_leak_check_needs_times_to_compare_them() -> None:
    log = Interactions.from_arrays([1, 1], [1, 2])
    split = random_split(log, test=0.5, valid=0, seed=0)
    with pytest.raises(ValueError, match='say order="none"'):
        check_no_leak(split.train, split.test)
    check_no_leak(split.train, split.test, order="none")


# -- cores -----------------------------------------------------------------------------------------
@given(LOGS, st.integers(1, 4), st.integers(1, 4))
def test_k_core_like_peeling_one_at_a_time(pairs: dict[tuple[int, int], int], user: int, item: int) -> None:
    left = set(pairs)
    while True:
        users, items = Counter(u for u, _ in left), Counter(i for _, i in left)
        thin = next((p for p in sorted(left) if users[p[0]] < user or items[p[1]] < item), None)
        if thin is None:
            break
        left.remove(thin)
    if not left:
        with pytest.raises(ValueError, match="no row is left in the core"):
            k_core(make(pairs), user=user, item=item)
        return
    core = k_core(make(pairs), user=user, item=item)
    assert rows(core) == left
    assert core.user_ids.tolist() == sorted({u for u, _ in left})
    assert core.item_ids.tolist() == sorted({i for _, i in left})
    assert core.time is not None
    assert dict(zip(zip(core.frame()["user"], core.frame()["item"]), core.time.tolist())) == {p: pairs[p] for p in left}


def test_k_core_threshold() -> None:
    with pytest.raises(ValueError, match="user is 0"):
        k_core(Interactions.from_arrays([1], [1]), user=0)


# -- common vocabularies ---------------------------------------------------------------------------
@given(LOGS, LOGS)
def test_align_keeps_rows_and_shares_ids(one: dict[tuple[int, int], int], two: dict[tuple[int, int], int]) -> None:
    a, b = align(make(one), make(two), item_ids=[100])
    assert rows(a) == set(one)
    assert rows(b) == set(two)
    assert a.user_ids is b.user_ids
    assert a.item_ids.tolist() == sorted({i for _, i in [*one, *two]} | {100})
    assert (np.diff(a.user.astype(int) * a.n_items + a.item) > 0).all()


@given(LOGS, st.integers(0, 2**32))
def test_union_puts_parts_together_again(pairs: dict[tuple[int, int], int], seed: int) -> None:
    log = make(pairs)
    mask = np.random.default_rng(seed).random(len(log)) < 0.5
    whole = union(log.subset(mask), log.subset(~mask))
    assert whole.frame().equals(log.frame())
    assert whole.user_ids is log.user_ids


def test_union_bad_input() -> None:
    log = Interactions.from_arrays([1, 1], ["a", "b"], time=[1, 2])
    with pytest.raises(ValueError, match="user 1, item b is in both parts"):
        union(log, log.subset(np.array([1])))
    with pytest.raises(ValueError, match="different item vocabularies"):
        union(log, Interactions.from_arrays([1], ["c"], time=[1]))
    other = Interactions.from_arrays([1], ["a"], like=log)
    with pytest.raises(ValueError, match="one part has times and the other has none"):
        union(other, log.subset(np.array([1])))


def test_align_refuses_text_with_integers() -> None:
    with pytest.raises(ValueError, match="user ids are integers in one part and text in another"):
        align(Interactions.from_arrays([1], [1]), Interactions.from_arrays(["1"], [1]))
