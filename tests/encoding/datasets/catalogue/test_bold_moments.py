"""BOLD Moments: means over repeats, ceilings of the test clips, clips of the user; its pickles are read and not run."""

import os
import pickle

import numpy as np
import pytest

from encoding import DATASETS, FitSpec, fit
from encoding.datasets import BadData
from encoding.datasets.catalogue.fetch import NotConfirmed, fetch_dataset
from encoding.evaluation.noise_ceiling import from_repeats
from encoding.runtime.progress import Cancelled
from tests.encoding.datasets.layouts.bold_moments import write_bold_moments

V1V = "/openneuro.org/ds005165/derivatives/versionB/MNI152/prepared_allvoxel_pkl/sub-01/sub-01_roi-lV1v_betas_normalized.pkl"


@pytest.fixture
def site(hosting, tmp_path):
    (tmp_path / "site").mkdir()
    folder = write_bold_moments(tmp_path / "site", tmp_path / "clips")
    with hosting("bold_moments", folder) as server:
        yield server, folder, tmp_path / "clips"


def stop(fraction, text):
    if fraction > 0.3:
        raise Cancelled


def test_means_ceilings_and_clips_are_those_of_the_files_and_end_in_a_fit(site, store):
    server, folder, clips = site
    with pytest.raises(Cancelled):
        fetch_dataset("bold_moments", stimuli=clips, report=stop)
    n_asked = len(server.asked)
    fetch_dataset("bold_moments", stimuli=clips)
    assert len({path for path, _ in server.asked}) == 46 and n_asked + 46 > len(server.asked), "what was there is not fetched again"
    data, subject = DATASETS["bold_moments"], DATASETS["bold_moments"].open("sub-01", store)
    assert data.clips and data.split == "first:14" and subject.stimuli.names[14].startswith("0015")
    for block, side, roi in (("lh", "l", "V1v"), ("rh", "r", "IPS1-2-3")):
        arrays = pickle.loads((folder / f"sub-01_roi-{side}{roi}_betas_normalized.pkl").read_bytes())
        columns = subject.rois[block][roi]
        means = np.concatenate([values.mean(1) for values in arrays.values()])
        assert np.allclose(subject.responses[block][:, columns], means, atol=1e-6)
        assert np.allclose(subject.ceiling[block][columns], from_repeats(arrays["test_data_allvoxel"]))
    assert len(subject.rois["rh"]["MT"]) == 0
    spec = FitSpec(dataset="bold_moments", subject="sub-01", backbone="pixels", layers=("rgb",), n_components=2, split="first:14", frames=2)
    result = fit(spec, store)
    assert result.score("lh")[::2].min() > 0.8


def test_a_pickle_that_would_run_something_is_refused(site, tmp_path):
    server, _, clips = site

    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was_run"),)

    server.files[V1V] = pickle.dumps({"train_data_allvoxel": Attack()})
    with pytest.raises(BadData, match="nothing in it was run"):
        fetch_dataset("bold_moments", stimuli=clips)
    assert not (tmp_path / "was_run").exists()


def test_clips_that_are_not_there_are_asked_for_before_anything_is_fetched(site, tmp_path):
    server, _, clips = site
    for stimuli in (None, tmp_path / "nowhere"):
        with pytest.raises(NotConfirmed, match="Give the folder that holds them"):
            fetch_dataset("bold_moments", stimuli=stimuli)
    assert server.asked == []
    next(clips.iterdir()).unlink()
    with pytest.raises(BadData, match=r"holds 19 clips, and there are responses to 14 \+ 6"):
        fetch_dataset("bold_moments", stimuli=clips)


def test_a_second_subject_joins_the_first_in_one_data_set(site, store):
    server, folder, clips = site
    fetch_dataset("bold_moments", stimuli=clips)
    n_asked = len(server.asked)
    write_bold_moments(folder, clips, subject="sub-02", seed=1)
    address = V1V.rpartition("/")[0].removesuffix("/sub-01")
    server.files |= {f"{address}/sub-02/{path.name}": path.read_bytes() for path in folder.glob("sub-02*")}
    fetch_dataset("bold_moments", subjects=("sub-01", "sub-02"), stimuli=clips)
    assert len(server.asked) == n_asked + 46 and all("sub-02" in path for path, _ in server.asked[n_asked:])
    first, second = (DATASETS["bold_moments"].open(name, store).responses["lh"] for name in DATASETS["bold_moments"].subjects())
    assert first.shape == second.shape == (20, 46) and not np.allclose(first, second)
