"""GANs whose units can be looked at: architectures, training, and the bundled models."""

from __future__ import annotations

from .base import LayeredGenerator
from .dcgan import DCGAN, DCGANDiscriminator
from .hub import card, load, names, save
from .importers import import_checkpoint
from .planted import PlantedGenerator
from .progan import GrowingDiscriminator, ProGAN
from .stylegan import StyleGAN
from .stylegan2 import ResidualDiscriminator, StyleGAN2
from .stylegan3 import StyleGAN3
from .wrap import WrappedGenerator, wrap

__all__ = [
    "DCGAN",
    "DCGANDiscriminator",
    "GrowingDiscriminator",
    "LayeredGenerator",
    "PlantedGenerator",
    "ProGAN",
    "ResidualDiscriminator",
    "StyleGAN",
    "StyleGAN2",
    "StyleGAN3",
    "WrappedGenerator",
    "card",
    "import_checkpoint",
    "load",
    "names",
    "save",
    "wrap",
]
