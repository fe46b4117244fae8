"""Volumes of one shape that lie in different places: responses, masks, ROIs and ceilings."""

from __future__ import annotations

import struct

import nibabel
import numpy as np
import pytest

from encoding import DATASETS
from encoding.datasets import BadData
from encoding.datasets.doctor import diagnose
from encoding.datasets.own.grids import find_affine
from tests.encoding.datasets.own.array_writers import write_images

RNG = np.random.default_rng(0)
N, SHAPE = 6, (4, 3, 2)
RAS = np.array([[2.0, 0, 0, -4], [0, 2, 0, -6], [0, 0, 2, -8], [0, 0, 0, 1]])
LAS = RAS @ np.diag([-1, 1, 1, 1])
SHIFTED = RAS + np.array([[0, 0, 0, 2.0]] + [[0] * 4] * 3)
MASK = np.zeros(SHAPE, np.uint8)
MASK.ravel()[[1, 5, 8, 13, 22]] = 1
VOLUMES = RNG.normal(size=(*SHAPE, N)).astype(np.float32)
BASE = '[stimuli]\nfolder = "images"\n[subjects.me]\nvertices = { mask = "mask.nii.gz", space = "native" }\n'


@pytest.fixture
def folder(data_dir):
    """Six images, volumes for each, and a mask, an ROI and a ceiling on their grid."""
    folder = data_dir / "mine"
    write_images(folder, N)
    save(folder / "mask.nii.gz", MASK)
    save(folder / "roi.nii.gz", MASK)
    save(folder / "share.nii.gz", 0.5 * MASK)
    save(folder / "b.nii.gz", VOLUMES)
    save(folder / "first.nii.gz", VOLUMES[..., :2])
    save(folder / "second.nii.gz", VOLUMES[..., 2:])
    return folder


def save(path, values, affine=RAS, code=1, unit="mm"):
    image = nibabel.Nifti1Image(np.asarray(values, np.float32), affine)
    image.set_sform(affine, code)
    image.set_qform(affine, code)
    image.header.set_xyzt_units(unit)
    image.to_filename(path)


def opened(folder, store, text):
    (folder / "dataset.toml").write_text(BASE + text)
    return DATASETS["mine"].open("me", store)


ONE, TWO = 'responses = "b.nii.gz"\n', 'responses = ["first.nii.gz", "second.nii.gz"]\n'
ROI, CEILING, NCSNR = 'rois.V1 = "roi.nii.gz"\n', 'ceiling = "share.nii.gz"\n', 'ncsnr = "share.nii.gz"\naveraged = 1\n'
PLACES = [
    ("b.nii.gz", VOLUMES, ONE, "mask"),
    ("mask.nii.gz", MASK, ONE, "mask"),
    ("second.nii.gz", VOLUMES[..., 2:], TWO, "mask"),
    ("roi.nii.gz", MASK, ONE + ROI, "mask"),
    ("share.nii.gz", 0.5 * MASK, ONE + CEILING, "mask"),
    ("share.nii.gz", 0.5 * MASK, ONE + NCSNR, "mask"),
]


@pytest.mark.parametrize("affine", [LAS, SHIFTED])
@pytest.mark.parametrize(("name", "values", "text", "other"), PLACES)
def test_volumes_that_lie_elsewhere_are_refused(folder, store, name, values, text, other, affine):
    assert opened(folder, store, text).responses["brain"].shape == (N, 5)
    save(folder / name, values, affine)
    with pytest.raises(
        BadData, match=r"\.nii\.gz \([RL]AS, affine .*\) does not lie where .*\.nii\.gz \([RL]AS, affine .*\) does"
    ) as error:
        opened(folder, store, text)
    assert name in str(error.value) and other in str(error.value)
    assert any("does not lie where" in finding.what and finding.level == "error" for finding in diagnose(folder, store))


def test_files_of_a_list_that_lie_elsewhere_are_refused_where_the_mask_does_not_say(folder, store):
    save(folder / "mask.nii.gz", MASK, code=0)
    save(folder / "second.nii.gz", VOLUMES[..., 2:], LAS)
    with pytest.raises(BadData, match=r"second\.nii\.gz \(LAS, .* does not lie where .*first\.nii\.gz \(RAS"):
        opened(folder, store, TWO)


@pytest.mark.parametrize(
    "how",
    [
        {"affine": RAS + 5e-4 * (np.arange(4) == 3) * (np.arange(4) < 3)[:, None]},
        {"affine": np.diag([0.001, 0.001, 0.001, 1]) @ RAS, "unit": "meter"},
        {"affine": LAS, "code": 0},
        {"affine": np.eye(4)},
    ],
)
def test_rounding_units_and_headers_without_a_place_are_no_difference(folder, store, how):
    before = opened(folder, store, ONE).responses["brain"][:]
    save(folder / "b.nii.gz", VOLUMES, **how)
    np.testing.assert_array_equal(opened(folder, store, ONE).responses["brain"][:], before)


def test_the_place_of_other_formats_is_not_known(tmp_path):
    np.save(tmp_path / "b.npy", VOLUMES)
    nibabel.MGHImage(VOLUMES, RAS).to_filename(tmp_path / "b.mgz")
    assert find_affine(tmp_path / "b.npy") is None
    np.testing.assert_allclose(find_affine(tmp_path / "b.mgz"), RAS)


@pytest.mark.parametrize("trailing", [(), (1,)])
def test_a_volume_of_a_single_slice_has_voxels_too(folder, store, trailing):
    mask = np.zeros((6, 4, 1, *trailing), np.uint8)
    mask.ravel()[[1, 5, 8, 13, 22]] = 1
    for name, values in (("mask", mask), ("roi", mask), ("share", 0.5 * mask), ("b", VOLUMES.reshape(6, 4, 1, N))):
        save(folder / f"{name}.nii.gz", values)
    me = opened(folder, store, ONE + ROI + CEILING)
    np.testing.assert_array_equal(me.responses["brain"][:], VOLUMES.reshape(-1, N)[mask.ravel() == 1].T)
    assert me.rois["brain"]["V1"].tolist() == [0, 1, 2, 3, 4] and me.ceiling["brain"].tolist() == [0.5] * 5
    assert me.grid.shape == (6, 4, 1)


def test_a_scale_in_the_header_may_round_zeros_and_ones(folder, store):
    for name in ("mask", "roi"):
        image = nibabel.Nifti1Image(np.where(MASK, 10_000, 0).astype(np.int16), RAS)
        image.to_filename(folder / f"{name}.nii")
        content = bytearray((folder / f"{name}.nii").read_bytes())
        content[112:120] = struct.pack("<2f", 1.0000001e-4, 0)  # scl_slope, scl_inter
        (folder / f"{name}.nii").write_bytes(content)
    values = np.asarray(nibabel.load(folder / "mask.nii").dataobj)
    assert values.max() != 1 and abs(values.max() - 1) < 1e-5
    text = (BASE + ONE + ROI).replace("mask.nii.gz", "mask.nii").replace("roi.nii.gz", "roi.nii")
    (folder / "dataset.toml").write_text(text)
    me = DATASETS["mine"].open("me", store)
    np.testing.assert_array_equal(me.responses["brain"][:], VOLUMES[MASK == 1].T)
    assert me.rois["brain"]["V1"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("value", [0.9, 1.01, np.nan])
def test_other_numbers_are_no_mask(folder, store, value):
    save(folder / "mask.nii.gz", np.where(MASK, value, 0))
    with pytest.raises(BadData, match="holds other numbers than 0 and 1"):
        opened(folder, store, ONE)
