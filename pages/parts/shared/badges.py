"""What a page says below its title: that data are simulated, and the facts of a fit."""

from __future__ import annotations

from encoding import DATASETS, Result
from encoding.datasets import Subject
from encoding.fits.composition import ComposedSpec
from encoding.runs.labels import readout_title

MARKER = "SIMULATED.txt"  # beside files of the layout of real ones that a simulation wrote
SIMULATED = ":orange-badge[Simulated: no brain was measured]"


def simulated_badge(dataset: str, subject: Subject | None = None) -> str:
    """Badge, and a space, where a data set or the files of a subject are simulated; else nothing."""
    if dataset in DATASETS and DATASETS[dataset].simulated:
        return f"{SIMULATED} "
    return f"{SIMULATED} These files say that a simulation wrote them. " if subject is not None and subject.simulated else ""


def badge_of_files(dataset: str, subject: str) -> str:
    """Badge, and a space, of a subject that was perhaps never opened: where its data set is simulated or its files are marked as such."""
    marked = any(path.name == MARKER and path.exists() for path in DATASETS[dataset].watched(subject))
    return f"{SIMULATED} " if DATASETS[dataset].simulated or marked else ""


def facts(result: Result) -> str:
    """Badge, numbers of training and test stimuli, components and readout of a fit, in a line of Markdown."""
    spec = result.plan.spec
    how = "composed" if isinstance(spec, ComposedSpec) else f"{spec.components_label}, {readout_title(spec.readout)}"
    badge = simulated_badge(spec.dataset, result.plan.subject)
    averaged = " (repeats averaged before they are scored)" if spec.average_repeats else ""
    trained, _ = result.counted("training").rsplit(" ", 1)  # what is counted stands behind the test stimuli
    return f"{badge}{trained} and {result.counted('test')}{averaged}, {how}."
