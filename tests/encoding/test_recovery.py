"""Real photographs through a real network: the layer that drives a region is the layer that is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from encoding import BACKBONES, FitSpec, fit
from encoding.datasets import Subject
from encoding.datasets._images import ImageFiles
from encoding.datasets.writers.algonauts2023 import write_algonauts2023
from encoding.features.extraction import extract, feature_keys, load, sketch_key
from encoding.features.pca import fit_components
from encoding.features.reduction import reduce_spaces
from encoding.features.sums import Space
from encoding.runtime.progress import silent
from encoding.storage.fingerprints import files_fingerprint
from tests import SHARED

DATA = SHARED / "data"
NETWORK = "torchvision/squeezenet1_1"
WEIGHTS = str(DATA / "weights" / "squeezenet1_1_deepscale_bsd.pth")
PLANTED = {"V1v": "features.1", "hV4": "features.6", "FFA-1": "features.12"}  # early, middle, late
N_PER_ROI = 20
SIGNAL = 0.5  # share of a response's variance
POOL = "grid:6"  # the first layer of 788,544 features is a minute of PCA otherwise

pytestmark = [
    pytest.mark.skipif(not DATA.exists(), reason="real photographs and weights are not beside this checkout"),
]


def planted_subject(store) -> Subject:
    """Photographs with responses that are random directions of a layer's components plus noise."""
    photographs = [*sorted((DATA / "stimuli").glob("coco_cc/*.jpg")), *sorted((DATA / "stimuli" / "caltech101_500").glob("*/*.jpg"))][::2]
    stimuli = ImageFiles(photographs, fingerprint=files_fingerprint(photographs, store))
    source = BACKBONES[NETWORK]
    keys = feature_keys(stimuli.fingerprint, source.fingerprint(NETWORK, WEIGHTS), list(PLANTED.values()), pool=POOL)
    extract(stimuli, lambda: source.open(NETWORK, WEIGHTS), keys, store, pool=POOL)
    rng = np.random.default_rng(0)
    responses = {"lh": [], "rh": []}
    for layer in PLANTED.values():
        Z = fit_components([load(keys[layer], store)], np.arange(len(photographs)), 40).scores
        for parts in responses.values():
            signal = (Z / Z.std()) @ rng.normal(size=(40, N_PER_ROI))
            noise = rng.normal(size=signal.shape) * np.sqrt((1 - SIGNAL) / SIGNAL)
            parts.append(signal / signal.std(0) + noise)
    rois = {roi: np.arange(N_PER_ROI) + i * N_PER_ROI for i, roi in enumerate(PLANTED)}
    n_vertices = N_PER_ROI * len(PLANTED)
    return Subject(
        dataset="planted",
        name="subj01",
        stimuli=stimuli,
        unlabelled=ImageFiles([], fingerprint="none"),
        responses={hemi: np.concatenate(parts, axis=1).astype(np.float32) for hemi, parts in responses.items()},
        fingerprints={"lh": "planted-lh", "rh": "planted-rh"},
        rois=dict.fromkeys(responses, rois),
        groups=np.arange(len(photographs)),
        vertices={hemi: np.arange(n_vertices) for hemi in responses},
        simulated=True,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A Store, and the data folder that holds the planted subject in the layout of Algonauts 2023."""
    from encoding import Store

    folder = tmp_path_factory.mktemp("recovery")
    store = Store(folder / "store")
    write_algonauts2023(planted_subject(store), folder / "data" / "algonauts2023", size=224)
    return store, folder / "data"


def roi_means(store, **change) -> dict[str, float]:
    """Mean r of each ROI over both hemispheres."""
    spec = replace(
        FitSpec(dataset="algonauts2023", backbone=NETWORK, weights=WEIGHTS, pool=POOL, n_components=80), **{"rois": tuple(PLANTED)} | change
    )
    return fit(spec, store).rois().groupby("roi")["r_mean"].mean().to_dict()


def test_the_best_layer_of_each_roi_is_the_planted_one(written, monkeypatch):
    store, data = written
    monkeypatch.setenv("ENCODING_DATA_DIR", str(data))
    roi_means(store, layers=tuple(PLANTED.values()))  # one forward pass for all three
    by_layer = {layer: roi_means(store, layers=(layer,)) for layer in PLANTED.values()}
    for roi, planted in PLANTED.items():
        assert max(by_layer, key=lambda layer: by_layer[layer][roi]) == planted, {layer: r[roi] for layer, r in by_layer.items()}
        assert by_layer[planted][roi] > 0.3


def test_untrained_weights_do_worse(written, monkeypatch):
    store, data = written
    monkeypatch.setenv("ENCODING_DATA_DIR", str(data))
    trained, untrained = (roi_means(store, layers=("features.12",), weights=weights) for weights in (WEIGHTS, "random:0"))
    assert untrained["FFA-1"] < trained["FFA-1"] - 0.1


def test_shuffled_responses_are_not_predicted(written, monkeypatch, tmp_path):
    import shutil

    store, data = written
    shuffled = tmp_path / "data"
    shutil.copytree(data, shuffled)
    for hemi in ("lh", "rh"):
        path = shuffled / "algonauts2023" / "subj01" / "training_split" / "training_fmri" / f"{hemi}_training_fmri.npy"
        np.save(path, np.random.default_rng(0).permutation(np.load(path)))
    monkeypatch.setenv("ENCODING_DATA_DIR", str(shuffled))
    for roi, r in roi_means(store, layers=("features.6",)).items():
        assert abs(r) < 0.12, roi


def test_a_layer_reduced_in_the_pass_scores_as_exact_pca_does(store):
    """Planted responses on 160 photographs: explained variance within 0.2 %, mean r within .002."""
    photographs = sorted((DATA / "stimuli" / "coco_cc").glob("*.jpg")) + sorted((DATA / "stimuli" / "caltech101_500").glob("*/*.jpg"))[:100]
    stimuli, source, layer, k = ImageFiles(photographs, fingerprint="photographs"), BACKBONES[NETWORK], "features.5", 20
    keys = feature_keys("photographs", source.fingerprint(NETWORK, WEIGHTS), [layer])
    sketches = {layer: sketch_key(keys[layer])}
    extract(stimuli, lambda: source.open(NETWORK, WEIGHTS), keys, store, sketches=sketches)
    X = load(keys[layer], store)
    rows = np.random.default_rng(5).permutation(len(X))
    train, test = np.sort(rows[:128]), np.sort(rows[128:])

    def stream(rows, names, report, use):
        use(0, layer, torch.from_numpy(X[rows]))

    space = Space("components-reduced", {layer: store.get(sketches[layer])}, k)
    reduce_spaces([space], train, test, stream, store, n_frames=1, device="cpu", report=silent)
    reduced, exact = store.get(space.key), fit_components([X], train, k)
    centred = X[train] - X[train].mean(0)
    kept, most = (np.square(centred @ axes.astype(np.float32)).sum() for axes in (reduced["axes"], exact.axes))
    assert abs(1 - kept / most) < 0.002
    rng = np.random.default_rng(0)
    signal = exact.scores @ rng.normal(size=(k, 200)) / exact.scores.std()
    Y = signal / signal.std(0) + rng.normal(size=signal.shape)
    r = []
    for Z in (reduced["scores"], exact.scores):
        predicted = Ridge(100.0 * Z[train].var()).fit(Z[train], Y[train]).predict(Z[test])
        r.append(np.mean([np.corrcoef(p, y)[0, 1] for p, y in zip(predicted.T, Y[test].T, strict=True)]))
    assert abs(r[0] - r[1]) < 0.002
