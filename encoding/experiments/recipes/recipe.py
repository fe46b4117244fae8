"""Read a recipe: its parts, its published numbers, and what differs from its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from encoding.experiments.experiment import Experiment
from encoding.experiments.toml import read_toml
from encoding.runtime.registry import UnknownName, unknown

FOLDER = Path(__file__).parent
QUICK = ("skip", "n_trials", "search", "choose", "base", "vary")


@dataclass(frozen=True, kw_only=True)
class Published:
    """A number that the source published.

    Attributes
    ----------
    what : model, in the source's words.
    score : mean column or key of a score, ``<key>_median``, ``r_max`` (the highest of a vertex), ``mini_track`` or ``full_track`` (the
        Algonauts 2021 scores).
    value : the number.
    of : part whose table holds ours; empty where no part does.
    where : columns of that table and their values; of subjects that are not named the mean is taken.
    roi, hemi : of the number; ``hemi`` may be empty for all.
    """

    what: str
    score: str
    value: float
    of: str = ""
    where: Mapping[str, Any] = field(default_factory=dict, hash=False)
    roi: str = "all"
    hemi: str = ""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One experiment of a recipe.

    Attributes
    ----------
    base, vary : tables of the experiment (:meth:`Experiment.from_dict`).
    choose : arguments of :func:`encoding.experiments.selection.select`, and ``validation``; empty where nothing is chosen.
    compose : arguments of :func:`encoding.experiments.composition.compose`; empty where nothing is composed.
    search : ``n_trials`` and ``vary`` of :func:`encoding.analysis.hyperparameter_search.search`; empty where nothing is searched.
    quick : what takes the place of these for a quick run.
    """

    name: str
    about: str = ""
    base: Mapping[str, Any] = field(default_factory=dict, hash=False)
    vary: Mapping[str, Any] = field(default_factory=dict, hash=False)
    choose: Mapping[str, Any] = field(default_factory=dict, hash=False)
    compose: Mapping[str, Any] = field(default_factory=dict, hash=False)
    search: Mapping[str, Any] = field(default_factory=dict, hash=False)
    quick: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def experiment(self) -> Experiment:
        """The part's experiment."""
        return Experiment.from_dict({"title": f"{self.name}: {self.about}", "base": dict(self.base), "vary": dict(self.vary)})

    def quickly(self) -> Part | None:
        """The part as a quick run has it; None where it is left out."""
        quick = self.quick
        if quick.get("skip"):
            return None
        search = {} if quick.get("search") is False else dict(self.search)
        search |= {"n_trials": quick["n_trials"]} if search and "n_trials" in quick else {}
        return Part(
            name=self.name,
            about=self.about,
            base={**self.base, **quick.get("base", {})},
            vary=quick.get("vary", self.vary),
            choose={**self.choose, **quick.get("choose", {})} if self.choose else {},
            compose=self.compose,
            search=search,
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A project's results as experiments.

    Attributes
    ----------
    name : of its file. title, asks, source : for people.
    dataset : the data set that it was made for.
    differs : what this program does otherwise than the source, a sentence each.
    parts : its experiments. published : the source's numbers.
    quick_stimuli : number of simulated stimuli of a quick run. quick_subjects : simulated subjects.
    """

    name: str
    title: str
    asks: str
    dataset: str
    source: str
    differs: tuple[str, ...]
    parts: tuple[Part, ...]
    published: tuple[Published, ...]
    quick_stimuli: int = 40
    quick_subjects: tuple[str, ...] = ("subj01",)

    def quickly(self) -> tuple[Part, ...]:
        """The parts of a quick run."""
        return tuple(quick for part in self.parts if (quick := part.quickly()) is not None)


def recipes() -> tuple[str, ...]:
    """Names of the recipes, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@cache
def load(name: str) -> Recipe:
    """Read a recipe by its name.

    Raises
    ------
    UnknownName where there is none, or its file has an entry that a recipe does not have.
    """
    if name not in recipes():
        raise UnknownName(unknown("recipe", name, recipes()))
    return from_text(name, (FOLDER / f"{name}.toml").read_text("utf-8"))


def from_text(name: str, text: str) -> Recipe:
    """Read a recipe from the text of its TOML file; UnknownName for an entry that a recipe does not have."""
    values = read_toml(text)
    parts = tuple(_made(Part, "part", each) for each in values.pop("parts", []))
    published = tuple(_made(Published, "published number", each) for each in values.pop("published", []))
    names = [part.name for part in parts]
    for each in published:
        if each.of and each.of not in names:
            raise UnknownName(unknown("part of a published number", each.of, names))
    for part in parts:
        for entry in part.quick:
            if entry not in QUICK:
                raise UnknownName(unknown("entry of quick", entry, QUICK))
    lists = {entry: tuple(values[entry]) for entry in ("differs", "quick_subjects") if entry in values}
    return _made(Recipe, "entry", {"differs": ()} | values | lists | {"name": name, "parts": parts, "published": published})


def _made(kind: type, what: str, values: Mapping[str, Any]) -> Any:
    known = [each.name for each in fields(kind)]
    for entry in values:
        if entry not in known:
            raise UnknownName(unknown(f"entry of a recipe's {what}", entry, known))
    return kind(**values)
