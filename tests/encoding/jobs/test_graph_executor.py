"""Experiments on real worker processes: the same table as in one process, whatever dies meanwhile."""

from __future__ import annotations

import pickle
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from distributed import CancelledError
from PIL import Image

from encoding import FitSpec, Store
from encoding.experiments import Experiment, run_experiment
from encoding.experiments.graph import compile_graph
from encoding.experiments.progress import Run
from encoding.experiments.task import Task, inputs_of
from encoding.fits.plan import plan
from encoding.jobs import Jobs, graph_executor, scheduler, serve, worker
from encoding.jobs.graph_executor import Attempt, GraphExecutor
from encoding.jobs.serve import default_workers, worker_environments
from encoding.jobs.tasks import AsPlanned, ComposeRequest, compose_fits, study
from encoding.jobs.version import code_fingerprint
from tests import jobs_work as work
from tests.encoding.jobs import processes
from tests.encoding.jobs.processes import dask_cluster

pytestmark = pytest.mark.timeout(300)

N_IMAGES = 40
PATIENCE = 120.0  # a worker that was killed imports torch again
WORKER = ["--nthreads", "1", "--resources", "fit=1", "--preload", "encoding.jobs.worker"]
GRID = Experiment(
    base=FitSpec(dataset="squares", subject="ann", backbone="pixels", layers=("rgb",), n_components=4, split="holdout:0.75:5"),
    vary={"subject": ["ann", "bob"], "readout": ["ridge", "ols"]},
)


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory):
    """A data set of one's own that workers can open, too: two subjects, 40 images of 8 x 8 pixels each."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCODING_DATA_DIR", str(folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        (folder / "squares" / "images").mkdir(parents=True)
        pixels = rng.integers(0, 255, (N_IMAGES, 8, 8, 3), dtype=np.uint8)
        for number, image in enumerate(pixels):
            Image.fromarray(image).save(folder / "squares" / "images" / f"{number:03d}.png")
        text = 'title = "Squares"\nsimulated = true\n[stimuli]\nfolder = "images"\n'
        for name in ("ann", "bob"):
            Y = pixels.reshape(N_IMAGES, -1) @ rng.normal(size=(192, 6)) / 500 + rng.normal(size=(N_IMAGES, 6))
            np.save(folder / "squares" / f"{name}.npy", Y.astype(np.float32))
            text += f'[subjects.{name}]\nresponses = "{name}.npy"\n'
        (folder / "squares" / "dataset.toml").write_text(text)
        yield folder


@pytest.fixture(scope="module")
def expected(data, tmp_path_factory):
    """The table of the grid, computed in this process."""
    return table_of(run_experiment(GRID, Store(tmp_path_factory.mktemp("serial")), device="cpu"))


until = partial(processes.until, patience=PATIENCE)


def table_of(result):
    assert [cell.error for cell in result.status.cells] == [""] * len(result.cells)
    return result.table().drop(columns="seconds")


@pytest.fixture(scope="module")
def jobs(data, tmp_path_factory):
    jobs = Jobs(tmp_path_factory.mktemp("store"), n_workers=2)
    yield jobs
    jobs.close()


@pytest.fixture(autouse=True)
def empty(request):
    """Every test begins with an empty Store where it shares the workers."""
    if "jobs" in request.fixturenames:
        store = request.getfixturevalue("jobs")._store
        (store.root / "died").unlink(missing_ok=True)
        for key in store.keys():  # noqa: SIM118 - a Store is no dict
            store.remove(key)


def test_two_workers_give_the_table_of_one_process_bit_for_bit(jobs, expected, monkeypatch):
    runs, priorities, submit = [], set(), scheduler.submit_stages
    monkeypatch.setattr(scheduler, "submit_stages", lambda *about, **how: priorities.add(how["priority"]) or submit(*about, **how))
    result = run_experiment(GRID, jobs._store, executor=jobs.carry_out, watch=runs.append)
    assert table_of(result).equals(expected)
    assert runs[0].n_workers == 2 and runs[0].finished
    assert len([key for key in jobs._store.keys() if key.startswith("features-")]) == 1  # noqa: SIM118 - both subjects saw the same images
    assert priorities == {graph_executor.PRIORITY, graph_executor.LATE_PRIORITY} and max(priorities) < 0  # a single fit has 0


def test_an_optional_job_goes_on_beside_others_where_a_worker_is_free(jobs, spec):
    extra, fit = processes.with_key(spec, "extra") | {"seconds": 2.0}, processes.with_key(spec, "fit")
    jobs.start()
    until(lambda: jobs._scheduler.n_ready() == 2)
    jobs.submit(work.count, extra, key=extra["key"], optional=True)
    until(lambda: jobs.get(extra["key"]).state == "running")
    processes.submit(jobs, work.count, fit)
    assert processes.wait(jobs, fit).state == processes.wait(jobs, extra).state == "done"
    assert len(processes.began(extra)) == 1


@pytest.fixture
def bundled(monkeypatch):
    """Tasks travel in bundles from the second of a stage on; the numbers of tasks that were handed over at once."""
    sizes, submit = [], GraphExecutor._submit
    for name, value in (("N_RECENT", 1), ("BUNDLE_SECONDS", 600.0), ("QUEUED", 1), ("QUEUED_PER_WORKER", 1)):
        monkeypatch.setattr(graph_executor, name, value)

    def counted(self, client, bundles, priority):
        sizes.extend(map(len, bundles))
        submit(self, client, bundles, priority)

    monkeypatch.setattr(GraphExecutor, "_submit", counted)
    return sizes


def test_quick_tasks_travel_in_bundles_with_the_same_table(jobs, tmp_path, bundled):
    grid = replace(GRID, vary={**GRID.vary, "readout": [{"name": "ridge", "alpha": float(alpha)} for alpha in range(1, 9)]})
    result = run_experiment(grid, jobs._store, executor=jobs.carry_out)
    assert table_of(result).equals(table_of(run_experiment(grid, Store(tmp_path / "serial"), device="cpu")))
    assert max(bundled) > 1 and sum(bundled) >= 2 * len(grid.specs()) > len(bundled)


def test_a_bundle_holds_quick_tasks_only_and_none_that_was_lost(data, tmp_path):
    grid = replace(GRID, vary={**GRID.vary, "readout": [{"name": "ridge", "alpha": float(alpha)} for alpha in range(1, 40)]})
    run = Run(compile_graph(grid.cells(), Store(tmp_path)))
    executor = GraphExecutor(None, run, Store(tmp_path))
    assert [task.stage for task in executor._take_bundle()] == ["features"]
    while run.status().n_ended < 7:  # features, components and moments of two subjects
        for task in executor._take_bundle() or [each for each in run.graph.tasks.values() if each.stage != "fit"]:
            run.done(task.key, 1.0)
    fits = [task for task in run.graph.tasks.values() if task.stage == "fit"]
    assert len(executor._take_bundle()) == 1, "nothing was measured"
    for seconds, expected in ((0.0102, 19), (0.0001, graph_executor.MOST_BUNDLED), (0.15, 1), (1.0, 1)):
        executor._seconds["fit", "ridge"].extend([seconds] * graph_executor.N_RECENT)
        bundle = executor._take_bundle()
        assert len(bundle) == expected and {task.stage for task in bundle} == {"fit"}
        for task in bundle:
            run.put_back(task)
    executor._seconds["fit", "ridge"].extend([0.0001] * graph_executor.N_RECENT)
    executor._n_lost[fits[3].key] = 1
    assert fits[3] not in executor._take_bundle()


def slow_fits(task: Task, store: Store, report, device) -> None:
    """Stands in for the worker's part: a fit takes long and reports."""
    from encoding.experiments.stages import run_task

    for step in range(2000 if task.stage == "fit" else 0):
        report(step / 2000, "slowly")
        time.sleep(0.02)
    run_task(task, store, report, device)


def die_once(task: Task, store: Store, report, device) -> None:
    """The worker's process dies at its first fit."""
    import os
    import signal

    from encoding.experiments.stages import run_task

    if task.stage == "fit" and not (trace := store.root / "died").exists():
        trace.touch()
        report(0.5, "filling memory")
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
    run_task(task, store, report, device)


def die_at_one(task: Task, store: Store, report, device) -> None:
    """The worker's process dies whenever it fits ols to one subject."""
    import os
    import signal

    from encoding.experiments.stages import run_task

    if task.stage == "fit" and (task.spec.readout, task.spec.subject) == ("ols", "ann"):
        time.sleep(0.3)  # for the message that it began to leave
        os.kill(os.getpid(), signal.SIGKILL)
    run_task(task, store, report, device)


def test_cancelling_stops_all_within_seconds_and_leaves_the_workers_to_others(jobs, monkeypatch):
    monkeypatch.setattr(graph_executor, "run_task", slow_fits)
    runs = []
    thread = threading.Thread(target=run_experiment, args=(GRID, jobs._store), kwargs={"executor": jobs.carry_out, "watch": runs.append})
    thread.start()
    until(lambda: runs and any(cell.stage == "fit" for cell in runs[0].status().cells))
    runs[0].cancel()
    thread.join(PATIENCE)
    assert not thread.is_alive() and {cell.state for cell in runs[0].status().cells} == {"cancelled"}
    client = jobs._scheduler.connect()
    until(lambda: not any(client.processing().values()))
    monkeypatch.undo()
    assert run_experiment(GRID, jobs._store, executor=jobs.carry_out).status.count("done") == len(GRID.specs())


def test_a_scheduler_that_is_killed_and_starts_again_gives_the_same_table(data, tmp_path, expected, monkeypatch):
    """The embedded scheduler dies with its workers in the middle of a fit; another takes its place."""
    monkeypatch.setattr(graph_executor, "run_task", slow_fits)
    jobs, runs, found = Jobs(tmp_path / "store"), [], []

    def work():
        found.append(run_experiment(GRID, jobs._store, executor=jobs.carry_out, watch=runs.append))

    thread = threading.Thread(target=work)
    try:
        thread.start()
        until(lambda: runs and any(cell.stage == "fit" for cell in runs[0].status().cells))
        monkeypatch.undo()
        monkeypatch.setenv("ENCODING_DATA_DIR", str(data))
        psutil.Process(jobs._scheduler._cluster._process.pid).kill()
        thread.join(PATIENCE)
        assert table_of(found[0]).equals(expected)
    finally:
        jobs.close()


@pytest.fixture(scope="module")
def cluster(data, tmp_path_factory):
    """A scheduler and a worker, as docs/shared_server.md says."""
    with dask_cluster(tmp_path_factory.mktemp("cluster"), WORKER) as address:
        yield address


@pytest.mark.nightly
def test_two_people_on_a_cluster_share_their_work(cluster, tmp_path, expected):
    one, two = (Jobs(tmp_path / "store", address=cluster) for _ in range(2))
    other = replace(GRID, vary={**GRID.vary, "readout": ["ridge", "ols", "knn"]})
    results = {}

    def work(name, jobs, grid):
        results[name] = run_experiment(grid, jobs._store, executor=jobs.carry_out)

    threads = [threading.Thread(target=work, args=about) for about in (("one", one, GRID), ("two", two, other))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert table_of(results["one"]).equals(expected)
        assert results["two"].status.count("done") == len(other.specs())
    finally:
        one.close()
        two.close()


def failures(jobs):
    result = run_experiment(Experiment(base=GRID.specs()[0]), jobs._store, executor=jobs.carry_out)
    return {(cell.error_kind, cell.error) for cell in result.status.cells}


def test_a_worker_that_sees_another_store_refuses_and_says_so(cluster, tmp_path):
    jobs = Jobs(tmp_path / "store", address=cluster)
    jobs._store.identity = lambda: "another"
    try:
        [(kind, message)] = failures(jobs)
        assert kind == "OtherStore" and f"no Store at {tmp_path / 'store'}" in message and "ENCODING_CACHE_DIR" in message
        del jobs._store.identity
        jobs._store.identity()
        jobs._store.identity = lambda: "another"
        [(kind, message)] = failures(jobs)
        assert kind == "OtherStore" and f"another Store at {tmp_path / 'store'}" in message
    finally:
        jobs.close()


def test_a_worker_with_other_data_refuses_and_names_them(cluster, tmp_path, data, monkeypatch):
    """The submitter's folder holds other responses of the same name."""
    import shutil

    theirs = tmp_path / "data"
    shutil.copytree(data, theirs)
    np.save(theirs / "squares" / "ann.npy", np.load(theirs / "squares" / "ann.npy") + 1)
    monkeypatch.setenv("ENCODING_DATA_DIR", str(theirs))
    jobs = Jobs(tmp_path / "store", address=cluster)
    try:
        [(kind, message)] = failures(jobs)
        assert kind == "OtherInputs" and "sees other responses of squares ann" in message and "weights" not in message
        spec = GRID.specs()[0]
        jobs.submit(study, spec, key="of-a-page", planned=plan(spec, jobs._store))
        job = jobs.wait("of-a-page", timeout=PATIENCE)
        assert job.error_kind == kind and "sees other responses of squares ann" in job.error
        request = ComposeRequest(GRID.to_toml(), (), "roi", "r", "mean")  # of several fits, which read the same but for their networks
        plans = [plan(each, jobs._store) for each in GRID.specs()]
        checked = AsPlanned.of(compose_fits, plans)
        assert 0 < len(checked.fits) <= len(plans) and {inputs for _, inputs in checked.fits} == {inputs_of(each) for each in plans}
        jobs.submit(compose_fits, request, key="of-several", planned=plans)
        job = jobs.wait("of-several", timeout=PATIENCE)
        assert job.error_kind == kind and "sees other responses of squares ann" in job.error
    finally:
        jobs.close()


def test_a_worker_of_another_version_refuses(jobs, monkeypatch):
    monkeypatch.setattr(scheduler, "code_fingerprint", lambda: "another")
    [(kind, message)] = failures(jobs)
    assert kind == "OtherVersion" and "another version of Encoding Explorer" in message


def test_without_a_scheduler_the_experiment_ends_at_once_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, "CONNECT_SECONDS", 0.5)
    jobs = Jobs(tmp_path / "store", address="tcp://127.0.0.1:9")
    with pytest.raises(ConnectionError, match="No Dask scheduler answers"):
        run_experiment(GRID, jobs._store, executor=jobs.carry_out)
    jobs.close()


def test_a_cluster_without_workers_is_noted(data, tmp_path):
    class Unmanned:
        n_ready, missing_workers = staticmethod(lambda: 0), staticmethod(lambda: "None of the 0 workers takes fits")

    store = Store(tmp_path / "store")
    run = Run(compile_graph(GRID.cells(), store))
    GraphExecutor(Unmanned(), run, store)._count_workers()
    assert run.status().note == "None of the 0 workers takes fits" and run.n_workers == 1


def test_messages_of_other_work_are_not_taken_in(data, tmp_path):
    store = Store(tmp_path / "store")
    executor = GraphExecutor(None, Run(compile_graph(GRID.cells(), store)), store)
    executor.hear({"attempt": "study-1#1", "worker": "tcp://…", "fraction": 0.5, "text": "half"})
    assert executor._events.empty()


@pytest.mark.parametrize("wanted", ["0", "two", "-1"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(monkeypatch, wanted):
    monkeypatch.setenv("ENCODING_WORKERS", wanted)
    with pytest.raises(ValueError, match=f"not '{wanted}'"):
        worker_environments()


@pytest.mark.parametrize(
    ("n_gpus", "n_cores", "gigabytes", "expected"),
    [(0, 1, 4, 1), (0, 2, 64, 1), (0, 7, 64, 1), (0, 8, 64, 2), (0, 64, 20, 3), (0, 64, 1, 1), (1, 64, 64, 1), (8, 4, 10, 8)],
)
def test_there_are_as_many_workers_as_gpus_else_as_cores_and_memory_allow(n_gpus, n_cores, gigabytes, expected):
    assert default_workers(n_gpus, n_cores, 1e9 * gigabytes) == expected


def test_workers_take_the_gpus_in_turn_and_the_variable_says_how_many(monkeypatch):
    monkeypatch.setenv("ENCODING_WORKERS", "3")
    monkeypatch.setattr(worker, "gpus", lambda: [])
    assert worker_environments() == [{}] * 3
    monkeypatch.setattr(worker, "gpus", lambda: ["GPU-a", "GPU-b"])
    assert [part["CUDA_VISIBLE_DEVICES"] for part in worker_environments()] == ["GPU-a", "GPU-b", "GPU-a"]
    monkeypatch.delenv("ENCODING_WORKERS")
    assert [part["CUDA_VISIBLE_DEVICES"] for part in worker_environments()] == ["GPU-a", "GPU-b"]
    monkeypatch.setattr(worker, "gpus", lambda: [])
    monkeypatch.setattr(serve, "default_workers", lambda *about: 2)
    assert worker_environments() == [{}] * 2


def test_stages_share_the_cores_and_a_job_takes_all(tmp_path, monkeypatch):
    variables = serve.thread_variables({}, 4, 16)
    assert variables["OMP_NUM_THREADS"] == variables["MKL_NUM_THREADS"] == "16" and variables[worker.STAGE_THREADS] == "4"
    given = serve.thread_variables({"OMP_NUM_THREADS": "1"}, 4, 16)
    assert given["OMP_NUM_THREADS"] == "1" and worker.STAGE_THREADS not in given
    limits, store = [], Store(tmp_path)
    monkeypatch.setattr(worker, "Messages", lambda attempt: SimpleNamespace(send=lambda **about: None, report=lambda *about: None))
    monkeypatch.setattr(worker, "_begin_once", lambda *about: None)
    monkeypatch.setattr(worker, "at_most_threads", lambda n: limits.append(n) or nullcontext())
    monkeypatch.setenv(worker.STAGE_THREADS, "4")
    for submission in (None, "a job"):
        worker.run(pickle.dumps((print, None)), str(tmp_path), "attempt", submission, code_fingerprint(), store.identity())
    assert limits == [4, 0]


def test_a_worker_that_dies_loses_only_its_task(jobs, expected, monkeypatch):
    monkeypatch.setattr(graph_executor, "run_task", die_once)
    result = run_experiment(GRID, jobs._store, executor=jobs.carry_out)
    assert (jobs._store.root / "died").exists()
    assert table_of(result).equals(expected)


def test_a_task_that_kills_its_workers_fails_alone(jobs, monkeypatch):
    monkeypatch.setattr(graph_executor, "run_task", die_at_one)
    monkeypatch.setattr(graph_executor, "MOST_DEATHS", 2)
    result = run_experiment(GRID, jobs._store, executor=jobs.carry_out)
    failed = [(cell.cell.label, state.error_kind) for cell, state in zip(result.cells, result.status.cells, strict=True) if state.error]
    assert failed == [("ann · ols", "WorkerDied")]
    assert result.status.count("done") == len(GRID.specs()) - 1


def test_a_bundle_whose_worker_dies_is_taken_apart(data, tmp_path):
    run = Run(compile_graph(GRID.cells(), Store(tmp_path)))
    executor, cancelled = GraphExecutor(None, run, Store(tmp_path)), []
    client = SimpleNamespace(cancel=lambda futures, force: cancelled.extend(futures))
    future = SimpleNamespace(status="cancelled", exception=lambda timeout: CancelledError(), release=lambda: None)
    tasks = [task for task in run.graph.tasks.values() if not task.needs]
    tasks += [replace(tasks[0], key=key) for key in run.graph.tasks if key != tasks[0].key][:1]
    while run.take() is not None:
        pass
    executor._attempts["one#1"] = Attempt(tuple(tasks), "one#1", client, future)
    for _ in range(2):
        executor._message({"attempt": "one#1", "worker": "tcp://…", "begun": True})
    assert cancelled == [future]
    executor._settle("one#1")
    for stage in {task.stage for task in tasks}:
        executor._seconds[stage, "ridge"].extend([0.001] * graph_executor.N_RECENT)
    assert [len(executor._take_bundle()) for _ in range(3)] == [1, 1, 0]
