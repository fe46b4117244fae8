"""Tasks of background jobs: each takes a spec and writes its results to the Store."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from encoding.analysis.bootstrap import roi_intervals
from encoding.analysis.group import across_subjects
from encoding.analysis.hyperparameter_search import SearchRequest, search
from encoding.analysis.layer_sweep import Sweep
from encoding.analysis.learning_curve import learning_curve
from encoding.analysis.significance import significance
from encoding.analysis.similarity import similarity
from encoding.analysis.spectrum import spectrum
from encoding.analysis.subject_similarity import subject_similarity
from encoding.analysis.variance_partition import partition
from encoding.backbones._catalogue import fetch
from encoding.datasets import DATASETS, data_dir
from encoding.datasets.catalogue.fetch import fetch_dataset
from encoding.datasets.doctor.cached import checkup
from encoding.datasets.writers.simulated import simulate_layout
from encoding.evaluation.splits import ALL
from encoding.experiments.composition import compose
from encoding.experiments.experiment import Experiment
from encoding.experiments.graph import plan_cells
from encoding.experiments.selection import select
from encoding.experiments.stages import OtherInputs, other_inputs
from encoding.experiments.sweep import run_sweep
from encoding.experiments.task import inputs_of
from encoding.fits.composition import ComposedPlan
from encoding.fits.open import open_fit
from encoding.fits.plan import Plan, plan
from encoding.fits.score_tables import EVERY_VERTEX
from encoding.fits.spec import FitSpec
from encoding.pipeline import FIT_STAGES, fit
from encoding.prediction.occlusion import OcclusionRequest, compute
from encoding.prediction.submissions import submit
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.keys import digest
from encoding.storage.store import Store

STUDY_STAGES = (*FIT_STAGES, "intervals")  # of :func:`study`, as its progress reports name them


def study(spec: FitSpec, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Run a fit and compute the intervals of its scores."""
    result = fit(spec, store, subprogress(report, 0, 0.85), device)
    roi_intervals(result, subprogress(report, 0.85, 1.0, stage="intervals"))
    report(1.0, "done")


@dataclass(frozen=True)
class CurveRequest:
    """The learning curve of a finished fit; apart from the fit, as it may take many times as long.

    Attributes
    ----------
    spec : of the fit.
    """

    spec: FitSpec

    @property
    def job_key(self) -> str:
        """Key of the job."""
        return digest("grow", 1, spec=self.spec.for_digest())


def grow(request: CurveRequest, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Compute the learning curve of a fit."""
    learning_curve(request.spec, store, report, device)


def tune(request: SearchRequest, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Search the parameters of a readout."""
    search(request.spec, store, n_trials=request.n_trials, vary=request.vary, seed=request.seed, report=report, device=device)


@dataclass(frozen=True)
class AsPlanned:
    """A task that is done only where data and weights are those of whoever submitted it.

    Attributes
    ----------
    task : function such as :func:`study`.
    fits : specs of the fits that the task is about, each with names and fingerprints of what it reads where it was planned
        (:func:`encoding.experiments.task.inputs_of`); of fits that read the same, one.
    """

    task: Callable[..., object]
    fits: tuple[tuple[FitSpec, tuple[tuple[str, str], ...]], ...]

    @classmethod
    def of(cls, task: Callable[..., object], plans: Plan | Iterable[Plan]) -> AsPlanned:
        """A task about planned fits; a composed one is checked through its members."""
        plans = [plans] if isinstance(plans, Plan) else plans
        members = [each for planned in plans for each in (planned.member_plans if isinstance(planned, ComposedPlan) else (planned,))]
        different = {inputs_of(each): each.spec for each in members}
        return cls(task, tuple((spec, inputs) for inputs, spec in different.items()))

    def __call__(self, spec: object, store: Store, report: Report = silent, device: str = "auto") -> None:
        """Do the task; OtherInputs names the data or weights that this machine has otherwise."""
        for fit_spec, inputs in self.fits:
            if text := other_inputs(inputs, plan(fit_spec, store)):
                raise OtherInputs(text)
        self.task(spec, store, report, device)


@dataclass(frozen=True)
class ComposeRequest:
    """Fits to be composed of the finished ones of an experiment (:func:`encoding.experiments.composition.compose`).

    Attributes
    ----------
    toml : the experiment, with its validation fits.
    over, per, by : of the choice (:func:`encoding.experiments.selection.select`).
    method : how the chosen ones are composed.
    refit : whether the chosen ones are fitted again on every stimulus, for a submission.
    """

    toml: str
    over: tuple[str, ...]
    per: str
    by: str
    method: str
    refit: bool = False

    @property
    def job_key(self) -> str:
        """Key of the job."""
        return digest("compose", 1, **asdict(self))

    @property
    def command(self) -> str:
        """The shell command that composes the same, from the key of the experiment, which it names."""
        words = ["experiment", "compose", Experiment.from_toml(self.toml).key, "--method", self.method, "--per", self.per, "--by", self.by]
        words += ["--over", *self.over] if self.over else []
        return f"python -m encoding {shlex.join([*words, *(('--split', ALL) if self.refit else ())])}"

    def __str__(self) -> str:
        return f"Compose: {self.method} per {self.per} by {self.by}{', trained on every stimulus' if self.refit else ''}"


def compose_fits(request: ComposeRequest, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Choose among an experiment's fits and compose the chosen ones to one fit a subject."""
    cells = plan_cells(Experiment.from_toml(request.toml).cells(), store, subprogress(report, 0, 0.1))
    selection = select(cells, store, over=request.over, per=request.per, by=request.by, report=subprogress(report, 0.1, 0.5))
    how = {"method": request.method, "refit": request.refit, "command": request.command}
    for result in compose(selection, **how, report=subprogress(report, 0.5, 0.8), device=device):
        roi_intervals(result, subprogress(report, 0.8, 1))


@dataclass(frozen=True)
class SubmissionRequest:
    """Finished fits, one a subject, with which to write the files of a challenge.

    Attributes
    ----------
    keys : of the fits.
    """

    keys: tuple[str, ...]

    @property
    def job_key(self) -> str:
        """Key of the job, and name of the folder of its files."""
        return digest("submission", 1, keys=sorted(self.keys))

    def folder(self, store: Store) -> Path:
        """Where the files are, once they are written; ``spec.json`` is among them."""
        return store.root / "submissions" / self.job_key

    def __str__(self) -> str:
        return f"Submission of {len(self.keys)} fit{'s' if len(self.keys) > 1 else ''}"


def write_submission(request: SubmissionRequest, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Predict the challenge's test set with some fits and write its files (:func:`encoding.prediction.submissions.submit`)."""
    results = [open_fit(key, store) for key in request.keys]
    submit(results, request.folder(store), report=report, device=device)


def compute_intervals(key: str, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Compute the intervals of a finished fit, also of a composed one."""
    roi_intervals(open_fit(key, store), report)


@dataclass(frozen=True)
class AnalysisRequest:
    """Statistics of finished fits beyond their scores.

    Attributes
    ----------
    kind : a key of :data:`ANALYSES`. keys : of the fits; one, but for ``across`` and ``subject_similarity``.
    roi : region of a ``spectrum``.
    """

    kind: str
    keys: tuple[str, ...]
    roi: str = EVERY_VERTEX

    @property
    def job_key(self) -> str:
        """Key of the job."""
        return digest("analysis", 1, **asdict(self))

    def __str__(self) -> str:
        return f"{ANALYSES[self.kind]}: {', '.join(self.keys)}"


ANALYSES = {
    "significance": "Permutation test",
    "partition": "Variance partitioning",
    "similarity": "RSA and CKA",
    "spectrum": "Spectrum",
    "across": "Models across subjects",
    "subject_similarity": "RSA over subjects",
}
"""Kinds of :class:`AnalysisRequest` and their titles."""


def analyse(request: AnalysisRequest, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Compute statistics of finished fits; they are kept in the Store."""
    results = [open_fit(key, store) for key in request.keys]
    match request.kind:
        case "significance":
            significance(results[0], report)
        case "partition":
            partition(results[0], report, device)
        case "similarity":
            similarity(results[0], report, device)
        case "spectrum":
            spectrum(results[0], request.roi, report, device)
        case "across":
            across_subjects(results, report, device)
        case "subject_similarity":
            subject_similarity(results, report, device)


def fetch_weights(network: str, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Download the pretrained weights of a network; the Store is not used."""
    fetch(network, report)


@dataclass(frozen=True)
class FetchRequest:
    """An open data set to fetch, whose terms the user has confirmed where it has any.

    Attributes
    ----------
    name, subjects, parts, stimuli : of :func:`encoding.datasets.catalogue.fetch.fetch_dataset`; ``stimuli`` may be empty.
    """

    name: str
    subjects: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    stimuli: str = ""
    confirmed: bool = False

    def __str__(self) -> str:
        return f"Fetch {self.name} {', '.join(self.subjects)}".strip()


def fetch_data(request: FetchRequest, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Download an open data set and convert it; the Store is not used."""
    stimuli = Path(request.stimuli).expanduser() if request.stimuli else None
    fetch_dataset(request.name, subjects=request.subjects, parts=request.parts, stimuli=stimuli, confirmed=request.confirmed, report=report)


@dataclass(frozen=True)
class SimulateRequest:
    """A data set to simulate in its public layout, in the folder where it is looked for.

    Attributes
    ----------
    layout : one of :data:`encoding.datasets.writers.simulated.LAYOUTS`.
    """

    layout: str

    def __str__(self) -> str:
        return f"Simulate {self.layout}"


def simulate_data(request: SimulateRequest, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Write a simulated data set."""
    simulate_layout(request.layout, data_dir() / request.layout, store, report)
    report(1.0, "done")


def sweep_layers(sweep: Sweep, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Fit the layers of a sweep with the intervals of their ROIs."""
    run_sweep(sweep, store, report, device)


def open_subject(named: tuple[str, str], store: Store, report: Report = silent, device: str = "auto") -> None:
    """Open a subject for the first time, given (data set, subject): simulate it, or read and check every file."""
    dataset, subject = named
    DATASETS[dataset].open(subject, store, report)


def examine(dataset: str, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Validate the folder of a data set and store the findings."""
    checkup(data_dir() / dataset, store, report)


def occlude_image(request: OcclusionRequest, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Compute the occlusion map of an image for a region; the image itself is not stored."""
    compute(request, store, report, device)
