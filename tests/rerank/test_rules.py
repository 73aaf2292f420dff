"""Rules: what they hold, what they allow, and that a slate holds them or says where it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rectutor.rerank import InfeasibleError, MaxInPrefix, MaxInWindow, MaxRun, Note, Rule, Slate, dpp, mmr
from tests.rerank.problems import KINDS, random_columns, random_rules, seeds, single_rules, unit_rows

lists = st.lists(st.sampled_from(KINDS), max_size=9)


def number(x: Any) -> Any:
    """What type checkers would refuse."""
    return x


# -- one rule --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (MaxRun("x", 5), "vvvvvivvvvv", "vvvvvv"),
        (MaxRun("x", 1), "abab", "abba"),
        (MaxRun("x", 1, value="v"), "iiivii", "ivvi"),
        (MaxInWindow("x", 1, window=9, value="p"), "p........p", "p.......p."),
        (MaxInWindow("x", 2, window=3), "aabaab", "abaaab"),
        (MaxInPrefix("x", 0, prefix=1, value="s"), ".ss", "s.."),
        (MaxInPrefix("x", 1, prefix=4, value="s"), "..s.s", "..ss"),
        (MaxInPrefix("x", 1, prefix=3), "abcaaa", "aba"),
    ],
)
def test_worked_by_hand(rule: Rule, good: str, bad: str) -> None:
    assert rule.holds(list(good))
    assert not rule.holds(list(bad))


def literally(rule: Rule, kinds: Sequence[Any]) -> bool:
    """The rule in words, over every stretch and every kind, without the library's counting."""
    if isinstance(rule, MaxInPrefix):
        stretches = [kinds[: rule.prefix]]
    else:
        size = rule.window if isinstance(rule, MaxInWindow) else rule.most + 1
        stretches = [kinds[i : i + size] for i in range(len(kinds))]
    value = getattr(rule, "value", None)
    counted = {k for k in kinds if k is not None and (value is None or k == value)}
    return not any(sum(k == kind for k in stretch) > rule.most for stretch in stretches for kind in counted)


@given(single_rules(), lists)
def test_holds_is_the_rule_in_words(rule: Rule, kinds: list[Any]) -> None:
    assert rule.holds(kinds) == literally(rule, kinds)


@given(single_rules(), lists)
def test_a_list_holds_a_rule_if_every_item_was_allowed_in_its_turn(rule: Rule, kinds: list[Any]) -> None:
    assert rule.holds(kinds) == all(rule.allows(kinds[:t], kinds[t]) for t in range(len(kinds)))


@given(single_rules(), lists)
def test_missing_values_are_of_no_kind_whatever_stands_for_them(rule: Rule, kinds: list[Any]) -> None:
    blanks = [float("nan") if kind is None else kind for kind in kinds]
    assert rule.holds(blanks) == rule.holds(kinds)
    assert rule.allows(kinds, float("nan"))


@given(single_rules(), lists)
def test_limits_say_the_same_in_numbers(rule: Rule, kinds: list[Any]) -> None:
    span, until = rule.limits()
    for t, kind in enumerate(kinds):
        above = kinds[max(0, t - span + 1) : t]
        free = t >= until or not rule.counts(kind) or above.count(kind) < rule.most
        assert rule.allows(kinds[:t], kind) == free


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: MaxRun("x", 0), ValueError, "most of MaxRun is 0; it must be at least 1"),
        (lambda: MaxRun("x", number(1.0)), TypeError, "most of MaxRun is 1.0; give a whole number"),
        (lambda: MaxRun("x", True), TypeError, "most of MaxRun is True; give a whole number"),
        (lambda: MaxInWindow("x", 0, window=3), ValueError, "most of MaxInWindow is 0; it must be at least 1"),
        (lambda: MaxInWindow("x", 3, window=3), ValueError, "window of MaxInWindow is 3; it must be at least 4"),
        (lambda: MaxInPrefix("x", -1, prefix=3), ValueError, "most of MaxInPrefix is -1; it must be at least 0"),
        (lambda: MaxInPrefix("x", 0, prefix=0), ValueError, "prefix of MaxInPrefix is 0; it must be at least 1"),
        (
            lambda: MaxInPrefix("x", 0, prefix=number(2.5)),
            TypeError,
            "prefix of MaxInPrefix is 2.5; give a whole number",
        ),
    ],
)
def test_limits_that_are_none_are_refused(make: Callable[[], Rule], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == words


# -- slates ----------------------------------------------------------------------------------------------------
Rerank = Callable[..., Slate]
both = pytest.mark.parametrize("rerank", [mmr, dpp])
EQUAL = np.ones((6, 1))
"""Six candidates that MMR tells apart by reward alone."""
REWARD = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])


def column(letters: str) -> dict[str, list[str]]:
    return {"x": list(letters)}


@pytest.mark.parametrize(
    ("letters", "rule", "order"),
    [
        ("vvviii", MaxRun("x", 2), [0, 1, 3, 2, 4, 5]),
        ("vvviii", MaxRun("x", 1), [0, 3, 1, 4, 2, 5]),
        ("ppp...", MaxInWindow("x", 1, window=3, value="p"), [0, 3, 4, 1, 5]),
        ("sssiii", MaxInPrefix("x", 0, prefix=1, value="s"), [3, 0, 1, 2, 4, 5]),
        ("sssiii", MaxInPrefix("x", 1, prefix=4, value="s"), [0, 3, 4, 5, 1, 2]),
        ("sssiii", MaxInPrefix("x", 2, prefix=3), [0, 1, 3, 2, 4, 5]),
    ],
)
def test_slates_worked_by_hand(letters: str, rule: Rule, order: list[int]) -> None:
    slate = mmr(REWARD, EQUAL, k=len(order), theta=0.9, rules=(rule,), attributes=column(letters))
    assert slate.order.tolist() == order
    assert slate.notes == ()


def test_rules_compose() -> None:
    rules = (
        MaxInPrefix("shop", 0, prefix=1, value=True),
        MaxInWindow("promoted", 1, window=3, value=True),
        MaxRun("type", 2),
    )
    attributes = pd.DataFrame(
        {
            "type": ["v", "v", "v", "i", "i", "v"],
            "promoted": [True, True, False, False, False, False],
            "shop": [True, False, False, False, False, False],
        }
    )
    # 0 is a shop card; 1 blocks 0 for two places; the third video in a row is not allowed
    assert mmr(REWARD, EQUAL, k=6, rules=rules, attributes=attributes).order.tolist() == [1, 2, 3, 0, 4, 5]


@settings(deadline=None, max_examples=150)
@given(seeds, st.integers(1, 3), st.sampled_from([None, 2]), st.sampled_from([mmr, dpp]))
def test_every_violation_is_noted_and_every_note_is_a_violation(
    seed: int, count: int, window: int | None, rerank: Rerank
) -> None:
    rng = np.random.default_rng(seed)
    n = 12
    rules, attributes = random_rules(rng, count), random_columns(rng, n)
    given_ = {"k": int(rng.integers(1, n + 1)), "window": window, "rules": rules, "attributes": attributes}
    slate = rerank(np.sort(rng.random(n))[::-1], unit_rows(rng, n, 20), **given_, infeasible="relax")
    order = slate.order.tolist()
    assert len(set(order)) == given_["k"]

    def broken(rule: Rule, above: list[int], i: int) -> bool:
        kinds = attributes[rule.column]
        return not rule.allows([kinds[j] for j in above], kinds[i])

    noted = {note.position: note for note in slate.notes}
    for t, i in enumerate(order):
        violated = [rule for rule in rules if broken(rule, order[:t], i)]
        assert bool(violated) == (t in noted)
        if violated:
            note = noted[t]
            left = sorted(set(range(n)) - set(order[:t]))
            assert (note.action, note.reason, note.n_left, list(note.left)) == ("relaxed", "rules", len(left), left)
            kept = rules[: len(rules) - len(note.rules)]
            assert note.rules == rules[len(kept) :]
            assert set(violated) <= set(note.rules)
            one_more = rules[: len(kept) + 1]  # no more rules were dropped than had to be
            assert all(any(broken(rule, order[:t], j) for rule in one_more) for j in left)
    if not slate.notes:
        for rule in rules:
            assert rule.holds([attributes[rule.column][i] for i in order])


@settings(deadline=None, max_examples=150)
@given(seeds, st.integers(1, 3), st.sampled_from([mmr, dpp]))
def test_stop_and_raise_explain_the_same_dead_end(seed: int, count: int, rerank: Rerank) -> None:
    rng = np.random.default_rng(seed)
    n = 10
    rules, attributes = random_rules(rng, count), random_columns(rng, n)
    args = np.sort(rng.random(n))[::-1], unit_rows(rng, n, 20)
    given_: dict[str, Any] = {"k": n, "rules": rules, "attributes": attributes}
    slate = rerank(*args, **given_, infeasible="stop")
    order = slate.order.tolist()
    for rule in rules:
        assert rule.holds([attributes[rule.column][i] for i in order])
    if len(order) == n:
        assert slate.notes == ()
        assert rerank(*args, **given_).order.tolist() == order
        return
    (note,) = slate.notes
    left = [i for i in range(n) if i not in order]
    assert (note.position, note.action, list(note.left)) == (len(order), "stopped", left)
    blocks = {
        rule: [
            i for i in left if not rule.allows([attributes[rule.column][j] for j in order], attributes[rule.column][i])
        ]
        for rule in rules
    }
    assert set(note.rules) == {rule for rule in rules if blocks[rule]}
    assert set().union(*blocks.values()) == set(left)
    with pytest.raises(InfeasibleError) as caught:
        rerank(*args, **given_)
    assert caught.value.note == note
    relaxed = rerank(*args, **given_, infeasible="relax")
    assert relaxed.order.tolist()[: len(order)] == order
    assert relaxed.notes[0].position == len(order)


def test_the_messages_name_position_rules_and_items() -> None:
    rule = MaxRun("x", 2)
    given_: dict[str, Any] = {"k": 4, "rules": (rule,), "attributes": {"x": ["v", "v", "v", "v", "i", "v"]}}
    mask = np.array([True, True, True, True, False, True])
    with pytest.raises(InfeasibleError) as caught:
        mmr(REWARD, EQUAL, **given_, mask=mask)
    assert str(caught.value) == (
        "position 2: 3 items left (2, 3, 5), each breaks MaxRun(column='x', most=2, value=None); give more candidates, "
        'or say infeasible="stop" or infeasible="relax"'
    )
    assert isinstance(caught.value, ValueError)
    slate = mmr(REWARD, EQUAL, **given_, mask=mask, infeasible="stop")
    assert slate.order.tolist() == [0, 1]
    assert len(slate.gain) == 2
    assert slate.notes == (Note(2, "rules", "stopped", (rule,), (2, 3, 5), 3),)
    assert str(slate.notes[0]) == (
        "position 2: 3 items left (2, 3, 5), each breaks MaxRun(column='x', most=2, value=None); the slate ends here"
    )
    slate = mmr(REWARD, EQUAL, **given_, mask=mask, infeasible="relax")
    assert slate.order.tolist() == [0, 1, 2, 3]
    assert [(note.position, note.rules) for note in slate.notes] == [(2, (rule,)), (3, (rule,))]
    assert str(slate.notes[0]) == (
        "position 2: 3 items left (2, 3, 5), none satisfies all rules; "
        "taken without MaxRun(column='x', most=2, value=None)"
    )


def test_the_message_names_only_rules_that_are_in_the_way() -> None:
    rules = (MaxRun("x", 3), MaxInPrefix("x", 1, prefix=2, value="v"), MaxInPrefix("y", 0, prefix=9, value=1))
    attributes = {"x": list("vvvvvi"), "y": [0, 0, 0, 0, 0, 1]}
    with pytest.raises(InfeasibleError) as caught:
        dpp(REWARD, np.eye(6), k=3, rules=rules, attributes=attributes)
    assert caught.value.note.position == 1
    assert caught.value.note.rules == rules[1:]
    assert "each breaks MaxInPrefix(column='x', most=1, prefix=2, value='v') or MaxInPrefix(column='y'" in str(
        caught.value
    )


def test_a_long_list_of_left_items_is_cut() -> None:
    n = 50
    with pytest.raises(InfeasibleError) as caught:
        mmr(np.zeros(n), np.ones((n, 1)), k=2, rules=(MaxRun("x", 1),), attributes={"x": ["v"] * n})
    assert caught.value.note.left == tuple(range(1, 21))
    assert caught.value.note.n_left == 49
    assert "49 items left (1, 2, " in str(caught.value)
    assert "20, ...)" in str(caught.value)


def test_rules_are_relaxed_from_the_last_to_the_first() -> None:
    first, last = MaxInPrefix("x", 0, prefix=1, value="v"), MaxInPrefix("x", 0, prefix=1, value="i")
    given_: dict[str, Any] = {"k": 1, "attributes": column("viviii"), "infeasible": "relax"}
    for rules, top in (((first, last), 1), ((last, first), 0)):
        slate = mmr(REWARD, EQUAL, rules=rules, **given_)
        assert slate.order.tolist() == [top]
        assert slate.notes[0].rules == rules[1:]
    everything = (first, last, MaxInPrefix("x", 0, prefix=1))
    slate = mmr(REWARD, EQUAL, rules=everything[::-1], **given_)
    assert slate.order.tolist() == [0]
    assert slate.notes[0].rules == everything[::-1]


def test_a_relaxed_rule_is_back_at_the_next_position() -> None:
    slate = mmr(
        REWARD[:4], EQUAL[:4], k=4, rules=(MaxRun("x", 1),), attributes=column("vvvi"), mask=None, infeasible="relax"
    )
    assert slate.order.tolist() == [0, 3, 1, 2]
    assert [note.position for note in slate.notes] == [3]


def test_greedy_runs_into_dead_ends_that_a_search_would_avoid() -> None:
    letters, rule = "bbaaa", MaxRun("x", 1)
    slate = mmr(REWARD[:5], EQUAL[:5], k=5, rules=(rule,), attributes=column(letters), infeasible="stop")
    assert "".join(letters[i] for i in slate) == "baba"
    assert slate.notes[0].left == (4,)
    feasible = {"".join(p) for p in permutations(letters) if rule.holds(p)}
    assert feasible == {"ababa"}


@both
def test_kinds_of_every_type(rerank: Rerank) -> None:
    n = 4
    for kinds, value in (
        ([True, True, False, False], True),
        ([1, 1, 2, 2], 1),
        ([1.5, 1.5, np.nan, np.nan], 1.5),
        (["v", "v", None, None], "v"),
        ([("a", 1), ("a", 1), ("b", 1), ("b", 1)], ("a", 1)),
        (list(pd.to_datetime(["2024-01-01"] * 2 + ["2024-01-02"] * 2)), pd.Timestamp("2024-01-01")),
    ):
        col = np.empty(n, dtype=object)
        col[:] = kinds
        frame = pd.DataFrame({"x": kinds})
        variants: list[Any] = [{"x": col}, frame]
        if not isinstance(value, tuple):
            variants += [{"x": kinds}, frame.astype("category")]
        for attributes in variants:
            slate = rerank(REWARD[:n], np.eye(n), k=3, rules=(MaxRun("x", 1, value=value),), attributes=attributes)
            assert slate.order.tolist() == [0, 2, 1], kinds


@both
@pytest.mark.parametrize("blank", [None, np.nan, pd.NaT])
@pytest.mark.parametrize("value", [None, "a", 1.0])
def test_a_column_without_any_value_limits_nothing(rerank: Rerank, blank: Any, value: Any) -> None:
    rules = (MaxRun("x", 1, value=value), MaxInPrefix("x", 0, prefix=3, value=value))
    slate = rerank(REWARD[:3], np.eye(3), k=3, rules=rules, attributes={"x": [blank] * 3})
    assert slate.order.tolist() == [0, 1, 2]


@both
def test_a_value_that_no_item_has_limits_nothing(rerank: Rerank) -> None:
    for value in ("z", 7, ("a", "b"), True):
        slate = rerank(
            REWARD, np.eye(6), k=6, rules=(MaxInPrefix("x", 0, prefix=6, value=value),), attributes=column("abcabc")
        )
        assert slate.order.tolist() == [0, 1, 2, 3, 4, 5]


def test_rules_of_any_number_of_kinds() -> None:
    n = 300
    reward = np.linspace(1, 0, n)
    kinds = np.arange(n) // 2
    rules = (MaxRun("x", 1), MaxInWindow("y", 1, window=2))
    slate = mmr(reward, np.ones((n, 1)), k=n, rules=rules, attributes={"x": kinds, "y": np.arange(n)})
    assert sorted(slate) == list(range(n))
    assert slate.order[:4].tolist() == [0, 2, 1, 3]
    assert rules[0].holds(kinds[slate.order].tolist())


# -- what is refused -------------------------------------------------------------------------------------------
@both
@pytest.mark.parametrize(
    ("rules", "attributes", "error", "words"),
    [
        ((MaxRun("tpye", 1),), {"type": [1] * 6, "brand": [1] * 6}, ValueError, "'tpye'; attributes has 'type', 'bra"),
        ((MaxRun("x", 1),), {}, ValueError, "attributes has none"),
        ((MaxRun("x", 1),), None, ValueError, "rules name the column 'x', but attributes is not given"),
        (
            (MaxRun("x", 1),),
            {"x": [1] * 5},
            ValueError,
            r"column 'x' of attributes has shape \(5,\); it must be \(6,\)",
        ),
        ((MaxRun("x", 1),), {"x": 1}, ValueError, r"column 'x' of attributes has shape \(\); it must be \(6,\)"),
        (("at most two",), {"x": [1] * 6}, TypeError, "rules contains 'at most two'; give MaxRun"),
        ((Rule("x", 1),), {"x": [1] * 6}, TypeError, "rules contains Rule"),
    ],
)
def test_rules_that_do_not_fit_are_refused(
    rerank: Rerank, rules: Any, attributes: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        rerank(REWARD, np.eye(6), k=2, rules=rules, attributes=attributes)


@both
def test_columns_of_a_batch_are_checked(rerank: Rerank) -> None:
    with pytest.raises(ValueError, match=r"column 'x' of attributes has shape \(6,\); it must be \(2, 6\)"):
        rerank(
            np.tile(REWARD, (2, 1)),
            np.stack([np.eye(6)] * 2),
            k=2,
            rules=(MaxRun("x", 1),),
            attributes=column("ababab"),
        )


def test_a_dead_end_of_one_user_is_told_from_the_others() -> None:
    reward, vectors = np.tile(REWARD, (3, 1)), np.stack([EQUAL] * 3)
    attributes = {"x": np.array([list("vivivi"), list("vvvvvv"), list("iiivvv")])}
    given_: dict[str, Any] = {"k": 3, "rules": (MaxRun("x", 1),), "attributes": attributes}
    with pytest.raises(InfeasibleError, match=r"^user 1, position 1: 5 items left"):
        mmr(reward, vectors, **given_)
    slate = mmr(reward, vectors, **given_, infeasible="stop")
    assert slate.order.tolist() == [[0, 1, 2], [0, -1, -1], [0, 3, 1]]
    assert slate.gain[1, 1:].tolist() == [0, 0]
    assert [(note.user, note.position) for note in slate.notes] == [(1, 1)]
    slate = mmr(reward, vectors, **given_, infeasible="relax")
    assert slate.order.tolist() == [[0, 1, 2], [0, 1, 2], [0, 3, 1]]
    assert [(note.user, note.position) for note in slate.notes] == [(1, 1), (1, 2)]
