"""Write one array in every format that is read: by suffix, a matrix (n_rows, n_columns), and by suffix, volumes (x, y, z, n_rows)."""

from __future__ import annotations

from pathlib import Path

import h5py
import nibabel
import numpy as np
import scipy.io
from PIL import Image


def write_images(folder: Path, n: int) -> None:
    """Images ``0.png`` to ``<n - 1>.png`` of one colour each, in ``folder/images``."""
    (folder / "images").mkdir(parents=True)
    for i in range(n):
        Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(folder / "images" / f"{i}.png")


def _matlab7(path: Path, Y: np.ndarray) -> None:
    """MATLAB's ``save -v7.3``: HDF5 behind 512 bytes of text, axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("Y", data=Y.T).attrs["MATLAB_class"] = np.bytes_("single")
        file.create_dataset("note", data=np.frombuffer(b"text", "u1").astype("u2")).attrs["MATLAB_class"] = np.bytes_("char")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, written by a test".ljust(512))


def _hdf5(path: Path, Y: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["session1/Y"] = Y


def _table(delimiter: str):
    def write(path: Path, Y: np.ndarray) -> None:
        header = delimiter.join(f"v{i}" for i in range(Y.shape[1]))
        np.savetxt(path, Y, delimiter=delimiter, header=header, comments="", fmt="%.9g")

    return write


def _cifti(path: Path, Y: np.ndarray) -> None:
    """Dense scalars of some vertices of both hemispheres of fsLR, in which the last is the first of the right one."""
    n = Y.shape[1]
    at = np.arange(n - 1)
    left = nibabel.cifti2.BrainModelAxis.from_surface(at * 3, 32_492, name="cortex_left")
    right = nibabel.cifti2.BrainModelAxis.from_surface([7], 32_492, name="cortex_right")
    rows = nibabel.cifti2.ScalarAxis([f"row {i}" for i in range(len(Y))])
    nibabel.Cifti2Image(Y, (rows, left + right)).to_filename(path)


def _gifti(path: Path, Y: np.ndarray) -> None:
    maps = [nibabel.gifti.GiftiDataArray(row, intent="NIFTI_INTENT_NONE", datatype="NIFTI_TYPE_FLOAT32") for row in Y]
    nibabel.GiftiImage(darrays=maps).to_filename(path)


MATRICES = {
    ".npy": np.save,
    ".npz": lambda path, Y: np.savez_compressed(path, Y=Y),
    ".mat": lambda path, Y: scipy.io.savemat(path, {"Y": Y, "note": "text"}),
    ".v7.mat": _matlab7,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".hdf": _hdf5,
    ".csv": _table(","),
    ".txt": _table(";"),
    ".tsv": _table("\t"),
    ".dscalar.nii": _cifti,
    ".gii": _gifti,
}

AFFINE = np.diag([4.0, 4, 4, 1])
AFFINE[:3, 3] = [-20, -96, -8]


def _nifti(path: Path, volumes: np.ndarray) -> None:
    image = nibabel.Nifti1Image(volumes, AFFINE)
    image.header.set_xyzt_units("mm")
    image.to_filename(path)


def _mgh(path: Path, volumes: np.ndarray) -> None:
    nibabel.MGHImage(volumes, AFFINE).to_filename(path)


def _glmsingle(path: Path, volumes: np.ndarray) -> None:
    """What GLMsingle saves in Python: a dict, pickled by numpy."""
    content = {"betasmd": volumes, "R2": volumes[..., 0], "HRFindex": np.ones(volumes.shape[:3], int), "pcnum": 3, "glmbadness": None}
    np.save(path, content, allow_pickle=True)


def _glmsingle_hdf5(path: Path, volumes: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["betasmd"], file["R2"] = volumes, volumes[..., 0]


VOLUMES = {
    ".nii": _nifti,
    ".nii.gz": _nifti,
    ".mgz": _mgh,
    ".mgh": _mgh,
    "_betas.npy": np.save,
    "_glmsingle.npy": _glmsingle,
    "_glmsingle.hdf5": _glmsingle_hdf5,
    "_glmsingle.mat": lambda path, volumes: scipy.io.savemat(path, {"modelmd": volumes, "R2": volumes[..., 0]}),
}
