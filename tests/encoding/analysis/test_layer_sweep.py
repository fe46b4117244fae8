"""Sweeps over layers: what they compute, what they find, and how sure that is."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from encoding import BACKBONES, FitSpec, Store, fit, plots
from encoding.analysis.bootstrap import intervals_key, roi_intervals
from encoding.analysis.hierarchy import PUBLISHED, PUBLISHED_ROIS, hierarchy, published, published_best, published_hierarchy, stage
from encoding.analysis.layer_ranking import BOTH, best_layers, best_per_vertex, by_layer, chance_bound, roi_rows, win_shares
from encoding.analysis.layer_sweep import Sweep, plans, run, swept
from encoding.backbones import UnknownLayer
from encoding.cli import main, parser
from encoding.cli.sweeping import sweep_from
from encoding.features import extraction as features
from encoding.fits.resources import NoRoom
from encoding.runtime.progress import Cancelled
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY, TinySource

SWEEP = Sweep(spec=TINY, cells=(("tinynet", "colour"), ("tinynet", "pixels")))


class Other(TinySource):
    """A second backbone with the same layers."""

    name = "othernet"

    def networks(self):
        return ("othernet",)

    def fingerprint(self, network, weights):
        return "other-backbone"

    def open(self, network, weights):
        backbone = super().open(network, weights)
        backbone.fingerprint = "other-backbone"
        return backbone


@pytest.fixture
def other(tiny, monkeypatch):
    monkeypatch.setitem(BACKBONES.sources._members, "othernet", Other())


@pytest.fixture
def passes(monkeypatch):
    """The layers of every pass of stimuli through a backbone."""
    made, stream = [], features._stream
    monkeypatch.setattr(
        features, "_stream", lambda stimuli, backbone, rows, *rest: made.append(tuple(rows)) or stream(stimuli, backbone, rows, *rest)
    )
    return made


# ---- what is swept


def test_every_layer_is_swept_where_none_is_named(tiny):
    assert Sweep.read(TINY, ["tinynet"]).cells == (("tinynet", "pixels"), ("tinynet", "colour"))


def test_named_layers_come_in_the_network_s_own_order_and_once(tiny):
    assert Sweep.read(TINY, ["tinynet"], ["colour", "pixels", "colour"]).cells == (("tinynet", "pixels"), ("tinynet", "colour"))


def test_a_layer_is_taken_of_each_backbone_that_has_it_or_of_the_one_that_is_named(other):
    assert Sweep.read(TINY, ["tinynet", "othernet"], ["colour"]).cells == (("tinynet", "colour"), ("othernet", "colour"))
    assert Sweep.read(TINY, ["tinynet", "othernet"], ["othernet colour"]).cells == (("othernet", "colour"),)


@pytest.mark.parametrize(
    ("backbones", "layers", "kind", "message"),
    [
        (["tinynet"], ["pixel"], UnknownLayer, "Did you mean 'pixels'"),
        (["tinynet"], ["gabor energy"], UnknownLayer, "gabor, which is not among the backbones: tinynet"),
        (["tinnet"], [], UnknownName, "Did you mean 'tinynet'"),
        ([], [], ValueError, "at least one layer"),
    ],
)
def test_what_cannot_be_swept_is_explained(tiny, backbones, layers, kind, message):
    with pytest.raises(kind, match=message):
        Sweep.read(TINY, backbones, layers)


def test_equal_sweeps_have_equal_keys_whatever_layer_the_spec_names(tiny):
    same = Sweep(spec=replace(TINY, layers=("colour",)), cells=SWEEP.cells)
    assert same == SWEEP and same.job_key == SWEEP.job_key
    assert Sweep(spec=replace(TINY, n_components=3), cells=SWEEP.cells).job_key != SWEEP.job_key


# ---- the work


def test_a_sweep_finds_what_single_fits_find(tiny, store, tmp_path):
    found = run(SWEEP, store, device="cpu")
    alone = Store(tmp_path / "alone")
    for cell in SWEEP.cells:
        one = fit(SWEEP.spec_of(cell), alone, device="cpu")
        assert one.key == found.results[cell].key
        np.testing.assert_allclose(found.results[cell].score("lh"), one.score("lh"), atol=1e-6)


def test_all_layers_of_a_backbone_come_from_one_pass(tiny, store, passes):
    run(SWEEP, store, device="cpu")
    assert sorted(map(sorted, passes)) == [["colour", "pixels"]]


def test_what_is_finished_is_not_done_again(tiny, store, passes):
    fit(SWEEP.spec_of(SWEEP.cells[0]), store, device="cpu")
    del passes[:]
    run(SWEEP, store, device="cpu")
    assert passes == [("pixels",)]
    said = []
    run(SWEEP, store, lambda fraction, text: said.append(text), device="cpu")
    assert passes == [("pixels",)] and said[-1] == "done"


def test_intervals_that_are_missing_are_drawn_without_fitting_again(tiny, store, passes):
    results = run(SWEEP, store, device="cpu").results
    store.remove(intervals_key(results[SWEEP.cells[0]]))
    assert swept(SWEEP, plans(SWEEP, store), store).cells == SWEEP.cells[1:]
    assert run(SWEEP, store, device="cpu").done and len(passes) == 1


def test_a_sweep_that_is_stopped_keeps_what_was_finished_and_goes_on_from_there(tiny, store):
    def stop(fraction, text):
        if "2 of 2" in text:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(SWEEP, store, stop, "cpu")
    found = swept(SWEEP, plans(SWEEP, store), store)
    assert found.cells == SWEEP.cells[:1] and not found.done
    assert set(found.table()["layer"]) == {"colour"}
    assert run(SWEEP, store, device="cpu").done


def test_a_layer_without_room_is_left_out_until_the_others_are_done(tiny, store, monkeypatch):
    from encoding.analysis import layer_sweep as module

    def full(spec, *rest):
        if spec.layers == ("colour",):
            raise NoRoom("It needs 9,999 GB.")
        return fit(spec, *rest)

    monkeypatch.setattr(module, "fit", full)
    with pytest.raises(NoRoom, match=r"1 of 2 layers could not be fitted\. tinynet colour: It needs 9,999 GB\."):
        run(SWEEP, store, device="cpu")
    assert swept(SWEEP, plans(SWEEP, store), store).cells == SWEEP.cells[1:]


def test_progress_never_falls_and_names_the_layer(tiny, store):
    said = []
    run(SWEEP, store, lambda fraction, text: said.append((fraction, text)), "cpu")
    fractions = [fraction for fraction, _ in said]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert any("tinynet pixels, 2 of 2" in text for _, text in said)


def test_nothing_is_computed_to_tell_what_is_finished(tiny, store, passes):
    found = swept(SWEEP, plans(SWEEP, store), store)
    assert found.cells == () and found.table().empty and found.rois == () and passes == []


# ---- its table


def test_the_table_holds_the_fits_own_numbers(tiny, store):
    found = run(SWEEP, store, device="cpu")
    table = found.table().set_index(["layer", "roi", "hemi"])
    for (_, layer), result in found.results.items():
        drawn = roi_intervals(result)
        for row in result.rois().to_dict("records"):
            mine = table.loc[(layer, row["roi"], row["hemi"])]
            assert mine["n_vertices"] == row["n_vertices"]
            np.testing.assert_allclose(mine["r"], row["r_mean"])
            at = list(drawn["rois"]).index(row["roi"])
            np.testing.assert_allclose(
                [mine["low"], mine["high"]], [drawn[f"{row['hemi']}_{end}"][at] for end in ("low", "high")], rtol=1e-3
            )


def test_both_hemispheres_count_every_vertex_once(tiny, store):
    rois = {hemi: dict(columns) for hemi, columns in tiny.subject.rois.items()}
    rois["rh"]["driven"] = np.arange(2)
    tiny.change(rois=rois)
    result = run(SWEEP, store, device="cpu").results[SWEEP.cells[1]]
    rows = roi_rows(result).set_index(["roi", "hemi"])
    values = np.concatenate([result.score("lh")[:5], result.score("rh")[:2]])
    assert rows.loc[("driven", BOTH), "r"] == pytest.approx(values.mean())
    assert rows.loc[("driven", BOTH), "n_vertices"] == 7
    assert rows.loc[("driven", BOTH), "low"] < values.mean() < rows.loc[("driven", BOTH), "high"]
    assert np.isnan(rows.loc[("empty", BOTH), "r"]) and np.isnan(rows.loc[("empty", BOTH), "low"])


def test_normalised_scores_are_those_of_the_fit_where_a_ceiling_is_known(tiny, store):
    tiny.change(ceiling={hemi: np.linspace(0.02, 0.9, 10, dtype=np.float32) for hemi in ("lh", "rh")})
    found = run(SWEEP, store, device="cpu")
    result = found.results[SWEEP.cells[1]]
    mine = roi_rows(result)
    theirs = result.rois()
    for hemi in ("lh", "rh"):
        np.testing.assert_allclose(mine.loc[mine["hemi"] == hemi, "normalised_r2"], theirs.loc[theirs["hemi"] == hemi, "normalised_r2"])
        np.testing.assert_allclose(mine.loc[mine["hemi"] == hemi, "ceiling_r"], theirs.loc[theirs["hemi"] == hemi, "ceiling_r"])


def test_the_layer_that_drives_the_responses_is_surely_the_best(tiny, store):
    found = run(SWEEP, store, device="cpu")
    table = found.table()
    shares = win_shares(found.draws())
    best = best_layers(table[table["hemi"] == BOTH], shares).set_index("roi")
    assert best.loc["driven", "label"] == "pixels" and best.loc["driven", "share"] == 1
    assert "empty" not in best.index and best.loc["noise", "share"] < 1
    np.testing.assert_allclose(shares[:, [0, 1, 2]].sum(0), 1)
    assert np.isnan(shares[:, 3]).all()


# ---- which layer is best


def test_shares_of_draws_are_counted_and_ties_are_shared():
    draws = np.array([[[3.0], [1.0], [2.0], [2.0]], [[1.0], [3.0], [2.0], [1.0]]])  # 2 layers, 4 draws, 1 ROI
    np.testing.assert_allclose(win_shares(draws), [[0.625], [0.375]])


def test_best_layers_follow_the_score_that_is_asked_for():
    table = pd.DataFrame({"label": ["a", "b"], "roi": "V1", "r": [0.5, 0.4], "normalised_r2": [0.2, 0.3]})
    shares = np.array([[0.7], [0.3]])
    assert best_layers(table, shares).to_dict("records") == [{"roi": "V1", "label": "a", "place": 0, "r": 0.5, "share": 0.7, "second": "b"}]
    other = best_layers(table, shares, score="normalised_r2").iloc[0]
    assert (other["label"], other["share"], other["second"]) == ("b", 0.3, "a")


def test_a_score_that_is_not_there_is_explained():
    table = pd.DataFrame({"label": ["a"], "roi": ["V1"], "r": [0.5]})
    with pytest.raises(ValueError, match=r"It needs a noise ceiling"):
        by_layer(table, "normalised_r2", ["a"], ["V1"])


class Scored:
    """A fit whose scores are given."""

    def __init__(self, r):
        self.r = np.array(r, float)

    def score(self, hemi):
        return self.r


def test_the_best_layer_of_each_vertex_is_hidden_where_none_predicts_it():
    results = [Scored([0.3, 0.05, np.nan, 0.2, np.nan]), Scored([0.1, 0.09, np.nan, np.nan, 0.4])]
    np.testing.assert_array_equal(best_per_vertex(results, "lh", least=0.1), [0, np.nan, np.nan, 0, 1])
    np.testing.assert_array_equal(best_per_vertex(results, "lh"), [0, 1, np.nan, 0, 1])


def test_the_best_of_many_passes_the_chance_bound_as_rarely_as_said():
    rng = np.random.default_rng(0)
    n_test, n_layers, n_vertices = 50, 4, 20_000
    y = rng.normal(size=(n_test, n_vertices))
    y = (y - y.mean(0)) / y.std(0)
    highest = np.full(n_vertices, -1.0)
    for _ in range(n_layers):
        x = rng.normal(size=(n_test, n_vertices))
        highest = np.maximum(highest, ((x - x.mean(0)) / x.std(0) * y).mean(0))
    assert 0.044 < (highest > chance_bound(n_test, n_layers)).mean() < 0.055


# ---- the hierarchy


def test_stages_are_those_of_the_areas_whatever_their_half():
    assert [stage(roi) for roi in ("V1v", "V1", "V2d", "V3v", "hV4", "V4", "EBA", "FFA", "PPA")] == [1, 1, 2, 3, 4, 4, 5, 5, 5]
    assert [stage(roi) for roi in ("early", "ventral", "all", "", "v")] == [None] * 5


def test_the_index_is_spearman_s_correlation():
    rng = np.random.default_rng(1)
    rois = ["V1v", "V1d", "V2v", "V3d", "hV4", "EBA", "PPA", "ventral"]
    means, draws = rng.random((5, 8)), rng.random((5, 30, 8))
    found = hierarchy(means, rois, draws)
    stages = [stage(roi) for roi in rois[:7]]
    assert found.rois == tuple(rois[:7])
    assert found.index == pytest.approx(spearmanr(stages, means[:, :7].argmax(0))[0])
    drawn = [spearmanr(stages, draws[:, number, :7].argmax(0))[0] for number in range(30)]
    np.testing.assert_allclose([found.low, found.high], np.percentile(drawn, [2.5, 97.5]))
    assert found.defined == 1


def test_an_index_that_means_nothing_is_not_a_number():
    one_best = np.array([[0.5, 0.6, 0.7], [0.1, 0.2, 0.3]])
    draws = np.stack([one_best, one_best]).transpose(1, 0, 2)
    found = hierarchy(one_best, ["V1", "V2", "V3"], draws)
    assert np.isnan(found.index) and np.isnan(found.low) and found.defined == 0
    assert np.isnan(hierarchy(np.eye(2), ["V1", "V2"]).index)
    assert hierarchy(np.eye(2), ["early", "late"], np.ones((2, 5, 2))).rois == ()


def test_the_published_table_rises_from_early_to_late_areas():
    best = published_best().set_index("roi")["label"]
    assert best["V1v"] == "features.4" and best["FFA-1"] == "features.12" and best["early"] == "features.7"
    assert published().pivot(index="label", columns="roi", values="normalised_r2").loc["features.9", "RSC"] == 0.643
    places = {roi: int(np.argmax([row[i] for row in PUBLISHED])) for i, roi in enumerate(PUBLISHED_ROIS)}
    staged = [roi for roi in PUBLISHED_ROIS if stage(roi)]
    assert published_hierarchy().index == pytest.approx(spearmanr([stage(roi) for roi in staged], [places[roi] for roi in staged])[0])


# ---- its figures


@pytest.fixture
def table():
    """Made up: two layers, four ROIs of which one is empty, one layer not fitted."""
    rows = []
    for label, scores in (("first", (0.5, 0.2, 0.3)), ("second", (0.1, 0.4, 0.35))):
        values = zip(("all", "PPA", "V1v", "aTL-faces"), (*scores, np.nan), strict=True)
        rows += [{"label": label, "roi": roi, "hemi": "lh", "n_vertices": 9, "r": r, "low": r - 0.1, "high": r + 0.1} for roi, r in values]
    return pd.DataFrame(rows)


CLASSES = {"early": ("V1v",), "places": ("PPA",), "faces": ("aTL-faces",)}
SHARES = np.array([[1.0, 0.06, 0.4, np.nan], [0.0, 0.94, 0.6, np.nan]])


def test_the_heatmap_has_a_cell_for_each_layer_and_roi_and_leaves_unfinished_ones_empty(table):
    figure = plots.layer_heatmap(table, layers=["first", "second", "third"], classes=CLASSES)
    heat = figure.data[0]
    assert list(heat.x) == ["all", "V1v", "PPA"] and list(heat.y) == ["first", "second", "third"]
    np.testing.assert_allclose(heat.z, [[0.5, 0.3, 0.2], [0.1, 0.35, 0.4], [np.nan] * 3])
    numbers = plots.table_of(figure)
    assert len(numbers) == 9 and set(numbers["series"]) == {"mean r"}


def test_every_cell_can_be_clicked_and_says_what_it_is(table):
    figure = plots.layer_heatmap(table, layers=["first", "second", "third"], classes=CLASSES)
    points = figure.data[-1]
    at = [list(each) for each in points.customdata].index(["second", "PPA"])
    assert (points.y[at], points.x[at]) == ("second", "PPA")
    assert "mean r 0.400 (95 % 0.300 to 0.500)" in points.hovertext[at]
    assert "not fitted yet" in points.hovertext[[list(each) for each in points.customdata].index(["third", "PPA"])]
    assert points.opacity == 0 and len(points.x) == 9


def test_stars_mark_the_best_layers_and_are_filled_where_that_is_sure(table):
    best = best_layers(table, SHARES)
    figure = plots.layer_heatmap(table, best=best, classes=CLASSES)
    stars = next(trace for trace in figure.data if trace.type == "scatter" and trace.opacity != 0)
    assert dict(zip(stars.x, stars.y, strict=True)) == {"all": "first", "PPA": "second", "V1v": "second"}
    filled = dict(zip(stars.x, [colour == "white" for colour in stars.marker.color], strict=True))
    assert filled == {"all": True, "PPA": False, "V1v": False}
    assert "PPA  94%" in figure.layout.xaxis.ticktext


def test_the_published_table_is_drawn_without_shares(table):
    figure = plots.layer_heatmap(published(), score="normalised_r2", best=published_best())
    assert figure.data[0].z.shape == (5, 9) and list(figure.layout.xaxis.ticktext) == list(PUBLISHED_ROIS)
    assert not any("nan" in text for text in figure.data[-1].hovertext)


def test_dots_are_as_large_as_the_share_of_draws(table):
    figure = plots.layer_wins(["first", "second"], ["all", "PPA"], SHARES[:, :2], stages=[None, 5])
    (dots,) = figure.data
    assert list(zip(dots.y, dots.x, dots.customdata, strict=True)) == [
        ("first", "all", 1.0),
        ("first", "PPA", 0.06),
        ("second", "PPA", 0.94),
    ]
    np.testing.assert_allclose(np.square(dots.marker.size) / dots.marker.size[0] ** 2, dots.customdata)
    assert list(figure.layout.xaxis.ticktext) == ["all", "PPA  5"]


def test_the_profile_follows_one_roi_with_its_intervals(table):
    figure = plots.layer_profile(table, roi="PPA")
    (line,) = figure.data
    np.testing.assert_allclose(line.y, [0.2, 0.4])
    np.testing.assert_allclose(line.error_y.array, 0.1)


def test_territory_is_a_share_of_each_hemisphere():
    figure = plots.layer_territory(["first", "second"], {"lh": np.array([1, 3]), "rh": np.array([0, 0])})
    np.testing.assert_allclose(figure.data[0].x, [0.25, 0.75])
    np.testing.assert_allclose(figure.data[1].x, [0, 0])


# ---- from a shell


@pytest.fixture
def shell(tiny, tmp_path, monkeypatch, capsys):
    """Run a command on an empty Store; its exit code, standard output and standard error."""
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))

    def run_words(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run_words


ASK = ("sweep", "--dataset", "tiny", "--components", "0", "--split", TINY.split, "--device", "cpu")


def test_the_command_prints_every_layer_and_roi(shell, store, tmp_path):
    code, out, _ = shell(*ASK, "--backbone", "tinynet", "--layer", "colour", "pixels", "--out", tmp_path / "layers.csv", "--json")
    document = json.loads(out)
    found = run(Sweep.read(TINY, ["tinynet"]), store, device="cpu")
    assert code == 0
    assert [row["r"] for row in document["rows"]] == pytest.approx([r if np.isfinite(r) else None for r in found.table()["r"]], nan_ok=True)
    assert {row["roi"]: row["label"] for row in document["best"]}["driven"] == "pixels"
    written = pd.read_csv(tmp_path / "layers.csv")
    assert len(written) == len(document["rows"]) and set(written["layer"]) == {"pixels", "colour"}
    code, out, _ = shell(*ASK, "--backbone", "tinynet", "--all-layers")
    driven = next(line.split() for line in out.splitlines() if line.startswith("driven"))
    assert code == 0 and driven[-2:] == ["pixels", "100%"] and "simulated: no brain was measured" in out
    assert "With 30 test stimuli, fewer than 50" in out


def test_the_command_ranks_by_the_score_that_is_asked_for(shell, tiny, tmp_path):
    tiny.change(ceiling={hemi: np.linspace(0.1, 0.9, 10, dtype=np.float32) for hemi in ("lh", "rh")})
    spec = replace(TINY, split="kfold:3:0")
    words = (*ASK, "--split", spec.split, "--backbone", "tinynet", "--all-layers")
    table = run(Sweep.read(spec, ["tinynet"]), Store(tmp_path / "cache"), device="cpu").table()
    table = table[(table["hemi"] == BOTH) & (table["roi"] == "driven")].set_index("label")
    for score, text in (("pooled_r", "predictions of all folds"), ("normalised_r2", "over the noise ceiling")):
        code, out, _ = shell(*words, "--score", score)
        driven = next(line.split() for line in out.splitlines() if line.startswith("driven"))
        assert code == 0 and driven[1:3] == [f"{table.loc[layer, score]:.3f}" for layer in ("pixels", "colour")] and text in out
        assert f"{table.loc['colour', score]:.3f}" != f"{table.loc['colour', 'r']:.3f}"
        best = json.loads(shell(*words, "--score", score, "--json")[1])["best"]
        assert {row["roi"]: row[score] for row in best}["driven"] == pytest.approx(table.loc["pixels", score])


def test_pooled_r_of_one_fold_is_r_and_a_score_without_ceiling_is_refused_before_any_fit(shell, tmp_path):
    words = (*ASK, "--backbone", "tinynet", "--layer", "colour")
    code, _, err = shell(*words, "--score", "normalised_r2")
    assert code == 2 and "needs a noise ceiling" in err and not (tmp_path / "cache" / "fit").exists()
    code, out, _ = shell(*words, "--score", "pooled_r")
    assert code == 0 and "one fold, of which pooled r is r" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Say which layers"),
        (["--layer", "colour", "--all-layers"], "Say which layers"),
        (["--layer", "colur"], "Did you mean 'colour'"),
        (["--all-layers", "--out", "no/such/folder/x.csv"], "give a file in a folder that is there"),
        (["--all-layers", "--roi", "drivn"], "Did you mean 'driven'"),
    ],
)
def test_wrong_words_end_with_two_and_say_what_could_be_meant(shell, words, message):
    code, out, err = shell(*ASK, "--backbone", "tinynet", *words)
    assert code == 2 and not out and message in err


@pytest.mark.parametrize(
    ("backbones", "layers"),
    [(["tinynet"], []), (["tinynet"], ["colour"]), (["tinynet", "othernet"], ["othernet colour", "tinynet pixels"])],
)
def test_a_sweep_s_command_asks_for_just_that_sweep(other, backbones, layers):
    spec = replace(TINY, readout="ridge", options={"alpha": 3}, rois=("driven",), hemi="lh", weights="random:1")
    sweep = Sweep.read(spec, backbones, layers)
    assert sweep_from(parser().parse_args(shlex.split(sweep.to_command())[3:])) == sweep


def test_a_bare_sweep_needs_no_download(tiny):
    assert Sweep.read(FitSpec(), ["pixels", "gabor"]).cells == (("pixels", "rgb"), ("gabor", "simple"), ("gabor", "energy"))


def test_kinds_are_drawn_in_steps_of_the_colours_that_the_chart_has():
    from encoding.plots.brain.brain_map import BrainMap
    from encoding.plots.heatmap import LAYER_COLOURS, layer_colours

    places = {"lh": np.arange(3)}
    brain = BrainMap(
        values={"lh": np.array([1.0, 2.0, 3.0])}, vertices=places, colour_range=(0.5, 3.5), colour_map=LAYER_COLOURS, kinds=True
    )
    steps = np.unique(brain._colours(), axis=0)
    drawn = [tuple(int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")) for colour in layer_colours(3)]
    assert len(steps) == 3 and np.abs(np.sort(steps, 0) - np.sort(drawn, 0)).max() <= 2
