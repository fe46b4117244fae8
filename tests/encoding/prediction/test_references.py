"""Distances to training images, prediction intervals, and rankings of new images."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from encoding import fit
from encoding.cli import main
from encoding.prediction.predict import predict
from encoding.prediction.predictor import Predictor
from encoding.prediction.references import (
    BLOCK_STIMULI,
    Distances,
    RegionReference,
    rank_folder,
    rank_stimuli,
    region_columns,
    roi_half_widths,
    unlike_text,
)
from tests.conftest import TINY
from tests.encoding.prediction.cases import others, photos


@pytest.fixture(params=["holdout:0.75:5", "kfold:3:0"])
def result(request, tiny, store):
    return fit(replace(TINY, split=request.param, n_components=5), store=store)


def test_distances_are_to_the_nearest_training_image_of_each_fold(result, monkeypatch):
    monkeypatch.setattr("encoding.prediction.references.BLOCK_VALUES", 400)  # a few rows at a time
    found = Distances.of(result)
    by_hand = []
    for number, fold in enumerate(result.plan.folds):
        Z = result.components(number).astype(float)
        by_hand += [np.sqrt(((Z[fold.train] - Z[row]) ** 2).sum(1)).min() for row in fold.test]
    np.testing.assert_allclose(found.test, np.sort(by_hand), rtol=1e-5)
    known = {number: result.components(number)[fold.train[:3]] for number, fold in enumerate(result.plan.folds)}
    assert (found.percentile(known) == 0).all()  # training images themselves
    far = {number: Z + 1e4 for number, Z in known.items()}
    assert (found.percentile(far) == 100).all()


def test_the_region_is_compared_with_its_own_training_predictions_and_test_errors(result):
    columns = {"lh": np.arange(3), "rh": np.array([4])}
    found = RegionReference.of(result, columns)
    trained = [
        np.concatenate([result.predicted_rows(n, fold.train, hemi, c) for hemi, c in columns.items()], axis=1).mean(1)
        for n, fold in enumerate(result.plan.folds)
    ]
    np.testing.assert_allclose(found.train, np.sort(np.concatenate(trained)), rtol=1e-4, atol=1e-6)
    errors = np.concatenate([result.measured(hemi, c) - result.predicted(hemi, c) for hemi, c in columns.items()], axis=1).mean(1)
    np.testing.assert_allclose(found.errors, np.sort(np.abs(errors)), rtol=1e-4, atol=1e-6)
    assert found.percentile(np.array([-1e9, 1e9])).tolist() == [0, 100]
    widths = roi_half_widths(result)
    (roi, hemi), width = next(iter(widths.items()))
    alone = RegionReference.of(result, {hemi: result.columns(roi, hemi)}).half_width()
    np.testing.assert_allclose(width, alone, rtol=1e-4)  # each region in each hemisphere, as if it were the only one
    assert roi_half_widths(result, 1.1) == {}


def test_the_interval_contains_what_it_says_and_few_errors_give_none():
    rng, inside = np.random.default_rng(0), []
    for _ in range(2_000):
        errors = np.abs(rng.standard_t(3, 30))
        inside.append(rng.standard_t(3) ** 2 <= RegionReference(np.zeros(1), np.sort(errors)).half_width() ** 2)
    assert 0.945 < np.mean(inside) < 0.985  # 30 of 31 is .968
    assert np.isnan(RegionReference(np.zeros(1), np.sort(errors)[:18]).half_width()) and np.isfinite(
        RegionReference(np.zeros(1), np.sort(errors)[:19]).half_width()
    )


def test_a_ranking_is_that_of_the_whole_prediction(result, monkeypatch):
    monkeypatch.setattr("encoding.prediction.references.BLOCK_STIMULI", 7)
    new, columns = others(30), region_columns(result, "driven")
    table = rank_folder(result, new, columns, device="cpu")
    expected = np.concatenate([values[:, :5] for values in predict(result, new, device="cpu").values()], axis=1).mean(1)
    np.testing.assert_allclose(table["predicted"], np.sort(expected)[::-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(expected[table["row"]], table["predicted"], rtol=1e-4, atol=1e-5)
    assert table["rank"].tolist() == list(range(1, 31)) and table["unlike_training"].between(0, 100).all()
    assert ((table["low"] < table["predicted"]) & (table["predicted"] < table["high"])).all() and BLOCK_STIMULI > 7
    bare = rank_stimuli(Predictor.of(result, device="cpu"), new, columns)
    assert "low" not in bare and "unlike_training" not in bare and bare["row"].tolist() == table["row"].tolist()


def test_a_region_without_well_predicted_vertices_is_refused(result):
    with pytest.raises(ValueError, match=r"empty has no vertex in this subject's fitted blocks: lh, rh."):
        region_columns(result, "empty")
    with pytest.raises(ValueError, match=r"No vertex of noise is predicted with a test r of 0.99"):
        region_columns(result, "noise", 0.99)


@pytest.mark.parametrize(("percentile", "words"), [(97, "trust this little"), (80, "less than"), (10, "as far as the test r")])
def test_distance_in_words(percentile, words):
    assert words in unlike_text(percentile) and f"than {percentile} % of the test images" in unlike_text(percentile)


def test_the_shell_ranks_a_folder(tiny, store, tmp_path, monkeypatch, capsys):
    result = fit(TINY, store=store)
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    folder, out = photos(tmp_path / "photos", others(12)), tmp_path / "ranking.csv"
    assert main(["rank", result.key, "--images", str(folder), "--roi", "driven", "--out", str(out), "--device", "cpu", "--json"]) == 0
    ranking = json.loads(capsys.readouterr().out)["ranking"]
    assert len(ranking) == 12 and ranking[0]["predicted"] == max(each["predicted"] for each in ranking)
    assert len(out.read_text().splitlines()) == 13
    assert main(["rank", result.key, "--images", str(folder), "--roi", "drivn", "--device", "cpu"]) == 2
    assert "driven" in capsys.readouterr().err


def test_the_shell_ranks_by_a_union_and_says_why_there_is_no_interval(tiny, store, tmp_path, monkeypatch, shell):
    result = fit(replace(TINY, split="first:105"), store=store)
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    words = ["rank", result.key, "--images", str(photos(tmp_path / "photos", others(3))), "--device", "cpu"]
    code, out, _ = shell(*words, "--roi", "each=driven+noise")
    assert code == 0 and "predicted mean response of each" in out
    assert f"no 95 % interval: it needs 19 test stimuli, and this fit has {result.counted('test')}" in out
    ranked = shell(*words, "--json")[1]  # of every vertex, which the union is
    assert [each["predicted"] for each in json.loads(ranked)["ranking"]] == pytest.approx(
        [each["predicted"] for each in json.loads(shell(*words, "--roi", "each=driven+noise", "--json")[1])["ranking"]], rel=1e-5
    )
    code, _, wrong = shell(*words, "--roi", "driven", "--roi", "noise")
    assert code == 2 and "takes one region here, or a union of several: name=driven+noise." in wrong
    code, _, wrong = shell(*words, "--roi", "each=driven+nosie")
    assert code == 2 and "Did you mean 'noise'" in wrong
    code, out, _ = shell("spectrum", result.key, "--roi", "each=driven+noise", "--device", "cpu")
    assert code == 0 and "share of variance by rank, each" in out
    every = fit(replace(TINY, split="all"), store=store)
    code, _, wrong = shell("rank", every.key, *words[2:], "--least-r", "0.2")
    assert code == 2 and "--least-r leaves out by test r, and this fit has none" in wrong
    code, out, _ = shell("rank", every.key, *words[2:])
    assert code == 0 and "no 95 % interval: every stimulus was used for training" in out
