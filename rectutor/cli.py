"""The command ``rectutor``; ``rectutor COMMAND --help`` explains each of its commands."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rectutor.retrieval.evaluate import Parts

EVALUATE = """\
Run the whole protocol on any interactions file and print what was measured.

  rectutor evaluate --train train.txt --test test.txt --form lists --model itemcf --model als --k 20
      a published split with a line a user, 'user item item ...', as LightGCN's
  rectutor evaluate --train ml-1m.train.rating --negatives ml-1m.test.negative --model bpr --k 10
      leave-one-out with given negatives, as NCF's
  rectutor evaluate --data ratings.dat --split leave-one-out --model itemcf-bm25 --tune
      one file, split here
  rectutor evaluate --data ml-latest-small --model all --tune
      a data set that 'rectutor data list' names

Items that a user has in train never compete in that user's ranking, not even where they are given as negatives.
"""

TRAIN_FTRL = """\
Learn logistic regression or a factorization machine from libsvm or libffm files, one example at a time (FTRL-Proximal).

  rectutor train-ftrl train.ffm --hash 22 --test test.ffm
      logistic regression; ids of any size share 2^22 weights
  rectutor train-ftrl day1.libsvm.gz day2.libsvm.gz --model fm --features 100000 --out fm.npz
      files are learnt one after the other; ids go from 0 to 99999
  zcat clicks.gz | rectutor train-ftrl - --test test.libsvm --predictions p.txt
      from a pipe

Memory does not grow with the files. Each example of the first pass is predicted before it is learnt: the log-loss and
AUC of these predictions are printed.
"""

TRAIN_CTR = """\
Run the whole protocol of click prediction on a split and print what was measured: vocabularies from train alone, early
stopping on the AUC of valid, AUC and log-loss of test.

  rectutor train-ctr --train train.libfm --valid valid.libfm --test test.libfm --model ffm --fields position
      Frappe: labels -1 and 1, the k-th id of a row is of field k
  rectutor train-ctr --train train.txt --test test.txt --model fm --min-count 10 --buckets 20 --seeds 3
      Criteo: a label, 13 integers, 26 categories, tabs and no header; a tenth of train becomes valid
  rectutor train-ctr --train a.csv --valid b.csv --test c.csv --model fm --label click --dense price --sequence genres
      a header; columns that are not named otherwise are categories

An empty cell of a table is a missing value, a value that train does not have is an unknown one.
"""

CHECK = """\
Check the notebooks that students hand in, and say what is correct and what is not yet.

  rectutor check cf.ipynb
      a table of exercises, points, verdicts and hints; exit code 0 if all is correct
  rectutor check handed-in/ --csv points.csv
      a class: one row a notebook, written as they are finished; run it again to go on after a break

Answers run in a process of their own, with limits of time and memory and without access to files.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    The exit code is 0, 1 where a notebook that was checked is not all correct, or 2 with one line on stderr where the
    input is at fault.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments) or 0)
    except (ValueError, OSError) as error:
        print(f"rectutor {arguments.command}: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rectutor", description="The tools of the RecTutor book.")
    commands = parser.add_subparsers(dest="command", required=True)

    bench = commands.add_parser("bench", help="time every reference/fast pair over growing sizes")
    bench.add_argument("pairs", nargs="*", help="parts of pair names; all pairs if none is given")
    bench.add_argument("--rounds", type=int, default=3, help="timed rounds a size (default 3)")
    bench.add_argument("--limit", type=float, default=2.0, help="seconds a reference may take (default 2)")
    bench.add_argument("--plot", type=Path, help="draw the timings into this file (svg, png or pdf)")
    bench.add_argument(
        "--save",
        type=Path,
        nargs="?",
        const=Path("datasets/fastpaths.json"),
        help="write the timings as JSON (default datasets/fastpaths.json, which the appendix page reads)",
    )
    bench.set_defaults(run=_bench)

    world = commands.add_parser("world", help="generate the simulated platform and write its tables")
    world.add_argument("--size", choices=("tiny", "small", "medium"), default="small")
    world.add_argument("--seed", type=int, default=0)
    world.add_argument("--out", type=Path, required=True, help="folder for the compressed CSV tables")
    world.set_defaults(run=_world)

    data = commands.add_parser("data", help="list or fetch public data sets")
    actions = data.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="names, sizes and licences").set_defaults(run=_data_list)
    get = actions.add_parser("get", help="download from the official place, resumable and checked")
    get.add_argument("name")
    get.set_defaults(run=_data_get)

    evaluate = commands.add_parser(
        "evaluate",
        help="fit, tune and measure retrieval models on any interactions file",
        description=EVALUATE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = evaluate.add_argument_group("what is evaluated on")
    source.add_argument("--train", type=Path)
    source.add_argument("--test", type=Path, help="the rows to be recommended")
    source.add_argument("--valid", type=Path, help="tune on this file; without it --tune holds out a part of train")
    source.add_argument("--negatives", type=Path, help="held-out rows with the negatives they are ranked against")
    source.add_argument("--data", help="one file, or the name of a data set, to be split here")
    source.add_argument("--split", choices=("time", "user-time", "leave-one-out", "random"), default="user-time")
    source.add_argument("--form", choices=("table", "lists"), default="table", help="a line a row, or a line a user")
    source.add_argument("--sep", help="what parts the fields: ',', '::', 'tab', 'space'; found out if not given")
    source.add_argument("--columns", help="the columns in order, as user,item,rating,time; found out if not given")
    source.add_argument("--min-rating", type=float, default=0.0, help="leave out rows rated lower (default: keep all)")
    model = evaluate.add_argument_group("what is evaluated")
    model.add_argument("--model", action="append", required=True, help="a name, repeatable; 'all' for every model")
    model.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter, repeatable")
    model.add_argument("--tune", action="store_true", help="choose the parameters on the validation part")
    model.add_argument("--metric", default="ndcg@10", help="what tuning looks at (default %(default)s)")
    model.add_argument("--k", type=int, nargs="+", default=[10, 20])
    model.add_argument("--seeds", type=int, default=3, help="runs of a model that draws random numbers (default 3)")
    evaluate.add_argument("--json", type=Path, help="write everything measured to this file")
    evaluate.set_defaults(run=_evaluate)

    ftrl = commands.add_parser(
        "train-ftrl",
        help="learn LR or FM from a stream of libsvm or libffm lines",
        description=TRAIN_FTRL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ftrl.add_argument("files", nargs="+", metavar="FILE", help="what to learn from, in order; '-' is a pipe")
    ftrl.add_argument("--format", choices=("auto", "libsvm", "libffm"), default="auto")
    ftrl.add_argument("--model", choices=("lr", "fm"), default="lr", help="default %(default)s")
    ftrl.add_argument("--k", type=int, default=8, help="factors of a feature, for fm (default %(default)s)")
    ftrl.add_argument("--alpha", type=float, default=0.05, help="step size (default %(default)s)")
    ftrl.add_argument("--beta", type=float, default=1.0, help="damps the first steps (default %(default)s)")
    ftrl.add_argument("--l1", type=float, default=1.0, help="of the weights; makes zeros (default %(default)s)")
    ftrl.add_argument("--l2", type=float, default=1.0, help="of the weights (default %(default)s)")
    ftrl.add_argument("--v-l1", type=float, default=0.0, help="of the factors (default %(default)s)")
    ftrl.add_argument("--v-l2", type=float, default=1.0, help="of the factors (default %(default)s)")
    ftrl.add_argument("--init", type=float, default=0.02, help="first spread of the factors (default %(default)s)")
    ftrl.add_argument("--seed", type=int, default=0, help="draws the first factors (default %(default)s)")
    size = ftrl.add_mutually_exclusive_group()
    size.add_argument("--features", type=int, default=2**20, help="ids lie below this (default 2^20)")
    size.add_argument("--hash", type=int, metavar="BITS", help="fold ids of any size to 2^BITS weights")
    ftrl.add_argument("--epochs", type=int, default=1, help="passes over the files (default %(default)s)")
    ftrl.add_argument("--test", help="predict and measure this file afterwards")
    ftrl.add_argument("--predictions", type=Path, help="write a probability a line of the test file")
    ftrl.add_argument("--out", type=Path, help="write the model, for FTRL.load or FTRLFM.load")
    ftrl.set_defaults(run=_train_ftrl)

    ctr = commands.add_parser(
        "train-ctr",
        help="fit a model of clicks on a published split and measure it",
        description=TRAIN_CTR,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = ctr.add_argument_group("what is learnt from")
    source.add_argument("--train", type=Path, required=True)
    source.add_argument("--valid", type=Path, help="for early stopping; without it a part of train is held out")
    source.add_argument("--valid-share", type=float, default=0.1, help="how much of train (default %(default)s)")
    source.add_argument("--test", type=Path, required=True)
    source.add_argument("--format", choices=("auto", "libsvm", "libffm", "csv", "criteo"), default="auto")
    source.add_argument("--min-count", type=int, default=1, help="what train has less often is unknown")
    source.add_argument(
        "--fields", choices=("given", "position"), default="given", help="libsvm: the k-th id is field k"
    )
    source.add_argument("--label", default="label", help="csv: the column of clicks (default %(default)s)")
    source.add_argument("--dense", default="", metavar="A,B", help="csv: the columns that are numbers")
    source.add_argument("--buckets", type=int, help="make so many buckets of each number, which can be crossed")
    source.add_argument("--sequence", default="", metavar="A,B", help="csv: the columns that hold several values")
    source.add_argument("--sep", default="|", help="csv: between the values of a sequence (default %(default)s)")
    model = ctr.add_argument_group("what is fitted")
    model.add_argument("--model", required=True, help="lr, fm, fwfm or ffm")
    model.add_argument("--k", type=int, default=8, help="factors (default %(default)s)")
    model.add_argument("--epochs", type=int, default=20, help="at most (default %(default)s)")
    model.add_argument("--patience", type=int, default=2, help="epochs that are no better (default %(default)s)")
    model.add_argument("--batch-size", type=int, default=4096, help="default %(default)s")
    model.add_argument("--optimizer", choices=("adam", "adagrad"), default="adam", help="default %(default)s")
    model.add_argument("--lr", type=float, help="step size (default 0.001 for adam, 0.05 for adagrad)")
    model.add_argument("--l2", type=float, default=0.0, help="weight decay (default %(default)s)")
    model.add_argument("--monitor", choices=("auc", "log_loss"), default="auc", help="what stops early, on valid")
    model.add_argument("--seeds", type=int, default=1, help="runs (default %(default)s)")
    model.add_argument("--seed", type=int, default=0, help="of the first run, and of the held-out part")
    written = ctr.add_argument_group("what is written")
    written.add_argument("--json", type=Path, help="everything measured")
    written.add_argument("--predictions", type=Path, help="a line a test example: its probability, a column a seed")
    written.add_argument("--checkpoint", type=Path, help="from which an interrupted run goes on")
    ctr.set_defaults(run=_train_ctr)

    exercises = commands.add_parser("exercises", help="write the students' notebooks")
    exercises.add_argument("chapters", nargs="*", help="chapters; all that have exercises if none is given")
    exercises.add_argument("--out", type=Path, default=Path("."), help="folder for the notebooks (default: this one)")
    exercises.set_defaults(run=_exercises)

    check = commands.add_parser(
        "check",
        help="check notebooks of exercises",
        description=CHECK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("notebooks", nargs="+", type=Path, help="notebooks, or folders of notebooks")
    check.add_argument("--exercises", metavar="CHAPTER", help="whose exercises they are; found out if not given")
    check.add_argument(
        "--csv", type=Path, metavar="FILE", help="check a class: write one row a notebook into this file"
    )
    check.add_argument("--jobs", type=int, help="notebooks checked at the same time with --csv (default: one a core)")
    check.set_defaults(run=_check)
    return parser


def _bench(arguments: argparse.Namespace) -> None:
    from rectutor import bench

    timings = bench.run(arguments.pairs, arguments.rounds, arguments.limit)
    print(bench.table(timings))
    if arguments.plot:
        bench.plot(timings, arguments.plot)
    if arguments.save:
        bench.save(timings, arguments.save)


def _world(arguments: argparse.Namespace) -> None:
    from rectutor.world import write_feedworld

    for path in write_feedworld(arguments.out, arguments.size, arguments.seed):
        print(f"{path}  {path.stat().st_size:,} bytes")


def _data_list(arguments: argparse.Namespace) -> None:
    from rectutor import data

    for entry in data.available():
        size = f", {entry.size / 1e6:,.1f} MB" if entry.size else ""
        print(f"{entry.name:<18} {entry.title}{size}\n{'':<18} {entry.licence}")


def _data_get(arguments: argparse.Namespace) -> None:
    from rectutor import data

    print(data.get(arguments.name))


def _evaluate(arguments: argparse.Namespace) -> None:
    from rectutor.retrieval.evaluate import MODELS, run

    names = list(MODELS) if arguments.model == ["all"] else arguments.model
    report = run(
        names,
        _parts(arguments),
        parameters=dict(_setting(text) for text in arguments.set),
        tuned=arguments.tune,
        metric=arguments.metric,
        k=arguments.k,
        seeds=arguments.seeds,
    )
    print(report.text())
    if arguments.json:
        arguments.json.write_text(json.dumps(report.document(), indent=1) + "\n", encoding="utf-8")


def _train_ftrl(arguments: argparse.Namespace) -> None:
    from rectutor.retrieval.fm.ftrl_command import train

    train(arguments)


def _train_ctr(arguments: argparse.Namespace) -> None:
    from rectutor.ranking.files import read_parts
    from rectutor.ranking.protocol import run

    for path in (arguments.json, arguments.predictions, arguments.checkpoint):  # better to fail before than after
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"{path}: there is no folder {path.parent}")
    parts = read_parts(
        arguments.train,
        arguments.test,
        arguments.valid,
        form=arguments.format,
        dense=[name for name in arguments.dense.split(",") if name],
        sequences=[name for name in arguments.sequence.split(",") if name],
        **{
            name: getattr(arguments, name)
            for name in ("valid_share", "seed", "min_count", "fields", "label", "buckets")
        },
        sep=arguments.sep,
    )
    fitting = (
        "k",
        "epochs",
        "batch_size",
        "optimizer",
        "lr",
        "l2",
        "patience",
        "monitor",
        "seeds",
        "seed",
        "checkpoint",
    )
    report = run(arguments.model, parts, **{name: getattr(arguments, name) for name in fitting})
    print(report.text())
    if arguments.json:
        arguments.json.write_text(json.dumps(report.document(), indent=1) + "\n", encoding="utf-8")
    if arguments.predictions:
        report.write_predictions(arguments.predictions)


def _exercises(arguments: argparse.Namespace) -> int:
    from rectutor.classroom.notebooks import Assignment, chapters

    kept = 0
    for assignment in [Assignment.load(name) for name in arguments.chapters or chapters()]:
        try:
            path = assignment.write_student(arguments.out)
            print(f"{path}  {len(assignment.points)} exercises, {sum(assignment.points.values())} points")
        except ValueError as error:  # the others are still written
            kept += 1
            print(f"rectutor exercises: {error}", file=sys.stderr)
    return 2 if kept else 0


def _check(arguments: argparse.Namespace) -> int:
    from rectutor.classroom import grading

    paths = [found for path in arguments.notebooks for found in grading.notebooks_in(path)]
    if arguments.csv:
        rows = grading.check_class(paths, arguments.csv, arguments.exercises, arguments.jobs)
        for row in rows:
            print(
                f"{row['notebook']}: {row['points']} of {row['of']}"
                if row["chapter"]
                else f"{row['notebook']}: {row['remarks']}"
            )
        return 0 if all(row["points"] == row["of"] != "0" for row in rows) else 1
    reports = []
    for path in paths:
        reports.append(grading.check_notebook(path, arguments.exercises))
        print(reports[-1].text())
    return 0 if all(report.passed for report in reports) else 1


def _parts(arguments: argparse.Namespace) -> Parts:
    from rectutor import data
    from rectutor.retrieval import evaluate

    if (arguments.data is None) == (arguments.train is None):
        raise ValueError("say either --data FILE (split here) or --train FILE and --test FILE (split already)")
    reading = {
        "form": arguments.form,
        "sep": arguments.sep,
        "columns": None if arguments.columns is None else arguments.columns.split(","),
        "min_rating": arguments.min_rating,
    }
    if arguments.train is not None:
        return evaluate.read_parts(arguments.train, arguments.test, arguments.valid, arguments.negatives, **reading)
    if Path(arguments.data).exists():
        return evaluate.split_log(evaluate.read_log(arguments.data, **reading), arguments.split)
    log = getattr(data.load(arguments.data), "interactions", None)
    if log is None:
        raise ValueError(f"the data set {arguments.data!r} holds no user-item interactions; choose another")
    return evaluate.split_log(log.subset(log.value >= arguments.min_rating), arguments.split)


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


if __name__ == "__main__":
    sys.exit(main())
