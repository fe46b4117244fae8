"""Split a network into blocks in forward order, and run it from the middle: for finetuning its last blocks alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from encoding.backbones._capture import ERRORS_OF_NETWORKS, capture

if TYPE_CHECKING:
    import torch
    from torch import nn

NEARLY_ALL = 0.9  # share of a module's weights in one sequence of like modules above which the module is a stage and no block
N_PROBED = 2  # images of noise in a probing batch; no other axis is likely to be as short


@dataclass(frozen=True)
class Block:
    """A part of a network that is trained or frozen as a whole.

    Attributes
    ----------
    name : of its module. learns : whether it has weights (a matrix or filters), so that it counts as a block of a network.
    shape : of its output for one image; None where it runs more than once, or gives anything but a tensor with images first.
    """

    name: str
    learns: bool
    shape: tuple[int, ...] | None


class _Reached(Exception):
    """The last layer has been computed."""


def blocks(network: nn.Module, batch: torch.Tensor, calls: Mapping[str, int], layers: Sequence[str]) -> list[Block]:
    """List the blocks that start before ``layers`` are computed, in forward order.

    Blocks are what ``Sequential``, ``ModuleList`` and ``ModuleDict`` hold: a convolution of AlexNet, a residual block of a ResNet, a
    transformer's attention with its MLP. A module that holds one of the layers is taken apart, so that no block goes on after it.

    Parameters
    ----------
    batch : (2, 3, height, width), two prepared images. calls : number of calls of each layer (:func:`encoding.backbones._hooks.trace`).
    """
    import torch

    names = list(_block_names(network, "", _holders(layers)))
    order: dict[str, int] = {}
    shapes: dict[str, tuple[int, ...] | None] = {}
    waiting = {layer: calls[layer] for layer in layers}

    def started(name: str) -> None:
        order[name] = order.get(name, 0) + 1

    def ended(name: str, output: Any) -> None:
        if name in order:
            whole = torch.is_tensor(output) and output.ndim > 0 and len(output) == len(batch) and order[name] == 1
            shapes[name] = tuple(output.shape[1:]) if whole else None
        waiting[name] = waiting.get(name, 0) - 1
        if not any(waiting[layer] > 0 for layer in layers):
            raise _Reached

    hooks = [network.get_submodule(name).register_forward_pre_hook(lambda _m, _i, name=name: started(name)) for name in names]
    hooks += [
        network.get_submodule(name).register_forward_hook(lambda _m, _i, output, name=name: ended(name, output))
        for name in dict.fromkeys([*names, *layers])
    ]
    try:
        with torch.no_grad(), suppress(_Reached):
            network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    learns = {name: any(part.ndim > 1 for part in network.get_submodule(name).parameters()) for name in order}
    return [Block(name, learns[name], shapes.get(name)) for name in order]


def _holders(layers: Sequence[str]) -> set[str]:
    """The names of all modules around some layers."""
    return {".".join(layer.split(".")[:n]) for layer in layers for n in range(1, layer.count(".") + 1)}


def _block_names(module: nn.Module, prefix: str, taken_apart: set[str]) -> Iterator[str]:
    for name, child in module.named_children():
        full = f"{prefix}{name}"
        if full in taken_apart or _holds_a_row(child):
            yield from _block_names(child, f"{full}.", taken_apart)
        else:
            yield full


def _holds_a_row(module: nn.Module) -> bool:
    """Whether a module is a sequence of others, or little more: a stage of like blocks behind a small projection to their width."""
    from torch import nn

    rows = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    if isinstance(module, rows):
        return True
    for row in (child for child in module.children() if isinstance(child, rows)):
        members = list(row.children())
        alike = len(members) > 1 and len({type(member) for member in members}) == 1
        if alike and any(members[0].children()) and not isinstance(members[0], rows):
            return _n_weights(row) >= NEARLY_ALL * _n_weights(module) > 0
    return False


def _n_weights(module: nn.Module) -> int:
    return sum(part.numel() for part in module.parameters())


@dataclass(frozen=True)
class Cut:
    """A point from which a network can be run: after the block ``name``, whose output for one image has ``shape``.

    Attributes
    ----------
    before : names of the blocks that then need not run, and the shapes of their outputs for one image.
    """

    name: str
    shape: tuple[int, ...]
    before: Mapping[str, tuple[int, ...]]

    def output(self, network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Compute the block's output: (b, 3, height, width) -> (b, *shape) float32."""
        return capture(network, batch, {self.name: 1}, (self.name,))[self.name].unflatten(1, self.shape)

    @contextmanager
    def entered(self, network: nn.Module, output: torch.Tensor) -> Iterator[None]:
        """Within the context, run the network from ``output`` (b, *shape), whatever images it is given."""
        nothing = output.new_zeros(())
        answers: dict[str, Callable[..., torch.Tensor]] = {
            name: lambda *_, shape=shape, **__: nothing.expand(len(output), *shape) for name, shape in self.before.items()
        }
        answers[self.name] = lambda *_, **__: output
        modules = [(network.get_submodule(name), answer) for name, answer in answers.items()]
        before = [vars(module).get("forward") for module, _ in modules]
        for module, answer in modules:
            module.forward = answer
        try:
            yield
        finally:
            for (module, _), forward in zip(modules, before, strict=True):
                del module.forward
                if forward is not None:
                    module.forward = forward


def find_cut(
    network: nn.Module, batch: torch.Tensor, calls: Mapping[str, int], layers: Sequence[str], blocks: Sequence[Block]
) -> Cut | None:
    """Find the cut after the last of the blocks ``found``; None where later layers depend on more than that block's output.

    It is tried: ``layers`` must come out the same from noise (``batch``) whether the network runs whole or from the cut. A dense net, in
    which every block sees all before it, has none.
    """
    import torch

    if not blocks or any(block.shape is None for block in blocks):
        return None
    cut = Cut(blocks[-1].name, blocks[-1].shape, {block.name: block.shape for block in blocks[:-1]})
    with torch.no_grad():
        whole = capture(network, batch, calls, layers)
        try:
            with cut.entered(network, cut.output(network, batch)):
                entered = capture(network, torch.zeros_like(batch), calls, layers)
        except ERRORS_OF_NETWORKS:  # it cannot run from the middle
            return None
    same = all(torch.allclose(entered[layer], whole[layer], rtol=1e-5, atol=1e-6 * float(whole[layer].abs().max())) for layer in layers)
    return cut if same else None
