"""The Inception network of FID and KID, with weights that the user has."""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ..core.defaults import plain_defaults
from ..core.environment import install_command, resolve_device
from ..core.images import to_uint8
from ..storage.files import check_file, sha256_file
from .results import INCEPTION, INCEPTION_DIMS

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
        sha256 = sha256_file(weights)
        self.name = INCEPTION if sha256 == FID_WEIGHTS else f"{INCEPTION} with weights {sha256[:8]}"

    def __call__(self, images: Float[Tensor, "batch 3 H W"]) -> Float32[Tensor, "batch feature"]:
        """Return the features of float images ``[batch, 3, H, W]`` in [-1, 1], float32 ``[batch, 2048]``."""
        pixels = to_uint8(images.to(self._device))
        features: Tensor
        (features,) = self._network(pixels)
        return features


@plain_defaults()
def _load_inception(weights: Path) -> torch.nn.Module:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise ValueError(f"Inception features need torch-fidelity; run: {install_command('metrics')}") from error
    state = _read_weights(weights)
    with TemporaryDirectory() as folder:
        # torch-fidelity runs whatever code is in the file that it is given, so it is given one that was written here.
        copy = Path(folder) / "weights.pth"
        written = io.BytesIO()  # writing to a full disk itself, torch dies of an assertion about its own file format
        torch.save(state, written)
        copy.write_bytes(written.getbuffer())
        layers = [str(INCEPTION_DIMS)]
        try:
            network: torch.nn.Module = FeatureExtractorInceptionV3(
                INCEPTION, layers, feature_extractor_weights_path=str(copy)
            )
        except RuntimeError as error:
            raise ValueError(f"{weights} has no weights of torch-fidelity's Inception: {error}") from error
    return network


def _read_weights(path: Path) -> dict[str, Any]:
    check_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in any way; the kinds are not documented
        raise ValueError(f"{path} is damaged, or holds something else than the tensors of a state dict") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} is no state dict: tensors by name")
    return state
