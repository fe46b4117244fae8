"""``import-bids``: propose a ``dataset.toml`` for a folder of data, explained line by line."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from encoding.cli.command import PROGRAM, Answer, BadArguments, add_command
from encoding.cli.folders import run_doctor
from encoding.cli.terminal import Progress
from encoding.datasets import data_dir
from encoding.datasets.own.description import FILE
from encoding.datasets.own.importing import propose
from encoding.datasets.own.proposal import Proposal, write

MORE = """
Looks at BIDS folders with derivatives, outputs of GLMsingle, and plain folders of arrays and images. Every line comes with its reason;
what the folder leaves open is listed, and answered with --choose; what was not found is named with the line that would give it. With
--out the description is written, never over a file, and the doctor checks it.
"""


def add_commands(commands: Any) -> None:
    """Add ``import-bids``."""
    parser = add_command(
        commands,
        "import-bids",
        run_import,
        about="Look at a folder of your own data and propose its dataset.toml, with a reason for every line.",
        more=MORE,
        examples="import-bids data/scenes\nimport-bids /lab/things --out data/things/dataset.toml\n"
        "import-bids data/scenes --choose sub-01.space=native sub-01.average=yes --out data/scenes/dataset.toml",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder to look at")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"where to write the description: a new file named {FILE}, or its folder")
    parser.add_argument("--choose", nargs="+", default=[], metavar="KEY=ANSWER", help="answers to what the folder leaves open")


def run_import(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Propose a description; write and check it where that is asked. Exit code 1 where there is none yet, or the doctor finds errors."""
    if strange := [each for each in arguments.choose if "=" not in each]:
        raise BadArguments(f"--choose takes KEY=ANSWER, such as sub-01.space=native, not {strange[0]!r}.")
    target = arguments.out and arguments.out.expanduser()
    if target is not None:
        target = target / FILE if target.is_dir() else target
        if target.name != FILE:
            raise BadArguments(f"--out must name a file {FILE}, by which a folder is known as a data set, not {target.name}.")
    proposal = propose(arguments.folder.expanduser(), dict(each.split("=", 1) for each in arguments.choose))
    document = {
        "toml": proposal.toml(target and target.resolve()),
        "complete": proposal.is_complete,
        "lines": [asdict(line) | {"value": _plain(line.value)} for line in proposal.lines],
        "choices": [asdict(each) | {"options": dict(each.options)} for each in proposal.choices],
        "missing": [asdict(each) for each in proposal.missing],
        "notes": proposal.notes,
        "written": None,
    }
    text = explain_proposal(proposal, document["toml"])
    if target is None or not proposal.is_complete:
        chosen = f" --choose {shlex.join(arguments.choose)}" if arguments.choose else ""
        out = shlex.quote(str(data_dir() / proposal.folder.name / FILE))
        command = f"{PROGRAM} import-bids {shlex.quote(str(arguments.folder))}{chosen} --out {out}"
        text += f"\nNothing was written. {f'To write it: {command}' if proposal.is_complete else 'It is not complete yet: see above.'}"
        return Answer(document, text, code=0 if proposal.is_complete else 1)
    target.parent.mkdir(parents=True, exist_ok=True)
    write(proposal, target)
    progress.say(f"{target} was written. The doctor checks it.")
    checked = run_doctor(argparse.Namespace(folder=target.parent), progress)
    document |= {"written": str(target.resolve()), "findings": checked.document["findings"], "healthy": checked.document["healthy"]}
    return Answer(document, f"{text}\n\nWritten to {target}. What the doctor finds:\n\n{checked.text}", code=checked.code)


def explain_proposal(proposal: Proposal, toml: str) -> str:
    """The description with its reasons, open choices, what is missing, and notes, as text for a terminal."""
    parts = [toml]
    for needed, head in ((True, "TO BE CHOSEN FIRST"), (False, "MAY BE CHOSEN")):
        for choice in (each for each in proposal.choices if each.is_needed == needed):
            lines = [f"  --choose {shlex.quote(f'{choice.key}={answer}')}\n      {meaning}" for answer, meaning in choice.options.items()]
            parts.append("\n".join([f"{head}: {choice.question}", *lines]))
    for missing in proposal.missing:
        head = "MISSING" if missing.is_needed else "NOT FOUND"
        parts.append(f"{head}: {missing.what}\n{textwrap.indent(missing.line, '      ')}")
    if proposal.notes:
        parts.append("\n".join(["ALSO SEEN", *(f"  {note}" for note in proposal.notes)]))
    return "\n\n".join(parts)


def _plain(value: Any) -> Any:
    """A value without paths, for JSON."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else str(value) if isinstance(value, Path) else value
