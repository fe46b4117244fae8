"""Where commands compute: in this process, on worker processes of this machine, or on the cluster of ``ENCODING_SCHEDULER``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from encoding.analysis.hyperparameter_search import Search, SearchRequest, search
from encoding.experiments.graph import fit_graph
from encoding.experiments.progress import Run
from encoding.experiments.run import Executor, run_serially
from encoding.fits.plan import plan
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.pipeline import fit
from encoding.runtime.progress import Report
from encoding.storage.store import Store

if TYPE_CHECKING:
    from encoding.jobs import Jobs


WAIT_SECONDS = 0.5  # between two looks at a search on a cluster


class WorkFailed(RuntimeError):
    """Work on a cluster failed; the message is that of the worker's exception."""


def scheduler_address() -> str:
    """Address of the cluster that commands use; empty where they compute on this machine."""
    return os.environ.get("ENCODING_SCHEDULER", "")


@contextmanager
def cluster_jobs(store: Store, n_workers: int | None = None) -> Iterator[Jobs]:
    """Jobs on the cluster of ``ENCODING_SCHEDULER``, else on worker processes that end with the block."""
    from encoding.jobs import Jobs

    jobs = Jobs(store.root, n_workers=n_workers)
    try:
        yield jobs
    finally:
        jobs.close()


@contextmanager
def carrying_out(store: Store, n_workers: int | None = None) -> Iterator[Executor]:
    """The executor of an experiment: on a cluster or ``n_workers`` processes where either is wanted, else in this process."""
    if not scheduler_address() and n_workers is None:
        yield run_serially
        return
    with cluster_jobs(store, n_workers) as jobs:
        yield jobs.carry_out


def fit_anywhere(spec: FitSpec, store: Store, report: Report, device: str) -> Result:
    """Fit a spec as :func:`encoding.fit`, on the cluster where ``ENCODING_SCHEDULER`` names one.

    Raises
    ------
    WorkFailed
        Where a stage failed on a worker. Else as :func:`encoding.fit`.
    """
    if not scheduler_address():
        return fit(spec, store, report, device)
    with fit_graph([spec], store, report) as graph, cluster_jobs(store) as jobs:
        run = Run(graph)
        jobs.carry_out(run, store)
    for _, kind, message in run.errors():
        raise WorkFailed(f"{kind}: {message}")
    return Result(graph.cells[0].plan, store, cached=not graph.tasks, seconds=run.status().seconds)


def search_anywhere(request: SearchRequest, store: Store, report: Report, device: str) -> Search:
    """Search the parameters of a readout, on the cluster where ``ENCODING_SCHEDULER`` names one.

    Raises
    ------
    WorkFailed
        Where the search failed on a worker. Else as :func:`encoding.analysis.hyperparameter_search.search`.
    """
    how = {"n_trials": request.n_trials, "vary": request.vary, "seed": request.seed}
    if scheduler_address():
        from encoding.jobs.tasks import tune

        planned = plan(request.spec, store, report)
        with cluster_jobs(store) as jobs:
            job = jobs.submit(tune, request, key=request.job_key, planned=planned)
            try:
                while not job.finished:
                    job = jobs.wait(job.key, timeout=WAIT_SECONDS)
                    report(job.fraction, job.text)
            finally:
                jobs.cancel(job.key)
        if job.state != "done":
            raise WorkFailed(f"{job.error_kind}: {job.error}" if job.error else "The search was cancelled by somebody else.")
    return search(request.spec, store, report=report, device=device, **how)
