"""Your own data: what a dataset.toml says is read, what is wrong in it is named with its mend, and the guide's example runs."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoding import DATASETS, FitSpec, fit
from encoding.cli import main
from encoding.datasets import BadData
from encoding.datasets._surface import mesh
from encoding.datasets.own import find_own
from encoding.evaluation.noise_ceiling import from_ncsnr
from encoding.evaluation.splits import folds
from encoding.runtime.registry import UnknownName
from encoding.storage.npy import NpyRows
from tests import PROJECT

GUIDE = (PROJECT / "docs" / "own_data.md").read_text()
SHORTEST = """\
title = "Mine"
[stimuli]
folder = "images"
[subjects.me]
responses = "responses.npy"
"""
N = 12
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (N, 3), dtype=np.uint8)
SPEC = FitSpec(dataset="mine", subject="me", backbone="tinynet", layers=("colour",), n_components=0, split="holdout:0.5:5")


@pytest.fixture
def folder(data_dir):
    """A folder of data with pictures and all kinds of arrays, and no description yet."""
    folder = data_dir / "mine"
    (folder / "images").mkdir(parents=True)
    for i, colour in enumerate(COLOURS):
        Image.new("RGB", (8, 8), tuple(map(int, colour))).save(folder / "images" / f"{i}.png")
    arrays = {
        "responses": np.hstack([COLOURS, COLOURS[:, ::-1]]).astype(np.float32),  # (12, 6)
        "lh": RNG.normal(size=(N, 4)).astype(np.float32),
        "rh": RNG.normal(size=(N, 5)).astype(np.float32),
        "V1": np.array([1, 1, 0, 0, 0, 0], bool),
        "faces": np.array([0, 2, 2, 0, 7, 9]),
        "lh_V1": np.array([1, 0, 0, 1]),
        "lh_at": np.array([3, 90, 7, 10_000]),
        "rh_at": np.isin(np.arange(10_242), [1, 4, 5, 6, 10_241]),
        "percent": np.array([0, 10, 20, 30, 40, 50]),
        "snr": np.full(6, 2.0),
        "rows": np.repeat(np.arange(6), 2),
        "days": np.repeat(np.arange(4), 3),
    }
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return folder


def describe(folder: Path, text: str) -> None:
    (folder / "dataset.toml").write_text(text, encoding="utf-8")


def opened(folder, store, text=SHORTEST, subject="me"):
    describe(folder, text)
    return DATASETS["mine"].open(subject, store)


# -- what can be said


def test_the_shortest_description_is_five_lines_and_can_be_fitted(folder, tiny, store):
    assert len(SHORTEST.splitlines()) == 5
    describe(folder, SHORTEST)
    assert DATASETS["mine"].title == "Mine" and DATASETS["mine"].subjects() == ("me",)
    result = fit(SPEC, store)
    assert result.rois()["roi"].tolist() == ["all"] and (result.score("brain") > 0.99).all()


def test_a_data_set_appears_changes_and_goes_with_its_file(folder):
    assert "mine" not in DATASETS
    describe(folder, SHORTEST)
    assert "mine" in DATASETS and "mine" in list(DATASETS) and len(list(DATASETS)) == len(DATASETS)
    first = DATASETS["mine"]
    assert DATASETS["mine"] is first  # read once
    describe(folder, SHORTEST.replace("Mine", "Another title"))
    assert DATASETS["mine"].title == "Another title"
    (folder / "dataset.toml").unlink()
    with pytest.raises(UnknownName, match="Unknown dataset 'mine'"):
        DATASETS["mine"]


def test_a_data_set_of_this_package_keeps_its_name(folder):
    folder.rename(folder.parent / "demo")
    describe(folder.parent / "demo", SHORTEST)
    assert DATASETS["demo"].title != "Mine" and list(DATASETS).count("demo") == 1


def test_a_description_with_a_mistake_is_listed_with_the_mistake_and_hides_no_other(folder, store, capsys):
    describe(folder, "title = Mine")
    assert list(DATASETS)[-1] == "mine" and DATASETS["mine"].subjects() == ()
    assert "is not TOML" in DATASETS["mine"].where()
    assert main(["list", "datasets"]) == 0 and "is not TOML" in capsys.readouterr().out
    with pytest.raises(BadData, match="is not TOML"):
        DATASETS["mine"].open("me", store)


EVERYTHING = """
title = "Everything"
about = "All that can be said."
simulated = true
split = "kfold:3:0"

[stimuli]
folder = "images"
unlabelled = "images"

[subjects.me]
responses = { lh = "lh.npy", rh = "rh.npy" }
vertices = { space = "fsaverage5", lh = "lh_at.npy", rh = "rh_at.npy" }

[subjects.me.rois.lh]
V1 = "lh_V1.npy"

[subjects.you]
responses = "responses.npy"
ceiling = "percent.npy"
repeats = "rows.npy"
rois.V1 = "V1.npy"
rois.floc = { labels = "faces.npy", names = ["OFA", "FFA"] }
rois.atlas = { labels = "faces.npy", names = { left = 7, right = 9, nowhere = 11 } }
"""


def test_hemispheres_rois_and_places(folder, store):
    me = opened(folder, store, EVERYTHING)
    assert me.hemis == ("lh", "rh") and me.simulated and DATASETS["mine"].simulated and DATASETS["mine"].split == "kfold:3:0"
    assert me.rois["lh"]["V1"].tolist() == [0, 3] and me.rois["rh"] == {}
    assert me.vertices["lh"].tolist() == [3, 90, 7, 10_000]  # numbers, in any order
    assert me.vertices["rh"].tolist() == [1, 4, 5, 6, 10_241]  # a mask
    assert len(me.unlabelled) == N and me.ceiling is None


def test_masks_labels_repeats_and_ceilings(folder, store):
    you = opened(folder, store, EVERYTHING, "you")
    assert {name: columns.tolist() for name, columns in you.rois["brain"].items()} == {
        "V1": [0, 1],
        "OFA": [],
        "FFA": [1, 2],
        "left": [4],
        "right": [5],
        "nowhere": [],
    }
    assert DATASETS["mine"].roi_names() == {"ROIs": ("V1",), "floc": ("OFA", "FFA"), "atlas": ("left", "right", "nowhere")}
    assert np.allclose(you.ceiling["brain"], [0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert you.stimuli.names == tuple(str(i) for i in np.repeat(np.arange(6), 2)) and you.n_stimuli == N
    for fold in folds("kfold:3:0", you.groups):
        assert not {you.stimuli.names[i] for i in fold.train} & {you.stimuli.names[i] for i in fold.test}


def test_ncsnr_becomes_a_ceiling_by_the_trials_that_were_averaged(folder, store):
    text = f'{SHORTEST}ncsnr = "snr.npy"\naveraged = "trials.npy"\n'
    np.save(folder / "trials.npy", np.repeat([1, 3], 6))
    assert np.allclose(opened(folder, store, text).ceiling["brain"], from_ncsnr(np.full(6, 2.0), n_one=6, n_three=6))
    text = f'{SHORTEST}ncsnr = "snr.npy"\naveraged = 3\n'
    assert np.allclose(opened(folder, store, text).ceiling["brain"], 12 / 13)


def test_a_list_of_files_gives_the_order_and_its_repeats_stay_together(folder, store):
    order = [3, 3, 1, 0, 1, 2, 4, 5, 6, 7, 8, 9]
    (folder / "order.txt").write_text("# the order of the trials\n" + "\n".join(f"{i}.png" for i in order) + "\n\n")
    me = opened(folder, store, SHORTEST.replace('folder = "images"', 'folder = "images"\nfiles = "order.txt"'))
    assert me.stimuli.names == tuple(map(str, order)) and me.groups.tolist() == [0, 0, 2, 3, 2, 5, 6, 7, 8, 9, 10, 11]
    assert np.array_equal(np.asarray(me.stimuli[1])[0, 0], COLOURS[3])


def test_paths_may_be_absolute_and_subjects_may_have_pictures_of_their_own(folder, store, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (folder / "images").rename(elsewhere)
    text = SHORTEST.replace('[stimuli]\nfolder = "images"\n', "") + f"stimuli.folder = {str(elsewhere)!r}\n"
    assert opened(folder, store, text).n_stimuli == N


def test_groups_keep_rows_of_one_day_on_one_side(folder, store):
    me = opened(folder, store, f'{SHORTEST}groups = "days.npy"\n')
    for fold in folds("kfold:4:0", me.groups):
        assert len(set(me.groups[fold.test])) == 1


def test_the_whole_surface_needs_no_file(folder, store):
    for space, size in {"fsaverage5": 10_242, "fsaverage6": 40_962}.items():
        np.save(folder / f"{space}.npy", RNG.normal(size=(N, size)).astype(np.float32))
        text = SHORTEST.replace('"responses.npy"', f'{{ lh = "{space}.npy" }}') + f'vertices.space = "{space}"\n'
        assert np.array_equal(opened(folder, store, text).vertices["lh"], np.arange(size))  # the first of fsaverage's


def test_voxels_of_a_mask_are_seen_where_they_lie(folder, store):
    import nibabel

    affine = np.diag([20.0, 20, 20, 1])
    affine[:3, 3] = -100
    inside = np.zeros((10, 10, 10), np.uint8)
    inside[4:6, 1:3, 5] = 1  # four voxels of 20 mm, in occipital cortex
    nibabel.Nifti1Image(inside, affine).to_filename(folder / "mask.nii.gz")
    np.save(folder / "voxels.npy", RNG.normal(size=(N, 4)))
    text = SHORTEST.replace("responses.npy", "voxels.npy") + 'vertices.mask = "mask.nii.gz"\n'
    describe(folder, text)
    assert not DATASETS["mine"].is_ready("me", store)
    me = DATASETS["mine"].open("me", store)
    assert me.vertices is None and DATASETS["mine"].is_ready("me", store)
    seen = 0
    for hemi, (vertices, columns) in me.sampled.items():
        halfway = (mesh("pial", hemi)[0] + mesh("white", hemi)[0]) / 2
        voxel = np.round((halfway - affine[:3, 3]) / 20).astype(int)  # independent of nilearn
        lies_in = np.full((10, 10, 10), -1)
        lies_in[inside == 1] = np.arange(4)
        expected = lies_in[tuple(voxel.T)]
        assert np.array_equal(vertices, np.flatnonzero(expected >= 0)) and np.array_equal(columns, expected[expected >= 0])
        seen += len(vertices)
    assert seen > 50


def test_ten_gigabytes_are_never_loaded(folder, store, monkeypatch):
    """Conversion reads blocks of rows; what a subject holds is mapped."""
    values = RNG.normal(size=(N, 6))
    np.save(folder / "responses.npy", values)
    monkeypatch.setattr("encoding.datasets._responses.BLOCK_ROWS", 5)
    sizes = []
    real = np.ascontiguousarray
    monkeypatch.setattr(np, "ascontiguousarray", lambda a, *rest: (sizes.append(np.shape(a)), real(a, *rest))[1])
    me = opened(folder, store)
    assert [size for size in sizes if size[1:] == (6,)] == [(5, 6), (5, 6), (2, 6)]
    assert isinstance(me.responses["brain"], NpyRows)
    assert np.array_equal(me.responses["brain"], values.astype(np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", ">f4"])
def test_fortran_order_is_copied_once_in_pieces_of_bounded_size(folder, store, monkeypatch, dtype):
    values = (100 * RNG.normal(size=(N, 6))).astype(dtype)
    np.save(folder / "responses.npy", np.asfortranarray(values))
    monkeypatch.setattr("encoding.datasets._responses.BLOCK_ROWS", 1)
    monkeypatch.setattr("encoding.datasets._responses.BLOCK_BYTES", 4 * 6 * values.itemsize)
    sizes, read = [], os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, blocks, at: (sizes.append(len(blocks[0])), read(file, blocks, at))[1])
    me = opened(folder, store)
    assert sizes[: 3 * 6] == [4 * values.itemsize] * 3 * 6  # 12 rows in 3 pieces, of 6 columns each
    assert me.responses["brain"].path.is_relative_to(store.root) and not me.responses["brain"].columns_first
    assert np.array_equal(me.responses["brain"], values.astype(np.float32))
    assert np.array_equal(opened(folder, store).responses["brain"][2:4], values.astype(np.float32)[2:4])


# -- what is wrong

WRONG = {
    "no quotes": ("title = Mine", r"dataset.toml is not TOML: .*Text stands in quotes"),
    "unknown key": ("titel = 'x'\n" + SHORTEST, "Unknown key 'titel'. Did you mean 'title'"),
    "unknown key of a subject": (SHORTEST + "roi.V1 = 'V1.npy'", r"Unknown key in \[subjects.me\] 'roi'. Did you mean 'rois'"),
    "unknown key of stimuli": (SHORTEST.replace("folder", "folders"), r"Unknown key in \[stimuli\] 'folders'. Did you mean 'folder'"),
    "no subject": ("title = 'x'", r"names no subject. Add \[subjects.me\]"),
    "no responses": ("[subjects.me]\nrepeats = 'a.npy'", r"\[subjects.me\] needs responses = "),
    "no stimuli": (SHORTEST.replace('folder = "images"', ""), r"\[stimuli\] must say where the images are"),
    "a number for a path": (SHORTEST.replace('"responses.npy"', "3"), "subjects.me.responses must be one file in quotes or a table"),
    "a number for a title": (SHORTEST.replace('"Mine"', "3"), "title must be text in quotes, not 3"),
    "simulated in quotes": ("simulated = 'yes'\n" + SHORTEST, "simulated must be true or false, not 'yes'"),
    "split": ("split = 'half'\n" + SHORTEST, "split: Split 'half' is not understood"),
    "an odd block": (SHORTEST.replace('"responses.npy"', '{ "left half" = "lh.npy" }'), "left half: name blocks with letters"),
    "an empty table": (SHORTEST.replace('"responses.npy"', "{}"), r"\[subjects.me.responses\] is empty"),
    "ceiling by block": (SHORTEST + "ceiling.lh = 'a.npy'", "subjects.me.ceiling must be one file, as responses is"),
    "half a ceiling": (
        SHORTEST.replace('"responses.npy"', '{ lh = "lh.npy", rh = "rh.npy" }') + "ceiling.lh = 'lh.npy'",
        r"\[subjects.me.ceiling\] has no rh",
    ),
    "two ceilings": (SHORTEST + "ceiling = 'a.npy'\nncsnr = 'b.npy'", "both ceiling and ncsnr"),
    "ncsnr alone": (SHORTEST + "ncsnr = 'snr.npy'", "averaged = 3"),
    "averaged": (SHORTEST + "averaged = 4", "averaged must be 1, 2 or 3 trials"),
    "a mask that is a number": (SHORTEST + "rois.V1 = 3", "rois.V1 must be a mask's file in quotes"),
    "labels without names": (SHORTEST + "rois.f = { labels = 'faces.npy' }", "needs both labels"),
    "names that are none": (SHORTEST + "rois.f = { labels = 'faces.npy', names = ['a', 'a'] }", "must be different names in quotes"),
    "a space without hemispheres": (SHORTEST + "vertices.space = 'fsaverage'", "responses are named 'brain', which is no hemisphere"),
    "an unknown space": (SHORTEST + "vertices.space = 'fsaverage4'", "Unknown space 'fsaverage4'. Did you mean 'fsaverage"),
    "a mask and a space": (SHORTEST + "vertices = { mask = 'm.nii', space = 'fsaverage' }", "stands alone"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_a_mistake_in_the_description_names_file_key_and_mend(folder, store, text, message):
    with pytest.raises(BadData, match=message) as caught:
        opened(folder, store, text)
    assert str(folder / "dataset.toml") in str(caught.value)


LH = SHORTEST.replace('"responses.npy"', '{ lh = "lh.npy" }')
DAMAGED = {
    "no pictures": (SHORTEST.replace('"images"', '"nowhere"'), {}, "There is no folder .*nowhere"),
    "an empty folder": (SHORTEST.replace('"images"', '"."'), {}, "holds no images"),
    "a missing array": (SHORTEST.replace("responses.npy", "respones.npy"), {}, "respones.npy is missing"),
    "too few rows": (SHORTEST, {"responses": np.zeros((11, 6))}, "holds 12 images but .*responses.npy has 11 rows.*repeats = "),
    "transposed": (SHORTEST, {"responses": np.zeros((6, 12))}, "looks transposed: save Y.T"),
    "three axes": (SHORTEST, {"responses": np.zeros((12, 2, 3))}, r"shape \(12, 2, 3\) where \(n_rows, n_vertices\)"),
    "text": (SHORTEST, {"responses": np.full((12, 6), "x")}, "holds <U1 where real numbers are needed"),
    "an infinity": (SHORTEST, {"responses": np.full((12, 6), np.inf)}, r"mine/responses.npy holds NaN or infinite .*in 6 vertices"),
    "other blocks": (LH.replace("}", ', rh = "rh.npy" }'), {"rh": np.zeros((3, 4))}, "lh.npy has 12 rows but .*rh.npy has 3"),
    "a mask of another size": (SHORTEST + "rois.V1 = 'lh_V1.npy'", {}, r"lh_V1.npy has shape \(4,\), but the responses' columns are 6"),
    "labels as a mask": (SHORTEST + "rois.V1 = 'faces.npy'", {}, r"so it is no mask. For labels write V1 = \{ labels"),
    "fractions as a mask": (SHORTEST + "rois.V1 = 'V1.npy'", {"V1": np.full(6, 0.5)}, "whole numbers are needed"),
    "a name twice": (
        SHORTEST + "rois = { V1 = 'V1.npy', f = { labels = 'faces.npy', names = ['V1'] } }",
        {},
        "Give every ROI its own name",
    ),
    "an image that is not there": (
        SHORTEST + "repeats = 'rows.npy'",
        {"rows": np.arange(12) + 1},
        r"of 12 images the last is 11\. It counts from 1: save repeats - 1",
    ),
    "torn repeats": (
        SHORTEST + "repeats = 'rows.npy'\ngroups = 'days.npy'",
        {},
        "puts rows 2 and 3 into different groups, but both answer 1.png",
    ),
    "an impossible ceiling": (SHORTEST + "ceiling = 'percent.npy'", {"percent": np.full(6, 101)}, "a ceiling lies between 0 and 1"),
    "a ceiling of another size": (SHORTEST + "ceiling = 'lh_V1.npy'", {}, "but brain has 6 columns"),
    "vertices out of range": (LH + "vertices = { space = 'fsaverage5', lh = 'lh_at.npy' }", {"lh_at": [0, 1, 2, 10_242]}, "0 to 10,241"),
    "a vertex twice": (LH + "vertices = { space = 'fsaverage5', lh = 'lh_at.npy' }", {"lh_at": [0, 1, 2, 2]}, "names a vertex twice"),
    "vertices without a file": (LH + "vertices.space = 'fsaverage'", {}, "lh has 4 columns, which are not all 163,842 vertices"),
    "a mask of vertices": (LH + "vertices = { space = 'fsaverage5', lh = 'rh_at.npy' }", {}, "must mark 4 vertices with 1"),
    "no NIfTI": (SHORTEST + "vertices.mask = 'responses.npy'", {}, "responses.npy cannot be read as NIfTI"),
    "trials": (
        SHORTEST + "ncsnr = 'snr.npy'\naveraged = 'trials.npy'",
        {"trials": np.full(12, 5)},
        "other numbers than 1, 2 and 3",
    ),
}


@pytest.mark.parametrize(("text", "arrays", "message"), DAMAGED.values(), ids=DAMAGED)
def test_files_that_do_not_fit_are_named_with_their_mend(folder, store, text, arrays, message):
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    with pytest.raises(BadData, match=message):
        opened(folder, store, text)


def test_groups_may_not_part_an_image_and_its_copy_under_another_name(folder, store):
    shutil.copy(folder / "images" / "1.png", folder / "images" / "7.png")
    text = SHORTEST + "groups = 'days.npy'"
    with pytest.raises(BadData, match=r"days.npy puts rows 1 and 7 into different groups, but 7.png is a copy of 1.png. Give all rows"):
        opened(folder, store, text)
    np.save(folder / "days.npy", np.array([0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]))
    assert opened(folder, store, text).groups.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]  # a day stays whole


def test_groups_of_averaged_rows_name_the_rows_of_the_files(folder, store):
    shutil.copy(folder / "images" / "1.png", folder / "images" / "3.png")
    text = SHORTEST + "repeats = 'rows.npy'\ngroups = 'pairs.npy'\naverage = true"  # rows 2, 3 answer 1.png and rows 6, 7 its copy
    np.save(folder / "pairs.npy", np.repeat(np.arange(6), 2))
    with pytest.raises(BadData, match=r"puts rows 2 and 6 into different groups, but 3.png is a copy of 1.png"):
        opened(folder, store, text)


def test_a_line_of_the_list_that_names_nothing_is_told_by_its_number(folder, store):
    (folder / "order.txt").write_text("images/0.png\n\nimages/none.png\n")
    with pytest.raises(BadData, match=r"order.txt, line 3: there is no .*images/none.png. Paths are relative to"):
        opened(folder, store, SHORTEST.replace('folder = "images"', 'files = "order.txt"'))


def test_a_subject_that_does_not_exist_gets_the_nearest(folder, store):
    with pytest.raises(UnknownName, match=r"Unknown subject of mine 'em'. Did you mean 'me'\?"):
        opened(folder, store, subject="em")


# -- the guide


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_the_guides_example_runs_as_it_stands(tmp_path, monkeypatch, capsys, store):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    write, fitted, write_table = blocks("python")
    names = {}
    exec(compile(write, "docs/own_data.md", "exec"), names)
    exec(compile(write_table, "docs/own_data.md", "exec"), names)
    (tmp_path / "data" / "kitchen" / "dataset.toml").write_text(blocks("toml")[1])
    exec(compile(fitted, "docs/own_data.md", "exec"), names)
    table = names["result"].rois().set_index("roi")
    assert table.loc["V1", "r_mean"] > 0.8 > 0.4 > abs(table.loc["other", "r_mean"])
    lines = re.findall(r"^python -m encoding (.*)$", "\n".join(blocks("bash")), re.MULTILINE)
    lines = [line for line in lines if "kitchen" in line]
    assert len(lines) >= 3
    for line in lines:
        assert main(line.split()) == 0, capsys.readouterr().err
    assert "Usable: no errors" in capsys.readouterr().out


def test_every_description_in_the_guide_is_understood(tmp_path, monkeypatch):
    texts = blocks("toml")
    assert len(texts) >= 3
    for number, text in enumerate(texts):
        (tmp_path / f"set{number}").mkdir()
        (tmp_path / f"set{number}" / "dataset.toml").write_text(text)
    found = find_own(tmp_path)
    assert [one.problem for one in found.values()] == [""] * len(texts)


def test_the_guide_names_every_key():
    from encoding.datasets.own import parsing

    source = Path(parsing.__file__).read_text()
    keys = {key for known in re.findall(r'knows\(\s*("[^)]*?)\)', source) for key in re.findall(r'"(\w+)"', known)}
    assert {"title", "stimuli", "unlabelled", "averaged", "labels", "mask"} <= keys
    assert [key for key in sorted(keys) if f"`{key}`" not in GUIDE] == []


@pytest.mark.parametrize("grouped", [False, True])
def test_images_of_equal_bytes_are_one_stimulus_whatever_they_are_called(folder, store, grouped):
    """No split trains on one and tests on the other, and intervals draw them together."""
    for twin, row in enumerate((3, 7)):
        (folder / "images" / f"{9 + twin}.png").write_bytes((folder / "images" / f"{row}.png").read_bytes())
    (folder / "dataset.toml").write_text(SHORTEST + ('groups = "groups.npy"\n' if grouped else ""))
    np.save(folder / "groups.npy", [0, 1, 2, 3, 4, 5, 6, 7, 8, 3, 7, 11])
    subject = DATASETS["mine"].open("me", store)
    assert subject.groups.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 3, 7, 11] == subject.stimulus_of_row.tolist()
    for fold in folds("kfold:5:0", subject.groups):
        assert not {3, 9} & set(fold.test) or {3, 9} <= set(fold.test)
        assert not {7, 10} & set(fold.test) or {7, 10} <= set(fold.test)
