"""Averaging repeats of test stimuli before they are scored, against averages by hand."""

import io
from dataclasses import replace

import numpy as np
import pytest

from encoding import FitSpec, Store, fit
from encoding.analysis.bootstrap import interval_text, roi_intervals
from encoding.analysis.comparison import why_unpaired
from encoding.analysis.learning_curve import learning_curve
from encoding.analysis.summaries import mean_prediction
from encoding.cli import parser
from encoding.cli.fitting import describe
from encoding.cli.spec_options import spec_from
from encoding.evaluation.splits import mean_of_repeats
from encoding.fits.plan import plan
from encoding.runs.exchange import import_, packed
from tests.conftest import TINY, TinyStimuli

OLS = replace(TINY, readout="ols", n_components=8)
STIMULI = np.random.default_rng(3).permutation(np.repeat(np.arange(48), [1, 2, 3, 4] * 12))  # 120 rows
WAYS = {
    "hold-out": OLS,
    "k-fold": replace(OLS, split="kfold:3:0"),
    "arrays": replace(OLS, readout="knn", hemi="lh"),
    "layers apart": replace(OLS, readout="banded_ridge", layers=("pixels", "colour"), n_components=3, options={"n_candidates": 3}),
}


@pytest.fixture
def repeated(tiny):
    """The tiny subject with 48 images shown once to four times; responses keep their own noise."""
    rng = np.random.default_rng(4)
    pixels = tiny.subject.stimuli.pixels[STIMULI]
    noise = {hemi: rng.normal(size=(120, 10)).astype(np.float32) for hemi in ("lh", "rh")}
    responses = {hemi: Y[STIMULI] + noise[hemi] for hemi, Y in tiny.subject.responses.items()}
    ceiling = {hemi: np.linspace(0.2, 1, 10, dtype=np.float32) for hemi in responses}
    tiny.change(stimuli=TinyStimuli(pixels), responses=responses, groups=STIMULI, ceiling=ceiling)
    return tiny


def by_hand(result, hemi, column):
    """r and R² of each fold, from a loop over its stimuli."""
    subject, found = result.plan.subject, []
    for number, fold in enumerate(result.plan.folds):
        predicted = result.predicted_rows(number, fold.test, hemi, [column])[:, 0].astype(float)
        measured = subject.responses[hemi][fold.test, column].astype(float)
        of = subject.stimulus_of_row[fold.test]
        p, m = (np.array([values[of == one].mean() for one in sorted(set(of))]) for values in (predicted, measured))
        found.append((np.corrcoef(p, m)[0, 1], 1 - ((p - m) ** 2).sum() / ((m - m.mean()) ** 2).sum(), len(p)))
    return np.array(found)


@pytest.mark.parametrize("spec", WAYS.values(), ids=WAYS)
def test_scores_are_of_the_mean_of_each_stimulus(repeated, store, spec):
    result = fit(replace(spec, average_repeats=True), store)
    for column in (0, 3, 7):
        r, r2, n = by_hand(result, "lh", column).T
        np.testing.assert_allclose(result.score("lh")[column], r.mean(), atol=1e-5)
        np.testing.assert_allclose(result.score("lh", "r2")[column], r2.mean(), atol=1e-4)
        shown = mean_prediction(result, {"lh": np.array([column])})
        np.testing.assert_allclose(shown.r, r.mean(), atol=1e-5)
        assert len(shown.measured) == result.n_test == n.sum() < len(np.concatenate([fold.test for fold in result.plan.folds]))
    if result.plan.readout.by_layer:
        np.testing.assert_allclose(sum(result.layer_shares("lh").values()), result.score("lh", "r2"), atol=1e-4)
    else:
        np.testing.assert_allclose(learning_curve(result.plan.spec, store)["lh_test"][-1], result.score("lh"), atol=1e-4)
    found = roi_intervals(result)
    driven = list(found["rois"]).index("driven")
    np.testing.assert_allclose(found["lh_value"][driven], result.score("lh")[:5].mean(), atol=1e-5)
    assert found["lh_low"][driven] < found["lh_value"][driven] < found["lh_high"][driven] and found["n_units"] == result.n_test


def test_averaging_is_said_and_never_compared_with_rows(repeated, store):
    rows, means = (fit(replace(OLS, average_repeats=flag), store) for flag in (False, True))
    assert means.score("lh")[:5].mean() > rows.score("lh")[:5].mean() and not (means.score("lh") == rows.score("lh")).any()
    assert interval_text(means).startswith("Repeats of each test stimulus are averaged") and "verage" not in interval_text(rows)
    assert "are averaged before they are scored" in describe(means) and "averaged" not in describe(rows)
    assert "repeats averaged" in means._repr_html_() and "repeats averaged" not in rows._repr_html_()
    assert why_unpaired(rows, means).startswith("One of them averages repeats")


def test_a_stimulus_is_an_image_where_groups_are_runs(repeated, store):
    repeated.change(groups=STIMULI // 12, stimulus_ids=STIMULI)
    result = fit(replace(OLS, split="kfold:2:0", average_repeats=True), store)
    assert result.n_test == 48
    np.testing.assert_allclose(result.score("rh")[1], by_hand(result, "rh", 1)[:, 0].mean(), atol=1e-5)


def test_without_repeats_nothing_changes(tiny, store):
    rows, means = (fit(replace(OLS, average_repeats=flag), store) for flag in (False, True))
    np.testing.assert_array_equal(rows.score("lh"), means.score("lh"))
    assert why_unpaired(rows, means) is None


def test_the_key_names_averaging_and_what_is_averaged_only_where_it_is_done(repeated, store):
    def key(flag, **changes):
        repeated.change(**changes)
        return plan(replace(OLS, average_repeats=flag), store).key

    runs = STIMULI // 4
    first = [key(flag, groups=runs, stimulus_ids=STIMULI) for flag in (False, True)]
    other = [key(flag, groups=runs, stimulus_ids=STIMULI // 2) for flag in (False, True)]
    assert first[0] == other[0] and len({first[0], first[1], other[1]}) == 3
    assert "average_repeats" not in OLS.for_digest() and replace(OLS, average_repeats=True).for_digest()["average_repeats"] is True


def test_the_ceiling_is_that_of_the_mean_of_repeats():
    """c / (c + (1 - c) / k) against the squared correlation of a known signal with means of k noisy responses."""
    rng = np.random.default_rng(0)
    stimuli, c = np.repeat(np.arange(20_000), 3), 0.3
    signal = rng.normal(size=20_000)
    measured = np.sqrt(c) * signal[stimuli] + np.sqrt(1 - c) * rng.normal(size=60_000)
    assert abs(np.corrcoef(signal, mean_of_repeats(measured, stimuli))[0, 1] ** 2 - c / (c + (1 - c) / 3)) < 0.01


def test_ceilings_rise_where_repeats_are_averaged(repeated, store):
    rows, means = (fit(replace(OLS, average_repeats=flag), store) for flag in (False, True))
    c, times = rows.ceiling("lh"), np.unique(STIMULI[rows.plan.folds[0].test], return_counts=True)[1]
    np.testing.assert_allclose(means.ceiling("lh"), c / (c + (1 - c) * np.mean(1 / times)), rtol=1e-5)


def test_what_is_exported_keeps_the_averages(repeated, store, tmp_path):
    result = fit(replace(OLS, average_repeats=True), store)
    roi_intervals(result)
    there = import_(io.BytesIO(packed(result)), Store(tmp_path / "elsewhere"))
    assert there.n_test == result.n_test and interval_text(there) == interval_text(result)
    np.testing.assert_allclose(there.ceiling("lh"), result.ceiling("lh"))
    np.testing.assert_allclose(there.score("lh", "normalised_r"), result.score("lh", "normalised_r"))


def test_a_fit_that_averages_is_written_and_read_everywhere():
    spec = FitSpec(average_repeats=True)
    words = spec.command_options(full=True)
    assert words.count("--average-repeats") == 1 and "--average-repeats" not in FitSpec().command_options(full=True)
    assert spec_from(parser().parse_args(["fit", *words])) == spec.with_defaults()
    assert "average_repeats=True" in spec.to_python() and FitSpec.from_dict(spec.to_dict()) == spec
    with pytest.raises(ValueError, match="average_repeats must be true or false"):
        FitSpec(average_repeats="yes")
