"""New stimuli of a fit on a feature table: the rows of another table with the same columns."""

from __future__ import annotations

from pathlib import Path

from encoding.datasets import Stimuli
from encoding.datasets._base import NamedStimuli
from encoding.datasets.own.feature_tables import FeatureTable, names_of_rows
from encoding.features.given import PREFIX, is_given
from encoding.fits.score_tables import ScoreTables
from encoding.prediction.inputs import CannotPredict
from encoding.storage.store import Store


class TableRows(NamedStimuli):
    """The rows of a feature table as stimuli without images."""

    def __init__(self, table: FeatureTable) -> None:
        super().__init__((path.name for path in table.stimuli), source=str(table.path))
        self.tables = {table.name: table}

    @property
    def fingerprint(self) -> str:
        """Digest of the names and of the table."""
        return f"{super().fingerprint}-{self._table.fingerprint}"

    @property
    def _table(self) -> FeatureTable:
        return next(iter(self.tables.values()))


def stimuli_in_table(path: str | Path, result: ScoreTables, store: Store) -> Stimuli:
    """The rows of a table, in their order, as new stimuli for a fit on a table with the same layers and columns.

    Raises
    ------
    CannotPredict where the fit is not on a table alone, or columns differ in number or, where both tables name them, in name.
    BadData where the table cannot be read.
    """
    spec, path = result.plan.spec, Path(path).expanduser()
    if not is_given(spec.backbone):
        raise CannotPredict(f"This fit predicts from images, which pass through {spec.backbone}. Give a folder of them: --images DIR.")
    rows = [Path(name) for name in names_of_rows(path)]
    name = spec.backbone.removeprefix(PREFIX)
    table, own = FeatureTable(name, path, rows, rows, store), result.plan.subject.stimuli.tables.get(name)
    for layers in result.plan.spaces:
        n_new, n_fitted = sum(map(table.n_features, layers)), len(result.projection(0, layers)[0])
        if n_new != n_fitted:
            raise CannotPredict(
                f"{path} has {n_new:,} columns in {' + '.join(layers)}, but the fit saw {n_fitted:,}. Save the same columns."
            )
        for layer in layers if own is not None else ():
            for new, fitted in zip(table.columns(layer), own.columns(layer), strict=False):
                if new != fitted:
                    raise CannotPredict(f"{path} has the column {new!r} where the fit saw {fitted!r}. Save the same columns in that order.")
    return TableRows(table)
