"""Result of a finished fit in a Store: its scores, and predictions, models and components of each fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from encoding.evaluation.splits import Fold
from encoding.features.components import read_axes
from encoding.features.delays import Delays
from encoding.fits.plan import Plan
from encoding.fits.predictions import predict_fold
from encoding.fits.score_tables import ScoreTables
from encoding.fits.targets import TargetGroup
from encoding.fits.training_data import delays_of, inputs, is_complete, restored, stored_components
from encoding.readouts import Model
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.keys import digest
from encoding.storage.npy import read_block
from encoding.storage.store import Store


@dataclass(frozen=True)
class Result(ScoreTables):
    """Result of :func:`encoding.fit`; arrays are read from the Store on first use.

    Attributes
    ----------
    plan : the fit's spec, subject, folds and stage keys.
    cached : whether the fit was read from the Store.
    seconds : duration of the call.
    """

    plan: Plan
    store: Store
    cached: bool = True
    seconds: float = 0.0

    @property
    def key(self) -> str:
        """Key of the fit in the Store."""
        return self.plan.key

    @cached_property
    def provenance(self) -> Mapping[str, Any]:
        """What made the fit: versions, device, time."""
        return self.store.provenance(self.key) or {}

    @cached_property
    def _arrays(self) -> Mapping[str, np.ndarray]:
        arrays = self.store.get(self.key)
        if arrays is None:
            raise FileNotFoundError(f"{self.key} is no longer in the Store. Fit it again.")
        return arrays

    def derived(self, key: str) -> Mapping[str, np.ndarray] | None:
        """Read a stored result that was computed from this fit, such as bootstrap intervals, by its key; None where it is not stored."""
        return self.store.get(key)

    def prediction_refusal(self) -> str:
        """Explain why this fit cannot predict new stimuli, whatever is computed again; empty where it can."""
        return ""

    def is_complete(self) -> bool:
        """Whether models and components are stored, so that nothing has to be computed before a prediction."""
        return is_complete(self.plan, self.store)

    def kept_variance(self) -> list[dict[str, Any]]:
        found = []
        of_pca = self.plan.readout.uses_components and self.plan.spec.reduction == "pca"
        for layers in self.plan.spaces if of_pca else ():
            stored = [self.store.get(self.plan.components_key(fold, layers)) for fold in self.plan.folds]
            if any(arrays is None for arrays in stored):
                return []
            shares = [float(arrays["variance"].sum() / max(float(arrays["total_variance"]), np.finfo(float).tiny)) for arrays in stored]
            found.append({"layers": list(layers), "reduced": self.plan.is_reduced(layers), "explained": float(np.mean(shares))})
        return found

    def projection(self, fold: int, layers: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Read the mean (n_features,) and axes (n_features, k) that project features of some layers on a fold's components.

        Raises
        ------
        FileNotFoundError where they are no longer in the Store.
        """
        made = self.store.get(self.plan.components_key(self._fold(fold), layers))
        if made is None:
            raise FileNotFoundError("The components of this fit are no longer in the Store. Fit it again.")
        return made["mean"], read_axes(made)

    def _fold(self, number: int) -> Fold:
        """A fold of the split by its number from 0; IndexError for one that it does not have."""
        n_folds = len(self.plan.folds)
        if not 0 <= number < n_folds:
            raise IndexError(f"This fit has {_range('fold', n_folds)}, so there is no {number}.")
        return self.plan.folds[number]

    def _columns(self, hemi: str, columns: Sequence[int] | np.ndarray) -> np.ndarray:
        """Check wanted columns, (n_columns,) int64; see :meth:`predicted` for what is refused."""
        self._check_block(hemi)
        wanted = np.asarray(columns)
        if wanted.ndim != 1 or (len(wanted) and wanted.dtype.kind not in "iu"):
            raise ValueError(f"columns must be a list of whole numbers, such as [0, 5], not {columns!r}; of a mask take np.flatnonzero.")
        n_columns = self.plan.subject.responses[hemi].shape[1]
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < n_columns:
            wrong = wanted[(wanted < 0) | (wanted >= n_columns)][0]
            raise IndexError(f"{hemi} has {_range('column', n_columns)}, so there is no {wrong}.")
        return wanted.astype(np.int64, copy=False)

    def delays(self, fold: int) -> Delays:
        """Delays in samples of a fold's models, given or chosen; empty where components are of the same row."""
        return delays_of(self.plan, self._fold(fold), self.store)

    def model(self, group: str, fold: int = 0) -> Model:
        """Read the fitted model of one fold and target group; groups are named ``lh``, ``both``, ``lh V1v`` or ``lh 120``."""
        known = {each.name: each for each in self.plan.target_groups}
        if group not in known:
            raise UnknownName(unknown("target group of this fit", group, known))
        return restored(self.plan, self._fold(fold), known[group], self.store)

    def history(self, fold: int = 0) -> dict[str, Mapping[str, np.ndarray]]:
        """Training curves by target group, such as ``train_loss`` (n_epochs,); empty where nothing was trained by epochs."""
        chosen = self._fold(fold)
        models = {group.name: self.store.get(self.plan.weights_key(chosen, group)) for group in self.plan.target_groups}
        histories = {name: Model.shared_fields(arrays)["history"] for name, arrays in models.items() if arrays is not None}
        return {name: history for name, history in histories.items() if history}

    def components(self, fold: int = 0) -> np.ndarray:
        """Component scores (n_stimuli, k) float32 that a fold's models predict from."""
        return stored_components(self.plan, self._fold(fold), self.store)

    def predicted(self, hemi: str, columns: Sequence[int] | np.ndarray) -> np.ndarray:
        """Predict the test stimuli, each with the model of the fold that held it out.

        Parameters
        ----------
        columns : columns of the hemisphere, in any order.

        Returns
        -------
        (n_test, n_columns) float32 in the order of :meth:`test_rows`; NaN for vertices that were not fitted.

        Raises
        ------
        UnknownName for a block of responses that the subject does not have, IndexError for a column, from 0, that the block does not have,
        ValueError for what is no list of whole numbers.
        """
        blocks = [
            self.plan.over_repeats(fold, self.predicted_rows(number, fold.test, hemi, columns))
            for number, fold in enumerate(self.plan.folds)
        ]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def predicted_rows(self, fold: int, rows: np.ndarray, hemi: str, columns: Sequence[int] | np.ndarray) -> np.ndarray:
        """Predict stimuli with one fold's models, whether or not they were trained on them.

        Parameters
        ----------
        rows : (n_rows,) stimuli.
        columns : columns of the hemisphere, in any order.

        Returns
        -------
        (n_rows, n_columns) float32; NaN for vertices that were not fitted.
        """
        chosen, wanted = self._fold(fold), self._columns(hemi, columns)
        Z = stored_components(self.plan, chosen, self.store) if self.plan.readout.uses_components else None
        basis_of = partial(self._basis, chosen, rows, Z)
        return predict_fold(self.plan.target_groups, basis_of, len(rows), {hemi: wanted})[hemi]

    def _basis(self, fold: Fold, rows: np.ndarray, Z: np.ndarray | None, group: TargetGroup) -> tuple[Model, Any]:
        """A group's model of a fold and its basis of some stimuli; kept in the Store where it takes a network to compute."""
        model = restored(self.plan, fold, group, self.store, Z)
        if self.plan.readout.uses_components:
            return model, model.basis(inputs(self.plan, rows, Z))
        weights = self.plan.weights_key(fold, group)
        key = digest("basis", 1, weights=weights, rows=rows.tolist())
        make = lambda: {"basis": model.basis(inputs(self.plan, rows, None))}  # noqa: E731
        return model, self.store.memo(key, make, {"weights": weights})["basis"]

    def measured(self, hemi: str, columns: Sequence[int] | np.ndarray) -> np.ndarray:
        """Responses (n_test, n_columns) float32 in the order of :meth:`test_rows`; raises as :meth:`predicted` does."""
        chosen = self._columns(hemi, columns)
        responses = self.plan.subject.responses[hemi]
        blocks = [
            self.plan.over_repeats(fold, np.asarray(read_block(responses, fold.test, chosen), np.float32)) for fold in self.plan.folds
        ]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _range(name: str, n: int) -> str:
    return f"the {name}s 0 to {n - 1}" if n > 1 else f"the one {name} 0"
