"""Descriptions that are proposed for folders as laboratories keep them: what is found, why, what is left open, and what is missing."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io
from PIL import Image

from encoding import DATASETS
from encoding.datasets import BadData
from encoding.datasets.doctor import diagnose
from encoding.datasets.own.importing import propose
from encoding.datasets.own.proposal import write
from encoding.datasets.own.survey import survey
from encoding.runtime.registry import UnknownName
from tests.encoding.datasets.own.array_writers import MATRICES, VOLUMES

RNG = np.random.default_rng(0)
N, V = 12, 5
Y = RNG.normal(size=(N, V)).astype(np.float32)
MASK = np.zeros((4, 3, 2), np.uint8)
MASK.ravel()[[1, 5, 8, 13, 22]] = 1
VOLUMES_4D = RNG.normal(size=(4, 3, 2, N)).astype(np.float32)
SHOWN = [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setattr("encoding.storage.fingerprints.SETTLED_SECONDS", 0)
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "none"))
    return tmp_path


def images(folder, n=N):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.new("RGB", (8, 8), (20 * i, 255 - 20 * i, 7 * i)).save(folder / f"{i}.png")


def events(path, shown, column="stim_file", prefix=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{i}.0\t1\tn/a\tgo" if image is None else f"{i}.0\t1\t{prefix}{image}.png\tgo" for i, image in enumerate(shown)]
    path.write_text(f"onset\tduration\t{column}\ttrial_type\n" + "\n".join(lines) + "\n")


def nifti(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    VOLUMES[".nii.gz"](path, values)


def written(proposal, store):
    """Write a proposal into its folder; return the first subject of what is read, which the doctor finds no error in."""
    write(proposal, proposal.folder / "dataset.toml")
    assert [each for each in diagnose(proposal.folder, store) if each.level == "error"] == []
    dataset = DATASETS[proposal.folder.name]
    return dataset.open(dataset.subjects()[0], store)


def value(proposal, key):
    return next(line.value for line in proposal.lines if line.key == key)


def bids(folder):
    """A BIDS folder: raw with stimuli and events, fMRIPrep's runs and masks, GLMsingle's betas of two sessions, ROIs."""
    images(folder / "stimuli", 6)
    for session in (1, 2):
        raw = folder / "sub-01" / f"ses-{session}"
        events(raw / "func" / f"sub-01_ses-{session}_task-scenes_events.tsv", [*SHOWN[:3], None, *SHOWN[3:6]])
        events(raw / "func" / f"sub-01_ses-{session}_task-localizer_events.tsv", SHOWN[:4], column="block")
        (raw / "func" / f"sub-01_ses-{session}_task-scenes_bold.nii.gz").symlink_to("../../.git/annex/objects/gone")
        nifti(raw / "anat" / f"sub-01_ses-{session}_T1w.nii.gz", np.ones((4, 4, 4), np.float32))
        prepared = folder / "derivatives" / "fmriprep" / "sub-01" / f"ses-{session}" / "func"
        nifti(prepared / f"sub-01_ses-{session}_task-scenes_space-T1w_desc-preproc_bold.nii.gz", VOLUMES_4D)
        betas = folder / "derivatives" / "glmsingle" / "sub-01" / f"ses-{session}"
        betas.mkdir(parents=True)
        for kind in ("TYPEB_FITHRF", "TYPED_FITHRF_GLMDENOISE_RR"):
            VOLUMES["_glmsingle.hdf5"](betas / f"{kind}.hdf5", VOLUMES_4D[..., 6 * session - 6 : 6 * session])
    nifti(prepared / "sub-01_ses-2_task-scenes_space-T1w_desc-brain_mask.nii.gz", MASK)
    V1 = np.zeros_like(MASK)
    V1.ravel()[[1, 5, 8]] = 1
    nifti(folder / "derivatives" / "rois" / "sub-01" / "sub-01_space-T1w_label-V1_mask.nii.gz", V1)


def test_a_bids_folder_with_betas_becomes_a_data_set_without_a_choice(data, store):
    bids(data / "scenes")
    proposal = propose(data / "scenes")
    assert proposal.is_complete and {choice.key for choice in proposal.choices} == {"sub-01.average", "sub-01.zscore"}
    me = written(proposal, store)
    assert np.array_equal(me.responses["brain"][:], VOLUMES_4D[MASK == 1].T)
    assert [path.name for path in me.stimuli.paths] == [f"{i}.png" for i in SHOWN]
    assert me.rois["brain"]["V1"].tolist() == [0, 1, 2] and me.grid is not None and me.ceiling is not None
    text = (data / "scenes" / "dataset.toml").read_text()
    lines = text.splitlines()
    assert all(lines[i - 1].startswith("# ") for i, line in enumerate(lines) if " = " in line and not line.startswith("#"))
    for words in (
        "2 tables of events of the task scenes, 12 rows that name a stimulus (6 different ones); 2 rows name none and are left out",
        "an HDF5 file of float32, 4x3x2x6; 12 rows (the only array that could be responses; the last axis is that of trials",
        "5 voxels are 1; these are the columns. Space: its name says space-T1w",
        "6 of 6 stimuli have 2 to 2 rows",
    ):
        assert words in text
    notes = "\n".join(proposal.notes)
    assert "a simpler model of GLMsingle's than TYPED" in notes and "2 files are links to content that is not here" in notes
    assert "datalad get sub-01/ses-1/func/sub-01_ses-1_task-scenes_bold.nii.gz" in notes


def test_what_is_chosen_is_written_and_what_cannot_be_chosen_is_refused(data, store):
    bids(data / "scenes")
    me = written(propose(data / "scenes", {"sub-01.average": "yes", "sub-01.zscore": "yes"}), store)
    z = np.concatenate([(part - part.mean(0)) / part.std(0) for part in np.split(VOLUMES_4D[MASK == 1].T.astype(float), 2)])
    np.testing.assert_allclose(me.responses["brain"][:], (z[:6] + z[6:]) / 2, atol=1e-5)
    with pytest.raises(UnknownName, match=r"sub-01\.zscore"):
        propose(data / "scenes", {"sub-01.zsore": "yes"})
    with pytest.raises(UnknownName, match=r"answer to sub-01\.zscore.*yes"):
        propose(data / "scenes", {"sub-01.zscore": "session"})


def test_runs_of_fmriprep_alone_are_called_what_they_are(data):
    bids(data / "scenes")
    for path in (data / "scenes" / "derivatives" / "glmsingle").rglob("*.hdf5"):
        path.unlink()
    proposal = propose(data / "scenes")
    missing = next(each for each in proposal.missing if each.is_needed)
    assert "2 runs of BOLD, such as derivatives/fmriprep/" in missing.what and "time series" in missing.what
    assert missing.line == 'responses = "TYPED_FITHRF_GLMDENOISE_RR.hdf5"' and not proposal.is_complete
    film = next(each.line for each in proposal.missing if "[time]" in each.line)
    assert "tr = 1\n[subjects.sub-01]" in film and film.count("desc-preproc_bold.nii.gz") == 2
    with pytest.raises(BadData, match="Estimate betas of single trials"):
        write(proposal, data / "scenes" / "dataset.toml")
    assert not (data / "scenes" / "dataset.toml").exists()


def plain(folder, **arrays):
    images(folder / "images")
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)


def test_a_plain_folder_of_arrays_and_images(data, store):
    plain(
        data / "kitchen", responses=Y, noise_ceiling=np.linspace(0, 0.8, V), V1=np.array([1, 1, 0, 0, 0]), areas=np.array([1, 2, 3, 3, 0])
    )
    proposal = propose(data / "kitchen")
    me = written(proposal, store)
    assert np.array_equal(me.responses["brain"][:], Y) and me.rois["brain"]["V1"].tolist() == [0, 1]
    np.testing.assert_allclose(me.ceiling["brain"], np.linspace(0, 0.8, V), rtol=1e-6)
    lines = {each.line for each in proposal.missing}
    assert 'rois.areas = { labels = "areas.npy", names = ["name of label 1", "…"] }' in lines
    assert any(each.startswith("vertices = { mask") for each in lines)


def test_images_in_folders_below_and_a_transposed_matrix(data, store):
    for kind in ("animals", "tools"):
        images(data / "kitchen" / "images" / kind, 6)
    np.save(data / "kitchen" / "betas.npy", Y.T)
    me = written(propose(data / "kitchen"), store)
    assert np.array_equal(me.responses["brain"][:], Y) and [path.parent.name for path in me.stimuli.paths[5:7]] == ["animals", "tools"]


def test_two_arrays_that_fit_are_listed_and_neither_is_taken(data, store):
    plain(data / "kitchen", first=Y, second=2 * Y, short=Y[:7])
    proposal = propose(data / "kitchen")
    (choice,) = proposal.choices
    assert choice.key == "S1.responses" and list(choice.options) == ["first.npy", "second.npy"] and not proposal.is_complete
    assert not any(line.key == "responses" for line in proposal.lines)
    with pytest.raises(BadData, match=r"choose S1\.responses \(first.npy, second.npy\)"):
        write(proposal, data / "kitchen" / "dataset.toml")
    me = written(propose(data / "kitchen", {"S1.responses": "second.npy"}), store)
    assert np.array_equal(me.responses["brain"][:], 2 * Y)


def test_two_folders_of_images_with_as_many_are_a_choice(data, store):
    plain(data / "kitchen", Y=Y)
    images(data / "kitchen" / "others")
    (choice,) = propose(data / "kitchen").choices
    assert choice.key == "S1.stimuli" and list(choice.options) == ["images", "others"]
    assert written(propose(data / "kitchen", {"S1.stimuli": "others"}), store).stimuli.paths[0].parent.name == "others"


def test_the_space_of_a_mask_is_asked_for_where_no_name_states_it(data, store):
    images(data / "kitchen" / "images")
    nifti(data / "kitchen" / "betas.nii.gz", VOLUMES_4D)
    nifti(data / "kitchen" / "mask.nii.gz", MASK)
    nifti(data / "kitchen" / "FFA.nii.gz", MASK * (np.arange(24).reshape(4, 3, 2) > 8))
    proposal = propose(data / "kitchen")
    assert [choice.key for choice in proposal.choices] == ["S1.space"] and not proposal.is_complete
    me = written(propose(data / "kitchen", {"S1.space": "native"}), store)
    assert me.grid is not None and me.rois["brain"]["FFA"].tolist() == [3, 4]


@pytest.mark.parametrize(("space", "size"), [("fsaverage5", 10_242), ("fsaverage6", 40_962)])
def test_two_hemispheres_of_the_smaller_meshes(data, store, space, size):
    sides = {}
    for side, hemi in (("L", "lh"), ("R", "rh")):
        images(data / "surface" / "images", 4)
        sides[hemi] = RNG.normal(size=(4, size)).astype(np.float32)
        name = f"sub-03_hemi-{side}_space-{space}_stat-effect_statmap.func.gii"
        MATRICES[".gii"](data / "surface" / name, sides[hemi])
        np.save(data / "surface" / f"sub-03_{hemi}_nc.npy", np.full(size, 40.0))
    proposal = propose(data / "surface")
    assert value(proposal, "vertices") == {"space": space}
    me = written(proposal, store)
    assert me.name == "sub-03" and all(np.array_equal(me.responses[hemi][:], sides[hemi]) for hemi in sides)
    assert np.array_equal(me.vertices["rh"], np.arange(size)) and np.allclose(me.ceiling["lh"], 0.4)


def test_cifti_runs_are_hemispheres_row_after_row(data, store):
    images(data / "dense" / "images")
    for run in (1, 2):
        MATRICES[".dscalar.nii"](data / "dense" / f"run-{run}_beta.dscalar.nii", Y[6 * run - 6 : 6 * run])
    proposal = propose(data / "dense")
    assert value(proposal, "vertices") == {"space": "fsLR"}
    me = written(proposal, store)
    assert np.array_equal(me.responses["lh"][:], Y[:, :4]) and np.array_equal(me.responses["rh"][:], Y[:, 4:])


def test_maps_of_single_trials_are_rows_in_the_order_of_their_numbers(data, store):
    images(data / "spm" / "images")
    for trial in range(N):
        nifti(data / "spm" / f"beta_{trial + 1:04d}.nii.gz", VOLUMES_4D[..., trial])
    nifti(data / "spm" / "brain_space-native_mask.nii.gz", MASK)
    me = written(propose(data / "spm"), store)
    assert np.array_equal(me.responses["brain"][:], VOLUMES_4D[MASK == 1].T)


def test_a_list_of_names_gives_the_stimuli_and_repeats_their_rows(data, store):
    plain(data / "kitchen", Y=Y)
    (data / "kitchen" / "imgnames.txt").write_text("\n".join(f"{i}.png" for i in SHOWN) + "\n")
    me = written(propose(data / "kitchen"), store)
    assert [path.name for path in me.stimuli.paths] == [f"{i}.png" for i in SHOWN] and me.ceiling is not None
    (data / "kitchen" / "imgnames.txt").unlink()
    (data / "kitchen" / "dataset.toml").unlink()
    for i in range(6, N):
        (data / "kitchen" / "images" / f"{i}.png").unlink()
    proposal = propose(data / "kitchen")
    assert any(each.line == 'repeats = "repeats.npy"' and "12 rows, and 6 stimuli" in each.what for each in proposal.missing)
    np.save(data / "kitchen" / "image_ids.npy", np.array(SHOWN))
    me = written(propose(data / "kitchen"), store)
    assert [path.name for path in me.stimuli.paths] == [f"{i}.png" for i in SHOWN]


def test_subjects_have_tables_of_their_own(data, store):
    for subject in ("sub-01", "sub-02"):
        images(data / "two" / "stimuli")
        events(data / "two" / subject / f"{subject}_task-x_events.tsv", range(N))
        np.save(data / "two" / subject / "betas.npy", Y if subject == "sub-01" else -Y)
    me = written(propose(data / "two"), store)
    assert DATASETS["two"].subjects() == ("sub-01", "sub-02") and np.array_equal(me.responses["brain"][:], Y)
    assert np.array_equal(DATASETS["two"].open("sub-02", store).responses["brain"][:], -Y)


def test_labels_of_a_segmentation_have_the_names_of_the_table_beside_it(data, store):
    images(data / "kitchen" / "images")
    nifti(data / "kitchen" / "sub-1_space-T1w_betas.nii.gz", VOLUMES_4D)
    nifti(data / "kitchen" / "sub-1_space-T1w_desc-brain_mask.nii.gz", MASK)
    labels = np.zeros(24, np.int16)
    labels[np.flatnonzero(MASK)] = [3, 3, 7, 7, 9]
    nifti(data / "kitchen" / "sub-1_space-T1w_dseg.nii.gz", labels.reshape(MASK.shape))
    (data / "kitchen" / "sub-1_space-T1w_dseg.tsv").write_text("index\tname\n3\tV1\n7\tV2\n8\tnowhere\n")
    me = written(propose(data / "kitchen"), store)
    assert {roi: columns.tolist() for roi, columns in me.rois["brain"].items()} == {"V1": [0, 1], "V2": [2, 3]}


def test_an_array_among_several_of_a_file_is_named(data, store):
    images(data / "kitchen" / "images")
    scipy.io.savemat(data / "kitchen" / "all.mat", {"betas": Y, "V1": np.array([[1, 0, 1, 0, 0]]), "short": Y[:7]})
    proposal = propose(data / "kitchen")
    assert value(proposal, "responses") == data / "kitchen" / "all.mat:betas"
    me = written(proposal, store)
    assert np.array_equal(me.responses["brain"][:], Y) and me.rois["brain"]["V1"].tolist() == [0, 2]


def test_masks_that_hold_each_other_not_are_a_choice(data):
    images(data / "kitchen" / "images")
    nifti(data / "kitchen" / "betas.nii.gz", VOLUMES_4D)
    nifti(data / "kitchen" / "one_space-T1w_mask.nii.gz", MASK)
    nifti(data / "kitchen" / "two_space-T1w_mask.nii.gz", np.roll(MASK, 1, axis=0))
    (choice,) = propose(data / "kitchen").choices
    assert choice.key == "S1.mask" and list(choice.options.values()) == ["5 voxels.", "5 voxels."]
    answered = propose(data / "kitchen", {"S1.mask": "two_space-T1w_mask.nii.gz"})
    assert answered.is_complete and value(answered, "vertices")["mask"].name == "two_space-T1w_mask.nii.gz"


def test_a_mask_that_is_replaced_is_read_again(data):
    images(data / "kitchen" / "images")
    nifti(data / "kitchen" / "betas.nii.gz", VOLUMES_4D)
    for rows in (slice(None), slice(2)):  # of the second, fewer voxels
        for name, mask in (("one", MASK), ("two", np.roll(MASK, 1, axis=0))):
            nifti(data / "kitchen" / f"{name}_space-T1w_mask.nii.gz", mask * np.isin(np.arange(4), np.arange(4)[rows])[:, None, None])
        (choice,) = propose(data / "kitchen").choices
        expected = [np.count_nonzero(each[rows]) for each in (MASK, np.roll(MASK, 1, axis=0))]
        assert list(choice.options.values()) == [f"{n} voxels." for n in expected]


def test_an_atlas_with_as_many_labels_as_columns_places_them(data):
    plain(data / "kitchen", Y=Y)
    nifti(data / "kitchen" / "atlas.nii.gz", (np.arange(24) % 6).reshape(4, 3, 2).astype(np.int16))
    assert value(propose(data / "kitchen"), "vertices") == {"parcels": data / "kitchen" / "atlas.nii.gz"}


def test_a_ceiling_of_unclear_unit_or_among_two_is_not_taken(data):
    plain(data / "kitchen", Y=Y, noise_ceiling=np.linspace(0, 1.5, V))
    proposal = propose(data / "kitchen")
    assert not any(line.key == "ceiling" for line in proposal.lines)
    assert any('ceiling_unit = "percent"' in each.line for each in proposal.missing)
    np.save(data / "kitchen" / "nc_single.npy", np.full(V, 30.0))
    (choice,) = propose(data / "kitchen").choices
    assert choice.key == "S1.ceiling" and not choice.is_needed and len(choice.options) == 2


def test_a_table_of_features_is_no_candidate_for_responses(data):
    plain(data / "kitchen", Y=Y, clip_features=RNG.normal(size=(N, 9)))
    proposal = propose(data / "kitchen")
    assert value(proposal, "responses").name == "Y.npy" and any("put it into the folder features" in note for note in proposal.notes)


def test_a_subject_without_responses_keeps_no_other_from_being_described(data, store):
    images(data / "two" / "stimuli")
    for subject in ("sub-01", "sub-02"):
        events(data / "two" / subject / f"{subject}_task-x_events.tsv", range(N))
    np.save(data / "two" / "sub-01" / "betas.npy", Y)
    proposal = propose(data / "two")
    assert written(proposal, store).name == "sub-01"
    assert any("nothing that could be responses: sub-02" in note for note in proposal.notes)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("betas.npy", MATRICES[".v7.mat"], "a MATLAB file by its content. Rename it, so that its name ends with .mat"),
        ("betas.npy", MATRICES[".h5"], "an HDF5 file by its content. Rename it"),
        ("betas.pkl", lambda path, Y: path.write_bytes(b"\x80\x04K\x01."), "a Python pickle"),
        ("betas.xlsx", lambda path, Y: path.write_bytes(b"PK\x03\x04xl/" + bytes(40)), "an Excel workbook"),
        ("betas.h5", lambda path, Y: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer"),
    ],
)
def test_a_wrong_format_is_called_by_its_name(data, name, content, match):
    images(data / "kitchen" / "images")
    content(data / "kitchen" / name, Y)
    proposal = propose(data / "kitchen")
    assert match in "\n".join(proposal.notes) and not proposal.is_complete


def test_matlab_7_3_is_read_and_named(data, store):
    images(data / "kitchen" / "images")
    MATRICES[".v7.mat"](data / "kitchen" / "betas.mat", Y)
    proposal = propose(data / "kitchen")
    assert "a MATLAB 7.3 file of float32, 12x5" in proposal.toml()
    assert np.array_equal(written(proposal, store).responses["brain"][:], Y)


def test_no_file_is_written_over_and_a_description_elsewhere_has_whole_paths(data, store, tmp_path):
    plain(data / "lab", Y=Y)
    proposal = propose(data / "lab")
    (data / "other").mkdir()
    write(proposal, data / "other" / "dataset.toml")
    assert f'responses = "{(data / "lab" / "Y.npy").as_posix()}"' in (data / "other" / "dataset.toml").read_text()
    assert np.array_equal(DATASETS["other"].open("S1", store).responses["brain"][:], Y)
    before = (data / "other" / "dataset.toml").read_text()
    with pytest.raises(FileExistsError, match="not written over"):
        write(proposal, data / "other" / "dataset.toml")
    assert (data / "other" / "dataset.toml").read_text() == before


def test_a_folder_with_nothing_in_it_says_what_would_be_needed(data):
    (data / "empty").mkdir()
    proposal = propose(data / "empty")
    assert len([each for each in proposal.missing if each.is_needed]) == 2
    with pytest.raises(BadData, match="There is no folder"):
        survey(data / "nowhere")


def test_the_command_lists_choices_writes_and_checks(data, shell):
    plain(data / "kitchen", first=Y, second=2 * Y)
    code, out, _ = shell("import-bids", data / "kitchen", "--out", data / "kitchen")
    assert code == 1 and "--choose S1.responses=second.npy" in out and not (data / "kitchen" / "dataset.toml").exists()
    code, out, err = shell("import-bids", data / "kitchen", "--choose", "S1.responses=first.npy", "--out", data / "kitchen")
    assert code == 0 and "Usable: no errors" in out, err
    code, _, err = shell("import-bids", data / "kitchen", "--choose", "S1.responses=first.npy", "--out", data / "kitchen" / "dataset.toml")
    assert code == 1 and "not written over" in err
    assert shell("import-bids", data / "kitchen", "--choose", "S1.responses=third.npy")[0] == 2
    code, out, _ = shell("import-bids", data / "kitchen", "--choose", "S1.responses=second.npy")
    assert code == 0 and f"--choose S1.responses=second.npy --out {data / 'kitchen' / 'dataset.toml'}" in out
    assert shell("import-bids", data / "kitchen", "--out", data / "mine.toml")[0] == 2
