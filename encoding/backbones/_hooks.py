"""Listen to the modules of a network during an ordinary forward pass, by hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn


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
        tensor = first_tensor(output)
        (usable.add if tensor is not None and tensor.ndim and len(tensor) == len(batch) else usable.discard)(name)

    names = [name for name, _ in network.named_modules() if name]
    with torch.no_grad(), listening(network, names, note):
        network(batch)
    return {name: n for name, n in calls.items() if name in usable}


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
    """Return a module's output tensor, of several outputs the first; None where there is none."""
    import torch

    if isinstance(output, tuple | list):
        output = next((part for part in output if torch.is_tensor(part)), None)
    return output if torch.is_tensor(output) else None
