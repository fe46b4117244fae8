"""Search the parameters of a readout with Optuna on a validation set inside the training rows.

One fifth of the first fold's training rows is held out for validation. A trial fits the readout on the other four fifths; the
readout's own inner folds lie within those. Its value is the mean r over all fitted vertices on the validation rows. Test rows of that
fold are never read; where the split has several, the others test the validation rows, so that the score of a fit with the parameters
found is a little too high (:func:`encoding.analysis.search_objective.validation_note`). The components are those of all training rows of
the fold: PCA sees the validation images but no response.

Parameters are proposed by TPE (Bergstra et al. 2011). Readouts trained in epochs are pruned by the median rule: a trial stops when
the r that it reached on the readout's own validation rows is below the median of earlier trials at the same epoch. Each trial is stored
as it ends (:mod:`encoding.analysis.optuna_study`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoding.analysis.optuna_study import EpochCallback, Space, begin, counted, is_sound, opened, shares_of_variance, tables, try_one
from encoding.analysis.search_objective import SearchObjective, validation_fold
from encoding.evaluation.scores import SCORES_VERSION
from encoding.fits.digests import groups_digest
from encoding.fits.plan import Plan, plan
from encoding.fits.spec import FitSpec
from encoding.readouts import READOUTS, BadOption, Choice, Range, Readout, known_space, read_value, search_space
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.registry import unknown
from encoding.storage.keys import digest
from encoding.storage.store import Store

if TYPE_CHECKING:
    import optuna
    import pandas as pd

SEARCH_VERSION = 1
N_TRIALS = 30


class NothingFound(RuntimeError):
    """All trials failed; the message holds the error of the last one."""


@dataclass(frozen=True)
class SearchRequest:
    """Arguments of :func:`search`, as plain data for a background job.

    Attributes
    ----------
    spec, n_trials, vary, seed : arguments of :func:`search`.
    """

    spec: FitSpec
    n_trials: int = N_TRIALS
    vary: tuple[str, ...] = ()
    seed: int = 0

    @property
    def job_key(self) -> str:
        """Key of the job; a job of more trials waits for one of fewer and goes on from its trials (:func:`search_key`)."""
        return digest("tune", 1, spec=self.spec.for_digest(), n_trials=self.n_trials, vary=sorted(self.vary), seed=self.seed)


@dataclass(frozen=True, eq=False)
class Search:
    """Trials of a :func:`search` so far.

    Attributes
    ----------
    spec : the fit whose readout is searched. Parameters that it sets are not varied.
    key : key of the search in the Store.
    space : parameter name to the range or choices searched.
    trials : one row per trial: ``number`` from 1, ``value`` (mean r on validation rows; NaN unless complete), ``state`` (complete,
        pruned or failed), ``seconds``, one column per parameter, ``error`` (empty unless failed).
    epochs : one row per epoch of readouts trained in epochs: ``trial``, ``epoch`` from 0, mean ``r`` on the readout's own validation
        rows, for the target group with the most vertices; else empty.
    """

    spec: FitSpec
    key: str
    space: Space
    trials: pd.DataFrame
    epochs: pd.DataFrame
    finished_trials: list[optuna.trial.FrozenTrial] = field(repr=False)

    @property
    def best(self) -> dict[str, Any]:
        """Varied parameters of the best complete trial (the first of equals); empty where none is complete."""
        if not self.trials["value"].notna().any():
            return {}
        row = self.trials["value"].idxmax()
        return {name: self.trials[name][row] for name in self.space}

    @property
    def best_value(self) -> float:
        """Mean r of the best trial on validation rows; NaN where no trial is complete."""
        return float(self.trials["value"].max())

    @property
    def best_spec(self) -> FitSpec:
        """Spec of the fit with the best parameters; those equal to the readout's defaults are left out."""
        readout = READOUTS[self.spec.readout]
        chosen = dict(self.spec.options) | self.best
        read, default = asdict(readout.read(chosen)), asdict(readout.options())
        return replace(self.spec, options={name: read[name] for name in chosen if read[name] != default[name]})

    @cached_property
    def importances(self) -> dict[str, float]:
        """Importance of each parameter: its share of the variance of trial values, largest first.

        Returns
        -------
        dict of str to float
            Sums to 1. Empty with fewer than ten complete trials, or where all values are equal.

        References
        ----------
        Hutter, Hoos & Leyton-Brown (2014), An efficient approach for assessing hyperparameter importance (fANOVA), ICML.
        """
        return shares_of_variance(self.finished_trials)


def search(
    spec: FitSpec,
    store: Store,
    *,
    n_trials: int = N_TRIALS,
    vary: Sequence[str] = (),
    seed: int = 0,
    report: Report = silent,
    device: str = "auto",
) -> Search:
    """Run trials until there are ``n_trials``, counting those of earlier calls.

    Parameters
    ----------
    spec : the fit whose readout is searched.
    store : holds the study; trials are added to it.
    n_trials : total number of trials.
    vary : parameters to vary, each a name, ``name=low:high`` or ``name=value,value`` (:func:`space_of`); by default every one that
        the readout declares a range for and ``spec`` does not set.
    seed : seed of the proposals.
    report : progress callback (fraction, text); may raise Cancelled.
    device : ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one.

    Raises
    ------
    BadOption
        If there is nothing to vary, or no such parameter.
    NothingFound
        If all trials failed.

    Notes
    -----
    The first trial uses the readout's defaults, whether or not the space contains them. A proposal depends only on the seed, its number
    and the trials before it, so an interrupted and resumed search ends with the same trials as an uninterrupted one, provided the
    readout itself is reproducible (on one device). A trial that was interrupted is marked failed and not counted. Errors that
    :func:`encoding.fit` raises before any work are raised here too.
    """
    if n_trials < 1:
        raise ValueError(f"n_trials must be 1 or more, not {n_trials}.")
    space = space_of(spec, vary)
    fit_plan = plan(spec, store, subprogress(report, 0, 0.1))
    path = study_path(fit_plan, space, seed, store)
    with store.lock(path.stem), store.in_use(fit_plan.stage_keys), store.writable(path.stem):
        begin(path)
        with opened(path, "rw") as study:
            if len(counted(study)) < n_trials:
                objective = SearchObjective.of(fit_plan, store, subprogress(report, 0.1, 0.3), choose_device(device))
                _try_all(study, objective, space, n_trials, seed, subprogress(report, 0.3, 1))
    result = _read(path, spec, space)
    if not result.best:
        raise NothingFound(f"None of {len(result.trials)} trials gave a value. The last: {result.trials['error'].iloc[-1]}")
    report(1.0, "done")
    return result


def stored_search(fit_plan: Plan, store: Store, *, vary: Sequence[str] = (), seed: int = 0) -> Search | None:
    """Read the trials of a search so far, also while it is running; None where it has not begun or its file is damaged.

    Raises
    ------
    BadOption
        If there is nothing to vary, or no such parameter.
    OSError
        With the file's name, where it cannot be read now.
    """
    space = space_of(fit_plan.spec, vary)
    path = study_path(fit_plan, space, seed, store)
    return _read(path, fit_plan.spec, space) if path.exists() and is_sound(path) else None


def space_of(spec: FitSpec, vary: Sequence[str] = ()) -> Space:
    """Search space: name to range or choices of each parameter that is varied.

    Parameters
    ----------
    vary : a name takes the range that the readout declares, or all values that the parameter knows. ``name=low:high`` is a range, on
        a logarithmic scale where the declared one is or, where none is declared, where ``high`` is ten times ``low`` or more;
        ``name=low:high:log`` and ``:linear`` say which. ``name=value,value`` lists choices. ``hidden`` stands for ``hidden_1`` and
        ``hidden_2`` where the readout has these, and so does every name of numbered parameters.

    Raises
    ------
    BadOption
        If the readout has no searchable parameter, none is left, or a named one does not exist, is set by ``spec``, or cannot take
        a value that is given for it.

    Examples
    --------
    >>> space_of(FitSpec(readout="mlp"), ["optimiser=adam,sgd", "hidden=64:2048"])["hidden_2"]
    Range(low=64, high=2048, log=True)
    """
    readout, fixed = READOUTS[spec.readout], dict(spec.options)
    declared, known = search_space(readout.options), known_space(readout.options)
    if not declared and not vary:
        able = [name for name, each in READOUTS.items() if search_space(each.options)]
        raise BadOption(f"{spec.readout} has no parameters to search. Readouts that have: {', '.join(able) or 'none'}.")
    if not vary:
        chosen = {name: space for name, space in declared.items() if name not in fixed}
        if not chosen:
            raise BadOption(f"Every parameter of {spec.readout} that can be searched is set: {', '.join(declared)}. Leave one out.")
        return chosen
    chosen = {}
    for words in vary:
        stem, _, values = words.partition("=")
        names = named_parameters(spec.readout, [words])
        if not names:
            raise BadOption(unknown(f"parameter of {spec.readout} to vary", stem, known))
        for name in names:
            if name in fixed:
                raise BadOption(f"{name} is set to {fixed[name]!r}, so it cannot be varied. Leave out one of the two.")
            if name in chosen:
                raise BadOption(f"{name} is varied twice.")
            space = _read_space(readout, name, values, known[name]) if values else known[name]
            if space is None:
                raise BadOption(f"No range is known for {name} of {spec.readout}. Give one: {name}=low:high, or {name}=value,value.")
            chosen[name] = space
    return {name: chosen[name] for name in known if name in chosen}


def named_parameters(readout: str, vary: Sequence[str]) -> list[str]:
    """Parameters of a readout that the words of ``vary`` name, ``hidden`` being ``hidden_1`` and ``hidden_2``; no unknown ones."""
    known, found = known_space(READOUTS[readout].options), []
    for words in vary:
        stem = words.partition("=")[0]
        found += [stem] if stem in known else [name for name in known if re.fullmatch(rf"{re.escape(stem)}_\d+", name)]
    return found


def _read_space(readout: Readout, name: str, text: str, declared: Range | Choice | None) -> Range | Choice:
    """Parse ``low:high``, ``low:high:log``, ``low:high:linear`` or ``value,value``; BadOption where the readout takes no such value."""

    def read(word: str) -> Any:
        value = read_value({"none": "null"}.get(word.lower(), word.lower()))
        return getattr(readout.read({name: word if isinstance(value, str) else value}), name)

    parts = [part.strip() for part in text.split(":")]
    if len(parts) == 1:
        values = tuple(dict.fromkeys(read(word.strip()) for word in text.split(",")))
        if len(values) < 2:
            raise BadOption(f"A search needs two values of {name} or more, or a range such as {name}=low:high; not {text!r}.")
        return Choice(values)
    low, high = (read(part) for part in parts[:2])
    scale = parts[2] if len(parts) == 3 else ""
    if len(parts) > 3 or scale not in ("", "log", "linear") or not _are_numbers(low, high) or not low < high:
        raise BadOption(f"Write a range of {name} as low:high, low:high:log or low:high:linear, of numbers; not {text!r}.")
    usual = low > 0 and (declared.log if isinstance(declared, Range) else 10 * low <= high)
    log = scale == "log" or (not scale and usual)
    if log and not low > 0:
        raise BadOption(f"A logarithmic range of {name} begins above 0, not at {low!r}.")
    return Range(low, high, log=log)


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def search_key(fit_plan: Plan, space: Space, seed: int) -> str:
    """Key of a search: a digest of everything that determines its trials except their number, so that it can be extended."""
    fold = validation_fold(fit_plan)
    made: dict[str, Any] = {}
    if fit_plan.spec.average_repeats:
        made["average_repeats"] = groups_digest(fit_plan.subject.stimulus_of_row[fold.test])
    if not fit_plan.readout.exact:
        made["pruned_by"] = "r"  # earlier releases compared losses, which are kept with their trials
    return digest(
        "search",
        SEARCH_VERSION,
        scores=SCORES_VERSION,
        weights=[fit_plan.weights_key(fold, target_group) for target_group in fit_plan.target_groups],
        components=[fit_plan.components_key(fit_plan.folds[0], layers) for layers in fit_plan.spaces],
        validation=fold.test.tolist(),
        space={name: repr(each) for name, each in space.items()},
        seed=seed,
        **made,
    )


def study_path(fit_plan: Plan, space: Space, seed: int, store: Store) -> Path:
    """Path of a search's SQLite file; the file exists once the search has begun."""
    return store.root / "search" / f"{search_key(fit_plan, space, seed)}.db"


def _try_all(study: optuna.Study, objective: SearchObjective, space: Space, n_trials: int, seed: int, report: Report) -> None:
    """Trials until there are enough of them."""
    defaults, n_before = asdict(objective.fit_plan.options), len(done := counted(study))
    while len(done) < n_trials:
        values = [trial.value for trial in done if trial.state.name == "COMPLETE"]
        text = f"trial {len(done) + 1} of {n_trials}" + (f", best r {max(values):.3f}" if values else "")
        start, stop = ((at - n_before) / (n_trials - n_before) for at in (len(done), len(done) + 1))
        within = subprogress(report, start, stop)
        subreport = lambda fraction, more, within=within, text=text: within(fraction, f"{text}: {more}")  # noqa: E731
        subreport(0, "choosing parameters")

        def value(chosen: dict[str, Any], on_epoch: EpochCallback, subreport: Report = subreport) -> float:
            return objective.value(objective.fit_plan.readout.read(defaults | chosen), on_epoch, subreport)

        try_one(study, done, space, defaults, seed, value)
        done = counted(study)


def _read(path: Path, spec: FitSpec, space: Space) -> Search:
    with opened(path, "rw") as study:
        trials = counted(study)
    defaults = asdict(READOUTS[spec.readout].read(dict(spec.options)))
    return Search(spec, path.stem, space, *tables(trials, space, defaults), trials)
