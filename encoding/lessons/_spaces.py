"""Feature spaces of the simulated subject's images, computed and cached as in the pipeline."""

from __future__ import annotations

import numpy as np

from encoding.features.extraction import load
from encoding.fits.plan import Plan, plan
from encoding.fits.spec import FitSpec
from encoding.pipeline import extract_features, reduce_features
from encoding.runtime.progress import silent
from encoding.storage.store import Store


def make_ready(spec: FitSpec, store: Store) -> None:
    """Do the slow work of a lesson's first visit beforehand: import torch and scipy.stats, compute a fit's components."""
    import scipy.stats  # noqa: F401
    import torch  # noqa: F401

    components(plan(spec, store), store)


def components(plan: Plan, store: Store) -> np.ndarray:
    """Components of a fit's first fold, (n_stimuli, p) float32; read from the Store, or computed and stored."""
    extract_features(plan, store, silent, "cpu")
    return reduce_features(plan, plan.folds[0], store, silent, "cpu")


def features(plan: Plan, store: Store) -> np.ndarray:
    """Features of a fit's first layer, (n_stimuli, n_features) float32, memory-mapped; computed where the Store lacks them."""
    extract_features(plan, store, silent, "cpu")
    return load(plan.feature_keys[plan.spec.layers[0]], store)
