"""The Natural Object Dataset: rows follow the events, vertices and areas the CIFTI header, photographs are fetched by name."""

import nibabel
import numpy as np
import pytest
from PIL import Image

from encoding import DATASETS, FitSpec, fit
from encoding.datasets import BadData, data_dir
from encoding.datasets.catalogue.converters.nod import read_events
from encoding.datasets.catalogue.fetch import DOWNLOADS, NotFetched, fetch_dataset
from tests.encoding.datasets.layouts.nod import N_REPEATED, SIGNAL, write_nod


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_nod(tmp_path_factory.mktemp("nod"))


@pytest.fixture
def site(hosting, folder):
    with hosting("nod", folder) as server:
        yield server, folder


def test_a_fetch_that_loses_the_photographs_goes_on_and_ends_in_a_fit(site, store):
    server, folder = site
    photographs = {path: server.files.pop(path) for path in list(server.files) if path.endswith(".JPEG")}
    with pytest.raises(NotFetched, match=r"\.JPEG of Natural Object .*404"):
        fetch_dataset("nod")
    n_asked = len(server.asked)
    assert "nod" not in DATASETS
    server.files |= photographs
    fetch_dataset("nod")
    assert all(path in photographs for path, _ in server.asked[n_asked:])
    subject = DATASETS["nod"].open("sub-01", store)
    row = 0
    for run in range(1, 11):
        betas = nibabel.load(folder / f"sub-01_imagenet01_run-{run}_beta.dscalar.nii").get_fdata()
        z = (betas - betas.mean(0)) / betas.std(0)
        names = read_events(folder / f"sub-01_imagenet01_run-{run:02d}_events.tsv")
        for block, columns in (("lh", z[:, :6]), ("rh", z[:, 6:])):
            assert np.allclose(subject.responses[block][row : row + len(names)], columns, atol=1e-4)
        assert np.array_equal(np.asarray(subject.stimuli[row]), np.asarray(Image.open(folder / "more" / names[0]).convert("RGB")))
        row += len(names)
    assert row == subject.n_stimuli and sorted(subject.sampled) == ["lh", "rh"]
    areas = {roi: list(columns) for roi, columns in subject.rois["rh"].items() if len(columns)}
    localisers = {"floc-faces": [0], "floc-bodies": [1], "floc-places": [2], "floc-words": [3]}
    assert areas == {"V1": [0, 1, 2], "V2": [3, 4, 5]} | localisers
    spec = FitSpec(dataset="nod", subject="sub-01", backbone="pixels", layers=("rgb",), n_components=3, split="holdout:0.75:5")
    result = fit(spec, store)
    assert result.score("lh")[:3].min() > 0.8
    assert not (data_dir() / DOWNLOADS / "nod").exists()


def test_betas_of_another_number_than_the_events_are_refused(site):
    server, _ = site
    path = next(path for path in server.files if path.endswith("run-03_events.tsv"))
    server.files[path] = b"\n".join(server.files[path].splitlines()[:-1]) + b"\n"
    with pytest.raises(BadData, match=r"run-3_beta.dscalar.nii has betas of shape \(4, 6\), where the events name 3 photographs"):
        fetch_dataset("nod")


def test_events_that_name_a_path_elsewhere_fetch_nothing(site):
    server, _ = site
    path = next(path for path in server.files if path.endswith("run-01_events.tsv"))
    server.files[path] = server.files[path].replace(b"imagenet/n00000001/", b"../../../")
    with pytest.raises(BadData, match="is no name of a file"):
        fetch_dataset("nod")
    assert not any(path.endswith(".JPEG") for path, _ in server.asked)


def test_a_session_that_is_asked_for_later_is_not_passed_over_in_silence(site):
    fetch_dataset("nod")
    with pytest.raises(BadData, match=r"was made without imagenet02\. Remove that folder"):
        fetch_dataset("nod", parts=("imagenet01", "imagenet02"))


def test_ceilings_of_single_trials_come_from_the_repeats(site, store):
    fetch_dataset("nod")
    ceilings = np.stack([DATASETS["nod"].open("sub-01", store).ceiling[block] for block in ("lh", "rh")])
    truth = SIGNAL / (1 + SIGNAL)
    # 1 - 1 / F of ten repeats has the standard error of F's, and single trials follow by d c1 / d c10 = 10 / (10 - 9 c10)^2
    mean = 10 * truth / (1 + 9 * truth)
    error = 10 / (10 - 9 * mean) ** 2 * (1 - mean) * np.sqrt(2 / (N_REPEATED * 0.9))
    assert abs(ceilings[:, :3].mean() - truth) < 3 * error / np.sqrt(6) and ceilings[:, 3:].max() < 0.1


def test_without_the_further_parts_there_are_neither_ceilings_nor_localisers(site, store):
    server, _ = site
    fetch_dataset("nod", parts=("imagenet01",))
    subject = DATASETS["nod"].open("sub-01", store)
    assert subject.ceiling is None and not any(roi.startswith("floc") for roi in subject.rois["lh"])
    assert not any("coco" in path or "floc" in path for path, _ in server.asked)


def test_a_localiser_on_other_vertices_is_refused(site, tmp_path):
    server, _ = site
    write_nod(tmp_path, n_columns=7)
    server.files[next(path for path in server.files if path.endswith("floc-words.dlabel.nii"))] = (
        tmp_path / "sub-01_floc-words.dlabel.nii"
    ).read_bytes()
    with pytest.raises(BadData, match=r"floc-words\.dlabel\.nii has 7 labels"):
        fetch_dataset("nod")
