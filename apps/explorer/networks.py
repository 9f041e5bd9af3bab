"""Forward passes and fingerprints of the networks that all visitors share; independent of Streamlit.

All visitors of a process share its networks, so nothing here registers hooks or changes state: an intervention is a
split forward pass, `head`, edit, `tail`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

import generators
from gandissect import Generator, Segmenter, UnitSet, generate
from gandissect.inference.upsampling import upsample
from gandissect.interventions.edits import Edit
from segmenters.datasets import open_inputs

FORWARD_SLOTS = threading.BoundedSemaphore(4)
"""Semaphore that limits concurrent forward passes, and with them memory; networks hold no state of a visitor."""

_FINGERPRINTS: WeakKeyDictionary[Generator | Segmenter, str] = WeakKeyDictionary()


def fingerprint_of(network: Generator | Segmenter) -> str:
    """Return a network's fingerprint, computed once since it hashes all weights."""
    if network not in _FINGERPRINTS:
        _FINGERPRINTS[network] = network.fingerprint
    return _FINGERPRINTS[network]


def open_generator(name: str, device: str, inputs: Sequence[str]) -> Generator:
    """Load a generator; put a translator on pictures.

    Args:
        name: Bundled name, file or folder.
        device: Device to load it on.
        inputs: Specifications of a translator's pictures; others ignore them.
    """
    generator = generators.load(name, device)
    if not isinstance(generator, generators.Translator):
        return generator
    label_maps = bool(generator.input_concepts)
    return generator.on(open_inputs(inputs, generator.image_size[0], label_maps=label_maps))


@torch.inference_mode()
def make_images(generator: Generator, z: Float[Tensor, "batch *num_ws z"]) -> Float[Tensor, "batch 3 H W"]:
    """Return the images of ``z``, ``[batch, 3, H, W]`` on CPU."""
    with FORWARD_SLOTS:
        return generator(z).cpu()


@torch.inference_mode()
def edit_images(
    generator: Generator,
    z: Float[Tensor, "batch z"],
    edits: Sequence[Edit],
    activation: Float[Tensor, "batch unit h w"] | None = None,
) -> Float[Tensor, "batch 3 H W"]:
    """Return the images of ``z`` with edits applied.

    Args:
        generator: Generator; it is not modified.
        z: Latent vectors, float32 ``[batch, z_dim]``.
        edits: Edits to apply, in order.
        activation: Activations of the first edited layer, if already computed.

    Returns:
        float32 ``[batch, 3, H, W]`` on CPU.

    Raises:
        KeyError: If an edited layer does not exist.
        ValueError: If an edit does not fit.

    Source: Bau et al. 2019, Sec. 3.2.
    """
    with FORWARD_SLOTS:
        return generate(generator, z, edits, activation=activation).cpu()


@torch.inference_mode()
def measure_heat(
    generator: Generator, z: Float[Tensor, "1 z"], units: UnitSet, thresholds: Float[Tensor, " unit"]
) -> Float32[Tensor, "H W"]:
    """Return where units are active: the mean over units of ``clamp(a_u / t_u, 0, 1)``, upsampled to the image.

    Args:
        generator: Generator.
        z: Latent vector, float32 ``[1, z_dim]``.
        units: Units to average over, at least 1.
        thresholds: Threshold ``t_u`` of every unit of the layer, float32 ``[unit]``; if it is 0 or less, any activity
            counts as 1.

    Returns:
        float32 ``[H, W]`` in [0, 1] on CPU.
    """
    with FORWARD_SLOTS:
        activation = generator.head(z, units.layer).float().cpu()[:, list(units.units)].clamp(min=0)
    level = thresholds[list(units.units)].clamp(min=1e-6)[:, None, None]
    return (upsample(activation, generator.image_size)[0] / level).clamp(max=1).mean(0)


@torch.inference_mode()
def label_image(segmenter: Segmenter, image: Float[Tensor, "3 H W"]) -> Int64[Tensor, "rows columns"]:
    """Return the labels of one image, int64 ``[H, W]`` on CPU."""
    with FORWARD_SLOTS:
        return segmenter(image[None]).cpu()[0]


@torch.inference_mode()
def run_head(generator: Generator, z: Float[Tensor, "batch z"], layer: str) -> Float[Tensor, "batch unit h w"]:
    """Return a layer's activations, for `edit_images` or `run_tail`."""
    with FORWARD_SLOTS:
        return generator.head(z, layer)


@torch.inference_mode()
def run_tail(
    generator: Generator, z: Float[Tensor, "batch z"], layer: str, activation: Float[Tensor, "batch unit h w"]
) -> Float[Tensor, "batch 3 H W"]:
    """Return the images that follow from a layer's activations, on CPU."""
    with FORWARD_SLOTS:
        return generator.tail(activation, layer, z).cpu()
