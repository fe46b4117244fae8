"""Which vertices share a model, and what reaches a readout of arrays: parts, frames, layers apart, other subjects."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from encoding import READOUTS, Store, fit
from encoding.analysis.learning_curve import learning_curve
from encoding.features.components import project
from encoding.features.pca import fit_components
from encoding.fits.extra_subjects import without_stimuli
from encoding.fits.spec import FitSpec, check_target_groups
from encoding.fits.targets import target_groups_of
from encoding.fits.training_data import Chosen
from encoding.readouts import BadOption, LinearModel, Options, Readout, Training, _network, option
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY, TinyStimuli

PLS = replace(TINY, readout="pls", options={"n_components": 2})


@dataclass(frozen=True)
class KeepOptions(Options):
    unit: float = option(1.0, "Nothing.")


class Keep(Readout):
    """Least squares on arrays, which keeps what it was shown."""

    name, title, about, uses_moments, per_target, options = "keep", "Keep", "For tests.", False, False, KeepOptions
    shares = True

    def uses(self, options):
        return ("groups", "rois", "positions", "extra_subjects")

    def fit(self, data, options, *, device="cpu", report=None):
        self.shown = data
        A = np.column_stack([data.X, np.ones(len(data.X))]).astype(float)
        weights = np.linalg.lstsq(A, data.Y[:, :].astype(float), rcond=None)[0]
        self.calls = getattr(self, "calls", 0) + 1
        return LinearModel(
            weights[:-1].astype(np.float32), weights[-1], {"constant": np.arange(data.n_targets, dtype=float)}, {"loss": np.arange(3.0)}
        )


@pytest.fixture
def keep(monkeypatch):
    list(READOUTS)  # loads the others
    monkeypatch.setitem(READOUTS._members, "keep", Keep())
    return READOUTS["keep"]


def parts(tiny, target_groups, per_target=False, rois=(), hemis=("lh", "rh")):
    return {part.name: part for part in target_groups_of(tiny.subject, target_groups, hemis=hemis, rois=rois, per_target=per_target)}


def test_a_focus_that_cannot_be_read_is_refused():
    for target_groups in ("hemisphere", "both", "roi", "vertex:lh:3", "vertex:voxels:12"):
        assert check_target_groups(target_groups) == target_groups
    for target_groups in ("rois", "vertex", "vertex:lh", "vertex:3", "vertex:lh:x", ""):
        with pytest.raises(ValueError, match="Unknown target groups"):
            FitSpec(target_groups=target_groups)


@pytest.mark.parametrize("target_groups", ["hemisphere", "both", "roi"])
def test_every_vertex_is_in_one_part(tiny, target_groups):
    for per_target in (True, False):
        for hemi in ("lh", "rh"):
            found = [part.columns[hemi] for part in parts(tiny, target_groups, per_target).values() if hemi in part.columns]
            assert sorted(np.concatenate(found)) == list(range(10))


def test_a_vertex_of_several_rois_goes_with_the_smallest(tiny):
    rois = {hemi: {"wide": np.arange(8), "narrow": np.arange(3, 5), "empty": np.zeros(0, int)} for hemi in ("lh", "rh")}
    tiny.change(rois=rois)
    found = parts(tiny, "roi", hemis=("lh",))
    assert {name: part.columns["lh"].tolist() for name, part in found.items()} == {
        "lh wide": [0, 1, 2, 5, 6, 7],
        "lh narrow": [3, 4],
        "lh others": [8, 9],
    }
    assert list(parts(tiny, "roi", rois=("narrow",), hemis=("lh",))) == ["lh narrow"]


def test_company_makes_no_difference_where_targets_are_fitted_alone(tiny, store):
    whole = fit(TINY, store)
    for target_groups in ("both", "roi"):
        again = fit(replace(TINY, target_groups=target_groups), store)
        assert again.cached and again.key == whole.key


def test_a_single_vertex_has_a_model_of_its_own(tiny, store):
    whole, one = fit(TINY, store), fit(replace(TINY, target_groups="vertex:rh:2"), store)
    assert np.isfinite(one.score("rh")).sum() == 1 and one.plan.hemis == ("rh",)
    assert one.score("rh")[2] == pytest.approx(whole.score("rh")[2], abs=1e-6)
    assert np.isnan(one.predicted("lh", [0])).all()
    np.testing.assert_allclose(one.predicted("rh", [1, 2])[:, 1], whole.predicted("rh", [2])[:, 0], atol=1e-5)
    for target_groups, message in (("vertex:rh:10", "0 to 9"), ("vertex:mid:1", "No hemisphere 'mid'")):
        with pytest.raises(ValueError, match=message):
            fit(replace(TINY, target_groups=target_groups), store)


@pytest.mark.parametrize("spec", [PLS, replace(TINY, readout="keep", n_components=8)])
def test_a_part_is_fitted_as_if_there_were_nothing_else(tiny, store, keep, spec):
    result = fit(replace(spec, target_groups="roi"), store)
    only = {hemi: Y[:, 5:] for hemi, Y in tiny.subject.responses.items()}
    tiny.change(responses=only, fingerprints={hemi: f"noise-{hemi}" for hemi in only}, rois={hemi: {} for hemi in only})
    alone = fit(spec, store)
    np.testing.assert_allclose(result.predicted("lh", [9, 6]), alone.predicted("lh", [4, 1]), atol=1e-5)
    np.testing.assert_allclose(result.score("rh")[5:], alone.score("rh"), atol=1e-6)


def test_both_hemispheres_in_one_model(tiny, store, keep):
    spec = replace(TINY, readout="keep", target_groups="both", n_components=8)
    result = fit(spec, store)
    assert keep.calls == 1 and keep.shown.n_targets == 20 and list(result.plan.target_groups[0].columns) == ["lh", "rh"]
    np.testing.assert_array_equal(keep.shown.Y[:, 10:], tiny.subject.responses["rh"][result.plan.folds[0].train])
    assert keep.shown.rois["noise"].tolist() == [5, 6, 7, 8, 9, 15, 16, 17, 18, 19]
    apart = fit(replace(spec, target_groups="hemisphere"), store)
    np.testing.assert_allclose(result.score("rh"), apart.score("rh"), atol=1e-6)
    assert result.score("rh", "constant").tolist() == list(range(10, 20))
    joint = fit(replace(PLS, target_groups="both"), store)
    assert joint.model("both").weights.shape[1] == 20
    with pytest.raises(UnknownName, match="target group of this fit"):
        joint.model("lh")


def test_a_stored_model_of_arrays_is_restored_and_tells_its_history(tiny, store, keep):
    spec = replace(TINY, readout="keep", n_components=8)
    first, again = fit(spec, store), fit(spec, store)
    assert again.cached and keep.calls == 2
    np.testing.assert_array_equal(again.predicted("lh", [0, 3]), first.predicted("lh", [0, 3]))
    assert again.history()["lh"]["loss"].tolist() == [0, 1, 2] and set(again.history()) == {"lh", "rh"}
    assert fit(TINY, store).history() == {}


def test_a_training_that_was_killed_goes_on_in_the_next_fit(tiny, store, monkeypatch):
    from encoding.readouts import _train

    spec = replace(TINY, readout="linear_sgd", options={"n_epochs": 6}, hemi="lh")
    whole = fit(spec, Store(store.root / "elsewhere"))
    monkeypatch.setattr(_train, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(_train, "CHECKPOINT_SHARE", np.inf)
    told = []

    def kill(fraction, text):
        told.append(text)
        if "epoch 3" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(spec, store, kill)
    assert list((store.root / "checkpoint").iterdir())
    told.clear()
    resumed = fit(spec, store, lambda fraction, text: told.append(text))
    assert not any("epoch 2 of" in text for text in told) and any("epoch 5 of" in text for text in told)
    np.testing.assert_array_equal(resumed.model("lh").weights, whole.model("lh").weights)
    assert not list((store.root / "checkpoint").iterdir())


@pytest.mark.parametrize("stage", ["weights", "components"])
def test_what_was_pruned_is_made_again_by_the_next_fit(tiny, store, stage):
    first = fit(TINY, store)
    predicted = first.predicted("lh", [2])
    for key in store.keys():  # noqa: SIM118 - a Store is no dict
        if key.startswith(stage):
            store.remove(key)
    again = fit(TINY, store)
    assert not again.cached and again.key == first.key
    np.testing.assert_allclose(again.predicted("lh", [2]), predicted, atol=1e-6)


def test_a_learning_curve_of_arrays_ends_at_the_fits_own_score(tiny, store, keep):
    spec = replace(TINY, readout="keep", n_components=8)
    curve = learning_curve(spec, store)
    np.testing.assert_allclose(curve["lh_test"][-1], fit(spec, store).score("lh"), atol=1e-4)


def test_components_of_layers_apart_are_those_of_each_layer(tiny, store, keep, monkeypatch):
    monkeypatch.setattr(Keep, "by_layer", True, raising=False)
    spec = replace(TINY, readout="keep", layers=("pixels", "colour"), n_components=3)
    result = fit(spec, store)
    single = [fit(replace(spec, layers=(layer,)), store) for layer in spec.layers]
    np.testing.assert_allclose(result.components(), np.concatenate([each.components() for each in single], axis=1), atol=1e-5)
    assert result.components().shape[1] == 6


def test_shares_of_layers_apart_add_up_to_r2(tiny, store):
    result = fit(replace(TINY, readout="banded_ridge", layers=("pixels", "colour"), n_components=10, options={"n_candidates": 5}), store)
    shares = result.layer_shares("lh")
    assert list(shares) == ["pixels", "colour"] and result.layer_shares("rh")["colour"].shape == (10,)
    np.testing.assert_allclose(sum(shares.values()), result.score("lh", "r2"), atol=1e-4)
    assert fit(TINY, store).layer_shares("lh") == {}


def test_other_subjects_come_in_the_same_components_without_the_pictures_tested_on(tiny, store, keep):
    seen_by_both = tiny.subject.stimuli.pixels[::2]
    other = replace(tiny.subject, name="subj02", stimuli=TinyStimuli(np.concatenate([seen_by_both, 255 - seen_by_both])))
    subjects = {"subj01": tiny.subject, "subj02": other}
    tiny.open = lambda subject, store, report=None: subjects[subject]
    result = fit(replace(TINY, readout="keep", n_components=8, extra_subjects=("subj02",), hemi="lh"), store)
    fold, (beside,) = result.plan.folds[0], keep.shown.extra_subjects
    tested = {picture.tobytes() for picture in tiny.subject.stimuli.pixels[fold.test]}
    rows = beside.Y.rows
    assert not tested & {other.stimuli.pixels[row].tobytes() for row in rows}
    shared_and_trained = [row for row in fold.train if row < 60 and other.stimuli.pixels[row].tobytes() not in tested]
    assert set(shared_and_trained) <= set(rows) and len(rows) < 90
    picture = next(row for row in rows if row < 60)
    np.testing.assert_allclose(beside.X[list(rows).index(picture)], result.components()[2 * picture], atol=1e-4)
    with pytest.raises(BadOption, match=r"ridge shares nothing between subjects.* mlp"):
        fit(replace(TINY, extra_subjects=("subj02",)), store)
    with pytest.raises(ValueError, match="is the subject itself"):
        fit(replace(TINY, readout="keep", extra_subjects=("subj01",)), store)


@pytest.mark.parametrize("split", ["holdout:0.75:5", "kfold:3:0"])
@pytest.mark.parametrize(("order", "dtype"), [("same", "float32"), ("another", "float32"), ("another", "float16")])
def test_no_subject_learns_the_pictures_on_which_another_is_tested_or_stops_early(tiny, store, monkeypatch, split, order, dtype):
    seen = np.arange(120) if order == "same" else np.random.default_rng(0).permutation(120)
    stimuli, prints = TinyStimuli(tiny.subject.stimuli.pixels[seen]), {"lh": "lh-2", "rh": "rh-2"}
    other = replace(tiny.subject, name="subj02", stimuli=stimuli, fingerprints=prints)
    subjects, shown, trained = {"subj01": tiny.subject, "subj02": other}, [], _network.train
    tiny.open = lambda subject, store, report=None: subjects[subject]

    def showing(net, examples, *rest, **more):
        shown.append(examples)
        return trained(net, examples, *rest, **more)

    monkeypatch.setattr(_network, "train", showing)
    spec = replace(TINY, readout="mlp", options={"n_epochs": 1, "validation": 0.2}, hemi="lh", split=split, extra_subjects=("subj02",))
    spec = replace(spec, feature_dtype=dtype)
    folds = fit(spec, store, device="cpu").plan.folds
    assert len(shown) == len(folds)
    for fold, (own, theirs) in zip(folds, shown, strict=True):
        stopped_on = own._Y.rows[own.validation]
        learned = seen[theirs._Y.rows[theirs.learning]]
        assert len(stopped_on) and not np.intersect1d(learned, np.union1d(stopped_on, fold.test)).size
        assert np.isin(learned, own._Y.rows[own.learning]).any()


def test_projection_gives_the_scores_that_the_components_have(tiny):
    rng = np.random.default_rng(0)
    layers = [rng.normal(size=(50, 6)).astype(np.float32) + 3, rng.normal(size=(50, 4)).astype(np.float32)]
    found = fit_components(layers, np.arange(40), 5)
    np.testing.assert_allclose(project(layers, found.mean, found.axes), found.scores, atol=1e-5)
    with pytest.raises(ValueError, match="Ask for fewer components"):
        project(layers, found.mean, found.axes[:0])


def test_pictures_seen_by_both_are_found_whatever_their_order():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(30, 5)).astype(np.float32) * 100
    others = np.concatenate([Z[10:20] + 1e-4, rng.normal(size=(10, 5)).astype(np.float32) * 100])
    assert without_stimuli(np.arange(20), np.arange(12, 15), Z, others, 1e-4).tolist() == [0, 1, *range(5, 20)]
    assert without_stimuli(np.arange(20), np.arange(0), Z, others, 1e-4).tolist() == [*range(20)]  # of a fit that tests none


def test_a_readout_of_sequences_needs_clips(tiny, store, keep, monkeypatch):
    monkeypatch.setattr(Keep, "in_order", True, raising=False)
    with pytest.raises(BadOption, match="frames of clips"):
        fit(replace(TINY, readout="keep", over_frames="sequence"), store)


def test_responses_are_read_by_row_and_by_column_across_hemispheres():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(20, 7)), rng.normal(size=(20, 5))
    data = Training.of(np.zeros((20, 1)), left)
    from encoding.readouts import Responses

    both = Responses([(left, np.array([1, 2, 6])), (right, slice(1, 4))], np.arange(3, 18))
    whole = np.concatenate([left[3:18][:, [1, 2, 6]], right[3:18, 1:4]], axis=1)
    np.testing.assert_array_equal(both[:, :], whole)
    np.testing.assert_array_equal(both[2:5, :], whole[2:5])
    np.testing.assert_array_equal(both[:, np.array([5, 0, 2])], whole[:, [5, 0, 2]])
    np.testing.assert_array_equal(both.some(np.array([4, 1]))[:, 1:], whole[[4, 1], 1:])
    assert data.some(np.arange(5)).Y.shape == (5, 7)


def test_chosen_stimuli_are_those_rows(tiny):
    rows = np.array([5, 0, 99])
    chosen = Chosen(tiny.subject.stimuli, rows)
    assert chosen.names == tuple(tiny.subject.stimuli.names[row] for row in rows)
    np.testing.assert_array_equal(np.asarray(chosen[2]), tiny.subject.stimuli.pixels[99])
    assert chosen.fingerprint != Chosen(tiny.subject.stimuli, rows[::-1]).fingerprint
