"""Choices per ROI and vertex: planted layers are found, and what the choice is worth is told by stimuli that took no part in it."""

from dataclasses import replace

import numpy as np
import pytest

from encoding import Store
from encoding.analysis.bootstrap import noise_share, roi_intervals
from encoding.evaluation.scores import SCORES
from encoding.evaluation.splits import folds
from encoding.experiments import run_experiment
from encoding.experiments.candidates import NotFinished, within_one_se
from encoding.experiments.experiment import Experiment
from encoding.experiments.selection import select, with_validation
from encoding.runtime.registry import UnknownName
from tests.encoding.experiments.planted import BASE, GRID, PER_ROI, PLANTED, grid, planted_subject, register_planted


@pytest.fixture(scope="module")
def chosen(ran, planted):
    return select(ran.cells, planted)


def test_planted_layers_are_found_in_every_roi_and_hemisphere(chosen):
    table = chosen.table()
    for roi, (network, layer) in PLANTED.items():
        found = table[table.roi == roi]
        assert set(found.winner) == set(found.best_on_test) == {f"{network} · {layer}"}
        assert set(found.subject) == {"subj01", "subj02"}
        assert (found.probability > 0.99).all()
        assert (found.optimism == 0).all()
        assert ((found.test_low < found.test) & (found.test < found.test_high)).all()
    assert (table[table.roi == "empty"].winner == "").all()


def test_the_reported_score_is_the_chosen_fits_own_on_its_test_stimuli(chosen, ran):
    fits = {result.key: result for result in ran.results}
    for row in chosen.table().query("n_vertices > 0").to_dict("records"):
        result = fits[row["key"]]
        assert result.plan.spec.split == BASE.split  # no validation fit
        mean = np.nanmean(result.score(row["hemi"])[result.columns(row["roi"], row["hemi"])])
        assert row["test"] == pytest.approx(mean, abs=1e-9)
        intervals = roi_intervals(result)
        place = intervals["rois"].tolist().index(row["roi"])
        assert row["test_low"] == pytest.approx(intervals[f"{row['hemi']}_low"][place], abs=1e-6)


def test_standard_errors_of_validation_scores_are_those_of_the_intervals(chosen, ran):
    """Draws by the influence of each stimulus have the jackknife's standard error, and bootstrap draws of the scores agree with them."""
    validations = {result.plan.spec.backbone + " · " + result.plan.spec.layers[0]: result for result in ran.results
                   if "/" in result.plan.spec.split and result.plan.spec.subject == "subj01"}  # fmt: skip
    table = chosen.candidates().query("subject == 'subj01' and hemi == 'lh' and roi == 'early'")
    for row in table.to_dict("records"):
        intervals = roi_intervals(validations[row["candidate"]])
        place = intervals["rois"].tolist().index("early")
        assert row["validation"] == pytest.approx(intervals["lh_value"][place], abs=1e-6)
        assert row["validation_se"] == pytest.approx(intervals["lh_draws"][:, place].std(ddof=1), rel=0.1)


def test_validation_stimuli_are_training_stimuli_and_leave_the_test_stimuli_alone(ran):
    tested = {(r.plan.spec.subject, r.plan.spec.split): r.plan.folds[0] for r in ran.results}
    for (subject, split), fold in tested.items():
        if "/" in split:
            whole = tested[subject, split.partition("/")[0]]
            assert np.isin(np.concatenate([fold.train, fold.test]), whole.train).all()
            assert len(fold.train) + len(fold.test) == len(whole.train)


@pytest.mark.parametrize("by", [name for name, score in SCORES.items() if not score.pooled])
def test_every_score_finds_the_planted_layers(ran, planted, by):
    table = select(ran.cells, planted, by=by).table()
    for roi, (network, layer) in PLANTED.items():
        assert set(table[table.roi == roi].winner) == {f"{network} · {layer}"}, by
    known = table.query("n_vertices > 0")
    assert known.probability.between(0, 1).all()
    assert (known.optimism >= -1e-9).all()


def test_the_median_has_no_standard_error(ran, planted):
    table = select(ran.cells, planted, by="r_median").table().query("roi == 'B'")
    assert set(table.winner) == {"netone · late"}
    assert table[["probability", "validation_se", "test_low"]].isna().all(axis=None)


def test_choices_over_one_setting_stand_apart_for_the_others(ran, planted):
    table = select(ran.cells, planted, over=["layers"]).table()
    assert set(table.query("roi == 'A' and backbone == 'netone'").winner) == {"early"}
    assert set(table.query("roi == 'D' and backbone == 'nettwo'").winner) == {"late"}


def test_groups_hemispheres_together_and_subjects_together(ran, planted):
    selection = select(ran.cells, planted, groups={"late": ["B", "D"], "first": ["A"]}, together=True, across_subjects=True)
    table = selection.table()
    assert set(zip(table.roi, table.hemi, table.n_vertices, strict=True)) == {
        ("all", "both", 84), ("late", "both", 4 * PER_ROI), ("first", "both", 2 * PER_ROI)
    }  # fmt: skip
    assert set(table.query("roi == 'first'").winner) == {"netone · early"}
    one, other = (group for _, group in table.groupby("subject"))
    assert one.winner.tolist() == other.winner.tolist()  # one choice
    assert one.validation.tolist() == other.validation.tolist()
    assert one.test.tolist() != other.test.tolist()  # reported for each
    assert ((table.test_low < table.test) & (table.test < table.test_high)).all()


def test_per_vertex(ran, planted):
    selection = select(ran.cells, planted, per="vertex")
    for decision in selection.decisions:
        for roi, (network, layer) in PLANTED.items():
            numbers = decision.by_vertex(0)["lh"][0][planted_subject("x", seed=1).rois["lh"][roi]]
            assert {selection.labels[number] for number in numbers} == {f"{network} · {layer}"}
    table = selection.table().query("n_vertices > 0")
    assert (table[table.roi.isin(list(PLANTED))].agreement == 1).all()
    assert (table.optimism >= 0).all()
    assert table[table.roi == "early"].test.min() > 0.9  # half of it by each of two networks


def test_each_fold_makes_its_own_choice(planted):
    """With k folds, what fold f reports was chosen from validation stimuli within the training part of fold f."""
    base = replace(BASE, split="kfold:3:0", hemi="lh")
    ran = run_experiment(with_validation(Experiment(base=base, vary={"backbone": ["netone"], "layers": "curated"}), "kfold:2:1"), planted)
    selection = select(ran.cells, planted)
    (decision,) = selection.decisions
    assert decision.validation.shape == (3, 2, len(decision.units[0]))
    table = selection.table()
    assert table.set_index("roi").winner[["A", "B"]].tolist() == ["netone · early", "netone · late"]
    (case,) = decision.cases
    for u, unit in enumerate(decision.units[0]):
        if unit.n_vertices:
            by_hand = []
            for fold in range(3):
                inner = [np.mean(fit._arrays["lh_r"][2 * fold : 2 * fold + 2][:, unit.columns["lh"]]) for fit in case.validations]
                by_hand.append(np.mean(case.tests[int(np.argmax(inner))]._arrays["lh_r"][fold, unit.columns["lh"]]))
            assert table.test[u] == pytest.approx(np.mean(by_hand), abs=1e-6)
            assert table.test_low[u] < table.test[u] < table.test_high[u]


def chosen_on(monkeypatch, path, subject, by="r", *, split="kfold:5:0", validation="holdout:0.8:0", vary=None, **how):
    """Selection among two layers (or ``vary``) of a subject."""
    register_planted(monkeypatch, {"subj01": subject})
    base = replace(BASE, split=split, **({"hemi": "lh"} if "together" not in how else {}))
    experiment = Experiment(base=base, vary=vary or {"backbone": ["netone"], "layers": ["early", "late"]})
    store = Store(path)
    ran = run_experiment(with_validation(experiment, validation), store)
    return select(ran.cells, store, by=by, **how)


@pytest.mark.parametrize("by", ["normalised_r2", "normalised_r", "algonauts2023"])
def test_scores_that_need_a_ceiling_are_of_the_mean_r_over_folds(tmp_path, monkeypatch, by):
    """As those of a fit are: squares of the noisy r of single folds would be larger than their interval reaches."""
    selection = chosen_on(monkeypatch, tmp_path, planted_subject("subj01", seed=1, noise=14.0), by, split="kfold:12:0")
    table = selection.table().query("n_vertices > 0 and agreement == 1")
    assert len(table) > 0
    ((case,),) = (decision.cases for decision in selection.decisions)
    for row in table.to_dict("records"):
        of_fit = case.tests[case.labels.index(row["winner"])].rois().query(f"roi == '{row['roi']}' and hemi == 'lh'").iloc[0]
        assert row["test"] == pytest.approx(of_fit[SCORES[by].mean_column], rel=1e-9)
    assert table.eval("test_low <= test and test <= test_high").all()


def test_a_vertex_without_a_score_in_one_fold_is_left_out_as_in_every_table(tmp_path, monkeypatch):
    subject = planted_subject("subj01", seed=1, noise=3.0)
    Y = subject.responses["lh"].copy()
    Y[folds("kfold:5:0", subject.groups)[2].test, 0] = 0.5
    subject = replace(subject, responses={"lh": Y}, fingerprints={"lh": "constant in one fold"})
    selection = chosen_on(monkeypatch, tmp_path, subject)
    (row,) = selection.table().query("roi == 'A'").to_dict("records")
    ((case,),) = (decision.cases for decision in selection.decisions)
    own = case.tests[case.labels.index(row["winner"])].rois().query("roi == 'A'").iloc[0]
    assert row["test"] == pytest.approx(own.r_mean, abs=1e-9) and row["test_low"] < row["test"] < row["test_high"]


def test_a_stimulus_that_several_validation_folds_test_counts_once_in_the_standard_error(tmp_path, monkeypatch):
    """Against leaving each stimulus out of all folds at once; counted in each fold by itself the error would be .06 for .10."""
    subject = planted_subject("subj01", seed=1, noise=6.0)
    (decision,) = chosen_on(monkeypatch, tmp_path, subject, "mae", validation="kfold:5:0").decisions
    number = [unit.name for unit in decision.units[0]].index("A")
    columns, (validation, _) = decision.units[0][number].columns["lh"], decision.cases[0].validations
    tested = [fold.test for fold in validation.plan.folds]
    errors = [
        np.abs(validation.predicted_rows(k, rows, "lh", columns) - subject.responses["lh"][rows][:, columns]).mean(1)
        for k, rows in enumerate(tested)
    ]
    less_one = np.array([np.mean([error[rows != one].mean() for error, rows in zip(errors, tested, strict=True)]) for one in range(160)])
    jackknife = np.sqrt(159 / 160 * ((less_one - less_one.mean()) ** 2).sum())
    widened = np.sqrt(1 + noise_share(validation, "lh", columns).mean())
    assert decision.se[0, number] == pytest.approx(jackknife * widened, rel=0.1)


def test_hemispheres_together_count_the_vertices_that_have_the_score(tmp_path, monkeypatch):
    subject = planted_subject("subj01", seed=1, noise=6.0)
    low = {"lh": np.full(42, 0.01), "rh": np.full(42, 0.8)}
    of_both = chosen_on(monkeypatch, tmp_path, replace(subject, ceiling=low), "normalised_r", together=True).table()
    right = chosen_on(monkeypatch, tmp_path, replace(subject, ceiling=low), "normalised_r", together=True).decisions[0].cases[0]
    (row,) = of_both.query("roi == 'A'").to_dict("records")
    own = right.tests[right.labels.index(row["winner"])].rois().query("roi == 'A' and hemi == 'rh'").iloc[0]
    assert row["test"] == pytest.approx(own[SCORES["normalised_r"].mean_column]) and row["test_low"] < row["test"] < row["test_high"]
    assert row["validation_se"] > 0 and row["probability"] > 0.5


def test_where_each_validation_fold_tests_one_run_nothing_is_said_of_how_sure_a_choice_is(tmp_path, monkeypatch):
    """Leaving out the only run of a fold leaves no score: no error would be 0, and every winner certain."""
    subject = replace(planted_subject("subj01", seed=1, noise=6.0), groups=np.arange(160) // 20, stimulus_ids=np.arange(160))
    table = chosen_on(monkeypatch, tmp_path, subject, split="holdout:0.75:5", validation="kfold:6:0").table().query("n_vertices > 0")
    assert table[["validation_se", "probability", "one_se_validation"]].isna().all(axis=None) and (table.one_se == "").all()
    assert table.validation.notna().all() and set(table.query("roi == 'A'").winner) == {"netone · early"}


def test_candidates_are_compared_on_the_vertices_that_all_of_them_predict(tmp_path, monkeypatch):
    subject = planted_subject("subj01", seed=1, noise=3.0)
    vary = {"backbone": ["netone"], "layers": ["early"], "readout": ["pls"], "rois": [["A", "B"]], "target_groups": ["hemisphere", "roi"]}
    selection = chosen_on(monkeypatch, tmp_path, subject, vary=vary)
    table = selection.candidates().query("roi == 'all'").set_index("candidate").test
    ((case,),) = (decision.cases for decision in selection.decisions)
    for label, fit in zip(case.labels, case.tests, strict=True):
        assert table[label] == pytest.approx(fit.score("lh")[:16].mean(), abs=1e-9)
    assert np.isnan(case.tests[case.labels.index(next(each for each in case.labels if "roi" in each))].score("lh")[16:]).all()


@pytest.mark.parametrize("vary", [{"hemi": ["lh", "rh"]}, {"rois": [["A"], ["B"]]}, {"average_repeats": [False, True]}])
def test_what_is_tested_on_or_reported_makes_separate_choices(tmp_path, monkeypatch, vary):
    subject = planted_subject("subj01", seed=1, noise=3.0)
    two = {"backbone": ["netone"], "layers": ["early", "late"]}
    assert len(chosen_on(monkeypatch, tmp_path / "both", subject, vary=two | vary).decisions) == 2
    with pytest.raises(ValueError, match="nothing to choose between: vary a setting other than subject, split"):
        chosen_on(monkeypatch, tmp_path / "alone", subject, vary=vary)


def test_a_choice_of_one_hemisphere_s_fits_is_told_from_one_of_both(tmp_path, monkeypatch):
    subject = planted_subject("subj01", seed=1, noise=3.0)
    vary = {"backbone": ["netone"], "layers": ["early", "late"], "hemi": ["lh", "both"]}
    made = chosen_on(monkeypatch, tmp_path, subject, vary=vary)
    for table in (made.table(), made.candidates().query("candidate == 'netone · early'")):
        assert not table.duplicated(["fit_hemi", "roi", "hemi"]).any() and set(table["fit_hemi"]) == {"lh", "both"}


def test_on_noise_the_test_score_is_at_chance_and_choosing_on_test_is_not(tmp_path, monkeypatch):
    """Among 4 candidates that know nothing, the best validation score and the best test score are above 0; an honest one is not."""
    subject = planted_subject("subj01", seed=3, n=100)
    rois = {f"N{number}": np.arange(8 * number, 8 * number + 8) for number in range(40)}
    Y = np.random.default_rng(4).normal(size=(100, 320)).astype(np.float32)
    register_planted(
        monkeypatch, {"subj01": replace(subject, responses={"lh": Y}, fingerprints={"lh": "noise"}, rois={"lh": rois}, ceiling=None)}
    )
    store = Store(tmp_path)
    ran = run_experiment(with_validation(GRID), store)
    table = select(ran.cells, store).table().query("roi != 'all'")
    assert len(table) == 40
    error = table.test.std() / np.sqrt(len(table))
    assert abs(table.test.mean()) < 3 * error
    assert table.validation.mean() > 5 * table.validation.std() / np.sqrt(len(table))
    assert table.test_best.mean() > 5 * error
    assert table.probability.mean() < 0.8  # and the choice is not sure
    assert (table.optimism >= 0).all()
    assert table.optimism.mean() > 0.05


def test_one_standard_error():
    values = np.array([[[0.30], [0.34], [0.36]]])
    assert within_one_se(values, np.array([[0.1], [0.1], [0.01]])[None]).tolist() == [[2]]
    assert within_one_se(values, np.array([[0.1], [0.1], [0.02]])[None]).tolist() == [[1]]
    assert within_one_se(values, np.array([[0.0], [0.0], [0.07]])[None]).tolist() == [[0]]
    assert within_one_se(values, np.full((3, 1), np.nan)[None]).tolist() == [[2]]


def test_what_cannot_be_chosen_is_refused_by_name(ran, planted):
    with pytest.raises(UnknownName, match="Did you mean 'layers'"):
        select(ran.cells, planted, over=["layer"])
    with pytest.raises(UnknownName, match="score to choose by"):
        select(ran.cells, planted, by="pooled_r")
    with pytest.raises(UnknownName, match="ROI"):
        select(ran.cells, planted, groups={"x": ["Z"]})
    with pytest.raises(UnknownName, match="vertex"):
        select(ran.cells, planted, per="vertices")
    with pytest.raises(ValueError, match="single vertices"):
        select(ran.cells, planted, per="vertex", together=True)
    with pytest.raises(NotFinished, match="validation"):
        select([cell for cell in ran.cells if "/" not in cell.cell.spec.split], planted)
    with pytest.raises(NotFinished, match="fits are not finished"):
        select(ran.cells, Store(planted.root / "empty"))
    with pytest.raises(ValueError, match="nothing to choose"):
        select([cell for cell in ran.cells if cell.cell.spec.backbone == "netone" and cell.cell.spec.layers == ("late",)], planted)
    apart = [cell for cell in ran.cells if cell.cell.spec.subject == "subj01" or cell.cell.spec.layers == ("late",)]
    with pytest.raises(ValueError, match="must have the same candidates"):
        select(apart, planted, across_subjects=True)
    with pytest.raises(ValueError, match="no test stimuli"):
        with_validation(grid(split="all"))
    with pytest.raises(ValueError, match="validation split"):
        with_validation(GRID, "all")


def test_validation_doubles_the_grid_once():
    twice = with_validation(with_validation(GRID))
    assert len(twice.cells()) == 2 * len(GRID.cells())
    assert twice.key == with_validation(GRID).key
