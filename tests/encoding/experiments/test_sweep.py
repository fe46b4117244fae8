"""Sweeps as they run: what they compute, share with experiments and fits, survive, and put into their table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoding import Store, fit
from encoding.analysis.bootstrap import intervals_key, roi_intervals
from encoding.analysis.layer_ranking import BOTH, best_layers, roi_rows, win_shares
from encoding.analysis.layer_sweep import Sweep, swept
from encoding.experiments import Experiment, run_experiment
from encoding.experiments import run as run_module
from encoding.experiments.graph import compile_graph
from encoding.experiments.plans import Plans
from encoding.experiments.records import records, request_cancel
from encoding.experiments.sweep import LayersFailed, experiment_of, plans, run_sweep
from encoding.fits.resources import NoRoom
from encoding.runtime.progress import Cancelled
from tests.conftest import TINY

SWEEP = Sweep(spec=TINY, cells=(("tinynet", "colour"), ("tinynet", "pixels")))


def found_of(sweep, store):
    return swept(sweep, plans(sweep, Plans(store)), store)


def test_all_layers_of_a_backbone_come_from_one_pass(tiny, store, passes):
    run_sweep(SWEEP, store, device="cpu")
    assert [sorted(layers) for *_, layers in passes] == [["colour", "pixels"]]


def test_what_is_finished_is_not_done_again(tiny, store, passes):
    fit(SWEEP.spec_of(SWEEP.cells[0]), store, device="cpu")
    del passes[:]
    run_sweep(SWEEP, store, device="cpu")
    assert [layers for *_, layers in passes] == [("pixels",)]
    said = []
    run_sweep(SWEEP, store, lambda fraction, text: said.append(text), device="cpu")
    assert len(passes) == 1 and said[-1] == "done"


def test_intervals_that_are_missing_are_drawn_without_fitting_again(tiny, store, passes):
    results = run_sweep(SWEEP, store, device="cpu").results
    store.remove(intervals_key(results[SWEEP.cells[0]]))
    found = found_of(SWEEP, store)
    assert found.cells == SWEEP.cells and found.without_intervals == SWEEP.cells[:1] and not found.done
    low = found.table().groupby("layer")["low"].apply(lambda each: each.notna().any())
    assert low.to_dict() == {"colour": False, "pixels": True} and found.shares() is None and found.table()["r"].notna().any()
    assert intervals_key(results[SWEEP.cells[0]]) not in store, "reading computes nothing"
    assert run_sweep(SWEEP, store, device="cpu").done and len(passes) == 1


def test_a_sweep_that_is_stopped_keeps_what_was_finished_and_goes_on_from_there(tiny, store):
    def stop(fraction, text):
        if "2 of 2" in text:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_sweep(SWEEP, store, stop, "cpu")
    found = found_of(SWEEP, store)
    assert found.cells == SWEEP.cells[:1] and not found.done
    assert set(found.table()["layer"]) == {"colour"}
    assert run_sweep(SWEEP, store, device="cpu").done


@pytest.fixture
def failing(monkeypatch):
    """Let fits of some layers fail."""
    errors, execute = {}, run_module.execute

    def work(task, *rest):
        if task.stage == "fit" and task.spec.layers[0] in errors:
            raise errors[task.spec.layers[0]]
        return execute(task, *rest)

    monkeypatch.setattr(run_module, "execute", work)
    return errors


def test_a_layer_without_room_is_left_out_and_the_others_are_done(tiny, store, failing):
    failing["colour"] = NoRoom("It needs 9,999 GB.")
    with pytest.raises(NoRoom, match=r"1 of 2 layers could not be fitted\. tinynet colour: It needs 9,999 GB\."):
        run_sweep(SWEEP, store, device="cpu")
    assert found_of(SWEEP, store).cells == SWEEP.cells[1:]


def test_layers_that_fail_for_one_reason_are_named_together(tiny, store, failing):
    failing |= dict.fromkeys(("colour", "pixels"), OSError("The share is gone."))
    with pytest.raises(LayersFailed, match=r"^2 of 2 layers could not be fitted\. tinynet colour, tinynet pixels: The share is gone\.$"):
        run_sweep(SWEEP, store, device="cpu")


def test_a_sweep_is_an_experiment_and_equal_work_is_done_once(lab, store, passes, monkeypatch):
    """A sweep, an experiment and a single fit of the same settings share every task, whichever comes first."""
    spec = replace(TINY, readout="ridge", options={"alpha": 3}, n_components=5)
    sweep = Sweep(spec=spec, cells=(("tinynet", "pixels"), ("tinynet", "colour"), ("othernet", "pixels")))
    grid = Experiment(
        base=spec, vary={"backbone": ["tinynet", "othernet"], "layers": ["pixels", "colour"], "split": [spec.split, "kfold:3:0"]}
    )
    assert experiment_of(sweep).specs() == tuple(sweep.specs().values())
    in_sweep, in_grid = (set(compile_graph(each.cells(), store).tasks) for each in (experiment_of(sweep), grid))
    assert {key.rpartition("-")[0] for key in in_sweep - in_grid} <= {"extract"}, "a pass over fewer layers; all else is in the experiment"
    done, execute = [], run_module.execute
    monkeypatch.setattr(run_module, "execute", lambda task, *rest: execute(task, *rest) or done.append(task.key))
    assert run_sweep(sweep, store, device="cpu").done
    assert [record.title for record in records(store)] == ["sweep over layers of tinynet, othernet"]
    n_swept = len(done)
    run_experiment(grid, store, device="cpu")
    assert len(done) == len(set(done)) > n_swept
    assert sorted(layer for *_, layers in passes for layer in layers) == ["colour", "colour", "pixels", "pixels"]
    del done[:]
    both = Sweep(spec=spec, cells=(*sweep.cells, ("othernet", "colour")))
    assert run_sweep(both, store, device="cpu").done and done == []
    assert fit(both.spec_of(both.cells[-1]), store, device="cpu").cached


def test_a_sweep_gives_the_numbers_of_single_fits_bit_for_bit(lab, store, tmp_path):
    spec = replace(TINY, split="kfold:3:1", n_components=5)
    sweep = Sweep.read(spec, ["tinynet", "othernet"])
    found, alone = run_sweep(sweep, store, device="cpu"), Store(tmp_path / "alone")
    for cell, result in found.results.items():
        one = fit(sweep.spec_of(cell), alone, device="cpu")
        assert one.key == result.key
        for hemi in one.plan.hemis:
            np.testing.assert_array_equal(one.score(hemi), result.score(hemi))


def test_a_sweep_that_is_cancelled_from_elsewhere_says_so(tiny, store, monkeypatch):
    execute = run_module.execute

    def cancelling(task, plan, store, report, device):
        execute(task, plan, store, report, device)
        if task.stage == "intervals":
            request_cancel(experiment_of(SWEEP).key, store)
            while True:
                report(1.0, "going on")

    monkeypatch.setattr(run_module, "execute", cancelling)
    with pytest.raises(Cancelled, match="Finished layers are kept"):
        run_sweep(SWEEP, store, device="cpu")
    assert found_of(SWEEP, store).cells == SWEEP.cells[:1]


def test_progress_never_falls_and_names_the_layer(tiny, store):
    said = []
    run_sweep(SWEEP, store, lambda fraction, text: said.append((fraction, text)), "cpu")
    fractions = [fraction for fraction, _ in said]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert any("tinynet · pixels, 2 of 2" in text for _, text in said)


def test_nothing_is_computed_to_tell_what_is_finished(tiny, store, passes):
    found = found_of(SWEEP, store)
    assert found.cells == () and found.table().empty and found.rois == () and passes == []


# ---- its table


def test_the_table_holds_the_fits_own_numbers(tiny, store):
    found = run_sweep(SWEEP, store, device="cpu")
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
    result = run_sweep(SWEEP, store, device="cpu").results[SWEEP.cells[1]]
    rows = roi_rows(result).set_index(["roi", "hemi"])
    values = np.concatenate([result.score("lh")[:5], result.score("rh")[:2]])
    assert rows.loc[("driven", BOTH), "r"] == pytest.approx(values.mean())
    assert rows.loc[("driven", BOTH), "n_vertices"] == 7
    assert rows.loc[("driven", BOTH), "low"] < values.mean() < rows.loc[("driven", BOTH), "high"]
    assert np.isnan(rows.loc[("empty", BOTH), "r"]) and np.isnan(rows.loc[("empty", BOTH), "low"])


def test_normalised_scores_are_those_of_the_fit_where_a_ceiling_is_known(tiny, store):
    tiny.change(ceiling={hemi: np.linspace(0.02, 0.9, 10, dtype=np.float32) for hemi in ("lh", "rh")})
    found = run_sweep(SWEEP, store, device="cpu")
    result = found.results[SWEEP.cells[1]]
    mine = roi_rows(result)
    theirs = result.rois()
    for hemi in ("lh", "rh"):
        np.testing.assert_allclose(mine.loc[mine["hemi"] == hemi, "normalised_r2"], theirs.loc[theirs["hemi"] == hemi, "normalised_r2"])
        np.testing.assert_allclose(mine.loc[mine["hemi"] == hemi, "ceiling_r"], theirs.loc[theirs["hemi"] == hemi, "ceiling_r"])


def test_the_layer_that_drives_the_responses_is_surely_the_best(tiny, store):
    found = run_sweep(SWEEP, store, device="cpu")
    table = found.table()
    shares = win_shares(found.draws())
    best = best_layers(table[table["hemi"] == BOTH], shares).set_index("roi")
    assert best.loc["driven", "label"] == "pixels" and best.loc["driven", "share"] == 1
    assert "empty" not in best.index and best.loc["noise", "share"] < 1
    np.testing.assert_allclose(shares[:, [0, 1, 2]].sum(0), 1)
    assert np.isnan(shares[:, 3]).all()
