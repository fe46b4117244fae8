"""Several subjects' fits together: means and spread per ROI, maps on fsaverage, and models of one subject tested on another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from encoding.analysis.significance import stored_significance
from encoding.datasets._base import FSAVERAGE_VERTICES
from encoding.datasets._placement import Placement
from encoding.evaluation.resampling import blocks_of
from encoding.evaluation.scores import SCORES, pearson
from encoding.evaluation.splits import Fold, mean_of_repeats
from encoding.fits.composition import READOUT
from encoding.fits.extra_subjects import SAME, own_projections, projected_components, without_stimuli
from encoding.fits.plan import Plan
from encoding.fits.plan import plan as make_plan
from encoding.fits.predictions import predict_fold
from encoding.fits.result import Result
from encoding.fits.score_tables import ScoreTables
from encoding.fits.targets import TargetGroup
from encoding.fits.training_data import inputs, restored, stored_components
from encoding.pipeline import extract_features
from encoding.readouts import Model
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.keys import digest
from encoding.storage.npy import read_block

if TYPE_CHECKING:
    import pandas as pd

ACROSS_VERSION = 2  # of models of several folds, whose r was pooled over folds before
ONE_FOLD_VERSION = 1
ROW_BLOCK = 1_000  # stimuli compared at a time with those that a model was trained on
FEWEST_ROWS = 5  # stimuli that the model of a fold is tested on in another subject


class NotAGroup(ValueError):
    """Fits cannot be shown as a group, or a model not be tested on another subject. The message says why."""


@dataclass(frozen=True)
class GroupMap:
    """A score of several subjects on one hemisphere of fsaverage; only vertices that at least one subject has.

    Attributes
    ----------
    vertices : (n,) int64, ascending, fsaverage vertices.
    n_subjects : (n,) int64, subjects with a value there.
    mean : (n,) float64, the mean over these.
    n_above : (n,) int64, subjects that pass the threshold there.
    """

    vertices: np.ndarray
    n_subjects: np.ndarray
    mean: np.ndarray
    n_above: np.ndarray


def check_group(results: Sequence[ScoreTables]) -> None:
    """NotAGroup unless there are two fits or more, each of another subject, whose unions of one name are of the same ROIs in a data set."""
    if len(results) < 2:
        raise NotAGroup("A group needs the fits of two subjects at least.")
    subjects = [subject_name(result) for result in results]
    if twice := [name for name in dict.fromkeys(subjects) if subjects.count(name) > 1]:
        raise NotAGroup(f"A group holds one fit of each subject; of {', '.join(twice)} there are several.")
    unions: dict[tuple[str, str], dict[frozenset[str], str]] = {}
    for result, subject in zip(results, subjects, strict=True):
        for name, _, rois in (text.partition("=") for text in result.plan.spec.rois if "=" in text):
            members = frozenset(roi.strip() for roi in rois.split("+"))
            unions.setdefault((result.plan.spec.dataset, name.strip()), {}).setdefault(members, subject)
    for (_, name), definitions in unions.items():
        if len(definitions) > 1:
            each = " and ".join(f"{'+'.join(sorted(members))} in {subject}" for members, subject in definitions.items())
            raise NotAGroup(f"A group averages a region over subjects, and {name} is {each}. Give them the same ROIs, or two names.")


def subject_name(result: ScoreTables) -> str:
    """Data set and subject of a fit."""
    return f"{result.plan.spec.dataset} {result.plan.spec.subject}"


def group_table(results: Sequence[ScoreTables], score: str = "r", statistic: str = "mean") -> pd.DataFrame:
    """Tabulate the mean and spread over subjects, a row for each ROI and hemisphere that any of them reports.

    Returns
    -------
    Columns: roi, hemi; n_subjects with a value; mean, sd (n - 1 in the denominator) and se over these; low and high, the 95 % interval of
    the mean by Student's t, NaN of a single subject; least and most; and one column for each subject, by :func:`subject_name`.

    Notes
    -----
    The interval speaks of other subjects, each with test stimuli of its own: subjects are the random effect, and count equally whatever
    their number of vertices.
    """
    import pandas as pd
    from scipy.stats import t

    check_group(results)
    column, tables = SCORES[score].column(statistic), []
    for result in results:
        table = result.rois()
        values = table[column].where(table["n_vertices"] > 0) if column in table else np.nan
        tables.append(table.assign(value=values)[["roi", "hemi", "value"]].assign(subject=subject_name(result)))
    rows = pd.concat(tables, ignore_index=True)
    wide = rows.pivot_table("value", ["roi", "hemi"], "subject", sort=False, dropna=False)
    wide = wide.reindex(list(dict.fromkeys(rows[["roi", "hemi"]].itertuples(index=False, name=None))))
    wide = wide.reindex(columns=[subject_name(result) for result in results])
    n = wide.notna().sum(axis=1)
    se = wide.std(axis=1) / np.sqrt(n)
    reach = se * t.isf(0.025, np.maximum(n - 1, 1)).astype(float)
    summary = {"n_subjects": n, "mean": wide.mean(axis=1), "sd": wide.std(axis=1), "se": se}
    summary |= {"low": wide.mean(axis=1) - reach, "high": wide.mean(axis=1) + reach, "least": wide.min(axis=1), "most": wide.max(axis=1)}
    return pd.DataFrame(summary).join(wide).reset_index()


def group_maps(
    results: Sequence[ScoreTables], score: str = "r", *, threshold: float | None = 0.1, rate: float = 0.05
) -> dict[str, GroupMap]:
    """Average a score of several subjects over fsaverage, and count the subjects that pass a threshold.

    Parameters
    ----------
    score : key of :data:`encoding.evaluation.scores.SCORES`.
    threshold : of the score, inclusive; of errors values below pass. None counts the subjects whose vertex is significant, q <= ``rate``.
    rate : false discovery rate of the permutation tests (:func:`encoding.analysis.significance.significance`), which must be stored.

    Returns
    -------
    Hemisphere (lh, rh) to its map. Every subject has its own subset of vertices, so ``n_subjects`` differs from vertex to vertex.

    Raises
    ------
    NotAGroup where a subject has no place on fsaverage, or no permutation test where one is needed.
    """
    check_group(results)
    sums = {hemi: np.zeros((3, FSAVERAGE_VERTICES)) for hemi in ("lh", "rh")}  # subjects, score, passed
    for result in results:
        placement = Placement.of(result.plan.subject)
        if placement is None:
            raise NotAGroup(f"Where the columns of {subject_name(result)} lie on the cortex is not known, so it cannot be averaged.")
        values = {hemi: result.score(hemi, score) for hemi in result.plan.hemis}
        passed = _passed(result, values, score, threshold, rate)
        placed, above = placement.values(values), placement.values(passed)
        for hemi, each in placed.items():
            known = np.isfinite(each)
            there = placement.vertices[hemi][known]
            sums[hemi][:, there] += np.stack([np.ones(len(there)), each[known], above[hemi][known]])
    maps = {}
    for hemi, (n, total, n_above) in sums.items():
        vertices = np.flatnonzero(n)
        if len(vertices):
            maps[hemi] = GroupMap(vertices, n[vertices].astype(int), total[vertices] / n[vertices], n_above[vertices].astype(int))
    return maps


def _passed(
    result: ScoreTables, values: Mapping[str, np.ndarray], score: str, threshold: float | None, rate: float
) -> dict[str, np.ndarray]:
    if threshold is not None:
        lower = SCORES[score].lower_is_better
        return {hemi: (each <= threshold) if lower else (each >= threshold) for hemi, each in values.items()}
    tested = stored_significance(result) if result.has_data else None
    if tested is None:
        raise NotAGroup(f"The permutation test of {subject_name(result)} was not computed: `significance {result.key}` does.")
    return {hemi: q <= rate for hemi, q in tested.q.items()}


def across_subjects(results: Sequence[Result], report: Report = silent, device: str = "auto") -> pd.DataFrame:
    """Test the model of each subject on every subject's responses, in each ROI that both have; kept in the Store pair by pair.

    Returns
    -------
    Columns: model and tested (:func:`subject_name`), roi, hemi; n_stimuli; r_region, the correlation of the prediction averaged over the
    model's vertices of the ROI with the response averaged over the tested subject's; n_shared, the fsaverage vertices of the ROI that both
    subjects have, and r_vertices, the mean over these of the correlation at the same vertex (NaN where there are none). Correlations are
    those of each fold of the model, and their mean.

    Raises
    ------
    NotAGroup where a model cannot be moved: imported and composed fits, and networks that were trained themselves.

    Notes
    -----
    The tested subject's test stimuli pass through the model's components. Each fold's model predicts those that it was not trained on (the
    same components to 1e-4 of their length), and a fold with fewer than :data:`FEWEST_ROWS` of them is left out: so subjects may share all
    stimuli, some or none. A subject tested on itself is tested on each fold's test stimuli, as in the scores of its fit.
    """
    import pandas as pd

    check_group(results)
    for result in results:
        if why := across_refusal(result):
            raise NotAGroup(why)
    tables, n = [], len(results) ** 2
    for number, (model, tested) in enumerate((model, tested) for model in results for tested in results):
        progress = subprogress(report, number / n, (number + 1) / n)
        tables.append(_pair(model, tested, progress, device))
    return pd.concat(tables, ignore_index=True)


def across_refusal(result: ScoreTables) -> str:
    """Explain why the model of a fit cannot be tested on another subject; empty where it can."""
    name = subject_name(result)
    if not result.has_data or result.plan.spec.readout == READOUT:
        return f"The fit of {name} is imported or composed of others, so its model cannot be tested on another subject."
    if not result.plan.readout.uses_components:
        return f"{result.plan.spec.readout} of {name} trained the network itself, and is not run on another subject's stimuli."
    return "" if result.plan.has_test else f"The fit of {name} has no test stimuli."


def across_key(model: Result, tested: Result) -> str:
    """Key in the Store of one model tested on one subject: a digest of both fits, their ROI masks and places."""
    masks = hashlib.sha256()
    for result in (model, tested):
        for hemi in result.plan.hemis:
            places = result.plan.subject.vertices
            masks.update(b"-" if places is None else np.ascontiguousarray(places[hemi], "<i8").tobytes())
            for roi in result.selected_rois:
                masks.update(f"{hemi} {roi};".encode() + np.ascontiguousarray(result.columns(roi, hemi), "<i8").tobytes())
    version = ACROSS_VERSION if len(model.plan.folds) > 1 else ONE_FOLD_VERSION
    mistaken = model.plan.reduced_layers or model.plan.extra_subjects or model.plan.feature_dtype != "float32"
    made = {"trained on": "known"} if mistaken else {}  # earlier releases took stimuli that such models were trained on for unseen
    return digest("across", version, model=model.key, tested=tested.key, reads=masks.hexdigest(), **made)


def stored_across(results: Sequence[Result]) -> pd.DataFrame | None:
    """Read :func:`across_subjects` from the Store; None where a pair was not computed."""
    import pandas as pd

    pairs = [(model, tested) for model in results for tested in results]
    arrays = [model.derived(across_key(model, tested)) for model, tested in pairs]
    if any(each is None for each in arrays):
        return None
    return pd.concat([_pair_table(*pair, each) for pair, each in zip(pairs, arrays, strict=True)], ignore_index=True)


def _pair(model: Result, tested: Result, report: Report, device: str) -> pd.DataFrame:
    """Compute, or read from the Store, the table of one subject's model tested on another subject, a row for each ROI and hemisphere."""
    in_use = model.store.in_use([*model.plan.stage_keys, *tested.plan.stage_keys])
    make = in_use(partial(_across, model, tested, report, device))
    made_from = model.plan.made_from(model=model.key, tested=tested.key)
    return _pair_table(model, tested, model.store.memo(across_key(model, tested), make, made_from))


def _pair_table(model: Result, tested: Result, arrays: Mapping[str, np.ndarray]) -> pd.DataFrame:
    import pandas as pd

    numbers = {name: np.asarray(arrays[name]) for name in ("n_stimuli", "r_region", "n_shared", "r_vertices")}
    names = {"model": subject_name(model), "tested": subject_name(tested)}
    return pd.DataFrame(names | {name: [str(each) for each in arrays[name]] for name in ("roi", "hemi")} | numbers)


@dataclass(frozen=True)
class _TestedFold:
    """The stimuli of a tested subject that the model of one fold never saw.

    Attributes
    ----------
    rows : (n_rows,) int64, of the subject. stimuli : (n_rows,) int, equal for rows of one stimulus.
    predict, read : functions of hemisphere and columns to (n_rows, n_columns) predictions of the model, and responses of the subject.
    average : whether the rows of a stimulus are averaged.
    """

    rows: np.ndarray
    stimuli: np.ndarray
    predict: Callable[[str, np.ndarray], np.ndarray]
    read: Callable[[str, np.ndarray], np.ndarray]
    average: bool

    @property
    def scored(self) -> np.ndarray:
        """The different stimuli where their rows are averaged, else the rows."""
        return np.unique(self.stimuli) if self.average else self.rows

    def r_of_region(self, hemi: str, columns: np.ndarray, others: np.ndarray) -> float:
        """r of the prediction averaged over ``columns`` with the response averaged over those of the tested subject."""
        means = []
        for values, chosen in ((self.predict, columns), (self.read, others)):
            parts = (self._over_repeats(values(hemi, some)) for some in blocks_of(chosen, len(self.stimuli)))
            means.append(sum(part.sum(1, dtype=np.float64) for part in parts) / len(chosen))
        return float(pearson(*means))

    def r_of_columns(self, hemi: str, columns: np.ndarray, others: np.ndarray) -> np.ndarray:
        """r (n_columns,) of each of ``columns`` with that of the tested subject."""
        pairs = zip(*(blocks_of(some, len(self.stimuli)) for some in (columns, others)), strict=True)
        r = [pearson(self._over_repeats(self.predict(hemi, mine)), self._over_repeats(self.read(hemi, theirs))) for mine, theirs in pairs]
        return np.concatenate(r) if r else np.zeros(0)

    def _over_repeats(self, values: np.ndarray) -> np.ndarray:
        return mean_of_repeats(values, self.stimuli) if self.average else values


def _across(model: Result, tested: Result, report: Report, device: str) -> dict[str, np.ndarray]:
    """Arrays (n_rois * n_hemis,) of a pair: roi, hemi, n_stimuli, r_region (r of the mean), n_shared and r_vertices (their mean r)."""
    folds = _tested_folds(model, tested, report, device)
    scored = [fold for fold in folds if len(fold.scored) >= FEWEST_ROWS]
    n_stimuli = len(np.unique(np.concatenate([fold.scored for fold in scored or folds])))
    found: dict[str, list] = {name: [] for name in ("roi", "hemi", "n_stimuli", "r_region", "n_shared", "r_vertices")}
    hemis = [hemi for hemi in model.plan.hemis if hemi in tested.plan.hemis]
    for roi, hemi in ((roi, hemi) for roi in tested.selected_rois if roi in model.selected_rois for hemi in hemis):
        columns = [each.columns(roi, hemi) for each in (model, tested)]
        r_region, r_vertices, shared = np.nan, np.nan, np.zeros(0, int)
        if scored and all(map(len, columns)):
            r_region = np.mean([fold.r_of_region(hemi, *columns) for fold in scored])
            places = [each.plan.subject.vertices for each in (model, tested)]
            if all(place is not None for place in places):
                there = [np.asarray(place[hemi])[some] for place, some in zip(places, columns, strict=True)]
                shared, one, other = np.intersect1d(*there, return_indices=True)
                r = np.mean([fold.r_of_columns(hemi, columns[0][one], columns[1][other]) for fold in scored], axis=0)
                r_vertices = np.nanmean(r) if np.isfinite(r).any() else np.nan
        for name, value in zip(found, (roi, hemi, n_stimuli, float(r_region), len(shared), float(r_vertices)), strict=True):
            found[name].append(value)
    for result in (model, tested):
        result.plan.check_unchanged(model.store)
    return {name: np.array(values) for name, values in found.items()}


def _tested_folds(model: Result, tested: Result, report: Report, device: str) -> list[_TestedFold]:
    """For each fold of a model, the rows of the tested subject's test stimuli that it never saw."""
    plan, store, rows = model.plan, model.store, np.unique(np.concatenate([fold.test for fold in tested.plan.folds]))
    own = tested.plan.subject is plan.subject or tested.plan.subject.fingerprints == plan.subject.fingerprints
    other: Plan = plan
    if not own:
        spec = replace(
            plan.spec, dataset=tested.plan.spec.dataset, subject=tested.plan.spec.subject, split=tested.plan.spec.split,
            rois=(), hemi="both", target_groups="hemisphere", extra_subjects=(), average_repeats=False,
        )  # fmt: skip
        other = replace(
            make_plan(spec, store, subprogress(report, 0, 0.1), subject=tested.plan.subject), reduced_layers=plan.reduced_layers
        )
        for each in (*plan.extra_subjects, other):
            extract_features(each, store, subprogress(report, 0.1, 0.8), choose_device(device), sketches=False)
    found, responses = [], tested.plan.subject.responses
    for number, fold in enumerate(plan.folds):
        Z = stored_components(plan, fold, store)
        theirs = Z if own else projected_components(plan, other, fold, store, choose_device(device))
        unseen = np.intersect1d(rows, fold.test) if own else _unseen(model, number, rows, Z, theirs, choose_device(device))

        def predict(hemi: str, columns: np.ndarray, fold: Fold = fold, Z: np.ndarray = theirs, rows: np.ndarray = unseen) -> np.ndarray:
            return predict_fold(plan.target_groups, partial(_basis, model, fold, Z, rows), len(rows), {hemi: columns})[hemi]

        def read(hemi: str, columns: np.ndarray, rows: np.ndarray = unseen) -> np.ndarray:
            return np.asarray(read_block(responses[hemi], rows, columns), np.float32)

        stimuli = tested.plan.subject.stimulus_of_row[unseen]
        found.append(_TestedFold(unseen, stimuli, predict, read, tested.plan.spec.average_repeats))
    return found


def _unseen(model: Result, number: int, rows: np.ndarray, Z: np.ndarray, theirs: np.ndarray, device: str) -> np.ndarray:
    """Those of some ``rows`` of another subject, with component scores ``theirs``, whose stimuli trained nothing in a fold of a model."""
    plan, store, fold, same = model.plan, model.store, model.plan.folds[number], SAME[model.plan.feature_dtype]
    mine = own_projections(plan, fold, Z, store, device)
    learned = [(mine, fold.train)]
    for extra in plan.extra_subjects:
        scores = projected_components(plan, extra, fold, store, device)
        learned.append((scores, without_stimuli(extra.extra_fold(number).train, plan.unseen(fold), mine, scores, same)))
    for scores, trained in learned:
        blocks = (rows[start : start + ROW_BLOCK] for start in range(0, len(rows), ROW_BLOCK))
        rows = np.concatenate([rows[:0], *(without_stimuli(block, trained, scores, theirs, same) for block in blocks)])
    return rows


def _basis(model: Result, fold: Fold, Z: np.ndarray, rows: np.ndarray, group: TargetGroup) -> tuple[Model, object]:
    """The model of a target group and fold, and its basis of some ``rows`` (n,) of component scores Z (n_stimuli, k)."""
    found = restored(model.plan, fold, group, model.store)
    return found, found.basis(inputs(model.plan, rows, Z))
