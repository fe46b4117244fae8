"""Read activations of any module of a network in one forward pass that stops after the last of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

from encoding.backbones._axes import Axes, axes_of_shape, declared_tokens
from encoding.backbones._hooks import first_tensor, listening
from encoding.backbones._pooling import pooled

if TYPE_CHECKING:
    import torch
    from torch import nn

ERRORS_OF_NETWORKS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
)  # where one runs on what is not for it


class _SeenAll(Exception):
    """Every wanted layer has been captured; the rest of the forward pass is not needed."""


def capture(
    network: nn.Module,
    batch: torch.Tensor,
    calls: Mapping[str, int],
    layers: Sequence[str],
    pool: str = "none",
    *,
    axes: Mapping[str, Axes] | None = None,
    learning: bool = False,
) -> dict[str, torch.Tensor]:
    """Compute the outputs of ``layers``, each (b, n_features) float32, in one forward pass that stops after the last (:func:`visit`)."""
    outputs: dict[str, torch.Tensor] = {}
    visit(network, batch, calls, layers, outputs.__setitem__, pool, axes=axes, learning=learning)
    return {layer: outputs[layer] for layer in layers}


def visit(
    network: nn.Module,
    batch: torch.Tensor,
    calls: Mapping[str, int],
    layers: Sequence[str],
    use: Callable[[str, torch.Tensor], None],
    pool: str = "none",
    *,
    axes: Mapping[str, Axes] | None = None,
    learning: bool = False,
) -> None:
    """Call ``use(layer, output)`` for each of ``layers`` as soon as it is computed; output (b, n_features) float32.

    Parameters
    ----------
    batch : (b, 3, height, width) float32, as the network takes images.
    calls : layer to how often a forward pass calls it, as :func:`encoding.backbones._hooks.trace` finds.
    pool : spatial pooling of each output (:func:`encoding.backbones._pooling.pooled`).
    axes : layer to the meaning of its axes; None derives it from shapes and from what the network declares.
    learning : whether gradients are recorded where the caller records them.

    Notes
    -----
    Outputs are copied the moment a module returns, because a later in-place operation (ReLU, a residual sum) may
    write over them. A module called several times gives the output of its last call, and one that returns a
    tuple the first tensor in it (attention: the attended values).
    """
    import torch

    waiting = {layer: calls[layer] for layer in layers}

    def keep(name: str, output: Any) -> None:
        waiting[name] -= 1
        if waiting[name] == 0:
            output = first_tensor(output)
            known = axes[name] if axes else next(iter(axes_of_shape(output.shape, declared_tokens(network, name))), Axes(""))
            use(name, pooled(output, pool, known))
        if not any(waiting.values()):
            raise _SeenAll

    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)  # a GPU's own default keeps 10 bits of a convolution
    gradients = nullcontext() if learning else torch.no_grad()
    with gradients, exact, listening(network, list(waiting), keep), suppress(_SeenAll):
        network(batch)
