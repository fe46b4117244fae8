"""Imported fit: tables, maps and predictions from the arrays of an exported file, without its data set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from PIL import Image

from encoding.backbones import BACKBONES, SOURCES
from encoding.backbones._input import prepared
from encoding.datasets import Stimuli, Subject
from encoding.datasets._base import VoxelGrid, roi_names
from encoding.evaluation.splits import Fold, NamedSplit
from encoding.features.components import read_axes
from encoding.features.delays import Delays
from encoding.features.given import GivenSource, is_given
from encoding.fits.composition import READOUT as COMPOSED
from encoding.fits.plan import Plan
from encoding.fits.score_tables import ScoreTables
from encoding.fits.spec import FitSpec
from encoding.fits.targets import TargetGroup
from encoding.readouts import READOUTS, Model
from encoding.runs.exchange_models import SHARED_WEIGHTS, target_groups_in
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.keys import stage_of
from encoding.storage.store import Store

Arrays = Mapping[str, np.ndarray]
MAX_TEXT = 200  # characters of a name
ROWS_OF = ("groups", "stimulus_ids", "runs")  # fields of a subject that say which rows belong together
PLAIN = r"\w .:/+@,()=*&~^%'-"  # characters that neither Markdown nor HTML reads as an image or a tag
NOT_PLAIN = re.compile(f"[^{PLAIN}]")


class NotSent(FileNotFoundError):
    """An imported fit lacks what is needed. The message says how to obtain it."""


def arrays_of(result: ScoreTables, *, intervals: Arrays | None, curve: Arrays | None) -> dict[str, np.ndarray]:
    """Collect the arrays of an exported fit.

    Parameters
    ----------
    result : finished fit.
    intervals, curve : bootstrap draws and learning curve, where they were computed.

    Returns
    -------
    ``part.name`` to array. Parts are ``fit`` (scores and details), ``pooled`` (r over all folds together), ``about`` (the
    subject, which rows belong together, the volume of its voxels, how ceilings were estimated, and the splits), ``intervals`` and
        ``curve``.
    """
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
        rows = [fold.train if name == "train" else result.plan.scored_rows(fold) for fold in folds]
        arrays |= {f"about.{name}_rows": np.concatenate(rows), f"about.{name}_sizes": np.array([len(each) for each in rows])}
    for name in ROWS_OF:
        if (of_row := getattr(subject, name)) is not None:
            arrays[f"about.{name}"] = np.unique(of_row, return_inverse=True)[1].astype(np.int32)
    for hemi in result.plan.hemis:
        members = np.zeros((len(names), subject.responses[hemi].shape[1]), bool)
        for number, roi in enumerate(names):
            members[number, subject.rois[hemi].get(roi, np.zeros(0, np.int64))] = True
        arrays[f"about.{hemi}_members"] = np.packbits(members, axis=1)
        if subject.ceiling is not None:
            arrays[f"about.{hemi}_ceiling"] = result.ceiling(hemi)
        if subject.vertices is not None:
            arrays[f"about.{hemi}_vertices"] = np.asarray(subject.vertices[hemi])
    for hemi, (vertices, columns) in (subject.sampled or {}).items():
        arrays |= {f"about.{hemi}_there": np.asarray(vertices), f"about.{hemi}_columns": np.asarray(columns)}
    if subject.grid is not None:
        parts = {"voxels": subject.grid.voxels, "shape": np.array(subject.grid.shape), "affine": subject.grid.affine}
        arrays |= {f"about.grid_{name}": np.asarray(values) for name, values in parts.items()}
    if subject.ceiling_about:
        arrays["about.ceiling_about"] = np.array([NOT_PLAIN.sub(" ", subject.ceiling_about)[:MAX_TEXT]])
    if subject.splits:
        arrays["about.splits"] = np.array(list(subject.splits))
    for number, split in enumerate(subject.splits.values()):
        arrays |= {f"about.split_{number}_train": split.train, f"about.split_{number}_names": np.array(list(split.tests))}
        arrays |= {f"about.split_{number}_test_{place}": rows for place, rows in enumerate(split.tests.values())}
    arrays |= {f"fit.{name}": np.asarray(values) for name, values in result._arrays.items()}
    if result.has_pooled:
        arrays |= {f"pooled.{hemi}_r": result.pooled(hemi) for hemi in result.plan.hemis}
    arrays |= {f"intervals.{name}": np.asarray(values) for name, values in (intervals or {}).items()}
    return arrays | {f"curve.{name}": np.asarray(values) for name, values in (curve or {}).items()}


class AbsentStimuli(Stimuli):
    """Placeholder for stimuli of which only the number is known; access to one raises NotSent."""

    fingerprint = ""

    def __init__(self, n_stimuli: int, *, n_frames: int, command: str) -> None:
        self.names, self.n_frames, self._n_stimuli, self._command = (), n_frames, n_stimuli, command

    def __len__(self) -> int:
        return self._n_stimuli

    def __getitem__(self, index: int) -> Image.Image:
        raise NotSent(f"The stimuli and responses of an imported fit did not come with it. With the data: {self._command}")


@dataclass(frozen=True)
class Imported(ScoreTables):
    """A fit from an exported file: scores, tables, ceilings and places of every vertex; no stimuli and no responses.

    New stimuli can be predicted where linear models are included (:meth:`prediction_refusal` says why not).

    Attributes
    ----------
    plan : spec, subject, folds and target groups as the arrays hold them. Its backbone's source and its readout are None where this
        program does not know them, and no key of it names anything in the Store.
    key : ``imported-…``.
    arrays : as :func:`arrays_of` names them, and ``model.…`` as :func:`encoding.runs.exchange_models.model_arrays` does.
    """

    plan: Plan
    store: Store
    key: str
    provenance: Mapping[str, Any]
    arrays: Arrays
    has_data = False

    @classmethod
    def of(cls, key: str, spec: FitSpec, arrays: Arrays, provenance: Mapping[str, Any], store: Store) -> Imported:
        """Build the fit from arrays that :mod:`encoding.runs.exchange_validation` has validated."""
        about = part_of(arrays, "about")
        n_vertices = {str(hemi): arrays[f"fit.{hemi}_r"].shape[1] for hemi in about["hemis"]}
        subject = _subject(spec, about, n_vertices, simulated=bool(provenance["made_from"].get("simulated")))
        target_groups = target_groups_in(part_of(arrays, "model"), n_vertices) or _scored_targets(spec, arrays, n_vertices)
        try:
            source = SOURCES[GivenSource.name] if is_given(spec.backbone) else prepared(BACKBONES[spec.backbone], spec.input)
        except (LookupError, ValueError):
            source = None
        backbone = str(provenance["made_from"].get("backbone", ""))
        parts = [np.split(about[f"{name}_rows"], np.cumsum(about[f"{name}_sizes"])[:-1]) for name in ("train", "test")]
        splits = [Fold(train, test) for train, test in zip(*parts, strict=True)]
        plan = Plan(spec, subject, source, READOUTS.get(spec.readout), None, splits, backbone, target_groups)
        return cls(plan, store, key, provenance, arrays)

    @cached_property
    def _arrays(self) -> Arrays:
        return part_of(self.arrays, "fit")

    @property
    def origin(self) -> Mapping[str, Any]:
        """Provenance: ``by``, the sender (may be empty); ``when`` (UTC); ``file``, its name; ``fit``, the sender's key."""
        return self.provenance["made_from"]["imported"]

    def derived(self, key: str) -> Arrays | None:
        """Return the sender's intervals, learning curve or pooled r, by the stage that a key names; None where they are not in the file."""
        return part_of(self.arrays, stage_of(key)) or None

    def prediction_refusal(self) -> str:
        """Explain why new stimuli cannot be predicted here; empty where they can."""
        plan, spec = self.plan, self.plan.spec
        if spec.readout == COMPOSED:
            return "It is composed of other fits, and their models did not come with it."
        if plan.readout is None:
            return f"This program does not know the readout {spec.readout}."
        if plan.readout.export_refusal:
            return plan.readout.export_refusal
        if not SHARED_WEIGHTS.fullmatch(spec.weights):
            return "Its network has weights from a file of the sender's, which did not come with it."
        if plan.source is None:
            return f"This program does not know the network {spec.backbone}."
        if not self.is_complete():
            return "Its models did not come with it: the sender left them out, or there was no room for them in the file."
        if is_given(spec.backbone):
            return ""  # new rows bring their own features
        try:
            here = plan.source.fingerprint(spec.backbone, spec.weights)
        except (LookupError, ValueError, OSError, ImportError) as error:
            return str(error)
        return "" if here == plan.backbone_fingerprint else f"The weights of {spec.backbone} here are not those that it was fitted with."

    def is_complete(self) -> bool:
        """Whether the file included models; validation has checked that all of them are there."""
        return "model.f0_p0_weights" in self.arrays

    def delays(self, fold: int) -> Delays:
        """Delays in samples of a fold's models; empty where components are of the same sample."""
        return tuple(map(int, self.arrays.get(f"model.f{fold}_delays", ())))

    def projection(self, fold: int, layers: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the PCA mean (n_features,) and axes (n_features, k) of some layers in one fold."""
        start = f"model.f{fold}_c{self.plan.spaces.index(layers)}"
        return self.arrays[f"{start}_mean"], read_axes(self.arrays, f"{start}_")

    def model(self, part: str, fold: int = 0) -> Model:
        """Return the model of a target group.

        Raises
        ------
        NotSent where the file includes no models.
        """
        if not self.is_complete() or self.plan.readout is None:
            raise NotSent(f"The models of {self.key} did not come with it.")
        known = [group.name for group in self.plan.target_groups]
        if part not in known:
            raise UnknownName(unknown("target group of this fit", part, known))
        number = known.index(part)
        arrays = {name: self.arrays[f"model.f{fold}_p{number}_{name}"] for name in ("weights", "intercept")}
        return self.plan.readout.restore(arrays, None)

    def history(self, fold: int = 0) -> dict[str, Arrays]:
        """Always empty: training histories are not exported."""
        return {}

    def components(self, fold: int = 0) -> NoReturn:
        """Always raises NotSent: component scores are not exported."""
        self.plan.subject.stimuli[0]

    def predicted(self, hemi: str, columns: Any) -> NoReturn:
        """Always raises NotSent: predictions of test stimuli are not exported."""
        self.plan.subject.stimuli[0]

    def measured(self, hemi: str, columns: Any) -> NoReturn:
        """Always raises NotSent: responses are not exported."""
        self.plan.subject.stimuli[0]


def part_of(arrays: Arrays, part: str) -> dict[str, np.ndarray]:
    """Select the arrays ``part.name`` of one part, by ``name``."""
    return {name.partition(".")[2]: array for name, array in arrays.items() if name.partition(".")[0] == part}


def _scored_targets(spec: FitSpec, arrays: Arrays, n_vertices: Mapping[str, int]) -> tuple[TargetGroup, ...]:
    """The targets of a fit that came without its models: of each hemisphere all, or, of one vertex or some ROIs, those with a score."""
    scored = {hemi: np.isfinite(arrays[f"fit.{hemi}_r"]).any(0) for hemi in n_vertices}
    whole = spec.target_groups in ("hemisphere", "both") or not any(some.any() for some in scored.values())  # or nothing was tested
    return tuple(TargetGroup(hemi, {hemi: np.flatnonzero(some | whole)}, whole=whole) for hemi, some in scored.items())


def _subject(spec: FitSpec, about: Arrays, n_vertices: Mapping[str, int], *, simulated: bool) -> Subject:
    """The subject as far as it is known; its responses are NaN of the right shape, which take no memory."""
    n, hemis, names = int(about["n_stimuli"]), list(n_vertices), [str(name) for name in about["rois"]]
    absent = AbsentStimuli(n, n_frames=int(about.get("n_frames", 1)), command=spec.to_command())
    rois = {}
    for hemi in hemis:
        members = np.unpackbits(about[f"{hemi}_members"], axis=1, count=n_vertices[hemi]).astype(bool)
        rois[hemi] = {roi: np.flatnonzero(members[number]) for number, roi in enumerate(names)}
    placed, sampled = f"{hemis[0]}_vertices" in about, "lh_there" in about
    splits = {}
    for number, name in enumerate(about.get("splits", ())):
        tests = {str(test): about[f"split_{number}_test_{place}"] for place, test in enumerate(about[f"split_{number}_names"])}
        splits[str(name)] = NamedSplit(about[f"split_{number}_train"], tests)
    grid = None
    if "grid_voxels" in about:
        grid = VoxelGrid(about["grid_voxels"], tuple(map(int, about["grid_shape"])), about["grid_affine"])
    return Subject(
        dataset=spec.dataset,
        name=spec.subject,
        stimuli=absent,
        unlabelled=AbsentStimuli(0, n_frames=absent.n_frames, command=spec.to_command()),
        responses={hemi: np.broadcast_to(np.float32(np.nan), (n, n_vertices[hemi])) for hemi in hemis},
        fingerprints=dict(zip(hemis, map(str, about["fingerprints"]), strict=True)),
        rois=rois,
        groups=about.get("groups", np.arange(n)),  # a file of an earlier release does not say which rows belong together
        stimulus_ids=about.get("stimulus_ids"),
        runs=about.get("runs"),
        vertices={hemi: about[f"{hemi}_vertices"] for hemi in hemis} if placed else None,
        sampled={hemi: (about[f"{hemi}_there"], about[f"{hemi}_columns"]) for hemi in ("lh", "rh")} if sampled else None,
        grid=grid,
        ceiling={hemi: about[f"{hemi}_ceiling"] for hemi in hemis} if f"{hemis[0]}_ceiling" in about else None,
        ceiling_about=" ".join(map(str, about.get("ceiling_about", ()))),
        simulated=simulated,
        splits=splits,
    )
