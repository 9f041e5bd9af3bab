"""How networks that take classes, pictures or captions are made from settings."""

from __future__ import annotations

from torch import nn

from ..architectures.base import LayeredGenerator
from ..architectures.cgan import ConditionalDCGAN, ConditionalDCGANDiscriminator
from ..architectures.cogan import CoGAN, CoGANDiscriminator
from ..architectures.encoder import Encoder
from ..architectures.patchgan import PatchDiscriminator
from ..architectures.stackgan import PairDiscriminator, StackGAN
from ..architectures.stargan import StarGAN, StarGANDiscriminator
from ..architectures.text import PictureEncoder
from ..architectures.translator_resnet import ResNetTranslator
from ..architectures.translator_unet import UNetTranslator
from ..architectures.unit import UNIT, UNITDiscriminator
from .agecgan_settings import AgeCGANSettings
from .settings import GANSettings
from .stackgan_settings import StackGANSettings
from .stargan_settings import StarGANSettings
from .translation_settings import CycleGANSettings, Pix2PixSettings
from .unit_settings import UNITSettings


def make_cgan(settings: GANSettings, classes: tuple[str, ...]) -> LayeredGenerator:
    """Return the generator of a conditional DCGAN."""
    return ConditionalDCGAN(settings.resolution, settings.width, settings.z_dim, classes, settings.gray)


def make_cgan_discriminator(settings: GANSettings, classes: tuple[str, ...]) -> nn.Module:
    """Return the discriminator of a conditional DCGAN."""
    norm, gray = settings.discriminator_norm, settings.gray
    return ConditionalDCGANDiscriminator(settings.resolution, settings.width, len(classes), norm, gray)


def make_cogan(settings: GANSettings, classes: tuple[str, ...]) -> LayeredGenerator:
    """Return the generator of a CoGAN."""
    sizes = (settings.resolution, settings.width, settings.z_dim)
    return CoGAN(*sizes, classes, settings.gray, settings.own_layers)


def make_cogan_discriminator(settings: GANSettings, classes: tuple[str, ...]) -> nn.Module:
    """Return the discriminator of a CoGAN."""
    norm, gray = settings.discriminator_norm, settings.gray
    return CoGANDiscriminator(settings.resolution, settings.width, len(classes), norm, gray)


def make_noise_encoder(settings: AgeCGANSettings, _classes: tuple[str, ...]) -> nn.Module:
    """Return the encoder of an Age-cGAN, which returns means without variances."""
    return Encoder(settings.resolution, settings.encoder_width, settings.z_dim, deterministic=True)


def make_stargan(settings: StarGANSettings, classes: tuple[str, ...]) -> LayeredGenerator:
    """Return a StarGAN between the domains of some classes."""
    return StarGAN(settings.resolution, settings.width, settings.blocks, classes)


def make_stargan_discriminator(settings: StarGANSettings, classes: tuple[str, ...]) -> nn.Module:
    """Return the discriminator of a StarGAN."""
    return StarGANDiscriminator(settings.resolution, settings.discriminator_width, len(classes))


def make_unit(settings: UNITSettings, classes: tuple[str, ...]) -> LayeredGenerator:
    """Return a UNIT between the domains of some classes."""
    return UNIT(settings.resolution, settings.width, settings.blocks, classes)


def make_unit_discriminator(settings: UNITSettings, classes: tuple[str, ...]) -> nn.Module:
    """Return the discriminators of a UNIT."""
    code_units = 4 * settings.width if settings.domain_weight else 0
    return UNITDiscriminator(settings.discriminator_width, len(classes), code_units)


def make_pix2pix(settings: Pix2PixSettings, concepts: tuple[str, ...]) -> LayeredGenerator:
    """Return a U-Net, which takes label maps where there are names of concepts."""
    sizes = (settings.resolution, settings.width)
    return UNetTranslator(*sizes, norm="affine-instance", dropout=False, input_concepts=concepts)


def make_pix2pix_discriminator(settings: Pix2PixSettings, concepts: tuple[str, ...]) -> nn.Module:
    """Return the discriminator of a pix2pix, which sees inputs beside pictures."""
    channels = 3 + (len(concepts) or 3)
    return PatchDiscriminator(channels, settings.discriminator_width, settings.halvings)


def make_cyclegan(settings: CycleGANSettings, _classes: tuple[str, ...]) -> LayeredGenerator:
    """Return one of the two translators of a CycleGAN."""
    return ResNetTranslator(settings.resolution, settings.width, settings.blocks, upsampling="nearest")


def make_cyclegan_discriminator(settings: CycleGANSettings, _classes: tuple[str, ...]) -> nn.Module:
    """Return one of the two discriminators of a CycleGAN."""
    return PatchDiscriminator(3, settings.discriminator_width, settings.halvings)


def make_stackgan(settings: StackGANSettings, vocabulary: tuple[str, ...]) -> LayeredGenerator:
    """Return a StackGAN of the words of some captions."""
    sizes = (settings.resolution, settings.width, settings.z_dim, settings.code_dim)
    return StackGAN(*sizes, vocabulary, settings.caption_dim)


def make_picture_encoder(settings: StackGANSettings, _vocabulary: tuple[str, ...]) -> nn.Module:
    """Return the encoder of pictures that captions are matched with."""
    return PictureEncoder(settings.resolution, settings.width, settings.caption_dim)


def make_stackgan_discriminator_first(settings: StackGANSettings, _vocabulary: tuple[str, ...]) -> nn.Module:
    """Return the discriminator of the first stage of a StackGAN."""
    size, width = settings.resolution // 2, 2 * settings.width
    return PairDiscriminator(size, width, settings.caption_dim, settings.text_dim)


def make_stackgan_discriminator_second(settings: StackGANSettings, _vocabulary: tuple[str, ...]) -> nn.Module:
    """Return the discriminator of the second stage of a StackGAN."""
    return PairDiscriminator(settings.resolution, settings.width, settings.caption_dim, settings.text_dim)
