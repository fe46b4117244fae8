"""What a finished fit answers to names, columns and folds that it does not have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoding import fit
from encoding.fits.composition import composed
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY


@pytest.fixture
def result(tiny, store):
    tiny.change(ceiling={hemi: np.full(10, 0.5, np.float32) for hemi in ("lh", "rh")})
    return fit(TINY, store, device="cpu")


@pytest.fixture
def mixed(result):
    """The fit composed of itself alone."""
    return composed([result], {hemi: np.ones((1, 1, 10), np.float32) for hemi in ("lh", "rh")}, key="fit-0")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda fit: fit.predicted("lhh", [0]), "Unknown block of responses 'lhh'. Did you mean 'lh'? Known: lh, rh."),
        (lambda fit: fit.predicted_rows(0, np.array([0]), "xx", [0]), "Unknown block of responses 'xx'. Known: lh, rh."),
        (lambda fit: fit.measured("xx", [0]), "Unknown block of responses 'xx'"),
        (lambda fit: fit.ceiling("xx"), "Unknown block of responses 'xx'"),
        (lambda fit: fit.columns("driven", "xx"), "Unknown block of responses 'xx'"),
        (lambda fit: fit.columns("all", "xx"), "Unknown block of responses 'xx'"),
        (lambda fit: fit.columns("drivn", "lh"), "ROI of tiny subj01 'drivn'. Did you mean 'driven'? Known: all, driven, noise, empty."),
        (lambda fit: fit.score("xx"), "Unknown block of responses 'xx'"),
        (lambda fit: fit.score("xx", "alpha"), "Unknown block of responses 'xx'"),
        (lambda fit: fit.score("xx", "pooled_r"), "Unknown block of responses 'xx'"),
        (lambda fit: fit.score("lh", "rr"), "Unknown score of this fit 'rr'. Did you mean 'r'?"),
        (lambda fit: fit.score("lh", "alpa"), "Did you mean 'alpha'?"),
        (lambda fit: fit.roi_labels("xx"), "Unknown block of responses 'xx'"),
        (lambda fit: fit.model(0, "lh"), "Unknown target group of this fit 0. Known: lh, rh."),
    ],
)
def test_a_name_that_a_fit_does_not_have_is_refused_with_those_it_has(result, ask, message):
    with pytest.raises(UnknownName) as refused:
        ask(result)
    assert message in str(refused.value)


@pytest.mark.parametrize("columns", [[99], [-1], [0, 10], np.array([3, -2])])
@pytest.mark.parametrize("name", ["result", "mixed"])
@pytest.mark.parametrize("ask", ["predicted", "measured"])
def test_columns_that_are_not_there_are_refused_with_the_range(name, ask, columns, request):
    wrong = next(int(each) for each in columns if not 0 <= each < 10)
    with pytest.raises(IndexError, match=f"lh has the columns 0 to 9, so there is no {wrong}"):
        getattr(request.getfixturevalue(name), ask)("lh", columns)


@pytest.mark.parametrize("columns", [np.arange(10) < 5, [0.5], 3, "01"], ids=["mask", "fraction", "number", "text"])
@pytest.mark.parametrize("ask", ["predicted", "measured"])
def test_what_is_no_list_of_columns_is_refused(result, ask, columns):
    with pytest.raises(ValueError, match="columns must be a list of whole numbers"):
        getattr(result, ask)("lh", columns)


@pytest.mark.parametrize("name", ["result", "mixed"])
def test_columns_in_any_order_and_none_at_all_are_answered(name, request):
    fit = request.getfixturevalue(name)
    assert fit.predicted("lh", [7, 2]).shape == (30, 2) and fit.predicted("lh", []).shape == fit.measured("lh", []).shape == (30, 0)
    assert (fit.measured("lh", [7, 2]) == fit.measured("lh", [2, 7])[:, ::-1]).all()


@pytest.mark.parametrize("ask", ["model", "history", "components", "delays", "projection", "predicted_rows"])
@pytest.mark.parametrize("fold", [3, -1])
def test_a_fold_that_is_not_there_is_refused_with_the_range(tiny, store, ask, fold):
    result = fit(replace(TINY, split="kfold:3:0"), store, device="cpu")
    more = {"model": ("lh", fold), "projection": (fold, ("pixels",)), "predicted_rows": (fold, np.array([0]), "lh", [0])}
    with pytest.raises(IndexError, match=f"This fit has the folds 0 to 2, so there is no {fold}"):
        getattr(result, ask)(*more.get(ask, (fold,)))


def test_a_vertex_that_was_not_fitted_is_nan(tiny, store):
    result = fit(replace(TINY, hemi="lh"), store, device="cpu")
    mixed = composed([result], {"lh": np.ones((1, 1, 10), np.float32)}, key="fit-0")
    assert np.isnan(result.predicted("rh", [0])).all() and np.isnan(mixed.predicted("rh", [0])).all()
