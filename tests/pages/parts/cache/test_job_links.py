"""Every kind of job that leaves something to look at is linked to where it is shown."""

from __future__ import annotations

import pytest

from encoding import FitSpec
from encoding.analysis.hyperparameter_search import SearchRequest
from encoding.analysis.layer_sweep import Sweep
from encoding.experiments.experiment import Experiment
from encoding.jobs.tasks import AnalysisRequest, ComposeRequest, CurveRequest, FetchRequest, SimulateRequest, SubmissionRequest
from pages.parts.cache.job_links import job_link
from pages.parts.shared.links import view

OLS = FitSpec(readout="ols")
EXPERIMENT = Experiment(base=FitSpec(), vary={"readout": ("ridge", "ols")})


@pytest.mark.parametrize(
    ("spec", "page", "query"),
    [
        (OLS, "explore", {"readout": "ols"}),
        (SearchRequest(OLS), "explore", {"readout": "ols"}),
        (CurveRequest(OLS), "explore", {"readout": "ols", "part": "Images needed"}),
        (Sweep.read(OLS, ["gabor"]), "layers", {"readout": "ols", "backbones": ["gabor"]}),
        (Sweep.read(OLS, ["gabor"], ["energy"]), "layers", {"readout": "ols", "backbones": ["gabor"], "layers": ["gabor energy"]}),
        (AnalysisRequest("significance", ("fit-1",)), "explore", {"fit": "fit-1"}),
        (AnalysisRequest("across", ("fit-1", "fit-2")), "compare", {"a": "fit-1", "b": ["fit-2"]}),
        (ComposeRequest(EXPERIMENT.to_toml(), (), "roi", "r", "best"), "experiments", {"experiment": EXPERIMENT.key}),
        (SimulateRequest("algonauts2023"), "data", {"dataset": "algonauts2023"}),
        (FetchRequest("nod"), "data", {"dataset": "nod"}),
        (("demo", "subj02"), "data", {"dataset": "demo", "subject": "subj02"}),
        ("algonauts2021", "data", {"dataset": "algonauts2021"}),
        ("torchvision/alexnet", "weights", {}),
        ("fit-00a6f9bf", "explore", {"fit": "fit-00a6f9bf"}),
    ],
)
def test_a_finished_job_is_opened_where_its_result_is_shown(spec, page, query):
    assert job_link(spec) == (page, query) and view(page) is not None


@pytest.mark.parametrize("spec", ["Check every result of the Store", SubmissionRequest(("fit-1",))])
def test_a_job_without_a_page_of_its_own_has_no_link(spec):
    assert job_link(spec) is None
