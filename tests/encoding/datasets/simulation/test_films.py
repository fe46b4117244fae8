"""Simulated films: the planted lag is found again by delays, by their choice and by their weights, from a folder of one's own data too."""

import numpy as np
import pytest
from nilearn.glm.first_level import spm_hrf

from encoding import FitSpec, fit
from encoding.datasets.simulation.films import hrf, simulate_films
from tests.encoding.datasets.layouts.films import write_films

TR = 2.0


@pytest.mark.parametrize("tr", [0.8, 1.49, 2.0])
def test_the_response_function_is_spms(tr):
    expected = spm_hrf(tr, oversampling=50)[::50]
    ours = hrf(tr)
    n = min(len(ours), len(expected))
    assert np.corrcoef(ours[:n], expected[:n])[0, 1] > 0.999 and ours.sum() == pytest.approx(1)
    assert abs(ours.argmax() * tr - 5) <= tr / 2 + 0.05


def test_a_simulation_is_what_it_says():
    films = simulate_films(n_runs=3, n_samples=400, n_vertices=30, slow=6.0, ceiling=0.3, seed=1)
    assert films.features.shape == (1200, 20) and films.responses.shape == (1200, 30) and films.features.std() == pytest.approx(1, abs=0.08)
    own = films.features[films.runs == 0]
    assert np.mean([np.corrcoef(x[:-3], x[3:])[0, 1] for x in own.T]) == pytest.approx(np.exp(-1), abs=0.08)
    r = [np.corrcoef(*pair)[0, 1] ** 2 for pair in zip(films.signal.T, films.responses.T, strict=True)]
    assert np.mean(r) == pytest.approx(0.3, abs=0.05)
    again = simulate_films(n_runs=3, n_samples=400, n_vertices=30, slow=6.0, ceiling=0.3, seed=1)
    assert np.array_equal(again.responses, films.responses)
    lone = simulate_films(n_runs=3, n_samples=400, n_features=1, n_vertices=2, seed=2)
    expected = np.concatenate([np.convolve(lone.features[lone.runs == run, 0], hrf(TR))[:400] for run in range(3)])
    assert abs(np.corrcoef(expected, lone.signal[:, 0])[0, 1]) > 0.9999  # each run by itself


@pytest.fixture
def film(data_dir):
    films = simulate_films(n_runs=4, n_samples=90, n_features=4, n_vertices=8, slow=1.0, ceiling=0.5, seed=4)
    write_films(films, data_dir / "films")
    return films


SPEC = FitSpec(dataset="films", subject="sub01", backbone="given/film", layers=("table",), n_components=0, split="runs", hemi="brain")


def test_the_lag_is_recovered_from_a_folder_by_choice_and_by_weights(film, store):
    sets = "/".join(str(delay) for delay in range(1, 5))
    result = fit(FitSpec(**{**vars(SPEC), "delays": sets, "split": "kfold:2:0"}), store, device="cpu")
    assert result.plan.subject.simulated and result.plan.subject.tr == TR
    best = int(hrf(TR).argmax())
    assert all(abs(result.delays(number)[0] - best) <= 1 for number in range(2))
    fir = fit(FitSpec(**{**vars(SPEC), "delays": ",".join(map(str, range(8))), "split": "kfold:2:0"}), store, device="cpu")
    blocks = fir.model("brain").weights.reshape(8, 4, 8)  # delay, component, vertex
    strength = np.linalg.norm(blocks, axis=(1, 2))
    assert int(strength.argmax()) == best and np.corrcoef(strength, np.abs(hrf(TR)[:8]))[0, 1] > 0.9
    none = fit(FitSpec(**{**vars(SPEC), "delays": "", "split": "kfold:2:0"}), store, device="cpu")
    given = fit(FitSpec(**{**vars(SPEC), "delays": "1,2,3,4", "split": "kfold:2:0"}), store, device="cpu")
    assert given.score("brain").mean() > none.score("brain").mean() + 0.3 and given.score("brain").mean() > 0.8 * np.sqrt(0.5)


def test_a_single_run_is_cut_into_stretches_with_a_gap(film, store, tmp_path):
    one = film.of(np.flatnonzero(film.runs == 0))
    write_films(one, tmp_path / "data" / "single")
    spec = FitSpec(**{**vars(SPEC), "dataset": "single", "delays": "1,2,3,4", "split": "blocks:3:8"})
    result = fit(spec, store, device="cpu")
    assert result.n_test == 90 and result.score("brain").mean() > 0.3
