"""A segmentation-models-pytorch U-Net as a segmenter: plain convolutions down, skip connections up, nothing downloaded.

The default encoder, a ten-layer ResNet, was chosen on a CPU: plain convolutions run several times faster in bfloat16
than depthwise ones, and with the decoder it takes 14 MB in half precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from gandissect.core.defaults import plain_defaults
from gandissect.core.environment import resolve_device
from gandissect.core.ranges import Range
from gandissect.core.types import Concept, check_concepts
from gandissect.storage.files import hash_tensors, load_tensors, save_tensors

from .images import check_images, image_size, resize

FORMAT, VERSION = "gandissect-segmenter", 1


@dataclass(frozen=True, slots=True)
class UNetArchitecture:
    """The shape of a U-Net.

    Args:
        encoder: Name of an encoder of segmentation-models-pytorch; its weights begin random, nothing is downloaded.
        decoder_channels: Channels of the decoder's blocks from coarse to fine, three to five of them; their number is
            the encoder's depth.
        input_size: Pixels of an image's short side when the network sees it, to which images are resized; None leaves
            them as they are.
    """

    encoder: str = "tu-resnet10t"
    decoder_channels: tuple[int, ...] = (192, 96, 64, 32, 24)
    input_size: int | None = 128

    def __post_init__(self) -> None:
        if not isinstance(self.encoder, str) or ":" in self.encoder or "/" in self.encoder:  # timm would fetch those
            raise ValueError(
                f"encoder (--encoder) must name an encoder of segmentation-models-pytorch; got {self.encoder!r}"
            )
        channels = self.decoder_channels
        if not isinstance(channels, Sequence) or not 3 <= len(channels) <= 5 or any(n not in _UNITS for n in channels):
            raise ValueError(
                "decoder_channels (--decoder-channels) must be three to five whole numbers in [1, 1024]; "
                f"got {channels!r}"
            )
        if self.input_size is not None and (
            self.input_size not in Range(1, 4096, whole=True) or self.input_size % self.stride
        ):
            raise ValueError(
                f"input_size (--input-size) must be a multiple of {self.stride} up to 4096, or None; "
                f"got {self.input_size!r}"
            )

    @property
    def stride(self) -> int:
        """Pixels of the image to one of the coarsest grid."""
        return int(2 ** len(self.decoder_channels))


_UNITS = Range(1, 1024, whole=True)


@plain_defaults()
def build_network(architecture: UNetArchitecture, num_concepts: int) -> nn.Module:
    """Build the network with random weights (from torch's global state; fork it to keep that).

    Raises:
        ValueError: If the encoder is unknown.
        ImportError: If segmentation-models-pytorch is not installed.
    """
    import segmentation_models_pytorch as smp

    depth = len(architecture.decoder_channels)
    try:
        network: nn.Module = smp.Unet(
            architecture.encoder,
            encoder_depth=depth,
            encoder_weights=None,
            decoder_channels=list(architecture.decoder_channels),
            classes=num_concepts,
        )
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"segmentation-models-pytorch has no encoder {architecture.encoder!r}: {error}") from error
    for number in range(depth, 5):  # a shallower ResNet keeps building the stages that it does not run
        unused = f"layer{number}"
        if hasattr(network.encoder, unused):
            setattr(network.encoder, unused, nn.Identity())
    return network


class UNetSegmenter:
    """Label images with a trained U-Net; always in eval mode, without gradients unless asked for `logits`.

    An image is resized so that its short side has ``input_size`` pixels, bilinearly; the logits are resized back to
    the image's size before the best concept of each pixel is taken. Every pixel is given a concept.

    Args:
        network: From `build_network`; it is put into eval mode on ``device``.
        architecture: What it was built from.
        concepts: What its outputs mean, in order.
        name: What to call it.
        device: Where it shall compute.
    """

    def __init__(
        self,
        network: nn.Module,
        architecture: UNetArchitecture,
        concepts: Sequence[Concept],
        name: str = "unet",
        device: str = "cpu",
    ) -> None:
        self.name, self.architecture, self.concepts = name, architecture, tuple(concepts)
        self.device = resolve_device(device)
        self._network = network.eval().requires_grad_(False).to(self.device).to(memory_format=torch.channels_last)
        self.fingerprint = hash_tensors(_collect_weights(network), self._header())

    @property
    def input_size(self) -> int | None:
        """Pixels of an image's short side as the network sees it; None: as it comes."""
        return self.architecture.input_size

    def __call__(self, images: Float[Tensor, "batch 3 H W"]) -> Int64[Tensor, "batch H W"]:
        """Label images.

        Args:
            images: Floating point ``[batch, 3, H, W]`` in [-1, 1].

        Returns:
            int64 ``[batch, H, W]`` on the images' device, indices of `concepts`.
        """
        with torch.no_grad():
            return self.logits(images).argmax(1).to(images.device)

    def logits(self, images: Float[Tensor, "batch 3 H W"]) -> Float32[Tensor, "batch concept H W"]:
        """Return the score of each concept at each pixel, float32 ``[batch, concept, H, W]`` on this device.

        Gradients flow to the images, so that a score can be optimized.
        """
        return resize(self._network(self._prepare(images)).float(), image_size(images))

    def encode(self, images: Float[Tensor, "batch 3 H W"]) -> list[Float32[Tensor, "batch _unit _h _w"]]:
        """Return the encoder's features from fine to coarse, each float32 ``[batch, unit, h, w]``.

        Gradients flow to the images, so that features can be matched.
        """
        features: Sequence[Tensor] = self._network.get_submodule("encoder")(self._prepare(images))
        return [feature.float() for feature in features[1:]]

    def to(self, device: str) -> UNetSegmenter:
        """Return the same segmenter on another device; this one moves along, for they share their weights."""
        return UNetSegmenter(self._network, self.architecture, self.concepts, self.name, device)

    def save(self, path: Path | str, training: Mapping[str, Any] | None = None, *, overwrite: bool = False) -> None:
        """Write weights (half precision) and description as one safetensors file.

        Args:
            path: The file.
            training: JSON values to keep with it: settings, figures.
            overwrite: Replace another file of that name.

        Raises:
            FileExistsError: If there is another file of that name.
        """
        header = self._header() | {"format": FORMAT, "version": VERSION, "training": dict(training or {})}
        save_tensors(path, _collect_weights(self._network), header, overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | str, device: str = "auto", name: str | None = None) -> UNetSegmenter:
        """Read what `save` wrote.

        Args:
            path: The file.
            device: Where it shall compute; ``"auto"`` prefers CUDA, then MPS.
            name: What to call it; by default the file's name.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged or of another kind, naming it.
        """
        tensors, header = load_tensors(path, FORMAT, VERSION)
        try:
            architecture = read_architecture(header["architecture"])
            concepts = [Concept(entry["index"], entry["name"], tuple(entry["color"])) for entry in header["concepts"]]
            check_concepts(concepts)
            network = build_network(architecture, len(concepts))
            _load_weights(network, tensors)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
            raise ValueError(f"{path} does not describe a segmenter: {error}") from error
        return cls(network, architecture, concepts, name or Path(path).stem, device)

    def _header(self) -> dict[str, Any]:
        return {"architecture": asdict(self.architecture), "concepts": [asdict(concept) for concept in self.concepts]}

    def _prepare(self, images: Float[Tensor, "batch 3 H W"]) -> Float32[Tensor, "batch 3 h w"]:
        check_images(images)
        size = network_size(image_size(images), self.architecture)
        ready = resize(images.to(self.device, torch.float32), size)
        return ready.contiguous(memory_format=torch.channels_last)


def network_size(size: tuple[int, int], architecture: UNetArchitecture) -> tuple[int, int]:
    """Return height and width at which the network sees an image of that height and width."""
    scale = 1.0 if architecture.input_size is None else architecture.input_size / min(size)
    stride = architecture.stride
    height, width = (max(stride, round(side * scale / stride) * stride) for side in size)
    return height, width


def _collect_weights(network: nn.Module) -> dict[str, Tensor]:
    """Convolutions in half precision; vectors (norms, biases) stay float32, they are small and reach far."""
    kept = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    return {name: (value.half() if value.ndim > 1 else value.float()).cpu() for name, value in kept.items()}


def _load_weights(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    expected = {name: value.shape for name, value in network.state_dict().items() if value.is_floating_point()}
    shapes = {name: value.shape for name, value in tensors.items()}
    if shapes != expected:
        wrong = sorted(name for name in {*shapes, *expected} if shapes.get(name) != expected.get(name))
        raise ValueError(f"{len(wrong)} weights are missing, unknown or of another shape, e.g. {wrong[0]!r}")
    if any(not value.isfinite().all() for value in tensors.values()):
        raise ValueError("some weights are not finite")
    network.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=False)


def read_architecture(entry: Mapping[str, Any]) -> UNetArchitecture:
    """Return the architecture whose fields JSON values give.

    Raises:
        KeyError: If ``decoder_channels`` is missing.
        TypeError: If another field is unknown, or one is of the wrong type.
        ValueError: If one is out of range.
    """
    return UNetArchitecture(**{**entry, "decoder_channels": tuple(entry["decoder_channels"])})
