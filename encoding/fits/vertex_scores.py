"""Scores, readout details and noise ceilings of a finished fit for every vertex, as averages over folds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from encoding.evaluation.noise_ceiling import noise_share, of_means
from encoding.evaluation.normalised_scores import from_r, has_model
from encoding.evaluation.scores import LEAST_CEILING, SCORES, pearson
from encoding.fits.plan import Plan
from encoding.fits.targets import TargetGroup
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.keys import digest
from encoding.storage.store import Store

POOLED_VERSION = 1
# prefixes of details that measure a model; others are parameters it chose
MEASURES = ("cv_", "kkt", "share_", "validation_", "train_", "weight_")


def pooled_key(fit_key: str) -> str:
    """Key of a fit's pooled r in the Store, which :func:`encoding.analysis.bootstrap.roi_intervals` computes."""
    return digest("pooled", POOLED_VERSION, fit=fit_key)


class VertexScores:
    """Scores of a finished fit for every vertex, wherever they are kept: in a Store (:class:`encoding.fits.result.Result`) or imported.

    Attributes
    ----------
    plan : the fit's spec, subject, folds and target groups.
    store : where results that are computed from this fit are kept.
    key : name of the fit in the Store.
    provenance : library versions, commit, device, seconds and spec of the original fit.
    has_data : whether the stimuli and responses are here; false for an imported fit.
    cached : whether the fit was read from the Store.
    seconds : duration of the call.
    """

    plan: Plan
    store: Store
    key: str
    provenance: Mapping[str, Any]
    _arrays: Mapping[str, np.ndarray]
    has_data: ClassVar[bool] = True
    cached: bool = True
    seconds: float = 0.0

    @property
    def n_train(self) -> int:
        """Number of training stimuli of the first fold."""
        return len(self.plan.folds[0].train)

    @property
    def n_test(self) -> int:
        """Number of test stimuli that are scored over all folds: rows, or different stimuli where repeats are averaged."""
        return len(self.test_rows())

    def counted(self, part: Literal["training", "test"]) -> str:
        """Number of training rows (of the first fold) or of scored test rows in words: :meth:`Subject.counted`."""
        return self.plan.subject.counted(f"{part} {'clips' if self.plan.of_clips else 'images'}", self._rows(part))

    def row_word(self, part: Literal["training", "test"]) -> str:
        """What :meth:`counted` counts: images or clips, trials of them, or samples."""
        return self.plan.subject.row_word("clips" if self.plan.of_clips else "images", self._rows(part))

    def _rows(self, part: Literal["training", "test"]) -> np.ndarray:
        return self.plan.folds[0].train if part == "training" else self.test_rows()

    @property
    def n_test_stimuli(self) -> int:
        """Number of independent test units (stimuli, or groups of rows), over all folds: what intervals and tests resample."""
        return sum(len(np.unique(self.plan.subject.groups[fold.test])) for fold in self.plan.folds)

    @property
    def tested_units(self) -> str:
        """:attr:`n_test_stimuli` in words, with the number of rows where that differs."""
        n = self.n_test_stimuli
        return f"{n:,} test stimuli" if n == self.n_test else f"{n:,} test stimuli or groups ({self.n_test:,} rows)"

    def _check_block(self, hemi: str) -> None:
        """UnknownName unless the subject has this block of responses, fitted or not."""
        if hemi not in self.plan.subject.responses:
            raise UnknownName(unknown("block of responses", hemi, self.plan.subject.hemis))

    @property
    def detail_names(self) -> tuple[str, ...]:
        """Names of what the readout reports for each vertex beside the scores, such as ``alpha``."""
        first = self.plan.hemis[0]
        names = [name.removeprefix(f"{first}_") for name in self._arrays if name.startswith(f"{first}_")]
        return tuple(name for name in names if name not in SCORES)

    def score(self, hemi: str, name: str = "r", *, least_ceiling: float = LEAST_CEILING) -> np.ndarray:
        """Average a score or readout detail over folds, for every vertex of a hemisphere.

        Scores are averaged by the mean; parameters that the readout chose (a penalty, a number of components, an epoch) by the median,
        the lower of two middle values, so that a fold used the value.

        Parameters
        ----------
        name : a key of :data:`encoding.evaluation.scores.SCORES`, or one of :attr:`detail_names`. Scores that need a noise ceiling
            are computed from the mean r over folds; a vertex without a model has none (NaN), and nor has any of a fit that was stored
            without the score. For ``pooled_r`` see :meth:`pooled`.
        least_ceiling : vertices with a lower noise ceiling get no normalised score (NaN).

        Returns
        -------
        (n_vertices,) float64.

        Raises
        ------
        UnknownName for a block of responses or a score that this fit does not have; ValueError where the score needs a noise ceiling
        and none is known.
        """
        if name == "pooled_r":
            return self.pooled(hemi)
        if name in SCORES and SCORES[name].needs_ceiling:
            ceiling = self.ceiling(hemi)
            if ceiling is None:
                raise ValueError(f"No noise ceiling is known for {self.plan.spec.dataset} {self.plan.spec.subject}, so no {name}.")
            return from_r(name, self.score(hemi), ceiling, least=least_ceiling, fitted=self.has_model(hemi))
        values = self._arrays.get(f"{hemi}_{name}")
        if values is None:
            self._check_block(hemi)
            if name not in SCORES:
                raise UnknownName(unknown("score of this fit", name, (*self.score_names, *self.detail_names), show=40))
            return np.full(self.plan.subject.responses[hemi].shape[1], np.nan)  # stored by a version that did not compute it yet
        values = np.asarray(values)
        if name in SCORES or name.startswith(MEASURES):
            return values.mean(0)
        return np.quantile(values, 0.5, axis=0, method="lower")

    def has_model(self, hemi: str) -> np.ndarray:
        """Whether each vertex of a hemisphere was fitted and tested, (n_vertices,) bool; the others have no score."""
        return has_model(self.score(hemi), self.score(hemi, "rmse") if f"{hemi}_rmse" in self._arrays else None)

    def fold_scores(self, hemi: str, name: str = "r") -> np.ndarray:
        """A score of every fold before it is averaged, (n_folds, n_vertices) float64; KeyError for one that is not stored."""
        return np.asarray(self._arrays[f"{hemi}_{name}"], float)

    @property
    def score_names(self) -> tuple[str, ...]:
        """Keys of the scores that this fit has: some need a noise ceiling, some are of images only, ``pooled_r`` is of several folds."""
        known = self.plan.subject.ceiling is not None
        return tuple(
            name
            for name, score in SCORES.items()
            if (known or not score.needs_ceiling)
            and not (score.images_only and self.plan.of_clips)
            and (not score.pooled or self.has_pooled)
        )

    @property
    def has_pooled(self) -> bool:
        """Whether there are several folds and r over all of them together was computed."""
        return len(self.plan.folds) > 1 and self.derived(pooled_key(self.key)) is not None

    def pooled(self, hemi: str) -> np.ndarray:
        """r of every vertex (n_vertices,) over the predictions of all folds together; that of the one fold under hold-out.

        NaN where it was not computed (:attr:`has_pooled`).
        """
        self._check_block(hemi)
        if len(self.plan.folds) == 1:
            return self.score(hemi)
        found = self.derived(pooled_key(self.key))
        return np.full(self.plan.subject.responses[hemi].shape[1], np.nan) if found is None else np.asarray(found[f"{hemi}_r"], float)

    def ceiling(self, hemi: str) -> np.ndarray | None:
        """Noise ceiling (n_vertices,) as the explainable fraction of the variance of what is scored, 0 to 1; None where unknown.

        Of the mean of k repeats it is c / (c + (1 - c) / k), with c the ceiling of single rows.
        """
        self._check_block(hemi)
        if self.plan.subject.ceiling is None:
            return None
        return of_means(np.asarray(self.plan.subject.ceiling[hemi]), self._noise_share)

    @cached_property
    def _noise_share(self) -> float:
        return noise_share(self.plan.subject.stimulus_of_row, self.plan.folds) if self.plan.spec.average_repeats else 1.0

    def kept_epochs(self, group: TargetGroup, fold: int = 0) -> np.ndarray:
        """Epochs, from 1 and without repeats, whose weights a fold's model of a target group holds; one unless ROIs stop apart."""
        kept = [self._arrays.get(f"{hemi}_best_epoch") for hemi in group.columns]
        if any(epochs is None for epochs in kept):
            return np.zeros(0, int)
        epochs = [np.asarray(epochs)[fold][columns] for epochs, columns in zip(kept, group.columns.values(), strict=True)]
        return np.unique(np.concatenate(epochs)).astype(int)

    def roi_labels(self, hemi: str) -> np.ndarray:
        """Names of each vertex's ROIs, separated by spaces, (n_vertices,) object."""
        self._check_block(hemi)
        labels = [[] for _ in range(self.plan.subject.responses[hemi].shape[1])]
        for roi, columns in self.plan.subject.rois[hemi].items():
            for column in columns:
                labels[column].append(roi)
        return np.array([" ".join(names) for names in labels], dtype=object)

    def layer_shares(self, hemi: str) -> dict[str, np.ndarray]:
        """Product measure: layer, or layer and delay, to its share of R² (n_vertices,); shares add up to ``r2``.

        Empty unless these were treated apart.
        """
        names = [f"share_{number}" for number in range(len(self.plan.bands))]
        known = [name for name in names if f"{hemi}_{name}" in self._arrays]
        return {band: self.score(hemi, name) for band, name in zip(self.plan.bands, known, strict=False)}

    def test_rows(self) -> np.ndarray:
        """Row numbers of the test stimuli (n_test,), fold after fold; of repeats that are averaged, the first."""
        return np.concatenate([self.plan.scored_rows(fold) for fold in self.plan.folds])

    def test_r(self, predicted: np.ndarray, measured: np.ndarray) -> float:
        """Pearson r of one vertex, averaged over folds; ``predicted`` and ``measured`` (n_test,) are in the order of :meth:`test_rows`."""
        ends = np.cumsum([len(self.plan.scored_rows(fold)) for fold in self.plan.folds])[:-1]
        return float(np.mean([pearson(p, m) for p, m in zip(np.split(predicted, ends), np.split(measured, ends), strict=True)]))
