"""Weights of an ensemble are those of a general solver, on the simplex, and the best of all corners and the mean."""

import numpy as np
import pytest
from scipy.optimize import minimize

from encoding.experiments.stacking import project_to_simplex, simplex_weights


def problems(t, m, seed=0, alike=0.0):
    """(t, m, m) products of residuals; ``alike`` 0 to 1 is what members share."""
    rng = np.random.default_rng(seed)
    E = rng.normal(size=(t, m, 40)) + alike * 10 * rng.normal(size=(t, 1, 40))
    E *= rng.uniform(0.5, 2, (t, m, 1))
    return E @ E.transpose(0, 2, 1)


@pytest.mark.parametrize("m", [2, 5, 12])
@pytest.mark.parametrize("alike", [0.0, 1.0])
def test_weights_are_scipys(m, alike):
    G = problems(6, m, seed=m, alike=alike)
    W = simplex_weights(G)
    assert (W >= 0).all()
    assert W.sum(1) == pytest.approx(1)
    for g, w in zip(G / np.trace(G, axis1=1, axis2=2)[:, None, None], W, strict=True):
        found = minimize(lambda x, g=g: x @ g @ x, np.full(m, 1 / m), jac=lambda x, g=g: 2 * g @ x, bounds=[(0, 1)] * m, method="SLSQP",
                         constraints={"type": "eq", "fun": lambda x: x.sum() - 1}, options={"ftol": 1e-14, "maxiter": 500})  # fmt: skip
        assert w @ g @ w <= found.fun * (1 + 1e-5)
        assert w == pytest.approx(found.x, abs=0.01)


def test_no_member_and_not_the_mean_is_better_on_the_stimuli_that_weights_were_learned_on():
    G = problems(200, 7, seed=1, alike=0.3)
    W = simplex_weights(G)
    stacked = np.einsum("ti,tij,tj->t", W, G, W)
    assert (stacked <= np.diagonal(G, axis1=1, axis2=2).min(1) * (1 + 1e-5)).all()
    assert (stacked <= G.mean((1, 2)) * (1 + 1e-5)).all()


def test_degenerate_problems_have_weights():
    one = simplex_weights(np.array([[[2.0]]]))
    nothing = simplex_weights(np.array([np.zeros((3, 3)), np.full((3, 3), np.nan), np.ones((3, 3))]))
    assert one.tolist() == [[1.0]]
    assert nothing == pytest.approx(np.full((3, 3), 1 / 3))
    assert simplex_weights(np.zeros((0, 4, 4))).shape == (0, 4)
    assert simplex_weights(np.array([[[0.0, 0.0], [0.0, 5.0]]])) == pytest.approx(np.array([[1.0, 0.0]]), abs=1e-6)


def test_the_nearest_point_of_the_simplex():
    V = np.random.default_rng(0).normal(size=(50, 6)) * 3
    P = project_to_simplex(V)
    assert (P >= 0).all() and P.sum(1) == pytest.approx(1)
    assert project_to_simplex(P) == pytest.approx(P)
    others = np.random.default_rng(1).dirichlet(np.ones(6), 200)
    assert (((V - P) ** 2).sum(1)[:, None] <= ((V[:, None] - others) ** 2).sum(2) + 1e-12).all()
