"""Use a U-Net of segmentation-models-pytorch as a segmenter, without downloading weights.

The default encoder, a ten-layer ResNet, was chosen for CPUs: in bfloat16, plain convolutions run several times faster
than depthwise ones. Encoder and decoder take 14 MB in half precision.
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

from .describe import describe_segmenter
from .images import check_images, image_size, resize

FORMAT, VERSION = "gandissect-segmenter", 1


@dataclass(frozen=True, slots=True)
class UNetArchitecture:
    """Architecture of a U-Net.

    Args:
        encoder: Name of an encoder of segmentation-models-pytorch, which is initialized at random; nothing is
            downloaded.
        decoder_channels: Channels of the three to five blocks of the decoder, from coarse to fine; their number is the
            depth of the encoder.
        input_size: Short side in pixels that images are resized to for the network; None keeps their size.
    """

    encoder: str = "tu-resnet10t"
    decoder_channels: tuple[int, ...] = (192, 96, 64, 32, 24)
    input_size: int | None = 128

    def __post_init__(self) -> None:
        if not isinstance(self.encoder, str) or ":" in self.encoder or "/" in self.encoder:  # timm would download those
            raise ValueError(
                f"encoder (--encoder) must name an encoder of segmentation-models-pytorch; got {self.encoder!r}"
            )
        channels = self.decoder_channels
        if not isinstance(channels, Sequence) or not 3 <= len(channels) <= 5 or any(n not in _UNITS for n in channels):
            raise ValueError(
                f"decoder_channels (--decoder-channels) must be three to five integers in [1, 1024]; got {channels!r}"
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
        """Stride of the coarsest grid, in image pixels."""
        return int(2 ** len(self.decoder_channels))


_UNITS = Range(1, 1024, whole=True)


@plain_defaults()
def build_network(architecture: UNetArchitecture, num_concepts: int) -> nn.Module:
    """Build the network with random weights, drawn from torch's global random state.

    Args:
        architecture: Architecture of the network.
        num_concepts: Number of output channels.

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
    for number in range(depth, 5):  # a shallower ResNet still builds stages that never run
        unused = f"layer{number}"
        if hasattr(network.encoder, unused):
            setattr(network.encoder, unused, nn.Identity())
    return network


class UNetSegmenter:
    """Label images with a trained U-Net, always in eval mode; only `logits` and `encode` propagate gradients.

    An image is resized bilinearly so that its short side has ``input_size`` pixels; the logits are resized back to the
    image's size, and each pixel is labeled with its highest-scoring concept. Every pixel gets a concept.

    Args:
        network: Network from `build_network`; it is moved to ``device`` and set to eval mode.
        architecture: Architecture that the network was built from.
        concepts: Concepts of the network's outputs, in order.
        name: Name of the segmenter.
        device: Device to compute on.
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
        """Short side in pixels that images are resized to for the network; None if they keep their size."""
        return self.architecture.input_size

    def __repr__(self) -> str:
        return describe_segmenter(self)

    def __call__(self, images: Float[Tensor, "batch 3 H W"]) -> Int64[Tensor, "batch H W"]:
        """Label images.

        Args:
            images: Floating-point images ``[batch, 3, H, W]`` in [-1, 1].

        Returns:
            Labels, int64 ``[batch, H, W]`` on the images' device, indices of `concepts`.
        """
        with torch.no_grad():
            return self.logits(images).argmax(1).to(images.device)

    def logits(self, images: Float[Tensor, "batch 3 H W"]) -> Float32[Tensor, "batch concept H W"]:
        """Return the score of each concept at each pixel, float32 ``[batch, concept, H, W]`` on the segmenter's device.

        Gradients propagate to the images.
        """
        return resize(self._network(self._prepare(images)).float(), image_size(images))

    def encode(self, images: Float[Tensor, "batch 3 H W"]) -> list[Float32[Tensor, "batch _unit _h _w"]]:
        """Return the encoder's features from fine to coarse, each float32 ``[batch, unit, h, w]``.

        Gradients propagate to the images.
        """
        features: Sequence[Tensor] = self._network.get_submodule("encoder")(self._prepare(images))
        return [feature.float() for feature in features[1:]]

    def to(self, device: str) -> UNetSegmenter:
        """Return the segmenter on another device; they share their weights, so this one moves as well."""
        return UNetSegmenter(self._network, self.architecture, self.concepts, self.name, device)

    def save(self, path: Path | str, training: Mapping[str, Any] | None = None, *, overwrite: bool = False) -> None:
        """Write weights (in half precision) and description to one safetensors file.

        Args:
            path: File to write.
            training: JSON values to store in the file, such as training settings and quality.
            overwrite: Replace an existing file.

        Raises:
            FileExistsError: If the file exists and `overwrite` is false.
        """
        header = self._header() | {"format": FORMAT, "version": VERSION, "training": dict(training or {})}
        save_tensors(path, _collect_weights(self._network), header, overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | str, device: str = "auto", name: str | None = None) -> UNetSegmenter:
        """Load a segmenter that `save` wrote.

        Args:
            path: File to read.
            device: Device to compute on; ``"auto"`` prefers CUDA, then MPS.
            name: Name of the segmenter; by default the file's stem.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged or does not hold a segmenter.
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
    """Return the height and width that an image is resized to for the network.

    Args:
        size: Height and width of the image.
        architecture: Architecture of the network.
    """
    scale = 1.0 if architecture.input_size is None else architecture.input_size / min(size)
    stride = architecture.stride
    height, width = (max(stride, round(side * scale / stride) * stride) for side in size)
    return height, width


def _collect_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights: convolutions in half precision, the few norms and biases in float32."""
    kept = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    return {name: (value.half() if value.ndim > 1 else value.float()).cpu() for name, value in kept.items()}


def _load_weights(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    expected = {name: value.shape for name, value in network.state_dict().items() if value.is_floating_point()}
    shapes = {name: value.shape for name, value in tensors.items()}
    if shapes != expected:
        wrong = sorted(name for name in {*shapes, *expected} if shapes.get(name) != expected.get(name))
        raise ValueError(f"{len(wrong)} weights are missing, unknown or of the wrong shape, e.g. {wrong[0]!r}")
    if any(not value.isfinite().all() for value in tensors.values()):
        raise ValueError("weights must be finite")
    network.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=False)


def read_architecture(entry: Mapping[str, Any]) -> UNetArchitecture:
    """Return the architecture described by JSON values.

    Args:
        entry: Fields of the architecture.

    Raises:
        KeyError: If ``decoder_channels`` is missing.
        TypeError: If a field is unknown or of the wrong type.
        ValueError: If a field is out of range.
    """
    return UNetArchitecture(**{**entry, "decoder_channels": tuple(entry["decoder_channels"])})
