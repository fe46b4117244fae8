"""The Algonauts 2023 layout: what is written is read back, and what is wrong is named."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from encoding.datasets._base import DATASETS, FSAVERAGE_VERTICES, BadData, Stimuli, Subject
from encoding.datasets._rois import ROI_CLASSES
from encoding.datasets.algonauts2023 import HEMIS, Algonauts2023, Algonauts2023Layout, read_rois, read_vertices
from encoding.datasets.writers.algonauts2023 import write_algonauts2023
from encoding.evaluation.noise_ceiling import from_ncsnr
from encoding.runtime.progress import Cancelled
from encoding.runtime.registry import UnknownName
from encoding.storage.npy import NpyRows
from encoding.storage.store import Store

N_IMAGES, N_TEST, SIZE = 24, 5, 32
N_VERTICES = {"lh": 60, "rh": 70}


class Blocks(Stimuli):
    """Pictures of 8 x 8 random blocks."""

    def __init__(self, n: int, *, seed: int) -> None:
        self.names = tuple(f"picture {i}" for i in range(n))
        self.colours = np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
        self.fingerprint = f"blocks-{n}-{seed}"

    fingerprint = ""

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(self.colours[index]).resize((SIZE, SIZE), Image.Resampling.NEAREST)


def made_subject(**changes) -> Subject:
    """A subject with overlapping ROIs (V1v lies in early), an empty one (mTL-faces), and repeats."""
    chance = np.random.default_rng(0)
    columns = np.arange(60)
    rois = {name: columns[:0] for names in ROI_CLASSES.values() for name in names}
    rois |= {
        "V1v": columns[:10],
        "V1d": columns[10:15],
        "early": columns[:20],
        "ventral": columns[20:40],
        "FFA-1": columns[30:33],
        "EBA": columns[32:50],
    }
    content = {
        "dataset": "made",
        "name": "subj03",
        "stimuli": Blocks(N_IMAGES, seed=1),
        "unlabelled": Blocks(N_TEST, seed=2),
        "responses": {hemi: chance.normal(size=(N_IMAGES, n)).astype(np.float32) for hemi, n in N_VERTICES.items()},
        "fingerprints": dict.fromkeys(HEMIS, "made"),
        "rois": dict.fromkeys(HEMIS, rois),
        "groups": np.r_[7, 7, np.arange(30, 30 + N_IMAGES - 2)],
        "vertices": {hemi: np.sort(chance.choice(FSAVERAGE_VERTICES, n, replace=False)) for hemi, n in N_VERTICES.items()},
        "ceiling": {hemi: chance.uniform(0.001, 0.009, n).astype(np.float32) for hemi, n in N_VERTICES.items()},
        "simulated": True,
    }
    return Subject(**(content | changes))


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


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def opened(root, store):
    return Algonauts2023(root).open("subj03", store)


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


def test_images_are_cropped_and_resized_to_the_challenges_size(tmp_path):
    class Wide(Blocks):
        def __getitem__(self, index):
            return Image.new("RGB", (64, 32), (index, 0, 0))

    folder = write_algonauts2023(made_subject(stimuli=Wide(N_IMAGES, seed=0)), tmp_path)
    with Image.open(Algonauts2023Layout(folder).training_images / "train-0003_nsd-00030.png") as image:
        assert image.size == (425, 425) and image.mode == "RGB" and image.getpixel((200, 200)) == (2, 0, 0)


def test_places_on_fsaverage5_are_the_first_of_fsaverage(tmp_path, store):
    vertices = {"lh": np.arange(60) * 170, "rh": np.arange(70) * 146}
    write_algonauts2023(made_subject(vertices=vertices), tmp_path, size=8)
    read = opened(tmp_path, store)
    assert all(np.array_equal(read.vertices[hemi], vertices[hemi]) for hemi in HEMIS)


def test_a_measured_subject_is_not_marked_as_simulated(tmp_path, store):
    folder = write_algonauts2023(made_subject(simulated=False, ceiling=None), tmp_path, size=8)
    assert not (folder / "SIMULATED.txt").exists()
    read = opened(tmp_path, store)
    assert not read.simulated and read.ceiling is None


def test_a_written_subject_is_never_overwritten(root):
    with pytest.raises(FileExistsError, match=r"subj03 exists already\. Remove it first, or write to another folder"):
        write_algonauts2023(made_subject(), root)


def test_a_cancelled_write_leaves_nothing_behind(tmp_path):
    def stop(fraction, text):
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_algonauts2023(made_subject(), tmp_path, stop, size=8)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "demo"}, r"names its subjects subj01, subj02 …; 'demo' is not"),
        ({"vertices": None}, r"places on fsaverage; subj03 has lh, rh without places"),
        ({"responses": {"lh": np.zeros((N_IMAGES, 60), np.float32)}}, r"subj03 has lh\."),
        ({"vertices": {"lh": np.arange(60)[::-1], "rh": np.arange(70)}}, r"lh columns must ascend within fsaverage's 163,842"),
        ({"vertices": {"lh": np.arange(60), "rh": np.arange(70) + 163_800}}, r"rh columns must ascend"),
        ({"rois": {key: {"V1w": np.arange(3)} for key in HEMIS}}, r"no such ROI\. Unknown ROI 'V1w'\. Did you mean 'V1v'\?"),
        (
            {"rois": {"lh": {}, "rh": {"V1v": np.arange(10), "V1d": np.arange(8, 20)}}},
            r"V1v and V1d share 2 rh vertices, but both are of the class prf-visualrois",
        ),
    ],
)
def test_a_subject_that_the_layout_cannot_hold_is_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        write_algonauts2023(made_subject(**changes), tmp_path)
    assert list(tmp_path.iterdir()) == []


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


def damaged(path, change):
    """Load, change and save an array."""
    array = np.load(path)
    np.save(path, change(array))


def poked(values, places):
    def change(array):
        for place, value in zip(places, values, strict=True):
            array[place] = value
        return array

    return change


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


DAMAGES = {
    "responses missing": (lambda at: at.responses("lh").unlink(), r"lh_training_fmri\.npy is missing\. Copy this file again"),
    "responses cut short": (
        lambda at: cut(at.responses("rh"), 3000),
        r"rh_training_fmri\.npy is damaged or cut short .* Copy this file again",
    ),
    "responses cut in the header": (lambda at: cut(at.responses("rh"), 40), r"rh_training_fmri\.npy is damaged or cut short"),
    "responses emptied": (lambda at: cut(at.responses("rh"), 0), r"rh_training_fmri\.npy is an empty file"),
    "responses a pickle": (
        lambda at: np.save(at.responses("lh"), np.array([{}], object), allow_pickle=True),
        r"lh_training_fmri\.npy is an array of Python objects",
    ),
    "responses in float64": (
        lambda at: damaged(at.responses("lh"), lambda a: a.astype(float)),
        r"lh_training_fmri\.npy holds float64 where float32 is needed\. Save it as float32",
    ),
    "responses flat": (lambda at: damaged(at.responses("lh"), np.ravel), r"has shape \(1440,\) where \(n_stimuli, n_vertices\) is needed"),
    "responses with NaN": (
        lambda at: damaged(at.responses("lh"), poked([np.nan] * 3, [(9, 5), (9, 2), (11, 5)])),
        r"lh_training_fmri\.npy holds NaN or infinite responses in 2 vertices and 2 rows, first in row 9, vertex 2",
    ),
    "responses infinite": (
        lambda at: damaged(at.responses("rh"), poked([-np.inf], [(0, 69)])),
        r"in 1 vertices and 1 rows, first in row 0, vertex 69",
    ),
    "a row too few": (lambda at: damaged(at.responses("rh"), lambda a: a[:-1]), r"holds 24 images but rh_training_fmri\.npy has 23 rows"),
    "the last image missing": (
        lambda at: (at.training_images / "train-0024_nsd-00051.png").unlink(),
        r"training_images holds 23 images but lh_training_fmri\.npy has 24 rows.*unpack",
    ),
    "an image missing": (
        lambda at: (at.training_images / "train-0004_nsd-00031.png").unlink(),
        r"train-0005_nsd-00032\.png has the number 5 but is image 4 of its folder",
    ),
    "an image of another name": (
        lambda at: (at.training_images / "holiday.png").touch(),
        r"holiday\.png is not named like train-0001_nsd-00013\.png\. Rename it or take it out",
    ),
    "a test image among the others": (
        lambda at: shutil.copy(at.test_images / "test-0001_nsd-00052.png", at.training_images),
        r"test-0001_nsd-00052\.png is not named like train-",
    ),
    "no images": (lambda at: shutil.rmtree(at.training_images), r"There is no folder .*training_images"),
    "an empty folder": (lambda at: [p.unlink() for p in at.training_images.iterdir()], r"training_images holds no images"),
    "mask of fsaverage5": (
        lambda at: damaged(at.mask("lh"), lambda a: a[:10_242]),
        r"lh\.all-vertices_fsaverage_space\.npy has shape \(10242,\), but fsaverage's vertices are 163,842",
    ),
    "mask with a vertex too many": (
        lambda at: damaged(at.mask("lh"), lambda a: poked([1], [int(np.argmin(a))])(a)),
        r"lh\.all-vertices_fsaverage_space\.npy marks 61 vertices but lh_training_fmri\.npy has 60 columns",
    ),
    "mask of the other hemisphere": (lambda at: shutil.copy(at.mask("rh"), at.mask("lh")), r"marks 70 vertices but .* has 60 columns"),
    "mask with other numbers": (lambda at: damaged(at.mask("rh"), lambda a: a * 2), r"holds other numbers than 0 and 1"),
    "mask missing": (lambda at: at.mask("rh").unlink(), r"rh\.all-vertices_fsaverage_space\.npy is missing"),
    "labels of another length": (
        lambda at: damaged(at.labels("lh", "streams"), lambda a: a[:-1]),
        r"lh\.streams_challenge_space\.npy has shape \(59,\), but the vertices in this hemisphere's responses are 60",
    ),
    "labels in fractions": (
        lambda at: damaged(at.labels("lh", "streams"), lambda a: a + 0.5),
        r"holds float64 where whole numbers are needed",
    ),
    "labels without a name": (
        lambda at: damaged(at.labels("rh", "floc-places"), poked([9, -1], [4, 5])),
        r"rh\.floc-places_challenge_space\.npy has the labels \[-1, 9\], which mapping_floc-places\.npy does not name",
    ),
    "labels missing": (lambda at: at.labels("rh", "floc-faces").unlink(), r"rh\.floc-faces_challenge_space\.npy is missing"),
    "names missing": (lambda at: at.names("floc-faces").unlink(), r"mapping_floc-faces\.npy is missing"),
    "names twice": (
        lambda at: np.save(at.names("floc-faces"), {0: "Unknown", 1: "OFA", 2: "V1v", 3: "x"}),
        r"mapping_floc-faces\.npy names 'V1v', which is named already",
    ),
    "ceiling of another length": (
        lambda at: np.save(at.ceilings[0] / "lh.npy", np.ones(61)),
        r"lh\.npy holds 61 values; the 60 vertices' or",
    ),
    "ceiling above 100 %": (
        lambda at: np.save(at.ceilings[0] / "lh.npy", np.full(60, 101.0)),
        r"noise_ceiling/lh\.npy: 60 of 60 values are wrong",
    ),
    "ceiling of one hemisphere": (lambda at: (at.ceilings[0] / "rh.npy").unlink(), r"lh\.npy has no counterpart for rh"),
    "ceiling cut short": (lambda at: cut(at.ceilings[0] / "lh.npy", 150), r"lh\.npy is damaged or cut short"),
}


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
