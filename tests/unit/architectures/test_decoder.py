"""The decoder with group norm: against the formulas of its papers, and alone in every batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from generators.architectures.decoder import Decoder
from generators.architectures.encoder import Encoder


def _normalize(x: Tensor, size: int) -> Tensor:
    """Group norm of ``size`` units per group, as written in arXiv 1803.08494, Sec. 3.1."""
    normalized = x.clone()
    for image in range(len(x)):
        for first in range(0, x.shape[1], size):
            group = x[image, first : first + size]
            mean = group.sum() / group.numel()
            sigma = (((group - mean) ** 2).sum() / group.numel() + 1e-5) ** 0.5
            normalized[image, first : first + size] = (group - mean) / sigma
    return normalized


def _spread(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Transposed convolution: each input value adds its kernel to the output (Dumoulin and Visin 2016, Sec. 4)."""
    side = (x.shape[2] - 1) * stride + weight.shape[2]
    out = torch.zeros(len(x), weight.shape[1], side, side, dtype=x.dtype)
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            top, left = row * stride, column * stride
            patch = torch.einsum("bi,iokl->bokl", x[:, :, row, column], weight)
            out[:, :, top : top + 4, left : left + 4] += patch
    return out[:, :, padding : side - padding, padding : side - padding]


def _decoder(width: int = 16) -> Decoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        decoder = Decoder(16, width, 6)
        for name, parameter in decoder.named_parameters():
            if name.endswith(("1.weight", "1.bias")):
                parameter.data.add_(torch.randn_like(parameter) / 3)
    return decoder.eval().requires_grad_(False)


def test_an_image_is_what_the_papers_write() -> None:
    decoder = _decoder()
    z = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    x, weights = z.double()[:, :, None, None], {name: value.double() for name, value in decoder.state_dict().items()}
    for layer, (stride, padding) in {"layer1": (1, 0), "layer2": (2, 1)}.items():
        x = _normalize(_spread(x, weights[f"{layer}.0.weight"], stride, padding), 16)
        scale, bias = weights[f"{layer}.1.weight"], weights[f"{layer}.1.bias"]
        x = (x * scale[:, None, None] + bias[:, None, None]).clamp(min=0)
    x = _spread(x, weights["output.0.weight"], 2, 1) + weights["output.0.bias"][:, None, None]
    torch.testing.assert_close(decoder(z), x.tanh().float())


def test_an_image_depends_on_no_other_image_in_training_either() -> None:
    decoder = _decoder().train()
    z = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    together, alone = decoder(z), torch.cat([decoder(row[None]) for row in z])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(decoder.eval()(z), together)


def test_layers_narrower_than_a_group_are_one_group() -> None:
    norms = [module for module in Decoder(32, 8, 6).modules() if isinstance(module, torch.nn.GroupNorm)]
    assert [(norm.num_channels, norm.num_groups) for norm in norms] == [(32, 2), (16, 1), (8, 1)]


def test_images_of_another_size_are_not_encoded() -> None:
    message = r"images must be floats \[batch, 3, 16, 16\] in \[-1, 1\]; got torch.float32 \[2, 3, 32, 32\]"
    with pytest.raises(ValueError, match=message):
        Encoder(16, 4, 5).encode(torch.zeros(2, 3, 32, 32))
