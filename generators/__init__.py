"""GANs whose units can be looked at: architectures, training, and the bundled models."""

from __future__ import annotations

from .base import LayeredGenerator
from .dcgan import DCGAN, DCGANDiscriminator
from .hub import cards, load, save

__all__ = ["DCGAN", "DCGANDiscriminator", "LayeredGenerator", "cards", "load", "save"]
