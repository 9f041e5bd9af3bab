"""The Inception network of FID and KID, with weights that the user provides."""

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
"""SHA-256 of ``weights-inception-2015-12-05-6726825d.pth``, the weights of FID published by torch-fidelity."""


class Inception:
    """The Inception network of FID and KID, with weights from a file; nothing is downloaded.

    Its name is ``inception-v3`` with the published weights, and includes the first digits of the weights' SHA-256 with
    any others.

    Args:
        weights: Path of the network's state dict, in the format of torch-fidelity.
        device: Device to run on: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises:
        ValueError: If torch-fidelity is not installed, or the file does not hold the weights of this network.
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

    def __repr__(self) -> str:
        return f"Inception({self.name!r})"


@plain_defaults()
def _load_inception(weights: Path) -> torch.nn.Module:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise ValueError(f"Inception features need torch-fidelity; run: {install_command('metrics')}") from error
    state = _read_weights(weights)
    with TemporaryDirectory() as folder:
        # torch-fidelity would run any code in the file, so it reads a copy that holds nothing but tensors.
        copy = Path(folder) / "weights.pth"
        buffer = io.BytesIO()  # on a full disk, torch.save to a path fails with an unrelated assertion
        torch.save(state, buffer)
        copy.write_bytes(buffer.getbuffer())
        layers = [str(INCEPTION_DIMS)]
        try:
            network: torch.nn.Module = FeatureExtractorInceptionV3(
                INCEPTION, layers, feature_extractor_weights_path=str(copy)
            )
        except RuntimeError as error:
            raise ValueError(f"{weights} does not hold the weights of torch-fidelity's Inception: {error}") from error
    return network


def _read_weights(path: Path) -> dict[str, Any]:
    check_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise exceptions of any type
        raise ValueError(f"{path} is damaged, or holds more than the tensors of a state dict") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} must hold a state dict, tensors by name")
    return state
