"""Predictions of pictures that are in memory alone: nothing of them is written anywhere.

``prediction.predict`` does the same for whole folders, whose features it keeps. Here one picture, or a few hundred variations of it,
goes through the fit's own network, components and models at once.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from encoding.backbones import Backbone
from encoding.backbones._pooling import over_frames
from encoding.datasets import Stimuli
from encoding.features import extraction as features
from encoding.fits.plan import Plan
from encoding.fits.result import Result
from encoding.fits.targets import TargetGroup
from encoding.fits.training_data import inputs, is_complete, restored, stored_components
from encoding.prediction.predict import CannotPredict, check_axes, check_kind, on_axes
from encoding.readouts import Model
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Report, silent

Columns = Mapping[str, np.ndarray]
MOST_MODELS = 64  # of folds and parts, kept restored by one predictor


class InMemory(Stimuli):
    """Pictures, or the frames of clips, as stimuli.

    Parameters
    ----------
    shown : n stimuli, each the sequence of its frames as RGB; a picture is its own only frame. All have equally many.
    """

    def __init__(self, shown: Sequence[Sequence[Image.Image]]) -> None:
        self._shown = tuple(map(tuple, shown))
        self.names = tuple(f"picture {number}" for number in range(1, len(self._shown) + 1))
        self.n_frames = len(self._shown[0]) if self._shown else 1

    @property
    def fingerprint(self) -> str:
        """Names the pixels of all frames in order."""
        found = hashlib.sha256()
        for frame in (frame for frames in self._shown for frame in frames):
            found.update(f"{frame.mode}{frame.size}".encode() + frame.tobytes())
        return f"in-memory-{self.n_frames}-{found.hexdigest()[:20]}"

    def __getitem__(self, index: int) -> Image.Image:
        return self._shown[index][(self.n_frames - 1) // 2]

    def frames(self, index: int) -> list[Image.Image]:
        return list(self._shown[index])


def predict_images(result: Result, images: Sequence[Image.Image], *, device: str = "auto") -> dict[str, np.ndarray]:
    """Predicted responses to pictures in memory, in the units of the data set's responses; nothing is kept.

    With a k-fold split it is the mean over the folds' models. :class:`Predictor` predicts again and again without opening the network
    anew, and predicts from clips.

    Returns
    -------
    For each fitted hemisphere (n, n_vertices) float32, NaN where no model was fitted to a vertex.

    Raises
    ------
    CannotPredict, as :meth:`Predictor.of`.
    """
    return Predictor.of(result, device=device)(InMemory([[image] for image in images]))


def folds_unseen(result: Result, row: int) -> tuple[int, ...]:
    """The folds whose models never saw a stimulus of the data set; empty where every model was trained on it."""
    return tuple(number for number, fold in enumerate(result.plan.folds) if row in fold.test)


@dataclass(frozen=True)
class Predictor:
    """A finished fit that stands ready: its network opened, its models read. Threads that use it at the same time take turns.

    Attributes
    ----------
    backbone : the opened network; None for a readout that opens its own.
    device : where the network runs; ``cpu`` or ``cuda``.
    """

    result: Result
    backbone: Backbone | None
    device: str
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _model: Callable[[int, str], Model] = field(default=None, repr=False)

    @classmethod
    def of(cls, result: Result, *, device: str = "auto") -> Predictor:
        """That of a finished fit.

        Raises
        ------
        CannotPredict where the axes of its components were not kept, or its components or models are no longer in the Store.
        NoWeights, ValueError where its network cannot be opened, or is not what it was.
        """
        planned, store, device = result.plan, result.store, choose_device(device)
        if told := planned.refusal(store):
            raise CannotPredict(f"This fit cannot predict new pictures. {told}")
        if not is_complete(planned, store):
            raise CannotPredict("The models of this fit are not in the Store, so nothing can be predicted with it. Fit it again.")
        backbone = None
        if planned.readout.needs != "stimuli":
            check_axes(planned, store)
            backbone = planned.source.open(planned.spec.backbone, planned.spec.weights)
            if backbone.fingerprint != planned.backbone_fingerprint:
                raise CannotPredict(f"The weights of {planned.spec.backbone} are not those of this fit. Fit it again.")
            backbone = backbone.to(device)
        parts = {part.name: part for part in planned.target_groups}

        @lru_cache(maxsize=MOST_MODELS)
        def model(fold: int, part: str) -> Model:
            return restored(planned, planned.folds[fold], parts[part], store)

        return cls(result, backbone, device, _model=model)

    def __call__(
        self,
        stimuli: Stimuli,
        *,
        folds: Sequence[int] = (),
        columns: Columns | None = None,
        report: Report = silent,
    ) -> dict[str, np.ndarray]:
        """Predicted responses: for each fitted hemisphere (n, n_columns) float32, NaN where no model was fitted to a vertex.

        Parameters
        ----------
        stimuli : n pictures; clips for a fit of clips, each with as many frames as the fit saw of it.
        folds : whose models predict, of which the mean is taken; none named means all of them.
        columns : hemisphere to the columns wanted; by default all of every fitted hemisphere.

        Raises
        ------
        CannotPredict where the stimuli are of another kind than the fit's. Whatever preparing or passing them forward raises.
        """
        planned, n = self.result.plan, len(stimuli)
        check_kind(planned, stimuli.n_frames)
        folds = folds or range(len(planned.folds))
        columns = every_column(planned) if columns is None else columns
        found = {hemi: np.zeros((n, len(chosen)), np.float32) for hemi, chosen in columns.items()}
        with self._turn:
            for rows, seen in self._seen(stimuli, folds):
                for fold in folds:
                    self._add(found, rows, fold, seen[fold], columns)
                report(rows.stop / n, f"predicting: {rows.stop:,} of {n:,}")
        fitted = fitted_columns(planned)
        for hemi, values in found.items():
            values /= len(folds)
            values[:, ~np.isin(columns[hemi], fitted.get(hemi, ()))] = np.nan
        return found

    def stored(self, row: int) -> dict[str, np.ndarray]:
        """:func:`predict_row` of this fit."""
        with self._turn:
            return predict_row(self.result, row, self._model)

    def _seen(self, stimuli: Stimuli, folds: Sequence[int]) -> Iterator[tuple[slice, dict[int, Any]]]:
        """Batch after batch: its rows, and for each fold what its models predict from."""
        planned, store = self.result.plan, self.result.store
        if self.backbone is None:
            rows = np.arange(len(stimuli))
            yield slice(0, len(stimuli)), dict.fromkeys(folds, inputs(_showing(planned, stimuli), rows, None))
            return
        done = 0
        for batch in self._batches(stimuli):
            rows = slice(done, done := done + len(next(iter(batch.values()))))
            yield rows, {fold: on_axes(planned, planned.folds[fold], batch, store) for fold in folds}

    def _batches(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Layer to features (b, n_features) float32, batch after batch; the first stimulus goes alone and tells how many go together."""
        import torch

        planned, size = self.result.plan, 1
        layers, over = planned.spec.layers, planned.over_frames
        with closing(features.prepared(stimuli, self.backbone, self.device, over)) as images:
            while batch := list(islice(images, size)):
                passed = self.backbone.activations(torch.cat(batch).to(self.device), layers, planned.spec.pool)
                if size == 1:
                    size = features.largest_batch(batch[0], sum(4 * each.numel() for each in passed.values()), self.device)
                yield {layer: over_frames(each, len(batch[0]), over).cpu().numpy() for layer, each in passed.items()}

    def _add(self, found: dict[str, np.ndarray], rows: slice, fold: int, seen: Any, columns: Columns) -> None:
        """Add what a fold's models predict to the rows of a batch."""
        for part in self.result.plan.target_groups:
            if wanted := wanted_of(part, columns):
                model = self._model(fold, part.name)
                basis = model.basis(seen)
                for hemi, (places, targets) in wanted.items():
                    found[hemi][rows, places] += model.predict_from(basis, targets)


def predict_row(result: Result, row: int, model: Callable[[int, str], Model] | None = None) -> dict[str, np.ndarray]:
    """The predicted response to a stimulus of the data set, from its stored components: per fitted hemisphere (n_vertices,) float32.

    From the models that never saw it, where there are any (:func:`folds_unseen`); else the mean over all of them.

    Parameters
    ----------
    model : gives the restored model of a fold and part; by default each is read from the Store.
    """
    planned, store = result.plan, result.store
    folds = folds_unseen(result, row) or range(len(planned.folds))
    columns, fitted = every_column(planned), fitted_columns(planned)
    found = {hemi: np.zeros(len(chosen), np.float32) for hemi, chosen in columns.items()}
    for fold in folds:
        Z = None if planned.readout.needs == "stimuli" else stored_components(planned, planned.folds[fold], store)
        seen = inputs(planned, np.array([row]), Z)
        for part in planned.target_groups:
            known = model(fold, part.name) if model else restored(planned, planned.folds[fold], part, store, Z)
            basis = known.basis(seen)
            for hemi, (places, targets) in wanted_of(part, columns).items():
                found[hemi][places] += known.predict_from(basis, targets)[0] / len(folds)
    for hemi, values in found.items():
        values[~np.isin(columns[hemi], fitted[hemi])] = np.nan
    return found


def every_column(planned: Plan) -> dict[str, np.ndarray]:
    """Fitted hemisphere to all its columns."""
    return {hemi: np.arange(planned.subject.responses[hemi].shape[1]) for hemi in planned.hemis}


def fitted_columns(planned: Plan) -> dict[str, np.ndarray]:
    """Hemisphere to the columns that have a model."""
    found: dict[str, list[np.ndarray]] = {}
    for part in planned.target_groups:
        for hemi, columns in part.columns.items():
            found.setdefault(hemi, []).append(columns)
    return {hemi: np.concatenate(columns) for hemi, columns in found.items()}


def wanted_of(part: TargetGroup, columns: Columns) -> dict[str, tuple[Any, Any]]:
    """Hemisphere to the places among ``columns`` that a part predicts, and the targets of its model that those are."""
    found: dict[str, tuple[Any, Any]] = {}
    for hemi, place in part.places().items():
        if hemi not in columns:
            continue
        own, asked = part.columns[hemi], np.asarray(columns[hemi])
        if len(own) == len(asked) and np.array_equal(own, asked):
            found[hemi] = (slice(None), place)  # nothing is copied
        elif len(places := np.flatnonzero(np.isin(asked, own))):
            found[hemi] = (places, place.start + np.searchsorted(own, asked[places]))
    return found


def _showing(planned: Plan, stimuli: Stimuli) -> Plan:
    return replace(planned, subject=replace(planned.subject, stimuli=stimuli))
