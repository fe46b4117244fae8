"""Representational similarity encoding: a mean of all training responses, weighted by the similarity of features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from encoding.readouts import READOUTS, BadOption, Choice, Options, Range, Readout, Training, option
from encoding.readouts._smoother import Smoother, deviations, mean_response, row_blocks, unit_rows
from encoding.runtime.progress import Report, silent

SIMILARITIES = ("correlation", "cosine")


@dataclass(frozen=True)
class RSEOptions(Options):
    """Parameters of :class:`RSE`."""

    similarity: str = option(
        "correlation",
        "Similarity of two images: correlation (of deviations from the mean training image) or cosine (of the components as they are).",
        search=Choice(SIMILARITIES),
    )
    negative: bool = option(True, "Keep negative similarities as negative weights. Off: they are set to 0.", search=Choice((True, False)))
    k: int | None = option(
        None, "Number of most similar training images that are used. Empty: all of them.", search=Range(10, 1_000, log=True)
    )

    def __post_init__(self) -> None:
        if self.similarity not in SIMILARITIES:
            raise BadOption(f"similarity must be one of {', '.join(SIMILARITIES)}, not {self.similarity!r}.")
        if self.k is not None and self.k < 1:
            raise BadOption(f"k must be 1 or more, not {self.k}.")


class RSE(Readout):
    """``ȳ + Σᵢ sᵢ (yᵢ - ȳ) / Σᵢ |sᵢ|`` over training images i, with s the similarity of their components to the new image's:
    ``correlation`` is the cosine of deviations from the mean training image, ``cosine`` that of the components as they are. Neither
    depends on the signs of principal components, as Pearson's r across them would. Components of all training rows have mean 0 over
    them; then the two are the same.

    After Anderson, Zinszer & Raizada (2016), "Representational similarity encoding for fMRI", NeuroImage 128, who synthesise the
    pattern of a new stimulus from the patterns of others, by the similarity of their models. Each image's weights are divided by
    the sum of their absolute values, as the public implementation of the paper by sn0422j (``RSE``) does: where some are negative
    they add up to less than 1. Responses are taken about their training mean ȳ, so that a constant added to them is added to the
    prediction; for responses of mean 0 the formula is the plain ``Σ s y / Σ |s|``, and without negative weights it is that for any
    responses. An image that resembles none is predicted as ȳ. With ``k`` the k largest s count, the earlier row first among equals.
    """

    name, title, version = "rse", "Representational similarity encoding", 2
    about = "Predicts a mean of all training responses, each weighted by how similar its image is: nothing is fitted."
    uses_moments = False
    restores_from_data = True
    export_refusal = "Its model is made of the training responses themselves, which are not passed on."
    options = RSEOptions

    def fit(self, data: Training, options: RSEOptions, *, device: str = "cpu", report: Report = silent) -> SimilarityModel:
        mean = mean_response(data.Y, report)
        return SimilarityModel(
            deviations(data, mean), mean, X=data.X, similarity=options.similarity, negative=options.negative, k=options.k
        )

    def restore(self, arrays: Mapping[str, np.ndarray], data: Training | None) -> SimilarityModel:
        shared, k = SimilarityModel.shared_fields(arrays), int(arrays["k"])
        return SimilarityModel(
            deviations(data, shared["intercept"]),
            **shared,
            X=data.X,
            similarity=str(arrays["similarity"]),
            negative=bool(arrays["negative"]),
            k=k or None,
        )

    def cost(self, n: int, p: int, t: int, options: RSEOptions) -> tuple[float, float]:
        """One reading of the responses, and the products to score a test set of a tenth of the training rows."""
        return n * t + n * n * (p + t) / 10, 8.0 * n * p + 1.2 * n * n + 3e8


@dataclass(frozen=True, kw_only=True)
class SimilarityModel(Smoother):
    """Similarity encoding from the rows of X (n_train, p); with ``k`` from the k most similar, None for all."""

    X: np.ndarray
    similarity: str
    negative: bool
    k: int | None

    def basis(self, X: np.ndarray) -> np.ndarray:
        """Weights (n, n_train) of the training rows, in the dtype of the responses; absolute values sum to 1, or all are 0."""
        known, new = (unit_rows(rows, self.X if self.similarity == "correlation" else None) for rows in (self.X, X))
        basis = np.empty((len(X), len(known)), self.weights.dtype)
        for block in row_blocks(len(X), len(known)):
            similar = new[block] @ known.T
            if self.k is not None and self.k < len(known):
                far = np.argsort(-similar, 1, kind="stable")[:, self.k :]
                np.put_along_axis(similar, far, 0, 1)
            if not self.negative:
                similar = np.maximum(similar, 0)
            total = np.abs(similar).sum(1, keepdims=True)
            basis[block] = np.where(total > 0, similar / np.where(total > 0, total, 1), 0)
        return basis

    def state(self) -> dict[str, np.ndarray]:
        return {"similarity": np.array(self.similarity), "negative": np.array(self.negative), "k": np.array(self.k or 0)}


READOUTS.register("rse", RSE())
