"""Specification of an experiment: the settings that all fits share, and lists of those that vary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, Self

from encoding.backbones import BACKBONES, UnknownLayer
from encoding.datasets import DATASETS
from encoding.datasets._spelling import decoded
from encoding.evaluation.splits import check_split
from encoding.experiments.toml import dump_toml, read_toml
from encoding.fits.spec import FitSpec
from encoding.readouts import READOUTS
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.files import open_regular
from encoding.storage.keys import digest

BASE_FIELDS = tuple(each.name for each in fields(FitSpec))
VARIABLE = tuple(name for name in BASE_FIELDS if name not in ("dataset", "options"))
LISTS = ("layers", "rois", "extra_subjects")  # fields that hold several names
EVERY_SUBJECT, CURATED, ALL_LAYERS = "all", "curated", "all"
KINDS = {bool: "true or false", int: "a whole number", str: "text"}
FIT_HEMI = "fit_hemi"  # the name of a varied ``hemi``: in tables of scores that is the hemisphere of a row
NO_BUDGET = "none"  # what TOML, which has no None, says for a feature budget without limit


@dataclass(frozen=True)
class Cell:
    """One fit of an experiment.

    Attributes
    ----------
    spec : the fit.
    settings : field to its value as text, for the fields that vary; a readout's text holds its parameters. ``hemi`` is :data:`FIT_HEMI`.
    """

    spec: FitSpec
    settings: Mapping[str, str]

    @property
    def label(self) -> str:
        """The varied settings in one line, such as ``subj01 · gabor · energy · ridge``; the backbone where nothing varies."""
        return " · ".join(self.settings.values()) or f"{self.spec.backbone} · {' + '.join(self.spec.layers)}"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Grid of fits: a base spec, and for each field that varies the list of its values.

    Attributes
    ----------
    base : settings of every fit; what varies takes its place.
    vary : field of :class:`FitSpec` to its values, each of :data:`VARIABLE`; the grid holds every combination, the last field fastest.

        - ``subject``: names, or ``"all"`` for every subject of the data set;
        - ``backbone``: names, or tables ``{"name": …, "weights": …, "layers": …}`` with weights or layers of its own;
        - ``layers``: ``"curated"`` (the backbone's own list), ``"all"``, or names; a name is taken of every backbone that has it, a list
          of names within the list is one fit of several layers;
        - ``readout``: names, or tables ``{"name": …}`` with parameters beside the name;
        - ``rois``: each value a name or a list of names;
        - any other: values of that field.
    title, about : for people; without effect on the key.
    curves : whether learning curves are computed after the fits, where a readout has one.

    Raises
    ------
    UnknownName, ValueError
        For a field that does not exist or cannot vary, a list without values, or a value of another kind.

    Examples
    --------
    >>> grid = Experiment(vary={"layers": "curated", "readout": ["ols", {"name": "ridge", "alpha": 1.0}]})
    >>> [cell.label for cell in grid.cells()]
    ['simple · ols', 'simple · ridge alpha=1.0', 'energy · ols', 'energy · ridge alpha=1.0']
    """

    base: FitSpec = field(default_factory=FitSpec)
    vary: Mapping[str, Any] = field(default_factory=dict, hash=False)
    title: str = ""
    about: str = ""
    curves: bool = False

    def __post_init__(self) -> None:
        for name in self.vary:
            if name not in VARIABLE:
                raise UnknownName(unknown("setting to vary", name, VARIABLE, show=30))
        vary = {name: _plain(self.vary[name]) for name in VARIABLE if name in self.vary}
        for name, values in vary.items():
            words = {"subject": (EVERY_SUBJECT,), "layers": (CURATED, ALL_LAYERS)}.get(name, ())
            if isinstance(values, str) and values not in words:
                allowed = f"a list, or {' or '.join(map(repr, words))}" if words else "a list"
                raise ValueError(f"vary.{name} must be {allowed}; not {values!r}.")
            if not isinstance(values, str | list) or not values:
                raise ValueError(f"vary.{name} must be a list of one value or more, not {values!r}.")
        if "readout" in vary and self.base.options:
            raise ValueError('Where the readout varies, its parameters stand beside its name: readout = [{name = "ridge", alpha = 10}].')
        if "backbone" in vary and "weights" in vary and any(isinstance(each, dict) and "weights" in each for each in vary["backbone"]):
            raise ValueError("vary.weights and the weights of a backbone's own table contradict each other. Keep one of them.")
        object.__setattr__(self, "vary", vary)
        object.__setattr__(self, "base", replace(self.base, **{name: getattr(FitSpec, name) for name in vary}))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the tables of a TOML file: ``title``, ``about``, ``curves``, ``[base]`` and ``[vary]``.

        The split defaults to the data set's own. Layers that are named nowhere are the curated ones of each backbone.

        Raises
        ------
        UnknownName, ValueError
            As the class; also for a field of ``[base]`` that a fit does not have.
        """
        known = ("title", "about", "curves", "base", "vary")
        for name in values:
            if name not in known:
                raise UnknownName(unknown("entry of an experiment", name, known))
        base, vary = dict(_table(values, "base")), dict(_table(values, "vary"))
        for name, kind in (("title", str), ("about", str), ("curves", bool)):
            if not isinstance(values.get(name, kind()), kind):
                raise ValueError(f"{name} must be {KINDS[kind]}, not {values[name]!r}.")
        if not base and not vary:
            raise ValueError("An experiment needs a table [base] or [vary] that says what to fit; here is neither.")
        for name in base:
            if name not in BASE_FIELDS:
                raise UnknownName(unknown("setting of [base]", name, BASE_FIELDS, show=30))
            _check_kind(f"base.{name}", name, base[name])
        for name in base.keys() & vary.keys():
            raise ValueError(f"{name} stands in [base] and in [vary]. Keep one of them.")
        dataset = base.get("dataset", FitSpec.dataset)
        if "split" not in base and "split" not in vary:
            base["split"] = DATASETS[dataset].split
        if "layers" not in base and "layers" not in vary:
            vary["layers"] = CURATED
        about = {name: values[name] for name in ("title", "about", "curves") if name in values}
        if base.get("feature_budget") == NO_BUDGET:
            base["feature_budget"] = None
        return cls(base=FitSpec(**base), vary=vary, **about)

    def to_dict(self) -> dict[str, Any]:
        """Tables that :meth:`from_dict` turns back into an equal experiment; settings at their defaults are left out."""
        base = {name: value for name, value in self.base.changed().items() if name not in self.vary}
        if base.get("feature_budget", 0) is None:
            base["feature_budget"] = NO_BUDGET
        if "split" not in self.vary:
            base["split"] = self.base.split
        if "layers" not in self.vary:
            base["layers"] = list(self.base.layers)
        about = {"title": self.title, "about": self.about, "curves": self.curves}
        return {name: value for name, value in about.items() if value} | {"base": base, "vary": dict(self.vary)}

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read an experiment from the text of a TOML file; ValueError where it is not TOML, else as :meth:`from_dict`."""
        return cls.from_dict(read_toml(text))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read an experiment from a TOML file.

        Raises
        ------
        FileNotFoundError, ValueError, UnknownName
            With the file's name; ValueError also for a pipe or a device.
        """
        path = Path(path).expanduser()
        try:
            with open_regular(path) as file:
                return cls.from_toml(decoded(file.read()))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not text in UTF-8 ({error}). Save it again as UTF-8.") from error
        except UnknownName as error:
            raise UnknownName(f"{path}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def to_toml(self) -> str:
        """The text of a TOML file that :meth:`from_toml` reads."""
        return dump_toml(self.to_dict())

    def cells(self) -> tuple[Cell, ...]:
        """Expand the grid to its fits, each once, in order.

        Raises
        ------
        UnknownName, UnknownLayer, BadOption, ValueError
            For a data set, subject, backbone, layer, readout, parameter or value that does not exist, before anything is opened. A layer
            must exist in one of the backbones at least, and what varies must change one of the fits.
        """
        specs: dict[FitSpec, None] = {}
        dataset = DATASETS[self.base.dataset]
        choices = {name: list(self._choices(name)) for name in self.vary if name != "layers"}
        for subject in {each.get("subject", self.base.subject) for each in choices.get("subject", [{}])}:
            dataset.check_subject(subject)
        networks = choices.pop("backbone", [{"backbone": self.base.backbone}])
        layers_of = [self._layers_of(network.pop("layers", None), network["backbone"]) for network in networks]
        self._check_layers_found(networks)
        for subject in choices.pop("subject", [{}]):
            for network, layers in zip(networks, layers_of, strict=True):
                for values in product(({"layers": each} for each in layers), *choices.values()):
                    specs[self._spec(subject, network, *values)] = None
        self._check_effects(list(specs))
        return tuple(Cell(spec, {FIT_HEMI if name == "hemi" else name: _text(name, spec) for name in self._shown}) for spec in specs)

    def specs(self) -> tuple[FitSpec, ...]:
        """Spec of every fit, in the order of :meth:`cells`."""
        return tuple(cell.spec for cell in self.cells())

    @property
    def key(self) -> str:
        """Digest of the fits and of what is computed from them; their order, title and text do not matter."""
        cells = sorted(digest("cell", 1, spec=spec.for_digest()) for spec in self.specs())
        return digest("experiment", 1, cells=cells, curves=self.curves)

    @property
    def _shown(self) -> tuple[str, ...]:
        """Names of the varied fields; weights where a backbone's table brings them, layers where one brings several."""
        tables = [each for each in self.vary.get("backbone", ()) if isinstance(each, dict)]
        brought = {name for name in ("weights", "layers") if any(name in each for each in tables)}
        return tuple(name for name in VARIABLE if name in self.vary or name in brought)

    def _choices(self, name: str) -> Iterator[dict[str, Any]]:
        """The values of one varied field, each as the fields of the spec that it sets."""
        values = self.vary[name]
        if values == EVERY_SUBJECT and name == "subject":
            values = list(DATASETS[self.base.dataset].subjects())
            if not values:
                raise UnknownName(f"There is no subject of {self.base.dataset}: {DATASETS[self.base.dataset].where()}")
        for value in values:
            if name == "backbone":
                yield _network(value)
            elif name == "readout":
                yield _readout(value)
            else:
                value = [value] if name in LISTS and isinstance(value, str) else value
                _check_kind(f"vary.{name}", name, value)
                if name == "split":
                    check_split(value)
                yield {name: tuple(value) if name in LISTS else None if name == "feature_budget" and value == NO_BUDGET else value}

    def _layers_of(self, own: Any, backbone: str) -> list[tuple[str, ...]]:
        """Layers of each fit of a backbone, early ones first where a list of the backbone's is taken."""
        source = BACKBONES[backbone]
        wanted = own if own is not None else self.vary.get("layers", [list(self.base.layers)])
        if wanted in (CURATED, ALL_LAYERS):
            names = source.layers(backbone) if wanted == CURATED else source.every_layer(backbone)
            if not names:
                raise UnknownLayer(f'{backbone} has no curated layers. Name some, or write layers = "all".')
            return [(name,) for name in names]
        found = []
        for value in wanted:
            _check_kind("layers", "layers", [value] if isinstance(value, str) else value)
            layers = (value,) if isinstance(value, str) else tuple(value)
            if own is not None or "layers" not in self.vary:
                source.check_layers(backbone, layers)
                found.append(layers)
            elif _has_layers(backbone, layers):
                found.append(layers)
        return found

    def _check_effects(self, specs: Sequence[FitSpec]) -> None:
        """Raise ValueError for a varied field that changes none of the fits, which would stand in the table as equally good."""
        for name, why in specs[0].without_effect.items() if len(specs) > 1 else ():
            if name in self.vary and all(name in spec.without_effect for spec in specs):
                raise ValueError(f"vary.{name} changes nothing: {why} Leave it out.")

    def _check_layers_found(self, networks: Sequence[Mapping[str, Any]]) -> None:
        """Raise UnknownLayer for a layer of ``vary.layers`` that no backbone has."""
        wanted = self.vary.get("layers", ())
        for value in wanted if not isinstance(wanted, str) else ():
            layers = (value,) if isinstance(value, str) else tuple(value)
            if not any(_has_layers(network["backbone"], layers) for network in networks):
                refused = []
                for network in networks:
                    try:
                        BACKBONES[network["backbone"]].check_layers(network["backbone"], layers)
                    except UnknownLayer as error:
                        refused.append(str(error))
                raise UnknownLayer(" ".join(refused))

    def _spec(self, *choices: Mapping[str, Any]) -> FitSpec:
        values = {name: value for choice in choices for name, value in choice.items()}
        spec = replace(self.base, **values)
        READOUTS[spec.readout].read(dict(spec.options))
        return spec if BACKBONES[spec.backbone].needs_weights else replace(spec, weights=FitSpec.weights)


def _plain(value: Any) -> Any:
    """Tuples as lists and mappings as dicts, throughout, so that an experiment from Python equals the one read from TOML."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name, {})
    if not isinstance(found, Mapping):
        raise ValueError(f"{name} must be a table: write [{name}] and its settings below.")
    return found


def _check_kind(place: str, name: str, value: Any) -> None:
    """Raise ValueError unless a value is of the kind that a field of :class:`FitSpec` holds."""
    if name in LISTS:
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            raise ValueError(f"{place} must be a list of names, not {value!r}.")
    elif name == "feature_budget":
        if value not in (None, NO_BUDGET) and type(value) not in (int, float):
            raise ValueError(f'{place} must be a number of GB, or "{NO_BUDGET}" for no limit; not {value!r}.')
    elif name == "options":
        if not isinstance(value, Mapping):
            raise ValueError(f"{place} must be a table of parameters, not {value!r}.")
    else:
        kind = type(getattr(FitSpec, name))
        if type(value) is not kind:
            raise ValueError(f"{place} must be {KINDS[kind]}, not {value!r}.")


def _network(value: Any) -> dict[str, Any]:
    """Fields that one value of ``vary.backbone`` sets: backbone, and weights and layers where it names them."""
    if isinstance(value, dict):
        for name in value:
            if name not in ("name", "weights", "layers"):
                raise UnknownName(unknown("entry of a backbone's table", name, ("name", "weights", "layers")))
        if "name" not in value:
            raise ValueError(f"A backbone's table needs its name: {value!r}.")
        for name in value.keys() & {"name", "weights"}:
            _check_kind(f"vary.backbone.{name}", "backbone", value[name])
        layers = value.get("layers", CURATED)
        if layers not in (CURATED, ALL_LAYERS) and not (isinstance(layers, list) and layers):
            raise ValueError(f'The layers of {value["name"]} must be a list of names, "curated" or "all", not {layers!r}.')
        return {"backbone": value["name"]} | {name: value[name] for name in ("weights", "layers") if name in value}
    _check_kind("vary.backbone", "backbone", value)
    return {"backbone": value}


def _readout(value: Any) -> dict[str, Any]:
    """Fields that one value of ``vary.readout`` sets: readout and its parameters."""
    if isinstance(value, dict):
        if not isinstance(value.get("name"), str):
            raise ValueError(f"A readout's table needs its name: {value!r}.")
        return {"readout": value["name"], "options": {name: each for name, each in value.items() if name != "name"}}
    _check_kind("vary.readout", "readout", value)
    return {"readout": value, "options": {}}


def _has_layers(backbone: str, layers: Iterable[str]) -> bool:
    try:
        BACKBONES[backbone].check_layers(backbone, tuple(layers))
    except UnknownLayer:
        return False
    return True


def _text(name: str, spec: FitSpec) -> str:
    """A field's value as a table shows it."""
    if name == "readout":
        return " ".join([spec.readout, *(f"{option}={value}" for option, value in spec.options)])
    value = getattr(spec, name)
    return " + ".join(value) if name in LISTS else str(value)
