"""The simulated cortex against what is known of the real one, and its responses against their stated truth."""

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from encoding.datasets._rois import ROI_CLASSES, ROI_NAMES
from encoding.datasets.simulation import anatomy
from encoding.datasets.simulation.cortex import CATEGORY_OF, EMPTY, HEMIS, SUBJECTS, truth
from encoding.datasets.simulation.responses import receptive_fields, signals, simulate_responses
from encoding.datasets.simulation.scenes import CATEGORIES, scenes
from encoding.runtime.registry import UnknownName

EVERY = [(subject, hemi) for subject in SUBJECTS for hemi in HEMIS]
CORTEX = {}


def half(subject, hemi):
    if subject not in CORTEX:
        CORTEX[subject] = truth(subject)
    return CORTEX[subject][hemi]


def area(one, *names):
    return np.unique(np.concatenate([one.rois[name] for name in names]))


@pytest.fixture(scope="module")
def drawn():
    return scenes(300, seed=11)


@pytest.fixture(scope="module")
def signal(drawn):
    return signals({hemi: half("subj01", hemi) for hemi in HEMIS}, drawn)


@pytest.mark.parametrize(("subject", "hemi"), EVERY)
def test_visual_cortex_is_one_connected_piece_of_the_usual_size(subject, hemi):
    from nilearn.datasets import fetch_surf_fsaverage
    from nilearn.surface import load_surf_mesh

    vertices = half(subject, hemi).vertices
    faces = np.asarray(load_surf_mesh(fetch_surf_fsaverage("fsaverage5")[f"pial_{'left' if hemi == 'lh' else 'right'}"]).faces)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.searchsorted(vertices, edges[np.isin(edges, vertices).all(axis=1)])
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(len(vertices),) * 2)
    assert connected_components(graph, directed=False)[0] == 1
    assert 1200 <= len(vertices) <= 2000
    assert (np.diff(vertices) > 0).all()
    assert vertices[-1] < 10_242


@pytest.mark.parametrize(("subject", "hemi"), EVERY)
def test_the_rois_a_localiser_did_not_find_are_empty_and_no_others(subject, hemi):
    empty = {name for name, columns in half(subject, hemi).rois.items() if len(columns) == 0}
    always = {"mTL-faces", "aTL-faces"}
    assert empty == always | set(EMPTY[subject, hemi])


def test_some_rois_are_tiny_and_some_are_large():
    sizes = [len(columns) for subject, hemi in EVERY for columns in half(subject, hemi).rois.values()]
    assert 0 < min(size for size in sizes if size) < 10
    assert max(sizes) > 300


@pytest.mark.parametrize(("subject", "hemi"), EVERY)
def test_rois_overlap_across_classes_but_never_within_one(subject, hemi):
    one = half(subject, hemi)
    for names in ROI_CLASSES.values():
        assert one.member[[ROI_NAMES.index(name) for name in names]].sum(axis=0).max() == 1
    assert np.isin(one.rois["V1v"], one.rois["early"]).all()
    assert len(np.intersect1d(area(one, *ROI_CLASSES["floc-faces"]), area(one, *ROI_CLASSES["floc-bodies"])))


def test_the_two_subjects_differ_in_anatomy_tuning_and_noise():
    for hemi in HEMIS:
        one, two = half("subj01", hemi), half("subj02", hemi)
        assert not np.array_equal(one.vertices, two.vertices)
        shared, here, there = np.intersect1d(one.vertices, two.vertices, return_indices=True)
        assert len(shared) > 1000
        assert np.abs(one.x[here] - two.x[there]).mean() > 0.1
        assert np.corrcoef(one.orientation[here], two.orientation[there])[0, 1] < 0.3
        assert one.ceiling.mean() > two.ceiling.mean()


@pytest.mark.parametrize(("subject", "hemi"), EVERY)
def test_eccentricity_rises_along_v1_and_polar_angle_turns_across_it(subject, hemi):
    one = half(subject, hemi)
    v1 = area(one, "V1v", "V1d")
    points = anatomy.sphere(hemi)[one.vertices[v1]]
    points = points - points.mean(axis=0)
    long, short = (points @ axis for axis in np.linalg.svd(points, full_matrices=False)[2][:2])
    eccentricity = np.log(np.hypot(one.x[v1], one.y[v1]))
    angle = np.arctan2(one.y[v1], np.abs(one.x[v1]))
    assert abs(np.corrcoef(long, eccentricity)[0, 1]) > 0.8
    assert abs(np.corrcoef(short, angle)[0, 1]) > 0.7


@pytest.mark.parametrize(("subject", "hemi"), EVERY)
def test_the_periphery_lies_nearer_to_the_midline_than_the_centre_of_gaze(subject, hemi):
    one = half(subject, hemi)
    v1 = area(one, "V1v", "V1d")
    medial = anatomy.sphere(hemi)[one.vertices[v1], 0] * (1 if hemi == "lh" else -1)
    assert np.corrcoef(medial, np.hypot(one.x[v1], one.y[v1]))[0, 1] > 0.5


@pytest.mark.parametrize(("subject", "hemi"), EVERY)
def test_each_hemisphere_sees_the_other_side_and_ventral_areas_the_upper_field(subject, hemi):
    one = half(subject, hemi)
    side = 1 if hemi == "lh" else -1
    assert (side * one.x).min() > -0.2
    for name in ("V1", "V2", "V3"):
        assert one.y[one.rois[f"{name}v"]].min() > -0.01
        assert one.y[one.rois[f"{name}d"]].max() < 0.01
    assert one.y[one.rois["hV4"]].min() < -0.5 < 0.5 < one.y[one.rois["hV4"]].max()


@pytest.mark.parametrize(("subject", "hemi"), EVERY)
def test_receptive_fields_grow_with_eccentricity_and_from_v1_to_hv4(subject, hemi):
    one = half(subject, hemi)
    areas = [area(one, *names) for names in (("V1v", "V1d"), ("V2v", "V2d"), ("V3v", "V3d"), ("hV4",))]
    assert (np.diff([np.median(one.size[columns]) for columns in areas]) > 0).all()
    for columns in areas:
        assert np.corrcoef(np.hypot(one.x, one.y)[columns], one.size[columns])[0, 1] > 0.5


def test_a_receptive_field_inside_the_picture_sums_to_one_and_is_where_it_is_said_to_be():
    one = half("subj01", "lh")
    inside = np.flatnonzero((np.hypot(one.x, one.y) < 2) & (one.size > 0.4) & (one.size < 0.6))
    fields = receptive_fields(one, 32)[inside]
    x, y = (values.ravel() for values in anatomy_grid())
    assert fields.sum(axis=1) == pytest.approx(1, abs=0.01)
    assert fields @ x == pytest.approx(one.x[inside], abs=0.02)
    assert fields @ y == pytest.approx(one.y[inside], abs=0.02)


def anatomy_grid():
    places = (np.arange(32) + 0.5) / 32 * 8.4 - 4.2
    return np.meshgrid(places, -places)


def test_detail_on_the_right_drives_the_left_hemisphere_and_the_reverse(drawn, signal):
    """Against an independent measure of detail: grey differences of neighbouring pixels in either half of the picture."""
    grey = drawn.images.mean(axis=3)
    detail = np.abs(np.diff(grey, axis=1))[:, :, 1:] + np.abs(np.diff(grey, axis=2))[:, 1:]
    halves = np.log(np.stack([detail[:, :, 64:].mean(axis=(1, 2)), detail[:, :, :63].mean(axis=(1, 2))], axis=1))
    halves = (halves - halves.mean(axis=0)) / halves.std(axis=0)
    for hemi, own in (("lh", 0), ("rh", 1)):
        v1 = signal[hemi][:, area(half("subj01", hemi), "V1v", "V1d")].mean(axis=1)
        weights = np.linalg.lstsq(halves, v1, rcond=None)[0]
        assert weights[own] > 2 * abs(weights[1 - own])


@pytest.mark.parametrize("hemi", HEMIS)
@pytest.mark.parametrize("roi", [name for kind in CATEGORY_OF for name in ROI_CLASSES[kind]])
def test_areas_for_a_category_answer_it_most(hemi, roi, drawn, signal):
    columns = half("subj01", hemi).rois[roi]
    own = next(category for kind, category in CATEGORY_OF.items() if roi in ROI_CLASSES[kind])
    if len(columns) == 0:
        assert roi in (*EMPTY["subj01", hemi], "mTL-faces", "aTL-faces")
        return
    means = {category: signal[hemi][drawn.category == category][:, columns].mean() for category in CATEGORIES}
    assert max(means, key=means.get) == own


def test_the_signal_is_standardised_and_always_the_same(drawn, signal):
    few = type(drawn)(drawn.images[:50], drawn.strength[:50], drawn.things[drawn.things[:, 0] < 50])
    cortex = {"lh": half("subj01", "lh")}
    one, two = signals(cortex, few)["lh"], signals(cortex, few)["lh"]
    assert one.tobytes() == two.tobytes()
    for values in (one, signal["lh"], signal["rh"]):
        assert values.dtype == np.float32
        assert np.abs(values.mean(axis=0)).max() < 1e-4
        assert values.std(axis=0) == pytest.approx(1, abs=1e-3)


def test_noise_leaves_the_stated_share_of_variance_and_repeats_agree_as_much():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((40_000, 5)).astype(np.float32)
    ceiling = np.array([0.05, 0.2, 0.5, 0.9, 1.0], np.float32)
    first, second = (simulate_responses(signal, ceiling, rng) for _ in range(2))
    shared = np.array([np.corrcoef(s, r)[0, 1] ** 2 for s, r in zip(signal.T, first.T, strict=True)])
    repeated = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(first.T, second.T, strict=True)])
    assert shared == pytest.approx(ceiling, abs=0.015)
    assert repeated == pytest.approx(ceiling, abs=0.015)
    assert first.std(axis=0) == pytest.approx(1, abs=1e-3)


def test_ridge_on_what_truly_drives_v1_comes_near_the_ceiling(signal):
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge

    one = half("subj01", "lh")
    v1 = area(one, "V1v", "V1d")
    answers = simulate_responses(signal["lh"], one.ceiling, np.random.default_rng(5))[:, v1]
    drive = PCA(30, random_state=0).fit_transform(signal["lh"][:, v1])
    test = slice(240, None)

    def score(features):
        predicted = Ridge(alpha=30).fit(features[:240], answers[:240]).predict(features[test])
        return np.array([np.corrcoef(p, y)[0, 1] for p, y in zip(predicted.T, answers[test].T, strict=True)])

    assert (score(drive) / np.sqrt(one.ceiling[v1])).mean() > 0.85
    assert abs(score(np.random.default_rng(6).permutation(drive)).mean()) < 0.1


def test_an_unknown_subject_is_named_with_those_that_exist():
    with pytest.raises(UnknownName, match=r"Unknown simulated subject 'subj3'.*Known: subj01, subj02"):
        truth("subj3")
