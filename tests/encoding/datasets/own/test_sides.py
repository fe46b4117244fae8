"""Files of one hemisphere that are given for the other."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from encoding import DATASETS
from encoding.datasets import BadData
from encoding.datasets.doctor import diagnose
from encoding.datasets.own.sides import is_named_other
from tests.encoding.datasets.own.array_writers import write_images

N, V = 4, 5
Y = np.random.default_rng(0).normal(size=(N, V)).astype(np.float32)
BASE = '[stimuli]\nfolder = "images"\n[subjects.me]\n'


@pytest.fixture
def folder(data_dir):
    """Four images, responses of both hemispheres in GIFTI and CIFTI, and an ROI and a ceiling of each in GIFTI."""
    folder = data_dir / "mine"
    write_images(folder, N)
    models = [nibabel.cifti2.BrainModelAxis.from_surface(np.arange(V), 32_492, name=f"cortex_{side}") for side in ("left", "right")]
    rows = nibabel.cifti2.ScalarAxis([f"row {i}" for i in range(N)])
    nibabel.Cifti2Image(np.c_[Y, 2 * Y], (rows, models[0] + models[1])).to_filename(folder / "c.dscalar.nii")
    for side, structure in (("l", "CortexLeft"), ("r", "CortexRight")):
        gifti(folder / f"{side}.func.gii", Y, structure)
        gifti(folder / f"{side}_share.shape.gii", np.full((1, V), 0.5), structure, in_maps=True)
        gifti(folder / f"{side}_roi.shape.gii", np.ones((1, V)), structure)
    return folder


def gifti(path, values, structure, *, in_maps=False):
    meta = nibabel.gifti.GiftiMetaData({"AnatomicalStructurePrimary": structure})
    maps = [nibabel.gifti.GiftiDataArray(row.astype("f4"), datatype="NIFTI_TYPE_FLOAT32", meta=meta if in_maps else None) for row in values]
    nibabel.GiftiImage(darrays=maps, meta=None if in_maps else meta).to_filename(path)


def opened(folder, store, text):
    (folder / "dataset.toml").write_text(BASE + text)
    return DATASETS["mine"].open("me", store)


RESPONSES = 'responses = {{ lh = "{0}", rh = "{1}" }}\n'
GIFTI = 'responses = {{ lh = "l.func.gii", rh = "r.func.gii" }}\n'
KINDS = {
    "cifti": (RESPONSES, "c.dscalar.nii:lh", "c.dscalar.nii:rh"),
    "gifti": (RESPONSES, "l.func.gii", "r.func.gii"),
    "rois": (GIFTI + 'rois.lh.A = "{0}"\nrois.rh.A = "{1}"\n', "l_roi.shape.gii", "r_roi.shape.gii"),
    "ceiling": (GIFTI + 'ceiling = {{ lh = "{0}", rh = "{1}" }}\n', "l_share.shape.gii", "r_share.shape.gii"),
}


@pytest.mark.parametrize(("text", "left", "right"), KINDS.values(), ids=KINDS)
def test_a_file_that_is_of_the_other_hemisphere_is_refused(folder, store, text, left, right):
    assert list(opened(folder, store, text.format(left, right)).responses) == ["lh", "rh"]
    with pytest.raises(BadData, match="given for lh"):
        opened(folder, store, text.format(right, left))


def test_the_doctor_warns_of_names_of_the_other_hemisphere(folder, store):
    np.save(folder / "rh_b.npy", Y)
    np.save(folder / "lh_b.npy", Y)
    for text, warns in (('lh = "rh_b.npy", rh = "lh_b.npy"', True), ('lh = "lh_b.npy", rh = "rh_b.npy"', False)):
        (folder / "dataset.toml").write_text(BASE + f"responses = {{ {text} }}\n")
        found = [str(each) for each in diagnose(folder, store) if "other hemisphere" in each.what]
        assert bool(found) == warns and all("rh_b.npy is given for lh" in each and each.startswith("warning") for each in found)


@pytest.mark.parametrize(
    ("name", "block", "other"),
    [
        ("sub-01_hemi-R_betas.npy", "lh", True),
        ("betas.right.npy", "lh", True),
        ("lh.from_rh.npy", "lh", False),
        ("orhan.npy", "lh", False),
        ("brightness.npy", "lh", False),
        ("lh.V1.npy", "rh", True),
    ],
)
def test_sides_in_names(tmp_path, name, block, other):
    assert is_named_other(tmp_path / name, block) == other
