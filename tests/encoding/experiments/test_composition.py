"""Composed fits: better than any member where layers are planted per ROI, and a fit like any other wherever a fit opens."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from encoding import Store, fit
from encoding.analysis.bootstrap import intervals_of, roi_intervals
from encoding.analysis.comparison import compare
from encoding.cli.fitting import describe
from encoding.evaluation.scores import STORED_SCORES, score
from encoding.experiments import run_experiment
from encoding.experiments.composition import METHODS, compose, member_weights, residual_products
from encoding.experiments.selection import select, with_validation
from encoding.fits.composition import ComposedResult, NotComposed, composed
from encoding.fits.open import FitChanged, models_of_composed, open_fit
from encoding.fits.spec import FitSpec
from encoding.plots.brain.score_maps import score_brain
from encoding.prediction.predict import predict, save_predictions
from encoding.prediction.predictor import InMemory, Predictor, predict_row
from encoding.runs.exchange import export, import_
from encoding.runs.report import report
from encoding.runs.table import all_runs, open_run, short_name
from encoding.runtime.registry import UnknownName
from encoding.sites.site import publish, slug_of
from encoding.storage.keys import stage_of
from tests.encoding.experiments.planted import BASE, PER_ROI, PLANTED, grid


@pytest.fixture(scope="module")
def selection(ran, planted):
    return select(ran.cells, planted)


@pytest.fixture(scope="module")
def best(selection):
    """The best of each ROI, of both subjects."""
    return compose(selection, command="python -m encoding experiment compose grid.toml")


def of_roi(result, roi, hemi="lh"):
    return float(np.nanmean(result.score(hemi)[result.columns(roi, hemi)]))


def test_the_best_of_each_roi_is_better_than_the_best_single_fit(best, selection):
    for result, decision in zip(best, selection.decisions, strict=True):
        for hemi in ("lh", "rh"):
            singles = [of_roi(test, "all", hemi) for test in decision.cases[0].tests]
            assert of_roi(result, "all", hemi) > max(singles) + 0.2
            for roi in PLANTED:
                assert of_roi(result, roi, hemi) == pytest.approx(max(of_roi(test, roi, hemi) for test in decision.cases[0].tests))


def test_a_vertex_goes_with_its_smallest_roi_and_one_of_none_with_all_vertices(best, selection):
    for result, decision in zip(best, selection.decisions, strict=True):
        labels = [selection.labels.index(f"{network} · {layer}") for network, layer in PLANTED.values()]
        owners = np.array([decision.cases[0].tests.index(member) for member in result.members])[result.member_of("lh")]
        assert owners[: 4 * PER_ROI].tolist() == np.repeat(labels, PER_ROI).tolist()  # not the choice of early, which holds A and C
        all_winner = selection.table().query("roi == 'all' and hemi == 'lh'").winner
        assert selection.labels[owners[-1]] in set(all_winner)


@pytest.mark.parametrize("per", ["roi", "vertex"])
@pytest.mark.parametrize("method", METHODS)
def test_no_ensemble_is_worse_than_its_worst_member(ran, planted, method, per):
    if per == "vertex" and method == "one_se":
        pytest.skip("A choice per vertex has no standard error.")
    selection = select([cell for cell in ran.cells if cell.cell.spec.subject == "subj01"], planted, per=per)
    (result,) = compose(selection, method=method)
    tests = selection.decisions[0].cases[0].tests
    for roi in (*PLANTED, "early", "all"):
        assert of_roi(result, roi) >= min(of_roi(test, roi) for test in tests) - 1e-6
    weights = member_weights(selection, selection.decisions[0], 0, method)["lh"]
    assert weights.sum(1) == pytest.approx(1)
    if method != "mean":
        assert of_roi(result, "A") == pytest.approx(max(of_roi(test, "A") for test in tests), abs=0.02)


def test_scores_of_a_composed_fit_are_those_of_its_predictions(best):
    result = best[0]
    predicted, measured = result.predicted("rh", [3, 20, 33]), result.measured("rh", [3, 20, 33])
    for name, values in score(predicted, measured).items():
        assert result.score("rh", name)[[3, 20, 33]] == pytest.approx(values, abs=1e-5)
    assert set(STORED_SCORES) <= set(result.score_names)


def test_stacked_weights_of_a_roi_are_the_least_error_of_its_vertices_together(selection):
    decision = selection.decisions[0]
    (blocks,) = list(residual_products(decision.cases[0], "lh", 0))
    G = blocks[1][:PER_ROI].sum(0)  # of A
    weights = member_weights(selection, decision, 0, "stacked")["lh"][0]
    assert np.ptp(weights[:, :PER_ROI], axis=1) == pytest.approx(0)
    w = weights[:, 0]
    others = np.random.default_rng(0).dirichlet(np.full(4, 0.3), 500)
    assert w @ G @ w <= np.einsum("ki,ij,kj->k", others, G, others).min() * (1 + 1e-6)


def test_the_mean_of_the_top_two(selection):
    weights = member_weights(selection, selection.decisions[0], 0, "mean", top=2)["lh"]
    assert set(np.unique(weights)) == {0.0, 0.5}
    best = member_weights(selection, selection.decisions[0], 0, "best")["lh"]
    assert (weights[best == 1] == 0.5).all()


def test_it_opens_by_its_key_with_the_same_scores(best, planted):
    for result in best:
        opened = open_run(result.key, planted)
        assert isinstance(opened, ComposedResult)
        assert opened.key == result.key == opened.plan.key
        pd.testing.assert_frame_equal(opened.rois(), result.rois())
        assert np.array_equal(opened.predicted("lh", [0, 9]), result.predicted("lh", [0, 9]))
        assert opened.plan.spec == result.plan.spec


def test_composing_again_computes_nothing(best, selection, monkeypatch):
    monkeypatch.setattr(Store, "put", lambda *_: pytest.fail("computed again"))
    assert [result.key for result in compose(selection)] == [result.key for result in best]


def test_tables_texts_maps_report_site_and_comparison_take_it(best, planted, ran, tmp_path):
    result = best[0]
    spec = result.plan.spec
    assert spec.to_command(full=True) == "python -m encoding experiment compose grid.toml"
    assert FitSpec.from_dict(spec.to_dict()).readout == "composed"
    assert "composed" in describe(result)
    row = next(row for row in all_runs(planted).to_dict("records") if row["key"] == result.key)
    assert (row["readout"], row["backbone"]) == ("composed", "netone + nettwo")
    assert "method=best" in row["options"]
    assert result.key[4:10] in short_name(row)
    intervals = roi_intervals(result)
    assert (intervals["lh_low"][:2] < intervals["lh_value"][:2]).all()
    assert intervals_of(result) is not None
    other = next(each for each in ran.results if each.plan.spec.subject == spec.subject and each.plan.spec.split == BASE.split)
    table = compare(result, other).table
    assert table.query("roi == 'all'").p.notna().all()
    assert "<html" in report([result, other], planted)
    site = publish([result, other], tmp_path / "site", planted, baseline=result)
    assert "python -m encoding experiment compose grid.toml" in (site / f"{slug_of(result)}.html").read_text()
    assert {"weight_0", "r"} <= set(result.vertices())
    assert result.summary()["spec"]["readout"] == "composed"


def test_predictions_of_new_stimuli_are_the_members_own(best, planted, tmp_path):
    result = best[0]
    new = result.plan.subject.unlabelled
    predicted = predict(result, new)
    members = [predict(member, new) for member in result.members]
    for hemi in ("lh", "rh"):
        numbers = result.member_of(hemi)
        by_hand = np.stack([each[hemi] for each in members])[numbers, :, np.arange(len(numbers))].T
        assert predicted[hemi] == pytest.approx(by_hand, abs=1e-6)
    in_memory = Predictor.of(result, device="cpu")(
        InMemory([new.frames(index) for index in range(len(new))]), columns={"lh": np.array([9, 2])}
    )
    assert in_memory["lh"] == pytest.approx(predicted["lh"][:, [9, 2]], abs=1e-4)
    row = int(result.plan.folds[0].test[0])
    assert predict_row(result, row)["lh"] == pytest.approx(result.predicted("lh", np.arange(42))[0], abs=1e-5)
    folder = save_predictions(result, new, tmp_path / "out")
    assert np.load(folder / "lh_predictions.npy") == pytest.approx(predicted["lh"])


def test_models_that_composed_fits_predict_with_are_kept_while_the_fits_stay(best, ran, planted, monkeypatch, shell):
    keys = set(planted.keys())
    going = {key for key in keys if stage_of(key) in ("weights", "components", "features")}
    kept = models_of_composed(planted, going)
    for result in best:
        for member in result.members:
            needed = {key for key in member.plan.stage_keys if stage_of(key) in ("weights", "components")}
            assert needed and needed <= set(kept)
    assert {stage_of(key) for key in kept} == {"weights", "components"} and set(kept.values()) <= keys - going
    assert set(kept) != {key for key in going if stage_of(key) != "features"}, "fits that are no members lose theirs"
    composed = {key for key in keys if stage_of(key) == "fit" and "composition" in planted.provenance(key)["made_from"]}
    assert models_of_composed(planted, going | composed) == {}
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(planted.root))
    code, out, _ = shell("cache", "prune", "--stage", "weights", "--dry-run")
    assert code == 0 and "composed fits that stay predict with them" in out
    assert all(fit_key in out for key, fit_key in kept.items() if stage_of(key) == "weights")


def test_folds_have_weights_of_their_own(planted):
    ran = run_experiment(with_validation(grid(split="kfold:3:0", hemi="lh", rois=("early",))), planted)
    selection = select(ran.cells, planted)
    (result,) = compose(selection, method="stacked")
    W = result.weights["lh"]
    assert W.shape[0] == 3 and not np.array_equal(W[0], W[1])
    new = result.plan.subject.unlabelled
    by_hand = 0
    for fold in range(3):
        for number, member in enumerate(result.members):
            one = Predictor.of(member, device="cpu")(new, folds=(fold,))["lh"]
            by_hand = by_hand + W[fold, number] * one / 3
    assert predict(result, new)["lh"] == pytest.approx(by_hand, abs=1e-4)
    in_memory = Predictor.of(result, device="cpu")(new)["lh"]
    assert in_memory == pytest.approx(by_hand, abs=1e-4)


def test_members_fitted_on_every_stimulus_have_no_score_and_the_weights_chosen_before(selection, best):
    results = compose(selection, refit=True)
    for result, honest in zip(results, best, strict=True):
        assert result.plan.spec.split == "all"
        assert result.n_train == 160 and np.isnan(result.score("lh")).all()
        assert {member.plan.spec.split for member in result.members} == {"all"}
        assert np.array_equal(result.weights["lh"], honest.weights["lh"])
        new = result.plan.subject.unlabelled
        assert np.corrcoef(predict(result, new)["lh"][:, 0], predict(honest, new)["lh"][:, 0])[0, 1] > 0.9


def test_an_exported_composed_fit_opens_elsewhere_without_models(best, tmp_path):
    roi_intervals(best[0])
    opened = import_(export(best[0], tmp_path / "fit.zip"), Store(tmp_path / "other"))
    assert opened.score("lh") == pytest.approx(best[0].score("lh"))
    assert "composed of other fits" in opened.prediction_refusal()


def test_a_map_shows_the_weights(best):
    assert score_brain(best[0]) is not None
    assert best[0].score("lh", "weight_0").max() == 1.0
    assert best[0].detail_names == tuple(f"weight_{number}" for number in range(len(best[0].members)))


def test_what_only_members_have_is_refused_by_name(best):
    for ask in (lambda: best[0].components(), lambda: best[0].model("lh"), lambda: best[0].projection(0, ("early",))):
        with pytest.raises(NotComposed, match=r"composed of \d fits"):
            ask()
    assert best[0].history() == {} and best[0].kept_variance() == []


def test_fits_that_do_not_go_together_are_refused(best, planted, selection):
    one, other = (replace(BASE, hemi=hemi) for hemi in ("lh", "both"))
    with pytest.raises(NotComposed, match="hemispheres"):
        composed([fit(one, planted), fit(other, planted)], {})
    with pytest.raises(NotComposed, match="same split"):
        composed([fit(other, planted), fit(replace(other, split="holdout:0.5:0"), planted)], {})
    with pytest.raises(NotComposed, match="same subject"):
        composed([best[0].members[0], best[1].members[0]], {})
    with pytest.raises(ValueError, match="sum to 1"):
        composed(best[0].members, {hemi: 2 * W for hemi, W in best[0].weights.items()})
    with pytest.raises(UnknownName, match="way to compose"):
        compose(selection, method="median")
    with pytest.raises(ValueError, match="the mean's"):
        compose(selection, top=2)


def test_a_member_that_is_gone_is_named(best, tmp_path, planted):
    import shutil

    elsewhere = Store(tmp_path / "copy")
    shutil.copytree(planted.root, elsewhere.root, dirs_exist_ok=True)
    shutil.rmtree(elsewhere.path(best[0].members[0].key))
    with pytest.raises(FitChanged, match=r"Compose it again: python -m encoding experiment compose"):
        open_fit(best[0].key, elsewhere)
