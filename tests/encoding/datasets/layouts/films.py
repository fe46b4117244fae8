"""Write simulated films as a folder of one's own data: responses of each run, and the features of every sample as a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoding.datasets.simulation.films import Films


def write_films(films: Films, folder: Path, *, subject: str = "sub01", table: str = "film") -> Path:
    """Write films into a new folder, which says that they are simulated; the folder.

    Raises
    ------
    FileExistsError where the folder exists.
    """
    (folder / "features").mkdir(parents=True)
    names = [f"run{run + 1}.npy" for run in np.unique(films.runs)]
    for run, name in zip(np.unique(films.runs), names, strict=True):
        np.save(folder / name, films.responses[films.runs == run])
    np.save(folder / "features" / f"{table}.npy", films.features)
    files = ", ".join(f'"{name}"' for name in names)
    (folder / "dataset.toml").write_text(
        f'title = "Simulated films"\nsimulated = true\n[time]\ntr = {films.tr}\n[subjects.{subject}]\nresponses = [{files}]\n', "utf-8"
    )
    return folder
