"""A small generator of every family, on random weights."""

from __future__ import annotations

from collections.abc import Callable

import torch

from generators import DCGAN, LayeredGenerator, PlantedGenerator, ProGAN, StyleGAN, StyleGAN2, StyleGAN3
from generators.architectures.biggan import BigGAN
from generators.architectures.cgan import ConditionalDCGAN
from generators.architectures.cogan import CoGAN
from generators.architectures.fastgan import FastGAN
from generators.architectures.sagan import SAGAN
from generators.architectures.stackgan import StackGAN
from generators.architectures.stargan import StarGAN
from generators.architectures.stylegan2_bilinear import BilinearStyleGAN2
from generators.architectures.translator_resnet import ResNetTranslator
from generators.architectures.translator_unet import UNetTranslator
from generators.architectures.unit import UNIT

TRANSLATORS: dict[str, Callable[[], LayeredGenerator]] = {
    "unet-translator": lambda: UNetTranslator(size=16, width=4).on(draw_pictures(16)),
    "resnet-translator": lambda: ResNetTranslator(size=16, width=4, blocks=2).on(draw_pictures(16)),
    "stargan": lambda: StarGAN(size=16, width=4, blocks=1, classes=["noon", "dusk", "mist"]).on(draw_pictures(16)),
    "unit": lambda: UNIT(16, 4, 1, ["noon", "dusk"], ["noon to dusk"]).on(draw_pictures(16)),
}
FAMILIES: dict[str, Callable[[], LayeredGenerator]] = {
    "biggan": lambda: BigGAN(5, [8, 8, 4], 3, ["cat", "dog", "owl"], attention=[2]),
    "cgan": lambda: ConditionalDCGAN(size=16, width=6, noise_dim=5, classes=["cat", "dog", "owl"]),
    "cogan": lambda: CoGAN(size=16, width=6, noise_dim=5, classes=["noon", "dusk", "mist"]),
    "dcgan": lambda: DCGAN(size=16, width=6, z_dim=5),
    "fastgan": lambda: FastGAN(z_dim=5, units=[6, 5, 4]),
    "planted": lambda: PlantedGenerator(size=16, cells=8),
    "progan": lambda: ProGAN(size=16, width=4, max_width=8, z_dim=5),
    "sagan": lambda: SAGAN(size=16, width=4, max_width=8, noise_dim=5, classes=["cat", "dog", "owl"]),
    "stackgan": lambda: StackGAN(16, 4, 5, 3, ["a", "red", "car"], 4, ["a car", "a red car"]),
    "stylegan": lambda: StyleGAN(size=16, width=4, max_width=8, z_dim=5, w_dim=5, mapping_depth=2),
    "stylegan2": lambda: StyleGAN2(size=16, width=4, max_width=8, z_dim=5, w_dim=5, mapping_depth=2),
    "stylegan2 residual": lambda: StyleGAN2(
        size=16, width=4, max_width=8, z_dim=5, w_dim=5, mapping_depth=2, structure="resnet"
    ),
    "stylegan2 bilinear": lambda: BilinearStyleGAN2(size=16, width=4, max_width=8, z_dim=5, w_dim=5, mapping_depth=2),
    "stylegan3": lambda: StyleGAN3(
        16,
        waves=6,
        side=12,
        filterings=[dict(units=5, side=24, up=4, up_taps=24), dict(units=4, side=16)],
        z_dim=5,
        w_dim=5,
    ),
    **TRANSLATORS,
}


def draw_pictures(count: int = 12, size: int = 16, seed: int = 3) -> torch.Tensor:
    """Return pictures of colored patches, uint8."""
    patches = torch.randint(0, 256, (count, 3, 4, 4), generator=torch.Generator().manual_seed(seed), device="cpu")
    return patches.repeat_interleave(size // 4, 2).repeat_interleave(size // 4, 3).to(torch.uint8)


def make_generator(family: str) -> LayeredGenerator:
    """Return a small generator of a family, in eval mode."""
    torch.manual_seed(0)
    return FAMILIES[family]().eval().requires_grad_(False)
