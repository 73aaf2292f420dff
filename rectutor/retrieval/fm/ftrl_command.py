"""What the command ``rectutor train-ftrl`` does."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from scipy.special import expit

from rectutor.retrieval.fm.ftrl import FTRL, FTRLFM, Tally


def train(arguments: argparse.Namespace) -> None:
    """Learn from the files in order, measure, and write what was asked for.

    Raises:
        ValueError, OSError: options that do not go together, and what reading and writing raise.
    """
    if arguments.predictions is not None and arguments.test is None:
        raise ValueError("--predictions needs the examples to predict: add --test FILE")
    if arguments.test == "-":
        raise ValueError("--test is '-'; only examples to learn can be piped in, name a file")
    if arguments.hash is not None and not 1 <= arguments.hash <= 40:
        raise ValueError(f"--hash is {arguments.hash}; it must lie between 1 and 40")
    model = _model(arguments)
    for path in (arguments.out, arguments.predictions):  # better to fail before learning than after
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"{path}: there is no folder {path.parent}")
    if arguments.test is not None:
        Path(arguments.test).open("rb").close()
    model.fit_file(*arguments.files, epochs=arguments.epochs, form=arguments.format)
    seen, nonzero = model.seen_, model.nonzero_
    print(f"learnt    {_measured(model.progressive_)}, each example predicted before it was learnt")
    zeros = 100 * (1 - nonzero / seen) if seen else 100.0
    print(f"weights   {nonzero:,} of the {seen:,} features met are not zero; {zeros:.1f} % are")
    if arguments.out is not None:
        model.save(arguments.out)
        print(f"model     {arguments.out}, {arguments.out.stat().st_size:,} bytes")
    if arguments.test is not None:
        print(f"test      {_measured(_test(model, arguments))}")


def _model(arguments: argparse.Namespace) -> FTRL | FTRLFM:
    options = {name: getattr(arguments, name) for name in ("alpha", "beta", "l1", "l2")}
    options["n_features"] = arguments.features if arguments.hash is None else 2**arguments.hash
    options["hashing"] = None if arguments.hash is None else "splitmix64"
    if arguments.model == "lr":
        return FTRL(**options)
    own = {name: getattr(arguments, name) for name in ("k", "v_l1", "v_l2", "init", "seed")}
    return FTRLFM(**options, **own)


def _test(model: FTRL | FTRLFM, arguments: argparse.Namespace) -> Tally:
    tally = Tally()
    with ExitStack() as stack:
        out = stack.enter_context(arguments.predictions.open("w")) if arguments.predictions is not None else None
        for rows in model.blocks(arguments.test, form=arguments.format):
            log_odds = model.log_odds(rows)
            tally.add(rows.label, log_odds)
            if out is not None:
                out.writelines(f"{p:.9g}\n" for p in expit(log_odds))
    return tally


def _measured(tally: Tally) -> str:
    return f"{tally.rows:,} examples: log-loss {tally.log_loss:.6f}, AUC {tally.auc:.6f}"
