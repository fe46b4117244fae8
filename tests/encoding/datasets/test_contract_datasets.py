"""What every data set promises, asked of every registered one: written by ``simulate``, opened, examined, fitted to a recovered truth."""

import builtins
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoding import DATASETS, FitSpec, Store, fit
from encoding.cli import main
from encoding.datasets.demo import Demo
from encoding.datasets.doctor import diagnose
from encoding.evaluation.splits import folds
from encoding.fits.plan import plan

N_IMAGES, N_CLIPS = 150, 60

LEAST_R = {"algonauts2021": 0.15}  # sixty clips teach little
SUBJECTS = {  # subjects, the first one fitted
    "demo": ("subj01",),
    "algonauts2023": ("subj01",),
    "algonauts2021": ("sub01", "sub01-full"),
    "img2brain": ("subj01",),
    "kitchen": ("ann",),
}


def write_own(folder, subject):
    """The demo's subject as somebody's own folder: one block, a label array, places on fsaverage5."""
    (folder / "images").mkdir(parents=True)
    for i, image in enumerate(subject.stimuli):
        image.save(folder / "images" / f"{i}.png")
    np.save(folder / "lh.npy", subject.responses["lh"])
    np.save(folder / "vertices.npy", subject.vertices["lh"])
    np.save(folder / "v1.npy", np.isin(np.arange(len(subject.vertices["lh"])), subject.rois["lh"]["V1v"]))
    np.save(folder / "ceiling.npy", subject.ceiling["lh"])
    (folder / "dataset.toml").write_text(
        'title = "Kitchen"\nsimulated = true\n[stimuli]\nfolder = "images"\n[subjects.ann]\nresponses.lh = "lh.npy"\n'
        'rois.lh.V1v = "v1.npy"\nvertices = { lh = "vertices.npy", space = "fsaverage" }\nceiling.lh = "ceiling.npy"\n'
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every layout on disk, small, and a Store; the registry's demo is small, too."""
    root = tmp_path_factory.mktemp("data")
    store = Store(tmp_path_factory.mktemp("store"))
    demo = Demo(n_stimuli=N_IMAGES, n_unlabelled=5)
    with pytest.MonkeyPatch.context() as patch:
        list(DATASETS)
        patch.setitem(DATASETS._members, "demo", demo)
        patch.setenv("ENCODING_DATA_DIR", str(root))
        patch.setenv("ENCODING_CACHE_DIR", str(store.root))
        for layout, n in (("algonauts2023", N_IMAGES), ("img2brain", N_IMAGES), ("algonauts2021", N_CLIPS)):
            words = ["simulate", "--layout", layout, "--out", str(root / layout), "--subject", "subj01", "--stimuli", str(n)]
            assert main(words) == 0
        write_own(root / "kitchen", demo.open("subj01", store))
        yield root, store


def test_every_registered_data_set_is_asked(written):
    assert set(DATASETS) == set(SUBJECTS)


@pytest.mark.parametrize("name", [name for name in SUBJECTS if name != "demo"])
def test_every_file_that_opening_reads_is_watched_for_changes(name, written, monkeypatch):
    root, store = written
    for subject in SUBJECTS[name]:
        read, original = set(), io.open

        def note(file, mode="r", *args, original=original, read=read, **more):
            if isinstance(file, str | Path) and Path(file).is_relative_to(root) and Path(file).suffix not in (".png", ".jpg", ".mp4"):
                read.add(Path(file))
            return original(file, mode, *args, **more)

        with monkeypatch.context() as patch:
            patch.setattr(io, "open", note)
            patch.setattr(builtins, "open", note)
            DATASETS[name].open(subject, Store(store.root / "another"))
        watched = DATASETS[name].watched(subject)
        assert read <= set(watched) and len(watched) < 100
        assert read and any(path.is_dir() for path in watched)


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_data_set_keeps_its_promises(name, written):
    store = written[1]
    dataset = DATASETS[name]
    assert dataset.name == name and dataset.title and dataset.about.endswith(".")
    assert set(SUBJECTS[name]) <= set(dataset.subjects())
    for subject_name in SUBJECTS[name]:
        subject = dataset.open(subject_name, store)
        assert dataset.is_ready(subject_name, store)
        check_subject(dataset, subject)
        again = dataset.open(subject_name, store)
        assert again.fingerprints == subject.fingerprints and again.stimuli.fingerprint == subject.stimuli.fingerprint


def check_subject(dataset, subject):
    assert subject.simulated, "these were all written by a simulation, and say so"
    stimuli = subject.stimuli
    assert len(set(stimuli.names)) == len(stimuli) == subject.n_stimuli > 10
    assert isinstance(stimuli[0], Image.Image) and stimuli[0].mode == stimuli[len(stimuli) - 1].mode == "RGB"
    seen = stimuli.sampled(3)
    assert len(seen.frames(0)) == seen.n_frames == (3 if dataset.clips else 1)
    assert (seen.fingerprint != stimuli.sampled(2).fingerprint) == dataset.clips
    for block, responses in subject.responses.items():
        assert responses.dtype == np.float32 and responses.shape[0] == subject.n_stimuli and np.isfinite(responses).all()
        with pytest.raises((TypeError, ValueError)):  # read-only
            responses[0, 0] = 1
        for columns in subject.rois[block].values():
            assert (np.diff(columns) > 0).all() and (not len(columns) or (columns[0] >= 0 and columns[-1] < responses.shape[1]))
        if subject.ceiling is not None:
            assert subject.ceiling[block].shape == (responses.shape[1],)
            assert (subject.ceiling[block] >= 0).all() and (subject.ceiling[block] <= 1).all()
        if subject.vertices is not None:
            assert subject.vertices[block].shape == (responses.shape[1],) and subject.vertices[block].max() < 163_842
    for vertices, columns in (subject.sampled or {}).values():
        assert vertices.shape == columns.shape and columns.max() < next(iter(subject.responses.values())).shape[1]
    assert subject.groups.shape == (subject.n_stimuli,)
    for fold in folds(dataset.split, subject.groups):
        assert not set(subject.groups[fold.train]) & set(subject.groups[fold.test])


@pytest.mark.parametrize("name", [name for name in SUBJECTS if name != "demo"])
def test_the_doctor_finds_nothing_wrong_with_it(name, written):
    root, store = written
    findings = diagnose(root / name, store)
    assert findings and not [str(finding) for finding in findings if finding.level == "error"]


@pytest.mark.parametrize("name", SUBJECTS)
def test_it_is_fitted_to_the_truth_that_was_simulated(name, written):
    """V1 of the simulated cortex is driven by wavelet energy, which the backbone gabor gives."""
    store = written[1]
    spec = FitSpec(dataset=name, subject=SUBJECTS[name][0], n_components=30, frames=2, split=DATASETS[name].split)
    result = fit(spec, store)
    hemi = result.plan.hemis[0]
    table = result.rois()
    early = table[table["roi"].isin(["V1v", "V1", "all"]) & (table["hemi"] == hemi)]
    assert early["r_mean"].max() > LEAST_R.get(name, 0.3 if name != "img2brain" else 0.15)
    shuffled = np.random.default_rng(0).permutation(result.n_test)
    best = result.columns(early.loc[early["r_mean"].idxmax(), "roi"], hemi)[:200]
    measured, predicted = result.measured(hemi, best), result.predicted(hemi, best)[shuffled]
    r = [np.corrcoef(measured[:, i], predicted[:, i])[0, 1] for i in range(len(best))]
    assert abs(np.mean(r)) < 0.15 + 2 / np.sqrt(result.n_test)


def test_a_plan_of_every_data_set_can_be_made_with_its_own_split(written):
    for name, subjects in SUBJECTS.items():
        made = plan(FitSpec(dataset=name, subject=subjects[0], split=DATASETS[name].split), written[1])
        assert made.key.startswith("fit-")
