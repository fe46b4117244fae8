"""A fit without its data set: what of it is enough to show tables, brains and scatters, and the result that shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from PIL import Image

from encoding.backbones import BACKBONES, Source
from encoding.datasets import DATASETS, Dataset, Stimuli, Subject
from encoding.datasets._base import roi_names
from encoding.evaluation.splits import Fold
from encoding.fits.plan import Plan
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.fits.targets import TargetGroup
from encoding.readouts import READOUTS, Model
from encoding.runs.exchange_models import OWN_WEIGHTS, component_name, entries, model_name, parts_in
from encoding.runtime.progress import Report, silent
from encoding.storage.store import Store

Arrays = Mapping[str, np.ndarray]


class NotSent(FileNotFoundError):
    """Asked an imported fit for something that did not come with it. The message says how to have it."""


def arrays_of(result: Result, *, intervals: Arrays | None, curve: Arrays | None) -> dict[str, np.ndarray]:
    """What an exported fit holds: ``fit.…`` scores and details, ``about.…`` the subject and the split, ``intervals.…``, ``curve.…``."""
    subject, folds = result.plan.subject, result.plan.folds
    names = list(roi_names(subject))
    arrays: dict[str, np.ndarray] = {
        "about.hemis": np.array(result.plan.hemis),
        "about.rois": np.array(names, dtype=str),
        "about.fingerprints": np.array([subject.fingerprints[hemi] for hemi in result.plan.hemis]),
        "about.n_stimuli": np.array(len(subject.stimuli)),
        "about.n_frames": np.array(result.plan.stimuli.n_frames),
    }
    for name in ("train", "test"):
        rows = [getattr(fold, name) for fold in folds]
        arrays |= {f"about.{name}_rows": np.concatenate(rows), f"about.{name}_sizes": np.array([len(each) for each in rows])}
    for hemi in result.plan.hemis:
        members = np.zeros((len(names), subject.responses[hemi].shape[1]), bool)
        for number, roi in enumerate(names):
            members[number, subject.rois[hemi].get(roi, np.zeros(0, np.int64))] = True
        arrays[f"about.{hemi}_members"] = np.packbits(members, axis=1)
        if subject.ceiling is not None:
            arrays[f"about.{hemi}_ceiling"] = np.asarray(subject.ceiling[hemi])
        if subject.vertices is not None:
            arrays[f"about.{hemi}_vertices"] = np.asarray(subject.vertices[hemi])
    for hemi, (there, columns) in (subject.sampled or {}).items():
        arrays |= {f"about.{hemi}_there": np.asarray(there), f"about.{hemi}_columns": np.asarray(columns)}
    arrays |= {f"fit.{name}": np.asarray(values) for name, values in result._arrays.items()}
    arrays |= {f"intervals.{name}": np.asarray(values) for name, values in (intervals or {}).items()}
    return arrays | {f"curve.{name}": np.asarray(values) for name, values in (curve or {}).items()}


class Unseen(Stimuli):
    """Stimuli that did not come with a fit; how many there are is known."""

    fingerprint = ""

    def __init__(self, n_stimuli: int, refuse: Callable[[], NoReturn], *, n_frames: int = 1) -> None:
        self.names, self._n, self._refuse, self.n_frames = (), n_stimuli, refuse, n_frames

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> Image.Image:
        self._refuse()


@dataclass(frozen=True)
class DetachedPlan(Plan):
    """The plan of a fit whose data set, backbone and readout need not be here; its key is the imported fit's own.

    ``source`` and ``readout`` are None where they are not known here.
    """

    named: str = ""

    @property
    def key(self) -> str:
        return self.named

    @property
    def of_clips(self) -> bool:
        return self.stimuli.n_frames > 1

    def components_key(self, fold: Fold, layers: tuple[str, ...] | None = None) -> str:
        """The name under which :class:`WithModels` has what came of them."""
        return component_name(self._number(fold), self.spaces.index(layers or self.spec.layers))

    def weights_key(self, fold: Fold, part: TargetGroup) -> str:
        """The same of a part's model."""
        return model_name(self._number(fold), [each.name for each in self.target_groups].index(part.name))

    def _number(self, fold: Fold) -> int:
        return next(number for number, each in enumerate(self.folds) if each is fold)

    def refusal(self, store: Store) -> str:
        spec = self.spec
        if self.readout is None:
            return f"This program does not know the readout {spec.readout}."
        if self.readout.export_refusal:
            return self.readout.export_refusal
        if not OWN_WEIGHTS.fullmatch(spec.weights):
            return "Its network has weights from a file of the sender's, which did not come with it."
        if self.source is None:
            return f"This program does not know the network {spec.backbone}."
        if self.weights_key(self.folds[0], self.target_groups[0]) not in store:
            return "Its models did not come with it: the sender left them out, or there was no room for them in the file."
        try:
            here = self.source.fingerprint(spec.backbone, spec.weights)
        except (LookupError, ValueError, OSError, ImportError) as error:
            return str(error)
        return "" if here == self.backbone_fingerprint else f"The weights of {spec.backbone} here are not those that it was fitted with."


class Elsewhere(Dataset):
    """The data set of a fit that somebody sent, where this program knows none of that name."""

    about = "Not on this machine."

    def __init__(self, subject: Subject, *, clips: bool) -> None:
        self.name = self.title = subject.dataset
        self.clips, self._rois = clips, roi_names(subject)

    def subjects(self) -> tuple[str, ...]:
        return ()

    def roi_names(self) -> Mapping[str, tuple[str, ...]]:
        return {"ROIs": tuple(self._rois)}

    def open(self, subject: str, store: Store, report: Report = silent) -> NoReturn:
        """UnknownName."""
        self.check_subject(subject)


def dataset_of(result: Result) -> Dataset:
    """The data set of a finished fit, known here or not."""
    name = result.plan.spec.dataset
    return DATASETS[name] if name in DATASETS else Elsewhere(result.plan.subject, clips=result.plan.of_clips)


class WithModels(Store):
    """A Store in which the models of one imported fit lie under their names, though its entry there holds them as parts of the whole."""

    def __init__(self, store: Store, models: Mapping[str, dict[str, np.ndarray]]) -> None:
        super().__init__(store.root)
        self._models = models

    def __contains__(self, key: str) -> bool:
        return key in self._models or super().__contains__(key)

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        return self._models[key] if key in self._models else super().get(key)


@dataclass(frozen=True)
class Imported(Result):
    """A fit that somebody sent: scores, tables, ceilings and places as of any :class:`Result`; no stimuli and no responses.

    New stimuli can be predicted where linear models came along (:meth:`DetachedPlan.refusal` says why not).

    Attributes
    ----------
    arrays : as :func:`arrays_of` names them.
    """

    arrays: Arrays = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, spec: FitSpec, arrays: Arrays, provenance: Mapping[str, Any], store: Store) -> Imported:
        """The fit that arrays hold, which :mod:`encoding.runs.exchange_validation` has let through."""
        about = part_of(arrays, "about")
        hemis = [str(hemi) for hemi in about["hemis"]]
        n_vertices = {hemi: arrays[f"fit.{hemi}_r"].shape[1] for hemi in hemis}

        def refuse() -> NoReturn:
            raise NotSent(f"{key} was imported: its stimuli and responses did not come with it. With the data: {spec.to_command()}")

        unseen = Unseen(int(about["n_stimuli"]), refuse, n_frames=int(about.get("n_frames", 1)))
        subject = _subject(spec, about, n_vertices, unseen, provenance["made_from"])
        models = part_of(arrays, "model")
        parts = parts_in(models, n_vertices) or tuple(TargetGroup(hemi, {hemi: np.arange(n)}, whole=True) for hemi, n in n_vertices.items())
        backbone = str(provenance["made_from"].get("backbone", ""))
        readout = READOUTS.get(spec.readout)
        plan = DetachedPlan(spec, subject, _source(spec), readout, None, _folds(about), backbone, parts, named=key)  # type: ignore[arg-type]
        return cls(plan, WithModels(store, entries(models)), arrays=arrays)

    @cached_property
    def _arrays(self) -> Arrays:
        return part_of(self.arrays, "fit")

    @property
    def origin(self) -> Mapping[str, Any]:
        """``by`` whom it was sent (may be empty), ``when`` it came (UTC), from which ``file``, and the sender's key of the ``fit``."""
        return self.provenance["made_from"]["imported"]

    @property
    def intervals(self) -> Arrays | None:
        """What :func:`encoding.analysis.bootstrap.roi_intervals` gave the sender; None where it did not come along."""
        return part_of(self.arrays, "intervals") or None

    @property
    def curve(self) -> Arrays | None:
        """What :func:`encoding.analysis.learning_curve.learning_curve` gave the sender; None where it did not come along."""
        return part_of(self.arrays, "curve") or None

    def history(self, fold: int = 0) -> dict[str, Mapping[str, np.ndarray]]:
        """Nothing: what models were like on the way is not sent."""
        return {}

    def model(self, part: str, fold: int = 0) -> Model:
        """As of any :class:`Result`; NotSent where it did not come along."""
        if f"model.f{fold}_p0_weights" not in self.arrays or self.plan.readout is None:
            raise NotSent(f"The models of {self.key} did not come with it.")
        return super().model(part, fold)

    def components(self, fold: int = 0) -> NoReturn:
        """NotSent."""
        self.plan.subject.stimuli[0]

    def predicted(self, hemi: str, columns: Any) -> NoReturn:
        """NotSent."""
        self.plan.subject.stimuli[0]

    def measured(self, hemi: str, columns: Any) -> NoReturn:
        """NotSent."""
        self.plan.subject.stimuli[0]


def _source(spec: FitSpec) -> Source | None:
    """Where the backbone comes from; None where it is not known here."""
    try:
        return BACKBONES[spec.backbone]
    except (LookupError, ValueError):
        return None


def part_of(arrays: Arrays, part: str) -> dict[str, np.ndarray]:
    """The arrays of one part, by the rest of their names."""
    return {name.partition(".")[2]: array for name, array in arrays.items() if name.partition(".")[0] == part}


def _subject(spec: FitSpec, about: Arrays, n_vertices: Mapping[str, int], unseen: Stimuli, made_from: Mapping[str, Any]) -> Subject:
    n, hemis, names = len(unseen), list(n_vertices), [str(name) for name in about["rois"]]
    rois = {}
    for hemi in hemis:
        members = np.unpackbits(about[f"{hemi}_members"], axis=1, count=n_vertices[hemi]).astype(bool)
        rois[hemi] = {roi: np.flatnonzero(members[number]) for number, roi in enumerate(names)}
    placed, sampled = f"{hemis[0]}_vertices" in about, "lh_there" in about
    return Subject(
        dataset=spec.dataset,
        name=spec.subject,
        stimuli=unseen,
        unlabelled=Unseen(0, unseen._refuse),
        responses={hemi: np.broadcast_to(np.float32(np.nan), (n, n_vertices[hemi])) for hemi in hemis},  # their shape is known
        fingerprints=dict(zip(hemis, map(str, about["fingerprints"]), strict=True)),
        rois=rois,
        groups=np.arange(n),
        vertices={hemi: about[f"{hemi}_vertices"] for hemi in hemis} if placed else None,
        sampled={hemi: (about[f"{hemi}_there"], about[f"{hemi}_columns"]) for hemi in ("lh", "rh")} if sampled else None,
        ceiling={hemi: about[f"{hemi}_ceiling"] for hemi in hemis} if f"{hemis[0]}_ceiling" in about else None,
        simulated=bool(made_from.get("simulated")),
    )


def _folds(about: Arrays) -> list[Fold]:
    parts = {name: np.split(about[f"{name}_rows"], np.cumsum(about[f"{name}_sizes"])[:-1]) for name in ("train", "test")}
    return [Fold(train, test) for train, test in zip(parts["train"], parts["test"], strict=True)]
