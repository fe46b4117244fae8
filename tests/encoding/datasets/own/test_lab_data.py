"""Data as laboratories keep them: formats, events, sessions, repeats and ceilings from them, GLMsingle, fsLR, parcels, native volumes."""

from __future__ import annotations

import re

import nibabel
import numpy as np
import pytest
from PIL import Image

from encoding import DATASETS
from encoding.cli import main
from encoding.datasets import BadData
from encoding.datasets._placement import Placement
from encoding.datasets._surface import mesh
from encoding.datasets.doctor import diagnose
from encoding.evaluation.noise_ceiling import variance_components
from tests import PROJECT
from tests.encoding.datasets.own.array_writers import AFFINE, MATRICES, VOLUMES

RNG = np.random.default_rng(0)
N, V = 12, 5
Y = RNG.normal(size=(N, V)).astype(np.float32)
MASK = np.zeros((4, 3, 2), np.uint8)
MASK.ravel()[[1, 5, 8, 13, 22]] = 1
VOLUME = RNG.normal(size=(4, 3, 2, N)).astype(np.float32)
VOLUME[MASK == 1] = Y.T
SHOWN = [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]  # the image of each row: six of two repeats


@pytest.fixture
def folder(data_dir, tmp_path, monkeypatch):
    """A folder of data with twelve images, and events that show six of them twice, in two sessions."""
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "none"))
    folder = data_dir / "mine"
    for i in range(N):
        path = folder / "images" / ("animals" if i < 6 else "tools") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * i, 255 - 20 * i, 7 * i)).save(path)
    for session, rows in enumerate((SHOWN[:6], SHOWN[6:]), start=1):
        lines = [f"{i}.0\t1\tanimals/{image}.png\t{session}" for i, image in enumerate(rows)]
        lines.insert(3, "3.5\t1\tn/a\t1")
        (folder / f"ses-{session}_events.tsv").write_text("onset\tduration\tstim_file\tday\n" + "\n".join(lines) + "\n")
    nibabel.Nifti1Image(MASK, AFFINE).to_filename(folder / "mask.nii.gz")
    np.save(folder / "Y.npy", Y)
    return folder


ALL = '[stimuli]\nfolder = "images"\nsubfolders = true\n[subjects.me]\n'
EVENTS = '[stimuli]\nfolder = "images"\nevents = ["ses-1_events.tsv", "ses-2_events.tsv"]\n[subjects.me]\n'


def opened(folder, store, text):
    (folder / "dataset.toml").write_text(text)
    return DATASETS["mine"].open("me", store)


# -- formats


def written(folder, suffix):
    """Write the responses in one format; returns the lines of the description that name them."""
    if suffix in VOLUMES:
        VOLUMES[suffix](folder / f"betas{suffix}", VOLUME)
        return f'responses = "betas{suffix}"\nvertices = {{ mask = "mask.nii.gz", space = "native" }}\n'
    MATRICES[suffix](folder / f"betas{suffix}", Y)
    return f'responses = "betas{suffix}"\n'


@pytest.mark.parametrize("suffix", [*MATRICES, *VOLUMES])
def test_a_subject_has_the_same_responses_in_every_format(folder, store, suffix):
    text = ALL + written(folder, suffix)
    (folder / "dataset.toml").write_text(text)
    assert not DATASETS["mine"].is_ready("me", store)
    me = DATASETS["mine"].open("me", store)
    assert np.array_equal(me.responses["brain"][:], Y) and me.n_stimuli == N
    assert DATASETS["mine"].is_ready("me", store)
    watched = DATASETS["mine"].watched("me")
    assert folder / f"betas{suffix}" in watched and all(path.exists() for path in watched if "features" not in path.parts)


@pytest.mark.parametrize("space", ["native", "MNI"])
def test_a_plain_matrix_with_a_mask_is_ready_once_it_was_opened(folder, store, space):
    affine = np.diag([20.0, 20, 20, 1])
    affine[:3, 3] = -40
    nibabel.Nifti1Image(MASK, affine).to_filename(folder / "mask.nii.gz")
    opened(folder, store, ALL + f'responses = "Y.npy"\nvertices = {{ mask = "mask.nii.gz", space = "{space}" }}\n')
    assert DATASETS["mine"].is_ready("me", store)


@pytest.mark.parametrize("suffix", [".csv", ".gii", "_glmsingle.npy"])
def test_a_format_that_is_read_as_a_whole_is_not_read_at_each_look(folder, store, suffix, monkeypatch):
    me = opened(folder, store, ALL + written(folder, suffix))
    monkeypatch.setattr("encoding.datasets.own.response_files.open_array", lambda path: pytest.fail(f"{path} was read again"))
    assert DATASETS["mine"].is_ready("me", store)
    again = DATASETS["mine"].open("me", store)
    assert again.fingerprints == me.fingerprints and np.array_equal(again.responses["brain"][:], Y)


@pytest.mark.parametrize("suffix", [".mat", ".h5", ".csv", "_betas.npy", ".nii.gz"])
def test_a_changed_file_is_another_subject(folder, store, suffix):
    text = ALL + written(folder, suffix)
    before = opened(folder, store, text).fingerprints
    assert opened(folder, store, text).fingerprints == before
    if suffix in VOLUMES:
        VOLUMES[suffix](folder / f"betas{suffix}", 2 * VOLUME)
    else:
        MATRICES[suffix](folder / f"betas{suffix}", 2 * Y)
    assert not DATASETS["mine"].is_ready("me", store)
    me = opened(folder, store, text)
    assert me.fingerprints != before and np.array_equal(me.responses["brain"][:], 2 * Y)


def test_what_is_done_with_rows_and_the_mask_is_in_the_fingerprint(folder, store):
    VOLUMES[".nii"](folder / "b.nii", VOLUME)
    np.save(folder / "YT.npy", Y.T)
    np.save(folder / "three.npy", np.repeat([0, 1, 2], 4))
    native = 'responses = "b.nii"\nvertices = { mask = "mask.nii.gz", space = "native" }\n'
    texts = [
        ALL + 'responses = "Y.npy"\n',
        ALL + 'responses = "YT.npy"\ntransposed = true\n',
        ALL + native,
        EVENTS + native + 'zscore = "session"\n',
        EVENTS + native + 'zscore = "session"\nsessions = "three.npy"\n',
        EVENTS + native + "average = true\n",
        EVENTS + native + 'average = true\nzscore = "session"\n',
    ]
    found = [opened(folder, store, text).fingerprints["brain"] for text in texts]
    other = np.roll(MASK, 1, axis=0)
    nibabel.Nifti1Image(other, AFFINE).to_filename(folder / "mask.nii.gz")
    me = opened(folder, store, ALL + native)
    assert np.array_equal(me.responses["brain"][:], VOLUME[other == 1].T)
    assert len({*found, me.fingerprints["brain"]}) == len(texts) + 1


def test_files_of_runs_are_rows_one_after_the_other(folder, store):
    VOLUMES[".nii.gz"](folder / "run1.nii.gz", VOLUME[..., :7])
    for i in range(7, N):  # a volume a trial, as of single-trial models
        nibabel.Nifti1Image(VOLUME[..., i], AFFINE).to_filename(folder / f"trial{i}.nii")
    files = ["run1.nii.gz", *(f"trial{i}.nii" for i in range(7, N))]
    me = opened(folder, store, ALL + f'responses = {files}\nvertices = {{ mask = "mask.nii.gz", space = "native" }}\n')
    assert np.array_equal(me.responses["brain"][:], Y)


def test_rois_and_ceilings_may_be_volumes_on_the_grid_of_the_mask(folder, store):
    values = np.zeros(MASK.shape, np.int16)
    values[MASK == 1] = [1, 2, 0, 2, 1]
    nibabel.Nifti1Image(values, AFFINE).to_filename(folder / "areas.nii.gz")
    share = np.full(MASK.shape, np.nan, np.float32)
    share[MASK == 1] = [0.1, 0.2, 0.3, 0.4, 0.5]
    nibabel.Nifti1Image(share, AFFINE).to_filename(folder / "nc.nii.gz")
    text = ALL + written(folder, ".nii") + 'rois.a = { labels = "areas.nii.gz", names = ["V1", "V2"] }\nceiling = "nc.nii.gz"\n'
    me = opened(folder, store, text)
    assert me.rois["brain"]["V1"].tolist() == [0, 4] and me.rois["brain"]["V2"].tolist() == [1, 3]
    np.testing.assert_allclose(me.ceiling["brain"], [0.1, 0.2, 0.3, 0.4, 0.5], rtol=1e-6)
    assert np.array_equal(me.grid.volume(Y[0])[MASK == 1], Y[0]) and Placement.of(me) is None


MISTAKES = {
    "no mask": ('responses = "b.nii"\n', r'holds volumes 4x3x2, so say which voxels.*vertices = \{ mask = "mask.nii.gz" \}'),
    "another grid": ('responses = "b.nii"\nvertices.mask = "small.nii"\n', r"holds volumes \(4, 3, 2\), but .*small.nii is \(3, 3, 2\)"),
    "transposed": ('responses = "YT.npy"\n', "transposed = true"),
    "other columns": ('responses = ["Y.npy", "Y4.npy"]\n', r"Y4.npy has 12 rows of 4 columns, but .*Y.npy has 5"),
    "no list": ("responses = []\n", "one file in quotes, or a list of files"),
    "cubes": ('responses = "cube.h5"\n', r"shape \(12, 2, 3\) where \(n_rows, n_columns\) or volumes"),
    "words": ('responses = "ses-1_events.tsv"\n', "column 'stim_file': 'animals/0.png' is no number"),
    "an ROI volume alone": ('responses = "Y.npy"\nrois.V1 = "small.nii"\n', 'small.nii is a volume .*vertices = { mask = "mask.nii.gz" }'),
    "no sessions": ('responses = "Y.npy"\nzscore = "session"\n', "needs the session of each row"),
    "another z-score": ('responses = "Y.npy"\nzscore = "run"\n', 'zscore must be "session"'),
    "no repeats": ('responses = "Y.npy"\nceiling_from = "ncsnr"\n', r"no stimulus shown twice \(12 rows\)"),
    "another estimate": ('responses = "Y.npy"\nceiling_from = "magic"\n', 'must be "ncsnr" or "split-half"'),
    "two ways": ('responses = "Y.npy"\nceiling_from = "ncsnr"\nceiling = "c.npy"\n', "both ceiling and ceiling_from"),
    "a column of no events": (
        'responses = "Y.npy"\nzscore = "session"\nsessions = "run"\n',
        "is a column of the events, but there are none",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_names_the_line_that_mends_it(folder, store, name):
    import h5py

    text, message = MISTAKES[name]
    VOLUMES[".nii"](folder / "b.nii", VOLUME)
    nibabel.Nifti1Image(MASK[:3], AFFINE).to_filename(folder / "small.nii")
    np.save(folder / "YT.npy", Y.T)
    np.save(folder / "Y4.npy", Y[:, :4])
    with h5py.File(folder / "cube.h5", "w") as file:
        file["Y"] = np.zeros((12, 2, 3))
    with pytest.raises(BadData, match=message):
        opened(folder, store, ALL + text)


# -- events, sessions, repeats


def test_images_of_subfolders_come_folder_by_folder_in_natural_order(folder, store):
    me = opened(folder, store, ALL + 'responses = "Y.npy"\n')
    assert me.stimuli.names == tuple(map(str, range(N)))
    assert [path.parent.name for path in me.stimuli.paths] == ["animals"] * 6 + ["tools"] * 6


def test_events_name_the_stimulus_of_each_row_and_repeats_stay_together(folder, store):
    me = opened(folder, store, EVENTS + 'responses = "Y.npy"\n')
    assert me.stimuli.names == tuple(map(str, SHOWN)) and me.groups.tolist() == SHOWN
    (folder / "ses-2_events.tsv").write_text("onset\tstim_file\n0\tanimals/1.png\n1\tanimals/99.png\n")
    with pytest.raises(BadData, match=r"ses-2_events.tsv, line 3: there is no .*99.png"):
        opened(folder, store, EVENTS + 'responses = "Y.npy"\n')
    (folder / "ses-2_events.tsv").write_text("onset\tstimfile\n0\tanimals/1.png\n")
    with pytest.raises(BadData, match=r"Unknown column 'stim_file'. Did you mean 'stimfile'.*column = "):
        opened(folder, store, EVENTS + 'responses = "Y.npy"\n')


def by_hand(values, sessions, shown):
    """Z-score within sessions, then average over repeats, in the plainest way."""
    z = values.astype(float).copy()
    for session in set(sessions):
        rows = [i for i, other in enumerate(sessions) if other == session]
        z[rows] = (z[rows] - z[rows].mean(0)) / z[rows].std(0)
    order = list(dict.fromkeys(shown))
    return z, np.array([np.mean([z[i] for i, other in enumerate(shown) if other == image], axis=0) for image in order])


@pytest.mark.parametrize("sessions", ["", 'sessions = "day"\n', 'sessions = "days.npy"\n'])
def test_rows_are_z_scored_within_sessions_and_averaged_over_repeats(folder, store, sessions):
    big = (1000 + 50 * Y).astype(np.float32)
    np.save(folder / "Y.npy", big)
    np.save(folder / "days.npy", [7] * 6 + [3] * 6)
    z, means = by_hand(big, [1] * 6 + [2] * 6, SHOWN)
    text = EVENTS + 'responses = "Y.npy"\nzscore = "session"\n' + sessions
    np.testing.assert_allclose(opened(folder, store, text).responses["brain"][:], z, atol=2e-5)
    me = opened(folder, store, text + "average = true\n")
    np.testing.assert_allclose(me.responses["brain"][:], means, atol=2e-5)
    assert me.stimuli.names == tuple("012345") and me.groups.tolist() == list(range(6))
    np.save(folder / "Y.npy", Y)
    means = (Y[:6].astype(float) + Y[6:]) / 2
    np.testing.assert_allclose(
        opened(folder, store, EVENTS + 'responses = "Y.npy"\naverage = true\n').responses["brain"][:], means, atol=1e-6
    )


def test_a_column_that_never_varies_in_a_session_is_0_there(folder, store):
    flat = Y.copy()
    flat[:6, 2] = 0.1
    np.save(folder / "Y.npy", flat)
    me = opened(folder, store, EVENTS + 'responses = "Y.npy"\nzscore = "session"\n')
    assert np.array_equal(me.responses["brain"][:6, 2], np.zeros(6)) and np.isfinite(me.responses["brain"][:]).all()


# -- ceilings from repeats


def test_ceilings_from_repeats_agree_with_formulas_worked_by_hand(folder, store):
    text = EVENTS + 'responses = "Y.npy"\nceiling_from = '
    first, second = Y[:6].astype(float), Y[6:].astype(float)
    noise = ((first - second) ** 2 / 2).mean(0)  # the variance of two repeats around their mean
    signal = np.maximum(((first + second) / 2).var(0, ddof=1) - noise / 2, 0)  # of which half the noise is in the means of two
    single = opened(folder, store, text + '"ncsnr"\n')
    np.testing.assert_allclose(single.ceiling["brain"], signal / (signal + noise), atol=1e-5)
    averaged = opened(folder, store, text + '"ncsnr"\naverage = true\n')
    np.testing.assert_allclose(averaged.ceiling["brain"], signal / (signal + noise / 2), atol=1e-5)
    assert averaged.ceiling_about == "ncsnr of 6 stimuli shown 2 times (12 of 12 rows)"
    rho = np.clip([np.corrcoef(a, b)[0, 1] for a, b in zip(first.T, second.T, strict=True)], 0, 1)
    np.testing.assert_allclose(opened(folder, store, text + '"split-half"\n').ceiling["brain"], rho, atol=1e-5)
    halves = opened(folder, store, text + '"split-half"\naverage = true\n')
    np.testing.assert_allclose(halves.ceiling["brain"], 2 * rho / (1 + rho), atol=1e-5)


def test_a_given_ncsnr_knows_how_many_rows_were_averaged(folder, store):
    np.save(folder / "snr.npy", np.full(V, 1.0))
    me = opened(folder, store, EVENTS + 'responses = "Y.npy"\nncsnr = "snr.npy"\naverage = true\n')
    np.testing.assert_allclose(me.ceiling["brain"], 1 / 1.5, rtol=1e-6)
    text = EVENTS + 'responses = "Y.npy"\nncsnr = "snr.npy"\naverage = true\naveraged = 3\n'
    with pytest.raises(BadData, match="averages its own rows"):
        opened(folder, store, text)


@pytest.mark.parametrize(("unit", "largest", "power"), [("fraction", 1, 1), ("percent", 100, 1), ("r", 1, 2), ("r_percent", 100, 2)])
def test_the_unit_of_a_given_ceiling_can_be_stated(folder, store, unit, largest, power):
    share = np.array([0, 0.1, 0.25, 0.5, 1.0])
    np.save(folder / "c.npy", largest * share)
    me = opened(folder, store, ALL + f'responses = "Y.npy"\nceiling = "c.npy"\nceiling_unit = "{unit}"\n')
    np.testing.assert_allclose(me.ceiling["brain"], share**power, rtol=1e-6)


def test_sessions_of_which_z_scores_were_taken_count_for_the_ceiling(folder, store):
    rows = np.concatenate([(part - part.mean(0)) / part.std(0) for part in (Y[:6].astype(float), Y[6:].astype(float))])
    signal, noise = variance_components(rows, np.array(SHOWN), np.repeat([0, 1], 6))
    me = opened(folder, store, EVENTS + 'responses = "Y.npy"\nceiling_from = "ncsnr"\nzscore = "session"\n')
    signal = np.maximum(signal, 0)
    np.testing.assert_allclose(me.ceiling["brain"], signal / (signal + noise), atol=1e-5)


# -- GLMsingle, and the doctor


@pytest.fixture
def glmsingle(folder):
    """The folder of the guide: betas of GLMsingle in volumes of the subject's own space, and events of two sessions."""
    guide = (PROJECT / "docs" / "own_data.md").read_text()
    section = guide.partition("## GLMsingle and events in three commands")[2].partition("\n## ")[0]
    scenes = folder.parent / "scenes"
    (scenes / "stimuli").mkdir(parents=True)
    chance = np.random.default_rng(3)
    colours = chance.integers(0, 256, (60, 3))
    for i, colour in enumerate(colours):
        Image.new("RGB", (8, 8), tuple(map(int, colour))).save(scenes / "stimuli" / f"scene{i}.png")
    shown = np.concatenate([chance.permutation(60), chance.permutation(60)])
    for session in (0, 1):
        lines = "\n".join(f"{4 * i}\t2\tscene{image}.png" for i, image in enumerate(shown[60 * session : 60 * session + 60]))
        (scenes / f"sub-01_ses-0{session + 1}_events.tsv").write_text(f"onset\tduration\tstim_file\n{lines}\n")
    betas = np.full((*MASK.shape, 120), np.nan, np.float32)  # nothing outside of the brain
    red = (colours[shown, 0] - 127.5) / 74
    betas[MASK == 1] = 0.2 * chance.normal(size=(5, 120)) + np.array([1, 1, 1, 0, 0])[:, None] * red
    VOLUMES["_glmsingle.hdf5"](scenes / "TYPED_FITHRF_GLMDENOISE_RR.hdf5", betas)
    nibabel.Nifti1Image(MASK, AFFINE).to_filename(scenes / "brainmask.nii.gz")
    V1 = np.zeros_like(MASK)
    V1.ravel()[np.flatnonzero(MASK)[:3]] = 1
    nibabel.Nifti1Image(V1, AFFINE).to_filename(scenes / "V1.nii.gz")
    (scenes / "dataset.toml").write_text(re.search(r"```toml\n(.*?)```", section, re.S)[1])
    return folder.parent, re.findall(r"^python -m encoding (.*)$", section, re.M)


def test_glmsingle_and_events_become_a_fit_in_three_commands(glmsingle, monkeypatch, capsys):
    data, commands = glmsingle
    monkeypatch.chdir(data.parent)
    assert len(commands) == 3
    for command in commands:
        assert main(command.split()) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    for words in (
        "column 'stim_file' of sub-01_ses-01_events.tsv, sub-01_ses-02_events.tsv names the stimulus of 120 rows",
        "2 sessions of 60 to 60 rows",
        "120 measured rows become 60",
        "TYPED_FITHRF_GLMDENOISE_RR.hdf5:betasmd is an HDF5 file of float32, 4x3x2x120 (rows are the last axis)",
        "5 voxels of a volume (4, 3, 2) in the subject's own space",
        "from ncsnr of 60 stimuli shown 2 times (120 of 120 rows)",
        "Usable: no errors",
    ):
        assert " ".join(words.split()) in " ".join(shown.split()), words
    row = next(line for line in shown.splitlines() if line.lstrip().startswith("V1"))
    assert max(float(number) for number in re.findall(r"0\.\d+", row)) > 0.8


@pytest.mark.parametrize("suffix", ["_glmsingle.npy", "_glmsingle.mat", "_glmsingle.hdf5"])
def test_betas_of_units_without_a_volume_have_their_trials_last(folder, store, suffix):
    VOLUMES[suffix](folder / f"betas{suffix}", np.ascontiguousarray(Y.T)[:, None, None])
    assert np.array_equal(opened(folder, store, ALL + f'responses = "betas{suffix}"\n').responses["brain"][:], Y)


def test_the_doctor_explains_every_file(folder, store):
    VOLUMES[".nii.gz"](folder / "run1.nii.gz", VOLUME[..., :6])
    VOLUMES[".nii.gz"](folder / "run2.nii.gz", VOLUME[..., 6:])
    text = EVENTS + 'responses = ["run1.nii.gz", "run2.nii.gz"]\nvertices = { mask = "mask.nii.gz", space = "native" }\n'
    (folder / "dataset.toml").write_text(text)
    findings = [f"{each.level} {each.what} {each.meaning} {each.fix}" for each in diagnose(folder, store)]
    said = "\n".join(findings)
    assert "run1.nii.gz is a NIfTI or CIFTI file of float32, 4x3x2x6 (rows are the last axis)" in said and "run2.nii.gz" in said
    assert 'ceiling_from = "ncsnr"' in said and "error" not in {line.split()[0] for line in findings}


# -- places


def sphere_of(path, points):
    data = nibabel.gifti.GiftiDataArray(points.astype(np.float32), intent="NIFTI_INTENT_POINTSET", datatype="NIFTI_TYPE_FLOAT32")
    faces = nibabel.gifti.GiftiDataArray(np.array([[0, 1, 2]], np.int32), intent="NIFTI_INTENT_TRIANGLE", datatype="NIFTI_TYPE_INT32")
    nibabel.GiftiImage(darrays=[data, faces]).to_filename(path)


FSLR = 'responses = { lh = "b.dscalar.nii:lh", rh = "b.dscalar.nii:rh" }\nvertices.space = "fsLR"\n'


def test_vertices_of_fslr_have_no_map_without_spheres_and_the_doctor_says_what_is_missing(folder, store):
    MATRICES[".dscalar.nii"](folder / "b.dscalar.nii", Y)
    me = opened(folder, store, ALL + FSLR)
    assert np.array_equal(me.responses["lh"][:], Y[:, :4]) and np.array_equal(me.responses["rh"][:], Y[:, 4:])
    assert Placement.of(me) is None and me.unit.one == "vertex"
    fixes = " ".join(f"{each.what} {each.fix}" for each in diagnose(folder, store))
    assert "5 columns are vertices of fsLR 32k" in fixes and "fs_LR-deformed_to-fsaverage.L.sphere.32k_fs_LR.surf.gii" in fixes


@pytest.mark.parametrize("named", [False, True])
def test_with_spheres_each_vertex_of_fsaverage5_shows_the_nearest_of_fslr(folder, store, named):
    MATRICES[".dscalar.nii"](folder / "b.dscalar.nii", Y)  # vertices 0, 3, 6, 9 of the left hemisphere, 7 of the right one
    text, points = FSLR, {}
    for hemi, side in (("lh", "L"), ("rh", "R")):
        there = mesh("sphere", hemi)[0].astype(float)
        points[hemi] = np.concatenate([there[:300], np.random.default_rng(2).normal(size=(32_192, 3))])
        points[hemi] *= 100 / np.linalg.norm(points[hemi], axis=1, keepdims=True)
        name = f"fs_LR-deformed_to-fsaverage.{side}.sphere.32k_fs_LR.surf.gii"
        sphere_of((folder if named else folder.parent) / name, points[hemi])
        text += f'vertices.spheres.{hemi} = "{name}"\n' if named else ""
    me = opened(folder, store, ALL + text)
    placement = Placement.of(me)
    assert placement.blocks == {"lh": "lh", "rh": "rh"} and me.vertices is None
    for hemi, of_column in (("lh", [0, 3, 6, 9]), ("rh", [7])):
        vertices, columns = me.sampled[hemi]
        there = mesh("sphere", hemi)[0].astype(float)
        unit = there[:500] / np.linalg.norm(there[:500], axis=1, keepdims=True)
        nearest = np.argmax(unit @ points[hemi].T, axis=1)  # the largest cosine, by brute force
        expected = {vertex: of_column.index(at) for vertex, at in enumerate(nearest) if at in of_column}
        assert {v: c for v, c in zip(vertices.tolist(), columns.tolist(), strict=True) if v < 500} == expected
        assert set(of_column) <= set(vertices.tolist())
    assert placement.values({"lh": Y[0, :4]})["lh"].tolist() == Y[0, :4][me.sampled["lh"][1]].tolist()


def test_parcels_of_a_volume_and_of_the_surface_are_columns_by_their_labels(folder, store):
    affine = np.diag([20.0, 20, 20, 1])
    affine[:3, 3] = -100
    labels = np.zeros((10, 10, 10), np.int16)
    labels[2:5, 1:3, 4:6], labels[5:8, 1:3, 4:6] = 2, 5
    nibabel.Nifti1Image(labels, affine).to_filename(folder / "atlas.nii.gz")
    me = opened(folder, store, ALL + 'responses = "Y.npy"\nvertices.parcels = "atlas.nii.gz"\n')
    for hemi in ("lh", "rh"):
        halfway = (mesh("pial", hemi)[0] + mesh("white", hemi)[0]) / 2
        at = np.round((halfway - affine[:3, 3]) / 20).astype(int)
        expected = labels[tuple(at.T)]
        vertices, columns = me.sampled[hemi]
        assert np.array_equal(vertices, np.flatnonzero(expected)) and len(vertices) > 50
        assert np.array_equal(columns, expected[vertices] - 1)
    lh = np.zeros(163_842, np.int32)
    lh[[3, 90, 10_241, 10_242]] = [1, 5, 2, 3]
    np.save(folder / "lh.npy", lh)
    rh = nibabel.gifti.GiftiDataArray(np.eye(1, 10_242, 8, dtype=np.int32)[0] * 4, intent="NIFTI_INTENT_LABEL", datatype="NIFTI_TYPE_INT32")
    nibabel.GiftiImage(darrays=[rh]).to_filename(folder / "rh.label.gii")
    me = opened(folder, store, ALL + 'responses = "Y.npy"\nvertices.parcels = { lh = "lh.npy", rh = "rh.label.gii" }\n')
    assert [each.tolist() for each in me.sampled["lh"]] == [[3, 90, 10_241], [0, 4, 1]]
    assert [each.tolist() for each in me.sampled["rh"]] == [[8], [3]] and Placement.of(me).column(("rh", 0)) == ("brain", 3)
    lh[7] = 6
    np.save(folder / "lh.npy", lh)
    with pytest.raises(BadData, match="whole numbers from 0 to 5"):
        opened(folder, store, ALL + 'responses = "Y.npy"\nvertices.parcels = { lh = "lh.npy" }\n')


def test_clips_are_stimuli_too(folder, store):
    from tests.encoding.datasets.test_videos import write

    for number in (2, 10):
        (folder / "clips").mkdir(exist_ok=True)
        write(folder / "clips" / f"{number}.mp4", n=4)
    np.save(folder / "Y.npy", Y[:2])
    me = opened(folder, store, 'clips = true\n[stimuli]\nfolder = "clips"\n[subjects.me]\nresponses = "Y.npy"\n')
    assert DATASETS["mine"].clips and me.stimuli.names == ("2", "10") and me.stimuli.n_frames == 16
    assert any("2 clips, all readable" in each.what for each in diagnose(folder, store))
    with pytest.raises(BadData, match=r"images holds no clips \(.avi"):
        opened(folder, store, 'clips = true\n[stimuli]\nfolder = "images"\n[subjects.me]\nresponses = "Y.npy"\n')
