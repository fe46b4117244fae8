"""``fetch``: list open data sets, and download one as own data."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from encoding.cli.command import PROGRAM, Answer, BadArguments, add_command
from encoding.cli.terminal import Progress, file_size, table
from encoding.datasets import data_dir
from encoding.datasets.catalogue import Entry, entries, find_entry
from encoding.datasets.catalogue.fetch import check_allowed, fetch_dataset, is_fetched

MORE = """
Size, licence and terms are shown first, and terms have to be confirmed: at the keyboard, or with --yes. A fetch that was stopped goes on
from where it was. Files are compared with their published sizes and hashes, converted to own data (docs/own_data.md) below
ENCODING_DATA_DIR, and removed. Nothing behind a form or a password is fetched; the list says what to do for such data.
"""


def add_commands(commands: Any) -> None:
    """Add ``fetch``."""
    parser = add_command(
        commands,
        "fetch",
        run_fetch,
        about="Download an open fMRI data set and make it ready to fit.",
        more=MORE,
        examples="fetch list\nfetch kay2008\nfetch nod --subject sub-01 sub-02 --part imagenet01 imagenet02\n"
        "fetch bold_moments --stimuli AlgonautsVideos268_All_30fpsmax --yes --json",
    )
    parser.add_argument("name", metavar="NAME", help="a data set of `fetch list`, or list")
    parser.add_argument("--subject", nargs="+", default=[], metavar="S", help="subjects to fetch (default: the first)")
    parser.add_argument("--part", nargs="+", default=[], metavar="P", help="parts to fetch, where a data set has parts")
    parser.add_argument("--stimuli", type=Path, metavar="DIR", help="folder of images or clips that you have, where they are not fetched")
    parser.add_argument("--yes", action="store_true", help="confirm the terms that are shown")
    parser.add_argument("--keep", action="store_true", help="keep the downloaded files beside what is made of them")


def run_fetch(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """List the catalogue, or fetch one of its data sets."""
    if arguments.name == "list":
        if any((arguments.subject, arguments.part, arguments.stimuli, arguments.yes, arguments.keep)):
            raise BadArguments("`fetch list` shows every data set and takes no options but --json. Name a data set to fetch it.")
        return list_entries()
    entry = find_entry(arguments.name)
    subjects, parts = entry.check_choice(arguments.subject, arguments.part)
    progress.say(facts(entry, subjects, parts))
    confirmed = arguments.yes
    if entry.terms and not entry.form and not confirmed:
        if not sys.stdin.isatty():
            raise BadArguments(f"Terms have to be confirmed: add --yes where you agree. {entry.terms}")
        progress.say("Do you agree to these terms? Type yes:")
        confirmed = sys.stdin.readline().strip().lower() in ("y", "yes")
    if arguments.stimuli is not None and not entry.stimuli:
        raise BadArguments(f"{entry.name} asks for no folder of stimuli. Leave --stimuli out.")
    stimuli = arguments.stimuli and arguments.stimuli.expanduser()
    check_allowed(entry, confirmed=confirmed, stimuli=stimuli)
    done = fetch_dataset(
        entry.name, subjects=subjects, parts=parts, stimuli=stimuli, confirmed=confirmed, keep=arguments.keep, report=progress
    )
    document = document_of(entry) | {
        "folder": str(done.folder.resolve()),
        "fetched": list(done.subjects),
        "command": f"{PROGRAM} {done.command}",
        "link": done.link,
    }
    text = (
        f"{entry.title} is in {done.folder.resolve()}\ncite   {entry.citation}\nfit    {PROGRAM} {done.command}\n"
        f"look   http://localhost:8501{done.link} (while `streamlit run app.py` is running)"
    )
    return Answer(document, text)


def list_entries() -> Answer:
    """List every entry of the catalogue: what it needs, its size and its licence."""
    rows = [[entry.name, here(entry), entry.needs, entry.row["download"], entry.title] for entry in entries()]
    text = table(["data set", "here", "needs", "download", "what it is"], rows, align="<<<><")
    notes = [f"{entry.name}: {entry.form}" for entry in entries() if entry.form]
    return Answer({"datasets": [document_of(entry) for entry in entries()]}, "\n".join([text, "", *notes]).rstrip())


def facts(entry: Entry, subjects: tuple[str, ...], parts: tuple[str, ...]) -> str:
    """What is shown before a data set is fetched."""
    n_fetched, n_made = entry.sizes(subjects, parts)
    lines = {
        "what": f"{entry.title}. {entry.about}",
        "shows": entry.shows,
        "subjects": ", ".join(subjects),
        "parts": "; ".join(f"{part}: {entry.parts[part]}" for part in parts),
        "download": file_size(n_fetched) if n_fetched else "",
        "makes": f"{file_size(n_made)} in {data_dir() / entry.name}" if n_fetched else "",
        "licence": entry.licence,
        "cite": entry.citation,
        "unseen": entry.seen,
        "terms": entry.terms,
    }
    return "\n".join(f"{name:9} {text}" for name, text in lines.items() if text)


def here(entry: Entry) -> str:
    """Subjects that were fetched."""
    return ", ".join(subject for subject in entry.subjects if is_fetched(entry, subject)) or "no"


def document_of(entry: Entry) -> dict[str, Any]:
    """Describe an entry for ``--json``."""
    texts = ("name", "title", "about", "shows", "licence", "terms", "form", "citation", "page", "seen", "tried")
    files = entry.remote_files(*entry.check_choice((), ())) if entry.files else []
    return {text: getattr(entry, text) for text in texts} | {
        "needs": entry.needs,
        "subjects": list(entry.subjects),
        "parts": dict(entry.parts),
        "here": [subject for subject in entry.subjects if is_fetched(entry, subject)],
        "bytes": entry.first_bytes or None,
        "addresses": [file.address for file in files],
    }
