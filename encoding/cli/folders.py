"""``simulate`` and ``doctor``: write a simulated data set in a public layout, and validate a data folder."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoding.cli.command import Answer, BadArguments, add_command, check_out_folder, whole_number
from encoding.cli.terminal import Progress
from encoding.datasets.writers.simulated import LAYOUTS, N_CLIPS, simulate_layout
from encoding.runtime.wording import counted
from encoding.storage.store import Store

if TYPE_CHECKING:
    from encoding.datasets.doctor import Finding

FEWEST_STIMULI = 20


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
        "simulate --layout algonauts2021 --out data/algonauts2021 --stimuli 200\n"
        "simulate --layout img2brain --out data/img2brain",
    )
    parser.add_argument("--layout", choices=LAYOUTS, required=True, help="whose layout")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder in which the data are written")
    parser.add_argument("--subject", help="a subject of the dataset demo (default: subj01; of algonauts2021 every one)")
    parser.add_argument(
        "--stimuli",
        type=whole_number,
        metavar="N",
        help=f"images or clips with responses (default: as many images as the demo has, {N_CLIPS} clips)",
    )
    parser = add_command(
        commands,
        "doctor",
        run_doctor,
        about="Examine a folder of data: what is missing or wrong, what that means and how to fix it.",
        more="The layout is recognised: Algonauts 2023 and 2021, img2brain, or your own data with a dataset.toml.\n"
        "Exit code 1 where something would keep the data from being used.",
        examples="doctor data\ndoctor data/algonauts2023/subj01 --json",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a data set's folder, one subject's, or the one above several")


def run_simulate(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Write a simulated data set in the requested layout, using the cached simulation where there is one."""
    if arguments.stimuli is not None and arguments.stimuli < FEWEST_STIMULI:
        raise BadArguments(f"--stimuli must be {FEWEST_STIMULI} or more, not {arguments.stimuli}: fewer cannot be split and fitted.")
    check_out_folder(arguments.out)
    out = arguments.out.expanduser()
    folder, subjects = simulate_layout(arguments.layout, out, Store(), progress, subject=arguments.subject, n_stimuli=arguments.stimuli)
    document = {
        "layout": arguments.layout,
        "subject": subjects[0],
        "subjects": subjects,
        "simulated": True,
        "folder": str(folder.resolve()),
    }
    what = "A simulated subject is" if len(subjects) == 1 else f"Simulated subjects ({', '.join(subjects)}) are"
    text = f"{what} in {folder.resolve()}\nNo brain was measured; SIMULATED.txt beside the data says so."
    if out.name == arguments.layout:
        start = f"ENCODING_DATA_DIR={shlex.quote(str(out.resolve().parent))}"
        text += f"\nTo look at it: {start} encoding-explorer, and choose {arguments.layout} on the Data page."
    return Answer(document, text)


def run_doctor(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Validate a data folder and list all findings; exit code 1 if one is an error."""
    from encoding.datasets.doctor import diagnose

    findings = diagnose(arguments.folder.expanduser(), Store(), progress)
    n_errors, n_warnings = (sum(finding.level == level for finding in findings) for level in ("error", "warning"))
    document = {
        "folder": str(arguments.folder),
        "healthy": n_errors == 0,
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    text = "\n".join(_finding_text(finding) for finding in findings)
    verdict = "Not usable as it is" if n_errors else "Usable"
    errors, warnings = (counted(n, kind) if n else f"no {kind}s" for n, kind in ((n_errors, "error"), (n_warnings, "warning")))
    return Answer(document, f"{text}\n\n{verdict}: {errors}, {warnings}.", code=1 if n_errors else 0)


def _finding_text(finding: Finding) -> str:
    more = (finding.meaning, f"Fix: {finding.fix}" if finding.fix else "")
    return "\n         ".join([f"{finding.level:7}  {finding.what}", *(line for line in more if line)])
