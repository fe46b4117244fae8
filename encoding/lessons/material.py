"""What the lessons work with outside the dashboard: the simulated subject, its truth, and the default fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encoding.datasets import DATASETS, Subject
from encoding.datasets.demo import Truth
from encoding.datasets.simulation.scenes import CATEGORIES
from encoding.evaluation.splits import Fold
from encoding.fits.plan import Plan, plan
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.lessons import _spaces
from encoding.pipeline import fit
from encoding.storage.store import Store


@dataclass(frozen=True)
class Material:
    """The simulated subject of the lessons and the fit that Explore shows by default.

    Attributes
    ----------
    result : Gabor energy, 100 components, ridge.
    truth : receptive fields, tuning and noiseless responses.
    Z : (n_stimuli, 100) float32, the fit's components.
    Y : (n_stimuli, n_vertices) float32 responses, left hemisphere first.
    """

    result: Result
    truth: Truth
    Z: np.ndarray
    Y: np.ndarray

    @classmethod
    def open(cls, store: Store | None = None) -> Material:
        """Open the material; the first time the subject is simulated and fitted, half a minute on two cores."""
        store = store or Store()
        result = fit(FitSpec(), store)
        seen = result.plan.subject
        responses = np.concatenate([seen.responses[hemi] for hemi in seen.hemis], axis=1)
        return cls(result, DATASETS["demo"].truth(seen.name, store), np.asarray(result.components()), responses)

    @property
    def subject(self) -> Subject:
        """The simulated subject."""
        return self.result.plan.subject

    @property
    def plan(self) -> Plan:
        """Plan of the default fit."""
        return self.result.plan

    @property
    def fold(self) -> Fold:
        """Its training and test rows."""
        return self.plan.folds[0]

    @property
    def ceiling(self) -> np.ndarray:
        """Noise ceilings (n_vertices,) float32 as fractions of variance, in the order of ``Y``."""
        return np.concatenate([self.subject.ceiling[hemi] for hemi in self.subject.hemis])

    def columns(self, roi: str) -> np.ndarray:
        """Columns of ``Y`` that belong to an ROI, in both hemispheres."""
        starts = np.cumsum([0, *(self.subject.responses[hemi].shape[1] for hemi in self.subject.hemis)])
        return np.concatenate([self.subject.rois[hemi][roi] + start for hemi, start in zip(self.subject.hemis, starts, strict=False)])

    def categories(self) -> np.ndarray:
        """Share of each category in each image, (n_stimuli, 6) float32 in 0 … 1."""
        return np.stack([self.subject.labels[name] for name in CATEGORIES], axis=1).astype(np.float32)

    def components(self, backbone: str, layers: Sequence[str]) -> np.ndarray:
        """Components (n_stimuli, 100) float32 of another feature space, such as ``pixels`` and ``["rgb"]``."""
        return _spaces.components(plan(FitSpec(backbone=backbone, layers=tuple(layers)), self.result.store), self.result.store)

    def features(self) -> np.ndarray:
        """Gabor energy (n_stimuli, n_features) float32 before PCA."""
        return _spaces.features(self.plan, self.result.store)
