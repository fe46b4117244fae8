"""Each kind of damage to a subject of Algonauts 2023, with the message that names it."""

from __future__ import annotations

import shutil

import numpy as np


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
        r"in 1 vertex and 1 row, first in row 0, vertex 69",
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
