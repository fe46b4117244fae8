"""``search``: search the parameters of a fit's readout, and print the command that fits with the best."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from encoding.analysis.hyperparameter_search import N_TRIALS, Search, SearchRequest, space_of
from encoding.analysis.search_objective import validation_note
from encoding.cli.clusters import fit_anywhere, search_anywhere
from encoding.cli.command import Answer, BadArguments, add_command, checking_arguments, whole_number
from encoding.cli.fitting import checked_spec, describe
from encoding.cli.spec_options import add_spec_arguments, spec_from
from encoding.cli.terminal import Progress, table
from encoding.evaluation.splits import has_several_folds
from encoding.runtime.durations import duration
from encoding.runtime.progress import subprogress
from encoding.storage.store import Store

N_SHOWN = 10  # of the best trials

EXAMPLES = """
search --readout mlp --trials 20
search --readout mlp --set batch_norm_1=true --vary learning_rate dropout_1 dropout_2
search --readout mlp --vary optimiser learning_rate=1e-5:1e-1 hidden=64:2048 activation=relu,tanh
search --readout linear_sgd --trials 20 --fit --json
"""

MORE = f"""
One fifth of the training images is set aside. Each trial fits the readout with other parameters on the other four fifths and is
judged by the mean r on the fifth. With a split of one fold no test image is looked at; of several folds the training images of the
first are searched on, which are tested by the other folds, so that the score of a fit with the best parameters is a little too high:
search with a hold-out split to keep them apart. Parameters are proposed by Optuna (TPE), the readout's defaults
first; hopeless trainings are given up early. Trials are kept as they end: the same command goes on where it was stopped, and more
--trials continue it. Parameters given by --set stay as they are. The {N_SHOWN} best trials are shown, with --json all.
"""


def add_commands(commands: Any) -> None:
    """Add ``search``, which takes the options of ``fit``."""
    parser = add_command(
        commands, "search", run_search, about="Look for the best parameters of a fit's readout.", examples=EXAMPLES, more=MORE
    )
    add_spec_arguments(parser)
    how = parser.add_argument_group("the search")
    how.add_argument("--trials", type=number_of_trials, default=N_TRIALS, metavar="N", help="trials in all (default: %(default)s)")
    how.add_argument(
        "--vary",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="parameters to vary, each NAME, NAME=LOW:HIGH or NAME=VALUE,VALUE (default: all that have a range)",
    )
    how.add_argument("--seed", type=whole_number, default=0, help="of the proposals (default: %(default)s)")
    how.add_argument("--fit", action="store_true", help="fit with the best parameters at the end")
    parser.set_defaults(out=None)


def number_of_trials(text: str) -> int:
    """Parse an integer of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of 1 or more is needed, not {text!r}")
    return int(text)


def run_search(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Check the arguments, run the trials, and fit with the best parameters where requested."""
    store = Store()
    if arguments.seed < 0:
        raise BadArguments(f"--seed must be 0 or more, not {arguments.seed}.")
    vary = tuple(dict.fromkeys(arguments.vary))
    with checking_arguments():
        space_of(spec_from(arguments), vary)
    spec = checked_spec(arguments, store, subprogress(progress, 0, 0.1))
    searching = subprogress(progress, 0.1, 0.8 if arguments.fit else 1)
    request = SearchRequest(spec, n_trials=arguments.trials, vary=vary, seed=arguments.seed)
    outcome = search_anywhere(request, store, searching, arguments.device)
    document, text = document_of(outcome), describe_search(outcome)
    if arguments.fit:
        result = fit_anywhere(outcome.best_spec, store, subprogress(progress, 0.8, 1), arguments.device)
        document, text = document | {"fit": result.summary()}, f"{text}\n\n{describe(result)}"
        if has_several_folds(outcome.spec.split):
            text += "\nsearched  on images that other folds test, so that the scores above are a little too high"
    return Answer(document, text)


def document_of(result: Search) -> dict[str, Any]:
    """Document that ``search --json`` prints."""
    rows = [{name: None if value != value else value for name, value in row.items()} for row in result.trials.to_dict("records")]
    return {
        "key": result.key,
        "spec": result.spec.to_dict(),
        "varied": list(result.space),
        "best": result.best,
        "value": result.best_value,
        "validation_is_tested": has_several_folds(result.spec.split),
        "best_spec": result.best_spec.to_dict(),
        "command": result.best_spec.to_command(),
        "importances": result.importances,
        "trials": rows,
    }


def describe_search(result: Search) -> str:
    """Format the best trials as a table, the parameters' importances, and the command that fits with the best."""
    ranked = result.trials.sort_values("value", ascending=False, kind="stable", na_position="last")[:N_SHOWN]
    rows = [_row(result, trial) for trial in ranked.to_dict("records")]
    states = result.trials["state"].value_counts()
    counts = ", ".join(
        f"{states[state]} {words}" for state, words in (("pruned", "given up early"), ("failed", "failed")) if state in states
    )
    first = " of the first fold" if has_several_folds(result.spec.split) else ""
    shares = "  ".join(f"{name} {share:.0%}" for name, share in result.importances.items())
    lines = [
        table(["trial", "mean r", "time", *result.space], rows, align=">" * (3 + len(result.space))),
        "",
        f"mean r    over all vertices, on validation images: a fifth of the training images{first}, set aside",
        f"          {validation_note(result.spec.split)}",
        f"trials    {len(result.trials)}" + (f", {counts}" if counts else ""),
        f"mattered  {shares or 'too few trials to tell'}",
        f"key       {result.key}",
        "best      " + result.best_spec.to_command(),
    ]
    failed = result.trials[result.trials["state"] == "failed"]
    if len(failed):
        lines.insert(-3, f"failure   trial {failed['number'].iloc[-1]}: {failed['error'].iloc[-1]}")
    return "\n".join(lines)


def _row(result: Search, trial: Mapping[str, Any]) -> list[str]:
    value = f"{trial['value']:.4f}" if trial["state"] == "complete" else trial["state"]
    took = f"{trial['seconds']:.1f} s" if trial["seconds"] < 10 else duration(trial["seconds"])
    return [str(trial["number"]), value, took, *(_text(trial[name]) for name in result.space)]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
