"""Feature spaces of the simulated subject's pictures, as the pipeline makes and keeps them."""

from __future__ import annotations

import numpy as np

from encoding.features.extraction import load
from encoding.fits.plan import Plan, plan
from encoding.fits.spec import FitSpec
from encoding.pipeline import extract_features, reduce_features
from encoding.runtime.progress import silent
from encoding.storage.store import Store


def make_ready(spec: FitSpec, store: Store) -> None:
    """What the first visit of a lesson would wait for: torch and SciPy's statistics, which load slowly, and a fit's components."""
    import scipy.stats  # noqa: F401
    import torch  # noqa: F401

    components(plan(spec, store), store)


def components(planned: Plan, store: Store) -> np.ndarray:
    """(n_stimuli, p) float32, the components of a fit's first fold: from the Store, or made and put there."""
    extract_features(planned, store, silent, "cpu")
    return reduce_features(planned, planned.folds[0], store, silent, "cpu")


def features(planned: Plan, store: Store) -> np.ndarray:
    """(n_stimuli, n_features) float32, the features of a fit's first layer, memory-mapped; made where the Store lacks them."""
    extract_features(planned, store, silent, "cpu")
    return load(planned.feature_keys[planned.spec.layers[0]], store)
