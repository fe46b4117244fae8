"""Random search of banded ridge: the best scaling of the layers and the best penalty for each target.

A candidate scales the components of X; its penalties then are a ridge path, whose held-out errors come from moments as in
:mod:`encoding.readouts.ridge`: for each fold two products with the targets, and one more for every penalty. Most candidates
need none of them. Generalised cross-validation (Golub, Heath & Wahba 1979) gives a close estimate of every held-out error
from one product per candidate: with Λ the eigenvalues of all folds' X'X and A = V'X'Y, the error on the training rows is
``RSS(α) = Σy² - Σ A² (Λ + 2α) / (Λ + α)²`` and ``GCV(α) = RSS(α) / (n - df(α))²``. Only what it ranks near a target's best is
cross-validated. It takes rows for independent, which repeats of a stimulus are not: a target whose choice lies at the edge of what
was looked at is searched again, in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.readouts._counted import Counted
from encoding.readouts._moments import Centred, Moments, centred
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.threads import map_in_threads

if TYPE_CHECKING:
    import torch

MARGIN = 30.0  # n log GCV, as a difference in AIC: in trials the cross-validated choice was within 18 of the least
ROWS_PER_COMPONENT = 2  # with fewer, GCV nears 0/0 and is no guide
BYTES_AT_ONCE = 64 << 20  # of a block's X'Y, or of the eigenbases of some candidates
LEAST_SHARE = {"float32": 1e-6, "float64": 1e-14}  # of Σy², below which RSS is rounding


@dataclass(frozen=True)
class BandWeights:
    """Choice of each target: ``candidate`` and ``alpha`` (t,) int, indices; ``score`` (t,), held-out R² or mean r."""

    candidate: np.ndarray
    alpha: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Shortlist:
    """Penalties to cross-validate: for each candidate and target (c, t) int16, indices ``first`` to ``last``, both included.

    ``excess`` (c, t) float32 is n log GCV of the candidate's best penalty above the target's least.
    """

    first: np.ndarray
    last: np.ndarray
    excess: np.ndarray

    @classmethod
    def everything(cls, n_candidates: int, n_alphas: int, n_targets: int) -> Shortlist:
        """Shortlist every penalty of every candidate for all targets."""
        shape = (n_candidates, n_targets)
        return cls(np.zeros(shape, np.int16), np.full(shape, n_alphas - 1, np.int16), np.zeros(shape, np.float32))

    def used(self) -> np.ndarray:
        """Indices of the candidates that are cross-validated for some target."""
        return np.flatnonzero((self.last >= self.first).any(1))

    def at_edge(self, choice: BandWeights, n_alphas: int) -> np.ndarray:
        """Indices of the targets whose choice lies at or near the edge of the shortlist, so that a better one may lie outside."""
        first, last, excess = (array[choice.candidate, np.arange(len(choice.alpha))] for array in (self.first, self.last, self.excess))
        lowest, highest = (choice.alpha == first) & (first > 0), (choice.alpha == last) & (last < n_alphas - 1)
        return np.flatnonzero(lowest | highest | (excess > MARGIN * 2 / 3))


def choose(
    moments: Moments, scales: np.ndarray, alphas: np.ndarray, *, select: str, exhaustive: bool, device: str, report: Report
) -> BandWeights:
    """Choose the best of the candidates ``scales`` (c, p), each with every one of ``alphas`` (a,), for each target.

    By squared error summed over held-out folds (``select`` r2) or r averaged over them; ties go to the earlier candidate and the
    smaller alpha. Candidates are shortlisted by GCV unless ``exhaustive``, where r is what counts, or where there are too few rows.
    """

    def search(some: Moments, listed: Shortlist, start: float, stop: float) -> BandWeights:
        return cross_validate(some, scales, alphas, listed, select=select, device=device, report=subprogress(report, start, stop))

    def everything(n_targets: int) -> Shortlist:
        return Shortlist.everything(len(scales), len(alphas), n_targets)

    too_few = moments.n.sum() < ROWS_PER_COMPONENT * moments.n_components
    if exhaustive or select != "r2" or too_few or len(scales) * len(alphas) == 1:
        return search(moments, everything(moments.n_targets), 0.0, 1.0)
    listed = shortlist(moments, scales, alphas, device=device, report=lambda done, text: report(0.2 * done, text))
    choice = search(moments, listed, 0.2, 0.8)
    again = listed.at_edge(choice, len(alphas))
    if len(again):
        better = search(moments.targets(again), everything(len(again)), 0.8, 1.0)
        for name in ("candidate", "alpha", "score"):
            getattr(choice, name)[again] = getattr(better, name)
    return choice


def held_out_r(moments: Moments, alphas: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """r of ridge on held-out folds, (t,): for each target the mean over folds at the best of ``alphas`` (a,); NaN where it is constant."""
    equal = np.ones((1, moments.n_components))
    return choose(moments, equal, alphas, select="r", exhaustive=True, device=device, report=silent).score


def shortlist(moments: Moments, scales: np.ndarray, alphas: np.ndarray, *, device: str, report: Report) -> Shortlist:
    """Shortlist candidates and penalties whose ``n log GCV`` is within MARGIN of the target's, or the candidate's, minimum.

    One more penalty on either side is included, so that a choice at the edge shows that the shortlist was too short.
    """
    import torch

    every, n = np.arange(moments.n_folds), float(moments.n.sum())
    shape = (len(scales), moments.n_targets)
    least, first, last = np.empty(shape, np.float32), np.empty(shape, np.int16), np.empty(shape, np.int16)
    floor = LEAST_SHARE[moments.xy.dtype.name]
    xx = centred(moments.targets(slice(0, 0)), every, device=device).xx
    grid = torch.from_numpy(alphas).to(device)
    n_pieces = len(scales) * (1 + len(list(_blocks(moments, 1))))
    pieces = Counted(report, n_pieces, f"scalings of the layers: {len(scales)}, a first look")
    for chunk in _chunks(np.arange(len(scales)), 1, moments):
        curves = _gather(lambda number: _Curve.of(xx, scales[number], grid, n, moments.xy.dtype), chunk, device, pieces)

        def look(block: slice, curves: dict[int, _Curve] = curves) -> None:
            total = centred(moments.targets(block), every, device=device)
            for number, curve in curves.items():
                near = (gcv := curve.gcv(total, floor)) <= gcv.min(0).values + MARGIN
                numbers = torch.arange(len(alphas), device=device)[:, None]
                least[number, block] = gcv.min(0).values.cpu().numpy()
                first[number, block] = torch.where(near, numbers, len(alphas)).min(0).values.cpu().numpy()
                last[number, block] = torch.where(near, numbers, -1).max(0).values.cpu().numpy()
                pieces.done()

        map_in_threads(look, _blocks(moments, 1), device=device)
    first, last, least = np.maximum(first - 1, 0), np.minimum(last + 1, len(alphas) - 1), least - least.min(0)
    far = least > MARGIN
    first[far], last[far] = len(alphas), -1
    return Shortlist(first, last, least)


@dataclass(frozen=True)
class _Curve:
    """What all targets share of one candidate's GCV: V (p, p), scaled; ``explained`` (a, p); ``penalty`` (a, 1), -2 n log(1 - df/n)."""

    n: float
    V: torch.Tensor
    explained: torch.Tensor
    penalty: torch.Tensor

    @classmethod
    def of(cls, xx: torch.Tensor, scale: np.ndarray, alphas: torch.Tensor, n: float, dtype: np.dtype) -> _Curve:
        import torch

        values, V = eigenbasis(xx, scale)
        shrinkage = shrinkages(values, alphas)
        df = 1 + (values * shrinkage).sum(1)
        kind = torch.from_numpy(np.empty(0, dtype)).dtype
        explained = shrinkage * (2 - values * shrinkage)
        return cls(n, V.to(kind), explained.to(kind), (-2 * n * torch.log1p(-df.clamp(max=n - 1) / n))[:, None])

    def gcv(self, total: Centred, floor: float) -> torch.Tensor:
        """n log(GCV / Σy²) but for a constant, (a, t) float64; 0 for a constant target."""
        rss = total.yy - self.explained @ (self.V.T @ total.xy).square_()
        share = rss / total.yy.clamp(min=1e-300)
        return (share.clamp(min=floor).log() * self.n + self.penalty).where(total.yy > 0, 0.0)


def cross_validate(
    moments: Moments, scales: np.ndarray, alphas: np.ndarray, listed: Shortlist, *, select: str, device: str, report: Report
) -> BandWeights:
    """Cross-validate the shortlist and return the candidate and penalty of least loss for each target."""
    import torch

    t, folds = moments.n_targets, range(moments.n_folds)
    best, total = np.full(t, np.inf), np.full(t, np.nan)
    candidate, alpha, used = np.zeros(t, int), np.zeros(t, int), listed.used()
    no_targets = moments.targets(slice(0, 0))
    grams = [_Fold.of(no_targets, fold, select, device) for fold in folds]
    n_pieces = len(used) * (len(folds) + len(list(_blocks(moments, 2 * len(folds)))))
    pieces = Counted(report, n_pieces, f"scalings of the layers: {len(used)} of {len(scales)}, cross-validated")
    for chunk in _chunks(used, 2 * len(folds), moments):
        pairs = [(number, fold) for number in chunk for fold in folds]
        paths = _gather(lambda pair: _Path.of(grams[pair[1]], scales[pair[0]], alphas, moments.xy.dtype, device), pairs, device, pieces)

        def search(block: slice, chunk: np.ndarray = chunk, paths: dict[tuple[int, int], _Path] = paths) -> None:
            some = [_Fold.of(moments.targets(block), fold, select, device) for fold in folds]
            total[block] = sum(fold.held_out.yy for fold in some).cpu().numpy()
            for number in chunk:
                pieces.done()
                first, last = listed.first[number, block], listed.last[number, block]
                here = np.flatnonzero(last >= first)
                if not len(here):
                    continue
                loss = sum(paths[number, fold].losses(some[fold], here, first[here], last[here], select) for fold in folds)
                least, which = (values.cpu().numpy() for values in torch.min(loss, 0))
                better = least < best[block][here]
                place = block.start + here[better]
                best[place], candidate[place], alpha[place] = least[better], number, which[better]

        map_in_threads(search, _blocks(moments, 2 * len(folds)), device=device)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = 1 - best / total if select == "r2" else -best / len(folds)
    return BandWeights(candidate, alpha, np.where(total > 0, score, np.nan))


@dataclass(frozen=True)
class _Fold:
    """The moments of the other folds, about their means, and of the fold held out, about the same (r2) or its own (r)."""

    train: Centred
    held_out: Centred

    @classmethod
    def of(cls, moments: Moments, fold: int, select: str, device: str) -> _Fold:
        train = centred(moments, np.delete(np.arange(moments.n_folds), fold), device=device)
        return cls(train, centred(moments, np.array([fold]), device=device, about=train if select == "r2" else None))


@dataclass(frozen=True)
class _Path:
    """What all targets share of one candidate with one fold held out: V (p, p), scaled; ``shrinkage`` (a, p, 1); B (p, p), V'X̃'X̃V."""

    V: torch.Tensor
    shrinkage: torch.Tensor
    B: torch.Tensor

    @classmethod
    def of(cls, fold: _Fold, scale: np.ndarray, alphas: np.ndarray, dtype: np.dtype, device: str) -> _Path:
        import torch

        values, V = eigenbasis(fold.train.xx, scale)
        kind = torch.from_numpy(np.empty(0, dtype)).dtype
        shrinkage = shrinkages(values, torch.from_numpy(alphas).to(device))
        return cls(V.to(kind), shrinkage[:, :, None].to(kind), (V.T @ fold.held_out.xx @ V).to(kind))

    def losses(self, fold: _Fold, columns: np.ndarray, first: np.ndarray, last: np.ndarray, select: str) -> torch.Tensor:
        """Squared error or -r of targets ``columns`` (k,) for penalties ``first`` to ``last`` (k,) of each; inf for others. -> (a, k)"""
        import torch

        device = self.V.device
        chosen = torch.from_numpy(columns).to(device)
        A, D = self.V.T @ fold.train.xy[:, chosen], self.V.T @ fold.held_out.xy[:, chosen]  # (p, k)
        yy = fold.held_out.yy[chosen]
        losses = torch.full((len(self.shrinkage), len(columns)), torch.inf, dtype=torch.float64, device=device)
        for number in range(int(first.min()), int(last.max()) + 1):
            mask = (first <= number) & (number <= last)
            here = slice(None) if mask.all() else torch.from_numpy(np.flatnonzero(mask)).to(device)
            u, d = A[:, here] * self.shrinkage[number], D[:, here]
            if select == "r2":
                losses[number, here] = torch.addmm(d, self.B, u, beta=-2).mul_(u).sum(0) + yy[here]
            else:
                scale = (self.B @ u).mul_(u).sum(0).clamp(min=0).sqrt() * yy[here].clamp(min=0).sqrt()
                losses[number, here] = torch.where(scale > 0, -(u * d).sum(0) / scale, 0.0)
        return losses


def eigenbasis(xx: torch.Tensor, scale: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues (p,), none negative, of ``√s X'X √s`` for scale s (p,), and ``√s V`` (p, p), which takes X'Y there and weights back."""
    import torch

    root = torch.from_numpy(np.sqrt(scale)).to(xx.device)
    values, V = torch.linalg.eigh(xx * root * root[:, None])
    return values.clamp(min=0), root[:, None] * V


def shrinkages(values: torch.Tensor, alphas: torch.Tensor) -> torch.Tensor:
    """1 / (λ + α) for each α and λ (a, p), and 0 where both vanish: the shortest solution."""
    denominator = values + alphas[:, None]
    return (denominator > values.max() * len(values) * 1e-14) / denominator.clamp(min=1e-300)


def _gather(make: Callable, keys: list | np.ndarray, device: str, pieces: Counted) -> dict:
    """``make(key)`` of every key, made side by side and counted."""
    made = dict.fromkeys(keys)

    def put(key: object) -> None:
        made[key] = make(key)
        pieces.done()

    map_in_threads(put, made, device=device)
    return made


def _chunks(numbers: np.ndarray, matrices: int, moments: Moments) -> Iterator[np.ndarray]:
    """So many candidates at a time as fit, each with so many (p, p) matrices; never none."""
    step = max(1, BYTES_AT_ONCE // (matrices * moments.n_components**2 * moments.xy.itemsize))
    return (numbers[start : start + step] for start in range(0, len(numbers), step))


def _blocks(moments: Moments, matrices: int) -> Iterator[slice]:
    """Targets of which so many (p, block) matrices fit."""
    step = min(4_096, max(256, BYTES_AT_ONCE // (matrices * moments.n_components * moments.xy.itemsize)))
    return (slice(start, min(start + step, moments.n_targets)) for start in range(0, moments.n_targets, step))
