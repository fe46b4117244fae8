"""Choices per ROI and vertex: planted layers are found, and what the choice is worth is told by stimuli that took no part in it."""

from dataclasses import replace

import numpy as np
import pytest

from encoding import Store
from encoding.analysis.bootstrap import roi_intervals
from encoding.evaluation.scores import SCORES
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
    assert within_one_se(values, np.array([[0.1], [0.1], [0.01]])).tolist() == [[2]]
    assert within_one_se(values, np.array([[0.1], [0.1], [0.02]])).tolist() == [[1]]
    assert within_one_se(values, np.array([[0.0], [0.0], [0.07]])).tolist() == [[0]]
    assert within_one_se(values, np.full((3, 1), np.nan)).tolist() == [[2]]


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
