"""GANs whose units can be looked at: architectures, training, and the bundled models."""

from __future__ import annotations

from .base import LayeredGenerator
from .dcgan import DCGAN, DCGANDiscriminator
from .hub import card, load, names, save
from .planted import PlantedGenerator

__all__ = ["DCGAN", "DCGANDiscriminator", "LayeredGenerator", "PlantedGenerator", "card", "load", "names", "save"]
