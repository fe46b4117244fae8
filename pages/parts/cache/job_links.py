"""Where the result of a finished job is shown."""

from __future__ import annotations

from typing import Any

from encoding import BACKBONES, DATASETS, FitSpec
from encoding.analysis.layer_sweep import Sweep
from encoding.experiments.experiment import Experiment
from encoding.jobs.tasks import AnalysisRequest, ComposeRequest, CurveRequest, FetchRequest, SimulateRequest
from encoding.prediction.occlusion import OcclusionRequest
from encoding.storage.keys import stage_of
from pages.parts.shared.links import explore_query, layers_query


def job_link(spec: Any) -> tuple[str, dict[str, Any]] | None:
    """Find the page, by its address, and the query parameters that show what a job was for; None where no page does.

    >>> job_link(FitSpec(readout="ols"))
    ('explore', {'readout': 'ols'})
    """
    match spec:
        case FitSpec():
            return "explore", explore_query(spec)
        case CurveRequest():
            return "explore", explore_query(spec.spec) | {"part": "Images needed"}
        case Sweep():
            return "layers", layers_query(spec)
        case AnalysisRequest(keys=(first, *others)):
            return ("compare", {"a": first, "b": others}) if others else ("explore", {"fit": first})
        case OcclusionRequest():
            return "predict", {"fit": spec.fit}
        case ComposeRequest():
            return "experiments", {"experiment": Experiment.from_toml(spec.toml).key}
        case FetchRequest(name=name) | SimulateRequest(layout=name):
            return "data", {"dataset": name}
        case (str(dataset), str(subject)):
            return "data", {"dataset": dataset, "subject": subject}
        case str() if spec in DATASETS:
            return "data", {"dataset": spec}
        case str() if spec in BACKBONES:
            return "weights", {}
        case str() if stage_of(spec) == "fit":
            return "explore", {"fit": spec}
    return ("explore", explore_query(spec.spec)) if isinstance(getattr(spec, "spec", None), FitSpec) else None
