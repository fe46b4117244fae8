"""Sweeps over layers: what they compute and what they find."""

from __future__ import annotations

import shlex
from dataclasses import replace

import numpy as np
import pytest

from encoding import BACKBONES, FitSpec, Store, fit
from encoding.analysis.bootstrap import intervals_key, roi_intervals
from encoding.analysis.layer_ranking import BOTH, best_layers, roi_rows, win_shares
from encoding.analysis.layer_sweep import Sweep, plans, run, swept
from encoding.backbones import UnknownLayer
from encoding.cli import parser
from encoding.cli.sweeping import sweep_from
from encoding.features import extraction as features
from encoding.fits.resources import NoRoom
from encoding.runtime.progress import Cancelled
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY, OtherTinySource

SWEEP = Sweep(spec=TINY, cells=(("tinynet", "colour"), ("tinynet", "pixels")))


@pytest.fixture
def other(tiny, monkeypatch):
    monkeypatch.setitem(BACKBONES.sources._members, "othernet", OtherTinySource())


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


# ---- its words


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
