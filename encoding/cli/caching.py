"""``cache``: list, verify and prune the results in the Store."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping
from typing import Any

from encoding.cli.command import Answer, BadArguments, Parser, add_command
from encoding.cli.terminal import Progress, file_size, table
from encoding.fits.open import models_of_composed
from encoding.fits.spec import FitSpec
from encoding.runtime.registry import UnknownName, unknown
from encoding.runtime.wording import counted
from encoding.storage.inventory import StoreEntry, entries, in_use, needed_members, prune, size_of
from encoding.storage.inventory import chosen as chosen_of
from encoding.storage.store import Store

STAGES = ("features", "components", "moments", "weights", "fit", "search")  # the pipeline's; a Store may hold others as well

PRUNE_MORE = """
Without --stage, --older or --all only what is damaged or was left half written is removed. Nothing that is removed
is lost: it is computed again when it is next needed. But imported fits cannot be: only --stage imported and --all remove them.
What a running fit uses, the trials of a search that is going on and the members of a composed fit that is not removed itself stay.
"""


def add_commands(commands: Any) -> None:
    """Add ``cache list``, ``cache verify`` and ``cache prune``."""
    about = "See, check or shrink the folder of finished results (ENCODING_CACHE_DIR)."
    group: Parser = commands.add_parser("cache", help=about, description=about)
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_command(actions, "list", run_list, about="Show every result that is kept and its size.", examples="cache list\ncache list --json")
    add_command(
        actions,
        "verify",
        run_verify,
        about="Read every result again and move the damaged ones aside.",
        more="Exit code 1 where a damaged one was found. It is computed again when it is next needed.",
        examples="cache verify",
    )
    parser = add_command(
        actions,
        "prune",
        run_prune,
        about="Remove results to make room.",
        more=PRUNE_MORE,
        examples="cache prune\ncache prune --older 30\ncache prune --stage features --dry-run\ncache prune --all",
    )
    parser.add_argument("--stage", metavar="STAGE", help=f"only results of one stage, such as {', '.join(STAGES)}")
    parser.add_argument("--older", type=days, metavar="DAYS", help="only results made more than so many days ago")
    parser.add_argument("--all", action="store_true", help="every result")
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed and remove nothing")


def days(text: str) -> float:
    """Parse a number of days, 0 or more."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of days of 0 or more is needed, not {text!r}")
    return number


def run_list(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """List every result with the spec it belongs to, oldest first."""
    store = Store()
    results = [_about(store, one) for one in entries(store)]
    n_bytes = sum(result["bytes"] for result in results)
    rows = [[one["key"], file_size(one["bytes"]), (one["created"] or "")[:16].replace("T", " "), _purpose(one["spec"])] for one in results]
    total = f"{counted(len(results), 'result')}, {file_size(n_bytes)} in {store.root}"
    text = f"{table(['result', 'size', 'made (UTC)', 'first for'], rows, align='<><<')}\n\n{total}" if results else total
    return Answer({"folder": str(store.root), "bytes": n_bytes, "results": results}, text)


def _about(store: Store, one: StoreEntry) -> dict[str, Any]:
    try:
        provenance = store.provenance(one.key) or {}
    except ValueError:  # damaged: `cache verify` says so
        provenance = {}
    written = datetime.datetime.fromtimestamp(one.written, datetime.UTC).isoformat(timespec="seconds")
    spec = provenance.get("made_from", {}).get("spec")
    return {"key": one.key, "stage": one.stage, "bytes": one.n_bytes, "created": provenance.get("created", written), "spec": spec}


def _purpose(spec: Mapping[str, Any] | None) -> str:
    if spec is None:
        return ""
    try:
        named = FitSpec.as_stored(spec)
    except ValueError:  # written by hand, or by something else
        return ""
    return f"{named.dataset} {named.subject}, {named.network_and_layers}, {named.readout}"


def run_verify(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Verify all checksums and quarantine damaged results."""
    store = Store()
    n_results = len(store.keys())
    damaged = store.verify(report=progress)
    document = {"folder": str(store.root), "checked": n_results, "damaged": damaged}
    if not damaged:
        return Answer(document, f"All {n_results:,} results in {store.root} are sound.")
    removed = "\n".join(f"moved aside {key}" for key in damaged)
    return Answer(
        document, f"{removed}\n{len(damaged):,} of {n_results:,} results were damaged. They are computed again when needed.", code=1
    )


def run_prune(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Remove the selected results, by default the damaged ones, and always incomplete files."""
    store = Store()
    every = entries(store)
    stages = dict.fromkeys([*STAGES, *(one.stage for one in every)])
    if arguments.all and (arguments.stage is not None or arguments.older is not None):
        raise BadArguments("--all removes every result. Leave it out to choose by --stage or --older.")
    if arguments.stage is not None and arguments.stage not in stages:
        raise UnknownName(unknown("stage", arguments.stage, stages))
    chosen = arguments.all or arguments.stage is not None or arguments.older is not None
    if arguments.all:
        targets = every
    elif chosen:
        targets = chosen_of(every, stages=[arguments.stage] if arguments.stage else (), older_days=arguments.older or 0.0)
    else:
        damaged = set(store.verify(remove=False, report=progress))
        targets = [one for one in every if one.key in damaged]
    models = models_of_composed(store, {one.key for one in targets}) if chosen else {}  # damaged ones are of no use to anybody
    targets = [one for one in targets if one.key not in models]
    if arguments.dry_run:
        kept = in_use(store, targets)
        members = needed_members(store, targets, kept)
        removed = [one for one in targets if one not in kept and one.key not in members]
        leftovers = [*store.leftovers(), *store.set_aside()]
        n_leftovers, n_bytes = len(leftovers), sum(map(size_of, leftovers)) + sum(one.n_bytes for one in removed)
    else:
        done = prune(store, targets)
        removed, kept, members = list(done.removed), list(done.in_use), done.members
        n_leftovers, n_bytes = done.n_leftovers, done.n_bytes
    document = {"folder": str(store.root), "dry_run": arguments.dry_run, "removed": [one.key for one in removed]}
    document |= {
        "in_use": [one.key for one in kept],
        "members": dict(members),
        "models": models,
        "leftovers": n_leftovers,
        "bytes": n_bytes,
    }
    return Answer(document, _prune_text(document, kind="chosen" if chosen else "damaged"))


def _prune_text(document: Mapping[str, Any], *, kind: str) -> str:
    would, freed = ("Would remove", "would be freed") if document["dry_run"] else ("Removed", "freed")
    number = len(document["removed"])
    results = counted(number, "result" if kind == "chosen" else "damaged result")
    unfinished = f" and {document['leftovers']:,} left half written" if document["leftovers"] else ""
    text = f"{would} {results}{unfinished}: {file_size(document['bytes'])} {freed} in {document['folder']}"
    if document["in_use"]:
        text += f"\nKept, as a fit or a search that is going on uses it: {', '.join(document['in_use'])}"
    if document["members"]:
        named = ", ".join(f"{member} (of {of})" for member, of in document["members"].items())
        text += f"\nKept, as composed fits that stay are made of them: {named}"
    if document["models"]:
        of = ", ".join(dict.fromkeys(document["models"].values()))
        text += f"\nKept, as composed fits that stay predict with them: {len(document['models']):,} models and components, of {of}"
    if kind == "damaged":
        text += "\nTo make more room: --older DAYS, --stage STAGE or --all; with --dry-run nothing is removed yet."
    return text
