"""Fits composed of other fits: the prediction of each vertex is a weighted mean of the predictions of its members.

    best layer per ROI     weight 1 for the member that was chosen for the vertex, 0 for the others
    ensemble               equal weights, or weights learned on validation stimuli (:mod:`encoding.experiments.stacking`)

Members are fits of one subject with the same split. A composed fit has a key of the stage ``fit``, so that it opens wherever a fit does;
its scores are computed from its own predictions of the test stimuli.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from encoding.backbones._base import JOIN
from encoding.evaluation.resampling import blocks_of
from encoding.evaluation.scores import SCORES_VERSION, STORED_SCORES, score
from encoding.fits.plan import Plan
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.readouts import Model, Readout
from encoding.runtime.progress import Report, silent
from encoding.storage.keys import digest
from encoding.storage.npy import read_block
from encoding.storage.store import Store

COMPOSITION_VERSION = 1
READOUT = "composed"
WEIGHT = "weight_"  # prefix of the detail that holds a member's weights


class NotComposed(ValueError):
    """Fits cannot be members of one composed fit, or a composed fit is asked for what only its members have. The message says which."""


@dataclass(frozen=True, kw_only=True)
class ComposedSpec(FitSpec):
    """Spec of a composed fit: what its members have in common. It names no model by itself.

    Attributes
    ----------
    command : the shell command that makes the fit.
    key : of the fit in the Store; empty for one that is not stored.
    """

    command: str = ""
    key: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As :meth:`FitSpec.to_dict`, so that :class:`FitSpec` reads it."""
        return {name: value for name, value in super().to_dict().items() if name not in ("command", "key")}

    def to_command(self, *, full: bool = False) -> str:
        """The command that makes the composed fit from an experiment."""
        return self.command

    def to_python(self, *, full: bool = False) -> str:
        """Python that opens the composed fit."""
        lines = ["from encoding import Store", "from encoding.fits.open import open_fit", "", f'result = open_fit("{self.key}", Store())']
        return "\n".join([*lines, "result.rois()"])


class _Composed(Readout):
    """Stands where a plan names its readout; it fits nothing."""

    name, title, about = READOUT, "Composed", "Weighted mean of other fits' predictions."
    uses_moments = False
    export_refusal = "It is composed of other fits. Export these to pass their models on."

    def fit(self, data: Any, options: Any, **more: Any) -> NoReturn:
        raise NotComposed("A composed fit is made of other fits, by encoding.experiments.compose.")


@dataclass(frozen=True)
class ComposedPlan(Plan):
    """Plan of a composed fit: subject, folds and spec; its keys are those of its members.

    Attributes
    ----------
    member_plans : plans of the members.
    """

    spec: ComposedSpec
    member_plans: tuple[Plan, ...] = ()

    @cached_property
    def key(self) -> str:
        """Key of the composed fit in the Store."""
        return self.spec.key

    @property
    def stage_keys(self) -> list[str]:
        """Keys of everything that the members read or write in the Store, and the fit's own."""
        return [self.key, *(key for plan in self.member_plans for key in plan.stage_keys)]


@dataclass(frozen=True)
class ComposedResult(Result):
    """Result of a composed fit.

    Attributes
    ----------
    members : the fits that it is composed of.
    weights : hemisphere to (n_folds, n_members, n_vertices) float32, from 0, summing to 1 over members.
    """

    members: tuple[Result, ...] = ()
    weights: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False)

    def prediction_refusal(self) -> str:
        """Explain why a member cannot predict new stimuli; empty where all can."""
        return next((refusal for member in self.members if (refusal := member.prediction_refusal())), "")

    def is_complete(self) -> bool:
        """Whether models and components of every member are stored."""
        return all(member.is_complete() for member in self.members)

    def kept_variance(self) -> list[dict[str, Any]]:
        """Empty: each member has components of its own."""
        return []

    def history(self, fold: int = 0) -> dict[str, Mapping[str, np.ndarray]]:
        """Empty: each member was trained by itself."""
        return {}

    def projection(self, fold: int, layers: tuple[str, ...]) -> NoReturn:
        """Always raises NotComposed: each member has components of its own."""
        raise NotComposed(f"{self.key} is composed of {len(self.members)} fits, each with components of its own: open one of them.")

    def components(self, fold: int = 0) -> NoReturn:
        """Always raises NotComposed: each member has components of its own."""
        self.projection(fold, ())

    def model(self, group: str, fold: int = 0) -> Model:
        """Always raises NotComposed: each member has models of its own."""
        raise NotComposed(f"{self.key} is composed of {len(self.members)} fits, each with models of its own: open one of them.")

    def predicted_rows(self, fold: int, rows: np.ndarray, hemi: str, columns: Sequence[int] | np.ndarray) -> np.ndarray:
        """As :meth:`Result.predicted_rows`, the weighted mean over members."""
        self._fold(fold)
        columns = self._columns(hemi, columns)
        if hemi not in self.weights:  # not fitted
            return np.full((len(rows), len(columns)), np.nan, np.float32)
        predict = lambda member, some: member.predicted_rows(fold, rows, hemi, columns[some])  # noqa: E731
        return weighted_mean(self.weights[hemi][fold][:, columns], self.members, predict, len(rows))

    def combine(
        self, fold: int, predictions: Sequence[Mapping[str, np.ndarray]], n: int, columns: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Average what the members predict of n stimuli with the weights of a fold.

        Parameters
        ----------
        predictions : of each member, hemisphere to (n, n_columns).
        columns : hemisphere to the columns that were predicted; by default all.

        Returns
        -------
        Hemisphere to (n, n_columns) float32.
        """
        mixed = {}
        for hemi in predictions[0]:
            W = self.weights[hemi][fold] if columns is None else self.weights[hemi][fold][:, columns[hemi]]
            pick = lambda predicted, some, hemi=hemi: predicted[hemi][:, some]  # noqa: E731
            mixed[hemi] = weighted_mean(W, predictions, pick, n)
        return mixed

    def member_of(self, hemi: str, fold: int = 0) -> np.ndarray:
        """Number of the member with the largest weight for each vertex, (n_vertices,) int."""
        return self.weights[hemi][fold].argmax(0)


def weighted_mean(weights: np.ndarray, members: Sequence[Any], predict: Any, n: int) -> np.ndarray:
    """Average the members' predictions of some columns.

    Parameters
    ----------
    weights : (n_members, n_columns).
    predict : ``predict(member, some)``, a member's predictions (n, len(some)) of some of the columns; it is called for columns in which the
        member has a weight, so that a member need not have a model of every vertex.

    Returns
    -------
    (n, n_columns) float32.
    """
    total = np.zeros((n, weights.shape[1]), np.float32)
    for member, weight in zip(members, weights, strict=True):
        some = np.flatnonzero(weight)
        if len(some):
            total[:, some] += weight[some].astype(np.float32) * predict(member, some)
    return total


def composed(
    members: Sequence[Result],
    weights: Mapping[str, np.ndarray],
    *,
    key: str = "",
    options: Mapping[str, Any] | None = None,
    command: str = "",
    only_tested: bool = False,
) -> ComposedResult:
    """Compose fits in memory; nothing is stored and no score computed.

    Parameters
    ----------
    members : fits of one subject with the same split and hemispheres.
    weights : hemisphere to (n_folds, n_members, n_vertices), from 0, summing to 1 over members.
    options : how it was composed; shown as the parameters of its readout.
    only_tested : whether it is asked for its test stimuli alone, so that members may differ in frames and in the vertices they predict.

    Raises
    ------
    NotComposed where the members do not go together; ValueError where weights are of another shape or do not sum to 1.
    """
    first = members[0].plan
    for member in members:
        _check_alike(first, member.plan, only_tested)
    for hemi in first.hemis:
        shape = (len(first.folds), len(members), first.subject.responses[hemi].shape[1])
        W = weights[hemi]
        if W.shape != shape or (W < 0).any() or not np.allclose(W.sum(1), 1, atol=1e-4):
            raise ValueError(f"Weights of {hemi} must be {shape}, from 0, and sum to 1 over members; not {W.shape}.")
    specs = [member.plan.spec for member in members]
    values = {each.name: getattr(specs[0], each.name) for each in fields(FitSpec)}
    values |= {"backbone": " + ".join(dict.fromkeys(spec.backbone for spec in specs))}
    several = len({spec.backbone for spec in specs}) > 1
    layers = [f"{spec.backbone} {layer}" if several and JOIN not in spec.backbone else layer for spec in specs for layer in spec.layers]
    values |= {"layers": tuple(dict.fromkeys(layers))}
    values |= {"weights": specs[0].weights if len({spec.weights for spec in specs}) == 1 else FitSpec.weights}
    values |= {"n_components": max(spec.n_components for spec in specs), "target_groups": FitSpec.target_groups, "extra_subjects": ()}
    values |= {"readout": READOUT, "options": tuple({"members": len(members), **(options or {})}.items())}
    own = {each.name: getattr(first, each.name) for each in fields(Plan)}
    sources = [member.plan.source for member in members]
    readout = _Composed()
    readout.uses_components = all(member.plan.readout.uses_components for member in members)
    own |= {"spec": ComposedSpec(**values, command=command, key=key), "readout": readout, "options": None}
    own |= {"source": next((source for source in sources if source.needs_weights), sources[0])}
    own |= {"extra_subjects": (), "reduced_layers": (), "former": False}
    plan = ComposedPlan(**own, member_plans=tuple(member.plan for member in members))
    return ComposedResult(plan, members[0].store, members=tuple(members), weights=weights)


def _check_alike(first: Plan, other: Plan, only_tested: bool) -> None:
    """NotComposed unless two plans are of the same subject, split and hemispheres."""
    for name in ("dataset", "subject", "split", "average_repeats", *(() if only_tested else ("frames",))):
        one, another = getattr(first.spec, name), getattr(other.spec, name)
        if one != another:
            raise NotComposed(f"Fits of one composed fit must have the same {name.replace('_', ' ')}; these have {one} and {another}.")
    if first.hemis != other.hemis or dict(first.subject.fingerprints) != dict(other.subject.fingerprints):
        raise NotComposed("Fits of one composed fit must be of the same responses and hemispheres.")
    if not only_tested and _n_fitted(first) != _n_fitted(other):
        raise NotComposed("Fits of one composed fit must predict the same vertices: give them the same target groups.")


def _n_fitted(plan: Plan) -> dict[str, int]:
    counts = dict.fromkeys(plan.hemis, 0)
    for group in plan.target_groups:
        for hemi, columns in group.columns.items():
            counts[hemi] += len(columns)
    return counts


def store_composed(result: ComposedResult, how: Mapping[str, Any], report: Report = silent) -> ComposedResult:
    """Score a composed fit on its test stimuli and keep it in the Store, from where its key opens it.

    Parameters
    ----------
    how : how it was composed, JSON-serialisable; kept beside it.
    """
    started, store, plan = time.perf_counter(), result.store, result.plan
    if plan.key not in store:
        arrays: dict[str, np.ndarray] = {}
        for number, hemi in enumerate(plan.hemis):
            report(number / len(plan.hemis), f"scoring {hemi} of the composed fit")
            arrays |= {f"{hemi}_{name}": values for name, values in _scores(result, hemi).items()}
            W = np.asarray(result.weights[hemi], np.float32)
            arrays |= {f"{hemi}_{WEIGHT}{member}": W[:, member] for member in range(len(result.members))}
        plan.check_unchanged(store)
        members = [member.key for member in result.members]
        composition = {"members": members, "options": dict(plan.spec.options), "command": plan.spec.command} | dict(how)
        store.put(plan.key, arrays, plan.made_from(composition=composition, device="cpu", fit_seconds=time.perf_counter() - started))
    report(1.0, "done")
    return result


def composed_key(members: Sequence[Result], weights: Mapping[str, np.ndarray]) -> str:
    """Key of a composed fit: a digest of its members and of their weights."""
    sums = {hemi: hashlib.sha256(np.ascontiguousarray(W, "<f4")).hexdigest()[:20] for hemi, W in weights.items()}
    return digest("fit", SCORES_VERSION, composed=COMPOSITION_VERSION, members=[member.key for member in members], weights=sums)


def _scores(result: ComposedResult, hemi: str) -> dict[str, np.ndarray]:
    """Score to (n_folds, n_vertices) float64 on each fold's test rows; NaN where nothing is tested."""
    plan = result.plan
    responses = plan.subject.responses[hemi]
    n = responses.shape[1]
    arrays = {name: np.full((len(plan.folds), n), np.nan) for name in STORED_SCORES}
    for number, fold in enumerate(plan.folds):
        for columns in blocks_of(np.arange(n), len(fold.test)) if len(fold.test) else ():
            measured = plan.over_repeats(fold, np.asarray(read_block(responses, fold.test, columns), np.float32))
            predicted = plan.over_repeats(fold, result.predicted_rows(number, fold.test, hemi, columns))
            for name, values in score(predicted, measured).items():
                arrays[name][number, columns] = np.where(np.isfinite(predicted).all(0), values, np.nan)
    return arrays


def is_composed(made_from: Mapping[str, Any]) -> bool:
    """Whether the provenance of a stored fit says that it is composed of others."""
    return "composition" in made_from


def composition_of(key: str, members: Sequence[Result], store: Store) -> ComposedResult:
    """Open a stored composed fit whose members are open.

    Raises
    ------
    FileNotFoundError where it is not in the Store.
    """
    arrays, provenance = store.get(key), store.provenance(key)
    if arrays is None or provenance is None:
        raise FileNotFoundError(f"{key} is no longer in the Store. Compose it again.")
    composition = provenance["made_from"]["composition"]
    weights = {
        hemi: np.stack([np.asarray(arrays[f"{hemi}_{WEIGHT}{number}"]) for number in range(len(members))], axis=1)
        for hemi in members[0].plan.hemis
    }
    return composed(members, weights, key=key, options=composition["options"], command=composition["command"])
