"""Experiments: against the same fits one after another, two workers against one, growth, and what planning and scheduling cost.

2 subjects x 2 networks x 4 layers x 3 readouts on photographs (or drawn images), untrained weights, planted responses. Part of
``python -m benchmarks scale``; single rows alone: ``python -m benchmarks experiments``, with ``ROWS=two_workers,growth``.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._timing import timed, worked
from benchmarks.extraction import image_files
from encoding import BACKBONES, FitSpec, Store, fit
from encoding.experiments import Experiment, run_experiment
from encoding.experiments.experiment import Cell
from encoding.experiments.graph import Graph, PlannedCell, compile_graph
from encoding.experiments.plans import Plans
from encoding.experiments.progress import Run
from encoding.experiments.run import ExperimentResult
from encoding.experiments.task import Task
from encoding.features import extraction
from encoding.jobs import Jobs, graph_executor
from encoding.runtime.progress import Report

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

NETWORKS = ("torchvision/alexnet", "torchvision/squeezenet1_1")
N_LAYERS, N_TARGETS = 4, 500
ALEXNET_16 = [*(f"features.{number}" for number in range(13)), "avgpool", "classifier.1", "classifier.4"]
BARE_SECONDS = 8.0
READOUTS = ("ridge", "ols", {"name": "lasso", "alpha": 0.05})


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    n_images, n_pass, n_tasks, n_cells = (40, 40, 200, 50) if quick else (240, 2_048, 10_000, 3_400)
    n_most = 120 if quick else int(os.environ.get("SCALE_IMAGES", "2000"))  # of the images that growth is measured over
    rows = {
        "against_single_fits": lambda root: [against_single_fits(root, n_images)],
        "two_workers": lambda root: [two_workers(root, 3 * n_images, grid_of_ols()), two_workers(root, n_pass, one_network())],
        "growth": lambda root: growth(root, [n_most // 4, n_most // 2, n_most]),
        "scheduling": lambda root: scheduling(root, n_tasks),
        "compiling": lambda root: [compiling(root, n_cells)],
    }
    found = []
    for name in os.environ.get("ROWS", ",".join(rows)).split(","):
        with tempfile.TemporaryDirectory() as scratch:
            found += rows[name](Path(scratch))
    return found


@contextmanager
def planted(folder: Path, n_images: int, subjects: Sequence[str] = ("ann", "bob")) -> Iterator[str]:
    """A data set of subjects who saw different images, in ``ENCODING_DATA_DIR`` within the block; yields what the images are."""
    (folder / "images").mkdir(parents=True)
    paths, kind = image_files(len(subjects) * n_images, folder / "images")
    rng, text = np.random.default_rng(0), 'title = "Benchmark"\nsimulated = true\n'
    for number, name in enumerate(subjects):
        (folder / "bench" / name).mkdir(parents=True)
        for place, path in enumerate(paths[number * n_images : (number + 1) * n_images]):
            (folder / "bench" / name / f"{place:04d}{path.suffix}").symlink_to(path.resolve())
        np.save(folder / "bench" / f"{name}.npy", rng.normal(size=(n_images, N_TARGETS)).astype(np.float32))
        text += f'[subjects.{name}]\nstimuli = {{ folder = "{name}" }}\nresponses = "{name}.npy"\n'
    (folder / "bench" / "dataset.toml").write_text(text)
    before = os.environ.get("ENCODING_DATA_DIR")
    os.environ["ENCODING_DATA_DIR"] = str(folder)
    try:
        yield kind
    finally:
        os.environ.pop("ENCODING_DATA_DIR") if before is None else os.environ.update(ENCODING_DATA_DIR=before)


def grid() -> Experiment:
    """2 subjects x 2 networks x 4 layers x 3 readouts."""
    networks = [{"name": name, "weights": "random:0", "layers": list(BACKBONES[name].layers(name)[:N_LAYERS])} for name in NETWORKS]
    base = FitSpec(dataset="bench", pool="grid:6", n_components=30, split="holdout:0.8:0")
    return Experiment(base=base, vary={"subject": ["ann", "bob"], "backbone": networks, "readout": list(READOUTS)})


def grid_of_ols() -> Experiment:
    """The same subjects, networks and layers with one quick readout, so that the passes take most of the time."""
    return replace(grid(), vary=grid().vary | {"readout": ["ols"]})


def one_network() -> Experiment:
    """One subject and two layers of one network: a single pass, which workers share in shards."""
    networks = [{"name": "torchvision/resnet18", "weights": "random:0", "layers": ["layer3", "layer4"]}]
    return replace(grid(), vary={"subject": ["ann"], "backbone": networks, "readout": ["ols"]})


def against_single_fits(root: Path, n_images: int) -> dict[str, object]:
    """The experiment in this process, and the same fits by ``encoding.fit``, one after another in the same process."""
    experiment, passed, stream = grid(), [], extraction._stream
    extraction._stream = lambda stimuli, *rest: passed.append(len(stimuli)) or stream(stimuli, *rest)
    try:
        with planted(root / "data", n_images) as kind:
            fit(replace(experiment.specs()[0], n_components=5), Store(root / "warm"))
            del passed[:]
            ours, result, our_work = worked(lambda: run_experiment(experiment, Store(root / "experiment"), device="cpu"))
            n_ours, store = sum(passed) // n_images, Store(root / "single")
            theirs, others, their_work = worked(lambda: [fit(spec, store, device="cpu") for spec in experiment.specs()])
            n_theirs = sum(passed) // n_images - n_ours
            n_fits, (hemi,) = result.status.count("done"), result.results[0].plan.hemis
            apart = max(float(np.abs(one.score(hemi) - other.score(hemi)).max()) for one, other in zip(result.results, others, strict=True))
    finally:
        extraction._stream = stream
    return {
        "what": f"experiment, 2 subjects x 2 networks x {N_LAYERS} layers x {len(READOUTS)} readouts, {n_images} images each ({kind})",
        "ours": f"{ours:.1f} s with intervals ({our_work:.1f} s of processor time), {n_ours} passes of stimuli through a network",
        "against": f"{n_fits} fits one after another in one process, without intervals: {theirs:.1f} s "
        f"({their_work:.1f} s), {n_theirs} passes",
        "ratio": f"{theirs / ours:.1f} x faster ({their_work / our_work:.1f} x less processor time); "
        f"r {'the same bit for bit' if apart == 0 else f'within {apart:.0e}'}",
        "aim": "one pass per subject and network (4)",
    }


def two_workers(root: Path, n_images: int, experiment: Experiment) -> dict[str, object]:
    """Passes of images through networks on one worker process and on two, each kept on one core: images are decoded on it, too."""
    seconds, tables = {}, {}
    os.environ["OMP_NUM_THREADS"] = "1"
    with planted(root / f"data-{n_images}-{id(experiment)}", n_images) as kind:
        for n_workers in (1, 2):
            jobs = Jobs(root / f"workers-{n_workers}-{n_images}-{id(experiment)}", n_workers=n_workers)
            try:
                warm(jobs)
                keep_workers_on_one_core_each()
                seconds[n_workers], result = timed(lambda jobs=jobs: run_experiment(experiment, jobs._store, executor=jobs.carry_out))
                tables[n_workers] = table_of(result)
            finally:
                jobs.close()
        specs = experiment.specs()
        n_passes = len({(spec.subject, spec.backbone) for spec in specs})
        bare = bare_speedup(specs[0].backbone)
    same = tables[1].equals(tables[2])
    return {
        "what": f"experiment, two worker processes on one core each, {n_passes} x {n_images:,} images through a network ({kind}), "
        f"{len(specs)} fits with intervals",
        "ours": f"{seconds[2]:.1f} s",
        "against": f"one worker process on one core: {seconds[1]:.1f} s; forward passes alone on two cores: {bare:.2f} x those on one",
        "ratio": f"{seconds[1] / seconds[2]:.2f} x faster; {'same table bit for bit' if same else 'tables differ'}",
        "aim": "1.7 x",
    }


def bare_speedup(network: str) -> float:
    """How many times as many images two processes on one core each pass through a bare network as one does in the same time."""
    context, rates = multiprocessing.get_context("spawn"), {}
    for n in (1, 2):
        barrier, answers = context.Barrier(n), context.SimpleQueue()
        processes = [context.Process(target=_pass_noise, args=(network, core, barrier, answers)) for core in range(n)]
        for process in processes:
            process.start()
        rates[n] = sum(answers.get() for _ in processes)
        for process in processes:
            process.join()
    return rates[2] / rates[1]


def _pass_noise(network: str, core: int, barrier: Barrier, answers: SimpleQueue) -> None:
    """Answer with the number of images a second that pass through a network, once all processes are ready."""
    import torch

    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})
    torch.set_num_threads(1)
    source = BACKBONES[network]
    backbone, batch = source.open(network, "random:0").for_passes("cpu"), torch.randn(16, 3, 224, 224)
    backbone.visit(batch, source.layers(network)[-1:], "none", lambda *_: None)
    barrier.wait()
    began, n_images = time.perf_counter(), 0
    while time.perf_counter() - began < BARE_SECONDS:
        backbone.visit(batch, source.layers(network)[-1:], "none", lambda *_: None)
        n_images += len(batch)
    answers.put(n_images / (time.perf_counter() - began))


def growth(root: Path, n_images: Sequence[int]) -> list[dict[str, object]]:
    """Time and Store of an experiment of one subject and AlexNet: with images at 4 layers, with layers at the fewest images."""
    sizes = [(n, 4) for n in n_images] + [(n_images[0], n_layers) for n_layers in (1, 16)]
    seconds, stored, features = {}, {}, {}
    for n, n_layers in [sizes[0], *sizes]:  # the first once more, before all, so that libraries are imported
        with planted(root / f"{n}-{n_layers}-{len(seconds)}", n, ["ann"]) as kind:
            layers = ALEXNET_16[:: 16 // n_layers]
            networks = [{"name": NETWORKS[0], "weights": "random:0", "layers": layers}]
            experiment = replace(grid(), vary={"subject": ["ann"], "backbone": networks, "readout": ["ols"]})
            experiment, store = (
                replace(experiment, base=replace(experiment.base, n_components=5)),
                Store(root / f"store-{n}-{n_layers}-{len(seconds)}"),
            )
            _, result, seconds[n, n_layers] = worked(lambda e=experiment, s=store: run_experiment(e, s, device="cpu"))
            assert result.status.count("done") == n_layers
            bytes_of = {key: store.size(key) for key in store.keys()}  # noqa: SIM118 - a Store is no dict
            stored[n, n_layers] = sum(bytes_of.values())
            features[n, n_layers] = sum(size for key, size in bytes_of.items() if key.startswith("features-"))
    rows = []
    for name, chosen, unit in (("images", sizes[:3], 0), ("layers", [sizes[3], sizes[0], sizes[4]], 1)):
        more = chosen[-1][unit] / chosen[0][unit]
        at = "4 layers" if unit == 0 else f"{n_images[0]:,} images"
        rows.append(
            {
                "what": f"growth, AlexNet, {at}, {', '.join(f'{size[unit]:,}' for size in chosen)} {name} ({kind})",
                "ours": f"{', '.join(f'{seconds[size]:.1f}' for size in chosen)} s of processor time; "
                f"{', '.join(f'{stored[size] / 1e6:.1f}' for size in chosen)} MB stored",
                "against": f"{more:.0f} x as many {name}, {features[chosen[-1]] / features[chosen[0]]:.1f} x as many features",
                "ratio": f"{seconds[chosen[-1]] / seconds[chosen[0]]:.1f} x the time, "
                f"{stored[chosen[-1]] / stored[chosen[0]]:.1f} x the Store",
                "aim": "linear, or less",
            }
        )
    return rows


def table_of(result: ExperimentResult):
    return result.table().drop(columns="seconds")


def warm(jobs: Jobs) -> None:
    """Start the workers and let each import what it needs."""
    spec = FitSpec(dataset="bench", subject="ann", backbone="pixels", layers=("rgb",), n_components=3, split="holdout:0.8:0")
    for seed in range(2 * max(1, jobs._scheduler._n_workers or 1)):
        run = Run(compile_graph([Cell(replace(spec, split=f"holdout:0.8:{seed}"), {})], jobs._store))
        jobs.carry_out(run, jobs._store)


def keep_workers_on_one_core_each() -> None:
    """Bind every thread of the n-th worker process to the n-th core, and with it the threads that it starts later."""
    import psutil

    family = psutil.Process().children(recursive=True)
    workers = [process for process in family if "multiprocessing.spawn" in " ".join(process.cmdline())]
    for number, process in enumerate(sorted(workers, key=lambda process: process.pid)):
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {sorted(os.sched_getaffinity(0))[number]})


def scheduling(root: Path, n_tasks: int) -> list[dict[str, object]]:
    """Tasks that do nothing, in chains of five: in this process, and on one worker process."""
    run = chains(root, n_tasks)

    def in_process() -> None:
        while (task := run.take()) is not None:
            run.report(task.key, 0.0, "")
            run.done(task.key)

    here, _ = timed(in_process)
    jobs = Jobs(root / "nothing", n_workers=1)
    real, graph_executor.run_task = graph_executor.run_task, nothing
    try:
        warm_up_seconds, _ = timed(lambda: jobs.carry_out(chains(root, 20), jobs._store))
        time.sleep(max(5.0, warm_up_seconds))  # the worker imports its libraries meanwhile
        before = processor_seconds()
        elsewhere, _ = timed(lambda: jobs.carry_out(chains(root, n_tasks), jobs._store))
        work = processor_seconds() - before
    finally:
        graph_executor.run_task = real
        jobs.close()
    what = f"{n_tasks:,} tasks that do nothing, in chains of five"
    against = f"{1e3 * work / n_tasks:.2f} ms of processor time a task, of client, scheduler and worker together"
    aim = {"aim": "at most 5 ms a task; 10,000 in a minute"}
    return [
        {"what": f"{what}: in this process", "ours": f"{here:.1f} s", "against": "", "ratio": f"{1e3 * here / n_tasks:.2f} ms a task"}
        | aim,
        {"what": f"{what}: on one Dask worker", "ours": f"{elsewhere:.1f} s", "against": against}
        | {"ratio": f"{1e3 * elsewhere / n_tasks:.2f} ms a task"}
        | aim,
    ]


def processor_seconds() -> float:
    """Processor time of this process and those that it started."""
    import psutil

    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in family)


def chains(root: Path, n_tasks: int) -> Run:
    """A run of tasks that do nothing: one cell for each five."""
    spec, tasks, tasks_of = FitSpec(), {}, []
    for number in range(n_tasks):
        needs = (f"nothing-{number - 1}",) if number % 5 else ()
        tasks[f"nothing-{number}"] = Task(key=f"nothing-{number}", stage="fit", spec=spec, needs=needs)
        if number % 5 == 4:
            tasks_of.append(tuple(f"nothing-{number - place}" for place in range(4, -1, -1)))
    cells = tuple(PlannedCell(Cell(spec, {}), None, ("", "")) for _ in tasks_of)
    return Run(Graph(cells, tasks, tuple(tasks_of), Plans(Store(root / "nothing"))))


def nothing(task: Task, store: Store, report: Report, device: str) -> None:
    """A task that does nothing."""


def compiling(root: Path, n_cells: int) -> dict[str, object]:
    """Planning and compiling fits that are not stored."""
    experiment = replace(grid(), vary=grid().vary | {"n_components": list(range(2, 2 + max(1, n_cells // 48)))})
    store = Store(root / "compile")
    with planted(root / "data", 240):
        compile_graph(grid().cells(), store)  # opens the subjects, and builds each network once to count the features of its layers
        _, graph, seconds = worked(lambda: compile_graph(experiment.cells(), store))
    return {
        "what": f"planning {len(graph.cells):,} fits of an experiment to {len(graph.tasks):,} tasks",
        "ours": f"{seconds:.1f} s of processor time",
        "against": "",
        "ratio": f"{1e3 * seconds / len(graph.tasks):.2f} ms a task",
        "aim": "at most 5 ms a task",
    }
