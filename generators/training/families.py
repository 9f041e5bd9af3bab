"""The families that can be trained: the networks of each, and the settings to begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from torch import nn

from gandissect.core.lookup import NamedChoices, lookup

from ..architectures.base import LayeredGenerator
from ..architectures.biggan import BigGAN, BigGANDiscriminator
from ..architectures.blocks import depth_of, units_of
from ..architectures.dcgan import DCGAN, DCGANDiscriminator
from ..architectures.decoder import Decoder
from ..architectures.encoder import Encoder
from ..architectures.minibatch import MinibatchDiscriminator
from ..architectures.mlp import MLP, MLPDiscriminator
from ..architectures.progan import GrowingDiscriminator, ProGAN
from ..architectures.sagan import ATTENTIVE, SAGAN, SAGANDiscriminator
from ..architectures.spectral_norm import normalize_spectrally
from ..architectures.stylegan import StyleGAN
from ..architectures.stylegan2 import ResidualDiscriminator, StyleGAN2
from ..architectures.vaegan import FeatureDiscriminator
from ..architectures.virtual_norm import VirtualNormDCGAN, VirtualNormMLP
from .agecgan_settings import AgeCGANSettings
from .conditioned import (
    make_cgan,
    make_cgan_discriminator,
    make_cogan,
    make_cogan_discriminator,
    make_cyclegan,
    make_cyclegan_discriminator,
    make_noise_encoder,
    make_picture_encoder,
    make_pix2pix,
    make_pix2pix_discriminator,
    make_stackgan,
    make_stackgan_discriminator_first,
    make_stackgan_discriminator_second,
    make_stargan,
    make_stargan_discriminator,
    make_unit,
    make_unit_discriminator,
)
from .evolution_settings import EvolutionSettings
from .networks import TrainedGenerator, sizes_of
from .settings import GANSettings, TrainingSettings
from .stackgan_settings import StackGANSettings
from .stargan_settings import STARGAN
from .translation_settings import CycleGANSettings, Pix2PixSettings
from .unit_settings import UNITSettings
from .variational_settings import VAEGANSettings, VAESettings

Build: TypeAlias = Callable[[Any, tuple[str, ...]], nn.Module]
"""From a family's settings and names (see `needs.names_of`) to a network."""


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models that is trained here.

    Attributes:
        title: Name and source, for help texts and cards.
        recipe: Settings to begin with; their class determines the training task.
        networks: How each network is made, by name, in the order in which their weights are drawn; ``generator`` first.
        conditional: Whether the generator is given classes; the pictures must then have some.
        captioned: Whether the generator is given captions; the pictures must then have some.
        paired: Whether the generator is given inputs; the pictures must then have some.
    """

    title: str
    recipe: TrainingSettings
    networks: Mapping[str, Build]
    conditional: bool = False
    captioned: bool = False
    paired: bool = False


def _mlp(settings: GANSettings, _classes: tuple[str, ...]) -> LayeredGenerator:
    kind = VirtualNormMLP if settings.virtual_batch_norm else MLP
    return kind(settings.resolution, settings.width, settings.max_width, settings.z_dim, settings.gray)


def _mlp_discriminator(settings: GANSettings, _classes: tuple[str, ...]) -> nn.Module:
    judge = MLPDiscriminator(settings.resolution, settings.width, settings.max_width, settings.gray)
    return _with_minibatch(judge, settings)


def _dcgan(settings: TrainingSettings, _classes: tuple[str, ...]) -> LayeredGenerator:
    kind = VirtualNormDCGAN if getattr(settings, "virtual_batch_norm", False) else DCGAN
    return kind(settings.resolution, settings.width, settings.z_dim)


def _dcgan_discriminator(settings: GANSettings, _classes: tuple[str, ...]) -> nn.Module:
    judge = DCGANDiscriminator(settings.resolution, settings.width, settings.discriminator_norm)
    return _with_minibatch(judge, settings)


def _with_minibatch(judge: MLPDiscriminator | DCGANDiscriminator, settings: GANSettings) -> nn.Module:
    return MinibatchDiscriminator(judge, settings.minibatch_kernels) if settings.minibatch_kernels else judge


def _egan(settings: GANSettings, classes: tuple[str, ...]) -> LayeredGenerator:
    return (_mlp if settings.resolution == 1 else _dcgan)(settings, classes)


def _egan_discriminator(settings: GANSettings, classes: tuple[str, ...]) -> nn.Module:
    return (_mlp_discriminator if settings.resolution == 1 else _dcgan_discriminator)(settings, classes)


def _sagan(settings: GANSettings, classes: tuple[str, ...]) -> LayeredGenerator:
    generator = SAGAN(settings.resolution, settings.width, settings.max_width, settings.z_dim, classes)
    normalize_spectrally(generator)
    return generator


def _sagan_discriminator(settings: GANSettings, classes: tuple[str, ...]) -> nn.Module:
    return SAGANDiscriminator(settings.resolution, settings.width, settings.max_width, len(classes))


def _biggan(settings: GANSettings, classes: tuple[str, ...]) -> LayeredGenerator:
    size, attentive = settings.resolution, depth_of(min(ATTENTIVE, max(8, settings.resolution // 2))) + 1
    units = units_of(size, settings.width, settings.max_width)
    generator = BigGAN(settings.z_dim, units, settings.embedding_dim, classes, attention=[attentive])
    normalize_spectrally(generator)
    return generator


def _biggan_discriminator(settings: GANSettings, classes: tuple[str, ...]) -> nn.Module:
    return BigGANDiscriminator(settings.resolution, settings.width, settings.max_width, len(classes))


def _progan(settings: GANSettings, _classes: tuple[str, ...]) -> LayeredGenerator:
    return ProGAN(settings.resolution, settings.width, settings.max_width, settings.z_dim)


def _stylegan(settings: GANSettings, _classes: tuple[str, ...]) -> LayeredGenerator:
    sizes = (settings.resolution, settings.width, settings.max_width)
    return StyleGAN(*sizes, settings.z_dim, settings.z_dim, settings.mapping_depth)


def _stylegan2(settings: GANSettings, _classes: tuple[str, ...]) -> LayeredGenerator:
    sizes = (settings.resolution, settings.width, settings.max_width)
    return StyleGAN2(*sizes, settings.z_dim, settings.z_dim, settings.mapping_depth)


def _growing_discriminator(settings: GANSettings, _classes: tuple[str, ...]) -> nn.Module:
    blurred = settings.architecture == "stylegan"
    return GrowingDiscriminator(settings.resolution, settings.width, settings.max_width, blurred)


def _residual_discriminator(settings: GANSettings, _classes: tuple[str, ...]) -> nn.Module:
    return ResidualDiscriminator(settings.resolution, settings.width, settings.max_width)


def _decoder(settings: TrainingSettings, _classes: tuple[str, ...]) -> LayeredGenerator:
    return Decoder(settings.resolution, settings.width, settings.z_dim)


def _encoder(settings: TrainingSettings, _classes: tuple[str, ...]) -> nn.Module:
    return Encoder(settings.resolution, settings.width, settings.z_dim)


def _feature_discriminator(settings: TrainingSettings, _classes: tuple[str, ...]) -> nn.Module:
    return FeatureDiscriminator(settings.resolution, settings.width)


_GROWN = GANSettings(
    architecture="progan",
    width=16,
    max_width=128,
    batch_size=32,
    learning_rate=5e-3,
    beta1=0.0,
    beta2=0.99,
    r1_gamma=0.1,
    start_resolution=8,
    hold_images=6_000,
    fade_images=6_000,
    resident=True,
)

FAMILIES: Mapping[str, Family] = NamedChoices(
    "architecture",
    {
        "gan": Family(
            "GAN of multilayer perceptrons (Goodfellow et al. 2014), for digits and points",
            GANSettings(
                architecture="gan",
                resolution=32,
                width=256,
                max_width=1024,
                gray=True,
                z_dim=64,
                batch_size=128,
                augmentation=(),
                resident=True,
            ),
            {"generator": _mlp, "discriminator": _mlp_discriminator},
        ),
        "dcgan": Family(
            "DCGAN (Radford et al. 2016), fast, without growth",
            GANSettings(),
            {"generator": _dcgan, "discriminator": _dcgan_discriminator},
        ),
        "cgan": Family(
            "conditional GAN (Mirza and Osindero 2014), a DCGAN that also takes the class",
            GANSettings(architecture="cgan", resolution=32, z_dim=64, augmentation=("translation",), resident=True),
            {"generator": make_cgan, "discriminator": make_cgan_discriminator},
            conditional=True,
        ),
        "cogan": Family(
            "CoGAN (Liu and Tuzel 2016), coupled DCGANs of several domains, with shared first layers",
            GANSettings(
                architecture="cogan",
                width=32,
                learning_rate=5e-4,  # a domain's own layers learn from its share of each batch only
                discriminator_learning_rate=2e-4,
                augmentation=("translation",),
                resident=True,
            ),
            {"generator": make_cogan, "discriminator": make_cogan_discriminator},
            conditional=True,
        ),
        "agecgan": Family(
            "Age-cGAN (Antipov et al. 2017), a conditional DCGAN of ordered classes, and an encoder of its noise",
            AgeCGANSettings(
                architecture="agecgan",
                width=32,
                z_dim=64,
                images=400_000,
                augmentation=("translation",),
                resident=True,
            ),
            {"generator": make_cgan, "discriminator": make_cgan_discriminator, "encoder": make_noise_encoder},
            conditional=True,
        ),
        "sagan": Family(
            "SAGAN (Zhang et al. 2018), class-conditional, with self-attention and spectral norm",
            GANSettings(
                architecture="sagan",
                width=16,
                max_width=128,
                batch_size=32,
                loss="hinge",
                learning_rate=1e-4,
                discriminator_learning_rate=4e-4,
                beta1=0.0,
                beta2=0.9,
                augmentation=("translation",),
                resident=True,
            ),
            {"generator": _sagan, "discriminator": _sagan_discriminator},
            conditional=True,
        ),
        "biggan": Family(
            "BigGAN (Brock et al. 2019), class-conditional, with a shared class embedding and hierarchical noise",
            GANSettings(
                architecture="biggan",
                width=16,
                max_width=128,
                z_dim=80,
                batch_size=32,
                loss="hinge",
                learning_rate=2e-4,  # the paper's 5e-5 and 2e-4 are for batches of 2,048 and 100,000 steps
                discriminator_learning_rate=4e-4,
                discriminator_turns=2,
                beta1=0.0,
                beta2=0.999,
                orthogonal_weight=1e-4,
                augmentation=("translation",),
                resident=True,
            ),
            {"generator": _biggan, "discriminator": _biggan_discriminator},
            conditional=True,
        ),
        "vae": Family(
            "variational autoencoder (Kingma and Welling 2013), whose decoder is a DCGAN with group norm",
            VAESettings(
                architecture="vae",
                width=32,
                z_dim=64,
                learning_rate=1e-3,
                beta1=0.9,
                resident=True,
                warm_up_images=150_000,
                first_weight=20.0,
            ),
            {"generator": _decoder, "encoder": _encoder},
        ),
        "vaegan": Family(
            "VAE-GAN (Larsen et al. 2016), whose encoder learns from the discriminator's features",
            VAEGANSettings(architecture="vaegan", width=32, z_dim=64, batch_size=32, learning_rate=3e-4, resident=True),
            {"generator": _decoder, "encoder": _encoder, "discriminator": _feature_discriminator},
        ),
        "stargan": Family(
            "StarGAN (Choi et al. 2018), one translator of pictures between any two of several domains",
            STARGAN,
            {"generator": make_stargan, "discriminator": make_stargan_discriminator},
            conditional=True,
        ),
        "unit": Family(
            "UNIT (Liu et al. 2017), translators between domains whose pictures share a latent code",
            UNITSettings(
                architecture="unit", width=16, batch_size=8, learning_rate=4e-4, ema_half_life=2e3, resident=True
            ),
            {"generator": make_unit, "discriminator": make_unit_discriminator},
            conditional=True,
        ),
        "egan": Family(
            "E-GAN (Wang et al. 2018), whose generators evolve by three losses; a DCGAN, or perceptrons for points",
            EvolutionSettings(
                architecture="egan",
                resolution=32,
                batch_size=32,
                discriminator_turns=3,
                augmentation=("translation",),
                resident=True,
            ),
            {"generator": _egan, "discriminator": _egan_discriminator},
        ),
        "stackgan": Family(
            "StackGAN (Zhang et al. 2017), from captions to pictures in two stages",
            StackGANSettings(architecture="stackgan", width=32, z_dim=64, images=650_000, resident=True),
            {
                "generator": make_stackgan,
                "picture_encoder": make_picture_encoder,
                "discriminator_first": make_stackgan_discriminator_first,
                "discriminator_second": make_stackgan_discriminator_second,
            },
            captioned=True,
        ),
        "pix2pix": Family(
            "pix2pix (Isola et al. 2017), a translator that learns from pairs of inputs and pictures",
            Pix2PixSettings(architecture="pix2pix", width=24, batch_size=8, ema_half_life=2_000.0, resident=True),
            {"generator": make_pix2pix, "discriminator": make_pix2pix_discriminator},
            paired=True,
        ),
        "cyclegan": Family(
            "CycleGAN (Zhu et al. 2017), two translators between two domains that learn without pairs",
            CycleGANSettings(
                architecture="cyclegan", width=16, batch_size=4, images=100_000, ema_half_life=2_000.0, resident=True
            ),
            {
                "generator": make_cyclegan,
                "back": make_cyclegan,
                "discriminator": make_cyclegan_discriminator,
                "discriminator_back": make_cyclegan_discriminator,
            },
            conditional=True,
        ),
        "progan": Family(
            "ProGAN (Karras et al. 2018), which grows from small images",
            _GROWN,
            {"generator": _progan, "discriminator": _growing_discriminator},
        ),
        "stylegan": Family(
            "StyleGAN (Karras et al. 2019), which grows from small images",
            replace(_GROWN, architecture="stylegan", mixing=0.9),
            {"generator": _stylegan, "discriminator": _growing_discriminator},
        ),
        "stylegan2": Family(
            "StyleGAN2 (Karras et al. 2020), without growth",
            replace(_GROWN, architecture="stylegan2", mixing=0.9, start_resolution=None),
            {"generator": _stylegan2, "discriminator": _residual_discriminator},
        ),
    },
)
"""The families by name; adding one means adding an entry."""

RECIPES: Mapping[str, TrainingSettings] = NamedChoices(
    "architecture", {name: family.recipe for name, family in FAMILIES.items()}
)
"""Settings to begin with, sized for a few hours on a CPU; wider networks need a GPU and a smaller learning rate."""


def build_networks(settings: TrainingSettings, names: tuple[str, ...] = ()) -> dict[str, nn.Module]:
    """Return the networks of a training run with fresh weights; the generator is a `TrainedGenerator`.

    Args:
        settings: Settings of the training.
        names: Names of classes, or words of captions (see `needs.names_of`).

    Raises:
        KeyError: If the architecture is unknown.
        ValueError: If a size or a width is out of range.
    """
    family = lookup(FAMILIES, settings.architecture, "architecture")
    networks: dict[str, nn.Module] = {}
    for name, build in family.networks.items():
        network = build(settings, names)
        if isinstance(network, LayeredGenerator):
            network = TrainedGenerator(network, sizes_of(settings), getattr(settings, "mixing", 0.0))
        networks[name] = network
    return networks
