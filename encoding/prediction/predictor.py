"""Predict responses to images or clips in memory; none of them is written to disk.

``prediction.predict`` does the same for whole folders and caches their features. Here one image, or a few hundred variations of it,
passes through the fit's network, components and models at once.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from encoding.backbones import Backbone
from encoding.backbones._pooling import over_frames
from encoding.datasets import Stimuli
from encoding.features import activations
from encoding.features.given import PREFIX, given_in, is_given
from encoding.fits.composition import ComposedResult
from encoding.fits.predictions import Columns, mean_over_folds, predict_fold
from encoding.fits.result import Result
from encoding.fits.score_tables import ScoreTables
from encoding.fits.training_data import inputs
from encoding.prediction.inputs import CannotPredict, check_axes, check_kind, check_tables, every_column, model_and_basis, on_axes
from encoding.readouts import Model
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Report, silent

MOST_MODELS = 64  # of folds and parts, kept restored by one predictor


class InMemory(Stimuli):
    """Images, or the frames of clips, as stimuli.

    Parameters
    ----------
    stimuli : n stimuli, each the sequence of its frames as RGB; an image is its own only frame. All have equally many.
    """

    def __init__(self, stimuli: Sequence[Sequence[Image.Image]]) -> None:
        self._frames = tuple(map(tuple, stimuli))
        self.names = tuple(f"image {number}" for number in range(1, len(self._frames) + 1))
        self.n_frames = len(self._frames[0]) if self._frames else 1

    @property
    def fingerprint(self) -> str:
        """Digest of the pixels of all frames in order."""
        hasher = hashlib.sha256()
        for frame in (frame for frames in self._frames for frame in frames):
            hasher.update(f"{frame.mode}{frame.size}".encode() + frame.tobytes())
        return f"in-memory-{self.n_frames}-{hasher.hexdigest()[:20]}"

    def __getitem__(self, index: int) -> Image.Image:
        return self._frames[index][(self.n_frames - 1) // 2]

    def frames(self, index: int) -> list[Image.Image]:
        """Frames of stimulus ``index`` as RGB."""
        return list(self._frames[index])


def folds_unseen(result: Result, row: int) -> tuple[int, ...]:
    """Folds in which a stimulus of the data set was not in the training set; empty where every model was trained on it.

    Those that test it, if there are any: rows beside a tested stretch are not trained on, either, but resemble rows that are.
    """
    plan = result.plan
    if tested := tuple(number for number, fold in enumerate(plan.folds) if row in fold.test):
        return tested
    if plan.spec.extra_subjects:  # who may have learned it
        return ()
    stimuli = plan.subject.stimulus_of_row
    return tuple(number for number, fold in enumerate(plan.folds) if stimuli[row] not in stimuli[fold.train])


@dataclass(frozen=True)
class Predictor:
    """A finished fit loaded for prediction: its network and models are in memory. Calls from several threads are serialised.

    Attributes
    ----------
    backbones : the opened network, or networks in the order of the plan's; none for a readout that opens its own.
    device : where the network runs; ``cpu`` or ``cuda``.
    """

    result: ScoreTables
    backbones: tuple[Backbone, ...]
    device: str
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _model: Callable[[str, int], Model] = field(default=None, repr=False)

    @classmethod
    def of(cls, result: ScoreTables, *, device: str = "auto") -> Predictor | ComposedPredictor:
        """Load the network, components and models of a finished fit.

        Parameters
        ----------
        result : finished fit, computed here or imported.
        device : "cpu", "cuda", … or "auto".

        Raises
        ------
        CannotPredict where the PCA axes were not kept, or components or models are no longer in the Store.
        NoWeights, ValueError where the network cannot be opened or differs from the one of the fit.
        """
        if isinstance(result, ComposedResult):
            return ComposedPredictor(result, tuple(cls.of(member, device=device) for member in result.members))
        plan, device = result.plan, choose_device(device)
        if refusal := result.prediction_refusal():
            raise CannotPredict(f"This fit cannot predict new images. {refusal}")
        if plan.spec.delays and not is_given(plan.spec.backbone):
            raise CannotPredict("This fit takes several samples of a film before each: it predicts whole runs, not single images.")
        if not result.is_complete():
            raise CannotPredict("The models of this fit are not in the Store, so nothing can be predicted with it. Fit it again.")
        backbones: list[Backbone] = []
        if plan.readout.uses_components:
            check_axes(result)
            for each in plan.networks if not given_in(plan.spec.backbone) else ():
                backbone = each.source.open(each.spec.backbone, each.spec.weights)
                if backbone.fingerprint != each.backbone_fingerprint:
                    raise CannotPredict(f"The weights of {each.spec.backbone} are not those of this fit. Fit it again.")
                backbones.append(backbone.for_passes(device))
        return cls(result, tuple(backbones), device, _model=lru_cache(maxsize=MOST_MODELS)(result.model))

    def __call__(
        self,
        stimuli: Stimuli,
        *,
        folds: Sequence[int] = (),
        columns: Columns | None = None,
        positions: dict[int, list[np.ndarray]] | None = None,
        report: Report = silent,
    ) -> dict[str, np.ndarray]:
        """Predicted responses: for each fitted hemisphere (n, n_columns) float32, NaN where no model was fitted to a vertex.

        Parameters
        ----------
        stimuli : n images; clips for a fit of clips, each with as many frames as the fit saw of it.
        folds : whose models predict, of which the mean is taken; none named means all of them.
        columns : hemisphere to the columns wanted; by default all of every fitted hemisphere.
        positions : filled, where given, with what each fold's models predict from: fold to blocks (b, k) of component scores.

        Raises
        ------
        CannotPredict where the stimuli are of another kind than the fit's. Whatever preparing or passing them forward raises.
        """
        plan, n = self.result.plan, len(stimuli)
        check_kind(plan, stimuli.n_frames)
        check_tables(plan, stimuli)
        folds = folds or range(len(plan.folds))
        columns = every_column(plan) if columns is None else columns
        predicted = {hemi: np.empty((n, len(wanted)), np.float32) for hemi, wanted in columns.items()}
        with self._turn:
            for rows, seen in self._seen(stimuli, folds):
                for fold in folds if positions is not None else ():
                    positions.setdefault(fold, []).append(seen[fold])

                def predict_one(fold: int, rows: slice = rows, seen: dict[int, Any] = seen) -> dict[str, np.ndarray]:
                    basis_of = partial(model_and_basis, partial(self._model, fold=fold), seen[fold])
                    return predict_fold(plan.target_groups, basis_of, rows.stop - rows.start, columns)

                for hemi, values in mean_over_folds(folds, predict_one).items():
                    predicted[hemi][rows] = values
                report(rows.stop / n, f"predicting: {rows.stop:,} of {n:,}")
        return predicted

    def stored(self, row: int) -> dict[str, np.ndarray]:
        """Predict the response to row ``row`` of the fit's data set; see :func:`predict_row`."""
        with self._turn:
            return predict_row(self.result, row, self._model)

    def _seen(self, stimuli: Stimuli, folds: Sequence[int]) -> Iterator[tuple[slice, dict[int, Any]]]:
        """Batch after batch: its rows, and for each fold what its models predict from."""
        plan = self.result.plan
        if is_given(plan.spec.backbone):
            table = stimuli.tables[plan.spec.backbone.removeprefix(PREFIX)]
            found = {layer: table.read(layer) for layer in plan.spec.layers}
            yield slice(0, len(stimuli)), {fold: on_axes(self.result, fold, found) for fold in folds}
            return
        if not self.backbones:
            rows, new_plan = np.arange(len(stimuli)), replace(plan, subject=replace(plan.subject, stimuli=stimuli))
            yield slice(0, len(stimuli)), dict.fromkeys(folds, inputs(new_plan, rows, None))
            return
        done = 0
        for batch in self._batches(stimuli):
            rows = slice(done, done := done + len(next(iter(batch.values()))))
            yield rows, {fold: on_axes(self.result, fold, batch) for fold in folds}

    def _batches(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Layer to features (b, n_features) float32, batch after batch; the first stimulus goes alone and tells how many go together."""
        import torch

        plan, size = self.result.plan, 1
        over, networks = plan.over_frames, list(zip(plan.networks, plan.layer_names, self.backbones, strict=True))
        with ExitStack() as stack:
            streams = [stack.enter_context(closing(activations.prepared(stimuli, each, self.device, over))) for each in self.backbones]
            while (batches := [list(islice(images, size)) for images in streams])[0]:
                made, most = {}, []
                for batch, (network, names, backbone) in zip(batches, networks, strict=True):
                    passed = backbone.activations(torch.cat(batch).to(self.device), network.spec.layers, plan.spec.pool)
                    n_bytes = sum(4 * each.numel() for each in passed.values())
                    most.append(activations.largest_batch(batch[0][:, 0].numel(), n_bytes, self.device))
                    made |= {names[layer]: over_frames(each, len(batch[0]), over).cpu().numpy() for layer, each in passed.items()}
                size = min(most) if size == 1 else size
                yield {layer: made[layer] for layer in plan.spec.layers}


@dataclass(frozen=True)
class ComposedPredictor:
    """The same for a composed fit: its members are loaded, and every stimulus passes through each one's network.

    Attributes
    ----------
    members : predictors of the members.
    """

    result: ComposedResult
    members: tuple[Predictor, ...]

    @property
    def device(self) -> str:
        """Where the networks run."""
        return self.members[0].device

    def __call__(
        self, stimuli: Stimuli, *, folds: Sequence[int] = (), columns: Columns | None = None, report: Report = silent
    ) -> dict[str, np.ndarray]:
        """Predict as :meth:`Predictor.__call__` does."""

        def predict_one(fold: int) -> dict[str, np.ndarray]:
            predicted = [member(stimuli, folds=(fold,), columns=columns) for member in self.members]
            return self.result.combine(fold, predicted, len(stimuli), columns)

        predicted = mean_over_folds(folds or range(len(self.result.plan.folds)), predict_one)
        report(1.0, f"predicted {len(stimuli):,}")
        return predicted

    def stored(self, row: int) -> dict[str, np.ndarray]:
        """Predict the response to row ``row`` of the fit's data set; see :func:`predict_row`."""
        return predict_row(self.result, row)


def predict_row(result: Result, row: int, model: Callable[[str, int], Model] | None = None) -> dict[str, np.ndarray]:
    """Predict the response to a stimulus of the data set from its stored components.

    From the models that never saw it, where there are any (:func:`folds_unseen`); else the mean over all of them.

    Parameters
    ----------
    row : of the stimulus in the data set.
    model : gives the restored model of a target group's name and a fold; by default each is read from the Store.

    Returns
    -------
    For each fitted hemisphere (n_vertices,) float32 in the units of the responses.
    """
    plan, model = result.plan, model or result.model
    if isinstance(result, ComposedResult):
        of_fold = lambda fold: {  # noqa: E731
            hemi: result.predicted_rows(fold, np.array([row]), hemi, columns) for hemi, columns in every_column(plan).items()
        }
        mean = mean_over_folds(folds_unseen(result, row) or range(len(plan.folds)), of_fold)
        return {hemi: values[0] for hemi, values in mean.items()}

    def predict_one(fold: int) -> dict[str, np.ndarray]:
        Z = result.components(fold) if plan.readout.uses_components else None
        basis_of = partial(model_and_basis, partial(model, fold=fold), inputs(plan, np.array([row]), Z))
        return predict_fold(plan.target_groups, basis_of, 1, every_column(plan))

    predicted = mean_over_folds(folds_unseen(result, row) or range(len(plan.folds)), predict_one)
    return {hemi: values[0] for hemi, values in predicted.items()}
