"""Active-set solver of lasso and elastic net in float64, for strongly correlated features, all targets at once.

Feature-sign search (Lee, Battle, Raina & Ng 2006, Efficient sparse coding algorithms, NIPS 19): guess which weights are not 0 and
their signs, solve the equations of those (a Newton step), and go there as far as the loss falls, weights that would change sign
staying at 0. Every round lowers the loss, and there are finitely many guesses. Two things are done otherwise than in the paper: several
weights leave 0 in one round, fewer where they could not go the whole way; and the step is damped by 1e-12, so that features that depend
on one another are no exception.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from encoding.readouts._gram import Gram

MOST_ROUNDS = 1_000
DIRECT_ROUNDS = 30  # before penalties nearby are solved on the way
NEARBY, MOST_NEARBY = 0.7, 64  # of a penalty, the next on that way; and how many there are
FIRST_ADDED = 16  # weights that leave 0 in the first round
SOLVED_NUMBERS = 2_000_000  # in the systems of equations that are solved together, a system at least
DAMPING, MORE_DAMPING, MOST_DAMPING = 1e-12, 1e2, 1.0  # of a feature's variance; more where rounding leaves a system without a root


def solve_active(
    gram: Gram,
    c: torch.Tensor,
    l1: torch.Tensor,
    l2: torch.Tensor,
    weights: torch.Tensor,
    tolerance: float,
    *,
    most_rounds: int = MOST_ROUNDS,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve by feature-sign search, starting at given weights.

    Parameters
    ----------
    c : (p, t) float64, X'y / n about the means.
    l1, l2 : (t,) float64 penalties.
    weights : (p, t) float64, the start.
    tolerance : optimality residual (:func:`encoding.readouts._sparse.kkt`) at which a target is finished.

    Returns
    -------
    Weights (p, t) and their residuals (t,); a target's result does not depend on which others are solved with it. The residual exceeds
    ``tolerance`` where the rounds did not suffice.
    """
    import torch

    best, residual = weights.T.clone(), torch.full_like(l1, torch.inf)
    at, w, products, l1, l2 = torch.arange(len(l1), device=c.device), best, c.T, l1[:, None], l2[:, None]
    scale = products.abs().amax(1, keepdim=True).clamp(min=1e-300)
    added = torch.full_like(at, FIRST_ADDED)
    for _ in range(most_rounds):
        gradient = torch.addcmul(w @ gram.G - products, l2, w)
        outside = torch.where(w == 0, (gradient.abs() - l1).clamp(min=0), 0.0)
        pulled = torch.where(w != 0, gradient + l1 * w.sign(), 0.0)
        far = torch.maximum(outside, pulled.abs()).amax(1) / scale[:, 0]
        better = far < residual[at]
        best[at[better]], residual[at[better]] = w[better], far[better]
        left = far > tolerance
        if not left.any():
            break
        if not left.all():
            at, w, products, l1, l2, scale, added, gradient, outside, pulled = (
                part[left] for part in (at, w, products, l1, l2, scale, added, gradient, outside, pulled)
            )
        settled = (pulled.abs() <= tolerance * scale).all(1)  # among the weights that are not 0: only another can lower the loss
        added = torch.where(settled, added.clamp(min=1), added)
        leaving = _largest(outside, added) & (outside > tolerance * scale)
        wanted = torch.where(leaving, gradient.sign() * outside, pulled)
        step = _newton(gram, l2, leaving | (w != 0), -wanted)
        step = torch.where(leaving & (step * gradient > 0), 0.0, step)  # back to where it would not stay
        w, whole = _descend(gram, gradient, l1, l2, w, step)
        added = torch.where(whole, (2 * added + 1).clamp(max=len(c)), added // 4)  # X
    return best.T, residual


def solve_surely(
    gram: Gram, c: torch.Tensor, l1: torch.Tensor, l2: torch.Tensor, weights: torch.Tensor, tolerance: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Call :func:`solve_active`; targets that do not converge follow a path of penalties down from that at which all weights are 0."""
    import torch

    made, residual = solve_active(gram, c, l1, l2, weights, tolerance, most_rounds=DIRECT_ROUNDS)
    far = (residual > tolerance).nonzero()[:, 0]
    if not len(far):
        return made, residual
    c, l1, l2 = c[:, far], l1[far], l2[far]
    n_steps = ((c.abs().amax(0) / l1.clamp(min=1e-300)).log() / -math.log(NEARBY)).ceil().clamp(0, MOST_NEARBY)
    nearby = torch.zeros_like(c)
    for step in range(int(n_steps.max()), -1, -1):
        more = NEARBY ** -n_steps.clamp(max=step)  # targets that need fewer steps wait at their first
        nearby, solution = solve_active(gram, c, l1 * more, l2 * more, nearby, tolerance)
    better = solution < residual[far]
    made[:, far[better]], residual[far[better]] = nearby[:, better], solution[better]
    return made, residual


def _largest(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """(t, p) bool, the ``counts`` (t,) largest of each row of values (t, p)."""
    import torch

    order = values.argsort(dim=1, descending=True, stable=True)
    rank = torch.arange(values.shape[1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, rank) < counts[:, None]


def _newton(gram: Gram, l2: torch.Tensor, active: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """(t, p) the solutions of (G + λ₂) x = ``right`` among the ``active`` features of each target, 0 elsewhere."""
    import torch

    made = torch.zeros_like(right)
    for some, size in _alike(active.sum(1)):
        inside, columns = active[some].to(torch.uint8).sort(dim=1, descending=True, stable=True)
        inside, columns = inside[:, :size].to(right.dtype), columns[:, :size]  # (b, k), padded to the largest
        system = gram.G[columns[:, :, None], columns[:, None, :]]
        system *= inside[:, :, None]
        system *= inside[:, None, :]
        system.diagonal(dim1=1, dim2=2).add_(l2[some] * inside + 1 - inside)
        variance, damping = gram.diagonal[columns], DAMPING
        system.diagonal(dim1=1, dim2=2).add_(damping * variance)
        root, info = torch.linalg.cholesky_ex(system)
        while info.any() and damping < MOST_DAMPING:
            damping *= MORE_DAMPING
            failed = info != 0
            system.diagonal(dim1=1, dim2=2).add_((damping * variance) * failed[:, None])
            root[failed], info[failed] = torch.linalg.cholesky_ex(system[failed])
        solved = torch.cholesky_solve((right[some].gather(1, columns) * inside)[:, :, None], root)[:, :, 0]
        made[some] = torch.zeros_like(right[some]).scatter_(1, columns, (solved * inside).nan_to_num(0.0, 0.0, 0.0))
    return made


def _alike(sizes: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
    """Targets whose systems have nearly the same size (t,), and the largest of it, as many as are solved together."""
    values, order = sizes.sort(descending=True, stable=True)
    values, start = values.tolist(), 0
    while start < len(values) and values[start] > 0:
        largest = values[start]
        stop, most = start + 1, start + max(1, SOLVED_NUMBERS // largest**2)
        while stop < min(most, len(values)) and values[stop] >= 0.7 * largest:
            stop += 1
        yield order[start:stop], largest
        start = stop


def _descend(
    gram: Gram, gradient: torch.Tensor, l1: torch.Tensor, l2: torch.Tensor, w: torch.Tensor, step: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (t, p) of less loss on the way from ``w`` to ``w + step``, and whether (t,) the whole way was gone.

    Tried are the least loss on the straight way, and its end with every weight at 0 that would have changed sign.
    """
    import torch

    straight = _straight(gram, gradient, l1, l2, w, step)
    folded = torch.where(w * (w + step) < 0, 0.0, w + step)
    falls = [_change(gram, gradient, l1, l2, w, tried) for tried in (straight, folded)]
    made = torch.where((falls[1] < falls[0])[:, None], folded, straight)
    moved = torch.minimum(*falls) < 0
    whole = moved & ((falls[1] < falls[0]) | ((straight - w - step).abs() <= 1e-9 * step.abs()).all(1))
    return torch.where(moved[:, None], made, w), whole


def _straight(gram: Gram, gradient: torch.Tensor, l1: torch.Tensor, l2: torch.Tensor, w: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Where the loss is least on ``w + γ step``, γ in 0 … 1: a parabola between the places where a weight passes 0."""
    import torch

    curvature = (step * (step @ gram.G + l2 * step)).sum(1, keepdim=True).clamp(min=1e-300)
    slope = (gradient * step + l1 * torch.where(w == 0, step.abs(), w.sign() * step)).sum(1, keepdim=True)
    passing = torch.where(w * step < 0, -w / step, torch.inf)  # γ where each passes 0
    places, order = torch.cat([passing.clamp(max=1), torch.ones_like(slope)], 1).sort(1)
    bends = torch.where(passing < 1, 2 * l1 * step.abs(), 0.0)
    bends = torch.cat([bends, torch.full_like(slope, torch.inf)], 1).gather(1, order)
    after = slope + bends.cumsum(1)  # of the absolute values, on the right of each place
    index = (after + curvature * places >= 0).to(torch.uint8).argmax(1, keepdim=True)  # the first where the loss rises
    before = after.gather(1, (index - 1).clamp(min=0))
    lowest = -torch.where(index > 0, before, slope) / curvature
    gamma = torch.minimum(lowest, places.gather(1, index)).clamp(0, 1)
    return torch.where(passing == gamma, 0.0, torch.addcmul(w, gamma, step))


def _change(gram: Gram, gradient: torch.Tensor, l1: torch.Tensor, l2: torch.Tensor, w: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """(t,) by how much the loss of ``made`` exceeds that of ``w``, both (t, p); ``gradient`` is that of the smooth part at w."""
    way = made - w
    return (gradient * way + 0.5 * way * (way @ gram.G + l2 * way) + l1 * (made.abs() - w.abs())).sum(1)
