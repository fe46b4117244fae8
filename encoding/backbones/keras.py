"""NASNet mobile, found by a search over architectures, as Keras publishes it.

Zoph, Vasudevan, Shlens & Le (2018), Learning transferable architectures for scalable image recognition. It runs through
Keras 3 on JAX, an extra that nothing else here needs: ``pip install keras jax``. Neither is imported before a network is
built. A process runs Keras on one library only, and NASNet does not run on its torch backend, so a process in which Keras
was loaded with another one is refused.

JAX computes where it finds a device of its own; features come back to where the images were. Every size of batch is
compiled once, in about ten seconds.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from encoding.backbones._axes import Axes
from encoding.backbones._base import SOURCES, Backbone, BadWeights, NotInstalled, Source, UnknownLayer, WeightsFile
from encoding.backbones._checkpoints import weights_fingerprint
from encoding.backbones._modules import Preparation
from encoding.backbones._pooling import pooled
from encoding.backbones._weights import PRETRAINED, fetch_weights, find_weights, seed_of
from encoding.runtime.random_state import ONE_AT_A_TIME
from encoding.runtime.registry import unknown
from encoding.storage.files import in_home, raise_passing
from encoding.storage.keys import digest

if TYPE_CHECKING:
    import torch

KERAS_VERSION = 1

NETWORK = "keras/nasnet_mobile"
CELLS = (
    *(f"normal_concat_{cell}" for cell in range(4)),
    "reduction_concat_reduce_4",
    *(f"normal_concat_{cell}" for cell in range(5, 9)),
    "reduction_concat_reduce_8",
    *(f"normal_concat_{cell}" for cell in range(9, 13)),
)
LAYERS = ("stem_bn1", "reduction_concat_stem_1", "reduction_concat_stem_2", *CELLS, "activation_187", "global_average_pooling2d")
PREPARATION = Preparation(224, 224, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # Keras's own: x / 127.5 - 1
ADDRESS = "https://storage.googleapis.com/tensorflow/keras-applications/nasnet/NASNet-mobile.h5"
FILE = "nasnet_mobile.h5"  # Keras's name for it
MD5 = "020fb642bf7360b370c678b08e0adf61"  # of that file, in Keras's code
LICENCE = "not stated by Keras; trained on ImageNet-1k"


def load_keras() -> Any:
    """The keras module on its JAX backend, imported now if need be.

    Raises
    ------
    NotInstalled where keras or jax is missing; RuntimeError where keras was imported with another backend.
    """
    if "keras" not in sys.modules:
        missing = [name for name in ("keras", "jax") if importlib.util.find_spec(name) is None]
        if missing:
            raise NotInstalled(f"{NETWORK} needs {' and '.join(missing)}, not installed here. Install with: pip install keras jax")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # or JAX takes three quarters of a GPU, which torch uses too
        with _environment("KERAS_BACKEND", "jax"), _undisturbed():
            import keras
    import keras

    if (backend := keras.backend.backend()) != "jax":
        raise RuntimeError(
            f"{NETWORK} runs on Keras's jax backend, and this process has loaded Keras with {backend}. "
            "Start a new process, or set KERAS_BACKEND=jax before Keras is imported."
        )
    return keras


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.__setitem__(name, before)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Python's and numpy's random numbers go on after the block as if it had drawn none."""
    before, numpy_before = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpy_before)


def models() -> Path:
    """The folder that Keras keeps downloaded weights in: ``$KERAS_HOME/models``, or ``~/.keras/models``."""
    return in_home(os.environ.get("KERAS_HOME") or "~/.keras", "KERAS_HOME") / "models"


def build(seed: int) -> Any:
    """Build the Keras model with weights drawn from ``seed``. Python's and numpy's random numbers go on undisturbed, Keras's own do not."""
    keras = load_keras()
    with ONE_AT_A_TIME, _undisturbed():
        keras.utils.set_random_seed(seed)
        return keras.applications.NASNetMobile(weights=None)


def named_layers(model: Any) -> dict[str, Any]:
    """A model's layers by name, in the order in which they can be computed, the input left out.

    Keras numbers the layers that have no name of their own through all models of a process; here they have the numbers of
    the first one: ``activation``, ``activation_1``, ….
    """
    numbers: dict[str, list[int]] = {}
    kinds = []
    for layer in model.layers[1:]:
        kind = re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", type(layer).__name__).lower()
        match = re.fullmatch(rf"{kind}(?:_(\d+))?", layer.name)
        kinds.append((kind, int(match[1] or 0)) if match else None)
        if match:
            numbers.setdefault(kind, []).append(int(match[1] or 0))
    names = {}
    for layer, own in zip(model.layers[1:], kinds, strict=True):
        number = own[1] - min(numbers[own[0]]) if own else None
        names[layer.name if own is None else f"{own[0]}_{number}" if number else own[0]] = layer
    return names


@cache
def every_layer() -> tuple[str, ...]:
    """Every layer of the network in forward order."""
    return tuple(named_layers(build(0)))


def load(model: Any, path: Path) -> None:
    """Load the weights of a Keras file, ``.h5`` or ``.weights.h5``, into a model; ValueError where they cannot be read or do not fit."""
    try:
        model.load_weights(path)
    except (OSError, ValueError, LookupError) as error:
        raise_passing(error, path)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadWeights(f"{path} does not fit {NETWORK}, or is damaged: {reason}") from error


class KerasBackbone(Backbone):
    """A Keras model. Maps come channel by channel, (channels, height, width), as those of other networks."""

    def __init__(self, model: Any, fingerprint: str) -> None:
        self.model, self.fingerprint = model, fingerprint
        self._layers = named_layers(model)
        self._parts: dict[tuple[str, ...], Any] = {}

    def prepare(self, image: Image.Image) -> torch.Tensor:
        import torch

        return torch.from_numpy(PREPARATION(image))

    def activations(self, batch: torch.Tensor, layers: Sequence[str], pool: str = "none") -> dict[str, torch.Tensor]:
        import torch

        for layer in layers:
            if layer not in self._layers:
                raise UnknownLayer(unknown(f"layer of {NETWORK}", layer, self._layers))
        images = np.ascontiguousarray(batch.permute(0, 2, 3, 1).cpu().numpy(), np.float32)
        outputs = {}
        for layer, output in self._computed(images, tuple(layers)).items():
            channels_first = torch.from_numpy(np.moveaxis(np.array(output, np.float32), -1, 1))
            outputs[layer] = pooled(channels_first, pool, Axes("NCHW") if channels_first.ndim == 4 else None).to(batch.device)
        return outputs

    def _computed(self, images: np.ndarray, layers: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """(b, height, width, 3) -> the layers' outputs as Keras has them, channels last."""
        import jax

        if layers not in self._parts:
            outputs = [self._layers[layer].output for layer in layers]
            self._parts[layers] = load_keras().Model(self.model.inputs, outputs)
        with jax.default_matmul_precision("highest"):  # a GPU's own default keeps 10 bits of a convolution
            outputs = self._parts[layers].predict_on_batch([images])
        return dict(zip(layers, outputs if isinstance(outputs, list) else [outputs], strict=True))

    def to(self, device: str) -> KerasBackbone:
        return self


class Keras(Source):
    """NASNet Mobile of Keras, computed on JAX."""

    name = NETWORK.partition("/")[0]

    def networks(self) -> tuple[str, ...]:
        return (NETWORK,)

    def layers(self, network: str) -> tuple[str, ...]:
        return LAYERS

    def every_layer(self, network: str) -> tuple[str, ...]:
        return every_layer()

    def weights_file(self, network: str) -> WeightsFile:
        return WeightsFile(network, models() / FILE, ADDRESS, LICENCE)

    def is_ready(self, network: str, weights: str) -> bool:
        return weights != PRETRAINED or self.weights_file(network).is_here

    def fingerprint(self, network: str, weights: str) -> str:
        """Digest of architecture, weight bytes and preprocessing. Downloads ``pretrained`` weights if need be."""
        seed = seed_of(weights)
        learnt = f"random:{seed}" if seed is not None else weights_fingerprint(self._find(weights))
        return digest("backbone", KERAS_VERSION, network=network, weights=learnt, preprocessing=PREPARATION.named())

    def open(self, network: str, weights: str) -> KerasBackbone:
        seed = seed_of(weights)
        load_keras()  # or say at once that it is missing
        fingerprint = self.fingerprint(network, weights)
        path = self._find(weights) if seed is None else None
        if weights == PRETRAINED and path and hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != MD5:
            raise BadWeights(f"{path} is not the file that Keras publishes, or is damaged. Delete it and fetch it again from {ADDRESS}.")
        model = build(seed or 0)
        if path:
            load(model, path)
            if self.fingerprint(network, weights) != fingerprint:
                raise ValueError(f"{path} changed while it was read. Wait until it is whole, then try again.")
        return KerasBackbone(model, fingerprint)

    def _find(self, weights: str) -> Path:
        file = self.weights_file(NETWORK)
        if weights != PRETRAINED:
            return find_weights(NETWORK, weights, "")
        return file.path if file.is_here else fetch_weights(NETWORK, ADDRESS, file.path)


SOURCES.register(Keras.name, Keras())
