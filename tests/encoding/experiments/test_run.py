"""Experiments as they run: what they compute, share, survive and leave behind."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from dataclasses import replace

import numpy as np
import pytest

from encoding import Store, fit
from encoding.experiments import Experiment, run_experiment, stages
from encoding.experiments import run as run_module
from encoding.experiments.graph import compile_graph
from encoding.experiments.progress import Run
from encoding.experiments.records import AlreadyRunning, find_record, is_running, recording, records, request_cancel
from encoding.experiments.run import run_serially
from encoding.experiments.stages import OtherInputs, difference, run_in_turn, run_task
from encoding.experiments.task import STAGES
from encoding.features import extraction
from encoding.runtime.progress import Cancelled
from encoding.runtime.registry import UnknownName
from encoding.storage.inventory import entries, prune
from encoding.storage.store import StoreFull
from tests.conftest import TINY
from tests.encoding.experiments.conftest import GRID

SMALL = Experiment(base=replace(TINY, hemi="lh"), vary={"layers": "curated", "readout": ["ridge", "ols"]})


def scores(result):
    return {name: np.asarray(values) for name, values in result._arrays.items()}


@pytest.fixture
def ended(monkeypatch):
    """Stages that were carried out, in order."""
    done, execute = [], run_module.execute
    monkeypatch.setattr(run_module, "execute", lambda task, *rest: execute(task, *rest) or done.append(task.stage))
    return done


def test_an_experiment_is_its_fits_one_by_one_bit_for_bit_from_one_pass_each(lab, store, tmp_path, passes):
    found = run_experiment(GRID, store, device="cpu")
    assert found.status.count("done") == len(found.results) == 16
    assert sorted(network for network, *_ in passes) == ["other-backbone"] * 2 + ["tiny-backbone"] * 2
    assert len(set(passes)) == 4 and {layers for *_, layers in passes} == {("pixels", "colour")}
    alone = Store(tmp_path / "alone")
    for result in found.results:
        one = fit(result.plan.spec, alone, device="cpu")
        assert one.key == result.key
        for name, values in scores(one).items():
            np.testing.assert_array_equal(values, scores(result)[name], strict=True)


@pytest.mark.parametrize("split", ["holdout:0.75:5", "kfold:3:1"])
@pytest.mark.parametrize("readouts", [["ols", "ridge"], ["ridge", "ols"]])
def test_sums_over_folds_are_shared_whichever_readout_comes_first(lab, store, tmp_path, split, readouts):
    grid = Experiment(base=replace(TINY, split=split, n_components=5, hemi="lh"), vary={"readout": readouts})
    found = {result.plan.spec.readout: scores(result) for result in run_experiment(grid, store, device="cpu").results}
    alone = Store(tmp_path / "alone")
    for name in ("ridge", "ols"):
        one = fit(replace(grid.base, readout=name), alone, device="cpu")
        for score, values in scores(one).items():
            np.testing.assert_array_equal(values, found[name][score])


@pytest.mark.parametrize(
    "base",
    [
        replace(TINY, layers=("pixels", "colour"), readout="banded_ridge", n_components=2),
        replace(TINY, split="kfold:3:0", readout="knn"),
        replace(TINY, readout="mlp", options={"n_epochs": 1}, extra_subjects=("subj02",), n_components=3),
    ],
    ids=lambda base: base.readout,
)
def test_the_graph_prepares_all_that_any_kind_of_fit_reads(lab, store, base):
    """After its other tasks a fit has nothing left to extract or reduce."""
    graph = compile_graph(Experiment(base=base).cells(), store)
    run = Run(graph)
    while (task := run.take()).stage != "fit":
        run_module.execute(task, graph.plans.get(task.spec), store, device="cpu")
        run.done(task.key)
    before = set(store.keys())
    run_module.execute(task, graph.plans.get(task.spec), store, device="cpu")
    made = {key.rpartition("-")[0] for key in set(store.keys()) - before}
    assert "fit" in made and not made & {"features", "components", "moments"}


def test_a_readout_that_reads_the_stimuli_needs_no_stage_before_it(lab, store):
    graph = compile_graph(Experiment(base=replace(TINY, readout="finetune")).cells(), store)
    assert [task.stage for task in graph.tasks.values()] == ["fit", "intervals"]


def test_late_stages_come_after_every_fit_and_curves_only_where_asked_for(lab, store, ended):
    run_experiment(SMALL, store, device="cpu")
    assert ended == sorted(ended, key=lambda stage: stage in ("intervals", "curve")) and "curve" not in ended
    run_experiment(replace(SMALL, curves=True), store, device="cpu")
    assert ended.count("curve") == 4 and ended.count("fit") == 4


def test_tasks_come_after_what_they_need_and_every_stage_is_known(lab, store):
    graph = compile_graph(GRID.cells(), store, curves=True)
    seen = set()
    for key, task in graph.tasks.items():
        assert set(task.needs) <= seen and task.stage in STAGES
        seen.add(key)
    assert [task.stage for task in graph.tasks.values()].count("features") == 4


def test_what_is_stored_is_no_task(lab, store, ended):
    run_experiment(SMALL, store, device="cpu")
    del ended[:]
    result = run_experiment(SMALL, store, device="cpu")
    assert ended == [] and result.status.count("done") == 4


def test_two_experiments_and_a_fit_share_their_work(lab, store, passes, ended):
    fit(replace(SMALL.base, layers=("colour",)), store, device="cpu")
    run_experiment(SMALL, store, device="cpu")
    assert [layers for *_, layers in passes] == [("colour",), ("pixels",)]
    assert ended.count("fit") == 3
    del ended[:]
    run_experiment(replace(SMALL, vary={"layers": "curated", "readout": ["ols", {"name": "ridge", "alpha": 2.0}]}), store, device="cpu")
    assert ended.count("fit") == 2 and "features" not in ended and "components" not in ended and "moments" not in ended


def test_a_failed_cell_is_reported_and_the_rest_goes_on(lab, store, monkeypatch):
    execute = run_module.execute

    def failing(task, *rest):
        if task.stage == "components" and task.spec.layers == ("colour",):
            raise MemoryError("It needs 9,999 GB.")
        return execute(task, *rest)

    monkeypatch.setattr(run_module, "execute", failing)
    found = run_experiment(SMALL, store, device="cpu")
    states = {result.cell.label: state for result, state in zip(found.cells, found.status.cells, strict=True)}
    assert [states[f"colour · {name}"].state for name in ("ridge", "ols")] == ["failed", "failed"]
    assert states["colour · ridge"].error_kind == "MemoryError" and "9,999 GB" in states["colour · ridge"].error
    assert [states[f"pixels · {name}"].state for name in ("ridge", "ols")] == ["done", "done"]
    assert set(found.table()["layers"]) == {"pixels"}
    assert records(store)[0].state == "done, 2 failed"
    monkeypatch.setattr(run_module, "execute", execute)
    assert run_experiment(SMALL, store, device="cpu").status.count("done") == 4


def test_a_layer_that_cannot_be_extracted_fails_no_fit_of_layers_that_are_stored(lab, store, monkeypatch):
    run_experiment(replace(SMALL, vary={"layers": ["pixels"]}), store, device="cpu")
    monkeypatch.setattr(extraction, "_stream", lambda *_: (_ for _ in ()).throw(ValueError("no finite number")))
    states = [cell.state for cell in run_experiment(SMALL, store, device="cpu").status.cells]
    assert [cell.spec.layers for cell in SMALL.cells()] == [("pixels",)] * 2 + [("colour",)] * 2
    assert states == ["done"] * 2 + ["failed"] * 2


def test_an_experiment_says_that_the_disk_is_full_and_what_ended_is_not_lost_where_its_record_cannot_be_written(lab, store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("encoding.experiments.records.atomic_file", full)
        with pytest.raises(StoreFull, match=f"No room left on the disk of .* for {SMALL.key}"):
            run_experiment(SMALL, store, device="cpu")
        assert not is_running(SMALL.key, store)

    def watch(run):
        monkeypatch.setattr("encoding.experiments.records.atomic_file", full)

    assert len(run_experiment(SMALL, store, device="cpu", watch=watch).results) == 4


def test_a_failed_interval_leaves_the_fit_done_and_says_so(lab, store, monkeypatch):
    execute = run_module.execute

    def failing(task, *rest):
        if task.stage == "intervals":
            raise OSError("The share is gone.")
        return execute(task, *rest)

    monkeypatch.setattr(run_module, "execute", failing)
    found = run_experiment(SMALL, store, device="cpu")
    assert {(cell.state, cell.error) for cell in found.status.cells} == {("done", "The share is gone.")}
    assert found.table()["r_mean"].notna().any() and found.table()["r_low"].isna().all()


def test_data_that_are_missing_concern_their_cells_alone(lab, store, monkeypatch):
    from encoding.datasets import BadData

    opened = lab.open

    def broken(subject, *rest):
        if subject == "subj02":
            raise BadData("subj02/lh.npy is cut short.")
        return opened(subject, *rest)

    monkeypatch.setattr(lab, "open", broken)
    found = run_experiment(Experiment(base=TINY, vary={"subject": ["subj01", "subj02"]}), store, device="cpu")
    assert [cell.state for cell in found.status.cells] == ["done", "failed"]
    assert found.status.cells[1].error == "subj02/lh.npy is cut short."


def test_a_mistake_in_one_cell_is_raised_before_any_work(lab, store, passes):
    with pytest.raises(UnknownName, match="Did you mean 'driven'"):
        run_experiment(Experiment(base=TINY, vary={"rois": ["driven", "drivn"]}), store, device="cpu")
    assert passes == [] and records(store) == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_experiment_goes_on_where_it_was(lab, store, tmp_path, monkeypatch, stop, ended):
    execute, done = run_module.execute, []

    def interrupted(task, *rest):
        if len(done) == 5:
            raise stop
        done.append(task.key)
        return execute(task, *rest)

    monkeypatch.setattr(run_module, "execute", interrupted)
    with pytest.raises(stop):
        run_experiment(SMALL, store, device="cpu")
    assert records(store)[0].state == "interrupted"
    monkeypatch.setattr(run_module, "execute", execute)
    graph = compile_graph(SMALL.cells(), store)
    assert not set(done) & set(graph.tasks)
    resumed = run_experiment(SMALL, store, device="cpu").table()
    whole = run_experiment(SMALL, Store(tmp_path / "whole"), device="cpu").table()
    assert resumed.drop(columns="seconds").equals(whole.drop(columns="seconds"))


def test_cancelling_stops_at_the_next_report_and_what_was_done_is_kept(lab, store, monkeypatch):
    execute = run_module.execute
    begun, released = threading.Event(), threading.Event()

    def slow(task, plan, its_store, report, device):
        if task.stage == "fit":
            begun.set()
            while True:
                report(0.5, "going on")
                released.wait(0.01)
        return execute(task, plan, its_store, report, device)

    monkeypatch.setattr(run_module, "execute", slow)

    def ask():
        begun.wait(20)
        assert request_cancel(SMALL.key, store)

    asking = threading.Thread(target=ask)
    asking.start()
    found = run_experiment(SMALL, store, device="cpu")
    asking.join()
    assert {cell.state for cell in found.status.cells} == {"cancelled"}
    assert not request_cancel(SMALL.key, store)
    monkeypatch.setattr(run_module, "execute", execute)
    assert run_experiment(SMALL, store, device="cpu").status.count("done") == 4


def test_an_experiment_does_not_run_twice_at_once(lab, store):
    with recording(SMALL, store):
        with pytest.raises(AlreadyRunning, match=f"cancel {SMALL.key}"):
            run_experiment(SMALL, store, device="cpu")
        assert run_experiment(replace(SMALL, base=replace(SMALL.base, n_components=3)), store, device="cpu").status.count("done") == 4


@pytest.mark.parametrize("options", [{}, {"feature_budget": 0.0, "n_components": 3}], ids=["stored", "reduced"])
def test_what_an_experiment_reads_and_writes_is_kept_until_it_has_ended(lab, store, monkeypatch, options):
    """Whoever makes room after each of its tasks takes nothing from under those that follow."""
    execute = run_module.execute

    def then_prune(task, *rest):
        execute(task, *rest)
        prune(store, entries(store))

    monkeypatch.setattr(run_module, "execute", then_prune)
    found = run_experiment(replace(SMALL, base=replace(SMALL.base, **options), curves=True), store, device="cpu")
    assert not any(cell.error for cell in found.status.cells) and len(found.results) == 4
    prune(store, entries(store))
    assert not store.keys() and not store.keys_in_use()


def test_looking_whether_an_experiment_runs_hinders_neither_a_start_nor_another_look(lab, store, monkeypatch):
    looks, flock = [], fcntl.flock
    assert not is_running(SMALL.key, store) and not (store.root / "locks").exists()

    def looked_at(descriptor, how):
        """Somebody looks while the lock is taken, for as long as the first try lasts."""
        if how == fcntl.LOCK_EX | fcntl.LOCK_NB and not looks:
            looks.append((store.root / "locks" / f"{SMALL.key}.lock").open("rb"))
            flock(looks[0], fcntl.LOCK_SH)
            assert not is_running(SMALL.key, store)
        elif looks:
            looks[0].close()
        flock(descriptor, how)

    monkeypatch.setattr("encoding.storage.locks.fcntl.flock", looked_at)
    with recording(SMALL, store):
        assert looks and is_running(SMALL.key, store)
        with pytest.raises(AlreadyRunning), recording(SMALL, store):
            pass
    assert not is_running(SMALL.key, store)


def test_a_record_is_found_by_the_beginning_of_its_key_and_holds_the_experiment(lab, store):
    run_experiment(replace(SMALL, title="Layers"), store, device="cpu")
    record = find_record(SMALL.key.removeprefix("experiment-")[:6], store)
    assert (record.title, record.state, record.key) == ("Layers", "done", SMALL.key)
    assert Experiment.from_toml(record.toml) == replace(SMALL, title="Layers")
    assert record.labels[0] == "pixels · ridge"
    with pytest.raises(UnknownName, match="Unknown experiment 'experiment-zz'"):
        find_record("experiment-zz", store)
    (store.root / "experiments" / "experiment-broken.json").write_text("{")
    assert [each.key for each in records(store)] == [SMALL.key]


@pytest.mark.parametrize("other", [{"labels": ["one"]}, {"key": "experiment-0"}])
def test_a_record_that_is_something_else_is_left_out(lab, store, other):
    run_experiment(SMALL, store, device="cpu")
    path = store.root / "experiments" / f"{SMALL.key}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | other))
    assert records(store) == []


def test_a_worker_names_what_it_sees_otherwise(lab, store):
    graph = compile_graph(SMALL.cells(), store)
    task = next(task for task in graph.tasks.values() if task.stage == "moments")
    plan = graph.plans.get(task.spec)
    assert difference(task, plan, store) == ""
    for number, (name, _) in enumerate(task.inputs):
        inputs = [*task.inputs[:number], (name, "another"), *task.inputs[number + 1 :]]
        assert f"sees other {name} than" in difference(replace(task, inputs=tuple(inputs)), plan, store)
    with pytest.raises(OtherInputs, match="gives moments another key"):
        run_task(replace(task, key="moments-of-something-else"), store)


def test_a_bundle_goes_on_after_a_failure_and_ends_when_it_has_taken_long(lab, store, monkeypatch):
    tasks = list(compile_graph(SMALL.cells(), store).tasks.values())[:3]
    heard, told = [], []

    def do(task, store, report, device):
        heard.append(task)
        report(0.5, "half")
        if task == tasks[1]:
            raise MemoryError("It needs 9,999 GB.")

    ended = run_in_turn(do, tasks, store, lambda fraction, text: told.append(fraction))
    assert [kind_and_message for _, *kind_and_message in ended] == [["", ""], ["MemoryError", "It needs 9,999 GB."], ["", ""]]
    assert heard == tasks and told == pytest.approx([0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6]) and min(seconds for seconds, *_ in ended) >= 0
    monkeypatch.setattr(stages, "LONGEST_TURN", -1.0)
    assert len(run_in_turn(do, tasks, store)) == 0
    clock = iter([0.0, 0.4, 1.2, 1.3])
    monkeypatch.setattr(stages, "LONGEST_TURN", 1.0)
    monkeypatch.setattr(stages.time, "monotonic", lambda: next(clock))
    assert [seconds for seconds, *_ in run_in_turn(do, tasks, store)] == pytest.approx([0.4, 0.8])


def test_a_bundle_stops_where_it_is_cancelled(lab, store):
    tasks = list(compile_graph(SMALL.cells(), store).tasks.values())[:3]

    def stop(fraction, text):
        if fraction > 0.3:
            raise Cancelled

    done = []
    with pytest.raises(Cancelled):
        run_in_turn(lambda task, *rest: done.append(task), tasks, store, stop)
    assert done == tasks[:1]


def test_a_worker_opens_data_again_that_changed_since_its_last_task(lab, store):
    tasks = list(compile_graph(SMALL.cells(), store).tasks.values())
    run_task(tasks[0], store, device="cpu")
    lab.change(fingerprints={hemi: f"{hemi}-changed" for hemi in ("lh", "rh")})
    changed = compile_graph(SMALL.cells(), store).tasks
    moments = next(task for task in changed.values() if task.stage == "moments")
    run_task(moments, store, device="cpu")
    assert moments.key in store


def test_the_time_left_is_known_once_every_stage_was_measured(lab, store):
    graph = compile_graph(SMALL.cells(), store)
    run = Run(graph, n_workers=1)
    assert run.status().seconds_left is None
    measured = set()
    while not run.finished:
        task = run.take()
        measured.add(task.stage)
        run.done(task.key, seconds=2.0)
        left = [each for each in graph.tasks.values() if run._states[each.key] == "waiting"]
        expected = 2.0 * len(left) if {each.stage for each in left} <= measured else None
        assert run.status().seconds_left == expected
    assert run.status().count("done") == 4


def test_a_lost_task_is_taken_again_before_later_ones(lab, store):
    run = Run(compile_graph(SMALL.cells(), store))
    task = run.take()
    run.report(task.key, 0.5, "half")
    assert {cell.state for cell in run.status().cells} == {"running"}
    run.put_back(task)
    assert {cell.state for cell in run.status().cells} == {"waiting"}
    assert run.take() == task


def test_a_serial_run_of_nothing_needs_no_device(lab, store):
    run_experiment(SMALL, store, device="cpu")
    run_serially(Run(compile_graph(SMALL.cells(), store)), store, "no such device")
