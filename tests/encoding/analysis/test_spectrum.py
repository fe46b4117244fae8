"""Spectra of responses and features: against the covariances of the data themselves."""

import numpy as np
import pytest

from encoding import fit
from encoding.analysis.spectrum import spectrum
from tests.encoding.analysis.repeated_stimuli import IDS, SPEC, features_of


def test_the_spectrum_leaves_noise_out_and_goes_with_the_features(repeated):
    dataset, store = repeated
    result = fit(SPEC, store, device="cpu")
    found = spectrum(result, "driven", device="cpu")
    assert found.n_stimuli == 40 and found.n_vertices == 10
    Y = np.concatenate([dataset.subject.responses[hemi][:, :5] for hemi in ("lh", "rh")], axis=1)
    rows = np.stack([np.flatnonzero(stimulus == IDS) for stimulus in IDS[np.sort(np.unique(IDS, return_index=True)[1])]])
    between = np.mean(  # covariance of two presentations, summed over vertices: the variance without noise
        [((Y[a] - Y[a].mean(0)) * (Y[b] - Y[b].mean(0))).sum() / 40 for a, b in [(rows[:, 0], rows[:, 1])]]
    )
    assert found.responses.sum() == pytest.approx(between, rel=0.02)
    X = features_of(dataset, "pixels")[rows[:, 0]]
    np.testing.assert_allclose(found.features["pixels"], np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1][:39], atol=1e-5)
    table = found.table()
    assert table["responses"].sum() == pytest.approx(1) and table["rank"].tolist() == list(range(1, 40))
    noise = spectrum(result, "noise", device="cpu")
    assert abs(noise.responses.sum()) < 0.3 * sum(dataset.subject.responses["lh"][:, 5:].var(0)) * 2
