"""What a background job can be asked to do. Each task takes a spec and leaves its results in the Store."""

from __future__ import annotations

from encoding.analysis.bootstrap import roi_intervals
from encoding.analysis.hyperparameter_search import SearchRequest, search
from encoding.analysis.layer_sweep import Sweep, run
from encoding.analysis.learning_curve import has_curve, learning_curve
from encoding.backbones._catalogue import fetch
from encoding.datasets import DATASETS, data_dir
from encoding.datasets.doctor.cached import checkup
from encoding.fits.spec import FitSpec
from encoding.pipeline import fit
from encoding.prediction.occlusion import OcclusionRequest, compute
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.store import Store


def study(spec: FitSpec, store: Store, report: Report = silent, device: str = "auto") -> None:
    """A fit with all that the Explore page shows of it: its scores, their intervals, its learning curve."""
    result = fit(spec, store, subprogress(report, 0, 0.7), device)
    roi_intervals(result, subprogress(report, 0.7, 0.8))
    if has_curve(spec):
        learning_curve(spec, store, subprogress(report, 0.8, 1.0), device)
    report(1.0, "done")


def tune(asked: SearchRequest, store: Store, report: Report = silent, device: str = "auto") -> None:
    """A search over the parameters of a readout."""
    search(asked.spec, store, n_trials=asked.n_trials, vary=asked.vary, seed=asked.seed, report=report, device=device)


def fetch_weights(network: str, store: Store, report: Report = silent, device: str = "auto") -> None:
    """The pretrained weights of a network, downloaded into their own place; the Store is not used."""
    fetch(network, report)


def sweep_layers(sweep: Sweep, store: Store, report: Report = silent, device: str = "auto") -> None:
    """A sweep over layers: each one's fit and the intervals of its ROIs."""
    run(sweep, store, report, device)


def open_subject(named: tuple[str, str], store: Store, report: Report = silent, device: str = "auto") -> None:
    """The first opening of a subject, by the names of its data set and its own: it is simulated, or every file is read once."""
    dataset, subject = named
    DATASETS[dataset].open(subject, store, report)


def examine(dataset: str, store: Store, report: Report = silent, device: str = "auto") -> None:
    """The doctor's findings about the folder of a data set."""
    checkup(data_dir() / dataset, store, report)


def occlude_picture(asked: OcclusionRequest, store: Store, report: Report = silent, device: str = "auto") -> None:
    """What in a picture drives a region; the picture itself is not kept."""
    compute(asked, store, report, device)
