"""Diagnose data before any fit: contents, problems and fixes. One module per layout.

Each layout's module has ``find(folder)``, the places within a folder that it can examine, ``examine(place, store, report)``, which
yields the findings there, and ``TELLTALES``, names that identify a folder whose layout is not quite right.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from encoding.datasets.doctor import algonauts2021, algonauts2023, img2brain, own
from encoding.datasets.doctor._findings import Finding
from encoding.datasets.doctor._nearest import nearest
from encoding.datasets.doctor.algonauts2023 import find_subjects
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.store import Store

LAYOUTS: tuple[ModuleType, ...] = (own, algonauts2023, algonauts2021, img2brain)

__all__ = ["LAYOUTS", "Finding", "diagnose", "find_subjects", "recognise"]


def diagnose(folder: Path, store: Store, report: Report = silent) -> list[Finding]:
    """Examine a folder: a data set in any known layout, one of its subjects, or the parent folder of several.

    Every image is decoded and every response read once; ``store`` remembers the results for unchanged files.

    Returns
    -------
    Findings in order; damage is reported as a finding and never raised.
    """
    places = recognise(Path(folder))
    if not places:
        fix = (
            "Name a folder that holds subj01, subj02 … (Algonauts 2023), participants_data_v2021 (2021), trainingIMG (img2brain) "
            "or a dataset.toml (your own data), or the folder above one."
        )
        return [Finding("error", f"{folder} holds no subject of any layout known here.", nearest(Path(folder), LAYOUTS), fix)]
    findings: list[Finding] = []
    for i, (layout, place) in enumerate(places):
        findings += layout.examine(place, store, subprogress(report, i / len(places), (i + 1) / len(places)))
    return list(dict.fromkeys(findings))  # several checks may stumble over the same damage


def recognise(folder: Path) -> list[tuple[ModuleType, Path]]:
    """Find the known layouts in or directly below a folder, each with the place to examine; a dataset.toml takes precedence."""
    folder = folder.resolve()
    places = [(layout, place) for layout in LAYOUTS for place in layout.find(folder)]
    described = {place.parent for layout, place in places if layout is own}
    return [(layout, place) for layout, place in places if layout is own or not described & {place, *place.parents}]
