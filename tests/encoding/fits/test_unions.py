"""Unions of ROIs, groups over both hemispheres, and one penalty for all vertices of a group."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from encoding import FitSpec, fit
from encoding.fits.plan import plan
from encoding.fits.targets import target_groups_of, with_unions
from encoding.readouts import READOUTS
from encoding.readouts.ridge import RELATIVE_ALPHAS
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY
from tests.readout_problems import fit as fit_readout
from tests.readout_problems import problem

ROIS = {"lh": {"V1v": [0, 1], "V1d": [2, 3, 1], "OFA": [5]}, "rh": {"V1v": [0], "OFA": [6, 7]}}


@pytest.fixture
def subject(tiny):
    tiny.change(rois={hemi: {name: np.array(sorted(columns)) for name, columns in rois.items()} for hemi, rois in ROIS.items()})
    return tiny.subject


def test_a_union_holds_the_vertices_of_its_parts_once_each(subject):
    made = with_unions(subject, ["V1=V1v+V1d", "both kinds = V1v + OFA", "OFA"])
    np.testing.assert_array_equal(made.rois["lh"]["V1"], [0, 1, 2, 3])
    np.testing.assert_array_equal(made.rois["rh"]["V1"], [0])
    np.testing.assert_array_equal(made.rois["rh"]["both kinds"], [0, 6, 7])
    assert with_unions(subject, ["OFA"]) is subject and "V1" not in subject.rois["lh"]


@pytest.mark.parametrize(
    ("rois", "error", "message"),
    [
        (["V1=V1v+V1x"], UnknownName, "Did you mean 'V1"),
        (["OFA=V1v+V1d"], ValueError, "has an ROI 'OFA'"),
        (["V1=V1v+"], ValueError, "Write a union of ROIs as name=ROI"),
        (["=V1v+V1d"], ValueError, "Write a union"),
    ],
)
def test_a_union_that_cannot_be_is_refused_before_any_work(subject, store, rois, error, message):
    with pytest.raises(error, match=message):
        plan(replace(TINY, rois=rois), store)


def test_groups_of_rois_join_hemispheres_and_hold_every_vertex_once(subject):
    groups = target_groups_of(with_unions(subject, ["V1=V1v+V1d"]), "roi:both", hemis=("lh", "rh"), rois=("V1", "OFA"), per_target=False)
    assert {group.name: {hemi: list(columns) for hemi, columns in group.columns.items()} for group in groups} == {
        "both V1": {"lh": [0, 1, 2, 3], "rh": [0]},
        "both OFA": {"lh": [5], "rh": [6, 7]},
    }
    every = target_groups_of(subject, "roi:both", hemis=("lh", "rh"), rois=(), per_target=False)
    for hemi in ("lh", "rh"):
        np.testing.assert_array_equal(np.sort(np.concatenate([group.columns.get(hemi, []) for group in every])), np.arange(10))


def test_a_union_is_a_row_of_the_table_and_a_model_of_its_own(subject, store):
    spec = replace(TINY, readout="pls", options={"n_components": 2}, rois=("V1=V1v+V1d", "OFA"), target_groups="roi:both")
    result = fit(spec, store)
    table = result.rois().set_index(["roi", "hemi"])
    assert list(table.index) == [("V1", "lh"), ("V1", "rh"), ("OFA", "lh"), ("OFA", "rh")]
    np.testing.assert_array_equal(table["n_vertices"], [4, 1, 1, 2])
    assert table.loc[("V1", "lh"), "r_mean"] == pytest.approx(result.score("lh")[[0, 1, 2, 3]].mean())
    assert result.model("both V1").weights.shape[1] == 5 and np.isnan(result.score("lh")[4])
    assert FitSpec.from_dict(spec.to_dict()) == spec and "V1=V1v+V1d" in spec.to_command()


def test_a_union_leaves_the_keys_of_whole_hemispheres_as_they_are(subject, store):
    assert plan(replace(TINY, rois=("V1=V1v+V1d",)), store).key == plan(TINY, store).key


def test_one_penalty_for_all_vertices_is_that_of_the_highest_mean_held_out_r2():
    X, Y = problem("correlated")
    alphas, fold = np.logspace(-1, 5, 9), np.arange(len(X)) % 5
    predicted = np.empty((len(alphas), *Y.shape))
    for number, alpha in enumerate(alphas):
        for held_out in range(5):
            predicted[number, fold == held_out] = Ridge(alpha).fit(X[fold != held_out], Y[fold != held_out]).predict(X[fold == held_out])
    best = alphas[np.argmax([r2_score(Y, each) for each in predicted])]
    ours = fit_readout("ridge", X, Y, fold, alphas=tuple(alphas), alpha_per_target=False)
    each = fit_readout("ridge", X, Y, fold, alphas=tuple(alphas))
    assert set(ours.details["alpha"]) == {best} and len(set(each.details["alpha"])) > 1
    np.testing.assert_allclose(ours.predict(X), Ridge(best).fit(X, Y).predict(X), rtol=1e-6, atol=1e-6)
    assert fit_readout("ridge", X, Y[:, :1], fold, alpha_per_target=False).details["alpha"][0] > 0 and len(RELATIVE_ALPHAS) == 15


def test_one_penalty_is_chosen_by_the_group_that_is_fitted_together(subject, store):
    spec = replace(TINY, options={"alpha_per_target": False})
    for groups, n in (("hemisphere", 2), ("both", 1), ("roi:both", 4)):
        result = fit(replace(spec, target_groups=groups), store)
        alphas = {
            group.name: {float(a) for hemi, c in group.columns.items() for a in result.score(hemi, "alpha")[c]}
            for group in result.plan.target_groups
        }
        assert len(alphas) == n and all(len(each) == 1 for each in alphas.values())
    ridge = READOUTS["ridge"]
    assert ridge.targets_apart(ridge.read({})) and not ridge.targets_apart(ridge.read({"alpha_per_target": False}))
