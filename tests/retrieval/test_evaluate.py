"""The protocol: who is ranked against what, what is masked, what is counted, and the command that runs it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from rectutor.cli import main
from rectutor.data import Interactions
from rectutor.retrieval import evaluate as protocol
from rectutor.retrieval.evaluate import MODELS, Model, evaluate, make, read_parts, run, split_log, tune


class Fixed:
    """Scores given in advance, so that every rank is known."""

    def __init__(self, scores: NDArray[np.float32]) -> None:
        self.scores = scores

    def fit(self, interactions: Interactions) -> Self:
        return self

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        return self.scores[users]


def log(rows: Sequence[tuple[int, int]], like: Interactions | None = None) -> Interactions:
    return Interactions.from_arrays([u for u, _ in rows], [i for _, i in rows], like=like)


def parts(train: Sequence[tuple[int, int]], test: Sequence[tuple[int, int]]) -> tuple[Interactions, Interactions]:
    everything = log(list(dict.fromkeys([*train, *test])))
    return log(train, everything), log(test, everything)


def ranked_by_hand(scores: NDArray[np.float32], seen: set[int], allowed: set[int], k: int) -> list[int]:
    order = sorted(allowed - seen, key=lambda i: (-float(scores[i]), i))
    return order[:k]


@pytest.mark.parametrize("given", [False, True])
def test_ranking_agrees_with_loops(given: bool) -> None:
    rng = np.random.default_rng(5)
    n_users, n_items, k = 30, 40, 7
    pairs = np.unique(rng.integers(0, [n_users, n_items], size=(500, 2)), axis=0)
    in_test = rng.random(len(pairs)) < 0.3
    whole = Interactions.from_arrays(pairs[:, 0], pairs[:, 1])
    train, test = whole.subset(~in_test), whole.subset(in_test)
    scores = rng.integers(0, 12, (whole.n_users, whole.n_items)).astype(np.float32)  # many ties
    wanted = {u: set(test.items_of(u).tolist()) for u in range(whole.n_users)}
    seen = {u: set(train.items_of(u).tolist()) for u in range(whole.n_users)}
    negatives = {u: rng.choice(whole.n_items, 15, replace=False).tolist() for u in range(whole.n_users)}
    measured = evaluate(Fixed(scores), train, test, k=(3, k), negatives=negatives if given else None, batch=4)
    recall, ndcg, shown = [], [], set()
    users = [u for u in range(whole.n_users) if wanted[u] and seen[u]]
    for u in users:
        allowed = wanted[u] | set(negatives[u]) if given else set(range(whole.n_items))
        ranking = ranked_by_hand(scores[u], seen[u], allowed, k)
        shown |= set(ranking)
        hits = [1 if i in wanted[u] else 0 for i in ranking]
        best = sum(1 / np.log2(r + 2) for r in range(min(k, len(wanted[u]))))
        recall.append(sum(hits) / len(wanted[u]))
        ndcg.append(sum(h / np.log2(r + 2) for r, h in enumerate(hits)) / best)
    assert measured.users.tolist() == users
    np.testing.assert_allclose(measured.per_user[f"recall@{k}"], recall, rtol=1e-12)
    np.testing.assert_allclose(measured.per_user[f"ndcg@{k}"], ndcg, rtol=1e-12)
    assert measured.overall[f"coverage@{k}"] == pytest.approx(len(shown) / whole.n_items, rel=1e-12)
    assert measured.means()[f"recall@{k}"] == pytest.approx(np.mean(recall), rel=1e-12)


def test_items_seen_in_train_never_compete_even_as_given_negatives() -> None:
    train, test = parts([(0, 0), (0, 1), (1, 2)], [(0, 3), (1, 0)])
    scores = np.array([[9, 8, 1, 5], [1, 0, 9, 0]], dtype=np.float32)
    measured = evaluate(Fixed(scores), train, test, k=(1,), negatives={0: [0, 1, 2], 1: [2, 3]})
    # items 0 and 1 (user 0) and 2 (user 1) score highest, are listed as negatives, and are in train
    assert measured.per_user["recall@1"].tolist() == [1.0, 1.0]


def test_what_is_left_out_is_counted() -> None:
    train, test = parts([(0, 0), (0, 1), (1, 0)], [(0, 1), (0, 2), (1, 3), (2, 0)])
    scores = np.zeros((3, 4), dtype=np.float32)
    measured = evaluate(Fixed(scores), train, test, k=(1,))
    assert measured.users.tolist() == [0, 1]
    assert (measured.no_history, measured.masked, measured.cold) == (1, 1, 2)
    # user 0: item 1 is in train too, so only item 2 is wanted, and it is the lowest code that is left
    assert measured.per_user["recall@1"].tolist() == [1.0, 0.0]


def test_errors_say_what_to_do() -> None:
    train, test = parts([(0, 0), (1, 1)], [(0, 1), (1, 0)])
    model = Fixed(np.zeros((2, 2), dtype=np.float32))
    with pytest.raises(ValueError, match=r"k is \[3\]; it must lie between 1 and the 2 items"):
        evaluate(model, train, test, k=(3,))
    with pytest.raises(ValueError, match="different vocabularies"):
        evaluate(model, train, log([(0, 5)]))
    with pytest.raises(ValueError, match="no negatives are given for test user code 1"):
        evaluate(model, train, test, k=(1,), negatives={0: [0]})
    with pytest.raises(ValueError, match="no test user has both"):
        evaluate(model, *parts([(0, 0)], [(1, 0)]), k=(1,))
    with pytest.raises(ValueError, match="unknown model 'magic'"):
        make("magic")
    with pytest.raises(ValueError, match="itemcf cannot be made with"):
        make("itemcf", magic=1)
    with pytest.raises(ValueError, match="metric is 'ndcg'"):
        protocol.measure(model, train, test, "ndcg")


def test_tuning_takes_the_best_point_and_the_first_of_equals(monkeypatch: pytest.MonkeyPatch) -> None:
    train, valid = parts([(0, 0), (1, 0)], [(0, 2), (1, 1)])

    def built(good: int, name: str = "") -> Fixed:
        scores = np.zeros((2, 3), dtype=np.float32)
        scores[0, 2] = scores[1, 1] = good
        return Fixed(scores)

    monkeypatch.setitem(MODELS, "fixed", Model(built, {"good": (-1, 1, 2), "name": ("a", "b")}))
    best, table = tune("fixed", train, valid, metric="recall@1")
    assert best == {"good": 1, "name": "a"}
    assert table["recall@1"].tolist() == [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]


def test_fixed_parameters_hold_while_the_others_are_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    train, valid = parts([(0, 0), (1, 0)], [(0, 2), (1, 1)])

    def built(a: int, b: int) -> Fixed:  # right where a equals b
        scores = np.zeros((2, 3), dtype=np.float32)
        scores[0, 2] = scores[1, 1] = 1 if a == b else -1
        return Fixed(scores)

    monkeypatch.setitem(MODELS, "fixed", Model(built, {"a": (1, 2), "b": (1, 2)}))
    best, table = tune("fixed", train, valid, metric="recall@1", fixed={"b": 2})
    assert best == {"a": 2, "b": 2}
    assert table.to_dict("list") == {"a": [1, 2], "b": [2, 2], "recall@1": [0.0, 1.0]}


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_given_negatives_are_read_as_published(tmp_path: Path) -> None:
    train = write(tmp_path / "train.rating", ["7\t100\t5\t1", "7\t101\t3\t2", "8\t100\t4\t1"])
    test = write(tmp_path / "test.negative", ["(7,102)\t100\t103\t104", "(8,101)\t103\t102"])
    found = read_parts(train, negatives=test)
    assert found.train.item_ids.tolist() == [100, 101, 102, 103, 104]
    assert found.test.frame()[["user", "item"]].to_numpy().tolist() == [[7, 102], [8, 101]]
    assert found.negatives == {0: [0, 3, 4], 1: [3, 2]}
    other = write(tmp_path / "test.rating", ["7\t102\t5\t9", "8\t103\t5\t9"])
    with pytest.raises(ValueError, match=r"holds 1 rows that .* lacks"):
        read_parts(train, other, negatives=test)
    with pytest.raises(ValueError, match="neither test nor negatives"):
        read_parts(train)


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    """Two tastes of 30 items each: a user has 24 of one, so 6 of it are left beside what is held out; times ascend."""
    rng = np.random.default_rng(0)
    lines = []
    for user in range(120):
        liked = rng.permutation(30)[:24] + 30 * (user % 2)
        lines += [f"{user},{item},{rng.integers(3, 6)},{stamp}" for stamp, item in enumerate(liked.tolist())]
    return write(tmp_path / "ratings.csv", lines)


def test_the_command_runs_every_model(ratings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.json"
    chosen = [argument for name in MODELS for argument in ("--model", name)]
    code = main(
        ["evaluate", "--data", str(ratings), "--split", "leave-one-out", *chosen, "--k", "7", "--seeds", "2",
         "--json", str(out)]
    )  # fmt: skip
    printed = capsys.readouterr()
    assert code == 0, printed.err
    document = json.loads(out.read_text())
    assert [m["model"] for m in document["models"]] == list(MODELS)
    by_name: dict[str, Any] = {m["model"]: m for m in document["models"]}
    for name in MODELS:
        assert name in printed.out
        assert by_name[name]["users"] == 120
        assert by_name[name]["seeds"] == (2 if MODELS[name].seeded else 1)
    # who knows the taste ranks its 7 items that are left before all others, and the one held out is among them
    for name in ("usercf", "itemcf", "itemcf-tfidf", "itemcf-shrunk"):
        assert by_name[name]["figures"]["recall@7"]["mean"] == 1.0, name
    assert by_name["popular"]["figures"]["recall@7"]["mean"] < 0.9
    assert 0 < by_name["funksvd"]["figures"]["rmse"]["mean"] < 2


def test_the_command_tunes_on_a_part_of_train(ratings: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    assert main(["evaluate", "--data", str(ratings), "--model", "itemcf", "--tune", "--set", "k=20", "--k", "5",
                 "--metric", "ndcg@5", "--json", str(out)]) == 0  # fmt: skip
    assert json.loads(out.read_text())["models"][0]["parameters"] == {"k": 20}


def test_lists_and_a_published_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = write(tmp_path / "train.txt", ["0 1 2 3", "1 1 2 4", "2 1 3 4"])
    test = write(tmp_path / "test.txt", ["0 4", "1 3", "2 2"])
    code = main(
        ["evaluate", "--train", str(train), "--test", str(test), "--form", "lists", "--model", "itemcf", "--k", "1"]
    )
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "measured on 3 users" in printed.out
    assert "1.0000" in printed.out  # one item is left for each user, and it is the test item


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "itemcf"], "say either --data FILE"),
        (["--data", "{ratings}", "--model", "magic"], "unknown model 'magic'"),
        (["--data", "{ratings}", "--model", "itemcf", "--k", "1000"], "the 60 items of the catalogue"),
        (["--data", "{ratings}", "--model", "itemcf", "--set", "k"], "is not NAME=VALUE"),
        (["--train", "{broken}", "--test", "{ratings}", "--model", "itemcf"], "line 2"),
        (["--data", "no-such-set", "--model", "itemcf"], "no-such-set"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    arguments: list[str], message: str, ratings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = write(tmp_path / "broken.csv", ["1,2,3,4", "1,oops", "3,4,5,6"])
    filled = [a.format(ratings=ratings, broken=broken) for a in arguments]
    assert main(["evaluate", *filled]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_fixed_parameters_are_not_tuned_away(ratings: Path) -> None:
    parts_ = split_log(protocol.read_log(ratings), "leave-one-out")
    report = run(["itemcf-shrunk"], parts_, parameters={"shrink": 7.0}, tuned=True, k=(5,), metric="ndcg@5")
    assert report.lines[0].parameters["shrink"] == 7.0
    assert set(report.lines[0].parameters) == {"k", "shrink", "damping"}
