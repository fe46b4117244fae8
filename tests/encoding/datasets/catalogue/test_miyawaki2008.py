"""Miyawaki 2008: the numbers are those of nilearn's own steps; patterns stand as they were shown; runs are never split."""

import numpy as np
import pytest

from encoding import DATASETS, FitSpec, fit
from encoding.datasets import BadData, data_dir
from encoding.datasets.catalogue.converters import miyawaki2008
from encoding.datasets.catalogue.fetch import DOWNLOADS, fetch_dataset
from encoding.runtime.progress import Cancelled
from encoding.storage.archives import unpack
from tests.encoding.datasets.layouts.miyawaki2008 import write_miyawaki2008


def stop(fraction, text):
    if fraction > 0.1:
        raise Cancelled


def test_responses_are_nilearns_and_a_fit_finds_each_voxels_patch(hosting, tmp_path, store):
    nilearn = pytest.importorskip("nilearn.maskers")
    path = write_miyawaki2008(tmp_path)
    with hosting("miyawaki2008", tmp_path):
        with pytest.raises(Cancelled):
            fetch_dataset("miyawaki2008", confirmed=True, report=stop)
        fetch_dataset("miyawaki2008", confirmed=True)
    subject = DATASETS["miyawaki2008"].open("S1", store)
    unpack(path, tmp_path / "site")
    masker = nilearn.NiftiMasker(tmp_path / "site" / "mask" / "mask.nii.gz", detrend=True, standardize="zscore_sample")
    masker.fit()
    start = 0
    for run in range(1, 4):
        series = masker.transform(tmp_path / "site" / "func" / f"data_random_run{run:02d}.nii.gz")
        shown = np.loadtxt(tmp_path / "site" / "label" / f"data_random_run{run:02d}_label.csv", delimiter=",", dtype=int)
        kept = shown[:-2, 0] != -1
        ours = subject.responses["brain"][start : start + kept.sum()]
        scale = np.std(series, axis=0, ddof=0)  # nilearn divides by the sample's standard deviation, with n - 1
        assert np.allclose(ours, series[2:][kept] / scale, atol=1e-4)
        first = subject.stimuli[start]
        assert np.array_equal(np.asarray(first)[4::8, 4::8, 0] > 0, shown[:-2][kept][0].reshape(10, 10, order="F") > 0)
        start += int(kept.sum())
    assert DATASETS["miyawaki2008"].split == "first:20" and len(set(subject.groups[: 20 * 7])) == 20
    assert len(set(subject.groups[20 * 7 :])) == 1, "figures are shown in every run"
    spec = FitSpec(dataset="miyawaki2008", subject="S1", backbone="pixels", layers=("rgb",), n_components=20, split="first:20")
    result = fit(spec, store)
    assert sorted(result.plan.folds[0].test) == list(range(20 * 7, subject.n_stimuli))
    assert set(result.rois()["roi"]) == {"all", *miyawaki2008.AREAS} and result.score("brain").mean() > 0.2
    assert sorted(each.name for each in (data_dir() / "miyawaki2008" / "S1").iterdir() if each.is_dir()) == ["images"]


def test_an_archive_without_a_run_is_named(hosting, tmp_path, monkeypatch):
    write_miyawaki2008(tmp_path)
    monkeypatch.setitem(miyawaki2008.RUNS, "random", 21)
    with hosting("miyawaki2008", tmp_path), pytest.raises(BadData, match=r"holds no label/data_random_run21_label.csv"):
        fetch_dataset("miyawaki2008", confirmed=True)
    assert (data_dir() / DOWNLOADS / "miyawaki2008" / "miyawaki2008.tgz").is_file()
