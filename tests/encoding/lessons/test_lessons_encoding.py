"""The lessons on one encoding model, against independent answers; and that what they say is true of the simulated subject."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from encoding import DATASETS, FitSpec, Store, fit
from encoding.backbones.gabor import Gabor, Pyramid
from encoding.datasets._rois import ROI_CLASSES
from encoding.datasets.demo import Demo
from encoding.datasets.simulation.cortex import CATEGORY_OF
from encoding.datasets.simulation.scenes import CATEGORIES, SIZE
from encoding.evaluation.noise_ceiling import from_ncsnr
from encoding.features import extraction as features
from encoding.features.pca import fit_components
from encoding.fits.plan import plan
from encoding.lessons import _spaces, ceiling, fields, response, ridge, rois, steps
from encoding.plots import lessons_encoding as figures
from encoding.plots import table_of

N = 160
NUMBERS = (1, 2, 5, 10, 20, 50)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A bare fit to a small simulated subject."""
    patch = pytest.MonkeyPatch()
    list(DATASETS)
    patch.setitem(DATASETS._members, "demo", Demo(n_stimuli=N, n_unlabelled=5))
    yield fit(FitSpec(), Store(tmp_path_factory.mktemp("store")))
    patch.undo()


def test_energy_is_drawn_where_the_edges_are():
    bars = np.zeros((128, 128, 3), np.uint8)
    bars[:64, 64:] = 255 * (np.arange(64) // 4 % 2)[None, :, None]  # 16 cycles per image, in the upper right quarter alone
    gabor = Gabor(Pyramid())
    energy = gabor.activations(gabor.prepare(Image.fromarray(bars))[None], ["energy"])["energy"][0].numpy()
    image = steps.drawn(energy, 16)
    quarter = image[1:7, 9:15].mean()
    assert image.shape == (16, 16) and quarter > 10 * max(image[9:, 1:7].mean(), image[9:, 9:].mean(), image[1:7, 1:7].mean())


def test_what_lessons_wait_for_is_made_ready_beforehand(fitted, tmp_path):
    pixels, store = FitSpec(backbone="pixels", layers=("rgb",)), fitted.store
    planned = plan(pixels, store)
    assert planned.components_key(planned.folds[0]) not in store
    _spaces.make_ready(pixels, store)
    assert planned.components_key(planned.folds[0]) in store


@pytest.fixture(scope="module")
def subject(fitted):
    return fitted.plan.subject


@pytest.fixture(scope="module")
def truth(fitted):
    return DATASETS["demo"].truth("subj01", fitted.store)


@pytest.fixture(scope="module")
def tried(truth):
    contrasts = fields.contrast(truth.scenes.images)
    return contrasts, fields.candidates(contrasts)


@pytest.fixture(scope="module")
def few(fitted):
    """Components, responses and rows of the lesson on ridge: fewer pictures than features, every component."""
    train, test = np.arange(60), np.arange(60, N)
    known = features.load(fitted.plan.feature_keys["energy"], fitted.store)
    Z = fit_components([known], train, 0).scores
    return Z, rois.responses_of(fitted.plan.subject, "V1v"), train, test


def mean_r(result, roi):
    """Mean r over the vertices of both hemispheres, from the table that Explore shows."""
    table = result.rois()
    here = table[table["roi"] == roi]
    return float(np.average(here["r_mean"], weights=here["n_vertices"]))


# 1. Responses


def test_an_answer_is_signal_and_noise_and_its_rank(subject, truth):
    half, column = subject.responses["lh"], int(subject.rois["lh"]["V1v"][0])
    share = float(subject.ceiling["lh"][column])
    answers = [response.answer(half[:, column], truth.signal["lh"][:, column], share, row) for row in range(N)]
    signal, noise = (np.array([getattr(found, part) for found in answers]) for part in ("signal", "noise"))
    assert np.allclose(signal + noise, half[:, column])
    assert signal.var() == pytest.approx(share, rel=1e-4)
    assert abs(np.corrcoef(signal, noise)[0, 1]) < 0.2
    assert np.array_equal(np.argsort([found.weaker for found in answers]), np.argsort(half[:, column]))


def test_the_strongest_pictures_come_first():
    assert response.strongest(np.array([0.0, 3.0, -1.0, 2.0]), 2).tolist() == [1, 3]


# 2. Regions


def test_a_profile_is_the_mean_and_standard_error_of_each_group(subject):
    responses = rois.responses_of(subject, "EBA")
    kind = subject.labels["category"]
    found = rois.profile(responses, kind, CATEGORIES)
    groups = pd.Series(responses.astype(float).mean(1)).groupby(kind)
    assert np.allclose(found.means, groups.mean()[list(CATEGORIES)])
    assert np.allclose(found.errors, groups.sem()[list(CATEGORIES)])


@pytest.mark.parametrize("kind", CATEGORY_OF)
def test_a_region_for_a_category_is_driven_most_by_it(subject, kind):
    found = [roi for roi in ROI_CLASSES[kind] if roi in rois.found_rois(subject)]
    assert found
    for roi in found:
        told = rois.profile(rois.responses_of(subject, roi), subject.labels["category"], CATEGORIES)
        assert told.names[told.best] == CATEGORY_OF[kind], roi


def test_v1_answers_differently_to_kinds_of_pictures_but_not_most_to_faces(subject):
    told = rois.profile(rois.responses_of(subject, "V1v"), subject.labels["category"], CATEGORIES)
    assert np.ptp(told.means) > 4 * told.errors.max()
    assert told.names[told.best] == "words"


def test_a_region_without_vertices_and_a_kind_without_pictures_are_named(subject):
    with pytest.raises(ValueError, match="no vertices"):
        rois.profile(np.zeros((4, 0)), np.array(["faces"] * 4), ("faces",))
    with pytest.raises(ValueError, match="Fewer than two images show words"):
        rois.profile(np.zeros((4, 1)), np.array(["faces"] * 3 + ["words"]), ("faces", "words"))
    assert "aTL-faces" not in rois.found_rois(subject)


def test_kinds_may_differ_though_no_single_one_stands_out():
    told = rois.Profile(("faces", "words", "food"), np.array([0.3, 0.2, -0.5]), np.array([0.06, 0.08, 0.08]))
    assert told.spread == pytest.approx(1) and told.range == pytest.approx(8)


# 3. Receptive fields


def test_contrast_is_the_spread_of_brightness_in_each_cell():
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    images[1] = 90
    found, side = fields.contrast(images), SIZE // fields.GRID
    grey = images[0].astype(float).mean(-1) / 255
    assert found[0, fields.GRID + 2] == pytest.approx(np.sqrt(grey[side : 2 * side, 2 * side : 3 * side].std()), rel=1e-4)
    assert np.allclose(found[1], 0, atol=1e-3)


def test_a_planted_field_is_found_where_it_was_planted(tried):
    contrasts, known = tried
    for number in (10, 1_500, 3_000):
        found = fields.recovered(contrasts @ _weights(known, number), known)
        assert (found.x, found.y, found.size) == pytest.approx((known.x[number], known.y[number], known.size[number]))
        assert found.r == pytest.approx(1, abs=1e-4)


def _weights(known, number):
    from encoding.datasets.simulation.filters import cell_centres

    x, y = (values.ravel().astype(float) for values in cell_centres(fields.GRID))
    inside = np.exp(-((x - known.x[number]) ** 2 + (y - known.y[number]) ** 2) / (2 * known.size[number] ** 2))
    return inside / inside.sum()


def test_fields_of_v1_are_found_from_its_responses(subject, truth, tried):
    away = []
    for hemi, half in truth.cortex.items():
        for vertex in fields.members(half, "V1")[::4]:
            found = fields.recovered(subject.responses[hemi][:, vertex], tried[1])
            away.append(found.distance(fields.field_of(half, vertex)))
    assert np.median(away) < 0.6  # degrees; of 8.4


def test_the_map_of_places_holds_plain_correlations(subject, tried):
    responses = subject.responses["lh"][:, 0]
    found = fields.place_map(responses, tried[0])
    assert found[3, 5] == pytest.approx(np.corrcoef(tried[0][:, 3 * fields.GRID + 5], responses)[0, 1], abs=1e-5)


def test_fields_grow_from_area_to_area(truth):
    for half in truth.cortex.values():
        sizes = [np.median(half.size[fields.members(half, area)]) for area in fields.AREAS]
        assert sizes == sorted(sizes)


@pytest.mark.parametrize("degrees", [90, 270])
def test_a_spot_on_the_midline_is_seen_by_both_hemispheres_whatever_its_cosine_rounds_to(truth, degrees):
    x, y = 1.5 * np.cos(np.radians(degrees)), 1.5 * np.sin(np.radians(degrees))
    assert fields.on_midline(x) and fields.sees(x) == "lh" and not fields.on_midline(0.01)
    assert all(fields.largest_drive(half, "V1", x, y) > 0.5 for half in truth.cortex.values())


@pytest.mark.parametrize("x", [-2.0, 2.0])
def test_the_hemisphere_that_sees_a_place_is_driven_by_it(truth, x):
    most = {hemi: fields.drive(half, x, 0.5)[fields.members(half, "V1")].max() for hemi, half in truth.cortex.items()}
    assert max(most, key=most.get) == fields.sees(x)
    assert most[fields.sees(x)] > 0.8 and min(most.values()) < 0.1
    half = truth.cortex[fields.sees(x)]
    nearest = fields.field_of(half, fields.nearest(half, "V1", x, 0.5))
    assert nearest.distance(fields.Field(x, 0.5, 1)) == pytest.approx(
        min(np.hypot(half.x[v] - x, half.y[v] - 0.5) for v in fields.members(half, "V1")), abs=1e-6
    )


# 4. The three steps


@pytest.fixture(scope="module")
def path(fitted):
    kept = fitted.store.get(fitted.plan.components_key(fitted.plan.folds[0]))
    responses = rois.responses_of(fitted.plan.subject, "V1v")
    return steps.steps(fitted.plan, np.asarray(kept["scores"]), float(kept["total_variance"]), responses, NUMBERS)


@pytest.mark.parametrize("n", [5, 20])
def test_a_step_is_the_fit_that_explore_makes_with_so_many_components(fitted, path, n):
    known = fit(replace(FitSpec(), n_components=n), fitted.store)
    assert path.test[NUMBERS.index(n)] == pytest.approx(mean_r(known, "V1v"), abs=2e-4)


def test_the_variance_kept_is_that_of_scikit_learn(fitted, path):
    known = np.array(features.load(fitted.plan.feature_keys["energy"], fitted.store))[fitted.plan.folds[0].train]
    pca = PCA(max(NUMBERS), svd_solver="full").fit(known)
    assert np.allclose(path.explained, np.cumsum(pca.explained_variance_ratio_)[np.array(NUMBERS) - 1], rtol=1e-3)


def test_first_components_are_worth_most_and_the_gap_grows(path):
    assert path.test[NUMBERS.index(10)] > 0.7 * path.test.max()
    gap = path.train - path.test
    assert gap[-1] > gap[0]


# 5. Ridge


def test_every_penalty_gives_the_weights_and_scores_of_scikit_learn(few):
    Z, Y, train, test = few
    alphas = np.array([0.01, 1.0, 300.0])
    found = ridge.ridge_path(Z, Y, train, test, alphas, shown=3)
    for i, alpha in enumerate(alphas):
        known = Ridge(alpha=alpha, solver="svd").fit(Z[train].astype(float), Y[train].astype(float))
        assert np.allclose(found.weights[i], known.coef_[3], atol=1e-5)
        predicted = known.predict(Z[test].astype(float))
        r = [np.corrcoef(predicted[:, t], Y[test][:, t])[0, 1] for t in range(Y.shape[1])]
        assert found.test[i] == pytest.approx(np.mean(r), abs=1e-5)
        assert found.test_r2[i] == pytest.approx(_r2(predicted, Y[test]), abs=1e-4)


def _r2(predicted, measured):
    return float(np.mean(1 - ((measured - predicted) ** 2).sum(0) / ((measured - measured.mean(0)) ** 2).sum(0)))


def test_new_pictures_are_predicted_best_at_an_inner_penalty_and_training_ones_ever_worse(few):
    found = ridge.ridge_path(*few, 10.0 ** np.arange(-2, 4.1, 0.5))
    assert 0 < found.best < len(found.alphas) - 1
    assert found.train_r2[0] > 0.99
    assert (np.diff(found.train_r2) < 0).all()
    best = int(np.argmax(found.test_r2))
    assert 0 < best < len(found.alphas) - 1
    assert found.test_r2[best] > found.test_r2[0] + 0.05 and found.test_r2[best] > found.test_r2[-1] + 0.05
    assert (np.diff(np.linalg.norm(found.weights, axis=1)) < 0).all()


def test_a_penalty_is_the_fit_that_explore_makes_with_it(fitted, few):
    found = ridge.ridge_path(*few, np.array([3.0]))
    known = fit(replace(FitSpec(), split="first:60", n_components=0, options={"alpha": 3.0}), fitted.store)
    assert found.test[0] == pytest.approx(mean_r(known, "V1v"), abs=2e-4)


def test_no_penalty_is_refused(few):
    with pytest.raises(ValueError, match="above 0, not 0"):
        ridge.ridge_path(*few, np.array([0.0, 1.0]))


# 6. The noise ceiling


@pytest.mark.parametrize(("n", "counts"), [(1, {"n_three": 0, "n_one": 9}), (2, {"n_three": 0, "n_two": 9}), (3, {"n_three": 9})])
def test_the_ceiling_is_that_of_the_natural_scenes_dataset(n, counts):
    for snr in (0.25, 1.0, 3.0):
        assert ceiling.noise_ceiling(snr, n) == pytest.approx(float(from_ncsnr(np.array(snr), **counts)), rel=1e-6)


def test_showings_differ_by_noise_of_the_asked_size_alone():
    signal = np.random.default_rng(1).standard_normal((4_000, 2)).astype(np.float32)
    shown = ceiling.shown_again(signal, 0.5, n_repeats=3)
    assert np.std(shown - signal[:, None]) == pytest.approx(1 / 0.5, rel=0.02)
    assert abs(np.corrcoef((shown - signal[:, None])[:, 0, 0], (shown - signal[:, None])[:, 1, 0])[0, 1]) < 0.05


@pytest.mark.parametrize("snr", [0.5, 2.0])
def test_a_perfect_model_reaches_the_ceiling_and_a_fitted_one_stays_below(fitted, truth, snr):
    fold, inner = fitted.plan.folds[0], fitted.plan.inner(fitted.plan.folds[0])
    signal = np.concatenate([truth.signal[hemi][:, half.rois["V1v"]] for hemi, half in truth.cortex.items()], axis=1)
    test = np.arange(N)  # all pictures: the claim is about the signal, and so few would make it rough
    found = ceiling.ceilings(signal, fitted.components(), fold.train, test, inner, snr)
    assert np.allclose(found.perfect, found.highest, atol=0.02)
    assert np.allclose(found.estimated[1:], found.highest[1:], atol=0.03) and np.isnan(found.estimated[0])
    held_out = ceiling.ceilings(signal, fitted.components(), fold.train, fold.test, inner, snr)
    assert (held_out.model < held_out.perfect).all()
    assert held_out.model[-1] > held_out.model[0] and (np.diff(found.highest) > 0).all()


# Figures


def test_figures_tell_their_numbers_and_mark_where_the_control_stands():
    n, values = (1, 10, 100), np.array([0.1, 0.5, 0.4])
    drawn = {
        "alpha": (figures.alpha_path(np.array(n, float), values + 0.4, values, 1, label="r"), 10),
        "components": (figures.components_path(n, values, values, values, 1), 10),
        "repeats": (figures.repeats_path(values, values, values, values, 2), 2),
        "standing": (figures.standing(np.array([0.0, 1.0, 4.0]), 1), 1),
    }
    for name, (figure, marked) in drawn.items():
        assert marked in [shape.x0 for shape in figure.layout.shapes], name
        assert len(table_of(figure)), name
    (note,) = drawn["alpha"][0].layout.annotations
    assert (note.x, note.text) == (1.0, "alpha = 10")  # notes on a logarithmic axis stand at the logarithm
    assert 0.5 in table_of(drawn["alpha"][0]).iloc[:, 2].tolist()


def test_the_figures_of_fields_draw_circles_of_one_standard_deviation():
    figure = figures.visual_field((1.0, 2.0), {"V1": (1.0, 2.0, 0.5)}, edge=4.2)
    assert np.allclose(np.hypot(figure.data[0].x - 1, figure.data[0].y - 2), 0.5)
    found = figures.field_found(np.eye(4), (0, 0, 1), (1, 1, 1), edge=4.0)
    heat = next(trace for trace in found.data if trace.type == "heatmap")
    assert list(heat.x) == [-3, -1, 1, 3] and list(heat.y) == [3, 1, -1, -3]


def test_the_kind_that_drives_a_region_most_stands_out():
    bars = figures.kinds(("faces", "words"), np.array([0.1, 0.6]), np.array([0.05, 0.05])).data[0]
    assert bars.marker.color[1] != bars.marker.color[0]
    assert np.allclose(bars.error_x.array, 0.098)
    assert np.allclose(figures.weight_bars(np.array([1.0, -2.0]), largest=2).layout.yaxis.range, (-2.1, 2.1))
