"""What the explorer shows, without Streamlit: pure functions of a generator, latent vectors and units.

One process shares its models between all visitors, so nothing here registers or changes anything on them: an
intervention is a split forward pass, `head`, edit, `tail`.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from gandissect import UNLABELLED, Concept, Generator, Segmenter, UnitSet, generate
from gandissect.inference.upsampling import upsample
from gandissect.interventions.edits import Edit

Pixels = NDArray[np.uint8]
"""A picture to show, ``[H, W, 3]``."""

MIN_PIXELS = 256
"""Pictures are enlarged by a whole factor until their longer side has so many pixels."""

FULL_SCALE = 0.25
"""The difference that is drawn in the brightest colour, as a share of the largest possible."""

ROOM = threading.BoundedSemaphore(4)
"""Forward passes at once, for memory only: nothing of a visitor's is on the networks."""

_FINGERPRINTS: WeakKeyDictionary[Generator | Segmenter, str] = WeakKeyDictionary()

_HOT = torch.tensor([[0, 0, 0], [110, 30, 90], [240, 110, 20], [255, 250, 200]], dtype=torch.float32)
_LIFT = torch.tensor([28.0, 32.0, 44.0])
_GLOW = torch.tensor([255.0, 110.0, 0.0])


@torch.inference_mode()
def generated(generator: Generator, z: Tensor) -> Tensor:
    """Return the pictures of ``z``, ``[batch, 3, H, W]`` on CPU."""
    with ROOM:
        return generator(z).cpu()


@torch.inference_mode()
def edited(generator: Generator, z: Tensor, edits: Sequence[Edit], activation: Tensor | None = None) -> Tensor:
    """Return the pictures of ``z`` with some edits.

    Args:
        generator: The generator; it stays as it is.
        z: float32 ``[batch, z_dim]``.
        edits: What to change, in order.
        activation: That of the first edited layer, if it is known.

    Returns:
        float32 ``[batch, 3, H, W]`` on CPU.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If an edit does not fit.

    Source: Bau et al. 2019, Sec. 3.2.
    """
    with ROOM:
        return generate(generator, z, edits, activation=activation).cpu()


@torch.inference_mode()
def heat(generator: Generator, z: Tensor, units: UnitSet, thresholds: Tensor) -> Tensor:
    """Return where units are active: the mean over them of ``clamp(a_u / t_u, 0, 1)``, upsampled to the picture.

    Args:
        generator: The generator.
        z: float32 ``[1, z_dim]``.
        units: Which units, one or more.
        thresholds: float32 ``[unit]``, the threshold ``t_u`` of every unit of the layer; from 0 down, any activity
            counts as 1.

    Returns:
        float32 ``[H, W]`` in [0, 1] on CPU.
    """
    with ROOM:
        activation = generator.head(z, units.layer).float().cpu()[:, list(units.units)].clamp(min=0)
    level = thresholds[list(units.units)].clamp(min=1e-6)[:, None, None]
    return (upsample(activation, generator.image_size)[0] / level).clamp(max=1).mean(0)


@torch.inference_mode()
def label(segmenter: Segmenter, image: Tensor) -> Tensor:
    """Return the labels of one picture, int64 ``[H, W]`` on CPU."""
    with ROOM:
        return segmenter(image[None]).cpu()[0]


@torch.inference_mode()
def head(generator: Generator, z: Tensor, layer: str) -> Tensor:
    """Return a layer's activations, to go on from with `edited`."""
    with ROOM:
        return generator.head(z, layer)


def fingerprint(network: Generator | Segmenter) -> str:
    """Return a network's fingerprint, worked out once: it hashes all of the weights."""
    if network not in _FINGERPRINTS:
        _FINGERPRINTS[network] = network.fingerprint
    return _FINGERPRINTS[network]


@torch.inference_mode()
def finished(generator: Generator, z: Tensor, layer: str, activation: Tensor) -> Tensor:
    """Return the pictures that a layer's activations lead to, on CPU: those of ``z`` if they are what `head` gave."""
    with ROOM:
        return generator.tail(activation, layer, z).cpu()


class Memory:
    """What has been worked out lately, for one visitor.

    Args:
        capacity: How many things at most, 1 or more.
    """

    def __init__(self, capacity: int = 12) -> None:
        self._capacity, self._kept = capacity, OrderedDict[Hashable, Any]()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what is kept under a key, made if it is not there."""
        if key not in self._kept:
            self._kept[key] = make()
        self._kept.move_to_end(key)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return self._kept[key]


def shares(labels: Tensor, num_concepts: int) -> Tensor:
    """Return the share of pixels of each concept, the unlabelled ones last: float64 ``[concept + 1]``, of sum 1."""
    labels = torch.where(labels == UNLABELLED, num_concepts, labels)
    return torch.bincount(labels.flatten(), minlength=num_concepts + 1).double() / labels.numel()


def changed(before: Tensor, after: Tensor) -> Tensor:
    """Return how much each pixel changed, ``[H, W]``: mean over red, green, blue, 1 from black to white."""
    return (before.clamp(-1, 1) - after.clamp(-1, 1)).abs().mean(0) / 2


def png(pixels: Pixels) -> bytes:
    """Return pixels as a PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", compress_level=1)
    return file.getvalue()


def draw_picture(image: Tensor) -> Pixels:
    """Draw an image ``[3, H, W]`` in [-1, 1]."""
    return _enlarged(_rgb(image), "bicubic")


def jpeg(pixels: Pixels) -> bytes:
    """Return pixels as a JPEG, a quarter as long as the PNG, for small pictures to look at."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=90)
    return file.getvalue()


def native(image: Tensor) -> Pixels:
    """Draw an image ``[3, H, W]`` in [-1, 1] as large as it is."""
    return _pixels(_rgb(image))


def draw_concepts(image: Tensor, labels: Tensor, concepts: Sequence[Concept]) -> Pixels:
    """Draw an image in grey under the colours of its labels, int64 ``[H, W]``."""
    return _enlarged(_mixed(image, labels, concepts), "nearest")


def native_concepts(image: Tensor, labels: Tensor, concepts: Sequence[Concept]) -> Pixels:
    """Draw what `draw_concepts` does as large as the image is."""
    return _pixels(_mixed(image, labels, concepts))


def _mixed(image: Tensor, labels: Tensor, concepts: Sequence[Concept]) -> Tensor:
    grey = _rgb(image).mean(0, keepdim=True).expand(3, -1, -1)
    colors = torch.tensor([*(concept.color for concept in concepts), (0, 0, 0)], dtype=torch.float32)
    painted = colors[labels].permute(2, 0, 1)
    return torch.where(labels == UNLABELLED, grey, 0.3 * grey + 0.7 * painted)


def draw_heat(image: Tensor, activity: Tensor) -> Pixels:
    """Draw an image in dim grey with a glow where ``[H, W]`` in [0, 1] is high."""
    grey = 0.6 * _rgb(image).mean(0, keepdim=True)
    return _enlarged(torch.lerp(grey, _GLOW[:, None, None], 0.9 * activity[None]), "bicubic")


def draw_change(change: Tensor, where: Tensor | None = None) -> Pixels:
    """Draw a map of changes ``[H, W]``: black for none, the brightest from `FULL_SCALE` on.

    Args:
        change: From 0 to 1.
        where: A region to lift a little from the black, bool ``[H, W]``.
    """
    place = (change / FULL_SCALE).clamp(0, 1) * (len(_HOT) - 1)
    low = place.long().clamp(max=len(_HOT) - 2)
    hot = torch.lerp(_HOT[low], _HOT[low + 1], (place - low)[..., None])
    if where is not None:
        hot = hot + _LIFT * where[..., None]
    return _enlarged(hot.permute(2, 0, 1), "bicubic")


def _rgb(image: Tensor) -> Tensor:
    return (image.clamp(-1, 1) + 1) * 127.5


def _enlarged(rgb: Tensor, mode: str) -> Pixels:
    factor = max(1, -(-MIN_PIXELS // max(rgb.shape[1:])))
    return _pixels(interpolate(rgb[None], scale_factor=factor, mode=mode)[0])


def _pixels(rgb: Tensor) -> Pixels:
    return rgb.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def inside_and_outside(change: Tensor, where: Tensor) -> tuple[float | None, float | None]:
    """Return the mean of a map of changes ``[H, W]`` inside and outside of a region; None where that is nothing."""
    inside, outside = change[where], change[~where]
    return (
        float(inside.mean()) if inside.numel() else None,
        float(outside.mean()) if outside.numel() else None,
    )
