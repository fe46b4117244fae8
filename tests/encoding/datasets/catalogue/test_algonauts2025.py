"""Algonauts 2025: segments are runs, films seen twice are groups with a ceiling, parcels lie on the cortex, delays are fitted."""

import os
from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import pytest

from encoding import DATASETS, FitSpec, fit
from encoding.datasets import BadData
from encoding.datasets.catalogue import find_entry
from encoding.datasets.catalogue.converters.algonauts2025 import read_segments
from encoding.datasets.catalogue.fetch import fetch_dataset
from encoding.datasets.doctor import diagnose
from encoding.prediction.inputs import CannotPredict
from encoding.prediction.segments import read_numbers_of_samples, submit_segments
from tests.encoding.datasets.layouts.algonauts2025 import write_algonauts2025, write_sample_numbers
from tests.encoding.features.test_delays import by_run

WORDS = FitSpec(dataset="algonauts2025", subject="sub-01", backbone="given/film", layers=("table",), n_components=0)
SPEC = replace(WORDS, delays="2,3,4,5", split="named:film")


@pytest.fixture
def fetched(hosting, tmp_path, monkeypatch):
    """The first subject, fetched from this machine, and the features of its films as a table."""
    monkeypatch.setattr("encoding.storage.fingerprints.SETTLED_SECONDS", 0)
    (tmp_path / "site").mkdir()
    features = write_algonauts2025(tmp_path / "site")
    with hosting("algonauts2025", tmp_path / "site") as server:
        made = fetch_dataset("algonauts2025")
    assert len(server.asked) == 2
    segments = read_segments(made.folder / "sub-01" / "movie10.h5")
    (made.folder / "features").mkdir()
    np.save(made.folder / "features" / "film.npy", np.concatenate([features[each.task][: each.n_samples] for each in segments]))
    return made.folder, segments, features


def test_only_the_files_of_a_subject_and_part_are_fetched_and_each_has_its_hash():
    entry = find_entry("algonauts2025")
    files = entry.remote_files(("sub-02",), ("movie10", "friends"))
    assert [file.name for file in files] == ["atlas.nii.gz", "sub-02_movie10.h5", "sub-02_friends.h5"]
    assert all(file.n_bytes and len(file.md5) == 32 and file.md5 in file.address for file in files)
    assert [file.subject for file in files] == ["", "sub-02", "sub-02"]


def test_segments_are_runs_and_films_seen_twice_give_groups_and_a_ceiling(fetched, store):
    folder, segments, _ = fetched
    subject = DATASETS["algonauts2025"].open("sub-01", store)
    assert subject.tr == 1.49 and len(np.unique(subject.runs)) == len(segments) == 12
    assert [each.task for each in segments[:4]] == ["bourne01", "bourne02", "figures01", "figures02"] and segments[4].run == 2
    assert len(np.unique(subject.groups)) == 8 and subject.n_stimuli == sum(each.n_samples - 10 for each in segments)
    import h5py

    with h5py.File(folder / "sub-01" / "movie10.h5") as file:
        expected = np.concatenate([file[each.name][5:-5] for each in segments])
    np.testing.assert_array_equal(subject.responses["brain"][:], expected)
    assert subject.ceiling["brain"][:50].mean() > 0.5 > 0.25 > subject.ceiling["brain"][50:].mean()
    assert "split-half" in subject.ceiling_about and set(subject.sampled) == {"lh", "rh"}
    assert not [finding for finding in diagnose(folder, store) if finding.level == "error"]


def test_a_fit_with_delays_predicts_films_it_never_saw_and_scores_each_test_film(fetched, store):
    result = fit(SPEC, store, device="cpu")
    assert result.score("brain")[:50].mean() > 0.6 and abs(result.score("brain")[50:].mean()) < 0.05
    assert set(result.plan.test_sets) == {"life", "figures"}
    names = np.array(result.plan.subject.stimuli.names)
    assert all("life" in name for name in names[result.plan.folds[0].test])


@pytest.mark.parametrize(
    ("name", "shape", "match"), [("bourne", (9, 1000), "no name of a segment"), ("ses-001_task-wolf01", (9, 7), "shape")]
)
def test_a_file_of_another_layout_is_named(tmp_path, name, shape, match):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[name] = np.zeros(shape, np.float32)
    with pytest.raises(BadData, match=match):
        read_segments(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_bytes(b"no")
    with pytest.raises(BadData, match="no HDF5"):
        read_segments(tmp_path / "b.h5")


WANTED = {"s07e01a": 30, "s07e01b": 27}


@pytest.fixture
def fitted(fetched, store, tmp_path):
    """A fit of all runs, tables of two test segments, and how many samples of each are asked for."""
    rng = np.random.default_rng(5)
    tables = {"s07e01a": rng.normal(size=(34, 3)).astype(np.float32), "s07e01b": rng.normal(size=(25, 3)).astype(np.float32)}
    for name in ("tables", "numbers"):
        (tmp_path / name).mkdir()
    for segment, X in tables.items():
        np.save(tmp_path / "tables" / f"{segment}.npy", X)
    write_sample_numbers(tmp_path / "numbers" / "sub-01_friends-s7_fmri_samples.npy", WANTED)
    spec = replace(SPEC, split="all", delays="1,2,3,4")
    return fit(spec, store, device="cpu"), tables, tmp_path


def test_a_submission_holds_what_is_asked_of_every_segment(fitted, shell, monkeypatch):
    result, tables, folder = fitted
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(result.store.root))
    words = ("predict", result.key, "--segments", folder / "tables", "--samples", folder / "numbers", "--out", folder / "out")
    code, text, errors = shell(*words)
    assert code == 0, errors
    assert "missing    sub-02, sub-03, sub-05" in text
    made = np.load(folder / "out" / "fmri_predictions_friends_s7.npy", allow_pickle=True).item()
    assert list(made) == ["sub-01"] and {name: values.shape for name, values in made["sub-01"].items()} == {
        "s07e01a": (30, 1000),
        "s07e01b": (27, 1000),
    }
    model = result.model("brain")
    mean, axes = result.projection(0, ("table",))
    Z = by_run((tables["s07e01a"] - mean) @ axes, (1, 2, 3, 4), np.zeros(34))
    expected = Z @ model.weights + model.intercept
    np.testing.assert_allclose(made["sub-01"]["s07e01a"], expected[:30], atol=1e-4)
    assert made["sub-01"]["s07e01a"].dtype == np.float32
    assert (made["sub-01"]["s07e01b"][25:] == made["sub-01"]["s07e01b"][24]).all()  # where the film is shorter, its last sample stays
    content = (folder / "out" / "fmri_predictions_friends_s7.npy").read_bytes()
    assert b"numpy._core" not in content and b"numpy.core.multiarray" in content
    with ZipFile(folder / "out" / "fmri_predictions_friends_s7.zip") as archive:
        assert archive.read("fmri_predictions_friends_s7.npy") == content


def test_what_a_submission_lacks_is_named_before_anything_is_written(fitted):
    result, _, folder = fitted
    for change, match in (
        (lambda: write_sample_numbers(folder / "numbers" / "sub-01_friends-s7_fmri_samples.npy", WANTED | {"s07e02a": 9}), "s07e02a.npy"),
        (lambda: write_sample_numbers(folder / "numbers" / "sub-01_friends-s7_fmri_samples.npy", {"s07e01b": 90}), "has 25 rows, but 90"),
        (lambda: write_sample_numbers(folder / "numbers" / "sub-01_ood_fmri_samples.npy", WANTED), "holds 2 of"),
    ):
        change()
        with pytest.raises(CannotPredict, match=match):
            submit_segments([result], folder / "tables", folder / "numbers", folder / "out")
    assert not (folder / "out").exists()


def test_numbers_of_samples_are_read_without_running_anything(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was_run"),)

    path = write_sample_numbers(tmp_path / "n.npy", {"s07e01a": 473})
    assert read_numbers_of_samples(path) == {"s07e01a": 473}
    for values in ({"s07e01a": Attack()}, {"s07e01a": "many"}, {"s07e01a": -1}):
        write_sample_numbers(path, values)
        with pytest.raises(BadData, match="Copy it again"):
            read_numbers_of_samples(path)
    path.write_bytes(b"no array")
    with pytest.raises(BadData, match="no numbers of samples"):
        read_numbers_of_samples(path)
    assert not (tmp_path / "was_run").exists()
