"""A fit without its data set: what of it is enough to show tables, brains and scatters, and the result that shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from PIL import Image

from encoding.datasets import Stimuli, Subject
from encoding.focus import Part
from encoding.plan import Plan, roi_names
from encoding.result import Result
from encoding.spec import FitSpec
from encoding.splits import Fold
from encoding.store import Store

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

    def __init__(self, n_stimuli: int, refuse: Callable[[], NoReturn]) -> None:
        self.names, self._n, self._refuse = (), n_stimuli, refuse

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> Image.Image:
        self._refuse()


@dataclass(frozen=True)
class DetachedPlan(Plan):
    """The plan of a fit whose data set, backbone and readout need not be here; its key is the imported fit's own."""

    named: str = ""

    @property
    def key(self) -> str:
        return self.named


@dataclass(frozen=True)
class Imported(Result):
    """A fit that somebody sent: scores, tables, ceilings and places as of any :class:`Result`; no stimuli, responses or models.

    Attributes
    ----------
    arrays : as :func:`arrays_of` names them.
    """

    arrays: Arrays = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, spec: FitSpec, arrays: Arrays, provenance: Mapping[str, Any], store: Store) -> Imported:
        """The fit that arrays hold, which :mod:`encoding.received` has let through."""
        about = part_of(arrays, "about")
        hemis = [str(hemi) for hemi in about["hemis"]]
        n_vertices = {hemi: arrays[f"fit.{hemi}_r"].shape[1] for hemi in hemis}

        def refuse() -> NoReturn:
            raise NotSent(f"{key} was imported: its stimuli, responses and models did not come with it. With the data: {spec.to_command()}")

        subject = _subject(spec, about, n_vertices, Unseen(int(about["n_stimuli"]), refuse), provenance["made_from"])
        parts = tuple(Part(hemi, {hemi: np.arange(n_vertices[hemi])}, whole=True) for hemi in hemis)
        backbone = str(provenance["made_from"].get("backbone", ""))
        plan = DetachedPlan(spec, subject, None, None, None, _folds(about), backbone, parts, named=key)  # type: ignore[arg-type]
        return cls(plan, store, arrays=arrays)

    @cached_property
    def _arrays(self) -> Arrays:
        return part_of(self.arrays, "fit")

    @property
    def origin(self) -> Mapping[str, Any]:
        """``by`` whom it was sent (may be empty), ``when`` it came (UTC), from which ``file``, and the sender's key of the ``fit``."""
        return self.provenance["made_from"]["imported"]

    @property
    def intervals(self) -> Arrays | None:
        """What :func:`encoding.intervals.roi_intervals` gave the sender; None where it did not come along."""
        return part_of(self.arrays, "intervals") or None

    @property
    def curve(self) -> Arrays | None:
        """What :func:`encoding.curve.learning_curve` gave the sender; None where it did not come along."""
        return part_of(self.arrays, "curve") or None

    def history(self, fold: int = 0) -> dict[str, Mapping[str, np.ndarray]]:
        """Nothing: models are not sent."""
        return {}

    def model(self, part: str, fold: int = 0) -> NoReturn:
        """NotSent."""
        self.plan.subject.stimuli[0]

    def components(self, fold: int = 0) -> NoReturn:
        """NotSent."""
        self.plan.subject.stimuli[0]

    def predicted(self, hemi: str, columns: Any) -> NoReturn:
        """NotSent."""
        self.plan.subject.stimuli[0]

    def measured(self, hemi: str, columns: Any) -> NoReturn:
        """NotSent."""
        self.plan.subject.stimuli[0]


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
