"""Make the fixtures of the first release: a data set, a Store of finished fits of it, and these fits exported.

Run with the code of commit 83faae5, in an empty folder: ``PYTHONPATH=<its checkout> python make_first_release.py <folder>``. It writes
``first_release.zip`` (``data/`` and ``store/``), ``exports/<name>.zip`` and ``fits.json`` (name to command line, key and mean r per ROI).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

N_IMAGES, N_VERTICES = 36, 8
DATASET = """
title = "Compat (simulated)"
about = "Two simulated subjects of the first release."
simulated = true

[stimuli]
folder = "images"
"""
SUBJECT = """
[subjects.{name}]
responses = {{ lh = "{name}_lh.npy", rh = "{name}_rh.npy" }}
vertices = {{ space = "fsaverage5", lh = "places.npy", rh = "places.npy" }}
ceiling = {{ lh = "ceiling.npy", rh = "ceiling.npy" }}
[subjects.{name}.rois.lh]
areas = {{ labels = "labels.npy", names = ["V1", "V2"] }}
[subjects.{name}.rois.rh]
areas = {{ labels = "labels.npy", names = ["V1", "V2"] }}
"""
SPEC = "--dataset compat --subject ann --backbone gabor:size=16,frequencies=1-2,orientations=4 --layer energy --components 4"
NETWORK = "--set hidden_1=6 --set hidden_2=6 --set n_epochs=3"
FITS = {
    "ridge": f"{SPEC} --readout ridge --split holdout:0.75:5",
    "ridge_kfold": f"{SPEC} --readout ridge --split kfold:3:0 --roi V1 --hemi lh",
    "ols_focus": f"{SPEC} --readout ols --split holdout:0.75:5 --focus vertex:lh:3 --hemi lh",
    "mlp": f"{SPEC} --readout mlp {NETWORK} --split holdout:0.75:5 --focus roi",
    "mlp_company": f"{SPEC} --readout mlp {NETWORK} --split holdout:0.75:5 --company bob",
    "linear_sgd_roi": f"{SPEC} --readout linear_sgd --set early_stopping=roi --set n_epochs=3 --split holdout:0.75:5",
    "positional": f"{SPEC} --readout positional --set hidden_1=6 --set hidden_2=6 --set hidden_position=4 --set n_epochs=3"
    " --split holdout:0.75:5",
}


def write_data(folder: Path) -> None:
    """36 images of 8 x 8 pixels; the first half of 8 vertices of each hemisphere follows them, the rest is noise."""
    chance = np.random.default_rng(7)
    (folder / "images").mkdir(parents=True)
    pixels = chance.integers(0, 256, (N_IMAGES, 8, 8, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
    drive = pixels.mean(3).reshape(N_IMAGES, -1) / 255 - 0.5
    for name in ("ann", "bob"):
        for hemi in ("lh", "rh"):
            weights = chance.normal(size=(64, N_VERTICES)) * (np.arange(N_VERTICES) < N_VERTICES // 2)
            np.save(folder / f"{name}_{hemi}.npy", (drive @ weights + 0.3 * chance.normal(size=(N_IMAGES, N_VERTICES))).astype("<f4"))
    np.save(folder / "labels.npy", np.repeat([1, 2], N_VERTICES // 2))
    np.save(folder / "places.npy", np.arange(N_VERTICES) * 1000)
    np.save(folder / "ceiling.npy", np.linspace(0.3, 0.9, N_VERTICES))
    (folder / "dataset.toml").write_text(DATASET + SUBJECT.format(name="ann") + SUBJECT.format(name="bob"))


def main(folder: Path) -> None:
    """Write the data, fit, export and pack."""
    data, store, exports = folder / "data", folder / "store", folder / "exports"
    write_data(data / "compat")
    exports.mkdir()
    environment = os.environ | {"ENCODING_DATA_DIR": str(data), "ENCODING_CACHE_DIR": str(store)}

    def run(*words: str) -> dict:
        done = subprocess.run([sys.executable, "-m", "encoding", *words, "--json"], env=environment, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    fits = {}
    for name, words in FITS.items():
        about = run("fit", *words.split())
        rois = {f"{row['hemi']} {row['roi']}": row["r_mean"] for row in about["rois"]}
        fits[name] = {"command": words, "key": about["key"], "spec": about["spec"], "r_mean": rois}
        run("export", about["key"], "--out", str(exports / f"{name}.zip"))
    (folder / "fits.json").write_text(json.dumps(fits, indent=1) + "\n")
    with zipfile.ZipFile(folder / "first_release.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted([*data.rglob("*"), *store.rglob("*")]):
            if path.is_file() and not {"locks", "fingerprints"} & set(path.parts):
                archive.write(path, path.relative_to(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
