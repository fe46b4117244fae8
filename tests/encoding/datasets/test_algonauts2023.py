"""The Algonauts 2023 layout: what is written is read back, and what is wrong is named."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from encoding.datasets._base import FSAVERAGE_VERTICES, BadData
from encoding.datasets._registry import DATASETS
from encoding.datasets._rois import ROI_CLASSES
from encoding.datasets.algonauts2023 import HEMIS, Algonauts2023, Algonauts2023Layout, read_rois, read_vertices
from encoding.datasets.writers.algonauts2023 import write_algonauts2023
from encoding.evaluation.noise_ceiling import from_ncsnr
from encoding.runtime.progress import Cancelled
from encoding.runtime.registry import UnknownName
from encoding.storage.npy import NpyRows
from encoding.storage.store import Store
from tests.encoding.datasets.damages2023 import DAMAGES, cut, damaged, poked
from tests.encoding.datasets.made2023 import N_IMAGES, N_TEST, SIZE, Blocks, made_subject, opened


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with subj03, written once."""
    out = tmp_path_factory.mktemp("algonauts2023")
    write_algonauts2023(made_subject(), out, size=SIZE)
    return out


@pytest.fixture
def root(written, tmp_path):
    """A copy of it to be damaged."""
    shutil.copytree(written, tmp_path / "algonauts2023")
    return tmp_path / "algonauts2023"


@pytest.fixture
def layout(root):
    return Algonauts2023Layout(root / "subj03")


# -- written and read back


def test_what_is_written_is_read_back_to_the_same_numbers(root, store):
    made, read = made_subject(), opened(root, store)
    assert read.name == "subj03" and read.dataset == "algonauts2023" and read.simulated
    assert read.hemis == HEMIS and read.n_stimuli == N_IMAGES
    assert np.array_equal(read.groups, made.groups)
    for hemi in HEMIS:
        assert np.array_equal(read.responses[hemi], made.responses[hemi])
        assert np.array_equal(read.vertices[hemi], made.vertices[hemi])
        assert np.allclose(read.ceiling[hemi], made.ceiling[hemi], atol=1e-7)
        assert list(read.rois[hemi]) == list(made.rois[hemi])
        for name, columns in made.rois[hemi].items():
            assert np.array_equal(read.rois[hemi][name], columns), name
            assert read.rois[hemi][name].dtype == np.int64
    for mine, theirs in ((made.stimuli, read.stimuli), (made.unlabelled, read.unlabelled)):
        assert len(mine) == len(theirs)
        assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(mine, theirs, strict=True))


def test_files_are_named_and_typed_as_in_the_download(layout):
    found = {str(path.relative_to(layout.folder)) for path in layout.folder.rglob("*") if path.is_file()}
    assert len(found) == N_IMAGES + N_TEST + 2 + 2 * (1 + 2 * 6) + 6 + 1 + 2
    assert "training_split/training_images/train-0001_nsd-00007.png" in found
    assert "training_split/training_images/train-0024_nsd-00051.png" in found
    assert "test_split/test_images/test-0001_nsd-00052.png" in found
    responses = np.load(layout.folder / "training_split/training_fmri/rh_training_fmri.npy")
    assert responses.dtype == np.float32 and responses.shape == (N_IMAGES, 70)
    mask = np.load(layout.folder / "roi_masks/lh.all-vertices_fsaverage_space.npy")
    assert mask.shape == (163_842,) and mask.sum() == 60 and set(mask) == {0, 1}
    labels = np.load(layout.folder / "roi_masks/lh.prf-visualrois_challenge_space.npy")
    assert labels.dtype.kind == "i" and np.bincount(labels).tolist() == [45, 10, 5]
    everywhere = np.load(layout.folder / "roi_masks/lh.prf-visualrois_fsaverage_space.npy")
    assert np.array_equal(everywhere[np.flatnonzero(mask)], labels) and (everywhere != 0).sum() == 15
    names = np.load(layout.folder / "roi_masks/mapping_floc-words.npy", allow_pickle=True).item()
    assert names == {0: "Unknown", 1: "OWFA", 2: "VWFA-1", 3: "VWFA-2", 4: "mfs-words", 5: "mTL-words"}


def test_a_written_subject_is_never_overwritten(root):
    with pytest.raises(FileExistsError, match=r"subj03 exists already\. Remove it first, or write to another folder"):
        write_algonauts2023(made_subject(), root)


# -- the reader as a data set


def test_the_data_set_is_registered_and_looks_where_the_environment_says(written, monkeypatch, tmp_path):
    data = DATASETS["algonauts2023"]
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path))
    assert data.subjects() == ()
    assert str(tmp_path / "algonauts2023") in data.where() and "simulate --layout algonauts2023" in data.where()
    monkeypatch.setenv("ENCODING_DATA_DIR", str(written.parent))
    shutil.rmtree(written.parent / "algonauts2023", ignore_errors=True)
    (written.parent / "algonauts2023").symlink_to(written)
    assert data.subjects() == ("subj03",) and "subj03" in data.where()
    assert data.roi_names()["prf-visualrois"][0] == "V1v" and not data.simulated


def test_subjects_are_folders_of_the_right_name_in_order(root):
    for name in ("subj11", "subj01", "subj1", "subject04", ".writing-x"):
        (root / name).mkdir()
    (root / "subj02").touch()
    assert Algonauts2023(root).subjects() == ("subj01", "subj03", "subj11")


def test_responses_stay_on_disk_and_cannot_be_written_to(root, store):
    responses = opened(root, store).responses["lh"]
    assert isinstance(responses, NpyRows)


def test_responses_in_fortran_order_are_read_from_a_copy_in_c_order(root, layout, store):
    values = np.load(layout.responses("lh"))
    np.save(layout.responses("lh"), np.asfortranarray(values))
    subject = opened(root, store)
    assert subject.responses["lh"].path.is_relative_to(store.root) and subject.responses["rh"].path == layout.responses("rh")
    np.testing.assert_array_equal(subject.responses["lh"], values)
    assert Algonauts2023(root).is_ready("subj03", store)


def test_files_are_read_once_and_a_changed_one_again(root, layout, store, monkeypatch):
    data = Algonauts2023(root)
    assert not data.is_ready("subj03", store)
    first = data.open("subj03", store)
    assert data.is_ready("subj03", store)
    with monkeypatch.context() as patched:
        patched.setattr("encoding.datasets._responses.response_facts", None)
        patched.setattr("encoding.storage.fingerprints.sha256", None)
        again = data.open("subj03", store)
    assert again.fingerprints == first.fingerprints and again.stimuli.fingerprint == first.stimuli.fingerprint

    changed = np.load(layout.responses("rh"))
    changed[3, 4] += 1
    np.save(layout.responses("rh"), changed)
    assert not data.is_ready("subj03", store)
    after = data.open("subj03", store)
    assert after.fingerprints["lh"] == first.fingerprints["lh"] and after.fingerprints["rh"] != first.fingerprints["rh"]


def test_fingerprints_name_bytes_and_not_their_place(root, store, tmp_path):
    first = opened(root, store)
    shutil.move(root, tmp_path / "moved")
    second = opened(tmp_path / "moved", Store(tmp_path / "another cache"))
    assert first.fingerprints == second.fingerprints
    assert first.stimuli.fingerprint == second.stimuli.fingerprint != second.unlabelled.fingerprint


def test_a_subject_written_without_test_images_has_none(tmp_path, store):
    write_algonauts2023(made_subject(unlabelled=Blocks(0, seed=0)), tmp_path, size=8)
    assert len(opened(tmp_path, store).unlabelled) == 0


def test_a_subject_without_a_folder_of_test_images_has_none(layout, root, store):
    shutil.rmtree(layout.folder / "test_split")
    assert len(opened(root, store).unlabelled) == 0


def test_opening_tells_how_far_it_is_and_can_be_stopped(root, store):
    told = []
    Algonauts2023(root).open("subj03", store, lambda fraction, text: told.append(fraction))
    assert told == sorted(told) and told[-1] == 1

    def stop(fraction, text):
        raise Cancelled

    with pytest.raises(Cancelled):
        Algonauts2023(root).open("subj03", Store(store.root / "new"), stop)


def test_the_odd_vertex_counts_of_subjects_six_and_eight_are_just_data(layout):
    """At the real shapes, in sparse files that take no room: 8,779 x 20,530 and the like."""
    for n_images, counts in ((9082, {"lh": 18_978, "rh": 20_220}), (8779, {"lh": 18_981, "rh": 20_530})):
        for hemi, n in counts.items():
            np.lib.format.open_memmap(layout.responses(hemi), mode="w+", dtype=np.float32, shape=(n_images, n))
            mask = np.zeros(FSAVERAGE_VERTICES, np.uint8)
            mask[3 : 3 + 4 * n : 4] = 1
            np.save(layout.mask(hemi), mask)
            for roi_class in ROI_CLASSES:
                np.save(layout.labels(hemi, roi_class), np.arange(n) % 4)
            assert np.array_equal(read_vertices(layout, hemi, n), 3 + 4 * np.arange(n))
            rois = read_rois(layout, hemi, n)
            assert len(rois) == 31 and len(rois["V1d"]) == len(range(2, n, 4)) and len(rois["hV4"]) == 0


# -- noise ceilings


def test_ceilings_in_percent_on_fsaverage_beside_the_subjects_are_used(root, layout, store):
    shutil.rmtree(layout.folder / "noise_ceiling")
    folder = root / "noise_ceiling" / "subj03"
    folder.mkdir(parents=True)
    percent = np.linspace(0, 90, FSAVERAGE_VERTICES)
    for hemi in HEMIS:
        np.save(folder / f"{hemi}.npy", percent)
    read = opened(root, store)
    assert np.allclose(read.ceiling["rh"], percent[read.vertices["rh"]] / 100, atol=1e-6)


@pytest.mark.parametrize("with_repeats", [False, True])
def test_ceilings_come_from_the_signal_to_noise_ratio_as_nsd_publishes_it(root, layout, store, with_repeats):
    nibabel = pytest.importorskip("nibabel")
    folder = layout.folder / "noise_ceiling"
    ratio = np.random.default_rng(3).uniform(0, 2, FSAVERAGE_VERTICES).astype(np.float32)
    for hemi in HEMIS:
        (folder / f"{hemi}.npy").unlink()
        nibabel.save(nibabel.MGHImage(ratio[:, None, None], np.eye(4)), folder / f"{hemi}.ncsnr.mgh")
    counts = {"n_three": N_IMAGES}
    if with_repeats:
        np.save(folder / "repeats.npy", np.r_[np.full(4, 3), np.full(15, 2), np.full(5, 1)])
        counts = {"n_three": 4, "n_two": 15, "n_one": 5}
    read = opened(root, store)
    assert np.array_equal(read.ceiling["lh"], from_ncsnr(ratio[read.vertices["lh"]], **counts))


# -- damage, each kind named with its mend


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_named_with_its_mend(root, layout, store, damage, message):
    damage(layout)
    with pytest.raises(BadData, match=message):
        opened(root, store)


def test_nan_is_still_refused_when_it_was_found_before(root, layout, store):
    damaged(layout.responses("lh"), poked([np.nan], [(0, 0)]))
    for _ in range(2):
        with pytest.raises(BadData, match="NaN"):
            opened(root, store)


def test_an_unreadable_image_is_named_when_it_is_looked_at(root, layout, store):
    cut(layout.training_images / "train-0004_nsd-00031.png", 60)
    stimuli = opened(root, store).stimuli
    with pytest.raises(BadData, match=r"train-0004_nsd-00031\.png cannot be read"):
        stimuli[3]


def test_an_unknown_subject_gets_the_nearest(root, store):
    with pytest.raises(UnknownName, match=r"Unknown subject 'subj3'\. Did you mean 'subj03'\? Known: subj03"):
        Algonauts2023(root).open("subj3", store)
    with pytest.raises(UnknownName, match=r"No subject 'subj01': Not on this machine\. Agree to the terms"):
        Algonauts2023(root / "nowhere").open("subj01", store)
    with pytest.raises(UnknownName):
        Algonauts2023(root).open("../algonauts2023/subj03", store)
