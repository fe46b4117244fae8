"""Specification of a fit as plain data: hashable, JSON-serialisable and short enough for a URL."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from encoding.backbones import BACKBONES
from encoding.backbones._base import JOIN
from encoding.backbones._input import Input
from encoding.backbones._pooling import check_over_frames, find_pool
from encoding.datasets import DATASETS
from encoding.features.components import COMPONENT_SCALINGS, LAYER_SCALINGS, REDUCTIONS
from encoding.features.delays import CANDIDATES, delays_text, read_delays
from encoding.features.given import is_given
from encoding.features.half import FEATURE_DTYPES
from encoding.fits.feature_budget import DEFAULT_BUDGET, budget_text
from encoding.fits.spec_values import parameters_of, plain, text_of, texts_of, whole_number_of
from encoding.readouts import READOUTS

FORMER_FIELDS = {"focus": "target_groups", "company": "extra_subjects"}  # name in the first release to today's
NOT_IN_THE_FIRST_RELEASE = (
    "average_repeats", "component_scaling", "reduction", "degree", "delays", "input", "feature_budget", "feature_dtype",
)  # fmt: skip
FEATURE_SETTINGS = ("input", "pool", "frames", "layer_scaling", "component_scaling", "over_frames", "reduction", "degree")
TEXTS = (
    "dataset", "subject", "backbone", "weights", "input", "pool", "over_frames", "layer_scaling", "component_scaling", "reduction",
    "readout", "split", "hemi", "target_groups", "feature_dtype",
)  # fmt: skip
FIELDS_READ = {text_of: TEXTS, texts_of: ("layers", "rois", "extra_subjects"), whole_number_of: ("frames", "n_components", "degree")}
TARGET_GROUPS = ("hemisphere", "both", "roi", "roi:both", "vertex:<hemi>:<column>")


def check_target_groups(target_groups: str) -> str:
    """Validate a choice of target groups and return it; ValueError unless it is one of :data:`TARGET_GROUPS`.

    Examples
    --------
    >>> check_target_groups("vertex:lh:120")
    'vertex:lh:120'
    """
    kind, _, place = target_groups.partition(":")
    if target_groups in TARGET_GROUPS[:4] or (kind == "vertex" and place.rpartition(":")[0] and place.rpartition(":")[2].isdecimal()):
        return target_groups
    raise ValueError(f"Unknown target groups {target_groups!r}. Known: {', '.join(TARGET_GROUPS)}; vertex:lh:120 fits one vertex.")


@dataclass(frozen=True, kw_only=True)
class FitSpec:
    """Specification of one encoding model: data, features, readout and split.

    Attributes
    ----------
    dataset, subject : names from :data:`encoding.datasets.DATASETS`.
    backbone : name from :data:`encoding.backbones.BACKBONES`, such as ``torchvision/alexnet``; of several networks, joined by `` + ``.
    layers : one or more layers of it; several are concatenated. Of several networks each follows its network's name and a space.
    weights : ``pretrained``, ``random:<seed>`` or the path of a weights file; of several networks one for all, or one each, joined alike.
    input : how images enter the network: empty for the preprocessing that belongs to its weights, or ``crop``, ``resize`` (the whole image)
        or ``pad``, then a size in pixels and an interpolation where they are others, such as ``resize:224:bicubic``.
    pool : spatial pooling of a layer: ``none`` (all positions), ``mean``, ``max``, ``grid:<n>`` or ``class`` (the class token).
    frames : frames taken of each clip, evenly spaced; images have one.
    over_frames : pooling over a clip's frames: ``mean``, ``max``, ``first``, ``last``, ``all`` (side by side) or ``sequence``
        (side by side, and components are those of single frames).
    layer_scaling : ``equal`` scales several layers that share a PCA to the same total variance over the training rows, so that no
        layer outweighs the others by its size; ``none`` takes features as they are (``equal`` does so, too, with a single layer);
        ``zscore`` standardises each feature by its mean and deviation over the training rows.
    component_scaling : ``zscore`` divides each component by its deviation over the training rows; ``none`` leaves it its size.
    reduction : how features become components: ``pca``; ``sparse_random``, scikit-learn's sparse random projection, which is fitted to
        nothing (:mod:`encoding.features.random_projection`); or ``none``, the features as they are, which keep their places.
    n_components : components kept; 0 keeps every one of PCA, and is what ``none`` has.
    degree : 2 adds the squares and products of the components (polynomial features); 1 takes the components as they are.
    delays : for rows that are samples of runs (TRs): the components of so many samples before, side by side, such as ``1,2,3,4``; empty for
        those of the same row. Of several sets, ``1,2,3/2,3,4``, each fold takes the one of the highest cross-validated r within its
        training rows (:mod:`encoding.features.delays`). A list of numbers is one set.
    readout : name from :data:`encoding.readouts.READOUTS`.
    options : the readout's parameters that differ from its defaults, as sorted pairs.
    split : ``holdout:<train fraction>:<seed>``, ``kfold:<folds>:<seed>``, ``first:<n>``, ``all`` (no test score), or one within the
        training part of another (:func:`encoding.evaluation.splits.folds`).
    average_repeats : whether responses and predictions of the test rows of one stimulus are averaged before they are scored.
    rois : ROIs to report; empty for all ROIs and every vertex. ``V1=V1v+V1d`` is a union, an ROI of its own in all tables and groups.
    hemi : ``lh``, ``rh`` or another block of the subject's responses; ``both`` for every block.
    target_groups : which targets share a model, where they can: ``hemisphere``, ``both``, ``roi`` (one model for each, in each
        hemisphere), ``roi:both`` (one for each, over both hemispheres) or ``vertex:<hemi>:<column>``.
    feature_budget : GB (of 10**9 bytes) that the stored features of a layer may take. A larger layer is reduced to its components while
        stimuli pass through the network (:mod:`encoding.features.reduction`); None stores every layer whole.
    feature_dtype : ``float32``, or ``float16`` to store features in half the room (:mod:`encoding.features.half`); components explain the
        same variance to within 1e-4.
    extra_subjects : additional subjects for multi-subject training (shared trunk, one linear head per subject).

    Examples
    --------
    >>> FitSpec().backbone
    'gabor'
    """

    dataset: str = "demo"
    subject: str = "subj01"
    backbone: str = "gabor"
    layers: tuple[str, ...] = ("energy",)
    weights: str = "pretrained"
    input: str = ""
    pool: str = "none"
    frames: int = 16
    over_frames: str = "mean"
    layer_scaling: str = "equal"
    component_scaling: str = "none"
    reduction: str = "pca"
    n_components: int = 100
    degree: int = 1
    delays: str = ""
    readout: str = "ridge"
    options: tuple[tuple[str, Any], ...] = ()
    split: str = "holdout:0.9:5"
    average_repeats: bool = False
    rois: tuple[str, ...] = ()
    hemi: str = "both"
    target_groups: str = "hemisphere"
    extra_subjects: tuple[str, ...] = ()
    feature_budget: float | None = DEFAULT_BUDGET
    feature_dtype: str = "float32"

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        self._read_fields()
        set_field(self, "delays", delays_text(read_delays(self.delays)))
        networks = self.backbone.split(JOIN)
        if len(networks) > 1:  # in the order of the networks, as they are extracted and written
            place = {name: number for number, name in enumerate(networks)}
            set_field(self, "layers", tuple(sorted(self.layers, key=lambda layer: place.get(layer.partition(" ")[0], len(place)))))
        if not self.layers:
            raise ValueError("A fit needs at least one layer.")
        Input.read(self.input)
        find_pool(self.pool)
        check_over_frames(self.over_frames)
        check_target_groups(self.target_groups)
        if self.layer_scaling not in LAYER_SCALINGS:
            raise ValueError(f"layer_scaling must be equal, none or zscore, not {self.layer_scaling!r}.")
        if self.reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be pca, sparse_random or none, not {self.reduction!r}.")
        if self.reduction == "none":
            set_field(self, "n_components", 0)
        if self.reduction == "sparse_random" and self.n_components == 0:
            raise ValueError("A sparse random projection needs a number of components, 1 or more; --reduction none keeps every feature.")
        if self.component_scaling not in COMPONENT_SCALINGS:
            raise ValueError(f"component_scaling must be {' or '.join(COMPONENT_SCALINGS)}, not {self.component_scaling!r}.")
        set_field(self, "average_repeats", plain(self.average_repeats))
        set_field(self, "feature_budget", plain(self.feature_budget))
        if not isinstance(self.average_repeats, bool):
            raise ValueError(f"average_repeats must be true or false, not {self.average_repeats!r}.")
        budget = self.feature_budget
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 <= budget < float("inf")):
            raise ValueError(f"feature_budget must be a number of GB from 0, or none for no limit; not {self.feature_budget!r}.")
        if self.feature_dtype not in FEATURE_DTYPES:
            raise ValueError(f"feature_dtype must be {' or '.join(FEATURE_DTYPES)}, not {self.feature_dtype!r}.")
        if self.frames < 1:
            raise ValueError(f"frames must be 1 or more, not {self.frames}.")
        if self.n_components < 0:
            raise ValueError(f"n_components must be 0 (no PCA) or more, not {self.n_components}.")
        if self.degree not in (1, 2):
            raise ValueError(f"degree must be 1 (components as they are) or 2 (their squares and products too), not {self.degree!r}.")
        if not isinstance(self.hemi, str) or not self.hemi.isidentifier():  # a block of the subject's, which planning knows
            raise ValueError(f"hemi must be lh, rh, another block of responses, or both; not {self.hemi!r}.")

    def _read_fields(self) -> None:
        """Make plain texts, numbers and tuples of the values given; ValueError for those of another kind."""
        for read, names in FIELDS_READ.items():
            for name in names:
                object.__setattr__(self, name, read(name, getattr(self, name)))
        object.__setattr__(self, "options", parameters_of(self.options))

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable dict; :meth:`from_dict` turns it back into an equal spec."""
        lists = {name: list(getattr(self, name)) for name in ("layers", "rois", "extra_subjects")}
        return asdict(self) | lists | {"options": dict(self.options)}

    def for_digest(self) -> dict[str, Any]:
        """:meth:`to_dict` under the field names of the first release, so that the keys of stored results stay valid."""
        first = {today: former for former, today in FORMER_FIELDS.items()}
        values = {first.get(name, name): value for name, value in self.to_dict().items()}
        if not self.scales_layers:
            del values["layer_scaling"]
        for name in NOT_IN_THE_FIRST_RELEASE:
            if getattr(self, name) == getattr(FitSpec, name):
                del values[name]
        return values

    @property
    def network_and_layers(self) -> str:
        """The network and its layers as a label; layers of several networks name them."""
        layers = " + ".join(self.layers)
        return layers if JOIN in self.backbone and all(" " in layer for layer in self.layers) else f"{self.backbone} {layers}"

    @property
    def components_label(self) -> str:
        """What features are reduced to, such as ``PCA 100``, with scalings, a degree and delays where there are any."""
        more = ", features z-scored" if self.layer_scaling == "zscore" else ""
        more += ", layers as they are" if self.layer_scaling == "none" and len(self.layers) > 1 else ""
        more += ", components z-scored" if self.component_scaling == "zscore" else ""
        more += f", degree {self.degree}" if self.degree > 1 else ""
        more += f", delays {self.delays.replace(CANDIDATES, ' or ')}" if self.delays else ""
        return f"{self.reduction_label}{more}"

    @property
    def reduction_label(self) -> str:
        """What features are reduced to, such as ``PCA 100``, without scalings, degree and delays."""
        if self.reduction == "sparse_random":
            return f"sparse random projection {self.n_components}"
        if self.reduction == "none":
            return "features as they are"
        return f"PCA {self.n_components}" if self.n_components else "all features"

    @property
    def roi_names(self) -> tuple[str, ...]:
        """Names of the ROIs to report; of a union what stands before ``=``."""
        return tuple(text.partition("=")[0].strip() for text in self.rois)

    @property
    def has_weights(self) -> bool:
        """Whether the network has learned weights, as all but filter banks, pixels and tables have; an unknown one counts as such."""
        return self.backbone not in BACKBONES or BACKBONES[self.backbone].needs_weights

    @property
    def without_effect(self) -> dict[str, str]:
        """Fields that change nothing of this fit, such as ``frames`` of images, each with the reason; names unknown here have none."""
        readout, networks = READOUTS.get(self.readout), self.backbone.split(JOIN)
        found = {} if self.has_weights else {"weights": f"{' and '.join(networks)}: nothing there is learned, so there are no weights."}
        if self.dataset in DATASETS and not DATASETS[self.dataset].clips:
            found |= dict.fromkeys(("frames", "over_frames"), f"The stimuli of {self.dataset} are no clips, so they have no frames.")
        elif all(map(is_given, networks)):
            found |= dict.fromkeys(("frames", "over_frames"), f"{self.backbone} is a feature table, with a row for a whole clip.")
        if readout is not None and not readout.uses_components:
            why = f"{self.readout} trains a network on images, and makes no components."
            found |= dict.fromkeys(("n_components", "reduction", "layer_scaling", "component_scaling"), why)
        return found

    @property
    def targets_apart(self) -> bool:
        """Whether each target has a model of its own, so that target groups change nothing."""
        readout = READOUTS.get(self.readout)
        try:
            return readout is not None and readout.targets_apart(readout.read(dict(self.options)))
        except ValueError:  # a parameter of another release
            return readout.per_target

    @property
    def scales_layers(self) -> bool:
        """Whether features are scaled before their PCA: z-scored, or several layers that share one to equal variance."""
        if self.layer_scaling == "zscore":
            return True
        readout = READOUTS.get(self.readout)
        apart = readout is not None and (readout.by_layer or not readout.uses_components)
        return self.layer_scaling == "equal" and len(self.layers) > 1 and not apart

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read the output of :meth:`to_dict`, under today's field names or those of :data:`FORMER_FIELDS`.

        A spec without ``layer_scaling`` is of the first release, which took several layers as they are.

        Raises
        ------
        ValueError on a field that does not exist.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"A spec is read from a dict of its fields, not from {values!r}.")
        values = {FORMER_FIELDS.get(name, name): value for name, value in values.items()}
        extra = set(values) - {field.name for field in fields(cls)}
        if extra:
            raise ValueError(f"A fit has no field {', '.join(sorted(extra))}.")
        if len(texts_of("layers", values.get("layers", ()))) > 1:
            values = {"layer_scaling": "none"} | values
        return cls(**values)

    @classmethod
    def as_stored(cls, values: Mapping[str, Any]) -> Self:
        """Read a stored spec to name it in a list, also where parts of it, such as a pooling, are known to another release or package only.

        Fields that do not exist here are left out, and values are not checked further than that they are text, numbers or lists of them.

        Raises
        ------
        ValueError where a value is of another kind.
        """
        try:
            return cls.from_dict(dict(values))
        except (ValueError, LookupError):
            spec = object.__new__(cls)
            today = {FORMER_FIELDS.get(name, name): value for name, value in values.items()}
            for field in fields(cls):
                object.__setattr__(spec, field.name, today.get(field.name, field.default))
            spec._read_fields()
            return spec

    def changed(self) -> dict[str, Any]:
        """Fields that differ from the defaults of ``FitSpec()``."""
        return {name: value for name, value in self.to_dict().items() if value != FitSpec().to_dict()[name]}

    def with_defaults(self) -> FitSpec:
        """Spell out every parameter of the readout; unchanged where the readout is not registered."""
        readout = READOUTS.get(self.readout)
        return self if readout is None else replace(self, options=tuple(asdict(readout.read(dict(self.options))).items()))

    def to_command(self, *, full: bool = False) -> str:
        """Write the shell command that runs this fit.

        Parameters
        ----------
        full : spell out every setting that defines the fit, the readout's parameters too, so that the command keeps its meaning when a
            default changes; else settings at their defaults are left out.
        """
        return shlex.join(["python", "-m", "encoding", "fit", *self.command_options(full=full)])

    def command_options(self, network: Sequence[str] | None = None, *, full: bool = False) -> list[str]:
        """List the command-line options that define this fit.

        Parameters
        ----------
        network : stands in place of ``--backbone`` and ``--layer`` where given.
        full : as for :meth:`to_command`.
        """
        spec = copy(self.with_defaults() if full else self)
        words = ["--dataset", spec.dataset, "--subject", spec.subject]
        if network is None:
            names, network = spec.backbone.split(JOIN), []
            for name in names:
                own = [layer.removeprefix(f"{name} ") for layer in spec.layers if len(names) == 1 or layer.startswith(f"{name} ")]
                network += ["--backbone", name, *(word for layer in own for word in ("--layer", layer))]
            has_weights = spec.has_weights
            for name in spec.without_effect:
                object.__setattr__(spec, name, getattr(FitSpec, name))
        else:  # of a sweep, whose other networks may have them
            has_weights = spec.has_weights or spec.weights != FitSpec.weights
        words += network
        words += spec._stated(FEATURE_SETTINGS, full)
        words += [word for delays in read_delays(spec.delays) for word in ("--delays", *map(str, delays))]
        words += ["--weights", spec.weights] if has_weights else []
        words += ["--components", str(spec.n_components), "--readout", spec.readout]
        words += [word for name, value in spec.options for word in ("--set", f"{name}={_option_text(value)}")]
        words += ["--split", spec.split, *(["--average-repeats"] if spec.average_repeats else [])]
        words += ["--roi", *spec.rois] if spec.rois else []
        words += spec._stated(("hemi", "target_groups"), full)
        words += ["--extra-subjects", *spec.extra_subjects] if spec.extra_subjects else []
        words += spec._stated(("feature_budget", "feature_dtype"), full)
        return words

    def _stated(self, names: Sequence[str], full: bool) -> list[str]:
        """Options for those of the fields ``names`` that differ from their defaults; ``full`` for all that are not empty."""
        words = []
        for name in names:
            value, default = getattr(self, name), getattr(FitSpec, name)
            if value != default or (full and value != ""):
                words += [f"--{name.replace('_', '-')}", budget_text(value) if name == "feature_budget" else str(value)]
        return words

    def to_python(self, *, full: bool = False) -> str:
        """Write three lines of Python that reproduce the fit in a notebook; ``full`` as for :meth:`to_command`."""
        spec = self.with_defaults() if full else self
        values = asdict(spec) | {"options": dict(spec.options)}
        if not spec.has_weights and spec.weights == FitSpec.weights:
            del values["weights"]
        named = [f"{name}={values[name]!r}" for name in (values if full else spec.changed())]
        arguments = "\n    " + ",\n    ".join(named) + ",\n" if full else ", ".join(named)
        return f"from encoding import FitSpec, Store, fit\n\nresult = fit(FitSpec({arguments}), Store())\nresult.rois()"


def _option_text(value: Any) -> str:
    """A value as ``--set`` reads it: text stands as it is unless it would be read as JSON."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value)
