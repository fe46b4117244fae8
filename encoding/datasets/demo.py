"""Two simulated subjects viewing images drawn by code: no download, known ground truth.

The first opening draws the images and simulates the responses (some ten seconds on two cores). The result is kept in the Store and
memory-mapped afterwards. :mod:`encoding.datasets.simulation` describes the simulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import PIL
from PIL import Image

from encoding.datasets._base import Stimuli, Subject
from encoding.datasets._registry import DATASETS, Dataset
from encoding.datasets._rois import ROI_CLASSES
from encoding.datasets.simulation import cortex, responses, scenes
from encoding.datasets.simulation.cortex import HEMIS, SUBJECTS, Hemisphere
from encoding.datasets.simulation.scenes import CATEGORIES, Scenes
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.keys import digest
from encoding.storage.store import Store

SEED, UNLABELLED_SEED = 2023, 2024  # of the scenes with responses, and of those without


class SceneImages(Stimuli):
    """Simulated scenes as stimuli, memory-mapped."""

    def __init__(self, drawn: Scenes, *, fingerprint: str) -> None:
        self.names = tuple(f"scene {i:04d} ({category})" for i, category in enumerate(drawn.category, start=1))
        self._images = drawn.images
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> str:
        """Digest of the scenes."""
        return self._fingerprint

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(np.array(self._images[index]))


@dataclass(frozen=True)
class Truth:
    """Ground truth of a simulated subject.

    Attributes
    ----------
    scenes : the stimuli with all that is in them.
    cortex : per hemisphere, receptive field, tuning and ceiling of every vertex.
    signal : per hemisphere (n_stimuli, n_vertices) float32, the responses before noise, standardised per vertex.
    """

    scenes: Scenes
    cortex: Mapping[str, Hemisphere]
    signal: Mapping[str, np.ndarray]


class Demo(Dataset):
    """The simulated data set; tests use smaller ones with fewer stimuli."""

    name = "demo"
    title = "Demo (simulated)"
    about = "Two simulated subjects with known truth who look at drawn scenes; no brain was measured and nothing is downloaded."
    simulated = True

    def __init__(self, *, n_stimuli: int = 1000, n_unlabelled: int = 50) -> None:
        self.n_stimuli, self.n_unlabelled = n_stimuli, n_unlabelled

    def subjects(self) -> tuple[str, ...]:
        return tuple(SUBJECTS)

    def roi_names(self) -> Mapping[str, tuple[str, ...]]:
        return ROI_CLASSES

    def where(self) -> str:
        return "Simulated on this machine the first time it is opened, in some ten seconds."

    def is_ready(self, subject: str, store: Store) -> bool:
        """Whether the subject's simulation is in the Store."""
        keys = (self.stimuli_key, self.unlabelled_key, self.responses_key(subject))
        return all(key in store for key in keys)

    def open(self, subject: str, store: Store, report: Report = silent) -> Subject:
        """Open a subject, simulated first where ``store`` does not have it.

        Raises
        ------
        UnknownName where there is no such subject.
        """
        key = self.responses_key(subject)
        seen = self._scenes(self.stimuli_key, store, subprogress(report, 0, 0.55))
        unlabelled = self._scenes(self.unlabelled_key, store, subprogress(report, 0.55, 0.6))
        found = self._answers(key, subject, store, seen, subprogress(report, 0.6, 1))
        halves = {hemi: _half(found, hemi) for hemi in HEMIS}
        return Subject(
            dataset=self.name,
            name=subject,
            stimuli=SceneImages(seen, fingerprint=self.stimuli_key),
            unlabelled=SceneImages(unlabelled, fingerprint=self.unlabelled_key),
            responses={hemi: found[f"{hemi}_responses"] for hemi in HEMIS},
            fingerprints={hemi: f"{key}-{hemi}" for hemi in HEMIS},
            rois={hemi: half.rois for hemi, half in halves.items()},
            groups=np.arange(self.n_stimuli),
            vertices={hemi: half.vertices for hemi, half in halves.items()},
            ceiling={hemi: half.ceiling for hemi, half in halves.items()},
            labels={"category": seen.category, **dict(zip(CATEGORIES, seen.strength.T, strict=True))},
            simulated=True,
        )

    def truth(self, subject: str, store: Store, report: Report = silent) -> Truth:
        """Return the ground truth of a subject, simulated first where ``store`` does not have it."""
        key = self.responses_key(subject)
        seen = self._scenes(self.stimuli_key, store, subprogress(report, 0, 0.6))
        found = self._answers(key, subject, store, seen, subprogress(report, 0.6, 1))
        return Truth(seen, {hemi: _half(found, hemi) for hemi in HEMIS}, {hemi: found[f"{hemi}_signal"] for hemi in HEMIS})

    @property
    def stimuli_key(self) -> str:
        """Store key of the scenes with responses."""
        return _scenes_key(self.n_stimuli, SEED)

    @property
    def unlabelled_key(self) -> str:
        """Store key of the scenes without responses."""
        return _scenes_key(self.n_unlabelled, UNLABELLED_SEED)

    def responses_key(self, subject: str) -> str:
        """Store key of a subject's responses, computed without simulating them."""
        if subject not in SUBJECTS:
            raise UnknownName(unknown("subject of demo", subject, SUBJECTS))
        return digest("responses", responses.VERSION, stimuli=self.stimuli_key, subject=subject, cortex=cortex.VERSION)

    def _scenes(self, key: str, store: Store, report: Report) -> Scenes:
        n, seed = (self.n_stimuli, SEED) if key == self.stimuli_key else (self.n_unlabelled, UNLABELLED_SEED)
        made_from = {"simulated": True, "scenes": n, "seed": seed, "pillow": PIL.__version__}
        return Scenes(**store.memo(key, lambda: vars(scenes.scenes(n, seed=seed, report=report)), made_from))

    def _answers(self, key: str, subject: str, store: Store, seen: Scenes, report: Report) -> dict[str, np.ndarray]:
        made_from = {"simulated": True, "subject": subject, "stimuli": self.stimuli_key}
        return store.memo(key, lambda: _simulate(subject, seen, report), made_from)


def _scenes_key(n: int, seed: int) -> str:
    return digest("stimuli", scenes.VERSION, n=n, seed=seed, size=scenes.SIZE, pillow=PIL.__version__)  # its lines differ between versions


def _simulate(subject: str, seen: Scenes, report: Report) -> dict[str, np.ndarray]:
    """Per hemisphere the responses, the signal in them, and every array of :class:`Hemisphere`, named ``lh_…`` and ``rh_…``."""
    halves = cortex.truth(subject)
    signal = responses.signals(halves, seen, report)
    arrays = {}
    for number, (hemi, half) in enumerate(halves.items()):
        rng = np.random.default_rng([SUBJECTS[subject], number, 1])
        answers = {"responses": responses.simulate_responses(signal[hemi], half.ceiling, rng), "signal": signal[hemi]}
        arrays |= {f"{hemi}_{name}": values for name, values in (answers | vars(half)).items()}
    return arrays


def _half(truth: Mapping[str, np.ndarray], hemi: str) -> Hemisphere:
    return Hemisphere(**{field.name: truth[f"{hemi}_{field.name}"] for field in fields(Hemisphere)})


DATASETS.register("demo", Demo())
