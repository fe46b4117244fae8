"""``simulate`` and ``doctor``: data on disk in a public layout, written and examined."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoding.cli.command import Answer, add_command
from encoding.cli.terminal import Progress
from encoding.datasets import DATASETS
from encoding.progress import portion
from encoding.store import Store

if TYPE_CHECKING:
    from encoding.doctor import Finding

LAYOUTS = ("algonauts2023", "img2brain")


def add_commands(commands: Any) -> None:
    """Add ``simulate`` and ``doctor``."""
    parser = add_command(
        commands,
        "simulate",
        run_simulate,
        about="Write a simulated subject to disk in the layout of a public dataset.",
        more="For trying out everything before the real data are here: set ENCODING_DATA_DIR to the folder above DIR and fit\n"
        "with the layout's name as --dataset. The files say that they are simulated.",
        examples="simulate --layout algonauts2023 --out data/algonauts2023\n"
        "simulate --layout algonauts2023 --out data/algonauts2023 --subject subj02\n"
        "simulate --layout img2brain --out data/img2brain",
    )
    parser.add_argument("--layout", choices=LAYOUTS, required=True, help="whose layout")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder in which the subject's folder is made")
    parser.add_argument("--subject", default="subj01", help="a subject of the dataset demo (default: %(default)s)")
    parser = add_command(
        commands,
        "doctor",
        run_doctor,
        about="Examine a folder of data: what is missing or wrong, what that means and how to mend it.",
        more="Exit code 1 where something would keep the data from being used.",
        examples="doctor data/algonauts2023\ndoctor data/algonauts2023/subj01 --json",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a subject's folder, or the one above it")


def run_simulate(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Open the simulated subject (simulating it first where it is not kept) and write it."""
    write = _writer(arguments.layout)
    subject = DATASETS["demo"].open(arguments.subject, Store(), portion(progress, 0, 0.5))
    folder = write(subject, arguments.out.expanduser(), portion(progress, 0.5, 1)).resolve()
    document = {"layout": arguments.layout, "subject": subject.name, "simulated": True, "folder": str(folder)}
    return Answer(document, f"A simulated subject is in {folder}\nNo brain was measured; SIMULATED.txt beside the data says so.")


def _writer(layout: str) -> Callable[..., Path]:
    """What writes a subject in a layout: ``write(subject, out, report)``, which returns the folder it made."""
    from encoding.datasets.img2brain import write_img2brain
    from encoding.layouts import write_algonauts2023

    return {"algonauts2023": write_algonauts2023, "img2brain": write_img2brain}[layout]


def run_doctor(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Every finding; exit code 1 where one is an error."""
    from encoding.doctor import diagnose

    findings = diagnose(arguments.folder.expanduser(), Store(), progress)
    n_errors, n_warnings = (sum(finding.level == level for finding in findings) for level in ("error", "warning"))
    document = {
        "folder": str(arguments.folder),
        "healthy": n_errors == 0,
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    text = "\n".join(_finding_text(finding) for finding in findings)
    verdict = "Not usable as it is" if n_errors else "Usable"
    counted = f"{_count(n_errors, 'error')}, {_count(n_warnings, 'warning')}"
    return Answer(document, f"{text}\n\n{verdict}: {counted}.", code=1 if n_errors else 0)


def _finding_text(finding: Finding) -> str:
    more = (finding.meaning, f"Mend: {finding.mend}" if finding.mend else "")
    return "\n         ".join([f"{finding.level:7}  {finding.what}", *(line for line in more if line)])


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
