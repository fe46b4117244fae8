"""Many layers of one or several backbones fitted with equal settings, to compare which layer predicts which ROI best.

:func:`encoding.experiments.sweep.run_sweep` computes them. Every fit is stored under its own key, as by :func:`encoding.fit`, and finished
fits can be read while the others are still running.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from encoding.analysis.bootstrap import intervals_key
from encoding.analysis.layer_ranking import BOTH, has_draws, roi_draws, roi_rows, win_shares
from encoding.backbones import BACKBONES, UnknownLayer
from encoding.backbones._base import JOIN
from encoding.evaluation.scores import SCORES
from encoding.fits.plan import Plan
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.fits.training_data import is_complete
from encoding.storage.keys import digest
from encoding.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

Cell = tuple[str, str]
"""A backbone and one of its layers."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Grid of fits that differ only in backbone and layer.

    Attributes
    ----------
    spec : all other settings; its backbone and layer are those of the first cell.
    cells : pairs (backbone, layer), early layers first.

    Examples
    --------
    >>> Sweep.read(FitSpec(), ["gabor"]).cells
    (('gabor', 'simple'), ('gabor', 'energy'))
    """

    spec: FitSpec
    cells: tuple[Cell, ...]

    def __post_init__(self) -> None:
        cells = tuple(dict.fromkeys((backbone, layer) for backbone, layer in self.cells))
        if not cells:
            raise ValueError("A sweep needs at least one layer.")
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "spec", replace(self.spec, backbone=cells[0][0], layers=cells[0][1:]))

    @classmethod
    def read(cls, spec: FitSpec, backbones: Sequence[str], layers: Iterable[str] = ()) -> Sweep:
        """Build the sweep over layers of some backbones; over all listed layers where none is named.

        Parameters
        ----------
        spec : settings of every fit.
        backbones : names of backbones, one at least.
        layers : layer names, each taken from every backbone that has it; ``"gabor energy"`` restricts one to a single backbone.

        Raises
        ------
        UnknownName
            For a backbone that does not exist.
        UnknownLayer
            For a layer that none of the backbones has, and for a backbone without listed layers unless a layer is named.
        ValueError
            If no backbone is given.
        """
        wanted: dict[str, list[str]] = {backbone: [] for backbone in backbones}
        layers = tuple(layers)
        for backbone in wanted if not layers else ():
            wanted[backbone] = list(BACKBONES[backbone].layers(backbone))
            if not wanted[backbone]:
                raise UnknownLayer(
                    f"{backbone} lists no layers of its own. `python -m encoding layers {backbone}` names them; choose some."
                )
        for name in layers:
            for backbone, layer in _found(name, wanted):
                wanted[backbone].append(layer)
        return cls(spec=spec, cells=tuple((backbone, layer) for backbone in wanted for layer in in_order(backbone, wanted[backbone])))

    @property
    def backbones(self) -> tuple[str, ...]:
        """Each backbone once, in order."""
        return tuple(dict.fromkeys(backbone for backbone, _ in self.cells))

    def of(self, backbone: str) -> tuple[Cell, ...]:
        """The cells of one backbone, early layers first."""
        return tuple(cell for cell in self.cells if cell[0] == backbone)

    def spec_of(self, cell: Cell) -> FitSpec:
        """Spec of the fit of one cell."""
        backbone, layer = cell
        weights = self.spec.weights if BACKBONES[backbone].needs_weights else FitSpec.weights
        return replace(self.spec, backbone=backbone, layers=(layer,), weights=weights)

    def specs(self) -> dict[Cell, FitSpec]:
        """Spec of every cell."""
        return {cell: self.spec_of(cell) for cell in self.cells}

    def label(self, cell: Cell) -> str:
        """Name of a layer, prefixed by its backbone where there are several, with its source where two would be called alike."""
        return cell[1] if len(self.backbones) == 1 else f"{self._short_names[cell[0]]} {cell[1]}"

    @cached_property
    def _short_names(self) -> dict[str, str]:
        """Backbone to its name without its source, such as ``RN50/openai``; the whole name where several of the sweep share that."""
        short = {backbone: JOIN.join(name.partition("/")[2] or name for name in backbone.split(JOIN)) for backbone in self.backbones}
        shared = Counter([*short.values(), *(name for name in short if short[name] != name)])
        return {backbone: name if shared[name] == 1 else backbone for backbone, name in short.items()}

    @property
    def job_key(self) -> str:
        """Key of the background job that runs the whole sweep."""
        return digest("sweep", 1, specs=[spec.for_digest() for spec in self.specs().values()])

    def to_command(self) -> str:
        """Shell command that runs this sweep."""
        network = ["--backbone", *self.backbones, *self._layer_words()]
        return shlex.join(["python", "-m", "encoding", "sweep", *self.spec.command_options(network)])

    def _layer_words(self) -> list[str]:
        every = [(backbone, layer) for backbone in self.backbones for layer in BACKBONES[backbone].layers(backbone)]
        if list(self.cells) == every:
            return ["--all-layers"]
        return ["--layer", *(layer if len(self.backbones) == 1 else f"{backbone} {layer}" for backbone, layer in self.cells)]


def _found(name: str, backbones: Iterable[str]) -> list[Cell]:
    """The cells that a layer's name means."""
    first, _, rest = name.partition(" ")
    if rest:
        if first not in backbones:
            raise UnknownLayer(f"{name!r} is a layer of {first}, which is not among the backbones: {', '.join(backbones)}.")
        BACKBONES[first].check_layers(first, (rest,))
        return [(first, rest)]
    sound, refused = [], []
    for backbone in backbones:
        try:
            BACKBONES[backbone].check_layers(backbone, (name,))
            sound.append((backbone, name))
        except UnknownLayer as error:
            refused.append(str(error))
    if not sound and refused:
        raise UnknownLayer(" ".join(refused))
    return sound


def in_order(backbone: str, layers: Sequence[str]) -> list[str]:
    """Sort layers of a backbone by depth, without duplicates."""
    known = BACKBONES[backbone].layers(backbone)
    if not set(layers) <= set(known):
        known = BACKBONES[backbone].every_layer(backbone)
    return sorted(dict.fromkeys(layers), key=lambda layer: known.index(layer) if layer in known else len(known))


def swept(sweep: Sweep, by_cell: Mapping[Cell, Plan], store: Store) -> SweepResult:
    """Collect the finished fits of a sweep without computing anything."""
    results = {cell: Result(each, store) for cell, each in by_cell.items() if is_complete(each, store)}
    lacking = [cell for cell, result in results.items() if result.plan.has_test and intervals_key(result) not in store]
    return SweepResult(sweep, results, store, tuple(lacking))


@dataclass(frozen=True)
class SweepResult:
    """Finished layers of a sweep.

    Attributes
    ----------
    results : cell to its fit, early layers first; unfinished cells are missing.
    without_intervals : the finished cells whose intervals of ROI scores have not been computed.
    """

    sweep: Sweep
    results: Mapping[Cell, Result]
    store: Store
    without_intervals: tuple[Cell, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The finished cells."""
        return tuple(self.results)

    @property
    def done(self) -> bool:
        """Whether every layer is finished, with its intervals."""
        return len(self.results) == len(self.sweep.cells) and not self.without_intervals

    @property
    def rois(self) -> tuple[str, ...]:
        """ROIs that scores are reported for, as :attr:`Result.selected_rois`; empty before the first layer is finished."""
        return next((result.selected_rois for result in self.results.values()), ())

    @property
    def hemis(self) -> tuple[str, ...]:
        """Fitted hemispheres, preceded by :data:`BOTH` where there are two."""
        hemis = next((result.plan.hemis for result in self.results.values()), ())
        return (BOTH, *hemis) if len(hemis) > 1 else hemis

    def table(self) -> pd.DataFrame:
        """Tabulate the scores of every finished layer, ROI and hemisphere (including :data:`BOTH` where there are two).

        Returns
        -------
        DataFrame
            Columns backbone, layer, label (:meth:`Sweep.label`), those of :func:`roi_rows`, and key, the fit's key. Empty before the first
            layer is finished.
        """
        import pandas as pd

        return (
            concat_tables(self.sweep, {cell: roi_rows(result) for cell, result in self.results.items()}) if self.results else pd.DataFrame()
        )

    def draws(self, hemi: str = BOTH, score: str = "r") -> np.ndarray:
        """Bootstrap draws of a mean score (:func:`roi_draws`), (n_layers, n_draws, n_rois); layers share each draw of test stimuli."""
        return np.stack([roi_draws(result, hemi, score) for result in self.results.values()])

    def shares(self, hemi: str = BOTH, score: str = "r") -> np.ndarray | None:
        """Probability of each layer to be the best by a mean score (:func:`win_shares`), (n_layers, n_rois); None without its draws."""
        if not all(has_draws(result, score) for result in self.results.values()):
            return None
        return win_shares(self.draws(hemi, score), lower_is_better=SCORES[score].lower_is_better)


def concat_tables(sweep: Sweep, rows: Mapping[Cell, pd.DataFrame]) -> pd.DataFrame:
    """Concatenate the tables of single layers (:func:`roi_rows`) to :meth:`SweepResult.table`."""
    import pandas as pd

    named = [table.assign(backbone=cell[0], layer=cell[1], label=sweep.label(cell)) for cell, table in rows.items()]
    every = pd.concat(named, ignore_index=True)
    first = ["backbone", "layer", "label"]
    return every[first + [name for name in every if name not in first]]
