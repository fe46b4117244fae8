"""Weights of an ensemble: non-negative, summing to 1, of the least squared error on validation stimuli.

With weights that sum to 1 the error of the weighted mean is the weighted mean of the members' errors, so that only their products enter:

    e_m = y - p_m             residuals of member m
    G   = E'E                 (n_members, n_members)
    min w'Gw                  over w >= 0, sum(w) = 1

References
----------
Lin, Naselaris & Kay (2024), Stacked regressions and structured variance partitioning for interpretable brain maps; Breiman (1996),
Stacked regressions.
"""

from __future__ import annotations

import numpy as np

GAP = 1e-6  # duality gap of every problem, relative to its objective, at which iterations end
MOST_STEPS = 5_000


def simplex_weights(G: np.ndarray) -> np.ndarray:
    """Minimise ``w'Gw`` over the simplex for many G at once, by accelerated projected gradients with restarts.

    Parameters
    ----------
    G : (t, m, m) float, symmetric and positive semidefinite.

    Returns
    -------
    (t, m) float64, from 0, each row summing to 1; equal weights where G is 0 or not finite.
    """
    t, m, _ = G.shape
    G = np.where(np.isfinite(G).all((1, 2), keepdims=True), G, 0.0)
    size = np.trace(G, axis1=1, axis2=2)[:, None, None]
    G = G / np.where(size > 0, size, 1)
    W = np.full((t, m), 1 / m)
    if m == 1 or not t:
        return W
    step = 1 / np.maximum(np.linalg.eigvalsh(G)[:, -1:], np.finfo(float).tiny)  # of the gradient Gw
    active = np.arange(t)
    V, momentum = W.copy(), np.ones((t, 1))
    for _ in range(MOST_STEPS):
        Ga, Wa = G[active], W[active]
        moved = project_to_simplex(V[active] - step[active] * np.einsum("tij,tj->ti", Ga, V[active]))
        back = ((V[active] - moved) * (moved - Wa)).sum(1, keepdims=True) > 0  # the momentum leads uphill: start it again
        before = np.where(back, 1.0, momentum[active])
        after = (1 + np.sqrt(1 + 4 * before**2)) / 2
        V[active] = moved + np.where(back, 0.0, (before - 1) / after) * (moved - Wa)
        W[active], momentum[active] = moved, after
        gradient = np.einsum("tij,tj->ti", Ga, moved)
        objective = (moved * gradient).sum(1)
        active = active[objective - gradient.min(1) > GAP * np.maximum(objective, np.finfo(float).tiny)]
        if not len(active):
            break
    return W


def project_to_simplex(V: np.ndarray) -> np.ndarray:
    """Nearest points of the simplex to the rows of V (t, m): from 0 and summing to 1 (Duchi et al. 2008).

    Examples
    --------
    >>> project_to_simplex(np.array([[0.9, 0.3, -1.0]])).round(3).tolist()
    [[0.8, 0.2, 0.0]]
    """
    descending = -np.sort(-V, axis=1)
    excess = np.cumsum(descending, axis=1) - 1
    number = np.arange(1, V.shape[1] + 1)
    n_kept = (descending * number > excess).sum(1)
    threshold = excess[np.arange(len(V)), n_kept - 1] / n_kept
    return np.maximum(V - threshold[:, None], 0)
