"""Features over which pictures are compared: a segmenter's encoder, or the Inception network of FID and KID."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from gandissect.devices import resolve_device
from gandissect.fidelity import INCEPTION, INCEPTION_DIMS, MIN_HELD_OUT, Features, Yardstick
from gandissect.files import check_file, sha256_file
from gandissect.protocols import Segmenter
from segmenters import UNetSegmenter
from segmenters.datasets import ImageSource

from .data import NUM_HELD_OUT_SCENES, as_tensor, evenly_spaced

MAX_TRAIN, MAX_HELD_OUT = 10_000, 1_000
"""Pictures that generated ones are compared with, at most; copies of training pictures beyond these go unseen."""

FID_WEIGHTS = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""SHA-256 of ``weights-inception-2015-12-05-6726825d.pth``, the weights of FID as torch-fidelity publishes them."""


class Inception:
    """The Inception network of FID and KID, with weights from a file; nothing is downloaded.

    It is called ``inception-v3`` with the published weights only, and by the beginning of their hash with any other.

    Args:
        weights: A file with the network's state dict, as torch-fidelity publishes it.
        device: auto, cpu, cuda or mps.

    Raises:
        ValueError: If torch-fidelity is not installed, or the file has no weights of this network.
        FileNotFoundError: If there is no such file.
    """

    def __init__(self, weights: Path, device: str = "auto") -> None:
        self._device = resolve_device(device)
        self._network = _load_inception(weights).to(self._device)
        found = sha256_file(weights)
        self.name = INCEPTION if found == FID_WEIGHTS else f"{INCEPTION} with weights {found[:8]}"

    def __call__(self, images: Tensor) -> Tensor:
        """Return the features of float images ``[batch, 3, H, W]`` in [-1, 1], float32 ``[batch, 2048]``."""
        pixels = (images.to(self._device) * 127.5 + 127.5).round().to(torch.uint8)
        (features,) = self._network(pixels)
        return features


def yardstick(network: Segmenter | Inception, train: ImageSource, held_out: ImageSource | None) -> Yardstick:
    """Return the measure over the features of a network.

    Of a segmenter these are the coarsest features of its encoder, averaged over the picture, and 64 random dimensions
    of them are kept. Those of Inception are left as they are.

    Args:
        network: A segmenter with an encoder, or Inception.
        train: Pictures that the generator learns from.
        held_out: Pictures that it does not see.

    Raises:
        ValueError: If the segmenter has no encoder, or there are too few pictures.
    """
    features = network if isinstance(network, Inception) else encoder_features(network)
    if held_out is None:
        raise ValueError("nothing is held out to judge by; name at least one folder without @SPLIT, or scenes")
    _check_numbers(len(evenly_spaced(train, MAX_TRAIN)), len(evenly_spaced(held_out, MAX_HELD_OUT)))
    real = as_tensor(train, MAX_TRAIN), as_tensor(held_out, MAX_HELD_OUT)

    if isinstance(network, Inception):
        return Yardstick(network.name, features, *real, num_dims=None)
    return Yardstick(network.name, features, *real)


def encoder_features(network: Segmenter) -> Features:
    """Return the coarsest features of a segmenter's encoder, averaged over the picture.

    Raises:
        ValueError: If it has no encoder.
    """
    if not isinstance(network, UNetSegmenter):
        raise ValueError(f"{network.name!r} has no encoder to take features from; name a U-Net, e.g. 'unet-scenes'")
    return lambda images: network.encode(images)[-1].mean(dim=(2, 3))


def _check_numbers(learned: int, held_out: int) -> None:
    """Raise ValueError with the remedy if there are too few pictures, before anything is computed."""
    if held_out < MIN_HELD_OUT:
        raise ValueError(
            f"{held_out} pictures are held out to judge by, and {MIN_HELD_OUT} are needed; "
            "give a larger --hold-out, or more pictures"
        )
    if learned <= held_out:
        raise ValueError(
            f"more pictures to learn from are needed than are held out; got {learned} and {held_out}; give a folder of "
            f"more pictures or a smaller --hold-out, or scenes:N with N above {NUM_HELD_OUT_SCENES}"
        )


def _load_inception(weights: Path) -> torch.nn.Module:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise ValueError("Inception features need torch-fidelity: pip install 'gandissect[metrics]'") from error
    state = _read_weights(weights)
    with TemporaryDirectory() as folder:
        # torch-fidelity runs whatever code is in the file that it is given, so it is given one that was written here.
        copy = Path(folder) / "weights.pth"
        torch.save(state, copy)
        layers = [str(INCEPTION_DIMS)]
        try:
            return FeatureExtractorInceptionV3(INCEPTION, layers, feature_extractor_weights_path=str(copy))
        except RuntimeError as error:
            raise ValueError(f"{weights} has no weights of torch-fidelity's Inception: {error}") from error


def _read_weights(path: Path) -> dict[str, Any]:
    check_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in any way; the kinds are not documented
        raise ValueError(f"{path} is damaged, or holds something else than the tensors of a state dict") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} is no state dict: tensors by name")
    return state
