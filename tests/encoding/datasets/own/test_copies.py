"""One image under several paths: spelled differently, or copied."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from encoding import DATASETS
from tests.encoding.datasets.own.array_writers import write_images

N, V, SHOWN = 5, 4, 15
Y = np.random.default_rng(0).normal(size=(SHOWN, V)).astype(np.float32)
IMAGE = np.arange(SHOWN) % N
BASE = '[stimuli]\nfolder = "images"\n{}\n[subjects.me]\nresponses = "Y.npy"\n'
SPELLINGS = {
    "alike": "{0}.png",
    "dot": "./{0}.png",
    "above": "../images/{0}.png",
    "absolute": "{1}/images/{0}.png",
    "copy": "copy{0}.png",
}


@pytest.fixture
def folder(data_dir):
    """Five images with a copy of each, and a feature table by name."""
    folder = data_dir / "mine"
    write_images(folder, N)
    (folder / "features").mkdir()
    for i in range(N):
        shutil.copy(folder / "images" / f"{i}.png", folder / "images" / f"copy{i}.png")
    np.save(folder / "Y.npy", Y)
    names = [f"{i}.png,{i}" for i in range(N)] + [f"copy{i}.png,{i}" for i in range(N)]
    (folder / "features" / "t.csv").write_text("\n".join(["file,number", *names]))
    return folder


@pytest.mark.parametrize("source", ["files", "events"])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_rows_of_one_image_are_joined_however_it_is_named(folder, store, spelling, source):
    paths = [(spelling if row >= N else "{0}.png").format(image, folder) for row, image in enumerate(IMAGE)]
    lines = paths if source == "files" else ["stim_file", *paths]
    (folder / "list.tsv").write_text("\n".join(lines) + "\n")
    text = BASE.format(f'{source} = "list.tsv"')
    (folder / "dataset.toml").write_text(text + 'average = true\nceiling_from = "ncsnr"\n')
    assert not DATASETS["mine"].is_ready("me", store)
    me = DATASETS["mine"].open("me", store)
    assert DATASETS["mine"].is_ready("me", store)
    np.testing.assert_allclose(me.responses["brain"][:], [Y[i == IMAGE].mean(0) for i in range(N)], atol=1e-6)
    assert me.stimuli.names == tuple(map(str, range(N))) and "5 stimuli" in me.ceiling_about
    assert me.stimuli.tables["t"].read("table").ravel().tolist() == list(range(N))
    (folder / "dataset.toml").write_text(text)
    me = DATASETS["mine"].open("me", store)
    assert me.groups.tolist() == IMAGE.tolist()
    assert me.stimuli.tables["t"].read("table").ravel().tolist() == IMAGE.tolist()
