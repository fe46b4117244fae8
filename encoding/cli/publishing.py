"""``publish``: write finished fits and experiments as a folder of static web pages."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from encoding.backbones import NotInstalled, NoWeights
from encoding.cli.command import Answer, BadArguments, add_command, check_out_place, checking_arguments, whole_number
from encoding.cli.experimenting import read_experiment
from encoding.cli.terminal import Progress, file_size
from encoding.datasets import BadData
from encoding.evaluation.splits import WITHIN
from encoding.experiments.experiment import Experiment
from encoding.experiments.graph import plan_cells
from encoding.experiments.records import find_record
from encoding.experiments.table import long_table
from encoding.fits.open import FitChanged
from encoding.fits.result import Result
from encoding.fits.score_tables import ScoreTables
from encoding.fits.training_data import is_complete
from encoding.runs.table import all_runs, find_run, open_run, tested
from encoding.runtime.progress import Report, subprogress
from encoding.runtime.registry import UnknownName
from encoding.runtime.wording import counted
from encoding.sites.site import Supplement, comparable, mean_r, publish
from encoding.storage.store import Store

MOST_FITS = 24  # that get a page unless --most says otherwise
CANNOT_OPEN = (BadData, FileNotFoundError, FitChanged, NoWeights, NotInstalled, UnknownName)  # of one fit of many

MORE = """
The folder holds an index, a page for each fit (brain, bars with intervals and noise ceilings, predictions, tables, provenance), a heatmap
where a subject has several fits, and comparisons with --compare. It opens in any browser from a disk or from any web host, needs no server
and no Python, and asks no other host: a supplement of a paper, or a page of a lab. About 7 MB are shared by all pages; each fit adds up to
3 MB. Only stored results are read: a fit has intervals and predicted responses where these, and its data, are here.

No stimulus is published and no response of a single vertex, but names of test stimuli and their responses averaged over regions are: see
that the terms of the data set allow it. Notes and tags stay here unless --notes is given.
"""


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``publish``."""
    parser = add_command(
        commands,
        "publish",
        run_publish,
        about="Write fits or an experiment as a folder of static web pages.",
        more=MORE,
        examples="publish 3fa92c --out site\npublish 3fa92c 71b0de --compare 3fa92c --out site\npublish grid.toml --out site",
    )
    parser.add_argument(
        "what",
        nargs="*",
        metavar="KEY|EXPERIMENT",
        help="keys of fits, or an experiment's key or file; the first characters of a key suffice (default: every fit)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write; it must not exist")
    parser.add_argument("--title", default="", help="of the site (default: the experiment's, or Encoding models)")
    parser.add_argument("--compare", metavar="KEY", help="one of the fits; each other fit of its subject is compared with it")
    parser.add_argument(
        "--most",
        type=whole_number,
        default=MOST_FITS,
        metavar="N",
        help=f"fits with a page, by mean r (default {MOST_FITS})",
    )
    parser.add_argument("--notes", action="store_true", help="publish notes and tags on the fits as well")


def run_publish(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Open the fits and write the site."""
    out = arguments.out.expanduser()
    if out.exists():
        raise FileExistsError(f"{out} exists already. Name another folder.")
    check_out_place(arguments.out)
    if arguments.most < 1:
        raise BadArguments(f"--most must be 1 or more, not {arguments.most}.")
    store, opening = Store(), subprogress(progress, 0, 0.3)
    experiment = _experiment(arguments.what, store)
    supplement, left_out = None, dict[str, str]()
    if experiment is not None:
        cells = plan_cells(experiment.cells(), store, opening)
        plans = [each.plan for each in cells if each.plan is not None and WITHIN not in each.plan.spec.split]  # none that only validates
        results: list[ScoreTables] = [Result(each, store) for each in plans if is_complete(each, store)]
        supplement = Supplement(title=experiment.title, toml=experiment.to_toml(), table=long_table(cells, store))
        if not results:
            raise BadArguments("No fit of this experiment is finished yet. `python -m encoding experiment run` computes them.")
    else:
        results, left_out = _open_fits(arguments.what, arguments.most, store, opening)
    results = list({result.key: result for result in results}.values())
    baseline = None
    if arguments.compare is not None:
        baseline = open_run(find_run(arguments.compare, store), store)
        results = results if any(each.key == baseline.key for each in results) else [baseline, *results]
    if len(results) > arguments.most:
        results, dropped = _best(results, arguments.most, baseline)
        left_out |= dict.fromkeys(dropped, "--most")
    if baseline is not None and not comparable(baseline, results):
        raise BadArguments(f"--compare {arguments.compare}: no other fit here is tested on the same subject, in a hemisphere of both.")
    title = arguments.title or (experiment.title if experiment else "") or "Encoding models"
    about = {"title": title, "baseline": baseline, "supplement": supplement, "notes": arguments.notes}
    path = publish(results, out, store, **about, report=subprogress(progress, 0.3, 1))
    files = [each for each in path.rglob("*") if each.is_file()]
    n_bytes = sum(each.stat().st_size for each in files)
    document = {"folder": str(path), "fits": [each.key for each in results], "left_out": left_out, "files": len(files), "bytes": n_bytes}
    fits = counted(len(results), "fit is", "fits are")
    text = f"{fits} in {path} ({file_size(n_bytes)}). Open {path / 'index.html'}, or copy the folder to a web host."
    if left_out:
        text += "\n" + "\n".join(
            f"left out  {key}: {'not among the best ' + str(arguments.most) if why == '--most' else why}" for key, why in left_out.items()
        )
    return Answer(document, text)


def _open_fits(wanted: Sequence[str], most: int, store: Store, report: Report) -> tuple[list[ScoreTables], dict[str, str]]:
    """Open the fits whose keys begin with ``wanted``, or else the best ``most``; and the key of each that is left out to the reason."""
    keys = [find_run(key, store) for key in dict.fromkeys(wanted)] or _best_first(store)
    results, left_out = [], {}
    for number, key in enumerate(keys):
        if len(results) == most and not wanted:
            left_out[key] = "--most"
            continue
        try:
            results.append(open_run(key, store, subprogress(report, number / len(keys), (number + 1) / len(keys))))
        except CANNOT_OPEN as error:
            if wanted:
                raise
            left_out[key] = str(error)
    if not results:
        raise BadArguments(f"{store.root} holds no fit that opens. `python -m encoding fit` makes one.")
    return results, left_out


def _experiment(what: list[str], store: Store) -> Experiment | None:
    """The experiment that a single argument names by its file or key; None where it names fits."""
    if len(what) != 1:
        return None
    path = Path(what[0]).expanduser()
    with checking_arguments():
        if path.suffix == ".toml" or path.is_file():
            return read_experiment(path)
    with suppress(UnknownName):
        find_run(what[0], store)
        return None
    with suppress(UnknownName):
        return Experiment.from_toml(find_record(what[0], store).toml)
    return None  # the message on fits says what there is


def _best_first(store: Store) -> list[str]:
    """Keys of all runs with test scores, the highest mean r first."""
    return list(tested(all_runs(store)).sort_values("r_mean", ascending=False, kind="stable")["key"])


def _best(results: list[ScoreTables], n: int, baseline: ScoreTables | None) -> tuple[list[ScoreTables], list[str]]:
    """The ``n`` fits with the highest mean r, in their order, the baseline always among them; and the keys of the others."""
    ranked = sorted(results, key=lambda each: (baseline is None or each.key != baseline.key, -mean_r(each)))
    kept = {each.key for each in ranked[:n]}
    return [each for each in results if each.key in kept], [each.key for each in results if each.key not in kept]
