"""Read activations of any module of a network during an ordinary forward pass, by hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from encoding.backbones._axes import Axes


class _SeenAll(Exception):
    """Every wanted layer has been captured; the rest of the forward pass is not needed."""


def trace(network: nn.Module, batch: torch.Tensor) -> dict[str, int]:
    """Count the calls of each module that can be captured in a forward pass of ``batch``.

    Module names stand in the order in which modules finish (for the last time). Modules that give no tensor, or one whose first
    axis is not the batch (such as a table of position biases), are left out. Works on the meta device, where
    nothing is computed; give a batch of three, a size that no other axis is likely to have.
    """
    import torch

    calls: dict[str, int] = {}
    usable: set[str] = set()

    def note(name: str, output: Any) -> None:
        calls[name] = calls.pop(name, 0) + 1
        found = first_tensor(output)
        (usable.add if found is not None and found.ndim and len(found) == len(batch) else usable.discard)(name)

    names = [name for name, _ in network.named_modules() if name]
    with torch.no_grad(), listening(network, names, note):
        network(batch)
    return {name: n for name, n in calls.items() if name in usable}


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
    """Compute the outputs of ``layers``, each (b, n_features) float32, in one forward pass that stops after the last.

    ``pool`` is applied to each (:func:`encoding.backbones._pooling.pooled`), with ``axes`` of the layers or, without them,
    those that shapes and the network's own statements give. ``learning`` follows gradients, where the caller does.

    Outputs are copied the moment a module returns, because a later in-place operation (ReLU, a residual sum) may
    write over them. A module called several times gives the output of its last call, and one that returns a
    tuple the first tensor in it (attention: the attended values). ``calls`` is what :func:`trace` found.
    """
    import torch

    from encoding.backbones._axes import Axes, axes_of_shape, declared_tokens
    from encoding.backbones._pooling import pooled

    outputs: dict[str, torch.Tensor] = {}
    waiting = {layer: calls[layer] for layer in layers}

    def keep(name: str, output: Any) -> None:
        waiting[name] -= 1
        if waiting[name] == 0:
            output = first_tensor(output)
            known = axes[name] if axes else next(iter(axes_of_shape(output.shape, declared_tokens(network, name))), Axes(""))
            outputs[name] = pooled(output, pool, known)
        if not any(waiting.values()):
            raise _SeenAll

    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)  # a GPU's own default keeps 10 bits of a convolution
    gradients = nullcontext() if learning else torch.no_grad()
    with gradients, exact, listening(network, list(waiting), keep), suppress(_SeenAll):
        network(batch)
    return {layer: outputs[layer] for layer in layers}


@contextmanager
def listening(network: nn.Module, names: Sequence[str], heard: Callable[[str, Any], None]) -> Iterator[None]:
    """Within the context, call ``heard(name, output)`` whenever one of the modules returns."""
    hooks = [network.get_submodule(name).register_forward_hook(lambda _m, _i, output, name=name: heard(name, output)) for name in names]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def first_tensor(output: Any) -> torch.Tensor | None:
    import torch

    if isinstance(output, tuple | list):
        output = next((part for part in output if torch.is_tensor(part)), None)
    return output if torch.is_tensor(output) else None
