"""Write a simulated subject in the layout of a public data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from encoding.runtime.progress import Report, silent, subprogress

if TYPE_CHECKING:
    from encoding.storage.store import Store

LAYOUTS = ("algonauts2021", "algonauts2023", "img2brain")
N_CLIPS = 60


def simulate_layout(
    layout: str, out: Path, store: Store, report: Report = silent, *, subject: str | None = None, n_stimuli: int | None = None
) -> tuple[Path, list[str]]:
    """Write simulated data in a layout, using the simulation that the Store holds where it is there.

    Parameters
    ----------
    layout : one of :data:`LAYOUTS`.
    out : the folder in which the data are written.
    subject : of the dataset demo; None takes subj01, or of algonauts2021 every one, who share their clips.
    n_stimuli : images or clips with responses; None takes as many images as the demo has, or :data:`N_CLIPS` clips.

    Returns
    -------
    folder : Path
        What was written: of images the subject's folder.
    subjects : list of str
        Names of the subjects in it.

    Raises
    ------
    FileExistsError
        Where the data exist.
    """
    if layout == "algonauts2021":
        from encoding.datasets.simulation.cortex import SUBJECTS
        from encoding.datasets.writers.algonauts2021 import simulate_algonauts2021

        names = [subject] if subject else list(SUBJECTS)
        folder = simulate_algonauts2021(out, report, n_clips=n_stimuli or N_CLIPS, subjects=names)
        return folder, [name.replace("subj", "sub") for name in names]

    from encoding.datasets import DATASETS
    from encoding.datasets.demo import Demo
    from encoding.datasets.writers.algonauts2023 import write_algonauts2023
    from encoding.datasets.writers.img2brain import write_img2brain

    demo = Demo(n_stimuli=n_stimuli) if n_stimuli else DATASETS["demo"]
    simulated = demo.open(subject or "subj01", store, subprogress(report, 0, 0.5))
    write = {"algonauts2023": write_algonauts2023, "img2brain": write_img2brain}[layout]
    return write(simulated, out, subprogress(report, 0.5, 1)), [simulated.name]
