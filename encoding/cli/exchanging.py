"""``export``, ``import`` and ``report``: write and read fits as single files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from encoding.cli.command import Answer, BadArguments, add_command, check_out_place
from encoding.cli.terminal import Progress, file_size
from encoding.fits.result import Result
from encoding.runs.exchange import BAD_SENDER, export, import_, is_sender
from encoding.runs.exchange_models import export_refusal
from encoding.runs.report import MOST_RESULTS, report
from encoding.runs.table import open_run
from encoding.runtime.progress import subprogress
from encoding.storage.atomic import atomic_file
from encoding.storage.store import Store

KEY_HELP = "a fit's key, shown by `fit` and `cache list`; as many of its first characters as only it has"

EXPORT_MORE = """
The file holds scores, ROIs, noise ceilings, places on the cortex, and bootstrap intervals and the learning curve where they were
computed: enough to see tables, brains and scatters and to compare, without the data set. Models of linear readouts go along, so that
new images can be predicted with the fit; --no-models leaves them out. No image, no response, and not the network's own weights.
"""
IMPORT_MORE = """
The fit is kept under a name of its own and marked as imported; it never stands in for one that is computed here. It is on the
Compare page, and `report` takes its key; so do `predict` and the Predict page where its models came along. The file is checked before
anything of it is kept.
"""
REPORT_MORE = f"""
One HTML page of some 7 MB that asks no other file or host: settings, provenance, charts, brains, tables, and how to have the same
again. With several keys (up to {MOST_RESULTS}) the first is compared with each of the others: differences in every ROI and, where
bootstrap intervals were computed (the Explore page does), their 95 % intervals and a paired test.
"""


def add_commands(commands: Any) -> None:
    """Add ``export``, ``import`` and ``report``."""
    about = "Write a finished fit into one file that another person can open."
    parser = add_command(commands, "export", run_export, about=about, more=EXPORT_MORE, examples="export 3fa92c --out alexnet.zip --by Ada")
    parser.add_argument("key", metavar="KEY", help=KEY_HELP)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write; it must not exist")
    parser.add_argument("--by", default="", metavar="NAME", help="who sends it, for the receiver to read (default: not said)")
    parser.add_argument("--no-models", action="store_true", help="leave the readout's models out; nothing can be predicted then")
    about = "Open a file that `export` wrote and keep what it holds."
    parser = add_command(commands, "import", run_import, about=about, more=IMPORT_MORE, examples="import alexnet.zip")
    parser.add_argument("file", type=Path, metavar="FILE", help="the file")
    about = "Write a report of a fit, or of several compared, as one HTML file."
    examples = "report 3fa92c --out report.html\nreport 3fa92c 71b0de --out comparison.html"
    parser = add_command(commands, "report", run_report, about=about, more=REPORT_MORE, examples=examples)
    parser.add_argument("key", nargs="+", metavar="KEY", help=KEY_HELP)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write; it must not exist")


def run_export(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Write a finished fit to an archive."""
    _check_new(arguments.out)
    if not is_sender(arguments.by):
        raise BadArguments(BAD_SENDER)
    result = open_run(arguments.key, Store(), progress)
    refusal = "" if arguments.no_models else export_refusal(result)
    path = export(result, arguments.out, by=arguments.by, models=not arguments.no_models)
    n_bytes = path.stat().st_size
    models = not (arguments.no_models or refusal)
    document = {"key": result.key, "file": str(path), "bytes": n_bytes, "by": arguments.by, "models": models, "kept_back": refusal}
    without = "" if models else f"\nWithout its models: nothing can be predicted from it. {refusal}".rstrip()
    return Answer(document, f"{result.key} is in {path} ({file_size(n_bytes)}). `import` opens it elsewhere.{without}")


def run_import(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Validate an archive and add its fit to the Store."""
    if not arguments.file.expanduser().exists():
        raise BadArguments(f"There is no file {arguments.file}.")
    store = Store()
    result = import_(arguments.file, store)
    own = result.origin["fit"] if result.origin["fit"] in store else None
    spec = result.plan.spec
    refusal = result.prediction_refusal()
    document = {"key": result.key, "spec": spec.to_dict(), "simulated": result.plan.subject.simulated, "origin": dict(result.origin)}
    document |= {"cannot_predict": refusal, "computed_here": own}
    what = f"{spec.dataset} {spec.subject}, {spec.network_and_layers}, {spec.readout}"
    sender = result.origin["by"] or "not said"
    here = f"\nhere too   {own}: this Store has computed the same fit; `runs` marks the imported one" if own else ""
    simulated = "\nSimulated: no brain was measured." if document["simulated"] else ""
    predicts = f"no: {refusal}" if refusal else "yes, new images, by `predict` or on the Predict page"
    return Answer(document, f"{what}\nsent by    {sender}\nkey        {result.key}\npredicts   {predicts}{here}{simulated}")


def run_report(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Write an HTML report of one or more fits."""
    _check_new(arguments.out)
    keys = list(dict.fromkeys(arguments.key))
    if len(keys) > MOST_RESULTS:
        raise BadArguments(f"A report compares {MOST_RESULTS} fits at most, not {len(keys)}.")
    store, results = Store(), list[Result]()
    for number, key in enumerate(keys):
        results.append(open_run(key, store, subprogress(progress, 0.8 * number / len(keys), 0.8 * (number + 1) / len(keys))))
    progress(0.8, "writing the report")
    path = arguments.out.expanduser()
    with atomic_file(path, "w", overwrite=False) as file:
        file.write(report(results, store))
    document = {"keys": [result.key for result in results], "file": str(path), "bytes": path.stat().st_size}
    return Answer(document, f"The report is in {path} ({file_size(document['bytes'])}); any browser opens it, with no network.")


def _check_new(path: Path) -> None:
    if path.expanduser().exists():
        raise FileExistsError(f"{path} exists already. Name another file.")
    check_out_place(path)
