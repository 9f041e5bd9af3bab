"""Use torchvision's segmentation networks with their published weights, from disk or downloaded by torchvision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.error import URLError

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from gandissect.core.defaults import plain_defaults
from gandissect.core.environment import resolve_device
from gandissect.core.lookup import lookup
from gandissect.core.network_id import join_fingerprint
from gandissect.core.types import Concept
from gandissect.storage.files import find_unsaved_tensors, hash_tensors

from .colors import index_color
from .describe import describe_segmenter
from .images import check_images, image_size, resize

PREFIX = "torchvision:"

NETWORKS = (
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "fcn_resnet50",
    "fcn_resnet101",
    "lraspp_mobilenet_v3_large",
)
"""Names that ``torchvision:NAME`` accepts."""


class TorchvisionSegmenter:
    """Label images with a network of ``torchvision.models.segmentation``.

    Class 0, the background, is not a concept: its pixels are labeled -1, and the other classes are numbered from 0.

    Args:
        network: Network that returns ``{"out": logits}`` for prepared images.
        transforms: Resizing and normalization that the weights expect, for float images in [0, 1].
        categories: Names of the network's classes; the first is the background.
        name: Name of the segmenter.
        device: Device to compute on.
    """

    def __init__(
        self,
        network: nn.Module,
        transforms: Callable[[Tensor], Tensor],
        categories: list[str],
        name: str,
        device: str = "auto",
    ) -> None:
        self.name, self.device = name, resolve_device(device)
        self.concepts = tuple(Concept(index, label, index_color(index)) for index, label in enumerate(categories[1:]))
        self._network = network.eval().requires_grad_(False).to(self.device)
        self._transforms = transforms
        state = network.state_dict()
        whole = hash_tensors(state, {"torchvision": name, "categories": categories})
        unsaved = find_unsaved_tensors(network, state)
        self.fingerprint = join_fingerprint(whole, *([hash_tensors(unsaved, {})] if unsaved else []))

    def __repr__(self) -> str:
        return describe_segmenter(self)

    def __call__(self, images: Float[Tensor, "batch 3 H W"]) -> Int64[Tensor, "batch H W"]:
        """Label images.

        Args:
            images: Floating-point images ``[batch, 3, H, W]`` in [-1, 1].

        Returns:
            Labels, int64 ``[batch, H, W]`` on the images' device; -1 where the background scores highest.
        """
        with torch.no_grad():
            return (self.logits(images).argmax(1) - 1).to(images.device)

    def logits(self, images: Float[Tensor, "batch 3 H W"]) -> Float32[Tensor, "batch category H W"]:
        """Return the score of each class, background first, float32 ``[batch, 1 + concept, H, W]``."""
        check_images(images)
        unit = (images.to(self.device, torch.float32) + 1).div(2).clamp(0, 1)
        scores: Tensor = self._network(self._transforms(unit))["out"].float()
        return resize(scores, image_size(images))


def load_torchvision(name: str, device: str = "auto") -> TorchvisionSegmenter:
    """Load a network by its torchvision name, with the published weights.

    Args:
        name: Name of the network, e.g. ``"deeplabv3_resnet50"``.
        device: Device to compute on.

    Raises:
        KeyError: If torchvision has no such network; the message suggests the nearest match.
        FileNotFoundError: If the weights are not on disk and cannot be downloaded.
    """
    lookup(dict.fromkeys(NETWORKS), name, "torchvision network")
    from torchvision.models import get_model, get_model_weights

    weights: Any = next(iter(get_model_weights(name)))
    try:
        with plain_defaults():
            network = get_model(name, weights=weights)
    except (URLError, OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"the weights of {PREFIX}{name} could not be downloaded ({error}); put the file {weights.url} into "
            f"{torch.hub.get_dir()}/checkpoints, or use a bundled segmenter (segmenters.names())"
        ) from error
    return TorchvisionSegmenter(network, weights.transforms(), weights.meta["categories"], PREFIX + name, device)
